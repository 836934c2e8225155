// SPDX-License-Identifier: GPL-2.0
//! With `hung_task_report=grouped`, the default: one report for each root cause of hung tasks, which names what they
//! wait behind.

use super::hung_stall::{
    finish_look, guest, mainline_guest, reports, wait_for, wait_report, who, Stall, SOON,
};
use crate::prelude::*;
use regex::Regex;
use std::collections::BTreeSet;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("deadlocks", deadlocks)
            .needs(BLOCKERS)
            .core()
            .light(),
        Scenario::new("thousand_behind_one", thousand_behind_one),
        Scenario::new("roots", roots).needs(BLOCKERS).core().light(),
        Scenario::new("killable_deadlock", killable_deadlock)
            .needs(BLOCKERS)
            .light()
            .all(),
        Scenario::new("task_deadlocks", task_deadlocks)
            .needs(BLOCKERS)
            .light(),
        Scenario::new("newer_flusher", newer_flusher)
            .needs(BLOCKERS)
            .light()
            .all(),
        Scenario::new("waits_for_tasks", waits_for_tasks)
            .light()
            .all(),
        Scenario::new("more_roots", more_roots)
            .needs(BLOCKERS)
            .light()
            .all(),
        Scenario::new("static_lock", static_lock)
            .needs("CONFIG_KALLSYMS_ALL")
            .light()
            .all(),
        Scenario::new("convoy", convoy).light().all(),
        Scenario::new("reported_again", reported_again).light(),
        Scenario::new("warnings_are_for_causes", warnings_are_for_causes).light(),
        Scenario::new("switched", switched).light(),
        Scenario::new("many_causes", many_causes)
            .all()
            .needs(BLOCKERS)
            .light(),
        Scenario::new("more_than_are_remembered", more_than_are_remembered)
            .needs(BLOCKERS)
            .all(),
        Scenario::new("ten_a_second", ten_a_second)
            .needs(BLOCKERS)
            .limit(secs(480))
            .all(),
    ]
}

/// What all kinds of locks are recorded with that tasks wait for.
const BLOCKERS: &str = "CONFIG_DETECT_HUNG_TASK_BLOCKER";

pub(super) const TIMES: &str = "hung_task_timeout_secs=2 hung_task_check_interval_secs=1";

/// Lines of vigil's own in a log that begin so, without that.
pub(super) fn lines_of<'a>(log: &'a [LogLine], begin: &str) -> Vec<&'a str> {
    log.iter()
        .filter(|line| line.facility == 0)
        .filter_map(|line| line.text.strip_prefix("vigil: ")?.strip_prefix(begin))
        .collect()
}

/// What was logged in the check that gave the first report, and not when that is repeated.
pub(super) fn first_check(vm: &Vm, mark: Mark) -> anyhow::Result<Vec<LogLine>> {
    let mut log = vm.dmesg_after(mark)?;
    let began = reports(&log)?.first().context("no report")?.time;
    // Repeated after a timeout.
    log.retain(|line| line.time < began + 1.5);
    Ok(log)
}

/// Who waits for whom, from the lines of a deadlock: "A:1 holds X and waits for Y, held by B:2".
pub(super) fn edges(log: &[LogLine]) -> anyhow::Result<BTreeSet<(String, String)>> {
    let form = Regex::new(
        r"^vigil: (?:(?:likely )?deadlock of \d+: |  )(\S+) holds (.+) [0-9a-f]{16} and waits for (.+) [0-9a-f]{16}, held by (\S+)$",
    )?;
    Ok(log
        .iter()
        .filter_map(|line| form.captures(&line.text))
        .map(|parts| (parts[1].to_owned(), parts[4].to_owned()))
        .collect())
}

/// The edges of a stall in which each victim waits for the next, and the last one for the first.
pub(super) fn ring(vm: &Vm, stall: &Stall) -> anyhow::Result<BTreeSet<(String, String)>> {
    let next = stall.victims.iter().cycle().skip(1);
    let pairs = stall.victims.iter().zip(next);
    pairs
        .map(|(&waiter, &owner)| Ok((who(vm, waiter)?, who(vm, owner)?)))
        .collect()
}

