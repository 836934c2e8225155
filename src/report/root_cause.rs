// SPDX-License-Identifier: GPL-2.0

//! The lines of a report about a root cause: what hung tasks wait behind in the end, and who they are.
//!
//! Each cause has the lines of one hung task as mainline prints them ([`super::hung_task`]), of all
//! tasks for a deadlock, so that programs which parse mainline's reports parse these. The other tasks
//! have a line each, and are only counted from [`MAX_MEMBERS`] on.

use super::{
    hung_task::Blocker,
    wait, //
};
use crate::{
    incident,
    logic::{
        blocker::{
            HeldLock,
            LockName, //
        },
        culprit::{
            Culprit,
            CulpritKind, //
        },
        fmt::Secs,
        messages::{
            CauseMember,
            CauseMembersLeft,
            Deadlock,
            DeadlockGoesOn,
            LikelyDeadlock,
            LikelyTaskDeadlock,
            RootDeadlock,
            RootIgnored,
            RootLock,
            RootStack,
            RootTask,
            TaskDeadlock,
            TaskDeadlockGoesOn, //
        },
        stale_wait::{
            self,
            LockWait,
            StaleNote, //
        },
        task::{
            TaskId,
            Whereabouts, //
        },
        task_wait::{
            TaskWait,
            TaskWaitName, //
        },
        wait_graph::{
            Node,
            Root,
            RootCause,
            WaitGraph,
            WaitsFor, //
        }, //
    },
    sys::{
        buffer::Buffer,
        kallsyms::DataSymbol,
        printk,
        task, //
    }, //
};
use core::fmt;
use kernel::{
    sync::aref::ARef,
    task::Task, //
};

/// How many hung tasks of a cause have a line of their own.
const MAX_MEMBERS: u32 = 10;

/// How many tasks of a deadlock have a line that says what they hold and what they wait for.
const MAX_DEADLOCK_LINES: u32 = 50;

/// The graph of hung tasks as it is at the time of a report.
#[derive(Clone, Copy)]
pub(crate) struct Snapshot<'a> {
    /// The graph, resolved.
    pub(crate) graph: &'a WaitGraph<Buffer<Node>, Buffer<u32>>,
    /// The task of each node.
    pub(crate) tasks: &'a [Option<ARef<Task>>],
}

