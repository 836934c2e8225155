// SPDX-License-Identifier: GPL-2.0

//! How often which interrupt came, as the kernel counts it for `/proc/interrupts`.
//!
//! C header: `src/c/vigil.h`

use super::{bytes_of, cpu, ffi};

/// One more than the highest number of an interrupt, today.
pub(crate) fn count() -> u32 {
    // SAFETY: Reads a variable.
    unsafe { ffi::vigil_nr_irqs() }
}

/// How many interrupts with a number a CPU has taken.
///
/// # Context
///
/// Any.
pub(crate) fn sum(cpu: u32) -> u64 {
    if cpu::possible(cpu) {
        // SAFETY: Each possible CPU has its part of per-CPU variables.
        unsafe { ffi::vigil_irqs_sum(cpu) as u64 }
    } else {
        0
    }
}

/// How often a CPU has taken an interrupt; 0 if there is none of the number. Wraps.
///
/// # Context
///
/// Any but NMI.
pub(crate) fn taken(irq: u32, cpu: u32) -> u32 {
    if cpu::possible(cpu) {
        // SAFETY: The CPU exists, and any number of an interrupt will do.
        unsafe { ffi::vigil_irq_count(irq, cpu) }
    } else {
        0
    }
}

/// Who handles an interrupt; more than 31 bytes of that are cut off.
pub(crate) struct Name([u8; 32]);

impl Name {
    /// Asks for it. It is empty if nobody handles the interrupt, and if it cannot be had right now.
    ///
    /// # Context
    ///
    /// Interrupts off, not NMI.
    pub(crate) fn of(irq: u32) -> Self {
        let mut name = Self([0; 32]);
        // SAFETY: Any number will do; there is room for as many bytes as it says, a constant.
        unsafe { ffi::vigil_irq_name(irq, name.0.as_mut_ptr(), 32) };
        name
    }

    /// The text.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or_default()
    }
}

/// How many kinds of interrupts have no number.
pub(crate) fn local_kinds() -> u32 {
    // SAFETY: Returns a constant.
    unsafe { ffi::vigil_local_irqs() }
}

/// What one of these kinds is called; nothing if there is none of that number.
pub(crate) fn local_name(kind: u32) -> &'static [u8] {
    if kind < local_kinds() {
        // SAFETY: There is such a kind, and all have string literals for names.
        unsafe { bytes_of(ffi::vigil_local_irq_name(kind)) }
    } else {
        b""
    }
}

/// How often a CPU has taken one of these kinds. Wraps.
///
/// # Context
///
/// Any.
pub(crate) fn local_taken(kind: u32, cpu: u32) -> u32 {
    if kind < local_kinds() && cpu::possible(cpu) {
        // SAFETY: There are such a kind and such a CPU.
        unsafe { ffi::vigil_local_irq_count(kind, cpu) }
    } else {
        0
    }
}

#[kernel::prelude::kunit_tests(vigil_irqstat)]
mod tests {
    use super::{super::testing::*, *};
    use crate::sys::printk::PrintkCpuSync;

    #[test]
    fn interrupts_have_names() {
        let mut named = 0;
        for irq in 0..count() {
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
        for kind in 0..local_kinds() {
            assert!(!local_name(kind).is_empty());
        }
    }

    /// No more for one than there are for all.
    #[test]
    fn interrupts_are_counted() {
        for cpu in cpus_online() {
            for irq in 0..count() {
                let one = u64::from(taken(irq, cpu));
                assert!(one <= sum(cpu));
            }
        }
        let all = || (0..local_kinds()).any(|kind| local_taken(kind, 0) != 0);
        assert!(until(all));
    }

    #[test]
    fn there_is_nothing_beyond_them() {
        let cpus = cpu::count();
        assert_eq!(sum(cpus), 0);
        assert_eq!(taken(0, cpus), 0);
        assert_eq!(taken(u32::MAX, 0), 0);
        assert_eq!(local_taken(0, cpus), 0);
        assert_eq!(local_taken(local_kinds(), 0), 0);
        assert_eq!(local_name(local_kinds()), b"");
        let printk_sync = PrintkCpuSync::new();
        let name = Name::of(u32::MAX);
        drop(printk_sync);
        assert!(name.bytes().is_empty());
    }
}
