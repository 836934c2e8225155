// SPDX-License-Identifier: GPL-2.0
//! What vigil may cost, in instructions, beside the in-tree detectors in the same boot: the bounds of
//! `docs/benchmarks.md` that take little time to measure.

use crate::prelude::*;
use vigil_bench::{
    counting,
    parts::{heartbeat, looks},
    results::Measured,
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("heartbeat", heartbeat_of_both)
            .only_on(Arch::X86_64, "its clock for tracing counts instructions")
            .needs("CONFIG_SOFTLOCKUP_DETECTOR")
            .not_with("CONFIG_PREEMPT_RT", "bounds are for the other kernels")
            .counts_instructions()
            .limit(LIMIT),
        Scenario::new("looks", looks_at_30000)
            .needs("CONFIG_DETECT_HUNG_TASK")
            .not_with("CONFIG_PREEMPT_RT", "with rtlocks each check scans")
            .counts_instructions()
            .limit(LIMIT),
    ]
}

/// So long may one take: with the lowest priority it may have to wait until the other scenarios end.
const LIMIT: Duration = secs(1800);

/// A guest whose clocks count instructions, on what the other scenarios leave.
fn config(cx: &Cx) -> Config {
    counting(cx.config()).low_priority().boot_limit(LIMIT)
}

/// A heartbeat takes no more instructions than the in-tree one, and at most a twentieth more where
/// it looks for hard lockups as well.
fn heartbeat_of_both(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(config(cx))?;
    hold(&heartbeat::measure(&vm, 20)?, 2)
}

/// The most instructions that an RCU read section of a scan may take: 1.5 million, and those of the
/// tasks that are read before the clock is read again. A scan of 30,000 threads takes more.
const LONGEST_RCU_SECTION: u64 = 1_600_000;

/// A look at 30,000 idle threads takes at most a hundredth of khungtaskd's pass, and a scan of them
/// more than one RCU read section.
fn looks_at_30000(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(config(cx).mem_mib(2048))?;
    hold(&looks::measure(&vm, &[30_000])?, 1)?;
    // The threads are there still. What an interrupt does in a section, or a task that it lets run,
    // is part of what is measured: so the shortest of three.
    let mut shortest = u64::MAX;
    for _ in 0..3 {
        vm.load("hung_task_timeout_secs=1000 hung_task_check_interval_secs=1 use_run_queues=0")?;
        vm.sh_ok("sleep 3")?;
        let status = Status::read(&vm)?;
        ensure!(
            status.number(key::hung_task::FULL_SCANS)? > 0
                && status.number(key::hung_task::SCANNED_TASKS)? >= 30_000,
            "{status}"
        );
        shortest = shortest.min(status.number(key::hung_task::LONGEST_RCU_SECTION_NS)?);
        vm.unload()?;
    }
    ensure!(
        shortest <= LONGEST_RCU_SECTION,
        "{shortest} instructions in an RCU read section"
    );
    Ok(())
}

/// Fails if there are not so many bounds, or one does not hold.
fn hold(measured: &Measured, count: usize) -> Verdict {
    let bounds: Vec<_> = measured.bounds().collect();
    ensure!(bounds.len() == count, "{bounds:#?}");
    for bound in bounds {
        ensure!(
            bound.holds(),
            "{}: {} of at most {}: {:#?}",
            bound.says,
            bound.value,
            bound.limit,
            measured.tables
        );
    }
    Ok(())
}
