// SPDX-License-Identifier: GPL-2.0
//! The program `vigilctl`, in a guest: what it shows of real stalls, what it sets, and `guard` with
//! watchdog devices.

use super::{
    hung_stall::{thread_pid, wait_for, wait_report, who, Stall, MAINLINE, PROVOKE, SOON},
    lockup_stall::{self, Lockup},
};
use crate::prelude::*;
use serde_json::Value;
use vigil_logic::knobs::KNOBS;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("watch", watch),
        // A CPU is stuck for as long as it takes to ask.
        Scenario::new("while_it_is_unloaded", while_it_is_unloaded)
            .allow(Splat::RcuStall)
            .not_with_strict_rcu(),
        Scenario::new("a_watch_that_is_slow", slow_watch),
        Scenario::new("of_hung_tasks", of_hung_tasks)
            .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
            .light()
            .all(),
        Scenario::new("test", test).all(),
        Scenario::new("guard_i6300esb", guard_i6300esb)
            .needs("CONFIG_I6300ESB_WDT=m")
            .only_on(Arch::X86_64, "QEMU's device is for PCs")
            .all(),
        Scenario::new("guard_softdog", guard_softdog)
            .needs("CONFIG_SOFT_WATCHDOG=m")
            .all(),
        Scenario::new("a_guard_that_is_killed", guard_killed)
            .needs("CONFIG_SOFT_WATCHDOG=m")
            .all(),
        Scenario::new("a_lockup_among_many_hung_tasks", among_many_hung_tasks)
            .needs("CONFIG_SOFT_WATCHDOG=m")
            .all(),
    ]
}

const VIGILCTL: &str = "/vm/vigilctl";
/// Runs a command as nobody.
const AS_NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

/// A guest's configuration, with the program, and with those of these modules of the kernel's that are
/// not built in.
fn config(cx: &Cx, modules: &[&str]) -> anyhow::Result<Config> {
    let artifacts = Artifacts::from_env()?;
    let program = artifacts.file("vigilctl").context("no vigilctl")?;
    let modules = modules
        .iter()
        .filter_map(|module| artifacts.stock_module(module));
    Ok(cx.config().files(modules.chain([program])))
}

/// Loads a driver of a watchdog device.
fn load_driver(vm: &Vm, driver: &str) -> Verdict {
    vm.sh_ok(&format!(
        "[ ! -e /vm/watchdog.ko ] || insmod /vm/watchdog.ko; taskset 1 insmod /vm/{driver}"
    ))?;
    Ok(())
}

/// Where a `watch` and a `guard` leave their PIDs.
const WATCH_PID: &str = "/tmp/watch.pid";
const GUARD_PID: &str = "/tmp/guard.pid";

/// Sends a signal to the one that has left its PID there last.
fn signal(vm: &Vm, pid_file: &str, signal: &str) -> Verdict {
    vm.sh_ok(&format!("kill -{signal} $(cat {pid_file})"))?;
    Ok(())
}

/// What a command prints as JSON.
fn json(vm: &Vm, arguments: &str) -> anyhow::Result<Value> {
    // Not on a CPU that may be stuck.
    let text = vm.sh_on(0, &format!("{VIGILCTL} {arguments}"))?.ok()?;
    serde_json::from_str(&text).with_context(|| text.clone())
}

/// Ensures that a command ends with this status, and says this.
fn fails(vm: &Vm, command: &str, status: i32, text: &str) -> Verdict {
    // Not on a CPU that may be stuck.
    let output = vm.sh_on(0, command)?;
    ensure!(
        output.status == status && output.stdout == format!("vigilctl: {text}\n"),
        "{command}: {output:?}"
    );
    Ok(())
}

/// `watch --json` that runs.
struct Watch(Job);

impl Watch {
    fn start(vm: &Vm) -> anyhow::Result<Self> {
        // Not on the CPU that is to get stuck.
        Ok(Self(
            vm.spawn_on(0, &format!("exec {VIGILCTL} watch --json"))?,
        ))
    }

