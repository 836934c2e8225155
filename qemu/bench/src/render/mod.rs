// SPDX-License-Identifier: GPL-2.0
//! `benchmarks.md` and its plots, from what the parts have measured.
//!
//! The words are those of `template.md`, in which a line `{{bounds}}` stands for the list of all
//! bounds and `{{PART}}` for a part's tables and plots. No figure stands in the template.

mod numbers;
mod plot;

use self::numbers::{number, with_commas};
use crate::results::{Bound, Cell, Measured, PartFile, Table};
use anyhow::{bail, Context, Result};
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

const TEMPLATE: &str = include_str!("template.md");

/// Why a bound does not hold, by its id: it stands beside the figure, and the command does not
/// fail.
const REASONS: &[(&str, &str)] = &[
    (
        "wakeups: hung tasks",
        "a look that is to scan all tasks asks the run queues again some milliseconds later if another thread runs, such as one \
         that woke at the same tick: that one sleeps by then, mostly, and a wake-up is cheaper than a scan",
    ),
    (
        "wakeups: other threads",
        "without the thread for hung tasks, which does it where it wakes as often, `vigild/info0` looks every 10 s whether a knob asks for something: \
         nobody says that `kernel.kernel_sys_info` was written, and a CPU that is stuck cannot wake it",
    ),
    (
        "timeouts: idle",
        "two looks in a timeout scan all tasks, since the sum of the run queues may be off for good; a scan takes twice khungtaskd's \
         pass, since it goes by PID, where it can go on later. And there are sixteen looks, so that a report is late by a sixteenth of a \
         timeout at most, where khungtaskd's is by a whole one",
    ),
    (
        "timeouts: blocked",
        "each of sixteen looks checks every blocked task, so that its report is late by a sixteenth of a timeout at most, where \
         khungtaskd's is by a whole one; and two of them scan all tasks",
    ),
    (
        "timeouts: busy",
        "with a task on a run queue besides vigil's thread the sum of the run queues may miss a blocked one, so that no report is late by \
         more than an eighth of a timeout only if each third look scans all tasks",
    ),
    (
        "nmis",
        "on arm64 each access to an atomic of the kernel crate is the call of a function, where the in-tree callback has an \
         instruction; and vigil's reads the clock, as the in-tree one does on x86 alone, to know an NMI that comes too early",
    ),
    (
        "size: cpu",
        "most of the per-CPU variables are the snapshot of what a CPU ran when it took one of vigil's NMIs, by which the report of \
         a hard lockup names what a CPU that answers no more was doing; it has to be there before",
    ),
];

/// The parts of the template, in its order.
pub fn parts_of(template: &str) -> Vec<&str> {
    let marks = template.lines().filter_map(mark);
    marks.filter(|name| *name != "bounds").collect()
}

/// Those of the document.
pub fn parts() -> Vec<&'static str> {
    parts_of(TEMPLATE)
}

/// The folder of the plots and the data of a page that is in `folder`.
pub fn beside(folder: &Path) -> PathBuf {
    folder.join("benchmarks")
}

/// Writes `benchmarks.md` and the plots ([`beside`] it) into `folder`, and returns the bounds
/// that do not hold and have no reason.
///
/// # Errors
///
/// If a file cannot be written, or something is wrong with the template.
pub fn write(folder: &Path, files: &[PartFile]) -> Result<Vec<Bound>> {
    write_with(folder, TEMPLATE, REASONS, files)
}

/// The same with another template, and other reasons.
///
/// # Errors
///
/// As [`write`].
pub fn write_with(
    folder: &Path,
    template: &str,
    reasons: &[(&str, &str)],
    files: &[PartFile],
) -> Result<Vec<Bound>> {
    let plots = beside(folder);
    fs::create_dir_all(&plots)?;
    // Without those that are not made any more. The data of the parts are there, too.
    for entry in fs::read_dir(&plots)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    for plot in files.iter().flat_map(|file| &file.measured.plots) {
        let path = plots.join(format!("{}.svg", plot.name));
        plot::draw(&path, plot).with_context(|| format!("drawing {}", path.display()))?;
    }
    let text = document(template, reasons, files)?;
    let path = folder.join("benchmarks.md");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    let all = files.iter().flat_map(|file| file.measured.bounds());
    let without_reason = |bound: &&Bound| !bound.holds() && reason(reasons, bound).is_none();
    Ok(all.filter(without_reason).cloned().collect())
}

/// The name in a line `{{NAME}}`.
fn mark(line: &str) -> Option<&str> {
    line.strip_prefix("{{")?.strip_suffix("}}")
}

