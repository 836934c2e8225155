// SPDX-License-Identifier: GPL-2.0
/*
 * vigil_provoke: makes real stalls on command, for the tests of vigil.
 *
 * NOT FOR PRODUCTION: it exists to hang tasks.
 *
 * Everything is in /sys/kernel/debug/vigil_provoke/ (debugfs):
 *
 *   run                 write "KIND [key=value]...": returns when the stall
 *                       stands, every victim verified asleep in its wait, or
 *                       every CPU in its stall (after it, should that be the
 *                       writer's own). Reading lists the kinds and their keys.
 *   active              one line for each stall that stands:
 *                       id kind tasks=pid,... holder=pid seconds count=N
 *                       asleep=N left=seconds
 *                       for CPUs: id kind tasks=pid,... cpus=N,... ms=N
 *                       began=CPU:time,... ended=CPU:time or CPU:-,...
 *   lockups             one line for each CPU of the last stalls of CPUs:
 *                       id kind cpu=N pid=N began=time ended=time role=stuck|target;
 *                       times are those of the kernel log
 *   end                 write an id, or "all": returns when the threads are
 *                       gone
 *   block_me            write "[KIND] [key=value]...": the task that writes is
 *                       the victim; the write returns when the stall is ended
 *   block_me_killable   the same, with the default kind "killable"
 *   spin_me             write 1..100000: the task that writes has preemption off for
 *                       so many milliseconds
 *
 * Keys:
 *
 *   secs=1..3600   ends by itself after that long (60; 3600 for stalls of
 *                  CPUs, which have ms=): a guest recovers
 *   count=N        number of victims; naps for "nap"
 *   id=1..49999    the stall's id; without it, one from 50000 upwards
 *   name=COMM      comm of the victims, 1 to 15 bytes, taken literally but for
 *                  the escapes of string_unescape(): \x20 is a space
 *   locks=N        how many mutexes a chain has; 0: as many as victims
 *   ms=N           length of a nap, of the stall of a CPU, or of a turn in a
 *                  convoy
 *   cpu=N cpus=LIST but=LIST   the CPUs to stall, or those not to stall
 *
 * Kinds of hung.c:
 *
 *   mutex mutex_static mutex_orphan mutex_noowner sem sems sem_orphan sem_gone
 *   rwsem_reader rwsem_writer rwsem_mixed rwsem_noowner rt_mutex rt_spinlock
 *   completion iowait srcu work kthread_stop work_deadlock stop_deadlock chain
 *   convoy abba abba_mutex abba_killable killable idle fresh unstarted freezable
 *   nap threads
 *
 * Kinds of lockup.c:
 *
 *   preempt_off irqs_off zone_lock printk_lock console_hang pool_lock rq_lock
 *   bh_off softirq_hog spinlock ipi_wait hrtimer_storm fifo_hog
 *   touch_softlockup touch_nmi flaps
 *
 * Victims are called prov_<tag>/<index>, holders prov_hold/<id>. Holders sleep
 * interruptibly, so that they are not hung themselves. The victim that occupies
 * a CPU has the CPU's number for an index.
 *
 * Life of a stall. It is on prov_stalls from the first to the last, which
 * reserves its id and its threads, but is acted on by others only while
 * ->standing. Whoever sets ->ending (a write to "end", its time-out, the
 * module's exit, a block_me task that was killed) tears it down; the others
 * wait for ->gone. Threads are stopped with kthread_stop(), also those that
 * returned long ago: each task is referenced until the stall is freed.
 * References to a stall: the list, each queued time-out, whoever looked it up,
 * a block_me task inside.
 *
 * Locks: prov_lock (a mutex) guards the list, the totals and the state bits.
 * No thread of a stall takes it while it holds the lock that its stall is
 * about, and nothing waits for a thread with it held.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/preempt.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/string_helpers.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "prov.h"

#define PROV_MAX_STALLS		64
#define PROV_MAX_THREADS	60000
#define PROV_MAX_LINE		255
#define PROV_MAX_LISTED		64
/* Ids up to five digits, so that prov_hold/<id> fits into a comm. */
#define PROV_FIRST_AUTO_ID	50000
#define PROV_LAST_AUTO_ID	99999
/* Making many threads stops above this, so as not to wake the OOM killer. */
#define PROV_MIN_FREE_PAGES	((48L << 20) >> PAGE_SHIFT)
/* Threads and pids that this leaves to the guest, to end the stall with. */
#define PROV_SPARE		64
/* Without any progress for so long, a start is given up. */
#define PROV_START_SECS		30

