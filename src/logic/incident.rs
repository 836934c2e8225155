// SPDX-License-Identifier: GPL-2.0

//! An incident, and the words that it is in memory, for programs that read a memory dump.
//!
//! # Layout
//!
//! The crash record is a header of [`HEADER_WORDS`] words and a ring of [`ENTRIES`] entries of
//! [`WORDS`] words each. The n-th incident since load, counted from 1, is in entry (n - 1) modulo
//! [`ENTRIES`]. The first word of an entry is that n, or 0 while the entry is being written;
//! [`Incident::encode`] makes the others but for [`CULPRIT_WORDS`] of `Culprit::encode` in `culprit.rs`,
//! which are 0 until it is known what the incident comes down to:
//!
//! ```text
//!   word    low half    high half
//!   0       number
//!   1       kind        cpu
//!   2       task pid    finder
//!   3, 4    task comm
//!   5       found
//!   6       found - age
//!   7       age
//!   8       wall
//!   9       lock kind   owner pid
//!   10      lock address
//!   11, 12  owner comm
//!   13      flags       stack depth      FLAGS_WORD
//!   14..31  stack
//!   32..56  culprit                      CULPRIT_WORD
//!   57..73  whereabouts of the task      WHEREABOUTS_WORD
//! ```
//!
//! Where a task runs is [`WHEREABOUTS_WORDS`]: the PID in its own namespace in the low half of the first,
//! and the path of its cgroup in the others.
//!
//! The low half is the one at the lower address, in either byte order. `docs/kdump.md` describes
//! the layout byte by byte, `scripts/vmcore-report` reads it, and `tests/incident.rs` holds both to
//! it. A change of it is a new [`VERSION`].
//!
//! Everything is in whole words, in the machine's byte order, so that it can be written word by
//! word without a lock.

use super::{
    blocker::LockKind,
    task::{
        Comm,
        TaskId,
        Whereabouts,
        CGROUP_PATH_LEN,
        TASK_COMM_LEN, //
    }, //
};

/// The first bytes of the record.
pub const MAGIC: [u8; 16] = *b"vigil incidents\0";
/// Version of the layout.
pub const VERSION: u32 = 3;
/// Words of the header.
pub const HEADER_WORDS: usize = 8;
/// Words that tell where a task runs.
pub const WHEREABOUTS_WORDS: usize = 1 + CGROUP_PATH_LEN / 8;
/// Words of an entry that tell the culprit.
pub const CULPRIT_WORDS: usize = 8 + WHEREABOUTS_WORDS;
/// Words of an entry.
pub const WORDS: usize = WHEREABOUTS_WORD + WHEREABOUTS_WORDS;
/// How many of the last incidents are kept.
pub const ENTRIES: usize = 64;
/// How many addresses of a stack are kept.
pub const STACK: usize = 18;

/// Index of the word in the header that holds the record's own virtual address.
pub const HEADER_ADDRESS: usize = 4;
/// Index of the word in the header that holds how many incidents have been recorded since load.
pub const HEADER_NEXT: usize = 5;
/// Index of the word in an entry that holds the flags and the depth of the stack.
pub const FLAGS_WORD: usize = 13;
/// Index of the first word in an entry that tells the culprit.
pub const CULPRIT_WORD: usize = 32;
/// Index of the first word in an entry that tells where the task runs.
pub const WHEREABOUTS_WORD: usize = CULPRIT_WORD + CULPRIT_WORDS;

/// Flag: confirmed by an NMI.
pub const CONFIRMED: u32 = 1;
/// Flag: the task waits for I/O (`io_schedule()`).
pub const IN_IOWAIT: u32 = 2;
/// Flag: a panic was requested for it.
pub const PANIC: u32 = 4;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum IncidentKind {
    /// A hung task.
    HungTask = 1,
    /// A soft lockup.
    SoftLockup = 2,
    /// A hard lockup.
    HardLockup = 3,
    /// A CPU that does not run.
    UnresponsiveCpu = 4,
}

/// A stack as return addresses, innermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Return addresses, of which the first `depth` are valid.
    pub addresses: [usize; STACK],
    /// How many of them are valid.
    pub depth: u32,
}

/// One number for addresses (FNV-1a, by words): equal for equal ones, and hardly ever for others.
pub fn key_of<'a>(addresses: impl IntoIterator<Item = &'a usize>) -> u64 {
    let addresses = addresses.into_iter();
    addresses.fold(0xcbf2_9ce4_8422_2325, |key: u64, &address| {
        (key ^ address as u64).wrapping_mul(0x100_0000_01b3)
    })
}

