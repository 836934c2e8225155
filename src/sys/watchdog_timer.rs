// SPDX-License-Identifier: GPL-2.0

//! The watchdog timer: a pinned hrtimer on a CPU, whose callback queues stop work to its CPU
//! ([`super::stopper`]). Stopping it waits for the callback and for the stop work.
//!
//! The callback itself decides when the timer expires next. The `kernel` crate's `HrTimer` cannot
//! serve: it moves on by whole intervals only, and its time arithmetic is compiled into the module
//! with panic paths.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

use super::{
    buffer::Buffer,
    context::HardirqCtx,
    cpu,
    stopper::{
        self,
        StopWork,
        StopWorkItem, //
    }, //
};
use core::marker::PhantomPinned;
use kernel::{
    bindings,
    container_of,
    ffi::{
        c_int,
        c_uint,
        c_void, //
    },
    prelude::*,
    types::Opaque, //
};

/// The callbacks of one CPU's [`WatchdogTimer`].
pub(crate) trait TimerCallback: Send + Sync + Sized {
    /// Called when the timer expires. Returns when it expires next, in nanoseconds of the monotonic
    /// clock, or `None` to leave it stopped.
    ///
    /// # Context
    ///
    /// Hard interrupt on the timer's CPU, also on a `-rt` kernel.
    fn timer_fn(&self, timer: &WatchdogTimer<Self>, irq: &HardirqCtx<'_>) -> Option<u64>;

    /// Called by the stop work that [`WatchdogTimer::queue_stop_work`] queued.
    ///
    /// # Context
    ///
    /// The thread of [`StopWork`] on the timer's CPU; in a CPU stopper with preemption disabled.
    fn stop_work_ran(&self);
}

/// The watchdog timer and the stop work of one CPU, with the data of their callbacks.
///
/// # Invariants
///
/// - `timer` is set up, with the callback for `T`.
/// - `work` is queued with this timer as its argument only.
#[pin_data]
pub(crate) struct WatchdogTimer<T: TimerCallback> {
    #[pin]
    timer: Opaque<bindings::hrtimer>,
    #[pin]
    work: StopWorkItem,
    data: T,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: An hrtimer may be cancelled from any CPU; it is started on its own CPU only. `T` is
// `Send`.
unsafe impl<T: TimerCallback> Send for WatchdogTimer<T> {}
// SAFETY: As above; the kernel locks the timer. `T` is `Sync`.
unsafe impl<T: TimerCallback> Sync for WatchdogTimer<T> {}

impl<T: TimerCallback> WatchdogTimer<T> {
    /// Creates a timer that is stopped. Only for [`WatchdogTimers`], whose drop stops it.
    fn new(data: T) -> impl PinInit<Self> {
        // INVARIANT: The timer is set up here; no work is queued.
        pin_init!(Self {
            timer <- Opaque::ffi_init(|slot: *mut bindings::hrtimer| {
                // SAFETY: `slot` is valid for writes and pinned.
                unsafe {
                    bindings::hrtimer_setup(
                        slot,
                        Some(timer_fn::<T>),
                        bindings::CLOCK_MONOTONIC as bindings::clockid_t,
                        bindings::hrtimer_mode_HRTIMER_MODE_ABS_HARD,
                    )
                }
            }),
            work <- StopWorkItem::new(),
            data,
            _pin: PhantomPinned,
        })
    }

    /// Returns the data of the callbacks.
    pub(crate) fn data(&self) -> &T {
        &self.data
    }

    /// Starts the timer on this CPU, to expire at `expires` on the monotonic clock.
    ///
    /// # Context
    ///
    /// Process context on the timer's CPU, where the task cannot migrate. The timer is stopped.
    pub(crate) fn start(&self, expires: u64) {
        // SAFETY: By the type invariant the timer is set up.
        unsafe {
            bindings::hrtimer_start_range_ns(
                self.timer.get(),
                i64::try_from(expires).unwrap_or(i64::MAX),
                0,
                bindings::hrtimer_mode_HRTIMER_MODE_ABS_PINNED_HARD,
            )
        };
    }

    /// Sets when the timer expires if its callback returns `HRTIMER_RESTART`: `hrtimer_set_expires()`.
    ///
    /// # Context
    ///
    /// The timer's callback: the timer is not queued, and only its own CPU starts it, so that no lock is
    /// needed.
    fn set_expires(&self, expires: u64) {
        let expires = i64::try_from(expires).unwrap_or(i64::MAX);
        let timer = self.timer.get();
        // SAFETY: By the type invariant the timer is set up. While its callback runs it is not queued,
        // and the kernel does not read these until the callback has returned; `hrtimer_cancel()` from
        // another CPU waits for that.
        unsafe {
            (*timer).node.expires = expires;
            (*timer)._softexpires = expires;
        }
    }

    /// Stops the timer, and waits for a running callback and for queued stop work to run.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn stop(&self) {
        // SAFETY: By the type invariant the timer is set up. Waits for a running callback, and
        // cancels the timer also if that has started it again.
        unsafe { bindings::hrtimer_cancel(self.timer.get()) };
        self.work.wait();
    }

