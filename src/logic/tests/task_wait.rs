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

/// The waits that are found, by waiter. `is_hung`: of each waiter; one that is not is in no graph.
fn found(
    waits: &[CompletionWait],
    is_hung: &[bool],
    tasks: &[(bool, bool)],
    room: usize,
) -> Vec<FoundWait> {
    let mut pending = PendingWaits::new(vec![PendingWait::default(); room]);
    pending.add(7, 7, CompletionWait::default(), true);
    pending.clear();
    assert!(pending.is_empty() && !pending.has_new() && !pending.lacks_barriers());
    for (n, &wait) in waits.iter().enumerate().filter(|(n, _)| is_hung[*n]) {
        pending.add(n, n as u64 + 100, wait, false);
    }
    let mut all: Vec<FoundWait> = Vec::new();
    for _ in 0..8 {
        if !pending.has_new() {
            break;
        }
        pending.begin_search();
        for (n, &(is_kthread, is_worker)) in tasks.iter().enumerate() {
            let completes = Completes {
                waiters: waiters_of(n),
                scheduled: if is_worker { scheduled_of(n) } else { 0 },
                is_kthread,
            };
            let is_for_it = pending.completes(1000 + n, &completes);
            let may_be = |wait: &CompletionWait| completes.is_waited_for_by(wait).is_some();
            assert!(!is_for_it || waits.iter().any(may_be));
            // It has been found by now.
            assert!(!pending.completes(1000 + n, &completes));
        }
        pending.follow_barriers();
        all.extend(std::iter::from_fn(|| pending.found()));
        let before = pending.len();
        pending.end_search();
        assert!(pending.len() <= before && !pending.has_new());
        for (_, &wait) in waits.iter().enumerate().filter(|(n, _)| !is_hung[*n]) {
            let lacked = pending.lacks_barriers();
            let has_added = pending.add_barrier(wait);
            assert!(!has_added || lacked && pending.has_new());
            assert!(!pending.add_barrier(wait));
        }
    }
    all.sort_by_key(|found| found.waiter);
    all
}

proptest! {
    #![proptest_config(common::config())]

    /// The other side of each wait is found, however many others there are, hung or not, and of no wait
    /// that has none.
    #[test]
    fn other_sides(
        tasks in prop::collection::vec((any::<bool>(), any::<bool>()), 1..6),
        does in prop::collection::vec((prop_oneof![
            3 => (0..6usize).prop_map(Does::End),
            3 => (0..6usize).prop_map(Does::Flush),
            1 => Just(Does::FlushQueued),
            1 => Just(Does::Other),
        ], prop::bool::weighted(0.7)), 0..20),
    ) {
        let (does, is_hung): (Vec<Does>, Vec<bool>) = does.into_iter().unzip();
        let expected: Vec<FoundWait> = does
            .iter()
            .enumerate()
            .filter(|(waiter, _)| is_hung[*waiter])
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
        prop_assert_eq!(&found(&waits, &is_hung, &tasks, 40), &expected);
        // With less room some are missing, and none is wrong.
        for some in found(&waits, &is_hung, &tasks, 5) {
            prop_assert!(expected.contains(&some));
        }
    }
}

/// Two tasks flush a work. The newer one comes later, so that it is not hung yet when the older one is:
/// what is found of the older one is the same before, meanwhile and afterwards.
#[test]
fn a_newer_flusher_that_is_not_hung() {
    let older = |is_hung: &[bool], does: &[Does]| {
        let found = found(&waits(does), is_hung, &[(true, true)], 8);
        found.into_iter().find(|found| found.waiter == 0)
    };
    let flush = Does::Flush(0);
    let alone = older(&[true], &[flush]);
    assert_eq!(alone.map(|found| found.owner), Some(1000));
    for is_hung in [
        [true, false, false],
        [true, true, false],
        [true, true, true],
    ] {
        assert_eq!(older(&is_hung[..2], &[flush; 2]), alone);
        assert_eq!(older(&is_hung, &[flush; 3]), alone);
    }
}

/// A task that is found waits itself, for one that the scan has passed: the next search finds that one.
#[test]
fn what_is_added_in_a_search() {
    let mut pending = PendingWaits::new(vec![PendingWait::default(); 8]);
    let for_the_end_of = |task: usize| CompletionWait {
        neighbours: [waiters_of(task); 2],
        ..CompletionWait::default()
    };
    let ends = |task: usize| Completes {
        waiters: waiters_of(task),
        scheduled: 0,
        is_kthread: true,
    };
    // Task 1000 + 3 waits for 1000 + 1, and something hung for 1000 + 3.
    pending.add(7, 7, for_the_end_of(3), false);
    let mut found = Vec::new();
    let mut searches = 0;
    while pending.has_new() {
        searches += 1;
        pending.begin_search();
        for task in 0..5 {
            if pending.completes(1000 + task, &ends(task)) && task == 3 {
                pending.add(1003, 8, for_the_end_of(1), true);
            }
        }
        pending.follow_barriers();
        found.extend(std::iter::from_fn(|| pending.found()).map(|it| (it.waiter, it.owner)));
        pending.end_search();
    }
    assert_eq!(found, [(7, 1003), (1003, 1001)]);
    assert!(searches == 2 && pending.is_empty());
}

/// Waits that no task ends leave room for those of works and of owners, and make it when all tasks have been
/// searched.
#[test]
fn room_is_kept() {
    let mut pending = PendingWaits::new(vec![PendingWait::default(); 8]);
    let barrier = |n: usize| CompletionWait {
        neighbours: [1; 2],
        barrier: entries_of(n).1,
        before_barrier: WORK,
    };
    let add_ten = |pending: &mut PendingWaits<Vec<PendingWait>>, wait, is_owner| {
        (0..10).for_each(|n| pending.add(n, 1, wait, is_owner));
        pending.len()
    };
    assert_eq!(add_ten(&mut pending, CompletionWait::default(), false), 4);
    assert_eq!(add_ten(&mut pending, barrier(1), false), 6);
    assert!(!pending.is_full());
    assert_eq!(add_ten(&mut pending, barrier(1), true), 8);
    assert!(pending.is_full() && pending.has_new());
    assert!(!pending.add_barrier(CompletionWait {
        barrier: WORK,
        ..barrier(2)
    }));
    pending.begin_search();
    pending.end_search();
    assert!(pending.len() == 4 && !pending.has_new());
    assert_eq!(add_ten(&mut pending, CompletionWait::default(), true), 8);
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
