// SPDX-License-Identifier: GPL-2.0

//! NMIs to other CPUs: whether a CPU runs at all, and what it was running.
//!
//! C header: `src/c/vigil.h`

use super::{
    context::NmiCtx,
    cpu,
    ffi,
    single::Single,
    smp::WaitRegs, //
};
use crate::logic::{
    cpu_wait::CpuContext,
    incident::Stack,
    task::{
        Comm,
        TaskId, //
    }, //
};
use core::mem::MaybeUninit;
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::Atomic, //
};

/// The registered NMI handlers, and the right to send an NMI. Dropping it unregisters them and waits
/// for running handlers.
///
/// # Invariants
///
/// The handlers are registered for as long as this value lives.
pub(crate) struct NmiSender {
    /// `None` in tests, which use the module's own.
    _single: Option<Single>,
}

impl NmiSender {
    /// Registers the handlers.
    ///
    /// # Errors
    ///
    /// `EBUSY` while another one lives; `ENODEV` on an architecture that cannot send an NMI to another
    /// CPU.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new() -> Result<Self> {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        let single = Single::take(&TAKEN)?;
        // SAFETY: Process context, and no other one lives.
        to_result(unsafe { ffi::vigil_nmi_register() })?;
        // INVARIANT: Just registered.
        Ok(Self {
            _single: Some(single),
        })
    }

    /// Sends an NMI to a CPU. [`NmiSender::entered`] and [`NmiSender::done`] show later whether it
    /// arrived.
    ///
    /// # Context
    ///
    /// Interrupts off, until the CPU is known to be online: see `vigil_nmi_send()`.
    pub(crate) fn send(&self, cpu: u32) {
        if cpu::possible(cpu) {
            // SAFETY: By the type invariant there is a handler that claims the NMI.
            unsafe { ffi::vigil_nmi_send(cpu) };
        }
    }

    /// Sends an NMI to a CPU if it is online. Returns whether it did.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn send_if_online(&self, cpu: u32) -> bool {
        // SAFETY: The CPU is possible. By the type invariant there is a handler that claims the NMI.
        cpu::possible(cpu) && unsafe { ffi::vigil_nmi_send_if_online(cpu) } != 0
    }

    /// Returns whether a CPU has handled all NMIs that were sent to it.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn is_answered(&self, cpu: u32) -> bool {
        // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
        !cpu::possible(cpu) || unsafe { ffi::vigil_nmi_is_answered(cpu) } != 0
    }

    /// Forgets what was sent to this CPU and has not arrived: it was offline.
    ///
    /// # Context
    ///
    /// Process context on `cpu`.
    pub(crate) fn forget(&self, cpu: u32) {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
            unsafe { ffi::vigil_nmi_forget(cpu) };
        }
    }

    /// Returns how many NMIs a CPU has begun to handle so far; wraps.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn entered(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
            unsafe { ffi::vigil_nmi_entered(cpu) }
        } else {
            0
        }
    }

    /// Returns how many NMIs a CPU has handled so far; wraps.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn done(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
            unsafe { ffi::vigil_nmi_done(cpu) }
        } else {
            0
        }
    }
}

impl Drop for NmiSender {
    fn drop(&mut self) {
        // SAFETY: By the type invariant they are registered. Waits for running handlers.
        unsafe { ffi::vigil_nmi_unregister() };
    }
}

/// Saves what this CPU is running, for [`snapshot`].
///
/// # Context
///
/// NMI.
pub(crate) fn take_snapshot(nmi: &NmiCtx<'_>) {
    // SAFETY: The registers of the running NMI.
    unsafe { ffi::vigil_nmi_snapshot_take(nmi.regs()) };
}

/// What a CPU was running when it took an NMI.
pub(crate) struct Snapshot {
    /// The task.
    pub(crate) task: TaskId,
    /// The stack that the NMI interrupted.
    pub(crate) stack: Stack,
    /// Whether interrupts were on.
    pub(crate) irqs_on: bool,
    /// Whether the CPU was idle, and in no interrupt.
    pub(crate) idle: bool,
    /// In which context it was.
    pub(crate) context: CpuContext,
    /// Registers that may have the address of what the CPU waits for.
    pub(crate) wait_regs: WaitRegs,
}

static_assert!(CpuContext::Task as u32 == ffi::vigil_cpu_context_VIGIL_IN_TASK);
static_assert!(CpuContext::Softirq as u32 == ffi::vigil_cpu_context_VIGIL_IN_SOFTIRQ);
static_assert!(CpuContext::Hardirq as u32 == ffi::vigil_cpu_context_VIGIL_IN_HARDIRQ);
static_assert!(CpuContext::Nmi as u32 == ffi::vigil_cpu_context_VIGIL_IN_NMI);
static_assert!(CpuContext::Idle as u32 == ffi::vigil_cpu_context_VIGIL_IN_IDLE);

