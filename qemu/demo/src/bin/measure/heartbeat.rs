// SPDX-License-Identifier: GPL-2.0
//! How many instructions a heartbeat takes: the timer interrupt that comes to
//! each CPU every sample period, and the work that the CPU's stopper does for it.
//!
//! QEMU can make the guest's clocks count instructions, one a nanosecond. The
//! kernel's own trace events, stamped with the time-stamp counter, then tell how
//! many lie between two of them. What recording an event takes is measured by
//! recording the same one twice, and taken off.

use anyhow::{ensure, Context, Result};
use regex::Regex;
use std::{process::Command, time::Duration};
use vigil_logic::messages::status::watchdog::BYTES_PER_CPU;
use vigil_vm::{Arch, Config, Vm};

const INSTANCES: &str = "/sys/kernel/tracing/instances";

/// Guest time of one measurement.
const SECONDS: u32 = 40;

/// Who has a heartbeat, with which parameters of vigil, and how many thousandths of the in-tree one it
/// may take.
const MODES: [(&str, Option<&str>, u64); 3] = [
    ("in-tree, soft lockups", None, 1000),
    // Medians differ by a few instructions from run to run.
    ("vigil, soft lockups", Some("nmi_watchdog=0"), 1002),
    ("vigil, soft and hard lockups", Some(""), 1050),
];

pub(crate) fn run_all() -> Result<()> {
    let config = Config::new("heartbeat")
        .time_is_instructions()
        .append("loglevel=1")
        .boot_limit(Duration::from_secs(300))
        .limit(Duration::from_secs(900));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    ensure!(
        vm.arch() == Arch::X86_64,
        "the heartbeat is measured on x86-64 only, whose clock for tracing counts instructions"
    );
    for (instance, events) in [
        ("a", "timer/hrtimer_expire_entry timer/hrtimer_expire_exit irq_vectors/local_timer_entry irq_vectors/local_timer_exit sched/sched_switch"),
        ("b", "timer/hrtimer_expire_entry"),
    ] {
        vm.sh_ok(&format!(
            "mkdir {INSTANCES}/{instance} && cd {INSTANCES}/{instance} && echo 0 > tracing_on &&
             echo x86-tsc > trace_clock && echo 8192 > buffer_size_kb &&
             echo 'prev_comm ~ \"migration/*\" || next_comm ~ \"migration/*\"' > events/sched/sched_switch/filter"
        ))?;
        // The first instance records each event first: see `cost_of_event`.
        for event in events.split(' ') {
            vm.sh_ok(&format!("echo 1 > {INSTANCES}/{instance}/events/{event}/enable"))?;
        }
    }
    let event = cost_of_event(&vm)?;
    vm.sh_ok(&format!("echo 0 > {INSTANCES}/b/events/enable"))?;
    println!(
        "recording an event takes {event} instructions, taken off below; median (least, most)"
    );
    let mut in_tree_total = None;
    for (name, vigil, limit) in MODES {
        let in_tree = u8::from(vigil.is_none());
        vm.sh_ok(&format!(
            "sysctl -q kernel.watchdog_thresh=1 kernel.soft_watchdog={in_tree}"
        ))?;
        if let Some(parameters) = vigil {
            vm.load(&format!("watchdog_thresh=1 {parameters}"))?;
        }
        let costs = PartCosts::of(&record(&vm, "a", SECONDS)?, event)?;
        let total = median(&costs.interrupt)? + median(&costs.stopper)?;
        println!(
            "{name:30} callback {}, whole interrupt {}, stopper {}; together {}",
            figure(&costs.callback)?,
            figure(&costs.interrupt)?,
            figure(&costs.stopper)?,
            total,
        );
        let in_tree_total = *in_tree_total.get_or_insert(total);
        ensure!(
            total * 1000 <= in_tree_total * limit,
            "more than {limit} thousandths of the in-tree one"
        );
        if vigil.is_some() {
            vm.unload()?;
        }
    }
    bytes_per_cpu(&vm)
}

/// An event: CPU, stamp, name, the rest.
struct Event {
    cpu: u32,
    stamp: u64,
    name: String,
    rest: String,
}

