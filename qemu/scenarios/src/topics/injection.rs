// SPDX-License-Identifier: GPL-2.0
//! What fails: each allocation that a write, a read, a request, an unload or a look makes, one after
//! the other, and each registration whose name or place somebody else has. (Each allocation of a load
//! is in `module::insmod_fail_nth`.)

use super::{
    hung_stall::{finish_look, guest, wait_for, wait_report, Stall, PROVOKE, SOON},
    module::{forget_leaks, have_allocations_fail, no_leaks, nothing_left, number},
};
use crate::prelude::*;
use vigil_logic::knobs::{KnobKind, Max, KNOBS};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        each_allocation_of("knobs", knobs),
        each_allocation_of("reads_and_requests", reads_and_requests),
        each_allocation_of("unload", unload),
        each_allocation_of("looks", looks),
        Scenario::new("names_taken", names_taken)
            .allow(Splat::Sysctl)
            .all(),
        Scenario::new("hotplug_states_taken", hotplug_states_taken)
            // The kernel warns of it.
            .allow(Splat::Warning)
            .all(),
    ]
}

fn each_allocation_of(name: &'static str, run: fn(&Cx) -> Verdict) -> Scenario {
    Scenario::new(name, run)
        .needs("CONFIG_FAILSLAB")
        .all()
        .limit(secs(600))
}

const TIMES: &str =
    "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=-1";

/// Has allocations fail; what leaks from here on is found.
fn prepare(vm: &Vm) -> Verdict {
    have_allocations_fail(vm)?;
    forget_leaks(vm)
}

/// Ensures that vigil still finds what is stuck, goes, and has lost no memory.
fn works_and_goes(vm: &Vm) -> Verdict {
    let mark = vm.mark()?;
    let stall = Stall::start(vm, "mutex")?;
    wait_report(vm, mark, stall.victim())?;
    stall.end(vm)?;
    vm.sh_ok("rmmod vigil_provoke")?;
    vm.unload()?;
    nothing_left(vm)?;
    no_leaks(vm)
}

/// `agent fail-nth` with these arguments; returns how many allocations there were.
fn each_fails(vm: &Vm, arguments: &str) -> anyhow::Result<u32> {
    let job = vm.spawn(&format!("exec /sbin/agent fail-nth {arguments}"))?;
    let said = job
        .wait(vm.time_left())?
        .ok()
        .with_context(|| arguments.to_owned())?;
    Ok(number(&said, "end")?.saturating_sub(1))
}

/// A write to a knob whose memory fails leaves the value that was there, and says so; or it is done.
fn knobs(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    prepare(&vm)?;
    for knob in KNOBS {
        let value = match knob.kind {
            KnobKind::Number {
                max: Max::Number(1),
                ..
            } => {
                let now = vm.knob(knob.name)?;
                if now == "0" { "1" } else { "0" }.to_owned()
            }
            KnobKind::Number { .. } => "7".to_owned(),
            KnobKind::Word(_) => "mainline".to_owned(),
            KnobKind::List => "mem".to_owned(),
            KnobKind::Rules => "backup*,:io".to_owned(),
            KnobKind::Cpus => "0".to_owned(),
            _ => continue,
        };
        let path = format!("/proc/sys/vigil/{}", knob.name);
        let all = each_fails(&vm, &format!("write {path} '{value}'"))?;
        ensure!(all > 0, "{}: no allocation", knob.name);
    }
    works_and_goes(&vm)
}

/// What is read has what it had, or the read fails; and so the recent incidents by netlink.
fn reads_and_requests(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    let mark = vm.mark()?;
    let ring = Stall::start(&vm, "abba_mutex count=3")?;
    wait_report(&vm, mark, ring.victim())?;
    finish_look(&vm)?;
    prepare(&vm)?;
    for path in [
        "/sys/kernel/debug/vigil/status",
        "/sys/kernel/debug/vigil/incidents",
        "/sys/kernel/debug/vigil/waitgraph.dot",
        "/proc/sys/vigil/hung_task_report",
        "/proc/sys/vigil/watchdog_cpumask",
    ] {
        let all = each_fails(&vm, &format!("read {path}"))?;
        ensure!(all > 0, "{path}: no allocation");
    }
    let all = each_fails(&vm, "dump")?;
    ensure!(all > 0, "no allocation");
    ring.end(&vm)?;
    works_and_goes(&vm)
}

