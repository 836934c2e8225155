// SPDX-License-Identifier: GPL-2.0

//! The table of tracked tasks against a plain list and a `HashMap`, with every payload counted.

mod common;

use proptest::prelude::*;
use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
};
use vigil_logic::{
    hung_task::check::{TaskSample, Tracked},
    hung_task::table::{buckets_for, Entry, Table, TableFull},
};

/// How often each payload was dropped; its number is its place.
type Drops = Rc<RefCell<Vec<u32>>>;

/// What an entry holds: nothing, or something whose drop is counted.
#[derive(Default)]
struct Payload(Option<(usize, Drops)>);

impl Payload {
    fn new(drops: &Drops) -> Self {
        let mut counts = drops.borrow_mut();
        counts.push(0);
        Self(Some((counts.len() - 1, drops.clone())))
    }

    fn id(&self) -> Option<usize> {
        self.0.as_ref().map(|(id, _)| *id)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some((id, drops)) = &self.0 {
            drops.borrow_mut()[*id] += 1;
        }
    }
}

type Tasks = Table<Vec<Entry<Payload>>, Vec<u32>>;

fn entries(capacity: usize) -> Vec<Entry<Payload>> {
    (0..capacity).map(|_| Entry::default()).collect()
}

/// Storage as it may come: the buckets hold anything.
fn storage(capacity: usize) -> (Vec<Entry<Payload>>, Vec<u32>) {
    let dirt = (0..buckets_for(capacity)).map(|n| (n as u32).wrapping_mul(2_654_435_761));
    (entries(capacity), dirt.collect())
}

fn table(capacity: usize) -> Tasks {
    let (entries, buckets) = storage(capacity);
    Table::new(entries, buckets)
}

/// A state that differs from that of another `mark`.
fn tracked(mark: u64) -> Tracked {
    let sample = TaskSample {
        state: 2,
        switch_count: mark,
    };
    Tracked::new(&sample, mark)
}

/// The multiplier of `Table::home()`. Should it change there, these keys are merely no longer the
/// worst that there can be.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that undoes a multiplication by [`SPREAD`] (Newton's method modulo 2^64).
fn unspread() -> u64 {
    let mut inverse = SPREAD;
    for _ in 0..6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(SPREAD.wrapping_mul(inverse)));
    }
    assert_eq!(inverse.wrapping_mul(SPREAD), 1);
    inverse
}

/// Keys that all begin their search in one of a few neighbouring buckets, around the end of the
/// array, whatever its size.
fn colliding() -> Vec<usize> {
    let mut keys = Vec::new();
    for home in [-3i32, -2, -1, 0, 1, 2] {
        for low in 0..6u64 {
            let spread = (u64::from(home as u32) << 32) | low;
            keys.push(spread.wrapping_mul(unspread()) as usize);
        }
    }
    keys
}

/// Keys as they are: addresses of tasks, and the ends of the range.
fn ordinary() -> Vec<usize> {
    let slab = 0xffff_8880_0123_4000usize;
    let mut keys: Vec<usize> = (0..30).map(|n| slab + n * 0x2_640).collect();
    keys.extend([0, 1, usize::MAX, usize::MAX - 1, 64, 128]);
    keys
}

#[derive(Clone, Debug)]
enum Op {
    Insert(usize),
    /// In parts of a thousand of what is there.
    RemoveAt(usize),
    RemoveKey(usize),
    MoveTo(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..36usize).prop_map(Op::Insert),
        5 => (0..1000usize).prop_map(Op::RemoveAt),
        5 => (0..36usize).prop_map(Op::RemoveKey),
        1 => (0..40usize).prop_map(Op::MoveTo),
    ]
}

/// What the table has to hold: entries in their order, and where each is.
#[derive(Default)]
struct Model {
    order: Vec<(usize, usize, u64)>,
    place: HashMap<usize, usize>,
}

impl Model {
    fn push(&mut self, key: usize, id: usize, mark: u64) {
        self.place.insert(key, self.order.len());
        self.order.push((key, id, mark));
    }

    fn swap_remove(&mut self, place: usize) -> usize {
        let (key, id, _) = self.order.swap_remove(place);
        self.place.remove(&key);
        if let Some((moved, _, _)) = self.order.get(place) {
            self.place.insert(*moved, place);
        }
        id
    }

    fn truncate(&mut self, len: usize) {
        for (key, _, _) in self.order.drain(len.min(self.order.len())..) {
            self.place.remove(&key);
        }
    }
}

