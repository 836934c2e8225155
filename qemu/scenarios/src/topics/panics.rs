// SPDX-License-Identifier: GPL-2.0
//! From a finding to the panic: when there is one, when there is none, and that
//! nothing on the way can keep it from coming. (What comes after it: `kdump`.)

use super::{
    hung_stall::{headline, wait_for, Delay, Stall, SOON},
    lockup_pause::NO_ASKING,
    lockup_stall::{
        guest, guest_of, keep_in_user_mode, load, loud_guest_of, observe_cpus, wait_for_panic,
        Lockup,
    },
    reports::panicked,
};
use crate::prelude::*;
use regex::Regex;
use vigil_vm::Artifacts;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("needs_kdump", needs_kdump)
            .not_with_strict_rcu()
            .core(),
        Scenario::new("delay", delay).core(),
        Scenario::new("delay_of_the_others", delay_of_the_others).all(),
        Scenario::new("called_off", called_off).all(),
        Scenario::new("called_off_while_stuck", called_off_while_stuck).all(),
        Scenario::new("called_off_for_a_task", called_off_for_a_task).all(),
        Scenario::new("called_off_before_the_report", called_off_before_the_report)
            .needs("CONFIG_FUNCTION_TRACER"),
        Scenario::new("only_one", only_one).not_with_strict_rcu(),
        Scenario::new("lock_of_the_stuck_cpu", lock_of_the_stuck_cpu)
            .needs(ZONE)
            .only_on(Arch::X86_64, ZONE_OF_FEW)
            .all(),
        Scenario::new("last_cpu", last_cpu)
            .needs(ZONE)
            .not_with("CONFIG_PREEMPT_RT", SLEEPS)
            .only_on(Arch::X86_64, ZONE_OF_FEW),
        Scenario::new("one_does_not_answer", one_does_not_answer)
            .only_on(Arch::X86_64, NO_ASKING)
            .all(),
        Scenario::new("knob_written_later", knob_written_later).not_with_strict_rcu(),
        Scenario::new("printk_lock_is_kept", |cx| {
            lock_is_kept(cx, "printk_lock", "")
        })
        .all(),
        Scenario::new("printk_lock_is_kept_without_unexported", |cx| {
            lock_is_kept(cx, "printk_lock", "use_unexported=0")
        })
        .all(),
        Scenario::new("console_hangs", |cx| lock_is_kept(cx, "console_hang", ""))
            .not_with(
                "CONFIG_PREEMPT_RT",
                "a console's lines are printed by a thread there",
            )
            .all(),
        Scenario::new("zone_lock_is_kept", |cx| lock_is_kept(cx, "zone_lock", ""))
            .not_with("CONFIG_PREEMPT_RT", SLEEPS)
            .all(),
        Scenario::new("pool_lock_is_kept", |cx| lock_is_kept(cx, "pool_lock", "")).all(),
        Scenario::new("rq_lock_is_kept", |cx| lock_is_kept(cx, "rq_lock", ""))
            .needs("CONFIG_PREEMPT_NOTIFIERS")
            .all(),
        Scenario::new("kprobes_are_disabled", kprobes_are_disabled)
            .needs("CONFIG_SOFTLOCKUP_DETECTOR"),
        Scenario::new("another_takes_over", another_takes_over)
            .only_on(Arch::X86_64, NO_ASKING)
            .all(),
        Scenario::new("decider_does_not_run", decider_does_not_run)
            .only_on(Arch::X86_64, NO_ASKING)
            .all(),
    ]
}

/// A zone of memory whose lock can be held without stopping everybody.
const ZONE: &str = "CONFIG_ZONE_DMA";
/// Why the lock of a zone stops nobody.
const SLEEPS: &str = "that lock sleeps there, and its owner can be preempted";
const ZONE_OF_FEW: &str = "elsewhere all memory is in the zone whose lock is held";

/// A pattern for the line that says that a panic waits for so many milliseconds.
fn delayed(ms: &str) -> String {
    pattern_of(messages::PanicDelay::TEXT, &[("ms", ms)])
}

/// Whether the kernel's taint has `W`.
fn warned(vm: &Vm) -> anyhow::Result<bool> {
    let taint: u64 = vm.sh_ok("cat /proc/sys/kernel/tainted")?.trim().parse()?;
    Ok(taint & 1 << 9 != 0)
}

