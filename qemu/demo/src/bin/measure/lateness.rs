// SPDX-License-Identifier: GPL-2.0
//! How late reports are: the stamp of a report's first line, less the moment at
//! which the stall began and its true threshold. Twenty stalls of each kind
//! begin at different moments between two samples.
//!
//! A soft lockup that one detector reports puts the other off, so that for these
//! the two take turns, in the same boot. Hung tasks are found by both at once.

use anyhow::{ensure, Context, Result};
use std::time::Duration;
use vigil_klog::{Finding, Log, Report};
use vigil_vm::{Config, Vm};

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
        "watchdog_thresh={THRESH} hung_task_timeout_secs={TIMEOUT} hung_task_warnings=-1 \
         hung_task_report=mainline"
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
fn stall(vm: &Vm, kind: &str, ms: u32, id: u32) -> Result<(f64, Log)> {
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
    Ok((began, Log::parse(&vm.dmesg_after(mark)?)))
}

/// When vigil and the in-tree detector first reported a finding: its first lines' stamps.
fn first(log: &Log, is_it: impl Fn(&Finding) -> bool) -> [Option<f64>; 2] {
    [true, false].map(|vigil| {
        let found = |report: &&Report| report.is_vigil() == vigil && is_it(&report.finding);
        log.reports.iter().find(found).map(|report| report.time)
    })
}

fn soft(vm: &Vm) -> Result<()> {
    let mut rows = [Row::new(PERIOD), Row::new(PERIOD)];
    let mut id = 1000;
    for number in 0..TIMES {
        for (detector, row) in rows.iter_mut().enumerate() {
            let ours = detector == 0;
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
            let reported = first(
                &log,
                |found| matches!(found, Finding::SoftLockup(lockup) if lockup.cpu == 1),
            );
            row.add(began + 2.0 * THRESH, reported[detector]);
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
        let reported = first(
            &log,
            |found| matches!(found, Finding::HardLockup(lockup) if lockup.cpu == 1),
        );
        for (row, reported) in rows.iter_mut().zip(reported) {
            row.add(began + THRESH, reported);
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
        let pid: u32 = active
            .split_once("tasks=")
            .and_then(|(_, rest)| rest.split([' ', ',']).next())
            .context("no victim")?
            .parse()?;
        stalls.push((pid, (before + after) / 2.0));
    }
    // Both have had their time for the last one.
    vm.sh_ok(&format!("sleep {}", 2.0 * TIMEOUT + 3.0))?;
    let log = Log::parse(&vm.dmesg_after(mark)?);
    vm.sh_ok(&format!("echo all > {PROVOKE}/end"))?;

    let mut rows = [
        Row::new(TIMEOUT / 16.0),
        Row::new(if interval == 0 {
            TIMEOUT
        } else {
            interval.into()
        }),
    ];
    for (pid, began) in stalls {
        let reported = first(
            &log,
            |found| matches!(found, Finding::HungTask(hung) if hung.task.pid == pid),
        );
        for (row, reported) in rows.iter_mut().zip(reported) {
            row.add(began + TIMEOUT, reported);
        }
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
