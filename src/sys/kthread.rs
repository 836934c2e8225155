// SPDX-License-Identifier: GPL-2.0

//! Kernel threads.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use super::ffi;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{c_int, c_void},
    new_condvar, new_mutex,
    prelude::*,
    str::CStr,
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, CondVar, Mutex,
    },
    time::msecs_to_jiffies,
};

/// What a thread and those who talk to it share: a bell and the wish that it end.
///
/// A ring is kept until the thread waits next, so that none is lost between a look at the world
/// and the wait.
#[pin_data]
pub(crate) struct ThreadControl {
    #[pin]
    woken: Mutex<bool>,
    #[pin]
    wait: CondVar,
    stop: Atomic<bool>,
}

impl ThreadControl {
    /// A bell that is not rung.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                woken <- new_mutex!(false, "vigil::Bell::rung"),
                wait <- new_condvar!("vigil::Bell::wait"),
                stop: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Wakes the thread, or makes its next wait return at once.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn wake(&self) {
        *self.woken.lock() = true;
        self.wait.notify_all();
    }

    /// Whether the thread is to end. Cheap: to be asked often.
    pub(crate) fn should_stop(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Sleeps until the bell rings, at most for `millis` milliseconds (for good if `None`), not
    /// counting towards the load.
    pub(crate) fn wait(&self, millis: Option<u32>) {
        let mut woken = self.woken.lock();
        if !*woken {
            match millis {
                // The results tell a signal from a ring; kernel threads get none, and the caller
                // looks at the world after every wake-up anyway.
                Some(ms) => {
                    let _ = self
                        .wait
                        .wait_interruptible_timeout(&mut woken, msecs_to_jiffies(ms));
                }
                None => {
                    let _ = self.wait.wait_interruptible(&mut woken);
                }
            }
        }
        *woken = false;
    }

    fn stop(&self) {
        self.stop.store(true, Relaxed);
        // The lock inside orders the store before the thread's next look.
        self.wake();
    }
}

/// Lets others run, on kernels where that has to be asked.
///
/// # Context
///
/// Process context, no spinlock and no RCU read lock held.
pub(crate) fn cond_resched() {
    // SAFETY: By the context that the caller is in, which debug kernels check.
    unsafe { ffi::vigil_cond_resched() };
}

/// The body of a thread.
pub(crate) trait ThreadFn: Send {
    /// Runs until [`ThreadControl::should_stop`].
    ///
    /// # Context
    ///
    /// Process context, in the thread itself.
    fn run(&mut self, control: &ThreadControl);
}

/// A running kernel thread. Dropping it tells the thread to stop and waits until it has left the
/// module's code for good.
///
/// # Invariants
///
/// - `task` is the thread's task, on which this value holds a reference (`get_task_struct()`), so
///   that it stays valid even if the thread has ended by itself.
/// - If the thread never gets to run its body, `start` still holds what it was handed, and `free`
///   is the function to free that.
pub(crate) struct KThread {
    control: Arc<ThreadControl>,
    task: *mut bindings::task_struct,
    start: *mut c_void,
    free: unsafe fn(*mut c_void),
}

// SAFETY: `task` is only handed to `kthread_stop_put()`, which may be called from any task, and what
// `start` points to is `Send`, as [`ThreadFn`] is and `Arc<ThreadControl>`.
unsafe impl Send for KThread {}
// SAFETY: No method takes `&self`.
unsafe impl Sync for KThread {}

/// What the new thread is handed.
struct Start<B> {
    control: Arc<ThreadControl>,
    body: B,
}

impl KThread {
    /// Starts a thread with the given name, at most 15 bytes of which are kept. The thread has the
    /// default priority (nice 0), as kernel threads have.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EAGAIN` when the system has as many threads as it may have.
    pub(crate) fn spawn<B: ThreadFn + 'static>(
        name: &CStr,
        control: Arc<ThreadControl>,
        body: B,
    ) -> Result<Self> {
        let start = KBox::new(
            Start {
                control: control.clone(),
                body,
            },
            GFP_KERNEL,
        )?;
        let start = KBox::into_raw(start);
        // SAFETY: `entry::<B>` takes the `Start<B>` that `start` points to. The format takes one
        // NUL-terminated string. -1 is `NUMA_NO_NODE`.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(entry::<B>),
                start.cast(),
                -1,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        });
        let task = match task {
            Ok(task) => task,
            Err(e) => {
                // SAFETY: No thread was made, so `start` is still ours, from `into_raw` above.
                drop(unsafe { KBox::from_raw(start) });
                return Err(e);
            }
        };
        // SAFETY: The new thread sleeps until it is woken, so that `task` is valid.
        unsafe { bindings::get_task_struct(task) };
        // SAFETY: As above, and by the reference just taken.
        unsafe { bindings::wake_up_process(task) };
        // INVARIANT: The reference was taken above, and `start` is what `entry` was handed.
        Ok(Self {
            control,
            task,
            start: start.cast(),
            free: free::<B>,
        })
    }
}

