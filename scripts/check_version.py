#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check that everything that has a version has the one of the file VERSION:
check_version.py [FOLDER]

The module takes it from there when it is built, and so do the packages. Cargo.toml and
CHANGELOG.md cannot: they repeat it.
"""

import pathlib
import re
import sys

VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[a-z0-9.]+)?")
# "## [Unreleased]", or "## [0.1.0] - 2026-11-26".
HEADING = re.compile(r"^## \[([^]]*)\](?: - (.*))?$", re.MULTILINE)
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def problems(folder):
    """What to say of the versions in a tree: a line for each that is not as it should be."""
    said = []
    version = (folder / "VERSION").read_text(encoding="utf-8").rstrip("\n")
    if not VERSION.fullmatch(version):
        said.append(f"VERSION: {version!r} is no version such as 0.1.0")

    cargo = (folder / "Cargo.toml").read_text(encoding="utf-8")
    workspace = re.search(r'^\[workspace\.package\]\n(?:(?!\[).*\n)*?version = "(.*)"$', cargo, re.MULTILINE)
    found = workspace[1] if workspace else None
    if found != version:
        said.append(f"Cargo.toml: version {found}, and VERSION has {version}")
    for crate in sorted(folder.glob("*/*/Cargo.toml")):
        # That of a dependency stands in braces.
        for line in crate.read_text(encoding="utf-8").splitlines():
            if re.match(r"version\s*=", line):
                said.append(f"{crate.relative_to(folder)}: a version of its own: version.workspace = true")

    headings = HEADING.findall((folder / "CHANGELOG.md").read_text(encoding="utf-8"))
    releases = [(name, date) for name, date in headings if name != "Unreleased"]
    if not releases or releases[0][0] != version:
        newest = releases[0][0] if releases else None
        said.append(f"CHANGELOG.md: the newest release is {newest}, and VERSION has {version}")
    said.extend(
        f"CHANGELOG.md: [{name}] has no date such as 2026-11-26"
        for name, date in releases
        if not DATE.fullmatch(date)
    )
    return said


def main(folder="."):
    said = problems(pathlib.Path(folder))
    for line in said:
        print(line)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
