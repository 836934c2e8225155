// SPDX-License-Identifier: GPL-2.0

//! Which spinlock a CPU spins for, from the registers that it spins with.
//!
//! The slow path keeps the address of the lock in a register, but which one is up to the compiler. So
//! each register is taken for an address, and what is there for the word of a lock
//! (`include/asm-generic/qspinlock_types.h`).

/// What was read at an address that may be that of a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaybeLock {
    /// The address; 0 if it cannot be read.
    pub address: usize,
    /// The 32 bits there.
    pub word: u32,
    /// Whether `SPINLOCK_MAGIC` stands behind them (`CONFIG_DEBUG_SPINLOCK`).
    pub has_magic: bool,
}

/// `_Q_LOCKED_VAL`
const LOCKED: u32 = 1;
/// `_Q_SLOW_VAL`, what a paravirtualised lock holds instead while a CPU waits for it.
const SLOW: u32 = 3;
/// `_Q_LOCKED_VAL | _Q_PENDING_VAL`, with fewer than 16,384 CPUs.
const LOCKED_AND_PENDING: u32 = LOCKED | 1 << 8;
/// Bits of `_Q_LOCKED_MASK` and `_Q_PENDING_MASK`.
const LOCKED_PENDING: u32 = 0xffff;
/// `_Q_TAIL_CPU_OFFSET`
const TAIL_CPU_OFFSET: u32 = 18;

/// How sure it is that something is the lock that a CPU spins for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// The word is that of a lock which is taken; so are many other words.
    Shape,
    /// The CPU is the last in the queue of the lock, or the lock has its magic number.
    Queue,
}

/// Returns what speaks for a word to be that of a lock that this CPU spins for. `cpus`: how many there
/// are.
fn evidence(lock: &MaybeLock, cpu: u32, cpus: u32) -> Option<Evidence> {
    let last = lock.word >> TAIL_CPU_OFFSET;
    let is_taken = matches!(
        lock.word & LOCKED_PENDING,
        LOCKED | SLOW | LOCKED_AND_PENDING
    );
    if lock.address == 0 || lock.address & 3 != 0 || !is_taken || last > cpus {
        None
    } else if lock.has_magic || last == cpu.wrapping_add(1) {
        Some(Evidence::Queue)
    } else {
        Some(Evidence::Shape)
    }
}

/// Chooses the lock among what the registers of a CPU point to; `cpus`: how many CPUs there are. `locks` begins with the register that has the
/// first argument of a function. `None` if none is, or more than one may be.
///
/// Mere shape is believed only of the first argument, and only if another register has the same: the
/// slow path has saved it there.
pub fn choose(locks: &[MaybeLock], cpu: u32, cpus: u32) -> Option<usize> {
    let with = |wanted: Evidence| {
        let mut found: Option<usize> = None;
        for lock in locks {
            if evidence(lock, cpu, cpus) != Some(wanted) {
                continue;
            }
            match found {
                Some(address) if address != lock.address => return None,
                _ => found = Some(lock.address),
            }
        }
        found
    };
    if let Some(address) = with(Evidence::Queue) {
        return Some(address);
    }
    let (first, rest) = locks.split_first()?;
    let is_saved = rest.iter().any(|lock| lock.address == first.address);
    (is_saved && evidence(first, cpu, cpus) == Some(Evidence::Shape)).then_some(first.address)
}
