// SPDX-License-Identifier: GPL-2.0
//! Programs that read kernel logs, and what they look for: a model of each, with expressions of our
//! own that accept what that program accepts.
//!
//! `VIGIL_LOG_PATTERNS=FILE` adds the programs' own expressions, a line each: the program's name,
//! one of `hung`, `cpu` and `other`, the expression, with a tab between them. They are other
//! people's work and not part of this repository; [`MODELS`] says where they are.

use anyhow::{Context, Result};
use regex::Regex;
use std::{collections::BTreeSet, env, fs};

/// Name of the environment variable with the file.
const VARIABLE: &str = "VIGIL_LOG_PATTERNS";

/// What a line is for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The first line of a report on a hung task.
    Hung,
    /// The first line of a report on a lockup.
    Cpu,
    /// The first line of another report.
    Other,
}

/// The programs, as of August 2026. Each line is searched by itself.
///
/// - syzkaller (`google/syzkaller`, `pkg/report/linux.go` at 1e72964b0111) begins a report at each
///   line with one of some words. A hung task is titled by the first function of the first call
///   trace behind it that is no wait primitive. It has nothing on hard lockups, which are no report
///   for it.
/// - node-problem-detector (`kubernetes/node-problem-detector`, `config/kernel-monitor.json` at
///   6632ca67148f) makes an event of a hung task, and of other lines.
/// - gpud (`leptonai/gpud`, `components/cpu/kmsg_matcher.go` at 4a8de33a3f02, and
///   `components/os/kmsg_matcher.go`) makes events of hung tasks, soft lockups and panics, and
///   names the task.
///
/// All three are under the Apache License 2.0.
const MODELS: [(&str, Class, &str); 8] = [
    (
        "syzkaller",
        Class::Hung,
        r"INFO: task .+ blocked .*for more than \d+ sec",
    ),
    ("syzkaller", Class::Cpu, r"BUG: soft lockup"),
    (
        "syzkaller",
        Class::Other,
        concat!(
            "(BUG|WARNING|INFO|UBSAN|divide error|invalid opcode|int3|Internal error|stack segment",
            "|Alignment trap|Unhandled fault):|[kK]ernel BUG|Kernel panic|panicked",
            "|general protection fault|Unable to handle kernel|unregister_netdevice: waiting",
        ),
    ),
    (
        "node-problem-detector",
        Class::Hung,
        r"task .+:\d+ blocked for more than \d+ seconds\.",
    ),
    (
        "node-problem-detector",
        Class::Other,
        concat!(
            r"Killed process \d|unregister_netdevice: waiting|NULL pointer dereference|divide error",
            r"|EXT4-fs (error|warning)|Buffer I/O error|Shutting down filesystem|CE memory read",
            r"|\[Hardware Error\]|Remounting filesystem",
        ),
    ),
    (
        "gpud",
        Class::Hung,
        r"task ([^:]+:\d+) .*blocked for more than \d+ sec",
    ),
    (
        "gpud",
        Class::Cpu,
        r"soft lockup - CPU.+ stuck for .+ \[([^:\]]+:\d+)\]",
    ),
    ("gpud", Class::Other, r"Kernel [pP]anic|file-max limit"),
];

/// A program that reads kernel logs.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) name: String,
    patterns: Vec<(Class, Regex)>,
}

/// What programs make of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Events {
    /// Hung tasks: what they name, or else the text that they matched, with no times.
    pub(crate) hung: BTreeSet<String>,
    /// Lockups, as well.
    pub(crate) cpu: BTreeSet<String>,
    /// Lines that they take for the beginning of another report.
    pub(crate) other: Vec<String>,
}

