// SPDX-License-Identifier: GPL-2.0
/*
 * Stalls of tasks: D state behind every kind of lock, and the sleeps that must
 * not be taken for one.
 *
 * Two tricks need explaining.
 *
 * Taking a mutex from its owner. A mutex may be unlocked only by its owner, so
 * an owner that is gone (mutex_orphan) or that waits itself in the same cycle
 * (abba_mutex) can never let its waiters go. prov_disown() therefore empties
 * the owner field from outside and wakes a waiter, which then takes the mutex
 * by the regular path. That is sound under these conditions, which every user
 * here meets: the old owner does not touch the mutex again (it is dead, or it
 * sees s->stolen), its task_struct is still there for optimistic spinners to
 * look at (the stall holds a reference), and the flag bit for waiters stays.
 * On PREEMPT_RT a mutex is an rtmutex with priority inheritance, whose owner
 * cannot be taken out like this, and which detects the cycle and parks the
 * task: those kinds are refused there, but for abba_killable, which a signal
 * ends. Its victims have the same priority, and the kernel does not see the cycle.
 *
 * Hiding locks from lockdep. Cycles and orphans are what lockdep is there to
 * complain about. prov_forget() tells it that the lock is released while it is
 * held in fact, so that a debug kernel does not turn itself off over a stall
 * that was asked for.
 *
 * Sleeping with a spinlock of PREEMPT_RT. The lock is a real-time mutex, but
 * whoever has it is in an RCU read section and stays on the CPU, and RCU
 * complains of one that goes to sleep there. Both are counts of the task:
 * the holder of rt_spinlock takes them back while it sleeps. What remains is a
 * lock that is kept for long.
 */
#include <linux/err.h>
#include <linux/hung_task.h>
#include <linux/kthread.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/rtmutex.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/semaphore.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>

#include "prov.h"

static void prov_forget(struct mutex *m)
{
	mutex_release(&m->dep_map, _THIS_IP_);
}

static void prov_recall(struct mutex *m)
{
	/* As a trylock, which by nature adds no dependency. */
	mutex_acquire(&m->dep_map, 0, 1, _THIS_IP_);
}

static void wake_victims(struct prov_stall *s)
{
	unsigned int i;

	for (i = 0; i < s->made; i++)
		wake_up_process(s->victims[i].task);
}

/* Mutexes */

static int mutex_prepare_n(struct prov_stall *s, unsigned int n)
{
	struct mutex *m = kvcalloc(n, sizeof(*m), GFP_KERNEL);
	unsigned int i;

	if (!m)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		mutex_init(&m[i]);
	s->priv = m;
	return 0;
}

static int mutex_prepare(struct prov_stall *s)
{
	return mutex_prepare_n(s, 1);
}

static unsigned long mutex_blocker(struct prov_stall *s, unsigned int idx)
{
	return (unsigned long)s->priv | BLOCKER_TYPE_MUTEX;
}

static void mutex_holder(struct prov_thread *t)
{
	struct mutex *m = t->stall->priv;

	mutex_lock(m);
	prov_hold(t);
	mutex_unlock(m);
}

static int mutex_victim(struct prov_thread *t)
{
	struct mutex *m = t->stall->priv;

	prov_waiting(t);
	mutex_lock(m);
	mutex_unlock(m);
	return 0;
}

static void release_by_holder(struct prov_stall *s)
{
	/* The holder gives the lock back when the core lets it go. */
}

#ifndef CONFIG_PREEMPT_RT
/* MUTEX_FLAG_WAITERS of kernel/locking/mutex.h, which modules do not see. */
#define PROV_MUTEX_WAITERS	1UL

static void prov_disown(struct prov_stall *s, struct mutex *m)
{
	/*
	 * The owner reads this after it got another mutex, which it can get
	 * only because of the second line; that is fully ordered.
	 */
	WRITE_ONCE(s->stolen, true);
	(void)atomic_long_fetch_and(PROV_MUTEX_WAITERS, &m->owner);
}
#else
static void prov_disown(struct prov_stall *s, struct mutex *m)
{
	/* PROV_NOT_RT: nobody gets here. */
}
#endif

/* One that has a name. Stalls of this kind share it. */
static DEFINE_MUTEX(prov_static_mutex);

static unsigned long mutex_static_blocker(struct prov_stall *s, unsigned int idx)
{
	return (unsigned long)&prov_static_mutex | BLOCKER_TYPE_MUTEX;
}

static void mutex_static_holder(struct prov_thread *t)
{
	mutex_lock(&prov_static_mutex);
	prov_hold(t);
	mutex_unlock(&prov_static_mutex);
}

static int mutex_static_victim(struct prov_thread *t)
{
	prov_waiting(t);
	mutex_lock(&prov_static_mutex);
	mutex_unlock(&prov_static_mutex);
	return 0;
}

