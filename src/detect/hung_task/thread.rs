// SPDX-License-Identifier: GPL-2.0

//! The hung-task detector: the thread `vigild/hung`.
//!
//! It sleeps until the next look is due, looks, and sleeps again. A look has two parts:
//!
//! 1. Every task that is being watched is looked at again: forgotten if it does not sleep any more,
//!    reported if it has slept for the timeout. The table holds a reference to each, so this needs
//!    neither RCU nor a walk, and a report may take the time that a slow console needs.
//! 2. Unless the run queues say that no other task sleeps, the tasks are walked through for ones
//!    that are not being watched yet ([`crate::logic::plan`]).
//!
//! Where a watched task's timeout ends between two looks, part 1 is done then, so that the interval
//! is all that a report can come late.
//!
//! No lock is taken: the table belongs to the thread. What others may ask for is in [`Shared`], all
//! of it atomic.

use crate::{
    knobs::Knobs,
    logic::{
        hung_task::{
            check::{self, Outcome, Tracked},
            scan_policy::{self, ScanMode, ScanPolicy},
            table::{self, Entry, Table},
        },
        pause_clock,
        sysctl::Knob,
        NSEC_PER_SEC,
    },
    panic::PanicControl,
    report,
    sys::{
        buffer::Buffer,
        clock::monotonic,
        ksyms::Ksyms,
        kthread::{ThreadControl, ThreadFn},
        panic as kernel_panic,
        pause_clock::{PauseClock, PauseClockGuard, PauseRule},
        pm,
        runqueue::{RunQueues, Unreadable},
        task::{self, cond_resched, TaskScan},
    },
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Acquire, Atomic, Relaxed, Release},
        rcu, Arc,
    },
    task::Task,
};

/// Tasks that are looked at between two looks at the clock while under RCU.
const BATCH: u32 = 256;

/// How long one RCU read section may last before it is broken, in nanoseconds. Mainline allows
/// itself 100 ms (`HUNG_TASK_LOCK_BREAK`); this leaves a slow machine room below 10 ms.
const RCU_SECTION: u64 = 2_000_000;

/// Tasks that the table holds at first (about 200 KiB), and at most. What does not fit is counted
/// and said.
const CAPACITY_FIRST: usize = 4096;
/// See [`CAPACITY_FIRST`]. About 7 MiB.
const CAPACITY_MOST: usize = 1 << 17;

/// How often, and after how many milliseconds, the run queues are looked at again before a walk that
/// they would make needless.
const RETRIES: u32 = 4;
/// See [`RETRIES`].
const RETRY: u32 = 25;

/// Longest sleep of the thread, in milliseconds; it simply sleeps again.
const SLEEP_MOST: u32 = 3_600_000;

type Entries = Buffer<Entry<Option<ARef<Task>>>>;
type Buckets = Buffer<u32>;

/// What the thread shares with the knobs, the notifier and `status`.
pub(crate) struct HungTaskCtx {
    /// The knobs.
    pub(crate) knobs: Arc<Knobs>,
    /// Functions that are not exported.
    pub(crate) ksyms: Ksyms,
    /// The run queues, or why they cannot be read.
    pub(crate) queues: Result<RunQueues, Unreadable>,
    /// Panics.
    pub(crate) panic: Arc<PanicControl>,
    /// What it has done so far.
    pub(crate) stats: Stats,
    control: Arc<ThreadControl>,
    /// When the suspend began that is going on, [`monotonic`]; 0 when none is.
    suspended_at: Atomic<u64>,
    /// Time spent in suspend and in going there and back, in nanoseconds.
    suspended: Atomic<u64>,
}

