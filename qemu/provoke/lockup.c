// SPDX-License-Identifier: GPL-2.0
/*
 * Stalls of CPUs: soft lockups, hard lockups, and what must not be taken for
 * one.
 *
 * One kthread bound to each CPU concerned. All of them sleep at a barrier until
 * the core lets them go in one stroke, with interrupts off, so that a writer
 * who sits on one of the CPUs still starts them all. Each notes on the clock of
 * the kernel log when its stall began and when it ended.
 *
 * Everything here ends by itself: each spin polls the clock and s->released
 * (from one interrupt to the next, where there are any: see lockup_pause()).
 * Where nothing can be polled, inside of a spinlock's slow path or of the wait
 * for another CPU, the end comes from a hardirq on a CPU that is not part of
 * the stall, or from a spin that does poll.
 *
 * The length of a spin is taken from lockup_clock(): mdelay() is off by orders
 * of magnitude under emulation.
 *
 * Boot with tsc=reliable on x86. A stall makes the kernel distrust the TSC
 * easily, and from then on local_clock(), hence the kernel log and what is
 * noted here, stands still on a CPU whose interrupts are off.
 */
#include <linux/bottom_half.h>
#include <linux/console.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irq_work.h>
#include <linux/irqdesc.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/math64.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/overflow.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/stop_machine.h>
#include <linux/string.h>
#include <linux/tick.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#include <uapi/linux/sched/types.h>

#ifdef CONFIG_X86
#include <asm/apic.h>
#include <asm/tsc.h>
#elif defined(CONFIG_ARM64)
#include <clocksource/arm_arch_timer.h>
#include <asm/sysreg.h>
#endif

#include "prov.h"

#define PROV_MAX_RESULTS	256
/* How long the gap between two timers of a storm is bridged at most. */
#define STORM_MAX_GAP		(200 * NSEC_PER_MSEC)
/* Time for the next timer interrupt to become pending, where none can look. */
#define STORM_MARGIN		(50 * NSEC_PER_USEC)
/* Longest pause between two looks at whether it is. */
#define STORM_MAX_PAUSE		(128 * NSEC_PER_USEC)

/* One CPU of a stall; same index as its thread. */
struct lockup_cpu {
	struct prov_thread *t;
	unsigned int cpu;
	/* lockup_clock() at which the stall is over. */
	u64 deadline;
	union {
		struct tasklet_struct tasklet;
		struct {
			struct hrtimer timer;
			struct irq_work gap;
			struct completion done;
			/* An interrupt of no device; 0: none. */
			int irq;
		} storm;
	};
};

struct lockup {
	/* Threads that have not come to their end. */
	atomic_t left;
	/* Not part of the stall: ipi_wait's target, spinlock's time-keeper. */
	unsigned int other;
	raw_spinlock_t *lock;
	raw_spinlock_t own_lock;
	int lock_held;
	bool counting;
	struct hrtimer unlock;
	unsigned int nr;
	struct lockup_cpu cpus[] __counted_by(nr);
};

static struct lockup_cpu *lockup_cpu(struct prov_thread *t)
{
	struct lockup *l = t->stall->priv;

	return &l->cpus[t->idx];
}

/* Results */

struct lockup_result {
	unsigned int id;
	const char *kind;
	const char *role;
	unsigned int cpu;
	pid_t pid;
	u64 began;
	u64 ended;
};

static DEFINE_MUTEX(lockup_results_lock);
static struct lockup_result lockup_results[PROV_MAX_RESULTS];
static unsigned int lockup_nr_results;

static void lockup_keep(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;
	struct lockup *l = s->priv;
	struct lockup_result *r;

	guard(mutex)(&lockup_results_lock);
	r = &lockup_results[lockup_nr_results++ % PROV_MAX_RESULTS];
	r->id = s->args.id;
	r->kind = s->kind->name;
	r->cpu = t->cpu;
	r->pid = t->task->pid;
	r->role = t->cpu == l->other ? "target" : "stuck";
	r->began = t->began;
	r->ended = t->ended;
}

/* As printk() shows it. */
static void lockup_time(struct seq_file *m, u64 ns)
{
	u32 rem = do_div(ns, NSEC_PER_SEC);

	seq_printf(m, "%llu.%06u", ns, rem / (u32)NSEC_PER_USEC);
}

static int lockups_show(struct seq_file *m, void *unused)
{
	const struct lockup_result *r;
	unsigned int i;

	guard(mutex)(&lockup_results_lock);
	i = lockup_nr_results > PROV_MAX_RESULTS ?
		lockup_nr_results - PROV_MAX_RESULTS : 0;
	for (; i != lockup_nr_results; i++) {
		r = &lockup_results[i % PROV_MAX_RESULTS];
		seq_printf(m, "%u %s cpu=%u pid=%d began=", r->id, r->kind, r->cpu, r->pid);
		lockup_time(m, r->began);
		seq_puts(m, " ended=");
		lockup_time(m, r->ended);
		seq_printf(m, " role=%s\n", r->role);
	}
	return 0;
}