static void mutex_orphan_holder(struct prov_thread *t)
{
	struct mutex *m = t->stall->priv;

	mutex_lock(m);
	prov_forget(m);
}

static void mutex_noowner_holder(struct prov_thread *t)
{
	struct mutex *m = t->stall->priv;

	mutex_lock(m);
	prov_forget(m);
	prov_hold(t);
	/* Not unlocked: it was taken away long ago. */
}

static void mutex_noowner_stands(struct prov_stall *s)
{
	/* An unlock that forgets to wake the waiter. */
	prov_disown(s, s->priv);
}

static void mutex_disown_release(struct prov_stall *s)
{
	/* Without victims the holder may not even have locked it yet. */
	if (!s->made)
		return;
	/*
	 * Once only: after that a victim may be the rightful owner. A victim
	 * that is on its way into the wait finds the mutex free; one that
	 * sleeps in it finds that out when woken.
	 */
	if (!s->stolen)
		prov_disown(s, s->priv);
	wake_victims(s);
}

/*
 * The first victims, as many as there are locks, are a chain: victim i holds
 * mutex i and waits for mutex i + 1; the holder has the last. The others wait
 * for one of the mutexes 1 to locks, in turn.
 */
static unsigned int chain_locks(struct prov_stall *s)
{
	unsigned int locks = s->args.locks;

	return locks && locks < s->args.count ? locks : s->args.count;
}

static struct mutex *chain_next(struct prov_stall *s, unsigned int idx)
{
	return (struct mutex *)s->priv + idx % chain_locks(s) + 1;
}

static int chain_prepare(struct prov_stall *s)
{
	return mutex_prepare_n(s, chain_locks(s) + 1);
}

static unsigned long chain_blocker(struct prov_stall *s, unsigned int idx)
{
	return (unsigned long)chain_next(s, idx) | BLOCKER_TYPE_MUTEX;
}

static void chain_holder(struct prov_thread *t)
{
	struct mutex *m = (struct mutex *)t->stall->priv + chain_locks(t->stall);

	mutex_lock(m);
	prov_hold(t);
	mutex_unlock(m);
}

static int chain_victim(struct prov_thread *t)
{
	struct mutex *next = chain_next(t->stall, t->idx);
	struct mutex *own = NULL;

	if (t->idx < chain_locks(t->stall)) {
		own = (struct mutex *)t->stall->priv + t->idx;
		mutex_lock(own);
		prov_forget(own);
	}
	if (prov_barrier(t)) {
		prov_waiting(t);
		mutex_lock(next);
		mutex_unlock(next);
	}
	if (own) {
		prov_recall(own);
		mutex_unlock(own);
	}
	return 0;
}

static const struct prov_key chain_keys[] = {
	{ "locks", offsetof(struct prov_args, locks), 0, 50, 0 },
	{}
};

/*
 * A cycle: victim i holds mutex i and waits for mutex (i + 1) % count; a single
 * one waits for itself. It is ended by taking mutex 0 from victim 0.
 */
static int cycle_prepare(struct prov_stall *s)
{
	return mutex_prepare_n(s, s->args.count);
}

static unsigned int cycle_next(struct prov_stall *s, unsigned int idx)
{
	return (idx + 1) % s->args.count;
}

static unsigned long abba_mutex_blocker(struct prov_stall *s, unsigned int idx)
{
	struct mutex *m = s->priv;

	return (unsigned long)&m[cycle_next(s, idx)] | BLOCKER_TYPE_MUTEX;
}

/* Has its own mutex, and goes for @next when all have theirs. */
static int abba_lock_both(struct prov_thread *t, struct mutex *next, bool killable)
{
	struct prov_stall *s = t->stall;
	struct mutex *m = s->priv;
	struct mutex *own = &m[t->idx];
	int err = 0;

	mutex_lock(own);
	prov_forget(own);
	if (prov_barrier(t)) {
		prov_waiting(t);
		if (killable)
			err = mutex_lock_killable(next);
		else
			mutex_lock(next);
		if (!err)
			mutex_unlock(next);
		if (t->idx == 0 && READ_ONCE(s->stolen))
			return 0;
	}
	prov_recall(own);
	mutex_unlock(own);
	return 0;
}

static int abba_mutex_victim(struct prov_thread *t)
{
	struct mutex *m = t->stall->priv;

	return abba_lock_both(t, &m[cycle_next(t->stall, t->idx)], false);
}

static void abba_mutex_release(struct prov_stall *s)
{
	struct mutex *m = s->priv;

	/* Nobody went for a second mutex: all unlock their own. */
	if (!s->went)
		return;
	/*
	 * Every victim has its own mutex and is in, or on its way into, the
	 * wait for the next one. So victim 0 cannot get past its wait, and
	 * with that not back to mutex 0, before mutex 0 is taken from it.
	 */
	prov_disown(s, &m[0]);
	wake_up_process(s->victims[s->made - 1].task);
}

