// SPDX-License-Identifier: GPL-2.0
//! Thousands of sleeping threads, as a large machine has them.
//!
//! ```text
//! agent threads COUNT
//! ```
//!
//! Prints `standing` once all threads have started; they end with the process.

use anyhow::{ensure, Context};
use nix::{
    errno::Errno,
    libc::{self, c_int, c_void},
    unistd::pause,
};
use std::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// Size of a thread's stack: several times what pause() needs.
const STACK: usize = 4096;

/// Number of threads that have started.
static STANDING: AtomicUsize = AtomicUsize::new(0);

/// Does what the command line says.
pub(crate) fn main(arguments: &[String]) -> anyhow::Result<()> {
    let [count] = arguments else {
        anyhow::bail!("usage: agent threads COUNT");
    };
    let count: usize = count.parse().context("COUNT is no number")?;
    // All their stacks in one piece; only what is used of it takes memory.
    let stacks = vec![0_u8; count * STACK].leak();
    for (number, stack) in stacks.chunks_exact_mut(STACK).enumerate() {
        start(stack).with_context(|| format!("thread {number} cannot be started"))?;
    }
    while STANDING.load(Ordering::Relaxed) != count {
        thread::sleep(Duration::from_millis(10));
    }
    println!("standing");
    loop {
        pause();
    }
}

/// Starts a thread that sleeps. The C library's threads would do, but each comes with
/// mappings of its own for its stack and its guard page, so that starting 20,000 of them
/// would take minutes under emulation.
fn start(stack: &'static mut [u8]) -> anyhow::Result<()> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let top = stack.as_mut_ptr_range().end;
    ensure!(top.align_offset(16) == 0, "the stack is not aligned");
    // SAFETY: The stack is the new thread's alone, for ever, and is aligned as that of a
    // function has to be. The thread shares our thread-local storage, as it has none of
    // its own; it runs `sleep()` only, which writes none: pause() would set errno when it
    // returns, but it returns only after a signal handler, and this program has no handler
    // for a signal that is sent to it.
    #[allow(unsafe_code)]
    let made = unsafe { libc::clone(sleep, top.cast(), flags, ptr::null_mut()) };
    Errno::result(made)?;
    Ok(())
}

/// Sleeps for ever.
extern "C" fn sleep(_: *mut c_void) -> c_int {
    STANDING.fetch_add(1, Ordering::Relaxed);
    loop {
        pause();
    }
}
