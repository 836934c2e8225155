// SPDX-License-Identifier: GPL-2.0

//! A counter of a CPU's cycles, whose overflow interrupts the CPU, by NMI where the hardware has it.
//!
//! C header: [`include/linux/perf_event.h`](srctree/include/linux/perf_event.h), by `src/c/vigil.h`

use super::{buffer::Buffer, context::NmiCtx, cpu, ffi};
use crate::logic::hardlockup::perf::Arch;
use core::marker::PhantomPinned;
use kernel::{
    bindings,
    error::to_result,
    ffi::c_void,
    prelude::*,
    sync::atomic::{Acquire, Atomic, Release},
    types::Opaque,
};

/// The architecture that this is built for.
pub(crate) const ARCH: Arch = if cfg!(target_arch = "x86_64") {
    Arch::X86
} else if cfg!(target_arch = "aarch64") {
    Arch::Arm64
} else {
    Arch::Other
};

/// Tries whether a counter interrupts a CPU when nothing else does. Interrupts are off there
/// meanwhile: for a millisecond if it does, 50 ms if not, a few times if it does not come at all.
///
/// # Errors
///
/// `ENODEV`: it counts, and interrupts as everything else does, or not at all. `EBUSY`: other pinned
/// counters take all there is. What else `perf_event_create_kernel_counter()` says: `ENOENT` and
/// `EOPNOTSUPP` where no cycles can be counted.
///
/// # Context
///
/// Process context, may sleep.
pub(crate) fn probe() -> Result {
    // SAFETY: Leaves nothing behind.
    to_result(unsafe { ffi::vigil_counter_try() })
}

/// What is done when a CPU has used up its cycles.
pub(crate) trait OverflowHandler: Send + Sync + Sized {
    /// The interrupt of the counter.
    ///
    /// # Context
    ///
    /// NMI on the counter's CPU.
    fn overflow(&self, nmi: &NmiCtx<'_>);

    /// The interrupt of the counter is no NMI on its CPU.
    ///
    /// # Context
    ///
    /// Hard interrupt on the counter's CPU.
    fn no_nmi(&self);
}

/// The counter of one CPU, with what it is for.
///
/// # Invariants
///
/// - `counter` has the function for `T` and this value's address; while `running` is set it has an
///   event, and otherwise none.
/// - `running` is changed by [`PerfEvent::start`] and [`PerfEvent::stop`] only, of which no two run at a
///   time.
#[pin_data(PinnedDrop)]
pub(crate) struct PerfEvent<T: OverflowHandler> {
    #[pin]
    counter: Opaque<ffi::vigil_counter>,
    running: Atomic<bool>,
    what: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The counter is only touched by `start` and `stop`, one at a time, from any thread; the
// kernel's part of it is locked by itself.
unsafe impl<T: OverflowHandler> Send for PerfEvent<T> {}
// SAFETY: As above.
unsafe impl<T: OverflowHandler> Sync for PerfEvent<T> {}

impl<T: OverflowHandler> PerfEvent<T> {
    fn new(what: T) -> impl PinInit<Self> {
        pin_init!(&this in Self {
            counter <- Opaque::ffi_init(|slot: *mut ffi::vigil_counter| {
                let counter = ffi::vigil_counter {
                    event: core::ptr::null_mut(),
                    fn_: Some(overflow::<T>),
                    arg: this.as_ptr().cast::<c_void>(),
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(counter) }
            }),
            running: Atomic::new(false),
            what,
            _pin: PhantomPinned,
        })
    }

    /// What it is for.
    pub(crate) fn data(&self) -> &T {
        &self.what
    }

    /// Starts to count the cycles of a CPU, with an interrupt after each `period` of them.
    ///
    /// # Errors
    ///
    /// As [`probe`], which tells whether the interrupt is an NMI.
    ///
    /// # Context
    ///
    /// Process context on the CPU, without being moved; may sleep. Not while another call of this or
    /// of [`PerfEvent::stop`] runs.
    pub(crate) fn start(&self, cpu: u32, period: u64) -> Result {
        if self.running.load(Acquire) {
            return Err(EBUSY);
        }
        // SAFETY: By the type invariant it does not run; it is pinned, and runs until `stop` at the
        // latest, which whoever drops it calls.
        to_result(unsafe { ffi::vigil_counter_start(self.counter.get(), cpu, period) })?;
        // INVARIANT: It has an event now.
        self.running.store(true, Release);
        Ok(())
    }

    /// Stops it, if it runs, and waits until its interrupt is over.
    ///
    /// # Context
    ///
    /// Process context, may sleep. As [`PerfEvent::start`].
    pub(crate) fn stop(&self) {
        // INVARIANT: It has none any more at the end.
        if self.running.xchg(false, kernel::sync::atomic::Full) {
            // SAFETY: By the type invariant it runs.
            unsafe { ffi::vigil_counter_stop(self.counter.get()) };
        }
    }

    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Acquire)
    }
}

