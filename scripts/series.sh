# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Which kernels vigil can be built for, and how a script ends in an error. Sourced, never
# run: by lib.sh, and by kdir-check, which vigil-dkms has without the rest of scripts/.

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# The first series whose Rust support has all that vigil uses.
VIGIL_FIRST_SERIES=7.2

# Whether a kernel series such as 7.3 is that one or a later one.
series_is_known() { printf '%s\n' "$VIGIL_FIRST_SERIES" "$1" | sort -CV; }

# What there is to say of one that is not.
why_series_is_unknown() {
	echo "the Rust support of $1 is not enough for vigil, which needs $VIGIL_FIRST_SERIES or later (Debian has one in trixie-backports)"
}
