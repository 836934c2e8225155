// SPDX-License-Identifier: GPL-2.0
//! A virtual machine, or one CPU of it, that its host does not run for a while:
//! nothing was stuck in that time.

use super::{
    hung_stall::SOON,
    lockup_stall::{
        counts, grace, guest, guest_of, hard_in_time, provoke, recovered, soft_in_time,
        tainted_by_soft_lockup, unresponsive, wait_for_panic, Lockup, Words, PERIOD,
    },
    reports::panicked,
};
use crate::prelude::*;
use regex::Regex;
use std::thread;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        // The kernel's own detectors are fooled by the pause.
        Scenario::new("whole_machine", whole_machine)
            .limit(secs(400))
            .allow(Splat::RcuStall),
        Scenario::new("one_cpu", one_cpu)
            .core()
            .only_on(Arch::X86_64, NO_ASKING)
            .allow(Splat::RcuStall),
        Scenario::new("one_cpu_panic", one_cpu_panic).only_on(Arch::X86_64, NO_ASKING),
        Scenario::new("without_a_hypervisor", without_a_hypervisor)
            .only_on(Arch::X86_64, NO_ASKING),
        Scenario::new("flag_of_the_hypervisor", flag_of_the_hypervisor).needs("CONFIG_KVM_GUEST"),
    ]
}

/// Why a CPU that its host does not run cannot be told from one that is stuck.
pub(super) const NO_ASKING: &str = "no module can ask a CPU by NMI";

/// Something that runs on each of two CPUs all the time.
fn busy(vm: &Vm) -> anyhow::Result<[Job; 2]> {
    let on = |cpu| vm.spawn_on(cpu, "while :; do :; done");
    Ok([on(0)?, on(1)?])
}

/// Ensures that a soft and a hard lockup of CPU 1 are found, each in time.
fn still_finds(vm: &Vm) -> Verdict {
    vm.set_knob("watchdog_thresh", 1)?;
    let outcome = provoke(vm, "preempt_off cpu=1 ms=3500")?;
    let report = outcome.words.only_soft(1)?.first().context("no report")?;
    soft_in_time(report, outcome.span()?, 1.0)?;
    let outcome = provoke(vm, "irqs_off cpu=1 ms=4000")?;
    let words = &outcome.words;
    ensure!(
        words.hard.len() == 1 && words.hard[0].cpu == 1,
        "{words:#?}"
    );
    hard_in_time(&words.hard[0], outcome.span()?, 1.0, 0)
}

/// Nothing at all is said on a minute in which the machine did not run, however
/// busy its CPUs are, with the threshold at 5 s. True lockups right after that
/// are found.
fn whole_machine(cx: &Cx) -> Verdict {
    let pause = secs(60);
    let vm = guest(cx, 2, "watchdog_thresh=5")?;
    let jobs = busy(&vm)?;
    let mark = vm.mark()?;
    let before = vm.uptime()?;
    vm.freeze()?;
    cx.sleep_yielding_slot(pause);
    vm.thaw()?;
    let jump = vm.uptime()? - before;
    ensure!(
        jump > pause.as_secs_f64() - 1.0,
        "the guest saw {jump} s of a pause of {pause:?}"
    );
    // Two sample periods and more.
    vm.sh_ok("sleep 5")?;
    Words::of(&vm.dmesg_after(mark)?)?.silent()?;
    ensure!(counts(&vm)? == (0, 0, 0), "{:?}", counts(&vm)?);
    for job in jobs {
        job.kill()?;
    }
    still_finds(&vm)
}

/// A CPU that its host does not run for 15 s has no lockup of any kind: it is
/// said that it does not run, and when it does again. True lockups right after
/// that are found.
fn one_cpu(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=3")?;
    vm.spawn_on(1, machine::busy())?;
    let frozen = vm.freeze_vcpu_in_user_mode(1)?;
    // What was said on a freeze that did not work has recovered.
    let mark = vm.mark()?;
    let line = vm.wait_log_after(mark, &unresponsive(1), SOON)?;
    let note = Words::of(std::slice::from_ref(&line))?.not_run;
    // The question is asked as for a hard lockup, after 3.6 s, and two seconds are left
    // for the answer.
    ensure!(
        matches!(note.as_slice(), [note] if (5.0..12.0).contains(&note.seconds)),
        "{line:?}"
    );
    // The other one has nothing to do.
    cx.sleep_yielding_slot(secs(12));
    drop(frozen);
    vm.wait_log_after(mark, &recovered(1), SOON)?;
    vm.sh_on(0, "sleep 4")?.ok()?;
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    ensure!(
        words.soft.is_empty()
            && words.hard.is_empty()
            && words.not_run.len() == 1
            && words.recovered.len() == 1
            && words.recovered[0].cpu == 1
            && words.recovered[0].seconds > 12.0,
        "{words:#?}"
    );
    ensure!(counts(&vm)? == (0, 0, 1), "{:?}", counts(&vm)?);
    // The kernel's own detector may have cried wolf, and it taints too.
    ensure!(
        !words.in_tree_soft.is_empty() || !tainted_by_soft_lockup(&vm)?,
        "tainted"
    );
    still_finds(&vm)
}

