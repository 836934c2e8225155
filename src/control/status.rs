// SPDX-License-Identifier: GPL-2.0

//! `vigil/status` in debugfs: what is detected now, by which means, and what was done since load.
//!
//! One fact a line, `key: value`, under headings `[section]`; made anew for each read. The keys are
//! declared in [`messages::status`](crate::logic::messages::status) and explained in
//! `docs/status.md`.

use super::{
    in_tree::InTree,
    kernel_names::KernelNames, //
};
use crate::{
    detect::{
        hardlockup::backend::probe_error,
        hung_task::ctx::HungTaskCtx,
        lockup_ctx::LockupCtx,
        lockup_detector::LockupDetector,
        watchdog::BYTES_PER_CPU, //
    },
    incident,
    logic::{
        cpulist,
        fmt::{
            write_names,
            Bytes, //
        },
        hung_task::check,
        incident::ENTRIES,
        knobs::Knob,
        messages::{
            status::{
                hardlockup,
                hung_task,
                in_tree,
                incidents,
                kernel_functions,
                kernel_names,
                netlink,
                panic,
                softlockup,
                watchdog, //
            },
            Key, //
        },
        sample_period::sample_period, //
    },
    sys::{
        cpu,
        debugfs::Text,
        ksyms::Ksyms,
        panic as kernel_panic,
        runqueue::{
            Layout,
            Unreadable, //
        },
        stopper::StopWork, //
    }, //
};
use core::fmt::{
    self,
    Display, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

const NSEC_PER_MSEC: u64 = 1_000_000;

/// What the file is made from.
pub(crate) struct StatusFile {
    pub(super) hung: Arc<HungTaskCtx>,
    pub(super) lockups: Arc<LockupDetector>,
    pub(super) kernel_names: KernelNames,
}

impl StatusFile {
    /// The state of these.
    pub(crate) fn new(
        hung: Arc<HungTaskCtx>,
        lockups: Arc<LockupDetector>,
        kernel_names: KernelNames,
    ) -> Self {
        Self {
            hung,
            lockups,
            kernel_names,
        }
    }
}

/// Writes lines, and a heading wherever the section changes.
struct Writer<'a> {
    out: &'a mut dyn fmt::Write,
    section: &'static str,
}

impl Writer<'_> {
    /// Not generic, so that there is one copy of it and not one for each type of value.
    #[inline(never)]
    fn put(&mut self, key: Key, value: &dyn Display) -> fmt::Result {
        if self.section != key.section {
            if !self.section.is_empty() {
                writeln!(self.out)?;
            }
            self.section = key.section;
            writeln!(self.out, "[{}]", key.section)?;
        }
        writeln!(self.out, "{}: {value}", key.name)
    }

    fn put_bool(&mut self, key: Key, value: bool) -> fmt::Result {
        self.put(key, &u8::from(value))
    }
}

/// `watchdog_cpumask` as a list of CPUs.
pub(super) struct Cpumask<'a>(pub(super) &'a LockupCtx);

impl Display for Cpumask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !(0..cpu::nr_cpu_ids()).any(|cpu| self.0.in_mask(cpu)) {
            return f.write_str("none");
        }
        cpulist::show(cpu::nr_cpu_ids(), |cpu| self.0.in_mask(cpu), f)
    }
}

/// The names of kernel functions that are not exported: of the resolved ones (`called`), or of the
/// ones that are not available.
pub(super) struct FunctionNames<'a> {
    pub(super) ksyms: &'a Ksyms,
    pub(super) called: bool,
    pub(super) separator: &'static str,
}

impl Display for FunctionNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = self.ksyms.each();
        let names = functions
            .iter()
            .filter(|(_, available)| *available == self.called);
        write_names(f, self.separator, names.map(|(name, _)| Bytes(name)))
    }
}

/// Why the counts of the run queues cannot be used.
pub(super) fn run_queue_error(error: Unreadable) -> &'static str {
    match error {
        Unreadable::NotWanted => "use_run_queues=0",
        Unreadable::NoOffsets => "offsets unknown to this build",
        Unreadable::NoSymbol => "symbol not found",
    }
}

/// The functions whose calls reset the detectors.
struct TouchFunctions<'a>(&'a LockupCtx);

impl Display for TouchFunctions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.touches().each().filter(|(_, probed)| *probed);
        write_names(f, " ", names.map(|(name, _)| Bytes(name)))
    }
}

