// SPDX-License-Identifier: GPL-2.0
//! `explain`: who waits for whom, from `vigil/waitgraph.dot`: as text, as SVG, or as it is.
//!
//! A task waits for one other task at most, so that the graph is a forest whose trees grow towards
//! what all of them wait behind: a task, a lock without an owner, a place in the code; or a ring of
//! tasks, which is a deadlock.
//!
//! A file may come from anywhere, so that more than the module writes is refused before anything is made
//! of it ([`statements`]), and nothing but printable characters is shown of it.

use anyhow::{anyhow, bail, Context, Result};
use layout::{
    backends::svg::SVGWriter,
    gv::{
        parser::ast::{AttributeList, EdgeStmt, Graph as Dot, NodeId, NodeStmt, Stmt},
        DotParser, GraphBuilder, Lexer, Token,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Read,
};
use vigil_logic::{
    dot::{MAX_TASKS, MAX_TEXT},
    fmt::Bytes,
};

/// How many nodes a graph has at most: the tasks, what they wait for in the end, and those that are not
/// shown.
const MAX_NODES: usize = 2 * MAX_TASKS + 1;

/// Attributes that a drawing shows, of nodes and of edges.
const NODE_ATTRIBUTES: &[&str] = &["label", "shape", "color", "style", "fillcolor"];
const EDGE_ATTRIBUTES: &[&str] = &["label", "color", "style"];

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
    /// How many nodes stand before it in the file.
    place: usize,
}

/// The graph, by the names of its nodes.
#[derive(Clone, Debug, Default)]
struct Graph {
    nodes: BTreeMap<String, Node>,
    /// The names in the order of the file.
    order: Vec<String>,
}

/// The nodes that wait for each node, in the order of the file.
type Waiters<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// An attribute's value.
fn attribute<'a>(attributes: &'a AttributeList, name: &str) -> Option<&'a str> {
    let (_, value) = attributes.iter().find(|(other, _)| other == name)?;
    Some(value)
}

/// A string of the file as it is meant: `&amp;` is `&`. What is not printable ASCII stands as `\xNN`,
/// because a file may come from anywhere.
fn plain(text: &str) -> String {
    escaped(&text.replace("&amp;", "&"), "")
}

/// A text in which what is not printable ASCII stands as `\xNN`, with `before` in front; newlines stay.
fn escaped(text: &str, before: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' | '\n' => plain.push(c),
            _ => {
                let mut bytes = [0; 4];
                for &byte in c.encode_utf8(&mut bytes).as_bytes() {
                    let _ = write!(plain, "{before}{}", Bytes(&[byte]));
                }
            }
        }
    }
    plain
}

/// Reads the text of a graph.
///
/// # Errors
///
/// If it cannot be read, is no text, or is longer than the module's graphs are.
pub(crate) fn read(from: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    from.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_TEXT {
        bail!("the graph is longer than {MAX_TEXT} bytes");
    }
    String::from_utf8(bytes).context("the graph is no text")
}

