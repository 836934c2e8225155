// SPDX-License-Identifier: GPL-2.0

//! A SCHED_FIFO-99 thread on each CPU, which runs queued work in place of the CPU stopper.
//!
//! C headers: [`include/linux/smpboot.h`](srctree/include/linux/smpboot.h), `src/c/vigil.h`

use super::{
    ffi,
    single::Single, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::atomic::Atomic, //
};

/// A function that is run as stop work. Its result is ignored.
pub(super) type WorkFn = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The running threads `vigild/N`. Dropping it stops them and waits until they have exited.
///
/// # Invariants
///
/// The threads are registered for as long as this value lives.
pub(crate) struct FifoThread {
    _single: Single,
}

impl FifoThread {
    /// Starts a thread on each CPU, and on each that comes online later.
    ///
    /// # Errors
    ///
    /// `EBUSY` while another one lives; what `smpboot_register_percpu_thread()` returns, such as
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(super) fn start() -> Result<Self> {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        let single = Single::take(&TAKEN)?;
        // SAFETY: Process context, and no other one lives.
        to_result(unsafe { ffi::vigil_fifo_thread_start() })?;
        // INVARIANT: Just registered.
        Ok(Self { _single: single })
    }

    /// Has the thread of a CPU call `work` with `arg`.
    ///
    /// # Safety
    ///
    /// - The caller runs in a hard interrupt on the CPU.
    /// - `work` may be called with `arg`, once, in the thread, at any later time.
    /// - `item` is pinned, and nobody else's until `work` is called.
    pub(super) unsafe fn queue(
        &self,
        cpu: u32,
        work: WorkFn,
        arg: *mut c_void,
        item: *mut ffi::vigil_stop_work,
    ) {
        // SAFETY: The caller's promise; the threads run, by the type invariant.
        unsafe { ffi::vigil_fifo_thread_queue(cpu, Some(work), arg, item) };
    }
}

impl Drop for FifoThread {
    fn drop(&mut self) {
        // SAFETY: By the type invariant they are registered. Waits for the threads to exit.
        unsafe { ffi::vigil_fifo_thread_stop() };
    }
}
