// SPDX-License-Identifier: GPL-2.0

//! The lockup detectors of all CPUs as one thing: to start, to reconfigure, and to stop by dropping.
//!
//! A change of a knob disables the watchdog of each CPU and enables it again
//! ([`LockupDetector::reconfigure`], mainline's `lockup_detector_reconfigure()`). What that starts and
//! stops on a CPU is in [`super::watchdog`].

use super::{
    hardlockup::perf::{
        NmiCounts,
        NmiWatchdog, //
    },
    lockup_config::{
        CpuMask,
        LockupConfig, //
    },
    lockup_ctx::{
        LockupCtx,
        Parts, //
    },
    watchdog::Watchdogs, //
};
use crate::{
    logic::{
        knobs::Knob,
        messages::LockupsSwitchedOff, //
    },
    sys::{
        cpuhp::{
            self,
            Instance, //
        },
        printk,
        stopper::StopWork, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        Mutex, //
    }, //
};

/// The lockup detectors. Dropping this disables all CPUs and waits until no timer, stop work or
/// counter of the module is left.
#[pin_data]
pub(crate) struct LockupDetector {
    ctx: Arc<LockupCtx>,
    watchdogs: Arc<Watchdogs>,
    #[pin]
    instance: Mutex<Pin<KBox<Instance<Watchdogs>>>>,
}

