// SPDX-License-Identifier: GPL-2.0

//! The table of tracked tasks, and the two parts of a check:
//!
//! 1. [`TrackedTasks::check_tracked`] samples each tracked task. A task that does not sleep any
//!    more is not tracked any longer; one that has slept for the timeout is reported. The table
//!    holds a reference to each task, so that this takes no RCU read lock, and a report may take as
//!    long as a slow console needs.
//! 2. [`TrackedTasks::scan_tasks`] scans for sleeping tasks that are not tracked yet
//!    ([`crate::logic::hung_task::scan_policy`] decides whether).
//!
//! No lock is taken: the table belongs to the thread.

use super::{
    blocker,
    causes::{
        Check,
        RootCauses, //
    },
    ctx::{
        HungTaskCtx,
        Settings, //
    },
    graph::HungTaskGraph,
    rules::Rules,
    unpaused::{
        Time,
        UnpausedClock, //
    }, //
};
use crate::{
    incident,
    logic::{
        hung_task::{
            causes::Blocked,
            check::{
                Outcome,
                Stall,
                TaskSample,
                Tracked, //
            },
            scan_policy::{
                self,
                Asleep,
                ScanMode, //
            },
            table::{
                self,
                Entry,
                Table, //
            },
            warnings::Warnings, //
        },
        incident_table::{
            Details,
            How, //
        },
        knobs::{
            HungTaskReportMode,
            Knob, //
        },
        messages::TasksNotTracked,
        panic::PanicRequest, //
    },
    report::hung_task::{
        self,
        HungTask,
        HungTaskReport, //
    },
    sys::{
        buffer::Buffer,
        clock::monotonic,
        kthread::ThreadControl,
        printk,
        task::{
            self,
            cond_resched,
            TaskScan, //
        },
        task_wait::CompletionWaits,
        trace, //
    }, //
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::{
        aref::ARef,
        rcu,
        Arc, //
    },
    task::Task, //
};

/// How many tasks are read before the clock is read again.
const BATCH: u32 = 256;

/// After how many nanoseconds an RCU read section of a scan ends, with the batch that is read then.
/// Mainline allows 100 ms (`HUNG_TASK_LOCK_BREAK`); with this value a section takes less than 2 ms,
/// and on a slow machine less than 10 ms.
const RCU_SECTION_NS: u64 = 1_500_000;

/// How many tasks fit into the table at first: about 200 KiB.
const INITIAL_CAPACITY: usize = 4096;

/// How many tasks fit into the table at most: about 7 MiB. Tasks beyond that are counted and
/// logged.
const MAX_CAPACITY: usize = 1 << 17;

/// How often, and how many milliseconds each, a report waits for the console.
const CONSOLE_WAITS: u32 = 50;
const CONSOLE_WAIT_MS: u32 = 20;

type Entries = Buffer<Entry<Option<ARef<Task>>>>;
type Buckets = Buffer<u32>;

/// Allocates the storage of a table for `capacity` tasks.
fn new_storage(capacity: usize, flags: Flags) -> Result<(Entries, Buckets)> {
    Ok((
        Buffer::new(capacity, flags, |_| Ok(Entry::default()))?,
        Buffer::new(table::buckets_for(capacity), flags, |_| Ok(0))?,
    ))
}

/// What [`TrackedTasks::check_tracked`] has found.
pub(super) struct Checked {
    /// How many tracked tasks the run queues count.
    pub(super) asleep: Asleep,
    /// The panic that was requested for the hung tasks.
    pub(super) panic_request: Option<PanicRequest>,
}

/// The tracked tasks.
pub(super) struct TrackedTasks {
    ctx: Arc<HungTaskCtx>,
    table: Table<Entries, Buckets>,
    clock: UnpausedClock,
    /// The PID at which the next scan goes on after one that was cut short by
    /// `hung_task_check_count`; 0 for the first task.
    resume_pid: i32,
    /// Tasks that did not fit into the table at the last scan. Logged when it changes.
    not_tracked: u64,
    /// When the next report about a tracked task is due, in unpaused time; `u64::MAX`: no report
    /// is.
    due: u64,
    /// What `hung_task_warnings` lets be printed.
    warnings: Warnings,
    /// With `hung_task_report=grouped`, from the first hung task on.
    causes: Option<RootCauses>,
}

