// SPDX-License-Identifier: GPL-2.0
//! What is not hung, however long it lasts. A task that is hung stands beside it
//! every time: without a report on that one the silence would mean nothing.

use super::hung_stall::{finish_look, guest, reports, wait_for, wait_report, Stall, PROVOKE, SOON};
use crate::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("sleepers_of_other_kinds", sleepers_of_other_kinds).light(),
        Scenario::new("frozen_tasks", frozen_tasks).core().light(),
        Scenario::new("frozen_file_system", frozen_file_system)
            .needs("CONFIG_BLK_DEV_NULL_BLK=m")
            .light(),
        Scenario::new("slow_disk", slow_disk)
            .needs("CONFIG_BLK_DEV_NULL_BLK=m")
            .idle(),
        Scenario::new("long_discard", long_discard)
            .needs("CONFIG_SCSI_DEBUG=m")
            .idle(),
        Scenario::new("long_passthrough", long_passthrough)
            .needs("CONFIG_SCSI_DEBUG=m")
            .idle()
            .all(),
    ]
}

/// The tasks that were reported since `mark`.
fn reported(vm: &Vm, mark: Mark) -> anyhow::Result<BTreeSet<u32>> {
    Ok(reports(&vm.dmesg_after(mark)?)?
        .iter()
        .map(|report| report.task.pid)
        .collect())
}

/// Killable and idle sleepers, a task that was never switched out (as freshly
/// forked ones), and tasks that sleep again and again, each time for less than
/// the timeout.
fn sleepers_of_other_kinds(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1",
    )?;
    let mark = vm.mark()?;
    for innocent in [
        "killable count=2",
        "idle count=2",
        "fresh",
        "nap ms=1300 count=100",
        "nap ms=20 count=100000",
    ] {
        Stall::start(&vm, innocent)?;
    }
    let killable = vm.spawn(&format!(
        "echo killable secs=600 > {PROVOKE}/block_me_killable"
    ))?;
    // The last one to stand: when it is due, all the others are long due.
    let hung = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, hung.victim())?;
    finish_look(&vm)?;
    ensure!(
        !killable.ended(),
        "it was to be stuck: {}",
        killable.output()
    );
    let reported = reported(&vm, mark)?;
    ensure!(
        reported == BTreeSet::from([hung.victim()]),
        "reported were {reported:?}, not {hung:?} alone"
    );
    Ok(())
}

/// A task that a cgroup's freezer holds, whichever of the two: the older one
/// freezes it in the very sleep for which it would be reported. Thawed, and
/// still asleep, it is hung after another timeout.
fn frozen_tasks(cx: &Cx) -> Verdict {
    // Until they are frozen they are stuck like others, and a slow machine takes its time.
    let vm = guest(
        cx,
        "hung_task_timeout_secs=0 hung_task_check_interval_secs=1",
    )?;
    let (old, _job) = Stall::block_shell(&vm, "", "freezable")?;
    vm.sh_ok(&format!(
        "mkdir /tmp/freezer; mount -t cgroup -o freezer none /tmp/freezer; mkdir /tmp/freezer/a
         echo {} > /tmp/freezer/a/cgroup.procs; echo FROZEN > /tmp/freezer/a/freezer.state",
        old.victim(),
    ))?;
    let new = vm.spawn("echo $$; while :; do :; done")?;
    new.wait_output("\n", SOON)?;
    vm.sh_ok(&format!(
        "mkdir /sys/fs/cgroup/a; echo {} > /sys/fs/cgroup/a/cgroup.procs; echo 1 > /sys/fs/cgroup/a/cgroup.freeze",
        new.output().trim(),
    ))?;
    wait_for(&vm, SOON, "the frozen cgroups", || {
        let old = vm.read("/tmp/freezer/a/freezer.state")?;
        let new = vm.read("/sys/fs/cgroup/a/cgroup.events")?;
        Ok((old == "FROZEN\n" && new.contains("frozen 1")).then_some(()))
    })?;

    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let hung = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, hung.victim())?;
    finish_look(&vm)?;
    let all = reported(&vm, mark)?;
    ensure!(
        all == BTreeSet::from([hung.victim()]),
        "reported were {all:?}, not {hung:?} alone"
    );
    // The run queues go on counting it, and it is tracked: there is nothing to be scanned for.
    let number = |name| Status::read(&vm)?.number(name);
    ensure!(number(key::hung_task::TRACKED_TASKS)? >= 2);
    let (scans, checks) = (
        number(key::hung_task::SCANS)?,
        number(key::hung_task::CHECKS)?,
    );
    vm.set_knob("hung_task_timeout_secs", 60)?;
    wait_for(&vm, SOON, "ten looks", || {
        Ok((number(key::hung_task::CHECKS)? >= checks + 10).then_some(()))
    })?;
    let scans = number(key::hung_task::SCANS)? - scans;
    ensure!(scans <= 4, "{scans} scans in ten looks");
    vm.set_knob("hung_task_timeout_secs", 2)?;

    let thawed = vm.uptime()?;
    vm.write("/tmp/freezer/a/freezer.state", b"THAWED")?;
    let report = wait_report(&vm, mark, old.victim())?;
    let after = report.time - thawed;
    ensure!(
        (2.0..4.5).contains(&after),
        "reported {after} s after it was thawed"
    );
    ensure!(
        report.text.contains("more than 2 seconds") || report.text.contains("more than 3 seconds"),
        "{report:?}"
    );
    Ok(())
}