impl LockupDetector {
    /// Sets everything up; no CPU is watched until [`LockupDetector::start`].
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `ENOSPC` when there is no room for another CPU hotplug state.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn new(parts: Parts) -> Result<Arc<Self>> {
        let ctx = Arc::new(LockupCtx::new(parts)?, GFP_KERNEL)?;
        let watchdogs = Arc::new(Watchdogs::new(ctx.clone())?, GFP_KERNEL)?;
        let state = cpuhp::MultiState::new(c"vigil:online")?;
        let instance = KBox::pin_init(Instance::new(state, watchdogs.clone()), GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                ctx,
                watchdogs,
                instance <- new_mutex!(instance, "vigil::LockupDetector::instance"),
            }),
            GFP_KERNEL,
        )
    }

    /// What all CPUs share.
    pub(crate) fn ctx(&self) -> &Arc<LockupCtx> {
        &self.ctx
    }

    /// Watches the CPUs of `cpumask` (the housekeeping CPUs, if it is `None`) as the knobs say.
    ///
    /// # Errors
    ///
    /// As [`LockupDetector::reconfigure`].
    ///
    /// # Context
    ///
    /// Process context, at load.
    pub(crate) fn start(&self, cpumask: Option<&CpuMask>) -> Result {
        let mut config = LockupConfig::from_knobs(&self.ctx.knobs);
        if let Some(cpumask) = cpumask {
            config.set_cpumask(cpumask);
        }
        let mut instance = self.instance.lock();
        self.install(&mut instance, &config)
    }

    /// Changes the configuration: `change` is applied to what is installed. Returns when it is in
    /// effect on every CPU. All CPUs are disabled meanwhile, and everything that was measured begins
    /// anew; a change that changes nothing does nothing.
    ///
    /// # Errors
    ///
    /// With `hardlockup_backend=perf`, why there are no counters; `ENOMEM`; what enabling the CPU hotplug
    /// state returns. Everything is as it was then.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn reconfigure<'a>(&self, change: impl Fn(&mut LockupConfig<'a>)) -> Result {
        let changed = || {
            let installed = LockupConfig::from_knobs(&self.ctx.knobs);
            let mut config = installed;
            change(&mut config);
            (!config.is_same(&installed, |cpu| self.ctx.in_mask(cpu))).then_some(config)
        };
        let end = |config: &LockupConfig<'a>| {
            // The administrator is at work, so that no panic is needed to save the machine; and a CPU
            // that is stuck may keep this from coming to its end. CPUs that are still watched meanwhile
            // find that one again, which makes a panic if the detector is to stay.
            let panic = &self.ctx.panic;
            let ends = panic.detectors_end(!config.softlockup(), !config.hardlockup());
            panic.cancel_cpu_request();
            ends
        };
        // Another writer may hold the lock until a stuck CPU answers.
        let _ends = changed().as_ref().map(end);
        let mut instance = self.instance.lock();
        // Compared again under the lock: another writer may have been faster, or have failed.
        match changed() {
            Some(config) => {
                let _ends = end(&config);
                self.install(&mut instance, &config)
            }
            None => Ok(()),
        }
    }

    /// Installs a configuration while no CPU is watched. If it cannot be had, everything is as it was
    /// before: there may be no back end for it, or a CPU may refuse.
    fn install(
        &self,
        instance: &mut Pin<KBox<Instance<Watchdogs>>>,
        config: &LockupConfig<'_>,
    ) -> Result {
        let ctx = &self.ctx;
        // Once probed, the choice stays until hard lockups are switched on again. Nothing has been
        // disabled when that is refused: vigil has no counters then.
        if config.hardlockup() && !ctx.hardlockup_enabled() {
            ctx.backends.probe(config.thresh())?;
        }
        let old_cpumask = CpuMask::new(|cpu| ctx.in_mask(cpu))?;
        let mut old = LockupConfig::from_knobs(&ctx.knobs);
        old.set_cpumask(&old_cpumask);
        instance.as_mut().disable();
        self.apply(config);
        self.enable(instance).inspect_err(|_| {
            self.apply(&old);
            self.enable_or_switch_off(instance);
        })
    }

    /// Makes a configuration the one that is in effect for the CPUs that are enabled next.
    fn apply(&self, config: &LockupConfig<'_>) {
        let ctx = &self.ctx;
        if let Some(cpumask) = config.cpumask() {
            ctx.install_cpumask(cpumask.iter());
        }
        let softlockup = config.softlockup() && !matches!(ctx.stop_work, StopWork::None);
        config.store_to(&ctx.knobs);
        ctx.install(config.thresh(), softlockup, config.hardlockup());
    }

    /// Enables all CPUs. If one refuses, what is watched is nothing, and the knobs say so.
    fn enable_or_switch_off(&self, instance: &mut Pin<KBox<Instance<Watchdogs>>>) {
        if let Err(error) = self.enable(instance) {
            // No timer is left that would execute it.
            self.ctx.panic.cancel_cpu_request();
            let mut off = LockupConfig::from_knobs(&self.ctx.knobs);
            off.set(Knob::Watchdog, 0);
            self.apply(&off);
            let errno = error.to_errno();
            printk::err(format_args!("{}", LockupsSwitchedOff { errno }));
        }
    }

    /// Enables all CPUs, if there is anything to detect.
    fn enable(&self, instance: &mut Pin<KBox<Instance<Watchdogs>>>) -> Result {
        if self.ctx.softlockup_enabled() || self.ctx.hardlockup_enabled() {
            self.ctx.backends.reset();
            instance.as_mut().enable()?;
        }
        Ok(())
    }

    /// The module is about to be unloaded: cancels a panic that a CPU has requested, while all CPUs
    /// still run.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn unloading(&self) {
        let panic = &self.ctx.panic;
        // For good.
        core::mem::forget(panic.detectors_end(true, true));
        panic.cancel_cpu_request();
    }

    /// The frequency of CPUs may have changed: counters whose period does not fit any more are
    /// reprogrammed.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn frequency_changed(&self) {
        self.reprogram_counters(NmiWatchdog::is_outdated);
    }

    /// The machine has resumed: what the processors forgot meanwhile is programmed again. CPUs that
    /// went offline and came back have new counters; the boot CPU's may not count any more, for all
    /// that perf knows.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn resumed(&self) {
        self.reprogram_counters(|_| true);
    }

    /// Disables and enables all CPUs if the counter of one of them needs it.
    fn reprogram_counters(&self, needs: fn(&NmiWatchdog) -> bool) {
        // A panic that is being waited for needs the timers.
        if !self.ctx.panic.is_idle() {
            return;
        }
        let counters = &self.watchdogs.counters;
        if counters.any(|counter| counter.is_running() && needs(counter.data())) {
            let mut instance = self.instance.lock();
            self.watchdogs.is_reprogramming.store(true, Relaxed);
            Pin::as_mut(&mut *instance).disable();
            self.watchdogs.is_reprogramming.store(false, Relaxed);
            // No back end is chosen here that could be refused.
            self.enable_or_switch_off(&mut instance);
        }
    }

    /// The NMIs of a CPU's counter so far; `None` if the CPU has no counter.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn nmi_counts(&self, cpu: u32) -> Option<NmiCounts> {
        let counter = self.watchdogs.counters.get(cpu);
        let counter = counter.filter(|counter| counter.is_running())?;
        Some(counter.data().counts())
    }
}
