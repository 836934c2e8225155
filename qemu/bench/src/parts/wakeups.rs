// SPDX-License-Identifier: GPL-2.0
//! How often an idle CPU takes a timer interrupt, and for whom: with the in-tree detectors, with
//! vigil beside them, and with vigil alone.
//!
//! The guest's agent is stopped meanwhile, so that nothing runs but the kernel. Each timer that
//! expires leaves a trace event, and is put down to the timer interrupt before it on the same CPU:
//! high resolution timers expire in the interrupt, others in the softirq behind it.

use crate::{
    guest,
    results::{Bound, Cell, Measured, Outcome, Table},
    trace::{Event, Instance},
};
use anyhow::{ensure, Context, Result};
use vigil_logic::messages::status::hung_task as key;
use vigil_vm::{Arch, Artifacts, Vm};

const STATUS: &str = "/sys/kernel/debug/vigil/status";

const CPUS: u32 = 2;

/// Guest time of one measurement.
const MINUTES: u32 = 6;

/// Whose detectors watch.
struct Mode {
    name: &'static str,
    in_tree: bool,
    /// The parameters of vigil.
    vigil: Option<&'static str>,
}

const MODES: [Mode; 6] = [
    Mode {
        name: "in-tree",
        in_tree: true,
        vigil: None,
    },
    Mode {
        name: "in-tree and vigil",
        in_tree: true,
        vigil: Some(""),
    },
    Mode {
        name: "in-tree and vigil, lockups only",
        in_tree: true,
        vigil: Some("hung_task_timeout_secs=0"),
    },
    Mode {
        name: "in-tree and vigil, hung tasks only",
        in_tree: true,
        vigil: Some("watchdog=0"),
    },
    Mode {
        name: "vigil",
        in_tree: false,
        vigil: Some(""),
    },
    Mode {
        name: "none",
        in_tree: false,
        vigil: None,
    },
];

pub(super) fn run(_: &Artifacts) -> Result<Outcome> {
    let vm = guest::boot(guest::counting_for("wakeups").cpus(CPUS))?;
    if vm.arch() != Arch::X86_64 {
        let why = "only x86-64 has trace events for the interrupt of the local timer";
        return Ok(Outcome::LeftOut(why.to_owned()));
    }
    let columns = [
        "",
        "timer interrupts",
        "with the in-tree watchdog's timer",
        "with vigil's heartbeat",
        "for vigil's heartbeat alone",
        "khungtaskd woke",
        "`vigild/hung` woke",
        "vigil's looks",
        "other wake-ups for hung tasks",
        "`vigild/info*` woke",
    ];
    let mut table = Table::new(
        format!(
            "In {MINUTES} minutes: the first four for each CPU and minute, the others for each minute."
        ),
        columns,
    );
    let instance = Instance::new(
        &vm,
        "wakeups",
        8192,
        &[
            "irq_vectors/local_timer_entry",
            "timer/hrtimer_expire_entry",
            "timer/timer_expire_entry",
            "sched/sched_wakeup",
        ],
        &[(
            "sched/sched_wakeup",
            "comm ~ \"vigild*\" || comm == \"khungtaskd\"",
        )],
    )?;
    for mode in &MODES {
        mode.begin(&vm)?;
        let (output, events) = instance.while_alone(&mode.script())?;
        let looks = mode.looks(&output)?;
        mode.end(&vm)?;
        let seen = Seen::of(&events);
        println!("{}: {seen:?}, {looks} looks", mode.name);
        ensure!(
            mode.in_tree == (seen.in_tree > 0) && mode.has_heartbeat() == (seen.vigil > 0),
            "{}: not the timers that are expected: {seen:?}",
            mode.name
        );
        // At the borders one may fall on either side; more would hide wake-ups that are none.
        ensure!(
            looks <= seen.vigild + 1,
            "{}: {looks} looks, but {} wake-ups",
            mode.name,
            seen.vigild
        );
        table.row(mode.cells(&seen, looks), mode.bounds(&seen, looks));
    }
    instance.remove()?;
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: Vec::new(),
    }))
}

impl Mode {
    /// Switches the detectors.
    fn begin(&self, vm: &Vm) -> Result<()> {
        if !self.in_tree {
            vm.sh_ok("sysctl -q kernel.watchdog=0 kernel.hung_task_timeout_secs=0")?;
        }
        if let Some(parameters) = self.vigil {
            vm.load(parameters)?;
        }
        // What is only done at first is over then.
        vm.sh_ok("sleep 180")?;
        Ok(())
    }

