// SPDX-License-Identifier: GPL-2.0
//! Threads that sleep, as a machine with a lot going on has them by the thousand.
//!
//! ```text
//! agent threads COUNT
//! ```
//!
//! Says `standing` once all of them are asleep, or on their way there; they are
//! gone with the process.

use anyhow::Context;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// As little as a thread can have: they do nothing.
const STACK: usize = 16 * 1024;

static STANDING: AtomicUsize = AtomicUsize::new(0);

/// Does what the command line says.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let [count] = arguments else {
        anyhow::bail!("usage: agent threads COUNT");
    };
    let count: usize = count.parse().context("COUNT is no number")?;
    for number in 0..count {
        let thread = thread::Builder::new().stack_size(STACK);
        thread
            .spawn(|| {
                STANDING.fetch_add(1, Ordering::Relaxed);
                sleep()
            })
            .with_context(|| format!("thread {number} cannot be started"))?;
    }
    while STANDING.load(Ordering::Relaxed) != count {
        thread::sleep(Duration::from_millis(10));
    }
    println!("standing");
    sleep()
}

/// For ever.
fn sleep() -> ! {
    loop {
        thread::park();
    }
}
