#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Say what a crash dump tells: run it as scripts/vmcore-report.

vigil keeps its last incidents in one record in memory, the symbol
`vigil_incidents`. It is found and read in the dump without any debug
information. What needs that (the stacks of tasks and CPUs as they were) is said
where a vmlinux with DWARF is given; without it the log has to do.

Whatever comes from the dump is printed with control and non-ASCII bytes escaped.
"""

import argparse
import dataclasses
import datetime
import json
import logging
import pathlib
import platform
import re
import struct
import subprocess
import sys
import tempfile
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import dump_memory

# ---- the record of incidents ------------------------------------------------

MAGIC = b"vigil incidents\0"
HEADER = struct.Struct("<16s4I2QI12x")
ENTRY = struct.Struct("<QIIiI16sQQQqIiQ16sII18Q")
# Behind the others, from version 2 on.
CULPRIT = struct.Struct("<HHIiI16s4Q")
# Where the culprit runs and, behind that, where the task of the incident does, from version 3 on.
WHEREABOUTS = struct.Struct("<i4x128s")
# The least length of an entry in each version that is known.
VERSIONS = {
    1: ENTRY.size,
    2: ENTRY.size + CULPRIT.size,
    3: ENTRY.size + CULPRIT.size + 2 * WHEREABOUTS.size,
}
STACK = 18

HUNG_TASK = 1
KINDS = {
    HUNG_TASK: "hung task",
    2: "soft lockup",
    3: "hard lockup",
    4: "unresponsive CPU",
}
SEMAPHORE = 2
LOCKS = {
    1: "mutex",
    SEMAPHORE: "semaphore",
    3: "rw-semaphore (as reader)",
    4: "rw-semaphore (as writer)",
    5: "rt_mutex",
    6: "spinlock or rwlock",
}
CONFIRMED, IN_IO, PANIC = 1, 2, 4

CALL, LOCK_OWNER, ONLY_ONE, TASK, DEADLOCK, LOCK, SAME_PLACE, MAYBE_CALL = range(1, 9)
CULPRITS = {
    CALL: "CPU that has to run a function",
    LOCK_OWNER: "CPU that has taken the spinlock",
    ONLY_ONE: "only stuck CPU that does not wait",
    TASK: "task",
    DEADLOCK: "deadlock",
    LOCK: "lock whose owner is not known",
    SAME_PLACE: "tasks in the same place",
    MAYBE_CALL: "CPU that may have to run a function for it",
}
NO_CPU = 0xFFFFFFFF


class BadRecord(Exception):
    """The record of incidents cannot be understood; says why."""


@dataclasses.dataclass
class Header:
    """The head of the record."""

    version: int
    header_len: int
    entry_len: int
    entries: int
    address: int
    begun: int
    stack_len: int

    def size(self) -> int:
        """Bytes of the whole record."""
        return self.header_len + self.entry_len * self.entries


@dataclasses.dataclass
class Whereabouts:
    """Where a task runs: its PID in its own namespace, 0 if that is the initial one or not known, and
    the path of its cgroup, empty if that is the root cgroup or not known."""

    ns_pid: int = 0
    cgroup: bytes = b""

    def path(self) -> Optional[str]:
        """The path, with dots where it is only the end of it."""
        if not self.cgroup:
            return None
        return f"{'' if self.cgroup.startswith(b'/') else '...'}{escape(self.cgroup)}"

    def parts(self) -> List[str]:
        """What there is to say."""
        parts = [f"pid {self.ns_pid} of its PID namespace"] if self.ns_pid else []
        return parts + ([f"in cgroup {self.path()}"] if self.cgroup else [])


@dataclasses.dataclass
class Culprit:
    """What an incident comes down to."""

    kind: int
    depth: int
    cpu: int
    pid: int
    count: int
    comm: bytes
    address: int
    spins_for: int
    place: int
    age: int
    whereabouts: Whereabouts = dataclasses.field(default_factory=Whereabouts)


@dataclasses.dataclass
class Incident:
    """One incident. Times are nanoseconds on the clock of the log's stamps."""

    number: int
    kind: int
    cpu: int
    pid: int
    finder: int
    comm: bytes
    found: int
    start: int
    age: int
    wall: int
    lock: int
    owner: int
    lock_address: int
    owner_comm: bytes
    flags: int
    stack: List[int]
    culprit: Optional[Culprit] = None
    whereabouts: Whereabouts = dataclasses.field(default_factory=Whereabouts)

    def is_panic(self) -> bool:
        """Whether a panic was decided on for it."""
        return bool(self.flags & PANIC)


def parse_header(data: bytes) -> Header:
    """The head of the record, from its first 64 bytes."""
    if len(data) < HEADER.size:
        raise BadRecord(f"only {len(data)} bytes of its head are there")
    magic, *rest = HEADER.unpack_from(data)
    header = Header(*rest)
    if magic != MAGIC:
        raise BadRecord("it has no magic")
    if header.version not in VERSIONS:
        known = f"{', '.join(map(str, list(VERSIONS)[:-1]))} and {max(VERSIONS)}"
        raise BadRecord(f"its version is {header.version}, and this program knows {known}")
    if (
        header.header_len < HEADER.size
        or header.entry_len < VERSIONS[header.version]
        or header.stack_len != STACK
        or not 0 < header.entries <= 4096
        or header.size() > 1 << 24
    ):
        raise BadRecord("its lengths make no sense")
    return header


