// SPDX-License-Identifier: GPL-2.0
//! Which hung tasks are left out, and which may make a panic: `hung_task_ignore`,
//! `hung_task_panic_only` and `hung_task_panic_secs`. (Which texts are rules: see `knobs`, and the host
//! test `hung_task_rules`.)

use super::{
    hung_stall::{
        finish_look, first_reports, guest, report_on, reports, wait_for, wait_report, Stall,
        PROVOKE, SOON,
    },
    reports::panicked,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("ignored_and_panic_only", ignored_and_panic_only).light(),
        Scenario::new("panic_secs", panic_secs).light().all(),
        Scenario::new("grouped", grouped)
            .needs(BLOCKERS)
            .light()
            .all(),
        Scenario::new("what_tasks_wait_for", what_tasks_wait_for)
            .needs(BLOCKERS)
            .light()
            .all(),
        Scenario::new("panic_is_cancelled", panic_is_cancelled)
            .light()
            .all(),
        Scenario::new("written_and_read_at_once", written_and_read_at_once).all(),
    ]
}

/// What all kinds of locks are recorded with that tasks wait for.
const BLOCKERS: &str = "CONFIG_DETECT_HUNG_TASK_BLOCKER";

/// Each hung task is reported by itself, so that it shows which ones are.
const SHORT: &str = "hung_task_report=mainline hung_task_timeout_secs=2 \
     hung_task_check_interval_secs=1 hung_task_warnings=-1";

/// How many tasks are hung, and how many more are ignored, as of the last check.
fn hung_and_ignored(vm: &Vm) -> anyhow::Result<(u64, u64)> {
    let status = Status::read(vm)?;
    Ok((
        status.number(key::hung_task::HUNG_TASKS)?,
        status.number(key::hung_task::IGNORED_TASKS)?,
    ))
}

/// Waits until so many tasks are hung, and so many more ignored.
fn wait_hung_and_ignored(vm: &Vm, hung: u64, ignored: u64) -> Verdict {
    let what = format!("{hung} hung tasks and {ignored} ignored");
    wait_for(vm, SOON, &what, || {
        Ok((hung_and_ignored(vm)? == (hung, ignored)).then_some(()))
    })
}

/// The tasks that are reported from the next check on until each of `pids` was.
fn reported(vm: &Vm, pids: &[u32]) -> anyhow::Result<Vec<u32>> {
    finish_look(vm)?;
    let mark = vm.mark()?;
    let reports = first_reports(vm, mark, pids)?;
    Ok(reports.iter().map(|report| report.task.pid).collect())
}

/// A task that is ignored has no report and is counted nowhere, until the rule is gone; nonsense
/// changes nothing. Of the tasks that are reported only those make a panic that may.
fn ignored_and_panic_only(cx: &Cx) -> Verdict {
    let vm = guest(cx, &format!("{SHORT} hung_task_ignore=left*,[out]"))?;
    ensure!(vm.knob("hung_task_ignore")? == "left*,[out]");
    let mark = vm.mark()?;
    let ignored = Stall::start(&vm, "mutex name=left_1")?;
    let out = Stall::start(&vm, "mutex name=out")?;
    let other = Stall::start(&vm, "mutex name=outer")?;
    wait_report(&vm, mark, other.victim())?;
    wait_hung_and_ignored(&vm, 1, 2)?;
    for nonsense in [
        "left*,", "left*,,a", "*", "[left*", "a*b", ":left", "left*, a",
    ] {
        let errno = vm.set_knob("hung_task_ignore", nonsense).err();
        let errno = errno.and_then(|error| error.errno());
        ensure!(errno == Some(Errno::EINVAL), "{nonsense}: {errno:?}");
    }
    ensure!(vm.knob("hung_task_ignore")? == "left*,[out]");
    finish_look(&vm)?;
    ensure!(hung_and_ignored(&vm)? == (1, 2));
    let counts = || -> anyhow::Result<[String; 2]> {
        Ok([
            vm.knob("hung_task_detect_count")?,
            vm.knob("hung_tasks_now")?,
        ])
    };
    ensure!(counts()? == ["1", "1"], "{:?}", counts()?);
    let all = reports(&vm.dmesg_after(mark)?)?;
    ensure!(
        all.iter().all(|report| report.task.pid == other.victim()),
        "{all:#?}"
    );

    // One that has been hung for long is reported without its rule, and is a first report.
    let mark = vm.mark()?;
    vm.set_knob("hung_task_ignore", "out\n")?;
    wait_report(&vm, mark, ignored.victim())?;
    finish_look(&vm)?;
    ensure!(hung_and_ignored(&vm)? == (2, 1));
    ensure!(counts()? == ["2", "2"], "{:?}", counts()?);
    vm.set_knob("hung_task_ignore", "\n")?;
    wait_report(&vm, mark, out.victim())?;

    // None of the three may make a panic: not one by one, nor together.
    vm.set_knob("hung_task_panic_only", "fatal,[fatal_k*]")?;
    vm.set_knob("hung_task_panic", 1)?;
    reported(&vm, &[ignored.victim(), out.victim(), other.victim()])?;
    let fatal = Stall::start(&vm, "sem name=fatal_k_1")?.victim();
    panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    let console = vm.console().text();
    let reports = reports(&LogLine::parse_text(&console))?;
    report_on(&reports, fatal)?;
    Ok(())
}

