# SPDX-License-Identifier: GPL-2.0
"""Tests of stack_depth: `python3 -m unittest stack_depth_test` in scripts/."""

import contextlib
import io
import unittest
import unittest.mock

import stack_depth

# A function of another section is called by its name, a static one of the same by its place there.
TEXT = """\
Disassembly of section .text:

0000000000000000 <entry>:
   0:\tpush   %rbx
   1:\tsub    $0x20,%rsp
   8:\tcall   d <entry+0xd>
\t\t\t9: R_X86_64_PLT32\tmiddle-0x4
   d:\tcall   12 <entry+0x12>
\t\t\te: R_X86_64_PLT32\t.text+0x2c
  12:\tjmp    17 <entry+0x17>
\t\t\t13: R_X86_64_PLT32\tvprintk-0x4

0000000000000020 <middle>:
  20:\tsub    $0x100,%rsp
  27:\tadd    $0xffffffffffffff80,%rsp
  2b:\tcall   20 <middle>

0000000000000030 <leaf>:
  30:\tsub    $0x200,%rsp
  37:\tsub    $0xffffffffffffff80,%rsp
  3b:\tlea    0x0(%rip),%rdi
\t\t\t3e: R_X86_64_PC32\tmiddle-0x4
"""


class StackDepth(unittest.TestCase):
    def test_functions(self):
        found = stack_depth.functions(TEXT.splitlines())
        self.assertEqual({name: function.frame for name, function in found.items()}, {"entry": 48, "middle": 264, "leaf": 520})
        self.assertEqual(found["entry"].calls, {"middle", "leaf"})
        # An address that is taken is no call.
        self.assertEqual(found["leaf"].calls, set())

    def test_deepest(self):
        found = stack_depth.functions(TEXT.splitlines())
        self.assertEqual(stack_depth.deepest(found, "entry"), (568, ("entry", "leaf")))
        # A function that calls itself is counted once.
        self.assertEqual(stack_depth.deepest(found, "middle"), (264, ("middle",)))

    def test_locals(self):
        text = TEXT + "0000000000000060 <init_module>:\n  60:\tsub    $0x1000,%rsp\n"
        for most, expected in ("512", (0, "")), ("511", (1, "leaf has 512 bytes of local variables, more than 511\n")):
            with unittest.mock.patch("sys.stdin", io.StringIO(text)), contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual((stack_depth.main(most), out.getvalue()), expected)

    def said(self, *limits):
        with unittest.mock.patch("sys.stdin", io.StringIO(TEXT)), contextlib.redirect_stdout(io.StringIO()) as out:
            return stack_depth.main("512", *limits), out.getvalue()

    def test_limits(self):
        self.assertEqual(self.said("entry=568", "leaf=520"), (0, ""))
        self.assertEqual(self.said("entry=567"), (1, "entry takes 568 bytes of stack, more than 567: entry 48, leaf 520\n"))
        self.assertEqual(self.said("gone=1"), (1, "there is no function gone\n"))


if __name__ == "__main__":
    unittest.main()
