// SPDX-License-Identifier: GPL-2.0

//! Which waits for I/O are long by nature, by the functions on a task's stack.
//!
//! The kernel wakes a task that waits for block I/O each half of its `hung_task_timeout_secs`
//! ("Prevent hang_check timer from firing at us during very long I/O", `blk_wait_io()`), whatever
//! the I/O is. Most of it is not long unless the device is stuck: a read, a write, a flush, also of a
//! journal or of a swap device. These may be hung. Some takes minutes on a healthy device, and is
//! never hung:
//!
//! - a discard, a secure erase, or writing zeroes, of a whole device for example;
//! - resetting or finishing zones of a zoned device;
//! - a passthrough request (`blk_execute_rq()`): `SG_IO`, a format or a sanitize command, those of the
//!   drivers. It has a timeout of its own, behind which the driver handles the error;
//! - the end of an io_uring, which waits for threads that do any I/O of other tasks and are tracked
//!   themselves.

use super::super::wait_kind::base_name;

/// The functions that wait for a bio on behalf of their caller, which decides.
const BIO_WAITS: [&[u8]; 2] = [b"bio_await", b"submit_bio_wait"];

/// The functions that call one of [`BIO_WAITS`] for what is long by nature. The kernel's compiler has
/// some inlined in others, or has them jump to what they call last: each of those that may be seen.
const LONG_BIOS: [&[u8]; 13] = [
    b"bio_submit_or_kill",
    b"blkdev_issue_discard",
    b"blkdev_issue_secure_erase",
    b"blkdev_issue_zeroout",
    b"blkdev_issue_write_zeroes",
    b"blkdev_issue_zero_pages",
    b"blk_ioctl_discard",
    // With blk_ioctl_discard() in it. Nothing else in it waits for a bio.
    b"blkdev_common_ioctl",
    b"xfs_discard_rtdev_extents",
    b"blkdev_zone_mgmt",
    b"blkdev_zone_reset_all",
    b"nvmet_bdev_zone_mgmt_emulate_all",
    b"xfs_zone_gc_reset_sync",
];

/// The functions that wait for what is long by nature by themselves.
const LONG_WAITS: [&[u8]; 3] = [
    b"blk_execute_rq",
    b"io_wq_put_and_exit",
    b"io_wq_exit_workers",
];

/// How the names of the scheduler's functions begin that may be between one of these and the sleep.
/// Most kernels leave them out of stacks.
const SCHEDULER: [&[u8]; 5] = [
    b"__schedule",
    b"schedule",
    b"io_schedule",
    b"wait_for_completion",
    b"__wait_for_common",
];

/// Reads a stack of which the kernel's wait is known to be one with a heartbeat.
///
/// ```
/// use vigil_logic::hung_task::io_wait::LongIo;
///
/// let mut long = LongIo::default();
/// for symbol in ["bio_await", "submit_bio_wait", "blkdev_issue_discard"] {
///     long.add(symbol.as_bytes());
/// }
/// assert!(long.is_long());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LongIo {
    waits_for_bio: bool,
    is_long: bool,
}

impl LongIo {
    /// Adds the next function, from the innermost one on. `symbol` may have suffixes. Returns whether
    /// the ones that call it may say more.
    pub fn add(&mut self, symbol: &[u8]) -> bool {
        let name = base_name(symbol);
        if BIO_WAITS.contains(&name) {
            self.waits_for_bio = true;
            return true;
        }
        if self.waits_for_bio {
            self.is_long = LONG_BIOS.contains(&name);
            return false;
        }
        if SCHEDULER.iter().any(|begin| name.starts_with(begin)) {
            return true;
        }
        // It sleeps in another function that one of these has called: to get memory for a bio, or a
        // tag. That is not long by nature.
        self.is_long = LONG_WAITS.contains(&name);
        false
    }

    /// Whether the wait is long by nature.
    pub fn is_long(&self) -> bool {
        self.is_long
    }
}
