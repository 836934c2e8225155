# SPDX-License-Identifier: GPL-2.0
"""Tests of what vigil-dkms does in Debian's DKMS, on made-up trees:
`python3 -m unittest dkms_test` in scripts/, in the build root.

What "compiles" there is a makefile that copies a program. scripts/header-trial builds the
module itself so.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from kdir_check_test import METADATA, RELEASE, RUSTC, metadata

SCRIPTS = pathlib.Path(__file__).resolve().parent
DKMS = SCRIPTS.parent / "packaging/dkms"
COMPILES = "modules:\n\tcp /usr/bin/true $(M)/vigil.ko\n"
OTHER = 'PACKAGE_NAME="other"\nPACKAGE_VERSION="1"\nBUILT_MODULE_NAME[0]="other"\n' \
    'DEST_MODULE_LOCATION[0]="/updates"\nAUTOINSTALL="yes"\nMAKE[0]="cp /usr/bin/true other.ko"\n'


@unittest.skipUnless(shutil.which("dkms"), "no dkms here")
class Dkms(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.kernel = self.folder / "kernel"
        for name in ("include/config", "include/generated", "rust", "scripts"):
            (self.kernel / name).mkdir(parents=True)
        for name in (*METADATA, "Module.symvers"):
            (self.kernel / name).write_text("something\n")
        (self.kernel / "rust/libkernel.rmeta").write_bytes(metadata(RUSTC))
        (self.kernel / "include/config/kernel.release").write_text(RELEASE + "\n")
        self.configure("CONFIG_RUST=y\nCONFIG_MODULES=y\nCONFIG_RUSTC_VERSION=108501\n")
        (self.kernel / "Makefile").write_text(COMPILES)
        for name in ("tree", "source", f"install/{RELEASE}", "bin"):
            (self.folder / name).mkdir(parents=True)
        source = self.folder / "source/vigil-1.2.3"
        (source / "scripts").mkdir(parents=True)
        conf = (DKMS / "dkms.conf").read_text().replace("#MODULE_VERSION#", "1.2.3")
        (source / "dkms.conf").write_text(conf)
        (source / "VERSION").write_text("1.2.3\n")
        shutil.copy(DKMS / "dkms-build", source)
        for name in ("kdir-check", "series.sh"):
            shutil.copy(SCRIPTS / name, source / "scripts")
        other = self.folder / "source/other-1"
        (other / "src").mkdir(parents=True)
        (other / "dkms.conf").write_text(OTHER)
        self.compiler("rustc", RUSTC)
        self.compiler("depmod", "")
        for module, version in (("vigil", "1.2.3"), ("other", "1")):
            self.assertEqual(self.dkms("add", "-m", module, "-v", version)[0], 0)

    def configure(self, text):
        (self.kernel / "include/config/auto.conf").write_text(text)

    def compiler(self, name, says):
        program = self.folder / "bin" / name
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)

    def dkms(self, *words):
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        env["PATH"] = f"{self.folder}/bin:{env['PATH']}"
        done = subprocess.run(
            ["dkms", *words, "--dkmstree", self.folder / "tree", "--sourcetree", self.folder / "source",
             "--installtree", self.folder / "install"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env)
        return done.returncode, done.stdout

    def build(self):
        status, said = self.dkms(
            "build", "-m", "vigil", "-v", "1.2.3", "-k", RELEASE, "--kernelsourcedir", str(self.kernel))
        log = self.folder / "tree/vigil/1.2.3/build/make.log"
        return status, log.read_text() if log.exists() else said

    def left_out(self, sentence):
        """The kernel goes without vigil, the log says why, and the other module is built."""
        status, log = self.build()
        self.assertEqual(status, 77, log)
        self.assertIn(sentence, log)
        status, said = self.dkms("autoinstall", "-k", RELEASE, "--kernelsourcedir", str(self.kernel))
        self.assertEqual(status, 0, said)
        self.assertIn("skipped for module(s) vigil", said)
        self.assertIn("succeeded for module(s) other", said)

    def test_as_it_should_be(self):
        status, log = self.build()
        self.assertEqual(status, 0, log)
        self.assertTrue(list((self.folder / "tree/vigil/1.2.3" / RELEASE).rglob("vigil.ko*")))

    def test_without_metadata(self):
        (self.kernel / "rust/libkernel.rmeta").unlink()
        self.left_out("has no Rust metadata (rust/libkernel.rmeta), which Debian's headers packages leave out")

    def test_without_rust(self):
        # DKMS sees that itself, and runs nothing.
        self.configure("CONFIG_MODULES=y\n")
        status, said = self.build()
        self.assertEqual(status, 77, said)
        self.assertIn("BUILD_EXCLUSIVE", said)

    def test_another_compiler(self):
        self.compiler("rustc", "rustc 1.90.0")
        self.left_out(f"was built with {RUSTC}, and rustc is rustc 1.90.0")

    def test_a_compiler_with_its_version_in_its_name(self):
        self.compiler("rustc", "rustc 1.90.0")
        self.compiler("rustc-1.85", RUSTC)
        (self.kernel / "Makefile").write_text("modules:\n\ttest $(RUSTC) = rustc-1.85\n" + COMPILES.split("\n")[1] + "\n")
        status, log = self.build()
        self.assertEqual(status, 0, log)

    def test_what_does_not_compile(self):
        (self.kernel / "Makefile").write_text("modules:\n\t@echo error: no method named; exit 1\n")
        self.left_out(f"vigil 1.2.3 does not compile for {RELEASE}")


if __name__ == "__main__":
    unittest.main()
