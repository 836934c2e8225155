#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tests of vmcore_report.py that need no dump: run by scripts/check."""

import struct
import unittest

import vmcore_report as report


def entry(number, kind=1, comm=b"worker", stack=(), depth=None, **more):
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
    assert len(data) == 256
    return data


def record(entries, begun, count=64, version=1, magic=b"vigil incidents\0", address=0xFFFF):
    """A whole record; `entries` by their place."""
    data = magic + struct.pack("<IIIIQQI12x", version, 64, 256, count, address, begun, 18)
    assert len(data) == 64
    for k in range(count):
        data += entries.get(k, bytes(256))
    return data


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

    def test_bad(self):
        """What is no record is said to be none."""
        good = record({}, begun=0)
        self.assertEqual(report.parse_incidents(good)[1:], ([], 0))
        for bad in (b"", good[:63], good[:64], good[:-1], record({}, 0, version=2),
                    record({}, 0, magic=b"vigil incidentz\0"), record({}, 0, count=0)):
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
