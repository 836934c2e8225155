// SPDX-License-Identifier: GPL-2.0

//! Tasks: what a `task_struct` shows, and scans through all tasks.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use super::{
    ffi,
    lock_words, //
};
use crate::logic::{
    hung_task::check::{
        self,
        TaskSample, //
    },
    task::{
        Comm,
        TaskId,
        TASK_COMM_LEN, //
    }, //
};
use core::mem::offset_of;
use kernel::{
    bindings,
    prelude::*,
    sync::{
        aref::ARef,
        rcu, //
    },
    task::Task, //
};

// The numbers of logic/hung_task/check.rs are the kernel's.
static_assert!(check::TASK_RUNNING == bindings::TASK_RUNNING);
static_assert!(check::TASK_UNINTERRUPTIBLE == bindings::TASK_UNINTERRUPTIBLE);
static_assert!(check::TASK_WAKEKILL == bindings::TASK_WAKEKILL);
static_assert!(check::TASK_NOLOAD == bindings::TASK_NOLOAD);
static_assert!(check::TASK_RTLOCK_WAIT == bindings::TASK_RTLOCK_WAIT);
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

/// Samples the task's state and its switch count.
///
/// The sample of a task that is on a CPU is `TASK_RUNNING`, whatever its state says: the task is
/// about to sleep, and its next context switch, which counts this sleep, is still to come.
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
    // SAFETY: A `&Task` is a valid task.
    let is_counted = || unsafe { ffi::vigil_task_is_counted(task.as_ptr()) } != 0;
    let state = if state & bindings::TASK_FROZEN != 0 && is_counted() {
        state | bindings::TASK_UNINTERRUPTIBLE
    } else {
        state
    };
    // SAFETY: A memory barrier has no requirements.
    unsafe { bindings::smp_rmb() };
    let voluntary = read_once!(task, nvcsw) as u64;
    let switch_count = voluntary.wrapping_add(read_once!(task, nivcsw) as u64);
    TaskSample {
        state,
        switch_count,
    }
}

/// Whether the task sleeps, in whatever state.
///
/// # Context
///
/// Any.
pub(crate) fn is_asleep(task: &Task) -> bool {
    sample(task).is_asleep()
}

/// The task's name and PID.
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

/// The task's PID in its own PID namespace; `None`: that is the initial one, or the task is gone.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn ns_pid(task: &Task) -> Option<i32> {
    // SAFETY: A `&Task` is a valid task.
    match unsafe { ffi::vigil_task_ns_pid(task.as_ptr()) } {
        0 => None,
        pid => Some(pid),
    }
}

/// Calls `read` with the running task.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn with_current<R>(read: impl FnOnce(&Task) -> R) -> R {
    read(current!())
}

/// The running task's name and PID.
///
/// # Context
///
/// Any.
pub(crate) fn current_id() -> TaskId {
    id(current!())
}

/// The CPU on which the task runs, or ran last (`task_cpu()`).
pub(crate) fn cpu(task: &Task) -> u32 {
    #[cfg(CONFIG_SMP)]
    {
        read_once!(task, thread_info.cpu)
    }
    #[cfg(not(CONFIG_SMP))]
    {
        let _ = task;
        0
    }
}

/// Whether the task sleeps in `io_schedule()`.
pub(crate) fn in_iowait(task: &Task) -> bool {
    // SAFETY: A `&Task` is a valid `task_struct`. The bits beside this one may be changing, which
    // does not change this one.
    unsafe { bindings::task_struct::in_iowait_raw(task.as_ptr()) != 0 }
}

/// Whether the task is a kernel thread.
pub(crate) fn is_kthread(task: &Task) -> bool {
    read_once!(task, flags) & bindings::PF_KTHREAD != 0
}

/// Whether the task has exited.
pub(crate) fn has_exited(task: &Task) -> bool {
    read_once!(task, exit_state) != 0
}

/// Whether the task is exiting, or has exited.
pub(crate) fn is_exiting(task: &Task) -> bool {
    read_once!(task, flags) & bindings::PF_EXITING != 0
}

/// Whether the task waits for its coredump to end.
pub(crate) fn in_coredump(task: &Task) -> bool {
    read_once!(task, flags) & bindings::PF_POSTCOREDUMP != 0
}

/// `task_struct::blocker`: the lock that the task waits for, encoded (`logic/blocker.rs` decodes
/// it); 0 when it waits for none, or the kernel does not record it.
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

