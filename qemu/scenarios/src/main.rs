// SPDX-License-Identifier: GPL-2.0
//! Scenarios: what vigil promises, tried in virtual machines.
//!
//! ```text
//! scenarios [FILTER] [--exact] [--list] [--test-threads N]
//! ```
//!
//! With `VIGIL_SET=core` in the environment only those of the core set; with
//! `VIGIL_SET=all` also those that are left out otherwise, unless a filter names them.
//!
//! A scenario is a function in a topic; a topic is a file in `topics/`,
//! registered in `topics.rs`. Names are `topic::scenario`, so a topic's name
//! runs the topic.
//!
//! | file | |
//! |---|---|
//! | `topics` | the list of topics, and a file for each |
//! | `scenario` | what a scenario is |
//! | `machine` | what a kernel's words look like on this architecture, and how slow the kernel is |
//! | `host` | the machine that all this runs on, and whether it has time for it |
//! | `context` | what it is given: guests that die with it |
//! | `runner` | runs one: time limit, second try, verdict |
//! | `turns` | who may be at work at the same time |
//! | `splat` | looks through a guest's log for what must not be there |
//! | `report` | the table, and JUnit XML |

mod context;
mod host;
mod machine;
mod report;
mod runner;
mod scenario;
mod splat;
mod status;
mod topics;
mod turns;

/// What every topic needs.
mod prelude {
    // Not every one of these is used by today's topics.
    #[allow(unused_imports)]
    pub(crate) use crate::{
        context::Cx,
        machine,
        scenario::{secs, Scenario, Verdict},
        splat::Splat,
        status::{pattern, pattern_of, Status},
    };
    #[allow(unused_imports)]
    pub(crate) use anyhow::{anyhow, bail, ensure, Context as _};
    #[allow(unused_imports)]
    pub(crate) use std::time::{Duration, Instant};
    #[allow(unused_imports)]
    pub(crate) use vigil_logic::messages::{self, status as key};
    #[allow(unused_imports)]
    pub(crate) use vigil_vm::{
        qapi::qmp, Arch, Artifacts, Config, Errno, Error, Job, LogLine, Mark, Output, Vm,
    };
}

use libtest_mimic::Arguments;
use report::Report;
use std::{cmp::Reverse, collections::BTreeMap, env, process::ExitCode, sync::Arc};
use vigil_vm::Artifacts;

/// Scenarios at once, unless the command line says otherwise. Most of them wait for
/// their turn (see `turns`): there are so many that whichever share of the machine
/// is free, one that needs no more than that is among them.
const THREADS: usize = 24;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let (core_only, all) = match env::var("VIGIL_SET").as_deref() {
        Err(_) | Ok("") => (false, arguments.filter.is_some()),
        Ok("core") => (true, false),
        Ok("all") => (false, true),
        Ok(set) => {
            eprintln!("scenarios: there is no set '{set}': there are core and all");
            return ExitCode::FAILURE;
        }
    };
    let artifacts = Artifacts::from_env().ok();
    // What a kernel does not have cannot be tried on it.
    let has = |option: &str| {
        artifacts
            .as_ref()
            .is_none_or(|artifacts| artifacts.kernel_has(option))
    };
    let report = Arc::new(Report::default());
    let mut left_out = BTreeMap::<String, Vec<String>>::new();
    let mut scenarios: Vec<_> = topics::all()
        .into_iter()
        .flat_map(|(topic, scenarios)| scenarios.into_iter().map(move |scenario| (topic, scenario)))
        .filter(|(_, scenario)| scenario.core || !core_only)
        .filter(|(_, scenario)| !scenario.all || all)
        .filter(|(topic, scenario)| {
            let lacks = scenario.needs.filter(|option| !has(option));
            let other = scenario.only.filter(|(arch, _)| *arch != machine::arch());
            let why = match (lacks, other) {
                (Some(option), _) => format!("the kernel has no {option}"),
                (None, Some((arch, why))) => format!("only on {}: {why}", arch.name()),
                (None, None) => return true,
            };
            let name = format!("{topic}::{}", scenario.name);
            left_out.entry(why).or_default().push(name);
            false
        })
        .collect();
    // What may take long begins first, so that nothing is left to run by itself.
    scenarios.sort_by_key(|(_, scenario)| Reverse(scenario.limit));
    let trials = scenarios
        .into_iter()
        .map(|(topic, scenario)| runner::trial(topic, scenario, Arc::clone(&report)))
        .collect();
    for (why, names) in left_out {
        eprintln!("scenarios: left out ({why}): {}", names.join(", "));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = report.finish() {
        eprintln!("scenarios: {error:#}");
        return ExitCode::FAILURE;
    }
    if report.is_empty() {
        // A misspelt name is no success.
        eprintln!("scenarios: no scenario matches");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
