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

/// A look at 30,000 idle threads takes at most a hundredth of khungtaskd's pass.
fn looks_at_30000(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(config(cx).mem_mib(2048))?;
    hold(&looks::measure(&vm, &[30_000])?, 1)
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
