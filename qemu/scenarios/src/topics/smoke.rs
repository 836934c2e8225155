// SPDX-License-Identifier: GPL-2.0
//! One finding of each kind: the short fixed set that `make matrix` runs on each kernel of the
//! table in `docs/kernels.md`.
//!
//! A scenario that finds something ends with one line on stdout, `smoke::NAME: ` and what was
//! found, which is what the table shows.

use super::{
    hung_stall::{only_reports, report_on, who, Stall, SOON},
    lockup_stall::{
        counts, guest, hard_in_time, hard_well_formed, provoke, soft_in_time, soft_well_formed,
    },
    module::nothing_left,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("load_and_unload", load_and_unload).light(),
        Scenario::new("hung_task", hung_task).light(),
        Scenario::new("soft_lockup", soft_lockup),
        Scenario::new("hard_lockup", hard_lockup),
    ]
}

/// Threshold of lockups and timeout of hung tasks, in seconds.
const THRESH: u32 = 1;

/// The module loads with its defaults, says so, and leaves nothing behind, twice.
fn load_and_unload(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    for _ in 0..2 {
        let mark = vm.mark()?;
        vm.load("")?;
        vm.wait_log_after(mark, "^vigil: .*hung task", SOON)?;
        ensure!(counts(&vm)? == (0, 0, 0), "{:?}", counts(&vm)?);
        vm.unload()?;
        nothing_left(&vm)?;
    }
    Ok(())
}

/// A task that waits for a mutex is reported with its stack and the mutex's owner. With PREEMPT_RT
/// mutexes are real-time mutexes.
fn hung_task(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, &format!("hung_task_timeout_secs={THRESH}"))?;
    let lock = match vm.artifacts().kernel_has("CONFIG_PREEMPT_RT") {
        true => "an rt_mutex",
        false => "a mutex",
    };
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;
    let reports = only_reports(&vm, mark, &[stall.victim()])?;
    let report = report_on(&reports, stall.victim())?;
    report.well_formed(&vm)?;
    let (name, owner) = (who(&vm, stall.victim())?, who(&vm, stall.holder)?);
    report.says(&format!(
        "INFO: task {name} is blocked on {lock} likely owned by task {owner}."
    ))?;
    println!(
        "smoke::hung_task: after {} s, with stack and owner",
        report.seconds
    );
    stall.end(&vm)?;
    leave(&vm)
}

/// A CPU whose task does not let others run is reported in time, with task and stack.
fn soft_lockup(cx: &Cx) -> Verdict {
    let thresh = f64::from(THRESH);
    let vm = guest(cx, 2, &format!("watchdog_thresh={THRESH}"))?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=3500")?;
    let span = outcome.span()?;
    let [report] = outcome.words.only_soft(1)? else {
        bail!("not one report: {:#?}", outcome.words);
    };
    soft_well_formed(report, 1, "prov_preempt/1", span.pid)?;
    soft_in_time(report, span, thresh)?;
    ensure!(report.mentions("prov_preempt_off+0x"), "{report:#?}");
    ensure!(counts(&vm)? == (1, 0, 0), "{:?}", counts(&vm)?);
    println!(
        "smoke::soft_lockup: after {:.1} s, with stack",
        report.time - span.began
    );
    leave(&vm)
}

/// A CPU that keeps interrupts off is reported in time by its neighbour, with its stack where the
/// kernel has NMIs.
fn hard_lockup(cx: &Cx) -> Verdict {
    let thresh = f64::from(THRESH);
    let vm = guest(cx, 2, &format!("watchdog_thresh={THRESH}"))?;
    let outcome = provoke(&vm, "irqs_off cpu=1 ms=4000")?;
    let (words, span) = (&outcome.words, outcome.span()?);
    ensure!(
        words.hard.len() == 1
            && words.hard[0].cpu == 1
            && words.recovered.len() == 1
            && words.soft.is_empty()
            && words.not_run.is_empty(),
        "not one hard lockup of CPU 1: {words:#?}"
    );
    let report = &words.hard[0];
    hard_well_formed(report, "prov_irqs/1", "prov_irqs_off")?;
    hard_in_time(report, span, thresh, 0)?;
    ensure!(counts(&vm)? == (0, 1, 0), "{:?}", counts(&vm)?);
    let confirmed = match (machine::arch(), machine::has_nmi()) {
        (Arch::X86_64, _) => "confirmed by NMI, with stack",
        (Arch::Aarch64, true) => "with stack by pseudo-NMI",
        (Arch::Aarch64, false) => "not confirmed: no NMI",
    };
    println!(
        "smoke::hard_lockup: after {:.1} s, by buddy, {confirmed}",
        report.time - span.began
    );
    leave(&vm)
}

/// Unloads the module, which leaves nothing behind.
fn leave(vm: &Vm) -> Verdict {
    vm.unload()?;
    nothing_left(vm)
}
