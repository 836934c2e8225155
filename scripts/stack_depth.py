#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Say how much stack a module's functions and its entry points take, and hold it to limits.

    objdump -dr --no-show-raw-insn MODULE | stack_depth.py LOCALS [ENTRY=BYTES...]

No function may have more than LOCALS bytes of local variables, but for those that run once, at load.

ENTRY is part of the name of a function that the kernel calls. Its depth is that of its own stack frame, return
address included, and of the deepest chain of functions of the module that it calls directly. What is called by a
pointer, and what the kernel's functions take that it calls, comes on top. For x86-64.
"""

import collections
import dataclasses
import re
import sys

FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
SECTION = re.compile(r"^Disassembly of section (\S+):$")
PUSH = re.compile(r"\tpush ")
SUB = re.compile(r"\tsub +\$0x([0-9a-f]+),%rsp")
BRANCH = re.compile(r"\t(?:call|jmp) +[0-9a-f]+ <([^>+]+)>")
RELOCATION = re.compile(r"R_X86_64_(?:PLT32|PC32)\t([^\s+-]+)(?:([+-])0x([0-9a-f]+))?$")
# The return address.
CALL = 8
# The module's init, in Rust and in C.
ONCE = re.compile(r"6Module4init|init_module")


@dataclasses.dataclass
class Function:
    """A function: its stack frame, local variables in it, and what it calls: names, or section and offset."""

    frame: int = CALL
    locals: int = 0
    calls: set = dataclasses.field(default_factory=set)


def functions(lines):
    """The functions of a disassembly, by name, with the names of what they call directly."""
    found, places, section, name, is_call = {}, collections.defaultdict(list), None, None, False
    for line in lines:
        line = line.rstrip("\n")
        if start := SECTION.match(line):
            section = start[1]
        elif start := FUNCTION.match(line):
            name = start[2]
            found[name] = Function()
            places[section].append((int(start[1], 16), name))
        elif name and (target := RELOCATION.search(line)):
            # The address is counted from the end of the instruction, four bytes behind.
            offset = int(f"{target[2] or '+'}{target[3] or '0'}", 16) + 4
            if is_call:
                found[name].calls.add((target[1], offset))
        elif name:
            is_call = "\tcall" in line or "\tjmp" in line
            found[name].frame += CALL * bool(PUSH.search(line))
            size = int(taken[1], 16) if (taken := SUB.search(line)) else 0
            # A large number is negative: the other way round.
            size = size if size < 1 << 20 else 0
            found[name].locals = max(found[name].locals, size)
            found[name].frame += size
            if branch := BRANCH.search(line):
                found[name].calls.add((branch[1], 0))
    for function in found.values():
        function.calls = {called(*call, found, places) for call in function.calls} - {None}
    return found


def called(target, offset, found, places):
    """The name of the function that begins at an offset from a function or section."""
    if target in found:
        return target
    return next((name for start, name in places.get(target, ()) if start == offset), None)


def deepest(found, entry):
    """The deepest chain from a function on: its depth, and the names."""
    known = {}

    def walk(name, above):
        if name in above:
            return 0, ()
        if name not in known:
            function = found[name]
            below = max((walk(other, above | {name}) for other in function.calls), default=(0, ()))
            known[name] = function.frame + below[0], (name, *below[1])
        return known[name]

    return walk(entry, frozenset())


def main(most_locals, *limits):
    """Prints what is too large or too deep; the status is 1 then, and if there is no such function."""
    sys.setrecursionlimit(10000)
    found = functions(sys.stdin)
    status = 0
    for name, function in found.items():
        if function.locals > int(most_locals) and not ONCE.search(name):
            print(f"{name} has {function.locals} bytes of local variables, more than {most_locals}")
            status = 1
    for limit in limits:
        entry, most = limit.rsplit("=", 1)
        entries = [name for name in found if entry in name]
        if not entries:
            print(f"there is no function {entry}")
            status = 1
        for name in entries:
            depth, chain = deepest(found, name)
            if depth > int(most):
                frames = ", ".join(f"{link} {found[link].frame}" for link in chain)
                print(f"{name} takes {depth} bytes of stack, more than {most}: {frames}")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
