// SPDX-License-Identifier: GPL-2.0
//! What takes long: `make soak MINUTES=n`. As part of all scenarios a short one.

use super::{
    hung_stall::{wait_report, Stall, MAINLINE},
    lockup_hotplug::{coming_and_going, each_is_watched, torture},
    lockup_stall::{guest, guest_of, hard_in_time, load, provoke, soft_in_time, Words},
    soak_judge::{observe, Host, Judgement, Kind, Record, THRESH, TIMEOUT},
    soak_random,
};
use crate::prelude::*;
use std::{
    env,
    fs::{self, File},
    path::PathBuf,
    thread,
};

/// Name of the environment variable with the length in minutes.
const VARIABLE: &str = "VIGIL_SOAK_MINUTES";

/// The length if nobody asks for another.
const SHORT: f64 = 0.75;

/// What the load is made of.
const LOAD: &str = include_str!("../load.sh");

pub(crate) fn scenarios() -> Vec<Scenario> {
    let limit = |factor: f64| Duration::from_secs_f64(minutes() * 60.0 * factor + 400.0);
    vec![
        // RCU notices CPUs that do not run, too.
        Scenario::new("random", |cx| {
            soak_random::random(cx, minutes(), env::var_os(VARIABLE).is_none())
        })
        .limit(limit(1.3))
        .allow(Splat::RcuStall),
        Scenario::new("quiet", quiet).limit(limit(1.3)),
        Scenario::new("hotplug", hotplug).limit(limit(1.0)),
        Scenario::new("load_and_unload", load_and_unload).limit(limit(1.0)),
        // RCU notices CPUs that are stuck for 21 s.
        Scenario::new("thresholds", thresholds)
            .limit(secs(900))
            .allow(Splat::RcuStall),
    ]
}

fn minutes() -> f64 {
    let asked = env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    asked.filter(|&minutes| minutes > 0.0).unwrap_or(SHORT)
}

/// So many a minute, but not less than `least`.
fn scaled(each_minute: f64, least: u32) -> u32 {
    ((each_minute * minutes()).ceil() as u32).max(least)
}

