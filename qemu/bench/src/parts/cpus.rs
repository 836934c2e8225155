// SPDX-License-Identifier: GPL-2.0
//! What vigil costs on machines with more and more CPUs: a heartbeat, a look, loading and unloading,
//! and the report of 20 CPUs that get stuck at the same time.
//!
//! QEMU executes one virtual CPU at a time, and its clock counts the instructions of all: what two CPUs
//! do at once takes the time of both.

use super::{
    heartbeat, looks,
    reports::{on_console, CONSOLE},
};
use crate::{
    guest::{self, each_second, pid_of, PROVOKE},
    results::{Bound, Cell, Measured, Outcome, Spread, Table},
    trace::{self, Event, Instance},
};
use anyhow::{ensure, Context, Result};
use std::time::{Duration, Instant};
use vigil_klog::{Finding, Log};
use vigil_vm::{Artifacts, BootError, Vm};

/// How many CPUs a guest has, and its memory in MiB.
const GUESTS: [(u32, u32); 4] = [(2, 1024), (16, 1024), (64, 2048), (MANY, 4096)];

/// As many as APICs without x2APIC have numbers for. Whether a guest with so many comes up in time
/// depends on how fast the host is; the others must.
const MANY: u32 = 255;

/// Guest time for which heartbeats are recorded. They come 2.5 times a second to each CPU.
const SECONDS: u32 = 16;

/// A heartbeat may take so many times what it takes with the fewest CPUs.
const FLAT: f64 = 1.05;

/// How many times vigil is loaded and unloaded.
const LOADS: u32 = 5;

/// The commands for it, and the numbers of their system calls: finit_module and delete_module.
const COMMANDS: [Command; 2] = [
    Command {
        name: "loading",
        comm: "insmod",
        arguments: "/vm/vigil.ko",
        call: 313,
    },
    Command {
        name: "unloading",
        comm: "rmmod",
        arguments: "vigil",
        call: 176,
    },
];

/// The threads in which a CPU runs its hotplug callbacks.
const HOTPLUG: &str = "cpuhp/";

/// How many CPUs get stuck at the same time: from CPU 1 on.
const STUCK: [usize; 2] = [1, 20];

/// `watchdog_thresh` of both while they are stuck, in seconds.
const THRESH: u32 = 1;

/// How long they are stuck for vigil, and for the in-tree detector, in milliseconds: long enough for
/// one report of each CPU. See `lateness` for why the in-tree one is later.
const STUCK_MS: [(&str, u32); 2] = [("vigil", 2900), ("in-tree", 4200)];

/// How long the guest with [`MANY`] may live, in real time.
const MANY_LIMIT: Duration = Duration::from_secs(1800);

pub(super) fn run(artifacts: &Artifacts) -> Result<Outcome> {
    if let Some(left_out) = trace::left_out(artifacts)? {
        return Ok(left_out);
    }
    let mut tables = Tables::new();
    for (cpus, mib) in GUESTS {
        let start = Instant::now();
        match tables.guest(cpus, mib) {
            // What it has measured so far stays.
            Err(error) if cpus == MANY && is_late(&error) => {
                println!("{cpus} CPUs: {error:#}");
                tables.gave_up(cpus, mib);
            }
            measured => measured.with_context(|| format!("{cpus} CPUs"))?,
        }
        println!("{cpus} CPUs: {} s", start.elapsed().as_secs());
    }
    Ok(Outcome::Measured(Measured {
        tables: tables.into_vec(),
        plots: Vec::new(),
    }))
}

/// Whether a guest's limit was over.
fn is_late(error: &anyhow::Error) -> bool {
    let boot = error.downcast_ref::<BootError>();
    let later = error.downcast_ref::<vigil_vm::Error>();
    boot.is_some_and(|error| error.timed_out)
        || later.is_some_and(|error| matches!(error, vigil_vm::Error::Timeout { .. }))
}

/// What is measured, and how it grows from guest to guest.
struct Tables {
    heartbeats: Table,
    looks: Table,
    loads: Table,
    reports: Table,
    /// The number of CPUs of the first guest, and what a heartbeat takes there.
    first_heartbeat: Option<(u32, f64)>,
    look_growth: Growth,
    load_growth: [Growth; 2],
}

