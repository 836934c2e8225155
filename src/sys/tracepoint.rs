// SPDX-License-Identifier: GPL-2.0

//! The kernel's tracepoints that vigil fires as well.
//!
//! C headers: [`include/trace/events/sched.h`](srctree/include/trace/events/sched.h),
//! `src/c/vigil.h`

use super::{
    ffi,
    ksyms::Ksyms, //
};
use kernel::task::Task;

impl Ksyms {
    /// Calls the probes of the tracepoint `sched_process_hang`.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn trace_hang(&self, task: &Task) {
        if self.sched_process_hang {
            // SAFETY: A `&Task` is a valid task.
            unsafe { ffi::vigil_trace_sched_process_hang(task.as_ptr()) };
        }
    }
}
