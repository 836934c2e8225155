// SPDX-License-Identifier: GPL-2.0

//! What is running and by which means: one line at load, and `vigil/status` in debugfs, live.

use super::hung::Shared;
use crate::{
    logic::{
        hung,
        knobs::Id,
        text::{Bytes, LogStamp, Secs},
    },
    sys::{
        call::Calls,
        debugfs::{Text, TextFile},
        log,
        runqueue::Unreadable,
    },
};
use core::fmt;
use kernel::{prelude::*, str::CStr, sync::Arc};

/// The file `vigil/status` in debugfs.
pub(crate) type Status = TextFile<Shared>;

/// Makes the file.
pub(crate) fn publish(shared: Arc<Shared>) -> Result<Status> {
    TextFile::new(c"vigil", c"status", shared)
}

/// Says at load what runs.
pub(crate) fn announce(shared: &Shared) {
    log::info(format_args!(
        "vigil: hung tasks: {}, {}; {}; in-tree: {}",
        Setting(shared),
        Shortcut(shared),
        Bound(&shared.calls),
        InTree(&shared.calls)
    ));
}

/// `timeout 120 s, look every 7.5 s`
struct Setting<'a>(&'a Shared);

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeout = self.0.knobs.get_u64(Id::HungTaskTimeoutSecs);
        let interval = self.0.knobs.get_u64(Id::HungTaskCheckIntervalSecs);
        match hung::interval(timeout, interval) {
            Some(ns) => write!(f, "timeout {timeout} s, look every {} s", Secs(ns)),
            None => f.write_str("off"),
        }
    }
}

/// Whether passes may do without a walk, and if not, why.
struct Shortcut<'a>(&'a Shared);

impl fmt::Display for Shortcut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.queues {
            Ok(_) => "run queue counts used",
            Err(Unreadable::NotWanted) => "run queue counts not used (use_run_queues=0)",
            Err(Unreadable::NoOffsets) => {
                "run queue counts not used (offsets unknown to this build)"
            }
            Err(Unreadable::NoSymbol) => "run queue counts not used (symbol not found)",
        })
    }
}

/// Which functions are called by static call, and which are done without.
struct Bound<'a>(&'a Calls);

impl fmt::Display for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = |what: &str, bound: bool| -> Result<bool, fmt::Error> {
            let mut any = false;
            for (name, _) in self.0.each().iter().filter(|(_, b)| *b == bound) {
                let sep = if any { "," } else { what };
                write!(f, "{sep} {}", Bytes(name))?;
                any = true;
            }
            Ok(any)
        };
        let bound = list("static calls:", true)?;
        list(
            if bound {
                "; done without:"
            } else {
                "done without:"
            },
            false,
        )?;
        Ok(())
    }
}

/// Whether the kernel's own detectors are on, as far as can be seen.
struct InTree<'a>(&'a Calls);

impl InTree<'_> {
    fn variable(&self, name: &CStr) -> Option<usize> {
        self.0.read_long(name)
    }
}

/// `WATCHDOG_HARDLOCKUP_ENABLED` and `WATCHDOG_SOFTOCKUP_ENABLED` of `include/linux/nmi.h`.
const WATCHDOG_HARD: usize = 1;
/// See [`WATCHDOG_HARD`].
const WATCHDOG_SOFT: usize = 2;

impl fmt::Display for InTree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.can_look_up() {
            return f.write_str("cannot be seen");
        }
        match self.variable(c"sysctl_hung_task_timeout_secs") {
            None => f.write_str("hung task not there")?,
            Some(0) => f.write_str("hung task off")?,
            Some(timeout) => write!(f, "hung task on (timeout {timeout} s)")?,
        }
        let (soft, hard) = match self.variable(c"watchdog_enabled") {
            None => ("not there", "not there"),
            Some(bits) => {
                let word = |bit| if bits & bit != 0 { "on" } else { "off" };
                (word(WATCHDOG_SOFT), word(WATCHDOG_HARD))
            }
        };
        write!(f, ", soft lockup {soft}, hard lockup {hard}")
    }
}

impl Text for Shared {
    fn write(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        let s = self;
        let n = &s.stats;
        writeln!(f, "hung tasks: {}", Setting(s))?;
        if s.suspended() {
            writeln!(f, "  silent: a suspend is going on")?;
        }
        writeln!(
            f,
            "  watched: {} sleeping tasks, {} of them hung",
            n.watched.get(),
            n.hung.get()
        )?;
        writeln!(
            f,
            "  table: room for {}, {} did not fit so far",
            n.capacity.get(),
            n.missed.get()
        )?;
        writeln!(
            f,
            "  passes: {}, and {} looks at the watched tasks alone",
            n.passes.get(),
            n.rechecks.get()
        )?;
        writeln!(
            f,
            "  walks: {}, {} of them through all tasks; {} tasks looked at; longest RCU section {} s",
            n.walks.get(),
            n.full_walks.get(),
            n.looked_at.get(),
            LogStamp(n.longest_section.get())
        )?;
        writeln!(
            f,
            "  time that the machine did not run while tasks were watched: {} s",
            LogStamp(n.lost.get())
        )?;
        writeln!(f, "  short cut: {}", Shortcut(s))?;
        writeln!(f, "{}", Bound(&s.calls))?;
        writeln!(f, "in-tree: {}", InTree(&s.calls))
    }
}