int prov_lockups_open(struct inode *inode, struct file *file)
{
	return single_open(file, lockups_show, NULL);
}

static void lockup_show(struct seq_file *m, struct prov_stall *s)
{
	struct prov_thread *t;
	unsigned int i;
	u64 began;

	seq_puts(m, " cpus=");
	for (i = 0; i < s->made; i++)
		seq_printf(m, "%s%u", i ? "," : "", s->victims[i].cpu);
	seq_printf(m, " ms=%u began=", s->args.ms);
	for (i = 0; i < s->made; i++) {
		t = &s->victims[i];
		began = READ_ONCE(t->began);
		seq_printf(m, "%s%u:", i ? "," : "", t->cpu);
		if (began)
			lockup_time(m, began);
		else
			seq_putc(m, '-');
	}
	seq_puts(m, " ended=");
	for (i = 0; i < s->made; i++) {
		t = &s->victims[i];
		seq_printf(m, "%s%u:", i ? "," : "", t->cpu);
		if (READ_ONCE(t->ended))
			lockup_time(m, READ_ONCE(t->ended));
		else
			seq_putc(m, '-');
	}
	/* For a test, which compares it with what a report says. */
	seq_printf(m, " lock=%lx\n", (unsigned long)((struct lockup *)s->priv)->lock);
}

/* The making of a stall */

static int lockup_mask(const struct prov_args *args, struct cpumask *mask)
{
	if (!args->cpus[0]) {
		cpumask_set_cpu(cpumask_last(cpu_online_mask), mask);
		return 0;
	}
	if (cpulist_parse(args->cpus, mask))
		return -EINVAL;
	if (args->but)
		cpumask_andnot(mask, cpu_online_mask, mask);
	else if (!cpumask_subset(mask, cpu_online_mask))
		return -ENXIO;
	return cpumask_empty(mask) ? -EINVAL : 0;
}

/* The CPU that is not in the stall: the one asked for, or the highest. */
static int lockup_other(const struct prov_args *args, const struct cpumask *mask,
			unsigned int *other)
{
	unsigned int cpu, best = nr_cpu_ids;

	if (args->target != PROV_ANY_CPU) {
		if (args->target >= nr_cpu_ids || !cpu_online(args->target))
			return -ENXIO;
		if (cpumask_test_cpu(args->target, mask))
			return -EINVAL;
		*other = args->target;
		return 0;
	}
	for_each_cpu_andnot(cpu, cpu_online_mask, mask)
		best = cpu;
	*other = best;
	return best < nr_cpu_ids ? 0 : -EINVAL;
}

static int lockup_plan_on(struct prov_stall *s, struct cpumask *mask)
{
	const struct prov_args *args = &s->args;
	unsigned int other = PROV_ANY_CPU, nr, cpu, i = 0;
	struct lockup *l;
	int err;

	err = lockup_mask(args, mask);
	if (!err && (s->kind->flags & PROV_OTHER_CPU))
		err = lockup_other(args, mask, &other);
	if (err)
		return err;
	if (s->kind->flags & PROV_OTHER_RUNS)
		cpumask_set_cpu(other, mask);

	nr = cpumask_weight(mask);
	l = kvzalloc(struct_size(l, cpus, nr), GFP_KERNEL);
	if (!l)
		return -ENOMEM;
	l->nr = nr;
	l->other = other;
	atomic_set(&l->left, nr);
	for_each_cpu(cpu, mask)
		l->cpus[i++].cpu = cpu;
	s->priv = l;
	s->max = nr;
	return 0;
}