    fn end(&self, vm: &Vm) -> Result<()> {
        if self.vigil.is_some() {
            vm.unload()?;
        }
        vm.sh_ok("sysctl -q kernel.watchdog=1 kernel.hung_task_timeout_secs=120")?;
        Ok(())
    }

    fn has_heartbeat(&self) -> bool {
        self.vigil
            .is_some_and(|parameters| !parameters.contains("watchdog=0"))
    }

    fn has_looks(&self) -> bool {
        self.vigil
            .is_some_and(|parameters| !parameters.contains("timeout_secs=0"))
    }

    /// Sleeps; prints how often vigil has looked before and after. Between a command of the harness and
    /// the script's beginning an idle guest's clock may go on by many seconds.
    fn script(&self) -> String {
        let sleep = format!("sleep {}", MINUTES * 60);
        if self.vigil.is_none() {
            return sleep;
        }
        let keys = [key::CHECKS.name, key::TRACKED_ONLY_CHECKS.name];
        let read = format!("grep -e '^{}: ' -e '^{}: ' {STATUS}", keys[0], keys[1]);
        format!("{read}; {sleep}; {read}")
    }

    /// How often vigil has looked meanwhile, by the script's output.
    fn looks(&self, output: &str) -> Result<u64> {
        if self.vigil.is_none() {
            return Ok(0);
        }
        let counts: Result<Vec<u64>, _> = output
            .lines()
            .map(|line| line.rsplit(' ').next().unwrap_or_default().parse())
            .collect();
        let counts: Option<[u64; 4]> = counts.with_context(|| output.to_owned())?.try_into().ok();
        let [checks, due, checks_after, due_after] =
            counts.with_context(|| format!("not four counts: {output}"))?;
        Ok(checks_after + due_after - checks - due)
    }

    fn cells(&self, seen: &Seen, looks: u64) -> Vec<Cell> {
        let each_cpu = |count: u64| Cell::Number(for_each_cpu(count), 2);
        let each_minute = |count: u64| Cell::Number(for_each_minute(count), 2);
        vec![
            Cell::text(self.name),
            each_cpu(seen.interrupts),
            each_cpu(seen.in_tree),
            each_cpu(seen.vigil),
            each_cpu(seen.vigil_alone),
            each_minute(seen.khungtaskd),
            each_minute(seen.vigild),
            each_minute(looks),
            each_minute(seen.other_wakeups(looks)),
            each_minute(seen.vigil_others),
        ]
    }

    /// For vigil beside the tree.
    fn bounds(&self, seen: &Seen, looks: u64) -> Vec<Bound> {
        let mut bounds = Vec::new();
        if self.in_tree && self.has_heartbeat() {
            let says = "timer interrupts of a CPU in a minute for vigil's heartbeat alone";
            let says = format!("{}: {says}", self.name);
            let value = for_each_cpu(seen.vigil_alone);
            bounds.push(Bound::new("wakeups: heartbeat", says, value, 0.0));
        }
        if self.in_tree && self.has_looks() {
            let says = "wake-ups in a minute for hung tasks, but for the looks";
            let says = format!("{}: {says}", self.name);
            let value = for_each_minute(seen.other_wakeups(looks));
            bounds.push(Bound::new("wakeups: hung tasks", says, value, 0.0));
        }
        if self.in_tree && self.vigil.is_some() {
            let says = "wake-ups in a minute of vigil's other threads";
            let says = format!("{}: {says}", self.name);
            let value = for_each_minute(seen.vigil_others);
            bounds.push(Bound::new("wakeups: other threads", says, value, 0.0));
        }
        bounds
    }
}

fn for_each_minute(count: u64) -> f64 {
    count as f64 / f64::from(MINUTES)
}

fn for_each_cpu(count: u64) -> f64 {
    for_each_minute(count) / f64::from(CPUS)
}

/// What was seen on all CPUs.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Timer interrupts.
    interrupts: u64,
    /// Those in which the in-tree watchdog's timer expired.
    in_tree: u64,
    /// Those in which that of vigil's heartbeat expired.
    vigil: u64,
    /// Of those, the ones in which no other timer expired.
    vigil_alone: u64,
    /// Those in which the timer of vigil's pause clock expired.
    pause_clock: u64,
    /// Wake-ups of the threads.
    khungtaskd: u64,
    vigild: u64,
    /// Wake-ups of other threads of vigil.
    vigil_others: u64,
}

/// The timers that expired for an interrupt.
#[derive(Default)]
struct Expired {
    in_tree: bool,
    vigil: bool,
    pause_clock: bool,
    others: bool,
}

