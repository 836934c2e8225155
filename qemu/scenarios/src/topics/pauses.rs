// SPDX-License-Identifier: GPL-2.0
//! Guests that their host stops, with all panic knobs on: no panic and no report, and a true soft
//! lockup, hung task and hard lockup right after it are found. `make pauses` writes the table in
//! `docs/virtual-machines.md` from these.

use super::{
    hung_stall::{finish_look, reports, wait_report, Stall, PROVOKE, SOON},
    lockup_pause::NO_ASKING,
    lockup_stall::{guest_of, provoke, Lockup, Words},
    reports::panicked,
};
use crate::prelude::*;
use serde::Serialize;
use std::{env, fs::File, io::Write, thread};
use vigil_vm::BootError;

/// The file to which each guest's row is added, if there is to be one.
const VARIABLE: &str = "VIGIL_PAUSES";

/// What the module was built from.
const COMMIT: &str = "VIGIL_COMMIT";

/// The thresholds of vigil, and of the in-tree detectors where there are some. A soft lockup takes 4 s.
const THRESH: u32 = 2;
const TIMEOUT: u32 = 10;

/// Between two stops of a guest that is stopped again and again.
const BETWEEN: Duration = Duration::from_millis(300);

const HOUR: Duration = secs(3600);

/// Why clocks are not set forward by hours on a kernel that is never idle. Tasks were seen there that
/// were runnable and did not get to run for ten seconds, which is a hung task for whoever waits for them.
///
/// After a day `pick_task_fair()` may find none and follow a null pointer, with or without vigil.
const CHARGED: &str = "the scheduler charges all of the time to the task that runs";

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        row_of("stop_1s", |cx| of(cx, Pause::Stop(secs(1)), 1)),
        row_of("stop_10s", |cx| of(cx, Pause::Stop(secs(10)), 1)),
        row_of("stop_60s", |cx| of(cx, Pause::Stop(secs(60)), 1)),
        row_of("stop_again", |cx| of(cx, Pause::Stop(secs(2)), 20)),
        row_of("clocks_stopped", |cx| {
            of(cx, Pause::ClocksStopped(secs(10)), 1)
        }),
        row_of("snapshot", |cx| of(cx, Pause::Snapshot(Duration::ZERO), 1)),
        row_of("an_hour", |cx| of(cx, Pause::Snapshot(HOUR), 1)).not_with("CONFIG_KASAN", CHARGED),
        row_of("eight_hours", |cx| of(cx, Pause::Snapshot(HOUR * 8), 1))
            .not_with("CONFIG_KASAN", CHARGED),
        row_of("one_cpu", |cx| of(cx, Pause::OneCpu(secs(8)), 1)).only_on(Arch::X86_64, NO_ASKING),
        row_of("one_cpu_again", |cx| of(cx, Pause::OneCpu(secs(2)), 20))
            .only_on(Arch::X86_64, NO_ASKING),
        row_of("eight_on_one", |cx| of(cx, Pause::Shared(secs(30)), 1)),
    ]
}

/// The kernel's own detectors are fooled by the pauses.
fn row_of(name: &'static str, run: fn(&Cx) -> Verdict) -> Scenario {
    Scenario::new(name, run)
        .limit(secs(420))
        .allow(Splat::RcuStall)
        .all()
}

/// How a guest is kept from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// QEMU is stopped, and the clocks go on.
    Stop(Duration),
    /// QEMU stops the guest, and its clocks.
    ClocksStopped(Duration),
    /// It is written to a file, and another QEMU continues from there, with clocks that are put
    /// on by so much.
    Snapshot(Duration),
    /// The thread of virtual CPU 1 is stopped.
    OneCpu(Duration),
    /// Eight busy virtual CPUs share one processor for so long.
    Shared(Duration),
}

/// A row of the table.
#[derive(Debug, Default, Serialize)]
struct Row {
    kernel: String,
    commit: String,
    emulated: bool,
    pause: &'static str,
    /// So many of them, in seconds.
    count: u32,
    seconds: f64,
    cpus: u32,
    /// By the guest's clock, for all of them.
    lost: f64,
    panics: u32,
    /// First lines of reports on what was not stuck.
    false_reports: Vec<String>,
    /// Lines that say that the CPU which was stopped does not run.
    not_run: usize,
    /// What the in-tree detectors said of the pauses; none if the kernel has none.
    in_tree: Option<usize>,
    /// Seconds from the beginning of a true one right after a pause to its report; of the hard one, to
    /// its panic.
    soft: Option<f64>,
    hung: Option<f64>,
    hard: Option<f64>,
    /// Why the guest was given up.
    error: Option<String>,
}

impl Row {
    /// Adds it to the file.
    fn keep(&self) -> Verdict {
        let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
            return Ok(());
        };
        let mut file = File::options().create(true).append(true).open(path)?;
        file.write_all(format!("{}\n", serde_json::to_string(self)?).as_bytes())?;
        Ok(())
    }
}

