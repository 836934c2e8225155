// SPDX-License-Identifier: GPL-2.0
//! The kernel's log since the boot, as /dev/kmsg has it.

use regex::Regex;
use vigil_klog::LogLine;

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
