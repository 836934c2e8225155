# SPDX-License-Identifier: GPL-2.0
"""Tests of pauses_table: `python3 -m unittest pauses_table_test` in scripts/."""

import json
import pathlib
import tempfile
import unittest

import pauses_table

ROW = {
    "kernel": "7.3.4", "commit": "abc", "emulated": True, "pause": "stop", "count": 3, "seconds": 60.0,
    "cpus": 2, "lost": 181.2, "panics": 0, "false_reports": [], "not_run": 0, "in_tree": 5, "soft": 4.02,
    "hung": 10.5, "hard": 2.4, "error": None,
}
START = f"# Head\n\n{pauses_table.BEGIN}\nold\n{pauses_table.END}\n\nThe end.\n"


class Tables(unittest.TestCase):
    def write(self, *rows):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name) / "7.3-cloud"
            folder.mkdir()
            (folder / "pauses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            document = folder / "document.md"
            document.write_text(START)
            status = pauses_table.main(document, folder / "pauses.jsonl", folder / "none")
            return status, document.read_text()

    def test_a_row(self):
        status, text = self.write(ROW)
        self.assertEqual(status, 0)
        self.assertIn("| whole VM stopped, 1 min | 3 | 181 s | 0 | 0 | 0 | 5 | 4.0 s | 10.5 s | 2.4 s |", text)
        self.assertIn("### 7.3.4, by QEMU's emulation\n\n`make pauses KERNEL=7.3-cloud` with the module of abc.\n", text)
        self.assertTrue(text.startswith("# Head\n") and text.endswith("\nThe end.\n") and "old" not in text)

    def test_what_failed_is_shown(self):
        bad = {**ROW, "false_reports": ["BUG: a|b"], "soft": None, "error": "it | failed", "panics": 1}
        status, text = self.write(ROW, bad)
        self.assertEqual(status, 1)
        self.assertIn("| 6 | 362 s | **1** | **1**: BUG: a\\|b | 0 | 10 | **missed** |", text)
        self.assertIn("\nA guest was given up: it | failed\n", text)

    def test_names(self):
        later = {**ROW, "pause": "snapshot", "seconds": 3600.0}
        self.assertEqual(pauses_table.what(later), "saved, and continued in another QEMU with its clocks 1 h later")
        self.assertEqual(pauses_table.what({**later, "seconds": 0.0}), "saved, and continued in another QEMU")
        eight = {**ROW, "pause": "shared", "cpus": 8, "seconds": 30.0}
        self.assertEqual(pauses_table.what(eight), "8 busy virtual CPUs on one host CPU, 30 s")

    def test_nothing_was_run(self):
        self.assertEqual(self.write()[0], 1)


if __name__ == "__main__":
    unittest.main()