#[pinned_drop]
impl<T: OverflowHandler> PinnedDrop for PerfEvent<T> {
    fn drop(self: Pin<&mut Self>) {
        self.stop();
    }
}

/// One [`PerfEvent`] for each possible CPU. Dropping it stops all.
pub(crate) struct PerfEvents<T: OverflowHandler>(Buffer<Pin<KBox<PerfEvent<T>>>>);

impl<T: OverflowHandler> PerfEvents<T> {
    /// Bytes for each CPU.
    pub(crate) const BYTES_PER_CPU: usize =
        size_of::<Pin<KBox<PerfEvent<T>>>>() + size_of::<PerfEvent<T>>();

    /// Makes them; `what` is told the number of the CPU.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(mut what: impl FnMut(u32) -> T) -> Result<Self> {
        let count = cpu::count() as usize;
        Ok(Self(Buffer::new(count, GFP_KERNEL, |cpu| {
            let cpu = u32::try_from(cpu).map_err(|_| EINVAL)?;
            KBox::pin_init(PerfEvent::new(what(cpu)), GFP_KERNEL)
        })?))
    }

    /// That of one CPU.
    pub(crate) fn get(&self, cpu: u32) -> Option<&PerfEvent<T>> {
        self.0.get(cpu as usize).map(|counter| &**counter)
    }

    /// All, in the order of the CPUs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PerfEvent<T>> {
        self.0.iter().map(|counter| &**counter)
    }
}

/// # Safety
///
/// `arg` is a pinned [`PerfEvent<T>`] that has not been dropped, `regs` what the running NMI of its
/// counter has found, or null in an ordinary interrupt.
unsafe extern "C" fn overflow<T: OverflowHandler>(arg: *mut c_void, regs: *mut bindings::pt_regs) {
    // SAFETY: By the function's own requirement.
    let this = unsafe { &*arg.cast::<PerfEvent<T>>() };
    if regs.is_null() {
        this.what.no_nmi();
        return;
    }
    // SAFETY: This is that NMI, and `nmi` ends with it.
    let nmi = unsafe { NmiCtx::new(regs) };
    this.what.overflow(&nmi);
}

#[kunit_tests(vigil_perf_event)]
mod tests {
    use super::{super::testing::*, *};
    use kernel::sync::atomic::Relaxed;

    /// Cycles of a millisecond or less.
    const PERIOD: u64 = 1_000_000;

    struct Probe {
        cpu: u32,
        interrupts: Atomic<u32>,
        /// Those on another CPU, or without registers.
        astray: Atomic<u32>,
    }

    impl OverflowHandler for Probe {
        fn overflow(&self, nmi: &NmiCtx<'_>) {
            if this_cpu() != self.cpu || nmi.regs().is_null() {
                self.astray.fetch_add(1, Relaxed);
            }
            self.interrupts.fetch_add(1, Relaxed);
        }

        fn no_nmi(&self) {
            self.astray.fetch_add(1, Relaxed);
        }
    }

    fn counters() -> Result<PerfEvents<Probe>> {
        PerfEvents::new(|cpu| Probe {
            cpu,
            interrupts: Atomic::new(0),
            astray: Atomic::new(0),
        })
    }

    #[test]
    fn there_is_one_for_each_cpu() -> Result {
        let counters = counters()?;
        let mut cpu = 0;
        for counter in counters.iter() {
            assert_eq!(counter.data().cpu, cpu);
            assert!(!counter.is_running());
            cpu += 1;
        }
        assert_eq!(cpu, cpu::count());
        assert!(counters.get(cpu).is_none());
        Ok(())
    }

    /// What the try says is what comes of it. Emulated x86 CPUs count nothing, and nothing is left
    /// of what was refused.
    #[test]
    fn counts_where_it_says_so() -> Result {
        stay_on(0)?;
        let tried = probe();
        let counters = counters()?;
        let counter = counters.get(0).ok_or(EINVAL)?;
        let started = counter.start(0, PERIOD);
        assert_eq!(counter.is_running(), started.is_ok());
        if tried.is_ok() {
            assert!(started.is_ok());
            assert_eq!(counter.start(0, PERIOD), Err(EBUSY));
            assert!(until(|| counter.data().interrupts.load(Relaxed) >= 5));
        } else if let (Err(tried), Err(started)) = (tried, started) {
            assert_eq!(tried.to_errno(), started.to_errno());
        }
        counter.stop();
        assert!(!counter.is_running());
        let interrupts = counter.data().interrupts.load(Relaxed);
        pause(20);
        assert_eq!(counter.data().interrupts.load(Relaxed), interrupts);
        assert_eq!(counter.data().astray.load(Relaxed), 0);
        // Once more does no harm.
        counter.stop();
        Ok(())
    }
}
