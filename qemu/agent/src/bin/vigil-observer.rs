// SPDX-License-Identifier: GPL-2.0
//! Measures stalls of a loaded guest independently of vigil, to check vigil's reports
//! against. It writes what it measures to the kernel's log, which has the same time stamps
//! as the reports.
//!
//! ```text
//! chrt -f 99 vigil-observer cpus    a thread bound to each CPU sleeps for 50 ms, again and
//!     again, and logs each wakeup that is more than half a second late: its CPU did not
//!     schedule the thread of the highest priority. It prints "watching" when all threads run on
//!     their CPUs: a CPU that is stuck before that is not seen.
//! chrt -f 50 vigil-observer tasks   reads the state of all processes twice a second, and
//!     logs each that has been in D state for a second without a context switch.
//! ```

use anyhow::{bail, Context};
use nix::{
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    time::{clock_gettime, ClockId},
    unistd::Pid,
};
use std::{
    collections::HashMap,
    env, fs,
    sync::mpsc::{channel, Sender},
    thread,
    time::Duration,
};

/// Seconds that a CPU's thread sleeps.
const SLEEP: f64 = 0.05;

/// Lateness of a wakeup, in seconds, that is logged.
const LATE: f64 = 0.5;

/// Seconds between two scans of the processes.
const SCAN_INTERVAL: f64 = 0.5;

/// Time in D state, in seconds, that is logged.
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

/// Seconds of CLOCK_MONOTONIC, which does not count suspend.
fn now() -> anyhow::Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}

fn cpus() -> anyhow::Result<()> {
    let all = sched_getaffinity(Pid::from_raw(0))?;
    let (started, starts) = channel();
    let mut threads = Vec::new();
    for cpu in (0..CpuSet::count()).filter(|&cpu| all.is_set(cpu) == Ok(true)) {
        let started = started.clone();
        threads.push(thread::spawn(move || measure(cpu, started)));
    }
    drop(started);
    if starts.iter().count() == threads.len() {
        println!("watching");
    }
    for thread in threads {
        thread.join().ok().context("a thread died")??;
    }
    Ok(())
}

fn measure(cpu: usize, started: Sender<()>) -> anyhow::Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &only)?;
    let mut last = now()?;
    started.send(())?;
    drop(started);
    loop {
        thread::sleep(Duration::from_secs_f64(SLEEP));
        let time = now()?;
        let gap = time - last;
        if gap > SLEEP + LATE {
            say(&format!("CPU{cpu} did not run its thread for {gap:.3} s"));
        }
        // Writing the line may take long itself.
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
        thread::sleep(Duration::from_secs_f64(SCAN_INTERVAL));
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
