// SPDX-License-Identifier: GPL-2.0

//! The report about hung tasks: mainline's lines (`hung_task_info()` and `debug_show_blocker()` in
//! `kernel/hung_task.c`), so that programs which parse mainline's reports parse these, and lines of
//! vigil's own, which begin with `vigil: `.

use super::{
    session::{
        DumpOptions,
        Finding,
        ReportSession, //
    },
    wait,
    whereabouts, //
};
use crate::{
    incident,
    knobs::Knobs,
    logic::{
        blocker::{
            is_handed_over,
            Line,
            LockKind,
            LockWords, //
        },
        culprit::Culprit,
        fmt::{
            Bytes,
            LogStamp,
            Secs, //
        },
        hung_task::warnings::Warnings,
        incident::{
            Incident,
            IncidentKind,
            Wait,
            IN_IOWAIT, //
        },
        incident_table::Details,
        knobs::{
            Knob,
            SYS_INFO_LOCKS, //
        },
        messages::{
            HungTaskRecovered,
            TaskLastRan,
            TaskWaitsForTask,
            NO_SYS_INFO, //
        },
        panic::{
            Cause,
            Initiator,
            PanicRequest, //
        },
        task::TaskId,
        task_wait::{
            TaskWait,
            TaskWaitName, //
        },
        wait_kind::WaitKind,
        NSEC_PER_SEC, //
    },
    panic::PanicControl,
    sys::{
        backtrace::Backtracer,
        clock::monotonic,
        printk,
        stacktrace,
        task,
        touch,
        utsname, //
    }, //
};
use core::cell::Cell;
use kernel::{
    sync::aref::ARef,
    task::Task, //
};

/// How many tasks of one check are recorded as incidents. Many tasks that wait for the same lock
/// must not push all other incidents out of the record.
const MAX_RECORDED: u32 = 16;

/// The lock that a task waits for, and the lock's owner.
pub(crate) struct Blocker {
    /// The kind of lock.
    pub(crate) kind: LockKind,
    /// Where the lock is.
    pub(crate) address: usize,
    /// The words of the lock that name its owner.
    pub(crate) words: LockWords,
    /// The owner; `None` if the lock has none, or none that is alive.
    pub(crate) owner: Option<ARef<Task>>,
}

impl Blocker {
    /// The key of the owner, as a graph of tasks has it, for the task `waiter` that waits for the lock;
    /// 0: none that it waits behind.
    pub(crate) fn owner_key(&self, waiter: &Task) -> usize {
        if is_handed_over(self.kind, self.words, task::key(waiter)) {
            return 0;
        }
        self.owner.as_deref().map_or(0, task::key)
    }
}

/// A hung task that a check has found.
pub(crate) struct HungTask<'a> {
    /// The task.
    pub(crate) task: &'a Task,
    /// For how long it has been blocked, in nanoseconds.
    pub(crate) age: u64,
    /// Whether this is the first report about this sleep.
    pub(crate) first: bool,
    /// The lock that it waits for, if the kernel keeps track of that.
    pub(crate) blocker: Option<Blocker>,
    /// How it waits for another task by no lock, and for which one, if that is known.
    pub(crate) waits_for_task: Option<(TaskWait, &'a Task)>,
    /// Whether the lock's owner, or that other task, is shown by itself, with its stack.
    pub(crate) owner_is_shown: bool,
    /// What only the table of incidents keeps.
    pub(crate) details: Details,
}

/// What the report needs of the module.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    /// The knobs.
    pub(crate) knobs: &'a Knobs,
    /// How stacks of other CPUs are got, and kernel functions that are not exported.
    pub(crate) backtracer: &'a Backtracer,
    /// Decides about the panic.
    pub(crate) panic: &'a PanicControl,
}

/// The report about all hung tasks of one check.
#[must_use]
pub(crate) struct HungTaskReport<'a> {
    env: Env<'a>,
    session: ReportSession<'a>,
    /// Whether `hung_task_warnings` allowed a report when this one began.
    had_warnings: bool,
    /// When the first task was added, in monotonic nanoseconds: a report was due, printed or not.
    due: Option<u64>,
    /// Whether a task was printed.
    printed: bool,
    /// Whether a task was printed that waits for I/O.
    waits_for_io: Cell<bool>,
    /// How many tasks were recorded as incidents.
    recorded: u32,
    /// What `hung_task_warnings` lets be printed.
    warnings: &'a mut Warnings,
}

