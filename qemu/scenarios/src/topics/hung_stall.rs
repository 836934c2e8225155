// SPDX-License-Identifier: GPL-2.0
//! No topic: stalls made by `vigil_provoke`, and vigil's words on them, for the
//! topics about hung tasks.

use super::reports::{log_of, Report};
use crate::prelude::*;
use regex::Regex;
use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};
use vigil_klog::{texts, HungTask};

/// Where stalls are made.
pub(super) const PROVOKE: &str = "/sys/kernel/debug/vigil_provoke";

/// Real time for something that the guest does within a few seconds; generous.
pub(super) const SOON: Duration = secs(60);

/// Between two looks at something that sends no event, in real time.
const POLL: Duration = Duration::from_millis(100);

/// A guest with both modules; vigil gets these parameters.
pub(super) fn guest(cx: &Cx, parameters: &str) -> anyhow::Result<Vm> {
    let vm = cx.boot()?;
    vm.load(parameters)?;
    vm.insmod("vigil_provoke.ko", "")?;
    Ok(vm)
}

/// Has each hung task reported by itself, and again after each timeout, as mainline does.
pub(super) const MAINLINE: &str = "hung_task_report=mainline";

/// For how many seconds the machine did not run while tasks were tracked: no part of their age.
pub(super) fn paused(status: &Status) -> anyhow::Result<f64> {
    Ok(status.number(key::hung_task::PAUSED_NS)? as f64 / 1e9)
}

/// As [`guest`], for topics about mainline's lines for each hung task.
pub(super) fn mainline_guest(cx: &Cx, parameters: &str) -> anyhow::Result<Vm> {
    guest(cx, &format!("{MAINLINE} {parameters}"))
}

/// A stall that stands.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) id: u32,
    /// The stuck tasks, at most 64 of them.
    pub(super) victims: Vec<u32>,
    /// Who holds the lock; 0 for none.
    pub(super) holder: u32,
    /// Guest times between which the victims went to sleep.
    pub(super) after: f64,
    pub(super) before: f64,
}

impl Stall {
    /// Makes one: `what` is `KIND [key=value]...`. It lasts for as long as the
    /// guest unless `what` says otherwise.
    pub(super) fn start(vm: &Vm, what: &str) -> anyhow::Result<Self> {
        let (command, id) = command(what);
        let after = vm.uptime()?;
        vm.write(&format!("{PROVOKE}/run"), command.as_bytes())
            .with_context(|| command.clone())?;
        let before = vm.uptime()?;
        let (victims, holder) =
            standing(vm, id)?.with_context(|| format!("{command}: not standing"))?;
        Ok(Self {
            id,
            victims,
            holder,
            after,
            before,
        })
    }

    /// Makes one as [`Stall::start`] does; its first thread gets this pid.
    pub(super) fn start_as(vm: &Vm, pid: u32, what: &str) -> anyhow::Result<Self> {
        let (command, id) = command(what);
        let after = vm.uptime()?;
        // By one shell, which makes no process in between: the next one gets
        // the next number.
        let last = pid - 1;
        vm.sh_ok(&format!(
            "echo {last} > /proc/sys/kernel/ns_last_pid; echo '{command}' > {PROVOKE}/run"
        ))?;
        let before = vm.uptime()?;
        let (victims, holder) =
            standing(vm, id)?.with_context(|| format!("{command}: not standing"))?;
        Ok(Self {
            id,
            victims,
            holder,
            after,
            before,
        })
    }

    /// Has a user-space task block itself: a shell that has run `prepare`
    /// first. `what` is `KIND [key=value]...`.
    pub(super) fn block_shell(vm: &Vm, prepare: &str, what: &str) -> anyhow::Result<(Self, Job)> {
        Self::block_by(vm, |block| format!("{prepare}\n{block}"), what)
    }

