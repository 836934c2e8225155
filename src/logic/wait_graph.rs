// SPDX-License-Identifier: GPL-2.0

//! Root causes: what the hung tasks of one check wait behind in the end.
//!
//! Each node of the graph is a task, and has at most one edge: to the owner of the lock that the
//! task waits for, or to the task that it waits for without a lock ([`TaskWait`]), which is called the
//! owner too. An owner need not be hung to have a node. Each chain of owners ends in a root:
//!
//! | a chain ends at                                                     | [`Root`]   |
//! |---------------------------------------------------------------------|------------|
//! | a task that waits for no lock: it runs, or sleeps otherwise         | `Task`     |
//! | a lock without an owner that is known (a semaphore, say)            | `Lock`     |
//! | tasks that wait for each other's locks                              | `Deadlock` |
//! | a hung task without a lock, and all hung tasks that have its stack  | `Stack`    |
//!
//! All tasks whose chains end at one root have one [`RootCause`]. Lock owners are read without any
//! lock held, of one task after the other, so that what looks like a chain may be one of owners at
//! different moments: for tasks that have not run for minutes this is unlikely.
//!
//! The caller reads the tasks, and adds a node for each; then [`WaitGraph::resolve`] finds the root
//! of every node, without recursion, in a time that grows as `n log n`:
//!
//! ```text
//!   clear() -> add_task() of each hung task
//!           -> while next_unsampled_owner(): add_task() of that owner
//!           -> set_waits_for_task() of tasks that wait for another one without a lock
//!           -> resolve() -> causes(), members(), chain(), cycle()
//! ```
//!
//! Lists run through the nodes and are sorted by merging, as in the kernel's `list_sort()`: there
//! is no other storage than what the caller provides, and nothing is allocated.

use super::{
    blocker::LockKind,
    hung_task::table,
    task_wait::TaskWait, //
};
use core::ops::DerefMut;

/// The index of no node.
const NONE: u32 = u32::MAX;
/// In place of the root of a node that [`resolve_chain`] is going along.
const ON_CHAIN: u32 = u32::MAX - 1;
/// Sorted lists that [`sort`] holds at a time: enough for 2^32 nodes.
const SORT_LISTS: usize = 32;

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WaitsFor {
    /// Nothing that is known: it runs, sleeps on its own behalf, or was not looked at.
    #[default]
    Nothing,
    /// A lock that the kernel keeps track of.
    Lock {
        /// Where the lock is.
        address: usize,
        /// Its kind.
        kind: LockKind,
        /// The key of the task that owns it; 0: it has no owner, or none that is alive.
        owner: usize,
    },
    /// Another task, by no lock.
    Task {
        /// How.
        wait: TaskWait,
        /// The key of the other task, not 0.
        owner: usize,
        /// The waiting task's count of context switches: as long as it stays, the wait is the same.
        switch_count: u64,
        /// As in [`WaitsFor::Stack`], for the case that the other task has no place in the graph.
        stack: u64,
    },
    /// Something else, in a place that this key of the task's stack stands for; 0 if the stack is
    /// not known, which is as [`WaitsFor::Nothing`]. Of a task that is not hung it means nothing
    /// either: a task that makes progress has another stack at each check.
    Stack(u64),
}

impl WaitsFor {
    /// The key of the lock's owner, or of the task that is waited for; 0 without one.
    fn owner(&self) -> usize {
        match *self {
            Self::Lock { owner, .. } | Self::Task { owner, .. } => owner,
            Self::Nothing | Self::Stack(_) => 0,
        }
    }
}

/// What is counted for one root cause while it is resolved, in the node that stands for its root.
#[derive(Clone, Copy, Debug)]
struct Tally {
    /// The list of its hung tasks, the oldest one first; [`NONE`]: it has no hung task.
    first: u32,
    last: u32,
    /// The node that stands for the next cause.
    next_cause: u32,
    /// The hung task that is farthest from the root.
    deepest: u32,
    /// Hung tasks, and those of them that are the root, or part of it.
    hung: u32,
    at_root: u32,
    /// How many tasks a deadlock has.
    length: u32,
}