/// CPUs go off and on, with no alarm of any kind by either detector; true
/// lockups are found afterwards.
fn hotplug(cx: &Cx) -> Verdict {
    let vm = guest_of(cx, coming_and_going(cx), "watchdog_thresh=1")?;
    let switches = vm.sh_ok("ls /sys/devices/system/cpu/cpu[0-9]*/online")?;
    // x86 kernels since 6.5 do not let the boot CPU go, others do; here it stays.
    let names = switches.lines().filter(|name| !name.contains("cpu0/"));
    ensure!(names.count() == 3, "not the CPUs 1 to 3: {switches}");
    let mark = vm.mark()?;
    let times = scaled(20.0, 50);
    let start = Instant::now();
    vm.sh_ok(&torture(times))?;
    println!(
        "hotplug: CPUs 1 to 3 off and on {times} times in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    let words = Words::of(&vm.dmesg_after(mark)?)?;
    words.silent()?;
    ensure!(
        words.in_tree_soft.is_empty() && words.in_tree_hard.is_empty(),
        "the in-tree detector: {words:#?}"
    );
    each_is_watched(&vm)?;
    vm.unload()?;
    super::module::nothing_left(&vm)
}

/// The module comes and goes while CPUs do, by different means each time, and
/// leaves nothing.
fn load_and_unload(cx: &Cx) -> Verdict {
    let vm = guest_of(cx, coming_and_going(cx), "watchdog_thresh=1")?;
    vm.unload()?;
    let mark = vm.mark()?;
    let torture = vm.spawn(&format!(
        "n=0; while :; do {}; n=$((n + 1)); echo $n > /tmp/rounds; done",
        torture(1)
    ))?;
    let start = Instant::now();
    let times = scaled(2.5, 3);
    for _ in 0..times {
        // By one shell, so that nothing comes between one and the next.
        vm.sh_ok(
            "for means in use_stopper=1 use_stopper=0 use_unexported=0 'use_stopper=0 use_unexported=0'; do
             insmod /vm/vigil.ko watchdog_thresh=1 $means && rmmod vigil || exit; done",
        )?;
        ensure!(!torture.ended(), "hotplug ended: {}", torture.output());
        super::module::nothing_left(&vm)?;
    }
    let rounds: u32 = vm.read("/tmp/rounds")?.trim().parse()?;
    println!(
        "load_and_unload: {} times in {:.0} s, while CPUs 1 to 3 went off and on {rounds} times",
        4 * times,
        start.elapsed().as_secs_f64()
    );
    ensure!(rounds > 0, "no CPU came back meanwhile");
    torture.kill()?;
    torture.wait(secs(60))?;
    super::module::nothing_left(&vm)?;
    Words::of(&vm.dmesg_after(mark)?)?.silent()?;
    // It does its work yet.
    vm.sh_ok("for switch in /sys/devices/system/cpu/cpu[123]/online; do echo 1 > $switch; done")?;
    load(&vm, "watchdog_thresh=1")?;
    vm.sh_ok("sleep 1")?;
    let outcome = provoke(&vm, "irqs_off cpus=1-3 ms=3500")?;
    ensure!(outcome.words.hard.len() == 3, "{:#?}", outcome.words);
    Ok(())
}

/// The files of the load, and the disks' images: sparse, made anew each time.
fn load_files(config: Config) -> anyhow::Result<Config> {
    let artifacts = Artifacts::from_env()?;
    let folder = artifacts.folder().join("load");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("{}: made by scripts/load-dir", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.push(
        artifacts
            .file("vigil-observer")
            .context("no vigil-observer")?,
    );
    let mut config = config.files(files);
    // The first is as slow as those that are rented by the month: what is written
    // piles up in front of it.
    for (name, mib, limit) in [
        ("disk", 512, ",throttling.bps-total=8388608"),
        ("swap", 256, ""),
    ] {
        let path = artifacts.folder().join(format!("{name}.img"));
        File::create(&path)?.set_len(mib << 20)?;
        let drive = format!(
            "if=none,id={name},format=raw,file={}{limit}",
            path.display()
        );
        let device = format!("virtio-blk-pci,drive={name}");
        config = config.qemu_args(["-drive", &drive, "-device", &device]);
    }
    Ok(config)
}

/// Watches the host's side of the virtual CPUs.
struct Hosts {
    start: Instant,
    began: f64,
    seen: Vec<Host>,
}

impl Hosts {
    fn new(vm: &Vm) -> anyhow::Result<Self> {
        // The guest's time goes on with the host's, unless it is stopped.
        let began = vm.uptime()?;
        Ok(Self {
            start: Instant::now(),
            began,
            seen: Vec::new(),
        })
    }

    fn now(&self) -> f64 {
        self.began + self.start.elapsed().as_secs_f64()
    }

    fn look(&mut self, vm: &Vm) -> Verdict {
        self.seen.push(Host {
            at: self.now(),
            cpus: vec![vm.vcpu_times(0)?, vm.vcpu_times(1)?],
        });
        Ok(())
    }
}

/// The default threshold, and the longest one where there is time for it. What
/// comes a little short of them is nothing.
fn thresholds(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "")?;
    ensure!(vm.knob("watchdog_thresh")? == "10", "not the default");
    let longest: &[u32] = if minutes() < 10.0 { &[10] } else { &[10, 60] };
    for &thresh in longest {
        vm.set_knob("watchdog_thresh", thresh)?;
        let limit = f64::from(thresh);
        let ms = thresh * 1000;
        let outcome = provoke(&vm, &format!("irqs_off cpu=1 ms={}", ms * 8 / 10 - 100))?;
        outcome.words.silent()?;
        let outcome = provoke(
            &vm,
            &format!("irqs_off cpu=1 ms={}", ms + ms * 4 / 10 + 1000),
        )?;
        let hard = &outcome.words.hard;
        ensure!(hard.len() == 1 && hard[0].cpu == 1, "{:#?}", outcome.words);
        hard_in_time(&hard[0], outcome.span()?, limit, 0)?;
        let outcome = provoke(
            &vm,
            &format!("preempt_off cpu=1 ms={}", ms * 2 - ms * 4 / 10 - 100),
        )?;
        outcome.words.silent()?;
        let outcome = provoke(&vm, &format!("preempt_off cpu=1 ms={}", ms * 2 + 1000))?;
        let soft = outcome.words.only_soft(1)?;
        ensure!(soft.len() == 1, "{soft:#?}");
        soft_in_time(&soft[0], outcome.span()?, limit)?;
    }
    Ok(())
}

/// Compiling, forking, disk and memory load with the shortest thresholds: there
/// is no report that the load does not justify (see `soak_judge` for the rule).
/// True stalls afterwards are reported, and justified by the same rule.
fn quiet(cx: &Cx) -> Verdict {
    let config = cx.config().append("loglevel=1 log_buf_len=8M");
    let vm = cx.boot_with(load_files(config)?)?;
    load(
        &vm,
        // Each report is compared with the in-tree detector's, which has one for each task.
        &format!(
            "{MAINLINE} watchdog_thresh={THRESH} hung_task_timeout_secs={TIMEOUT} \
             hung_task_warnings=-1"
        ),
    )?;
    vm.insmod("vigil_provoke.ko", "")?;
    // Where there are in-tree detectors.
    for (knob, value) in [
        ("watchdog_thresh", THRESH),
        ("hung_task_check_interval_secs", 1.0),
        ("hung_task_warnings", -1.0),
        ("hung_task_timeout_secs", TIMEOUT),
    ] {
        let knob = format!("/proc/sys/kernel/{knob}");
        vm.sh_ok(&format!("[ ! -e {knob} ] || echo {value} > {knob}"))?;
    }
    let script = |name: &str| format!("{LOAD}\n{name}");
    vm.sh_ok(&script("prepare"))?;
    let observers = observe(&vm)?;

    let mut hosts = Hosts::new(&vm)?;
    let from = vm.uptime()?;
    let length = Duration::from_secs_f64(minutes() * 60.0);
    let mut load = Vec::new();
    for name in ["compile", "forks", "disk", "memory"] {
        load.push((name, vm.spawn(&script(name))?));
    }
    let start = Instant::now();
    let mut said = 0;
    while start.elapsed() < length {
        thread::sleep(secs(1));
        hosts.look(&vm)?;
        for (name, job) in &load {
            ensure!(!job.ended(), "{name} ended: {}", job.output());
        }
        let minute = start.elapsed().as_secs() / 60;
        if minute > said {
            said = minute;
            println!(
                "quiet: {minute} min: {}",
                vm.sh_ok(&script("progress"))?.trim()
            );
        }
    }
    for observer in &observers {
        ensure!(
            !observer.ended(),
            "an observer ended: {}",
            observer.output()
        );
    }
    let done = vm.sh_ok(&script("progress"))?;
    let to = vm.uptime()?;
    for (_, job) in &load {
        job.kill()?;
        job.wait(secs(120))?;
    }
    vm.sh_ok("sync; sleep 2")?;

    // The same rule has to find for reports that are right.
    let controls = vm.uptime()?;
    hosts.look(&vm)?;
    provoke(&vm, "preempt_off cpu=1 ms=4500")?;
    vm.sh_ok("sleep 1")?;
    provoke(&vm, "irqs_off cpu=1 ms=3500")?;
    let mark = vm.mark()?;
    let stuck = Stall::start(&vm, "completion")?;
    wait_report(&vm, mark, stuck.victim())?;
    vm.sh_ok("sleep 2")?;
    stuck.end(&vm)?;
    hosts.look(&vm)?;

    let log = vm.dmesg()?;
    keep(&vm, &log)?;
    let record = Record::of(&log, hosts.seen)?;
    let (load, controls): (Vec<_>, Vec<_>) = record
        .judge(from)
        .into_iter()
        .partition(|judgement| judgement.time < controls);
    println!("quiet: {:.0} s of load: {}", to - from, done.trim());
    for judgement in &load {
        show(judgement);
    }
    summary(&record, &load, from, to);
    let unjustified: Vec<&Judgement> = load
        .iter()
        .filter(|judgement| judgement.reasons.is_empty())
        .collect();
    ensure!(unjustified.is_empty(), "not justified: {unjustified:#?}");
    for kind in [Kind::Soft, Kind::Hard, Kind::Hung] {
        let of_kind = |judgement: &&Judgement| judgement.kind == kind;
        let control = controls.iter().find(of_kind);
        let control = control.with_context(|| format!("{kind:?}: a true one is not reported"))?;
        ensure!(!control.reasons.is_empty(), "{control:#?}");
    }
    vm.unload()?;
    super::module::nothing_left(&vm)
}

/// Keeps the guest's log beside its console, which does not show it.
fn keep(vm: &Vm, log: &[LogLine]) -> Verdict {
    let lines = log.iter().map(|line| {
        let who = if line.facility == 0 { "kernel" } else { "user" };
        format!("[{:12.6}] {who}: {}\n", line.time, line.text)
    });
    let path = vm.artifacts().logs().join("soak-quiet.log");
    fs::write(path, lines.collect::<String>())?;
    Ok(())
}

fn show(judgement: &Judgement) {
    println!("  [{:.3}] {}", judgement.time, judgement.text);
    for fact in &judgement.facts {
        println!("      {fact}");
    }
    for reason in &judgement.reasons {
        println!("      justified: {reason}");
    }
    if judgement.reasons.is_empty() {
        println!("      NOT JUSTIFIED");
    }
}

fn summary(record: &Record, load: &[Judgement], from: f64, to: f64) {
    let count = |kind| {
        load.iter()
            .filter(|judgement| judgement.kind == kind)
            .count()
    };
    println!(
        "quiet: vigil reported {} soft lockups, {} hard lockups, {} CPUs that did not run, {} hung tasks",
        count(Kind::Soft),
        count(Kind::Hard),
        count(Kind::NotRun),
        count(Kind::Hung)
    );
    let (soft, hung, alone) = record.in_tree(from, to);
    println!(
        "quiet: in-tree {soft} soft lockups, {hung} hung tasks; without a report of vigil's beside: {}",
        alone.len()
    );
    for line in alone {
        println!("  {line}");
    }
    let (gaps, longest) = record.gaps(from, to);
    let (sleeps, asleep) = record.sleeps(from, to);
    println!(
        "quiet: the observer missed its CPU for more than 0.5 s {gaps} times, at most for {longest:.1} s, \
         and saw {sleeps} sleeps in D state of {TIMEOUT} s and more, the longest {asleep:.1} s"
    );
}
