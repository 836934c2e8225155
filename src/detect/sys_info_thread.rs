// SPDX-License-Identifier: GPL-2.0

//! The thread `vigild/info`, which shows what `softlockup_sys_info` and `hardlockup_sys_info` ask for.
//!
//! It is not woken by the CPU that reports: to wake a thread takes a run queue's lock, and a worker
//! of the kernel also a pool's, which the stuck CPU may hold. It looks for itself, often while the
//! knobs ask for something.

use super::lockup_detector::LockupDetector;
use crate::{
    panic::PanicControl,
    sys::kthread::{
        ThreadControl,
        ThreadFn, //
    }, //
};
use kernel::sync::Arc;

/// How often it looks while the knobs ask for something, in milliseconds.
const LOOK_MS: u32 = 200;

/// How often it looks whether they do, in milliseconds: `kernel.kernel_sys_info` counts where a knob
/// is empty, and nobody says that it was written.
const IDLE_MS: u32 = 10_000;

/// The state of the thread.
pub(crate) struct SysInfoThread {
    panic: Arc<PanicControl>,
    lockups: Arc<LockupDetector>,
}

impl SysInfoThread {
    /// The state with which the thread starts.
    pub(crate) fn new(panic: Arc<PanicControl>, lockups: Arc<LockupDetector>) -> Self {
        Self { panic, lockups }
    }
}

impl ThreadFn for SysInfoThread {
    fn run(&mut self, control: &ThreadControl) {
        while !control.should_stop() {
            let is_all = self
                .panic
                .show_sys_info(self.lockups.ctx().stuck_cpus() != 0);
            let often = !is_all || self.panic.wants_sys_info();
            control.wait(Some(if often { LOOK_MS } else { IDLE_MS }));
        }
    }
}