def parse_whereabouts(data: bytes, at: int) -> Whereabouts:
    """Where a task runs, at this place of the record."""
    ns_pid, path = WHEREABOUTS.unpack_from(data, at)
    return Whereabouts(ns_pid, path.split(b"\0")[0])


def parse_culprit(data: bytes, at: int, version: int) -> Optional[Culprit]:
    """The culprit at this place of the record; None: it is not known, or of no known kind."""
    culprit = Culprit(*CULPRIT.unpack_from(data, at))
    culprit.comm = culprit.comm.split(b"\0")[0]
    if version >= 3:
        culprit.whereabouts = parse_whereabouts(data, at + CULPRIT.size)
    return culprit if culprit.kind in CULPRITS else None


def parse_incidents(data: bytes, whole: bool = True) -> Tuple[Header, List[Incident], int]:
    """Parse the whole record: the head, its incidents with the oldest first, and
    how many entries are missing: they were being written at the moment of the crash,
    or are not in `data`, which may be only the begin of the record if not `whole`."""
    header = parse_header(data)
    there = header.entries
    if len(data) < header.size():
        if whole:
            raise BadRecord(f"only {len(data)} bytes of {header.size()} are there")
        there = (len(data) - header.header_len) // header.entry_len
    incidents = []
    for k in range(there):
        at = header.header_len + k * header.entry_len
        number, *words = ENTRY.unpack_from(data, at)
        # 0: never used, or being written. Anything else that does not belong
        # here was overtaken while being written.
        if number == 0 or (number - 1) % header.entries != k or number > header.begun:
            continue
        depth, stack = words[14], words[15:]
        incident = Incident(number, *words[:14], list(stack[: min(depth, STACK)]))
        incident.comm = incident.comm.split(b"\0")[0]
        incident.owner_comm = incident.owner_comm.split(b"\0")[0]
        if header.version >= 2:
            incident.culprit = parse_culprit(data, at + ENTRY.size, header.version)
        if header.version >= 3:
            incident.whereabouts = parse_whereabouts(
                data, at + ENTRY.size + CULPRIT.size + WHEREABOUTS.size)
        incidents.append(incident)
    incidents.sort(key=lambda incident: incident.number)
    torn = min(header.begun, header.entries) - len(incidents)
    return header, incidents, max(0, torn)


# ---- words -------------------------------------------------------------------


def escape(text) -> str:
    """Printable ASCII as it is, everything else as \\xHH."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    return "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in text)


RUST_NAME = re.compile(r"\b_R[0-9A-Za-z_]+")
RUST_PART = re.compile(r"[sB][0-9A-Za-z]*_|([1-9][0-9]*)_?")


def rust(text: str) -> str:
    """Mangled names of Rust as the identifiers in them, to be read by people: what
    kind of path it is, and for which types, is left out."""

    def parts(match) -> str:
        name, at, found = match[0], len("_R"), []
        while at < len(name):
            part = RUST_PART.match(name, at)
            if part and part[1]:
                at = part.end() + int(part[1])
                found.append(name[part.end() : at])
            else:
                # Crates' hashes and references back have digits, too.
                at = part.end() if part else at + 1
        return "::".join(found) or name

    return RUST_NAME.sub(parts, text)


def stamp(nanoseconds: int) -> str:
    """A time as the log's stamps have it."""
    return f"[{nanoseconds // 1_000_000_000:5d}.{nanoseconds // 1000 % 1_000_000:06d}]"


def utc(seconds: float) -> str:
    """A date."""
    try:
        date = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "at an unknown date"
    return date.strftime("%Y-%m-%d %H:%M:%S UTC")


def task_name(comm: bytes, pid: int) -> str:
    """COMM:PID, as the reports have it."""
    if pid < 0:
        return "an unknown task"
    return f"{escape(comm)}:{pid}"


def waits_for(incident: Incident) -> Optional[str]:
    """What a hung task waits for."""
    if not incident.lock:
        return "unknown (no lock)" if incident.kind == HUNG_TASK else None
    lock = LOCKS.get(incident.lock, f"a lock of unknown kind {incident.lock}")
    text = f"{lock} at {incident.lock_address:#x}"
    # A semaphore has no owner, and only remembers who took it last.
    semaphore = incident.lock == SEMAPHORE
    if incident.owner:
        how = "last held" if semaphore else "owned"
        return f"{text}, likely {how} by {task_name(incident.owner_comm, incident.owner)}"
    return f"{text}, {'last holder' if semaphore else 'owner'} unknown"


