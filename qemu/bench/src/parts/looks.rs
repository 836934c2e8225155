// SPDX-License-Identifier: GPL-2.0
//! What a look at the tasks of an idle machine takes, beside khungtaskd's pass in the same boot.
//! Both look each second.

use crate::{
    guest::{self, each_second, pid_of},
    results::{Axis, Bound, Cell, Measured, Outcome, Plot, Series, Spread, Table},
};
use anyhow::{ensure, Context, Result};
use vigil_logic::messages::status::hung_task as key;
use vigil_vm::{Artifacts, Job, Vm};

/// How many threads there are.
const THREADS: [u32; 5] = [100, 1_000, 10_000, 30_000, 100_000];

/// Seconds, and so looks, of one measurement.
pub(super) const SECONDS: u32 = 12;

/// From so many threads on the bound holds: a look without a scan takes the same for any number.
const BOUND_FROM: u32 = 30_000;

pub(super) fn run(_: &Artifacts) -> Result<Outcome> {
    let vm = guest::boot(guest::counting_for("looks").mem_mib(5120))?;
    measure(&vm, &THREADS).map(Outcome::Measured)
}

/// Measures in a guest of [`crate::counting`] with so many threads, which only grow. 30,000 take
/// 2 GiB of memory.
///
/// # Errors
///
/// If something cannot be measured.
pub fn measure(vm: &Vm, threads: &[u32]) -> Result<Measured> {
    vm.sh_ok(
        "sysctl -q kernel.threads-max=300000 kernel.pid_max=400000 \
         kernel.hung_task_timeout_secs=1000 kernel.hung_task_check_interval_secs=1",
    )?;
    let in_tree_pid = pid_of(vm, guest::IN_TREE)?;
    let mut table = Table::new(
        "Instructions: median (least, most).",
        [
            "threads",
            "khungtaskd's pass",
            "vigil's look",
            "of khungtaskd's",
            "vigil's look with a scan",
            "of khungtaskd's",
        ],
    );
    let mut lines: [Vec<(f64, f64)>; 3] = Default::default();
    let mut sleepers: Vec<Job> = Vec::new();
    for wanted in threads {
        let there = count(vm)?;
        if let Some(more) = wanted.checked_sub(there).filter(|more| *more > 0) {
            let job = vm.spawn(&format!("exec /sbin/agent threads {more}"))?;
            job.wait_output("standing", vm.time_left())?;
            sleepers.push(job);
        }
        let in_tree = spread(each_second(vm, in_tree_pid, SECONDS)?)?;
        let idle = vigil(vm, 1)?;
        let full = vigil(vm, 0)?;
        let [idle_part, full_part] = [idle, full].map(|look| look.median / in_tree.median);
        println!(
            "{wanted:6} threads: khungtaskd {}, vigil {} and {} instructions",
            in_tree.median, idle.median, full.median
        );
        let bounds = (*wanted >= BOUND_FROM).then(|| {
            let says = format!("a look at {wanted} idle threads, times khungtaskd's pass");
            Bound::new(format!("looks: {wanted}"), says, idle_part, 0.01)
        });
        let cells = [
            Cell::Count(count(vm)?.into()),
            Cell::Spread(in_tree, 0),
            Cell::Spread(idle, 0),
            Cell::Number(idle_part, 4),
            Cell::Spread(full, 0),
            Cell::Number(full_part, 2),
        ];
        table.row(cells, bounds.into_iter().collect());
        for (line, spread) in lines.iter_mut().zip([in_tree, idle, full]) {
            line.push((f64::from(*wanted), spread.median));
        }
    }
    let names = [
        "khungtaskd's pass",
        "vigil's look",
        "vigil's look with a scan",
    ];
    let series = names.into_iter().zip(lines).map(|(name, points)| Series {
        name: name.to_owned(),
        points,
    });
    let plot = Plot {
        name: "looks".to_owned(),
        title: "A look at the tasks of an idle machine".to_owned(),
        x: Axis::log("threads"),
        y: Axis::log("instructions"),
        series: series.collect(),
    };
    Ok(Measured {
        tables: vec![table],
        plots: vec![plot],
    })
}

/// How many threads there are.
pub(super) fn count(vm: &Vm) -> Result<u32> {
    let text = vm.sh_ok("cut -d/ -f2 /proc/loadavg | cut -d' ' -f1")?;
    text.trim().parse().context("/proc/loadavg")
}

fn spread(all: Vec<u64>) -> Result<Spread> {
    Spread::of_counts(&all)
}

/// What vigil's thread takes for a look, with or without the run queues' counts.
pub(super) fn vigil(vm: &Vm, use_run_queues: u32) -> Result<Spread> {
    vm.load(&format!(
        "hung_task_timeout_secs=1000 hung_task_check_interval_secs=1 use_run_queues={use_run_queues}"
    ))?;
    // The first looks find what there is to be watched; they are not what a look costs.
    vm.sh_ok("sleep 3")?;
    let numbers = || -> Result<(u64, u64)> {
        Ok((
            guest::status(vm, key::CHECKS)?,
            guest::status(vm, key::SCANS)?,
        ))
    };
    let pid = pid_of(vm, guest::VIGIL)?;
    let before = numbers()?;
    let spent = each_second(vm, pid, SECONDS)?;
    let after = numbers()?;
    vm.unload()?;
    let (checks, scans) = (after.0 - before.0, after.1 - before.1);
    let is_right = match use_run_queues {
        0 => scans >= checks - 1,
        _ => scans * 4 <= checks,
    };
    ensure!(is_right, "{scans} scans in {checks} checks");
    spread(spent)
}
