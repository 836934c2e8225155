// SPDX-License-Identifier: GPL-2.0

//! Who waits for whom, as a graph for Graphviz: `vigil/waitgraph.dot` in debugfs.
//!
//! [`select`] chooses the tasks of a [`WaitGraph`] that are shown, no more than there is room for, and
//! [`write_dot`] writes them in the DOT language:
//!
//! - a box for each task, with its age if it is hung; an edge to the owner of the lock that it waits for,
//!   or to the task that it waits for by no lock;
//! - an ellipse for a lock whose owner is not known, and for a place in the code that several tasks wait
//!   in;
//! - filled: what tasks wait behind in the end ([`Root`]); red: deadlocks.

use super::{
    blocker::LockName,
    fmt::Secs,
    task::TaskId,
    wait_graph::{
        Node,
        Root,
        WaitGraph,
        WaitsFor, //
    }, //
};
use core::{
    fmt::{
        self,
        Write, //
    },
    ops::DerefMut, //
};

/// How many tasks are shown at most.
pub const MAX_TASKS: usize = 1000;

/// The longest text in bytes: what each task takes at most, and the rest.
pub const MAX_TEXT: usize = MAX_TASKS * 512 + 1024;

/// The owner of the lock that a task waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// It is not known, or the task waits for no lock.
    #[default]
    None,
    /// The task with this place among those that are shown.
    Shown(u32),
    /// A task that is not shown.
    Left,
}

/// A task that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DotTask {
    /// The index of its node in the graph.
    pub index: u32,
    /// Its name and PID, which the caller adds.
    pub task: TaskId,
    /// For how long it has been blocked, in nanoseconds; `None`: it is not hung.
    pub age: Option<u64>,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// The owner of that.
    pub owner: Owner,
    /// It is what tasks wait behind in the end, or part of a deadlock.
    pub is_root: bool,
    /// It is part of a deadlock.
    pub in_cycle: bool,
    /// The place of the first task that waits for the same lock without an owner, or in the same place
    /// of the code, if it does so.
    pub end: Option<u32>,
}

/// What [`select`] has chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// How many tasks are shown.
    pub shown: usize,
    /// How many hung tasks are shown.
    pub hung_shown: u64,
}

/// Tasks are chosen one after the other, each once.
struct Selector<'a, N, B> {
    graph: &'a WaitGraph<N, B>,
    chosen: &'a mut [DotTask],
    /// For each node of the graph its place among the chosen tasks and one; 0: it is not chosen.
    places: &'a mut [u32],
    selection: Selection,
}

impl<N, B> Selector<'_, N, B>
where
    N: DerefMut<Target = [Node]>,
    B: DerefMut<Target = [u32]>,
{
    fn choose(&mut self, index: usize) {
        let (Some(node), Some(place)) = (self.graph.node(index), self.places.get_mut(index)) else {
            return;
        };
        let shown = self.selection.shown;
        let Some(chosen) = self.chosen.get_mut(shown).filter(|_| *place == 0) else {
            return;
        };
        let is_hung = node.age().is_some();
        *chosen = DotTask {
            index: index as u32,
            age: node.age(),
            waits_for: node.waits_for(),
            ..DotTask::default()
        };
        self.selection.shown = shown.wrapping_add(1);
        self.selection.hung_shown = self.selection.hung_shown.wrapping_add(u64::from(is_hung));
        *place = self.selection.shown as u32;
    }

    /// The place of a task among the chosen ones.
    fn place(&self, index: usize) -> Option<u32> {
        self.places.get(index)?.checked_sub(1)
    }

    /// Fills in how the chosen tasks belong together.
    fn connect(&mut self) {
        for place in 0..self.selection.shown {
            let Some(&DotTask { index, .. }) = self.chosen.get(place) else {
                return;
            };
            let index = index as usize;
            let owner = self.graph.owner_of(index);
            let depth = self.graph.node(index).map_or(0, Node::depth);
            let in_cycle = owner.is_some() && depth == 0;
            let owner = owner.map_or(Owner::None, |owner| {
                self.place(owner).map_or(Owner::Left, Owner::Shown)
            });
            let end = self.graph.end_of(index).and_then(|end| self.place(end));
            if let Some(task) = self.chosen.get_mut(place) {
                task.owner = owner;
                task.in_cycle = in_cycle;
                task.is_root = depth == 0 && end.is_none();
                task.end = end;
            }
        }
    }
}

