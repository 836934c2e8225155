// SPDX-License-Identifier: GPL-2.0

//! Module parameters that are text: `src/c/params.c`.

use super::{bytes_of, ffi};

/// What the parameter of this name was given at load; nothing if it was not given, or does not exist.
pub(crate) fn text(name: &str) -> &'static [u8] {
    // SAFETY: Each is a NUL-terminated static array that nobody writes once the module's init runs:
    // the parameters have no files in sysfs.
    unsafe {
        bytes_of(match name {
            "hung_task_sys_info" => ffi::vigil_param_hung_task_sys_info(),
            "softlockup_sys_info" => ffi::vigil_param_softlockup_sys_info(),
            "hardlockup_sys_info" => ffi::vigil_param_hardlockup_sys_info(),
            "watchdog_cpumask" => ffi::vigil_param_watchdog_cpumask(),
            _ => return b"",
        })
    }
}
