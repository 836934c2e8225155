// SPDX-License-Identifier: GPL-2.0

//! What is running and by which means: one line at load, and `vigil/status` in debugfs, live.

use super::sysctl::KernelNames;
use crate::{
    detect::{
        hardlockup::backend::Describe,
        hung_task::ctx::HungTaskCtx,
        lockup_ctx::ReportCounts,
        watchdog::{LockupDetector, BYTES_PER_CPU},
    },
    logic::{
        cpulist,
        fmt::{Bytes, LogStamp, Secs},
        hung_task::check,
        incident::ENTRIES,
        sysctl::Knob,
    },
    sys::{
        cpu, crash_record,
        debugfs::{Text, TextFile},
        ksyms::Ksyms,
        panic as kernel_panic, printk,
        runqueue::Unreadable,
        watchdog_timer::StopWork,
    },
};
use core::fmt;
use kernel::{prelude::*, str::CStr, sync::Arc};

/// Everything that is told about.
pub(crate) struct All {
    hung: Arc<HungTaskCtx>,
    lockups: Arc<Pin<KBox<LockupDetector>>>,
    kernel_names: KernelNames,
}

impl All {
    /// All of these.
    pub(crate) fn new(
        hung: Arc<HungTaskCtx>,
        lockups: Arc<Pin<KBox<LockupDetector>>>,
        kernel_names: KernelNames,
    ) -> Self {
        Self {
            hung,
            lockups,
            kernel_names,
        }
    }
}

/// The file `vigil/status` in debugfs.
pub(crate) type Status = TextFile<All>;

/// Makes the file.
pub(crate) fn publish(all: Arc<All>) -> Result<Status> {
    TextFile::new(c"vigil", c"status", all)
}

/// Says at load what runs.
pub(crate) fn announce(all: &All) {
    let hung = &all.hung;
    printk::info(format_args!(
        "vigil: hung tasks: {}, {}; {}; {}; in-tree: {}",
        Setting(hung),
        Shortcut(hung),
        Watching(&all.lockups),
        Bound(&hung.ksyms),
        InTree(&hung.ksyms)
    ));
    // A line of its own: the list may be long.
    if all.kernel_names.wanted() {
        printk::info(format_args!("vigil: kernel names: {}", all.kernel_names));
    }
}

/// Which lockups are being detected, and how.
struct Watching<'a>(&'a LockupDetector);

impl fmt::Display for Watching<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.0.ctx();
        let (soft, hard) = (shared.softlockup_enabled(), shared.hardlockup_enabled());
        let word = |on| if on { "on" } else { "off" };
        write!(f, "soft lockups {}", word(soft))?;
        f.write_str(match shared.stop_work() {
            StopWork::CpuStopper => " (by the stopper)",
            StopWork::FifoThread(_) => " (by FIFO-99 threads: a real-time hog looks like one)",
            StopWork::None => " (no way to the stopper, and no threads)",
        })?;
        write!(
            f,
            ", hard lockups {} ({})",
            word(hard),
            Describe {
                backends: shared.backends(),
                can_send_nmi: shared.can_send_nmi(),
                ksyms: shared.ksyms()
            }
        )?;
        f.write_str(", on CPUs ")?;
        cpulist::show(cpu::count(), |cpu| shared.in_mask(cpu), f)
    }
}

/// `timeout 120 s, look every 7.5 s`
struct Setting<'a>(&'a HungTaskCtx);

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeout = self.0.knobs.get_u64(Knob::HungTaskTimeoutSecs);
        let interval = self.0.knobs.get_u64(Knob::HungTaskCheckIntervalSecs);
        match check::interval(timeout, interval) {
            Some(ns) => write!(f, "timeout {timeout} s, look every {} s", Secs(ns)),
            None => f.write_str("off"),
        }
    }
}

/// Whether passes may do without a walk, and if not, why.
struct Shortcut<'a>(&'a HungTaskCtx);

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
struct Bound<'a>(&'a Ksyms);

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
struct InTree<'a>(&'a Ksyms);

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

impl Text for All {
    fn write(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        let s = &*self.hung;
        let n = &s.stats;
        writeln!(f, "hung tasks: {}", Setting(s))?;
        if s.suspended() {
            writeln!(f, "  silent: a suspend is going on")?;
        }
        writeln!(
            f,
            "  watched: {} sleeping tasks, {} of them hung",
            n.tracked.get(),
            n.hung.get()
        )?;
        writeln!(
            f,
            "  table: room for {}, {} did not fit so far",
            n.capacity.get(),
            n.not_tracked.get()
        )?;
        writeln!(
            f,
            "  passes: {}, and {} looks at the watched tasks alone",
            n.checks.get(),
            n.due_checks.get()
        )?;
        writeln!(
            f,
            "  walks: {}, {} of them through all tasks; {} tasks looked at; longest RCU section {} s",
            n.scans.get(),
            n.full_scans.get(),
            n.scanned_tasks.get(),
            LogStamp(n.longest_rcu_section_ns.get())
        )?;
        writeln!(
            f,
            "  time that the machine did not run while tasks were watched: {} s",
            LogStamp(n.paused_ns.get())
        )?;
        writeln!(f, "  short cut: {}", Shortcut(s))?;
        writeln!(f, "lockups: {}", Watching(&self.lockups))?;
        let shared = self.lockups.ctx();
        let ReportCounts {
            softlockups: soft,
            hardlockups: hard,
            unresponsive_cpus: unresponsive,
        } = shared.report_counts();
        writeln!(
            f,
            "  reported: {soft} soft, {hard} hard, {unresponsive} CPUs that did not run"
        )?;
        writeln!(
            f,
            "  memory: {BYTES_PER_CPU} bytes for each CPU, and the per-CPU variables of the C part"
        )?;
        let counters = (0..cpu::count()).filter_map(|cpu| self.lockups.nmi_counts(cpu));
        let (with, nmis, early) = counters.fold((0u32, 0u64, 0u64), |(with, a, b), nmis| {
            let (a, b) = (
                a.saturating_add(nmis.total.into()),
                b.saturating_add(nmis.early.into()),
            );
            (with.wrapping_add(1), a, b)
        });
        if with != 0 {
            writeln!(
                f,
                "  counters of cycles: on {with} CPUs; {nmis} NMIs, {early} of them too early"
            )?;
        }
        f.write_str("  patience asked for through:")?;
        for (name, _) in shared.touches().each().filter(|(_, probed)| *probed) {
            write!(f, " {}", Bytes(name))?;
        }
        writeln!(f)?;
        let flag = cpu::guest_paused(0).is_some();
        writeln!(
            f,
            "  guest-paused flag: {}",
            if flag {
                "read"
            } else {
                "there is none (no kvmclock)"
            }
        )?;
        let loaded = kernel_panic::crash_kernel_loaded();
        let refused = !loaded && s.knobs.get(Knob::PanicNeedsKdump) != 0;
        writeln!(
            f,
            "incidents: {} noted, the last {ENTRIES} are kept for a dump",
            crash_record::count()
        )?;
        writeln!(
            f,
            "crash kernel: {}{}",
            if loaded { "loaded" } else { "not loaded" },
            if refused {
                ": no panic (panic_needs_kdump=1)"
            } else {
                ""
            }
        )?;
        writeln!(f, "kernel names: {}", self.kernel_names)?;
        writeln!(f, "{}", Bound(&s.ksyms))?;
        writeln!(f, "in-tree: {}", InTree(&s.ksyms))
    }
}
