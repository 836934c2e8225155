// SPDX-License-Identifier: GPL-2.0

//! The record of the last incidents: one static, `vigil_incidents`, made to be found and read in a
//! memory dump.
//!
//! It is written without a lock, in any context, as things are found and before they are reported,
//! so that it is there also if the machine dies in the middle of the report. The layout is that of
//! [`crate::logic::incident`].

use crate::logic::incident::{
    self, Incident, ENTRIES, FLAGS_WORD, HEADER_ADDRESS, HEADER_NEXT, HEADER_WORDS, PANIC, WORDS,
};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Full, Relaxed, Release},
};

/// The record. It begins a page, so that whoever has no symbols need not look anywhere else.
#[repr(C, align(4096))]
struct Record {
    header: [Atomic<u64>; HEADER_WORDS],
    entries: [[Atomic<u64>; WORDS]; ENTRIES],
}

static_assert!(size_of::<Record>() >= 64 + 256 * ENTRIES);
static_assert!(core::mem::offset_of!(Record, entries) == 64);

/// The header's words, one by one, since `Atomic` cannot be copied.
const fn header() -> [Atomic<u64>; HEADER_WORDS] {
    let [a, b, c, d, e, f, g, h] = incident::header();
    [
        Atomic::new(a),
        Atomic::new(b),
        Atomic::new(c),
        Atomic::new(d),
        Atomic::new(e),
        Atomic::new(f),
        Atomic::new(g),
        Atomic::new(h),
    ]
}

/// The record itself. Its name is its interface: see `docs/kdump.md`.
#[no_mangle]
#[allow(non_upper_case_globals)]
static vigil_incidents: Record = Record {
    header: header(),
    entries: [const { [const { Atomic::new(0) }; WORDS] }; ENTRIES],
};

/// An incident's place in the record: where to note what comes of it.
#[derive(Clone, Copy)]
pub(crate) struct RecordId(u64);

impl RecordId {
    fn entry(self) -> Option<&'static [Atomic<u64>; WORDS]> {
        let place = (self.0.wrapping_sub(1) as usize) % ENTRIES;
        vigil_incidents.entries.get(place)
    }

    /// A panic has been decided on for it. Nothing happens if it is not in the record any more.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn mark_fatal(self) {
        let Some([number, rest @ ..]) = self.entry() else {
            return;
        };
        // Its number is the first word, which the pattern has taken away.
        let flags = rest.get(FLAGS_WORD.wrapping_sub(1));
        if let (true, Some(flags)) = (number.load(Relaxed) == self.0, flags) {
            // Nobody else writes to it, but for one that has come around the ring meanwhile: the
            // flag is then on a younger incident, of a moment before the panic.
            flags.store(
                flags.load(Relaxed) | incident::flags_word(PANIC, 0),
                Relaxed,
            );
        }
    }
}

/// Makes the record know where it is. To be called once, at load.
pub(crate) fn publish_address() {
    if let Some(address) = vigil_incidents.header.get(HEADER_ADDRESS) {
        address.store(&raw const vigil_incidents as u64, Relaxed);
    }
}

/// How many incidents have been noted since load.
pub(crate) fn count() -> u64 {
    vigil_incidents
        .header
        .get(HEADER_NEXT)
        .map_or(0, |next| next.load(Relaxed))
}

/// Notes an incident.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn record(incident: &Incident) -> RecordId {
    let next = vigil_incidents.header.get(HEADER_NEXT);
    let noted = RecordId(
        next.map_or(0, |next| next.fetch_add(1, Relaxed))
            .wrapping_add(1),
    );
    if let Some([number, rest @ ..]) = noted.entry() {
        // Nothing of the new one is there before the old number is gone, and the new number not
        // before all of the new one is.
        number.xchg(0, Full);
        let words = incident.encode();
        for (to, from) in rest.iter().zip(words.iter().skip(1)) {
            to.store(*from, Relaxed);
        }
        number.store(noted.0, Release);
    }
    noted
}

#[kunit_tests(vigil_crash_record)]
mod tests {
    use super::{
        super::{
            stacktrace,
            task, //
        },
        *,
    };
    use crate::logic::incident::IncidentKind;

    fn word(place: usize) -> u64 {
        vigil_incidents
            .header
            .get(place)
            .map_or(0, |word| word.load(Relaxed))
    }

    /// One that nobody takes for a real one.
    fn one() -> Incident {
        Incident {
            kind: IncidentKind::HungTask,
            cpu: 1,
            task: Some(task::id(current!())),
            finder: 2,
            found: 10,
            age: 3,
            wall: 4,
            wait: None,
            flags: 0,
            stack: stacktrace::save_task(current!()),
        }
    }

    #[test]
    fn the_record_can_be_found() {
        assert_eq!((&raw const vigil_incidents as usize) % 4096, 0);
        let [magic, ..] = incident::header();
        assert_eq!(word(0), magic);
        assert_eq!(word(HEADER_ADDRESS), &raw const vigil_incidents as u64);
    }

    /// Around the ring and on: each stands at its place, and knows when it is fatal.
    #[test]
    fn incidents_are_noted() {
        for _ in 0..ENTRIES.wrapping_add(2) {
            let before = count();
            let noted = record(&one());
            assert_eq!(noted.0, before.wrapping_add(1));
            assert_eq!(count(), noted.0);
            let Some(entry) = noted.entry() else {
                assert!(false);
                continue;
            };
            let [number, kind_cpu, ..] = entry;
            assert_eq!(number.load(Relaxed), noted.0);
            assert_eq!(kind_cpu.load(Relaxed), incident::flags_word(1, 1));
            noted.mark_fatal();
            let depth = one().stack.depth;
            let flags = entry.get(FLAGS_WORD).map_or(0, |word| word.load(Relaxed));
            assert_eq!(flags, incident::flags_word(PANIC, depth));
        }
    }

    /// One that has come around since is left alone.
    #[test]
    fn an_old_one_is_not_made_fatal() {
        let old = record(&one());
        for _ in 0..ENTRIES {
            record(&one());
        }
        old.mark_fatal();
        let flags = old
            .entry()
            .and_then(|entry| entry.get(FLAGS_WORD))
            .map_or(0, |word| word.load(Relaxed));
        assert_eq!(flags & incident::flags_word(PANIC, 0), 0);
    }
}
