# SPDX-License-Identifier: GPL-2.0
# What the quiet run loads a guest with: functions, each of which goes on until
# it is killed, and keeps a count of what it did in /tmp/load.NAME.
disk=/mnt/disk

# A disk of its own, and another one to swap to.
prepare() {
	[ ! -e /vm/virtio_blk.ko ] || insmod /vm/virtio_blk.ko || return
	mkdir -p $disk
	mke2fs /dev/vda > /dev/null && mount -t ext4 /dev/vda $disk || return
	echo +memory > /sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/tight || return
	# A kernel that cannot swap would kill what does not fit.
	[ -e /proc/swaps ] || return 0
	mkswap /dev/vdb > /dev/null && swapon /dev/vdb && echo 24M > /sys/fs/cgroup/tight/memory.max
}

# A real compiler on real files, onto the disk.
compile() {
	n=0
	while :; do
		for file in /vm/*.i; do
			name=${file##*/}
			/vm/ld-linux-x86-64.so.2 --library-path /vm /vm/cc1 -quiet -fpreprocessed -O1 "$file" \
				-o "$disk/${name%.i}.s" || return
			n=$((n + 1))
			echo $n > /tmp/load.compile
		done
	done
}

# Short-lived processes, pipes between them.
forks() {
	n=0
	while :; do
		/bin/true
		(:)
		echo x | cat | wc -c > /dev/null || return
		n=$((n + 6))
		echo $n > /tmp/load.forks
	done
}

# Written, flushed, read back past the page cache, removed. In MiB.
disk() {
	n=0
	while :; do
		dd if=/dev/zero of=$disk/big bs=1M count=64 conv=fsync 2> /dev/null || return
		echo 1 > /proc/sys/vm/drop_caches
		dd if=$disk/big of=/dev/null bs=64k 2> /dev/null || return
		cp -r /etc /vm/*.i $disk/ && sync && rm $disk/big || return
		n=$((n + 128))
		echo $n > /tmp/load.disk
	done
}

# More memory than it may have: it reclaims and swaps all the time.
memory() {
	n=0
	while :; do
		sh -c 'echo $$ > /sys/fs/cgroup/tight/cgroup.procs; exec awk "BEGIN {
			for (i = 0; i < 200000; i++) a[i] = sprintf(\"%0100d\", i)
			for (i = 0; i < 200000; i += 7) s += length(a[i])
			print s > \"/dev/null\" }"' || return
		n=$((n + 1))
		echo $n > /tmp/load.memory
	done
}

# What came of it all.
progress() {
	for name in compile forks disk memory; do
		printf '%s %s, ' $name "$(cat /tmp/load.$name 2> /dev/null || echo 0)"
	done
	awk '/^(pswpin|pswpout|oom_kill) / { printf "%s %s, ", $1, $2 }
		/^(pgsteal_direct|pgsteal_kswapd) / { stolen += $2 }
		END { print "pages reclaimed " stolen }' /proc/vmstat
}
