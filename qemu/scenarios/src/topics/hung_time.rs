// SPDX-License-Identifier: GPL-2.0
//! When reports come. All times are the guest's, from the stamps of its log.

use super::hung_stall::{
    guest, has_khungtaskd, paused, reports, wait_for, wait_report, Stall, MAINLINE, SOON,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("timeout_plus_interval", timeout_plus_interval)
            .core()
            .light(),
        Scenario::new("timeout_20", timeout_20).light(),
        Scenario::new("changes_take_effect_at_once", changes_take_effect_at_once).light(),
        Scenario::new("again_after_each_timeout", again_after_each_timeout).light(),
    ]
}

/// What vigil may take besides, in seconds: the reaction of a slow machine.
const GRACE: f64 = 1.0;

/// Sets timeout and interval, makes a task hang, and ensures that the report
/// comes when it has to.
fn in_time(vm: &Vm, timeout: u32, interval: u32) -> Verdict {
    vm.set_knob("hung_task_check_interval_secs", interval)?;
    vm.set_knob("hung_task_timeout_secs", timeout)?;
    let mark = vm.mark()?;
    let paused_before = paused(&Status::read(vm)?)?;
    let stall = Stall::start(vm, "mutex")?;
    let report = wait_report(vm, mark, stall.victim())?;
    // A busy host may not run the guest for seconds, which do not count.
    let paused = paused(&Status::read(vm)?)? - paused_before;
    stall.end(vm)?;
    let (timeout, mut interval) = (f64::from(timeout), f64::from(interval));
    if interval == 0.0 {
        interval = (timeout / 16.0).max(1.0);
    }
    // A longer one than the timeout is taken for the timeout.
    interval = interval.min(timeout);
    let (least, most) = (report.time - stall.before, report.time - stall.after);
    ensure!(
        most >= timeout,
        "timeout {timeout}: reported after {most} s at most"
    );
    // With strict grace periods RCU's threads are runnable most of the time, and scans are skipped meanwhile
    // (logic/hung_task/scan_policy.rs).
    let skipped = if machine::has_strict_rcu() {
        timeout / 8.0
    } else {
        0.0
    };
    ensure!(
        least <= timeout + interval + skipped + paused + GRACE,
        "timeout {timeout}, interval {interval}: reported after {least} s at least, paused for {paused} s"
    );
    Ok(())
}

/// Ensures that the in-tree detector is on, if there is one, and has said nothing
/// since the boot.
fn in_tree_said_nothing(vm: &Vm) -> Verdict {
    if has_khungtaskd(vm) {
        let timeout = vm.read("/proc/sys/kernel/hung_task_timeout_secs")?;
        ensure!(timeout == "120\n", "not the in-tree default: {timeout}");
    }
    let reports = reports(&vm.dmesg()?)?;
    ensure!(
        !reports.is_empty() && reports.iter().all(|report| report.is_vigil()),
        "{reports:#?}"
    );
    Ok(())
}

/// A report comes within timeout, interval and a second, whether the interval is
/// given or chosen; the in-tree detector with its defaults has said nothing by
/// then.
fn timeout_plus_interval(cx: &Cx) -> Verdict {
    let vm = guest(cx, "")?;
    for (timeout, interval) in [(2, 0), (5, 0), (3, 2), (2, 100)] {
        in_time(&vm, timeout, interval)?;
    }
    in_tree_said_nothing(&vm)
}

/// The same for a timeout whose sixteenth is more than a second.
fn timeout_20(cx: &Cx) -> Verdict {
    let vm = guest(cx, "")?;
    in_time(&vm, 20, 0)?;
    in_tree_said_nothing(&vm)
}

