// SPDX-License-Identifier: GPL-2.0

//! The identity of a task as reports print it, `comm:pid`, and where it runs.

use super::fmt::{
    Bytes,
    PathTail, //
};
use core::fmt;

/// Length of `task_struct::comm` in bytes, with the NUL at its end.
pub const TASK_COMM_LEN: usize = 16;

/// A task's name, `task_struct::comm`. A program may choose any bytes for it, so that it is printed by
/// [`Bytes`]: it stays on its line and sends no control bytes to a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Comm([u8; TASK_COMM_LEN]);

impl Comm {
    /// The name in `bytes`: up to the first NUL, or all of them.
    pub const fn new(bytes: [u8; TASK_COMM_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the name, padded with zeros.
    pub fn padded(&self) -> [u8; TASK_COMM_LEN] {
        let mut padded = [0; TASK_COMM_LEN];
        let name = self.0.iter().take_while(|&&byte| byte != 0);
        for (to, from) in padded.iter_mut().zip(name) {
            *to = *from;
        }
        padded
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.split(|&b| b == 0).next();
        Bytes(name.unwrap_or_default()).fmt(f)
    }
}

/// A task's name and PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TaskId {
    /// Name.
    pub comm: Comm,
    /// PID in the initial PID namespace.
    pub pid: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.comm, self.pid)
    }
}

/// How many bytes of a cgroup's path are kept: the UUID of a pod of Kubernetes and the name that a
/// container runtime gives to the cgroup of a container fit.
pub const CGROUP_PATH_LEN: usize = 128;

/// Where a task runs: its cgroup in the default hierarchy, that of version 2, and its PID in its own
/// PID namespace.
///
/// # Invariants
///
/// `path` is padded with NULs, and has none before. It begins with a slash if it is the whole path, and
/// with another byte if it is the end of a longer one. It is empty for the root cgroup, and if the
/// cgroup is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// PID in its own PID namespace. 0: that is the initial one, or it is not known.
    pub ns_pid: i32,
    path: [u8; CGROUP_PATH_LEN],
}

impl Whereabouts {
    /// In the root cgroup and the initial PID namespace, or not known.
    pub const NONE: Self = Self {
        ns_pid: 0,
        path: [0; CGROUP_PATH_LEN],
    };

    /// In the cgroup with this path, as seen from the root cgroup; `is_cut`: `path` is only its end. Of a
    /// path for which there is no room the end is kept.
    pub fn new(ns_pid: i32, path: &[u8], is_cut: bool) -> Self {
        let (kept, is_cut) = match path.last_chunk::<CGROUP_PATH_LEN>() {
            Some(end) => (end.as_slice(), is_cut || path.len() > CGROUP_PATH_LEN),
            None => (path, is_cut),
        };
        let kept = match kept {
            [b'/', rest @ ..] if is_cut => rest,
            kept => kept,
        };
        let mut path = [0; CGROUP_PATH_LEN];
        for (to, from) in path.iter_mut().zip(kept) {
            *to = *from;
        }
        Self { ns_pid, path }
    }

    /// The bytes of the path, padded with NULs.
    pub fn padded_path(&self) -> &[u8; CGROUP_PATH_LEN] {
        &self.path
    }

    /// The path of the cgroup, to be printed; `None`: the root cgroup, or not known.
    pub fn cgroup(&self) -> Option<PathTail<'_>> {
        let path = self.path.split(|&byte| byte == 0).next()?;
        let first = path.first()?;
        Some(PathTail {
            path,
            is_cut: *first != b'/',
        })
    }
}

impl Default for Whereabouts {
    fn default() -> Self {
        Self::NONE
    }
}
