// SPDX-License-Identifier: GPL-2.0

//! Cycle counters, whose overflow interrupts their CPU: by NMI where the hardware has it.
//!
//! C headers: [`include/linux/perf_event.h`](srctree/include/linux/perf_event.h), `src/c/vigil.h`

use super::{
    buffer::Buffer,
    context::NmiCtx,
    cpu,
    ffi, //
};
use crate::logic::hardlockup::perf::Arch;
use core::marker::PhantomPinned;
use kernel::{
    bindings,
    error::to_result,
    ffi::c_void,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
    types::Opaque, //
};

/// The architecture that this is built for.
pub(crate) const ARCH: Arch = if cfg!(target_arch = "x86_64") {
    Arch::X86
} else if cfg!(target_arch = "aarch64") {
    Arch::Arm64
} else {
    Arch::Other
};

/// Tests whether the overflow of a counter interrupts a CPU that has interrupts off. For that, one
/// CPU has interrupts off: for a millisecond if it does, for 50 ms if not, for a few times that if
/// there is no overflow at all.
///
/// # Errors
///
/// - `ENODEV` if the overflow is an ordinary interrupt, or does not come.
/// - `EBUSY` if other pinned counters occupy the hardware.
/// - What else `perf_event_create_kernel_counter()` returns: `ENOENT` or `EOPNOTSUPP` where it
///   cannot count cycles.
///
/// # Context
///
/// Process context, may sleep.
pub(crate) fn probe() -> Result {
    // SAFETY: Process context. The counter that it starts is gone when it returns.
    to_result(unsafe { ffi::vigil_perf_event_probe() })
}

/// The callbacks of one CPU's [`PerfEvent`].
pub(crate) trait OverflowHandler: Send + Sync + Sized {
    /// Called when the counter overflows.
    ///
    /// # Context
    ///
    /// NMI on the counter's CPU.
    fn overflow(&self, nmi: &NmiCtx<'_>);

    /// Called when the counter overflows and its interrupt is not an NMI.
    ///
    /// # Context
    ///
    /// Hard interrupt on the counter's CPU.
    fn no_nmi(&self);
}

/// There is no perf event.
const STOPPED: u32 = 0;
/// A call makes or removes the perf event.
const CHANGING: u32 = 1;
/// There is a perf event.
const RUNNING: u32 = 2;

/// The cycle counter of one CPU, with the data of its callbacks. Dropping it stops it and waits for
/// a running callback.
///
/// # Invariants
///
/// - `event` has the callback for `T` and this value's address. In the state `RUNNING` it has a perf
///   event, in `STOPPED` none; in `CHANGING` it is that call's which changes it.
/// - Only [`PerfEvent::start`] and [`PerfEvent::stop`] change the state, from `CHANGING` only the call
///   that has set that.
#[pin_data(PinnedDrop)]
pub(crate) struct PerfEvent<T: OverflowHandler> {
    #[pin]
    event: Opaque<ffi::vigil_perf_event>,
    state: Atomic<u32>,
    data: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: `event` is used by `start` and `stop` only, one at a time, from any thread; the kernel
// locks its part. `T` is `Send`.
unsafe impl<T: OverflowHandler> Send for PerfEvent<T> {}
// SAFETY: As above. `T` is `Sync`.
unsafe impl<T: OverflowHandler> Sync for PerfEvent<T> {}

impl<T: OverflowHandler> PerfEvent<T> {
    fn new(data: T) -> impl PinInit<Self> {
        // INVARIANT: Stopped, with the callback for `T` and the address of the place that is
        // initialised.
        pin_init!(&this in Self {
            event <- Opaque::ffi_init(|slot: *mut ffi::vigil_perf_event| {
                let event = ffi::vigil_perf_event {
                    event: core::ptr::null_mut(),
                    overflow: Some(overflow::<T>),
                    arg: this.as_ptr().cast::<c_void>(),
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(event) }
            }),
            state: Atomic::new(STOPPED),
            data,
            _pin: PhantomPinned,
        })
    }

    /// Returns the data of the callbacks.
    pub(crate) fn data(&self) -> &T {
        &self.data
    }

    /// Starts to count the cycles of this CPU, with an overflow after each `period` of them.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it is running, and those of [`probe`] but for `ENODEV`: this does not test for an
    /// NMI.
    ///
    /// # Context
    ///
    /// Process context on `cpu`, where the task cannot migrate; may sleep.
    pub(crate) fn start(&self, cpu: u32, period: u64) -> Result {
        // INVARIANT: The event is this call's.
        if self.state.cmpxchg(STOPPED, CHANGING, Full).is_err() {
            return Err(EBUSY);
        }
        // SAFETY: By the type invariant there is no perf event, and nobody else makes one. It is
        // pinned, and stopped when it is dropped at the latest.
        let errno = unsafe { ffi::vigil_perf_event_start(self.event.get(), cpu, period) };
        let started = to_result(errno);
        // INVARIANT: It has a perf event now, or has none as before.
        let state = if started.is_ok() { RUNNING } else { STOPPED };
        self.state.store(state, Release);
        started
    }

    /// Stops the counter if it is running, and waits for a running callback. Does nothing while
    /// another call starts or stops it.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn stop(&self) {
        // INVARIANT: The event is this call's.
        if self.state.cmpxchg(RUNNING, CHANGING, Full).is_ok() {
            // SAFETY: By the type invariant there is one, and nobody else stops it.
            unsafe { ffi::vigil_perf_event_stop(self.event.get()) };
            // INVARIANT: It has no perf event.
            self.state.store(STOPPED, Release);
        }
    }

