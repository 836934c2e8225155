// SPDX-License-Identifier: GPL-2.0
//! Hard lockups that a CPU finds by itself, by the NMI of a counter; and what
//! becomes of it where there is none.

use super::{
    hung_stall::{wait_for, PROVOKE, SOON},
    lockup_stall::{counts, guest, guest_of, hard_in_time, provoke, Lockup, Outcome, Words},
    module::nothing_left,
    reports::{panicked, Report},
};
use crate::prelude::*;
use vigil_klog::HardLockup;

pub(crate) fn scenarios() -> Vec<Scenario> {
    // Where an emulated machine has counters that interrupt by NMI.
    let nmi = |scenario: Scenario| scenario.needs("CONFIG_ARM64_PSEUDO_NMI").limit(secs(400));
    vec![
        Scenario::new("no_counter", no_counter)
            .needs("CONFIG_X86")
            .core(),
        nmi(Scenario::new("one_cpu", one_cpu)).core(),
        nmi(Scenario::new("all_cpus", all_cpus)).core(),
        nmi(Scenario::new("panic", panic)).core(),
        nmi(Scenario::new("touched_and_off", touched_and_off)),
        nmi(Scenario::new("with_buddy", with_buddy)),
        nmi(Scenario::new("thresholds", thresholds)),
        nmi(Scenario::new("cpus_come_and_go", cpus_come_and_go)),
        nmi(Scenario::new("throttled", throttled)),
        nmi(Scenario::new("taken", taken)),
        nmi(Scenario::new("frequency", frequency)),
        nmi(Scenario::new(
            "panic_while_counters_are_reprogrammed",
            panic_while_counters_are_reprogrammed,
        )),
        nmi(Scenario::new("no_frequencies", no_frequencies)),
        nmi(Scenario::new("hundred_times", hundred_times)),
    ]
}

/// Longer than two NMIs are apart with a threshold of 1 s: arm64 without a driver
/// for frequencies counts to 5 billion, and an emulated CPU does a billion a second
/// at best. Shorter than what RCU takes for a stall.
const LONG: u32 = 16_000;

/// An emulated x86 has no counters: the choice falls to buddy, and says why; what
/// insists on perf is refused in a sentence, and leaves nothing behind.
fn no_counter(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    vm.unload()?;
    for backend in ["auto", "perf,buddy", "buddy"] {
        let mark = vm.mark()?;
        vm.load(&format!("watchdog_thresh=1 hardlockup_backend={backend}"))?;
        let (why, said) = match backend {
            "buddy" => ("none", String::new()),
            // Nobody looks whether there is one.
            "auto" => (
                messages::PERF_IN_GUEST,
                format!("; not perf: {}", messages::PERF_IN_GUEST),
            ),
            _ => (
                messages::PERF_NOT_SUPPORTED,
                format!("; not perf: {} (error ", messages::PERF_NOT_SUPPORTED),
            ),
        };
        let status = Status::read(&vm)?;
        uses(&status, false, true).context(backend)?;
        status.is(key::hardlockup::NMI_CONFIRMATION, "1")?;
        status.is(key::hardlockup::PERF_ERROR, why)?;
        let line =
            vm.wait_log_after(mark, &pattern(messages::LoadHardLockups::<()>::TEXT), SOON)?;
        let by = format!(", buddy, confirmed by NMI{said}");
        ensure!(
            line.text.contains(", threshold 1 s, ")
                && line.text.contains(&by)
                && (backend != "buddy" || line.text.ends_with(&by)),
            "{backend}: {line:?}"
        );
        let outcome = provoke(&vm, "irqs_off cpu=1 ms=3000")?;
        ensure!(outcome.words.hard.len() == 1, "{:#?}", outcome.words);
        hard_in_time(&outcome.words.hard[0], outcome.span()?, 1.0, 0)?;
        vm.unload()?;
    }

    for (parameters, why) in [
        (
            "hardlockup_backend=perf",
            no_perf(messages::PERF_NOT_SUPPORTED),
        ),
        ("hardlockup_backend=frob", pattern(messages::BAD_BACKEND)),
    ] {
        let mark = vm.mark()?;
        ensure!(vm.load(parameters).is_err(), "{parameters} was accepted");
        vm.wait_log_after(mark, &why, SOON)?;
        vm.sh_ok("test ! -e /proc/sys/vigil && test ! -e /sys/kernel/debug/vigil && ! grep -q '^vigil ' /proc/modules")?;
    }

    // Asked for later, it is refused later, and everything else goes on.
    vm.load("watchdog_thresh=1 nmi_watchdog=0 hardlockup_backend=perf")?;
    let refused = vm.set_knob("nmi_watchdog", 1).err();
    let refused = refused.and_then(|error| error.errno());
    ensure!(refused == Some(Errno::EOPNOTSUPP), "{refused:?}");
    // Nobody is told that it was done while somebody else is only trying it.
    let done = vm.sh_ok(
        "cd /proc/sys/vigil
         try() { i=0; while [ $i -lt 200 ]; do echo 1 > nmi_watchdog && echo done; i=$((i + 1)); done; }
         try 2> /dev/null & try 2> /dev/null; wait",
    )?;
    ensure!(done.is_empty(), "{done}");
    ensure!(
        vm.knob("nmi_watchdog")? == "0" && vm.knob("soft_watchdog")? == "1",
        "{}",
        Status::read(&vm)?
    );
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=3500")?;
    ensure!(
        outcome.words.only_soft(1)?.len() == 1,
        "{:#?}",
        outcome.words
    );
    Ok(())
}

