// SPDX-License-Identifier: GPL-2.0

//! The text of a report on a soft lockup: mainline's lines (the end of `watchdog_timer_fn()`), and
//! what vigil knows besides.

use super::{
    cpu_wait::CpuChain,
    irqs::{
        IrqCountPool,
        IrqSnapshot, //
    },
    session::ReportSession,
    whereabouts, //
};
use crate::{
    logic::{
        cpu_usage::CpuUsageSample,
        fmt::Secs,
        messages::{
            NoTimerInterrupts,
            StealTime,
            SAMPLED_BY_FIFO_THREAD, //
        },
        softlockup::Softlockup,
        NSEC_PER_SEC, //
    },
    sys::{
        context::HardirqCtx,
        printk,
        task, //
    }, //
};

/// Less steal time than this, in nanoseconds, is not printed.
const MIN_STEAL_NS: u64 = 1_000_000;

/// What a report shows of a CPU besides the lockup itself.
pub(crate) struct SoftlockupDetails<'a, S: Iterator<Item = CpuUsageSample>> {
    /// For how many nanoseconds the CPU took no timer interrupt.
    pub(crate) irqs_off: u64,
    /// Whether a SCHED_FIFO thread was sampled instead of the stopper.
    pub(crate) by_fifo_thread: bool,
    /// The sample period in nanoseconds.
    pub(crate) period: u64,
    /// What the CPU spent its time on, the oldest sample first.
    pub(crate) usage: S,
    /// Percent of hard interrupts in the last sample.
    pub(crate) hardirq_percent: u8,
    /// The interrupt counts since the CPU missed a sample period.
    pub(crate) irqs: &'a IrqSnapshot,
    /// Where those counts are.
    pub(crate) irq_counts: &'a IrqCountPool,
}

/// Prints the report of a CPU on its own soft lockup, up to its stack. `chain`: what it waits for.
///
/// # Context
///
/// The timer interrupt of the CPU.
#[inline(never)]
pub(crate) fn print<S: Iterator<Item = CpuUsageSample>>(
    lockup: &Softlockup,
    details: SoftlockupDetails<'_, S>,
    chain: &CpuChain,
    now: u64,
    session: &ReportSession<'_>,
    irq: &HardirqCtx<'_>,
) {
    let cpu = irq.cpu();
    let _lines = session.keep_together();
    printk::emerg(format_args!(
        "watchdog: BUG: soft lockup - CPU#{cpu} stuck for {}s! [{}]",
        lockup.duration / NSEC_PER_SEC,
        task::current_id()
    ));
    task::with_current(|task| whereabouts::print(task, printk::emerg));
    chain.print();
    if details.by_fifo_thread {
        printk::emerg(format_args!("{SAMPLED_BY_FIFO_THREAD}"));
    }
    // Most of it: then that is what to look for, and not code that does not schedule.
    if details.irqs_off > lockup.duration / 2 {
        printk::emerg(format_args!(
            "{}",
            NoTimerInterrupts {
                cpu,
                secs: Secs(details.irqs_off),
            }
        ));
    }
    if lockup.steal >= MIN_STEAL_NS {
        printk::emerg(format_args!(
            "{}",
            StealTime {
                secs: Secs(lockup.steal),
            }
        ));
    }
    print_usage(cpu, details.period, details.usage);
    details
        .irqs
        .print_top(details.irq_counts, cpu, now, details.hardirq_percent);
    if chain.same.is_some() {
        return;
    }
    let ksyms = session.ksyms();
    ksyms.print_modules();
    ksyms.print_irqtrace_events();
    ksyms.show_interrupted(irq);
}

/// `print_cpustat()`.
fn print_usage(cpu: u32, period: u64, usage: impl Iterator<Item = CpuUsageSample>) {
    printk::crit(format_args!(
        "CPU#{cpu} Utilization every {}ms during lockup (as counted by the tick):",
        period / 1_000_000
    ));
    for (sample, n) in usage.zip(1..u32::MAX) {
        let CpuUsageSample {
            system,
            softirq,
            hardirq,
            idle,
        } = sample;
        printk::crit(format_args!(
            "\t#{n}: {system:3}% system,\t{softirq:3}% softirq,\t{hardirq:3}% hardirq,\t{idle:3}% idle"
        ));
    }
}
