// SPDX-License-Identifier: GPL-2.0

//! The culprit in an entry of the crash record. The offsets are written down here once more, as in
//! `incident.rs`: they are what `docs/kdump.md` says and `scripts/vmcore-report` reads.

use proptest::prelude::*;
use vigil_logic::{
    culprit::{Culprit, CulpritKind},
    incident::{DecodeError, CULPRIT_WORD, CULPRIT_WORDS, WHEREABOUTS_WORD, WORDS},
    task::{Comm, TaskId, Whereabouts},
};

const KINDS: [CulpritKind; 8] = [
    CulpritKind::Call,
    CulpritKind::LockOwner,
    CulpritKind::OnlyOne,
    CulpritKind::Task,
    CulpritKind::Deadlock,
    CulpritKind::Lock,
    CulpritKind::SamePlace,
    CulpritKind::MaybeCall,
];

fn culprit() -> Culprit {
    Culprit {
        kind: CulpritKind::Call,
        cpu: Some(3),
        task: Some(TaskId {
            comm: Comm::new(*b"kworker/3:1\0old\0"),
            pid: 77,
        }),
        count: 5,
        depth: 2,
        address: 0xa1,
        spins_for: 0xa2,
        place: 0xa3,
        age: 21_400_000_000,
        whereabouts: Whereabouts::new(9, b"/db", false),
    }
}

/// An entry with the words of a culprit where they belong.
fn entry(culprit: &Culprit) -> Vec<u8> {
    let mut words = [0; WORDS];
    words[CULPRIT_WORD..WHEREABOUTS_WORD].copy_from_slice(&culprit.encode());
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let part: [u8; N] = bytes[at..at + N].try_into().unwrap();
    let mut wide = [0; 8];
    if cfg!(target_endian = "little") {
        wide[..N].copy_from_slice(&part);
    } else {
        wide[8 - N..].copy_from_slice(&part);
    }
    u64::from_ne_bytes(wide)
}

#[test]
fn each_field_has_its_place() {
    let entry = entry(&culprit());
    assert_eq!(entry.len(), 592);
    assert_eq!([256, 258].map(|at| number::<2>(&entry, at)), [1, 2]);
    assert_eq!(
        [260, 264, 268].map(|at| number::<4>(&entry, at)),
        [3, 77, 5]
    );
    assert_eq!(&entry[272..288], b"kworker/3:1\0\0\0\0\0");
    assert_eq!(
        [288, 296, 304, 312].map(|at| number::<8>(&entry, at)),
        [0xa1, 0xa2, 0xa3, 21_400_000_000]
    );
    assert_eq!([320, 324].map(|at| number::<4>(&entry, at)), [9, 0]);
    assert_eq!(&entry[328..334], b"/db\0\0\0");
    assert_eq!(entry[334..], [0; 258]);
}

#[test]
fn each_kind_has_its_number() {
    let numbers = KINDS.map(|kind| number::<2>(&entry(&Culprit { kind, ..culprit() }), 256));
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// A CPU and a task that are not known, and a chain that is longer than there is room for.
#[test]
fn what_is_not_known_and_what_does_not_fit() {
    let entry = entry(&Culprit {
        cpu: None,
        task: None,
        depth: u32::MAX,
        ..culprit()
    });
    assert_eq!(number::<2>(&entry, 258), 0xffff);
    assert_eq!(number::<4>(&entry, 260), 0xffff_ffff);
    assert_eq!(number::<4>(&entry, 264) as u32 as i32, -1);
    assert_eq!(entry[272..288], [0; 16]);
}

/// Until all is written, the first word is 0, whatever is in the others.
#[test]
fn without_its_first_word_there_is_none() {
    let mut words = culprit().encode();
    words[0] = 0;
    assert_eq!(Culprit::decode(&words), Ok(None));
    assert_eq!(Culprit::decode(&[0; CULPRIT_WORDS]), Ok(None));
}

#[test]
fn decode_refuses_an_unknown_kind() {
    for kind in [9, u16::MAX] {
        let mut words = culprit().encode();
        let mut bytes = words[0].to_ne_bytes();
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        words[0] = u64::from_ne_bytes(bytes);
        assert_eq!(Culprit::decode(&words), Err(DecodeError::Culprit(kind)));
    }
    assert_eq!(
        DecodeError::Culprit(9).to_string(),
        "unknown kind of culprit: 9"
    );
}

/// The culprit as far as there is room for it: see `storable()` in `incident.rs`.
fn storable(culprit: &Culprit) -> Culprit {
    let padded = |task: TaskId| TaskId {
        comm: Comm::new(task.comm.padded()),
        ..task
    };
    let is_known = |task: &TaskId| (task.pid, task.comm) != (-1, Comm::default());
    Culprit {
        cpu: culprit.cpu.filter(|&cpu| cpu != u32::MAX),
        task: culprit.task.map(padded).filter(is_known),
        depth: culprit.depth.min(0xffff),
        ..*culprit
    }
}

fn any_culprit() -> impl Strategy<Value = Culprit> {
    let kind = prop::sample::select(KINDS.to_vec());
    let cpu = prop::option::of(prop_oneof![0..1024u32, Just(u32::MAX)]);
    let comm = prop_oneof![Just([0; 16]), any::<[u8; 16]>()];
    let pid = prop_oneof![Just(-1), Just(0), any::<i32>()];
    let task = prop::option::of((comm, pid).prop_map(|(comm, pid)| TaskId {
        comm: Comm::new(comm),
        pid,
    }));
    let counts = any::<(u32, u32)>();
    let addresses = any::<(usize, usize, usize)>();
    let whereabouts = (any::<i32>(), "(/[^/\0]{1,90}){0,3}", any::<bool>())
        .prop_map(|(ns_pid, path, is_cut)| Whereabouts::new(ns_pid, path.as_bytes(), is_cut));
    (
        kind,
        cpu,
        task,
        counts,
        addresses,
        any::<u64>(),
        whereabouts,
    )
        .prop_map(
            |(kind, cpu, task, (count, depth), (address, spins_for, place), age, whereabouts)| {
                Culprit {
                    kind,
                    cpu,
                    task,
                    count,
                    depth,
                    address,
                    spins_for,
                    place,
                    age,
                    whereabouts,
                }
            },
        )
}

proptest! {
    /// Both ways: what there is room for comes back, and is the same words again.
    #[test]
    fn decode_is_the_inverse_of_encode(culprit in any_culprit()) {
        let storable = storable(&culprit);
        let words = culprit.encode();
        prop_assert!(words[0] != 0);
        prop_assert_eq!(words, storable.encode());
        prop_assert_eq!(Culprit::decode(&words), Ok(Some(storable)));
    }

    /// A record may be damaged: any words are decoded or refused, and are what was decoded, but for
    /// what has no meaning in them.
    #[test]
    fn decode_takes_any_words(mut words in any::<[u64; CULPRIT_WORDS]>(), kind in 1..=8u16) {
        let _ = Culprit::decode(&words);
        let mut first = words[0].to_ne_bytes();
        first[..2].copy_from_slice(&kind.to_ne_bytes());
        words[0] = u64::from_ne_bytes(first);
        let decoded = Culprit::decode(&words).unwrap().unwrap();
        prop_assert_eq!(Culprit::decode(&decoded.encode()), Ok(Some(storable(&decoded))));
    }
}
