// SPDX-License-Identifier: GPL-2.0

//! A timer interrupt on a CPU of one's choice, which says itself when it wants to come again; and
//! work that the CPU's stopper does.
//!
//! The `kernel` crate's timer moves by whole intervals only, and its time arithmetic is compiled
//! into the module with panic paths.
//!
//! C headers: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h),
//! [`include/linux/stop_machine.h`](srctree/include/linux/stop_machine.h)

use super::{buffer::Buffer, context::HardirqCtx, ffi, ksyms::Ksyms};
use core::marker::PhantomPinned;
use kernel::{
    bindings, container_of,
    ffi::{c_int, c_void},
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Release},
    time::{delay::fsleep, Delta},
    types::Opaque,
};

/// What is done on one CPU.
pub(crate) trait TimerCallback: Send + Sync + Sized {
    /// The timer interrupt. Returns when it wants to come again, in nanoseconds of the monotonic
    /// clock; `None` for not at all.
    ///
    /// # Context
    ///
    /// Hard interrupt on the CPU, also on a `-rt` kernel.
    fn timer_fn(&self, beat: &WatchdogTimer<Self>, timer: &HardirqCtx<'_>) -> Option<u64>;

    /// The stopper got to run.
    ///
    /// # Context
    ///
    /// The CPU's stopper thread, preemption disabled.
    fn stop_work_ran(&self);
}

/// Threads that stand in for the stoppers; dropping it ends them.
///
/// # Invariants
///
/// The threads are registered for as long as this value lives; there is no second one.
pub(crate) struct FifoThread(());

impl Drop for FifoThread {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { ffi::vigil_heart_stop() };
    }
}

/// Who shows that a CPU gets to run what is most urgent.
pub(crate) enum StopWork {
    /// The CPU's stopper.
    CpuStopper,
    /// A real-time thread of ours, which a more urgent one keeps from running.
    FifoThread(FifoThread),
    /// Nobody: soft lockups cannot be seen.
    None,
}

impl StopWork {
    /// The stoppers if they can be reached and are `wanted`, else stand-ins.
    ///
    /// # Context
    ///
    /// Process context, at load.
    pub(crate) fn find(ksyms: &Ksyms, wanted: bool) -> Self {
        if wanted && ksyms.has_stopper() {
            return Self::CpuStopper;
        }
        // SAFETY: Process context; the module makes one of these.
        if unsafe { ffi::vigil_heart_start() } == 0 {
            // INVARIANT: Just registered.
            Self::FifoThread(FifoThread(()))
        } else {
            Self::None
        }
    }
}

/// The timer of one CPU and the work of its stopper, with what they are for.
///
/// # Invariants
///
/// - `timer` is set up, with the callback for `T`.
/// - `queued` is set from when the work is given to the stopper until it has run.
#[pin_data]
pub(crate) struct WatchdogTimer<T: TimerCallback> {
    #[pin]
    timer: Opaque<bindings::hrtimer>,
    queued: Atomic<bool>,
    what: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The timer is used on its CPU, and cancelled from anywhere, as hrtimers may be.
unsafe impl<T: TimerCallback> Send for WatchdogTimer<T> {}
// SAFETY: As above.
unsafe impl<T: TimerCallback> Sync for WatchdogTimer<T> {}

impl<T: TimerCallback> WatchdogTimer<T> {
    /// One that does not run.
    pub(crate) fn new(what: T) -> impl PinInit<Self> {
        pin_init!(Self {
            timer <- Opaque::ffi_init(|slot: *mut bindings::hrtimer| {
                // SAFETY: `slot` is valid for writes and pinned.
                unsafe {
                    bindings::hrtimer_setup(
                        slot,
                        Some(timer::<T>),
                        bindings::CLOCK_MONOTONIC as bindings::clockid_t,
                        bindings::hrtimer_mode_HRTIMER_MODE_ABS_HARD,
                    )
                }
            }),
            queued: Atomic::new(false),
            what,
            _pin: PhantomPinned,
        })
    }

    /// What it is for.
    pub(crate) fn data(&self) -> &T {
        &self.what
    }

    /// Starts the timer on this CPU.
    ///
    /// # Context
    ///
    /// Process context on the CPU, without being moved; the timer does not run.
    pub(crate) fn start(&self, at: u64) {
        self.arm(at);
    }

