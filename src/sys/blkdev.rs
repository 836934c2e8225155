// SPDX-License-Identifier: GPL-2.0

//! Block devices: which have been working on a request for long.
//!
//! C headers: [`include/linux/blk-mq.h`](srctree/include/linux/blk-mq.h), `src/c/vigil.h`

use super::{
    ffi,
    task::cond_resched, //
};

/// How many disks are looked at.
const MAX_DISKS: u32 = 1024;

/// How many requests of all disks are looked at.
const MAX_REQUESTS: u32 = 1 << 16;

/// A disk whose driver has old requests.
pub(crate) struct BusyDisk {
    name: [u8; 32],
    /// Its major and minor number.
    pub(crate) number: (u32, u32),
    /// How many of its requests are old.
    pub(crate) old: u32,
    /// Age of the oldest in nanoseconds, by the monotonic clock.
    pub(crate) oldest: u64,
}

impl BusyDisk {
    /// Its name.
    pub(crate) fn name(&self) -> &[u8] {
        self.name
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
    }
}

/// Calls `each` for each disk whose driver has requests that are at least `age` nanoseconds old.
/// Returns whether that is all there is: false if not all disks and requests were looked at, or if
/// it is not known of a request how old it is.
///
/// # Context
///
/// Process context, may sleep. Waits for no lock that is held while a device is waited for.
pub(crate) fn for_each_busy_disk(age: u64, mut each: impl FnMut(&BusyDisk)) -> bool {
    let mut cursor = 0;
    let mut budget = MAX_REQUESTS;
    let mut is_all = true;
    for _ in 0..MAX_DISKS {
        let mut found = ffi::vigil_blk_requests {
            name: [0; 32],
            major: 0,
            minor: 0,
            old: 0,
            untimed: 0,
            is_partial: 0,
            oldest: 0,
        };
        // SAFETY: Process context; the pointers are to locals.
        let more =
            unsafe { ffi::vigil_blk_next(&raw mut cursor, age, &raw mut budget, &raw mut found) };
        if more == 0 {
            return is_all && found.is_partial == 0;
        }
        is_all = is_all && found.untimed == 0 && found.is_partial == 0;
        if found.old != 0 {
            each(&BusyDisk {
                name: found.name,
                number: (found.major, found.minor),
                old: found.old,
                oldest: found.oldest,
            });
        }
        cond_resched();
    }
    false
}

#[kernel::prelude::kunit_tests(vigil_blkdev)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_ends() {
        let mut disks: u32 = 0;
        // No request is as old as that.
        for_each_busy_disk(u64::MAX, |_| disks = disks.wrapping_add(1));
        assert_eq!(disks, 0);
    }
}