/// Two deadlocks at once: each is named once, with all of its tasks, and who waits behind one of them
/// belongs to it. Each task of it has its stack in the log. When one is over, that is said, once.
fn deadlocks(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    let mark = vm.mark()?;
    let two = Stall::start(&vm, "abba_mutex count=2")?;
    let five = Stall::start(&vm, "abba count=5")?;
    let pids = [two.victims.as_slice(), five.victims.as_slice()].concat();
    for &pid in &pids {
        wait_report(&vm, mark, pid)?;
    }
    finish_look(&vm)?;
    let log = first_check(&vm, mark)?;
    // Of a semaphore only the task is known that took it last.
    for (begin, length) in [("deadlock of ", "2:"), ("likely deadlock of ", "5:")] {
        let found = lines_of(&log, begin);
        ensure!(
            found.len() == 1 && found[0].starts_with(length),
            "{begin}: {found:?}: {log:#?}"
        );
    }
    let expected: BTreeSet<_> = ring(&vm, &two)?
        .union(&ring(&vm, &five)?)
        .cloned()
        .collect();
    let found = edges(&log)?;
    ensure!(found == expected, "{found:?}, not {expected:?}");
    let mut reported: Vec<u32> = Vec::new();
    for report in reports(&log)? {
        report.well_formed(&vm)?;
        reported.push(report.task.pid);
    }
    reported.sort_unstable();
    let mut pids = pids;
    pids.sort_unstable();
    ensure!(reported == pids, "reported {reported:?}, not {pids:?}");

    let mark = vm.mark()?;
    five.end(&vm)?;
    vm.wait_log_after(
        mark,
        r"^vigil: hung task \S+ and 4 others recovered after \S+ s$",
        SOON,
    )?;
    finish_look(&vm)?;
    let log = vm.dmesg_after(mark)?;
    ensure!(
        log.iter()
            .filter(|line| line.text.contains("recovered after"))
            .count()
            == 1,
        "{log:#?}"
    );
    Ok(())
}

/// A thousand tasks behind one: less than a hundred lines, which name the one. The kernel's own way
/// takes more than a hundred times as many.
fn thousand_behind_one(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(cx.config().mem_mib(2048))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(&format!("{TIMES} hung_task_warnings=-1"))?;
    vm.set_knob("hung_task_timeout_secs", 0)?;
    let stall = Stall::start(&vm, "mutex count=1000")?;
    let holder = who(&vm, stall.holder)?;
    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let behind = format!("^vigil: 1000 hung tasks wait behind {holder}, which is not hung: ");
    vm.wait_log_after(mark, &behind, SOON)?;
    vm.wait_log_after(mark, "^vigil:   and 989 more$", SOON)?;
    let log = first_check(&vm, mark)?;
    ensure!(reports(&log)?.len() == 1, "{:#?}", reports(&log)?);
    // With lockdep a list of all locks that are held follows, as in mainline.
    let is_list = |line: &LogLine| line.text.contains("Showing all locks held");
    let end = log.iter().position(is_list);
    let grouped = end.unwrap_or(log.len());
    ensure!(grouped < 100, "{grouped} lines: {log:#?}");

    // The same tasks, each by itself.
    let mark = vm.mark()?;
    vm.set_knob("hung_task_report", "mainline")?;
    wait_for(&vm, SOON, "a report on each", || {
        Ok((vm.dmesg_after(mark)?.len() > 100 * grouped).then_some(()))
    })?;
    Ok(())
}

/// What tasks wait behind in the end, for each kind of it: a task that is not hung, at the end of a
/// chain; a lock without an owner that is known; a place in the code.
fn roots(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    for (what, root) in [
        ("chain count=30", "30 hung tasks wait behind {holder}, which is not hung: oldest .* longest chain 30"),
        ("sem_orphan count=3", "3 hung tasks wait behind semaphore [0-9a-f]{16}, whose owner is not known: oldest .* longest chain 1"),
        ("completion count=5", "5 hung tasks wait in the same place, 0 behind them: oldest .* longest chain 0"),
        ("rwsem_writer count=4", "4 hung tasks wait behind {holder}, which is not hung: oldest .* longest chain 1"),
    ] {
        let mark = vm.mark()?;
        let stall = Stall::start(&vm, what)?;
        let holder = match stall.holder {
            0 => String::new(),
            holder => who(&vm, holder)?,
        };
        let root = root.replace("{holder}", &holder);
        vm.wait_log_after(mark, &format!("^vigil: {root}$"), SOON)
            .with_context(|| what.to_owned())?;
        finish_look(&vm)?;
        let all = reports(&first_check(&vm, mark)?)?;
        ensure!(all.len() == 1, "{what}: {all:#?}");
        all[0].well_formed(&vm)?;
        ensure!(stall.victims.contains(&all[0].task.pid), "{what}: {all:#?}");
        // The one that all wait behind is in the log with its stack.
        ensure!(
            stall.holder == 0 || all[0].stacks().contains(&stall.holder),
            "{what}: {all:#?}"
        );
        let mark = vm.mark()?;
        stall.end(&vm)?;
        vm.wait_log_after(mark, "^vigil: hung task .* recovered after ", SOON)?;
    }
    Ok(())
}

