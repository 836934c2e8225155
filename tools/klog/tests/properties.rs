// SPDX-License-Identifier: GPL-2.0
//! No log makes the parser fail, and a report that is printed is found again with all that
//! it says, in each form of the log.

use proptest::{prelude::*, test_runner::RngSeed};
use vigil_klog::{
    print, texts, Access, Blocker, Detector, Evidence, Finding, Lock, Log, LogLine, Message, Task,
    Vigil,
};
use vigil_logic::{
    blocker::{Line, LockKind, LockWords},
    fmt::{LogStamp, Secs},
    messages,
    task::{Comm, TaskId, TASK_COMM_LEN},
};

/// Pieces of real reports, to be strung together at random.
const PIECES: [&str; 28] = [
    "INFO: task ",
    "a:1",
    ":77",
    " blocked",
    " in I/O wait",
    " for more than ",
    "4 seconds.",
    " is blocked on a mutex likely owned by task ",
    "\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.",
    "watchdog: ",
    "BUG: soft lockup - CPU#",
    "99999999999999999999",
    " stuck for 4s! [",
    "]",
    "CPU0: Watchdog detected hard LOCKUP on cpu ",
    "vigil: CPU1 took its last timer interrupt ",
    "2.4 s ago ",
    "Kernel panic - not syncing: ",
    "rcu: INFO: rcu_preempt self-detected stall on CPU",
    "\n",
    "[    1.000000]",
    "[    C0] ",
    "6,1,2,-;",
    "<0>",
    " f+0x1/0x2 [m]",
    "Call Trace:",
    "task:a state:D pid:1 ",
    "\\x0",
];

/// Runs everything that reads a log.
fn read(bytes: &[u8]) {
    let _ = LogLine::parse_kmsg(bytes);
    let lines = LogLine::parse_text(&String::from_utf8_lossy(bytes));
    let log = Log::parse(&lines);
    let kernel = lines.iter().filter(|line| line.facility == 0).count();
    assert!(log.reports.len() <= kernel && log.unknown.len() <= kernel);
    for report in &log.reports {
        assert_eq!(report.lines[0].time, report.time);
    }
}

/// A name that does not look like the end of one: the line is not quoted.
fn comm() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,15}".prop_filter("the kernel does not quote names", |comm| {
            !comm.contains(':')
                && !comm.contains('<')
                && !comm.contains("task")
                && !comm.contains("blocked")
        }),
        "prov_[a-z]{1,5}/[0-9]",
        "kworker/[0-9]:[0-9]",
    ]
}

fn task() -> impl Strategy<Value = Task> {
    (comm(), 0..=4_194_304_u32).prop_map(|(comm, pid)| Task { comm, pid })
}

/// The same, as vigil has it.
fn task_id(task: &Task) -> TaskId {
    let mut comm = [0; TASK_COMM_LEN];
    for (to, from) in comm[..TASK_COMM_LEN - 1].iter_mut().zip(task.comm.bytes()) {
        *to = from;
    }
    TaskId {
        comm: Comm::new(comm),
        pid: task.pid as i32,
    }
}

/// A lock, and how the waiter and the owner have it.
fn lock() -> impl Strategy<Value = (LockKind, bool)> {
    prop_oneof![
        Just((LockKind::Mutex, false)),
        Just((LockKind::Semaphore, false)),
        Just((LockKind::RwSemReader, false)),
        Just((LockKind::RwSemWriter, false)),
        Just((LockKind::RwSemWriter, true)),
        Just((LockKind::RtMutex, false)),
        Just((LockKind::RtLock, false)),
    ]
}

