// SPDX-License-Identifier: GPL-2.0

//! Module parameters that are text: `src/c/params.c`.

use super::{bytes_of, ffi};

/// What the parameter `hung_task_sys_info` was given at load.
pub(crate) fn hung_task_sys_info() -> &'static [u8] {
    // SAFETY: A NUL-terminated static array that nobody writes once the module's init runs: the
    // parameter has no file in sysfs.
    unsafe { bytes_of(ffi::vigil_param_hung_task_sys_info()) }
}