/// A stall that was reported makes the panic when it is old enough: with a report at that moment,
/// although none is due. A task that is younger does not count.
fn panic_secs(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=2 hung_task_warnings=2 \
         hung_task_panic=2 hung_task_panic_secs=9",
    )?;
    let mark = vm.mark()?;
    let first = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, first.victim())?;
    // Together they are two hung tasks, one of which is old enough before the other is.
    wait_for(&vm, SOON, "some seconds", || {
        Ok((vm.uptime()? > first.before + 4.0).then_some(()))
    })?;
    let second = Stall::start(&vm, "sem")?;
    let at = panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    ensure!(at > second.after + 9.0, "{at}, began at {}", second.after);
    let console = vm.console().text();
    let mut reports = reports(&LogLine::parse_text(&console))?;
    let last = reports.pop().context("no report")?;
    ensure!(
        last.task.pid == second.victim() && last.seconds >= 9,
        "{last:#?}"
    );
    Ok(())
}

/// In grouped reports a task that is ignored is no hung one, but those that wait behind it say so. A
/// cause of which no task may make a panic makes none, and the panic comes with the report of the one
/// that may.
fn grouped(cx: &Cx) -> Verdict {
    let vm = guest(cx, &format!("{SHORT} hung_task_ignore=root_task"))?;
    // Writes to a file that is open once wait for each other, for a mutex.
    let behind = "(echo -n behind > /proc/self/comm; echo x >&3) > /dev/null 2>&1 &";
    vm.sh_ok(&format!(
        "exec 3> {PROVOKE}/block_me
         (echo -n root_task > /proc/self/comm; echo 'completion secs=3600' >&3) > /dev/null 2>&1 &
         until grep -q ' asleep=1 ' {PROVOKE}/active; do sleep 0.1; done
         {behind} {behind}"
    ))?;
    wait_hung_and_ignored(&vm, 2, 1)?;
    finish_look(&vm)?;
    let pids = vm.sh_ok(
        "cd /proc; for comm in root_task behind; do grep -lxs $comm [0-9]*/comm; done; true",
    )?;
    let pids: Vec<u32> = pids
        .lines()
        .filter_map(|path| path.split('/').next()?.parse().ok())
        .collect();
    let &[root, one, other] = pids.as_slice() else {
        bail!("not three: {pids:?}");
    };
    // Its stack has no report of its own.
    let mark = vm.mark()?;
    for report in first_reports(&vm, mark, &[one, other])? {
        ensure!(
            report.task.pid != root && report.stacks().contains(&root),
            "{report:#?}"
        );
    }
    let mark = vm.mark()?;
    vm.set_knob("hung_task_report", "grouped")?;
    let left_out = format!(
        "^vigil: 2 hung tasks wait behind root_task:{root}, which hung_task_ignore leaves out: "
    );
    vm.wait_log_after(mark, &left_out, SOON)?;
    vm.set_knob("hung_task_ignore", "nobody")?;
    vm.wait_log_after(
        mark,
        "^vigil: 1 hung tasks wait in the same place, 2 behind them: ",
        SOON,
    )?;
    // Of a cause whose tasks are ignored nobody says that it is over.
    vm.set_knob("hung_task_ignore", "behind,root_task")?;
    wait_hung_and_ignored(&vm, 0, 3)?;
    let log = vm.dmesg_after(mark)?;
    ensure!(
        !log.iter().any(|line| line.text.contains("recovered")),
        "{log:#?}"
    );

    let mark = vm.mark()?;
    vm.set_knob("hung_task_panic_only", "[prov_mutex/2]")?;
    vm.set_knob("hung_task_panic", 1)?;
    Stall::start(&vm, "sem count=3")?;
    vm.wait_log_after(mark, "^vigil: 3 hung tasks wait behind ", SOON)?;
    finish_look(&vm)?;
    let fatal = Stall::start(&vm, "mutex count=3")?.victims;
    let fatal = *fatal.get(2).context("three victims")?;
    panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    let console = vm.console().text();
    let reports = reports(&LogLine::parse_text(&console))?;
    report_on(&reports, fatal)?;
    Ok(())
}

