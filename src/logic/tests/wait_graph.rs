// SPDX-License-Identifier: GPL-2.0

//! Root causes against a reference that follows each task's owners by itself, with a list of those
//! it has met.

mod common;

use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use vigil_logic::{
    blocker::LockKind,
    hung_task::table::buckets_for,
    task_wait::TaskWait,
    wait_graph::{GraphFull, Node, Root, RootCause, RootKind, WaitGraph, WaitsFor},
};

type Graph = WaitGraph<Vec<Node>, Vec<u32>>;

/// An empty graph in storage as it may come: the buckets hold anything, and so do the nodes.
fn graph(capacity: usize) -> Graph {
    let mut dirt = WaitGraph::new(vec![Node::default(); 1], vec![0; 2]);
    dirt.add_task(64, Some(7), lock(5, 64)).unwrap();
    dirt.resolve();
    let buckets = (0..buckets_for(capacity)).map(|n| (n as u32).wrapping_mul(2_654_435_761));
    WaitGraph::new(vec![dirt.nodes()[0]; capacity], buckets.collect())
}

/// What is known of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Task {
    key: usize,
    age: Option<u64>,
    waits_for: WaitsFor,
}

fn task(key: usize, age: Option<u64>, waits_for: WaitsFor) -> Task {
    Task {
        key,
        age,
        waits_for,
    }
}

fn lock(address: usize, owner: usize) -> WaitsFor {
    WaitsFor::Lock {
        address,
        kind: LockKind::Mutex,
        owner,
    }
}

/// A graph of these tasks with room for no others.
fn resolved(tasks: &[Task]) -> Graph {
    let mut graph = graph(tasks.len());
    for task in tasks {
        graph
            .add_task(task.key, task.age, task.waits_for)
            .expect("there is room");
    }
    graph.resolve();
    graph
}

/// Where a chain ends, as the reference has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Task(usize),
    Lock(usize),
    /// In the order of the chain, the smallest key first.
    Deadlock(Vec<usize>),
    Stack(u64),
}

/// Where the chain of a task ends, and how many locks are on the way; then the keys of the chain.
fn follow(tasks: &HashMap<usize, Task>, start: usize) -> (End, u32, Vec<usize>) {
    let mut met = Vec::new();
    let mut at = tasks[&start];
    loop {
        met.push(at.key);
        let depth = met.len() as u32 - 1;
        match at.waits_for {
            WaitsFor::Lock { owner, address, .. } => match tasks.get(&owner) {
                Some(owner) if owner.key != 0 => {
                    if let Some(place) = met.iter().position(|key| *key == owner.key) {
                        let mut cycle = met[place..].to_vec();
                        let least = (0..cycle.len()).min_by_key(|n| cycle[*n]).unwrap();
                        cycle.rotate_left(least);
                        met.truncate(place + 1);
                        return (End::Deadlock(cycle), place as u32, met);
                    }
                    at = *owner;
                }
                _ => return (End::Lock(address), depth + 1, met),
            },
            WaitsFor::Task { owner, stack, .. } => match tasks.get(&owner) {
                Some(owner) => {
                    if let Some(place) = met.iter().position(|key| *key == owner.key) {
                        let mut cycle = met[place..].to_vec();
                        let least = (0..cycle.len()).min_by_key(|n| cycle[*n]).unwrap();
                        cycle.rotate_left(least);
                        met.truncate(place + 1);
                        return (End::Deadlock(cycle), place as u32, met);
                    }
                    at = *owner;
                }
                // As if nothing were known but the stack.
                None if at.age.is_some() && stack != 0 => return (End::Stack(stack), depth, met),
                None => return (End::Task(at.key), depth, met),
            },
            WaitsFor::Stack(key) if at.age.is_some() && key != 0 => {
                return (End::Stack(key), depth, met)
            }
            _ => return (End::Task(at.key), depth, met),
        }
    }
}

