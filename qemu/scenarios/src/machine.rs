// SPDX-License-Identifier: GPL-2.0
//! What a kernel's words look like on the kind of machine that is tested.

use std::sync::OnceLock;
use vigil_vm::{Arch, Bench};

/// The machine of the bench.
pub(crate) fn arch() -> Arch {
    static FOUND: OnceLock<Arch> = OnceLock::new();
    // Without a bench, or with a strange one, no guest boots and says why.
    *FOUND.get_or_init(|| {
        let bench = Bench::from_env();
        bench.and_then(|b| b.arch()).unwrap_or(Arch::X86_64)
    })
}

/// The line above a stack.
pub(crate) fn call_trace() -> &'static str {
    match arch() {
        Arch::X86_64 => "Call Trace:",
        Arch::Aarch64 => "Call trace:",
    }
}

/// What the lines of registers have, in this order: first the one that says where
/// the CPU was.
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

/// What vigil calls the interrupts of the CPUs' own timer, or how it ends.
pub(crate) fn timer_interrupts() -> &'static str {
    match arch() {
        Arch::X86_64 => "LOC, local timer",
        Arch::Aarch64 => " (arch_timer)",
    }
}

/// A script that keeps a CPU busy which is to be stopped, see `Vm::freeze_vcpu`: as
/// busy as it may be.
pub(crate) fn busy() -> &'static str {
    match arch() {
        Arch::X86_64 => "while :; do :; done",
        Arch::Aarch64 => "while :; do sleep 0.05; done",
    }
}

/// What the row of the CPUs' own timer in /proc/interrupts has, and no other; the
/// counts begin with the second word.
pub(crate) fn timer_row() -> &'static str {
    match arch() {
        Arch::X86_64 => "LOC:",
        Arch::Aarch64 => "arch_timer",
    }
}
