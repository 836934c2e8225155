// SPDX-License-Identifier: GPL-2.0
//! How late reports are: the stamp of a report's first line, less the moment at
//! which the stall began and its true threshold. The stalls of each kind
//! begin at different moments between two samples.
//!
//! At soft lockups the two take turns, in the same boot, so that neither is late by
//! what the other prints. Hung tasks are found by both at once.
//!
//! The guest's clocks count its instructions, so that nothing depends on how busy the host is.

use crate::{
    guest::{self, PROVOKE},
    results::{Axis, Cell, Measured, Outcome, Plot, Series, Spread, Table},
};
use anyhow::{ensure, Context, Result};
use vigil_klog::{Finding, Log, Report};
use vigil_vm::{Artifacts, Vm};

/// `watchdog_thresh` of both, and how many stalls of each kind. A soft lockup takes twice the threshold.
const THRESHOLDS: [(u32, u32); 3] = [(1, 20), (2, 20), (10, 6)];

/// `hung_task_timeout_secs` of both, and stalls.
const TIMEOUTS: [(u32, u32); 3] = [(5, 20), (20, 20), (120, 20)];

/// An instruction takes so many nanoseconds, as a power of two: stuck CPUs are busy for minutes.
const SHIFT: u32 = 5;

pub(super) fn run(_: &Artifacts) -> Result<Outcome> {
    let config = guest::counting_for("lateness").instructions_take(SHIFT);
    let vm = guest::boot(config)?;
    vm.load("hung_task_warnings=-1 hung_task_report=mainline hung_task_timeout_secs=0")?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.sh_ok("sysctl -q kernel.hung_task_warnings=-1 kernel.hung_task_timeout_secs=0")?;
    let mut rows = Vec::new();
    let mut stalls = Stalls::default();
    for (thresh, times) in THRESHOLDS {
        vm.set_knob("watchdog_thresh", thresh)?;
        vm.sh_ok(&format!(
            "sysctl -q kernel.watchdog_thresh={thresh}; sleep 1"
        ))?;
        let thresh = f64::from(thresh);
        rows.extend(stalls.soft(&vm, thresh, times)?);
        rows.extend(stalls.hard(&vm, thresh, 1.75 * thresh, times)?);
    }
    for (timeout, times) in TIMEOUTS {
        rows.extend(stalls.hung(&vm, timeout, times)?);
    }
    let mut table = table();
    let mut series = Vec::new();
    for row in &mut rows {
        table.row(row.cells()?, Vec::new());
        if row.is_plotted {
            series.extend(row.series());
        }
    }
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: vec![Plot {
            name: "lateness".to_owned(),
            title: "How late hung tasks are reported, timeout 120 s".to_owned(),
            x: Axis::linear("seconds after the timeout"),
            y: Axis::linear("percent of them reported"),
            series,
        }],
    }))
}

/// A table for rows.
pub(super) fn table() -> Table {
    Table::new(
        "Seconds after the true threshold; and the same in sample periods, or intervals between two \
         checks.",
        ["", "found", "least", "median", "most", "in periods: least, median, most"],
    )
}

/// What one detector did with the stalls of one kind.
pub(super) struct Row {
    name: String,
    /// In seconds.
    lateness: Vec<f64>,
    stalls: u32,
    period: f64,
    is_plotted: bool,
}

impl Row {
    fn new(name: String, period: f64) -> Self {
        Self {
            name,
            lateness: Vec::new(),
            stalls: 0,
            period,
            is_plotted: false,
        }
    }

    /// A stall and when it was reported, if it was.
    fn add(&mut self, due: f64, reported: Option<f64>) {
        self.stalls += 1;
        self.lateness.extend(reported.map(|time| time - due));
    }

    /// Prints it, and checks whether all stalls were found.
    fn check(&self) -> Result<()> {
        let found = self.lateness.len();
        match Spread::of(self.lateness.iter().copied()) {
            None => println!("{}: 0 of {}", self.name, self.stalls),
            Some(spread) => println!(
                "{}: {found} of {}, {:+.3} {:+.3} {:+.3} s",
                self.name, self.stalls, spread.least, spread.median, spread.most
            ),
        }
        let is_complete = found == self.stalls as usize || !self.name.contains("vigil");
        ensure!(is_complete, "vigil missed some");
        Ok(())
    }

    pub(super) fn cells(&self) -> Result<Vec<Cell>> {
        let found = Cell::text(format!("{} of {}", self.lateness.len(), self.stalls));
        let mut cells = vec![Cell::text(&self.name), found];
        match Spread::of(self.lateness.iter().copied()) {
            None => cells.extend([Cell::None, Cell::None, Cell::None, Cell::None]),
            Some(spread) => {
                let all = [spread.least, spread.median, spread.most];
                cells.extend(all.map(|value| Cell::Number(value, 3)));
                let periods = all.map(|value| format!("{:.2}", value / self.period));
                cells.push(Cell::text(periods.join(", ")));
            }
        }
        Ok(cells)
    }

