// SPDX-License-Identifier: GPL-2.0

//! The crash record in memory: one static, `vigil_incidents`, which is found in a memory dump by
//! its name, by the address in its header, or by its first bytes at the beginning of a page.
//!
//! Here is the mechanism: a ring of entries that is written without a lock, in any context. The
//! layout of an entry is in [`crate::logic::incident`], the sink that fills it in
//! [`crate::incident`].

use crate::logic::incident::{
    self,
    CULPRIT_WORD,
    CULPRIT_WORDS,
    ENTRIES,
    FLAGS_WORD,
    HEADER_ADDRESS,
    HEADER_NEXT,
    HEADER_WORDS,
    WORDS, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed,
        Release, //
    }, //
};

/// The record. It begins a page, so that a program without symbols has to look there only.
#[repr(C, align(4096))]
struct Record {
    header: [Atomic<u64>; HEADER_WORDS],
    entries: [[Atomic<u64>; WORDS]; ENTRIES],
}

static_assert!(size_of::<Record>() >= 64 + 592 * ENTRIES);
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

/// The number of an incident in the record: it tells which entry holds it, as long as that has not
/// been written again.
#[derive(Clone, Copy)]
pub(crate) struct RecordId(u64);

impl RecordId {
    fn entry(self) -> Option<&'static [Atomic<u64>; WORDS]> {
        let index = (self.0.wrapping_sub(1) as usize) % ENTRIES;
        vigil_incidents.entries.get(index)
    }

    /// Sets flags of the incident ([`incident::PANIC`] and the like). Nothing happens if its entry
    /// holds a later incident by now.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_flags(self, flags: u32) {
        let Some([number, rest @ ..]) = self.entry() else {
            return;
        };
        // The number is the first word, which the pattern has taken away.
        let word = rest.get(FLAGS_WORD.wrapping_sub(1));
        if let (true, Some(word)) = (number.load(Relaxed) == self.0, word) {
            // Only the CPU or the thread that has the number writes the entry, unless the ring has
            // come around between the load and here. The flags are then on a later incident, of the
            // same moment.
            word.store(word.load(Relaxed) | incident::flags_word(flags, 0), Relaxed);
        }
    }

    /// Writes the words of the incident's culprit. Nothing happens if its entry holds a later incident
    /// by now. To be called once.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn set_culprit(self, words: &[u64; CULPRIT_WORDS]) {
        let Some(entry) = self.entry() else {
            return;
        };
        let [number, ..] = entry;
        let places = entry.get(CULPRIT_WORD..).unwrap_or_default();
        let ([first, places @ ..], [kind, words @ ..]) = (places, words) else {
            return;
        };
        // As for the flags: the ring may come around after this.
        if number.load(Relaxed) != self.0 {
            return;
        }
        for (to, from) in places.iter().zip(words) {
            to.store(*from, Relaxed);
        }
        // The kind is in the first word, which is 0 up to here: a dump that is taken in between shows
        // no culprit, and not a part of one.
        first.store(*kind, Release);
    }
}

/// Writes the address of the record into its header. To be called once, at load.
pub(crate) fn publish_address() {
    if let Some(address) = vigil_incidents.header.get(HEADER_ADDRESS) {
        address.store(&raw const vigil_incidents as u64, Relaxed);
    }
}

/// How many incidents have been recorded since load.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn count() -> u64 {
    vigil_incidents
        .header
        .get(HEADER_NEXT)
        .map_or(0, |next| next.load(Relaxed))
}

/// Writes the words of an incident into the next entry. Its culprit is not known yet.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn write(words: &[u64; WORDS]) -> RecordId {
    let next = vigil_incidents.header.get(HEADER_NEXT);
    let id = RecordId(
        next.map_or(0, |next| next.fetch_add(1, Relaxed))
            .wrapping_add(1),
    );
    if let Some([number, rest @ ..]) = id.entry() {
        // The number is 0 while the words are written: a dump that is taken in between shows an
        // entry that is being written, and neither the old incident nor the new one in part.
        number.xchg(0, Full);
        let [_, words @ ..] = words;
        for (word, value) in rest.iter().zip(words) {
            word.store(*value, Relaxed);
        }
        number.store(id.0, Release);
    }
    id
}

