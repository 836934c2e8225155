// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that can be woken and stopped.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_void, //
    },
    new_condvar,
    new_mutex,
    prelude::*,
    str::CStr,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        CondVar,
        Mutex, //
    },
    time::msecs_to_jiffies, //
};

/// Wakes and stops a thread. Shared by the thread and the code that controls it.
///
/// A wake-up that comes while the thread runs is kept until its next wait, which then returns at
/// once: no wake-up is lost between the thread's last check of its input and the wait.
#[pin_data]
pub(crate) struct ThreadControl {
    #[pin]
    woken: Mutex<bool>,
    #[pin]
    wait: CondVar,
    stop: Atomic<bool>,
}

impl ThreadControl {
    /// Neither woken nor stopped.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                woken <- new_mutex!(false, "vigil::ThreadControl::woken"),
                wait <- new_condvar!("vigil::ThreadControl::wait"),
                stop: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// Wakes the thread, or makes its next [`wait`](Self::wait) return at once.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn wake(&self) {
        *self.woken.lock() = true;
        self.wait.notify_all();
    }

    /// Whether the thread has to return (`kthread_should_stop()`). Cheap enough for each step of a
    /// loop.
    ///
    /// # Context
    ///
    /// Any.
    pub(crate) fn should_stop(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Sleeps until [`wake`](Self::wake) is called, at most for `millis` milliseconds (`None`:
    /// without a limit). The sleep is interruptible, so that it does not count towards the load
    /// average.
    ///
    /// # Context
    ///
    /// Process context, in the thread itself; may sleep.
    pub(crate) fn wait(&self, millis: Option<u32>) {
        let mut woken = self.woken.lock();
        if !*woken {
            match millis {
                // The results tell a signal from a wake-up. Kernel threads get no signals, and the
                // caller checks its conditions after every wake-up anyway.
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
        // The lock inside orders the store before the thread's next `should_stop()`.
        self.wake();
    }
}

/// The function of a thread, with its state.
pub(crate) trait ThreadFn: Send {
    /// Runs until [`ThreadControl::should_stop`].
    ///
    /// # Context
    ///
    /// Process context, in the thread itself.
    fn run(&mut self, control: &ThreadControl);
}

/// A running kernel thread. Dropping it stops the thread (`kthread_stop()`) and returns when the
/// thread has left the module's code for good.
///
/// # Invariants
///
/// - `task` is the thread's task, on which this value holds a reference (`get_task_struct()`), so
///   that it stays valid even if the thread has ended by itself.
/// - If the thread exits before it has called [`entry`], `start` still owns the [`Start`] that was
///   made for it, and `free` is the function to free that.
pub(crate) struct KThread {
    control: Arc<ThreadControl>,
    task: *mut bindings::task_struct,
    start: *mut c_void,
    free: unsafe fn(*mut c_void),
}

// SAFETY: `task` is only handed to `kthread_stop_put()`, which may be called from any task, and
// what `start` points to is `Send`, as [`ThreadFn`] is and `Arc<ThreadControl>`.
unsafe impl Send for KThread {}
// SAFETY: No method takes `&self`.
unsafe impl Sync for KThread {}

/// The argument of the new thread.
struct Start<F> {
    control: Arc<ThreadControl>,
    function: F,
}

impl KThread {
    /// Starts a thread with the given name, at most 15 bytes of which are kept. The thread has the
    /// default priority (nice 0), as kernel threads have.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EAGAIN` when the system has as many threads as it may have.
    pub(crate) fn spawn<F: ThreadFn + 'static>(
        name: &CStr,
        control: Arc<ThreadControl>,
        function: F,
    ) -> Result<Self> {
        let start = KBox::new(
            Start {
                control: control.clone(),
                function,
            },
            GFP_KERNEL,
        )?;
        let start = KBox::into_raw(start);
        // SAFETY: `entry::<F>` takes the `Start<F>` that `start` points to. The format takes one
        // NUL-terminated string. -1 is `NUMA_NO_NODE`.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(entry::<F>),
                start.cast(),
                -1,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        });
        let task = match task {
            Ok(task) => task,
            Err(e) => {
                // SAFETY: No thread was made, so that `start` is still owned here, from `into_raw`
                // above.
                drop(unsafe { KBox::from_raw(start) });
                return Err(e);
            }
        };
        // SAFETY: The new thread sleeps until it is woken, so that `task` is valid.
        unsafe { bindings::get_task_struct(task) };
        // SAFETY: As above, and by the reference just taken.
        unsafe { bindings::wake_up_process(task) };
        // INVARIANT: The reference was taken above, and `start` is the argument of `entry`.
        Ok(Self {
            control,
            task,
            start: start.cast(),
            free: free::<F>,
        })
    }
}

