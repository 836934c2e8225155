// SPDX-License-Identifier: GPL-2.0
//! Programs that read kernel logs find in vigil's reports what they find in those of the kernel's
//! own detectors on the same stalls, and nothing else.

use super::{
    hung_stall::{finish_look, reports, wait_for, wait_report, Stall, SOON},
    lockup_stall::{guest, provoke, Words},
    reports::Report,
};
use crate::{
    prelude::*,
    readers::{Events, Reader},
};
use std::collections::{BTreeMap, BTreeSet};
use vigil_klog::HungTask;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("hung_tasks", hung_tasks).needs(HUNG).light(),
        Scenario::new("lockups", lockups).needs(SOFT),
    ]
}

const HUNG: &str = "CONFIG_DETECT_HUNG_TASK";
const SOFT: &str = "CONFIG_SOFTLOCKUP_DETECTOR";

/// What tasks are hung by: a lock with an owner, locks in a cycle, and waits that are for no lock,
/// one of them for I/O.
const STALLS: [&str; 5] = [
    "mutex count=2",
    "sem",
    "abba_mutex count=3",
    "completion",
    "iowait",
];

/// Sets one of the kernel's own knobs.
fn kernel(vm: &Vm, name: &str, value: impl ToString) -> Verdict {
    let value = value.to_string();
    vm.write(&format!("/proc/sys/kernel/{name}"), value.as_bytes())
        .with_context(|| format!("kernel.{name}={value}"))
}

/// What a program makes of a log.
fn events(reader: &Reader, log: &[LogLine]) -> Events {
    let lines = log.iter().filter(|line| line.facility == 0);
    reader.read(lines.map(|line| line.text.as_str()))
}

/// Ensures that a program has no event from vigil that it has not from the kernel's detector.
fn nothing_new(reader: &Reader, ours: &Events, in_tree: &Events) -> Verdict {
    let known: BTreeSet<_> = in_tree.other.iter().collect();
    let new: Vec<_> = ours
        .other
        .iter()
        .filter(|line| !known.contains(line))
        .collect();
    ensure!(
        ours.hung.is_subset(&in_tree.hung) && ours.cpu.is_subset(&in_tree.cpu) && new.is_empty(),
        "{}: {ours:#?}, but of the kernel's own reports {in_tree:#?}",
        reader.name
    );
    Ok(())
}

/// The functions of the first call trace behind the first line of each report, by the task that the
/// line is about, which has to be that trace's. From them a report gets its title.
fn frames(all: &[Report<HungTask>]) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut frames = BTreeMap::new();
    for report in all {
        let first = report.dumps.first().context("no stack")?;
        ensure!(first.task.as_ref() == Some(&report.task), "{report:#?}");
        let sure = first.frames.iter().filter(|frame| frame.reliable);
        let functions: Vec<_> = sure.map(|frame| frame.function.clone()).collect();
        ensure!(functions.len() > 3, "{report:#?}");
        frames.insert(report.task.to_string(), functions);
    }
    Ok(frames)
}