    /// Has a user-space task block itself: a shell of a script, which is made from the command that
    /// blocks a shell.
    pub(super) fn block_by(
        vm: &Vm,
        script: impl Fn(&str) -> String,
        what: &str,
    ) -> anyhow::Result<(Self, Job)> {
        let (command, id) = command(what);
        let after = vm.uptime()?;
        let job = vm.spawn(&script(&format!("echo '{command}' > {PROVOKE}/block_me")))?;
        let (victims, holder) = wait_for(vm, SOON, &format!("{command} in block_me"), || {
            ensure!(!job.ended(), "{command}: the shell ended, {}", job.output());
            let active = vm.read(&format!("{PROVOKE}/active"))?;
            match active
                .lines()
                .any(|line| line.starts_with(&format!("{id} ")) && line.contains(" asleep=1 "))
            {
                true => standing(vm, id),
                false => Ok(None),
            }
        })?;
        let before = vm.uptime()?;
        Ok((
            Self {
                id,
                victims,
                holder,
                after,
                before,
            },
            job,
        ))
    }

    /// The first stuck task.
    pub(super) fn victim(&self) -> u32 {
        self.victims.first().copied().unwrap_or_default()
    }

    /// Ends it; the threads are gone afterwards.
    pub(super) fn end(&self, vm: &Vm) -> Verdict {
        Ok(vm.write(&format!("{PROVOKE}/end"), self.id.to_string().as_bytes())?)
    }
}

/// The line that makes a stall, with an id of its own, and that id.
fn command(what: &str) -> (String, u32) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let secs = if what.contains(" secs=") {
        ""
    } else {
        " secs=3600"
    };
    (format!("{what} id={id}{secs}"), id)
}

/// Victims and holder of the stall with this id, if it stands.
fn standing(vm: &Vm, id: u32) -> anyhow::Result<Option<(Vec<u32>, u32)>> {
    let active = vm.read(&format!("{PROVOKE}/active"))?;
    let Some(line) = active
        .lines()
        .find(|line| line.starts_with(&format!("{id} ")))
    else {
        return Ok(None);
    };
    let field = |key| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(key))
    };
    let victims = field("tasks=")
        .unwrap_or_default()
        .split(',')
        .filter_map(|pid| pid.parse().ok())
        .collect();
    let holder = field("holder=")
        .and_then(|pid| pid.parse().ok())
        .unwrap_or_default();
    Ok(Some((victims, holder)))
}

/// A task as reports call it: `comm:pid`.
pub(super) fn who(vm: &Vm, pid: u32) -> anyhow::Result<String> {
    let comm = vm.read(&format!("/proc/{pid}/comm"))?;
    Ok(format!("{}:{pid}", comm.trim_end_matches('\n')))
}

/// The number of a thread of vigil's, by its name.
pub(super) fn thread_pid(vm: &Vm, name: &str) -> anyhow::Result<String> {
    let pid = vm.sh_ok(&format!(
        "ps -e -o pid=,comm= | awk '$2 == \"{name}\" {{ print $1 }}'"
    ))?;
    Ok(pid.trim().to_owned())
}

/// Looks again and again until there is a result, for what sends no event.
pub(super) fn wait_for<T>(
    vm: &Vm,
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let limit = limit * machine::slowdown();
    let start = Instant::now();
    loop {
        if let Some(result) = look()? {
            return Ok(result);
        }
        ensure!(
            start.elapsed() < limit.min(vm.time_left()),
            "waited {limit:?} in vain for {what}"
        );
        thread::sleep(POLL);
    }
}

/// Why some scenarios are not for ARM: it has no suspend to RAM in QEMU, and the alarm
/// of its clock did not end a suspend to idle.
pub(super) const NO_WAKING: &str = "nothing wakes QEMU's other machines from suspend";

/// Lets a machine that goes to sleep sleep for so long, and wakes it up.
pub(super) fn wake_after(vm: &Vm, asleep: Duration) -> Verdict {
    wait_for(vm, SOON, "the machine to be asleep", || {
        let status = vm.qmp(&qmp::query_status {})?.status;
        Ok((status == qmp::RunState::suspended).then_some(()))
    })?;
    thread::sleep(asleep);
    vm.qmp(&qmp::system_wakeup {})?;
    Ok(())
}

