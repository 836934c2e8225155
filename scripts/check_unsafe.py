#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check that unsafe code and raw bindings stay in one room of the module's sources.

    check_unsafe.py SRC

- `unsafe` and `bindings::` stand in SRC/sys only.
- Every other room's own file denies unsafe code to all that it contains.
- SRC/logic names nothing of the kernel, so that it builds for the host; its tests may.
"""

import pathlib
import re
import sys

from check_modules import tokens_of

ROOM = "sys"
ROOT = "vigil_main.rs"


def places(tokens, first, second):
    """The lines on which one word or sign follows the other."""
    return [a.line for a, b in zip(tokens, tokens[1:]) if a.text in first and b.text in second]


def problems(src):
    said = []
    for file in sorted(src.rglob("*.rs")):
        inside = file.relative_to(src).parts
        if inside[0] == ROOM or "tests" in inside:
            continue
        text = file.read_text(encoding="utf-8")
        tokens = tokens_of(text)
        for line in places(tokens, {"unsafe"}, {"{", "fn", "impl", "trait", "extern"}):
            said.append(f"{file}:{line}: unsafe code outside of {ROOM}")
        for line in places(tokens, {"bindings"}, {"::"}):
            said.append(f"{file}:{line}: bindings outside of {ROOM}")
        if inside[0] == "logic":
            for line in places(tokens, {"kernel"}, {"::"}):
                said.append(f"{file}:{line}: logic uses the kernel")
        own_file = len(inside) == 1 or (len(inside) == 2 and inside[1] == "mod.rs")
        if own_file and file.name != ROOT and not re.search(r"^#!\[deny\(unsafe_code\)\]", text, re.MULTILINE):
            said.append(f"{file}: no #![deny(unsafe_code)]")
    return said


def main(src):
    said = problems(pathlib.Path(src))
    if said:
        print("\n".join(said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
