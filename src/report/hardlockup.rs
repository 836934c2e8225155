// SPDX-License-Identifier: GPL-2.0

//! The texts of reports on hard lockups and on CPUs that do not run: mainline's line
//! (`watchdog_hardlockup_check()`), and what vigil knows besides.

use super::session::ReportSession;
use crate::{
    logic::{
        fmt::Secs,
        messages::{
            CpuRecovered,
            HardLockupEvidence,
            HardLockupOver,
            HardLockupStack,
            UnresponsiveCpu,
            EVIDENCE_BACKTRACE,
            EVIDENCE_NMI_ACK,
            EVIDENCE_NONE,
            EVIDENCE_PERF_NMI,
            NO_NMI_BACKTRACE, //
        },
        NSEC_PER_SEC, //
    },
    sys::{
        context::NmiCtx,
        ksyms::Ksyms,
        nmi,
        printk,
        printk::PrintkCpuSync,
        stacktrace, //
    }, //
};

/// What shows that a CPU runs with interrupts off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It acknowledged an NMI.
    NmiAck,
    /// It took the NMI of its perf counter.
    PerfNmi,
    /// Nothing: no NMI can be sent to it.
    None,
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

    /// Prints the report of another CPU's lockup, up to the stack of that CPU.
    ///
    /// # Context
    ///
    /// The timer interrupt. Waits for the CPU to print its stack, up to ten seconds.
    pub(crate) fn print(&self, ksyms: &Ksyms, session: &ReportSession<'_>) {
        // Where no NMI can be sent for an acknowledgement, the kernel may still get a stack by NMI.
        let backtrace_is_evidence = self.evidence == Evidence::None && ksyms.backtrace_is_nmi();
        self.print_head();
        self.print_evidence(match self.evidence {
            Evidence::NmiAck => EVIDENCE_NMI_ACK,
            Evidence::PerfNmi => EVIDENCE_PERF_NMI,
            Evidence::None if backtrace_is_evidence => EVIDENCE_BACKTRACE,
            Evidence::None => EVIDENCE_NONE,
        });
        {
            let _lines = session.keep_together();
            ksyms.print_modules();
        }
        let backtrace = self.evidence != Evidence::None || backtrace_is_evidence;
        if backtrace && !ksyms.backtrace_cpu(self.cpu) {
            printk::emerg(format_args!("{NO_NMI_BACKTRACE}"));
        }
    }

    /// Prints the report of this CPU's own lockup, with the registers that the NMI has found.
    ///
    /// # Context
    ///
    /// NMI. Waits only for other CPUs to end their lines, for two seconds at most.
    pub(crate) fn print_in_nmi(
        &self,
        ksyms: &Ksyms,
        session: &ReportSession<'_>,
        nmi: &NmiCtx<'_>,
    ) {
        let _lines = session.keep_together();
        self.print_head();
        self.print_evidence(EVIDENCE_PERF_NMI);
        ksyms.print_modules();
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
        if let Some((task, stack)) = nmi::snapshot(self.cpu) {
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
