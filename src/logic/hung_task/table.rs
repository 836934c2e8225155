// SPDX-License-Identifier: GPL-2.0

//! The table of tracked tasks: a hash table from a task's identity to its [`Tracked`] state.
//!
//! Entries lie densely in one slice, so that the cost of a check of all tracked tasks follows from
//! their number, and not from the largest size that the table ever had. A second slice of buckets
//! finds an entry by its key (open addressing, linear probing, deletion by shifting back).
//! The caller provides the storage: nothing is allocated here, so that a task can be inserted in a
//! context that must not sleep.

use super::check::Tracked;
use core::ops::DerefMut;

/// One tracked task. `P` keeps it alive for as long as it is in the table, which is what makes
/// its address an identity: no other task can have that address meanwhile.
#[derive(Debug, Default)]
pub struct Entry<P> {
    key: usize,
    /// The task's state.
    pub tracked: Tracked,
    /// The reference to the task.
    pub task: P,
}

/// Buckets that a table of `capacity` entries needs: a power of two, at most half full.
pub const fn buckets_for(capacity: usize) -> usize {
    match capacity.saturating_mul(2).checked_next_power_of_two() {
        Some(n) => n,
        None => usize::MAX / 2 + 1,
    }
}

/// The bucket in which the search for `key` begins, of as many as `mask` and one more. Addresses of
/// tasks are multiples of a cache line: the multiplication spreads them (Knuth's golden ratio).
pub(in super::super) fn home(key: usize, mask: usize) -> usize {
    let spread = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> 32) as usize & mask
}

/// A hash table of tracked tasks.
///
/// # Invariants
///
/// - The first `len` entries are in use, with distinct keys.
/// - A bucket holds zero (free) or one more than the index of an entry; each entry in use has
///   exactly one bucket, reachable from its home without passing a free one.
/// - The number of buckets is a power of two and at least twice the number of entries.
pub struct Table<E, B> {
    entries: E,
    buckets: B,
    len: usize,
}

impl<P, E, B> Table<E, B>
where
    P: Default,
    E: DerefMut<Target = [Entry<P>]>,
    B: DerefMut<Target = [u32]>,
{
    /// Makes an empty table in the given storage. `buckets` has to be as long as [`buckets_for`]
    /// says for the length of `entries`; a shorter one makes the table smaller. The previous
    /// contents of both are lost.
    pub fn new(entries: E, mut buckets: B) -> Self {
        for b in buckets.iter_mut() {
            *b = 0;
        }
        Self {
            entries,
            buckets,
            len: 0,
        }
    }

    /// The number of tracked tasks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no task is tracked.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many tasks fit.
    pub fn capacity(&self) -> usize {
        let entries = self.entries.len().min(u32::MAX as usize - 1);
        if self.buckets.len().is_power_of_two() {
            entries.min(self.buckets.len() / 2)
        } else {
            0
        }
    }

    /// Index mask of the buckets; meaningless for a table without buckets.
    fn mask(&self) -> usize {
        self.buckets.len().wrapping_sub(1)
    }

    /// The home bucket of `key`, in which the search for it begins.
    fn home(&self, key: usize) -> usize {
        home(key, self.mask())
    }

    /// The bucket that holds `key` (`Ok`) or would take it (`Err`); `None` for a table without
    /// buckets.
    fn find(&self, key: usize) -> Option<Result<usize, usize>> {
        let mut at = self.home(key);
        // At most half of the buckets are in use, so that the search meets a free one; the loop's
        // bound makes its end evident.
        for _ in 0..self.buckets.len() {
            let bucket = *self.buckets.get(at)?;
            if bucket == 0 {
                return Some(Err(at));
            }
            let index = (bucket as usize).wrapping_sub(1);
            if self.entries.get(index)?.key == key {
                return Some(Ok(at));
            }
            at = at.wrapping_add(1) & self.mask();
        }
        None
    }

    /// The entry of the task with this key.
    pub fn get(&self, key: usize) -> Option<&Entry<P>> {
        let at = self.find(key)?.ok()?;
        let index = (*self.buckets.get(at)? as usize).wrapping_sub(1);
        self.entries.get(index)
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry<P>] {
        self.entries.get(..self.len).unwrap_or_default()
    }

    /// The entry with this index; `None` from [`Table::len`] on.
    pub fn entry_mut(&mut self, index: usize) -> Option<&mut Entry<P>> {
        if index < self.len {
            self.entries.get_mut(index)
        } else {
            None
        }
    }

    /// Inserts a task, unless its key is in the table already. `task` is called only if the task is
    /// inserted. Returns whether it was.
    ///
    /// # Errors
    ///
    /// [`TableFull`].
    pub fn insert(
        &mut self,
        key: usize,
        tracked: Tracked,
        task: impl FnOnce() -> P,
    ) -> Result<bool, TableFull> {
        let free = match self.find(key) {
            Some(Ok(_)) => return Ok(false),
            Some(Err(free)) => free,
            None => return Err(TableFull),
        };
        if self.len >= self.capacity() {
            return Err(TableFull);
        }
        let index = self.len;
        let (Some(entry), Some(bucket)) = (self.entries.get_mut(index), self.buckets.get_mut(free))
        else {
            return Err(TableFull);
        };
        *entry = Entry {
            key,
            tracked,
            task: task(),
        };
        self.len = index.wrapping_add(1);
        *bucket = self.len as u32;
        Ok(true)
    }

    /// Removes the entry with this index and returns its task; the last entry takes its index.
    pub fn remove_at(&mut self, index: usize) -> Option<P> {
        if index >= self.len {
            return None;
        }
        let last = self.len.wrapping_sub(1);
        let bucket = self.find(self.entries.get(index)?.key)?.ok()?;
        self.free_bucket(bucket);
        let moved = match index == last {
            true => None,
            false => Some(self.find(self.entries.get(last)?.key)?.ok()?),
        };
        let mut entry = core::mem::take(self.entries.get_mut(last)?);
        if let Some(moved) = moved {
            *self.buckets.get_mut(moved)? = index.wrapping_add(1) as u32;
            entry = core::mem::replace(self.entries.get_mut(index)?, entry);
        }
        self.len = last;
        Some(entry.task)
    }

    /// Frees a bucket and moves the buckets behind it up, so that no search meets a gap.
    fn free_bucket(&mut self, mut gap: usize) {
        let mask = self.mask();
        let mut at = gap;
        loop {
            if let Some(b) = self.buckets.get_mut(gap) {
                *b = 0;
            }
            loop {
                at = at.wrapping_add(1) & mask;
                let bucket = self.buckets.get(at).copied().unwrap_or(0);
                if bucket == 0 {
                    return;
                }
                let index = (bucket as usize).wrapping_sub(1);
                let home = match self.entries.get(index) {
                    Some(entry) => self.home(entry.key),
                    None => return,
                };
                // This bucket may move into the gap unless its home lies behind the gap.
                if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                    if let Some(b) = self.buckets.get_mut(gap) {
                        *b = bucket;
                    }
                    gap = at;
                    break;
                }
            }
        }
    }

    /// Moves all entries into a table in other storage. Entries that do not fit are dropped.
    pub fn moved_into(mut self, entries: E, buckets: B) -> Self {
        let mut new = Self::new(entries, buckets);
        for old in self.entries.iter_mut().take(self.len) {
            let old = core::mem::take(old);
            let Entry { key, tracked, task } = old;
            let _ = new.insert(key, tracked, || task);
        }
        new
    }
}

/// The table has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;