/// Counts since load, for `status`. Written by the thread only.
#[derive(Default)]
pub(crate) struct Stats {
    /// Looks at the watched tasks and at the run queues.
    pub(crate) passes: Counter,
    /// Looks at the watched tasks alone, since one was due.
    pub(crate) rechecks: Counter,
    /// Walks through the tasks, and those of them through all.
    pub(crate) walks: Counter,
    /// See `walks`.
    pub(crate) full_walks: Counter,
    /// Tasks looked at in walks.
    pub(crate) looked_at: Counter,
    /// Tasks being watched now.
    pub(crate) watched: Counter,
    /// Of these, those found hung.
    pub(crate) hung: Counter,
    /// How many the table can hold now.
    pub(crate) capacity: Counter,
    /// Tasks that did not fit, summed over all walks.
    pub(crate) missed: Counter,
    /// Longest RCU read section of a walk, in nanoseconds.
    pub(crate) longest_section: Counter,
    /// Time in which the machine did not run, as far as it mattered, in nanoseconds.
    pub(crate) lost: Counter,
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

    fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    fn raise(&self, value: u64) {
        if value > self.get() {
            self.set(value);
        }
    }

    fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
}

impl HungTaskCtx {
    /// Nothing is running yet.
    pub(crate) fn new(
        knobs: Arc<Knobs>,
        control: Arc<ThreadControl>,
        ksyms: Ksyms,
        queues: Result<RunQueues, Unreadable>,
        panic: Arc<PanicControl>,
    ) -> Self {
        Self {
            knobs,
            ksyms,
            queues,
            panic,
            stats: Stats::default(),
            control,
            suspended_at: Atomic::new(0),
            suspended: Atomic::new(0),
        }
    }

    /// Whether a suspend or hibernation is going on.
    pub(crate) fn suspended(&self) -> bool {
        // Pairs with the store that ends a suspend: who sees that sees how long it was.
        self.suspended_at.load(Acquire) != 0
    }
}

impl pm::Listener for HungTaskCtx {
    /// Nothing is judged between the two events and the time between them does not count, so that
    /// nothing that was frozen or waited for a device to come back is reported for that.
    fn suspend(&self, event: pm::Event) {
        let now = monotonic().max(1);
        match event {
            pm::Event::Prepare => self.suspended_at.store(now, Relaxed),
            pm::Event::Post => {
                let began = self.suspended_at.load(Relaxed);
                if began != 0 {
                    self.suspended.fetch_add(now.saturating_sub(began), Relaxed);
                }
                self.suspended_at.store(0, Release);
                self.control.wake();
            }
        }
    }
}

/// The knobs as one look sees them.
#[derive(PartialEq, Eq)]
struct Settings {
    /// Nanoseconds, not zero.
    timeout: u64,
    /// Nanoseconds between looks.
    interval: u64,
    /// Tasks to be looked at in one walk.
    budget: u32,
}

impl Settings {
    /// `None`: switched off.
    fn read(knobs: &Knobs) -> Option<Self> {
        let timeout = knobs.get_u64(Knob::HungTaskTimeoutSecs);
        let interval = knobs.get_u64(Knob::HungTaskCheckIntervalSecs);
        Some(Self {
            interval: check::interval(timeout, interval)?,
            timeout: timeout.saturating_mul(NSEC_PER_SEC),
            budget: u32::try_from(knobs.get_u64(Knob::HungTaskCheckCount)).unwrap_or(u32::MAX),
        })
    }
}

/// The thread's own state.
pub(crate) struct Detector {
    shared: Arc<HungTaskCtx>,
    table: Table<Entries, Buckets>,
    policy: ScanPolicy,
    beat: Arc<PauseClock>,
    /// Runs while a task is being watched.
    guard_of_clock: Option<PauseClockGuard>,
    /// Where a walk goes on that ran out of budget: a pid, 0 for the first.
    resume: i32,
    /// Tasks that did not fit at the last walk, to say it once for each change.
    missed: u64,
    /// When the next watched task is due, on the live clock.
    due: u64,
}

