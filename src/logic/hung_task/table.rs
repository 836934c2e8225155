// SPDX-License-Identifier: GPL-2.0

//! The table of watched tasks: a map from a task's identity to what is known of it.
//!
//! Entries lie densely in one slice, so that going through the watched tasks costs as much as
//! there are of them, however large the table once had to become. A second slice of buckets
//! finds an entry by its key (open addressing, linear probing, deletion by shifting back).
//! Storage is the caller's: nothing is allocated here, so that tasks can be entered where the
//! caller must not sleep.

use super::check::Watch;
use core::ops::DerefMut;

/// One watched task. `P` keeps it alive for as long as it is in the table, which is what makes
/// its address an identity: no other task can have it meanwhile.
#[derive(Debug, Default)]
pub struct Entry<P> {
    key: usize,
    /// What is known of the task.
    pub watch: Watch,
    /// The task itself.
    pub task: P,
}

/// Buckets that a table of `capacity` entries needs: a power of two, at most half full.
pub const fn buckets_for(capacity: usize) -> usize {
    match capacity.saturating_mul(2).checked_next_power_of_two() {
        Some(n) => n,
        None => usize::MAX / 2 + 1,
    }
}

/// The table.
///
/// # Invariants
///
/// - The first `len` entries are in use, with distinct keys.
/// - A bucket holds zero (free) or one more than the place of an entry; each entry in use has
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
    /// An empty table over the given storage. `buckets` has to be as long as [`buckets_for`] says
    /// for the length of `entries`; a shorter one makes the table smaller. What they hold is lost.
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

    /// How many tasks are being watched.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many fit.
    pub fn capacity(&self) -> usize {
        let places = self.entries.len().min(u32::MAX as usize - 1);
        if self.buckets.len().is_power_of_two() {
            places.min(self.buckets.len() / 2)
        } else {
            0
        }
    }

    /// Index mask of the buckets. Only to be called when there are some.
    fn mask(&self) -> usize {
        self.buckets.len().wrapping_sub(1)
    }

    /// Where the search for `key` begins. Addresses of tasks are multiples of a cache line: the
    /// multiplication spreads them (Knuth's golden ratio).
    fn home(&self, key: usize) -> usize {
        let spread = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (spread >> 32) as usize & self.mask()
    }

    /// The bucket that holds `key` (`Ok`) or would take it (`Err`); `None` for a table of none.
    fn find(&self, key: usize) -> Option<Result<usize, usize>> {
        let mut at = self.home(key);
        // At most half of the buckets are taken, so that this ends; the bound is for the reader.
        for _ in 0..self.buckets.len() {
            let bucket = *self.buckets.get(at)?;
            if bucket == 0 {
                return Some(Err(at));
            }
            let place = (bucket as usize).wrapping_sub(1);
            if self.entries.get(place)?.key == key {
                return Some(Ok(at));
            }
            at = at.wrapping_add(1) & self.mask();
        }
        None
    }

    /// What is known of the task with this key.
    pub fn get(&self, key: usize) -> Option<&Entry<P>> {
        let at = self.find(key)?.ok()?;
        let place = (*self.buckets.get(at)? as usize).wrapping_sub(1);
        self.entries.get(place)
    }

    /// The entry in the given place, below [`Table::len`].
    pub fn at(&mut self, place: usize) -> Option<&mut Entry<P>> {
        if place < self.len {
            self.entries.get_mut(place)
        } else {
            None
        }
    }

    /// Enters a task; `task` is only asked for when there is room and the key is new. Returns
    /// whether it was entered, or [`Full`].
    pub fn insert(
        &mut self,
        key: usize,
        watch: Watch,
        task: impl FnOnce() -> P,
    ) -> Result<bool, Full> {
        let free = match self.find(key) {
            Some(Ok(_)) => return Ok(false),
            Some(Err(free)) => free,
            None => return Err(Full),
        };
        if self.len >= self.capacity() {
            return Err(Full);
        }
        let place = self.len;
        let (Some(entry), Some(bucket)) = (self.entries.get_mut(place), self.buckets.get_mut(free))
        else {
            return Err(Full);
        };
        *entry = Entry {
            key,
            watch,
            task: task(),
        };
        self.len = place.wrapping_add(1);
        *bucket = self.len as u32;
        Ok(true)
    }

    /// Takes out the entry in the given place; the last one moves there.
    pub fn remove_at(&mut self, place: usize) -> Option<P> {
        if place >= self.len {
            return None;
        }
        let last = self.len.wrapping_sub(1);
        let bucket = self.find(self.entries.get(place)?.key)?.ok()?;
        self.free_bucket(bucket);
        let moved = match place == last {
            true => None,
            false => Some(self.find(self.entries.get(last)?.key)?.ok()?),
        };
        let mut entry = core::mem::take(self.entries.get_mut(last)?);
        if let Some(moved) = moved {
            *self.buckets.get_mut(moved)? = place.wrapping_add(1) as u32;
            entry = core::mem::replace(self.entries.get_mut(place)?, entry);
        }
        self.len = last;
        Some(entry.task)
    }

    /// Frees a bucket and moves those behind it up, so that no search meets a gap.
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
                let place = (bucket as usize).wrapping_sub(1);
                let home = match self.entries.get(place) {
                    Some(entry) => self.home(entry.key),
                    None => return,
                };
                // May move into the gap unless its home lies behind the gap.
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

    /// Moves all entries into a table over other storage. Entries that do not fit are dropped.
    pub fn moved_to(mut self, entries: E, buckets: B) -> Self {
        let mut new = Self::new(entries, buckets);
        for old in self.entries.iter_mut().take(self.len) {
            let old = core::mem::take(old);
            let Entry { key, watch, task } = old;
            let _ = new.insert(key, watch, || task);
        }
        new
    }
}

/// No room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;
