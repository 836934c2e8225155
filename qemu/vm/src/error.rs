// SPDX-License-Identifier: GPL-2.0
//! Errors.

use nix::errno::Errno;
use std::{io, time::Duration};

/// The result of talking to a guest.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A guest did not come up, so nothing is known about what was to be tested in it.
#[derive(Debug, thiserror::Error)]
#[error("boot failed: {reason}")]
pub struct BootError {
    /// Why, in a sentence.
    pub reason: String,
    /// Whether its kernel panicked.
    pub panicked: bool,
    /// Whether the guest's limit was over before it was up.
    pub timed_out: bool,
}

impl BootError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            panicked: false,
            timed_out: false,
        }
    }

    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        Self::new(format!("{what}: {error}"))
    }
}

/// Something went wrong with a guest that was up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The guest's kernel panicked; the console's text from there on.
    #[error("the guest panicked while waiting for {what}:\n{text}")]
    Panicked {
        /// What was waited for.
        what: String,
        /// The console from the panic on.
        text: String,
    },
    /// QEMU ended, or closed the connection.
    #[error("the guest went away while waiting for {what} ({how})")]
    Gone {
        /// What was waited for.
        what: String,
        /// How QEMU ended.
        how: String,
    },
    /// Something did not happen in time.
    #[error("waited {:.1} s in vain for {what}", limit.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long, in real time.
        limit: Duration,
    },
    /// A script that had to succeed did not.
    #[error("a script ended with status {status}; it printed:\n{output}")]
    Script {
        /// Its exit status.
        status: i32,
        /// What it printed.
        output: String,
    },
    /// A system call in the guest failed.
    #[error("{what} in the guest: {errno}")]
    Errno {
        /// Which call on what.
        what: String,
        /// Its error number.
        errno: Errno,
    },
    /// QEMU refused a command, or its control socket failed.
    #[error("QMP: {0}")]
    Qmp(String),
    /// Something that the harness needs does not exist.
    #[error("{0}")]
    Missing(String),
    /// An invalid regular expression.
    #[error(transparent)]
    Regex(#[from] regex::Error),
    /// A system call on the host failed.
    #[error("on the host: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// The error number, if a system call in the guest failed.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Errno { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the guest's kernel panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked { .. })
    }
}
