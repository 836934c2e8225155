// SPDX-License-Identifier: GPL-2.0

//! Soft and hard lockups: a timer interrupt on each watched CPU.
//!
//! At each interrupt a CPU
//!
//! 1. stamps the time, which is what its watcher looks at, and says so if it was reported stuck;
//! 2. gives its stopper something to do and judges how long ago that last worked
//!    ([`crate::logic::soft`]);
//! 3. looks after the next CPU in the mask, and after those behind it as long as the ones before
//!    are stuck themselves ([`crate::logic::hard`]);
//! 4. comes again after a sample period, or earlier if one of the judgements is due earlier.
//!
//! Everything is set up and taken down by CPU hotplug callbacks on the CPU itself; a change of a
//! knob switches all CPUs off and on again. The order on each CPU is mainline's, and so is its
//! reason: the timer runs before others look at the stamp, and they stop looking before it stops.
//!
//! Where a CPU has a counter whose overflow is an NMI, that finds hard lockups instead of, or besides,
//! the next CPU: [`super::perf`]. What it finds is reported from here.
//!
//! Panics are [`super::panic`]'s: the interrupt looks whether one is due.
//!
//! No lock is taken in the interrupt. What one CPU writes lies on cache lines of its own; the
//! stamp is read by its watcher, and only the state of a CPU that seems stuck is written by others.

use crate::{
    detect::hardlockup::perf::{Backends, Eye},
    knobs::Knobs,
    logic::{
        fmt::Secs,
        hardlockup::{
            buddy as hard,
            buddy::{Look, State},
            perf::Backend,
        },
        incident::{self, Incident, IncidentKind},
        panic::{Cause, Initiator},
        softlockup::{self as soft, Signs, Soft, Tick, Work},
        sysctl::{Knob, SYS_INFO_ALL_BT},
        NSEC_PER_SEC,
    },
    panic::PanicControl,
    report::irqs::{Since, Tables},
    sys::{
        buffer::Buffer,
        clock::{log_clock, monotonic, wall_clock},
        context::HardirqCtx,
        cpu,
        cpuhp::{self, Instance},
        crash_record::{self, RecordId},
        ksyms::Ksyms,
        nmi::{self, NmiSender},
        panic as kernel_panic,
        perf_event::PerfEvents,
        printk, task,
        touch::TouchProbes,
        watchdog_timer::{StopWork, TimerCallback, WatchdogTimer, WatchdogTimers},
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    static_assert,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed, Release},
        Arc, Mutex,
    },
};

/// How long a watcher waits for the answer to an NMI on the spot, in nanoseconds.
const ON_THE_SPOT: u64 = 20_000_000;

/// How long if its handler has begun: an emulated CPU takes some milliseconds for it, and a slow
/// host may take the CPU away in the middle.
const ON_THE_SPOT_IF_BEGUN: u64 = 200_000_000;

/// Earliest next interrupt, in nanoseconds from now.
const SOONEST: u64 = 1_000_000;

/// When to come again to report a hard lockup while another is being reported, in nanoseconds.
const SOON: u64 = 20_000_000;

/// How long one report of a hard lockup keeps others waiting at most, in nanoseconds.
const TURN: u64 = 30 * NSEC_PER_SEC;

/// Samples of CPU use that a report shows.
const SAMPLES: usize = 5;

/// What a CPU tells its watcher.
#[repr(align(64))]
pub(crate) struct Stamp {
    /// When its timer interrupt came last.
    pub(crate) seen: Atomic<u64>,
    /// When it came in time of late: proof that the machine ran then.
    work: [Atomic<u64>; 3],
    /// Whether it is to be watched.
    active: Atomic<bool>,
    /// Since when it is at a report of its own, on another CPU or itself; 0: it is not.
    reporting: Atomic<u64>,
}

impl Stamp {
    fn work(&self) -> Work {
        let [last, mark, before] = &self.work;
        Work {
            last: last.load(Acquire),
            mark: mark.load(Acquire),
            before: before.load(Acquire),
        }
    }

    /// The timer interrupt came in time. Written by that CPU alone, the oldest first: who reads in
    /// between finds one time twice. What is lost then is older than one that is a grace old itself.
    fn is_at_work(&self, now: u64, period: u64) {
        let new = self.work().at(now, soft::grace(period));
        let [last, mark, before] = &self.work;
        before.store(new.before, Release);
        mark.store(new.mark, Release);
        last.store(new.last, Release);
    }
}

/// For as long as this lives the CPU is at a report, in its timer interrupt. That may take long
/// (a CPU that does not run is waited for ten seconds if it is to show its stack), and is no lockup.
struct AtReport<'a>(&'a Stamp);

impl<'a> AtReport<'a> {
    fn begin(stamp: &'a Stamp) -> Self {
        stamp.reporting.store(monotonic().max(1), Release);
        Self(stamp)
    }
}

impl Drop for AtReport<'_> {
    fn drop(&mut self) {
        self.0.seen.store(monotonic(), Release);
        self.0.reporting.store(0, Release);
    }
}

/// What watchers know of a CPU.
#[repr(align(64))]
pub(crate) struct Watched {
    /// [`State`], encoded: see [`Told`].
    pub(crate) state: Atomic<u64>,
    /// NMIs that it had taken when it was asked.
    taken: Atomic<u32>,
    /// Answers that came late, since its last timer interrupt.
    late: Atomic<u32>,
    /// The question that the two are about: [`State::Asked`].
    asked: Atomic<u64>,
    /// How often patience had been asked for.
    touches: Atomic<u32>,
    /// Since when its stamp counts at the earliest.
    patience: Atomic<u64>,
}

/// A CPU as a watcher looks at it.
struct Other<'a> {
    cpu: u32,
    stamp: &'a Stamp,
    watched: &'a Watched,
    /// Since when the stamp counts at the earliest.
    patience: u64,
}

/// What [`Watched::state`] means.
fn decode(raw: u64) -> State {
    match raw {
        Told::FINE => State::Fine,
        // What its own counter has found needs no second opinion.
        Told::HARD | Told::FOUND => State::Hard,
        Told::UNRESPONSIVE => State::Unresponsive,
        at => State::Asked(at),
    }
}

