// SPDX-License-Identifier: GPL-2.0
//! One line of the kernel's log, in each of the forms in which a program gets it.

use regex::{Captures, Regex};
use std::sync::LazyLock;

/// The level of a message that has none (`CONFIG_MESSAGE_LOGLEVEL_DEFAULT`).
const DEFAULT_LEVEL: u8 = 4;

/// What printed a line, as kernels with `CONFIG_PRINTK_CALLER` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The task with this PID.
    Task(u32),
    /// An interrupt on this CPU.
    Cpu(u32),
}

/// One line of the kernel's log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogLine {
    /// The kernel's number of the record; in a text without numbers, that of the line.
    pub seq: u64,
    /// The kernel's time stamp, in seconds since the boot. A line without one has the
    /// time of the line before it, or 0.
    pub time: f64,
    /// 0 (emergency) to 7 (debug). In a text without levels it is 4, the kernel's own
    /// default.
    pub level: u8,
    /// 0 for the kernel; 1 and more for what programs wrote to `/dev/kmsg`. In a text
    /// without facilities it is 0.
    pub facility: u32,
    /// What printed it, if the kernel says so.
    pub caller: Option<Caller>,
    /// The text. A record of several lines is one text with line breaks.
    pub text: String,
}

/// Head of a record of `/dev/kmsg`: `priority,sequence,microseconds,flags[,KEY=value]...;`.
static KMSG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(\d+),(\d+),(\d+),[^,;]*(?:,caller=([CT]\d+))?[^;]*;").ok());

/// What consoles, `dmesg` and pstore put in front of a line: `<priority>[seconds][caller] `.
static PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(?:<(\d+)>)?(?:\[ *(\d+\.\d+)\])?(?: ?\[ *([CT]\d+)\])?(?: |$)").ok()
});

impl LogLine {
    /// Parses one record of `/dev/kmsg`, which may be followed by lines of ` KEY=value`.
    pub fn parse_kmsg(record: &[u8]) -> Option<Self> {
        let record = String::from_utf8_lossy(record);
        Self::parse_record(record.lines().next()?)
    }

    /// Parses a log: lines as a console, `dmesg`, `dmesg -r` or pstore have them, with or
    /// without time stamps and callers, or records as read from `/dev/kmsg`.
    pub fn parse_text(text: &str) -> Vec<Self> {
        let mut lines: Vec<Self> = Vec::new();
        let mut after_record = false;
        for line in text.lines() {
            if let Some(record) = Self::parse_record(line) {
                lines.push(record);
                after_record = true;
            } else if !(after_record && line.starts_with(' ') && line.contains('=')) {
                let before = lines.last().map_or(0.0, |line| line.time);
                lines.push(Self::parse_console(line, lines.len() as u64, before));
                after_record = false;
            }
        }
        lines
    }

    /// The first line of a record.
    fn parse_record(line: &str) -> Option<Self> {
        let head = KMSG.as_ref()?.captures(line)?;
        let priority: u32 = head[1].parse().ok()?;
        let micros: u64 = head[3].parse().ok()?;
        Some(Self {
            seq: head[2].parse().ok()?,
            time: micros as f64 / 1e6,
            level: level(priority),
            facility: priority >> 3,
            caller: caller(&head, 4),
            text: unescape(line.get(head[0].len()..)?),
        })
    }

    /// A line with what consoles put in front of it; `before` is the time of the one before.
    fn parse_console(line: &str, seq: u64, before: f64) -> Self {
        let plain = Self {
            seq,
            time: before,
            level: DEFAULT_LEVEL,
            text: line.to_owned(),
            ..Self::default()
        };
        let Some(prefix) = PREFIX.as_ref().and_then(|prefix| prefix.captures(line)) else {
            return plain;
        };
        let number = |group: usize| prefix.get(group).map(|found| found.as_str());
        // A blank alone is part of the text: a frame of a stack begins with one.
        if (1..=3).all(|group| number(group).is_none()) {
            return plain;
        }
        let priority: Option<u32> = number(1).and_then(|number| number.parse().ok());
        Self {
            time: number(2)
                .and_then(|number| number.parse().ok())
                .unwrap_or(before),
            level: priority.map_or(DEFAULT_LEVEL, level),
            facility: priority.unwrap_or(0) >> 3,
            caller: caller(&prefix, 3),
            text: line.get(prefix[0].len()..).unwrap_or_default().to_owned(),
            ..plain
        }
    }
}

/// The lower three bits of a priority.
fn level(priority: u32) -> u8 {
    (priority & 7) as u8
}

fn caller(captures: &Captures<'_>, group: usize) -> Option<Caller> {
    let caller = captures.get(group)?.as_str();
    let number = caller.get(1..)?.parse().ok()?;
    Some(if caller.starts_with('C') {
        Caller::Cpu(number)
    } else {
        Caller::Task(number)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart() {
        let line = LogLine::parse_kmsg(
            b"6,339,5140900,-,caller=T1;NET: a; b, c\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n",
        );
        let expected = LogLine {
            seq: 339,
            time: 5.1409,
            level: 6,
            facility: 0,
            caller: Some(Caller::Task(1)),
            text: "NET: a; b, c".to_owned(),
        };
        assert_eq!(line, Some(expected));
        assert_eq!(
            LogLine::parse_kmsg(b"12,1,0,-;x\n").map(|l| (l.level, l.facility)),
            Some((4, 1))
        );
        assert_eq!(LogLine::parse_kmsg(b"nonsense"), None);
        assert_eq!(LogLine::parse_kmsg(b""), None);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(
            unescape(r"a\x09b \xc3\xa4 \x5cx41 \xzz \"),
            "a\tb \u{e4} \\x41 \\xzz \\"
        );
    }

    #[test]
    fn each_prefix_is_taken_off() {
        let cases = [
            ("[    6.689215] a b", 6.689215, 4, 0, None, "a b"),
            (
                "[   10.298514][    C0] a",
                10.298514,
                4,
                0,
                Some(Caller::Cpu(0)),
                "a",
            ),
            (
                "[   10.298514] [   T30]  f+0x1/0x2",
                10.298514,
                4,
                0,
                Some(Caller::Task(30)),
                " f+0x1/0x2",
            ),
            ("<0>[12345.678901] x", 12345.678901, 0, 0, None, "x"),
            (
                "<14>[    1.000000][ T1234] x",
                1.0,
                6,
                1,
                Some(Caller::Task(1234)),
                "x",
            ),
            ("<3>x", 0.0, 4, 0, None, "<3>x"),
            ("<3> x", 0.0, 3, 0, None, "x"),
            ("[    1.000000]", 1.0, 4, 0, None, ""),
            (" <TASK>", 0.0, 4, 0, None, " <TASK>"),
            ("[x] y", 0.0, 4, 0, None, "[x] y"),
        ];
        for (line, time, level, facility, caller, text) in cases {
            let expected = LogLine {
                seq: 0,
                time,
                level,
                facility,
                caller,
                text: text.to_owned(),
            };
            assert_eq!(LogLine::parse_text(line), [expected], "{line}");
        }
    }

    #[test]
    fn a_line_without_a_stamp_has_the_time_before_it() {
        let lines =
            LogLine::parse_text("a\n[    2.000000] b\nc\n6,9,3000000,-;d\n KEY=value\n e\n");
        let seen: Vec<_> = lines
            .iter()
            .map(|line| (line.seq, line.time, line.text.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 0.0, "a"),
                (1, 2.0, "b"),
                (2, 2.0, "c"),
                (9, 3.0, "d"),
                (4, 3.0, " e"),
            ]
        );
    }
}
