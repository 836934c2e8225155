// SPDX-License-Identifier: GPL-2.0

//! All reachable states of a model, breadth first.

use std::{
    collections::{
        hash_map::Entry,
        HashMap, //
    },
    fmt::Debug,
    hash::{
        BuildHasherDefault,
        Hash,
        Hasher, //
    },
};

/// A hash that is fast in a debug build too.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn write_isize(&mut self, n: isize) {
        self.write_u64(n as u64);
    }
}

/// The reachable states and the steps between them. `By` says who makes a step.
pub struct Graph<S, By> {
    pub states: Vec<S>,
    /// From, to.
    edges: Vec<(u32, u32, By)>,
    /// The edge by which each state was found first.
    found_by: Vec<u32>,
}

/// Enumerates what can be reached from `first`. `steps`: all that can happen next in a state.
/// `check`: what has to hold in each state, or what is wrong.
pub fn enumerate<S, By>(
    first: S,
    steps: impl Fn(&S, &mut Vec<(By, S)>),
    check: impl Fn(&S) -> Result<(), &'static str>,
) -> Graph<S, By>
where
    S: Clone + Debug + Eq + Hash,
    By: Copy + Debug,
{
    let mut index: HashMap<S, u32, BuildHasherDefault<Mix>> = HashMap::default();
    let mut graph = Graph {
        states: vec![first.clone()],
        edges: Vec::new(),
        found_by: vec![u32::MAX],
    };
    index.insert(first, 0);
    let mut next = Vec::new();
    let mut at = 0;
    while let Some(state) = graph.states.get(at) {
        if let Err(wrong) = check(state) {
            graph.fail(wrong, at);
        }
        steps(state, &mut next);
        for (by, state) in next.drain(..) {
            let edge = graph.edges.len() as u32;
            let to = match index.entry(state) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let to = graph.states.len() as u32;
                    graph.states.push(new.key().clone());
                    graph.found_by.push(edge);
                    *new.insert(to)
                }
            };
            graph.edges.push((at as u32, to, by));
        }
        at += 1;
    }
    graph
}

impl<S: Debug, By: Copy + Debug> Graph<S, By> {
    /// Fails with a shortest way to a state.
    pub fn fail(&self, wrong: &str, state: usize) -> ! {
        let mut way = Vec::new();
        let mut at = state;
        while let Some(&(from, _, by)) = self.edges.get(self.found_by[at] as usize) {
            way.push(format!("{by:?}: {:?}", self.states[at]));
            at = from as usize;
        }
        way.push(format!("first: {:?}", self.states[at]));
        way.reverse();
        panic!("{wrong}:\n{}", way.join("\n"));
    }

    /// Fails unless a `goal` can be reached from each state that is `due`, by the steps of `by`
    /// alone, wherever all others have stopped. What they do instead leads to states that are due
    /// again, or is a goal; so they get there, unless chance has them choose otherwise for ever.
    pub fn check_leads_to(
        &self,
        wrong: &str,
        due: impl Fn(&S) -> bool,
        goal: impl Fn(&S) -> bool,
        by: impl Fn(By) -> bool,
    ) {
        // The edges by where they go to.
        let mut starts = vec![0u32; self.states.len() + 1];
        for &(_, to, _) in &self.edges {
            starts[to as usize + 1] += 1;
        }
        for n in 1..starts.len() {
            starts[n] += starts[n - 1];
        }
        let mut fill = starts.clone();
        let mut sorted = vec![0u32; self.edges.len()];
        for (n, &(_, to, _)) in self.edges.iter().enumerate() {
            sorted[fill[to as usize] as usize] = n as u32;
            fill[to as usize] += 1;
        }
        let mut leads: Vec<bool> = self.states.iter().map(goal).collect();
        let mut todo: Vec<usize> = (0..leads.len()).filter(|&n| leads[n]).collect();
        while let Some(to) = todo.pop() {
            for &edge in &sorted[starts[to] as usize..starts[to + 1] as usize] {
                let (from, _, actor) = self.edges[edge as usize];
                let from = from as usize;
                if !leads[from] && by(actor) {
                    leads[from] = true;
                    todo.push(from);
                }
            }
        }
        if let Some(stuck) = (0..leads.len()).find(|&n| !leads[n] && due(&self.states[n])) {
            self.fail(wrong, stuck);
        }
    }
}
