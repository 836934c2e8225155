// SPDX-License-Identifier: GPL-2.0
//! What is a hard lockup, and what is none: on a kernel whose own detector sees
//! none at all.

use super::{
    hung_stall::{wait_for, PROVOKE, SOON},
    lockup_pause::NO_ASKING,
    lockup_stall::{
        counts, grace, guest, guest_of, hard_in_time, hard_well_formed, in_tree, keep_in_user_mode,
        loud_guest_of, provoke, recovered, soft_in_time, unresponsive, with_64_cpus, Lockup,
        Outcome, Words, MANY_CPUS,
    },
    reports::panicked,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("touched_once", touched_once).needs("CONFIG_SOFTLOCKUP_DETECTOR"),
        Scenario::new("stacks_are_no_touches", stacks_are_no_touches)
            .needs("CONFIG_SOFTLOCKUP_DETECTOR")
            .only_on(Arch::X86_64, NO_TOUCH),
        Scenario::new("rcu_stalls_are_no_touches", rcu_stalls_are_no_touches)
            .needs("CONFIG_SOFTLOCKUP_DETECTOR")
            .only_on(Arch::X86_64, NO_TOUCH)
            .allow(Splat::RcuStall)
            .all(),
        Scenario::new("two_cpus", two_cpus).core(),
        Scenario::new("every_cpu_of_four", every_cpu_of_four),
        Scenario::new("while_stacks_are_printed", while_stacks_are_printed)
            .only_on(Arch::X86_64, NO_ASKING),
        Scenario::new("many_at_once", many_at_once),
        Scenario::new("twenty_of_64", twenty_of_64)
            .only_on(Arch::X86_64, MANY_CPUS)
            .not_with("CONFIG_KASAN", "that kernel was built for eight CPUs")
            .alone()
            .all(),
        Scenario::new("the_boot_cpu", the_boot_cpu),
        Scenario::new("thresholds", thresholds),
        Scenario::new("not_one", not_one),
        Scenario::new("more_is_shown", more_is_shown),
        Scenario::new("shown_while_stuck", shown_while_stuck),
        // The kernel's own thread for RCU may be on the CPU that does not run.
        Scenario::new("a_long_report", a_long_report)
            .only_on(Arch::X86_64, NO_ASKING)
            .allow(Splat::RcuStall),
        Scenario::new("without_unexported_functions", without_unexported_functions),
        Scenario::new("panic", panic).core(),
        Scenario::new("nmis_of_others", nmis_of_others)
            .not_with_strict_rcu()
            .only_on(Arch::X86_64, "NMIs do not say who sent them"),
    ]
}

/// Why what prints stacks is tried on one architecture.
const NO_TOUCH: &str = "what prints a stack touches no watchdog";

/// Long enough for a report with a threshold of 1 s, and for a second one that
/// must not come.
const LONG: u32 = 4000;

/// Ensures that each stuck CPU is reported once, right, and in time, and that it
/// is said when each recovers. Nothing else is said by anybody.
fn one_each(outcome: &Outcome, tag: &str, function: &str, thresh: f64) -> Verdict {
    let words = &outcome.words;
    ensure!(
        words.hard.len() == outcome.spans.len()
            && words.recovered.len() == outcome.spans.len()
            && words.soft.is_empty()
            && words.not_run.is_empty()
            && words.in_tree_soft.is_empty()
            && words.in_tree_hard.is_empty(),
        "not one of each on {:?}: {words:#?}",
        outcome.spans
    );
    for span in &outcome.spans {
        let report = words
            .hard
            .iter()
            .find(|report| report.cpu == span.cpu)
            .with_context(|| format!("no report on CPU {}: {words:#?}", span.cpu))?;
        // One of several CPUs at the same lock has the stack.
        if report.mentions("is at the same lock and place as CPU") {
            ensure!(tag == "prov_spin" && words.hard.len() > 1, "{report:#?}");
        } else {
            hard_well_formed(report, &format!("{tag}/{}", span.cpu), function)?;
        }
        let earlier = words
            .hard
            .iter()
            .filter(|other| other.time < report.time)
            .count();
        hard_in_time(report, span, thresh, earlier)?;
        let recovered = words
            .recovered
            .iter()
            .find(|note| note.cpu == span.cpu)
            .with_context(|| format!("CPU {} has not recovered: {words:#?}", span.cpu))?;
        let late = recovered.time - span.ended;
        ensure!(
            (-0.01..0.5).contains(&late),
            "recovered {late} s after the end"
        );
        let length = recovered.time - span.began;
        ensure!(
            (length - 0.1..length + 0.4 * thresh + 0.5).contains(&recovered.seconds),
            "{recovered:?}, it lasted {length} s"
        );
    }
    Ok(())
}