impl<'a> HungTaskReport<'a> {
    /// Begins the report.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn begin(env: Env<'a>, warnings: &'a mut Warnings) -> Self {
        Self {
            env,
            session: ReportSession::new(
                env.panic,
                env.backtracer,
                Initiator::Thread,
                DumpOptions::NONE,
            ),
            had_warnings: env.knobs.get(Knob::HungTaskWarnings) != 0,
            due: None,
            printed: false,
            waits_for_io: Cell::new(false),
            recorded: 0,
            warnings,
        }
    }

    /// Whether a panic would be requested for the next task that is added, as the `panic_count`-th
    /// hung task of the check that may make one; 0: it may not. Such a task is added even if no
    /// report about it is due: there is no panic without the report of the task that made it.
    pub(crate) fn would_panic(&self, panic_count: u64) -> bool {
        self.session.would_panic(Cause::HungTask, panic_count)
    }

    /// Adds a task, the `panic_count`-th hung task of the check that may make a panic, or 0: it may
    /// not. Records the incident, requests a panic if one is wanted for so many tasks, and prints the
    /// task unless `hung_task_warnings` has run out. Tasks of a check that ends in a panic are always
    /// printed. Returns whether it was printed.
    ///
    /// # Context
    ///
    /// Process context; prints many lines.
    // Not part of the caller's stack frame: a key may need a stack.
    #[inline(never)]
    pub(crate) fn add(&mut self, found: &HungTask<'_>, panic_count: u64) -> bool {
        let is_new = found.first && self.warnings.is_new(cause_key(found));
        self.add_cause(found, panic_count, is_new, || None)
    }

    /// As [`HungTaskReport::add`], for a task that stands for a root cause. `is_new`: it is the first
    /// report on this cause. `culprit` returns the cause as the record has it, if more is known than the
    /// lock that the task waits for; it is called if the incident is recorded. Returns whether the task
    /// was printed.
    ///
    /// # Context
    ///
    /// Process context; prints many lines.
    #[inline(never)]
    pub(crate) fn add_cause(
        &mut self,
        found: &HungTask<'_>,
        panic_count: u64,
        is_new: bool,
        culprit: impl FnOnce() -> Option<Culprit>,
    ) -> bool {
        self.due.get_or_insert_with(monotonic);
        let was_fatal = self.session.is_fatal();
        let record = found.first && self.recorded < MAX_RECORDED && !was_fatal;
        self.recorded = self.recorded.saturating_add(u32::from(record));
        let finding = Finding {
            cause: Cause::HungTask,
            magnitude: panic_count,
            repeated: !record,
            details: found.details,
        };
        self.session
            .add(finding, monotonic(), || incident_of(found));
        if self.session.is_recorded() {
            if let Some(culprit) = culprit() {
                self.session.set_culprit(&culprit);
            }
        }
        if !was_fatal {
            self.session.console_verbose();
        }
        self.session.ksyms().trace_hang(found.task);
        let knobs = self.env.knobs;
        let left = knobs.take_one(Knob::HungTaskWarnings);
        let may_print = self
            .warnings
            .may_print(left, knobs.warnings_writes(), is_new);
        let prints = may_print || self.session.is_fatal();
        if prints {
            self.printed = true;
            self.print(found);
            if left == 1 {
                printk::info(format_args!(
                    "Future hung task reports are suppressed, see sysctl vigil.hung_task_warnings"
                ));
            }
        }
        touch::touch_nmi_watchdog();
        prints
    }

    /// Prints a task, and what it waits for: the lock and its owner, or what its stack shows.
    ///
    /// # Context
    ///
    /// Process context; prints many lines.
    pub(crate) fn print(&self, found: &HungTask<'_>) {
        let task = found.task;
        let id = task::id(task);
        let io = if task::in_iowait(task) {
            " in I/O wait"
        } else {
            ""
        };
        printk::err(format_args!(
            "INFO: task {id} blocked{io} for more than {} seconds.",
            found.age / NSEC_PER_SEC
        ));
        let kernel = utsname::kernel_name();
        let tainted = self.session.ksyms().tainted();
        // The version is cut at its first blank, as mainline does: "#1".
        let version = kernel.version.split(|&b| b == b' ').next();
        printk::err(format_args!(
            "      {} {} {}{}",
            Bytes(tainted.bytes()),
            Bytes(kernel.release),
            Bytes(version.unwrap_or_default()),
            Bytes(kernel.package),
        ));
        if task::in_coredump(task) {
            printk::err(format_args!("      Blocked by coredump."));
        }
        printk::err(format_args!(
            "\"echo 0 > /proc/sys/vigil/hung_task_timeout_secs\" disables this message."
        ));
        if let Some(at) = task::last_arrival(task) {
            printk::err(format_args!(
                "{}",
                TaskLastRan {
                    task: id,
                    time: LogStamp(at),
                }
            ));
        }
        show_task(task);
        let Some(blocker) = &found.blocker else {
            self.note_wait(task, wait::print(task));
            if let Some((wait, owner)) = found.waits_for_task {
                print_task_wait(id, wait, owner);
                if !found.owner_is_shown {
                    self.print_owner(owner);
                }
            }
            return;
        };
        let owner = blocker.owner.as_deref();
        printk::err(format_args!(
            "{}",
            Line {
                waiter: id,
                kind: blocker.kind,
                words: blocker.words,
                owner: owner.map(task::id),
            }
        ));
        if let Some(owner) = owner.filter(|_| !found.owner_is_shown) {
            self.print_owner(owner);
        }
    }

    /// Prints a task that has a lock, with what it waits for if that is no lock.
    ///
    /// # Context
    ///
    /// Process context; prints many lines.
    pub(crate) fn print_owner(&self, owner: &Task) {
        show_task(owner);
        self.note_wait(owner, wait::print_owner(owner));
    }

    /// Keeps in mind that a task that was printed waits for I/O.
    fn note_wait(&self, task: &Task, kind: WaitKind) {
        let in_iowait = task::in_iowait(task) && kind != WaitKind::RemoteFs;
        if in_iowait || kind.is_block_io() {
            self.waits_for_io.set(true);
        }
    }

    /// Ends the report: shows what the knobs ask for besides the tasks, and says why there is no
    /// panic if the policy does not allow one. Returns the panic request that the thread has to
    /// carry out.
    ///
    /// `is_stopping`: the thread has to stop, since the module is being unloaded. Nothing more is
    /// shown then, and a panic request is cancelled. So it is if the rules that it was decided by are
    /// not in effect any more (`is_outdated`).
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn end(mut self, is_stopping: bool, is_outdated: bool) -> Option<PanicRequest> {
        let began = self.due?;
        let Env { knobs, panic, .. } = self.env;
        let asked = DumpOptions::read_sys_info(knobs, Cause::HungTask);
        let is_asked = asked.mask() != 0 || panic.resolve(Some(0)).is_some();
        let timeout = knobs
            .get_u64(Knob::HungTaskTimeoutSecs)
            .saturating_mul(NSEC_PER_SEC);
        let may_show = is_asked && self.warnings.may_show_sys_info(began, timeout);
        if !self.printed && !may_show {
            return None;
        }
        // The knob may have been cleared while the tasks were printed.
        if is_stopping || is_outdated || !panic.is_wanted(Cause::HungTask, u64::MAX) {
            self.session.cancel();
        }
        if is_stopping {
            return None;
        }
        if self.waits_for_io.get() && timeout != 0 {
            wait::print_block_devices(timeout);
        }
        if is_asked {
            self.warnings.show_sys_info(began);
        }
        let is_fatal = self.session.is_fatal();
        // As in check_hung_uninterruptible_tasks(): without warnings left, and without a panic,
        // only what hung_task_sys_info asks for is shown.
        let dump = if (self.printed && self.had_warnings) || is_fatal {
            let dump = DumpOptions::read(knobs, Cause::HungTask);
            DumpOptions {
                sys_info: dump.sys_info.map(|mask| mask | SYS_INFO_LOCKS as usize),
                ..dump
            }
        } else {
            asked
        };
        // The thread may take locks itself if no panic is waited for.
        let mask = dump.mask();
        if !is_fatal && !self.session.ksyms().sys_info(mask) && mask != SYS_INFO_LOCKS as usize {
            printk::err(format_args!("{NO_SYS_INFO}"));
        }
        self.session.end_in_thread(dump)
    }
}

