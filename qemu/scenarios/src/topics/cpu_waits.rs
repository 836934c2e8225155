// SPDX-License-Identifier: GPL-2.0
//! What the reports of lockups say about the CPUs that wait for each other.

use super::{
    hung_stall::PROVOKE,
    lockup_pause::NO_ASKING,
    lockup_stall::{guest, provoke, Lockup, Words},
};
use crate::prelude::*;
use regex::Regex;
use std::collections::BTreeSet;
use vigil_klog::{Message, Vigil};

/// Why what is certain elsewhere is not with KASAN.
const NOT_SURE: &str =
    "its functions run most of the time, and the registers need not have what the CPU waits for";

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("for_a_cpu_that_spins", for_a_cpu_that_spins)
            .only_on(Arch::X86_64, NO_ASKING)
            .not_with_strict_rcu()
            .core(),
        Scenario::new("each_way_to_wait", each_way_to_wait)
            .only_on(Arch::X86_64, NO_ASKING)
            .not_with("CONFIG_KASAN", NOT_SURE)
            .all(),
        Scenario::new("five_behind_one_lock", five_behind_one_lock)
            .only_on(Arch::X86_64, NO_ASKING)
            .not_with("CONFIG_KASAN", NOT_SURE)
            .all(),
        Scenario::new(
            "own_stack_after_another_is_gone",
            own_stack_after_another_is_gone,
        )
        .only_on(Arch::X86_64, NO_ASKING),
        Scenario::new("two_at_once", two_at_once)
            .only_on(Arch::X86_64, NO_ASKING)
            .not_with("CONFIG_KASAN", NOT_SURE)
            .all(),
        Scenario::new("in_each_context", in_each_context)
            .only_on(Arch::X86_64, NO_ASKING)
            .all(),
    ]
}

/// Long enough for one report of each kind with a threshold of 1 s.
const MS: u32 = 4500;

/// How the name of a function ends that keeps a CPU.
const IN_PROVOKE: &str = " [vigil_provoke]";