    fn arm(&self, at: u64) {
        // SAFETY: By the type invariant the timer is set up.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.timer.get(),
                i64::try_from(at).unwrap_or(i64::MAX),
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_ABS_PINNED_HARD,
            )
        };
    }

    /// Stops the timer and waits until the stopper is through with the last work.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn stop(&self) {
        // SAFETY: By the type invariant. Waits for a running callback, and takes out a timer that
        // this has started again.
        unsafe { bindings::hrtimer_cancel(self.timer.get()) };
        // The stopper outranks everything, so this is short unless the CPU is stuck.
        while self.queued.load(Acquire) {
            fsleep(Delta::from_millis(1));
        }
    }

    /// Has the stopper run [`TimerCallback::stop_work_ran`], unless the last time has not come yet. Returns
    /// whether it had come.
    ///
    /// # Context
    ///
    /// The timer interrupt of this CPU.
    pub(crate) fn queue_stop_work(&self, timer: &HardirqCtx<'_>, stopper: &StopWork) -> bool {
        let queue = match stopper {
            StopWork::CpuStopper => ffi::vigil_queue_stopper,
            StopWork::FifoThread(_) => ffi::vigil_queue_heart,
            StopWork::None => return true,
        };
        if self.queued.xchg(true, Full) {
            return false;
        }
        let this = core::ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: The work queued last on this CPU has run, or `queued` would have been set. `self`
        // is pinned, and stays until `stop` has seen that this work has run; what the stopper then
        // still executes of this module is waited for by `synchronize_rcu()` before that goes
        // (it runs with preemption disabled; a stand-in's thread is gone before that).
        unsafe { queue(timer.cpu(), Some(ran::<T>), this) };
        true
    }
}

/// One [`WatchdogTimer`] for each possible CPU. Dropping it stops all, and waits until no stopper executes
/// code of this module any more.
pub(crate) struct WatchdogTimers<T: TimerCallback>(Buffer<Pin<KBox<WatchdogTimer<T>>>>);

impl<T: TimerCallback> WatchdogTimers<T> {
    /// Bytes for each CPU.
    pub(crate) const BYTES_PER_CPU: usize =
        size_of::<Pin<KBox<WatchdogTimer<T>>>>() + size_of::<WatchdogTimer<T>>();

    /// Makes them; `what` is told the number of the CPU.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(mut what: impl FnMut(u32) -> T) -> Result<Self> {
        let count = super::cpu::count() as usize;
        Ok(Self(Buffer::new(count, GFP_KERNEL, |cpu| {
            let cpu = u32::try_from(cpu).map_err(|_| EINVAL)?;
            KBox::pin_init(WatchdogTimer::new(what(cpu)), GFP_KERNEL)
        })?))
    }

    /// That of one CPU.
    pub(crate) fn get(&self, cpu: u32) -> Option<&WatchdogTimer<T>> {
        self.0.get(cpu as usize).map(|beat| &**beat)
    }
}

impl<T: TimerCallback> Drop for WatchdogTimers<T> {
    fn drop(&mut self) {
        for beat in self.0.iter() {
            beat.stop();
        }
        // A stopper that has said that it is through may still be on its way out of `ran`; it
        // runs with preemption disabled.
        // SAFETY: Process context, no RCU read lock held: whoever drops this may sleep (`stop`).
        unsafe { bindings::synchronize_rcu() };
    }
}

/// # Safety
///
/// `timer` is that of a pinned [`WatchdogTimer<T>`] that has not been dropped.
unsafe extern "C" fn timer<T: TimerCallback>(
    timer: *mut bindings::hrtimer,
) -> bindings::hrtimer_restart {
    let opaque = timer.cast::<Opaque<bindings::hrtimer>>();
    // SAFETY: By the function's own requirement.
    let this = unsafe { &*container_of!(opaque, WatchdogTimer<T>, timer) };
    // SAFETY: The timer is a hard one, and this ends with its callback.
    let context = unsafe { HardirqCtx::new() };
    if let Some(at) = this.what.timer_fn(this, &context) {
        this.arm(at);
    }
    // Started again by itself where it is wanted: a callback may do that.
    // SAFETY: A C enum, bound as a number in 7.2 and as a wrapped one in 7.3, of which zero is
    // `HRTIMER_NORESTART`.
    unsafe { core::mem::zeroed() }
}

/// # Safety
///
/// `arg` is the [`WatchdogTimer<T>`] that queued this.
unsafe extern "C" fn ran<T: TimerCallback>(arg: *mut c_void) -> c_int {
    // SAFETY: By the function's own requirement.
    let this = unsafe { &*arg.cast::<WatchdogTimer<T>>() };
    this.what.stop_work_ran();
    // The last access to `this`: `stop` may let go of it from here on.
    this.queued.store(false, Release);
    0
}

#[kunit_tests(vigil_watchdog_timer)]
mod tests {
    use super::{
        super::{clock::monotonic, task, testing::*},
        *,
    };
    use kernel::sync::{atomic::Relaxed, Arc};

    /// From one interrupt to the next, in nanoseconds.
    const PERIOD: u64 = 5_000_000;

    /// What is seen of one CPU.
    struct Probe {
        cpu: u32,
        /// How long the interrupt lasts, in nanoseconds.
        length: u64,
        stopper: Arc<StopWork>,
        ticks: Atomic<i32>,
        /// Interrupts on another CPU, or that were none.
        astray: Atomic<i32>,
        inside: Atomic<bool>,
        ran: Atomic<i32>,
        /// [`task::key`] of who ran the work last.
        runner: Atomic<usize>,
    }

