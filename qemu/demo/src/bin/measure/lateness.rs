// SPDX-License-Identifier: GPL-2.0
//! How late reports are: the stamp of a report's first line, less the moment at
//! which the stall began and its true threshold. Twenty stalls of each kind
//! begin at different moments between two samples.
//!
//! A soft lockup that one detector reports puts the other off, so that for these
//! the two take turns, in the same boot. Hung tasks are found by both at once.

use anyhow::{ensure, Context, Result};
use regex::Regex;
use std::time::Duration;
use vigil_logic::messages::{Pattern, TaskLastRan};
use vigil_vm::{Config, LogLine, Vm};

pub(super) const PROVOKE: &str = "/sys/kernel/debug/vigil_provoke";

/// `watchdog_thresh` of both; a soft lockup takes twice that.
pub(super) const THRESH: f64 = 2.0;

/// Between two samples, of both.
const PERIOD: f64 = 0.4 * THRESH;

/// `hung_task_timeout_secs` of both: the least at which vigil's interval, a
/// sixteenth, has the proportion that it has by default.
const TIMEOUT: f64 = 16.0;

/// Stalls of each kind.
const TIMES: u32 = 20;

pub(crate) fn run_all() -> Result<()> {
    // What is logged does not take the time that a serial console takes.
    let config = Config::new("lateness")
        .append("loglevel=1 log_buf_len=16M")
        .limit(Duration::from_secs(1800));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    vm.load(&format!(
        "watchdog_thresh={THRESH} hung_task_timeout_secs={TIMEOUT} hung_task_warnings=-1"
    ))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.sh_ok(&format!(
        "sysctl -q kernel.watchdog_thresh={THRESH} kernel.hung_task_warnings=-1; sleep 1"
    ))?;

    println!(
        "seconds after the true threshold (min, median, max), and the same in sample periods; \
         {TIMES} stalls of each kind"
    );
    soft(&vm)?;
    hard(&vm, 3300)?;
    vm.sh_ok(&format!(
        "sysctl -q kernel.hung_task_timeout_secs={TIMEOUT}"
    ))?;
    hung(&vm, 0)?;
    hung(&vm, 1)?;
    Ok(())
}

/// What one detector did with the stalls of one kind.
struct Row {
    /// In seconds.
    lateness: Vec<f64>,
    stalls: usize,
    period: f64,
}

impl Row {
    fn new(period: f64) -> Self {
        Self {
            lateness: Vec::new(),
            stalls: 0,
            period,
        }
    }

    /// A stall and when it was reported, if it was.
    fn add(&mut self, due: f64, reported: Option<f64>) {
        self.stalls += 1;
        self.lateness.extend(reported.map(|time| time - due));
    }

    fn print(&mut self, what: &str, who: &str) {
        self.lateness.sort_by(f64::total_cmp);
        let all = &self.lateness;
        let n = all.len();
        let found = format!("{what:42} {who:8} {n:2} of {}", self.stalls);
        let (Some(min), Some(max)) = (all.first(), all.last()) else {
            println!("{found}");
            return;
        };
        let median = (all[(n - 1) / 2] + all[n / 2]) / 2.0;
        let p = self.period;
        println!(
            "{found}  {min:+7.3} {median:+7.3} {max:+7.3} s  {:+6.2} {:+6.2} {:+6.2}",
            min / p,
            median / p,
            max / p
        );
    }
}

/// Waits until another phase: multiples of the golden ratio are spread evenly.
fn phase(vm: &Vm, number: u32, span: f64) -> Result<()> {
    let part = (f64::from(number) * 0.618_033_988_75).fract();
    vm.sh_on(0, &format!("sleep {:.3}", 0.3 + part * span))?
        .ok()?;
    Ok(())
}

/// Keeps CPU 1 in a stall of `ms`; returns when it began, and the log since.
fn stall(vm: &Vm, kind: &str, ms: u32, id: u32) -> Result<(f64, Vec<LogLine>)> {
    let mark = vm.mark()?;
    vm.write(
        &format!("{PROVOKE}/run"),
        format!("{kind} cpu=1 ms={ms} id={id}").as_bytes(),
    )?;
    // The line is there once it is over.
    let line = vm
        .sh_on(
            0,
            &format!("until grep '^{id} ' {PROVOKE}/lockups; do sleep 0.3; done"),
        )?
        .ok()?;
    let began = line
        .split_once("began=")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .context("the provoking module kept no time")?
        .parse()?;
    Ok((began, vm.dmesg_after(mark)?))
}

/// When the first line with these words was printed.
fn first(log: &[LogLine], words: &str) -> Option<f64> {
    log.iter()
        .find(|line| line.facility == 0 && line.text.contains(words))
        .map(|line| line.time)
}