/// Ensures that hard lockups are detected, by these.
fn uses(status: &Status, perf: bool, buddy: bool) -> Verdict {
    let flag = |on| if on { "1" } else { "0" };
    status.is(key::hardlockup::ENABLED, "1")?;
    status.is(key::hardlockup::PERF, flag(perf))?;
    status.is(key::hardlockup::BUDDY, flag(buddy))
}

/// A pattern for the line that refuses `hardlockup_backend=perf`.
fn no_perf(reason: &str) -> String {
    pattern_of(messages::PerfNotAvailable::TEXT, &[("reason", reason)])
}

/// A guest in which CPUs have counters, and nobody but those finds hard lockups.
fn counting(cx: &Cx, cpus: u32, parameters: &str) -> anyhow::Result<Vm> {
    let vm = guest(
        cx,
        cpus,
        &format!("watchdog_thresh=1 hardlockup_backend=perf {parameters}"),
    )?;
    let status = Status::read(&vm)?;
    uses(&status, true, false)?;
    status.is(key::hardlockup::PERF_INCOMPLETE, "0")?;
    status.is(key::hardlockup::PERF_ERROR, "none")?;
    status.is(key::watchdog::CPUMASK, &format!("0-{}", cpus - 1))?;
    status.is(key::hardlockup::PERF_CPUS, &cpus.to_string())?;
    Ok(vm)
}

/// The only report, which is vigil's on that CPU: found by its counter, and with
/// its stack.
fn only(outcome: &Outcome, cpu: u32) -> anyhow::Result<&Report<HardLockup>> {
    let words = &outcome.words;
    ensure!(
        words.hard.len() == 1
            && words.recovered.len() == 1
            && words.soft.is_empty()
            && words.not_run.is_empty(),
        "{words:#?}"
    );
    let report = &words.hard[0];
    ensure!(
        report.cpu == cpu && words.recovered[0].cpu == cpu,
        "{words:#?}"
    );
    found_by_counter(report)?;
    Ok(report)
}

fn found_by_counter(report: &Report<HardLockup>) -> Verdict {
    report.in_order(&[
        "hard LOCKUP",
        messages::EVIDENCE_PERF_NMI,
        "Modules linked in: ",
        &format!("CPU: {} UID: 0 PID: ", report.cpu),
        "Call trace:",
        "lockup_victim+0x",
    ])
}

