// SPDX-License-Identifier: GPL-2.0

//! The thread `vigild/hung`: checks the tracked tasks, scans for more, and sleeps until the next
//! check, as `watchdog()` in `kernel/hung_task.c` does.
//!
//! A check comes at the end of each check interval. In between there is one whenever a report about
//! a tracked task is due, so that a report is late by no more than the interval. If a panic was
//! requested for the hung tasks, the thread carries it out.

use super::{
    super::sys_info_thread::SysInfoWaker,
    ctx::{
        HungTaskCtx,
        Settings, //
    },
    scan::TrackedTasks, //
};
use crate::{
    logic::{
        hung_task::scan_policy::{
            self,
            Asleep,
            RunQueueSum,
            ScanMode,
            ScanPolicy, //
        },
        messages::HUNG_TASKS_NOT_JUDGED,
        panic::{
            Initiator,
            PanicRequest, //
        },
        NSEC_PER_SEC, //
    },
    sys::{
        clock::monotonic,
        kthread::{
            ThreadControl,
            ThreadFn, //
        },
        panic as kernel_panic,
        printk, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// How often the run queues are read again before a full scan that an exact sum would save.
const RUNQUEUE_RETRIES: u32 = 4;

/// How long the thread sleeps before it reads the run queues again, in milliseconds.
const RUNQUEUE_RETRY_MS: u32 = 25;

/// The longest sleep of the thread, in milliseconds. It sleeps again if nothing is due then.
const MAX_SLEEP_MS: u32 = 3_600_000;

/// How long the thread sleeps at most between two polls of a panic request, in milliseconds.
const MAX_PANIC_POLL_MS: u32 = 100;

/// For how long a task that has exited is kept by the table at most, in nanoseconds.
const MAX_KEPT_NS: u64 = 60 * NSEC_PER_SEC;

/// The state of the hung-task thread.
pub(crate) struct HungTaskThread {
    ctx: Arc<HungTaskCtx>,
    tasks: TrackedTasks,
    policy: ScanPolicy,
    sys_info: Arc<SysInfoWaker>,
    /// Whether the log says that nothing is looked for after an oops.
    said_died: bool,
}

impl HungTaskThread {
    /// The state with which the thread starts.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(ctx: Arc<HungTaskCtx>, sys_info: Arc<SysInfoWaker>) -> Result<Self> {
        Ok(Self {
            tasks: TrackedTasks::new(ctx.clone())?,
            ctx,
            policy: ScanPolicy::default(),
            sys_info,
            said_died: false,
        })
    }

    /// Checks the tracked tasks; `may_scan`: and scans for more if the scan policy says so.
    fn check(&mut self, settings: &Settings, may_scan: bool, control: &ThreadControl) {
        if kernel_panic::died_or_panicking() {
            // For good: nothing is checked any more.
            self.tasks.clear();
            if !kernel_panic::in_progress() && !core::mem::replace(&mut self.said_died, true) {
                printk::warn(format_args!("{HUNG_TASKS_NOT_JUDGED}"));
            }
            return;
        }
        if self.ctx.suspended() {
            self.tasks.defer_to_next_check();
            return;
        }
        let checked = self.tasks.check_tracked(settings, control);
        if let Some(request) = checked.panic_request {
            self.wait_for_panic(request, control);
        }
        if may_scan && !control.should_stop() {
            self.ctx.stats.checks.add(1);
            let mode = self.scan_mode(settings, checked.asleep, control);
            let unexplained = self
                .tasks
                .scan_tasks(settings, mode, checked.asleep.all, control);
            if mode != ScanMode::Skip {
                self.policy.scanned(unexplained);
            }
        } else {
            self.ctx.stats.due_checks.add(1);
        }
        self.tasks.end_check();
    }

    /// The sum over the run queues; `None` where they cannot be read.
    fn run_queue_sum(&self) -> Option<RunQueueSum> {
        self.ctx.queues.ok().map(|queues| queues.sum())
    }

    /// Decides which scan follows a check.
    fn scan_mode(
        &mut self,
        settings: &Settings,
        asleep: Asleep,
        control: &ThreadControl,
    ) -> ScanMode {
        let mut queues = self.run_queue_sum();
        let max_skipped = scan_policy::max_skipped(settings.timeout, settings.interval);
        if self.policy.must_scan(max_skipped) {
            // Other threads often wake at the same tick, such as khungtaskd, and soon sleep again.
            for _ in 0..RUNQUEUE_RETRIES {
                let is_final = |queues: RunQueueSum| queues.is_exact() || !queues.may_be_exact();
                if control.should_stop() || queues.is_none_or(is_final) {
                    break;
                }
                control.wait(Some(RUNQUEUE_RETRY_MS));
                queues = self.run_queue_sum();
            }
        }
        self.policy
            .scan_mode(queues, asleep, max_skipped, monotonic(), settings.timeout)
    }

    /// Polls a panic request until it is executed or cancelled. Cancels it if the thread has to
    /// stop.
    fn wait_for_panic(&self, request: PanicRequest, control: &ThreadControl) {
        let panic = &self.ctx.panic;
        while panic.stands(request) {
            if control.should_stop() {
                panic.cancel(request);
                return;
            }
            let now = monotonic();
            let at = panic.poll(Initiator::Thread, now, || true);
            // The thread is not woken when the request is cancelled, so it sleeps for a short time
            // only.
            if panic.stands(request) {
                control.wait(Some(millis_until(at, now).min(MAX_PANIC_POLL_MS)));
            }
        }
    }
}

impl ThreadFn for HungTaskThread {
    fn run(&mut self, control: &ThreadControl) {
        let mut last_check = None;
        // When the tracked tasks were last looked at.
        let mut last_look: u64 = 0;
        let mut last_settings = None;
        while !control.should_stop() {
            let Some(settings) = Settings::read(&self.ctx.knobs) else {
                self.tasks.clear();
                self.tasks.answer_graph_request(u64::MAX);
                last_check = None;
                control.wait(None);
                continue;
            };
            if last_settings.as_ref() != Some(&settings) {
                self.tasks.settings_changed();
            }
            self.tasks.answer_graph_request(settings.timeout);
            self.sys_info.poll();
            let now = self.tasks.now();
            let next = last_check.map_or(now.monotonic, |at: u64| {
                at.saturating_add(settings.interval)
            });
            // Unpaused time never runs faster than the monotonic clock: this is too early at most.
            let until_due = self.tasks.due().saturating_sub(now.unpaused);
            let mut due = now.monotonic.saturating_add(until_due);
            if self.tasks.any() {
                // Tasks that have exited are not to be kept by the table for longer.
                due = due.min(last_look.saturating_add(MAX_KEPT_NS));
            }
            if now.monotonic >= next {
                self.check(&settings, true, control);
                last_check = Some(now.monotonic);
                last_look = now.monotonic;
            } else if now.monotonic >= due {
                self.check(&settings, false, control);
                last_look = now.monotonic;
            } else {
                control.wait(Some(millis_until(next.min(due), now.monotonic)));
            }
            last_settings = Some(settings);
        }
        self.tasks.clear();
        self.ctx.graph_requests.close();
    }
}

/// How many milliseconds to sleep so as not to wake before the time `then`; at least one.
fn millis_until(then: u64, now: u64) -> u32 {
    let millis = then.saturating_sub(now).saturating_add(999_999) / 1_000_000;
    u32::try_from(millis)
        .unwrap_or(MAX_SLEEP_MS)
        .clamp(1, MAX_SLEEP_MS)
}