/// Records for so many seconds.
fn record(vm: &Vm, instance: &str, seconds: u32) -> Result<Vec<Event>> {
    let text = vm.sh_ok(&format!(
        "cd {INSTANCES} && echo > {instance}/trace && sleep 2 && echo 1 > {instance}/tracing_on &&
         sleep {seconds} && echo 0 > {instance}/tracing_on && cat {instance}/trace"
    ))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Event>> {
    let form = Regex::new(r"(?m)\[(\d+)\] +\S+ +(\d+): (\w+): (.*)$")?;
    let mut events = Vec::new();
    for part in form.captures_iter(text) {
        events.push(Event {
            cpu: part[1].parse()?,
            stamp: part[2].parse()?,
            name: part[3].to_owned(),
            rest: part[4].to_owned(),
        });
    }
    ensure!(!events.is_empty(), "nothing was recorded: {text}");
    Ok(events)
}

/// What recording one event takes: two instances record the same one, one after
/// the other.
fn cost_of_event(vm: &Vm) -> Result<u64> {
    vm.sh_ok(&format!(
        "cd {INSTANCES} && echo 1 > a/tracing_on && echo 1 > b/tracing_on && sleep 10 &&
         echo 0 > a/tracing_on && echo 0 > b/tracing_on"
    ))?;
    let read = |instance| -> Result<Vec<Event>> {
        let mut events = parse(&vm.sh_ok(&format!("cat {INSTANCES}/{instance}/trace"))?)?;
        events.retain(|event| event.name == "hrtimer_expire_entry");
        Ok(events)
    };
    let (first, second) = (read("a")?, read("b")?);
    let mut costs: Vec<u64> = Vec::new();
    for event in &second {
        let twin = first
            .iter()
            .find(|twin| twin.cpu == event.cpu && twin.rest == event.rest);
        costs.extend(twin.and_then(|twin| event.stamp.checked_sub(twin.stamp)));
    }
    median(&costs)
}

/// Instructions of each part of each heartbeat.
#[derive(Default)]
struct PartCosts {
    callback: Vec<u64>,
    interrupt: Vec<u64>,
    stopper: Vec<u64>,
}

impl PartCosts {
    fn of(events: &[Event], event_cost: u64) -> Result<Self> {
        let mut costs = Self::default();
        for cpu in 0..2 {
            let (mut interrupt, mut callback, mut stopper) = (None, None, None);
            // Timers that expired in this interrupt: ours, others.
            let (mut ours, mut others) = (0, 0);
            for event in events.iter().filter(|event| event.cpu == cpu) {
                let since = |start: Option<u64>, events| {
                    Some(
                        event
                            .stamp
                            .checked_sub(start?)?
                            .saturating_sub(events * event_cost),
                    )
                };
                match event.name.as_str() {
                    "local_timer_entry" => {
                        interrupt = Some(event.stamp);
                        (ours, others) = (0, 0);
                    }
                    "hrtimer_expire_entry" => {
                        let whose = ["function=watchdog_timer_fn", "vigil"];
                        // The timer that vigil has for hung tasks runs only while
                        // something is watched.
                        if whose.iter().any(|word| event.rest.contains(word)) {
                            callback = Some(event.stamp);
                            ours += 1;
                        } else {
                            others += 1;
                        }
                    }
                    "hrtimer_expire_exit" => costs.callback.extend(since(callback.take(), 1)),
                    "local_timer_exit" if ours == 1 && others == 0 => {
                        costs.interrupt.extend(since(interrupt.take(), 3));
                    }
                    "sched_switch" if event.rest.contains("next_comm=migration/") => {
                        stopper = Some(event.stamp);
                    }
                    "sched_switch" => costs.stopper.extend(since(stopper.take(), 1)),
                    _ => {}
                }
            }
        }
        let least = SECONDS as usize;
        ensure!(
            costs.callback.len() > least && costs.stopper.len() > least,
            "too few heartbeats: {} and {}",
            costs.callback.len(),
            costs.stopper.len()
        );
        Ok(costs)
    }
}

fn median(all: &[u64]) -> Result<u64> {
    let mut all = all.to_vec();
    all.sort_unstable();
    all.get(all.len() / 2).copied().context("nothing to count")
}

fn figure(all: &[u64]) -> Result<String> {
    let median = median(all)?;
    let (least, most) = (all.iter().min(), all.iter().max());
    Ok(format!(
        "{median} ({}, {})",
        least.copied().unwrap_or_default(),
        most.copied().unwrap_or_default()
    ))
}

/// Memory for each CPU: what the module says, and the section of its C part.
fn bytes_per_cpu(vm: &Vm) -> Result<()> {
    vm.load("")?;
    let status = vm.read("/sys/kernel/debug/vigil/status")?;
    vm.unload()?;
    let line = format!("{}: ", BYTES_PER_CPU.name);
    let rust: u64 = status
        .lines()
        .find_map(|other| other.strip_prefix(&line))
        .context("no memory in the status")?
        .parse()?;
    let module = vm.artifacts().file("vigil.ko").context("no vigil.ko")?;
    let sections = Command::new("readelf").arg("-SW").arg(module).output()?;
    let sections = String::from_utf8_lossy(&sections.stdout).into_owned();
    let size = Regex::new(r"\.data\.\.percpu +PROGBITS +\w+ +\w+ +(\w+)")?
        .captures(&sections)
        .with_context(|| format!("no per-CPU section in {sections}"))?;
    let c = u64::from_str_radix(&size[1], 16)?;
    println!(
        "bytes for each CPU: {rust} and {c} in per-CPU variables, {} in all",
        rust + c
    );
    Ok(())
}
