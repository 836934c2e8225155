// SPDX-License-Identifier: GPL-2.0

//! The report on a hung task: mainline's lines (`hung_task_info()`, `debug_show_blocker()`), so
//! that whoever reads or parses those can read these, and lines of vigil's own that begin with
//! `vigil: `.

use super::hung::{millis_until, Shared};
use crate::{
    logic::{
        blocker::{self, Line, LockWords},
        doom::{By, Decision, Why},
        incident::{self, Incident, Kind, Wait},
        knobs::{Id, SYS_INFO_ALL_BT, SYS_INFO_LOCKS},
        text::{Bytes, LogStamp},
        NSEC_PER_SEC,
    },
    sys::{
        clock::{log_clock, monotonic, wall_clock},
        cpu, incidents,
        kthread::Bell,
        lock, log, machine, task,
    },
};
use kernel::{prelude::*, sync::aref::ARef, task::Task};

/// How long the thread sleeps at most while a panic is being waited for, in milliseconds.
const LOOK_MOST: u32 = 100;

/// How many tasks of one look are noted in the record of incidents.
const MOST_NOTED: u32 = 16;

/// What a task waits for, and who has it.
struct Blocker {
    kind: blocker::Kind,
    address: usize,
    words: LockWords,
    owner: Option<ARef<Task>>,
}

