// SPDX-License-Identifier: GPL-2.0
/*
 * sys_info(): tasks, memory, locks and the like, printed at once or by a worker.
 */
#include <linux/atomic.h>
#include <linux/static_call.h>
#include <linux/sys_info.h>
#include <linux/workqueue.h>

#include "internal.h"
#include "vigil.h"

DEFINE_STATIC_CALL_NULL(vigil_sys_info, sys_info);

void vigil_bind_sys_info(void *entry)
{
	static_call_update(vigil_sys_info, entry);
}

/**
 * vigil_sys_info() - print the parts of the system's state in @mask
 * @mask: SYS_INFO_* of linux/sys_info.h; 0 for what kernel.kernel_sys_info names
 *
 * Context: process context; takes locks that sleep on some kernels, and that a
 *	stuck CPU may hold.
 */
void vigil_sys_info(unsigned long mask)
{
	static_call_cond(vigil_sys_info)(mask);
}

static atomic_long_t deferred_mask = ATOMIC_LONG_INIT(0);
static atomic_t deferred_requests = ATOMIC_INIT(0);
static atomic_t deferred_done = ATOMIC_INIT(0);

static void deferred_work_fn(struct work_struct *work)
{
	int requests = atomic_read_acquire(&deferred_requests);
	unsigned long mask;

	mask = atomic_long_xchg(&deferred_mask, 0);
	/* Empty if the run before has printed it: 0 would print something else. */
	if (mask)
		vigil_sys_info(mask);
	atomic_set_release(&deferred_done, requests);
}

static DECLARE_WORK(deferred_work, deferred_work_fn);

/**
 * vigil_sys_info_defer() - have a worker call vigil_sys_info()
 * @mask: as there; requests that the worker has not begun are merged
 *
 * Context: any but NMI.
 */
void vigil_sys_info_defer(unsigned long mask)
{
	atomic_long_or(mask, &deferred_mask);
	atomic_inc_return_release(&deferred_requests);
	queue_work(system_dfl_wq, &deferred_work);
}

/**
 * vigil_sys_info_deferred_done() - tell whether all deferred requests are printed
 *
 * Context: any, NMI included.
 */
int vigil_sys_info_deferred_done(void)
{
	return atomic_read_acquire(&deferred_done) == atomic_read(&deferred_requests);
}

/**
 * vigil_sys_info_deferred_cancel() - drop what is queued and wait for the worker
 *
 * Context: may sleep; no CPU calls vigil_sys_info_defer() any more.
 */
void vigil_sys_info_deferred_cancel(void)
{
	cancel_work_sync(&deferred_work);
}
