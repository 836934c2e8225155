// SPDX-License-Identifier: GPL-2.0
//! What a healthy kernel does not print. A module that makes lockdep or RCU complain
//! is broken, whatever it reports.

use regex::Regex;
use std::sync::LazyLock;

/// A kind of complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splat {
    /// The kernel's warning that it has no memory for a module's trace event.
    TraceEvent,
    /// `WARNING:`, lockdep's included.
    Warning,
    /// `BUG:`, except soft lockups, which are findings: [`crate::Finding::SoftLockup`].
    Bug,
    /// Faults: `Oops`, `general protection fault`, and the like.
    Oops,
    /// RCU stalls.
    RcuStall,
    /// `sysctl table check failed`.
    Sysctl,
    /// `UBSAN:`.
    Ubsan,
    /// Leaks that the kernel noticed: references, objects, per-CPU memory.
    Leak,
    /// A panic that was not waited for. No line alone shows that: [`Splat::of`] does not
    /// return it.
    Panic,
}

/// Each kind and what its lines look like.
const PATTERNS: [(Splat, &str); 8] = [
    (Splat::TraceEvent, r"\bWARNING: .*\bevent_define_fields\+"),
    (Splat::Warning, r"\bWARNING: "),
    (Splat::Bug, r"\bBUG: |kernel BUG at "),
    (
        Splat::Oops,
        r"^Oops\b|general protection fault|unable to handle|unchecked MSR access|stack guard page|^traps: PANIC|invalid opcode: |^int3: ",
    ),
    (
        Splat::RcuStall,
        r"\brcu\S*: INFO: |^INFO: rcu|rcu_\S+ kthread starved",
    ),
    (
        Splat::Sysctl,
        r"sysctl table check failed|sysctl duplicate entry",
    ),
    (Splat::Ubsan, r"^UBSAN: "),
    (
        Splat::Leak,
        r"refcount_t: |kmemleak: \d+ new|leaked percpu|still has \d+ (object|reference)|Slab cache still has objects",
    ),
];

/// What looks like a splat and is a finding.
const EXPECTED: &str = r"BUG: soft lockup - CPU";

static COMPILED: LazyLock<Vec<(Splat, Regex)>> = LazyLock::new(|| {
    PATTERNS
        .iter()
        .filter_map(|(splat, pattern)| Some((*splat, Regex::new(pattern).ok()?)))
        .collect()
});

impl Splat {
    /// The kind of complaint that a line of the kernel's log is, if it is one.
    pub fn of(line: &str) -> Option<Self> {
        if line.contains(EXPECTED) {
            return None;
        }
        COMPILED
            .iter()
            .find(|(_, pattern)| pattern.is_match(line))
            .map(|(splat, _)| *splat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_a_regular_expression() {
        for (_, pattern) in PATTERNS {
            assert!(Regex::new(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn each_line_has_its_kind() {
        for (line, splat) in [
            (
                "WARNING: at event_define_fields+0x6ec/0x710, CPU#1: agent/73",
                Some(Splat::TraceEvent),
            ),
            (
                "WARNING: kernel/smp.c:757 at smp_call_function+0x1, CPU#1: x/1",
                Some(Splat::Warning),
            ),
            (
                "WARNING: possible circular locking dependency detected",
                Some(Splat::Warning),
            ),
            ("BUG: scheduling while atomic: sh/1/0x2", Some(Splat::Bug)),
            (
                "BUG: kernel NULL pointer dereference, address: 0",
                Some(Splat::Bug),
            ),
            ("BUG: workqueue lockup - pool", Some(Splat::Bug)),
            ("Oops: 0002 [#1] SMP", Some(Splat::Oops)),
            (
                "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                Some(Splat::RcuStall),
            ),
            (
                "sysctl table check failed: vigil/x bad",
                Some(Splat::Sysctl),
            ),
            (
                "watchdog: BUG: soft lockup - CPU#1 stuck for 8s! [x:1]",
                None,
            ),
            (
                "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1",
                None,
            ),
            ("INFO: task x:1 blocked for more than 5 seconds.", None),
            ("Kernel command line: debug_WARNING", None),
        ] {
            assert_eq!(Splat::of(line), splat, "{line}");
        }
    }
}