/// One root cause, by keys: how the order of adding must not show.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    end: End,
    /// Age, key and depth of each hung task, the oldest one first.
    hung: Vec<(u64, usize, u32)>,
}

/// The causes that have a hung task, in order.
fn reference(tasks: &[Task]) -> Vec<Expected> {
    let by_key: HashMap<usize, Task> = tasks.iter().map(|task| (task.key, *task)).collect();
    let mut causes: BTreeMap<End, Vec<(u64, usize, u32)>> = BTreeMap::new();
    for task in tasks {
        if let Some(age) = task.age {
            let (end, depth, _) = follow(&by_key, task.key);
            causes.entry(end).or_default().push((age, task.key, depth));
        }
    }
    let mut causes: Vec<Expected> = causes
        .into_iter()
        .map(|(end, mut hung)| {
            hung.sort_by_key(|(age, key, _)| (u64::MAX - age, *key));
            Expected { end, hung }
        })
        .collect();
    causes.sort_by_key(|cause| (u64::MAX - cause.hung[0].0, cause.hung[0].1));
    causes
}

/// Compares all that a resolved graph says with the reference.
fn check(graph: &Graph, tasks: &[Task]) {
    let by_key: HashMap<usize, Task> = tasks.iter().map(|task| (task.key, *task)).collect();
    let key = |index: usize| graph.node(index).unwrap().key();
    assert_eq!(graph.len(), by_key.len());
    assert_eq!(graph.nodes().len(), by_key.len());
    for (index, node) in graph.nodes().iter().enumerate() {
        let task = by_key[&node.key()];
        assert_eq!((node.age(), node.waits_for()), (task.age, task.waits_for));
        assert_eq!(graph.index_of(node.key()), Some(index));
    }
    let expected = reference(tasks);
    let causes: Vec<RootCause> = graph.causes().collect();
    assert_eq!(causes.len(), expected.len());
    let mut keys = HashSet::new();
    for (cause, expected) in causes.iter().zip(&expected) {
        let hung = &expected.hung;
        assert!(cause.key != 0 && keys.insert(cause.key));
        assert_eq!(cause.hung as usize, hung.len());
        let (age, oldest, _) = hung[0];
        assert_eq!((cause.age, key(cause.oldest)), (age, oldest));
        assert_eq!(cause.oldest_key, oldest);
        let (end, _, chain) = follow(&by_key, oldest);
        let last_waiter = match end {
            End::Task(_) => chain.iter().rev().nth(1),
            End::Lock(_) => chain.last(),
            End::Deadlock(_) | End::Stack(_) => None,
        };
        let lock = last_waiter.map_or(0, |key| match by_key[key].waits_for {
            WaitsFor::Lock { address, .. } => address,
            WaitsFor::Task { .. } => 0,
            other => panic!("{other:?}"),
        });
        assert_eq!(cause.lock, lock);
        let depth = hung.iter().map(|(_, _, depth)| *depth).max().unwrap();
        let deepest = hung.iter().find(|(_, _, other)| *other == depth).unwrap();
        assert_eq!((cause.depth, key(cause.deepest)), (depth, deepest.1));
        let members: Vec<usize> = graph.members(cause).map(key).collect();
        let wanted: Vec<usize> = hung.iter().map(|(_, key, _)| *key).collect();
        assert_eq!(members, wanted);

        let cycle: Vec<usize> = graph.cycle(cause).map(key).collect();
        let at_root = match (&expected.end, cause.root) {
            (End::Task(root), Root::Task(index)) => {
                assert_eq!(*root, key(index));
                hung.iter().filter(|(_, key, _)| key == root).count()
            }
            (End::Lock(address), Root::Lock { address: found, .. }) => {
                assert_eq!(*address, found);
                0
            }
            (End::Deadlock(members), Root::Deadlock { first, length }) => {
                assert_eq!((members[0], members.len()), (key(first), length as usize));
                assert_eq!(members, &cycle);
                let is_member = |key: &usize| members.contains(key);
                hung.iter().filter(|(_, key, _)| is_member(key)).count()
            }
            (
                End::Stack(stack),
                Root::Stack {
                    key: found,
                    first,
                    tasks,
                },
            ) => {
                assert_eq!(*stack, found);
                let at_root: Vec<_> = hung.iter().filter(|(_, _, depth)| *depth == 0).collect();
                assert_eq!(at_root[0].1, key(first));
                assert_eq!(at_root.len(), tasks as usize);
                at_root.len()
            }
            (end, root) => panic!("{end:?}, but {root:?}"),
        };
        assert_eq!(cause.behind as usize, hung.len() - at_root);
        assert_eq!(
            cycle.is_empty(),
            !matches!(cause.root, Root::Deadlock { .. })
        );
    }
    for (index, node) in graph.nodes().iter().enumerate() {
        let (end, depth, chain) = follow(&by_key, node.key());
        assert_eq!(node.depth(), depth);
        assert_eq!(graph.chain(index).map(key).collect::<Vec<_>>(), chain);
        let owner = match node.waits_for() {
            WaitsFor::Lock { owner, .. } | WaitsFor::Task { owner, .. } => Some(owner),
            _ => None,
        };
        let owner = owner.filter(|owner| *owner != 0 && by_key.contains_key(owner));
        assert_eq!(graph.owner_of(index).map(key), owner);
        let place = expected.iter().position(|expected| expected.end == end);
        assert_eq!(graph.cause_of(index), place.map(|place| causes[place]));
    }
}