/// What vigil has logged since the mark, of these kinds of lines.
fn said(vm: &Vm, mark: Mark) -> anyhow::Result<Vec<Vigil>> {
    let mut lines = Vec::new();
    for line in vm.dmesg_after(mark)? {
        if let Some(Message::Vigil(line)) = Message::parse(&line.text) {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// The address of the lock of a stall.
fn lock_of(vm: &Vm, kind: &str) -> anyhow::Result<String> {
    let active = vm.read(&format!("{PROVOKE}/active"))?;
    let form = Regex::new(&format!(r"(?m)^\d+ {kind} .* lock=([0-9a-f]+)$"))?;
    let found = form.captures(&active);
    let found = found.with_context(|| format!("no {kind} in {active}"))?;
    Ok(found[1].to_owned())
}

/// CPU 1 waits for CPU 3 to run a function; CPU 3 has interrupts off and spins for a lock. Each
/// report says so: what the CPU waits for, which lock it is, and from where.
fn for_a_cpu_that_spins(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
    let mark = vm.mark()?;
    let spins = Lockup::start(&vm, &format!("spinlock cpu=3 target=2 irqsave=1 ms={MS}"))?;
    let waits = Lockup::start(&vm, "cpu_wait cpu=1 target=3 how=0")?;
    let lock = lock_of(&vm, "spinlock")?;
    spins.wait(&vm)?;
    waits.wait(&vm)?;
    let lines = said(&vm, mark)?;
    let mut locks = vec![format!("spinlock {lock}")];
    // With KASAN its functions run most of the time, and the registers need not have the lock then, nor
    // the request.
    let is_sure = !vm.artifacts().kernel_has("CONFIG_KASAN");
    if !is_sure {
        locks.push("a spinlock".to_owned());
    }
    // Of the hard lockup of CPU 3.
    for line in [
        Vigil::StuckIn {
            cpu: 3,
            context: "a task".into(),
            place: "prov_spinlock_irqsave [vigil_provoke]".into(),
        },
        Vigil::CpuHasToRun {
            cpu: 3,
            function: "ipi_nothing [vigil_provoke]".into(),
            sender: 1,
        },
    ] {
        ensure!(lines.contains(&line), "no {line:?} in {lines:#?}");
    }
    let spins = |line: &Vigil| match line {
        Vigil::CpuSpins {
            cpu: 3,
            lock,
            place,
        } => locks.contains(lock) && place == "prov_spinlock_irqsave [vigil_provoke]",
        _ => false,
    };
    ensure!(
        lines.iter().any(spins),
        "CPU 3 is not said to spin for {locks:?}: {lines:#?}"
    );
    // Of the soft lockup of CPU 1.
    let does = |found: &str| {
        let place = "prov_spinlock_irqsave [vigil_provoke]";
        let mut locks = locks.iter();
        locks.any(|lock| found.ends_with(&format!("and spins for {lock} in {place}")))
    };
    let names_it = |line: &Vigil| match line {
        Vigil::CpuWaitsForCall {
            cpu: 1,
            target: 3,
            function,
            does: found,
        } => function == "ipi_nothing [vigil_provoke]" && does(found),
        Vigil::CpuMayWaitForCall {
            cpu: 1,
            target: 3,
            function,
            does: found,
        } => !is_sure && function == "ipi_nothing [vigil_provoke]" && does(found),
        _ => false,
    };
    ensure!(
        lines.iter().any(names_it),
        "CPU 1 is not said to wait for CPU 3, which spins for {locks:?}: {lines:#?}"
    );
    Ok(())
}

/// By `smp_call_function_single()`, for the TLB, and in `stop_machine()`.
fn each_way_to_wait(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
    let mark = vm.mark()?;
    provoke(&vm, &format!("ipi_wait cpu=1 target=3 ms={MS}"))?;
    let waits_for = |mark: Mark, wanted: &str, runs: &str| -> Verdict {
        let lines = said(&vm, mark)?;
        ensure!(
            lines
                .iter()
                .any(|line| matches!(line, Vigil::CpuWaitsForCall {
                cpu: 1,
                target: 3,
                function,
                does,
            } if function.contains(wanted) && does.contains(runs) && does.ends_with(IN_PROVOKE))),
            "no call of {wanted} for CPU 3, which {runs}: {lines:#?}"
        );
        Ok(())
    };
    waits_for(mark, "ipi_nothing [vigil_provoke]", "runs prov_ipi/3:")?;

    let mark = vm.mark()?;
    let off = Lockup::start(&vm, &format!("irqs_off cpu=3 ms={MS}"))?;
    let flush = Lockup::start(&vm, "cpu_wait cpu=1 target=3 how=1")?;
    off.wait(&vm)?;
    flush.wait(&vm)?;
    waits_for(mark, "flush", "runs prov_irqs/3:")?;

    // CPU 3 is not watched: it cannot be said what the others wait for there.
    vm.write("/proc/sys/vigil/watchdog_cpumask", b"0-2")?;
    let mark = vm.mark()?;
    let off = Lockup::start(&vm, &format!("irqs_off cpu=3 ms={}", 2 * MS))?;
    let stop = Lockup::start(&vm, "cpu_wait cpu=1 target=3 how=2")?;
    off.wait(&vm)?;
    stop.wait(&vm)?;
    let lines = said(&vm, mark)?;
    // One of those that wait is reported, and the others wait for that one, for all that is known.
    let waits = |line: &Vigil| matches!(line, Vigil::CpuStopsMachine { cpu: 0..=2 });
    ensure!(lines.iter().any(waits), "{lines:#?}");
    let names_another = |line: &Vigil| {
        matches!(
            line,
            Vigil::CpuMayWaitFor { .. } | Vigil::CpuWaitsForCall { .. }
        )
    };
    ensure!(!lines.iter().any(names_another), "{lines:#?}");
    Ok(())
}

/// Five CPUs spin for a lock that a sixth has, with its interrupts off: each of their reports names
/// the lock, and the sixth as the one that they may wait for.
fn five_behind_one_lock(cx: &Cx) -> Verdict {
    let vm = guest(cx, 8, "watchdog_thresh=1")?;
    let mark = vm.mark()?;
    let held = Lockup::start(&vm, &format!("lock_held cpus=1-5 target=7 ms={MS}"))?;
    let lock = format!("spinlock {}", lock_of(&vm, "lock_held")?);
    held.wait(&vm)?;
    let lines = said(&vm, mark)?;
    let runs = "runs prov_held/7:";
    for waiter in 1..=5 {
        ensure!(
            lines.iter().any(
                |line| matches!(line, Vigil::CpuSpins { cpu, lock: found, place }
                if *cpu == waiter && *found == lock && place == "prov_spinlock [vigil_provoke]")
            ),
            "CPU {waiter} is not said to spin for {lock}: {lines:#?}"
        );
        ensure!(
            lines.iter().any(
                |line| matches!(line, Vigil::CpuMayWaitFor { cpu, target: 7, does }
                if *cpu == waiter && does.contains(runs) && does.ends_with(IN_PROVOKE))
            ),
            "CPU {waiter} is not said to wait for CPU 7: {lines:#?}"
        );
    }
    // One of them shows the stack, and the others say which.
    let log = vm.dmesg_after(mark)?;
    let with_stack: BTreeSet<u32> = Words::of(&log)?
        .soft
        .iter()
        .filter(|report| report.mentions("prov_spinlock+0x"))
        .map(|report| report.cpu)
        .collect();
    ensure!(with_stack.len() == 1, "stacks of {with_stack:?}");
    for waiter in (1..=5).filter(|cpu| !with_stack.contains(cpu)) {
        ensure!(
            lines
                .iter()
                .any(|line| matches!(line, Vigil::SameLockAndPlace { cpu, other }
                if *cpu == waiter && with_stack.contains(other))),
            "CPU {waiter} is not said to be where CPU {with_stack:?} is: {lines:#?}"
        );
    }
    Ok(())
}

/// CPU 1 is taken offline as soon as it has what it spun for, before its timer interrupt has come
/// again. Then CPU 2 spins for the same lock in the same place: its report has its stack.
fn own_stack_after_another_is_gone(cx: &Cx) -> Verdict {
    let vm = guest(cx, 4, "watchdog_thresh=1")?;
    let ms = MS * machine::slowdown();
    let spin = |cpu: u32| Lockup::start(&vm, &format!("spinlock cpu={cpu} target=3 ms={ms}"));
    let mark = vm.mark()?;
    let first = spin(1)?;
    vm.wait_log_after(mark, "BUG: soft lockup - CPU#1 stuck", secs(60))?;
    let offline = vm.spawn_on(0, "echo 0 > /sys/devices/system/cpu/cpu1/online")?;
    first.wait(&vm)?;
    offline.wait(secs(60))?.ok()?;
    let mark = vm.mark()?;
    spin(2)?.wait(&vm)?;
    let log = vm.dmesg_after(mark)?;
    let words = Words::of(&log)?;
    let reports = words.soft.iter();
    let stacks = reports
        .filter(|report| report.mentions("prov_spinlock+0x"))
        .count();
    ensure!(
        !words.soft.is_empty() && stacks == words.soft.len(),
        "{stacks} stacks in {} reports",
        words.soft.len()
    );
    Ok(())
}

/// Two CPUs are stuck, and two others wait, each for one of them: nothing is mixed up.
fn two_at_once(cx: &Cx) -> Verdict {
    let vm = guest(cx, 6, "watchdog_thresh=1")?;
    let mark = vm.mark()?;
    let stalls = [
        Lockup::start(&vm, &format!("ipi_wait cpu=1 target=4 ms={MS}"))?,
        Lockup::start(&vm, &format!("ipi_wait cpu=2 target=5 ms={MS}"))?,
    ];
    for stall in &stalls {
        stall.wait(&vm)?;
    }
    let lines = said(&vm, mark)?;
    let mut pairs: Vec<_> = lines
        .iter()
        .filter_map(|line| match line {
            Vigil::CpuWaitsForCall { cpu, target, .. } => Some((*cpu, *target)),
            _ => None,
        })
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    ensure!(pairs == [(1, 4), (2, 5)], "{lines:#?}");
    Ok(())
}

/// Whether a task or a timer's handler keeps the CPU.
fn in_each_context(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    for (what, context, place) in [
        // In one of the functions that it spins with.
        ("irqs_off", "a task", IN_PROVOKE),
        (
            "irqs_off_in_timer",
            "an interrupt handler",
            "prov_timer_off [vigil_provoke]",
        ),
    ] {
        let mark = vm.mark()?;
        provoke(&vm, &format!("{what} cpu=1 ms={MS}"))?;
        let lines = said(&vm, mark)?;
        ensure!(
            lines.iter().any(|line| matches!(line, Vigil::StuckIn {
                cpu: 1,
                context: found,
                place: at,
            } if found == context && at.ends_with(place))),
            "{what}: not stuck in {context}, in {place}: {lines:#?}"
        );
    }
    Ok(())
}
