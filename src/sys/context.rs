// SPDX-License-Identifier: GPL-2.0

//! Context tokens: a value of one of these types proves that the code runs in that context.
//!
//! A function that is sound in one context only takes the token of it, so that no other context
//! can call it. Tokens cannot be sent to another CPU or kept: they borrow the interrupt.

use super::ffi;
use core::marker::PhantomData;
use kernel::{
    bindings,
    types::NotThreadSafe, //
};

/// Proof of running in a hard timer interrupt, and on which CPU.
///
/// # Invariants
///
/// Exists only while the interrupt runs, on the stack of the CPU `cpu`, which runs it.
pub(crate) struct HardirqCtx<'a> {
    cpu: u32,
    _interrupt: PhantomData<&'a *mut ()>,
}

impl HardirqCtx<'_> {
    /// Creates the token.
    ///
    /// # Safety
    ///
    /// The caller is a hard timer interrupt, and the token does not outlive that.
    pub(super) unsafe fn new() -> Self {
        // INVARIANT: By the function's safety requirement.
        Self {
            // SAFETY: Reads the number of this CPU, which the interrupt does not leave.
            cpu: unsafe { bindings::raw_smp_processor_id() },
            _interrupt: PhantomData,
        }
    }

    /// Returns the number of the CPU that runs the interrupt.
    pub(crate) fn cpu(&self) -> u32 {
        self.cpu
    }

    /// Returns the registers that the interrupt found, or null, for the printing functions.
    pub(super) fn regs(&self) -> *mut bindings::pt_regs {
        // SAFETY: Reads a per-CPU variable of this CPU.
        unsafe { ffi::vigil_irq_regs() }
    }
}

/// Proof of running in an NMI: the overflow interrupt of a cycle counter.
///
/// # Invariants
///
/// Exists only while the NMI runs, on its stack; `regs` are the registers that the NMI found.
pub(crate) struct NmiCtx<'a> {
    regs: *mut bindings::pt_regs,
    _nmi: PhantomData<&'a *mut ()>,
}

impl NmiCtx<'_> {
    /// Creates the token.
    ///
    /// # Safety
    ///
    /// The caller is an NMI that found `regs`, and the token does not outlive that.
    pub(super) unsafe fn new(regs: *mut bindings::pt_regs) -> Self {
        // INVARIANT: By the function's safety requirement.
        Self {
            regs,
            _nmi: PhantomData,
        }
    }

    /// Returns the registers that the NMI found, for the printing functions.
    pub(super) fn regs(&self) -> *mut bindings::pt_regs {
        self.regs
    }
}

/// Interrupts are off on this CPU while this lives, but for NMIs.
pub(super) struct IrqsOff {
    flags: usize,
    _this_cpu: NotThreadSafe,
}

impl IrqsOff {
    /// Disables interrupts.
    ///
    /// # Context
    ///
    /// Any, NMI included. Dropped in the reverse order, as values on the stack are.
    pub(super) fn new() -> Self {
        Self {
            // SAFETY: Changes the state of this CPU, which `drop` restores.
            flags: unsafe { ffi::vigil_irqs_disable() },
            _this_cpu: NotThreadSafe,
        }
    }
}

impl Drop for IrqsOff {
    fn drop(&mut self) {
        // SAFETY: The value cannot be sent to another CPU, and the task has stayed on this one, since
        // interrupts are off.
        unsafe { ffi::vigil_irqs_restore(self.flags) };
    }
}
