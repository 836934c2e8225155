// SPDX-License-Identifier: GPL-2.0
//! The test harness itself: what the other topics rely on.

use crate::prelude::*;
use std::{
    env,
    sync::atomic::{AtomicU32, Ordering},
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("large_output", large_output),
        Scenario::new("jobs_at_once", jobs_at_once),
        Scenario::new("background_process", background_process),
        Scenario::new("files_and_errors", files_and_errors),
        Scenario::new("log", log).core(),
        Scenario::new("goes_on_from_another", goes_on_from_another),
        Scenario::new("freeze_makes_time_jump", freeze_makes_time_jump),
        Scenario::new("one_vcpu_stands_still", one_vcpu_stands_still).not_with_strict_rcu(),
        Scenario::new("nmi_arrives", nmi_arrives).only_on(Arch::X86_64, "QEMU sends NMIs"),
        Scenario::new("panic_is_seen", panic_is_seen),
        Scenario::new("userspace", userspace),
        Scenario::new("no_apic_timer", no_apic_timer).only_on(Arch::X86_64, "it is x86's timer"),
        Scenario::new("own_limit", own_limit).idle(),
    ]
}

fn large_output(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let output = vm.sh("head -c 1048576 /dev/zero | tr '\\0' x; echo; echo end >&2; exit 3")?;
    ensure!(output.status == 3, "status {}", output.status);
    ensure!(
        output.stdout.len() == (1 << 20) + 5,
        "{} bytes",
        output.stdout.len()
    );
    ensure!(output.stdout.ends_with("x\nend\n"), "the end is missing");
    Ok(())
}

/// A guest without the timer on which all scenarios count does not come up.
fn no_apic_timer(cx: &Cx) -> Verdict {
    let config = cx.config().append("nolapic_timer");
    match cx.boot_with(config) {
        Err(error) if error.reason.contains("APIC timer") => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => bail!("it has come up"),
    }
}

fn jobs_at_once(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let jobs: Vec<Job> = (0..8)
        .map(|n| vm.spawn(&format!("sleep 1; echo job {n}; exit {n}")))
        .collect::<Result<_, _>>()?;
    let endless = vm.spawn("echo started; sleep 1000 & wait")?;
    for (n, job) in jobs.iter().enumerate() {
        let output = job.wait(secs(30))?;
        let expected = Output {
            status: i32::try_from(n)?,
            stdout: format!("job {n}\n"),
        };
        ensure!(output == expected, "{output:?}");
    }
    endless.wait_output("started", secs(10))?;
    ensure!(!endless.ended(), "the endless job ended");
    endless.kill()?;
    ensure!(endless.wait(secs(10))?.status == 128 + 9, "not killed");
    // Most of these are killed before they run.
    for _ in 0..8 {
        let job = vm.spawn("exec sleep 1000")?;
        job.kill()?;
        ensure!(job.wait(secs(10))?.status == 128 + 9, "not killed");
    }
    vm.sh_ok("! pidof sleep")?;
    Ok(())
}

/// A script that leaves something behind ends nevertheless.
fn background_process(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let output = vm.sh("(sleep 3; echo late; echo alive > /tmp/alive) & echo early")?;
    ensure!(output.stdout == "early\n", "{output:?}");
    vm.sh_ok("sleep 4; grep alive /tmp/alive")?;
    Ok(())
}

fn files_and_errors(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    ensure!(
        vm.read("/proc/sys/kernel/ostype")? == "Linux\n",
        "wrong content"
    );
    let percent = "/proc/sys/kernel/perf_cpu_time_max_percent";
    vm.write(percent, b"15")?;
    ensure!(vm.read(percent)? == "15\n", "not written");
    let invalid = vm.write(percent, b"1000");
    let errno = invalid.err().and_then(|error| error.errno());
    ensure!(errno == Some(Errno::EINVAL), "{errno:?}");
    let absent = vm
        .read("/nonexistent")
        .err()
        .and_then(|error| error.errno());
    ensure!(absent == Some(Errno::ENOENT), "{absent:?}");
    let failed = vm.sh_ok("echo why; exit 4");
    ensure!(
        matches!(&failed, Err(Error::Script { status: 4, output }) if output == "why\n"),
        "{failed:?}"
    );
    Ok(())
}