/// The counts of all CPUs together.
fn of_all_cpus(count: impl Fn(u32) -> u32) -> u64 {
    (0..cpu::nr_cpu_ids()).fold(0, |sum: u64, cpu| sum.wrapping_add(count(cpu).into()))
}

impl StatusFile {
    fn hung_task(&self, w: &mut Writer<'_>) -> fmt::Result {
        use hung_task as key;
        let (ctx, stats) = (&*self.hung, &self.hung.stats);
        let timeout = ctx.knobs.get_u64(Knob::HungTaskTimeoutSecs);
        let interval = check::interval(timeout, ctx.knobs.get_u64(Knob::HungTaskCheckIntervalSecs));
        let is_judged = !kernel_panic::died_or_panicking();
        w.put_bool(key::ENABLED, interval.is_some() && is_judged)?;
        w.put(key::TIMEOUT_S, &timeout)?;
        w.put(
            key::CHECK_INTERVAL_MS,
            &(interval.unwrap_or(0) / NSEC_PER_MSEC),
        )?;
        w.put_bool(key::SUSPENDED, ctx.suspended())?;
        w.put(key::TRACKED_TASKS, &stats.tracked.get())?;
        w.put(key::HUNG_TASKS, &stats.hung.get())?;
        w.put(key::IGNORED_TASKS, &stats.ignored.get())?;
        w.put(key::TABLE_CAPACITY, &stats.capacity.get())?;
        w.put(key::TABLE_OVERFLOWS, &stats.not_tracked.get())?;
        w.put(key::CHECKS, &stats.checks.get())?;
        w.put(key::TRACKED_ONLY_CHECKS, &stats.due_checks.get())?;
        w.put(key::SCANS, &stats.scans.get())?;
        w.put(key::FULL_SCANS, &stats.full_scans.get())?;
        w.put(key::SCANNED_TASKS, &stats.scanned_tasks.get())?;
        w.put(
            key::LONGEST_RCU_SECTION_NS,
            &&stats.longest_rcu_section_ns.get(),
        )?;
        w.put(key::PAUSED_NS, &stats.paused_ns.get())?;
        w.put_bool(key::RUN_QUEUE_COUNTS, ctx.queues.is_ok())?;
        let error = ctx.queues.err().map_or("none", run_queue_error);
        w.put(key::RUN_QUEUE_COUNTS_ERROR, &error)?;
        let layout = ctx
            .queues
            .as_ref()
            .map_or("none", |queues| match queues.layout() {
                Layout::Source => "source",
                Layout::Btf => "btf",
            });
        w.put(key::RUN_QUEUE_LAYOUT, &layout)
    }

    fn watchdog(&self, w: &mut Writer<'_>) -> fmt::Result {
        use watchdog as key;
        let ctx = self.lockups.ctx();
        let thresh = self.hung.knobs.get_u64(Knob::WatchdogThresh);
        w.put(key::CPUMASK, &Cpumask(ctx))?;
        w.put(
            key::SAMPLE_PERIOD_MS,
            &(sample_period(thresh) / NSEC_PER_MSEC),
        )?;
        w.put(key::BYTES_PER_CPU, &BYTES_PER_CPU)?;
        w.put(key::TOUCH_FUNCTIONS_PROBED, &TouchFunctions(ctx))?;
        w.put_bool(key::GUEST_PAUSED_FLAG, cpu::guest_paused(0).is_some())
    }

    fn softlockup(&self, w: &mut Writer<'_>) -> fmt::Result {
        use softlockup as key;
        let ctx = self.lockups.ctx();
        let thresh = self.hung.knobs.get_u64(Knob::WatchdogThresh);
        w.put_bool(key::ENABLED, ctx.softlockup_enabled())?;
        w.put(key::THRESHOLD_S, &thresh.saturating_mul(2))?;
        w.put(
            key::SAMPLED_WITH,
            &&match ctx.stop_work() {
                StopWork::CpuStopper => "cpu_stopper",
                StopWork::FifoThread(_) => "fifo_thread",
                StopWork::None => "none",
            },
        )?;
        w.put(key::REPORTS, &ctx.report_counts().softlockups)?;
        w.put(
            key::TOUCHES,
            &of_all_cpus(|cpu| ctx.touches().softlockup(cpu)),
        )
    }

