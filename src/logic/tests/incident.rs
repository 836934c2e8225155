// SPDX-License-Identifier: GPL-2.0

//! The layout that dumps are read by. The offsets are written down here once more, as numbers: they
//! are what `docs/kdump.md` says and `scripts/vmcore-report` reads, whatever the code computes.

use proptest::prelude::*;
use std::{fs, path::Path};
use vigil_logic::{
    blocker::LockKind,
    incident::{
        self, DecodeError, Incident, IncidentKind, Stack, Wait, CONFIRMED, IN_IOWAIT, PANIC,
    },
    task::{Comm, TaskId, Whereabouts},
};

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn who(name: &[u8], pid: i32) -> TaskId {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name);
    TaskId {
        comm: Comm::new(comm),
        pid,
    }
}

fn incident() -> Incident {
    let mut stack = Stack {
        depth: 3,
        ..Stack::default()
    };
    stack.addresses[..4].copy_from_slice(&[0xa1, 0xa2, 0xa3, 0xa4]);
    Incident {
        kind: IncidentKind::HungTask,
        cpu: 7,
        task: Some(who(b"tar", 4711)),
        finder: 2,
        found: 5_000,
        age: 1_200,
        wall: 99,
        wait: Some(Wait {
            lock: LockKind::RwSemWriter,
            address: 0xffff_8000,
            owner: Some(who(b"sync\xff", 12)),
        }),
        flags: IN_IOWAIT,
        stack,
        whereabouts: Whereabouts::new(3, b"/pod/a b", false),
    }
}

#[test]
fn the_header() {
    let header = bytes(&incident::header());
    assert_eq!(header.len(), 64);
    assert_eq!(&header[..16], b"vigil incidents\0");
    let numbers: Vec<u32> = [16, 20, 24, 28, 48].map(|at| u32_at(&header, at)).into();
    assert_eq!(numbers, [3, 64, 592, 64, 18]);
    // Entry numbers, flags and culprits are written by themselves.
    assert_eq!(incident::FLAGS_WORD * 8, 104);
    assert_eq!(incident::CULPRIT_WORD * 8, 256);
    assert_eq!(incident::WORDS * 8, 592);
    // What is written at run time: its own address, how many there were.
    assert_eq!(incident::HEADER_ADDRESS * 8, 32);
    assert_eq!(incident::HEADER_NEXT * 8, 40);
    assert_eq!((u64_at(&header, 32), u64_at(&header, 40)), (0, 0));
    assert_eq!(header[52..], [0; 12]);
}