/*
 * The same with mutex_lock_killable(), of all victims but the last, which waits
 * for mutex 0 and is part of no cycle.
 */
static int abba_killable_plan(struct prov_stall *s)
{
	return s->args.count < 2 ? -EINVAL : 0;
}

static bool is_behind(struct prov_stall *s, unsigned int idx)
{
	return idx == s->args.count - 1;
}

static unsigned int killable_next(struct prov_stall *s, unsigned int idx)
{
	return is_behind(s, idx) || is_behind(s, idx + 1) ? 0 : idx + 1;
}

static unsigned long abba_killable_blocker(struct prov_stall *s, unsigned int idx)
{
	struct mutex *m = s->priv;

	return (unsigned long)&m[killable_next(s, idx)] | BLOCKER_TYPE_MUTEX;
}

static int abba_killable_victim(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;
	struct mutex *m = s->priv;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		allow_signal(SIGKILL);
	if (is_behind(s, t->idx)) {
		if (prov_barrier(t))
			mutex_victim(t);
		return 0;
	}
	return abba_lock_both(t, &m[killable_next(s, t->idx)], true);
}

static void abba_killable_release(struct prov_stall *s)
{
	struct mutex *m = s->priv;

	if (!s->went)
		return;
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		/* The others get what this one has then, one after the other. */
		send_sig(SIGKILL, s->victims[0].task, 1);
		return;
	}
	/* As above. Two wait for mutex 0, and one hands it on to the other. */
	prov_disown(s, &m[0]);
	wake_victims(s);
}

/*
 * A convoy: all victims take turns, of ms each, with one of two mutexes or with
 * both, which they take in the same order. Each is hung for most of the time,
 * behind another one each time, and there is no deadlock.
 */
static int convoy_prepare(struct prov_stall *s)
{
	return mutex_prepare_n(s, 2);
}

static int convoy_victim(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;
	bool first = t->idx % 3 != 2, second = t->idx % 3 != 1;
	struct mutex *m = s->priv;

	prov_waiting(t);
	while (!READ_ONCE(s->released)) {
		if (first)
			mutex_lock(&m[0]);
		if (second)
			mutex_lock_nested(&m[1], SINGLE_DEPTH_NESTING);
		WRITE_ONCE(t->rounds, t->rounds + 1);
		if (!READ_ONCE(s->released))
			schedule_timeout_interruptible(msecs_to_jiffies(s->args.ms));
		if (second)
			mutex_unlock(&m[1]);
		if (first)
			mutex_unlock(&m[0]);
	}
	return 0;
}

static const struct prov_key convoy_keys[] = {
	{ "ms", offsetof(struct prov_args, ms), 1, 600000, 10 },
	{}
};

/* Semaphores */

static int sem_prepare_n(struct prov_stall *s, unsigned int n, int val)
{
	struct semaphore *sem = kvcalloc(n, sizeof(*sem), GFP_KERNEL);
	unsigned int i;

	if (!sem)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		sema_init(&sem[i], val);
	s->priv = sem;
	return 0;
}

static int sem_prepare(struct prov_stall *s)
{
	return sem_prepare_n(s, 1, 1);
}

static int sem_prepare_locked(struct prov_stall *s)
{
	return sem_prepare_n(s, 1, 0);
}

static int sem_prepare_cycle(struct prov_stall *s)
{
	return sem_prepare_n(s, s->args.count, 1);
}

static int sems_prepare(struct prov_stall *s)
{
	return sem_prepare_n(s, s->args.count, 0);
}

static unsigned long sem_blocker(struct prov_stall *s, unsigned int idx)
{
	return (unsigned long)s->priv | BLOCKER_TYPE_SEM;
}

static unsigned long sem_cycle_blocker(struct prov_stall *s, unsigned int idx)
{
	struct semaphore *sem = s->priv;

	return (unsigned long)&sem[cycle_next(s, idx)] | BLOCKER_TYPE_SEM;
}

static void sem_holder(struct prov_thread *t)
{
	struct semaphore *sem = t->stall->priv;

	down(sem);
	prov_hold(t);
	up(sem);
}

static void sem_gone_holder(struct prov_thread *t)
{
	down(t->stall->priv);
}

static int sem_victim(struct prov_thread *t)
{
	struct semaphore *sem = t->stall->priv;

	prov_waiting(t);
	down(sem);
	up(sem);
	return 0;
}

static void sem_up_release(struct prov_stall *s)
{
	/* Anybody may call up(). Each victim passes it on to the next. */
	up(s->priv);
}

/* Each victim has a semaphore of its own. */
static unsigned long sems_blocker(struct prov_stall *s, unsigned int idx)
{
	return (unsigned long)((struct semaphore *)s->priv + idx) | BLOCKER_TYPE_SEM;
}

