// SPDX-License-Identifier: GPL-2.0

//! The report on a hung task: mainline's lines (`hung_task_info()`, `debug_show_blocker()`), so
//! that whoever reads or parses those can read these, and lines of vigil's own that begin with
//! `vigil: `.

use super::session::{DumpOptions, Finding, ReportSession};
use crate::{
    detect::hung_task::thread::{millis_until, HungTaskCtx},
    incident,
    logic::{
        blocker::{self, Line, LockWords},
        fmt::{Bytes, LogStamp},
        incident::{Incident, IncidentKind, Wait, IN_IOWAIT},
        messages::{TaskLastRan, NO_SYS_INFO},
        panic::{Cause, Initiator},
        sysctl::{Knob, SYS_INFO_ALL_BT, SYS_INFO_LOCKS},
        NSEC_PER_SEC,
    },
    panic::PanicDecision,
    sys::{
        clock::monotonic, crash_record, kthread::ThreadControl, lock_words, printk, task, touch,
        utsname,
    },
};
use kernel::{sync::aref::ARef, task::Task};

/// How long the thread sleeps at most while a panic is being waited for, in milliseconds.
const MAX_POLL_MS: u32 = 100;

/// How many tasks of one check are recorded at most.
const MAX_RECORDED: u32 = 16;

/// What a task waits for, and who has it.
struct Blocker {
    kind: blocker::LockKind,
    address: usize,
    words: LockWords,
    owner: Option<ARef<Task>>,
}

impl Blocker {
    /// `None`: nothing that the kernel keeps track of, or the task runs again already.
    fn of(task: &Task) -> Option<Self> {
        let (kind, address) = blocker::decode(task::blocker(task))?;
        let words = lock_words::read_words(kind, address)?;
        let owner = blocker::owner_task(kind, words);
        Some(Self {
            kind,
            address,
            words,
            owner: if owner == 0 {
                None
            } else {
                task::by_address(owner)
            },
        })
    }
}