impl Drop for KThread {
    fn drop(&mut self) {
        self.control.stop();
        // SAFETY: By the type invariant `task` is valid and this value owns a reference, which this
        // call puts. It returns when the thread has exited, also if that was before the call.
        let result = unsafe { bindings::kthread_stop_put(self.task) };
        if result == EINTR.to_errno() {
            // SAFETY: `entry` returns 0; this value stands for a thread that was stopped before it
            // called `entry` (`kthread()` in `kernel/kthread.c`). So by the type invariant `start`
            // is still owned here, and freed nowhere else.
            unsafe { (self.free)(self.start) };
        }
    }
}

/// # Safety
///
/// `data` comes from `KBox::into_raw` of a `KBox<Start<F>>` and is not used any more.
unsafe fn free<F>(data: *mut c_void) {
    // SAFETY: By the function's own requirement.
    drop(unsafe { KBox::from_raw(data.cast::<Start<F>>()) });
}

/// # Safety
///
/// `data` comes from `KBox::into_raw` of a `KBox<Start<F>>`, which this owns from now on.
unsafe extern "C" fn entry<F: ThreadFn>(data: *mut c_void) -> c_int {
    // SAFETY: By the function's own requirement.
    let mut start = unsafe { KBox::from_raw(data.cast::<Start<F>>()) };
    let Start { control, function } = &mut *start;
    function.run(control);
    0
}

#[kunit_tests(vigil_kthread)]
mod tests {
    use super::{
        super::{
            task,
            testing::*, //
        },
        *, //
    };
    use kernel::sync::atomic::{
        Acquire,
        Release, //
    };

    /// What a thread has done.
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

    /// Waits to be woken again and again, or returns at once.
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
        let function = Waiter {
            done: done.clone(),
            millis,
            once,
        };
        KThread::spawn(c"vigild/kunit", control.clone(), function)
    }

    /// Each wake-up makes one more round, also one that comes before the wait.
    #[test]
    fn no_wake_up_is_lost() -> Result {
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
    fn a_wait_times_out() -> Result {
        let (control, done) = (ThreadControl::new()?, done()?);
        let thread = spawn(&control, &done, Some(1), false)?;
        assert!(until(|| done.rounds.load(Relaxed) >= 5));
        drop(thread);
        Ok(())
    }

    #[test]
    fn a_thread_has_its_name_and_is_gone_after_drop() -> Result {
        let (control, done) = (ThreadControl::new()?, done()?);
        let thread = spawn(&control, &done, None, false)?;
        assert!(until(|| done.task.load(Acquire) != 0));
        let task = task::by_address(done.task.load(Acquire)).ok_or(ESRCH)?;
        assert_eq!(name(&task)?.to_bytes(), b"vigild/kunit");
        drop(thread);
        // The task is kept by the reference, and has left the list of live tasks.
        assert!(until(|| task::by_address(task::key(&task)).is_none()));
        Ok(())
    }

    #[test]
    fn a_thread_may_return_by_itself() -> Result {
        let (control, done) = (ThreadControl::new()?, done()?);
        let thread = spawn(&control, &done, None, true)?;
        assert!(until(|| done.dropped.load(Relaxed) == 1));
        drop(thread);
        assert_eq!(done.rounds.load(Relaxed), 1);
        assert_eq!(done.dropped.load(Relaxed), 1);
        Ok(())
    }

    /// Stopped before it runs, or after: its function is dropped, and once.
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
