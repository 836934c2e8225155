// SPDX-License-Identifier: GPL-2.0
//! `test`: makes a real stall with `vigil_provoke`, and says who saw it.
//!
//! Thresholds are made short and panics forbidden for the time of the test, and put back afterwards,
//! also after an error or a signal.

use crate::{
    failure::Failure,
    incident::{Happened, Kind},
    metrics::Snapshot,
    netlink::{Heard, Listener},
    signals::Stop,
    sources, style,
};
use anyhow::{anyhow, bail, Context, Result};
use clap::ValueEnum;
use nix::{
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    unistd::Pid,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, ErrorKind, IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};
use vigil_klog::{Detector, Finding, Log, LogLine};

const PROVOKE: &str = "/sys/kernel/debug/vigil_provoke";

/// How long a stall may take to be seen, and to be seen to end.
const LIMIT: Duration = Duration::from_secs(30);

/// A stall to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stall {
    /// A CPU that does not schedule for 4 seconds
    Soft,
    /// A CPU with interrupts off for 4 seconds
    Hard,
    /// A task that waits for a mutex for some seconds
    Hung,
}

impl Stall {
    fn kind(self) -> Kind {
        match self {
            Self::Soft => Kind::SoftLockup,
            Self::Hard => Kind::HardLockup,
            Self::Hung => Kind::HungTask,
        }
    }

    /// The gauge or counter that shows the stall to the detector's side.
    fn counter(self) -> &'static str {
        match self {
            Self::Soft => "softlockup_count",
            Self::Hard => "hardlockup_count",
            Self::Hung => "hung_task_detect_count",
        }
    }

    /// What `vigil_provoke` is told.
    fn command(self, cpu: usize) -> String {
        match self {
            Self::Soft => format!("preempt_off cpu={cpu} ms=4000"),
            Self::Hard => format!("irqs_off cpu={cpu} ms=4000"),
            Self::Hung => "mutex secs=60".to_owned(),
        }
    }

    /// The knobs for the time of the test.
    fn knobs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Soft | Self::Hard => &[
                ("softlockup_panic", "0"),
                ("hardlockup_panic", "0"),
                ("unresponsive_cpu_panic", "0"),
                ("watchdog_thresh", "1"),
            ],
            Self::Hung => &[
                ("hung_task_panic", "0"),
                ("hung_task_warnings", "-1"),
                ("hung_task_check_interval_secs", "1"),
                ("hung_task_timeout_secs", "2"),
            ],
        }
    }

    fn is_found_in(self, finding: &Finding) -> bool {
        match (self, finding) {
            (Self::Soft, Finding::SoftLockup(_)) | (Self::Hard, Finding::HardLockup(_)) => true,
            (Self::Hung, Finding::HungTask(hung)) => hung.task.comm.starts_with("prov_"),
            _ => false,
        }
    }
}

/// Knobs with values for a while; dropping it puts the old ones back, in reverse order.
struct Borrowed {
    old: Vec<(&'static str, String)>,
}

impl Borrowed {
    fn set(knobs: &[(&'static str, &str)]) -> Result<Self> {
        let mut this = Self { old: Vec::new() };
        for &(name, value) in knobs {
            let old = sources::knob(name)?;
            sources::set_knob(name, value).with_context(|| format!("cannot set {name}"))?;
            this.old.push((name, old));
        }
        Ok(this)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        for (name, value) in self.old.iter().rev() {
            if let Err(error) = sources::set_knob(name, value) {
                // No panic if nobody reads it: the others are to be set back.
                let _ = writeln!(
                    io::stderr(),
                    "vigilctl: cannot set {name} back to {value}: {error}"
                );
            }
        }
    }
}

/// `vigil_provoke`, loaded by us or by others; it is unloaded if we did.
struct Provoke {
    is_ours: bool,
}

impl Provoke {
    fn load(module: Option<&Path>) -> Result<Self> {
        let is_there = || Path::new(PROVOKE).join("run").exists();
        if is_there() {
            return Ok(Self { is_ours: false });
        }
        let mut command = match module {
            Some(path) => {
                let mut command = Command::new("insmod");
                command.arg(path);
                command
            }
            None => {
                let mut command = Command::new("modprobe");
                command.arg("vigil_provoke");
                command
            }
        };
        let output = command
            .output()
            .context("cannot load the module vigil_provoke")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("cannot load the module vigil_provoke: {}", said.trim());
        }
        let this = Self { is_ours: true };
        if !is_there() {
            bail!("there is no {PROVOKE}: is debugfs mounted on /sys/kernel/debug?");
        }
        Ok(this)
    }

    fn run(&self, command: &str) -> Result<()> {
        write_once(&Path::new(PROVOKE).join("run"), command)
            .with_context(|| format!("vigil_provoke does not make the stall '{command}'"))
    }

    fn end(&self) -> io::Result<()> {
        write_once(&Path::new(PROVOKE).join("end"), "all")
    }
}

impl Drop for Provoke {
    fn drop(&mut self) {
        // A stall that is there no more is no error.
        let _ = self.end();
        if self.is_ours {
            let _ = Command::new("rmmod").arg("vigil_provoke").status();
        }
    }
}

fn write_once(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// The kernel's log from now on.
struct Kmsg(File);

impl Kmsg {
    fn open() -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/kmsg");
        let mut file = file.context("cannot read /dev/kmsg")?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).context("cannot read /dev/kmsg")?;
        Ok(Self(file))
    }