static int sems_victim(struct prov_thread *t)
{
	struct semaphore *sem = t->stall->priv;

	prov_waiting(t);
	down(&sem[t->idx]);
	return 0;
}

static void sems_release(struct prov_stall *s)
{
	struct semaphore *sem = s->priv;
	unsigned int i;

	for (i = 0; i < s->made; i++)
		up(&sem[i]);
}

static int abba_victim(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;
	struct semaphore *sem = s->priv;

	down(&sem[t->idx]);
	if (prov_barrier(t)) {
		prov_waiting(t);
		down(&sem[cycle_next(s, t->idx)]);
		up(&sem[cycle_next(s, t->idx)]);
	}
	up(&sem[t->idx]);
	return 0;
}

/* RW semaphores */

static int rwsem_prepare(struct prov_stall *s)
{
	struct rw_semaphore *rw = kvzalloc(sizeof(*rw), GFP_KERNEL);

	if (!rw)
		return -ENOMEM;
	init_rwsem(rw);
	s->priv = rw;
	return 0;
}

static unsigned long rwsem_reader_blocker(struct prov_stall *s, unsigned int idx)
{
	return (unsigned long)s->priv | BLOCKER_TYPE_RWSEM_READER;
}

static unsigned long rwsem_writer_blocker(struct prov_stall *s, unsigned int idx)
{
	return (unsigned long)s->priv | BLOCKER_TYPE_RWSEM_WRITER;
}

static void rwsem_write_holder(struct prov_thread *t)
{
	struct rw_semaphore *rw = t->stall->priv;

	down_write(rw);
	prov_hold(t);
	up_write(rw);
}

static void rwsem_read_holder(struct prov_thread *t)
{
	struct rw_semaphore *rw = t->stall->priv;

	down_read(rw);
	prov_hold(t);
	up_read(rw);
}

static void rwsem_noowner_held(struct prov_stall *s)
{
	struct rw_semaphore *rw = s->priv;

	/*
	 * The owner field names the last reader that came, and that reader
	 * clears it when it leaves: then the holder is still in, unnamed.
	 */
	down_read(rw);
	up_read(rw);
}

static int rwsem_reader_victim(struct prov_thread *t)
{
	struct rw_semaphore *rw = t->stall->priv;

	prov_waiting(t);
	down_read(rw);
	up_read(rw);
	return 0;
}

static int rwsem_writer_victim(struct prov_thread *t)
{
	struct rw_semaphore *rw = t->stall->priv;

	prov_waiting(t);
	down_write(rw);
	up_write(rw);
	return 0;
}

/* Every other one is a writer. */
static unsigned long rwsem_mixed_blocker(struct prov_stall *s, unsigned int idx)
{
	return idx % 2 ? rwsem_writer_blocker(s, idx) : rwsem_reader_blocker(s, idx);
}

static int rwsem_mixed_victim(struct prov_thread *t)
{
	return t->idx % 2 ? rwsem_writer_victim(t) : rwsem_reader_victim(t);
}

/* Real-time mutexes */

static int rt_mutex_prepare(struct prov_stall *s)
{
	struct rt_mutex *m = kvzalloc(sizeof(*m), GFP_KERNEL);

	if (!m)
		return -ENOMEM;
	rt_mutex_init(m);
	s->priv = m;
	return 0;
}

static void rt_mutex_holder(struct prov_thread *t)
{
	struct rt_mutex *m = t->stall->priv;

	rt_mutex_lock(m);
	prov_hold(t);
	rt_mutex_unlock(m);
}

static int rt_mutex_victim(struct prov_thread *t)
{
	struct rt_mutex *m = t->stall->priv;

	prov_waiting(t);
	rt_mutex_lock(m);
	rt_mutex_unlock(m);
	return 0;
}

static int rt_spinlock_prepare(struct prov_stall *s)
{
	spinlock_t *lock = kvzalloc(sizeof(*lock), GFP_KERNEL);

	if (!lock)
		return -ENOMEM;
	spin_lock_init(lock);
	s->priv = lock;
	return 0;
}

static void rt_spinlock_holder(struct prov_thread *t)
{
	spinlock_t *lock = t->stall->priv;

	spin_lock(lock);
	migrate_enable();
	rcu_read_unlock();
	prov_hold(t);
	rcu_read_lock();
	migrate_disable();
	spin_unlock(lock);
}

/* Every other one is about to sleep in D state, which is its saved_state then. */
static int rt_spinlock_victim(struct prov_thread *t)
{
	spinlock_t *lock = t->stall->priv;

	prov_waiting(t);
	if (t->idx % 2)
		set_current_state(TASK_UNINTERRUPTIBLE);
	spin_lock(lock);
	__set_current_state(TASK_RUNNING);
	spin_unlock(lock);
	return 0;
}

/* Completions: the sleeps without an owner */