/// Without a crash kernel, if one is needed, there is the report and a word on why
/// there is no panic, for each kind; and the machine goes on. Without the need the
/// same is a panic.
fn needs_kdump(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        2,
        "watchdog_thresh=1 hung_task_timeout_secs=2 hung_task_check_interval_secs=1 \
         softlockup_panic=1 hardlockup_panic=1 hung_task_panic=1 panic_needs_kdump=1",
    )?;
    let status = Status::read(&vm)?;
    status.is(key::panic::CRASH_KERNEL_LOADED, "0")?;
    status.is(key::panic::ALLOWED, "0")?;
    ensure!(!warned(&vm)?, "tainted before");
    for (what, report) in [
        ("preempt_off cpu=1 ms=3000", "BUG: soft lockup - CPU#1"),
        (
            "irqs_off cpu=1 ms=3000",
            "Watchdog detected hard LOCKUP on cpu 1",
        ),
    ] {
        let mark = vm.mark()?;
        let stall = Lockup::start(&vm, what)?;
        vm.wait_log_after(mark, report, SOON)?;
        vm.wait_log_after(mark, &pattern(messages::NO_PANIC), SOON)?;
        stall.wait(&vm)?;
    }
    ensure!(warned(&vm)?, "not tainted");
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;
    let report = vm.wait_log_after(mark, &headline(Some(stall.victim())), SOON)?;
    let refused = vm.wait_log_after(mark, &pattern(messages::NO_PANIC), SOON)?;
    ensure!(report.seq < refused.seq, "{report:?}, {refused:?}");
    // Once for each report: looks at what is still hung say nothing.
    vm.sh_ok("sleep 1.5")?;
    let log = vm.dmesg_after(mark)?;
    let count = |words: &str| log.iter().filter(|line| line.text.contains(words)).count();
    let reports = count("blocked for more than");
    ensure!(
        (1..=reports).contains(&count(messages::NO_PANIC)),
        "{reports} reports: {log:#?}"
    );
    Status::read(&vm)?.is(key::incidents::RECORDED, "3")?;

    // However many pile up, they do not push everything else out of the record.
    vm.set_knob("hung_task_report", "mainline")?;
    let many = Stall::start(&vm, "threads count=100")?;
    wait_for(&vm, SOON, "all to be found", || {
        let found: u32 = vm.knob("hung_task_detect_count")?.parse()?;
        Ok((found == 101).then_some(()))
    })?;
    let recorded = Status::read(&vm)?.number(key::incidents::RECORDED)?;
    ensure!((3 + 1..3 + 80).contains(&recorded), "{recorded} recorded");
    many.end(&vm)?;

    vm.set_knob("panic_needs_kdump", 0)?;
    panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    Ok(())
}

/// The machine goes on for as long as it is told, the panic comes then, and not
/// before.
fn delay(cx: &Cx) -> Verdict {
    delays(
        cx,
        &[("preempt_off cpu=1 ms=60000", "softlockup: hung tasks")],
    )
}

/// The same for the other kinds.
fn delay_of_the_others(cx: &Cx) -> Verdict {
    delays(
        cx,
        &[
            ("irqs_off cpu=1 ms=60000", "Hard LOCKUP"),
            ("mutex", "hung_task: blocked tasks"),
        ],
    )
}

fn delays(cx: &Cx, stalls: &[(&str, &str)]) -> Verdict {
    for &(what, message) in stalls {
        let vm = guest(
            cx,
            2,
            "watchdog_thresh=1 hung_task_timeout_secs=2 softlockup_panic=1 hardlockup_panic=1 \
             hung_task_panic=1 panic_delay_ms=3000",
        )?;
        let mark = vm.mark()?;
        if what == "mutex" {
            Stall::start(&vm, what)?;
        } else {
            Lockup::start(&vm, what)?;
        }
        let said = vm.wait_log_after(mark, &delayed("3000"), SOON)?;
        // Whoever can still run does.
        let mut last = said.time;
        while let Ok(now) = vm.uptime() {
            last = now;
        }
        let text = vm.wait_panic(SOON)?;
        let at = panicked(&text, message)?;
        ensure!(
            last - said.time > 1.0,
            "{message}: said at {}, at work until {last}",
            said.time
        );
        ensure!(
            at - said.time >= 3.0,
            "{message}: said at {}, and came at {at}",
            said.time
        );
    }
    Ok(())
}