    /// Its lines.
    fn lines(&self) -> anyhow::Result<Vec<Value>> {
        let text = self.0.output();
        // The last line may not be complete.
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let lines = complete.lines();
        lines
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// How many of them are of this event.
    fn count(&self, event: &str) -> anyhow::Result<usize> {
        let lines = self.lines()?;
        Ok(lines.iter().filter(|line| line["event"] == event).count())
    }

    /// Waits for the first line that is such.
    fn wait(&self, vm: &Vm, what: &str, is_it: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        wait_for(vm, SOON, what, || {
            Ok(self.lines()?.into_iter().find(|line| is_it(line)))
        })
        .with_context(|| self.0.output())
    }

    /// Waits for an event of an incident of this kind.
    fn event(&self, vm: &Vm, event: &str, kind: &str) -> anyhow::Result<Value> {
        self.wait(vm, &format!("{event} of a {kind}"), |line| {
            line["event"] == event && line["incident"]["kind"] == kind
        })
    }
}

/// Without the module each command says so. A watch that began then hears of the load, of a soft lockup
/// and its end, of the unload, and of another load, as does one that began while it went. The other commands show the same incident. Knobs
/// are read and set, and a bad value's range is said. To others than root no addresses are shown.
fn watch(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(config(cx, &[])?)?;
    let not_loaded = "the module vigil is not loaded";
    for command in ["status", "incidents", "explain", "get", "watch --once"] {
        fails(&vm, &format!("{VIGILCTL} {command}"), 3, not_loaded)?;
    }
    let metrics = vm.sh_ok(&format!("{VIGILCTL} metrics"))?;
    ensure!(metrics.ends_with("\nvigil_loaded 0\n"), "{metrics}");

    let watch = Watch::start(&vm)?;
    lockup_stall::load(&vm, "watchdog_thresh=1")?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.sh_ok("taskset -pc 0 2 && sleep 1")?;
    let loaded = watch.wait(&vm, "the load", |line| line["event"] == "loaded")?;
    let version = vm.sh_ok(&format!("{VIGILCTL} --version"))?;
    let version = version.trim().trim_start_matches("vigilctl ");
    ensure!(loaded["version"] == version, "{loaded}, {version}");
    Lockup::start(&vm, "preempt_off cpu=1 ms=3500")?;
    let start = watch.event(&vm, "start", "soft-lockup")?;
    let task = start["incident"]["task"]["comm"].as_str();
    ensure!(
        start["incident"]["cpu"] == 1 && task == Some("prov_preempt/1"),
        "{start}"
    );
    let end = watch.event(&vm, "end", "soft-lockup")?;
    let id = &start["incident"]["id"];
    ensure!(
        end["incident"]["id"] == *id && end["incident"]["end"] == "recovered",
        "{end}"
    );
    let age = end["incident"]["age_s"].as_f64().unwrap_or_default();
    ensure!((3.0..6.0).contains(&age), "{end}");
    ensure!(watch.count("lost")? == 0, "{}", watch.0.output());

    let listed = json(&vm, "incidents --json")?;
    let listed = listed.as_array().context("no list")?;
    ensure!(
        listed.len() == 1 && listed[0]["id"] == *id && listed[0]["end"] == "recovered",
        "{listed:?}"
    );
    let table = vm.sh_ok(&format!("{VIGILCTL} incidents"))?;
    ensure!(
        table.starts_with("ID ") && table.contains(" recovered after "),
        "{table}"
    );
    let one = json(&vm, &format!("incidents --json {id}"))?;
    ensure!(one["stack"][0]["address"].is_string(), "{one}");
    let theirs = vm.sh_ok(&format!("{AS_NOBODY} {VIGILCTL} incidents --json {id}"))?;
    ensure!(
        theirs.contains("soft-lockup") && !theirs.contains("\"address\""),
        "{theirs}"
    );
    let status = json(&vm, "status --json")?;
    ensure!(
        status["status"]["softlockup"]["reports"] == 1 && status["state"]["version"] == version,
        "{status}"
    );
    metrics_of(&vm)?;
    knobs(&vm)?;

    vm.unload()?;
    watch.wait(&vm, "the unload", |line| line["event"] == "unloaded")?;
    vm.load("")?;
    wait_for(&vm, SOON, "the second load", || {
        Ok((watch.count("loaded")? == 2).then_some(()))
    })
}

/// While the module waits for a CPU that is stuck, so that it can go, there is its family still, and
/// the kernel refuses a dump: to whoever asks then it is not loaded, and a watch hears the rest.
fn while_it_is_unloaded(cx: &Cx) -> Verdict {
    let vm = &lockup_stall::loud_guest_of(cx, config(cx, &[])?, "")?;
    let stall = Lockup::start(vm, "irqs_off cpu=1 ms=100000")?;
    let rmmod = vm.spawn_on(0, "exec rmmod vigil")?;
    let state = || vm.sh_on(0, "cat /sys/module/vigil/initstate");
    wait_for(vm, SOON, "the module to be going", || {
        Ok((state()?.stdout == "going\n").then_some(()))
    })?;
    let watch = Watch::start(vm)?;
    let not_loaded = "the module vigil is not loaded";
    fails(vm, &format!("{VIGILCTL} incidents"), 3, not_loaded)?;
    let state = state()?;
    ensure!(
        stall.lasts(vm)? && state.stdout == "going\n",
        "asked too late: {state:?}"
    );
    stall.end(vm)?;
    rmmod.wait(SOON)?.ok()?;
    watch.wait(vm, "the unload", |line| line["event"] == "unloaded")?;
    vm.load("")?;
    watch.wait(vm, "the load", |line| line["event"] == "loaded")?;
    Ok(())
}

/// A watch whose buffer was full goes on, and says how many events it has lost.
fn slow_watch(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(config(cx, &[])?)?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(&format!(
        "{MAINLINE} hung_task_timeout_secs=2 hung_task_check_interval_secs=1"
    ))?;
    // So short for who may not have more.
    vm.sh_ok("echo 4096 | tee /proc/sys/net/core/rmem_default > /proc/sys/net/core/rmem_max")?;
    let job = vm.spawn(&format!(
        "echo $$ > {WATCH_PID}; exec {AS_NOBODY} {VIGILCTL} watch --json"
    ))?;
    let watch = Watch(job);
    watch.wait(&vm, "the load", |line| line["event"] == "loaded")?;
    signal(&vm, WATCH_PID, "STOP")?;
    let stall = Stall::start(&vm, "mutex count=10")?;
    wait_for(&vm, SOON, "ten incidents", || {
        let listed = json(&vm, "incidents --json")?;
        Ok((listed.as_array().map_or(0, Vec::len) >= 10).then_some(()))
    })?;
    signal(&vm, WATCH_PID, "CONT")?;
    watch.event(&vm, "start", "hung-task")?;
    stall.end(&vm)?;
    watch.event(&vm, "end", "hung-task")?;
    ensure!(
        watch.count("start")? < 10 && watch.count("lost")? > 0 && !watch.0.ended(),
        "{}",
        watch.0.output()
    );
    // It hears what comes and goes, too.
    vm.unload()?;
    watch.wait(&vm, "the unload", |line| line["event"] == "unloaded")?;
    Ok(())
}

/// The file for node_exporter is written, for everybody to read, and has the lockup.
fn metrics_of(vm: &Vm) -> Verdict {
    // Its next timer interrupt says that a CPU is stuck no more; the incident ends when it schedules.
    wait_for(vm, SOON, "no CPU to be stuck", || {
        Ok((vm.knob("stuck_cpus_now")? == "0").then_some(()))
    })?;
    vm.sh_ok(&format!(
        "umask 077; {VIGILCTL} metrics --textfile /tmp/vigil.prom"
    ))?;
    let text = vm.sh_ok(&format!("{AS_NOBODY} cat /tmp/vigil.prom"))?;
    for line in [
        "vigil_loaded 1",
        "vigil_incidents_total{kind=\"soft-lockup\"} 1",
        "vigil_incidents_on{kind=\"soft-lockup\"} 0",
        "vigil_reports_total{kind=\"soft-lockup\"} 1",
        "vigil_events_lost_total 0",
        "vigil_stuck_cpus 0",
        "vigil_softlockup_enabled 1",
    ] {
        ensure!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    ensure!(
        text.contains("\nvigil_hung_task_thread_cpu_seconds_total "),
        "{text}"
    );
    // A kernel without detectors of its own has no functions that reset them.
    let probed = Status::read(vm)?;
    if probed.get(key::watchdog::TOUCH_FUNCTIONS_PROBED)? != "none" {
        let touches = |text: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| {
                let value = line.strip_prefix("vigil_touches_total{detector=\"soft\"} ")?;
                value.parse::<u64>().ok()
            })
        };
        // Which prints tasks, and so is slow.
        vm.sh_ok("echo w > /proc/sysrq-trigger")?;
        let after = vm.sh_ok(&format!("{VIGILCTL} metrics"))?;
        ensure!(
            touches(&text).is_some() && touches(&after) > touches(&text),
            "{text}, then {after}"
        );
    }
    let open = vm.sh_ok(&format!("{VIGILCTL} metrics --format openmetrics"))?;
    ensure!(open.ends_with("\n# EOF\n"), "{open}");
    Ok(())
}

