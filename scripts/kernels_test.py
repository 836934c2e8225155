# SPDX-License-Identifier: GPL-2.0
"""Tests of the kernels that are built here: `python3 -m unittest kernels_test` in scripts/."""

import pathlib
import unittest

FOLDER = pathlib.Path(__file__).parent / "kernels"


def options(name):
    """What a kernel's configuration has, by option."""
    lines = (FOLDER / f"{name}.config").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line.startswith("CONFIG_"))


class Kernels(unittest.TestCase):
    def test_debug_rcu(self):
        """It is the debug kernel but for what short grace periods want."""
        debug, rcu = options("debug"), options("debug-rcu")
        changed = {name: value for name, value in rcu.items() if debug.get(name) != value}
        self.assertEqual(
            changed,
            {
                "CONFIG_NR_CPUS": "4",
                "CONFIG_LOCALVERSION": '"-vigil-debug-rcu"',
                "CONFIG_RCU_EXPERT": "y",
                "CONFIG_RCU_STRICT_GRACE_PERIOD": "y",
            },
        )
        self.assertEqual(debug.keys() - rcu.keys(), set())
        self.assertEqual(*((FOLDER / f"{name}.Kconfig").read_text() for name in ("debug", "debug-rcu")))


if __name__ == "__main__":
    unittest.main()
