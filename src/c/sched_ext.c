// SPDX-License-Identifier: GPL-2.0
/*
 * sched_ext, which ejects a BPF scheduler that a lockup may be the fault of.
 */
#include <linux/sched.h>
#include <linux/sched/ext.h>
#include <linux/static_call.h>

#include "internal.h"
#include "vigil.h"

#ifdef CONFIG_SCHED_CLASS_EXT
DEFINE_STATIC_CALL_NULL(vigil_scx_softlockup, scx_softlockup);
DEFINE_STATIC_CALL_RET0(vigil_scx_hardlockup, scx_hardlockup);

void vigil_bind_scx_softlockup(void *entry)
{
	static_call_update(vigil_scx_softlockup, entry);
}

void vigil_bind_scx_hardlockup(void *entry)
{
	static_call_update(vigil_scx_hardlockup, entry);
}
#endif

/**
 * vigil_scx_softlockup() - say that this CPU may be about to have a soft lockup
 * @seconds: for how long its stopper has not run
 *
 * Context: the CPU's timer interrupt.
 */
void vigil_scx_softlockup(unsigned int seconds)
{
#ifdef CONFIG_SCHED_CLASS_EXT
	static_call_cond(vigil_scx_softlockup)(seconds);
#endif
}

/**
 * vigil_scx_hardlockup() - say that a CPU has a hard lockup
 * @cpu: the CPU
 *
 * Context: any, NMI included.
 * Return: whether a BPF scheduler is being ejected for it.
 */
int vigil_scx_hardlockup(unsigned int cpu)
{
#ifdef CONFIG_SCHED_CLASS_EXT
	return static_call(vigil_scx_hardlockup)(cpu);
#else
	return 0;
#endif
}
