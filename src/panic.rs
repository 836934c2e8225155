// SPDX-License-Identifier: GPL-2.0

//! The way from a finding to a panic.
//!
//! One finding at a time is fatal: whoever decides first panics, and what others find meanwhile is
//! reported only. What happens, in this order (`docs/kdump.md` has it for users):
//!
//! 1. the incident is noted in the record, the decision is made ([`PanicControl::decide`]);
//! 2. the report, with the stacks of all CPUs if they are wished for;
//! 3. what else is to be shown (`*_sys_info`), by a thread, for at most [`panic::SYS_INFO_NS`];
//! 4. `panic_delay_ms`;
//! 5. `console_verbose()` and the panic.
//!
//! Without the third and the fourth, and in an NMI, the panic is on the spot, as in mainline. Otherwise nobody waits
//! in an interrupt: the next one looks whether it is time ([`PanicControl::poll`]). No lock is taken on the
//! way but those of the kernel's own output; and for the case that the one that decided gets stuck
//! on one of these, the timer interrupt of every other watched CPU knows when to panic in its place.

#![deny(unsafe_code)]

use crate::{
    knobs::Knobs,
    logic::{
        panic::{self, Cause, Initiator, NextStep, PanicRequest, Phase},
        sysctl::Knob,
    },
    sys::{
        clock::monotonic,
        context::NmiCtx,
        ksyms::{DeferredSysInfo, Ksyms},
        lock_words,
        panic::{self as kernel_panic, PanicMessage},
        printk,
    },
};
use kernel::sync::{
    atomic::{Acquire, Atomic, Full, Relaxed},
    Arc,
};

/// What becomes of a finding.
pub(super) struct PanicDecision {
    /// The panic that it makes.
    pub(super) decision: Option<PanicRequest>,
    /// Whether it would make one, were it not for the policy.
    refused: bool,
}

/// How the panic is called.
fn words(why: Cause) -> &'static PanicMessage {
    match why {
        Cause::HungTask => &PanicMessage::HUNG_TASK,
        Cause::SoftLockup => &PanicMessage::SOFT_LOCKUP,
        Cause::HardLockup => &PanicMessage::HARD_LOCKUP,
        Cause::UnresponsiveCpu => &PanicMessage::UNRESPONSIVE_CPU,
    }
}

/// The decision to panic, if there is one.
pub(crate) struct PanicControl {
    knobs: Arc<Knobs>,
    later: DeferredSysInfo,
    /// Where the kernel keeps what `sys_info()` shows if nothing else is asked for.
    default_mask: Option<usize>,
    /// [`PanicRequest::pack`], or 0.
    decision: Atomic<u64>,
    generation: Atomic<u32>,
}

