// SPDX-License-Identifier: GPL-2.0
//! Machines with many threads: the one that is stuck is found in time, and the
//! search does not get into others' way.

use super::hung_stall::{self, finish_look, thread_pid, wait_for, wait_report, Stall, SOON};
use crate::prelude::*;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("sum_is_off", sum_is_off).light(),
        Scenario::new("one_of_20000", one_of_20000)
            .not_with("CONFIG_PREEMPT_RT", "with rtlocks each check scans")
            .limit(secs(480))
            .all(),
        Scenario::new("thousands_are_stuck", thousands_are_stuck),
        Scenario::new("cost_of_10000", cost_of_10000)
            .not_with("CONFIG_KASAN", "each access is checked")
            .limit(secs(900))
            .all(),
    ]
}

/// A guest that has room for so many threads.
fn large_guest(cx: &Cx) -> anyhow::Result<Vm> {
    let vm = cx.boot_with(cx.config().mem_mib(2048))?;
    vm.sh_ok("sysctl -qw kernel.threads-max=100000 kernel.pid_max=100000")?;
    vm.insmod("vigil_provoke.ko", "")?;
    Ok(vm)
}

/// 19,999 threads sleep, one is stuck. With the run queues' counts it takes no
/// walk in most passes while none is; without them it takes a whole one each
/// time. Both find it within timeout, interval and a second. How short the RCU read
/// sections of a walk are, `bounds::looks` counts in instructions: the host can make any
/// of them long.
fn one_of_20000(cx: &Cx) -> Verdict {
    let vm = large_guest(cx)?;
    let sleepers = vm.spawn("exec /sbin/agent threads 20000")?;
    sleepers.wait_output("standing", vm.time_left())?;
    let parameters = "hung_task_timeout_secs=3 hung_task_check_interval_secs=1";
    for switch in ["use_run_queues=1", "use_run_queues=0"] {
        vm.load(&format!("{parameters} {switch}"))?;
        finish_look(&vm)?;
        finish_look(&vm)?;
        let before = Status::read(&vm)?;
        if switch == "use_run_queues=1" {
            // Not every pass finds the guest idle; a full walk now and then is wanted.
            before.is(key::hung_task::RUN_QUEUE_COUNTS, "1")?;
            ensure!(
                before.number(key::hung_task::SCANS)? < before.number(key::hung_task::CHECKS)?,
                "{before}"
            );
        } else {
            before.is(key::hung_task::RUN_QUEUE_COUNTS, "0")?;
            before.is(key::hung_task::RUN_QUEUE_COUNTS_ERROR, "use_run_queues=0")?;
            // The last one may be going on.
            let over = before.number(key::hung_task::CHECKS)? - 1;
            ensure!(
                before.number(key::hung_task::FULL_SCANS)? >= over,
                "{before}"
            );
            ensure!(
                before.number(key::hung_task::SCANNED_TASKS)? >= 20_000 * over,
                "{before}"
            );
        }
        let mark = vm.mark()?;
        let stuck = Stall::start(&vm, "mutex")?;
        let line = wait_report(&vm, mark, stuck.victim())?;
        let after = line.time - stuck.before;
        ensure!(
            after <= 3.0 + 1.0 + 1.0,
            "{switch}: reported after {after} s"
        );
        ensure!(
            Status::read(&vm)?.number(key::hung_task::SCANS)?
                > before.number(key::hung_task::SCANS)?,
            "found without a walk"
        );
        stuck.end(&vm)?;
        vm.unload()?;
    }
    Ok(())
}

/// The table grows until all of the stuck tasks are in it, and every one is
/// found. Unloading in the middle of a look at them takes less than a second.
fn thousands_are_stuck(cx: &Cx) -> Verdict {
    let vm = large_guest(cx)?;
    vm.load("hung_task_timeout_secs=0 hung_task_check_interval_secs=1 hung_task_warnings=3")?;
    // Off while they are made: until it is woken for the first time, a new
    // thread sleeps in D state as well.
    let some = Stall::start(&vm, "threads count=1000")?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    wait_for(&vm, SOON, "1000 to be hung", || {
        let status = Status::read(&vm)?;
        Ok((status.number(key::hung_task::TRACKED_TASKS)? == 1000
            && status.number(key::hung_task::HUNG_TASKS)? == 1000)
            .then_some(()))
    })?;
    let status = Status::read(&vm)?;
    ensure!(
        status.number(key::hung_task::TABLE_OVERFLOWS)? == 0
            && status.number(key::hung_task::TABLE_CAPACITY)? >= 1000,
        "{}",
        status
    );
    ensure!(
        vm.knob("hung_task_detect_count")? == "1000",
        "{}",
        vm.knob("hung_task_detect_count")?
    );
    let more = Stall::start(&vm, "threads count=5000")?;
    wait_for(&vm, SOON, "6000 to be hung", || {
        Ok((Status::read(&vm)?.number(key::hung_task::HUNG_TASKS)? == 6000).then_some(()))
    })?;
    let status = Status::read(&vm)?;
    ensure!(
        status.number(key::hung_task::TABLE_OVERFLOWS)? == 0
            && status.number(key::hung_task::TRACKED_TASKS)? >= 6000
            && status.number(key::hung_task::TABLE_CAPACITY)? >= 6000,
        "{}",
        status
    );
    // Those that are gone are forgotten.
    some.end(&vm)?;
    wait_for(&vm, SOON, "5000 to be left", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 5000).then_some(()))
    })?;
    // Now each is reported, which takes a while.
    let mark = vm.mark()?;
    vm.set_knob("hung_task_report", "mainline")?;
    vm.set_knob("hung_task_warnings", -1)?;
    vm.wait_log_after(mark, "blocked for more than", SOON)?;
    // How long that takes is what module::unload_while_it_reports asserts.
    super::module::unload(&vm)?;
    more.end(&vm)
}

