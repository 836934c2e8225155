// SPDX-License-Identifier: GPL-2.0
//! Real logs, of mainline's detectors and vigil in the same boot.
//!
//! All were recorded in guests of this repository's bench (`make vm SCRIPT=...`), with the
//! stalls of `qemu/provoke`; whole reports were left out to keep them small, and where it says
//! so, registers.

use vigil_klog::{
    Access, Caller, Detector, Dump, Evidence, Finding, Lock, Log, LogLine, Report, Vigil,
};

/// `cat /dev/kmsg`, KERNEL=7.3-cloud: vigil and khungtaskd with a timeout of 4 s, five reports
/// of vigil's allowed; the stalls mutex, rwsem_reader, iowait and abba.
const HUNG_TASKS: &str = include_str!("data/hung_tasks.kmsg");

/// `dmesg`, KERNEL=7.3-cloud, watchdog_thresh=2 for both detectors: CPU 1 stuck by preempt_off,
/// found by vigil and, with vigil.soft_watchdog=0, by the kernel; by irqs_off, with
/// hardlockup_panic=1 and no crash kernel, and with panic_delay_ms=9000 and hardlockup_panic=0
/// again before the delay is over; and by preempt_off with rcu_cpu_stall_timeout=4. Without
/// registers.
const LOCKUPS: &str = include_str!("data/lockups.dmesg");

/// The console at `dmesg -n 7`, KERNEL=7.3-cloud, watchdog_thresh=2: irqs_off with hardlockup_panic=1,
/// panic_delay_ms=2000 and rcu_cpu_stall_timeout=4.
const PANIC: &str = include_str!("data/panic.console");

/// `dmesg`, KERNEL=7.3-arm64, watchdog_thresh=3 for both detectors: CPU 1 stuck by irqs_off, with
/// vigil's detector of hard lockups on, then with vigil.nmi_watchdog=0. There is no NMI: the
/// backtrace comes when the CPU takes interrupts again. Without registers.
const HARD_LOCKUPS_ARM64: &str = include_str!("data/hard_lockups_arm64.dmesg");

/// `cat /dev/kmsg`, KERNEL=7.3-cloud, watchdog_thresh=2: the thread of QEMU that runs CPU 1
/// stopped for 9 s.
const UNRESPONSIVE_CPU: &str = include_str!("data/unresponsive_cpu.kmsg");

fn parse(text: &str) -> Log {
    let log = Log::parse(&LogLine::parse_text(text));
    assert_eq!(log.unknown, []);
    log
}

/// Functions on a stack that the unwinder is sure of.
fn functions(dump: &Dump) -> Vec<&str> {
    let sure = dump.frames.iter().filter(|frame| frame.reliable);
    sure.map(|frame| frame.function.as_str()).collect()
}

fn detectors(log: &Log) -> Vec<Option<Detector>> {
    log.reports.iter().map(|report| report.detector).collect()
}

const VIGIL: Option<Detector> = Some(Detector::Vigil);
const IN_TREE: Option<Detector> = Some(Detector::InTree);

