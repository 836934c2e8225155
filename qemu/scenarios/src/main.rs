// SPDX-License-Identifier: GPL-2.0
//! Scenarios: what vigil promises, tested in virtual machines.
//!
//! ```text
//! scenarios [FILTER] [--exact] [--skip WORD] [--list] [--test-threads N]
//! ```
//!
//! `VIGIL_SET=core` in the environment selects the core set; `VIGIL_SET=all` adds the
//! scenarios that are left out otherwise, unless a filter names them. `--list` prints the
//! names of the selected scenarios, one a line, and runs none.
//!
//! A scenario is a function in a topic; a topic is a file in `topics/`,
//! registered in `topics.rs`. Names are `topic::scenario`, so a topic's name
//! runs the topic.
//!
//! | file | |
//! |---|---|
//! | `topics` | the list of topics, and a file for each |
//! | `prelude` | what every topic imports |
//! | `selection` | which scenarios are to be run |
//! | `scenario` | what a scenario is |
//! | `machine` | differences between architectures, and how slow the kernel is |
//! | `host` | steal time of the host |
//! | `context` | what a scenario is given: guests that are killed with it |
//! | `runner` | runs a scenario: time limit, second try, verdict |
//! | `slots` | how many scenarios may be busy at the same time |
//! | `outcome` | how a scenario ended |
//! | `report` | collects the results: table, KTAP (`ktap`), JUnit XML (`junit`) |

mod context;
mod host;
mod junit;
mod ktap;
mod machine;
mod outcome;
mod prelude;
mod readers;
mod report;
mod runner;
mod scenario;
mod selection;
mod slots;
mod status;
mod topics;

use libtest_mimic::Arguments;
use report::Report;
use selection::Set;
use std::{
    cmp::Reverse,
    env,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

/// Number of scenarios that run at once, unless the command line says otherwise. Most of
/// them wait for a slot (see `slots`): there are so many that for each slot that becomes
/// free, there is a scenario of its class.
const THREADS: usize = 24;

fn main() -> ExitCode {
    match run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("scenarios: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let set = Set::from_name(&env::var("VIGIL_SET").unwrap_or_default())?;
    let mut selected = selection::select(topics::all(), set, &arguments);
    if arguments.list {
        let mut stdout = io::stdout().lock();
        for (topic, scenario) in &selected {
            writeln!(stdout, "{topic}::{}", scenario.name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Scenarios that may take long start first, so that none of them runs alone at the end.
    selected.sort_by_key(|(_, scenario)| Reverse(scenario.limit));
    let report = Arc::new(Report::default());
    let trials = selected
        .into_iter()
        .map(|(topic, scenario)| runner::trial(topic, scenario, Arc::clone(&report)))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    report.finish()?;
    // A misspelt name must not pass for a success.
    anyhow::ensure!(!report.is_empty(), "no scenario matches");
    Ok(conclusion.exit_code())
}
