// SPDX-License-Identifier: GPL-2.0
//! Hard lockups that a CPU finds by itself, by the NMI of a counter; and what
//! becomes of it where there is none.

use super::{
    hung_stall::SOON,
    lockup_stall::{endure, guest, hard_in_time},
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("no_counter", no_counter)
        .needs("CONFIG_X86")
        .core()]
}

const STATUS: &str = "/sys/kernel/debug/vigil/status";

/// An emulated x86 has no counters: the choice falls to buddy, and says why; what
/// insists on perf is refused in a sentence, and leaves nothing behind.
fn no_counter(cx: &Cx) -> Verdict {
    const WHY: &str = "no cycles can be counted here (error -";
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    vm.unload()?;
    for (backend, how) in [
        ("auto", "on (buddy, confirmed by NMI; not perf: "),
        ("perf,buddy", "on (buddy, confirmed by NMI; not perf: "),
        ("buddy", "on (buddy, confirmed by NMI), "),
    ] {
        let mark = vm.mark()?;
        vm.load(&format!("watchdog_thresh=1 hardlockup_backend={backend}"))?;
        let how = format!("hard lockups {how}");
        let status = vm.read(STATUS)?;
        ensure!(
            status.contains(&how) && status.contains(WHY) == (backend != "buddy"),
            "{backend}: {status}"
        );
        vm.wait_log_after(mark, &regex::escape(&how), SOON)?;
        let outcome = endure(&vm, "irqs_off cpu=1 ms=3000")?;
        ensure!(outcome.words.hard.len() == 1, "{:#?}", outcome.words);
        hard_in_time(&outcome.words.hard[0], outcome.span()?, 1.0, 0)?;
        vm.unload()?;
    }

    for (parameters, why) in [
        (
            "hardlockup_backend=perf",
            "hardlockup_backend=perf: no cycles can be",
        ),
        (
            "hardlockup_backend=frob",
            "hardlockup_backend: there are auto, perf, buddy and perf,buddy$",
        ),
    ] {
        let mark = vm.mark()?;
        ensure!(vm.load(parameters).is_err(), "{parameters} was accepted");
        vm.wait_log_after(mark, &format!("^vigil: {why}"), SOON)?;
        vm.sh_ok("test ! -e /proc/sys/vigil && test ! -e /sys/kernel/debug/vigil && ! grep -q '^vigil ' /proc/modules")?;
    }

    // Asked for later, it is refused later, and everything else goes on.
    vm.load("watchdog_thresh=1 nmi_watchdog=0 hardlockup_backend=perf")?;
    let refused = vm.set_knob("nmi_watchdog", 1).err();
    let refused = refused.and_then(|error| error.errno());
    ensure!(refused == Some(Errno::EOPNOTSUPP), "{refused:?}");
    ensure!(
        vm.knob("nmi_watchdog")? == "0" && vm.knob("soft_watchdog")? == "1",
        "{}",
        vm.read(STATUS)?
    );
    let outcome = endure(&vm, "preempt_off cpu=1 ms=3500")?;
    ensure!(
        outcome.words.only_soft(1)?.len() == 1,
        "{:#?}",
        outcome.words
    );
    Ok(())
}
