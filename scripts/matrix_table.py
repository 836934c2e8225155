#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Write the table of kernels from what scripts/matrix has left.

    matrix_table.py TABLE RESULTS KERNEL...

Writes the rows of these kernels in TABLE anew, keeps the other rows, prints the
new ones, and exits with 1 if one of these kernels failed.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as xml

HEAD = """\
# Kernels

Written by `make matrix`, which builds the module for each of Debian's kernels here, boots it in a virtual machine, and runs the
scenarios of the topic `smoke`: load and unload, a hung task, a soft lockup and a hard lockup, each provoked and then
found with a threshold (timeout) of 1 s. A cell says when the report came, counted from the moment at which the task or
CPU got stuck, and what it had. `make matrix KERNELS="7.2-cloud 7.2"` does so for some kernels and keeps the other rows: those that are
built here (7.3-debug, arm64-nmi) have come so.

"""
COLUMNS = ["kernel", "release", "built", "load, unload", "hung task", "soft lockup", "hard lockup", "run on"]
SCENARIOS = ["load_and_unload", "hung_task", "soft_lockup", "hard_lockup"]
# Rows of other kernels follow, in the order of their names.
ORDER = ["7.3-cloud", "7.3", "7.3-rt", "7.2-cloud", "7.2", "7.2-rt", "7.3-arm64", "7.3-debug", "7.3-debug-rcu", "arm64-nmi"]
LONGEST = 160


def failed(word, reason):
    """A cell for a failure: one line, cut to a length that a table bears."""
    reason = " ".join(reason.removeprefix("error: ").split())
    if len(reason) > LONGEST:
        reason = reason[:LONGEST].rstrip() + "..."
    return f"**{word}**: {reason}".replace("|", "\\|")


def read(path):
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""


def scenario_cells(results):
    """A cell for each scenario, and whether all passed."""
    cases = {}
    if (results / "junit.xml").exists():
        for case in xml.parse(results / "junit.xml").iter("testcase"):
            if case.get("classname") == "smoke":
                cases[case.get("name")] = case
    said = dict(re.findall(r"\bsmoke::(\w+): (.*)$", read(results / "stdout.txt"), re.MULTILINE))
    cells, passed = [], True
    for name in SCENARIOS:
        case = cases.get(name)
        problem = None if case is None else next((e for e in case if e.tag in ("failure", "error")), None)
        if case is None:
            cells.append(failed("not run", read(results / "failed") or "the run came to no end"))
        elif problem is not None:
            word = "boot failed" if problem.tag == "error" else "failed"
            cells.append(failed(word, problem.get("message") or ""))
        else:
            cells.append(said.get(name, "yes"))
        passed &= case is not None and problem is None
    return cells, passed


def row_of(kernel, results):
    """The cells of one kernel's row, and whether all is as it should be."""
    release, error, date = (read(results / name) for name in ("release", "error", "date"))
    nothing = [""] * len(SCENARIOS)
    if not release:
        return [kernel, failed("none", error or "no result"), "", *nothing, date], False
    if error:
        return [kernel, release, failed("no", error), *nothing, date], False
    cells, passed = scenario_cells(results)
    return [kernel, release, "yes", *cells, date], passed


def line(cells):
    return "| " + " | ".join(cells) + " |"


def kept_rows(text):
    """The rows that a table has already, by kernel."""
    rows = {}
    for row in text.splitlines():
        name = re.match(r"\| ([^ |]+) \|", row)
        if name and name[1] not in ("kernel",) and not row.startswith("|---"):
            rows[name[1]] = row
    return rows


def place(kernel):
    return (ORDER.index(kernel) if kernel in ORDER else len(ORDER), kernel)


def main(table, results, *kernels):
    table, results = pathlib.Path(table), pathlib.Path(results)
    rows = kept_rows(read(table))
    failures = 0
    for kernel in kernels:
        cells, passed = row_of(kernel, results / kernel)
        rows[kernel] = line(cells)
        failures += not passed
        print(rows[kernel])
    ordered = [rows[kernel] for kernel in sorted(rows, key=place)]
    header = [line(COLUMNS), "|" + "---|" * len(COLUMNS)]
    table.write_text(HEAD + "\n".join(header + ordered) + "\n", encoding="utf-8")
    print(f"{len(kernels) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
