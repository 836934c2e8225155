// SPDX-License-Identifier: GPL-2.0
//! Texts with `{field}` where a value stands, to print lines and to find them.

use regex::{Captures, Regex};
use std::{fmt::Write, str::FromStr};
use vigil_logic::messages::{pieces, Piece};

/// What may stand for a field of this name.
fn values_of(field: &str) -> &'static str {
    match field {
        "cpu" | "finder" | "pid" | "owner_pid" | "seconds" | "ms" | "count" | "total" | "rate" => {
            r"\d+"
        }
        // A second with digits, or without: `Secs` and `LogStamp` of vigil-logic.
        "secs" | "time" => r"\d+(?:\.\d+)?",
        "task" => r".*:\d+",
        "in_iowait" => r"(?: in I/O wait)?",
        _ => ".*",
    }
}

/// The regular expression for the whole line of a text: fields become groups of their names,
/// unless they are given.
///
/// ```
/// use vigil_klog::{pattern, texts};
/// assert_eq!(
///     pattern(texts::HARD_LOCKUP, &[("cpu", "1")]),
///     r"(?s)^watchdog: CPU(?<finder>\d+): Watchdog detected hard LOCKUP on cpu 1$"
/// );
/// ```
pub fn pattern(text: &str, values: &[(&str, &str)]) -> String {
    // A task's name may have line breaks in it.
    let mut pattern = "(?s)^".to_owned();
    for piece in pieces(text) {
        match piece {
            Piece::Fixed(text) => pattern.push_str(&regex::escape(text)),
            Piece::Field(field) => match value(values, field) {
                Some(value) => pattern.push_str(&regex::escape(value)),
                // Writing to a String does not fail.
                None => drop(write!(pattern, "(?<{field}>{})", values_of(field))),
            },
        }
    }
    pattern.push('$');
    pattern
}

/// The line that a text becomes with these values; a field without one stays as it is.
pub fn print(text: &str, values: &[(&str, &str)]) -> String {
    let mut line = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Fixed(text) => line.push_str(text),
            Piece::Field(field) => match value(values, field) {
                Some(value) => line.push_str(value),
                None => drop(write!(line, "{{{field}}}")),
            },
        }
    }
    line
}

fn value<'a>(values: &[(&str, &'a str)], field: &str) -> Option<&'a str> {
    let (_, value) = values.iter().find(|(name, _)| *name == field)?;
    Some(value)
}

/// A text, ready to be found.
pub(crate) struct Template {
    /// What the line begins with.
    start: &'static str,
    regex: Option<Regex>,
}

impl Template {
    pub(crate) fn new(text: &'static str) -> Self {
        let start = match pieces(text).next() {
            Some(Piece::Fixed(start)) => start,
            _ => "",
        };
        Self {
            start,
            regex: Regex::new(&pattern(text, &[])).ok(),
        }
    }

    /// The values in a line, if it has this text.
    pub(crate) fn find<'a>(&self, line: &'a str) -> Option<Values<'a>> {
        if !line.starts_with(self.start) {
            return None;
        }
        self.regex.as_ref()?.captures(line).map(Values)
    }
}

/// The values in a line.
pub(crate) struct Values<'a>(Captures<'a>);

impl Values<'_> {
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.0.name(field).map(|value| value.as_str())
    }

    /// `None` as well for a number that is too large.
    pub(crate) fn number<T: FromStr>(&self, field: &str) -> Option<T> {
        self.text(field)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_line_is_found() {
        let text = "vigil: CPU{cpu} took {what}: {secs} s (really?)";
        let line = print(
            text,
            &[("cpu", "3"), ("what", "a {b} or so"), ("secs", "1.5")],
        );
        assert_eq!(line, "vigil: CPU3 took a {b} or so: 1.5 s (really?)");
        let template = Template::new(text);
        let values = template.find(&line).unwrap();
        assert_eq!(values.number("cpu"), Some(3_u32));
        assert_eq!(values.number("secs"), Some(1.5));
        assert_eq!(values.text("what"), Some("a {b} or so"));
        assert!(template.find(&format!(" {line}")).is_none());
        assert!(template.find(&line[..line.len() - 1]).is_none());
    }

    #[test]
    fn a_number_that_is_too_large_is_none() {
        let template = Template::new("CPU{cpu}");
        let values = template.find("CPU99999999999").unwrap();
        assert_eq!(values.number::<u32>("cpu"), None);
    }
}
