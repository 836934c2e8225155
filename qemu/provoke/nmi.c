// SPDX-License-Identifier: GPL-2.0
/*
 * An NMI that comes right after another one: the file "nmi_echo". After a CPU's
 * number is written to it, the next NMI of that CPU, whoever sent it, is followed
 * by one more, which nobody expects. It reads as how many echoes have come.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/nmi.h>
#include <linux/percpu.h>
#include <linux/smp.h>

#include "prov.h"

#ifdef CONFIG_X86
#include <asm/apic.h>

static DEFINE_PER_CPU(int, echo_wanted);
static DEFINE_PER_CPU(int, echo_sent);
static atomic_t echoes;
static bool echo_registered;

static int echo(unsigned int type, struct pt_regs *regs)
{
	if (raw_cpu_read(echo_sent)) {
		raw_cpu_write(echo_sent, 0);
		atomic_inc(&echoes);
	}
	if (raw_cpu_read(echo_wanted)) {
		raw_cpu_write(echo_wanted, 0);
		raw_cpu_write(echo_sent, 1);
		/* Taken when this one is through. */
		__apic_send_IPI_mask(cpumask_of(raw_smp_processor_id()), NMI_VECTOR);
	}
	return NMI_DONE;
}
NOKPROBE_SYMBOL(echo);

static int echo_set(void *data, u64 cpu)
{
	if (cpu >= nr_cpu_ids || !cpu_possible(cpu))
		return -ENXIO;
	WRITE_ONCE(per_cpu(echo_wanted, cpu), 1);
	return 0;
}

static int echo_get(void *data, u64 *count)
{
	*count = atomic_read(&echoes);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(echo_fops, echo_get, echo_set, "%llu\n");

void prov_nmi_init(struct dentry *dir)
{
	echo_registered = !register_nmi_handler(NMI_LOCAL, echo, 0, "vigil_provoke");
	if (echo_registered)
		debugfs_create_file("nmi_echo", 0600, dir, NULL, &echo_fops);
}

/* The file is gone. */
void prov_nmi_exit(void)
{
	if (echo_registered)
		unregister_nmi_handler(NMI_LOCAL, "vigil_provoke");
}
#else
void prov_nmi_init(struct dentry *dir)
{
}

void prov_nmi_exit(void)
{
}
#endif
