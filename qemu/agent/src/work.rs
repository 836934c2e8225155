// SPDX-License-Identifier: GPL-2.0
//! A fixed amount of work of one kind, and how long it took.
//!
//! ```text
//! agent work cpu COUNT        a loop in user mode, of so many rounds
//! agent work fork COUNT       a shell that forks, executes /bin/true and waits for it
//! agent work switch COUNT     a byte to another process through a pipe, and back through another
//! agent work io COUNT DISK    reads of a block of 4096 bytes past the page cache (O_DIRECT)
//! ```
//!
//! Prints the nanoseconds of the monotonic clock that it took. Where the guest's clocks count
//! instructions and no CPU is idle on the way, these are the instructions of the whole guest.

use anyhow::{bail, ensure, Context, Result};
use nix::libc;
use std::{
    fs::OpenOptions,
    hint::black_box,
    io::{Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    process::{Command, Stdio},
    time::Instant,
};

/// Bytes of a read, and what its buffer is aligned to.
const BLOCK: usize = 4096;

/// How many blocks of the disk are read in turn.
const BLOCKS: u64 = 4096;

/// Does what the command line says.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kind, count, disk) = match arguments[..] {
        [kind @ ("cpu" | "fork" | "switch"), count] => (kind, count, ""),
        ["io", count, disk] => ("io", count, disk),
        _ => bail!("usage: agent work cpu|fork|switch COUNT, or io COUNT DISK"),
    };
    let count: u64 = count.parse().context("COUNT is no number")?;
    let ns = match kind {
        "cpu" => cpu(count),
        "fork" => fork(count)?,
        "switch" => switch(count)?,
        _ => io(count, disk)?,
    };
    println!("{ns}");
    Ok(())
}

fn cpu(count: u64) -> u128 {
    let start = Instant::now();
    let mut state = 1_u64;
    for round in 0..count {
        state = black_box(state.rotate_left(5) ^ round);
    }
    start.elapsed().as_nanos()
}

fn fork(count: u64) -> Result<u128> {
    let script = format!("i=0; while [ $i -lt {count} ]; do /bin/true; i=$((i + 1)); done");
    let start = Instant::now();
    let status = Command::new("/bin/sh").args(["-c", &script]).status();
    let ns = start.elapsed().as_nanos();
    let status = status.context("cannot start /bin/sh")?;
    ensure!(status.success(), "/bin/sh: {status}");
    Ok(ns)
}

fn switch(count: u64) -> Result<u128> {
    let mut other = Command::new("/bin/cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start /bin/cat")?;
    let (Some(mut to), Some(mut from)) = (other.stdin.take(), other.stdout.take()) else {
        bail!("/bin/cat has no pipes");
    };
    let mut byte = [0];
    let mut exchange = || -> Result<()> {
        to.write_all(&byte)?;
        Ok(from.read_exact(&mut byte)?)
    };
    // It has started by the time that it answers.
    exchange()?;
    let start = Instant::now();
    for _ in 0..count {
        exchange()?;
    }
    let ns = start.elapsed().as_nanos();
    drop(to);
    other.wait()?;
    Ok(ns)
}

fn io(count: u64, disk: &str) -> Result<u128> {
    let disk = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(disk)
        .with_context(|| format!("cannot open {disk}"))?;
    let mut buffer = vec![0_u8; 2 * BLOCK];
    let aligned = buffer.as_ptr().align_offset(BLOCK);
    let block = buffer
        .get_mut(aligned..aligned + BLOCK)
        .context("no block is aligned")?;
    let start = Instant::now();
    for number in 0..count {
        let place = number % BLOCKS * BLOCK as u64;
        disk.read_exact_at(block, place).context("a read")?;
    }
    Ok(start.elapsed().as_nanos())
}
