// SPDX-License-Identifier: GPL-2.0
//! Suspend to RAM: nothing is reported for the time asleep.

use super::hung_stall::{guest, reports, wait_for, wake_after, Stall, NO_WAKING, SOON};
use crate::prelude::*;
use regex::Regex;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("time_asleep_does_not_count", time_asleep_does_not_count)
            .only_on(Arch::X86_64, NO_WAKING),
    ]
}

/// Awake for 2 s, asleep for some 6 s, with a timeout of 5 s: a stuck task is
/// reported when it was stuck for 5 s awake, and one that naps for 3 s is not.
///
/// QEMU resets the virtio ports at the wake-up and the agent does not survive
/// that; what comes afterwards is read from the console. (Suspend to idle does
/// not work in QEMU: nothing wakes the guest from it, the clock's alarm
/// neither.)
fn time_asleep_does_not_count(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=5 hung_task_check_interval_secs=1",
    )?;
    let stuck = Stall::start(&vm, "mutex")?;
    let nap = Stall::start(&vm, "nap ms=3000 count=5")?;
    wait_for(&vm, SOON, "both to be watched", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 2).then_some(()))
    })?;
    vm.spawn(
        "asleep() { awk '{ print $1 }' /proc/uptime; }
         echo deep > /sys/power/mem_sleep
         echo \"<5>going to sleep at $(asleep)\" > /dev/kmsg
         echo mem > /sys/power/state
         echo \"<5>woken at $(asleep)\" > /dev/kmsg",
    )?;
    wake_after(&vm, secs(6))?;
    let console = vm.console();
    // The last line that a report on it has.
    let end = format!(
        r"(?m)^\[ *([\d.]+)\] INFO: task \S+:{} is blocked on an? (rt_)?mutex",
        stuck.victim()
    );
    let end = Regex::new(&end)?;
    let text = wait_for(&vm, SOON, "a report after the wake-up", || {
        let text = console.text();
        Ok(end.is_match(&text).then_some(text))
    })?;
    let find = |pattern: &str| -> anyhow::Result<(f64, f64)> {
        let found = Regex::new(pattern)?
            .captures(&text)
            .with_context(|| format!("no /{pattern}/ on the console"))?;
        Ok((found[1].parse()?, found[2].parse()?))
    };
    // The log's clock stands still in the sleep, the one of the uptime does not.
    let (slept, slept_real) = find(r"(?m)^\[ *([\d.]+)\] going to sleep at ([\d.]+)$")?;
    let (woke, woke_real) = find(r"(?m)^\[ *([\d.]+)\] woken at ([\d.]+)$")?;
    let asleep = (woke_real - slept_real) - (woke - slept);
    ensure!(asleep > 4.0, "asleep for {asleep} s only");

    let lines = LogLine::parse_text(&text);
    let reports = reports(&lines)?;
    let [report] = &reports[..] else {
        bail!("not one report: {reports:#?}");
    };
    ensure!(
        report.task.pid == stuck.victim() && report.task.pid != nap.victim(),
        "reported: {report:#?}"
    );
    let awake = report.time - stuck.before;
    // Going to sleep and waking up do not count, and take a while on some kernels.
    let counted = awake - (woke - slept);
    ensure!(
        awake >= 5.0 && counted < 8.0,
        "reported after {awake} s awake, {counted} s of which count: {report:#?}"
    );
    ensure!((5..=7).contains(&report.seconds), "{report:#?}");
    let splats: Vec<&LogLine> = lines
        .iter()
        .filter(|line| Splat::of(&line.text).is_some())
        .collect();
    ensure!(splats.is_empty(), "the kernel complained: {splats:#?}");
    Ok(())
}
