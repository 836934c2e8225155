// SPDX-License-Identifier: GPL-2.0

//! What the KUnit tests of this folder share.
//!
//! The tests stand beside what they test and are there in kernels with `CONFIG_KUNIT=y` only. The
//! suites run when the module has been loaded, so the module itself is at work meanwhile: what
//! there may be only one of is borrowed from it.

use super::{
    cpu,
    cpuhp::{Callbacks, Instance, MultiState},
    ffi,
    kthread::{KThread, ThreadControl, ThreadFn},
    task,
    watchdog_timer::{TimerCallback, WatchdogTimers},
};
use core::ffi::CStr;
use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    ffi::c_void,
    new_mutex,
    prelude::*,
    str::{CStrExt, CString},
    sync::{
        aref::ARef,
        atomic::{Acquire, Atomic, Release},
        Arc, Mutex,
    },
    task::Task,
    time::{delay::fsleep, Delta},
};

/// Waits until it is so; false if that takes longer than anything should.
pub(super) fn until(mut so: impl FnMut() -> bool) -> bool {
    for _ in 0..20_000 {
        if so() {
            return true;
        }
        pause(1);
    }
    false
}

/// Sleeps.
pub(super) fn pause(millis: i64) {
    fsleep(Delta::from_millis(millis));
}

/// The CPUs that are online.
pub(super) fn cpus_online() -> impl Iterator<Item = u32> {
    (0..cpu::count()).filter(|&cpu| {
        let mask = &raw mut bindings::__cpu_online_mask;
        // SAFETY: The number is below `nr_cpu_ids`. The mask may be changing.
        cpu::possible(cpu) && unsafe { bindings::cpumask_test_cpu(cpu as i32, mask) }
    })
}

/// The CPU that this runs on, as long as the task is not moved.
pub(super) fn this_cpu() -> u32 {
    // SAFETY: Reads a number.
    unsafe { ffi::vigil_this_cpu() }
}

/// Keeps the running task on one CPU for the rest of its life: the test's.
pub(super) fn stay_on(cpu: u32) -> Result {
    // SAFETY: A mask of no CPUs is all zeroes.
    let mut mask: bindings::cpumask = unsafe { core::mem::zeroed() };
    if !cpu::possible(cpu) {
        return Err(EINVAL);
    }
    // SAFETY: The CPU exists, so that its bit is in the mask.
    unsafe { bindings::cpumask_set_cpu(cpu, &raw mut mask) };
    // SAFETY: The task is the running one, the mask is copied.
    to_result(unsafe { bindings::set_cpus_allowed_ptr(current!().as_ptr(), &raw const mask) })
}

/// A task's name.
pub(super) fn name(task: &Task) -> Result<CString> {
    let comm = task::id(task).comm;
    CString::try_from_fmt(format_args!("{comm}"))
}

/// One [`WatchdogTimers`] that runs on all CPUs for as long as somebody has it.
pub(super) struct Site<T: TimerCallback>(pub(super) WatchdogTimers<T>);

impl<T: TimerCallback> Callbacks for Site<T> {
    fn online(&self, cpu: u32) {
        if let Some(beat) = self.0.get(cpu) {
            beat.start(0);
        }
    }

    fn offline(&self, cpu: u32) {
        if let Some(beat) = self.0.get(cpu) {
            beat.stop();
        }
    }
}

/// What makes a [`Site`] run: dropping it stops the timers.
pub(super) type Running<T> = Pin<KBox<Instance<Site<T>>>>;

/// Starts a timer on each CPU; the first interrupt comes at once.
pub(super) fn run_on_each<T: TimerCallback + 'static>(
    what: impl FnMut(u32) -> T,
) -> Result<(Running<T>, Arc<Site<T>>)> {
    let site = Arc::new(Site(WatchdogTimers::new(what)?), GFP_KERNEL)?;
    let state = MultiState::new(c"vigil/kunit")?;
    let mut running = KBox::pin_init(Instance::new(state, site.clone()), GFP_KERNEL)?;
    running.as_mut().enable()?;
    Ok((running, site))
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
    fn run(&mut self, _bell: &ThreadControl) {
        self.0.victim.store(task::key(current!()), Release);
        drop(self.0.lock.lock());
    }
}