impl Stack {
    /// One number for its addresses: [`key_of`] them.
    pub fn key(&self) -> u64 {
        key_of(self.addresses.iter().take(self.depth as usize))
    }
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Kind of the lock.
    pub lock: LockKind,
    /// Address of the lock.
    pub address: usize,
    /// The task that holds it, if that is known.
    pub owner: Option<TaskId>,
}

/// One incident: a finding at the moment when it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    /// What was found.
    pub kind: IncidentKind,
    /// The CPU that is stuck, or on which the task ran last.
    pub cpu: u32,
    /// The task that hangs, or that runs on the stuck CPU; `None` if that is not known.
    pub task: Option<TaskId>,
    /// The CPU that found it.
    pub finder: u32,
    /// When it was found, in nanoseconds on the clock that stamps the log.
    pub found: u64,
    /// How long it had lasted then, in nanoseconds, without time that does not count.
    pub age: u64,
    /// When it was found, in nanoseconds since 1970.
    pub wall: u64,
    /// The lock that the task waits for, if that is known.
    pub wait: Option<Wait>,
    /// [`CONFIRMED`], [`IN_IOWAIT`], [`PANIC`], or'ed.
    pub flags: u32,
    /// The task's stack.
    pub stack: Stack,
    /// Where the task runs.
    pub whereabouts: Whereabouts,
}

/// Two numbers in one word, the first at the lower address.
pub(super) const fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Sixteen bytes as two words.
pub(super) const fn text(bytes: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    [
        u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
    ]
}

/// The reverse of [`pair`].
pub(super) const fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    (
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
    )
}

/// The reverse of [`text`], of a task's name.
pub(super) fn comm(first: u64, second: u64) -> Comm {
    let mut bytes = [0; TASK_COMM_LEN];
    let words = first.to_ne_bytes().into_iter().chain(second.to_ne_bytes());
    for (to, from) in bytes.iter_mut().zip(words) {
        *to = from;
    }
    Comm::new(bytes)
}

/// Where a task runs, in words.
pub(super) fn whereabouts_words(whereabouts: &Whereabouts) -> [u64; WHEREABOUTS_WORDS] {
    let mut words = [0; WHEREABOUTS_WORDS];
    let [first, path @ ..] = &mut words;
    *first = pair(whereabouts.ns_pid as u32, 0);
    for (word, bytes) in path
        .iter_mut()
        .zip(whereabouts.padded_path().chunks_exact(8))
    {
        *word = bytes
            .first_chunk()
            .map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    }
    words
}

/// The reverse of [`whereabouts_words`].
pub(super) fn whereabouts(words: &[u64]) -> Whereabouts {
    let mut path = [0; CGROUP_PATH_LEN];
    let bytes = words.iter().skip(1).flat_map(|word| word.to_ne_bytes());
    for (to, from) in path.iter_mut().zip(bytes) {
        *to = from;
    }
    let (ns_pid, _) = halves(words.first().copied().unwrap_or(0));
    let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
    Whereabouts::new(ns_pid as i32, path, false)
}

/// The header of an empty record, without the address.
pub const fn header() -> [u64; HEADER_WORDS] {
    let [magic0, magic1] = text(MAGIC);
    [
        magic0,
        magic1,
        pair(VERSION, HEADER_WORDS as u32 * 8),
        pair(WORDS as u32 * 8, ENTRIES as u32),
        0,
        0,
        pair(STACK as u32, 0),
        0,
    ]
}

/// The word at [`FLAGS_WORD`].
pub fn flags_word(flags: u32, depth: u32) -> u64 {
    pair(flags, depth)
}

/// What stands for a task that is not known.
pub(super) const NO_TASK: TaskId = TaskId {
    comm: Comm::new([0; TASK_COMM_LEN]),
    pid: -1,
};