/* The parts of this module; one more line for one more part. */
static const struct {
	const struct prov_kind *kinds;
	const unsigned int *nr;
} prov_parts[] = {
	{ prov_hung_kinds, &prov_hung_nr },
	{ prov_lockup_kinds, &prov_lockup_nr },
};

static DEFINE_MUTEX(prov_lock);
static LIST_HEAD(prov_stalls);
static unsigned int prov_nr_stalls;
static unsigned int prov_nr_threads;
static unsigned int prov_next_id = PROV_FIRST_AUTO_ID;
static struct workqueue_struct *prov_wq;
static struct dentry *prov_dir;

static void prov_end(struct prov_stall *s);

static const struct prov_kind *prov_find_kind(const char *name)
{
	unsigned int p, i;

	for (p = 0; p < ARRAY_SIZE(prov_parts); p++)
		for (i = 0; i < *prov_parts[p].nr; i++)
			if (!strcmp(prov_parts[p].kinds[i].name, name))
				return &prov_parts[p].kinds[i];
	return NULL;
}

/* What the kinds call */

void prov_waiting(struct prov_thread *t)
{
	WRITE_ONCE(t->waiting, true);
}

void prov_hold(struct prov_thread *t)
{
	prov_waiting(t);
	/* No signal reaches a kthread that did not ask for it; still, loop. */
	while (wait_for_completion_interruptible(&t->stall->hold))
		flush_signals(current);
}

bool prov_barrier(struct prov_thread *t)
{
	WRITE_ONCE(t->ready, true);
	while (wait_for_completion_interruptible(&t->stall->go))
		flush_signals(current);
	/* Written before the completion. */
	return !t->stall->aborted;
}

/* Freeing */

static void prov_free(struct kref *ref)
{
	struct prov_stall *s = container_of(ref, struct prov_stall, ref);
	unsigned int i;

	for (i = 0; i < s->made; i++)
		put_task_struct(s->victims[i].task);
	if (s->holder.task)
		put_task_struct(s->holder.task);
	kvfree(s->victims);
	kvfree(s->priv);
	kfree(s);
}

static void prov_put(struct prov_stall *s)
{
	kref_put(&s->ref, prov_free);
}

/* Time-outs */

static void prov_timeout(struct work_struct *work)
{
	struct prov_stall *s = container_of(to_delayed_work(work),
					    struct prov_stall, timeout);

	prov_end(s);
	prov_put(s);
}

/* Has prov_timeout() run in @secs; each run owns a reference. */
static void prov_arm(struct prov_stall *s, unsigned int secs)
{
	lockdep_assert_held(&prov_lock);
	kref_get(&s->ref);
	/* True: it was queued already, and that had a reference of its own. */
	if (mod_delayed_work(prov_wq, &s->timeout, secs * HZ))
		prov_put(s);
}

void prov_finish(struct prov_stall *s)
{
	mutex_lock(&prov_lock);
	s->finished = true;
	if (s->standing && !s->ending)
		prov_arm(s, 0);
	mutex_unlock(&prov_lock);
}

/* Looking at threads */

static bool prov_asleep_in(struct task_struct *task, unsigned int state)
{
	/*
	 * The state is set before the task leaves the CPU. One that is
	 * preempted in between stays runnable.
	 */
	return READ_ONCE(task->__state) == state &&
	       !READ_ONCE(task->on_cpu) && !task_is_runnable(task);
}

static bool prov_blocker_is(struct task_struct *task, unsigned long want)
{
#ifdef CONFIG_DETECT_HUNG_TASK_BLOCKER
	return READ_ONCE(task->blocker) == want;
#else
	/* Always so on PREEMPT_RT. */
	return true;
#endif
}

