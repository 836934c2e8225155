// SPDX-License-Identifier: GPL-2.0
//! Who may be at work: the time that a guest sees is only as good as the processor
//! time that it gets.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Guests at once that are at work.
pub(crate) const AT_WORK: u32 = 2;

/// The right to be so many of [`AT_WORK`].
pub(crate) struct Turn(u32);

/// Who has turns, and who waits.
struct Turns {
    at_work: u32,
    /// How many wait to be alone: nobody else begins before them.
    alone: u32,
}

impl Turns {
    fn lock() -> MutexGuard<'static, Self> {
        TURNS.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static TURNS: Mutex<Turns> = Mutex::new(Turns {
    at_work: 0,
    alone: 0,
});
static TURN_OVER: Condvar = Condvar::new();

impl Turn {
    /// Waits for it.
    pub(crate) fn take(share: u32) -> Self {
        let alone = share == AT_WORK;
        let mut turns = Turns::lock();
        turns.alone += u32::from(alone);
        turns = TURN_OVER
            .wait_while(turns, |turns| {
                turns.at_work + share > AT_WORK || (turns.alone != 0 && !alone)
            })
            .unwrap_or_else(PoisonError::into_inner);
        turns.alone -= u32::from(alone);
        turns.at_work += share;
        Self(share)
    }

    /// Whether nobody else is at work meanwhile.
    pub(crate) fn is_alone(&self) -> bool {
        self.0 == AT_WORK
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        Turns::lock().at_work -= self.0;
        TURN_OVER.notify_all();
    }
}

/// One turn that somebody else may have for a while.
pub(crate) struct Lent(());

impl Lent {
    /// Lends a turn that somebody has, and who is not alone.
    pub(crate) fn new() -> Self {
        Turns::lock().at_work -= 1;
        TURN_OVER.notify_all();
        Self(())
    }
}

impl Drop for Lent {
    /// Takes it back at once. If somebody has it, there is one more at work until
    /// the first of them has finished: who lent it cannot be made to wait.
    fn drop(&mut self) {
        Turns::lock().at_work += 1;
    }
}
