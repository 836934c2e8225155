// SPDX-License-Identifier: GPL-2.0
//! `metrics`: what an exporter wants to know, as Prometheus' text format or as OpenMetrics.
//!
//! Names and labels are stable. They are the same in both formats, which differ in the lines above the
//! samples: of a counter, OpenMetrics names the family without `_total`.

use crate::{
    failure::Failure,
    incident::{Kind, Nanos, State},
    netlink::Connection,
    sources,
    status::Status,
};
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::{
    collections::BTreeMap, fmt::Write as _, fs, io::Write as _, os::unix::fs::PermissionsExt,
    path::Path,
};
use vigil_logic::messages::{status as key, Key};

/// The format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Prometheus' text format, as node_exporter's textfile collector reads it
    Prometheus,
    /// OpenMetrics 1.0
    Openmetrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Counter,
    Gauge,
    Info,
}

/// Samples of one name.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Type,
    samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Family {
    /// The unit, which is the end of the name.
    fn unit(&self) -> Option<&'static str> {
        self.name.ends_with("_seconds").then_some("seconds")
    }
}

/// What is known at one time.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// `None`: the module is not loaded, or has no netlink family.
    pub(crate) state: Option<State>,
    /// `None`: it cannot be read.
    pub(crate) status: Option<Status>,
    /// The counters and gauges among the knobs.
    pub(crate) knobs: BTreeMap<&'static str, u64>,
    /// The time that the hung-task thread has run.
    pub(crate) thread: Option<Nanos>,
    /// Whether the module is loaded.
    pub(crate) is_loaded: bool,
}

const COUNTS: [(&str, &str); 3] = [
    ("softlockup_count", "soft-lockup"),
    ("hardlockup_count", "hard-lockup"),
    ("unresponsive_cpu_count", "unresponsive-cpu"),
];
const GAUGES: [&str; 2] = ["hung_tasks_now", "stuck_cpus_now"];

impl Snapshot {
    /// Reads all there is to read.
    ///
    /// # Errors
    ///
    /// If the module is loaded and does not answer.
    pub(crate) fn take() -> Result<Self> {
        let (snapshot, error) = Self::take_partly();
        error.map_or(Ok(snapshot), Err)
    }

    /// Reads all there is to read, also if the module does not answer by netlink, which is then said: on
    /// a machine that hangs the rest is what matters.
    pub(crate) fn take_partly() -> (Self, Option<anyhow::Error>) {
        if !sources::is_loaded() {
            return (Self::default(), None);
        }
        let (state, error) =
            match Connection::to_module().and_then(|mut connection| connection.state()) {
                Ok(state) => (Some(state), None),
                Err(error) if error.is::<Failure>() => (None, None),
                Err(error) => (None, Some(error)),
            };
        let names = COUNTS.iter().map(|(name, _)| *name).chain(GAUGES);
        let knobs = names.chain(["hung_task_detect_count"]).filter_map(|name| {
            let value = sources::knob(name).ok()?.parse().ok()?;
            Some((name, value))
        });
        let snapshot = Self {
            state,
            status: sources::status().ok(),
            knobs: knobs.collect(),
            thread: thread_time(),
            is_loaded: true,
        };
        (snapshot, error)
    }

