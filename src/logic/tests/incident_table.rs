// SPDX-License-Identifier: GPL-2.0

//! The table of incidents against a model that keeps all of them in a list.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    blocker::LockKind,
    incident::{Incident, IncidentKind, Stack, Wait},
    incident_table::{
        choose, kind_word, CauseRoot, Details, End, Heading, How, Listed, ListedKind, PlaceState,
        Row, Summary, PLACES,
    },
    task::{Comm, TaskId},
};

fn named(name: &[u8], pid: i32) -> TaskId {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name);
    TaskId {
        comm: Comm::new(comm),
        pid,
    }
}

fn incident() -> Incident {
    Incident {
        kind: IncidentKind::HungTask,
        cpu: 1,
        task: Some(named(b"tar", 4711)),
        finder: 0,
        found: 12_250_210_999,
        age: 3_012_345_678,
        wall: 99,
        wait: Some(Wait {
            lock: LockKind::Mutex,
            address: 0xff2e_f6fc_c246_5960,
            owner: Some(named(b"sync", 12)),
        }),
        flags: 0,
        whereabouts: Default::default(),
        stack: Stack::default(),
    }
}

fn row(listed: &Listed) -> String {
    let row = Row {
        id: 9_237_541,
        listed,
        now: 20_000_000_000,
    };
    row.to_string()
}

#[test]
fn as_it_reads() {
    let now = 20_000_000_000;
    let all = [
        format!("{}", Summary { total: 3, now }),
        format!("{Heading}"),
        row(&Listed::new(&incident(), &Details::default())),
        row(&Listed {
            end: Some(End {
                how: How::Recovered,
                at: 15_000_000_000,
                age: 37_000_000_000,
            }),
            ..Listed::new(
                &incident(),
                &Details {
                    root: CauseRoot::Deadlock(3),
                    behind: 98,
                    ..Details::default()
                },
            )
        }),
        row(&Listed::new(
            &Incident {
                kind: IncidentKind::UnresponsiveCpu,
                task: None,
                wait: None,
                ..incident()
            },
            &Details::default(),
        )),
    ];
    assert_eq!(
        all,
        [
            "3 incidents since load, at most 64 of them listed, newest first; it is now [20.000000]",
            "ID               KIND                      BEGAN       REPORTED          ENDED STATE                     CPU BEHIND TASK                   CAUSE",
            "9237541          hung task              9.237865      12.250210              - still on, 10.7 s            1      - tar:4711               mutex ff2ef6fcc2465960 held by sync:12",
            "9237541          root cause             9.237865      12.250210      15.000000 recovered after 37 s        1     98 tar:4711               deadlock of 3",
            "9237541          unresponsive CPU       9.237865      12.250210              - still on, 10.7 s            1      - -                      -",
        ]
    );
}

/// Each cause of an incident.
#[test]
fn causes() {
    for (root, has_lock, expected) in [
        (CauseRoot::None, false, "-"),
        (
            CauseRoot::None,
            true,
            "mutex ff2ef6fcc2465960 held by sync:12",
        ),
        (
            CauseRoot::Task(named(b"dd", 7)),
            true,
            "dd:7 (mutex ff2ef6fcc2465960)",
        ),
        (CauseRoot::Task(named(b"dd", 7)), false, "dd:7"),
        (
            CauseRoot::Lock,
            true,
            "mutex ff2ef6fcc2465960, owner not known",
        ),
        (CauseRoot::Place, false, "same place in the code"),
    ] {
        let incident = Incident {
            wait: incident().wait.filter(|_| has_lock),
            ..incident()
        };
        let details = Details {
            root,
            ..Details::default()
        };
        let row = row(&Listed::new(&incident, &details));
        assert!(row.ends_with(&format!(" {expected}")), "{row}");
    }
}

/// The table of the greatest length fits into the file.
#[test]
fn the_longest_text() {
    let task = named(&[0xff; 15], i32::MIN);
    let mut listed = Listed::new(
        &Incident {
            cpu: u32::MAX,
            task: Some(task),
            found: u64::MAX,
            age: 0,
            wait: Some(Wait {
                lock: LockKind::RwSemReader,
                address: usize::MAX,
                owner: Some(task),
            }),
            ..incident()
        },
        &Details {
            key: 0,
            root: CauseRoot::Task(task),
            behind: u32::MAX,
        },
    );
    listed.end = Some(End {
        how: How::Unwatched,
        at: u64::MAX,
        age: u64::MAX,
    });
    let (id, now) = (u64::MAX, u64::MAX);
    let row = Row {
        id,
        listed: &listed,
        now,
    };
    let length = format!("{}\n{Heading}\n", Summary { total: id, now }).len()
        + 64 * (row.to_string().len() + 1);
    // MAX_LENGTH of the file.
    assert!(length <= 32768, "{length}");
}

