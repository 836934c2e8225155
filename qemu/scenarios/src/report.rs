// SPDX-License-Identifier: GPL-2.0
//! Collects the results of a run and writes them: a table on standard output, and in the
//! folder of the run `results.ktap`, `junit.xml` and `flaky.txt`.

use crate::{
    junit, ktap,
    outcome::{Counts, Outcome, Record},
};
use anyhow::Context;
use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use vigil_vm::Artifacts;

/// The results of a run.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Vec<Record>>);

impl Report {
    pub(crate) fn add(&self, record: Record) {
        self.records().push(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records().is_empty()
    }

    /// Prints the table, whose last line counts, and writes the files to `$VIGIL_OUT`, or
    /// to the artifacts folder without that variable.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        let mut records = self.records();
        let folder = env::var_os("VIGIL_OUT").or_else(|| env::var_os("VIGIL_ARTIFACTS"));
        if let Some(folder) = folder.map(PathBuf::from) {
            let release = Artifacts::from_env().ok().and_then(|it| it.release());
            records.sort_by(|a, b| a.name.cmp(&b.name));
            write(
                &folder,
                "results.ktap",
                &ktap::render(&records, release.as_deref()),
            )?;
            write(&folder, "junit.xml", &junit::render(&records)?)?;
            write(&folder, "flaky.txt", &first_try_failures(&records))?;
        }
        records.sort_by_key(|record| Reverse(record.time));
        print!("{}", table(&records));
        Ok(())
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// A line for each result, and a closing line that counts.
fn table(records: &[Record]) -> String {
    let width = records
        .iter()
        .map(|record| record.name.len())
        .max()
        .unwrap_or(0);
    let mut text = "\n".to_owned();
    for Record {
        name,
        time,
        outcome,
        notes,
    } in records
    {
        let seconds = time.as_secs_f64();
        let word = outcome.word();
        let more = match outcome {
            Outcome::Skipped(why) => format!(": {why}"),
            _ if !notes.is_empty() => "  (a boot failed before)".to_owned(),
            _ => String::new(),
        };
        text.push_str(&format!("{name:width$}  {seconds:7.1} s  {word}{more}\n"));
    }
    let Counts {
        passed,
        failed,
        skipped,
    } = Counts::of(records);
    text.push_str(&format!(
        "\n{passed} passed, {failed} failed, {skipped} skipped\n"
    ));
    text
}

/// Lines of an explanation that are repeated at the end of a run.
const LINES: usize = 6;

/// The scenarios that did not pass at the first try, and why.
fn first_try_failures(records: &[Record]) -> String {
    let mut all = String::new();
    for record in records {
        let (Outcome::Flaky(text) | Outcome::Failed(text) | Outcome::BootFailed(text)) =
            &record.outcome
        else {
            continue;
        };
        let lines: Vec<_> = text.lines().take(LINES).collect();
        let word = record.outcome.word();
        all.push_str(&format!(
            "{}: {word}\n  {}\n",
            record.name,
            lines.join("\n  ")
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn skipped_ones_do_not_count_as_passed() {
        let record = |outcome| Record {
            name: "a::b".to_owned(),
            time: Duration::ZERO,
            outcome,
            notes: Vec::new(),
        };
        let text = table(&[
            record(Outcome::Passed),
            record(Outcome::Flaky(String::new())),
            record(Outcome::Failed(String::new())),
            record(Outcome::BootFailed(String::new())),
            record(Outcome::Skipped("no CONFIG_KUNIT".to_owned())),
        ]);
        assert!(text.contains("skipped: no CONFIG_KUNIT\n"), "{text}");
        assert!(
            text.ends_with("\n2 passed, 2 failed, 1 skipped\n"),
            "{text}"
        );
    }
}