    fn families(&self) -> Vec<Family> {
        let mut all = vec![Family {
            name: "vigil_loaded",
            help: "Whether the module vigil is loaded.",
            kind: Type::Gauge,
            samples: vec![(Vec::new(), f64::from(u8::from(self.is_loaded)))],
        }];
        let mut add = |name, kind, help, samples: Vec<_>| {
            if !samples.is_empty() {
                all.push(Family {
                    name,
                    help,
                    kind,
                    samples,
                });
            }
        };
        let one = |value: Option<f64>| Vec::from_iter(value.map(|value| (Vec::new(), value)));
        if let Some(state) = &self.state {
            let of = |number: &dyn Fn(Option<&crate::incident::KindState>) -> f64| {
                let kinds = Kind::ALL.iter().map(|&kind| {
                    let state = state.kinds.iter().find(|state| state.kind == kind);
                    (vec![("kind", kind.to_string())], number(state))
                });
                kinds.collect::<Vec<_>>()
            };
            let version = ("version", state.version.clone());
            add(
                "vigil",
                Type::Info,
                "The module vigil.",
                vec![(vec![version], 1.0)],
            );
            add(
                "vigil_incidents",
                Type::Counter,
                "Incidents since the module was loaded.",
                of(&|kind| kind.map_or(0.0, |kind| kind.total as f64)),
            );
            add(
                "vigil_incidents_on",
                Type::Gauge,
                "Incidents that are on.",
                of(&|kind| kind.map_or(0.0, |kind| f64::from(kind.on))),
            );
            add(
                "vigil_oldest_incident_age_seconds",
                Type::Gauge,
                "Age of the oldest incident that is on; 0 if there is none.",
                of(&|kind| kind.and_then(|kind| kind.oldest).map_or(0.0, Nanos::secs)),
            );
            add(
                "vigil_events",
                Type::Counter,
                "Events on incidents: start, change and end.",
                one(Some(state.events as f64)),
            );
            add(
                "vigil_events_lost",
                Type::Counter,
                "Events that were lost before they could be sent.",
                one(Some(state.lost as f64)),
            );
        }
        let knob = |name| self.knobs.get(name).map(|&value| value as f64);
        let counted: Vec<_> = COUNTS
            .iter()
            .filter_map(|&(name, kind)| Some((vec![("kind", kind.to_owned())], knob(name)?)))
            .collect();
        add(
            "vigil_reports",
            Type::Counter,
            "Reports of stuck CPUs since the module was loaded; of a soft lockup one for each further threshold.",
            counted,
        );
        add(
            "vigil_hung_tasks_found",
            Type::Counter,
            "Hung tasks found, each stall counted once.",
            one(knob("hung_task_detect_count")),
        );
        add(
            "vigil_hung_tasks",
            Type::Gauge,
            "Tasks that are hung now, as of the last check.",
            one(knob("hung_tasks_now")),
        );
        add(
            "vigil_stuck_cpus",
            Type::Gauge,
            "CPUs that are stuck now.",
            one(knob("stuck_cpus_now")),
        );
        add(
            "vigil_hung_task_thread_cpu_seconds",
            Type::Counter,
            "CPU time of the thread that looks for hung tasks.",
            one(self.thread.map(Nanos::secs)),
        );
        let number = |key: Key| {
            let status = self.status.as_ref()?;
            status.number(key).map(|value| value as f64)
        };
        for (name, kind, help, key) in [
            (
                "vigil_hung_task_checks",
                Type::Counter,
                "Checks for hung tasks.",
                key::hung_task::CHECKS,
            ),
            (
                "vigil_hung_task_scans",
                Type::Counter,
                "Scans for sleeping tasks.",
                key::hung_task::SCANS,
            ),
            (
                "vigil_hung_task_scanned_tasks",
                Type::Counter,
                "Tasks looked at in scans.",
                key::hung_task::SCANNED_TASKS,
            ),
            (
                "vigil_hung_task_tracked_tasks",
                Type::Gauge,
                "Sleeping tasks that are tracked.",
                key::hung_task::TRACKED_TASKS,
            ),
            (
                "vigil_hung_task_table_overflows",
                Type::Counter,
                "Tasks that did not fit into the table of tracked tasks.",
                key::hung_task::TABLE_OVERFLOWS,
            ),
            (
                "vigil_hung_task_enabled",
                Type::Gauge,
                "Whether hung tasks are detected.",
                key::hung_task::ENABLED,
            ),
            (
                "vigil_softlockup_enabled",
                Type::Gauge,
                "Whether soft lockups are detected.",
                key::softlockup::ENABLED,
            ),
            (
                "vigil_hardlockup_enabled",
                Type::Gauge,
                "Whether hard lockups are detected.",
                key::hardlockup::ENABLED,
            ),
            (
                "vigil_crash_kernel_loaded",
                Type::Gauge,
                "Whether a crash kernel is loaded.",
                key::panic::CRASH_KERNEL_LOADED,
            ),
        ] {
            add(name, kind, help, one(number(key)));
        }
        let touches = [
            ("soft", key::softlockup::TOUCHES),
            ("hard", key::hardlockup::TOUCHES),
        ];
        let touches = touches
            .into_iter()
            .filter_map(|(kind, key)| Some((vec![("detector", kind.to_owned())], number(key)?)));
        add(
            "vigil_touches",
            Type::Counter,
            "Calls of slow code that reset a lockup detector.",
            touches.collect(),
        );
        let seconds = |key| number(key).map(|nanos| nanos / 1e9);
        add(
            "vigil_hung_task_longest_rcu_section_seconds",
            Type::Gauge,
            "Longest RCU read section of a scan.",
            one(seconds(key::hung_task::LONGEST_RCU_SECTION_NS)),
        );
        add(
            "vigil_hung_task_paused_seconds",
            Type::Counter,
            "Time that the machine did not run while tasks were tracked.",
            one(seconds(key::hung_task::PAUSED_NS)),
        );
        all
    }

