// SPDX-License-Identifier: GPL-2.0
//! What one line says.

use crate::{
    template::{Template, Values},
    texts::{self, vigil},
};
use std::{fmt, sync::LazyLock};

/// What made a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    /// vigil.
    Vigil,
    /// The kernel's own detector.
    InTree,
}

/// A task, as reports name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name. Mainline prints the bytes as they are, vigil with `\xNN` in place of
    /// what is not printable.
    pub comm: String,
    /// Its PID.
    pub pid: u32,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.comm, self.pid)
    }
}

/// The kind of lock that a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// A mutex.
    Mutex,
    /// A semaphore.
    Semaphore,
    /// A read-write semaphore.
    RwSem,
    /// A real-time mutex.
    RtMutex,
    /// A spinlock or a rwlock of a kernel with `PREEMPT_RT`.
    RtLock,
}

/// How a task waits for a read-write semaphore, or has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a reader.
    Reader,
    /// As a writer.
    Writer,
}

/// What a hung task waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The task that waits.
    pub waiter: Task,
    /// The kind of lock.
    pub lock: Lock,
    /// For an rw-semaphore with an owner: how the task waits.
    pub waits_as: Option<Access>,
    /// The likely owner, or the last holder of a semaphore. `None`: not found.
    pub owner: Option<Task>,
    /// For an rw-semaphore with an owner: how that has it.
    pub held_as: Option<Access>,
}

/// What shows that a CPU without timer interrupts runs with interrupts off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It ran the NMI handler that was sent to it.
    NmiAck,
    /// The same, and interrupts were on.
    NmiAckIrqsOn,
    /// The same, and it was idle.
    NmiAckIdle,
    /// The NMI of its own perf cycle counter found it.
    PerfNmi,
    /// A backtrace was asked for by NMI. If one follows, that is the evidence.
    Backtrace,
    /// No answer to an NMI, and no hypervisor.
    NoAnswer,
    /// Nothing: no NMI can be sent.
    None,
}