    /// What has come.
    fn lines(&mut self) -> Vec<LogLine> {
        let (mut lines, mut record) = (Vec::new(), [0; 8192]);
        loop {
            match self.0.read(&mut record) {
                Ok(length) => lines.extend(record.get(..length).and_then(LogLine::parse_kmsg)),
                // Lines that were overwritten before they were read.
                Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return lines,
            }
        }
    }
}

/// Who saw the stall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    detector: bool,
    log: bool,
    start: bool,
    end: bool,
    metrics: bool,
}

impl Seen {
    fn rows(self) -> [(&'static str, bool); 5] {
        [
            ("the detector counted it", self.detector),
            ("the log has its report", self.log),
            ("netlink sent its start", self.start),
            ("netlink sent its end", self.end),
            ("the metrics moved", self.metrics),
        ]
    }

    fn all(self) -> bool {
        self.rows().into_iter().all(|(_, seen)| seen)
    }
}

/// Number of a kernel knob, if it has one.
fn kernel_knob(name: &str) -> Option<i64> {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
    text.trim().parse().ok()
}

/// Refuses a test that would make the kernel's own detectors panic.
fn in_tree_panics(stall: Stall, knob: impl Fn(&str) -> Option<i64>) -> Result<()> {
    let is_on = |name| knob(name).is_some_and(|value| value != 0);
    let short = |name, secs| knob(name).is_some_and(|value| (1..secs).contains(&value));
    let (panic, is_short) = match stall {
        Stall::Soft => ("softlockup_panic", short("watchdog_thresh", 3)),
        Stall::Hard => ("hardlockup_panic", short("watchdog_thresh", 6)),
        Stall::Hung => ("hung_task_panic", short("hung_task_timeout_secs", 30)),
    };
    if is_on(panic) && is_short {
        bail!("kernel.{panic} is set, with a threshold so short that this test would make a panic");
    }
    Ok(())
}

/// Asks on the terminal.
fn confirm(stall: Stall) -> Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("this makes a real stall: confirm it with --yes");
    }
    let what = match stall {
        Stall::Soft => "One CPU of this machine will run no task for 4 seconds.",
        Stall::Hard => "One CPU of this machine will take no interrupt for 4 seconds.",
        Stall::Hung => "A kernel thread of this machine will hang for some seconds.",
    };
    print!("{what} Go on? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Moves this program to one CPU, and returns another one to be stalled.
fn choose_cpu(stall: Stall) -> Result<usize> {
    let me = Pid::from_raw(0);
    let allowed = sched_getaffinity(me).context("cannot tell on which CPUs to run")?;
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu).unwrap_or(false))
        .collect();
    match (stall, cpus.as_slice()) {
        (Stall::Hung, _) | (_, []) => Ok(0),
        (Stall::Hard, [_]) => Err(anyhow!(
            "there is one CPU only: another one has to find its hard lockup"
        )),
        (Stall::Soft, [cpu]) => Ok(*cpu),
        (_, [mine, .., other]) => {
            let mut set = CpuSet::new();
            set.set(*mine).context("cannot choose a CPU")?;
            sched_setaffinity(me, &set).context("cannot stay on a CPU")?;
            Ok(*other)
        }
    }
}

/// What the test is told.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Without asking.
    pub(crate) yes: bool,
    /// The file of `vigil_provoke`, if it is not installed.
    pub(crate) module: Option<PathBuf>,
    /// The result as JSON.
    pub(crate) json: bool,
}

/// Makes the stall, and says who saw it. Returns whether all did.
///
/// # Errors
///
/// If the stall cannot be made.
pub(crate) fn run(stall: Stall, options: &Options, out: &mut dyn Write) -> Result<bool> {
    sources::ensure_loaded()?;
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::NotPermitted("only root can make a stall".to_owned()).into());
    }
    in_tree_panics(stall, kernel_knob)?;
    if !options.yes && !confirm(stall)? {
        bail!("nothing was done");
    }
    // From here on: a signal ends the question above.
    let stop = &Stop::on_signals()?;
    // Dropped last, also after an error: panics are not allowed again before the stall has ended.
    let knobs = Borrowed::set(stall.knobs())?;
    let provoke = Provoke::load(options.module.as_deref())?;
    let cpu = choose_cpu(stall)?;
    let seen = watch(stall, cpu, &provoke, stop)?;
    drop(provoke);
    drop(knobs);
    if stop.is_set() {
        bail!("interrupted");
    }
    let kind = stall.kind();
    if options.json {
        let rows = seen
            .rows()
            .map(|(what, seen)| (what.to_owned(), seen.into()));
        let map: serde_json::Map<String, serde_json::Value> = rows.into_iter().collect();
        writeln!(
            out,
            "{}",
            serde_json::json!({"kind": kind, "passed": seen.all(), "checks": map})
        )?;
    } else {
        writeln!(out, "{kind}:")?;
        for (what, seen) in seen.rows() {
            let (style, word) = if seen {
                (style::GOOD, "yes")
            } else {
                (style::BAD, "NO")
            };
            writeln!(out, "  {what:<26} {style}{word}{style:#}")?;
        }
    }
    Ok(seen.all())
}