impl Tally {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
        next_cause: NONE,
        deepest: NONE,
        hung: 0,
        at_root: 0,
        length: 0,
    };
}

/// A task of the graph.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    key: usize,
    age: Option<u64>,
    waits_for: WaitsFor,
    /// The node of the owner of the lock that it waits for, or of the task that it waits for, or
    /// [`NONE`].
    owner: u32,
    /// The node that stands for its root: the root itself, the member of a deadlock that has the
    /// smallest key, the oldest of the tasks that wait for the same lock or have the same stack.
    root: u32,
    depth: u32,
    /// The next node of the list that it is in: at last the list of its cause's hung tasks.
    next: u32,
    tally: Tally,
}

impl Default for Node {
    fn default() -> Self {
        Self::new(0, None, WaitsFor::Nothing)
    }
}

impl Node {
    fn new(key: usize, age: Option<u64>, waits_for: WaitsFor) -> Self {
        Self {
            key,
            age,
            waits_for,
            owner: NONE,
            root: NONE,
            depth: 0,
            next: NONE,
            tally: Tally::EMPTY,
        }
    }

    /// The task's key.
    #[cfg(not(MODULE))]
    pub fn key(&self) -> usize {
        self.key
    }

    /// For how long the task has been blocked, in nanoseconds of unpaused time; `None`: it is not
    /// hung.
    pub fn age(&self) -> Option<u64> {
        self.age
    }

    /// What the task waits for.
    pub fn waits_for(&self) -> WaitsFor {
        self.waits_for
    }

    /// How far the task is from its root, as of the last [`WaitGraph::resolve`]: 0 for a task that
    /// is the root or part of it, and one more for each task that is waited for on the way. A task that waits for a
    /// lock without a known owner has a depth of 1.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether it comes before another one: the older one of two hung tasks, a hung task before one
    /// that is not. Of equal ages the smaller key decides, so that all is in the same order however
    /// the tasks were added.
    fn is_before(&self, other: &Self) -> bool {
        (other.age, self.key) < (self.age, other.key)
    }

    /// What a chain that ends at this node is waiting for, if that is not the task itself: the same
    /// for all tasks that wait for the same.
    fn common_end(&self) -> Option<(u8, u64)> {
        match self.waits_for {
            WaitsFor::Lock { address, .. } => Some((0, address as u64)),
            WaitsFor::Stack(key) | WaitsFor::Task { stack: key, .. }
                if key != 0 && self.age.is_some() =>
            {
                Some((1, key))
            }
            WaitsFor::Stack(_) | WaitsFor::Task { .. } | WaitsFor::Nothing => None,
        }
    }

    /// As [`Node::is_before`], with the nodes of each [`Node::common_end`] in a row.
    fn is_before_by_end(&self, other: &Self) -> bool {
        (self.common_end(), other.age, self.key) < (other.common_end(), self.age, other.key)
    }
}

/// What tasks wait behind in the end. Tasks are given by the indices of their nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// A task that does not wait for a lock, hung or not.
    Task(usize),
    /// A lock whose owner is not known, or did not fit into the graph.
    Lock {
        /// Where the lock is.
        address: usize,
        /// Its kind, as the oldest task sees it that waits for it directly: a rw-semaphore may
        /// have both readers and writers waiting.
        kind: LockKind,
    },
    /// A cycle: each of these tasks waits for a lock that the next one owns.
    Deadlock {
        /// The task that has the smallest key.
        first: usize,
        /// How many tasks the cycle has; 1: a task waits for a lock that it owns itself.
        length: u32,
    },
    /// Hung tasks without a known lock that wait in the same place.
    Stack {
        /// The key of their stacks, not 0.
        key: u64,
        /// The oldest of them.
        first: usize,
        /// How many there are, not counting tasks that wait behind them. At least 1.
        tasks: u32,
    },
}

/// The kind of a [`Root`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RootKind {
    /// [`Root::Task`]
    #[default]
    Task,
    /// [`Root::Lock`]
    Lock,
    /// [`Root::Deadlock`]
    Deadlock,
    /// [`Root::Stack`]
    Stack,
}

