// SPDX-License-Identifier: GPL-2.0

//! The report on a hung task: mainline's lines (`hung_task_info()`, `debug_show_blocker()`), so
//! that whoever reads or parses those can read these, and lines of vigil's own that begin with
//! `vigil: `.

use crate::{
    detect::hung_task::thread::{millis_until, HungTaskCtx},
    logic::{
        blocker::{self, Line, LockWords},
        fmt::{Bytes, LogStamp},
        incident::{self, Incident, IncidentKind, Wait},
        panic::{Cause, Initiator, PanicRequest},
        sysctl::{Knob, SYS_INFO_ALL_BT, SYS_INFO_LOCKS},
        NSEC_PER_SEC,
    },
    sys::{
        clock::{log_clock, monotonic, wall_clock},
        cpu, crash_record,
        kthread::ThreadControl,
        lock_words, printk, task, touch, utsname,
    },
};
use kernel::{prelude::*, sync::aref::ARef, task::Task};

/// How long the thread sleeps at most while a panic is being waited for, in milliseconds.
const LOOK_MOST: u32 = 100;

/// How many tasks of one look are noted in the record of incidents.
const MOST_NOTED: u32 = 16;

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

/// The reports of one look at the tasks.
pub(crate) struct Pass<'a> {
    shared: &'a HungTaskCtx,
    /// Whether there were reports left to be given when it began.
    warned: bool,
    reported: bool,
    /// The panic in which it ends.
    decision: Option<PanicRequest>,
    /// Tasks noted in the record.
    noted: u32,
    /// Whether it would, were it not for the policy.
    refused: bool,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(shared: &'a HungTaskCtx) -> Self {
        Self {
            shared,
            warned: shared.knobs.get(Knob::HungTaskWarnings) != 0,
            reported: false,
            decision: None,
            noted: 0,
            refused: false,
        }
    }

    /// Whether a task makes the look end in a panic, if that is what the count says (`wanted`);
    /// `news`: whether it has a report of its own.
    pub(crate) fn fatal(&mut self, wanted: bool, news: bool) -> bool {
        let panic = &self.shared.panic;
        if !wanted || self.panicking() {
            return wanted;
        }
        let allowed = panic.allowed();
        self.refused |= news && !allowed;
        allowed && panic.is_free()
    }

    /// Whether this look ends in a panic.
    pub(crate) fn panicking(&self) -> bool {
        self.decision.is_some()
    }

    /// Reports one task, which has been blocked for `age` nanoseconds. `first`: for the first time.
    /// `fatal`: the look is to end in a panic, and the report is given even if none is left.
    /// `is_hung` tells whether another task has a report of its own.
    pub(crate) fn report(
        &mut self,
        task: &Task,
        age: u64,
        first: bool,
        fatal: bool,
        is_hung: impl Fn(&Task) -> bool,
    ) {
        let panic = &self.shared.panic;
        let blocker = Blocker::of(task);
        if let Some(decision) = self.decision {
            panic.reporting(decision, monotonic());
        } else {
            if fatal {
                self.decision = panic.decide(Cause::HungTask, Initiator::Thread, monotonic());
            }
            // Noted once, and again if it is what makes a panic. Those that pile up behind one
            // cause are not to push everything else out.
            if (first && self.noted < MOST_NOTED) || self.panicking() {
                self.noted = self.noted.saturating_add(1);
                let noted = note(task, age, &blocker);
                if self.panicking() {
                    noted.mark_fatal();
                    printk::console_verbose();
                }
            }
        }
        self.shared.ksyms.trace_hang(task);
        let left = self.shared.knobs.take_one(Knob::HungTaskWarnings);
        if left != 0 || self.panicking() {
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
                "vigil: task {who} last got a CPU at [{}] of this log",
                LogStamp(at)
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

    /// Ends the look: what else is to be shown, and the panic. While the module is about to go,
    /// nothing more is shown, and a panic is called off.
    pub(crate) fn finish(self, control: &ThreadControl) {
        let knobs = &self.shared.knobs;
        let panic = &self.shared.panic;
        if !self.reported {
            return;
        }
        // It may have been taken back while the reports were printed.
        let decision = self.decision.filter(|decision| {
            let wanted = knobs.get(Knob::HungTaskPanic) != 0 && !control.should_stop();
            if !wanted {
                panic.cancel(*decision);
            }
            wanted
        });
        if control.should_stop() && decision.is_none() {
            return;
        }
        let mut mask = knobs.get(Knob::HungTaskSysInfo);
        if self.warned || decision.is_some() {
            mask |= SYS_INFO_LOCKS;
            if knobs.get(Knob::HungTaskAllCpuBacktrace) != 0 {
                mask |= SYS_INFO_ALL_BT;
            }
        }
        let mask = usize::try_from(mask).unwrap_or(0);
        if let Some(decision) = decision {
            // Waits for CPUs that do not answer: by itself, in front of all that is waited for no
            // longer than that.
            if mask & SYS_INFO_ALL_BT as usize != 0 {
                panic.reporting(decision, monotonic());
                self.shared.ksyms.backtrace_others(u32::MAX);
            }
            let rest = mask & !(SYS_INFO_ALL_BT as usize);
            panic.reported(decision, Some(rest), false);
            while panic.stands(decision) {
                if control.should_stop() {
                    panic.cancel(decision);
                    return;
                }
                let now = monotonic();
                let at = panic.poll(Initiator::Thread, now, true);
                // Nobody rings when it is called off.
                if panic.stands(decision) {
                    control.wait(Some(millis_until(at, now).min(LOOK_MOST)));
                }
            }
            return;
        }
        let shown = self.shared.ksyms.sys_info(mask);
        if !shown && mask != SYS_INFO_LOCKS as usize {
            pr_err!("cannot show more of the system: this kernel's sys_info() is out of reach\n");
        }
        if self.refused {
            panic.refuse();
        }
    }
}

/// Notes a hung task in the record.
fn note(task: &Task, age: u64, blocker: &Option<Blocker>) -> crash_record::RecordId {
    crash_record::record(&Incident {
        kind: IncidentKind::HungTask,
        cpu: task::cpu(task),
        task: Some(task::id(task)),
        finder: cpu::this(),
        found: log_clock(),
        age,
        wall: wall_clock(),
        wait: blocker.as_ref().map(|blocker| Wait {
            lock: blocker.kind,
            address: blocker.address,
            owner: blocker.owner.as_deref().map(task::id),
        }),
        flags: if task::in_iowait(task) {
            incident::IN_IOWAIT
        } else {
            0
        },
        stack: crash_record::stack_of(task),
    })
}
