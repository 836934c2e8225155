// SPDX-License-Identifier: GPL-2.0
//! Watches a loaded guest with means of its own, so that a report can be held
//! against something. What it sees it writes to the kernel's log, whose stamps
//! are those of the reports.
//!
//! ```text
//! chrt -f 99 vigil-observer cpus    a thread bound to each CPU sleeps for a
//!     twentieth of a second, again and again; one that comes late by more than
//!     half a second says so: its CPU ran nothing that it should have run.
//! chrt -f 50 vigil-observer tasks   looks twice a second for processes in D
//!     state; one that has been there for a second without getting a CPU, as far
//!     as can be seen, is named at each look.
//! ```

use anyhow::{bail, Context};
use nix::{
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    time::{clock_gettime, ClockId},
    unistd::Pid,
};
use std::{collections::HashMap, env, fs, thread, time::Duration};

/// Between two looks at the own CPU.
const BEAT: f64 = 0.05;

/// How late a beat is worth a line.
const LATE: f64 = 0.5;

/// Between two looks at the tasks.
const LOOK: f64 = 0.5;

/// How long in D state is worth a line.
const LONG: f64 = 1.0;

fn main() -> anyhow::Result<()> {
    match env::args().nth(1).as_deref() {
        Some("cpus") => cpus(),
        Some("tasks") => tasks(),
        _ => bail!("usage: vigil-observer cpus|tasks"),
    }
}

fn say(text: &str) {
    let _ = fs::write("/dev/kmsg", format!("<6>vigil-observer: {text}\n"));
}

/// Seconds of the clock that goes on while anything could run.
fn now() -> anyhow::Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}

fn cpus() -> anyhow::Result<()> {
    let all = sched_getaffinity(Pid::from_raw(0))?;
    let mut threads = Vec::new();
    for cpu in (0..CpuSet::count()).filter(|&cpu| all.is_set(cpu) == Ok(true)) {
        threads.push(thread::spawn(move || beat(cpu)));
    }
    for thread in threads {
        thread.join().ok().context("a thread died")??;
    }
    Ok(())
}

fn beat(cpu: usize) -> anyhow::Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &only)?;
    let mut last = now()?;
    loop {
        thread::sleep(Duration::from_secs_f64(BEAT));
        let time = now()?;
        let gap = time - last;
        if gap > BEAT + LATE {
            say(&format!("CPU{cpu} did not run its thread for {gap:.3} s"));
        }
        // Saying so may take long itself.
        last = now()?;
    }
}

/// A process that sleeps in D state.
struct Sleeper {
    switches: u64,
    since: f64,
}

fn tasks() -> anyhow::Result<()> {
    let mut sleepers: HashMap<u32, Sleeper> = HashMap::new();
    loop {
        let time = now()?;
        let mut still = HashMap::new();
        for pid in fs::read_dir("/proc")?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        {
            let Some((comm, switches)) = asleep(pid) else {
                continue;
            };
            let before = sleepers
                .remove(&pid)
                .filter(|before| before.switches == switches);
            let sleeper = before.unwrap_or(Sleeper {
                switches,
                since: time,
            });
            let age = time - sleeper.since;
            if age >= LONG {
                let place = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
                say(&format!(
                    "{comm}:{pid} has been in D state for {age:.1} s, in {place}"
                ));
            }
            still.insert(pid, sleeper);
        }
        sleepers = still;
        thread::sleep(Duration::from_secs_f64(LOOK));
    }
}

/// Name and context switches of a process, if it is in D state.
fn asleep(pid: u32) -> Option<(String, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(") ")?;
    if !tail.starts_with('D') {
        return None;
    }
    let comm = head.split_once('(')?.1.to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let switches = status
        .lines()
        .filter_map(|line| {
            line.split_once("voluntary_ctxt_switches:")?
                .1
                .trim()
                .parse::<u64>()
                .ok()
        })
        .sum();
    Some((comm, switches))
}