/// A sum over the run queues that is less than there are sleeping tasks, for good, hides nothing: on
/// an idle machine too, where it is exact.
fn sum_is_off(cx: &Cx) -> Verdict {
    let vm = hung_stall::guest(
        cx,
        "hung_task_timeout_secs=4 hung_task_check_interval_secs=1",
    )?;
    vm.write("/sys/kernel/debug/vigil_provoke/rq_off", b"1")?;
    // The full scan of the beginning does not find it.
    finish_look(&vm)?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;
    let began = vm.uptime()?;
    let line = wait_report(&vm, mark, stall.victim())?;
    // Half a timeout and an interval late.
    let late = line.time - began - 4.0;
    ensure!(
        late < 3.0 + f64::from(machine::slowdown()),
        "reported {late} s late"
    );
    Ok(())
}

/// How many instructions the thread may take to find and print the root causes of 10,000 hung
/// tasks: 100 ms at a billion a second, which is slow for a machine with so many tasks.
const MOST_INSTRUCTIONS: u64 = 100_000_000;

/// The most that an RCU read section may take, in the same way: 2 ms.
const LONGEST_SECTION: u64 = 2_000_000;

/// Ten times a thousand tasks that wait for ten locks, the owners of which wait for each other: ten
/// reports, in a check that takes so many instructions and short RCU sections. `make bench
/// PART=causes` says how many.
fn cost_of_10000(cx: &Cx) -> Verdict {
    let config = cx
        .config()
        .mem_mib(2048)
        .time_is_instructions()
        .append("loglevel=1 log_buf_len=4M")
        .boot_limit(secs(300));
    let vm = cx.boot_with(config)?;
    vm.sh_ok("sysctl -qw kernel.threads-max=100000 kernel.pid_max=100000")?;
    vm.insmod("vigil_provoke.ko", "")?;
    let (timeout, interval) = (100, 30);
    vm.load(&format!(
        "hung_task_timeout_secs=0 hung_task_check_interval_secs={interval} hung_task_report=grouped"
    ))?;
    for _ in 0..10 {
        Stall::start(&vm, "chain count=1000 locks=10")?;
    }
    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", timeout)?;
    // The clock skips time in which the guest is idle. One check comes within the ten seconds: the
    // one that is made because the tasks are due.
    vm.sh_ok(&format!("sleep {}", timeout - 5))?;
    let (before, checks) = (run_time(&vm)?, all_checks(&vm)?);
    vm.sh_ok("sleep 10")?;
    let spent = run_time(&vm)? - before;
    let status = Status::read(&vm)?;
    ensure!(
        status.number(key::hung_task::HUNG_TASKS)? == 10_000 && all_checks(&vm)? == checks + 1,
        "{status}"
    );
    let log = vm.dmesg_after(mark)?;
    let causes = log
        .iter()
        .filter(|line| line.text.contains("1000 hung tasks wait behind prov_hold/"))
        .filter(|line| line.text.ends_with("longest chain 10"));
    ensure!(causes.count() == 10, "{log:#?}");
    ensure!(spent < MOST_INSTRUCTIONS, "{spent} instructions");
    let section = status.number(key::hung_task::LONGEST_RCU_SECTION_NS)?;
    ensure!(
        section <= LONGEST_SECTION,
        "{section} instructions in an RCU section"
    );
    println!("hung_many::cost_of_10000: {spent} instructions, {section} in an RCU section");
    Ok(())
}

/// For how long vigil's thread has run, in nanoseconds.
fn run_time(vm: &Vm) -> anyhow::Result<u64> {
    let stat = vm.read(&format!(
        "/proc/{}/schedstat",
        thread_pid(vm, "vigild/hung")?
    ))?;
    let run = stat
        .split_whitespace()
        .next()
        .context("an empty schedstat")?;
    Ok(run.parse()?)
}

/// How many checks there were, of both kinds.
fn all_checks(vm: &Vm) -> anyhow::Result<u64> {
    let status = Status::read(vm)?;
    let [all, due] = [key::hung_task::CHECKS, key::hung_task::TRACKED_ONLY_CHECKS];
    Ok(status.number(all)? + status.number(due)?)
}
