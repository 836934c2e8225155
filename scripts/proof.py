#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Write what a whole run on a kernel with debugging options showed, from what it left.

    proof.py DOCUMENT FOLDER [NEW_CASES [OTHER...]]

FOLDER is out/KERNEL, with results.ktap, commit, config and release; NEW_CASES is what scripts/new-cases has
noted of its runs; OTHER are folders such as FOLDER, of kernels that check more on fewer scenarios, and are
left out if they have no results. All of DOCUMENT is written.
"""

import dataclasses
import datetime
import pathlib
import re
import sys

HEAD = """\
<!-- Made by `make proof` from the results of a run: not to be changed by hand. -->

# Proof

What the whole suite showed on a kernel that checks all it does: `make test-all KERNEL={name}`, and then
`make proof KERNEL={name}`, which wrote this. [testing.md](testing.md) has the scenarios; whatever the kernel complains of, a
leak included, fails the scenario in which it came, and is not tried again.
"""

# What each looks for; the kernel has it or not.
OPTIONS = {
    "KASAN": "use after free, out of bounds",
    "KASAN_VMALLOC": "the same in vmalloc() memory, per-CPU memory and modules included",
    "UBSAN": "undefined behaviour",
    "CFI": "calls of a function by a pointer of another type",
    "PROVE_LOCKING": "lockdep: order of locks, and the contexts in which they are taken",
    "PROVE_RAW_LOCK_NESTING": "sleeping locks of -rt inside raw ones",
    "DEBUG_LOCK_ALLOC": "locks that are freed while they are held",
    "DEBUG_SPINLOCK": "spinlocks that are not initialised or not the CPU's own",
    "DEBUG_ATOMIC_SLEEP": "sleeping in atomic context",
    "DEBUG_PREEMPT": "per-CPU data with preemption on",
    "PROVE_RCU": "RCU-protected pointers outside a reader",
    "RCU_STRICT_GRACE_PERIOD": "readers that end too early",
    "DEBUG_OBJECTS": "timers, work and RCU heads in use while they are freed",
    "DEBUG_OBJECTS_TIMERS": "the same for timers",
    "DEBUG_OBJECTS_WORK": "the same for work",
    "DEBUG_OBJECTS_RCU_HEAD": "the same for RCU heads",
    "DEBUG_OBJECTS_PERCPU_COUNTER": "the same for per-CPU counters",
    "DEBUG_KMEMLEAK": "memory that nothing points to",
    "DEBUG_LIST": "lists that are corrupt",
    "DEBUG_VM": "pages that are not what they should be",
    "SCHED_STACK_END_CHECK": "stack overflows",
    "FAULT_INJECTION": "allocations that fail on request",
    "FAILSLAB": "the same in the slab allocator",
    "FAIL_FUNCTION": "functions that fail on request",
    "KUNIT": "KUnit tests in the module",
    "RUST_DEBUG_ASSERTIONS": "Rust's debug assertions",
    "RUST_OVERFLOW_CHECKS": "Rust's overflow checks",
}
# Scenarios that have each allocation fail in turn.
ENUMERATIONS = re.compile(r"fail_nth|^injection::")


def results(text):
    """The tests of a KTAP text: name, "passed", "flaky", "failed" or "skipped", and why."""
    tests, notes = [], []
    for line in text.splitlines():
        found = re.match(r"(not )?ok \d+ (\S+)(?: # (\w+) (.*))?$", line)
        if line.startswith("# "):
            notes.append(line[2:])
        elif found:
            bad, name, directive, why = found.groups()
            flaky = next((note for note in notes if note.startswith("flaky: ")), None)
            if bad:
                tests.append((name, "failed", notes[0] if notes else why or ""))
            elif directive == "SKIP":
                tests.append((name, "skipped", why))
            elif flaky:
                tests.append((name, "flaky", flaky.removeprefix("flaky: the first try failed: ")))
            else:
                tests.append((name, "passed", ""))
            notes = []
    return tests


def options(config):
    """Rows for the options: whether the kernel has each."""
    has = set(re.findall(r"^CONFIG_(\w+)=y$", config, re.MULTILINE))
    return [f"| `{name}` | {'yes' if name in has else 'no'} | {what} |" for name, what in OPTIONS.items()]


def listed(tests, outcome, head):
    """The tests with this outcome, each with its reason."""
    those = [(name, why) for name, was, why in tests if was == outcome]
    if not those:
        return []
    by_why = {}
    for name, why in those:
        by_why.setdefault(why.strip() or "no reason given", []).append(f"`{name}`")
    lines = [f"- {', '.join(names)}: {why}" for why, names in by_why.items()]
    return ["", f"**{head}** ({len(those)}):", "", *lines]


def cases(text):
    """Rows for the runs of scripts/new-cases: date, count, seed, passed, failed."""
    rows = []
    for line in text.splitlines():
        date, count, seed, passed, failed = line.split()
        rows.append(f"| {date} | `scripts/new-cases {count} {seed}` | {passed} | {failed} |")
    return rows


@dataclasses.dataclass
class Run:
    """A run of the suite: what `make` calls the kernel, and what scripts/test has left."""

    name: str
    commit: str
    release: str
    config: str
    ktap: str
    date: str

    @classmethod
    def of(cls, folder):
        """What a folder has; None without results."""
        ktap = folder / "results.ktap"
        if not ktap.is_file():
            return None
        date = datetime.datetime.fromtimestamp(ktap.stat().st_mtime, datetime.timezone.utc).strftime("%Y-%m-%d")
        commit, release = read(folder / "commit").strip(), read(folder / "release").strip()
        return cls(folder.name, commit, release, read(folder / "config"), read(ktap), date)

    def tests(self):
        """Its tests."""
        return results(self.ktap)

    def summary(self):
        """A line with how many there were of which outcome."""
        tests = self.tests()
        count = {was: sum(test[1] == was for test in tests) for was in ("passed", "flaky", "failed", "skipped")}
        return (
            f"Kernel {self.release}, vigil at {self.commit}, {self.date}: **{len(tests)} scenarios: {count['passed']} passed, "
            f"{count['flaky']} passed at the second try, {count['failed']} failed, {count['skipped']} skipped.**"
        )


def outcomes(tests, skipped="Skipped"):
    """What did not pass at the first try, and what was skipped."""
    return [
        *listed(tests, "failed", "Failed"),
        *listed(tests, "flaky", "Passed at the second try, the first of which says"),
        *listed(tests, "skipped", skipped),
    ]


def other_run(run, main_run):
    """A part for a run on another kernel: what it checks besides, and what it skipped besides."""
    ours, theirs = (set(re.findall(r"^CONFIG_(\w+)=y$", one.config, re.MULTILINE)) for one in (run, main_run))
    more = [f"`{name}`: {what}" for name, what in OPTIONS.items() if name in ours - theirs]
    known = {(name, was) for name, was, _ in main_run.tests()}
    tests = [test for test in run.tests() if test[1] != "skipped" or test[:2] not in known]
    return [
        "", f"## With {', '.join(more) or 'the same options'}", "", f"`make test KERNEL={run.name}`.", "", run.summary(),
        *outcomes(tests, "Skipped, and not above"),
    ]


def document(run, new_cases, others=()):
    """The whole text."""
    tests = run.tests()
    lines = [HEAD.format(name=run.name), run.summary(), *outcomes(tests)]
    lines += ["", "## What the kernel checks", "", "| option | has it | finds |", "|---|---|---|", *options(run.config)]
    lines += ["", "## Failing allocations, one after the other", ""]
    enumerated = [f"- `{test}`: {was}" for test, was, _ in tests if ENUMERATIONS.search(test)]
    lines += enumerated or ["None of this run's scenarios."]
    for other in others:
        lines += other_run(other, run)
    lines += ["", "## New cases for the property tests", ""]
    rows = cases(new_cases)
    if rows:
        lines += ["| on | command | test programs' tests passed | failed |", "|---|---|---|---|", *rows]
    else:
        lines += ["None are noted."]
    return "\n".join(lines) + "\n"


def read(file):
    """A file's text; none of one that is not there."""
    file = pathlib.Path(file)
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def main(path, folder, new_cases="", *others):
    """Writes the document; the status is 1 without results, or with a failed one."""
    run = Run.of(pathlib.Path(folder))
    if not run:
        print(f"{folder} has no results: run make test-all KERNEL={pathlib.Path(folder).name} first", file=sys.stderr)
        return 1
    others = [other for other in map(Run.of, map(pathlib.Path, others)) if other]
    pathlib.Path(path).write_text(document(run, read(new_cases), others), encoding="utf-8")
    return int(any(was == "failed" for one in (run, *others) for _, was, _ in one.tests()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
