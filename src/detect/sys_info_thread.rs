// SPDX-License-Identifier: GPL-2.0

//! The threads `vigild/info0` and `vigild/info1`, which show what `softlockup_sys_info` and
//! `hardlockup_sys_info` ask for.
//!
//! They are not woken by the CPU that reports: to wake a thread takes a run queue's lock, and a worker
//! of the kernel also a pool's, which the stuck CPU may hold. They look for themselves, often while
//! the knobs ask for something; else they sleep until they do ([`SysInfoWaker`]).
//!
//! Two, since a sleeping thread is woken by a timer of the CPU on which it went to sleep, and that may
//! be the one that is stuck: one runs on CPUs with even numbers, the other on odd ones.

use super::lockup_detector::LockupDetector;
use crate::{
    knobs::Knobs,
    logic::{
        hung_task::check,
        knobs::Knob,
        NSEC_PER_SEC, //
    },
    panic::PanicControl,
    sys::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        cpu,
        kthread::{
            KThread,
            ThreadControl,
            ThreadFn, //
        },
        task, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// How often each looks while the knobs ask for something, in milliseconds.
const LOOK_MS: u32 = 200;

/// How often it is looked at least whether they do, in seconds.
const IDLE_SECS: u32 = 10;

/// Wakes the threads when `kernel.kernel_sys_info` asks for something, which counts where a knob is
/// empty: nobody says that it was written. The thread of hung tasks looks, as it wakes anyway; where it
/// does not, or not often enough, the first of the threads does.
pub(crate) struct SysInfoWaker {
    knobs: Arc<Knobs>,
    panic: Arc<PanicControl>,
    lockups: Arc<LockupDetector>,
    wakees: [Wakee; 2],
}

/// What wakes one of the threads.
struct Wakee {
    /// Whether it runs on CPUs with odd numbers.
    odd: bool,
    control: Arc<ThreadControl>,
    /// Whether it sleeps until it is woken.
    asleep: Atomic<bool>,
}

impl Wakee {
    fn new(odd: bool) -> Result<Self> {
        Ok(Self {
            odd,
            control: ThreadControl::new()?,
            asleep: Atomic::new(false),
        })
    }
}

impl SysInfoWaker {
    /// Of threads that are not started yet.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        knobs: &Arc<Knobs>,
        panic: &Arc<PanicControl>,
        lockups: &Arc<LockupDetector>,
    ) -> Result<Self> {
        Ok(Self {
            knobs: knobs.clone(),
            panic: panic.clone(),
            lockups: lockups.clone(),
            wakees: [Wakee::new(false)?, Wakee::new(true)?],
        })
    }

    /// Those of the threads, for whoever changes a knob.
    pub(crate) fn controls(&self) -> [Arc<ThreadControl>; 2] {
        self.wakees.each_ref().map(|wakee| wakee.control.clone())
    }

    /// Wakes the threads if they sleep and something is asked for, or was when a lockup was reported.
    /// One is left asleep while a CPU of its half is known to be stuck: to wake it takes the lock of a
    /// run queue there, with interrupts disabled.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(super) fn poll(&self) {
        let panic = &self.panic;
        let any = self.wakees.iter().any(|wakee| wakee.asleep.load(Relaxed));
        if !any || (!panic.wants_sys_info() && panic.is_sys_info_done()) {
            return;
        }
        for wakee in &self.wakees {
            if wakee.asleep.load(Relaxed) && !self.lockups.ctx().is_half_stuck(wakee.odd) {
                // Before it is woken: it stores again before it sleeps.
                wakee.asleep.store(false, Relaxed);
                wakee.control.wake();
            }
        }
    }

    /// Whether the thread of hung tasks polls often enough.
    fn is_polled(&self) -> bool {
        let timeout = self.knobs.get_u64(Knob::HungTaskTimeoutSecs);
        let interval = self.knobs.get_u64(Knob::HungTaskCheckIntervalSecs);
        let most = u64::from(IDLE_SECS).saturating_mul(NSEC_PER_SEC);
        check::interval(timeout, interval).is_some_and(|interval| interval <= most)
    }

    /// For how many milliseconds one of the threads sleeps while nothing is asked for; `None`: until it is
    /// woken.
    fn sleep_ms(&self, odd: bool) -> Option<u32> {
        if let Some(wakee) = self.wakees.get(usize::from(odd)) {
            wakee.asleep.store(true, Relaxed);
        }
        (!odd && !self.is_polled()).then_some(IDLE_SECS.saturating_mul(1000))
    }
}

/// The state of one of the threads.
struct SysInfoThread {
    waker: Arc<SysInfoWaker>,
    odd: bool,
}

/// The running threads. Dropping this stops them.
pub(crate) struct SysInfoThreads {
    _threads: [KThread; 2],
}

impl SysInfoThreads {
    /// Starts the threads, which `waker` wakes.
    ///
    /// # Errors
    ///
    /// As [`KThread::spawn`].
    pub(crate) fn spawn(waker: &Arc<SysInfoWaker>) -> Result<Self> {
        let [even, odd] = &waker.wakees;
        let spawn = |name, wakee: &Wakee| {
            let thread = SysInfoThread {
                waker: waker.clone(),
                odd: wakee.odd,
            };
            KThread::spawn(name, wakee.control.clone(), thread)
        };
        Ok(Self {
            _threads: [spawn(c"vigild/info0", even)?, spawn(c"vigild/info1", odd)?],
        })
    }
}

impl ThreadFn for SysInfoThread {
    fn run(&mut self, control: &ThreadControl) {
        task::run_on_half(self.odd);
        while !control.should_stop() {
            // A change of CPUs or cpusets may have moved it.
            if (cpu::this() % 2 != 0) != self.odd {
                task::run_on_half(self.odd);
            }
            let panic = &self.waker.panic;
            let is_all = panic.show_sys_info(self.waker.lockups.ctx().stuck_cpus() != 0);
            let often = !is_all || panic.wants_sys_info();
            if often {
                // For the other one.
                self.waker.poll();
                control.wait(Some(LOOK_MS));
            } else {
                control.wait(self.waker.sleep_ms(self.odd));
            }
        }
    }
}