def describe(incident: Incident, symbol: Callable[[int], str]) -> Iterator[str]:
    """An incident as a block of lines."""
    kind = KINDS.get(incident.kind, f"unknown kind {incident.kind}")
    who = task_name(incident.comm, incident.pid)
    if incident.kind == HUNG_TASK:
        subject = f"task {who}, last on CPU {incident.cpu}"
    else:
        subject = f"CPU {incident.cpu}, running {who}"
    yield f"#{incident.number} {kind}: {subject}"
    yield (
        f"   found at {stamp(incident.found)} by CPU {incident.finder}, "
        f"after {incident.age / 1e9:.3f} s (since {stamp(incident.start)}); "
        f"{utc(incident.wall / 1e9)}"
    )
    where = incident.whereabouts.parts()
    if where:
        yield f"   the task is {', '.join(where)}"
    waits = waits_for(incident)
    if waits:
        yield f"   waits for: {waits}"
    notes = []
    if incident.flags & CONFIRMED:
        notes.append("confirmed by an NMI")
    if incident.flags & IN_IO:
        notes.append("in I/O wait")
    if incident.is_panic():
        notes.append("a panic was decided on for it")
    if notes:
        yield f"   {'; '.join(notes)}"
    if incident.stack:
        yield "   stack:"
        for address in incident.stack:
            yield f"     {symbol(address)}"
    else:
        yield "   no stack was taken"


def function(address: int, symbol: Callable[[int], str]) -> str:
    """The function that an address is in, which is no return address."""
    address %= 1 << 64
    name = symbol(address + 1)
    match = re.match(r"(.+)\+0x[0-9a-f]+(/0x[0-9a-f]+)?\Z", name)
    return match[1] if match else name.replace(f"{address + 1:#x}", f"{address:#x}")


def cpu_does(cpu: int, culprit: Culprit, symbol: Callable[[int], str]) -> str:
    """What a CPU was found to do."""
    place = f" in {function(culprit.place, symbol)}" if culprit.place else ""
    text = f"CPU {cpu}"
    if culprit.age:
        text += f", which had taken no timer interrupt for {culprit.age / 1e9:.1f} s,"
    if culprit.spins_for:
        return f"{text} spins for the spinlock at {culprit.spins_for:#x}{place}"
    if culprit.pid >= 0:
        return f"{text} runs {task_name(culprit.comm, culprit.pid)}{place}"
    return f"{text} has not said what it runs"


def cpu_culprit(incident: Incident, culprit: Culprit, symbol: Callable[[int], str]) -> str:
    """What a lockup comes down to."""
    kind, count, waiter = culprit.kind, culprit.count, f"CPU {incident.cpu}"
    if kind == LOCK:
        return f"{cpu_does(incident.cpu, culprit, symbol)}; which CPU has taken it is not known"
    if kind == DEADLOCK:
        who = f"a deadlock of {count} CPUs, one of which is CPU {culprit.cpu}"
        return who if incident.cpu == culprit.cpu else f"{who}; {waiter} waits for it"
    does = cpu_does(culprit.cpu, culprit, symbol)
    if kind == ONLY_ONE:
        return f"{does}; {waiter} may wait for it: no other CPU is stuck that does not wait itself"
    # Who waits for it directly is in the record only if there is no CPU between.
    waits = f"{waiter} {'may wait' if kind == MAYBE_CALL else 'waits'} for it"
    if culprit.depth > 1:
        waits += f" over {culprit.depth - 1} more"
    if kind == LOCK_OWNER:
        return f"{does}; {waits}, since it has taken the spinlock at {culprit.address:#x}"
    more = f", and for {count} more CPUs" if count else ""
    return f"{does}; {waits} to run {function(culprit.address, symbol)}{more}"


def task_culprit(culprit: Culprit, symbol: Callable[[int], str]) -> str:
    """What hung tasks come down to."""
    kind, count = culprit.kind, culprit.count
    who = task_name(culprit.comm, culprit.pid)
    place = function(culprit.place, symbol) if culprit.place else None
    oldest = f"the oldest for {culprit.age / 1e9:.1f} s"
    tasks = "1 hung task waits" if count == 1 else f"{count} hung tasks wait"
    if kind == DEADLOCK:
        return f"a deadlock of {count} {'task' if count == 1 else 'tasks'}, one of which is {who}"
    if kind == LOCK:
        return f"the lock at {culprit.address:#x}, whose owner is not known; {tasks} behind it, {oldest}"
    if kind == SAME_PLACE:
        return f"{count} tasks wait in the same place{f', {place}' if place else ''}, {oldest}; one of them is {who}"
    waits = f"task {who} waits in {place}" if place else f"task {who}"
    if not count:
        return f"{waits}, for {culprit.age / 1e9:.1f} s"
    lock = f" for the lock at {culprit.address:#x}" if culprit.address else ""
    return f"{waits}; {tasks} behind it{lock}, {oldest}"


def comes_down_to(incident: Incident, symbol: Callable[[int], str]) -> str:
    """What an incident comes down to, in a sentence or two, and where the task in it runs."""
    culprit = incident.culprit
    where = (culprit or incident).whereabouts.parts()
    sentence = what_it_is(incident, symbol)
    if not where:
        return sentence
    who = task_name(culprit.comm, culprit.pid) if culprit else task_name(incident.comm, incident.pid)
    return f"{sentence}. Task {who} is {', '.join(where)}"