/// Returns what a CPU was running at its last snapshot: an NMI that [`NmiSender::send`] sent, or
/// [`take_snapshot`]. `None`: there is none, or the CPU is taking one without end.
///
/// # Context
///
/// Any, NMI included.
#[inline(never)] // The C part's copy is not to lie on the stack below whoever uses it in an NMI.
pub(crate) fn snapshot(cpu: u32) -> Option<Snapshot> {
    if !cpu::possible(cpu) {
        return None;
    }
    let mut snapshot = MaybeUninit::<ffi::vigil_nmi_snapshot>::uninit();
    // SAFETY: The CPU is possible, so that it has its part of per-CPU variables, and there is room
    // for a snapshot.
    if unsafe { ffi::vigil_nmi_snapshot_read(cpu, snapshot.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: All of it was written, as the result says.
    let snapshot = unsafe { snapshot.assume_init() };
    let mut stack = Stack::default();
    for (address, &from) in stack.addresses.iter_mut().zip(&snapshot.stack) {
        *address = from;
    }
    stack.depth = snapshot.depth.min(ffi::VIGIL_STACK_DEPTH);
    Some(Snapshot {
        task: TaskId {
            comm: Comm::new(snapshot.comm),
            pid: snapshot.pid,
        },
        stack,
        irqs_on: snapshot.irqs_on != 0,
        idle: snapshot.idle != 0,
        context: CpuContext::from_number(snapshot.context),
        wait_regs: snapshot.regs,
    })
}

/// Prints the last snapshot of a CPU, as `nmi_cpu_backtrace()` does; `skip_idle`: only one line of
/// an idle CPU. Returns whether there was one that could be printed; never on arm64.
///
/// # Context
///
/// Any, NMI included; prints a lot.
pub(super) fn show_snapshot(cpu: u32, skip_idle: bool) -> bool {
    // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
    cpu::possible(cpu) && unsafe { ffi::vigil_nmi_snapshot_show(cpu, skip_idle.into()) } != 0
}

#[kunit_tests(vigil_nmi)]
mod tests {
    use super::{
        super::{
            context::HardirqCtx,
            testing::*,
            watchdog_timer::{
                TimerCallback,
                WatchdogTimer, //
            }, //
        },
        *, //
    };
    use core::mem::ManuallyDrop;
    use kernel::sync::{
        atomic::Relaxed,
        Arc, //
    };

    /// Returns the module's own sender, which lives longer than any test.
    // INVARIANT: The handlers are registered, and this value does not unregister them.
    fn own() -> ManuallyDrop<NmiSender> {
        ManuallyDrop::new(NmiSender { _single: None })
    }

    /// Sends an NMI to every CPU, once, from the first timer interrupt.
    struct SendToAll(Arc<Atomic<bool>>);

    impl TimerCallback for SendToAll {
        fn timer_fn(&self, _timer: &WatchdogTimer<Self>, _irq: &HardirqCtx<'_>) -> Option<u64> {
            if !self.0.xchg(true, Relaxed) {
                for cpu in cpus_online() {
                    own().send(cpu);
                }
            }
            None
        }

        fn stop_work_ran(&self) {}
    }

    /// The sending CPU included.
    #[test]
    #[cfg(CONFIG_X86)]
    fn every_cpu_handles_an_nmi() -> Result {
        for _ in 0..5 {
            let mut before = KVec::new();
            for cpu in cpus_online() {
                before.push((cpu, own().done(cpu)), GFP_KERNEL)?;
            }
            let sent = Arc::new(Atomic::new(false), GFP_KERNEL)?;
            let (running, _timers) = run_on_each(|_| SendToAll(sent.clone()))?;
            for &(cpu, done) in before.iter() {
                assert!(until(|| own().done(cpu) != done));
                let stack = snapshot(cpu).ok_or(EINVAL)?.stack;
                assert!(stack.depth > 0 && stack.addresses.first() != Some(&0));
            }
            drop(running);
        }
        Ok(())
    }

    #[test]
    fn an_impossible_cpu_gets_no_nmi() {
        assert!(snapshot(u32::MAX).is_none());
        own().send(u32::MAX);
        assert_eq!(own().done(u32::MAX), 0);
        assert_eq!(own().done(cpu::nr_cpu_ids()), 0);
    }
}
