// SPDX-License-Identifier: GPL-2.0
//! Beside the kernel's own detectors: they find, count and panic as they do without vigil, and
//! vigil begins with their policy.

use super::{
    hung_stall::{Stall, SOON},
    lockup_stall::{grace, guest, guest_of, provoke, Lockup, Words, PERIOD},
    reports::panicked,
};
use crate::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("in_tree_soft_panic", |cx| in_tree_soft_panic(cx, 1, 1)).needs(SOFT),
        Scenario::new("in_tree_soft_panic_vigil_sooner", |cx| {
            in_tree_soft_panic(cx, 2, 1)
        })
        .needs(SOFT),
        Scenario::new("in_tree_soft_panic_vigil_later", |cx| {
            in_tree_soft_panic(cx, 1, 3)
        })
        .needs(SOFT)
        .all(),
        Scenario::new("vigils_soft_panic", |cx| vigils_soft_panic(cx, 1, 0, 1)).needs(SOFT),
        Scenario::new("vigils_soft_panic_in_tree_sooner", |cx| {
            vigils_soft_panic(cx, 1, 0, 2)
        })
        .needs(SOFT)
        .all(),
        Scenario::new("vigils_soft_panic_in_tree_later", |cx| {
            vigils_soft_panic(cx, 3, 0, 1)
        })
        .needs(SOFT)
        .all(),
        Scenario::new("both_soft_panic", |cx| vigils_soft_panic(cx, 1, 1, 1))
            .needs(SOFT)
            .all(),
        Scenario::new("soft_counts", soft_counts).needs(SOFT),
        Scenario::new("time_is_given", time_is_given).needs(SOFT),
        Scenario::new("one_interrupt", one_interrupt).needs(SOFT),
        Scenario::new("in_tree_hard_panic", |cx| hard_panic(cx, (1, 1), (1, 0)))
            .needs("CONFIG_ARM64_PSEUDO_NMI"),
        Scenario::new("in_tree_hard_panic_vigil_sooner", |cx| {
            hard_panic(cx, (2, 1), (1, 0))
        })
        .needs("CONFIG_ARM64_PSEUDO_NMI")
        .all(),
        Scenario::new("vigils_hard_panic", |cx| hard_panic(cx, (1, 1), (0, 1)))
            .needs("CONFIG_ARM64_PSEUDO_NMI"),
        Scenario::new("vigils_hard_panic_in_tree_sooner", |cx| {
            hard_panic(cx, (1, 3), (0, 1))
        })
        .needs("CONFIG_ARM64_PSEUDO_NMI")
        .all(),
        Scenario::new("both_hard_panic", |cx| hard_panic(cx, (1, 1), (1, 1)))
            .needs("CONFIG_ARM64_PSEUDO_NMI")
            .all(),
        Scenario::new("in_tree_hung_panic", |cx| hung_panic(cx, (2, 2), (1, 0)))
            .needs(HUNG)
            .light(),
        Scenario::new("in_tree_hung_panic_vigil_sooner", |cx| {
            hung_panic(cx, (5, 2), (1, 0))
        })
        .needs(HUNG)
        .light()
        .all(),
        Scenario::new("vigils_hung_panic", |cx| hung_panic(cx, (2, 2), (0, 1)))
            .needs(HUNG)
            .light(),
        Scenario::new("vigils_hung_panic_in_tree_sooner", |cx| {
            hung_panic(cx, (2, 5), (0, 1))
        })
        .needs(HUNG)
        .light()
        .all(),
        Scenario::new("both_hung_panic", |cx| hung_panic(cx, (2, 2), (1, 1)))
            .needs(HUNG)
            .light()
            .all(),
        Scenario::new("hung_counts", hung_counts)
            .needs(HUNG)
            .light(),
        Scenario::new("policy_is_taken_over", policy_is_taken_over)
            .needs(SOFT)
            .light(),
        Scenario::new("documented_files", documented_files)
            .needs(SOFT)
            .light(),
        Scenario::new("boot_words", boot_words)
            .needs(SOFT)
            .light()
            .all(),
        Scenario::new("sched_ext_is_asked", sched_ext_is_asked).needs("CONFIG_SCHED_CLASS_EXT"),
    ]
}

