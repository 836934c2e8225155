// SPDX-License-Identifier: GPL-2.0

//! The table of recent incidents: `vigil/incidents` in debugfs.
//!
//! Each incident has a number of its own, its id, and a place in the table. It is *on* until its end
//! is noticed, and stays listed until its place is needed for another one ([`choose`]). A place is
//! written by one CPU or thread at a time, which claims it by a compare-and-exchange of its
//! [`PlaceState`]:
//!
//! ```text
//!   Free ----> Claimed ----> On(id) ----> Claimed ----> Ended(id)
//!                 ^             |  its end, or a       |
//!                 |             |  new number behind   |
//!                 +-------------+----------------------+
//!                    another incident needs the place
//! ```
//!
//! Here are what a place says ([`Listed`]) as words, the choice of a place, and the text.

use super::{
    blocker::{
        LockKind,
        LockName, //
    },
    culprit::Culprit,
    fmt::{
        LogStamp,
        Secs, //
    },
    incident::{
        comm,
        halves,
        pair,
        text,
        whereabouts,
        whereabouts_words,
        Incident,
        IncidentKind,
        Stack,
        Wait,
        CULPRIT_WORDS,
        STACK,
        WHEREABOUTS_WORDS, //
    },
    task::{
        TaskId,
        Whereabouts, //
    }, //
};
use core::fmt;

/// How many incidents the table holds.
pub const PLACES: usize = 64;
/// Words of a place, besides its state.
pub const WORDS: usize = 17;
/// Words of a place for [`Particulars`], behind those of [`Listed`].
pub const PARTICULARS_WORDS: usize = 3 + CULPRIT_WORDS + WHEREABOUTS_WORDS + STACK;
/// Index of the word of [`Particulars`] that holds the flags: see [`add_flags`].
pub const FLAGS_WORD: usize = 0;
/// Index of the word of [`Particulars`] that holds [`Particulars::announced_behind`]: see [`announced_behind`].
pub const ANNOUNCED_WORD: usize = 2;
/// Index of the first word of [`Particulars`] that tells the culprit.
pub const CULPRIT_WORD: usize = 3;
/// Index of the word that holds [`ListedKind`] and the CPU.
pub const KIND_WORD: usize = 0;
/// Index of the word that holds [`Details::key`].
pub const KEY_WORD: usize = 4;

/// Who writes a place now, or which incident it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceState {
    /// It holds nothing.
    Free,
    /// A CPU or a thread is writing it.
    Claimed,
    /// The incident with this id, which is on as far as is known.
    On(u64),
    /// The incident with this id, which has ended.
    Ended(u64),
}

impl PlaceState {
    const FREE: u64 = 0;
    const CLAIMED: u64 = u64::MAX;

    /// The state in one word. Ids have 62 bits, and are not 0.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Free => Self::FREE,
            Self::Claimed => Self::CLAIMED,
            Self::On(id) => id << 1,
            Self::Ended(id) => id << 1 | 1,
        }
    }

    /// The state that [`PlaceState::pack`] has packed.
    pub const fn unpack(word: u64) -> Self {
        match word {
            Self::FREE => Self::Free,
            Self::CLAIMED => Self::Claimed,
            word if word & 1 == 0 => Self::On(word >> 1),
            word => Self::Ended(word >> 1),
        }
    }

    /// The id of the incident that it holds.
    pub const fn id(self) -> Option<u64> {
        match self {
            Self::Free | Self::Claimed => None,
            Self::On(id) | Self::Ended(id) => Some(id),
        }
    }

    /// How soon a place with this state is given up to a new incident, the lowest first; `None`: it is
    /// not. `kind`, `new`: the [`kind_word`] of the incident in the place, and of the new one.
    const fn rank(self, kind: u64, new: u64) -> Option<(u8, u64)> {
        match self {
            Self::Free => Some((0, 0)),
            Self::Ended(id) => Some((1, id)),
            Self::On(id) => match (severity(kind), severity(new)) {
                (0, _) => Some((2, id)),
                // A CPU has one incident of a kind at a time: nobody could note the end of this one.
                _ if kind == new => Some((1, id)),
                (lasting, wanted) if lasting < wanted => Some((3, id)),
                _ => None,
            },
            Self::Claimed => None,
        }
    }
}

/// How much an incident that is on matters compared with others, by its [`kind_word`]: that of tasks the
/// least, then a soft lockup, then a CPU that takes no interrupts.
const fn severity(kind: u64) -> u8 {
    if is_kind(kind, ListedKind::HardLockup) || is_kind(kind, ListedKind::UnresponsiveCpu) {
        2
    } else if is_kind(kind, ListedKind::SoftLockup) {
        1
    } else {
        0
    }
}

