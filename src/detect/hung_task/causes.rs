// SPDX-License-Identifier: GPL-2.0

//! The root causes of the hung tasks, and their reports: with `hung_task_report=grouped` there is one
//! report for each cause and not for each task. When a cause is reported again is decided by
//! [`crate::logic::hung_task::causes`].

use super::{
    blocker,
    graph::{
        free_memory,
        HungTaskGraph, //
    },
    rules::Rules, //
};
use crate::{
    incident,
    logic::{
        fmt::Secs,
        hung_task::{
            causes::{
                identity,
                places_for,
                Blocked,
                EndedCause,
                LeftOut,
                ReportReason,
                ReportedCause,
                ReportedCauses, //
            },
            check::Stall, //
        },
        incident_table::{
            CauseRoot,
            Details,
            How, //
        },
        messages::{
            CausesLeftOut,
            HungTaskRecovered,
            HungTasksLeftOut,
            HungTasksRecovered,
            MoreCausesEnded, //
        },
        wait_graph::{
            Node,
            Root,
            RootCause, //
        }, //
    },
    report::{
        hung_task::{
            HungTask,
            HungTaskReport, //
        },
        root_cause::{
            self,
            Snapshot, //
        }, //
    },
    sys::{
        buffer::Buffer,
        printk,
        task::{
            self,
            cond_resched, //
        },
        task_wait::CompletionWaits, //
    }, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef,
    task::Task, //
};

/// How many causes can be remembered at first, so that they are not reported at each check: 8 KiB.
const INITIAL_CAUSES: usize = 64;

/// How many causes can be remembered at most: about 130 KiB. More than these are counted.
const MAX_CAUSES: usize = 1024;

/// How many causes are looked at before other tasks may run.
const BATCH: usize = 256;

/// How many tasks of a deadlock are printed with their stacks.
const MAX_DEADLOCK_TASKS: u32 = 8;

/// How many of the causes that are over at one check have a line.
const MAX_ENDED_LINES: u32 = 50;

/// After how many lines about ended causes the console is waited for.
const ENDED_LINES: u32 = 25;

/// The root causes of the hung tasks.
pub(super) struct RootCauses {
    graph: HungTaskGraph,
    reported: ReportedCauses<Buffer<ReportedCause>>,
    /// Hung tasks that did not fit into the graph.
    left_out: LeftOut,
    /// Causes that there were no places for.
    causes_left_out: LeftOut,
    /// How many tasks were blocked when the ended causes were last reported: [`Blocked::sum`].
    blocked: u64,
    /// The timeout then, in nanoseconds.
    timeout: u64,
}

/// What all reports of one check have in common.
pub(super) struct Check<'a> {
    /// How many tasks are blocked.
    pub(super) blocked: Blocked,
    /// How many of the hung tasks may make a panic.
    pub(super) panic_count: u64,
    /// Which ones may.
    pub(super) rules: &'a Rules,
    /// What has become of the stall of the task with a key, hung or ignored.
    pub(super) stall: &'a dyn Fn(usize) -> Stall,
    /// The unpaused time.
    pub(super) now: u64,
    /// `hung_task_timeout_secs` in nanoseconds.
    pub(super) timeout: u64,
}

impl RootCauses {
    /// Nothing is known yet. There is room for at least `tasks` hung tasks.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context.
    // Not part of the caller's stack frame, nor is `begin`.
    #[inline(never)]
    pub(super) fn new(tasks: usize, waits: CompletionWaits) -> Result<Self> {
        Ok(Self {
            graph: HungTaskGraph::new(tasks, waits)?,
            reported: new_memory(places_for(INITIAL_CAUSES))?,
            left_out: LeftOut::default(),
            causes_left_out: LeftOut::default(),
            blocked: 0,
            timeout: 0,
        })
    }

