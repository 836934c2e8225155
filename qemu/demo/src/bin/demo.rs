// SPDX-License-Identifier: GPL-2.0
//! `make demo`: real stalls in a guest with an unmodified kernel, and what the
//! two detectors in it say about each.

use anyhow::{Context, Result};
use std::time::Duration;
use vigil_vm::{Config, LogLine, Vm};

/// Seconds in D state after which vigil calls a task hung here; the in-tree
/// detector keeps its default of 120.
const TIMEOUT: u32 = 5;

/// A stall to provoke.
struct Stall {
    kind: &'static str,
    /// How the reports name the task.
    task: &'static str,
    what: &'static str,
}

const STALLS: [Stall; 4] = [
    Stall {
        kind: "mutex",
        task: "prov_mutex/0",
        what: "a mutex that a sleeping task holds",
    },
    Stall {
        kind: "rwsem_reader",
        task: "prov_rwsem_r/0",
        what: "a reader behind a sleeping writer",
    },
    Stall {
        kind: "sem",
        task: "prov_sem/0",
        what: "a semaphore that nobody gives back",
    },
    Stall {
        kind: "iowait",
        task: "prov_iowait/0",
        what: "I/O that does not come",
    },
];

/// Seconds without a timer interrupt that make a hard lockup here, for both detectors; a soft
/// lockup takes twice that.
const THRESH: u32 = 2;

/// A CPU to be kept busy.
struct Hog {
    kind: &'static str,
    what: &'static str,
    /// How a report begins.
    head: &'static str,
    /// What only vigil's says, in the line after that.
    ours: &'static str,
    /// Why the in-tree detector says nothing if it does not.
    silence: &'static str,
}

const HOGS: [Hog; 2] = [
    Hog {
        kind: "preempt_off",
        what: "a task keeps CPU 1, with preemption off",
        head: "watchdog: BUG: soft lockup - CPU#1 ",
        ours: "(as counted by the tick)",
        // A stack that is printed asks it for patience.
        silence: "nothing (vigil's report came first and put it off)",
    },
    Hog {
        kind: "irqs_off",
        what: "CPU 1 spins with interrupts off",
        head: "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1",
        ours: "vigil: CPU1 ",
        silence: "nothing (it needs a PMU)",
    },
];

/// What was said about a stall, and when.
struct Row {
    what: &'static str,
    vigil: Option<(f64, String)>,
    in_tree: Option<f64>,
    /// Why the in-tree detector says nothing.
    silence: &'static str,
}

fn main() -> Result<()> {
    let config = Config::new("demo").limit(Duration::from_secs(300));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    println!(
        "Guest with {} up after {:.1} s; vigil is loaded with a timeout of {TIMEOUT} s.\n",
        vm.artifacts().release().unwrap_or_default(),
        vm.boot_time().as_secs_f64()
    );
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(&format!("hung_task_timeout_secs={TIMEOUT}"))?;

    let mut rows = Vec::new();
    let mark = vm.mark()?;
    let mut began = Vec::new();
    for stall in &STALLS {
        began.push(vm.uptime()?);
        vm.sh_ok(&format!(
            "echo '{} secs=120' > /sys/kernel/debug/vigil_provoke/run",
            stall.kind
        ))?;
        println!("provoked: {} ({})", stall.kind, stall.what);
    }
    for stall in &STALLS {
        let report = format!(r"^INFO: task {}:\d+ blocked ", stall.task);
        vm.wait_log_after(mark, &report, Duration::from_secs(120))?;
    }
    // The last report is longer than its first line.
    vm.sh_ok("echo all > /sys/kernel/debug/vigil_provoke/end")?;
    let log = vm.dmesg_after(mark)?;

    println!("\nWhat vigil said about the first of them:\n");
    for line in first_report(&log, STALLS[0].task) {
        println!("  [{:12.6}] {}", line.time, line.text);
    }
    for (stall, began) in STALLS.iter().zip(began) {
        rows.push(row(stall, began, &log));
    }
    for hog in &HOGS {
        rows.push(lockup(&vm, hog)?);
    }
    print_table(&rows);
    vm.unload()?;
    anyhow::ensure!(
        rows.iter().all(|row| row.vigil.is_some()),
        "vigil did not report every stall"
    );
    Ok(())
}