/// What is the same of a graph however its tasks were added.
fn by_keys(graph: &Graph) -> Vec<(u64, RootKind, Vec<usize>, usize)> {
    let key = |index: usize| graph.node(index).unwrap().key();
    let of_cause = |cause: RootCause| {
        let members = graph.members(&cause).map(key).collect();
        (cause.key, cause.root.kind(), members, key(cause.deepest))
    };
    graph.causes().map(of_cause).collect()
}

const SLAB: usize = 0xffff_8880_0123_4000u64 as usize;

/// The key of the n-th task; addresses are as far from each other as in the kernel.
fn nth_key(n: usize) -> usize {
    SLAB.wrapping_add(n.wrapping_mul(0x2640))
}

fn kind() -> impl Strategy<Value = LockKind> {
    prop_oneof![
        Just(LockKind::Mutex),
        Just(LockKind::Semaphore),
        Just(LockKind::RwSemReader),
        Just(LockKind::RwSemWriter),
        Just(LockKind::RtMutex),
        Just(LockKind::RtLock),
    ]
}

/// Owners are among the first `tasks` tasks or have no node; few locks, so that tasks share them
/// even where they disagree on the owner.
fn waits_for(tasks: usize) -> impl Strategy<Value = WaitsFor> {
    let owner = prop_oneof![
        1 => Just(0),
        8 => (0..tasks).prop_map(nth_key),
        1 => (500..503usize).prop_map(nth_key),
    ];
    let lock = (1..12usize, kind(), owner).prop_map(|(lock, kind, owner)| WaitsFor::Lock {
        address: SLAB + lock * 24,
        kind,
        owner,
    });
    let other = prop_oneof![
        8 => (0..tasks).prop_map(nth_key),
        1 => (500..503usize).prop_map(nth_key),
    ];
    let other = (other, 0..4u64).prop_map(|(owner, stack)| WaitsFor::Task {
        wait: TaskWait::Work,
        owner,
        switch_count: 1,
        stack,
    });
    prop_oneof![
        1 => Just(WaitsFor::Nothing),
        1 => (0..4u64).prop_map(WaitsFor::Stack),
        2 => other,
        6 => lock,
    ]
}

