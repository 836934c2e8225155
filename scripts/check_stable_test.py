# SPDX-License-Identifier: GPL-2.0
"""Tests of check_stable.py: `python3 -m unittest check_stable_test` in scripts/."""

import json
import pathlib
import shutil
import tempfile
import unittest

import check_stable

TOP = pathlib.Path(__file__).resolve().parent.parent
FILES = ["VERSION", "docs/knobs.md", "docs/status.md", "scripts/messages.json", "scripts/vmcore_report.py"]


class Stable(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in FILES:
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(TOP / name, self.folder / name)
        (self.folder / "docs/netlink").mkdir()
        (self.folder / "docs/netlink/vigil.yaml").write_text("name: vigil\nattributes:\n  -\n    name: age-ns\n")
        (self.folder / "VERSION").write_text("1.2.0\n")

    def replace(self, name, old, new):
        path = self.folder / name
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new))

    def test_all_kinds_are_found(self):
        found = check_stable.names(self.folder)
        self.assertIn("hung_task_timeout_secs", found["knobs"])
        self.assertIn("hung_task.enabled", found["status"])
        self.assertIn("CpuRecovered cpu secs", found["messages"])
        self.assertIn("NO_PANIC", found["messages"])
        self.assertEqual(found["netlink"], ["age-ns", "vigil"])
        self.assertIn("1", found["record"])

    def test_before_the_first_release(self):
        self.assertEqual(check_stable.problems(self.folder), [])

    def test_what_goes_is_seen(self):
        check_stable.main(["--write", self.folder])
        self.assertEqual(check_stable.problems(self.folder), [])
        for name, old, new in [
            ("docs/knobs.md", "| `hung_task_timeout_secs` |", "| `hung_task_timeout` |"),
            ("docs/status.md", "| `check_interval_ms` |", "| `check_interval_s` |"),
            ("scripts/messages.json", '"CpuRecovered"', '"CpuIsBack"'),
            ("scripts/vmcore_report.py", "\n    1: ENTRY.size,", ""),
            ("docs/netlink/vigil.yaml", "age-ns", "age-ms"),
        ]:
            kept = (self.folder / name).read_text()
            self.replace(name, old, new)
            self.assertEqual(len(check_stable.problems(self.folder)), 1, name)
            (self.folder / name).write_text(kept)

    def test_what_comes_is_fine(self):
        check_stable.main(["--write", self.folder])
        messages = json.loads((self.folder / "scripts/messages.json").read_text())
        messages["One"] = "vigil: one more"
        (self.folder / "scripts/messages.json").write_text(json.dumps(messages))
        self.assertEqual(check_stable.problems(self.folder), [])

    def test_a_new_major_version(self):
        check_stable.main(["--write", self.folder])
        self.replace("docs/status.md", "| `check_interval_ms` |", "| `check_interval_s` |")
        for version, count in [("1.2.1", 1), ("1.3.0", 1), ("2.0.0", 0)]:
            (self.folder / "VERSION").write_text(version + "\n")
            self.assertEqual(len(check_stable.problems(self.folder)), count, version)

    def test_before_1(self):
        (self.folder / "VERSION").write_text("0.1.0\n")
        check_stable.main(["--write", self.folder])
        self.replace("docs/status.md", "| `check_interval_ms` |", "| `check_interval_s` |")
        for version, count in [("0.1.1", 1), ("0.2.0", 0)]:
            (self.folder / "VERSION").write_text(version + "\n")
            self.assertEqual(len(check_stable.problems(self.folder)), count, version)


if __name__ == "__main__":
    unittest.main()
