// SPDX-License-Identifier: GPL-2.0

//! Cgroups: where a task is in the default hierarchy, that of version 2. On a system that mounts
//! version 1 alone all tasks are in its root cgroup.
//!
//! C header: [`include/linux/cgroup.h`](srctree/include/linux/cgroup.h) by `src/c/cgroup.c`

use super::ffi;
use crate::logic::fmt::PathTail;
use core::fmt;
use kernel::task::Task;

/// How many bytes of a path are kept: those of a container of Kubernetes fit.
const PATH_LEN: usize = 256;

/// The path of a cgroup other than the root cgroup, seen from there: its end, if it is long.
pub(crate) struct CgroupPath {
    buffer: [u8; PATH_LEN],
    /// How many bytes at the end of `buffer` are the path.
    len: usize,
    is_cut: bool,
}

impl CgroupPath {
    /// The path, or its end.
    pub(crate) fn tail(&self) -> PathTail<'_> {
        let start = PATH_LEN.saturating_sub(self.len);
        PathTail {
            path: self.buffer.get(start..).unwrap_or_default(),
            is_cut: self.is_cut,
        }
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tail().fmt(f)
    }
}

/// The cgroup that `task` is in; `None`: the root cgroup.
///
/// # Context
///
/// Any, NMI included: takes no lock.
pub(crate) fn path_of(task: &Task) -> Option<CgroupPath> {
    let mut buffer = [0u8; PATH_LEN];
    let mut is_cut = 0;
    // SAFETY: A `&Task` is a valid task, and the pointers are to locals, of which the first one is as
    // long as it is said to be.
    let len = unsafe {
        ffi::vigil_cgroup_path(
            task.as_ptr(),
            buffer.as_mut_ptr(),
            PATH_LEN as u32,
            &raw mut is_cut,
        )
    };
    (len != 0).then_some(CgroupPath {
        buffer,
        len: len as usize,
        is_cut: is_cut != 0,
    })
}

#[kernel::prelude::kunit_tests(vigil_cgroup)]
mod tests {
    use super::*;
    use kernel::prelude::*;

    #[test]
    fn the_root_cgroup_has_no_path() {
        assert!(path_of(current!()).is_none());
    }
}