/// Tasks with distinct keys, in any order. Few ages, so that many are equal.
fn tasks() -> impl Strategy<Value = Vec<Task>> {
    (1..40usize)
        .prop_flat_map(|len| {
            let age = prop_oneof![1 => Just(None), 3 => (0..6u64).prop_map(Some)];
            prop::collection::vec((age, waits_for(len)), len)
        })
        .prop_map(|tasks| {
            let numbered = tasks.into_iter().enumerate();
            numbered
                .map(|(n, (age, waits_for))| task(nth_key(n), age, waits_for))
                .collect()
        })
        .prop_shuffle()
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn agrees_with_the_reference(tasks in tasks()) {
        check(&resolved(&tasks), &tasks);
    }

    /// Neither the order of adding shows, nor how often.
    #[test]
    fn the_order_of_adding_does_not_show((tasks, other) in tasks().prop_flat_map(|tasks| {
        (Just(tasks.clone()), Just(tasks).prop_shuffle())
    })) {
        let graph = resolved(&tasks);
        let mut again = resolved(&other);
        prop_assert_eq!(by_keys(&graph), by_keys(&again));
        for task in &tasks {
            let index = again.index_of(task.key);
            prop_assert_eq!(again.add_task(task.key, task.age, task.waits_for).ok(), index);
        }
        again.resolve();
        again.resolve();
        prop_assert_eq!(by_keys(&graph), by_keys(&again));
        check(&again, &tasks);
    }

    /// Tasks come as owners first, then as hung tasks; a graph that was used before is as a new
    /// one.
    #[test]
    fn what_is_added_last_counts(before in tasks(), first in tasks(), last in tasks()) {
        let mut graph = graph(40);
        for task in &before {
            graph.add_task(task.key, task.age, task.waits_for).unwrap();
        }
        graph.resolve();
        graph.clear();
        prop_assert!(graph.is_empty() && graph.causes().next().is_none());
        let mut known: BTreeMap<usize, Task> = BTreeMap::new();
        for task in first.iter().chain(&last) {
            graph.add_task(task.key, task.age, task.waits_for).unwrap();
            let stays = known.get(&task.key).is_some_and(|known| known.age.is_some());
            if !stays || task.age.is_some() {
                known.insert(task.key, *task);
            }
        }
        graph.resolve();
        check(&graph, &known.into_values().collect::<Vec<_>>());
    }

    /// Only hung tasks are added at first: with the owners, all that can be reached from them is.
    #[test]
    fn owners_are_sampled(tasks in tasks(), room in 0..50usize) {
        let by_key: HashMap<usize, Task> = tasks.iter().map(|task| (task.key, *task)).collect();
        let hung: Vec<Task> = tasks.into_iter().filter(|task| task.age.is_some()).collect();
        let capacity = hung.len() + room;
        let mut graph = graph(capacity);
        let mut added = hung.clone();
        for task in &hung {
            graph.add_task(task.key, task.age, task.waits_for).unwrap();
        }
        while let Some(owner) = graph.next_unsampled_owner() {
            let owner = by_key.get(&owner).copied().unwrap_or(task(owner, None, WaitsFor::Nothing));
            prop_assert!(owner.key != 0);
            prop_assert!(added.iter().all(|task| task.key != owner.key));
            graph.add_task(owner.key, owner.age, owner.waits_for).unwrap();
            added.push(owner);
        }
        prop_assert_eq!(graph.left_out(), 0);
        let missing = added.iter().filter_map(|task| match task.waits_for {
            WaitsFor::Lock { owner, .. } | WaitsFor::Task { owner, .. } if owner != 0 => Some(owner),
            _ => None,
        });
        let missing = missing.filter(|owner| graph.index_of(*owner).is_none()).count();
        prop_assert!(missing == 0 || graph.len() == capacity);
        graph.resolve();
        check(&graph, &added);
    }

    /// Tasks beyond the capacity are counted, and the others are as if those were not there.
    #[test]
    fn a_full_graph_counts_what_it_leaves_out(
        tasks in tasks(), nodes in 0..40usize, buckets in 0..40usize,
    ) {
        let mut graph = WaitGraph::new(vec![Node::default(); nodes], vec![9; buckets]);
        let room = if buckets.is_power_of_two() { nodes.min(buckets / 2) } else { 0 };
        prop_assert_eq!(graph.capacity(), room);
        for (n, task) in tasks.iter().enumerate() {
            let result = graph.add_task(task.key, task.age, task.waits_for);
            prop_assert_eq!(result, if n < room { Ok(n) } else { Err(GraphFull) });
        }
        let fit = room.min(tasks.len());
        // Owners that are not hung are no hung tasks without a place.
        let hung_beyond = tasks[fit..].iter().filter(|task| task.age.is_some());
        prop_assert_eq!(graph.left_out() as usize, hung_beyond.count());
        if fit == room {
            prop_assert_eq!(graph.next_unsampled_owner(), None);
        }
        graph.resolve();
        check(&graph, &tasks[..fit]);
        graph.clear();
        prop_assert_eq!((graph.left_out(), graph.len()), (0, 0));
    }

    /// A task that comes to wait behind a root does not change the cause's key.
    #[test]
    fn keys_last(tasks in tasks(), behind in any::<prop::sample::Index>(), age in 0..9u64) {
        let graph = resolved(&tasks);
        let owner = tasks[behind.index(tasks.len())];
        let before = graph.cause_of(graph.index_of(owner.key).unwrap());
        let mut more = tasks.clone();
        more.push(task(nth_key(300), Some(age), lock(0x40, owner.key)));
        let graph = resolved(&more);
        let after = graph.cause_of(graph.len() - 1).unwrap();
        if let Some(before) = before {
            prop_assert_eq!((before.key, before.root.kind()), (after.key, after.root.kind()));
            prop_assert_eq!((before.hung + 1, before.behind + 1), (after.hung, after.behind));
        } else {
            prop_assert_eq!((after.hung, after.behind), (1, 1));
        }
    }
}

