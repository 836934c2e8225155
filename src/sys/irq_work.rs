// SPDX-License-Identifier: GPL-2.0

//! Two threads that can be woken in any context: one by CPUs with even numbers, and one by odd ones.
//!
//! The wake-up itself is done by `irq_work`, in an interrupt of its own that the CPU takes when it takes
//! interrupts again. As when `printk()` wakes the readers of the log, it takes the lock of a run queue: that
//! of a CPU on which the thread may run. So each is to run on the CPUs that wake it
//! ([`task::run_on_half`](super::task::run_on_half)); with two CPUs that is the one that takes the
//! interrupt, and never one that is stuck. With more, one CPU of each half can be caught behind that lock: the
//! others leave the thread alone that has been woken and has not run yet.
//!
//! C headers: [`include/linux/irq_work.h`](srctree/include/linux/irq_work.h), `src/c/vigil.h`

use super::{
    ffi,
    single::Single, //
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};

/// Wakes this CPU's thread in [`IrqWork::wait`], or makes its next wait end at once.
///
/// Lost if this CPU gets no interrupt any more: another one has to wake the thread then.
///
/// # Context
///
/// Any, NMI included, as long as the [`IrqWork`] lives.
pub(super) fn queue() {
    // SAFETY: May be called in any context.
    unsafe { ffi::vigil_irq_work_queue() };
}

/// The right to wait. Dropping it waits for work that is queued.
pub(crate) struct IrqWork {
    _single: Single,
}

impl IrqWork {
    /// The work of all CPUs. There is one at a time.
    ///
    /// # Errors
    ///
    /// `EBUSY` while another one lives.
    pub(crate) fn new() -> Result<Self> {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        Ok(Self {
            _single: Single::take(&TAKEN)?,
        })
    }

    /// Sleeps until a CPU with an `odd` number, or an even one, wakes the thread or it has to stop, for
    /// `millis` milliseconds at most (`None`: without a limit).
    ///
    /// # Context
    ///
    /// Process context, in a kernel thread; no other thread waits for the same CPUs.
    pub(crate) fn wait(&self, odd: bool, millis: Option<u32>) {
        let millis = millis.map_or(0, |millis| millis.max(1));
        // SAFETY: May be called by a kernel thread that may sleep.
        unsafe { ffi::vigil_irq_work_wait(odd.into(), millis) };
    }
}

impl Drop for IrqWork {
    fn drop(&mut self) {
        // SAFETY: May be called by whoever may sleep.
        unsafe { ffi::vigil_irq_work_sync() };
    }
}
