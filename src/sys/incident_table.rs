// SPDX-License-Identifier: GPL-2.0

//! The table of recent incidents in memory: places that are written in any context without a lock,
//! and read while they are written.
//!
//! A place is written by whoever has claimed it ([`PlaceState`]), and goes from one incident to the
//! next with a new id. So a reader that finds the same state after it has read the words as before has
//! read what belongs together, and the CPU or thread that ends an incident never ends another one.
//! What it interrupts may have claimed a place: that one is passed over, and never waited for. Of an
//! incident that is on a single word is changed ([`IncidentTable::set_behind`]), so that a reader may go on
//! reading meanwhile.

use crate::logic::{
    incident::Incident,
    incident_table::{
        choose,
        Details,
        End,
        How,
        Listed,
        PlaceState,
        KEY_WORD,
        KIND_WORD,
        PLACES,
        WORDS, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};

/// How often a reader tries a place that is written meanwhile.
const READS: u32 = 1000;

/// A place.
struct Place {
    /// [`PlaceState::pack`].
    state: Atomic<u64>,
    words: [Atomic<u64>; WORDS],
}

/// The table.
pub(crate) struct IncidentTable {
    /// The id before that of the next incident.
    last_id: Atomic<u64>,
    /// Incidents since load.
    total: Atomic<u64>,
    places: [Place; PLACES],
}

/// The table itself.
pub(crate) static TABLE: IncidentTable = IncidentTable::new();

impl Place {
    fn state(&self) -> PlaceState {
        PlaceState::unpack(self.state.load(Acquire))
    }

    /// Claims the place, unless its state is not `seen` any more.
    fn claim(&self, seen: PlaceState) -> bool {
        let claimed = PlaceState::Claimed.pack();
        self.state.cmpxchg(seen.pack(), claimed, Full).is_ok()
    }

    /// Writes the words. The place has to be claimed.
    fn write(&self, listed: &Listed) {
        for (to, from) in self.words.iter().zip(listed.encode()) {
            to.store(from, Relaxed);
        }
    }

    /// Gives up the claim.
    fn release(&self, state: PlaceState) {
        self.state.store(state.pack(), Release);
    }

    fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        for (to, from) in words.iter_mut().zip(&self.words) {
            *to = from.load(Relaxed);
        }
        words
    }

    fn word(&self, index: usize) -> u64 {
        self.words.get(index).map_or(0, |word| word.load(Relaxed))
    }

    /// Reads an incident, and its id. `None`: there is none, or it is written all the time.
    fn read(&self) -> Option<(u64, Listed)> {
        for _ in 0..READS {
            let state = self.state();
            if state == PlaceState::Free {
                return None;
            }
            if let Some(id) = state.id() {
                let words = self.words();
                // Changes nothing, and orders what was read before it.
                if self.claim_again(state) {
                    return Some((id, Listed::decode(&words)?));
                }
            }
            core::hint::spin_loop();
        }
        None
    }

    /// Whether the state is `seen` still, for all that was read since.
    fn claim_again(&self, seen: PlaceState) -> bool {
        self.state.cmpxchg(seen.pack(), seen.pack(), Full).is_ok()
    }
}

impl IncidentTable {
    /// An empty table.
    const fn new() -> Self {
        Self {
            last_id: Atomic::new(0),
            total: Atomic::new(0),
            places: [const {
                Place {
                    state: Atomic::new(PlaceState::Free.pack()),
                    words: [const { Atomic::new(0) }; WORDS],
                }
            }; PLACES],
        }
    }

    /// Sets the number after which ids begin. To be called once, at load.
    pub(crate) fn set_first_id(&self, before: u64) {
        self.last_id.store(before, Relaxed);
    }

