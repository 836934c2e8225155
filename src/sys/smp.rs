// SPDX-License-Identifier: GPL-2.0

//! Requests of CPUs to other CPUs to run a function: `kernel/smp.c`, whose variables are found by the
//! symbol table. Spinlocks that CPUs spin for.
//!
//! C headers: [`include/linux/smp_types.h`](srctree/include/linux/smp_types.h), `src/c/vigil.h`

use super::{
    context::HardirqCtx,
    cpu,
    ffi,
    ksyms::Ksyms,
    lock_words::read_word,
    task, //
};
use crate::logic::{
    smp_call::{
        self,
        Call,
        Calls,
        Request, //
    },
    spinlock::{
        self,
        MaybeLock, //
    }, //
};
use core::mem::MaybeUninit;

/// Registers that may have the address of what a CPU waits for; the one with the first argument of a
/// function first.
pub(crate) type WaitRegs = [usize; ffi::VIGIL_WAIT_REGS as usize];

/// Where the kernel's requests are.
#[derive(Clone, Copy)]
pub(crate) struct SmpCalls {
    /// The per-CPU variable `call_single_queue`.
    queue: Option<usize>,
    /// The per-CPU variable `cfd_data`, a `struct call_function_data` whose first member is the
    /// per-CPU pointer to the requests to each CPU.
    pairs: Option<usize>,
}

impl SmpCalls {
    /// Looks up where they are.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn find(ksyms: &Ksyms) -> Self {
        Self {
            queue: ksyms.lookup(c"call_single_queue"),
            pairs: ksyms.lookup(c"cfd_data"),
        }
    }

    /// Returns the request of `sender` that a task waits for `target` to carry out, as far as can be seen.
    /// On an architecture where the stack of the task that runs on a CPU is not known, those of
    /// `smp_call_function_single()` are not found.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn waited_for(&self, sender: u32, target: u32) -> Option<Request> {
        smp_call::waited_for(self, sender, target)
    }
}

/// The address of a CPU's part of a per-CPU variable; `None` if the CPU is not possible.
fn per_cpu_address(variable: usize, cpu: u32) -> Option<usize> {
    if !cpu::possible(cpu) {
        return None;
    }
    // SAFETY: The CPU is possible; the address is only computed.
    Some(unsafe { ffi::vigil_per_cpu_address(variable, cpu) })
}

/// Reads a request without looking where it is.
fn read_call(address: usize) -> Option<Call> {
    let mut call = MaybeUninit::<ffi::vigil_call>::uninit();
    // SAFETY: The function fails on an address that is not mapped; there is room for a request.
    if unsafe { ffi::vigil_call_read(address, call.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: All of it was written, as the result says.
    let call = unsafe { call.assume_init() };
    Some(Call {
        next: call.next,
        flags: call.flags,
        function: call.function,
    })
}

impl Calls for SmpCalls {
    fn read(&self, address: usize) -> Option<Call> {
        read_call(address)
    }

    fn read_queued(&self, address: usize) -> Option<Call> {
        // An entry that is gone may lead anywhere, to the registers of a device even.
        let is_request = task::virt_addr_valid(address)
            || (0..cpu::nr_cpu_ids()).any(|cpu| self.is_on_stack(address, cpu));
        is_request.then(|| read_call(address)).flatten()
    }

    fn of_pair(&self, sender: u32, target: u32) -> Option<usize> {
        let calls = read_word(per_cpu_address(self.pairs?, sender)?)?;
        if calls == 0 {
            return None;
        }
        per_cpu_address(calls, target)
    }

    fn first_queued(&self, target: u32) -> Option<usize> {
        read_word(per_cpu_address(self.queue?, target)?)
    }

    fn is_on_stack(&self, address: usize, sender: u32) -> bool {
        if !cpu::possible(sender) {
            return false;
        }
        let mut size = 0;
        // SAFETY: The CPU is possible.
        let stack = unsafe { ffi::vigil_running_stack(sender, &raw mut size) };
        stack != 0 && (stack..stack.saturating_add(size)).contains(&address)
    }
}

/// Reads what may be a lock.
fn read_lock(address: usize) -> Option<ffi::vigil_spinlock> {
    let mut lock = MaybeUninit::<ffi::vigil_spinlock>::uninit();
    // SAFETY: Any address may be tried; there is room for the result.
    if unsafe { ffi::vigil_spinlock_read(address, lock.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: All of it was written, as the result says.
    Some(unsafe { lock.assume_init() })
}

/// A spinlock that a CPU spins for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spinlock {
    /// Its address.
    pub(crate) address: usize,
    /// The CPU that has taken it, where the kernel keeps that (`CONFIG_DEBUG_SPINLOCK`).
    pub(crate) owner_cpu: Option<u32>,
}

/// Finds the spinlock that a CPU spins for in the registers that it spins with; `None` if none of them
/// has it for sure.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn spinlock(regs: &WaitRegs, cpu: u32) -> Option<Spinlock> {
    let locks = regs.map(|address| match read_lock(address) {
        Some(lock) => MaybeLock {
            address,
            word: lock.word,
            has_magic: lock.has_magic != 0,
        },
        None => MaybeLock::default(),
    });
    let address = spinlock::choose(&locks, cpu, cpu::nr_cpu_ids())?;
    Some(Spinlock {
        address,
        owner_cpu: spinlock_owner(address).filter(|&owner| owner != cpu),
    })
}

/// Returns the CPU that has taken a spinlock, where the kernel keeps that.
///
/// # Context
///
/// Any, NMI included.
pub(crate) fn spinlock_owner(address: usize) -> Option<u32> {
    let owner = u32::try_from(read_lock(address)?.owner_cpu).ok()?;
    cpu::possible(owner).then_some(owner)
}

/// The registers that the running timer interrupt found.
///
/// # Context
///
/// Hard interrupt.
pub(crate) fn interrupted_wait_regs(_irq: &HardirqCtx<'_>) -> WaitRegs {
    let mut regs = WaitRegs::default();
    // SAFETY: In a hard interrupt, as `_irq` proves; there is room for the registers.
    unsafe { ffi::vigil_interrupted_wait_regs(regs.as_mut_ptr()) };
    regs
}