/// A deadlock of tasks that a signal could end, which are not hung by mainline's rule: it is named in the
/// report of the task that waits behind it, with the stacks of all.
fn killable_deadlock(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    let mark = vm.mark()?;
    let mut ring_of = Stall::start(&vm, "abba_killable count=4")?;
    let behind = ring_of.victims.pop().context("no victims")?;
    wait_report(&vm, mark, behind)?;
    finish_look(&vm)?;
    let log = first_check(&vm, mark)?;
    let found = lines_of(&log, "deadlock of ");
    ensure!(found.len() == 1 && found[0].starts_with("3:"), "{log:#?}");
    let (found, expected) = (edges(&log)?, ring(&vm, &ring_of)?);
    ensure!(found == expected, "{found:?}, not {expected:?}");
    let all = reports(&log)?;
    ensure!(all.len() == 1, "{all:#?}");
    all[0].well_formed(&vm)?;
    let mut stacks = all[0].stacks();
    stacks.sort_unstable();
    let mut tasks = [ring_of.victims.as_slice(), &[behind]].concat();
    tasks.sort_unstable();
    ensure!(stacks == tasks, "{stacks:?}, not {tasks:?}: {all:#?}");
    ring_of.end(&vm)?;
    vm.wait_log_after(mark, "^vigil: hung task .* recovered after ", SOON)?;
    Ok(())
}

/// A deadlock through a wait that no lock shows: `flush_work()` of work, and `kthread_stop()` of a thread,
/// that wait for a mutex of who waits for them. Each is named, once, with both tasks and their stacks.
fn task_deadlocks(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    for (what, other, waits, duty) in [
        (
            "work_deadlock",
            r"kworker/\S+",
            "work of ",
            "has to finish its work",
        ),
        (
            "stop_deadlock",
            r"prov_no_stop:\d+",
            "kernel thread ",
            "has to stop",
        ),
    ] {
        let mark = vm.mark()?;
        let stall = Stall::start(&vm, what)?;
        let victim = regex::escape(&who(&vm, stall.victim())?);
        wait_report(&vm, mark, stall.victim())?;
        finish_look(&vm)?;
        let log = first_check(&vm, mark)?;
        let begin = "^vigil: (?:deadlock of 2: |  )";
        let stop = if duty == "has to stop" {
            " to stop"
        } else {
            ""
        };
        for line in [
            format!("{begin}{victim}, which holds mutex [0-9a-f]{{16}}, waits for {waits}{other}{stop}$"),
            format!("{begin}{other}, which {duty}, waits for mutex [0-9a-f]{{16}}, held by {victim}$"),
            // What its own report says.
            format!("^vigil: task {victim} waits for {waits}{other}{stop}$"),
        ] {
            let form = Regex::new(&line)?;
            let count = log.iter().filter(|line| form.is_match(&line.text)).count();
            ensure!(count == 1, "{what}: {count} of {line}: {log:#?}");
        }
        ensure!(lines_of(&log, "deadlock of 2: ").len() == 1, "{log:#?}");
        let all = reports(&log)?;
        ensure!(all.len() == 2, "{what}: {all:#?}");
        for report in &all {
            report.well_formed(&vm)?;
        }
        let mark = vm.mark()?;
        stall.end(&vm)?;
        vm.wait_log_after(mark, "^vigil: hung task .* recovered after ", SOON)?;
    }
    Ok(())
}