/// Values of [`Watched::state`] that are no time.
pub(crate) struct Told;
impl Told {
    const FINE: u64 = 0;
    pub(crate) const HARD: u64 = 1;
    const UNRESPONSIVE: u64 = 2;
    /// Its own counter has found it stuck, and nobody has reported that yet. Whoever changes this
    /// into something else counts it down ([`Backends::taken`]).
    pub(crate) const FOUND: u64 = 3;
    const LEAST_TIME: u64 = 4;
}

/// What shows that a CPU runs with interrupts off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// It answered an NMI.
    Answer,
    /// It took the NMI of its counter.
    Counter,
    /// Nothing.
    None,
}

/// What all CPUs share.
pub(crate) struct LockupCtx {
    pub(crate) knobs: Arc<Knobs>,
    pub(crate) ksyms: Ksyms,
    /// Panics.
    pub(crate) panic: Arc<PanicControl>,
    /// Who finds hard lockups.
    pub(crate) backends: Backends,
    /// Given up after the timers that use it: they hold this by an `Arc`.
    stopper: StopWork,
    touches: TouchProbes,
    nmi: Option<NmiSender>,
    stamps: Buffer<Stamp>,
    pub(crate) watched: Buffer<Watched>,
    /// Room for counts of interrupts.
    tables: Tables,
    /// `watchdog_cpumask`: a flag for each CPU.
    mask: Buffer<Atomic<bool>>,
    /// Seconds; 0: off. This and the two below change only while nothing runs.
    thresh: Atomic<u64>,
    soft: Atomic<bool>,
    hard: Atomic<bool>,
    /// Whether a CPU is showing the stacks of all for a soft lockup.
    soft_dump: Atomic<bool>,
    /// Since when a hard lockup is being reported; 0: none is.
    hard_dump: Atomic<u64>,
    /// Reports since load.
    soft_count: Atomic<u64>,
    hard_count: Atomic<u64>,
    unresponsive_count: Atomic<u64>,
}

/// One CPU's own.
struct OneCpu {
    shared: Arc<LockupCtx>,
    cpu: u32,
    /// [`Soft`], which the stopper writes too.
    ran: Atomic<u64>,
    period: Atomic<u64>,
    stolen_at_ran: Atomic<u64>,
    stolen_at_period: Atomic<u64>,
    stolen_last: Atomic<u64>,
    /// Since when stamps count at the earliest for this CPU as a watcher: the end of a pause.
    patience: Atomic<u64>,
    /// When the timer was to come.
    due: Atomic<u64>,
    /// How often patience had been asked for.
    touches: Atomic<u32>,
    /// Whether the hypervisor's flag that it had stopped the CPU was set.
    flag: Atomic<bool>,
    /// Whether the soft lockup that lasts is in the record.
    noted: Atomic<bool>,
    /// When the next sample of CPU use is to be taken.
    sample_at: Atomic<u64>,
    /// [`cpu::times`] at the last sample.
    times: [Atomic<u64>; 4],
    /// Percent of the last samples, a byte each; the oldest at `oldest`.
    used: [Atomic<u32>; SAMPLES],
    oldest: Atomic<u32>,
    /// The counts of interrupts when it had missed a sample period.
    irqs: Since,
}

/// The timers of all CPUs.
struct Beats {
    shared: Arc<LockupCtx>,
    beats: WatchdogTimers<OneCpu>,
    counters: PerfEvents<Eye>,
}

/// Memory for each CPU that there may be, in bytes, besides the per-CPU variables of the C part.
pub(crate) const BYTES_PER_CPU: usize = size_of::<Stamp>()
    + size_of::<Watched>()
    + size_of::<Atomic<bool>>()
    + WatchdogTimers::<OneCpu>::BYTES_PER_CPU
    + PerfEvents::<Eye>::BYTES_PER_CPU;
static_assert!(BYTES_PER_CPU <= 768, "well under a kilobyte for each CPU");

/// The detectors: switches them on and off. Dropping it leaves nothing behind on any CPU.
#[pin_data]
pub(crate) struct LockupDetector {
    shared: Arc<LockupCtx>,
    beats: Arc<Beats>,
    #[pin]
    instance: Mutex<Pin<KBox<Instance<Beats>>>>,
}

impl LockupCtx {
    pub(crate) fn stamp(&self, cpu: u32) -> Option<&Stamp> {
        self.stamps.get(cpu as usize)
    }

    /// Nanoseconds from one timer interrupt to the next.
    fn sample_period(&self) -> u64 {
        soft::sample_period(self.thresh())
    }

    /// The threshold in seconds.
    pub(crate) fn thresh(&self) -> u64 {
        self.thresh.load(Relaxed)
    }

    /// Changes what is told of a CPU, unless somebody else, or that CPU, was first. Returns whether
    /// it did.
    pub(crate) fn claim(&self, watched: &Watched, old: u64, new: u64) -> bool {
        let first = watched.state.cmpxchg(old, new, Full).is_ok();
        if first && old == Told::FOUND {
            self.backends.taken();
        }
        first
    }

    /// The same, whatever is told of it: it is fine. Returns what was told.
    fn fine(&self, watched: &Watched) -> u64 {
        let old = watched.state.xchg(Told::FINE, Full);
        if old == Told::FOUND {
            self.backends.taken();
        }
        old
    }

    /// Whether a CPU is one of those that are to be watched.
    pub(crate) fn in_mask(&self, cpu: u32) -> bool {
        self.mask
            .get(cpu as usize)
            .is_some_and(|flag| flag.load(Relaxed))
    }

    /// Whether soft, and hard, lockups are being detected.
    pub(crate) fn enabled(&self) -> (bool, bool) {
        (self.soft.load(Relaxed), self.hard.load(Relaxed))
    }

    /// Who shows that a CPU gets to run what is most urgent.
    pub(crate) fn stopper(&self) -> &StopWork {
        &self.stopper
    }

    /// Whether CPUs can be asked by NMI.
    pub(crate) fn can_ask(&self) -> bool {
        self.nmi.is_some()
    }

    /// Whose calls are counted as wishes for patience.
    pub(crate) fn touches(&self) -> &TouchProbes {
        &self.touches
    }

