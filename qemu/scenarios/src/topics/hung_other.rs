// SPDX-License-Identifier: GPL-2.0
//! Tasks stuck on no lock, tasks of programs, and tasks with unpleasant names.

use super::hung_stall::{
    headline, mainline_guest as guest, only_reports, report_on, same_as_in_tree, who, Stall,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("every_kind", every_kind)
            .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
            .light(),
        Scenario::new("names_are_harmless", names_are_harmless)
            .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
            .light(),
    ]
}

/// Completions, I/O waits, a thread that was made and never woken, and two
/// programs. No owner is named where there is none.
fn every_kind(cx: &Cx) -> Verdict {
    let vm = guest(cx, "hung_task_timeout_secs=2 hung_task_warnings=-1")?;
    let mark = vm.mark()?;
    let completion = Stall::start(&vm, "completion")?;
    let iowait = Stall::start(&vm, "iowait")?;
    let unstarted = Stall::start(&vm, "unstarted")?;
    let freezable = Stall::start(&vm, "freezable")?;
    let (program, _job) = Stall::block_shell(&vm, "", "completion")?;
    let (behind, _job) = Stall::block_shell(&vm, "", "mutex")?;
    let alone = [&completion, &iowait, &unstarted, &freezable, &program];
    let stuck: Vec<u32> = alone
        .iter()
        .chain(&[&behind])
        .map(|stall| stall.victim())
        .collect();
    let reports = only_reports(&vm, mark, &stuck)?;

    for stall in alone {
        let report = report_on(&reports, stall.victim())?;
        report.well_formed(&vm)?;
        let waits_for_io = stall.id == iowait.id;
        ensure!(report.in_iowait == waits_for_io, "{report:#?}");
        ensure!(!report.mentions("is blocked on"), "{report:#?}");
        ensure!(
            report.stacks() == [stall.victim()],
            "stacks of {:?}",
            report.stacks()
        );
    }
    let report = report_on(&reports, behind.victim())?;
    let (name, holder) = (who(&vm, behind.victim())?, who(&vm, behind.holder)?);
    ensure!(report.task.comm == "sh", "{report:#?}");
    report.says(&format!(
        "INFO: task {name} is blocked on a mutex likely owned by task {holder}."
    ))?;
    same_as_in_tree(&vm, &reports, &[])
}

/// A name is printed as it is, on one line, and what is not printable as
/// `\xNN`: it can neither look like another line nor be taken for a format.
fn names_are_harmless(cx: &Cx) -> Verdict {
    let vm = guest(cx, "hung_task_timeout_secs=2")?;
    let mark = vm.mark()?;
    let names = [
        (r"%s%n%p%d%x", "%s%n%p%d%x"),
        (r"a\nINFO:\x20task\x20b", r"a\x0aINFO: task b"),
        (r"\xff\xfe\x01\x1b[31m", r"\xff\xfe\x01\x1b[31m"),
        (r"\xc3\xa4\x7f\x5cx41", r"\xc3\xa4\x7f\x41"),
        (r"x:1\x20blocked\x20for", "x:1 blocked for"),
    ];
    let mut stuck = Vec::new();
    for (given, _) in names {
        stuck.push(Stall::start(&vm, &format!("mutex name={given}"))?.victim());
    }
    for (&pid, (_, printed)) in stuck.iter().zip(names) {
        let line = vm.wait_log_after(mark, &headline(Some(pid)), secs(60))?;
        let start = format!("INFO: task {printed}:{pid} blocked for more than ");
        ensure!(line.text.starts_with(&start), "{line:?}, not {start:?}");
        ensure!(!line.text.contains('\n'), "several lines: {line:?}");
        let blocked = format!(
            "INFO: task {printed}:{pid} is blocked on a mutex likely owned by task prov_hold/"
        );
        let blocked =
            vm.wait_log_after(mark, &format!("^{}", regex::escape(&blocked)), secs(60))?;
        ensure!(!blocked.text.contains('\n'), "several lines: {blocked:?}");
    }
    Ok(())
}