impl Blocker {
    /// `None`: nothing that the kernel keeps track of, or the task runs again already.
    fn of(task: &Task) -> Option<Self> {
        let (kind, address) = blocker::decode(task::blocker(task))?;
        let words = lock::read_words(kind, address)?;
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
pub(super) struct Pass<'a> {
    shared: &'a Shared,
    /// Whether there were reports left to be given when it began.
    warned: bool,
    reported: bool,
    /// The panic in which it ends.
    decision: Option<Decision>,
    /// Tasks noted in the record.
    noted: u32,
    /// Whether it would, were it not for the policy.
    refused: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            warned: shared.knobs.get(Id::HungTaskWarnings) != 0,
            reported: false,
            decision: None,
            noted: 0,
            refused: false,
        }
    }

    /// Whether a task makes the look end in a panic, if that is what the count says (`wanted`);
    /// `news`: whether it has a report of its own.
    pub(super) fn fatal(&mut self, wanted: bool, news: bool) -> bool {
        let doom = &self.shared.doom;
        if !wanted || self.panicking() {
            return wanted;
        }
        let allowed = doom.allowed();
        self.refused |= news && !allowed;
        allowed && doom.is_free()
    }

    /// Whether this look ends in a panic.
    pub(super) fn panicking(&self) -> bool {
        self.decision.is_some()
    }

    /// Reports one task, which has been blocked for `age` nanoseconds. `first`: for the first time.
    /// `fatal`: the look is to end in a panic, and the report is given even if none is left.
    /// `is_hung` tells whether another task has a report of its own.
    pub(super) fn report(
        &mut self,
        task: &Task,
        age: u64,
        first: bool,
        fatal: bool,
        is_hung: impl Fn(&Task) -> bool,
    ) {
        let doom = &self.shared.doom;
        let blocker = Blocker::of(task);
        if let Some(decision) = self.decision {
            doom.reporting(decision, monotonic());
        } else {
            if fatal {
                self.decision = doom.decide(Why::HungTask, By::Thread, monotonic());
            }
            // Noted once, and again if it is what makes a panic. Those that pile up behind one
            // cause are not to push everything else out.
            if (first && self.noted < MOST_NOTED) || self.panicking() {
                self.noted = self.noted.saturating_add(1);
                let noted = note(task, age, &blocker);
                if self.panicking() {
                    noted.fatal();
                    machine::console_verbose();
                }
            }
        }
        self.shared.calls.trace_hang(task);
        let left = self.shared.knobs.take_one(Id::HungTaskWarnings);
        if left != 0 || self.panicking() {
            self.reported = true;
            self.lines(task, age, &blocker, is_hung);
            if left == 1 {
                log::info(format_args!(
                    "Future hung task reports are suppressed, see sysctl vigil.hung_task_warnings"
                ));
            }
        }
        machine::touch_watchdogs();
    }

    fn lines(
        &self,
        task: &Task,
        age: u64,
        blocker: &Option<Blocker>,
        is_hung: impl Fn(&Task) -> bool,
    ) {
        let who = task::who(task);
        let io = if task::in_iowait(task) {
            " in I/O wait"
        } else {
            ""
        };
        log::err(format_args!(
            "INFO: task {who} blocked{io} for more than {} seconds.",
            age / NSEC_PER_SEC
        ));
        let kernel = machine::kernel_name();
        let tainted = self.shared.calls.tainted();
        // The version is cut at its first blank, as mainline does: "#1".
        let version = kernel.version.split(|&b| b == b' ').next();
        log::err(format_args!(
            "      {} {} {}{}",
            Bytes(tainted.bytes()),
            Bytes(kernel.release),
            Bytes(version.unwrap_or_default()),
            Bytes(kernel.package),
        ));
        if task::in_coredump(task) {
            log::err(format_args!("      Blocked by coredump."));
        }
        log::err(format_args!(
            "\"echo 0 > /proc/sys/vigil/hung_task_timeout_secs\" disables this message."
        ));
        if let Some(at) = task::last_arrival(task) {
            log::err(format_args!(
                "vigil: task {who} last got a CPU at [{}] of this log",
                LogStamp(at)
            ));
        }
        task::show(task);
        let Some(blocker) = blocker else {
            return;
        };
        let owner = blocker.owner.as_deref();
        log::err(format_args!(
            "{}",
            Line {
                waiter: who,
                kind: blocker.kind,
                words: blocker.words,
                owner: owner.map(task::who),
            }
        ));
        // The owner's stack, unless it comes anyway.
        if let Some(owner) = owner.filter(|owner| !is_hung(owner)) {
            task::show(owner);
        }
    }

    /// Ends the look: what else is to be shown, and the panic. While the module is about to go,
    /// nothing more is shown, and a panic is called off.
    pub(super) fn finish(self, bell: &Bell) {
        let knobs = &self.shared.knobs;
        let doom = &self.shared.doom;
        if !self.reported {
            return;
        }
        // It may have been taken back while the reports were printed.
        let decision = self.decision.filter(|decision| {
            let wanted = knobs.get(Id::HungTaskPanic) != 0 && !bell.stopping();
            if !wanted {
                doom.call_off(*decision);
            }
            wanted
        });
        if bell.stopping() && decision.is_none() {
            return;
        }
        let mut mask = knobs.get(Id::HungTaskSysInfo);
        if self.warned || decision.is_some() {
            mask |= SYS_INFO_LOCKS;
            if knobs.get(Id::HungTaskAllCpuBacktrace) != 0 {
                mask |= SYS_INFO_ALL_BT;
            }
        }
        let mask = usize::try_from(mask).unwrap_or(0);
        if let Some(decision) = decision {
            // Waits for CPUs that do not answer: by itself, in front of all that is waited for no
            // longer than that.
            if mask & SYS_INFO_ALL_BT as usize != 0 {
                doom.reporting(decision, monotonic());
                self.shared.calls.backtrace_others(u32::MAX);
            }
            let rest = mask & !(SYS_INFO_ALL_BT as usize);
            doom.reported(decision, Some(rest), false);
            while doom.stands(decision) {
                if bell.stopping() {
                    doom.call_off(decision);
                    return;
                }
                let now = monotonic();
                let at = doom.tick(By::Thread, now, true);
                // Nobody rings when it is called off.
                if doom.stands(decision) {
                    bell.wait(Some(millis_until(at, now).min(LOOK_MOST)));
                }
            }
            return;
        }
        let shown = self.shared.calls.sys_info(mask);
        if !shown && mask != SYS_INFO_LOCKS as usize {
            pr_err!("cannot show more of the system: this kernel's sys_info() is out of reach\n");
        }
        if self.refused {
            doom.refuse();
        }
    }
}

/// Notes a hung task in the record.
fn note(task: &Task, age: u64, blocker: &Option<Blocker>) -> incidents::Noted {
    incidents::note(&Incident {
        kind: Kind::HungTask,
        cpu: task::cpu(task),
        task: Some(task::who(task)),
        finder: cpu::this(),
        found: log_clock(),
        age,
        wall: wall_clock(),
        wait: blocker.as_ref().map(|blocker| Wait {
            lock: blocker.kind,
            address: blocker.address,
            owner: blocker.owner.as_deref().map(task::who),
        }),
        flags: if task::in_iowait(task) {
            incident::IN_IOWAIT
        } else {
            0
        },
        stack: incidents::stack_of(task),
    })
}