/// To unload takes no memory that could be missing.
fn unload(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    vm.unload()?;
    prepare(&vm)?;
    each_fails(&vm, "unload /vm/vigil.ko")?;
    vm.load(TIMES)?;
    works_and_goes(&vm)
}

/// Whichever allocation of the thread fails that looks for hung tasks and reports them: the stall is
/// reported all the same.
fn looks(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    prepare(&vm)?;
    let thread = vm.sh_ok("grep -lx vigild/hung /proc/[0-9]*/comm")?;
    let fault = thread.trim().replace("/comm", "/fail-nth");
    let mut nth = 1_u32;
    loop {
        let mark = vm.mark()?;
        vm.write(&fault, nth.to_string().as_bytes())?;
        let ring = Stall::start(&vm, "abba_mutex count=3")?;
        let chain = Stall::start(&vm, "chain count=2")?;
        for pid in [ring.victim(), chain.victim()] {
            vm.wait_log_after(
                mark,
                &format!(r"^INFO: task .*:{pid} blocked|^vigil: .*:{pid}\b"),
                SOON,
            )
            .with_context(|| format!("with allocation {nth} failing"))?;
        }
        finish_look(&vm)?;
        let left: u32 = vm.read(&fault)?.trim().parse()?;
        vm.write(&fault, b"0")?;
        ring.end(&vm)?;
        chain.end(&vm)?;
        wait_for(&vm, SOON, "no hung task", || {
            let status = Status::read(&vm)?;
            Ok((status.number(key::hung_task::HUNG_TASKS)? == 0).then_some(()))
        })?;
        if left != 0 {
            break;
        }
        nth += 1;
    }
    ensure!(nth > 3, "only {nth} allocations");
    works_and_goes(&vm)
}

/// Somebody else has what it wants to register: the module is not loaded, says what it could not do, and
/// leaves nothing. Afterwards it is loaded.
fn is_refused(vm: &Vm, file: &str, step: &str) -> Verdict {
    vm.write(&format!("{PROVOKE}/{file}"), b"1")?;
    let mark = vm.mark()?;
    ensure!(vm.load(TIMES).is_err(), "{file}: loaded");
    let failed = pattern_of(messages::InitFailed::<()>::TEXT, &[("step", step)]);
    vm.wait_log_after(mark, &failed, SOON)
        .with_context(|| file.to_owned())?;
    vm.write(&format!("{PROVOKE}/{file}"), b"0")?;
    nothing_left(vm)?;
    vm.load(TIMES)?;
    works_and_goes(vm)
}

fn hotplug_states_taken(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    vm.insmod("vigil_provoke.ko", "")?;
    is_refused(&vm, "hotplug_states", "set up the lockup detectors")
}

/// The folder of the knobs is needed, the one in debugfs is not.
fn names_taken(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    vm.insmod("vigil_provoke.ko", "")?;
    is_refused(&vm, "sysctl_folder", "register /proc/sys/vigil")?;

    vm.insmod("vigil_provoke.ko", "")?;
    vm.write(&format!("{PROVOKE}/debugfs_folder"), b"1")?;
    let mark = vm.mark()?;
    vm.load(TIMES)?;
    vm.wait_log_after(mark, &pattern(messages::NoStatusFile::TEXT), SOON)?;
    let stall = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, stall.victim())?;
    stall.end(&vm)?;
    vm.unload()?;
    // It is not vigil's to remove.
    vm.sh_ok("[ -d /sys/kernel/debug/vigil ]")?;
    vm.write(&format!("{PROVOKE}/debugfs_folder"), b"0")?;
    vm.load(TIMES)?;
    Status::read(&vm)?;
    works_and_goes(&vm)
}
