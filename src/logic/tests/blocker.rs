// SPDX-License-Identifier: GPL-2.0

//! What a task waits for: the encoding, the owner words, and every line to the letter.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    blocker::{decode, is_handed_over, owner_task, Line, LockKind, LockWords},
    task::{Comm, TaskId},
};

fn task_id(comm: &str, pid: i32) -> TaskId {
    let mut bytes = [0; 16];
    bytes[..comm.len()].copy_from_slice(comm.as_bytes());
    TaskId {
        comm: Comm::new(bytes),
        pid,
    }
}

#[test]
fn handed_over_to_the_task_that_waits() {
    let (task, other) = (0xffff_8880_0010_0000, 0xffff_8880_0020_0000);
    let given = |kind, owner, count| is_handed_over(kind, LockWords { owner, count }, task);
    // The flags of mutexes: waiters, handoff, pickup.
    assert!(given(LockKind::Mutex, task | 4, 0));
    assert!(given(LockKind::Mutex, task | 5, 0));
    assert!(!given(LockKind::Mutex, task | 3, 0));
    assert!(!given(LockKind::Mutex, other | 4, 0));
    // Held by readers, the last one of which is the one that waits; or by a writer.
    assert!(given(LockKind::RwSemReader, task | 1, 0x100));
    assert!(!given(LockKind::RwSemReader, task, 1));
    assert!(!given(LockKind::RwSemReader, other | 1, 0x100));
    assert!(!given(LockKind::RwSemWriter, task | 1, 0x100));
    assert!(!given(LockKind::Semaphore, task, 0));
    assert!(!given(LockKind::RtMutex, task | 1, 0));
}

/// `printk()` of one of mainline's formats: each `%s` and `%d` in its turn.
fn printk(format: &str, args: &[&str]) -> String {
    let mut args = args.iter();
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        assert!(["%s", "%d"].contains(&&rest[at..at + 2]), "{format}");
        out += &rest[..at];
        out += args.next().expect("enough arguments");
        rest = &rest[at + 2..];
    }
    assert!(args.next().is_none(), "{format}");
    out + rest.strip_suffix('\n').expect("a whole line")
}

// The formats of debug_show_blocker() in kernel/hung_task.c, copied.
const MUTEX_NONE: &str = "INFO: task %s:%d is blocked on a mutex, but the owner is not found.\n";
const SEM_NONE: &str =
    "INFO: task %s:%d is blocked on a semaphore, but the last holder is not found.\n";
const RWSEM_NONE: &str =
    "INFO: task %s:%d is blocked on an rw-semaphore, but the owner is not found.\n";
const MUTEX: &str = "INFO: task %s:%d is blocked on a mutex likely owned by task %s:%d.\n";
const SEM: &str = "INFO: task %s:%d blocked on a semaphore likely last held by task %s:%d\n";
const RWSEM: &str =
    "INFO: task %s:%d <%s> blocked on an rw-semaphore likely owned by task %s:%d <%s>\n";

// vigil's own, after those of a mutex.
const RT_MUTEX_NONE: &str =
    "INFO: task %s:%d is blocked on an rt_mutex, but the owner is not found.\n";
const RTLOCK_NONE: &str =
    "INFO: task %s:%d is blocked on a spinlock or rwlock, but the owner is not found.\n";
const RT_MUTEX: &str = "INFO: task %s:%d is blocked on an rt_mutex likely owned by task %s:%d.\n";
const RTLOCK: &str =
    "INFO: task %s:%d is blocked on a spinlock or rwlock likely owned by task %s:%d.\n";

/// Those of `task_struct::blocker`.
const KINDS: [LockKind; 4] = [
    LockKind::Mutex,
    LockKind::Semaphore,
    LockKind::RwSemReader,
    LockKind::RwSemWriter,
];

fn line(kind: LockKind, words: LockWords, owner: Option<TaskId>) -> String {
    let waiter = task_id("cat", 1234);
    let line = Line {
        waiter,
        kind,
        words,
        owner,
    };
    line.to_string()
}

/// An owner word and a count, as of a lock without an owner.
const FREE: LockWords = LockWords { owner: 0, count: 0 };

#[test]
fn lines_without_an_owner() {
    for kind in KINDS
        .into_iter()
        .chain([LockKind::RtMutex, LockKind::RtLock])
    {
        let format = match kind {
            LockKind::Mutex => MUTEX_NONE,
            LockKind::Semaphore => SEM_NONE,
            LockKind::RwSemReader | LockKind::RwSemWriter => RWSEM_NONE,
            LockKind::RtMutex => RT_MUTEX_NONE,
            LockKind::RtLock => RTLOCK_NONE,
        };
        assert_eq!(line(kind, FREE, None), printk(format, &["cat", "1234"]));
    }
}

#[test]
fn lines_with_an_owner() {
    let owner = Some(task_id("kworker/0:1H", 77));
    assert_eq!(
        line(LockKind::Mutex, FREE, owner),
        printk(MUTEX, &["cat", "1234", "kworker/0:1H", "77"])
    );
    assert_eq!(
        line(LockKind::Semaphore, FREE, owner),
        printk(SEM, &["cat", "1234", "kworker/0:1H", "77"])
    );
    for (kind, format) in [(LockKind::RtMutex, RT_MUTEX), (LockKind::RtLock, RTLOCK)] {
        assert_eq!(
            line(kind, FREE, owner),
            printk(format, &["cat", "1234", "kworker/0:1H", "77"])
        );
    }
    for (kind, waits_as) in [
        (LockKind::RwSemReader, "reader"),
        (LockKind::RwSemWriter, "writer"),
    ] {
        // is_rwsem_reader_owned(): no writer in the count, and the owner's lowest bit.
        let holds = [
            (0, 0x100, "writer"),
            (1, 0x100, "reader"),
            (3, 0x100, "reader"),
            (2, 0x100, "writer"),
            (1, 0x101, "writer"),
            (0, 0x101, "writer"),
            (1, 0, "reader"),
            (1, usize::MAX, "writer"),
            (1, usize::MAX - 1, "reader"),
        ];
        for (flags, count, held_as) in holds {
            let words = LockWords {
                owner: 0xffff_8880_0000_4000 | flags,
                count,
            };
            assert_eq!(
                line(kind, words, owner),
                printk(
                    RWSEM,
                    &["cat", "1234", waits_as, "kworker/0:1H", "77", held_as]
                ),
                "{words:x?}"
            );
        }
    }
}