const SOFT: &str = "CONFIG_SOFTLOCKUP_DETECTOR";
const HUNG: &str = "CONFIG_DETECT_HUNG_TASK";

/// Sets one of the kernel's own knobs.
fn kernel(vm: &Vm, name: &str, value: impl ToString) -> Verdict {
    let value = value.to_string();
    vm.write(&format!("/proc/sys/kernel/{name}"), value.as_bytes())
        .with_context(|| format!("kernel.{name}={value}"))
}

/// How late mainline's detector of soft lockups may be, in seconds: its clock counts in units of
/// 2^30 ns, of which it wants one more than the threshold, and it looks once in a sample period.
/// What vigil may add is one sample period.
fn in_tree_late(thresh: u32) -> f64 {
    2.2 + 2.0 * PERIOD * f64::from(thresh) + grace()
}

/// Whether whoever prints a line writes it to the serial console, and may touch the watchdogs of the CPU by
/// that: no thread of the console does (`N` in `/proc/consoles`).
fn has_legacy_console(vm: &Vm) -> anyhow::Result<bool> {
    let consoles = vm.read("/proc/consoles")?;
    let mut flags = consoles
        .lines()
        .filter_map(|line| line.split(['(', ')']).nth(1));
    Ok(flags.any(|flags| flags.contains('E') && !flags.contains('N')))
}

/// There is a panic for a soft lockup, not later than after `most` seconds, with this threshold and
/// this `softlockup_panic` of the kernel's.
fn soft_panic_within(
    cx: &Cx,
    parameters: &str,
    in_tree_thresh: u32,
    in_tree_panic: u32,
    most: f64,
) -> Verdict {
    let vm = guest(cx, 2, parameters)?;
    soft_panic_of(&vm, in_tree_thresh, in_tree_panic, most)
}

fn soft_panic_of(vm: &Vm, in_tree_thresh: u32, in_tree_panic: u32, most: f64) -> Verdict {
    kernel(vm, "watchdog_thresh", in_tree_thresh)?;
    kernel(vm, "softlockup_panic", in_tree_panic)?;
    Lockup::start(vm, "preempt_off cpu=1 ms=60000")?;
    let began = vm.uptime()?;
    let at = panicked(&vm.wait_panic(SOON)?, "softlockup: hung tasks")?;
    ensure!(
        at - began < most,
        "panic after {} s, not within {most}",
        at - began
    );
    Ok(())
}

/// The kernel's `softlockup_panic` goes on to work, with vigil's reports before it and after it,
/// which end in no panic.
fn in_tree_soft_panic(cx: &Cx, in_tree: u32, ours: u32) -> Verdict {
    let parameters = format!("watchdog_thresh={ours} softlockup_panic=0");
    let vm = guest(cx, 2, &parameters)?;
    let (in_tree_thresh, thresh) = (f64::from(in_tree), f64::from(ours));
    let mut most = 2.0 * in_tree_thresh + in_tree_late(in_tree);
    if ours < in_tree && has_legacy_console(&vm)? {
        // It begins anew with vigil's first report, at the next of its looks, and goes before the second.
        most += 2.0 * thresh + PERIOD * in_tree_thresh;
    }
    soft_panic_of(&vm, in_tree, 1, most)
}

/// vigil's own panic, at the second threshold, comes beside a detector that reports, or panics too.
fn vigils_soft_panic(cx: &Cx, in_tree: u32, in_tree_panic: u32, ours: u32) -> Verdict {
    let thresh = f64::from(ours);
    let most = 4.0 * thresh + 2.0 * grace() + PERIOD * thresh;
    let parameters = format!("watchdog_thresh={ours} softlockup_panic=2");
    soft_panic_within(cx, &parameters, in_tree, in_tree_panic, most)
}

