// SPDX-License-Identifier: GPL-2.0

//! Tasks: looking at one, and going through all of them.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use super::{ffi, lock_words};
use crate::logic::{
    hung_task::check::{self, TaskSample},
    task::{Comm, TaskId, TASK_COMM_LEN},
};
use core::mem::offset_of;
use kernel::{
    bindings,
    prelude::*,
    sync::{aref::ARef, rcu},
    task::Task,
};

// The numbers of logic/hung_task/check.rs are the kernel's.
static_assert!(check::TASK_UNINTERRUPTIBLE == bindings::TASK_UNINTERRUPTIBLE);
static_assert!(check::TASK_WAKEKILL == bindings::TASK_WAKEKILL);
static_assert!(check::TASK_NOLOAD == bindings::TASK_NOLOAD);
static_assert!(check::TASK_FROZEN == bindings::TASK_FROZEN);
static_assert!(TASK_COMM_LEN == bindings::TASK_COMM_LEN as usize);

/// Reads a field that another CPU may be writing (`READ_ONCE()`).
macro_rules! read_once {
    ($task:expr, $($field:tt)+) => {{
        let task: &Task = $task;
        // SAFETY: A `&Task` is a valid `task_struct`, so that the field is there to be read. It is
        // an integer no wider than a word, which the kernel writes in one piece.
        unsafe { (&raw const (*task.as_ptr()).$($field)+).read_volatile() }
    }};
}

/// What one look shows of the task's sleep.
///
/// A task that is on a CPU does not sleep, whatever its state says: it is about to go to sleep, and
/// has not been counted for this sleep yet.
///
/// # Context
///
/// Any.
pub(crate) fn sample(task: &Task) -> TaskSample {
    let state = if read_once!(task, on_cpu) == 0 {
        read_once!(task, __state)
    } else {
        bindings::TASK_RUNNING
    };
    // SAFETY: A barrier may stand anywhere.
    unsafe { bindings::smp_rmb() };
    let voluntary = read_once!(task, nvcsw) as u64;
    let switch_count = voluntary.wrapping_add(read_once!(task, nivcsw) as u64);
    TaskSample {
        state,
        switch_count,
    }
}

/// The task's name and number.
pub(crate) fn id(task: &Task) -> TaskId {
    let mut comm = [0u8; TASK_COMM_LEN];
    // SAFETY: A `&Task` is a valid `task_struct`. The name may be changing: the bytes are copied
    // one by one, and a mixture of two names is the worst that comes of it, as for mainline.
    let from = unsafe { &raw const (*task.as_ptr()).comm }.cast::<u8>();
    for (byte, i) in comm.iter_mut().zip(0..TASK_COMM_LEN) {
        // SAFETY: `i` is below the length of both arrays, which are of the same size.
        *byte = unsafe { from.add(i).read_volatile() };
    }
    TaskId {
        comm: Comm::new(comm),
        pid: task.pid(),
    }
}

/// Name and number of the running task.
///
/// # Context
///
/// Any.
pub(crate) fn current_id() -> TaskId {
    id(current!())
}

/// The CPU on which it runs, or ran last.
pub(crate) fn cpu(task: &Task) -> u32 {
    // SAFETY: A `&Task` is a valid `task_struct`.
    unsafe { ffi::vigil_task_cpu(task.as_ptr()) }
}

/// Whether it sleeps in `io_schedule()`.
pub(crate) fn in_iowait(task: &Task) -> bool {
    // SAFETY: A `&Task` is a valid `task_struct`.
    unsafe { ffi::vigil_task_in_iowait(task.as_ptr()) != 0 }
}

/// Whether it waits for its coredump to end.
pub(crate) fn in_coredump(task: &Task) -> bool {
    read_once!(task, flags) & bindings::PF_POSTCOREDUMP != 0
}

/// `task_struct::blocker`: what it waits for, encoded; 0 when the kernel does not know.
pub(crate) fn blocker(task: &Task) -> usize {
    #[cfg(CONFIG_DETECT_HUNG_TASK_BLOCKER)]
    {
        read_once!(task, blocker)
    }
    #[cfg(not(CONFIG_DETECT_HUNG_TASK_BLOCKER))]
    {
        let _ = task;
        0
    }
}