#[kunit_tests(vigil_crash_record)]
mod tests {
    use super::{
        super::{
            stacktrace,
            task, //
        },
        *, //
    };
    use crate::logic::{
        incident::{
            Incident,
            IncidentKind,
            PANIC, //
        },
        task::Whereabouts, //
    };

    fn word(place: usize) -> u64 {
        vigil_incidents
            .header
            .get(place)
            .map_or(0, |word| word.load(Relaxed))
    }

    /// An incident that cannot be mistaken for a real one.
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
            whereabouts: Whereabouts::NONE,
        }
    }

    /// Writes one, and returns the depth of its stack too.
    // One stack frame for all: an entry has many words.
    #[inline(never)]
    fn write_with_depth() -> (RecordId, u32) {
        let one = one();
        (write(&one.encode()), one.stack.depth)
    }

    fn write_one() -> RecordId {
        write_with_depth().0
    }

    #[test]
    fn the_record_can_be_found() {
        assert_eq!((&raw const vigil_incidents as usize) % 4096, 0);
        let [magic, ..] = incident::header();
        assert_eq!(word(0), magic);
        assert_eq!(word(HEADER_ADDRESS), &raw const vigil_incidents as u64);
    }

    /// Around the ring and on: each incident is in its entry, and gets its flag.
    #[test]
    fn incidents_are_recorded() {
        for _ in 0..ENTRIES.wrapping_add(2) {
            let before = count();
            let (id, depth) = write_with_depth();
            assert_eq!(id.0, before.wrapping_add(1));
            assert_eq!(count(), id.0);
            let Some(entry) = id.entry() else {
                assert!(false);
                continue;
            };
            let [number, kind_cpu, ..] = entry;
            assert_eq!(number.load(Relaxed), id.0);
            assert_eq!(kind_cpu.load(Relaxed), incident::flags_word(1, 1));
            id.set_flags(PANIC);
            let flags = entry.get(FLAGS_WORD).map_or(0, |word| word.load(Relaxed));
            assert_eq!(flags, incident::flags_word(PANIC, depth));
        }
    }

    fn culprit_words(id: RecordId) -> [u64; CULPRIT_WORDS] {
        let mut words = [0; CULPRIT_WORDS];
        if let Some(entry) = id.entry() {
            for (to, from) in words.iter_mut().zip(entry.iter().skip(CULPRIT_WORD)) {
                *to = from.load(Relaxed);
            }
        }
        words
    }

    /// A culprit is that of its incident, until the entry is written again.
    #[test]
    fn an_incident_gets_its_culprit() {
        const CULPRIT: [u64; CULPRIT_WORDS] = [7; CULPRIT_WORDS];
        let id = write_one();
        assert!(culprit_words(id) == [0; CULPRIT_WORDS]);
        id.set_culprit(&CULPRIT);
        assert!(culprit_words(id) == CULPRIT);
        for _ in 0..ENTRIES {
            write_one();
        }
        assert!(culprit_words(id) == [0; CULPRIT_WORDS]);
    }

    /// An entry that was written again since is left alone.
    #[test]
    fn an_old_incident_gets_no_flags() {
        let old = write_one();
        for _ in 0..ENTRIES {
            write_one();
        }
        old.set_flags(PANIC);
        old.set_culprit(&[1; CULPRIT_WORDS]);
        assert!(culprit_words(old) == [0; CULPRIT_WORDS]);
        let flags = old
            .entry()
            .and_then(|entry| entry.get(FLAGS_WORD))
            .map_or(0, |word| word.load(Relaxed));
        assert_eq!(flags & incident::flags_word(PANIC, 0), 0);
    }
}
