// SPDX-License-Identifier: GPL-2.0

//! The scheduler's count of tasks in uninterruptible sleep.
//!
//! C header: `kernel/sched/sched.h`, by `src/c/runqueue.c`

use super::{
    btf,
    ffi,
    ksyms::Ksyms, //
};
use crate::logic::hung_task::scan_policy::RunQueueSum;
use core::mem::MaybeUninit;

/// The run queues of all CPUs.
///
/// # Invariants
///
/// `address` is that of the kernel's per-CPU variable `runqueues`, and `offsets` are those of this
/// kernel's `struct rq`.
#[derive(Clone, Copy)]
pub(crate) struct RunQueues {
    address: usize,
    offsets: ffi::vigil_rq_offsets,
    layout: Layout,
}

/// What the layout of a structure is known from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The source of the kernel, which the module was built with.
    Source,
    /// The running kernel's BTF.
    Btf,
}

/// Why the run queues cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// They are not to be used (module parameter `use_run_queues`).
    NotWanted,
    /// The tree that the module was built against lacks `kernel/sched/sched.h` and the kernel has no
    /// BTF, or it leaves blocked tasks uncounted (proxy execution).
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
        // Blocked tasks stay runnable with proxy execution, and are not counted.
        if cfg!(CONFIG_SCHED_PROXY_EXEC) {
            return Err(Unreadable::NoOffsets);
        }
        let address = ksyms.lookup(c"runqueues").ok_or(Unreadable::NoSymbol)?;
        let (offsets, layout) = btf::layout(
            || Some((offsets_of_source()?, Layout::Source)),
            || Some((offsets_of_btf(ksyms)?, Layout::Btf)),
        )
        .ok_or(Unreadable::NoOffsets)?;
        // INVARIANT: The symbol table says so. The running kernel's BTF gave the offsets, or the source
        // that the module was built with, which is that of the kernel whose release it loads into.
        Ok(Self {
            address,
            offsets,
            layout,
        })
    }

    /// What their layout is known from.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Sums up the run queues of all possible CPUs.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn sum(&self) -> RunQueueSum {
        let mut running = 0;
        // SAFETY: By the type invariant the address is that of the per-CPU variable, and the offsets
        // are those of counts in it, of these sizes.
        let sum =
            unsafe { ffi::vigil_rq_sum(self.address, &raw const self.offsets, &raw mut running) };
        RunQueueSum {
            uninterruptible: sum as i64,
            running: running as u64,
            has_rtlocks: cfg!(CONFIG_PREEMPT_RT),
        }
    }
}

/// The offsets that the C part was compiled with.
fn offsets_of_source() -> Option<ffi::vigil_rq_offsets> {
    let mut offsets = MaybeUninit::<ffi::vigil_rq_offsets>::uninit();
    // SAFETY: There is room for them.
    if unsafe { ffi::vigil_rq_offsets(offsets.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: All of it was written, as the result says.
    Some(unsafe { offsets.assume_init() })
}

/// Those of the running kernel's BTF, if the counts have the sizes that they are read with.
fn offsets_of_btf(ksyms: &Ksyms) -> Option<ffi::vigil_rq_offsets> {
    let btf = btf::of_kernel(ksyms)?;
    Some(ffi::vigil_rq_offsets {
        nr_uninterruptible: btf.offset(b"rq", b"nr_uninterruptible", size_of::<usize>())?,
        nr_running: btf.offset(b"rq", b"nr_running", size_of::<u32>())?,
    })
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
    fn btf_has_what_the_source_has() {
        let places =
            |offsets: ffi::vigil_rq_offsets| (offsets.nr_uninterruptible, offsets.nr_running);
        let source = offsets_of_source().map(places);
        // Not every kernel has BTF.
        if let Some(btf) = offsets_of_btf(&Ksyms::resolve(true)).map(places) {
            assert!(source.is_none_or(|source| source == btf));
        }
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
