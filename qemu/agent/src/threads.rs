// SPDX-License-Identifier: GPL-2.0
//! Threads that sleep, as a machine with a lot going on has them by the thousand.
//!
//! ```text
//! agent threads COUNT
//! ```
//!
//! Says `standing` once all of them are asleep, or on their way there; they are
//! gone with the process.

use anyhow::{ensure, Context};
use nix::{
    errno::Errno,
    libc::{self, c_int, c_void},
};
use std::{
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// All that a thread that does nothing ever has on its stack, with a lot to spare.
const STACK: usize = 4096;

/// Threads that have begun.
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
        rustix::event::pause();
    }
}

/// Starts a thread that sleeps. The C library's threads would do, but each comes with
/// mappings of its own for its stack and the page that guards it, which under emulation
/// makes 20,000 of them a matter of minutes.
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
    // its own; it runs `sleep()` only, which uses none: rustix, as this workspace has it,
    // makes the system call itself, which cannot fault, and no signal comes to it that has
    // a handler.
    #[allow(unsafe_code)]
    let made = unsafe { libc::clone(sleep, top.cast(), flags, ptr::null_mut()) };
    Errno::result(made)?;
    Ok(())
}

/// For ever.
extern "C" fn sleep(_: *mut c_void) -> c_int {
    STANDING.fetch_add(1, Ordering::Relaxed);
    loop {
        rustix::event::pause();
    }
}
