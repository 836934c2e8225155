// SPDX-License-Identifier: GPL-2.0
//! No topic: CPUs that `vigil_provoke` stalls, and vigil's words on them, for the
//! topics about lockups.
//!
//! All times are the guest's: a stall notes its own begin and end on the clock
//! of the log's stamps.

use super::{
    hung_stall::{wait_for, PROVOKE, SOON},
    reports::{log_of, Report},
};
use crate::prelude::*;
use regex::Regex;
use std::sync::atomic::{AtomicU32, Ordering};
use vigil_klog::{HardLockup, Message, SoftLockup, Vigil};

/// What vigil may be late by besides what it promises: the reaction of a machine
/// that is emulated on a busy one, and of a kernel that checks all that it does.
pub(super) fn grace() -> f64 {
    0.5 * f64::from(machine::slowdown())
}

/// How a sample period relates to `watchdog_thresh`.
pub(super) const PERIOD: f64 = 0.4;

/// A guest in which CPUs get stuck, quiet, with both modules; vigil gets these
/// parameters, and neighbours look after each other.
pub(super) fn guest(cx: &Cx, cpus: u32, parameters: &str) -> anyhow::Result<Vm> {
    guest_of(cx, cx.config().cpus(cpus), parameters)
}

/// The same, made of something else.
pub(super) fn guest_of(cx: &Cx, config: Config, parameters: &str) -> anyhow::Result<Vm> {
    let vm = loud_guest_of(cx, config, parameters)?;
    // From now on what is logged below emergencies does not take the time that a serial
    // console takes.
    vm.write("/proc/sys/kernel/printk", b"1")?;
    Ok(vm)
}

/// The same, with a console that takes its time.
pub(super) fn loud_guest_of(cx: &Cx, config: Config, parameters: &str) -> anyhow::Result<Vm> {
    let vm = cx.boot_with(config)?;
    load(&vm, parameters)?;
    vm.insmod("vigil_provoke.ko", "")?;
    // Who makes the kernel's threads (kthreadd) is not to be woken on a CPU that is
    // stuck: no further stall could be made.
    //
    // What the kernel frees after it has loaded a module makes a CPU wait for
    // all others: a soft lockup of its own, if one of those is stuck.
    vm.sh_ok("taskset -pc 0 2 && sleep 1")?;
    Ok(vm)
}

/// Why [`with_64_cpus`] is for one architecture.
pub(super) const MANY_CPUS: &str = "so many CPUs of another one were not tried";

/// A guest with 64 CPUs, which are far more than the host has.
pub(super) fn with_64_cpus(cx: &Cx) -> Config {
    cx.config().cpus(64).mem_mib(2048)
}

/// Loads vigil with these parameters; neighbours look after each other.
pub(super) fn load(vm: &Vm, parameters: &str) -> Verdict {
    Ok(vm.load(&format!("{} {parameters}", machine::by_neighbours()))?)
}

/// Has a CPU run in user mode, where it holds no lock of the kernel's when it is stopped there
/// (`Vm::freeze_vcpu_in_user_mode()`). On ARM it can be stopped in idle only, and is left so.
pub(super) fn keep_in_user_mode(vm: &Vm, cpu: usize) -> Verdict {
    if machine::arch() == Arch::X86_64 {
        vm.spawn_on(cpu, machine::busy())?;
    }
    Ok(())
}

/// Starts `vigil-observer cpus`, and waits until its threads run on their CPUs: what gets stuck
/// before that is not seen.
pub(super) fn observe_cpus(vm: &Vm) -> anyhow::Result<Job> {
    let observer = vm.spawn("exec chrt -f 99 /vm/vigil-observer cpus")?;
    observer.wait_output("watching", SOON)?;
    Ok(observer)
}

/// What one CPU went through.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) cpu: u32,
    /// Of the thread that was stuck there.
    pub(super) pid: u32,
    pub(super) began: f64,
    pub(super) ended: f64,
    /// The CPU that others wait for, not the one that is wanted stuck.
    pub(super) target: bool,
}

/// A stall of CPUs.
#[derive(Debug)]
pub(super) struct Lockup {
    id: u32,
}

