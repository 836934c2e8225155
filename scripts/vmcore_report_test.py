#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of vmcore_report.py that need no dump: run by scripts/check."""

import contextlib
import io
import itertools
import json
import pathlib
import random
import struct
import sys
import tempfile
import unittest
import zlib
from unittest import mock

import dump_memory
import vmcore_report as report


def whereabouts(ns_pid=0, cgroup=b""):
    """Where a task runs."""
    data = struct.pack("<iI", ns_pid, 0) + cgroup.ljust(128, b"\0")
    assert len(data) == 136
    return data


def culprit(kind, where=whereabouts(), **more):
    """The culprit of an entry."""
    field = {
        "depth": 1, "cpu": 3, "pid": 77, "count": 0, "comm": b"kworker/3:1", "address": 0,
        "spins_for": 0, "place": 0, "age": 0,
    }
    field.update(more)
    data = struct.pack("<HHI", kind, field["depth"], field["cpu"])
    data += struct.pack("<iI", field["pid"], field["count"])
    data += field["comm"].ljust(16, b"\0")
    data += struct.pack("<QQQQ", *(field[x] for x in ("address", "spins_for", "place", "age")))
    assert len(data) == 64
    return data + where


def entry(number, kind=1, comm=b"worker", stack=(), depth=None, culprit=bytes(200), where=whereabouts(), **more):
    """An entry of the record, put together field by field as it is documented."""
    field = {
        "cpu": 1, "pid": 4711, "finder": 0, "found": 8_277_514_123, "start": 5_000_000_000,
        "age": 3_277_514_123, "wall": 1_795_200_000_000_000_000, "lock": 0, "owner": 0,
        "address": 0, "owner_comm": b"", "flags": 0,
    }
    field.update(more)
    stack = list(stack)
    data = struct.pack("<Q", number)
    data += struct.pack("<I", kind)
    data += struct.pack("<I", field["cpu"])
    data += struct.pack("<i", field["pid"])
    data += struct.pack("<I", field["finder"])
    data += comm.ljust(16, b"\0")
    data += struct.pack("<QQQq", *(field[x] for x in ("found", "start", "age", "wall")))
    data += struct.pack("<I", field["lock"])
    data += struct.pack("<i", field["owner"])
    data += struct.pack("<Q", field["address"])
    data += field["owner_comm"].ljust(16, b"\0")
    data += struct.pack("<I", field["flags"])
    data += struct.pack("<I", len(stack) if depth is None else depth)
    data += struct.pack("<18Q", *(stack + [0] * (18 - len(stack))))
    data += culprit + where
    assert len(data) == 592
    return data


def record(entries, begun, count=64, version=3, magic=b"vigil incidents\0", address=0xFFFF, size=592):
    """A whole record; `entries` by their place, of which older versions have the begin."""
    data = magic + struct.pack("<IIIIQQI12x", version, 64, size, count, address, begun, 18)
    assert len(data) == 64
    for k in range(count):
        data += entries.get(k, bytes(size))[:size]
    return data


PAGE = 4096


def note(text, name=b"VMCOREINFO"):
    """A note in memory, from the beginning of a page on."""
    return struct.pack("<III", len(name) + 1, len(text), 0) + name + b"\0\0" + text


def pages(parts):
    """The pages of memory, by their numbers; `parts`: bytes by the number of their first one."""
    found = {}
    for number, data in parts.items():
        for k in range(0, len(data), PAGE):
            found[number + k // PAGE] = data[k : k + PAGE].ljust(PAGE, b"\0")
    return found


def elf(parts):
    """An ELF file as QEMU writes it: the memory does not begin at a page's offset."""
    memory = pages(parts)
    runs = []
    for _, group in itertools.groupby(sorted(memory), lambda n, c=itertools.count(): n - next(c)):
        runs.append(list(group))
    head = 64 + 56 * (len(runs) + 1) + 40
    data = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    data += struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(runs) + 1, 0, 0, 0)
    data += struct.pack("<IIQQQQQQ", 4, 0, head - 40, 0, 0, 40, 40, 0)
    offset = head
    for run in runs:
        size = PAGE * len(run)
        data += struct.pack("<IIQQQQQQ", 1, 0, offset, 0, run[0] * PAGE, size, size, 0)
        offset += size
    data += bytes(40)
    return data + b"".join(memory[number] for number in sorted(memory))


