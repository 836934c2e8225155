// SPDX-License-Identifier: GPL-2.0
//! What the knobs about soft lockups do. (Which values are taken: see `knobs`.)

use super::{
    hung_stall::{thread_pid, wait_for, SOON},
    lockup_stall::{counts, grace, guest, loud_guest_of, provoke, soft_in_time, Lockup, PERIOD},
    reports::panicked,
};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("thresholds", thresholds).limit(secs(240)),
        Scenario::new("off_and_on", off_and_on).core().light(),
        Scenario::new("more_is_shown", more_is_shown),
        Scenario::new("more_is_shown_later", more_is_shown_later),
        Scenario::new(
            "no_thread_is_woken_on_a_stuck_cpu",
            no_thread_is_woken_on_a_stuck_cpu,
        ),
        Scenario::new("panic_at_once", panic_at_once),
        Scenario::new("panic_at_two_thresholds", panic_at_two_thresholds).light(),
    ]
}

/// Twice the threshold and no less, whether it was given at load or written; a
/// stall that is a bit shorter is none. With 10 nothing is said on one that is found
/// with these, nor with 0.
fn thresholds(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=2")?;
    for thresh in [2_u32, 1] {
        let limit = f64::from(thresh);
        vm.set_knob("watchdog_thresh", thresh)?;
        // In a stall that begins right after a run of the stopper.
        let shorter = thresh * 2000 - (thresh * 400) - 100;
        let outcome = provoke(&vm, &format!("preempt_off cpu=1 ms={shorter}"))?;
        outcome
            .words
            .silent()
            .with_context(|| format!("{thresh}: {shorter} ms"))?;
        let longer = thresh * 2000 + 800;
        let outcome = provoke(&vm, &format!("preempt_off cpu=1 ms={longer}"))?;
        let reports = outcome.words.only_soft(1)?;
        ensure!(reports.len() == 1, "{thresh}: {reports:#?}");
        soft_in_time(&reports[0], outcome.span()?, limit)?;
        let utilization = format!("CPU#1 Utilization every {}ms ", thresh * 400);
        ensure!(reports[0].mentions(&utilization), "{:#?}", reports[0]);
    }
    for thresh in ["10", "0"] {
        vm.set_knob("watchdog_thresh", thresh)?;
        let read = ["watchdog", "soft_watchdog", "nmi_watchdog"].map(|name| vm.knob(name));
        let expected = if thresh == "0" { "0" } else { "1" };
        for value in read {
            ensure!(value? == expected, "with watchdog_thresh={thresh}");
        }
        provoke(&vm, "preempt_off cpu=1 ms=4800")?.words.silent()?;
    }
    ensure!(counts(&vm)? == (2, 0, 0), "{:?}", counts(&vm)?);
    Ok(())
}

/// Off is silent, and on again works, by the knob of its own and by the one of
/// all. A CPU that is stuck while it is switched on was not watched before. A
/// change that takes effect on a stuck CPU waits until it is there.
fn off_and_on(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 soft_watchdog=0")?;
    let silent = || provoke(&vm, "preempt_off cpu=1 ms=3500")?.words.silent();
    let found = || -> Verdict {
        let outcome = provoke(&vm, "preempt_off cpu=1 ms=3500")?;
        let reports = outcome.words.only_soft(1)?;
        ensure!(reports.len() == 1, "{reports:#?}");
        soft_in_time(&reports[0], outcome.span()?, 1.0)
    };
    let reads = |expected: &str| -> Verdict {
        let names = ["watchdog", "soft_watchdog", "nmi_watchdog"];
        let mut read = String::new();
        for name in names {
            read += &vm.knob(name)?;
        }
        ensure!(read == expected, "{names:?} read {read}, not {expected}");
        Ok(())
    };
    reads("101")?;
    silent()?;
    vm.set_knob("soft_watchdog", 1)?;
    reads("111")?;
    found()?;
    vm.set_knob("watchdog", 0)?;
    reads("000")?;
    silent()?;
    vm.set_knob("watchdog", 1)?;
    reads("111")?;
    found()?;
    vm.set_knob("nmi_watchdog", 0)?;
    reads("110")?;
    found()?;
    vm.set_knob("soft_watchdog", 0)?;
    reads("000")?;
    silent()?;
    ensure!(counts(&vm)? == (3, 0, 0), "{:?}", counts(&vm)?);

    // Written in the middle of a stall: returned when it is so on every CPU.
    let stall = Lockup::start(&vm, "preempt_off cpu=1 ms=3000")?;
    vm.set_knob("soft_watchdog", 1)?;
    let written = vm.uptime()?;
    let span = stall.wait(&vm)?;
    ensure!(
        written >= span[0].ended,
        "written at {written}, stuck until {span:?}"
    );
    found()
}

