# SPDX-License-Identifier: GPL-2.0
"""Tests of check_unsafe on small made-up trees: `python3 -m unittest check_unsafe_test`
in scripts/."""

import pathlib
import tempfile
import unittest

import check_unsafe

DENY = "#![deny(unsafe_code)]\n"


class Unsafe(unittest.TestCase):
    def problems(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                file = pathlib.Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            said = check_unsafe.problems(pathlib.Path(folder))
            return [line.replace(f"{folder}/", "") for line in said]

    def test_all_in_its_place(self):
        tree = {
            "vigil_main.rs": "mod detect; // unsafe {",
            "detect/mod.rs": DENY,
            "detect/a.rs": 'const A: &str = "unsafe { bindings::x }"; use kernel::prelude::*;',
            "logic/mod.rs": DENY,
            "logic/tests/a.rs": "use kernel::x; unsafe { f() }",
            "sys/mod.rs": "use kernel::bindings; unsafe { bindings::f() }",
        }
        self.assertEqual(self.problems(tree), [])

    def test_unsafe_code(self):
        for code in ("fn f() {\n    unsafe { g() } }", "\nunsafe fn f() {}", "\nunsafe impl Send for X {}"):
            self.assertEqual(
                self.problems({"detect/a.rs": code}), ["detect/a.rs:2: unsafe code outside of sys"]
            )
        self.assertEqual(len(self.problems({"vigil_main.rs": 'unsafe extern "C" {}'})), 1)

    def test_bindings(self):
        self.assertEqual(
            self.problems({"detect/a.rs": "use kernel::bindings::x;"}), ["detect/a.rs:1: bindings outside of sys"]
        )

    def test_the_kernel_in_logic(self):
        self.assertEqual(len(self.problems({"logic/a.rs": "use kernel::prelude::*;"})), 1)

    def test_each_room_denies(self):
        for room in ("control/mod.rs", "report/mod.rs", "incident/mod.rs", "panic.rs", "logic/mod.rs"):
            self.assertEqual(self.problems({room: "//! x\n"}), [f"{room}: no #![deny(unsafe_code)]"])
            self.assertEqual(self.problems({room: "// " + DENY}), [f"{room}: no #![deny(unsafe_code)]"])


if __name__ == "__main__":
    unittest.main()
