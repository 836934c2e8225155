// SPDX-License-Identifier: GPL-2.0
/*
 * The incidents of each CPU that are on: the table has a fixed number of places, and a
 * machine may have more CPUs.
 */
#include <linux/compiler.h>
#include <linux/percpu.h>

#include "vigil.h"

struct cpu_incidents {
	/* Since when one of each kind is on, on the clock that stamps the log; or 0. */
	u64 since[VIGIL_NR_CPU_INCIDENTS];
};

static DEFINE_PER_CPU(struct cpu_incidents, cpu_incidents);

/**
 * vigil_cpu_incident_set() - note since when an incident of a CPU is on
 * @cpu: a possible CPU
 * @kind: what was found
 * @since: when it began, or 0: none is on
 *
 * Context: any, NMI included.
 */
void vigil_cpu_incident_set(unsigned int cpu, enum vigil_cpu_incident kind,
			    unsigned long long since)
{
	WRITE_ONCE(per_cpu(cpu_incidents, cpu).since[kind], since);
}

/**
 * vigil_cpu_incident_since() - tell since when an incident of a CPU is on
 * @cpu: a possible CPU
 * @kind: what was found
 *
 * Context: any, NMI included.
 * Return: what vigil_cpu_incident_set() was given last, or 0.
 */
unsigned long long vigil_cpu_incident_since(unsigned int cpu, enum vigil_cpu_incident kind)
{
	return READ_ONCE(per_cpu(cpu_incidents, cpu).since[kind]);
}
