# SPDX-License-Identifier: GPL-2.0
"""Tests of proof: `python3 -m unittest proof_test` in scripts/."""

import unittest

import proof

KTAP = """KTAP version 1
1..5
# release: 7.3.4
# time: 1.0 s
ok 1 a::one
ok 2 a::two # SKIP the kernel has no CONFIG_X
ok 3 a::three # SKIP the kernel has no CONFIG_X
# flaky: the first try failed: too slow
# more of it
# time: 2.0 s
ok 4 module::insmod_fail_nth
# no report
# time: 2.0 s
not ok 5 b::one
ok 6 injection::looks
"""


class Proof(unittest.TestCase):
    def test_results(self):
        self.assertEqual(
            proof.results(KTAP),
            [
                ("a::one", "passed", ""),
                ("a::two", "skipped", "the kernel has no CONFIG_X"),
                ("a::three", "skipped", "the kernel has no CONFIG_X"),
                ("module::insmod_fail_nth", "flaky", "too slow"),
                ("b::one", "failed", "no report"),
                ("injection::looks", "passed", ""),
            ],
        )

    def test_a_run_without_a_guest(self):
        text = "# why\nnot ok 1 a::b # ERROR no guest came up\n"
        self.assertEqual(proof.results(text), [("a::b", "failed", "why")])

    def test_document(self):
        config = "CONFIG_KASAN=y\n# CONFIG_UBSAN is not set\n"
        run = proof.Run("7.3-debug", "abc", "7.3.4", config, KTAP, "2026-11-27")
        text = proof.document(run, "2026-11-26 80 7 94 0\n")
        self.assertIn("Kernel 7.3.4, vigil at abc, 2026-11-27: **6 scenarios", text)
        self.assertIn("**6 scenarios: 2 passed, 1 passed at the second try, 1 failed, 2 skipped.**", text)
        self.assertIn("- `a::two`, `a::three`: the kernel has no CONFIG_X\n", text)
        self.assertIn("**Failed** (1):\n\n- `b::one`: no report\n", text)
        self.assertIn("| `KASAN` | yes |", text)
        self.assertIn("| `UBSAN` | no |", text)
        self.assertIn("- `module::insmod_fail_nth`: flaky\n- `injection::looks`: passed\n", text)
        self.assertIn("| 2026-11-26 | `scripts/new-cases 80 7` | 94 | 0 |", text)
        self.assertNotIn("## With", text)

    def test_another_kernel(self):
        run = proof.Run("7.3-debug", "abc", "7.3.4", "CONFIG_KASAN=y\n", KTAP, "2026-11-27")
        ktap = "not ok 1 b::two\nok 2 a::two # SKIP the kernel has no CONFIG_X\nok 3 a::one # SKIP four CPUs\n"
        config = "CONFIG_KASAN=y\nCONFIG_UBSAN=y\n"
        other = proof.Run("7.3-more", "def", "7.3.5", config, ktap, "2026-11-28")
        text = proof.document(run, "", [other])
        part = text[text.index("## With `UBSAN`: undefined behaviour\n\n`make test KERNEL=7.3-more`.\n") :]
        self.assertIn("vigil at def, 2026-11-28: **3 scenarios: 0 passed, 0 passed at the second try, 1 failed, 2 skipped.**", part)
        self.assertIn("**Failed** (1):\n\n- `b::two`", part)
        self.assertIn("**Skipped, and not above** (1):\n\n- `a::one`: four CPUs\n", part)


if __name__ == "__main__":
    unittest.main()
