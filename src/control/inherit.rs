// SPDX-License-Identifier: GPL-2.0

//! Takes over the policy of the kernel's own detectors at load: [`crate::logic::inherit`] has the
//! rules.

use crate::{
    detect::lockup_config::CpuMask,
    knobs::Knobs,
    logic::{
        fmt::write_names,
        inherit::{
            self,
            inherited,
            Width,
            SOURCES, //
        },
        knobs::{
            Knob,
            COUNT,
            KNOBS, //
        }, //
    },
    sys::{
        cpu,
        ksyms::Ksyms,
        lock_words::{
            read_i32,
            read_word, //
        }, //
    }, //
};
use core::fmt;
use kernel::prelude::*;

/// Which knobs have a value, by their index.
pub(crate) type Flags = [bool; COUNT];

/// What was taken over.
pub(crate) struct Inherited {
    /// The knobs whose value is the kernel's, and not vigil's default.
    taken: Flags,
    /// `watchdog_cpumask`, if it is not the default.
    pub(crate) cpumask: Option<CpuMask>,
    /// Whether the kernel's `nmi_watchdog` is 0, so that no counter is to be taken.
    pub(crate) no_counters: bool,
}

/// Sets the knobs that were not `given` at load to the values that the kernel has.
///
/// # Errors
///
/// `ENOMEM`.
///
/// # Context
///
/// Process context, at load.
pub(crate) fn take_over(knobs: &Knobs, given: &Flags, ksyms: &Ksyms) -> Result<Inherited> {
    let mut taken = [false; COUNT];
    let mut take = |knob: Knob, value: i64| {
        let index = knob as usize;
        let is_default = KNOBS.get(index).is_none_or(|info| info.default() == value);
        let is_given = given.get(index).is_none_or(|&given| given);
        if let Some(flag) = taken.get_mut(index).filter(|_| !is_given && !is_default) {
            *flag = knobs.set_checked(knob, value).is_ok();
        }
    };
    for source in SOURCES {
        let value = ksyms
            .lookup(source.symbol)
            .and_then(|at| match source.width {
                Width::Int => read_i32(at).map(i64::from),
                Width::Long => read_word(at).and_then(|word| i64::try_from(word).ok()),
            });
        if let Some(value) = value.and_then(inherited) {
            take(source.knob, value);
        }
    }
    let command_line = ksyms.command_line();
    for (word, knob) in [
        (&b"nowatchdog"[..], Knob::Watchdog),
        (b"nosoftlockup", Knob::SoftWatchdog),
    ] {
        if inherit::has_word(command_line, word) {
            take(knob, 0);
        }
    }
    // On a kernel without the detector the switch stays 0, and nobody has set it.
    let user_enabled = ksyms
        .lookup(c"hardlockup_panic")
        .and_then(|_| ksyms.lookup(c"watchdog_hardlockup_user_enabled"));
    let mut inherited = Inherited {
        taken,
        cpumask: None,
        no_counters: inherit::nmi_watchdog_is_0(command_line)
            || user_enabled.and_then(read_i32) == Some(0),
    };
    let index = Knob::WatchdogCpumask as usize;
    if given.get(index) == Some(&false) {
        inherited.cpumask = kernel_cpumask(ksyms)?;
        if let Some(flag) = inherited.taken.get_mut(index) {
            *flag = inherited.cpumask.is_some();
        }
    }
    Ok(inherited)
}

/// The kernel's `watchdog_cpumask`, if there is one that is not the default.
fn kernel_cpumask(ksyms: &Ksyms) -> Result<Option<CpuMask>> {
    let Some(at) = ksyms.lookup(c"watchdog_cpumask") else {
        return Ok(None);
    };
    let has = |cpu: u32| {
        let word = at.saturating_add((cpu / usize::BITS) as usize * size_of::<usize>());
        read_word(word).is_some_and(|word| word & (1 << (cpu % usize::BITS)) != 0)
    };
    let differs = |cpu| cpu::possible(cpu) && has(cpu) != cpu::housekeeping(cpu);
    if (0..cpu::nr_cpu_ids()).any(differs) {
        CpuMask::new(has).map(Some)
    } else {
        Ok(None)
    }
}

impl Inherited {
    /// With `inherit=0`.
    pub(crate) const NOTHING: Self = Self {
        taken: [false; COUNT],
        cpumask: None,
        no_counters: false,
    };

    /// Whether a knob has the kernel's value.
    pub(crate) fn any(&self) -> bool {
        self.taken.contains(&true)
    }
}

/// The names of the knobs whose value is the kernel's.
impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = Iterator::zip(KNOBS.iter(), &self.taken).filter(|(_, &taken)| taken);
        write_names(f, ", ", taken.map(|(knob, _)| knob.name))
    }
}
