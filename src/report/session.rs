// SPDX-License-Identifier: GPL-2.0

//! The life cycle of a report, the same for every kind:
//!
//! ```text
//!   ReportLock::try_acquire()   one CPU at a time, where stacks of other CPUs are printed
//!   ReportSession::new()
//!   .add(finding, incident)     records the incident, then decides on the panic
//!   .lines()                    the report's own lines, kept together
//!   .backtrace_others()         the stacks of the other CPUs, if asked for
//!   .end()                      *_sys_info, and the panic; or why there is none
//! ```
//!
//! The incident is recorded before anything is printed: printing may wait for a lock that the stuck
//! CPU holds, and the record is what a crash dump shows then.

use crate::{
    incident,
    knobs::Knobs,
    logic::{
        incident::Incident,
        panic::{
            Cause,
            Initiator,
            PanicRequest, //
        },
        sysctl::{
            Knob,
            SYS_INFO_ALL_BT, //
        },
        NSEC_PER_SEC, //
    },
    panic::{
        PanicControl,
        PanicDecision, //
    },
    sys::{
        clock::monotonic_in_nmi,
        context::NmiCtx,
        ksyms::Ksyms,
        printk::PrintkCpuSync, //
    }, //
};
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// For how long the report of one CPU keeps the reports of other CPUs waiting at most, in
/// nanoseconds.
pub(crate) const REPORT_LOCK_TIMEOUT_NS: u64 = 30 * NSEC_PER_SEC;

/// Held by the CPU that gives a report, where two reports at a time would mix their lines or wait
/// for each other: the kernel prints stacks of other CPUs for one CPU at a time. So do
/// `hard_lockup_nmi_warn` and `soft_lockup_nmi_warn` in `kernel/watchdog.c`. No CPU waits for the
/// lock: one that does not get it tries again at a later timer interrupt.
pub(crate) struct ReportLock {
    /// Since when it is held, in nanoseconds on the monotonic clock; 0: it is free.
    since: Atomic<u64>,
    /// After how many nanoseconds another CPU may take it over.
    timeout: u64,
}

impl ReportLock {
    /// A free lock that can be taken over from a holder that has not released it within `timeout`
    /// nanoseconds.
    pub(crate) const fn new(timeout: u64) -> Self {
        Self {
            since: Atomic::new(0),
            timeout,
        }
    }

    /// Whether it is held, and not for too long.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(crate) fn is_held(&self, now: u64) -> bool {
        let since = self.since.load(Relaxed);
        since != 0 && now.saturating_sub(since) < self.timeout
    }

    /// Takes the lock, if it is free or has been held for too long.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn try_acquire(&self, now: u64) -> Option<ReportGuard<'_>> {
        let old = self.since.load(Relaxed);
        if self.is_held(now) {
            return None;
        }
        let since = now.max(1);
        let acquired = self.since.cmpxchg(old, since, Full).is_ok();
        acquired.then_some(ReportGuard { lock: self, since })
    }
}

/// Holds a [`ReportLock`]. Dropping it releases the lock, unless another CPU has taken it over.
pub(crate) struct ReportGuard<'a> {
    lock: &'a ReportLock,
    since: u64,
}

impl Drop for ReportGuard<'_> {
    fn drop(&mut self) {
        // Fails if another CPU has taken the lock over.
        let _ = self.lock.since.cmpxchg(self.since, 0, Full);
    }
}

/// What a report shows besides its own lines.
#[derive(Clone, Copy)]
pub(crate) struct DumpOptions {
    /// `SYS_INFO_*` of `include/linux/sys_info.h`, without the stacks of all CPUs; `None`: nothing,
    /// not even what the kernel shows by default.
    pub(crate) sys_info: Option<usize>,
    /// The stacks of all CPUs.
    pub(crate) all_cpus: bool,
}

impl DumpOptions {
    /// Nothing besides the report's own lines.
    pub(crate) const NONE: Self = Self {
        sys_info: None,
        all_cpus: false,
    };

    /// What the knobs of a cause ask for: `*_sys_info` and `*_all_cpu_backtrace`.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn read(knobs: &Knobs, cause: Cause) -> Self {
        let all_cpus = match cause {
            Cause::HungTask => Knob::HungTaskAllCpuBacktrace,
            Cause::SoftLockup => Knob::SoftlockupAllCpuBacktrace,
            Cause::HardLockup | Cause::UnresponsiveCpu => Knob::HardlockupAllCpuBacktrace,
        };
        let mut options = Self::read_sys_info(knobs, cause);
        options.all_cpus |= knobs.get(all_cpus) != 0;
        options
    }

    /// What `*_sys_info` alone asks for.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn read_sys_info(knobs: &Knobs, cause: Cause) -> Self {
        let mask = knobs.get(cause.sys_info_knob());
        Self {
            sys_info: Some(usize::try_from(mask & !SYS_INFO_ALL_BT).unwrap_or(0)),
            all_cpus: mask & SYS_INFO_ALL_BT != 0,
        }
    }

    /// All of it as one mask for `sys_info()`.
    pub(crate) fn mask(self) -> usize {
        let all_cpus = if self.all_cpus {
            SYS_INFO_ALL_BT as usize
        } else {
            0
        };
        self.sys_info.unwrap_or(0) | all_cpus
    }
}

