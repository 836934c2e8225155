// SPDX-License-Identifier: GPL-2.0
//! An incident, as every command has it: what `--json` prints is this, serialised.
//!
//! The keys are stable: those that are here stay, new ones may come. A key whose value is not known
//! is left out. The unit of a number is the end of its key; `began_s`, `found_s` and `ended_s` are on
//! the clock that stamps the kernel's log.

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use std::fmt;
use vigil_logic::fmt::Bytes;

/// Nanoseconds, which `--json` shows as seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanos(pub(crate) u64);

impl Nanos {
    /// As seconds. Exact to a microsecond for centuries.
    pub(crate) fn secs(self) -> f64 {
        (self.0 / 1000) as f64 / 1e6
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.secs())
    }
}

/// A time of day, which `--json` shows as RFC 3339 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wall(pub(crate) u64);

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i64::try_from(self.0).unwrap_or(i64::MAX);
        let time = DateTime::from_timestamp_nanos(nanos);
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A kernel address, which `--json` shows in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes from the kernel as text: what is not printable ASCII stands as `\xNN`, as in reports.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0);
    Bytes(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()).to_string()
}

/// Declares an enum of the protocol: variants with their numbers and names.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A number that this version of vigilctl does not know.
            Unknown(u32),
        }

        impl $name {
            /// Those that are known.
            #[allow(dead_code, reason = "not each of these enums is gone through")]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The one with this number.
            pub(crate) fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    number => Self::Unknown(number),
                }
            }

            /// Its number.
            #[allow(dead_code, reason = "for the tests")]
            pub(crate) fn number(self) -> u32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Unknown(number) => number,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.pad($text),)*
                    Self::Unknown(number) => f.pad(&format!("unknown-{number}")),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

numbered! {
    /// What was found.
    Kind {
        /// A hung task.
        HungTask = 1, "hung-task";
        /// A soft lockup.
        SoftLockup = 2, "soft-lockup";
        /// A hard lockup.
        HardLockup = 3, "hard-lockup";
        /// A CPU that does not run.
        UnresponsiveCpu = 4, "unresponsive-cpu";
        /// A root cause of hung tasks.
        RootCause = 5, "root-cause";
    }
}

numbered! {
    /// The kind of a lock.
    LockKind {
        /// A mutex.
        Mutex = 1, "mutex";
        /// A semaphore.
        Semaphore = 2, "semaphore";
        /// A rw-semaphore that the task wants to read.
        RwsemReader = 3, "rwsem-reader";
        /// A rw-semaphore that the task wants to write.
        RwsemWriter = 4, "rwsem-writer";
        /// A real-time mutex.
        RtMutex = 5, "rt-mutex";
        /// A spinlock or rwlock of a kernel with `PREEMPT_RT`.
        RtLock = 6, "rt-lock";
    }
}

numbered! {
    /// What an incident comes down to.
    CulpritKind {
        /// A CPU that has to run a function.
        Call = 1, "call";
        /// A CPU that has taken the spinlock.
        LockOwner = 2, "lock-owner";
        /// The only stuck CPU that waits for no other one.
        OnlyOne = 3, "only-one";
        /// A task that waits for no lock with a known owner.
        Task = 4, "task";
        /// A deadlock.
        Deadlock = 5, "deadlock";
        /// A lock whose owner is not known.
        Lock = 6, "lock";
        /// Tasks that wait in the same place.
        SamePlace = 7, "same-place";
        /// A CPU that may have to run a function.
        MaybeCall = 8, "maybe-call";
    }
}

numbered! {
    /// How an incident has ended.
    How {
        /// The CPU or the task goes on.
        Recovered = 1, "recovered";
        /// The task has exited.
        Exited = 2, "exited";
        /// The task waits behind another root cause.
        Regrouped = 3, "regrouped";
        /// The task was frozen.
        Frozen = 4, "frozen";
        /// Nobody looks any more: the detector was switched off.
        Unwatched = 5, "unwatched";
    }
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Task {
    /// PID in the initial namespace.
    pub(crate) pid: i32,
    /// Name.
    pub(crate) comm: String,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.comm, self.pid)
    }
}

