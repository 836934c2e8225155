// SPDX-License-Identifier: GPL-2.0

//! Waits of a task for another task that no lock shows: the completion that it sleeps for, and what
//! other tasks complete. The rules are in [`crate::logic::task_wait`].
//!
//! C headers: [`include/linux/completion.h`](srctree/include/linux/completion.h),
//! [`kernel/workqueue_internal.h`](srctree/kernel/workqueue_internal.h) by `src/c/task_wait.c`

use super::{
    ffi,
    ksyms::Ksyms,
    task, //
};
use crate::logic::task_wait::{
    Completes,
    CompletionWait, //
};
use core::mem::MaybeUninit;
use kernel::task::Task;

/// How waits for completions are read.
#[derive(Clone, Copy)]
pub(crate) struct CompletionWaits {
    /// Where `wq_barrier_func()` is, by which a barrier is known; 0: not known, and neither are waits for
    /// works.
    barrier_func: usize,
}

impl CompletionWaits {
    /// Looks up what is needed.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn find(ksyms: &Ksyms) -> Self {
        // SAFETY: Returns a constant.
        let knows_works = unsafe { ffi::vigil_knows_works() } != 0;
        let barrier_func = ksyms.lookup(c"wq_barrier_func").filter(|_| knows_works);
        Self {
            barrier_func: barrier_func.unwrap_or(0),
        }
    }

    /// Returns the completion that a task sleeps for, and the task's count of context switches, which
    /// stays as long as it does; `None`: it sleeps for none, or has not slept all the time.
    ///
    /// # Context
    ///
    /// Any that may take RCU's read lock.
    pub(crate) fn of(&self, task: &Task) -> Option<(CompletionWait, u64)> {
        let before = task::sample(task);
        if !before.is_asleep() {
            return None;
        }
        let mut wait = MaybeUninit::<ffi::vigil_completion_wait>::uninit();
        // SAFETY: A `&Task` is a valid task; there is room for the result.
        let is_found = unsafe {
            ffi::vigil_completion_wait(task.as_ptr(), self.barrier_func, wait.as_mut_ptr())
        };
        if is_found == 0 || task::sample(task) != before {
            return None;
        }
        // SAFETY: All of it was written, as the result says.
        let wait = unsafe { wait.assume_init() };
        let wait = CompletionWait {
            neighbours: [wait.next, wait.prev],
            barrier: wait.barrier,
            before_barrier: wait.barrier_prev,
        };
        Some((wait, before.switch_count))
    }
}

/// Returns what a task completes.
///
/// # Context
///
/// Any.
pub(crate) fn completes(task: &Task) -> Completes {
    let mut completes = ffi::vigil_task_completes {
        waiters: 0,
        scheduled: 0,
    };
    // SAFETY: A `&Task` is a valid task; the function writes to what is given.
    unsafe { ffi::vigil_task_completes(task.as_ptr(), &raw mut completes) };
    Completes {
        waiters: completes.waiters,
        scheduled: completes.scheduled,
        is_kthread: task::is_kthread(task),
    }
}

#[kernel::prelude::kunit_tests(vigil_task_wait)]
mod tests {
    use super::{
        super::testing::*,
        *, //
    };
    use kernel::prelude::*;

    #[test]
    fn who_runs_sleeps_for_no_completion() {
        let waits = CompletionWaits::find(&Ksyms::resolve(true));
        assert!(waits.of(current!()).is_none());
    }

    /// KUnit runs this in a kernel thread, and sleeps for its end.
    #[test]
    fn a_kernel_thread_completes_something() {
        let own = completes(current!());
        assert!(own.is_kthread && own.waiters != 0 && own.scheduled == 0);
    }

    #[test]
    fn a_wait_for_a_mutex_is_none_for_a_completion() -> Result {
        let waits = CompletionWaits::find(&Ksyms::resolve(true));
        let trap = Trap::new()?;
        let guard = trap.lock.lock();
        let (thread, victim) = Trap::catch(&trap)?;
        let found = waits.of(&victim);
        drop(guard);
        drop(thread);
        assert!(found.is_none());
        Ok(())
    }
}