/// While it is being waited for, a panic can be called off: by its knob, by
/// switching the detectors off once the CPU is back, by unloading. Then the next
/// one is found as always.
fn called_off(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        2,
        "watchdog_thresh=1 hardlockup_panic=1 panic_delay_ms=20000",
    )?;
    let request_panic = |what: &str| -> anyhow::Result<(Lockup, Mark)> {
        let mark = vm.mark()?;
        let stall = Lockup::start(&vm, what)?;
        vm.wait_log_after(mark, &delayed("20000"), SOON)?;
        Ok((stall, mark))
    };
    let off = &pattern(messages::PANIC_CANCELLED);
    for way in [
        "echo 0 > /proc/sys/vigil/hardlockup_panic",
        "echo 0 > /proc/sys/vigil/watchdog",
        "rmmod vigil",
    ] {
        let (stall, mark) = request_panic("irqs_off cpu=1 ms=3000")?;
        stall.wait(&vm)?;
        vm.sh_ok(way)?;
        vm.wait_log_after(mark, off, SOON)?;
        if way != "rmmod vigil" {
            vm.set_knob("watchdog", 1)?;
            vm.set_knob("hardlockup_panic", 1)?;
        }
    }
    load(&vm, "watchdog_thresh=1 hardlockup_panic=1")?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=30000")?;
    panicked(&vm.wait_panic(SOON)?, "Hard LOCKUP")?;
    Ok(())
}

/// The detector is switched off, or the module unloaded, while a CPU is stuck, which either waits for. The
/// CPUs that are still watched meanwhile find the stuck one again, and do not ask for its panic again.
fn called_off_while_stuck(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        4,
        "watchdog_thresh=1 hardlockup_panic=1 panic_delay_ms=3000",
    )?;
    for way in ["echo 0 > /proc/sys/vigil/watchdog", "rmmod vigil"] {
        let mark = vm.mark()?;
        let ms = 12_000 * machine::slowdown();
        let stall = Lockup::start(&vm, &format!("irqs_off cpu=1 ms={ms}"))?;
        vm.wait_log_after(mark, &delayed("3000"), SOON)?;
        let job = vm.spawn_on(0, way)?;
        vm.wait_log_after(mark, &pattern(messages::PANIC_CANCELLED), SOON)?;
        let early = job.ended() || !stall.lasts(&vm)?;
        ensure!(!early, "nothing is stuck any more: {}", job.output());
        stall.wait(&vm)?;
        job.wait(SOON)?.ok()?;
        let asked = Regex::new(&delayed("3000"))?;
        let lines = vm.dmesg_after(mark)?;
        let asked = lines.iter().filter(|line| asked.is_match(&line.text));
        let asked = asked.count();
        ensure!(asked == 1, "{way}: a panic was asked for {asked} times");
        if way != "rmmod vigil" {
            vm.set_knob("watchdog", 1)?;
        }
    }
    Ok(())
}

/// The same for a hung task.
fn called_off_for_a_task(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        2,
        "hung_task_timeout_secs=2 hung_task_panic=1 panic_delay_ms=20000",
    )?;
    let off = &pattern(messages::PANIC_CANCELLED);
    for way in ["echo 0 > /proc/sys/vigil/hung_task_panic", "rmmod vigil"] {
        let mark = vm.mark()?;
        let stall = Stall::start(&vm, "mutex")?;
        vm.wait_log_after(mark, &delayed("20000"), SOON)?;
        let loud = vm.read("/proc/sys/kernel/printk")?;
        ensure!(loud.starts_with("15"), "the console is not verbose: {loud}");
        vm.sh_ok(way)?;
        vm.wait_log_after(mark, off, SOON)?;
        let quiet = vm.read("/proc/sys/kernel/printk")?;
        ensure!(quiet.starts_with("1\t"), "the console stays at {quiet}");
        stall.end(&vm)?;
        if way != "rmmod vigil" {
            // The thread goes on with its looks, without anybody ringing.
            let mark = vm.mark()?;
            let stall = Stall::start(&vm, "mutex")?;
            vm.wait_log_after(mark, &headline(Some(stall.victim())), SOON)?;
            stall.end(&vm)?;
            vm.set_knob("hung_task_panic", 1)?;
        }
    }
    vm.load("hung_task_timeout_secs=2 hung_task_panic=1")?;
    Stall::start(&vm, "mutex")?;
    panicked(&vm.wait_panic(SOON)?, "hung_task: blocked tasks")?;
    Ok(())
}