/// A guest with these modules of the kernel's. Each but the last, which may have parameters, is loaded, after what
/// it needs; and may be built in.
fn guest_with_modules(cx: &Cx, modules: &[&str]) -> anyhow::Result<Vm> {
    let artifacts = Artifacts::from_env()?;
    let stock = modules
        .iter()
        .filter_map(|name| artifacts.stock_module(&format!("{name}.ko")));
    let vm = cx.boot_with(cx.config().files(stock))?;
    let needed = &modules[..modules.len() - 1];
    vm.sh_ok(&format!(
        "for module in {}; do
             ! test -e /vm/$module.ko || insmod /vm/$module.ko || exit
         done",
        needed.join(" ")
    ))?;
    Ok(vm)
}

/// A guest with an ext4 at `/mnt`, on the first of two disks that take so many nanoseconds for each
/// request, two at a time.
fn guest_with_disks(cx: &Cx, request_ns: u32) -> anyhow::Result<Vm> {
    let modules = ["crc16", "mbcache", "jbd2", "ext4", "configfs", "null_blk"];
    let vm = guest_with_modules(cx, &modules)?;
    vm.sh_ok(&format!(
        "insmod /vm/null_blk.ko nr_devices=2 gb=1 memory_backed=1 queue_mode=2 irqmode=2 no_sched=1 \
             completion_nsec={request_ns} hw_queue_depth=2 submit_queues=1 &&
         mke2fs /dev/nullb0 8000 && mkdir /mnt && mount -t ext4 /dev/nullb0 /mnt"
    ))?;
    Ok(vm)
}

/// Writers of a frozen file system are hung, and are one cause, however many there are: what hangs
/// besides is reported too.
fn frozen_file_system(cx: &Cx) -> Verdict {
    let vm = guest_with_disks(cx, 10_000)?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load("hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=3")?;
    let mark = vm.mark()?;
    let writers =
        vm.spawn("fsfreeze --freeze /mnt; for i in $(seq 12); do touch /mnt/$i & done; wait")?;
    vm.wait_log_after(
        mark,
        r"^vigil: task touch:\d+ waits for a frozen file system: \S+ called from mnt_want_write\+0x\S+$",
        SOON,
    )?;
    wait_for(&vm, SOON, "no warnings to be left", || {
        Ok((vm.knob("hung_task_warnings")? == "0").then_some(()))
    })?;
    let hung = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, hung.victim())?;
    vm.sh_ok("fsfreeze --unfreeze /mnt")?;
    writers.wait(SOON)?;
    Ok(())
}

/// Who waits for the writeback of a slow disk is not hung while that disk writes, and is when it
/// does not, although another one does. With the kernel's own timeout at 0 nothing wakes the task.
fn slow_disk(cx: &Cx) -> Verdict {
    let vm = guest_with_disks(cx, 50_000_000)?;
    // Many small requests for one that the file system makes.
    vm.sh_ok(
        "echo 4 > /sys/block/nullb0/queue/max_sectors_kb
         ! test -e /proc/sys/kernel/hung_task_timeout_secs || echo 0 > /proc/sys/kernel/hung_task_timeout_secs",
    )?;
    vm.load("hung_task_timeout_secs=3 hung_task_check_interval_secs=1")?;
    let mark = vm.mark()?;
    // A request of the file system each: they end one after the other.
    vm.sh_ok(
        "for i in $(seq 0 63); do
             dd if=/dev/zero of=/mnt/pieces bs=32k count=1 seek=$((2 * i)) conv=notrunc
         done",
    )?;
    let began = vm.uptime()?;
    let slow = vm.spawn("sync")?;
    slow.wait(SOON)?;
    let lasted = vm.uptime()? - began;
    ensure!(lasted > 7.0, "the sync took {lasted} s only");
    finish_look(&vm)?;
    ensure!(reported(&vm, mark)?.is_empty(), "reported while it wrote");

    // A single request of the file system, which is over when all of it is written.
    let other = vm.spawn(
        "while ! test -e /tmp/stop; do dd if=/dev/zero of=/dev/nullb1 bs=4k count=8 conv=fsync; done",
    )?;
    vm.sh_ok("dd if=/dev/zero of=/mnt/whole bs=1M count=1")?;
    let mark = vm.mark()?;
    let stuck = vm.spawn("sync")?;
    vm.wait_log_after(mark, "INFO: task sync:", SOON)?;
    vm.sh_ok("touch /tmp/stop")?;
    for job in [stuck, other] {
        job.wait(SOON)?;
    }
    Ok(())
}

