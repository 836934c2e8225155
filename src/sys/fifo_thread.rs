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
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::atomic::Atomic, //
};

/// A function that is run as stop work. Its result is ignored.
pub(super) type WorkFn = unsafe extern "C" fn(*mut c_void) -> c_int;

/// Has a thread of a CPU call a [`WorkFn`] with the given argument.
///
/// # Safety
///
/// - The caller runs in a hard interrupt on the CPU.
/// - The function may be called with the argument, once, in the thread, at any later time.
/// - The work is pinned, and nobody else's until the function is called.
pub(super) type QueueFn =
    unsafe extern "C" fn(c_uint, Option<WorkFn>, *mut c_void, *mut ffi::vigil_stop_work);

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

    /// Returns the function that has the thread of a CPU call a function.
    pub(super) fn queue_fn(&self) -> QueueFn {
        ffi::vigil_fifo_thread_queue
    }
}

impl Drop for FifoThread {
    fn drop(&mut self) {
        // SAFETY: By the type invariant they are registered. Waits for the threads to exit.
        unsafe { ffi::vigil_fifo_thread_stop() };
    }
}
