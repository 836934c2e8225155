// SPDX-License-Identifier: GPL-2.0

//! The kernel's symbol table: names of addresses.
//!
//! C header: [`include/linux/kallsyms.h`](srctree/include/linux/kallsyms.h)

use crate::logic::fmt::SymbolText;
use core::fmt;
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

/// How many bytes of a symbol's text are kept.
const TEXT_LEN: usize = 128;

/// The symbol that an address belongs to, if it is one of the kernel or of a module, printed by
/// [`SymbolText`]. For data the kernel needs `CONFIG_KALLSYMS_ALL`.
pub(crate) struct DataSymbol {
    text: [u8; TEXT_LEN],
    len: usize,
}

impl DataSymbol {
    /// Looks up an address, which may be any.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn at(address: usize) -> Self {
        let mut text = [0u8; TEXT_LEN];
        // SAFETY: The function writes no more than the given size, and reads nothing at the address that
        // `%pS` is for.
        let len = unsafe {
            bindings::scnprintf(
                text.as_mut_ptr(),
                TEXT_LEN,
                c"%pS".as_char_ptr(),
                address as *const c_void,
            )
        };
        Self {
            text,
            len: usize::try_from(len).unwrap_or(0),
        }
    }

    fn name(&self) -> SymbolText<'_> {
        SymbolText(self.text.get(..self.len).unwrap_or_default())
    }
}

impl fmt::Display for DataSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
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