/// A deadlock through work is found although another task has flushed the work later, and is no hung task:
/// that one's barrier is between the kworker and the barrier of the deadlock.
fn newer_flusher(cx: &Cx) -> Verdict {
    let vm = guest(cx, &format!("{TIMES} hung_task_ignore=prov_wdead/1"))?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "work_deadlock count=2")?;
    let victim = stall.victims[0];
    wait_report(&vm, mark, victim)?;
    finish_look(&vm)?;
    let log = first_check(&vm, mark)?;
    ensure!(lines_of(&log, "deadlock of 2: ").len() == 1, "{log:#?}");
    let victim = regex::escape(&who(&vm, victim)?);
    let line = Regex::new(&format!(
        r"^vigil: task {victim} waits for work of kworker/\S+$"
    ))?;
    ensure!(
        log.iter().any(|found| line.is_match(&found.text)),
        "{log:#?}"
    );
    stall.end(&vm)?;
    vm.wait_log_after(mark, "^vigil: hung task .* recovered after ", SOON)?;
    Ok(())
}

/// The other side of a wait that no lock shows is named, with its stack, and has its place in the graph.
fn waits_for_tasks(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    for (what, waits, label, function) in [
        ("work", r"work of kworker/\S+", "work", "slow_work_fn"),
        (
            "kthread_stop",
            r"kernel thread prov_no_stop:\d+ to stop",
            "kthread_stop()",
            "does_not_stop",
        ),
    ] {
        let mark = vm.mark()?;
        let stall = Stall::start(&vm, what)?;
        let victim = regex::escape(&who(&vm, stall.victim())?);
        wait_report(&vm, mark, stall.victim())?;
        vm.wait_log_after(
            mark,
            &format!("^vigil: task {victim} waits for {waits}$"),
            SOON,
        )?;
        finish_look(&vm)?;
        let all = reports(&first_check(&vm, mark)?)?;
        ensure!(all.len() == 1, "{what}: {all:#?}");
        all[0].well_formed(&vm)?;
        ensure!(all[0].mentions(function), "{what}: {all:#?}");
        let graph = vm.read("/sys/kernel/debug/vigil/waitgraph.dot")?;
        let edge = Regex::new(&format!(
            r#"t\d+ -> t\d+ \[label="{}"\]"#,
            regex::escape(label)
        ))?;
        ensure!(edge.is_match(&graph), "{what}: {graph}");
        stall.end(&vm)?;
        vm.wait_log_after(mark, "^vigil: hung task .* recovered after ", SOON)?;
    }
    Ok(())
}

/// Locks whose owner has exited, and a rw-semaphore that both readers and writers wait for.
fn more_roots(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    for (what, root, lines) in [
        (
            "mutex_orphan count=3",
            "3 hung tasks wait behind mutex [0-9a-f]{16}, whose owner is not known: ",
            &["mutex [0-9a-f]{16}"; 2][..],
        ),
        (
            "sem_gone count=3",
            "3 hung tasks wait behind semaphore [0-9a-f]{16}, whose owner is not known: ",
            &["semaphore [0-9a-f]{16}"; 2][..],
        ),
        (
            "rwsem_mixed count=4",
            "4 hung tasks wait behind {holder}, which is not hung: ",
            &[
                r"rw-semaphore \(reader\) [0-9a-f]{16} likely held by {holder}",
                r"rw-semaphore \(writer\) [0-9a-f]{16} likely held by {holder}",
            ],
        ),
    ] {
        let mark = vm.mark()?;
        let stall = Stall::start(&vm, what)?;
        let holder = match stall.holder {
            0 => String::new(),
            // It may have exited.
            holder => who(&vm, holder).unwrap_or_default(),
        };
        let root = root.replace("{holder}", &holder);
        vm.wait_log_after(mark, &format!("^vigil: {root}.*longest chain 1$"), SOON)
            .with_context(|| what.to_owned())?;
        finish_look(&vm)?;
        // Not only the first report's: a check may fall between two victims' timeouts.
        let log = vm.dmesg_after(mark)?;
        for line in lines {
            let line = line.replace("{holder}", &holder);
            let line = Regex::new(&format!(r"^vigil:   \S+ for \S+ s, for {line}$"))?;
            ensure!(
                log.iter().any(|logged| line.is_match(&logged.text)),
                "{what}: no {line}: {log:#?}"
            );
        }
        ensure!(lines_of(&log, "deadlock").is_empty(), "{what}: {log:#?}");
        stall.end(&vm)?;
        vm.wait_log_after(mark, "^vigil: hung task .* recovered after ", SOON)?;
    }
    Ok(())
}

