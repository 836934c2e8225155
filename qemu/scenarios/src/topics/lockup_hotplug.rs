// SPDX-License-Identifier: GPL-2.0
//! CPUs that come and go, knobs that change meanwhile, and which CPUs are
//! watched at all.

use super::{
    lockup_stall::{counts, guest, guest_of, provoke, Words},
    module::nothing_left,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("a_cpu_refuses", a_cpu_refuses),
        Scenario::new("off_and_on", off_and_on)
            .core()
            .limit(secs(300)),
        Scenario::new("loaded_meanwhile", loaded_meanwhile)
            .core()
            .limit(secs(600)),
        Scenario::new("mask", mask).not_with_strict_rcu(),
        Scenario::new("nohz_full", nohz_full),
    ]
}

/// A quiet guest with four CPUs, to take some of them off and on.
///
/// QEMU 10's translator lets a CPU run that has to wait for its start-up IPI, if
/// other IPIs for it follow each other at the wrong moment: `x86_cpu_exec_halt()`
/// takes `CPU_INTERRUPT_POLL` back, lets go of its lock, and then asks
/// `cpu_has_work()`, which says yes if another one came in between. That CPU begins
/// at the reset vector, and the BIOS sends it on to the kernel's trampoline, by the
/// warm reset vector which the kernel sets for old machines ("In resume
/// (status=10)" on SeaBIOS's debug port, 0x402). The start-up IPI then comes to a
/// CPU that already is in `start_secondary()`, and throws it to 9900:0: an oops.
/// A busy host is enough, and no module of ours is needed: a guest that sends IPIs
/// all the time while CPUs go off and on died of it 3 times of 3, with QEMU made to
/// linger where it lets go of the lock (`LD_PRELOAD`) and the kernel between INIT
/// and the start-up IPI (`cpu_init_udelay=100000`).
///
/// A CPU that is off gets other IPIs because the kernel sends what is for all CPUs
/// that are on to simply all, by a shorthand of the APIC. So the kernel is told to
/// name them one by one; then the same guest lived, 3 times of 3.
pub(super) fn coming_and_going(cx: &Cx) -> Config {
    cx.config().cpus(4).append("no_ipi_broadcast=1")
}

/// Takes each CPU but the first away and back, so many times.
pub(super) fn torture(times: u32) -> String {
    format!(
        "i=0; while [ $i -lt {times} ]; do for cpu in 1 2 3; do
         echo 0 > /sys/devices/system/cpu/cpu$cpu/online || exit
         echo 1 > /sys/devices/system/cpu/cpu$cpu/online || exit
         done; i=$((i + 1)); done"
    )
}

/// Ensures that lockups of the CPUs 1 to 3, soft ones and hard ones, are found, each
/// once.
pub(super) fn each_is_watched(vm: &Vm) -> Verdict {
    for (what, soft) in [("preempt_off", true), ("irqs_off", false)] {
        let outcome = provoke(vm, &format!("{what} cpus=1-3 ms=3500"))?;
        let words = &outcome.words;
        let found: Vec<u32> = if soft {
            words.soft.iter().map(|report| report.cpu).collect()
        } else {
            words.hard.iter().map(|report| report.cpu).collect()
        };
        for cpu in 1..4 {
            let on_it = found.iter().filter(|&&found| found == cpu).count();
            ensure!(on_it == 1, "{what}, CPU {cpu}: {on_it} reports: {words:#?}");
        }
    }
    Ok(())
}

/// No alarm from CPUs that go off and on while thresholds, switches and mask
/// change all the time. Afterwards all of them are watched.
fn off_and_on(cx: &Cx) -> Verdict {
    let vm = guest_of(cx, coming_and_going(cx), "watchdog_thresh=1")?;
    let mark = vm.mark()?;
    vm.sh_ok(&torture(5))?;
    let writer = vm.spawn(
        "cd /proc/sys/vigil; while :; do for thresh in 1 2 0 1; do echo $thresh > watchdog_thresh
         for cpus in 0-3 1-2 0,3 '' 0-3; do echo $cpus > watchdog_cpumask; done
         echo 0 > soft_watchdog; echo 0 > nmi_watchdog; echo 1 > soft_watchdog; echo 1 > nmi_watchdog
         done; done",
    )?;
    vm.sh_ok(&torture(5))?;
    ensure!(!writer.ended(), "the writer ended: {}", writer.output());
    writer.kill()?;
    writer.wait(secs(30))?;
    Words::of(&vm.dmesg_after(mark)?)?.silent()?;

    vm.set_knob("watchdog_cpumask", "0-3")?;
    vm.set_knob("watchdog_thresh", 1)?;
    vm.set_knob("soft_watchdog", 1)?;
    vm.set_knob("nmi_watchdog", 1)?;
    each_is_watched(&vm)?;
    vm.unload()?;
    nothing_left(&vm)
}

