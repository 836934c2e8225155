// SPDX-License-Identifier: GPL-2.0

//! The words of a lock that a task waits for.
//!
//! The lock belongs to somebody else and may be freed at any moment once its waiter goes on, so
//! memory is read in the way that survives an address that is gone.
//!
//! C headers: [`include/linux/mutex_types.h`](srctree/include/linux/mutex_types.h),
//! [`include/linux/semaphore.h`](srctree/include/linux/semaphore.h),
//! [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use kernel::{bindings, ffi::c_void};

/// Reads one word at any address of the kernel's; `None` if there is nothing.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn read_word(address: usize) -> Option<usize> {
    let mut word = 0usize;
    // SAFETY: The function takes any address to read from and fails on one that does not answer;
    // it writes at most the given size, which is that of `word`.
    let failed = unsafe {
        bindings::copy_from_kernel_nofault(
            (&raw mut word).cast::<c_void>(),
            address as *const c_void,
            size_of::<usize>(),
        )
    };
    (failed == 0).then_some(word)
}

/// Reads one 32-bit number at any address of the kernel's, as [`read_word`] does.
pub(crate) fn read_i32(address: usize) -> Option<i32> {
    let mut word = 0i32;
    // SAFETY: As in `read_word`.
    let failed = unsafe {
        bindings::copy_from_kernel_nofault(
            (&raw mut word).cast::<c_void>(),
            address as *const c_void,
            size_of::<i32>(),
        )
    };
    (failed == 0).then_some(word)
}

#[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
mod words {
    use super::{bindings, read_word};
    use crate::logic::blocker::{Kind, LockWords};
    use core::mem::offset_of;

    /// Reads the words of the lock at `lock` that say who has it.
    pub(crate) fn read(kind: Kind, lock: usize) -> Option<LockWords> {
        let word = |offset: usize| read_word(lock.wrapping_add(offset));
        Some(match kind {
            Kind::Mutex => LockWords {
                owner: word(offset_of!(bindings::mutex, owner))?,
                count: 0,
            },
            Kind::Semaphore => LockWords {
                owner: word(offset_of!(bindings::semaphore, last_holder))?,
                count: 0,
            },
            Kind::RwSemReader | Kind::RwSemWriter => LockWords {
                owner: word(offset_of!(bindings::rw_semaphore, owner))?,
                count: word(offset_of!(bindings::rw_semaphore, count))?,
            },
        })
    }
}

/// A kernel that keeps no record of what tasks wait for: nothing is ever asked.
#[cfg(not(CONFIG_DETECT_HUNG_TASK_BLOCKER))]
mod words {
    use crate::logic::blocker::{Kind, LockWords};

    pub(crate) fn read(_kind: Kind, _lock: usize) -> Option<LockWords> {
        None
    }
}

pub(crate) use words::read as read_words;
