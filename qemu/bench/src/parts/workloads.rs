// SPDX-License-Identifier: GPL-2.0
//! What work of several kinds loses with vigil loaded: the same work, in turns without vigil and
//! with it, in the same boot, with the in-tree detectors on.
//!
//! The virtual CPUs run one at a time, and the guest's clocks count the instructions of both. The
//! work keeps its CPU busy from the beginning to the end, so that the time that it takes is the
//! number of all instructions that the guest executed meanwhile, whoever did. For work that waits
//! for a disk that takes a disk whose requests are over before the guest's clocks go on: QEMU's
//! `null-co`, and without `ioeventfd`, so that QEMU's main loop ends a request before it moves the
//! clock of an idle guest to its next timer. The guest's agent, which polls, is stopped meanwhile.
//!
//! Two runs without vigil are not alike to the instruction either. So each loss stands beside what
//! runs without vigil differ by, and beside what vigil's own code takes, in one more run, which is
//! traced.

use crate::{
    guest,
    results::{Bound, Cell, Measured, Outcome, Spread, Table},
    trace::{self, Event, Instance},
};
use anyhow::{bail, ensure, Context, Result};
use vigil_vm::{Artifacts, Vm};

/// An instruction takes 2 to the power of this nanoseconds.
const SHIFT: u32 = 3;

/// Runs with vigil; there is one more without.
const PAIRS: usize = 5;

/// The CPU of the work. The others are idle.
const CPU: u32 = 1;
const CPUS: u32 = 2;

/// The most that work may lose, in percent.
const MOST: f64 = 0.01;

/// Work.
struct Kind {
    /// By which the document knows its bound.
    id: &'static str,
    name: &'static str,
    /// For `agent work`.
    command: &'static str,
    /// How often it runs while vigil's own code is counted: so that some looks at tasks fall into it.
    traced: usize,
}

const KINDS: [Kind; 4] = [
    Kind {
        id: "cpu",
        name: "CPU-bound: a loop in user mode",
        command: "cpu 250000000",
        traced: 1,
    },
    Kind {
        id: "fork",
        name: "fork-bound: a shell that runs `/bin/true`",
        command: "fork 3000",
        traced: 1,
    },
    Kind {
        id: "switch",
        name: "switch-bound: a byte to another process and back",
        command: "switch 100000",
        traced: 1,
    },
    Kind {
        id: "io",
        name: "I/O-bound: `O_DIRECT` reads of 4 KiB from a virtio disk",
        command: "io 60000 /dev/vda",
        traced: 10,
    },
];

pub(super) fn run(artifacts: &Artifacts) -> Result<Outcome> {
    if let Some(left_out) = trace::left_out(artifacts)? {
        return Ok(left_out);
    }
    let driver = artifacts.file("load/virtio_blk.ko");
    let config = guest::counting_for("workloads")
        .instructions_take(SHIFT)
        .cpus(CPUS)
        .files(driver.iter())
        .qemu_args([
            "-blockdev",
            "driver=null-co,node-name=disk,size=1073741824,read-zeroes=on",
            "-device",
            "virtio-blk-pci,drive=disk,ioeventfd=off",
        ]);
    let vm = guest::boot(config)?;
    // A program's memory is laid out the same way each time.
    vm.sh_ok("sysctl -q kernel.randomize_va_space=0")?;
    if driver.is_some() {
        vm.sh_ok("insmod /vm/virtio_blk.ko")?;
    }
    let mut measured = Vec::new();
    for kind in &KINDS {
        let pairs = Pairs::measure(&vm, kind)?;
        println!("{}: {pairs:?}", kind.name);
        measured.push(pairs);
    }
    let traced = traced(&vm)?;
    let columns = [
        "",
        "instructions of a run",
        "percent more with vigil",
        "percent by which runs without vigil differ",
        "percent that vigil's own code takes",
    ];
    let caption = format!(
        "Median (least, most) of {PAIRS} runs with vigil, each beside the mean of the runs without vigil before and after it."
    );
    let mut table = Table::new(caption, columns);
    for ((kind, pairs), own) in KINDS.iter().zip(&measured).zip(traced) {
        table.row(pairs.cells(kind, own)?, vec![pairs.bound(kind, own)?]);
    }
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: Vec::new(),
    }))
}

/// The nanoseconds of runs in turns.
#[derive(Debug)]
struct Pairs {
    /// The first one and the last one are without vigil.
    without: Vec<u64>,
    with: Vec<u64>,
}