/// Chooses the place for a new incident. `new`: its [`kind_word`]; `places`: each with its state and the
/// [`kind_word`] of the incident that it holds.
///
/// What is given up, the first that there is:
///
/// 1. a free place;
/// 2. the oldest incident that has ended;
/// 3. the oldest one of a task that is on: a hung task or a root cause;
/// 4. for a hard lockup, or a CPU that does not run: the oldest soft lockup that is on.
///
/// `None`: all places hold incidents of CPUs that are on and matter as much as the new one, or are being
/// written. So a lockup that lasts stays listed, however many tasks hang behind it.
pub fn choose<P>(
    new: u64,
    places: impl Iterator<Item = (P, PlaceState, u64)>,
) -> Option<(P, PlaceState)> {
    let mut chosen: Option<(P, PlaceState, (u8, u64))> = None;
    for (place, state, kind) in places {
        let Some(rank) = state.rank(kind, new) else {
            continue;
        };
        if chosen.as_ref().is_none_or(|(_, _, least)| rank < *least) {
            chosen = Some((place, state, rank));
        }
    }
    chosen.map(|(place, state, _)| (place, state))
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedKind {
    /// A hung task.
    HungTask = 1,
    /// A soft lockup.
    SoftLockup = 2,
    /// A hard lockup.
    HardLockup = 3,
    /// A CPU that does not run.
    UnresponsiveCpu = 4,
    /// A root cause of hung tasks.
    RootCause = 5,
}

impl ListedKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::HungTask,
        Self::SoftLockup,
        Self::HardLockup,
        Self::UnresponsiveCpu,
        Self::RootCause,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::HungTask => "hung task",
            Self::SoftLockup => "soft lockup",
            Self::HardLockup => "hard lockup",
            Self::UnresponsiveCpu => "unresponsive CPU",
            Self::RootCause => "root cause",
        }
    }
}

/// What hung tasks wait behind in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CauseRoot {
    /// The incident is no root cause.
    #[default]
    None,
    /// A task that waits for no lock.
    Task(TaskId),
    /// A lock without a known owner: the one of [`Listed::wait`].
    Lock,
    /// A deadlock of so many tasks.
    Deadlock(u32),
    /// A place in the code.
    Place,
}

/// What the table keeps of an incident besides what the crash record has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// What whoever finds the incident knows it by, to say that it has ended: the address of a hung
    /// task, the identity of a root cause. Not shown.
    pub key: u64,
    /// What a root cause is.
    pub root: CauseRoot,
    /// How many hung tasks wait behind it.
    pub behind: u32,
}

/// How an incident has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The CPU or the task goes on.
    Recovered = 1,
    /// The task has exited.
    Exited = 2,
    /// The task waits behind another root cause now.
    Regrouped = 3,
    /// The task was frozen.
    Frozen = 4,
    /// Whether it goes on is not watched any more: the detector was switched off, or a root cause is not
    /// remembered.
    Unwatched = 5,
}

impl How {
    const fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Exited => "task exited",
            Self::Regrouped => "other cause",
            Self::Frozen => "task frozen",
            Self::Unwatched => "not watched",
        }
    }

    const fn unpack(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Recovered),
            2 => Some(Self::Exited),
            3 => Some(Self::Regrouped),
            4 => Some(Self::Frozen),
            5 => Some(Self::Unwatched),
            _ => None,
        }
    }
}

/// The end of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How it has ended.
    pub how: How,
    /// When that was noticed, in nanoseconds on the clock that stamps the log.
    pub at: u64,
    /// How long the incident had lasted then, in nanoseconds.
    pub age: u64,
}

/// An incident in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What was found.
    pub kind: ListedKind,
    /// The CPU that is stuck, or on which the task ran last.
    pub cpu: u32,
    /// The task that hangs, or that runs on the stuck CPU; `None` if that is not known.
    pub task: Option<TaskId>,
    /// When it was found, in nanoseconds on the clock that stamps the log.
    pub found: u64,
    /// How long it had lasted then, in nanoseconds.
    pub age: u64,
    /// The lock that the task waits for.
    pub wait: Option<Wait>,
    /// What only the table keeps.
    pub details: Details,
    /// Its end; `None`: it is on as far as is known.
    pub end: Option<End>,
}

/// No task has this PID, so that it stands for none.
const NO_PID: u32 = u32::MAX;