/// A lock in a module's data is named. Where a `struct lock_class_key` is empty, the compiler may give one
/// the address of the next variable, and the kernel takes the name of either.
fn static_lock(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex_static count=2")?;
    let line = format!(
        r"^vigil:   \S+ for \S+ s, for \S+ [0-9a-f]{{16}} \((?:prov_static_mutex|__key\.\d+) \[vigil_provoke\]\) held by {}$",
        who(&vm, stall.holder)?
    );
    vm.wait_log_after(mark, &line, SOON)?;
    Ok(())
}

/// A lock has another owner every few milliseconds, and each task that waits is hung: a line that is not
/// so any more when it is printed says that, and tasks that wait for each other one after the other are
/// no deadlock.
fn convoy(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=1 hung_task_check_interval_secs=1 hung_task_warnings=-1",
    )?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "convoy count=300 ms=10")?;
    let stale = r"^vigil: .* \(stale: (held by \S+ now|no owner is known now|it has woken up|it waits for something else now)\)";
    vm.wait_log_after(mark, stale, SOON)?;
    wait_for(&vm, SOON, "five reports", || {
        Ok((reports(&vm.dmesg_after(mark)?)?.len() >= 5).then_some(()))
    })?;
    let log = vm.dmesg_after(mark)?;
    let false_ones: Vec<_> = log
        .iter()
        .filter(|line| line.text.contains("deadlock"))
        .collect();
    ensure!(false_ones.is_empty(), "{false_ones:#?}");
    stall.end(&vm)?;
    Ok(())
}

/// A cause that lasts is reported at twice its age each time, and at once when ten times as many tasks
/// are behind it.
fn reported_again(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    let mark = vm.mark()?;
    Stall::start(&vm, "completion")?;
    wait_for(&vm, SOON, "three reports", || {
        Ok((reports(&vm.dmesg_after(mark)?)?.len() == 3).then_some(()))
    })?;
    let times: Vec<f64> = reports(&vm.dmesg_after(mark)?)?
        .iter()
        .map(|report| report.time)
        .collect();
    // Not before a timeout has passed since the first, and not before two.
    let after = [times[1] - times[0], times[2] - times[0]];
    ensure!(after[0] > 1.9 && after[1] > 3.9, "{times:?}");
    let mark = vm.mark()?;
    Stall::start(&vm, "completion count=9")?;
    vm.wait_log_after(mark, "^vigil: 10 hung tasks wait in the same place", SOON)?;
    Ok(())
}

/// `hung_task_warnings` counts causes: five tasks behind one lock take one, and the second cause the
/// other, although the first one was reported again and has taken it as a loan. Then it is silent.
fn warnings_are_for_causes(cx: &Cx) -> Verdict {
    let vm = guest(cx, &format!("{TIMES} hung_task_warnings=2"))?;
    for kind in ["mutex", "sem"] {
        let mark = vm.mark()?;
        Stall::start(&vm, &format!("{kind} count=5"))?;
        // Its own: the one before is reported again, which takes a warning, too.
        vm.wait_log_after(mark, &format!("^INFO: task prov_{kind}/"), SOON)
            .with_context(|| kind.to_owned())?;
        wait_for(&vm, SOON, "no warnings to be left", || {
            Ok((vm.knob("hung_task_warnings")? == "0").then_some(()))
        })?;
    }
    let mark = vm.mark()?;
    Stall::start(&vm, "rwsem_writer count=5")?;
    wait_for(&vm, SOON, "15 to be hung", || {
        let hung = Status::read(&vm)?.number(key::hung_task::HUNG_TASKS)?;
        Ok((hung == 15).then_some(()))
    })?;
    finish_look(&vm)?;
    let all = reports(&vm.dmesg_after(mark)?)?;
    ensure!(
        all.iter()
            .all(|report| !report.task.comm.starts_with("prov_rwsem")),
        "{all:#?}"
    );
    ensure!(vm.knob("hung_task_detect_count")? == "15");
    Ok(())
}

