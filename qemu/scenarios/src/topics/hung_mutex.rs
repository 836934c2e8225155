// SPDX-License-Identifier: GPL-2.0
//! Tasks stuck on a mutex: reported in mainline's words, with the owner.

use super::hung_stall::{
    mainline_guest as guest, only_reports, report_on, same_as_in_tree, who, Stall,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("every_kind", every_kind)
        .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
        .core()
        .light()]
}

/// The owner is named, and its stack shown unless it is hung itself and has a
/// report of its own; an owner that is gone, or that the mutex has lost, is said
/// to be so. All else is as the in-tree detector has it in the same guest.
fn every_kind(cx: &Cx) -> Verdict {
    let vm = guest(cx, "hung_task_timeout_secs=2 hung_task_warnings=-1")?;
    let mark = vm.mark()?;
    let held = Stall::start(&vm, "mutex count=2")?;
    let orphan = Stall::start(&vm, "mutex_orphan")?;
    let lost = Stall::start(&vm, "mutex_noowner")?;
    let chain = Stall::start(&vm, "chain count=3")?;
    let cycle = Stall::start(&vm, "abba_mutex count=2")?;
    let stalls = [&held, &orphan, &lost, &chain, &cycle];
    let stuck: Vec<u32> = stalls
        .iter()
        .flat_map(|stall| stall.victims.clone())
        .collect();
    let reports = only_reports(&vm, mark, &stuck)?;
    for report in &reports {
        report.well_formed(&vm)?;
    }

    // Who waits for whom, and whether the owner has no report of its own.
    let mut owned = vec![
        (held.victims[0], held.holder, true),
        (held.victims[1], held.holder, true),
        (chain.victims[0], chain.victims[1], false),
        (chain.victims[1], chain.victims[2], false),
        (chain.victims[2], chain.holder, true),
    ];
    owned.push((cycle.victims[0], cycle.victims[1], false));
    owned.push((cycle.victims[1], cycle.victims[0], false));
    for (victim, owner, owner_runs) in owned {
        let report = report_on(&reports, victim)?;
        let (name, owner_name) = (who(&vm, victim)?, who(&vm, owner)?);
        report.says(&format!(
            "INFO: task {name} is blocked on a mutex likely owned by task {owner_name}."
        ))?;
        let stacks = if owner_runs {
            vec![victim, owner]
        } else {
            vec![victim]
        };
        ensure!(
            report.stacks() == stacks,
            "stacks of {:?}, not {stacks:?}",
            report.stacks()
        );
    }

    let mut not_found = Vec::new();
    for stall in [&orphan, &lost] {
        let report = report_on(&reports, stall.victim())?;
        let name = who(&vm, stall.victim())?;
        let line = format!("INFO: task {name} is blocked on a mutex, but the owner is not found.");
        report.says(&line)?;
        ensure!(
            report.stacks() == [stall.victim()],
            "stacks of {:?}",
            report.stacks()
        );
        not_found.push(line);
    }
    // Mainline has no words for an owner that exited.
    same_as_in_tree(&vm, &reports, &not_found[..1])
}
