// SPDX-License-Identifier: GPL-2.0

//! The table of recent incidents in memory: places that are written in any context without a lock,
//! and read while they are written.
//!
//! A place is written by whoever has claimed it ([`PlaceState`]), and goes from one incident to the
//! next with a new id. So a reader that finds the same state after it has read the words as before, and
//! that nobody has written meanwhile, has read what belongs together, and the CPU or thread that ends an
//! incident never ends another one.
//!
//! Interrupts are off while a place is claimed ([`Claim`]), so that the claim lasts for as long as it takes to
//! write it: some hundred stores. Whoever finds a place claimed tries again for a moment, and passes it over
//! then: an NMI may have interrupted the CPU that has claimed it.
//!
//! With the places goes the ring of [events](EventRing): what happens to an incident gets its number while
//! its place is claimed, so that nothing that happens to it later has a smaller one.
//!
//! Whether a CPU is stuck now is noted besides ([`CpuIncident`]), for each CPU: there may be more of these than
//! places.
//!
//! C header: `src/c/vigil.h`

use super::{
    context::IrqsOff,
    cpu,
    event_ring::EventRing,
    ffi,
    irq_work,
    netlink, //
};
use crate::logic::{
    culprit::Culprit,
    event::{
        is_behind_changed,
        Event,
        EventKind, //
    },
    incident::Incident,
    incident_table::{
        add_flags,
        announce_behind,
        announced_behind,
        choose,
        kind_word,
        Details,
        End,
        How,
        Listed,
        ListedKind,
        Particulars,
        PlaceState,
        Snapshot,
        ANNOUNCED_WORD,
        CULPRIT_WORD,
        FLAGS_WORD,
        KEY_WORD,
        KIND_WORD,
        PARTICULARS_WORDS,
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

/// How often a place is tried that is claimed.
const CLAIMS: u32 = 1000;

/// How many kinds of incidents there are.
const KINDS: usize = ListedKind::ALL.len();

/// A place.
struct Place {
    /// [`PlaceState::pack`].
    state: Atomic<u64>,
    /// How often it was written.
    writes: Atomic<u64>,
    words: [Atomic<u64>; WORDS],
    particulars: [Atomic<u64>; PARTICULARS_WORDS],
}

/// A place that this CPU may write. No interrupt comes between, nor another thread, so that nobody finds the
/// place claimed for long. To be given up by [`Claim::release`].
#[must_use]
struct Claim<'a> {
    place: &'a Place,
    _irqs_off: IrqsOff,
}

impl Claim<'_> {
    /// Gives up the claim.
    fn release(self, state: PlaceState) {
        self.place.state.store(state.pack(), Release);
    }
}

/// The incidents of a kind that are on.
#[derive(Clone, Copy, Default)]
pub(crate) struct On {
    /// How many they are.
    pub(crate) count: u32,
    /// Age of the oldest, in nanoseconds.
    pub(crate) oldest: Option<u64>,
}

/// An incident of a CPU that may be on, whether or not the table has it.
#[derive(Clone, Copy)]
pub(crate) struct CpuIncident {
    cpu: u32,
    kind: ffi::vigil_cpu_incident,
}

impl CpuIncident {
    /// That of a kind and a possible CPU; `None`: incidents of this kind are not those of CPUs.
    pub(crate) fn new(kind: ListedKind, cpu: u32) -> Option<Self> {
        let kind = match kind {
            ListedKind::HungTask | ListedKind::RootCause => return None,
            ListedKind::SoftLockup => ffi::vigil_cpu_incident_VIGIL_CPU_SOFT_LOCKUP,
            ListedKind::HardLockup => ffi::vigil_cpu_incident_VIGIL_CPU_HARD_LOCKUP,
            ListedKind::UnresponsiveCpu => ffi::vigil_cpu_incident_VIGIL_CPU_UNRESPONSIVE,
        };
        cpu::possible(cpu).then_some(Self { cpu, kind })
    }

