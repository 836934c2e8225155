// SPDX-License-Identifier: GPL-2.0
//! What is a soft lockup, and what is none.

use super::{
    hung_stall::SOON,
    lockup_stall::{
        counts, grace, guest, guest_of, hard_in_time, provoke, soft_in_time, soft_well_formed,
        tainted_by_soft_lockup, with_64_cpus, Lockup, Outcome, Span, Words, MANY_CPUS, PERIOD,
    },
};
use crate::prelude::*;
use regex::Regex;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("every_kind", every_kind)
            .not_with(
                "CONFIG_PREEMPT_RT",
                "bottom halves and timers are threads there",
            )
            .core(),
        Scenario::new("every_cpu", every_cpu),
        Scenario::new("twenty_of_64", twenty_of_64)
            .only_on(Arch::X86_64, MANY_CPUS)
            .not_with("CONFIG_KASAN", "that kernel was built for eight CPUs")
            .alone()
            .all(),
        Scenario::new("waiting_for_another_cpu", waiting_for_another_cpu),
        Scenario::new("again_after_each_threshold", again_after_each_threshold).light(),
        Scenario::new("not_later_than_in_tree", not_later_than_in_tree),
        Scenario::new("interrupts_off", interrupts_off).not_with_strict_rcu(),
        Scenario::new(
            "interrupts_off_while_a_knob_is_written",
            knob_written_meanwhile,
        ),
        Scenario::new("waiting_in_stop_machine", waiting_in_stop_machine).not_with_strict_rcu(),
        Scenario::new("not_one", not_one),
        Scenario::new("stand_in_for_the_stopper", stand_in_for_the_stopper)
            .core()
            .light(),
        Scenario::new("busiest_interrupts", busiest_interrupts),
    ]
}

/// Longer than a threshold of 2 s, too short for a second report.
const ONE_REPORT: u32 = 3500;

/// Ensures that there is one report on each stuck CPU, the right one in time.
fn one_each(outcome: &Outcome, tag: &str, thresh: f64) -> Verdict {
    let words = &outcome.words;
    ensure!(
        words.soft.len() == outcome.spans.len(),
        "{} reports on {} CPUs: {words:#?}",
        words.soft.len(),
        outcome.spans.len()
    );
    for span in &outcome.spans {
        let report = words
            .soft
            .iter()
            .find(|report| report.cpu == span.cpu)
            .with_context(|| format!("no report on CPU {}: {words:#?}", span.cpu))?;
        soft_well_formed(report, span.cpu, &format!("{tag}/{}", span.cpu), span.pid)?;
        soft_in_time(report, span, thresh)?;
    }
    Ok(())
}