/// A task as its PID and two words.
fn task_words(task: Option<TaskId>) -> (u32, [u64; 2]) {
    let Some(task) = task else {
        return (NO_PID, [0; 2]);
    };
    (task.pid as u32, text(task.comm.padded()))
}

/// The reverse of [`task_words`].
fn task_of(pid: u32, first: u64, second: u64) -> Option<TaskId> {
    if pid == NO_PID {
        return None;
    }
    Some(TaskId {
        comm: comm(first, second),
        pid: pid as i32,
    })
}

/// The word at [`KIND_WORD`].
pub const fn kind_word(kind: ListedKind, cpu: u32) -> u64 {
    pair(kind as u32, cpu)
}

/// Whether a [`kind_word`] has this kind, whatever the CPU.
pub const fn is_kind(word: u64, kind: ListedKind) -> bool {
    halves(word).0 == kind as u32
}

impl Listed {
    /// An incident that is found now.
    pub fn new(incident: &Incident, details: &Details) -> Self {
        let kind = match (incident.kind, details.root) {
            (IncidentKind::HungTask, CauseRoot::None) => ListedKind::HungTask,
            (IncidentKind::HungTask, _) => ListedKind::RootCause,
            (IncidentKind::SoftLockup, _) => ListedKind::SoftLockup,
            (IncidentKind::HardLockup, _) => ListedKind::HardLockup,
            (IncidentKind::UnresponsiveCpu, _) => ListedKind::UnresponsiveCpu,
        };
        Self {
            kind,
            cpu: incident.cpu,
            task: incident.task,
            found: incident.found,
            age: incident.age,
            wait: incident.wait,
            details: *details,
            end: None,
        }
    }

    /// When it began, in nanoseconds on the clock that stamps the log, without pauses.
    pub fn began(&self) -> u64 {
        self.found.saturating_sub(self.age)
    }

    /// How long it has lasted `now`, if it is on.
    pub fn age_at(&self, now: u64) -> u64 {
        self.age.saturating_add(now.saturating_sub(self.found))
    }

    /// The words of a place.
    pub fn encode(&self) -> [u64; WORDS] {
        let (pid, [comm0, comm1]) = task_words(self.task);
        let (lock, address, owner) = match self.wait {
            None => (0, 0, None),
            Some(wait) => (wait.lock.number(), wait.address, wait.owner),
        };
        let (owner_pid, [owner0, owner1]) = task_words(owner);
        let (root, number, task) = match self.details.root {
            CauseRoot::None => (0, 0, None),
            CauseRoot::Task(task) => (1, 0, Some(task)),
            CauseRoot::Lock => (2, 0, None),
            CauseRoot::Deadlock(length) => (3, length, None),
            CauseRoot::Place => (4, 0, None),
        };
        let (root_pid, [root0, root1]) = task_words(task);
        let number = if root == 1 { root_pid } else { number };
        let (how, at, end_age) = match self.end {
            None => (0, 0, 0),
            Some(end) => (end.how as u64, end.at, end.age),
        };
        [
            kind_word(self.kind, self.cpu),
            pair(pid, self.details.behind),
            comm0,
            comm1,
            self.details.key,
            self.found,
            self.age,
            pair(lock, owner_pid),
            address as u64,
            owner0,
            owner1,
            pair(root, number),
            root0,
            root1,
            how,
            at,
            end_age,
        ]
    }

    /// What [`Listed::encode`] has made these words of. `None`: they are of no incident.
    pub fn decode(words: &[u64; WORDS]) -> Option<Self> {
        let [kind_cpu, pid_behind, comm0, comm1, key, found, age, rest @ ..] = *words;
        let [lock_owner, address, owner0, owner1, root, root0, root1, how, at, end_age] = rest;
        let (kind, cpu) = halves(kind_cpu);
        let kind = match kind {
            1 => ListedKind::HungTask,
            2 => ListedKind::SoftLockup,
            3 => ListedKind::HardLockup,
            4 => ListedKind::UnresponsiveCpu,
            5 => ListedKind::RootCause,
            _ => return None,
        };
        let (pid, behind) = halves(pid_behind);
        let (lock, owner_pid) = halves(lock_owner);
        let wait = LockKind::from_number(lock).map(|lock| Wait {
            lock,
            address: address as usize,
            owner: task_of(owner_pid, owner0, owner1),
        });
        let (root, number) = halves(root);
        let root = match root {
            1 => CauseRoot::Task(task_of(number, root0, root1)?),
            2 => CauseRoot::Lock,
            3 => CauseRoot::Deadlock(number),
            4 => CauseRoot::Place,
            _ => CauseRoot::None,
        };
        Some(Self {
            kind,
            cpu,
            task: task_of(pid, comm0, comm1),
            found,
            age,
            wait,
            details: Details { key, root, behind },
            end: How::unpack(how).map(|how| End {
                how,
                at,
                age: end_age,
            }),
        })
    }
}