impl Incident {
    /// The words of an entry, 0 in place of those of the culprit. The number of the incident, which comes
    /// first, is 0 too: it is written last.
    pub fn encode(&self) -> [u64; WORDS] {
        let task = self.task.unwrap_or(NO_TASK);
        let [comm0, comm1] = text(task.comm.padded());
        let (lock, address, owner) = match &self.wait {
            None => (0, 0, None),
            Some(wait) => (wait.lock.number(), wait.address, wait.owner),
        };
        let owner_pid = owner.map_or(0, |owner| owner.pid);
        let [owner0, owner1] = text(owner.map_or([0; 16], |owner| owner.comm.padded()));
        let depth = self.stack.depth.min(STACK as u32);
        let head = [
            0,
            pair(self.kind as u32, self.cpu),
            pair(task.pid as u32, self.finder),
            comm0,
            comm1,
            self.found,
            self.found.saturating_sub(self.age),
            self.age,
            self.wall,
            pair(lock, owner_pid as u32),
            address as u64,
            owner0,
            owner1,
            flags_word(self.flags, depth),
        ];
        let mut words = [0; WORDS];
        let stack = self.stack.addresses.iter().take(depth as usize);
        let all = head.into_iter().chain(stack.map(|&address| address as u64));
        for (word, value) in words.iter_mut().zip(all) {
            *word = value;
        }
        let places = words.get_mut(WHEREABOUTS_WORD..).unwrap_or_default();
        for (word, value) in places.iter_mut().zip(whereabouts_words(&self.whereabouts)) {
            *word = value;
        }
        words
    }
}

/// The way back, for programs that read a record. The module only writes.
#[cfg(not(MODULE))]
mod decode {
    use super::*;
    use core::fmt;

    /// Why words are no incident.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum DecodeError {
        /// No [`IncidentKind`] has this number.
        Kind(u32),
        /// No [`LockKind`] has this number.
        Lock(u32),
        /// The stack is deeper than an entry is long.
        Depth(u32),
        /// No `CulpritKind` has this number.
        Culprit(u16),
        /// The number is wider than an address of this machine.
        Address(u64),
    }

    impl fmt::Display for DecodeError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Kind(kind) => write!(f, "unknown kind of incident: {kind}"),
                Self::Lock(lock) => write!(f, "unknown kind of lock: {lock}"),
                Self::Depth(depth) => {
                    write!(f, "a stack of {depth} addresses, at most {STACK} fit")
                }
                Self::Culprit(kind) => write!(f, "unknown kind of culprit: {kind}"),
                Self::Address(address) => write!(f, "not an address of this machine: {address:#x}"),
            }
        }
    }

    impl core::error::Error for DecodeError {}

    pub(in super::super) fn address(word: u64) -> Result<usize, DecodeError> {
        usize::try_from(word).map_err(|_| DecodeError::Address(word))
    }

    impl Incident {
        /// The incident that [`Incident::encode`] made these words of. The number of the incident,
        /// which is the first word, and the culprit are not looked at.
        ///
        /// # Errors
        ///
        /// The words are not an entry of this [`VERSION`].
        pub fn decode(words: &[u64; WORDS]) -> Result<Self, DecodeError> {
            let [_, kind_cpu, pid_finder, comm0, comm1, found, _, age, rest @ ..] = *words;
            let [wall, lock_owner, lock_at, owner0, owner1, flags_depth, addresses @ ..] = rest;
            let (kind, cpu) = halves(kind_cpu);
            let kind = match kind {
                1 => IncidentKind::HungTask,
                2 => IncidentKind::SoftLockup,
                3 => IncidentKind::HardLockup,
                4 => IncidentKind::UnresponsiveCpu,
                kind => return Err(DecodeError::Kind(kind)),
            };
            let (pid, finder) = halves(pid_finder);
            let task = TaskId {
                comm: comm(comm0, comm1),
                pid: pid as i32,
            };
            let (lock, owner_pid) = halves(lock_owner);
            let lock = match lock {
                0 => None,
                lock => Some(LockKind::from_number(lock).ok_or(DecodeError::Lock(lock))?),
            };
            let owner = TaskId {
                comm: comm(owner0, owner1),
                pid: owner_pid as i32,
            };
            let wait = match lock {
                None => None,
                Some(lock) => Some(Wait {
                    lock,
                    address: address(lock_at)?,
                    owner: (owner.pid != 0).then_some(owner),
                }),
            };
            let (flags, depth) = halves(flags_depth);
            let mut stack = Stack {
                depth,
                ..Stack::default()
            };
            if depth as usize > STACK {
                return Err(DecodeError::Depth(depth));
            }
            let valid = addresses.iter().take(depth as usize);
            for (to, from) in stack.addresses.iter_mut().zip(valid) {
                *to = address(*from)?;
            }
            Ok(Self {
                kind,
                cpu,
                task: (task != NO_TASK).then_some(task),
                finder,
                found,
                age,
                wall,
                wait,
                flags,
                stack,
                whereabouts: whereabouts(words.get(WHEREABOUTS_WORD..).unwrap_or_default()),
            })
        }
    }
}
#[cfg(not(MODULE))]
pub(super) use decode::address;
#[cfg(not(MODULE))]
pub use decode::DecodeError;
