// SPDX-License-Identifier: GPL-2.0

//! What the KUnit tests of this folder share.
//!
//! The tests are compiled into kernels with `CONFIG_KUNIT=y` only. The suites run when the module
//! has been loaded, and the module itself runs meanwhile: a test uses the module's own value of a
//! type that may exist once only.

use super::{
    cpu,
    cpuhp::{
        Callbacks,
        Instance,
        MultiState, //
    },
    kthread::{
        KThread,
        ThreadControl,
        ThreadFn, //
    },
    task,
    watchdog_timer::{
        TimerCallback,
        WatchdogTimers, //
    }, //
};
use core::ffi::CStr;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::c_void,
    new_mutex,
    prelude::*,
    str::{
        CStrExt,
        CString, //
    },
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc,
        Mutex, //
    },
    task::Task,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Waits until `condition` returns true, for some twenty seconds. Returns whether it did.
pub(super) fn until(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..20_000 {
        if condition() {
            return true;
        }
        sleep_ms(1);
    }
    false
}

/// Sleeps for so many milliseconds.
pub(super) fn sleep_ms(millis: i64) {
    fsleep(Delta::from_millis(millis));
}

/// Iterates over the online CPUs.
pub(super) fn cpus_online() -> impl Iterator<Item = u32> {
    (0..cpu::nr_cpu_ids()).filter(|&cpu| {
        let mask = &raw mut bindings::__cpu_online_mask;
        // SAFETY: The CPU is possible, so that its bit is in the mask, which may be changing.
        cpu::possible(cpu) && unsafe { bindings::cpumask_test_cpu(cpu as i32, mask) }
    })
}

/// Binds the running task, which is the test's, to one CPU.
pub(super) fn stay_on(cpu: u32) -> Result {
    // SAFETY: A mask of no CPUs is all zeroes.
    let mut mask: bindings::cpumask = unsafe { core::mem::zeroed() };
    if !cpu::possible(cpu) {
        return Err(EINVAL);
    }
    // SAFETY: The CPU is possible, so that its bit is in the mask.
    unsafe { bindings::cpumask_set_cpu(cpu, &raw mut mask) };
    // SAFETY: The task is the running one; the mask is copied.
    to_result(unsafe { bindings::set_cpus_allowed_ptr(current!().as_ptr(), &raw const mask) })
}

/// Returns a task's name.
pub(super) fn name(task: &Task) -> Result<CString> {
    let comm = task::id(task).comm;
    CString::try_from_fmt(format_args!("{comm}"))
}

/// A [`WatchdogTimers`] whose timers run on the online CPUs.
pub(super) struct TimerPerCpu<T: TimerCallback>(pub(super) WatchdogTimers<T>);

impl<T: TimerCallback> Callbacks for TimerPerCpu<T> {
    fn online(&self, cpu: u32) {
        if let Some(timer) = self.0.get(cpu) {
            timer.start(0);
        }
    }

    fn offline(&self, cpu: u32) {
        if let Some(timer) = self.0.get(cpu) {
            timer.stop();
        }
    }
}

/// Keeps the timers of a [`TimerPerCpu`] running. Dropping it stops them.
pub(super) type Running<T> = Pin<KBox<Instance<TimerPerCpu<T>>>>;

/// Starts a timer on each CPU, which expires at once.
pub(super) fn run_on_each<T: TimerCallback + 'static>(
    data: impl FnMut(u32) -> T,
) -> Result<(Running<T>, Arc<TimerPerCpu<T>>)> {
    let timers = Arc::new(TimerPerCpu(WatchdogTimers::new(data)?), GFP_KERNEL)?;
    let state = MultiState::new(c"vigil/kunit")?;
    let mut running = KBox::pin_init(Instance::new(state, timers.clone()), GFP_KERNEL)?;
    running.as_mut().enable()?;
    Ok((running, timers))
}

/// A lock that a test holds, and a thread that waits for it.
#[pin_data]
pub(super) struct Trap {
    /// The lock.
    #[pin]
    pub(super) lock: Mutex<()>,
    /// [`task::key`] of the thread; 0 until it runs.
    pub(super) victim: Atomic<usize>,
}

struct Victim(Arc<Trap>);

impl ThreadFn for Victim {
    fn run(&mut self, _control: &ThreadControl) {
        self.0.victim.store(task::key(current!()), Release);
        drop(self.0.lock.lock());
    }
}

