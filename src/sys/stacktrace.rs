// SPDX-License-Identifier: GPL-2.0

//! Stacks: saved as addresses, and printed. Those of other CPUs are in [`super::backtrace`].
//!
//! C headers: [`include/linux/stacktrace.h`](srctree/include/linux/stacktrace.h), `src/c/vigil.h`

use super::{
    context::{
        HardirqCtx,
        NmiCtx, //
    },
    ffi,
    ksyms::Ksyms, //
};
use crate::logic::{
    cpu_wait::CpuContext,
    incident::{
        self,
        Stack, //
    }, //
};
use kernel::{
    bindings,
    prelude::*,
    str::CStrExt,
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

/// Returns in which context the running timer interrupt came.
///
/// # Context
///
/// Hard interrupt.
pub(crate) fn interrupted_context(_irq: &HardirqCtx<'_>) -> CpuContext {
    // SAFETY: In a hard interrupt, as `_irq` proves.
    CpuContext::from_number(unsafe { ffi::vigil_interrupted_context() })
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

/// Returns whether the running timer interrupt interrupted a function of the kernel, or what that has
/// called.
///
/// # Context
///
/// Hard interrupt; searches the symbol table for each address of the stack.
pub(crate) fn interrupted_is_in(_irq: &HardirqCtx<'_>, function: &CStr) -> bool {
    // SAFETY: In a hard interrupt, as `_irq` proves; the name is NUL-terminated.
    unsafe { ffi::vigil_interrupted_is_in(function.as_char_ptr()) != 0 }
}

impl Ksyms {
    /// Prints the registers and the stack that the running timer interrupt interrupted.
    ///
    /// Where `show_regs()` touches the watchdogs (x86), this prints the same lines without that: the
    /// in-tree detectors and vigil go on to count from when the CPU got stuck.
    ///
    /// # Context
    ///
    /// Hard interrupt; prints a lot.
    pub(crate) fn show_interrupted(&self, irq: &HardirqCtx<'_>) {
        let regs = irq.regs();
        if !regs.is_null() {
            // SAFETY: The registers of the running interrupt.
            unsafe { ffi::vigil_show_interrupted(regs) };
        }
    }

    /// Prints the registers and the stack that the running NMI interrupted. As
    /// [`Ksyms::show_interrupted`].
    ///
    /// # Context
    ///
    /// NMI; prints a lot.
    pub(crate) fn show_interrupted_by_nmi(&self, nmi: &NmiCtx<'_>) {
        // SAFETY: The registers of the running NMI.
        unsafe { ffi::vigil_show_interrupted(nmi.regs()) };
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
