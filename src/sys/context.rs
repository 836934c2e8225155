// SPDX-License-Identifier: GPL-2.0

//! Context tokens: a value of one of these types is the evidence that the code runs in that context.

use super::ffi;
use core::marker::PhantomData;
use kernel::bindings;

/// Evidence of running in a hard timer interrupt of a CPU, from its beginning to its end.
///
/// # Invariants
///
/// Exists on the stack of such an interrupt only.
pub(crate) struct HardirqCtx<'a> {
    cpu: u32,
    _not_send: PhantomData<&'a *mut ()>,
}

impl HardirqCtx<'_> {
    /// # Safety
    ///
    /// To be called in a hard timer interrupt, which the result must not outlive.
    pub(super) unsafe fn new() -> Self {
        Self {
            // SAFETY: In an interrupt, nothing moves to another CPU.
            cpu: unsafe { ffi::vigil_this_cpu() },
            _not_send: PhantomData,
        }
    }

    /// The CPU.
    pub(crate) fn cpu(&self) -> u32 {
        self.cpu
    }

    /// The registers of what was interrupted, for the printing functions; may be null.
    pub(super) fn regs(&self) -> *mut bindings::pt_regs {
        // SAFETY: By the type invariant this is a hard interrupt.
        unsafe { ffi::vigil_irq_regs() }
    }
}

/// Evidence of running in the interrupt of a counter, from its beginning to its end.
///
/// # Invariants
///
/// Exists on the stack of such an interrupt only; `regs` is what that was given.
pub(crate) struct NmiCtx<'a> {
    regs: *mut bindings::pt_regs,
    _interrupt: PhantomData<&'a *mut ()>,
}

impl NmiCtx<'_> {
    /// # Safety
    ///
    /// To be called in an NMI that was given `regs`, which the result must not outlive.
    pub(super) unsafe fn new(regs: *mut bindings::pt_regs) -> Self {
        // INVARIANT: By the function's own requirement.
        Self {
            regs,
            _interrupt: PhantomData,
        }
    }

    /// The registers of what was interrupted.
    pub(super) fn regs(&self) -> *mut bindings::pt_regs {
        self.regs
    }
}