impl Trap {
    /// Creates an unlocked one.
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                lock <- new_mutex!((), "vigil::kunit::Trap"),
                victim: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Starts a thread that takes the lock, and returns when it sleeps. The caller holds the lock, and
    /// releases it before it drops the thread.
    pub(super) fn catch(this: &Arc<Self>) -> Result<(KThread, ARef<Task>)> {
        let thread = KThread::spawn(c"vigild/kunit", ThreadControl::new()?, Victim(this.clone()))?;
        let mut victim = None;
        let asleep = until(|| {
            victim = task::by_address(this.victim.load(Acquire));
            victim
                .as_deref()
                .is_some_and(|task| task::sample(task).state == bindings::TASK_UNINTERRUPTIBLE)
        });
        match victim {
            Some(victim) if asleep => Ok((thread, victim)),
            // Dropping the thread would wait for it, while it waits for the caller.
            _ => {
                core::mem::forget(thread);
                Err(ETIMEDOUT)
            }
        }
    }
}

/// An open file on a mount of its own: a test's thread sees none of the machine's. Dropping it
/// closes the file and unmounts.
///
/// # Invariants
///
/// `file` is open until this is dropped, on `mount`.
pub(super) struct File {
    file: *mut bindings::file,
    mount: *mut bindings::vfsmount,
}

impl File {
    /// Opens a file, for reading only unless `write` is set.
    pub(super) fn open((system, path): (&CStr, &CStr), write: bool) -> Result<Self> {
        let flags = if write { bindings::O_RDWR } else { 0 };
        // SAFETY: The name is NUL-terminated. A file system that is built in has no module to put.
        let system = unsafe { bindings::get_fs_type(system.as_char_ptr()) };
        if system.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: `system` was just found.
        let mount = from_err_ptr(unsafe { bindings::kern_mount(system) })?;
        let root = bindings::path {
            mnt: mount,
            // SAFETY: Just mounted.
            dentry: unsafe { (*mount).mnt_root },
        };
        // SAFETY: The root is mounted, the path NUL-terminated; no file is created.
        let file = from_err_ptr(unsafe {
            bindings::file_open_root(&raw const root, path.as_char_ptr(), flags as i32, 0)
        });
        match file {
            // INVARIANT: Just opened.
            Ok(file) => Ok(Self { file, mount }),
            Err(e) => {
                // SAFETY: Mounted above, and not used afterwards.
                unsafe { bindings::kern_unmount(mount) };
                Err(e)
            }
        }
    }

    /// Reads into kernel memory.
    pub(super) fn read(&self, to: &mut [u8], pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant it is open; `to` has room for as many bytes.
        size(unsafe {
            bindings::kernel_read(self.file, to.as_mut_ptr().cast::<c_void>(), to.len(), pos)
        })
    }

    /// Writes from kernel memory.
    pub(super) fn write(&self, from: &[u8], pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant it is open; `from` has as many bytes.
        size(unsafe {
            bindings::kernel_write(self.file, from.as_ptr().cast::<c_void>(), from.len(), pos)
        })
    }

    /// Reads at most a page into user memory, and copies that to `to`: for files without
    /// `read_iter`.
    pub(super) fn read_as_user(&self, to: &mut [u8], pos: &mut i64) -> Result<usize> {
        const PAGE: usize = kernel::page::PAGE_SIZE;
        /// `PROT_READ | PROT_WRITE`, `MAP_PRIVATE | MAP_ANONYMOUS` of `uapi/asm-generic/mman*.h`.
        const PROT: usize = 0x3;
        const MAP: usize = 0x22;
        let len = to.len().min(PAGE);
        // SAFETY: By the type invariant it is open.
        let read = unsafe { (*(*self.file).f_op).read }.ok_or(EINVAL)?;
        // SAFETY: A test is running; its memory is unmapped when it ends.
        let page = unsafe {
            let test = bindings::kunit_get_current_test();
            bindings::kunit_vm_mmap(test, core::ptr::null_mut(), 0, PAGE, PROT, MAP, 0)
        };
        if page == 0 {
            return Err(ENOMEM);
        }
        // SAFETY: As the kernel calls it, for an open file; the memory is user memory.
        let got = size(unsafe { read(self.file, page as *mut kernel::ffi::c_char, len, pos) })?;
        // SAFETY: At most `len` bytes are copied, for which `to` has room.
        let left = unsafe {
            bindings::copy_from_user(
                to.as_mut_ptr().cast::<c_void>(),
                page as *const c_void,
                got.min(len),
            )
        };
        if left == 0 {
            Ok(got)
        } else {
            Err(EFAULT)
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is open; it is not used afterwards.
        unsafe { bindings::filp_close(self.file, core::ptr::null_mut()) };
        // SAFETY: By the type invariant it is mounted. The file holds its own reference.
        unsafe { bindings::kern_unmount(self.mount) };
    }
}

/// Converts the result of a read or a write.
fn size(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::from_errno(i32::try_from(result).unwrap_or(-1)))
}
