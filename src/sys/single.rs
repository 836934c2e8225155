// SPDX-License-Identifier: GPL-2.0

//! What the module may have once at a time, because the kernel or the C part keeps it in a static.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Release, //
    }, //
};

/// The right to use a static, which nobody else has meanwhile.
///
/// # Invariants
///
/// The flag is set, by this value, for as long as it lives.
pub(super) struct Single(&'static Atomic<bool>);

impl Single {
    /// Takes the right that `taken` stands for.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody else has it.
    ///
    /// # Context
    ///
    /// Any.
    pub(super) fn take(taken: &'static Atomic<bool>) -> Result<Self> {
        if taken.xchg(true, Full) {
            return Err(EBUSY);
        }
        // INVARIANT: Just set, by this.
        Ok(Self(taken))
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

#[kunit_tests(vigil_single)]
mod tests {
    use super::*;

    #[test]
    fn the_second_has_to_wait_for_the_first() -> Result {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        let first = Single::take(&TAKEN)?;
        assert!(matches!(Single::take(&TAKEN), Err(EBUSY)));
        drop(first);
        Single::take(&TAKEN)?;
        Ok(())
    }
}
