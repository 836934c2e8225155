// SPDX-License-Identifier: GPL-2.0

//! An incident as it stands in memory, for whoever reads it out of a dump.
//!
//! The layout is an interface: `docs/kdump.md` describes it, `scripts/vmcore-report` reads it, and
//! `tests/incident.rs` holds all of them to it. A change of it is a new [`VERSION`].
//!
//! Everything is in whole words, in the machine's byte order, so that it can be written a word at a
//! time without a lock.

use super::{blocker::LockKind, task::TaskId};

/// What the record begins with.
pub const MAGIC: [u8; 16] = *b"vigil incidents\0";
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Words of the header.
pub const HEADER_WORDS: usize = 8;
/// Words of an entry.
pub const WORDS: usize = 32;
/// How many of the last incidents are kept.
pub const ENTRIES: usize = 64;
/// How many addresses of a stack are kept.
pub const STACK: usize = 18;

/// Place of a word in the header: the record's own address.
pub const HEADER_ADDRESS: usize = 4;
/// Place of a word in the header: how many incidents have been begun.
pub const HEADER_NEXT: usize = 5;
/// Place of the word in an entry that holds the flags and the stack's depth.
pub const FLAGS_WORD: usize = 13;

/// Flag: confirmed by an NMI.
pub const CONFIRMED: u32 = 1;
/// Flag: the task waits in `io_schedule()`.
pub const IN_IOWAIT: u32 = 2;
/// Flag: a panic was decided on for it.
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

/// A stack as addresses, innermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The addresses, of which the first `depth` are meant.
    pub addresses: [usize; STACK],
    /// How many there are.
    pub depth: u32,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Kind of lock.
    pub lock: LockKind,
    /// Its address.
    pub address: usize,
    /// Who has it, if that is known.
    pub owner: Option<TaskId>,
}

/// One incident.
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
    /// When, in nanoseconds on the clock that stamps the log.
    pub found: u64,
    /// How long it had lasted, in nanoseconds, without time that does not count.
    pub age: u64,
    /// When it was found, in nanoseconds since 1970.
    pub wall: u64,
    /// What it waits for.
    pub wait: Option<Wait>,
    /// [`CONFIRMED`], [`IN_IOWAIT`], [`PANIC`].
    pub flags: u32,
    /// The task's stack.
    pub stack: Stack,
}

/// Two numbers in one word, the first at the lower address.
const fn pair(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Sixteen bytes as two words.
const fn text(bytes: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    [
        u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
    ]
}

/// The header of an empty record that does not know its address yet.
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

/// The word of the flags: [`FLAGS_WORD`].
pub fn flags_word(flags: u32, depth: u32) -> u64 {
    pair(flags, depth)
}

impl Incident {
    /// The words of an entry, without its number, which comes first and is written last.
    pub fn words(&self) -> [u64; WORDS] {
        let nobody = TaskId {
            comm: Default::default(),
            pid: -1,
        };
        let task = self.task.unwrap_or(nobody);
        let [comm0, comm1] = text(task.comm.padded());
        let (lock, address, owner) = match &self.wait {
            None => (0, 0, None),
            Some(wait) => {
                let lock = match wait.lock {
                    LockKind::Mutex => 1,
                    LockKind::Semaphore => 2,
                    LockKind::RwSemReader => 3,
                    LockKind::RwSemWriter => 4,
                };
                (lock, wait.address, wait.owner)
            }
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
        words
    }
}