impl<'a> Snapshot<'a> {
    /// The task with this index.
    pub(crate) fn task(&self, index: usize) -> Option<&'a Task> {
        self.tasks.get(index)?.as_deref()
    }

    /// Its name and PID.
    pub(crate) fn id(&self, index: usize) -> TaskId {
        self.task(index).map_or_else(TaskId::default, task::id)
    }

    /// Whether it is one of the hung tasks.
    pub(crate) fn is_hung(&self, index: usize) -> bool {
        let node = self.graph.node(index);
        node.is_some_and(|node| node.age().is_some())
    }

    /// The lock that it waits for.
    fn waits(&self, index: usize) -> Option<LockName> {
        match self.graph.node(index)?.waits_for() {
            WaitsFor::Lock { address, kind, .. } => Some(LockName { kind, address }),
            WaitsFor::Nothing | WaitsFor::Task { .. } | WaitsFor::Stack(_) => None,
        }
    }

    /// How it waits for another task by no lock, and for which one.
    pub(crate) fn waits_for_task(&self, index: usize) -> Option<(TaskWait, usize)> {
        match self.graph.node(index)?.waits_for() {
            WaitsFor::Task { wait, .. } => Some((wait, self.graph.owner_of(index)?)),
            WaitsFor::Nothing | WaitsFor::Lock { .. } | WaitsFor::Stack(_) => None,
        }
    }

    /// What it has, or has to do, for the tasks that wait for the same as the task with this index, which
    /// waits for it.
    fn duty(&self, waiter: usize) -> Option<Duty> {
        match self.waits_for_task(waiter) {
            Some((wait, _)) => Some(Duty::Task(wait)),
            None => self.waits(waiter).map(|lock| Duty::Lock(Lock::held(lock))),
        }
    }

    /// What it waits for, with the task that has to end that.
    fn awaited(&self, index: usize) -> Option<Awaited> {
        let owner = self.id(self.graph.owner_of(index)?);
        match self.waits_for_task(index) {
            Some((wait, _)) => Some(Awaited::Task(TaskWaitName { wait, owner })),
            None => {
                let lock = Lock::waited_for(self.waits(index)?);
                Some(Awaited::Lock(lock, owner))
            }
        }
    }

    /// Whether the wait of a task for a lock is stale, by `read`, which reads what a task waits for.
    pub(crate) fn stale(
        &self,
        index: usize,
        read: impl Fn(&Task) -> Option<Blocker>,
    ) -> Option<StaleNote> {
        let task = self.task(index)?;
        let owner_exited = || {
            let owner = self.graph.owner_of(index);
            owner
                .and_then(|owner| self.task(owner))
                .is_some_and(task::has_exited)
        };
        let (address, kind, owner) = match self.graph.node(index)?.waits_for() {
            WaitsFor::Lock {
                address,
                kind,
                owner,
            } => (address, kind, owner),
            WaitsFor::Task { switch_count, .. } => {
                let sample = task::sample(task);
                let is_same_sleep = sample.switch_count == switch_count;
                return Some(StaleNote {
                    stale: stale_wait::check_task(
                        is_same_sleep,
                        sample.is_asleep(),
                        owner_exited(),
                    )?,
                    kind: None,
                    owner: None,
                });
            }
            WaitsFor::Nothing | WaitsFor::Stack(_) => return None,
        };
        let blocker = read(task);
        let was = LockWait {
            lock: address,
            owner,
        };
        let is = blocker
            .as_ref()
            .map_or_else(LockWait::default, |blocker| LockWait {
                lock: blocker.address,
                owner: blocker.owner_key(task),
            });
        let is_asleep = task::is_asleep(task);
        Some(StaleNote {
            stale: stale_wait::check(was, is, is_asleep, owner_exited())?,
            kind: Some(kind),
            owner: blocker.and_then(|blocker| blocker.owner.as_deref().map(task::id)),
        })
    }

    /// Of the tasks on the way from a cause's oldest task to its root the last one that waits for a
    /// lock, or for another task.
    fn last_waiter(&self, cause: &RootCause) -> usize {
        let mut chain = self.graph.chain(cause.oldest);
        chain
            .by_ref()
            .take_while(|&index| {
                self.waits(index).is_some() || self.waits_for_task(index).is_some()
            })
            .last()
            .unwrap_or(cause.oldest)
    }

    /// The hung task that stands for a cause: of those on the way from its oldest task to the root the
    /// last one.
    pub(crate) fn representative(&self, cause: &RootCause) -> usize {
        let chain = self.graph.chain(cause.oldest);
        chain.fold(
            cause.oldest,
            |last, index| {
                if self.is_hung(index) {
                    index
                } else {
                    last
                }
            },
        )
    }
}

/// A lock in a line of vigil's own: with its symbol, if it has one.
#[derive(Clone, Copy)]
struct Lock {
    name: LockName,
    /// Whether it is named as one that a task has.
    is_held: bool,
}

impl Lock {
    fn held(name: LockName) -> Self {
        Self {
            name,
            is_held: true,
        }
    }

    fn waited_for(name: LockName) -> Self {
        Self {
            name,
            is_held: false,
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_held {
            HeldLock(self.name).fmt(f)?;
        } else {
            self.name.fmt(f)?;
        }
        DataSymbol::at(self.name.address).fmt(f)
    }
}

/// What a task of a deadlock has, or has to do, for the one that waits for it.
#[derive(Clone, Copy)]
enum Duty {
    Lock(Lock),
    Task(TaskWait),
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(lock) => write!(f, "holds {lock}"),
            Self::Task(wait) => f.write_str(wait.duty()),
        }
    }
}

/// What a task of a deadlock waits for, with the next one.
enum Awaited {
    Lock(Lock, TaskId),
    Task(TaskWaitName),
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(lock, owner) => {
                write!(f, "{lock}, {} {owner}", lock.name.kind.held_by())
            }
            Self::Task(wait) => wait.fmt(f),
        }
    }
}

/// What a hung task waits for, behind its age in a line.
struct Waits<'a> {
    snapshot: Snapshot<'a>,
    index: usize,
    stale: IfStale,
}