    impl TimerCallback for Probe {
        fn timer_fn(&self, beat: &WatchdogTimer<Self>, timer: &HardirqCtx<'_>) -> Option<u64> {
            self.inside.store(true, Release);
            if timer.cpu() != self.cpu || this_cpu() != self.cpu || timer.regs().is_null() {
                self.astray.add(1, Relaxed);
            }
            let end = monotonic().wrapping_add(self.length);
            while monotonic() < end {
                core::hint::spin_loop();
            }
            beat.queue_stop_work(timer, &self.stopper);
            self.ticks.add(1, Relaxed);
            self.inside.store(false, Release);
            Some(monotonic().wrapping_add(PERIOD))
        }

        fn stop_work_ran(&self) {
            if this_cpu() != self.cpu {
                self.astray.add(1, Relaxed);
            }
            self.runner.store(task::key(current!()), Relaxed);
            self.ran.add(1, Relaxed);
        }
    }

    fn run(stopper: StopWork, length: u64) -> Result<(Running<Probe>, Arc<Site<Probe>>)> {
        let stopper = Arc::new(stopper, GFP_KERNEL)?;
        run_on_each(|cpu| Probe {
            cpu,
            length,
            stopper: stopper.clone(),
            ticks: Atomic::new(0),
            astray: Atomic::new(0),
            inside: Atomic::new(false),
            ran: Atomic::new(0),
            runner: Atomic::new(0),
        })
    }

    /// The sum over all CPUs.
    fn sum(site: &Site<Probe>, of: fn(&Probe) -> &Atomic<i32>) -> i32 {
        (0..super::super::cpu::count())
            .filter_map(|cpu| site.0.get(cpu))
            .fold(0, |sum, beat| {
                sum.wrapping_add(of(beat.data()).load(Relaxed))
            })
    }

    #[test]
    fn the_timer_interrupts_its_cpu_again_and_again() -> Result {
        let (running, site) = run(StopWork::None, 0)?;
        for cpu in cpus_online() {
            let beat = site.0.get(cpu).ok_or(EINVAL)?;
            assert!(until(|| beat.data().ticks.load(Relaxed) >= 5));
        }
        assert!(site.0.get(super::super::cpu::count()).is_none());
        drop(running);
        let ticks = sum(&site, |probe| &probe.ticks);
        pause(30);
        assert_eq!(sum(&site, |probe| &probe.ticks), ticks);
        assert_eq!(sum(&site, |probe| &probe.astray), 0);
        // Without a stopper there is nobody to run.
        assert_eq!(sum(&site, |probe| &probe.ran), 0);
        Ok(())
    }

    #[test]
    fn stop_waits_for_a_running_interrupt() -> Result {
        let Some(cpu) = cpus_online().filter(|&cpu| cpu != 0).last() else {
            return Ok(());
        };
        stay_on(0)?;
        let (mut running, site) = run(StopWork::None, 2_000_000)?;
        let beat = site.0.get(cpu).ok_or(EINVAL)?;
        for _ in 0..20 {
            assert!(until(|| beat.data().inside.load(Acquire)));
            beat.stop();
            assert!(!beat.data().inside.load(Acquire));
            let ticks = beat.data().ticks.load(Relaxed);
            pause(10);
            assert_eq!(beat.data().ticks.load(Relaxed), ticks);
            // Started on its CPU again.
            running.as_mut().disable();
            running.as_mut().enable()?;
        }
        drop(running);
        Ok(())
    }

    /// The work is done on its CPU, by a thread whose name begins like this.
    fn works(stopper: StopWork, by: &[u8]) -> Result<bool> {
        let (running, site) = run(stopper, 0)?;
        let mut good = true;
        for cpu in cpus_online() {
            let probe = site.0.get(cpu).ok_or(EINVAL)?.data();
            good &= until(|| probe.ran.load(Relaxed) >= 5);
            let runner = task::by_address(probe.runner.load(Relaxed)).ok_or(ESRCH)?;
            good &= name(&runner)?.to_bytes().starts_with(by);
        }
        drop(running);
        // All that was queued has run, and nothing is queued any more.
        let ran = sum(&site, |probe| &probe.ran);
        pause(10);
        good &= sum(&site, |probe| &probe.ran) == ran;
        good &= ran <= sum(&site, |probe| &probe.ticks);
        Ok(good && sum(&site, |probe| &probe.astray) == 0)
    }

    #[test]
    fn the_stopper_runs_the_work() -> Result {
        let stopper = StopWork::find(&Ksyms::resolve(true), true);
        assert!(matches!(stopper, StopWork::CpuStopper));
        assert!(works(stopper, b"migration/")?);
        Ok(())
    }

    /// The module itself uses the stoppers in this test's scenario, so there is no second one.
    #[test]
    fn a_stand_in_runs_the_work() -> Result {
        let stopper = StopWork::find(&Ksyms::resolve(true), false);
        assert!(matches!(stopper, StopWork::FifoThread(_)));
        assert!(works(stopper, b"vigild/")?);
        // They are gone, and can be there again.
        drop(StopWork::find(&Ksyms::resolve(false), true));
        Ok(())
    }
}