#[test]
fn an_entry() {
    let entry = bytes(&incident().encode());
    assert_eq!(entry.len(), 592);
    // The number is not its business.
    assert_eq!(u64_at(&entry, 0), 0);
    let numbers: Vec<u32> = [8, 12, 16, 20].map(|at| u32_at(&entry, at)).into();
    assert_eq!(numbers, [1, 7, 4711, 2]);
    assert_eq!(&entry[24..40], b"tar\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let times: Vec<u64> = [40, 48, 56, 64].map(|at| u64_at(&entry, at)).into();
    assert_eq!(times, [5_000, 3_800, 1_200, 99]);
    assert_eq!((u32_at(&entry, 72), u32_at(&entry, 76)), (4, 12));
    assert_eq!(u64_at(&entry, 80), 0xffff_8000);
    assert_eq!(&entry[88..104], b"sync\xff\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!((u32_at(&entry, 104), u32_at(&entry, 108)), (2, 3));
    let stack: Vec<u64> = (112..256).step_by(8).map(|at| u64_at(&entry, at)).collect();
    assert_eq!(stack[..4], [0xa1, 0xa2, 0xa3, 0]);
    assert_eq!(stack.len(), incident::STACK);
    // The culprit is written by itself.
    assert_eq!(entry[256..456], [0; 200]);
    assert_eq!((u32_at(&entry, 456), u32_at(&entry, 460)), (3, 0));
    assert_eq!(&entry[464..472], b"/pod/a b");
    assert_eq!(entry[472..], [0; 120]);
}

#[test]
fn each_number_has_its_meaning() {
    let kinds = [
        IncidentKind::HungTask,
        IncidentKind::SoftLockup,
        IncidentKind::HardLockup,
        IncidentKind::UnresponsiveCpu,
    ];
    assert_eq!(kinds.map(|kind| kind as u32), [1, 2, 3, 4]);
    assert_eq!([CONFIRMED, IN_IOWAIT, PANIC], [1, 2, 4]);
    let locks = [
        LockKind::Mutex,
        LockKind::Semaphore,
        LockKind::RwSemReader,
        LockKind::RwSemWriter,
        LockKind::RtMutex,
        LockKind::RtLock,
    ];
    let numbers = locks.map(|lock| {
        let mut incident = incident();
        incident.wait.as_mut().unwrap().lock = lock;
        u32_at(&bytes(&incident.encode()), 72)
    });
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_is_not_known() {
    let mut unknown = incident();
    unknown.task = None;
    unknown.wait = None;
    unknown.stack = Stack::default();
    unknown.whereabouts = Whereabouts::NONE;
    let entry = bytes(&unknown.encode());
    assert_eq!(u32_at(&entry, 16) as i32, -1);
    assert_eq!(entry[24..40], [0; 16]);
    assert_eq!(entry[72..104], [0; 32]);
    assert_eq!(u32_at(&entry, 108), 0);
    assert_eq!(entry[456..], [0; 136]);
    unknown.wait = Some(Wait {
        lock: LockKind::Mutex,
        address: 8,
        owner: None,
    });
    let entry = bytes(&unknown.encode());
    assert_eq!((u32_at(&entry, 72), u32_at(&entry, 76)), (1, 0));
    assert_eq!(u64_at(&entry, 80), 8);
    assert_eq!(entry[88..104], [0; 16]);
}

/// Numbers out of range, a stack that says it is deeper than it can be, a name without an end.
#[test]
fn nothing_gets_out_of_its_place() {
    let mut odd = incident();
    odd.age = u64::MAX;
    odd.stack.depth = 1000;
    odd.stack.addresses = [usize::MAX; incident::STACK];
    odd.task = Some(who(b"0123456789abcdef", i32::MIN));
    odd.whereabouts = Whereabouts::new(-1, &[b'x'; 300], true);
    let entry = bytes(&odd.encode());
    assert_eq!(u64_at(&entry, 48), 0);
    assert_eq!(u32_at(&entry, 108) as usize, incident::STACK);
    assert_eq!(&entry[24..40], b"0123456789abcdef");
    assert_eq!(entry[256..456], [0; 200]);
    assert_eq!((u32_at(&entry, 456), u32_at(&entry, 460)), (u32::MAX, 0));
    assert_eq!(entry[464..], [b'x'; 128]);
}

/// Bytes of an older name behind the NUL are nobody's business.
#[test]
fn a_name_ends_at_its_nul() {
    let mut short = incident();
    short.task = Some(TaskId {
        comm: Comm::new(*b"sh\0secret\0\0\0\0\0\0\0"),
        pid: 1,
    });
    assert_eq!(
        &bytes(&short.encode())[24..40],
        b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    );
}

/// Offsets and sizes of the tables in `docs/kdump.md`, which add up.
#[test]
fn the_document_has_the_layout() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kdump.md");
    let text = fs::read_to_string(path).unwrap();
    let table = |heading: &str| -> Vec<(usize, usize)> {
        let (_, rest) = text.split_once(heading).expect(heading);
        rest.lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                (cells[1].parse().unwrap(), cells[2].parse().unwrap())
            })
            .collect()
    };
    for (heading, size) in [("### Header", 64), ("### Entry", 592)] {
        let end = table(heading).into_iter().fold(0, |end, (offset, size)| {
            assert_eq!(offset, end, "{heading}");
            end + size
        });
        assert_eq!(end, size, "{heading}");
    }
    for word in [
        "`vigil_incidents`",
        "1 hung task, 2 soft lockup, 3 hard lockup, 4 unresponsive CPU",
        "1 mutex, 2 semaphore, 3 rw-semaphore as a reader, 4 rw-semaphore as a writer, 5 rt_mutex, \
         6 spinlock or rwlock",
        "1 confirmed by an NMI, 2 in I/O wait, 4 a panic was decided on",
        "0 not known, 1 a CPU that has to run a function, 2 a CPU that has taken the spinlock, \
         3 the only stuck CPU that does not wait (\"may\"), 4 a task, 5 a deadlock, \
         6 a lock whose owner is not known, 7 tasks in the same place, \
         8 a CPU that may have to run a function for it",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

fn any_task() -> impl Strategy<Value = TaskId> {
    let comm = prop_oneof![Just([0; 16]), any::<[u8; 16]>()];
    let pid = prop_oneof![Just(-1), Just(0), any::<i32>()];
    (comm, pid).prop_map(|(comm, pid)| TaskId {
        comm: Comm::new(comm),
        pid,
    })
}

fn any_whereabouts() -> impl Strategy<Value = Whereabouts> {
    let path = "(/[^/\0]{1,90}){0,3}";
    (any::<i32>(), path, any::<bool>())
        .prop_map(|(ns_pid, path, is_cut)| Whereabouts::new(ns_pid, path.as_bytes(), is_cut))
}

fn any_incident() -> impl Strategy<Value = Incident> {
    let kind = prop::sample::select(vec![
        IncidentKind::HungTask,
        IncidentKind::SoftLockup,
        IncidentKind::HardLockup,
        IncidentKind::UnresponsiveCpu,
    ]);
    let lock = prop::sample::select(vec![
        LockKind::Mutex,
        LockKind::Semaphore,
        LockKind::RwSemReader,
        LockKind::RwSemWriter,
        LockKind::RtMutex,
        LockKind::RtLock,
    ]);
    // The idle task holds no lock: a pid of 0 says that the owner is not known.
    let owner = any_task().prop_filter("the idle task", |owner| owner.pid != 0);
    let owner = prop::option::of(owner);
    let wait = prop::option::of((lock, any::<usize>(), owner).prop_map(
        |(lock, address, owner)| Wait {
            lock,
            address,
            owner,
        },
    ));
    let depth = prop_oneof![0..=incident::STACK as u32, any::<u32>()];
    let stack = (any::<[usize; incident::STACK]>(), depth)
        .prop_map(|(addresses, depth)| Stack { addresses, depth });
    let task = prop::option::of(any_task());
    let cpus = any::<(u32, u32)>();
    let times = any::<(u64, u64, u64)>();
    let more = (any::<u32>(), stack, any_whereabouts());
    (kind, cpus, task, times, wait, more).prop_map(
        |(kind, (cpu, finder), task, (found, age, wall), wait, (flags, stack, whereabouts))| {
            Incident {
                kind,
                cpu,
                task,
                finder,
                found,
                age,
                wall,
                wait,
                flags,
                stack,
                whereabouts,
            }
        },
    )
}

/// The incident as far as an entry has room for it: without the bytes behind the NUL of a name, the
/// addresses behind the end of the stack, and a task that looks like one that is not known.
fn storable(incident: &Incident) -> Incident {
    let padded = |task: TaskId| TaskId {
        comm: Comm::new(task.comm.padded()),
        ..task
    };
    let is_known = |task: &TaskId| (task.pid, task.comm) != (-1, Comm::default());
    let depth = incident.stack.depth.min(incident::STACK as u32);
    let mut addresses = incident.stack.addresses;
    addresses[depth as usize..].fill(0);
    Incident {
        task: incident.task.map(padded).filter(is_known),
        wait: incident.wait.map(|wait| Wait {
            owner: wait.owner.map(padded),
            ..wait
        }),
        stack: Stack { addresses, depth },
        ..*incident
    }
}

#[test]
fn decode_knows_what_is_not_known() {
    let mut unknown = incident();
    unknown.task = None;
    unknown.wait = None;
    unknown.stack = Stack::default();
    unknown.whereabouts = Whereabouts::NONE;
    assert_eq!(Incident::decode(&unknown.encode()), Ok(unknown));
}

/// The number of the incident and the time when it began are not needed to decode the others.
#[test]
fn decode_does_not_need_the_number() {
    let mut words = incident().encode();
    words[0] = 7;
    words[6] = 0;
    assert_eq!(Incident::decode(&words), Ok(storable(&incident())));
}

#[test]
fn decode_refuses_what_no_entry_can_hold() {
    // Bytes 8, 72 and 108: the kind, the kind of lock, the depth of the stack.
    let with = |byte: usize, value: u32| {
        let mut entry = bytes(&incident().encode());
        entry[byte..byte + 4].copy_from_slice(&value.to_ne_bytes());
        let mut words = incident().encode();
        for (word, bytes) in words.iter_mut().zip(entry.chunks(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap());
        }
        Incident::decode(&words)
    };
    for kind in [0, 5, u32::MAX] {
        assert_eq!(with(8, kind), Err(DecodeError::Kind(kind)));
    }
    for lock in [7, u32::MAX] {
        assert_eq!(with(72, lock), Err(DecodeError::Lock(lock)));
    }
    for depth in [19, u32::MAX] {
        assert_eq!(with(108, depth), Err(DecodeError::Depth(depth)));
    }
    for (byte, value) in [(8, 4), (72, 0), (72, 6), (108, 18)] {
        assert!(with(byte, value).is_ok(), "{byte} {value}");
    }
    assert_eq!(
        DecodeError::Depth(19).to_string(),
        "a stack of 19 addresses, at most 18 fit"
    );
}

proptest! {
    /// Both ways: what an entry has room for comes back, and is the same entry again.
    #[test]
    fn decode_is_the_inverse_of_encode(incident in any_incident()) {
        let storable = storable(&incident);
        let words = incident.encode();
        prop_assert_eq!(words, storable.encode());
        prop_assert_eq!(Incident::decode(&words), Ok(storable));
    }

    /// A record may be damaged: any words are decoded or refused, and are what was decoded, but for
    /// what has no meaning in them.
    #[test]
    fn decode_takes_any_words(
        words in prop::collection::vec(any::<u64>(), incident::WORDS),
        kind in 1..=4u32,
        lock in 0..=4u32,
        depth in 0..=18u32,
    ) {
        let mut words: [u64; incident::WORDS] = words.try_into().unwrap();
        let _ = Incident::decode(&words);
        let low = |word: u64, low: u32| {
            let [.., e, f, g, h] = word.to_ne_bytes();
            let [a, b, c, d] = low.to_ne_bytes();
            u64::from_ne_bytes([a, b, c, d, e, f, g, h])
        };
        words[1] = low(words[1], kind);
        words[9] = low(words[9], lock);
        words[incident::FLAGS_WORD] = incident::flags_word(7, depth);
        let decoded = Incident::decode(&words).unwrap();
        prop_assert_eq!(Incident::decode(&decoded.encode()), Ok(storable(&decoded)));
    }
}