/// What only messages to programs say of an incident, and not the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Particulars {
    /// The CPU that found it.
    pub finder: u32,
    /// When it was found, in nanoseconds since 1970.
    pub wall: u64,
    /// The flags of [`super::incident`], or'ed.
    pub flags: u32,
    /// The task's stack.
    pub stack: Stack,
    /// Where the task runs.
    pub whereabouts: Whereabouts,
    /// How many tasks waited behind it when listeners got the last message.
    pub announced_behind: u32,
    /// What it comes down to, if that is known.
    pub culprit: Option<Culprit>,
}

/// The word at [`FLAGS_WORD`] with more flags.
pub const fn add_flags(word: u64, flags: u32) -> u64 {
    let (finder, before) = halves(word);
    pair(finder, before | flags)
}

/// [`Particulars::announced_behind`] in the word at [`ANNOUNCED_WORD`].
pub const fn announced_behind(word: u64) -> u32 {
    halves(word).1
}

/// The word at [`ANNOUNCED_WORD`] with another number.
pub const fn announce_behind(word: u64, behind: u32) -> u64 {
    pair(halves(word).0, behind)
}

/// All words of a place, as they were at one moment.
pub struct Snapshot {
    /// Those of [`Listed`].
    pub words: [u64; WORDS],
    /// Those of [`Particulars`].
    pub particulars: [u64; PARTICULARS_WORDS],
}

impl Snapshot {
    /// No incident.
    pub const EMPTY: Self = Self {
        words: [0; WORDS],
        particulars: [0; PARTICULARS_WORDS],
    };
}

impl Particulars {
    /// The words of an incident that is found now. One after the other: it may be found in an NMI, whose stack
    /// is small.
    pub fn words_of<'a>(
        incident: &'a Incident,
        details: &Details,
    ) -> impl Iterator<Item = u64> + use<'a> {
        let stack = &incident.stack;
        let head = [
            pair(incident.finder, incident.flags),
            incident.wall,
            pair(stack.depth.min(STACK as u32), details.behind),
        ];
        let stack = stack.addresses.iter().map(|&address| address as u64);
        head.into_iter()
            .chain([0; CULPRIT_WORDS])
            .chain(whereabouts_words(&incident.whereabouts))
            .chain(stack)
    }

    /// The words behind those of [`Listed::encode`].
    #[cfg(not(MODULE))]
    pub fn encode(&self) -> [u64; PARTICULARS_WORDS] {
        let depth = self.stack.depth.min(STACK as u32);
        let head = [
            pair(self.finder, self.flags),
            self.wall,
            pair(depth, self.announced_behind),
        ];
        let culprit = self.culprit.map_or([0; CULPRIT_WORDS], |it| it.encode());
        let stack = self.stack.addresses.iter().map(|&address| address as u64);
        let places = whereabouts_words(&self.whereabouts);
        let mut words = [0; PARTICULARS_WORDS];
        for (word, value) in words
            .iter_mut()
            .zip(head.into_iter().chain(culprit).chain(places).chain(stack))
        {
            *word = value;
        }
        words
    }

    /// What [`Particulars::encode`] has made these words of.
    #[inline(never)]
    pub fn decode(words: &[u64; PARTICULARS_WORDS]) -> Self {
        let [finder_flags, wall, depth_announced, rest @ ..] = words;
        let (finder, flags) = halves(*finder_flags);
        let (depth, announced_behind) = halves(*depth_announced);
        let mut stack = Stack {
            depth: depth.min(STACK as u32),
            ..Stack::default()
        };
        let (culprit, rest) = match rest.split_first_chunk::<CULPRIT_WORDS>() {
            Some((culprit, rest)) => (Culprit::unpack(culprit), rest),
            None => (None, [].as_slice()),
        };
        let (places, addresses) = rest.split_at_checked(WHEREABOUTS_WORDS).unwrap_or_default();
        for (to, from) in stack.addresses.iter_mut().zip(addresses) {
            *to = *from as usize;
        }
        Self {
            finder,
            wall: *wall,
            flags,
            stack,
            whereabouts: whereabouts(places),
            announced_behind,
            culprit,
        }
    }
}

