// SPDX-License-Identifier: GPL-2.0
//! [`Observer`]: a handle that outlives the guest.

use crate::{console::Console, guest::Guest, log::Log};
use std::sync::Arc;

/// A handle on a guest that outlives its [`crate::Vm`]: the log stays readable, and the
/// guest can be killed from another thread. The log is complete once the `Vm` is dropped.
#[derive(Clone, Debug)]
pub struct Observer {
    pub(crate) guest: Arc<Guest>,
}

impl Observer {
    /// The part of the kernel's log that has arrived.
    pub fn log(&self) -> Log {
        self.guest.channel.lock().log.clone()
    }

    /// What the guest printed on its serial console.
    pub fn console(&self) -> Console {
        self.guest.console()
    }

    /// Whether a caller waited for the guest to panic, and it did.
    pub fn panic_was_awaited(&self) -> bool {
        self.guest.panic_was_awaited()
    }

    /// Kills the guest.
    pub fn kill(&self) {
        self.guest.kill();
    }
}
