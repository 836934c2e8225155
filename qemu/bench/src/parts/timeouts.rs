// SPDX-License-Identifier: GPL-2.0
//! What the looks at the tasks take in the time of one timeout, with the default settings of both
//! detectors, in the same boot and at the same time: of tasks that sleep interruptibly, of blocked
//! ones, and with CPUs that are busy.
//!
//! vigil looks first when it is loaded. The tasks are blocked by then, so that they are tracked from that
//! look on, and are due with the look a timeout later: sixteen looks come before that. khungtaskd
//! sees them for the first time in its pass meanwhile, and has nothing to report either.

use crate::{
    guest::{self, pid_of, PROVOKE},
    results::{Bound, Cell, Measured, Outcome, Spread, Table},
};
use anyhow::{ensure, Context, Result};
use std::time::Duration;
use vigil_logic::messages::status::hung_task as key;
use vigil_vm::Artifacts;

/// How many threads there are beside the system's own, and how many percent of them are blocked.
const THREADS: u32 = 1000;
const BLOCKED: [u32; 4] = [0, 1, 10, 100];

/// `hung_task_timeout_secs`, as it is by default.
const TIMEOUT: u32 = 120;

/// How many looks come before the one in which the tasks are due: by default the interval is a
/// sixteenth of the timeout.
const LOOKS: u32 = 16;

/// From one look to the next, in hundredths of a second.
const INTERVAL: u32 = TIMEOUT * 100 / LOOKS;

const CPUS: u32 = 2;

const STATUS: &str = "/sys/kernel/debug/vigil/status";

/// A guest.
struct Machine {
    name: &'static str,
    /// Whether each CPU runs a loop, from the first look on.
    is_busy: bool,
    /// An instruction takes 2 to the power of this nanoseconds. The clock of an idle guest skips to its
    /// next timer; busy CPUs execute all that fits into two minutes.
    shift: u32,
}

const MACHINES: [Machine; 2] = [
    Machine {
        name: "idle",
        is_busy: false,
        shift: 0,
    },
    Machine {
        name: "busy",
        is_busy: true,
        shift: 5,
    },
];

pub(super) fn run(_: &Artifacts) -> Result<Outcome> {
    let columns = [
        "CPUs",
        "blocked tasks",
        "khungtaskd's pass",
        "vigil's looks together",
        "times khungtaskd's pass",
        "scans",
        "the first look",
        "another look with a scan",
        "a look without a scan",
    ];
    let mut table = Table::new(
        format!("Instructions of {LOOKS} looks and of one pass; median (least, most)."),
        columns,
    );
    for machine in &MACHINES {
        machine.measure(&mut table)?;
    }
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: Vec::new(),
    }))
}

impl Machine {
    /// Adds a row for each share of blocked tasks.
    fn measure(&self, table: &mut Table) -> Result<()> {
        let config = guest::counting_for(&format!("timeouts-{}", self.name))
            .instructions_take(self.shift)
            .cpus(CPUS)
            .mem_mib(1024)
            .boot_limit(Duration::from_secs(3600));
        let vm = guest::boot(config)?;
        vm.insmod("vigil_provoke.ko", "")?;
        let in_tree_pid = pid_of(&vm, guest::IN_TREE)?;
        for percent in BLOCKED {
            let blocked = THREADS * percent / 100;
            let others = THREADS - blocked;
            let job = vm.spawn(&format!("exec /sbin/agent threads {others}"))?;
            job.wait_output("standing", vm.time_left())?;
            let output = guest::alone(&vm, &self.script(blocked, in_tree_pid))?;
            job.kill()?;
            job.wait(vm.time_left())?;
            let seen = Seen::parse(&output, self.shift).with_context(|| output.clone())?;
            println!("{}, {blocked} blocked: {seen:?}", self.name);
            table.row(
                self.cells(blocked, &seen)?,
                vec![self.bound(percent, &seen)],
            );
        }
        Ok(())
    }

