// SPDX-License-Identifier: GPL-2.0
//! Slots: how many scenarios may keep the host's processors busy at the same time.
//!
//! A guest keeps time only while it gets processor time, so a scenario takes a slot
//! of its class before it boots a guest, and gives it back when it ends:
//!
//! | class | slots | |
//! |---|---|---|
//! | [`SlotClass::Busy`] | 2 | the guest's CPUs are busy |
//! | [`SlotClass::Waiting`] | 1 | the guest sleeps for more than half of the time |
//! | [`SlotClass::Exclusive`] | 1 | no other slot may be taken |
//!
//! Slots are granted in the order of the requests, except that a request whose class is
//! full does not block requests of other classes, and that no slot is granted before a
//! waiting request for [`SlotClass::Exclusive`].

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Number of slots of [`SlotClass::Busy`].
const BUSY_SLOTS: u32 = 2;

/// What a scenario needs of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotClass {
    /// Its guest keeps its CPUs busy.
    Busy,
    /// Its guest sleeps for more than half of the time.
    Waiting,
    /// No other scenario with a slot may run.
    Exclusive,
}

/// A slot that is taken, until this is dropped.
pub(crate) struct Slot(SlotClass);

/// The slots that are taken, and the requests that wait.
struct Slots {
    busy: u32,
    waiting: u32,
    exclusive: bool,
    /// The classes that are requested, by ticket number: in the order of the requests.
    requests: BTreeMap<u32, SlotClass>,
}

static SLOTS: Mutex<Slots> = Mutex::new(Slots::NONE);

/// Signalled when the next request to be granted may be another one.
static CHANGED: Condvar = Condvar::new();

impl Slots {
    /// No slot is taken, and none requested.
    const NONE: Self = Self {
        busy: 0,
        waiting: 0,
        exclusive: false,
        requests: BTreeMap::new(),
    };

    fn lock() -> MutexGuard<'static, Self> {
        SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_free(&self, class: SlotClass) -> bool {
        match class {
            SlotClass::Busy => !self.exclusive && self.busy < BUSY_SLOTS,
            SlotClass::Waiting => !self.exclusive && self.waiting == 0,
            SlotClass::Exclusive => !self.exclusive && self.busy == 0 && self.waiting == 0,
        }
    }

    /// Adds a request; returns its ticket number.
    fn request(&mut self, class: SlotClass) -> u32 {
        let ticket = self
            .requests
            .last_key_value()
            .map_or(0, |(last, _)| last + 1);
        self.requests.insert(ticket, class);
        ticket
    }

    /// The ticket of the request that is granted next, if one can be granted now.
    fn next(&self) -> Option<u32> {
        let exclusive_waits = self
            .requests
            .values()
            .any(|class| *class == SlotClass::Exclusive);
        let may_start =
            |class| self.is_free(class) && (class == SlotClass::Exclusive || !exclusive_waits);
        self.requests
            .iter()
            .find(|(_, class)| may_start(**class))
            .map(|(ticket, _)| *ticket)
    }

    fn take(&mut self, class: SlotClass) {
        match class {
            SlotClass::Busy => self.busy += 1,
            SlotClass::Waiting => self.waiting += 1,
            SlotClass::Exclusive => self.exclusive = true,
        }
    }

    fn release(&mut self, class: SlotClass) {
        match class {
            SlotClass::Busy => self.busy -= 1,
            SlotClass::Waiting => self.waiting -= 1,
            SlotClass::Exclusive => self.exclusive = false,
        }
        CHANGED.notify_all();
    }
}

impl Slot {
    /// Waits for a slot of this class and takes it.
    pub(crate) fn acquire(class: SlotClass) -> Self {
        let mut slots = Slots::lock();
        let ticket = slots.request(class);
        slots = CHANGED
            .wait_while(slots, |slots| slots.next() != Some(ticket))
            .unwrap_or_else(PoisonError::into_inner);
        slots.requests.remove(&ticket);
        slots.take(class);
        // The next request may be granted as well.
        CHANGED.notify_all();
        Self(class)
    }

    /// The slot's class.
    pub(crate) fn class(&self) -> SlotClass {
        self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        Slots::lock().release(self.0);
    }
}

/// A slot that its holder leaves to other scenarios, until this is dropped.
pub(crate) struct Yielded(SlotClass);

impl Yielded {
    /// Yields the slot of this class that the caller holds.
    pub(crate) fn new(class: SlotClass) -> Self {
        Slots::lock().release(class);
        Self(class)
    }
}

impl Drop for Yielded {
    /// Takes the slot back at once, since a scenario cannot wait in the middle of its
    /// measurement. If another scenario has it, one slot more than there are is taken,
    /// until one of the scenarios ends.
    fn drop(&mut self) {
        Slots::lock().take(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_busy_and_one_waiting_run_together() {
        let mut slots = Slots::NONE;
        for _ in 0..BUSY_SLOTS {
            assert!(slots.is_free(SlotClass::Busy));
            slots.take(SlotClass::Busy);
        }
        assert!(!slots.is_free(SlotClass::Busy));
        assert!(slots.is_free(SlotClass::Waiting));
        slots.take(SlotClass::Waiting);
        assert!(!slots.is_free(SlotClass::Waiting));
        slots.release(SlotClass::Busy);
        assert!(slots.is_free(SlotClass::Busy));
    }

    #[test]
    fn exclusive_excludes_all_other_classes() {
        for other in [SlotClass::Busy, SlotClass::Waiting] {
            let mut slots = Slots::NONE;
            slots.take(other);
            assert!(!slots.is_free(SlotClass::Exclusive));
            slots.release(other);
            slots.take(SlotClass::Exclusive);
            assert!(!slots.is_free(other) && !slots.is_free(SlotClass::Exclusive));
        }
    }

    #[test]
    fn requests_are_granted_in_their_order() {
        let mut slots = Slots::NONE;
        assert_eq!(slots.next(), None);
        let [first, second] = [SlotClass::Busy, SlotClass::Busy].map(|class| slots.request(class));
        let waiting = slots.request(SlotClass::Waiting);
        assert_eq!(slots.next(), Some(first));
        slots.requests.remove(&first);
        assert_eq!(slots.next(), Some(second));
        // A class that is full does not block the other classes.
        slots.busy = BUSY_SLOTS;
        assert_eq!(slots.next(), Some(waiting));
        slots.waiting = 1;
        assert_eq!(slots.next(), None);
    }

    #[test]
    fn an_exclusive_request_is_granted_before_all_others() {
        let mut slots = Slots::NONE;
        let waiting = slots.request(SlotClass::Waiting);
        let exclusive = slots.request(SlotClass::Exclusive);
        assert_eq!(slots.next(), Some(exclusive));
        slots.busy = 1;
        assert_eq!(slots.next(), None);
        slots.requests.remove(&exclusive);
        assert_eq!(slots.next(), Some(waiting));
    }

    /// A slot that was yielded is taken back at once: it may be one more than there are.
    #[test]
    fn a_yielded_slot_is_taken_back() {
        let mut slots = Slots::NONE;
        for _ in 0..=BUSY_SLOTS {
            slots.take(SlotClass::Busy);
        }
        slots.release(SlotClass::Busy);
        assert!(!slots.is_free(SlotClass::Busy));
        slots.release(SlotClass::Busy);
        assert!(slots.is_free(SlotClass::Busy));
    }
}