#[test]
fn hung_tasks_of_both_detectors() {
    let log = parse(HUNG_TASKS);
    assert_eq!(
        detectors(&log),
        [VIGIL, VIGIL, VIGIL, VIGIL, IN_TREE, IN_TREE, IN_TREE]
    );
    let hung: Vec<_> = log.hung_tasks().collect();
    let names: Vec<_> = hung.iter().map(|(_, hung)| hung.task.to_string()).collect();
    assert_eq!(
        names,
        [
            "prov_mutex/0:124",
            "prov_rwsem_r/0:126",
            "prov_iowait/0:127",
            "prov_abba/1:129",
            "prov_mutex/0:124",
            "prov_rwsem_r/0:126",
            "prov_iowait/0:127",
        ]
    );
    for (report, hung) in &hung {
        assert_eq!(hung.seconds, 4);
        assert_eq!(
            hung.kernel.as_deref(),
            Some("Tainted: G           OE       7.3.4+deb13-cloud-amd64 #1 Debian 7.3.4-1~bpo13+1")
        );
        assert_eq!(hung.in_iowait, hung.task.comm == "prov_iowait/0");
        assert!(!hung.in_coredump);
        assert_eq!(report.lines[0].level, 3);
        // The clock of the log: it slept for the timeout before it was reported.
        assert_eq!(hung.last_ran.is_some(), report.is_vigil());
        if let Some(last_ran) = hung.last_ran {
            assert!((4.0..5.0).contains(&(report.time - last_ran)), "{report:?}");
        }
        let stack = report.stack_of(hung.task.pid).unwrap();
        assert_eq!(stack.state, Some('D'));
        assert_eq!(functions(stack)[0], "__schedule");
        assert_eq!(*functions(stack).last().unwrap(), "ret_from_fork_asm");
    }

    let (report, mutex) = hung[0];
    let blocker = mutex.blocker.as_ref().unwrap();
    assert_eq!((blocker.lock, blocker.waits_as), (Lock::Mutex, None));
    let owner = blocker.owner.as_ref().unwrap();
    assert_eq!(owner.to_string(), "prov_hold/50000:123");
    let stack = report.stack_of(owner.pid).unwrap();
    assert_eq!(stack.state, Some('S'));
    assert!(stack.is_in("mutex_holder"));
    assert_eq!(report.dumps.len(), 2);
    let frame = &stack.frames[0];
    assert_eq!((frame.offset, frame.size), (0x52a, 0x1080));
    let holder = stack.frames.iter().find(|f| f.function == "prov_hold");
    assert_eq!(holder.unwrap().module.as_deref(), Some("vigil_provoke"));

    let blocker = hung[1].1.blocker.as_ref().unwrap();
    assert_eq!(
        (blocker.lock, blocker.waits_as, blocker.held_as),
        (Lock::RwSem, Some(Access::Reader), Some(Access::Writer))
    );
    assert_eq!(hung[2].1.blocker, None);
    let blocker = hung[3].1.blocker.as_ref().unwrap();
    assert_eq!(blocker.lock, Lock::Semaphore);
    // Who has it is hung as well: its stack comes with its own report.
    assert_eq!(hung[3].0.dumps.len(), 1);
    // The in-tree detector says the same of the locks.
    for (ours, theirs) in [(0, 4), (1, 5), (2, 6)] {
        assert_eq!(hung[ours].1.blocker, hung[theirs].1.blocker);
    }
}

