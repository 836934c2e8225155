// SPDX-License-Identifier: GPL-2.0
//! The kernel's log, line by line, as /dev/kmsg has it.

use regex::Regex;

/// One line of the kernel's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// The kernel's number of the record.
    pub seq: u64,
    /// The kernel's time stamp, in seconds since the boot (guest time).
    pub time: f64,
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// 0 for the kernel; 1 and more for what programs wrote.
    pub facility: u32,
    /// The text; a text of several lines is one record of several lines.
    pub text: String,
}

impl LogLine {
    /// Reads a record: `priority,sequence,microseconds,flags[,more];text`,
    /// followed by lines of ` KEY=value`.
    pub(crate) fn parse(record: &[u8]) -> Option<Self> {
        let record = String::from_utf8_lossy(record);
        let (head, rest) = record.split_once(';')?;
        let mut fields = head.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let seq = fields.next()?.parse().ok()?;
        let micros: u64 = fields.next()?.parse().ok()?;
        let text = rest.lines().next().unwrap_or_default();
        Some(Self {
            seq,
            time: micros as f64 / 1e6,
            level: u8::try_from(priority & 7).ok()?,
            facility: priority >> 3,
            text: unescape(text),
        })
    }
}

/// Undoes the kernel's `\xNN`, which stands for bytes that are not printable.
fn unescape(text: &str) -> String {
    if !text.contains("\\x") {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail
            .strip_prefix(b"x")
            .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(value) if byte == b'\\' => {
                bytes.push(value);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A place in the log: what comes after it is new. See [`crate::Vm::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub(crate) usize);

/// All lines since the boot, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) lost: bool,
}

impl Log {
    /// The lines.
    pub fn lines(&self) -> &[LogLine] {
        &self.lines
    }

    /// Whether the kernel overwrote lines before they could be read.
    pub fn lost(&self) -> bool {
        self.lost
    }

    pub(crate) fn after(&self, mark: Mark) -> &[LogLine] {
        self.lines.get(mark.0..).unwrap_or_default()
    }

    pub(crate) fn find(&self, mark: Mark, pattern: &Regex) -> Option<LogLine> {
        self.after(mark)
            .iter()
            .find(|line| pattern.is_match(&line.text))
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart() {
        let line = LogLine::parse(
            b"6,339,5140900,-,caller=T1;NET: a; b, c\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n",
        );
        let expected = LogLine {
            seq: 339,
            time: 5.1409,
            level: 6,
            facility: 0,
            text: "NET: a; b, c".to_owned(),
        };
        assert_eq!(line, Some(expected));
        assert_eq!(
            LogLine::parse(b"12,1,0,-;x\n").map(|l| (l.level, l.facility)),
            Some((4, 1))
        );
        assert_eq!(LogLine::parse(b"nonsense"), None);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(
            unescape(r"a\x09b \xc3\xa4 \x5cx41 \xzz \"),
            "a\tb \u{e4} \\x41 \\xzz \\"
        );
    }
}
