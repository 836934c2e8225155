// SPDX-License-Identifier: GPL-2.0

//! Waits for completions, against a model of the kernel's lists: each list of waiters and of works is
//! one in the model too.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    task::{Comm, TaskId},
    task_wait::{
        Completes, CompletionWait, FoundWait, PendingWait, PendingWaits, TaskWait, TaskWaitName,
    },
};

/// The head of the list of those that wait for the end of the n-th task.
fn waiters_of(n: usize) -> usize {
    0x10_000 + n * 0x100
}

/// The head of the list of works of the n-th kworker.
fn scheduled_of(n: usize) -> usize {
    0x20_000 + n * 0x100
}

/// The entry of the n-th waiter in a list of waiters, and of its barrier in one of works.
fn entries_of(n: usize) -> (usize, usize) {
    (0x30_000 + n * 0x100, 0x30_080 + n * 0x100)
}

/// What may be before a task's barrier that is behind a kworker's work: an entry that is no barrier.
const WORK: usize = 0x40_000;

/// What a waiter does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Waits for the end of this task.
    End(usize),
    /// Has a barrier behind the current work of this kworker, or behind others' barriers there.
    Flush(usize),
    /// Has a barrier behind a work that no kworker has begun with.
    FlushQueued,
    /// Waits for a completion that is nobody's end.
    Other,
}

/// The waits of tasks that do so, as their stacks show them; the last one in a list came last.
fn waits(does: &[Does]) -> Vec<CompletionWait> {
    let neighbours_in = |n: usize, head: usize| {
        let mut list: Vec<usize> = vec![head];
        let same = (0..does.len()).filter(|&other| does[other] == does[n]);
        list.extend(same.map(|other| entries_of(other).0));
        let place = list
            .iter()
            .position(|&entry| entry == entries_of(n).0)
            .unwrap();
        [list[(place + 1) % list.len()], list[place - 1]]
    };
    // insert_wq_barrier(): in front of the others.
    let before = |n: usize, head: usize| {
        let newer = (n + 1..does.len()).find(|&other| does[other] == does[n]);
        newer.map_or(head, |other| entries_of(other).1)
    };
    (0..does.len())
        .map(|n| {
            let own_list = 0x50_000 + n * 0x100;
            match does[n] {
                Does::End(task) => CompletionWait {
                    neighbours: neighbours_in(n, waiters_of(task)),
                    ..CompletionWait::default()
                },
                Does::Flush(worker) => CompletionWait {
                    neighbours: [own_list; 2],
                    barrier: entries_of(n).1,
                    before_barrier: before(n, scheduled_of(worker)),
                },
                Does::FlushQueued => CompletionWait {
                    neighbours: [own_list; 2],
                    barrier: entries_of(n).1,
                    before_barrier: before(n, WORK),
                },
                Does::Other => CompletionWait {
                    neighbours: [own_list; 2],
                    ..CompletionWait::default()
                },
            }
        })
        .collect()
}

/// The waits that are found, by waiter.
fn found(waits: &[CompletionWait], tasks: &[(bool, bool)], room: usize) -> Vec<FoundWait> {
    let mut pending = PendingWaits::new(vec![PendingWait::default(); room]);
    pending.add(7, 7, CompletionWait::default());
    pending.clear();
    assert!(pending.is_empty());
    for (n, &wait) in waits.iter().enumerate() {
        assert_eq!(pending.is_full(), n >= room);
        pending.add(n, n as u64 + 100, wait);
    }
    assert_eq!(pending.len(), waits.len().min(room));
    for (n, &(is_kthread, is_worker)) in tasks.iter().enumerate() {
        let completes = Completes {
            waiters: waiters_of(n),
            scheduled: if is_worker { scheduled_of(n) } else { 0 },
            is_kthread,
        };
        let is_for_it = waits
            .iter()
            .take(room)
            .any(|wait| completes.is_waited_for_by(wait).is_some());
        assert_eq!(pending.completes(1000 + n, &completes), is_for_it);
        // It has been found by now.
        assert!(!pending.completes(1000 + n, &completes));
    }
    pending.follow_barriers();
    let mut all: Vec<FoundWait> = std::iter::from_fn(|| pending.found()).collect();
    all.sort_by_key(|found| found.waiter);
    all
}

proptest! {
    #![proptest_config(common::config())]

    /// The other side of each wait is found, however many others there are, and of no wait that has none.
    #[test]
    fn other_sides(
        tasks in prop::collection::vec((any::<bool>(), any::<bool>()), 1..6),
        does in prop::collection::vec(prop_oneof![
            3 => (0..6usize).prop_map(Does::End),
            3 => (0..6usize).prop_map(Does::Flush),
            1 => Just(Does::FlushQueued),
            1 => Just(Does::Other),
        ], 0..20),
    ) {
        let expected: Vec<FoundWait> = does
            .iter()
            .enumerate()
            .filter_map(|(waiter, what)| {
                let of = |wait, task| FoundWait {
                    waiter,
                    switch_count: waiter as u64 + 100,
                    wait,
                    owner: 1000 + task,
                };
                // Of more than two in a row that wait for one end, those in the middle see only each other.
                let same: Vec<usize> = (0..does.len()).filter(|&n| does[n] == *what).collect();
                let at_end = same.first() == Some(&waiter) || same.last() == Some(&waiter);
                match *what {
                    Does::End(task) if at_end => Some(of(
                        if tasks.get(task)?.0 { TaskWait::KthreadStop } else { TaskWait::Vfork },
                        task,
                    )),
                    Does::Flush(task) if tasks.get(task)?.1 => Some(of(TaskWait::Work, task)),
                    _ => None,
                }
            })
            .collect();
        let waits = waits(&does);
        prop_assert_eq!(&found(&waits, &tasks, 20), &expected);
        // With less room some are missing, and none is wrong.
        for some in found(&waits, &tasks, 5) {
            prop_assert!(expected.contains(&some));
        }
    }
}

#[test]
fn names() {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"a:b ");
    let owner = TaskId {
        comm: Comm::new(comm),
        pid: 7,
    };
    for (wait, name, duty) in [
        (TaskWait::Work, "work of a:b :7", "has to finish its work"),
        (
            TaskWait::KthreadStop,
            "kernel thread a:b :7 to stop",
            "has to stop",
        ),
        (
            TaskWait::Vfork,
            "child a:b :7 of vfork() to exec or exit",
            "has to exec or exit",
        ),
    ] {
        assert_eq!(TaskWaitName { wait, owner }.to_string(), name);
        assert_eq!(wait.duty(), duty);
    }
}