/// Another CPU gives the report, with a stack that it asks for. Counters are what is
/// chosen where there are some.
fn one_cpu(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "hardlockup_backend=auto")?;
    provoke(&vm, "irqs_off cpu=1 ms=700")?.words.silent()?;
    let outcome = provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?;
    let report = only(&outcome, 1)?;
    ensure!(report.finder == Some(0), "{report:#?}");
    println!(
        "hard_perf::one_cpu: reported {:.1} s after it began",
        report.time - outcome.span()?.began
    );
    ensure!(counts(&vm)? == (0, 1, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// What buddy cannot see. Each reports itself, and so does the kernel's own
/// detector, in the same boot.
fn all_cpus(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "")?;
    vm.sh_ok("echo 1 > /proc/sys/kernel/watchdog_thresh; grep -q 1 /proc/sys/kernel/nmi_watchdog")?;
    let outcome = provoke(&vm, &format!("irqs_off cpus=0-1 ms={LONG}"))?;
    let words = &outcome.words;
    for span in &outcome.spans {
        let by_cpu = |reports: &[Report<HardLockup>]| -> Vec<Report<HardLockup>> {
            let own = reports.iter().filter(|report| report.cpu == span.cpu);
            own.cloned().collect()
        };
        let (ours, theirs) = (by_cpu(&words.hard), by_cpu(&words.in_tree_hard));
        ensure!(ours.len() == 1 && theirs.len() == 1, "{words:#?}");
        let (ours, theirs) = (&ours[0], &theirs[0]);
        ensure!(
            ours.finder == Some(span.cpu)
                && theirs.finder == Some(span.cpu)
                && ours.time < span.ended,
            "{ours:#?} {theirs:#?}"
        );
        found_by_counter(ours)?;
        println!(
            "hard_perf::all_cpus: CPU{}: vigil {:.1} s after it began, in-tree {:.1} s",
            span.cpu,
            ours.time - span.began,
            theirs.time - span.began
        );
    }
    ensure!(
        words.hard.len() == 2 && words.recovered.len() == 2,
        "{words:#?}"
    );
    Ok(())
}

/// From the NMI, at once: also if all CPUs are stuck, and without the delay, in
/// which nobody would be there.
fn panic(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "hardlockup_panic=1 panic_delay_ms=60000")?;
    // The agent's CPU is one of them: no answer comes any more.
    let answer = Lockup::start(&vm, "irqs_off cpus=0-1 ms=60000");
    ensure!(answer.is_err(), "{answer:?}");
    let text = vm.wait_panic(SOON * 3)?;
    panicked(&text, "Hard LOCKUP")?;
    let console = vm.console().text();
    ensure!(console.contains(messages::EVIDENCE_PERF_NMI), "{console}");
    Ok(())
}

/// No report while code with interrupts off touches the watchdog, and none while it is off.
fn touched_and_off(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "")?;
    provoke(&vm, &format!("touch_nmi cpu=1 ms={LONG} touch_ms=500"))?
        .words
        .silent()?;
    vm.set_knob("nmi_watchdog", 0)?;
    let words = provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?.words;
    ensure!(
        words.hard.is_empty() && words.recovered.is_empty(),
        "{words:#?}"
    );
    vm.set_knob("nmi_watchdog", 1)?;
    only(&provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?, 1)?;
    Ok(())
}

/// Both may look; the first one has it, and the other says nothing. Neighbours look for
/// those that do not run only where they can tell them from those that are stuck.
fn with_buddy(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "unresponsive_cpu_panic=1")?;
    vm.unload()?;
    vm.load("watchdog_thresh=1 hardlockup_backend=perf,buddy")?;
    uses(&Status::read(&vm)?, true, true)?;
    let outcome = provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?;
    let words = &outcome.words;
    ensure!(
        words.hard.len() == 1 && words.recovered.len() == 1,
        "{words:#?}"
    );
    // Of the two, the neighbour has the better clock.
    hard_in_time(&words.hard[0], outcome.span()?, 1.0, 0)?;
    // And what it cannot see: nobody is there to look.
    let words = provoke(&vm, &format!("irqs_off cpus=0-1 ms={LONG}"))?.words;
    ensure!(
        words.hard.len() == 2
            && words
                .hard
                .iter()
                .all(|report| report.finder == Some(report.cpu)),
        "{words:#?}"
    );
    Ok(())
}

/// NMIs of all counters so far, as the status counts them.
fn nmis(vm: &Vm) -> anyhow::Result<u64> {
    Ok(counted(vm)?.0)
}

/// The same, and those of them that came too early to count.
fn counted(vm: &Vm) -> anyhow::Result<(u64, u64)> {
    // There are none while the counters start anew.
    wait_for(vm, SOON, "perf cycle counters", || {
        let status = Status::read(vm)?;
        if status.number(key::hardlockup::PERF_CPUS)? == 0 {
            return Ok(None);
        }
        Ok(Some((
            status.number(key::hardlockup::PERF_NMIS)?,
            status.number(key::hardlockup::PERF_EARLY_NMIS)?,
        )))
    })
}

