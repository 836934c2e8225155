// SPDX-License-Identifier: GPL-2.0
//! What each of the hung_task_* knobs does. (Timeout and interval: see
//! `hung_time`; which values are taken: see `knobs`.)

use super::{
    hung_stall::{
        finish_look, first_reports, headline, mainline_guest as guest, report_on, reports,
        wait_for, wait_report, Stall, MAINLINE, SOON,
    },
    reports::panicked,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("warnings_are_for_causes", warnings_are_for_causes).light(),
        Scenario::new(
            "warnings_run_out_and_come_back",
            warnings_run_out_and_come_back,
        )
        .light(),
        Scenario::new("detect_count_and_off", detect_count_and_off).light(),
        Scenario::new("check_count", check_count).light(),
        Scenario::new("more_is_shown", more_is_shown).light(),
        Scenario::new("panic_by_count", panic_by_count)
            .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
            .core()
            .light(),
        Scenario::new("writes_during_reports", writes_during_reports),
    ]
}

const SUPPRESSED: &str =
    r"^Future hung task reports are suppressed, see sysctl vigil\.hung_task_warnings$";

/// Each report takes one warning; with the last one the log says that there will
/// be no more. A write brings them back, -1 for good. Stalls are found and
/// counted all the same.
fn warnings_run_out_and_come_back(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=3",
    )?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex count=5")?;
    vm.wait_log_after(mark, SUPPRESSED, SOON)?;
    finish_look(&vm)?;
    let log = vm.dmesg_after(mark)?;
    let before_the_end = log
        .split(|line| line.text.starts_with("Future hung"))
        .next()
        .unwrap_or_default();
    ensure!(
        reports(before_the_end)?.len() == 3 && reports(&log)?.len() == 3,
        "{log:#?}"
    );
    ensure!(
        vm.knob("hung_task_warnings")? == "0",
        "{}",
        vm.knob("hung_task_warnings")?
    );
    ensure!(
        vm.knob("hung_task_detect_count")? == "5",
        "{}",
        vm.knob("hung_task_detect_count")?
    );
    ensure!(
        Status::read(&vm)?.number(key::hung_task::HUNG_TASKS)? == 5,
        "{}",
        Status::read(&vm)?
    );

    let mark = vm.mark()?;
    vm.set_knob("hung_task_warnings", 2)?;
    vm.wait_log_after(mark, SUPPRESSED, SOON)?;
    let again = reports(&vm.dmesg_after(mark)?)?;
    ensure!(again.len() == 2, "{again:#?}");

    vm.set_knob("hung_task_warnings", -1)?;
    let mark = vm.mark()?;
    first_reports(&vm, mark, &stuck.victims)?;
    // Again, as there is no limit.
    let mark = vm.mark()?;
    first_reports(&vm, mark, &stuck.victims)?;
    ensure!(
        vm.knob("hung_task_warnings")? == "-1",
        "{}",
        vm.knob("hung_task_warnings")?
    );
    let log = vm.dmesg_after(mark)?;
    ensure!(
        !log.iter().any(|line| line.text.starts_with("Future hung")),
        "{log:#?}"
    );
    Ok(())
}

/// Neither a stall that is reported again and again, nor many tasks behind one lock, use up what the
/// first report of another cause needs.
fn warnings_are_for_causes(cx: &Cx) -> Verdict {
    for first in ["unstarted", "mutex count=5"] {
        let vm = guest(
            cx,
            "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=3",
        )?;
        let mark = vm.mark()?;
        Stall::start(&vm, first)?;
        vm.wait_log_after(mark, SUPPRESSED, SOON)?;
        for kind in ["rwsem_writer", "sem"] {
            let mark = vm.mark()?;
            let other = Stall::start(&vm, kind)?;
            wait_report(&vm, mark, other.victim()).with_context(|| format!("{first}, {kind}"))?;
        }
        // Three causes: now it is silent, and so it is when silence is asked for.
        for silence in [false, true] {
            if silence {
                vm.set_knob("hung_task_warnings", 1)?;
                vm.set_knob("hung_task_warnings", 0)?;
            }
            let mark = vm.mark()?;
            let last = Stall::start(&vm, "completion")?;
            finish_look(&vm)?;
            finish_look(&vm)?;
            finish_look(&vm)?;
            let reports = reports(&vm.dmesg_after(mark)?)?;
            ensure!(reports.is_empty(), "{first}: {reports:#?}");
            last.end(&vm)?;
        }
    }
    Ok(())
}