impl Root {
    /// Its kind.
    pub fn kind(&self) -> RootKind {
        match self {
            Self::Task(_) => RootKind::Task,
            Self::Lock { .. } => RootKind::Lock,
            Self::Deadlock { .. } => RootKind::Deadlock,
            Self::Stack { .. } => RootKind::Stack,
        }
    }
}

/// A root, and the hung tasks whose chains end there. Tasks are given by the indices of their
/// nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootCause {
    /// What they wait behind.
    pub root: Root,
    /// The same at each check for as long as the root is: made from the task's key, the lock's
    /// address, the smallest key of a deadlock's tasks, or the stack's key. Not 0, and different
    /// for each cause of a check. Not to be shown where addresses are not: it can be computed back.
    pub key: u64,
    /// The lock through which the oldest task waits for the root: the one that the root's task has, or
    /// that has no known owner. 0: none, as for a deadlock and for a stack. In a convoy, where a lock
    /// has another owner at each check, the lock is what stays.
    pub lock: usize,
    /// How many hung tasks there are, at least 1. Those that are the root, or part of it, count.
    pub hung: u32,
    /// How many hung tasks wait behind the root: all of [`RootCause::hung`] but the root's task, a
    /// deadlock's tasks, or those that have the [`Root::Stack`] themselves.
    pub behind: u32,
    /// The oldest hung task; of several the one with the smallest key.
    pub oldest: usize,
    /// The key of that task.
    pub oldest_key: usize,
    /// The age of that task in nanoseconds of unpaused time.
    pub age: u64,
    /// The hung task that is farthest from the root; of several the oldest one.
    pub deepest: usize,
    /// The [`Node::depth`] of that task.
    pub depth: u32,
}

/// The graph has no room for another task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphFull;

/// The graph of the tasks that wait for each other.
///
/// # Invariants
///
/// - The first `len` nodes are in use, with distinct keys, at most 2^32 - 2 of them.
/// - A bucket holds zero (free) or one more than the index of a node; each node in use has exactly
///   one bucket, reachable from its home without passing a free one.
/// - The number of buckets is a power of two and at least twice the number of nodes.
/// - If `resolved`, each node's `root` is in use and its own root; a node of depth 0 is a root
///   without an owner, or part of a cycle; the depth of all others is one more than that of the
///   `owner`, or 1 without one. Each hung task is in the list of its root's `tally`, and each root
///   that has such a list is in the list that begins with `first_cause`.
pub struct WaitGraph<N, B> {
    nodes: N,
    buckets: B,
    len: usize,
    /// How many tasks did not fit.
    left_out: u64,
    /// The node at which the search for owners without a node goes on.
    next_to_follow: usize,
    /// Whether nothing was added since [`WaitGraph::resolve`].
    resolved: bool,
    first_cause: u32,
}

