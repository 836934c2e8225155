// SPDX-License-Identifier: GPL-2.0
//! SIGINT, SIGTERM and SIGHUP as a flag.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc,
};

/// Whether the program is to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes over the signals. A system call that sleeps ends with `EINTR`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub(crate) fn on_signals() -> Result<Self> {
        let this = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&this.0))
                .context("cannot handle signals")?;
        }
        Ok(this)
    }

    /// Whether one has come.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
