// SPDX-License-Identifier: GPL-2.0
/*
 * Waits of a task for another task, which no lock shows, for src/sys/task_wait.rs:
 * the completion that a task sleeps for, read from the task's stack, and what of
 * another task may complete it.
 *
 * struct worker is private to kernel/workqueue.c. If the tree that the module is
 * built against has kernel/workqueue_internal.h, the compiler knows its layout. A
 * tree of headers alone lacks that file, and nothing is known of works.
 */
#include <linux/align.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/swait.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "vigil.h"

#if __has_include("kernel/workqueue_internal.h")
#include "kernel/workqueue_internal.h"
#define HAS_WORKER_LAYOUT
#endif

/*
 * struct wq_barrier of kernel/workqueue.c: the work by which flush_work() and
 * cancel_work_sync() wait, on the stack of who calls them. What is read is only
 * believed if all of its members are as they are in a barrier.
 */
struct barrier {
	struct work_struct work;
	struct completion done;
	struct task_struct *task;
};

/* How many words of a stack are copied at a time. */
#define CHUNK	32

/* A stack that is not in use: from the stack pointer that it was left with. */
struct sleeping_stack {
	unsigned long start;
	unsigned long end;
};

static bool find_stack(struct task_struct *task, struct sleeping_stack *stack)
{
	unsigned long bottom = (unsigned long)READ_ONCE(task->stack);

	/* A task that has exited has given it back. */
	if (!bottom)
		return false;
#if defined(CONFIG_X86_64)
	stack->start = READ_ONCE(task->thread.sp);
#elif defined(CONFIG_ARM64)
	stack->start = READ_ONCE(task->thread.cpu_context.sp);
#else
	return false;
#endif
	stack->end = bottom + THREAD_SIZE;
	return stack->start >= bottom && stack->start < stack->end &&
	       IS_ALIGNED(stack->start, sizeof(long));
}

static bool is_on(const struct sleeping_stack *stack, unsigned long address, size_t size)
{
	return IS_ALIGNED(address, sizeof(long)) && address >= stack->start &&
	       address < stack->end && size <= stack->end - address;
}

static bool copy_from(void *to, unsigned long address, size_t size)
{
	return !copy_from_kernel_nofault(to, (void *)address, size);
}

/* Whether a member of a list has @entry before or behind itself. */
static bool links_back(const struct sleeping_stack *stack, unsigned long member,
		       unsigned long entry)
{
	struct list_head list;

	if (!IS_ALIGNED(member, sizeof(long)) ||
	    (!is_on(stack, member, sizeof(list)) && !virt_addr_valid((void *)member)) ||
	    !copy_from(&list, member, sizeof(list)))
		return false;
	return (unsigned long)list.next == entry || (unsigned long)list.prev == entry;
}

/*
 * Whether the entry of a task in a list of waiters is at @address. It is in a list
 * with the completion on one side at least, or with two other waiters.
 */
static bool is_waiter(const struct sleeping_stack *stack, unsigned long address,
		      struct task_struct *task, struct vigil_completion_wait *wait)
{
	unsigned long entry = address + offsetof(struct swait_queue, task_list);
	struct swait_queue waiter;

	if (!is_on(stack, address, sizeof(waiter)) ||
	    !copy_from(&waiter, address, sizeof(waiter)) || waiter.task != task)
		return false;
	wait->next = (unsigned long)waiter.task_list.next;
	wait->prev = (unsigned long)waiter.task_list.prev;
	/* Of a task that waits no more it is in no list: it is its own neighbour. */
	return wait->next != entry && wait->prev != entry &&
	       (links_back(stack, wait->next, entry) || links_back(stack, wait->prev, entry));
}

/* The barrier that a task waits for, if the completion is one of a barrier. */
static void find_barrier(const struct sleeping_stack *stack, struct task_struct *task,
			 unsigned long barrier_func, struct vigil_completion_wait *wait)
{
	unsigned long address = wait->next - offsetof(struct barrier, done.wait.task_list);
	struct barrier barrier;

	/* Nobody but the task waits for its barrier. */
	if (!barrier_func || wait->next != wait->prev ||
	    !is_on(stack, address, sizeof(barrier)) ||
	    !copy_from(&barrier, address, sizeof(barrier)) ||
	    (unsigned long)barrier.work.func != barrier_func || barrier.task != task)
		return;
	wait->barrier = address + offsetof(struct barrier, work.entry);
	wait->barrier_prev = (unsigned long)barrier.work.entry.prev;
}

/**
 * vigil_completion_wait() - find the completion that a sleeping task waits for
 * @task: a task that is not freed meanwhile
 * @barrier_func: address of wq_barrier_func(), 0 if it is not known
 * @wait: set to the completion
 *
 * It is found by the entry in the list of waiters that do_wait_for_common() has on
 * the stack of the task. The stack of a task that exits is freed after an RCU grace
 * period, or becomes that of another task: it can be read until rcu_read_unlock().
 * The caller makes sure that the task has slept meanwhile: then it is its stack.
 *
 * Context: any.
 * Return: 1 if the task waits for a completion, else 0.
 */
int vigil_completion_wait(struct task_struct *task, unsigned long barrier_func,
			  struct vigil_completion_wait *wait)
{
	unsigned long words[CHUNK], address;
	struct sleeping_stack stack;
	size_t i, n;

	guard(rcu)();
	if (!find_stack(task, &stack))
		return 0;
	for (address = stack.start; address < stack.end; address += n * sizeof(long)) {
		n = min_t(size_t, CHUNK, (stack.end - address) / sizeof(long));
		if (!n || !copy_from(words, address, n * sizeof(long)))
			return 0;
		for (i = 0; i < n; i++) {
			if (words[i] != (unsigned long)task ||
			    !is_waiter(&stack, address + i * sizeof(long), task, wait))
				continue;
			wait->barrier = 0;
			wait->barrier_prev = 0;
			find_barrier(&stack, task, barrier_func, wait);
			return 1;
		}
	}
	return 0;
}

/**
 * vigil_task_completes() - get what a task completes when it is done with something
 * @task: a task that is not freed meanwhile
 * @completes: set to the addresses, which are to be compared and not followed
 *
 * The end of a kernel thread completes what kthread_stop() waits for, and that of a
 * child of vfork(), or its exec(), what vfork() waits for: task_struct::vfork_done.
 * A kworker carries out barriers behind its current work.
 *
 * Context: any.
 */
void vigil_task_completes(struct task_struct *task, struct vigil_task_completes *completes)
{
	struct completion *done = READ_ONCE(task->vfork_done);

	completes->waiters = done ? (unsigned long)&done->wait.task_list : 0;
	completes->scheduled = 0;
#ifdef HAS_WORKER_LAYOUT
	/*
	 * Both flags are a kernel thread's own. What kthread_data() reads is freed with
	 * the task.
	 */
	if ((READ_ONCE(task->flags) & (PF_KTHREAD | PF_WQ_WORKER)) ==
	    (PF_KTHREAD | PF_WQ_WORKER)) {
		struct worker *worker = kthread_data(task);

		if (worker)
			completes->scheduled = (unsigned long)&worker->scheduled;
	}
#endif
}

/**
 * vigil_knows_works() - tell whether vigil_task_completes() knows of works
 *
 * Context: any.
 */
int vigil_knows_works(void)
{
#ifdef HAS_WORKER_LAYOUT
	return 1;
#else
	return 0;
#endif
}
