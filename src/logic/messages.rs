// SPDX-License-Identifier: GPL-2.0

//! The texts of vigil's own that a program looks for: log lines, and the keys of `vigil/status`.
//!
//! Each text stands here once, under a name. The module prints it, and the scenarios, `tools/` and
//! `scripts/vmcore-report` find it by the same name: on the host [`MESSAGES`] lists all of them, and
//! `scripts/messages.json`, which `make docs` writes, is that list for programs in other languages.
//!
//! A fixed line is a constant. A line with values in it is a type that has a field for each
//! `{field}` of its text, and is printed by `Display`:
//!
//! ```
//! use vigil_logic::{fmt::Secs, messages::CpuRecovered};
//! let line = CpuRecovered { cpu: 1, secs: Secs(3_600_000_000) };
//! assert_eq!(
//!     line.to_string(),
//!     "vigil: CPU1 recovered: its timer interrupt came again after 3.6 s"
//! );
//! ```
//!
//! Lines that mainline prints too (`INFO: task`, `watchdog: BUG:`, `Kernel panic`) are not here:
//! their wording is mainline's, and stands where they are printed.

use super::{
    fmt::{
        LogStamp,
        Secs, //
    },
    task::TaskId, //
};
use core::fmt::{
    self,
    Display, //
};