/// The words for what tasks wait for, and brackets.
fn what_tasks_wait_for(cx: &Cx) -> Verdict {
    let vm = guest(cx, SHORT)?;
    let io = Stall::start(&vm, "iowait")?.victim();
    let lock = Stall::start(&vm, "rwsem_writer")?.victim();
    let none = Stall::start(&vm, "completion")?.victim();
    let (user, _job) = Stall::block_shell(&vm, "", "completion")?;
    let user = user.victim();
    for (rules, left) in [
        ("", vec![io, lock, none, user]),
        (":io", vec![lock, none, user]),
        (":lock", vec![io, none, user]),
        (":lock,:io", vec![none, user]),
        ("[*]", vec![user]),
        ("[prov_*]", vec![user]),
        ("prov_*", vec![user]),
        ("sh,[sh],dash", vec![io, lock, none]),
        ("[sh],[dash]", vec![io, lock, none, user]),
    ] {
        vm.set_knob("hung_task_ignore", format!("{rules}\n"))?;
        let hung = left.len() as u64;
        wait_hung_and_ignored(&vm, hung, 4 - hung)?;
        let mut found = reported(&vm, &left)?;
        found.sort_unstable();
        let mut left = left;
        left.sort_unstable();
        ensure!(found == left, "{rules}: {found:?}, not {left:?}");
    }
    Ok(())
}

/// A panic that is about to come does not come if a rule is written that leaves its task out; and
/// comes if that is written back.
fn panic_is_cancelled(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        &format!("{SHORT} hung_task_panic=1 panic_delay_ms=20000"),
    )?;
    let values = [("ms", "20000")];
    let delayed = pattern_of(messages::PanicDelay::TEXT, &values);
    let cancelled = pattern(messages::PANIC_CANCELLED);
    let mut mark = vm.mark()?;
    Stall::start(&vm, "mutex")?;
    for (knob, value, back) in [
        ("hung_task_ignore", "prov_mutex*", ""),
        ("hung_task_panic_only", ":io", ""),
        ("hung_task_panic_secs", "100000", "0"),
    ] {
        vm.wait_log_after(mark, &delayed, SOON)
            .with_context(|| knob.to_owned())?;
        // The same as before is no change.
        vm.set_knob(knob, format!("{back}\n"))?;
        let before = vm.mark()?;
        let log = vm.dmesg_after(mark)?;
        let text = messages::PANIC_CANCELLED;
        ensure!(
            !log.iter().any(|line| line.text == text),
            "{knob}: {log:#?}"
        );
        vm.set_knob(knob, value)?;
        vm.wait_log_after(before, &cancelled, SOON)?;
        finish_look(&vm)?;
        mark = vm.mark()?;
        vm.set_knob(knob, format!("{back}\n"))?;
    }
    vm.set_knob("panic_delay_ms", 0)?;
    panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    Ok(())
}

/// Writers and readers at once, while tasks are hung and checked: a list is always one that was
/// written, and the module goes as it came.
fn written_and_read_at_once(cx: &Cx) -> Verdict {
    let vm = guest(cx, SHORT)?;
    vm.set_knob("hung_task_report", "grouped")?;
    Stall::start(&vm, "mutex count=100")?;
    // One read: what a second one finds behind its offset, as cat's does, is of the list of its moment.
    vm.sh_ok(
        "cd /proc/sys/vigil
         one=$(seq -s, 1 100) two=$(seq -s, 200 -1 101),prov_mutex/1
         for rules in $one $two; do
             (for i in $(seq 200); do echo $rules > hung_task_ignore; done) &
             (for i in $(seq 200); do echo $rules > hung_task_panic_only; done) &
         done
         for i in $(seq 200); do
             for file in hung_task_ignore hung_task_panic_only; do
                 rules=$(dd if=$file bs=64k count=1 2> /dev/null)
                 case $rules in ''|$one|$two) ;; *) echo $file: $rules; exit 1 ;; esac
             done
         done
         wait",
    )?;
    vm.set_knob("hung_task_ignore", "\n")?;
    wait_hung_and_ignored(&vm, 100, 0)?;
    vm.unload()?;
    Ok(())
}