/// A new timeout or interval is not slept through, however long the old one
/// was; time that a task was already seen stuck for counts.
fn changes_take_effect_at_once(cx: &Cx) -> Verdict {
    let vm = guest(cx, "hung_task_timeout_secs=0")?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;

    // On: from here on it is seen.
    let written = vm.uptime()?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let after = wait_report(&vm, mark, stall.victim())?.time - written;
    ensure!(
        (2.0..4.0).contains(&after),
        "switched on, reported {after} s later"
    );

    // A pass each minute: too rarely to see the next task, until told otherwise.
    vm.set_knob("hung_task_timeout_secs", 1000)?;
    stall.end(&vm)?;
    wait_for(&vm, SOON, "nothing to be watched", || {
        // A write makes it look at the knobs, not at the tasks.
        vm.set_knob("hung_task_check_interval_secs", 1)?;
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 0).then_some(()))
    })?;
    vm.set_knob("hung_task_check_interval_secs", 0)?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;
    let passes = Status::read(&vm)?.number(key::hung_task::CHECKS)?;
    vm.sh_ok("sleep 3")?;
    let status = Status::read(&vm)?;
    ensure!(
        status.number(key::hung_task::CHECKS)? == passes
            && status.number(key::hung_task::TRACKED_TASKS)? == 0,
        "{}",
        status
    );
    let written = vm.uptime()?;
    vm.set_knob("hung_task_check_interval_secs", 1)?;
    wait_for(&vm, SOON, "it to be watched", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 1).then_some(()))
    })?;
    let after = vm.uptime()? - written;
    ensure!(
        after < 2.0,
        "the interval was shortened, the task seen {after} s later"
    );

    // Seen stuck for 3 s, and now that is enough.
    vm.sh_ok("sleep 3")?;
    ensure!(
        reports(&vm.dmesg_after(mark)?)?.is_empty(),
        "reported already"
    );
    let written = vm.uptime()?;
    vm.set_knob("hung_task_timeout_secs", 3)?;
    let after = wait_report(&vm, mark, stall.victim())?.time - written;
    ensure!(
        after < 1.0,
        "the timeout was shortened, reported {after} s later"
    );
    Ok(())
}

/// A stall is reported once more after each further timeout and counted once; a
/// task that ran in between starts from zero and is counted again.
fn again_after_each_timeout(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        &format!(
            "{MAINLINE} hung_task_timeout_secs=3 hung_task_check_interval_secs=1 hung_task_warnings=-1"
        ),
    )?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex")?;
    let napping = Stall::start(&vm, "nap ms=4500 count=2")?;
    let third = format!(
        r"^INFO: task \S+:{} blocked for more than (9|10) seconds",
        stuck.victim()
    );
    vm.wait_log_after(mark, &third, SOON)?;
    // It ends by itself.
    wait_for(&vm, SOON, "the end of the second nap", || {
        let gone = vm
            .read(&format!("/proc/{}/comm", napping.victim()))
            .is_err();
        Ok(gone.then_some(()))
    })?;
    let reports = reports(&vm.dmesg_after(mark)?)?;
    let of = |pid| {
        reports
            .iter()
            .filter(move |report| report.task.pid == pid)
            .collect::<Vec<_>>()
    };

    let (stuck_reports, nap_reports) = (of(stuck.victim()), of(napping.victim()));
    ensure!(
        (3..=4).contains(&stuck_reports.len()),
        "{} reports",
        stuck_reports.len()
    );
    for (number, report) in (1_u32..).zip(&stuck_reports) {
        let due = f64::from(3 * number);
        let (least, most) = (report.time - stuck.before, report.time - stuck.after);
        ensure!(
            most >= due && least <= due + 1.0 + GRACE,
            "report {number} after {least} to {most} s"
        );
        let seconds = u64::from(3 * number);
        ensure!(
            (seconds..=seconds + 1).contains(&report.seconds),
            "report {number}: {} s",
            report.seconds
        );
    }
    ensure!(
        nap_reports.len() == 2,
        "{} reports on two naps",
        nap_reports.len()
    );
    for (begun, report) in [0.0, 4.5].iter().zip(&nap_reports) {
        let (least, most) = (report.time - napping.before, report.time - napping.after);
        ensure!(
            most >= begun + 3.0 && least <= begun + 3.0 + 1.0 + GRACE,
            "after {least} to {most} s"
        );
        ensure!(
            report.seconds == 3 || report.seconds == 4,
            "{} s",
            report.seconds
        );
    }
    let count = vm.knob("hung_task_detect_count")?;
    ensure!(count == "3", "{count} stalls counted, not 3");
    in_tree_said_nothing(&vm)
}
