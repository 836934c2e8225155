// SPDX-License-Identifier: GPL-2.0

//! The texts of reports on hard lockups and on CPUs that do not run: mainline's line
//! (`watchdog_hardlockup_check()`), and what vigil knows besides.

use super::{
    cpu_wait::CpuChain,
    session::ReportSession, //
};
use crate::{
    logic::{
        fmt::Secs,
        messages::{
            CpuRecovered,
            HardLockupEvidence,
            HardLockupOver,
            HardLockupStack,
            UnresponsiveCpu,
            BACKTRACES_LEFT_OUT,
            EVIDENCE_BACKTRACE,
            EVIDENCE_NMI_ACK,
            EVIDENCE_NMI_ACK_IDLE,
            EVIDENCE_NMI_ACK_IRQS_ON,
            EVIDENCE_NONE,
            EVIDENCE_NO_ANSWER,
            EVIDENCE_PERF_NMI,
            NO_NMI_BACKTRACE, //
        },
        NSEC_PER_SEC, //
    },
    sys::{
        backtrace::Printed,
        context::NmiCtx,
        nmi,
        printk,
        printk::PrintkCpuSync,
        stacktrace, //
    }, //
};

/// What shows that a CPU runs with interrupts off.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Evidence {
    /// It acknowledged an NMI.
    NmiAck = 0,
    /// It took the NMI of its perf counter.
    PerfNmi = 1,
    /// It answered no NMI, and there is no hypervisor that could have stopped it.
    NoAnswer = 2,
    /// Nothing: no NMI can be sent to it.
    None = 3,
}

impl Evidence {
    /// The evidence as a number.
    pub(crate) fn pack(self) -> u32 {
        self as u32
    }

    /// What [`Evidence::pack`] has packed.
    pub(crate) fn unpack(number: u32) -> Self {
        match number {
            0 => Self::NmiAck,
            1 => Self::PerfNmi,
            2 => Self::NoAnswer,
            _ => Self::None,
        }
    }

    /// Whether the CPU has saved what it was running, in an NMI that confirmed the lockup.
    pub(crate) fn has_snapshot(self) -> bool {
        matches!(self, Self::NmiAck | Self::PerfNmi)
    }
}

/// A hard lockup.
#[derive(Clone, Copy)]
pub(crate) struct Hardlockup {
    /// The CPU that is stuck.
    pub(crate) cpu: u32,
    /// The CPU that reports it; in an NMI the same.
    pub(crate) reporter: u32,
    /// Nanoseconds since its last timer interrupt.
    pub(crate) age: u64,
    /// What shows that it runs with interrupts off.
    pub(crate) evidence: Evidence,
}

impl Hardlockup {
    /// One that the CPU's own perf NMI has found. `age`: nanoseconds since its last timer interrupt.
    pub(crate) fn by_own_nmi(cpu: u32, age: u64) -> Self {
        Self {
            cpu,
            reporter: cpu,
            age,
            evidence: Evidence::PerfNmi,
        }
    }

    /// Mainline's line. Printed by itself, as mainline prints it before it takes any lock: it comes
    /// out even if the rest of the report does not.
    #[inline(never)]
    fn print_head(&self) {
        printk::emerg(format_args!(
            "watchdog: CPU{}: Watchdog detected hard LOCKUP on cpu {}",
            self.reporter, self.cpu
        ));
    }

    #[inline(never)]
    fn print_evidence(&self, evidence: &'static str) {
        printk::emerg(format_args!(
            "{}",
            HardLockupEvidence {
                cpu: self.cpu,
                secs: Secs(self.age),
                evidence,
            }
        ));
    }

