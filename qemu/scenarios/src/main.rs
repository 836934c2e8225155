// SPDX-License-Identifier: GPL-2.0
//! Scenarios: what vigil promises, tried in virtual machines.
//!
//! ```text
//! scenarios [FILTER] [--exact] [--list] [--test-threads N]
//! ```
//!
//! A scenario is a function in a topic; a topic is a file in `topics/`,
//! registered in `topics.rs`. Names are `topic::scenario`, so a topic's name
//! runs the topic.
//!
//! | file | |
//! |---|---|
//! | `topics` | the list of topics, and a file for each |
//! | `scenario` | what a scenario is |
//! | `context` | what it is given: guests that die with it |
//! | `runner` | runs one: time limit, second try, verdict |
//! | `splat` | looks through a guest's log for what must not be there |
//! | `report` | the table, and JUnit XML |

mod context;
mod report;
mod runner;
mod scenario;
mod splat;
mod topics;

/// What every topic needs.
mod prelude {
    // Not every one of these is used by today's topics.
    #[allow(unused_imports)]
    pub(crate) use crate::{
        context::Cx,
        scenario::{secs, Scenario, Verdict},
        splat::Splat,
    };
    #[allow(unused_imports)]
    pub(crate) use anyhow::{anyhow, bail, ensure, Context as _};
    #[allow(unused_imports)]
    pub(crate) use std::time::{Duration, Instant};
    #[allow(unused_imports)]
    pub(crate) use vigil_vm::{
        qapi::qmp, Bench, Config, Errno, Error, Job, LogLine, Mark, Output, Vm,
    };
}

use libtest_mimic::Arguments;
use report::Report;
use std::{process::ExitCode, sync::Arc};

/// Guests at once, unless the command line says otherwise: the time that a
/// guest sees is only as good as the processor time that it gets.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let report = Arc::new(Report::default());
    let trials = topics::all()
        .into_iter()
        .flat_map(|(topic, scenarios)| scenarios.into_iter().map(move |scenario| (topic, scenario)))
        .map(|(topic, scenario)| runner::trial(topic, scenario, Arc::clone(&report)))
        .collect();
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
