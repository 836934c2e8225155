// SPDX-License-Identifier: GPL-2.0

//! Names of the kernel's functions and variables.
//!
//! C header: [`include/linux/kallsyms.h`](srctree/include/linux/kallsyms.h), by `src/c/symbol.c`

use super::ffi;
use crate::logic::fmt::Bytes;
use core::fmt;
use kernel::ffi::c_char;

/// How long a name is at most, with the module behind it: a longer one is cut.
const MAX_NAME: usize = 128;

/// The name of the function or variable at an address, without an offset: `schedule`, or
/// `jbd2_log_wait_commit [jbd2]` of one of a module. The address as a number if there is none.
pub(crate) struct SymbolName {
    text: [u8; MAX_NAME],
}

impl SymbolName {
    /// The name of what is at an address.
    ///
    /// # Context
    ///
    /// Any, NMI included; searches the symbol table.
    pub(crate) fn at(address: usize) -> Self {
        let mut text = [0; MAX_NAME];
        // SAFETY: Any address may be asked for; there are as many bytes for the name as are said.
        unsafe {
            ffi::vigil_symbol_name(address, text.as_mut_ptr().cast::<c_char>(), text.len());
        }
        Self { text }
    }

    /// The name of the function that a return address leads to.
    ///
    /// # Context
    ///
    /// As [`SymbolName::at`].
    pub(crate) fn of_return(address: usize) -> Self {
        // It may be behind the end of a function that does not return.
        Self::at(address.wrapping_sub(1))
    }

    /// The name as bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
    }
}

impl fmt::Display for SymbolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes(self.bytes()).fmt(f)
    }
}

/// Prints as the name of what is at an address; searches the symbol table only when it is printed.
#[derive(Clone, Copy)]
pub(crate) struct Symbol(pub(crate) usize);

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SymbolName::at(self.0).fmt(f)
    }
}

#[kernel::prelude::kunit_tests(vigil_symbol)]
mod tests {
    use super::*;
    use kernel::bindings;

    #[test]
    fn functions_and_variables_have_names() {
        let name = SymbolName::at(bindings::schedule as usize);
        assert!(name.bytes() == b"schedule");
        let name = SymbolName::at(&raw const bindings::init_task as usize);
        assert!(name.bytes() == b"init_task");
        assert!(SymbolName::at(16).bytes() == b"0x10");
    }
}
