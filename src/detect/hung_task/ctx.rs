// SPDX-License-Identifier: GPL-2.0

//! What the hung-task thread shares with the knobs, the suspend notifier and `status`. All of it is
//! atomic.

use super::{
    graph_request::{
        GraphRequests,
        WaitGraphAnswer, //
    },
    io_wait::IoWaits,
    rules::Rules, //
};
use crate::{
    knobs::Knobs,
    logic::{
        hung_task::check,
        knobs::{
            HungTaskReportMode,
            Knob, //
        },
        NSEC_PER_SEC, //
    },
    panic::PanicControl,
    report::hung_task::Env,
    sys::{
        backtrace::Backtracer,
        clock::monotonic,
        ksyms::Ksyms,
        kthread::ThreadControl,
        pm,
        runqueue::{
            RunQueues,
            Unreadable, //
        },
        task_wait::CompletionWaits, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    }, //
};

/// What the hung-task thread needs of the module, and what it shows of itself.
pub(crate) struct HungTaskCtx {
    /// The knobs.
    pub(crate) knobs: Arc<Knobs>,
    /// How stacks of other CPUs are got.
    pub(super) backtracer: Arc<Backtracer>,
    /// The run queues, or why they cannot be read.
    pub(crate) queues: Result<RunQueues, Unreadable>,
    /// Waits that a context switch does not end.
    pub(super) io_waits: IoWaits,
    /// How waits for completions are read.
    pub(super) completion_waits: CompletionWaits,
    /// Decides about panics.
    pub(crate) panic: Arc<PanicControl>,
    /// What the thread has done since load.
    pub(crate) stats: Stats,
    /// Requests for the graph of who waits for whom.
    pub(super) graph_requests: Pin<KBox<GraphRequests>>,
    control: Arc<ThreadControl>,
    /// [`monotonic`] time at which the current suspend began; 0 when there is none.
    suspended_at: Atomic<u64>,
    /// The time spent in suspend so far, with the way there and back, in nanoseconds.
    suspended_ns: Atomic<u64>,
}

/// Counts since load, for `status`. Written by the hung-task thread only.
#[derive(Default)]
pub(crate) struct Stats {
    /// Checks of the tracked tasks at the end of a check interval.
    pub(crate) checks: Counter,
    /// Checks of the tracked tasks within a check interval, because a report was due.
    pub(crate) due_checks: Counter,
    /// Scans for tasks that are not tracked yet.
    pub(crate) scans: Counter,
    /// How many of the scans were to go through all tasks ([`ScanMode::Full`]).
    ///
    /// [`ScanMode::Full`]: crate::logic::hung_task::scan_policy::ScanMode::Full
    pub(crate) full_scans: Counter,
    /// Tasks that the scans have read.
    pub(crate) scanned_tasks: Counter,
    /// Tasks that are tracked now.
    pub(crate) tracked: Counter,
    /// How many of the tracked tasks are hung.
    pub(crate) hung: Counter,
    /// How many more would be, but are ignored.
    pub(crate) ignored: Counter,
    /// How many tasks fit into the table as it is now.
    pub(crate) capacity: Counter,
    /// Tasks that did not fit into the table, summed up over all scans.
    pub(crate) not_tracked: Counter,
    /// The longest RCU read section of a scan, in nanoseconds.
    pub(crate) longest_rcu_section_ns: Counter,
    /// How much of the time in which tasks were tracked was taken for pauses, in nanoseconds.
    pub(crate) paused_ns: Counter,
}

/// One number of [`Stats`].
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    /// The number.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets the number.
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Sets the number if `value` is larger.
    pub(super) fn raise(&self, value: u64) {
        self.set(self.get().max(value));
    }

    /// Adds to the number.
    pub(super) fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
}

impl HungTaskCtx {
    /// Makes the context of a thread that `control` is to wake.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        knobs: Arc<Knobs>,
        control: Arc<ThreadControl>,
        backtracer: Arc<Backtracer>,
        queues: Result<RunQueues, Unreadable>,
        panic: Arc<PanicControl>,
    ) -> Result<Self> {
        Ok(Self {
            graph_requests: KBox::pin_init(GraphRequests::new(), GFP_KERNEL)?,
            knobs,
            io_waits: IoWaits::new(backtracer.ksyms()),
            completion_waits: CompletionWaits::find(backtracer.ksyms()),
            backtracer,
            queues,
            panic,
            stats: Stats::default(),
            control,
            suspended_at: Atomic::new(0),
            suspended_ns: Atomic::new(0),
        })
    }

    /// Who waits for whom now, from the thread.
    ///
    /// # Errors
    ///
    /// As [`GraphRequests::ask`].
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn wait_graph(&self) -> Result<WaitGraphAnswer> {
        self.graph_requests.ask(&self.control)
    }

    /// Kernel functions that are not exported.
    pub(crate) fn ksyms(&self) -> &Ksyms {
        self.backtracer.ksyms()
    }

    /// Whether the system is suspended, or on its way there or back.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn suspended(&self) -> bool {
        // Pairs with the store that ends a suspend: a reader that sees it sees the suspend's
        // length.
        self.suspended_at.load(Acquire) != 0
    }

    /// The time spent in suspend so far, in nanoseconds.
    pub(super) fn suspended_ns(&self) -> u64 {
        self.suspended_ns.load(Relaxed)
    }

    /// What a report needs of the module.
    pub(super) fn report_env(&self) -> Env<'_> {
        Env {
            knobs: &self.knobs,
            backtracer: &self.backtracer,
            panic: &self.panic,
        }
    }
}

impl pm::Listener for HungTaskCtx {
    /// No task is checked between the two events, and the time between them is not part of any
    /// task's age: a task that was frozen, or waited for a device to resume, is not hung.
    fn suspend(&self, event: pm::Event) {
        let now = monotonic().max(1);
        match event {
            pm::Event::Prepare => self.suspended_at.store(now, Relaxed),
            pm::Event::Post => {
                let began = self.suspended_at.load(Relaxed);
                if began != 0 {
                    self.suspended_ns
                        .fetch_add(now.saturating_sub(began), Relaxed);
                }
                self.suspended_at.store(0, Release);
                self.control.wake();
            }
        }
    }
}

/// The knobs as one check sees them.
#[derive(PartialEq, Eq)]
pub(super) struct Settings {
    /// `hung_task_timeout_secs` in nanoseconds, not zero.
    pub(super) timeout: u64,
    /// Nanoseconds from one check to the next.
    pub(super) interval: u64,
    /// `hung_task_check_count`: how many tasks one scan may read.
    pub(super) check_count: u32,
    /// `hung_task_report`.
    pub(super) report: HungTaskReportMode,
    /// Which tasks are ignored, and which may make a panic.
    pub(super) rules: Rules,
}

impl Settings {
    /// Reads the knobs. `None`: the detector is off.
    pub(super) fn read(knobs: &Knobs) -> Option<Self> {
        let timeout = knobs.get_u64(Knob::HungTaskTimeoutSecs);
        let interval = knobs.get_u64(Knob::HungTaskCheckIntervalSecs);
        Some(Self {
            interval: check::interval(timeout, interval)?,
            timeout: timeout.saturating_mul(NSEC_PER_SEC),
            check_count: u32::try_from(knobs.get_u64(Knob::HungTaskCheckCount)).unwrap_or(u32::MAX),
            report: HungTaskReportMode::from_index(knobs.get(Knob::HungTaskReport)),
            rules: Rules::read(knobs),
        })
    }
}
