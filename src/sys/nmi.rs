// SPDX-License-Identifier: GPL-2.0

//! Asking a CPU by NMI whether it runs at all, and what patience it was asked for.
//!
//! C header: `src/c/vigil.h`

use super::{bytes_of, cpu, ffi, perf::InNmi};
use crate::logic::{blocker::Who, incident::Stack, text::Comm};
use core::mem::MaybeUninit;
use kernel::{error::to_result, prelude::*};

/// The way to ask; dropping it waits for handlers that are running.
///
/// # Invariants
///
/// The handler is registered for as long as this value lives; there is no second one.
pub(crate) struct Nmi(());

impl Nmi {
    /// # Errors
    ///
    /// `ENODEV` where the architecture cannot send an NMI to another CPU.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: Process context; the module makes one of these, at load.
        to_result(unsafe { ffi::vigil_nmi_start() })?;
        // INVARIANT: Just registered.
        Ok(Self(()))
    }

    /// Sends an NMI to a CPU. [`Nmi::taken`] tells later whether it came.
    ///
    /// # Context
    ///
    /// Hard interrupt.
    pub(crate) fn ask(&self, cpu: u32) {
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
    pub(crate) fn begun(&self, cpu: u32) -> u32 {
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
    pub(crate) fn taken(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: Each possible CPU has its part of per-CPU variables.
            unsafe { ffi::vigil_nmis_taken(cpu) }
        } else {
            0
        }
    }
}

impl Drop for Nmi {
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
pub(crate) fn take_snapshot(nmi: &InNmi<'_>) {
    // SAFETY: The registers of the running NMI.
    unsafe { ffi::vigil_snapshot_take(nmi.regs()) };
}

/// What a CPU was at when it last took one of our NMIs: the running task and its stack.
///
/// # Context
///
/// Any.
pub(crate) fn snapshot(cpu: u32) -> Option<(Who, Stack)> {
    if !cpu::possible(cpu) {
        return None;
    }
    let mut snapshot = MaybeUninit::<ffi::vigil_snapshot>::uninit();
    // SAFETY: The CPU has its part of per-CPU variables; all of `snapshot` is written.
    let snapshot = unsafe {
        ffi::vigil_snapshot_read(cpu, snapshot.as_mut_ptr());
        snapshot.assume_init()
    };
    let who = Who {
        comm: Comm::new(snapshot.comm),
        pid: snapshot.pid,
    };
    let stack = Stack {
        addresses: snapshot.stack,
        depth: snapshot.depth,
    };
    Some((who, stack))
}

/// Counts the calls by which slow code asks lockup detectors for patience.
///
/// # Invariants
///
/// The probes whose flag is set are registered for as long as this value lives.
pub(crate) struct Touches {
    probed: [bool; ffi::vigil_touch_VIGIL_TOUCHES as usize],
}

impl Touches {
    /// Probes what can be probed, if that is `wanted`.
    ///
    /// # Context
    ///
    /// Process context. There is no second one.
    pub(crate) fn new(wanted: bool) -> Self {
        let mut this = Self {
            probed: Default::default(),
        };
        for (probed, which) in this
            .probed
            .iter_mut()
            .zip(0..ffi::vigil_touch_VIGIL_TOUCHES)
        {
            // SAFETY: `which` is one of the header's constants, and is not registered.
            // INVARIANT: Set if it is.
            *probed = wanted && unsafe { ffi::vigil_touch_start(which) } == 0;
        }
        this
    }

    /// Each function's name, and whether its calls are counted.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static [u8], bool)> + '_ {
        self.probed
            .iter()
            .zip(0..ffi::vigil_touch_VIGIL_TOUCHES)
            .map(|(&probed, which)| {
                // SAFETY: As in `new`; the result is a string literal.
                (unsafe { bytes_of(ffi::vigil_touch_name(which)) }, probed)
            })
    }

    /// How often patience with the stopper of a CPU was asked for; wraps.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn soft(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: Each possible CPU has its part of per-CPU variables.
            unsafe { ffi::vigil_soft_touches(cpu) }
        } else {
            0
        }
    }

    /// The same for its timer interrupt.
    pub(crate) fn hard(&self, cpu: u32) -> u32 {
        if cpu::possible(cpu) {
            // SAFETY: As in `soft`.
            unsafe { ffi::vigil_hard_touches(cpu) }
        } else {
            0
        }
    }
}

impl Drop for Touches {
    fn drop(&mut self) {
        let mut touches = 0;
        for (&probed, which) in self.probed.iter().zip(0..ffi::vigil_touch_VIGIL_TOUCHES) {
            touches |= u32::from(probed) << which;
        }
        // SAFETY: By the type invariant these are registered.
        unsafe { ffi::vigil_touch_stop(touches) };
    }
}

#[kunit_tests(vigil_nmi)]
mod tests {
    use super::{
        super::{
            call::Calls,
            cpu::InTimer,
            testing::*,
            tick::{CpuBeat, OnCpu},
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
    fn own() -> ManuallyDrop<Nmi> {
        ManuallyDrop::new(Nmi(()))
    }

    /// Asks every CPU, once, from the first interrupt that comes.
    struct Asker(Arc<Atomic<bool>>);

    impl OnCpu for Asker {
        fn tick(&self, _beat: &CpuBeat<Self>, _timer: &InTimer<'_>) -> Option<u64> {
            if !self.0.xchg(true, Relaxed) {
                for cpu in cpus_online() {
                    own().ask(cpu);
                }
            }
            None
        }

        fn stopper_ran(&self) {}
    }

    /// The asking CPU itself included.
    #[test]
    #[cfg(CONFIG_X86)]
    fn every_cpu_answers() -> Result {
        for _ in 0..5 {
            let mut before = KVec::new();
            for cpu in cpus_online() {
                before.push((cpu, own().taken(cpu)), GFP_KERNEL)?;
            }
            let asked = Arc::new(Atomic::new(false), GFP_KERNEL)?;
            let (running, _site) = run_on_each(|_| Asker(asked.clone()))?;
            for &(cpu, taken) in before.iter() {
                assert!(until(|| own().taken(cpu) != taken));
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
        own().ask(u32::MAX);
        assert_eq!(own().taken(u32::MAX), 0);
        assert_eq!(own().taken(cpu::count()), 0);
    }

    #[test]
    fn no_touch_is_probed_unless_wanted() {
        let touches = Touches::new(false);
        assert!(touches.each().all(|(_, probed)| !probed));
        assert_eq!(touches.each().count(), touches.probed.len());
        assert_eq!(touches.soft(u32::MAX), 0);
        assert_eq!(touches.hard(u32::MAX), 0);
    }

    /// The module's own probes count, if there is something to be probed.
    #[test]
    fn touches_are_counted() -> Result {
        stay_on(0)?;
        let touches = Touches::new(false);
        let calls = Calls::bind(true);
        let there = |name: &[u8]| -> Result<bool> {
            let name = core::str::from_utf8(name).map_err(|_| EINVAL)?;
            Ok(calls
                .lookup(&CString::try_from_fmt(fmt!("{name}"))?)
                .is_some())
        };
        let (soft, hard) = (touches.soft(0), touches.hard(0));
        super::super::machine::touch_watchdogs();
        if there(b"touch_softlockup_watchdog")? {
            assert!(touches.soft(0) != soft);
        } else {
            assert_eq!(touches.soft(0), soft);
        }
        if there(b"arch_touch_nmi_watchdog")? {
            assert!(touches.hard(0) != hard);
        } else {
            assert_eq!(touches.hard(0), hard);
        }
        Ok(())
    }
}