impl Tables {
    fn new() -> Self {
        let modes = heartbeat::MODES.map(|(name, ..)| name);
        Self {
            heartbeats: Table::new(
                "A heartbeat of one CPU: instructions of the interrupt and of the stopper, medians over \
                 all CPUs.",
                ["CPUs"].into_iter().chain(modes),
            ),
            looks: Table::new(
                "A look at the tasks of an idle machine: instructions, median (least, most).",
                [
                    "CPUs",
                    "threads",
                    "khungtaskd's pass",
                    "vigil's look",
                    "for each CPU",
                    "for each further CPU",
                ],
            ),
            loads: Table::new(
                "Instructions of the system call, those of the CPUs' hotplug threads meanwhile included, \
                 and how long it takes: median (least, most).",
                [
                    "CPUs",
                    "",
                    "instructions",
                    "for each CPU",
                    "for each further CPU",
                    "ms",
                ],
            ),
            reports: Table::new(
                "CPUs that get stuck at the same time, in the same place: the reports of soft lockups.",
                [
                    "CPUs",
                    "stuck",
                    "by",
                    "reports",
                    "lines",
                    "bytes",
                    "seconds at 115,200 baud",
                    "ms from the first line to the last",
                ],
            ),
            first_heartbeat: None,
            look_growth: Growth::default(),
            load_growth: Default::default(),
        }
    }

    fn into_vec(self) -> Vec<Table> {
        vec![self.heartbeats, self.looks, self.loads, self.reports]
    }

    /// Says that this guest was not done in time.
    fn gave_up(&mut self, cpus: u32, mib: u32) {
        let seconds = MANY_LIMIT.as_secs();
        let says = format!(
            " A guest of {cpus} CPUs and {mib} MiB was given up after {seconds} s of real time."
        );
        self.heartbeats.caption += &says;
    }

    fn guest(&mut self, cpus: u32, mib: u32) -> Result<()> {
        let limit = if cpus == MANY {
            MANY_LIMIT
        } else {
            guest::LIMIT
        };
        let config = guest::counting_for(&format!("cpus-{cpus}"))
            .cpus(cpus)
            .mem_mib(mib)
            .boot_limit(limit)
            .limit(limit);
        let vm = guest::boot(config)?;
        println!("{cpus} CPUs are up after {} s", vm.boot_time().as_secs());
        let event_cost = self.heartbeat(&vm, cpus)?;
        self.look(&vm, cpus)?;
        self.load(&vm, cpus, event_cost)?;
        // CPU 0 and at least one other do not get stuck.
        if STUCK.iter().all(|stuck| stuck + 1 < cpus as usize) {
            self.reports(&vm, cpus)?;
        }
        Ok(())
    }

    /// Returns what recording an event takes.
    fn heartbeat(&mut self, vm: &Vm, cpus: u32) -> Result<u64> {
        let (event_cost, totals) = heartbeat::totals(vm, cpus, SECONDS)?;
        println!("{cpus} CPUs, heartbeats: {totals:?} instructions");
        let [.., (name, ..)] = heartbeat::MODES;
        let vigil = *totals.last().context("no heartbeat")? as f64;
        let mut bounds = Vec::new();
        match self.first_heartbeat {
            None => self.first_heartbeat = Some((cpus, vigil)),
            Some((first, value)) => {
                let says = format!("{name}: a heartbeat with {cpus} CPUs, times that with {first}");
                let id = format!("cpus: heartbeat {cpus}");
                bounds.push(Bound::new(id, says, vigil / value, FLAT));
            }
        }
        let cells = [u64::from(cpus)].into_iter().chain(totals);
        self.heartbeats.row(cells.map(Cell::Count), bounds);
        Ok(event_cost)
    }

