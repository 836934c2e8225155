// SPDX-License-Identifier: GPL-2.0
//! `explain`: who waits for whom, from `vigil/waitgraph.dot`: as text, as SVG, or as it is.
//!
//! A task waits for one other task at most, so that the graph is a forest whose trees grow towards
//! what all of them wait behind: a task, a lock without an owner, a place in the code; or a ring of
//! tasks, which is a deadlock.

use anyhow::{anyhow, Result};
use layout::{
    backends::svg::SVGWriter,
    gv::{
        parser::ast::{AttributeList, Stmt},
        DotParser, GraphBuilder,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};
use vigil_logic::fmt::Bytes;

/// What a task waits for.
#[derive(Clone, Debug)]
struct Wait {
    /// The node.
    to: String,
    /// The lock; empty if there is none.
    lock: String,
    /// Whether the lock names a task that need not hold it: a semaphore.
    is_likely: bool,
}

/// A task, a lock or a place.
#[derive(Clone, Debug, Default)]
struct Node {
    label: String,
    waits_for: Option<Wait>,
}

/// The graph, by the names of its nodes.
#[derive(Clone, Debug, Default)]
struct Graph {
    nodes: BTreeMap<String, Node>,
    /// The names in the order of the file.
    order: Vec<String>,
}

/// An attribute's value.
fn attribute<'a>(attributes: &'a AttributeList, name: &str) -> Option<&'a str> {
    let (_, value) = attributes.iter().find(|(other, _)| other == name)?;
    Some(value)
}

/// A string of the file as it is meant: `&amp;` is `&`. What is not printable ASCII stands as `\xNN`,
/// because a file may come from anywhere.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.replace("&amp;", "&").chars() {
        match c {
            ' '..='~' | '\n' => plain.push(c),
            _ => {
                let mut bytes = [0; 4];
                let bytes = c.encode_utf8(&mut bytes).as_bytes();
                let _ = write!(plain, "{}", Bytes(bytes));
            }
        }
    }
    plain
}

/// The label among attributes, on one line: what stands below the name in brackets behind it. The
/// parser has made newlines of `\n`.
fn label(attributes: &AttributeList) -> Option<String> {
    let text = plain(attribute(attributes, "label")?);
    Some(match text.split_once('\n') {
        Some((name, more)) => format!("{name} ({})", more.replace('\n', ", ")),
        None => text,
    })
}

impl Graph {
    fn parse(dot: &str) -> Result<Self> {
        let parsed = DotParser::new(dot)
            .process()
            .map_err(|error| anyhow!("vigil/waitgraph.dot makes no sense: {error}"))?;
        let mut graph = Self::default();
        for statement in parsed.list.list {
            match statement {
                Stmt::Node(node) => {
                    let label = label(&node.list);
                    graph.node(&node.id.name).label = label.unwrap_or_else(|| plain(&node.id.name));
                }
                Stmt::Edge(edge) => {
                    for (to, _) in &edge.to {
                        graph.node(&to.name);
                        graph.node(&edge.from.name).waits_for = Some(Wait {
                            to: to.name.clone(),
                            lock: label(&edge.list).unwrap_or_default(),
                            is_likely: attribute(&edge.list, "style") == Some("dashed"),
                        });
                    }
                }
                Stmt::Attribute(_) | Stmt::SubGraph(_) => {}
            }
        }
        Ok(graph)
    }

    fn node(&mut self, name: &str) -> &mut Node {
        if !self.nodes.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.nodes.entry(name.to_owned()).or_default()
    }

    fn label(&self, name: &str) -> &str {
        self.nodes.get(name).map_or("?", |node| &node.label)
    }

    fn next(&self, name: &str) -> Option<&str> {
        Some(&self.wait(name)?.to)
    }

    fn wait(&self, name: &str) -> Option<&Wait> {
        self.nodes.get(name)?.waits_for.as_ref()
    }

