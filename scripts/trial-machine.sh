# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # document, section and trial are the caller's
# A machine for a trial, and the document that is followed there. Sourced by kdump-trial and
# package-trial, after lib.sh; never run.
#
# A clean Debian trixie (scripts/trial-root) is booted from a disk image in QEMU.
# The commands are those of $document: what stands in blocks marked `sh` of its section
# $section is typed into a shell there. It is started each time with what GRUB would
# start, by the grub.cfg on the disk: this is the boot loader, nothing else of the machine is
# made up. $trial is a folder for the disk and the consoles.
#
# MEM=1024      the machine's memory in MiB

# Limits in seconds. Emulated and on a busy machine, none is met by far.
boot_limit=600 command_limit=1200 down_limit=300 crash_limit=900

began=$SECONDS boots=0 dumps=0 qemu=''

tell() { printf '%5d s  %s\n' $((SECONDS - began)) "$*"; }

fail() {
	tell "FAILED: $*"
	[ ! -e "$trial/console-$boots" ] || tail -n 25 "$trial/console-$boots" | tr -d '\r' | sed 's/^/    /'
	echo "FAILED: $*; what the machine said is in $trial"
	exit 1
}

# Sets commands[], and kinds[]: what is to become of the machine after each.
read_document() {
	local line inside='' in_section='' kind='' text=''
	commands=() kinds=()
	while IFS= read -r line; do
		if [ -z "$inside" ]; then
			case $line in
			"## $section") in_section=1 ;;
			"## "*) in_section='' ;;
			'```sh' | '```sh '*)
				[ -n "$in_section" ] || continue
				inside=1 kind=${line#'```sh'} text=''
				case $kind in
				'' | ' reboot' | ' crash') ;;
				*) die "$document: unknown mark '$line'" ;;
				esac
				;;
			esac
		elif [ "$line" = '```' ]; then
			[ -z "$text" ] || die "$document: a command without an end: $text"
			[ ${#commands[@]} -gt 0 ] && kinds[-1]=${kind# }
			inside=''
		else
			text+=${text:+$'\n'}$line
			# A command ends where the shell says so.
			[ -z "$(bash -n <<<"$text" 2>&1)" ] || continue
			case $text in
			'' | '#'*) ;;
			*) commands+=("$text") kinds+=('') ;;
			esac
			text=''
		fi
	done <"$document"
	[ ${#commands[@]} -gt 0 ] || die "$document: no commands in '$section'"
}

# make_disk FILE...: with these files in /root.
make_disk() {
	local archive file
	archive=$(scripts/trial-root "$kernel")
	truncate -s 4G "$trial/disk"
	scripts/in-root mke2fs -q -t ext4 -L trial -d "$archive" "$trial/disk" || die "mke2fs failed"
	for file in "$@"; do
		scripts/in-root debugfs -w -R "write $file /root/${file##*/}" "$trial/disk" >/dev/null 2>&1
	done
}

# on_disk FILE TO: a file of the machine that is switched off.
on_disk() {
	scripts/in-root debugfs -R "dump $1 $2" "$trial/disk" 2>/dev/null
	[ -s "$2" ]
}

# What was written last may only be in the journal; a machine replays it at boot.
replay_journal() {
	local status=0
	scripts/in-root e2fsck -fp "$trial/disk" >"$trial/e2fsck" 2>&1 || status=$?
	[ $status -le 1 ] || fail "the disk's file system is damaged: $(tail -n 3 "$trial/e2fsck")"
}

# GRUB's part: sets linux, initrd and words by the first entry of its menu.
read_grub() {
	if on_disk /boot/grub/grub.cfg "$trial/grub.cfg"; then
		read -r _ linux words < <(grep -E '^[[:space:]]*linux[[:space:]]' "$trial/grub.cfg") || true
		read -r _ initrd < <(grep -E '^[[:space:]]*initrd[[:space:]]' "$trial/grub.cfg") || true
	else
		linux=/boot/vmlinuz-$release initrd=/boot/initrd.img-$release
		words="root=LABEL=trial ro console=ttyS0 tsc=reliable"
	fi
	if ! on_disk "$linux" "$trial/vmlinuz" || ! on_disk "$initrd" "$trial/initrd"; then
		fail "the disk does not have what GRUB is to start: $linux, $initrd"
	fi
}

# Emulation has its accidents: now and then QEMU itself crashes at a start (seen
# once in 20, by an assertion in msix.c), which says nothing of the document.
boot() {
	local try
	for try in 1 2 3; do
		replay_journal
		read_grub
		start
		if run true "$boot_limit"; then
			tell "the machine is up"
			return 0
		fi
		if kill -0 "$qemu" 2>/dev/null || wait "$qemu"; then
			break
		fi
		tell "QEMU crashed, start $try: $(tail -n 1 "$trial/qemu-$boots")"
	done
	fail "the machine does not come up"
}

start() {
	boots=$((boots + 1))
	rm -f "$trial/port"
	mkfifo "$trial/port"
	exec {to}<>"$trial/port"
	: >"$trial/port-$boots"
	tell "start of the machine: $words"
	scripts/in-root qemu-system-x86_64 -name vigil-trial -machine q35 \
		-accel tcg,thread=multi -cpu max -smp 2 -m "${MEM:-1024}" \
		-nodefaults -no-user-config -no-reboot -display none \
		-kernel "$trial/vmlinuz" -initrd "$trial/initrd" -append "$words" \
		-drive "file=$trial/disk,format=raw,if=none,id=disk,cache=unsafe" \
		-device virtio-blk-pci,drive=disk -device virtio-rng-pci \
		-serial "file:$trial/console-$boots" -device virtio-serial-pci \
		-chardev "file,id=port,path=$trial/port-$boots,append=on,input-path=$trial/port" \
		-device virtserialport,chardev=port,name=vigil.trial \
		</dev/null >"$trial/qemu-$boots" 2>&1 &
	qemu=$!
}

# run COMMAND LIMIT: in the machine; prints the end of what it says, and returns
# how it ended.
run() {
	local end=$((SECONDS + $2)) mark="@@$RANDOM$RANDOM" status='' said
	said=$(($(stat -c %s "$trial/port-$boots") + 1))
	# Nothing that is run may eat the commands to come.
	printf '{\n%s\n} </dev/null 2>&1\nprintf "\\n%s %%d\\n" $?\n' "$1" "$mark" >&"$to"
	while [ -z "$status" ]; do
		sleep 0.2
		status=$(tail -c +"$said" "$trial/port-$boots" | sed -n "s/^$mark \([0-9]\+\)$/\1/p")
		if [ -n "$status" ]; then
			break
		elif ! kill -0 "$qemu" 2>/dev/null; then
			echo "the machine is gone"
			status=254
		elif [ $SECONDS -ge $end ]; then
			echo "not ended after $2 s"
			status=255
		fi
	done
	# Of a line that is written again and again the last.
	tail -c +"$said" "$trial/port-$boots" | grep -av "^$mark\|^$" | sed 's/\r$//; s/.*\r//' |
		tail -n 16 | cut -c1-150 | sed 's/^/            | /' || true
	return "$status"
}

# type_last COMMAND: the same, of a machine that is expected to go down.
type_last() { printf '{\n%s\n} </dev/null\n' "$1" >&"$to"; }

# wait_down LIMIT: that it does.
wait_down() {
	local end=$((SECONDS + $1))
	while kill -0 "$qemu" 2>/dev/null; do
		[ $SECONDS -lt $end ] || return 1
		sleep 1
	done
	wait "$qemu" || fail "QEMU failed: $(tail -n 3 "$trial/qemu-$boots")"
	qemu=''
	exec {to}>&-
}