    fn hardlockup(&self, w: &mut Writer<'_>) -> fmt::Result {
        use hardlockup as key;
        let ctx = self.lockups.ctx();
        let (backends, reports) = (ctx.backends(), ctx.report_counts());
        let (mut cpus, mut nmis, mut early) = (0u32, 0u64, 0u64);
        for counts in (0..cpu::nr_cpu_ids()).filter_map(|cpu| self.lockups.nmi_counts(cpu)) {
            cpus = cpus.wrapping_add(1);
            nmis = nmis.saturating_add(counts.total.into());
            early = early.saturating_add(counts.early.into());
        }
        let thresh = self.hung.knobs.get_u64(Knob::WatchdogThresh);
        w.put_bool(key::ENABLED, ctx.hardlockup_enabled())?;
        w.put(key::THRESHOLD_S, &thresh)?;
        w.put_bool(key::PERF, backends.perf())?;
        w.put_bool(key::PERF_INCOMPLETE, backends.is_incomplete())?;
        w.put(key::PERF_ERRNO, &backends.probe_errno())?;
        let error = || probe_error(backends.probe_errno());
        w.put(
            key::PERF_ERROR,
            &backends.left_alone().unwrap_or_else(error),
        )?;
        w.put(key::PERF_CPUS, &cpus)?;
        w.put(key::PERF_NMIS, &nmis)?;
        w.put(key::PERF_EARLY_NMIS, &early)?;
        w.put_bool(key::BUDDY, backends.buddy() || !backends.perf())?;
        w.put_bool(key::NMI_CONFIRMATION, ctx.can_send_nmi())?;
        w.put(key::REPORTS, &reports.hardlockups)?;
        w.put(key::UNRESPONSIVE_CPU_REPORTS, &reports.unresponsive_cpus)?;
        w.put(
            key::TOUCHES,
            &of_all_cpus(|cpu| ctx.touches().hardlockup(cpu)),
        )
    }

    fn panic(&self, w: &mut Writer<'_>) -> fmt::Result {
        let loaded = kernel_panic::crash_kernel_loaded();
        let needed = self.hung.knobs.get(Knob::PanicNeedsKdump) != 0;
        w.put_bool(panic::CRASH_KERNEL_LOADED, loaded)?;
        w.put_bool(panic::ALLOWED, loaded || !needed)
    }

    fn netlink(&self, w: &mut Writer<'_>) -> fmt::Result {
        let counts = incident::netlink::counts();
        w.put_bool(netlink::REGISTERED, counts.is_registered)?;
        w.put_bool(netlink::LISTENERS, counts.has_listeners)?;
        w.put(netlink::EVENTS, &counts.events)?;
        w.put(netlink::SENT, &counts.sent)?;
        w.put(netlink::LOST, &counts.lost)
    }

    fn kernel_functions(&self, w: &mut Writer<'_>) -> fmt::Result {
        let names = |called| FunctionNames {
            ksyms: self.hung.ksyms(),
            called,
            separator: " ",
        };
        w.put(kernel_functions::CALLED, &names(true))?;
        w.put(kernel_functions::NOT_AVAILABLE, &names(false))
    }

    fn in_tree(&self, w: &mut Writer<'_>) -> fmt::Result {
        let detectors = InTree::read(self.hung.ksyms());
        w.put(in_tree::HUNG_TASK, &detectors.hung_task)?;
        w.put(
            in_tree::HUNG_TASK_TIMEOUT_S,
            &&detectors.hung_task_timeout_secs,
        )?;
        w.put(in_tree::SOFTLOCKUP, &detectors.softlockup)?;
        w.put(in_tree::HARDLOCKUP, &detectors.hardlockup)
    }

    fn kernel_names(&self, w: &mut Writer<'_>) -> fmt::Result {
        let names = &self.kernel_names;
        w.put_bool(kernel_names::REQUESTED, names.requested())?;
        w.put(kernel_names::REGISTERED, &names.list(true))?;
        w.put(kernel_names::LEFT_TO_KERNEL, &names.list(false))
    }
}

impl StatusFile {
    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let w = &mut Writer { out, section: "" };
        self.hung_task(w)?;
        self.watchdog(w)?;
        self.softlockup(w)?;
        self.hardlockup(w)?;
        self.panic(w)?;
        w.put(incidents::RECORDED, &incident::crash_record::count())?;
        w.put(incidents::KEPT, &ENTRIES)?;
        self.netlink(w)?;
        self.kernel_functions(w)?;
        self.in_tree(w)?;
        self.kernel_names(w)
    }
}

impl Text for StatusFile {
    fn collect(&self) -> Result<impl FnOnce(&mut dyn fmt::Write) -> fmt::Result> {
        Ok(|out: &mut dyn fmt::Write| self.write(out))
    }
}
