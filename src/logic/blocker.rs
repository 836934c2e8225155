// SPDX-License-Identifier: GPL-2.0

//! The lock that a task waits for: how `task_struct::blocker` and the locks' owner words are
//! decoded.
//!
//! The encoding is that of `include/linux/hung_task.h` (`CONFIG_DETECT_HUNG_TASK_BLOCKER`), the
//! owner words are those of `kernel/locking/{mutex,semaphore,rwsem}.c`. The lines are mainline's
//! (`debug_show_blocker()`). They say "likely" because the owner is read without holding any lock,
//! and because a semaphore or a read lock only keeps the last known holder.
//!
//! Mainline has no line for a task that waits through a real-time mutex: with `PREEMPT_RT` for a
//! mutex, a rw-semaphore that a writer holds, or an rtlock; on any kernel for a `struct rt_mutex`.
//! `task_struct::pi_blocked_on` leads to that lock, and the lines are like those of a mutex.

use super::task::TaskId;
use core::fmt;

/// The kind of lock, and for a rw-semaphore whether the task waits as a reader or as a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// `BLOCKER_TYPE_MUTEX`
    Mutex,
    /// `BLOCKER_TYPE_SEM`
    Semaphore,
    /// `BLOCKER_TYPE_RWSEM_READER`
    RwSemReader,
    /// `BLOCKER_TYPE_RWSEM_WRITER`
    RwSemWriter,
    /// A real-time mutex: `struct rt_mutex`, or the one in a mutex or a rw-semaphore.
    RtMutex,
    /// The real-time mutex in an rtlock, a `spinlock_t` or a `rwlock_t` with `PREEMPT_RT`
    /// (`rtlock_slowlock_locked()`).
    RtLock,
}

impl LockKind {
    /// All kinds.
    const ALL: [Self; 6] = [
        Self::Mutex,
        Self::Semaphore,
        Self::RwSemReader,
        Self::RwSemWriter,
        Self::RtMutex,
        Self::RtLock,
    ];

    /// Its number in the crash record and in the table of incidents; not 0. `docs/kdump.md` has them.
    pub const fn number(self) -> u32 {
        match self {
            Self::Mutex => 1,
            Self::Semaphore => 2,
            Self::RwSemReader => 3,
            Self::RwSemWriter => 4,
            Self::RtMutex => 5,
            Self::RtLock => 6,
        }
    }

    /// The kind with this number; `None` if there is none.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its name in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Semaphore => "semaphore",
            Self::RwSemReader => "rw-semaphore (reader)",
            Self::RwSemWriter => "rw-semaphore (writer)",
            Self::RtMutex => "rt_mutex",
            Self::RtLock => "spinlock or rwlock",
        }
    }
}

impl LockKind {
    /// Whether the owner that its words name holds it: of a semaphore they name the task that took it
    /// last, of a rw-semaphore that is held for reading one of those that have taken it.
    pub const fn names_its_owner(self) -> bool {
        match self {
            Self::Mutex | Self::RtMutex | Self::RtLock => true,
            Self::Semaphore | Self::RwSemReader | Self::RwSemWriter => false,
        }
    }

    /// How sure a report is that the task which follows has the lock.
    pub const fn held_by(self) -> &'static str {
        if self.names_its_owner() {
            "held by"
        } else {
            "likely held by"
        }
    }
}

/// A lock as a report names it: its kind and its address.
#[derive(Clone, Copy)]
pub struct LockName {
    /// The kind, as the task that waits sees it.
    pub kind: LockKind,
    /// Where it is.
    pub address: usize,
}

impl fmt::Display for LockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.kind.name(), self.address)
    }
}

/// A lock that a task has, as a report names it: without how another one waits for it.
#[derive(Clone, Copy)]
pub struct HeldLock(pub LockName);

impl fmt::Display for HeldLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0.kind {
            LockKind::RwSemReader | LockKind::RwSemWriter => "rw-semaphore",
            kind => kind.name(),
        };
        write!(f, "{name} {:016x}", self.0.address)
    }
}

/// `BLOCKER_TYPE_MASK`
const TYPE_MASK: usize = 3;
/// `MUTEX_FLAGS` of `kernel/locking/mutex.h`.
const MUTEX_FLAGS: usize = 7;
/// `MUTEX_FLAG_PICKUP`: the mutex was handed over, and waits for its owner to pick it up.
const MUTEX_FLAG_PICKUP: usize = 4;
/// `RT_MUTEX_HAS_WAITERS` of `include/linux/rtmutex.h`.
const RT_MUTEX_HAS_WAITERS: usize = 1;
/// `RWSEM_READER_OWNED` of `kernel/locking/rwsem.c`.
const RWSEM_READER_OWNED: usize = 1;
/// `RWSEM_OWNER_FLAGS_MASK` of `kernel/locking/rwsem.c`.
const RWSEM_OWNER_FLAGS: usize = 3;
/// `RWSEM_WRITER_LOCKED`: the count says that a writer holds the lock.
const RWSEM_WRITER_LOCKED: usize = 1;

