// SPDX-License-Identifier: GPL-2.0
//! No topic: the reports in a guest's log, as `vigil-klog` parses them, for the topics
//! about hung tasks and lockups.

use crate::prelude::*;
use std::ops::Deref;
use vigil_klog::{Detector, Dump, Log};

/// A report on a finding `F`, whose values are at hand as its own.
#[derive(Clone, Debug)]
pub(super) struct Report<F> {
    /// The time stamp of its first line.
    pub(super) time: f64,
    /// The texts of its lines, up to the next report.
    pub(super) lines: Vec<String>,
    /// The stacks in it.
    pub(super) dumps: Vec<Dump>,
    detector: Option<Detector>,
    finding: F,
}

impl<F> Deref for Report<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.finding
    }
}

impl<F: Clone + std::fmt::Debug> Report<F> {
    pub(super) fn new((report, finding): (&vigil_klog::Report, &F)) -> Self {
        Self {
            time: report.time,
            lines: report.lines.iter().map(|line| line.text.clone()).collect(),
            dumps: report.dumps.clone(),
            detector: report.detector,
            finding: finding.clone(),
        }
    }

    /// Whether vigil made it.
    pub(super) fn is_vigil(&self) -> bool {
        self.detector == Some(Detector::Vigil)
    }

    /// Whether the kernel's own detector made it.
    pub(super) fn is_in_tree(&self) -> bool {
        self.detector == Some(Detector::InTree)
    }

    /// Ensures that one of its lines is this.
    pub(super) fn says(&self, wanted: &str) -> Verdict {
        ensure!(
            self.lines.iter().any(|line| line == wanted),
            "no line '{wanted}' in {self:#?}"
        );
        Ok(())
    }

    /// Whether one of its lines contains this.
    pub(super) fn mentions(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }

    /// Ensures that lines with these words come in this order.
    pub(super) fn in_order(&self, words: &[&str]) -> Verdict {
        let mut lines = self.lines.iter();
        for word in words {
            ensure!(
                lines.any(|line| line.contains(word)),
                "no '{word}', or not in order, in {self:#?}"
            );
        }
        Ok(())
    }
}

/// The reports in a guest's log, which has to have nothing that looks like one and has
/// another wording.
pub(super) fn log_of(lines: &[LogLine]) -> anyhow::Result<Log> {
    let log = Log::parse(lines);
    ensure!(
        log.unknown.is_empty(),
        "not the right wording: {:#?}",
        log.unknown
    );
    Ok(log)
}

/// Ensures that a console's text has one panic, which is for this reason. Returns its time
/// stamp.
pub(super) fn panicked(text: &str, reason: &str) -> anyhow::Result<f64> {
    let log = Log::parse(&LogLine::parse_text(text));
    let panics: Vec<_> = log.panics().collect();
    let [(report, panic)] = panics[..] else {
        bail!("{} panics: {text}", panics.len());
    };
    ensure!(
        panic.message == reason,
        "panic '{}', not '{reason}'",
        panic.message
    );
    let said = text.matches("Kernel panic - not syncing").count();
    ensure!(said == 1, "{said} panics: {text}");
    Ok(report.time)
}