/// If wanted it is a reason to panic.
fn one_cpu_panic(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 unresponsive_cpu_panic=1")?;
    let frozen = vm.freeze_vcpu(1)?;
    vm.wait_log(&unresponsive(1), SOON)
        .or_else(|error| match error {
            // It may be gone by then.
            Error::Panicked { .. } => Ok(LogLine::default()),
            error => Err(error),
        })?;
    // What a CPU that does not run cannot do is to stop.
    drop(frozen);
    let text = vm.wait_panic(SOON)?;
    panicked(&text, messages::UNRESPONSIVE_CPU_PANIC)?;
    let said = Regex::new(within_line(&unresponsive(1)))?;
    ensure!(said.is_match(&vm.console().text()));
    Ok(())
}

/// Without a hypervisor a CPU that answers no NMI is stuck, in firmware or in an NMI handler: it has a
/// hard lockup, on which the knob for CPUs that do not run panics as well, when it is written later
/// too.
fn without_a_hypervisor(cx: &Cx) -> Verdict {
    // The machine still stops it, but says nothing of itself.
    let config = cx
        .config()
        .cpus(2)
        .qemu_args(["-cpu", "max,hypervisor=off"]);
    let vm = guest_of(cx, config, "watchdog_thresh=1")?;
    let frozen = vm.freeze_vcpu(1)?;
    vm.wait_log(messages::EVIDENCE_NO_ANSWER, SOON)?;
    ensure!(counts(&vm)? == (0, 1, 0), "{:?}", counts(&vm)?);
    let words = Words::of(&vm.dmesg()?)?;
    ensure!(
        words.hard.len() == 1 && words.hard[0].cpu == 1 && words.not_run.is_empty(),
        "{words:#?}"
    );
    vm.set_knob("unresponsive_cpu_panic", 1)?;
    wait_for_panic(&vm)?;
    drop(frozen);
    panicked(&vm.wait_panic(SOON)?, messages::UNRESPONSIVE_CPU_PANIC)?;
    Ok(())
}

/// kvmclock's flag that the CPU was stopped puts a report off by a threshold, once,
/// however long it stays set; and vigil leaves it set. (There is no kvmclock under
/// emulation: `vigil_provoke` lends the CPUs a clock with nothing but the flag.)
fn flag_of_the_hypervisor(cx: &Cx) -> Verdict {
    const FLAG: &str = "/sys/kernel/debug/vigil_provoke/guest_paused";
    let threshold = 4.0;
    // By the host's clock: what runs in the guest to wait takes its own time.
    let two_seconds = || thread::sleep(secs(2));
    let vm = guest(cx, 2, "watchdog_thresh=2")?;
    let in_tree = vm.sh("test -e /proc/sys/kernel/watchdog")?.ok().is_ok();
    if in_tree {
        // It would clear the flag.
        vm.write("/proc/sys/kernel/watchdog", b"0")?;
    }
    let mark = vm.mark()?;
    let lockup = Lockup::start(&vm, "preempt_off cpu=1 ms=8500")?;
    two_seconds();
    let before = vm.uptime()?;
    vm.write(FLAG, b"1")?;
    let after = vm.uptime()?;
    let span = lockup.wait(&vm)?.remove(0);
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    let reports = words.only_soft(1)?;
    ensure!(reports.len() == 1, "{reports:#?}");
    let time = reports[0].time;
    let period = 2.0 * PERIOD;
    ensure!(
        time > before + threshold && time < after + period + threshold + grace(),
        "reported at {time}, the flag was set at {before} to {after}: {span:?}"
    );
    ensure!(
        reports[0].seconds >= (time - span.began) as u64,
        "{reports:#?}"
    );
    let flag = vm.read(FLAG)?;
    ensure!(flag == "0x2\n", "{flag}");
    Status::read(&vm)?.is(key::watchdog::GUEST_PAUSED_FLAG, "1")?;

    // Old news.
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=6000")?;
    let report = outcome.words.only_soft(1)?.first().context("no report")?;
    soft_in_time(report, outcome.span()?, 2.0)?;
    if !in_tree {
        return Ok(());
    }
    // Where the kernel's own detector clears it, that puts the report off as well.
    vm.write("/proc/sys/kernel/watchdog_thresh", b"2")?;
    vm.write("/proc/sys/kernel/watchdog", b"1")?;
    vm.sh_ok("sleep 2")?;
    let flag = vm.read(FLAG)?;
    ensure!(flag == "0x0\n", "{flag}");
    let mark = vm.mark()?;
    let lockup = Lockup::start(&vm, "preempt_off cpu=1 ms=8500")?;
    two_seconds();
    let before = vm.uptime()?;
    vm.write(FLAG, b"1")?;
    lockup.wait(&vm)?;
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    let first = words.only_soft(1)?.first().context("no report")?;
    ensure!(first.time > before + threshold, "at {before}: {first:#?}");
    vm.sh_ok("rmmod vigil_provoke")?;
    Status::read(&vm)?.is(key::watchdog::GUEST_PAUSED_FLAG, "0")?;
    Ok(())
}