static int lockup_plan(struct prov_stall *s)
{
	cpumask_var_t mask;
	int err;

	if (!zalloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;
	err = lockup_plan_on(s, mask);
	free_cpumask_var(mask);
	return err;
}

static int lockup_prepare(struct prov_stall *s)
{
	struct lockup *l = s->priv;
	unsigned int i;

	for (i = 0; i < l->nr; i++) {
		s->victims[i].cpu = l->cpus[i].cpu;
		l->cpus[i].t = &s->victims[i];
	}
	return 0;
}

static void lockup_release(struct prov_stall *s)
{
	/* Each spin looks at s->released. */
}

/*
 * Nanoseconds on this CPU. Not the clock source if it can be helped: it may be
 * a slow one that all CPUs fight for, and a narrow one that wraps around when
 * the CPU that keeps the time is the stuck one.
 */
static u64 lockup_clock(void)
{
#ifdef CONFIG_X86
	if (tsc_khz)
		return mul_u64_u32_div(rdtsc(), USEC_PER_SEC, tsc_khz);
#endif
	return ktime_get_mono_fast_ns();
}

/*
 * A stall begins on this CPU, which the caller cannot leave (or, as a bound
 * thread, does not). False: this is not the right one, because the right one
 * went offline; spin nowhere then.
 */
static bool lockup_begin(struct prov_thread *t)
{
	struct lockup_cpu *c = lockup_cpu(t);

	if (raw_smp_processor_id() != t->cpu) {
		WRITE_ONCE(t->err, -ENODEV);
		return false;
	}
	c->deadline = lockup_clock() + t->stall->args.ms * (u64)NSEC_PER_MSEC;
	WRITE_ONCE(t->began, local_clock());
	return true;
}

static void lockup_end(struct prov_thread *t)
{
	WRITE_ONCE(t->ended, local_clock());
}

static bool lockup_over(struct prov_thread *t)
{
	return READ_ONCE(t->stall->released) ||
	       lockup_clock() >= lockup_cpu(t)->deadline;
}

/*
 * Who may be interrupted waits for the next interrupt. To the kernel that is a
 * task that does not give up its CPU, as any; but an emulated CPU takes none of
 * its host's meanwhile, where other machines run. The tick is the next one at
 * the latest, but for a CPU that may go without it.
 */
static void lockup_pause(void)
{
	if (irqs_disabled() || tick_nohz_full_cpu(raw_smp_processor_id())) {
		cpu_relax();
		return;
	}
#ifdef CONFIG_X86
	native_halt();
#elif defined(CONFIG_ARM64)
	wfi();
#else
	cpu_relax();
#endif
}

static void lockup_spin(struct prov_thread *t)
{
	while (!lockup_over(t))
		lockup_pause();
}

static int lockup_victim(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;
	struct lockup *l = s->priv;

	if (!prov_barrier(t))
		return 0;
	/* A stall that is ended this early has not been one. */
	if (!READ_ONCE(s->released))
		s->kind->occupy(t);
	if (t->began)
		lockup_keep(t);
	if (atomic_dec_and_test(&l->left))
		prov_finish(s);
	return 0;
}

/*
 * A stall from its begin to its end, for which the caller has occupied the CPU.
 * Inline: the caller is to be on the stack.
 */
static __always_inline void lockup_spin_through(struct prov_thread *t)
{
	if (lockup_begin(t)) {
		lockup_spin(t);
		lockup_end(t);
	}
}

/* One way after the other to occupy a CPU */

static noinline void prov_preempt_off(struct prov_thread *t)
{
	preempt_disable();
	lockup_spin_through(t);
	preempt_enable();
}

static noinline void prov_irqs_off(struct prov_thread *t)
{
	unsigned long flags;

	local_irq_save(flags);
	lockup_spin_through(t);
	local_irq_restore(flags);
}

static enum hrtimer_restart prov_timer_off(struct hrtimer *timer)
{
	struct lockup_cpu *c = container_of(timer, struct lockup_cpu, storm.timer);

	lockup_spin_through(c->t);
	complete(&c->storm.done);
	return HRTIMER_NORESTART;
}

/* As prov_irqs_off(), in the handler of a timer. */
static noinline void prov_irqs_off_in_timer(struct prov_thread *t)
{
	struct lockup_cpu *c = lockup_cpu(t);

	init_completion(&c->storm.done);
	hrtimer_setup(&c->storm.timer, prov_timer_off, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&c->storm.timer, us_to_ktime(100), HRTIMER_MODE_REL_PINNED_HARD);
	wait_for_completion_state(&c->storm.done, TASK_IDLE);
	hrtimer_cancel(&c->storm.timer);
}

/*
 * The lock of a zone of memory from which hardly anything is allocated: who
 * prints how much of that is free waits for it.
 */
static noinline void prov_zone_lock(struct prov_thread *t)
{
	struct zone *zone = NODE_DATA(first_online_node)->node_zones;
	unsigned long flags;

	while (!populated_zone(zone))
		zone++;
	spin_lock_irqsave(&zone->lock, flags);
	lockup_spin_through(t);
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* The lock that keeps the lines of a stack together: who prints one waits for it. */
static noinline void prov_printk_lock(struct prov_thread *t)
{
	unsigned long flags;

	printk_cpu_sync_get_irqsave(flags);
	lockup_spin_through(t);
	printk_cpu_sync_put_irqrestore(flags);
}

/* Whose line hangs the console; NULL for no one's. */
static struct prov_thread *console_hangs;

/* A device that does not take the line: its owner waits, and has the console's lock. */
static noinline void prov_console_write(struct console *console, const char *text,
					unsigned int len)
{
	struct prov_thread *t = READ_ONCE(console_hangs);

	if (!t || t->task != current)
		return;
	WRITE_ONCE(console_hangs, NULL);
	lockup_spin_through(t);
}

static struct console prov_console = {
	.name	= "prov",
	.write	= prov_console_write,
	.flags	= CON_ENABLED,
	.index	= -1,
};

static noinline void prov_console_hang(struct prov_thread *t)
{
	unsigned long flags;

	local_irq_save(flags);
	WRITE_ONCE(console_hangs, t);
	/* Another CPU may be the one that prints a line. */
	while (READ_ONCE(console_hangs) && !READ_ONCE(t->stall->released)) {
		pr_emerg("a line at which the console hangs\n");
		mdelay(1);
	}
	WRITE_ONCE(console_hangs, NULL);
	local_irq_restore(flags);
}

static int console_prepare(struct prov_stall *s)
{
	if (!console_is_registered(&prov_console))
		register_console(&prov_console);
	return lockup_prepare(s);
}

/* Clean up, with no stall left. */
void prov_lockup_exit(void)
{
	if (console_is_registered(&prov_console))
		unregister_console(&prov_console);
}

#if __has_include("kernel/workqueue_internal.h")
#define HAS_POOL_LOCK

#include "kernel/workqueue_internal.h"

struct pool_work {
	struct work_struct work;
	/* The first member of struct worker_pool, which workqueue.c keeps to itself. */
	raw_spinlock_t *lock;
};

static void pool_work_fn(struct work_struct *work)
{
	struct worker *worker = kthread_data(current);

	container_of(work, struct pool_work, work)->lock = (raw_spinlock_t *)worker->pool;
}

/* The lock of this CPU's worker pool: who queues work to the CPU waits for it. */
static noinline void prov_pool_lock(struct prov_thread *t)
{
	struct pool_work pool;
	unsigned long flags;

	INIT_WORK_ONSTACK(&pool.work, pool_work_fn);
	queue_work_on(raw_smp_processor_id(), system_percpu_wq, &pool.work);
	flush_work(&pool.work);
	destroy_work_on_stack(&pool.work);
	raw_spin_lock_irqsave(pool.lock, flags);
	lockup_spin_through(t);
	raw_spin_unlock_irqrestore(pool.lock, flags);
}
#endif

#ifdef CONFIG_PREEMPT_NOTIFIERS
struct rq_notifier {
	struct preempt_notifier notifier;
	struct prov_thread *t;
};

static void rq_sched_in(struct preempt_notifier *notifier, int cpu)
{
}

/* Called with the run queue's lock held. */
static noinline void prov_rq_sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	struct rq_notifier *rq = container_of(notifier, struct rq_notifier, notifier);
	struct prov_thread *t = rq->t;

	rq->t = NULL;
	if (t)
		lockup_spin_through(t);
}

static struct preempt_ops rq_ops = {
	.sched_in	= rq_sched_in,
	.sched_out	= prov_rq_sched_out,
};

/* The lock of this CPU's run queue: who wakes a task to the CPU waits for it. */
static noinline void prov_rq_lock(struct prov_thread *t)
{
	struct rq_notifier rq = { .t = t };

	preempt_notifier_init(&rq.notifier, &rq_ops);
	preempt_notifier_inc();
	preempt_notifier_register(&rq.notifier);
	schedule_timeout_uninterruptible(1);
	preempt_notifier_unregister(&rq.notifier);
	preempt_notifier_dec();
}
#endif

static noinline void prov_bh_off(struct prov_thread *t)
{
	local_bh_disable();
	lockup_spin_through(t);
	local_bh_enable();
}

static void prov_softirq_spin(struct tasklet_struct *tasklet)
{
	struct lockup_cpu *c = container_of(tasklet, struct lockup_cpu, tasklet);

	lockup_spin_through(c->t);
}

static noinline void prov_softirq_hog(struct prov_thread *t)
{
	struct lockup_cpu *c = lockup_cpu(t);

	tasklet_setup(&c->tasklet, prov_softirq_spin);
	/* Raised with bottom halves off, it runs here and not in ksoftirqd. */
	local_bh_disable();
	tasklet_hi_schedule(&c->tasklet);
	local_bh_enable();
	/* Waits for it, should it run elsewhere after all. */
	tasklet_kill(&c->tasklet);
}

static noinline void prov_fifo_hog(struct prov_thread *t)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = SCHED_FIFO,
		.sched_priority = t->stall->args.prio,
	};

	t->err = sched_setattr_nocheck(current, &attr);
	if (t->err)
		return;
	lockup_spin_through(t);
	attr.sched_policy = SCHED_NORMAL;
	attr.sched_priority = 0;
	sched_setattr_nocheck(current, &attr);
}