impl Trap {
    /// One that nobody is in.
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                lock <- new_mutex!((), "vigil::kunit::Trap"),
                victim: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Starts a thread that wants the lock, and returns when it sleeps. The caller has the lock,
    /// and gives it back before it drops the thread.
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
            // The thread would be waited for while it waits for the caller.
            _ => {
                core::mem::forget(thread);
                Err(ETIMEDOUT)
            }
        }
    }
}

/// An open file of a file system of the kernel's own. A test's thread sees no mounted ones.
///
/// # Invariants
///
/// `file` is open until this is dropped, on `mount`.
pub(super) struct File {
    file: *mut bindings::file,
    mount: *mut bindings::vfsmount,
}

impl File {
    /// Opens it for reading and writing, or for reading only.
    pub(super) fn open((system, path): (&CStr, &CStr), write: bool) -> Result<Self> {
        let flags = if write { bindings::O_RDWR } else { 0 };
        // SAFETY: The name is NUL-terminated. File systems that are built in need not be put.
        let system = unsafe { bindings::get_fs_type(system.as_char_ptr()) };
        if system.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: `system` was found right now.
        let mount = from_err_ptr(unsafe { bindings::kern_mount(system) })?;
        let root = bindings::path {
            mnt: mount,
            // SAFETY: Just mounted.
            dentry: unsafe { (*mount).mnt_root },
        };
        // SAFETY: The root is mounted, the path NUL-terminated; no file is made.
        let file = from_err_ptr(unsafe {
            bindings::file_open_root(&raw const root, path.as_char_ptr(), flags as i32, 0)
        });
        match file {
            // INVARIANT: Just opened.
            Ok(file) => Ok(Self { file, mount }),
            Err(e) => {
                // SAFETY: Mounted above, and not used any more.
                unsafe { bindings::kern_unmount(mount) };
                Err(e)
            }
        }
    }

    /// Reads into memory of the kernel.
    pub(super) fn read(&self, to: &mut [u8], pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant; there is room for as many bytes.
        size(unsafe {
            bindings::kernel_read(self.file, to.as_mut_ptr().cast::<c_void>(), to.len(), pos)
        })
    }

    /// Writes from memory of the kernel.
    pub(super) fn write(&self, from: &[u8], pos: &mut i64) -> Result<usize> {
        // SAFETY: By the type invariant; there are as many bytes.
        size(unsafe {
            bindings::kernel_write(self.file, from.as_ptr().cast::<c_void>(), from.len(), pos)
        })
    }

    /// Reads as a program does, and copies what came to `to`: for files that know no other way.
    /// At most a page.
    pub(super) fn read_as_user(&self, to: &mut [u8], pos: &mut i64) -> Result<usize> {
        const PAGE: usize = kernel::page::PAGE_SIZE;
        /// `PROT_READ | PROT_WRITE`, `MAP_PRIVATE | MAP_ANONYMOUS` of `uapi/asm-generic/mman*.h`.
        const PROT: usize = 0x3;
        const MAP: usize = 0x22;
        let len = to.len().min(PAGE);
        // SAFETY: By the type invariant.
        let read = unsafe { (*(*self.file).f_op).read }.ok_or(EINVAL)?;
        // SAFETY: A test is running; its memory goes when it ends.
        let page = unsafe {
            let test = bindings::kunit_get_current_test();
            bindings::kunit_vm_mmap(test, core::ptr::null_mut(), 0, PAGE, PROT, MAP, 0)
        };
        if page == 0 {
            return Err(ENOMEM);
        }
        // SAFETY: As the kernel calls it for a file that is open; the memory is the user's.
        let got = size(unsafe { read(self.file, page as *mut kernel::ffi::c_char, len, pos) })?;
        // SAFETY: No more than `len` bytes came, for which there is room.
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
        // SAFETY: By the type invariant; nobody uses it any more.
        unsafe { bindings::filp_close(self.file, core::ptr::null_mut()) };
        // SAFETY: By the type invariant it is mounted. The file holds its own reference.
        unsafe { bindings::kern_unmount(self.mount) };
    }
}

/// What a read or a write returned.
fn size(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::from_errno(i32::try_from(result).unwrap_or(-1)))
}
