// SPDX-License-Identifier: GPL-2.0

//! Mainline's names of the knobs in `/proc/sys/kernel` (module parameter `kernel_names`).

use super::sysctl::SysctlHandler;
use crate::{
    logic::{
        fmt::write_names,
        knobs::{
            KnobInfo,
            COUNT,
            KNOBS, //
        }, //
    },
    sys::{
        procfs::ProcMount,
        sysctl::SysctlTable, //
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

/// Which of mainline's names in `/proc/sys/kernel` belong to vigil.
pub(crate) enum KernelNames {
    /// `kernel_names=0`.
    NotRequested,
    /// Those whose flag is set; the running kernel has the others itself.
    Registered([bool; COUNT]),
}

impl KernelNames {
    /// Registers the knobs that mainline has too in `/proc/sys/kernel`, if that is `requested`, but
    /// for the names that the running kernel has itself.
    ///
    /// Looks first which names are there, because registering one twice makes the kernel log a
    /// stack. Code that is built in registers mainline's names, long before any module is loaded:
    /// none of them can appear between the look and the registration.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and the errors of [`ProcMount::new`] and [`ProcMount::has_sysctl`].
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn register(
        requested: bool,
        handler: &Arc<SysctlHandler>,
    ) -> Result<(Self, Option<SysctlTable<SysctlHandler>>)> {
        if !requested {
            return Ok((Self::NotRequested, None));
        }
        let proc = ProcMount::new()?;
        let mut ours = [false; COUNT];
        for (ours, knob) in ours.iter_mut().zip(KNOBS).filter(|(_, knob)| knob.mainline) {
            *ours = !proc.has_sysctl(fmt!("kernel/{}", knob.name))?;
        }
        drop(proc);
        let is_ours = |index| ours.get(index).is_some_and(|&ours| ours);
        let table = if ours.contains(&true) {
            Some(SysctlTable::new(c"kernel", handler, is_ours)?)
        } else {
            None
        };
        Ok((Self::Registered(ours), table))
    }

    /// Whether the parameter asked for the names.
    pub(crate) fn requested(&self) -> bool {
        matches!(self, Self::Registered(_))
    }

    /// The names that vigil has registered (`ours`), or the names left to the kernel; none if not
    /// requested.
    fn names(&self, ours: bool) -> impl Iterator<Item = &'static str> + '_ {
        let flags: &[bool] = match self {
            Self::NotRequested => &[],
            Self::Registered(flags) => flags,
        };
        let mainline = |(knob, _): &(&'static KnobInfo, &bool)| knob.mainline;
        let flagged = Iterator::zip(KNOBS.iter(), flags).filter(mainline);
        flagged
            .filter(move |(_, &flag)| flag == ours)
            .map(|(knob, _)| knob.name)
    }

    /// The same as a list with blanks between the names.
    pub(super) fn list(&self, ours: bool) -> NameList<'_> {
        NameList { names: self, ours }
    }
}

/// A list of names for `vigil/status`.
pub(super) struct NameList<'a> {
    names: &'a KernelNames,
    ours: bool,
}

impl Display for NameList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, " ", self.names.names(self.ours))
    }
}

/// For the log: `all 19`, `none: the running kernel has them`, or the names.
impl Display for KernelNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names(true).next().is_none() {
            return f.write_str("none: the running kernel has them");
        }
        if self.names(false).next().is_none() {
            // Not `count()`, which brings a panic path along.
            let all = self.names(true).fold(0u32, |n, _| n.wrapping_add(1));
            return write!(f, "all {all}");
        }
        write_names(f, ", ", self.names(true))?;
        f.write_str("; the running kernel has the others")
    }
}