fn knobs(vm: &Vm) -> Verdict {
    let all = vm.sh_ok(&format!("{VIGILCTL} get"))?;
    ensure!(all.lines().count() == KNOBS.len(), "{all}");
    vm.sh_ok(&format!(
        "{VIGILCTL} set hung_task_timeout_secs=33 hung_task_report=mainline hung_task_ignore=:io"
    ))?;
    let value = vm.sh_ok(&format!("{VIGILCTL} get hung_task_timeout_secs"))?;
    ensure!(value == "33\n", "{value}");
    let some = json(vm, "get --json hung_task_report hung_task_ignore")?;
    ensure!(
        some["hung_task_report"] == "mainline" && some["hung_task_ignore"] == ":io",
        "{some}"
    );
    vm.sh_ok(&format!("{VIGILCTL} set hung_task_ignore="))?;
    ensure!(vm.knob("hung_task_ignore")?.is_empty());
    fails(
        vm,
        // The first one is good, and is not set.
        &format!("{VIGILCTL} set hung_task_timeout_secs=44 watchdog_thresh=61"),
        1,
        "watchdog_thresh does not take \"61\": it takes a number from 0 to 60",
    )?;
    ensure!(vm.knob("hung_task_timeout_secs")? == "33");
    // These the kernel refuses.
    fails(
        vm,
        &format!("{VIGILCTL} set hung_task_timeout_secs=-1"),
        1,
        "hung_task_timeout_secs does not take \"-1\": it takes a number of seconds from 0 on",
    )?;
    fails(
        vm,
        &format!("{VIGILCTL} set watchdog_cpumask=all"),
        1,
        "watchdog_cpumask does not take \"all\": it takes a list of CPUs such as 0-3,8",
    )?;
    fails(
        vm,
        &format!("{AS_NOBODY} {VIGILCTL} set hung_task_timeout_secs=44"),
        4,
        "only root can set hung_task_timeout_secs",
    )?;
    fails(
        vm,
        &format!("{AS_NOBODY} {VIGILCTL} explain"),
        4,
        "only root can read /sys/kernel/debug/vigil/waitgraph.dot",
    )
}