/// Prints which other task a task waits for by no lock.
// Not part of the caller's stack frame.
#[inline(never)]
fn print_task_wait(task: TaskId, wait: TaskWait, owner: &Task) {
    let owner = task::id(owner);
    let waits = TaskWaitName { wait, owner };
    printk::err(format_args!("{}", TaskWaitsForTask { task, waits }));
}

/// Prints where a task runs, its state and its stack.
///
/// # Context
///
/// Process context; prints many lines.
fn show_task(task: &Task) {
    whereabouts::print(task, printk::err);
    task::show(task);
}

/// Says that a hung task that was printed is hung no more. `age`: for how long it was blocked, in
/// nanoseconds.
///
/// # Context
///
/// Process context.
pub(crate) fn print_recovered(task: &Task, age: u64) {
    let (task, secs) = (task::id(task), Secs(age));
    printk::info(format_args!("{}", HungTaskRecovered { task, secs }));
}

/// What tasks have in common that wait for the same: the lock or, if the kernel does not keep track
/// of it, the stack. Not 0.
fn cause_key(found: &HungTask<'_>) -> u64 {
    if let Some(blocker) = &found.blocker {
        return blocker.address as u64;
    }
    stacktrace::save_task(found.task).key().max(1)
}

/// The incident of a hung task.
fn incident_of(found: &HungTask<'_>) -> Incident {
    let task = found.task;
    Incident {
        task: Some(task::id(task)),
        wait: found.blocker.as_ref().map(|blocker| Wait {
            lock: blocker.kind,
            address: blocker.address,
            owner: blocker.owner.as_deref().map(task::id),
        }),
        flags: if task::in_iowait(task) { IN_IOWAIT } else { 0 },
        stack: stacktrace::save_task(task),
        whereabouts: incident::whereabouts(task),
        ..incident::new(IncidentKind::HungTask, task::cpu(task), found.age)
    }
}