/// The text of `benchmarks.md`.
fn document(template: &str, reasons: &[(&str, &str)], files: &[PartFile]) -> Result<String> {
    let by_part: BTreeMap<&str, &PartFile> = files
        .iter()
        .map(|file| (file.part.as_str(), file))
        .collect();
    let marks = parts_of(template);
    if let Some(part) = by_part.keys().find(|part| !marks.contains(part)) {
        bail!("the template has no place for the part {part}");
    }
    let mut text = String::new();
    for line in template.lines() {
        match mark(line) {
            None => writeln!(text, "{line}")?,
            Some("bounds") => bounds(&mut text, reasons, files)?,
            Some(part) => match by_part.get(part) {
                Some(file) => section(&mut text, reasons, file)?,
                None => writeln!(text, "Not measured: `make bench PART={part}`.")?,
            },
        }
    }
    Ok(text)
}

fn reason<'a>(reasons: &[(&'a str, &'a str)], bound: &Bound) -> Option<&'a str> {
    let found = reasons.iter().find(|(id, _)| *id == bound.id);
    found.map(|(_, reason)| *reason)
}

/// Whether a bound holds, in words.
fn verdict(reasons: &[(&str, &str)], bound: &Bound) -> String {
    match (bound.holds(), reason(reasons, bound)) {
        (true, _) => "holds".to_owned(),
        (false, None) => "**does not hold**".to_owned(),
        (false, Some(reason)) => format!("**does not hold**: {reason}"),
    }
}

/// The list of all bounds.
fn bounds(text: &mut String, reasons: &[(&str, &str)], files: &[PartFile]) -> Result<()> {
    writeln!(
        text,
        "| part | bound | measured | at most | |\n|---|---|---|---|---|"
    )?;
    for file in files {
        for bound in file.measured.bounds() {
            writeln!(
                text,
                "| [{part}](#{part}) | {} | {} | {} | {} |",
                bound.says,
                number(bound.value),
                number(bound.limit),
                verdict(reasons, bound),
                part = file.part,
            )?;
        }
    }
    Ok(())
}

fn section(text: &mut String, reasons: &[(&str, &str)], file: &PartFile) -> Result<()> {
    let PartFile {
        command,
        commit,
        kernel,
        measured: Measured { tables, plots },
        ..
    } = file;
    writeln!(text, "`{command}`, commit `{commit}`, on {kernel}:")?;
    for table in tables {
        writeln!(text)?;
        if !table.caption.is_empty() {
            writeln!(text, "{}\n", table.caption)?;
        }
        self::table(text, reasons, table)?;
    }
    for plot in plots {
        writeln!(text, "\n![{}](benchmarks/{}.svg)", plot.title, plot.name)?;
    }
    Ok(())
}

fn table(text: &mut String, reasons: &[(&str, &str)], table: &Table) -> Result<()> {
    let is_bound = table.rows.iter().any(|row| !row.bounds.is_empty());
    let mut line = |cells: Vec<String>| writeln!(text, "| {} |", cells.join(" | "));
    let with_bound = |mut cells: Vec<String>, bound: String| {
        if is_bound {
            cells.push(bound);
        }
        cells
    };
    line(with_bound(table.columns.clone(), "bound".to_owned()))?;
    let columns = table.columns.len() + usize::from(is_bound);
    line(vec!["---".to_owned(); columns])?;
    for row in &table.rows {
        if row.cells.len() != table.columns.len() {
            bail!("a row of {} cells in {:?}", row.cells.len(), table.columns);
        }
        let bounds = row.bounds.iter().map(|bound| {
            format!(
                "{}: {} of {}, {}",
                bound.says,
                number(bound.value),
                number(bound.limit),
                verdict(reasons, bound)
            )
        });
        let bounds = bounds.collect::<Vec<_>>().join("; ");
        line(with_bound(row.cells.iter().map(cell).collect(), bounds))?;
    }
    Ok(())
}

fn cell(cell: &Cell) -> String {
    let decimal = |value: f64, decimals: usize| with_commas(&format!("{value:.decimals$}"));
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Count(count) => with_commas(&count.to_string()),
        Cell::Number(value, decimals) => decimal(*value, *decimals),
        Cell::Spread(spread, decimals) => format!(
            "{} ({}, {})",
            decimal(spread.median, *decimals),
            decimal(spread.least, *decimals),
            decimal(spread.most, *decimals)
        ),
        Cell::None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_place() {
        let parts: Vec<&str> = crate::parts::ALL.iter().map(|part| part.name).collect();
        assert_eq!(parts, super::parts(), "in the order of the template");
    }

    #[test]
    fn there_is_no_figure_in_the_template() {
        // Figures of the configuration stand there: what is asked, not what was found.
        assert!(!TEMPLATE.contains(" instructions |"));
        assert!(!TEMPLATE.lines().any(|line| line.starts_with('|')));
    }
}
