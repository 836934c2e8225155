# SPDX-License-Identifier: GPL-2.0
"""Tests of check_modules on small made-up crates: `python3 -m unittest check_modules_test`
in scripts/."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import check_modules


class Crates(unittest.TestCase):
    def crate(self, **files):
        """A crate of these files: `a__b` is a/b.rs, and `root` the crate's root."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, text in files.items():
            file = pathlib.Path(folder.name, *name.split("__")).with_suffix(".rs")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return pathlib.Path(folder.name) / "root.rs"

    def cycles(self, **files):
        said = check_modules.cycles(check_modules.Crate(self.crate(**files)))
        return [line.split(": ", 1)[1] for line in said if not line.startswith(" ")]

    def layers(self, **files):
        return check_modules.layers(check_modules.Crate(self.crate(**files)), ["high", "low"])


class Cycles(Crates):
    def test_one_way_is_none(self):
        self.assertEqual(self.cycles(root="mod a; mod b; use a::X;", a="pub use crate::b::X;", b="pub struct X;"), [])

    def test_two_modules(self):
        self.assertEqual(self.cycles(root="mod a; mod b;", a="use crate::b::X;", b="use super::a::Y;"), ["a, b"])

    def test_three_modules_in_nested_braces(self):
        self.assertEqual(
            self.cycles(
                root="mod a; mod b; mod c;",
                a="use {core::fmt, crate::{c, b::{self, X as Z}}};",
                b="use crate::c::{X, Y};",
                c="use super::{a::{W}};",
            ),
            ["a, b, c"],
        )

    def test_a_path_without_use(self):
        self.assertEqual(
            self.cycles(root="mod a; mod b;", a="fn f() -> crate::b::X { todo() }", b="fn g() { super::a::f(); }"),
            ["a, b"],
        )

    def test_siblings_in_a_folder(self):
        self.assertEqual(
            self.cycles(
                root="mod room;",
                room__mod="pub mod a; pub mod b; pub use a::Y;",
                room__a="use super::b::X;",
                room__b="use super::a::Y;",
            ),
            ["room::a, room::b"],
        )

    def test_a_sibling_behind_a_reexport(self):
        files = {
            "root": "mod room;",
            "room__mod": "mod a; mod b; pub use a::Y;",
            "room__a": "use super::b::X; pub struct Y;",
            "room__b": "use crate::room::Y; pub struct X;",
        }
        self.assertEqual(self.cycles(**files), ["room::a, room::b"])
        files["room__mod"] = "mod a; mod b; pub use a::*;"
        self.assertEqual(self.cycles(**files), ["room::a, room::b"])

    def test_a_module_behind_an_alias(self):
        self.assertEqual(
            self.cycles(
                root="mod room; mod other;",
                room__mod="pub mod a;",
                room__a="use crate::other::X;",
                other="use crate::room as r; fn f() { r::a::g(); }",
            ),
            ["other, room::a"],
        )

    def test_a_child_that_names_what_its_parent_has(self):
        child = "use super::LIMIT;"
        self.assertEqual(self.cycles(root="mod a;", a="pub mod b; pub use b::X; const LIMIT: u8 = 1;", a__b=child), [])
        self.assertEqual(self.cycles(root="mod a;", a="mod b; use b::X; const LIMIT: u8 = 1;", a__b=child), ["a, a::b"])

    def test_a_macro(self):
        self.assertEqual(
            self.cycles(
                root="#[macro_use] mod a; mod b;",
                a="macro_rules! table { () => {} } use crate::b::X;",
                b="table!();",
            ),
            ["a, b"],
        )

    def test_tests_inside_of_a_module(self):
        tests = "#[cfg(test)] mod tests { use super::{super::testing::*, *}; mod inner { use super::*; } use inner::X; }"
        self.assertEqual(self.cycles(root="mod a; mod testing;", a=tests, testing="use crate::a::X;"), [])

    def test_comments_and_literals_are_no_code(self):
        self.assertEqual(
            self.cycles(
                root="mod a; mod b;",
                a="use crate::b::X;",
                b=r'''// use crate::a::Y;
                /* use crate::a; /* */ use crate::a::Y; */
                const A: &str = "use crate::a::Y; \""; const B: &str = r#"" use crate::a::Y; "#;
                const C: char = '"'; fn f<'a>(_: &'a str) -> char { '\'' } // [crate::a::Y]
                ''',
            ),
            [],
        )

    def test_other_crates_with_the_name_of_a_module(self):
        self.assertEqual(
            self.cycles(root="mod a; mod fmt;", a="use core::fmt; use ::fmt::X;", fmt="use crate::a::Y;"), []
        )

    def test_what_is_given_away_is_not_used(self):
        self.assertEqual(self.cycles(root="mod a; mod b;", a="use crate::b::X;", b="pub(in crate::a) struct X;"), [])

    def test_the_lines_are_named(self):
        root = self.crate(root="mod a;\nmod b;", a="\nuse crate::b::X;", b="use crate::a::Y;")
        said = check_modules.cycles(check_modules.Crate(root))
        self.assertIn(f"    a uses b ({root.parent}/a.rs:2)", said)


class Layers(Crates):
    def test_downwards(self):
        self.assertEqual(self.layers(root="mod high; mod low; use low::Y;", high="use crate::low::Y;", low=""), [])

    def test_upwards(self):
        said = self.layers(root="mod high; mod low;", high="", low__mod="mod a;", low__a="use crate::high::X;")
        self.assertEqual(len(said), 1)
        self.assertTrue(said[0].endswith("low uses high, of a layer above"), said)

    def test_the_root(self):
        said = self.layers(root="mod low; pub struct X;", low="use crate::X;")
        self.assertEqual(len(said), 1)

    def test_a_room_without_a_layer(self):
        self.assertEqual(len(self.layers(root="mod attic;", attic="")), 1)


class Program(Crates):
    def run_on(self, *arguments):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            return check_modules.main([str(argument) for argument in arguments]), out.getvalue()

    def test_a_folder_stands_for_its_crates(self):
        root = self.crate(root="", p__src__lib="mod a;", p__src__bin__b="mod c;", p__src__bin__c="")
        (root.parent / "p" / "Cargo.toml").write_text("")
        status, out = self.run_on("cycles", root.parent)
        self.assertEqual((status, out.count("there is no file for `mod a`")), (1, 1), out)
        (root.parent / "p" / "src" / "a.rs").write_text("")
        self.assertEqual(self.run_on("cycles", root.parent), (0, ""))

    def test_a_folder_without_crates(self):
        self.assertEqual(self.run_on("cycles", "/nonexistent")[0], 1)


if __name__ == "__main__":
    unittest.main()
