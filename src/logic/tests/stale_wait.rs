// SPDX-License-Identifier: GPL-2.0

//! Waits that are not any more what they were when the graph was built.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    blocker::LockKind,
    stale_wait::{check, check_task, LockWait, Stale, StaleNote},
    task::{Comm, TaskId},
};

proptest! {
    #![proptest_config(common::config())]

    /// By what a reader of the line wants to know: does the task wait, for this lock, and who has that?
    #[test]
    fn stale_or_not(
        (lock, owner) in (1..3_usize, 0..3_usize),
        (lock_now, owner_now) in (0..3_usize, 0..3_usize),
        is_asleep in any::<bool>(),
        exited in any::<bool>(),
    ) {
        let exited = exited && owner != 0;
        let was = LockWait { lock, owner };
        let is = LockWait { lock: lock_now, owner: owner_now };
        let waits_still = lock_now == lock;
        let other_owner = owner_now != 0 && owner_now != owner;
        let reasons = [
            (!waits_still && !is_asleep, Stale::Awake),
            (!waits_still && is_asleep, Stale::OtherWait),
            (waits_still && other_owner, Stale::OwnerChanged),
            (waits_still && !other_owner && exited, Stale::OwnerExited),
            (waits_still && owner != 0 && owner_now == 0 && !exited, Stale::NoOwner),
        ];
        let expected = reasons.iter().find(|(is_so, _)| *is_so).map(|(_, stale)| *stale);
        prop_assert!(reasons.iter().filter(|(is_so, _)| *is_so).count() <= 1);
        prop_assert_eq!(check(was, is, is_asleep, exited), expected);
    }
}

/// A task that has not run waits for what it did; the other one may be gone for a moment before.
#[test]
fn waits_for_tasks() {
    for (same, asleep, exited, expected) in [
        (true, true, false, None),
        (true, true, true, Some(Stale::OwnerExited)),
        (false, true, false, Some(Stale::OtherWait)),
        (false, true, true, Some(Stale::OtherWait)),
        (true, false, true, Some(Stale::Awake)),
        (false, false, false, Some(Stale::Awake)),
    ] {
        assert_eq!(check_task(same, asleep, exited), expected);
    }
}

#[test]
fn notes() {
    let mut comm = [0; 16];
    comm[..2].copy_from_slice(b"ls");
    let task = TaskId {
        comm: Comm::new(comm),
        pid: 7,
    };
    let note = |stale, kind, owner| {
        let kind = Some(kind);
        StaleNote { stale, kind, owner }.to_string()
    };
    for (stale, owner, expected) in [
        (Stale::Awake, None, " (stale: it has woken up)"),
        (
            Stale::OtherWait,
            Some(task),
            " (stale: it waits for something else now)",
        ),
        (
            Stale::OwnerExited,
            Some(task),
            " (stale: the owner has exited)",
        ),
        (Stale::NoOwner, None, " (stale: no owner is known now)"),
        (
            Stale::OwnerChanged,
            Some(task),
            " (stale: held by ls:7 now)",
        ),
        (Stale::OwnerChanged, None, " (stale: no owner is known now)"),
    ] {
        assert_eq!(note(stale, LockKind::Mutex, owner), expected);
    }
    assert_eq!(
        note(Stale::OwnerChanged, LockKind::Semaphore, Some(task)),
        " (stale: likely held by ls:7 now)"
    );
}
