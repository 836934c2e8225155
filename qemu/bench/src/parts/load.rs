// SPDX-License-Identifier: GPL-2.0
//! What loading and unloading take: the whole system call, the module's own init or exit in it, and
//! for how long the other CPU is held meanwhile. Beside vigil the module of the tests, whose init and
//! exit are short: the rest is what the kernel's loader takes for any module of its size.
//!
//! The virtual CPUs run one at a time, and the guest's clocks count the instructions of both: what
//! passes while not both are idle is the number of instructions that they execute, whoever does.

use crate::{
    guest,
    results::{Cell, Measured, Outcome, Spread, Table},
    trace::{self, Event, Instance},
};
use anyhow::{ensure, Context, Result};
use std::{collections::BTreeMap, fs, time::Duration};
use vigil_vm::Artifacts;

/// The modules, with their default settings.
const MODULES: [&str; 2] = ["vigil_provoke", "vigil"];

/// How often each is loaded and unloaded.
const ROUNDS: usize = 5;

/// The CPU of insmod and rmmod; the other one is idle but for what they ask it to do.
const CPU: u32 = 1;
const OTHER: u32 = 0;

const NAME: &str = "load";

/// `__NR_init_module`, `__NR_delete_module` and `__NR_finit_module` of x86-64.
const LOAD: [&str; 2] = ["NR 175 ", "NR 313 "];
const UNLOAD: [&str; 1] = ["NR 176 "];
const CALLS: &str = "id == 175 || id == 176 || id == 313";

pub(super) fn run(artifacts: &Artifacts) -> Result<Outcome> {
    if let Some(left_out) = trace::left_out(artifacts)? {
        return Ok(left_out);
    }
    let vm = guest::boot(
        guest::counting_for(NAME)
            .cpus(2)
            .boot_limit(Duration::from_secs(3600)),
    )?;
    let (heartbeats, event_cost) = trace::of_heartbeats(&vm, 1024)?;
    heartbeats.remove()?;
    let events = [
        "raw_syscalls/sys_enter",
        "raw_syscalls/sys_exit",
        "initcall/initcall_start",
        "initcall/initcall_finish",
        "notifier/notifier_run",
        "irq_vectors/call_function_entry",
        "irq_vectors/call_function_exit",
        "irq_vectors/call_function_single_entry",
        "irq_vectors/call_function_single_exit",
        "sched/sched_switch",
    ];
    let filters = [
        ("raw_syscalls/sys_enter", CALLS),
        ("raw_syscalls/sys_exit", CALLS),
    ];
    let instance = Instance::new(&vm, NAME, 8192, &events, &filters)?;
    let columns = [
        "",
        "bytes of the file",
        "instructions of the system call",
        "of these, of the module's own function",
        "nanoseconds in which both CPUs are idle",
        "interrupts of the other CPU",
        "the longest of them",
        "longest run of its stopper",
    ];
    let caption = format!(
        "Median (least, most) of {ROUNDS} times, the last two in instructions. What recording an event takes, {event_cost} \
         instructions, is taken off."
    );
    let mut table = Table::new(caption, columns);
    for module in MODULES {
        let file = format!("{module}.ko");
        let path = artifacts
            .file(&file)
            .with_context(|| format!("no {file}"))?;
        let bytes = fs::metadata(path)?.len();
        let (mut loads, mut unloads) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let events = round(&instance, module)?;
            loads.push(Step::of(&events, &LOAD, INIT, event_cost).context("loading")?);
            unloads.push(Step::of(&events, &UNLOAD, EXIT, event_cost).context("unloading")?);
        }
        for (name, steps) in [("load", loads), ("unload", unloads)] {
            let name = format!("{name} {module}");
            let median = |span: &dyn Fn(&Step) -> Span| {
                let all: Vec<u64> = steps.iter().map(|step| span(step).instructions).collect();
                anyhow::Ok(Spread::of_counts(&all)?.median)
            };
            println!(
                "{name}: {} instructions, {} of its own function",
                median(&|step| step.whole)?,
                median(&|step| step.own)?
            );
            table.row(cells(name, bytes, &steps)?, Vec::new());
        }
    }
    instance.remove()?;
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: Vec::new(),
    }))
}