    /// Reports since load: soft lockups, hard lockups, CPUs that did not run.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        (
            self.soft_count.load(Relaxed),
            self.hard_count.load(Relaxed),
            self.unresponsive_count.load(Relaxed),
        )
    }

    /// The mask of what to show besides a report; and whether the stacks of all CPUs.
    pub(crate) fn extras(&self, list: Knob, all_cpus: Knob) -> (usize, bool) {
        let mask = self.knobs.get(list);
        let all = mask & SYS_INFO_ALL_BT != 0 || self.knobs.get(all_cpus) != 0;
        (usize::try_from(mask & !SYS_INFO_ALL_BT).unwrap_or(0), all)
    }

    /// Looks after the CPUs behind `me`; stamps count from `patience` on at the earliest. Returns
    /// when to look again at the latest.
    fn watch(&self, me: u32, patience: u64) -> u64 {
        let period = self.sample_period();
        let limit = hard::limit(self.thresh.load(Relaxed));
        let count = cpu::count();
        let mut again = u64::MAX;
        let mut other = me;
        let began = monotonic();
        for _ in 1..count {
            // What was done before may have taken long: a report, or an answer that was waited for.
            // The first one is looked at in any case.
            let now = monotonic();
            let took = now.saturating_sub(began);
            if let Some(own) = self.stamp(me).filter(|_| took >= SOONEST) {
                // This is its timer interrupt.
                own.seen.store(now, Release);
            }
            if took > period / 4 {
                return again.min(now.saturating_add(SOON));
            }
            other = other.wrapping_add(1);
            if other >= count {
                other = 0;
            }
            let (Some(stamp), Some(watched)) =
                (self.stamp(other), self.watched.get(other as usize))
            else {
                break;
            };
            if !stamp.active.load(Acquire) {
                continue;
            }
            if self.is_at_report(other, now) && !self.panic.is_initiator(other) {
                continue;
            }
            let touches = self.wishes(other);
            if watched.touches.load(Acquire) != touches {
                // In this order: who watches the CPU besides sees the new wish with its moment.
                watched.patience.store(now, Relaxed);
                watched.touches.store(touches, Release);
            }
            let raw = watched.state.load(Acquire);
            let patience = patience.max(watched.patience.load(Relaxed));
            let other = Other {
                cpu: other,
                stamp,
                watched,
                patience,
            };
            let (raw, verdict) = self.judge(&other, raw, now, period, limit);
            match verdict {
                hard::Verdict::Fine => break,
                hard::Verdict::CheckAt(at) => again = again.min(at),
                hard::Verdict::Known | hard::Verdict::Ask => (),
                hard::Verdict::HardLockup => {
                    again = again.min(self.hard_lockup(me, &other, raw, now, Proof::Answer));
                }
                hard::Verdict::Unconfirmed => {
                    again = again.min(self.hard_lockup(me, &other, raw, now, Proof::None));
                }
                hard::Verdict::Unresponsive => self.unresponsive(me, &other, raw, now),
            }
        }
        again
    }

    /// Reports what other CPUs' counters have found. Returns when to come again.
    fn report_found(&self, me: u32) -> u64 {
        let mut again = u64::MAX;
        let most = self.sample_period() / 4;
        let began = monotonic();
        for (watched, cpu) in self.watched.iter().zip(0..u32::MAX) {
            let Some(stamp) = self.stamp(cpu).filter(|_| cpu != me) else {
                continue;
            };
            if watched.state.load(Acquire) == Told::FOUND {
                // The report before may have taken long.
                let now = monotonic();
                if now.saturating_sub(began) > most {
                    return again.min(now.saturating_add(SOON));
                }
                let other = Other {
                    cpu,
                    stamp,
                    watched,
                    patience: 0,
                };
                let at = self.hard_lockup(me, &other, Told::FOUND, now, Proof::Counter);
                again = again.min(at);
            }
        }
        again
    }

    /// Whether a CPU is at a report, and not for too long.
    pub(crate) fn is_at_report(&self, cpu: u32, now: u64) -> bool {
        let began = self.stamp(cpu).map_or(0, |s| s.reporting.load(Acquire));
        began != 0 && now.saturating_sub(began) < TURN
    }

    /// What a look at another CPU shows, of which `raw` is told.
    fn look(&self, other: &Other<'_>, raw: u64, now: u64, on_the_spot: bool) -> Look {
        let taken = self.nmi.as_ref().map(|nmi| nmi.done(other.cpu));
        // Whoever has asked may not have come to note which NMIs count.
        let noted = match decode(raw) {
            State::Asked(at) => other.watched.asked.load(Acquire) == at,
            _ => true,
        };
        Look {
            now,
            seen: other.stamp.seen.load(Acquire),
            patience: other.patience,
            answered: noted
                && taken.is_some_and(|taken| taken != other.watched.taken.load(Relaxed)),
            on_the_spot,
            late: other.watched.late.load(Relaxed),
            can_ask: taken.is_some(),
        }
    }

    /// Judges one CPU, and asks it if that is the verdict; the answer usually is there at once.
    /// Returns the state that was judged, for the claim, and the verdict.
    fn judge(
        &self,
        other: &Other<'_>,
        mut raw: u64,
        now: u64,
        period: u64,
        limit: u64,
    ) -> (u64, hard::Verdict) {
        let before = other.stamp.seen.load(Acquire);
        let look = self.look(other, raw, now, false);
        let mut verdict = hard::judge(decode(raw), &look, period, limit);
        let mut afterthought = hard::AFTERTHOUGHT;
        if let (hard::Verdict::Ask, Some(nmi)) = (verdict, &self.nmi) {
            // What came out could not be reported now.
            if self.turn_is_taken(now) && self.knobs.get(Knob::HardlockupPanic) == 0 {
                return (raw, hard::Verdict::CheckAt(now.saturating_add(SOON)));
            }
            let asked = now.max(Told::LEAST_TIME);
            if !self.claim(other.watched, raw, asked) {
                // Another watcher was first, or the CPU is back.
                return (
                    raw,
                    hard::Verdict::CheckAt(now.saturating_add(hard::ANSWER)),
                );
            }
            let late = look.late_so_far(decode(raw));
            other.watched.late.store(late, Relaxed);
            raw = asked;
            let begun = nmi.entered(other.cpu);
            other.watched.taken.store(nmi.done(other.cpu), Release);
            other.watched.asked.store(asked, Release);
            nmi.send(other.cpu);
            verdict = loop {
                let look = self.look(other, raw, monotonic(), true);
                let most = if nmi.entered(other.cpu) == begun {
                    ON_THE_SPOT
                } else {
                    ON_THE_SPOT_IF_BEGUN
                };
                let took = look.now.saturating_sub(asked);
                if look.answered || took > most {
                    // Where the handler took long, so does what comes behind it.
                    afterthought = afterthought.max(took.min(ON_THE_SPOT_IF_BEGUN));
                    break hard::judge(decode(raw), &look, period, limit);
                }
                core::hint::spin_loop();
            };
        }
        let reported = matches!(
            verdict,
            hard::Verdict::HardLockup | hard::Verdict::Unconfirmed
        );
        if reported && self.comes_back(other, before, afterthought) {
            verdict = hard::Verdict::Fine;
        }
        (raw, verdict)
    }

    /// How often a CPU has wished for patience; wraps.
    ///
    /// Where no NMI can tell whether it lives, a wish for patience with its stopper shows that as
    /// well: `nmi_trigger_cpumask_backtrace()`, by which the in-tree detector asks a stuck CPU for its
    /// stack, waits ten seconds in the timer interrupt for one that it cannot interrupt, and calls
    /// `touch_softlockup_watchdog()` each millisecond.
    fn wishes(&self, cpu: u32) -> u32 {
        let hard = self.touches.hardlockup(cpu);
        if self.can_ask() {
            return hard;
        }
        hard.wrapping_add(self.touches.softlockup(cpu))
    }

    /// Whether a CPU that has just answered, or cannot be asked, has taken a timer interrupt since
    /// `before`, or takes one within `afterthought` nanoseconds: then it was not stuck but stopped.
    fn comes_back(&self, other: &Other<'_>, before: u64, afterthought: u64) -> bool {
        let began = monotonic();
        while monotonic().saturating_sub(began) < afterthought {
            if other.stamp.seen.load(Acquire) != before {
                return true;
            }
            core::hint::spin_loop();
        }
        false
    }

    /// Reports a hard lockup: `watchdog_hardlockup_check()`.
    /// Returns when to come again.
    fn hard_lockup(&self, me: u32, other: &Other<'_>, raw: u64, now: u64, proof: Proof) -> u64 {
        let panic = &self.panic;
        // One that is about to panic is at its report, which takes what it takes.
        if panic.is_initiator(other.cpu) {
            // To be asked again: it may stop running in the middle.
            self.claim(other.watched, raw, Told::FINE);
            return u64::MAX;
        }
        let (mask, all) = self.extras(Knob::HardlockupSysInfo, Knob::HardlockupAllCpuBacktrace);
        // One CPU at a time gives a report, since the kernel shows stacks for one at a time only
        // and the lines of two would mix; the others come again. A panic does not wait for that,
        // unless it wants the stacks of all.
        let wanted = self.knobs.get(Knob::HardlockupPanic) != 0;
        let turn = self.begin_hard_report(now);
        if kernel_panic::in_progress() || (turn.is_none() && (all || !wanted)) {
            self.end_hard_report(turn);
            return now.saturating_add(SOON);
        }
        // Of several watchers one gets it, and none if the CPU is back.
        if !self.claim(other.watched, raw, Told::HARD) {
            self.end_hard_report(turn);
            return u64::MAX;
        }
        let _at_report = self.stamp(me).map(AtReport::begin);
        let age = now.saturating_sub(other.stamp.seen.load(Relaxed));
        let other = other.cpu;
        let confirmed = proof != Proof::None;
        let shows = !confirmed && self.ksyms.backtrace_is_nmi();
        let noted = self.note_hard(other, me, age, confirmed);
        let fate = panic.fate(wanted, Cause::HardLockup, me, now);
        if fate.decision.is_some() {
            noted.mark_fatal();
        }
        printk::emerg(format_args!(
            "watchdog: CPU{me}: Watchdog detected hard LOCKUP on cpu {other}"
        ));
        let proof = match proof {
            Proof::Answer => "and answers an NMI: it runs with interrupts off",
            Proof::Counter => "and takes the NMI of its counter: it runs with interrupts off",
            Proof::None if shows => {
                "and cannot be asked by NMI here but for its stack: if that follows, it runs with \
                 interrupts off"
            }
            Proof::None => {
                "and cannot be asked by NMI here: that it runs with interrupts off could not be \
                 confirmed"
            }
        };
        printk::emerg(format_args!(
            "vigil: CPU{other} took its last timer interrupt {} s ago {proof}",
            Secs(age)
        ));
        {
            let _printk_sync = printk::PrintkCpuSync::new();
            self.ksyms.print_modules();
        }
        if (confirmed || shows) && !self.ksyms.backtrace_cpu(other) {
            printk::emerg(format_args!(
                "vigil: its stack cannot be shown: this kernel's backtrace by NMI is out of reach"
            ));
        }
        if all {
            if let Some(decision) = fate.decision {
                panic.reporting(decision, monotonic());
            }
            self.ksyms.backtrace_others(other);
        }
        self.end_hard_report(turn);
        panic.end_report(&fate, Some(mask), || self.is_last(me, monotonic()));
        u64::MAX
    }

    /// Counts a hard lockup, and notes it in the record; what an NMI that `confirmed` it has seen of
    /// the CPU, too.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn note_hard(&self, cpu: u32, finder: u32, age: u64, confirmed: bool) -> RecordId {
        self.hard_count.fetch_add(1, Relaxed);
        let snapshot = if confirmed { nmi::snapshot(cpu) } else { None };
        crash_record::record(&Incident {
            kind: IncidentKind::HardLockup,
            cpu,
            task: snapshot.map(|(task, _)| task),
            finder,
            found: log_clock(),
            age,
            wall: wall_clock(),
            wait: None,
            flags: if confirmed { incident::CONFIRMED } else { 0 },
            stack: snapshot.map_or_else(Default::default, |(_, stack)| stack),
        })
    }

    /// Reports a hard lockup of this CPU that its counter has found, and that ended before anybody
    /// has reported it.
    fn hard_lockup_over(&self, me: u32, age: u64) {
        self.note_hard(me, me, age, true);
        let _printk_sync = printk::PrintkCpuSync::new();
        printk::emerg(format_args!(
            "watchdog: CPU{me}: Watchdog detected hard LOCKUP on cpu {me}"
        ));
        printk::emerg(format_args!(
            "vigil: CPU{me} took no timer interrupt for {} s, and the NMI of its counter: it ran with \
             interrupts off, and does not any more",
            Secs(age)
        ));
        if let Some((task, stack)) = nmi::snapshot(me) {
            printk::emerg(format_args!("vigil: it was running {task}, at"));
            self.ksyms.print_stack(&stack);
        }
    }

    /// Whether some CPU has the turn to report a hard lockup. One that is not given back is over
    /// some time.
    pub(crate) fn turn_is_taken(&self, now: u64) -> bool {
        let began = self.hard_dump.load(Relaxed);
        began != 0 && now.saturating_sub(began) < TURN
    }

    /// Takes it. Returns what to give back.
    fn begin_hard_report(&self, now: u64) -> Option<u64> {
        let began = self.hard_dump.load(Relaxed);
        if self.turn_is_taken(now) {
            return None;
        }
        let turn = now.max(1);
        let taken = self.hard_dump.cmpxchg(began, turn, Full).is_ok();
        taken.then_some(turn)
    }

    /// Gives it back, if it was taken; not what somebody else has taken since, when it was over.
    fn end_hard_report(&self, turn: Option<u64>) {
        if let Some(turn) = turn {
            let _ = self.hard_dump.cmpxchg(turn, 0, Full);
        }
    }

    /// Whether no other CPU has taken its timer interrupt of late: each takes one in a sample
    /// period.
    pub(crate) fn is_last(&self, me: u32, now: u64) -> bool {
        let period = self.sample_period();
        let of_late = period.saturating_add(period / 4);
        !self.others_ran(me, now.saturating_sub(of_late), now)
    }

    /// Whether no CPU is being watched, and none watches.
    fn nobody_is_there(&self) -> bool {
        !self.stamps.iter().any(|stamp| stamp.active.load(Relaxed))
    }

    /// Reports a CPU that does not run.
    fn unresponsive(&self, me: u32, other: &Other<'_>, raw: u64, now: u64) {
        let panic = &self.panic;
        if panic.is_initiator(other.cpu) {
            panic.take_over_from(other.cpu);
            return;
        }
        if kernel_panic::in_progress() || !self.claim(other.watched, raw, Told::UNRESPONSIVE) {
            return;
        }
        self.unresponsive_count.fetch_add(1, Relaxed);
        let age = now.saturating_sub(other.stamp.seen.load(Relaxed));
        let other = other.cpu;
        let noted = crash_record::record(&Incident {
            kind: IncidentKind::UnresponsiveCpu,
            cpu: other,
            task: None,
            finder: me,
            found: log_clock(),
            age,
            wall: wall_clock(),
            wait: None,
            flags: 0,
            stack: Default::default(),
        });
        let wanted = self.knobs.get(Knob::UnresponsiveCpuPanic) != 0;
        let fate = panic.fate(wanted, Cause::UnresponsiveCpu, me, now);
        if fate.decision.is_some() {
            noted.mark_fatal();
        }
        printk::emerg(format_args!(
            "vigil: CPU{other} has not run for {} s: it does not answer an NMI (a virtual CPU that \
             its host does not run looks so)",
            age / NSEC_PER_SEC
        ));
        panic.end_report(&fate, None, || false);
    }

    /// Whether another CPU was at work some time between `from` and `to`.
    fn others_ran(&self, me: u32, from: u64, to: u64) -> bool {
        (0..cpu::count()).any(|other| {
            other != me
                && self.stamp(other).is_some_and(|stamp| {
                    stamp.active.load(Relaxed) && stamp.work().within(from, to)
                })
        })
    }
}