/// Storage of a table that can hold `capacity` tasks.
fn new_storage(capacity: usize, flags: Flags) -> Result<(Entries, Buckets)> {
    Ok((
        Buffer::new(capacity, flags, |_| Ok(Entry::default()))?,
        Buffer::new(table::buckets_for(capacity), flags, |_| Ok(0))?,
    ))
}

impl Detector {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(shared: Arc<HungTaskCtx>) -> Result<Self> {
        let (entries, buckets) = new_storage(CAPACITY_FIRST, GFP_KERNEL)?;
        Ok(Self {
            shared,
            table: Table::new(entries, buckets),
            policy: ScanPolicy::default(),
            beat: PauseClock::new(PauseRule {
                period_ns: pause_clock::PERIOD_NS,
                overdue: pause_clock::overdue,
                paused_ns: pause_clock::paused_ns,
            })?,
            guard_of_clock: None,
            resume: 0,
            missed: 0,
            due: u64::MAX,
        })
    }

    /// The time, and the live clock: see [`crate::logic::clock`].
    fn clocks(&mut self) -> (u64, u64) {
        let (now, lost) = loop {
            let Some(running) = self.guard_of_clock.take() else {
                break (monotonic(), self.beat.paused_ns());
            };
            let read = running.read();
            self.guard_of_clock = Some(match read {
                Some(_) => running,
                None => running.restart(),
            });
            if let Some(read) = read {
                break read;
            }
        };
        let lost = lost.saturating_add(self.shared.suspended.load(Relaxed));
        (now, now.saturating_sub(lost))
    }

    /// The live clock alone.
    fn live(&mut self) -> u64 {
        self.clocks().1
    }

    /// Drops everything that is being watched, and with it all cost.
    fn forget(&mut self) {
        while let Some(last) = self.table.len().checked_sub(1) {
            self.table.remove_at(last);
        }
        self.guard_of_clock = None;
        self.due = u64::MAX;
        self.shared.stats.watched.set(0);
        self.shared.stats.hung.set(0);
    }

    /// Part 1 of a look. Returns how many of the watched tasks are certain to be in the kernel's
    /// count of sleepers.
    fn recheck(&mut self, settings: &Settings, control: &ThreadControl) -> u64 {
        let shared = self.shared.clone();
        let knobs = &shared.knobs;
        let mut settled: u64 = 0;
        let mut hung: u64 = 0;
        let mut pass = report::hung_task::Pass::new(&shared);
        self.due = u64::MAX;

        if settings.budget == 0 {
            self.forget();
        }
        let mut place = 0;
        loop {
            if place % (BATCH as usize) == 0 {
                cond_resched();
            }
            if control.should_stop() || shared.suspended() {
                break;
            }
            let now = self.live();
            let Some(entry) = self.table.entry_mut(place) else {
                break;
            };
            let Some(sample) = entry.task.as_deref().map(task::sample) else {
                break;
            };
            let verdict = entry.tracked.check(&sample, now, settings.timeout);
            let watch = entry.tracked;
            if verdict == Outcome::Awake {
                // The last entry moves here and is looked at next.
                self.table.remove_at(place);
                continue;
            }
            place = place.wrapping_add(1);
            settled = settled.saturating_add(u64::from(watch.seen_twice()));
            if sample.may_hang() {
                self.due = self.due.min(watch.due(settings.timeout));
            }
            let (news, first) = match verdict {
                Outcome::Awake | Outcome::Waiting => continue,
                Outcome::StillHung => (false, false),
                Outcome::Hung { first } => (true, first),
            };
            if first {
                knobs.count(Knob::HungTaskDetectCount);
            }
            hung = hung.saturating_add(1);
            // Asked each time: a write is in effect when it returns. A panic is never without the
            // report of the task that made it.
            if news || pass.would_panic(hung) {
                if let Some(task) = entry.task.clone() {
                    let table = &self.table;
                    let age = watch.age(now);
                    pass.report(&task, age, first, hung, |other| {
                        table.get(task::key(other)).is_some_and(|entry| {
                            entry
                                .tracked
                                .is_hung(&task::sample(other), now, settings.timeout)
                        })
                    });
                }
                // A report takes as long as the console does. What was changed meanwhile holds for
                // the rest.
                if Settings::read(knobs).as_ref() != Some(settings) {
                    self.due = 0;
                    break;
                }
            }
        }
        shared.stats.hung.set(hung);
        pass.finish(control);
        settled
    }

