// SPDX-License-Identifier: GPL-2.0
//! What a scenario is.

use crate::{context::Cx, machine, slots::SlotClass};
use std::time::Duration;
use vigil_klog::Splat;
use vigil_vm::Arch;

/// How a scenario ends: an error is a failure. Panics (of `assert!`) are too.
pub(crate) type Verdict = anyhow::Result<()>;

/// Default for the real time that a scenario may take. Generous: guests are slow under
/// emulation, and slower on a loaded host.
const LIMIT: Duration = Duration::from_secs(180);

/// One scenario: a name, a function, and what is special about it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Cx) -> Verdict,
    pub(crate) limit: Duration,
    pub(crate) allowed: Vec<Splat>,
    /// Option that the kernel must have been built with, or the scenario is skipped.
    pub(crate) needs: Option<&'static str>,
    /// Option that the kernel must have been built without; and why.
    pub(crate) not_with: Option<(&'static str, &'static str)>,
    /// The only architecture that it can run on, or it is skipped; and why.
    pub(crate) only: Option<(Arch, &'static str)>,
    /// Whether it is one of the core set: see [`Scenario::core`].
    pub(crate) core: bool,
    /// Whether it belongs to the set of all only: see [`Scenario::all`].
    pub(crate) all: bool,
    /// The class of its slot on a kernel that is as fast as a stock one; none if it may
    /// run without a slot.
    slot: Option<SlotClass>,
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
            not_with: None,
            only: None,
            core: false,
            all: false,
            slot: Some(SlotClass::Busy),
        }
    }

    /// Gives it this much real time.
    #[allow(dead_code)] // for topics to come
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Tests something that only a kernel with this option has: skipped on other kernels.
    pub(crate) fn needs(mut self, option: &'static str) -> Self {
        self.needs = Some(option);
        self
    }

    /// Tests something that a kernel with this option does not have: skipped there. `why` says what.
    pub(crate) fn not_with(mut self, option: &'static str, why: &'static str) -> Self {
        self.not_with = Some((option, why));
        self
    }

    /// Needs another CPU while one has its interrupts off: skipped where RCU's thread keeps that, see
    /// [`machine::has_strict_rcu`].
    pub(crate) fn not_with_strict_rcu(self) -> Self {
        self.not_with(machine::STRICT_RCU, machine::RCU_WAITS)
    }

    /// Tests something that only this architecture has: skipped on others. `why` says what.
    pub(crate) fn only_on(mut self, arch: Arch, why: &'static str) -> Self {
        self.only = Some((arch, why));
        self
    }

    /// Puts it into the core set (`SET=core`), which is run where there is no time for all
    /// scenarios: on the debug kernel in continuous integration.
    pub(crate) fn core(mut self) -> Self {
        self.core = true;
        self
    }

    /// Leaves it to the set of all (`SET=all`, `make test-all`): it takes long, and repeats
    /// another scenario for one more kind. It also runs when the command line names it.
    pub(crate) fn all(mut self) -> Self {
        self.all = true;
        self
    }

    /// Has a guest that is stopped or asleep for most of the time: it runs without a slot,
    /// beside any number of scenarios.
    pub(crate) fn idle(mut self) -> Self {
        self.slot = None;
        self
    }

    /// Counts instructions, so that it does not matter how fast its guest is, which has the lowest
    /// priority (`Config::low_priority`): it runs without a slot, on what the others leave.
    pub(crate) fn counts_instructions(self) -> Self {
        self.idle()
    }

    /// Has a guest of two CPUs that sleeps for more than half of the time, as guests with
    /// hung tasks do: it takes the slot of [`SlotClass::Waiting`].
    pub(crate) fn light(mut self) -> Self {
        self.slot = Some(SlotClass::Waiting);
        self
    }

    /// Has a guest with so many busy CPUs that no other scenario may run beside it.
    pub(crate) fn alone(mut self) -> Self {
        self.slot = Some(SlotClass::Exclusive);
        self
    }

    /// The class of the slot that it needs; none if it is idle.
    pub(crate) fn slot(&self) -> Option<SlotClass> {
        match self.slot {
            // A kernel with all debugging options hardly ever sleeps.
            Some(SlotClass::Waiting) if machine::slowdown() != 1 => Some(SlotClass::Busy),
            slot => slot,
        }
    }

    /// Why it cannot run on the kernel under test, if so. `has` says whether that kernel
    /// was built with an option.
    pub(crate) fn skip_reason(&self, arch: Arch, has: impl Fn(&str) -> bool) -> Option<String> {
        if let Some(option) = self.needs.filter(|option| !has(option)) {
            return Some(format!("the kernel has no {option}"));
        }
        if let Some((option, why)) = self.not_with.filter(|(option, _)| has(option)) {
            return Some(format!("not with {option}: {why}"));
        }
        let (only, why) = self.only.filter(|(only, _)| *only != arch)?;
        Some(format!("only on {}: {why}", only.name()))
    }

    /// Allows such lines in the log: they do not fail the scenario.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_one_has_a_reason() {
        let scenario = Scenario::new("x", |_| Ok(()));
        assert_eq!(scenario.skip_reason(Arch::X86_64, |_| false), None);
        let needs = scenario.clone().needs("CONFIG_KUNIT");
        assert_eq!(needs.skip_reason(Arch::X86_64, |_| true), None);
        assert_eq!(
            needs.skip_reason(Arch::X86_64, |_| false).as_deref(),
            Some("the kernel has no CONFIG_KUNIT")
        );
        let not_with = scenario.clone().not_with("CONFIG_PREEMPT_RT", "it waits");
        assert_eq!(not_with.skip_reason(Arch::X86_64, |_| false), None);
        assert_eq!(
            not_with.skip_reason(Arch::X86_64, |_| true).as_deref(),
            Some("not with CONFIG_PREEMPT_RT: it waits")
        );
        let only = scenario.only_on(Arch::X86_64, "QEMU sends NMIs");
        assert_eq!(only.skip_reason(Arch::X86_64, |_| true), None);
        assert_eq!(
            only.skip_reason(Arch::Aarch64, |_| true).as_deref(),
            Some("only on x86_64: QEMU sends NMIs")
        );
    }
}