impl<N, B> WaitGraph<N, B>
where
    N: DerefMut<Target = [Node]>,
    B: DerefMut<Target = [u32]>,
{
    /// Makes an empty graph in the given storage. `buckets` has to be as long as
    /// [`buckets_for()`](super::hung_task::table::buckets_for) says for the length of `nodes`; a
    /// shorter one makes the graph smaller. The previous contents of both are lost.
    pub fn new(nodes: N, buckets: B) -> Self {
        let mut graph = Self {
            nodes,
            buckets,
            len: 0,
            left_out: 0,
            next_to_follow: 0,
            resolved: false,
            first_cause: NONE,
        };
        graph.clear();
        graph
    }

    /// Removes all tasks, and forgets how many were left out.
    pub fn clear(&mut self) {
        for bucket in self.buckets.iter_mut() {
            *bucket = 0;
        }
        self.len = 0;
        self.left_out = 0;
        self.next_to_follow = 0;
        self.resolved = false;
        self.first_cause = NONE;
    }

    /// The number of tasks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no task.
    #[cfg(not(MODULE))]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many tasks fit.
    pub fn capacity(&self) -> usize {
        let nodes = self.nodes.len().min(ON_CHAIN as usize);
        if self.buckets.len().is_power_of_two() {
            nodes.min(self.buckets.len() / 2)
        } else {
            0
        }
    }

    /// How many calls of [`WaitGraph::add_task`] had no room for their hung task since the graph was
    /// empty: as many tasks, if each was added once.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// All tasks, in the order in which they were added first.
    pub fn nodes(&self) -> &[Node] {
        self.nodes.get(..self.len).unwrap_or_default()
    }

    /// The task with this index; `None` from [`WaitGraph::len`] on.
    pub fn node(&self, index: usize) -> Option<&Node> {
        self.nodes().get(index)
    }

    /// The index of the task with this key.
    pub fn index_of(&self, key: usize) -> Option<usize> {
        let at = self.find(key)?.ok()?;
        Some((*self.buckets.get(at)? as usize).wrapping_sub(1))
    }

    /// Index mask of the buckets; meaningless for a graph without buckets.
    fn mask(&self) -> usize {
        self.buckets.len().wrapping_sub(1)
    }

    /// The bucket that holds `key` (`Ok`) or would take it (`Err`); `None` for a graph without
    /// buckets. The search is that of [`Table`](super::hung_task::table::Table).
    fn find(&self, key: usize) -> Option<Result<usize, usize>> {
        let mut at = table::home(key, self.mask());
        // At most half of the buckets are in use, so that the search meets a free one; the loop's
        // bound makes its end evident.
        for _ in 0..self.buckets.len() {
            let bucket = *self.buckets.get(at)?;
            if bucket == 0 {
                return Some(Err(at));
            }
            if self.nodes.get((bucket as usize).wrapping_sub(1))?.key == key {
                return Some(Ok(at));
            }
            at = at.wrapping_add(1) & self.mask();
        }
        None
    }

    /// Adds a task, and returns the index of its node, which it keeps until [`WaitGraph::clear`].
    /// There are no causes then until the next [`WaitGraph::resolve`].
    ///
    /// `key` is the address of the task, not 0. `age`: for how long a hung task has been blocked,
    /// in nanoseconds of unpaused time; `None`: it is not hung.
    ///
    /// Of a task that was added before, `age` and `waits_for` replace what was known; but a hung
    /// task stays as it is if it comes as an owner that is not hung.
    ///
    /// # Errors
    ///
    /// [`GraphFull`]. [`WaitGraph::left_out`] counts it, if the task is hung.
    pub fn add_task(
        &mut self,
        key: usize,
        age: Option<u64>,
        waits_for: WaitsFor,
    ) -> Result<usize, GraphFull> {
        if let Some(index) = self.index_of(key) {
            if let Some(node) = self.nodes.get_mut(index) {
                if age.is_some() || node.age.is_none() {
                    node.age = age;
                    node.waits_for = waits_for;
                    self.next_to_follow = self.next_to_follow.min(index);
                    self.resolved = false;
                }
            }
            return Ok(index);
        }
        match self.insert(Node::new(key, age, waits_for)) {
            Some(index) => Ok(index),
            None => {
                self.left_out = self.left_out.saturating_add(age.is_some().into());
                Err(GraphFull)
            }
        }
    }

    /// Inserts a node whose key is not in the graph. `None`: it does not fit.
    fn insert(&mut self, new: Node) -> Option<usize> {
        let free = self.find(new.key)?.err()?;
        let index = self.len;
        if index >= self.capacity() {
            return None;
        }
        *self.nodes.get_mut(index)? = new;
        self.len = index.wrapping_add(1);
        *self.buckets.get_mut(free)? = self.len as u32;
        self.resolved = false;
        Some(index)
    }

    /// Says that a task waits for another one by no lock. There are no causes then until the next
    /// [`WaitGraph::resolve`].
    pub fn set_waits_for_task(
        &mut self,
        index: usize,
        wait: TaskWait,
        owner: usize,
        switch_count: u64,
    ) {
        let nodes = self.nodes.get_mut(..self.len).unwrap_or_default();
        let Some(node) = nodes.get_mut(index) else {
            return;
        };
        let stack = match node.waits_for {
            WaitsFor::Stack(key) => key,
            WaitsFor::Nothing => 0,
            WaitsFor::Lock { .. } | WaitsFor::Task { .. } => return,
        };
        node.waits_for = WaitsFor::Task {
            wait,
            owner,
            switch_count,
            stack,
        };
        self.next_to_follow = self.next_to_follow.min(index);
        self.resolved = false;
    }

    /// The key of a lock owner that has no node yet, for the caller to sample and to add. `None`:
    /// there is no such owner left, or no room for one.
    ///
    /// Each task's owner is looked at once, those of owners that are added meanwhile too. So this
    /// ends after as many calls as tasks fit, even if the caller does not add an owner. An owner
    /// that is not added may be returned again, for another task; in the end it is not known.
    pub fn next_unsampled_owner(&mut self) -> Option<usize> {
        if self.len >= self.capacity() {
            return None;
        }
        while self.next_to_follow < self.len {
            let owner = self.nodes.get(self.next_to_follow)?.waits_for.owner();
            self.next_to_follow = self.next_to_follow.wrapping_add(1);
            if owner != 0 && self.index_of(owner).is_none() {
                return Some(owner);
            }
        }
        None
    }

    /// Finds the root of each task, and the root causes.
    pub fn resolve(&mut self) {
        for index in 0..self.len {
            let owner = match self.nodes.get(index) {
                Some(node) => node.waits_for.owner(),
                None => 0,
            };
            let owner = match owner {
                0 => None,
                key => self.index_of(key),
            };
            if let Some(node) = self.nodes.get_mut(index) {
                *node = Node::new(node.key, node.age, node.waits_for);
                node.owner = owner.map_or(NONE, |owner| owner as u32);
            }
        }
        let nodes = self.nodes.get_mut(..self.len).unwrap_or_default();
        resolve_ends(nodes);
        for index in 0..self.len as u32 {
            resolve_chain(nodes, index);
        }
        self.first_cause = list_causes(nodes);
        self.resolved = true;
    }

    /// The nodes, if all that [`WaitGraph::resolve`] finds is known of them.
    fn resolved_nodes(&self) -> &[Node] {
        if self.resolved {
            self.nodes()
        } else {
            Default::default()
        }
    }

    /// The root causes that have a hung task, the one with the oldest task first. None if something
    /// was added since the last [`WaitGraph::resolve`].
    pub fn causes(&self) -> Causes<'_> {
        Causes {
            nodes: self.resolved_nodes(),
            next: self.first_cause,
        }
    }

    /// The root cause of the task with this index. `None` if no task that is hung has the same
    /// root, or if something was added since the last [`WaitGraph::resolve`].
    #[cfg(not(MODULE))]
    pub fn cause_of(&self, index: usize) -> Option<RootCause> {
        let nodes = self.resolved_nodes();
        cause(nodes, nodes.get(index)?.root)
    }

    /// The owner of the lock that the task with this index waits for, or the task that it waits for;
    /// `None` if that is not known.
    pub fn owner_of(&self, index: usize) -> Option<usize> {
        let nodes = self.resolved_nodes();
        let owner = nodes.get(index)?.owner;
        node_ref(nodes, owner).map(|_| owner as usize)
    }

    /// The task that stands for what the task with this index waits for, if that is a lock without a known
    /// owner, or a place in the code: the oldest one of those that wait for it directly. `None`: it is
    /// something else, or the task does not wait for it directly.
    pub fn end_of(&self, index: usize) -> Option<usize> {
        let node = self.resolved_nodes().get(index)?;
        let is_end = node.owner == NONE && node.common_end().is_some();
        is_end.then_some(node.root as usize)
    }

    /// The hung tasks of a root cause of this graph, the oldest one first.
    pub fn members(&self, cause: &RootCause) -> Tasks<'_> {
        Tasks::new(self.resolved_nodes(), cause.oldest, Step::Member)
    }

    /// The task with this index, the owner of the lock that it waits for, and so on. The last one
    /// is the root's task, a task that waits for the root's lock or has the root's stack, or the
    /// first one that is part of a deadlock. These are [`Node::depth`] tasks if the root is a lock,
    /// and one more if not.
    pub fn chain(&self, index: usize) -> Tasks<'_> {
        Tasks::new(self.resolved_nodes(), index, Step::Owner)
    }

    /// The tasks of a deadlock, each of which waits for a lock that the next one owns, and the last
    /// one for one that the first one owns. Begins with the smallest key. Empty for other causes.
    pub fn cycle(&self, cause: &RootCause) -> Tasks<'_> {
        let nodes = self.resolved_nodes();
        match cause.root {
            // A cause of another graph might lead into a cycle that does not lead back.
            Root::Deadlock { first, .. }
                if nodes.get(first).is_some_and(|node| node.depth == 0) =>
            {
                Tasks::new(nodes, first, Step::Cycle(first as u32))
            }
            _ => Tasks::new(Default::default(), 0, Step::Owner),
        }
    }
}

