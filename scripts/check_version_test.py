# SPDX-License-Identifier: GPL-2.0
"""Tests of check_version.py: `python3 -m unittest check_version_test` in scripts/."""

import pathlib
import tempfile
import unittest

import check_version

CARGO = '[workspace]\nmembers = ["tools/a"]\n\n[workspace.package]\nversion = "{}"\nedition = "2021"\n'
CRATE = '[package]\nname = "a"\nversion{}\n\n[dependencies]\nb = {{ version = "3" }}\n'
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [{}]{}\n\n### Added\n\n## [0.0.9] - 2025-01-02\n"


class Versions(unittest.TestCase):
    def problems(self, version="1.2.3", cargo="1.2.3", crate=".workspace = true", changelog="1.2.3", date=" - 2026-11-26"):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "tools/a").mkdir(parents=True)
            (folder / "VERSION").write_text(version + "\n")
            (folder / "Cargo.toml").write_text(CARGO.format(cargo))
            (folder / "tools/a/Cargo.toml").write_text(CRATE.format(crate))
            (folder / "CHANGELOG.md").write_text(CHANGELOG.format(changelog, date))
            return check_version.problems(folder)

    def test_as_it_should_be(self):
        self.assertEqual(self.problems(), [])

    def test_another_version(self):
        for changed in ({"version": "1.2.4"}, {"cargo": "1.2.4"}, {"changelog": "1.2.4"}):
            self.assertTrue(self.problems(**changed), changed)

    def test_a_crate_with_a_version_of_its_own(self):
        self.assertEqual(len(self.problems(crate=' = "1.2.3"')), 1)

    def test_no_version(self):
        self.assertTrue(self.problems(version="new", cargo="new", changelog="new"))

    def test_no_date(self):
        self.assertEqual(len(self.problems(date="")), 1)


if __name__ == "__main__":
    unittest.main()