impl Lockup {
    /// Begins one, from the agent's CPU: `what` is `KIND [key=value]...`. Returns
    /// when it has begun, or has ended if the agent's CPU is in it.
    pub(super) fn start(vm: &Vm, what: &str) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(10_001);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let command = format!("{what} id={id}");
        vm.write(&format!("{PROVOKE}/run"), command.as_bytes())
            .with_context(|| command.clone())?;
        // No more is asked of the guest here: a panic on the stall may come at any time.
        Ok(Self { id })
    }

    /// The stuck CPUs' threads, in the order of the CPUs; none once it is over.
    pub(super) fn pids(&self, vm: &Vm) -> anyhow::Result<Vec<u32>> {
        let active = vm.read(&format!("{PROVOKE}/active"))?;
        let tasks = line_of(&active, self.id)
            .and_then(|line| line.split(' ').find_map(|word| word.strip_prefix("tasks=")));
        Ok(tasks.map_or_else(Vec::new, |tasks| {
            tasks
                .split(',')
                .filter_map(|pid| pid.parse().ok())
                .collect()
        }))
    }

    /// Whether it is still going on.
    pub(super) fn lasts(&self, vm: &Vm) -> anyhow::Result<bool> {
        let active = vm.read(&format!("{PROVOKE}/active"))?;
        Ok(line_of(&active, self.id).is_some())
    }

    /// Ends it before its time.
    pub(super) fn end(&self, vm: &Vm) -> Verdict {
        vm.write(&format!("{PROVOKE}/end"), self.id.to_string().as_bytes())?;
        Ok(())
    }

    /// Waits for its end.
    pub(super) fn wait(&self, vm: &Vm) -> anyhow::Result<Vec<Span>> {
        wait_for(vm, SOON, "the end of a stall", || {
            Ok((!self.lasts(vm)?).then_some(()))
        })?;
        self.spans(vm)
    }

    /// What each CPU went through, in the order of the CPUs.
    fn spans(&self, vm: &Vm) -> anyhow::Result<Vec<Span>> {
        let all = vm.read(&format!("{PROVOKE}/lockups"))?;
        let form = Regex::new(&format!(
            r"(?m)^{} \S+ cpu=(\d+) pid=(\d+) began=([\d.]+) ended=([\d.]+) role=(\w+)$",
            self.id
        ))?;
        let mut spans = Vec::new();
        for part in form.captures_iter(&all) {
            spans.push(Span {
                cpu: part[1].parse()?,
                pid: part[2].parse()?,
                began: part[3].parse()?,
                ended: part[4].parse()?,
                target: &part[5] == "target",
            });
        }
        spans.sort_by_key(|span| span.cpu);
        ensure!(
            !spans.is_empty(),
            "stall {} has left nothing: {all}",
            self.id
        );
        Ok(spans)
    }
}

/// The line of that stall.
fn line_of(active: &str, id: u32) -> Option<&str> {
    let start = format!("{id} ");
    active.lines().find(|line| line.starts_with(&start))
}

/// What came of a stall that has ended.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The stuck CPUs.
    pub(super) spans: Vec<Span>,
    /// The CPUs that they waited for.
    pub(super) targets: Vec<Span>,
    pub(super) words: Words,
}

impl Outcome {
    /// The only stuck CPU.
    pub(super) fn span(&self) -> anyhow::Result<&Span> {
        ensure!(self.spans.len() == 1, "{:#?}", self.spans);
        Ok(&self.spans[0])
    }
}

/// Waits until the console has the panic's first line.
pub(super) fn wait_for_panic(vm: &Vm) -> Verdict {
    let begun = Instant::now();
    while !vm.console().text().contains("Kernel panic - not syncing") {
        ensure!(begun.elapsed() < SOON, "no panic");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Has CPUs stuck, from begin to end.
pub(super) fn provoke(vm: &Vm, what: &str) -> anyhow::Result<Outcome> {
    let mark = vm.mark()?;
    let lockup = Lockup::start(vm, what)?;
    let (targets, spans): (Vec<Span>, Vec<Span>) =
        lockup.wait(vm)?.into_iter().partition(|span| span.target);
    Ok(Outcome {
        spans,
        targets,
        words: Words::of(&vm.dmesg_after(mark)?)?,
    })
}

/// A line of vigil on a CPU, with its time.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) time: f64,
    pub(super) cpu: u32,
    pub(super) seconds: f64,
}

/// Whether RCU's thread waits for a CPU that is stuck (`machine::has_strict_rcu()`).
fn is_rcu_waiting(lockup: &SoftLockup) -> bool {
    machine::has_strict_rcu() && lockup.task.comm == "rcu_preempt"
}

/// All that was said about lockups.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) soft: Vec<Report<SoftLockup>>,
    pub(super) hard: Vec<Report<HardLockup>>,
    /// "has not run for"
    pub(super) not_run: Vec<Note>,
    /// "recovered"
    pub(super) recovered: Vec<Note>,
    /// The kernel's own soft lockups.
    pub(super) in_tree_soft: Vec<Report<SoftLockup>>,
    /// The kernel's own hard lockups.
    pub(super) in_tree_hard: Vec<Report<HardLockup>>,
}

