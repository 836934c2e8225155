// SPDX-License-Identifier: GPL-2.0

//! What the lockup detectors are to do: one value made of the knobs. `LockupDetector::reconfigure()`
//! (`lockup_detector.rs`) compares it with what is installed, and installs it while no CPU is watched.

use crate::{
    knobs::Knobs,
    logic::{
        cpulist,
        knobs::Knob, //
    },
    sys::{
        buffer::Buffer,
        cpu, //
    }, //
};
use kernel::prelude::*;

/// CPUs to watch: a flag for each CPU number below [`cpu::nr_cpu_ids`].
pub(crate) struct CpuMask(Buffer<bool>);

impl CpuMask {
    /// The possible CPUs for which `has` holds.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn new(has: impl Fn(u32) -> bool) -> Result<Self> {
        let flag = |number| {
            let number = u32::try_from(number).map_err(|_| EINVAL)?;
            Ok(cpu::possible(number) && has(number))
        };
        Ok(Self(Buffer::new(
            cpu::nr_cpu_ids() as usize,
            GFP_KERNEL,
            flag,
        )?))
    }

    /// The possible ones of the CPUs in a list such as `0-3,8`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the text is no list of CPUs, `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let mut mask = Self::new(|_| false)?;
        cpulist::parse(text, cpu::NR_CPUS, |first, last| {
            for cpu in first..=last.min(cpu::nr_cpu_ids()) {
                if let Some(flag) = mask.0.get_mut(cpu as usize) {
                    *flag = cpu::possible(cpu);
                }
            }
        })
        .map_err(|_| EINVAL)?;
        Ok(mask)
    }

    /// The flags in the order of the CPU numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        self.0.iter().copied()
    }
}

/// The settings whose change disables all CPUs and enables them again.
#[derive(Clone, Copy)]
pub(crate) struct LockupConfig<'a> {
    /// `watchdog`: detect lockups at all.
    watchdog: bool,
    /// `soft_watchdog`: detect soft lockups.
    soft_watchdog: bool,
    /// `nmi_watchdog`: detect hard lockups.
    nmi_watchdog: bool,
    /// `watchdog_thresh`, in seconds; 0: detect no lockups.
    thresh: u64,
    /// `watchdog_cpumask`; `None`: as it is installed.
    cpumask: Option<&'a CpuMask>,
}

impl<'a> LockupConfig<'a> {
    /// The settings that the knobs have.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn from_knobs(knobs: &Knobs) -> Self {
        let on = |knob| knobs.get(knob) != 0;
        Self {
            watchdog: on(Knob::Watchdog),
            soft_watchdog: on(Knob::SoftWatchdog),
            nmi_watchdog: on(Knob::NmiWatchdog),
            thresh: knobs.get_u64(Knob::WatchdogThresh),
            cpumask: None,
        }
    }

    /// Puts the settings into the knobs, the mask excepted.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn store_to(&self, knobs: &Knobs) {
        knobs.set(Knob::Watchdog, self.watchdog.into());
        knobs.set(Knob::SoftWatchdog, self.soft_watchdog.into());
        knobs.set(Knob::NmiWatchdog, self.nmi_watchdog.into());
        let thresh = i64::try_from(self.thresh).unwrap_or(i64::MAX);
        knobs.set(Knob::WatchdogThresh, thresh);
    }

    /// Sets the setting behind one of the knobs for which
    /// [`KnobInfo::reconfigures`](crate::logic::knobs::KnobInfo::reconfigures) holds, but for the
    /// mask. `value` is in the knob's range.
    pub(crate) fn set(&mut self, knob: Knob, value: i64) {
        match knob {
            Knob::Watchdog => self.watchdog = value != 0,
            Knob::SoftWatchdog => self.soft_watchdog = value != 0,
            Knob::NmiWatchdog => self.nmi_watchdog = value != 0,
            Knob::WatchdogThresh => self.thresh = u64::try_from(value).unwrap_or(0),
            _ => (),
        }
    }

    /// Sets the CPUs to watch.
    pub(crate) fn set_cpumask(&mut self, cpumask: &'a CpuMask) {
        self.cpumask = Some(cpumask);
    }

    /// The mask, if it is to be changed.
    pub(super) fn cpumask(&self) -> Option<&'a CpuMask> {
        self.cpumask
    }

    /// Whether this asks for nothing else than `installed` does, and for the CPUs that `in_mask`
    /// already.
    pub(super) fn is_same(
        &self,
        installed: &LockupConfig<'_>,
        in_mask: impl Fn(u32) -> bool,
    ) -> bool {
        let same_mask = |cpumask: &CpuMask| {
            let mut flags = cpumask.iter().zip(0..u32::MAX);
            flags.all(|(flag, cpu)| flag == in_mask(cpu))
        };
        self.cpumask.is_none_or(same_mask)
            && self.watchdog == installed.watchdog
            && self.soft_watchdog == installed.soft_watchdog
            && self.nmi_watchdog == installed.nmi_watchdog
            && self.thresh == installed.thresh
    }

    /// The threshold in seconds.
    pub(super) fn thresh(&self) -> u64 {
        self.thresh
    }

    /// Whether soft lockups are to be detected.
    pub(super) fn softlockup(&self) -> bool {
        self.any() && self.soft_watchdog
    }

    /// Whether hard lockups are to be detected.
    pub(super) fn hardlockup(&self) -> bool {
        self.any() && self.nmi_watchdog
    }

    fn any(&self) -> bool {
        self.watchdog && self.thresh != 0
    }
}