/// A pattern for the first line of a report on any task, or on the one with this PID.
pub(super) fn headline(pid: Option<u32>) -> String {
    let pid = pid.map(|pid| pid.to_string());
    let values = pid.as_deref().map(|pid| ("pid", pid));
    vigil_klog::pattern(texts::HUNG_TASK, values.as_slice())
}

/// The reports on hung tasks in these lines. Programs' lines are passed over.
pub(super) fn reports(lines: &[LogLine]) -> anyhow::Result<Vec<Report<HungTask>>> {
    Ok(log_of(lines)?.hung_tasks().map(Report::new).collect())
}

impl Report<HungTask> {
    /// The tasks whose stacks it shows.
    pub(super) fn stacks(&self) -> Vec<u32> {
        let sleeping = self.dumps.iter().filter(|dump| dump.state.is_some());
        sleeping
            .filter_map(|dump| Some(dump.task.as_ref()?.pid))
            .collect()
    }

    /// Ensures what those who read logs by program rely on: the order of the
    /// first lines, and a call trace with frames soon after them.
    pub(super) fn well_formed(&self, vm: &Vm) -> Verdict {
        let release = vm.read("/proc/sys/kernel/osrelease")?;
        let line = |number: usize| self.lines.get(number).map_or("", String::as_str);
        let system = format!(
            r"^      (Not tainted|Tainted: [A-Z ]+) {} #\d+( .*)?$",
            regex::escape(release.trim_end())
        );
        ensure!(
            Regex::new(&system)?.is_match(line(1)),
            "second line {:?}",
            line(1)
        );
        ensure!(
            line(2) == texts::HUNG_TASK_DISABLE_VIGIL,
            "third line {:?}",
            line(2)
        );
        let trace = self
            .lines
            .iter()
            .take(15)
            .position(|line| line == machine::call_trace());
        let trace = trace.with_context(|| format!("no call trace in {self:#?}"))?;
        let frame = self
            .lines
            .iter()
            .skip(trace)
            .take(4)
            .any(|line| line.contains("__schedule+0x"));
        ensure!(frame, "no frames after the call trace's head in {self:#?}");
        Ok(())
    }

    /// Its lines without what differs between the two detectors.
    fn common_lines(&self, only_ours: &[String]) -> Vec<String> {
        let ours = |line: &String| line.starts_with("vigil: ") || only_ours.contains(line);
        self.lines
            .iter()
            .filter(|line| !ours(line))
            .map(|line| {
                line.replace("/proc/sys/vigil/", "/proc/sys/kernel/")
                    .replace(
                        &format!("more than {} seconds", self.seconds),
                        "more than N seconds",
                    )
            })
            .collect()
    }
}

/// The first report on that task.
pub(super) fn report_on(
    reports: &[Report<HungTask>],
    pid: u32,
) -> anyhow::Result<&Report<HungTask>> {
    reports
        .iter()
        .find(|report| report.task.pid == pid)
        .with_context(|| format!("no report on {pid}"))
}

/// Waits for a report on that task; returns its first line.
pub(super) fn wait_report(vm: &Vm, mark: Mark, pid: u32) -> anyhow::Result<LogLine> {
    Ok(vm.wait_log_after(mark, &headline(Some(pid)), SOON)?)
}

/// The first report on each task since `mark`, once there is one on all of these
/// and the look that gave it is over.
pub(super) fn first_reports(
    vm: &Vm,
    mark: Mark,
    pids: &[u32],
) -> anyhow::Result<Vec<Report<HungTask>>> {
    for &pid in pids {
        wait_report(vm, mark, pid)?;
    }
    finish_look(vm)?;
    let mut seen = HashSet::new();
    let mut reports = reports(&vm.dmesg_after(mark)?)?;
    reports.retain(|report| seen.insert(report.task.pid));
    Ok(reports)
}