impl Pairs {
    fn measure(vm: &Vm, kind: &Kind) -> Result<Self> {
        // What is only done once is over then.
        kind.run(vm)?;
        let mut pairs = Self {
            without: vec![kind.run(vm)?],
            with: Vec::new(),
        };
        for _ in 0..PAIRS {
            load(vm)?;
            pairs.with.push(kind.run(vm)?);
            vm.unload()?;
            pairs.without.push(kind.run(vm)?);
        }
        Ok(pairs)
    }

    /// By how many percent each run with vigil is longer than those around it.
    fn losses(&self) -> Result<Spread> {
        let pairs = self.with.iter().zip(self.without.windows(2));
        let all = pairs.map(|(with, around)| percent_more(*with, around[0], around[1]));
        Spread::of(all).context("no pairs")
    }

    /// The same for those without vigil: what nothing makes.
    fn noise(&self) -> Result<Spread> {
        let all = self.without.windows(3);
        Spread::of(all.map(|runs| percent_more(runs[1], runs[0], runs[2]))).context("no pairs")
    }

    fn cells(&self, kind: &Kind, own: f64) -> Result<Vec<Cell>> {
        let run = Spread::of_counts(&self.without)?.median / f64::from(1 << SHIFT);
        Ok(vec![
            Cell::text(kind.name),
            Cell::Count(run as u64),
            Cell::Spread(self.losses()?, 5),
            Cell::Spread(self.noise()?, 5),
            Cell::Number(own, 5),
        ])
    }

    /// On what was measured, if runs without vigil differ by less than a quarter of the bound; else on what
    /// is known exactly.
    fn bound(&self, kind: &Kind, own: f64) -> Result<Bound> {
        let noise = self.noise()?;
        let id = format!("workloads: {}", kind.id);
        let (what, _) = kind.name.split_once(':').context("no kind of work")?;
        let is_quiet = noise.least.abs().max(noise.most.abs()) < MOST / 4.0;
        let (says, value) = if is_quiet {
            ("percent that work loses", self.losses()?.median)
        } else {
            ("percent of work that vigil's own code takes", own)
        };
        Ok(Bound::new(id, format!("{what}: {says}"), value, MOST))
    }
}

/// By how many percent a run is longer than the mean of two others.
fn percent_more(run: u64, one: u64, other: u64) -> f64 {
    let mean = (one as f64 + other as f64) / 2.0;
    (run as f64 - mean) / mean * 100.0
}

/// With its default settings.
fn load(vm: &Vm) -> Result<()> {
    vm.load("")?;
    // The first look finds what there is to be watched.
    vm.sh_ok("sleep 3")?;
    Ok(())
}

impl Kind {
    fn script(&self) -> String {
        format!("taskset -c {CPU} /sbin/agent work {}", self.command)
    }

    /// Nanoseconds of a run.
    fn run(&self, vm: &Vm) -> Result<u64> {
        let output = guest::alone(vm, &self.script())?;
        output.trim().parse().with_context(|| output.clone())
    }

    /// What vigil's own code takes in a run, in percent of it: its heartbeats' interrupts, the
    /// stoppers' runs for them and the thread that looks at tasks.
    fn own_code(&self, vm: &Vm, instance: &Instance<'_>, event_cost: u64) -> Result<f64> {
        load(vm)?;
        let thread = format!("cat /proc/{}/schedstat", guest::pid_of(vm, guest::VIGIL)?);
        let work = vec![self.script(); self.traced].join("; ");
        let script = format!("{thread}; {work}; {thread}");
        let (output, events) = instance.while_alone(&script)?;
        vm.unload()?;
        let numbers = guest::first_numbers(&output)?;
        let [before, runs @ .., after] = numbers.as_slice() else {
            bail!("no numbers: {output}");
        };
        ensure!(runs.len() == self.traced, "not a line for each: {output}");
        let run: u64 = runs.iter().sum();
        let heartbeats = Heartbeats::of(&events, event_cost);
        let looks = after - before;
        println!("{}: {heartbeats:?}, {looks} for looks, of {run}", self.name);
        ensure!(heartbeats.count > 0, "no heartbeat in {run} ns");
        Ok((heartbeats.took + looks) as f64 / run as f64 * 100.0)
    }
}

/// What vigil's own code takes, in percent of each kind of work.
fn traced(vm: &Vm) -> Result<Vec<f64>> {
    let (all, event_cost) = trace::of_heartbeats(vm, 16384)?;
    let own = KINDS.iter().map(|kind| kind.own_code(vm, &all, event_cost));
    let own = own.collect::<Result<Vec<f64>>>()?;
    all.remove()?;
    Ok(own)
}

/// What vigil's heartbeats took.
#[derive(Debug, Default, PartialEq)]
struct Heartbeats {
    count: u64,
    /// Nanoseconds of the interrupts that came for them alone, of the timer's callback in others,
    /// and of the stoppers' runs.
    took: u64,
}

