// SPDX-License-Identifier: GPL-2.0

//! What the lockup detectors of all CPUs share.

use super::{
    hardlockup::{
        backend::Backends,
        cpu_hardlockup::{
            CpuHardlockup,
            PendingHits, //
        },
        heartbeat::CpuHeartbeat, //
    },
    in_tree_softlockup::InTreeSoftlockup, //
};
use crate::{
    knobs::Knobs,
    logic::{
        hardlockup::{
            backend::Backend,
            buddy,
            state::State, //
        },
        panic::{
            Cause,
            Initiator, //
        },
        sample_period::sample_period,
        softlockup, //
    },
    panic::PanicControl,
    report::{
        cpu_wait::{
            CpuActivity,
            CpuProgress,
            CpuWaits,
            LOCK_KEYS, //
        },
        irqs::IrqCountPool,
        report_lock::{
            ReportLock,
            REPORT_LOCK_TIMEOUT_NS, //
        },
        session::{
            DumpOptions,
            ReportSession, //
        }, //
    },
    sys::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed, //
        },
        backtrace::Backtracer,
        buffer::Buffer,
        context::HardirqCtx,
        cpu,
        in_tree_timer::InTreeTimer,
        ksyms::Ksyms,
        nmi::NmiSender,
        smp::SmpCalls,
        stopper::StopWork,
        sysfs::LockupCounts,
        touch::TouchProbes, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Memory for each possible CPU that [`LockupCtx`] takes, in bytes.
pub(super) const BYTES_PER_CPU: usize =
    size_of::<CpuHeartbeat>() + size_of::<CpuHardlockup>() + size_of::<Atomic<bool>>();

/// What the lockup detectors are made of.
pub(crate) struct Parts {
    /// The values of the knobs.
    pub(crate) knobs: Arc<Knobs>,
    /// How a CPU shows that it runs its most urgent thread.
    pub(crate) stop_work: StopWork,
    /// The probes that count touches.
    pub(crate) touches: Arc<TouchProbes>,
    /// How stacks of other CPUs are got, and how an NMI is sent to a CPU.
    pub(crate) backtracer: Arc<Backtracer>,
    /// What decides about panics.
    pub(crate) panic: Arc<PanicControl>,
    /// The back ends that are allowed for hard lockups.
    pub(crate) backend: Backend,
    /// Why `auto` leaves the perf counters alone, if it does.
    pub(crate) leave_counters_alone: Option<&'static str>,
}

/// Reports since load.
#[derive(Clone, Copy)]
pub(crate) struct ReportCounts {
    /// Reports of soft lockups.
    pub(crate) softlockups: u64,
    /// Reports of hard lockups.
    pub(crate) hardlockups: u64,
    /// Reports of CPUs that do not run.
    pub(crate) unresponsive_cpus: u64,
}

/// What the lockup detectors of all CPUs share. No lock is taken: the fields are fixed, or atomic.
pub(crate) struct LockupCtx {
    pub(super) knobs: Arc<Knobs>,
    pub(super) backtracer: Arc<Backtracer>,
    pub(super) panic: Arc<PanicControl>,
    /// The back ends for hard lockups.
    pub(super) backends: Backends,
    /// Dropped after the timers that use it: each of those holds an `Arc` of this context.
    pub(super) stop_work: StopWork,
    pub(super) touches: Arc<TouchProbes>,
    /// Where the requests of CPUs to each other are.
    pub(super) smp_calls: SmpCalls,
    /// The last stack of a CPU that spins for a lock that was printed: [`CpuActivity::lock_key`] and, above
    /// [`LOCK_KEYS`], the CPU.
    lock_stack: Atomic<u64>,
    /// Whether there is a hypervisor, which may not run a CPU.
    pub(super) has_hypervisor: bool,
    pub(super) in_tree_softlockup: InTreeSoftlockup,
    in_tree_timer: Option<InTreeTimer>,
    heartbeats: Buffer<CpuHeartbeat>,
    cpu_hardlockups: Buffer<CpuHardlockup>,
    pub(super) pending_hits: PendingHits,
    /// Room for counts of interrupts.
    pub(super) irq_counts: IrqCountPool,
    /// `watchdog_cpumask`: a flag for each CPU. This and those below up to `hardlockup` change only
    /// while no CPU is watched.
    cpumask: Buffer<Atomic<bool>>,
    /// Seconds; 0: off.
    thresh: Atomic<u64>,
    /// What follows from it, in nanoseconds: the sample period and the two thresholds.
    sample_period: Atomic<u64>,
    softlockup_threshold: Atomic<u64>,
    hardlockup_threshold: Atomic<u64>,
    softlockup: Atomic<bool>,
    hardlockup: Atomic<bool>,
    /// Held by a CPU that prints the stacks of all for its soft lockup, for as long as that takes.
    pub(super) softlockup_lock: ReportLock,
    /// Held by the CPU that reports a hard lockup.
    pub(super) hardlockup_lock: ReportLock,
    pub(super) softlockups: Atomic<u64>,
    pub(super) hardlockups: Atomic<u64>,
    pub(super) unresponsive_cpus: Atomic<u64>,
}