/// When it last got a CPU, on the clock that stamps the log, in nanoseconds. `None` where the
/// kernel does not keep it.
pub(crate) fn last_arrival(task: &Task) -> Option<u64> {
    #[cfg(CONFIG_SCHED_INFO)]
    {
        match read_once!(task, sched_info.last_arrival) {
            0 => None,
            at => Some(at),
        }
    }
    #[cfg(not(CONFIG_SCHED_INFO))]
    {
        let _ = task;
        None
    }
}

/// Prints its state and its stack, as mainline's reports do.
///
/// # Context
///
/// Process context.
pub(crate) fn show(task: &Task) {
    // SAFETY: A `&Task` is a valid `task_struct` that stays so for the call; a stack that is gone
    // already is noticed (`try_get_task_stack()`).
    unsafe { ffi::vigil_show_task(task.as_ptr()) };
}

/// What identifies a task for as long as somebody holds a reference to it.
pub(crate) fn key(task: &Task) -> usize {
    task.as_ptr() as usize
}

/// The living task whose `task_struct` is at `address`, if that is one.
///
/// `address` is anybody's guess (an owner word read without a lock): it is only ever compared. The
/// pid that seems to be there names the candidate, if that is memory at all.
///
/// # Context
///
/// Any that may take RCU's read lock.
pub(crate) fn by_address(address: usize) -> Option<ARef<Task>> {
    // SAFETY: Any address will do.
    if unsafe { ffi::vigil_is_memory(address) } == 0 {
        return None;
    }
    let pid = lock_words::read_i32(address.wrapping_add(offset_of!(bindings::task_struct, pid)))?;
    if pid <= 0 {
        return None;
    }
    let _guard = rcu::read_lock();
    // SAFETY: RCU's read lock is held until the reference has been taken.
    let found = unsafe { ffi::vigil_task_by_pid(pid) };
    if found.is_null() || found as usize != address {
        return None;
    }
    // SAFETY: A task that is found by its pid under RCU has at least the reference that its release
    // gives back after a grace period, so that it is valid here and may be given another.
    Some(unsafe { &*found.cast::<Task>() }.into())
}

/// A walk through all tasks that can stop anywhere and go on later.
///
/// Tasks come in the order of their pids. One that is there during the whole walk is seen, and seen
/// once, whatever others come and go meanwhile.
pub(crate) struct TaskScan {
    next: i32,
    budget: u32,
    batch: u32,
}

/// How many tasks of one batch can be found.
const FOUND: usize = 32;

impl TaskScan {
    /// A walk from `start` (a pid; 0 for the first) that looks at no more than `budget` tasks,
    /// `batch` at a time.
    pub(crate) fn new(start: i32, budget: u32, batch: u32) -> Self {
        Self {
            next: start,
            budget,
            batch,
        }
    }

    /// How many tasks it may still look at.
    pub(crate) fn budget(&self) -> u32 {
        self.budget
    }

    /// Where it goes on: a pid, or 0 when it has come to the end.
    pub(crate) fn next(&self) -> i32 {
        self.next
    }

    /// Looks at one batch of tasks and hands those to `each` that sleep in a way that counts
    /// (`check::TRACKED_STATES`); `each` returns whether to go on, and the walk stands at the task for
    /// which it did not. Returns whether there is more to be looked at.
    ///
    /// Borrowing the guard is what keeps the tasks valid.
    pub(crate) fn batch(&mut self, _rcu: &rcu::Guard, mut each: impl FnMut(&Task) -> bool) -> bool {
        let mut found = [core::ptr::null_mut(); FOUND];
        let allowed = self.batch.min(self.budget);
        let mut left = allowed;
        // SAFETY: The pointers are to locals of the sizes that are given. RCU's read lock is held
        // while `_rcu` is borrowed, longer than what is found is used.
        let n = unsafe {
            ffi::vigil_scan_tasks(
                &raw mut self.next,
                &raw mut left,
                check::TRACKED_STATES,
                check::UNTRACKED_STATES,
                found.as_mut_ptr(),
                FOUND as u32,
            )
        };
        self.budget = self.budget.saturating_sub(allowed.saturating_sub(left));
        for &task in found.iter().take(n as usize) {
            // SAFETY: One of the first `n` pointers, a task that was found under RCU, whose read
            // lock is still held.
            let task = unsafe { &*task.cast::<Task>() };
            if !each(task) {
                self.next = task.pid();
                return true;
            }
        }
        self.next != 0 && self.budget != 0
    }
}

