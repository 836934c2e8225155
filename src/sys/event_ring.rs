// SPDX-License-Identifier: GPL-2.0

//! The ring in which events wait to be sent: put in in any context, NMI included, without a lock, and taken
//! out by one thread at a time.
//!
//! A slot is free or full, which its `lap` says: `put` wins a position in the ring by a compare-and-exchange
//! of `tail`, writes the slot, and stores the `lap` last. An NMI that comes in between wins the next
//! position. The thread takes events in the order of their positions, so that it waits for a CPU that has
//! won one and has not written yet; interrupts of that CPU are off meanwhile.
//!
//! An event that finds no free slot, or that nobody wants, is passed over and counted, so that those after it
//! have the numbers that they would have had ([`next_number`](crate::logic::event::next_number)).

use super::{
    atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    context::IrqsOff, //
};
use crate::logic::event::Event;
use kernel::prelude::*;

/// How many events can wait.
const SLOTS: usize = 256;

/// A place for an event.
struct Slot {
    /// With the index of the slot added, the position of the event that the slot is free for; that and 1
    /// when it holds the event.
    lap: Atomic<u64>,
    /// [`Event::pack`].
    event: Atomic<u64>,
    /// How many events have been passed over until this one was put in.
    passed: Atomic<u64>,
}

/// The ring.
pub(crate) struct EventRing {
    /// The position of the next event to be put in.
    tail: Atomic<u64>,
    /// The position of the next event to be taken out.
    head: Atomic<u64>,
    /// Events that were not put in.
    passed: Atomic<u64>,
    /// Of these, those that found no slot free; and those that could not be sent.
    lost: Atomic<u64>,
    slots: [Slot; SLOTS],
}

/// An event in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The event; `None`: there is none in the word.
    pub(crate) event: Option<Event>,
    /// How many events have been in the ring before it.
    pub(crate) position: u64,
    /// How many were not put in until it was.
    pub(crate) passed: u64,
}

impl EventRing {
    /// An empty ring.
    pub(super) const fn new() -> Self {
        Self {
            tail: Atomic::new(0),
            head: Atomic::new(0),
            passed: Atomic::new(0),
            lost: Atomic::new(0),
            slots: [const {
                Slot {
                    lap: Atomic::new(0),
                    event: Atomic::new(0),
                    passed: Atomic::new(0),
                }
            }; SLOTS],
        }
    }

    /// The slot for a position, and its `lap` when it is free for that.
    fn slot(&self, position: u64) -> Option<(&Slot, u64)> {
        let index = position % SLOTS as u64;
        let slot = self.slots.get(index as usize)?;
        Some((slot, position.wrapping_sub(index)))
    }

