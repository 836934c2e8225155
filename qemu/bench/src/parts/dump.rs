// SPDX-License-Identifier: GPL-2.0
//! How long it takes from the moment at which a stall begins to the panic, to the crash kernel, and to a
//! dump that is whole on the host's disk; beside the in-tree detector's panic, each in a boot of its own.
//!
//! Both kernels' logs have clocks that begin anew. The time-stamp counter goes on from one kernel to
//! the next, and counts instructions here: in each kernel a shell stamps an event with it and writes
//! a line into the log, so that what the log says then can be counted from the start of the machine.

use crate::{
    guest::{self, PROVOKE},
    results::{Cell, Measured, Outcome, Table},
    trace,
};
use anyhow::{Context, Result};
use regex::Regex;
use std::{fs, time::Duration};
use vigil_vm::{Artifacts, LogLine};

/// What the kernel must have been built with to leave a dump.
const NEEDS: &str = "CONFIG_CRASH_DUMP";

/// Real time until the panic, and for each step after it: CPU 1 spins for billions of instructions.
const PANIC_LIMIT: Duration = Duration::from_secs(1800);

/// The dump's port takes a buffer when it is given one, not when the host gets to it: the guest spins
/// until then, and its clock counts that.
const QEMU_ARGS: [&str; 2] = ["-global", "virtio-serial-pci.ioeventfd=off"];

/// The line in both logs, and the event, that were written at the same moment.
const MARK: &str = "vigil-clock";

/// The line in the log behind which a stall begins.
const STALL: &str = "vigil-stall";

/// The crash kernel's first program leaves the mark, and becomes the one that captures. Quotes are those
/// of the kernel's command line, which passes what follows `--` to the program.
const FIRST_PROGRAM: &str = "rdinit=/bin/sh -- -c \"mount -t devtmpfs devtmpfs /dev; \
     mount -t tracefs tracefs /sys; echo x86-tsc >/sys/trace_clock; \
     echo vigil-clock >/sys/trace_marker; echo vigil-clock >/dev/kmsg; \
     grep vigil-clock /sys/trace >/dev/kmsg; exec /init\"";

/// What the kernel that panics says, and the crash kernel's program at its end.
const PANIC: &str = "Kernel panic - not syncing";
const DONE: &str = "vigil-capture: done";

/// The mark in the kernel that panics.
const STAMP: &str = "cd /sys/kernel/tracing; echo x86-tsc >trace_clock; echo 1 >tracing_on
     echo vigil-clock >trace_marker; echo vigil-clock >/dev/kmsg; grep vigil-clock trace";

/// Who panics, if vigil does not.
const IN_TREE: &str = "in-tree";

/// A way to get stuck, and what makes each detector panic of it.
struct Kind {
    name: &'static str,
    /// After how many seconds it is due.
    threshold: u32,
    stall: &'static str,
    vigil: &'static str,
    in_tree: Option<&'static str>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "hard lockup",
        threshold: 1,
        stall: "irqs_off cpu=1 ms=100000",
        vigil: "watchdog_thresh=1 hardlockup_panic=1",
        // It has no PMU in a virtual machine.
        in_tree: None,
    },
    Kind {
        name: "soft lockup",
        threshold: 2,
        stall: "preempt_off cpu=1 ms=100000",
        vigil: "watchdog_thresh=1 softlockup_panic=1",
        in_tree: Some("kernel.watchdog_thresh=1 kernel.softlockup_panic=1"),
    },
    Kind {
        name: "hung task",
        threshold: 120,
        stall: "mutex secs=1000",
        vigil: "hung_task_timeout_secs=120 hung_task_panic=1",
        in_tree: Some("kernel.hung_task_timeout_secs=120 kernel.hung_task_panic=1"),
    },
];

pub(super) fn run(artifacts: &Artifacts) -> Result<Outcome> {
    if !artifacts.kernel_has(NEEDS) {
        return Ok(Outcome::LeftOut(format!("the kernel has no {NEEDS}")));
    }
    if let Some(left_out) = trace::left_out(artifacts)? {
        return Ok(left_out);
    }
    let mut table = Table::new(
        "Seconds of the guest.",
        [
            "",
            "threshold",
            "from the stall to the panic",
            "times the threshold",
            "to the crash kernel's log",
            "to its first program",
            "to the whole dump",
            "all",
            "bytes of the dump",
        ],
    );
    for kind in KINDS {
        let in_tree = kind.in_tree.map(|_| IN_TREE);
        for who in ["vigil"].into_iter().chain(in_tree) {
            let name = format!("{}, {who}", kind.name);
            let steps = kind.measure(who).context(name.clone())?;
            let panic = steps.panic - steps.stall;
            let spans = [
                steps.crash_kernel - steps.panic,
                steps.first_program - steps.crash_kernel,
                steps.dump - steps.first_program,
                steps.dump - steps.stall,
            ];
            println!("{name}: panic after {panic:.3} s, then {spans:.3?} s");
            let threshold = f64::from(kind.threshold);
            let mut cells = vec![
                Cell::text(name),
                Cell::Count(kind.threshold.into()),
                Cell::Number(panic, 3),
                Cell::Number(panic / threshold, 3),
            ];
            cells.extend(spans.map(|span| Cell::Number(span, 3)));
            cells.push(Cell::Count(steps.bytes));
            table.row(cells, Vec::new());
        }
    }
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: Vec::new(),
    }))
}