#[test]
fn lockups_of_both_detectors() {
    let log = parse(LOCKUPS);
    assert_eq!(
        detectors(&log),
        [VIGIL, IN_TREE, VIGIL, VIGIL, VIGIL, VIGIL, IN_TREE]
    );

    let soft: Vec<_> = log.soft_lockups().collect();
    let seconds: Vec<_> = soft.iter().map(|(_, lockup)| lockup.seconds).collect();
    assert_eq!(seconds, [4, 7, 4]);
    for (report, lockup) in &soft {
        assert_eq!(
            (lockup.cpu, lockup.task.comm.as_str()),
            (1, "prov_preempt/1")
        );
        assert_eq!((lockup.by_fifo_thread, lockup.steal_secs), (false, None));
        assert_eq!(lockup.interrupts, None);
        let stack = report.stack_of(lockup.task.pid).unwrap();
        assert_eq!(stack.cpu, Some(1));
        assert_eq!(stack.at.as_ref().unwrap().function, "lockup_pause");
        assert_eq!(functions(stack)[..2], ["lockup_spin", "prov_preempt_off"]);
    }
    let usage = soft[0].1.usage.as_ref().unwrap();
    assert_eq!((usage.sample_ms, usage.samples.len()), (800, 5));
    assert_eq!(usage.samples[0], [7, 0, 0, 88]);
    assert_eq!(usage.samples[4], [100, 0, 0, 0]);
    // This kernel does not count it.
    assert_eq!(soft[1].1.usage, None);

    let hard: Vec<_> = log.hard_lockups().collect();
    assert_eq!(hard.len(), 3);
    for (report, lockup) in &hard {
        assert_eq!((lockup.cpu, lockup.finder), (1, Some(0)));
        assert!((2.4..2.5).contains(&lockup.secs.unwrap()));
        assert_eq!(lockup.evidence, Some(Evidence::NmiAck));
        assert!(!lockup.is_over);
        assert_eq!(report.dumps.len(), 1);
        assert_eq!(report.dumps[0].cpu, Some(1));
        assert!(report.dumps[0].is_in("prov_irqs_off"));
    }
    let ends: Vec<_> = log.recoveries().map(|(_, cpu, secs)| (cpu, secs)).collect();
    assert_eq!(ends, [(1, 5.011), (1, 5.318), (1, 5.4)]);
    let said = |message| {
        log.notes
            .iter()
            .filter(|note| note.message == message)
            .count()
    };
    assert_eq!(said(Vigil::NoPanic), 1);
    assert_eq!(said(Vigil::PanicDelay { ms: 9000 }), 1);
    assert_eq!(said(Vigil::PanicCancelled), 1);
    assert!(hard[1].0.mentions("no panic"));

    let Some((Finding::RcuStall(stall), report)) =
        log.reports.last().map(|report| (&report.finding, report))
    else {
        panic!("{:?}", log.reports.last());
    };
    assert_eq!(stall.flavor, "rcu_preempt");
    assert!(stall.self_detected);
    assert_eq!(stall.cpus, [1]);
    assert!(report.dumps[0].is_in("prov_preempt_off"));
}

#[test]
fn a_panic_on_the_console() {
    let log = parse(PANIC);
    assert_eq!(detectors(&log), [VIGIL, IN_TREE, None]);
    let [hard, stall, panic] = &log.reports[..] else {
        panic!("{:?}", log.reports);
    };
    assert!(matches!(&hard.finding, Finding::HardLockup(lockup) if lockup.cpu == 1));
    let Finding::RcuStall(stall) = &stall.finding else {
        panic!("{stall:?}");
    };
    assert_eq!((stall.self_detected, &stall.cpus[..]), (false, &[1][..]));
    let Finding::Panic(reason) = &panic.finding else {
        panic!("{panic:?}");
    };
    assert_eq!(reason.message, "Hard LOCKUP");
    assert_eq!(panic.dumps.len(), 1);
    let dump = &panic.dumps[0];
    assert_eq!(dump.cpu, Some(0));
    assert!(dump.is_in("hrtimer_interrupt") && dump.is_in("default_idle"));
    // The stack of the interrupt has nothing above it.
    assert_eq!(dump.at, None);
}

#[test]
fn hard_lockups_without_an_nmi() {
    let log = parse(HARD_LOCKUPS_ARM64);
    assert_eq!(detectors(&log), [VIGIL, IN_TREE, IN_TREE, VIGIL]);
    let hard: Vec<_> = log.hard_lockups().collect();
    assert_eq!(hard[0].1.evidence, Some(Evidence::None));
    assert_eq!(hard[0].0.lines.len(), 3);
    for (report, lockup) in &hard[1..] {
        assert_eq!((lockup.cpu, lockup.finder), (1, Some(0)));
        assert_eq!((lockup.secs, lockup.evidence), (None, None));
        let at = report.dumps[0].at.as_ref().unwrap();
        assert_eq!(at.function, "prov_irqs_off");
        assert_eq!(
            functions(&report.dumps[0]),
            [
                "prov_irqs_off",
                "lockup_victim",
                "prov_victim_fn",
                "kthread",
                "ret_from_fork",
            ]
        );
    }
    let (_, soft) = log.soft_lockups().next().unwrap();
    assert_eq!((soft.cpu, soft.seconds), (1, 13));
}