    /// Prints the report of another CPU's lockup, up to the stack of that CPU. `chain`: what the CPU
    /// waits for, if it has said what it runs; `print_requests` prints what it has to run for others.
    ///
    /// # Context
    ///
    /// The timer interrupt. Where the CPU itself has to print its stack (arm64), waits for that, up to
    /// ten seconds.
    pub(crate) fn print(
        &self,
        session: &ReportSession<'_>,
        chain: Option<&CpuChain>,
        print_requests: impl FnOnce(),
    ) {
        let ksyms = session.ksyms();
        // Where no NMI can be sent for an acknowledgement, the kernel may still get a stack by NMI.
        let backtrace_is_evidence = self.evidence == Evidence::None && ksyms.backtrace_is_nmi();
        self.print_head();
        self.print_evidence(match self.evidence {
            Evidence::NmiAck => match nmi::snapshot(self.cpu) {
                Some(nmi::Snapshot { idle: true, .. }) => EVIDENCE_NMI_ACK_IDLE,
                Some(nmi::Snapshot { irqs_on: true, .. }) => EVIDENCE_NMI_ACK_IRQS_ON,
                _ => EVIDENCE_NMI_ACK,
            },
            Evidence::PerfNmi => EVIDENCE_PERF_NMI,
            Evidence::NoAnswer => EVIDENCE_NO_ANSWER,
            Evidence::None if backtrace_is_evidence => EVIDENCE_BACKTRACE,
            Evidence::None => EVIDENCE_NONE,
        });
        if let Some(chain) = chain {
            chain.print_context();
            chain.print();
        }
        print_requests();
        {
            let _lines = session.keep_together();
            ksyms.print_modules();
            // Of the CPU that reports, as mainline has it.
            ksyms.print_irqtrace_events();
        }
        let has_snapshot = self.evidence.has_snapshot();
        let is_shown = chain.is_some_and(|chain| chain.same.is_some());
        if is_shown || (!has_snapshot && !backtrace_is_evidence) {
            return;
        }
        match session.backtrace(self.cpu, has_snapshot) {
            Printed::Yes => (),
            Printed::NotAvailable => printk::emerg(format_args!("{NO_NMI_BACKTRACE}")),
            Printed::LeftOut => printk::emerg(format_args!("{BACKTRACES_LEFT_OUT}")),
        }
    }

    /// Prints the report of this CPU's own lockup, with the registers that the NMI has found.
    ///
    /// # Context
    ///
    /// NMI. Waits only for other CPUs to end their lines, for two seconds at most.
    pub(crate) fn print_in_nmi(
        &self,
        session: &ReportSession<'_>,
        chain: Option<&CpuChain>,
        nmi: &NmiCtx<'_>,
    ) {
        let ksyms = session.ksyms();
        let _lines = session.keep_together();
        self.print_head();
        self.print_evidence(EVIDENCE_PERF_NMI);
        if let Some(chain) = chain {
            chain.print_context();
            chain.print();
        }
        ksyms.print_modules();
        ksyms.print_irqtrace_events();
        ksyms.show_interrupted_by_nmi(nmi);
    }

    /// Prints the report of a lockup of this CPU that its perf NMI has found, and that ended before
    /// it was reported.
    ///
    /// # Context
    ///
    /// The timer interrupt.
    #[inline(never)]
    pub(crate) fn print_over(&self) {
        let _lines = PrintkCpuSync::new();
        self.print_head();
        printk::emerg(format_args!(
            "{}",
            HardLockupOver {
                cpu: self.cpu,
                secs: Secs(self.age),
            }
        ));
        if let Some(nmi::Snapshot { task, stack, .. }) = nmi::snapshot(self.cpu) {
            printk::emerg(format_args!(
                "{}",
                HardLockupStack {
                    cpu: self.cpu,
                    task,
                }
            ));
            stacktrace::print(&stack);
        }
    }
}

/// Prints that a CPU does not run. `age`: nanoseconds since its last timer interrupt.
///
/// # Context
///
/// The timer interrupt.
#[inline(never)]
pub(crate) fn print_unresponsive(cpu: u32, age: u64) {
    printk::emerg(format_args!(
        "{}",
        UnresponsiveCpu {
            cpu,
            secs: age / NSEC_PER_SEC,
        }
    ));
}

/// Prints that the timer interrupt of a reported CPU came again after `age` nanoseconds.
///
/// # Context
///
/// That timer interrupt.
#[inline(never)]
pub(crate) fn print_recovered(cpu: u32, age: u64) {
    printk::emerg(format_args!(
        "{}",
        CpuRecovered {
            cpu,
            secs: Secs(age),
        }
    ));
}