/// Prints the line on a blocker as vigil does, and says what has to be found in it.
fn blocker(
    waiter: &Task,
    owner: Option<&Task>,
    (kind, readers): (LockKind, bool),
) -> (String, Blocker) {
    let line = Line {
        waiter: task_id(waiter),
        kind,
        // Owned by readers: bit 0 of the owner, and no writer in the count.
        words: LockWords {
            owner: usize::from(readers),
            count: usize::from(!readers),
        },
        owner: owner.map(task_id),
    };
    let rwsem = |waits_as| match owner {
        Some(_) if readers => (Some(waits_as), Some(Access::Reader)),
        Some(_) => (Some(waits_as), Some(Access::Writer)),
        None => (None, None),
    };
    let (lock, (waits_as, held_as)) = match kind {
        LockKind::Mutex => (Lock::Mutex, (None, None)),
        LockKind::Semaphore => (Lock::Semaphore, (None, None)),
        LockKind::RwSemReader => (Lock::RwSem, rwsem(Access::Reader)),
        LockKind::RwSemWriter => (Lock::RwSem, rwsem(Access::Writer)),
        LockKind::RtMutex => (Lock::RtMutex, (None, None)),
        LockKind::RtLock => (Lock::RtLock, (None, None)),
    };
    let blocker = Blocker {
        waiter: waiter.clone(),
        lock,
        waits_as,
        owner: owner.cloned(),
        held_as,
    };
    (line.to_string(), blocker)
}

/// A log of these lines in each of its forms: time stamp, level and caller in front; one of
/// them at random.
fn log_text(lines: &[String], form: u8) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let micros = 1_000_000 + number * 10;
        let stamp = format!("[{:5}.{:06}]", micros / 1_000_000, micros % 1_000_000);
        text += &match form % 5 {
            0 => format!("{stamp} {line}\n"),
            1 => format!("{stamp}[    C0] {line}\n"),
            2 => format!("<3>{stamp}[ T1234] {line}\n"),
            3 => format!("3,{number},{micros},-;{}\n", escaped(line)),
            _ => format!("3,{number},{micros},-,caller=T7;{}\n", escaped(line)),
        };
    }
    text
}

/// As /dev/kmsg prints it.
fn escaped(line: &str) -> String {
    line.bytes()
        .map(|byte| match byte {
            b'\\' | 0..=31 | 127.. => format!("\\x{byte:02x}"),
            byte => char::from(byte).to_string(),
        })
        .collect()
}

/// Lines that are of no report.
fn noise() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        prop_oneof![
            Just(" ? a_function+0x1/0x2".to_owned()),
            Just("Modules linked in: x(OE)".to_owned()),
            Just("NET: Registered PF_VSOCK".to_owned()),
            "usb [a-z]{0,20}",
        ],
        0..3,
    )
}

/// A report's first line, and what is found in it.
#[derive(Clone, Debug)]
enum Printed {
    Hung(Detector, Task, bool, u64, Option<Task>, (LockKind, bool)),
    Soft(Detector, u32, u64, Task),
    Hard(Detector, u32, u32, u64),
    Unresponsive(u32, u64),
    Panic(String),
}

fn printed() -> impl Strategy<Value = Printed> {
    let detector = || prop_oneof![Just(Detector::Vigil), Just(Detector::InTree)];
    prop_oneof![
        (
            detector(),
            task(),
            any::<bool>(),
            1..1_000_000_u64,
            prop::option::of(task()),
            lock()
        )
            .prop_map(|(by, task, io, secs, owner, lock)| Printed::Hung(
                by, task, io, secs, owner, lock
            )),
        (detector(), 0..8192_u32, 1..1_000_000_u64, task())
            .prop_map(|(by, cpu, secs, task)| Printed::Soft(by, cpu, secs, task)),
        (
            detector(),
            0..8192_u32,
            0..8192_u32,
            0..100_000_000_000_000_u64
        )
            .prop_map(|(by, cpu, finder, ns)| Printed::Hard(by, cpu, finder, ns)),
        (0..8192_u32, 1..1_000_000_u64).prop_map(|(cpu, secs)| Printed::Unresponsive(cpu, secs)),
        "[ -~]{1,40}".prop_map(Printed::Panic),
    ]
}

