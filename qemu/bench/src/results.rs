// SPDX-License-Identifier: GPL-2.0
//! What a part has measured: tables with bounds, and what is plotted.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// What a part has measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// In the order in which they are shown.
    pub tables: Vec<Table>,
    /// Shown behind the tables.
    pub plots: Vec<Plot>,
}

impl Measured {
    /// The bounds of all rows.
    pub fn bounds(&self) -> impl Iterator<Item = &Bound> {
        let rows = self.tables.iter().flat_map(|table| &table.rows);
        rows.flat_map(|row| &row.bounds)
    }
}

/// How a part ended.
#[derive(Debug)]
pub enum Outcome {
    /// With figures.
    Measured(Measured),
    /// The kernel cannot do what it needs.
    LeftOut(String),
}

/// A table. The bounds of its rows stand in columns of their own, which `columns` does not name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// A sentence, or empty.
    pub caption: String,
    /// The headings.
    pub columns: Vec<String>,
    /// The lines.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table without rows.
    pub fn new<S: Into<String>>(
        caption: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            caption: caption.into(),
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>, bounds: Vec<Bound>) {
        let cells = cells.into_iter().collect();
        self.rows.push(Row { cells, bounds });
    }
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// One a column.
    pub cells: Vec<Cell>,
    /// What the figures of this line are held to.
    pub bounds: Vec<Bound>,
}

/// A figure, or a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number of things.
    Count(u64),
    /// A number with so many decimals.
    Number(f64, usize),
    /// Several measurements of the same thing, with so many decimals.
    Spread(Spread, usize),
    /// Nothing was measured.
    None,
}

impl Cell {
    /// Words.
    pub fn text(words: impl Into<String>) -> Self {
        Self::Text(words.into())
    }
}

/// Several measurements of the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these measurements; `None` if there are none.
    pub fn of(all: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = all.into_iter().collect();
        all.sort_by(f64::total_cmp);
        Some(Self {
            median: *all.get(all.len() / 2)?,
            least: *all.first()?,
            most: *all.last()?,
        })
    }

    /// Of whole numbers.
    ///
    /// # Errors
    ///
    /// If there are none.
    pub fn of_counts(all: &[u64]) -> Result<Self> {
        Self::of(all.iter().map(|count| *count as f64)).context("nothing was measured")
    }
}

/// The most that a figure may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// By which the document finds the reason for one that does not hold.
    pub id: String,
    /// In words.
    pub says: String,
    /// What was measured.
    pub value: f64,
    /// The most that it may be.
    pub limit: f64,
}

impl Bound {
    /// A bound on `value`.
    pub fn new(id: impl Into<String>, says: impl Into<String>, value: f64, limit: f64) -> Self {
        Self {
            id: id.into(),
            says: says.into(),
            value,
            limit,
        }
    }

    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.value <= self.limit
    }
}

/// A plot with lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// The file's name, without `.svg`.
    pub name: String,
    /// What stands above it.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
}

/// An axis of a plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// What it says.
    pub label: String,
    /// Whether each step multiplies: then all values are above 0.
    pub is_log: bool,
}

impl Axis {
    /// Each step adds.
    pub fn linear(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            is_log: false,
        }
    }

    /// Each step multiplies.
    pub fn log(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            is_log: true,
        }
    }
}

/// A line of a plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// What a part has measured, and what made it: a file `PART.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartFile {
    /// The part's name.
    pub part: String,
    /// The command that measured it.
    pub command: String,
    /// The commit of the tree, with `-dirty` behind it if files were changed.
    pub commit: String,
    /// The guest's kernel.
    pub kernel: String,
    /// The figures.
    pub measured: Measured,
}

impl PartFile {
    /// Writes it into a folder.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}.json", self.part));
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// Reads that of a part from a folder; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is of another version of this program.
    pub fn read(folder: &Path, part: &str) -> Result<Option<Self>> {
        let path = folder.join(format!("{part}.json"));
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)?;
        let file = serde_json::from_str(&text);
        file.map(Some)
            .with_context(|| format!("{} has to be measured again", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_what_is_there() {
        assert_eq!(Spread::of([]), None);
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.0, 3.0));
    }

    #[test]
    fn a_bound_holds_up_to_its_limit() {
        assert!(Bound::new("x", "", 1.0, 1.0).holds());
        assert!(!Bound::new("x", "", 1.001, 1.0).holds());
        // What could not be measured holds no bound.
        assert!(!Bound::new("x", "", f64::NAN, 1.0).holds());
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let mut table = Table::new("", ["a"]);
        let spread = Spread::of([1.5]).unwrap();
        table.row(
            [Cell::Spread(spread, 1), Cell::None],
            vec![Bound::new("x", "y", 1.0, 2.0)],
        );
        let file = PartFile {
            part: "p".into(),
            command: "make".into(),
            commit: "0123456".into(),
            kernel: "7.3".into(),
            measured: Measured {
                tables: vec![table],
                plots: Vec::new(),
            },
        };
        let folder = tempfile::tempdir().unwrap();
        file.write(folder.path()).unwrap();
        assert_eq!(PartFile::read(folder.path(), "p").unwrap(), Some(file));
        assert_eq!(PartFile::read(folder.path(), "q").unwrap(), None);
    }
}