/// Chooses the tasks of a resolved graph that are shown: of each root cause first what its oldest task
/// waits behind, then the others, the oldest ones first. `places`: at least as long as the graph has
/// tasks, all 0.
pub fn select<N, B>(
    graph: &WaitGraph<N, B>,
    chosen: &mut [DotTask],
    places: &mut [u32],
) -> Selection
where
    N: DerefMut<Target = [Node]>,
    B: DerefMut<Target = [u32]>,
{
    let mut selector = Selector {
        graph,
        chosen,
        places,
        selection: Selection::default(),
    };
    for cause in graph.causes() {
        match cause.root {
            Root::Deadlock { .. } => graph.cycle(&cause).for_each(|task| selector.choose(task)),
            Root::Task(task) | Root::Stack { first: task, .. } => selector.choose(task),
            Root::Lock { .. } => (),
        }
        // Tasks that wait for the same refer to the place of one of them.
        let last = graph.chain(cause.oldest).last();
        if let Some(end) = last.and_then(|last| graph.end_of(last)) {
            selector.choose(end);
        }
        graph
            .chain(cause.oldest)
            .for_each(|task| selector.choose(task));
    }
    for cause in graph.causes() {
        for member in graph.members(&cause) {
            if selector.selection.shown >= selector.chosen.len() {
                break;
            }
            graph.chain(member).for_each(|task| selector.choose(task));
        }
    }
    selector.connect();
    selector.selection
}

/// Writes text into a string of the DOT language, in which Graphviz looks for entities of HTML too.
struct Quoted<'a>(&'a mut dyn Write);

impl Write for Quoted<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.write_str("\\\"")?,
                '\\' => self.0.write_str("\\\\")?,
                '&' => self.0.write_str("&amp;")?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Writes a graph of the chosen tasks. `more`: how many hung tasks are not shown. `now`: in nanoseconds
/// on the clock that stamps the log.
pub fn write_dot(out: &mut dyn Write, tasks: &[DotTask], more: u64, now: u64) -> fmt::Result {
    let secs = Secs(now / MILLI * MILLI);
    writeln!(out, "digraph vigil {{")?;
    writeln!(out, "\tlabel=\"who waits for whom, {secs} s after boot\";")?;
    writeln!(out, "\trankdir=LR;")?;
    writeln!(out, "\tnode [shape=box];")?;
    for (place, task) in (0..u32::MAX).zip(tasks) {
        write_task(out, place, task)?;
    }
    let is_left = |task: &DotTask| task.owner == Owner::Left;
    if more != 0 || tasks.iter().any(is_left) {
        match more {
            // Owners that are not hung.
            0 => write!(out, "\tmore [label=\"tasks that are not shown\"")?,
            1 => write!(out, "\tmore [label=\"and 1 more hung task\"")?,
            more => write!(out, "\tmore [label=\"and {more} more hung tasks\"")?,
        }
        writeln!(out, ", shape=plaintext];")?;
    }
    for (place, task) in (0..u32::MAX).zip(tasks) {
        write_edge(out, place, task)?;
    }
    writeln!(out, "}}")
}

/// Nanoseconds in a millisecond.
const MILLI: u64 = 1_000_000;

#[inline(never)]
fn write_task(out: &mut dyn Write, place: u32, task: &DotTask) -> fmt::Result {
    write!(out, "\tt{place} [label=\"")?;
    write!(Quoted(out), "{}", task.task)?;
    match task.age {
        Some(age) => write!(out, "\\nhung for {} s\"", Secs(age / MILLI * MILLI))?,
        None => write!(out, "\\nnot hung\"")?,
    }
    if task.in_cycle {
        write!(out, ", color=red, style=filled, fillcolor=mistyrose")?;
    } else if task.is_root {
        write!(out, ", style=filled, fillcolor=gold")?;
    }
    writeln!(out, "];")?;
    if task.end != Some(place) {
        return Ok(());
    }
    // The first of those that wait for the same.
    match task.waits_for {
        WaitsFor::Lock { address, kind, .. } => {
            let lock = LockName { kind, address };
            writeln!(
                out,
                "\te{place} [label=\"{lock}\\nowner not known\", shape=ellipse, style=filled, fillcolor=gold];"
            )
        }
        WaitsFor::Stack(_) | WaitsFor::Task { .. } => writeln!(
            out,
            "\te{place} [label=\"a place in the code\", shape=ellipse, style=filled, fillcolor=gold];"
        ),
        WaitsFor::Nothing => Ok(()),
    }
}

#[inline(never)]
fn write_edge(out: &mut dyn Write, place: u32, task: &DotTask) -> fmt::Result {
    match (task.owner, task.end) {
        (Owner::Shown(owner), _) => write!(out, "\tt{place} -> t{owner}")?,
        (Owner::Left, _) => write!(out, "\tt{place} -> more")?,
        (Owner::None, Some(end)) => write!(out, "\tt{place} -> e{end}")?,
        (Owner::None, None) => return Ok(()),
    }
    let names_its_owner = match task.waits_for {
        WaitsFor::Lock { address, kind, .. } => {
            write!(out, " [label=\"{}\"", LockName { kind, address })?;
            kind.names_its_owner()
        }
        WaitsFor::Task { wait, .. } if task.owner != Owner::None => {
            write!(out, " [label=\"{}\"", wait.name())?;
            true
        }
        _ => return writeln!(out, ";"),
    };
    if task.in_cycle {
        write!(out, ", color=red")?;
    }
    if task.owner != Owner::None && !names_its_owner {
        // Its owner is only likely to hold it.
        write!(out, ", style=dashed")?;
    }
    writeln!(out, "];")
}
