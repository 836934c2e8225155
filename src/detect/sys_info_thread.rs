// SPDX-License-Identifier: GPL-2.0

//! The threads `vigild/info0` and `vigild/info1`, which show what `softlockup_sys_info` and
//! `hardlockup_sys_info` ask for.
//!
//! They are not woken by the CPU that reports: to wake a thread takes a run queue's lock, and a worker
//! of the kernel also a pool's, which the stuck CPU may hold. They look for themselves, often while
//! the knobs ask for something.
//!
//! Two, since a sleeping thread is woken by a timer of the CPU on which it went to sleep, and that may
//! be the one that is stuck: one runs on CPUs with even numbers, the other on odd ones.

use super::lockup_detector::LockupDetector;
use crate::{
    panic::PanicControl,
    sys::{
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

/// How often each looks whether they do, in milliseconds: `kernel.kernel_sys_info` counts where a knob
/// is empty, and nobody says that it was written.
const IDLE_MS: u32 = 10_000;

/// The state of one of the threads.
struct SysInfoThread {
    panic: Arc<PanicControl>,
    lockups: Arc<LockupDetector>,
    odd: bool,
}

/// The running threads. Dropping this stops them.
pub(crate) struct SysInfoThreads {
    _threads: [KThread; 2],
}

impl SysInfoThreads {
    /// Starts the threads, which `controls` wake.
    ///
    /// # Errors
    ///
    /// As [`KThread::spawn`].
    pub(crate) fn spawn(
        controls: [&Arc<ThreadControl>; 2],
        panic: &Arc<PanicControl>,
        lockups: &Arc<LockupDetector>,
    ) -> Result<Self> {
        let [even, odd] = controls;
        let spawn = |name, control: &Arc<ThreadControl>, odd| {
            let thread = SysInfoThread {
                panic: panic.clone(),
                lockups: lockups.clone(),
                odd,
            };
            KThread::spawn(name, control.clone(), thread)
        };
        Ok(Self {
            _threads: [
                spawn(c"vigild/info0", even, false)?,
                spawn(c"vigild/info1", odd, true)?,
            ],
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
            let is_all = self
                .panic
                .show_sys_info(self.lockups.ctx().stuck_cpus() != 0);
            let often = !is_all || self.panic.wants_sys_info();
            control.wait(Some(if often { LOOK_MS } else { IDLE_MS }));
        }
    }
}