/// A panic for a hung task is called off in the moment before the console is to print everything for it:
/// the console stays as it was.
fn called_off_before_the_report(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        2,
        "hung_task_timeout_secs=2 hung_task_panic=1 panic_delay_ms=20000 watchdog=0",
    )?;
    let mark = vm.mark()?;
    let verbose = Delay::of_next(&vm, "console_verbose", secs(4))?;
    let stall = Stall::start(&vm, "mutex")?;
    verbose.wait_begun()?;
    vm.set_knob("hung_task_panic", 0)?;
    vm.wait_log_after(mark, &pattern(messages::PANIC_CANCELLED), SOON)?;
    verbose.wait_over()?;
    vm.wait_log_after(mark, &headline(Some(stall.victim())), SOON)?;
    let quiet = vm.read("/proc/sys/kernel/printk")?;
    ensure!(quiet.starts_with("1\t"), "the console stays at {quiet}");
    Ok(())
}

/// What is found during the report, or while the panic is being waited for, is
/// reported too; there is one panic, for the first.
fn only_one(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        4,
        "watchdog_thresh=1 softlockup_panic=1 hardlockup_panic=1 hardlockup_all_cpu_backtrace=1",
    )?;
    // Long enough for the second to begin and to be found.
    vm.set_knob("panic_delay_ms", 6000 * machine::slowdown())?;
    let mark = vm.mark()?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=60000")?;
    vm.wait_log_after(
        mark,
        "^watchdog: CPU. *.*: Watchdog detected hard LOCKUP on cpu 1",
        SOON,
    )?;
    Lockup::start(&vm, "preempt_off cpu=2 ms=60000")?;
    vm.wait_log_after(mark, "BUG: soft lockup - CPU#2", SOON)?;
    let text = vm.wait_panic(SOON)?;
    panicked(&text, "Hard LOCKUP")?;
    let console = vm.console().text();
    let delay = Regex::new(within_line(&pattern(messages::PanicDelay::TEXT)))?;
    let said = delay.find_iter(&console).count();
    ensure!(said == 1, "{said} announcements: {console}");
    Ok(())
}

/// A CPU that spins with a lock held that is needed to show the memory's state:
/// what waits for it is not the one that panics.
fn lock_of_the_stuck_cpu(cx: &Cx) -> Verdict {
    // System state is no emergency: on a louder console. With a threshold that leaves the other
    // CPUs time to show that they run, while the console is busy.
    let vm = loud_guest_of(
        cx,
        cx.config().cpus(4),
        "watchdog_thresh=3 hardlockup_panic=1 hardlockup_sys_info=mem",
    )?;
    Lockup::start(&vm, "zone_lock cpu=1 ms=120000")?;
    let text = vm.wait_panic(secs(120))?;
    panicked(&text, "Hard LOCKUP")?;
    let console = vm.console().text();
    // It was being shown when it got stuck there.
    ensure!(console.contains("Mem-Info:"), "{console}");
    Ok(())
}

/// With no other CPU left that could panic, nothing is shown that might block.
fn last_cpu(cx: &Cx) -> Verdict {
    // On a louder console, where it would be seen.
    let vm = loud_guest_of(
        cx,
        cx.config().cpus(2),
        "watchdog_thresh=1 hardlockup_panic=1 hardlockup_sys_info=mem",
    )?;
    Lockup::start(&vm, "zone_lock cpu=1 ms=120000")?;
    let text = vm.wait_panic(SOON)?;
    panicked(&text, "Hard LOCKUP")?;
    let console = vm.console().text();
    ensure!(!console.contains("Mem-Info:"), "{console}");
    ensure!(
        console.contains(
            &messages::SysInfoSkipped {
                knob: "hardlockup_sys_info"
            }
            .to_string()
        ),
        "{console}"
    );
    Ok(())
}