impl LockupCtx {
    /// A context in which nothing is detected.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(super) fn new(parts: Parts) -> Result<Self> {
        let count = cpu::nr_cpu_ids() as usize;
        let ksyms = *parts.backtracer.ksyms();
        Ok(Self {
            knobs: parts.knobs,
            backtracer: parts.backtracer,
            panic: parts.panic,
            backends: Backends::new(parts.backend, parts.leave_counters_alone),
            stop_work: parts.stop_work,
            touches: parts.touches,
            smp_calls: SmpCalls::find(&ksyms),
            lock_stack: Atomic::new(0),
            has_hypervisor: cpu::has_hypervisor(),
            in_tree_softlockup: InTreeSoftlockup::find(&ksyms),
            in_tree_timer: InTreeTimer::find(&ksyms),
            heartbeats: Buffer::new(count, GFP_KERNEL, |_| Ok(CpuHeartbeat::new()))?,
            cpu_hardlockups: Buffer::new(count, GFP_KERNEL, |_| Ok(CpuHardlockup::new()))?,
            pending_hits: PendingHits::new(),
            irq_counts: IrqCountPool::new()?,
            cpumask: Buffer::new(count, GFP_KERNEL, |cpu| {
                let cpu = u32::try_from(cpu).map_err(|_| EINVAL)?;
                Ok(Atomic::new(cpu::housekeeping(cpu)))
            })?,
            thresh: Atomic::new(0),
            sample_period: Atomic::new(0),
            softlockup_threshold: Atomic::new(0),
            hardlockup_threshold: Atomic::new(0),
            softlockup: Atomic::new(false),
            hardlockup: Atomic::new(false),
            softlockup_lock: ReportLock::new(),
            hardlockup_lock: ReportLock::new(),
            softlockups: Atomic::new(0),
            hardlockups: Atomic::new(0),
            unresponsive_cpus: Atomic::new(0),
        })
    }

    /// The heartbeat of a CPU; `None` for a number that no CPU can have.
    pub(super) fn heartbeat(&self, cpu: u32) -> Option<&CpuHeartbeat> {
        self.heartbeats.get(cpu as usize)
    }

    /// What is known of a CPU by those that check it.
    pub(super) fn cpu_hardlockup(&self, cpu: u32) -> Option<&CpuHardlockup> {
        self.cpu_hardlockups.get(cpu as usize)
    }

    /// The states of all CPUs with their numbers.
    pub(super) fn cpu_hardlockups(&self) -> impl Iterator<Item = (&CpuHardlockup, u32)> {
        self.cpu_hardlockups.iter().zip(0..u32::MAX)
    }

    /// The threshold in seconds.
    pub(super) fn thresh(&self) -> u64 {
        self.thresh.load(Relaxed)
    }

    /// Nanoseconds from one timer interrupt to the next.
    pub(super) fn sample_period(&self) -> u64 {
        self.sample_period.load(Relaxed)
    }

    /// When the in-tree detector's timer expires on this CPU, if it has the same threshold; 0: not known.
    ///
    /// # Context
    ///
    /// The timer interrupt of the CPU.
    pub(super) fn in_tree_timer_expires(&self, irq: &HardirqCtx<'_>) -> u64 {
        let timer = self.in_tree_timer.as_ref();
        timer.map_or(0, |timer| timer.expires_here(self.thresh(), irq))
    }

    /// For how many nanoseconds a CPU may not schedule.
    pub(super) fn softlockup_threshold(&self) -> u64 {
        self.softlockup_threshold.load(Relaxed)
    }

    /// How many nanoseconds after the last timer interrupt of a CPU an NMI is sent to it.
    pub(super) fn hardlockup_threshold(&self) -> u64 {
        self.hardlockup_threshold.load(Relaxed)
    }

    /// Whether a CPU is in `watchdog_cpumask`.
    pub(crate) fn in_mask(&self, cpu: u32) -> bool {
        self.cpumask
            .get(cpu as usize)
            .is_some_and(|flag| flag.load(Relaxed))
    }

    /// Whether soft lockups are being detected.
    pub(crate) fn softlockup_enabled(&self) -> bool {
        self.softlockup.load(Relaxed)
    }

    /// Whether hard lockups are being detected.
    pub(crate) fn hardlockup_enabled(&self) -> bool {
        self.hardlockup.load(Relaxed)
    }

    /// Installs the mask.
    ///
    /// # Context
    ///
    /// Process context, while no CPU is watched.
    pub(super) fn install_cpumask(&self, flags: impl Iterator<Item = bool>) {
        for (flag, set) in self.cpumask.iter().zip(flags) {
            flag.store(set, Relaxed);
        }
    }

    /// Installs the threshold in seconds, and what is detected.
    ///
    /// # Context
    ///
    /// Process context, while no CPU is watched.
    pub(super) fn install(&self, thresh: u64, softlockup: bool, hardlockup: bool) {
        self.thresh.store(thresh, Relaxed);
        self.sample_period.store(sample_period(thresh), Relaxed);
        let softlockup_threshold = softlockup::threshold(thresh);
        self.softlockup_threshold
            .store(softlockup_threshold, Relaxed);
        let hardlockup_threshold = buddy::threshold(thresh);
        self.hardlockup_threshold
            .store(hardlockup_threshold, Relaxed);
        self.softlockup.store(softlockup, Relaxed);
        self.hardlockup.store(hardlockup, Relaxed);
    }

    /// The work that shows that a CPU gets to run its most urgent thread.
    pub(crate) fn stop_work(&self) -> &StopWork {
        &self.stop_work
    }

    /// Functions of the kernel that are not exported.
    pub(crate) fn ksyms(&self) -> &Ksyms {
        self.backtracer.ksyms()
    }

    /// How an NMI is sent to a CPU, where that can be done.
    pub(super) fn nmi(&self) -> Option<&NmiSender> {
        self.backtracer.nmi()
    }

    /// Whether an NMI can be sent to a CPU.
    pub(crate) fn can_send_nmi(&self) -> bool {
        self.nmi().is_some()
    }

    /// The probes that count touches.
    pub(crate) fn touches(&self) -> &TouchProbes {
        &self.touches
    }

    /// The back ends for hard lockups.
    pub(crate) fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Reports since load.
    pub(crate) fn report_counts(&self) -> ReportCounts {
        ReportCounts {
            softlockups: self.softlockups.load(Relaxed),
            hardlockups: self.hardlockups.load(Relaxed),
            unresponsive_cpus: self.unresponsive_cpus.load(Relaxed),
        }
    }

    /// Begins the report of a CPU.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn report_session(&self, cpu: u32, dump: DumpOptions) -> ReportSession<'_> {
        ReportSession::new(&self.panic, &self.backtracer, Initiator::Cpu(cpu), dump)
    }

    /// What a report on a hard lockup shows besides its lines.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn hardlockup_dump_options(&self) -> DumpOptions {
        DumpOptions::read(&self.knobs, Cause::HardLockup)
    }

    /// What a report on a soft lockup shows besides its lines.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn softlockup_dump_options(&self) -> DumpOptions {
        DumpOptions::read(&self.knobs, Cause::SoftLockup)
    }

    /// Whether CPUs check each other: also for the sake of those that do not run, which no counter
    /// finds, if an NMI can tell them from those that are stuck.
    pub(super) fn buddy_enabled(&self) -> bool {
        self.backends.buddy()
            || (self.can_send_nmi() && self.panic.is_wanted(Cause::UnresponsiveCpu, u64::MAX))
    }

    /// Whether CPUs are to have counters.
    pub(super) fn perf_enabled(&self) -> bool {
        self.hardlockup_enabled() && self.backends.perf()
    }

    /// Whether a CPU has been giving a report, and for not so long that it seems stuck in it.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(super) fn is_reporting(&self, cpu: u32, now: u64) -> bool {
        self.heartbeat(cpu)
            .is_some_and(|heartbeat| heartbeat.is_reporting(now, REPORT_LOCK_TIMEOUT_NS))
    }

    /// The heartbeats of other CPUs that took a timer interrupt on time from `from` until before `to`.
    fn others_on_time(&self, me: u32, from: u64, to: u64) -> impl Iterator<Item = &CpuHeartbeat> {
        (0..cpu::nr_cpu_ids())
            .filter(move |&other| other != me)
            .filter_map(|other| self.heartbeat(other))
            .filter(move |heartbeat| heartbeat.on_time().any_within(from, to))
    }

    /// Whether another CPU took a timer interrupt on time from `from` until before `to`: the machine ran
    /// then. That CPU need not be watched any more, as when it was the first to be disabled by
    /// whoever waits for `me` now.
    pub(super) fn other_cpu_on_time(&self, me: u32, from: u64, to: u64) -> bool {
        self.others_on_time(me, from, to).next().is_some()
    }

    /// Whether no other watched CPU has taken a timer interrupt of late: each takes one in a sample
    /// period.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(super) fn no_other_cpu_alive(&self, me: u32, now: u64) -> bool {
        let period = self.sample_period();
        let of_late = period.saturating_add(period / 4);
        !self
            .others_on_time(me, now.saturating_sub(of_late), now)
            .any(|heartbeat| heartbeat.active.load(Relaxed))
    }

    /// The watched CPUs that are known to be stuck now: reported, or about to be.
    fn known_stuck(&self) -> impl Iterator<Item = u32> + '_ {
        let cpus = Iterator::zip(self.heartbeats.iter(), self.cpu_hardlockups());
        cpus.filter_map(|(heartbeat, (cpu_hardlockup, cpu))| {
            let is_stuck = heartbeat.active.load(Relaxed)
                && (heartbeat.has_softlockup.load(Relaxed)
                    || cpu_hardlockup.state() != State::Healthy);
            is_stuck.then_some(cpu)
        })
    }

    /// How many CPUs are stuck now, as far as is known: with a soft lockup, a hard lockup, or not
    /// running.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn stuck_cpus(&self) -> u64 {
        // Not `count()`, which brings a panic path along.
        self.known_stuck()
            .fold(0, |stuck: u64, _| stuck.saturating_add(1))
    }

    /// Whether a CPU with an odd number, or an even one, is known to be stuck.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn is_half_stuck(&self, odd: bool) -> bool {
        self.known_stuck().any(|cpu| (cpu % 2 != 0) == odd)
    }

    /// Whether another CPU is known to be stuck.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn other_cpu_stuck(&self, me: u32) -> bool {
        self.known_stuck().any(|cpu| cpu != me)
    }

    /// Whether a lockup of a CPU was reported that lasts.
    fn is_reported(&self, cpu: u32) -> bool {
        let softlockup = self.heartbeat(cpu);
        let hardlockup = self.cpu_hardlockup(cpu);
        softlockup.is_some_and(|heartbeat| heartbeat.has_softlockup.load(Relaxed))
            || hardlockup.is_some_and(|hardlockup| hardlockup.state() == State::Reported)
    }

    /// Returns the stuck CPU whose report has the stack of `cpu` already, as far as it matters: both spin
    /// for the same lock in the same place. Otherwise the stack of `cpu` is to be printed, and others
    /// find it there.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn same_stack(&self, cpu: u32, activity: &CpuActivity) -> Option<u32> {
        let key = activity.lock_key();
        let own = u64::from(cpu).wrapping_mul(LOCK_KEYS) | key;
        loop {
            let shown = self.lock_stack.load(Relaxed);
            let other = u32::try_from(shown / LOCK_KEYS).unwrap_or(0);
            if key != 0 && shown % LOCK_KEYS == key && other != cpu && self.is_reported(other) {
                return Some(other);
            }
            // What this CPU has printed before is not where it is stuck now.
            let new = if key != 0 {
                own
            } else if other == cpu {
                0
            } else {
                return None;
            };
            // Of several CPUs one prints it. Each time that this fails another CPU has done so.
            if self.lock_stack.cmpxchg(shown, new, Relaxed).is_ok() {
                return None;
            }
        }
    }

    /// A lockup of the CPU is over: no report refers to its stack any more, which is not in the report of
    /// its next lockup, perhaps.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(super) fn forget_stack(&self, cpu: u32) {
        let shown = self.lock_stack.load(Relaxed);
        if shown / LOCK_KEYS == u64::from(cpu) {
            // Another CPU may have printed its own.
            let _ = self.lock_stack.cmpxchg(shown, 0, Relaxed);
        }
    }

    /// How it is found out what CPUs wait for.
    ///
    /// # Context
    ///
    /// Any, NMI included, with `now` from a clock that may be read there.
    pub(super) fn cpu_waits(
        &self,
        now: u64,
    ) -> CpuWaits<'_, impl Fn(u32) -> Option<CpuProgress> + '_> {
        let late = self.sample_period().saturating_mul(2);
        CpuWaits::new(&self.smp_calls, &self.backtracer, move |cpu| {
            let heartbeat = self.heartbeat(cpu)?;
            if !heartbeat.active.load(Relaxed) {
                return None;
            }
            let age = heartbeat.age(now);
            let is_reporting = self.is_reporting(cpu, now);
            Some(CpuProgress {
                age,
                is_late: age >= late && !is_reporting,
                has_softlockup: heartbeat.has_softlockup.load(Acquire),
                is_reporting,
                is_waiting: heartbeat.is_waiting.load(Relaxed),
            })
        })
    }

    /// Whether no CPU is watched.
    pub(super) fn none_active(&self) -> bool {
        !self
            .heartbeats
            .iter()
            .any(|heartbeat| heartbeat.active.load(Relaxed))
    }
}

impl LockupCounts for LockupCtx {
    fn softlockups(&self) -> u64 {
        self.report_counts().softlockups
    }

    fn hardlockups(&self) -> u64 {
        self.report_counts().hardlockups
    }
}