/// When each step was reached, in seconds since the start of the machine.
struct Steps {
    stall: f64,
    panic: f64,
    /// The first line of the crash kernel's log with a stamp.
    crash_kernel: f64,
    first_program: f64,
    dump: f64,
    bytes: u64,
}

impl Kind {
    fn measure(&self, who: &str) -> Result<Steps> {
        let config = guest::counting_for("dump")
            .kdump()
            .qemu_args(QEMU_ARGS)
            .boot_limit(PANIC_LIMIT);
        let vm = guest::boot(config)?;
        vm.arm_kdump(FIRST_PROGRAM)?;
        vm.insmod("vigil_provoke.ko", "")?;
        // The other detector must not be the first one.
        vm.sh_ok("sysctl -q kernel.hung_task_timeout_secs=0")?;
        match self.in_tree.filter(|_| who == IN_TREE) {
            Some(sysctl) => vm.sh_ok(&format!("sysctl -q {sysctl}")).map(drop)?,
            None => {
                vm.sh_ok("sysctl -q kernel.soft_watchdog=0")?;
                vm.load(self.vigil)?;
            }
        }
        // What the kernel frees after it has loaded a module makes CPUs wait.
        vm.sh_ok("sleep 2")?;
        let mark = vm.mark()?;
        let traced = vm.sh_ok(STAMP)?;
        let here = Clock::new(&traced, &vm.dmesg_after(mark)?)?;

        // One shell for both: nothing lies between the line and the stall. The guest may be gone before it
        // answers, but has sent the line.
        let stall = self.stall;
        let begin = format!("echo {STALL} >/dev/kmsg; echo '{stall}' >{PROVOKE}/run");
        let shell = vm.spawn_on(0, &begin)?;
        let dump = vm.wait_dump(PANIC_LIMIT);
        let dump = dump.with_context(|| format!("'{stall}' said '{}'", shell.output()))?;
        let began = stamp_of_line(vm.log_so_far().lines(), STALL)?;
        let bytes = fs::metadata(&dump.vmcore)?.len();
        dump.remove()?;
        let panicked = stamp_of_words(&LogLine::parse_text(&dump.panic), PANIC)?;
        // Without what the kernel before it said.
        let text = vm.console().panic().unwrap_or_default();
        let text = text.get(dump.panic.len()..).unwrap_or_default();
        let lines = LogLine::parse_text(text);
        let there = Clock::new(text, &lines).context("the crash kernel")?;
        Ok(Steps {
            stall: here.at(began),
            panic: here.at(panicked),
            crash_kernel: there.at(0.0),
            first_program: there.at(stamp_of_line(&lines, MARK)?),
            dump: there.at(stamp_of_words(&lines, DONE)?),
            bytes,
        })
    }
}

/// The clock of a log: so many seconds after the start of the machine it began.
struct Clock(f64);

impl Clock {
    /// From the event in the trace and the line in the log, which a shell wrote one after the other.
    fn new(traced: &str, log: &[LogLine]) -> Result<Self> {
        let form = Regex::new(&format!(r"(\d+): tracing_mark_write: {MARK}"))?;
        let event = form.captures(traced);
        let event = event.with_context(|| format!("no mark in the trace: '{traced}'"))?;
        let counted: f64 = event[1].parse()?;
        Ok(Self(counted / 1e9 - stamp_of_line(log, MARK)?))
    }

    fn at(&self, logged: f64) -> f64 {
        logged + self.0
    }
}

/// The stamp of the first line that is this: the crash kernel prints its command line as well, in which
/// the mark is one word of many.
fn stamp_of_line(log: &[LogLine], text: &str) -> Result<f64> {
    let found = log.iter().find(|line| line.text == text);
    let found = found.with_context(|| format!("the log has no line '{text}'"))?;
    Ok(found.time)
}

/// The stamp of the first line with these words.
fn stamp_of_words(log: &[LogLine], words: &str) -> Result<f64> {
    let found = log.iter().find(|line| line.text.contains(words));
    let found = found.with_context(|| format!("the log has no '{words}'"))?;
    Ok(found.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_counted_from_the_start_of_the_machine() {
        let text = "\
[    0.000000] Kernel command line: rdinit=/bin/sh -- -c \"echo vigil-clock >/sys/trace_marker\"
[    1.250000] vigil-clock
[    1.260000]               sh-1       [000] ..... 9750000000: tracing_mark_write: vigil-clock
[    2.000000] vigil-capture: done, 2.00 s after the start of the crash kernel
";
        let log = LogLine::parse_text(text);
        let clock = Clock::new(text, &log).unwrap();
        assert_eq!(clock.at(0.0), 8.5);
        assert_eq!(clock.at(stamp_of_words(&log, DONE).unwrap()), 10.5);
        let error = stamp_of_words(&log, PANIC).unwrap_err();
        assert_eq!(error.to_string(), format!("the log has no '{PANIC}'"));
    }
}