    /// Begins a check, in which no more than `tasks` tasks can be hung. Without memory for all of
    /// them, the graph stays as small as it was.
    ///
    /// # Context
    ///
    /// Process context.
    #[inline(never)]
    pub(super) fn begin(&mut self, tasks: usize) {
        if !self.graph.fits(tasks) {
            if let Ok(graph) = HungTaskGraph::new(tasks, self.graph.waits()) {
                self.graph = graph;
            }
        }
    }

    /// Adds a hung task. `age`: for how long it has been blocked, in nanoseconds. Returns whether there
    /// was room for it.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn add_hung(&mut self, task: &ARef<Task>, age: u64) -> bool {
        self.graph.add_hung(task, age)
    }

    /// Reports the causes that are due. `go_on` is called after each, with whether something was printed
    /// that the console has to print: whether to go on, or whether the rest is left to the next check.
    ///
    /// # Context
    ///
    /// Process context; prints many lines.
    #[inline(never)]
    pub(super) fn report(
        &mut self,
        report: &mut HungTaskReport<'_>,
        check: &Check<'_>,
        mut go_on: impl FnMut(bool) -> bool,
    ) {
        self.graph.resolve();
        let count = self.graph.left_out();
        if self.left_out.update(count) {
            printk::warn(format_args!("{}", HungTasksLeftOut { count }));
        }
        self.reported.begin_check();
        for (number, cause) in (1..usize::MAX).zip(self.graph.causes()) {
            if number % BATCH == 0 {
                cond_resched();
            }
            self.reported.mark(&cause);
        }
        // Of hung tasks that had no place it is not known what they wait behind: nothing is over for
        // certain.
        let is_going_on = count != 0 || self.report_ended(check, &mut go_on);
        self.make_room();
        let snapshot = self.graph.snapshot();
        for cause in self.graph.causes() {
            if !is_going_on {
                break;
            }
            cond_resched();
            let is_forced = report.would_panic(check.panic_count);
            let is_outdated = is_outdated(snapshot, &cause);
            let reason = if is_outdated {
                // It is there still, for all that is known, and not looked into at this check.
                None
            } else {
                let oldest = snapshot.id(cause.oldest);
                incident::table::set_behind(identity(&cause), cause.behind);
                self.reported.see(&cause, oldest, check.now, check.timeout)
            };
            if reason.is_none() && !is_forced {
                continue;
            }
            let cause_report = CauseReport {
                snapshot,
                cause: &cause,
                check,
                reason,
                is_outdated,
            };
            let shown = cause_report.shown();
            let panic_task = cause_report.panic_task(shown);
            // A panic does not come without the report of what made it.
            if reason.is_none() && panic_task.is_none() {
                continue;
            }
            let panic_task = panic_task.map(|task| if is_forced { task } else { shown });
            let is_printed = cause_report.print(report, shown, panic_task);
            if is_printed {
                self.reported.printed(&cause, check.now);
            }
            if !go_on(is_printed) {
                break;
            }
        }
        let count = self.reported.left_out();
        if self.causes_left_out.update(count) {
            printk::warn(format_args!("{}", CausesLeftOut { count }));
        }
        // Incidents of causes that have lost their place, or never had one.
        for key in incident::table::root_causes().filter(|&key| !self.reported.is_known(key)) {
            incident::table::root_cause_ended(key, How::Unwatched, None);
        }
        let (known, began) = self.reported.remembered();
        incident::table::set_root_causes(known, check.now.saturating_sub(began));
    }

    /// Makes room for the causes of this check, if there is memory free.
    #[inline(never)]
    fn make_room(&mut self) {
        let (wanted, capacity) = (self.reported.wanted(), self.reported.capacity());
        if wanted <= capacity || capacity >= MAX_CAUSES {
            return;
        }
        let causes = wanted.max(capacity.saturating_mul(2)).min(MAX_CAUSES);
        if let (Ok(new), Ok(none)) = (new_places(places_for(causes)), new_memory(0)) {
            let old = core::mem::replace(&mut self.reported, none);
            self.reported = old.moved_into(new);
        }
    }

    /// Says which causes are over, when all that are there are marked. `go_on` is as for
    /// [`RootCauses::report`]. Returns whether to go on.
    #[inline(never)]
    fn report_ended(&mut self, check: &Check<'_>, go_on: &mut dyn FnMut(bool) -> bool) -> bool {
        // With a longer timeout it is not known who sleeps on.
        let is_longer = check.timeout > self.timeout;
        let mut recovered = if is_longer {
            0
        } else {
            check.blocked.recovered_since(self.blocked)
        };
        let may_sleep_on = is_longer || check.blocked.frozen != 0;
        let mut lines: u32 = 0;
        let mut more: u64 = 0;
        let mut is_going_on = true;
        while let Some(ended) = self.reported.next_ended() {
            cond_resched();
            // It may wait behind another cause now, or be ignored.
            let key = ended.oldest_key;
            let is_hung = self.graph.is_hung(key);
            let stall = (check.stall)(key);
            let all = u64::from(ended.hung) <= recovered;
            let how = match stall {
                _ if is_hung => How::Regrouped,
                // Ignored, or not for as long as the timeout is now.
                Stall::Hung | Stall::BelowTimeout => How::Unwatched,
                Stall::Frozen => How::Frozen,
                // Its oldest task goes on, others may sleep behind it and be hung no more for the knob.
                Stall::Over if may_sleep_on && ended.hung > 1 && !all => How::Unwatched,
                Stall::Over if is_alive(&ended) => How::Recovered,
                Stall::Over => How::Exited,
            };
            let age = check.now.saturating_sub(ended.began);
            incident::table::root_cause_ended(ended.key, how, Some(age));
            if ended.is_printed && !is_hung && stall == Stall::Over {
                recovered = recovered.saturating_sub(ended.hung.into());
                if lines < MAX_ENDED_LINES {
                    lines = lines.saturating_add(1);
                    print_ended(&ended, all, check.now);
                    is_going_on = go_on(lines % ENDED_LINES == 0);
                } else {
                    more = more.saturating_add(1);
                    is_going_on = go_on(false);
                }
            }
            if !is_going_on {
                break;
            }
        }
        if more != 0 {
            printk::info(format_args!("{}", MoreCausesEnded { count: more }));
        }
        // What the causes that are left to the next check have recovered counts then, and so does a
        // longer timeout.
        let left = if is_going_on {
            self.timeout = check.timeout;
            0
        } else {
            recovered
        };
        self.blocked = check.blocked.sum().saturating_add(left);
        is_going_on
    }

    /// Ends a check: drops the tasks.
    pub(super) fn end(&mut self) {
        self.graph.clear();
    }
}