static void lockup_spin_touching(struct prov_thread *t, void (*touch)(void))
{
	/* One shorter than a tick is a tick, where there are interrupts. */
	u64 step = t->stall->args.touch_ms * (u64)NSEC_PER_MSEC;
	int left = t->stall->args.count ?: INT_MAX;
	u64 next = lockup_clock() + (t->stall->args.count ? step : 0);

	while (!lockup_over(t)) {
		if (left && lockup_clock() >= next) {
			touch();
			next += step;
			left--;
		}
		lockup_pause();
	}
	/* The end is up to a step away from the last touch. */
	if (left)
		touch();
}

static noinline void prov_touch_softlockup(struct prov_thread *t)
{
	preempt_disable();
	if (lockup_begin(t)) {
		lockup_spin_touching(t, touch_softlockup_watchdog);
		lockup_end(t);
	}
	preempt_enable();
}

static noinline void prov_touch_nmi(struct prov_thread *t)
{
	unsigned long flags;

	local_irq_save(flags);
	if (lockup_begin(t)) {
		lockup_spin_touching(t, touch_nmi_watchdog);
		lockup_end(t);
	}
	local_irq_restore(flags);
}

static noinline void prov_flaps(struct prov_thread *t)
{
	struct prov_stall *s = t->stall;
	struct lockup_cpu *c = lockup_cpu(t);
	u64 len = s->args.ms * (u64)NSEC_PER_MSEC;
	unsigned long gap = s->args.gap_ms * USEC_PER_MSEC;
	unsigned long flags;

	if (!lockup_begin(t))
		return;
	while (!READ_ONCE(s->released)) {
		local_irq_save(flags);
		c->deadline = lockup_clock() + len;
		lockup_spin(t);
		local_irq_restore(flags);
		if (++t->rounds == s->args.count)
			break;
		usleep_range_idle(gap, gap + 50);
	}
	lockup_end(t);
}