    /// Part 2 of a look. `settled` of the watched tasks are certain to be in the kernel's count.
    fn discover(
        &mut self,
        settings: &Settings,
        until_found: bool,
        settled: u64,
        control: &ThreadControl,
    ) {
        let shared = self.shared.clone();
        let stats = &shared.stats;
        let known = self.table.len();
        let budget = settings.budget;
        let queues = if until_found {
            shared.queues.ok()
        } else {
            None
        };
        let mut missed: u64 = 0;
        let mut may_grow = true;
        let mut wrapped = self.resume == 0;
        let mut walk = TaskScan::new(self.resume, budget, BATCH);
        self.resume = 0;
        loop {
            if control.should_stop() {
                return;
            }
            let (began, live) = self.clocks();
            let table = &mut self.table;
            let can_grow = may_grow && table.capacity() < CAPACITY_MOST;
            let mut full = false;
            let mut enough = false;
            let more = {
                let guard = rcu::read_lock();
                loop {
                    let before = table.len();
                    let more = walk.batch(&guard, |task| {
                        let watch = Tracked::new(&task::sample(task), live);
                        let entered = table.insert(task::key(task), watch, || Some(task.into()));
                        full = entered.is_err() && can_grow;
                        missed = missed.saturating_add(u64::from(entered.is_err() && !full));
                        !full
                    });
                    if let (Some(queues), true) = (queues, table.len() != before) {
                        let new = table.len().saturating_sub(known) as u64;
                        enough = scan_policy::accounts_for_all(
                            queues.sum(),
                            settled.saturating_add(new),
                        );
                    }
                    let took = monotonic().saturating_sub(began);
                    if !more || full || enough || took >= RCU_SECTION {
                        stats.longest_section.raise(took);
                        break more;
                    }
                }
            };
            cond_resched();
            if full {
                may_grow = self.grow();
            }
            if enough && self.all_found(known, settled) {
                break;
            }
            if !more {
                if wrapped || walk.budget() == 0 {
                    break;
                }
                // It began in the middle: go on from the first.
                wrapped = true;
                walk = TaskScan::new(0, walk.budget(), BATCH);
            }
        }
        if walk.budget() == 0 {
            self.resume = walk.next();
        }
        stats
            .looked_at
            .add(u64::from(budget.saturating_sub(walk.budget())));
        stats.missed.add(missed);
        if missed != 0 && missed != self.missed {
            pr_warn!(
                "{missed} sleeping tasks are not watched: no room for more than {}\n",
                self.table.capacity()
            );
        }
        self.missed = missed;
    }

    /// Whether the run queues count no more sleepers than are known. The newly found ones are
    /// looked at again first: each that has woken meanwhile would stand for one not found yet.
    fn all_found(&mut self, known: usize, settled: u64) -> bool {
        let Ok(queues) = self.shared.queues else {
            return false;
        };
        let mut found = settled;
        for place in known..self.table.len() {
            if let Some(entry) = self.table.entry_mut(place) {
                let same = entry
                    .task
                    .as_deref()
                    .is_some_and(|task| entry.tracked.same_sleep(&task::sample(task)));
                found = found.saturating_add(u64::from(same));
            }
        }
        let queues = queues.sum();
        queues.is_exact() && scan_policy::accounts_for_all(queues, found)
    }

