# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # the variables are for those who source this
# Shared by the set-up scripts: where things are kept, how they are locked and
# how they are published. Sourced, never run.

set -euo pipefail

VIGIL_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VIGIL_CACHE=${VIGIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vigil}
mkdir -p "$VIGIL_CACHE/locks" "$VIGIL_CACHE/tmp"
VIGIL_CACHE=$(cd "$VIGIL_CACHE" && pwd -P)

. "$VIGIL_TOP/scripts/series.sh"

# Progress goes to stderr: stdout of these scripts is for the path they print.
say() { printf '>> %s\n' "$*" >&2; }

# Hash of the named files' contents and the remaining words, short enough for a
# folder name. Usage: key_of FILE... -- WORD...
key_of() {
	local -a files=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do files+=("$1"); shift; done
	[ $# -eq 0 ] || shift
	{ cat -- "${files[@]}"; printf '%s\n' "$@"; } | sha256sum | cut -c1-12
}

# Take the named lock for the life of this process. A second run waits here
# instead of building the same thing twice; the kernel drops the lock when the
# holder dies, however it dies.
take_lock() {
	local fd
	exec {fd}>"$VIGIL_CACHE/locks/$1.lock"
	if ! flock -n "$fd"; then
		say "another run is preparing $1: waiting for it"
		flock "$fd"
	fi
	# Make-shift folders of earlier holders are garbage by now: they held
	# this lock for as long as they used them.
	local stale
	for stale in "$VIGIL_CACHE/tmp/$1".*; do
		[ -e "$stale" ] && discard "$stale"
	done
	return 0
}

# A new folder for the holder of lock $1 to build in, on the cache's own file
# system so that publishing it is one rename.
work_dir() { mktemp -d "$VIGIL_CACHE/tmp/$1.XXXXXX"; }

# Remove a tree that may belong to sub-uids (a root made in a user namespace).
discard() {
	rm -rf --one-file-system "$1" 2>/dev/null && return 0
	unshare --map-auto --map-root-user rm -rf --one-file-system "$1" ||
		die "cannot remove $1: remove it by hand"
}

# How Debian calls an architecture that uname -m calls $1.
debian_arch() {
	case $1 in
	x86_64) echo amd64 ;;
	aarch64) echo arm64 ;;
	*) die "there is nothing for machines of $1 here" ;;
	esac
}

# What programs of a root link to, which may be one of another architecture, and
# the loader that they ask for: paths in the root, a line each.
# Usage: libraries_of ARCH ROOT PROGRAM...
libraries_of() {
	# shellcheck disable=SC2016 # expanded inside the root
	"$VIGIL_TOP/scripts/in-root" bash -euc '
		arch=$1 root=$2
		shift 2
		queue=("$@")
		declare -A seen=()
		while [ ${#queue[@]} -gt 0 ]; do
			file=${queue[0]} queue=("${queue[@]:1}")
			for name in $(readelf -dlW "$root$file" | sed -nE \
				"s/.*\(NEEDED\).*\[(.*)\]/\1/p; s/.*program interpreter: (.*)\]/\1/p"); do
				[ -z "${seen[$name]:-}" ] || continue
				seen[$name]=1
				case $name in
				/*) path=$name ;;
				*)
					path=
					for dir in /lib/$arch-linux-gnu /usr/lib/$arch-linux-gnu /lib /usr/lib; do
						[ ! -e "$root$dir/$name" ] || { path=$dir/$name; break; }
					done
					;;
				esac
				[ -e "$root$path" ] && [ -n "$path" ] ||
					{ echo "error: $file needs $name, which is not in $root" >&2; exit 1; }
				echo "$path"
				queue+=("$path")
			done
		done' bash "$@" | sort -u
}

# Pack a folder as an initramfs, the same bytes for the same content. The list of
# files is left beside the image. Usage: pack_initramfs FOLDER IMAGE
pack_initramfs() {
	find "$1" -mindepth 1 -exec touch -h -d @0 {} +
	(cd "$1" && find . -mindepth 1 -printf '%P\0' | LC_ALL=C sort -z) >"$2.list"
	# shellcheck disable=SC2016 # expanded inside the root
	"$VIGIL_TOP/scripts/in-root" sh -c 'cd "$1" && cpio --quiet --null --create --format=newc --owner=0:0 --reproducible <"$2" >"$3"' \
		sh "$1" "$2.list" "$2" ||
		die "cpio could not pack $1"
}

# Run a long command with its output in a log file: a line every few seconds
# says that it is alive, and the log's end is shown if it fails.
# Usage: run_logged WHAT LOG COMMAND...
run_logged() {
	local what=$1 log=$2 start=$SECONDS pid
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$what"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		if [ $(((SECONDS - start) % 15)) -eq 14 ]; then
			printf '   %3ds  %s\n' $((SECONDS - start)) \
				"$(tail -n 1 "$log" | tr -d '\r' | cut -c1-90)" >&2
		fi
	done
	if ! wait "$pid"; then
		tail -n 40 "$log" >&2
		die "$what: failed (log: $log)"
	fi
	say "$what: done in $((SECONDS - start)) s"
}