/// With the stacks of all CPUs wished for, one of which does not run.
fn one_does_not_answer(cx: &Cx) -> Verdict {
    // The stacks are no emergencies: on a louder console.
    let vm = loud_guest_of(
        cx,
        cx.config().cpus(4),
        "watchdog_thresh=3 hardlockup_panic=1 hardlockup_all_cpu_backtrace=1",
    )?;
    // With a lock that the report needs there would be none.
    keep_in_user_mode(&vm, 3)?;
    // In this order: a stall may need all CPUs to begin, and is found some seconds later.
    Lockup::start(&vm, "irqs_off cpu=1 ms=120000")?;
    let frozen = vm.freeze_vcpu_in_user_mode(3)?;
    let text = vm.wait_panic(secs(120))?;
    drop(frozen);
    panicked(&text, "Hard LOCKUP")?;
    let console = vm.console().text();
    for words in ["NMI backtrace for cpu 1", "NMI backtrace for cpu 2"] {
        ensure!(console.contains(words), "no '{words}': {console}");
    }
    ensure!(!console.contains("NMI backtrace for cpu 3"), "{console}");
    Ok(())
}

/// Whether CPU 0 panicked, by the stack that a kernel shows of its panic if it was built for that.
fn is_of_cpu_0(vm: &Vm, panic: &str) -> bool {
    !vm.artifacts().kernel_has("CONFIG_DEBUG_BUGVERBOSE") || panic.contains("CPU: 0 ")
}

/// The CPU that decided is gone before it could panic.
fn another_takes_over(cx: &Cx) -> Verdict {
    let vm = guest_of(
        cx,
        cx.config(),
        "watchdog_thresh=1 softlockup_panic=1 panic_delay_ms=15000",
    )?;
    let mark = vm.mark()?;
    Lockup::start(&vm, "preempt_off cpu=1 ms=120000")?;
    let said = vm.wait_log_after(mark, &delayed("15000"), SOON)?;
    let frozen = vm.freeze_vcpu(1)?;
    let panic = wait_for_panic(&vm);
    // What a CPU that does not run cannot do is to stop.
    drop(frozen);
    panic?;
    let text = vm.wait_panic(SOON)?;
    let at = panicked(&text, "softlockup: hung tasks")?;
    ensure!(is_of_cpu_0(&vm, &text), "{text}");
    ensure!(at - said.time >= 15.0, "{} and {at}", said.time);
    Ok(())
}

/// The CPU that decided is gone in the middle of its report, while it waits for the
/// stack of one that does not run: who finds that it does not run either panics at
/// once, in its place.
fn decider_does_not_run(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        3,
        "watchdog_thresh=1 softlockup_panic=1 softlockup_all_cpu_backtrace=1 \
         panic_delay_ms=60000",
    )?;
    let mark = vm.mark()?;
    let other = vm.freeze_vcpu(2)?;
    Lockup::start(&vm, "preempt_off cpu=1 ms=120000")?;
    vm.wait_log_after(mark, "BUG: soft lockup - CPU#1", SOON)?;
    let decider = vm.freeze_vcpu(1)?;
    let panic = wait_for_panic(&vm);
    drop(decider);
    drop(other);
    panic?;
    let text = vm.wait_panic(SOON)?;
    panicked(&text, "softlockup: hung tasks")?;
    ensure!(is_of_cpu_0(&vm, &text), "{text}");
    ensure!(
        !vm.console().text().contains("CPU1 has not run for"),
        "a word before the panic"
    );
    Ok(())
}

/// A knob that is written when the report was given, and the CPU is still stuck, is heard.
fn knob_written_later(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1")?;
    let mark = vm.mark()?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=120000")?;
    vm.wait_log_after(mark, "Watchdog detected hard LOCKUP on cpu 1", SOON)?;
    vm.set_knob("hardlockup_panic", 1)?;
    panicked(&vm.wait_panic(SOON)?, "Hard LOCKUP")?;
    Ok(())
}

/// For how long, in seconds, each of these CPUs did not run its thread of `vigil-observer` at most, by what
/// that has logged.
fn longest_gaps(log: &[LogLine], cpus: &[u32]) -> anyhow::Result<Vec<f64>> {
    let gap = Regex::new(r"^vigil-observer: CPU(\d+) did not run its thread for ([\d.]+) s$")?;
    let mut longest = vec![0.0_f64; cpus.len()];
    for part in log.iter().filter_map(|line| gap.captures(&line.text)) {
        let cpu: u32 = part[1].parse()?;
        if let Some(at) = cpus.iter().position(|&one| one == cpu) {
            longest[at] = longest[at].max(part[2].parse()?);
        }
    }
    Ok(longest)
}