static int completion_victim(struct prov_thread *t)
{
	prov_waiting(t);
	wait_for_completion(&t->stall->free_victims);
	return 0;
}

static int iowait_victim(struct prov_thread *t)
{
	prov_waiting(t);
	wait_for_completion_io(&t->stall->free_victims);
	return 0;
}

static int killable_victim(struct prov_thread *t)
{
	prov_waiting(t);
	return wait_for_completion_killable(&t->stall->free_victims) ? -EINTR : 0;
}

static int idle_victim(struct prov_thread *t)
{
	prov_waiting(t);
	return wait_for_completion_state(&t->stall->free_victims, TASK_IDLE);
}

static int freezable_victim(struct prov_thread *t)
{
	prov_waiting(t);
	/* Unsafe: whoever writes to the file block_me is in the middle of that. */
	return wait_for_completion_state(&t->stall->free_victims,
					 TASK_UNINTERRUPTIBLE | TASK_FREEZABLE_UNSAFE);
}

static void completion_release(struct prov_stall *s)
{
	unsigned int i;

	/* Not complete_all(): that wakes 50000 with interrupts off. */
	for (i = 0; i < s->made; i++) {
		complete(&s->free_victims);
		cond_resched();
	}
}

/* Waits without a lock, each for something else */

DEFINE_STATIC_SRCU(prov_srcu);

static void srcu_holder(struct prov_thread *t)
{
	int idx = srcu_read_lock(&prov_srcu);

	prov_hold(t);
	srcu_read_unlock(&prov_srcu, idx);
}

static int srcu_victim(struct prov_thread *t)
{
	prov_waiting(t);
	synchronize_srcu(&prov_srcu);
	return 0;
}

/* Until the stall is ended, in a sleep that is not hung. */
static void sleep_until_released(struct prov_stall *s)
{
	while (!READ_ONCE(s->released))
		schedule_timeout_idle(HZ / 10);
}

struct slow_work {
	struct work_struct work;
	struct prov_stall *stall;
};

static void slow_work_fn(struct work_struct *work)
{
	sleep_until_released(container_of(work, struct slow_work, work)->stall);
}

static int work_victim(struct prov_thread *t)
{
	struct slow_work slow = { .stall = t->stall };

	INIT_WORK_ONSTACK(&slow.work, slow_work_fn);
	queue_work(system_dfl_wq, &slow.work);
	prov_waiting(t);
	flush_work(&slow.work);
	destroy_work_on_stack(&slow.work);
	return 0;
}

struct no_stop {
	struct prov_stall *stall;
	bool began;
};

static int does_not_stop(void *arg)
{
	struct no_stop *no_stop = arg;

	WRITE_ONCE(no_stop->began, true);
	sleep_until_released(no_stop->stall);
	/* Its victim has no reference, and needs it to be there. */
	while (!kthread_should_stop())
		schedule_timeout_idle(HZ / 10);
	return 0;
}

static int kthread_stop_victim(struct prov_thread *t)
{
	struct no_stop no_stop = { .stall = t->stall };
	struct task_struct *task = kthread_run(does_not_stop, &no_stop, "prov_no_stop");

	if (IS_ERR(task))
		return PTR_ERR(task);
	/* A thread that is stopped before it has begun does not run its function. */
	while (!READ_ONCE(no_stop.began))
		schedule_timeout_idle(1);
	prov_waiting(t);
	return kthread_stop(task);
}

/*
 * Deadlocks by waits that no lock shows: the victim has a mutex, and waits for a
 * work or a thread that waits for the mutex. The victim never unlocks it, which is
 * taken from it in the end: it goes with the stall.
 */
struct lock_and_wait {
	/* The victim's, for as long as the stall stands. */
	struct mutex lock;
	/* Referenced: who waits for the mutex. */
	struct task_struct *other;
	/* Of a deadlock with work. */
	struct slow_work work;
};

static int lock_and_wait_prepare(struct prov_stall *s)
{
	struct lock_and_wait *both = kvcalloc(1, sizeof(*both), GFP_KERNEL);

	if (!both)
		return -ENOMEM;
	mutex_init(&both->lock);
	s->priv = both;
	return 0;
}

static void lock_and_wait_take(struct prov_stall *s)
{
	struct lock_and_wait *both = s->priv;

	mutex_lock(&both->lock);
	prov_forget(&both->lock);
}

static void lock_and_wait_other(struct prov_stall *s)
{
	struct lock_and_wait *both = s->priv;

	/* With the reference, which the reader puts. */
	smp_store_release(&both->other, get_task_struct(current));
	mutex_lock(&both->lock);
	mutex_unlock(&both->lock);
}

static void lock_and_wait_release(struct prov_stall *s)
{
	struct lock_and_wait *both = s->priv;
	struct task_struct *other;

	prov_disown(s, &both->lock);
	/* See lock_and_wait_other(). */
	other = smp_load_acquire(&both->other);
	if (other) {
		wake_up_process(other);
		put_task_struct(other);
	}
}