/// A guest with a SCSI disk at `/dev/sda` that discards, and takes seven seconds for each command; the
/// kernel's own detector is silent, and vigil's timeout is two seconds.
fn guest_with_scsi_disk(cx: &Cx) -> anyhow::Result<Vm> {
    let vm = guest_with_modules(cx, &["scsi_common", "scsi_mod", "sd_mod", "scsi_debug"])?;
    vm.sh_ok(&format!(
        "insmod /vm/scsi_debug.ko dev_size_mb=8 delay=1 lbpu=1 || exit
         ! test -e {KERNELS}_warnings || echo 0 > {KERNELS}_warnings"
    ))?;
    wait_for(&vm, SOON, "a disk", || {
        let size = vm.sh("test -b /dev/sda && cat /sys/block/sda/size")?;
        Ok((size.stdout.trim() == "16384").then_some(()))
    })?;
    let hz = [100, 250, 300, 1000]
        .into_iter()
        .find(|hz| vm.artifacts().kernel_has(&format!("CONFIG_HZ={hz}")))
        .context("which HZ?")?;
    let delay = format!("echo {} > /sys/bus/pseudo/drivers/scsi_debug/delay", 7 * hz);
    // Refused while the disk is busy: its probe goes on for a moment.
    wait_for(&vm, SOON, "a longer delay", || {
        Ok((vm.sh(&delay)?.status == 0).then_some(()))
    })?;
    vm.load("hung_task_timeout_secs=2 hung_task_check_interval_secs=1")?;
    Ok(vm)
}

/// The kernel's own knobs.
const KERNELS: &str = "/proc/sys/kernel/hung_task";

/// Sets the kernel's own timeout: it wakes each half of it who waits for block I/O.
fn set_kernels_timeout(vm: &Vm, secs: u32) -> anyhow::Result<String> {
    Ok(vm.sh_ok(&format!(
        "! test -e {KERNELS}_timeout_secs || echo {secs} > {KERNELS}_timeout_secs"
    ))?)
}

/// Waits until the process of this name, which the job runs, sleeps in this function of the kernel.
fn wait_asleep(vm: &Vm, job: &Job, name: &str, function: &str) -> Verdict {
    let stack = format!("cat /proc/$(pidof {name})/stack");
    wait_for(vm, SOON, function, || {
        ensure!(!job.ended(), "{name} has ended: {}", job.output());
        Ok(vm.sh(&stack)?.stdout.contains(function).then_some(()))
    })
}

/// Reads from that disk: that is hung, although the kernel wakes it.
fn slow_read_is_hung(vm: &Vm) -> Verdict {
    set_kernels_timeout(vm, 2)?;
    let mark = vm.mark()?;
    let read = vm.spawn("exec dd if=/dev/sda of=/dev/null bs=4k count=1 iflag=direct")?;
    vm.wait_log_after(mark, "INFO: task dd:", SOON)?;
    read.wait(SOON)?;
    Ok(())
}

/// Who waits for a discard is not hung, whether the kernel wakes it meanwhile or not; who reads, from
/// the same disk for as long, is.
fn long_discard(cx: &Cx) -> Verdict {
    let vm = guest_with_scsi_disk(cx)?;
    slow_read_is_hung(&vm)?;
    let mark = vm.mark()?;
    for secs in [2, 0] {
        set_kernels_timeout(&vm, secs)?;
        let began = vm.uptime()?;
        let discard = vm.spawn("exec blkdiscard -l 1048576 /dev/sda")?;
        wait_asleep(&vm, &discard, "blkdiscard", "bio_await")?;
        ensure!(discard.wait(SOON)?.status == 0);
        let lasted = vm.uptime()? - began;
        ensure!(lasted > 6.0, "the discard took {lasted} s only");
        finish_look(&vm)?;
        let reported = reported(&vm, mark)?;
        ensure!(
            reported.is_empty(),
            "reported while it discarded, with {secs} s: {reported:?}"
        );
    }
    Ok(())
}

/// Who waits for passthrough requests, as with `SG_IO`, is not hung; who reads from the same disk for
/// as long is.
fn long_passthrough(cx: &Cx) -> Verdict {
    let vm = guest_with_scsi_disk(cx)?;
    slow_read_is_hung(&vm)?;
    let mark = vm.mark()?;
    let began = vm.uptime()?;
    let rescan = vm.spawn("echo 1 | tee /sys/block/sda/device/rescan")?;
    wait_asleep(&vm, &rescan, "tee", "blk_execute_rq")?;
    wait_for(&vm, SOON, "a long command", || {
        Ok((vm.uptime()? - began > 6.0).then_some(()))
    })?;
    finish_look(&vm)?;
    ensure!(!rescan.ended(), "it was to take long: {}", rescan.output());
    let reported = reported(&vm, mark)?;
    ensure!(
        reported.is_empty(),
        "reported while it rescans: {reported:?}"
    );
    Ok(())
}
