// SPDX-License-Identifier: GPL-2.0

//! Writeback: what the device has written for which a task waits.
//!
//! C headers: [`include/linux/backing-dev-defs.h`](srctree/include/linux/backing-dev-defs.h),
//! `src/c/vigil.h`

use super::ffi;
use kernel::task::Task;

/// Returns how many pages the device has written so far for which a task waits in
/// `wb_wait_for_completion()`; `None` if that is not found, as when the task has gone on.
///
/// # Context
///
/// Process context.
pub(crate) fn pages_written(task: &Task) -> Option<u64> {
    let mut written = 0;
    // SAFETY: A `&Task` is a valid task, and there is room for the number. What the task waits for
    // is read as memory that may be gone.
    let found = unsafe { ffi::vigil_writeback_written(task.as_ptr(), &mut written) };
    (found != 0).then_some(written)
}