    /// All of it as text.
    pub(crate) fn render(&self, format: Format) -> String {
        let mut text = String::new();
        for family in self.families() {
            render(&mut text, &family, format);
        }
        if format == Format::Openmetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

/// Writes a family. Writing to a string does not fail.
fn render(text: &mut String, family: &Family, format: Format) {
    let Family { name, help, .. } = family;
    let suffix = match family.kind {
        Type::Counter => "_total",
        Type::Gauge => "",
        Type::Info => "_info",
    };
    match format {
        Format::Openmetrics => {
            let kind = match family.kind {
                Type::Counter => "counter",
                Type::Gauge => "gauge",
                Type::Info => "info",
            };
            let _ = writeln!(text, "# TYPE {name} {kind}");
            if let Some(unit) = family.unit() {
                let _ = writeln!(text, "# UNIT {name} {unit}");
            }
            let _ = writeln!(text, "# HELP {name} {help}");
        }
        Format::Prometheus => {
            let kind = match family.kind {
                Type::Counter => "counter",
                Type::Gauge | Type::Info => "gauge",
            };
            let _ = writeln!(text, "# HELP {name}{suffix} {help}");
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        }
    }
    for (labels, value) in &family.samples {
        let _ = write!(text, "{name}{suffix}");
        let mut separator = '{';
        for (label, value) in labels {
            let _ = write!(text, "{separator}{label}=\"{}\"", escaped(value));
            separator = ',';
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

/// A label's value as both formats want it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

/// How long the hung-task thread has run, from its `schedstat`.
fn thread_time() -> Option<Nanos> {
    let entries = fs::read_dir("/proc").ok()?;
    let folders = entries.flatten().map(|entry| entry.path());
    for folder in folders {
        let is_it = fs::read(folder.join("comm")).is_ok_and(|comm| comm == b"vigild/hung\n");
        // Any program may have that name: a kernel thread has no program.
        if is_it && fs::read(folder.join("cmdline")).is_ok_and(|line| line.is_empty()) {
            let text = fs::read_to_string(folder.join("schedstat")).ok()?;
            return Some(Nanos(text.split(' ').next()?.parse().ok()?));
        }
    }
    None
}

/// Replaces a file by one with this text, so that a reader sees the one or the other. Without fsync(2),
/// which may hang as the machine does: after a crash the file is written anew.
///
/// # Errors
///
/// If its folder cannot be written to.
pub(crate) fn write_by_rename(path: &Path, text: &str) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = || format!("cannot write {}", path.display());
    let mut file = tempfile::Builder::new()
        .prefix(".vigil")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    // What the umask took away: the collector runs as another user.
    let mode = fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(mode).with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{incident::KindState, status};
    use openmetrics_parser::{openmetrics, prometheus};

    fn snapshot() -> Snapshot {
        let state = State {
            version: "0.1.0".to_owned(),
            events: 12,
            lost: 2,
            now: Nanos(5_000_000_000),
            kinds: vec![KindState {
                kind: Kind::HardLockup,
                total: 4,
                on: 1,
                oldest: Some(Nanos(2_500_000_000)),
            }],
        };
        let names = COUNTS.iter().map(|(name, _)| *name).chain(GAUGES);
        Snapshot {
            state: Some(state),
            status: Some(Status::parse(&status::tests::all()).unwrap()),
            knobs: names.chain(["hung_task_detect_count"]).zip(1..).collect(),
            thread: Some(Nanos(1_234_567_000)),
            is_loaded: true,
        }
    }

    #[test]
    fn openmetrics_is_valid() {
        for snapshot in [snapshot(), Snapshot::default()] {
            let text = snapshot.render(Format::Openmetrics);
            let parsed = openmetrics::parse_openmetrics(&text);
            let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(parsed.families.len(), snapshot.families().len());
        }
    }

    #[test]
    fn prometheus_is_valid() {
        for snapshot in [snapshot(), Snapshot::default()] {
            let text = snapshot.render(Format::Prometheus);
            let parsed = prometheus::parse_prometheus(&text);
            let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(parsed.families.len(), snapshot.families().len());
        }
    }

    #[test]
    fn samples() {
        let text = snapshot().render(Format::Prometheus);
        for line in [
            "vigil_loaded 1",
            "vigil_info{version=\"0.1.0\"} 1",
            "vigil_incidents_total{kind=\"hard-lockup\"} 4",
            "vigil_incidents_total{kind=\"hung-task\"} 0",
            "vigil_incidents_on{kind=\"hard-lockup\"} 1",
            "vigil_oldest_incident_age_seconds{kind=\"hard-lockup\"} 2.5",
            "vigil_events_lost_total 2",
            "vigil_hung_task_thread_cpu_seconds_total 1.234567",
            "# TYPE vigil_incidents_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let text = snapshot().render(Format::Openmetrics);
        assert!(
            text.contains("\n# TYPE vigil_incidents counter\n"),
            "{text}"
        );
        assert!(
            text.contains("\n# UNIT vigil_hung_task_thread_cpu_seconds seconds\n"),
            "{text}"
        );
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let gone = Snapshot::default().render(Format::Prometheus);
        assert!(gone.ends_with("\nvigil_loaded 0\n"), "{gone}");
    }

    /// For `scripts/metrics-check`.
    #[test]
    fn written_for_other_parsers() {
        if let Some(folder) = std::env::var_os("VIGIL_METRICS") {
            let folder = Path::new(&folder);
            for (name, format) in [
                ("vigil.prom", Format::Prometheus),
                ("vigil.openmetrics", Format::Openmetrics),
            ] {
                fs::write(folder.join(name), snapshot().render(format)).unwrap();
            }
        }
    }

    #[test]
    fn values_of_labels() {
        assert_eq!(escaped("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    }

    #[test]
    fn a_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vigil.prom");
        for text in ["one\n", "two\n"] {
            write_by_rename(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_by_rename(Path::new("/nowhere/at/all"), "").is_err());
    }
}