/// The kernel's count moves as it does without vigil, and vigil's reports come at each of its
/// thresholds: no report of the one is a touch for the other, nor for itself. But on a console that may
/// touch the watchdogs vigil's may come a sample period later, and the kernel's not at all.
fn soft_counts(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 soft_watchdog=0")?;
    kernel(&vm, "watchdog_thresh", 1)?;
    let may_touch = has_legacy_console(&vm)?;
    let mut counted = Vec::new();
    for ours in [0, 1] {
        vm.set_knob("soft_watchdog", ours)?;
        let count = || -> anyhow::Result<u64> {
            Ok(vm.read("/sys/kernel/softlockup_count")?.trim().parse()?)
        };
        let before = count()?;
        let outcome = provoke(&vm, "preempt_off cpu=1 ms=13500")?;
        counted.push((count()? - before, outcome.words.in_tree_soft.len() as u64));
        if ours == 0 {
            outcome.words.silent()?;
            continue;
        }
        let reports = outcome.words.only_soft(1)?;
        let expected = if may_touch { 4..=6 } else { 6..=6 };
        let count = reports.len();
        ensure!(expected.contains(&count), "{count} reports of vigil's");
        for pair in reports.windows(2) {
            let apart = pair[1].time - pair[0].time;
            let late = if may_touch { PERIOD } else { PERIOD / 2.0 };
            ensure!(
                (1.9..2.0 + late + grace()).contains(&apart),
                "vigil's reports are {apart} s apart"
            );
        }
        ensure!(vm.knob("softlockup_count")? == count.to_string());
    }
    let [(without, reports), (with, reports_with)] = counted[..] else {
        bail!("{counted:?}");
    };
    ensure!(
        without >= 3
            && reports == without
            && reports_with == with
            && (may_touch || with.abs_diff(without) <= 1),
        "the kernel found {without} soft lockups without vigil, {with} with it: {counted:?}"
    );
    Ok(())
}

/// Code that asks for time gets it, while the in-tree detector reports another CPU again and again:
/// not each touch is the stack in such a report.
fn time_is_given(cx: &Cx) -> Verdict {
    let vm = guest(cx, 3, "watchdog_thresh=2")?;
    kernel(&vm, "watchdog_thresh", 1)?;
    let mark = vm.mark()?;
    let stuck = Lockup::start(&vm, "preempt_off cpu=1 ms=16000")?;
    let asks = Lockup::start(&vm, "touch_softlockup cpu=2 ms=15000 touch_ms=3000")?;
    asks.wait(&vm)?;
    stuck.wait(&vm)?;
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    words.only_soft(1)?;
    let in_tree = words.in_tree_soft.len();
    ensure!(
        in_tree >= 5,
        "only {in_tree} reports of the in-tree detector"
    );
    Ok(())
}

/// The same for hard lockups, where the kernel has a counter. Thresholds and panic knobs: the
/// kernel's, and vigil's.
fn hard_panic(cx: &Cx, thresh: (u32, u32), panic: (u32, u32)) -> Verdict {
    let parameters = format!("watchdog_thresh={} hardlockup_panic={}", thresh.1, panic.1);
    let vm = guest(cx, 2, &parameters)?;
    kernel(&vm, "watchdog_thresh", thresh.0)?;
    kernel(&vm, "hardlockup_panic", panic.0)?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=60000")?;
    panicked(&vm.wait_panic(SOON)?, "Hard LOCKUP")?;
    Ok(())
}