static bool prov_victim_asleep(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;
	const struct prov_kind *kind = s->kind;
	bool last = kind->last_state && t->idx == s->max - 1;

	if (!(kind->flags & PROV_UNSTARTED) && !READ_ONCE(t->waiting))
		return false;
	if (!prov_asleep_in(t->task, last ? kind->last_state : kind->state))
		return false;
	if ((kind->flags & PROV_IOWAIT) && !t->task->in_iowait)
		return false;
	return !kind->blocker ||
	       prov_blocker_is(t->task, kind->blocker(s, t->idx));
}

static bool prov_victim_stands(struct prov_thread *t)
{
	/* A nap can be over before anybody looked. */
	return READ_ONCE(t->rounds) || prov_victim_asleep(t);
}

static bool prov_victim_ready(struct prov_thread *t)
{
	return READ_ONCE(t->ready);
}

static bool prov_victim_began(struct prov_thread *t)
{
	return READ_ONCE(t->began) || READ_ONCE(t->err);
}

static bool prov_holder_holds(struct prov_thread *t)
{
	return READ_ONCE(t->waiting) &&
	       prov_asleep_in(t->task, TASK_INTERRUPTIBLE);
}

static bool prov_is_gone(struct prov_thread *t)
{
	return !pid_alive(t->task);
}

/*
 * By an hrtimer, which stays on this CPU. A timer of an idle CPU can be left to
 * another CPU, and that one may be stuck: this is what we are here for.
 */
static void prov_pause(void)
{
	usleep_range_idle(1000, 2000);
}

/* Until @is(@t). Of these polls a write to "run" is made; it can be killed. */
static int prov_await(struct prov_thread *t, bool (*is)(struct prov_thread *t))
{
	unsigned long limit = jiffies + PROV_START_SECS * HZ;

	while (!is(t)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, limit))
			return -ETIMEDOUT;
		prov_pause();
	}
	return 0;
}