static void locking_work_fn(struct work_struct *work)
{
	lock_and_wait_other(container_of(work, struct slow_work, work)->stall);
}

static void work_deadlock_first(struct prov_thread *t)
{
	struct lock_and_wait *both = t->stall->priv;

	lock_and_wait_take(t->stall);
	if (READ_ONCE(t->stall->released))
		return;
	both->work.stall = t->stall;
	INIT_WORK(&both->work.work, locking_work_fn);
	queue_work(system_dfl_wq, &both->work.work);
	while (!READ_ONCE(both->other))
		schedule_timeout_idle(1);
}

/* The others flush the work when the first one does: their barriers come to be before its own. */
static int work_deadlock_victim(struct prov_thread *t)
{
	struct lock_and_wait *both = t->stall->priv;
	struct task_struct *first = t->stall->victims[0].task;

	if (!t->idx) {
		work_deadlock_first(t);
	} else {
		/* Until the first one sleeps in flush_work(). */
		while (!READ_ONCE(t->stall->released) &&
		       (!READ_ONCE(both->other) ||
			READ_ONCE(first->__state) != TASK_UNINTERRUPTIBLE))
			schedule_timeout_idle(1);
	}
	/* See lock_and_wait_other(): the work began. */
	if (!smp_load_acquire(&both->other))
		return 0;
	prov_waiting(t);
	flush_work(&both->work.work);
	return 0;
}

static int locks_and_stops(void *arg)
{
	lock_and_wait_other(arg);
	while (!kthread_should_stop())
		schedule_timeout_idle(HZ / 10);
	return 0;
}

static int stop_deadlock_victim(struct prov_thread *t)
{
	struct lock_and_wait *both = t->stall->priv;
	struct task_struct *task;

	lock_and_wait_take(t->stall);
	if (READ_ONCE(t->stall->released))
		return 0;
	task = kthread_run(locks_and_stops, t->stall, "prov_no_stop");
	if (IS_ERR(task))
		return PTR_ERR(task);
	while (!READ_ONCE(both->other))
		schedule_timeout_idle(1);
	prov_waiting(t);
	return kthread_stop(task);
}

static int unstarted_victim(struct prov_thread *t)
{
	/* kthread_stop() makes it exit before it gets here. */
	return 0;
}

/*
 * hung_task.c skips a D state task that was never switched out. A task that
 * sleeps has been, if only for that sleep; the window is that of a new task on
 * its way there, too short to be tested. So show what is seen in the window:
 * counters of 0. They feed accounting and nothing else.
 */
static void fresh_stands(struct prov_stall *s)
{
	unsigned int i;

	for (i = 0; i < s->made; i++) {
		WRITE_ONCE(s->victims[i].task->nvcsw, 0);
		WRITE_ONCE(s->victims[i].task->nivcsw, 0);
	}
}

static int nap_victim(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;

	prov_waiting(t);
	while (t->rounds < s->args.count) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		/* After the state, so that the wake-up at the end is not lost. */
		if (READ_ONCE(s->released))
			break;
		schedule_timeout(msecs_to_jiffies(s->args.ms));
		WRITE_ONCE(t->rounds, t->rounds + 1);
	}
	__set_current_state(TASK_RUNNING);
	prov_finish(s);
	return 0;
}

static const struct prov_key nap_keys[] = {
	{ "ms", offsetof(struct prov_args, ms), 1, 600000, 1000 },
	{}
};

#define PROV_COUNT	.max_count = 1000, .def_count = 1