/// A guest that goes on from where another had come up has its past, and nothing of what
/// the other does from there.
fn goes_on_from_another(cx: &Cx) -> Verdict {
    // A make of its own for each try, or another guest would be the first.
    static TRY: AtomicU32 = AtomicU32::new(1);
    let make = format!("vigil_try={}", TRY.fetch_add(1, Ordering::Relaxed));
    let config = || cx.config().append(make.as_str());
    let first = cx.boot_with(config())?;
    ensure!(!first.restored(), "there is nobody it could go on from");
    let past = first.dmesg()?;
    first.sh_ok("echo first > /tmp/mine; echo first > /dev/kmsg")?;
    let second = cx.boot_with(config())?;
    let may = first.is_emulated()? && env::var_os("VIGIL_BOOT").is_none();
    ensure!(second.restored() == may, "{may} was expected");
    second.sh_ok("! cat /tmp/mine")?;
    second.sh_ok("echo second > /dev/kmsg")?;
    let all = second.dmesg()?;
    let said: Vec<_> = all.iter().filter(|line| line.facility == 1).collect();
    ensure!(
        said.iter().map(|line| line.text.as_str()).eq(["second"]),
        "{said:#?}"
    );
    ensure!(
        (0..).zip(&all).all(|(number, line)| line.seq == number),
        "lines are missing or came twice"
    );
    // The first lines of all boots have no time yet, and the last may have come after.
    let early = past.len() / 2;
    ensure!(
        (past.get(..early) == all.get(..early)) == may,
        "another past"
    );
    // The clocks of both go on, and CPUs that take interrupts.
    for vm in [&first, &second] {
        let before = vm.uptime()?;
        vm.sh_ok("sleep 1")?;
        ensure!(vm.uptime()? - before >= 1.0, "{before}");
        ensure!(vm.sh_ok("nproc")? == "2\n");
        vm.load("watchdog_thresh=1")?;
        vm.unload()?;
    }
    Ok(())
}

fn log(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let boot = vm.dmesg()?;
    // The first line, but for a word of arm64's on the CPU that it starts on.
    let first = boot
        .iter()
        .find(|line| !line.text.starts_with("Booting Linux on physical CPU"))
        .context("an empty log")?;
    ensure!(first.text.starts_with("Linux version"), "{first:?}");
    ensure!(boot[0].seq == 0, "it begins with {:?}", boot[0]);
    ensure!(
        boot.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1),
        "lines are missing"
    );

    let before = vm.uptime()?;
    let mark = vm.mark()?;
    let job = vm.spawn("sleep 2; printf '<3>two\\twords \\303\\244\\n' > /dev/kmsg")?;
    let line = vm.wait_log_after(mark, r"^two\swords", secs(30))?;
    ensure!(line.text == "two\twords ä", "{line:?}");
    ensure!((line.level, line.facility) == (3, 1), "{line:?}");
    let took = line.time - before;
    ensure!((2.0..10.0).contains(&took), "stamped {took} s later");
    job.wait(secs(10))?.ok()?;

    // More than the kernel's own buffer holds, which is 4 MiB.
    let buffer = vm.sh_ok("dmesg | grep -c 'log buffer data + meta data: 4194304 +'")?;
    ensure!(buffer == "1\n", "{buffer}");
    vm.sh_ok("a=$(printf %0900d 0); i=0; while [ $i -lt 5000 ]; do echo \"<7>line $i of a flood $a\"; i=$((i + 1)); done > /dev/kmsg")?;
    let flood = vm.dmesg_after(mark)?;
    let arrived = flood
        .iter()
        .filter(|line| line.text.contains("of a flood"))
        .count();
    ensure!(
        arrived == 5000 || vm.log_so_far().lost(),
        "{arrived} lines, none said to be lost"
    );
    let missing = vm.wait_log_after(mark, "never said", secs(1));
    ensure!(matches!(missing, Err(Error::Timeout { .. })), "{missing:?}");
    Ok(())
}