/// The causes of a graph that has one.
fn only_cause(graph: &Graph) -> RootCause {
    let mut causes = graph.causes();
    let cause = causes.next().expect("there is a cause");
    assert!(causes.next().is_none());
    cause
}

/// As many tasks as a busy machine may have hung; few under Miri.
const MANY: usize = if cfg!(miri) { 100 } else { 10_000 };

#[test]
fn many_tasks_behind_one() {
    let mut tasks: Vec<Task> = (1..=MANY)
        .map(|n| task(nth_key(n), Some(n as u64), lock(SLAB, nth_key(0))))
        .collect();
    tasks.push(task(nth_key(0), None, WaitsFor::Nothing));
    let graph = resolved(&tasks);
    let cause = only_cause(&graph);
    assert_eq!(cause.root, Root::Task(MANY));
    assert_eq!((cause.hung, cause.behind), (MANY as u32, MANY as u32));
    assert_eq!((cause.age, cause.depth), (MANY as u64, 1));
    assert!(graph.members(&cause).eq((0..MANY).rev()));
}

#[test]
fn a_long_chain() {
    let tasks: Vec<Task> = (0..MANY)
        .map(|n| task(nth_key(n), Some(5), lock(SLAB + n, nth_key(n + 1))))
        .chain([task(nth_key(MANY), Some(5), WaitsFor::Stack(3))])
        .collect();
    for reverse in [false, true] {
        let mut tasks = tasks.clone();
        if reverse {
            tasks.reverse();
        }
        let graph = resolved(&tasks);
        let cause = only_cause(&graph);
        let root = graph.index_of(nth_key(MANY)).unwrap();
        assert_eq!(
            cause.root,
            Root::Stack {
                key: 3,
                first: root,
                tasks: 1
            }
        );
        assert_eq!((cause.hung, cause.behind), (MANY as u32 + 1, MANY as u32));
        assert_eq!(cause.depth, MANY as u32);
        assert_eq!(Some(cause.deepest), graph.index_of(nth_key(0)));
        assert_eq!(graph.chain(cause.deepest).count(), MANY + 1);
        assert_eq!(graph.chain(cause.deepest).last(), Some(root));
    }
}

