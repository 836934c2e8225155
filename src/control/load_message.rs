// SPDX-License-Identifier: GPL-2.0

//! The lines at load that say what is detected, and by which means.

use super::{
    in_tree::InTree,
    inherit::Inherited,
    status::{
        run_queue_error,
        Cpumask,
        FunctionNames,
        StatusFile, //
    }, //
};
use crate::{
    detect::{
        hardlockup::backend::probe_error,
        hung_task::ctx::HungTaskCtx,
        lockup_ctx::LockupCtx, //
    },
    logic::{
        fmt::Secs,
        hung_task::check,
        knobs::Knob,
        messages::{
            LoadHardLockups,
            LoadHungTasks,
            LoadInTree,
            LoadInherited,
            LoadKernelNames,
            LoadNotAvailable,
            LoadSoftLockups,
            LoadWatchedCpus, //
        }, //
    },
    sys::{
        printk,
        stopper::StopWork, //
    }, //
};
use core::fmt;
use kernel::prelude::*;

/// Prints them.
///
/// # Context
///
/// Process context.
pub(crate) fn print(status: &StatusFile, inherited: &Inherited) {
    let (hung, lockups) = (&status.hung, status.lockups.ctx());
    let state = HungTasks(hung);
    printk::info(format_args!("{}", LoadHungTasks { state }));
    let thresh = hung.knobs.get_u64(Knob::WatchdogThresh);
    let state = SoftLockups { lockups, thresh };
    printk::info(format_args!("{}", LoadSoftLockups { state }));
    let in_tree = InTree::read(hung.ksyms());
    let state = HardLockups {
        lockups,
        thresh,
        in_tree_uses_perf: in_tree.uses_perf(hung.ksyms()),
    };
    printk::info(format_args!("{}", LoadHardLockups { state }));
    // On a line of its own, which is cut if the list is too long for the log.
    let cpus = Cpumask(lockups);
    printk::info(format_args!("{}", LoadWatchedCpus { cpus }));
    if inherited.any() {
        let knobs = inherited;
        printk::info(format_args!("{}", LoadInherited { knobs }));
    }
    let names = FunctionNames {
        ksyms: hung.ksyms(),
        called: false,
        separator: ", ",
    };
    printk::info(format_args!("{}", LoadNotAvailable { names }));
    printk::info(format_args!("{}", LoadInTree { state: in_tree }));
    if status.kernel_names.requested() {
        let names = &status.kernel_names;
        printk::info(format_args!("{}", LoadKernelNames { names }));
    }
}

/// `timeout 120 s, check interval 7.5 s, run queue counts used`
struct HungTasks<'a>(&'a HungTaskCtx);

impl fmt::Display for HungTasks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let timeout = self.0.knobs.get_u64(Knob::HungTaskTimeoutSecs);
        let interval = self.0.knobs.get_u64(Knob::HungTaskCheckIntervalSecs);
        match check::interval(timeout, interval) {
            Some(ns) => write!(f, "timeout {timeout} s, check interval {} s", Secs(ns))?,
            None => f.write_str("off")?,
        }
        match self.0.queues {
            Ok(_) => f.write_str(", run queue counts used"),
            Err(error) => write!(
                f,
                ", run queue counts not used ({})",
                run_queue_error(error)
            ),
        }
    }
}

/// `on, threshold 20 s`, or `off`.
fn write_enabled(f: &mut fmt::Formatter<'_>, enabled: bool, threshold_s: u64) -> fmt::Result {
    if !enabled {
        return f.write_str("off");
    }
    write!(f, "on, threshold {threshold_s} s")
}

/// `on, threshold 20 s, sampled with the CPU stopper`
struct SoftLockups<'a> {
    lockups: &'a LockupCtx,
    thresh: u64,
}

impl fmt::Display for SoftLockups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enabled = self.lockups.softlockup_enabled();
        write_enabled(f, enabled, self.thresh.saturating_mul(2))?;
        f.write_str(match self.lockups.stop_work() {
            StopWork::CpuStopper => ", sampled with the CPU stopper",
            StopWork::FifoThread(_) => ", sampled with SCHED_FIFO-99 threads",
            StopWork::None => ", cannot be sampled: no CPU stopper and no threads",
        })
    }
}

/// `on, threshold 10 s, perf NMI`; `..., buddy, confirmed by NMI`, and the like.
struct HardLockups<'a> {
    lockups: &'a LockupCtx,
    thresh: u64,
    in_tree_uses_perf: bool,
}

impl fmt::Display for HardLockups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enabled = self.lockups.hardlockup_enabled();
        write_enabled(f, enabled, self.thresh)?;
        let backends = self.lockups.backends();
        let (perf, buddy) = (backends.perf(), backends.buddy());
        if perf {
            f.write_str(", perf NMI")?;
            if backends.is_incomplete() {
                f.write_str(" except on CPUs without a perf cycle counter")?;
            }
        }
        if buddy || !perf {
            f.write_str(", buddy")?;
            f.write_str(if self.lockups.can_send_nmi() {
                ", confirmed by NMI"
            } else {
                ", not confirmed: no NMI"
            })?;
        }
        if let Some(reason) = backends.left_alone() {
            return write!(f, "; not perf: {reason}");
        }
        match backends.probe_errno() {
            0 => Ok(()),
            errno => {
                write!(f, "; not perf: {} (error {errno})", probe_error(errno))?;
                if errno == EBUSY.to_errno() && self.in_tree_uses_perf {
                    f.write_str(", the in-tree detector has one")?;
                }
                Ok(())
            }
        }
    }
}