/// Each way to keep a CPU from its stopper is found once, in time, with the CPU,
/// the task and the code that keeps it; the kernel is tainted by it.
fn every_kind(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    ensure!(!tainted_by_soft_lockup(&vm)?, "tainted before");
    for (kind, tag, function) in [
        ("preempt_off", "prov_preempt", "prov_preempt_off+0x"),
        ("bh_off", "prov_bh", "prov_bh_off+0x"),
        ("softirq_hog", "prov_softirq", "prov_softirq_spin+0x"),
        ("spinlock", "prov_spin", "prov_spinlock+0x"),
    ] {
        let outcome = provoke(&vm, &format!("{kind} cpu=1 ms={ONE_REPORT}"))?;
        one_each(&outcome, tag, 1.0).context(kind)?;
        let report = &outcome.words.only_soft(1)?[0];
        ensure!(
            report.mentions(function),
            "{kind}: no {function}: {report:#?}"
        );
        ensure!(tainted_by_soft_lockup(&vm)?, "{kind}: not tainted");
        // Nothing is added but what the CPU waits for. No other one is stuck that it may wait for.
        let own = |line: &&String| line.starts_with("vigil: ");
        let own: Vec<_> = report.lines.iter().filter(own).collect();
        let waits = own.iter().all(|line| line.contains("CPU1 spins for "));
        ensure!(
            own.len() == usize::from(kind == "spinlock") && waits,
            "{kind}: {report:#?}"
        );
    }
    // Here the one to blame is no task: whoever was interrupted is named. A storm has
    // a lull, in which the stopper runs, when the host has no time for its timer.
    let (mut tries, mut count) = (0, 4);
    let outcome = loop {
        let outcome = provoke(&vm, &format!("hrtimer_storm cpu=1 ms={ONE_REPORT}"))?;
        let reports = outcome.words.only_soft(1)?;
        count += reports.len() as u64;
        tries += 1;
        let in_time = match reports {
            [report] => soft_in_time(report, outcome.span()?, 1.0),
            _ => Err(anyhow!("not one report: {reports:#?}")),
        };
        match in_time {
            Err(_) if tries < 3 => (),
            verdict => {
                verdict?;
                break outcome;
            }
        }
    };
    let reports = outcome.words.only_soft(1)?;
    let task = &reports[0].task;
    soft_well_formed(&reports[0], 1, &task.comm, task.pid)?;
    // The storm was interrupted in the timer's handler, or at the end of one of its interrupts.
    let in_storm = [machine::timer_handler(), "irq_exit_rcu"];
    ensure!(
        in_storm
            .iter()
            .any(|function| reports[0].mentions(&format!("{function}+0x"))),
        "{:#?}",
        reports[0]
    );
    ensure!(counts(&vm)? == (count, 0, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// Each of four CPUs, and all but one at the same time.
fn every_cpu(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
    for cpus in ["2", "3", "1-3"] {
        let outcome = provoke(&vm, &format!("preempt_off cpus={cpus} ms={ONE_REPORT}"))?;
        one_each(&outcome, "prov_preempt", 1.0).with_context(|| format!("CPUs {cpus}"))?;
        ensure!(outcome.words.hard.is_empty(), "{:#?}", outcome.words);
    }
    drop(vm);
    // Whoever is on CPU 0 hears nothing of it while it lasts.
    let vm = guest_of(cx, cx.config().cpus(4).agent_cpu(1), "watchdog_thresh=1")?;
    for cpus in ["0", "0,2-3"] {
        let outcome = provoke(&vm, &format!("preempt_off cpus={cpus} ms={ONE_REPORT}"))?;
        one_each(&outcome, "prov_preempt", 1.0).with_context(|| format!("CPUs {cpus}"))?;
        ensure!(outcome.words.hard.is_empty(), "{:#?}", outcome.words);
    }
    Ok(())
}

/// Twenty CPUs of 64 at the same time: each is reported once.
fn twenty_of_64(cx: &Cx) -> Verdict {
    let vm = guest_of(cx, with_64_cpus(cx), "watchdog_thresh=2")?;
    let outcome = provoke(&vm, "preempt_off cpus=1-20 ms=7000")?;
    ensure!(outcome.spans.len() == 20, "{:#?}", outcome.spans);
    one_each(&outcome, "prov_preempt", 2.0)?;
    ensure!(outcome.words.hard.is_empty(), "{:#?}", outcome.words);
    ensure!(counts(&vm)? == (20, 0, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// Where nobody looks for hard lockups, interrupts that were off for long are a soft
/// lockup when they come again, as for mainline: whenever in their sample periods
/// the other CPUs are then, they show that the machine was not stopped.
fn interrupts_off(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 nmi_watchdog=0")?;
    // The in-tree detector's report would ask for patience, too.
    vm.sh_ok("cd /proc/sys/kernel; [ ! -e soft_watchdog ] || echo 0 > soft_watchdog")?;
    for more in 0..4 {
        // By parts of a sample period, of 400 ms.
        let ms = ONE_REPORT + 100 * more;
        // What printed the last report has asked for patience.
        vm.sh_ok("sleep 1")?;
        let mark = vm.mark()?;
        Lockup::start(&vm, &format!("irqs_off cpu=1 ms={ms}"))?.wait(&vm)?;
        // That is before its timer interrupt comes.
        let said = r"soft lockup - CPU#1 stuck for [34]s! \[prov_irqs/1:\d+\]";
        vm.wait_log_after(mark, said, SOON)
            .with_context(|| format!("{ms} ms"))?;
    }
    ensure!(counts(&vm)? == (4, 0, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// A CPU that waits for another one, which has its interrupts off: the first has
/// a soft lockup, the second a hard one.
fn waiting_for_another_cpu(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
    let outcome = provoke(&vm, &format!("ipi_wait cpu=1 target=3 ms={ONE_REPORT}"))?;
    let words = &outcome.words;
    let span = outcome.span()?;
    ensure!(words.soft.len() == 1 && words.hard.len() == 1, "{words:#?}");
    soft_well_formed(&words.soft[0], 1, "prov_ipi/1", span.pid)?;
    soft_in_time(&words.soft[0], span, 1.0)?;
    ensure!(
        words.soft[0].mentions("smp_call_function_single+0x"),
        "{:#?}",
        words.soft[0]
    );
    ensure!(words.hard[0].cpu == 3, "{:#?}", words.hard[0]);
    let target = outcome.targets.first().context("no target")?;
    hard_in_time(&words.hard[0], target, 1.0, 0)?;
    ensure!(
        words.recovered.len() == 1 && words.recovered[0].cpu == 3,
        "{words:#?}"
    );
    Ok(())
}

/// As long as it lasts it is reported again after each threshold, with its whole
/// length.
fn again_after_each_threshold(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=12000")?;
    let span = outcome.span()?;
    let reports = outcome.words.only_soft(1)?;
    let count = reports.len();
    ensure!(count >= 4, "{count} reports: {reports:#?}");
    soft_in_time(&reports[0], span, 1.0)?;
    // What prints the stack asks for patience, which the next sample grants.
    let most = 2.0 + PERIOD + grace();
    ensure!(
        span.ended - reports[count - 1].time < most,
        "no more at the end: {reports:#?}"
    );
    for pair in reports.windows(2) {
        let between = pair[1].time - pair[0].time;
        // The first one's line may have come later than the finding.
        ensure!(
            (1.9..most).contains(&between),
            "{between} s from one to the next"
        );
        let age = pair[1].time - span.began;
        let seconds = pair[1].seconds as f64;
        ensure!(
            seconds > age - 1.0 && seconds < age + PERIOD + grace(),
            "{seconds} s after {age} s"
        );
    }
    ensure!(counts(&vm)? == (count as u64, 0, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// In the same boot, with the same threshold, the in-tree detector is no more
/// than a sample period earlier, whether both are on or one at a time. A kernel
/// that has none cannot show that; the report comes in time there, too.
fn not_later_than_in_tree(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    if !vm.artifacts().kernel_has("CONFIG_SOFTLOCKUP_DETECTOR") {
        let outcome = provoke(&vm, &format!("preempt_off cpu=1 ms={ONE_REPORT}"))?;
        return one_each(&outcome, "prov_preempt", 1.0);
    }
    let in_tree =
        |name: &str, value: &str| vm.write(&format!("/proc/sys/kernel/{name}"), value.as_bytes());
    in_tree("watchdog_thresh", "1")?;
    // Alone: a report, and what it takes to print it, are touches.
    vm.set_knob("soft_watchdog", 0)?;
    in_tree("soft_watchdog", "1")?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=4500")?;
    outcome.words.silent()?;
    let theirs = outcome
        .words
        .in_tree_soft
        .first()
        .context("the in-tree detector is silent")?;
    let theirs = theirs.time - outcome.span()?.began;

    vm.set_knob("soft_watchdog", 1)?;
    in_tree("soft_watchdog", "0")?;
    let outcome = provoke(&vm, &format!("preempt_off cpu=1 ms={ONE_REPORT}"))?;
    ensure!(
        outcome.words.in_tree_soft.is_empty(),
        "{:#?}",
        outcome.words
    );
    one_each(&outcome, "prov_preempt", 1.0)?;
    let ours = outcome.words.soft[0].time - outcome.span()?.began;
    ensure!(
        ours <= theirs + PERIOD,
        "vigil after {ours} s, in-tree after {theirs} s"
    );

    in_tree("soft_watchdog", "1")?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=4500")?;
    let ours = outcome.words.soft.first().context("vigil is silent")?;
    soft_in_time(ours, outcome.span()?, 1.0)?;
    if let Some(theirs) = outcome.words.in_tree_soft.first() {
        ensure!(ours.time <= theirs.time + PERIOD, "{:#?}", outcome.words);
    }
    Ok(())
}

/// A real-time hog, which the stopper gets past; code that asks for patience; and
/// many stalls that are short. A true one right after each is found.
fn not_one(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    // Without the in-tree detector there is nobody whom one could ask for patience.
    let touches = vm.artifacts().kernel_has("CONFIG_SOFTLOCKUP_DETECTOR");
    for what in [
        "fifo_hog cpu=1 ms=3500",
        "fifo_hog cpu=1 ms=3500 prio=99",
        "touch_softlockup cpu=1 ms=4000 touch_ms=1000",
        "flaps cpu=1 ms=500 gap_ms=100 count=10",
        "preempt_off cpu=1 ms=1400",
    ] {
        if what.starts_with("touch") && !touches {
            continue;
        }
        let outcome = provoke(&vm, what)?;
        outcome.words.silent().context(what)?;
        ensure!(
            counts(&vm)?.0 == 0 && !tainted_by_soft_lockup(&vm)?,
            "{what}"
        );
    }
    let outcome = provoke(&vm, &format!("preempt_off cpu=1 ms={ONE_REPORT}"))?;
    one_each(&outcome, "prov_preempt", 1.0)
}

/// Where threads stand in for the stoppers, a real-time hog is taken for a
/// soft lockup; load line, status and every report say so.
fn stand_in_for_the_stopper(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 use_stopper=0")?;
    let line = vm.wait_log(&pattern(messages::LoadSoftLockups::<()>::TEXT), secs(5))?;
    let (on, by) = (" on, ", ", sampled with SCHED_FIFO-99 threads");
    ensure!(
        line.text.contains(on) && line.text.ends_with(by),
        "{line:?}"
    );
    let status = Status::read(&vm)?;
    status.is(key::softlockup::ENABLED, "1")?;
    status.is(key::softlockup::SAMPLED_WITH, "fifo_thread")?;
    let threads = vm.sh_ok("ps -e -o comm=,rtprio=,cls= | grep '^vigild/[0-9]'")?;
    ensure!(threads.lines().count() == 2, "{threads}");
    for thread in threads.lines() {
        let words: Vec<&str> = thread.split_whitespace().collect();
        ensure!(words.get(1..) == Some(&["99", "FF"]), "{threads}");
    }
    for (what, tag) in [
        ("fifo_hog prio=99", "prov_fifo"),
        ("preempt_off", "prov_preempt"),
    ] {
        let outcome = provoke(&vm, &format!("{what} cpu=1 ms={ONE_REPORT}"))?;
        one_each(&outcome, tag, 1.0).context(what)?;
        let report = &outcome.words.soft[0];
        report.in_order(&[
            "soft lockup - CPU#1",
            messages::SAMPLED_BY_FIFO_THREAD,
            "Modules linked in: ",
        ])?;
    }
    // Below its priority there is nothing to be seen.
    provoke(&vm, "fifo_hog prio=98 cpu=1 ms=3000")?
        .words
        .silent()?;
    // Unloading takes the threads away, even past a hog of their priority.
    let hog = Lockup::start(&vm, "fifo_hog prio=50 cpu=1 ms=3000")?;
    vm.sh_on(0, "rmmod vigil")?.ok()?;
    hog.wait(&vm)?;
    super::module::nothing_left(&vm)
}

/// How many local timer interrupts a CPU has taken.
fn timer_interrupts(vm: &Vm, cpu: usize) -> anyhow::Result<u64> {
    let all = vm.read("/proc/interrupts")?;
    let line = all
        .lines()
        .find(|line| line.contains(machine::timer_row()))
        .with_context(|| all.clone())?;
    let count = line.split_whitespace().nth(cpu + 1);
    Ok(count.context("no such CPU")?.parse()?)
}

/// Whether so many timer interrupts made this stall that it has to be said. A kernel full of checks,
/// under emulation, may not get as far. One more interrupt at least comes with each of the timer, so
/// this is twice what it takes.
fn is_storm(timer_interrupts: u64, span: &Span) -> bool {
    timer_interrupts as f64 > 1000.0 * (span.ended - span.began)
}

/// How the line ends that heads the busiest interrupts.
fn busiest() -> &'static str {
    match messages::pieces(messages::BusyInterrupts::TEXT).last() {
        Some(messages::Piece::Fixed(end)) => end,
        _ => unreachable!("the text ends in a value"),
    }
}

/// Where so many interrupts come that they may be what the CPU is busy with, each
/// report names the busiest, with their numbers since the CPU began to be stuck,
/// or since the report before: the local timer, and one that has a number by its
/// name. They are no more than came in fact.
fn busiest_interrupts(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    let mark = vm.mark()?;
    let before = timer_interrupts(&vm, 1)?;
    let lockup = Lockup::start(&vm, "hrtimer_storm irq=1 cpu=1 ms=5500")?;
    let span = lockup.wait(&vm)?.remove(0);
    let all_timer = timer_interrupts(&vm, 1)? - before;
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    let reports = words.only_soft(1)?;
    ensure!(!reports.is_empty(), "no report");
    let numbered = Regex::new(r"^#\d+ \(prov storm\)$")?;
    let named: Vec<_> = reports
        .iter()
        .filter(|report| report.mentions(busiest()))
        .collect();
    ensure!(
        !named.is_empty() || !is_storm(all_timer, &span),
        "{all_timer} in {span:?}: {reports:#?}"
    );
    let (mut timer, mut device, mut seconds) = (0, 0, 0.0);
    for report in &named {
        report.in_order(&[
            "\t#5: ",
            busiest(),
            &format!("{}, ", machine::timer_interrupts()),
            "Modules linked in: ",
        ])?;
        let interrupts = report.interrupts.as_ref();
        let interrupts = interrupts.with_context(|| format!("{report:#?}"))?;
        let (total, window) = (interrupts.total, interrupts.secs);
        let rate = interrupts.rate as f64;
        seconds += window;
        ensure!(
            (rate - total as f64 / window).abs() <= 1.0 + rate / 50.0,
            "{report:#?}"
        );
        let (mut sum, mut last) = (0, u64::MAX);
        for interrupt in &interrupts.busiest {
            let count = interrupt.count;
            ensure!(count > 0 && count <= last, "not in order: {report:#?}");
            last = count;
            sum += count;
            match interrupt.source.as_str() {
                name if name.ends_with(machine::timer_interrupts()) => timer += count,
                name if numbered.is_match(name) => device += count,
                _ => (),
            }
        }
        ensure!(sum <= total && sum > total / 2, "{report:#?}");
        ensure!(window > PERIOD / 2.0, "{report:#?}");
    }
    ensure!(
        seconds <= span.ended - span.began,
        "{seconds} s of {span:?}: {reports:#?}"
    );
    ensure!(
        timer <= all_timer && timer >= named.len() as u64 * all_timer / 20,
        "{timer} of {all_timer}: {reports:#?}"
    );
    ensure!(
        // One each time that the timer expires, which may be more than once in one interrupt of it
        // where that takes long.
        device >= timer / 4 && device <= 4 * timer,
        "{device} with {timer}: {reports:#?}"
    );

    // It is over, and another cause is none of theirs.
    let outcome = provoke(&vm, &format!("preempt_off cpu=1 ms={ONE_REPORT}"))?;
    let report = outcome.words.only_soft(1)?.first().context("no report")?;
    ensure!(!report.mentions(busiest()), "{report:#?}");
    // With a mask of other CPUs, and back.
    vm.set_knob("watchdog_cpumask", 0)?;
    vm.set_knob("watchdog_cpumask", "0-1")?;
    // On a machine that is too busy a storm may have lulls, in which the stopper runs.
    let mut reported = false;
    for _ in 0..3 {
        let before = timer_interrupts(&vm, 1)?;
        let outcome = provoke(&vm, &format!("hrtimer_storm cpu=1 ms={ONE_REPORT}"))?;
        let came = timer_interrupts(&vm, 1)? - before;
        if let Some(report) = outcome.words.only_soft(1)?.first() {
            if report.mentions(busiest()) {
                return Ok(());
            }
            let this = outcome.span()?;
            ensure!(!is_storm(came, this), "{came} in {this:?}: {report:#?}");
            reported = true;
        }
    }
    ensure!(reported, "no report on any of three storms");
    ensure!(
        !is_storm(all_timer, &span),
        "a storm before, but none of three"
    );
    Ok(())
}

/// A knob is written while a CPU has interrupts off: the other CPU is the first to be disabled for that, and
/// its interrupts of before still say that the machine ran.
fn knob_written_meanwhile(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=4 nmi_watchdog=0")?;
    let mark = vm.mark()?;
    let stall = Lockup::start(&vm, "irqs_off cpu=1 ms=14000")?;
    // Three of its sample periods.
    vm.sh_on(0, "sleep 5")?.ok()?;
    let write = vm.spawn_on(0, "echo 3 > /proc/sys/vigil/watchdog_thresh")?;
    stall.wait(&vm)?;
    write.wait(SOON)?.ok()?;
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    ensure!(
        words.soft.len() == 1 && words.soft[0].cpu == 1,
        "{words:#?}"
    );
    Ok(())
}

/// CPUs that wait in stop_machine() for one that is stuck have no lockup of their own: the one that
/// they wait for is reported, and no panic for soft lockups comes.
fn waiting_in_stop_machine(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1 softlockup_panic=1")?;
    let mark = vm.mark()?;
    vm.sh_ok(
        "cd /sys/kernel/debug/vigil_provoke
         taskset -c 0 sh -c 'echo irqs_off cpu=3 ms=9000 > run'; sleep 1
         taskset -c 0 sh -c 'echo 1 > stop_machine'",
    )?;
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    ensure!(
        words.soft.is_empty() && words.hard.len() == 1 && words.hard[0].cpu == 3,
        "{words:#?}"
    );
    Ok(())
}
