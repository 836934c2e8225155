// SPDX-License-Identifier: GPL-2.0
//! What a scenario is.

use crate::{context::Cx, splat::Splat};
use std::time::Duration;

/// How a scenario ends: an error is a failure. Panics (of `assert!`) are too.
pub(crate) type Verdict = anyhow::Result<()>;

/// Real time that a scenario gets unless it says otherwise. Generous: guests
/// are slow under emulation, and slower on a loaded machine.
const LIMIT: Duration = Duration::from_secs(180);

/// One scenario: a name, a function, and what is special about it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Cx) -> Verdict,
    pub(crate) limit: Duration,
    pub(crate) allowed: Vec<Splat>,
}

impl Scenario {
    /// A scenario with the ordinary limit, in which no splat is allowed.
    pub(crate) fn new(name: &'static str, run: fn(&Cx) -> Verdict) -> Self {
        Self {
            name,
            run,
            limit: LIMIT,
            allowed: Vec::new(),
        }
    }

    /// Gives it this much real time.
    #[allow(dead_code)] // for topics to come
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Lets the kernel say this without failing the scenario.
    #[allow(dead_code)] // for topics to come
    pub(crate) fn allow(mut self, splat: Splat) -> Self {
        self.allowed.push(splat);
        self
    }
}

/// So many seconds.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