const struct prov_kind prov_hung_kinds[] = {
	{
		.name = "mutex", .tag = "mutex", PROV_COUNT,
		.help = "mutex_lock behind a holder that sleeps",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = mutex_prepare,
		.holder = mutex_holder,
		.victim = mutex_victim,
		.blocker = mutex_blocker,
		.release = release_by_holder,
	}, {
		.name = "mutex_static", .tag = "mutex_s", PROV_COUNT,
		.help = "the same with a mutex in the module's data",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.holder = mutex_static_holder,
		.victim = mutex_static_victim,
		.blocker = mutex_static_blocker,
		.release = release_by_holder,
	}, {
		.name = "mutex_orphan", .tag = "mutex_o", PROV_COUNT,
		.help = "mutex_lock of a mutex whose owner exited with it",
		.flags = PROV_USER | PROV_HOLDER_EXITS | PROV_NOT_RT,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = mutex_prepare,
		.holder = mutex_orphan_holder,
		.victim = mutex_victim,
		.blocker = mutex_blocker,
		.release = mutex_disown_release,
	}, {
		.name = "mutex_noowner", .tag = "mutex_n", PROV_COUNT,
		.help = "asleep in mutex_lock of a mutex that nobody owns: a lost wake-up",
		.flags = PROV_NOT_RT,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = mutex_prepare,
		.holder = mutex_noowner_holder,
		.victim = mutex_victim,
		.blocker = mutex_blocker,
		.stands = mutex_noowner_stands,
		.release = mutex_disown_release,
	}, {
		.name = "sem", .tag = "sem", PROV_COUNT,
		.help = "down behind a holder that sleeps",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = sem_prepare,
		.holder = sem_holder,
		.victim = sem_victim,
		.blocker = sem_blocker,
		.release = release_by_holder,
	}, {
		.name = "sem_orphan", .tag = "sem_o", PROV_COUNT,
		.help = "down of a semaphore that started at 0: no last holder",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = sem_prepare_locked,
		.victim = sem_victim,
		.blocker = sem_blocker,
		.release = sem_up_release,
	}, {
		.name = "sems", .tag = "sems", .max_count = 5000, .def_count = 1,
		.help = "down of semaphores that started at 0, one for each victim",
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = sems_prepare,
		.victim = sems_victim,
		.blocker = sems_blocker,
		.release = sems_release,
	}, {
		.name = "sem_gone", .tag = "sem_g", PROV_COUNT,
		.help = "down of a semaphore whose last holder exited",
		.flags = PROV_USER | PROV_HOLDER_EXITS,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = sem_prepare,
		.holder = sem_gone_holder,
		.victim = sem_victim,
		.blocker = sem_blocker,
		.release = sem_up_release,
	}, {
		.name = "rwsem_reader", .tag = "rwsem_r", PROV_COUNT,
		.help = "down_read behind a writer that sleeps",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = rwsem_prepare,
		.holder = rwsem_write_holder,
		.victim = rwsem_reader_victim,
		.blocker = rwsem_reader_blocker,
		.release = release_by_holder,
	}, {
		.name = "rwsem_writer", .tag = "rwsem_w", PROV_COUNT,
		.help = "down_write behind a reader that sleeps",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = rwsem_prepare,
		.holder = rwsem_read_holder,
		.victim = rwsem_writer_victim,
		.blocker = rwsem_writer_blocker,
		.release = release_by_holder,
	}, {
		.name = "rwsem_mixed", .tag = "rwsem_m", PROV_COUNT,
		.help = "down_read and down_write by turns, behind a writer that sleeps",
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = rwsem_prepare,
		.holder = rwsem_write_holder,
		.victim = rwsem_mixed_victim,
		.blocker = rwsem_mixed_blocker,
		.release = release_by_holder,
	}, {
		.name = "rwsem_noowner", .tag = "rwsem_n", PROV_COUNT,
		.help = "down_write behind a reader that the owner field does not name",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = rwsem_prepare,
		.holder = rwsem_read_holder,
		.held = rwsem_noowner_held,
		.victim = rwsem_writer_victim,
		.blocker = rwsem_writer_blocker,
		.release = release_by_holder,
	}, {
		.name = "rt_mutex", .tag = "rtmutex", PROV_COUNT,
		.help = "rt_mutex_lock behind a holder that sleeps",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = rt_mutex_prepare,
		.holder = rt_mutex_holder,
		.victim = rt_mutex_victim,
		.release = release_by_holder,
	}, {
		.name = "rt_spinlock", .tag = "rtspin", PROV_COUNT,
		.help = "spin_lock of PREEMPT_RT behind a holder that sleeps",
		.flags = PROV_USER | PROV_ONLY_RT,
		.state = TASK_RTLOCK_WAIT,
		.prepare = rt_spinlock_prepare,
		.holder = rt_spinlock_holder,
		.victim = rt_spinlock_victim,
		.release = release_by_holder,
	}, {
		.name = "completion", .tag = "compl", PROV_COUNT,
		.help = "wait_for_completion",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.victim = completion_victim,
		.release = completion_release,
	}, {
		.name = "iowait", .tag = "iowait", PROV_COUNT,
		.help = "wait_for_completion_io, with in_iowait set",
		.flags = PROV_USER | PROV_IOWAIT,
		.state = TASK_UNINTERRUPTIBLE,
		.victim = iowait_victim,
		.release = completion_release,
	}, {
		.name = "srcu", .tag = "srcu", PROV_COUNT,
		.help = "synchronize_srcu behind a reader that sleeps",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.holder = srcu_holder,
		.victim = srcu_victim,
		.release = release_by_holder,
	}, {
		.name = "work", .tag = "work", PROV_COUNT,
		.help = "flush_work of work that sleeps",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE,
		.victim = work_victim,
		.release = release_by_holder,
	}, {
		.name = "kthread_stop", .tag = "stop", PROV_COUNT,
		.help = "kthread_stop of a thread that does not stop",
		.state = TASK_UNINTERRUPTIBLE,
		.victim = kthread_stop_victim,
		.release = release_by_holder,
	}, {
		.name = "work_deadlock", .tag = "wdead", PROV_COUNT,
		.help = "deadlock: flush_work of work that waits for a mutex of the first victim",
		.flags = PROV_NOT_RT,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = lock_and_wait_prepare,
		.victim = work_deadlock_victim,
		.release = lock_and_wait_release,
	}, {
		.name = "stop_deadlock", .tag = "sdead",
		.help = "deadlock: kthread_stop of a thread that waits for a mutex of the victim",
		.flags = PROV_NOT_RT,
		.def_count = 1,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = lock_and_wait_prepare,
		.victim = stop_deadlock_victim,
		.release = lock_and_wait_release,
	}, {
		.name = "chain", .tag = "chain", .max_count = 1000, .def_count = 3,
		.help = "mutexes: each waits for the next, the last for the holder, others for one",
		.flags = PROV_BARRIER,
		.keys = chain_keys,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = chain_prepare,
		.holder = chain_holder,
		.victim = chain_victim,
		.blocker = chain_blocker,
		.release = release_by_holder,
	}, {
		.name = "convoy", .tag = "convoy", .max_count = 1000, .def_count = 100,
		.help = "mutexes that victims take turns with, each for ms",
		.keys = convoy_keys,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = convoy_prepare,
		.victim = convoy_victim,
		.release = release_by_holder,
	}, {
		.name = "abba", .tag = "abba", .max_count = 50, .def_count = 2,
		.help = "deadlock: a cycle of count victims over semaphores",
		.flags = PROV_BARRIER,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = sem_prepare_cycle,
		.victim = abba_victim,
		.blocker = sem_cycle_blocker,
		.release = sem_up_release,
	}, {
		.name = "abba_mutex", .tag = "abba_m", .max_count = 50, .def_count = 2,
		.help = "deadlock: a cycle of count victims over mutexes",
		.flags = PROV_BARRIER | PROV_NOT_RT,
		.state = TASK_UNINTERRUPTIBLE,
		.prepare = cycle_prepare,
		.victim = abba_mutex_victim,
		.blocker = abba_mutex_blocker,
		.release = abba_mutex_release,
	}, {
		.name = "abba_killable", .tag = "abba_k", .max_count = 50, .def_count = 3,
		.help = "the same, TASK_KILLABLE, but for the last victim: it waits behind them",
		.flags = PROV_BARRIER,
		.state = TASK_KILLABLE,
		.last_state = TASK_UNINTERRUPTIBLE,
		.plan = abba_killable_plan,
		.prepare = cycle_prepare,
		.victim = abba_killable_victim,
		.blocker = abba_killable_blocker,
		.release = abba_killable_release,
	}, {
		.name = "killable", .tag = "kill", PROV_COUNT,
		.help = "TASK_KILLABLE: not hung",
		.flags = PROV_USER,
		.state = TASK_KILLABLE,
		.victim = killable_victim,
		.release = completion_release,
	}, {
		.name = "idle", .tag = "idle", PROV_COUNT,
		.help = "TASK_IDLE: not hung",
		.flags = PROV_USER,
		.state = TASK_IDLE,
		.victim = idle_victim,
		.release = completion_release,
	}, {
		.name = "fresh", .tag = "fresh", PROV_COUNT,
		.help = "D state with switch counters of 0: to be left alone",
		.state = TASK_UNINTERRUPTIBLE,
		.victim = completion_victim,
		.stands = fresh_stands,
		.release = completion_release,
	}, {
		.name = "unstarted", .tag = "unstart", PROV_COUNT,
		.help = "kthreads that were created and never woken",
		.flags = PROV_UNSTARTED,
		.state = TASK_UNINTERRUPTIBLE,
		.victim = unstarted_victim,
		.release = completion_release,
	}, {
		.name = "freezable", .tag = "freez", PROV_COUNT,
		.help = "D state with TASK_FREEZABLE: the freezer can mark it frozen in place",
		.flags = PROV_USER,
		.state = TASK_UNINTERRUPTIBLE | TASK_FREEZABLE_UNSAFE,
		.victim = freezable_victim,
		.release = completion_release,
	}, {
		.name = "nap", .tag = "nap", .max_count = 1000000, .def_count = 10,
		.help = "one thread, count D state naps of ms each, then the end",
		.flags = PROV_ROUNDS,
		.keys = nap_keys,
		.state = TASK_UNINTERRUPTIBLE,
		.victim = nap_victim,
		.release = wake_victims,
	}, {
		.name = "threads", .tag = "thr", .max_count = 50000, .def_count = 100,
		.help = "many kthreads on one completion; fewer when no more can be made",
		.flags = PROV_PARTIAL,
		.state = TASK_UNINTERRUPTIBLE,
		.victim = completion_victim,
		.release = completion_release,
	},
};

const unsigned int prov_hung_nr = ARRAY_SIZE(prov_hung_kinds);