/// `task_struct::blocked_on`: the mutex that the task waits for; 0 when it waits for none, or mutexes are
/// real-time mutexes.
pub(crate) fn blocked_on(task: &Task) -> usize {
    #[cfg(not(CONFIG_PREEMPT_RT))]
    {
        read_once!(task, blocked_on) as usize
    }
    #[cfg(CONFIG_PREEMPT_RT)]
    {
        let _ = task;
        0
    }
}

/// When the task last got a CPU, in nanoseconds of `local_clock()`, which stamps the log. `None`:
/// the kernel does not record it.
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

/// Prints the task's state and its stack (`sched_show_task()`), as mainline's reports do.
///
/// # Context
///
/// Process context: prints many lines.
pub(crate) fn show(task: &Task) {
    // SAFETY: A `&Task` is a valid `task_struct` for the whole call. The function checks whether
    // the task still has a stack (`try_get_task_stack()`).
    unsafe { ffi::vigil_sched_show_task(task.as_ptr()) };
}

/// Returns a number that changes when a task begins or ends I/O, as far as the kernel counts that.
///
/// # Context
///
/// Any.
pub(crate) fn io_done(task: &Task) -> u64 {
    // SAFETY: A `&Task` is a valid task.
    unsafe { ffi::vigil_task_io(task.as_ptr()) }
}

/// Has this thread run on CPUs with odd numbers only, or with even ones; if there is none, or no memory for
/// the mask, it stays as it is.
///
/// # Context
///
/// Process context, may sleep; does not wait for memory.
pub(crate) fn run_on_half(odd: bool) {
    // SAFETY: Process context, in a thread that this may restrict: its own.
    unsafe { ffi::vigil_run_on_half(odd.into()) };
}

/// Lets other tasks run, on kernels that are not preemptible.
///
/// # Context
///
/// Process context, no spinlock and no RCU read lock held.
pub(crate) fn cond_resched() {
    // SAFETY: The caller is in a context that may sleep, which debug kernels check.
    unsafe { ffi::vigil_cond_resched() };
}

/// The address of the `task_struct`: identifies a task for as long as a reference to it is held.
pub(crate) fn key(task: &Task) -> usize {
    task.as_ptr() as usize
}

/// Returns whether an address is in the linear map of memory: what is there can be read, and is no
/// register of a device.
///
/// # Context
///
/// Any.
pub(super) fn virt_addr_valid(address: usize) -> bool {
    // SAFETY: Any address may be passed.
    unsafe { ffi::vigil_virt_addr_valid(address) != 0 }
}

/// The live task whose `task_struct` is at `address`; `None` if there is none.
///
/// `address` may be anything (an owner word is read without holding the lock), so it is only
/// compared with the addresses of live tasks. The candidate is the task with the PID that stands
/// where `address` would have its `pid` field, if memory is mapped there.
///
/// # Context
///
/// Any that may take RCU's read lock.
pub(crate) fn by_address(address: usize) -> Option<ARef<Task>> {
    if !virt_addr_valid(address) {
        return None;
    }
    let pid = lock_words::read_i32(address.wrapping_add(offset_of!(bindings::task_struct, pid)))?;
    let guard = rcu::read_lock();
    by_pid(&guard, pid)
        .filter(|task| key(task) == address)
        .map(Into::into)
}

/// The live task with a PID of the initial PID namespace; `None` if there is none.
fn by_pid(_rcu: &rcu::Guard, pid: i32) -> Option<&Task> {
    if pid <= 0 {
        return None;
    }
    // SAFETY: RCU's read lock is held while `_rcu` is borrowed. `init_pid_ns` is static.
    let found = unsafe {
        let pid = bindings::find_pid_ns(pid, &raw mut bindings::init_pid_ns);
        bindings::pid_task(pid, bindings::pid_type_PIDTYPE_PID)
    };
    // SAFETY: A task that is found by its PID under RCU has at least the reference that its release
    // puts after a grace period, so that it is valid as long as `_rcu` is borrowed. A null pointer is
    // no task.
    unsafe { found.cast::<Task>().as_ref() }
}

/// Calls `read` with the task that has a PID of the initial PID namespace, if it runs on a CPU; `None` if
/// it does not, and for an idle task.
///
/// # Context
///
/// Any, NMI included: tasks are found by RCU alone.
pub(crate) fn with_running<R>(cpu: u32, pid: i32, read: impl FnOnce(&Task) -> R) -> Option<R> {
    let guard = rcu::read_lock();
    by_pid(&guard, pid)
        .filter(|task| self::cpu(task) == cpu && read_once!(task, on_cpu) != 0)
        .map(read)
}

