/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The trace events of vigil: events/vigil in tracefs.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vigil

#if !defined(VIGIL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VIGIL_TRACE_H

#include <linux/sched.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include "vigil.h"

/* ListedKind of src/logic/incident_table.rs. */
#define show_vigil_kind(kind)			\
	__print_symbolic(kind,			\
			 { 1, "hung_task" },	\
			 { 2, "soft_lockup" },	\
			 { 3, "hard_lockup" },	\
			 { 4, "unresponsive_cpu" }, \
			 { 5, "root_cause" })

/* How of src/logic/incident_table.rs. */
#define show_vigil_how(how)			\
	__print_symbolic(how,			\
			 { 0, "on" },		\
			 { 1, "recovered" },	\
			 { 2, "exited" },	\
			 { 3, "regrouped" },	\
			 { 4, "frozen" },	\
			 { 5, "unwatched" })

DECLARE_EVENT_CLASS(vigil_incident,

	TP_PROTO(const struct vigil_trace_incident *incident),

	TP_ARGS(incident),

	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, age)
		__field(u32, kind)
		__field(u32, cpu)
		__field(pid_t, pid)
		__array(char, comm, TASK_COMM_LEN)
		__field(u32, behind)
		__field(u32, how)
	),

	TP_fast_assign(
		__entry->id = incident->id;
		__entry->age = incident->age;
		__entry->kind = incident->kind;
		__entry->cpu = incident->cpu;
		__entry->pid = incident->pid;
		memcpy(__entry->comm, incident->comm, TASK_COMM_LEN);
		__entry->behind = incident->behind;
		__entry->how = incident->how;
	),

	TP_printk("id=%llu kind=%s cpu=%u pid=%d comm=%.16s age=%llu behind=%u state=%s",
		  __entry->id, show_vigil_kind(__entry->kind), __entry->cpu, __entry->pid,
		  __entry->comm, __entry->age, __entry->behind, show_vigil_how(__entry->how))
);

DEFINE_EVENT(vigil_incident, incident_start,

	TP_PROTO(const struct vigil_trace_incident *incident),

	TP_ARGS(incident)
);

DEFINE_EVENT(vigil_incident, incident_change,

	TP_PROTO(const struct vigil_trace_incident *incident),

	TP_ARGS(incident)
);

DEFINE_EVENT(vigil_incident, incident_end,

	TP_PROTO(const struct vigil_trace_incident *incident),

	TP_ARGS(incident)
);

TRACE_EVENT(hung_task_scan,

	TP_PROTO(u64 duration, u32 scanned, u32 tracked, u32 hung, u32 full),

	TP_ARGS(duration, scanned, tracked, hung, full),

	TP_STRUCT__entry(
		__field(u64, duration)
		__field(u32, scanned)
		__field(u32, tracked)
		__field(u32, hung)
		__field(u32, full)
	),

	TP_fast_assign(
		__entry->duration = duration;
		__entry->scanned = scanned;
		__entry->tracked = tracked;
		__entry->hung = hung;
		__entry->full = full;
	),

	TP_printk("duration=%llu scanned=%u tracked=%u hung=%u full=%u",
		  __entry->duration, __entry->scanned, __entry->tracked, __entry->hung,
		  __entry->full)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE vigil_trace
#include <trace/define_trace.h>