fn any_task() -> impl Strategy<Value = TaskId> {
    // No NUL inside of a name, and no name of 16 bytes, as in the kernel. Not -1.
    let name = prop::collection::vec(1u8.., 0..16);
    (name, 0..i32::MAX).prop_map(|(name, pid)| named(&name, pid))
}

fn any_kind() -> impl Strategy<Value = ListedKind> {
    prop::sample::select(ListedKind::ALL.to_vec())
}

fn is_of_task(kind: ListedKind) -> bool {
    matches!(kind, ListedKind::HungTask | ListedKind::RootCause)
}

/// An incident of the model: its id, its kind and CPU, and whether it has ended.
type Entry = (u64, (ListedKind, u32), bool);

/// Which of the incidents that are listed is given up for a new one, as `choose` promises.
fn given_up(listed: &[Entry], new: (ListedKind, u32)) -> Option<u64> {
    let oldest =
        |which: &dyn Fn(&Entry) -> bool| listed.iter().filter(|it| which(it)).map(|it| it.0).min();
    // Of a CPU that has the new one, the old one cannot be on.
    let same = |it: &Entry| !is_of_task(new.0) && it.1 == new;
    let soft = new.0 == ListedKind::HardLockup || new.0 == ListedKind::UnresponsiveCpu;
    oldest(&|it| it.2 || same(it))
        .or_else(|| oldest(&|it| is_of_task(it.1 .0)))
        .or_else(|| oldest(&|it| soft && it.1 .0 == ListedKind::SoftLockup))
}

/// However many tasks are hung, a lockup that is on stays listed; and a hard lockup finds a place however
/// many CPUs have a soft one.
#[test]
fn lockups_stay() {
    let mut table = vec![(PlaceState::Free, 0); PLACES];
    let mut add = |id: u64, kind, cpu| {
        let new = kind_word(kind, cpu);
        let places = table.iter().copied().enumerate();
        let chosen = choose(
            new,
            places.map(|(place, (state, kind))| (place, state, kind)),
        );
        if let Some((place, _)) = chosen {
            table[place] = (PlaceState::On(id), new);
        }
        let ids = table.iter().filter_map(|(state, _)| state.id());
        ids.collect::<Vec<u64>>()
    };
    add(1, ListedKind::HardLockup, 3);
    add(2, ListedKind::SoftLockup, 4);
    add(3, ListedKind::UnresponsiveCpu, 5);
    let tasks = 3 * PLACES as u64;
    let mut listed = Vec::new();
    for id in 0..tasks {
        listed = add(100 + id, ListedKind::HungTask, 0);
    }
    assert!([1, 2, 3].iter().all(|id| listed.contains(id)), "{listed:?}");
    assert!(listed.contains(&(99 + tasks)), "{listed:?}");
    // More CPUs than places: those that were stuck first stay.
    for cpu in 10..10 + 2 * PLACES as u32 {
        listed = add(1000 + u64::from(cpu), ListedKind::SoftLockup, cpu);
    }
    assert!([1, 2, 3, 1010].iter().all(|id| listed.contains(id)));
    assert!(!listed.contains(&(99 + tasks)));
    listed = add(2000, ListedKind::HungTask, 0);
    assert!(!listed.contains(&2000));
    listed = add(2001, ListedKind::HardLockup, 0);
    assert!(listed.contains(&2001) && !listed.contains(&2));
}

fn any_listed() -> impl Strategy<Value = Listed> {
    let kind = any_kind();
    let lock = prop::sample::select(vec![
        LockKind::Mutex,
        LockKind::Semaphore,
        LockKind::RwSemReader,
        LockKind::RwSemWriter,
        LockKind::RtMutex,
        LockKind::RtLock,
    ]);
    let wait =
        (lock, any::<usize>(), prop::option::of(any_task())).prop_map(|(lock, address, owner)| {
            Wait {
                lock,
                address,
                owner,
            }
        });
    let root = prop_oneof![
        Just(CauseRoot::None),
        any_task().prop_map(CauseRoot::Task),
        Just(CauseRoot::Lock),
        any::<u32>().prop_map(CauseRoot::Deadlock),
        Just(CauseRoot::Place),
    ];
    let details = (any::<u64>(), root, any::<u32>()).prop_map(|(key, root, behind)| Details {
        key,
        root,
        behind,
    });
    let how = prop::sample::select(vec![
        How::Recovered,
        How::Exited,
        How::Regrouped,
        How::Frozen,
        How::Unwatched,
    ]);
    let end = (how, any::<u64>(), any::<u64>()).prop_map(|(how, at, age)| End { how, at, age });
    let times = (any::<u64>(), any::<u64>());
    (
        (kind, any::<u32>(), prop::option::of(any_task())),
        times,
        (prop::option::of(wait), details, prop::option::of(end)),
    )
        .prop_map(
            |((kind, cpu, task), (found, age), (wait, details, end))| Listed {
                kind,
                cpu,
                task,
                found,
                age,
                wait,
                details,
                end,
            },
        )
}

