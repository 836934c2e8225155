// SPDX-License-Identifier: GPL-2.0

//! Hard lockups, found by the CPU itself: the interrupt of a counter of its cycles, an NMI.
//!
//! In the NMI there is judging and little else ([`crate::logic::perf`]). What is found waits for the
//! timer interrupt of another CPU, which reports it as if it had found it itself. The NMI reports
//! where that would be too late or in vain: on the way to a panic, when no other CPU takes timer
//! interrupts, and when nobody has reported it until the next NMI.
//!
//! Which CPU is found by whom is settled by [`Told`](super::lockup::Told): whoever changes the word
//! has it, so that one lockup makes one report whether its own counter or its neighbour was first.

use crate::{
    detect::watchdog::{LockupCtx, Told},
    logic::{
        fmt::Secs,
        hardlockup::perf::{self, Backend, Verdict},
        panic::Cause,
        sysctl::Knob,
    },
    sys::{
        clock::monotonic_in_nmi,
        context::NmiCtx,
        cpufreq::khz,
        nmi, panic as kernel_panic,
        perf_event::{probe, OverflowHandler, ARCH},
        printk,
    },
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        Arc,
    },
};

/// Who finds hard lockups, and what was found.
pub(crate) struct Backends {
    wanted: Backend,
    /// Whether CPUs have counters. Changes only while nothing runs.
    perf: Atomic<bool>,
    /// Whether CPUs look after each other; also if one of them has got no counter.
    buddy: Atomic<bool>,
    /// Why no counters are used: an errno, or 0.
    trouble: Atomic<i32>,
    /// Whether a CPU has got no counter, or one without an NMI.
    short: Atomic<bool>,
    /// Findings of the counters that nobody has taken yet.
    found: Atomic<u32>,
}

impl Backends {
    /// None is in use.
    pub(crate) fn new(wanted: Backend) -> Self {
        Self {
            wanted,
            perf: Atomic::new(false),
            buddy: Atomic::new(false),
            trouble: Atomic::new(0),
            short: Atomic::new(false),
            found: Atomic::new(0),
        }
    }

    /// Settles who is to find hard lockups with this threshold: `watchdog_hardlockup_probe()`.
    ///
    /// # Errors
    ///
    /// Why there can be no counters, if nothing else will do.
    ///
    /// # Context
    ///
    /// Process context, while nothing runs.
    pub(crate) fn choose(&self, thresh: u64) -> Result {
        let tried = if self.wanted.wants_perf() {
            // Any CPU's will do: whether it is known at all is the same for all.
            perf::period(ARCH, khz(0), thresh)
                .ok_or(ENODATA)
                .and_then(|_| probe())
        } else {
            Ok(())
        };
        if let (Err(error), true) = (tried, self.wanted.needs_perf()) {
            printk::err(format_args!(
                "vigil: hardlockup_backend=perf: {}",
                Trouble(error.to_errno())
            ));
            // `ENOENT` is a missing symbol to insmod.
            return Err(if error == EBUSY || error == ENODEV {
                error
            } else {
                EOPNOTSUPP
            });
        }
        let perf = self.wanted.wants_perf() && tried.is_ok();
        self.perf.store(perf, Relaxed);
        self.trouble
            .store(tried.map_or_else(|error| error.to_errno(), |()| 0), Relaxed);
        Ok(())
    }

    /// What was settled is about to begin.
    pub(crate) fn begin(&self) {
        self.buddy
            .store(self.wanted.buddy(self.perf.load(Relaxed)), Relaxed);
        self.short.store(false, Relaxed);
    }

    /// Whether CPUs are to have counters.
    pub(crate) fn perf(&self) -> bool {
        self.perf.load(Relaxed)
    }

    /// Whether CPUs look after each other.
    pub(crate) fn buddy(&self) -> bool {
        self.buddy.load(Relaxed)
    }

    /// A CPU has got no counter. From now on the others look after it, and all.
    fn one_without(&self) {
        self.short.store(true, Relaxed);
        self.buddy.store(true, Relaxed);
    }

    /// Whether there are findings that nobody has taken.
    pub(crate) fn any_found(&self) -> bool {
        self.found.load(Relaxed) != 0
    }

    /// Somebody has taken one.
    pub(crate) fn taken(&self) {
        self.found.fetch_sub(1, Relaxed);
    }
}

