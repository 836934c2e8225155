// SPDX-License-Identifier: GPL-2.0

//! Module parameters that are text: `src/c/param.c`.

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
            "hardlockup_backend" => ffi::vigil_param_hardlockup_backend(),
            _ => return b"",
        })
    }
}

#[kernel::prelude::kunit_tests(vigil_param)]
mod tests {
    use super::*;
    use crate::logic::sysctl::{KnobKind, KNOBS};

    /// Scenario `module::kunit` gives the one, and not the other.
    #[test]
    fn reads_as_given_at_load() {
        assert_eq!(text("softlockup_sys_info"), b"tasks,mem");
        assert_eq!(text("hardlockup_sys_info"), b"");
    }

    #[test]
    fn what_does_not_exist_is_nothing() {
        assert_eq!(text("no_such_parameter"), b"");
        assert_eq!(text(""), b"");
        let lists = KNOBS.iter().filter(|knob| knob.kind == KnobKind::List);
        for knob in lists {
            assert!(text(knob.name).len() < 128);
        }
    }
}
