# SPDX-License-Identifier: GPL-2.0
"""Tests of what is said of kernels that vigil cannot be built for, on made-up trees:
`python3 -m unittest kdir_check_test` in scripts/."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent
RUSTC = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)"
RELEASE = "7.3.4+deb13-cloud-amd64"
# What there has to be besides libkernel.rmeta, on x86.
METADATA = [
    *(f"rust/lib{crate}.rmeta" for crate in ("core", "compiler_builtins", "ffi", "bindings", "uapi")),
    "rust/libmacros.so",
    "include/generated/rustc_cfg",
    "scripts/target.json",
]


def metadata(rustc):
    """The beginning of a file of metadata: magic, position, length, what wrote it."""
    return b"rust\0\0\0\x09" + bytes(8) + bytes([len(rustc)]) + rustc.encode() + b"\xc1\x02"


class Tree(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = pathlib.Path(folder.name, "tree")
        self.rustc = pathlib.Path(folder.name, "a-rustc")

    def lay(self, release=RELEASE, config="CONFIG_X86=y\nCONFIG_RUST=y\n", written_by=RUSTC, rustc=RUSTC):
        """A tree, and a compiler that says that it is `rustc`."""
        for name in ("include/config", "include/generated", "rust", "scripts"):
            (self.tree / name).mkdir(parents=True)
        for name in (*METADATA, "Module.symvers"):
            (self.tree / name).write_text("something\n")
        (self.tree / "Makefile").write_text("modules:\n\t@echo kbuild runs\n")
        (self.tree / "include/config/kernel.release").write_text(release + "\n")
        (self.tree / "include/config/auto.conf").write_text("CONFIG_RUSTC_VERSION=108501\n" + config)
        if written_by:
            (self.tree / "rust/libkernel.rmeta").write_bytes(metadata(written_by))
        if rustc:
            self.rustc.write_text(f"#!/bin/sh\necho '{rustc}'\n")
            self.rustc.chmod(0o755)

    def make(self):
        """make KDIR=: its status, and what was said besides that make failed."""
        # Not as a part of the make that runs the checks.
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(
            ["make", "-C", SCRIPTS.parent, f"KDIR={self.tree}", f"RUSTC={self.rustc}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env)
        said = [line for line in done.stdout.splitlines() if not line.startswith("make: ")]
        return done.returncode, said

    def refused(self, *words):
        """It is, in one line that has these words."""
        status, said = self.make()
        self.assertNotEqual(status, 0)
        self.assertEqual(len(said), 1, said)
        self.assertTrue(said[0].startswith(f"error: KDIR={self.tree}"), said)
        for word in words:
            self.assertIn(word, said[0])

    def test_as_it_should_be(self):
        self.lay()
        status, said = self.make()
        self.assertEqual(status, 0, said)
        self.assertIn("kbuild runs", said)

    def test_no_folder(self):
        self.refused("there is no such folder")

    def test_not_prepared(self):
        self.tree.mkdir()
        (self.tree / "Makefile").touch()
        self.refused("prepared for modules", "'make modules_prepare'")

    def test_series(self):
        self.lay(release="6.12.48+deb13-cloud-amd64")
        self.refused("is of 6.12.48", "needs 7.2 or later", "trixie-backports")

    def test_without_rust(self):
        self.lay(config="# CONFIG_RUST is not set\n", written_by=None)
        self.refused("without Rust", "CONFIG_RUST")

    def test_headers_of_debian(self):
        self.lay(written_by=None)
        self.refused("rust/libkernel.rmeta", "'make module KERNEL=7.3-cloud'", "linux-source-7.3")

    def test_no_metadata(self):
        self.lay(release="7.4.0-rc3", written_by=None)
        self.refused("rust/libkernel.rmeta", "'make modules_prepare'")

    def test_each_file_is_looked_for(self):
        self.lay()
        for name in METADATA:
            kept = (self.tree / name).read_bytes()
            (self.tree / name).unlink()
            self.refused(f"({name})")
            (self.tree / name).write_bytes(kept)
        status, said = self.make()
        self.assertEqual(status, 0, said)

    def test_what_only_x86_needs(self):
        self.lay(config="CONFIG_ARM64=y\nCONFIG_RUST=y\n")
        (self.tree / "scripts/target.json").unlink()
        status, said = self.make()
        self.assertEqual(status, 0, said)

    def test_exports(self):
        self.lay()
        (self.tree / "Module.symvers").unlink()
        self.refused("Module.symvers")

    def test_package_of_each_distribution(self):
        packages = {
            "7.2.0-14-generic": "linux-lib-rust-7.2.0-14-generic",
            "7.3.0-1003-aws": "linux-lib-rust-7.3.0-1003-aws",
            "7.3.4-arch1-1": "package linux-headers,",
            "7.3.4-zen1-1-zen": "package linux-zen-headers,",
            "7.3.4-200.fc44.x86_64": "no package of Fedora",
            # openSUSE's, Arch's, Alpine's.
            "7.3.4-1-default": "'make modules_prepare'",
            "7.3.0-1-default": "'make modules_prepare'",
            "7.3.4-1-lts": "'make modules_prepare'",
            "7.3.4-0-lts": "'make modules_prepare'",
        }
        self.lay(written_by=None)
        for release, package in packages.items():
            (self.tree / "include/config/kernel.release").write_text(release + "\n")
            self.refused("has no Rust metadata" if package.startswith("'") else
                         "and no package" if ".fc" in release else "install", package)

    def test_fedora(self):
        self.lay(release="7.3.4-200.fc44.x86_64", config="")
        self.refused("without Rust, as Fedora's kernels are")

    def test_compiler_of_each_distribution(self):
        packages = {
            "7.2.0-14-generic": "package rustc-1.85",
            "7.3.4-arch1-1": "package rust of version 1.85.1",
            "7.3.4": "rustup toolchain install 1.85.1",
        }
        self.lay(rustc="rustc 1.90.0 (1159e78c4 2025-09-14)")
        for release, package in packages.items():
            (self.tree / "include/config/kernel.release").write_text(release + "\n")
            self.refused("RUSTC=", package)

    def test_another_rustc(self):
        # The same version, but not the same build of it.
        self.lay(written_by="rustc 1.85.1 (4eb161250 2025-03-15)")
        self.refused("built with rustc 1.85.1 (4eb161250 2025-03-15), and", RUSTC, "RUSTC=")

    def test_no_rustc(self):
        self.lay(rustc=None)
        self.refused(f"built with {RUSTC}", f"no {self.rustc} here", "package rustc")


class Kernel(unittest.TestCase):
    def test_series(self):
        """What is too old is refused before anything is fetched, also where the mirror has it."""
        for kernel in ("6.12-cloud", "6.12", "7.1-rt", "5.10-arm64"):
            done = subprocess.run(
                [SCRIPTS / "kernel-tree", kernel, "arch"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(
                done.stderr, rf"\Aerror: KERNEL={kernel}: .* needs 7\.2 or later .*\n\Z")
        for kernel in ("7.2-cloud", "7.3", "7.10", "8.0"):
            subprocess.run([SCRIPTS / "kernel-tree", kernel, "arch"], capture_output=True, check=True)


if __name__ == "__main__":
    unittest.main()