/// Why there is no counter, by the error.
struct Trouble(i32);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = |error: Error| error.to_errno() == self.0;
        f.write_str(if is(EBUSY) {
            "no counter of cycles is free"
        } else if is(ENODEV) {
            "the interrupt of the counter of cycles is no NMI here"
        } else if is(ENODATA) {
            "the CPUs' frequency is not known"
        } else {
            "no cycles can be counted here"
        })?;
        write!(f, " (error {})", self.0)
    }
}

/// `perf NMI`, `buddy, confirmed by NMI`, and the like, with why.
pub(crate) struct How<'a>(pub(crate) &'a LockupCtx);

impl fmt::Display for How<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backends = &self.0.backends;
        let (perf, buddy) = (backends.perf(), backends.buddy());
        if perf {
            f.write_str("perf NMI")?;
            if backends.short.load(Relaxed) {
                f.write_str(" except on CPUs that got no counter")?;
            }
        }
        if buddy || !perf {
            f.write_str(if perf { ", and buddy" } else { "buddy" })?;
            f.write_str(if self.0.can_ask() {
                ", confirmed by NMI"
            } else {
                ", not confirmed: no NMI"
            })?;
        }
        match backends.trouble.load(Relaxed) {
            0 => Ok(()),
            error => {
                write!(f, "; not perf: {}", Trouble(error))?;
                if error == EBUSY.to_errno() && self.0.in_tree_has_counters() {
                    f.write_str(", the in-tree detector has one")?;
                }
                Ok(())
            }
        }
    }
}

/// What the NMI of one CPU remembers.
pub(crate) struct Eye {
    shared: Arc<LockupCtx>,
    cpu: u32,
    /// [`perf::Eye`]. Written by the NMI, and while there is none.
    last: Atomic<u64>,
    early: Atomic<u32>,
    seen: Atomic<u64>,
    /// How often patience had been asked for.
    touches: Atomic<u32>,
    /// Whether the last NMI that counted found it stuck.
    stuck: Atomic<bool>,
    /// NMIs so far, and those of them that came too early.
    taken: Atomic<u32>,
    too_early: Atomic<u32>,
    /// Cycles from one to the next.
    period: Atomic<u64>,
}

impl Eye {
    /// For this CPU.
    pub(crate) fn new(shared: Arc<LockupCtx>, cpu: u32) -> Self {
        Self {
            shared,
            cpu,
            last: Atomic::new(0),
            early: Atomic::new(0),
            seen: Atomic::new(0),
            touches: Atomic::new(0),
            stuck: Atomic::new(false),
            taken: Atomic::new(0),
            too_early: Atomic::new(0),
            period: Atomic::new(0),
        }
    }

    /// NMIs so far, and those of them that came too early.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.taken.load(Relaxed), self.too_early.load(Relaxed))
    }

    /// Cycles from one NMI to the next as the frequency is now.
    fn period(&self) -> Option<u64> {
        perf::period(ARCH, khz(self.cpu), self.shared.thresh())
    }

    /// Whether the frequency is another one than at [`Eye::begin`].
    pub(crate) fn is_outdated(&self) -> bool {
        self.period()
            .is_some_and(|now| now != self.period.load(Relaxed))
    }

    /// Makes ready for the first NMI, on the CPU, whose timer has been started. Returns how many
    /// cycles are to pass until that.
    pub(crate) fn begin(&self) -> Option<u64> {
        let period = self.period()?;
        self.period.store(period, Relaxed);
        let seen = self.shared.stamp(self.cpu)?.seen.load(Acquire);
        self.save(perf::Eye::fresh(monotonic_in_nmi(), seen));
        self.stuck.store(false, Relaxed);
        self.touches
            .store(self.shared.touches().hardlockup(self.cpu), Relaxed);
        Some(period)
    }

    /// The CPU has got no counter.
    pub(crate) fn without(&self) {
        self.shared.backends.one_without();
    }

    fn save(&self, eye: perf::Eye) {
        self.last.store(eye.last, Relaxed);
        self.early.store(eye.early, Relaxed);
        self.seen.store(eye.seen, Relaxed);
    }

    fn judge(&self, now: u64, seen: u64) -> Verdict {
        let mut eye = perf::Eye {
            last: self.last.load(Relaxed),
            early: self.early.load(Relaxed),
            seen: self.seen.load(Relaxed),
        };
        let touches = self.shared.touches().hardlockup(self.cpu);
        let touched = touches != self.touches.load(Relaxed);
        let shortest = perf::shortest(self.shared.thresh());
        let verdict = eye.judge(now, seen, touched, shortest);
        self.save(eye);
        if verdict != Verdict::Early {
            self.touches.store(touches, Relaxed);
        }
        verdict
    }
}