/// Places for causes.
fn new_places(count: usize) -> Result<Buffer<ReportedCause>> {
    Buffer::new(count, free_memory(), |_| Ok(ReportedCause::default()))
}

/// A memory of causes with so many places.
fn new_memory(places: usize) -> Result<ReportedCauses<Buffer<ReportedCause>>> {
    Ok(ReportedCauses::new(new_places(places)?))
}

/// Whether a deadlock is none: owners are read one after the other, and what looks like a cycle may be
/// owners at different moments.
///
/// All waits are read twice. Where none of them is stale and no task has run from the first reading of
/// the task to the second, all tasks slept between the two, with the locks that they have: a task takes
/// and gives back locks only while it runs. Then all of the cycle was there at one moment.
fn is_outdated(snapshot: Snapshot<'_>, cause: &RootCause) -> bool {
    if !matches!(cause.root, Root::Deadlock { .. }) {
        return false;
    }
    let first = switches_of_cycle(snapshot, cause);
    first.is_none() || first != switches_of_cycle(snapshot, cause)
}

/// How often the tasks of a deadlock were switched out, in all: the sum is the same only if each number
/// is. `None`: a task of it runs, or waits for another lock than when it was added to the graph, or that
/// lock has another owner.
fn switches_of_cycle(snapshot: Snapshot<'_>, cause: &RootCause) -> Option<u64> {
    let mut cycle = snapshot.graph.cycle(cause);
    cycle.try_fold(0u64, |sum, index| {
        let sample = task::sample(snapshot.task(index)?);
        let is_there = sample.is_asleep() && snapshot.stale(index, blocker::find).is_none();
        is_there.then(|| sum.wrapping_add(sample.switch_count))
    })
}