    /// The ring that a walk from here ends in, if it does, from the first node of it in the file.
    fn ring(&self, from: &str) -> Option<Vec<&str>> {
        let mut seen = BTreeSet::new();
        let mut at = self.nodes.get_key_value(from)?.0.as_str();
        while seen.insert(at) {
            at = self.next(at)?;
        }
        // It was seen before: it is part of the ring.
        let mut ring = vec![at];
        let mut next = self.next(at)?;
        while next != at {
            ring.push(next);
            next = self.next(next)?;
        }
        let place = |name: &str| self.order.iter().position(|other| other == name);
        let first = (0..ring.len()).min_by_key(|&index| place(ring[index]))?;
        ring.rotate_left(first);
        Some(ring)
    }

    /// Writes those that wait for a node, each behind what it waits for; nodes of a ring are left out.
    fn write_waiters(&self, out: &mut String, root: &str, ring: &BTreeSet<&str>) {
        let mut waiters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for name in &self.order {
            if let Some(next) = self.next(name) {
                waiters.entry(next).or_default().push(name);
            }
        }
        // Not by recursion: a chain may be as long as there are tasks.
        let of = |name| waiters.get(name).into_iter().flatten().rev().copied();
        let mut stack: Vec<(&str, usize)> = of(root).map(|name| (name, 1)).collect();
        while let Some((name, depth)) = stack.pop() {
            if ring.contains(name) {
                continue;
            }
            let said = match self.wait(name) {
                Some(wait) if wait.is_likely => format!(", for {}, likely held by it", wait.lock),
                Some(wait) if !wait.lock.is_empty() => format!(", for {}", wait.lock),
                _ => String::new(),
            };
            let indent = "  ".repeat(depth);
            let _ = writeln!(out, "{indent}<- {}{said}", self.label(name));
            stack.extend(of(name).map(|name| (name, depth + 1)));
        }
    }

    fn to_text(&self) -> String {
        let mut out = String::new();
        let mut rings = BTreeSet::new();
        for name in &self.order {
            let Some(ring) = self.ring(name) else {
                continue;
            };
            if !rings.insert(ring[0]) {
                continue;
            }
            let _ = writeln!(out, "deadlock of {}:", ring.len());
            let members: BTreeSet<&str> = ring.iter().copied().collect();
            for (index, member) in ring.iter().enumerate() {
                let next = ring[(index + 1) % ring.len()];
                let lock = match self.wait(member) {
                    Some(wait) if wait.is_likely => format!("{}, likely held by ", wait.lock),
                    Some(wait) if !wait.lock.is_empty() => format!("{}, held by ", wait.lock),
                    _ => String::new(),
                };
                let (task, next) = (self.label(member), self.label(next));
                let _ = writeln!(out, "  {task} waits for {lock}{next}");
                self.write_waiters(&mut out, member, &members);
            }
        }
        for name in &self.order {
            if self.next(name).is_none() {
                let _ = writeln!(out, "{}", self.label(name));
                self.write_waiters(&mut out, name, &BTreeSet::new());
            }
        }
        if out.is_empty() {
            out.push_str("no task is hung\n");
        }
        out
    }
}

/// The graph as text.
///
/// # Errors
///
/// If it cannot be understood.
pub(crate) fn text(dot: &str) -> Result<String> {
    Ok(Graph::parse(dot)?.to_text())
}

