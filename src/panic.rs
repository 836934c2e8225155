// SPDX-License-Identifier: GPL-2.0

//! The one place that decides about panics.
//!
//! A detector does not panic. It gives a report ([`crate::report::session`]), and the report asks
//! here, once, what is to become of the finding ([`PanicControl::decide`]). The way to the panic
//! (`docs/kdump.md` describes it for users):
//!
//! 1. the incident is recorded and the panic requested;
//! 2. the report is printed, with the stacks of all CPUs if the knobs ask for them;
//! 3. a thread of the module shows what `*_sys_info` asks for, for at most [`panic::SYS_INFO_NS`];
//! 4. the console drains for `panic_delay_ms`;
//! 5. `console_verbose()` and the panic.
//!
//! Without the third and the fourth, and in an NMI, the panic follows the report at once, as in
//! mainline. Otherwise no interrupt waits: later interrupts poll ([`PanicControl::poll`]). On this
//! way no lock is taken but those of the kernel's own output. In case the initiator gets stuck on
//! one of these, the timer interrupt of every other watched CPU knows when to panic in its place.
//!
//! [`crate::logic::panic`] has the vocabulary, the state diagram, and the timing.
//!
//! What only a finding reaches is kept out of line (`#[inline(never)]`), here and in
//! [`crate::report`]: the timer interrupt, which usually finds nothing, stays small.

#![deny(unsafe_code)]

use crate::{
    knobs::Knobs,
    logic::{
        knobs::{
            Knob,
            KNOBS,
            SYS_INFO_ALL_BT,
            SYS_INFO_LOCKLESS, //
        },
        messages::{
            PanicDelay,
            SysInfoSkipped,
            NO_PANIC,
            NO_PANIC_TOUCHES,
            PANIC_CANCELLED,
            SYS_INFO_LATER,
            SYS_INFO_SKIPPED_IN_NMI, //
        },
        panic::{
            self,
            Cause,
            Initiator,
            NextStep,
            PanicRequest,
            Phase,
            Policy, //
        }, //
    },
    sys::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        clock::monotonic,
        context::NmiCtx,
        ksyms::Ksyms,
        lock_words,
        panic::{
            self as kernel_panic,
            PanicMessage, //
        },
        printk,
        sys_info::DeferredSysInfo,
        touch::TouchProbes, //
    }, //
};
use kernel::sync::Arc;

/// What became of a finding, or of all findings of a report.
pub(crate) struct PanicDecision {
    /// The panic that was requested.
    pub(crate) request: Option<PanicRequest>,
    /// Why a panic that is asked for is not allowed.
    refused: Option<&'static str>,
}

/// Why the policy does not allow a panic that is asked for.
fn refusal(policy: Policy) -> Option<&'static str> {
    match policy {
        Policy::NotWanted | Policy::Panic => None,
        Policy::NoCrashKernel => Some(NO_PANIC),
        Policy::TouchesNotCounted => Some(NO_PANIC_TOUCHES),
    }
}

impl PanicDecision {
    /// No panic is asked for.
    pub(crate) const NONE: Self = Self {
        request: None,
        refused: None,
    };

    /// Adds what became of another finding of the same report.
    pub(crate) fn add(&mut self, other: Self) {
        self.request = self.request.or(other.request);
        self.refused = self.refused.or(other.refused);
    }
}

/// The panic message for a cause: mainline's, where mainline has one.
fn message(cause: Cause) -> &'static PanicMessage {
    match cause {
        Cause::HungTask => &PanicMessage::HUNG_TASK,
        Cause::SoftLockup => &PanicMessage::SOFT_LOCKUP,
        Cause::HardLockup => &PanicMessage::HARD_LOCKUP,
        Cause::UnresponsiveCpu => &PanicMessage::UNRESPONSIVE_CPU,
    }
}

/// The panic request, if there is one, and what decides about it.
pub(crate) struct PanicControl {
    knobs: Arc<Knobs>,
    touches: Arc<TouchProbes>,
    sys_info: DeferredSysInfo,
    /// Address of the mask that `sys_info()` takes where none is given (`kernel.kernel_sys_info`).
    default_mask: Option<usize>,
    /// [`PanicRequest::pack`], or 0.
    request: Atomic<u64>,
    generation: Atomic<u32>,
    /// The console's log level before a request made it verbose; -1: none has.
    console_level: Atomic<i32>,
    /// How many are switching the detector of soft lockups off, and that of hard ones.
    softlockup_ends: Atomic<u32>,
    hardlockup_ends: Atomic<u32>,
}

