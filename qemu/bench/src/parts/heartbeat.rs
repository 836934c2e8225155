// SPDX-License-Identifier: GPL-2.0
//! How many instructions a heartbeat takes: the timer interrupt that comes to
//! each CPU every sample period, and the work that the CPU's stopper does for it.
//!
//! QEMU can make the guest's clocks count instructions, one a nanosecond. The
//! kernel's own trace events, stamped with the time-stamp counter, then tell how
//! many lie between two of them. What recording an event takes is measured by
//! recording the same one twice, and taken off.

use crate::{
    guest,
    results::{Bound, Cell, Measured, Outcome, Spread, Table},
    trace::{self, Event},
};
use anyhow::{ensure, Context, Result};
use vigil_vm::{Artifacts, Vm};

/// Guest time of one measurement.
const SECONDS: u32 = 40;

/// Who has a heartbeat, with which parameters of vigil, and how many thousandths of the in-tree one it
/// may take.
pub(super) const MODES: [(&str, Option<&str>, f64); 3] = [
    ("in-tree, soft lockups", None, 1.0),
    // As close above what it takes as thousandths are.
    ("vigil, soft lockups", Some("nmi_watchdog=0"), 1.003),
    ("vigil, soft and hard lockups", Some(""), 1.05),
];

pub(super) fn run(artifacts: &Artifacts) -> Result<Outcome> {
    if let Some(left_out) = trace::left_out(artifacts)? {
        return Ok(left_out);
    }
    let vm = guest::boot(guest::counting_for("heartbeat"))?;
    measure(&vm, SECONDS).map(Outcome::Measured)
}

/// Measures in a guest of [`crate::counting`] with two CPUs, for so many seconds each.
///
/// # Errors
///
/// If something cannot be measured.
pub fn measure(vm: &Vm, seconds: u32) -> Result<Measured> {
    let (event, heartbeats) = all(vm, 2, seconds)?;
    let caption = format!(
        "Instructions: median (least, most). What recording an event takes, {event} instructions, is taken off."
    );
    let columns = [
        "",
        "callback of the timer",
        "whole interrupt",
        "stopper, from switch to switch",
        "together",
    ];
    let mut table = Table::new(caption, columns);
    let in_tree = heartbeats.first().context("no heartbeat")?.total()?;
    for (heartbeat, (name, vigil, most)) in heartbeats.iter().zip(MODES) {
        println!("{name:30} {} instructions", heartbeat.total()?);
        let says = "a heartbeat, times the in-tree one";
        let bound = vigil.map(|_| {
            let id = format!("heartbeat: {name}");
            let value = heartbeat.total()? as f64 / in_tree as f64;
            Ok(Bound::new(id, format!("{name}: {says}"), value, most))
        });
        let cells = [
            Cell::text(name),
            Cell::Spread(Spread::of_counts(&heartbeat.callback)?, 0),
            Cell::Spread(Spread::of_counts(&heartbeat.interrupt)?, 0),
            Cell::Spread(Spread::of_counts(&heartbeat.stopper)?, 0),
            Cell::Count(heartbeat.total()?),
        ];
        let bounds: Result<Vec<Bound>> = bound.into_iter().collect();
        table.row(cells, bounds?);
    }
    Ok(Measured {
        tables: vec![table],
        plots: Vec::new(),
    })
}

/// What recording an event takes, and a heartbeat in each of [`MODES`] on so many CPUs, in instructions:
/// interrupt and stopper together.
pub(super) fn totals(vm: &Vm, cpus: u32, seconds: u32) -> Result<(u64, Vec<u64>)> {
    let (event, heartbeats) = all(vm, cpus, seconds)?;
    let totals: Result<Vec<u64>> = heartbeats.iter().map(PartCosts::total).collect();
    Ok((event, totals?))
}

/// The heartbeats of each mode, and what recording an event takes.
fn all(vm: &Vm, cpus: u32, seconds: u32) -> Result<(u64, Vec<PartCosts>)> {
    // For each CPU.
    let kib = if cpus > 2 { 256 } else { 8192 };
    let (all, event) = trace::of_heartbeats(vm, kib)?;
    let mut heartbeats = Vec::new();
    for (_, vigil, _) in MODES {
        let in_tree = u8::from(vigil.is_none());
        vm.sh_ok(&format!(
            "sysctl -q kernel.watchdog_thresh=1 kernel.soft_watchdog={in_tree}"
        ))?;
        if let Some(parameters) = vigil {
            vm.load(&format!("watchdog_thresh=1 {parameters}"))?;
        }
        vm.sh_ok("sleep 2")?;
        let events = all.record(seconds)?;
        heartbeats.push(PartCosts::of(&events, event, cpus, seconds)?);
        if vigil.is_some() {
            vm.unload()?;
        }
    }
    all.remove()?;
    vm.sh_ok("sysctl -q kernel.watchdog_thresh=10 kernel.soft_watchdog=1")?;
    Ok((event, heartbeats))
}

/// Instructions of each part of each heartbeat.
#[derive(Debug, Default)]
struct PartCosts {
    callback: Vec<u64>,
    interrupt: Vec<u64>,
    stopper: Vec<u64>,
}

impl PartCosts {
    /// The median of a heartbeat's interrupt, and of the stopper.
    fn total(&self) -> Result<u64> {
        Ok(median(&self.interrupt)? + median(&self.stopper)?)
    }

    fn of(events: &[Event], event_cost: u64, cpus: u32, seconds: u32) -> Result<Self> {
        let mut costs = Self::default();
        for cpu in 0..cpus {
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
        let least = seconds as usize;
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
    Ok(Spread::of_counts(all)?.median as u64)
}
