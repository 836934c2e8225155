// SPDX-License-Identifier: GPL-2.0
//! The NMIs of the counters by which CPUs find hard lockups themselves: how many
//! there are, how many instructions one takes, and how late it is found. Only where emulated
//! CPUs have such counters: `KERNEL=arm64-nmi`.

use super::lateness;
use crate::{
    guest::{self, PROVOKE},
    results::{Bound, Cell, Measured, Outcome, Table},
};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use vigil_vm::{Artifacts, Vm};

/// For how long NMIs are counted.
const SECONDS: u32 = 40;

/// `watchdog_thresh` of both.
const THRESH: f64 = 2.0;

/// Stalls.
const TIMES: u32 = 10;

/// An instruction takes so many nanoseconds, as a power of two.
const SHIFT: u32 = 6;

const TRACING: &str = "/sys/kernel/tracing";

/// The callbacks that perf calls for an overflow.
const CALLBACKS: [(&str, &str); 2] = [
    ("in-tree", "watchdog_overflow_callback"),
    ("vigil", "overflow_handler"),
];

pub(super) fn run(artifacts: &Artifacts) -> Result<Outcome> {
    for option in ["CONFIG_ARM64_PSEUDO_NMI", "CONFIG_FUNCTION_PROFILER"] {
        if !artifacts.kernel_has(option) {
            return Ok(Outcome::LeftOut(format!("the kernel has no {option}")));
        }
    }
    let vm = guest::boot(guest::counting_for("nmis").instructions_take(SHIFT))?;
    vm.load(&format!("watchdog_thresh={THRESH} hardlockup_backend=perf"))?;
    vm.insmod("vigil_provoke.ko", "")?;
    // An emulated CPU does a billion cycles a second, and has no driver that says so.
    vm.write(&format!("{PROVOKE}/khz"), b"1000000")?;
    vm.sh_ok(&format!("sysctl -q kernel.watchdog_thresh={THRESH}"))?;

    let stat = profile(&vm)?;
    let mut table = Table::new(
        format!("In {SECONDS} s on two busy CPUs, `watchdog_thresh={THRESH}` for both."),
        [
            "",
            "NMIs",
            "for a threshold, on each CPU",
            "instructions in the callback",
        ],
    );
    let mut in_tree = None;
    for (who, callback) in CALLBACKS {
        let called = stat.get(callback).copied();
        let (hits, us) = called.with_context(|| format!("{callback} was never called"))?;
        let each = hits / 2.0 / (f64::from(SECONDS) / THRESH);
        let run = us * 1000.0 / hits / f64::from(1 << SHIFT);
        println!("{who}: {hits} NMIs, {each:.2} a threshold on each CPU, {run:.0} instructions");
        let in_tree = *in_tree.get_or_insert(run);
        let says = "the callback of vigil's perf NMI, times the in-tree one";
        let bound = (who == "vigil").then(|| Bound::new("nmis", says, run / in_tree, 1.0));
        let cells = [
            Cell::text(who),
            Cell::Count(hits as u64),
            Cell::Number(each, 2),
            Cell::Number(run, 0),
        ];
        table.row(cells, bound.into_iter().collect());
    }
    let mut late = lateness::table();
    for row in lateness::Stalls::default().hard(&vm, THRESH, 3.75 * THRESH, TIMES)? {
        late.row(row.cells()?, Vec::new());
    }
    Ok(Outcome::Measured(Measured {
        tables: vec![table, late],
        plots: Vec::new(),
    }))
}

/// How often each callback was called on all CPUs, and the microseconds in it.
fn profile(vm: &Vm) -> Result<BTreeMap<String, (f64, f64)>> {
    vm.sh_ok(&format!(
        "cd {TRACING}; echo overflow_handler:mod:vigil > set_ftrace_filter
         echo watchdog_overflow_callback >> set_ftrace_filter"
    ))?;
    let busy = [0, 1].map(|cpu| vm.spawn_on(cpu, "while :; do :; done"));
    vm.sh_ok(&format!(
        "cd {TRACING}; echo 1 > function_profile_enabled; sleep {SECONDS}
         echo 0 > function_profile_enabled"
    ))?;
    for job in busy {
        job?.kill()?;
    }
    let text = vm.sh_ok(&format!("cat {TRACING}/trace_stat/function*"))?;
    let mut stat = BTreeMap::new();
    for line in text.lines() {
        // "  NAME  HITS  TIME us  AVERAGE us  VARIANCE us", a module's with its name behind.
        let mut words = line
            .split_whitespace()
            .filter(|word| !word.starts_with('['));
        let (Some(name), Some(hits), Some(time)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let (Ok(hits), Ok(time)) = (hits.parse::<f64>(), time.parse::<f64>()) {
            let sum: &mut (f64, f64) = stat.entry(name.to_owned()).or_default();
            sum.0 += hits;
            sum.1 += time;
        }
    }
    Ok(stat)
}
