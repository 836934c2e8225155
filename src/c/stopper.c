// SPDX-License-Identifier: GPL-2.0
/*
 * Work for the CPU stoppers, the migration/N threads.
 */
#include <linux/build_bug.h>
#include <linux/static_call.h>
#include <linux/stop_machine.h>

#include "internal.h"
#include "vigil.h"

DEFINE_STATIC_CALL_NULL(vigil_stop_one_cpu_nowait, stop_one_cpu_nowait);

void vigil_bind_stop_one_cpu_nowait(void *entry)
{
	static_call_update(vigil_stop_one_cpu_nowait, entry);
}

/* The stopper's list links the works themselves, until it calls their functions. */
static_assert(sizeof(struct cpu_stop_work) <= sizeof(struct vigil_stop_work));

/**
 * vigil_stopper_queue() - have the stopper of a CPU call @fn
 * @cpu: the CPU that this runs on
 * @fn: the function; its result is ignored
 * @arg: its argument
 * @work: the stopper's until it calls @fn
 *
 * Context: hard interrupt on @cpu.
 */
void vigil_stopper_queue(unsigned int cpu, int (*fn)(void *arg), void *arg,
			 struct vigil_stop_work *work)
{
	static_call_cond(vigil_stop_one_cpu_nowait)(cpu, fn, arg, (struct cpu_stop_work *)work);
}