/// A lock that a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Lock {
    /// Its kind.
    pub(crate) kind: LockKind,
    /// The task that has it, or had it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<Task>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
    /// Its name, if it is in the data of the kernel or of a module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) symbol: Option<String>,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(address) = self.address {
            write!(f, " {address}")?;
        }
        if let Some(symbol) = &self.symbol {
            write!(f, " ({symbol})")?;
        }
        match &self.owner {
            Some(owner) => write!(f, " of {owner}"),
            None => Ok(()),
        }
    }
}

/// What an incident comes down to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Culprit {
    /// What it is.
    pub(crate) kind: CulpritKind,
    /// The CPU that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<u32>,
    /// The task, or what the CPU runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<Task>,
    /// Of a deadlock its length, else how many wait behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u32>,
    /// How long the chain is that leads to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) depth: Option<u32>,
    /// For how long it has been so.
    #[serde(rename = "age_s", skip_serializing_if = "Option::is_none")]
    pub(crate) age: Option<Nanos>,
    /// The function that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// The function that the CPU has to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    /// Where that, or the lock, is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
    /// The task's PID in its own namespace, as a crash record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ns_pid: Option<i32>,
    /// The task's cgroup, as a crash record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count.unwrap_or(0);
        match (self.kind, self.cpu, &self.task) {
            (CulpritKind::Deadlock, ..) => return write!(f, "deadlock of {count}"),
            (CulpritKind::Lock, Some(cpu), _) => write!(f, "CPU{cpu} at a lock, owner not known")?,
            (CulpritKind::Lock, None, _) => write!(f, "lock, owner not known")?,
            (CulpritKind::SamePlace, _, Some(task)) => write!(f, "same place as {task}")?,
            (CulpritKind::SamePlace, _, None) => write!(f, "same place")?,
            (CulpritKind::Task, _, Some(task)) => write!(f, "{task}")?,
            (CulpritKind::OnlyOne | CulpritKind::MaybeCall, Some(cpu), _) => {
                write!(f, "maybe CPU{cpu}")?;
            }
            (_, Some(cpu), _) => write!(f, "CPU{cpu}")?,
            (_, None, Some(task)) => write!(f, "{task}")?,
            (kind, None, None) => write!(f, "{kind}")?,
        }
        if let Some(function) = &self.function {
            write!(f, " has to run {function}")?;
        }
        match &self.place {
            Some(place) => write!(f, " in {place}"),
            None => Ok(()),
        }
    }
}

/// One function of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Frame {
    /// The return address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
    /// What `%pS` makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) symbol: Option<String>,
}

/// What is said about an incident besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u32);

