// SPDX-License-Identifier: GPL-2.0
//! What is left of a run: a table for people, JUnit XML for machines.

use anyhow::Context;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestRerun, TestSuite};
use std::{
    env, fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// At the second try, with the machine to itself; why it failed before.
    PassedAlone(String),
    Failed(String),
    /// No verdict on what it was about: no guest came up.
    BootFailed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::PassedAlone(_) => "ok, at the second try",
            Self::Failed(_) => "FAILED",
            Self::BootFailed(_) => "BOOT FAILED",
        }
    }
}

/// One scenario's end.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// Real time, all tries together.
    pub(crate) time: Duration,
    pub(crate) outcome: Outcome,
    /// Failed boots before the last try.
    pub(crate) notes: Vec<String>,
}

/// All of a run.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Vec<Record>>);

impl Report {
    pub(crate) fn add(&self, record: Record) {
        self.records().push(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records().is_empty()
    }

    /// Prints the table and writes `$VIGIL_OUT/junit.xml` (without that
    /// variable: in the artifacts folder), and `flaky.txt` beside it: what did not pass at
    /// the first try, and why.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let mut records = self.records();
        records.sort_by_key(|record| std::cmp::Reverse(record.time));
        print_table(&records);
        let folder = env::var_os("VIGIL_OUT").or_else(|| env::var_os("VIGIL_ARTIFACTS"));
        match folder.map(PathBuf::from) {
            Some(folder) => {
                write_junit(&records, &folder)?;
                write_unsteady(&records, &folder)
            }
            None => Ok(()),
        }
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn print_table(records: &[Record]) {
    let width = records
        .iter()
        .map(|record| record.name.len())
        .max()
        .unwrap_or(0);
    println!();
    for Record {
        name,
        time,
        outcome,
        notes,
    } in records
    {
        let again = match notes.len() {
            0 => "",
            _ => "  (a boot failed before)",
        };
        println!(
            "{name:width$}  {:7.1} s  {}{again}",
            time.as_secs_f64(),
            outcome.word()
        );
    }
    let count = |word: &str| {
        records
            .iter()
            .filter(|record| record.outcome.word().starts_with(word))
            .count()
    };
    println!(
        "\n{} scenarios: {} passed, {} failed, {} without a verdict (boot failed)",
        records.len(),
        count("ok"),
        count("FAILED"),
        count("BOOT FAILED"),
    );
}

fn write_junit(records: &[Record], folder: &std::path::Path) -> anyhow::Result<()> {
    let mut suite = TestSuite::new("scenarios");
    for record in records {
        let mut status = match &record.outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::PassedAlone(text) => {
                let mut rerun = TestRerun::new(NonSuccessKind::Failure);
                rerun.set_message(text.lines().next().unwrap_or_default());
                rerun.set_description(text.as_str());
                let mut status = TestCaseStatus::success();
                status.add_rerun(rerun);
                status
            }
            Outcome::Failed(_) => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Outcome::BootFailed(_) => TestCaseStatus::non_success(NonSuccessKind::Error),
        };
        if let Outcome::Failed(text) | Outcome::BootFailed(text) = &record.outcome {
            status.set_message(text.lines().next().unwrap_or_default());
            status.set_description(text.as_str());
        }
        let (topic, name) = record.name.split_once("::").unwrap_or(("", &record.name));
        let mut case = TestCase::new(name, status);
        case.set_classname(topic).set_time(record.time);
        if !record.notes.is_empty() {
            case.set_system_err(record.notes.join("\n"));
        }
        suite.add_test_case(case);
    }
    let mut junit = quick_junit::Report::new("vigil");
    junit.add_test_suite(suite);
    let path = folder.join("junit.xml");
    fs::create_dir_all(folder)
        .map_err(anyhow::Error::from)
        .and_then(|()| Ok(fs::write(&path, junit.to_string()?)?))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Lines of an explanation that are repeated at the end of a run.
const LINES: usize = 6;

fn write_unsteady(records: &[Record], folder: &std::path::Path) -> anyhow::Result<()> {
    let mut said = String::new();
    for record in records {
        let (Outcome::PassedAlone(text) | Outcome::Failed(text) | Outcome::BootFailed(text)) =
            &record.outcome
        else {
            continue;
        };
        let lines: Vec<_> = text.lines().take(LINES).collect();
        let word = record.outcome.word();
        said.push_str(&format!(
            "{}: {word}\n  {}\n",
            record.name,
            lines.join("\n  ")
        ));
    }
    let path = folder.join("flaky.txt");
    fs::write(&path, said).with_context(|| format!("cannot write {}", path.display()))
}
