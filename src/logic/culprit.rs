// SPDX-License-Identifier: GPL-2.0

//! What an incident comes down to: the CPU, task or lock that the stuck CPU or the hung tasks wait for
//! in the end. In the crash record these are words of the incident's entry
//! ([`super::incident`]) that are written after the others: the incident is recorded before it is
//! known what it comes down to.
//!
//! ```text
//!   word   low half        high half
//!   0      kind, depth     cpu          kind and depth: a quarter each
//!   1      task pid        count
//!   2, 3   task comm
//!   4      address
//!   5      spins for
//!   6      place
//!   7      age
//!   8..24  whereabouts of the task
//! ```
//!
//! As long as the first word is 0, nothing is known.

use super::{
    incident::{
        comm,
        halves,
        pair,
        text,
        whereabouts,
        whereabouts_words,
        CULPRIT_WORDS,
        NO_TASK, //
    },
    task::{
        TaskId,
        Whereabouts, //
    }, //
};

/// Stands for a CPU where there is none.
const NO_CPU: u32 = u32::MAX;

/// What a culprit is, and so how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CulpritKind {
    /// A CPU that has to run a function, which a stuck CPU waits for.
    Call = 1,
    /// A CPU that has taken the spinlock that a stuck CPU spins for.
    LockOwner = 2,
    /// The only stuck CPU that does not wait for another one: the others may wait for it.
    OnlyOne = 3,
    /// A task that does not wait for a lock with a known owner.
    Task = 4,
    /// A deadlock: of tasks, or of CPUs if a CPU is given.
    Deadlock = 5,
    /// A lock whose owner is not known.
    Lock = 6,
    /// Tasks that wait in the same place, and for no known lock.
    SamePlace = 7,
    /// A CPU that has to run a function, which a stuck CPU may wait for, or a task that is elsewhere.
    MaybeCall = 8,
}

impl CulpritKind {
    /// The kind with this number; `None` if there is none.
    const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Call,
            2 => Self::LockOwner,
            3 => Self::OnlyOne,
            4 => Self::Task,
            5 => Self::Deadlock,
            6 => Self::Lock,
            7 => Self::SamePlace,
            8 => Self::MaybeCall,
            _ => return None,
        })
    }
}

/// What an incident comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// What it is.
    pub kind: CulpritKind,
    /// The CPU that is waited for or, of a task, on which it ran last. Of a [`CulpritKind::Lock`], the
    /// CPU that spins for it; of a [`CulpritKind::Deadlock`] of CPUs, one of them.
    pub cpu: Option<u32>,
    /// The task, or what the CPU runs. Of several tasks one.
    pub task: Option<TaskId>,
    /// Of a deadlock its length; of tasks in the same place how many they are; otherwise how many hung
    /// tasks wait behind it, or how many more CPUs have to run the function.
    pub count: u32,
    /// How long the chain is that leads to it. No more than [`u16::MAX`] are recorded.
    pub depth: u32,
    /// Address of the function that the CPU has to run, or of the lock that is waited for. 0: not known,
    /// or none.
    pub address: usize,
    /// Address of the spinlock that the CPU itself spins for. 0: not known, or none.
    pub spins_for: usize,
    /// Address in the function that the CPU runs, or in which the task waits. 0: not known.
    pub place: usize,
    /// For how many nanoseconds the CPU has taken no timer interrupt, or the oldest of the hung tasks
    /// has been blocked. 0: not known, or not remarkable.
    pub age: u64,
    /// Where the task runs.
    pub whereabouts: Whereabouts,
}

/// The first word: the kind at the lowest address, then the depth, then the CPU.
const fn first_word(kind: u16, depth: u16, cpu: u32) -> u64 {
    let ([a, b], [c, d]) = (kind.to_ne_bytes(), depth.to_ne_bytes());
    pair(u32::from_ne_bytes([a, b, c, d]), cpu)
}

impl Culprit {
    /// The words of it.
    pub fn encode(&self) -> [u64; CULPRIT_WORDS] {
        let task = self.task.unwrap_or(NO_TASK);
        let [comm0, comm1] = text(task.comm.padded());
        let depth = u16::try_from(self.depth).unwrap_or(u16::MAX);
        let head = [
            first_word(self.kind as u16, depth, self.cpu.unwrap_or(NO_CPU)),
            pair(task.pid as u32, self.count),
            comm0,
            comm1,
            self.address as u64,
            self.spins_for as u64,
            self.place as u64,
            self.age,
        ];
        let all = head.into_iter().chain(whereabouts_words(&self.whereabouts));
        let mut words = [0; CULPRIT_WORDS];
        for (word, value) in words.iter_mut().zip(all) {
            *word = value;
        }
        words
    }
}

/// The number of the kind, and the depth, in the first half of the first word.
const fn kind_and_depth(word: u64) -> (u16, u16) {
    let [a, b, c, d] = halves(word).0.to_ne_bytes();
    (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]))
}

impl Culprit {
    /// The culprit that [`Culprit::encode`] made these words of on this machine; `None` if none is known.
    pub fn unpack(words: &[u64; CULPRIT_WORDS]) -> Option<Self> {
        let [first, pid_count, comm0, comm1, address, spins_for, place, age, ref rest @ ..] =
            *words;
        let (kind, depth) = kind_and_depth(first);
        let (_, cpu) = halves(first);
        let (pid, count) = halves(pid_count);
        let task = TaskId {
            comm: comm(comm0, comm1),
            pid: pid as i32,
        };
        Some(Self {
            kind: CulpritKind::from_number(kind)?,
            cpu: (cpu != NO_CPU).then_some(cpu),
            task: (task != NO_TASK).then_some(task),
            count,
            depth: depth.into(),
            address: address as usize,
            spins_for: spins_for as usize,
            place: place as usize,
            age,
            whereabouts: whereabouts(rest),
        })
    }
}

/// The way back, for programs that read a record.
#[cfg(not(MODULE))]
mod decode {
    use super::{
        super::incident::{
            address,
            DecodeError, //
        },
        *, //
    };

    impl Culprit {
        /// The culprit that [`Culprit::encode`] made these words of; `None` if none is known.
        ///
        /// # Errors
        ///
        /// The words are none of this version of the layout.
        pub fn decode(words: &[u64; CULPRIT_WORDS]) -> Result<Option<Self>, DecodeError> {
            let [first, _, _, _, at, spins_for, place, ..] = *words;
            match kind_and_depth(first).0 {
                0 => return Ok(None),
                kind if CulpritKind::from_number(kind).is_none() => {
                    return Err(DecodeError::Culprit(kind));
                }
                _ => (),
            }
            for word in [at, spins_for, place] {
                address(word)?;
            }
            Ok(Self::unpack(words))
        }
    }
}
