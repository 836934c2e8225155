// SPDX-License-Identifier: GPL-2.0

//! The lock that a hung task waits for, and the lock's owner.

use crate::{
    logic::blocker::{
        self,
        LockKind, //
    },
    report::hung_task::Blocker,
    sys::{
        lock_words,
        rtmutex,
        task, //
    }, //
};
use kernel::task::Task;

/// Reads which lock `task` waits for, and which task owns that lock. `None`: the task waits for no
/// lock that the kernel keeps track of, or has got it meanwhile.
///
/// The lock is read without being held: the owner may be one that has just released it.
///
/// # Context
///
/// Process context.
pub(super) fn find(task: &Task) -> Option<Blocker> {
    // A kernel without CONFIG_DETECT_HUNG_TASK_BLOCKER records waits for mutexes alone.
    let recorded = blocker::decode(task::blocker(task)).or_else(|| {
        let mutex = task::blocked_on(task);
        (mutex != 0).then_some((LockKind::Mutex, mutex))
    });
    let (kind, address, words) = match recorded {
        Some((kind, address)) => (kind, address, lock_words::read_words(kind, address)?),
        None => {
            let wait = rtmutex::rt_mutex_wait(task)?;
            (wait.kind, wait.address, wait.words)
        }
    };
    let owner = match blocker::owner_task(kind, words) {
        0 => None,
        owner => task::by_address(owner),
    };
    if matches!(kind, LockKind::RtMutex | LockKind::RtLock) {
        // The waiter is on the task's stack, and the next one may be at the same place there.
        rtmutex::rt_mutex_wait(task).filter(|wait| wait.address == address)?;
    }
    Some(Blocker {
        kind,
        address,
        words,
        owner,
    })
}