/*
 * A lock that is not given back, without a second CPU in trouble: it is taken
 * as an arch_spinlock_t, which does not touch the preemption count, by the task
 * that starts the stall, and neither debugging code nor lockdep sees that.
 * The victims wait as everybody does.
 *
 * It is released by a timer in hardirq context, on a CPU that is not part of
 * the stall: a task there might itself have to wait for a victim, for example
 * to flush its TLB. Two such stalls at once could be each the prison of the
 * other's timer, so there is only one at a time. And one lock, in the same place
 * each time.
 */
static atomic_t spinlock_in_use;
static DEFINE_RAW_SPINLOCK(spinlock_lock);

static void spinlock_unlock(struct lockup *l)
{
	if (xchg(&l->lock_held, 0))
		arch_spin_unlock(&l->lock->raw_lock);
}

static enum hrtimer_restart spinlock_timer(struct hrtimer *timer)
{
	struct lockup *l = container_of(timer, struct lockup, unlock);
	struct prov_thread *t;
	unsigned int i, ms;

	if (l->counting) {
		spinlock_unlock(l);
		return HRTIMER_NORESTART;
	}
	l->counting = true;
	for (i = 0; i < l->nr; i++) {
		t = l->cpus[i].t;
		if (!READ_ONCE(t->began) && !READ_ONCE(t->err))
			l->counting = false;
	}
	ms = l->counting ? l->cpus[0].t->stall->args.ms : 1;
	hrtimer_forward_now(timer, ms_to_ktime(ms));
	return HRTIMER_RESTART;
}

