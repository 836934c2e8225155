// SPDX-License-Identifier: GPL-2.0
//! Suspend: no alarm from CPUs that go off, sleep and come back, and a true
//! lockup is found afterwards.

use super::{
    hung_stall::{wait_for, wake_after, NO_WAKING, PROVOKE, SOON},
    lockup_stall::{loud_guest_of, Words},
};
use crate::prelude::*;
use regex::Regex;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("asleep", asleep).only_on(Arch::X86_64, NO_WAKING),
        Scenario::new("every_step", every_step)
            .core()
            .needs("CONFIG_PM_SLEEP_DEBUG")
            .limit(secs(300)),
    ]
}

/// Suspend to RAM.
fn asleep(cx: &Cx) -> Verdict {
    suspend(
        cx,
        "echo deep > /sys/power/mem_sleep
         echo mem > /sys/power/state",
        |vm| wake_after(vm, secs(6)),
    )
}

/// Suspend to idle and to RAM, each as far as each of the steps that the kernel
/// can be told to come back from (`pm_test`); it waits five seconds there. A machine
/// that has no suspend to RAM does not get to the last two.
fn every_step(cx: &Cx) -> Verdict {
    let idle = "for step in freezer devices platform; do
           echo $step > /sys/power/pm_test
           echo freeze > /sys/power/state || echo '<3>no freeze' > /dev/kmsg
         done";
    let ram = "echo deep > /sys/power/mem_sleep
         for step in processors core; do
           echo $step > /sys/power/pm_test
           echo mem > /sys/power/state || echo '<3>no mem' > /dev/kmsg
         done";
    let how = match machine::arch() {
        Arch::X86_64 => format!("{idle}\n{ram}"),
        Arch::Aarch64 => {
            println!("every_step: without 'processors' and 'core': there is no suspend to RAM");
            idle.to_owned()
        }
    };
    suspend(cx, &how, |_| Ok(()))
}

/// Has a guest go to sleep by that script with a threshold of a second, wakes it,
/// and then gets CPU 1 stuck.
///
/// QEMU resets the virtio ports at the wake-up and the agent does not survive
/// that: what is said is read from the console.
fn suspend(cx: &Cx, how: &str, wake: fn(&Vm) -> Verdict) -> Verdict {
    let config = cx.config().cpus(4);
    let vm = loud_guest_of(cx, config, "watchdog_thresh=1")?;
    vm.spawn_on(
        0,
        &format!(
            "echo '<5>going to sleep' > /dev/kmsg
             {how}
             echo '<5>woken' > /dev/kmsg
             sleep 3
             echo '<5>getting stuck' > /dev/kmsg
             echo 'preempt_off cpu=1 ms=3500' > {PROVOKE}/run
             while [ -n \"$(cat {PROVOKE}/active)\" ]; do sleep 1; done
             sleep 1
             echo '<5>the end' > /dev/kmsg"
        ),
    )?;
    wake(&vm)?;
    let console = vm.console();
    let end = Regex::new(r"(?m)^\[ *[\d.]+\] the end$")?;
    let text = wait_for(&vm, SOON * 2, "the end of the sleep", || {
        let text = console.text();
        Ok(end.is_match(&text).then_some(text))
    })?;
    let lines = LogLine::parse_text(&text);
    let place = |what: &str| {
        lines
            .iter()
            .position(|line| line.text == what)
            .with_context(|| format!("no '{what}' on the console"))
    };
    let (slept, stuck) = (place("going to sleep")?, place("getting stuck")?);
    Words::of(&lines[slept..stuck])?.silent()?;
    let failed = lines
        .iter()
        .find(|line| line.text == "no freeze" || line.text == "no mem");
    ensure!(failed.is_none(), "{failed:?}");
    let after = Words::of(&lines[stuck..])?;
    ensure!(after.only_soft(1)?.len() == 1, "{after:#?}");
    let splats: Vec<&LogLine> = lines
        .iter()
        .filter(|line| Splat::of(&line.text).is_some())
        .collect();
    ensure!(splats.is_empty(), "the kernel complained: {splats:#?}");
    Ok(())
}
