// SPDX-License-Identifier: GPL-2.0
//! The module comes and goes, whatever else is going on, and leaves nothing.

use super::{
    hung_stall::{
        finish_look, first_reports, has_khungtaskd, headline, report_on, who, Stall, MAINLINE, SOON,
    },
    lockup_stall::in_tree,
};
use crate::prelude::*;
use regex::Regex;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("not_in_a_capture_kernel", not_in_a_capture_kernel)
            .needs("CONFIG_PROC_VMCORE")
            .only_on(
                Arch::X86_64,
                "the address without memory is of that machine",
            )
            .light(),
        Scenario::new("load_message_and_status", load_message_and_status).core(),
        Scenario::new("unload_while_it_reports", unload_while_it_reports),
        Scenario::new("ten_times_idle", |cx| idle(cx, 10))
            .core()
            .limit(secs(400)),
        Scenario::new("hundred_times_idle", |cx| idle(cx, 100))
            .limit(secs(900))
            .all(),
        Scenario::new("ten_times_in_use", |cx| in_use(cx, 10)).limit(secs(400)),
        Scenario::new("hundred_times_in_use", |cx| in_use(cx, 100))
            .limit(secs(900))
            .all(),
        Scenario::new("files_held_open", files_held_open),
        Scenario::new("load_fails_cleanly", load_fails_cleanly).core(),
        Scenario::new("without_unexported_functions", without_unexported_functions)
            .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER"),
        Scenario::new("without_debugfs", without_debugfs),
        Scenario::new("insmod_fail_nth", insmod_fail_nth)
            .needs("CONFIG_FAILSLAB")
            .core()
            // What the kernel says when it has no memory for a trace event. The module goes without.
            .allow(Splat::TraceEvent)
            .limit(secs(480)),
    ]
}