    /// Puts an event in. If it is not `wanted` it is only counted. Returns whether it is in the ring.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(super) fn put(&self, event: Event, wanted: bool) -> bool {
        if !wanted {
            self.passed.fetch_add(1, Relaxed);
            return false;
        }
        // An interrupt in which the CPU gets stuck does not come between.
        let _irqs_off = IrqsOff::new();
        let mut position = self.tail.load(Relaxed);
        while let Some((slot, free)) = self.slot(position) {
            let lap = slot.lap.load(Acquire);
            if lap == free {
                let next = position.wrapping_add(1);
                match self.tail.cmpxchg(position, next, Relaxed) {
                    Ok(_) => {
                        slot.event.store(event.pack(), Relaxed);
                        slot.passed.store(self.passed.load(Relaxed), Relaxed);
                        slot.lap.store(free.wrapping_add(1), Release);
                        return true;
                    }
                    Err(now) => position = now,
                }
            } else if lap.wrapping_sub(free) > u64::MAX / 2 {
                // It still holds the event of the lap before, so that the difference is negative.
                break;
            } else {
                // Another CPU has won this position.
                position = self.tail.load(Relaxed);
            }
        }
        self.passed.fetch_add(1, Relaxed);
        self.lost.fetch_add(1, Relaxed);
        false
    }

    /// The oldest event that waits. `None`: there is none, or the CPU that puts it in has not written it
    /// yet.
    ///
    /// # Context
    ///
    /// The thread that takes events out; one at a time.
    pub(crate) fn oldest(&self) -> Option<Waiting> {
        let position = self.head.load(Relaxed);
        let (slot, free) = self.slot(position)?;
        if slot.lap.load(Acquire) != free.wrapping_add(1) {
            return None;
        }
        Some(Waiting {
            event: Event::unpack(slot.event.load(Relaxed)),
            position,
            passed: slot.passed.load(Relaxed),
        })
    }

    /// Takes the oldest event out, which [`EventRing::oldest`] has returned.
    ///
    /// # Context
    ///
    /// As [`EventRing::oldest`].
    pub(crate) fn take_oldest(&self) {
        let position = self.head.load(Relaxed);
        if let Some((slot, free)) = self.slot(position) {
            // What was read of it is read before it is free for another event.
            slot.lap.store(free.wrapping_add(SLOTS as u64), Release);
            self.head.store(position.wrapping_add(1), Relaxed);
        }
    }

    /// Whether no event waits.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Relaxed) == self.tail.load(Relaxed)
    }

    /// How many events there have been.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn count(&self) -> u64 {
        let tail = self.tail.load(Relaxed);
        tail.wrapping_add(self.passed.load(Relaxed))
    }

    /// Counts an event that was taken out and cannot be sent.
    pub(crate) fn count_lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// How many events were lost that somebody wanted.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

#[kunit_tests(vigil_event_ring)]
mod tests {
    use super::*;
    use crate::logic::event::{
        next_number,
        EventKind, //
    };

    fn start(id: u64) -> Event {
        Event {
            kind: EventKind::Start,
            id,
        }
    }

    fn next(ring: &EventRing, last: &mut u64) -> Option<(u64, u64)> {
        let waiting = ring.oldest()?;
        ring.take_oldest();
        *last = next_number(*last, waiting.position, waiting.passed);
        Some((*last, waiting.event?.id))
    }

    #[test]
    fn events_come_out_in_order() {
        static RING: EventRing = EventRing::new();
        let mut last = 0;
        assert!(RING.is_empty());
        // Some laps.
        for id in 1..=SLOTS as u64 * 3 {
            assert!(RING.put(start(id), true));
            assert!(!RING.is_empty());
            assert_eq!(next(&RING, &mut last), Some((id, id)));
            assert_eq!(RING.oldest(), None);
        }
        assert!(RING.is_empty());
        assert_eq!(RING.count(), SLOTS as u64 * 3);
    }

    #[test]
    fn what_finds_no_room_leaves_a_gap() {
        static RING: EventRing = EventRing::new();
        let mut last = 0;
        let slots = SLOTS as u64;
        for id in 1..=slots {
            assert!(RING.put(start(id), true));
        }
        for id in 1..=3 {
            assert!(!RING.put(start(slots.wrapping_add(id)), true));
        }
        assert_eq!((RING.lost(), RING.count()), (3, slots.wrapping_add(3)));
        assert_eq!(next(&RING, &mut last), Some((1, 1)));
        assert!(RING.put(start(1000), true));
        for id in 2..=slots {
            assert_eq!(next(&RING, &mut last), Some((id, id)));
        }
        assert_eq!(next(&RING, &mut last), Some((slots.wrapping_add(4), 1000)));
        assert!(RING.is_empty());
    }

    #[test]
    fn what_nobody_wants_has_a_number() {
        static RING: EventRing = EventRing::new();
        let mut last = 0;
        for _ in 0..1000 {
            assert!(!RING.put(start(7), false));
        }
        assert!(RING.is_empty());
        assert!(RING.put(start(8), true));
        assert_eq!(next(&RING, &mut last), Some((1001, 8)));
        assert_eq!((RING.lost(), RING.count()), (0, 1001));
    }
}
