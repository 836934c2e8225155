// SPDX-License-Identifier: GPL-2.0
//! What stays of a guest for whoever watches over its user.

use crate::{console::Console, guest::Guest, log::Log};
use std::sync::Arc;

/// Sees a guest to its end: its log stays readable, and it can be killed from
/// another thread. The log has its last lines once the guest's [`crate::Vm`] is
/// dropped.
#[derive(Clone, Debug)]
pub struct Observer {
    pub(crate) guest: Arc<Guest>,
}

impl Observer {
    /// What came through of the kernel's log.
    pub fn log(&self) -> Log {
        self.guest.channel.lock().log.clone()
    }

    /// What the guest printed on its serial console.
    pub fn console(&self) -> Console {
        self.guest.console()
    }

    /// Whether somebody waited for the guest to panic, and it did.
    pub fn panic_was_awaited(&self) -> bool {
        self.guest.panic_was_awaited()
    }

    /// Kills the guest.
    pub fn kill(&self) {
        self.guest.kill();
    }
}
