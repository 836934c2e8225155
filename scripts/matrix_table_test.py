# SPDX-License-Identifier: GPL-2.0
"""Tests of matrix_table: `python3 -m unittest matrix_table_test` in scripts/."""

import contextlib
import io
import pathlib
import tempfile
import unittest

import matrix_table

JUNIT = """<testsuites><testsuite name="scenarios">
<testcase name="load_and_unload" classname="smoke"/>
<testcase name="hung_task" classname="smoke"/>
<testcase name="soft_lockup" classname="smoke"/>
<testcase name="hard_lockup" classname="smoke">{}</testcase>
</testsuite></testsuites>"""


class Table(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.table = self.folder / "kernels.md"

    def leave(self, kernel, **files):
        (self.folder / kernel).mkdir()
        for name, text in files.items():
            (self.folder / kernel / name.replace("_", ".")).write_text(text)

    def write(self, *kernels):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = matrix_table.main(self.table, self.folder, *kernels)
        return status, out.getvalue(), self.table.read_text()

    def test_a_kernel_that_passes(self):
        self.leave("7.3", date="2026-01-02\n", release="7.3.4-amd64\n", junit_xml=JUNIT.format(""),
                   stdout_txt="smoke::hung_task: after 1 s\ntest smoke::hung_task ... ok\n")
        status, out, table = self.write("7.3")
        self.assertEqual(status, 0)
        self.assertIn("| 7.3 | 7.3.4-amd64 | yes | yes | after 1 s | yes | yes | 2026-01-02 |\n", table)
        self.assertTrue(out.endswith("1 passed, 0 failed\n"))

    def test_a_scenario_that_fails(self):
        self.leave("7.3", date="d", release="r", junit_xml=JUNIT.format('<failure message="no | report"/>'))
        status, _, table = self.write("7.3")
        self.assertEqual(status, 1)
        self.assertIn("| yes | yes | **failed**: no \\| report | d |\n", table)

    def test_a_guest_that_does_not_boot(self):
        self.leave("7.3", date="d", release="r", junit_xml=JUNIT.format('<error message="no agent"/>'))
        status, _, table = self.write("7.3")
        self.assertEqual(status, 1)
        self.assertIn("**boot failed**: no agent", table)

    def test_a_module_that_does_not_build(self):
        self.leave("7.2", date="d", release="r", error="error: it does not build\n")
        status, _, table = self.write("7.2")
        self.assertEqual(status, 1)
        self.assertIn("| 7.2 | r | **no**: it does not build |  |  |  |  | d |\n", table)

    def test_a_kernel_that_is_gone(self):
        self.leave("7.1", date="d", error="error: the mirror has no 7.1 kernel\n")
        status, _, table = self.write("7.1")
        self.assertEqual(status, 1)
        self.assertIn("| 7.1 | **none**: the mirror has no 7.1 kernel |", table)

    def test_a_run_that_came_to_no_end(self):
        self.leave("7.3", date="d", release="r")
        status, _, table = self.write("7.3")
        self.assertEqual(status, 1)
        self.assertIn("**not run**: ", table)

    def test_rows_of_other_kernels_are_kept_in_order(self):
        self.leave("7.2", date="d", release="r", junit_xml=JUNIT.format(""))
        self.write("7.2")
        self.leave("7.3", date="d", release="r", junit_xml=JUNIT.format(""))
        status, out, table = self.write("7.3")
        self.assertEqual(status, 0)
        self.assertLess(table.index("| 7.3 |"), table.index("| 7.2 |"))
        self.assertNotIn("| 7.2 |", out)


if __name__ == "__main__":
    unittest.main()
