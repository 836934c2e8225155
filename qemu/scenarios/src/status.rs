// SPDX-License-Identifier: GPL-2.0
//! Reads `vigil/status`, and makes patterns for vigil's log lines.

use anyhow::{Context as _, Result};
use std::{collections::BTreeMap, fmt};
use vigil_logic::messages::{Key, Pattern};
use vigil_vm::Vm;

/// The file.
const PATH: &str = "/sys/kernel/debug/vigil/status";

/// The file as it was at one time: each value by section and name.
pub(crate) struct Status {
    text: String,
    values: BTreeMap<(String, String), String>,
    /// Section and name of each line, in order.
    order: Vec<(String, String)>,
}

/// The file's text.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Status {
    pub(crate) fn read(vm: &Vm) -> Result<Self> {
        Self::parse(&vm.read(PATH)?)
    }

    /// # Errors
    ///
    /// If a line is neither a heading nor `name: value`, or a name stands twice in a section.
    fn parse(text: &str) -> Result<Self> {
        let (mut values, mut order) = (BTreeMap::new(), Vec::new());
        let mut section = None;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let heading = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'));
            if let Some(heading) = heading {
                section = Some(heading);
                continue;
            }
            let (name, value) = line
                .split_once(": ")
                .with_context(|| format!("no `name: value`: {line:?}"))?;
            let section = section.with_context(|| format!("under no heading: {line:?}"))?;
            let key = (section.to_owned(), name.to_owned());
            order.push(key.clone());
            let twice = values.insert(key, value.to_owned());
            anyhow::ensure!(twice.is_none(), "[{section}] has {name} twice:\n{text}");
        }
        Ok(Self {
            text: text.to_owned(),
            values,
            order,
        })
    }

    /// The value, as it stands there.
    pub(crate) fn get(&self, key: Key) -> Result<&str> {
        self.values
            .get(&(key.section.to_owned(), key.name.to_owned()))
            .map(String::as_str)
            .with_context(|| format!("no {} in [{}]:\n{self}", key.name, key.section))
    }

    /// The value of one that is a number.
    pub(crate) fn number(&self, key: Key) -> Result<u64> {
        let value = self.get(key)?;
        value
            .parse()
            .with_context(|| format!("{}: {value:?} is no number", key.name))
    }

    /// Ensures that it has this value.
    pub(crate) fn is(&self, key: Key, value: &str) -> Result<()> {
        anyhow::ensure!(
            self.get(key)? == value,
            "[{}] {} is not {value:?}:\n{self}",
            key.section,
            key.name
        );
        Ok(())
    }

    /// Section and name of each line, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.order
            .iter()
            .map(|(section, name)| (section.as_str(), name.as_str()))
    }
}

/// A pattern for a whole line of vigil's log, whatever the values in it are.
pub(crate) fn pattern(text: &str) -> String {
    pattern_of(text, &[])
}

/// The same, with these values.
pub(crate) fn pattern_of(text: &str, values: &[(&str, &str)]) -> String {
    Pattern { text, values }.to_string()
}

/// The pattern for a part of a line, as on a console, which puts a time in front.
pub(crate) fn within_line(pattern: &str) -> &str {
    pattern.trim_start_matches('^').trim_end_matches('$')
}
