// SPDX-License-Identifier: GPL-2.0
//! Who may be at work: the time that a guest sees is only as good as the processor
//! time that it gets.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Guests at once that are at work.
const AT_WORK: u32 = 2;

/// How much of the machine somebody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// One of the places of those that are at work.
    Work,
    /// The place of the one whose guest mostly waits.
    Light,
    /// All of it.
    Alone,
}

/// The right to that share.
pub(crate) struct Turn(Share);

/// Who has turns, and who waits.
struct Turns {
    at_work: u32,
    light: u32,
    alone: bool,
    /// Who waits for which share, in the order in which they came.
    waiting: BTreeMap<u32, Share>,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns::NONE);
static TURN_OVER: Condvar = Condvar::new();

impl Turns {
    /// Nobody is there.
    const NONE: Self = Self {
        at_work: 0,
        light: 0,
        alone: false,
        waiting: BTreeMap::new(),
    };

    fn lock() -> MutexGuard<'static, Self> {
        TURNS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_free(&self, share: Share) -> bool {
        match share {
            Share::Work => !self.alone && self.at_work < AT_WORK,
            Share::Light => !self.alone && self.light == 0,
            Share::Alone => !self.alone && self.at_work == 0 && self.light == 0,
        }
    }

    /// Comes and waits for that share.
    fn come(&mut self, share: Share) -> u32 {
        let number = self
            .waiting
            .last_key_value()
            .map_or(0, |(last, _)| last + 1);
        self.waiting.insert(number, share);
        number
    }

    /// Whose turn it is: that of the first whose share is free. Nobody else begins
    /// before one who wants to be alone.
    fn whose(&self) -> Option<u32> {
        let want_alone = self.waiting.values().any(|share| *share == Share::Alone);
        let may = |share| self.is_free(share) && (share == Share::Alone || !want_alone);
        let mut waiting = self.waiting.iter();
        waiting
            .find(|(_, share)| may(**share))
            .map(|(number, _)| *number)
    }

    fn take(&mut self, share: Share) {
        match share {
            Share::Work => self.at_work += 1,
            Share::Light => self.light += 1,
            Share::Alone => self.alone = true,
        }
    }

    fn give_back(&mut self, share: Share) {
        match share {
            Share::Work => self.at_work -= 1,
            Share::Light => self.light -= 1,
            Share::Alone => self.alone = false,
        }
        TURN_OVER.notify_all();
    }
}

impl Turn {
    /// Waits for it.
    pub(crate) fn take(share: Share) -> Self {
        let mut turns = Turns::lock();
        let number = turns.come(share);
        turns = TURN_OVER
            .wait_while(turns, |turns| turns.whose() != Some(number))
            .unwrap_or_else(PoisonError::into_inner);
        turns.waiting.remove(&number);
        turns.take(share);
        // There may be enough for one more.
        TURN_OVER.notify_all();
        Self(share)
    }

    /// Which share it is.
    pub(crate) fn share(&self) -> Share {
        self.0
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        Turns::lock().give_back(self.0);
    }
}

/// A share of somebody's that another one may have for a while.
pub(crate) struct Lent(Share);

impl Lent {
    /// Lends the share that the caller has a turn for.
    pub(crate) fn new(share: Share) -> Self {
        Turns::lock().give_back(share);
        Self(share)
    }
}

impl Drop for Lent {
    /// Takes it back at once. If somebody has it, there is one more at work until
    /// the first of them has finished: who lent it cannot be made to wait.
    fn drop(&mut self) {
        Turns::lock().take(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_work_and_one_waits_beside_them() {
        let mut turns = Turns::NONE;
        for _ in 0..AT_WORK {
            assert!(turns.is_free(Share::Work));
            turns.take(Share::Work);
        }
        assert!(!turns.is_free(Share::Work));
        assert!(turns.is_free(Share::Light));
        turns.take(Share::Light);
        assert!(!turns.is_free(Share::Light));
        turns.give_back(Share::Work);
        assert!(turns.is_free(Share::Work));
    }

    #[test]
    fn alone_is_alone() {
        for other in [Share::Work, Share::Light] {
            let mut turns = Turns::NONE;
            turns.take(other);
            assert!(!turns.is_free(Share::Alone));
            turns.give_back(other);
            turns.take(Share::Alone);
            assert!(!turns.is_free(other) && !turns.is_free(Share::Alone));
        }
    }

    #[test]
    fn who_came_first_is_first() {
        let mut turns = Turns::NONE;
        assert_eq!(turns.whose(), None);
        let [first, second] = [Share::Work, Share::Work].map(|share| turns.come(share));
        let light = turns.come(Share::Light);
        assert_eq!(turns.whose(), Some(first));
        turns.waiting.remove(&first);
        assert_eq!(turns.whose(), Some(second));
        // Whoever cannot begin does not keep others from it.
        turns.at_work = AT_WORK;
        assert_eq!(turns.whose(), Some(light));
        turns.light = 1;
        assert_eq!(turns.whose(), None);
    }

    #[test]
    fn who_wants_to_be_alone_comes_first() {
        let mut turns = Turns::NONE;
        let light = turns.come(Share::Light);
        let alone = turns.come(Share::Alone);
        assert_eq!(turns.whose(), Some(alone));
        turns.at_work = 1;
        assert_eq!(turns.whose(), None);
        turns.waiting.remove(&alone);
        assert_eq!(turns.whose(), Some(light));
    }

    /// Taken back at once, it may be one more than there are.
    #[test]
    fn what_was_lent_is_taken_back() {
        let mut turns = Turns::NONE;
        for _ in 0..=AT_WORK {
            turns.take(Share::Work);
        }
        turns.give_back(Share::Work);
        assert!(!turns.is_free(Share::Work));
        turns.give_back(Share::Work);
        assert!(turns.is_free(Share::Work));
    }
}