/// A scan through all tasks for tracked states, which can stop at any task and go on later.
///
/// Tasks are scanned in the order of their PIDs. A task that is there during the whole scan is
/// scanned exactly once, whichever other tasks start and exit meanwhile.
pub(crate) struct TaskScan {
    next: i32,
    budget: u32,
    batch: u32,
}

/// Which tasks a scan finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScanFor {
    /// Those whose state is to be tracked ([`check::TRACKED_STATES`]).
    Tracked,
    /// Kernel threads and children of `vfork()`: those that have a `task_struct::vfork_done`.
    Completing,
}

/// How many tasks one batch can find.
pub(crate) const FOUND: usize = 32;

impl TaskScan {
    /// A scan from the PID `start` (0 for the first task) that reads at most `budget` tasks, at
    /// most `batch` of them at a time.
    pub(crate) fn new(start: i32, budget: u32, batch: u32) -> Self {
        Self {
            next: start,
            budget,
            batch,
        }
    }

    /// How many tasks the scan may still read.
    pub(crate) fn budget(&self) -> u32 {
        self.budget
    }

    /// The PID at which the scan goes on; 0 when it has come to the end.
    pub(crate) fn next(&self) -> i32 {
        self.next
    }

    /// Reads one batch of tasks and calls `each` with every task whose state is to be tracked
    /// ([`check::TRACKED_STATES`]). If `each` returns false, the batch ends, and the scan goes on
    /// at the task that it returned false for. Returns whether there are more tasks to be scanned.
    ///
    /// The tasks stay valid because RCU's read lock is held while its guard is borrowed.
    pub(crate) fn batch(&mut self, rcu: &rcu::Guard, each: impl FnMut(&Task) -> bool) -> bool {
        self.batch_of(ScanFor::Tracked, rcu, each)
    }

    /// As [`TaskScan::batch`], for all kernel threads and children of `vfork()`, whatever their state:
    /// tasks whose end another one may wait for.
    pub(crate) fn batch_of_completing(
        &mut self,
        rcu: &rcu::Guard,
        each: impl FnMut(&Task) -> bool,
    ) -> bool {
        self.batch_of(ScanFor::Completing, rcu, each)
    }