/// Everything that can be seen of the table is as in the model; `keys` are all that can occur.
fn compare(table: &mut Tasks, model: &Model, keys: &[usize]) -> Result<(), TestCaseError> {
    prop_assert_eq!(table.len(), model.order.len());
    prop_assert_eq!(table.is_empty(), model.order.is_empty());
    for (place, (_, id, mark)) in model.order.iter().enumerate() {
        let entry = table.entry_mut(place).expect("in use");
        prop_assert_eq!(entry.task.id(), Some(*id));
        prop_assert_eq!(entry.tracked, tracked(*mark));
    }
    prop_assert!(table.entry_mut(model.order.len()).is_none());
    prop_assert!(table.entry_mut(usize::MAX).is_none());
    for key in keys {
        let found = table
            .get(*key)
            .map(|entry| (entry.task.id(), entry.tracked));
        let expected = model.place.get(key).map(|place| {
            let (_, id, mark) = model.order[*place];
            (Some(id), tracked(mark))
        });
        prop_assert_eq!(found, expected, "key {:#x}", key);
    }
    Ok(())
}

/// Each payload was dropped once, or, if the model still has it, not yet.
fn compare_drops(drops: &Drops, model: &Model) -> Result<(), TestCaseError> {
    let alive: HashSet<usize> = model.order.iter().map(|(_, id, _)| *id).collect();
    for (id, count) in drops.borrow().iter().enumerate() {
        prop_assert_eq!(*count, u32::from(!alive.contains(&id)), "payload {}", id);
    }
    Ok(())
}

fn exercise(keys: &[usize], capacity: usize, ops: &[Op]) -> Result<(), TestCaseError> {
    let drops = Drops::default();
    let mut model = Model::default();
    let mut table = table(capacity);
    let mut capacity = capacity;
    for (mark, op) in ops.iter().enumerate() {
        let mark = mark as u64;
        match op {
            Op::Insert(n) => {
                let key = keys[n % keys.len()];
                let mut made = None;
                let result = table.insert(key, tracked(mark), || {
                    let payload = Payload::new(&drops);
                    made = payload.id();
                    payload
                });
                let expected = if model.place.contains_key(&key) {
                    Ok(false)
                } else if model.order.len() == capacity {
                    Err(TableFull)
                } else {
                    Ok(true)
                };
                prop_assert_eq!(result, expected);
                prop_assert_eq!(made.is_some(), expected == Ok(true), "asked for in vain");
                if let Some(id) = made {
                    model.push(key, id, mark);
                }
            }
            Op::RemoveAt(part) => {
                let place = part * (model.order.len() + 1) / 1000;
                let taken = table.remove_at(place);
                if place >= model.order.len() {
                    prop_assert!(taken.is_none());
                } else {
                    let id = model.swap_remove(place);
                    prop_assert_eq!(taken.as_ref().and_then(Payload::id), Some(id));
                    prop_assert_eq!(drops.borrow()[id], 0, "dropped before it was handed out");
                }
            }
            Op::RemoveKey(n) => {
                if let Some(&place) = model.place.get(&keys[n % keys.len()]) {
                    let taken = table.remove_at(place);
                    let id = model.swap_remove(place);
                    prop_assert_eq!(taken.as_ref().and_then(Payload::id), Some(id));
                }
            }
            Op::MoveTo(other) => {
                let (entries, buckets) = storage(*other);
                table = table.moved_into(entries, buckets);
                capacity = *other;
                model.truncate(capacity);
            }
        }
        prop_assert_eq!(table.capacity(), capacity);
        compare(&mut table, &model, keys)?;
        compare_drops(&drops, &model)?;
    }
    drop(table);
    model.truncate(0);
    compare_drops(&drops, &model)
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn behaves_like_a_map(
        capacity in 0..40usize,
        ops in prop::collection::vec(op(), 1..120),
    ) {
        exercise(&ordinary(), capacity, &ops)?;
    }

    #[test]
    fn behaves_like_a_map_when_all_keys_collide(
        capacity in 0..40usize,
        ops in prop::collection::vec(op(), 1..120),
    ) {
        exercise(&colliding(), capacity, &ops)?;
    }

    /// Any keys at all, also in tables with hardly a bucket.
    #[test]
    fn behaves_like_a_map_with_any_keys(
        keys in prop::collection::hash_set(any::<usize>(), 1..36),
        capacity in 0..9usize,
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let keys: Vec<usize> = keys.into_iter().collect();
        exercise(&keys, capacity, &ops)?;
    }

    /// Buckets that do not suit the entries make the table smaller, and nothing else.
    #[test]
    fn too_few_buckets_make_it_smaller(entries_len in 0..20usize, buckets in 0..70usize) {
        let expected = if buckets.is_power_of_two() { entries_len.min(buckets / 2) } else { 0 };
        let drops = Drops::default();
        let mut table = Table::new(entries(entries_len), vec![u32::MAX; buckets]);
        prop_assert_eq!(table.capacity(), expected);
        for (n, key) in ordinary().into_iter().enumerate() {
            let result = table.insert(key, tracked(n as u64), || Payload::new(&drops));
            prop_assert_eq!(result, if n < expected { Ok(true) } else { Err(TableFull) });
            prop_assert_eq!(table.get(key).is_some(), n < expected);
        }
        prop_assert_eq!(table.len(), expected);
        prop_assert!(table.remove_at(expected).is_none());
        while let Some(last) = table.len().checked_sub(1) {
            prop_assert!(table.remove_at(last).is_some());
        }
        prop_assert!(drops.borrow().iter().all(|count| *count == 1));
    }

    /// As many buckets as the table wants, never more than half of them in use.
    #[test]
    fn enough_buckets(capacity in 0..usize::MAX / 4) {
        let buckets = buckets_for(capacity);
        prop_assert!(buckets.is_power_of_two() && buckets / 2 >= capacity);
        prop_assert!(capacity == 0 || buckets / 4 < capacity, "more than needed");
    }
}

