// SPDX-License-Identifier: GPL-2.0
//! What `vigilctl watch --json` shows of the demo's incidents.

use anyhow::{ensure, Context, Result};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use vigil_vm::{Config, Job, Vm};

const VIGILCTL: &str = "/vm/vigilctl";
const SOON: Duration = Duration::from_secs(60);

/// A guest's configuration, with the program.
pub(crate) fn with_program(config: Config) -> Result<Config> {
    let artifacts = vigil_vm::Artifacts::from_env()?;
    let program = artifacts.file("vigilctl").context("no vigilctl")?;
    Ok(config.files([program]))
}

/// `vigilctl watch --json` that runs in a guest.
pub(crate) struct Watch(Job);

/// What was shown of one incident.
#[derive(Default)]
struct Shown {
    started: bool,
    changes: usize,
    /// The last event's incident, which has all that is known.
    last: Value,
}

impl Watch {
    /// Starts it on a CPU that does not get stuck. The module is loaded.
    pub(crate) fn start(vm: &Vm) -> Result<Self> {
        let job = vm.spawn_on(0, &format!("exec {VIGILCTL} watch --json"))?;
        job.wait_output("\"loaded\"", SOON)?;
        Ok(Self(job))
    }

    /// Prints each incident in a line, after the module was unloaded. An error unless each was shown
    /// from its start to its end, and each of these kinds was among them; those of which a culprit
    /// or a cgroup has to be known name it by its key.
    pub(crate) fn finish(self, expected: &[(&str, Option<&str>)]) -> Result<()> {
        self.0.wait_output("\"unloaded\"", SOON)?;
        let text = self.0.output();
        let mut all = BTreeMap::<u64, Shown>::new();
        for line in text.lines() {
            let mut line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let event = line["event"].as_str().unwrap_or_default().to_owned();
            ensure!(event != "lost", "an event was lost: {line}");
            let Some(id) = line["incident"]["id"].as_u64() else {
                continue;
            };
            let shown = all.entry(id).or_default();
            match event.as_str() {
                "start" => shown.started = true,
                "change" => shown.changes += 1,
                _ => {}
            }
            shown.last = line["incident"].take();
        }
        println!("\nWhat vigilctl watch --json showed meanwhile, an incident a line:");
        for (id, shown) in &all {
            println!("  {id:3} {}", shown.line());
        }
        for (id, shown) in &all {
            ensure!(
                shown.started && shown.last["end"].is_string(),
                "incident {id} was not shown from its start to its end: {text}"
            );
        }
        for (kind, key) in expected {
            ensure!(
                all.values().any(|shown| shown.last["kind"] == *kind
                    && key.is_none_or(|key| !shown.last[key].is_null())),
                "no incident of kind {kind} with {key:?}: {text}"
            );
        }
        Ok(())
    }
}

impl Shown {
    fn line(&self) -> String {
        let incident = &self.last;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let task = |value: &Value| format!("{}:{}", text(&value["comm"]), value["pid"]);
        let mut line = format!("{:12}", text(&incident["kind"]));
        if incident["task"].is_object() {
            line += &format!(" {:20}", task(&incident["task"]));
        } else if let Some(count) = incident["behind"].as_u64() {
            line += &format!(" {:20}", format!("{count} tasks behind it"));
        }
        if let Some(cgroup) = incident["cgroup"].as_str() {
            line += &format!(" in cgroup {cgroup}");
        }
        let culprit = &incident["culprit"];
        if culprit.is_object() {
            line += &format!(" behind {}", text(&culprit["kind"]));
            if culprit["task"].is_object() {
                line += &format!(" {}", task(&culprit["task"]));
            }
            if let Some(cpu) = culprit["cpu"].as_u64() {
                line += &format!(" on CPU{cpu}");
            }
        }
        let age = incident["age_s"].as_f64().unwrap_or_default();
        let changes = if self.changes == 1 {
            "change"
        } else {
            "changes"
        };
        line = format!("{}: start, {} {changes}, ", line.trim_end(), self.changes);
        line + &format!("{} after {age:.1} s", text(&incident["end"]))
    }
}