/// Tasks in a deadlock: `watch` has the culprit, `explain` names and draws the deadlock. Of a task of a
/// cgroup `watch` has that too.
fn of_hung_tasks(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(config(cx, &[])?)?;
    vm.load("hung_task_report=grouped hung_task_timeout_secs=2 hung_task_check_interval_secs=1")?;
    vm.insmod("vigil_provoke.ko", "")?;
    let nothing = vm.sh_ok(&format!("{VIGILCTL} explain"))?;
    ensure!(nothing == "no task is hung\n", "{nothing}");
    let watch = Watch::start(&vm)?;
    watch.wait(&vm, "the module", |line| line["event"] == "loaded")?;
    let mark = vm.mark()?;
    let ring = Stall::start(&vm, "abba_mutex count=3")?;
    wait_report(&vm, mark, ring.victim())?;
    let start = watch.event(&vm, "start", "root-cause")?;
    let known = watch.wait(&vm, "the culprit", |line| {
        line["incident"]["id"] == start["incident"]["id"] && line["incident"]["culprit"].is_object()
    })?;
    let culprit = &known["incident"]["culprit"];
    ensure!(
        culprit["kind"] == "deadlock" && culprit["count"] == 3,
        "{known}"
    );
    let text = vm.sh_ok(&format!("{VIGILCTL} explain"))?;
    ensure!(text.starts_with("deadlock of 3:\n"), "{text}");
    for &pid in &ring.victims {
        let name = who(&vm, pid)?;
        ensure!(text.matches(&name).count() == 2, "{name}: {text}");
    }
    let svg = vm.sh_ok(&format!(
        "{VIGILCTL} explain --dot | {VIGILCTL} explain --svg --from -"
    ))?;
    ensure!(svg.contains("<svg"), "{svg}");
    ring.end(&vm)?;
    watch.event(&vm, "end", "root-cause")?;
    of_a_cgroup(&vm, &watch)
}