/// From one way to the other and back, while tasks are hung; and a panic comes with the report of
/// what made it.
fn switched(cx: &Cx) -> Verdict {
    let vm = mainline_guest(cx, TIMES)?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex count=3")?;
    for &pid in &stall.victims {
        wait_report(&vm, mark, pid)?;
    }
    let mark = vm.mark()?;
    vm.set_knob("hung_task_report", "grouped")?;
    vm.wait_log_after(mark, "^vigil: 3 hung tasks wait behind ", SOON)?;
    vm.set_knob("hung_task_report", "mainline")?;
    let mark = vm.mark()?;
    for &pid in &stall.victims {
        wait_report(&vm, mark, pid)?;
    }
    vm.set_knob("hung_task_report", "grouped")?;
    finish_look(&vm)?;
    // It was reported and is not due: but there is no panic without it.
    vm.set_knob("hung_task_panic", 3)?;
    let panic = vm.wait_panic(SOON)?;
    super::reports::panicked(&panic, "hung_task: blocked tasks")?;
    Ok(())
}

/// How many tasks were hung at the last check.
fn hung_tasks(vm: &Vm) -> anyhow::Result<u64> {
    Status::read(vm)?.number(key::hung_task::HUNG_TASKS)
}

/// How many incidents there were since load.
fn incidents(vm: &Vm) -> anyhow::Result<(usize, String)> {
    let text = vm.read("/sys/kernel/debug/vigil/incidents")?;
    let total = text.split(' ').next().unwrap_or_default().parse()?;
    Ok((total, text))
}

/// Eighty causes, more than there is room for at first, each with one incident: those that are there
/// keep their places when older ones come, and are neither over nor new again. An end is said of
/// those that have ended alone.
fn many_causes(cx: &Cx) -> Verdict {
    // The log is not what this is about, and a console is slow.
    let vm = cx.boot_with(cx.config().append("loglevel=1 log_buf_len=4M"))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(&format!(
        "{TIMES} hung_task_warnings=-1 hung_task_ignore=older"
    ))?;
    let mark = vm.mark()?;
    let older = Stall::start(&vm, "sems count=10 name=older")?;
    let mut all = 0;
    let mut last = None;
    // No more than 16 incidents of a check are listed.
    for _ in 0..5 {
        last = Some(Stall::start(&vm, "sems count=14")?);
        all += 14;
        wait_for(&vm, SOON, &format!("{all} causes"), || {
            Ok((incidents(&vm)?.0 == all).then_some(()))
        })?;
    }
    vm.set_knob("hung_task_ignore", "\n")?;
    all += 10;
    wait_for(&vm, SOON, "the older ones", || {
        Ok((incidents(&vm)?.0 >= all).then_some(()))
    })?;
    finish_look(&vm)?;
    finish_look(&vm)?;
    let (total, text) = incidents(&vm)?;
    let on = text
        .lines()
        .filter(|line| line.contains(" still on, "))
        .count();
    ensure!(total == all && on == 64, "{on} of {total}: {text}");
    let log = vm.dmesg_after(mark)?;
    let is_odd = |line: &&LogLine| {
        line.text.contains(" recovered after ") || line.text.contains(" are not reported")
    };
    ensure!(!log.iter().any(|line| is_odd(&line)), "{log:#?}");
    let reported: BTreeSet<u32> = reports(&log)?
        .iter()
        .map(|report| report.task.pid)
        .collect();
    ensure!(reported.len() == all, "{} reported", reported.len());
    ensure!(older.victims.iter().all(|pid| reported.contains(pid)));

    let mark = vm.mark()?;
    last.context("five stalls")?.end(&vm)?;
    let ended = || -> anyhow::Result<usize> {
        let log = vm.dmesg_after(mark)?;
        Ok(log.iter().filter(is_odd).count())
    };
    wait_for(&vm, SOON, "their ends", || {
        Ok((ended()? >= 14).then_some(()))
    })?;
    finish_look(&vm)?;
    ensure!(
        ended()? == 14 && incidents(&vm)?.0 == all,
        "{} ends",
        ended()?
    );
    Ok(())
}