    /// It is on, and has been since `began` on the clock that stamps the log.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn begin(self, began: u64) {
        self.set(began.max(1));
    }

    /// It is over.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn end(self) {
        self.set(0);
    }

    fn set(self, since: u64) {
        // SAFETY: The CPU is possible, and the kind is one of the enum.
        unsafe { ffi::vigil_cpu_incident_set(self.cpu, self.kind, since) };
    }

    /// Since when it has been on; `None`: it is not.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn since(self) -> Option<u64> {
        // SAFETY: As for `set`.
        let since = unsafe { ffi::vigil_cpu_incident_since(self.cpu, self.kind) };
        (since != 0).then_some(since)
    }
}

/// What [`IncidentTable::read`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The incident.
    Incident,
    /// It has given up its place.
    Gone,
    /// It is written all the time, or by what this thread has interrupted.
    Busy,
}

/// The table.
pub(crate) struct IncidentTable {
    /// The id before that of the next incident.
    last_id: Atomic<u64>,
    /// Incidents since load.
    total: Atomic<u64>,
    /// The same by kind.
    totals: [Atomic<u64>; KINDS],
    /// How often an incident was added or changed.
    changes: Atomic<u64>,
    places: [Place; PLACES],
    /// What happens to incidents.
    pub(crate) events: EventRing,
}

/// The table itself.
pub(crate) static TABLE: IncidentTable = IncidentTable::new();

impl Place {
    fn state(&self) -> PlaceState {
        PlaceState::unpack(self.state.load(Acquire))
    }

