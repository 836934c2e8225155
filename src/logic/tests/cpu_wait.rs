// SPDX-License-Identifier: GPL-2.0

//! What a CPU waits for, from real stacks.

use vigil_logic::cpu_wait::{CpuContext, CpuWait, StackScan};

fn scan(stack: &[&str]) -> StackScan {
    let mut scan = StackScan::default();
    for name in stack {
        scan.add(name.as_bytes());
    }
    scan
}

/// The name of a function on the stack.
fn named<'a>(stack: &[&'a str], index: Option<usize>) -> Option<&'a str> {
    stack.get(index?).copied()
}

/// A stack, what it waits for, from where, and in which handler.
type Case<'a> = (&'a [&'a str], Option<CpuWait>, &'a str, Option<&'a str>);

/// Stacks as they were printed by kernels 6.1 to 7.3: what they wait for, from where, and in which
/// handler.
#[test]
fn real_stacks() {
    let cases: &[Case] = &[
        (
            &[
                "smp_call_function_many_cond",
                "on_each_cpu_cond_mask",
                "native_flush_tlb_multi",
                "flush_tlb_mm_range",
                "change_protection",
                "do_syscall_64",
            ],
            Some(CpuWait::Call),
            "native_flush_tlb_multi",
            None,
        ),
        (
            &[
                "native_queued_spin_lock_slowpath",
                "_raw_spin_lock_irqsave",
                "get_page_from_freelist",
                "__alloc_pages",
            ],
            Some(CpuWait::Spinlock),
            "get_page_from_freelist",
            None,
        ),
        (
            &[
                "__pv_queued_spin_lock_slowpath",
                "_raw_spin_lock",
                "tick_do_update_jiffies64.part.0",
                "tick_nohz_handler",
                "__hrtimer_run_queues",
                "hrtimer_interrupt",
                "__sysvec_apic_timer_interrupt",
            ],
            Some(CpuWait::Spinlock),
            "tick_do_update_jiffies64.part.0",
            Some("tick_nohz_handler"),
        ),
        (
            &["multi_cpu_stop", "cpu_stopper_thread", "smpboot_thread_fn"],
            Some(CpuWait::StopMachine),
            "cpu_stopper_thread",
            None,
        ),
        (
            &[
                "rcu_momentary_eqs",
                "multi_cpu_stop",
                "cpu_stopper_thread",
                "kthread",
            ],
            Some(CpuWait::StopMachine),
            "cpu_stopper_thread",
            None,
        ),
        (
            &[
                "queued_write_lock_slowpath",
                "release_task",
                "wait_task_zombie",
            ],
            Some(CpuWait::Rwlock),
            "release_task",
            None,
        ),
        (
            &["delay_tsc", "wait_for_lsr", "serial8250_console_write"],
            None,
            "wait_for_lsr",
            None,
        ),
        (
            &[
                "nvme_irq [nvme]",
                "__handle_irq_event_percpu",
                "handle_irq_event",
                "common_interrupt",
            ],
            None,
            "nvme_irq [nvme]",
            Some("nvme_irq [nvme]"),
        ),
        // With KASAN.
        (
            &[
                "kasan_check_range",
                "queued_spin_lock_slowpath",
                "do_raw_spin_lock",
                "_raw_spin_lock_irqsave",
                "rmqueue_bulk",
            ],
            Some(CpuWait::Spinlock),
            "rmqueue_bulk",
            None,
        ),
        // A lock that is taken without a wait.
        (
            &["_raw_spin_lock", "scan_slots", "worker"],
            None,
            "scan_slots",
            None,
        ),
        (
            &[
                "pv_native_safe_halt",
                "kvm_wait",
                "__pv_queued_spin_lock_slowpath",
                "_raw_spin_lock",
                "rmqueue_bulk",
            ],
            Some(CpuWait::Spinlock),
            "rmqueue_bulk",
            None,
        ),
        // A lock that is further out is held, and not waited for.
        (&["memcpy", "_raw_spin_lock", "foo"], None, "memcpy", None),
    ];
    for &(stack, wait, caller, handler) in cases {
        let scan = scan(stack);
        assert_eq!(scan.wait(), wait, "{stack:?}");
        assert_eq!(named(stack, scan.caller()), Some(caller), "{stack:?}");
        assert_eq!(named(stack, scan.handler()), handler, "{stack:?}");
    }
}

#[test]
fn nothing_but_waiting_has_no_caller() {
    assert_eq!(scan(&["_raw_spin_lock"]).caller(), None);
    assert_eq!(scan(&[]).caller(), None);
    assert_eq!(scan(&[]).wait(), None);
    // The interrupt itself, and no handler of it.
    let alone = scan(&["handle_softirqs", "irq_exit_rcu"]);
    assert_eq!(alone.handler(), Some(0));
}

#[test]
fn contexts_have_their_numbers() {
    for context in [
        CpuContext::Task,
        CpuContext::Softirq,
        CpuContext::Hardirq,
        CpuContext::Nmi,
        CpuContext::Idle,
    ] {
        assert_eq!(CpuContext::from_number(context as u32), context);
    }
    assert_eq!(CpuContext::from_number(99), CpuContext::Task);
}
