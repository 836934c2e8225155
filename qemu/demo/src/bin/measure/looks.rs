// SPDX-License-Identifier: GPL-2.0
//! What a look at the tasks costs, beside khungtaskd's in the
//! same boot. Both look each second; the figures are the threads' own run time
//! (`/proc/PID/schedstat`), so that they count what the scheduler charged them
//! for. Emulated time: the ratio means something, the microseconds do not.

use anyhow::{Context, Result};
use std::time::Duration;
use vigil_vm::{Config, Vm};

/// Seconds, and so looks, of one measurement.
const SECONDS: u32 = 10;

/// What was measured in one situation: microseconds of CPU time a look.
struct Figures {
    threads: u32,
    blocked: u32,
    in_tree: f64,
    vigil: f64,
    walking: f64,
}

pub(crate) fn run_all() -> Result<()> {
    let config = Config::new("measure")
        .mem_mib(2048)
        .limit(Duration::from_secs(900));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.sh_ok(
        "sysctl -q kernel.threads-max=100000 kernel.pid_max=200000 \
         kernel.hung_task_timeout_secs=1000 kernel.hung_task_check_interval_secs=1",
    )?;
    let mut all = Vec::new();
    let mut made = 0;
    for threads in [0, 10_000, 30_000] {
        while made < threads {
            vm.sh_ok("echo 'idle count=1000 secs=3600' > /sys/kernel/debug/vigil_provoke/run")?;
            made += 1000;
        }
        for blocked in [0, 100] {
            let figures = measure(&vm, blocked)?;
            println!(
                "{:6} threads, {:3} blocked: khungtaskd {:8.1} us, vigil {:6.1} us ({:.0} times cheaper), \
                 vigil walking {:8.1} us ({:.2} of khungtaskd's)",
                figures.threads,
                figures.blocked,
                figures.in_tree,
                figures.vigil,
                figures.in_tree / figures.vigil,
                figures.walking,
                figures.walking / figures.in_tree,
            );
            all.push(figures);
        }
    }
    anyhow::ensure!(all.len() == 6, "not all situations were measured");
    Ok(())
}

/// One situation: with the short cut, then walking at each look.
fn measure(vm: &Vm, blocked: u32) -> Result<Figures> {
    if blocked > 0 {
        vm.sh_ok(&format!(
            "echo 'threads count={blocked} secs=3600 id=1' > /sys/kernel/debug/vigil_provoke/run"
        ))?;
    }
    let threads = vm
        .sh_ok("cut -d/ -f2 /proc/loadavg | cut -d' ' -f1")?
        .trim()
        .parse()?;
    let (in_tree, vigil) = run(vm, 1)?;
    let (_, walking) = run(vm, 0)?;
    if blocked > 0 {
        vm.sh_ok("echo 1 > /sys/kernel/debug/vigil_provoke/end")?;
    }
    Ok(Figures {
        threads,
        blocked,
        in_tree,
        vigil,
        walking,
    })
}

/// Microseconds a look of both threads, over [`SECONDS`] looks.
fn run(vm: &Vm, use_run_queues: u32) -> Result<(f64, f64)> {
    vm.load(&format!(
        "hung_task_timeout_secs=1000 hung_task_check_interval_secs=1 use_run_queues={use_run_queues}"
    ))?;
    // The first looks find what there is to be watched; they are not what a look costs.
    vm.sh_ok("sleep 3")?;
    let before = (run_time(vm, "khungtaskd")?, run_time(vm, "vigild/hung")?);
    vm.sh_ok(&format!("sleep {SECONDS}"))?;
    let after = (run_time(vm, "khungtaskd")?, run_time(vm, "vigild/hung")?);
    vm.unload()?;
    let looks = f64::from(SECONDS) * 1000.0;
    Ok(((after.0 - before.0) / looks, (after.1 - before.1) / looks))
}

/// Nanoseconds that the thread of this name has run so far.
fn run_time(vm: &Vm, comm: &str) -> Result<f64> {
    let text = vm.sh_ok(&format!(
        "cat /proc/$(ps -e -o pid=,comm= | awk '$2 == \"{comm}\" {{ print $1 }}')/schedstat"
    ))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first
        .parse()
        .with_context(|| format!("schedstat of {comm}: '{text}'"))
}