/// What was found, as far as the panic policy is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Finding {
    /// What the finding is, and a panic on it would be for.
    pub(crate) cause: Cause,
    /// What the panic knob of the cause counts: tasks found hung, thresholds for which a CPU has
    /// been stuck; 1 for the other causes.
    pub(crate) magnitude: u64,
    /// Whether the incident is in the record already: then it is recorded again only if it makes a
    /// panic.
    pub(crate) repeated: bool,
}

/// A report that is being given.
pub(crate) struct ReportSession<'a> {
    panic: &'a PanicControl,
    ksyms: &'a Ksyms,
    initiator: Initiator,
    dump: DumpOptions,
    decision: PanicDecision,
}

impl<'a> ReportSession<'a> {
    /// Begins a report. `initiator`: the CPU or the thread that gives it.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn new(
        panic: &'a PanicControl,
        ksyms: &'a Ksyms,
        initiator: Initiator,
        dump: DumpOptions,
    ) -> Self {
        Self {
            panic,
            ksyms,
            initiator,
            dump,
            decision: PanicDecision::NONE,
        }
    }

    /// Adds a finding: records its incident, and decides on the panic unless an earlier finding of
    /// this session has requested one: then this is one more step of that request, with a deadline
    /// of its own. The incident of the finding that requests the panic is marked as fatal.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(crate) fn add(&mut self, finding: Finding, now: u64, incident: impl Fn() -> Incident) {
        let id = (!finding.repeated).then(|| incident::record(&incident()));
        if let Some(request) = self.decision.request {
            self.panic.begin_step(request, now);
            return;
        }
        let Finding {
            cause, magnitude, ..
        } = finding;
        self.decision
            .add(self.panic.decide(cause, magnitude, self.initiator, now));
        if self.is_fatal() {
            id.unwrap_or_else(|| incident::record(&incident()))
                .mark_fatal();
        }
    }

    /// Whether this report ends in a panic.
    pub(crate) fn is_fatal(&self) -> bool {
        self.decision.request.is_some()
    }

    /// Whether this report does not end in a panic yet, and would if a finding of this magnitude
    /// were added.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn would_panic(&self, cause: Cause, magnitude: u64) -> bool {
        !self.is_fatal() && self.panic.would_panic(cause, magnitude)
    }

    /// Cancels the panic in which this report ends.
    pub(crate) fn cancel(&mut self) {
        if let Some(request) = self.decision.request.take() {
            self.panic.cancel(request);
        }
    }

    /// Keeps the lines of other CPUs out of what is printed while the result lives.
    ///
    /// # Context
    ///
    /// Any. Waits for at most two seconds for a CPU that keeps its own lines together.
    pub(crate) fn lines(&self) -> PrintkCpuSync {
        PrintkCpuSync::new()
    }

    /// Has all CPUs but `cpu` print their stacks, if that is asked for: a step of the panic request
    /// with a deadline of its own, since it waits for CPUs that do not answer.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn backtrace_others(&self, cpu: u32) {
        if !self.dump.all_cpus {
            return;
        }
        if let Some(request) = self.decision.request {
            self.panic.begin_step(request, monotonic_in_nmi());
        }
        self.ksyms.backtrace_others(cpu);
    }

    /// Ends the report of a CPU: shows what else is asked for, and panics or requests to; or says
    /// why there is no panic. `no_other_cpu_alive`: whether no other CPU would panic in place of
    /// this one.
    ///
    /// # Context
    ///
    /// The timer interrupt, without the [`ReportLock`].
    pub(crate) fn end(self, no_other_cpu_alive: impl FnOnce() -> bool) {
        self.panic
            .end_report(&self.decision, self.dump.sys_info, no_other_cpu_alive);
    }

    /// Ends the report of a thread. If it ends in a panic, shows what `dump` asks for, and returns
    /// the request, which the thread has to poll ([`PanicControl::poll`]). Otherwise the thread has
    /// shown that itself, and this says why there is no panic.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    #[inline(never)]
    pub(crate) fn end_in_thread(mut self, dump: DumpOptions) -> Option<PanicRequest> {
        let request = self.decision.request;
        if request.is_some() {
            self.dump = dump;
        }
        self.backtrace_others(u32::MAX);
        self.end(|| false);
        request
    }

    /// Ends a report that was given in an NMI: panics on the spot, or says why there is no panic.
    ///
    /// # Context
    ///
    /// NMI.
    #[inline(never)]
    pub(crate) fn end_in_nmi(self, nmi: &NmiCtx<'_>) {
        self.panic
            .end_report_in_nmi(&self.decision, self.dump.sys_info, nmi);
    }
}