/// Gives a root to each node without an owner in the graph: its chain ends there.
fn resolve_ends(nodes: &mut [Node]) {
    let mut ends = NONE;
    for index in 0..nodes.len() as u32 {
        let Some(node) = node_mut(nodes, index) else {
            return;
        };
        if node.owner != NONE {
            continue;
        }
        if node.common_end().is_some() {
            node.next = ends;
            ends = index;
        } else {
            node.root = index;
        }
    }
    let mut next = sort(nodes, ends, Node::is_before_by_end);
    let mut root = NONE;
    let mut last_end = None;
    while let Some(node) = node_mut(nodes, next) {
        let end = node.common_end();
        if end != last_end {
            last_end = end;
            root = next;
        }
        node.root = root;
        node.depth = u32::from(matches!(node.waits_for, WaitsFor::Lock { .. }));
        next = node.next;
    }
}

/// Finds the root of a node and of all nodes on the chain behind it, up to the first that has one.
/// Goes along the chain three times, so that each node is met a few times only, however many chains
/// lead through it.
fn resolve_chain(nodes: &mut [Node], start: u32) {
    // To its end, or back to itself.
    let mut at = start;
    let mut length: u32 = 0;
    while let Some(node) = node_mut(nodes, at).filter(|node| node.root == NONE) {
        node.root = ON_CHAIN;
        at = node.owner;
        length = length.saturating_add(1);
    }
    if node_ref(nodes, at).is_some_and(|node| node.root == ON_CHAIN) {
        let in_cycle = resolve_cycle(nodes, at);
        length = length.saturating_sub(in_cycle);
    }
    let Some(&Node { root, depth, .. }) = node_ref(nodes, at) else {
        return;
    };
    let mut depth = depth.saturating_add(length);
    at = start;
    while let Some(node) = node_mut(nodes, at).filter(|node| node.root == ON_CHAIN) {
        node.root = root;
        node.depth = depth;
        depth = depth.saturating_sub(1);
        at = node.owner;
    }
}