fn irqs_off(vm: &Vm, cpus: &str, thresh: f64) -> Verdict {
    let ms = LONG.max((thresh * 2500.0) as u32);
    let outcome = provoke(vm, &format!("irqs_off cpus={cpus} ms={ms}"))?;
    one_each(&outcome, "prov_irqs", "prov_irqs_off", thresh)
        .with_context(|| format!("CPUs {cpus}, thresh {thresh}"))
}

/// Interrupts off, and a spinlock that nobody gives back: named by the NMI.
fn two_cpus(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    let status = Status::read(&vm)?;
    for (key, value) in [
        (key::hardlockup::ENABLED, "1"),
        (key::hardlockup::PERF, "0"),
        (key::hardlockup::BUDDY, "1"),
    ] {
        status.is(key, value)?;
    }
    match machine::arch() {
        Arch::X86_64 => {
            status.is(key::hardlockup::NMI_CONFIRMATION, "1")?;
            status.is(key::hardlockup::PERF_ERROR, messages::PERF_IN_GUEST)?;
        }
        Arch::Aarch64 => {
            status.is(key::hardlockup::NMI_CONFIRMATION, "0")?;
            status.is(key::watchdog::CPUMASK, "0-1")?;
        }
    }
    status.is(key::in_tree::HARDLOCKUP, in_tree(&vm))?;
    irqs_off(&vm, "1", 1.0)?;
    let outcome = provoke(&vm, &format!("spinlock irqsave=1 cpu=1 ms={LONG}"))?;
    one_each(&outcome, "prov_spin", "prov_spinlock_irqsave", 1.0)?;
    irqs_off(&vm, "1", 1.0)?;
    ensure!(counts(&vm)? == (0, 3, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// While another CPU prints the stacks of all, the kernel prints none for anybody else: the report has
/// the stack that the stuck CPU has saved itself.
fn while_stacks_are_printed(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    let flag = vm.sh_ok("sed -n 's/^\\([0-9a-f]*\\) . backtrace_flag$/0x\\1/p' /proc/kallsyms")?;
    let set = |address: &str| vm.write(&format!("{PROVOKE}/backtrace_flag"), address.as_bytes());
    set(flag.trim())?;
    irqs_off(&vm, "1", 1.0)?;
    set("0")?;
    irqs_off(&vm, "1", 1.0)
}

fn every_cpu_of_four(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
    for cpus in ["1", "2", "3"] {
        irqs_off(&vm, cpus, 1.0)?;
    }
    Ok(())
}

/// Neighbours, those that watch each other, all but one: each is reported once.
fn many_at_once(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
    for cpus in ["1,2", "2,3", "1,3", "1-3"] {
        irqs_off(&vm, cpus, 1.0)?;
    }
    let outcome = provoke(
        &vm,
        &format!("spinlock irqsave=1 cpus=1,2 target=0 ms={LONG}"),
    )?;
    one_each(&outcome, "prov_spin", "prov_spinlock_irqsave", 1.0)?;
    let mut with_stack = outcome.words.hard.iter();
    ensure!(
        with_stack.any(|report| !report.mentions("is at the same lock and place as CPU")),
        "no stack: {:#?}",
        outcome.words
    );
    // One after the other, the buddy first.
    let mark = vm.mark()?;
    let first = Lockup::start(&vm, "irqs_off cpu=1 ms=6000")?;
    vm.wait_log_after(mark, "hard LOCKUP on cpu 1$", SOON)?;
    let second = Lockup::start(&vm, "irqs_off cpu=2 ms=4000")?;
    let (first, second) = (first.wait(&vm)?, second.wait(&vm)?);
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    ensure!(
        words.hard.len() == 2 && words.recovered.len() == 2,
        "{words:#?}"
    );
    for (report, span) in words.hard.iter().zip([&first[0], &second[0]]) {
        ensure!(report.cpu == span.cpu, "{words:#?}");
        hard_in_time(report, span, 1.0, 0)?;
    }
    Ok(())
}

/// Twenty CPUs of 64 at the same time, of which all but one watch each other: each is
/// reported once.
fn twenty_of_64(cx: &Cx) -> Verdict {
    let vm = guest_of(cx, with_64_cpus(cx), "watchdog_thresh=2")?;
    let outcome = provoke(&vm, "irqs_off cpus=1-20 ms=10000")?;
    ensure!(outcome.spans.len() == 20, "{:#?}", outcome.spans);
    one_each(&outcome, "prov_irqs", "prov_irqs_off", 2.0)?;
    ensure!(counts(&vm)? == (0, 20, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// The CPU that keeps the time, alone and with all but one.
fn the_boot_cpu(cx: &Cx) -> Verdict {
    let vm = guest_of(cx, cx.config().cpus(4).agent_cpu(1), "watchdog_thresh=1")?;
    for cpus in ["0", "0,2-3"] {
        irqs_off(&vm, cpus, 1.0)?;
    }
    Ok(())
}

/// In time with other thresholds too, given at load or written; what is shorter
/// is none.
fn thresholds(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=3")?;
    for thresh in [3_u32, 2] {
        vm.set_knob("watchdog_thresh", thresh)?;
        let outcome = provoke(&vm, &format!("irqs_off cpu=1 ms={}", thresh * 800 - 100))?;
        outcome.words.silent()?;
        irqs_off(&vm, "1", f64::from(thresh))?;
    }
    vm.set_knob("watchdog_thresh", 0)?;
    // At its end it is a soft lockup, as for mainline: the stopper did not run either.
    let words = provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?.words;
    ensure!(
        words.hard.is_empty() && words.not_run.is_empty() && words.recovered.is_empty(),
        "not silent: {words:#?}"
    );
    vm.set_knob("watchdog_thresh", 1)?;
    irqs_off(&vm, "1", 1.0)
}

/// Patience that is asked for, many short stalls, and the knob that is off.
fn not_one(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    // Without the in-tree detector there is nobody whom one could ask for patience.
    let touches = vm.artifacts().kernel_has("CONFIG_HARDLOCKUP_DETECTOR");
    for what in [
        "touch_nmi cpu=1 ms=5000 touch_ms=500",
        "flaps cpu=1 ms=600 gap_ms=50 count=8",
        "irqs_off cpu=1 ms=700",
    ] {
        if touches || !what.starts_with("touch") {
            provoke(&vm, what)?.words.silent().context(what)?;
        }
    }
    irqs_off(&vm, "1", 1.0)?;
    vm.set_knob("nmi_watchdog", 0)?;
    ensure!(vm.knob("nmi_watchdog")? == "0" && vm.knob("watchdog")? == "1");
    // At its end it is a soft lockup, as for mainline: the stopper did not run either.
    let words = provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?.words;
    ensure!(
        words.hard.is_empty() && words.not_run.is_empty() && words.recovered.is_empty(),
        "not silent: {words:#?}"
    );
    vm.set_knob("nmi_watchdog", 1)?;
    irqs_off(&vm, "1", 1.0)?;
    // The soft lockup was vigil's or the in-tree detector's, whoever came first: a
    // report makes the other one patient.
    let counts = counts(&vm)?;
    ensure!(matches!(counts, (0 | 1, 2, 0)), "{counts:?}");
    Ok(())
}

/// All CPUs' stacks, and more of the system, come with the report if wanted. The
/// CPU that prints all this on a slow console is not stuck.
fn more_is_shown(cx: &Cx) -> Verdict {
    let vm = loud_guest_of(
        cx,
        cx.config().cpus(4),
        "watchdog_thresh=1 hardlockup_all_cpu_backtrace=1 hardlockup_sys_info=mem",
    )?;
    let outcome = provoke(&vm, "irqs_off cpu=2 ms=8000")?;
    one_each(&outcome, "prov_irqs", "prov_irqs_off", 1.0)?;
    let report = &outcome.words.hard[0];
    for cpu in 0..4 {
        let count = report
            .lines
            .iter()
            .filter(|line| line.contains(&format!("NMI backtrace for cpu {cpu}")))
            .count();
        ensure!(count == 1, "CPU {cpu} is shown {count} times: {report:#?}");
    }
    // What takes locks waits for the end of the stall.
    ensure!(report.mentions(messages::SYS_INFO_LATER), "{report:#?}");
    let shown = vm.wait_log("Mem-Info:", SOON)?;
    ensure!(shown.time > outcome.span()?.ended, "{shown:?}: {report:#?}");

    vm.set_knob("hardlockup_all_cpu_backtrace", 0)?;
    vm.set_knob("hardlockup_sys_info", "\n")?;
    let outcome = provoke(&vm, &format!("irqs_off cpu=2 ms={LONG}"))?;
    one_each(&outcome, "prov_irqs", "prov_irqs_off", 1.0)?;
    let report = &outcome.words.hard[0];
    ensure!(!report.mentions("Mem-Info:"), "{report:#?}");
    ensure!(!report.mentions("NMI backtrace for cpu 0"), "{report:#?}");
    Ok(())
}

/// What takes no lock is shown while the CPU is stuck, whichever it is: there are two threads, and no
/// CPU on which both may sleep.
fn shown_while_stuck(cx: &Cx) -> Verdict {
    let vm = guest(cx, 3, "watchdog_thresh=1 hardlockup_sys_info=ftrace")?;
    let masks = vm.sh_ok(
        "for pid in $(ps -e -o pid=,comm= | sed -n 's| vigild/info.*||p'); do
             sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/$pid/status
         done",
    )?;
    ensure!(masks.lines().eq(["0,2", "1"]), "{masks}");
    for cpu in 1..3 {
        let mark = vm.mark()?;
        let lockup = Lockup::start(&vm, &format!("irqs_off cpu={cpu} ms=5000"))?;
        let shown = vm.wait_log_after(mark, "Dumping ftrace buffer:", SOON)?;
        let span = lockup.wait(&vm)?.remove(0);
        ensure!(
            (span.began..span.ended).contains(&shown.time),
            "{shown:?}: {span:?}"
        );
    }
    Ok(())
}

/// The stacks of all are wanted, and one CPU does not run: it is waited for ten times as
/// long as the threshold is, with interrupts off. Whoever waits is not stuck.
fn a_long_report(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1 hardlockup_all_cpu_backtrace=1")?;
    let mark = vm.mark()?;
    // With a lock that the report needs there would be none.
    keep_in_user_mode(&vm, 3)?;
    // A stall may need all CPUs to begin.
    let lockup = Lockup::start(&vm, "irqs_off cpu=1 ms=16000")?;
    let frozen = vm.freeze_vcpu_in_user_mode(3)?;
    vm.wait_log_after(mark, "Watchdog detected hard LOCKUP on cpu 1", SOON)?;
    vm.wait_log_after(mark, &unresponsive(3), SOON)?;
    vm.wait_log_after(mark, &recovered(1), SOON)?;
    drop(frozen);
    // Its threads may have to wait for all CPUs until they are gone.
    lockup.wait(&vm)?;
    vm.wait_log_after(mark, &recovered(3), SOON)?;
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    ensure!(
        words.hard.len() == 1 && words.hard[0].cpu == 1,
        "not one lockup: {words:#?}"
    );
    ensure!(
        words.not_run.iter().all(|note| note.cpu == 3)
            && words
                .recovered
                .iter()
                .all(|note| [1, 3].contains(&note.cpu)),
        "{words:#?}"
    );
    Ok(())
}

/// Without functions that are not exported it is still found, and confirmed
/// if anything can; the report says what cannot be shown.
fn without_unexported_functions(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 use_unexported=0")?;
    let outcome = provoke(&vm, &format!("irqs_off cpu=1 ms={LONG}"))?;
    let words = &outcome.words;
    ensure!(
        words.hard.len() == 1 && words.recovered.len() == 1,
        "{words:#?}"
    );
    hard_in_time(&words.hard[0], outcome.span()?, 1.0, 0)?;
    words.hard[0].in_order(match machine::arch() {
        Arch::X86_64 => &[
            "hard LOCKUP on cpu 1",
            messages::EVIDENCE_NMI_ACK,
            // vigil's own NMI brings the stack.
            "NMI backtrace for cpu 1",
            "RIP: ",
            "Call Trace:",
            "prov_irqs_off+0x",
        ],
        Arch::Aarch64 => &["hard LOCKUP on cpu 1", messages::EVIDENCE_NONE],
    })
}

/// In mainline's words, with the report in front.
fn panic(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 hardlockup_panic=1")?;
    let before = vm.uptime()?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=30000")?;
    let text = vm.wait_panic(SOON)?;
    panicked(&text, "Hard LOCKUP")?;
    let console = vm.console().text();
    ensure!(
        console.contains("watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1"),
        "{console}"
    );
    let log = Words::of(vm.log_so_far().lines())?;
    if let Some(report) = log.hard.first() {
        ensure!(
            report.time - before < 3.0,
            "{report:?}, begun after {before}"
        );
    }
    Ok(())
}

/// An NMI right after the one by which a CPU is asked is not called unknown: of the
/// two one was vigil's, whichever came first. Any other NMI stays what it was, also
/// on a CPU that was asked.
fn nmis_of_others(cx: &Cx) -> Verdict {
    // Each such NMI makes both lines, which are limited in rate: of CPUs that print one in the same
    // moment only one does.
    const UNKNOWN: [&str; 2] = ["NMI received for unknown reason", "Dazed and confused"];
    let echo = format!("{PROVOKE}/nmi_echo");
    let vm = guest_of(
        cx,
        cx.config().append("apic_extnmi=all"),
        // No NMI for the stack, which could become one with the echo.
        "watchdog_thresh=1 use_unexported=0",
    )?;
    let unknown = |mark| -> anyhow::Result<usize> {
        let log = vm.dmesg_after(mark)?;
        let counts = UNKNOWN.map(|text| log.iter().filter(|line| line.text.contains(text)).count());
        Ok(counts.into_iter().max().unwrap_or(0))
    };
    let mark = vm.mark()?;
    vm.write(&echo, b"1")?;
    let lockup = Lockup::start(&vm, "irqs_off cpu=1 ms=9000")?;
    vm.wait_log_after(mark, "Watchdog detected hard LOCKUP on cpu 1", SOON)?;
    wait_for(&vm, SOON, "the echo", || {
        Ok((vm.read(&echo)? == "1\n").then_some(()))
    })?;
    vm.sh_on(0, "sleep 1")?.ok()?;
    ensure!(unknown(mark)? == 0, "the echo was reported");
    // Somebody presses the button while the CPU is still stuck.
    ensure!(lockup.lasts(&vm)?, "over");
    vm.inject_nmi()?;
    lockup.wait(&vm)?;
    wait_for(&vm, SOON, "the word on both NMIs", || {
        Ok((unknown(mark)? == 2).then_some(()))
    })?;
    // An echo without a question is one as well: one NMI on each CPU, and the echo.
    let mark = vm.mark()?;
    vm.write(&echo, b"1")?;
    vm.inject_nmi()?;
    wait_for(&vm, SOON, "the word on the echo", || {
        Ok((unknown(mark)? == 3).then_some(()))
    })?;
    Ok(())
}

/// A CPU that touches its watchdog once, and then no more, is found as late as it would be if it had
/// got stuck at the touch: that counts from when it came, and not from when another CPU looks.
fn touched_once(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=5")?;
    let outcome = provoke(&vm, "touch_nmi cpu=1 ms=16000 touch_ms=3000 count=1")?;
    ensure!(outcome.words.hard.len() == 1, "{:#?}", outcome.words);
    let after = outcome.words.hard[0].time - outcome.span()?.began - 3.0;
    // Three sample periods.
    ensure!(
        (5.0..6.1 + grace()).contains(&after),
        "reported {after} s after the touch"
    );
    Ok(())
}

/// CPU 1 has one report on a hard lockup, in time for this threshold, although its stack was printed
/// by an NMI of others less than a threshold before.
fn found_between_stacks(vm: &Vm, ms: u32, thresh: f64) -> Verdict {
    let mark = vm.mark()?;
    let outcome = provoke(vm, &format!("irqs_off cpu=1 ms={ms}"))?;
    let words = &outcome.words;
    ensure!(
        words.hard.len() == 1 && words.soft.is_empty() && words.not_run.is_empty(),
        "{words:#?}"
    );
    hard_in_time(&words.hard[0], outcome.span()?, thresh, 0)?;
    let reported = words.hard[0].time;
    let stacks = stacks_of_cpu_1(&vm.dmesg_after(mark)?);
    ensure!(
        stacks
            .iter()
            .any(|time| (reported - thresh..reported).contains(time)),
        "no stack of others before {reported}: {stacks:?}"
    );
    Ok(())
}

/// When the stack of CPU 1 was printed.
fn stacks_of_cpu_1(lines: &[LogLine]) -> Vec<f64> {
    let stacks = lines
        .iter()
        .filter(|line| line.facility == 0 && line.text.starts_with("NMI backtrace for cpu 1"));
    stacks.map(|line| line.time).collect()
}

/// What prints the stack of a stuck CPU touches its watchdogs, for each line
/// (`printk_stack_address()`), and asks for no time: somebody who wants it more often than the
/// threshold hides no lockup, hard or soft.
fn stacks_are_no_touches(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    let asks = vm.spawn_on(
        0,
        "while :; do echo l > /proc/sysrq-trigger; sleep 0.5; done",
    )?;
    found_between_stacks(&vm, LONG, 1.0)?;
    let mark = vm.mark()?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=7000")?;
    asks.kill()?;
    let reports = outcome.words.only_soft(1)?;
    let stacks = stacks_of_cpu_1(&vm.dmesg_after(mark)?);
    ensure!(reports.len() == 3, "{reports:#?}, stacks at {stacks:?}");
    soft_in_time(&reports[0], outcome.span()?, 1.0)?;
    ensure!(stacks.len() >= 5, "only {stacks:?}");
    Ok(())
}

/// The same of the kernel's warnings that RCU waits for the CPU, which come every 9 s here: three
/// times `rcu_cpu_stall_timeout`.
fn rcu_stalls_are_no_touches(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=10")?;
    vm.write(
        "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout",
        b"3",
    )?;
    // RCU's threads are not to be woken on the CPU that is stuck. Some cannot be moved.
    vm.sh_ok(
        "for task in /proc/[0-9]*; do
            case $(cat $task/comm) in rcu_*) taskset -pc 0 ${task#/proc/} ;; esac
        done
        true",
    )?;
    // Each that ends needs a grace period.
    let busy = vm.spawn_on(0, "while :; do (:); sleep 0.2; done")?;
    found_between_stacks(&vm, 28_000, 10.0)?;
    busy.kill()?;
    Ok(())
}
