// SPDX-License-Identifier: GPL-2.0

//! The scheduler's count of tasks in uninterruptible sleep.
//!
//! C header: `kernel/sched/sched.h`, by `src/c/runqueue.c`

use super::{
    ffi,
    ksyms::Ksyms, //
};
use crate::logic::hung_task::scan_policy::RunQueueSum;

/// The run queues of all CPUs.
///
/// # Invariants
///
/// `address` is that of the kernel's per-CPU variable `runqueues`, and the offsets that the C part
/// was compiled with are those of this kernel.
#[derive(Clone, Copy)]
pub(crate) struct RunQueues {
    address: usize,
}

/// Why the run queues cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// They are not to be used (module parameter `use_run_queues`).
    NotWanted,
    /// The tree that the module was built against lacks `kernel/sched/sched.h`, or the kernel
    /// leaves blocked tasks uncounted (proxy execution).
    NoOffsets,
    /// The symbol `runqueues` cannot be looked up.
    NoSymbol,
}

impl RunQueues {
    /// Looks up the run queues, if they are `wanted`.
    ///
    /// # Errors
    ///
    /// Why they cannot be read.
    pub(crate) fn find(ksyms: &Ksyms, wanted: bool) -> Result<Self, Unreadable> {
        if !wanted {
            return Err(Unreadable::NotWanted);
        }
        // SAFETY: Returns a constant.
        if unsafe { ffi::vigil_rq_readable() } == 0 {
            return Err(Unreadable::NoOffsets);
        }
        // INVARIANT: The symbol table says so. A module loads only into the kernel whose tree it
        // was built against (vermagic), whose sources gave the offsets.
        match ksyms.lookup(c"runqueues") {
            Some(address) => Ok(Self { address }),
            None => Err(Unreadable::NoSymbol),
        }
    }

    /// Sums up the run queues of all possible CPUs.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn sum(&self) -> RunQueueSum {
        let mut running = 0;
        // SAFETY: By the type invariant the address is that of the per-CPU variable.
        let sum = unsafe { ffi::vigil_rq_sum(self.address, &raw mut running) };
        RunQueueSum {
            uninterruptible: sum as i64,
            running: running as u64,
            has_rtlocks: cfg!(CONFIG_PREEMPT_RT),
        }
    }
}

#[kernel::prelude::kunit_tests(vigil_runqueue)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };
    use kernel::prelude::*;

    #[test]
    fn run_queues_are_not_looked_up_unless_wanted() {
        let found = RunQueues::find(&Ksyms::resolve(true), false);
        assert!(found.err() == Some(Unreadable::NotWanted));
    }

    #[test]
    fn runnable_tasks_are_counted() -> Result {
        let queues = RunQueues::find(&Ksyms::resolve(true), true).map_err(|_| ENOENT)?;
        let cpus = u64::from(super::super::cpu::nr_cpu_ids());
        for _ in 0..100 {
            // This task at least, and not numbers out of thin air.
            let sum = queues.sum();
            assert!(sum.running >= 1 && sum.running < cpus.saturating_mul(1000));
        }
        Ok(())
    }

    #[test]
    fn sleeping_tasks_are_counted() -> Result {
        let queues = RunQueues::find(&Ksyms::resolve(true), true).map_err(|_| ENOENT)?;
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, _victim) = Trap::catch(&trap)?;
        // Each sum has it, whatever else sleeps; a sum is off while other tasks go to sleep.
        let mut seen = 0;
        let counted = until(|| {
            seen = if queues.sum().uninterruptible >= 1 {
                i32::wrapping_add(seen, 1)
            } else {
                0
            };
            seen == 20
        });
        drop(guard);
        drop(thread);
        assert!(counted);
        Ok(())
    }
}