/// The counters that are to move: the detector's, and those of the metrics.
fn counted(stall: Stall) -> Result<(u64, u64)> {
    let counter = sources::knob(stall.counter())?;
    let snapshot = Snapshot::take()?;
    let of_kind = snapshot.state.iter().flat_map(|state| &state.kinds);
    // A hung task may be one of a root cause.
    let kinds: &[Kind] = match stall {
        Stall::Hung => &[Kind::HungTask, Kind::RootCause],
        Stall::Soft => &[Kind::SoftLockup],
        Stall::Hard => &[Kind::HardLockup],
    };
    let total = of_kind
        .filter(|state| kinds.contains(&state.kind))
        .map(|state| state.total)
        .sum();
    Ok((counter.parse().unwrap_or(0), total))
}

fn watch(stall: Stall, cpu: usize, provoke: &Provoke, stop: &Stop) -> Result<Seen> {
    let mut listener = Listener::open()?;
    let mut kmsg = Kmsg::open()?;
    let before = counted(stall)?;
    if stop.is_set() {
        bail!("interrupted");
    }
    provoke.run(&stall.command(cpu))?;
    let mut seen = Seen::default();
    let (mut lines, mut id) = (Vec::new(), None);
    let end = Instant::now() + LIMIT;
    while !seen.all() && Instant::now() < end && !stop.is_set() {
        if listener.is_there() {
            if let Some(Heard::Event(event)) = listener.hear(Duration::from_millis(200))? {
                let is_kind = event.incident.kind == stall.kind()
                    || (stall == Stall::Hung && event.incident.kind == Kind::RootCause);
                let name = event.incident.task.as_ref();
                let is_ours =
                    stall != Stall::Hung || name.is_some_and(|task| task.comm.starts_with("prov_"));
                match event.happened {
                    Happened::Start if is_kind && is_ours && id.is_none() => {
                        seen.start = true;
                        id = Some(event.incident.id);
                        if stall == Stall::Hung {
                            thread::sleep(Duration::from_millis(200));
                        }
                    }
                    Happened::End if id == Some(event.incident.id) => seen.end = true,
                    _ => {}
                }
            }
        } else {
            thread::sleep(Duration::from_millis(200));
        }
        lines.extend(kmsg.lines());
        let log = Log::parse(&lines);
        seen.log = log.reports.iter().any(|report| {
            stall.is_found_in(&report.finding) && report.detector != Some(Detector::InTree)
        });
        let now = counted(stall)?;
        seen.detector = now.0 > before.0;
        seen.metrics = now.1 > before.1;
        // CPUs go on by themselves. Half of the time is left to see the end.
        let is_seen = seen.detector && seen.log;
        let is_late = end.saturating_duration_since(Instant::now()) < LIMIT / 2;
        if stall == Stall::Hung && (is_seen || is_late) {
            provoke.end().context("cannot end the stall")?;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_kernels_own_detectors() {
        let refused = |stall, values: &[(&str, i64)]| {
            let knob = |name: &str| {
                let mut values = values.iter();
                values
                    .find(|(knob, _)| *knob == name)
                    .map(|(_, value)| *value)
            };
            in_tree_panics(stall, knob).is_err()
        };
        assert!(!refused(Stall::Soft, &[]));
        assert!(!refused(
            Stall::Soft,
            &[("softlockup_panic", 1), ("watchdog_thresh", 10)]
        ));
        assert!(refused(
            Stall::Soft,
            &[("softlockup_panic", 1), ("watchdog_thresh", 1)]
        ));
        assert!(!refused(
            Stall::Hard,
            &[("softlockup_panic", 1), ("watchdog_thresh", 1)]
        ));
        assert!(refused(
            Stall::Hard,
            &[("hardlockup_panic", 1), ("watchdog_thresh", 3)]
        ));
        assert!(!refused(
            Stall::Hung,
            &[("hung_task_panic", 1), ("hung_task_timeout_secs", 0)]
        ));
        assert!(refused(
            Stall::Hung,
            &[("hung_task_panic", 1), ("hung_task_timeout_secs", 5)]
        ));
    }

    #[test]
    fn all_have_to_see_it() {
        let seen = Seen {
            detector: true,
            log: true,
            start: true,
            end: true,
            metrics: false,
        };
        assert!(!seen.all());
        assert!(Seen {
            metrics: true,
            ..seen
        }
        .all());
    }

    #[test]
    fn knobs_are_knobs() {
        for stall in [Stall::Soft, Stall::Hard, Stall::Hung] {
            let names = stall.knobs().iter().map(|(name, _)| *name);
            for name in names.chain([stall.counter()]) {
                let found = vigil_logic::knobs::KNOBS
                    .iter()
                    .any(|knob| knob.name == name);
                assert!(found, "{name}");
            }
        }
    }
}
