// SPDX-License-Identifier: GPL-2.0
//! The NMIs of the counters by which CPUs find hard lockups themselves: how many
//! there are, how long one takes, and how late it is found. Only where emulated
//! CPUs have such counters: `KERNEL=arm64-nmi`.

use super::lateness::{self, PROVOKE, THRESH};
use anyhow::{Context, Result};
use std::{collections::BTreeMap, time::Duration};
use vigil_vm::{Artifacts, Config, Vm};

/// For how long NMIs are counted.
const SECONDS: u32 = 120;

const TRACING: &str = "/sys/kernel/tracing";

/// The callbacks that perf calls for an overflow.
const CALLBACKS: [(&str, &str); 2] = [
    ("vigil", "overflowed"),
    ("in-tree", "watchdog_overflow_callback"),
];

pub(crate) fn run_all() -> Result<()> {
    let artifacts = Artifacts::from_env()?;
    for option in ["CONFIG_ARM64_PSEUDO_NMI", "CONFIG_FUNCTION_PROFILER"] {
        if !artifacts.kernel_has(option) {
            println!("left out: the kernel has no {option}");
            return Ok(());
        }
    }
    let config = Config::new("nmis")
        .append("loglevel=1 log_buf_len=16M")
        .limit(Duration::from_secs(1800));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    vm.load(&format!("watchdog_thresh={THRESH} hardlockup_backend=perf"))?;
    vm.insmod("vigil_provoke.ko", "")?;
    // An emulated CPU does a billion cycles a second, and has no driver that says so.
    vm.write(&format!("{PROVOKE}/khz"), b"1000000")?;
    vm.sh_ok(&format!("sysctl -q kernel.watchdog_thresh={THRESH}"))?;

    let stat = profile(&vm)?;
    println!("NMIs in {SECONDS} s on two busy CPUs, watchdog_thresh={THRESH} of both");
    for (who, callback) in CALLBACKS {
        let called = stat.get(callback).copied();
        let (hits, us) = called.with_context(|| format!("{callback} was never called"))?;
        let each = hits / 2.0 / (f64::from(SECONDS) / THRESH);
        println!(
            "{who:8} {hits:4} NMIs, {each:.2} a threshold on each CPU, {:7.1} us in the callback",
            us / hits
        );
    }
    println!("seconds after the true threshold (min, median, max), and the same in sample periods");
    lateness::hard(&vm, 7500)
}

/// How often each callback was called on all CPUs, and the microseconds in it.
fn profile(vm: &Vm) -> Result<BTreeMap<String, (f64, f64)>> {
    vm.sh_ok(&format!(
        "cd {TRACING}; echo overflowed:mod:vigil > set_ftrace_filter
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
