// SPDX-License-Identifier: GPL-2.0
//! What a hung task waits for if that is no lock which the kernel keeps track of; and which block
//! devices have been working on a request for long.

use super::hung_stall::{finish_look, guest, who, Stall, SOON};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("old_request", old_request)
            .needs("CONFIG_BLK_DEV_NULL_BLK=m")
            .light(),
        Scenario::new("slow_beside_stuck", slow_beside_stuck)
            .needs("CONFIG_BLK_DEV_NULL_BLK=m")
            .light()
            .all(),
        Scenario::new("kinds", kinds).light().all(),
    ]
}

/// How long the requests of the stuck disk take, in nanoseconds: longer than any guest.
const NEVER: u64 = 100_000_000_000_000;

/// A guest with a disk `nullb0` that takes requests and does not answer. It has zones, for then the
/// kernel reads no partition table.
fn guest_with_stuck_disk(cx: &Cx) -> anyhow::Result<Vm> {
    let artifacts = Artifacts::from_env()?;
    let stock = ["configfs.ko", "null_blk.ko"];
    let stock = stock
        .into_iter()
        .filter_map(|name| artifacts.stock_module(name));
    let vm = cx.boot_with(cx.config().files(stock))?;
    vm.sh_ok(&format!(
        "! test -e /vm/configfs.ko || insmod /vm/configfs.ko || exit
         insmod /vm/null_blk.ko nr_devices=1 gb=1 queue_mode=2 irqmode=2 no_sched=1 \
             completion_nsec={NEVER} zoned=1 zone_size=64 zone_nr_conv=8"
    ))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load("hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=-1")?;
    Ok(vm)
}

/// Writes to a disk and waits for that.
fn writer(vm: &Vm, disk: &str) -> anyhow::Result<Job> {
    Ok(vm.spawn(&format!(
        "exec dd if=/dev/zero of=/dev/{disk} bs=4k count=1 conv=fsync"
    ))?)
}

/// A task that waits for a completion, and for no device: nothing is said of devices. Then one that
/// waits for a disk that does not answer: the disk is named, with the age of its request.
fn old_request(cx: &Cx) -> Verdict {
    let vm = guest_with_stuck_disk(cx)?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "completion")?;
    let waits = format!(
        r"^vigil: task {} waits in completion_victim\+0x\S+ \[vigil_provoke\]$",
        who(&vm, stall.victim())?
    );
    vm.wait_log_after(mark, &waits, SOON)?;
    finish_look(&vm)?;
    let log = vm.dmesg_after(mark)?;
    ensure!(
        log.iter().all(|line| !line.text.contains("block device")),
        "{log:#?}"
    );
    stall.end(&vm)?;

    let mark = vm.mark()?;
    let began = vm.uptime()?;
    let _job = writer(&vm, "nullb0")?;
    let waits = r"^vigil: task dd:\d+ waits for page or buffer I/O: \S+ called from \S+\+0x\S+$";
    vm.wait_log_after(mark, waits, SOON)?;
    let device = vm.wait_log_after(
        mark,
        r"^vigil: block device nullb0 \(\d+:0\): 1 requests older than 2 s, the oldest for \S+ s$",
        SOON,
    )?;
    let oldest = age_in(&device.text)?;
    let since = device.time - oldest;
    ensure!(
        oldest >= 2.0 && since >= began - 0.1,
        "a request from {since}, made after {began}"
    );
    Ok(())
}

/// The age at the end of a line about a block device, in seconds.
fn age_in(line: &str) -> anyhow::Result<f64> {
    let age = line
        .rsplit_once("the oldest for ")
        .and_then(|(_, age)| age.strip_suffix(" s"));
    Ok(age.with_context(|| line.to_owned())?.parse()?)
}

/// Of two disks with requests at all times the one is named that does not answer, and not the one
/// that takes a second for each: that one is slow.
fn slow_beside_stuck(cx: &Cx) -> Verdict {
    let vm = guest_with_stuck_disk(cx)?;
    vm.sh_ok(
        "mkdir -p /tmp/config && mount -t configfs none /tmp/config && mkdir /tmp/config/nullb/slow &&
         cd /tmp/config/nullb/slow && echo 0 > zoned && echo 64 > size && echo 1 > memory_backed &&
         echo 50000000 > completion_nsec && echo 1 > power && test -b /dev/slow &&
         echo 1000 > /proc/sys/vm/dirty_writeback_centisecs",
    )?;
    let mark = vm.mark()?;
    let slow = vm.spawn(
        "while ! test -e /tmp/stop; do dd if=/dev/zero of=/dev/slow bs=4k count=8 conv=fsync; done",
    )?;
    let _stuck = writer(&vm, "nullb0")?;
    vm.wait_log_after(mark, "^vigil: block device nullb0 ", SOON)?;
    finish_look(&vm)?;
    vm.sh_ok("touch /tmp/stop")?;
    slow.wait(SOON)?;
    let log = vm.dmesg_after(mark)?;
    ensure!(
        log.iter()
            .all(|line| !line.text.contains("block device slow")),
        "{log:#?}"
    );
    Ok(())
}

/// Each kind of wait that can be made is named, with who called what; in the report of one for many
/// tasks too.
fn kinds(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=2 hung_task_check_interval_secs=1 hung_task_warnings=-1",
    )?;
    for (what, waits) in [
        ("completion count=3", "waits in completion_victim"),
        (
            "srcu",
            r"waits for an RCU grace period: \S*synchronize_srcu called from srcu_victim",
        ),
        (
            "work",
            r"waits for a workqueue: \S*flush_work called from work_victim",
        ),
        (
            "kthread_stop",
            "waits for a kernel thread to stop: kthread_stop called from kthread_stop_victim",
        ),
        ("iowait", "waits in iowait_victim"),
    ] {
        let mark = vm.mark()?;
        let stall = Stall::start(&vm, what)?;
        let line = format!(r"^vigil: task \S+:\d+ {waits}\+0x\S+ \[vigil_provoke\]$");
        let line = vm.wait_log_after(mark, &line, SOON)?;
        let names = |pid: &u32| line.text.contains(&format!(":{pid} waits "));
        ensure!(
            stall.victims.iter().any(names),
            "{what}: {line:?}, {stall:?}"
        );
        finish_look(&vm)?;
        // In I/O wait, and there is no disk.
        let said = vm.dmesg_after(mark)?.iter().any(|line| {
            line.text == "vigil: no driver of a block device has a request older than 2 s"
        });
        ensure!(said == (what == "iowait"), "{what}: {said}");
        stall.end(&vm)?;
    }
    Ok(())
}