#[test]
fn a_large_ring() {
    let tasks: Vec<Task> = (0..MANY)
        .map(|n| {
            task(
                nth_key(n),
                Some(5),
                lock(SLAB + n * 8, nth_key((n + 1) % MANY)),
            )
        })
        .collect();
    let graph = resolved(&tasks);
    let cause = only_cause(&graph);
    assert_eq!(
        cause.root,
        Root::Deadlock {
            first: 0,
            length: MANY as u32
        }
    );
    assert_eq!((cause.hung, cause.behind, cause.depth), (MANY as u32, 0, 0));
    assert!(graph.cycle(&cause).eq(0..MANY));
    // The key is made of the smallest key of its tasks.
    let key_of = |tasks: &[Task]| only_cause(&resolved(tasks)).key;
    let same = [
        task(nth_key(8), Some(1), lock(SLAB, nth_key(0))),
        task(nth_key(0), Some(1), lock(SLAB + 8, nth_key(8))),
    ];
    assert_eq!(key_of(&same), cause.key);
    assert_ne!(
        key_of(&[task(nth_key(8), Some(1), lock(SLAB, nth_key(8)))]),
        cause.key
    );
}

#[test]
fn many_causes_in_order() {
    let tasks: Vec<Task> = (0..MANY)
        .map(|n| {
            let age = (n * 7919) % MANY;
            task(nth_key(n), Some(age as u64), WaitsFor::Stack(n as u64 + 1))
        })
        .collect();
    let graph = resolved(&tasks);
    let ages = graph.causes().map(|cause| cause.age);
    assert!(ages.eq((0..MANY as u64).rev()));
}

#[test]
fn a_task_that_waits_for_itself() {
    let tasks = [task(64, None, lock(8, 64)), task(128, Some(3), lock(8, 64))];
    let graph = resolved(&tasks);
    let cause = only_cause(&graph);
    assert_eq!(
        cause.root,
        Root::Deadlock {
            first: 0,
            length: 1
        }
    );
    assert_eq!((cause.hung, cause.behind, cause.depth), (1, 1, 1));
    assert!(graph.cycle(&cause).eq([0]) && graph.chain(1).eq([1, 0]));
}

/// Two tasks read a lock while its owner changed: to one it has none, to the other it is part of a
/// deadlock. These are two causes, and their keys differ.
#[test]
fn one_lock_in_two_causes() {
    let tasks = [
        task(64, Some(9), lock(SLAB, 128)),
        task(128, Some(8), lock(SLAB + 8, 64)),
        task(192, Some(7), lock(SLAB, 0)),
    ];
    let graph = resolved(&tasks);
    let kinds: Vec<RootKind> = graph.causes().map(|cause| cause.root.kind()).collect();
    assert_eq!(kinds, [RootKind::Deadlock, RootKind::Lock]);
    let keys: HashSet<u64> = graph.causes().map(|cause| cause.key).collect();
    assert_eq!(keys.len(), 2);
}

/// The same number may be the key of a task, the address of a lock and the key of a stack.
#[test]
fn one_number_for_all() {
    let all = [
        task(64, Some(9), WaitsFor::Nothing),
        task(128, Some(8), lock(64, 0)),
        task(192, Some(7), WaitsFor::Stack(64)),
        // 0 is no owner, whatever has that key.
        task(0, Some(6), lock(64, 0)),
        task(256, Some(5), lock(64, 0)),
    ];
    let graph = resolved(&all);
    check(&graph, &all);
    let mut keys: HashSet<u64> = graph.causes().map(|cause| cause.key).collect();
    assert_eq!(keys.len(), 3);
    let deadlock = resolved(&[task(64, Some(9), lock(64, 64))]);
    keys.insert(only_cause(&deadlock).key);
    assert_eq!(keys.len(), 4);
}