/// Detectors of lockups are being switched off for as long as this value lives, which may be long: it takes
/// each CPU, also one that is stuck. No finding of theirs makes a panic meanwhile, though other CPUs still
/// check it.
pub(crate) struct DetectorsEnd<'a> {
    panic: &'a PanicControl,
    softlockup: bool,
    hardlockup: bool,
}

impl Drop for DetectorsEnd<'_> {
    fn drop(&mut self) {
        if self.softlockup {
            self.panic.softlockup_ends.fetch_sub(1, Relaxed);
        }
        if self.hardlockup {
            self.panic.hardlockup_ends.fetch_sub(1, Relaxed);
        }
    }
}

impl PanicControl {
    /// No panic is requested.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn new(knobs: Arc<Knobs>, touches: Arc<TouchProbes>, ksyms: Ksyms) -> Self {
        Self {
            knobs,
            touches,
            sys_info: DeferredSysInfo::new(ksyms),
            default_mask: ksyms.lookup(c"kernel_si_mask"),
            request: Atomic::new(0),
            generation: Atomic::new(0),
            console_level: Atomic::new(-1),
            softlockup_ends: Atomic::new(0),
            hardlockup_ends: Atomic::new(0),
        }
    }

    /// The detectors of soft lockups, of hard lockups, or both, are about to be switched off. A request
    /// that they have made is cancelled with the next poll; to cancel it at once is up to the caller.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn detectors_end(&self, softlockup: bool, hardlockup: bool) -> DetectorsEnd<'_> {
        // Full ordering: whoever cancels a request after this cancels it for good. A CPU that has asked
        // the policy before asks it again before it panics.
        if softlockup {
            self.softlockup_ends.fetch_add(1, Full);
        }
        if hardlockup {
            self.hardlockup_ends.fetch_add(1, Full);
        }
        DetectorsEnd {
            panic: self,
            softlockup,
            hardlockup,
        }
    }

    /// Decides what is to become of a finding of this magnitude, by the knobs as they are now. The
    /// one place where these knobs are read.
    fn policy(&self, cause: Cause, magnitude: u64) -> Policy {
        let is_detected = match cause {
            Cause::HungTask => self.knobs.get(Knob::HungTaskTimeoutSecs) != 0,
            // The detectors for these cancel the request themselves when they are switched off.
            Cause::SoftLockup => self.softlockup_ends.load(Relaxed) == 0,
            Cause::HardLockup | Cause::UnresponsiveCpu => self.hardlockup_ends.load(Relaxed) == 0,
        };
        let limit = if is_detected {
            self.knobs.get_u64(cause.panic_knob())
        } else {
            0
        };
        panic::policy(
            limit,
            magnitude,
            match cause {
                Cause::SoftLockup | Cause::HardLockup => self.touches.are_counted(),
                Cause::HungTask | Cause::UnresponsiveCpu => true,
            },
            self.knobs.get(Knob::PanicNeedsKdump) != 0,
            kernel_panic::crash_kernel_loaded(),
        )
    }

    /// Whether the knob of a cause asks for a panic on a finding of this magnitude, the policy
    /// aside. `magnitude`: tasks hung, thresholds for which a CPU has been stuck, or 1;
    /// [`u64::MAX`]: whether it asks for a panic at all.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn is_wanted(&self, cause: Cause, magnitude: u64) -> bool {
        self.policy(cause, magnitude) != Policy::NotWanted
    }

    fn current(&self) -> Option<PanicRequest> {
        PanicRequest::unpack(self.request.load(Acquire))
    }

    /// Whether no panic is requested.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn is_idle(&self) -> bool {
        self.current().is_none()
    }

    /// Whether this request stands, in whatever phase.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn stands(&self, request: PanicRequest) -> bool {
        self.current().is_some_and(|now| now.is_same(&request))
    }

    /// Whether a finding of this magnitude would make a panic: it is wanted, allowed, and none is
    /// requested yet.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn would_panic(&self, cause: Cause, magnitude: u64) -> bool {
        self.policy(cause, magnitude) == Policy::Panic && self.is_idle()
    }

    /// Decides on a finding: requests a panic if its knob asks for one, the policy allows it, and
    /// none is requested yet.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    #[inline(never)]
    pub(crate) fn decide(
        &self,
        cause: Cause,
        magnitude: u64,
        initiator: Initiator,
        now: u64,
    ) -> PanicDecision {
        let policy = self.policy(cause, magnitude);
        PanicDecision {
            request: if policy == Policy::Panic {
                self.make_request(cause, initiator, now)
            } else {
                None
            },
            refused: refusal(policy),
        }
    }

    /// `None`: another panic is requested already. A request that its knob does not want any more,
    /// and that has not been polled since, does not stand in the way.
    fn make_request(&self, cause: Cause, initiator: Initiator, now: u64) -> Option<PanicRequest> {
        let unwanted = |request: &PanicRequest| !self.is_wanted(request.cause, u64::MAX);
        if let Some(request) = self.current().filter(unwanted) {
            self.cancel(request);
        }
        let generation = self.generation.fetch_add(1, Relaxed);
        let request = PanicRequest::new(initiator, cause, generation, now);
        let first = self.request.cmpxchg(0, request.pack(), Full).is_ok();
        first.then_some(request)
    }

    /// Puts another word in place of the request, in whatever phase. Returns whether the request
    /// stood.
    fn replace(&self, request: PanicRequest, word: u64) -> bool {
        let mut old = self.request.load(Acquire);
        while PanicRequest::unpack(old).is_some_and(|now| now.is_same(&request)) {
            match self.request.cmpxchg(old, word, Full) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
        false
    }

    /// The initiator begins another step of its report, with a deadline of its own.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    #[inline(never)]
    pub(crate) fn begin_step(&self, request: PanicRequest, now: u64) {
        let next = request.in_phase(Phase::Reporting, now, panic::STEP_NS);
        self.replace(request, next.pack());
    }

    /// Enters [`Phase::Delay`].
    #[inline(never)]
    fn begin_delay(&self, request: PanicRequest) {
        let delay = self.knobs.get_u64(Knob::PanicDelayMs);
        // The line first: it may take long, and the delay is at least as long as it says.
        if delay != 0 && self.stands(request) {
            printk::emerg(format_args!("{}", PanicDelay { ms: delay }));
        }
        let ns = delay.saturating_mul(1_000_000);
        let next = request.in_phase(Phase::Delay, monotonic(), ns);
        self.replace(request, next.pack());
    }

    /// The end of a report that no NMI gives: shows what `*_sys_info` asks for (`mask`; 0 for the
    /// kernel's own choice, `None` for nothing), and panics, or says why there is no panic.
    /// `no_other_cpu_alive`: whether no other CPU would panic in place of the initiator.
    ///
    /// # Context
    ///
    /// A timer interrupt or process context, without a lock.
    #[inline(never)]
    pub(crate) fn end_report(
        &self,
        decision: &PanicDecision,
        mask: Option<usize>,
        no_other_cpu_alive: impl FnOnce() -> bool,
    ) {
        let mask = self.resolve(mask);
        match decision.request {
            Some(request) => self.end_reporting(request, mask, no_other_cpu_alive()),
            // Not while a panic is being waited for: asking for it takes locks, and the CPU that
            // takes none can panic.
            None => {
                if let Some(mask) = mask.filter(|_| self.is_idle()) {
                    self.sys_info.sys_info(mask);
                    if mask & !(SYS_INFO_LOCKLESS as usize) != 0 {
                        printk::info(format_args!("{SYS_INFO_LATER}"));
                    }
                }
            }
        }
        self.print_refusal(decision.refused);
    }

    /// The end of a report that an NMI gives: panics on the spot, or says why there is no panic.
    /// What `*_sys_info` asks for (`mask`) is not shown, since that would take locks.
    ///
    /// # Context
    ///
    /// NMI.
    #[inline(never)]
    pub(crate) fn end_report_in_nmi(
        &self,
        decision: &PanicDecision,
        mask: Option<usize>,
        nmi: &NmiCtx<'_>,
    ) {
        if let Some(request) = decision.request {
            if self.resolve(mask).is_some() {
                printk::emerg(format_args!("{SYS_INFO_SKIPPED_IN_NMI}"));
            }
            self.execute_in_nmi(request, nmi);
        }
        self.print_refusal(decision.refused);
    }

    /// Says why the policy does not allow a panic that is asked for, if that is so.
    #[inline(never)]
    fn print_refusal(&self, reason: Option<&'static str>) {
        if let Some(reason) = reason {
            kernel_panic::taint_warned();
            printk::emerg(format_args!("{reason}"));
        }
    }

    /// The initiator leaves [`Phase::Reporting`], and panics unless that has to wait.
    #[inline(never)]
    fn end_reporting(&self, request: PanicRequest, mask: Option<usize>, no_other_cpu_alive: bool) {
        if mask.is_some() && no_other_cpu_alive {
            // The thread that shows it needs a CPU.
            let knob = KNOBS.get(request.cause.sys_info_knob() as usize);
            let knob = knob.map_or("", |knob| knob.name);
            printk::emerg(format_args!("{}", SysInfoSkipped { knob }));
        }
        match mask.filter(|_| !no_other_cpu_alive) {
            Some(mask) => {
                let next = request.in_phase(Phase::SysInfo, monotonic(), panic::SYS_INFO_NS);
                if self.replace(request, next.pack()) {
                    self.sys_info.sys_info(mask);
                }
            }
            None => self.begin_delay(request),
        }
        self.poll(request.initiator, monotonic(), || false);
    }

    /// Shows what `*_sys_info` has asked for: at once on the way to a panic, where that has an end;
    /// else only what takes no lock of a stuck CPU, until there is none. Returns whether that is all.
    ///
    /// # Context
    ///
    /// Process context; prints a lot.
    pub(crate) fn show_sys_info(&self, is_cpu_stuck: bool) -> bool {
        let before_panic = self
            .current()
            .is_some_and(|request| request.phase == Phase::SysInfo);
        self.sys_info.show(if is_cpu_stuck && !before_panic {
            SYS_INFO_LOCKLESS as usize
        } else {
            usize::MAX
        })
    }

    /// Whether anything may be asked for by `*_sys_info`: then somebody has to be there to show it.
    /// Before a panic for a hung task that is the locks at least.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn wants_sys_info(&self) -> bool {
        let causes = [Cause::SoftLockup, Cause::HardLockup];
        self.sys_info.is_available()
            && (self.is_wanted(Cause::HungTask, u64::MAX)
                || causes.iter().any(|cause| {
                    let mask = self.knobs.get(cause.sys_info_knob());
                    self.resolve(usize::try_from(mask & !SYS_INFO_ALL_BT).ok())
                        .is_some()
                }))
    }

    /// Whether all that `*_sys_info` asked for at reports so far was shown.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn is_sys_info_done(&self) -> bool {
        self.sys_info.is_done()
    }

    /// What `*_sys_info` shows: 0 is the kernel's own choice, which usually is nothing. `None`: nothing.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn resolve(&self, mask: Option<usize>) -> Option<usize> {
        let mask = match mask {
            Some(0) => self.default_mask.and_then(lock_words::read_word),
            mask => mask,
        };
        mask.filter(|&mask| mask != 0 && self.sys_info.is_available())
    }

    /// Goes on with the request, if there is one, up to the panic. `me`: the CPU or thread that
    /// polls; `take_over`: whether it is to panic in place of an initiator that got stuck. Returns
    /// when to poll again at the latest, in nanoseconds on the monotonic clock.
    ///
    /// # Context
    ///
    /// A timer interrupt that holds no lock, or process context.
    #[inline]
    pub(crate) fn poll(&self, me: Initiator, now: u64, take_over: impl FnOnce() -> bool) -> u64 {
        // What each timer interrupt finds, twice.
        if self.request.load(Relaxed) == 0 {
            return u64::MAX;
        }
        self.poll_request(me, now, take_over())
    }

    #[inline(never)]
    fn poll_request(&self, me: Initiator, mut now: u64, take_over: bool) -> u64 {
        loop {
            let Some(request) = self.current() else {
                return u64::MAX;
            };
            if !self.is_wanted(request.cause, u64::MAX) {
                self.cancel(request);
                return u64::MAX;
            }
            let next = if request.initiator == me {
                request.next_for_initiator(now, self.sys_info.is_done())
            } else if take_over {
                request.next_for_takeover(now)
            } else {
                return u64::MAX;
            };
            match next {
                NextStep::PollAt(at) => return at,
                NextStep::BeginDelay => self.begin_delay(request),
                NextStep::Panic => {
                    self.execute(request);
                    return u64::MAX;
                }
            }
            // Without a delay the time has come.
            now = monotonic();
        }
    }

    /// Panics in place of the initiator, which may be this CPU in the code that the NMI has
    /// interrupted, if that is overdue.
    ///
    /// # Context
    ///
    /// NMI.
    pub(crate) fn poll_in_nmi(&self, now: u64, nmi: &NmiCtx<'_>) {
        let overdue = |request: &PanicRequest| request.next_for_takeover(now) == NextStep::Panic;
        if let Some(request) = self.current().filter(overdue) {
            self.execute_in_nmi(request, nmi);
        }
    }

    /// Panics, if the request stands and the knobs and the policy still want it: otherwise cancels
    /// the request. Returns also if another CPU panics already.
    #[inline(never)]
    fn execute(&self, request: PanicRequest) {
        if !self.stands(request) {
            return;
        }
        match self.policy(request.cause, u64::MAX) {
            Policy::NotWanted => self.cancel(request),
            policy @ (Policy::NoCrashKernel | Policy::TouchesNotCounted) => {
                self.cancel(request);
                self.print_refusal(refusal(policy));
            }
            Policy::Panic => {
                self.console_verbose(request);
                match request.cause {
                    Cause::HardLockup => kernel_panic::panic_hard_lockup(),
                    cause => kernel_panic::panic(message(cause)),
                }
            }
        }
    }

    /// Panics in an NMI, if the request stands and the knobs and the policy still want it: the
    /// report may have taken seconds. Returns also if another CPU panics already.
    fn execute_in_nmi(&self, request: PanicRequest, nmi: &NmiCtx<'_>) {
        if !self.stands(request) {
            return;
        }
        match self.policy(request.cause, u64::MAX) {
            // Not left to the next poll: if the knob asks for a panic again by then, the request
            // would stand for a report that has ended, and its initiator would not carry it out.
            Policy::NotWanted => self.cancel(request),
            policy @ (Policy::NoCrashKernel | Policy::TouchesNotCounted) => {
                self.cancel(request);
                self.print_refusal(refusal(policy));
            }
            Policy::Panic => {
                self.console_verbose(request);
                kernel_panic::nmi_panic(message(request.cause), nmi);
            }
        }
    }

    /// Has the console print everything, for a panic that is requested: until that comes, or is
    /// cancelled.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn console_verbose(&self, request: PanicRequest) {
        let before = printk::console_verbose();
        // The first one counts.
        let _ = self.console_level.cmpxchg(-1, before, Full);
        // Full ordering: whoever has cancelled the request has seen the level, or is seen here.
        if !self.stands(request) {
            self.restore_console();
        }
    }

    /// Undoes [`PanicControl::console_verbose`], if that was called.
    fn restore_console(&self) {
        let level = self.console_level.xchg(-1, Full);
        if level >= 0 {
            printk::restore_console(level);
        }
    }

    /// Whether a CPU is the initiator: what it seems to be stuck in is its report.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn is_initiator(&self, cpu: u32) -> bool {
        self.current()
            .is_some_and(|now| now.initiator == Initiator::Cpu(cpu))
    }

    /// The initiator does not run any more. If it was in the middle of its report, panics in its
    /// place, without a line that might have to wait for a lock that the initiator holds. In the
    /// other phases [`PanicControl::poll`] does.
    ///
    /// # Context
    ///
    /// A timer interrupt that holds no lock.
    pub(crate) fn take_over_from(&self, cpu: u32) {
        let at_report = |now: &PanicRequest| {
            now.initiator == Initiator::Cpu(cpu) && now.phase == Phase::Reporting
        };
        if let Some(request) = self.current().filter(at_report) {
            self.execute(request);
        }
    }

    /// Cancels the request if it is for this cause: a knob that it was decided by has changed.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn cancel_for(&self, cause: Cause) {
        if let Some(request) = self.current().filter(|now| now.cause == cause) {
            self.cancel(request);
        }
    }

    /// Cancels the request if a CPU made it: the timer interrupts that could execute it are about
    /// to stop.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn cancel_cpu_request(&self) {
        let of_cpu = |now: &PanicRequest| now.initiator != Initiator::Thread;
        if let Some(request) = self.current().filter(of_cpu) {
            self.cancel(request);
        }
    }

    /// Cancels a request. Nothing happens if it does not stand any more.
    ///
    /// # Context
    ///
    /// Any.
    #[inline(never)]
    pub(crate) fn cancel(&self, request: PanicRequest) {
        if self.replace(request, 0) {
            printk::emerg(format_args!("{PANIC_CANCELLED}"));
            self.restore_console();
        }
    }
}