def what_it_is(incident: Incident, symbol: Callable[[int], str]) -> str:
    """What an incident comes down to."""
    culprit, who = incident.culprit, task_name(incident.comm, incident.pid)
    if incident.kind == HUNG_TASK:
        if culprit:
            return task_culprit(culprit, symbol)
        if incident.lock:
            return f"task {who} waits for a {waits_for(incident)}"
        place = f" in {function(incident.stack[0] - 1, symbol)}" if incident.stack else ""
        return f"task {who} waits{place}, for {incident.age / 1e9:.1f} s"
    if culprit:
        return cpu_culprit(incident, culprit, symbol)
    runs = f", and ran {who}" if incident.pid >= 0 else ""
    stuck = {3: "had interrupts off", 4: "did not run"}.get(incident.kind, "was stuck in the kernel")
    return f"CPU {incident.cpu} {stuck} for {incident.age / 1e9:.1f} s{runs}; no CPU or lock is known that it waited for"


def culprit_as_json(culprit: Culprit, symbol: Callable[[int], str]) -> Dict[str, object]:
    """A culprit for programs."""
    return {
        "kind": CULPRITS[culprit.kind],
        "cpu": culprit.cpu if culprit.cpu != NO_CPU else None,
        "pid": culprit.pid,
        "comm": escape(culprit.comm),
        "count": culprit.count,
        "depth": culprit.depth,
        "address": culprit.address,
        "function": function(culprit.address, symbol) if culprit.kind in (CALL, MAYBE_CALL) else None,
        "spins_for": culprit.spins_for,
        "place": function(culprit.place, symbol) if culprit.place else None,
        "age_ns": culprit.age,
        "ns_pid": culprit.whereabouts.ns_pid or None,
        "cgroup": culprit.whereabouts.path(),
    }


def as_json(incident: Incident, symbol: Callable[[int], str]) -> Dict[str, object]:
    """An incident for programs."""
    return {
        "number": incident.number,
        "kind": KINDS.get(incident.kind, str(incident.kind)),
        "cpu": incident.cpu,
        "pid": incident.pid,
        "comm": escape(incident.comm),
        "ns_pid": incident.whereabouts.ns_pid or None,
        "cgroup": incident.whereabouts.path(),
        "finder": incident.finder,
        "found_ns": incident.found,
        "start_ns": incident.start,
        "age_ns": incident.age,
        "wall_ns": incident.wall,
        "lock": LOCKS.get(incident.lock) if incident.lock else None,
        "lock_address": incident.lock_address,
        "owner_pid": incident.owner,
        "owner_comm": escape(incident.owner_comm),
        "confirmed": bool(incident.flags & CONFIRMED),
        "in_io_wait": bool(incident.flags & IN_IO),
        "panic": incident.is_panic(),
        "culprit": culprit_as_json(incident.culprit, symbol) if incident.culprit else None,
        "stack": [{"address": address, "symbol": symbol(address)} for address in incident.stack],
    }


# Texts of vigil's own by name, with {field} for a value: made from src/logic/messages.rs.
MESSAGES: Dict[str, str] = json.loads((pathlib.Path(__file__).parent / "messages.json").read_text("utf-8"))


def message_pattern(name: str) -> str:
    """A regular expression for a text of vigil's own, whatever the values in it are."""
    return re.sub(r"\\\{\w+\\\}", ".*", re.escape(MESSAGES[name]))


PANIC_LINE = "Kernel panic - not syncing"
REPORT_LINE = re.compile(
    r"INFO: task .* blocked (in I/O wait )?for more than "
    r"|watchdog: BUG: soft lockup - CPU#|watchdog: .*hard LOCKUP on cpu |" + message_pattern("UnresponsiveCpu")
)


def panic_line(log: List[str]) -> Optional[str]:
    """The last panic in the log."""
    return next((line for line in reversed(log) if PANIC_LINE in line), None)


def last_report(log: List[str], limit: int = 300) -> List[str]:
    """From the last report before the panic to the log's end."""
    last = None
    for number, line in enumerate(log):
        if last is not None and PANIC_LINE in line:
            break
        if REPORT_LINE.search(line):
            last = number
    if last is None:
        last = next((n for n, line in enumerate(log) if PANIC_LINE in line), len(log))
    return log[last : last + limit]


# ---- the dump ----------------------------------------------------------------


class Unusable(Exception):
    """There is nothing to be said of the dump; says why."""


class NoInfo(Exception):
    """There is no VMCOREINFO in the dump: nothing but what begins a page is found in it."""

    def __init__(self, memory, why: Exception):
        super().__init__(str(why))
        self.memory = memory


