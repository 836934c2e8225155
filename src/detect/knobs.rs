// SPDX-License-Identifier: GPL-2.0

//! The knobs' values, and their files: under `/proc/sys/vigil`, and where that is wished for and free
//! under mainline's names in `/proc/sys/kernel`.

use super::lockup::{Lockups, Shared};
use crate::{
    logic::{
        cpulist,
        knobs::{Id, Kind, Knob, ALL, COUNT},
    },
    sys::{
        cpu,
        kthread::Bell,
        machine::HZ,
        sysctl::{Files, Folder, Proc},
    },
};
use core::{cell::Cell, fmt};
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
    },
};

/// All knobs' values. Each stands alone, so that relaxed accesses do.
pub(crate) struct Knobs {
    values: [Atomic<i64>; COUNT],
}

impl Knobs {
    /// Knobs with their defaults.
    pub(crate) fn new() -> Self {
        Self {
            values: core::array::from_fn(|i| Atomic::new(ALL.get(i).map_or(0, Knob::default))),
        }
    }

    /// Sets a number that was given at load.
    pub(crate) fn preset(&self, id: Id, value: i64) -> Result {
        let value = describe(id as usize)?
            .check(value, HZ)
            .map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// Sets a list that was given at load as text.
    pub(crate) fn preset_text(&self, id: Id, text: &[u8]) -> Result {
        let value = describe(id as usize)?.parse(text, HZ).map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// The value.
    pub(crate) fn get(&self, id: Id) -> i64 {
        self.values.get(id as usize).map_or(0, |v| v.load(Relaxed))
    }

    /// The value of a knob that cannot be negative.
    pub(crate) fn get_u64(&self, id: Id) -> u64 {
        u64::try_from(self.get(id)).unwrap_or(0)
    }

    fn set(&self, id: Id, value: i64) {
        if let Some(v) = self.values.get(id as usize) {
            v.store(value, Relaxed);
        }
    }

    /// Counts one more.
    pub(crate) fn count(&self, id: Id) {
        if let Some(v) = self.values.get(id as usize) {
            v.fetch_add(1, Relaxed);
        }
    }

    /// Takes one from a number that runs out; -1 never does. Returns what was there before.
    /// A write at the same time wins or is taken from, and is not lost.
    pub(crate) fn take_one(&self, id: Id) -> i64 {
        let Some(v) = self.values.get(id as usize) else {
            return 0;
        };
        let mut was = v.load(Relaxed);
        while was > 0 {
            match v.cmpxchg(was, was.wrapping_sub(1), Relaxed) {
                Ok(_) => break,
                Err(now) => was = now,
            }
        }
        was
    }
}

/// The description of the knob in this place.
fn describe(index: usize) -> Result<&'static Knob> {
    ALL.get(index).ok_or(EINVAL)
}

/// The knobs as files, and what is to be done when one is written.
pub(crate) struct Panel {
    knobs: Arc<Knobs>,
    /// Rung on every change: its lock orders the change before the thread's next look.
    bell: Arc<Bell>,
    lockups: Arc<Pin<KBox<Lockups>>>,
}

impl Panel {
    /// A panel over all of these.
    pub(crate) fn new(
        knobs: Arc<Knobs>,
        bell: Arc<Bell>,
        lockups: Arc<Pin<KBox<Lockups>>>,
    ) -> Self {
        Self {
            knobs,
            bell,
            lockups,
        }
    }

    /// Takes over a list of CPUs. An error leaves everything as it was.
    pub(crate) fn set_cpus(&self, text: &[u8]) -> Result {
        cpulist::parse(text, cpu::most(), |_, _| ()).map_err(|_| EINVAL)?;
        let change = |shared: &Shared| {
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
    fn effective(&self, id: Id) -> i64 {
        let (soft, hard) = self.lockups.shared().enabled();
        match id {
            Id::Watchdog => i64::from(soft || hard),
            Id::SoftWatchdog => i64::from(soft),
            Id::NmiWatchdog => i64::from(hard),
            _ => self.knobs.get(id),
        }
    }
}

impl Files for Panel {
    const COUNT: usize = COUNT;

    fn name(index: usize) -> &'static str {
        ALL.get(index).map_or("", |knob| knob.name)
    }

    fn show(&self, index: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        let knob = describe(index).map_err(|_| fmt::Error)?;
        if knob.kind == Kind::Cpus {
            let shared = self.lockups.shared();
            return cpulist::show(cpu::count(), |cpu| shared.in_mask(cpu), out);
        }
        write!(out, "{}", knob.show(self.effective(knob.id)))
    }

    fn store(&self, index: usize, text: &[u8]) -> Result {
        let knob = describe(index)?;
        if knob.kind == Kind::Cpus {
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
        if knob.kind != Kind::Counter {
            self.bell.ring();
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
        panel: &Arc<Panel>,
    ) -> Result<(Self, Option<Folder<Panel>>)> {
        if !wanted {
            return Ok((Self::NotWanted, None));
        }
        let proc = Proc::new()?;
        let mut ours = [false; COUNT];
        for (ours, knob) in ours.iter_mut().zip(ALL).filter(|(_, knob)| knob.mainline) {
            *ours = !proc.has_sysctl(fmt!("kernel/{}", knob.name))?;
        }
        drop(proc);
        let is_ours = |index| ours.get(index).is_some_and(|&ours| ours);
        let folder = if ours.contains(&true) {
            Some(Folder::new(c"kernel", panel, is_ours)?)
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
        let mainline = || ALL.iter().zip(ours).filter(|(knob, _)| knob.mainline);
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
