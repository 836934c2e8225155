// SPDX-License-Identifier: GPL-2.0
//! What is not hung, however long it lasts. A task that is hung stands beside it
//! every time: without a report on that one the silence would mean nothing.

use super::hung_stall::{finish_look, guest, reports, wait_for, wait_report, Stall, PROVOKE, SOON};
use crate::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("sleepers_of_other_kinds", sleepers_of_other_kinds).light(),
        Scenario::new("frozen_tasks", frozen_tasks).core().light(),
    ]
}

/// The tasks that were reported since `mark`.
fn reported(vm: &Vm, mark: Mark) -> anyhow::Result<BTreeSet<u32>> {
    Ok(reports(&vm.dmesg_after(mark)?)?
        .iter()
        .map(|report| report.task.pid)
        .collect())
}

/// Killable and idle sleepers, a task that was never switched out (as freshly
/// forked ones), and tasks that sleep again and again, each time for less than
/// the timeout.
fn sleepers_of_other_kinds(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1",
    )?;
    let mark = vm.mark()?;
    for innocent in [
        "killable count=2",
        "idle count=2",
        "fresh",
        "nap ms=1300 count=100",
        "nap ms=20 count=100000",
    ] {
        Stall::start(&vm, innocent)?;
    }
    let killable = vm.spawn(&format!(
        "echo killable secs=600 > {PROVOKE}/block_me_killable"
    ))?;
    // The last one to stand: when it is due, all the others are long due.
    let hung = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, hung.victim())?;
    finish_look(&vm)?;
    ensure!(
        !killable.ended(),
        "it was to be stuck: {}",
        killable.output()
    );
    let reported = reported(&vm, mark)?;
    ensure!(
        reported == BTreeSet::from([hung.victim()]),
        "reported were {reported:?}, not {hung:?} alone"
    );
    Ok(())
}

/// A task that a cgroup's freezer holds, whichever of the two: the older one
/// freezes it in the very sleep for which it would be reported. Thawed, and
/// still asleep, it is hung after another timeout.
fn frozen_tasks(cx: &Cx) -> Verdict {
    // Until they are frozen they are stuck like others, and a slow machine takes its time.
    let vm = guest(
        cx,
        "hung_task_timeout_secs=0 hung_task_check_interval_secs=1",
    )?;
    let (old, _job) = Stall::block_shell(&vm, "", "freezable")?;
    vm.sh_ok(&format!(
        "mkdir /tmp/freezer; mount -t cgroup -o freezer none /tmp/freezer; mkdir /tmp/freezer/a
         echo {} > /tmp/freezer/a/cgroup.procs; echo FROZEN > /tmp/freezer/a/freezer.state",
        old.victim(),
    ))?;
    let new = vm.spawn("echo $$; while :; do :; done")?;
    new.wait_output("\n", SOON)?;
    vm.sh_ok(&format!(
        "mkdir /sys/fs/cgroup/a; echo {} > /sys/fs/cgroup/a/cgroup.procs; echo 1 > /sys/fs/cgroup/a/cgroup.freeze",
        new.output().trim(),
    ))?;
    wait_for(&vm, SOON, "the frozen cgroups", || {
        let old = vm.read("/tmp/freezer/a/freezer.state")?;
        let new = vm.read("/sys/fs/cgroup/a/cgroup.events")?;
        Ok((old == "FROZEN\n" && new.contains("frozen 1")).then_some(()))
    })?;

    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let hung = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, hung.victim())?;
    finish_look(&vm)?;
    let all = reported(&vm, mark)?;
    ensure!(
        all == BTreeSet::from([hung.victim()]),
        "reported were {all:?}, not {hung:?} alone"
    );

    let thawed = vm.uptime()?;
    vm.write("/tmp/freezer/a/freezer.state", b"THAWED")?;
    let report = wait_report(&vm, mark, old.victim())?;
    let after = report.time - thawed;
    ensure!(
        (2.0..4.5).contains(&after),
        "reported {after} s after it was thawed"
    );
    ensure!(
        report.text.contains("more than 2 seconds") || report.text.contains("more than 3 seconds"),
        "{report:?}"
    );
    Ok(())
}