/// A shell of a cgroup waits for a mutex: each line about it, from its start to its end, has the
/// cgroup, and the holder of the mutex from when it is known.
fn of_a_cgroup(vm: &Vm, watch: &Watch) -> Verdict {
    const GROUP: &str = "/sys/fs/cgroup/web";
    let (stall, _job) = Stall::block_shell(
        vm,
        &format!("mkdir {GROUP}; echo 0 > {GROUP}/cgroup.procs"),
        "mutex",
    )?;
    let is_of = |line: &Value| line["incident"]["task"]["pid"] == stall.victim();
    let knows = |line: &Value| line["incident"]["culprit"]["task"]["pid"] == stall.holder;
    watch.wait(vm, "its start", |line| {
        line["event"] == "start" && is_of(line)
    })?;
    watch.wait(vm, "its culprit", |line| is_of(line) && knows(line))?;
    stall.end(vm)?;
    let end = watch.wait(vm, "its end", |line| line["event"] == "end" && is_of(line))?;
    ensure!(knows(&end), "{end}");
    let lines = watch.lines()?;
    let without = lines
        .iter()
        .find(|line| is_of(line) && line["incident"]["cgroup"] != "/web");
    ensure!(without.is_none(), "{without:?}");
    Ok(())
}

/// `test` makes each stall, and everything sees it. Knobs are as before.
fn test(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(config(cx, &[])?)?;
    lockup_stall::load(&vm, "hardlockup_panic=1 hung_task_warnings=3")?;
    let all =
        || vm.sh_ok("cd /proc/sys/vigil; grep . *_panic *_secs watchdog_thresh hung_task_warnings");
    let before = all()?;
    for stall in ["soft", "hung", "hard"] {
        let run = format!("{VIGILCTL} test {stall} --yes --provoke /vm/vigil_provoke.ko --json");
        let text = vm.sh_ok(&run)?;
        let result: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        ensure!(result["passed"] == true, "{text}");
    }
    ensure!(all()? == before, "{before}, now {}", all()?);
    let left = vm.sh_ok("lsmod")?;
    ensure!(!left.contains("vigil_provoke"), "{left}");
    fails(
        &vm,
        &format!("{VIGILCTL} test soft < /dev/null"),
        1,
        "this makes a real stall: confirm it with --yes",
    )
}

/// Seconds after which the device resets the machine, and that an incident may last.
const TIMEOUT: u32 = 10;
const LIMIT: u32 = 3;

/// Starts `guard`.
fn start_guard_with(vm: &Vm, options: &str) -> anyhow::Result<Job> {
    let job = vm.spawn_on(
        0,
        &format!("echo $$ > {GUARD_PID}; exec {VIGILCTL} guard {options}"),
    )?;
    job.wait_output("reset after", SOON)?;
    Ok(job)
}

fn start_guard(vm: &Vm) -> anyhow::Result<Job> {
    start_guard_with(
        vm,
        &format!("--timeout {TIMEOUT} --limit {LIMIT} --kinds hard-lockup,hung-task"),
    )
}

/// Waits until a guard feeds the device no more, for a hard lockup, and then again.
fn pauses_for_hard_lockup(guard: &Job) -> Verdict {
    guard.wait_output("not fed any more", SOON)?;
    ensure!(
        guard.output().contains("an incident of kind hard-lockup"),
        "{}",
        guard.output()
    );
    guard.wait_output("fed again", SOON)?;
    Ok(())
}

/// Stops the guard that was started last, which stops the device.
fn stop_guard(vm: &Vm, guard: &Job) -> Verdict {
    signal(vm, GUARD_PID, "TERM")?;
    let output = guard.wait(SOON)?;
    ensure!(
        output.status == 0 && output.stdout.ends_with(": stopped\n"),
        "{output:?}"
    );
    Ok(())
}

/// Lets the time pass after which the device resets the machine.
fn outlive_timeout(vm: &Vm) -> Verdict {
    vm.sh_ok(&format!("sleep {}", TIMEOUT + 3))?;
    Ok(())
}

