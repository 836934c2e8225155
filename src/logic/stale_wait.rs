// SPDX-License-Identifier: GPL-2.0

//! Whether a wait is as the graph of the hung tasks has it, when it is read again before it is printed.
//!
//! The graph is built by reading one task after the other, and printing takes as long as the console
//! does: a lock may have another owner by then.

use super::{
    blocker::LockKind,
    messages::{
        STALE_AWAKE,
        STALE_NO_OWNER,
        STALE_OTHER_WAIT,
        STALE_OWNER_EXITED, //
    },
    task::TaskId, //
};
use core::fmt;

/// A task's wait for a lock. Tasks are given by their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LockWait {
    /// Where the lock is; 0: the task waits for no lock.
    pub lock: usize,
    /// The lock's owner; 0: it has none, or none that is alive.
    pub owner: usize,
}

/// Why a wait is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The task has woken up.
    Awake,
    /// The task waits for something else.
    OtherWait,
    /// The owner has exited, with the lock or without.
    OwnerExited,
    /// The lock has no owner any more.
    NoOwner,
    /// The lock has another owner.
    OwnerChanged,
}

/// Returns why a wait for a lock is not any more what it was; `None`: it is. `was` is what the graph
/// has, `is` what was read now. `is_asleep`: the task sleeps. `owner_exited`: the owner that the graph
/// has is one that has exited.
pub fn check(was: LockWait, is: LockWait, is_asleep: bool, owner_exited: bool) -> Option<Stale> {
    if is.lock != was.lock {
        return Some(if is_asleep {
            Stale::OtherWait
        } else {
            Stale::Awake
        });
    }
    match is.owner {
        // A lock keeps the name of an owner that exits with it, until the task is reaped.
        owner if owner == was.owner => owner_exited.then_some(Stale::OwnerExited),
        0 if owner_exited => Some(Stale::OwnerExited),
        0 => Some(Stale::NoOwner),
        _ => Some(Stale::OwnerChanged),
    }
}

/// As [`check`], of a wait for another task by no lock. `is_same_sleep`: the task has not run since
/// the graph was built, so that it waits as it did.
pub fn check_task(is_same_sleep: bool, is_asleep: bool, owner_exited: bool) -> Option<Stale> {
    if !is_asleep {
        Some(Stale::Awake)
    } else if !is_same_sleep {
        Some(Stale::OtherWait)
    } else {
        owner_exited.then_some(Stale::OwnerExited)
    }
}

/// What is printed of a wait that is stale, behind the owner that the graph has.
pub struct StaleNote {
    /// Why it is.
    pub stale: Stale,
    /// The lock's kind; `None`: it is no wait for a lock.
    pub kind: Option<LockKind>,
    /// The lock's owner now.
    pub owner: Option<TaskId>,
}

impl fmt::Display for StaleNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match (self.stale, self.kind.zip(self.owner)) {
            (Stale::Awake, _) => STALE_AWAKE,
            (Stale::OtherWait, _) => STALE_OTHER_WAIT,
            (Stale::OwnerExited, _) => STALE_OWNER_EXITED,
            (Stale::OwnerChanged, Some((kind, owner))) => {
                return write!(f, " (stale: {} {owner} now)", kind.held_by());
            }
            (Stale::NoOwner | Stale::OwnerChanged, _) => STALE_NO_OWNER,
        };
        write!(f, " ({reason})")
    }
}