#[test]
fn lines_as_they_stand_in_the_log() {
    // The same once more, spelled out, so that a search for the text finds them.
    let owner = Some(task_id("mv", 9));
    let reader = LockWords { owner: 1, count: 0 };
    assert_eq!(
        line(LockKind::Mutex, FREE, owner),
        "INFO: task cat:1234 is blocked on a mutex likely owned by task mv:9."
    );
    assert_eq!(
        line(LockKind::Semaphore, FREE, owner),
        "INFO: task cat:1234 blocked on a semaphore likely last held by task mv:9"
    );
    assert_eq!(
        line(LockKind::RwSemWriter, reader, owner),
        "INFO: task cat:1234 <writer> blocked on an rw-semaphore likely owned by task mv:9 <reader>"
    );
    assert_eq!(
        line(LockKind::RwSemReader, FREE, owner),
        "INFO: task cat:1234 <reader> blocked on an rw-semaphore likely owned by task mv:9 <writer>"
    );
}

#[test]
fn names_and_numbers_at_their_ends() {
    assert_eq!(task_id("", 0).to_string(), ":0");
    assert_eq!(
        task_id("fifteen-bytes-x", i32::MAX).to_string(),
        "fifteen-bytes-x:2147483647"
    );
    assert_eq!(task_id("a", -1).to_string(), "a:-1");
    // A name cannot begin another line.
    let text = line(LockKind::Mutex, FREE, Some(task_id("x\nINFO: task y", 5)));
    assert!(
        text.ends_with("owned by task x\\x0aINFO: task y:5."),
        "{text}"
    );
}

#[test]
fn decode_at_its_ends() {
    assert_eq!(decode(0), None);
    // No lock lies there.
    assert_eq!([decode(1), decode(2), decode(3)], [None; 3]);
    assert_eq!(decode(4), Some((LockKind::Mutex, 4)));
    assert_eq!(
        decode(usize::MAX),
        Some((LockKind::RwSemWriter, usize::MAX - 3))
    );
    let lock = 0xffff_8880_1234_5678;
    for (bits, kind) in KINDS.into_iter().enumerate() {
        assert_eq!(decode(lock + bits), Some((kind, lock)));
    }
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn decode_undoes_the_encoding(lock in 1..usize::MAX / 4, bits in 0..4usize) {
        prop_assert_eq!(decode(lock * 4 + bits), Some((KINDS[bits], lock * 4)));
    }

    /// A task's address comes back from the owner word of each lock, whatever the flags; a
    /// semaphore's has none.
    #[test]
    fn the_owner_under_the_flags(
        task in (0..usize::MAX / 64).prop_map(|n| n * 64),
        flags in 0..8usize,
        count: usize,
    ) {
        let of = |kind, owner| owner_task(kind, LockWords { owner, count });
        prop_assert_eq!(of(LockKind::Mutex, task + flags), task);
        prop_assert_eq!(of(LockKind::Semaphore, task), task);
        prop_assert_eq!(of(LockKind::Semaphore, task + flags), task + flags);
        prop_assert_eq!(of(LockKind::RwSemReader, task + flags % 4), task);
        prop_assert_eq!(of(LockKind::RwSemWriter, task + flags % 4), task);
        for kind in [LockKind::RtMutex, LockKind::RtLock] {
            prop_assert_eq!(of(kind, task + flags % 2), task);
            // There is one flag only (RT_MUTEX_HAS_WAITERS).
            prop_assert_eq!(of(kind, task + 2), task + 2);
        }
        // Bit 2 is part of a rw-semaphore's owner (RWSEM_OWNER_FLAGS_MASK is 3).
        prop_assert_eq!(of(LockKind::RwSemReader, task + 4), task + 4);
    }

    /// Whatever the words, a line is one of mainline's.
    #[test]
    fn no_other_lines(owner: usize, count: usize, kind in 0..4usize, found: bool) {
        let words = LockWords { owner, count };
        let owner = found.then(|| task_id("mv", 9));
        let reader = count % 2 == 0 && words.owner % 2 == 1;
        let (waits_as, held_as) = (
            if kind == 2 { "reader" } else { "writer" },
            if reader { "reader" } else { "writer" },
        );
        let expected = match (kind, found) {
            (0, false) => printk(MUTEX_NONE, &["cat", "1234"]),
            (1, false) => printk(SEM_NONE, &["cat", "1234"]),
            (_, false) => printk(RWSEM_NONE, &["cat", "1234"]),
            (0, true) => printk(MUTEX, &["cat", "1234", "mv", "9"]),
            (1, true) => printk(SEM, &["cat", "1234", "mv", "9"]),
            (_, true) => printk(RWSEM, &["cat", "1234", waits_as, "mv", "9", held_as]),
        };
        prop_assert_eq!(line(KINDS[kind], words, owner), expected);
    }
}
