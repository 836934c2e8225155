// SPDX-License-Identifier: GPL-2.0

//! The layout that dumps are read by. The offsets are written down here once more, as numbers: they
//! are what `docs/kdump.md` says and `scripts/vmcore-report` reads, whatever the code computes.

use std::{fs, path::Path};
use vigil_logic::{
    blocker::LockKind,
    incident::{self, Incident, IncidentKind, Stack, Wait, CONFIRMED, IN_IOWAIT, PANIC},
    task::{Comm, TaskId},
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
    }
}

#[test]
fn the_header() {
    let header = bytes(&incident::header());
    assert_eq!(header.len(), 64);
    assert_eq!(&header[..16], b"vigil incidents\0");
    let numbers: Vec<u32> = [16, 20, 24, 28, 48].map(|at| u32_at(&header, at)).into();
    assert_eq!(numbers, [1, 64, 256, 64, 18]);
    // What is written at run time: its own address, how many there were.
    assert_eq!(incident::HEADER_ADDRESS * 8, 32);
    assert_eq!(incident::HEADER_NEXT * 8, 40);
    assert_eq!((u64_at(&header, 32), u64_at(&header, 40)), (0, 0));
    assert_eq!(header[52..], [0; 12]);
}

#[test]
fn an_entry() {
    let entry = bytes(&incident().words());
    assert_eq!(entry.len(), 256);
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
    ];
    let numbers = locks.map(|lock| {
        let mut incident = incident();
        incident.wait.as_mut().unwrap().lock = lock;
        u32_at(&bytes(&incident.words()), 72)
    });
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn what_is_not_known() {
    let mut unknown = incident();
    unknown.task = None;
    unknown.wait = None;
    unknown.stack = Stack::default();
    let entry = bytes(&unknown.words());
    assert_eq!(u32_at(&entry, 16) as i32, -1);
    assert_eq!(entry[24..40], [0; 16]);
    assert_eq!(entry[72..104], [0; 32]);
    assert_eq!(u32_at(&entry, 108), 0);
    unknown.wait = Some(Wait {
        lock: LockKind::Mutex,
        address: 8,
        owner: None,
    });
    let entry = bytes(&unknown.words());
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
    let entry = bytes(&odd.words());
    assert_eq!(u64_at(&entry, 48), 0);
    assert_eq!(u32_at(&entry, 108) as usize, incident::STACK);
    assert_eq!(&entry[24..40], b"0123456789abcdef");
    assert_eq!(entry.len(), 256);
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
        &bytes(&short.words())[24..40],
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
    for (heading, size) in [("### Header", 64), ("### Entry", 256)] {
        let end = table(heading).into_iter().fold(0, |end, (offset, size)| {
            assert_eq!(offset, end, "{heading}");
            end + size
        });
        assert_eq!(end, size, "{heading}");
    }
    for word in [
        "`vigil_incidents`",
        "1 hung task, 2 soft lockup, 3 hard lockup, 4 CPU that does not run",
        "1 mutex, 2 semaphore, 3 rw-semaphore as a reader, 4 rw-semaphore as a writer",
        "1 confirmed by an NMI, 2 in I/O wait, 4 a panic was decided on",
    ] {
        assert!(text.contains(word), "{word}");
    }
}