    fn look(&mut self, vm: &Vm, cpus: u32) -> Result<()> {
        vm.sh_ok(
            "sysctl -q kernel.hung_task_timeout_secs=1000 kernel.hung_task_check_interval_secs=1",
        )?;
        let threads = looks::count(vm)?;
        let pid = pid_of(vm, guest::IN_TREE)?;
        let in_tree = Spread::of_counts(&each_second(vm, pid, looks::SECONDS)?)?;
        vm.sh_ok("sysctl -q kernel.hung_task_timeout_secs=0")?;
        let vigil = looks::vigil(vm, 1)?;
        println!(
            "{cpus} CPUs, {threads} threads: khungtaskd {}, vigil {} instructions",
            in_tree.median, vigil.median
        );
        let (further, bound) = self.look_growth.add("a look", cpus, vigil.median);
        let cells = [
            Cell::Count(cpus.into()),
            Cell::Count(threads.into()),
            Cell::Spread(in_tree, 0),
            Cell::Spread(vigil, 0),
            Cell::Number(vigil.median / f64::from(cpus), 0),
            further,
        ];
        self.looks.row(cells, bound.into_iter().collect());
        Ok(())
    }

    fn load(&mut self, vm: &Vm, cpus: u32, event_cost: u64) -> Result<()> {
        let calls = COMMANDS.map(|command| format!("id == {}", command.call));
        let threads = COMMANDS.iter().flat_map(|command| {
            let comm = command.comm;
            [
                format!("prev_comm == \"{comm}\""),
                format!("next_comm == \"{comm}\""),
            ]
        });
        let hotplug = ["prev", "next"].map(|side| format!("{side}_comm ~ \"{HOTPLUG}*\""));
        let threads: Vec<String> = threads.chain(hotplug).collect();
        let (calls, threads) = (calls.join(" || "), threads.join(" || "));
        let (enter, exit, switch) = (
            "raw_syscalls/sys_enter",
            "raw_syscalls/sys_exit",
            "sched/sched_switch",
        );
        let instance = Instance::new(
            vm,
            "load",
            64,
            &[enter, exit, switch],
            &[
                (enter, calls.as_str()),
                (exit, calls.as_str()),
                (switch, threads.as_str()),
            ],
        )?;
        let mut spent: [Vec<Spent>; 2] = Default::default();
        for _ in 0..LOADS {
            for (command, all) in COMMANDS.iter().zip(&mut spent) {
                let script = format!("{} {}", command.comm, command.arguments);
                let (_, events) = instance.while_alone(&script)?;
                all.push(Spent::of(&events, command, event_cost)?);
                // What the kernel frees afterwards, and what runs for the first time.
                vm.sh_ok("sleep 2")?;
            }
        }
        instance.remove()?;
        for ((command, all), growth) in COMMANDS.iter().zip(spent).zip(&mut self.load_growth) {
            let name = command.name;
            let run = Spread::of(all.iter().map(|spent| spent.run as f64)).context("no run")?;
            let took =
                Spread::of(all.iter().map(|spent| spent.took as f64 / 1e6)).context("no run")?;
            println!(
                "{cpus} CPUs, {name}: {} instructions, {:.3} ms",
                run.median, took.median
            );
            let (further, bound) = growth.add(name, cpus, run.median);
            let cells = [
                Cell::Count(cpus.into()),
                Cell::text(name),
                Cell::Spread(run, 0),
                Cell::Number(run.median / f64::from(cpus), 0),
                further,
                Cell::Spread(took, 1),
            ];
            self.loads.row(cells, bound.into_iter().collect());
        }
        Ok(())
    }

    fn reports(&mut self, vm: &Vm, cpus: u32) -> Result<()> {
        vm.insmod("vigil_provoke.ko", "")?;
        // kthreadd, which makes the threads, is not to be on a CPU that is stuck.
        vm.sh_ok(&format!(
            "taskset -pc 0 2 && sysctl -q kernel.watchdog_thresh={THRESH} && sleep 1"
        ))?;
        for (who, ms) in STUCK_MS {
            let ours = who == "vigil";
            let in_tree: &[u8] = if ours { b"0" } else { b"1" };
            vm.write("/proc/sys/kernel/soft_watchdog", in_tree)?;
            if ours {
                vm.load(&format!("watchdog_thresh={THRESH}"))?;
            }
            let mut of_one = None;
            for stuck in STUCK {
                let (bytes, cells) = report(vm, ours, stuck, ms).context(who)?;
                println!("{cpus} CPUs, {stuck} stuck, {who}: {cells:?}");
                let each = bytes as f64 / stuck as f64;
                let first = *of_one.get_or_insert(each);
                let bound = (ours && stuck > 1).then(|| {
                    let id = format!("cpus: report {cpus}");
                    let says = format!(
                        "bytes of the report of {stuck} of {cpus} CPUs, for each, times that of one"
                    );
                    Bound::new(id, says, each / first, FLAT)
                });
                let head = [
                    Cell::Count(cpus.into()),
                    Cell::Count(stuck as u64),
                    Cell::text(who),
                ];
                self.reports
                    .row(head.into_iter().chain(cells), bound.into_iter().collect());
            }
            if ours {
                vm.unload()?;
            }
        }
        Ok(())
    }
}