/// A line of vigil's own. Each stands for the text of that name in
/// `vigil_logic::messages`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "vigil_logic::messages documents them")]
pub enum Vigil {
    NoPanic,
    NoPanicTouches,
    TouchesNotCounted,
    NoTimerInterrupts {
        cpu: u32,
        secs: f64,
    },
    PanicCancelled,
    PanicDelay {
        ms: u64,
    },
    SysInfoSkipped {
        knob: String,
    },
    SysInfoSkippedInNmi,
    NoSysInfo,
    NoNmiBacktrace,
    BacktracesLeftOut,
    NoBacktrace {
        cpu: u32,
    },
    SampledByFifoThread,
    HardLockupEvidence {
        cpu: u32,
        secs: f64,
        evidence: Evidence,
    },
    HardLockupOver {
        cpu: u32,
        secs: f64,
    },
    HardLockupStack {
        cpu: u32,
        task: Task,
    },
    StuckIn {
        cpu: u32,
        context: String,
        place: String,
    },
    CpuSpins {
        cpu: u32,
        lock: String,
        place: String,
    },
    SameLockAndPlace {
        cpu: u32,
        other: u32,
    },
    CpuStopsMachine {
        cpu: u32,
    },
    CpuWaitsForCall {
        cpu: u32,
        target: u32,
        function: String,
        does: String,
    },
    CpuMayWaitForCall {
        cpu: u32,
        target: u32,
        function: String,
        does: String,
    },
    CpuWaitsForMore {
        cpu: u32,
        count: u32,
    },
    CpuWaitsForOwner {
        cpu: u32,
        target: u32,
        does: String,
    },
    CpuMayWaitFor {
        cpu: u32,
        target: u32,
        does: String,
    },
    CpuWaitsInTheEnd {
        cpu: u32,
        target: u32,
    },
    CpuHasToRun {
        cpu: u32,
        function: String,
        sender: u32,
    },
    CpuHasToRunMore {
        cpu: u32,
        count: u32,
    },
    UnresponsiveCpu {
        cpu: u32,
        secs: u64,
    },
    CpuRecovered {
        cpu: u32,
        secs: f64,
    },
    StealTime {
        secs: f64,
    },
    BusyInterrupts {
        cpu: u32,
        total: u64,
        secs: f64,
        rate: u64,
    },
    BusyInterrupt {
        count: u64,
        source: String,
        rate: u64,
    },
    TaskLastRan {
        task: Task,
        time: f64,
    },
    TaskWaits {
        task: Task,
        kind: String,
        primitive: String,
        caller: String,
    },
    TaskWaitsForTask {
        task: Task,
        waits: String,
    },
    TaskWaitsIn {
        task: Task,
        caller: String,
    },
    BlockDevice {
        name: String,
        major: u32,
        minor: u32,
        requests: u32,
        than: u64,
        secs: f64,
    },
    BlockDevicesLeft {
        count: u32,
    },
    NoBlockDevice {
        than: u64,
    },
    TaskCgroup {
        task: Task,
        path: String,
    },
    TaskNsPid {
        task: Task,
        pid: u32,
    },
    TaskNsPidAndCgroup {
        task: Task,
        pid: u32,
        path: String,
    },
    Deadlock {
        tasks: u32,
        task: Task,
        owner: Task,
    },
    LikelyDeadlock {
        tasks: u32,
        task: Task,
        owner: Task,
    },
    DeadlockGoesOn {
        task: Task,
        owner: Task,
    },
    TaskDeadlock {
        tasks: u32,
        task: Task,
        has: String,
        waits: String,
    },
    LikelyTaskDeadlock {
        tasks: u32,
        task: Task,
        has: String,
        waits: String,
    },
    TaskDeadlockGoesOn {
        task: Task,
        has: String,
        waits: String,
    },
    RootTask {
        behind: u32,
        task: Task,
        oldest: Task,
        secs: f64,
        depth: u32,
    },
    RootIgnored {
        behind: u32,
        task: Task,
        oldest: Task,
        secs: f64,
        depth: u32,
    },
    RootLock {
        behind: u32,
        lock: String,
        oldest: Task,
        secs: f64,
        depth: u32,
    },
    RootStack {
        tasks: u32,
        behind: u32,
        oldest: Task,
        secs: f64,
        depth: u32,
    },
    RootDeadlock {
        behind: u32,
        oldest: Task,
        secs: f64,
        depth: u32,
    },
    CauseMember {
        task: Task,
        secs: f64,
    },
    CauseMembersLeft {
        count: u32,
    },
    HungTaskRecovered {
        task: Task,
        secs: f64,
    },
    HungTasksRecovered {
        task: Task,
        others: u32,
        secs: f64,
    },
    MoreCausesEnded {
        count: u64,
    },
    CausesLeftOut {
        count: u64,
    },
    HungTasksLeftOut {
        count: u64,
    },
    /// After an oops: nothing says any more how hung tasks end.
    HungTasksNotJudged,
    /// Another line, without the prefix `vigil: `.
    Other(String),
}

/// What one line says, of a report or of vigil's.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// First line on a hung task.
    HungTask {
        /// The task.
        task: Task,
        /// It waits for I/O.
        in_iowait: bool,
        /// For how long it has been blocked, in whole seconds.
        seconds: u64,
    },
    /// Taint, release and version of the kernel, from the report of a hung task.
    Kernel(String),
    /// The hung task is writing a core dump.
    Coredump,
    /// How to switch off the detector that found a hung task.
    Disable(Detector),
    /// What a hung task waits for.
    Blocker(Blocker),
    /// First line on a soft lockup.
    SoftLockup {
        /// The stuck CPU.
        cpu: u32,
        /// For how long, in whole seconds.
        seconds: u64,
        /// The task that runs there.
        task: Task,
    },
    /// Head of the usage of a stuck CPU.
    Usage {
        /// The stuck CPU.
        cpu: u32,
        /// Length of a sample, in milliseconds.
        ms: u64,
        /// The detector whose wording it is.
        detector: Detector,
    },
    /// First line on a hard lockup.
    HardLockup {
        /// The stuck CPU.
        cpu: u32,
        /// The CPU that found it, if the kernel says so.
        finder: Option<u32>,
    },
    /// First line on an RCU stall.
    RcuStall {
        /// The flavor of RCU: `rcu_preempt`.
        flavor: String,
        /// The stalled CPU found it.
        self_detected: bool,
    },
    /// First line of a panic.
    Panic {
        /// The reason.
        message: String,
    },
    /// Last line of a panic.
    PanicEnd {
        /// The reason.
        message: String,
    },
    /// A line that belongs to no report, wherever it stands.
    Unrelated,
    /// A line of vigil's own.
    Vigil(Vigil),
}