    /// How many incidents have been added since load.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Adds an incident, and returns its id. It is not listed if all places are being written.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn add(&self, incident: &Incident, details: &Details) -> u64 {
        let id = self.last_id.fetch_add(1, Relaxed).wrapping_add(1);
        self.total.fetch_add(1, Relaxed);
        let listed = Listed::new(incident, details);
        // Another one may take the place that was chosen.
        for _ in 0..PLACES {
            let places = self.places.iter();
            let Some((place, state)) = choose(places.map(|place| (place, place.state()))) else {
                break;
            };
            if place.claim(state) {
                place.write(&listed);
                place.release(PlaceState::On(id));
                break;
            }
        }
        id
    }

    /// Calls `change` for each incident that is on and for whose kind and CPU ([`kind_word`]) and key `is_it`
    /// returns true. `change` returns its end, if it has one.
    ///
    /// [`kind_word`]: crate::logic::incident_table::kind_word
    fn change(&self, is_it: impl Fn(u64, u64) -> bool, mut change: impl FnMut(&mut Listed)) {
        for place in &self.places {
            let state = place.state();
            let PlaceState::On(id) = state else {
                continue;
            };
            // What is read here belongs to this id if the place can be claimed in this state.
            if !is_it(place.word(KIND_WORD), place.word(KEY_WORD)) || !place.claim(state) {
                continue;
            }
            let mut state = state;
            if let Some(mut listed) = Listed::decode(&place.words()) {
                change(&mut listed);
                place.write(&listed);
                if listed.end.is_some() {
                    state = PlaceState::Ended(id);
                }
            }
            place.release(state);
        }
    }

    /// Ends the incidents that are on and for whose kind and CPU, and key, `is_it` returns true. `now`: on
    /// the clock that stamps the log. `age`: how long they have lasted, in nanoseconds; `None`: since they
    /// began.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn end(
        &self,
        is_it: impl Fn(u64, u64) -> bool,
        how: How,
        now: u64,
        age: Option<u64>,
    ) {
        self.change(is_it, |listed| {
            listed.end = Some(End {
                how,
                at: now,
                age: age.unwrap_or_else(|| listed.age_at(now)),
            });
        });
    }

    /// Says how many tasks wait behind the incidents for whose kind and CPU, and key, `is_it` returns true.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_behind(&self, is_it: impl Fn(u64, u64) -> bool, behind: u32) {
        self.change(is_it, |listed| listed.details.behind = behind);
    }

    /// The kind and CPU, and the key, of each incident that is on.
    ///
    /// # Context
    ///
    /// Any, NMI included; the caller writes the incidents that it looks for, or they may be others by now.
    pub(crate) fn on_going(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let on = |place: &&Place| matches!(place.state(), PlaceState::On(_));
        let words = |place: &Place| (place.word(KIND_WORD), place.word(KEY_WORD));
        self.places.iter().filter(on).map(words)
    }

    /// The incident with the largest id below `id`, and its id.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn newest_before(&self, id: u64) -> Option<(u64, Listed)> {
        let mut below = id;
        loop {
            let mut newest: Option<(u64, &Place)> = None;
            for place in &self.places {
                let Some(id) = place.state().id() else {
                    continue;
                };
                if id < below && newest.is_none_or(|(newest, _)| newest < id) {
                    newest = Some((id, place));
                }
            }
            let (id, place) = newest?;
            match place.read() {
                Some((read, listed)) if read == id => return Some((id, listed)),
                // It has given up its place.
                _ => below = id,
            }
        }
    }
}

#[kunit_tests(vigil_incident_table)]
mod tests {
    use super::*;
    use crate::logic::{
        incident::IncidentKind,
        incident_table::{
            kind_word,
            ListedKind, //
        }, //
    };

    const CPU: u32 = 4;

    /// The real one stays as it is.
    static TEST: IncidentTable = IncidentTable::new();

    fn one(cpu: u32) -> Incident {
        Incident {
            kind: IncidentKind::SoftLockup,
            cpu,
            task: None,
            finder: 2,
            found: 10,
            age: 3,
            wall: 4,
            wait: None,
            flags: 0,
            stack: Default::default(),
            whereabouts: Default::default(),
        }
    }

    fn is_of(cpu: u32) -> impl Fn(u64, u64) -> bool {
        move |kind, _| kind == kind_word(ListedKind::SoftLockup, cpu)
    }

    fn found(table: &IncidentTable, id: u64) -> Option<Listed> {
        table
            .newest_before(id.wrapping_add(1))
            .filter(|(found, _)| *found == id)
            .map(|(_, listed)| listed)
    }

    #[test]
    fn an_incident_is_on_until_it_ends() {
        let table = &TEST;
        let before = table.total();
        let id = table.add(&one(CPU), &Details::default());
        assert_eq!(table.total(), before.wrapping_add(1));
        assert_eq!(
            found(table, id).map(|listed| (listed.cpu, listed.end)),
            Some((CPU, None))
        );
        assert!(table.on_going().any(|(kind, _)| is_of(CPU)(kind, 0)));
        table.set_behind(is_of(CPU), 7);
        assert_eq!(
            found(table, id).map(|listed| listed.details.behind),
            Some(7)
        );
        table.end(is_of(CPU.wrapping_add(1)), How::Recovered, 20, None);
        assert_eq!(found(table, id).and_then(|listed| listed.end), None);
        table.end(is_of(CPU), How::Recovered, 20, None);
        let ended = End {
            how: How::Recovered,
            at: 20,
            age: 13,
        };
        assert_eq!(found(table, id).and_then(|listed| listed.end), Some(ended));
        // It has only one end.
        table.end(is_of(CPU), How::Unwatched, 30, None);
        assert_eq!(found(table, id).and_then(|listed| listed.end), Some(ended));
        assert!(!table.on_going().any(|(kind, _)| is_of(CPU)(kind, 0)));
    }

    /// One that is on outlasts as many that have ended as there are places.
    #[test]
    fn ended_incidents_go_first() {
        let table = &TEST;
        let id = table.add(&one(CPU), &Details::default());
        let mut last = id;
        for _ in 0..PLACES.wrapping_mul(2) {
            let other = CPU.wrapping_add(1);
            last = table.add(&one(other), &Details::default());
            table.end(is_of(other), How::Recovered, 20, None);
        }
        assert!(found(table, id).is_some());
        assert!(found(table, last).is_some());
        table.end(is_of(CPU), How::Recovered, 20, None);
    }

    #[test]
    fn the_newest_comes_first() {
        let table = &TEST;
        let first = table.add(&one(CPU), &Details::default());
        let second = table.add(&one(CPU), &Details::default());
        assert!(second > first);
        assert_eq!(
            table.newest_before(u64::MAX).map(|(id, _)| id),
            Some(second)
        );
        assert_eq!(table.newest_before(second).map(|(id, _)| id), Some(first));
        table.end(is_of(CPU), How::Recovered, 20, None);
    }
}
