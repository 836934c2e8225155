// SPDX-License-Identifier: GPL-2.0
//! Tasks stuck on an rw-semaphore: reported in mainline's words, with the owner
//! and who reads and who writes.

use super::hung_stall::{
    mainline_guest as guest, only_reports, report_on, same_as_in_tree, who, Stall,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("every_kind", every_kind)
        .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
        .light()]
}

/// A reader behind a writer, a writer behind a reader, and one behind a reader
/// that the lock does not know any more. All else is as the in-tree detector has
/// it in the same guest.
fn every_kind(cx: &Cx) -> Verdict {
    let vm = guest(cx, "hung_task_timeout_secs=2 hung_task_warnings=-1")?;
    let mark = vm.mark()?;
    let reader = Stall::start(&vm, "rwsem_reader count=2")?;
    let writer = Stall::start(&vm, "rwsem_writer")?;
    let lost = Stall::start(&vm, "rwsem_noowner")?;
    let stuck = [
        reader.victims[0],
        reader.victims[1],
        writer.victim(),
        lost.victim(),
    ];
    let reports = only_reports(&vm, mark, &stuck)?;

    for (victim, waits_as, owner, held_as) in [
        (reader.victims[0], "reader", reader.holder, "writer"),
        (reader.victims[1], "reader", reader.holder, "writer"),
        (writer.victim(), "writer", writer.holder, "reader"),
    ] {
        let report = report_on(&reports, victim)?;
        let (name, owner_name) = (who(&vm, victim)?, who(&vm, owner)?);
        report.well_formed(&vm)?;
        report.says(&format!(
            "INFO: task {name} <{waits_as}> blocked on an rw-semaphore likely owned by task {owner_name} <{held_as}>"
        ))?;
        ensure!(
            report.stacks() == [victim, owner],
            "stacks of {:?}",
            report.stacks()
        );
    }

    let report = report_on(&reports, lost.victim())?;
    let name = who(&vm, lost.victim())?;
    report.says(&format!(
        "INFO: task {name} is blocked on an rw-semaphore, but the owner is not found."
    ))?;
    ensure!(
        report.stacks() == [lost.victim()],
        "stacks of {:?}",
        report.stacks()
    );
    same_as_in_tree(&vm, &reports, &[])
}
