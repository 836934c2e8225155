// SPDX-License-Identifier: GPL-2.0

//! The report on a hung task: mainline's lines (`hung_task_info()`, `debug_show_blocker()`), so
//! that whoever reads or parses those can read these, and lines of vigil's own that begin with
//! `vigil: `.

use super::hung::Shared;
use crate::{
    logic::{
        blocker::{self, Line},
        knobs::{Id, SYS_INFO_ALL_BT, SYS_INFO_LOCKS},
        text::{Bytes, LogStamp},
        NSEC_PER_SEC,
    },
    sys::{lock, log, machine, task},
};
use kernel::{prelude::*, task::Task};

/// The reports of one look at the tasks.
pub(super) struct Pass<'a> {
    shared: &'a Shared,
    /// Whether there were reports left to be given when it began.
    warned: bool,
    reported: bool,
    panicking: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            warned: shared.knobs.get(Id::HungTaskWarnings) != 0,
            reported: false,
            panicking: false,
        }
    }

    /// Whether this look ends in a panic.
    pub(super) fn panicking(&self) -> bool {
        self.panicking
    }

    /// Reports one task, which has been blocked for `age` nanoseconds. `fatal`: the look is to end
    /// in a panic, and the report is given even if none is left. `is_hung` tells whether another
    /// task has a report of its own.
    pub(super) fn report(
        &mut self,
        task: &Task,
        age: u64,
        fatal: bool,
        is_hung: impl Fn(&Task) -> bool,
    ) {
        self.shared.calls.trace_hang(task);
        if fatal && !self.panicking {
            self.panicking = true;
            machine::console_verbose();
        }
        let left = self.shared.knobs.take_one(Id::HungTaskWarnings);
        if left != 0 || self.panicking {
            self.reported = true;
            self.lines(task, age, is_hung);
            if left == 1 {
                log::info(format_args!(
                    "Future hung task reports are suppressed, see sysctl vigil.hung_task_warnings"
                ));
            }
        }
        machine::touch_watchdogs();
    }

    fn lines(&self, task: &Task, age: u64, is_hung: impl Fn(&Task) -> bool) {
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
        self.blocker(task, is_hung);
    }

    /// What the task waits for and who has that, with the owner's stack unless it comes anyway.
    fn blocker(&self, task: &Task, is_hung: impl Fn(&Task) -> bool) {
        let Some((kind, address)) = blocker::decode(task::blocker(task)) else {
            return;
        };
        // Gone already: the task runs again.
        let Some(words) = lock::read_words(kind, address) else {
            return;
        };
        let owner = blocker::owner_task(kind, words);
        let owner = if owner == 0 {
            None
        } else {
            task::by_address(owner)
        };
        log::err(format_args!(
            "{}",
            Line {
                waiter: task::who(task),
                kind,
                words,
                owner: owner.as_deref().map(task::who),
            }
        ));
        if let Some(owner) = owner {
            if !is_hung(&owner) {
                task::show(&owner);
            }
        }
    }

    /// Ends the look: what else is to be shown, and the panic. `hurry`: the module is about to go,
    /// show nothing more.
    pub(super) fn finish(self, hurry: bool) {
        if !self.reported {
            return;
        }
        let knobs = &self.shared.knobs;
        // It may have been taken back while the reports were printed.
        let panicking = self.panicking && knobs.get(Id::HungTaskPanic) != 0;
        if hurry && !panicking {
            return;
        }
        let mut mask = knobs.get(Id::HungTaskSysInfo);
        if self.warned || panicking {
            mask |= SYS_INFO_LOCKS;
            if knobs.get(Id::HungTaskAllCpuBacktrace) != 0 {
                mask |= SYS_INFO_ALL_BT;
            }
        }
        let shown = self
            .shared
            .calls
            .sys_info(usize::try_from(mask).unwrap_or(0));
        if !shown && mask != SYS_INFO_LOCKS {
            pr_err!("cannot show more of the system: this kernel's sys_info() is out of reach\n");
        }
        if panicking {
            machine::panic_hung_task();
        }
    }
}
