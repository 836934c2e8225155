// SPDX-License-Identifier: GPL-2.0

//! The scheduler's own count of sleeping tasks: `src/c/runqueue.c`.

use super::{call::Calls, ffi};
use crate::logic::plan;

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
    /// Nobody wants them (module parameter `use_run_queues`).
    NotWanted,
    /// The tree that the module was built against lacks `kernel/sched/sched.h`, or the kernel
    /// leaves blocked tasks uncounted (proxy execution).
    NoOffsets,
    /// The symbol `runqueues` is not to be found.
    NoSymbol,
}

impl RunQueues {
    /// Finds them, if they are wanted.
    pub(crate) fn find(calls: &Calls, wanted: bool) -> Result<Self, Unreadable> {
        if !wanted {
            return Err(Unreadable::NotWanted);
        }
        // SAFETY: Only tells how the file was compiled.
        if unsafe { ffi::vigil_rq_readable() } == 0 {
            return Err(Unreadable::NoOffsets);
        }
        // INVARIANT: The symbol table says so. A module loads only into the kernel whose tree it
        // was built against (vermagic), whose sources gave the offsets.
        match calls.lookup(c"runqueues") {
            Some(address) => Ok(Self { address }),
            None => Err(Unreadable::NoSymbol),
        }
    }

    /// Sums them up.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn sum(&self) -> plan::RunQueues {
        let mut running = 0;
        // SAFETY: By the type invariant the address is that of the per-CPU variable.
        let sum = unsafe { ffi::vigil_rq_sum(self.address, &raw mut running) };
        plan::RunQueues {
            uninterruptible: sum as i64,
            running: running as u64,
        }
    }
}