/// Each panics by its own knob. Timeouts and panic knobs: the kernel's, and vigil's.
fn hung_panic(cx: &Cx, timeout: (u32, u32), panic: (u32, u32)) -> Verdict {
    let vm = guest(
        cx,
        2,
        &format!(
            "hung_task_timeout_secs={} hung_task_check_interval_secs=1 hung_task_panic={}",
            timeout.1, panic.1
        ),
    )?;
    kernel(&vm, "hung_task_check_interval_secs", 1)?;
    kernel(&vm, "hung_task_timeout_secs", timeout.0)?;
    kernel(&vm, "hung_task_panic", panic.0)?;
    Stall::start(&vm, "mutex")?;
    let began = vm.uptime()?;
    let at = panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    // The timeout, an interval of each detector, and what the report takes.
    let panics = [timeout.0 * panic.0, timeout.1 * panic.1];
    let timeout = panics.into_iter().filter(|timeout| *timeout != 0).min();
    let most = f64::from(timeout.unwrap_or(0)) + 2.0 + 2.0 * grace() + 1.0;
    ensure!(
        at - began < most,
        "panic after {} s, not within {most}",
        at - began
    );
    Ok(())
}

/// The kernel counts each hung task as without vigil, and neither takes the other's warnings.
fn hung_counts(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        2,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=-1",
    )?;
    kernel(&vm, "hung_task_warnings", 7)?;
    kernel(&vm, "hung_task_check_interval_secs", 1)?;
    kernel(&vm, "hung_task_timeout_secs", 2)?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;
    vm.wait_log_after(mark, "^Future hung task reports are suppressed", SOON)?;
    stall.end(&vm)?;
    ensure!(
        vm.read("/proc/sys/kernel/hung_task_warnings")?.trim() == "0",
        "the kernel's warnings"
    );
    ensure!(vm.knob("hung_task_warnings")? == "-1");
    Ok(())
}

/// What is not given at load begins with the kernel's value, if that is not off; the log says what.
fn policy_is_taken_over(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let all = [
        ("hung_task_timeout_secs", "77"),
        ("hung_task_panic", "3"),
        ("hung_task_all_cpu_backtrace", "1"),
        ("watchdog_thresh", "7"),
        ("softlockup_panic", "2"),
        ("softlockup_all_cpu_backtrace", "1"),
        ("hardlockup_panic", "1"),
        ("hardlockup_all_cpu_backtrace", "1"),
        ("hung_task_sys_info", "mem"),
        ("softlockup_sys_info", "tasks,mem"),
        ("hardlockup_sys_info", "timers"),
        ("watchdog_cpumask", "1"),
    ];
    let knobs: Vec<_> = all
        .iter()
        .filter(|(name, _)| vm.read(&format!("/proc/sys/kernel/{name}")).is_ok())
        .collect();
    ensure!(knobs.len() >= 8, "the kernel has only {knobs:?}");
    let mut defaults = Vec::new();
    vm.load("inherit=0")?;
    for (name, _) in &knobs {
        defaults.push(vm.knob(name)?);
    }
    vm.unload()?;
    for (name, value) in &knobs {
        kernel(&vm, name, value)?;
    }

    let mark = vm.mark()?;
    vm.load("")?;
    let line = vm.wait_log_after(mark, &pattern(messages::LoadInherited::<()>::TEXT), SOON)?;
    for (name, value) in &knobs {
        ensure!(vm.knob(name)? == *value, "{name}: {}", vm.knob(name)?);
        ensure!(line.text.contains(name), "no {name}: {line:?}");
    }
    vm.unload()?;

    // What is given counts; the rest is taken over.
    vm.load("watchdog_thresh=3 softlockup_panic=0 watchdog_cpumask=0")?;
    ensure!(vm.knob("watchdog_thresh")? == "3" && vm.knob("softlockup_panic")? == "0");
    ensure!(vm.knob("watchdog_cpumask")? == "0" && vm.knob("hung_task_panic")? == "3");
    vm.unload()?;

    let mark = vm.mark()?;
    vm.load("inherit=0")?;
    for ((name, _), default) in knobs.iter().zip(&defaults) {
        ensure!(vm.knob(name)? == *default, "{name}: {}", vm.knob(name)?);
    }
    vm.unload()?;
    // Who hands over has switched the kernel's off.
    kernel(&vm, "hung_task_timeout_secs", 0)?;
    kernel(&vm, "watchdog", 0)?;
    vm.load("")?;
    ensure!(vm.knob("hung_task_timeout_secs")? == "120" && vm.knob("watchdog")? == "1");
    let said = vm.dmesg_after(mark)?;
    let said: Vec<_> = said
        .iter()
        .filter(|line| line.text.starts_with("vigil: taken over"))
        .collect();
    ensure!(said.len() == 1, "{said:#?}");
    Ok(())
}

