// SPDX-License-Identifier: GPL-2.0

//! What a task waits for through a real-time mutex.
//!
//! C header: [`kernel/locking/rtmutex_common.h`](srctree/kernel/locking/rtmutex_common.h), by
//! `src/c/rtmutex.c`

use super::{
    btf,
    ffi,
    ksyms::Ksyms, //
};
use crate::logic::blocker::{
    LockKind,
    LockWords, //
};
use core::mem::MaybeUninit;
use kernel::task::Task;

/// Has [`rt_mutex_wait()`] read the waiters of real-time mutexes, if their layout is known
/// ([`btf::layout`]).
///
/// # Context
///
/// As [`Ksyms::lookup`]. To be called before the first [`rt_mutex_wait()`], and once.
pub(crate) fn find_rt_waiter(ksyms: &Ksyms) {
    if let Some(offsets) = btf::layout(waiter_of_source, || waiter_of_btf(ksyms)) {
        // SAFETY: The offsets are those of this kernel's `struct rt_mutex_waiter`. Nothing reads
        // them yet, by the caller's promise.
        unsafe { ffi::vigil_set_rt_waiter_offsets(&raw const offsets) };
    }
}

/// The offsets that the C part was compiled with.
fn waiter_of_source() -> Option<ffi::vigil_rt_waiter_offsets> {
    let mut offsets = MaybeUninit::<ffi::vigil_rt_waiter_offsets>::uninit();
    // SAFETY: There is room for them.
    if unsafe { ffi::vigil_rt_waiter_offsets(offsets.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: All of it was written, as the result says.
    Some(unsafe { offsets.assume_init() })
}

/// Those of the running kernel's BTF, if the members have the sizes that they are read with.
fn waiter_of_btf(ksyms: &Ksyms) -> Option<ffi::vigil_rt_waiter_offsets> {
    let btf = btf::of_kernel(ksyms)?;
    let offset = |member, size| btf.offset(b"rt_mutex_waiter", member, size);
    Some(ffi::vigil_rt_waiter_offsets {
        task: offset(b"task", size_of::<usize>())?,
        lock: offset(b"lock", size_of::<usize>())?,
        wake_state: offset(b"wake_state", size_of::<u32>())?,
    })
}

/// A wait of a task through a real-time mutex.
#[derive(Clone, Copy)]
pub(crate) struct RtMutexWait {
    /// [`LockKind::RtMutex`] or [`LockKind::RtLock`].
    pub(crate) kind: LockKind,
    /// Where the lock is.
    pub(crate) address: usize,
    /// The word of the lock that names its owner.
    pub(crate) words: LockWords,
}

/// What `task` waits for by `task_struct::pi_blocked_on`; `None`: it waits through no real-time
/// mutex, or has got it meanwhile.
///
/// # Context
///
/// Any.
pub(crate) fn rt_mutex_wait(task: &Task) -> Option<RtMutexWait> {
    let mut wait = ffi::vigil_rt_mutex_wait {
        lock: 0,
        owner: 0,
        is_rtlock: 0,
    };
    // SAFETY: A `&Task` is a valid `task_struct`, and `wait` may be written to. The function reads
    // all else, which may be gone, without faults.
    if unsafe { ffi::vigil_rt_mutex_wait(task.as_ptr(), &raw mut wait) } == 0 {
        return None;
    }
    Some(RtMutexWait {
        kind: match wait.is_rtlock {
            0 => LockKind::RtMutex,
            _ => LockKind::RtLock,
        },
        address: wait.lock,
        words: LockWords {
            owner: wait.owner,
            count: 0,
        },
    })
}

#[kernel::prelude::kunit_tests(vigil_rtmutex)]
mod tests {
    use super::*;
    use kernel::prelude::*;

    #[test]
    fn btf_has_what_the_source_has() {
        let places = |offsets: ffi::vigil_rt_waiter_offsets| {
            (offsets.task, offsets.lock, offsets.wake_state)
        };
        let source = waiter_of_source().map(places);
        // Not every kernel has BTF, or real-time mutexes.
        if let Some(btf) = waiter_of_btf(&Ksyms::resolve(true)).map(places) {
            assert!(source.is_none_or(|source| source == btf));
        }
    }

    #[test]
    fn who_runs_waits_for_no_rt_mutex() {
        assert!(rt_mutex_wait(current!()).is_none());
    }
}