impl Reader {
    /// All of them.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (name, class, pattern) in MODELS {
            Self::add(&mut all, &format!("{name} (model)"), class, pattern)?;
        }
        let Some(file) = env::var_os(VARIABLE) else {
            return Ok(all);
        };
        let text = fs::read_to_string(&file).with_context(|| format!("{VARIABLE}: {file:?}"))?;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let mut words = line.splitn(3, '\t');
            let (name, class, pattern) = (words.next(), words.next(), words.next());
            let class = match class {
                Some("hung") => Some(Class::Hung),
                Some("cpu") => Some(Class::Cpu),
                Some("other") => Some(Class::Other),
                _ => None,
            };
            let ((name, class), pattern) = name.zip(class).zip(pattern).with_context(|| {
                format!("{VARIABLE}: not NAME, hung|cpu|other, PATTERN: {line}")
            })?;
            Self::add(&mut all, name, class, pattern)?;
        }
        Ok(all)
    }

    fn add(all: &mut Vec<Self>, name: &str, class: Class, pattern: &str) -> Result<()> {
        let pattern = Regex::new(pattern).with_context(|| format!("a pattern of {name}"))?;
        match all.iter_mut().find(|reader| reader.name == name) {
            Some(reader) => reader.patterns.push((class, pattern)),
            None => all.push(Self {
                name: name.to_owned(),
                patterns: vec![(class, pattern)],
            }),
        }
        Ok(())
    }

    /// Whether it looks for lockups at all.
    pub(crate) fn knows_lockups(&self) -> bool {
        self.patterns.iter().any(|(class, _)| *class == Class::Cpu)
    }

    /// What it makes of these lines.
    pub(crate) fn read<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Events {
        let mut events = Events::default();
        for line in lines {
            if let Some(task) = self.find(Class::Hung, line) {
                events.hung.insert(task);
            } else if let Some(task) = self.find(Class::Cpu, line) {
                events.cpu.insert(task);
            } else if self.find(Class::Other, line).is_some() {
                events.other.push(line.to_owned());
            }
        }
        events
    }

    /// What a pattern of this class captures, or else matches.
    fn find(&self, class: Class, line: &str) -> Option<String> {
        let patterns = self.patterns.iter().filter(|pattern| pattern.0 == class);
        let found = patterns.filter_map(|(_, pattern)| pattern.captures(line));
        let all = found.into_iter().next()?;
        let named = all.get(1).filter(|group| group.as_str().contains(':'));
        let text = named.or(all.get(0))?.as_str();
        Some(without_times(text))
    }
}

/// The text without how long something lasted, which no two detectors see alike.
fn without_times(text: &str) -> String {
    let mut words: Vec<_> = text.split(' ').collect();
    for at in 1..words.len() {
        if ["than", "for"].contains(&words[at - 1])
            && words[at].starts_with(|c: char| c.is_ascii_digit())
        {
            words[at] = "N";
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigil_klog::{Detector, Log, LogLine};

    fn reader(name: &str) -> Reader {
        let mut all = Reader::all().unwrap();
        all.retain(|reader| reader.name == format!("{name} (model)"));
        all.pop().unwrap()
    }

    #[test]
    fn mainlines_words() {
        let lines = [
            "INFO: task sh:12 blocked for more than 120 seconds.",
            "INFO: task a b:13 blocked in I/O wait for more than 121 seconds.",
            "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [cat:14]",
            "Kernel panic - not syncing: softlockup: hung tasks",
        ];
        let panic = vec![lines[3].to_owned()];
        for (name, hung, cpu, other) in [
            ("syzkaller", 2, 1, panic.clone()),
            ("node-problem-detector", 1, 0, vec![]),
            ("gpud", 1, 1, panic),
        ] {
            let events = reader(name).read(lines.into_iter());
            assert_eq!((events.hung.len(), events.cpu.len()), (hung, cpu), "{name}");
            assert_eq!(events.other, other, "{name}");
        }
        let events = reader("gpud").read(lines.into_iter());
        assert!(events.hung.contains("sh:12") && events.cpu.contains("cat:14"));
    }

    /// Recorded reports of both detectors on the same stalls.
    #[test]
    fn recorded_reports() {
        let lines = LogLine::parse_text(include_str!(
            "../../../tools/klog/tests/data/hung_tasks.kmsg"
        ));
        let log = Log::parse(&lines);
        for reader in Reader::all().unwrap() {
            let of = |detector| {
                let reports = log.reports.iter();
                let reports = reports.filter(|report| report.detector == Some(detector));
                reader.read(
                    reports
                        .flat_map(|report| &report.lines)
                        .map(|line| line.text.as_str()),
                )
            };
            let (in_tree, vigil) = (of(Detector::InTree), of(Detector::Vigil));
            assert!(in_tree.hung.len() >= 2, "{}", reader.name);
            assert!(
                in_tree.hung.is_subset(&vigil.hung),
                "{}: {vigil:?}",
                reader.name
            );
            // The words on the lock, which mainline has as well.
            let blocker = |line: &String| line.contains(" blocked on a");
            assert!(
                vigil.other.iter().all(blocker),
                "{}: {vigil:?}",
                reader.name
            );
        }
    }

    #[test]
    fn vigils_lines_are_no_reports() {
        for reader in Reader::all().unwrap() {
            for (_, text) in vigil_klog::texts::vigil::MESSAGES {
                let events = reader.read([*text].into_iter());
                assert_eq!(events, Events::default(), "{}: {text}", reader.name);
            }
        }
    }
}