/// The line above the incidents, with the names of the columns.
#[derive(Clone, Copy, Debug)]
pub struct Heading;

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [id, kind, began, found, ended, state] =
            ["ID", "KIND", "BEGAN", "REPORTED", "ENDED", "STATE"];
        let [cpu, behind, task, cause] = ["CPU", "BEHIND", "TASK", "CAUSE"];
        write!(
            f,
            "{id:<16} {kind:<16} {began:>14} {found:>14} {ended:>14} {state:<24} {cpu:>4} {behind:>6} {task:<22} {cause}"
        )
    }
}

/// The line of an incident.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its id.
    pub id: u64,
    /// What the table says of it.
    pub listed: &'a Listed,
    /// Now, in nanoseconds on the clock that stamps the log.
    pub now: u64,
}

/// Pads what is written through it to a width, as `{:<width}` does with a string.
struct Padded<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl fmt::Write for Padded<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.saturating_sub(text.len());
        self.f.write_str(text)
    }
}

/// Writes a value and blanks behind it up to a width.
fn pad(f: &mut fmt::Formatter<'_>, width: usize, value: fmt::Arguments<'_>) -> fmt::Result {
    // Not `{:width$}`, whose conversion has a panic path.
    let mut padded = Padded { f, left: width };
    fmt::Write::write_fmt(&mut padded, value)?;
    for _ in 0..padded.left {
        f.write_str(" ")?;
    }
    Ok(())
}

/// Writes a time with blanks before it, up to the width of a column.
fn stamp(f: &mut fmt::Formatter<'_>, time: u64) -> fmt::Result {
    let seconds = time / super::NSEC_PER_SEC;
    let micros = time % super::NSEC_PER_SEC / 1000;
    write!(f, " {seconds:>7}.{micros:06}")
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, listed, now } = *self;
        write!(f, "{id:<16} {:<16}", listed.kind.name())?;
        stamp(f, listed.began())?;
        stamp(f, listed.found)?;
        match listed.end {
            None => {
                let age = listed.age_at(now) / DECISECOND * DECISECOND;
                write!(f, " {:>14} ", "-")?;
                pad(f, 24, format_args!("still on, {} s", Secs(age)))?;
            }
            Some(end) => {
                let age = end.age / DECISECOND * DECISECOND;
                stamp(f, end.at)?;
                f.write_str(" ")?;
                pad(
                    f,
                    24,
                    format_args!("{} after {} s", end.how.name(), Secs(age)),
                )?;
            }
        }
        write!(f, " {:>4} ", listed.cpu)?;
        match listed.kind {
            ListedKind::RootCause => write!(f, "{:>6} ", listed.details.behind)?,
            _ => write!(f, "{:>6} ", "-")?,
        }
        match listed.task {
            Some(task) => pad(f, 22, format_args!("{task}"))?,
            None => pad(f, 22, format_args!("-"))?,
        }
        write!(f, " {}", Cause(listed))
    }
}

/// Ages are shown in tenths of a second: so many nanoseconds.
const DECISECOND: u64 = super::NSEC_PER_SEC / 10;

/// What an incident comes from, as far as is known.
struct Cause<'a>(&'a Listed);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wait = self.0.wait;
        let lock = wait.map(|wait| LockName {
            kind: wait.lock,
            address: wait.address,
        });
        match (self.0.details.root, lock) {
            (CauseRoot::Task(root), Some(lock)) => write!(f, "{root} ({lock})"),
            (CauseRoot::Task(root), None) => write!(f, "{root}"),
            (CauseRoot::Lock, Some(lock)) => write!(f, "{lock}, owner not known"),
            (CauseRoot::Lock, None) => f.write_str("lock, owner not known"),
            (CauseRoot::Deadlock(length), _) => write!(f, "deadlock of {length}"),
            (CauseRoot::Place, _) => f.write_str("same place in the code"),
            (CauseRoot::None, Some(lock)) => match wait.and_then(|wait| wait.owner) {
                Some(owner) => write!(f, "{lock} {} {owner}", lock.kind.held_by()),
                None => write!(f, "{lock}"),
            },
            (CauseRoot::None, None) => f.write_str("-"),
        }
    }
}

/// The first line of the list.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Incidents since load.
    pub total: u64,
    /// Now, in nanoseconds on the clock that stamps the log.
    pub now: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, now } = *self;
        write!(
            f,
            "{total} incidents since load, at most {PLACES} of them listed, newest first; it is now [{}]",
            LogStamp(now)
        )
    }
}