/// The report on one cause.
struct CauseReport<'a> {
    snapshot: Snapshot<'a>,
    cause: &'a RootCause,
    check: &'a Check<'a>,
    /// Why it is due.
    reason: Option<ReportReason>,
    /// Whether it is a deadlock that is none any more.
    is_outdated: bool,
}

impl<'a> CauseReport<'a> {
    /// A hung task of the graph. `shown`: another one that is printed as well.
    fn found(&self, index: usize, shown: usize) -> Option<HungTask<'a>> {
        let task = self.snapshot.task(index)?;
        let node = self.snapshot.graph.node(index)?;
        let owner = self.snapshot.graph.owner_of(index);
        let waits_for_task = self.snapshot.waits_for_task(index);
        let is_stale = || self.snapshot.stale(index, blocker::find).is_some();
        let waits_for_task = waits_for_task.filter(|_| !is_stale());
        Some(HungTask {
            task,
            age: node.age()?,
            first: self.reason == Some(ReportReason::New),
            blocker: blocker::find(task),
            waits_for_task: waits_for_task
                .and_then(|(wait, owner)| Some((wait, self.snapshot.task(owner)?))),
            owner_is_shown: owner.is_some_and(|owner| owner == shown || self.is_in_deadlock(owner)),
            details: Details {
                key: identity(self.cause),
                root: self.root(),
                behind: self.cause.behind,
            },
        })
    }

    /// What the cause is.
    fn root(&self) -> CauseRoot {
        match self.cause.root {
            Root::Task(root) => CauseRoot::Task(self.snapshot.id(root)),
            Root::Lock { .. } => CauseRoot::Lock,
            Root::Deadlock { length, .. } => CauseRoot::Deadlock(length),
            Root::Stack { .. } => CauseRoot::Place,
        }
    }

    /// Whether a task is part of the deadlock that this is about: no other task that waits for one has a
    /// depth of 0.
    fn is_in_deadlock(&self, index: usize) -> bool {
        let node = self.snapshot.graph.node(index);
        self.is_deadlock() && node.is_some_and(|node| node.depth() == 0)
    }

    /// Whether this is about a deadlock.
    fn is_deadlock(&self) -> bool {
        matches!(self.cause.root, Root::Deadlock { .. }) && !self.is_outdated
    }

    /// The hung task that is printed as mainline prints it.
    fn shown(&self) -> usize {
        let Self {
            snapshot, cause, ..
        } = *self;
        // Not all tasks of a deadlock need be hung: those that a signal ends the wait of are not.
        let in_cycle = || {
            snapshot
                .graph
                .cycle(cause)
                .find(|&task| snapshot.is_hung(task))
        };
        match cause.root {
            Root::Deadlock { .. } => in_cycle().unwrap_or(cause.oldest),
            _ => snapshot.representative(cause),
        }
    }

    /// A task of the cause that may make a panic: `shown`, if that one may.
    fn panic_task(&self, shown: usize) -> Option<usize> {
        if self.check.panic_count == 0 {
            return None;
        }
        let may_panic = |index: &usize| {
            let task = self.snapshot.task(*index);
            let age = self.snapshot.graph.node(*index).and_then(Node::age);
            let rules = self.check.rules;
            task.zip(age)
                .is_some_and(|(task, age)| rules.may_panic(task, age))
        };
        let mut members = self.snapshot.graph.members(self.cause);
        Some(shown)
            .filter(may_panic)
            .or_else(|| members.find(may_panic))
    }

    /// Prints it. `panic_task`: the task that makes the panic if so many that may are enough for one.
    /// Returns whether it was printed.
    // Not part of the caller's stack frame.
    #[inline(never)]
    fn print(
        &self,
        report: &mut HungTaskReport<'_>,
        shown: usize,
        panic_task: Option<usize>,
    ) -> bool {
        let Self {
            snapshot, cause, ..
        } = *self;
        let first = panic_task.unwrap_or(shown);
        let panic_count = panic_task.map_or(0, |_| self.check.panic_count);
        let Some(found) = self.found(first, shown) else {
            return false;
        };
        let is_new = matches!(
            self.reason,
            Some(ReportReason::New | ReportReason::NotPrinted)
        );
        let culprit = || {
            let culprit = || root_cause::culprit(snapshot, cause, blocker::find);
            (!self.is_outdated).then(culprit).flatten()
        };
        if !report.add_cause(&found, panic_count, is_new, culprit) {
            return false;
        }
        if let Some(found) = self.found(shown, first).filter(|_| shown != first) {
            report.print(&found);
        }
        if self.is_deadlock() {
            self.print_cycle(report, [first, shown]);
            root_cause::print_deadlock(snapshot, cause);
        }
        self.show_root(report, [first, shown]);
        if !self.is_outdated {
            let is_root_ignored = self.is_root_ignored();
            root_cause::print_members(snapshot, cause, shown, is_root_ignored, blocker::find);
        }
        true
    }

    /// Whether the root is a task that is no hung one only because it is ignored.
    fn is_root_ignored(&self) -> bool {
        let Root::Task(root) = self.cause.root else {
            return false;
        };
        let Check { rules, stall, .. } = self.check;
        let task = self.snapshot.task(root);
        task.is_some_and(|task| stall(task::key(task)) == Stall::Hung && rules.ignore(task))
    }

    /// Prints the tasks of a deadlock but those that are `shown`: as mainline prints hung tasks, and of
    /// those that are not hung the stack.
    fn print_cycle(&self, report: &HungTaskReport<'_>, shown: [usize; 2]) {
        let mut printed: u32 = 1;
        for index in self.snapshot.graph.cycle(self.cause) {
            if printed >= MAX_DEADLOCK_TASKS || shown.contains(&index) {
                continue;
            }
            if let Some(found) = self.found(index, index) {
                report.print(&found);
            } else if let Some(task) = self.snapshot.task(index) {
                report.print_owner(task);
            }
            printed = printed.saturating_add(1);
        }
    }

    /// Prints the stack of a root that is not hung, unless it is an owner that a task of `shown` was printed
    /// with.
    fn show_root(&self, report: &HungTaskReport<'_>, shown: [usize; 2]) {
        let Root::Task(root) = self.cause.root else {
            return;
        };
        let is_shown = shown
            .iter()
            .any(|&task| root == task || self.snapshot.graph.owner_of(task) == Some(root));
        if let Some(task) = self.snapshot.task(root).filter(|_| !is_shown) {
            report.print_owner(task);
        }
    }
}

/// Whether the oldest task of a cause that has ended is alive.
fn is_alive(ended: &EndedCause) -> bool {
    // There may be another task at its address by now.
    let task = task::by_address(ended.oldest_key);
    task.is_some_and(|task| task.pid() == ended.oldest.pid && !task::is_exiting(&task))
}

/// Says that a cause is over. `all`: that so many tasks fewer are hung than before, so that none of them
/// waits behind another cause.
fn print_ended(ended: &EndedCause, all: bool, now: u64) {
    let secs = Secs(now.saturating_sub(ended.began));
    let task = ended.oldest;
    match ended.hung.saturating_sub(1) {
        others if others != 0 && all => printk::info(format_args!(
            "{}",
            HungTasksRecovered { task, others, secs }
        )),
        _ => printk::info(format_args!("{}", HungTaskRecovered { task, secs })),
    }
}