/// Three times in one guest, `count` pauses in all: pauses, and then something that is stuck. Its panic is
/// switched off in between; the last one's is not.
fn of(cx: &Cx, pause: Pause, count: u32) -> Verdict {
    let (name, length) = match pause {
        Pause::Stop(length) => ("stop", length),
        Pause::ClocksStopped(length) => ("clocks_stopped", length),
        Pause::Snapshot(length) => ("snapshot", length),
        Pause::OneCpu(length) => ("one_cpu", length),
        Pause::Shared(length) => ("shared", length),
    };
    let mut row = Row {
        pause: name,
        seconds: length.as_secs_f64(),
        cpus: if name == "shared" { 8 } else { 2 },
        ..Row::default()
    };
    let verdict = observe(cx, pause, count, &mut row);
    if let Err(error) = &verdict {
        let panicked = error.chain().any(|cause| {
            matches!(cause.downcast_ref(), Some(Error::Panicked { .. }))
                || matches!(cause.downcast_ref(), Some(BootError { panicked: true, .. }))
        });
        row.panics = u32::from(panicked);
        row.error = format!("{error:#}").lines().next().map(str::to_owned);
    }
    row.keep()?;
    verdict?;
    ensure!(row.false_reports.is_empty(), "{row:#?}");
    Ok(())
}

fn observe(cx: &Cx, pause: Pause, count: u32, row: &mut Row) -> Verdict {
    let unresponsive = match pause {
        // That is what it is for.
        Pause::OneCpu(_) => "",
        _ => "unresponsive_cpu_panic=1",
    };
    let mut vm = guest_of(
        cx,
        cx.config().cpus(row.cpus),
        &format!(
            "watchdog_thresh={THRESH} hung_task_timeout_secs={TIMEOUT} hung_task_warnings=-1 \
             hung_task_check_interval_secs=1 softlockup_panic=1 hardlockup_panic=1 \
             hung_task_panic=1 {unresponsive}"
        ),
    )?;
    row.commit = env::var(COMMIT).unwrap_or_default();
    row.kernel = vm.read("/proc/sys/kernel/osrelease")?.trim().to_owned();
    row.emulated = vm.is_emulated()?;
    let pause = match pause {
        // Only an emulated guest's clocks can be set forward.
        Pause::Snapshot(later) if later > Duration::ZERO && !row.emulated => {
            row.pause = "stop";
            row.seconds = 60.0;
            Pause::Stop(secs(60))
        }
        pause => pause,
    };
    let has = |option| vm.artifacts().kernel_has(option);
    row.in_tree =
        (has("CONFIG_SOFTLOCKUP_DETECTOR") || has("CONFIG_DETECT_HUNG_TASK")).then_some(0);
    vm.sh_ok(&format!(
        "cd /proc/sys/kernel
         set_to() {{ [ ! -e $1 ] || echo $2 > $1; }}
         set_to watchdog_thresh {THRESH}; set_to hung_task_check_interval_secs 1
         set_to hung_task_warnings -1; set_to hung_task_timeout_secs {TIMEOUT}"
    ))?;
    // The scheduler charges whatever runs at a jump of the clock with all of it: next to a busy loop, the
    // agent or a thread of a stall would not run for an hour, and be stuck for true.
    let first = match pause {
        Pause::Snapshot(later) if later > Duration::ZERO => 1,
        _ => 0,
    };
    // No job: it is to survive a change of QEMU.
    let busy = |vm: &Vm| {
        vm.sh_ok(&format!(
            "for cpu in $(seq {first} {}); do
             setsid taskset -c $cpu sh -c 'while :; do :; done' < /dev/null > /dev/null 2>&1 &
             done",
            row.cpus - 1
        ))
    };
    busy(&vm)?;
    if let Pause::Shared(_) = pause {
        vm.share_one_processor()?;
    }

    for (round, kind) in ["soft", "hung", "hard"].into_iter().enumerate() {
        // Asleep again and again, for much less than the timeout, with a timer on a CPU that runs.
        for _ in 0..3 {
            let nap = Stall::start(&vm, "nap ms=2000 count=1000")?;
            vm.sh_ok(&format!("taskset -pc 0 {}", nap.victim()))?;
        }
        let mark = vm.mark()?;
        let before = vm.uptime()?;
        let times = (count + 2 - round as u32) / 3;
        for number in 0..times.max(1) {
            if number > 0 {
                thread::sleep(BETWEEN);
            }
            vm = stop(cx, vm, pause, row)?;
            row.count += 1;
        }
        let after = vm.uptime()?;
        row.lost += after - before;

        // Right after it.
        let found = match kind {
            "soft" => {
                vm.set_knob("softlockup_panic", 0)?;
                let outcome = provoke(&vm, "preempt_off cpu=1 ms=7000")?;
                vm.set_knob("softlockup_panic", 1)?;
                let span = outcome.span()?;
                let (began, ended) = (span.began, span.ended);
                let lines = vm.dmesg_after(mark)?;
                let is_true = |cpu: u32, time: f64| cpu == 1 && (began..=ended).contains(&time);
                let words = judge(row, pause, &lines, before, began, is_true, |_| false)?;
                let first = words
                    .soft
                    .iter()
                    .find(|report| is_true(report.cpu, report.time));
                row.soft = first.map(|report| report.time - began);
                row.soft
            }
            "hung" => {
                vm.set_knob("hung_task_panic", 0)?;
                let stall = Stall::start(&vm, "mutex")?;
                let line = wait_report(&vm, mark, stall.victim())?;
                finish_look(&vm)?;
                let lines = vm.dmesg_after(mark)?;
                let is_true = |pid: u32| pid == stall.victim();
                judge(
                    row,
                    pause,
                    &lines,
                    before,
                    stall.after,
                    |_, _| false,
                    is_true,
                )?;
                row.hung = Some(line.time - stall.after);
                stall.end(&vm)?;
                finish_look(&vm)?;
                vm.set_knob("hung_task_panic", 1)?;
                row.hung
            }
            _ => {
                let began = vm.uptime()?;
                Lockup::start(&vm, "irqs_off cpu=1 ms=60000")?;
                let text = vm.wait_panic(SOON)?;
                let time = panicked(&text, "Hard LOCKUP")?;
                let log = vm.log_so_far();
                let lines: Vec<LogLine> = log
                    .lines()
                    .iter()
                    .filter(|line| line.time >= before)
                    .cloned()
                    .collect();
                let is_true = |cpu: u32, time: f64| cpu == 1 && time >= began;
                judge(row, pause, &lines, before, began, is_true, |_| false)?;
                row.hard = Some(time - began);
                return Ok(());
            }
        };
        ensure!(found.is_some(), "the {kind} lockup was not found: {row:#?}");
        vm.write(&format!("{PROVOKE}/end"), b"all")?;
    }
    Ok(())
}