impl OneCpu {
    fn new(shared: Arc<LockupCtx>, cpu: u32) -> Self {
        Self {
            shared,
            cpu,
            ran: Atomic::new(0),
            period: Atomic::new(0),
            stolen_at_ran: Atomic::new(0),
            stolen_at_period: Atomic::new(0),
            stolen_last: Atomic::new(0),
            patience: Atomic::new(0),
            due: Atomic::new(0),
            touches: Atomic::new(0),
            flag: Atomic::new(false),
            noted: Atomic::new(false),
            sample_at: Atomic::new(0),
            times: core::array::from_fn(|_| Atomic::new(0)),
            used: core::array::from_fn(|_| Atomic::new(0)),
            oldest: Atomic::new(0),
            irqs: Since::new(),
        }
    }

    fn load(&self) -> Soft {
        Soft {
            ran: self.ran.load(Relaxed),
            period: self.period.load(Relaxed),
            stolen_at_ran: self.stolen_at_ran.load(Relaxed),
            stolen_at_period: self.stolen_at_period.load(Relaxed),
            stolen_last: self.stolen_last.load(Relaxed),
        }
    }

    /// Called by the stopper, which the timer interrupt may interrupt, and by that interrupt. The
    /// threshold's beginning goes first: what is judged in between is never too old.
    fn save(&self, soft: Soft) {
        self.period.store(soft.period, Relaxed);
        self.stolen_at_period.store(soft.stolen_at_period, Relaxed);
        self.ran.store(soft.ran, Relaxed);
        self.stolen_at_ran.store(soft.stolen_at_ran, Relaxed);
        self.stolen_last.store(soft.stolen_last, Relaxed);
    }

