// SPDX-License-Identifier: GPL-2.0

//! The trace events of vigil, `events/vigil` in tracefs. On kernels without trace events nothing happens.
//!
//! C headers: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h), `src/c/vigil_trace.h`

use super::ffi;
use crate::logic::{
    event::EventKind,
    incident_table::Listed, //
};

/// Traces what happens to an incident. `now`: on the clock that stamps the log.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn incident(kind: EventKind, id: u64, listed: &Listed, now: u64) {
    let event = match kind {
        EventKind::Start => ffi::vigil_trace_event_VIGIL_TRACE_START,
        EventKind::Change => ffi::vigil_trace_event_VIGIL_TRACE_CHANGE,
        EventKind::End => ffi::vigil_trace_event_VIGIL_TRACE_END,
    };
    let incident = ffi::vigil_trace_incident {
        id,
        age: listed.end.map_or_else(|| listed.age_at(now), |end| end.age),
        kind: listed.kind as u32,
        cpu: listed.cpu,
        pid: listed.task.map_or(-1, |task| task.pid),
        comm: listed.task.unwrap_or_default().comm.padded(),
        behind: listed.details.behind,
        how: listed.end.map_or(0, |end| end.how as u32),
    };
    // SAFETY: The incident is valid, and may be traced in any context.
    unsafe { ffi::vigil_trace_incident_event(event, &raw const incident) };
}

/// A scan for hung tasks.
#[derive(Clone, Copy)]
pub(crate) struct Scan {
    /// How long it took, in nanoseconds.
    pub(crate) duration: u64,
    /// Tasks that were looked at.
    pub(crate) scanned: u64,
    /// Tasks that are tracked after it.
    pub(crate) tracked: u64,
    /// Tasks that are hung, as of the check before it.
    pub(crate) hung: u64,
    /// Whether all tasks were to be looked at.
    pub(crate) is_full: bool,
}

/// Traces a scan.
///
/// # Context
///
/// Process context.
pub(crate) fn hung_task_scan(scan: &Scan) {
    // SAFETY: May be called in process context.
    unsafe {
        ffi::vigil_trace_hung_task_scan(
            scan.duration,
            scan.scanned as u32,
            scan.tracked as u32,
            scan.hung as u32,
            scan.is_full.into(),
        )
    };
}
