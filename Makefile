# SPDX-License-Identifier: GPL-2.0
# The front door. Kbuild next to this file is what the kernel's build reads;
# everything here prepares what it needs and runs what it made.

KERNEL  ?= 7.3-cloud
CPUS    ?= 2
MEM     ?= 1024
TIMEOUT ?= 600
APPEND  ?=
FILES   ?=
SCRIPT  ?=
T       ?=
KIND    ?= hard
SET     ?=
MINUTES ?= 20
SEED    ?=
STEPS   ?=
KERNELS ?=
PART    ?=

out := out/$(KERNEL)
in_root := scripts/in-root
cargo := scripts/cargo
MAKEFLAGS += --no-print-directory
# One step after the other: each uses all CPUs by itself.
.NOTPARALLEL:

.PHONY: all
ifdef KDIR
# The ordinary out-of-tree build, against any tree that is prepared for Rust.
all:
	@scripts/kdir-check "$(KDIR)" "$(if $(findstring command,$(origin RUSTC)),$(RUSTC),rustc)"
	$(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/out/kdir modules
	@echo "built out/kdir/vigil.ko"
else
all: module
endif

# For the kernel that runs, and else for that of KDIR. modules_install signs the module if
# the tree signs its own.
install_kdir := $(or $(KDIR),/lib/modules/$(shell uname -r)/build)
install_path := $(or $(INSTALL_MOD_PATH),$(DESTDIR))

.PHONY: install uninstall
ifeq ($(origin KERNEL),command line)
# A module of make module, for a kernel that Debian has built.
install: module
	@DESTDIR="$(install_path)" scripts/install-module install $(out)/vigil.ko \
		"$$(scripts/kernel-tree $(KERNEL) release)"
uninstall:
	@DESTDIR="$(install_path)" scripts/install-module uninstall \
		"$$(scripts/kernel-tree $(KERNEL) release)"
else
install:
	@scripts/install-module check out/kdir/vigil.ko "$$(cat $(install_kdir)/include/config/kernel.release)"
	$(MAKE) -C $(install_kdir) M=$(CURDIR) MO=$(CURDIR)/out/kdir INSTALL_MOD_STRIP=1 \
		$(if $(install_path),INSTALL_MOD_PATH="$(install_path)") modules_install
uninstall:
	@DESTDIR="$(install_path)" scripts/install-module uninstall \
		"$(if $(KDIR),$$(cat $(KDIR)/include/config/kernel.release),$$(uname -r))"
endif

.PHONY: help
help:
	@sed -n 's/^## \?//p' Makefile

## Usage: make TARGET [KERNEL=7.3-cloud]
##
##   demo            provoke hung tasks and lockups in a guest and show the reports
##   kdump-demo      a lockup, a panic, a crash dump and its analysis; KIND=hard, soft or hung
##   kdump-trial     follow docs/kdump.md in a clean Debian with kdump-tools, to a dump
##   test            all checks and tests; T=NAME runs the scenarios whose names contain it,
##                   SET=core the core set of scenarios
##   list            print the scenarios that T and SET select, e.g. list SET=core
##   test-all        as test, with the scenarios that only repeat others for more kinds
##   matrix          build, boot and try each supported kernel; writes docs/kernels.md;
##                   KERNELS="7.2-cloud 7.2" does so for some of them
##   ci              test, a short soak, and the core set on the debug kernel
##   soak MINUTES=20 long runs: load with the shortest thresholds, CPU hotplug,
##                   a thousand new cases for each property and minute;
##                   ci runs the first two for less than a minute each;
##                   SEED=N random steps alone, STEPS=3..17 these of them
##   pauses          stop guests in all ways with all panic knobs on; writes the tables of
##                   docs/virtual-machines.md; T=NAME for some of them
##   proof           write docs/proof.md from the results of make test-all KERNEL=7.3-debug,
##                   and of make test KERNEL=7.3-debug-rcu if there are any
##   vm              a root shell in a guest; modules are under /vm, not loaded
##   vm SCRIPT=FILE  run a shell script as root in a guest; the last line is
##                   "vm: exit status N": the script's own, or 123 the kernel
##                   panicked, 124 time-out, 125 the VM failed
##                   CPUS=2 MEM=1024 TIMEOUT=600 APPEND="words" FILES="a.ko b"
##   module          build out/KERNEL/vigil.ko
##   vigilctl        build out/KERNEL/vigilctl, linked statically: see docs/vigilctl.md
##   metrics-check   check vigilctl's metrics by promtool and by Python's parser
##   kmod DIR=PATH   build any other folder of modules, C or Rust, the same way
##   kdir, ksrc      print the prepared kernel tree and its source (make -s)
##   KDIR=PATH       with no target: build against a tree of your own, with the rustc that
##                   built it (RUSTC=PATH if it is not the first in PATH)
##   install, uninstall  put what was built with KDIR= into /lib/modules/RELEASE/updates, of the
##                   kernel that runs or of KDIR=, and take it away; INSTALL_MOD_PATH= or DESTDIR=
##                   stands in front; with KERNEL= on the command line, that of make module
##   deb             Debian packages in out/KERNEL/deb: the module for KERNEL, its source for
##                   DKMS, and tools
##   header-trial    build the module by DKMS against a tree without the kernel's sources, and run
##                   scenarios with it that depend on that; T=NAME others
##   package-trial   follow docs/install.md in a clean Debian, from the packages to their removal
##   bench           cost and lateness, beside the in-tree detectors; writes
##                   docs/benchmarks.md; PART="heartbeat looks" measures these parts only and
##                   keeps the others, PART=--render none; parts: heartbeat, wakeups, workloads, looks,
##                   timeouts, size, reports, load, causes, lateness, dump, cpus, and nmis with KERNEL=arm64-nmi;
##                   the page of other kernels is in out/KERNEL/bench
##   monitoring-plot provoke stalls in a guest, and plot vigilctl's metrics meanwhile: writes
##                   docs/monitoring.svg
##   check           formatting, lints, generated files, where unsafe code is, layers, words
##   fmt, ffi, docs  write what check compares: formatted sources, src/sys/ffi.rs,
##                   docs/knobs.md, docs/status.md, docs/vigilctl.md and scripts/messages.json
##   rust-analyzer   write rust-project.json, for editors
##   clean           remove what was built here; the cache is kept
##
## KERNEL is 7.3-cloud, 7.3, 7.3-rt, 7.2-cloud, 7.2 or 7.2-rt; 7.3-arm64 for the stock
## kernel of arm64; or one that is built here from the same sources: 7.3-debug with the
## kernel's debugging options, 7.3-debug-rcu with short grace periods as well, arm64-nmi for
## arm64 with pseudo-NMIs.
## Set-up needs git, make, and root (or sub-uids and mmdebstrap); it is cached
## in ~/.cache/vigil, or in VIGIL_CACHE.

.PHONY: kdir ksrc
kdir ksrc:
	@scripts/kernel-tree $(KERNEL) $@

.PHONY: module
module:
	scripts/kmod $(KERNEL) . $(out)

.PHONY: vigilctl
vigilctl:
	@scripts/guest-programs $(KERNEL) $(out)

.PHONY: metrics-check
metrics-check:
	@scripts/metrics-check

.PHONY: kmod
kmod:
	@test -n "$(DIR)" || { echo "usage: make kmod DIR=path [KERNEL=...]" >&2; exit 2; }
	scripts/kmod $(KERNEL) $(DIR) $(out)

.PHONY: deb
deb:
	@scripts/deb $(KERNEL) $(out)/deb

# Follow docs/install.md in a clean Debian; see scripts/package-trial.
.PHONY: package-trial
package-trial:
	@scripts/package-trial $(KERNEL) $(out)

# Build against headers alone, by DKMS, and see that nothing is missed; see scripts/header-trial.
.PHONY: header-trial
header-trial:
	@scripts/header-trial $(KERNEL) $(out) $(T)

# Everything that a guest needs, in $(out): see scripts/artifacts.
.PHONY: artifacts
artifacts:
	@scripts/artifacts $(KERNEL) $(out)

# make's own status is 2 for every failure: the last line of standard output has that of
# scripts/vm, which says what it means.
.PHONY: vm
vm: artifacts
	@scripts/vm $(out) run --cpus $(CPUS) --mem $(MEM) --timeout $(TIMEOUT) \
		$(if $(APPEND),--append "$(APPEND)") $(if $(SCRIPT),--script "$(SCRIPT)") \
		$(foreach f,$(FILES),--file "$(f)"); \
	status=$$?; echo "vm: exit status $$status"; exit $$status

.PHONY: demo
demo: artifacts
	@scripts/vm $(out) demo

# Without debug information there are no stacks; what the report says then.
.PHONY: kdump-demo
kdump-demo: artifacts
	@scripts/vmcore-report --prepare >/dev/null
	@scripts/vm $(out) kdump $(KIND) "$$(scripts/kernel-debuginfo $(KERNEL) || echo 'going on without debug information' >&2)"

# Follow docs/kdump.md in a clean Debian; see scripts/kdump-trial.
.PHONY: kdump-trial
kdump-trial:
	@scripts/kdump-trial $(KERNEL) $(out)

# docs/benchmarks.md has the figures of one kernel, and what only arm64-nmi can tell; docs/benchmarks/*.json
# are the same as data.
.PHONY: bench
bench: artifacts
	@commit=$$(git rev-parse --short HEAD) || exit; \
	git diff --quiet HEAD -- . ':!docs/benchmarks*' || commit=$$commit-dirty; \
	scripts/vm $(out) bench --kernel $(KERNEL) --commit $$commit --docs docs $(PART)

# For docs/monitoring.md.
.PHONY: monitoring-plot
monitoring-plot: artifacts
	@scripts/vm $(out) monitoring $(CURDIR)/docs/monitoring.svg

.PHONY: pauses
pauses:
	@scripts/pauses $(KERNEL) $(out) $(T)

# From what make test-all KERNEL=7.3-debug has left, and make test KERNEL=7.3-debug-rcu.
.PHONY: proof
proof:
	@scripts/in-root python3 -B scripts/proof.py docs/proof.md $(out) out/new-cases.txt out/7.3-debug-rcu

.PHONY: soak
soak: artifacts
	@$(if $(SEED)$(STEPS),true,scripts/new-cases $$(($(MINUTES) * 1000)))
	@VIGIL_SOAK_MINUTES=$(MINUTES) VIGIL_SOAK_SEED=$(SEED) VIGIL_SOAK_STEPS=$(STEPS) \
		scripts/vm $(out) scenarios $(if $(SEED)$(STEPS),soak::random,soak::) --test-threads 1

.PHONY: test
test:
	@scripts/test $(KERNEL) $(out) "$(T)" "$(SET)"

# The scenarios that T and SET select, a name a line.
.PHONY: list
list:
	@VIGIL_SET=$(SET) $(cargo) run -q --locked -p vigil-scenarios -- --list $(T)

.PHONY: test-all
test-all:
	@scripts/test $(KERNEL) $(out) "" all

.PHONY: ci
ci:
	@scripts/ci

.PHONY: matrix
matrix:
	@scripts/matrix $(KERNELS)

.PHONY: check
check:
	@scripts/check $(KERNEL)

.PHONY: fmt
fmt:
	$(cargo) fmt --all
	$(in_root) rustfmt --edition 2021 src/vigil_main.rs

.PHONY: ffi
ffi:
	scripts/ffi

.PHONY: docs
docs:
	VIGIL_WRITE_DOCS=1 $(cargo) test -q -p vigil-logic --test docs
	VIGIL_WRITE_DOCS=1 $(cargo) test -q -p vigilctl generate::

.PHONY: rust-analyzer
rust-analyzer:
	scripts/rust-analyzer $(KERNEL)

.PHONY: clean
clean:
	rm -rf out target rust-project.json
