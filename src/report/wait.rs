// SPDX-License-Identifier: GPL-2.0

//! The line that says what a task waits for if that is no lock which the kernel keeps track of, and
//! the lines about block devices that have been working on a request for long. The rules are in
//! [`crate::logic::wait_kind`].

use crate::{
    logic::{
        fmt::{
            Bytes,
            Secs, //
        },
        messages::{
            BlockDevice,
            BlockDevicesLeft,
            NoBlockDevice,
            TaskWaits,
            TaskWaitsIn, //
        },
        wait_kind::{
            WaitKind,
            WaitPlace, //
        },
        NSEC_PER_SEC, //
    },
    sys::{
        blkdev,
        kallsyms::Symbol,
        printk,
        rtmutex,
        stacktrace,
        task, //
    }, //
};
use kernel::task::Task;

/// How many block devices have a line of their own.
const MAX_BLOCK_DEVICES: u32 = 8;

/// Where a sleeping task waits.
struct Waiting {
    kind: WaitKind,
    /// Return addresses into the wait primitive, and into the function that called it.
    primitive: Option<usize>,
    caller: Option<usize>,
}

impl Waiting {
    /// Finds out where a task waits; `None` if it does not sleep, or its stack is not known.
    fn of(task: &Task) -> Option<Self> {
        let before = task::sample(task);
        let stack = stacktrace::save_task(task);
        // Of a task that runs the stack is of no use, nor is one that is of two sleeps.
        if before.is_running() || task::sample(task) != before {
            return None;
        }
        let addresses = stack.addresses.get(..stack.depth as usize)?;
        let mut place = WaitPlace::default();
        let mut index: u32 = 0;
        for &address in addresses {
            if !place.add(index, Symbol::of_return(address).bytes()) {
                break;
            }
            index = index.wrapping_add(1);
        }
        let address_at = |index: u32| addresses.get(index as usize).copied();
        Some(Self {
            kind: place.kind(),
            primitive: place.primitive().and_then(address_at),
            caller: place.caller().and_then(address_at),
        })
    }
}

/// An address in the function in which a sleeping task waits, behind the wait primitive; 0 if that is
/// not known.
///
/// # Context
///
/// Process context: searches the symbol table for each address of the stack.
#[inline(never)]
pub(crate) fn place_of(task: &Task) -> usize {
    let caller = Waiting::of(task).and_then(|waiting| waiting.caller);
    // Where a return address leads to may be behind the function.
    caller.map_or(0, |caller| caller.wrapping_sub(1))
}

/// Prints what a hung task waits for that waits for no lock which the kernel keeps track of.
/// Returns what that is.
///
/// # Context
///
/// Process context; prints a line.
#[inline(never)]
pub(crate) fn print(task: &Task) -> WaitKind {
    match Waiting::of(task) {
        Some(waiting) => print_waiting(task, &waiting),
        None => WaitKind::Unknown,
    }
}

#[inline(never)]
fn print_waiting(task: &Task, waiting: &Waiting) -> WaitKind {
    let Some(caller) = waiting.caller else {
        return waiting.kind;
    };
    let id = task::id(task);
    match waiting.primitive {
        Some(primitive) if waiting.kind != WaitKind::Unknown => {
            let primitive = Symbol::of_return(primitive);
            let caller = Symbol::place(caller);
            printk::err(format_args!(
                "{}",
                TaskWaits {
                    task: id,
                    kind: waiting.kind.name(),
                    primitive: Bytes(primitive.bytes()),
                    caller: Bytes(caller.bytes()),
                }
            ));
        }
        _ => {
            let caller = Symbol::place(caller);
            printk::err(format_args!(
                "{}",
                TaskWaitsIn {
                    task: id,
                    caller: Bytes(caller.bytes()),
                }
            ));
        }
    }
    waiting.kind
}

/// As [`print`], of the owner of a lock, which need not be hung, nor sleep: nothing is printed
/// unless it waits for something that is known, and for no lock.
///
/// # Context
///
/// Process context; prints a line.
pub(crate) fn print_owner(owner: &Task) -> WaitKind {
    let waits_for_lock = task::blocker(owner) != 0
        || task::blocked_on(owner) != 0
        || rtmutex::rt_mutex_wait(owner).is_some();
    if waits_for_lock {
        return WaitKind::Unknown;
    }
    match Waiting::of(owner) {
        Some(waiting) if !matches!(waiting.kind, WaitKind::Unknown | WaitKind::Lock) => {
            print_waiting(owner, &waiting)
        }
        _ => WaitKind::Unknown,
    }
}

/// Prints which block devices have been working on a request for at least `age` nanoseconds.
///
/// # Context
///
/// Process context, may sleep; prints some lines.
#[inline(never)]
pub(crate) fn print_block_devices(age: u64) {
    let than = age / NSEC_PER_SEC;
    let mut printed: u32 = 0;
    let mut left: u32 = 0;
    let is_all = blkdev::for_each_busy_disk(age, |disk| {
        if printed == MAX_BLOCK_DEVICES {
            left = left.saturating_add(1);
            return;
        }
        printed = printed.saturating_add(1);
        let (major, minor) = disk.number;
        printk::err(format_args!(
            "{}",
            BlockDevice {
                name: Bytes(disk.name()),
                major,
                minor,
                requests: disk.old,
                than,
                secs: Secs(disk.oldest),
            }
        ));
    });
    if left != 0 {
        printk::err(format_args!("{}", BlockDevicesLeft { count: left }));
    }
    if printed == 0 && is_all {
        printk::err(format_args!("{}", NoBlockDevice { than }));
    }
}
