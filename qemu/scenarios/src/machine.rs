// SPDX-License-Identifier: GPL-2.0
//! Differences between architectures in what a kernel prints, how slow the kernel under test is, and
//! what its RCU does.

use std::sync::OnceLock;
use vigil_klog::Evidence;
use vigil_vm::{Arch, Artifacts};

/// With this option RCU's own thread waits for CPUs with interrupts off: see [`has_strict_rcu`].
pub(crate) const STRICT_RCU: &str = "CONFIG_RCU_STRICT_GRACE_PERIOD";

/// Why what needs the other CPUs is not tried with [`STRICT_RCU`].
pub(crate) const RCU_WAITS: &str = "RCU's thread waits for the stuck CPU, and keeps another";

/// The machine under test.
#[derive(Clone, Copy)]
struct Machine {
    arch: Arch,
    nmi: bool,
    slowdown: u32,
    strict_rcu: bool,
}

fn found() -> Machine {
    static FOUND: OnceLock<Machine> = OnceLock::new();
    // Without artifacts, or with some of an unknown architecture, booting a guest fails and says why.
    *FOUND.get_or_init(|| {
        let Ok(artifacts) = Artifacts::from_env() else {
            return Machine {
                arch: Arch::X86_64,
                nmi: true,
                slowdown: 1,
                strict_rcu: false,
            };
        };
        let arch = artifacts.arch().unwrap_or(Arch::X86_64);
        Machine {
            arch,
            nmi: arch == Arch::X86_64 || artifacts.kernel_has("CONFIG_ARM64_PSEUDO_NMI"),
            slowdown: artifacts.slowdown(),
            strict_rcu: artifacts.kernel_has(STRICT_RCU),
        }
    })
}

/// The architecture of the kernel under test.
pub(crate) fn arch() -> Arch {
    found().arch
}

/// Whether a CPU with interrupts off can be interrupted by an NMI.
pub(crate) fn has_nmi() -> bool {
    found().nmi
}

/// How much slower than a stock kernel the kernel under test is: see [`Artifacts::slowdown`].
pub(crate) fn slowdown() -> u32 {
    found().slowdown
}

/// Whether RCU's thread calls all CPUs so often that it waits for one with interrupts off, with preemption
/// disabled: the CPU on which it waits has a soft lockup then, too.
pub(crate) fn has_strict_rcu() -> bool {
    found().strict_rcu
}

/// Parameters that select the buddy detector. It is the default where no cycles can be
/// counted; the counters of an emulated arm64 take five seconds for a threshold of one
/// second (see `hard_perf`).
pub(crate) fn by_neighbours() -> &'static str {
    match arch() {
        Arch::X86_64 => "",
        Arch::Aarch64 => "hardlockup_backend=buddy",
    }
}

/// The evidence in the buddy detector's report.
pub(crate) fn evidence() -> Evidence {
    match arch() {
        Arch::X86_64 => Evidence::NmiAck,
        Arch::Aarch64 if has_nmi() => Evidence::Backtrace,
        Arch::Aarch64 => Evidence::None,
    }
}

/// What the kernel prints when a CPU comes online.
pub(crate) fn cpu_is_on() -> &'static str {
    match arch() {
        Arch::X86_64 => "Booting Node",
        Arch::Aarch64 => "Booted secondary processor",
    }
}

/// The line above a stack.
pub(crate) fn call_trace() -> &'static str {
    match arch() {
        Arch::X86_64 => "Call Trace:",
        Arch::Aarch64 => "Call trace:",
    }
}

/// Text in the lines of registers, in this order: first the program counter's line.
pub(crate) fn registers() -> [&'static str; 3] {
    match arch() {
        Arch::X86_64 => ["RIP: ", "RSP: ", "CR2: "],
        Arch::Aarch64 => ["pc : ", "sp : ", "x29: "],
    }
}

/// A function on the stack above an interrupt of the timer.
pub(crate) fn timer_handler() -> &'static str {
    match arch() {
        Arch::X86_64 => "sysvec_apic_timer_interrupt",
        Arch::Aarch64 => "el1_interrupt",
    }
}

/// vigil's name for the local timer's interrupts, or the end of the name.
pub(crate) fn timer_interrupts() -> &'static str {
    match arch() {
        Arch::X86_64 => "LOC, local timer",
        Arch::Aarch64 => " (arch_timer)",
    }
}

/// A script that keeps a CPU busy that is to be stopped: as busy as `Vm::freeze_vcpu`
/// allows.
pub(crate) fn busy() -> &'static str {
    match arch() {
        Arch::X86_64 => "while :; do :; done",
        Arch::Aarch64 => "while :; do sleep 0.05; done",
    }
}

/// Text that only the local timer's row in /proc/interrupts has; the counts begin with
/// the row's second word.
pub(crate) fn timer_row() -> &'static str {
    match arch() {
        Arch::X86_64 => "LOC:",
        Arch::Aarch64 => "arch_timer",
    }
}
