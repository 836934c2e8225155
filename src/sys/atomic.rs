// SPDX-License-Identifier: GPL-2.0

//! Atomic variables whose loads and stores are single instructions on x86-64.
//!
//! Those of the `kernel` crate are calls of C helpers in a kernel without `RUST_INLINE_HELPERS`, as
//! distributions build it, and the watchdog's timer interrupt makes some sixty of them. Elsewhere
//! [`Atomic`] is the crate's.

pub(crate) use kernel::sync::atomic::{
    Acquire,
    Full,
    Relaxed,
    Release, //
};

#[cfg(any(not(CONFIG_X86_64), CONFIG_RUST_INLINE_HELPERS))]
pub(crate) use kernel::sync::atomic::Atomic;
#[cfg(all(CONFIG_X86_64, not(CONFIG_RUST_INLINE_HELPERS)))]
pub(crate) use x86::Atomic;

#[cfg(all(CONFIG_X86_64, not(CONFIG_RUST_INLINE_HELPERS)))]
mod x86 {
    use core::{
        ops::Deref,
        sync::atomic::{
            compiler_fence,
            Ordering, //
        }, //
    };
    use kernel::sync::atomic::{
        ordering::{
            AcquireOrRelaxed,
            ReleaseOrRelaxed, //
        },
        AtomicType, //
    };

    /// An atomic variable: [`kernel::sync::atomic::Atomic`] with loads and stores of its own.
    ///
    /// They are what the C macros are here: `READ_ONCE()` and `WRITE_ONCE()` are volatile accesses;
    /// `smp_load_acquire()` and `smp_store_release()` are the same with a barrier for the compiler,
    /// since x86 reorders nothing but a store with a later load (`arch/x86/include/asm/barrier.h`).
    /// The barrier stands with relaxed ones too, where it costs nothing.
    #[repr(transparent)]
    pub(crate) struct Atomic<T: AtomicType>(kernel::sync::atomic::Atomic<T>);

    impl<T: AtomicType> Atomic<T> {
        /// A variable with this value.
        pub(crate) const fn new(value: T) -> Self {
            Self(kernel::sync::atomic::Atomic::new(value))
        }

        /// The variable at an address: see [`kernel::sync::atomic::Atomic::from_ptr`].
        ///
        /// # Safety
        ///
        /// As there.
        pub(crate) unsafe fn from_ptr<'a>(ptr: *mut T) -> &'a Self {
            // SAFETY: By the function's safety requirement; the layout is that of the crate's type, which
            // has the layout of `T`.
            unsafe { &*ptr.cast::<Self>() }
        }

        /// Loads the value.
        #[inline(always)]
        pub(crate) fn load<O: AcquireOrRelaxed>(&self, _: O) -> T {
            // SAFETY: The pointer is valid and aligned, and what it points to is a value of `T` at any time:
            // it is changed by whole values. A volatile access of a machine word or less is a single
            // one, which is no data race in the kernel's memory model.
            let value = unsafe { self.as_ptr().read_volatile() };
            compiler_fence(Ordering::Acquire);
            value
        }

        /// Stores a value.
        #[inline(always)]
        pub(crate) fn store<O: ReleaseOrRelaxed>(&self, value: T, _: O) {
            compiler_fence(Ordering::Release);
            // SAFETY: As in `load`. Every variable of this type may be written through a shared reference.
            unsafe { self.as_ptr().write_volatile(value) };
        }
    }

    impl<T: AtomicType> Deref for Atomic<T> {
        type Target = kernel::sync::atomic::Atomic<T>;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }
}