    /// Queues [`TimerCallback::stop_work_ran`] as stop work, unless the work queued before has not
    /// run yet. Returns whether that had run; true also if there is no thread to run it.
    ///
    /// # Context
    ///
    /// The timer interrupt of the timer's CPU.
    pub(crate) fn queue_stop_work(&self, irq: &HardirqCtx<'_>, stop_work: &StopWork) -> bool {
        let this = core::ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: `self` is pinned, and lives until `stop`, which is called before it is freed, has
        // waited for the work. `stop_work_fn` marks it as run in its last access to `self`.
        // `WatchdogTimers::drop` waits for stoppers that return from this module's code.
        unsafe { self.work.queue(stop_work, irq, stop_work_fn::<T>, this) }
    }
}

/// The [`WatchdogTimer`] of each possible CPU. Dropping it stops them all, waits for their callbacks
/// and their stop work, and then for an RCU grace period: until no stopper runs code of this module.
pub(crate) struct WatchdogTimers<T: TimerCallback>(Buffer<Pin<KBox<WatchdogTimer<T>>>>);

impl<T: TimerCallback> WatchdogTimers<T> {
    /// Bytes for each CPU.
    pub(crate) const BYTES_PER_CPU: usize =
        size_of::<Pin<KBox<WatchdogTimer<T>>>>() + size_of::<WatchdogTimer<T>>();

    /// Creates stopped timers; `data` makes the data of the CPU with the given number.
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
                KBox::pin_init(WatchdogTimer::new(data(cpu)), GFP_KERNEL)
            },
        )?))
    }

    /// Returns the timer of a CPU; `None` if there is no such CPU.
    pub(crate) fn get(&self, cpu: u32) -> Option<&WatchdogTimer<T>> {
        self.0.get(cpu as usize).map(|timer| &**timer)
    }
}

impl<T: TimerCallback> Drop for WatchdogTimers<T> {
    fn drop(&mut self) {
        for timer in self.0.iter() {
            timer.stop();
        }
        stopper::wait_for_returns();
    }
}

/// # Safety
///
/// `timer` is that of a pinned [`WatchdogTimer<T>`] that lives, and the caller is its interrupt.
unsafe extern "C" fn timer_fn<T: TimerCallback>(
    timer: *mut bindings::hrtimer,
) -> bindings::hrtimer_restart {
    let opaque = timer.cast::<Opaque<bindings::hrtimer>>();
    // SAFETY: By the function's safety requirement.
    let this = unsafe { &*container_of!(opaque, WatchdogTimer<T>, timer) };
    // SAFETY: The timer's mode is a hard one, and `irq` ends with this callback.
    let irq = unsafe { HardirqCtx::new() };
    let restart = this.data.timer_fn(this, &irq);
    if let Some(expires) = restart {
        this.set_expires(expires);
    }
    // SAFETY: A C enum, bound as a number in 7.2 and as a wrapped one in 7.3, of which 0 is
    // `HRTIMER_NORESTART` and 1 is `HRTIMER_RESTART`.
    unsafe {
        core::mem::transmute::<c_uint, bindings::hrtimer_restart>(c_uint::from(restart.is_some()))
    }
}

/// # Safety
///
/// `arg` is the pinned [`WatchdogTimer<T>`] that queued this.
unsafe extern "C" fn stop_work_fn<T: TimerCallback>(arg: *mut c_void) -> c_int {
    // SAFETY: By the function's safety requirement.
    let this = unsafe { &*arg.cast::<WatchdogTimer<T>>() };
    this.data.stop_work_ran();
    // The last access to `this`: from here on `stop` may return, and its caller may free it.
    this.work.mark_as_run();
    0
}

