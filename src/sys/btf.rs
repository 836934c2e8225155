// SPDX-License-Identifier: GPL-2.0

//! The running kernel's BTF, which has the layout of structures that are private to a folder of it.
//!
//! C header: [`include/linux/btf.h`](srctree/include/linux/btf.h)

use super::ksyms::Ksyms;
use crate::logic::btf::Btf;
use core::slice;

/// No kernel's BTF is as long. Debian's has 7 MiB.
const MAX_LEN: usize = 256 << 20;

/// A layout by the source of the kernel, which the module was built with, or by the running kernel's BTF:
/// the first that is known of what is more certain. A module loads only into the release that it was
/// built for, unless symbols have CRCs (`same_magic()` in `kernel/module/version.c`); and the structures
/// that are read by layout are private, so that no CRC need change with them.
pub(crate) fn layout<T>(
    source: impl FnOnce() -> Option<T>,
    btf: impl FnOnce() -> Option<T>,
) -> Option<T> {
    if cfg!(CONFIG_MODVERSIONS) {
        btf().or_else(source)
    } else {
        source().or_else(btf)
    }
}

/// Finds the running kernel's BTF; `None` if it has none (`CONFIG_DEBUG_INFO_BTF`).
///
/// # Context
///
/// As [`Ksyms::lookup`].
pub(crate) fn of_kernel(ksyms: &Ksyms) -> Option<Btf<'static>> {
    let (start, stop) = (ksyms.lookup(c"__start_BTF")?, ksyms.lookup(c"__stop_BTF")?);
    let len = stop.checked_sub(start).filter(|len| *len <= MAX_LEN)?;
    // SAFETY: The linker sets both symbols, to the ends of one read-only section of the kernel's
    // image (`include/asm-generic/vmlinux.lds.h`), which is neither written nor freed: everybody may
    // read it as /sys/kernel/btf/vmlinux.
    Btf::parse(unsafe { slice::from_raw_parts(start as *const u8, len) })
}
