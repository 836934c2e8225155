// SPDX-License-Identifier: GPL-2.0

//! A task's identity as reports print it: name and PID.

use super::fmt::Bytes;
use core::fmt;

/// Length of `task_struct::comm`, its NUL included.
pub const TASK_COMM_LEN: usize = 16;

/// A task's name. Any program may choose any bytes for its own: it is printed so that it cannot
/// look like something else or upset a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Comm([u8; TASK_COMM_LEN]);

impl Comm {
    /// Takes the bytes up to the first NUL, or all of them.
    pub const fn new(bytes: [u8; TASK_COMM_LEN]) -> Self {
        Self(bytes)
    }

    /// All of its bytes, zero after the first NUL.
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

/// A task's name and number, as they stand in a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId {
    /// Name, at most 15 bytes.
    pub comm: Comm,
    /// Number in the initial PID namespace.
    pub pid: i32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.comm, self.pid)
    }
}