impl Flags {
    const NAMES: [(u32, &'static str); 3] = [(1, "confirmed"), (2, "iowait"), (4, "panic")];

    /// The names of those that are set.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let set = move |&(bit, _): &(u32, &str)| self.0 & bit != 0;
        Self::NAMES.into_iter().filter(set).map(|(_, name)| name)
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

fn is_zero(id: &u64) -> bool {
    *id == 0
}

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Incident {
    /// Unique in this boot. 0: it has none, as in a crash record.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) id: u64,
    /// What was found.
    pub(crate) kind: Kind,
    /// When it began.
    #[serde(rename = "began_s", skip_serializing_if = "Option::is_none")]
    pub(crate) began: Option<Nanos>,
    /// When it was found.
    #[serde(rename = "found_s", skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<Nanos>,
    /// How long it has lasted, or did last.
    #[serde(rename = "age_s", skip_serializing_if = "Option::is_none")]
    pub(crate) age: Option<Nanos>,
    /// When it was found, by the clock on the wall.
    #[serde(rename = "time", skip_serializing_if = "Option::is_none")]
    pub(crate) wall: Option<Wall>,
    /// When it ended.
    #[serde(rename = "ended_s", skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Nanos>,
    /// How it ended; `None`: it is still on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<How>,
    /// The CPU that is stuck, or on which the task ran last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<u32>,
    /// The CPU that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finder: Option<u32>,
    /// The task that hangs, or that the CPU runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<Task>,
    /// The task's PID in its own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ns_pid: Option<i32>,
    /// The task's cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
    /// The lock that the task waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<Lock>,
    /// What it comes down to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) culprit: Option<Culprit>,
    /// How many hung tasks wait behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<u32>,
    /// What is said about it besides.
    #[serde(skip_serializing_if = "Flags::is_empty")]
    pub(crate) flags: Flags,
    /// The stack, innermost function first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stack: Vec<Frame>,
}

impl Incident {
    /// One of which nothing else is known.
    pub(crate) fn new(id: u64, kind: Kind) -> Self {
        Self {
            id,
            kind,
            began: None,
            found: None,
            age: None,
            wall: None,
            ended: None,
            end: None,
            cpu: None,
            finder: None,
            task: None,
            ns_pid: None,
            cgroup: None,
            lock: None,
            culprit: None,
            behind: None,
            flags: Flags::default(),
            stack: Vec::new(),
        }
    }

    /// Whether it is on.
    pub(crate) fn is_on(&self) -> bool {
        self.end.is_none()
    }

    /// The time of day that this is as of: when it ended, or how old it was found to be; pauses are not
    /// in its age.
    pub(crate) fn as_of(&self) -> Option<Wall> {
        let wall = self.wall?.0;
        let (Some(began), Some(found), Some(age)) = (self.began, self.found, self.age) else {
            return self.wall;
        };
        let at = self
            .ended
            .map_or(began.0.saturating_add(age.0), |ended| ended.0);
        Some(Wall(wall.saturating_add(at.saturating_sub(found.0))))
    }

    /// What it is about: the CPU that is stuck, or the task.
    pub(crate) fn subject(&self) -> String {
        match (self.kind, self.cpu, &self.task) {
            (Kind::HungTask | Kind::RootCause, _, Some(task)) => task.to_string(),
            (_, Some(cpu), Some(task)) => format!("CPU{cpu} running {task}"),
            (_, Some(cpu), None) => format!("CPU{cpu}"),
            (_, None, Some(task)) => task.to_string(),
            (_, None, None) => "-".to_owned(),
        }
    }

    /// What it waits for, as far as is known: the culprit, or else the lock.
    pub(crate) fn cause(&self) -> String {
        match (&self.culprit, &self.lock) {
            (Some(culprit), _) => culprit.to_string(),
            (None, Some(lock)) => lock.to_string(),
            (None, None) => "-".to_owned(),
        }
    }

    /// Whether it is on, or how it ended, with its age.
    pub(crate) fn state(&self) -> String {
        let age = self
            .age
            .map_or_else(String::new, |age| format!("{:.1} s", age.secs()));
        match self.end {
            None => format!("on, {age}"),
            Some(how) => format!("{how} after {age}"),
        }
    }
}

/// How many incidents of a kind there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct KindState {
    /// The kind.
    pub(crate) kind: Kind,
    /// Incidents since load.
    pub(crate) total: u64,
    /// How many are on.
    pub(crate) on: u32,
    /// Age of the oldest that is on.
    #[serde(rename = "oldest_s", skip_serializing_if = "Option::is_none")]
    pub(crate) oldest: Option<Nanos>,
}

/// What the module says about all incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct State {
    /// The module's version.
    pub(crate) version: String,
    /// The number of the last event.
    pub(crate) events: u64,
    /// Events that were lost in the kernel.
    pub(crate) lost: u64,
    /// The time on the clock of the log.
    #[serde(rename = "now_s")]
    pub(crate) now: Nanos,
    /// Incidents by kind.
    pub(crate) kinds: Vec<KindState>,
}

/// What an event says about its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Happened {
    /// It was found.
    Start,
    /// More is known about it, or more wait behind it.
    Change,
    /// It has ended.
    End,
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Start => "start",
            Self::Change => "change",
            Self::End => "end",
        })
    }
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) happened: Happened,
    /// Its number since load, counted from 1.
    pub(crate) number: Option<u64>,
    /// The incident as of then.
    pub(crate) incident: Incident,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One with everything.
    pub(crate) fn full() -> Incident {
        let task = |pid, comm: &str| Task {
            pid,
            comm: comm.to_owned(),
        };
        Incident {
            began: Some(Nanos(8_490_054_123)),
            found: Some(Nanos(10_506_273_000)),
            age: Some(Nanos(2_016_000_000)),
            wall: Some(Wall(1_790_000_000_123_456_789)),
            ended: Some(Nanos(12_520_439_000)),
            end: Some(How::Exited),
            cpu: Some(1),
            finder: Some(0),
            task: Some(task(133, "prov_sem_o/1")),
            ns_pid: Some(3),
            cgroup: Some("/kubepods/pod1/a b".to_owned()),
            lock: Some(Lock {
                kind: LockKind::Mutex,
                owner: Some(task(12, "kworker/0:1")),
                address: Some(Address(0xff39_a074_41e5_0408)),
                symbol: Some("prov_lock [vigil_provoke]".to_owned()),
            }),
            culprit: Some(Culprit {
                kind: CulpritKind::Call,
                cpu: Some(3),
                task: Some(task(149, "prov_held/3")),
                count: Some(2),
                depth: Some(1),
                age: Some(Nanos(2_187_000_000)),
                place: Some("prov_spinlock".to_owned()),
                function: Some("ipi_nothing".to_owned()),
                address: Some(Address(0xffff_ffff_8100_0000)),
                ns_pid: None,
                cgroup: None,
            }),
            behind: Some(2),
            flags: Flags(5),
            stack: vec![Frame {
                address: Some(Address(0xffff_ffff_8123_4567)),
                symbol: Some("__schedule+0x52a/0x1080".to_owned()),
            }],
            ..Incident::new(3_222_260, Kind::RootCause)
        }
    }

    #[test]
    fn the_keys_of_json_are_stable() {
        let json = serde_json::to_value(full()).unwrap();
        let expected = serde_json::json!({
            "id": 3_222_260, "kind": "root-cause", "began_s": 8.490_054, "found_s": 10.506_273,
            "age_s": 2.016, "time": "2026-09-21T14:13:20.123Z", "ended_s": 12.520_439,
            "end": "exited", "cpu": 1, "finder": 0,
            "task": {"pid": 133, "comm": "prov_sem_o/1"}, "ns_pid": 3,
            "cgroup": "/kubepods/pod1/a b",
            "lock": {
                "kind": "mutex", "owner": {"pid": 12, "comm": "kworker/0:1"},
                "address": "ff39a07441e50408", "symbol": "prov_lock [vigil_provoke]",
            },
            "culprit": {
                "kind": "call", "cpu": 3, "task": {"pid": 149, "comm": "prov_held/3"},
                "count": 2, "depth": 1, "age_s": 2.187, "place": "prov_spinlock",
                "function": "ipi_nothing", "address": "ffffffff81000000",
            },
            "behind": 2, "flags": ["confirmed", "panic"],
            "stack": [{"address": "ffffffff81234567", "symbol": "__schedule+0x52a/0x1080"}],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let json = serde_json::to_string(&Incident::new(7, Kind::Unknown(9))).unwrap();
        assert_eq!(json, r#"{"id":7,"kind":"unknown-9"}"#);
    }

    #[test]
    fn numbers_are_those_of_the_module() {
        use vigil_logic::{blocker, culprit, incident};
        for kind in LockKind::ALL {
            let logic = blocker::LockKind::from_number(kind.number());
            assert!(logic.is_some_and(|logic| logic.number() == kind.number()));
        }
        assert_eq!(
            Kind::UnresponsiveCpu.number(),
            incident::IncidentKind::UnresponsiveCpu as u32
        );
        assert_eq!(
            CulpritKind::MaybeCall.number(),
            culprit::CulpritKind::MaybeCall as u32
        );
        assert_eq!(incident::CONFIRMED | incident::PANIC, 5);
    }

    #[test]
    fn names_stay_on_their_line() {
        assert_eq!(text(b"a\x1b[31m b\xff\0rest"), r"a\x1b[31m b\xff");
    }
}