impl OverflowHandler for Eye {
    /// `watchdog_overflow_callback()`.
    fn overflow(&self, nmi: &NmiCtx<'_>) {
        let shared = &self.shared;
        self.taken.fetch_add(1, Relaxed);
        if kernel_panic::in_progress() {
            return;
        }
        let Some(stamp) = shared.stamp(self.cpu) else {
            return;
        };
        let now = monotonic_in_nmi();
        match self.judge(now, stamp.seen.load(Acquire)) {
            Verdict::Fine => {
                self.stuck.store(false, Relaxed);
                return;
            }
            Verdict::Early => {
                self.too_early.fetch_add(1, Relaxed);
                return;
            }
            Verdict::Stuck => (),
        }
        // One that is at its report, about to panic or not, takes what that takes.
        if !shared.panic.is_initiator(self.cpu) && !shared.is_at_report(self.cpu, now) {
            shared.found_in_nmi(self.cpu, now, nmi);
        }
        // What was decided, and is not done because whoever decided is stuck as well; or is this
        // CPU, stuck in its report. Not at once: all may have been stopped for a while.
        if self.stuck.xchg(true, Relaxed) {
            shared.panic.poll_in_nmi(now, nmi);
        }
    }

    fn no_nmi(&self) {
        self.without();
    }
}

impl LockupCtx {
    /// Whether the kernel's own detector uses counters too.
    fn in_tree_has_counters(&self) -> bool {
        /// `WATCHDOG_HARDLOCKUP_ENABLED` of `include/linux/nmi.h`.
        const HARD: usize = 1;
        let on = self.ksyms.read_long(c"watchdog_enabled");
        on.is_some_and(|bits| bits & HARD != 0)
            && self
                .ksyms
                .lookup(c"hardlockup_detector_perf_adjust_period")
                .is_some()
    }

    /// This CPU is stuck.
    fn found_in_nmi(&self, me: u32, now: u64, nmi: &NmiCtx<'_>) {
        let Some(watched) = self.watched.get(me as usize) else {
            return;
        };
        let raw = watched.state.load(Acquire);
        if raw == Told::HARD {
            return;
        }
        let wanted = self.knobs.get(Knob::HardlockupPanic) != 0;
        // Nobody has reported it for a threshold. If only because another one is being reported,
        // there is time.
        if raw == Told::FOUND && !wanted && self.turn_is_taken(now) {
            return;
        }
        if raw == Told::FOUND || wanted || self.is_last(me, now) {
            self.report_in_nmi(me, raw, now, nmi, wanted);
            return;
        }
        nmi::take_snapshot(nmi);
        // Counted first: whoever takes it counts it down.
        self.backends.found.fetch_add(1, Relaxed);
        if watched.state.cmpxchg(raw, Told::FOUND, Full).is_err() {
            // A neighbour was faster.
            self.backends.taken();
        }
    }

    /// Reports on this CPU, in its NMI: `watchdog_hardlockup_check()`. Short of a panic that is the
    /// last resort; nothing is waited for but the end of others' lines, and that for two seconds at
    /// most.
    fn report_in_nmi(&self, me: u32, raw: u64, now: u64, nmi: &NmiCtx<'_>, wanted: bool) {
        let (Some(stamp), Some(watched)) = (self.stamp(me), self.watched.get(me as usize)) else {
            return;
        };
        if !self.claim(watched, raw, Told::HARD) {
            return;
        }
        let age = now.saturating_sub(stamp.seen.load(Relaxed));
        nmi::take_snapshot(nmi);
        let noted = self.note_hard(me, me, age, true);
        let fate = self.panic.fate(wanted, Cause::HardLockup, me, now);
        if fate.decision.is_some() {
            noted.mark_fatal();
        }
        {
            let _printk_sync = printk::PrintkCpuSync::new();
            printk::emerg(format_args!(
                "watchdog: CPU{me}: Watchdog detected hard LOCKUP on cpu {me}"
            ));
            printk::emerg(format_args!(
                "vigil: CPU{me} took its last timer interrupt {} s ago and takes the NMI of its \
                 counter: it runs with interrupts off",
                Secs(age)
            ));
            self.ksyms.print_modules();
            self.ksyms.show_interrupted_by_nmi(nmi);
        }
        let (mask, all) = self.extras(Knob::HardlockupSysInfo, Knob::HardlockupAllCpuBacktrace);
        if let Some(decision) = fate.decision.filter(|_| all) {
            self.panic.reporting(decision, monotonic_in_nmi());
            self.ksyms.backtrace_others(me);
        }
        self.panic.end_in_nmi(&fate, mask, nmi);
    }
}