/// The events at the beginning and at the end of a module's own function, and a word of each. There is one
/// for each function that the kernel calls at init. There are none for exit, which comes soon after the
/// system call's beginning, and before the kernel's notifiers for modules run.
const INIT: [(&str, &str); 2] = [("initcall_start", ""), ("initcall_finish", "")];
const EXIT: [(&str, &str); 2] = [("sys_enter", ""), ("notifier_run", "_module_")];

/// Loads the module and unloads it again; returns what was recorded.
fn round(instance: &Instance<'_>, module: &str) -> Result<Vec<Event>> {
    let script = format!(
        "set -e; taskset -c {CPU} insmod /vm/{module}.ko; sleep 3; taskset -c {CPU} rmmod {module}; sleep 1"
    );
    let (_, events) = instance.while_alone(&script)?;
    Ok(events)
}

fn cells(name: String, bytes: u64, steps: &[Step]) -> Result<Vec<Cell>> {
    let spread = |number: &dyn Fn(&Step) -> u64| {
        let all: Vec<u64> = steps.iter().map(number).collect();
        anyhow::Ok(Cell::Spread(Spread::of_counts(&all)?, 0))
    };
    Ok(vec![
        Cell::text(name),
        Cell::Count(bytes),
        spread(&|step| step.whole.instructions)?,
        spread(&|step| step.own.instructions)?,
        spread(&|step| step.whole.idle)?,
        spread(&|step| step.interrupts.len() as u64)?,
        spread(&|step| longest(&step.interrupts))?,
        spread(&|step| longest(&step.stoppers))?,
    ])
}

fn longest(all: &[u64]) -> u64 {
    all.iter().copied().max().unwrap_or(0)
}

/// Loading or unloading a module once.
#[derive(Debug, Default, PartialEq)]
struct Step {
    /// The system call.
    whole: Span,
    /// The module's own function in it.
    own: Span,
    /// On the other CPU: instructions of each interrupt by which a CPU asks it to call a function, and
    /// of each run of its stopper.
    interrupts: Vec<u64>,
    stoppers: Vec<u64>,
}

/// What lies between two events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Span {
    /// Of both CPUs.
    instructions: u64,
    /// Nanoseconds in which both are idle. Interrupts that come then are part of it.
    idle: u64,
}

impl Step {
    /// Of what was recorded in a round: the system call of one of these numbers, and the function
    /// between two events.
    fn of(
        events: &[Event],
        calls: &[&str],
        [start, finish]: [(&str, &str); 2],
        event_cost: u64,
    ) -> Result<Self> {
        let call = |name: &str| {
            let is_it = |event: &&Event| {
                event.name == name && calls.iter().any(|call| event.rest.starts_with(call))
            };
            let mut found = events.iter().filter(is_it).map(|event| event.stamp);
            let first = found.next().with_context(|| format!("no {name}"))?;
            ensure!(found.next().is_none(), "more than one {name}");
            Ok(first)
        };
        let (from, to) = (call("sys_enter")?, call("sys_exit")?);
        let inside: Vec<&Event> = events
            .iter()
            .filter(|event| (from..=to).contains(&event.stamp))
            .collect();
        let own = |(name, word): (&str, &str)| {
            let is_it = |event: &&&Event| event.name == name && event.rest.contains(word);
            let found = inside.iter().find(is_it);
            let found = found.with_context(|| format!("no {name}"))?;
            anyhow::Ok(found.stamp)
        };
        let mut step = Self {
            whole: Span::of(events, from, to, event_cost),
            own: Span::of(events, own(start)?, own(finish)?, event_cost),
            ..Self::default()
        };
        let (mut interrupt, mut stopper) = (None, None);
        for event in inside.iter().filter(|event| event.cpu == OTHER) {
            let since = |start: Option<u64>| {
                let passed = event.stamp.checked_sub(start?)?;
                Some(passed.saturating_sub(event_cost))
            };
            match event.name.as_str() {
                "call_function_entry" | "call_function_single_entry" => {
                    interrupt = Some(event.stamp);
                }
                "call_function_exit" | "call_function_single_exit" => {
                    step.interrupts.extend(since(interrupt.take()));
                }
                "sched_switch" if event.rest.contains("next_comm=migration/") => {
                    stopper = Some(event.stamp);
                }
                "sched_switch" => step.stoppers.extend(since(stopper.take())),
                _ => {}
            }
        }
        Ok(step)
    }
}

