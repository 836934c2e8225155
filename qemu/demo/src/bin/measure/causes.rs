// SPDX-License-Identifier: GPL-2.0
//! What it takes to find and to print the root causes of 10,000 hung tasks, beside khungtaskd's
//! pass over the same tasks in the same boot.
//!
//! QEMU makes the guest's clocks count instructions, one a nanosecond: the run time of a thread
//! (`/proc/PID/schedstat`) is the number of instructions that it took. The console prints
//! nothing, so that the lines go into the kernel's log and no further.

use anyhow::{ensure, Context, Result};
use std::time::Duration;
use vigil_logic::messages::{status::hung_task as key, Key};
use vigil_vm::{Config, Vm};

/// How many tasks are hung, and how many one stall makes.
const TASKS: u32 = 10_000;
const EACH: u32 = 1000;

/// `hung_task_timeout_secs`, and the interval of checks. The check that finds the tasks hung comes
/// between two of those.
const TIMEOUT: u32 = 100;
const INTERVAL: u32 = 30;

/// What the tasks wait for, the stall that does so, and how many causes that is.
const SITUATIONS: [(&str, &str, usize); 4] = [
    ("100 mutexes, in 10 chains of 10", "chain locks=10", 10),
    ("10,000 mutexes, in 10 chains of 1,000", "chain", 10),
    ("10 mutexes", "mutex", 10),
    ("no lock, in the same place", "completion", 1),
];

pub(crate) fn run_all() -> Result<()> {
    let config = Config::new("causes")
        .time_is_instructions()
        .append("loglevel=1 log_buf_len=16M")
        .mem_mib(2048)
        .boot_limit(Duration::from_secs(300))
        .limit(Duration::from_secs(1500));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.sh_ok("sysctl -q kernel.threads-max=100000 kernel.pid_max=100000")?;
    for (name, stall, causes) in SITUATIONS {
        println!("{TASKS} hung tasks behind {name}:");
        measure(&vm, stall, causes)?;
    }
    Ok(())
}

/// One situation.
fn measure(vm: &Vm, stall: &str, causes: usize) -> Result<()> {
    vm.sh_ok("sysctl -q kernel.hung_task_timeout_secs=0")?;
    vm.load(&format!(
        "hung_task_timeout_secs=0 hung_task_check_interval_secs={INTERVAL} hung_task_report=grouped"
    ))?;
    let run =
        format!("echo '{stall} count={EACH} secs=3600' > /sys/kernel/debug/vigil_provoke/run");
    for _ in 0..TASKS / EACH {
        vm.sh_ok(&run)?;
    }
    let mark = vm.mark()?;
    let sleep = |secs: u32| vm.sh_ok(&format!("sleep {secs}"));
    vm.set_knob("hung_task_timeout_secs", TIMEOUT)?;
    sleep(TIMEOUT - 5)?;
    let before = Pass::so_far(vm, "vigild/hung")?;
    ensure!(before.hung == 0, "{} are hung too soon", before.hung);
    sleep(10)?;
    let found = Pass::so_far(vm, "vigild/hung")?;
    ensure!(
        found.hung == u64::from(TASKS) && found.checks == before.checks + 1,
        "{} are hung, after {} checks",
        found.hung,
        found.checks - before.checks
    );
    let lines = vm.dmesg_after(mark)?;
    let longest = lines
        .iter()
        .filter(|line| line.text.contains(", longest chain "));
    let reports = longest.count();
    ensure!(
        reports == causes,
        "{reports} causes are reported, not {causes}"
    );
    // The next check, with a scan, before a cause is due again.
    sleep(INTERVAL - 10)?;
    let again = Pass::so_far(vm, "vigild/hung")?;
    println!(
        "  vigil: {} for the check that reports them ({} lines), {} for each later one (of {}); \
         longest RCU section {}",
        millions(found.run - before.run),
        lines.len(),
        millions((again.run - found.run) / (again.checks - found.checks).max(1)),
        again.checks - found.checks,
        millions(status(vm, key::LONGEST_RCU_SECTION_NS)?),
    );
    vm.unload()?;
    for (what, warnings) in [("without a report", 0), ("with ten reports", 10)] {
        let spent = in_tree(vm, warnings)?;
        println!("  khungtaskd: {} for a pass {what}", millions(spent));
    }
    vm.sh_ok("sysctl -q kernel.hung_task_timeout_secs=0")?;
    vm.sh_ok("echo all > /sys/kernel/debug/vigil_provoke/end")?;
    Ok(())
}

/// What khungtaskd takes for a pass over the tasks, with so many warnings left.
fn in_tree(vm: &Vm, warnings: u32) -> Result<u64> {
    vm.sh_ok(&format!(
        "sysctl -q kernel.hung_task_warnings=0 kernel.hung_task_check_interval_secs={INTERVAL}
         sysctl -q kernel.hung_task_timeout_secs={TIMEOUT}; sleep {}
         sysctl -q kernel.hung_task_warnings={warnings}",
        2 * TIMEOUT + INTERVAL / 2
    ))?;
    let before = run_time(vm, "khungtaskd")?;
    vm.sh_ok(&format!("sleep {INTERVAL}"))?;
    Ok(run_time(vm, "khungtaskd")? - before)
}

/// What vigil's thread has done since load.
struct Pass {
    run: u64,
    checks: u64,
    hung: u64,
}

impl Pass {
    fn so_far(vm: &Vm, comm: &str) -> Result<Self> {
        Ok(Self {
            run: run_time(vm, comm)?,
            checks: status(vm, key::CHECKS)? + status(vm, key::TRACKED_ONLY_CHECKS)?,
            hung: status(vm, key::HUNG_TASKS)?,
        })
    }
}

/// A number of the status file.
fn status(vm: &Vm, key: Key) -> Result<u64> {
    let status = vm.read("/sys/kernel/debug/vigil/status")?;
    let line = format!("{}: ", key.name);
    let number = status.lines().find_map(|other| other.strip_prefix(&line));
    Ok(number
        .context("no such key in the status")?
        .trim()
        .parse()?)
}

/// Instructions that the thread of this name has run so far.
fn run_time(vm: &Vm, comm: &str) -> Result<u64> {
    let text = vm.sh_ok(&format!(
        "cat /proc/$(ps -e -o pid=,comm= | awk '$2 == \"{comm}\" {{ print $1 }}')/schedstat"
    ))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first
        .parse()
        .with_context(|| format!("schedstat of {comm}: '{text}'"))
}

fn millions(instructions: u64) -> String {
    format!("{:.2} million instructions", instructions as f64 / 1e6)
}