def kdump(parts, flag=1):
    """A file in makedumpfile's format as QEMU writes it: it does not say for which machine."""
    memory = pages(parts)
    top = max(memory) + 1
    bitmap = bytearray((top // 8 // PAGE + 1) * PAGE)
    for number in memory:
        bitmap[number // 8] |= 1 << number % 8
    blocks = 2 * len(bitmap) // PAGE
    data = b"KDUMP   " + struct.pack("<I", 6) + (bytes(4 * 65) + b"Unknown").ljust(390, b"\0") + bytes(22)
    data += struct.pack("<IIIII", flag, PAGE, 1, blocks, top)
    data = data.ljust(PAGE, b"\0")
    data += (bytes(96) + struct.pack("<Q", top)).ljust(PAGE, b"\0") + bytes(len(bitmap)) + bytes(bitmap)
    offset = len(data) + 24 * len(memory)
    descs, packed = b"", b""
    for number in sorted(memory):
        page = zlib.compress(memory[number]) if number % 2 else memory[number]
        descs += struct.pack("<QIIQ", offset + len(packed), len(page), flag if number % 2 else 0, 0)
        packed += page
    return data + descs + packed


class OfAHost(unittest.TestCase):
    """Dumps of memory that a host took."""

    INFO = b"OSRELEASE=7.3.4\nPAGESIZE=4096\n"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(pathlib.Path(folder.name, "vmcore"))

    def memory(self, data):
        """The memory in a file of these bytes."""
        pathlib.Path(self.path).write_bytes(data)
        return dump_memory.open_memory(self.path)

    def test_memory(self):
        """Memory is read at its own addresses, over the ends of pages, and where there is none
        that is said."""
        parts = {3: b"three".ljust(PAGE, b"x") + b"four", 700: b"far", 1400: b"off", 1401: b"end"}
        for make in (elf, kdump):
            memory = self.memory(make(parts))
            self.assertEqual(memory.read(3 * PAGE, 5), b"three")
            self.assertEqual(memory.read(4 * PAGE - 2, 6), b"xxfour")
            self.assertEqual(memory.read(700 * PAGE + 1, 3), b"ar\0")
            self.assertEqual(memory.read(1401 * PAGE, 3), b"end")
            for address, size in ((0, 1), (5 * PAGE - 1, 2), (699 * PAGE, 8), (1 << 40, 1)):
                with self.assertRaises(dump_memory.Absent):
                    memory.read(address, size)
            self.assertEqual(list(memory.find(b"ar", 1)), [700 * PAGE])
            self.assertEqual(list(memory.find(b"four", 0)), [4 * PAGE])

    def test_vmcoreinfo_in_memory(self):
        """VMCOREINFO is found where the kernel keeps it, and not where it is made."""
        parts = {
            2: b"\0VMCOREINFO\0\0OSRELEASE=%s\n", 9: note(self.INFO),
            12: note(b"x" * 10), 13: note(self.INFO, b"VMCOREINFX"), 15: b" " + note(self.INFO),
            17: note(b"OSRELEASE=old"),
        }
        for make in (elf, kdump):
            found = list(dump_memory.vmcoreinfos(self.memory(make(parts))))
            self.assertEqual(found, [self.INFO, b"OSRELEASE=old"])

    def test_bad(self):
        """What cannot be read is refused in words, whatever it is."""
        whole = kdump({5: b"five"})
        for data in (b"\x7fELF".ljust(200, b"\0"), elf({1: b"x"})[:100], whole[:5000], whole[: 3 * PAGE],
                     b"KDUMP   ".ljust(PAGE, b"\xff"), b"KDUMP   "):
            with self.assertRaises(dump_memory.BadDump):
                self.memory(data)
        with self.assertRaisesRegex(dump_memory.BadDump, "lzo: have it taken as kdump-zlib or elf"):
            self.memory(kdump({5: b"five"}, flag=2)).read(5 * PAGE, 1)
        # Cut off later, the rest is there.
        memory = self.memory(kdump({4: b"four", 5: b"five"})[:-8])
        self.assertEqual(memory.read(4 * PAGE, 4), b"four")
        with self.assertRaises(dump_memory.Absent):
            memory.read(5 * PAGE, 4)

    def run_on(self, data, *options):
        """The program on a file of these bytes, with a drgn that knows no such dump: its status,
        and what it says."""
        pathlib.Path(self.path).write_bytes(data)
        drgn = mock.MagicMock()
        drgn.FaultError = type("FaultError", (Exception,), {})
        drgn.Program.return_value.set_core_dump.side_effect = Exception("vmcoreinfo.raw is not set")
        out, err = io.StringIO(), io.StringIO()
        with (mock.patch.dict(sys.modules, drgn=drgn), contextlib.redirect_stdout(out),
              contextlib.redirect_stderr(err), mock.patch.object(sys, "argv", ["x", *options, self.path])):
            status = report.main()
        return status, out.getvalue(), err.getvalue()

    def test_record_without_vmcoreinfo(self):
        """The first page of the record is found by its magic. One in a file of the module, which
        has no address yet, is passed over. What is missing is said, once."""
        entries = {0: entry(1, comm=b"first"), 5: entry(6), 6: entry(7, comm=b"behind")}
        parts = {2: record({}, 0, address=0), 7: record(entries, begun=7)[:PAGE], 9: b"x"}
        for make in (elf, kdump):
            status, out, err = self.run_on(make(parts))
            self.assertEqual((status, err), (0, ""))
            self.assertTrue(out.startswith("What it comes down to: task worker:4711 waits, for 3.3 s\n\nThe panic\n"), out)
            self.assertIn("The panic\n  the log could not be read: no VMCOREINFO in the dump\n", out)
            self.assertNotIn("has no panic", out)
            self.assertNotIn("The last report", out)
            self.assertIn("7 since it was loaded, 2 of them could be read\n", out)
            self.assertIn("#1 hung task: task first:4711", out)
            self.assertIn("#6 hung task", out)
            self.assertNotIn("behind", out)
            self.assertEqual(out.count("Missing: VMCOREINFO is not in the dump"), 1)
            status, out, _ = self.run_on(make(parts), "--json")
            self.assertEqual(status, 0)
            self.assertIn('"begun": 7', out)
            status, out, err = self.run_on(make(parts), "--dmesg")
            self.assertEqual((status, out), (1, ""))
            self.assertIn("the log could not be read: no VMCOREINFO", err)

    def test_nothing(self):
        """A dump with nothing for us is refused in one line."""
        for make in (elf, kdump):
            status, out, err = self.run_on(make({3: b"x", 7: record({}, 0, address=0)}))
            self.assertEqual((status, out), (1, ""))
            self.assertRegex(err, r"\A[^\n]*no dump of a kernel: neither VMCOREINFO nor vigil's record[^\n]*\n\Z")


class Record(unittest.TestCase):
    """The parser of the record."""

    def test_every_field(self):
        """What is written is read."""
        data = record(
            {0: entry(1, lock=1, owner=99, address=0xDEAD0, owner_comm=b"holder",
                      flags=4, stack=[0x1000, 0x2000])}, begun=1)
        header, incidents, torn = report.parse_incidents(data)
        self.assertEqual((header.begun, header.address, torn), (1, 0xFFFF, 0))
        (one,) = incidents
        self.assertEqual((one.number, one.kind, one.cpu, one.pid, one.finder), (1, 1, 1, 4711, 0))
        self.assertEqual((one.comm, one.owner_comm), (b"worker", b"holder"))
        self.assertEqual((one.lock, one.owner, one.lock_address), (1, 99, 0xDEAD0))
        self.assertEqual((one.found, one.start, one.age), (8277514123, 5000000000, 3277514123))
        self.assertEqual(one.wall, 1_795_200_000_000_000_000)
        self.assertEqual(one.stack, [0x1000, 0x2000])
        self.assertTrue(one.is_panic())
        text = "\n".join(report.describe(one, hex))
        self.assertIn("#1 hung task: task worker:4711, last on CPU 1", text)
        self.assertIn("found at [    8.277514] by CPU 0, after 3.278 s", text)
        self.assertIn("waits for: mutex at 0xdead0, likely owned by holder:99", text)
        self.assertIn("a panic was decided on for it", text)
        self.assertIn("0x2000", text)

    def test_ring(self):
        """The oldest comes first, also when the ring has come around."""
        data = record({0: entry(5), 1: entry(6), 2: entry(3), 3: entry(4)}, begun=6, count=4)
        _, incidents, torn = report.parse_incidents(data)
        self.assertEqual([one.number for one in incidents], [3, 4, 5, 6])
        self.assertEqual(torn, 0)

    def test_torn(self):
        """Entries that were being written are left out and counted."""
        data = record({0: entry(1), 1: entry(0), 2: entry(7)}, begun=3)
        _, incidents, torn = report.parse_incidents(data)
        self.assertEqual([one.number for one in incidents], [1])
        self.assertEqual(torn, 2)

    def test_depth_out_of_range(self):
        """A wild depth does not matter."""
        _, (one,), _ = report.parse_incidents(record({0: entry(1, depth=4_000_000_000)}, begun=1))
        self.assertEqual(len(one.stack), 18)

    def test_whereabouts(self):
        """Where the task of an incident and its culprit run, and what is said of it."""
        words = culprit(4, whereabouts(3, b"ods/pod1\n"), cpu=1)
        data = record({0: entry(1, culprit=words, where=whereabouts(0, b"/a b")), 1: entry(2, where=whereabouts(7))}, 2)
        _, (one, two), _ = report.parse_incidents(data)
        self.assertEqual(one.whereabouts, report.Whereabouts(0, b"/a b"))
        self.assertEqual(one.culprit.whereabouts, report.Whereabouts(3, b"ods/pod1\n"))
        self.assertIn("   the task is in cgroup /a b\n", "\n".join(report.describe(one, hex)))
        self.assertIn("   the task is pid 7 of its PID namespace\n", "\n".join(report.describe(two, hex)))
        self.assertTrue(report.comes_down_to(one, hex).endswith(
            ". Task kworker/3:1:77 is pid 3 of its PID namespace, in cgroup ...ods/pod1\\x0a"))
        self.assertTrue(report.comes_down_to(two, hex).endswith(
            ". Task worker:4711 is pid 7 of its PID namespace"))
        found = report.as_json(one, hex)
        self.assertEqual((found["ns_pid"], found["cgroup"]), (None, "/a b"))
        self.assertEqual((found["culprit"]["ns_pid"], found["culprit"]["cgroup"]), (3, "...ods/pod1\\x0a"))
        found = report.as_json(two, hex)
        self.assertEqual((found["ns_pid"], found["cgroup"]), (7, None))

    def test_version_2(self):
        """A record of version 2 does not have where tasks run: what is there belongs to the next entry."""
        full = {0: entry(1, culprit=culprit(4, whereabouts(3)), where=whereabouts(4)), 1: entry(2)}
        header, (one, two), _ = report.parse_incidents(record(full, 2, version=2, size=320))
        self.assertEqual((header.version, header.size()), (2, 64 + 64 * 320))
        self.assertEqual((one.culprit.kind, one.culprit.pid), (4, 77))
        self.assertEqual((one.whereabouts, one.culprit.whereabouts), (report.Whereabouts(), report.Whereabouts()))
        self.assertEqual((two.number, two.culprit), (2, None))
        self.assertNotIn("the task is", "\n".join(report.describe(one, hex)))
        self.assertIsNone(report.as_json(one, hex)["cgroup"])

    def test_old_version(self):
        """A record of version 1 has no culprits."""
        data = record({0: entry(1, comm=b"one"), 1: entry(2, comm=b"two")}, 2, version=1, size=256)
        header, incidents, torn = report.parse_incidents(data)
        self.assertEqual((header.version, header.size(), torn), (1, 64 + 64 * 256, 0))
        self.assertEqual([(one.comm, one.culprit) for one in incidents], [(b"one", None), (b"two", None)])

    def test_culprit(self):
        """Every field of a culprit; one of an unknown kind is none."""
        words = culprit(1, depth=2, count=4, address=0xA1, spins_for=0xA2, place=0xA3, age=5)
        data = record({0: entry(1, culprit=words), 1: entry(2), 2: entry(3, culprit=culprit(9))}, 3)
        _, (one, none, unknown), _ = report.parse_incidents(data)
        self.assertEqual(one.culprit, report.Culprit(1, 2, 3, 77, 4, b"kworker/3:1", 0xA1, 0xA2, 0xA3, 5))
        self.assertEqual((none.culprit, unknown.culprit), (None, None))
        self.assertEqual(report.as_json(one, hex)["culprit"], {
            "kind": "CPU that has to run a function", "cpu": 3, "pid": 77, "comm": "kworker/3:1", "count": 4,
            "depth": 2, "address": 0xA1, "function": "0xa1", "spins_for": 0xA2, "place": "0xa3", "age_ns": 5,
            "ns_pid": None, "cgroup": None,
        })
        self.assertIsNone(report.as_json(none, hex)["culprit"])

    def test_bad(self):
        """What is no record is said to be none."""
        good = record({}, begun=0)
        self.assertEqual(report.parse_incidents(good)[1:], ([], 0))
        for bad in (b"", good[:63], good[:64], good[:-1], record({}, 0, version=4),
                    record({}, 0, size=256), record({}, 0, magic=b"vigil incidentz\0"), record({}, 0, count=0)):
            with self.assertRaises(report.BadRecord):
                report.parse_incidents(bad)


class Words(unittest.TestCase):
    """What is printed."""

    def test_harmless(self):
        """Nothing of a task's name reaches a terminal as it is."""
        data = record({0: entry(1, kind=3, comm=b"%s\x1b[2J\xff\n", pid=7)}, begun=1)
        _, (one,), _ = report.parse_incidents(data)
        text = "\n".join(report.describe(one, hex))
        self.assertIn("hard lockup: CPU 1, running %s\\x1b[2J\\xff\\x0a:7", text)
        self.assertEqual(report.as_json(one, hex)["comm"], "%s\\x1b[2J\\xff\\x0a")
        self.assertEqual(report.escape("\udcffö"), "\\xff\\xc3\\xb6")

    def test_comes_down_to(self):
        """A sentence for each kind of culprit."""

        def symbol(address):
            """Addresses without a name stay numbers; a function's first byte is not a call in it."""
            names = {0xF000: "flush_tlb_func", 0xF100: "get_page_from_freelist", 0xF200: "jbd2_wait"}
            start = address - 1 & ~0xFF
            return f"{names[start]}+{address - start:#x}/0x100" if start in names else f"{address:#x}"

        spins = {"spins_for": 0xDEAD0, "place": 0xF110}
        waits = {"place": 0xF200, "age": 5_000_000_000, "comm": b"jbd2\xff", "address": 0xBEEF0}
        for kind, words, sentence in (
            (2, culprit(1, address=0xF000, **spins),
             "CPU 3 spins for the spinlock at 0xdead0 in get_page_from_freelist; CPU 1 waits for it to run "
             "flush_tlb_func"),
            (2, culprit(1, depth=3, count=2, address=0x1234, age=21_440_000_000, place=0xF100),
             "CPU 3, which had taken no timer interrupt for 21.4 s, runs kworker/3:1:77 in "
             "get_page_from_freelist; CPU 1 waits for it over 2 more to run 0x1234, and for 2 more CPUs"),
            (2, culprit(8, address=0xF000, **spins),
             "CPU 3 spins for the spinlock at 0xdead0 in get_page_from_freelist; CPU 1 may wait for it to run "
             "flush_tlb_func"),
            (3, culprit(2, address=0xBEEF0, pid=-1, comm=b""),
             "CPU 3 has not said what it runs; CPU 1 waits for it, since it has taken the spinlock at 0xbeef0"),
            (2, culprit(3, **spins),
             "CPU 3 spins for the spinlock at 0xdead0 in get_page_from_freelist; CPU 1 may wait for it: no other "
             "CPU is stuck that does not wait itself"),
            (3, culprit(5, count=2, depth=0, cpu=1), "a deadlock of 2 CPUs, one of which is CPU 1"),
            (3, culprit(5, count=2), "a deadlock of 2 CPUs, one of which is CPU 3; CPU 1 waits for it"),
            (3, culprit(6, cpu=1, address=0xDEAD0, **spins),
             "CPU 1 spins for the spinlock at 0xdead0 in get_page_from_freelist; which CPU has taken it is not known"),
            (3, bytes(200), "CPU 1 had interrupts off for 3.3 s, and ran worker:4711; no CPU or lock is known that it "
             "waited for"),
            (1, culprit(4, count=999, **waits),
             "task jbd2\\xff:77 waits in jbd2_wait; 999 hung tasks wait behind it for the lock at 0xbeef0, the "
             "oldest for 5.0 s"),
            (1, culprit(4, **waits), "task jbd2\\xff:77 waits in jbd2_wait, for 5.0 s"),
            (1, culprit(5, count=3, **waits), "a deadlock of 3 tasks, one of which is jbd2\\xff:77"),
            (1, culprit(6, count=1, **waits),
             "the lock at 0xbeef0, whose owner is not known; 1 hung task waits behind it, the oldest for 5.0 s"),
            (1, culprit(7, count=40, **waits),
             "40 tasks wait in the same place, jbd2_wait, the oldest for 5.0 s; one of them is jbd2\\xff:77"),
            (1, bytes(200), "task worker:4711 waits in flush_tlb_func, for 3.3 s"),
        ):
            data = record({0: entry(1, kind=kind, stack=[0xF010], culprit=words)}, begun=1)
            _, (one,), _ = report.parse_incidents(data)
            self.assertEqual(report.comes_down_to(one, symbol), sentence)
        data = record({0: entry(1, lock=1, owner=99, address=0xDEAD0, owner_comm=b"holder")}, begun=1)
        _, (one,), _ = report.parse_incidents(data)
        self.assertEqual(report.comes_down_to(one, symbol),
                         "task worker:4711 waits for a mutex at 0xdead0, likely owned by holder:99")

    def test_any_culprit(self):
        """Whatever is in a damaged record, there is a sentence, on one line, and JSON."""
        chance = random.Random(1)
        for _ in range(2000):
            words = struct.pack("<H", chance.randrange(10)) + chance.randbytes(198)
            data = record({0: entry(1, kind=chance.randrange(6), stack=[0], culprit=words)}, begun=1)
            _, (one,), _ = report.parse_incidents(data)
            self.assertRegex(report.comes_down_to(one, hex), r"\A[ -~]+\Z")
            json.dumps(report.as_json(one, hex))

    def test_about_the_fatal_one(self):
        """It is the fatal incident that a dump comes down to, or else the last one."""
        for flags, comm in ((4, b"first"), (0, b"second")):
            data = record({0: entry(1, comm=b"first", flags=flags), 1: entry(2, comm=b"second")}, begun=2)
            self.assertEqual(report.subject(report.parse_incidents(data)[1]).comm, comm)
        self.assertIsNone(report.subject([]))

    def test_holders(self):
        """A semaphore is said to be last held, anything else to be owned, as in the kernel's log."""
        for lock, known, unknown in (
            (1, "mutex at 0xdead0, likely owned by holder:99", "owner unknown"),
            (2, "semaphore at 0xdead0, likely last held by holder:99", "last holder unknown"),
            (3, "rw-semaphore (as reader) at 0xdead0, likely owned by holder:99", "owner unknown"),
            (4, "rw-semaphore (as writer) at 0xdead0, likely owned by holder:99", "owner unknown"),
        ):
            for owner, words in ((99, known), (0, unknown)):
                data = record(
                    {0: entry(1, lock=lock, owner=owner, address=0xDEAD0, owner_comm=b"holder")}, begun=1)
                _, (one,), _ = report.parse_incidents(data)
                self.assertTrue(report.waits_for(one).endswith(words), report.waits_for(one))

    def test_rust(self):
        """Names of Rust can be read."""
        for mangled, readable in (
            ("_RNvMs0_NtNtCsbURJDwdF08t_10vigil_main6detect4softNtB5_4Soft4tick+0x1b2/0x201",
             "vigil_main::detect::soft::Soft::tick+0x1b2/0x201"),
            ("#8  _RINvNtNtCsbURJDwdF08t_10vigil_main3sys7kthread5entryNtNtNtB6_6detect4hung8DetectorEB6_+0x18",
             "#8  vigil_main::sys::kthread::entry::detect::hung::Detector+0x18"),
            ("__Relay+0x1", "__Relay+0x1"), ("_R", "_R"), ("_R99x", "x"),
        ):
            self.assertEqual(report.rust(mangled), readable)

    def test_log(self):
        """The last report is found, and the panic after it."""
        log = ["[ 1.0] INFO: task a:1 blocked for more than 3 seconds.", "[ 1.1] stack of a",
               "[ 2.0] watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1", "[ 2.1] stack of 1",
               "[ 2.2] Kernel panic - not syncing: Hard LOCKUP", "[ 2.3] trace"]
        self.assertEqual(report.last_report(log), log[2:])
        self.assertEqual(report.panic_line(log), log[4])
        self.assertIsNone(report.panic_line(log[:2]))
        self.assertEqual(report.last_report(log[4:]), log[4:])
        self.assertEqual(report.last_report(["x"]), [])

    def test_no_log(self):
        """A log that could not be read is not said to have no panic."""
        dump = mock.Mock(has_types=False, missing=None, whole=True)
        dump.machine.return_value = iter(())
        dump.incidents.side_effect = report.BadRecord("there is none")
        text = "\n".join(report.report(dump, [], "the log could not be read: x"))
        self.assertIn("The panic\n  the log could not be read: x\n", text)
        self.assertNotIn("has no panic", text)
        text = "\n".join(report.report(dump, ["[ 1.0] x"]))
        self.assertIn("the log has no panic", text)

    def test_log_of_an_unresponsive_cpu(self):
        """vigil's own report is found by its wording in messages.json."""
        text = report.MESSAGES["UnresponsiveCpu"].format(cpu=1, secs=12)
        log = ["[ 1.0] x", f"[ 2.0] {text}", "[ 2.1] Kernel panic - not syncing: vigil: unresponsive CPU"]
        self.assertEqual(report.last_report(log), log[1:])

    def test_ring(self):
        """The log is read from the ring: from the tail on, over its end, without what is being written."""
        memory = {}
        lines = [b"oldest", b"two\nlines", b"", b"at the start", b"half"]
        # Four records of five are kept; the third has no text, the fourth wraps around.
        text = bytearray(64)
        text[0:20] = struct.pack("<Q", 4) + lines[3]
        text[24:38] = struct.pack("<Q", 1) + lines[0]
        text[40:57] = struct.pack("<Q", 2) + lines[1]
        blocks = {1: (24, 40), 2: (40, 60), 3: (1, 1), 4: (60, 64 + 20), 5: (84, 104)}
        states = {1: 2, 2: 2, 3: 2, 4: 1, 5: 0}
        descs, infos = bytearray(8 * 24), bytearray(8 * 24)
        for ident, (begin, end) in blocks.items():
            place = ident % 8 * 24
            descs[place : place + 24] = struct.pack("<QQQ", states[ident] << 62 | ident, begin, end)
            caller = 0x80000001 if ident == 4 else 7
            infos[place : place + 24] = struct.pack(
                "<QQHHI", ident, ident * 1_000_000_000, len(lines[ident - 1]), 0, caller)
        memory[0x10] = struct.pack("<Q", 0x1000)
        memory[0x1000] = struct.pack("<I4xQQQQ", 3, 0x2000, 0x3000, 5, 1)
        memory[0x1028] = struct.pack("<I4xQ", 6, 0x4000)
        memory[0x2000], memory[0x3000], memory[0x4000] = bytes(descs), bytes(infos), bytes(text)

        def read(address, size):
            base = max(at for at in memory if at <= address)
            return memory[base][address - base : address - base + size]

        offsets = {
            "printk_ringbuffer.desc_ring": 0, "printk_ringbuffer.text_data_ring": 40,
            "prb_desc_ring.count_bits": 0, "prb_desc_ring.descs": 8, "prb_desc_ring.infos": 16,
            "prb_desc_ring.head_id": 24, "prb_desc_ring.tail_id": 32, "prb_data_ring.size_bits": 0,
            "prb_data_ring.data": 8, "atomic_long_t.counter": 0, "prb_desc.state_var": 0,
            "prb_desc.text_blk_lpos": 8, "prb_data_blk_lpos.begin": 0, "prb_data_blk_lpos.next": 8,
            "printk_info.ts_nsec": 8, "printk_info.text_len": 16, "printk_info.caller_id": 20,
        }
        info = {f"OFFSET({name})": str(offset) for name, offset in offsets.items()}
        info |= {"SYMBOL(prb)": "10", "SIZE(prb_desc)": "24", "SIZE(printk_info)": "24"}
        self.assertEqual(report.ring(read, info), [
            "[    1.000000] [      T7] oldest",
            "[    2.000000] [      T7] two",
            " " * 26 + "lines",
            "[    4.000000] [      C1] at the start",
        ])


if __name__ == "__main__":
    unittest.main()
