// SPDX-License-Identifier: GPL-2.0

//! Which register has the address of the lock that a CPU spins for.

use proptest::prelude::*;
use vigil_logic::spinlock::{choose, MaybeLock};

fn at(address: usize, word: u32) -> MaybeLock {
    MaybeLock {
        address,
        word,
        has_magic: false,
    }
}

/// The tail of a queue in which this CPU is the last.
fn tail(cpu: u32) -> u32 {
    (cpu + 1) << 18
}

#[test]
fn a_lock_with_a_queue_is_found_in_any_register() {
    let locks = [at(0x1000, 77), at(0x2000, 1), at(0x3000, tail(3) | 1)];
    assert_eq!(choose(&locks, 3, 300), Some(0x3000));
    // Another CPU is the last.
    assert_eq!(choose(&locks, 2, 300), None);
    // The first one that waits has no place in the queue: as good as any word of this shape.
    let pending = at(0x3000, 0x101);
    assert_eq!(choose(&[at(0, 0), pending], 2, 300), None);
    assert_eq!(choose(&[pending, pending], 2, 300), Some(0x3000));
    // One in the middle of the queue, where there are so many CPUs.
    let queued = at(0x3000, tail(7) | 1);
    assert_eq!(choose(&[queued, queued], 2, 300), Some(0x3000));
    assert_eq!(choose(&[queued, queued], 2, 7), None);
    // As a paravirtualised lock is while a CPU waits.
    assert_eq!(choose(&[at(0x3000, tail(0) | 3)], 0, 300), Some(0x3000));
}

/// Any word may be 1: it is believed of the first argument alone, if the function has saved that.
#[test]
fn a_lock_without_a_queue_is_found_in_two_registers() {
    let lock = at(0x2000, 1);
    let other = at(0x3000, 1);
    assert_eq!(choose(&[lock, at(0x10, 9), lock], 0, 300), Some(0x2000));
    assert_eq!(choose(&[lock, lock, other], 0, 300), Some(0x2000));
    assert_eq!(choose(&[lock, at(0x10, 9)], 0, 300), None);
    assert_eq!(choose(&[other, lock, lock], 0, 300), None);
    // A lock that is free is not spun for.
    let free = at(0x2000, 0);
    assert_eq!(choose(&[free, free], 0, 300), None);
}

#[test]
fn two_that_may_be_it_are_none() {
    let locks = [at(0x1000, tail(3) | 1), at(0x2000, tail(3) | 1)];
    assert_eq!(choose(&locks, 3, 300), None);
    // Twice the same is one.
    let locks = [at(0x1000, tail(3) | 1), at(0x1000, tail(3) | 1)];
    assert_eq!(choose(&locks, 3, 300), Some(0x1000));
}

#[test]
fn a_magic_number_is_believed() {
    let lock = MaybeLock {
        address: 0x2000,
        word: 1,
        has_magic: true,
    };
    assert_eq!(choose(&[at(0x1000, 1), lock], 3, 300), Some(0x2000));
    // A lock that is free is not spun for.
    let free = MaybeLock { word: 0, ..lock };
    assert_eq!(choose(&[at(0x1000, 1), free], 3, 300), None);
}

proptest! {
    /// Whatever the registers hold: what is chosen is in one of them, and is a lock that is taken.
    #[test]
    fn only_taken_locks_in_registers(
        words in proptest::collection::vec((0usize..64, any::<u32>(), any::<bool>()), 0..9),
        cpu in 0u32..300,
    ) {
        let locks: Vec<_> = words
            .iter()
            .map(|&(address, word, small)| at(address, if small { word & 0x3ff } else { word }))
            .collect();
        if let Some(address) = choose(&locks, cpu, 300) {
            prop_assert!(address % 4 == 0 && address != 0);
            let found = locks.iter().find(|lock| lock.address == address);
            let word = found.expect("in a register").word;
            prop_assert!(matches!(word & 0xffff, 1 | 3 | 0x101) || locks
                .iter()
                .any(|lock| lock.address == address && matches!(lock.word & 0xffff, 1 | 3 | 0x101)));
        }
    }
}
