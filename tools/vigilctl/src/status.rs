// SPDX-License-Identifier: GPL-2.0
//! The file `vigil/status`: `docs/status.md` has its keys.

use anyhow::{Context, Result};
use serde::{ser::SerializeMap, Serialize, Serializer};
use std::fmt::Write;
use vigil_logic::messages::Key;

/// The values under a heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Section {
    name: String,
    values: Vec<(String, String)>,
}

/// The file as it was at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status(Vec<Section>);

impl Status {
    /// # Errors
    ///
    /// If a line is neither a heading nor `key: value`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut sections: Vec<Section> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let heading = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'));
            if let Some(name) = heading {
                sections.push(Section {
                    name: name.to_owned(),
                    values: Vec::new(),
                });
                continue;
            }
            let (key, value) = line.split_once(':').with_context(|| {
                format!("vigil/status has a line that is no `key: value`: {line}")
            })?;
            let section = sections
                .last_mut()
                .with_context(|| format!("vigil/status has a line under no heading: {line}"))?;
            let value = value.trim().to_owned();
            section.values.push((key.to_owned(), value));
        }
        Ok(Self(sections))
    }

    /// The value of a key, if it is there.
    pub(crate) fn get(&self, key: Key) -> Option<&str> {
        let section = self.0.iter().find(|section| section.name == key.section)?;
        let (_, value) = section.values.iter().find(|(name, _)| name == key.name)?;
        Some(value)
    }

    /// The value of a key that is a number.
    pub(crate) fn number(&self, key: Key) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

/// The file for people, with the values below each other.
impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.0.iter().flat_map(|section| &section.values);
        let width = keys.map(|(key, _)| key.len()).max().unwrap_or(0);
        for (number, section) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_char('\n')?;
            }
            writeln!(f, "{}", section.name)?;
            for (key, value) in &section.values {
                writeln!(f, "  {key:<width$}  {value}")?;
            }
        }
        Ok(())
    }
}

/// An object for each section; whole numbers as numbers, everything else as text.
impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for section in &self.0 {
            map.serialize_entry(&section.name, section)?;
        }
        map.end()
    }
}

impl Serialize for Section {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (key, value) in &self.values {
            match value.parse::<i64>() {
                Ok(number) => map.serialize_entry(key, &number)?,
                Err(_) => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use vigil_logic::messages::status::KEYS;

    /// A file with all keys that there are, each with a number of its own.
    pub(crate) fn all() -> String {
        let (mut text, mut section) = (String::new(), "");
        for (number, key) in (100..).zip(KEYS) {
            if key.section != section {
                section = key.section;
                writeln!(text, "\n[{section}]").unwrap();
            }
            writeln!(text, "{}: {number}", key.name).unwrap();
        }
        text
    }

    #[test]
    fn every_key_is_found() {
        let status = Status::parse(&all()).unwrap();
        for (number, key) in (100..).zip(KEYS) {
            assert_eq!(status.number(*key), Some(number), "{}", key.name);
        }
    }

    #[test]
    fn words_and_empty_values() {
        let text = "[a]\nx: two words: and more\ny:\nz: -3\n\n[b]\nlonger_key: none\n";
        let status = Status::parse(text).unwrap();
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            r#"{"a":{"x":"two words: and more","y":"","z":-3},"b":{"longer_key":"none"}}"#
        );
        assert_eq!(
            status.to_string(),
            "a\n  x           two words: and more\n  y           \n  z           -3\n\nb\n  longer_key  none\n"
        );
    }

    #[test]
    fn what_is_no_status() {
        assert!(Status::parse("x: 1\n").is_err());
        assert!(Status::parse("[a]\nx\n").is_err());
    }
}