/// The graph as SVG.
///
/// # Errors
///
/// If it cannot be understood.
pub(crate) fn svg(dot: &str) -> Result<String> {
    let mut graph = DotParser::new(dot)
        .process()
        .map_err(|error| anyhow!("vigil/waitgraph.dot makes no sense: {error}"))?;
    for statement in &mut graph.list.list {
        let attributes = match statement {
            Stmt::Node(node) => &mut node.list,
            Stmt::Edge(edge) => &mut edge.list,
            Stmt::Attribute(_) | Stmt::SubGraph(_) => continue,
        };
        for (_, value) in &mut attributes.list {
            *value = plain(value);
        }
    }
    let mut builder = GraphBuilder::new();
    builder.visit_graph(&graph);
    let mut svg = SVGWriter::new();
    builder.get().do_it(false, false, false, &mut svg);
    Ok(svg.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: &str = r#"digraph vigil {
	label="who waits for whom, 11.624 s after boot";
	rankdir=LR;
	node [shape=box];
	t0 [label="prov_abba_m/1:125\nhung for 8.195 s", color=red, style=filled, fillcolor=mistyrose];
	t1 [label="prov_abba_m/2:126\nhung for 8.195 s", color=red, style=filled, fillcolor=mistyrose];
	t2 [label="waiter:130\nhung for 3 s"];
	t3 [label="holder:9\nnot hung", style=filled, fillcolor=gold];
	t4 [label="a:1\nhung for 4 s"];
	t5 [label="b:2\nhung for 5 s"];
	t0 -> t1 [label="mutex ff01", color=red];
	t1 -> t0 [label="mutex ff02", color=red];
	t2 -> t0 [label="mutex ff02"];
	t4 -> t3 [label="semaphore ff03", style=dashed];
	t5 -> t4;
}
"#;

    #[test]
    fn rings_and_trees() {
        assert_eq!(
            text(RING).unwrap(),
            "deadlock of 2:\n\
             \x20 prov_abba_m/1:125 (hung for 8.195 s) waits for mutex ff01, \
             held by prov_abba_m/2:126 (hung for 8.195 s)\n\
             \x20 <- waiter:130 (hung for 3 s), for mutex ff02\n\
             \x20 prov_abba_m/2:126 (hung for 8.195 s) waits for mutex ff02, \
             held by prov_abba_m/1:125 (hung for 8.195 s)\n\
             holder:9 (not hung)\n\
             \x20 <- a:1 (hung for 4 s), for semaphore ff03, likely held by it\n\
             \x20   <- b:2 (hung for 5 s)\n"
        );
    }

    #[test]
    fn nothing() {
        let empty = "digraph vigil {\n\tlabel=\"x\";\n\trankdir=LR;\n\tnode [shape=box];\n}\n";
        assert_eq!(text(empty).unwrap(), "no task is hung\n");
        assert!(text("digraph {{{").is_err());
    }

    #[test]
    fn a_chain_of_a_thousand() {
        let mut dot = "digraph vigil {\n".to_owned();
        for n in 0..1000 {
            writeln!(dot, "t{n} [label=\"t:{n}\"];").unwrap();
        }
        for n in 1..1000 {
            writeln!(dot, "t{n} -> t{};", n - 1).unwrap();
        }
        dot.push_str("}\n");
        assert_eq!(text(&dot).unwrap().lines().count(), 1000);
    }

    /// Names as the module writes them, of tasks that were named to do harm; and an escape sequence,
    /// which only another file has.
    #[test]
    fn names_are_text() {
        let dot = "digraph vigil {\n\
            t0 [label=\"a\\\\nb:1\\nhung for 3 s\"];\n\
            t1 [label=\"<b>&amp;lt;\\\"'/>:2\\nhung for 4 s\"];\n\
            t2 [label=\"x\u{1b}[31m\u{202e}:3\"];\n}\n";
        assert_eq!(
            text(dot).unwrap(),
            "a\\nb:1 (hung for 3 s)\n<b>&lt;\"'/>:2 (hung for 4 s)\n\
             x\\x1b[31m\\xe2\\x80\\xae:3\n"
        );
        let svg = svg(dot).unwrap();
        assert!(
            svg.contains("&lt;b&gt;&amp;lt;&quot;&apos;/&gt;:2"),
            "{svg}"
        );
        assert!(!svg.contains('\u{1b}') && !svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn it_is_drawn() {
        let svg = svg(RING).unwrap();
        assert!(svg.contains("<svg") && svg.contains("holder:9"), "{svg}");
    }
}