static int prov_await_victims(struct prov_stall *s,
			      bool (*is)(struct prov_thread *t))
{
	unsigned int i;
	int err;

	for (i = 0; i < s->made; i++) {
		err = prov_await(&s->victims[i], is);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/* Threads */

static int prov_victim_fn(void *data)
{
	struct prov_thread *t = data;

	return t->stall->kind->victim(t);
}

static int prov_holder_fn(void *data)
{
	struct prov_thread *t = data;

	t->stall->kind->holder(t);
	return 0;
}

/* Creates a thread, not yet running. The name is a name, never a format. */
static int prov_create(struct prov_thread *t, int (*fn)(void *data), const char *name)
{
	struct task_struct *task;

	task = kthread_create(fn, t, "%s", name);
	if (IS_ERR(task))
		return PTR_ERR(task);
	t->task = get_task_struct(task);
	return 0;
}

static int prov_start_holder(struct prov_stall *s)
{
	struct prov_thread *t = &s->holder;
	char name[TASK_COMM_LEN];
	int err;

	if (!s->kind->holder)
		return 0;
	scnprintf(name, sizeof(name), "prov_hold/%u", s->args.id);
	t->stall = s;
	err = prov_create(t, prov_holder_fn, name);
	if (err)
		return err;
	wake_up_process(t->task);
	err = prov_await(t, s->kind->flags & PROV_HOLDER_EXITS ?
			    prov_is_gone : prov_holder_holds);
	if (!err && s->kind->held)
		s->kind->held(s);
	return err;
}

static int prov_create_victim(struct prov_stall *s, unsigned int i)
{
	struct prov_thread *t = &s->victims[i];
	char name[TASK_COMM_LEN];
	int err;

	if (s->args.comm[0])
		strscpy(name, s->args.comm);
	else
		scnprintf(name, sizeof(name), "prov_%s/%u", s->kind->tag,
			  s->kind->flags & PROV_CPUS ? t->cpu : i);
	t->stall = s;
	t->idx = i;
	if (!(i % 32) && si_mem_available() < PROV_MIN_FREE_PAGES)
		return -ENOMEM;
	err = prov_create(t, prov_victim_fn, name);
	if (err)
		return err;
	if (s->kind->flags & PROV_CPUS)
		kthread_bind(t->task, t->cpu);
	s->made++;
	if (!(s->kind->flags & PROV_UNSTARTED))
		wake_up_process(t->task);
	return 0;
}

static int prov_create_victims(struct prov_stall *s)
{
	unsigned int i;
	int err;

	for (i = 0; i < s->max; i++) {
		err = prov_create_victim(s, i);
		if (err)
			return err;
	}
	return 0;
}

/*
 * As many as can be made, but not the very last: a guest without a thread or
 * a pid to spare could not even run what ends the stall.
 */
static int prov_create_most(struct prov_stall *s)
{
	unsigned int nr = min(PROV_SPARE, s->max / 8), i;
	struct prov_thread *spare;
	int err = 0;

	spare = kcalloc(PROV_SPARE, sizeof(*spare), GFP_KERNEL);
	if (!spare)
		return -ENOMEM;
	for (i = 0; i < nr && !err; i++) {
		spare[i].stall = s;
		err = prov_create(&spare[i], prov_victim_fn, "prov_spare");
	}
	if (!err)
		err = prov_create_victims(s);
	for (i = 0; i < nr && spare[i].task; i++) {
		/* Never woken, so it never runs the function. */
		kthread_stop(spare[i].task);
		put_task_struct(spare[i].task);
	}
	kfree(spare);
	return err;
}

static int prov_start_victims(struct prov_stall *s)
{
	int err;

	err = s->kind->flags & PROV_PARTIAL ? prov_create_most(s) :
					      prov_create_victims(s);
	if (err) {
		if (!(s->kind->flags & PROV_PARTIAL) || !s->made ||
		    fatal_signal_pending(current))
			return err;
		pr_notice("vigil_provoke: stall %u: made %u of %u threads (%pe)\n",
			  s->args.id, s->made, s->max, ERR_PTR(err));
	}

	if (s->kind->flags & PROV_BARRIER) {
		err = prov_await_victims(s, prov_victim_ready);
		if (err)
			return err;
		s->went = true;
		complete_all(&s->go);
	}
	err = prov_await_victims(s, prov_victim_stands);
	if (!err && s->kind->stands)
		s->kind->stands(s);
	return err;
}

/* Undoes whatever the start came to. The stall has one such call in its life. */
static void prov_teardown(struct prov_stall *s)
{
	unsigned int i;

	WRITE_ONCE(s->released, true);
	if (!s->went) {
		s->aborted = true;
		complete_all(&s->go);
	}
	s->kind->release(s);
	complete_all(&s->hold);

	/* Everybody can run now: the order of waiting does not matter. */
	wait_event_idle(s->left, !READ_ONCE(s->users));
	if (s->holder.task)
		kthread_stop(s->holder.task);
	for (i = 0; i < s->made; i++) {
		if (!s->victims[i].user)
			kthread_stop(s->victims[i].task);
		cond_resched();
	}
	/* They run none of our code any more, but may still be seen in /proc. */
	if (s->holder.task)
		while (!prov_is_gone(&s->holder))
			prov_pause();
	for (i = 0; i < s->made; i++)
		while (!s->victims[i].user && !prov_is_gone(&s->victims[i]))
			prov_pause();
}

/* Starting and ending */

static struct prov_stall *prov_find(unsigned int id)
{
	struct prov_stall *s;

	lockdep_assert_held(&prov_lock);
	list_for_each_entry(s, &prov_stalls, node)
		if (s->args.id == id)
			return s;
	return NULL;
}

/* Reserves the id and the threads. The list takes the caller's reference. */
static int prov_enlist(struct prov_stall *s)
{
	guard(mutex)(&prov_lock);

	if (prov_nr_stalls >= PROV_MAX_STALLS ||
	    s->max > PROV_MAX_THREADS - prov_nr_threads)
		return -EBUSY;
	if (prov_find(s->args.id))
		return -EEXIST;
	while (!s->args.id) {
		if (!prov_find(prov_next_id))
			s->args.id = prov_next_id;
		if (++prov_next_id > PROV_LAST_AUTO_ID)
			prov_next_id = PROV_FIRST_AUTO_ID;
	}
	prov_nr_stalls++;
	prov_nr_threads += s->max;
	list_add_tail(&s->node, &prov_stalls);
	return 0;
}

static void prov_delist(struct prov_stall *s)
{
	scoped_guard(mutex, &prov_lock) {
		list_del(&s->node);
		prov_nr_stalls--;
		prov_nr_threads -= s->max;
	}
	prov_put(s);
}

static void prov_publish(struct prov_stall *s)
{
	guard(mutex)(&prov_lock);
	s->since = ktime_get_seconds();
	s->standing = true;
	prov_arm(s, s->finished ? 0 : s->args.secs);
}

/* The caller has a reference. Returns when the stall is gone, whoever ends it. */
static void prov_end(struct prov_stall *s)
{
	bool mine;

	scoped_guard(mutex, &prov_lock) {
		mine = !s->ending;
		s->ending = true;
	}
	if (!mine) {
		wait_for_completion_state(&s->gone, TASK_IDLE);
		return;
	}
	prov_teardown(s);
	if (cancel_delayed_work(&s->timeout))
		prov_put(s);
	prov_delist(s);
	complete_all(&s->gone);
}

/* A stall with its arguments, its objects and its place on the list. */
static struct prov_stall *prov_new(const struct prov_kind *kind,
				   const struct prov_args *args, bool user)
{
	struct prov_stall *s;
	int err = -ENOMEM;

	if (IS_ENABLED(CONFIG_PREEMPT_RT) && (kind->flags & PROV_NOT_RT))
		return ERR_PTR(-EOPNOTSUPP);
	if (!IS_ENABLED(CONFIG_PREEMPT_RT) && (kind->flags & PROV_ONLY_RT)) {
		pr_notice("vigil_provoke: %s needs a kernel with PREEMPT_RT\n",
			  kind->name);
		return ERR_PTR(-EOPNOTSUPP);
	}

	s = kzalloc_obj(*s);
	if (!s)
		return ERR_PTR(-ENOMEM);
	kref_init(&s->ref);
	s->kind = kind;
	s->args = *args;
	s->max = user || (kind->flags & PROV_ROUNDS) ? 1 : args->count;
	init_waitqueue_head(&s->left);
	init_completion(&s->go);
	init_completion(&s->hold);
	init_completion(&s->free_victims);
	init_completion(&s->gone);
	INIT_DELAYED_WORK(&s->timeout, prov_timeout);

	if (kind->plan) {
		err = kind->plan(s);
		if (err)
			goto fail;
		err = -ENOMEM;
	}
	s->victims = kvcalloc(s->max, sizeof(*s->victims), GFP_KERNEL);
	if (!s->victims)
		goto fail;
	if (kind->prepare) {
		err = kind->prepare(s);
		if (err)
			goto fail;
	}
	err = prov_enlist(s);
	if (err)
		goto fail;
	return s;
fail:
	prov_put(s);
	return ERR_PTR(err);
}

static int prov_await_stuck(struct prov_stall *s)
{
	unsigned int i;
	int err;

	err = prov_await_victims(s, prov_victim_began);
	for (i = 0; i < s->made && !err; i++)
		err = s->victims[i].err;
	return err;
}

/*
 * A stall of CPUs can be ended from when it is let go, not only from when it
 * stands: the CPU that this runs on may be one of them.
 */
static int prov_run_cpus(struct prov_stall *s)
{
	int err;

	err = prov_create_victims(s);
	if (!err)
		err = prov_await_victims(s, prov_victim_ready);
	if (!err && s->kind->stage)
		err = s->kind->stage(s);
	if (err) {
		prov_teardown(s);
		prov_delist(s);
		return err;
	}
	/* From here on it can be ended and freed at any time. */
	kref_get(&s->ref);
	s->went = true;
	prov_publish(s);
	/* Wakes all of them with interrupts off: none can keep us from the next. */
	complete_all(&s->go);

	err = prov_await_stuck(s);
	if (err)
		prov_end(s);
	prov_put(s);
	return err;
}

static int prov_run(const struct prov_kind *kind, const struct prov_args *args)
{
	struct prov_stall *s = prov_new(kind, args, false);
	int err;

	if (IS_ERR(s))
		return PTR_ERR(s);
	if (kind->flags & PROV_CPUS)
		return prov_run_cpus(s);
	err = prov_start_holder(s);
	if (!err)
		err = prov_start_victims(s);
	if (err) {
		prov_teardown(s);
		prov_delist(s);
		return err;
	}
	prov_publish(s);
	return 0;
}

static int prov_block(const struct prov_kind *kind, const struct prov_args *args)
{
	struct prov_stall *s = prov_new(kind, args, true);
	struct prov_thread *t;
	int err;

	if (IS_ERR(s))
		return PTR_ERR(s);
	err = prov_start_holder(s);
	if (err) {
		prov_teardown(s);
		prov_delist(s);
		return err;
	}
	t = &s->victims[0];
	t->stall = s;
	t->task = get_task_struct(current);
	t->user = true;
	s->made = 1;
	s->users = 1;
	/* From here on it can be ended and freed at any time. */
	kref_get(&s->ref);
	prov_publish(s);

	err = kind->victim(t);

	WRITE_ONCE(s->users, 0);
	wake_up_all(&s->left);
	/* Killed: nobody else ends it. Otherwise this waits for who does. */
	prov_end(s);
	prov_put(s);
	return err;
}

static void prov_end_all(void)
{
	struct prov_stall *s, *found;
	unsigned int nr;

	scoped_guard(mutex, &prov_lock)
		nr = prov_nr_stalls;
	/*
	 * A stall that another is ending is waited for. New ones go to the
	 * tail: counting keeps this from chasing them.
	 */
	while (nr--) {
		found = NULL;
		scoped_guard(mutex, &prov_lock) {
			list_for_each_entry(s, &prov_stalls, node) {
				if (!s->standing)
					continue;
				kref_get(&s->ref);
				found = s;
				break;
			}
		}
		if (!found)
			break;
		prov_end(found);
		prov_put(found);
	}
}

static int prov_end_id(unsigned int id)
{
	struct prov_stall *s;

	scoped_guard(mutex, &prov_lock) {
		s = prov_find(id);
		if (!s || !s->standing)
			return -ENOENT;
		kref_get(&s->ref);
	}
	prov_end(s);
	prov_put(s);
	return 0;
}

/* Command lines */

static int prov_number(const char *val, unsigned int min, unsigned int max,
		       unsigned int *res)
{
	if (kstrtouint(val, 10, res) || *res < min || *res > max)
		return -EINVAL;
	return 0;
}

static int prov_name(char *val, char *comm)
{
	int len = string_unescape_any_inplace(val);

	/* A \0 inside would cut it. */
	if (len < 1 || len >= TASK_COMM_LEN || strlen(val) != len)
		return -EINVAL;
	strscpy(comm, val, TASK_COMM_LEN);
	return 0;
}

static int prov_cpus(char *word, const char *val, struct prov_args *args)
{
	unsigned int cpu;

	if (args->cpus[0] || !*val || strscpy(args->cpus, val) < 0)
		return -EINVAL;
	args->but = !strcmp(word, "but");
	if (!strcmp(word, "cpu"))
		return prov_number(val, 0, UINT_MAX, &cpu);
	return 0;
}

static unsigned int *prov_field(struct prov_args *args, const struct prov_key *key)
{
	return (void *)args + key->offset;
}

static void prov_defaults(const struct prov_kind *kind, struct prov_args *args)
{
	const struct prov_key *key;

	args->secs = kind->flags & PROV_CPUS ? 3600 : 60;
	args->count = kind->def_count;
	for (key = kind->keys; key && key->name; key++)
		*prov_field(args, key) = key->def;
}

static int prov_word(const struct prov_kind *kind, bool user, char *word,
		     struct prov_args *args)
{
	const struct prov_key *key;
	char *val = strchr(word, '=');

	if (!val)
		return -EINVAL;
	*val++ = '\0';
	if (!strcmp(word, "secs"))
		return prov_number(val, 1, 3600, &args->secs);
	if (!strcmp(word, "id"))
		return prov_number(val, 1, PROV_FIRST_AUTO_ID - 1, &args->id);
	if (!strcmp(word, "count") && !user && kind->max_count)
		return prov_number(val, 1, kind->max_count, &args->count);
	if (!strcmp(word, "name") && !user)
		return prov_name(val, args->comm);
	if ((kind->flags & PROV_CPUS) &&
	    (!strcmp(word, "cpu") || !strcmp(word, "cpus") || !strcmp(word, "but")))
		return prov_cpus(word, val, args);
	for (key = kind->keys; key && key->name; key++)
		if (!strcmp(word, key->name))
			return prov_number(val, key->min, key->max,
					   prov_field(args, key));
	return -EINVAL;
}

/*
 * @def: the kind when the line names none, for a task that blocks itself;
 * NULL for "run".
 */
static int prov_parse(char *line, const char *def, const struct prov_kind **kindp,
		      struct prov_args *args)
{
	const struct prov_kind *kind = NULL;
	char *word;
	int err;

	*args = (struct prov_args){};
	while ((word = strsep(&line, " \t\n"))) {
		if (!*word)
			continue;
		if (!kind) {
			bool named = !strchr(word, '=');

			if (!named && !def)
				return -EINVAL;
			kind = prov_find_kind(named ? word : def);
			if (!kind || (def && !(kind->flags & PROV_USER)))
				return -EINVAL;
			prov_defaults(kind, args);
			if (named)
				continue;
		}
		err = prov_word(kind, def, word, args);
		if (err)
			return err;
	}
	if (!kind) {
		if (!def)
			return -EINVAL;
		kind = prov_find_kind(def);
		prov_defaults(kind, args);
	}
	*kindp = kind;
	return 0;
}

static char *prov_line(const char __user *buf, size_t len, const loff_t *pos)
{
	char *line;

	if (*pos || !len || len > PROV_MAX_LINE)
		return ERR_PTR(-EINVAL);
	line = memdup_user_nul(buf, len);
	if (!IS_ERR(line) && strlen(line) != len) {
		kfree(line);
		return ERR_PTR(-EINVAL);
	}
	return line;
}

static ssize_t prov_command(const char __user *buf, size_t len,
			    const loff_t *pos, const char *def)
{
	const struct prov_kind *kind;
	struct prov_args args;
	char *line;
	int err;

	line = prov_line(buf, len, pos);
	if (IS_ERR(line))
		return PTR_ERR(line);
	err = prov_parse(line, def, &kind, &args);
	kfree(line);
	if (!err)
		err = def ? prov_block(kind, &args) : prov_run(kind, &args);
	return err ?: len;
}

/* Files */

static ssize_t run_write(struct file *file, const char __user *buf, size_t len,
			 loff_t *pos)
{
	return prov_command(buf, len, pos, NULL);
}

static void run_line(struct seq_file *m, const struct prov_kind *k)
{
	const struct prov_key *key;

	seq_printf(m, "%-16s %s (secs= id= name=", k->name, k->help);
	if (k->max_count)
		seq_printf(m, " count=1..%u,%u", k->max_count, k->def_count);
	if (k->flags & PROV_CPUS)
		seq_puts(m, " cpu= cpus= but=");
	for (key = k->keys; key && key->name; key++) {
		seq_printf(m, " %s=%u..%u", key->name, key->min, key->max);
		if (key->def != PROV_ANY_CPU)
			seq_printf(m, ",%u", key->def);
	}
	if (k->flags & PROV_USER)
		seq_puts(m, "; block_me");
	seq_puts(m, ")\n");
}

static int run_show(struct seq_file *m, void *unused)
{
	unsigned int p, i;

	for (p = 0; p < ARRAY_SIZE(prov_parts); p++)
		for (i = 0; i < *prov_parts[p].nr; i++)
			run_line(m, &prov_parts[p].kinds[i]);
	return 0;
}
DEFINE_SHOW_STORE_ATTRIBUTE(run);

static void active_line(struct seq_file *m, struct prov_stall *s)
{
	time64_t secs = ktime_get_seconds() - s->since;
	unsigned int i, asleep = 0;

	seq_printf(m, "%u %s tasks=", s->args.id, s->kind->name);
	for (i = 0; i < s->made; i++) {
		if (!s->kind->show && prov_victim_asleep(&s->victims[i]))
			asleep++;
		if (i < PROV_MAX_LISTED)
			seq_printf(m, "%s%d", i ? "," : "", s->victims[i].task->pid);
		else if (i == PROV_MAX_LISTED)
			seq_puts(m, ",...");
	}
	if (s->kind->show) {
		s->kind->show(m, s);
		return;
	}
	seq_printf(m, " holder=%d %lld count=%u asleep=%u left=%lld\n",
		   s->holder.task ? s->holder.task->pid : 0, secs, s->made,
		   asleep, max_t(time64_t, s->args.secs - secs, 0));
}

static int active_show(struct seq_file *m, void *unused)
{
	struct prov_stall *s;

	guard(mutex)(&prov_lock);
	list_for_each_entry(s, &prov_stalls, node)
		if (s->standing)
			active_line(m, s);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(active);

static const struct file_operations lockups_fops = {
	.owner = THIS_MODULE,
	.open = prov_lockups_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

static ssize_t end_write(struct file *file, const char __user *buf, size_t len,
			 loff_t *pos)
{
	char *line, *word;
	unsigned int id;
	int err = 0;

	line = prov_line(buf, len, pos);
	if (IS_ERR(line))
		return PTR_ERR(line);
	word = strim(line);
	if (!strcmp(word, "all"))
		prov_end_all();
	else if (kstrtouint(word, 10, &id))
		err = -EINVAL;
	else
		err = prov_end_id(id);
	kfree(line);
	return err ?: len;
}

static const struct file_operations end_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = end_write,
};

static ssize_t block_me_write(struct file *file, const char __user *buf,
			      size_t len, loff_t *pos)
{
	return prov_command(buf, len, pos, "completion");
}

static const struct file_operations block_me_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = block_me_write,
};

static ssize_t block_me_killable_write(struct file *file, const char __user *buf,
				       size_t len, loff_t *pos)
{
	return prov_command(buf, len, pos, "killable");
}

static const struct file_operations block_me_killable_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = block_me_killable_write,
};

static ssize_t spin_me_write(struct file *file, const char __user *buf, size_t len,
			     loff_t *pos)
{
	unsigned int ms;
	u64 end;
	int err;

	err = kstrtouint_from_user(buf, len, 10, &ms);
	if (err)
		return err;
	if (!ms || ms > 100000)
		return -ERANGE;
	guard(preempt)();
	end = local_clock() + ms * (u64)NSEC_PER_MSEC;
	while (local_clock() < end)
		cpu_relax();
	return len;
}

static const struct file_operations spin_me_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = spin_me_write,
};