    /// The state at the moment when the CPU begins to be watched.
    fn begin(&self, now: u64) {
        self.noted.store(false, Relaxed);
        self.save(Soft::fresh(now, cpu::stolen(self.cpu)));
        self.touches
            .store(self.shared.touches.softlockup(self.cpu), Relaxed);
        self.flag
            .store(cpu::guest_paused(self.cpu) == Some(true), Relaxed);
        self.sample_at.store(now, Relaxed);
        for (old, new) in self.times.iter().zip(cpu::times(self.cpu)) {
            old.store(new, Relaxed);
        }
        for used in &self.used {
            used.store(0, Relaxed);
        }
    }

    /// Time in which this CPU did not run, of that since its last interrupt: all by which the timer
    /// came late, unless others ran meanwhile and nobody found, or was told, that this one did not.
    fn paused(&self, now: u64, state: u64, flagged: bool) -> u64 {
        let due = self.due.load(Relaxed);
        let period = self.shared.sample_period();
        let late = soft::late(now, due, period);
        if late == 0 {
            return 0;
        }
        let grace = soft::grace(period);
        let from = due.saturating_add(grace);
        let to = now.saturating_sub(grace);
        let told = Work::tells(from, to, period);
        let signs = Signs {
            late,
            flagged,
            found: !matches!(state, Told::FINE | Told::HARD | Told::FOUND),
            alone: told && !self.shared.others_ran(self.cpu, from, to),
        };
        signs.paused()
    }

