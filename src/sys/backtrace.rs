// SPDX-License-Identifier: GPL-2.0

//! The registers and stacks of other CPUs, printed for a report.
//!
//! Where vigil can send an NMI itself (x86), the CPU saves what it is running
//! ([`nmi::Snapshot`](super::nmi::Snapshot)), and the CPU that reports prints that. So a stuck CPU
//! prints nothing and waits for nothing, its watchdogs are not touched, and the wait for an answer
//! has an end. Elsewhere the kernel's `arch_trigger_cpumask_backtrace()` does it.
//!
//! C headers: [`include/linux/nmi.h`](srctree/include/linux/nmi.h), `src/c/vigil.h`

use super::{
    clock::monotonic_in_nmi,
    cpu,
    ffi,
    ksyms::Ksyms,
    nmi::{
        self,
        NmiSender, //
    },
    panic,
    printk::{
        Deferred,
        PrintkCpuSync, //
    }, //
};
use kernel::prelude::*;

/// For how many nanoseconds CPUs are waited for to answer the NMI, all together.
const ANSWER_TIMEOUT_NS: u64 = 2_000_000_000;

/// What became of a request for backtraces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Printed {
    /// They were printed, or are being printed.
    Yes,
    /// There is no way to get them.
    NotAvailable,
    /// Left out: a CPU has kept the kernel's lock for such output for too long.
    LeftOut,
}

/// The ways to get the registers and stacks of other CPUs.
pub(crate) struct Backtracer {
    ksyms: Ksyms,
    nmi: Option<NmiSender>,
}

impl Backtracer {
    /// With these means.
    pub(crate) fn new(ksyms: Ksyms, nmi: Option<NmiSender>) -> Self {
        Self { ksyms, nmi }
    }

    /// Functions of the kernel that are not exported.
    pub(crate) fn ksyms(&self) -> &Ksyms {
        &self.ksyms
    }

    /// How an NMI is sent to a CPU, where that can be done.
    pub(crate) fn nmi(&self) -> Option<&NmiSender> {
        self.nmi.as_ref()
    }

    /// Prints the registers and stack of another CPU. `has_snapshot`: an NMI has found it stuck, and
    /// it has saved them ([`nmi::snapshot`]).
    ///
    /// # Context
    ///
    /// Any, NMI included. Where there is no snapshot to print, waits for the CPU for up to ten
    /// seconds.
    pub(crate) fn cpu(&self, cpu: u32, has_snapshot: bool) -> Printed {
        if has_snapshot {
            let _sync = PrintkCpuSync::new();
            if nmi::show_snapshot(cpu, false) {
                return Printed::Yes;
            }
        }
        self.ksyms.backtrace_by_kernel(|| {
            if cpu::possible(cpu) {
                // SAFETY: The CPU is possible. Not bound, the call does nothing.
                unsafe { ffi::vigil_backtrace_cpu(cpu) };
            }
        })
    }

    /// Has another CPU save what it is running ([`nmi::snapshot`]), and waits until it has, for `timeout`
    /// nanoseconds at most and not while a panic goes on. Returns whether it has; never where no NMI
    /// can be sent.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn take_snapshot(&self, cpu: u32, timeout: u64) -> bool {
        let Some(nmi) = &self.nmi else {
            return false;
        };
        // This CPU would save that it waits here, or would not take the NMI.
        if timeout == 0 || cpu == cpu::this() || !nmi.send_if_online(cpu) {
            return false;
        }
        let began = monotonic_in_nmi();
        while !nmi.is_answered(cpu) {
            let waited = monotonic_in_nmi().saturating_sub(began);
            if waited >= timeout || panic::in_progress() {
                return false;
            }
            core::hint::spin_loop();
        }
        true
    }

    /// Prints the registers and stacks of all online CPUs but one, idle ones with one line. Calls
    /// `progress` before each CPU, and `unanswered` for each that has not answered within two
    /// seconds.
    ///
    /// # Context
    ///
    /// Any, NMI included; prints a lot.
    pub(crate) fn others(
        &self,
        but: u32,
        mut progress: impl FnMut(),
        mut unanswered: impl FnMut(u32),
    ) -> Printed {
        let Some(nmi) = &self.nmi else {
            return self.ksyms.backtrace_by_kernel(|| {
                // SAFETY: The number is only compared. Not bound, the call does nothing.
                unsafe { ffi::vigil_backtrace_others(but) };
            });
        };
        for cpu in cpu::others_online(but) {
            nmi.send_if_online(cpu);
        }
        let began = monotonic_in_nmi();
        for cpu in cpu::others_online(but) {
            progress();
            while !nmi.is_answered(cpu)
                && monotonic_in_nmi().saturating_sub(began) < ANSWER_TIMEOUT_NS
            {
                core::hint::spin_loop();
            }
            if !nmi.is_answered(cpu) {
                unanswered(cpu);
                continue;
            }
            let _sync = PrintkCpuSync::new();
            nmi::show_snapshot(cpu, true);
        }
        Printed::Yes
    }
}

impl Ksyms {
    /// Calls one of the kernel's functions for backtraces, in which CPUs wait for `printk_cpu_sync`
    /// without end: not while a CPU keeps that.
    fn backtrace_by_kernel(&self, call: impl FnOnce()) -> Printed {
        if !self.trigger_backtrace {
            return Printed::NotAvailable;
        }
        if !PrintkCpuSync::new().is_locked() {
            return Printed::LeftOut;
        }
        let _deferred = Deferred::new();
        call();
        Printed::Yes
    }

    /// Returns whether the kernel's backtrace reaches a CPU with interrupts off where
    /// [`NmiSender`] is not available.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn backtrace_is_nmi(&self) -> bool {
        // SAFETY: Reads what the kernel found out about the CPUs at boot.
        self.trigger_backtrace && unsafe { ffi::vigil_backtrace_is_nmi() } != 0
    }
}

#[kunit_tests(vigil_backtrace)]
mod tests {
    use super::*;

    /// The module's own handlers are registered, but this has no sender.
    #[test]
    fn without_a_means_nothing_is_printed() {
        let backtracer = Backtracer::new(Ksyms::resolve(false), None);
        let mut others = 0;
        let printed = backtracer.others(0, || others += 1, |_| ());
        assert!(printed == Printed::NotAvailable && others == 0);
        assert!(backtracer.cpu(0, false) == Printed::NotAvailable);
    }
}