/// The lines from the report's first to the last of the owner's stack.
fn first_report<'a>(log: &'a [LogLine], task: &str) -> &'a [LogLine] {
    let head = format!("INFO: task {task}:");
    let is_head =
        |line: &LogLine| line.text.starts_with("INFO: task ") && line.text.contains(" blocked ");
    let begin = log.iter().position(|line| line.text.starts_with(&head));
    let Some(begin) = begin else { return &[] };
    let rest = &log[begin + 1..];
    let next = rest
        .iter()
        .position(|line| is_head(line) && line.text.contains(" for more than "));
    &log[begin..begin + 1 + next.unwrap_or(rest.len())]
}

/// Picks what belongs to one stall. A report of vigil's is told from one of the
/// in-tree detector's by the third line, which says how to switch it off.
fn row(stall: &Stall, began: f64, log: &[LogLine]) -> Row {
    let head = format!("INFO: task {}:", stall.task);
    let mut row = Row {
        what: stall.what,
        vigil: None,
        in_tree: None,
        silence: "nothing (its timeout is 120 s)",
    };
    for (i, line) in log.iter().enumerate() {
        if !line.text.starts_with(&head) || !line.text.contains(" for more than ") {
            continue;
        }
        let report = first_report(&log[i..], stall.task);
        let ours = report
            .iter()
            .any(|line| line.text.contains("/proc/sys/vigil/"));
        let late = line.time - began;
        if !ours {
            row.in_tree.get_or_insert(late);
            continue;
        }
        let behind = report
            .iter()
            .filter_map(|line| line.text.split_once("likely "))
            .map(|(_, owner)| owner.trim_end_matches('.').to_owned())
            .next();
        row.vigil
            .get_or_insert((late, behind.unwrap_or_else(|| "no owner is kept".into())));
    }
    row
}

/// Keeps a CPU busy for 9 s and shows the first lines of vigil's report.
fn lockup(vm: &Vm, hog: &Hog) -> Result<Row> {
    vm.sh_on(
        0,
        &format!("sysctl -q vigil.watchdog_thresh={THRESH} kernel.watchdog_thresh={THRESH}"),
    )?
    .ok()?;
    let mark = vm.mark()?;
    let run = format!(
        "echo '{} cpu=1 ms=9000' > /sys/kernel/debug/vigil_provoke/run",
        hog.kind
    );
    vm.sh_on(0, &run)?.ok()?;
    println!("\nprovoked: {} ({})", hog.kind, hog.what);
    // It is over when its times are there.
    let ended = format!(
        "until grep -q ' {} ' /sys/kernel/debug/vigil_provoke/lockups; do sleep 1; done",
        hog.kind
    );
    vm.sh_on(0, &ended)?.ok()?;
    let times = vm.sh_on(
        0,
        &format!(
            "grep ' {} ' /sys/kernel/debug/vigil_provoke/lockups",
            hog.kind
        ),
    )?;
    let times = times.ok()?;
    let began: f64 = times
        .split_once("began=")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .context("the provoking module kept no time")?
        .parse()?;
    let log = vm.dmesg_after(mark)?;
    let mut row = Row {
        what: hog.what,
        vigil: None,
        in_tree: None,
        silence: hog.silence,
    };
    for (i, line) in log.iter().enumerate() {
        if !line.text.starts_with(hog.head) {
            continue;
        }
        // Another CPU's line may come in between.
        let ours = log[i + 1..]
            .iter()
            .take(3)
            .any(|next| next.text.contains(hog.ours));
        let late = line.time - began;
        if !ours {
            row.in_tree.get_or_insert(late);
        } else if row.vigil.is_none() {
            for line in log[i..].iter().take(12) {
                println!("  [{:12.6}] {}", line.time, line.text);
            }
            println!("  ...");
            row.vigil = Some((late, "its stack is in the report".into()));
        }
    }
    Ok(row)
}

fn print_table(rows: &[Row]) {
    println!(
        "\n{:36} {:>9}  {:52} in-tree",
        "provoked", "vigil", "stuck behind"
    );
    for row in rows {
        let (vigil, behind) = match &row.vigil {
            Some((late, behind)) => (format!("{late:.1} s"), behind.as_str()),
            None => ("nothing".into(), ""),
        };
        let in_tree = match row.in_tree {
            Some(late) => format!("{late:.1} s"),
            None => row.silence.into(),
        };
        println!("{:36} {vigil:>9}  {behind:52} {in_tree}", row.what);
    }
}