    /// Claims the place, unless its state is not `seen` any more.
    fn claim(&self, seen: PlaceState) -> Option<Claim<'_>> {
        let irqs_off = IrqsOff::new();
        let claimed = PlaceState::Claimed.pack();
        self.state.cmpxchg(seen.pack(), claimed, Full).ok()?;
        // Before what is written.
        self.writes.fetch_add(1, Full);
        Some(Claim {
            place: self,
            _irqs_off: irqs_off,
        })
    }

    /// Claims the place if it has an incident that is on and for which `is_it` returns true. Returns its id
    /// too.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the place stays claimed.
    fn claim_on(&self, is_it: impl Fn(u64, &Self) -> bool) -> Result<Option<(Claim<'_>, u64)>> {
        for _ in 0..CLAIMS {
            let state = self.state();
            match state {
                PlaceState::Free | PlaceState::Ended(_) => return Ok(None),
                PlaceState::Claimed => (),
                PlaceState::On(id) => {
                    // What is read belongs to this id if the place can be claimed in this state.
                    if !is_it(id, self) {
                        return Ok(None);
                    }
                    if let Some(claim) = self.claim(state) {
                        return Ok(Some((claim, id)));
                    }
                }
            }
            core::hint::spin_loop();
        }
        Err(EBUSY)
    }

    /// The state, after a moment if the place is claimed.
    fn settled_state(&self) -> PlaceState {
        for _ in 0..CLAIMS {
            let state = self.state();
            if state != PlaceState::Claimed {
                return state;
            }
            core::hint::spin_loop();
        }
        PlaceState::Claimed
    }

    /// Writes the words. The place has to be claimed.
    #[inline(never)]
    fn write(&self, listed: &Listed) {
        for (to, from) in self.words.iter().zip(listed.encode()) {
            to.store(from, Relaxed);
        }
    }

    /// Writes the words for programs. The place has to be claimed.
    #[inline(never)]
    fn write_particulars(&self, incident: &Incident, details: &Details) {
        let words = Particulars::words_of(incident, details);
        for (to, from) in self.particulars.iter().zip(words) {
            to.store(from, Relaxed);
        }
    }

    fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        for (to, from) in words.iter_mut().zip(&self.words) {
            *to = from.load(Relaxed);
        }
        words
    }

    /// Changes a word for programs. The place has to be claimed.
    fn change_particular(&self, index: usize, change: impl FnOnce(u64) -> u64) {
        if let Some(word) = self.particulars.get(index) {
            word.store(change(word.load(Relaxed)), Relaxed);
        }
    }

    fn word(&self, index: usize) -> u64 {
        self.words.get(index).map_or(0, |word| word.load(Relaxed))
    }

    /// Reads an incident by `read`, with its id. `None`: there is none, or it is written all the time.
    fn read<T>(&self, mut read: impl FnMut(&Self) -> Option<T>) -> Option<(u64, T)> {
        for _ in 0..READS {
            // Before the state: while it is written, that says so.
            let writes = self.writes.load(Acquire);
            let state = self.state();
            if state == PlaceState::Free {
                return None;
            }
            if let Some(id) = state.id() {
                let found = read(self);
                // Changes nothing, and orders what was read before it.
                if self.claim_again(state) && self.writes.load(Relaxed) == writes {
                    return Some((id, found?));
                }
            }
            core::hint::spin_loop();
        }
        None
    }

    fn listed(&self) -> Option<Listed> {
        Listed::decode(&self.words())
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
            totals: [const { Atomic::new(0) }; KINDS],
            changes: Atomic::new(0),
            places: [const {
                Place {
                    state: Atomic::new(PlaceState::Free.pack()),
                    writes: Atomic::new(0),
                    words: [const { Atomic::new(0) }; WORDS],
                    particulars: [const { Atomic::new(0) }; PARTICULARS_WORDS],
                }
            }; PLACES],
            events: EventRing::new(),
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

    /// The same of one kind.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn total_of(&self, kind: ListedKind) -> u64 {
        let total = self.totals.get((kind as usize).wrapping_sub(1));
        total.map_or(0, |total| total.load(Relaxed))
    }

    /// A number that changes whenever an incident is added or changed.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn generation(&self) -> u64 {
        self.changes.load(Acquire)
    }

    /// Notes an event. The incident's place has to be claimed. Returns whether the event is to be sent.
    fn note(&self, kind: EventKind, id: u64) -> bool {
        self.events
            .put(Event { kind, id }, netlink::has_listeners())
    }

    /// Says that an incident has changed, when its place is not claimed any more: whoever reads on is not to
    /// wait for it. `send`: wakes the thread that sends events.
    fn changed(&self, send: bool) {
        self.changes.fetch_add(1, Release);
        if send {
            irq_work::queue();
        }
    }

    /// Wakes the thread that sends events if some are waiting: the CPU that noted them may be stuck.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn poll_events(&self) {
        if !self.events.is_empty() {
            irq_work::queue();
        }
    }

    /// Adds an incident, and returns its id. It is not listed if no place is given up for it ([`choose`]).
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn add(&self, incident: &Incident, details: &Details) -> (u64, Listed) {
        let id = self.last_id.fetch_add(1, Relaxed).wrapping_add(1);
        self.total.fetch_add(1, Relaxed);
        let listed = Listed::new(incident, details);
        let total = self.totals.get((listed.kind as usize).wrapping_sub(1));
        if let Some(total) = total {
            total.fetch_add(1, Relaxed);
        }
        // Another one may take the place that was chosen.
        for _ in 0..PLACES {
            // The kind belongs to the state if the place can be claimed in that.
            let places = self
                .places
                .iter()
                .map(|place| (place, place.state(), place.word(KIND_WORD)));
            let Some((place, state)) = choose(kind_word(listed.kind, listed.cpu), places) else {
                break;
            };
            if let Some(claim) = place.claim(state) {
                place.write(&listed);
                place.write_particulars(incident, details);
                let send = self.note(EventKind::Start, id);
                claim.release(PlaceState::On(id));
                self.changed(send);
                return (id, listed);
            }
        }
        // Lost, as whoever sends it will find.
        let send = self.note(EventKind::Start, id);
        self.changed(send);
        (id, listed)
    }

    /// Calls `change` for each incident that is on and for whose kind and CPU ([`kind_word`]) and key `is_it`
    /// returns true, with its place claimed. `change` returns which event that is, if any. After
    /// that `tell` is called with the incident. Returns false if a place stayed claimed, so that it may have
    /// such an incident still.
    ///
    /// [`kind_word`]: crate::logic::incident_table::kind_word
    fn change(
        &self,
        is_it: impl Fn(u64, u64) -> bool,
        mut change: impl FnMut(&mut Listed, &Place) -> Option<EventKind>,
        tell: impl Fn(EventKind, u64, &Listed),
    ) -> bool {
        let mut is_complete = true;
        for place in &self.places {
            let is_it = |_, place: &Place| is_it(place.word(KIND_WORD), place.word(KEY_WORD));
            let claimed = place.claim_on(is_it);
            is_complete &= claimed.is_ok();
            let Ok(Some((claim, id))) = claimed else {
                continue;
            };
            let Some(mut listed) = place.listed() else {
                claim.release(PlaceState::On(id));
                continue;
            };
            let announced = change(&mut listed, place);
            place.write(&listed);
            let send = announced.is_some_and(|kind| self.note(kind, id));
            claim.release(match listed.end {
                Some(_) => PlaceState::Ended(id),
                None => PlaceState::On(id),
            });
            self.changed(send);
            if let Some(kind) = announced {
                tell(kind, id, &listed);
            }
        }
        is_complete
    }

    /// Ends the incidents that are on and for whose kind and CPU, and key, `is_it` returns true. `now`: on
    /// the clock that stamps the log. `age`: how long they have lasted, in nanoseconds; `None`: since they
    /// began. Returns false if a place was written all the time, and may have such an incident still.
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
        tell: impl Fn(EventKind, u64, &Listed),
    ) -> bool {
        let end = |listed: &mut Listed, _: &Place| {
            listed.end = Some(End {
                how,
                at: now,
                age: age.unwrap_or_else(|| listed.age_at(now)),
            });
            Some(EventKind::End)
        };
        self.change(is_it, end, tell)
    }

    /// Says how many tasks wait behind the incidents for whose kind and CPU, and key, `is_it` returns true.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_behind(
        &self,
        is_it: impl Fn(u64, u64) -> bool,
        behind: u32,
        tell: impl Fn(EventKind, u64, &Listed),
    ) {
        let set = |listed: &mut Listed, place: &Place| {
            listed.details.behind = behind;
            let mut is_changed = false;
            place.change_particular(ANNOUNCED_WORD, |word| {
                is_changed = is_behind_changed(announced_behind(word), behind);
                if is_changed {
                    announce_behind(word, behind)
                } else {
                    word
                }
            });
            is_changed.then_some(EventKind::Change)
        };
        self.change(is_it, set, tell);
    }

    /// Says what the incident with this id comes down to, if it is on.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_culprit(
        &self,
        id: u64,
        culprit: &Culprit,
        tell: impl Fn(EventKind, u64, &Listed),
    ) {
        let set = |place: &Place| {
            let words = place.particulars.iter().skip(CULPRIT_WORD);
            for (to, from) in words.zip(culprit.encode()) {
                to.store(from, Relaxed);
            }
        };
        self.change_particulars(id, set, tell);
    }

    /// Sets flags of the incident with this id, if it is on.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_flags(&self, id: u64, flags: u32, tell: impl Fn(EventKind, u64, &Listed)) {
        let add = |place: &Place| {
            place.change_particular(FLAGS_WORD, |word| add_flags(word, flags));
        };
        self.change_particulars(id, add, tell);
    }

    #[inline(never)]
    fn change_particulars(
        &self,
        id: u64,
        change: impl Fn(&Place),
        tell: impl Fn(EventKind, u64, &Listed),
    ) {
        let mut places = self.places.iter();
        let Some((claim, _)) =
            places.find_map(|place| place.claim_on(|found, _| found == id).ok().flatten())
        else {
            return;
        };
        change(claim.place);
        let listed = claim.place.listed();
        let send = self.note(EventKind::Change, id);
        claim.release(PlaceState::On(id));
        self.changed(send);
        if let Some(listed) = listed {
            tell(EventKind::Change, id, &listed);
        }
    }

    /// The ids of the incidents that are on and for whose kind and CPU, and key, `is_it` returns true.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn newest_on(&self, is_it: impl Fn(u64, u64) -> bool) -> Option<u64> {
        let ids = self.places.iter().filter_map(|place| {
            let PlaceState::On(id) = place.state() else {
                return None;
            };
            is_it(place.word(KIND_WORD), place.word(KEY_WORD)).then_some(id)
        });
        ids.max()
    }

    /// Reads the incident with this id.
    ///
    /// # Context
    ///
    /// Process context.
    #[inline(never)]
    pub(crate) fn read(&self, id: u64, into: &mut Snapshot) -> Found {
        let mut is_busy = false;
        for place in &self.places {
            let state = place.state();
            is_busy |= state == PlaceState::Claimed;
            if state.id() != Some(id) {
                continue;
            }
            let read = place.read(|place| {
                into.words = place.words();
                for (to, from) in into.particulars.iter_mut().zip(&place.particulars) {
                    *to = from.load(Relaxed);
                }
                Some(())
            });
            match read {
                Some((found, ())) if found == id => return Found::Incident,
                Some(_) => (),
                None => is_busy = true,
            }
        }
        if is_busy {
            Found::Busy
        } else {
            Found::Gone
        }
    }

    /// The incidents of a kind that are on as far as the table knows.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn on_of(&self, kind: ListedKind, now: u64) -> On {
        let mut on = On::default();
        for place in &self.places {
            let Some((_, listed)) = place.read(Place::listed) else {
                continue;
            };
            if listed.kind == kind && listed.end.is_none() {
                on.count = on.count.saturating_add(1);
                on.oldest = on.oldest.max(Some(listed.age_at(now)));
            }
        }
        on
    }

    /// The smallest id above `id`.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn next_id(&self, id: u64) -> Option<u64> {
        let states = self.places.iter().map(Place::settled_state);
        let ids = states.filter_map(PlaceState::id);
        ids.filter(|&other| other > id).min()
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
            match place.read(Place::listed) {
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
        culprit::CulpritKind,
        incident::{
            IncidentKind,
            CONFIRMED,
            PANIC, //
        },
        incident_table::kind_word,
        task::Whereabouts, //
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

    fn add(table: &IncidentTable, cpu: u32) -> u64 {
        table.add(&one(cpu), &Details::default()).0
    }

    fn nobody(_: EventKind, _: u64, _: &Listed) {}

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
        let id = add(table, CPU);
        assert_eq!(table.total(), before.wrapping_add(1));
        assert_eq!(
            found(table, id).map(|listed| (listed.cpu, listed.end)),
            Some((CPU, None))
        );
        assert!(table.on_going().any(|(kind, _)| is_of(CPU)(kind, 0)));
        table.set_behind(is_of(CPU), 7, nobody);
        assert_eq!(
            found(table, id).map(|listed| listed.details.behind),
            Some(7)
        );
        table.end(is_of(CPU.wrapping_add(1)), How::Recovered, 20, None, nobody);
        assert_eq!(found(table, id).and_then(|listed| listed.end), None);
        table.end(is_of(CPU), How::Recovered, 20, None, nobody);
        let ended = End {
            how: How::Recovered,
            at: 20,
            age: 13,
        };
        assert_eq!(found(table, id).and_then(|listed| listed.end), Some(ended));
        // It has only one end.
        table.end(is_of(CPU), How::Unwatched, 30, None, nobody);
        assert_eq!(found(table, id).and_then(|listed| listed.end), Some(ended));
        assert!(!table.on_going().any(|(kind, _)| is_of(CPU)(kind, 0)));
    }

    /// One that is on outlasts as many that have ended as there are places.
    #[test]
    fn ended_incidents_go_first() {
        let table = &TEST;
        let id = add(table, CPU);
        let mut last = id;
        for _ in 0..PLACES.wrapping_mul(2) {
            let other = CPU.wrapping_add(1);
            last = add(table, other);
            table.end(is_of(other), How::Recovered, 20, None, nobody);
        }
        assert!(found(table, id).is_some());
        assert!(found(table, last).is_some());
        table.end(is_of(CPU), How::Recovered, 20, None, nobody);
    }

    /// A lockup that is on outlasts hung tasks that are on, however many there are.
    #[test]
    fn lockups_stay() {
        let table = &TEST;
        let id = add(table, CPU);
        let hung = Incident {
            kind: IncidentKind::HungTask,
            ..one(CPU)
        };
        let mut last = id;
        for _ in 0..PLACES.wrapping_mul(2) {
            last = table.add(&hung, &Details::default()).0;
        }
        assert!(found(table, id).is_some_and(|listed| listed.end.is_none()));
        assert!(found(table, last).is_some());
        table.end(|_, _| true, How::Recovered, 20, None, nobody);
    }

    /// The last CPU that is possible, which no detector has found stuck in a test.
    #[test]
    fn a_cpu_is_stuck_until_it_is_not() -> Result {
        let last = cpu::nr_cpu_ids().wrapping_sub(1);
        let soft = CpuIncident::new(ListedKind::SoftLockup, last).ok_or(EINVAL)?;
        let hard = CpuIncident::new(ListedKind::HardLockup, last).ok_or(EINVAL)?;
        assert!(CpuIncident::new(ListedKind::HungTask, last).is_none());
        assert!(CpuIncident::new(ListedKind::SoftLockup, cpu::nr_cpu_ids()).is_none());
        let before = soft.since();
        soft.begin(7);
        assert_eq!((soft.since(), hard.since()), (Some(7), None));
        soft.end();
        assert_eq!((before, soft.since()), (None, None));
        Ok(())
    }

    #[test]
    fn the_newest_comes_first() {
        let table = &TEST;
        let first = add(table, CPU);
        let second = add(table, CPU);
        assert!(second > first);
        assert_eq!(
            table.newest_before(u64::MAX).map(|(id, _)| id),
            Some(second)
        );
        assert_eq!(table.newest_before(second).map(|(id, _)| id), Some(first));
        table.end(is_of(CPU), How::Recovered, 20, None, nobody);
    }

    /// A place that an NMI finds claimed is waited for for a moment only, and found again later.
    #[test]
    fn a_claimed_place_is_passed_over() -> Result {
        let table = &TEST;
        let id = add(table, CPU);
        let on = PlaceState::On(id);
        let mut places = table.places.iter();
        let place = places.find(|place| place.state() == on).ok_or(EINVAL)?;
        let claim = place.claim(on).ok_or(EINVAL)?;
        table.end(is_of(CPU), How::Recovered, 20, None, nobody);
        table.set_flags(id, PANIC, nobody);
        let next = table.next_id(id.wrapping_sub(1));
        claim.release(on);
        assert_eq!(next, None);
        assert_eq!(table.next_id(id.wrapping_sub(1)), Some(id));
        assert_eq!(found(table, id).and_then(|listed| listed.end), None);
        table.end(is_of(CPU), How::Recovered, 20, None, nobody);
        assert!(found(table, id).is_some_and(|listed| listed.end.is_some()));
        Ok(())
    }

    /// What is added to an incident is read with it, and each change is an event.
    #[test]
    fn a_culprit_is_added() -> Result {
        let table = &TEST;
        let id = add(table, CPU);
        let before = (table.events.count(), table.generation());
        let culprit = Culprit {
            kind: CulpritKind::Call,
            cpu: Some(3),
            task: None,
            count: 1,
            depth: 2,
            address: 0x1000,
            spins_for: 0,
            place: 0x2000,
            age: 5,
            whereabouts: Whereabouts::NONE,
        };
        table.set_culprit(id, &culprit, nobody);
        table.set_flags(id, PANIC, nobody);
        let mut snapshot = Snapshot::EMPTY;
        assert_eq!(table.read(id, &mut snapshot), Found::Incident);
        let listed = Listed::decode(&snapshot.words).ok_or(EINVAL)?;
        let particulars = Particulars::decode(&snapshot.particulars);
        assert_eq!((listed.cpu, listed.end), (CPU, None));
        assert_eq!(particulars.culprit, Some(culprit));
        assert_eq!((particulars.flags, particulars.finder), (PANIC, 2));
        assert_eq!(table.events.count(), before.0.wrapping_add(2));
        assert!(table.generation() != before.1);
        assert_eq!(table.newest_on(is_of(CPU)), Some(id));
        table.end(is_of(CPU), How::Recovered, 20, None, nobody);
        assert_eq!(table.newest_on(is_of(CPU)), None);
        // Nothing changes any more.
        table.set_flags(id, CONFIRMED, nobody);
        assert_eq!(table.read(id, &mut snapshot), Found::Incident);
        assert_eq!(Particulars::decode(&snapshot.particulars).flags, PANIC);
        assert_eq!(table.read(id.wrapping_add(1), &mut snapshot), Found::Gone);
        assert_eq!(table.next_id(id.wrapping_sub(1)), Some(id));
        Ok(())
    }
}