/// Declares constants for the fixed lines, types for the lines with values, and the list of all.
macro_rules! messages {
    (
        fixed {
            $($(#[$const_doc:meta])* $const:ident = $const_text:literal;)*
        }
        parts {
            $($(#[$part_doc:meta])* $part:ident = $part_text:literal;)*
        }
        values {
            $(
                $(#[$doc:meta])*
                $name:ident $(<$($generic:ident),+>)? { $($field:ident: $type:ty),* $(,)? } = $text:literal;
            )*
        }
    ) => {
        $(
            $(#[$const_doc])*
            ///
            #[doc = concat!("`vigil: ", $const_text, "`")]
            pub const $const: &str = concat!("vigil: ", $const_text);
        )*
        $(
            $(#[$part_doc])*
            ///
            #[doc = concat!("`", $part_text, "`")]
            pub const $part: &str = $part_text;
        )*
        $(
            $(#[$doc])*
            ///
            #[doc = concat!("`vigil: ", $text, "`")]
            pub struct $name $(<$($generic),+>)? {
                $(
                    #[doc = concat!("The line's `", stringify!($field), "`.")]
                    pub $field: $type,
                )*
            }

            impl $(<$($generic: Display),+>)? Display for $name $(<$($generic),+>)? {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, concat!("vigil: ", $text), $($field = self.$field),*)
                }
            }

            impl $(<$($generic),+>)? $name $(<$($generic),+>)? {
                /// The line with `{field}` where a value stands.
                #[cfg(not(MODULE))]
                pub const TEXT: &'static str = concat!("vigil: ", $text);
            }
        )*

        /// All of them: the name here, and the text, with `{field}` where a value stands.
        #[cfg(not(MODULE))]
        pub const MESSAGES: &[(&str, &str)] = &[
            $((stringify!($const), $const),)*
            $((stringify!($part), $part),)*
            $((stringify!($name), concat!("vigil: ", $text)),)*
        ];
    };
}

messages! {
    fixed {
        /// The policy refuses a panic, at the end of a report that asks for one.
        NO_PANIC = "no panic: panic_needs_kdump=1 and no crash kernel is loaded";
        /// The policy refuses a panic: kprobes are disabled.
        NO_PANIC_TOUCHES = "no panic: kprobes are disabled, so that slow code that touches the watchdog looks like this";
        /// In the report of a lockup: kprobes are disabled.
        TOUCHES_NOT_COUNTED = "kprobes are disabled: this may be slow code that touches the watchdog";
        /// After an oops (`TAINT_DIE`) nothing looks for hung tasks any more.
        HUNG_TASKS_NOT_JUDGED =
            "the kernel has died in an oops: hung tasks are not looked for until it is booted again";
        /// A requested panic does not come: its knob was cleared, or the module is unloaded.
        PANIC_CANCELLED = "panic cancelled";
        /// A hard lockup is reported in NMI context on the way to a panic.
        SYS_INFO_SKIPPED_IN_NMI = "hardlockup_sys_info skipped: in NMI context";
        /// A part of `*_sys_info` waits for the end of the stall.
        SYS_INFO_LATER = "what takes locks of *_sys_info is shown when no CPU is stuck";
        /// Backtraces of other CPUs are missing: a CPU does not let go of the lock for them.
        BACKTRACES_LEFT_OUT = "backtraces of other CPUs left out: a CPU has been printing for too long";
        /// The backtrace of a CPU with a hard lockup is missing.
        NO_NMI_BACKTRACE = "no backtrace: this kernel's NMI backtrace is not available";
        /// Soft lockups are not sampled with the CPU stopper.
        SAMPLED_BY_FIFO_THREAD = "sampled by a SCHED_FIFO-99 thread: a real-time task that hogs the CPU looks like this too";
        /// `hung_task_sys_info` asks for something that cannot be shown.
        NO_SYS_INFO = "hung_task_sys_info skipped: the kernel's sys_info() is not available";
        /// The module declines to be loaded in a capture kernel.
        NOT_IN_KDUMP_KERNEL = "not loaded: this is a kdump capture kernel, which must not panic or wait";
        /// The netlink family cannot be registered: another module has the name.
        NETLINK_NAME_TAKEN = "no netlink events: another module has a generic netlink family named vigil";
        /// The parameter `hardlockup_backend` is none of its values.
        BAD_BACKEND = "hardlockup_backend: must be auto, perf, buddy or perf,buddy";
    }

    parts {
        /// The name of a panic on an unresponsive CPU, after `Kernel panic - not syncing: `.
        #[cfg_attr(MODULE, expect(dead_code, reason = "PanicMessage has it as a C string"))]
        UNRESPONSIVE_CPU_PANIC = "vigil: unresponsive CPU";
        /// Evidence of a hard lockup: the CPU ran the NMI handler that was sent to it.
        EVIDENCE_NMI_ACK = "and answers an NMI: it runs with interrupts off";
        /// Evidence of a hard lockup: the same, but interrupts were on.
        EVIDENCE_NMI_ACK_IRQS_ON = "and answers an NMI: it runs with interrupts on, and gets no timer interrupt";
        /// Evidence of a hard lockup: the same, but the CPU was idle.
        EVIDENCE_NMI_ACK_IDLE = "and answers an NMI: it is idle, and gets no timer interrupt";
        /// Evidence of a hard lockup: the NMI of the CPU's own cycle counter found it.
        EVIDENCE_PERF_NMI = "and takes the NMI of its perf cycle counter: it runs with interrupts off";
        /// No evidence yet: the backtrace that follows is taken by NMI.
        EVIDENCE_BACKTRACE = "and can only be asked for a backtrace by NMI: if one follows, it runs with interrupts off";
        /// Evidence of a hard lockup: no answer, on a machine without a hypervisor.
        EVIDENCE_NO_ANSWER = "and answers no NMI: it is stuck in an NMI handler or in firmware, as there is no hypervisor that could have stopped it";
        /// No evidence: no NMI can be sent.
        EVIDENCE_NONE = "and cannot be asked by NMI: not confirmed that it runs with interrupts off";
        /// Why there is no perf: another user has the counter.
        PERF_BUSY = "no perf cycle counter is free";
        /// Why there is no perf: the overflow interrupt can be masked.
        PERF_NOT_NMI = "the perf cycle counter does not interrupt by NMI";
        /// Why there is no perf: the period cannot be computed.
        PERF_NO_FREQUENCY = "the CPU frequency is not known";
        /// Why there is no perf: a guest, which leaves the counters to its host.
        PERF_IN_GUEST = "a guest, whose host may need the counters (hardlockup_backend=perf takes one)";
        /// Why there is no perf: the kernel's own detector.
        PERF_IN_TREE = "the in-tree detector has a counter of each CPU";
        /// Why there is no perf: the administrator.
        PERF_NMI_WATCHDOG_0 = "nmi_watchdog=0";
        /// Why there is no perf: no PMU.
        PERF_NOT_SUPPORTED = "no perf cycle counter on this machine";
        /// Behind a wait in a line: it is over, the task runs.
        STALE_AWAKE = "stale: it has woken up";
        /// Behind a wait in a line: the task waits for another lock, or for none.
        STALE_OTHER_WAIT = "stale: it waits for something else now";
        /// Behind a wait in a line: the lock's owner has exited.
        STALE_OWNER_EXITED = "stale: the owner has exited";
        /// Behind a wait in a line: the lock's owner has given it back.
        STALE_NO_OWNER = "stale: no owner is known now";
    }

    values {
        /// A requested panic waits for `panic_delay_ms`.
        PanicDelay { ms: u64 } = "panic in {ms} ms";
        /// `*_sys_info` is not shown before a panic.
        SysInfoSkipped<K> { knob: K } =
            "{knob} skipped: no other CPU is active that could panic if this one gets stuck";

        /// Second line of the report of a hard lockup, with one of the `EVIDENCE_*`.
        HardLockupEvidence { cpu: u32, secs: Secs, evidence: &'static str } =
            "CPU{cpu} took its last timer interrupt {secs} s ago {evidence}";
        /// Second line of the report of a hard lockup that is over by the time of the report.
        HardLockupOver { cpu: u32, secs: Secs } =
            "CPU{cpu} took no timer interrupt for {secs} s but the NMI of its perf cycle counter: it ran with interrupts off, and does not any more";
        /// Head of the stack that a CPU had when its perf NMI found the hard lockup.
        HardLockupStack { cpu: u32, task: TaskId } = "CPU{cpu} was running {task} at:";
        /// In which context a CPU with a hard lockup is, and in which function.
        StuckIn<P> { cpu: u32, context: &'static str, place: P } =
            "CPU{cpu} is stuck in {context}, in {place}";
        /// A CPU spins for a lock.
        CpuSpins<L, P> { cpu: u32, lock: L, place: P } = "CPU{cpu} spins for {lock} in {place}";
        /// Instead of the stack of a CPU: another report has the same.
        SameLockAndPlace { cpu: u32, other: u32 } =
            "CPU{cpu} is at the same lock and place as CPU{other}: see the stack there";
        /// A CPU waits for all CPUs to come to `stop_machine()`.
        CpuStopsMachine { cpu: u32 } = "CPU{cpu} waits in stop_machine() for the other CPUs";
        /// A CPU waits for another one to run a function, and what that one does.
        CpuWaitsForCall<F, D> { cpu: u32, target: u32, function: F, does: D } =
            "CPU{cpu} waits for CPU{target} to run {function}: that CPU {does}";
        /// The same, if it may be another task that waits for that.
        CpuMayWaitForCall<F, D> { cpu: u32, target: u32, function: F, does: D } =
            "CPU{cpu} may wait for CPU{target} to run {function}: that CPU {does}";
        /// There are more CPUs that have to run it.
        CpuWaitsForMore { cpu: u32, count: u32 } = "CPU{cpu} waits for {count} more CPUs to run it";
        /// A CPU waits for the one that has taken the lock.
        CpuWaitsForOwner<D> { cpu: u32, target: u32, does: D } =
            "CPU{cpu} waits for CPU{target}, which has taken that lock: that CPU {does}";
        /// The only CPU that another one can wait for, as far as can be seen.
        CpuMayWaitFor<D> { cpu: u32, target: u32, does: D } =
            "CPU{cpu} may wait for CPU{target}: that CPU {does}";
        /// What a chain of CPUs that wait for each other leads to.
        CpuWaitsInTheEnd { cpu: u32, target: u32 } = "CPU{cpu} waits for CPU{target} in the end";
        /// What a stuck CPU has not run, although a task waits for that.
        CpuHasToRun<F> { cpu: u32, function: F, sender: u32 } =
            "CPU{cpu} has to run {function} for CPU{sender}, where a task waits for that";
        /// There are more such requests.
        CpuHasToRunMore { cpu: u32, count: u32 } = "CPU{cpu} has to run something for {count} more CPUs";
        /// Report of an unresponsive CPU.
        UnresponsiveCpu { cpu: u32, secs: u64 } =
            "CPU{cpu} has not run for {secs} s: no answer to an NMI (as of a vCPU that its host does not run)";
        /// The end of a hard lockup, or of an unresponsive CPU.
        CpuRecovered { cpu: u32, secs: Secs } =
            "CPU{cpu} recovered: its timer interrupt came again after {secs} s";
        /// `hardlockup_backend=perf` cannot be had; with one of the `PERF_*`.
        PerfNotAvailable { reason: &'static str, errno: i32 } =
            "hardlockup_backend=perf: {reason} (error {errno})";

        /// A CPU with a soft lockup took no interrupts for most of it.
        NoTimerInterrupts { cpu: u32, secs: Secs } =
            "CPU{cpu} took no timer interrupt for {secs} s of that: its interrupts were off, or its host did not run it";
        /// Steal time that a soft lockup's length leaves out.
        StealTime { secs: Secs } = "{secs} s of steal time not counted";
        /// Head of the busiest interrupts of a CPU with a soft lockup.
        BusyInterrupts { cpu: u32, total: u64, secs: Secs, rate: u64 } =
            "CPU{cpu} took {total} interrupts in {secs} s, {rate} a second; the busiest:";
        /// One of the busiest interrupts.
        BusyInterrupt<S> { count: u64, source: S, rate: u64 } =
            "  {count} from {source}, {rate} a second";

        /// A CPU has no backtrace.
        NoBacktrace { cpu: u32 } = "no backtrace of CPU{cpu}: no answer to an NMI";

        /// When a hung task last got a CPU, in the log's time.
        TaskLastRan { task: TaskId, time: LogStamp } = "task {task} last ran at [{time}]";
        /// What a hung task waits for that waits for no lock which the kernel keeps track of.
        TaskWaits<S> { task: TaskId, kind: &'static str, primitive: S, caller: S } =
            "task {task} waits for {kind}: {primitive} called from {caller}";
        /// The same, if only the place is known.
        TaskWaitsIn<S> { task: TaskId, caller: S } = "task {task} waits in {caller}";
        /// The task that a hung task waits for by no lock.
        TaskWaitsForTask<W> { task: TaskId, waits: W } = "task {task} waits for {waits}";
        /// A block device whose driver has old requests, when hung tasks wait for I/O.
        BlockDevice<S> { name: S, major: u32, minor: u32, requests: u32, than: u64, secs: Secs } =
            "block device {name} ({major}:{minor}): {requests} requests older than {than} s, the oldest for {secs} s";
        /// The block devices of that kind that have no line.
        BlockDevicesLeft { count: u32 } = "and {count} more block devices with such requests";
        /// Hung tasks wait for I/O, and no driver has an old request.
        NoBlockDevice { than: u64 } = "no driver of a block device has a request older than {than} s";
        /// The cgroup of a task of a report, in the default hierarchy.
        TaskCgroup<P> { task: TaskId, path: P } = "task {task} is in cgroup {path}";
        /// The PID of a task of a report in its own PID namespace.
        TaskNsPid { task: TaskId, pid: i32 } = "task {task} is pid {pid} of its PID namespace";
        /// Both.
        TaskNsPidAndCgroup<P> { task: TaskId, pid: i32, path: P } =
            "task {task} is pid {pid} of its PID namespace, in cgroup {path}";
        /// A deadlock: its first task, the lock that it holds and the one that it waits for.
        Deadlock<L> { tasks: u32, task: TaskId, holds: L, waits: L, owner: TaskId } =
            "deadlock of {tasks}: {task} holds {holds} and waits for {waits}, held by {owner}";
        /// The same, if the owner of one of the locks is only likely to hold it.
        LikelyDeadlock<L> { tasks: u32, task: TaskId, holds: L, waits: L, owner: TaskId } =
            "likely deadlock of {tasks}: {task} holds {holds} and waits for {waits}, held by {owner}";
        /// Another task of the deadlock.
        DeadlockGoesOn<L> { task: TaskId, holds: L, waits: L, owner: TaskId } =
            "  {task} holds {holds} and waits for {waits}, held by {owner}";
        /// A deadlock in which the first task waits, or is waited for, by no lock: what it has or has to
        /// do, and what it waits for.
        TaskDeadlock<H, W> { tasks: u32, task: TaskId, has: H, waits: W } =
            "deadlock of {tasks}: {task}, which {has}, waits for {waits}";
        /// The same, if the owner of one of the locks is only likely to hold it.
        LikelyTaskDeadlock<H, W> { tasks: u32, task: TaskId, has: H, waits: W } =
            "likely deadlock of {tasks}: {task}, which {has}, waits for {waits}";
        /// Another task of a deadlock that waits, or is waited for, by no lock.
        TaskDeadlockGoesOn<H, W> { task: TaskId, has: H, waits: W } =
            "  {task}, which {has}, waits for {waits}";
        /// What tasks wait behind in the end: a task that is not hung.
        RootTask<S> { behind: u32, task: TaskId, stale: S, oldest: TaskId, secs: Secs, depth: u32 } =
            "{behind} hung tasks wait behind {task}, which is not hung{stale}: oldest {oldest} for {secs} s, longest chain {depth}";
        /// The same: one that would be hung, but for `hung_task_ignore`.
        RootIgnored { behind: u32, task: TaskId, oldest: TaskId, secs: Secs, depth: u32 } =
            "{behind} hung tasks wait behind {task}, which hung_task_ignore leaves out: oldest {oldest} for {secs} s, longest chain {depth}";
        /// The same: a lock.
        RootLock<L, S> { behind: u32, lock: L, stale: S, oldest: TaskId, secs: Secs, depth: u32 } =
            "{behind} hung tasks wait behind {lock}, whose owner is not known{stale}: oldest {oldest} for {secs} s, longest chain {depth}";
        /// The same: tasks in the same place, which wait for no lock that the kernel keeps track of.
        RootStack { tasks: u32, behind: u32, oldest: TaskId, secs: Secs, depth: u32 } =
            "{tasks} hung tasks wait in the same place, {behind} behind them: oldest {oldest} for {secs} s, longest chain {depth}";
        /// The same: a deadlock.
        RootDeadlock { behind: u32, oldest: TaskId, secs: Secs, depth: u32 } =
            "{behind} hung tasks wait behind the deadlock: oldest {oldest} for {secs} s, longest chain {depth}";
        /// A hung task of a cause that was reported.
        CauseMember<W> { task: TaskId, secs: Secs, waits: W } = "  {task} for {secs} s{waits}";
        /// The hung tasks of the cause that have no line.
        CauseMembersLeft { count: u32 } = "  and {count} more";
        /// A cause has ended that only one task was hung for.
        HungTaskRecovered { task: TaskId, secs: Secs } = "hung task {task} recovered after {secs} s";
        /// A cause has ended: its oldest task, and how many others there were.
        HungTasksRecovered { task: TaskId, others: u32, secs: Secs } =
            "hung task {task} and {others} others recovered after {secs} s";
        /// Causes that have ended and have no line.
        MoreCausesEnded { count: u64 } = "and {count} more root causes are over";
        /// There are more root causes than can be remembered.
        CausesLeftOut { count: u64 } = "{count} more root causes of hung tasks are not reported";
        /// There was no memory for all hung tasks.
        HungTasksLeftOut { count: u64 } = "no memory for {count} hung tasks, which are reported by themselves";
        /// The table of tracked tasks is full.
        TasksNotTracked { count: u64, capacity: usize } =
            "{count} sleeping tasks not tracked: table full at {capacity}";

        /// The lockup detectors could not be enabled as they were.
        LockupsSwitchedOff { errno: i32 } =
            "lockup detectors switched off: a CPU cannot be watched (error {errno})";
        /// A step of the module's init failed.
        InitFailed<S> { step: S, errno: i32 } = "cannot {step}: error {errno}";
        /// A module parameter has a value that its knob does not take.
        BadParameter<N> { name: N } = "{name}: value out of range, see docs/knobs.md";
        /// The netlink family cannot be registered.
        NoNetlinkFamily { errno: i32 } =
            "no netlink events: the generic netlink family vigil cannot be registered (error {errno})";
        /// There is no status file.
        NoStatusFile { errno: i32 } = "debugfs file vigil/status not available: error {errno}";

        /// At load: hung tasks.
        LoadHungTasks<S> { state: S } = "hung tasks: {state}";
        /// At load: soft lockups.
        LoadSoftLockups<S> { state: S } = "soft lockups: {state}";
        /// At load: hard lockups.
        LoadHardLockups<S> { state: S } = "hard lockups: {state}";
        /// At load: the CPUs in `watchdog_cpumask`.
        LoadWatchedCpus<S> { cpus: S } = "watched CPUs: {cpus}";
        /// At load: the knobs that begin with the kernel's values.
        LoadInherited<S> { knobs: S } = "taken over from the kernel: {knobs}";
        /// At load: functions that are not exported and were not found.
        LoadNotAvailable<S> { names: S } = "kernel functions not available: {names}";
        /// At load: the kernel's own detectors.
        LoadInTree<S> { state: S } = "in-tree detectors: {state}";
        /// At load with `kernel_names=1`: which names in `/proc/sys/kernel` are vigil's.
        LoadKernelNames<S> { names: S } = "kernel names: {names}";
    }
}

/// One line of `vigil/status`: `name: value`, under the heading `[section]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The heading under which it stands.
    pub section: &'static str,
    /// Unique in its section.
    pub name: &'static str,
    /// What the value means.
    #[cfg(not(MODULE))]
    pub help: &'static str,
}

/// Declares a module of constants for each section, and the list of all.
macro_rules! status_keys {
    ($(
        $(#[$doc:meta])*
        $section:ident {
            $($key:ident $name:ident: $help:literal;)*
        }
    )*) => {
        /// The keys of `vigil/status`, by section.
        pub mod status {
            use super::Key;

            $(
                $(#[$doc])*
                pub mod $section {
                    use super::Key;

                    $(
                        #[doc = $help]
                        pub const $key: Key = Key {
                            section: stringify!($section),
                            name: stringify!($name),
                            #[cfg(not(MODULE))]
                            help: $help,
                        };
                    )*
                }
            )*

            /// All keys, in the order of the file. Each is always there.
            #[cfg(not(MODULE))]
            pub const KEYS: &[Key] = &[$($($section::$key,)*)*];
        }
    };
}

status_keys! {
    /// Hung tasks.
    hung_task {
        ENABLED enabled: "1 while hung tasks are detected";
        TIMEOUT_S timeout_s: "`hung_task_timeout_secs`";
        CHECK_INTERVAL_MS check_interval_ms: "Time between two checks as it is in effect; 0 if not enabled";
        SUSPENDED suspended: "1 while a suspend is going on: nothing is reported";
        TRACKED_TASKS tracked_tasks: "Sleeping tasks that are tracked now";
        HUNG_TASKS hung_tasks: "Of the tracked tasks, those found hung";
        IGNORED_TASKS ignored_tasks: "Of the tracked tasks, those that would be hung but for `hung_task_ignore`";
        TABLE_CAPACITY table_capacity: "Tasks that can be tracked before the table has to be expanded";
        TABLE_OVERFLOWS table_overflows: "Tasks that did not fit into the table, summed over all scans";
        CHECKS checks: "Checks of the tracked tasks and the run queues";
        TRACKED_ONLY_CHECKS tracked_only_checks: "Checks of the tracked tasks alone, because one was due";
        SCANS scans: "Scans for sleeping tasks";
        FULL_SCANS full_scans: "Of the scans, those through all tasks";
        SCANNED_TASKS scanned_tasks: "Tasks looked at in scans";
        LONGEST_RCU_SECTION_NS longest_rcu_section_ns: "Longest RCU read section of a scan";
        PAUSED_NS paused_ns: "Time that the machine did not run while tasks were tracked, and up to a second before each pause";
        RUN_QUEUE_COUNTS run_queue_counts: "1 if the run queues' counts of sleepers are used to skip scans";
        RUN_QUEUE_COUNTS_ERROR run_queue_counts_error: "Why they are not used, or `none`";
        RUN_QUEUE_LAYOUT run_queue_layout: "What their layout is known from: `source`, which the module was built with; `btf`, the running kernel's; or `none`";
    }
    /// Both kinds of lockups.
    watchdog {
        CPUMASK cpumask: "CPUs that are watched when they are online, `none` if empty";
        SAMPLE_PERIOD_MS sample_period_ms: "Time between two timer interrupts of a watched CPU; 0 with `watchdog_thresh` 0";
        BYTES_PER_CPU bytes_per_cpu: "Memory for each CPU, without the per-CPU variables of the C part";
        TOUCH_FUNCTIONS_PROBED touch_functions_probed: "Functions whose calls reset the detectors, as in mainline";
        GUEST_PAUSED_FLAG guest_paused_flag: "1 if kvmclock's flag for a paused guest can be read";
    }
    /// Soft lockups.
    softlockup {
        ENABLED enabled: "1 while soft lockups are detected";
        THRESHOLD_S threshold_s: "Seconds without a switch to the most urgent task after which a CPU is stuck";
        SAMPLED_WITH sampled_with: "`cpu_stopper`; `fifo_thread`, a SCHED_FIFO-99 thread on each CPU; or `none`";
        REPORTS reports: "Reports since load";
        TOUCHES touches: "Calls that reset the detector since load, each counted once for each CPU that it is for";
    }
    /// Hard lockups.
    hardlockup {
        ENABLED enabled: "1 while hard lockups are detected";
        THRESHOLD_S threshold_s: "`watchdog_thresh`";
        PERF perf: "1 if perf cycle counters find them";
        PERF_INCOMPLETE perf_incomplete: "1 if a CPU has no such counter, or one that does not interrupt by NMI";
        PERF_ERRNO perf_errno: "Why perf was tried and is not used, as a negative errno; 0 otherwise";
        PERF_ERROR perf_error: "The same in words, or `none`";
        PERF_CPUS perf_cpus: "CPUs whose perf cycle counter is running";
        PERF_NMIS perf_nmis: "NMIs of these counters";
        PERF_EARLY_NMIS perf_early_nmis: "Of these NMIs, those that came too early to count";
        BUDDY buddy: "1 if hard lockups are found by CPUs that check each other, while `enabled` is 1";
        NMI_CONFIRMATION nmi_confirmation: "1 if an NMI can confirm what a buddy suspects";
        REPORTS reports: "Reports of hard lockups since load";
        UNRESPONSIVE_CPU_REPORTS unresponsive_cpu_reports: "Reports of CPUs that answered no NMI";
        TOUCHES touches: "Calls that reset the detector since load";
    }
    /// Panics.
    panic {
        CRASH_KERNEL_LOADED crash_kernel_loaded: "1 if a crash kernel is loaded";
        ALLOWED allowed: "0 while `panic_needs_kdump` is set and no crash kernel is loaded";
    }
    /// The crash record.
    incidents {
        RECORDED recorded: "Incidents since load";
        KEPT kept: "How many of the last ones a crash dump shows";
    }
    /// Events, for programs that listen.
    netlink {
        REGISTERED registered: "1 if the generic netlink family `vigil` is registered";
        LISTENERS listeners: "1 while a program listens for events";
        EVENTS events: "Starts, changes and ends of incidents since load";
        SENT sent: "Events that were sent to whoever listened";
        LOST lost: "Events that were lost although a program listened, before they could be sent";
    }
    /// Functions of the kernel that are not exported.
    kernel_functions {
        CALLED called: "Functions that were found and are called, or `none`";
        NOT_AVAILABLE not_available: "Functions that were not found, or `none`";
    }
    /// The kernel's own detectors.
    in_tree {
        HUNG_TASK hung_task: "`on`, `off`, `not_built_in`, or `unknown` if it cannot be seen";
        HUNG_TASK_TIMEOUT_S hung_task_timeout_s: "Its timeout, 0 if not known";
        SOFTLOCKUP softlockup: "`on`, `off`, `not_built_in` or `unknown`";
        HARDLOCKUP hardlockup: "`on`, `off`, `not_built_in` or `unknown`";
    }
    /// Mainline's names in `/proc/sys/kernel` (`kernel_names=1`).
    kernel_names {
        REQUESTED requested: "The parameter `kernel_names`";
        REGISTERED registered: "Names that vigil has registered, or `none`";
        LEFT_TO_KERNEL left_to_kernel: "With `kernel_names=1`, names that the running kernel has itself, or `none`";
    }
}

/// The regular expression that matches the whole line of a text of [`MESSAGES`]: the values in it
/// are groups named after the fields, unless they are given.
///
/// ```
/// use vigil_logic::messages::{CpuRecovered, Pattern};
/// assert_eq!(
///     Pattern { text: CpuRecovered::TEXT, values: &[("cpu", "1")] }.to_string(),
///     r"^vigil\: CPU1 recovered\: its timer interrupt came again after (?<secs>.*) s$"
/// );
/// ```
#[cfg(not(MODULE))]
pub struct Pattern<'a> {
    /// The text.
    pub text: &'a str,
    /// Values of some of its fields.
    pub values: &'a [(&'a str, &'a str)],
}

#[cfg(not(MODULE))]
impl Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("^")?;
        for piece in pieces(self.text) {
            match piece {
                Piece::Fixed(text) => write_escaped(f, text)?,
                Piece::Field(field) => match self.values.iter().find(|(name, _)| *name == field) {
                    Some((_, value)) => write_escaped(f, value)?,
                    None => write!(f, "(?<{field}>.*)")?,
                },
            }
        }
        f.write_str("$")
    }
}

/// Writes text so that it stands for itself in a regular expression.
#[cfg(not(MODULE))]
fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    Ok(())
}

/// A piece of a text of [`MESSAGES`].
#[cfg(not(MODULE))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Stands as it is.
    Fixed(&'a str),
    /// Stands for the value of this name.
    Field(&'a str),
}

/// Splits a text into its pieces.
#[cfg(not(MODULE))]
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    text.split_inclusive('}').flat_map(|part| {
        let (fixed, field) = match part.split_once('{') {
            Some((fixed, field)) => (fixed, field.strip_suffix('}')),
            None => (part, None),
        };
        let fixed = (!fixed.is_empty()).then_some(Piece::Fixed(fixed));
        fixed.into_iter().chain(field.map(Piece::Field))
    })
}
