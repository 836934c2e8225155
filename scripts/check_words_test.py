# SPDX-License-Identifier: GPL-2.0
"""Tests of check_words: `python3 -m unittest check_words_test` in scripts/."""

import unittest

from check_words import problems


class Words(unittest.TestCase):
    def test_names(self):
        for name in ("told_by", "HeartBeat", "nmi_bell", "BELL", "theEye", "Doom", "doomed", "wishes", "last_glimpse"):
            self.assertEqual(len(problems("src/a.rs", f"fn f() {{ {name}(); }}\n")), 1, name)

    def test_texts(self):
        self.assertEqual(len(problems("qemu/a.rs", 'const A: &str = "asks for patience";')), 1)
        self.assertEqual(len(problems("qemu/a.rs", r'const A: &str = "once\ntold";')), 1)
        self.assertEqual(len(problems("README.md", "A CPU is told.\n")), 1)
        self.assertEqual(len(problems("scripts/a", "echo 'no patience'\n")), 1)
        self.assertEqual(len(problems("Makefile", "##   vm   a heart\n")), 1)

    def test_other_words(self):
        for text in ("heartbeat", "CpuHeartbeat", "HEARTBEAT", "label", "deadbeat", "threshold", "keyed", "beatable"):
            self.assertEqual(problems("src/a.rs", text), [], text)

    def test_comments_count_in_src_only(self):
        for comment in ("// told\n", "/* told\n */\n"):
            self.assertEqual(len(problems("src/a.rs", comment)), 1)
            self.assertEqual(problems("qemu/a.rs", comment), [])
        self.assertEqual(problems("scripts/a", "x=$# # told\n# told\n"), [])
        self.assertEqual(len(problems("scripts/a", "x=${y#told}\n")), 1)
        self.assertEqual(len(problems("qemu/a.rs", '"// told"\n')), 1)

    def test_the_line_is_named(self):
        self.assertEqual(problems("qemu/a.rs", "/* a\n*/\nlet told = 1;\n"), ["qemu/a.rs:3: told: let told = 1;"])

    def test_a_file_is_named_so(self):
        self.assertEqual(len(problems("src/c/heart.c", "")), 1)


if __name__ == "__main__":
    unittest.main()