/// Hung tasks of each kind: reported by the kernel, by vigil one by one, and by vigil by their root
/// causes.
fn hung_tasks(cx: &Cx) -> Verdict {
    let readers = Reader::all()?;
    let vm = guest(
        cx,
        2,
        "hung_task_report=mainline hung_task_timeout_secs=0 hung_task_check_interval_secs=1 \
         hung_task_warnings=-1 watchdog_thresh=0",
    )?;
    let mark = vm.mark()?;
    let stalls = STALLS
        .into_iter()
        .map(|what| Stall::start(&vm, what))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let victims = || {
        stalls
            .iter()
            .flat_map(|stall| stall.victims.iter().copied())
    };
    kernel(&vm, "hung_task_warnings", -1)?;
    kernel(&vm, "hung_task_check_interval_secs", 1)?;
    kernel(&vm, "hung_task_timeout_secs", 2)?;
    for pid in victims() {
        wait_report(&vm, mark, pid)?;
    }
    kernel(&vm, "hung_task_timeout_secs", 0)?;
    // It may be in the middle of a report.
    vm.sh_ok("sleep 1")?;
    let in_tree = vm.dmesg_after(mark)?;
    ensure!(reports(&in_tree)?.iter().all(Report::is_in_tree));

    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    for pid in victims() {
        wait_report(&vm, mark, pid)?;
    }
    finish_look(&vm)?;
    vm.set_knob("hung_task_timeout_secs", 0)?;
    let mainline = vm.dmesg_after(mark)?;

    let mark = vm.mark()?;
    vm.set_knob("hung_task_report", "grouped")?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let has_victim = |all: &[Report<HungTask>], stall: &Stall| {
        all.iter()
            .any(|report| stall.victims.contains(&report.task.pid))
    };
    wait_for(&vm, SOON, "a report on each cause", || {
        let all = reports(&vm.dmesg_after(mark)?)?;
        Ok(stalls
            .iter()
            .all(|stall| has_victim(&all, stall))
            .then_some(()))
    })?;
    finish_look(&vm)?;
    let grouped = vm.dmesg_after(mark)?;

    let known = frames(&reports(&in_tree)?)?;
    let (one_by_one, by_cause) = (reports(&mainline)?, reports(&grouped)?);
    ensure!(one_by_one.iter().chain(&by_cause).all(Report::is_vigil));
    ensure!(frames(&one_by_one)? == known, "{one_by_one:#?}");
    for (task, functions) in frames(&by_cause)? {
        ensure!(
            known.get(&task) == Some(&functions),
            "{task}: {functions:?}"
        );
    }
    for reader in &readers {
        let expected = events(reader, &in_tree);
        // Not all of them know the words for a wait for I/O.
        ensure!(
            expected.hung.len() + 1 >= known.len(),
            "{}: {expected:#?}",
            reader.name
        );
        let ours = events(reader, &mainline);
        nothing_new(reader, &ours, &expected)?;
        ensure!(
            ours.hung == expected.hung,
            "{}: {ours:#?}, not {expected:#?}",
            reader.name
        );
        let ours = events(reader, &grouped);
        nothing_new(reader, &ours, &expected)?;
        for stall in &stalls {
            let names: Vec<_> = stall.victims.iter().map(|pid| format!(":{pid}")).collect();
            let of = |events: &Events| {
                let mut hung = events.hung.iter();
                hung.any(|text| {
                    text.split(' ')
                        .any(|word| names.iter().any(|name| word.ends_with(name)))
                })
            };
            ensure!(
                of(&ours) || !of(&expected),
                "{}: {stall:?}: {ours:#?}",
                reader.name
            );
        }
    }
    Ok(())
}

/// A soft lockup, reported by the kernel and by vigil; and a hard lockup, reported by vigil in
/// mainline's words, which none of the programs knows.
fn lockups(cx: &Cx) -> Verdict {
    let readers = Reader::all()?;
    let vm = guest(
        cx,
        2,
        "watchdog_thresh=1 soft_watchdog=0 hung_task_timeout_secs=0",
    )?;
    kernel(&vm, "watchdog_thresh", 1)?;
    let log_of = |what: &str| -> anyhow::Result<Vec<LogLine>> {
        let mark = vm.mark()?;
        provoke(&vm, what)?;
        Ok(vm.dmesg_after(mark)?)
    };
    let stall = "preempt_off cpu=1 ms=6000";
    let in_tree = log_of(stall)?;
    kernel(&vm, "soft_watchdog", 0)?;
    vm.set_knob("soft_watchdog", 1)?;
    let ours = log_of(stall)?;
    let hard = log_of("irqs_off cpu=1 ms=4000")?;
    let (in_tree_words, words, hard_words) =
        (Words::of(&in_tree)?, Words::of(&ours)?, Words::of(&hard)?);
    ensure!(!in_tree_words.in_tree_soft.is_empty(), "{in_tree_words:#?}");
    ensure!(
        !words.soft.is_empty() && words.in_tree_soft.is_empty(),
        "{words:#?}"
    );
    ensure!(!hard_words.hard.is_empty(), "{hard_words:#?}");
    // The threads that occupied the CPU are two, of one name.
    let no_pids = |events: Events| -> Events {
        let without = |texts: BTreeSet<String>| -> BTreeSet<String> {
            let cut = |text: String| {
                text.rsplit_once(':')
                    .map_or(text.clone(), |(name, _)| name.to_owned())
            };
            texts.into_iter().map(cut).collect()
        };
        Events {
            cpu: without(events.cpu),
            ..events
        }
    };
    let pid = words.soft[0].task.pid;
    for reader in &readers {
        let (expected, found) = (events(reader, &in_tree), events(reader, &ours));
        ensure!(
            expected.cpu.is_empty() != reader.knows_lockups(),
            "{}: {expected:#?}",
            reader.name
        );
        if found.cpu.iter().any(|text| text.starts_with("prov_")) {
            ensure!(
                found.cpu.contains(&format!("prov_preempt/1:{pid}")),
                "{found:#?}"
            );
        }
        let (expected, found) = (no_pids(expected), no_pids(found));
        nothing_new(reader, &found, &expected)?;
        ensure!(found.cpu == expected.cpu, "{}: {found:#?}", reader.name);
        // Mainline's first line of a hard lockup is no beginning of a report for them, nor is any
        // line behind it.
        nothing_new(reader, &events(reader, &hard), &Events::default())?;
    }
    Ok(())
}
