// SPDX-License-Identifier: GPL-2.0
//! A virtual machine that its host does not run for a while: time goes on for
//! it, but nothing was hung in that time.

use super::hung_stall::{
    finish_look, guest, paused, reports, wait_for, wait_report, Delay, Stall, SOON,
};
use crate::prelude::*;
use std::thread;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        // The kernel's own detectors are fooled by the pause.
        Scenario::new("a_minute_with_timeout_10", a_minute_with_timeout_10)
            .light()
            .allow(Splat::RcuStall),
        Scenario::new("again_and_again", again_and_again)
            .light()
            .allow(Splat::RcuStall),
        Scenario::new("in_the_first_scan", in_the_first_scan)
            .light()
            .needs("CONFIG_FUNCTION_TRACER")
            .allow(Splat::RcuStall),
    ]
}

const PAUSE: Duration = secs(60);

/// Tasks that nap for 2 s, some of them known to vigil before the pause, are not
/// reported for the 60 s in which nothing ran. One that is stuck all the time
/// is, when it had 10 s of time that the machine ran.
fn a_minute_with_timeout_10(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=10 hung_task_check_interval_secs=1",
    )?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex")?;
    for _ in 0..4 {
        Stall::start(&vm, "nap ms=2000 count=8")?;
    }
    wait_for(&vm, SOON, "all of them to be watched", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 5).then_some(()))
    })?;
    // And these are asleep, but probably not seen by anybody yet.
    for _ in 0..4 {
        Stall::start(&vm, "nap ms=2000 count=8")?;
    }
    let before = vm.uptime()?;
    vm.freeze()?;
    cx.sleep_yielding_slot(PAUSE);
    vm.thaw()?;
    let jump = vm.uptime()? - before;
    ensure!(
        jump > PAUSE.as_secs_f64() - 1.0,
        "the guest saw {jump} s of a pause of {PAUSE:?}"
    );

    let line = wait_report(&vm, mark, stuck.victim())?;
    finish_look(&vm)?;
    let reports = reports(&vm.dmesg_after(mark)?)?;
    let ours: Vec<_> = reports.iter().filter(|report| report.is_vigil()).collect();
    ensure!(ours.len() == 1, "{ours:#?}");
    let seconds = ours[0].seconds;
    ensure!(
        (10..=13).contains(&seconds),
        "it is said to be blocked for {seconds} s"
    );
    // The guest's own reckoning.
    let ran = line.time - stuck.after - PAUSE.as_secs_f64();
    ensure!(
        (10.0..15.0).contains(&ran),
        "reported when the machine had run for {ran} s"
    );
    let status = Status::read(&vm)?;
    let paused = paused(&status)?;
    ensure!(
        (PAUSE.as_secs_f64()..jump + 1.1).contains(&paused),
        "paused for {paused} s of {jump}: {status}"
    );
    Ok(())
}

/// The machine is stopped for 2.2 s again and again, and runs for a moment in between: none of the stops
/// is a part of the age with which a task is reported, not even the time until an interrupt of the pause
/// clock.
fn again_and_again(cx: &Cx) -> Verdict {
    const TIMEOUT: f64 = 4.0;
    let vm = guest(
        cx,
        &format!("hung_task_timeout_secs={TIMEOUT} hung_task_check_interval_secs=1"),
    )?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex")?;
    wait_for(&vm, SOON, "it to be watched", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 1).then_some(()))
    })?;
    // When each began at the earliest, and for how long it was at least.
    let mut stops: Vec<(f64, f64)> = Vec::new();
    for _ in 0..10 {
        let from = vm.uptime()?;
        vm.freeze()?;
        let begun = Instant::now();
        thread::sleep(Duration::from_millis(2200));
        let stopped = begun.elapsed().as_secs_f64();
        vm.thaw()?;
        stops.push((from, stopped));
    }
    let line = wait_report(&vm, mark, stuck.victim())?;
    // What is logged after a stop has a time that is not within it.
    let before = stops
        .iter()
        .filter(|(from, stopped)| from + stopped <= line.time);
    let ran = line.time - stuck.after - before.map(|(_, stopped)| stopped).sum::<f64>();
    println!("hung_pause::again_and_again: reported when the machine had run for {ran:.1} s");
    ensure!(ran >= TIMEOUT, "reported after {ran} s");
    Ok(())
}

/// The machine is stopped while vigil is at the scan that finds its first task, which was blocked
/// already: that task is reported when it was blocked for 10 s of time that the machine ran.
fn in_the_first_scan(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "hung_task_timeout_secs=10 hung_task_check_interval_secs=1 watchdog=0",
    )?;
    // The scan has its CPU to itself for as long as the machine is stopped.
    vm.sh_ok("[ ! -e /proc/sys/kernel/watchdog ] || sysctl -q kernel.watchdog=0")?;
    wait_for(&vm, SOON, "no task to be watched", || {
        Ok((Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)? == 0).then_some(()))
    })?;
    let scan = Delay::of_next(&vm, "vigil_scan_tasks", PAUSE)?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "mutex")?;
    scan.wait_begun()?;
    vm.freeze()?;
    cx.sleep_yielding_slot(PAUSE);
    vm.thaw()?;
    scan.wait_over()?;
    let line = wait_report(&vm, mark, stuck.victim())?;
    let ran = line.time - stuck.after - PAUSE.as_secs_f64();
    ensure!(
        (10.0..15.0).contains(&ran),
        "reported when the machine had run for {ran} s"
    );
    Ok(())
}
