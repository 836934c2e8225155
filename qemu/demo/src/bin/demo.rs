// SPDX-License-Identifier: GPL-2.0
//! `make demo`: real stalls in a guest with an unmodified kernel, and what the
//! two detectors in it say about each.

use anyhow::{Context, Result};
use std::time::Duration;
use vigil_klog::{pattern, texts, Finding, HungTask, Lock, Log, Report};
use vigil_vm::{Config, Vm};

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
    /// Whether a report is on it.
    is_found: fn(&Finding) -> bool,
    /// Why the in-tree detector says nothing if it does not.
    silence: &'static str,
}

const HOGS: [Hog; 2] = [
    Hog {
        kind: "preempt_off",
        what: "a task keeps CPU 1, with preemption off",
        is_found: |finding| matches!(finding, Finding::SoftLockup(lockup) if lockup.cpu == 1),
        // A stack that is printed asks it for patience.
        silence: "nothing (vigil's report came first and put it off)",
    },
    Hog {
        kind: "irqs_off",
        what: "CPU 1 spins with interrupts off",
        is_found: |finding| matches!(finding, Finding::HardLockup(lockup) if lockup.cpu == 1),
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
        let report = pattern(texts::HUNG_TASK, &[("comm", stall.task)]);
        vm.wait_log_after(mark, &report, Duration::from_secs(120))?;
    }
    // The last report is longer than its first line.
    vm.sh_ok("echo all > /sys/kernel/debug/vigil_provoke/end")?;
    let log = Log::parse(&vm.dmesg_after(mark)?);

    println!("\nWhat vigil said about the first of them:\n");
    let first = reports_on(&STALLS[0], &log).find(|(report, _)| report.is_vigil());
    for line in first.iter().flat_map(|(report, _)| &report.lines) {
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

/// The reports on a stall.
fn reports_on<'a>(
    stall: &'a Stall,
    log: &'a Log,
) -> impl Iterator<Item = (&'a Report, &'a HungTask)> {
    log.hung_tasks()
        .filter(|(_, hung)| hung.task.comm == stall.task)
}

/// When each detector first reported a stall, and what vigil says of the lock's owner.
fn row(stall: &Stall, began: f64, log: &Log) -> Row {
    let mut row = Row {
        what: stall.what,
        vigil: None,
        in_tree: None,
        silence: "nothing (its timeout is 120 s)",
    };
    for (report, hung) in reports_on(stall, log) {
        let late = report.time - began;
        if report.is_vigil() {
            row.vigil.get_or_insert_with(|| (late, owner(hung)));
        } else {
            row.in_tree.get_or_insert(late);
        }
    }
    row
}

/// What has the lock that a task waits for.
fn owner(hung: &HungTask) -> String {
    let blocker = hung.blocker.as_ref();
    match blocker.and_then(|blocker| Some((blocker.lock, blocker.owner.as_ref()?))) {
        Some((Lock::Semaphore, holder)) => format!("last held by task {holder}"),
        Some((_, owner)) => format!("owned by task {owner}"),
        None => "no owner is kept".into(),
    }
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
    let log = Log::parse(&vm.dmesg_after(mark)?);
    let mut row = Row {
        what: hog.what,
        vigil: None,
        in_tree: None,
        silence: hog.silence,
    };
    for report in &log.reports {
        if !(hog.is_found)(&report.finding) {
            continue;
        }
        let late = report.time - began;
        if !report.is_vigil() {
            row.in_tree.get_or_insert(late);
        } else if row.vigil.is_none() {
            for line in report.lines.iter().take(12) {
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