/// Waits until the lines of a report are on the console, if another CPU prints them: it would have to
/// print those of all reports, and the log has room for some. A console that hangs is not waited for.
fn wait_for_console(control: &ThreadControl) {
    for _ in 0..CONSOLE_WAITS {
        if control.should_stop() || !printk::is_console_locked() {
            break;
        }
        control.wait(Some(CONSOLE_WAIT_MS));
    }
}

/// What has become of the stall of the task with a key, reported or not, ignored or not.
fn stall(table: &Table<Entries, Buckets>, key: usize, now: u64, timeout: u64) -> Stall {
    let stall = table.get(key).and_then(|entry| {
        let sample = task::sample(entry.task.as_deref()?);
        Some(entry.tracked.stall(&sample, now, timeout))
    });
    stall.unwrap_or(Stall::Over)
}

/// Answers a request for the graph of who waits for whom, if there is one.
///
/// # Context
///
/// Process context, may sleep.
#[inline(never)]
fn answer_graph_request(
    ctx: &HungTaskCtx,
    table: &Table<Entries, Buckets>,
    now: u64,
    timeout: u64,
) {
    let waits = ctx.completion_waits;
    if let Some(request) = ctx.graph_requests.take() {
        let graph = graph_of(table, waits, now, timeout);
        let answer = graph.and_then(|(graph, hung)| graph.answer(request, hung));
        ctx.graph_requests.answer(answer);
    }
}

/// The graph of the tracked tasks that are hung, and how many these are.
#[inline(never)]
fn graph_of(
    table: &Table<Entries, Buckets>,
    waits: CompletionWaits,
    now: u64,
    timeout: u64,
) -> Result<(HungTaskGraph, u64)> {
    let mut graph = HungTaskGraph::new(table.len(), waits)?;
    let mut hung: u64 = 0;
    let mut looked_at: u32 = 0;
    for entry in table.entries() {
        looked_at = looked_at.wrapping_add(1);
        if looked_at % BATCH == 0 {
            cond_resched();
        }
        let Some(task) = &entry.task else {
            continue;
        };
        if entry.tracked.is_hung(&task::sample(task), now, timeout) {
            hung = hung.saturating_add(1);
            graph.add_hung(task, entry.tracked.age(now));
        }
    }
    graph.resolve();
    Ok((graph, hung))
}

/// Begins to tell root causes apart, and returns whether there is memory for it.
// Not part of the caller's stack frame: what is made is big.
#[inline(never)]
fn find_causes(causes: &mut Option<RootCauses>, tasks: usize, ctx: &HungTaskCtx) -> bool {
    *causes = RootCauses::new(tasks, ctx.completion_waits).ok();
    causes.is_some()
}

/// A task that was reported is hung no more, or frozen. Says so if its report was printed. `before`:
/// what was known of its sleep.
#[inline(never)]
fn stall_ended(task: &Task, before: &Tracked, sample: &TaskSample, now: u64) {
    // One that writes back, and has got on with it, sleeps as before.
    let how = if before.same_sleep(sample) && !sample.may_hang() {
        How::Frozen
    } else if task::is_exiting(task) {
        How::Exited
    } else {
        How::Recovered
    };
    let age = before.age(now);
    incident::table::hung_task_ended(task::key(task), how, age);
    if before.is_printed && how != How::Frozen {
        hung_task::print_recovered(task, age);
    }
}

