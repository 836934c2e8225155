#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Write the tables of guests that were stopped, from what scripts/pauses has left.

    pauses_table.py DOCUMENT ROWS...

Each line of ROWS (out/KERNEL/pauses.jsonl) is what one guest of the topic pauses saw. The tables stand
in DOCUMENT between the lines BEGIN and END; the rest of it is kept.
"""

import json
import pathlib
import sys

BEGIN = "<!-- Made by `make pauses`: the tables up to the end of this part are not to be changed by hand. -->"
END = "<!-- The end of what `make pauses` makes. -->"
COLUMNS = [
    "what", "times", "the guest's clock went on by", "panics", "false reports", "said not to run",
    "in-tree reports", "soft", "hung", "hard",
]
# In this order; by what the scenarios call them.
KINDS = {
    "stop": "whole VM stopped, {}",
    "clocks_stopped": "whole VM and its clocks stopped, {}",
    "snapshot": "saved, and continued in another QEMU{}",
    "one_cpu": "one virtual CPU stopped, {}",
    "shared": "{cpus} busy virtual CPUs on one host CPU, {}",
}


def length(seconds):
    """A length of time as text."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"


def what(row):
    """What was done to the guest."""
    text = length(row["seconds"])
    if row["pause"] == "snapshot":
        text = f" with its clocks {text} later" if row["seconds"] else ""
    return KINDS[row["pause"]].format(text, cpus=row["cpus"])


def seconds(rows, key):
    """When the true ones were found; that one was not is said."""
    found = [row[key] for row in rows]
    if any(value is None for value in found):
        return "**missed**"
    return ", ".join(f"{value:.1f} s" for value in found)


def line(rows):
    """The row of guests with the same pauses: tries that failed are in it."""
    panics = sum(row["panics"] for row in rows)
    false = [text for row in rows for text in row["false_reports"]]
    in_tree = [row["in_tree"] for row in rows]
    cells = [
        what(rows[0]),
        str(sum(row["count"] for row in rows)),
        f"{sum(row['lost'] for row in rows):,.0f} s",
        str(panics) if panics == 0 else f"**{panics}**",
        "0" if not false else f"**{len(false)}**: " + "; ".join(false),
        str(sum(row["not_run"] for row in rows)),
        "-" if None in in_tree else str(sum(in_tree)),
        *(seconds(rows, key) for key in ("soft", "hung", "hard")),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def tables(rows):
    """A table for each kernel."""
    text = []
    kernels = sorted({(row["kernel"], row["emulated"]) for row in rows})
    for kernel, emulated in kernels:
        of_kernel = [row for row in rows if (row["kernel"], row["emulated"]) == (kernel, emulated)]
        commits = sorted({row["commit"] for row in of_kernel})
        how = "QEMU's emulation" if emulated else "KVM"
        text += [f"### {kernel}, by {how}", ""]
        text += [f"`make pauses KERNEL={of_kernel[0]['name']}` with the module of {', '.join(commits)}.", ""]
        text += ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        alike = {}
        for row in of_kernel:
            again = row["count"] > 3
            key = (list(KINDS).index(row["pause"]), again, row["seconds"])
            alike.setdefault(key, []).append(row)
        text += [line(alike[key]) for key in sorted(alike)]
        for row in of_kernel:
            if row["error"]:
                text += ["", f"A guest was given up: {row['error']}"]
        text.append("")
    return "\n".join(text)


def main(document, *files):
    """Writes the tables; the status is 1 if there was a panic or a false report, or one was missed."""
    rows = []
    for file in map(pathlib.Path, files):
        if file.exists():
            for text in file.read_text(encoding="utf-8").splitlines():
                rows.append({"name": file.parent.name, **json.loads(text)})
    path = pathlib.Path(document)
    head, rest = path.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    path.write_text(f"{head}{BEGIN}\n\n{tables(rows)}{END}{tail}", encoding="utf-8")
    wrong = [row for row in rows if row["panics"] or row["false_reports"] or row["error"]]
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