impl Span {
    /// Between two stamps.
    fn of(events: &[Event], from: u64, to: u64, event_cost: u64) -> Self {
        let mut span = Self::default();
        // Whether a CPU is idle, as its last switch says; the first one says what was before.
        let mut is_idle: BTreeMap<u32, bool> = BTreeMap::new();
        for event in events.iter().filter(|event| event.name == "sched_switch") {
            let was_idle = event.rest.contains("prev_pid=0 ");
            is_idle.entry(event.cpu).or_insert(was_idle);
        }
        let mut last = 0;
        for event in events {
            let passed = event.stamp.min(to).saturating_sub(last.max(from));
            let all_are_idle = is_idle.values().all(|is_idle| *is_idle);
            if all_are_idle {
                span.idle += passed;
            } else {
                span.instructions += passed.saturating_sub(if passed > 0 { event_cost } else { 0 });
            }
            if event.name == "sched_switch" {
                is_idle.insert(event.cpu, event.rest.contains("next_pid=0 "));
            }
            last = event.stamp;
        }
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_is_not_counted() {
        let events = trace::parse(
            "\
 insmod-9 [001] ..... 1000: sys_enter: NR 313 (3, 0, 0, 0, 0, 0)
 insmod-9 [001] ..... 1500: initcall_start: func=init_module+0x0/0x10 [vigil]
 <idle>-0 [000] d.h1. 1600: call_function_entry: vector=252
 <idle>-0 [000] d.h1. 1650: call_function_exit: vector=252
 insmod-9 [001] d..2. 2000: sched_switch: prev_comm=insmod prev_pid=9 prev_prio=120 prev_state=D ==> next_comm=swapper/1 next_pid=0 next_prio=120
 <idle>-0 [000] d..2. 5000: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=migration/0 next_pid=5 next_prio=0
 migration/0-5 [000] d..2. 5200: sched_switch: prev_comm=migration/0 prev_pid=5 prev_prio=0 prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120
 <idle>-0 [001] d..2. 6000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=insmod next_pid=9 next_prio=120
 insmod-9 [001] ..... 6100: initcall_finish: func=init_module+0x0/0x10 [vigil] ret=0
 insmod-9 [001] ..... 7000: sys_exit: NR 313 = 0
",
        )
        .unwrap();
        // An event takes 10.
        let step = Step::of(&events, &LOAD, INIT, 10).unwrap();
        let expected = Step {
            whole: Span {
                instructions: (1000 + 200 + 1000) - 7 * 10,
                idle: 3000 + 800,
            },
            own: Span {
                instructions: (500 + 200 + 100) - 5 * 10,
                idle: 3000 + 800,
            },
            interrupts: vec![40],
            stoppers: vec![190],
        };
        assert_eq!(step, expected);
        assert!(Step::of(&events, &UNLOAD, EXIT, 10).is_err());
    }

    #[test]
    fn exit_ends_before_the_notifiers_for_modules() {
        let events = trace::parse(
            "\
 rmmod-9 [001] ..... 1000: sys_enter: NR 176 (0, 800, 0, 0, 0, 0)
 rmmod-9 [001] ..... 1500: notifier_run: other_notify
 rmmod-9 [001] ..... 2000: notifier_run: kprobes_module_callback
 rmmod-9 [001] ..... 2100: notifier_run: jump_label_module_notify
 rmmod-9 [001] ..... 3000: sys_exit: NR 176 = 0
 rmmod-9 [001] d..2. 4000: sched_switch: prev_comm=rmmod prev_pid=9 ==> next_comm=swapper/1 next_pid=0
",
        )
        .unwrap();
        let step = Step::of(&events, &UNLOAD, EXIT, 10).unwrap();
        let instructions = (step.whole.instructions, step.own.instructions);
        assert_eq!(instructions, (2000 - 4 * 10, 1000 - 2 * 10));
    }
}