/// Gives a root to each node of a cycle, all of which [`resolve_chain`] has gone along. Returns
/// how many there are.
fn resolve_cycle(nodes: &mut [Node], start: u32) -> u32 {
    let mut root = start;
    let mut length: u32 = 0;
    let mut at = start;
    loop {
        let (Some(node), Some(first)) = (node_ref(nodes, at), node_ref(nodes, root)) else {
            return 0;
        };
        if node.key < first.key {
            root = at;
        }
        length = length.saturating_add(1);
        at = node.owner;
        if at == start {
            break;
        }
    }
    while let Some(node) = node_mut(nodes, at).filter(|node| node.root == ON_CHAIN) {
        node.root = root;
        node.depth = 0;
        at = node.owner;
    }
    if let Some(root) = node_mut(nodes, root) {
        root.tally.length = length;
    }
    length
}

/// Puts each hung task into the list of its cause, and each cause that has one into a list. Returns
/// the first cause's node.
fn list_causes(nodes: &mut [Node]) -> u32 {
    let mut hung = NONE;
    for index in 0..nodes.len() as u32 {
        if let Some(node) = node_mut(nodes, index).filter(|node| node.age.is_some()) {
            node.next = hung;
            hung = index;
        }
    }
    // The oldest ones come first, so that each list comes to be in order.
    let mut next = sort(nodes, hung, Node::is_before);
    let mut first_cause = NONE;
    let mut last_cause = NONE;
    while let Some(node) = node_mut(nodes, next) {
        let index = next;
        let Node { root, depth, .. } = *node;
        next = node.next;
        node.next = NONE;
        let Some(tally) = node_ref(nodes, root).map(|root| root.tally) else {
            return first_cause;
        };
        let deepest = match node_ref(nodes, tally.deepest) {
            Some(deepest) if deepest.depth >= depth => tally.deepest,
            _ => index,
        };
        if let Some(last) = node_mut(nodes, tally.last) {
            last.next = index;
        } else if let Some(last) = node_mut(nodes, last_cause) {
            last.tally.next_cause = root;
            last_cause = root;
        } else {
            first_cause = root;
            last_cause = root;
        }
        if let Some(root) = node_mut(nodes, root) {
            if root.tally.first == NONE {
                root.tally.first = index;
            }
            root.tally.last = index;
            root.tally.deepest = deepest;
            root.tally.hung = tally.hung.saturating_add(1);
            root.tally.at_root = tally.at_root.saturating_add(u32::from(depth == 0));
        }
    }
    first_cause
}

