// SPDX-License-Identifier: GPL-2.0

//! The graph of the hung tasks of one check, and of the owners of the locks and the tasks that they wait
//! for: who waits behind whom. The rules are in [`crate::logic::wait_graph`].
//!
//! It belongs to the thread: no lock is taken. Between two checks it keeps no task.

use super::{
    blocker,
    graph_request::{
        GraphRequest,
        WaitGraphAnswer, //
    }, //
};
use crate::{
    logic::{
        dot,
        hung_task::table,
        task_wait::{
            PendingWait,
            PendingWaits, //
        },
        wait_graph::{
            Node,
            RootCause,
            WaitGraph,
            WaitsFor, //
        }, //
    },
    report::root_cause::Snapshot,
    sys::{
        buffer::Buffer,
        stacktrace,
        task::{
            self,
            cond_resched,
            TaskScan,
            FOUND, //
        },
        task_wait::{
            self,
            CompletionWaits, //
        }, //
    }, //
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
    task::Task, //
};

/// How many tasks fit into the graph at first.
const INITIAL_CAPACITY: usize = 128;

/// How many tasks fit into the graph at most: about 14 MiB. Tasks beyond that are counted.
const MAX_CAPACITY: usize = 1 << 17;

/// How many tasks may wait for another one by no lock. Of those beyond it is not known for which.
const MAX_PENDING: usize = 256;

/// How many times all tasks are searched for those that others wait for by no lock: how many such waits a
/// chain can have, or a few less.
const MAX_SEARCHES: u32 = 8;

/// How many tasks one search looks at.
const SEARCH_BUDGET: u32 = 1 << 20;

/// How many tasks a search looks at before it gives back RCU's read lock.
const SEARCH_BATCH: u32 = 256;

/// How many tasks are looked at before other tasks may run.
const BATCH: usize = 256;

/// How memory is allocated: to wait for it may mean to wait for the device that the hung tasks wait for.
pub(super) fn free_memory() -> Flags {
    GFP_NOWAIT | __GFP_NOWARN
}

/// The graph, and the task of each node.
pub(super) struct HungTaskGraph {
    graph: WaitGraph<Buffer<Node>, Buffer<u32>>,
    tasks: Buffer<Option<ARef<Task>>>,
    /// Tasks that sleep for a completion.
    pending: PendingWaits<Buffer<PendingWait>>,
    waits: CompletionWaits,
}

/// A task that others wait for by no lock, on its way into the graph.
type Completing = Option<ARef<Task>>;

