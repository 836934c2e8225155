// SPDX-License-Identifier: GPL-2.0

//! When interrupts were last turned off and on, as lockdep's kernels know it.
//!
//! C headers: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h), `src/c/vigil.h`

use super::{
    ffi,
    ksyms::Ksyms, //
};

impl Ksyms {
    /// Prints when and where the running task last turned interrupts and softirqs off and on; nothing
    /// if `print_irqtrace_events()` is not available.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn print_irqtrace_events(&self) {
        // SAFETY: May be called in any context. Not bound, the call does nothing.
        unsafe { ffi::vigil_print_irqtrace_events() };
    }
}
