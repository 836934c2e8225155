// SPDX-License-Identifier: GPL-2.0
//! A panic that leaves a dump, and what can be read from it on the host: the panic
//! line, vigil's report, and the record of incidents, by scripts/vmcore-report and
//! without debug information.

use super::{
    hung_stall::{headline, wait_for, Stall, PROVOKE, SOON},
    lockup_pause::NO_ASKING,
    lockup_stall::{self, Lockup},
    reports::panicked,
};
use crate::prelude::*;
use serde::Deserialize;
use std::{env, fs, path::Path, process::Command};
use vigil_klog::{Finding, Log};
use vigil_vm::{Dump, DumpError};

/// What the kernel must have been built with to leave a dump.
const NEEDS: &str = "CONFIG_CRASH_DUMP";

pub(crate) fn scenarios() -> Vec<Scenario> {
    let scenario = |name, run: fn(&Cx) -> Verdict| Scenario::new(name, run).needs(NEEDS);
    vec![
        scenario("hard_lockup", hard_lockup).not_with_strict_rcu(),
        scenario("soft_lockup", soft_lockup).all(),
        scenario("hung_task", hung_task).all(),
        scenario("host_dump", host_dump).limit(secs(300)).all(),
        scenario("names_the_culprit", names_the_culprit)
            .only_on(Arch::X86_64, NO_ASKING)
            .limit(secs(300))
            .all(),
        scenario("says_where_tasks_run", says_where_tasks_run)
            .limit(secs(300))
            .all(),
        scenario("no_crash_kernel", no_crash_kernel).all(),
        scenario("capture_fails", capture_fails).all(),
        scenario("no_panic", no_panic).all(),
        scenario("unloaded_meanwhile", unloaded_meanwhile).all(),
        scenario("post_notifiers", post_notifiers).all(),
        scenario("panic_timeout", panic_timeout).all(),
    ]
}

/// What scripts/vmcore-report says of vigil's record.
#[derive(Debug, Deserialize)]
struct Record {
    comes_down_to: Option<String>,
    release: String,
    begun: u64,
    being_written: u64,
    incidents: Vec<Incident>,
}

#[derive(Debug, Deserialize)]
struct Incident {
    number: u64,
    kind: String,
    cpu: u32,
    pid: i64,
    comm: String,
    ns_pid: Option<i32>,
    cgroup: Option<String>,
    finder: u32,
    found_ns: u64,
    start_ns: u64,
    age_ns: u64,
    wall_ns: i64,
    lock: Option<String>,
    lock_address: u64,
    owner_pid: u32,
    owner_comm: String,
    panic: bool,
    culprit: Option<Culprit>,
    stack: Vec<Frame>,
}

