// SPDX-License-Identifier: GPL-2.0
//! Reading and writing files for the harness, with the error numbers that the
//! system calls gave: a shell would hide them.

use crate::port::Port;
use nix::libc;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
};
use vigil_wire::FromGuest;

/// Reads a whole file.
pub(crate) fn read(agent: &Port, call: u32, path: &str) -> anyhow::Result<()> {
    match fs::read(path) {
        Ok(content) => done(agent, call, 0, &content),
        Err(error) => done(agent, call, number(&error), b""),
    }
}

/// Writes all bytes with one write(2), as a knob expects them.
pub(crate) fn write(agent: &Port, call: u32, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write(bytes));
    let errno = match written {
        Ok(length) if length == bytes.len() => 0,
        Ok(_) => libc::EIO,
        Err(error) => number(&error),
    };
    done(agent, call, errno, b"")
}

fn done(agent: &Port, call: u32, errno: i32, blob: &[u8]) -> anyhow::Result<()> {
    Ok(agent.send(&FromGuest::Done { call, errno }, blob)?)
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
