// SPDX-License-Identifier: GPL-2.0

//! The names of the running kernel, as reports print them.
//!
//! C header: [`include/linux/utsname.h`](srctree/include/linux/utsname.h)

use super::{bytes_of, ffi};
use kernel::prelude::*;

/// How the kernel calls itself in reports.
pub(crate) struct KernelName {
    /// As `uname -r` says.
    pub(crate) release: &'static [u8],
    /// As `uname -v` says.
    pub(crate) version: &'static [u8],
    /// What a distribution's kernel adds to that (`LINUX_PACKAGE_ID`), with a blank in front; often
    /// nothing.
    pub(crate) package: &'static [u8],
}

/// How the kernel calls itself.
pub(crate) fn kernel_name() -> KernelName {
    // SAFETY: Each is a NUL-terminated array that lives for ever, which `sethostname()` and its
    // like do not change.
    unsafe {
        KernelName {
            release: bytes_of(ffi::vigil_release()),
            version: bytes_of(ffi::vigil_version()),
            package: bytes_of(ffi::vigil_package_id()),
        }
    }
}

#[kunit_tests(vigil_utsname)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_has_a_name() {
        let name = kernel_name();
        assert!(name.release.starts_with(b"7."));
        assert!(name.version.starts_with(b"#"));
        assert!(name.package.is_empty() || name.package.starts_with(b" "));
    }
}
