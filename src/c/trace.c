// SPDX-License-Identifier: GPL-2.0
/*
 * The trace events of vigil.
 */
#define CREATE_TRACE_POINTS
#include "vigil_trace.h"

#include "vigil.h"

/**
 * vigil_trace_incident_event() - trace what happens to an incident
 * @event: what
 * @incident: the incident
 *
 * Context: any, NMI included.
 */
void vigil_trace_incident_event(enum vigil_trace_event event,
				const struct vigil_trace_incident *incident)
{
	switch (event) {
	case VIGIL_TRACE_START:
		trace_incident_start(incident);
		break;
	case VIGIL_TRACE_CHANGE:
		trace_incident_change(incident);
		break;
	case VIGIL_TRACE_END:
		trace_incident_end(incident);
		break;
	}
}

/**
 * vigil_trace_hung_task_scan() - trace a scan for hung tasks
 * @duration: how long it took, in nanoseconds
 * @scanned: tasks that were looked at
 * @tracked: tasks that are tracked after it
 * @hung: tasks that are hung
 * @full: not 0 if all tasks were to be looked at
 *
 * Context: process context.
 */
void vigil_trace_hung_task_scan(unsigned long long duration, unsigned int scanned,
				unsigned int tracked, unsigned int hung, unsigned int full)
{
	trace_hung_task_scan(duration, scanned, tracked, hung, full);
}