    /// Takes a sample of what the CPU is used for, each sample period.
    fn sample(&self, now: u64, period: u64) {
        if now < self.sample_at.load(Relaxed) {
            return;
        }
        self.sample_at.store(now.saturating_add(period), Relaxed);
        let mut packed: u32 = 0;
        for (old, new) in self.times.iter().zip(cpu::times(self.cpu)) {
            let spent = new.saturating_sub(old.xchg(new, Relaxed));
            let percent = spent
                .saturating_mul(100)
                .checked_div(period)
                .unwrap_or(0)
                .min(100);
            packed = packed << 8 | u32::try_from(percent).unwrap_or(100);
        }
        let oldest = self.oldest.load(Relaxed);
        if let Some(used) = self.used.get(oldest as usize) {
            used.store(packed, Relaxed);
        }
        let next = oldest.wrapping_add(1);
        let next = if next as usize >= SAMPLES { 0 } else { next };
        self.oldest.store(next, Relaxed);
    }

    /// Prints the samples: `print_cpustat()`.
    fn show_use(&self, period: u64) {
        printk::crit(format_args!(
            "CPU#{} Utilization every {}ms during lockup (as counted by the tick):",
            self.cpu,
            period / 1_000_000
        ));
        let oldest = self.oldest.load(Relaxed) as usize;
        let (new, old) = (
            self.used.get(..oldest).unwrap_or_default(),
            self.used.get(oldest..).unwrap_or_default(),
        );
        for (used, n) in Iterator::chain(old.iter(), new).zip(1..u32::MAX) {
            let [system, softirq, hardirq, idle] = used.load(Relaxed).to_be_bytes();
            printk::crit(format_args!(
                "\t#{n}: {system:3}% system,\t{softirq:3}% softirq,\t{hardirq:3}% hardirq,\t{idle:3}% idle"
            ));
        }
    }

    /// Percent of hard interrupts in the last sample.
    fn hardirq_percent(&self) -> u8 {
        let oldest = self.oldest.load(Relaxed) as usize;
        let last = oldest.checked_sub(1).unwrap_or(SAMPLES - 1);
        let used = self.used.get(last).map_or(0, |used| used.load(Relaxed));
        let [_, _, hardirq, _] = used.to_be_bytes();
        hardirq
    }

    /// Reports a soft lockup: the end of `watchdog_timer_fn()`.
    /// Returns whether it did: only one CPU at a time shows the stacks of all.
    fn soft_lockup(&self, timer: &HardirqCtx<'_>, now: u64, duration: u64, stolen: u64) -> bool {
        let shared = &self.shared;
        let (mask, all) = shared.extras(Knob::SoftlockupSysInfo, Knob::SoftlockupAllCpuBacktrace);
        if all && shared.soft_dump.xchg(true, Full) {
            return false;
        }
        let _at_report = shared.stamp(self.cpu).map(AtReport::begin);
        shared.soft_count.fetch_add(1, Relaxed);
        let panic = &shared.panic;
        let panic_thresholds = shared.knobs.get_u64(Knob::SoftlockupPanic);
        let threshold = soft::threshold(shared.thresh.load(Relaxed));
        let thresholds = soft::thresholds(duration, threshold);
        let wanted = panic_thresholds != 0 && thresholds >= panic_thresholds;
        let fate = panic.fate(wanted, Cause::SoftLockup, self.cpu, now);
        // Noted once, and again if a later report of it is the fatal one.
        if !self.noted.xchg(true, Relaxed) || fate.decision.is_some() {
            let noted = crash_record::record(&Incident {
                kind: IncidentKind::SoftLockup,
                cpu: self.cpu,
                task: Some(task::current_id()),
                finder: self.cpu,
                found: log_clock(),
                age: duration,
                wall: wall_clock(),
                wait: None,
                flags: 0,
                stack: crash_record::stack_interrupted(timer),
            });
            if fate.decision.is_some() {
                noted.mark_fatal();
            }
        }
        {
            let _printk_sync = printk::PrintkCpuSync::new();
            printk::emerg(format_args!(
                "watchdog: BUG: soft lockup - CPU#{} stuck for {}s! [{}]",
                self.cpu,
                duration / NSEC_PER_SEC,
                task::current_id()
            ));
            if matches!(shared.stopper, StopWork::FifoThread(_)) {
                printk::emerg(format_args!(
                    "vigil: a FIFO-99 thread stands in for the stopper: a real-time task that hogs \
                     the CPU looks like this too"
                ));
            }
            if stolen >= NSEC_PER_SEC / 1000 {
                printk::emerg(format_args!(
                    "vigil: not counting {} s that the hypervisor took from the CPU meanwhile",
                    Secs(stolen)
                ));
            }
            self.show_use(shared.sample_period());
            let percent = self.hardirq_percent();
            self.irqs.show(&shared.tables, self.cpu, now, percent);
            shared.ksyms.print_modules();
            shared.ksyms.show_interrupted(timer);
        }
        if all {
            if let Some(decision) = fate.decision {
                panic.reporting(decision, monotonic());
            }
            shared.ksyms.backtrace_others(self.cpu);
        }
        kernel_panic::taint_soft_lockup();
        if all {
            shared.soft_dump.store(false, Release);
        }
        panic.end_report(&fate, Some(mask), || shared.is_last(self.cpu, monotonic()));
        true
    }
}