/// The reports of one check of the tracked tasks: one session.
pub(crate) struct Pass<'a> {
    shared: &'a HungTaskCtx,
    session: ReportSession<'a>,
    /// Whether there were reports left to be given when it began.
    warned: bool,
    reported: bool,
    /// Tasks that were recorded.
    recorded: u32,
    /// Whether it would end in a panic, but for the policy.
    refused: bool,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(shared: &'a HungTaskCtx) -> Self {
        Self {
            shared,
            session: ReportSession::new(
                &shared.panic,
                &shared.ksyms,
                Initiator::Thread,
                DumpOptions::NONE,
            ),
            warned: shared.knobs.get(Knob::HungTaskWarnings) != 0,
            reported: false,
            recorded: 0,
            refused: false,
        }
    }

    /// Whether the report of one more task, the `hung`th of this check, would make a panic.
    pub(crate) fn would_panic(&self, hung: u64) -> bool {
        !self.session.is_fatal() && self.shared.panic.would_panic(Cause::HungTask, hung)
    }

    /// Reports one task, the `hung`th of this check, which has been blocked for `age` nanoseconds.
    /// `first`: for the first time. If it makes a panic the report is given even if none is left.
    /// `is_hung` tells whether another task has a report of its own.
    pub(crate) fn report(
        &mut self,
        task: &Task,
        age: u64,
        first: bool,
        hung: u64,
        is_hung: impl Fn(&Task) -> bool,
    ) {
        let blocker = Blocker::of(task);
        let was_fatal = self.session.is_fatal();
        // Recorded once, and again if it is what makes a panic. Tasks that pile up behind one cause
        // must not push everything else out of the record.
        let record = first && self.recorded < MAX_RECORDED && !was_fatal;
        let finding = Finding {
            cause: Cause::HungTask,
            magnitude: hung,
            repeated: !record,
        };
        self.recorded = self.recorded.saturating_add(u32::from(record));
        self.session
            .add(finding, monotonic(), || incident(task, age, &blocker));
        self.refused |= self.session.is_refused();
        let is_fatal = self.session.is_fatal();
        if is_fatal && !was_fatal {
            printk::console_verbose();
        }
        self.shared.ksyms.trace_hang(task);
        let left = self.shared.knobs.take_one(Knob::HungTaskWarnings);
        if left != 0 || is_fatal {
            self.reported = true;
            self.lines(task, age, &blocker, is_hung);
            if left == 1 {
                printk::info(format_args!(
                    "Future hung task reports are suppressed, see sysctl vigil.hung_task_warnings"
                ));
            }
        }
        touch::touch_nmi_watchdog();
    }

    fn lines(
        &self,
        task: &Task,
        age: u64,
        blocker: &Option<Blocker>,
        is_hung: impl Fn(&Task) -> bool,
    ) {
        let who = task::id(task);
        let io = if task::in_iowait(task) {
            " in I/O wait"
        } else {
            ""
        };
        printk::err(format_args!(
            "INFO: task {who} blocked{io} for more than {} seconds.",
            age / NSEC_PER_SEC
        ));
        let kernel = utsname::kernel_name();
        let tainted = self.shared.ksyms.tainted();
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
                    task: who,
                    time: LogStamp(at),
                }
            ));
        }
        task::show(task);
        let Some(blocker) = blocker else {
            return;
        };
        let owner = blocker.owner.as_deref();
        printk::err(format_args!(
            "{}",
            Line {
                waiter: who,
                kind: blocker.kind,
                words: blocker.words,
                owner: owner.map(task::id),
            }
        ));
        // The owner's stack, unless it comes anyway.
        if let Some(owner) = owner.filter(|owner| !is_hung(owner)) {
            task::show(owner);
        }
    }

    /// Ends the check: what else is to be shown, and the panic. While the module is about to go,
    /// nothing more is shown, and a panic is cancelled.
    pub(crate) fn finish(self, control: &ThreadControl) {
        let knobs = &self.shared.knobs;
        let panic = &self.shared.panic;
        if !self.reported {
            return;
        }
        // The knob may have been cleared while the reports were printed.
        let request = self.session.request().filter(|request| {
            let wanted = panic.is_wanted(Cause::HungTask, u64::MAX) && !control.should_stop();
            if !wanted {
                panic.cancel(*request);
            }
            wanted
        });
        if control.should_stop() && request.is_none() {
            return;
        }
        let mut mask = knobs.get(Knob::HungTaskSysInfo);
        if self.warned || request.is_some() {
            mask |= SYS_INFO_LOCKS;
            if knobs.get(Knob::HungTaskAllCpuBacktrace) != 0 {
                mask |= SYS_INFO_ALL_BT;
            }
        }
        let mask = usize::try_from(mask).unwrap_or(0);
        if let Some(request) = request {
            // Waits for CPUs that do not answer: by itself, in front of all that is waited for no
            // longer than that.
            if mask & SYS_INFO_ALL_BT as usize != 0 {
                panic.begin_step(request, monotonic());
                self.shared.ksyms.backtrace_others(u32::MAX);
            }
            let rest = mask & !(SYS_INFO_ALL_BT as usize);
            let decision = PanicDecision {
                request: Some(request),
                refused: false,
            };
            panic.end_report(&decision, Some(rest), || false);
            while panic.stands(request) {
                if control.should_stop() {
                    panic.cancel(request);
                    return;
                }
                let now = monotonic();
                let at = panic.poll(Initiator::Thread, now, true);
                // Nothing wakes the thread when the request is cancelled.
                if panic.stands(request) {
                    control.wait(Some(millis_until(at, now).min(MAX_POLL_MS)));
                }
            }
            return;
        }
        let shown = self.shared.ksyms.sys_info(mask);
        if !shown && mask != SYS_INFO_LOCKS as usize {
            printk::err(format_args!("{NO_SYS_INFO}"));
        }
        if self.refused {
            panic.print_refusal();
        }
    }
}

/// The incident of a hung task.
fn incident(task: &Task, age: u64, blocker: &Option<Blocker>) -> Incident {
    Incident {
        task: Some(task::id(task)),
        wait: blocker.as_ref().map(|blocker| Wait {
            lock: blocker.kind,
            address: blocker.address,
            owner: blocker.owner.as_deref().map(task::id),
        }),
        flags: if task::in_iowait(task) { IN_IOWAIT } else { 0 },
        stack: crash_record::stack_of(task),
        ..incident::new(IncidentKind::HungTask, task::cpu(task), age)
    }
}