#[test]
fn an_unresponsive_cpu() {
    let log = parse(UNRESPONSIVE_CPU);
    assert_eq!(detectors(&log), [VIGIL]);
    let (report, found) = log.unresponsive_cpus().next().unwrap();
    assert_eq!((found.cpu, found.secs), (1, 4));
    assert_eq!(report.lines.len(), 1);
    assert_eq!(report.lines[0].level, 0);
    assert_eq!(log.recoveries().count(), 1);
    assert_eq!(log.notes.len(), 2);
}

/// A kernel with CONFIG_PRINTK_CALLER has the same log with callers in it, and one with
/// printk.time=0 the same without time stamps. The bench has neither: they are made here.
#[test]
fn callers_and_missing_stamps_make_no_difference() {
    type Plain = Vec<(Finding, Option<Detector>, Vec<Dump>)>;
    fn plain(log: Log) -> Plain {
        let part = |report: Report| (report.finding, report.detector, report.dumps);
        log.reports.into_iter().map(part).collect()
    }
    for text in [LOCKUPS, PANIC, HARD_LOCKUPS_ARM64] {
        let expected = plain(parse(text));
        let with_caller = |sep: &str| {
            let lines = text.lines().map(|line| match line.split_once("] ") {
                Some((stamp, text)) => format!("{stamp}]{sep}[    C1] {text}\n"),
                None => panic!("no time stamp: {line}"),
            });
            lines.collect::<String>()
        };
        for text in [with_caller(""), with_caller(" ")] {
            let lines = LogLine::parse_text(&text);
            assert!(lines.iter().all(|line| line.caller == Some(Caller::Cpu(1))));
            assert_eq!(plain(Log::parse(&lines)), expected);
        }
        let without_stamps: String = text
            .lines()
            .filter_map(|line| Some(format!("{}\n", line.split_once("] ")?.1)))
            .collect();
        assert_eq!(plain(parse(&without_stamps)), expected);
    }
}

/// Two detectors that print at the same time, line by line.
/// The kernel puts a line of perf's into a report, wherever that is.
#[test]
fn unrelated_lines_make_no_difference() {
    let plain = LogLine::parse_text(HUNG_TASKS);
    let unrelated = "perf: interrupt took too long (3705 > 3503), lowering \
        kernel.perf_event_max_sample_rate to 53750";
    let mixed: Vec<_> = plain
        .iter()
        .flat_map(|line| {
            let stray = LogLine {
                text: unrelated.into(),
                ..line.clone()
            };
            [line.clone(), stray]
        })
        .collect();
    assert_eq!(Log::parse(&mixed).reports, Log::parse(&plain).reports);
}

#[test]
fn two_reports_at_the_same_time() {
    let report = |pid: u32| {
        [
            format!("INFO: task dd:{pid} blocked for more than 2 seconds."),
            "      Not tainted 7.3 #1".to_owned(),
        ]
    };
    let theirs = "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.";
    let ours = "\"echo 0 > /proc/sys/vigil/hung_task_timeout_secs\" disables this message.";
    for vigils in [7, 9] {
        let [head7, kernel7] = report(7);
        let [head9, kernel9] = report(9);
        let last_ran = format!("vigil: task dd:{vigils} last ran at [7.900000]");
        let text = [&head7, &head9, &kernel7, &kernel9, theirs, ours, &last_ran].join("\n");
        let log = parse(&text);
        for (report, hung) in log.hung_tasks() {
            assert_eq!(report.is_vigil(), hung.task.pid == vigils, "{log:#?}");
            assert!(report.detector.is_some());
            assert!(hung.kernel.is_some());
        }
    }
    // On the same task.
    let [head, kernel] = report(7);
    let last_ran = "vigil: task dd:7 last ran at [7.900000]";
    let text = [&head, &head, &kernel, &kernel, theirs, ours, last_ran].join("\n");
    let log = parse(&text);
    let vigils = log.reports.iter().filter(|report| report.is_vigil());
    assert_eq!((log.reports.len(), vigils.count()), (2, 1));
}
