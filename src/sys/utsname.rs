// SPDX-License-Identifier: GPL-2.0

//! The names of the running kernel, as reports print them.
//!
//! C headers: [`include/linux/utsname.h`](srctree/include/linux/utsname.h), `src/c/vigil.h`

use super::{
    bytes_of,
    ffi, //
};
use kernel::prelude::*;

/// The names of the running kernel.
pub(crate) struct KernelName {
    /// What `uname -r` prints.
    pub(crate) release: &'static [u8],
    /// What `uname -v` prints.
    pub(crate) version: &'static [u8],
    /// What a distribution adds to the version in reports (`LINUX_PACKAGE_ID`), with a blank in
    /// front; often empty.
    pub(crate) package: &'static [u8],
}

/// Returns the names of the running kernel.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn kernel_name() -> KernelName {
    // SAFETY: Each is a static NUL-terminated array that the kernel does not change after boot:
    // `sethostname()` and the like change other ones.
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
