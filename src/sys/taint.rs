// SPDX-License-Identifier: GPL-2.0

//! The kernel's description of its taint.
//!
//! C headers: [`include/linux/panic.h`](srctree/include/linux/panic.h), `src/c/vigil.h`

use super::{
    ffi,
    ksyms::Ksyms, //
};

/// A copy of the description, such as `Not tainted`, cut to 48 bytes.
pub(crate) struct Taint([u8; 48]);

impl Taint {
    /// Returns the text.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or_default()
    }
}

impl Ksyms {
    /// Returns `print_tainted()`; `Taint unknown` if that is not available.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn tainted(&self) -> Taint {
        let mut copy = Taint([0; 48]);
        // SAFETY: Process context. Not bound, the call returns NULL.
        let text = unsafe { ffi::vigil_print_tainted() };
        if text.is_null() {
            for (byte, &from) in copy.0.iter_mut().zip(b"Taint unknown") {
                *byte = from;
            }
            return copy;
        }
        for (byte, i) in copy.0.iter_mut().zip(0..) {
            // SAFETY: `print_tainted()` returns a buffer that is never freed and keeps a NUL at its
            // end (`struct seq_buf`), which this does not read beyond. Another task may be writing
            // it: the bytes are read one by one, and at worst two descriptions mix, as they may for
            // the kernel's own callers.
            *byte = unsafe { text.add(i).read_volatile() };
            if *byte == 0 {
                break;
            }
        }
        copy
    }
}

#[kernel::prelude::kunit_tests(vigil_taint)]
mod tests {
    use super::*;

    /// This module is out of tree, which taints the kernel with an `O`.
    #[test]
    fn the_taint_names_this_module() {
        let ksyms = Ksyms::resolve(true);
        let taint = ksyms.tainted();
        if ksyms.print_tainted {
            assert!(taint.bytes().starts_with(b"Tainted: "));
            assert!(taint.bytes().contains(&b'O'));
        } else {
            assert_eq!(taint.bytes(), b"Taint unknown");
        }
    }
}
