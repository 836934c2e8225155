// SPDX-License-Identifier: GPL-2.0
//! Tasks stuck on a semaphore: reported in mainline's words, with the last one
//! known to have taken it.

use super::hung_stall::{
    mainline_guest as guest, only_reports, report_on, same_as_in_tree, who, Stall,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("every_kind", every_kind)
        .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
        .light()]
}

/// The last holder is named, and its stack shown unless it is hung itself; one
/// that never was, or is gone, is said to be so. All else is as the in-tree
/// detector has it in the same guest.
fn every_kind(cx: &Cx) -> Verdict {
    let vm = guest(cx, "hung_task_timeout_secs=2 hung_task_warnings=-1")?;
    let mark = vm.mark()?;
    let held = Stall::start(&vm, "sem")?;
    let orphan = Stall::start(&vm, "sem_orphan")?;
    let gone = Stall::start(&vm, "sem_gone")?;
    let cycle = Stall::start(&vm, "abba")?;
    let stalls = [&held, &orphan, &gone, &cycle];
    let stuck: Vec<u32> = stalls
        .iter()
        .flat_map(|stall| stall.victims.clone())
        .collect();
    let reports = only_reports(&vm, mark, &stuck)?;

    let owned = [
        (held.victim(), held.holder, vec![held.victim(), held.holder]),
        (cycle.victims[0], cycle.victims[1], vec![cycle.victims[0]]),
        (cycle.victims[1], cycle.victims[0], vec![cycle.victims[1]]),
    ];
    for (victim, owner, stacks) in owned {
        let report = report_on(&reports, victim)?;
        let (name, owner) = (who(&vm, victim)?, who(&vm, owner)?);
        report.well_formed(&vm)?;
        report.says(&format!(
            "INFO: task {name} blocked on a semaphore likely last held by task {owner}"
        ))?;
        ensure!(
            report.stacks() == stacks,
            "stacks of {:?}, not {stacks:?}",
            report.stacks()
        );
    }

    let mut not_found = Vec::new();
    for stall in [&gone, &orphan] {
        let report = report_on(&reports, stall.victim())?;
        let name = who(&vm, stall.victim())?;
        let line = format!(
            "INFO: task {name} is blocked on a semaphore, but the last holder is not found."
        );
        report.says(&line)?;
        ensure!(
            report.stacks() == [stall.victim()],
            "stacks of {:?}",
            report.stacks()
        );
        not_found.push(line);
    }
    // Mainline has no words for a holder that exited.
    same_as_in_tree(&vm, &reports, &not_found[..1])
}