/// While nothing is wrong the device is fed. A lockup that ends in time, although it lasts longer than
/// the limit, is no reset. After SIGTERM the device is stopped. A lockup that lasts is a reset.
fn guarded(vm: &Vm) -> Verdict {
    let guard = start_guard(vm)?;
    outlive_timeout(vm)?;
    let lockup = Lockup::start(vm, "irqs_off cpu=1 ms=7000")?;
    pauses_for_hard_lockup(&guard)?;
    lockup.wait(vm)?;
    stop_guard(vm, &guard)?;
    outlive_timeout(vm)?;

    start_guard(vm)?;
    Lockup::start(vm, "irqs_off cpu=1 ms=120000")?;
    reset(vm)
}

fn guard_i6300esb(cx: &Cx) -> Verdict {
    let config = config(cx, &["watchdog.ko", "i6300esb.ko"])?.qemu_args(["-device", "i6300esb"]);
    let vm = lockup_stall::guest_of(cx, config, "watchdog_thresh=1")?;
    load_driver(&vm, "i6300esb.ko")?;
    guarded(&vm)
}

/// A guest with the kernel's own watchdog device; vigil gets these parameters.
fn guest_with_softdog(cx: &Cx, parameters: &str) -> anyhow::Result<Vm> {
    let config = config(cx, &["watchdog.ko", "softdog.ko"])?;
    let vm = lockup_stall::guest_of(cx, config, parameters)?;
    // Its timer is on the CPU that feeds it, which is not to get stuck.
    load_driver(&vm, "softdog.ko")?;
    Ok(vm)
}

fn guard_softdog(cx: &Cx) -> Verdict {
    guarded(&guest_with_softdog(cx, "watchdog_thresh=1")?)
}

/// Waits for the reset by a device.
fn reset(vm: &Vm) -> Verdict {
    match vm.wait_panic(secs(90)) {
        Err(Error::Gone { .. }) => Ok(()),
        other => bail!("no reset: {other:?}"),
    }
}

/// All memory of the guard is locked, but for what the kernel maps.
fn locked(vm: &Vm) -> Verdict {
    let maps = vm.sh_ok(&format!("cat /proc/$(cat {GUARD_PID})/smaps"))?;
    let mut name = String::new();
    for line in maps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let is_kernels = name.ends_with(']') && name.contains("[v");
            // What cannot be accessed at all: guard pages.
            let is_used = flags
                .split(' ')
                .any(|flag| matches!(flag, "rd" | "wr" | "ex"));
            ensure!(
                is_kernels || !is_used || flags.split(' ').any(|flag| flag == "lo"),
                "{name}: {maps}"
            );
        } else if line
            .split(' ')
            .next()
            .is_some_and(|word| word.contains('-'))
        {
            line.clone_into(&mut name);
        }
    }
    Ok(())
}

/// A guard that is killed leaves the device counting, and the next one feeds it in time; stopped by SIGTERM it
/// stops the device, unless the driver has nowayout. A killed guard that nobody starts again is a reset.
fn guard_killed(cx: &Cx) -> Verdict {
    let vm = guest_with_softdog(cx, "watchdog_thresh=1")?;
    let killed = |guard: &Job| -> Verdict {
        let mark = vm.mark()?;
        signal(&vm, GUARD_PID, "KILL")?;
        ensure!(guard.wait(SOON)?.status != 0, "{}", guard.output());
        vm.wait_log_after(mark, "watchdog did not stop!", SOON)?;
        Ok(())
    };
    let first = start_guard(&vm)?;
    locked(&vm)?;
    killed(&first)?;
    let second = start_guard(&vm)?;
    outlive_timeout(&vm)?;
    ensure!(!second.ended(), "{}", second.output());
    stop_guard(&vm, &second)?;
    outlive_timeout(&vm)?;
    without_modprobe(&vm)?;

    vm.sh_ok("rmmod softdog; taskset 1 insmod /vm/softdog.ko nowayout=1")?;
    let third = start_guard(&vm)?;
    signal(&vm, GUARD_PID, "TERM")?;
    let output = third.wait(SOON)?;
    ensure!(
        output.status == 0
            && output
                .stdout
                .contains("its driver has nowayout: it goes on"),
        "{output:?}"
    );
    let last = start_guard(&vm)?;
    outlive_timeout(&vm)?;
    killed(&last)?;
    reset(&vm)
}

