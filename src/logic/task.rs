// SPDX-License-Identifier: GPL-2.0

//! The identity of a task as reports print it: `comm:pid`.

use super::fmt::Bytes;
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
