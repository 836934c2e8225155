// SPDX-License-Identifier: GPL-2.0

//! The knobs' values, and their files: under `/proc/sys/vigil`, and where that is wished for and free
//! under mainline's names in `/proc/sys/kernel`.

use crate::{
    detect::watchdog::{LockupCtx, LockupDetector},
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
use core::{cell::Cell, fmt};
use kernel::{prelude::*, sync::Arc};

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

    /// Takes over a list of CPUs. An error leaves everything as it was.
    pub(crate) fn set_cpus(&self, text: &[u8]) -> Result {
        cpulist::parse(text, cpu::most(), |_, _| ()).map_err(|_| EINVAL)?;
        let change = |shared: &LockupCtx| {
            shared.set_mask(|cpu| {
                let mut has = false;
                let range = |first, last| has |= (first..=last).contains(&cpu);
                let _ = cpulist::parse(text, cpu::most(), range);
                has
            });
        };
        // Which CPUs are watched is no reason to refuse anything.
        self.lockups.apply(|_| false, change, |_| ())
    }

    /// What a knob reads as: mainline's switches tell what is in effect, not what was wished for.
    fn effective(&self, id: Knob) -> i64 {
        let (soft, hard) = self.lockups.shared().enabled();
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
            let shared = self.lockups.shared();
            return cpulist::show(cpu::count(), |cpu| shared.in_mask(cpu), out);
        }
        write!(out, "{}", knob.show(self.effective(knob.id)))
    }

    fn store(&self, index: usize, text: &[u8]) -> Result {
        let knob = info(index)?;
        if knob.kind == KnobKind::Cpus {
            return self.set_cpus(text);
        }
        let value = knob.parse(text, HZ).map_err(|_| EINVAL)?;
        if knob.reconfigures() {
            let old = Cell::new(value);
            return self.lockups.apply(
                // Nothing starts anew for a value that is there already.
                |_| self.knobs.get(knob.id) == value,
                |_| {
                    old.set(self.knobs.get(knob.id));
                    self.knobs.set(knob.id, value);
                },
                |_| self.knobs.set(knob.id, old.get()),
            );
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
