// SPDX-License-Identifier: GPL-2.0

//! Reads and writes of the sysctl files: each file is a knob, in `/proc/sys/vigil`, and with
//! `kernel_names=1` in `/proc/sys/kernel` too ([`super::kernel_names`]).

use crate::{
    detect::{
        hung_task::ctx::HungTaskCtx,
        lockup_config::CpuMask,
        lockup_detector::LockupDetector, //
    },
    knobs::{
        info,
        Knobs, //
    },
    logic::{
        cpulist,
        knobs::{
            Knob,
            KnobInfo,
            KnobKind,
            COUNT,
            KNOBS, //
        },
        panic::Cause, //
    },
    sys::{
        clock::HZ,
        cpu,
        kthread::ThreadControl,
        sysctl::SysctlOps, //
    }, //
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Handles reads and writes of the knobs' files.
pub(crate) struct SysctlHandler {
    knobs: Arc<Knobs>,
    /// Wakes the threads on each change: its lock orders the change before the next check.
    controls: [Arc<ThreadControl>; 3],
    /// For the gauges on hung tasks.
    hung: Arc<HungTaskCtx>,
    /// Reconfigured on a change of the knobs for which [`KnobInfo::reconfigures`] holds.
    lockups: Arc<LockupDetector>,
}

impl SysctlHandler {
    /// A handler for the values in `knobs`.
    pub(crate) fn new(
        knobs: Arc<Knobs>,
        controls: [Arc<ThreadControl>; 3],
        hung: Arc<HungTaskCtx>,
        lockups: Arc<LockupDetector>,
    ) -> Self {
        Self {
            knobs,
            controls,
            hung,
            lockups,
        }
    }

    /// Sets `watchdog_cpumask` from a list of CPUs.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the text is no list of CPUs, `ENOMEM`, and what [`LockupDetector::reconfigure`] returns; nothing
    /// is changed then.
    fn set_cpumask(&self, text: &[u8]) -> Result {
        let cpumask = CpuMask::parse(text)?;
        self.lockups
            .reconfigure(|config| config.set_cpumask(&cpumask))
    }

    /// The value that a knob's file shows: for mainline's three switches what is in effect, as in
    /// mainline; for gauges what is counted; for all others what was written.
    fn effective(&self, id: Knob) -> i64 {
        let ctx = self.lockups.ctx();
        let number = |value| i64::try_from(value).unwrap_or(i64::MAX);
        let (soft, hard) = (ctx.softlockup_enabled(), ctx.hardlockup_enabled());
        match id {
            Knob::Watchdog => i64::from(soft || hard),
            Knob::SoftWatchdog => i64::from(soft),
            Knob::NmiWatchdog => i64::from(hard),
            Knob::SoftlockupCount => number(ctx.report_counts().softlockups),
            Knob::HardlockupCount => number(ctx.report_counts().hardlockups),
            Knob::UnresponsiveCpuCount => number(ctx.report_counts().unresponsive_cpus),
            Knob::HungTasksNow => number(self.hung.stats.hung.get()),
            Knob::StuckCpusNow => number(ctx.stuck_cpus()),
            _ => self.knobs.get(id),
        }
    }
}

impl SysctlOps for SysctlHandler {
    const COUNT: usize = COUNT;

    fn name(index: usize) -> &'static str {
        KNOBS.get(index).map_or("", |knob| knob.name)
    }

    fn is_writable(index: usize) -> bool {
        KNOBS.get(index).is_some_and(KnobInfo::is_writable)
    }

    fn show(&self, index: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        let knob = info(index).map_err(|_| fmt::Error)?;
        if knob.kind == KnobKind::Cpus {
            let ctx = self.lockups.ctx();
            return cpulist::show(cpu::nr_cpu_ids(), |cpu| ctx.in_mask(cpu), out);
        }
        if knob.kind == KnobKind::Rules {
            return self.knobs.show_rules(knob.id, out);
        }
        write!(out, "{}", knob.display(self.effective(knob.id)))
    }

    fn store(&self, index: usize, text: &[u8]) -> Result {
        let knob = info(index)?;
        if knob.kind == KnobKind::Cpus {
            return self.set_cpumask(text);
        }
        if knob.reconfigures() {
            let value = knob.parse(text, HZ).map_err(|_| EINVAL)?;
            return self
                .lockups
                .reconfigure(|config| config.set(knob.id, value));
        }
        let is_changed = self.knobs.set_from_text(knob.id, text)?;
        if is_changed {
            // Decided anew, by what holds now: of hung tasks by the next check, of CPUs by the next report.
            for cause in Cause::ALL {
                let is_hung_task = cause == Cause::HungTask && knob.selects_hung_tasks();
                if is_hung_task || knob.id == cause.panic_knob() {
                    self.hung.panic.cancel_for(cause);
                }
            }
        }
        if knob.kind != KnobKind::Counter {
            for control in &self.controls {
                control.wake();
            }
        }
        Ok(())
    }
}