/// A guard of a machine without the module, or of which it is unloaded, does not have the kernel run
/// modprobe, for which it would wait.
fn without_modprobe(vm: &Vm) -> Verdict {
    vm.sh_ok(
        "printf '#!/bin/sh\necho \"$@\" >> /tmp/asked\n' > /tmp/modprobe; chmod +x /tmp/modprobe
         echo /tmp/modprobe > /proc/sys/kernel/modprobe",
    )?;
    let first = start_guard(vm)?;
    // It has asked the module.
    vm.sh_ok("sleep 2")?;
    vm.unload()?;
    let blind = |guard: &Job| guard.wait_output("is not loaded: fed whatever happens", SOON);
    blind(&first)?;
    stop_guard(vm, &first)?;
    let second = start_guard(vm)?;
    blind(&second)?;
    vm.sh_ok("sleep 2")?;
    let asked = vm.sh_ok("cat /tmp/asked 2> /dev/null || true")?;
    ensure!(!asked.contains("vigil"), "{asked}");
    stop_guard(vm, &second)?;
    vm.load("watchdog_thresh=1")?;
    Ok(())
}

/// More tasks than the table of incidents has places are found hung while a CPU is stuck: the lockup is
/// listed and counted all the same, and the device is not fed.
fn among_many_hung_tasks(cx: &Cx) -> Verdict {
    const BATCHES: usize = 14;
    const BATCH: usize = 8;
    let vm = guest_with_softdog(
        cx,
        "watchdog_thresh=1 hung_task_report=mainline hung_task_timeout_secs=11 \
         hung_task_check_interval_secs=1 hung_task_warnings=0",
    )?;
    // Nothing that is to go on may wait for the CPU that is to get stuck.
    let hung = thread_pid(&vm, "vigild/hung")?;
    vm.sh_ok(&format!("taskset -pc 0 {hung}"))?;
    let guard = start_guard_with(&vm, "--timeout 120 --limit 14 --kinds hard-lockup")?;
    // They fall asleep one after the other, so that no check finds more than the sixteen that it records:
    // two batches come in the second from one scan to the next.
    vm.sh_ok(&format!(
        "for n in $(seq {BATCHES}); do
             echo \"mutex count={BATCH} secs=120 id=$((20000 + n))\" > {PROVOKE}/run; sleep 0.6
         done"
    ))?;
    let lockup = Lockup::start(&vm, "irqs_off cpu=1 ms=19000")?;
    let on = |kind: &str| -> anyhow::Result<Vec<Value>> {
        let listed = json(&vm, "incidents --on --json")?;
        let listed = listed.as_array().context("no list")?.clone();
        Ok(listed.into_iter().filter(|it| it["kind"] == kind).collect())
    };
    let hard = wait_for(
        &vm,
        SOON,
        "the hard lockup",
        || Ok(on("hard-lockup")?.pop()),
    )?;
    let all = BATCHES * BATCH;
    let wait = format!(
        "while [ $(cat /proc/sys/vigil/hung_task_detect_count) -lt {all} ]; do sleep 0.1; done"
    );
    vm.sh_on(0, &wait)?.ok()?;
    let (still, hung) = (on("hard-lockup")?, on("hung-task")?);
    ensure!(lockup.lasts(&vm)?, "the stall was over too early");
    let id = |it: &Value| it["id"].as_u64().unwrap_or_default();
    let newest = hung.iter().map(id).max().unwrap_or_default();
    ensure!(
        newest >= id(&hard) + 64,
        "too few tasks were found after it: {newest}, {hard}"
    );
    ensure!(
        still.len() == 1 && id(&still[0]) == id(&hard) && hung.len() == 63,
        "{still:?}, not {hard}; {} tasks",
        hung.len()
    );
    let state = json(&vm, "status --json")?;
    let kinds = state["state"]["kinds"].as_array().context("no kinds")?;
    let of = |kind: &str| kinds.iter().find(|it| it["kind"] == kind);
    let is_on = |kind, number| of(kind).is_some_and(|it| it["on"] == number);
    // The table has 63 of these tasks.
    ensure!(
        is_on("hard-lockup", 1) && is_on("hung-task", all),
        "{state}"
    );
    pauses_for_hard_lockup(&guard)?;
    lockup.wait(&vm)?;
    stop_guard(&vm, &guard)
}
