// SPDX-License-Identifier: GPL-2.0
//! Tasks that come and go while one is stuck, and pids that come again.

use super::hung_stall::{
    finish_look, guest, reports, wait_for, wait_report, Stall, MAINLINE, SOON,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("tasks_exit_all_the_time", tasks_exit_all_the_time).core(),
        Scenario::new("recycled_pid_is_a_new_task", recycled_pid_is_a_new_task).light(),
        Scenario::new("a_dead_task_is_dropped", a_dead_task_is_dropped)
            .light()
            .all(),
    ]
}

/// While processes are made and exit as fast as they can, so that pids come
/// around again and again, a stuck task is reported in time, and none of the
/// others is. So are two more, with the highest and the lowest pids there are.
fn tasks_exit_all_the_time(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        &format!(
            "{MAINLINE} hung_task_timeout_secs=3 hung_task_check_interval_secs=1 use_run_queues=0"
        ),
    )?;
    vm.sh_ok("sysctl -qw kernel.pid_max=500")?;
    let storm =
        vm.spawn("for i in 1 2 3 4; do (while :; do (:) & (:); wait; done) & done; wait")?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex")?;
    let more = Stall::start(&vm, "completion count=5")?;
    for (stall, pid) in [
        (&stuck, stuck.victim()),
        (&more, more.victims[0]),
        (&more, more.victims[4]),
    ] {
        let line = wait_report(&vm, mark, pid)?;
        let after = line.time - stall.before;
        ensure!(after <= 3.0 + 1.0 + 1.0, "reported after {after} s");
    }
    finish_look(&vm)?;
    ensure!(!storm.ended(), "the processes ended: {}", storm.output());
    storm.kill()?;
    let known = [stuck.victims.as_slice(), more.victims.as_slice()].concat();
    for report in reports(&vm.dmesg_after(mark)?)? {
        ensure!(
            known.contains(&report.task.pid),
            "reported as well: {report:#?}"
        );
    }
    ensure!(
        vm.knob("hung_task_detect_count")? == "6",
        "{}",
        vm.knob("hung_task_detect_count")?
    );
    Ok(())
}

/// A task that has the pid of one that was stuck before, seen or even reported,
/// is a new one: its time begins with it.
fn recycled_pid_is_a_new_task(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=60 hung_task_check_interval_secs=1",
    )?;
    let pid = Stall::start(&vm, "completion")?;
    wait_for(&vm, SOON, "it to be watched", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 1).then_some(()))
    })?;
    // Not for as long as the timeout, but seen more than once.
    finish_look(&vm)?;
    ensure!(reports(&vm.dmesg()?)?.is_empty(), "reported already");
    let mark = vm.mark()?;
    let second = again(&vm, &pid)?;
    // From now on the first one's time, with this one's, would be too short.
    vm.set_knob("hung_task_timeout_secs", 3)?;
    let first_report = wait_report(&vm, mark, second.victim())?;
    // And now with one that was reported.
    let mark = vm.mark()?;
    let third = again(&vm, &second)?;
    let second_report = wait_report(&vm, mark, third.victim())?;
    for (stall, report) in [(&second, first_report), (&third, second_report)] {
        let (least, most) = (report.time - stall.before, report.time - stall.after);
        ensure!(
            most >= 3.0 && least <= 3.0 + 1.0 + 1.0,
            "reported after {least} to {most} s"
        );
        ensure!(report.text.contains("more than 3 seconds"), "{report:?}");
    }
    ensure!(
        vm.knob("hung_task_detect_count")? == "2",
        "{}",
        vm.knob("hung_task_detect_count")?
    );
    Ok(())
}

/// A task that has exited is dropped within a minute, however long the timeout is: with it go its
/// cgroup and its credentials.
fn a_dead_task_is_dropped(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=0 hung_task_check_interval_secs=3600",
    )?;
    let stuck = Stall::start(&vm, "mutex")?;
    vm.set_knob("hung_task_timeout_secs", 7200)?;
    let tracked = |count: u64| {
        wait_for(&vm, secs(180), &format!("{count} to be tracked"), || {
            let now = Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)?;
            Ok((now == count).then_some(()))
        })
    };
    let uptime =
        || -> anyhow::Result<f64> { Ok(vm.sh_ok("cut -d' ' -f1 /proc/uptime")?.trim().parse()?) };
    tracked(1)?;
    let dead = uptime()?;
    stuck.end(&vm)?;
    tracked(0)?;
    let after = uptime()? - dead;
    ensure!(after <= 60.0 + 5.0, "dropped after {after} s");
    Ok(())
}

/// Ends a stall and makes another whose task gets the same pid.
fn again(vm: &Vm, old: &Stall) -> anyhow::Result<Stall> {
    old.end(vm)?;
    let new = Stall::start_as(vm, old.victim(), "completion")?;
    ensure!(
        new.victim() == old.victim(),
        "it got another pid: {old:?}, {new:?}"
    );
    Ok(new)
}