impl Seen {
    fn of(events: &[Event]) -> Self {
        let mut seen = Self::default();
        for cpu in 0..CPUS {
            let mut expired = None;
            for event in events.iter().filter(|event| event.cpu == cpu) {
                let has = |word| event.rest.contains(word);
                match event.name.as_str() {
                    "local_timer_entry" => {
                        seen.interrupt(expired.replace(Expired::default()));
                    }
                    "sched_wakeup" if has("comm=khungtaskd ") => seen.khungtaskd += 1,
                    "sched_wakeup" if has("comm=vigild/hung ") => seen.vigild += 1,
                    "sched_wakeup" => seen.vigil_others += 1,
                    // Before the first interrupt nobody knows what it came for.
                    _ => {
                        if let Some(expired) = &mut expired {
                            expired.add(event);
                        }
                    }
                }
            }
            seen.interrupt(expired);
        }
        seen
    }

    fn interrupt(&mut self, expired: Option<Expired>) {
        let Some(expired) = expired else { return };
        self.interrupts += 1;
        self.in_tree += u64::from(expired.in_tree);
        self.vigil += u64::from(expired.vigil);
        let alone = expired.vigil && !(expired.in_tree || expired.pause_clock || expired.others);
        self.vigil_alone += u64::from(alone);
        self.pause_clock += u64::from(expired.pause_clock);
    }

    /// Wake-ups for the detector of hung tasks that are not looks.
    fn other_wakeups(&self, looks: u64) -> u64 {
        self.vigild.saturating_sub(looks) + self.pause_clock
    }
}

impl Expired {
    fn add(&mut self, event: &Event) {
        let is = |word| event.rest.contains(word);
        if is("function=watchdog_timer_fn ") {
            self.in_tree = true;
        } else if is("vigil") && is("PauseClock") {
            self.pause_clock = true;
        } else if is("vigil") {
            self.vigil = true;
        } else {
            self.others = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace;

    #[test]
    fn interrupts_are_put_down_to_timers() {
        let events = trace::parse(
            "\
 <idle>-0 [000] d.h1. 10: local_timer_entry: vector=236
 <idle>-0 [000] d.h1. 11: hrtimer_expire_entry: hrtimer=0000000000000001 function=watchdog_timer_fn now=10
 <idle>-0 [001] d.h1. 12: hrtimer_expire_entry: hrtimer=0000000000000009 function=hrtimer_wakeup now=10
 <idle>-0 [001] d.h1. 20: local_timer_entry: vector=236
 <idle>-0 [001] d.h1. 21: hrtimer_expire_entry: hrtimer=0000000000000002 function=timer_fn::<CpuWatchdog> [vigil] now=20
 <idle>-0 [000] d.h1. 30: local_timer_entry: vector=236
 <idle>-0 [000] d.h1. 31: hrtimer_expire_entry: hrtimer=0000000000000001 function=watchdog_timer_fn now=30
 <idle>-0 [000] d.h1. 32: hrtimer_expire_entry: hrtimer=0000000000000002 function=timer_fn::<CpuWatchdog> [vigil] now=30
 <idle>-0 [000] d.h1. 40: local_timer_entry: vector=236
 <idle>-0 [000] d.h1. 41: hrtimer_expire_entry: hrtimer=0000000000000003 function=tick_nohz_handler now=40
 <idle>-0 [000] d.s2. 42: timer_expire_entry: timer=0000000000000004 function=process_timeout now=7 baseclk=7
 <idle>-0 [000] d.s3. 43: sched_wakeup: comm=vigild/hung pid=70 prio=120 target_cpu=000
 <idle>-0 [000] d.s3. 44: sched_wakeup: comm=khungtaskd pid=30 prio=120 target_cpu=000
 <idle>-0 [001] d.h1. 50: local_timer_entry: vector=236
 <idle>-0 [001] d.h1. 51: hrtimer_expire_entry: hrtimer=0000000000000005 function=PauseClock::run [vigil] now=50
",
        )
        .unwrap();
        let seen = Seen::of(&events);
        let expected = Seen {
            interrupts: 5,
            in_tree: 2,
            vigil: 2,
            vigil_alone: 1,
            pause_clock: 1,
            khungtaskd: 1,
            vigild: 1,
            vigil_others: 0,
        };
        assert_eq!(seen, expected);
        // A look is no extra wake-up; the pause clock is.
        assert_eq!((seen.other_wakeups(1), seen.other_wakeups(0)), (1, 2));
    }
}