/// The module comes and goes while CPUs go off and on: no alarm, nothing left.
fn loaded_meanwhile(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(coming_and_going(cx))?;
    let mark = vm.mark()?;
    let cpus = vm.spawn(&torture(1000))?;
    for parameters in ["watchdog_thresh=1", "watchdog_thresh=1 use_stopper=0"] {
        vm.sh_ok(&format!(
            "i=0; while [ $i -lt 5 ]; do insmod /vm/vigil.ko {parameters} && rmmod vigil || exit; i=$((i + 1)); done"
        ))?;
    }
    ensure!(
        !cpus.ended(),
        "CPUs do not go off and on: {}",
        cpus.output()
    );
    cpus.kill()?;
    cpus.wait(secs(30))?;
    let log = vm.dmesg_after(mark)?;
    let booted = |line: &&LogLine| line.text.contains(machine::cpu_is_on());
    let times = log.iter().filter(booted).count();
    ensure!(times >= 10, "only {times} times has a CPU come back");
    Words::of(&log)?.silent()?;
    nothing_left(&vm)
}

/// CPUs that are not in the mask are not watched, by either detector; those that
/// are put into it are.
fn mask(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1 watchdog_cpumask=0,2-3")?;
    ensure!(vm.knob("watchdog_cpumask")? == "0,2-3");
    let tried = |cpu: u32, watched: u64| -> Verdict {
        for (what, soft) in [("preempt_off", true), ("irqs_off", false)] {
            let before = counts(&vm)?;
            let outcome = provoke(&vm, &format!("{what} cpu={cpu} ms=3500"))?;
            let words = &outcome.words;
            let (n_soft, n_hard) = if soft { (watched, 0) } else { (0, watched) };
            ensure!(
                words.soft.len() as u64 == n_soft && words.hard.len() as u64 == n_hard,
                "{what} of CPU {cpu}: {words:#?}"
            );
            let after = (before.0 + n_soft, before.1 + n_hard, before.2);
            ensure!(counts(&vm)? == after, "{:?}, not {after:?}", counts(&vm)?);
        }
        Ok(())
    };
    tried(1, 0)?;
    tried(2, 1)?;
    vm.set_knob("watchdog_cpumask", "0-1")?;
    tried(2, 0)?;
    tried(1, 1)?;
    Ok(())
}

/// CPUs that are to run without a tick are left alone, unless asked for.
fn nohz_full(cx: &Cx) -> Verdict {
    let config = cx.config().cpus(4).append("nohz_full=2-3");
    let vm = guest_of(cx, config, "watchdog_thresh=1")?;
    let isolated = vm.read("/sys/devices/system/cpu/nohz_full")?;
    ensure!(isolated == "2-3\n", "{isolated}");
    let read = vm.knob("watchdog_cpumask")?;
    ensure!(read == "0-1", "{read}");
    provoke(&vm, "irqs_off cpu=3 ms=3000")?.words.silent()?;
    vm.set_knob("watchdog_cpumask", "0-3")?;
    let outcome = provoke(&vm, "irqs_off cpu=3 ms=3000")?;
    let words = &outcome.words;
    ensure!(
        words.hard.len() == 1 && words.hard[0].cpu == 3,
        "{words:#?}"
    );
    Ok(())
}

/// A CPU that cannot be watched makes a write fail, and the knobs say what is: nothing is watched.
fn a_cpu_refuses(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    let states = vm.read("/sys/devices/system/cpu/hotplug/states")?;
    let state = states
        .lines()
        .find_map(|line| line.strip_suffix(": vigil:online"))
        .with_context(|| states.clone())?
        .trim()
        .to_owned();
    // Off first: the kernel has the next callback of that state fail, and one that switches off must
    // not (`cpuhp_issue_call()`).
    vm.set_knob("watchdog", 0)?;
    for _ in 0..2 {
        vm.write(
            "/sys/devices/system/cpu/cpu1/hotplug/fail",
            state.as_bytes(),
        )?;
        ensure!(vm.set_knob("watchdog", 1).is_err(), "it was written");
        ensure!(vm.knob("watchdog")? == "0", "{}", vm.knob("watchdog")?);
        provoke(&vm, "irqs_off cpu=1 ms=2500")?.words.silent()?;
    }
    vm.set_knob("watchdog", 1)?;
    let outcome = provoke(&vm, "irqs_off cpu=1 ms=2500")?;
    ensure!(outcome.words.hard.len() == 1, "{:#?}", outcome.words);
    Ok(())
}
