// SPDX-License-Identifier: GPL-2.0
//! `make demo`: real stalls in a guest with an unmodified kernel, and what the
//! two detectors in it say about each; then what tasks and CPUs wait behind in the end.

mod watch;

use anyhow::{anyhow, Context, Result};
use layout::{
    backends::svg::SVGWriter,
    gv::{DotParser, GraphBuilder},
};
use std::time::Duration;
use vigil_klog::{pattern, texts, Finding, HungTask, Lock, Log, Report};
use vigil_vm::{Config, Mark, Vm};
use watch::Watch;

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
        // As a serial port's does up to Linux 7.2, see docs/beside-the-tree.md.
        silence: "nothing (vigil's report came first, on a console that touches its watchdog)",
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
    let config = watch::with_program(Config::new("demo").limit(Duration::from_secs(300)))?;
    let vm = Vm::boot(config).context("the guest did not boot")?;
    println!(
        "Guest with {} up after {:.1} s; vigil is loaded with a timeout of {TIMEOUT} s.\n",
        vm.artifacts().release().unwrap_or_default(),
        vm.boot_time().as_secs_f64()
    );
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(&format!("hung_task_timeout_secs={TIMEOUT}"))?;
    let watch = Watch::start(&vm)?;

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
    watch.finish(&[
        ("root-cause", Some("culprit")),
        ("soft-lockup", None),
        ("hard-lockup", None),
    ])?;
    anyhow::ensure!(
        rows.iter().all(|row| row.vigil.is_some()),
        "vigil did not report every stall"
    );
    drop(vm);
    culprits()
}

/// How many tasks wait for one mutex.
const CROWD: usize = 1000;

