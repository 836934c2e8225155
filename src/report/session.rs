// SPDX-License-Identifier: GPL-2.0

//! The life cycle of a report, the same for every kind:
//!
//! ```text
//!   ReportLock::try_acquire()   one CPU at a time, where stacks of other CPUs are printed
//!   ReportSession::new()
//!   .add(finding, incident)     records the incident, then decides on the panic
//!   .set_culprit()              adds to the record what it comes down to, if that is known
//!   .keep_together()            the report's own lines, kept together
//!   .backtrace_others()         the stacks of the other CPUs, if asked for
//!   .end()                      *_sys_info, and the panic; or why there is none
//! ```
//!
//! The incident is recorded before anything is printed: printing may wait for a lock that the stuck
//! CPU holds, and the record is what a crash dump shows then.

use crate::{
    incident::{
        self,
        RecordId, //
    },
    knobs::Knobs,
    logic::{
        culprit::Culprit,
        incident::Incident,
        incident_table::Details,
        knobs::{
            Knob,
            SYS_INFO_ALL_BT, //
        },
        messages::{
            NoBacktrace,
            BACKTRACES_LEFT_OUT,
            TOUCHES_NOT_COUNTED, //
        },
        panic::{
            Cause,
            Initiator,
            PanicRequest, //
        }, //
    },
    panic::{
        PanicControl,
        PanicDecision, //
    },
    sys::{
        backtrace::{
            Backtracer,
            Printed, //
        },
        clock::monotonic_in_nmi,
        context::NmiCtx,
        ksyms::Ksyms,
        printk::{
            self,
            PrintkCpuSync, //
        }, //
    }, //
};
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
    /// What the panic knob of the cause counts: hung tasks that may make a panic, thresholds for which
    /// a CPU has been stuck; 1 for the other causes.
    pub(crate) magnitude: u64,
    /// Whether the incident is in the record already: then it is recorded again only if it makes a
    /// panic.
    pub(crate) repeated: bool,
    /// What only the table of incidents keeps.
    pub(crate) details: Details,
}

impl Finding {
    /// A finding that its panic knob counts as one.
    pub(crate) fn new(cause: Cause) -> Self {
        Self {
            cause,
            magnitude: 1,
            repeated: false,
            details: Details::default(),
        }
    }

    /// One whose incident is in the record already.
    pub(crate) fn repeated(cause: Cause) -> Self {
        Self {
            repeated: true,
            ..Self::new(cause)
        }
    }
}

/// Hands an incident to the sinks. Not part of the caller's stack frame: an incident has a stack.
#[inline(never)]
fn record(incident: &impl Fn() -> Incident, details: &Details) -> RecordId {
    incident::record(&incident(), details)
}

/// Records an incident once more. As [`record`].
#[inline(never)]
fn record_again(incident: &impl Fn() -> Incident, details: &Details) -> RecordId {
    incident::record_again(&incident(), details)
}

/// A report that is being given.
pub(crate) struct ReportSession<'a> {
    panic: &'a PanicControl,
    backtracer: &'a Backtracer,
    initiator: Initiator,
    dump: DumpOptions,
    decision: PanicDecision,
    /// The incident that was recorded for the last finding.
    recorded: Option<RecordId>,
}

impl<'a> ReportSession<'a> {
    /// Begins a report. `initiator`: the CPU or the thread that gives it.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn new(
        panic: &'a PanicControl,
        backtracer: &'a Backtracer,
        initiator: Initiator,
        dump: DumpOptions,
    ) -> Self {
        Self {
            panic,
            backtracer,
            initiator,
            dump,
            decision: PanicDecision::NONE,
            recorded: None,
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
        self.recorded = (!finding.repeated).then(|| record(&incident, &finding.details));
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
            let id = self
                .recorded
                .unwrap_or_else(|| record_again(&incident, &finding.details));
            id.mark_fatal();
            self.recorded = Some(id);
        }
    }

    /// Whether the last finding was recorded as an incident.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Adds to the record what the last finding comes down to; nothing if it was not recorded.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_culprit(&self, culprit: &Culprit) {
        if let Some(id) = self.recorded {
            id.set_culprit(culprit);
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

    /// Has the console print everything if this report ends in a panic.
    pub(crate) fn console_verbose(&self) {
        if let Some(request) = self.decision.request {
            self.panic.console_verbose(request);
        }
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
    pub(crate) fn keep_together(&self) -> PrintkCpuSync {
        PrintkCpuSync::new()
    }

    /// Prints the stacks of all CPUs but `cpu`, if that is asked for. The stack of each is a step of
    /// the panic request with a deadline of its own. `progress` is called before each.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn backtrace_others(&self, cpu: u32, mut progress: impl FnMut()) {
        if !self.dump.all_cpus {
            return;
        }
        let mut progress = || {
            progress();
            if let Some(request) = self.decision.request {
                self.panic.begin_step(request, monotonic_in_nmi());
            }
        };
        progress();
        let unanswered = |cpu| printk::emerg(format_args!("{}", NoBacktrace { cpu }));
        match self.backtracer.others(cpu, progress, unanswered) {
            Printed::Yes | Printed::NotAvailable => (),
            Printed::LeftOut => printk::emerg(format_args!("{BACKTRACES_LEFT_OUT}")),
        }
    }

    /// Says that what was found may be code that touches the watchdog.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn warn_touches_not_counted(&self) {
        printk::emerg(format_args!("{TOUCHES_NOT_COUNTED}"));
    }

    /// Functions of the kernel that are not exported.
    pub(super) fn ksyms(&self) -> &Ksyms {
        self.backtracer.ksyms()
    }

    /// Prints the registers and stack of another CPU: see [`Backtracer::cpu`].
    ///
    /// # Context
    ///
    /// The timer interrupt.
    pub(super) fn backtrace(&self, cpu: u32, has_snapshot: bool) -> Printed {
        self.backtracer.cpu(cpu, has_snapshot)
    }

    /// Ends the report of a CPU: shows what else is asked for, and panics or requests to; or says
    /// why there is no panic. `no_other_cpu_alive`: whether no other CPU would panic in place of
    /// this one.
    ///
    /// # Context
    ///
    /// The timer interrupt, without the [`ReportLock`](super::report_lock::ReportLock).
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
        self.backtrace_others(u32::MAX, || ());
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