#[derive(Debug, Deserialize)]
struct Culprit {
    kind: String,
    cpu: Option<u32>,
    pid: i64,
    comm: String,
    count: u32,
    depth: u32,
    address: u64,
    cgroup: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Frame {
    symbol: String,
}

/// A guest that is ready to leave a dump, with both modules.
fn guest(cx: &Cx, append: &str, parameters: &str) -> anyhow::Result<Vm> {
    let vm = cx.boot_with(cx.config().kdump().append(append))?;
    vm.load(parameters)?;
    vm.insmod("vigil_provoke.ko", "")?;
    // What the kernel frees after it has loaded a module makes CPUs wait.
    vm.sh_ok("sleep 1")?;
    Ok(vm)
}

/// Runs scripts/vmcore-report on a dump.
fn vmcore_report(arguments: &[&str], files: &[&Path]) -> anyhow::Result<String> {
    let top = env::var_os("VIGIL_TOP").context("VIGIL_TOP is not set: see scripts/vm")?;
    let script = Path::new(&top).join("scripts/vmcore-report");
    let output = Command::new(&script)
        .args(arguments)
        .args(files)
        .output()
        .with_context(|| script.display().to_string())?;
    ensure!(
        output.status.success(),
        "vmcore-report {arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// What is true of every dump: the log has the panic and, before it, the report, and
/// the record has the one incident that was fatal. Returns that.
fn story(
    vm: &Vm,
    dump: &Dump,
    panic: &str,
    is_report: impl Fn(&Finding) -> bool,
) -> anyhow::Result<Incident> {
    ensure!(dump.panic.contains(panic), "{}", dump.panic);
    let log = vmcore_report(&["--dmesg"], &[&dump.vmcore])?;
    panicked(&log, panic)?;
    let reports = Log::parse(&LogLine::parse_text(&log)).reports;
    let said = reports
        .iter()
        .position(|report| matches!(report.finding, Finding::Panic(_)));
    let reported = reports
        .iter()
        .position(|report| report.is_vigil() && is_report(&report.finding));
    ensure!(
        reported.is_some() && reported < said,
        "no report before the panic:\n{log}"
    );
    let json = vmcore_report(&["--json"], &[&dump.vmcore])?;
    let record: Record = serde_json::from_str(&json).with_context(|| json.clone())?;
    let release = vm.artifacts().release().unwrap_or_default();
    ensure!(
        record.release == release && record.being_written == 0,
        "{json}"
    );
    ensure!(record.begun == 1, "{json}");
    let [incident]: [Incident; 1] = record
        .incidents
        .try_into()
        .map_err(|_| anyhow!("not one incident: {json}"))?;
    ensure!(incident.number == 1 && incident.panic, "{json}");
    ensure!(
        incident.age_ns > 0
            && incident.start_ns < incident.found_ns
            && incident.age_ns <= incident.found_ns,
        "{json}"
    );
    // 2020: the guest has its host's time.
    ensure!(incident.wall_ns > 1_577_836_800_000_000_000, "{json}");

    let text = vmcore_report(&[], &[&dump.vmcore])?;
    for words in [
        format!("Kernel panic - not syncing: {panic}"),
        format!("#1 {}: ", incident.kind),
        "a panic was decided on for it".into(),
        format!("linux-image-{release}-dbg"),
    ] {
        ensure!(text.contains(&words), "no '{words}' in the report:\n{text}");
    }
    Ok(incident)
}

/// What the record has to say of a CPU that is stuck in one of `vigil_provoke`'s
/// threads.
fn stuck(incident: &Incident, kind: &str, pids: &[u32], comm: &str) -> Verdict {
    ensure!(
        incident.kind == kind && incident.cpu == 1 && incident.comm == comm,
        "{incident:#?}"
    );
    ensure!(
        pids.iter().any(|pid| i64::from(*pid) == incident.pid),
        "not one of {pids:?}: {incident:#?}"
    );
    ensure!(
        incident.lock.is_none() && incident.owner_pid == 0 && incident.culprit.is_none(),
        "{incident:#?}"
    );
    Ok(())
}

/// A CPU with interrupts off, found by its neighbour or, where cycles can be counted,
/// by itself, in a guest with these words on its command line.
fn hard_lockup_with(cx: &Cx, append: &str, parameters: &str) -> anyhow::Result<(Dump, Incident)> {
    let vm = guest(cx, append, parameters)?;
    vm.arm_kdump("")?;
    let pids = Lockup::start(&vm, "irqs_off cpu=1 ms=100000")?.pids(&vm)?;
    let dump = vm.wait_dump(SOON)?;
    let incident = story(
        &vm,
        &dump,
        "Hard LOCKUP",
        |found| matches!(found, Finding::HardLockup(lockup) if lockup.cpu == 1),
    )?;
    if machine::has_nmi() {
        stuck(&incident, "hard lockup", &pids, "prov_irqs/1")?;
    }
    Ok((dump, incident))
}

fn hard_lockup(cx: &Cx) -> Verdict {
    let (dump, incident) = hard_lockup_with(cx, "", "watchdog_thresh=2 hardlockup_panic=1")?;
    let finder = u32::from(machine::arch() == Arch::Aarch64 && machine::has_nmi());
    ensure!(
        incident.finder == finder && incident.cpu == 1,
        "{incident:#?}"
    );
    Ok(dump.remove()?)
}

/// A CPU with preemption off.
fn soft_lockup(cx: &Cx) -> Verdict {
    let vm = guest(cx, "", "watchdog_thresh=1 softlockup_panic=1")?;
    vm.arm_kdump("")?;
    let pids = Lockup::start(&vm, "preempt_off cpu=1 ms=100000")?.pids(&vm)?;
    let dump = vm.wait_dump(SOON)?;
    let name = format!("prov_preempt/1:{}", pids[0]);
    let incident = story(
        &vm,
        &dump,
        "softlockup: hung tasks",
        |found| matches!(found, Finding::SoftLockup(lockup) if lockup.task.to_string() == name),
    )?;
    stuck(&incident, "soft lockup", &pids, "prov_preempt/1")?;
    ensure!(incident.finder == 1, "{incident:#?}");
    Ok(dump.remove()?)
}

/// A task behind a mutex, with its owner.
fn hung_task(cx: &Cx) -> Verdict {
    let vm = guest(cx, "", "hung_task_timeout_secs=3 hung_task_panic=1")?;
    vm.arm_kdump("")?;
    let stall = Stall::start(&vm, r"mutex secs=1000 name=\x1b%s\xffx")?;
    let dump = vm.wait_dump(SOON)?;
    let incident = story(
        &vm,
        &dump,
        "hung_task: blocked tasks",
        |found| matches!(found, Finding::HungTask(task) if task.seconds == 3),
    )?;
    ensure!(
        incident.kind == "hung task"
            && incident.pid == i64::from(stall.victim())
            && incident.comm == r"\x1b%s\xffx",
        "{incident:#?}"
    );
    ensure!(
        incident.lock.as_deref() == Some("mutex")
            && incident.lock_address != 0
            && incident.owner_pid == stall.holder
            && incident.owner_comm == format!("prov_hold/{}", stall.id),
        "{incident:#?}"
    );
    // The lock's own functions count as the scheduler's, which the kernel leaves out.
    let calls = |name: &str| {
        let begin = format!("{name}+");
        let mut frames = incident.stack.iter();
        frames.any(|frame| frame.symbol.starts_with(&begin))
    };
    ensure!(calls("kthread"), "{incident:#?}");

    if vm.artifacts().kernel_has("CONFIG_DEBUG_INFO_NONE") {
        return Ok(dump.remove()?);
    }
    // With debug information there are names of modules' functions, and whole stacks.
    let vmlinux = vm.artifacts().file("vmlinux");
    let vmlinux =
        vmlinux.context("no vmlinux in the artifacts folder: scripts/test puts one there")?;
    let text = vmcore_report(&[], &[&dump.vmcore, &vmlinux])?;
    let (record, stacks) = text.split_once("The hung task: ").context("no stack")?;
    let (victim, rest) = stacks
        .split_once("The lock's likely owner: ")
        .context("no owner")?;
    let (owner, cpus) = rest.split_once("All CPUs' stacks").context("no CPUs")?;
    for (part, words) in [
        (record, "  mutex_victim+"),
        (victim, "__mutex_lock "),
        (victim, "mutex_victim+"),
        (owner, "wait_for_completion_interruptible "),
        (owner, "mutex_holder+"),
        (cpus, "CPU 0, task "),
        (cpus, "CPU 1, task "),
        (cpus, "__crash_kexec "),
    ] {
        ensure!(
            part.contains(words),
            "no '{words}' where it belongs:\n{text}"
        );
    }
    ensure!(!text.contains("Missing: "), "{text}");
    Ok(dump.remove()?)
}

/// A guest that hangs is dumped by its host, which knows nothing of its kernel unless that
/// hands over where VMCOREINFO is: all can be read all the same, in each format.
fn host_dump(cx: &Cx) -> Verdict {
    host_dump_of(cx, |config| config, "")?;
    let artifacts = Artifacts::from_env()?;
    let Some(module) = artifacts.stock_module("qemu_fw_cfg.ko") else {
        return Ok(());
    };
    let with_device = |config: Config| {
        config
            .qemu_args(["-device", "vmcoreinfo"])
            .files([module.clone()])
    };
    host_dump_of(cx, with_device, "insmod /vm/qemu_fw_cfg.ko")
}

/// The same with one guest, made of this configuration and prepared by this script.
fn host_dump_of(cx: &Cx, config: impl FnOnce(Config) -> Config, prepare: &str) -> Verdict {
    let vm = cx.boot_with(config(cx.config().mem_mib(512)))?;
    vm.sh_ok(prepare)?;
    vm.load("hung_task_timeout_secs=0")?;
    vm.insmod("vigil_provoke.ko", "")?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex secs=1000")?;
    move_to(&vm, stall.victim(), "/web")?;
    vm.set_knob("hung_task_timeout_secs", 3)?;
    vm.wait_log_after(mark, &headline(Some(stall.victim())), SOON)?;
    let release = vm.artifacts().release().unwrap_or_default();
    for format in [
        qmp::DumpGuestMemoryFormat::elf,
        qmp::DumpGuestMemoryFormat::kdump_zlib,
    ] {
        let file = vm
            .artifacts()
            .dumps()
            .join(format!("host-{format:?}.vmcore"));
        // One that a failed run has left is not overwritten.
        if file.exists() {
            fs::remove_file(&file)?;
        }
        vm.host_dump(&file, format)?;
        let json = vmcore_report(&["--json"], &[&file])?;
        let record: Record = serde_json::from_str(&json).with_context(|| json.clone())?;
        ensure!(record.release == release && record.begun == 1, "{json}");
        let incident = record.incidents.first().context("no incident")?;
        ensure!(
            incident.kind == "hung task"
                && incident.pid == i64::from(stall.victim())
                && incident.owner_pid == stall.holder
                && incident.cgroup.as_deref() == Some("/web")
                && incident.ns_pid.is_none()
                && !incident.panic,
            "{json}"
        );
        let mut frames = incident.stack.iter();
        ensure!(
            frames.any(|frame| frame.symbol.starts_with("kthread+")),
            "{json}"
        );
        let text = vmcore_report(&[], &[&file])?;
        for words in [
            "\n  the log has no panic\n",
            "\n  it did not crash; its log ends at [",
            "\n  #1 hung task: ",
            "INFO: task prov_mutex/0:",
            "\n     the task is in cgroup /web\n",
        ] {
            ensure!(text.contains(words), "no '{words}' in the report:\n{text}");
        }
        fs::remove_file(&file)?;
    }
    stall.end(&vm)?;
    Ok(())
}

/// The panic is for the soft lockup of CPU 1, which waits for CPU 3 to run a function: the record
/// says so, and that is what `vmcore-report` begins with. Before that the same for a task that another
/// one waits behind.
fn names_the_culprit(cx: &Cx) -> Verdict {
    let vm = lockup_stall::guest_of(
        cx,
        cx.config().cpus(4).mem_mib(512),
        "watchdog_thresh=1 hung_task_timeout_secs=3",
    )?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex secs=1000")?;
    vm.wait_log_after(mark, &headline(Some(stall.victim())), SOON)?;
    let (text, record) = record_of_host(&vm, "hung")?;
    let incident = record.incidents.last().context("no incident")?;
    let culprit = incident.culprit.as_ref().context("no culprit")?;
    ensure!(
        culprit.kind == "task"
            && culprit.pid == i64::from(stall.holder)
            && culprit.comm == format!("prov_hold/{}", stall.id)
            && culprit.count == 1
            && culprit.depth == 1
            && culprit.address == incident.lock_address,
        "{incident:#?}"
    );
    let words = "; 1 hung task waits behind it for the lock at ";
    ensure!(text.contains(words), "no '{words}' in:\n{text}");
    stall.end(&vm)?;

    // It stays as the panic left it, to be dumped.
    vm.sh_ok("sysctl -q kernel.panic=0 vigil.softlockup_panic=1")?;
    Lockup::start(&vm, "ipi_wait cpu=1 target=3 ms=100000")?;
    // Not panicked(): a kernel that does not reboot names its panic once more, at the end.
    let console = vm.wait_panic(SOON)?;
    ensure!(
        console.contains("Kernel panic - not syncing: softlockup: hung tasks"),
        "{console}"
    );
    let (text, record) = record_of_host(&vm, "culprit")?;
    let incident = record.incidents.iter().find(|incident| incident.panic);
    let incident = incident.context("no fatal incident")?;
    ensure!(
        incident.kind == "soft lockup" && incident.cpu == 1,
        "{incident:#?}"
    );
    let culprit = incident.culprit.as_ref().context("no culprit")?;
    // With KASAN its functions run most of the time, and the registers need not have the request.
    let is_sure = !vm.artifacts().kernel_has("CONFIG_KASAN");
    ensure!(
        (culprit.kind == "CPU that has to run a function"
            || !is_sure && culprit.kind == "CPU that may have to run a function for it")
            && culprit.cpu == Some(3)
            && culprit.comm == "prov_ipi/3"
            && culprit.depth == 1
            && culprit.address != 0,
        "{incident:#?}"
    );
    let sentence = record.comes_down_to.unwrap_or_default();
    ensure!(
        sentence.starts_with("CPU 3, which had taken no timer interrupt for ")
            && sentence.contains(" s, runs prov_ipi/3:")
            && (sentence.contains("; CPU 1 waits for it to run ")
                || !is_sure && sentence.contains("; CPU 1 may wait for it to run ")),
        "{sentence}"
    );
    let begin = format!("What it comes down to: {sentence}\n");
    ensure!(text.starts_with(&begin), "{text}");
    Ok(())
}

const CGROUPS: &str = "/sys/fs/cgroup";

/// Makes a cgroup, and moves a task there.
fn move_to(vm: &Vm, pid: u32, group: &str) -> Verdict {
    vm.sh_ok(&format!(
        "mkdir -p {CGROUPS}{group} && echo {pid} > {CGROUPS}{group}/cgroup.procs"
    ))?;
    Ok(())
}

/// The record has the cgroup of a hung task, and its PID in a PID namespace of its own; the cgroup of the
/// task that hung tasks wait behind; and that of a task which a soft lockup has found, as its report
/// has.
fn says_where_tasks_run(cx: &Cx) -> Verdict {
    let vm = lockup_stall::guest_of(
        cx,
        cx.config().cpus(2).mem_mib(512),
        "watchdog_thresh=1 hung_task_timeout_secs=0 hung_task_report=grouped",
    )?;
    let held = Stall::start(&vm, "mutex secs=1000")?;
    move_to(&vm, held.holder, "/db")?;
    // Above the 128 bytes of the record.
    let pod = "p".repeat(100);
    let (inside, _job) = Stall::block_by(
        &vm,
        |block| {
            format!(
                "mkdir -p {CGROUPS}/kube/{pod}/last-of-all-the-names-of-this-pod
                echo 0 > {CGROUPS}/kube/{pod}/last-of-all-the-names-of-this-pod/cgroup.procs
                unshare --pid --fork --mount-proc dash -c \"true & wait; ({block}); true\""
            )
        },
        "completion",
    )?;
    let mark = vm.mark()?;
    vm.set_knob("hung_task_timeout_secs", 3)?;
    vm.wait_log_after(mark, &headline(Some(held.victim())), SOON)?;
    vm.wait_log_after(mark, &headline(Some(inside.victim())), SOON)?;
    vm.set_knob("hung_task_timeout_secs", 0)?;
    let mark = vm.mark()?;
    let job = vm.spawn(&format!(
        "mkdir {CGROUPS}/spin; echo 0 > {CGROUPS}/spin/cgroup.procs
        exec taskset -c 1 dash -c 'echo 4000 > {PROVOKE}/spin_me'"
    ))?;
    let line = r"^vigil: task dash:\d+ is in cgroup /spin$";
    vm.wait_log_after(mark, line, SOON)?;
    wait_for(&vm, SOON, "the end of the lockup", || {
        Ok(job.ended().then_some(()))
    })?;
    let (text, record) = record_of_host(&vm, "where")?;
    let of = |is_it: &dyn Fn(&Incident) -> bool| {
        let mut incidents = record.incidents.iter();
        incidents
            .find(|incident| is_it(incident))
            .with_context(|| format!("{record:#?}"))
    };
    let behind = of(&|incident| incident.pid == i64::from(held.victim()))?;
    let root = behind.culprit.as_ref().context("no culprit")?;
    ensure!(
        behind.cgroup.is_none()
            && behind.ns_pid.is_none()
            && root.pid == i64::from(held.holder)
            && root.cgroup.as_deref() == Some("/db"),
        "{behind:#?}"
    );
    let contained = of(&|incident| incident.pid == i64::from(inside.victim()))?;
    let end = format!("...{}/last-of-all-the-names-of-this-pod", &pod[..94]);
    ensure!(
        contained.cgroup.as_ref() == Some(&end) && contained.ns_pid.is_some_and(|pid| pid > 1),
        "not {end}: {contained:#?}"
    );
    let spinning = of(&|incident| incident.kind == "soft lockup")?;
    ensure!(
        spinning.cgroup.as_deref() == Some("/spin") && spinning.comm == "dash",
        "{spinning:#?}"
    );
    for words in [
        &format!(" of its PID namespace, in cgroup {end}\n"),
        "\n     the task is in cgroup /spin\n",
    ] {
        ensure!(text.contains(words), "no '{words}' in:\n{text}");
    }
    ensure!(
        text.starts_with("What it comes down to: ")
            && text
                .lines()
                .next()
                .is_some_and(|line| line.contains(" is in cgroup /spin")),
        "{text}"
    );
    Ok(())
}

/// What `vmcore-report` says of a guest that its host dumps now, and the record.
fn record_of_host(vm: &Vm, name: &str) -> anyhow::Result<(String, Record)> {
    let file = vm.artifacts().dumps().join(format!("{name}.vmcore"));
    if file.exists() {
        fs::remove_file(&file)?;
    }
    vm.host_dump(&file, qmp::DumpGuestMemoryFormat::elf)?;
    let json = vmcore_report(&["--json"], &[&file])?;
    let text = vmcore_report(&[], &[&file])?;
    fs::remove_file(&file)?;
    let record = serde_json::from_str(&json).with_context(|| json.clone())?;
    Ok((text, record))
}

/// With no crash kernel loaded it is said that none started.
fn no_crash_kernel(cx: &Cx) -> Verdict {
    let vm = guest(cx, "", "watchdog_thresh=1 hardlockup_panic=1")?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=100000")?;
    match vm.wait_dump(SOON) {
        Err(DumpError::NoCrashKernel { how, tail }) => {
            ensure!(
                how.contains("reset or ended") && !tail.is_empty(),
                "{how}; {tail}"
            );
            Ok(())
        }
        other => bail!("not what was expected: {other:?}"),
    }
}

/// A capture that fails says why.
fn capture_fails(cx: &Cx) -> Verdict {
    let vm = guest(cx, "", "watchdog_thresh=1 hardlockup_panic=1")?;
    vm.arm_kdump("vigil.capture_level=99")?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=100000")?;
    match vm.wait_dump(SOON) {
        Err(DumpError::CaptureFailed { said }) => {
            ensure!(said.contains("makedumpfile ended with status 1"), "{said}");
            ensure!(said.contains("Dump_level(99) is invalid"), "{said}");
            Ok(())
        }
        other => bail!("not what was expected: {other:?}"),
    }
}

/// Without a panic there is none, crash kernel or not, and the machine lives on.
fn no_panic(cx: &Cx) -> Verdict {
    let vm = guest(cx, "", "watchdog_thresh=1")?;
    vm.arm_kdump("")?;
    Lockup::start(&vm, "irqs_off cpu=1 ms=4000")?.wait(&vm)?;
    match vm.wait_dump(secs(2)) {
        Err(DumpError::NeverPanicked { .. }) => Ok(vm.sh_ok("true").map(drop)?),
        other => bail!("not what was expected: {other:?}"),
    }
}

/// The crash kernel that a panic needs is unloaded while the panic is being waited for:
/// there is none, and the detector goes on.
fn unloaded_meanwhile(cx: &Cx) -> Verdict {
    let vm = guest(
        cx,
        "",
        "hung_task_timeout_secs=2 hung_task_panic=1 panic_needs_kdump=1 panic_delay_ms=10000",
    )?;
    vm.arm_kdump("")?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex secs=1000")?;
    vm.wait_log_after(
        mark,
        &pattern_of(messages::PanicDelay::TEXT, &[("ms", "10000")]),
        SOON,
    )?;
    vm.sh_ok("LD_LIBRARY_PATH=/vm /vm/kexec -p -u")?;
    vm.wait_log_after(mark, &pattern(messages::PANIC_CANCELLED), SOON)?;
    vm.wait_log_after(mark, &pattern(messages::NO_PANIC), SOON)?;
    let mark = vm.mark()?;
    let other = Stall::start(&vm, "mutex secs=1000")?;
    vm.wait_log_after(mark, &headline(Some(other.victim())), SOON)?;
    vm.wait_log_after(mark, &pattern(messages::NO_PANIC), SOON)?;
    stall.end(&vm)?;
    other.end(&vm)
}

/// With `crash_kexec_post_notifiers` the kernel runs the panic notifiers first, and
/// there is a dump all the same.
fn post_notifiers(cx: &Cx) -> Verdict {
    let (dump, _) = hard_lockup_with(
        cx,
        "crash_kexec_post_notifiers",
        "watchdog_thresh=1 hardlockup_panic=1",
    )?;
    Ok(dump.remove()?)
}

/// Without a crash kernel the machine reboots after `panic_timeout` seconds, and not
/// before.
fn panic_timeout(cx: &Cx) -> Verdict {
    let vm = guest(cx, "", "hung_task_timeout_secs=2 hung_task_panic=1")?;
    vm.sh_ok("sysctl -q kernel.panic=12")?;
    Stall::start(&vm, "mutex secs=1000")?;
    let announced = wait_for(&vm, SOON, "the panic", || {
        let text = vm.console().text();
        let there = text.contains("Rebooting in 12 seconds..");
        Ok(there.then(Instant::now))
    })?;
    match vm.wait_dump(SOON) {
        Err(DumpError::NoCrashKernel { how, .. }) => {
            ensure!(how.contains("reset or ended"), "{how}");
        }
        other => bail!("not what was expected: {other:?}"),
    }
    // The word may have been seen late, the end of the machine not early.
    let waited = announced.elapsed();
    ensure!(waited > secs(2), "rebooted after {waited:?}");
    Ok(())
}