/// The kind of a rw-semaphore's wait is that of the oldest task that waits for it directly.
#[test]
fn the_kind_of_a_lock() {
    let waits = |kind| WaitsFor::Lock {
        address: SLAB,
        kind,
        owner: 0,
    };
    let tasks = [
        task(64, Some(3), waits(LockKind::RwSemReader)),
        task(128, Some(4), waits(LockKind::RwSemWriter)),
        task(192, Some(9), lock(8, 64)),
    ];
    let graph = resolved(&tasks);
    let cause = only_cause(&graph);
    assert_eq!(
        cause.root,
        Root::Lock {
            address: SLAB,
            kind: LockKind::RwSemWriter
        }
    );
    assert_eq!((cause.hung, cause.behind, cause.depth), (3, 3, 2));
    assert_eq!((cause.oldest, cause.deepest), (2, 2));
    assert!(graph.chain(2).eq([2, 0]));
}

/// What a cause says is not true of a graph that was resolved again: nothing goes round for ever.
#[test]
fn a_cause_of_another_graph() {
    let old = only_cause(&resolved(&[task(64, Some(3), lock(8, 64))]));
    let graph = resolved(&[
        task(64, Some(3), lock(8, 128)),
        task(128, Some(3), lock(8, 192)),
        task(192, Some(3), lock(8, 128)),
    ]);
    assert_eq!(graph.cycle(&old).count(), 0);
    assert_eq!(graph.members(&old).count(), 3);
    assert_eq!(resolved(&[]).cycle(&old).count(), 0);
}

/// The stack of a task means something only if it is hung, and known.
#[test]
fn stacks_of_hung_tasks_only() {
    let tasks = [
        task(64, Some(3), WaitsFor::Stack(5)),
        task(128, None, WaitsFor::Stack(5)),
        task(192, Some(2), lock(8, 128)),
        task(256, Some(1), WaitsFor::Stack(0)),
    ];
    let graph = resolved(&tasks);
    let roots: Vec<Root> = graph.causes().map(|cause| cause.root).collect();
    let stack = Root::Stack {
        key: 5,
        first: 0,
        tasks: 1,
    };
    assert_eq!(roots, [stack, Root::Task(1), Root::Task(3)]);
}

#[test]
fn nothing_is_known_until_resolved() {
    let mut graph = resolved(&[task(64, Some(3), lock(8, 64))]);
    let cause = only_cause(&graph);
    let is_unknown = |graph: &Graph| {
        graph.causes().next().is_none()
            && graph.cause_of(0).is_none()
            && graph.members(&cause).next().is_none()
            && graph.cycle(&cause).next().is_none()
            && graph.chain(0).next().is_none()
    };
    assert!(!is_unknown(&graph));
    // Nothing is changed by an owner that is hung, nor by what does not fit.
    graph.add_task(64, None, WaitsFor::Nothing).unwrap();
    assert_eq!(graph.add_task(128, None, lock(1, 1)), Err(GraphFull));
    assert!(!is_unknown(&graph));
    assert_eq!(only_cause(&graph), cause);
    graph.add_task(64, Some(4), WaitsFor::Nothing).unwrap();
    assert!(is_unknown(&graph));
    graph.resolve();
    assert_eq!(only_cause(&graph).root, Root::Task(0));
    graph.clear();
    assert!(is_unknown(&graph));
    assert!(graph.node(0).is_none() && graph.index_of(64).is_none());
    let mut bigger = self::graph(2);
    bigger.resolve();
    assert!(bigger.causes().next().is_none());
    bigger.add_task(64, Some(4), WaitsFor::Nothing).unwrap();
    assert!(is_unknown(&bigger));
}

