// SPDX-License-Identifier: GPL-2.0
//! Reports say where a hung task runs: its cgroup, and its PID in its own PID namespace.

use super::hung_stall::{
    finish_look, guest, mainline_guest, reports, wait_for, wait_report, who, Stall, SOON,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("container", container).light(),
        Scenario::new("cgroup_names", cgroup_names).light().all(),
    ]
}

const CGROUPS: &str = "/sys/fs/cgroup";

/// A task of a container, with namespaces of PIDs and of cgroups of its own, and a thread of the kernel,
/// which is in the root cgroup and in the first namespace: a line for the one, none for the other. In
/// a grouped report the same of the task that all wait behind, which is not hung.
fn container(cx: &Cx) -> Verdict {
    let vm = mainline_guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=-1",
    )?;
    let mark = vm.mark()?;
    let outside = Stall::start(&vm, "mutex")?;
    let group = "/kubepods/pod1/a b";
    let (inside, _job) = Stall::block_by(
        &vm,
        |block| {
            format!(
                "mkdir -p '{CGROUPS}{group}'
                echo 0 > '{CGROUPS}{group}/cgroup.procs'
                unshare --pid --fork --cgroup --mount-proc dash -c \"true & wait; ({block}); true\""
            )
        },
        "completion",
    )?;
    let pid = inside.victim();
    let status = vm.read(&format!("/proc/{pid}/status"))?;
    let of_namespace = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().nth(1))
        .with_context(|| format!("not in a namespace: {status}"))?
        .to_owned();
    let line = format!(
        "vigil: task {} is pid {of_namespace} of its PID namespace, in cgroup {group}",
        who(&vm, pid)?
    );
    for &pid in [&pid, &outside.victim()] {
        wait_report(&vm, mark, pid)?;
    }
    finish_look(&vm)?;
    for report in reports(&vm.dmesg_after(mark)?)? {
        report.well_formed(&vm)?;
        if report.task.pid == pid {
            report.says(&line)?;
        } else {
            ensure!(!report.mentions(" cgroup "), "{report:#?}");
            ensure!(!report.mentions("namespace"), "{report:#?}");
        }
    }

    let mark = vm.mark()?;
    vm.set_knob("hung_task_report", "grouped")?;
    wait_report(&vm, mark, pid)?;
    vm.sh_ok(&format!(
        "mkdir {CGROUPS}/web; echo {} > {CGROUPS}/web/cgroup.procs",
        outside.holder
    ))?;
    let mark = vm.mark()?;
    let line = format!(
        "^vigil: task {} is in cgroup /web$",
        who(&vm, outside.holder)?
    );
    // Reported again after a timeout, and after two.
    vm.wait_log_after(mark, &line, SOON)?;
    Ok(())
}

/// A path that is too long for a line is cut in front, and what is not printable in it does not leave
/// its line.
fn cgroup_names(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1",
    )?;
    let mark = vm.mark()?;
    let name = "n".repeat(150);
    let groups = [
        // Of the 256 bytes that are shown 156 are the last two names.
        (
            format!("/{name}/{name}/last"),
            format!("...{}/{name}/last", "n".repeat(100)),
        ),
        (
            "/x\r\u{1b}[2JINFO: task a:1 blocked for more than 9 seconds.".to_owned(),
            r"/x\x0d\x1b[2JINFO: task a:1 blocked for more than 9 seconds.".to_owned(),
        ),
    ];
    for (group, printed) in groups {
        let (stall, job) = Stall::block_shell(
            &vm,
            &format!("mkdir -p '{CGROUPS}{group}'\necho 0 > '{CGROUPS}{group}/cgroup.procs'"),
            "completion",
        )?;
        wait_report(&vm, mark, stall.victim())?;
        finish_look(&vm)?;
        let log = vm.dmesg_after(mark)?;
        let line = format!(
            "vigil: task {} is in cgroup {printed}",
            who(&vm, stall.victim())?
        );
        ensure!(
            log.iter().any(|logged| logged.text == line),
            "no {line}: {log:#?}"
        );
        stall.end(&vm)?;
        wait_for(&vm, SOON, "the shell's end", || {
            Ok(job.ended().then_some(()))
        })?;
    }
    Ok(())
}
