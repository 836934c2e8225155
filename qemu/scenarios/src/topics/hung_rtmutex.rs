// SPDX-License-Identifier: GPL-2.0
//! Tasks stuck on real-time mutexes, and on the locks that are made of them with PREEMPT_RT.

use super::hung_causes::{edges, first_check, lines_of, ring, TIMES};
use super::hung_stall::{
    finish_look, guest, mainline_guest, only_reports, report_on, wait_report, who, Stall, PROVOKE,
    SOON,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("owner_is_named", owner_is_named)
            .needs("CONFIG_RT_MUTEXES")
            .core()
            .light(),
        Scenario::new("every_lock_of_rt", every_lock_of_rt)
            .needs("CONFIG_PREEMPT_RT")
            .light(),
        Scenario::new("deadlock", deadlock)
            .needs("CONFIG_PREEMPT_RT")
            .light(),
        Scenario::new("rtlock_in_time", rtlock_in_time)
            .needs("CONFIG_PREEMPT_RT")
            .light(),
    ]
}

/// A task that waits for a `struct rt_mutex` is reported with the owner, whose stack is shown.
/// Only a kernel with PREEMPT_RT lets anybody sleep on a spinlock.
fn owner_is_named(cx: &Cx) -> Verdict {
    let vm = mainline_guest(cx, "hung_task_timeout_secs=2 hung_task_warnings=-1")?;
    let mark = vm.mark()?;
    let held = Stall::start(&vm, "rt_mutex count=2")?;
    let reports = only_reports(&vm, mark, &held.victims)?;
    for &victim in &held.victims {
        let report = report_on(&reports, victim)?;
        report.well_formed(&vm)?;
        let (name, owner) = (who(&vm, victim)?, who(&vm, held.holder)?);
        report.says(&format!(
            "INFO: task {name} is blocked on an rt_mutex likely owned by task {owner}."
        ))?;
        ensure!(
            report.stacks() == [victim, held.holder],
            "stacks of {:?}",
            report.stacks()
        );
    }
    if !vm.artifacts().kernel_has("CONFIG_PREEMPT_RT") {
        let refused = vm
            .write(&format!("{PROVOKE}/run"), b"rt_spinlock")
            .err()
            .and_then(|error| error.errno());
        ensure!(refused == Some(Errno::EOPNOTSUPP), "{refused:?}");
    }
    Ok(())
}

/// Who waits for a spinlock is found, whatever state it was in before, with the owner; and so is the
/// owner of a mutex, and of an rw-semaphore that a writer holds. Who waits for readers, or for a
/// semaphore, waits for no real-time mutex, and no owner is named.
fn every_lock_of_rt(cx: &Cx) -> Verdict {
    let vm = mainline_guest(cx, "hung_task_timeout_secs=2 hung_task_warnings=-1")?;
    let mark = vm.mark()?;
    let spinlock = Stall::start(&vm, "rt_spinlock count=2")?;
    let mutex = Stall::start(&vm, "mutex")?;
    let chain = Stall::start(&vm, "chain count=2")?;
    let reader = Stall::start(&vm, "rwsem_reader")?;
    let writer = Stall::start(&vm, "rwsem_writer")?;
    let semaphore = Stall::start(&vm, "sem")?;
    let stuck: Vec<u32> = [&spinlock, &mutex, &chain, &reader, &writer, &semaphore]
        .iter()
        .flat_map(|stall| stall.victims.clone())
        .collect();
    let reports = only_reports(&vm, mark, &stuck)?;
    for report in &reports {
        report.well_formed(&vm)?;
    }
    for (victim, owner, lock) in [
        (spinlock.victims[0], spinlock.holder, "a spinlock or rwlock"),
        (spinlock.victims[1], spinlock.holder, "a spinlock or rwlock"),
        (mutex.victim(), mutex.holder, "an rt_mutex"),
        (chain.victims[0], chain.victims[1], "an rt_mutex"),
        (chain.victims[1], chain.holder, "an rt_mutex"),
        (reader.victim(), reader.holder, "an rt_mutex"),
    ] {
        let report = report_on(&reports, victim)?;
        let (name, owner) = (who(&vm, victim)?, who(&vm, owner)?);
        report.says(&format!(
            "INFO: task {name} is blocked on {lock} likely owned by task {owner}."
        ))?;
    }
    for stall in [&writer, &semaphore] {
        let report = report_on(&reports, stall.victim())?;
        ensure!(!report.mentions("blocked on"), "{report:#?}");
        ensure!(
            report.stacks() == [stall.victim()],
            "stacks of {:?}",
            report.stacks()
        );
    }
    Ok(())
}

/// A deadlock of mutexes that the kernel does not find by itself, since its tasks have the same priority,
/// is named through the owners of the real-time mutexes.
fn deadlock(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    let mark = vm.mark()?;
    let mut ring_of = Stall::start(&vm, "abba_killable count=4")?;
    let behind = ring_of.victims.pop().context("no victims")?;
    wait_report(&vm, mark, behind)?;
    finish_look(&vm)?;
    let log = first_check(&vm, mark)?;
    let found = lines_of(&log, "deadlock of ");
    ensure!(
        found.len() == 1 && found[0].starts_with("3:") && found[0].contains(" holds rt_mutex "),
        "{log:#?}"
    );
    let (found, expected) = (edges(&log)?, ring(&vm, &ring_of)?);
    ensure!(found == expected, "{found:?}, not {expected:?}");
    ring_of.end(&vm)?;
    vm.wait_log_after(mark, "^vigil: hung task .* recovered after ", SOON)?;
    Ok(())
}

/// The run queues do not count who waits for an rtlock. On an idle machine, too, full scans come often
/// enough for a report in time: an eighth of the timeout and an interval late at most.
fn rtlock_in_time(cx: &Cx) -> Verdict {
    let vm = mainline_guest(
        cx,
        "hung_task_timeout_secs=16 hung_task_check_interval_secs=1",
    )?;
    Status::read(&vm)?.is(key::hung_task::RUN_QUEUE_COUNTS, "1")?;
    finish_look(&vm)?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "rt_spinlock count=2")?;
    for &victim in &stall.victims {
        let line = wait_report(&vm, mark, victim)?;
        let late = line.time - stall.before - 16.0;
        ensure!(
            late < 2.0 + 1.0 + f64::from(machine::slowdown()),
            "reported {late} s late"
        );
    }
    let status = Status::read(&vm)?;
    ensure!(
        status.number(key::hung_task::FULL_SCANS)? < status.number(key::hung_task::CHECKS)?,
        "a full scan at each check:\n{status}"
    );
    Ok(())
}