/// On and off follow the kernel's boot words.
fn boot_words(cx: &Cx) -> Verdict {
    for (word, switches) in [
        ("nowatchdog", "000"),
        ("nosoftlockup", "101"),
        ("nmi_watchdog=0", "111"),
    ] {
        let vm = cx.boot_with(cx.config().append(word))?;
        vm.load("")?;
        let mut read = String::new();
        for name in ["watchdog", "soft_watchdog", "nmi_watchdog"] {
            read += &vm.knob(name)?;
        }
        ensure!(read == switches, "{word}: {read}");
        if word.starts_with("nmi") {
            // No counter is taken then.
            Status::read(&vm)?.is(key::hardlockup::PERF_ERROR, messages::PERF_NMI_WATCHDOG_0)?;
        }
        vm.unload()?;
        vm.load("inherit=0")?;
        ensure!(vm.knob("watchdog")? == "1" && vm.knob("soft_watchdog")? == "1");
    }
    Ok(())
}

/// As mainline's detectors do, vigil has sched_ext eject a BPF scheduler before anything panics: at
/// three quarters of a soft lockup's threshold, and before the report of a hard one.
fn sched_ext_is_asked(cx: &Cx) -> Verdict {
    let vm = guest_of(cx, cx.config(), "watchdog_thresh=1")?;
    kernel(&vm, "watchdog", 0)?;
    vm.sh_ok(
        "mount -t tracefs none /sys/kernel/tracing 2> /dev/null
         cd /sys/kernel/tracing
         echo 'p:asked_soft scx_softlockup' > kprobe_events
         echo 'p:asked_hard scx_hardlockup' >> kprobe_events
         echo 1 > events/kprobes/enable",
    )?;
    let asked = |what: &str| -> anyhow::Result<u32> {
        let count = vm.sh(&format!("grep -c asked_{what}: /sys/kernel/tracing/trace"))?;
        Ok(count.stdout.trim().parse()?)
    };
    // Not yet at three quarters.
    provoke(&vm, "preempt_off cpu=1 ms=1000")?.words.silent()?;
    ensure!(asked("soft")? == 0, "asked after 1 s");
    provoke(&vm, "preempt_off cpu=1 ms=3500")?;
    ensure!(asked("soft")? >= 1 && asked("hard")? == 0, "not asked");
    let outcome = provoke(&vm, "irqs_off cpu=1 ms=3000")?;
    ensure!(outcome.words.hard.len() == 1, "{:#?}", outcome.words);
    ensure!(asked("hard")? == 1, "asked {} times", asked("hard")?);
    Ok(())
}