/// The graph as the file has it, if the module may have written such a one.
fn statements(dot: &str) -> Result<Dot> {
    if dot.len() > MAX_TEXT {
        bail!("the graph is longer than {MAX_TEXT} bytes");
    }
    // The parser calls itself for each graph in a graph.
    let mut lexer = Lexer::from_string(dot);
    let mut depth = 0_usize;
    loop {
        match lexer.next_token() {
            Token::OpenBrace => depth += 1,
            Token::CloseBrace => depth = depth.saturating_sub(1),
            Token::EOF | Token::Error(_) => break,
            _ => {}
        }
        if depth > 1 {
            bail!("the graph has another one in it");
        }
    }
    let parsed = DotParser::new(dot)
        .process()
        .map_err(|error| anyhow!("the graph makes no sense: {error}"))?;
    let mut nodes = BTreeSet::new();
    let mut waiting = BTreeSet::new();
    for statement in &parsed.list.list {
        match statement {
            Stmt::Node(node) => {
                nodes.insert(&node.id.name);
            }
            Stmt::Edge(edge) => {
                nodes.insert(&edge.from.name);
                nodes.extend(edge.to.iter().map(|(to, _)| &to.name));
                if edge.to.len() != 1 || !waiting.insert(&edge.from.name) {
                    bail!("a task of the graph waits for more than one");
                }
            }
            Stmt::Attribute(_) | Stmt::SubGraph(_) => {}
        }
        if nodes.len() > MAX_NODES {
            bail!("the graph has more than {MAX_NODES} nodes");
        }
    }
    Ok(parsed)
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
        let mut graph = Self::default();
        for statement in statements(dot)?.list.list {
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
        let place = self.order.len();
        self.nodes.entry(name.to_owned()).or_insert_with(|| {
            self.order.push(name.to_owned());
            Node {
                // If the file says no more about it.
                label: plain(name),
                waits_for: None,
                place,
            }
        })
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
        let place = |name: &str| self.nodes.get(name).map(|node| node.place);
        let first = (0..ring.len()).min_by_key(|&index| place(ring[index]))?;
        ring.rotate_left(first);
        Some(ring)
    }

    /// Those that wait for each node.
    fn waiters(&self) -> Waiters<'_> {
        let mut waiters = Waiters::new();
        for name in &self.order {
            if let Some(next) = self.next(name) {
                waiters.entry(next).or_default().push(name);
            }
        }
        waiters
    }

    /// Writes those that wait for a node, each behind what it waits for; nodes of a ring are left out.
    fn write_waiters(
        &self,
        out: &mut String,
        waiters: &Waiters<'_>,
        root: &str,
        ring: &BTreeSet<&str>,
    ) {
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
        let waiters = self.waiters();
        let mut of_rings = BTreeSet::new();
        for name in &self.order {
            if of_rings.contains(name.as_str()) {
                continue;
            }
            let Some(ring) = self.ring(name) else {
                continue;
            };
            if of_rings.contains(ring[0]) {
                continue;
            }
            of_rings.extend(ring.iter().copied());
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
                self.write_waiters(&mut out, &waiters, member, &members);
            }
        }
        for name in &self.order {
            if self.next(name).is_none() {
                let _ = writeln!(out, "{}", self.label(name));
                self.write_waiters(&mut out, &waiters, name, &BTreeSet::new());
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

/// The graph for Graphviz: as it is, but for what a terminal would take for a command.
pub(crate) fn printable(dot: &str) -> String {
    // A backslash stands as two there.
    escaped(&dot.replace('\t', "    "), "\\")
}

/// Leaves of a node its name, as text: it stands for a label.
fn name_only(node: &mut NodeId) {
    node.name = plain(&node.name);
    node.port = None;
}

/// Keeps the attributes that a drawing shows, as text.
fn keep(attributes: &mut AttributeList, names: &[&str]) {
    let list = &mut attributes.list;
    list.retain(|(name, value)| {
        let is_shape = name != "shape" || matches!(value.as_str(), "box" | "ellipse" | "plaintext");
        names.contains(&name.as_str()) && is_shape
    });
    for (_, value) in list {
        *value = plain(value);
    }
}

/// The graph as SVG.
///
/// # Errors
///
/// If it cannot be understood.
pub(crate) fn svg(dot: &str) -> Result<String> {
    let mut graph = statements(dot)?;
    for statement in &mut graph.list.list {
        match statement {
            Stmt::Node(NodeStmt { id, list }) => {
                name_only(id);
                keep(list, NODE_ATTRIBUTES);
            }
            Stmt::Edge(EdgeStmt { from, to, list }) => {
                name_only(from);
                to.iter_mut().for_each(|(to, _)| name_only(to));
                keep(list, EDGE_ATTRIBUTES);
            }
            Stmt::Attribute(all) => keep(&mut all.list, &["shape", "rankdir"]),
            Stmt::SubGraph(_) => {}
        }
    }
    let has_nodes = |statement: &Stmt| matches!(statement, Stmt::Node(_) | Stmt::Edge(_));
    if !graph.list.list.iter().any(has_nodes) {
        // The layout takes no graph without a node.
        let nothing = NodeStmt::new(NodeId::new("no task is hung", &None));
        graph.list.list.push(Stmt::Node(nothing));
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
    use proptest::prelude::*;

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
        assert!(svg(empty).unwrap().contains("no task is hung"));
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

    /// Each is refused in one sentence, by each command, before it costs anything.
    #[test]
    fn what_is_no_graph_of_the_modules() {
        let nested = format!("digraph x {{{}", "{".repeat(200_000));
        let subgraphs = format!("digraph x {{{}", "subgraph a {".repeat(40_000));
        let long = format!("digraph x {{ a [label=\"{}\"]; }}", "x".repeat(MAX_TEXT));
        let many: String = (0..=MAX_NODES).map(|n| format!("t{n};")).collect();
        let many = format!("digraph x {{{many}}}");
        let chain = format!("digraph x {{ a{} }}", "-> a".repeat(50_000));
        let two = "digraph x { a -> b; a -> c; }".to_owned();
        for (dot, says) in [
            (nested, "another one in it"),
            (subgraphs, "another one in it"),
            (long, "longer than 513024 bytes"),
            (many, "more than 2001 nodes"),
            (chain, "waits for more than one"),
            (two, "waits for more than one"),
            ("digraph x { a \u{1b}[31m }".to_owned(), "makes no sense"),
            (String::new(), "makes no sense"),
        ] {
            for error in [text(&dot).unwrap_err(), svg(&dot).unwrap_err()] {
                let error = format!("{error:#}");
                assert!(error.contains(says), "{error}");
                assert!(error.lines().count() == 1 && !error.contains(char::is_control));
            }
        }
        assert!(read(std::io::repeat(b'x')).is_err());
        assert!(read(&b"\xff"[..]).is_err());
    }

    #[test]
    fn the_longest_ring() {
        let tasks = MAX_NODES;
        let edges = (0..tasks).map(|n| format!("t{n} -> t{};", (n + 1) % tasks));
        let ring = text(&format!("digraph x {{{}}}", edges.collect::<String>())).unwrap();
        assert!(ring.starts_with(&format!("deadlock of {tasks}:\n")));
    }

    #[test]
    fn a_terminal_gets_no_commands() {
        let dot = "digraph x {\n\ta [label=\"\u{1b}]0;x\u{7}\"];\n}\n";
        let shown = printable(dot);
        assert_eq!(
            shown,
            "digraph x {\n    a [label=\"\\\\x1b]0;x\\\\x07\"];\n}\n"
        );
        assert_eq!(text(&shown).unwrap(), "\\x1b]0;x\\x07\n");
        assert_eq!(printable(RING), RING.replace('\t', "    "));
    }

    /// A piece of a file.
    fn any_piece() -> impl Strategy<Value = String> {
        let name =
            || prop::sample::select(vec!["t0", "t1", "t2", "e1", "more", "\"x\u{1b}y\"", "12"]);
        let value = prop_oneof![
            "[ -~]{0,8}",
            ".{0,8}",
            prop::sample::select(vec!["record", "red", "filled", "99999", "", "\\n", "{{{"])
                .prop_map(str::to_owned),
        ];
        let key = prop::sample::select(vec![
            "label",
            "shape",
            "color",
            "style",
            "fillcolor",
            "width",
            "fontsize",
            "rankdir",
        ]);
        let attribute = (key, value).prop_map(|(key, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("[{key}=\"{value}\"]")
        });
        let attribute = prop_oneof![Just(String::new()), attribute];
        prop_oneof![
            8 => (name(), attribute.clone()).prop_map(|(name, more)| format!("{name} {more};\n")),
            8 => (name(), name(), attribute.clone())
                .prop_map(|(from, to, more)| format!("{from} -> {to} {more};\n")),
            1 => attribute.prop_map(|more| format!("node {more};\n")),
            1 => ".{0,6}",
            1 => prop::sample::select(vec!["{", "}", "subgraph x {", "-> t0", "/*", "\"", ":a", "--"])
                .prop_map(str::to_owned),
        ]
    }

    proptest! {
        /// Whatever is in a file: text and drawing show what is printable, or one sentence says why not.
        #[test]
        fn any_file(pieces in prop::collection::vec(any_piece(), 0..12)) {
            let dot = format!("digraph vigil {{\n{}}}\n", pieces.concat());
            for shown in [text(&dot), svg(&dot)] {
                let shown = shown.unwrap_or_else(|error| format!("{error:#}"));
                let is_shown = |c: char| matches!(c, ' '..='~' | '\n');
                prop_assert!(shown.chars().all(is_shown), "{shown:?}");
            }
        }

        #[test]
        fn any_text(dot in ".{0,200}") {
            let _ = (text(&dot), svg(&dot), printable(&dot));
        }
    }

    #[test]
    fn it_is_drawn() {
        let svg = svg(RING).unwrap();
        assert!(svg.contains("<svg") && svg.contains("holder:9"), "{svg}");
    }
}
