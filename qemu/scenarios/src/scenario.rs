// SPDX-License-Identifier: GPL-2.0
//! What a scenario is.

use crate::{context::Cx, machine, splat::Splat, turns::Share};
use std::time::Duration;
use vigil_vm::Arch;

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
    /// Option that the kernel must have been built with.
    pub(crate) needs: Option<&'static str>,
    /// The only kind of machine that it can be tried on, and why.
    pub(crate) only: Option<(Arch, &'static str)>,
    /// Whether it is one of the core set: see [`Scenario::core`].
    pub(crate) core: bool,
    /// Whether it is for the whole set only: see [`Scenario::all`].
    pub(crate) all: bool,
    /// What it needs of the machine, on a kernel that is as quick as a stock one.
    share: Option<Share>,
}

impl Scenario {
    /// A scenario with the ordinary limit, in which no splat is allowed.
    pub(crate) fn new(name: &'static str, run: fn(&Cx) -> Verdict) -> Self {
        Self {
            name,
            run,
            limit: LIMIT,
            allowed: Vec::new(),
            needs: None,
            only: None,
            core: false,
            all: false,
            share: Some(Share::Work),
        }
    }

    /// Gives it this much real time.
    #[allow(dead_code)] // for topics to come
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Is about something that only a kernel with this option has: not listed, and
    /// not counted, for others.
    pub(crate) fn needs(mut self, option: &'static str) -> Self {
        self.needs = Some(option);
        self
    }

    /// Is about something that only such machines have: not listed, and not counted,
    /// on others. `why` says what.
    pub(crate) fn only_on(mut self, arch: Arch, why: &'static str) -> Self {
        self.only = Some((arch, why));
        self
    }

    /// Puts it into the core set (`SET=core`), which is run where there is no time
    /// for all: on the debug kernel in continuous integration.
    pub(crate) fn core(mut self) -> Self {
        self.core = true;
        self
    }

    /// Leaves it to the set of all (`SET=all`, `make test-all`): it takes long, and
    /// repeats another one for one more kind. Named on the command line it runs, too.
    pub(crate) fn all(mut self) -> Self {
        self.all = true;
        self
    }

    /// Has a guest that is stopped or asleep for most of the time: it may run beside
    /// as many others as there may be.
    pub(crate) fn idle(mut self) -> Self {
        self.share = None;
        self
    }

    /// Has a guest of two CPUs that waits for more than half of the time, as those with
    /// hung tasks do: one such may run beside those that are at work.
    pub(crate) fn light(mut self) -> Self {
        self.share = Some(Share::Light);
        self
    }

    /// What it needs of the machine; nothing if it is idle.
    pub(crate) fn share(&self) -> Option<Share> {
        match self.share {
            // A kernel that checks all that it does hardly ever waits.
            Some(Share::Light) if machine::slowdown() != 1 => Some(Share::Work),
            share => share,
        }
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