impl fmt::Display for Waits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((wait, owner)) = self.snapshot.waits_for_task(self.index) {
            let owner = self.snapshot.id(owner);
            write!(f, ", for {}", TaskWaitName { wait, owner })?;
            return self.stale.fmt(f);
        }
        let Some(lock) = self.snapshot.waits(self.index) else {
            return Ok(());
        };
        write!(f, ", for {}", Lock::waited_for(lock))?;
        if let Some(owner) = self.snapshot.graph.owner_of(self.index) {
            let held_by = lock.kind.held_by();
            write!(f, " {held_by} {}", self.snapshot.id(owner))?;
        }
        self.stale.fmt(f)
    }
}

/// What a line says of a wait that is stale; of one that is not, nothing.
struct IfStale(Option<StaleNote>);

impl fmt::Display for IfStale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |note| note.fmt(f))
    }
}

/// What the tasks of a cause wait behind, for the record; `None` if that is stale, by `read`, which
/// reads what a task waits for.
///
/// # Context
///
/// Process context.
#[inline(never)]
pub(crate) fn culprit(
    snapshot: Snapshot<'_>,
    cause: &RootCause,
    read: impl Fn(&Task) -> Option<Blocker>,
) -> Option<Culprit> {
    if snapshot.stale(snapshot.last_waiter(cause), read).is_some() {
        return None;
    }
    let (kind, index, count, address) = match cause.root {
        Root::Task(root) => (CulpritKind::Task, Some(root), cause.behind, cause.lock),
        // A task that waits for no known lock by itself.
        Root::Stack {
            first, tasks: 1, ..
        } => (CulpritKind::Task, Some(first), cause.behind, cause.lock),
        Root::Stack { first, tasks, .. } => (CulpritKind::SamePlace, Some(first), tasks, 0),
        Root::Lock { address, .. } => (CulpritKind::Lock, None, cause.behind, address),
        Root::Deadlock { first, length } => {
            let lock = snapshot.waits(first).map_or(0, |lock| lock.address);
            (CulpritKind::Deadlock, Some(first), length, lock)
        }
    };
    let task = index.and_then(|index| snapshot.task(index));
    Some(Culprit {
        kind,
        // With a CPU it would be a deadlock of CPUs.
        cpu: task
            .filter(|_| kind != CulpritKind::Deadlock)
            .map(task::cpu),
        task: task.map(task::id),
        count,
        depth: cause.depth,
        address,
        spins_for: 0,
        place: task.map_or(0, wait::place_of),
        age: cause.age,
        whereabouts: task.map_or(Whereabouts::NONE, incident::whereabouts),
    })
}

/// Prints who holds what and waits for what in a deadlock; nothing for other causes.
///
/// # Context
///
/// Process context.
pub(crate) fn print_deadlock(snapshot: Snapshot<'_>, cause: &RootCause) {
    let Root::Deadlock { length, .. } = cause.root else {
        return;
    };
    // What a task holds is what the one before it waits for.
    let Some(mut before) = snapshot.graph.cycle(cause).last() else {
        return;
    };
    let is_certain = snapshot
        .graph
        .cycle(cause)
        .filter_map(|index| snapshot.waits(index))
        .all(|lock| lock.kind.names_its_owner());
    let mut printed: u32 = 0;
    for index in snapshot.graph.cycle(cause) {
        let (Some(duty), Some(awaited)) = (snapshot.duty(before), snapshot.awaited(index)) else {
            return;
        };
        if printed == MAX_DEADLOCK_LINES {
            let count = length.saturating_sub(printed);
            printk::err(format_args!("{}", CauseMembersLeft { count }));
            return;
        }
        let tasks = (printed == 0).then_some(length);
        print_deadlock_line(tasks, is_certain, snapshot.id(index), duty, awaited);
        printed = printed.saturating_add(1);
        before = index;
    }
}

