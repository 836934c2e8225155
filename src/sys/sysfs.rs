// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/softlockup_count` and `hardlockup_count`, on kernels that do not have them: they belong
//! to the in-tree detectors (`kernel/watchdog.c`), and programs that watch a machine read them there.
//!
//! C headers: [`include/linux/sysfs.h`](srctree/include/linux/sysfs.h), `src/c/vigil.h`

use super::{
    ffi,
    single::Single, //
};
use kernel::{
    error::to_result,
    ffi::{
        c_uint,
        c_ulonglong,
        c_void, //
    },
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc, //
    }, //
};

/// What the files read as.
pub(crate) trait LockupCounts: Send + Sync {
    /// Soft lockups so far.
    ///
    /// # Context
    ///
    /// Process context of the reader, may sleep.
    fn softlockups(&self) -> u64;

    /// Hard lockups so far.
    ///
    /// # Context
    ///
    /// As [`LockupCounts::softlockups`].
    fn hardlockups(&self) -> u64;
}

/// Those of the files that the kernel does not have itself. Dropping it removes them and waits for
/// running reads.
///
/// # Invariants
///
/// `vigil_lockup_counts_add()` was called, with the address of `_counts`.
pub(crate) struct LockupCountFiles<T: LockupCounts> {
    _counts: Arc<T>,
    _single: Single,
}

impl<T: LockupCounts> LockupCountFiles<T> {
    /// Creates the files.
    ///
    /// # Errors
    ///
    /// `EBUSY` while another one lives; `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn new(counts: Arc<T>) -> Result<Self> {
        static TAKEN: Atomic<bool> = Atomic::new(false);
        let single = Single::take(&TAKEN)?;
        let arg = core::ptr::from_ref(&*counts).cast_mut().cast::<c_void>();
        // SAFETY: `counts` stays where it is and lives until `drop` has waited for the last read. No
        // other one lives.
        to_result(unsafe { ffi::vigil_lockup_counts_add(Some(read::<T>), arg) })?;
        // INVARIANT: Just called.
        Ok(Self {
            _counts: counts,
            _single: single,
        })
    }
}

impl<T: LockupCounts> Drop for LockupCountFiles<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant. Waits for running reads.
        unsafe { ffi::vigil_lockup_counts_remove() };
    }
}

/// # Safety
///
/// `counts` points to a `T` that lives until this returns.
unsafe extern "C" fn read<T: LockupCounts>(counts: *mut c_void, count: c_uint) -> c_ulonglong {
    // SAFETY: By the function's safety requirement.
    let counts = unsafe { &*counts.cast::<T>() };
    match count {
        ffi::vigil_lockup_count_VIGIL_SOFTLOCKUP_COUNT => counts.softlockups(),
        _ => counts.hardlockups(),
    }
}

#[kunit_tests(vigil_sysfs)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };

    /// What the test must not get to show.
    struct Seven;

    impl LockupCounts for Seven {
        fn softlockups(&self) -> u64 {
            7
        }

        fn hardlockups(&self) -> u64 {
            7
        }
    }

    /// The debug kernel, which is where this runs, has no in-tree detectors, so that the files are
    /// those of the loaded module.
    #[test]
    fn the_modules_files_are_there_and_no_others() -> Result {
        let second = LockupCountFiles::new(Arc::new(Seven, GFP_KERNEL)?);
        assert_eq!(second.err(), Some(EBUSY));
        for path in [c"kernel/softlockup_count", c"kernel/hardlockup_count"] {
            let mut text = [0u8; 8];
            let read = File::open((c"sysfs", path), false)?.read(&mut text, &mut 0);
            assert_eq!(read, Ok(2));
            assert!(text.starts_with(b"0\n"));
        }
        Ok(())
    }
}
