// SPDX-License-Identifier: GPL-2.0

//! The words and numbers of events, and the numbers of the netlink family.

use proptest::prelude::*;
use vigil_logic::{
    culprit::{Culprit, CulpritKind},
    event::{is_behind_changed, next_number, Event, EventKind},
    incident::{Incident, IncidentKind, Stack, STACK},
    incident_table::{Details, Particulars},
    netlink::SETS,
    task::{TaskId, Whereabouts},
};

fn kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        Just(EventKind::Start),
        Just(EventKind::Change),
        Just(EventKind::End)
    ]
}

#[test]
fn a_word_without_an_event() {
    assert_eq!(Event::unpack(0), None);
    assert_eq!(Event::unpack(12), None);
}

#[test]
fn what_counts_as_a_change() {
    for (announced, behind, changed) in [
        (0, 0, false),
        (0, 9, false),
        (0, 10, true),
        (1, 9, false),
        (1, 10, true),
        (7, 69, false),
        (7, 70, true),
        (70, 8, false),
        (70, 7, true),
        (u32::MAX, u32::MAX, true),
        (u32::MAX, 1, true),
    ] {
        let expected = changed && announced != behind;
        assert_eq!(
            is_behind_changed(announced, behind),
            expected,
            "{announced}, {behind}"
        );
    }
}

/// The attributes and operations of the specification, in their order.
fn specified() -> Vec<(String, Vec<String>)> {
    let text = include_str!("../../../docs/netlink/vigil.yaml");
    let mut sets: Vec<(String, Vec<String>)> = Vec::new();
    let mut section = "";
    let mut after_dash = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        if indent == 0 && line.ends_with(':') {
            section = line;
            if section == "operations:" {
                sets.push(("operations".to_owned(), Vec::new()));
            }
        }
        if let (Some(dash), Some(name)) = (after_dash, line.strip_prefix("name: ")) {
            let name = name.trim_matches('"').to_owned();
            match (section, dash) {
                ("attribute-sets:", 2) => sets.push((name.replace('-', "_"), Vec::new())),
                ("attribute-sets:", _) | ("operations:", _) => {
                    sets.last_mut().unwrap().1.push(name);
                }
                _ => {}
            }
        }
        after_dash = (line == "-").then_some(indent);
    }
    sets
}

/// As the kernel's tools number them: in the order of the specification, from 1 on.
#[test]
fn numbers_are_those_of_the_specification() {
    let specified = specified();
    assert_eq!(specified.len(), SETS.len());
    for (set, names) in specified {
        let (_, known) = SETS.iter().find(|(name, _)| *name == set).unwrap();
        let known: Vec<_> = known
            .iter()
            .map(|&(name, at)| (name.to_owned(), at))
            .collect();
        assert_eq!(
            known,
            names.into_iter().zip(1..).collect::<Vec<_>>(),
            "{set}"
        );
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(
        vigil_logic::netlink::MODULE_VERSION,
        env!("CARGO_PKG_VERSION")
    );
}

proptest! {
    #[test]
    fn events_in_words(kind in kind(), id in 0u64..1 << 62) {
        let event = Event { kind, id };
        prop_assert_eq!(Event::unpack(event.pack()), Some(event));
    }

    /// Whatever CPUs read of the count of those that were passed over: numbers grow, and where each has read
    /// it in order they are the position and what was passed over.
    #[test]
    fn numbers_grow(passed in prop::collection::vec(0u64..5, 1..50), stale in any::<bool>()) {
        let mut last = 0;
        let mut sum = 0;
        for (position, more) in (0..).zip(passed) {
            sum += more;
            let read = if stale && position % 3 == 1 { sum - more } else { sum };
            let number = next_number(last, position, read);
            prop_assert!(number > last);
            prop_assert!(number <= position + sum + 1);
            if !stale {
                prop_assert_eq!(number, position + sum + 1);
            }
            last = number;
        }
    }

    #[test]
    fn particulars_in_words(
        finder in any::<u32>(),
        wall in any::<u64>(),
        flags in any::<u32>(),
        announced_behind in any::<u32>(),
        addresses in any::<[usize; STACK]>(),
        depth in 0..=STACK as u32,
        ns_pid in any::<i32>(),
        path in "(/[a-z\\x80-\\xff]{0,100}){0,3}",
        culprit in prop::option::of((any::<Option<u16>>(), any::<u32>(), any::<u16>(), any::<usize>())),
    ) {
        let whereabouts = Whereabouts::new(ns_pid, path.as_bytes(), false);
        let particulars = Particulars {
            whereabouts,
            finder,
            wall,
            flags,
            announced_behind,
            stack: Stack { addresses, depth },
            culprit: culprit.map(|(cpu, count, depth, address)| Culprit {
                kind: CulpritKind::MaybeCall,
                cpu: cpu.map(Into::into),
                task: Some(TaskId::default()).filter(|_| count % 2 == 0),
                count,
                depth: depth.into(),
                address,
                spins_for: address / 2,
                place: address / 3,
                age: wall,
                whereabouts: Whereabouts::new(ns_pid / 2, b"/a/b", true),
            }),
        };
        prop_assert_eq!(Particulars::decode(&particulars.encode()), particulars);

        // Those of an incident that is found: without a culprit.
        let incident = Incident {
            kind: IncidentKind::SoftLockup,
            cpu: 1,
            task: None,
            finder,
            found: 0,
            age: 0,
            wall,
            wait: None,
            flags,
            stack: particulars.stack,
            whereabouts,
        };
        let details = Details { behind: announced_behind, ..Details::default() };
        let words: Vec<u64> = Particulars::words_of(&incident, &details).collect();
        let expected = Particulars { culprit: None, ..particulars };
        prop_assert_eq!(words, expected.encode());
    }
}
