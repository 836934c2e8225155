// SPDX-License-Identifier: GPL-2.0
//! The kernel's trace events, stamped with the time-stamp counter, in instances of their own.

use crate::{
    guest,
    results::{Outcome, Spread},
};
use anyhow::{ensure, Result};
use regex::Regex;
use vigil_vm::{Arch, Artifacts, Vm};

const INSTANCES: &str = "/sys/kernel/tracing/instances";

const EXPIRE_ENTRY: &str = "timer/hrtimer_expire_entry";

/// The outcome of a part that counts instructions by the stamps of events, where they do not.
pub(crate) fn left_out(artifacts: &Artifacts) -> Result<Option<Outcome>> {
    let why = "only the tracing clock of x86-64 counts instructions";
    Ok((artifacts.arch()? != Arch::X86_64).then(|| Outcome::LeftOut(why.to_owned())))
}

/// A tracing instance of a guest. It records between [`Self::start`] and [`Self::stop`].
pub(crate) struct Instance<'a> {
    vm: &'a Vm,
    name: &'static str,
}

impl<'a> Instance<'a> {
    /// Makes an instance for these events. `kib`: of its buffer, for each CPU. `filters`: which
    /// ones of an event are recorded.
    pub(crate) fn new(
        vm: &'a Vm,
        name: &'static str,
        kib: u32,
        events: &[&str],
        filters: &[(&str, &str)],
    ) -> Result<Self> {
        let this = Self { vm, name };
        vm.sh_ok(&format!("mkdir {INSTANCES}/{name}"))?;
        this.sh(&format!(
            "echo 0 > tracing_on && echo x86-tsc > trace_clock && echo {kib} > buffer_size_kb"
        ))?;
        for (event, filter) in filters {
            this.sh(&format!("echo '{filter}' > events/{event}/filter"))?;
        }
        for event in events {
            this.sh(&format!("echo 1 > events/{event}/enable"))?;
        }
        Ok(this)
    }

    /// Runs commands in its folder.
    fn sh(&self, script: &str) -> Result<String> {
        let name = self.name;
        let run = self.vm.sh_ok(&format!("cd {INSTANCES}/{name} && {script}"));
        Ok(run?)
    }

    /// Forgets what was recorded, and records.
    pub(crate) fn start(&self) -> Result<()> {
        self.sh("echo > trace && echo 1 > tracing_on").map(drop)
    }

    /// Records no more; returns what was recorded since the start, in its order.
    pub(crate) fn stop(&self) -> Result<Vec<Event>> {
        self.sh("echo 0 > tracing_on")?;
        let lost = self.sh("grep -h -e overrun -e dropped per_cpu/cpu*/stats")?;
        ensure!(
            lost.lines().all(|line| line.ends_with(": 0")),
            "events were lost: {lost}"
        );
        parse(&self.sh("cat trace")?)
    }

    /// Records while a script runs that is alone ([`guest::alone`]); returns its output and the
    /// events.
    pub(crate) fn while_alone(&self, script: &str) -> Result<(String, Vec<Event>)> {
        let on = format!("{INSTANCES}/{}/tracing_on", self.name);
        self.sh("echo > trace")?;
        let script = format!("echo 1 > {on}; {script}; status=$?; echo 0 > {on}; exit $status");
        let output = guest::alone(self.vm, &script)?;
        Ok((output, self.stop()?))
    }

    /// What comes between [`Self::start`] and [`Self::stop`], for so many seconds.
    pub(crate) fn record(&self, seconds: u32) -> Result<Vec<Event>> {
        self.start()?;
        self.vm.sh_ok(&format!("sleep {seconds}"))?;
        self.stop()
    }

    /// Takes it away: its events cost nothing any more.
    pub(crate) fn remove(self) -> Result<()> {
        self.sh("echo 0 > events/enable")?;
        let name = self.name;
        self.vm.sh_ok(&format!("rmdir {INSTANCES}/{name}"))?;
        Ok(())
    }
}

/// An event.
pub(crate) struct Event {
    pub(crate) cpu: u32,
    /// The time-stamp counter.
    pub(crate) stamp: u64,
    pub(crate) name: String,
    /// Its fields.
    pub(crate) rest: String,
}

/// The events of a file `trace`.
pub(crate) fn parse(text: &str) -> Result<Vec<Event>> {
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

/// Makes an instance for what heartbeats are made of: the interrupts of the local timer, the timers
/// that expire, and the runs of the CPUs' stoppers. `kib` as for [`Instance::new`]. Returns as well by
/// how much the time-stamp counter grows while one event is recorded.
pub(crate) fn of_heartbeats(vm: &Vm, kib: u32) -> Result<(Instance<'_>, u64)> {
    let events = [
        EXPIRE_ENTRY,
        "timer/hrtimer_expire_exit",
        "irq_vectors/local_timer_entry",
        "irq_vectors/local_timer_exit",
        "sched/sched_switch",
    ];
    let stoppers = "prev_comm ~ \"migration/*\" || next_comm ~ \"migration/*\"";
    let all = Instance::new(vm, "a", kib, &events, &[("sched/sched_switch", stoppers)])?;
    // Made later, it records an event behind the first one.
    let again = Instance::new(vm, "b", kib, &[EXPIRE_ENTRY], &[])?;
    let cost = cost_of_event(&all, &again)?;
    again.remove()?;
    Ok((all, cost))
}

/// By how much the time-stamp counter grows while one event is recorded: `second` records
/// [`EXPIRE_ENTRY`] behind `first`, which was made before it.
fn cost_of_event(first: &Instance<'_>, second: &Instance<'_>) -> Result<u64> {
    first.start()?;
    second.start()?;
    first.vm.sh_ok("sleep 10")?;
    let (first, second) = (first.stop()?, second.stop()?);
    let mut costs: Vec<u64> = Vec::new();
    for event in &second {
        let twin = first.iter().find(|twin| {
            twin.name == event.name && twin.cpu == event.cpu && twin.rest == event.rest
        });
        costs.extend(twin.and_then(|twin| event.stamp.checked_sub(twin.stamp)));
    }
    Ok(Spread::of_counts(&costs)?.median as u64)
}
