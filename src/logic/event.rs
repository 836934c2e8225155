// SPDX-License-Identifier: GPL-2.0

//! Events: an incident starts, changes or ends. Listeners on the netlink family `vigil` get a message
//! of each, and each has a number, so that a message that was lost is seen by the gap.
//!
//! An event is noted in any context, in a place of a ring ([`crate::sys::event_ring`] in the module), and
//! sent by a thread. What cannot be noted has a number all the same, which [`next_number`] makes out of
//! what the thread finds in the ring.

/// What happens to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is found.
    Start = 1,
    /// More is known of it, or it has become worse.
    Change = 2,
    /// It is over.
    End = 3,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happens.
    pub kind: EventKind,
    /// The id of the incident, in 62 bits.
    pub id: u64,
}

/// How many bits of a word the id has.
const ID_BITS: u32 = 62;

impl Event {
    /// The event in one word.
    pub const fn pack(self) -> u64 {
        (self.kind as u64) << ID_BITS | self.id & ((1 << ID_BITS) - 1)
    }

    /// The event that [`Event::pack`] has packed; `None` if there is none in this word.
    pub const fn unpack(word: u64) -> Option<Self> {
        let kind = match word >> ID_BITS {
            1 => EventKind::Start,
            2 => EventKind::Change,
            3 => EventKind::End,
            _ => return None,
        };
        Some(Self {
            kind,
            id: word & ((1 << ID_BITS) - 1),
        })
    }
}

/// The number of the next event that comes out of the ring, from 1 on. `last`: the number of the one before,
/// or 0; `position`: how many events have been in the ring before it; `passed`: how many were not put into
/// the ring until it was.
///
/// Two CPUs that note events at a time may have read `passed` in the other order: numbers grow all the
/// same.
pub fn next_number(last: u64, position: u64, passed: u64) -> u64 {
    let number = position.wrapping_add(passed).wrapping_add(1);
    number.max(last.wrapping_add(1))
}

/// Whether it is a change of a root cause that so many tasks wait behind it. `announced`: how many there
/// were at the last message: ten times as many count, or a tenth, as for reports.
pub fn is_behind_changed(announced: u32, behind: u32) -> bool {
    let (less, more) = (announced.min(behind).max(1), announced.max(behind));
    u64::from(more) >= u64::from(less).saturating_mul(10)
}