    /// How many percent were reported by then.
    fn series(&mut self) -> Option<Series> {
        self.lateness.sort_by(f64::total_cmp);
        let each = 100.0 / f64::from(self.stalls.max(1));
        let points = self.lateness.iter().zip(1..);
        let points: Vec<(f64, f64)> = points
            .map(|(late, n)| (*late, each * f64::from(n)))
            .collect();
        (!points.is_empty()).then(|| Series {
            name: self.name.clone(),
            points,
        })
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

/// Numbers of stalls, each used once.
#[derive(Default)]
pub(super) struct Stalls {
    last: u32,
}

impl Stalls {
    fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    fn soft(&mut self, vm: &Vm, thresh: f64, times: u32) -> Result<[Row; 2]> {
        let period = 0.4 * thresh;
        let mut rows = ["vigil", "in-tree"]
            .map(|who| Row::new(format!("soft lockup, {} s, {who}", 2.0 * thresh), period));
        for number in 0..times {
            for (detector, row) in rows.iter_mut().enumerate() {
                let ours = detector == 0;
                vm.set_knob("soft_watchdog", u8::from(ours))?;
                let in_tree: &[u8] = if ours { b"0" } else { b"1" };
                vm.write("/proc/sys/kernel/soft_watchdog", in_tree)?;
                phase(vm, number, period)?;
                // The in-tree one counts in units of 2^30 ns, wants one more, and waits for a sample.
                let seconds = if ours {
                    2.4 * thresh
                } else {
                    (2.0 * thresh + 1.0) * 1.0738 + 2.0 * period + 0.1
                };
                let ms = (seconds * 1000.0) as u32;
                let (began, log) = stall(vm, "preempt_off", ms, self.next())?;
                let is_it = |found: &Finding| matches!(found, Finding::SoftLockup(lockup) if lockup.cpu == 1);
                let reported = first(&log, is_it);
                row.add(began + 2.0 * thresh, reported[detector]);
            }
        }
        vm.set_knob("soft_watchdog", 1)?;
        for row in &rows {
            row.check()?;
        }
        Ok(rows)
    }

    /// Stalls of so many seconds each, while `watchdog_thresh` is `thresh`.
    pub(super) fn hard(
        &mut self,
        vm: &Vm,
        thresh: f64,
        seconds: f64,
        times: u32,
    ) -> Result<[Row; 2]> {
        let period = 0.4 * thresh;
        let mut rows = ["vigil", "in-tree"]
            .map(|who| Row::new(format!("hard lockup, {thresh} s, {who}"), period));
        for number in 0..times {
            phase(vm, number, period)?;
            let ms = (seconds * 1000.0) as u32;
            let (began, log) = stall(vm, "irqs_off", ms, self.next())?;
            let is_it =
                |found: &Finding| matches!(found, Finding::HardLockup(lockup) if lockup.cpu == 1);
            for (row, reported) in rows.iter_mut().zip(first(&log, is_it)) {
                row.add(began + thresh, reported);
            }
        }
        for row in &rows {
            row.check()?;
        }
        Ok(rows)
    }

    /// Tasks that begin to hang over the in-tree detector's interval, which is the timeout by default.
    fn hung(&mut self, vm: &Vm, timeout: u32, times: u32) -> Result<[Row; 2]> {
        vm.set_knob("hung_task_timeout_secs", timeout)?;
        vm.sh_ok(&format!(
            "sysctl -q kernel.hung_task_timeout_secs={timeout}"
        ))?;
        let mark = vm.mark()?;
        let seconds = f64::from(timeout);
        let mut stalls = Vec::new();
        for number in 0..times {
            phase(vm, number, seconds / f64::from(times))?;
            let id = self.next();
            let before = vm.uptime()?;
            vm.write(
                &format!("{PROVOKE}/run"),
                format!("completion id={id} secs=3600").as_bytes(),
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
        vm.sh_ok(&format!("sleep {}", 2 * timeout + 3))?;
        let log = Log::parse(&vm.dmesg_after(mark)?);
        vm.sh_ok(&format!(
            "echo all > {PROVOKE}/end; sysctl -q kernel.hung_task_timeout_secs=0"
        ))?;
        vm.set_knob("hung_task_timeout_secs", 0)?;

        // vigil's interval: a sixteenth, at least a second.
        let intervals = [("vigil", (seconds / 16.0).max(1.0)), ("in-tree", seconds)];
        let mut rows = intervals
            .map(|(who, interval)| Row::new(format!("hung task, {timeout} s, {who}"), interval));
        for (pid, began) in stalls {
            let is_it =
                |found: &Finding| matches!(found, Finding::HungTask(hung) if hung.task.pid == pid);
            for (row, reported) in rows.iter_mut().zip(first(&log, is_it)) {
                row.add(began + seconds, reported);
            }
        }
        for row in &mut rows {
            row.check()?;
            row.is_plotted = timeout == 120;
        }
        Ok(rows)
    }
}