impl Words {
    /// Picks out what these lines say. Programs' lines are passed over, and soft lockups of RCU's thread where
    /// it waits for stuck CPUs (`machine::has_strict_rcu()`).
    pub(super) fn of(lines: &[LogLine]) -> anyhow::Result<Self> {
        let log = log_of(lines)?;
        let (soft, in_tree_soft) = log
            .soft_lockups()
            .filter(|(_, lockup)| !is_rcu_waiting(lockup))
            .map(Report::new)
            .partition(Report::is_vigil);
        let (hard, in_tree_hard) = log
            .hard_lockups()
            .map(Report::new)
            .partition(Report::is_vigil);
        let not_run = log.unresponsive_cpus().map(|(report, found)| Note {
            time: report.time,
            cpu: found.cpu,
            seconds: found.secs as f64,
        });
        let recovered = log
            .recoveries()
            .map(|(time, cpu, seconds)| Note { time, cpu, seconds });
        Ok(Self {
            soft,
            hard,
            not_run: not_run.collect(),
            recovered: recovered.collect(),
            in_tree_soft,
            in_tree_hard,
        })
    }

    /// Ensures that vigil said nothing.
    pub(super) fn silent(&self) -> Verdict {
        ensure!(
            self.soft.is_empty()
                && self.hard.is_empty()
                && self.not_run.is_empty()
                && self.recovered.is_empty(),
            "not silent: {self:#?}"
        );
        Ok(())
    }

    /// Ensures that vigil reported nothing but soft lockups of that CPU, and
    /// returns these.
    pub(super) fn only_soft(&self, cpu: u32) -> anyhow::Result<&[Report<SoftLockup>]> {
        ensure!(
            self.hard.is_empty()
                && self.not_run.is_empty()
                && self.recovered.is_empty()
                && self.soft.iter().all(|report| report.cpu == cpu),
            "more than soft lockups of CPU {cpu}: {self:#?}"
        );
        Ok(&self.soft)
    }
}

/// Ensures that a soft lockup was found when it should: a threshold after the
/// CPU's stopper last ran, which is up to a sample period before it got stuck.
pub(super) fn soft_in_time(report: &Report<SoftLockup>, span: &Span, thresh: f64) -> Verdict {
    let after = report.time - span.began;
    let (least, most) = (2.0 * thresh - PERIOD * thresh - 0.1, 2.0 * thresh + grace());
    ensure!(
        (least..=most).contains(&after) && report.time <= span.ended,
        "thresh {thresh}: soft lockup reported after {after:.3} s, not {least} to {most}: {span:?}"
    );
    let seconds = report.seconds as f64;
    ensure!(
        seconds >= (2.0 * thresh).floor() && seconds <= after + PERIOD * thresh + grace(),
        "thresh {thresh}: {seconds} s in the report {after:.3} s after it began"
    );
    Ok(())
}

/// Ensures that a hard lockup was found when it should: not before two sample
/// periods, nor later than a sample period after the threshold. One CPU may be
/// giving `earlier` reports before this one, which takes its time.
pub(super) fn hard_in_time(
    report: &Report<HardLockup>,
    span: &Span,
    thresh: f64,
    earlier: usize,
) -> Verdict {
    let after = report.time - span.began;
    let (least, most) = (
        2.0 * PERIOD * thresh - 0.05,
        thresh + PERIOD * thresh + grace() * (1 + earlier) as f64,
    );
    ensure!(
        (least..=most).contains(&after),
        "thresh {thresh}: hard lockup reported after {after:.3} s, not {least} to {most}: {span:?}"
    );
    Ok(())
}

