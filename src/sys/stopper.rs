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
    atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    context::HardirqCtx,
    ffi,
    fifo_thread::{
        FifoThread,
        WorkFn, //
    },
    ksyms::Ksyms, //
};
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    },
    types::Opaque, //
};

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
    /// Process context, may sleep.
    pub(crate) fn find(ksyms: &Ksyms, use_stopper: bool) -> Self {
        if use_stopper && ksyms.has_stopper() {
            Self::CpuStopper
        } else if let Ok(threads) = FifoThread::start() {
            Self::FifoThread(threads)
        } else {
            Self::None
        }
    }
}

/// The stop work of one CPU, which is queued once at a time.
///
/// # Invariants
///
/// `queued` is set from when the work is queued until it has run. While it is set, `work` is the
/// thread's.
#[pin_data]
pub(super) struct StopWorkItem {
    queued: Atomic<bool>,
    #[pin]
    work: Opaque<ffi::vigil_stop_work>,
}

// SAFETY: `work` is only handed to a thread, by who has set `queued`.
unsafe impl Send for StopWorkItem {}
// SAFETY: As above.
unsafe impl Sync for StopWorkItem {}

impl StopWorkItem {
    /// Work that is not queued.
    pub(super) fn new() -> impl PinInit<Self> {
        // INVARIANT: It is not queued.
        pin_init!(Self {
            queued: Atomic::new(false),
            work: Opaque::uninit(),
        })
    }

    /// Has the thread of this CPU call `work` with `arg`, unless what was queued before has not run
    /// yet. Returns whether that had run; true also if there is no thread to run it.
    ///
    /// # Safety
    ///
    /// - The item is pinned, and queued by the timer interrupt of one CPU alone.
    /// - `work` may be called with `arg`, once, in the thread, until [`StopWorkItem::wait`] returns.
    /// - `work` calls [`StopWorkItem::mark_as_run`] of this item as its last access to it.
    /// - Before the module's code goes, [`wait_for_returns`] is called and `stop_work` is dropped.
    ///
    /// # Context
    ///
    /// The hard interrupt `irq`.
    pub(super) unsafe fn queue(
        &self,
        stop_work: &StopWork,
        irq: &HardirqCtx<'_>,
        work: WorkFn,
        arg: *mut c_void,
    ) -> bool {
        if matches!(stop_work, StopWork::None) {
            return true;
        }
        // Only this CPU's interrupt sets it, so that a load and a store do.
        if self.queued.load(Acquire) {
            return false;
        }
        // INVARIANT: Set before the work is queued: queueing it takes a lock.
        self.queued.store(true, Relaxed);
        // SAFETY: `irq` is this CPU's interrupt. By the type invariant the item's work is nobody's:
        // `queued` was not set. The rest is the caller's promise: a stopper that is still returning from
        // the module's code has preemption disabled, and `wait_for_returns` waits for it; a
        // SCHED_FIFO thread exits when `stop_work` is dropped.
        //
        // Not called through a pointer to either: with `CONFIG_CFI` that is a panic, since rustc and
        // clang name the type of a function which takes another one differently.
        unsafe {
            match stop_work {
                StopWork::CpuStopper => {
                    ffi::vigil_stopper_queue(irq.cpu(), Some(work), arg, self.work.get());
                }
                StopWork::FifoThread(threads) => {
                    threads.queue(irq.cpu(), work, arg, self.work.get());
                }
                StopWork::None => (),
            }
        }
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