/// A stall is counted once, however long it lasts; 0 resets the count, nothing
/// else can be written. With the timeout 0 nothing is watched or reported, and
/// afterwards what is still stuck is a new stall.
fn detect_count_and_off(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=-1",
    )?;
    let count = || vm.knob("hung_task_detect_count");
    ensure!(count()? == "0", "{} without a stall", count()?);
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex count=2")?;
    let later = format!(
        r"^INFO: task \S+:{} blocked for more than [45] seconds",
        stuck.victims[1]
    );
    vm.wait_log_after(mark, &later, SOON)?;
    ensure!(count()? == "2", "{} with two stalls", count()?);
    let refused = vm
        .set_knob("hung_task_detect_count", 1)
        .err()
        .and_then(|error| error.errno());
    ensure!(
        refused == Some(Errno::EINVAL) && count()? == "2",
        "1 written: {refused:?}, {}",
        count()?
    );
    vm.set_knob("hung_task_detect_count", 0)?;
    ensure!(count()? == "0", "{} after a reset", count()?);
    finish_look(&vm)?;
    ensure!(
        count()? == "0",
        "{}: the old stalls are counted again",
        count()?
    );

    vm.set_knob("hung_task_timeout_secs", 0)?;
    let status = wait_for(&vm, SOON, "it to be off", || {
        let status = Status::read(&vm)?;
        Ok((status.number(key::hung_task::TRACKED_TASKS)? == 0).then_some(status))
    })?;
    ensure!(
        status.get(key::hung_task::ENABLED)? == "0"
            && status.number(key::hung_task::HUNG_TASKS)? == 0,
        "{}",
        status
    );
    let mark = vm.mark()?;
    // No event tells that nothing happens: longer than timeout and interval.
    vm.sh_ok("sleep 4")?;
    let passes = Status::read(&vm)?.number(key::hung_task::CHECKS)?;
    ensure!(
        passes == status.number(key::hung_task::CHECKS)?,
        "{passes} passes, there were {} before",
        status.number(key::hung_task::CHECKS)?
    );
    ensure!(
        reports(&vm.dmesg_after(mark)?)?.is_empty(),
        "reports while it is off"
    );

    vm.set_knob("hung_task_timeout_secs", 2)?;
    first_reports(&vm, mark, &stuck.victims)?;
    ensure!(count()? == "2", "{} after it was off", count()?);
    Ok(())
}

/// With 0 no task is looked at. With a few, the walk goes on where it stopped,
/// and comes to a stuck task in the end.
fn check_count(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_check_count=0",
    )?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex")?;
    // Four looks and three seconds at least.
    finish_look(&vm)?;
    finish_look(&vm)?;
    let status = Status::read(&vm)?;
    ensure!(
        status.number(key::hung_task::TRACKED_TASKS)? == 0
            && status.number(key::hung_task::SCANNED_TASKS)? == 0,
        "{}",
        status
    );

    let tasks = vm
        .sh_ok("ls -d /proc/[0-9]*/task/* | wc -l")?
        .trim()
        .parse::<u32>()?;
    let share = 20;
    let written = vm.uptime()?;
    vm.set_knob("hung_task_check_count", share)?;
    let line = wait_report(&vm, mark, stuck.victim())?;
    ensure!(
        line.time > written,
        "reported with a check_count of 0: {line:?}"
    );
    let took = line.time - written;
    let passes = f64::from(tasks / share + 2);
    ensure!(
        took < passes + 4.0,
        "{tasks} tasks, {share} a second, found after {took} s"
    );
    let status = Status::read(&vm)?;
    ensure!(
        status.number(key::hung_task::SCANS)? >= 2,
        "it needed one walk only:\n{}",
        status
    );
    ensure!(
        status.number(key::hung_task::SCANNED_TASKS)?
            <= u64::from(share) * status.number(key::hung_task::SCANS)?,
        "{}",
        status
    );
    Ok(())
}

