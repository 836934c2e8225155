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
use crate::sys::{
    cpuhp::{
        self,
        Instance, //
    },
    stopper::StopWork, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
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
    /// With `hardlockup_backend=perf`, why there are no counters: everything is as it was then. What
    /// enabling the CPU hotplug state returns: no CPU is watched then, until the next change.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn reconfigure<'a>(&self, change: impl Fn(&mut LockupConfig<'a>)) -> Result {
        let changed = || {
            let installed = LockupConfig::from_knobs(&self.ctx.knobs);
            let mut config = installed;
            change(&mut config);
            (!config.is_same(&installed)).then_some(config)
        };
        if changed().is_some() {
            // The administrator is at work, so that no panic is needed to save the machine; and a CPU
            // that is stuck may keep this from coming to its end.
            self.ctx.panic.cancel_cpu_request();
        }
        let mut instance = self.instance.lock();
        // Compared again under the lock: another writer may have been faster, or have failed.
        match changed() {
            Some(config) => self.install(&mut instance, &config),
            None => Ok(()),
        }
    }

    /// Installs a configuration while all CPUs are disabled. If there is no back end for it, nothing is
    /// changed.
    fn install(
        &self,
        instance: &mut Pin<KBox<Instance<Watchdogs>>>,
        config: &LockupConfig<'_>,
    ) -> Result {
        let ctx = &self.ctx;
        instance.as_mut().disable();
        let hardlockup = config.hardlockup();
        // Once probed, the choice stays until hard lockups are switched on again.
        let probed = if hardlockup && !ctx.hardlockup_enabled() {
            ctx.backends.probe(config.thresh())
        } else {
            Ok(())
        };
        if probed.is_ok() {
            if let Some(cpumask) = config.cpumask() {
                ctx.install_cpumask(cpumask.iter());
            }
            let softlockup = config.softlockup() && !matches!(ctx.stop_work, StopWork::None);
            config.store_to(&ctx.knobs);
            ctx.install(config.thresh(), softlockup, hardlockup);
        }
        self.enable(instance)?;
        probed
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
        self.ctx.panic.cancel_cpu_request();
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
            Pin::as_mut(&mut *instance).disable();
            // No back end is chosen here that could be refused. If enabling fails, no CPU is watched
            // until the next change of a knob.
            let _ = self.enable(&mut instance);
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