#[kunit_tests(vigil_task)]
mod tests {
    use super::{super::testing::*, *};

    #[test]
    fn the_running_task_is_seen_as_it_is() -> Result {
        let me: &Task = current!();
        assert_eq!(current_id().pid, me.pid());
        assert!(current_id().pid > 1);
        assert_eq!(id(me).pid, me.pid());
        assert!(name(me)?.to_bytes().starts_with(b"kunit"));
        assert_eq!(sample(me).state, bindings::TASK_RUNNING);
        let before = sample(me).switch_count;
        pause(1);
        assert!(sample(me).switch_count != before);
        assert!(!in_iowait(me));
        assert!(!in_coredump(me));
        assert_eq!(blocker(me), 0);
        assert_eq!(last_arrival(me).is_some(), cfg!(CONFIG_SCHED_INFO));
        Ok(())
    }

    #[test]
    fn an_address_is_a_task_or_not() {
        let me = key(current!());
        let found = by_address(me);
        assert_eq!(found.as_deref().map(key), Some(me));
        assert!(by_address(0).is_none());
        assert!(by_address(usize::MAX).is_none());
        assert!(by_address(me.wrapping_add(8)).is_none());
        // A word that looks like a living task's pid, at the place where one would stand.
        let mut false_one = [0u8; 16];
        if let Some(pid) = false_one.first_chunk_mut() {
            *pid = current!().pid().to_ne_bytes();
        }
        let pid_offset = offset_of!(bindings::task_struct, pid);
        let address = (false_one.as_ptr() as usize).wrapping_sub(pid_offset);
        assert!(by_address(address).is_none());
    }

    /// Walks to the end, so many at a time; how many were looked at, and how often it met `whom`.
    fn walk(batch: u32, whom: &Task) -> (u32, u32) {
        let budget = 1 << 20;
        let mut walk = TaskScan::new(0, budget, batch);
        let mut met = 0;
        loop {
            let more = walk.batch(&rcu::read_lock(), |task| {
                if key(task) == key(whom) {
                    met = u32::wrapping_add(met, 1);
                }
                true
            });
            if !more {
                return (budget.wrapping_sub(walk.budget()), met);
            }
        }
    }

    /// However small the batches, a sleeper is met once, and one that runs is not.
    #[test]
    fn a_walk_meets_each_sleeper_once() -> Result {
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, victim) = Trap::catch(&trap)?;
        let mut met = [(0, 0); 4];
        for (met, batch) in met.iter_mut().zip([1, 7, 64, 100_000]) {
            *met = walk(batch, &victim);
        }
        let (_, me) = walk(64, current!());
        drop(guard);
        drop(thread);
        for (looked_at, met) in met {
            // Threads of the kernel alone are more.
            assert!(looked_at > 20);
            assert_eq!(met, 1);
        }
        assert_eq!(me, 0);
        Ok(())
    }

    #[test]
    fn a_walk_stops_where_it_is_told() -> Result {
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, victim) = Trap::catch(&trap)?;
        let mut all = TaskScan::new(victim.pid(), 1000, 1000);
        let mut met = 0;
        let more = all.batch(&rcu::read_lock(), |task| {
            met = task.pid();
            false
        });
        let mut poor = TaskScan::new(0, 3, 1000);
        let more_of_poor = poor.batch(&rcu::read_lock(), |_| true);
        drop(guard);
        drop(thread);
        assert!(more);
        assert_eq!(met, victim.pid());
        assert_eq!(all.next(), victim.pid());
        // Nothing left to spend, and it knows where it was.
        assert!(!more_of_poor);
        assert_eq!(poor.budget(), 0);
        assert!(poor.next() != 0);
        Ok(())
    }
}