def dmesg(vmcore: str) -> List[str]:
    """The kernel's log. makedumpfile needs no debug information for it."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/dmesg"
        done = subprocess.run(
            ["makedumpfile", "--dump-dmesg", vmcore, path],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr + done.stdout).decode("ascii", "replace").split("\n")[0]
            raise Unusable(f"the log could not be read: makedumpfile --dump-dmesg: {escape(said)}")
        with open(path, "rb") as log:
            # makedumpfile escapes too, and takes a byte from 0x80 on for negative.
            text = re.sub(rb"\\xffffff([89a-f][0-9a-f])", rb"\\x\1", log.read())
            return [escape(line) for line in text.split(b"\n") if line]


def ring(read: Callable[[int, int], bytes], info: Dict[str, str]) -> List[str]:
    """The kernel's log, from the ring buffer itself, in makedumpfile's form.

    VMCOREINFO tells where everything is. The newest records lie before the head,
    the oldest begins at the tail; one that is being written is left out.
    """

    def offset(name: str) -> int:
        return int(info[f"OFFSET({name})"])

    def number(address: int, size: int = 8) -> int:
        return int.from_bytes(read(address, size), "little")

    prb = number(int(info["SYMBOL(prb)"], 16))
    descs = prb + offset("printk_ringbuffer.desc_ring")
    texts = prb + offset("printk_ringbuffer.text_data_ring")
    count = 1 << number(descs + offset("prb_desc_ring.count_bits"), 4)
    size = 1 << number(texts + offset("prb_data_ring.size_bits"), 4)
    desc_size, info_size = int(info["SIZE(prb_desc)"]), int(info["SIZE(printk_info)"])
    all_descs = read(number(descs + offset("prb_desc_ring.descs")), count * desc_size)
    all_infos = read(number(descs + offset("prb_desc_ring.infos")), count * info_size)
    text = read(number(texts + offset("prb_data_ring.data")), size)
    counter = offset("atomic_long_t.counter")
    ident = number(descs + offset("prb_desc_ring.tail_id") + counter)
    head = number(descs + offset("prb_desc_ring.head_id") + counter)
    mask = (1 << 62) - 1  # the two bits above are the record's state

    def field(data: bytes, base: int, name: str, length: int) -> int:
        begin = base + offset(name)
        return int.from_bytes(data[begin : begin + length], "little")

    lines: List[str] = []
    while True:
        desc = ident % count * desc_size
        state = field(all_descs, desc + counter, "prb_desc.state_var", 8)
        place = desc + offset("prb_desc.text_blk_lpos")
        begin = field(all_descs, place, "prb_data_blk_lpos.begin", 8)
        end = field(all_descs, place, "prb_data_blk_lpos.next", 8)
        # 1 and 2: committed and final. An odd position is that of no text.
        if state & mask == ident and state >> 62 in (1, 2) and not begin & 1:
            # A block that would wrap around is at the start instead.
            begin = 0 if begin // size != end // size and end % size else begin % size
            about = ident % count * info_size
            length = field(all_infos, about, "printk_info.text_len", 2)
            stamp_ns = field(all_infos, about, "printk_info.ts_nsec", 8)
            caller = field(all_infos, about, "printk_info.caller_id", 4)
            who = f"C{caller & 0x7FFFFFFF}" if caller & 0x80000000 else f"T{caller}"
            front = f"{stamp(stamp_ns)} [{who:>8}] "
            begin += 8  # the block's own number
            parts = text[begin : begin + length].split(b"\n")
            lines.append(front + escape(parts[0]))
            lines += [" " * len(front) + escape(part) for part in parts[1:]]
        if ident == head:
            return lines
        ident = (ident + 1) & mask


# What can be read without debug information by the makedumpfile of its own kind
# of machine only, if it is of another one.
MACHINES = {"x86_64": 62, "aarch64": 183}


def is_foreign(vmcore: str) -> bool:
    """Whether a dump is of another kind of machine than this one."""
    here = platform.machine()
    with open(vmcore, "rb") as file:
        begin = file.read(512)
    if begin.startswith(b"\x7fELF"):
        return int.from_bytes(begin[18:20], "little") != MACHINES.get(here)
    # After two words: sysname, nodename, release, version, machine, of 65 bytes each.
    return begin[12 + 4 * 65 : 12 + 5 * 65].split(b"\0")[0] != here.encode()


def info_of(vmcoreinfo: str) -> Dict[str, str]:
    """VMCOREINFO as names and values."""
    return dict(line.split("=", 1) for line in vmcoreinfo.splitlines() if "=" in line)


def check(vmcore: str, vmlinux: Optional[str]) -> None:
    """Find what drgn has no good words for."""
    for path in filter(None, (vmcore, vmlinux)):
        try:
            with open(path, "rb") as file:
                begin = file.read(16)
        except OSError as error:
            raise Unusable(f"it cannot be read: {error.strerror}: {path}") from error
        if path == vmcore and begin.startswith(b"makedumpfile"):
            raise Unusable(
                "it is in makedumpfile's flattened format: "
                "'makedumpfile -R NEW < VMCORE' makes an ordinary dump of it"
            )
        if path == vmcore and not begin.startswith((b"KDUMP", b"\x7fELF")):
            raise Unusable("it is no dump of a kernel, by its first bytes")


# Where x86-64 has its modules: behind the kernel, for which it keeps 1 GiB, or
# half of that if it is built without KASLR. (arm64's dumps say where.)
X86_MODULES = (0xFFFFFFFFA0000000, 0xFFFFFFFFFF000000)


class Dump:
    """A dump, read with drgn."""

    # Whether all of the record can be read.
    whole = True

    def __init__(self, vmcore: str, vmlinux: Optional[str]):
        import drgn  # pylint: disable=import-outside-toplevel

        self.drgn = drgn
        logging.getLogger("drgn").setLevel(logging.CRITICAL)
        self.vmcore = vmcore
        # Whether it has no more than the memory: nobody could add anything to it then.
        self.is_memory_only = False
        try:
            self.prog = self.program()
            self.prog.set_core_dump(vmcore)
            self.vmcoreinfo = self.prog["VMCOREINFO"].string_().decode("ascii", "replace")
        # What drgn has of libkdumpfile is a bare Exception.
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.open_memory(error)
        self.info = info_of(self.vmcoreinfo)
        self.missing: Optional[str] = None
        self.has_types = False
        self.named_modules = False
        self.load(vmlinux)
        self.index()

    def program(self, *arguments, **keywords):
        """A program of drgn. Nothing is looked for elsewhere: what is shown depends on our
        arguments only."""
        prog = self.drgn.Program(*arguments, **keywords)
        prog.set_enabled_debug_info_finders([])
        return prog

    def open_memory(self, why: Exception) -> None:
        """Take the dump for one of the memory only, whose VMCOREINFO is that in memory."""
        self.is_memory_only = True
        try:
            memory = dump_memory.open_memory(self.vmcore)
            for vmcoreinfo in dump_memory.vmcoreinfos(memory):
                self.prog = self.program_of(memory, vmcoreinfo)
                self.vmcoreinfo = vmcoreinfo.decode("ascii", "replace")
                if self.is_of(info_of(self.vmcoreinfo)):
                    return
        except dump_memory.BadDump as error:
            raise Unusable(f"it cannot be read: {error}") from error
        raise NoInfo(memory, why)

    def program_of(self, memory, vmcoreinfo: bytes):
        """A program of this memory."""
        try:
            # It finds more in a file than its memory: registers, if they are there.
            prog = self.program(vmcoreinfo=vmcoreinfo)
            prog.set_core_dump(self.vmcore)
            return prog
        except Exception:  # pylint: disable=broad-exception-caught
            pass

        def read(address: int, size: int, _offset: int, _physical: bool) -> bytes:
            try:
                return memory.read(address, size)
            except (dump_memory.Absent, dump_memory.BadDump) as error:
                raise self.drgn.FaultError(str(error), address) from error

        arch = self.drgn.Architecture
        is_arm64 = b"NUMBER(kimage_voffset)" in vmcoreinfo
        prog = self.program(
            self.drgn.Platform(arch.AARCH64 if is_arm64 else arch.X86_64), vmcoreinfo=vmcoreinfo)
        for address, size in memory.segments():
            prog.add_memory_segment(address, size, read, physical=True)
        prog.set_linux_kernel_custom(vmcoreinfo, False)
        return prog

    def is_of(self, info: Dict[str, str]) -> bool:
        """Whether the kernel in memory is the one that VMCOREINFO is about, and not one that
        ran before it: its names are where they should be."""
        try:
            names = self.prog.read(
                int(info["SYMBOL(init_uts_ns)"], 16) + int(info["OFFSET(uts_namespace.name)"]), 3 * 65)
        except (KeyError, ValueError, self.drgn.FaultError):
            return False
        return names[2 * 65 :].split(b"\0")[0].decode("ascii", "replace") == info.get("OSRELEASE")

    def release(self) -> str:
        """What uname -r said."""
        return self.info.get("OSRELEASE", "unknown")

    def load(self, vmlinux: Optional[str]) -> None:
        """Take debug information, if there is any; else say what is missing."""
        release = escape(self.release())
        how = (
            f"Debian has it in the package linux-image-{release}-dbg as "
            f"/usr/lib/debug/boot/vmlinux-{release}; here, 'scripts/kernel-debuginfo KERNEL' fetches it"
        )
        if vmlinux is None:
            self.missing = (
                "no vmlinux with debug information (DWARF) was given, so that stacks are those "
                f"that vigil and the kernel have put into the record and the log: {how}."
            )
            return
        try:
            self.prog.load_debug_info([vmlinux])
        except self.drgn.MissingDebugInfoError:
            pass
        try:
            self.prog.type("struct task_struct")
            self.has_types = True
        except LookupError:
            ident = self.info.get("BUILD-ID", "unknown")
            self.missing = (
                f"{escape(vmlinux)} has no debug information of this very kernel (build ID "
                f"{escape(ident)}), so that stacks are those in the record and the log: {how}."
            )

    def index(self) -> None:
        """Take names from the kernel's own tables."""
        from drgn.helpers.linux import kallsyms  # pylint: disable=import-outside-toplevel

        self.named = self.has_types
        try:
            if not self.has_types:
                index = kallsyms.load_vmlinux_kallsyms(self.prog)
                self.prog.register_symbol_finder("kallsyms", index, enable_index=-1)
                self.named = True
            else:
                index = kallsyms.load_module_kallsyms(self.prog)
                self.prog.register_symbol_finder("module_kallsyms", index, enable_index=-1)
                self.named_modules = True
        except (LookupError, ValueError, self.drgn.FaultError):
            pass

    def symbol(self, address: int) -> str:
        """An address as the kernel's traces have it."""
        try:
            # The call, not what comes after it.
            symbol = self.prog.symbol((address - 1) % (1 << 64))
        except LookupError:
            low, high = self.modules()
            if low <= address < high and not self.named_modules:
                return f"{address:#x} (in a module, whose names need debug information)"
            return f"{address:#x}"
        name = f"{rust(escape(symbol.name))}+{address - symbol.address:#x}"
        return f"{name}/{symbol.size:#x}" if symbol.size else name

    def modules(self) -> Tuple[int, int]:
        """The area of modules."""
        low, high = (
            self.info.get("NUMBER(MODULES_VADDR)"),
            self.info.get("NUMBER(MODULES_END)"),
        )
        if low and high:
            return int(low, 0), int(high, 0)
        return X86_MODULES

    def log(self) -> List[str]:
        """The kernel's log, by makedumpfile if that can read the dump."""
        if not self.is_memory_only and not is_foreign(self.vmcore):
            try:
                return dmesg(self.vmcore)
            except Unusable:
                pass
        try:
            return ring(self.prog.read, self.info)
        except KeyError as error:
            raise Unusable(f"the log could not be read: VMCOREINFO has no {escape(str(error))}") from error
        except (ValueError, self.drgn.FaultError) as error:
            raise Unusable(f"the log could not be read: {escape(str(error))}") from error

    def incidents(self) -> bytes:
        """The bytes of vigil's record."""
        for address in self.candidates():
            try:
                header = parse_header(self.prog.read(address, HEADER.size))
                if header.address in (0, address):
                    return self.prog.read(address, header.size())
            except self.drgn.FaultError as error:
                raise BadRecord(f"it is not all in the dump: {escape(str(error))}") from error
        raise BadRecord("there is none in the dump: vigil was not loaded, or had no record yet")

    def candidates(self) -> Iterator[int]:
        """Where the record's magic is. It begins a page of a module's data."""
        try:
            yield self.prog.symbol("vigil_incidents").address
            return
        except LookupError:
            pass
        low, high = self.modules()
        for address in range(low, high, 4096):
            try:
                if self.prog.read(address, len(MAGIC)) == MAGIC:
                    yield address
            except self.drgn.FaultError:
                pass

    def machine(self, log: List[str]) -> Iterator[str]:
        """What the machine was, and when it died."""
        yield f"release {escape(self.release())}, {self.prog.platform.arch.name.lower()}"
        # The last line of a record of several lines has none.
        matches = (re.match(r"\[ *(\d+\.\d+)\]", line) for line in reversed(log))
        stamps = next(filter(None, matches), None)
        crashed = self.info.get("CRASHTIME")
        when = f", on {utc(int(crashed))}" if crashed and crashed.isdigit() else ""
        if stamps and not when and not panic_line(log):
            yield f"it did not crash; its log ends at [{stamps[1]}]"
        elif stamps:
            yield f"crashed at [{stamps[1]}] of its log{when}"
        elif when:
            yield f"crashed{when}"

    def trace(self, task) -> Iterator[str]:
        """A task's stack."""
        try:
            yield from (f"  {rust(escape(line))}" for line in str(self.prog.stack_trace(task)).splitlines())
        except (LookupError, ValueError, self.drgn.FaultError) as error:
            yield f"  its stack cannot be read: {escape(str(error))}"

    def stack_of_task(self, pid: int, what: str) -> Iterator[str]:
        """The stack of a task by its number."""
        from drgn.helpers.linux.pid import find_task  # pylint: disable=import-outside-toplevel

        task = find_task(self.prog, pid)
        if not task:
            yield f"{what}: there is no task {pid} any more"
            return
        yield f"{what}: task {task_name(task.comm.string_(), pid)}"
        yield from self.trace(task)

    def stack_of_cpu(self, cpu: int, what: str) -> Iterator[str]:
        """The stack of what ran on a CPU."""
        from drgn.helpers.linux.sched import cpu_curr  # pylint: disable=import-outside-toplevel

        task = cpu_curr(self.prog, cpu)
        yield f"{what}: CPU {cpu}, task {task_name(task.comm.string_(), task.pid.value_())}"
        yield from self.trace(task)

    def stacks(self, incident: Optional[Incident], when: str) -> Iterator[str]:
        """The stack of what the panic was about, and of all CPUs."""
        from drgn.helpers.linux.cpumask import (  # pylint: disable=import-outside-toplevel
            for_each_online_cpu,
        )

        if incident and incident.kind == HUNG_TASK:
            yield from self.stack_of_task(incident.pid, "The hung task")
            if incident.owner:
                what = "last holder" if incident.lock == SEMAPHORE else "likely owner"
                yield from self.stack_of_task(incident.owner, f"The lock's {what}")
        elif incident:
            yield from self.stack_of_cpu(incident.cpu, "The stuck CPU")
        yield ""
        yield "All CPUs' stacks"
        for cpu in for_each_online_cpu(self.prog):
            yield from self.stack_of_cpu(cpu, when)


