// SPDX-License-Identifier: GPL-2.0
/*
 * NMIs to other CPUs. The handler counts them, which shows the sender that a CPU
 * runs, and saves what the CPU was running.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>

#include "internal.h"
#include "vigil.h"

static DEFINE_PER_CPU(unsigned int, nmi_entered);
static DEFINE_PER_CPU(unsigned int, nmi_done);

/*
 * What the CPU was running at its last NMI. @seq is odd while that is being
 * written, which only the CPU's own NMI does; a raw seqcount, in effect.
 */
struct nmi_state {
	unsigned int seq;
	struct vigil_cpu_state cpu;
};

static DEFINE_PER_CPU(struct nmi_state, nmi_state);

#ifdef CONFIG_X86
#include <asm/apic.h>

/* NMIs that were sent to the CPU, and up to which of them it has handled them. */
static DEFINE_PER_CPU(atomic_t, nmi_sent);
static DEFINE_PER_CPU(atomic_t, nmi_handled);
static DEFINE_PER_CPU(u64, nmi_claimed_at);

/*
 * An NMI does not carry its sender. nmi_handler() claims the first one after
 * vigil_nmi_send(). If that was in truth another sender's, which came a moment
 * earlier, no handler claims ours, and the kernel reports an unknown NMI, or
 * panics. So nmi_unknown_handler() claims one more if it comes right after the
 * first.
 *
 * Claims cannot be matched by counting what was sent: two NMIs that arrive while
 * another is handled become one. A claim would be left over, and might swallow
 * the NMI by which an administrator wants a crash dump of the stuck machine. So
 * the second claim expires. It lasts as long as a late delivery takes on a vCPU
 * that its host preempts between the two.
 */
#define NMI_CLAIM_NS	(100 * NSEC_PER_MSEC)

static int nmi_handler(unsigned int type, struct pt_regs *regs)
{
	int sent = atomic_read_acquire(this_cpu_ptr(&nmi_sent));
	bool expected = sent != atomic_read(this_cpu_ptr(&nmi_handled));

	/* From here on the sender waits longer for nmi_done. */
	raw_cpu_inc(nmi_entered);
	if (expected) {
		vigil_nmi_snapshot_take(regs);
		/* An NMI that arrives now is delivered when this handler returns. */
		raw_cpu_write(nmi_claimed_at, ktime_get_mono_fast_ns());
		/* A CPU that reads this reads the snapshot. */
		atomic_set_release(this_cpu_ptr(&nmi_handled), sent);
	}
	/* So does one that reads the new nmi_done. */
	smp_wmb();
	raw_cpu_inc(nmi_done);
	/*
	 * One, and not two for the case that a second one comes: the kernel would
	 * then swallow the next NMI at the same instruction, however late. On a CPU
	 * that spins that is the one by which an administrator wants a dump.
	 */
	return expected ? NMI_HANDLED : NMI_DONE;
}
NOKPROBE_SYMBOL(nmi_handler);

/* Called for an NMI that no handler has claimed. */
static int nmi_unknown_handler(unsigned int type, struct pt_regs *regs)
{
	u64 claimed_at = raw_cpu_read(nmi_claimed_at);

	if (!claimed_at)
		return NMI_DONE;
	raw_cpu_write(nmi_claimed_at, 0);
	return ktime_get_mono_fast_ns() - claimed_at < NMI_CLAIM_NS ? NMI_HANDLED : NMI_DONE;
}
NOKPROBE_SYMBOL(nmi_unknown_handler);

/**
 * vigil_nmi_register() - register the NMI handlers
 *
 * Context: may sleep.
 * Return: 0 or an error; -ENODEV on an architecture that cannot send an NMI to
 * another CPU.
 */
int vigil_nmi_register(void)
{
	int err;

	err = register_nmi_handler(NMI_UNKNOWN, nmi_unknown_handler, 0, "vigil");
	if (err)
		return err;
	err = register_nmi_handler(NMI_LOCAL, nmi_handler, 0, "vigil");
	if (err)
		unregister_nmi_handler(NMI_UNKNOWN, "vigil");
	return err;
}

/**
 * vigil_nmi_unregister() - undo vigil_nmi_register() and wait for running handlers
 *
 * Context: may sleep.
 */
void vigil_nmi_unregister(void)
{
	unregister_nmi_handler(NMI_LOCAL, "vigil");
	unregister_nmi_handler(NMI_UNKNOWN, "vigil");
}

/**
 * vigil_nmi_send() - send an NMI to a CPU
 * @cpu: the CPU. It has to be online until the caller turns interrupts on: a CPU
 *	that waits for its start-up IPI must not get an NMI. A watched CPU is: it
 *	stops being watched before it goes offline, and stop_machine(), by which it
 *	goes, waits for a caller that has just seen that it is watched.
 *
 * Context: interrupts off.
 */
void vigil_nmi_send(unsigned int cpu)
{
	/* Fully ordered: the CPU sees the count when the NMI arrives. */
	atomic_inc_return(per_cpu_ptr(&nmi_sent, cpu));
	__apic_send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
}

/**
 * vigil_nmi_send_if_online() - send an NMI to a CPU, if it is online
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 * Return: whether it was sent.
 */
int vigil_nmi_send_if_online(unsigned int cpu)
{
	unsigned long flags;
	int online;

	/* stop_machine(), by which a CPU goes offline, waits for this. */
	local_irq_save(flags);
	online = cpu_online(cpu);
	if (online)
		vigil_nmi_send(cpu);
	local_irq_restore(flags);
	return online;
}

