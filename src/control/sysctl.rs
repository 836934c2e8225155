// SPDX-License-Identifier: GPL-2.0

//! The knobs' values, and their files: under `/proc/sys/vigil`, and where that is wished for and free
//! under mainline's names in `/proc/sys/kernel`.

use crate::{
    detect::{lockup_config::CpuMask, watchdog::LockupDetector},
    knobs::{info, Knobs},
    logic::{
        cpulist,
        sysctl::{Knob, KnobKind, COUNT, KNOBS},
    },
    sys::{
        clock::HZ,
        cpu,
        kthread::ThreadControl,
        sysctl::{ProcMount, SysctlOps, SysctlTable},
    },
};
use core::fmt;
use kernel::{prelude::*, sync::Arc};

/// Reads a list of CPUs.
///
/// # Errors
///
/// `EINVAL` if it is none, or names a CPU that no kernel built like this one could have; `ENOMEM`.
///
/// # Context
///
/// Process context, may sleep.
pub(crate) fn parse_cpumask(text: &[u8]) -> Result<CpuMask> {
    cpulist::parse(text, cpu::most(), |_, _| ()).map_err(|_| EINVAL)?;
    CpuMask::new(|cpu| {
        let mut has = false;
        let range = |first, last| has |= (first..=last).contains(&cpu);
        let _ = cpulist::parse(text, cpu::most(), range);
        has
    })
}

/// The knobs as files, and what is to be done when one is written.
pub(crate) struct SysctlHandler {
    knobs: Arc<Knobs>,
    /// Rung on every change: its lock orders the change before the thread's next look.
    control: Arc<ThreadControl>,
    lockups: Arc<Pin<KBox<LockupDetector>>>,
}

impl SysctlHandler {
    /// A panel over all of these.
    pub(crate) fn new(
        knobs: Arc<Knobs>,
        control: Arc<ThreadControl>,
        lockups: Arc<Pin<KBox<LockupDetector>>>,
    ) -> Self {
        Self {
            knobs,
            control,
            lockups,
        }
    }

    /// Watches the CPUs of a list.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is none, `ENOMEM`, and what [`LockupDetector::reconfigure`] returns; nothing
    /// is changed then.
    fn set_cpumask(&self, text: &[u8]) -> Result {
        let cpumask = parse_cpumask(text)?;
        self.lockups
            .reconfigure(|config| config.set_cpumask(&cpumask))
    }

    /// What a knob reads as: mainline's switches tell what is in effect, not what was wished for.
    fn effective(&self, id: Knob) -> i64 {
        let ctx = self.lockups.ctx();
        let (soft, hard) = (ctx.softlockup_enabled(), ctx.hardlockup_enabled());
        match id {
            Knob::Watchdog => i64::from(soft || hard),
            Knob::SoftWatchdog => i64::from(soft),
            Knob::NmiWatchdog => i64::from(hard),
            _ => self.knobs.get(id),
        }
    }
}

impl SysctlOps for SysctlHandler {
    const COUNT: usize = COUNT;

    fn name(index: usize) -> &'static str {
        KNOBS.get(index).map_or("", |knob| knob.name)
    }

    fn show(&self, index: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        let knob = info(index).map_err(|_| fmt::Error)?;
        if knob.kind == KnobKind::Cpus {
            let ctx = self.lockups.ctx();
            return cpulist::show(cpu::count(), |cpu| ctx.in_mask(cpu), out);
        }
        write!(out, "{}", knob.show(self.effective(knob.id)))
    }

    fn store(&self, index: usize, text: &[u8]) -> Result {
        let knob = info(index)?;
        if knob.kind == KnobKind::Cpus {
            return self.set_cpumask(text);
        }
        let value = knob.parse(text, HZ).map_err(|_| EINVAL)?;
        if knob.reconfigures() {
            return self
                .lockups
                .reconfigure(|config| config.set(knob.id, value));
        }
        self.knobs.set(knob.id, value);
        if knob.kind != KnobKind::Counter {
            self.control.wake();
        }
        Ok(())
    }
}

/// Which of mainline's names in `/proc/sys/kernel` are vigil's (module parameter `kernel_names`).
pub(crate) enum KernelNames {
    /// None was wished for.
    NotWanted,
    /// Those marked here; the kernel has the others.
    Ours([bool; COUNT]),
}

impl KernelNames {
    /// Puts the knobs that mainline has too into `/proc/sys/kernel`, if that is `wanted`: those of
    /// whose names the running kernel has none.
    ///
    /// Which it has is found out first, since registering a name twice makes the kernel log a stack.
    /// In between somebody else could take a name; but mainline's are taken by code that is built
    /// in, long before any module.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn register(
        wanted: bool,
        handler: &Arc<SysctlHandler>,
    ) -> Result<(Self, Option<SysctlTable<SysctlHandler>>)> {
        if !wanted {
            return Ok((Self::NotWanted, None));
        }
        let proc = ProcMount::new()?;
        let mut ours = [false; COUNT];
        for (ours, knob) in ours.iter_mut().zip(KNOBS).filter(|(_, knob)| knob.mainline) {
            *ours = !proc.has_sysctl(fmt!("kernel/{}", knob.name))?;
        }
        drop(proc);
        let is_ours = |index| ours.get(index).is_some_and(|&ours| ours);
        let folder = if ours.contains(&true) {
            Some(SysctlTable::new(c"kernel", handler, is_ours)?)
        } else {
            None
        };
        Ok((Self::Ours(ours), folder))
    }

    /// Whether there is anything to tell.
    pub(crate) fn wanted(&self) -> bool {
        matches!(self, Self::Ours(_))
    }
}

/// `all 19`, or which, or why not.
impl fmt::Display for KernelNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Ours(ours) = self else {
            return f.write_str("not registered (kernel_names=0)");
        };
        let mainline = || KNOBS.iter().zip(ours).filter(|(knob, _)| knob.mainline);
        let of = |what| mainline().filter(move |(_, &ours)| ours == what);
        if of(true).next().is_none() {
            return f.write_str("none: the running kernel has them");
        }
        if of(false).next().is_none() {
            // Counted by hand: `count()` brings a panic path along.
            let all = mainline().fold(0u32, |n, _| n.wrapping_add(1));
            return write!(f, "all {all}");
        }
        let mut sep = "";
        for (knob, _) in of(true) {
            write!(f, "{sep}{}", knob.name)?;
            sep = ", ";
        }
        f.write_str("; the running kernel has the others")
    }
}