/// More causes than are remembered: all tasks are counted, as many causes as there are warnings are
/// reported, and that there are more is said, once.
fn more_than_are_remembered(cx: &Cx) -> Verdict {
    const CAUSES: usize = 1200;
    let vm = cx.boot_with(cx.config().append("loglevel=1 log_buf_len=4M"))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(TIMES)?;
    vm.set_knob("hung_task_timeout_secs", 0)?;
    let stall = Stall::start(&vm, &format!("sems count={CAUSES}"))?;
    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let more = r"^vigil: (\d+) more root causes of hung tasks are not reported$";
    let line = vm.wait_log_after(mark, more, SOON)?;
    let hung = || hung_tasks(&vm);
    ensure!(hung()? == CAUSES as u64, "{} hung", hung()?);
    finish_look(&vm)?;
    finish_look(&vm)?;
    let log = vm.dmesg_after(mark)?;
    let left: Vec<&LogLine> = log
        .iter()
        .filter(|line| line.text.contains(" more root causes "))
        .collect();
    let parts = Regex::new(more)?.captures(&line.text).context("a number")?;
    let count: usize = parts[1].parse()?;
    ensure!(
        left.len() == 1 && (CAUSES - 1100..=CAUSES - 1000).contains(&count),
        "{left:#?}"
    );
    ensure!(reports(&log)?.len() == 10, "{:#?}", reports(&log)?);
    ensure!(lines_of(&log, "hung task ").is_empty(), "{log:#?}");
    ensure!(vm.knob("hung_task_detect_count")? == CAUSES.to_string());
    let (total, text) = incidents(&vm)?;
    ensure!(total <= 16 && !text.contains("not watched"), "{text}");

    let mark = vm.mark()?;
    stall.end(&vm)?;
    wait_for(&vm, SOON, "the end of all", || {
        Ok((hung()? == 0).then_some(()))
    })?;
    finish_look(&vm)?;
    // Of those that were printed.
    let log = vm.dmesg_after(mark)?;
    ensure!(lines_of(&log, "hung task ").len() == 10, "{log:#?}");
    Ok(())
}

/// Ten new causes a second for a minute, each of which lasts for some seconds, while an old one is
/// reported again and again: all are counted, none is silenced by what the others take of
/// `hung_task_warnings`, and each has its report and its end.
fn ten_a_second(cx: &Cx) -> Verdict {
    const CAUSES: usize = 600;
    let config = cx.config().mem_mib(2048);
    let vm = cx.boot_with(config.append("loglevel=1 log_buf_len=32M"))?;
    vm.insmod("vigil_provoke.ko", "")?;
    // One for each, and none for what repeats.
    vm.load(&format!("{TIMES} hung_task_warnings={}", CAUSES + 1))?;
    let mark = vm.mark()?;
    let old = Stall::start(&vm, "completion")?;
    wait_report(&vm, mark, old.victim())?;
    vm.sh_ok(&format!(
        "for i in $(seq {}); do
             echo 'sems count=10 secs=8' > /sys/kernel/debug/vigil_provoke/run || exit
             sleep 1
         done",
        CAUSES / 10
    ))?;
    let hung = || hung_tasks(&vm);
    wait_for(&vm, SOON, "the old one to be left", || {
        Ok((hung()? == 1).then_some(()))
    })?;
    finish_look(&vm)?;
    ensure!(
        vm.knob("hung_task_detect_count")? == (CAUSES + 1).to_string(),
        "{} counted",
        vm.knob("hung_task_detect_count")?
    );
    let log = vm.dmesg_after(mark)?;
    let all = reports(&log)?;
    let of_old = all.iter().filter(|report| report.task.pid == old.victim());
    ensure!(of_old.count() >= 5, "{all:#?}");
    let new: BTreeSet<u32> = all
        .iter()
        .filter(|report| report.task.comm.starts_with("prov_sems/"))
        .map(|report| report.task.pid)
        .collect();
    ensure!(new.len() == CAUSES, "{} causes reported", new.len());
    let ended = lines_of(&log, "hung task prov_sems/").len();
    ensure!(ended == CAUSES, "{ended} ends");
    ensure!(lines_of(&log, "vigil: no memory").is_empty());
    // Of each cause a report, a repeat or two, and an end.
    ensure!(log.len() < 100 * CAUSES, "{} lines", log.len());
    let (total, _) = incidents(&vm)?;
    ensure!(total <= CAUSES + 1, "{total} incidents");
    Ok(())
}