/// Has the guest not run once.
fn stop(cx: &Cx, vm: Vm, pause: Pause, row: &Row) -> anyhow::Result<Vm> {
    match pause {
        Pause::Stop(length) => {
            vm.freeze()?;
            cx.sleep_yielding_slot(length);
            vm.thaw()?;
        }
        Pause::ClocksStopped(length) => {
            vm.qmp(&qmp::stop {})?;
            cx.sleep_yielding_slot(length);
            vm.qmp(&qmp::cont {})?;
        }
        Pause::Snapshot(later) => {
            return cx.continue_elsewhere(vm, cx.config().cpus(row.cpus), later);
        }
        Pause::OneCpu(length) => {
            let frozen = vm.freeze_vcpu_in_user_mode(1)?;
            thread::sleep(length);
            drop(frozen);
        }
        Pause::Shared(length) => thread::sleep(length),
    }
    Ok(vm)
}

/// Sorts what was said since `from`: what is not true is a false report.
fn judge(
    row: &mut Row,
    pause: Pause,
    lines: &[LogLine],
    from: f64,
    began: f64,
    is_stuck: impl Fn(u32, f64) -> bool,
    is_hung: impl Fn(u32) -> bool,
) -> anyhow::Result<Words> {
    let words = Words::of(lines)?;
    let hung = reports(lines)?;
    let mut wrong = Vec::new();
    let soft = words
        .soft
        .iter()
        .map(|report| (report.cpu, report.time, &report.lines));
    let hard = words
        .hard
        .iter()
        .map(|report| (report.cpu, report.time, &report.lines));
    for (cpu, time, lines) in soft.chain(hard) {
        if !is_stuck(cpu, time) {
            wrong.push(lines.first().cloned().unwrap_or_default());
        }
    }
    for report in hung.iter().filter(|report| report.is_vigil()) {
        if !is_hung(report.task.pid) {
            wrong.push(report.lines.first().cloned().unwrap_or_default());
        }
    }
    for note in &words.not_run {
        match pause {
            Pause::OneCpu(_) if note.cpu == 1 => row.not_run += 1,
            _ => wrong.push(format!(
                "CPU{} has not run for {} s",
                note.cpu, note.seconds
            )),
        }
    }
    row.false_reports.append(&mut wrong);
    if let Some(in_tree) = &mut row.in_tree {
        let soft = words.in_tree_soft.iter().map(|report| report.time);
        let hung = hung.iter().filter(|report| report.is_in_tree());
        // A stall begins when the pause is over: within a second it says nothing of that.
        let of_pause = |time: &f64| (from..began + 1.0).contains(time);
        *in_tree += soft
            .chain(hung.map(|report| report.time))
            .filter(of_pause)
            .count();
    }
    Ok(words)
}
