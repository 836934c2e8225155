// SPDX-License-Identifier: GPL-2.0

//! Module parameters that are text: `src/c/param.c`.

use super::{
    bytes_of,
    ffi, //
};

/// The value that a parameter was given at load; empty if it was not given, or if there is no text
/// parameter of that name.
///
/// # Context
///
/// Any, from the module's init on.
pub(crate) fn text(name: &str) -> &'static [u8] {
    // SAFETY: `name` is valid for reads of its length.
    let text = unsafe { ffi::vigil_param_text(name.as_ptr().cast(), name.len()) };
    if text.is_null() {
        return b"";
    }
    // SAFETY: A NUL-terminated static array, which is not written after the module's init has begun:
    // the parameters have no files in sysfs.
    unsafe { bytes_of(text) }
}

#[kernel::prelude::kunit_tests(vigil_param)]
mod tests {
    use super::*;
    use crate::logic::knobs::KNOBS;

    /// Scenario `module::kunit` gives the one, and not the other.
    #[test]
    fn reads_as_given_at_load() {
        assert_eq!(text("softlockup_sys_info"), b"tasks,mem");
        assert_eq!(text("hardlockup_sys_info"), b"");
        assert_eq!(text("hung_task_report"), b"");
    }

    #[test]
    fn what_does_not_exist_is_nothing() {
        assert_eq!(text("no_such_parameter"), b"");
        assert_eq!(text(""), b"");
        for knob in KNOBS.iter().filter(|knob| knob.has_words()) {
            assert!(text(knob.name).len() < 128);
        }
    }
}
