// SPDX-License-Identifier: GPL-2.0

//! Asking a CPU by NMI whether it runs at all, and what it was running.
//!
//! C header: `src/c/vigil.h`

use super::{context::NmiCtx, cpu, ffi};
use crate::logic::{
    incident::Stack,
    task::{Comm, TaskId},
};
use core::mem::MaybeUninit;
use kernel::{error::to_result, prelude::*};

/// The way to ask; dropping it waits for handlers that are running.
///
/// # Invariants
///
/// The handler is registered for as long as this value lives; there is no second one.
pub(crate) struct NmiSender(());

impl NmiSender {
    /// # Errors
    ///
    /// `ENODEV` where the architecture cannot send an NMI to another CPU.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Process context; the module makes one of these, at load.
        to_result(unsafe { ffi::vigil_nmi_start() })?;
        // INVARIANT: Just registered.
        Ok(Self(()))
    }

    /// Sends an NMI to a CPU. [`NmiSender::done`] tells later whether it came.
    ///
    /// # Context
    ///
    /// Hard interrupt.
    pub(crate) fn send(&self, cpu: u32) {
        if cpu::possible(cpu) {
            // SAFETY: By the type invariant there is a handler that takes it.
            unsafe { ffi::vigil_nmi_ask(cpu) };
        }
    }

    /// How many NMIs a CPU has begun to take so far; wraps.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn entered(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: As in `taken`.
            unsafe { ffi::vigil_nmis_begun(cpu) }
        } else {
            0
        }
    }

    /// How many NMIs a CPU has taken so far; wraps.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn done(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: Each possible CPU has its part of per-CPU variables.
            unsafe { ffi::vigil_nmis_taken(cpu) }
        } else {
            0
        }
    }
}

impl Drop for NmiSender {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is registered.
        unsafe { ffi::vigil_nmi_stop() };
    }
}

/// Keeps what this CPU is at, for [`snapshot`].
///
/// # Context
///
/// NMI.
pub(crate) fn take_snapshot(nmi: &NmiCtx<'_>) {
    // SAFETY: The registers of the running NMI.
    unsafe { ffi::vigil_snapshot_take(nmi.regs()) };
}

/// What a CPU was at when it last took one of our NMIs: the running task and its stack.
///
/// # Context
///
/// Any.
pub(crate) fn snapshot(cpu: u32) -> Option<(TaskId, Stack)> {
    if !cpu::possible(cpu) {
        return None;
    }
    let mut snapshot = MaybeUninit::<ffi::vigil_snapshot>::uninit();
    // SAFETY: The CPU has its part of per-CPU variables; all of `snapshot` is written.
    let snapshot = unsafe {
        ffi::vigil_snapshot_read(cpu, snapshot.as_mut_ptr());
        snapshot.assume_init()
    };
    let who = TaskId {
        comm: Comm::new(snapshot.comm),
        pid: snapshot.pid,
    };
    let stack = Stack {
        addresses: snapshot.stack,
        depth: snapshot.depth,
    };
    Some((who, stack))
}

#[kunit_tests(vigil_nmi)]
mod tests {
    use super::{
        super::{
            cpu::HardirqCtx,
            ksyms::Ksyms,
            testing::*,
            watchdog_timer::{TimerCallback, WatchdogTimer},
        },
        *,
    };
    use core::mem::ManuallyDrop;
    use kernel::{
        str::CString,
        sync::{
            atomic::{Atomic, Relaxed},
            Arc,
        },
    };

    /// The module's own way to ask, which lives longer than any test.
    // INVARIANT: It is registered, and this one does not unregister it.
    fn own() -> ManuallyDrop<NmiSender> {
        ManuallyDrop::new(NmiSender(()))
    }

    /// Asks every CPU, once, from the first interrupt that comes.
    struct Asker(Arc<Atomic<bool>>);

    impl TimerCallback for Asker {
        fn timer_fn(&self, _beat: &WatchdogTimer<Self>, _timer: &HardirqCtx<'_>) -> Option<u64> {
            if !self.0.xchg(true, Relaxed) {
                for cpu in cpus_online() {
                    own().send(cpu);
                }
            }
            None
        }

        fn stop_work_ran(&self) {}
    }

    /// The asking CPU itself included.
    #[test]
    #[cfg(CONFIG_X86)]
    fn every_cpu_answers() -> Result {
        for _ in 0..5 {
            let mut before = KVec::new();
            for cpu in cpus_online() {
                before.push((cpu, own().done(cpu)), GFP_KERNEL)?;
            }
            let asked = Arc::new(Atomic::new(false), GFP_KERNEL)?;
            let (running, _site) = run_on_each(|_| Asker(asked.clone()))?;
            for &(cpu, taken) in before.iter() {
                assert!(until(|| own().done(cpu) != taken));
                let (_, stack) = snapshot(cpu).ok_or(EINVAL)?;
                assert!(stack.depth > 0 && stack.addresses.first() != Some(&0));
            }
            drop(running);
        }
        Ok(())
    }

    #[test]
    fn a_cpu_that_cannot_be_is_not_asked() {
        assert!(snapshot(u32::MAX).is_none());
        own().send(u32::MAX);
        assert_eq!(own().done(u32::MAX), 0);
        assert_eq!(own().done(cpu::count()), 0);
    }
}
