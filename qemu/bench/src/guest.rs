// SPDX-License-Identifier: GPL-2.0
//! What several parts ask a guest.

use anyhow::{ensure, Context, Result};
use std::time::Duration;
use vigil_logic::messages::Key;
use vigil_vm::{Config, Vm};

/// The names of the threads that look at tasks.
pub(crate) const VIGIL: &str = "vigild/hung";
pub(crate) const IN_TREE: &str = "khungtaskd";

pub(crate) const PROVOKE: &str = "/sys/kernel/debug/vigil_provoke";

/// A guest whose clocks count its instructions, one a nanosecond, so that the run time of a thread
/// (`/proc/PID/schedstat`) is the number of instructions that it took. The console prints nothing.
pub fn counting(config: Config) -> Config {
    config
        .time_is_instructions()
        .append("loglevel=1 log_buf_len=16M")
        .boot_limit(Duration::from_secs(300))
}

/// How long a guest may live, in real time. It takes as long as the host needs for its instructions: this is
/// for one that hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(7200);

/// Such a guest for the part of this name.
pub(crate) fn counting_for(part: &str) -> Config {
    counting(Config::new(format!("bench-{part}"))).limit(LIMIT)
}

/// Boots a guest.
pub(crate) fn boot(config: Config) -> Result<Vm> {
    Vm::boot(config).context("the guest did not boot")
}

/// Runs a script while the guest's agent is stopped, which else polls many times a second. Its
/// output has to be short: nobody reads it before the end.
pub(crate) fn alone(vm: &Vm, script: &str) -> Result<String> {
    let output = vm.sh_ok(&format!(
        "kill -STOP $PPID; ({script}); status=$?; kill -CONT $PPID; exit $status"
    ))?;
    Ok(output)
}

/// A number of the status file.
pub(crate) fn status(vm: &Vm, key: Key) -> Result<u64> {
    let status = vm.read("/sys/kernel/debug/vigil/status")?;
    let line = format!("{}: ", key.name);
    let number = status.lines().find_map(|other| other.strip_prefix(&line));
    let number = number.with_context(|| format!("no {} in the status", key.name))?;
    Ok(number.trim().parse()?)
}

/// The PID of the kernel thread of this name.
pub(crate) fn pid_of(vm: &Vm, comm: &str) -> Result<u32> {
    let text = vm.sh_ok(&format!(
        "ps -e -o pid=,comm= | awk '$2 == \"{comm}\" {{ print $1 }}'"
    ))?;
    let pid = text.trim();
    pid.parse()
        .with_context(|| format!("the PID of {comm}: '{pid}'"))
}

/// Nanoseconds that a thread has run so far.
pub(crate) fn run_time_of(vm: &Vm, pid: u32) -> Result<u64> {
    let text = vm.read(&format!("/proc/{pid}/schedstat"))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first
        .parse()
        .with_context(|| format!("schedstat of {pid}: '{text}'"))
}

/// The same by the thread's name.
pub(crate) fn run_time(vm: &Vm, comm: &str) -> Result<u64> {
    run_time_of(vm, pid_of(vm, comm)?)
}

/// The first number of each line, such as the run time in `schedstat`.
pub(crate) fn first_numbers(text: &str) -> Result<Vec<u64>> {
    let first = |line: &str| line.split_whitespace().next().unwrap_or_default().parse();
    let numbers: Result<Vec<u64>, _> = text.lines().map(first).collect();
    numbers.with_context(|| text.to_owned())
}

/// What a thread runs for each time that it wakes, over so many seconds, in nanoseconds: for one that
/// wakes once a second.
pub(crate) fn each_second(vm: &Vm, pid: u32, seconds: u32) -> Result<Vec<u64>> {
    let text = vm.sh_ok(&format!(
        "i=0; while [ $i -le {seconds} ]; do cat /proc/{pid}/schedstat; sleep 1; i=$((i + 1)); done"
    ))?;
    let so_far = first_numbers(&text)?;
    let spent = so_far
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]));
    // The second between two readings is not exactly the thread's: it may not have woken.
    let spent: Vec<u64> = spent.filter(|spent| *spent > 0).collect();
    ensure!(
        spent.len() * 2 >= seconds as usize,
        "woke {} times in {seconds} seconds",
        spent.len()
    );
    Ok(spent)
}
