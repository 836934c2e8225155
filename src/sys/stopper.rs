// SPDX-License-Identifier: GPL-2.0

//! Stop work: work of the highest priority on a CPU, which shows that the CPU still schedules.
//!
//! The in-tree soft-lockup detector queues its work to the CPU stopper (`stop_one_cpu_nowait()`).
//! So does vigil if it can; else a SCHED_FIFO-99 thread of its own runs it.
//!
//! [`StopWork`] chooses between the two; a [`StopWorkItem`] is the work of one CPU: queueing it, and
//! waiting for it when its timer stops, as it does at unload too ([`StopWorkItem::wait`]). At unload
//! the stopper's return from the module's code is waited for besides ([`wait_for_returns`]).
//!
//! C headers: [`include/linux/stop_machine.h`](srctree/include/linux/stop_machine.h),
//! `src/c/vigil.h`

use super::{
    context::HardirqCtx,
    ffi,
    fifo_thread::{
        self,
        FifoThread, //
    },
    ksyms::Ksyms, //
};
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
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
    fn queue_fn(&self) -> Option<QueueFn> {
        match self {
            Self::CpuStopper => Some(ffi::vigil_stopper_queue),
            Self::FifoThread(_) => Some(fifo_thread::queue),
            Self::None => None,
        }
    }
}

/// The stop work of one CPU, which is queued once at a time.
///
/// # Invariants
///
/// `queued` is set from when the work is queued until it has run.
pub(super) struct StopWorkItem {
    queued: Atomic<bool>,
}

impl StopWorkItem {
    /// Work that is not queued.
    pub(super) fn new() -> Self {
        // INVARIANT: It is not queued.
        Self {
            queued: Atomic::new(false),
        }
    }

    /// Has the thread of this CPU call `work` with `arg`, unless what was queued before has not run
    /// yet. Returns whether that had run; true also if there is no thread to run it.
    ///
    /// # Safety
    ///
    /// - `work` may be called with `arg`, once, in the thread, until [`StopWorkItem::wait`] returns.
    /// - `work` calls [`StopWorkItem::mark_as_run`] of this item as its last access to it.
    /// - Before the module's code goes, [`wait_for_returns`] is called and `stop_work` is dropped.
    ///
    /// # Context
    ///
    /// The hard interrupt `irq`, always on the same CPU.
    pub(super) unsafe fn queue(
        &self,
        stop_work: &StopWork,
        irq: &HardirqCtx<'_>,
        work: WorkFn,
        arg: *mut c_void,
    ) -> bool {
        let Some(queue) = stop_work.queue_fn() else {
            return true;
        };
        // INVARIANT: Set before the work is queued.
        if self.queued.xchg(true, Full) {
            return false;
        }
        // SAFETY: `irq` is this CPU's interrupt. The work queued before has run, or `queued` would
        // have been set. The rest is the caller's promise: a stopper that is still returning from
        // the module's code has preemption disabled, and `wait_for_returns` waits for it; a
        // SCHED_FIFO thread exits when `stop_work` is dropped.
        unsafe { queue(irq.cpu(), Some(work), arg) };
        true
    }

    /// The work has run.
    ///
    /// # Context
    ///
    /// The thread that runs it. From here on [`StopWorkItem::wait`] may return, and its caller may
    /// free the item.
    pub(super) fn mark_as_run(&self) {
        // INVARIANT: The work has run.
        self.queued.store(false, Release);
    }

    /// Waits for queued work to run. The caller queues no more.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(super) fn wait(&self) {
        // The stopper preempts everything, so this is short unless the CPU is stuck.
        while self.queued.load(Acquire) {
            fsleep(Delta::from_millis(1));
        }
    }
}

/// Waits until no CPU stopper runs code of this module, once all work has run: it is marked as run
/// before its function returns, and a stopper runs that with preemption disabled, which is an RCU
/// read-side critical section.
///
/// # Context
///
/// Process context without an RCU read lock, may sleep.
pub(super) fn wait_for_returns() {
    // SAFETY: No requirements but the context.
    unsafe { bindings::synchronize_rcu() };
}

impl Ksyms {
    /// Returns whether work can be queued to the CPU stoppers.
    pub(super) fn has_stopper(&self) -> bool {
        self.stop_one_cpu_nowait
    }
}