    fn batch_of(
        &mut self,
        scan_for: ScanFor,
        _rcu: &rcu::Guard,
        mut each: impl FnMut(&Task) -> bool,
    ) -> bool {
        let states = match scan_for {
            ScanFor::Tracked => check::TRACKED_STATES,
            ScanFor::Completing => 0,
        };
        let mut found = [core::ptr::null_mut(); FOUND];
        let allowed = self.batch.min(self.budget);
        let mut left = allowed;
        // SAFETY: The pointers are to locals of the sizes that are given. RCU's read lock is held
        // while `_rcu` is borrowed, longer than what is found is used.
        let n = unsafe {
            ffi::vigil_scan_tasks(
                &raw mut self.next,
                &raw mut left,
                states,
                check::MAYBE_TRACKED_STATES,
                check::UNTRACKED_STATES,
                found.as_mut_ptr(),
                FOUND as u32,
            )
        };
        self.budget = self.budget.saturating_sub(allowed.saturating_sub(left));
        for &task in found.iter().take(n as usize) {
            // SAFETY: One of the first `n` pointers: a task that was found under RCU's read lock,
            // which is still held.
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
    use super::{
        super::testing::*,
        *, //
    };

    #[test]
    fn the_running_task_is_sampled_as_it_is() -> Result {
        let me: &Task = current!();
        assert_eq!(current_id().pid, me.pid());
        assert!(current_id().pid > 1);
        assert_eq!(id(me).pid, me.pid());
        assert!(name(me)?.to_bytes().starts_with(b"kunit"));
        assert_eq!(sample(me).state, bindings::TASK_RUNNING);
        let before = sample(me).switch_count;
        sleep_ms(1);
        assert!(sample(me).switch_count != before);
        assert!(!in_iowait(me));
        assert!(!in_coredump(me));
        assert!(is_kthread(me));
        assert!(!has_exited(me));
        assert_eq!(blocker(me), 0);
        assert_eq!(blocked_on(me), 0);
        assert_eq!(ns_pid(me), None);
        assert_eq!(last_arrival(me).is_some(), cfg!(CONFIG_SCHED_INFO));
        Ok(())
    }

    #[test]
    fn an_address_is_that_of_a_task_or_not() {
        let me = key(current!());
        let found = by_address(me);
        assert_eq!(found.as_deref().map(key), Some(me));
        assert!(by_address(0).is_none());
        assert!(by_address(usize::MAX).is_none());
        assert!(by_address(me.wrapping_add(8)).is_none());
        // The PID of a live task where the `pid` field would be, in memory that is no task.
        let mut false_one = [0u8; 16];
        if let Some(pid) = false_one.first_chunk_mut() {
            *pid = current!().pid().to_ne_bytes();
        }
        let pid_offset = offset_of!(bindings::task_struct, pid);
        let address = (false_one.as_ptr() as usize).wrapping_sub(pid_offset);
        assert!(by_address(address).is_none());
    }

    #[test]
    fn a_running_task_is_found_by_its_cpu() -> Result {
        let me: &Task = current!();
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, victim) = Trap::catch(&trap)?;
        // It may be moved to another CPU in between.
        let found = (0..1000).find_map(|_| with_running(cpu(me), me.pid(), key));
        assert_eq!(found, Some(key(me)));
        assert!(with_running(u32::MAX, me.pid(), key).is_none());
        assert!(with_running(cpu(me), 0, key).is_none());
        assert!(with_running(cpu(me), -1, key).is_none());
        assert!(with_running(cpu(&victim), victim.pid(), key).is_none());
        drop(guard);
        drop(thread);
        Ok(())
    }

    /// Scans to the end in batches; returns how many tasks were read, and how often `wanted` was
    /// found.
    fn scan(batch: u32, wanted: &Task) -> (u32, u32) {
        let budget = 1 << 20;
        let mut scan = TaskScan::new(0, budget, batch);
        let mut times = 0;
        loop {
            let more = scan.batch(&rcu::read_lock(), |task| {
                if key(task) == key(wanted) {
                    times = u32::wrapping_add(times, 1);
                }
                true
            });
            if !more {
                return (budget.wrapping_sub(scan.budget()), times);
            }
        }
    }

    /// However small the batches, a sleeping task is found once, and one that runs is not.
    #[test]
    fn a_scan_finds_each_sleeping_task_once() -> Result {
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, victim) = Trap::catch(&trap)?;
        let mut found = [(0, 0); 4];
        for (found, batch) in found.iter_mut().zip([1, 7, 64, 100_000]) {
            *found = scan(batch, &victim);
        }
        let (_, me) = scan(64, current!());
        drop(guard);
        drop(thread);
        for (read, times) in found {
            // The kernel's own threads alone are more.
            assert!(read > 20);
            assert_eq!(times, 1);
        }
        assert_eq!(me, 0);
        Ok(())
    }

    /// Each kernel thread completes something at its end, whatever its state is: this one runs.
    #[test]
    fn a_scan_finds_kernel_threads() {
        let mut scan = TaskScan::new(0, 1 << 20, 64);
        let (mut times, mut all) = (0, 0);
        loop {
            let more = scan.batch_of_completing(&rcu::read_lock(), |task| {
                all = u32::wrapping_add(all, 1);
                if key(task) == key(current!()) {
                    times = u32::wrapping_add(times, 1);
                }
                true
            });
            if !more {
                break;
            }
        }
        assert_eq!(times, 1);
        assert!(all > 20);
    }

    #[test]
    fn a_scan_stops_where_its_caller_stops_it() -> Result {
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, victim) = Trap::catch(&trap)?;
        let mut all = TaskScan::new(victim.pid(), 1000, 1000);
        let mut stopped_at = 0;
        let more = all.batch(&rcu::read_lock(), |task| {
            stopped_at = task.pid();
            false
        });
        let mut short = TaskScan::new(0, 3, 1000);
        let more_of_short = short.batch(&rcu::read_lock(), |_| true);
        drop(guard);
        drop(thread);
        assert!(more);
        assert_eq!(stopped_at, victim.pid());
        assert_eq!(all.next(), victim.pid());
        // The budget is used up, and the scan knows where it stopped.
        assert!(!more_of_short);
        assert_eq!(short.budget(), 0);
        assert!(short.next() != 0);
        Ok(())
    }
}
