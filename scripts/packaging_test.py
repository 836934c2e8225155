# SPDX-License-Identifier: GPL-2.0
"""Tests of files in packaging/ that have to fit to others, and of scripts/install-module:
`python3 -m unittest packaging_test` in scripts/."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent
PACKAGING = TOP / "packaging"
MESSAGES = json.loads((TOP / "scripts/messages.json").read_text())


def line(key, **values):
    """One of vigil's lines, as the module prints it."""
    return MESSAGES[key].format(**values)


# The lines that each reason is there for, with numbers as they come.
TASK = "kworker/3:1:77"
LINES = {
    # Mainline's, of which README.md shows one each.
    "TaskHung": [
        f"INFO: task {TASK} blocked for more than 120 seconds.",
        f"INFO: task {TASK} blocked in I/O wait for more than 120 seconds.",
    ],
    "SoftLockup": ["watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [prov_wait/1:141]"],
    "HardLockup": [
        "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1",
        "watchdog: Watchdog detected hard LOCKUP on cpu 1",
    ],
    "HungTaskRecovered": [line("HungTaskRecovered", task=TASK, secs="130.1")],
    "CPURecovered": [line("CpuRecovered", cpu=3, secs="21.4")],
    "UnresponsiveCPU": [line("UnresponsiveCpu", cpu=3, secs="12.0")],
    "TasksDeadlocked": [
        line("Deadlock", tasks=2, task=TASK, holds="mutex a", waits="mutex b", owner="x:1")
    ],
}


class NodeProblemDetector(unittest.TestCase):
    def setUp(self):
        text = (PACKAGING / "examples/node-problem-detector.json").read_text()
        self.rules = json.loads(text)["rules"]

    def test_each_rule_has_its_lines(self):
        self.assertEqual({rule["reason"] for rule in self.rules}, set(LINES))
        for rule in self.rules:
            for reason, texts in LINES.items():
                for text in texts:
                    # As node-problem-detector does: anywhere in the text.
                    found = re.search(rule["pattern"], text) is not None
                    self.assertEqual(found, reason == rule["reason"], (rule["pattern"], text))

    def test_a_permanent_rule_has_its_condition(self):
        text = (PACKAGING / "examples/node-problem-detector.json").read_text()
        conditions = {condition["type"] for condition in json.loads(text)["conditions"]}
        for rule in self.rules:
            self.assertEqual(rule.get("condition") in conditions, rule["type"] == "permanent", rule)

    def test_reports_in_the_documents(self):
        text = (TOP / "README.md").read_text() + (TOP / "docs/reports.md").read_text()
        for reason in ("TaskHung", "SoftLockup", "HardLockup", "HungTaskRecovered", "TasksDeadlocked"):
            pattern = next(rule["pattern"] for rule in self.rules if rule["reason"] == reason)
            self.assertRegex(text, pattern)


class Units(unittest.TestCase):
    def test_programs_are_named_by_their_path(self):
        for unit in (PACKAGING / "systemd").iterdir():
            text = unit.read_text()
            self.assertIn("Documentation=", text, unit.name)
            for command in re.findall(r"^Exec\w+=-?(\S+)", text, re.MULTILINE):
                self.assertTrue(command.startswith("/usr/"), (unit.name, command))

    def test_an_upgrade_unloads_nothing(self):
        rules = (PACKAGING / "debian/rules").read_text().replace("\\\n", " ")
        calls = [line.split()[1:] for line in rules.splitlines() if line.startswith("\tdh_installsystemd ")]
        options = {}
        for call in calls:
            for unit in (word for word in call if not word.startswith("-")):
                self.assertNotIn(unit, options)
                options[unit] = call
        self.assertEqual(set(options), {path.name for path in (PACKAGING / "systemd").iterdir()})
        for unit, call in options.items():
            # Without either debhelper stops a unit before an upgrade, and does not start it afterwards.
            how = "--no-stop-on-upgrade" if unit == "vigil-load.service" else "--restart-after-upgrade"
            for option in ("-pvigil-tools", "--no-enable", "--no-start", how):
                self.assertIn(option, call)

    def test_settings_have_a_default(self):
        default = (PACKAGING / "examples/default").read_text() + (TOP / "scripts/deb").read_text()
        for unit in (PACKAGING / "systemd").iterdir():
            text = unit.read_text()
            for name in re.findall(r"\$\{?(VIGIL_\w+)", text):
                self.assertTrue(f"{name}=" in default or f"Environment={name}=" in text, (unit.name, name))


class Install(unittest.TestCase):
    """make install and uninstall of a module that is none, in a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.module = self.folder / "vigil.ko"
        self.module.write_bytes(b"\x7fELF\0name=vigil\0vermagic=7.3.4-mine SMP preempt \0")
        self.installed = self.folder / "to/lib/modules/7.3.4-mine/updates/vigil.ko"

    def run_script(self, *words, variable="DESTDIR"):
        env = os.environ | {variable: str(self.folder / "to")}
        done = subprocess.run([TOP / "scripts/install-module", *words], env=env, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def test_install_and_uninstall(self):
        for variable in ("DESTDIR", "INSTALL_MOD_PATH"):
            status, said = self.run_script("install", self.module, "7.3.4-mine", variable=variable)
            self.assertEqual(status, 0, said)
            self.assertEqual(self.installed.read_bytes(), self.module.read_bytes())
            # As a kernel that compresses its modules has it.
            self.installed.rename(self.installed.with_suffix(".ko.xz"))
            status, said = self.run_script("uninstall", "7.3.4-mine", variable=variable)
            self.assertEqual(status, 0, said)
            self.assertFalse(self.installed.parent.exists())
            self.assertTrue(self.installed.parent.parent.exists())

    def test_another_kernel(self):
        for what in ("install", "check"):
            status, said = self.run_script(what, self.module, "7.3.5-mine")
            self.assertEqual(status, 1)
            self.assertIn("built for kernel 7.3.4-mine, and 7.3.5-mine would not load it", said)
        self.assertEqual(self.run_script("check", self.module, "7.3.4-mine")[0], 0)

    def test_nothing_there(self):
        self.assertIn("build it first", self.run_script("install", self.folder / "none.ko", "7.3.4-mine")[1])
        self.assertIn("no vigil.ko in", self.run_script("uninstall", "7.3.4-mine")[1])

    def test_what_others_have_installed_stays(self):
        other = self.installed.with_name("other.ko")
        self.run_script("install", self.module, "7.3.4-mine")
        other.touch()
        self.assertEqual(self.run_script("uninstall", "7.3.4-mine")[0], 0)
        self.assertTrue(other.exists())


if __name__ == "__main__":
    unittest.main()