class MemoryDump:
    """A dump of memory without VMCOREINFO. That says where the kernel's page tables are: without
    it, a page is found by what is in it, and the next page of the record is not known."""

    whole = False
    has_types = False
    named = False
    missing = (
        "VMCOREINFO is not in the dump, by which the log, the names of functions and all of vigil's "
        "record would be found: a kernel has it in memory if it was built with CONFIG_VMCORE_INFO."
    )

    def __init__(self, memory):
        self.memory = memory

    def release(self) -> str:
        """What uname -r said."""
        return "unknown"

    def symbol(self, address: int) -> str:
        """An address."""
        return f"{address:#x}"

    def log(self) -> List[str]:
        """The kernel's log."""
        raise Unusable("the log could not be read: no VMCOREINFO in the dump")

    def machine(self, _log: List[str]) -> Iterator[str]:
        """What the machine was."""
        yield "release unknown: no VMCOREINFO in the dump"

    def incidents(self) -> bytes:
        """The first page of vigil's record. Only a loaded module has written its address there."""
        for page in self.memory.find(MAGIC, 0):
            try:
                data = self.memory.read(page, dump_memory.PAGE)
                if parse_header(data).address:
                    return data
            except (dump_memory.Absent, BadRecord):
                pass
        raise BadRecord("there is none in the dump: vigil was not loaded, or had no record yet")