impl PanicControl {
    /// No decision yet.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn new(knobs: Arc<Knobs>, ksyms: Ksyms) -> Self {
        Self {
            knobs,
            later: DeferredSysInfo::new(ksyms),
            default_mask: ksyms.lookup(c"kernel_si_mask"),
            decision: Atomic::new(0),
            generation: Atomic::new(0),
        }
    }

    /// Whether the policy allows a panic now.
    pub(super) fn allowed(&self) -> bool {
        let needs = self.knobs.get(Knob::PanicNeedsKdump) != 0;
        panic::allowed(needs, kernel_panic::crash_kernel_loaded())
    }

    /// Says why there is no panic, at the end of a report that asks for one.
    pub(super) fn refuse(&self) {
        kernel_panic::taint_warned();
        printk::emerg(format_args!(
            "vigil: no panic: panic_needs_kdump=1 and no crash kernel is loaded"
        ));
    }

    /// Whether a panic for this is (still) asked for.
    fn is_wanted(&self, why: Cause) -> bool {
        let on = |id| self.knobs.get(id) != 0;
        match why {
            Cause::HungTask => on(Knob::HungTaskPanic) && on(Knob::HungTaskTimeoutSecs),
            Cause::SoftLockup => on(Knob::SoftlockupPanic),
            Cause::HardLockup => on(Knob::HardlockupPanic),
            Cause::UnresponsiveCpu => on(Knob::UnresponsiveCpuPanic),
        }
    }

    fn current(&self) -> Option<PanicRequest> {
        PanicRequest::unpack(self.decision.load(Acquire))
    }

    /// Whether nobody has decided on a panic yet.
    pub(super) fn is_free(&self) -> bool {
        self.current().is_none()
    }

    /// Whether this decision stands.
    pub(super) fn stands(&self, decision: PanicRequest) -> bool {
        self.current().is_some_and(|now| now.is_same(&decision))
    }

    /// Decides on a panic. `None`: another one comes already.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn decide(&self, why: Cause, by: Initiator, now: u64) -> Option<PanicRequest> {
        let generation = self.generation.fetch_add(1, Relaxed);
        let decision = PanicRequest::new(by, why, generation, now);
        let first = self.decision.cmpxchg(0, decision.pack(), Full).is_ok();
        first.then_some(decision)
    }

    /// What becomes of a CPU's finding, for which a panic is `wanted` or not.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn fate(&self, wanted: bool, why: Cause, cpu: u32, now: u64) -> PanicDecision {
        let allowed = self.allowed();
        PanicDecision {
            decision: if wanted && allowed {
                self.decide(why, Initiator::Cpu(cpu), now)
            } else {
                None
            },
            refused: wanted && !allowed,
        }
    }

    /// The end of the report on it: what else is wished for (a mask; `None` for nothing), and the
    /// panic, or why there is none. `alone` tells whether there is no other CPU that would panic in
    /// place of this one.
    pub(super) fn end_report(
        &self,
        fate: &PanicDecision,
        mask: Option<usize>,
        alone: impl FnOnce() -> bool,
    ) {
        match fate.decision {
            Some(decision) => self.reported(decision, mask, alone()),
            None => self.show(mask),
        }
        if fate.refused {
            self.refuse();
        }
    }

    /// The end of a report that was given in an NMI: the panic, on the spot, or why there is none.
    /// What else is wished for (a mask) is not shown, which would take locks.
    pub(super) fn end_in_nmi(&self, fate: &PanicDecision, mask: usize, nmi: &NmiCtx<'_>) {
        if let Some(decision) = fate.decision {
            if self.resolve(Some(mask)).is_some() {
                printk::emerg(format_args!(
                    "vigil: what hardlockup_sys_info asks for is left out: this is an NMI"
                ));
            }
            self.execute_in_nmi(decision, nmi);
        }
        if fate.refused {
            self.refuse();
        }
    }

    /// Panics in place of whoever decided, who may be this CPU, in what the NMI has interrupted, if
    /// that is overdue.
    pub(super) fn poll_in_nmi(&self, now: u64, nmi: &NmiCtx<'_>) {
        let overdue = |decision: &PanicRequest| {
            self.is_wanted(decision.why) && decision.next_for_takeover(now) == NextStep::Panic
        };
        if let Some(decision) = self.current().filter(overdue) {
            self.execute_in_nmi(decision, nmi);
        }
    }

    /// Panics from an NMI, if the policy still allows it.
    fn execute_in_nmi(&self, decision: PanicRequest, nmi: &NmiCtx<'_>) {
        // The report may have taken seconds.
        if !self.stands(decision) || !self.is_wanted(decision.why) {
            return;
        }
        if !self.allowed() {
            self.cancel(decision);
            self.refuse();
            return;
        }
        printk::console_verbose();
        kernel_panic::nmi_panic(words(decision.why), nmi);
    }

    /// Puts another word in place of the decision, unless that was called off. Returns whether it
    /// was there.
    fn replace(&self, decision: PanicRequest, word: u64) -> bool {
        let mut old = self.decision.load(Acquire);
        while PanicRequest::unpack(old).is_some_and(|now| now.is_same(&decision)) {
            match self.decision.cmpxchg(old, word, Full) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
        false
    }

    /// The one that decided begins another step of its report.
    ///
    /// # Context
    ///
    /// Any, with `now` from a clock that may be read there.
    pub(super) fn reporting(&self, decision: PanicRequest, now: u64) {
        let next = decision.then(Phase::Reporting, now, panic::STEP_NS);
        self.replace(decision, next.pack());
    }

    /// The report has been given by the one that decided: shows what else is wished for (a mask, 0
    /// for the kernel's own choice), and panics, unless that has to wait: then [`PanicControl::poll`] does.
    /// `alone`: there is no other CPU that would panic in place of this one.
    pub(super) fn reported(&self, decision: PanicRequest, mask: Option<usize>, alone: bool) {
        let mask = self.resolve(mask);
        if mask.is_some() && alone {
            // To hand it to a thread takes locks too.
            printk::emerg(format_args!(
                "vigil: what {} asks for is left out: no other CPU runs that could panic if this \
                 one got stuck",
                match decision.why {
                    Cause::HungTask => "hung_task_sys_info",
                    Cause::SoftLockup => "softlockup_sys_info",
                    Cause::HardLockup | Cause::UnresponsiveCpu => "hardlockup_sys_info",
                }
            ));
        }
        match mask.filter(|_| !alone) {
            Some(mask) => {
                let next = decision.then(Phase::SysInfo, monotonic(), panic::SYS_INFO_NS);
                if self.replace(decision, next.pack()) {
                    self.later.sys_info(mask);
                }
            }
            None => self.drain(decision),
        }
        self.poll(decision.by, monotonic(), false);
    }

    /// What is to be shown: 0 is the kernel's own choice, which usually is nothing.
    fn resolve(&self, mask: Option<usize>) -> Option<usize> {
        let mask = match mask {
            Some(0) => self.default_mask.and_then(lock_words::read_word),
            mask => mask,
        };
        mask.filter(|&mask| mask != 0 && self.later.is_available())
    }

    /// Nothing is left to be done but to let the console drain.
    fn drain(&self, decision: PanicRequest) {
        let delay = self.knobs.get_u64(Knob::PanicDelayMs);
        let ns = delay.saturating_mul(1_000_000);
        let next = decision.then(Phase::Delay, monotonic(), ns);
        if self.replace(decision, next.pack()) && delay != 0 {
            printk::emerg(format_args!("vigil: panic in {delay} ms"));
        }
    }

    /// Shows more of the system, where no panic follows. Not while one is being waited for: to ask
    /// for it takes locks, and whoever takes none can panic.
    fn show(&self, mask: Option<usize>) {
        if let Some(mask) = self.resolve(mask).filter(|_| self.is_free()) {
            self.later.sys_info(mask);
        }
    }

    /// Goes on with what was decided, which may be to panic. `take_over`: also if it was another
    /// that decided, and does not come back. Returns when to look again, at the latest.
    ///
    /// # Context
    ///
    /// A timer interrupt that holds no lock, or process context.
    pub(super) fn poll(&self, by: Initiator, now: u64, take_over: bool) -> u64 {
        let Some(decision) = self.current() else {
            return u64::MAX;
        };
        if !self.is_wanted(decision.why) {
            self.cancel(decision);
            return u64::MAX;
        }
        let verdict = if decision.by == by {
            decision.next_for_initiator(now, self.later.is_done())
        } else if take_over {
            decision.next_for_takeover(now)
        } else {
            NextStep::PollAt(u64::MAX)
        };
        match verdict {
            NextStep::PollAt(at) => at,
            NextStep::Drain => {
                self.drain(decision);
                // Without a delay the time has come.
                match self.current() {
                    Some(next) if next.next_for_initiator(monotonic(), true) != NextStep::Panic => {
                        now
                    }
                    Some(next) => self.execute(next),
                    None => u64::MAX,
                }
            }
            NextStep::Panic => self.execute(decision),
        }
    }

    /// Panics, if the policy still allows it. Returns when to look again if there was none.
    fn execute(&self, decision: PanicRequest) -> u64 {
        if !self.allowed() {
            self.cancel(decision);
            self.refuse();
            return u64::MAX;
        }
        printk::console_verbose();
        match decision.why {
            Cause::HardLockup => kernel_panic::panic_hard_lockup(),
            why => kernel_panic::panic(words(why)),
        }
        // Another CPU is at it.
        u64::MAX
    }

    /// Whether it is this CPU that decided: what it seems to be stuck in is its report.
    pub(super) fn is_initiator(&self, cpu: u32) -> bool {
        self.current()
            .is_some_and(|now| now.by == Initiator::Cpu(cpu))
    }

    /// The CPU that decided does not run any more. If it was in the middle of its report, panics in
    /// its place, without a word that might have to wait for what it holds; otherwise there is
    /// [`PanicControl::poll`].
    pub(super) fn take_over_from(&self, cpu: u32) {
        let at_report =
            |now: &PanicRequest| now.by == Initiator::Cpu(cpu) && now.phase == Phase::Reporting;
        if let Some(decision) = self.current().filter(at_report) {
            self.execute(decision);
        }
    }

    /// No CPU's timer interrupt comes any more that could carry out what one of them decided.
    pub(super) fn cancel_cpu_request(&self) {
        if let Some(decision) = self.current().filter(|now| now.by != Initiator::Thread) {
            self.cancel(decision);
        }
    }

    /// There is to be no panic after all.
    pub(super) fn cancel(&self, decision: PanicRequest) {
        if self.replace(decision, 0) {
            printk::emerg(format_args!("vigil: the panic was called off"));
        }
    }
}