#[kunit_tests(vigil_watchdog_timer)]
mod tests {
    use super::{
        super::{
            clock::monotonic,
            ksyms::Ksyms,
            task,
            testing::*, //
        },
        *, //
    };
    use kernel::sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    };

    /// Nanoseconds from one expiry to the next.
    const PERIOD: u64 = 5_000_000;

    /// Counts the callbacks of one CPU.
    struct Probe {
        cpu: u32,
        /// How long the timer callback lasts, in nanoseconds.
        length: u64,
        stop_work: Arc<StopWork>,
        /// Calls of the timer callback.
        expired: Atomic<i32>,
        /// Callbacks on another CPU than this, or without registers.
        misplaced: Atomic<i32>,
        /// Set while the timer callback runs.
        in_timer_fn: Atomic<bool>,
        /// Calls of the stop work.
        ran: Atomic<i32>,
        /// [`task::key`] of the task that ran the stop work last.
        runner: Atomic<usize>,
    }

    impl TimerCallback for Probe {
        fn timer_fn(&self, timer: &WatchdogTimer<Self>, irq: &HardirqCtx<'_>) -> Option<u64> {
            self.in_timer_fn.store(true, Release);
            if irq.cpu() != self.cpu || cpu::this() != self.cpu || irq.regs().is_null() {
                self.misplaced.add(1, Relaxed);
            }
            let end = monotonic().wrapping_add(self.length);
            while monotonic() < end {
                core::hint::spin_loop();
            }
            timer.queue_stop_work(irq, &self.stop_work);
            self.expired.add(1, Relaxed);
            self.in_timer_fn.store(false, Release);
            Some(monotonic().wrapping_add(PERIOD))
        }

        fn stop_work_ran(&self) {
            if cpu::this() != self.cpu {
                self.misplaced.add(1, Relaxed);
            }
            self.runner.store(task::key(current!()), Relaxed);
            self.ran.add(1, Relaxed);
        }
    }

    fn run(stop_work: StopWork, length: u64) -> Result<(Running<Probe>, Arc<TimerPerCpu<Probe>>)> {
        let stop_work = Arc::new(stop_work, GFP_KERNEL)?;
        run_on_each(|cpu| Probe {
            cpu,
            length,
            stop_work: stop_work.clone(),
            expired: Atomic::new(0),
            misplaced: Atomic::new(0),
            in_timer_fn: Atomic::new(false),
            ran: Atomic::new(0),
            runner: Atomic::new(0),
        })
    }

    /// Adds up one counter of all CPUs.
    fn sum(timers: &TimerPerCpu<Probe>, of: fn(&Probe) -> &Atomic<i32>) -> i32 {
        (0..cpu::nr_cpu_ids())
            .filter_map(|cpu| timers.0.get(cpu))
            .fold(0, |sum, timer| {
                sum.wrapping_add(of(timer.data()).load(Relaxed))
            })
    }

    #[test]
    fn the_timer_expires_periodically_on_its_cpu() -> Result {
        let (running, timers) = run(StopWork::None, 0)?;
        for cpu in cpus_online() {
            let timer = timers.0.get(cpu).ok_or(EINVAL)?;
            assert!(until(|| timer.data().expired.load(Relaxed) >= 5));
        }
        assert!(timers.0.get(cpu::nr_cpu_ids()).is_none());
        drop(running);
        let expired = sum(&timers, |probe| &probe.expired);
        sleep_ms(30);
        assert_eq!(sum(&timers, |probe| &probe.expired), expired);
        assert_eq!(sum(&timers, |probe| &probe.misplaced), 0);
        // Without a thread there is no stop work.
        assert_eq!(sum(&timers, |probe| &probe.ran), 0);
        Ok(())
    }

    #[test]
    fn stop_waits_for_a_running_callback() -> Result {
        let Some(cpu) = cpus_online().filter(|&cpu| cpu != 0).last() else {
            return Ok(());
        };
        stay_on(0)?;
        let (mut running, timers) = run(StopWork::None, 2_000_000)?;
        let timer = timers.0.get(cpu).ok_or(EINVAL)?;
        for _ in 0..20 {
            assert!(until(|| timer.data().in_timer_fn.load(Acquire)));
            timer.stop();
            assert!(!timer.data().in_timer_fn.load(Acquire));
            let expired = timer.data().expired.load(Relaxed);
            sleep_ms(10);
            assert_eq!(timer.data().expired.load(Relaxed), expired);
            // Starts it on its CPU again.
            running.as_mut().disable();
            running.as_mut().enable()?;
        }
        drop(running);
        Ok(())
    }

    /// Returns whether the stop work of each CPU runs there, in a thread whose name begins with
    /// `comm`, and as often as it was queued.
    fn stop_work_runs(stop_work: StopWork, comm: &[u8]) -> Result<bool> {
        let (running, timers) = run(stop_work, 0)?;
        let mut good = true;
        for cpu in cpus_online() {
            let probe = timers.0.get(cpu).ok_or(EINVAL)?.data();
            good &= until(|| probe.ran.load(Relaxed) >= 5);
            let runner = task::by_address(probe.runner.load(Relaxed)).ok_or(ESRCH)?;
            good &= name(&runner)?.to_bytes().starts_with(comm);
        }
        drop(running);
        // All that was queued has run, and no more is queued.
        let ran = sum(&timers, |probe| &probe.ran);
        sleep_ms(10);
        good &= sum(&timers, |probe| &probe.ran) == ran;
        good &= ran <= sum(&timers, |probe| &probe.expired);
        Ok(good && sum(&timers, |probe| &probe.misplaced) == 0)
    }

    #[test]
    fn the_cpu_stopper_runs_stop_work() -> Result {
        let stop_work = StopWork::find(&Ksyms::resolve(true), true);
        assert!(matches!(stop_work, StopWork::CpuStopper));
        assert!(stop_work_runs(stop_work, b"migration/")?);
        Ok(())
    }

    /// There may be one [`StopWork::FifoThread`]: the module itself uses the stoppers here.
    #[test]
    fn the_fifo_thread_runs_stop_work() -> Result {
        let stop_work = StopWork::find(&Ksyms::resolve(true), false);
        assert!(matches!(stop_work, StopWork::FifoThread(_)));
        assert!(stop_work_runs(stop_work, b"vigild/")?);
        // The threads have exited, and can be started again.
        drop(StopWork::find(&Ksyms::resolve(false), true));
        Ok(())
    }
}