/**
 * vigil_nmi_forget() - forget what was sent to this CPU
 * @cpu: this CPU
 *
 * What was sent before it went offline, and did not arrive, does not come any
 * more: it must not claim another sender's NMI. What was sent just now, for a
 * backtrace, still comes, and is claimed by nmi_unknown_handler().
 *
 * Context: process context on @cpu.
 */
void vigil_nmi_forget(unsigned int cpu)
{
	atomic_t *handled = per_cpu_ptr(&nmi_handled, cpu);
	int old = atomic_read(handled);
	int sent = atomic_read(per_cpu_ptr(&nmi_sent, cpu));

	if (sent == old)
		return;
	WRITE_ONCE(*per_cpu_ptr(&nmi_claimed_at, cpu), ktime_get_mono_fast_ns());
	/* If it fails, the NMI has come meanwhile. */
	atomic_cmpxchg(handled, old, sent);
}

/**
 * vigil_nmi_is_answered() - tell whether a CPU has handled all that was sent to it
 * @cpu: a possible CPU
 *
 * Context: any, NMI included.
 */
int vigil_nmi_is_answered(unsigned int cpu)
{
	return atomic_read_acquire(per_cpu_ptr(&nmi_handled, cpu)) ==
	       atomic_read(per_cpu_ptr(&nmi_sent, cpu));
}

#else

int vigil_nmi_register(void)
{
	return -ENODEV;
}

void vigil_nmi_unregister(void)
{
}

void vigil_nmi_send(unsigned int cpu)
{
}

int vigil_nmi_send_if_online(unsigned int cpu)
{
	return 0;
}

void vigil_nmi_forget(unsigned int cpu)
{
}

int vigil_nmi_is_answered(unsigned int cpu)
{
	return 1;
}

#endif

/**
 * vigil_nmi_entered() - count the NMIs that a CPU has begun to handle
 * @cpu: a possible CPU
 *
 * NMIs of all senders count, while the handlers are registered.
 *
 * Context: any, NMI included.
 * Return: the count, which wraps.
 */
unsigned int vigil_nmi_entered(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&nmi_entered, cpu));
}

/**
 * vigil_nmi_done() - count the NMIs that a CPU has handled
 * @cpu: a possible CPU
 *
 * As vigil_nmi_entered(), at the end of the handler.
 *
 * Context: any, NMI included.
 * Return: the count, which wraps.
 */
unsigned int vigil_nmi_done(unsigned int cpu)
{
	return READ_ONCE(*per_cpu_ptr(&nmi_done, cpu));
}

/**
 * vigil_nmi_snapshot_take() - save what this CPU is running
 * @regs: the registers that the NMI interrupted
 *
 * Context: NMI.
 */
void vigil_nmi_snapshot_take(struct pt_regs *regs)
{
	struct nmi_state *state = this_cpu_ptr(&nmi_state);

	WRITE_ONCE(state->seq, state->seq + 1);
	/* A reader that sees any of what follows sees that seq is odd, or new. */
	smp_wmb();
	vigil_cpu_state_save(&state->cpu, regs);
	/* One that sees the new seq sees all of it. */
	smp_wmb();
	WRITE_ONCE(state->seq, state->seq + 1);
}
NOKPROBE_SYMBOL(vigil_nmi_snapshot_take);

/* How often a snapshot is read before one that changes is given up. */
#define SNAPSHOT_TRIES	1000

/*
 * Copy @size bytes from the beginning of the last snapshot of a CPU. Return
 * whether there was one that did not change meanwhile.
 */
static bool read_snapshot(unsigned int cpu, void *to, size_t size)
{
	struct nmi_state *state = per_cpu_ptr(&nmi_state, cpu);
	unsigned int seq, tries;

	for (tries = 0; tries < SNAPSHOT_TRIES; tries++) {
		seq = READ_ONCE(state->seq);
		if (!seq)
			return false;
		if (!(seq & 1)) {
			/* Pairs with those of vigil_nmi_snapshot_take(). */
			smp_rmb();
			memcpy(to, &state->cpu, size);
			/* As above. */
			smp_rmb();
			if (READ_ONCE(state->seq) == seq)
				return true;
		}
		cpu_relax();
	}
	return false;
}

/**
 * vigil_nmi_snapshot_read() - copy the last snapshot of a CPU
 * @cpu: a possible CPU
 * @snapshot: where to
 *
 * Context: any, NMI included.
 * Return: whether there was one.
 */
int vigil_nmi_snapshot_read(unsigned int cpu, struct vigil_nmi_snapshot *snapshot)
{
	/* It is the first member of the state. */
	if (!read_snapshot(cpu, snapshot, sizeof(*snapshot)))
		return 0;
	snapshot->depth = min(snapshot->depth, VIGIL_SNAPSHOT_DEPTH);
	return 1;
}

/**
 * vigil_nmi_snapshot_show() - print the last snapshot of a CPU
 * @cpu: a possible CPU
 * @skip_idle: print one line for a CPU that was idle
 *
 * Context: any, NMI included; prints a lot. Takes no lock but those of printk().
 * Return: whether there was one; 0 on an architecture where nothing is printed.
 */
int vigil_nmi_snapshot_show(unsigned int cpu, int skip_idle)
{
#ifdef CONFIG_X86
	struct vigil_cpu_state state;

	if (!read_snapshot(cpu, &state, sizeof(state)))
		return 0;
	if (skip_idle && state.snapshot.idle) {
		pr_warn("NMI backtrace for cpu %u skipped: idling at %pS\n", cpu,
			(void *)instruction_pointer(&state.regs));
		return 1;
	}
	pr_warn("NMI backtrace for cpu %u\n", cpu);
	return vigil_cpu_state_show(&state);
#else
	return 0;
#endif
}
