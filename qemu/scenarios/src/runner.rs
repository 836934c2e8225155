// SPDX-License-Identifier: GPL-2.0
//! Runs a scenario: time limit, second try, verdict.
//!
//! An emulated guest on a busy host misses deadlines that it would meet with a processor
//! of its own. So a scenario that fails is tried once more with no other scenario beside it
//! (and, on a host with steal time, once there is little), and counts as flaky if it passes
//! then. A splat in the guest's log (a warning, a panic that the scenario did not wait for)
//! is never the host's fault and fails the scenario at once; so does every failure after the
//! first few of a run.

use crate::{
    context::Cx,
    host, machine,
    outcome::{Outcome, Record},
    report::Report,
    scenario::Scenario,
    slots::{Slot, SlotClass},
};
use libtest_mimic::{Completion, Trial};
use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{channel, RecvTimeoutError},
        Arc, Once,
    },
    thread,
    time::{Duration, Instant},
};
use vigil_vm::{Artifacts, BootError};

/// How long a scenario that is over its limit may take to return once its guests are killed.
const RETURN_LIMIT: Duration = Duration::from_secs(20);

/// Number of boots that are tried: a guest that does not come up says nothing about the
/// module.
const BOOT_TRIES: usize = 2;

/// Number of failures of a run that are tried again. More than that are not due to the host.
const SECOND_TRIES: u32 = 5;

/// How long a second try waits for low steal time.
const STEAL_WAIT: Duration = Duration::from_secs(120);

static SECOND_TRIES_USED: AtomicU32 = AtomicU32::new(0);

/// How a try ended.
enum Try {
    Passed,
    BootFailed(String),
    /// An error, perhaps for want of processor time.
    Failed(String),
    /// A splat in the log of a guest.
    Splat(String),
}

/// The scenario as a test of libtest-mimic's, which adds its result to the report.
pub(crate) fn trial(topic: &'static str, scenario: Scenario, report: Arc<Report>) -> Trial {
    let name = format!("{topic}::{}", scenario.name);
    Trial::ignorable_test(name.clone(), move || {
        if let Some(why) = skip_reason(&scenario) {
            report.add(Record {
                name,
                time: Duration::ZERO,
                outcome: Outcome::Skipped(why.clone()),
                notes: Vec::new(),
            });
            return Ok(Completion::ignored_with(why));
        }
        let mut slot = scenario.slot().map(Slot::acquire);
        let start = Instant::now();
        let mut notes = Vec::new();
        let mut again = None;
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            match attempt(topic, &scenario, tries, slot.as_ref().map(Slot::class)) {
                Try::Passed => {
                    break match again {
                        None => Outcome::Passed,
                        Some(text) => Outcome::Flaky(text),
                    }
                }
                Try::Failed(text) if again.is_none() && may_try_again() => {
                    eprintln!(
                        "{name}: {text}\n{name}: trying again, with no other scenario beside it"
                    );
                    again = Some(text);
                    // Given back first: an exclusive slot is granted when all others are free.
                    drop(slot.take());
                    slot = Some(Slot::acquire(SlotClass::Exclusive));
                    if !host::wait_for_low_steal(STEAL_WAIT) {
                        eprintln!("{name}: the host has a lot of steal time");
                    }
                }
                Try::Failed(text) | Try::Splat(text) => {
                    // The whole text is shown at the end.
                    eprintln!("{name}: {}", text.lines().next().unwrap_or_default());
                    break Outcome::Failed(match again {
                        None => text,
                        Some(first) => format!("{text}\nbefore that: {first}"),
                    });
                }
                Try::BootFailed(text) if notes.len() + 1 < BOOT_TRIES => {
                    eprintln!("{name}: {text}; trying again");
                    notes.push(text);
                }
                Try::BootFailed(text) => break Outcome::BootFailed(text),
            }
        };
        drop(slot);
        let verdict = match &outcome {
            Outcome::Passed | Outcome::Flaky(_) | Outcome::Skipped(_) => Ok(Completion::Completed),
            Outcome::Failed(text) | Outcome::BootFailed(text) => Err(text.clone().into()),
        };
        report.add(Record {
            name,
            time: start.elapsed(),
            outcome,
            notes,
        });
        verdict
    })
}

/// Why the scenario cannot run on the kernel under test, if so. Without artifacts, booting a
/// guest fails and says why.
fn skip_reason(scenario: &Scenario) -> Option<String> {
    let artifacts = Artifacts::from_env().ok()?;
    scenario.skip_reason(machine::arch(), |option| artifacts.kernel_has(option))
}

/// Whether one more failure may be tried again.
fn may_try_again() -> bool {
    SECOND_TRIES_USED.fetch_add(1, Ordering::Relaxed) < SECOND_TRIES
}

/// Runs the scenario once. `slot` is the class of the slot that it holds.
fn attempt(topic: &str, scenario: &Scenario, number: u32, slot: Option<SlotClass>) -> Try {
    let mut name = format!("{topic}-{}", scenario.name);
    if number > 1 {
        name.push_str(&format!("-try{number}"));
    }
    let limit = scenario.limit * machine::slowdown();
    let cx = Arc::new(Cx::new(name, limit, slot));
    match run_limited(scenario, limit, &cx) {
        Ok(()) => {
            let splats = cx.splats(&scenario.allowed);
            if splats.is_empty() {
                return Try::Passed;
            }
            let splats = splats.join("\n  ");
            Try::Splat(format!("splats in the log:\n  {splats}\n{}", cx.evidence()))
        }
        Err(error) => {
            let boot = error.chain().any(|cause| cause.is::<BootError>());
            let splats = cx.splats(&scenario.allowed);
            let text = format!("{error:#}\n{}", cx.evidence());
            if boot {
                Try::BootFailed(text)
            } else if !splats.is_empty() {
                let splats = splats.join("\n  ");
                Try::Splat(format!("{error:#}; splats in the log:\n  {splats}\n{text}"))
            } else {
                Try::Failed(text)
            }
        }
    }
}

/// Runs the scenario in a thread of its own. A thread that does not return after its
/// guests were killed is abandoned.
fn run_limited(scenario: &Scenario, limit: Duration, cx: &Arc<Cx>) -> anyhow::Result<()> {
    let (report, verdict) = channel();
    let for_scenario = Arc::clone(cx);
    let run = scenario.run;
    thread::Builder::new()
        .name(scenario.name.to_owned())
        .spawn(move || {
            let result = catch(|| run(&for_scenario));
            let _ = report.send(result);
        })?;
    match verdict.recv_timeout(limit) {
        Ok(result) => return result,
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the scenario's thread died"),
    }
    cx.kill_all();
    let limit = limit.as_secs();
    match verdict.recv_timeout(RETURN_LIMIT) {
        Ok(Err(error)) => Err(anyhow::anyhow!("over its limit of {limit} s: {error:#}")),
        _ => Err(anyhow::anyhow!("over its limit of {limit} s")),
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Turns a panic into an error that says where it was.
fn catch(run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANIC.set(Some(info.to_string()));
            // A panic in a thread of the harness, which has no scenario's name, is shown
            // at once.
            if thread::current().name().is_none() {
                default(info);
            }
        }));
    });
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let text = PANIC.take().unwrap_or_else(|| "panicked".to_owned());
        Err(anyhow::anyhow!(text))
    })
}