def open_dump(vmcore: str, vmlinux: Optional[str]):
    """A dump, as well as it can be read."""
    try:
        return Dump(vmcore, vmlinux)
    except NoInfo as error:
        dump = MemoryDump(error.memory)
        try:
            dump.incidents()
        except BadRecord:
            # Whatever it is, there is nothing in it for us.
            raise Unusable(
                f"it is no dump of a kernel: neither VMCOREINFO nor vigil's record is in it: {escape(str(error))}") from error
        return dump


# ---- the report --------------------------------------------------------------


def decisive(incidents: List[Incident]) -> Optional[Incident]:
    """The incident that the panic was about."""
    return next((one for one in reversed(incidents) if one.is_panic()), None)


def subject(incidents: List[Incident]) -> Optional[Incident]:
    """The incident that the dump is about: the fatal one, or the last one."""
    return decisive(incidents) or (incidents[-1] if incidents else None)


def report(dump, log: List[str], no_log: Optional[str] = None) -> Iterator[str]:
    """Everything, for people. `no_log` says why there is no log."""
    incidents: List[Incident] = []
    header, torn, bad = None, 0, None
    try:
        header, incidents, torn = parse_incidents(dump.incidents(), dump.whole)
    except BadRecord as error:
        bad = error
    about = subject(incidents)
    if about:
        yield f"What it comes down to: {comes_down_to(about, dump.symbol)}"
        yield ""
    yield "The panic"
    yield f"  {panic_line(log) or no_log or 'the log has no panic'}"
    yield ""
    yield "The machine"
    yield from (f"  {line}" for line in dump.machine(log))
    yield ""
    if header:
        which = f"the last {len(incidents)} are kept" if dump.whole else f"{len(incidents)} of them could be read"
        yield f"vigil's incidents: {header.begun} since it was loaded, {which}"
        if torn and dump.whole:
            yield f"  ({torn} more were just being written)"
        for incident in incidents:
            yield from (f"  {line}" for line in describe(incident, dump.symbol))
        if incidents and not dump.named:
            yield "  (addresses could not be resolved: the dump has no table of the kernel's symbols)"
    else:
        yield f"vigil's incidents: no record of them: {bad}"
    yield ""
    if dump.has_types and (panic_line(log) or no_log):
        yield from dump.stacks(decisive(incidents), "at the crash")
    elif dump.has_types:
        # Its host dumped it while something hung, most likely what was found last.
        yield from dump.stacks(incidents[-1] if incidents else None, "in the dump")
    elif no_log is None:
        yield "The last report and the panic, as the log has them"
        yield from (f"  {line}" for line in last_report(log))
    if dump.missing:
        yield ""
        yield f"Missing: {dump.missing}"


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="vmcore-report", description="Say what a crash dump tells."
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--dmesg", action="store_true", help="print the kernel's whole log, and nothing else")
    which.add_argument("--json", action="store_true", help="print vigil's incidents as JSON, and nothing else")
    parser.add_argument("vmcore", metavar="VMCORE", help="the dump")
    parser.add_argument("vmlinux", metavar="VMLINUX", nargs="?", help="the dumped kernel with its debug information")
    options = parser.parse_args()
    try:
        check(options.vmcore, options.vmlinux)
        dump = open_dump(options.vmcore, options.vmlinux)
        if options.json:
            header, incidents, torn = parse_incidents(dump.incidents(), dump.whole)
            about = subject(incidents)
            found = {
                "comes_down_to": comes_down_to(about, dump.symbol) if about else None,
                "release": escape(dump.release()),
                "begun": header.begun,
                "being_written": torn if dump.whole else 0,
                "incidents": [as_json(one, dump.symbol) for one in incidents],
            }
            print(json.dumps(found, indent=1))
            return 0
        log, no_log = [], None
        try:
            log = dump.log()
        except Unusable as error:
            if options.dmesg:
                raise
            no_log = str(error)
        for line in log if options.dmesg else report(dump, log, no_log):
            print(line)
    except Unusable as error:
        print(f"vmcore-report: {escape(options.vmcore)}: {error}", file=sys.stderr)
        return 1
    except BadRecord as error:
        print(f"vmcore-report: {escape(options.vmcore)}: vigil's record: {error}", file=sys.stderr)
        return 3
    except BrokenPipeError:
        sys.stderr.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
