// SPDX-License-Identifier: GPL-2.0

//! The graph for Graphviz, read back by a parser of the DOT language.

mod common;

use layout::gv::{
    parser::ast::{AttributeList, Stmt},
    DotParser,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vigil_logic::{
    blocker::LockKind,
    dot::{self, DotTask, Owner, Selection, MAX_TASKS, MAX_TEXT},
    hung_task::table::buckets_for,
    task::{Comm, TaskId},
    task_wait::TaskWait,
    wait_graph::{Node, WaitGraph, WaitsFor},
};

type Graph = WaitGraph<Vec<Node>, Vec<u32>>;
type Attributes = BTreeMap<String, String>;

/// A graph as it is drawn: boxes and ellipses with their attributes, and edges with theirs.
#[derive(Debug, Default)]
struct Drawn {
    nodes: BTreeMap<String, Attributes>,
    edges: Vec<(String, String, Attributes)>,
}

fn attributes(list: &AttributeList) -> Attributes {
    list.iter().cloned().collect()
}

fn parse(text: &str) -> Drawn {
    let parsed = DotParser::new(text)
        .process()
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut drawn = Drawn::default();
    for statement in parsed.list.list {
        match statement {
            Stmt::Node(node) => {
                let old = drawn.nodes.insert(node.id.name, attributes(&node.list));
                assert!(old.is_none(), "declared twice: {text}");
            }
            Stmt::Edge(edge) => {
                assert_eq!(edge.to.len(), 1);
                let to = edge.to[0].0.name.clone();
                drawn
                    .edges
                    .push((edge.from.name, to, attributes(&edge.list)));
            }
            Stmt::Attribute(_) => (),
            Stmt::SubGraph(_) => panic!("{text}"),
        }
    }
    for (from, to, _) in &drawn.edges {
        for end in [from, to] {
            assert!(
                drawn.nodes.contains_key(end),
                "{end} is not declared: {text}"
            );
        }
    }
    drawn
}

fn lock(address: usize, owner: usize) -> WaitsFor {
    WaitsFor::Lock {
        address,
        kind: LockKind::Mutex,
        owner,
    }
}

fn graph(tasks: &[(usize, Option<u64>, WaitsFor)]) -> Graph {
    let capacity = tasks.len().max(1);
    let mut graph = WaitGraph::new(
        vec![Node::default(); capacity],
        vec![0; buckets_for(capacity)],
    );
    for &(key, age, waits_for) in tasks {
        graph.add_task(key, age, waits_for).unwrap();
    }
    graph.resolve();
    graph
}

fn named(name: &[u8], pid: i32) -> TaskId {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name);
    TaskId {
        comm: Comm::new(comm),
        pid,
    }
}

/// What is chosen of a graph if there is room for so many tasks, and the tasks.
fn select(graph: &Graph, room: usize) -> (Selection, Vec<DotTask>) {
    let mut tasks = vec![DotTask::default(); room];
    let mut places = vec![0; graph.len()];
    let selection = dot::select(graph, &mut tasks, &mut places);
    tasks.truncate(selection.shown);
    for task in &mut tasks {
        let key = graph.nodes()[task.index as usize].key();
        task.task = named(b"t", key as i32);
    }
    (selection, tasks)
}

fn text(tasks: &[DotTask], more: u64) -> String {
    let mut text = String::new();
    dot::write_dot(&mut text, tasks, more, 12_345_678_901).unwrap();
    text
}

fn draw(graph: &Graph, room: usize) -> Drawn {
    let (_, tasks) = select(graph, room);
    parse(&text(&tasks, 0))
}

/// The node whose label begins with the name of this task.
fn of_task(drawn: &Drawn, key: usize) -> String {
    let label = format!("t:{key}\n");
    let mut nodes = drawn
        .nodes
        .iter()
        .filter(|(_, attributes)| attributes["label"].starts_with(&label));
    let (id, _) = nodes
        .next()
        .unwrap_or_else(|| panic!("no {label}: {drawn:?}"));
    assert!(nodes.next().is_none());
    id.clone()
}

