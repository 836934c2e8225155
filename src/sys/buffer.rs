// SPDX-License-Identifier: GPL-2.0

//! Memory of a fixed number of elements.
//!
//! `KVVec` would do, but its growing is generic code whose arithmetic is compiled into the module
//! with overflow checks, and so with panic paths; nothing here ever grows.

use core::{
    alloc::Layout,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};
use kernel::{
    alloc::{allocator::KVmalloc, Allocator, Flags, NumaNode},
    prelude::*,
};

/// A fixed number of elements on the heap (`kvmalloc()`).
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

// SAFETY: It owns its elements, as `Vec` does.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: As above.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T> Buffer<T> {
    /// `len` elements, each made by `make` from its place.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what `make` returns; the elements made until then are dropped.
    ///
    /// # Context
    ///
    /// Process context; may sleep if `flags` say so.
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
        for place in 0..len {
            let element = make(place)?;
            // SAFETY: `place` is below `len`, for as many of which the memory was allocated.
            unsafe { new.start.add(place).write(element) };
            // INVARIANT: One more is initialised.
            new.len = place.wrapping_add(1);
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
        // SAFETY: By the type invariants these are initialised, and nobody uses them any more.
        unsafe { core::ptr::drop_in_place(&mut **self) };
        // SAFETY: By the type invariants this is the memory from `alloc`, with its layout.
        unsafe { KVmalloc::free(self.start.cast(), self.layout) };
    }
}
