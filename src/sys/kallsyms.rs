// SPDX-License-Identifier: GPL-2.0

//! The kernel's symbol table: names of addresses.
//!
//! C header: [`include/linux/kallsyms.h`](srctree/include/linux/kallsyms.h)

use crate::logic::fmt::{
    Bytes,
    SymbolText, //
};
use core::fmt;
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

/// How many bytes of a symbol's text are kept: a longer one is cut.
const TEXT_LEN: usize = 128;

/// The name of the function or variable at an address, with the name of its module behind it:
/// `ext4_put_super [ext4]`. The address as a number if there is none.
pub(crate) struct Symbol {
    text: [u8; TEXT_LEN],
    len: usize,
}

impl Symbol {
    /// What is at an address, without an offset (`%ps`).
    ///
    /// # Context
    ///
    /// Any, NMI included; searches the symbol table.
    pub(crate) fn at(address: usize) -> Self {
        Self::print(c"%ps", address)
    }

    /// The function that a return address leads into, without an offset.
    ///
    /// # Context
    ///
    /// As [`Symbol::at`].
    pub(crate) fn of_return(address: usize) -> Self {
        // It may be behind the end of a function that does not return.
        Self::at(address.wrapping_sub(1))
    }

    /// The same with the offset, as in a stack that is printed (`%pB`).
    ///
    /// # Context
    ///
    /// As [`Symbol::at`].
    pub(crate) fn place(address: usize) -> Self {
        Self::print(c"%pB", address)
    }

    /// `format` is one of those of `printk()` for a symbol.
    fn print(format: &CStr, address: usize) -> Self {
        let mut text = [0u8; TEXT_LEN];
        // SAFETY: The function writes no more than the given size. The format, which only this file
        // gives, looks the address up and reads nothing there.
        let len = unsafe {
            bindings::scnprintf(
                text.as_mut_ptr(),
                TEXT_LEN,
                format.as_char_ptr(),
                address as *const c_void,
            )
        };
        Self {
            text,
            len: usize::try_from(len).unwrap_or(0),
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes(self.bytes()).fmt(f)
    }
}

/// [`Symbol::at`] an address, which is looked up when it is printed.
#[derive(Clone, Copy)]
pub(crate) struct SymbolAt(pub(crate) usize);

impl fmt::Display for SymbolAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Symbol::at(self.0).fmt(f)
    }
}

/// The symbol that an address belongs to, if it is one of the kernel or of a module, printed by
/// [`SymbolText`]. For data the kernel needs `CONFIG_KALLSYMS_ALL`.
pub(crate) struct DataSymbol(Symbol);

impl DataSymbol {
    /// Looks up an address, which may be any.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn at(address: usize) -> Self {
        Self(Symbol::print(c"%pS", address))
    }
}

impl fmt::Display for DataSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SymbolText(self.0.bytes()).fmt(f)
    }
}

#[kunit_tests(vigil_kallsyms)]
mod tests {
    use super::*;
    use kernel::str::CString;

    fn printed(address: usize) -> Result<CString> {
        CString::try_from_fmt(format_args!("{}", DataSymbol::at(address)))
    }

    #[test]
    fn functions_and_variables_have_names() {
        let schedule = bindings::schedule as *const () as usize;
        assert!(Symbol::at(schedule).bytes() == b"schedule");
        // As of a call that is the function's last instruction.
        assert!(Symbol::of_return(schedule.wrapping_add(1)).bytes() == b"schedule");
        let place = Symbol::place(schedule.wrapping_add(16));
        assert!(place.bytes().starts_with(b"schedule+0x"));
        let init_task = &raw const bindings::init_task as usize;
        assert!(Symbol::at(init_task).bytes() == b"init_task");
        assert!(Symbol::at(16).bytes() == b"0x10");
    }

    #[test]
    fn static_data_has_a_name() -> Result {
        let data = &raw const bindings::init_uts_ns as usize;
        assert!(printed(data)?.to_bytes() == b" (init_uts_ns)");
        let inside = printed(data.wrapping_add(8))?;
        assert!(inside.to_bytes().starts_with(b" (init_uts_ns+0x8/0x"));
        Ok(())
    }

    #[test]
    fn other_memory_has_none() -> Result {
        let heap = KBox::new(0u64, GFP_KERNEL)?;
        let local = 0u64;
        for address in [
            &raw const *heap as usize,
            &raw const local as usize,
            0,
            usize::MAX,
        ] {
            assert!(printed(address)?.to_bytes().is_empty());
        }
        Ok(())
    }
}