    /// Makes room for more tasks. Returns whether there is some.
    ///
    /// Asks for memory that is free: to wait for memory may mean to wait for the very device that
    /// all the others are waiting for, and the detector would hang with them.
    fn grow(&mut self) -> bool {
        let capacity = self.table.capacity().saturating_mul(2).min(CAPACITY_MOST);
        let flags = GFP_NOWAIT | __GFP_NOWARN;
        let (Ok((entries, buckets)), Ok((none, no_buckets))) =
            (new_storage(capacity, flags), new_storage(0, flags))
        else {
            return false;
        };
        let old = core::mem::replace(&mut self.table, Table::new(none, no_buckets));
        self.table = old.moved_into(entries, buckets);
        self.shared.stats.capacity.set(capacity as u64);
        true
    }

    /// One look, with both parts or with the first only.
    fn look(&mut self, settings: &Settings, whole: bool, control: &ThreadControl) {
        if kernel_panic::died_or_panicking() {
            // For good. Nothing will be judged any more.
            self.forget();
            return;
        }
        if self.shared.suspended() {
            // The next whole look finds out what is due.
            self.due = u64::MAX;
            return;
        }
        let settled = self.recheck(settings, control);
        let shared = self.shared.clone();
        let stats = &shared.stats;
        if whole && !control.should_stop() {
            stats.passes.add(1);
            let sum = || shared.queues.ok().map(|queues| queues.sum());
            let mut queues = sum();
            let patience = scan_policy::max_skipped(settings.timeout, settings.interval);
            if self.policy.must_scan(patience) {
                // Others often wake at the same tick, khungtaskd for one, and are done soon.
                for _ in 0..RETRIES {
                    if control.should_stop() || queues.is_none_or(|queues| queues.is_exact()) {
                        break;
                    }
                    control.wait(Some(RETRY));
                    queues = sum();
                }
            }
            let walk = self.policy.scan_mode(queues, settled, patience);
            if walk != ScanMode::Skip {
                let until_found = walk == ScanMode::UntilAllTracked;
                stats.walks.add(1);
                stats.full_walks.add(u64::from(!until_found));
                self.discover(settings, until_found, settled, control);
                // New ones may be due before the next look if the interval is the timeout.
                let now = self.live();
                self.due = self.due.min(now.saturating_add(settings.timeout));
            }
        } else {
            stats.rechecks.add(1);
        }
        if self.table.is_empty() {
            self.guard_of_clock = None;
            self.due = u64::MAX;
        } else if self.guard_of_clock.is_none() {
            self.guard_of_clock = Some(self.beat.clone().start());
        }
        stats.watched.set(self.table.len() as u64);
        stats.lost.set(self.beat.paused_ns());
    }
}

impl ThreadFn for Detector {
    fn run(&mut self, control: &ThreadControl) {
        self.shared.stats.capacity.set(self.table.capacity() as u64);
        let mut last = None;
        let mut before = None;
        while !control.should_stop() {
            let Some(settings) = Settings::read(&self.shared.knobs) else {
                self.forget();
                last = None;
                control.wait(None);
                continue;
            };
            if before.as_ref() != Some(&settings) && !self.table.is_empty() {
                // What was due by other settings says nothing: look what is due by these.
                self.due = 0;
            }
            let (now, live) = self.clocks();
            let next = last.map_or(now, |at: u64| at.saturating_add(settings.interval));
            // Live time never runs faster, so that this is at most too early.
            let due = now.saturating_add(self.due.saturating_sub(live));
            if now >= next {
                self.look(&settings, true, control);
                last = Some(now);
            } else if now >= due {
                self.look(&settings, false, control);
            } else {
                control.wait(Some(millis_until(next.min(due), now)));
            }
            before = Some(settings);
        }
        self.forget();
    }
}

/// Milliseconds to sleep so as not to wake before `then`, at least one.
pub(crate) fn millis_until(then: u64, now: u64) -> u32 {
    let millis = then.saturating_sub(now).saturating_add(999_999) / 1_000_000;
    u32::try_from(millis)
        .unwrap_or(SLEEP_MOST)
        .clamp(1, SLEEP_MOST)
}
