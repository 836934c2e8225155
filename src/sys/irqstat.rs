// SPDX-License-Identifier: GPL-2.0

//! Interrupt counts, as `/proc/interrupts` shows them.
//!
//! C headers: [`include/linux/kernel_stat.h`](srctree/include/linux/kernel_stat.h), `src/c/vigil.h`

use super::{
    bytes_of,
    cpu,
    ffi, //
};
use kernel::bindings;

/// Returns one more than the highest interrupt number so far.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn nr_irqs() -> u32 {
    // SAFETY: Reads a variable.
    unsafe { bindings::irq_get_nr_irqs() }
}

/// Returns how many numbered interrupts a CPU has taken.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn irqs_sum(cpu: u32) -> u64 {
    if cpu::possible(cpu) {
        // SAFETY: The CPU is possible, so that it has its part of per-CPU variables.
        unsafe { ffi::vigil_irqs_sum(cpu) as u64 }
    } else {
        0
    }
}

/// Returns how often a CPU has taken an interrupt; 0 if there is none of that number. Wraps.
///
/// # Context
///
/// Any but NMI.
pub(crate) fn irq_count(irq: u32, cpu: u32) -> u32 {
    if cpu::possible(cpu) {
        // SAFETY: The CPU is possible; any interrupt number is allowed.
        unsafe { ffi::vigil_irq_count(irq, cpu) }
    } else {
        0
    }
}

/// The name of an interrupt's first handler, cut to 31 bytes.
pub(crate) struct Name([u8; 32]);

impl Name {
    /// Reads the name. It is empty if the interrupt has no handler, and if another CPU holds the lock
    /// of the interrupt's descriptor.
    ///
    /// # Context
    ///
    /// Interrupts off, not NMI.
    pub(crate) fn of(irq: u32) -> Self {
        let mut name = Self([0; 32]);
        // SAFETY: Any interrupt number is allowed; the array has room for as many bytes.
        unsafe { ffi::vigil_irq_name(irq, name.0.as_mut_ptr(), 32) };
        name
    }

    /// Returns the text.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or_default()
    }
}

/// Returns how many kinds of interrupts have no number, such as IPIs on x86.
pub(crate) fn nr_local_irqs() -> u32 {
    // SAFETY: Returns a constant.
    unsafe { ffi::vigil_nr_local_irqs() }
}

/// Returns the name of a kind of interrupts without a number; empty if there is no such kind.
pub(crate) fn local_irq_name(kind: u32) -> &'static [u8] {
    if kind < nr_local_irqs() {
        // SAFETY: The kind exists; its name is a string literal.
        unsafe { bytes_of(ffi::vigil_local_irq_name(kind)) }
    } else {
        b""
    }
}

/// Returns how often a CPU has taken an interrupt of a kind without a number. Wraps.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn local_irq_count(kind: u32, cpu: u32) -> u32 {
    if kind < nr_local_irqs() && cpu::possible(cpu) {
        // SAFETY: The kind exists, and the CPU is possible.
        unsafe { ffi::vigil_local_irq_count(kind, cpu) }
    } else {
        0
    }
}

#[kernel::prelude::kunit_tests(vigil_irqstat)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };
    use crate::sys::printk::PrintkCpuSync;

    #[test]
    fn interrupts_have_names() {
        let mut named = 0;
        for irq in 0..nr_irqs() {
            // Turns interrupts off.
            let printk_sync = PrintkCpuSync::new();
            let name = Name::of(irq);
            drop(printk_sync);
            assert!(name.bytes().len() < 32);
            if !name.bytes().is_empty() {
                named = i32::wrapping_add(named, 1);
            }
        }
        // The serial console's, at least.
        assert!(named != 0);
        for kind in 0..nr_local_irqs() {
            assert!(!local_irq_name(kind).is_empty());
        }
    }

    #[test]
    fn one_interrupt_counts_at_most_as_much_as_all() {
        for cpu in cpus_online() {
            for irq in 0..nr_irqs() {
                let one = u64::from(irq_count(irq, cpu));
                assert!(one <= irqs_sum(cpu));
            }
        }
        let all = || (0..nr_local_irqs()).any(|kind| local_irq_count(kind, 0) != 0);
        assert!(until(all));
    }

    #[test]
    fn an_impossible_cpu_or_interrupt_counts_nothing() {
        let cpus = cpu::nr_cpu_ids();
        assert_eq!(irqs_sum(cpus), 0);
        assert_eq!(irq_count(0, cpus), 0);
        assert_eq!(irq_count(u32::MAX, 0), 0);
        assert_eq!(local_irq_count(0, cpus), 0);
        assert_eq!(local_irq_count(nr_local_irqs(), 0), 0);
        assert_eq!(local_irq_name(nr_local_irqs()), b"");
        let printk_sync = PrintkCpuSync::new();
        let name = Name::of(u32::MAX);
        drop(printk_sync);
        assert!(name.bytes().is_empty());
    }
}