/// Splits `task_struct::blocker` into the kind of lock and its address. `None`: the task waits for
/// no lock that the kernel keeps track of.
pub fn decode(blocker: usize) -> Option<(LockKind, usize)> {
    let lock = blocker & !TYPE_MASK;
    if lock == 0 {
        return None;
    }
    let kind = match blocker & TYPE_MASK {
        0 => LockKind::Mutex,
        1 => LockKind::Semaphore,
        2 => LockKind::RwSemReader,
        _ => LockKind::RwSemWriter,
    };
    Some((kind, lock))
}

/// The words of a lock, as read from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockWords {
    /// `mutex::owner`, `semaphore::last_holder`, `rw_semaphore::owner` or `rt_mutex_base::owner`.
    pub owner: usize,
    /// `rw_semaphore::count`; zero for the others.
    pub count: usize,
}

/// The address of the owner's `task_struct`; zero when the lock has no owner.
pub fn owner_task(kind: LockKind, words: LockWords) -> usize {
    match kind {
        LockKind::Mutex => words.owner & !MUTEX_FLAGS,
        LockKind::Semaphore => words.owner,
        LockKind::RwSemReader | LockKind::RwSemWriter => words.owner & !RWSEM_OWNER_FLAGS,
        LockKind::RtMutex | LockKind::RtLock => words.owner & !RT_MUTEX_HAS_WAITERS,
    }
}

/// Whether the lock was given to the task that waits for it, which has not run since to see that. Such a
/// task is named as the owner of the lock that it waits for, and it is no deadlock.
pub fn is_handed_over(kind: LockKind, words: LockWords, waiter: usize) -> bool {
    let is_given = match kind {
        LockKind::Mutex => words.owner & MUTEX_FLAG_PICKUP != 0,
        // rwsem_mark_wake() names a reader before that is awake.
        LockKind::RwSemReader => reader_owned(words),
        _ => false,
    };
    is_given && owner_task(kind, words) == waiter
}

/// Whether a rw-semaphore is held by readers (`is_rwsem_reader_owned()`).
fn reader_owned(words: LockWords) -> bool {
    words.count & RWSEM_WRITER_LOCKED == 0 && words.owner & RWSEM_READER_OWNED != 0
}

/// The line of a report that names the lock a task waits for, and the lock's owner.
pub struct Line {
    /// The task that waits.
    pub waiter: TaskId,
    /// The lock that it waits for.
    pub kind: LockKind,
    /// The lock's words.
    pub words: LockWords,
    /// The task that owns the lock; `None` when it has no owner, or when its owner's address is not
    /// that of a live task.
    pub owner: Option<TaskId>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiter = &self.waiter;
        match (self.kind, &self.owner) {
            (LockKind::Mutex, Some(owner)) => write!(
                f,
                "INFO: task {waiter} is blocked on a mutex likely owned by task {owner}."
            ),
            (LockKind::Mutex, None) => write!(
                f,
                "INFO: task {waiter} is blocked on a mutex, but the owner is not found."
            ),
            (LockKind::Semaphore, Some(owner)) => write!(
                f,
                "INFO: task {waiter} blocked on a semaphore likely last held by task {owner}"
            ),
            (LockKind::Semaphore, None) => write!(
                f,
                "INFO: task {waiter} is blocked on a semaphore, but the last holder is not found."
            ),
            (LockKind::RwSemReader | LockKind::RwSemWriter, Some(owner)) => {
                let waits_as = match self.kind {
                    LockKind::RwSemReader => "reader",
                    _ => "writer",
                };
                let held_as = if reader_owned(self.words) {
                    "reader"
                } else {
                    "writer"
                };
                write!(
                    f,
                    "INFO: task {waiter} <{waits_as}> blocked on an rw-semaphore likely owned by \
                     task {owner} <{held_as}>"
                )
            }
            (LockKind::RwSemReader | LockKind::RwSemWriter, None) => write!(
                f,
                "INFO: task {waiter} is blocked on an rw-semaphore, but the owner is not found."
            ),
            (LockKind::RtMutex, Some(owner)) => write!(
                f,
                "INFO: task {waiter} is blocked on an rt_mutex likely owned by task {owner}."
            ),
            (LockKind::RtMutex, None) => write!(
                f,
                "INFO: task {waiter} is blocked on an rt_mutex, but the owner is not found."
            ),
            (LockKind::RtLock, Some(owner)) => write!(
                f,
                "INFO: task {waiter} is blocked on a spinlock or rwlock likely owned by task \
                 {owner}."
            ),
            (LockKind::RtLock, None) => write!(
                f,
                "INFO: task {waiter} is blocked on a spinlock or rwlock, but the owner is not \
                 found."
            ),
        }
    }
}