/// The files in `docs/beside-the-tree.md`, applied as they stand there, do what is said there.
fn documented_files(cx: &Cx) -> Verdict {
    const DOCUMENT: &str = include_str!("../../../../docs/beside-the-tree.md");
    let vm = cx.boot()?;
    let has_counter = vm.read("/proc/sys/kernel/nmi_watchdog")?.trim() == "1";
    vm.load("softlockup_panic=0 hardlockup_panic=0")?;
    let kernel_knob = |name: &str| -> anyhow::Result<String> {
        Ok(vm
            .read(&format!("/proc/sys/kernel/{name}"))?
            .trim()
            .to_owned())
    };
    let timeout = kernel_knob("hung_task_timeout_secs")?;
    let mut files = DOCUMENT
        .split("```\n# /etc/sysctl.d/")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut apply = |name: &str| -> Verdict {
        let file = files.next().context("no more files")?;
        let (found, settings) = file.split_once('\n').context("an empty file")?;
        ensure!(found == name, "{found}, not {name}");
        // Where there is no counter the document says to leave these lines out.
        let settings: String = settings
            .lines()
            .filter(|line| has_counter || !line.starts_with("kernel.nmi_watchdog"))
            .map(|line| format!("{line}\n"))
            .collect();
        vm.sh_ok(&format!(
            "printf %s '{settings}' > /tmp/sysctl.conf; sysctl -p /tmp/sysctl.conf"
        ))?;
        Ok(())
    };
    apply("60-vigil-beside.conf")?;
    ensure!(kernel_knob("hung_task_warnings")? == "0" && kernel_knob("soft_watchdog")? == "1");
    apply("60-vigil-instead.conf")?;
    let status = Status::read(&vm)?;
    status.is(key::in_tree::SOFTLOCKUP, "off")?;
    status.is(key::in_tree::HARDLOCKUP, "off")?;
    ensure!(kernel_knob("hung_task_timeout_secs")? == timeout);
    ensure!(vm.knob("softlockup_panic")? == "1" && vm.knob("watchdog")? == "1");
    apply("60-vigil-back.conf")?;
    let status = Status::read(&vm)?;
    status.is(key::in_tree::SOFTLOCKUP, "on")?;
    ensure!(kernel_knob("hung_task_warnings")? == "10");
    vm.unload()?;
    Ok(())
}

/// The timers of both expire in the same interrupts, vigil's first, where both have the same
/// threshold; with another one vigil's goes by its own.
fn one_interrupt(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    for thresh in [1, 10, 1] {
        let trace = vm.sh_ok(&format!(
            "sysctl -q kernel.watchdog_thresh={thresh}
             mount -t tracefs none /sys/kernel/tracing 2> /dev/null
             cd /sys/kernel/tracing
             sleep 2
             echo > trace
             echo 1 > events/timer/hrtimer_expire_entry/enable
             sleep 4
             echo 0 > events/timer/hrtimer_expire_entry/enable
             cat trace"
        ))?;
        let in_tree = expired(&trace, "function=watchdog_timer_fn ");
        let vigil = expired(&trace, "CpuWatchdog");
        // Two CPUs, a sample each 0.4 s; not all of them on a slow host.
        ensure!(vigil.len() >= 12, "samples at {vigil:?}");
        let is_alone = |(cpu, at): &&(&str, u64)| {
            // vigil's is set to a nanosecond before, and comes first.
            let is_with = |(other, in_tree): &(&str, u64)| {
                other == cpu && (*at..at + 100_000).contains(in_tree)
            };
            !in_tree.iter().any(is_with)
        };
        let alone = vigil.iter().filter(is_alone).count();
        // The in-tree one's, every 4 s, may fall into one of vigil's by chance.
        ensure!(
            if thresh == 1 { alone == 0 } else { alone >= 8 },
            "kernel.watchdog_thresh={thresh}: {vigil:?} beside {in_tree:?}"
        );
    }
    Ok(())
}

/// On which CPU, and at what time of its interrupt, the timers of a function expired.
fn expired<'a>(trace: &'a str, function: &str) -> BTreeSet<(&'a str, u64)> {
    let lines = trace
        .lines()
        .filter(|line| line.contains("hrtimer_expire_entry:") && line.contains(function));
    let when = lines.filter_map(|line| {
        let cpu = line.split_once('[')?.1.split_once(']')?.0;
        Some((cpu, line.rsplit_once("now=")?.1.trim().parse().ok()?))
    });
    when.collect()
}