static int spinlock_prepare(struct prov_stall *s)
{
	struct lockup *l = s->priv;

	l->lock = &spinlock_lock;
	hrtimer_setup(&l->unlock, spinlock_timer, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	return lockup_prepare(s);
}

static void spinlock_arm(void *data)
{
	struct lockup *l = data;

	hrtimer_start(&l->unlock, ms_to_ktime(1), HRTIMER_MODE_REL_PINNED_HARD);
}

static int spinlock_stage(struct prov_stall *s)
{
	struct lockup *l = s->priv;

	if (atomic_cmpxchg(&spinlock_in_use, 0, 1))
		return -EBUSY;
	s->staged = true;
	/* Whoever waited for the one before has it for a moment. */
	arch_spin_lock(&l->lock->raw_lock);
	WRITE_ONCE(l->lock_held, 1);
	return smp_call_function_single(l->other, spinlock_arm, l, 1);
}

static void spinlock_release(struct prov_stall *s)
{
	struct lockup *l = s->priv;

	spinlock_unlock(l);
	hrtimer_cancel(&l->unlock);
	if (s->staged)
		atomic_set(&spinlock_in_use, 0);
}

static noinline void prov_spinlock(struct prov_thread *t)
{
	struct lockup *l = t->stall->priv;

	preempt_disable();
	if (lockup_begin(t)) {
		raw_spin_lock(l->lock);
		lockup_end(t);
		raw_spin_unlock(l->lock);
	}
	preempt_enable();
}

static noinline void prov_spinlock_irqsave(struct prov_thread *t)
{
	struct lockup *l = t->stall->priv;
	unsigned long flags;

	preempt_disable();
	if (lockup_begin(t)) {
		raw_spin_lock_irqsave(l->lock, flags);
		lockup_end(t);
		raw_spin_unlock_irqrestore(l->lock, flags);
	}
	preempt_enable();
}

static void spinlock_occupy(struct prov_thread *t)
{
	if (t->stall->args.irqsave)
		prov_spinlock_irqsave(t);
	else
		prov_spinlock(t);
}

/* A CPU that waits for one that has its interrupts off. */

static void ipi_nothing(void *unused)
{
}

static noinline void prov_ipi_wait(struct prov_thread *t)
{
	struct lockup *l = t->stall->priv;

	preempt_disable();
	if (lockup_begin(t)) {
		smp_call_function_single(l->other, ipi_nothing, NULL, 1);
		lockup_end(t);
	}
	preempt_enable();
}

static struct prov_thread *ipi_target(struct lockup *l)
{
	unsigned int i;

	for (i = 0; l->cpus[i].cpu != l->other; i++)
		;
	return l->cpus[i].t;
}

static void ipi_occupy(struct prov_thread *t)
{
	struct lockup *l = t->stall->priv;
	struct prov_thread *target = ipi_target(l);

	if (t == target) {
		prov_irqs_off(t);
		return;
	}
	/* Its stall is what ends ours, so it has to be there first. */
	while (!READ_ONCE(target->began)) {
		if (READ_ONCE(target->err) || READ_ONCE(t->stall->released))
			return;
		usleep_range_idle(100, 200);
	}
	prov_ipi_wait(t);
}

/* A lock that the target has, with its interrupts off: the others spin for it. */

static noinline void prov_lock_holder(struct prov_thread *t)
{
	struct lockup *l = t->stall->priv;
	unsigned long flags;

	raw_spin_lock_irqsave(l->lock, flags);
	lockup_spin_through(t);
	raw_spin_unlock_irqrestore(l->lock, flags);
}

static void lock_held_occupy(struct prov_thread *t)
{
	struct prov_thread *target = ipi_target(t->stall->priv);

	if (t == target) {
		prov_lock_holder(t);
		return;
	}
	while (!READ_ONCE(target->began)) {
		if (READ_ONCE(target->err) || READ_ONCE(t->stall->released))
			return;
		usleep_range_idle(100, 200);
	}
	prov_spinlock(t);
}

static int lock_held_prepare(struct prov_stall *s)
{
	struct lockup *l = s->priv;

	raw_spin_lock_init(&l->own_lock);
	l->lock = &l->own_lock;
	return lockup_prepare(s);
}

/*
 * A CPU that waits for one that another stall keeps: it ends when that one does.
 */

static noinline void prov_call_many(struct lockup *l)
{
	smp_call_function_many(cpumask_of(l->other), ipi_nothing, NULL, 1);
}

/* Unmaps memory for good: all CPUs have to flush their TLBs. */
static noinline void prov_flush_tlb(void)
{
	void *page = vmalloc(PAGE_SIZE);

	vfree(page);
	vm_unmap_aliases();
}

static int stop_nothing(void *unused)
{
	return 0;
}

static noinline void prov_cpu_wait(struct prov_thread *t)
{
	struct lockup *l = t->stall->priv;

	if (!lockup_begin(t))
		return;
	switch (t->stall->args.how) {
	case 0:
		preempt_disable();
		prov_call_many(l);
		preempt_enable();
		break;
	case 1:
		prov_flush_tlb();
		break;
	case 2:
		stop_machine(stop_nothing, NULL, NULL);
		break;
	}
	lockup_end(t);
}

#ifdef CONFIG_ARM64
static bool storm_is_due(u64 control)
{
	const u64 due = ARCH_TIMER_CTRL_ENABLE | ARCH_TIMER_CTRL_IT_STAT;

	return (control & (due | ARCH_TIMER_CTRL_IT_MASK)) == due;
}
#endif

/*
 * A storm of timer interrupts. A storm leaves some time to the tasks between
 * two interrupts, on real hardware next to nothing, but under emulation a timer
 * comes in as late as 100 us and more, which is plenty. So the gap is filled by
 * a second interrupt: before the timer's handler returns it raises an irq_work,
 * which is taken before the task goes on, and waits there until the next timer
 * interrupt is pending. That in turn lets all other timers of this CPU run,
 * the ones of lockup detectors among them.
 */
static bool storm_is_pending(u64 late)
{
#ifdef CONFIG_X86
	/* lapic_vector_set_in_irr(), without the static call's symbol. */
	return apic->read(APIC_IRR + LOCAL_TIMER_VECTOR / 32 * 0x10) &
	       BIT(LOCAL_TIMER_VECTOR % 32);
#elif defined(CONFIG_ARM64)
	/* Of the two timers that a kernel may use, one is on. */
	return storm_is_due(read_sysreg(cntv_ctl_el0)) ||
	       storm_is_due(read_sysreg(cntp_ctl_el0));
#else
	return late >= STORM_MARGIN;
#endif
}

static void storm_pause_until(struct lockup_cpu *c, u64 time)
{
	while (ktime_get_mono_fast_ns() < time && !READ_ONCE(c->t->stall->released))
		cpu_relax();
}

static void prov_storm_gap(struct irq_work *work)
{
	struct lockup_cpu *c = container_of(work, struct lockup_cpu, storm.gap);
	u64 expires = ktime_to_ns(hrtimer_get_expires(&c->storm.timer));
	u64 pause = NSEC_PER_USEC, late = 0;

	storm_pause_until(c, expires);
	/*
	 * Looking more and more rarely: an emulated interrupt controller is
	 * locked while it is looked at, and needs that lock to raise the timer.
	 */
	while (!READ_ONCE(c->t->stall->released) && late < STORM_MAX_GAP &&
	       !storm_is_pending(late)) {
		late += pause;
		storm_pause_until(c, expires + late);
		pause = min(2 * pause, STORM_MAX_PAUSE);
	}
}

static enum hrtimer_restart prov_storm_fire(struct hrtimer *timer)
{
	struct lockup_cpu *c = container_of(timer, struct lockup_cpu, storm.timer);
	const struct prov_args *args = &c->t->stall->args;
	u64 start = ktime_get_mono_fast_ns();

	if (!c->t->began && !lockup_begin(c->t)) {
		complete(&c->storm.done);
		return HRTIMER_NORESTART;
	}
	if (lockup_over(c->t)) {
		lockup_end(c->t);
		complete(&c->storm.done);
		return HRTIMER_NORESTART;
	}
	c->t->rounds++;
	if (c->storm.irq)
		generic_handle_irq(c->storm.irq);
	while (ktime_get_mono_fast_ns() < start + args->work * NSEC_PER_USEC)
		cpu_relax();
	/* Not in the past, or the timer code would run it again right away. */
	hrtimer_set_expires(timer, ns_to_ktime(max(start + args->us * NSEC_PER_USEC,
						   ktime_get_mono_fast_ns() + 2000)));
	irq_work_queue(&c->storm.gap);
	return HRTIMER_RESTART;
}

static irqreturn_t prov_storm_irq(int irq, void *arg)
{
	return IRQ_HANDLED;
}

/*
 * An interrupt with a number and a name that is raised by software: one of a
 * device does not get through a storm of the timer, which is more urgent.
 */
static int storm_make_irq(struct lockup_cpu *c)
{
	int err, irq = irq_alloc_desc(cpu_to_node(c->cpu));

	if (irq < 0)
		return irq;
	irq_set_chip_and_handler(irq, &dummy_irq_chip, handle_simple_irq);
	irq_modify_status(irq, IRQ_NOREQUEST, IRQ_NOPROBE);
	err = request_irq(irq, prov_storm_irq, IRQF_NO_THREAD, "prov storm", c);
	if (err) {
		irq_free_desc(irq);
		return err;
	}
	return irq;
}

static noinline void prov_hrtimer_storm(struct prov_thread *t)
{
	struct lockup_cpu *c = lockup_cpu(t);

	c->storm.irq = 0;
	if (t->stall->args.irq) {
		int irq = storm_make_irq(c);

		if (irq < 0) {
			WRITE_ONCE(t->err, irq);
			return;
		}
		c->storm.irq = irq;
	}
	init_completion(&c->storm.done);
	c->storm.gap = IRQ_WORK_INIT_HARD(prov_storm_gap);
	hrtimer_setup(&c->storm.timer, prov_storm_fire, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&c->storm.timer, us_to_ktime(t->stall->args.us),
		      HRTIMER_MODE_REL_PINNED_HARD);
	wait_for_completion_state(&c->storm.done, TASK_IDLE);
	hrtimer_cancel(&c->storm.timer);
	irq_work_sync(&c->storm.gap);
	if (c->storm.irq) {
		free_irq(c->storm.irq, c);
		irq_free_desc(c->storm.irq);
	}
}

#define KEY(_name, _field, _min, _max, _def) {				\
	.name = _name, .offset = offsetof(struct prov_args, _field),	\
	.min = _min, .max = _max, .def = _def }