/// Ensures that nothing of the module is there.
pub(super) fn nothing_left(vm: &Vm) -> Verdict {
    let left = vm.sh_ok(
        "ls -d /proc/sys/vigil /sys/kernel/debug/vigil /sys/module/vigil 2> /dev/null
         grep '^vigil ' /proc/modules; grep -ls vigild /proc/[0-9]*/comm; grep vigil /proc/vmallocinfo; true",
    )?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

/// Lines of the kernel at level "warning" or worse that loading a module that is
/// out of tree and unsigned makes in any case.
fn is_taint_line(line: &LogLine) -> bool {
    line.text == "vigil: loading out-of-tree module taints kernel."
        || line.text == "vigil: module verification failed: signature and/or required key missing - tainting kernel"
}

/// The module's own lines.
fn of_vigil(log: &[LogLine]) -> Vec<&LogLine> {
    let own = |line: &&LogLine| line.facility == 0 && line.text.starts_with("vigil: ");
    log.iter()
        .filter(own)
        .filter(|line| !is_taint_line(line))
        .collect()
}

/// The lines at load say what is detected, by which means, and what the kernel's own
/// detectors do; the status file says it too. The thread is an ordinary one.
/// Loading twice is refused, and nothing comes of it.
fn load_message_and_status(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let mark = vm.mark()?;
    vm.load("hung_task_timeout_secs=120")?;
    let log = vm.dmesg_after(mark)?;
    let bad: Vec<&LogLine> = log
        .iter()
        .filter(|line| line.level <= 4 && !is_taint_line(line))
        .collect();
    ensure!(bad.is_empty(), "complaints at load: {bad:#?}");
    let version = vm.read("/sys/module/vigil/version")?;
    ensure!(
        version.trim() == env!("CARGO_PKG_VERSION"),
        "MODULE_VERSION is {version:?}"
    );
    let said = of_vigil(&log);
    let in_tree_hard = match in_tree(&vm) {
        "not_built_in" => "not built in",
        on_or_off => on_or_off,
    };
    let in_tree_state = match has_khungtaskd(&vm) {
        true => format!("hung task on (timeout 120 s), soft lockup on, hard lockup {in_tree_hard}"),
        false => {
            "hung task not built in, soft lockup not built in, hard lockup not built in".into()
        }
    };
    // What this kernel is built without.
    let without: Vec<&str> = [
        // The tracepoint belongs to the in-tree detector.
        ("__traceiter_sched_process_hang", "CONFIG_DETECT_HUNG_TASK"),
        ("print_irqtrace_events", "CONFIG_TRACE_IRQFLAGS"),
        ("scx_softlockup", "CONFIG_SCHED_CLASS_EXT"),
        ("scx_hardlockup", "CONFIG_SCHED_CLASS_EXT"),
    ]
    .into_iter()
    .filter(|(_, option)| !vm.artifacts().kernel_has(option))
    .map(|(name, _)| name)
    .collect();
    let without = match without.is_empty() {
        true => "none".to_owned(),
        false => without.join(", "),
    };
    let state = |text, state: &str| pattern_of(text, &[("state", state)]);
    let expected = [
        state(
            messages::LoadHungTasks::<()>::TEXT,
            "timeout 120 s, check interval 7.5 s, run queue counts used",
        ),
        state(
            messages::LoadSoftLockups::<()>::TEXT,
            "on, threshold 20 s, sampled with the CPU stopper",
        ),
        pattern(messages::LoadHardLockups::<()>::TEXT),
        pattern_of(messages::LoadWatchedCpus::<()>::TEXT, &[("cpus", "0-1")]),
        pattern_of(
            messages::LoadNotAvailable::<()>::TEXT,
            &[("names", &without)],
        ),
        state(messages::LoadInTree::<()>::TEXT, &in_tree_state),
    ];
    ensure!(said.len() == expected.len(), "not these lines: {said:#?}");
    for (line, pattern) in said.iter().zip(&expected) {
        ensure!(
            Regex::new(pattern)?.is_match(&line.text),
            "{pattern}: {line:?}"
        );
    }
    let hard = &said[2].text;
    ensure!(hard.contains(": on, threshold 10 s, "), "{hard}");

    let status = Status::read(&vm)?;
    ensure!(
        status
            .keys()
            .eq(key::KEYS.iter().map(|key| (key.section, key.name))),
        "not the keys that messages.rs has:\n{status}"
    );
    let hung_task = match has_khungtaskd(&vm) {
        true => ("on", "120", "on"),
        false => ("not_built_in", "0", "not_built_in"),
    };
    let clocks = vm.read("/sys/devices/system/clocksource/clocksource0/available_clocksource")?;
    let has_flag = if clocks.contains("kvm-clock") {
        "1"
    } else {
        "0"
    };
    // scripts/header-trial has the module built without the kernel's sources.
    let layout = std::env::var("VIGIL_LAYOUT").unwrap_or("source".to_owned());
    for (key, value) in [
        (key::hung_task::ENABLED, "1"),
        (key::hung_task::TIMEOUT_S, "120"),
        (key::hung_task::CHECK_INTERVAL_MS, "7500"),
        (key::hung_task::RUN_QUEUE_COUNTS, "1"),
        (key::hung_task::RUN_QUEUE_COUNTS_ERROR, "none"),
        (key::hung_task::RUN_QUEUE_LAYOUT, &layout),
        (key::hung_task::HUNG_TASKS, "0"),
        (key::hung_task::TABLE_OVERFLOWS, "0"),
        (key::watchdog::GUEST_PAUSED_FLAG, has_flag),
        (key::softlockup::ENABLED, "1"),
        (key::softlockup::THRESHOLD_S, "20"),
        (key::softlockup::SAMPLED_WITH, "cpu_stopper"),
        (key::hardlockup::ENABLED, "1"),
        (key::hardlockup::THRESHOLD_S, "10"),
        (
            key::kernel_functions::NOT_AVAILABLE,
            &without.replace(", ", " "),
        ),
        (key::in_tree::HUNG_TASK, hung_task.0),
        (key::in_tree::HUNG_TASK_TIMEOUT_S, hung_task.1),
        (key::in_tree::SOFTLOCKUP, hung_task.2),
        (key::in_tree::HARDLOCKUP, in_tree(&vm)),
    ] {
        status.is(key, value)?;
    }
    let called = status.get(key::kernel_functions::CALLED)?;
    ensure!(
        called.starts_with("kallsyms_lookup_name print_tainted sys_info "),
        "{called}"
    );
    // What it says follows what is.
    vm.set_knob("hung_task_timeout_secs", 0)?;
    let in_tree = match has_khungtaskd(&vm) {
        true => {
            vm.write("/proc/sys/kernel/hung_task_timeout_secs", b"0")?;
            "off"
        }
        false => "not_built_in",
    };
    let off = Status::read(&vm)?;
    off.is(key::hung_task::ENABLED, "0")?;
    off.is(key::hung_task::CHECK_INTERVAL_MS, "0")?;
    off.is(key::in_tree::HUNG_TASK, in_tree)?;
    vm.set_knob("hung_task_timeout_secs", 10)?;
    finish_look(&vm)?;

    let threads = vm.sh_ok("ps -e -o comm=,ni=,cls= | grep vigild | sort")?;
    let ordinary = ["event0", "event1", "hung", "info0", "info1"];
    let ordinary = ordinary.map(|name| format!("vigild/{name} 0 TS"));
    ensure!(
        threads
            .split_whitespace()
            .eq(ordinary.iter().flat_map(|thread| thread.split(' '))),
        "{threads}"
    );

    let mark = vm.mark()?;
    let twice = vm.sh("insmod /vm/vigil.ko hung_task_timeout_secs=77")?;
    ensure!(
        twice.status != 0 && twice.stdout.contains("File exists"),
        "{twice:?}"
    );
    ensure!(
        vm.knob("hung_task_timeout_secs")? == "10",
        "{}",
        vm.knob("hung_task_timeout_secs")?
    );
    let log = vm.dmesg_after(mark)?;
    ensure!(of_vigil(&log).is_empty(), "{log:#?}");

    vm.unload()?;
    nothing_left(&vm)?;
    let log = vm.dmesg_after(mark)?;
    ensure!(
        log.iter().all(|line| line.level > 4),
        "complaints at unload: {log:#?}"
    );
    // The kernel says that it is tainted once; from now on the lines are alone.
    vm.load("")?;
    let log = vm.dmesg_after(mark)?;
    ensure!(of_vigil(&log).len() == expected.len(), "{log:#?}");
    Ok(())
}

/// Unloads it and returns how long that took, in seconds of the guest's time.
pub(super) fn unload(vm: &Vm) -> anyhow::Result<f64> {
    let times = vm.sh_ok(
        "read a rest < /proc/uptime; rmmod vigil || exit; read b rest < /proc/uptime; echo $a $b",
    )?;
    let (before, after) = times.trim().split_once(' ').context("no times")?;
    let took = after.parse::<f64>()? - before.parse::<f64>()?;
    nothing_left(vm)?;
    Ok(took)
}

/// In the middle of a look that has hundreds of reports to print, and while
/// tasks are stuck, unloading takes less than a second, or than twice what it takes
/// when there is nothing to report. What was stuck is let go afterwards, and nothing
/// is wrong with it.
fn unload_while_it_reports(cx: &Cx) -> Verdict {
    // The guest's clock goes on while the host has no CPU for it, which makes any
    // one unloading look slow; one that is slow by itself is so each time.
    const TRIES: u32 = 8;
    // So many that their reports take longer than rmmod needs to come to the point.
    let threads = 4000 / machine::slowdown() as usize;
    let vm = cx.boot_with(cx.config().append("log_buf_len=64M"))?;
    vm.insmod("vigil_provoke.ko", "")?;
    let stuck = Stall::start(&vm, &format!("threads count={threads}"))?;
    // What it takes here when there is nothing to report.
    let mut idle = f64::MAX;
    for _ in 0..3 {
        vm.load("hung_task_timeout_secs=0")?;
        idle = idle.min(unload(&vm)?);
    }
    let most = f64::max(1.0, 2.0 * idle);
    let mut quickest = f64::MAX;
    for attempt in 1..=TRIES {
        let mark = vm.mark()?;
        vm.load(&format!(
            "{MAINLINE} hung_task_timeout_secs=1 hung_task_warnings=-1"
        ))?;
        vm.wait_log_after(mark, &headline(None), SOON)?;
        quickest = quickest.min(unload(&vm)?);
        let log = vm.dmesg_after(mark)?;
        let reported = log
            .iter()
            .filter(|line| line.text.contains("blocked for more than 1 seconds"))
            .count();
        ensure!(
            reported < threads,
            "all {reported} reports were printed before it was unloaded"
        );
        if attempt >= 2 && quickest < most {
            break;
        }
    }
    ensure!(
        quickest < most,
        "unloading took {quickest} s, and {idle} s with nothing to report"
    );
    stuck.end(&vm)?;
    Ok(())
}

/// Loads and unloads it so many times.
fn load_and_unload(vm: &Vm, times: u32, parameters: &str) -> Verdict {
    vm.sh_ok(&format!(
        "i=0; while [ $i -lt {times} ]; do insmod /vm/vigil.ko {parameters} && rmmod vigil || exit; i=$((i + 1)); done"
    ))?;
    nothing_left(vm)
}

fn idle(cx: &Cx, times: u32) -> Verdict {
    let vm = cx.boot()?;
    let mark = vm.mark()?;
    load_and_unload(&vm, times, "")?;
    let log = vm.dmesg_after(mark)?;
    let bad: Vec<&LogLine> = log
        .iter()
        .filter(|line| line.level <= 4 && !is_taint_line(line))
        .collect();
    ensure!(bad.is_empty(), "{bad:#?}");
    Ok(())
}

/// Loaded and unloaded so many times (fewer on a kernel that is slow), with tasks in the table
/// each time, while others write to the knobs and read the status all the time, and find them there
/// or not. No reference to a task stays behind: all memory of the tasks is free in the end.
fn in_use(cx: &Cx, times: u32) -> Verdict {
    let vm = cx.boot()?;
    vm.insmod("vigil_provoke.ko", "")?;
    let tasks = || -> anyhow::Result<u64> {
        let slabs = vm.sh_ok("awk '$1 == \"task_struct\" { print $2 }' /proc/slabinfo")?;
        Ok(slabs.trim().parse()?)
    };
    let stuck = Stall::start(&vm, "threads count=300")?;
    let before = tasks()?;
    // They leave loading the CPU whenever it has something to do with it, and take a breath
    // each time that they have come round. Only bash can do that without a new process.
    let writers = vm.spawn(
        r#"exec 2> /dev/null; renice -n 19 $$; mkfifo /tmp/nothing
         bash -c 'while :; do read -r -t 0.1 <> /tmp/nothing
          for f in /proc/sys/vigil/*; do read -r value < $f && echo "$value" > $f && met=yes; done
          [ -z "$met" ] || : > /tmp/written; done' &
         bash -c 'while :; do read -r -t 0.1 <> /tmp/nothing
          for value in 0 1 2 -1; do echo $value > /proc/sys/vigil/hung_task_timeout_secs
          echo 1 > /proc/sys/vigil/hung_task_check_interval_secs
          while read -r line; do :; done < /sys/kernel/debug/vigil/status && : > /tmp/read
          while read -r line; do :; done < /sys/kernel/debug/vigil/incidents
          while read -r line; do :; done < /sys/kernel/debug/vigil/waitgraph.dot && : > /tmp/read2
          done; done' &
         wait"#,
    )?;
    let times = times / machine::slowdown();
    let parameters = "hung_task_timeout_secs=1 hung_task_check_interval_secs=1";
    load_and_unload(&vm, times, parameters)?;
    // On a slow kernel few loads last until they have read a file to its end.
    for more in 0.. {
        let met = vm.sh("ls /tmp/written /tmp/read /tmp/read2")?;
        if met.status == 0 {
            break;
        }
        ensure!(more < 20, "they never met the module: {}", met.stdout);
        load_and_unload(&vm, 1, parameters)?;
    }
    ensure!(!writers.ended(), "the writers ended: {}", writers.output());
    writers.kill()?;
    writers.wait(SOON)?;
    stuck.end(&vm)?;
    if vm.artifacts().kernel_has("CONFIG_KASAN") {
        // It keeps what was freed for a while, and counts it. Such a kernel has kmemleak, which
        // finds tasks that nobody knows of.
        return Ok(());
    }
    // A reference that was not given back would keep its 300 tasks for good.
    for _ in 0..3 {
        Stall::start(&vm, "threads count=300")?.end(&vm)?;
    }
    let after = tasks()?;
    ensure!(
        after < before + 300,
        "{before} tasks in memory before, {after} after"
    );
    Ok(())
}

/// Whoever has a file in debugfs or a knob open does not keep the module from going,
/// and can read, write and close afterwards without harm, even when the module
/// is there again.
fn files_held_open(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let knob = "/proc/sys/vigil/hung_task_panic";
    let debugfs = "/sys/kernel/debug/vigil";
    let status = format!("{debugfs}/status");
    for again in ["", "insmod /vm/vigil.ko"] {
        vm.load("")?;
        let output = vm.sh_ok(&format!(
            "exec 3< {status} 4< {status} 5<> {knob} 6<> {knob}
             exec 7< {debugfs}/waitgraph.dot 8< {debugfs}/incidents
             read -r line <&3; echo \"read: $line\"
             read -r line <&7; echo \"read: $line\"
             rmmod vigil || exit
             {again}
             cat <&3; cat <&4 && echo 'status can be read'
             cat <&7 && echo 'graph can be read'; cat <&8 && echo 'incidents can be read'
             cat <&5 && echo 'knob can be read'; echo 5 >&6 && echo 'knob can be written'
             exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&-"
        ))?;
        ensure!(output.contains("read: [hung_task]\n"), "{output}");
        ensure!(output.contains("read: digraph vigil {\n"), "{output}");
        ensure!(!output.contains(" can be "), "{output}");
        if again.is_empty() {
            nothing_left(&vm)?;
        } else {
            ensure!(
                vm.knob("hung_task_panic")? == "0",
                "written to the new module"
            );
            vm.unload()?;
        }
    }
    Ok(())
}

/// Where no more threads can be made, loading fails with the right error, a line
/// that says why, and nothing left behind.
fn load_fails_cleanly(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let mark = vm.mark()?;
    // All processes are there before the limit goes down: a shell that becomes
    // insmod, and one that lifts the limit as soon as that has ended and its end
    // of the pipe is closed.
    let output = vm.sh(
        "limit=/proc/sys/kernel/threads-max; usual=$(cat $limit); mkfifo /tmp/ended
         (read -r nothing < /tmp/ended; echo $usual > $limit) & lift=$!
         (exec 3> /tmp/ended; echo 20 > $limit; exec insmod /vm/vigil.ko) & load=$!
         wait $load; status=$?; wait $lift; exit $status",
    )?;
    ensure!(
        output.status != 0 && output.stdout.contains("Resource temporarily unavailable"),
        "{output:?}"
    );
    let step = [("step", "start the thread vigild/hung")];
    let failed = pattern_of(messages::InitFailed::<()>::TEXT, &step);
    let line = vm.wait_log_after(mark, &failed, SOON)?;
    ensure!(line.level <= 3, "{line:?}");
    nothing_left(&vm)?;
    vm.load("")?;
    vm.unload()?;
    Ok(())
}

/// Where nothing that is not exported can be reached, the report is still there,
/// with the blocker, and without the kernel's taint; the line at load says so.
fn without_unexported_functions(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let mark = vm.mark()?;
    vm.load("hung_task_timeout_secs=2 hung_task_sys_info=mem use_unexported=0")?;
    vm.insmod("vigil_provoke.ko", "")?;
    let line = vm.wait_log_after(mark, &pattern(messages::LoadHungTasks::<()>::TEXT), SOON)?;
    ensure!(
        line.text.contains(": timeout 2 s, ") && line.text.contains("run queue counts not used"),
        "{line:?}"
    );
    let line = vm.wait_log_after(mark, &pattern(messages::LoadNotAvailable::<()>::TEXT), SOON)?;
    let without = ": kallsyms_lookup_name, print_tainted, sys_info, __traceiter_sched_process_hang";
    ensure!(line.text.contains(without), "{line:?}");
    let status = Status::read(&vm)?;
    status.is(key::kernel_functions::CALLED, "none")?;
    status.is(key::in_tree::HUNG_TASK, "unknown")?;
    let stuck = Stall::start(&vm, "mutex")?;
    let reports = first_reports(&vm, mark, &stuck.victims)?;
    let report = report_on(&reports, stuck.victim())?;
    let (name, holder) = (who(&vm, stuck.victim())?, who(&vm, stuck.holder)?);
    report.says(&format!(
        "INFO: task {name} is blocked on a mutex likely owned by task {holder}."
    ))?;
    let second = report.lines.get(1).map_or("", String::as_str);
    ensure!(second.starts_with("      Taint unknown 7."), "{second}");
    ensure!(
        report.stacks() == [stuck.victim(), stuck.holder],
        "{report:#?}"
    );
    ensure!(!report.mentions("Mem-Info:"), "{report:#?}");
    vm.unload()?;
    nothing_left(&vm)
}

/// Where debugfs is off there is no status, which is said; all else works.
fn without_debugfs(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(cx.config().append("debugfs=off"))?;
    let mark = vm.mark()?;
    vm.load("hung_task_timeout_secs=7")?;
    vm.wait_log_after(mark, &pattern(messages::NoStatusFile::TEXT), SOON)?;
    for (text, state) in [
        (messages::LoadHungTasks::<()>::TEXT, ": timeout 7 s, "),
        (messages::LoadSoftLockups::<()>::TEXT, ": on, "),
    ] {
        let line = vm.wait_log_after(mark, &pattern(text), SOON)?;
        ensure!(line.text.contains(state), "{line:?}");
    }
    vm.set_knob("watchdog_thresh", 3)?;
    ensure!(vm.knob("watchdog_thresh")? == "3");
    vm.unload()?;
    nothing_left(&vm)
}

/// Looks for leaks and returns what is found: nothing, if all is well. What was
/// allocated less than five seconds ago does not count yet, and a first look may
/// take for lost what was on its way from one place to another.
fn leaks(vm: &Vm) -> anyhow::Result<String> {
    Ok(vm.sh_ok(
        "cd /sys/kernel/debug; sleep 6; echo scan > kmemleak; sleep 1; echo scan > kmemleak; cat kmemleak",
    )?)
}

/// Has allocations fail where the agent asks for it, also those that may wait.
pub(super) fn have_allocations_fail(vm: &Vm) -> Verdict {
    vm.sh_ok(
        "cd /sys/kernel/debug
         for kind in failslab fail_page_alloc; do
             echo N > $kind/ignore-gfp-wait && echo 0 > $kind/verbose || exit
         done",
    )?;
    Ok(())
}

/// Forgets what the kernel itself has lost by now, which is not to be found again; where it looks for leaks.
pub(super) fn forget_leaks(vm: &Vm) -> Verdict {
    if vm.artifacts().kernel_has("CONFIG_DEBUG_KMEMLEAK") {
        leaks(vm)?;
        vm.write("/sys/kernel/debug/kmemleak", b"clear")?;
    }
    Ok(())
}

/// Ensures that nothing has leaked since; where the kernel looks for leaks.
pub(super) fn no_leaks(vm: &Vm) -> Verdict {
    if vm.artifacts().kernel_has("CONFIG_DEBUG_KMEMLEAK") {
        let leaks = leaks(vm)?;
        ensure!(leaks.is_empty(), "{leaks}");
    }
    Ok(())
}

/// The number behind `name=` in what the agent says.
pub(super) fn number(said: &str, name: &str) -> anyhow::Result<u32> {
    let mut lines = said.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(value
        .with_context(|| format!("no {name}: {said}"))?
        .parse()?)
}

/// Whichever of the allocations fails while it is loaded: either it is loaded all
/// the same, or nothing of it is there. In the end all works, and nothing leaked.
fn insmod_fail_nth(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    have_allocations_fail(&vm)?;
    let fail_nth = |arguments: &str| -> anyhow::Result<Output> {
        let job = vm.spawn(&format!(
            "exec /sbin/agent fail-nth load /vm/vigil.ko {arguments}"
        ))?;
        Ok(job.wait(vm.time_left())?)
    };
    // Where the allocations of the module's own init begin: it ends at once when a
    // value is out of range. Half of what is counted is kmemleak's own, and the
    // loader's undoing takes some thirty.
    let refused = fail_nth("hung_task_timeout_secs=-5")?;
    ensure!(refused.stdout.contains("EINVAL"), "{refused:?}");
    let before = number(&refused.stdout, "allocations")?;
    forget_leaks(&vm)?;

    // The loader's own are not what this is about: a sample of them.
    let from = before.saturating_sub(60);
    let said = fail_nth(&format!("'' {from} 10"))?.ok()?;
    let (failed, tolerated) = (number(&said, "ENOMEM")?, number(&said, "tolerated")?);
    let (all, end) = (number(&said, "allocations")?, number(&said, "end")?);
    // Of the loader's, the threads', the files'; of the looking up of functions,
    // which the module can do without.
    ensure!(failed >= 50 && tolerated >= 10, "{said}");
    // The first load takes more than the later ones.
    ensure!(end > from && end.abs_diff(all) < all / 8, "{said}");
    nothing_left(&vm)?;

    // It works as if nothing had been.
    vm.insmod("vigil_provoke.ko", "")?;
    let mark = vm.mark()?;
    vm.load("hung_task_timeout_secs=2 watchdog_thresh=2")?;
    let stuck = Stall::start(&vm, "mutex")?;
    first_reports(&vm, mark, &stuck.victims)?;
    stuck.end(&vm)?;
    vm.sh_on(
        0,
        "echo preempt_off cpu=1 ms=9000 > /sys/kernel/debug/vigil_provoke/run",
    )?;
    vm.wait_log_after(mark, "BUG: soft lockup - CPU#1 stuck", SOON)?;
    vm.sh_ok("rmmod vigil_provoke")?;
    vm.unload()?;
    nothing_left(&vm)?;
    no_leaks(&vm)
}

/// In the kernel that saves a dump the module is not loaded, and says so.
fn not_in_a_capture_kernel(cx: &Cx) -> Verdict {
    // What tells a capture kernel from others. There is no dump at that address, nor memory.
    let vm = cx.boot_with(cx.config().append("elfcorehdr=3584M"))?;
    let mark = vm.mark()?;
    ensure!(vm.load("").is_err(), "loaded");
    vm.wait_log_after(mark, &pattern(messages::NOT_IN_KDUMP_KERNEL), SOON)?;
    nothing_left(&vm)
}