/// Ensures what those rely on who read a report on a soft lockup, and that it is
/// about this CPU and this task.
pub(super) fn soft_well_formed(
    report: &Report<SoftLockup>,
    cpu: u32,
    comm: &str,
    pid: u32,
) -> Verdict {
    ensure!(
        report.cpu == cpu && report.task.comm == comm && report.task.pid == pid,
        "not CPU {cpu}, {comm}:{pid}: {report:#?}"
    );
    let [place, stack, others] = machine::registers();
    report.in_order(&[
        "soft lockup - CPU#",
        &format!("CPU#{cpu} Utilization every "),
        "\t#1: ",
        "\t#5: ",
        "Modules linked in: ",
        &format!("CPU: {cpu} UID: 0 PID: {pid} Comm: {comm} "),
        place,
        stack,
        others,
        machine::call_trace(),
        "+0x",
    ])
}

/// A pattern for the line that says that a CPU does not run.
pub(super) fn unresponsive(cpu: u32) -> String {
    pattern_of(
        messages::UnresponsiveCpu::TEXT,
        &[("cpu", &cpu.to_string())],
    )
}

/// A pattern for the line that says that a CPU runs again.
pub(super) fn recovered(cpu: u32) -> String {
    pattern_of(messages::CpuRecovered::TEXT, &[("cpu", &cpu.to_string())])
}

/// Ensures the same of a report on a hard lockup: the stack is that of the stuck
/// CPU, got by NMI if there are any, and has this function on it.
pub(super) fn hard_well_formed(report: &Report<HardLockup>, comm: &str, function: &str) -> Verdict {
    let cpu = report.cpu;
    let second = report.lines.get(1).map_or("", String::as_str);
    ensure!(
        matches!(
            Message::parse(second),
            Some(Message::Vigil(Vigil::HardLockupEvidence { cpu: of, evidence, .. }))
                if of == cpu && evidence == machine::evidence()
        ),
        "second line {second:?}"
    );
    ensure!(
        report.finder.is_some_and(|finder| finder != cpu),
        "found by itself: {report:#?}"
    );
    if !machine::has_nmi() {
        return Ok(());
    }
    report.in_order(&[
        "hard LOCKUP",
        "Modules linked in: ",
        &format!("NMI backtrace for cpu {cpu}"),
        &format!("CPU: {cpu} UID: 0 PID: "),
        machine::registers()[0],
        machine::call_trace(),
        "+0x",
    ])?;
    // On the stack, or where it is right now: that line is not repeated there.
    ensure!(
        report.mentions(&format!("{function}+0x")),
        "not in {function}: {report:#?}"
    );
    ensure!(
        report.mentions(&format!(" Comm: {comm} ")),
        "not {comm}: {report:#?}"
    );
    Ok(())
}

/// What vigil's status says of the in-tree detector of hard lockups: on a kernel that has it, it is
/// off where it finds no counter.
pub(super) fn in_tree(vm: &Vm) -> &'static str {
    match vm.read("/proc/sys/kernel/nmi_watchdog").as_deref() {
        Ok("0\n") => "off",
        Ok(_) => "on",
        Err(_) => "not_built_in",
    }
}

/// The kernel's taint has that letter.
pub(super) fn tainted_by_soft_lockup(vm: &Vm) -> anyhow::Result<bool> {
    let taint: u64 = vm.read("/proc/sys/kernel/tainted")?.trim().parse()?;
    Ok(taint & 1 << 14 != 0)
}

/// `(soft, hard, not run)`: how many reports vigil's status counts, without those that [`Words::of`]
/// passes over.
pub(super) fn counts(vm: &Vm) -> anyhow::Result<(u64, u64, u64)> {
    let status = Status::read(vm)?;
    let log = log_of(&vm.dmesg()?)?;
    let passed_over = log
        .soft_lockups()
        .filter(|(_, lockup)| is_rcu_waiting(lockup))
        .count();
    Ok((
        status
            .number(key::softlockup::REPORTS)?
            .saturating_sub(u64::try_from(passed_over)?),
        status.number(key::hardlockup::REPORTS)?,
        status.number(key::hardlockup::UNRESPONSIVE_CPU_REPORTS)?,
    ))
}
