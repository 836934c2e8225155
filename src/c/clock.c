// SPDX-License-Identifier: GPL-2.0
/*
 * Clocks that are static inlines.
 */
#include <linux/sched/clock.h>

#include "vigil.h"

/**
 * vigil_local_clock() - read the clock that stamps the log, in nanoseconds
 *
 * Context: any, NMI included.
 */
unsigned long long vigil_local_clock(void)
{
	return local_clock();
}
