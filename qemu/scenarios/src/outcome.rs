// SPDX-License-Identifier: GPL-2.0
//! How a scenario ended: what all forms of the results are made of.

use std::time::Duration;

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Passed at the second try, with no other scenario beside it; why the first failed.
    Flaky(String),
    Failed(String),
    /// No guest came up, so nothing is known about what the scenario tests.
    BootFailed(String),
    /// The kernel under test does not have what the scenario tests; what that is.
    Skipped(String),
}

impl Outcome {
    /// The outcome in the table.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Flaky(_) => "ok (flaky: passed at the second try)",
            Self::Failed(_) => "FAILED",
            Self::BootFailed(_) => "BOOT FAILED",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// The result of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// `topic::scenario`
    pub(crate) name: String,
    /// Real time, all tries together.
    pub(crate) time: Duration,
    pub(crate) outcome: Outcome,
    /// Failed boots before the last try.
    pub(crate) notes: Vec<String>,
}

/// Numbers for the closing line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    /// Counts the outcomes. A failed boot is a failure.
    pub(crate) fn of(records: &[Record]) -> Self {
        records.iter().fold(Self::default(), |mut counts, record| {
            match &record.outcome {
                Outcome::Passed | Outcome::Flaky(_) => counts.passed += 1,
                Outcome::Failed(_) | Outcome::BootFailed(_) => counts.failed += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
            }
            counts
        })
    }
}