impl HungTaskGraph {
    /// An empty graph for at least `tasks` hung tasks and some owners.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn new(tasks: usize, waits: CompletionWaits) -> Result<Self> {
        let capacity = Self::capacity_for(tasks);
        let nodes = Buffer::new(capacity, free_memory(), |_| Ok(Node::default()))?;
        let buckets = Buffer::new(table::buckets_for(capacity), free_memory(), |_| Ok(0))?;
        let pending = Buffer::new(capacity.min(MAX_PENDING), free_memory(), |_| {
            Ok(PendingWait::default())
        })?;
        Ok(Self {
            graph: WaitGraph::new(nodes, buckets),
            tasks: Buffer::new(capacity, free_memory(), |_| Ok(None))?,
            pending: PendingWaits::new(pending),
            waits,
        })
    }

    /// How waits for completions are read.
    pub(super) fn waits(&self) -> CompletionWaits {
        self.waits
    }

    /// How many nodes there are to be for so many hung tasks: each may have an owner that is not hung.
    fn capacity_for(tasks: usize) -> usize {
        tasks
            .saturating_mul(2)
            .checked_next_power_of_two()
            .unwrap_or(MAX_CAPACITY)
            .clamp(INITIAL_CAPACITY, MAX_CAPACITY)
    }

    /// Whether it is large enough for so many hung tasks.
    pub(super) fn fits(&self, tasks: usize) -> bool {
        self.graph.capacity() >= Self::capacity_for(tasks)
    }

    /// Drops all tasks.
    pub(super) fn clear(&mut self) {
        let used = self.graph.len();
        for task in self.tasks.get_mut(..used).unwrap_or_default() {
            *task = None;
        }
        self.graph.clear();
        self.pending.clear();
    }

    /// Adds a hung task. `age`: for how long it has been blocked, in nanoseconds. Returns whether there
    /// was room for it.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn add_hung(&mut self, task: &ARef<Task>, age: u64) -> bool {
        let waits_for = match waits_for_lock(task) {
            WaitsFor::Nothing => match stacktrace::save_task(task) {
                // The kernel is built without stack traces.
                stack if stack.depth == 0 => WaitsFor::Nothing,
                // The whole saved stack, not the wait primitive or its caller alone: the same
                // `flush_work()` reached in two ways is two causes. To split one cause costs a
                // report, to merge two hides a task. No symbol is looked up for it: there may be
                // thousands of tasks.
                stack => WaitsFor::Stack(stack.key()),
            },
            lock => lock,
        };
        self.add(task.clone(), Some(age), waits_for)
    }

    fn add(&mut self, task: ARef<Task>, age: Option<u64>, waits_for: WaitsFor) -> bool {
        let Ok(index) = self.graph.add_task(task::key(&task), age, waits_for) else {
            return false;
        };
        let waits_for_lock = matches!(waits_for, WaitsFor::Lock { .. });
        if !waits_for_lock && !self.pending.is_full() {
            if let Some((wait, switch_count)) = self.waits.of(&task) {
                self.pending.add(index, switch_count, wait, age.is_none());
            }
        }
        if let Some(place) = self.tasks.get_mut(index) {
            *place = Some(task);
        }
        true
    }

    /// Adds the owners of the locks that tasks of the graph wait for, the tasks that they wait for by no
    /// lock, what those wait for, and so on, and finds the root causes.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(super) fn resolve(&mut self) {
        self.add_owners();
        for _ in 0..MAX_SEARCHES {
            if !self.pending.has_new() {
                break;
            }
            self.add_completing();
            self.add_owners();
            self.add_barriers();
        }
        cond_resched();
        self.graph.resolve();
    }

    /// Adds the owners of locks, until all are there.
    fn add_owners(&mut self) {
        let mut looked_at: usize = 0;
        while let Some(owner) = self.graph.next_unsampled_owner() {
            looked_at = looked_at.wrapping_add(1);
            if looked_at % BATCH == 0 {
                cond_resched();
            }
            // It may have exited since its waiter was looked at.
            if let Some(owner) = task::by_address(owner) {
                let waits_for = waits_for_lock(&owner);
                self.add(owner, None, waits_for);
            }
        }
    }

    /// Searches all tasks for those that complete what others sleep for, and adds them.
    fn add_completing(&mut self) {
        let mut search = TaskScan::new(0, SEARCH_BUDGET, SEARCH_BATCH);
        self.pending.begin_search();
        loop {
            let mut found: [Completing; FOUND] = [const { None }; FOUND];
            let mut free = found.iter_mut();
            let pending = &mut self.pending;
            let more = search.batch_of_completing(&rcu::read_lock(), |task| {
                if pending.completes(task::key(task), &task_wait::completes(task)) {
                    // There are as many places as a batch finds tasks.
                    if let Some(place) = free.next() {
                        *place = Some(task.into());
                    }
                }
                true
            });
            for task in found.iter_mut().filter_map(Option::take) {
                if self.graph.index_of(task::key(&task)).is_some() {
                    continue;
                }
                let waits_for = waits_for_lock(&task);
                self.add(task, None, waits_for);
            }
            if !more {
                break;
            }
            cond_resched();
        }
        self.pending.follow_barriers();
        while let Some(found) = self.pending.found() {
            self.graph.set_waits_for_task(
                found.waiter,
                found.wait,
                found.owner,
                found.switch_count,
            );
        }
        self.pending.end_search();
    }

    /// Searches the sleeping tasks that are not in the graph for barriers that those of the graph are behind.
    /// Each flusher of a work comes in front of the others: as long as the newest one is not hung, no
    /// other one's kworker is known without it.
    fn add_barriers(&mut self) {
        let mut search = TaskScan::new(0, SEARCH_BUDGET, SEARCH_BATCH);
        while self.pending.lacks_barriers() {
            let (graph, pending, waits) = (&self.graph, &mut self.pending, &self.waits);
            let more = search.batch(&rcu::read_lock(), |task| {
                if graph.index_of(task::key(task)).is_none() {
                    if let Some((wait, _)) = waits.of(task) {
                        pending.add_barrier(wait);
                    }
                }
                true
            });
            if !more {
                break;
            }
            cond_resched();
        }
    }

    /// How many hung tasks had no place.
    pub(super) fn left_out(&self) -> u64 {
        self.graph.left_out()
    }

    /// The root causes, the one with the oldest task first.
    pub(super) fn causes(&self) -> impl Iterator<Item = RootCause> + '_ {
        self.graph.causes()
    }

    /// The graph as it is, for a report.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            graph: &self.graph,
            tasks: &self.tasks,
        }
    }

    /// Answers a request. `hung`: how many tasks are hung.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn answer(&self, mut request: GraphRequest, hung: u64) -> Result<WaitGraphAnswer> {
        let mut places = Buffer::new(self.graph.len(), free_memory(), |_| Ok(0))?;
        let selection = dot::select(&self.graph, request.tasks(), &mut places);
        for task in request.tasks().iter_mut().take(selection.shown) {
            task.task = self.snapshot().id(task.index as usize);
        }
        let more = hung.saturating_sub(selection.hung_shown);
        Ok(request.answer(selection.shown, more))
    }

    /// Whether the task with this key is one of the hung tasks.
    pub(super) fn is_hung(&self, key: usize) -> bool {
        let index = self.graph.index_of(key);
        index.is_some_and(|index| self.snapshot().is_hung(index))
    }
}

/// The lock that a task waits for.
fn waits_for_lock(task: &Task) -> WaitsFor {
    match blocker::find(task) {
        Some(blocker) => WaitsFor::Lock {
            address: blocker.address,
            kind: blocker.kind,
            owner: blocker.owner_key(task),
        },
        None => WaitsFor::Nothing,
    }
}