#define KEY_MS		KEY("ms", ms, 1, 120000, 5000)
#define KEY_TARGET	KEY("target", target, 0, NR_CPUS - 1, PROV_ANY_CPU)

static const struct prov_key lockup_keys[] = { KEY_MS, {} };
static const struct prov_key spinlock_keys[] = {
	KEY_MS, KEY_TARGET, KEY("irqsave", irqsave, 0, 1, 0), {}
};

static const struct prov_key ipi_keys[] = { KEY_MS, KEY_TARGET, {} };
static const struct prov_key cpu_wait_keys[] = {
	KEY_TARGET, KEY("how", how, 0, 2, 0), {}
};

static const struct prov_key storm_keys[] = {
	/*
	 * With much less a kernel full of checks finds the next timer due before
	 * it has left the interrupt of the one before, three times over, and
	 * from then on puts interrupts off by as long as the longest of these
	 * ever took: hrtimer_interrupt(), max_hang_time.
	 */
	KEY_MS, KEY("us", us, 5, 100000, 200), KEY("work", work, 1, 100000, 15),
	KEY("irq", irq, 0, 1, 0), {}
};

static const struct prov_key fifo_keys[] = {
	KEY_MS, KEY("prio", prio, 1, 99, 98), {}
};

static const struct prov_key touch_keys[] = {
	KEY_MS, KEY("touch_ms", touch_ms, 1, 120000, 1000),
	/* So many touches, the first after touch_ms, and then none; 0: to the end. */
	KEY("count", count, 0, 1000000, 0), {}
};

static const struct prov_key flaps_keys[] = {
	KEY("ms", ms, 1, 120000, 500), KEY("gap_ms", gap_ms, 1, 120000, 100),
	KEY("count", count, 1, 1000000, 10), {}
};

#define LOCKUP(_name, _tag, _occupy, _keys)				\
	.name = _name, .tag = _tag, .occupy = _occupy, .keys = _keys,	\
	.plan = lockup_plan, .victim = lockup_victim, .show = lockup_show
#define LOCKUP_PLAIN(_name, _tag, _occupy, _keys)			\
	LOCKUP(_name, _tag, _occupy, _keys),				\
	.prepare = lockup_prepare, .release = lockup_release

