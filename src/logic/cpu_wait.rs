// SPDX-License-Identifier: GPL-2.0

//! What a CPU that makes no progress waits for, and where, from the names on its stack.

use super::wait_kind::base_name;

/// What a CPU waits for while it spins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuWait {
    /// For other CPUs to run a function (`smp_call_function_*()`).
    Call,
    /// For other CPUs to come to `stop_machine()`.
    StopMachine,
    /// For a `spinlock_t` or `raw_spinlock_t`.
    Spinlock,
    /// For an `rwlock_t`.
    Rwlock,
}

/// In which context a CPU is, the innermost one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CpuContext {
    /// A task.
    Task = 0,
    /// A softirq.
    Softirq = 1,
    /// The handler of an interrupt.
    Hardirq = 2,
    /// The handler of an NMI.
    Nmi = 3,
    /// The idle task.
    Idle = 4,
}

impl CpuContext {
    /// From the number of a variant; [`CpuContext::Task`] from any other.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Softirq,
            2 => Self::Hardirq,
            3 => Self::Nmi,
            4 => Self::Idle,
            _ => Self::Task,
        }
    }

    /// The context in words, behind "in".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "a task",
            Self::Softirq => "a softirq",
            Self::Hardirq => "an interrupt handler",
            Self::Nmi => "an NMI handler",
            Self::Idle => "the idle task",
        }
    }
}

/// Functions that wait, and those between them and the code that calls them. What each waits for; `None`
/// for one that does not show that by itself: a lock is taken in `_raw_spin_lock()` too if it is free.
const WAITS: &[(&[u8], Option<CpuWait>)] = &[
    (b"__asan_load1_noabort", None),
    (b"__asan_load4_noabort", None),
    (b"__asan_load8_noabort", None),
    (b"__const_udelay", None),
    (b"__delay", None),
    (b"__ndelay", None),
    (b"__udelay", None),
    (b"delay_halt", None),
    (b"delay_halt_tpause", None),
    (b"delay_tsc", None),
    (b"native_halt", None),
    (b"native_safe_halt", None),
    (b"pv_native_safe_halt", None),
    (b"kvm_wait", None),
    (b"hv_qlock_wait", None),
    (b"__kasan_check_read", None),
    (b"__kasan_check_write", None),
    (b"kasan_check_range", None),
    (b"xen_qlock_wait", None),
    (b"xen_poll_irq", None),
    (b"xen_poll_irq_timeout", None),
    (b"pv_wait_node", None),
    (b"pv_wait_head_or_lock", None),
    (b"do_raw_spin_lock", None),
    (b"_raw_spin_lock", None),
    (b"_raw_spin_lock_bh", None),
    (b"_raw_spin_lock_irq", None),
    (b"_raw_spin_lock_irqsave", None),
    (b"_raw_spin_lock_nested", None),
    (b"do_raw_read_lock", None),
    (b"do_raw_write_lock", None),
    (b"_raw_read_lock", None),
    (b"_raw_read_lock_bh", None),
    (b"_raw_read_lock_irq", None),
    (b"_raw_read_lock_irqsave", None),
    (b"_raw_write_lock", None),
    (b"_raw_write_lock_bh", None),
    (b"_raw_write_lock_irq", None),
    (b"_raw_write_lock_irqsave", None),
    (b"rcu_momentary_eqs", None),
    (b"stop_machine_yield", None),
    (b"touch_nmi_watchdog", None),
    (b"queued_spin_lock_slowpath", Some(CpuWait::Spinlock)),
    (b"native_queued_spin_lock_slowpath", Some(CpuWait::Spinlock)),
    (b"__pv_queued_spin_lock_slowpath", Some(CpuWait::Spinlock)),
    (b"queued_read_lock_slowpath", Some(CpuWait::Rwlock)),
    (b"queued_write_lock_slowpath", Some(CpuWait::Rwlock)),
    (b"csd_lock_wait", Some(CpuWait::Call)),
    (b"__csd_lock_wait", Some(CpuWait::Call)),
    (b"csd_lock_wait_toolong", Some(CpuWait::Call)),
    (b"smp_call_function_many_cond", Some(CpuWait::Call)),
    (b"__smp_call_function_single", Some(CpuWait::Call)),
    (b"smp_call_function_single", Some(CpuWait::Call)),
    (b"smp_call_function_any", Some(CpuWait::Call)),
    (b"smp_call_function_many", Some(CpuWait::Call)),
    (b"smp_call_function", Some(CpuWait::Call)),
    (b"on_each_cpu_cond_mask", Some(CpuWait::Call)),
    (b"multi_cpu_stop", Some(CpuWait::StopMachine)),
];

/// Functions that call the handler of an interrupt, a timer, a softirq or an NMI.
const DISPATCHERS: &[&[u8]] = &[
    b"__handle_irq_event_percpu",
    b"__hrtimer_run_queues",
    b"__flush_smp_call_function_queue",
    b"call_timer_fn",
    b"expire_timers",
    b"handle_softirqs",
    b"__do_softirq",
    b"tasklet_action_common",
    b"irq_work_single",
    b"irq_work_run_list",
    b"nmi_handle",
    b"generic_handle_arch_irq",
];

/// Reads a stack name by name, innermost first.
#[derive(Clone, Copy, Debug, Default)]
pub struct StackScan {
    /// How many names were read.
    len: usize,
    wait: Option<CpuWait>,
    caller: Option<usize>,
    handler: Option<usize>,
}

impl StackScan {
    /// Adds the name of the next function.
    pub fn add(&mut self, name: &[u8]) {
        let name = base_name(name);
        let index = self.len;
        self.len = self.len.saturating_add(1);
        if self.caller.is_none() {
            match WAITS.iter().find(|&&(known, _)| known == name) {
                Some(&(_, wait)) => self.wait = self.wait.or(wait),
                None => self.caller = Some(index),
            }
        }
        if self.handler.is_none() && DISPATCHERS.contains(&name) {
            self.handler = Some(index.saturating_sub(1));
        }
    }

    /// What the CPU waits for.
    pub fn wait(&self) -> Option<CpuWait> {
        self.wait
    }

    /// The index of the function that waits, or that is stuck by itself; `None` if there is none but
    /// functions that wait for something.
    pub fn caller(&self) -> Option<usize> {
        self.caller
    }

    /// The index of the handler that was called for the interrupt, timer, softirq or NMI in which the
    /// CPU is, the innermost one; `None` outside of one.
    pub fn handler(&self) -> Option<usize> {
        self.handler
    }
}
