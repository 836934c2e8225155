// SPDX-License-Identifier: GPL-2.0
//! Runs one scenario: its time limit, its second try, its verdict.
//!
//! Guests under emulation on a busy machine miss what they would make with a
//! processor of their own. So a failure is tried again once, with the machine to
//! itself (and, if that is a virtual one, once its host has time for it), and
//! named in the end if it passes then. That is for what may be the machine's fault:
//! what a kernel complained of (a splat, a panic that nobody waited for) is a
//! failure at once, and so is everything after the first few.

use crate::{
    context::Cx,
    host, machine,
    report::{Outcome, Record, Report},
    scenario::Scenario,
    turns::{Share, Turn},
};
use libtest_mimic::Trial;
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
use vigil_vm::BootError;

/// What a scenario that is over its limit gets to notice that its guests died.
const AFTERMATH: Duration = Duration::from_secs(20);

/// A guest that does not come up says nothing about the module, so it gets
/// another chance; a second failure is one.
const TRIES: u32 = 2;

/// Failures of a run that are tried again. More are no bad luck.
const SECOND_TRIES: u32 = 5;

/// How long such a second try waits for the host to leave this machine its processors.
const CALM: Duration = Duration::from_secs(120);

static TRIED_AGAIN: AtomicU32 = AtomicU32::new(0);

/// How one try ended.
enum Ending {
    Passed,
    BootFailed(String),
    /// Perhaps for want of processor time.
    Failed(String),
    /// The kernel complained.
    Broken(String),
}

/// The scenario as libtest-mimic wants it.
pub(crate) fn trial(topic: &'static str, scenario: Scenario, report: Arc<Report>) -> Trial {
    let name = format!("{topic}::{}", scenario.name);
    Trial::test(name.clone(), move || {
        let mut turn = scenario.share().map(Turn::take);
        let start = Instant::now();
        let mut notes = Vec::new();
        let mut again = None;
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            match attempt(topic, &scenario, tries, turn.as_ref().map(Turn::share)) {
                Ending::Passed => {
                    break match again {
                        None => Outcome::Passed,
                        Some(text) => Outcome::PassedAlone(text),
                    }
                }
                Ending::Failed(text) if again.is_none() && may_try_again() => {
                    eprintln!("{name}: {text}\n{name}: trying again, with nothing beside it");
                    again = Some(text);
                    turn.take();
                    turn = Some(Turn::take(Share::Alone));
                    if !host::wait_until_calm(CALM) {
                        eprintln!("{name}: the host leaves this machine little of its processors");
                    }
                }
                Ending::Failed(text) | Ending::Broken(text) => {
                    // The rest is shown in the end.
                    eprintln!("{name}: {}", text.lines().next().unwrap_or_default());
                    break Outcome::Failed(match again {
                        None => text,
                        Some(first) => format!("{text}\nbefore that: {first}"),
                    });
                }
                Ending::BootFailed(text) if notes.len() + 1 < TRIES as usize => {
                    eprintln!("{name}: {text}; trying again");
                    notes.push(text);
                }
                Ending::BootFailed(text) => break Outcome::BootFailed(text),
            }
        };
        drop(turn);
        let verdict = match &outcome {
            Outcome::Passed | Outcome::PassedAlone(_) => Ok(()),
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

/// Whether one more failure may be tried again.
fn may_try_again() -> bool {
    TRIED_AGAIN.fetch_add(1, Ordering::Relaxed) < SECOND_TRIES
}

/// One try, with that share of the machine.
fn attempt(topic: &str, scenario: &Scenario, number: u32, share: Option<Share>) -> Ending {
    let mut name = format!("{topic}-{}", scenario.name);
    if number > 1 {
        name.push_str(&format!("-try{number}"));
    }
    let limit = scenario.limit * machine::slowdown();
    let cx = Arc::new(Cx::new(name, limit, share));
    match run_limited(scenario, limit, &cx) {
        Ok(()) => {
            let splats = cx.splats(&scenario.allowed);
            if splats.is_empty() {
                return Ending::Passed;
            }
            let splats = splats.join("\n  ");
            Ending::Broken(format!(
                "the kernel complained:\n  {splats}\n{}",
                cx.evidence()
            ))
        }
        Err(error) => {
            let boot = error.chain().any(|cause| cause.is::<BootError>());
            let splats = cx.splats(&scenario.allowed);
            let text = format!("{error:#}\n{}", cx.evidence());
            if boot {
                Ending::BootFailed(text)
            } else if !splats.is_empty() {
                let splats = splats.join("\n  ");
                Ending::Broken(format!(
                    "{error:#}; the kernel complained:\n  {splats}\n{text}"
                ))
            } else {
                Ending::Failed(text)
            }
        }
    }
}

/// Runs the scenario in a thread of its own, which is given up when even the
/// death of its guests does not end it.
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
    match verdict.recv_timeout(AFTERMATH) {
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
            // The threads of guests have no scenario's name; say it at once.
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