/// all_cpu_backtrace adds all CPUs' stacks to a report, sys_info what it names.
fn more_is_shown(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=-1",
    )?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex")?;
    let added = ["NMI backtrace for cpu ", "Mem-Info:", "task:vigild/hung "];
    let plain = first_reports(&vm, mark, &stuck.victims)?.remove(0);
    for words in added {
        ensure!(!plain.mentions(words), "{words} without being asked for");
    }
    for (knob, value, expected) in [
        ("hung_task_all_cpu_backtrace", "1", &added[..1]),
        ("hung_task_sys_info", "tasks,mem", &added[1..]),
    ] {
        let mark = vm.mark()?;
        vm.set_knob(knob, value)?;
        for words in expected {
            vm.wait_log_after(mark, words, SOON)?;
        }
        let off = if value == "1" { "0\n" } else { "\n" };
        vm.set_knob(knob, off)?;
        finish_look(&vm)?;
        let log = vm.dmesg_after(mark)?;
        ensure!(!reports(&log)?.is_empty(), "without a report");
        for words in added {
            let shown = log.iter().any(|line| line.text.contains(words));
            ensure!(
                shown == expected.contains(&words),
                "{knob}={value}: {words} is shown: {shown}"
            );
        }
    }
    // As in mainline also without warnings: once in a timeout, in which there are two checks, at each of
    // which a cause is due that was not printed yet.
    let mark = vm.mark()?;
    vm.set_knob("hung_task_warnings", 0)?;
    vm.set_knob("hung_task_report", "grouped")?;
    vm.set_knob("hung_task_sys_info", "mem")?;
    let shown = wait_for(&vm, SOON, "three of them", || {
        let log = vm.dmesg_after(mark)?;
        let shown = log.iter().filter(|line| line.text.contains(added[1]));
        let shown: Vec<f64> = shown.map(|line| line.time).collect();
        Ok((shown.len() >= 3).then_some(shown))
    })?;
    ensure!(
        shown.windows(2).all(|pair| pair[1] - pair[0] >= 1.8),
        "shown at {shown:?}"
    );
    ensure!(reports(&vm.dmesg_after(mark)?)?.is_empty(), "with a report");
    // What the kernel shows where nothing is said.
    vm.set_knob("hung_task_sys_info", "\n")?;
    finish_look(&vm)?;
    let mark = vm.mark()?;
    vm.write("/proc/sys/kernel/kernel_sys_info", b"mem")?;
    vm.wait_log_after(mark, added[1], SOON)?;
    Ok(())
}

/// One hung task is no reason to panic when two are asked for. Two are, even if
/// they became hung one after the other, and the report on the last one is given
/// even if no warnings are left.
fn panic_by_count(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_panic=2 hung_task_warnings=0",
    )?;
    Stall::start(&vm, "mutex")?;
    wait_for(&vm, SOON, "the first to be hung", || {
        Ok((Status::read(&vm)?.number(key::hung_task::HUNG_TASKS)? == 1).then_some(()))
    })?;
    finish_look(&vm)?;
    ensure!(
        reports(&vm.dmesg()?)?.is_empty(),
        "a report without a warning left"
    );
    // The guest may be gone before the stall's start is acknowledged.
    let second = Stall::start(&vm, "sem")?.victim();
    let at = panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    let console = vm.console().text();
    let reports = reports(&LogLine::parse_text(&console))?;
    let report = report_on(&reports, second)?;
    ensure!(report.time <= at, "after the panic at {at}: {report:#?}");
    for words in [
        machine::call_trace(),
        "blocked on a semaphore likely last held by task prov_hold/",
    ] {
        ensure!(
            report.mentions(words),
            "no '{words}' in the last report: {report:#?}"
        );
    }
    Ok(())
}

/// What is written while hundreds of reports are being printed holds for the
/// next one: the panic that was to come with the last of them does not, and
/// switching the detector off ends them.
fn writes_during_reports(cx: &Cx) -> Verdict {
    // Where the kernel is slow, so are the reports.
    let stuck = 1000 / machine::slowdown();
    let vm = cx.boot_with(cx.config().append("log_buf_len=64M"))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(&format!(
        "{MAINLINE} hung_task_timeout_secs=0 hung_task_warnings=-1 hung_task_panic={stuck}"
    ))?;
    Stall::start(&vm, &format!("threads count={stuck}"))?;
    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", 1)?;
    vm.wait_log_after(mark, &headline(None), SOON)?;
    vm.set_knob("hung_task_panic", 0)?;
    let found: u32 = vm.knob("hung_task_detect_count")?.parse()?;
    ensure!(found < stuck, "all were found before the panic was averted");
    wait_for(&vm, SOON, "all to be found hung", || {
        Ok((vm.knob("hung_task_detect_count")? == stuck.to_string()).then_some(()))
    })?;

    // The timeout is over again at once.
    finish_look(&vm)?;
    let mark = vm.mark()?;
    vm.wait_log_after(mark, &headline(None), SOON)?;
    vm.set_knob("hung_task_timeout_secs", 0)?;
    let written = vm.uptime()?;
    wait_for(&vm, SOON, "nothing to be watched", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 0).then_some(()))
    })?;
    let reports = reports(&vm.dmesg_after(mark)?)?;
    let late = reports
        .iter()
        .filter(|report| report.time > written)
        .count();
    // One may be on its way.
    ensure!(late <= 1, "{late} reports after it was switched off");
    Ok(())
}