/// As [`first_reports`], where nobody else may be reported.
pub(super) fn only_reports(
    vm: &Vm,
    mark: Mark,
    pids: &[u32],
) -> anyhow::Result<Vec<Report<HungTask>>> {
    let reports = first_reports(vm, mark, pids)?;
    ensure!(
        reports.len() == pids.len(),
        "other tasks are reported as well: {reports:#?}"
    );
    Ok(reports)
}

/// Waits until a look that began after the call has ended, with everything
/// that it had to say.
pub(super) fn finish_look(vm: &Vm) -> Verdict {
    let looks = || -> anyhow::Result<u64> {
        let status = Status::read(vm)?;
        let alone = status.number(key::hung_task::TRACKED_ONLY_CHECKS)?;
        Ok(status.number(key::hung_task::CHECKS)? + alone)
    };
    let before = looks()?;
    // One may have been going on at that moment.
    wait_for(vm, SOON, "two looks of vigil", || {
        Ok((looks()? >= before + 2).then_some(()))
    })
}

/// One call of a function by vigil's thread for hung tasks that takes long
/// (`qemu/provoke/delay.c`).
pub(super) struct Delay<'a>(&'a Vm);

impl<'a> Delay<'a> {
    /// Of the next call: `time` of the guest's clock.
    pub(super) fn of_next(vm: &'a Vm, function: &str, time: Duration) -> anyhow::Result<Self> {
        let delay = format!("{function} {} vigild/hung", time.as_millis());
        vm.write(&format!("{PROVOKE}/delay"), delay.as_bytes())?;
        Ok(Self(vm))
    }

    pub(super) fn wait_begun(&self) -> Verdict {
        self.wait("delaying")
    }

    pub(super) fn wait_over(&self) -> Verdict {
        self.wait("over")
    }

    fn wait(&self, state: &str) -> Verdict {
        wait_for(self.0, SOON, &format!("the delay to be {state}"), || {
            let now = self.0.read(&format!("{PROVOKE}/delay"))?;
            Ok((now.trim_end() == state).then_some(()))
        })
    }
}

/// Whether the kernel has khungtaskd.
pub(super) fn has_khungtaskd(vm: &Vm) -> bool {
    vm.artifacts().kernel_has("CONFIG_DETECT_HUNG_TASK")
}

/// Ensures that the in-tree detector, if the kernel has it, says the same of
/// these tasks as `ours`, but for the lines `only_ours`. Both detectors are
/// switched off afterwards.
pub(super) fn same_as_in_tree(vm: &Vm, ours: &[Report<HungTask>], only_ours: &[String]) -> Verdict {
    vm.set_knob("hung_task_timeout_secs", 0)?;
    if !has_khungtaskd(vm) {
        return Ok(());
    }
    let mark = vm.mark()?;
    let setting = |name: &str, value: i32| {
        vm.write(
            &format!("/proc/sys/kernel/hung_task_{name}"),
            value.to_string().as_bytes(),
        )
    };
    setting("warnings", -1)?;
    setting("check_interval_secs", 1)?;
    setting("timeout_secs", 1)?;
    // With its second report on a task the first one is complete.
    let theirs = wait_for(vm, SOON, "the in-tree detector", || {
        let theirs = reports(&vm.dmesg_after(mark)?)?;
        let twice = |pid| {
            theirs
                .iter()
                .filter(|report| report.task.pid == pid)
                .count()
                >= 2
        };
        Ok(ours
            .iter()
            .all(|report| twice(report.task.pid))
            .then_some(theirs))
    })?;
    setting("timeout_secs", 0)?;
    for report in ours {
        let their = theirs
            .iter()
            .find(|their| their.task.pid == report.task.pid)
            .context("no report")?;
        ensure!(their.is_in_tree(), "not in-tree: {their:#?}");
        let (ours, theirs) = (report.common_lines(only_ours), their.common_lines(&[]));
        ensure!(
            ours == theirs,
            "vigil said {ours:#?}\nand the in-tree detector {theirs:#?}"
        );
    }
    Ok(())
}
