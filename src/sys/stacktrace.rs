// SPDX-License-Identifier: GPL-2.0

//! Stacks: saved as addresses, printed, and printed by other CPUs on request.
//!
//! C headers: [`include/linux/stacktrace.h`](srctree/include/linux/stacktrace.h),
//! [`include/linux/nmi.h`](srctree/include/linux/nmi.h), `src/c/vigil.h`

use super::{
    context::{
        HardirqCtx,
        NmiCtx, //
    },
    cpu,
    ffi,
    ksyms::Ksyms, //
};
use crate::logic::incident::{
    self,
    Stack, //
};
use kernel::{
    bindings,
    prelude::*,
    task::Task, //
};

static_assert!(incident::STACK == ffi::VIGIL_STACK_DEPTH as usize);

/// Fills a [`Stack`] by `save`, which writes at most so many addresses and returns how many.
fn saved(save: impl FnOnce(*mut usize, u32) -> u32) -> Stack {
    let mut stack = Stack::default();
    stack.depth =
        save(stack.addresses.as_mut_ptr(), ffi::VIGIL_STACK_DEPTH).min(ffi::VIGIL_STACK_DEPTH);
    stack
}

/// Saves the stack of a sleeping task (`stack_trace_save_tsk()`); of the running task, its own.
///
/// # Context
///
/// Any.
#[cfg(CONFIG_STACKTRACE)]
pub(crate) fn save_task(task: &Task) -> Stack {
    // SAFETY: A `&Task` is a valid task. The function pins its stack, and saves nothing if that is
    // gone; of a task that runs it may save wrong addresses. `addresses` has room for `size`.
    saved(|addresses, size| unsafe {
        bindings::stack_trace_save_tsk(task.as_ptr(), addresses, size, 0)
    })
}

/// Saves nothing: the kernel is built without stack traces.
#[cfg(not(CONFIG_STACKTRACE))]
pub(crate) fn save_task(_task: &Task) -> Stack {
    Stack::default()
}

/// Saves the stack that the running timer interrupt interrupted.
///
/// # Context
///
/// Hard interrupt.
pub(crate) fn save_interrupted(_irq: &HardirqCtx<'_>) -> Stack {
    // SAFETY: In a hard interrupt, as `_irq` proves. `addresses` has room for `size`.
    saved(|addresses, size| unsafe { ffi::vigil_stack_save_interrupted(addresses, size) })
}

/// Prints a saved stack.
///
/// # Context
///
/// Any, NMI included; prints a lot.
#[cfg(CONFIG_STACKTRACE)]
pub(crate) fn print(stack: &Stack) {
    let addresses = stack.addresses.get(..stack.depth as usize);
    let addresses = addresses.unwrap_or_default();
    // SAFETY: The slice holds as many addresses, which are printed and not followed.
    unsafe { bindings::stack_trace_print(addresses.as_ptr(), addresses.len() as u32, 1) };
}

/// Prints nothing: the kernel is built without stack traces.
#[cfg(not(CONFIG_STACKTRACE))]
pub(crate) fn print(_stack: &Stack) {}

impl Ksyms {
    /// Prints the registers and the stack that the running timer interrupt interrupted; without
    /// `show_regs()` the interrupt's own stack, on top of it.
    ///
    /// # Context
    ///
    /// Hard interrupt; prints a lot.
    pub(crate) fn show_interrupted(&self, irq: &HardirqCtx<'_>) {
        // SAFETY: The registers of the running interrupt, or null.
        unsafe { self.show(irq.regs()) }
    }

    /// Prints the registers and the stack that the running NMI interrupted; without `show_regs()`
    /// the NMI's own stack, on top of it.
    ///
    /// # Context
    ///
    /// NMI; prints a lot.
    pub(crate) fn show_interrupted_by_nmi(&self, nmi: &NmiCtx<'_>) {
        // SAFETY: The registers of the running NMI.
        unsafe { self.show(nmi.regs()) }
    }

    /// # Safety
    ///
    /// `regs` points to registers, or is null.
    unsafe fn show(&self, regs: *mut bindings::pt_regs) {
        if self.show_regs && !regs.is_null() {
            // SAFETY: By the function's safety requirement.
            unsafe { ffi::vigil_show_regs(regs) };
        } else {
            // SAFETY: May be called in any context.
            unsafe { bindings::dump_stack() };
        }
    }

    /// Has a CPU print its registers and stack, by NMI (`arch_trigger_cpumask_backtrace()`). Returns
    /// whether that function is available.
    ///
    /// # Context
    ///
    /// Any, NMI included. Waits for the CPU, for up to ten seconds.
    pub(crate) fn backtrace_cpu(&self, cpu: u32) -> bool {
        if cpu::possible(cpu) {
            // SAFETY: The CPU is possible. Not bound, the call does nothing.
            unsafe { ffi::vigil_backtrace_cpu(cpu) };
        }
        self.trigger_backtrace
    }

    /// Has all online CPUs but one print their registers and stacks. Returns whether that function is
    /// available.
    ///
    /// # Context
    ///
    /// As [`Ksyms::backtrace_cpu`].
    pub(crate) fn backtrace_others(&self, but: u32) -> bool {
        // SAFETY: The number is only compared. Not bound, the call does nothing.
        unsafe { ffi::vigil_backtrace_others(but) };
        self.trigger_backtrace
    }

    /// Returns whether [`Ksyms::backtrace_cpu`] reaches a CPU with interrupts off where
    /// [`NmiSender`](super::nmi::NmiSender) is not available.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn backtrace_is_nmi(&self) -> bool {
        // SAFETY: Reads what the kernel found out about the CPUs at boot.
        self.trigger_backtrace && unsafe { ffi::vigil_backtrace_is_nmi() } != 0
    }
}

#[kunit_tests(vigil_stacktrace)]
mod tests {
    use super::*;

    #[test]
    #[cfg(CONFIG_STACKTRACE)]
    fn the_running_task_has_a_stack() {
        let stack = save_task(current!());
        assert!(stack.depth > 1);
        assert!(stack.addresses.iter().take(2).all(|&address| address != 0));
    }
}