/// The guest does not notice that it was stopped, except that time went on.
fn freeze_makes_time_jump(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let before = vm.uptime()?;
    let start = Instant::now();
    vm.freeze()?;
    std::thread::sleep(secs(8));
    vm.thaw()?;
    let jump = vm.uptime()? - before;
    let real = start.elapsed().as_secs_f64();
    ensure!(
        jump > 7.0 && jump < real + 1.0,
        "guest time moved {jump} s in {real} s"
    );
    Ok(())
}

/// CPU 1 stands still, CPU 0 works on, and CPU 1 comes back.
fn one_vcpu_stands_still(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    // Never in the kernel but for interrupts, lest it be stopped with a lock that others need; and
    // the timer interrupts that it gets are counted without any lock.
    let counter = vm.spawn_on(1, machine::busy())?;
    let count = || -> anyhow::Result<u64> {
        let row = machine::timer_row();
        let count = format!("sleep 1; awk '/{row}/ {{ print $3 }}' /proc/interrupts");
        let text = vm.sh_on(0, &count)?;
        Ok(text.ok()?.trim().parse()?)
    };
    count()?;
    let frozen = vm.freeze_vcpu_in_user_mode(1)?;
    let first = count()?;
    let second = count()?;
    drop(frozen);
    let third = count()?;
    ensure!(first == second, "CPU 1 went on: {first}, {second}");
    ensure!(third > second, "CPU 1 did not come back: {second}, {third}");
    counter.kill()?;
    Ok(())
}

fn nmi_arrives(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(cx.config().append("apic_extnmi=all"))?;
    vm.inject_nmi()?;
    vm.wait_log("NMI received for unknown reason", secs(10))?;
    let counts = vm.sh_ok("grep NMI: /proc/interrupts")?;
    let all = counts
        .split_whitespace()
        .skip(1)
        .take(2)
        .all(|count| count != "0");
    ensure!(all, "not on all CPUs: {counts}");
    Ok(())
}

fn panic_is_seen(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    vm.spawn("echo c > /proc/sysrq-trigger")?;
    let text = vm.wait_panic(secs(30))?;
    ensure!(text.contains("sysrq triggered crash"), "{text}");
    ensure!(
        text.contains("Kernel Offset"),
        "its last line is missing: {text}"
    );
    let after = vm.sh("true");
    ensure!(after.as_ref().is_err_and(Error::is_panic), "{after:?}");
    Ok(())
}

/// The programs that scenarios count on are the real ones.
fn userspace(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    for (command, expected) in [
        ("insmod --version", "kmod"),
        ("sysctl --version", "procps"),
        ("ps --version", "procps"),
        ("setpriv --version", "util-linux"),
        ("chrt --version", "util-linux"),
        ("taskset --version", "util-linux"),
        ("setpriv --reuid=65534 --clear-groups id -un", "nobody"),
        ("grep -c . /sys/kernel/tracing/available_events", ""),
        ("ls /sys/kernel/debug/sched", "features"),
        ("cat /sys/fs/cgroup/cgroup.controllers", "memory"),
        (
            "mkdir /sys/fs/cgroup/a && cat /sys/fs/cgroup/a/cgroup.freeze",
            "0",
        ),
    ] {
        let output = vm.sh_ok(command)?;
        ensure!(output.contains(expected), "{command}: {output}");
    }
    Ok(())
}

/// A guest that is over its limit is dead, and says so.
fn own_limit(cx: &Cx) -> Verdict {
    let limit = secs(75) * machine::slowdown();
    let vm = cx.boot_with(cx.config().limit(limit))?;
    let start = Instant::now();
    let result = vm.sh("sleep 300");
    ensure!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    ensure!(
        start.elapsed() < limit + secs(15),
        "took {:?}",
        start.elapsed()
    );
    Ok(())
}