/// A caller that adds none of the owners gets each task's once; an owner that changes is followed.
#[test]
fn the_search_for_owners_ends() {
    let mut graph = graph(10);
    for n in 1..8 {
        graph
            .add_task(nth_key(n), Some(1), lock(8, nth_key(100 + n / 4)))
            .unwrap();
    }
    let owners: Vec<usize> = std::iter::from_fn(|| graph.next_unsampled_owner()).collect();
    assert_eq!(owners.len(), 7);
    graph
        .add_task(nth_key(7), Some(2), lock(8, nth_key(200)))
        .unwrap();
    assert_eq!(graph.next_unsampled_owner(), Some(nth_key(200)));
    assert_eq!(graph.next_unsampled_owner(), None);
    // Ever new owners: as many as fit.
    let mut next = 300;
    while let Some(owner) = graph.next_unsampled_owner() {
        graph.add_task(owner, None, lock(8, nth_key(next))).unwrap();
        next += 1;
    }
    graph
        .add_task(nth_key(299), None, lock(8, nth_key(300)))
        .unwrap();
    while let Some(owner) = graph.next_unsampled_owner() {
        next += 1;
        graph.add_task(owner, None, lock(8, nth_key(next))).unwrap();
    }
    assert_eq!((graph.len(), graph.left_out()), (10, 0));
    graph.clear();
    graph.add_task(64, Some(1), lock(8, 128)).unwrap();
    assert_eq!(graph.next_unsampled_owner(), Some(128));
}

/// A wait for a task that becomes known later is as one that was known at first; a lock stays.
#[test]
fn a_task_that_is_waited_for() {
    let waits_for_task = |wait, owner, stack| WaitsFor::Task {
        wait,
        owner,
        switch_count: 7,
        stack,
    };
    let mut graph = graph(10);
    let holder = graph.add_task(64, Some(9), WaitsFor::Stack(5)).unwrap();
    let worker = graph.add_task(128, Some(8), lock(SLAB, 64)).unwrap();
    graph.resolve();
    assert_eq!(graph.causes().next().unwrap().root.kind(), RootKind::Stack);
    graph.set_waits_for_task(holder, TaskWait::Work, 128, 7);
    graph.set_waits_for_task(worker, TaskWait::Work, 64, 7);
    assert!(graph.causes().next().is_none());
    graph.resolve();
    let node = |index: usize| graph.node(index).unwrap().waits_for();
    assert_eq!(node(holder), waits_for_task(TaskWait::Work, 128, 5));
    assert_eq!(node(worker), lock(SLAB, 64));
    let cause = only_cause(&graph);
    assert_eq!(
        cause.root,
        Root::Deadlock {
            first: holder,
            length: 2
        }
    );
    assert!(graph.cycle(&cause).eq([holder, worker]));
    // A kworker that flushes its own work.
    let mut graph = self::graph(10);
    let own = graph.add_task(64, Some(9), WaitsFor::Stack(5)).unwrap();
    graph.set_waits_for_task(own, TaskWait::Work, 64, 7);
    graph.resolve();
    assert_eq!(
        only_cause(&graph).root,
        Root::Deadlock {
            first: own,
            length: 1
        }
    );
    // One that is not hung, and waits for one that is.
    let mut graph = self::graph(10);
    let hung = graph.add_task(64, Some(9), lock(SLAB, 128)).unwrap();
    let parent = graph.add_task(128, None, WaitsFor::Nothing).unwrap();
    let child = graph.add_task(192, Some(3), WaitsFor::Stack(6)).unwrap();
    graph.set_waits_for_task(parent, TaskWait::Vfork, 192, 7);
    assert_eq!(graph.next_unsampled_owner(), None);
    graph.resolve();
    let cause = only_cause(&graph);
    assert!(matches!(cause.root, Root::Stack { first, .. } if first == child));
    assert!(graph.chain(hung).eq([hung, parent, child]));
    // The last one before the root waits for no lock.
    assert_eq!((cause.behind, cause.depth, cause.lock), (1, 2, 0));
}