/// Prints the line of one task of a deadlock. `tasks`: how many it has, for the first line.
// Not part of the caller's stack frame.
#[inline(never)]
fn print_deadlock_line(
    tasks: Option<u32>,
    is_certain: bool,
    task: TaskId,
    has: Duty,
    waits: Awaited,
) {
    let (holds, waits, owner) = match (has, waits) {
        (Duty::Lock(holds), Awaited::Lock(waits, owner)) => (holds, waits, owner),
        (has, waits) => {
            match (tasks, is_certain) {
                (Some(tasks), true) => printk::err(format_args!(
                    "{}",
                    TaskDeadlock {
                        tasks,
                        task,
                        has,
                        waits,
                    }
                )),
                (Some(tasks), false) => printk::err(format_args!(
                    "{}",
                    LikelyTaskDeadlock {
                        tasks,
                        task,
                        has,
                        waits,
                    }
                )),
                (None, _) => {
                    printk::err(format_args!("{}", TaskDeadlockGoesOn { task, has, waits }));
                }
            }
            return;
        }
    };
    match (tasks, is_certain) {
        (Some(tasks), true) => printk::err(format_args!(
            "{}",
            Deadlock {
                tasks,
                task,
                holds,
                waits,
                owner,
            }
        )),
        (Some(tasks), false) => printk::err(format_args!(
            "{}",
            LikelyDeadlock {
                tasks,
                task,
                holds,
                waits,
                owner,
            }
        )),
        (None, _) => printk::err(format_args!(
            "{}",
            DeadlockGoesOn {
                task,
                holds,
                waits,
                owner,
            }
        )),
    }
}

/// Prints what the tasks of a cause wait behind, and who they are: those that wait behind `shown`, a
/// task whose own lines are printed, or behind a deadlock. `is_root_ignored`: the root is a task that is
/// no hung one only because it is ignored. `read` reads again what a task waits for: what is not so any
/// more is called stale.
///
/// # Context
///
/// Process context; prints some lines.
#[inline(never)]
pub(crate) fn print_members(
    snapshot: Snapshot<'_>,
    cause: &RootCause,
    shown: usize,
    is_root_ignored: bool,
    read: impl Fn(&Task) -> Option<Blocker> + Copy,
) {
    // The task's own lines, with the owner of the lock, show all of its chain.
    if cause.hung == 1 && cause.depth <= 1 {
        return;
    }
    let (behind, depth, secs) = (cause.behind, cause.depth, Secs(cause.age));
    let oldest = snapshot.id(cause.oldest);
    let stale = || IfStale(snapshot.stale(snapshot.last_waiter(cause), read));
    match cause.root {
        // Its stack is not known.
        Root::Task(root) if snapshot.is_hung(root) => printk::err(format_args!(
            "{}",
            RootStack {
                tasks: 1,
                behind,
                oldest,
                secs,
                depth,
            }
        )),
        Root::Task(root) if is_root_ignored => printk::err(format_args!(
            "{}",
            RootIgnored {
                behind,
                task: snapshot.id(root),
                oldest,
                secs,
                depth,
            }
        )),
        Root::Task(root) => printk::err(format_args!(
            "{}",
            RootTask {
                behind,
                task: snapshot.id(root),
                stale: stale(),
                oldest,
                secs,
                depth,
            }
        )),
        Root::Lock { address, kind } => printk::err(format_args!(
            "{}",
            RootLock {
                behind,
                lock: Lock::waited_for(LockName { kind, address }),
                stale: stale(),
                oldest,
                secs,
                depth,
            }
        )),
        Root::Stack { tasks, .. } => printk::err(format_args!(
            "{}",
            RootStack {
                tasks,
                behind,
                oldest,
                secs,
                depth,
            }
        )),
        // The lines before say who is in it.
        Root::Deadlock { .. } if behind == 0 => return,
        Root::Deadlock { .. } => printk::err(format_args!(
            "{}",
            RootDeadlock {
                behind,
                oldest,
                secs,
                depth,
            }
        )),
    }
    let is_deadlock = matches!(cause.root, Root::Deadlock { .. });
    let mut printed: u32 = 0;
    let mut left: u32 = 0;
    for index in snapshot.graph.members(cause) {
        let Some(node) = snapshot.graph.node(index) else {
            continue;
        };
        if index == shown || (is_deadlock && node.depth() == 0) {
            continue;
        }
        if printed == MAX_MEMBERS {
            left = left.saturating_add(1);
            continue;
        }
        printed = printed.saturating_add(1);
        printk::err(format_args!(
            "{}",
            CauseMember {
                task: snapshot.id(index),
                secs: Secs(node.age().unwrap_or(0)),
                waits: Waits {
                    snapshot,
                    index,
                    stale: IfStale(snapshot.stale(index, read)),
                },
            }
        ));
    }
    if left != 0 {
        printk::err(format_args!("{}", CauseMembersLeft { count: left }));
    }
}
