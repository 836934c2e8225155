// SPDX-License-Identifier: GPL-2.0
//! Who may be at work: the time that a guest sees is only as good as the processor
//! time that it gets.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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
    /// How many wait to be alone: nobody else begins before them.
    want_alone: u32,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns {
    at_work: 0,
    light: 0,
    alone: false,
    want_alone: 0,
});
static TURN_OVER: Condvar = Condvar::new();

impl Turns {
    fn lock() -> MutexGuard<'static, Self> {
        TURNS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_free(&self, share: Share) -> bool {
        let others = !self.alone && self.want_alone == 0;
        match share {
            Share::Work => others && self.at_work < AT_WORK,
            Share::Light => others && self.light == 0,
            Share::Alone => !self.alone && self.at_work == 0 && self.light == 0,
        }
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
        let waits = u32::from(share == Share::Alone);
        let mut turns = Turns::lock();
        turns.want_alone += waits;
        turns = TURN_OVER
            .wait_while(turns, |turns| !turns.is_free(share))
            .unwrap_or_else(PoisonError::into_inner);
        turns.want_alone -= waits;
        turns.take(share);
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

    const FREE: Turns = Turns {
        at_work: 0,
        light: 0,
        alone: false,
        want_alone: 0,
    };

    #[test]
    fn two_work_and_one_waits_beside_them() {
        let mut turns = FREE;
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
            let mut turns = FREE;
            turns.take(other);
            assert!(!turns.is_free(Share::Alone));
            turns.give_back(other);
            turns.take(Share::Alone);
            assert!(!turns.is_free(other) && !turns.is_free(Share::Alone));
        }
    }

    #[test]
    fn who_wants_to_be_alone_comes_first() {
        let mut turns = FREE;
        turns.want_alone = 1;
        assert!(!turns.is_free(Share::Work) && !turns.is_free(Share::Light));
        assert!(turns.is_free(Share::Alone));
    }

    /// Taken back at once, it may be one more than there are.
    #[test]
    fn what_was_lent_is_taken_back() {
        let mut turns = FREE;
        for _ in 0..=AT_WORK {
            turns.take(Share::Work);
        }
        turns.give_back(Share::Work);
        assert!(!turns.is_free(Share::Work));
        turns.give_back(Share::Work);
        assert!(turns.is_free(Share::Work));
    }
}
