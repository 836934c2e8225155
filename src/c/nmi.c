// SPDX-License-Identifier: GPL-2.0
/*
 * NMIs to other CPUs. The handler counts them, which shows the sender that a CPU
 * runs, and saves what the CPU was running.
 */
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/timekeeping.h>

#include "internal.h"
#include "vigil.h"

static DEFINE_PER_CPU(unsigned int, nmi_entered);
static DEFINE_PER_CPU(unsigned int, nmi_done);
static DEFINE_PER_CPU(struct vigil_nmi_snapshot, nmi_snapshot);

#ifdef CONFIG_X86
#include <asm/apic.h>

static DEFINE_PER_CPU(int, nmi_expected);
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
	int expected = raw_cpu_read(nmi_expected);

	/* From here on the sender waits longer for nmi_done. */
	raw_cpu_inc(nmi_entered);
	if (expected) {
		raw_cpu_write(nmi_expected, 0);
		vigil_nmi_snapshot_take(regs);
		/* An NMI that arrives now is delivered when this handler returns. */
		raw_cpu_write(nmi_claimed_at, ktime_get_mono_fast_ns());
		/* A CPU that reads the new nmi_done reads this snapshot. */
		smp_wmb();
	}
	raw_cpu_inc(nmi_done);
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
	*per_cpu_ptr(&nmi_expected, cpu) = 1;
	/* The flag is visible before the NMI arrives. */
	smp_wmb();
	__apic_send_IPI_mask(cpumask_of(cpu), NMI_VECTOR);
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
	struct vigil_nmi_snapshot *snapshot = this_cpu_ptr(&nmi_snapshot);

	snapshot->pid = current->pid;
	memcpy(snapshot->comm, current->comm, sizeof(snapshot->comm));
	snapshot->depth = vigil_stack_save_regs(regs, snapshot->stack, VIGIL_STACK_DEPTH);
}
NOKPROBE_SYMBOL(vigil_nmi_snapshot_take);

/**
 * vigil_nmi_snapshot_read() - copy the last snapshot of a CPU
 * @cpu: a possible CPU
 * @snapshot: where to. If the CPU takes a new snapshot meanwhile, the copy mixes
 *	the two.
 *
 * Context: any, NMI included.
 */
void vigil_nmi_snapshot_read(unsigned int cpu, struct vigil_nmi_snapshot *snapshot)
{
	*snapshot = *per_cpu_ptr(&nmi_snapshot, cpu);
	snapshot->depth = min(snapshot->depth, VIGIL_STACK_DEPTH);
}
