// SPDX-License-Identifier: GPL-2.0

//! Waits in which the kernel wakes up now and then, or in which others make the progress: what
//! [`Wait`] a tracked task is in. The rules are in [`crate::logic::hung_task::check`] and
//! [`crate::logic::hung_task::io_wait`].

use crate::{
    logic::{
        hung_task::{
            check::{
                Heartbeat,
                Wait, //
            },
            io_wait::LongIo, //
        },
        incident::Stack,
        NSEC_PER_SEC, //
    },
    sys::{
        kallsyms::Symbol,
        ksyms::Ksyms,
        lock_words::read_word,
        stacktrace,
        task,
        writeback, //
    }, //
};
use core::ops::Range;
use kernel::{
    str::CStr,
    task::Task, //
};

/// The functions that call `blk_wait_io()`, which is inline, and `blk_io_schedule()`, which leaves no
/// frame of its own, and those that do the same by themselves.
const HEARTBEAT: [&CStr; 9] = [
    c"bio_await",
    c"submit_bio_wait",
    c"blk_execute_rq",
    c"blkdev_direct_IO",
    c"__blockdev_direct_IO",
    c"__iomap_dio_rw",
    c"disk_zone_wplugs_worker",
    c"io_wq_put_and_exit",
    c"io_wq_exit_workers",
];

/// The function that waits for writeback.
const WRITEBACK: &CStr = c"wb_wait_for_completion";

/// How many frames may be between the function and where the task sleeps: those of the scheduler.
const NEAR: usize = 7;

/// Where the kernel's functions are.
pub(crate) struct IoWaits {
    heartbeat: [Range<usize>; HEARTBEAT.len()],
    writeback: Range<usize>,
    /// Address of the kernel's `hung_task_timeout_secs`.
    kernel_timeout: Option<usize>,
}

impl IoWaits {
    /// Looks them up.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn new(ksyms: &Ksyms) -> Self {
        Self {
            heartbeat: HEARTBEAT.map(|function| ksyms.lookup_range(function)),
            writeback: ksyms.lookup_range(WRITEBACK),
            kernel_timeout: ksyms.lookup(c"sysctl_hung_task_timeout_secs"),
        }
    }

    /// How the kernel wakes tasks now, for a check interval in nanoseconds.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn heartbeat(&self, interval: u64) -> Heartbeat {
        let secs = self.kernel_timeout.and_then(read_word).unwrap_or(0) as u64;
        Heartbeat {
            period: secs.saturating_mul(NSEC_PER_SEC) / 2,
            interval,
        }
    }

    /// What a sleeping task waits for.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn wait_of(&self, task: &Task) -> Wait {
        let stack = stacktrace::save_task(task);
        // A slice, whose iterator has no panic path.
        let near = stack.addresses.get(..NEAR.min(stack.depth as usize));
        let near = near.unwrap_or_default();
        let is_near = |range: &Range<usize>| near.iter().any(|address| range.contains(address));
        if is_near(&self.writeback) {
            Wait::Writeback(writeback::pages_written(task).map(|written| key(&stack, written)))
        } else if self.heartbeat.iter().any(is_near) {
            if is_long(near) {
                Wait::LongIo
            } else {
                Wait::Heartbeat(key(&stack, task::io_done(task)))
            }
        } else {
            Wait::Ordinary
        }
    }
}

/// Whether a wait with a heartbeat is for I/O that is long by nature.
///
/// By names and not by addresses: a caller may be in a module, loaded at any time, and the compiler
/// makes variants of static functions.
// A symbol's text is not part of the caller's stack frame.
#[inline(never)]
fn is_long(near: &[usize]) -> bool {
    let mut long = LongIo::default();
    for &address in near {
        if !long.add(Symbol::of_return(address).bytes()) {
            break;
        }
    }
    long.is_long()
}

/// One number for a stack and a count.
fn key(stack: &Stack, count: u64) -> u64 {
    stack.key() ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