fn soft(vm: &Vm) -> Result<()> {
    let mut rows = [Row::new(PERIOD), Row::new(PERIOD)];
    let mut id = 1000;
    for number in 0..TIMES {
        for (row, ours) in rows.iter_mut().zip([true, false]) {
            vm.set_knob("soft_watchdog", u8::from(ours))?;
            vm.write(
                "/proc/sys/kernel/soft_watchdog",
                if ours { b"0" } else { b"1" },
            )?;
            phase(vm, number, PERIOD)?;
            id += 1;
            // The in-tree one's limit is 5 x 2^30 ns, and then a sample.
            let ms = if ours { 4800 } else { 6700 };
            let (began, log) = stall(vm, "preempt_off", ms, id)?;
            row.add(
                began + 2.0 * THRESH,
                first(&log, "BUG: soft lockup - CPU#1"),
            );
        }
    }
    let what = format!("soft lockup, threshold {} s", 2.0 * THRESH);
    rows[0].print(&what, "vigil");
    rows[1].print(&what, "in-tree");
    vm.set_knob("soft_watchdog", 1)?;
    ensure!(
        rows[0].lateness.len() == TIMES as usize,
        "vigil missed some"
    );
    Ok(())
}

/// Stalls of `ms` milliseconds each, while `watchdog_thresh` is [`THRESH`].
pub(super) fn hard(vm: &Vm, ms: u32) -> Result<()> {
    let mut rows = [Row::new(PERIOD), Row::new(PERIOD)];
    for number in 0..TIMES {
        phase(vm, number, PERIOD)?;
        let (began, log) = stall(vm, "irqs_off", ms, 2000 + number)?;
        let head = "Watchdog detected hard LOCKUP on cpu 1";
        let second = "CPU1 took its last timer interrupt";
        // Both have the same first line; vigil's second one follows its own.
        let second = log.iter().position(|line| line.text.contains(second));
        let heads = || (0..).zip(&log).filter(|(_, line)| line.text.contains(head));
        let ours = heads().take_while(|(at, _)| Some(*at) < second).last();
        let theirs = heads().find(|(at, _)| Some(*at) != ours.map(|(ours, _)| ours));
        for (row, found) in rows.iter_mut().zip([ours, theirs]) {
            row.add(began + THRESH, found.map(|(_, line)| line.time));
        }
    }
    let what = format!("hard lockup, threshold {THRESH} s");
    rows[0].print(&what, "vigil");
    rows[1].print(&what, "in-tree");
    ensure!(
        rows[0].lateness.len() == TIMES as usize,
        "vigil missed some"
    );
    Ok(())
}

/// Many tasks at once, begun over the in-tree detector's longest interval, which
/// is the timeout with `interval` 0.
fn hung(vm: &Vm, interval: u32) -> Result<()> {
    vm.sh_ok(&format!(
        "sysctl -q kernel.hung_task_check_interval_secs={interval}"
    ))?;
    let mark = vm.mark()?;
    let mut stalls = Vec::new();
    for number in 0..TIMES {
        phase(vm, number, TIMEOUT / f64::from(TIMES))?;
        let id = 3000 + 100 * interval + number;
        let before = vm.uptime()?;
        vm.write(
            &format!("{PROVOKE}/run"),
            format!("completion id={id} secs=600").as_bytes(),
        )?;
        let after = vm.uptime()?;
        let active = vm.sh_ok(&format!("grep '^{id} ' {PROVOKE}/active"))?;
        let pid = active
            .split_once("tasks=")
            .and_then(|(_, rest)| rest.split([' ', ',']).next())
            .context("no victim")?;
        stalls.push((pid.to_owned(), (before + after) / 2.0));
    }
    // Both have had their time for the last one.
    vm.sh_ok(&format!("sleep {}", 2.0 * TIMEOUT + 3.0))?;
    let log = vm.dmesg_after(mark)?;
    vm.sh_ok(&format!("echo all > {PROVOKE}/end"))?;

    let mut rows = [
        Row::new(TIMEOUT / 16.0),
        Row::new(if interval == 0 {
            TIMEOUT
        } else {
            interval.into()
        }),
    ];
    let text = TaskLastRan::TEXT;
    let last_ran = Regex::new(&Pattern { text, values: &[] }.to_string())?;
    for (pid, began) in stalls {
        let pid = format!(":{pid}");
        let is_ours = |line: &&LogLine| {
            let part = last_ran.captures(&line.text);
            line.facility == 0 && part.is_some_and(|part| part["task"].ends_with(&pid))
        };
        let head = format!("{pid} blocked for more than ");
        // The two may print at the same time, line by line: of the heads before
        // vigil's second line on the task the last one is taken for vigil's.
        let heads: Vec<f64> = log
            .iter()
            .filter(|line| line.facility == 0 && line.text.contains(&head))
            .map(|line| line.time)
            .collect();
        let seconds: Vec<f64> = log.iter().filter(is_ours).map(|line| line.time).collect();
        let second = seconds.first().copied();
        let vigil = second.and_then(|second| heads.iter().rev().find(|&&time| time <= second));
        let taken: Vec<f64> = seconds
            .iter()
            .filter_map(|second| heads.iter().rev().find(|&&time| time <= *second).copied())
            .collect();
        let theirs = heads.iter().find(|time| !taken.contains(time));
        rows[0].add(began + TIMEOUT, vigil.copied());
        rows[1].add(began + TIMEOUT, theirs.copied());
    }
    let what = format!("hung task, timeout {TIMEOUT} s");
    rows[0].print(&what, "vigil");
    let what = match interval {
        0 => format!("{what}, default interval"),
        _ => format!("{what}, interval {interval} s"),
    };
    rows[1].print(&what, "in-tree");
    ensure!(
        rows[0].lateness.len() == TIMES as usize,
        "vigil missed some"
    );
    Ok(())
}
