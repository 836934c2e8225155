// SPDX-License-Identifier: GPL-2.0

//! Kernel memory that may be gone: the words of a lock that a task waits for.
//!
//! vigil holds no reference to the lock. It may be freed at any moment once its waiter goes on, so
//! it is read by `copy_from_kernel_nofault()`, which survives an address that is not mapped any
//! more.
//!
//! C headers: [`include/linux/mutex_types.h`](srctree/include/linux/mutex_types.h),
//! [`include/linux/semaphore.h`](srctree/include/linux/semaphore.h),
//! [`include/linux/rwsem.h`](srctree/include/linux/rwsem.h)

use crate::logic::blocker::{
    LockKind,
    LockWords, //
};
#[cfg(not(CONFIG_PREEMPT_RT))]
use core::mem::offset_of;
use kernel::{
    bindings,
    ffi::c_void, //
};

/// Reads one word at a kernel address; `None` if no memory is mapped there.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn read_word(address: usize) -> Option<usize> {
    let mut word = 0usize;
    // SAFETY: The function takes any address to read from and fails on one that is not mapped; it
    // writes at most the given size, which is that of `word`.
    let failed = unsafe {
        bindings::copy_from_kernel_nofault(
            (&raw mut word).cast::<c_void>(),
            address as *const c_void,
            size_of::<usize>(),
        )
    };
    (failed == 0).then_some(word)
}

/// Reads one 32-bit number at a kernel address; `None` if no memory is mapped there.
///
/// # Context
///
/// Any, NMI included.
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

/// Reads the words of the lock at `lock`, which [`decode()`] found or `task_struct::blocked_on` names, that
/// name its owner; `None` if it is gone.
///
/// # Context
///
/// Any, NMI included.
///
/// [`decode()`]: crate::logic::blocker::decode
#[cfg(not(CONFIG_PREEMPT_RT))]
pub(crate) fn read_words(kind: LockKind, lock: usize) -> Option<LockWords> {
    let word = |offset: usize| read_word(lock.wrapping_add(offset));
    Some(match kind {
        LockKind::Mutex => LockWords {
            owner: word(offset_of!(bindings::mutex, owner))?,
            count: 0,
        },
        #[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
        LockKind::Semaphore => LockWords {
            owner: word(offset_of!(bindings::semaphore, last_holder))?,
            count: 0,
        },
        #[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
        LockKind::RwSemReader | LockKind::RwSemWriter => LockWords {
            owner: word(offset_of!(bindings::rw_semaphore, owner))?,
            count: word(offset_of!(bindings::rw_semaphore, count))?,
        },
        // `sys/rtmutex.rs` reads real-time mutexes, and a kernel that does not record who waits for the
        // others has no use for their words.
        _ => return None,
    })
}

/// With `PREEMPT_RT` these locks are made of real-time mutexes.
#[cfg(CONFIG_PREEMPT_RT)]
pub(crate) fn read_words(_kind: LockKind, _lock: usize) -> Option<LockWords> {
    None
}

#[kernel::prelude::kunit_tests(vigil_lock_words)]
mod tests {
    use super::*;
    use kernel::prelude::*;

    #[test]
    fn words_are_read() {
        let word = 0x0123_4567_89ab_cdefusize;
        let address = &raw const word as usize;
        assert_eq!(read_word(address), Some(word));
        assert_eq!(read_i32(address), Some(0x89ab_cdef_u32 as i32));
    }

    /// Nothing, user memory, no address at all, one past the end.
    #[test]
    fn unmapped_memory_is_not_read() {
        for address in [0, 8, 0x0040_0000, 1 << 63, usize::MAX, usize::MAX - 6] {
            assert_eq!(read_word(address), None);
            assert_eq!(read_i32(address), None);
        }
    }

    #[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
    mod owners {
        use super::{
            super::super::task,
            *, //
        };
        use crate::logic::blocker::{
            owner_task,
            LockKind, //
        };
        use core::mem::MaybeUninit;

        /// A rw-semaphore of the kernel.
        pub(super) fn rwsem() -> Result<KBox<MaybeUninit<bindings::rw_semaphore>>> {
            let mut sem = KBox::new_uninit(GFP_KERNEL)?;
            let key = kernel::static_lock_class!();
            // SAFETY: The memory is there and stays where it is; the name and the key are static.
            unsafe {
                bindings::__init_rwsem(
                    sem.as_mut_ptr(),
                    c"vigil::kunit".as_char_ptr(),
                    key.as_ptr(),
                )
            };
            Ok(sem)
        }

        /// The address of the task that a lock's words name as its owner.
        pub(super) fn owner(kind: LockKind, lock: usize) -> Option<usize> {
            Some(owner_task(kind, read_words(kind, lock)?))
        }

        pub(super) fn me() -> usize {
            task::key(current!())
        }
    }

    #[test]
    #[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
    fn a_mutex_names_its_owner() -> Result {
        use super::super::testing::Trap;
        use crate::logic::blocker::LockKind;
        use owners::*;
        let trap = Trap::new()?;
        let lock = &raw const trap.lock as usize;
        assert_eq!(owner(LockKind::Mutex, lock), Some(0));
        let guard = trap.lock.lock();
        assert_eq!(owner(LockKind::Mutex, lock), Some(me()));
        drop(guard);
        assert_eq!(owner(LockKind::Mutex, lock), Some(0));
        Ok(())
    }

    #[test]
    #[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
    fn an_rw_semaphore_names_its_owner() -> Result {
        use crate::logic::blocker::LockKind;
        use owners::*;
        let mut sem = rwsem()?;
        let lock = sem.as_ptr() as usize;
        // SAFETY: The semaphore is initialised; it is taken and given back in this function.
        unsafe { bindings::down_write(sem.as_mut_ptr()) };
        let (writer, held) = (
            owner(LockKind::RwSemReader, lock),
            read_words(LockKind::RwSemReader, lock),
        );
        // SAFETY: As above.
        unsafe { bindings::up_write(sem.as_mut_ptr()) };
        assert_eq!(writer, Some(me()));
        assert!(held.is_some_and(|words| words.count & 1 == 1));
        // SAFETY: As above.
        unsafe { bindings::down_read(sem.as_mut_ptr()) };
        let (reader, held) = (
            owner(LockKind::RwSemWriter, lock),
            read_words(LockKind::RwSemWriter, lock),
        );
        // SAFETY: As above.
        unsafe { bindings::up_read(sem.as_mut_ptr()) };
        assert_eq!(reader, Some(me()));
        assert!(held.is_some_and(|words| words.count & 1 == 0 && words.owner & 1 == 1));
        Ok(())
    }

    /// From a blocked task to the lock's owner, as a report does it.
    #[test]
    #[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
    fn a_blocked_task_leads_to_the_owner() -> Result {
        use super::super::{
            task,
            testing::*, //
        };
        use crate::logic::blocker::{
            decode,
            LockKind, //
        };
        use owners::*;
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, victim) = Trap::catch(&trap)?;
        let waits = decode(task::blocker(&victim));
        let blocked_on = task::blocked_on(&victim);
        let (lock, owner) = (
            &raw const trap.lock as usize,
            waits.and_then(|(kind, lock)| owner(kind, lock)),
        );
        drop(guard);
        drop(thread);
        assert_eq!(waits, Some((LockKind::Mutex, lock)));
        assert_eq!(blocked_on, lock);
        assert_eq!(owner, Some(me()));
        Ok(())
    }
}