/// Has so many CPUs get stuck for so long; returns how many bytes the reports take on a console, and
/// what they are.
fn report(vm: &Vm, ours: bool, stuck: usize, ms: u32) -> Result<(usize, [Cell; 5])> {
    // The stoppers run on all CPUs after the last stall.
    vm.sh_ok("sleep 2")?;
    let mark = vm.mark()?;
    let run = format!("preempt_off cpus=1-{stuck} ms={ms}");
    vm.write(&format!("{PROVOKE}/run"), run.as_bytes())?;
    wait_until_over(vm)?;
    let mut log = vm.dmesg_after(mark)?;
    // Programs may write there, too.
    log.retain(|line| line.facility == 0);
    let reports = Log::parse(&log).reports;
    let cpus = reports.iter().filter_map(|report| match &report.finding {
        Finding::SoftLockup(lockup) if report.is_vigil() == ours => Some(lockup.cpu),
        _ => None,
    });
    let mut cpus: Vec<u32> = cpus.collect();
    let reports = cpus.len();
    cpus.sort_unstable();
    cpus.dedup();
    ensure!(
        reports == stuck && cpus.len() == stuck,
        "{stuck} CPUs were stuck, but there are {reports} reports, of the CPUs {cpus:?}"
    );
    let (first, last) = log.first().zip(log.last()).context("an empty log")?;
    let bytes: usize = log.iter().map(on_console).sum();
    let cells = [
        Cell::Count(reports as u64),
        Cell::Count(log.len() as u64),
        Cell::Count(bytes as u64),
        Cell::Number(bytes as f64 / CONSOLE, 2),
        Cell::Number((last.time - first.time) * 1000.0, 1),
    ];
    Ok((bytes, cells))
}

