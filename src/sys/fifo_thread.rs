// SPDX-License-Identifier: GPL-2.0

//! A SCHED_FIFO-99 thread on each CPU, which runs queued work in place of the CPU stopper.
//!
//! C headers: [`include/linux/smpboot.h`](srctree/include/linux/smpboot.h), `src/c/vigil.h`

use super::ffi;
use kernel::{
    error::to_result,
    prelude::*, //
};

/// Has the thread of a CPU call a function: a [`QueueFn`](super::stopper::QueueFn).
pub(super) use ffi::vigil_fifo_thread_queue as queue;

/// The running threads `vigild/N`. Dropping it stops them and waits until they have exited.
///
/// # Invariants
///
/// The threads are registered for as long as this value lives. There is at most one in the module.
pub(crate) struct FifoThread(());

impl FifoThread {
    /// Starts a thread on each CPU, and on each that comes online later.
    ///
    /// # Errors
    ///
    /// What `smpboot_register_percpu_thread()` returns, such as `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep. Not while another one lives.
    pub(super) fn start() -> Result<Self> {
        // SAFETY: Process context, and no other one lives, by the caller's promise.
        to_result(unsafe { ffi::vigil_fifo_thread_start() })?;
        // INVARIANT: Just registered.
        Ok(Self(()))
    }
}

impl Drop for FifoThread {
    fn drop(&mut self) {
        // SAFETY: By the type invariant they are registered. Waits for the threads to exit.
        unsafe { ffi::vigil_fifo_thread_stop() };
    }
}