/// The cause whose root this node stands for. `None` if that has no hung task.
fn cause(nodes: &[Node], index: u32) -> Option<RootCause> {
    let node = node_ref(nodes, index)?;
    let tally = node.tally;
    let oldest = node_ref(nodes, tally.first)?;
    let deepest = node_ref(nodes, tally.deepest)?;
    let first = index as usize;
    let (root, identity) = match node.waits_for {
        WaitsFor::Lock { .. } | WaitsFor::Task { .. } if node.owner != NONE => (
            Root::Deadlock {
                first,
                length: tally.length,
            },
            node.key as u64,
        ),
        WaitsFor::Lock { address, kind, .. } => (Root::Lock { address, kind }, address as u64),
        WaitsFor::Stack(key) | WaitsFor::Task { stack: key, .. } if node.common_end().is_some() => {
            (
                Root::Stack {
                    key,
                    first,
                    tasks: tally.at_root,
                },
                key,
            )
        }
        WaitsFor::Stack(_) | WaitsFor::Task { .. } | WaitsFor::Nothing => {
            (Root::Task(first), node.key as u64)
        }
    };
    let lock = match root {
        Root::Task(_) | Root::Lock { .. } => last_lock(nodes, tally.first),
        Root::Deadlock { .. } | Root::Stack { .. } => 0,
    };
    Some(RootCause {
        root,
        key: cause_key(root.kind(), identity),
        lock,
        hung: tally.hung,
        behind: tally.hung.saturating_sub(tally.at_root),
        oldest: tally.first as usize,
        oldest_key: oldest.key,
        age: oldest.age?,
        deepest: tally.deepest as usize,
        depth: deepest.depth,
    })
}

/// The lock that the last task before the root waits for, on the chain of a task; 0 for a root, and if
/// that task waits for no lock.
fn last_lock(nodes: &[Node], mut index: u32) -> usize {
    while let Some(node) = node_ref(nodes, index) {
        match node.waits_for {
            WaitsFor::Lock { address, .. } if node.depth == 1 => return address,
            WaitsFor::Lock { .. } | WaitsFor::Task { .. } if node.depth > 1 => index = node.owner,
            _ => break,
        }
    }
    0
}