    /// Returns whether it is running.
    pub(crate) fn is_running(&self) -> bool {
        self.state.load(Acquire) == RUNNING
    }
}

#[pinned_drop]
impl<T: OverflowHandler> PinnedDrop for PerfEvent<T> {
    fn drop(self: Pin<&mut Self>) {
        self.stop();
    }
}

/// The [`PerfEvent`] of each possible CPU. Dropping it stops them all and waits for running
/// callbacks.
pub(crate) struct PerfEvents<T: OverflowHandler>(Buffer<Pin<KBox<PerfEvent<T>>>>);

impl<T: OverflowHandler> PerfEvents<T> {
    /// Bytes for each CPU.
    pub(crate) const BYTES_PER_CPU: usize =
        size_of::<Pin<KBox<PerfEvent<T>>>>() + size_of::<PerfEvent<T>>();

    /// Creates stopped counters; `data` makes the data of the CPU with the given number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new(mut data: impl FnMut(u32) -> T) -> Result<Self> {
        Ok(Self(Buffer::new(
            cpu::nr_cpu_ids() as usize,
            GFP_KERNEL,
            |cpu| {
                let cpu = u32::try_from(cpu).map_err(|_| EINVAL)?;
                KBox::pin_init(PerfEvent::new(data(cpu)), GFP_KERNEL)
            },
        )?))
    }

    /// Returns the counter of a CPU; `None` if there is no such CPU.
    pub(crate) fn get(&self, cpu: u32) -> Option<&PerfEvent<T>> {
        self.0.get(cpu as usize).map(|event| &**event)
    }

    /// Returns whether `predicate` holds for one of the counters.
    pub(crate) fn any(&self, predicate: impl Fn(&PerfEvent<T>) -> bool) -> bool {
        for event in self.0.iter() {
            if predicate(event) {
                return true;
            }
        }
        false
    }
}

/// # Safety
///
/// `arg` is a pinned [`PerfEvent<T>`] that lives, and the caller is its interrupt: an NMI that found
/// `regs`, or an ordinary interrupt if `regs` is null.
unsafe extern "C" fn overflow<T: OverflowHandler>(arg: *mut c_void, regs: *mut bindings::pt_regs) {
    // SAFETY: By the function's safety requirement.
    let this = unsafe { &*arg.cast::<PerfEvent<T>>() };
    if regs.is_null() {
        this.data.no_nmi();
        return;
    }
    // SAFETY: By the function's safety requirement; `nmi` ends with this callback.
    let nmi = unsafe { NmiCtx::new(regs) };
    this.data.overflow(&nmi);
}

#[kunit_tests(vigil_perf_event)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };
    use kernel::sync::atomic::Relaxed;

    /// Cycles of a millisecond or less.
    const PERIOD: u64 = 1_000_000;

    struct Probe {
        cpu: u32,
        overflows: Atomic<u32>,
        /// Callbacks on another CPU than this, or that were not an NMI.
        misplaced: Atomic<u32>,
    }

    impl OverflowHandler for Probe {
        fn overflow(&self, nmi: &NmiCtx<'_>) {
            if cpu::this() != self.cpu || nmi.regs().is_null() {
                self.misplaced.fetch_add(1, Relaxed);
            }
            self.overflows.fetch_add(1, Relaxed);
        }

        fn no_nmi(&self) {
            self.misplaced.fetch_add(1, Relaxed);
        }
    }

    fn counters() -> Result<PerfEvents<Probe>> {
        PerfEvents::new(|cpu| Probe {
            cpu,
            overflows: Atomic::new(0),
            misplaced: Atomic::new(0),
        })
    }

    #[test]
    fn each_cpu_has_one() -> Result {
        let counters = counters()?;
        for cpu in 0..cpu::nr_cpu_ids() {
            assert_eq!(
                counters.get(cpu).map(|counter| counter.data().cpu),
                Some(cpu)
            );
        }
        assert!(counters.get(cpu::nr_cpu_ids()).is_none());
        assert!(!counters.any(PerfEvent::is_running));
        assert!(counters.any(|counter| counter.data().cpu == 0));
        Ok(())
    }

    /// Emulated x86 CPUs count nothing; a counter that was refused leaves nothing behind.
    #[test]
    fn a_counter_does_what_the_probe_found() -> Result {
        stay_on(0)?;
        let probed = probe();
        let counters = counters()?;
        let counter = counters.get(0).ok_or(EINVAL)?;
        let started = counter.start(0, PERIOD);
        assert_eq!(counter.is_running(), started.is_ok());
        if probed.is_ok() {
            assert!(started.is_ok());
            assert_eq!(counter.start(0, PERIOD), Err(EBUSY));
            assert!(until(|| counter.data().overflows.load(Relaxed) >= 5));
        } else if let (Err(probed), Err(started)) = (probed, started) {
            assert_eq!(probed.to_errno(), started.to_errno());
        }
        counter.stop();
        assert!(!counter.is_running());
        let overflows = counter.data().overflows.load(Relaxed);
        sleep_ms(20);
        assert_eq!(counter.data().overflows.load(Relaxed), overflows);
        assert_eq!(counter.data().misplaced.load(Relaxed), 0);
        // Stopping a stopped counter does nothing.
        counter.stop();
        Ok(())
    }
}
