// SPDX-License-Identifier: GPL-2.0

//! Stop work: work of the highest priority on a CPU, which shows that the CPU still schedules.
//!
//! The in-tree soft-lockup detector queues its work to the CPU stopper (`stop_one_cpu_nowait()`).
//! So does vigil if it can; else a SCHED_FIFO-99 thread of its own runs it.
//!
//! This file chooses between the two. The work belongs to the timer that queues it:
//! [`super::watchdog_timer`] queues it, and waits for it when the timer stops and at unload.
//!
//! C headers: [`include/linux/stop_machine.h`](srctree/include/linux/stop_machine.h),
//! `src/c/vigil.h`

use super::{
    ffi,
    fifo_thread::{
        self,
        FifoThread, //
    },
    ksyms::Ksyms, //
};
use kernel::ffi::{
    c_int,
    c_uint,
    c_void, //
};

/// A function that is run as stop work. Its result is ignored.
pub(super) type WorkFn = unsafe extern "C" fn(*mut c_void) -> c_int;

/// Has a thread of a CPU call a [`WorkFn`] with the given argument.
///
/// # Safety
///
/// - The caller runs in a hard interrupt on the CPU.
/// - The work that was queued before on the CPU has run.
/// - The function may be called with the argument, once, in the thread, at any later time.
pub(super) type QueueFn = unsafe extern "C" fn(c_uint, Option<WorkFn>, *mut c_void);

/// Which thread runs the stop work. Dropping it stops the threads that are vigil's own and waits
/// for them.
pub(crate) enum StopWork {
    /// The CPU stopper, which preempts everything.
    CpuStopper,
    /// A SCHED_FIFO-99 thread: a deadline task, and real-time throttling, preempt it.
    FifoThread(FifoThread),
    /// No thread: soft lockups cannot be detected.
    None,
}

impl StopWork {
    /// Chooses the CPU stoppers if they can be reached and `use_stopper` is set, else starts
    /// SCHED_FIFO threads.
    ///
    /// # Context
    ///
    /// Process context, may sleep. Not while another [`StopWork::FifoThread`] lives.
    pub(crate) fn find(ksyms: &Ksyms, use_stopper: bool) -> Self {
        if use_stopper && ksyms.has_stopper() {
            Self::CpuStopper
        } else if let Ok(threads) = FifoThread::start() {
            Self::FifoThread(threads)
        } else {
            Self::None
        }
    }

    /// Returns the function that queues the work; `None` if no thread runs it.
    pub(super) fn queue_fn(&self) -> Option<QueueFn> {
        match self {
            Self::CpuStopper => Some(ffi::vigil_stopper_queue),
            Self::FifoThread(_) => Some(fifo_thread::queue),
            Self::None => None,
        }
    }
}

impl Ksyms {
    /// Returns whether work can be queued to the CPU stoppers.
    pub(super) fn has_stopper(&self) -> bool {
        self.stop_one_cpu_nowait
    }
}