/// Makes a message of the values in a line; `None` if one cannot be.
type Read = fn(&Values<'_>) -> Option<Message>;

/// Mainline's texts, and what they say. The first that fits counts.
const MAINLINE: &[(&str, Read)] = &[
    (texts::HUNG_TASK, |v| {
        Some(Message::HungTask {
            task: task(v)?,
            in_iowait: !v.text("in_iowait")?.is_empty(),
            seconds: v.number("seconds")?,
        })
    }),
    (texts::HUNG_TASK_COREDUMP, |_| Some(Message::Coredump)),
    (texts::HUNG_TASK_KERNEL, |v| {
        let kernel = v.text("kernel")?;
        let starts = ["Tainted: ", "Not tainted ", texts::TAINT_UNKNOWN];
        let fits = starts.iter().any(|start| kernel.starts_with(start));
        fits.then(|| Message::Kernel(kernel.to_owned()))
    }),
    (texts::HUNG_TASK_DISABLE, |_| {
        Some(Message::Disable(Detector::InTree))
    }),
    (texts::HUNG_TASK_DISABLE_VIGIL, |_| {
        Some(Message::Disable(Detector::Vigil))
    }),
    (texts::MUTEX_OWNER, |v| blocker(v, Lock::Mutex)),
    (texts::MUTEX_NO_OWNER, |v| blocker(v, Lock::Mutex)),
    (texts::SEMAPHORE_HOLDER, |v| blocker(v, Lock::Semaphore)),
    (texts::SEMAPHORE_NO_HOLDER, |v| blocker(v, Lock::Semaphore)),
    (texts::RWSEM_OWNER, |v| blocker(v, Lock::RwSem)),
    (texts::RWSEM_NO_OWNER, |v| blocker(v, Lock::RwSem)),
    (texts::RT_MUTEX_OWNER, |v| blocker(v, Lock::RtMutex)),
    (texts::RT_MUTEX_NO_OWNER, |v| blocker(v, Lock::RtMutex)),
    (texts::RTLOCK_OWNER, |v| blocker(v, Lock::RtLock)),
    (texts::RTLOCK_NO_OWNER, |v| blocker(v, Lock::RtLock)),
    (texts::SOFT_LOCKUP, soft_lockup),
    (texts::SOFT_LOCKUP_NMI_WATCHDOG, soft_lockup),
    (texts::USAGE_VIGIL, |v| usage(v, Detector::Vigil)),
    (texts::USAGE, |v| usage(v, Detector::InTree)),
    (texts::HARD_LOCKUP, |v| {
        Some(Message::HardLockup {
            cpu: v.number("cpu")?,
            finder: Some(v.number("finder")?),
        })
    }),
    (texts::HARD_LOCKUP_NO_FINDER, hard_lockup),
    (texts::HARD_LOCKUP_NMI_WATCHDOG, hard_lockup),
    (texts::RCU_STALL, |v| rcu_stall(v, false)),
    (texts::RCU_STALL_SELF, |v| rcu_stall(v, true)),
    (texts::RCU_STALL_EXPEDITED, |v| rcu_stall(v, false)),
    (texts::PERF_TOO_LONG, |_| Some(Message::Unrelated)),
    (texts::PANIC, |v| {
        Some(Message::Panic {
            message: v.text("message")?.to_owned(),
        })
    }),
    (texts::PANIC_END, |v| {
        Some(Message::PanicEnd {
            message: v.text("message")?.to_owned(),
        })
    }),
];

/// Makes a line of vigil's of the values in it.
type ReadVigil = fn(&Values<'_>) -> Option<Vigil>;

/// The same of vigil's own.
const VIGIL: &[(&str, ReadVigil)] = &[
    (vigil::NO_PANIC, |_| Some(Vigil::NoPanic)),
    (vigil::PANIC_CANCELLED, |_| Some(Vigil::PanicCancelled)),
    (vigil::HUNG_TASKS_NOT_JUDGED, |_| {
        Some(Vigil::HungTasksNotJudged)
    }),
    (vigil::PanicDelay::TEXT, |v| {
        Some(Vigil::PanicDelay {
            ms: v.number("ms")?,
        })
    }),
    (vigil::SYS_INFO_SKIPPED_IN_NMI, |_| {
        Some(Vigil::SysInfoSkippedInNmi)
    }),
    (vigil::NO_SYS_INFO, |_| Some(Vigil::NoSysInfo)),
    (vigil::SysInfoSkipped::<&str>::TEXT, |v| {
        Some(Vigil::SysInfoSkipped {
            knob: v.text("knob")?.to_owned(),
        })
    }),
    (vigil::NO_NMI_BACKTRACE, |_| Some(Vigil::NoNmiBacktrace)),
    (vigil::BACKTRACES_LEFT_OUT, |_| {
        Some(Vigil::BacktracesLeftOut)
    }),
    (vigil::NoBacktrace::TEXT, |v| {
        Some(Vigil::NoBacktrace {
            cpu: v.number("cpu")?,
        })
    }),
    (vigil::NoTimerInterrupts::TEXT, |v| {
        Some(Vigil::NoTimerInterrupts {
            cpu: v.number("cpu")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::TOUCHES_NOT_COUNTED, |_| {
        Some(Vigil::TouchesNotCounted)
    }),
    (vigil::NO_PANIC_TOUCHES, |_| Some(Vigil::NoPanicTouches)),
    (vigil::SAMPLED_BY_FIFO_THREAD, |_| {
        Some(Vigil::SampledByFifoThread)
    }),
    (vigil::HardLockupEvidence::TEXT, |v| {
        let evidence = match v.text("evidence")? {
            vigil::EVIDENCE_NMI_ACK => Evidence::NmiAck,
            vigil::EVIDENCE_NMI_ACK_IRQS_ON => Evidence::NmiAckIrqsOn,
            vigil::EVIDENCE_NMI_ACK_IDLE => Evidence::NmiAckIdle,
            vigil::EVIDENCE_PERF_NMI => Evidence::PerfNmi,
            vigil::EVIDENCE_BACKTRACE => Evidence::Backtrace,
            vigil::EVIDENCE_NO_ANSWER => Evidence::NoAnswer,
            vigil::EVIDENCE_NONE => Evidence::None,
            _ => return None,
        };
        Some(Vigil::HardLockupEvidence {
            cpu: v.number("cpu")?,
            secs: v.number("secs")?,
            evidence,
        })
    }),
    (vigil::HardLockupOver::TEXT, |v| {
        Some(Vigil::HardLockupOver {
            cpu: v.number("cpu")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::HardLockupStack::TEXT, |v| {
        Some(Vigil::HardLockupStack {
            cpu: v.number("cpu")?,
            task: vigil_task(v, "task")?,
        })
    }),
    (vigil::StuckIn::<&str>::TEXT, |v| {
        Some(Vigil::StuckIn {
            cpu: v.number("cpu")?,
            context: v.text("context")?.to_owned(),
            place: v.text("place")?.to_owned(),
        })
    }),
    (vigil::CpuSpins::<&str, &str>::TEXT, |v| {
        Some(Vigil::CpuSpins {
            cpu: v.number("cpu")?,
            lock: v.text("lock")?.to_owned(),
            place: v.text("place")?.to_owned(),
        })
    }),
    (vigil::SameLockAndPlace::TEXT, |v| {
        Some(Vigil::SameLockAndPlace {
            cpu: v.number("cpu")?,
            other: v.number("other")?,
        })
    }),
    (vigil::CpuStopsMachine::TEXT, |v| {
        Some(Vigil::CpuStopsMachine {
            cpu: v.number("cpu")?,
        })
    }),
    (vigil::CpuWaitsForCall::<&str, &str>::TEXT, |v| {
        Some(Vigil::CpuWaitsForCall {
            cpu: v.number("cpu")?,
            target: v.number("target")?,
            function: v.text("function")?.to_owned(),
            does: v.text("does")?.to_owned(),
        })
    }),
    (vigil::CpuMayWaitForCall::<&str, &str>::TEXT, |v| {
        Some(Vigil::CpuMayWaitForCall {
            cpu: v.number("cpu")?,
            target: v.number("target")?,
            function: v.text("function")?.to_owned(),
            does: v.text("does")?.to_owned(),
        })
    }),
    (vigil::CpuWaitsForMore::TEXT, |v| {
        Some(Vigil::CpuWaitsForMore {
            cpu: v.number("cpu")?,
            count: v.number("count")?,
        })
    }),
    (vigil::CpuWaitsForOwner::<&str>::TEXT, |v| {
        Some(Vigil::CpuWaitsForOwner {
            cpu: v.number("cpu")?,
            target: v.number("target")?,
            does: v.text("does")?.to_owned(),
        })
    }),
    (vigil::CpuMayWaitFor::<&str>::TEXT, |v| {
        Some(Vigil::CpuMayWaitFor {
            cpu: v.number("cpu")?,
            target: v.number("target")?,
            does: v.text("does")?.to_owned(),
        })
    }),
    (vigil::CpuWaitsInTheEnd::TEXT, |v| {
        Some(Vigil::CpuWaitsInTheEnd {
            cpu: v.number("cpu")?,
            target: v.number("target")?,
        })
    }),
    (vigil::CpuHasToRun::<&str>::TEXT, |v| {
        Some(Vigil::CpuHasToRun {
            cpu: v.number("cpu")?,
            function: v.text("function")?.to_owned(),
            sender: v.number("sender")?,
        })
    }),
    (vigil::CpuHasToRunMore::TEXT, |v| {
        Some(Vigil::CpuHasToRunMore {
            cpu: v.number("cpu")?,
            count: v.number("count")?,
        })
    }),
    (vigil::UnresponsiveCpu::TEXT, |v| {
        Some(Vigil::UnresponsiveCpu {
            cpu: v.number("cpu")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::CpuRecovered::TEXT, |v| {
        Some(Vigil::CpuRecovered {
            cpu: v.number("cpu")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::StealTime::TEXT, |v| {
        Some(Vigil::StealTime {
            secs: v.number("secs")?,
        })
    }),
    (vigil::BusyInterrupts::TEXT, |v| {
        Some(Vigil::BusyInterrupts {
            cpu: v.number("cpu")?,
            total: v.number("total")?,
            secs: v.number("secs")?,
            rate: v.number("rate")?,
        })
    }),
    (vigil::BusyInterrupt::<&str>::TEXT, |v| {
        Some(Vigil::BusyInterrupt {
            count: v.number("count")?,
            source: v.text("source")?.to_owned(),
            rate: v.number("rate")?,
        })
    }),
    (vigil::TaskLastRan::TEXT, |v| {
        Some(Vigil::TaskLastRan {
            task: vigil_task(v, "task")?,
            time: v.number("time")?,
        })
    }),
    (vigil::TaskWaits::<&str>::TEXT, |v| {
        Some(Vigil::TaskWaits {
            task: vigil_task(v, "task")?,
            kind: v.text("kind")?.to_owned(),
            primitive: v.text("primitive")?.to_owned(),
            caller: v.text("caller")?.to_owned(),
        })
    }),
    (vigil::TaskWaitsIn::<&str>::TEXT, |v| {
        Some(Vigil::TaskWaitsIn {
            task: vigil_task(v, "task")?,
            caller: v.text("caller")?.to_owned(),
        })
    }),
    // After the one that says more.
    (vigil::TaskWaitsForTask::<&str>::TEXT, |v| {
        Some(Vigil::TaskWaitsForTask {
            task: vigil_task(v, "task")?,
            waits: v.text("waits")?.to_owned(),
        })
    }),
    (vigil::BlockDevice::<&str>::TEXT, |v| {
        Some(Vigil::BlockDevice {
            name: v.text("name")?.to_owned(),
            major: v.number("major")?,
            minor: v.number("minor")?,
            requests: v.number("requests")?,
            than: v.number("than")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::BlockDevicesLeft::TEXT, |v| {
        Some(Vigil::BlockDevicesLeft {
            count: v.number("count")?,
        })
    }),
    (vigil::NoBlockDevice::TEXT, |v| {
        Some(Vigil::NoBlockDevice {
            than: v.number("than")?,
        })
    }),
    (vigil::TaskCgroup::<&str>::TEXT, |v| {
        Some(Vigil::TaskCgroup {
            task: vigil_task(v, "task")?,
            path: v.text("path")?.to_owned(),
        })
    }),
    (vigil::TaskNsPidAndCgroup::<&str>::TEXT, |v| {
        Some(Vigil::TaskNsPidAndCgroup {
            task: vigil_task(v, "task")?,
            pid: v.number("pid")?,
            path: v.text("path")?.to_owned(),
        })
    }),
    (vigil::TaskNsPid::TEXT, |v| {
        Some(Vigil::TaskNsPid {
            task: vigil_task(v, "task")?,
            pid: v.number("pid")?,
        })
    }),
    (vigil::Deadlock::<&str>::TEXT, |v| {
        Some(Vigil::Deadlock {
            tasks: v.number("tasks")?,
            task: vigil_task(v, "task")?,
            owner: vigil_task(v, "owner")?,
        })
    }),
    (vigil::LikelyDeadlock::<&str>::TEXT, |v| {
        Some(Vigil::LikelyDeadlock {
            tasks: v.number("tasks")?,
            task: vigil_task(v, "task")?,
            owner: vigil_task(v, "owner")?,
        })
    }),
    (vigil::DeadlockGoesOn::<&str>::TEXT, |v| {
        Some(Vigil::DeadlockGoesOn {
            task: vigil_task(v, "task")?,
            owner: vigil_task(v, "owner")?,
        })
    }),
    (vigil::TaskDeadlock::<&str, &str>::TEXT, |v| {
        Some(Vigil::TaskDeadlock {
            tasks: v.number("tasks")?,
            task: vigil_task(v, "task")?,
            has: v.text("has")?.to_owned(),
            waits: v.text("waits")?.to_owned(),
        })
    }),
    (vigil::LikelyTaskDeadlock::<&str, &str>::TEXT, |v| {
        Some(Vigil::LikelyTaskDeadlock {
            tasks: v.number("tasks")?,
            task: vigil_task(v, "task")?,
            has: v.text("has")?.to_owned(),
            waits: v.text("waits")?.to_owned(),
        })
    }),
    (vigil::TaskDeadlockGoesOn::<&str, &str>::TEXT, |v| {
        Some(Vigil::TaskDeadlockGoesOn {
            task: vigil_task(v, "task")?,
            has: v.text("has")?.to_owned(),
            waits: v.text("waits")?.to_owned(),
        })
    }),
    (vigil::RootTask::<&str>::TEXT, |v| {
        Some(Vigil::RootTask {
            behind: v.number("behind")?,
            task: vigil_task(v, "task")?,
            oldest: vigil_task(v, "oldest")?,
            secs: v.number("secs")?,
            depth: v.number("depth")?,
        })
    }),
    (vigil::RootIgnored::TEXT, |v| {
        Some(Vigil::RootIgnored {
            behind: v.number("behind")?,
            task: vigil_task(v, "task")?,
            oldest: vigil_task(v, "oldest")?,
            secs: v.number("secs")?,
            depth: v.number("depth")?,
        })
    }),
    (vigil::RootLock::<&str, &str>::TEXT, |v| {
        Some(Vigil::RootLock {
            behind: v.number("behind")?,
            lock: v.text("lock")?.to_owned(),
            oldest: vigil_task(v, "oldest")?,
            secs: v.number("secs")?,
            depth: v.number("depth")?,
        })
    }),
    (vigil::RootStack::TEXT, |v| {
        Some(Vigil::RootStack {
            tasks: v.number("tasks")?,
            behind: v.number("behind")?,
            oldest: vigil_task(v, "oldest")?,
            secs: v.number("secs")?,
            depth: v.number("depth")?,
        })
    }),
    (vigil::RootDeadlock::TEXT, |v| {
        Some(Vigil::RootDeadlock {
            behind: v.number("behind")?,
            oldest: vigil_task(v, "oldest")?,
            secs: v.number("secs")?,
            depth: v.number("depth")?,
        })
    }),
    (vigil::CauseMember::<&str>::TEXT, |v| {
        Some(Vigil::CauseMember {
            task: vigil_task(v, "task")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::CauseMembersLeft::TEXT, |v| {
        Some(Vigil::CauseMembersLeft {
            count: v.number("count")?,
        })
    }),
    (vigil::HungTaskRecovered::TEXT, |v| {
        Some(Vigil::HungTaskRecovered {
            task: vigil_task(v, "task")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::HungTasksRecovered::TEXT, |v| {
        Some(Vigil::HungTasksRecovered {
            task: vigil_task(v, "task")?,
            others: v.number("others")?,
            secs: v.number("secs")?,
        })
    }),
    (vigil::MoreCausesEnded::TEXT, |v| {
        Some(Vigil::MoreCausesEnded {
            count: v.number("count")?,
        })
    }),
    (vigil::CausesLeftOut::TEXT, |v| {
        Some(Vigil::CausesLeftOut {
            count: v.number("count")?,
        })
    }),
    (vigil::HungTasksLeftOut::TEXT, |v| {
        Some(Vigil::HungTasksLeftOut {
            count: v.number("count")?,
        })
    }),
];

fn task(values: &Values<'_>) -> Option<Task> {
    Some(Task {
        comm: values.text("comm")?.to_owned(),
        pid: values.number("pid")?,
    })
}

/// A `{task}` of vigil's texts.
fn vigil_task(values: &Values<'_>, field: &str) -> Option<Task> {
    let (comm, pid) = values.text(field)?.rsplit_once(':')?;
    Some(Task {
        comm: comm.to_owned(),
        pid: pid.parse().ok()?,
    })
}

fn blocker(values: &Values<'_>, lock: Lock) -> Option<Message> {
    let access = |field: &str| match values.text(field) {
        None => Some(None),
        Some("reader") => Some(Some(Access::Reader)),
        Some("writer") => Some(Some(Access::Writer)),
        Some(_) => None,
    };
    let owner = match values.text("owner_comm") {
        Some(comm) => Some(Task {
            comm: comm.to_owned(),
            pid: values.number("owner_pid")?,
        }),
        None => None,
    };
    Some(Message::Blocker(Blocker {
        waiter: task(values)?,
        lock,
        waits_as: access("waits_as")?,
        owner,
        held_as: access("held_as")?,
    }))
}

fn soft_lockup(values: &Values<'_>) -> Option<Message> {
    Some(Message::SoftLockup {
        cpu: values.number("cpu")?,
        seconds: values.number("seconds")?,
        task: task(values)?,
    })
}

fn usage(values: &Values<'_>, detector: Detector) -> Option<Message> {
    Some(Message::Usage {
        cpu: values.number("cpu")?,
        ms: values.number("ms")?,
        detector,
    })
}

fn hard_lockup(values: &Values<'_>) -> Option<Message> {
    Some(Message::HardLockup {
        cpu: values.number("cpu")?,
        finder: None,
    })
}

fn rcu_stall(values: &Values<'_>, self_detected: bool) -> Option<Message> {
    Some(Message::RcuStall {
        flavor: values.text("flavor")?.to_owned(),
        self_detected,
    })
}

/// Texts, ready to be found.
fn templates<R: Copy>(texts: &[(&'static str, R)]) -> Vec<(Template, R)> {
    texts
        .iter()
        .map(|&(text, read)| (Template::new(text), read))
        .collect()
}

impl Message {
    /// What a line of the kernel's log says. `None`: none of these.
    pub fn parse(text: &str) -> Option<Self> {
        static TEMPLATES: LazyLock<Vec<(Template, Read)>> = LazyLock::new(|| templates(MAINLINE));
        if let Some(vigil) = Vigil::parse(text) {
            return Some(Self::Vigil(vigil));
        }
        TEMPLATES
            .iter()
            .find_map(|(template, read)| read(&template.find(text)?))
    }
}

impl Vigil {
    /// What a line of vigil's says. `None`: it is not one.
    fn parse(text: &str) -> Option<Self> {
        static ANY: LazyLock<Template> = LazyLock::new(|| Template::new(texts::VIGIL));
        static TEMPLATES: LazyLock<Vec<(Template, ReadVigil)>> = LazyLock::new(|| templates(VIGIL));
        let any = ANY.find(text)?;
        let known = TEMPLATES
            .iter()
            .find_map(|(template, read)| read(&template.find(text)?));
        Some(match known {
            Some(known) => known,
            None => Self::Other(any.text("text")?.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_task(comm: &str, pid: u32) -> Task {
        Task {
            comm: comm.to_owned(),
            pid,
        }
    }

    #[test]
    fn names_may_look_like_a_report() {
        let text = "INFO: task x:1 blocked for:77 blocked in I/O wait for more than 12 seconds.";
        let expected = Message::HungTask {
            task: a_task("x:1 blocked for", 77),
            in_iowait: true,
            seconds: 12,
        };
        assert_eq!(Message::parse(text), Some(expected));
        let text = "watchdog: BUG: soft lockup - CPU#1 stuck for 8s! [a\nb]: [:7]";
        let expected = Message::SoftLockup {
            cpu: 1,
            seconds: 8,
            task: a_task("a\nb]: [", 7),
        };
        assert_eq!(Message::parse(text), Some(expected));
    }

    #[test]
    fn each_wording_of_a_lockup_is_known() {
        for (text, finder) in [
            (
                "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 6",
                Some(0),
            ),
            ("watchdog: Watchdog detected hard LOCKUP on cpu 6", None),
            ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 6", None),
        ] {
            let expected = Message::HardLockup { cpu: 6, finder };
            assert_eq!(Message::parse(text), Some(expected), "{text}");
        }
        let text = "NMI watchdog: BUG: soft lockup - CPU#10 stuck for 23s! [migration/10:346]";
        let expected = Message::SoftLockup {
            cpu: 10,
            seconds: 23,
            task: a_task("migration/10", 346),
        };
        assert_eq!(Message::parse(text), Some(expected));
    }

    #[test]
    fn other_lines_say_nothing() {
        for text in [
            "",
            "      indented",
            "INFO: task x:1 blocked for more than 5 seconds",
            "INFO: task x:99999999999 blocked for more than 5 seconds.",
            "watchdog: BUG: soft lockup - CPU#1 stuck for 8s! [x]",
            "xwatchdog: CPU0: Watchdog detected hard LOCKUP on cpu 6",
            "INFO: task x:1 <owner> blocked on an rw-semaphore likely owned by task y:2 <writer>",
        ] {
            assert_eq!(Message::parse(text), None, "{text}");
        }
    }

    #[test]
    fn each_text_of_vigils_is_a_variant_or_left_out() {
        // No part of a report, nor of what becomes of one: of the module's load and setup.
        let left_out = [
            "BAD_BACKEND",
            "SYS_INFO_LATER",
            "NOT_IN_KDUMP_KERNEL",
            "NETLINK_NAME_TAKEN",
            "NoNetlinkFamily",
            "LockupsSwitchedOff",
            "PerfNotAvailable",
            "TasksNotTracked",
            "InitFailed",
            "BadParameter",
            "NoStatusFile",
            "LoadHungTasks",
            "LoadInherited",
            "LoadSoftLockups",
            "LoadWatchedCpus",
            "LoadHardLockups",
            "LoadNotAvailable",
            "LoadInTree",
            "LoadKernelNames",
        ];
        let texts = vigil::MESSAGES.iter();
        // The others are parts of lines.
        let mut lines = texts.filter(|(name, text)| {
            text.starts_with("vigil: ") && *name != "UNRESPONSIVE_CPU_PANIC"
        });
        assert!(left_out
            .iter()
            .all(|left_out| vigil::MESSAGES.iter().any(|(name, _)| name == left_out)));
        let unknown = lines.find(|(name, text)| {
            !left_out.contains(name) && VIGIL.iter().all(|(known, _)| known != text)
        });
        assert_eq!(unknown, None);
    }

    #[test]
    fn a_line_of_vigils_with_another_wording_is_kept() {
        let text = "vigil: CPU1 took its last timer interrupt 3 s ago and is gone";
        let expected = Vigil::Other(text["vigil: ".len()..].to_owned());
        assert_eq!(Message::parse(text), Some(Message::Vigil(expected)));
    }
}