/// A CPU that is stuck with a lock that a report may need takes no other CPU with it, with everything
/// asked for that a report can show; another stall is found meanwhile; and a panic that is asked for
/// comes. `kind`: the stall. `parameters`: besides.
fn lock_is_kept(cx: &Cx, kind: &str, parameters: &str) -> Verdict {
    // The kernel itself takes the locks of run queues: its balancing, not of a CPU that has no part in
    // it, and RCU, which asks a CPU to schedule after a while.
    let config = cx
        .config()
        .cpus(4)
        .append("isolcpus=1 rcutree.jiffies_till_sched_qs=100000")
        .files([Artifacts::from_env()?
            .file("vigil-observer")
            .context("no vigil-observer")?]);
    let vm = guest_of(
        cx,
        config,
        &format!(
            "watchdog_thresh=2 hardlockup_all_cpu_backtrace=1 softlockup_all_cpu_backtrace=1 \
             hardlockup_sys_info=tasks,mem,timers softlockup_sys_info=tasks,mem,timers {parameters}"
        ),
    )?;
    // The kernel's own work must not need the locks: vmstat_update() takes that of a zone to give back
    // what lies in the lists of a CPU. And a line of its own ("perf: interrupt took too long") would
    // wait for the console.
    vm.sh_ok(
        "echo 600 > /proc/sys/vm/stat_interval && sleep 2
         percent=/proc/sys/kernel/perf_cpu_time_max_percent; ! test -e $percent || echo 0 > $percent",
    )?;
    let mark = vm.mark()?;
    // Nothing is started while the lock is held: that would take memory.
    let observer = observe_cpus(&vm)?;
    let other = Lockup::start(&vm, "preempt_off cpu=2 ms=8000")?;
    let kept = Lockup::start(&vm, &format!("{kind} cpu=1 ms=15000"))?;
    for found in [
        "Watchdog detected hard LOCKUP on cpu 1",
        "BUG: soft lockup - CPU#2",
    ] {
        vm.wait_log_after(mark, found, SOON)?;
    }
    other.wait(&vm)?;
    kept.wait(&vm)?;
    // The observer does not run on an isolated CPU. Its lines on the others are there by then.
    vm.sh_ok("sleep 1")?;
    let gaps = longest_gaps(&vm.dmesg_after(mark)?, &[0, 2, 3])?;
    // CPU 2 has a stall of its own.
    let most = [5, 14, 5].map(|most| f64::from(most * machine::slowdown()));
    ensure!(
        gaps.iter().zip(most).all(|(gap, most)| *gap <= most),
        "CPUs 0, 2 and 3 stood still for {gaps:?} s"
    );
    ensure!(
        gaps[1] > 5.0,
        "the observer has not seen CPU 2 stuck: {gaps:?}"
    );
    drop(observer);
    vm.set_knob("hardlockup_panic", 1)?;
    Lockup::start(&vm, &format!("{kind} cpu=1 ms=120000"))?;
    panicked(&vm.wait_panic(secs(120))?, "Hard LOCKUP")?;
    Ok(())
}

/// With kprobes disabled vigil cannot see that slow code touches the watchdog: what looks like a
/// lockup then is reported as what it may be, and makes no panic. Enabled again, all is as before.
fn kprobes_are_disabled(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        2,
        "watchdog_thresh=1 softlockup_panic=1 hardlockup_panic=1",
    )?;
    vm.write("/proc/sys/kernel/watchdog", b"0")?;
    let kprobes = |on: &str| vm.write("/sys/kernel/debug/kprobes/enabled", on.as_bytes());
    for what in [
        "touch_nmi cpu=1 ms=4000 touch_ms=500",
        "touch_softlockup cpu=1 ms=5000 touch_ms=500",
    ] {
        kprobes("0")?;
        let mark = vm.mark()?;
        Lockup::start(&vm, what)?.wait(&vm)?;
        for text in [messages::TOUCHES_NOT_COUNTED, messages::NO_PANIC_TOUCHES] {
            vm.wait_log_after(mark, &pattern(text), SOON)
                .context(what)?;
        }
        kprobes("1")?;
        let mark = vm.mark()?;
        Lockup::start(&vm, what)?.wait(&vm)?;
        let log = vm.dmesg_after(mark)?;
        ensure!(
            !log.iter().any(|line| line.text.contains("ockup")),
            "{log:#?}"
        );
    }
    Lockup::start(&vm, "irqs_off cpu=1 ms=60000")?;
    panicked(&vm.wait_panic(SOON)?, "Hard LOCKUP")?;
    Ok(())
}
