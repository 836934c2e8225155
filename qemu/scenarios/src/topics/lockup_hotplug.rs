// SPDX-License-Identifier: GPL-2.0
//! CPUs that come and go, knobs that change meanwhile, and which CPUs are
//! watched at all.

use super::{
    lockup_stall::{counts, endure, guest, guest_of, quiet, Words},
    module::nothing_left,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("off_and_on", off_and_on).limit(secs(300)),
        Scenario::new("mask", mask),
        Scenario::new("nohz_full", nohz_full),
    ]
}

/// Takes each CPU but the first away and back, so many times.
fn torture(times: u32) -> String {
    format!(
        "i=0; while [ $i -lt {times} ]; do for cpu in 1 2 3; do
         echo 0 > /sys/devices/system/cpu/cpu$cpu/online || exit
         echo 1 > /sys/devices/system/cpu/cpu$cpu/online || exit
         done; i=$((i + 1)); done"
    )
}

/// No alarm from CPUs that go off and on while thresholds, switches and mask
/// change all the time. Afterwards all of them are watched.
fn off_and_on(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
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
    for (what, soft) in [("preempt_off", true), ("irqs_off", false)] {
        let outcome = endure(&vm, &format!("{what} cpus=1-3 ms=3500"))?;
        let words = &outcome.words;
        let found = if soft { &words.soft } else { &words.hard };
        for cpu in 1..4 {
            let on_it = found.iter().filter(|report| report.cpu == cpu).count();
            ensure!(on_it == 1, "{what}, CPU {cpu}: {on_it} reports: {words:#?}");
        }
    }
    vm.unload()?;
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
            let outcome = endure(&vm, &format!("{what} cpu={cpu} ms=3500"))?;
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
    let config = quiet(cx, 4).append("nohz_full=2-3");
    let vm = guest_of(cx, config, "watchdog_thresh=1")?;
    let isolated = vm.read("/sys/devices/system/cpu/nohz_full")?;
    ensure!(isolated == "2-3\n", "{isolated}");
    let read = vm.knob("watchdog_cpumask")?;
    ensure!(read == "0-1", "{read}");
    endure(&vm, "irqs_off cpu=3 ms=3000")?.words.silent()?;
    vm.set_knob("watchdog_cpumask", "0-3")?;
    let outcome = endure(&vm, "irqs_off cpu=3 ms=3000")?;
    let words = &outcome.words;
    ensure!(
        words.hard.len() == 1 && words.hard[0].cpu == 3,
        "{words:#?}"
    );
    Ok(())
}