/// A change while counters count: at the next NMI, and for what is stuck then.
fn thresholds(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "")?;
    for thresh in [60, 2, 1] {
        vm.set_knob("watchdog_thresh", thresh)?;
    }
    // A busy CPU counts: with 60 s none would come.
    let before = nmis(&vm)?;
    provoke(&vm, &format!("touch_nmi cpu=1 ms={LONG} touch_ms=500"))?
        .words
        .silent()?;
    ensure!(nmis(&vm)? > before, "no NMI in {LONG} ms");
    for _ in 0..20 {
        for thresh in [1, 3] {
            vm.set_knob("watchdog_thresh", thresh)?;
        }
    }
    vm.set_knob("watchdog_thresh", 1)?;
    only(&provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?, 1)?;
    Ok(())
}

/// The counter comes and goes with its CPU, and with the mask.
fn cpus_come_and_go(cx: &Cx) -> Verdict {
    let vm = counting(cx, 4, "")?;
    let mark = vm.mark()?;
    vm.sh_ok(
        "for i in $(seq 20); do for c in 1 2 3; do echo 0 > /sys/devices/system/cpu/cpu$c/online; \
         done; for c in 1 2 3; do echo 1 > /sys/devices/system/cpu/cpu$c/online; done; done",
    )?;
    Words::of(&vm.dmesg_after(mark)?)?.silent()?;
    let on = |count: u32| -> Verdict {
        Status::read(&vm)?.is(key::hardlockup::PERF_CPUS, &count.to_string())
    };
    on(4)?;
    vm.set_knob("watchdog_cpumask", "0-1")?;
    on(2)?;
    vm.set_knob("watchdog_cpumask", "0-3")?;
    vm.sh_ok("echo 0 > /sys/devices/system/cpu/cpu2/online")?;
    on(3)?;
    vm.sh_ok("echo 1 > /sys/devices/system/cpu/cpu2/online")?;
    on(4)?;
    // Four emulated CPUs are more than there are: one that gets no time may look
    // like a soft lockup, which is not what this is about.
    let words = provoke(&vm, &format!("irqs_off cpu=2 ms={LONG}"))?.words;
    ensure!(
        words.hard.len() == 1 && words.hard[0].cpu == 2,
        "{words:#?}"
    );
    found_by_counter(&words.hard[0])
}

/// Where perf takes one sample a tick for too many, it stops counters after each
/// overflow; vigil's go on.
fn throttled(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "")?;
    vm.write("/proc/sys/kernel/perf_event_max_sample_rate", b"1")?;
    let before = nmis(&vm)?;
    let busy = format!("touch_nmi cpu=1 ms={LONG} touch_ms=500");
    provoke(&vm, &busy)?.words.silent()?;
    // One alone would be the one by which it is stopped.
    let taken = nmis(&vm)? - before;
    ensure!(taken >= 2, "{taken} NMIs in {LONG} ms");
    only(&provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?, 1)?;
    Ok(())
}

/// Others may hold all counters. It is said who if it is the kernel's own detector,
/// and looked for again when hard lockups are switched on.
fn taken(cx: &Cx) -> Verdict {
    let counters = format!("{PROVOKE}/counters");
    let vm = guest(cx, 2, "")?;
    vm.unload()?;
    vm.write(&counters, b"1")?;
    let count: u32 = vm.read(&counters)?.trim().parse()?;
    ensure!(count >= 2, "{count} counters on two CPUs");

    let mark = vm.mark()?;
    ensure!(vm.load("hardlockup_backend=perf").is_err(), "accepted");
    let busy = [("reason", messages::PERF_BUSY), ("errno", "-16")];
    let refused = pattern_of(messages::PerfNotAvailable::TEXT, &busy);
    vm.wait_log_after(mark, &refused, SOON)?;
    let is_busy = || -> Verdict {
        let status = Status::read(&vm)?;
        uses(&status, false, true)?;
        status.is(key::hardlockup::PERF_ERRNO, "-16")?;
        status.is(key::hardlockup::PERF_ERROR, messages::PERF_BUSY)
    };
    let mark = vm.mark()?;
    vm.load("watchdog_thresh=1")?;
    is_busy()?;
    Status::read(&vm)?.is(key::in_tree::HARDLOCKUP, "on")?;
    let line = vm.wait_log_after(mark, &pattern(messages::LoadHardLockups::<()>::TEXT), SOON)?;
    let said = format!(
        "; not perf: {} (error -16), the in-tree detector has one",
        messages::PERF_BUSY
    );
    ensure!(line.text.ends_with(&said), "{line:?}");
    let outcome = provoke(&vm, "irqs_off cpu=1 ms=4000")?;
    ensure!(outcome.words.hard.len() == 1, "{:#?}", outcome.words);

    vm.write("/proc/sys/kernel/nmi_watchdog", b"0")?;
    // The one that it had.
    vm.write(&counters, b"1")?;
    vm.set_knob("nmi_watchdog", 0)?;
    vm.set_knob("nmi_watchdog", 1)?;
    is_busy()?;
    Status::read(&vm)?.is(key::in_tree::HARDLOCKUP, "off")?;

    vm.write(&counters, b"0")?;
    vm.set_knob("nmi_watchdog", 0)?;
    vm.set_knob("nmi_watchdog", 1)?;
    uses(&Status::read(&vm)?, true, false)?;
    only(&provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?, 1)?;
    Ok(())
}