impl Printed {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Hung(by, task, io, seconds, owner, lock) => {
                let (line, _) = blocker(task, owner.as_ref(), *lock);
                let mut lines = vec![
                    print(
                        texts::HUNG_TASK,
                        &[
                            ("comm", &task.comm),
                            ("pid", &task.pid.to_string()),
                            ("in_iowait", if *io { " in I/O wait" } else { "" }),
                            ("seconds", &seconds.to_string()),
                        ],
                    ),
                    print(
                        texts::HUNG_TASK_KERNEL,
                        &[("kernel", "Not tainted 7.3.4 #1 x")],
                    ),
                ];
                match by {
                    Detector::InTree => lines.push(texts::HUNG_TASK_DISABLE.to_owned()),
                    Detector::Vigil => {
                        lines.push(texts::HUNG_TASK_DISABLE_VIGIL.to_owned());
                        let last_ran = messages::TaskLastRan {
                            task: task_id(task),
                            time: LogStamp(1_500_000_000),
                        };
                        lines.push(last_ran.to_string());
                    }
                }
                lines.push(format!(
                    "task:{:15} state:D stack:0     pid:{:<5} tgid:1",
                    task.comm, task.pid
                ));
                lines.push("Call Trace:".to_owned());
                lines.push(" __schedule+0x52a/0x1080".to_owned());
                lines.push(" </TASK>".to_owned());
                lines.push(line);
                lines
            }
            Self::Soft(by, cpu, seconds, task) => {
                let usage = match by {
                    Detector::Vigil => texts::USAGE_VIGIL,
                    Detector::InTree => texts::USAGE,
                };
                let cpu = &cpu.to_string();
                vec![
                    print(
                        texts::SOFT_LOCKUP,
                        &[
                            ("cpu", cpu),
                            ("seconds", &seconds.to_string()),
                            ("comm", &task.comm),
                            ("pid", &task.pid.to_string()),
                        ],
                    ),
                    print(usage, &[("cpu", cpu), ("ms", "400")]),
                    "\t#1:   7% system,\t 80% softirq,\t  3% hardirq,\t100% idle".to_owned(),
                ]
            }
            Self::Hard(by, cpu, finder, ns) => {
                let mut lines = vec![print(
                    texts::HARD_LOCKUP,
                    &[("cpu", &cpu.to_string()), ("finder", &finder.to_string())],
                )];
                if *by == Detector::Vigil {
                    let evidence = messages::HardLockupEvidence {
                        cpu: *cpu,
                        secs: Secs(*ns),
                        evidence: messages::EVIDENCE_NMI_ACK,
                    };
                    lines.push(evidence.to_string());
                }
                lines.push("Modules linked in: x".to_owned());
                lines
            }
            Self::Unresponsive(cpu, secs) => {
                let (cpu, secs) = (*cpu, *secs);
                vec![messages::UnresponsiveCpu { cpu, secs }.to_string()]
            }
            Self::Panic(message) => vec![print(texts::PANIC, &[("message", message)])],
        }
    }

    /// Whether the report is this one.
    fn check(&self, report: &vigil_klog::Report) -> Result<(), TestCaseError> {
        match (self, &report.finding) {
            (Self::Hung(by, task, io, seconds, owner, lock), Finding::HungTask(hung)) => {
                let (_, blocker) = blocker(task, owner.as_ref(), *lock);
                prop_assert_eq!(report.detector, Some(*by));
                prop_assert_eq!(&hung.task, task);
                prop_assert_eq!((hung.in_iowait, hung.seconds), (*io, *seconds));
                prop_assert_eq!(hung.kernel.as_deref(), Some("Not tainted 7.3.4 #1 x"));
                prop_assert_eq!(hung.last_ran, (*by == Detector::Vigil).then_some(1.5));
                prop_assert_eq!(hung.blocker.as_ref(), Some(&blocker));
                let stack = report.stack_of(task.pid).expect("a stack");
                prop_assert_eq!(stack.state, Some('D'));
                prop_assert!(stack.is_in("__schedule"));
            }
            (Self::Soft(by, cpu, seconds, task), Finding::SoftLockup(lockup)) => {
                prop_assert_eq!(report.detector, Some(*by));
                prop_assert_eq!((lockup.cpu, lockup.seconds), (*cpu, *seconds));
                prop_assert_eq!(&lockup.task, task);
                let usage = lockup.usage.as_ref().expect("usage");
                prop_assert_eq!(usage.sample_ms, 400);
                prop_assert_eq!(&usage.samples, &[[7, 80, 3, 100]]);
            }
            (Self::Hard(by, cpu, finder, ns), Finding::HardLockup(lockup)) => {
                prop_assert_eq!(report.detector, Some(*by));
                prop_assert_eq!((lockup.cpu, lockup.finder), (*cpu, Some(*finder)));
                let secs = (*ns / 1_000_000) as f64 / 1000.0;
                prop_assert_eq!(lockup.secs, (*by == Detector::Vigil).then_some(secs));
                prop_assert_eq!(
                    lockup.evidence,
                    (*by == Detector::Vigil).then_some(Evidence::NmiAck)
                );
            }
            (Self::Unresponsive(cpu, secs), Finding::UnresponsiveCpu(found)) => {
                prop_assert_eq!((found.cpu, found.secs), (*cpu, *secs));
                prop_assert_eq!(report.detector, Some(Detector::Vigil));
            }
            (Self::Panic(message), Finding::Panic(panic)) => {
                prop_assert_eq!(&panic.message, message);
            }
            _ => prop_assert!(false, "{report:?}"),
        }
        Ok(())
    }
}

