// SPDX-License-Identifier: GPL-2.0
/*
 * What a panic would do.
 */
#include <linux/kexec.h>

#include "vigil.h"

/**
 * vigil_kexec_crash_loaded() - tell whether a panic would start a crash kernel
 *
 * Context: any, NMI included.
 */
int vigil_kexec_crash_loaded(void)
{
	return kexec_crash_loaded();
}
