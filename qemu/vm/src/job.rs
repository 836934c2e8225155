// SPDX-License-Identifier: GPL-2.0
//! A script that runs in the guest.

use crate::{
    error::{Error, Result},
    guest::Guest,
};
use std::{sync::Arc, time::Duration};
use vigil_wire::ToGuest;

/// The result of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status as a shell has it: 128 + signal when it was killed.
    pub status: i32,
    /// What it printed, standard output and standard error merged.
    pub stdout: String,
}

impl Output {
    /// What it printed, if its status was 0.
    ///
    /// # Errors
    ///
    /// [`Error::Script`] when it was not.
    pub fn ok(self) -> Result<String> {
        match self.status {
            0 => Ok(self.stdout),
            status => Err(Error::Script {
                status,
                output: self.stdout,
            }),
        }
    }
}

/// A script that runs in the guest. It goes on when this is dropped.
#[derive(Debug)]
pub struct Job {
    pub(crate) guest: Arc<Guest>,
    pub(crate) number: u32,
}

impl Job {
    /// Waits until it ends, at most for `limit` of real time.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], or what became of the guest.
    pub fn wait(&self, limit: Duration) -> Result<Output> {
        self.guest.wait("the end of a script", limit, |state| {
            let job = state.jobs.get(&self.number)?;
            let stdout = String::from_utf8_lossy(&job.output).into_owned();
            Some(Output {
                status: job.status?,
                stdout,
            })
        })
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        let state = self.guest.channel.lock();
        state
            .jobs
            .get(&self.number)
            .is_some_and(|job| job.status.is_some())
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        let state = self.guest.channel.lock();
        let bytes = state
            .jobs
            .get(&self.number)
            .map(|job| job.output.as_slice());
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }

    /// Waits until it has printed this, at most for `limit` of real time.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`]; [`Error::Missing`] when it ended without; or what became of
    /// the guest.
    pub fn wait_output(&self, text: &str, limit: Duration) -> Result<()> {
        let found = self
            .guest
            .wait(&format!("'{text}' from a script"), limit, |state| {
                let job = state.jobs.get(&self.number)?;
                let found = String::from_utf8_lossy(&job.output).contains(text);
                (found || job.status.is_some()).then_some(found)
            })?;
        if found {
            return Ok(());
        }
        Err(Error::Missing(format!(
            "a script ended without printing '{text}'; it printed:\n{}",
            self.output()
        )))
    }

    /// Sends SIGKILL to it and to what it started.
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn kill(&self) -> Result<()> {
        self.guest.send(&ToGuest::Kill { job: self.number }, b"")
    }
}