/// The key of a cause, from what its root is known by. The kind is part of it, so that a task that
/// becomes part of a deadlock is another cause than before. Each step can be undone, so that
/// different roots of a kind have different keys (the finalizer of MurmurHash3).
fn cause_key(kind: RootKind, identity: u64) -> u64 {
    let kind: u64 = match kind {
        RootKind::Task => 1,
        RootKind::Lock => 2,
        RootKind::Deadlock => 3,
        RootKind::Stack => 4,
    };
    // The kernel's addresses have the same upper bits, so that these tell them apart.
    let mut key = identity ^ kind << 61;
    key = (key ^ key >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    key = (key ^ key >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (key ^ key >> 33).max(1)
}

/// The node with an index; `None` for [`NONE`] and [`ON_CHAIN`].
fn node_ref(nodes: &[Node], index: u32) -> Option<&Node> {
    nodes.get(index as usize)
}

/// As [`node_ref`].
fn node_mut(nodes: &mut [Node], index: u32) -> Option<&mut Node> {
    nodes.get_mut(index as usize)
}

/// Sorts the list that begins with a node, and returns its first node.
///
/// As `list_sort()` does it: `lists` holds sorted lists, the n-th one 2^n nodes or none. Those of
/// the same length are merged, until all are.
fn sort(nodes: &mut [Node], mut list: u32, is_before: fn(&Node, &Node) -> bool) -> u32 {
    let mut lists = [NONE; SORT_LISTS];
    while let Some(node) = node_mut(nodes, list) {
        let mut merged = list;
        list = node.next;
        node.next = NONE;
        for place in &mut lists {
            if *place == NONE {
                *place = merged;
                break;
            }
            merged = merge(nodes, *place, merged, is_before);
            *place = NONE;
        }
    }
    let mut sorted = NONE;
    for list in &lists {
        sorted = merge(nodes, *list, sorted, is_before);
    }
    sorted
}

/// Merges two sorted lists, and returns the first node.
fn merge(nodes: &mut [Node], mut a: u32, mut b: u32, is_before: fn(&Node, &Node) -> bool) -> u32 {
    let mut first = NONE;
    let mut last = NONE;
    while let (Some(in_a), Some(in_b)) = (node_ref(nodes, a), node_ref(nodes, b)) {
        let next;
        if is_before(in_b, in_a) {
            next = b;
            b = in_b.next;
        } else {
            next = a;
            a = in_a.next;
        }
        append(nodes, &mut first, last, next);
        last = next;
    }
    let rest = if a == NONE { b } else { a };
    append(nodes, &mut first, last, rest);
    first
}

/// Puts a node behind the last one of a list, which may be empty.
fn append(nodes: &mut [Node], first: &mut u32, last: u32, next: u32) {
    match node_mut(nodes, last) {
        Some(last) => last.next = next,
        None => *first = next,
    }
}

/// Root causes: see [`WaitGraph::causes`].
#[derive(Clone, Debug)]
pub struct Causes<'a> {
    nodes: &'a [Node],
    next: u32,
}

impl Iterator for Causes<'_> {
    type Item = RootCause;

    fn next(&mut self) -> Option<RootCause> {
        let cause = cause(self.nodes, self.next)?;
        self.next = node_ref(self.nodes, self.next)?.tally.next_cause;
        Some(cause)
    }
}

/// Which task comes after another one.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next younger one that has the same cause.
    Member,
    /// The owner of the lock that it waits for, up to the root.
    Owner,
    /// The owner of the lock, until it is this one.
    Cycle(u32),
}

/// Indices of tasks: see [`WaitGraph::members`], [`WaitGraph::chain`] and [`WaitGraph::cycle`].
#[derive(Clone, Debug)]
pub struct Tasks<'a> {
    nodes: &'a [Node],
    next: u32,
    step: Step,
}

impl<'a> Tasks<'a> {
    fn new(nodes: &'a [Node], first: usize, step: Step) -> Self {
        Self {
            nodes,
            next: u32::try_from(first).unwrap_or(NONE),
            step,
        }
    }
}

impl Iterator for Tasks<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = self.next;
        let node = node_ref(self.nodes, index)?;
        self.next = match self.step {
            Step::Member => node.next,
            Step::Owner if node.depth == 0 => NONE,
            Step::Owner => node.owner,
            Step::Cycle(first) if node.owner == first => NONE,
            Step::Cycle(_) => node.owner,
        };
        Some(index as usize)
    }
}