/// As for vigil-logic: the same cases each time, unless `PROPTEST_RNG_SEED` says others, and
/// nothing is written next to the tests.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        rng_seed: match usual.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            given => given,
        },
        failure_persistence: None,
        ..usual
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        read(&bytes);
    }

    #[test]
    fn pieces_of_reports_are_read(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)
    ) {
        read(pieces.concat().as_bytes());
    }

    #[test]
    fn what_is_printed_is_found(
        reports in prop::collection::vec((printed(), noise()), 0..8),
        before in noise(),
        form in any::<u8>(),
    ) {
        let mut lines = before;
        for (report, noise) in &reports {
            lines.extend(report.lines());
            lines.extend(noise.iter().cloned());
        }
        let log = Log::parse(&LogLine::parse_text(&log_text(&lines, form)));
        prop_assert_eq!(log.reports.len(), reports.len(), "{:#?}", log);
        for ((printed, _), found) in reports.iter().zip(&log.reports) {
            printed.check(found)?;
        }
        prop_assert!(log.unknown.is_empty(), "{:?}", log.unknown);
    }

    /// The first line of a report that was cut off is unknown. One that ends with a value is
    /// not seen to be cut off.
    #[test]
    fn a_line_that_is_cut_off_is_unknown(
        report in printed().prop_filter(
            "ends with a value",
            |report| !matches!(report, Printed::Panic(_) | Printed::Hard(..)),
        ),
        cut in 1..8_usize,
    ) {
        let mut line = report.lines().swap_remove(0);
        line.truncate(line.len() - cut);
        let line = LogLine { text: line, ..LogLine::default() };
        let log = Log::parse(std::slice::from_ref(&line));
        prop_assert!(log.reports.is_empty(), "{:?}", log.reports);
        prop_assert_eq!(log.unknown, [line]);
    }

    #[test]
    fn each_line_of_vigils_is_found(
        cpu in 0..8192_u32,
        ns in 0..100_000_000_000_000_u64,
        (count, rate) in (any::<u64>(), any::<u64>()),
        source in "[ -~]{1,20}",
        task in task(),
    ) {
        let secs = (ns / 1_000_000) as f64 / 1000.0;
        let evidence = [
            (messages::EVIDENCE_NMI_ACK, Evidence::NmiAck),
            (messages::EVIDENCE_PERF_NMI, Evidence::PerfNmi),
            (messages::EVIDENCE_BACKTRACE, Evidence::Backtrace),
            (messages::EVIDENCE_NONE, Evidence::None),
        ];
        let mut all = vec![
            (messages::NO_PANIC.to_owned(), Vigil::NoPanic),
            (messages::PANIC_CANCELLED.to_owned(), Vigil::PanicCancelled),
            (messages::HUNG_TASKS_NOT_JUDGED.to_owned(), Vigil::HungTasksNotJudged),
            (messages::SYS_INFO_SKIPPED_IN_NMI.to_owned(), Vigil::SysInfoSkippedInNmi),
            (messages::NO_NMI_BACKTRACE.to_owned(), Vigil::NoNmiBacktrace),
            (messages::SAMPLED_BY_FIFO_THREAD.to_owned(), Vigil::SampledByFifoThread),
            (messages::NO_SYS_INFO.to_owned(), Vigil::NoSysInfo),
            (messages::PanicDelay { ms: count }.to_string(), Vigil::PanicDelay { ms: count }),
            (
                messages::SysInfoSkipped { knob: "softlockup_sys_info" }.to_string(),
                Vigil::SysInfoSkipped { knob: "softlockup_sys_info".to_owned() },
            ),
            (
                messages::HardLockupOver { cpu, secs: Secs(ns) }.to_string(),
                Vigil::HardLockupOver { cpu, secs },
            ),
            (
                messages::HardLockupStack { cpu, task: task_id(&task) }.to_string(),
                Vigil::HardLockupStack { cpu, task: task.clone() },
            ),
            (
                messages::UnresponsiveCpu { cpu, secs: rate }.to_string(),
                Vigil::UnresponsiveCpu { cpu, secs: rate },
            ),
            (
                messages::CpuRecovered { cpu, secs: Secs(ns) }.to_string(),
                Vigil::CpuRecovered { cpu, secs },
            ),
            (messages::StealTime { secs: Secs(ns) }.to_string(), Vigil::StealTime { secs }),
            (
                messages::BusyInterrupts { cpu, total: count, secs: Secs(ns), rate }.to_string(),
                Vigil::BusyInterrupts { cpu, total: count, secs, rate },
            ),
            (
                messages::BusyInterrupt { count, source: &source, rate }.to_string(),
                Vigil::BusyInterrupt { count, source: source.clone(), rate },
            ),
            (
                messages::TaskLastRan { task: task_id(&task), time: LogStamp(ns) }.to_string(),
                Vigil::TaskLastRan { task: task.clone(), time: (ns / 1000) as f64 / 1e6 },
            ),
            (
                messages::TaskCgroup { task: task_id(&task), path: &source }.to_string(),
                Vigil::TaskCgroup { task: task.clone(), path: source.clone() },
            ),
            (
                messages::TaskNsPid { task: task_id(&task), pid: cpu as i32 }.to_string(),
                Vigil::TaskNsPid { task: task.clone(), pid: cpu },
            ),
            (
                messages::TaskNsPidAndCgroup {
                    task: task_id(&task),
                    pid: cpu as i32,
                    path: &source,
                }
                .to_string(),
                Vigil::TaskNsPidAndCgroup { task, pid: cpu, path: source.clone() },
            ),
        ];
        all.extend(evidence.map(|(text, evidence)| {
            let line = messages::HardLockupEvidence { cpu, secs: Secs(ns), evidence: text };
            (line.to_string(), Vigil::HardLockupEvidence { cpu, secs, evidence })
        }));
        for (line, expected) in all {
            prop_assert_eq!(Message::parse(&line), Some(Message::Vigil(expected)), "{}", line);
        }
    }
}