impl TimerCallback for OneCpu {
    fn timer_fn(&self, beat: &WatchdogTimer<Self>, timer: &HardirqCtx<'_>) -> Option<u64> {
        let shared = &self.shared;
        let stamp = shared.stamp(self.cpu)?;
        let watched = shared.watched.get(self.cpu as usize)?;
        let now = monotonic();
        let period = shared.sample_period();
        if kernel_panic::in_progress() {
            // Says nothing more, but is there should the panic be called off (`crash_kexec()`
            // without a crash kernel).
            let next = now.saturating_add(period);
            stamp.seen.store(now, Release);
            self.due.store(next, Relaxed);
            return Some(next);
        }
        let before = stamp.seen.xchg(now, Full);
        let state = shared.fine(watched);
        if state == Told::FOUND {
            shared.hard_lockup_over(self.cpu, now.saturating_sub(before));
        }
        if state == Told::HARD || state == Told::UNRESPONSIVE {
            printk::emerg(format_args!(
                "vigil: CPU{} recovered: its timer interrupt came again after {} s",
                self.cpu,
                Secs(now.saturating_sub(before))
            ));
        }
        let flag = cpu::guest_paused(self.cpu) == Some(true);
        let flagged = soft::flag_raised(self.flag.xchg(flag, Relaxed), flag);
        let paused = self.paused(now, state, flagged);
        if soft::late(now, self.due.load(Relaxed), period) == 0 {
            stamp.is_at_work(now, period);
        }
        if paused != 0 || flagged {
            // All stamps are as old as the pause was long.
            self.patience.store(now, Relaxed);
        }
        let by = Initiator::Cpu(self.cpu);
        // After a pause the one that decided has not had the time that it seems to have had.
        let paused_at = self.patience.load(Relaxed);
        let take_over = now.saturating_sub(paused_at) >= period.saturating_mul(2);
        shared.panic.poll(by, now, take_over);
        let mut next = now.saturating_add(period);
        self.sample(now, period);
        let (soft_on, hard_on) = shared.enabled();
        if soft_on {
            if beat.queue_stop_work(timer, &shared.stopper) {
                self.irqs.forget(&shared.tables);
            } else if now.saturating_sub(self.ran.load(Relaxed)) >= period {
                self.irqs.look(&shared.tables, self.cpu, now);
            }
            let touches = shared.touches.softlockup(self.cpu);
            // What was a hard lockup is not reported again as a soft one when it ends. (On most
            // kernels the report itself is a touch: printing asks for patience.)
            let reported = state == Told::HARD || state == Told::FOUND;
            let tick = Tick {
                now,
                paused,
                stolen: cpu::stolen(self.cpu),
                touched: self.touches.xchg(touches, Relaxed) != touches || flagged || reported,
            };
            let threshold = soft::threshold(shared.thresh.load(Relaxed));
            let before = self.load();
            let mut soft = before;
            match soft.judge(&tick, threshold) {
                soft::Verdict::Stuck { duration, stolen }
                    if !self.soft_lockup(timer, now, duration, stolen) =>
                {
                    // As if nothing had been found: again at the next sample.
                    let period = before.period;
                    self.save(Soft { period, ..soft });
                }
                _ => {
                    self.save(soft);
                    next = next.min(soft.due(tick.stolen, threshold));
                }
            }
        }
        if hard_on && shared.backends.any_found() {
            next = next.min(shared.report_found(self.cpu));
        }
        if hard_on && shared.buddy() {
            next = next.min(shared.watch(self.cpu, self.patience.load(Relaxed)));
        }
        // What was decided now, or is still to come.
        next = next.min(shared.panic.poll(by, now, take_over));
        // A report may have taken long.
        let next = next.max(monotonic().saturating_add(SOONEST));
        self.due.store(next, Relaxed);
        Some(next)
    }

    fn stop_work_ran(&self) {
        self.noted.store(false, Relaxed);
        self.save(Soft::fresh(monotonic(), cpu::stolen(self.cpu)));
    }
}

impl cpuhp::Callbacks for Beats {
    fn online(&self, cpu: u32) {
        let shared = &self.shared;
        let (Some(beat), Some(stamp), Some(watched)) = (
            self.beats.get(cpu),
            shared.stamp(cpu),
            shared.watched.get(cpu as usize),
        ) else {
            return;
        };
        if !shared.in_mask(cpu) {
            return;
        }
        let now = monotonic();
        let one = beat.data();
        one.begin(now);
        watched.state.store(Told::FINE, Relaxed);
        watched.patience.store(now, Relaxed);
        watched.touches.store(shared.wishes(cpu), Release);
        stamp.seen.store(now, Relaxed);
        stamp.reporting.store(0, Relaxed);
        // The timer first, so that nobody looks at the stamp of a CPU whose timer does not run yet.
        let at = now.saturating_add(shared.sample_period());
        one.due.store(at, Relaxed);
        beat.start(at);
        stamp.active.store(true, Release);
        // The counter last: the timer interrupt is what its NMI looks for.
        if let Some(counter) = self.counters.get(cpu).filter(|_| shared.has_counters()) {
            let eye = counter.data();
            let started = eye.begin().map(|period| counter.start(cpu, period));
            if !matches!(started, Some(Ok(()))) {
                eye.without();
            }
        }
    }

    fn offline(&self, cpu: u32) {
        let (Some(beat), Some(stamp)) = (self.beats.get(cpu), self.shared.stamp(cpu)) else {
            return;
        };
        // The other way round: nobody looks any more, then the timer stops. A watcher that has just
        // looked at the flag may still judge the stamp, which is young for a while yet.
        if let Some(counter) = self.counters.get(cpu) {
            counter.stop();
        }
        if stamp.active.xchg(false, Full) {
            beat.stop();
            beat.data().irqs.forget(&self.shared.tables);
            if let Some(watched) = self.shared.watched.get(cpu as usize) {
                self.shared.fine(watched);
            }
            if self.shared.nobody_is_there() {
                self.shared.panic.cancel_cpu_request();
            }
        }
    }
}

