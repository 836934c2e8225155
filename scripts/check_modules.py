#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check which modules of our Rust crates use which.

    check_modules.py cycles CRATE_ROOT...   no module uses, by way of others, itself
    check_modules.py layers CRATE_ROOT      each room uses only those of lower layers

CRATE_ROOT is the file of a crate's root (`src/vigil_main.rs`), or a folder, which
stands for every crate of the cargo packages in it.

One module uses another if it names it, or an item of it, in a `use` declaration or
in a path. What a name is re-exported as is followed to the module that it comes
from. A module that declares its own submodule or re-exports items of it does not use
it; a submodule that names an item of its parent uses the parent. cargo-modules would
find the same in the crates that cargo builds, but cannot read the one that kbuild does.
"""

import argparse
import dataclasses
import pathlib
import re
import sys

# The rooms of src/. Each may use those that stand behind it, and no others; the crate
# root may use all, and nothing uses the crate root.
LAYERS = ["control", "detect", "report", "panic", "incident", "knobs", "sys", "logic"]

TOKEN = re.compile(
    r"""
      (?P<skip>\s+|//[^\n]*)
    | (?P<block>/\*)
    | (?P<raw>(?:br|cr|r)(?P<hashes>\#*)".*?"(?P=hashes))
    | (?P<text>[bc]?"(?:\\.|[^"\\])*")
    | (?P<char>b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^\\'])')
    | (?P<lifetime>'\w+)
    | (?P<word>(?:r\#)?[A-Za-z_]\w*)
    | (?P<number>\d\w*)
    | (?P<sign>::|.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Unreadable(Exception):
    """A file that this program cannot make sense of."""


@dataclasses.dataclass
class Token:
    text: str
    line: int
    word: bool


def tokens_of(text):
    """The words and signs of Rust source, without comments and literals."""
    found, at, line = [], 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        end = match.end()
        if match["block"]:
            depth = 1
            while depth:
                edge = re.compile(r"/\*|\*/").search(text, end)
                if not edge:
                    raise Unreadable(f"line {line}: a comment without an end")
                depth += 1 if edge[0] == "/*" else -1
                end = edge.end()
        elif match["word"]:
            found.append(Token(match["word"].removeprefix("r#"), line, True))
        elif match["sign"]:
            found.append(Token(match["sign"], line, False))
        line += text.count("\n", at, end)
        at = end
    return found


@dataclasses.dataclass
class Module:
    """A module: `path` has its name's segments, and is empty for the crate root."""

    path: tuple
    file: pathlib.Path
    # The module that it counts as part of: itself, or the `mod` block that it is in.
    part_of: tuple
    block: bool = False
    children: set = dataclasses.field(default_factory=set)
    # Names of its own items.
    items: set = dataclasses.field(default_factory=set)
    # Name to (segments, line, re-exported).
    imports: dict = dataclasses.field(default_factory=dict)
    # (segments, line, re-exported)
    globs: list = dataclasses.field(default_factory=list)
    # (segments, line) of each path in its code.
    paths: list = dataclasses.field(default_factory=list)
    macros: list = dataclasses.field(default_factory=list)

    def name(self):
        return "::".join(self.path) or "the crate root"


ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}


class Crate:
    """The modules of one crate, and which uses which."""

    def __init__(self, root):
        self.modules = {}
        # Name to the module that has the macro.
        self.macros = {}
        self.read((), pathlib.Path(root), pathlib.Path(root).parent)

    def read(self, path, file, folder):
        """Reads a module from its file; `folder` has its submodules."""
        module = self.modules[path] = Module(path, file, path)
        tokens = tokens_of(file.read_text(encoding="utf-8"))
        try:
            self.scan(module, tokens, 0, folder)
        except (IndexError, Unreadable) as error:
            raise Unreadable(f"{file}: {error}") from error

    def scan(self, module, tokens, at, folder):
        """Takes in the tokens up to the end of the module; returns where that is."""
        depth = 0
        while at < len(tokens):
            token = tokens[at]
            before = tokens[at - 1].text if at else ""
            after = [t.text for t in tokens[at + 1 : at + 4]] + [""] * 3
            if token.text == "mod" and tokens[at + 1].word and after[1] in (";", "{"):
                at = self.submodule(module, tokens, at + 1, folder)
                continue
            if token.text == "use" and before != "::":
                public = self.is_public(tokens, at)
                at = self.use_tree(module, tokens, at + 1, (), public)
                continue
            if token.text == "macro_rules" and after[0] == "!":
                self.macros.setdefault(after[1], module.path)
                at += 3
                continue
            if token.text in ITEMS and tokens[at + 1].word:
                module.items.add(after[0] if after[0] != "mut" else after[1])
            if token.word and after[0] == "!" and after[1] in ("(", "[", "{"):
                module.macros.append((token.text, token.line))
            starts = before != "::" or (at >= 2 and not tokens[at - 2].word and tokens[at - 2].text != ">")
            if token.word and after[0] == "::" and starts:
                end, segments = at, [token.text]
                while end + 2 < len(tokens) and tokens[end + 1].text == "::" and tokens[end + 2].word:
                    segments.append(tokens[end + 2].text)
                    end += 2
                # `pub(in path)` gives away, it uses nothing.
                if before != "in" or tokens[at - 2].text != "(":
                    module.paths.append((tuple(segments), token.line))
                at = end + 1
                continue
            if token.text == "{":
                depth += 1
            elif token.text == "}":
                depth -= 1
                if depth < 0:
                    return at + 1
            at += 1
        return at

    @staticmethod
    def is_public(tokens, at):
        at -= 1
        if at >= 0 and tokens[at].text == ")":
            while tokens[at].text != "(":
                at -= 1
            at -= 1
        return at >= 0 and tokens[at].text == "pub"

    def submodule(self, module, tokens, at, folder):
        name = tokens[at].text
        path = (*module.path, name)
        if tokens[at + 1].text == "{":
            if path not in self.modules:
                self.modules[path] = Module(path, module.file, module.part_of if module.block else path, True)
            module.children.add(name)
            return self.scan(self.modules[path], tokens, at + 2, folder / name)
        for file, inner in ((folder / f"{name}.rs", folder / name), (folder / name / "mod.rs", folder / name)):
            if file.exists():
                module.children.add(name)
                self.read(path, file, inner)
                return at + 2
        raise Unreadable(f"line {tokens[at].line}: there is no file for `mod {name}`")

    def use_tree(self, module, tokens, at, prefix, public):
        """Takes in one tree of a `use` declaration; returns where it ends."""
        segments, alias, line = list(prefix), None, tokens[at].line
        while True:
            token = tokens[at]
            if token.text == "{":
                at += 1
                while tokens[at].text != "}":
                    at = self.use_tree(module, tokens, at, tuple(segments), public)
                    if tokens[at].text == ",":
                        at += 1
                at += 1
                break
            if token.text == "*":
                module.globs.append((tuple(segments), token.line, public))
                at += 1
                break
            if token.text == "as":
                alias = tokens[at + 1].text
                at += 2
            elif token.word:
                segments.append(token.text)
                line = token.line
                at += 1
            elif token.text == "::":
                at += 1
            else:
                break
        # `use<'a>` in a type names no module.
        if segments and tokens[at - 1].text not in ("}", "*"):
            if len(segments) > 1 and segments[-1] == "self":
                segments.pop()
            name = alias or segments[-1]
            entry = (tuple(segments), line, public)
            if name == "_" or name in module.imports:
                name = f"{name} {line} {len(module.imports)}"
            module.imports[name] = entry
        return at

    def resolve(self, module, segments, depth=0, skip=None):
        """The module that these segments, written in `module`, lead to, or None for
        another crate's. `skip` is the import that is being resolved itself."""
        if depth > 16 or not segments:
            return None
        first, rest = segments[0], list(segments[1:])
        if first in ("crate", "$crate"):
            at = ()
        elif first == "self":
            at = module.path
        elif first == "super":
            at = module.path[:-1]
            while rest and rest[0] == "super":
                at, rest = at[:-1], rest[1:]
        elif first in module.children:
            at = (*module.path, first)
        elif first in module.imports and first != skip:
            imported = module.imports[first][0]
            return self.resolve(module, (*imported, *rest), depth + 1, first)
        else:
            return None
        return self.walk(self.modules[at], rest, depth)

    def walk(self, module, segments, depth):
        """The module that these segments lead to from within `module`."""
        if not segments or depth > 16:
            return module.path
        first, rest = segments[0], segments[1:]
        if first in module.children:
            return self.walk(self.modules[(*module.path, first)], rest, depth)
        if first in module.imports:
            target = self.resolve(module, (*module.imports[first][0], *rest), depth + 1, first)
            if target is not None:
                return target
        elif first not in module.items:
            for imported, _, public in module.globs:
                target = self.resolve(module, imported, depth + 1) if public else None
                if target is not None and target != module.path:
                    inner = self.modules[target]
                    if first in inner.items | inner.children or first in inner.imports:
                        return self.walk(inner, segments, depth + 1)
        return module.path

    def uses(self):
        """From a module to those that it uses, each with the lines that do."""
        edges = {}
        for module in self.modules.values():
            found = edges.setdefault(module.part_of, {})

            def add(target, line, found=found, module=module):
                target = None if target is None else self.modules[target].part_of
                if target not in (None, module.part_of):
                    found.setdefault(target, []).append(f"{module.file}:{line}")

            for name, (segments, line, public) in module.imports.items():
                target = self.resolve(module, segments, skip=name)
                if not (public and target and target[: len(module.path)] == module.path):
                    add(target, line)
            for segments, line, public in module.globs:
                target = self.resolve(module, segments)
                if not (public and target and target[: len(module.path)] == module.path):
                    add(target, line)
            for segments, line in module.paths:
                add(self.resolve(module, segments), line)
            for name, line in module.macros:
                if name in self.macros:
                    add(self.macros[name], line)
        return edges


def components(edges):
    """The sets of modules of which each uses, by way of others, each: Tarjan's algorithm."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in edges.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            members = []
            while True:
                members.append(stack.pop())
                if members[-1] == node:
                    break
            if len(members) > 1:
                found.append(sorted(members))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def cycles(crate):
    """What to say of each set of modules that need each other."""
    edges = crate.uses()
    said = []
    for members in components(edges):
        names = ", ".join(crate.modules[member].name() for member in members)
        said.append(f"these modules use each other in a cycle: {names}")
        for member in members:
            for target in sorted(edges[member]):
                if target in members:
                    lines = edges[member][target]
                    more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
                    name, other = crate.modules[member].name(), crate.modules[target].name()
                    said.append(f"    {name} uses {other} ({lines[0]}{more})")
    return said


def layers(crate, order=None):
    """What to say of each use that goes against the layers."""
    order = LAYERS if order is None else order
    said = []
    rooms = crate.modules[()].children
    said += [f"{room} has no layer: see LAYERS in scripts/check_modules.py" for room in sorted(rooms - set(order))]
    for source, targets in sorted(crate.uses().items()):
        if not source or source[0] not in order:
            continue
        rank = order.index(source[0])
        for target, lines in sorted(targets.items()):
            other = target[0] if target else None
            if other == source[0]:
                continue
            if other is None or (other in order and order.index(other) < rank):
                name = crate.modules[target].name()
                said += [f"{line}: {source[0]} uses {name}, of a layer above" for line in lines]
    return said


def roots_of(place):
    """The files of crate roots that this file or folder stands for."""
    place = pathlib.Path(place)
    if place.is_file():
        return [place]
    found = []
    for manifest in sorted(place.rglob("Cargo.toml")):
        package = manifest.parent
        for pattern in ("src/lib.rs", "src/main.rs", "src/bin/*.rs", "src/bin/*/main.rs", "tests/*.rs", "build.rs"):
            found += sorted(package.glob(pattern))
    return [root for root in found if "target" not in root.parts]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("check", choices=["cycles", "layers"])
    parser.add_argument("roots", nargs="+", metavar="CRATE_ROOT")
    given = parser.parse_args(arguments)
    said = []
    for place in given.roots:
        roots = roots_of(place)
        if not roots:
            said.append(f"{place}: no crate")
        for root in roots:
            try:
                said += (cycles if given.check == "cycles" else layers)(Crate(root))
            except (OSError, Unreadable) as error:
                said.append(str(error))
    if said:
        print("\n".join(said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