    /// Makes the tasks, loads vigil, and prints what [`Seen::parse`] reads. All of it in one script: while
    /// the harness waits for an answer an idle guest's clock may go on by many seconds. Half a timeout
    /// after khungtaskd's last pass vigil is loaded; then nothing of the two comes at the same time. Loops
    /// begin after that: beside them insmod takes as long as several looks. vigil's thread is looked for by
    /// its name alone: of a busy guest's 1,000 blocked tasks ps would read for most of an interval.
    ///
    /// Each look is asked for two thirds of an interval after it is expected. An interval begins with the look
    /// before, and the kernel's timer wheel ends one of 7.5 s up to 64 jiffies late: the last look may be
    /// 15 times that late, which is half an interval.
    fn script(&self, blocked: u32, in_tree_pid: u32) -> String {
        let (make, end) = match blocked {
            0 => (String::new(), String::new()),
            _ => (
                format!("echo mutex count={blocked} secs=3600 > {PROVOKE}/run"),
                format!("echo all > {PROVOKE}/end"),
            ),
        };
        let busy = match self.is_busy {
            true => format!(
                "for cpu in $(seq 0 {}); do
                     taskset -c $cpu sh -c 'while :; do :; done' < /dev/null > /dev/null 2>&1 &
                     loops=\"$loops $!\"
                 done",
                CPUS - 1
            ),
            false => String::new(),
        };
        let [checks, scans, hung] = [key::CHECKS, key::SCANS, key::HUNG_TASKS].map(|key| key.name);
        format!(
            "set -e
             now() {{ read up rest < /proc/uptime; now=${{up%.*}}${{up#*.}}; }}
             sleep_until() {{
                 now; left=$(($1 - now))
                 sleep $((left / 100)).$(printf %02d $((left % 100)))
             }}
             khungtaskd() {{ read run rest < /proc/{in_tree_pid}/schedstat; echo $run; }}
             loops=
             sysctl -q kernel.hung_task_timeout_secs=1; sleep 3
             sysctl -q kernel.hung_task_timeout_secs={TIMEOUT}; sleep {half}
             {make}
             khungtaskd
             insmod /vm/vigil.ko
             now; next=$((now + 2 * {INTERVAL} / 3))
             thread=$(grep -lsx {vigil} /proc/[0-9]*/comm) || [ -n \"$thread\" ]
             {busy}
             for look in $(seq {LOOKS}); do
                 sleep_until $next; next=$((next + {INTERVAL}))
                 read run rest < ${{thread%/comm}}/schedstat; echo $run
                 sed -n -e 's/^{checks}: //p' -e 's/^{scans}: //p' -e 's/^{hung}: //p' {STATUS}
             done
             khungtaskd
             [ -z \"$loops\" ] || kill $loops
             rmmod vigil
             {end}",
            half = TIMEOUT / 2,
            vigil = guest::VIGIL,
        )
    }

    fn cells(&self, blocked: u32, seen: &Seen) -> Result<Vec<Cell>> {
        let spread = |all: &[u64]| match all {
            [] => Ok(Cell::None),
            _ => anyhow::Ok(Cell::Spread(Spread::of_counts(all)?, 0)),
        };
        Ok(vec![
            Cell::text(self.name),
            Cell::text(format!("{blocked} of {THREADS}")),
            Cell::Count(seen.in_tree),
            Cell::Count(seen.together()),
            Cell::Number(seen.ratio(), 2),
            Cell::Count(seen.scans()),
            Cell::Count(seen.first),
            spread(&seen.with_scan)?,
            spread(&seen.without)?,
        ])
    }

    fn bound(&self, percent: u32, seen: &Seen) -> Bound {
        let id = match (self.is_busy, percent) {
            (true, _) => "timeouts: busy",
            (false, 0) => "timeouts: idle",
            (false, _) => "timeouts: blocked",
        };
        let says = format!(
            "{} CPUs, {percent} % of the tasks blocked: looks of a timeout, times khungtaskd's pass",
            self.name
        );
        Bound::new(id, says, seen.ratio(), 1.0)
    }
}

/// What a timeout took, in instructions.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// khungtaskd's pass.
    in_tree: u64,
    /// vigil's first look, which scans.
    first: u64,
    /// The others.
    with_scan: Vec<u64>,
    without: Vec<u64>,
}

impl Seen {
    /// The numbers that the script prints: khungtaskd's run time; for each look that of vigil's thread,
    /// and of the status its hung tasks, checks and scans, in the order that they have there; khungtaskd's
    /// run time again.
    fn parse(output: &str, shift: u32) -> Result<Self> {
        let numbers = guest::first_numbers(output)?;
        let (before, rest) = numbers.split_first().context("nothing was printed")?;
        let (after, looks) = rest.split_last().context("no look was printed")?;
        let mut seen = Self {
            in_tree: (after - before) >> shift,
            ..Self::default()
        };
        ensure!(seen.in_tree > 0, "khungtaskd made no pass");
        ensure!(
            looks.len() == 4 * LOOKS as usize,
            "{} numbers of looks",
            looks.len()
        );
        let (mut run_before, mut scans_before) = (0, 0);
        for (number, look) in (1..).zip(looks.chunks_exact(4)) {
            let [run, hung, checks, scans] = look else {
                continue;
            };
            ensure!(*checks == number, "{checks} checks, but {number} looks");
            ensure!(*hung == 0, "{hung} tasks are hung after {number} looks");
            let took = (run - run_before) >> shift;
            let is_scan = *scans != scans_before;
            match (number, is_scan) {
                (1, true) => seen.first = took,
                (1, false) => anyhow::bail!("the first look does not scan"),
                (_, true) => seen.with_scan.push(took),
                (_, false) => seen.without.push(took),
            }
            (run_before, scans_before) = (*run, *scans);
        }
        Ok(seen)
    }

    fn scans(&self) -> u64 {
        1 + self.with_scan.len() as u64
    }

    fn together(&self) -> u64 {
        let others: u64 = self.with_scan.iter().chain(&self.without).sum();
        self.first + others
    }

    fn ratio(&self) -> f64 {
        self.together() as f64 / self.in_tree as f64
    }
}
