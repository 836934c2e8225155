// SPDX-License-Identifier: GPL-2.0
//! What a kernel's words look like on the kind of machine that is tested, and how
//! slow it is.

use std::{
    fs,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};
use vigil_vm::{Arch, Bench};

/// The bench's machine, whether CPUs with interrupts off can be interrupted, and its
/// kernel's pace.
fn found() -> (Arch, bool, u32) {
    static FOUND: OnceLock<(Arch, bool, u32)> = OnceLock::new();
    // Without a bench, or with a strange one, no guest boots and says why.
    *FOUND.get_or_init(|| {
        let Ok(bench) = Bench::from_env() else {
            return (Arch::X86_64, true, 1);
        };
        let arch = bench.arch().unwrap_or(Arch::X86_64);
        let nmi = arch == Arch::X86_64 || bench.kernel_has("CONFIG_ARM64_PSEUDO_NMI");
        (arch, nmi, bench.pace())
    })
}

/// The machine of the bench.
pub(crate) fn arch() -> Arch {
    found().0
}

/// Whether a CPU that has its interrupts off can be interrupted.
pub(crate) fn has_nmi() -> bool {
    found().1
}

/// How much slower than a stock kernel the bench's is: see [`Bench::pace`].
pub(crate) fn pace() -> u32 {
    found().2
}

/// Parameters by which neighbours find hard lockups. That is so by default where no
/// cycles can be counted; the counters of an emulated arm64 take five seconds for
/// a threshold of one (see `hard_perf`).
pub(crate) fn by_neighbours() -> &'static str {
    match arch() {
        Arch::X86_64 => "",
        Arch::Aarch64 => "hardlockup_backend=buddy",
    }
}

/// How the second line of a neighbour's report on a hard lockup ends.
pub(crate) fn proof() -> &'static str {
    match arch() {
        Arch::X86_64 => " s ago and answers an NMI: it runs with interrupts off",
        Arch::Aarch64 if has_nmi() => {
            " s ago and cannot be asked by NMI here but for its stack: if that follows, it runs \
             with interrupts off"
        }
        Arch::Aarch64 => {
            " s ago and cannot be asked by NMI here: that it runs with interrupts off could not be \
             confirmed"
        }
    }
}

/// What the kernel says when it takes a CPU back.
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

/// How much of the processors' time may go to others, at most, for this machine to be
/// one's own.
const CALM: f64 = 0.05;

/// All time of the host's processors, and how much of that whoever runs this machine
/// had for others (`cpu` in /proc/stat): both in ticks. Nothing if it does not say.
fn stolen(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    Some((ticks.iter().sum(), *ticks.get(7)?))
}

/// Waits until others leave this machine its processors, which may be a virtual one
/// itself; no longer than that. Tells whether they do.
pub(crate) fn wait_until_calm(limit: Duration) -> bool {
    /// What is looked at at once.
    const LOOK: Duration = Duration::from_secs(5);
    let read = || stolen(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let start = Instant::now();
    loop {
        let Some((all, others)) = read() else {
            return true;
        };
        thread::sleep(LOOK);
        let Some((all_now, others_now)) = read() else {
            return true;
        };
        let all = all_now.saturating_sub(all).max(1) as f64;
        if others_now.saturating_sub(others) as f64 / all < CALM {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_others_had() {
        let stat = "cpu  10 0 5 80 1 0 4 50 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(stolen(stat), Some((150, 50)));
        assert_eq!(stolen("cpu  1 2 3 4\n"), None);
        assert_eq!(stolen("intr 1\n"), None);
    }
}