static int __init prov_init(void)
{
	/* Unbound: the teardown of a stall sleeps for long. */
	prov_wq = alloc_workqueue("vigil_provoke", WQ_UNBOUND, 0);
	if (!prov_wq)
		return -ENOMEM;
	prov_dir = debugfs_create_dir("vigil_provoke", NULL);
	if (IS_ERR(prov_dir)) {
		destroy_workqueue(prov_wq);
		return PTR_ERR(prov_dir);
	}
	debugfs_create_file("run", 0600, prov_dir, NULL, &run_fops);
	debugfs_create_file("active", 0400, prov_dir, NULL, &active_fops);
	debugfs_create_file("lockups", 0400, prov_dir, NULL, &lockups_fops);
	debugfs_create_file("end", 0200, prov_dir, NULL, &end_fops);
	debugfs_create_file("block_me", 0200, prov_dir, NULL, &block_me_fops);
	debugfs_create_file("block_me_killable", 0200, prov_dir, NULL,
			    &block_me_killable_fops);
	debugfs_create_file("spin_me", 0200, prov_dir, NULL, &spin_me_fops);
	prov_delay_init(prov_dir);
	prov_misc_init(prov_dir);
	prov_nmi_init(prov_dir);
	prov_paused_init(prov_dir);
	prov_perf_init(prov_dir);
	return 0;
}

static void __exit prov_exit(void)
{
	/*
	 * An open file holds the module, so nobody starts or sits in a stall
	 * any more. What remains is ended here or by its time-out, and the
	 * work queue goes only after every run of a time-out.
	 */
	debugfs_remove(prov_dir);
	prov_delay_exit();
	prov_misc_exit();
	prov_nmi_exit();
	prov_paused_exit();
	prov_perf_exit();
	prov_end_all();
	prov_lockup_exit();
	destroy_workqueue(prov_wq);
}

module_init(prov_init);
module_exit(prov_exit);

MODULE_DESCRIPTION("Makes real stalls on command, for the tests of vigil");
MODULE_LICENSE("GPL");