/// What happens to the table.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// An incident of this kind and CPU is found.
    Found(ListedKind, u32),
    /// The n-th of those that are on ends.
    Ends(usize),
    /// Somebody who claimed the n-th place is interrupted, and goes on later.
    Claimed(usize),
    /// All go on.
    GoOn,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any_kind(), 0u32..4).prop_map(|(kind, cpu)| Step::Found(kind, cpu)),
        3 => (0usize..100).prop_map(Step::Ends),
        1 => (0usize..100).prop_map(Step::Claimed),
        1 => Just(Step::GoOn),
    ]
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn words_say_what_is_listed(listed in any_listed()) {
        prop_assert_eq!(Listed::decode(&listed.encode()), Some(listed));
    }

    /// No words do harm.
    #[test]
    fn any_words_can_be_read(words in prop::array::uniform17(any::<u64>()), now in any::<u64>()) {
        if let Some(listed) = Listed::decode(&words) {
            Row { id: 1, listed: &listed, now }.to_string();
        }
    }

    #[test]
    fn states_are_distinct(id in 1u64..1 << 62, other in 1u64..1 << 62) {
        let states = [
            PlaceState::Free,
            PlaceState::Claimed,
            PlaceState::On(id),
            PlaceState::Ended(id),
        ];
        for state in states {
            prop_assert_eq!(PlaceState::unpack(state.pack()), state);
            prop_assert_eq!(state.pack() == PlaceState::On(other).pack(), state == PlaceState::On(other));
        }
    }

    /// The table gives up the places that it promises to, and no other ones.
    #[test]
    fn who_gives_up_the_place(steps in prop::collection::vec(any_step(), 0..200), places in 1usize..8) {
        let mut table = vec![(PlaceState::Free, 0); places];
        let mut claimed: Vec<(usize, PlaceState)> = Vec::new();
        // The model: what is listed, oldest first.
        let mut model: Vec<Entry> = Vec::new();
        let mut next = 1;
        for step in steps {
            match step {
                Step::Found(kind, cpu) => {
                    let id = next;
                    next += 1;
                    let new = kind_word(kind, cpu);
                    let chosen = choose(
                        new,
                        table.iter().enumerate().map(|(place, &(state, kind))| (place, state, kind)),
                    );
                    let free = table.iter().any(|(state, _)| *state == PlaceState::Free);
                    // Those that are being written stay.
                    let can_go: Vec<_> = model
                        .iter()
                        .copied()
                        .filter(|it| !claimed.iter().any(|(_, state)| state.id() == Some(it.0)))
                        .collect();
                    match (free, given_up(&can_go, (kind, cpu))) {
                        (true, _) => (),
                        (false, Some(gone)) => model.retain(|it| it.0 != gone),
                        (false, None) => {
                            prop_assert_eq!(chosen, None);
                            continue;
                        }
                    }
                    model.push((id, (kind, cpu), false));
                    let (place, state) = chosen.expect("there is a place");
                    prop_assert_eq!(table[place].0, state);
                    table[place] = (PlaceState::On(id), new);
                }
                Step::Ends(n) => {
                    let on: Vec<usize> = (0..places)
                        .filter(|&place| matches!(table[place].0, PlaceState::On(_)))
                        .collect();
                    if let Some(&place) = on.get(n % on.len().max(1)) {
                        let id = table[place].0.id().unwrap();
                        table[place].0 = PlaceState::Ended(id);
                        model.iter_mut().find(|entry| entry.0 == id).unwrap().2 = true;
                    }
                }
                Step::Claimed(n) => {
                    let place = n % places;
                    if table[place].0.id().is_some() {
                        claimed.push((place, table[place].0));
                        table[place].0 = PlaceState::Claimed;
                    }
                }
                Step::GoOn => {
                    for (place, state) in claimed.drain(..) {
                        table[place].0 = state;
                    }
                }
            }
            let mut listed: Vec<(u64, bool)> = table
                .iter()
                .map(|(state, _)| state)
                .chain(claimed.iter().map(|(_, state)| state))
                .filter_map(|state| Some((state.id()?, matches!(state, PlaceState::Ended(_)))))
                .collect();
            listed.sort_unstable();
            let expected: Vec<(u64, bool)> = model.iter().map(|it| (it.0, it.2)).collect();
            prop_assert_eq!(&listed, &expected);
        }
    }
}