#[test]
fn full_to_the_last_place_with_all_keys_in_one_bucket() {
    let drops = Drops::default();
    let keys: Vec<usize> = (0..32u64)
        .map(|low| ((u64::from(u32::MAX) << 32) | low).wrapping_mul(unspread()) as usize)
        .collect();
    let mut table = table(32);
    for key in &keys {
        assert_eq!(
            table.insert(*key, tracked(1), || Payload::new(&drops)),
            Ok(true)
        );
    }
    assert_eq!(
        table.insert(12345, tracked(1), || unreachable!()),
        Err(TableFull)
    );
    // A key that is there is no news, even when nothing else would fit.
    assert_eq!(
        table.insert(keys[0], tracked(2), || unreachable!()),
        Ok(false)
    );
    assert_eq!(
        table.get(keys[0]).map(|entry| entry.tracked),
        Some(tracked(1))
    );
    // Taken out from the front, each leaves the others to be found.
    for n in 0..keys.len() {
        let gone = table.remove_at(0).and_then(|task| task.id()).unwrap();
        assert!(table.get(keys[gone]).is_none());
        let left = keys.iter().filter(|key| table.get(**key).is_some()).count();
        assert_eq!(left, keys.len() - 1 - n);
    }
    assert!(drops.borrow().iter().all(|count| *count == 1));
}

#[test]
fn buckets_at_the_ends() {
    let sizes = [
        (0, 1),
        (1, 2),
        (2, 4),
        (3, 8),
        (4, 8),
        (5, 16),
        (256, 512),
        (1 << 17, 1 << 18),
    ];
    for (capacity, buckets) in sizes {
        assert_eq!(buckets_for(capacity), buckets, "{capacity}");
    }
    assert!(buckets_for(usize::MAX).is_power_of_two());
}

#[test]
fn a_change_through_entry_mut_is_kept() {
    let drops = Drops::default();
    let mut table = table(4);
    for key in [10, 20, 30] {
        table
            .insert(key, tracked(0), || Payload::new(&drops))
            .unwrap();
    }
    table.entry_mut(0).unwrap().tracked = tracked(9);
    table.remove_at(1);
    assert_eq!(table.get(10).map(|entry| entry.tracked), Some(tracked(9)));
    let (entries, buckets) = storage(8);
    let table = table.moved_into(entries, buckets);
    assert_eq!(table.get(10).map(|entry| entry.tracked), Some(tracked(9)));
    assert!(table.get(20).is_none() && table.get(30).is_some());
}

#[test]
fn what_storage_held_is_dropped_once() {
    let drops = Drops::default();
    let mut old = entries(4);
    for entry in &mut old {
        entry.task = Payload::new(&drops);
    }
    let mut table = Table::new(old, vec![3; buckets_for(4)]);
    assert!(table.is_empty() && table.get(0).is_none() && table.entry_mut(0).is_none());
    table
        .insert(0, tracked(0), || Payload::new(&drops))
        .unwrap();
    table.remove_at(0);
    drop(table);
    assert_eq!(*drops.borrow(), [1, 1, 1, 1, 1]);
}