/// Two detectors beside each other where many wait for few.
fn culprits() -> Result<()> {
    let config = Config::new("demo-culprits")
        .cpus(4)
        .mem_mib(2048)
        .append("log_buf_len=64M")
        .limit(Duration::from_secs(600));
    let vm = Vm::boot(watch::with_program(config)?).context("the guest did not boot")?;
    println!("\nA guest with four CPUs, and a timeout of {TIMEOUT} s for both detectors.");
    vm.insmod("vigil_provoke.ko", "")?;
    // The console of an emulated machine is slow.
    vm.sh_ok(
        "sysctl -q kernel.printk=1 kernel.hung_task_warnings=-1 kernel.hung_task_timeout_secs=0",
    )?;
    vm.load(&format!(
        "hung_task_timeout_secs={TIMEOUT} hung_task_warnings=-1"
    ))?;
    let watch = Watch::start(&vm)?;

    let mark = vm.mark()?;
    vm.sh_ok("echo 'abba_mutex count=2' > /sys/kernel/debug/vigil_provoke/run; echo 'chain count=3' > /sys/kernel/debug/vigil_provoke/run")?;
    let _shell = vm.spawn(
        "mkdir /sys/fs/cgroup/web; echo 0 > /sys/fs/cgroup/web/cgroup.procs
         echo 'mutex secs=300' > /sys/kernel/debug/vigil_provoke/block_me",
    )?;
    println!(
        "\nprovoked: two tasks, each with the mutex that the other waits for; a chain of three; \
         and a shell of the cgroup /web that waits for a mutex"
    );
    vm.wait_log_after(mark, "^vigil: deadlock of 2: ", Duration::from_secs(120))?;
    vm.wait_log_after(
        mark,
        "^vigil: 3 hung tasks wait behind ",
        Duration::from_secs(120),
    )?;
    print_own_lines(&vm, mark)?;
    let dot = vm.read("/sys/kernel/debug/vigil/waitgraph.dot")?;
    let path = vm.artifacts().folder().join("waitgraph.svg");
    std::fs::write(&path, svg(&dot)?).with_context(|| format!("writing {}", path.display()))?;
    println!("The wait graph is in {}.", path.display());
    // It takes a while until all of them wait.
    vm.sh_ok(&format!(
        "echo all > /sys/kernel/debug/vigil_provoke/end
         sysctl -q vigil.hung_task_timeout_secs=0
         echo 'mutex count={CROWD} secs=300' > /sys/kernel/debug/vigil_provoke/run"
    ))?;
    println!("\nprovoked: {CROWD} tasks that wait for one mutex");
    let mark = vm.mark()?;
    vm.sh_ok(&format!("sysctl -q vigil.hung_task_timeout_secs={TIMEOUT}"))?;
    let root = format!("^vigil: {CROWD} hung tasks wait behind ");
    vm.wait_log_after(mark, &root, Duration::from_secs(120))?;
    let left = r"^vigil:   and \d+ more$";
    vm.wait_log_after(mark, left, Duration::from_secs(120))?;
    print_own_lines(&vm, mark)?;
    let grouped = vm.dmesg_after(mark)?.len();
    let mark = vm.mark()?;
    vm.sh_ok(&format!(
        "sysctl -q vigil.hung_task_timeout_secs=0 kernel.hung_task_timeout_secs={TIMEOUT}"
    ))?;
    let in_tree = loop {
        let log = vm.dmesg_after(mark)?;
        if Log::parse(&log).hung_tasks().count() >= CROWD {
            break log.len();
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    println!("lines in the log: {grouped} by vigil, {in_tree} by the in-tree detector");
    vm.sh_ok(
        "sysctl -q kernel.hung_task_timeout_secs=0; echo all > /sys/kernel/debug/vigil_provoke/end",
    )?;

    println!("\nprovoked: CPU 3 spins for a lock with interrupts off; CPU 1 waits for it to run a function");
    vm.sh_on(
        0,
        &format!("sysctl -q vigil.watchdog_thresh={THRESH} kernel.watchdog_thresh={THRESH}"),
    )?
    .ok()?;
    let mark = vm.mark()?;
    let run = "cd /sys/kernel/debug/vigil_provoke
               echo 'spinlock cpu=3 target=2 irqsave=1 ms=9000' > run
               echo 'cpu_wait cpu=1 target=3' > run
               until grep -q ' cpu_wait ' lockups; do sleep 1; done";
    vm.sh_on(0, run)?.ok()?;
    let log = Log::parse(&vm.dmesg_after(mark)?);
    let mut seen = Vec::new();
    for report in &log.reports {
        let (who, cpu) = match &report.finding {
            Finding::SoftLockup(lockup) => ("soft", lockup.cpu),
            Finding::HardLockup(lockup) => ("hard", lockup.cpu),
            _ => continue,
        };
        let key = (report.is_vigil(), who, cpu);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let detector = if report.is_vigil() {
            "vigil"
        } else {
            "in-tree"
        };
        println!("{detector}, {who} lockup of CPU {cpu}:");
        for line in report.lines.iter().take(6) {
            println!("  [{:12.6}] {}", line.time, line.text);
        }
    }
    anyhow::ensure!(
        log.reports.iter().any(|report| report.is_vigil()
            && report.mentions("vigil: CPU1 waits for CPU3 to run ipi_nothing")),
        "vigil did not say that CPU 1 waits for CPU 3"
    );
    vm.unload()?;
    watch.finish(&[
        ("root-cause", Some("culprit")),
        ("root-cause", Some("cgroup")),
        ("soft-lockup", Some("culprit")),
        ("hard-lockup", None),
    ])
}

/// Prints the lines of vigil's own since the mark.
fn print_own_lines(vm: &Vm, mark: Mark) -> Result<()> {
    for line in vm.dmesg_after(mark)? {
        if line.text.starts_with("vigil: ") {
            println!("  [{:12.6}] {}", line.time, line.text);
        }
    }
    Ok(())
}

/// Draws a graph.
fn svg(dot: &str) -> Result<String> {
    let graph = DotParser::new(dot)
        .process()
        .map_err(|error| anyhow!("the wait graph is not valid: {error}"))?;
    let mut builder = GraphBuilder::new();
    builder.visit_graph(&graph);
    let mut svg = SVGWriter::new();
    builder.get().do_it(false, false, false, &mut svg);
    Ok(svg.finalize())
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