impl Heartbeats {
    fn of(events: &[Event], event_cost: u64) -> Self {
        let mut all = Self::default();
        for cpu in 0..CPUS {
            let (mut interrupt, mut callback, mut stopper) = (None, None, None);
            // Timers that expired in this interrupt; how long vigil's callback took.
            let (mut others, mut took) = (0, None);
            // Whether the last heartbeat is vigil's, which the stopper runs for.
            let mut is_ours = false;
            for event in events.iter().filter(|event| event.cpu == cpu) {
                let since = |start: Option<u64>, events: u64| {
                    let passed = event.stamp.checked_sub(start?)?;
                    Some(passed.saturating_sub(events * event_cost))
                };
                match event.name.as_str() {
                    "local_timer_entry" => {
                        interrupt = Some(event.stamp);
                        (others, took) = (0, None);
                    }
                    "hrtimer_expire_entry" if event.rest.contains("vigil") => {
                        callback = Some(event.stamp);
                        is_ours = true;
                    }
                    "hrtimer_expire_entry" => {
                        others += 1;
                        is_ours &= !event.rest.contains("function=watchdog_timer_fn");
                    }
                    "hrtimer_expire_exit" => took = since(callback.take(), 1).or(took),
                    "local_timer_exit" => {
                        let whole = since(interrupt.take(), 3).filter(|_| others == 0);
                        if let Some(callback) = took.take() {
                            all.count += 1;
                            all.took += whole.unwrap_or(callback);
                        }
                    }
                    "sched_switch" if event.rest.contains("next_comm=migration/") => {
                        stopper = Some(event.stamp).filter(|_| is_ours);
                        is_ours = false;
                    }
                    "sched_switch" => all.took += since(stopper.take(), 1).unwrap_or(0),
                    _ => {}
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_vigils_is_added_up() {
        let events = trace::parse(
            "\
 work-9 [000] d.h1. 1000: local_timer_entry: vector=236
 work-9 [000] d.h1. 1100: hrtimer_expire_entry: hrtimer=01 function=timer_fn [vigil] now=1
 work-9 [000] d.h1. 1310: hrtimer_expire_exit: hrtimer=01
 work-9 [000] d.h1. 1530: local_timer_exit: vector=236
 work-9 [000] d..2. 1600: sched_switch: prev_comm=work prev_pid=9 ==> next_comm=migration/0 next_pid=5
 migration/0-5 [000] d..2. 1710: sched_switch: prev_comm=migration/0 prev_pid=5 ==> next_comm=work next_pid=9
 work-9 [000] d.h1. 2000: local_timer_entry: vector=236
 work-9 [000] d.h1. 2010: hrtimer_expire_entry: hrtimer=02 function=watchdog_timer_fn now=2
 work-9 [000] d.h1. 2020: hrtimer_expire_exit: hrtimer=02
 work-9 [000] d.h1. 2030: local_timer_exit: vector=236
 work-9 [000] d..2. 2040: sched_switch: prev_comm=work prev_pid=9 ==> next_comm=migration/0 next_pid=5
 migration/0-5 [000] d..2. 2100: sched_switch: prev_comm=migration/0 prev_pid=5 ==> next_comm=work next_pid=9
 <idle>-0 [001] d.h1. 3000: local_timer_entry: vector=236
 <idle>-0 [001] d.h1. 3010: hrtimer_expire_entry: hrtimer=03 function=tick_nohz_handler now=3
 <idle>-0 [001] d.h1. 3020: hrtimer_expire_exit: hrtimer=03
 <idle>-0 [001] d.h1. 3030: hrtimer_expire_entry: hrtimer=04 function=timer_fn [vigil] now=3
 <idle>-0 [001] d.h1. 3100: hrtimer_expire_exit: hrtimer=04
 <idle>-0 [001] d.h1. 3200: local_timer_exit: vector=236
",
        )
        .unwrap();
        // An event takes 10: the interrupt, the stopper, and the callback with a tick.
        let expected = Heartbeats {
            count: 2,
            took: (530 - 30) + (110 - 10) + (70 - 10),
        };
        assert_eq!(Heartbeats::of(&events, 10), expected);
    }

    #[test]
    fn a_run_is_compared_with_those_around_it() {
        let pairs = Pairs {
            without: vec![1000, 1002, 1004],
            with: vec![1002, 1004],
        };
        let losses = pairs.losses().unwrap();
        let (least, most) = (1.0 / 1001.0 * 100.0, 1.0 / 1003.0 * 100.0);
        assert!((losses.most - least).abs() < 1e-9 && (losses.least - most).abs() < 1e-9);
        // A drift is no noise.
        assert_eq!(pairs.noise().unwrap().median, 0.0);
    }
}