impl Drop for KThread {
    fn drop(&mut self) {
        self.control.stop();
        // SAFETY: By the type invariant `task` is valid and we own a reference, which this gives
        // back. It returns after the thread has exited, even if it did so before.
        let result = unsafe { bindings::kthread_stop_put(self.task) };
        if result == EINTR.to_errno() {
            // SAFETY: The body returns 0; this value stands for a thread that was stopped before
            // it got to call `entry` (`kthread()` in `kernel/kthread.c`). So by the type invariant
            // `start` is still there, and nobody else will free it.
            unsafe { (self.free)(self.start) };
        }
    }
}

/// # Safety
///
/// `data` comes from `KBox::into_raw` of a `KBox<Start<B>>` and is not used any more.
unsafe fn free<B>(data: *mut c_void) {
    // SAFETY: By the function's own requirement.
    drop(unsafe { KBox::from_raw(data.cast::<Start<B>>()) });
}

/// # Safety
///
/// `data` comes from `KBox::into_raw` of a `KBox<Start<B>>`, which this owns from now on.
unsafe extern "C" fn entry<B: ThreadFn>(data: *mut c_void) -> c_int {
    // SAFETY: By the function's own requirement.
    let mut start = unsafe { KBox::from_raw(data.cast::<Start<B>>()) };
    let Start { control, body } = &mut *start;
    body.run(control);
    0
}

#[kunit_tests(vigil_kthread)]
mod tests {
    use super::{
        super::{task, testing::*},
        *,
    };
    use kernel::sync::atomic::{Acquire, Release};

    /// What a body has done.
    struct Done {
        task: Atomic<usize>,
        rounds: Atomic<i32>,
        dropped: Atomic<i32>,
    }

    fn done() -> Result<Arc<Done>> {
        Ok(Arc::new(
            Done {
                task: Atomic::new(0),
                rounds: Atomic::new(0),
                dropped: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// Waits for the bell again and again, or ends at once.
    struct Waiter {
        done: Arc<Done>,
        millis: Option<u32>,
        once: bool,
    }

    impl ThreadFn for Waiter {
        fn run(&mut self, control: &ThreadControl) {
            self.done.task.store(task::key(current!()), Release);
            while !control.should_stop() {
                self.done.rounds.add(1, Relaxed);
                if self.once {
                    return;
                }
                control.wait(self.millis);
            }
        }
    }

    impl Drop for Waiter {
        fn drop(&mut self) {
            self.done.dropped.add(1, Relaxed);
        }
    }

    fn spawn(
        control: &Arc<ThreadControl>,
        done: &Arc<Done>,
        millis: Option<u32>,
        once: bool,
    ) -> Result<KThread> {
        let body = Waiter {
            done: done.clone(),
            millis,
            once,
        };
        KThread::spawn(c"vigild/kunit", control.clone(), body)
    }

    /// Each ring makes one more round, also one that comes before the wait.
    #[test]
    fn no_ring_is_lost() -> Result {
        let (control, done) = (ThreadControl::new()?, done()?);
        control.wake();
        let thread = spawn(&control, &done, None, false)?;
        for rounds in 2..20 {
            assert!(until(|| done.rounds.load(Relaxed) >= rounds));
            control.wake();
        }
        assert!(until(|| done.rounds.load(Relaxed) >= 20));
        drop(thread);
        assert!(control.should_stop());
        assert_eq!(done.dropped.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn a_wait_has_an_end() -> Result {
        let (control, done) = (ThreadControl::new()?, done()?);
        let thread = spawn(&control, &done, Some(1), false)?;
        assert!(until(|| done.rounds.load(Relaxed) >= 5));
        drop(thread);
        Ok(())
    }

    #[test]
    fn it_has_its_name_and_is_gone_afterwards() -> Result {
        let (control, done) = (ThreadControl::new()?, done()?);
        let thread = spawn(&control, &done, None, false)?;
        assert!(until(|| done.task.load(Acquire) != 0));
        let task = task::by_address(done.task.load(Acquire)).ok_or(ESRCH)?;
        assert_eq!(name(&task)?.to_bytes(), b"vigild/kunit");
        drop(thread);
        // The reference is ours; the task has left the list of those that live.
        assert!(until(|| task::by_address(task::key(&task)).is_none()));
        Ok(())
    }

    #[test]
    fn a_body_may_end_by_itself() -> Result {
        let (control, done) = (ThreadControl::new()?, done()?);
        let thread = spawn(&control, &done, None, true)?;
        assert!(until(|| done.dropped.load(Relaxed) == 1));
        drop(thread);
        assert_eq!(done.rounds.load(Relaxed), 1);
        assert_eq!(done.dropped.load(Relaxed), 1);
        Ok(())
    }

    /// Stopped before it runs, or after: the body is dropped, and once.
    #[test]
    fn a_thread_may_be_stopped_at_once() -> Result {
        let done = done()?;
        for threads in 1..=30 {
            drop(spawn(&ThreadControl::new()?, &done, None, false)?);
            assert_eq!(done.dropped.load(Relaxed), threads);
        }
        Ok(())
    }
}
