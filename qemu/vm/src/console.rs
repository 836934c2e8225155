// SPDX-License-Identifier: GPL-2.0
//! The serial console's text, and finding a panic in it.

use regex::Regex;
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// What the guest printed on its serial console. Stays readable after the guest
/// is gone.
#[derive(Clone, Debug)]
pub struct Console {
    file: Arc<File>,
    path: Option<PathBuf>,
}

impl Console {
    pub(crate) fn new(file: File, path: Option<PathBuf>) -> Self {
        let file = Arc::new(file);
        Self { file, path }
    }

    /// The file in the artifacts' `logs` folder, if the console goes there.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The bytes that were printed from `offset` on.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn bytes_from(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let at = offset + bytes.len() as u64;
            match self.file.read_at(&mut buffer, at)? {
                0 => return Ok(bytes),
                length => bytes.extend(buffer.iter().take(length)),
            }
        }
    }

    /// Fills an empty console with the output of a snapshot's boot.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, 0)
    }

    /// Everything printed so far, with plain line ends.
    pub fn text(&self) -> String {
        let bytes = self.bytes_from(0).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// The text from the kernel's panic line on, if it panicked.
    pub fn panic(&self) -> Option<String> {
        static PANIC: OnceLock<Option<Regex>> = OnceLock::new();
        // With the time stamp, since a script may print such a line as well.
        let panic = PANIC
            .get_or_init(|| {
                Regex::new(r"\[ *\d+\.\d+\](\[[^\]]*\])? Kernel panic - not syncing").ok()
            })
            .as_ref()?;
        let text = self.text();
        let found = panic.find(&text)?;
        text.get(found.start()..).map(str::to_owned)
    }

    /// The last lines, for error messages.
    pub fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<&str> = text.lines().collect();
        let skip = all.len().saturating_sub(lines);
        all.get(skip..).unwrap_or_default().join("\n")
    }
}
