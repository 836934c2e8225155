// SPDX-License-Identifier: GPL-2.0
//! The kernel's log, read record by record from /dev/kmsg.

use crate::port::Port;
use nix::libc;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
};
use vigil_wire::LogRecords;

/// The longest record that the kernel hands out (its CONSOLE_EXT_LOG_MAX).
const RECORD: usize = 8192;

/// Records sent in one frame: enough to be quick, few enough to be soon there.
const BATCH: usize = 64;

/// A line of the agent's own in the kernel's log.
pub(crate) fn say(text: &str) {
    let _ = fs::write("/dev/kmsg", format!("<4>vigil-agent: {text}\n"));
}

/// Where the agent is in the log.
pub(crate) struct Kmsg {
    file: File,
    last: Option<u64>,
}

impl Kmsg {
    /// Opens the log at its oldest record.
    pub(crate) fn open() -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        Ok(Self { file, last: None })
    }

    /// Sends all records that are there; returns the last one's number.
    pub(crate) fn send_all(&mut self, log: &Port) -> io::Result<Option<u64>> {
        let mut buffer = [0; RECORD];
        loop {
            let mut lengths = Vec::new();
            let mut blob = Vec::new();
            let mut lost = false;
            while lengths.len() < BATCH {
                match self.file.read(&mut buffer) {
                    Ok(length) => {
                        let record = buffer.get(..length).unwrap_or_default();
                        self.last = sequence(record).or(self.last);
                        lengths.push(u32::try_from(length).unwrap_or(0));
                        blob.extend(record);
                    }
                    // The kernel overwrote what came next; it goes on with the
                    // oldest that is left.
                    Err(error) if error.raw_os_error() == Some(libc::EPIPE) => lost = true,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            let full = lengths.len() == BATCH;
            if lost || !lengths.is_empty() {
                log.send(&LogRecords { lengths, lost }, &blob)?;
            }
            if !full {
                return Ok(self.last);
            }
        }
    }
}

impl AsFd for Kmsg {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The number in `priority,NUMBER,time,flags;text`.
fn sequence(record: &[u8]) -> Option<u64> {
    let number = record.split(|byte| *byte == b',').nth(1)?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn sequence_is_the_second_field() {
        assert_eq!(super::sequence(b"6,1234,5678,-;a, b"), Some(1234));
        assert_eq!(super::sequence(b"nonsense"), None);
    }
}
