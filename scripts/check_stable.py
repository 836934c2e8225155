#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check that what docs/stability.md calls stable is still as in the last release:

    check_stable.py [FOLDER]          compare with scripts/stable.json
    check_stable.py --write [FOLDER]  make a release: write it

Names that were there have to be there. More may come. The names of a release may go with a
new major version, or before 1.0 with a new minor one.
"""

import json
import pathlib
import re
import sys

FILE = "scripts/stable.json"


def names(folder):
    """What programs may rely on, as a list of words for each kind."""

    def read(name):
        path = folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    messages = json.loads(read("scripts/messages.json"))
    status, section = [], None
    for line in read("docs/status.md").splitlines():
        if heading := re.match(r"## `\[(\w+)\]`", line):
            section = heading[1]
        elif section and (key := re.match(r"\| `(\w+)` \|", line)):
            status.append(f"{section}.{key[1]}")
    return {
        "knobs": sorted(set(re.findall(r"^\| `(\w+)` \|", read("docs/knobs.md"), re.MULTILINE))),
        # Each with the names in braces.
        "messages": sorted(
            f"{key} {' '.join(sorted(set(re.findall(r'{(\w+)}', text))))}".strip() for key, text in messages.items()),
        "status": sorted(status),
        "netlink": sorted(set(re.findall(r"^ *(?:- *)?name: *([\w-]+)", read("docs/netlink/vigil.yaml"), re.MULTILINE))),
        # The layouts of the crash record that are read.
        "record": sorted(re.findall(r"\b(\d+): ", (re.search(
            r"^VERSIONS = {(.*?)}", read("scripts/vmcore_report.py"), re.MULTILINE | re.DOTALL) or ["", ""])[1])),
    }


def series(version):
    """What has to change for a name to go: the major version, and before 1.0 the minor one."""
    major, minor = version.split(".")[:2]
    return (major, minor if major == "0" else "")


def problems(folder):
    """What to say: a line for each name that is gone."""
    path = folder / FILE
    if not path.exists():
        return []
    last = json.loads(path.read_text(encoding="utf-8"))
    version = (folder / "VERSION").read_text(encoding="utf-8").strip()
    if series(version) != series(last["version"]):
        return []
    now = names(folder)
    return [
        f"{kind}: {name} was there in {last['version']}, and is not in {version}"
        for kind, listed in last["names"].items()
        for name in listed
        if name not in now.get(kind, [])
    ]


def main(args):
    write = args[:1] == ["--write"]
    folder = pathlib.Path(*args[1:] if write else args)
    if write:
        version = (folder / "VERSION").read_text(encoding="utf-8").strip()
        text = json.dumps({"version": version, "names": names(folder)}, indent=1)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")
        return 0
    said = problems(folder)
    for line in said:
        print(line)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