/// What `kernel.kernel_sys_info` names is shown where the knob is empty, also if that was written
/// when nobody had anything to show: whoever shows it slept, with and without a detector of hung tasks.
fn more_is_shown_later(cx: &Cx) -> Verdict {
    const SYS_INFO: &str = "/proc/sys/kernel/kernel_sys_info";
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    for timeout in ["120", "0"] {
        vm.write(SYS_INFO, b"\n")?;
        vm.set_knob("hung_task_timeout_secs", timeout)?;
        let mark = vm.mark()?;
        provoke(&vm, "preempt_off cpu=1 ms=3000")?;
        vm.write(SYS_INFO, b"mem")?;
        provoke(&vm, "preempt_off cpu=1 ms=3000")?;
        vm.wait_log_after(mark, "Mem-Info:", SOON)
            .with_context(|| format!("hung_task_timeout_secs={timeout}"))?;
    }
    Ok(())
}

/// When `kernel.kernel_sys_info` is written while a CPU is stuck, the thread of the other half is woken, and
/// that of the CPU's own only afterwards: the CPU may be stuck with the lock of its run queue, for which a
/// wake-up waits with interrupts disabled.
fn no_thread_is_woken_on_a_stuck_cpu(cx: &Cx) -> Verdict {
    // A check each second, on CPU 0: that the thread for hung tasks learns of it meanwhile.
    let vm = guest(cx, 2, "watchdog_thresh=1 hung_task_check_interval_secs=1")?;
    let [hung, even, odd] =
        ["vigild/hung", "vigild/info0", "vigild/info1"].map(|name| thread_pid(&vm, name));
    let (hung, even, odd) = (hung?, even?, odd?);
    vm.sh_ok(&format!("taskset -pc 0 {hung}"))?;
    let status = |pid: &str, field: &str| -> anyhow::Result<String> {
        let status = vm.read(&format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        Ok(line
            .with_context(|| format!("no {field}"))?
            .trim()
            .to_owned())
    };
    let sleeps = |pid: &str| -> anyhow::Result<u64> {
        Ok(status(pid, "voluntary_ctxt_switches:")?.parse()?)
    };
    let until_it_slept = |pid: &str, before: u64| {
        wait_for(&vm, SOON, "the thread to run", || {
            Ok((sleeps(pid)? > before).then_some(()))
        })
    };

    let mark = vm.mark()?;
    let stall = Lockup::start(
        &vm,
        &format!("preempt_off cpu=1 ms={}", 20_000 * machine::slowdown()),
    )?;
    vm.wait_log_after(mark, "BUG: soft lockup - CPU#1", SOON)?;
    let before = [sleeps(&even)?, sleeps(&odd)?];
    vm.write("/proc/sys/kernel/kernel_sys_info", b"mem")?;
    until_it_slept(&even, before[0])?;
    let state = status(&odd, "State:")?;
    ensure!(
        vm.knob("stuck_cpus_now")? == "1",
        "the stall ended too early"
    );
    ensure!(state.starts_with('S'), "vigild/info1 was woken: {state}");
    stall.wait(&vm)?;
    until_it_slept(&odd, before[1])?;
    Ok(())
}

/// All CPUs' stacks, and more of the system, come with the report if wanted, and
/// nobody is taken for stuck who waits for that.
fn more_is_shown(cx: &Cx) -> Verdict {
    let vm = loud_guest_of(
        cx,
        cx.config().cpus(4),
        "watchdog_thresh=1 softlockup_all_cpu_backtrace=1",
    )?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=3000")?;
    let report = outcome.words.only_soft(1)?.first().context("no report")?;
    soft_in_time(report, outcome.span()?, 1.0)?;
    for cpu in [0, 2, 3] {
        ensure!(
            report.mentions(&format!("NMI backtrace for cpu {cpu}")),
            "no CPU {cpu}: {report:#?}"
        );
    }
    ensure!(!report.mentions("NMI backtrace for cpu 1"), "{report:#?}");
    ensure!(!report.mentions("Mem-Info:"), "{report:#?}");

    vm.set_knob("softlockup_all_cpu_backtrace", 0)?;
    vm.set_knob("softlockup_sys_info", "mem,all_bt")?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=3000")?;
    let report = outcome.words.only_soft(1)?.first().context("no report")?;
    vm.wait_log("Mem-Info:", SOON)?;
    for words in ["NMI backtrace for cpu 0", "NMI backtrace for cpu 3"] {
        ensure!(report.mentions(words), "no '{words}': {report:#?}");
    }

    vm.set_knob("softlockup_sys_info", "\n")?;
    let outcome = provoke(&vm, "preempt_off cpu=1 ms=3000")?;
    let report = outcome.words.only_soft(1)?.first().context("no report")?;
    for words in ["Mem-Info:", "NMI backtrace"] {
        ensure!(!report.mentions(words), "'{words}': {report:#?}");
    }

    // Three at once: one at a time shows all CPUs, the others among them.
    vm.set_knob("softlockup_all_cpu_backtrace", 1)?;
    let outcome = provoke(&vm, "preempt_off cpus=1-3 ms=5000")?;
    let words = &outcome.words;
    ensure!(
        !words.soft.is_empty() && words.hard.is_empty() && words.not_run.is_empty(),
        "{words:#?}"
    );
    for cpu in 1..4 {
        let shown = format!("NMI backtrace for cpu {cpu}");
        ensure!(
            words
                .soft
                .iter()
                .any(|report| report.cpu == cpu || report.mentions(&shown)),
            "no CPU {cpu}: {words:#?}"
        );
    }
    Ok(())
}

/// The last report in the log before a panic, by its time.
fn reported_at(vm: &Vm) -> anyhow::Result<Vec<f64>> {
    let log = vm.log_so_far();
    let words = super::lockup_stall::Words::of(log.lines())?;
    Ok(words.soft.iter().map(|report| report.time).collect())
}

/// Waits for the panic; returns its time stamp.
fn panic_time(vm: &Vm) -> anyhow::Result<f64> {
    panicked(&vm.wait_panic(SOON)?, "softlockup: hung tasks")
}

/// With 1 the first report ends in a panic, in mainline's words.
fn panic_at_once(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 softlockup_panic=1")?;
    let before = vm.uptime()?;
    Lockup::start(&vm, "preempt_off cpu=1 ms=20000")?;
    let after = vm.uptime()?;
    let stamp = panic_time(&vm)?;
    let text = vm.console().text();
    let reports = text
        .matches("watchdog: BUG: soft lockup - CPU#1 stuck for 2s!")
        .count();
    ensure!(reports == 1, "{reports} reports");
    ensure!(
        stamp - before > 1.5 && stamp - after < 2.0 + grace() + 1.0,
        "panic at {stamp}, stuck since {before} to {after}"
    );
    Ok(())
}

/// With 2 the report after one threshold does not, the one after two does.
fn panic_at_two_thresholds(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 softlockup_panic=2")?;
    // Not even the third of a few that are short.
    for _ in 0..3 {
        let outcome = provoke(&vm, "preempt_off cpu=1 ms=3500")?;
        ensure!(
            outcome.words.only_soft(1)?.len() == 1,
            "{:#?}",
            outcome.words
        );
    }
    let before = vm.uptime()?;
    Lockup::start(&vm, "preempt_off cpu=1 ms=20000")?;
    let after = vm.uptime()?;
    let stamp = panic_time(&vm)?;
    ensure!(
        stamp - before > 4.0 - PERIOD && stamp - after < 4.0 + 2.0 * grace() + 1.0,
        "panic at {stamp}, stuck since {before} to {after}; reports at {:?}",
        reported_at(&vm)
    );
    Ok(())
}