#[test]
fn as_it_reads() {
    let graph = graph(&[
        (1, Some(3_000_000_000), lock(0xa0, 2)),
        (2, Some(2_500_000_000), lock(0xb0, 1)),
        (3, Some(4_000_000_000), lock(0xa0, 2)),
        (4, Some(2_000_000_000), lock(0xc0, 5)),
        (5, None, WaitsFor::Nothing),
        (6, Some(9_000_000_000), lock(0xd0, 0)),
        (7, Some(2_000_000_000), WaitsFor::Stack(77)),
    ]);
    let (selection, tasks) = select(&graph, 100);
    assert_eq!((selection.shown, selection.hung_shown), (7, 6));
    let expected = "\
digraph vigil {
\tlabel=\"who waits for whom, 12.345 s after boot\";
\trankdir=LR;
\tnode [shape=box];
\tt0 [label=\"t:6\\nhung for 9 s\"];
\te0 [label=\"mutex 00000000000000d0\\nowner not known\", shape=ellipse, style=filled, fillcolor=gold];
\tt1 [label=\"t:1\\nhung for 3 s\", color=red, style=filled, fillcolor=mistyrose];
\tt2 [label=\"t:2\\nhung for 2.5 s\", color=red, style=filled, fillcolor=mistyrose];
\tt3 [label=\"t:3\\nhung for 4 s\"];
\tt4 [label=\"t:5\\nnot hung\", style=filled, fillcolor=gold];
\tt5 [label=\"t:4\\nhung for 2 s\"];
\tt6 [label=\"t:7\\nhung for 2 s\"];
\te6 [label=\"a place in the code\", shape=ellipse, style=filled, fillcolor=gold];
\tt0 -> e0 [label=\"mutex 00000000000000d0\"];
\tt1 -> t2 [label=\"mutex 00000000000000a0\", color=red];
\tt2 -> t1 [label=\"mutex 00000000000000b0\", color=red];
\tt3 -> t2 [label=\"mutex 00000000000000a0\"];
\tt5 -> t4 [label=\"mutex 00000000000000c0\"];
\tt6 -> e6;
}
";
    assert_eq!(text(&tasks, 0), expected);
    parse(expected);
}

#[test]
fn nothing_is_hung() {
    let drawn = draw(&graph(&[]), 10);
    assert!(drawn.nodes.is_empty() && drawn.edges.is_empty());
}

/// A task that another one waits for by no lock has an edge, too. If it is not in the graph, the place is.
#[test]
fn waits_for_tasks() {
    let waits = |wait, owner, stack| WaitsFor::Task {
        wait,
        owner,
        switch_count: 0,
        stack,
    };
    let graph = graph(&[
        (1, Some(4), waits(TaskWait::Work, 2, 7)),
        (2, Some(3), lock(0xa0, 1)),
        (3, Some(2), waits(TaskWait::KthreadStop, 4, 8)),
        (4, None, WaitsFor::Nothing),
        (5, Some(1), waits(TaskWait::Vfork, 6, 9)),
    ]);
    let drawn = draw(&graph, 10);
    let edge = |key| {
        let id = of_task(&drawn, key);
        drawn.edges.iter().find(|edge| edge.0 == id).unwrap()
    };
    assert_eq!(edge(1).1, of_task(&drawn, 2));
    assert_eq!(
        (&*edge(1).2["label"], &*edge(1).2["color"]),
        ("work", "red")
    );
    assert_eq!(edge(3).1, of_task(&drawn, 4));
    assert_eq!(edge(3).2["label"], "kthread_stop()");
    assert!(!edge(3).2.contains_key("style") && !edge(3).2.contains_key("color"));
    assert_eq!(drawn.nodes[&edge(5).1]["label"], "a place in the code");
    assert!(!edge(5).2.contains_key("label"));
}

/// An owner that is only likely to hold the lock has a dashed edge.
#[test]
fn an_owner_that_is_likely() {
    let semaphore = WaitsFor::Lock {
        address: 0xa0,
        kind: LockKind::Semaphore,
        owner: 2,
    };
    let drawn = draw(
        &graph(&[(1, Some(1), semaphore), (2, None, WaitsFor::Nothing)]),
        10,
    );
    assert_eq!(drawn.edges[0].2["style"], "dashed");
    assert!(drawn.edges[0].2["label"].starts_with("semaphore "));
}

/// With room for some only, each cause is there, and what is missing is counted.
#[test]
fn more_than_fit() {
    let mut tasks = vec![(10_000, None, WaitsFor::Nothing)];
    tasks.extend((1..=500).map(|key| (key, Some(key as u64), lock(0xa0, 10_000))));
    // The youngest one has another cause.
    tasks.push((501, Some(0), lock(0xb0, 0)));
    let graph = graph(&tasks);
    let (selection, chosen) = select(&graph, 20);
    assert_eq!((selection.shown, selection.hung_shown), (20, 19));
    let drawn = parse(&text(&chosen, 501 - selection.hung_shown));
    of_task(&drawn, 10_000);
    of_task(&drawn, 501);
    // The oldest one.
    of_task(&drawn, 500);
    assert_eq!(drawn.nodes["more"]["label"], "and 482 more hung tasks");
    // Of one task, and where only an owner is missing that is not hung.
    let label = |more| {
        parse(&text(&chosen[..1], more))
            .nodes
            .get("more")
            .map(|node| node["label"].clone())
    };
    assert_eq!(label(1).as_deref(), Some("and 1 more hung task"));
    assert_eq!(label(0), None);
    let mut behind = chosen[0];
    behind.owner = Owner::Left;
    let drawn = parse(&text(&[behind], 0));
    assert_eq!(drawn.nodes["more"]["label"], "tasks that are not shown");
}

/// Names and texts of the greatest length fit.
#[test]
fn the_longest_text() {
    let age = Some(u64::MAX);
    let worst = DotTask {
        index: u32::MAX,
        task: named(b"\\\"&\x01\xff\\\\\\\\\\\\\xff\xff\xff", i32::MIN),
        age,
        waits_for: WaitsFor::Lock {
            address: usize::MAX,
            kind: LockKind::RwSemReader,
            owner: 0,
        },
        owner: Owner::None,
        is_root: false,
        in_cycle: true,
        end: None,
    };
    // Miri is slow.
    let count = if cfg!(miri) { 5 } else { MAX_TASKS };
    let tasks: Vec<DotTask> = (0..count as u32)
        .map(|place| DotTask {
            end: Some(place),
            ..worst
        })
        .collect();
    let text = text(&tasks, u64::MAX);
    assert!(text.len() <= MAX_TEXT, "{}", text.len());
    assert_eq!(parse(&text).edges.len(), count);
}

proptest! {
    #![proptest_config(common::config())]

    /// Whatever a task's name is, the label says it as the log does, and nothing else is drawn.
    #[test]
    fn names_are_quoted(name in prop::collection::vec(any::<u8>(), 0..16), pid in any::<i32>()) {
        let task = DotTask {
            task: named(&name, pid),
            age: Some(1_000_000_000),
            ..DotTask::default()
        };
        let drawn = parse(&text(&[task], 0));
        prop_assert_eq!(drawn.nodes.len(), 1);
        prop_assert!(drawn.edges.is_empty());
        // Graphviz reads this as HTML does.
        let label = drawn.nodes["t0"]["label"].replace("&amp;", "&");
        prop_assert_eq!(label, format!("{}\nhung for 1 s", task.task));
    }

    /// Of any graph that fits each hung task is drawn, with an edge to what it waits for, and each owner
    /// that one of them leads to.
    #[test]
    fn who_waits_for_whom(
        tasks in prop::collection::btree_map(1usize..20, (prop::option::of(0u64..5), 0usize..4, 0usize..22), 1..20),
        room in 1usize..40,
    ) {
        let tasks: Vec<(usize, Option<u64>, WaitsFor)> = tasks
            .into_iter()
            .map(|(key, (age, what, owner))| {
                let waits_for = match what {
                    0 => WaitsFor::Nothing,
                    1 => WaitsFor::Stack(owner as u64 % 3),
                    // A lock has one owner.
                    _ => lock(0x1000 + owner * 8, if owner < 20 { owner } else { 0 }),
                };
                (key, age, waits_for)
            })
            .collect();
        // The reference: hung tasks, and who they lead to.
        let by_key: BTreeMap<usize, _> = tasks.iter().map(|task| (task.0, task)).collect();
        let owner_of = |key: usize| match by_key[&key].2 {
            WaitsFor::Lock { owner, .. } if by_key.contains_key(&owner) => Some(owner),
            _ => None,
        };
        let mut wanted = BTreeSet::new();
        for task in tasks.iter().filter(|task| task.1.is_some()) {
            let mut at = Some(task.0);
            while let Some(key) = at.filter(|key| wanted.insert(*key)) {
                at = owner_of(key);
            }
        }
        // Other tasks are not in a graph.
        let tasks: Vec<_> = tasks
            .iter()
            .copied()
            .filter(|(key, ..)| wanted.contains(key))
            .collect();
        let drawn = draw(&graph(&tasks), room);
        let boxes = drawn.nodes.keys().filter(|id| id.starts_with('t')).count();
        prop_assert_eq!(boxes, wanted.len().min(room));
        if wanted.len() > room {
            return Ok(());
        }
        for key in wanted {
            let id = of_task(&drawn, key);
            let edges: Vec<_> = drawn.edges.iter().filter(|edge| edge.0 == id).collect();
            let is_hung = by_key[&key].1.is_some();
            match (by_key[&key].2, owner_of(key)) {
                (WaitsFor::Lock { .. }, Some(owner)) => {
                    prop_assert_eq!(edges.len(), 1);
                    prop_assert_eq!(&edges[0].1, &of_task(&drawn, owner));
                    // Red if and only if it leads back here.
                    let mut at = owner_of(key);
                    let mut seen = BTreeSet::new();
                    while let Some(next) = at.filter(|next| *next != key && seen.insert(*next)) {
                        at = owner_of(next);
                    }
                    let is_red = at == Some(key);
                    prop_assert_eq!(edges[0].2.contains_key("color"), is_red);
                    prop_assert_eq!(drawn.nodes[&id].contains_key("color"), is_red);
                }
                (WaitsFor::Lock { address, .. }, None) => {
                    prop_assert_eq!(edges.len(), 1);
                    let label = &drawn.nodes[&edges[0].1]["label"];
                    prop_assert_eq!(label, &format!("mutex {address:016x}\nowner not known"));
                }
                (WaitsFor::Stack(stack), _) if stack != 0 && is_hung => {
                    prop_assert_eq!(edges.len(), 1);
                    let label = &drawn.nodes[&edges[0].1]["label"];
                    prop_assert_eq!(label, "a place in the code");
                }
                _ => {
                    prop_assert!(edges.is_empty());
                    // What others wait behind.
                    prop_assert_eq!(&drawn.nodes[&id]["fillcolor"], "gold");
                }
            }
        }
    }
}
