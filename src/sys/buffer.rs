// SPDX-License-Identifier: GPL-2.0

//! Memory for a fixed number of elements.
//!
//! Instead of `KVVec`, whose growing is generic code: its arithmetic is compiled into the module
//! with overflow checks, and so with panic paths. A [`Buffer`] does not grow.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use core::{
    alloc::Layout,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator::KVmalloc,
        Allocator,
        Flags,
        NumaNode, //
    },
    prelude::*, //
};

/// A fixed number of elements on the heap (`kvmalloc()`). Dropping it drops them.
///
/// # Invariants
///
/// - `start` points to memory of `layout` from [`KVmalloc`], owned by this value, or dangles
///   (aligned) where `layout` has no size.
/// - The first `len` elements there are initialised, and as many fit into `layout`.
pub(crate) struct Buffer<T> {
    start: NonNull<T>,
    layout: Layout,
    len: usize,
}

// SAFETY: It owns its elements, which are `Send`, as `Vec` does.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: As above.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T> Buffer<T> {
    /// Creates `len` elements, each by a call of `make` with its index.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what `make` returns; the elements made until then are dropped.
    ///
    /// # Context
    ///
    /// That of `flags`; to be dropped in any context but NMI.
    pub(crate) fn new(
        len: usize,
        flags: Flags,
        mut make: impl FnMut(usize) -> Result<T>,
    ) -> Result<Self> {
        let layout = Layout::array::<T>(len).map_err(|_| ENOMEM)?;
        let start = KVmalloc::alloc(layout, flags, NumaNode::NO_NODE)?.cast::<T>();
        // INVARIANT: Nothing is initialised yet.
        let mut new = Self {
            start,
            layout,
            len: 0,
        };
        for index in 0..len {
            let element = make(index)?;
            // SAFETY: `index` is below `len`, and the memory has room for `len` elements.
            unsafe { new.start.add(index).write(element) };
            // INVARIANT: One more is initialised.
            new.len = index.wrapping_add(1);
        }
        Ok(new)
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: By the type invariants.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: By the type invariants; `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants these are initialised; they are not used afterwards.
        unsafe { core::ptr::drop_in_place(&mut **self) };
        // SAFETY: By the type invariants this is the memory from `alloc`, with its layout.
        unsafe { KVmalloc::free(self.start.cast(), self.layout) };
    }
}

#[kunit_tests(vigil_buffer)]
mod tests {
    use super::*;
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// Counts its drops.
    struct Counted<'a>(&'a Atomic<i32>);

    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.add(1, Relaxed);
        }
    }

    #[test]
    fn elements_are_those_that_make_returned() -> Result {
        let mut buffer = Buffer::new(5, GFP_KERNEL, |index| Ok(index.wrapping_mul(3)))?;
        assert_eq!(&*buffer, &[0, 3, 6, 9, 12]);
        if let Some(last) = buffer.last_mut() {
            *last = 1;
        }
        assert_eq!(buffer.get(4), Some(&1));
        assert_eq!(buffer.get(5), None);
        Ok(())
    }

    #[test]
    fn elements_are_dropped_once() -> Result {
        let dropped = Atomic::new(0);
        let buffer = Buffer::new(7, GFP_KERNEL, |_| Ok(Counted(&dropped)))?;
        assert_eq!(dropped.load(Relaxed), 0);
        drop(buffer);
        assert_eq!(dropped.load(Relaxed), 7);
        Ok(())
    }

    #[test]
    fn an_error_drops_the_elements_made_before() {
        let dropped = Atomic::new(0);
        let mut last = 0;
        let failed = Buffer::new(7, GFP_KERNEL, |index| {
            last = index;
            if index < 3 {
                Ok(Counted(&dropped))
            } else {
                Err(EBUSY)
            }
        });
        assert_eq!(failed.err(), Some(EBUSY));
        assert_eq!(last, 3);
        assert_eq!(dropped.load(Relaxed), 3);
    }

    #[test]
    fn length_and_element_size_may_be_zero() -> Result {
        let none = Buffer::<u64>::new(0, GFP_KERNEL, |_| Err(EINVAL))?;
        assert!(none.is_empty());
        let dropped = Atomic::new(0);
        let zero_sized = Buffer::new(1000, GFP_KERNEL, |_| {
            dropped.add(1, Relaxed);
            Ok(())
        })?;
        assert_eq!(zero_sized.len(), 1000);
        assert_eq!(dropped.load(Relaxed), 1000);
        Ok(())
    }

    #[test]
    fn more_than_the_address_space_is_enomem() {
        let mut called = false;
        let failed = Buffer::<u64>::new(usize::MAX, GFP_KERNEL, |_| {
            called = true;
            Ok(0)
        });
        assert_eq!(failed.err(), Some(ENOMEM));
        assert!(!called);
    }

    /// Longer than `kmalloc()` allows, so that it comes from `vmalloc()`, and is freed there.
    #[test]
    fn a_long_buffer_comes_from_vmalloc() -> Result {
        let buffer = Buffer::new(16 << 20, GFP_KERNEL, |index| Ok(index as u8))?;
        assert_eq!(buffer.get(0x12345), Some(&0x45));
        Ok(())
    }
}