/// Waits until no CPU is stuck, in real time: the guest has to do as little as possible meanwhile. The
/// guest's own limit ends it.
fn wait_until_over(vm: &Vm) -> Result<()> {
    let is_stuck = |active: String| active.lines().any(|line| line.contains(" preempt_off "));
    while is_stuck(vm.read(&format!("{PROVOKE}/active"))?) {
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// How a figure grows with the CPUs: their number in the last guest, and the figure there.
#[derive(Default)]
struct Growth(Option<(u32, f64)>);

impl Growth {
    /// Adds the figure of a guest with more CPUs than the last one. Returns what each of these takes, and
    /// the bound that what it is for each CPU does not grow.
    fn add(&mut self, what: &str, cpus: u32, now: f64) -> (Cell, Option<Bound>) {
        let Some((fewer, before)) = self.0.replace((cpus, now)) else {
            return (Cell::None, None);
        };
        let further = (now - before) / f64::from(cpus - fewer);
        let times = (now / f64::from(cpus)) / (before / f64::from(fewer));
        let says = format!("{what} with {cpus} CPUs, for each, times that with {fewer}");
        let bound = Bound::new(format!("cpus: {what} {cpus}"), says, times, 1.0);
        (Cell::Number(further, 0), Some(bound))
    }
}

/// A command that loads or unloads vigil.
struct Command {
    name: &'static str,
    /// The program.
    comm: &'static str,
    arguments: &'static str,
    /// The number of the system call that does it.
    call: u32,
}

/// What a system call took, in nanoseconds.
#[derive(Debug, PartialEq)]
struct Spent {
    /// While its caller or the hotplug thread of a CPU ran, and so instructions.
    run: u64,
    /// From its beginning to its end.
    took: u64,
}

impl Spent {
    fn of(events: &[Event], command: &Command, event_cost: u64) -> Result<Self> {
        let Command { comm, call, .. } = command;
        let is_call = |event: &Event| event.rest.starts_with(&format!("NR {call} "));
        let has = |event: &Event, side: &str| {
            let ours = [
                format!("{side}_comm={comm} "),
                format!("{side}_comm={HOTPLUG}"),
            ];
            ours.iter().any(|word| event.rest.contains(word))
        };
        let enter = |event: &Event| event.name == "sys_enter" && is_call(event);
        let first = events.iter().position(enter);
        let (start, events) = first
            .and_then(|first| events.get(first..)?.split_first())
            .with_context(|| format!("{comm} did not call"))?;
        // Of the threads that are counted.
        let mut running: u32 = 1;
        let (mut run, mut last) = (0, start.stamp);
        for event in events {
            if running > 0 {
                run += event.stamp.saturating_sub(last).saturating_sub(event_cost);
            }
            last = event.stamp;
            match event.name.as_str() {
                "sys_exit" if is_call(event) => {
                    let took = event.stamp.saturating_sub(start.stamp);
                    return Ok(Self { run, took });
                }
                "sched_switch" => {
                    running = running.saturating_sub(has(event, "prev").into());
                    running += u32::from(has(event, "next"));
                }
                _ => {}
            }
        }
        Err(anyhow::anyhow!("{comm} did not return"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_and_the_hotplug_threads_are_counted() {
        let events = trace::parse(
            "\
 insmod-9 [000] ..... 1000: sys_enter: NR 313 (3, 55, 0, 7f, 0, 0)
 insmod-9 [000] d..2. 1500: sched_switch: prev_comm=insmod prev_pid=9 ==> next_comm=swapper/0 next_pid=0
 <idle>-0 [001] d..2. 1600: sched_switch: prev_comm=swapper/1 prev_pid=0 ==> next_comm=cpuhp/1 next_pid=20
 cpuhp/1-20 [001] d..2. 1800: sched_switch: prev_comm=cpuhp/1 prev_pid=20 ==> next_comm=swapper/1 next_pid=0
 <idle>-0 [000] d..2. 9000: sched_switch: prev_comm=swapper/0 prev_pid=0 ==> next_comm=insmod next_pid=9
 insmod-9 [000] ..... 9400: sys_exit: NR 313 = 0
 insmod-9 [000] d..2. 9500: sched_switch: prev_comm=insmod prev_pid=9 ==> next_comm=swapper/0 next_pid=0
",
        )
        .unwrap();
        let [load, unload] = COMMANDS;
        // An event takes 10.
        let expected = Spent {
            run: (500 - 10) + (200 - 10) + (400 - 10),
            took: 8400,
        };
        assert_eq!(Spent::of(&events, &load, 10).unwrap(), expected);
        let error = Spent::of(&events, &unload, 10).unwrap_err();
        assert_eq!(error.to_string(), "rmmod did not call");
    }

    #[test]
    fn only_time_is_a_reason_to_give_up() {
        let late = vigil_vm::Error::Timeout {
            what: "x".into(),
            limit: MANY_LIMIT,
        };
        assert!(is_late(&anyhow::Error::new(late).context("y")));
        assert!(!is_late(&vigil_vm::Error::Missing("x".into()).into()));
        let boot = |timed_out| BootError {
            reason: "x".into(),
            panicked: false,
            timed_out,
        };
        assert!(is_late(&anyhow::Error::new(boot(true)).context("y")));
        assert!(!is_late(&boot(false).into()));
    }

    #[test]
    fn what_is_for_each_cpu_may_not_grow() {
        let mut growth = Growth::default();
        assert_eq!(growth.add("x", 2, 100.0), (Cell::None, None));
        let (further, bound) = growth.add("x", 12, 200.0);
        assert_eq!(further, Cell::Number(10.0, 0));
        assert!(bound.unwrap().holds());
        // 16.7 before.
        let (_, bound) = growth.add("x", 20, 360.0);
        assert!(!bound.unwrap().holds());
    }
}
