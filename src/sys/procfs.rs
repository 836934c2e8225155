// SPDX-License-Identifier: GPL-2.0

//! Look-ups in procfs: which sysctls the kernel has.
//!
//! C headers: [`include/linux/mount.h`](srctree/include/linux/mount.h), `src/c/vigil.h`

use super::ffi;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    str::CString, //
};

/// A mount of procfs in no mount namespace. The machine's own may be missing in the namespace of the
/// task that loads the module, or be somewhere else, or show a part only (`subset=pid`). Dropping it
/// unmounts.
///
/// # Invariants
///
/// The mount exists until this value is dropped, and belongs to it.
pub(crate) struct ProcMount(NonNull<bindings::vfsmount>);

impl ProcMount {
    /// Mounts it.
    ///
    /// # Errors
    ///
    /// `ENODEV` without procfs; `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The name is NUL-terminated.
        let fs_type = unsafe { bindings::get_fs_type(c"proc".as_char_ptr()) };
        if fs_type.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: `fs_type` was just found, and a reference to its module with it.
        let mount = from_err_ptr(unsafe { bindings::kern_mount(fs_type) });
        // `put_filesystem()` does no more than this, and is not exported.
        #[cfg(CONFIG_MODULE_UNLOAD)]
        // SAFETY: Puts the reference that `get_fs_type()` has taken.
        unsafe {
            bindings::module_put((*fs_type).owner)
        };
        // INVARIANT: Just mounted.
        Ok(Self(NonNull::new(mount?).ok_or(ENODEV)?))
    }

    /// Returns whether the file `sys/<path>` exists.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and other errors of the look-up than `ENOENT`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn has_sysctl(&self, path: kernel::fmt::Arguments<'_>) -> Result<bool> {
        let path = CString::try_from_fmt(fmt!("sys/{path}"))?;
        // SAFETY: By the type invariant it is mounted; `path` is NUL-terminated.
        match to_result(unsafe { ffi::vigil_proc_lookup(self.0.as_ptr(), path.as_char_ptr()) }) {
            Ok(()) => Ok(true),
            Err(e) if e == ENOENT => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl Drop for ProcMount {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is mounted. Waits until no path walk uses it.
        unsafe { bindings::kern_unmount(self.0.as_ptr()) };
    }
}