impl LockupDetector {
    /// Sets everything up; nothing is watched until [`LockupDetector::apply`].
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENOSPC` when there is no room for another CPU hotplug state.
    pub(crate) fn new(
        knobs: Arc<Knobs>,
        ksyms: Ksyms,
        stopper: StopWork,
        touches: TouchProbes,
        nmi: Option<NmiSender>,
        panic: Arc<PanicControl>,
        backend: Backend,
    ) -> Result<Pin<KBox<Self>>> {
        let count = cpu::count() as usize;
        let shared = Arc::new(
            LockupCtx {
                knobs,
                ksyms,
                panic,
                backends: Backends::new(backend),
                stopper,
                touches,
                nmi,
                stamps: Buffer::new(count, GFP_KERNEL, |_| {
                    Ok(Stamp {
                        seen: Atomic::new(0),
                        work: core::array::from_fn(|_| Atomic::new(0)),
                        active: Atomic::new(false),
                        reporting: Atomic::new(0),
                    })
                })?,
                watched: Buffer::new(count, GFP_KERNEL, |_| {
                    Ok(Watched {
                        state: Atomic::new(Told::FINE),
                        taken: Atomic::new(0),
                        late: Atomic::new(0),
                        asked: Atomic::new(0),
                        touches: Atomic::new(0),
                        patience: Atomic::new(0),
                    })
                })?,
                tables: Tables::new()?,
                mask: Buffer::new(count, GFP_KERNEL, |cpu| {
                    let cpu = u32::try_from(cpu).map_err(|_| EINVAL)?;
                    Ok(Atomic::new(cpu::housekeeping(cpu)))
                })?,
                thresh: Atomic::new(0),
                soft: Atomic::new(false),
                hard: Atomic::new(false),
                soft_dump: Atomic::new(false),
                hard_dump: Atomic::new(0),
                soft_count: Atomic::new(0),
                hard_count: Atomic::new(0),
                unresponsive_count: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let beats = WatchdogTimers::new(|cpu| OneCpu::new(shared.clone(), cpu))?;
        let counters = PerfEvents::new(|cpu| Eye::new(shared.clone(), cpu))?;
        let beats = Arc::new(
            Beats {
                shared: shared.clone(),
                beats,
                counters,
            },
            GFP_KERNEL,
        )?;
        let state = cpuhp::MultiState::new(c"vigil:online")?;
        let instance = KBox::pin_init(Instance::new(state, beats.clone()), GFP_KERNEL)?;
        KBox::pin_init(
            pin_init!(Self {
                shared,
                beats,
                instance <- new_mutex!(instance, "vigil::Lockups::instance"),
            }),
            GFP_KERNEL,
        )
    }

    /// What all CPUs share.
    pub(crate) fn shared(&self) -> &Arc<LockupCtx> {
        &self.shared
    }

    /// The module is about to go: while all CPUs still run, what they decided is called off.
    pub(crate) fn unloading(&self) {
        self.shared.panic.cancel_cpu_request();
    }

    /// Changes settings while nothing is being watched, and watches by the new ones. Returns when
    /// that is so on every CPU. An error leaves everything as it was, for which `undo` has to undo
    /// the change. What `is_so` already stays as it is: it is asked again when others are done,
    /// whose change may not have come to stay.
    ///
    /// # Errors
    ///
    /// Why hard lockups cannot be found by the one means that is allowed; and whatever switching
    /// the CPUs on and off may say.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn apply(
        &self,
        is_so: impl Fn(&LockupCtx) -> bool,
        change: impl FnOnce(&LockupCtx),
        undo: impl FnOnce(&LockupCtx),
    ) -> Result {
        let shared = &self.shared;
        if !is_so(shared) {
            // Whoever sets the detectors up anew has the machine in hand; and a CPU that is stuck
            // may keep this from coming to its end.
            shared.panic.cancel_cpu_request();
        }
        self.restart(is_so, change, undo)
    }

    fn restart(
        &self,
        is_so: impl Fn(&LockupCtx) -> bool,
        change: impl FnOnce(&LockupCtx),
        undo: impl FnOnce(&LockupCtx),
    ) -> Result {
        let shared = &self.shared;
        let mut instance = self.instance.lock();
        if is_so(shared) {
            return Ok(());
        }
        Pin::as_mut(&mut *instance).disable();
        change(shared);
        let settled = shared.settle();
        if settled.is_err() {
            // Nothing but the change has changed.
            undo(shared);
        }
        let (soft, hard) = shared.enabled();
        if soft || hard {
            shared.backends.begin();
            Pin::as_mut(&mut *instance).enable()?;
        }
        settled
    }

    /// The frequency of CPUs may have changed: counts by the new one if it has.
    pub(crate) fn khz_changed(&self) {
        self.count_anew(Eye::is_outdated);
    }

    /// The machine slept: what the processors forgot meanwhile is set anew. Those that went off and
    /// came on again have new counters; the boot CPU's may count no more, for all that perf knows.
    pub(crate) fn slept(&self) {
        self.count_anew(|_| true);
    }

    /// Starts anew if the counter of some CPU that is watched by one needs it.
    fn count_anew(&self, needs: impl Fn(&Eye) -> bool) {
        // A panic that is being waited for needs the timers.
        if !self.shared.panic.is_free() {
            return;
        }
        let mut running = self
            .beats
            .counters
            .iter()
            .filter(|counter| counter.is_running());
        if running.any(|counter| needs(counter.data())) {
            // Nothing can be refused, and whatever else is wrong is tried again at the next change.
            let _ = self.restart(|_| false, |_| (), |_| ());
        }
    }

    /// NMIs of a CPU's counter so far, and those of them that came too early; `None` if it has none.
    pub(crate) fn counter(&self, cpu: u32) -> Option<(u32, u32)> {
        let counter = self.beats.counters.get(cpu);
        let counter = counter.filter(|counter| counter.is_running())?;
        Some(counter.data().counts())
    }
}

impl LockupCtx {
    /// Settles what is to be detected by what the knobs say.
    fn settle(&self) -> Result {
        let on = |id| self.knobs.get(id) != 0;
        let thresh = self.knobs.get_u64(Knob::WatchdogThresh);
        let any = on(Knob::Watchdog) && thresh != 0;
        let soft = on(Knob::SoftWatchdog) && !matches!(self.stopper, StopWork::None);
        let hard = any && on(Knob::NmiWatchdog);
        // Once settled it stays until hard lockups are switched on again.
        if hard && !self.hard.load(Relaxed) {
            self.backends.choose(thresh)?;
        }
        self.thresh.store(thresh, Relaxed);
        self.soft.store(any && soft, Relaxed);
        self.hard.store(hard, Relaxed);
        Ok(())
    }

    /// Whether CPUs look after each other: also for the sake of those that do not run, which no
    /// counter finds, if an NMI can tell them from those that are stuck.
    fn buddy(&self) -> bool {
        self.backends.buddy() || (self.can_ask() && self.knobs.get(Knob::UnresponsiveCpuPanic) != 0)
    }

    /// Whether CPUs are to have counters.
    fn has_counters(&self) -> bool {
        self.hard.load(Relaxed) && self.backends.perf()
    }
}

impl LockupCtx {
    /// Makes the flags of the mask what `has` says; CPUs that cannot be are left out.
    pub(crate) fn set_mask(&self, has: impl Fn(u32) -> bool) {
        for (flag, number) in self.mask.iter().zip(0..u32::MAX) {
            flag.store(cpu::possible(number) && has(number), Relaxed);
        }
    }
}