const struct prov_kind prov_lockup_kinds[] = {
	{
		LOCKUP_PLAIN("preempt_off", "preempt", prov_preempt_off, lockup_keys),
		.help = "keeps its CPU with preemption off: a soft lockup",
		.flags = PROV_CPUS,
	}, {
		LOCKUP_PLAIN("irqs_off", "irqs", prov_irqs_off, lockup_keys),
		.help = "spins with interrupts off: a hard lockup",
		.flags = PROV_CPUS,
	}, {
		LOCKUP_PLAIN("irqs_off_in_timer", "timer", prov_irqs_off_in_timer, lockup_keys),
		.help = "spins in a timer's handler with interrupts off: a hard lockup",
		.flags = PROV_CPUS,
	}, {
		/* With PREEMPT_RT the lock is one that sleeps. */
		LOCKUP_PLAIN("zone_lock", "zone", prov_zone_lock, lockup_keys),
		.help = "spins with interrupts off and a zone's lock held: a hard lockup",
		.flags = PROV_CPUS | PROV_NOT_RT,
	}, {
		LOCKUP_PLAIN("printk_lock", "printk", prov_printk_lock, lockup_keys),
		.help = "spins with interrupts off and printk_cpu_sync held: a hard lockup",
		.flags = PROV_CPUS,
	}, {
		LOCKUP("console_hang", "console", prov_console_hang, lockup_keys),
		.help = "spins with interrupts off in a console's write(): a hard lockup",
		.flags = PROV_CPUS | PROV_NOT_RT,
		.prepare = console_prepare,
		.release = lockup_release,
#ifdef HAS_POOL_LOCK
	}, {
		LOCKUP_PLAIN("pool_lock", "pool", prov_pool_lock, lockup_keys),
		.help = "spins with interrupts off and a worker pool's lock held: a hard lockup",
		.flags = PROV_CPUS,
#endif
#ifdef CONFIG_PREEMPT_NOTIFIERS
	}, {
		LOCKUP_PLAIN("rq_lock", "rq", prov_rq_lock, lockup_keys),
		.help = "spins with interrupts off and the run queue's lock held: a hard lockup",
		.flags = PROV_CPUS,
#endif
	}, {
		/* With PREEMPT_RT both can be preempted. */
		LOCKUP_PLAIN("bh_off", "bh", prov_bh_off, lockup_keys),
		.help = "keeps its CPU with bottom halves off: a soft lockup",
		.flags = PROV_CPUS | PROV_NOT_RT,
	}, {
		LOCKUP_PLAIN("softirq_hog", "softirq", prov_softirq_hog, lockup_keys),
		.help = "keeps its CPU in a tasklet: a soft lockup",
		.flags = PROV_CPUS | PROV_NOT_RT,
	}, {
		LOCKUP("spinlock", "spin", spinlock_occupy, spinlock_keys),
		.help = "waits for a spinlock that nobody gives back",
		.flags = PROV_CPUS | PROV_OTHER_CPU,
		.prepare = spinlock_prepare,
		.stage = spinlock_stage,
		.release = spinlock_release,
	}, {
		LOCKUP_PLAIN("ipi_wait", "ipi", ipi_occupy, ipi_keys),
		.help = "waits for another CPU, which has its interrupts off",
		.flags = PROV_CPUS | PROV_OTHER_CPU | PROV_OTHER_RUNS,
	}, {
		LOCKUP("lock_held", "held", lock_held_occupy, ipi_keys),
		.help = "spins for a spinlock that another CPU has, with its interrupts off",
		.flags = PROV_CPUS | PROV_OTHER_CPU | PROV_OTHER_RUNS,
		.prepare = lock_held_prepare,
		.release = lockup_release,
	}, {
		LOCKUP_PLAIN("cpu_wait", "wait", prov_cpu_wait, cpu_wait_keys),
		.help = "waits for a stuck CPU; how: 0 many, 1 TLB, 2 stop_machine()",
		.flags = PROV_CPUS | PROV_OTHER_CPU,
	}, {
		LOCKUP_PLAIN("hrtimer_storm", "storm", prov_hrtimer_storm, storm_keys),
		.help = "timer interrupts without a pause: a soft lockup",
		.flags = PROV_CPUS,
	}, {
		LOCKUP_PLAIN("fifo_hog", "fifo", prov_fifo_hog, fifo_keys),
		.help = "keeps its CPU as a real-time task: no lockup",
		.flags = PROV_CPUS,
	}, {
		LOCKUP_PLAIN("touch_softlockup", "touch_s", prov_touch_softlockup, touch_keys),
		.help = "preempt_off with touch_softlockup_watchdog(): no lockup",
		.flags = PROV_CPUS,
	}, {
		LOCKUP_PLAIN("touch_nmi", "touch_n", prov_touch_nmi, touch_keys),
		.help = "irqs_off with touch_nmi_watchdog(): no lockup",
		.flags = PROV_CPUS,
	}, {
		LOCKUP_PLAIN("flaps", "flaps", prov_flaps, flaps_keys),
		.help = "interrupts off for ms, on for gap_ms, count times: no lockup",
		.flags = PROV_CPUS,
	},
};

const unsigned int prov_lockup_nr = ARRAY_SIZE(prov_lockup_kinds);