/// A driver for the CPUs' frequency comes late, and says how many cycles a second
/// has: then NMIs come as often as they should. Those that come more often, because
/// a CPU is faster than its driver says, do not count.
fn frequency(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "")?;
    let while_busy = || -> anyhow::Result<u64> {
        let before = nmis(&vm)?;
        let busy = format!("touch_nmi cpu=1 ms={LONG} touch_ms=500");
        provoke(&vm, &busy)?.words.silent()?;
        Ok(nmis(&vm)? - before)
    };
    let khz = |khz: u32| vm.write(&format!("{PROVOKE}/khz"), khz.to_string().as_bytes());
    let before = while_busy()?;
    // What an emulated CPU does.
    khz(1_000_000)?;
    let right = while_busy()?;
    khz(250_000)?;
    let many = while_busy()?;
    println!(
        "hard_perf::frequency: NMIs in {LONG} ms: {before}, {right} at 1 GHz, {many} at 250 MHz"
    );
    ensure!(
        right >= 3 * before && many >= 2 * right,
        "{before}, {right}, {many} NMIs"
    );
    ensure!(counted(&vm)?.1 >= many / 2, "{}", Status::read(&vm)?);
    provoke(&vm, "irqs_off cpu=1 ms=700")?.words.silent()?;
    let outcome = provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?;
    let report = only(&outcome, 1)?;
    let after = report.time - outcome.span()?.began;
    // At 5 GHz it takes as many seconds and more.
    ensure!((0.7..4.5).contains(&after), "found after {after} s");
    khz(0)?;
    Ok(())
}

/// A panic that is decided while the counters are being reprogrammed, which waits for the CPU that is
/// stuck, is not called off by that: nobody has asked for it.
fn panic_while_counters_are_reprogrammed(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "softlockup_panic=1 panic_delay_ms=12000")?;
    let mark = vm.mark()?;
    Lockup::start(&vm, "preempt_off cpu=1 ms=6000")?;
    let _reprogram = vm.spawn_on(0, &format!("echo 1000000 > {PROVOKE}/khz"))?;
    let delayed = pattern_of(messages::PanicDelay::TEXT, &[("ms", "12000")]);
    vm.wait_log_after(mark, &delayed, SOON)?;
    panicked(&vm.wait_panic(SOON)?, "softlockup: hung tasks")?;
    Ok(())
}

/// A kernel that shall know nothing of frequencies refuses to tell of changes, and
/// will not see any: no reason not to count.
fn no_frequencies(cx: &Cx) -> Verdict {
    let vm = guest_of(
        cx,
        cx.config().append("cpufreq.off=1"),
        "watchdog_thresh=1 hardlockup_backend=perf",
    )?;
    only(&provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?, 1)?;
    vm.unload()?;
    nothing_left(&vm)
}

/// Nothing is left of any of them: the last one finds what the first would have.
fn hundred_times(cx: &Cx) -> Verdict {
    let vm = counting(cx, 2, "")?;
    vm.unload()?;
    vm.sh_ok(
        "for i in $(seq 100); do insmod /vm/vigil.ko watchdog_thresh=1 hardlockup_backend=perf || exit; \
         rmmod vigil || exit; done",
    )?;
    vm.load("watchdog_thresh=1 hardlockup_backend=perf")?;
    only(&provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?, 1)?;
    Ok(())
}