impl TrackedTasks {
    /// Makes an empty table.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(ctx: Arc<HungTaskCtx>) -> Result<Self> {
        let (entries, buckets) = new_storage(INITIAL_CAPACITY, GFP_KERNEL)?;
        let table = Table::new(entries, buckets);
        ctx.stats.capacity.set(table.capacity() as u64);
        Ok(Self {
            clock: UnpausedClock::new(ctx.clone())?,
            ctx,
            table,
            resume_pid: 0,
            not_tracked: 0,
            due: u64::MAX,
            warnings: Warnings::default(),
            causes: None,
        })
    }

    /// The time.
    pub(super) fn now(&mut self) -> Time {
        self.clock.now()
    }

    /// When the next report about a tracked task is due, in unpaused time; `u64::MAX`: no report
    /// is.
    pub(super) fn due(&self) -> u64 {
        self.due
    }

    /// Whether a task is tracked.
    pub(super) fn any(&self) -> bool {
        !self.table.is_empty()
    }

    /// Makes a check due now, because the settings have changed: what was due by the old ones says
    /// nothing.
    pub(super) fn settings_changed(&mut self) {
        if !self.table.is_empty() {
            self.due = 0;
        }
    }

    /// Makes no report due until the next check: tasks are not checked during a suspend.
    pub(super) fn defer_to_next_check(&mut self) {
        self.due = u64::MAX;
    }

    /// Stops tracking all tasks, and with it all cost.
    pub(super) fn clear(&mut self) {
        while let Some(last) = self.table.len().checked_sub(1) {
            self.table.remove_at(last);
        }
        self.causes = None;
        incident::table::hung_tasks_unwatched();
        self.update_clock();
        self.ctx.stats.tracked.set(0);
        self.ctx.stats.hung.set(0);
        self.ctx.stats.ignored.set(0);
    }

    /// Runs the clock's timer if and only if a task is tracked.
    fn update_clock(&mut self) {
        if self.table.is_empty() {
            self.clock.stop();
            self.due = u64::MAX;
        } else {
            self.clock.start();
        }
    }

    /// Ends a check: updates the clock and what `status` shows.
    pub(super) fn end_check(&mut self) {
        self.update_clock();
        self.ctx.stats.tracked.set(self.table.len() as u64);
        self.ctx.stats.paused_ns.set(self.clock.paused_ns());
    }

    /// Answers a request for the graph of who waits for whom, if there is one. `timeout`: after so many
    /// nanoseconds a task is hung.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(super) fn answer_graph_request(&mut self, timeout: u64) {
        let now = self.clock.now().unpaused;
        answer_graph_request(&self.ctx, &self.table, now, timeout);
    }

    /// Whether `task` is hung and not ignored, reported or not.
    fn is_hung(&self, task: &Task, now: u64, settings: &Settings) -> bool {
        stall(&self.table, task::key(task), now, settings.timeout) == Stall::Hung
            && !settings.rules.ignore(task)
    }

    /// Checks each tracked task, and reports those that are hung.
    ///
    /// # Context
    ///
    /// Process context: may sleep, and prints reports.
    // Not part of the caller's stack frame, nor is `scan_tasks`.
    #[inline(never)]
    pub(super) fn check_tracked(
        &mut self,
        settings: &Settings,
        control: &ThreadControl,
    ) -> Checked {
        let ctx = self.ctx.clone();
        let mut warnings = core::mem::take(&mut self.warnings);
        let mut report = HungTaskReport::begin(ctx.report_env(), &mut warnings);
        let (asleep, hung) = self.check_each(settings, &mut report, control);
        // After the request, as a write of a rule cancels a request after it has changed the rule.
        let is_outdated = Rules::read(&ctx.knobs) != settings.rules;
        let panic_request = report.end(control.should_stop(), is_outdated);
        if hung == 0 {
            warnings.forget_causes();
        }
        self.warnings = warnings;
        Checked {
            asleep,
            panic_request,
        }
    }

    /// Checks each tracked task, and adds those that are hung to the report. Returns how many tracked
    /// tasks the run queues count, and how many tasks are hung.
    #[inline(never)]
    fn check_each(
        &mut self,
        settings: &Settings,
        report: &mut HungTaskReport<'_>,
        control: &ThreadControl,
    ) -> (Asleep, u64) {
        let ctx = self.ctx.clone();
        let mut asleep = Asleep::default();
        let (mut hung, mut ignored, mut frozen): (u64, u64, u64) = (0, 0, 0);
        // How many of the hung tasks may make a panic.
        let mut panic_count: u64 = 0;
        // How many of them are reported by themselves, and the age of the oldest of these.
        let (mut alone, mut oldest): (u64, u64) = (0, 0);
        self.due = u64::MAX;

        if settings.check_count == 0 {
            self.clear();
        }
        let heartbeat = ctx.io_waits.heartbeat(settings.interval);
        let tracked_tasks = self.table.len();
        let is_grouped = settings.report == HungTaskReportMode::Grouped;
        if !is_grouped {
            if self.causes.take().is_some() {
                incident::table::root_causes_unwatched();
            }
        } else if let Some(causes) = &mut self.causes {
            causes.begin(tracked_tasks);
        }
        // Reports are grouped from this check on, as far as is known of tasks that are hung already.
        let is_grouped_anew = is_grouped && self.causes.is_none();
        let mut may_allocate = is_grouped;
        let mut is_complete = false;
        let mut index = 0;
        loop {
            if index % (BATCH as usize) == 0 {
                cond_resched();
            }
            if control.should_stop() || ctx.suspended() {
                break;
            }
            let now = self.clock.now().unpaused;
            let Some(entry) = self.table.entry_mut(index) else {
                is_complete = true;
                break;
            };
            let Some(task) = entry.task.as_deref() else {
                break;
            };
            let sample = task::sample(task);
            let before = entry.tracked;
            let outcome = entry.tracked.check_wait(
                &sample,
                now,
                settings.timeout,
                heartbeat,
                || ctx.io_waits.wait_of(task),
                || settings.rules.ignore(task),
            );
            let goes_on = outcome != Outcome::Awake && entry.tracked.is_reported();
            if before.is_reported() && !goes_on {
                stall_ended(task, &before, &sample, now);
            }
            // It sleeps on: a rule selects it now, or the timeout is longer than the sleep.
            let is_left_out = goes_on && matches!(outcome, Outcome::Ignored | Outcome::Waiting);
            if is_left_out && core::mem::take(&mut entry.tracked.is_alone) {
                let key = task::key(task);
                incident::table::hung_task_ended(key, How::Unwatched, before.age(now));
            }
            if outcome == Outcome::Waiting && before.is_reported() {
                let stall = entry.tracked.stall(&sample, now, settings.timeout);
                frozen = frozen.saturating_add((stall == Stall::Frozen).into());
            }
            if outcome == Outcome::Awake {
                // The last entry takes this index and is checked next.
                self.table.remove_at(index);
                continue;
            }
            index = index.wrapping_add(1);
            let tracked = entry.tracked;
            let is_counted = sample.counts_to_load();
            let is_lasting = is_counted && tracked.age(now) != 0;
            asleep.all = asleep.all.saturating_add(is_counted.into());
            asleep.lasting = asleep.lasting.saturating_add(is_lasting.into());
            if outcome == Outcome::Ignored {
                ignored = ignored.saturating_add(1);
                continue;
            }
            if sample.may_hang() {
                self.due = self.due.min(tracked.due(settings.timeout));
            }
            let (report_due, first) = match outcome {
                Outcome::Awake | Outcome::Waiting | Outcome::Ignored => continue,
                Outcome::StillHung => (false, false),
                Outcome::Hung { first } => (true, first),
            };
            if first {
                ctx.knobs.count(Knob::HungTaskDetectCount);
            }
            hung = hung.saturating_add(1);
            let age = tracked.age(now);
            let may_panic = settings.rules.may_panic(task, age);
            panic_count = panic_count.saturating_add(may_panic.into());
            if let Some(age) = settings.rules.next_panic_age(age) {
                self.due = self.due.min(tracked.reaches(age));
            }
            if is_grouped {
                if self.causes.is_none() && may_allocate {
                    may_allocate = find_causes(&mut self.causes, tracked_tasks, &ctx);
                }
                if let (Some(causes), Some(task)) = (&mut self.causes, &entry.task) {
                    if causes.add_hung(task, age) {
                        if is_grouped_anew && core::mem::take(&mut entry.tracked.is_alone) {
                            // Its cause has an incident, and a line when it is over.
                            entry.tracked.is_printed = false;
                            let key = task::key(task);
                            incident::table::hung_task_ended(key, How::Regrouped, age);
                        }
                        continue;
                    }
                }
                // Without memory it is reported by itself.
            }
            alone = alone.saturating_add(1);
            oldest = oldest.max(age);
            let panic_count = if may_panic { panic_count } else { 0 };
            // One that was reported with its cause, or left out until now, is reported at once. The task
            // that makes the panic is reported, even if its report is not due.
            if !report_due && tracked.is_alone && !report.would_panic(panic_count) {
                continue;
            }
            if let Some(task) = entry.task.clone() {
                let found = (&*task, &tracked, !tracked.is_alone);
                let is_printed = self.report_task(report, found, now, settings, panic_count);
                if let Some(entry) = self.table.entry_mut(index.wrapping_sub(1)) {
                    entry.tracked.is_alone = true;
                    entry.tracked.is_printed |= is_printed;
                }
                if is_printed {
                    wait_for_console(control);
                }
            }
            answer_graph_request(&ctx, &self.table, now, settings.timeout);
            // A report takes as long as the console does. A setting that was changed meanwhile
            // holds for the other tasks.
            if Settings::read(&ctx.knobs).as_ref() != Some(settings) {
                self.due = 0;
                break;
            }
        }
        ctx.stats.hung.set(hung);
        ctx.stats.ignored.set(ignored);
        if is_complete {
            incident::table::set_hung_tasks(alone, oldest);
        }
        if let Some(causes) = &mut self.causes {
            let mut is_cut_short = false;
            if is_complete {
                let now = self.clock.now().unpaused;
                let table = &self.table;
                let check = Check {
                    blocked: Blocked {
                        hung,
                        ignored,
                        frozen,
                    },
                    panic_count,
                    rules: &settings.rules,
                    stall: &|key| stall(table, key, now, settings.timeout),
                    now,
                    timeout: settings.timeout,
                };
                let due = &mut self.due;
                causes.report(report, &check, |is_printed| {
                    if is_printed {
                        wait_for_console(control);
                    }
                    answer_graph_request(&ctx, table, now, settings.timeout);
                    let is_changed = Settings::read(&ctx.knobs).as_ref() != Some(settings);
                    if is_changed {
                        *due = 0;
                    }
                    is_cut_short = is_changed || control.should_stop() || ctx.suspended();
                    !is_cut_short
                });
            }
            causes.end();
            // Those that the next check has still to end are remembered.
            if is_complete && hung == 0 && !is_cut_short {
                // With what it remembers: all of it has ended.
                self.causes = None;
                incident::table::set_root_causes(0, 0);
            }
        }
        (asleep, hung)
    }

    /// Reports a task by itself. Returns whether it was printed.
    #[inline(never)]
    fn report_task(
        &self,
        report: &mut HungTaskReport<'_>,
        (task, tracked, first): (&Task, &Tracked, bool),
        now: u64,
        settings: &Settings,
        panic_count: u64,
    ) -> bool {
        let blocker = blocker::find(task);
        let owner = blocker
            .as_ref()
            .and_then(|blocker| blocker.owner.as_deref());
        let owner_is_shown = owner.is_some_and(|owner| self.is_hung(owner, now, settings));
        let found = HungTask {
            task,
            age: tracked.age(now),
            first,
            blocker,
            waits_for_task: None,
            owner_is_shown,
            details: Details {
                key: task::key(task) as u64,
                ..Details::default()
            },
        };
        report.add(&found, panic_count)
    }

    /// Scans for sleeping tasks that are not tracked yet, and tracks them. `asleep` of the tracked
    /// tasks are part of the run queues' count. Returns how many more these count than it has found:
    /// 0 if that is not known.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    #[inline(never)]
    pub(super) fn scan_tasks(
        &mut self,
        settings: &Settings,
        mode: ScanMode,
        asleep: u64,
        control: &ThreadControl,
    ) -> u64 {
        let ctx = self.ctx.clone();
        let stats = &ctx.stats;
        let tracked_before = self.table.len();
        let queues = match mode {
            ScanMode::Skip => return 0,
            ScanMode::UntilAllTracked => ctx.queues.ok(),
            ScanMode::Full => None,
        };
        stats.scans.add(1);
        stats.full_scans.add(u64::from(mode == ScanMode::Full));
        // Before the first time that a task may get: what is stopped later than that is a pause.
        self.clock.start();
        let mut not_tracked: u64 = 0;
        let mut may_expand = true;
        let mut wrapped = self.resume_pid == 0;
        let scan_began = monotonic();
        let mut scan = TaskScan::new(self.resume_pid, settings.check_count, BATCH);
        self.resume_pid = 0;
        loop {
            if control.should_stop() {
                return 0;
            }
            let began = self.clock.now();
            let table = &mut self.table;
            let can_expand = may_expand && table.capacity() < MAX_CAPACITY;
            let mut full = false;
            let before = table.len();
            let more = {
                let guard = rcu::read_lock();
                loop {
                    let more = scan.batch(&guard, |task| {
                        let tracked = Tracked::new(&task::sample(task), began.unpaused);
                        let inserted = table.insert(task::key(task), tracked, || Some(task.into()));
                        full = inserted.is_err() && can_expand;
                        let dropped = inserted.is_err() && !full;
                        not_tracked = not_tracked.saturating_add(u64::from(dropped));
                        !full
                    });
                    let took = monotonic().saturating_sub(began.monotonic);
                    let has_sum_to_read = queues.is_some() && table.len() != before;
                    if !more || full || has_sum_to_read || took >= RCU_SECTION_NS {
                        stats.longest_rcu_section_ns.raise(took);
                        break more;
                    }
                }
            };
            // The sum reads each CPU's run queue: not in the RCU section.
            let mut all_tracked = false;
            if let (Some(queues), true) = (queues, table.len() != before) {
                let new = table.len().saturating_sub(tracked_before) as u64;
                let tracked = asleep.saturating_add(new);
                all_tracked = scan_policy::accounts_for_all(queues.sum(), tracked);
            }
            cond_resched();
            if full {
                may_expand = self.expand();
            }
            if all_tracked && self.unexplained(tracked_before, asleep) == Some(0) {
                break;
            }
            if !more {
                if wrapped || scan.budget() == 0 {
                    break;
                }
                // The scan began at a later PID: go on at the first task.
                wrapped = true;
                scan = TaskScan::new(0, scan.budget(), BATCH);
            }
        }
        if scan.budget() == 0 {
            self.resume_pid = scan.next();
        }
        let scanned = settings.check_count.saturating_sub(scan.budget());
        stats.scanned_tasks.add(scanned.into());
        stats.not_tracked.add(not_tracked);
        if not_tracked != 0 && not_tracked != self.not_tracked {
            printk::warn(format_args!(
                "{}",
                TasksNotTracked {
                    count: not_tracked,
                    capacity: self.table.capacity(),
                }
            ));
        }
        self.not_tracked = not_tracked;
        trace::hung_task_scan(&trace::Scan {
            duration: monotonic().saturating_sub(scan_began),
            scanned: scanned.into(),
            tracked: self.table.len() as u64,
            hung: stats.hung.get(),
            is_full: mode == ScanMode::Full,
        });
        // A task that was just found may be due before the next check if the interval is the
        // timeout.
        let now = self.clock.now().unpaused;
        self.due = self.due.min(now.saturating_add(settings.timeout));
        if scan.budget() == 0 || not_tracked != 0 {
            return 0;
        }
        self.unexplained(tracked_before, asleep).unwrap_or(0)
    }

    /// How many sleeping tasks more than the tracked ones the run queues count; `None` if their sum is
    /// not exact. The new ones, which are those from the index `tracked_before` on, are sampled again:
    /// one that has woken meanwhile would stand for a sleeping task that is not found yet, and so
    /// would one that waits for an rtlock, but where there are rtlocks the sum is never exact.
    fn unexplained(&mut self, tracked_before: usize, asleep: u64) -> Option<u64> {
        let queues = self.ctx.queues.ok()?;
        let mut tracked = asleep;
        for index in tracked_before..self.table.len() {
            if let Some(entry) = self.table.entry_mut(index) {
                let task = entry.task.as_deref();
                let sleeps = task.is_some_and(|task| entry.tracked.same_sleep(&task::sample(task)));
                tracked = tracked.saturating_add(u64::from(sleeps));
            }
        }
        let queues = queues.sum();
        queues
            .is_exact()
            .then(|| scan_policy::excess(queues, tracked))
    }

    /// Doubles the capacity of the table. Returns whether there was memory for that.
    ///
    /// Takes free memory only: to wait for memory may mean to wait for the device that the hung
    /// tasks wait for, and the detector would hang with them.
    fn expand(&mut self) -> bool {
        let capacity = self.table.capacity().saturating_mul(2).min(MAX_CAPACITY);
        let flags = GFP_NOWAIT | __GFP_NOWARN;
        let (Ok((entries, buckets)), Ok((no_entries, no_buckets))) =
            (new_storage(capacity, flags), new_storage(0, flags))
        else {
            return false;
        };
        let old = core::mem::replace(&mut self.table, Table::new(no_entries, no_buckets));
        self.table = old.moved_into(entries, buckets);
        self.ctx.stats.capacity.set(capacity as u64);
        true
    }
}
