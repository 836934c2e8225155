// SPDX-License-Identifier: GPL-2.0
//! `get` and `set`: the knobs, with what they take in the error.

use crate::{failure::Failure, sources};
use anyhow::{anyhow, bail, Context, Result};
use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write},
};
use vigil_logic::knobs::{KnobInfo, KnobKind, Max, KNOBS, SYS_INFO};

fn find(name: &str) -> Result<&'static KnobInfo> {
    let knob = KNOBS.iter().find(|knob| knob.name == name);
    knob.with_context(|| format!("there is no knob {name}: `vigilctl get` lists them"))
}

/// What a knob takes, as the end of a sentence.
fn takes(knob: &KnobInfo) -> String {
    match knob.kind {
        KnobKind::Number { min, max, .. } => match max {
            Max::Number(max) => format!("takes a number from {min} to {max}"),
            Max::Seconds => format!("takes a number of seconds from {min} on"),
        },
        KnobKind::Counter => "takes only 0, which resets it".to_owned(),
        KnobKind::Gauge => "cannot be set".to_owned(),
        KnobKind::Word(words) => format!("takes {}", words.join(" or ")),
        KnobKind::Rules => {
            "takes rules with commas between them: NAME, NAME*, [KTHREAD], [KTHREAD*], :io, :lock"
                .to_owned()
        }
        KnobKind::List => {
            let words: Vec<&str> = SYS_INFO.iter().map(|(word, _)| *word).collect();
            format!("takes words with commas between them: {}", words.join(", "))
        }
        KnobKind::Cpus => "takes a list of CPUs such as 0-3,8".to_owned(),
    }
}

/// A value as JSON. A list of CPUs is text also if it is `0`.
fn json_of(knob: &KnobInfo, text: String) -> serde_json::Value {
    let number = match knob.kind {
        KnobKind::Number { .. } | KnobKind::Counter | KnobKind::Gauge => text.parse::<i64>().ok(),
        KnobKind::Word(_) | KnobKind::Rules | KnobKind::List | KnobKind::Cpus => None,
    };
    number.map_or_else(|| text.into(), Into::into)
}

/// Prints knobs: all of them, or the value of each that is named.
///
/// # Errors
///
/// If there is none of that name, or the module is not loaded.
pub(crate) fn get(names: &[String], json: bool, out: &mut dyn Write) -> Result<()> {
    let knobs: Vec<&KnobInfo> = if names.is_empty() {
        KNOBS.iter().collect()
    } else {
        names.iter().map(|name| find(name)).collect::<Result<_>>()?
    };
    let mut values = Vec::new();
    for knob in &knobs {
        values.push((knob.name, sources::knob(knob.name)?));
    }
    if json {
        let map: BTreeMap<&str, serde_json::Value> = knobs
            .iter()
            .zip(values)
            .map(|(knob, (name, text))| (name, json_of(knob, text)))
            .collect();
        writeln!(out, "{}", serde_json::to_string(&map)?)?;
    } else if let ([_], [(_, value)]) = (names, values.as_slice()) {
        writeln!(out, "{value}")?;
    } else {
        let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in values {
            writeln!(out, "{name:<width$}  {value}")?;
        }
    }
    Ok(())
}

/// Sets knobs, in this order; all names and values are looked at before the first is written.
///
/// # Errors
///
/// If there is none of that name, it does not take the value, or the kernel refuses the write.
pub(crate) fn set(assignments: &[String]) -> Result<()> {
    let mut writes = Vec::new();
    for assignment in assignments {
        let (name, value) = assignment
            .split_once('=')
            .with_context(|| format!("{assignment} is no KNOB=VALUE"))?;
        let knob = find(name)?;
        check(knob, value)?;
        writes.push((knob, value));
    }
    sources::ensure_loaded()?;
    for (knob, value) in writes {
        let name = knob.name;
        sources::set_knob(name, value).map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => refused(knob, value),
            ErrorKind::PermissionDenied => {
                Failure::NotPermitted(format!("only root can set {name}")).into()
            }
            _ => anyhow!(error).context(format!("cannot set {name}")),
        })?;
    }
    Ok(())
}

/// Looks at a value without the kernel, as far as its range is known here.
fn check(knob: &KnobInfo, value: &str) -> Result<()> {
    match knob.kind {
        KnobKind::Gauge => bail!("{} {}", knob.name, takes(knob)),
        // The kernel knows its HZ, what CPUs there are, and which rules are good.
        KnobKind::Number {
            max: Max::Seconds, ..
        }
        | KnobKind::Rules
        | KnobKind::Cpus => Ok(()),
        _ => match knob.parse(value.as_bytes(), 1) {
            Ok(_) => Ok(()),
            Err(_) => Err(refused(knob, value)),
        },
    }
}

fn refused(knob: &KnobInfo, value: &str) -> anyhow::Error {
    anyhow!("{} does not take {value:?}: it {}", knob.name, takes(knob))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(name: &str, value: &str) -> String {
        check(find(name).unwrap(), value).unwrap_err().to_string()
    }

    #[test]
    fn the_range_is_in_the_error() {
        assert_eq!(
            error("watchdog_thresh", "61"),
            "watchdog_thresh does not take \"61\": it takes a number from 0 to 60"
        );
        assert_eq!(
            error("hung_task_warnings", "many"),
            "hung_task_warnings does not take \"many\": it takes a number from -1 to 2147483647"
        );
        let word = error("hung_task_report", "short");
        assert!(
            word.starts_with("hung_task_report does not take \"short\": it takes ")
                && word.contains(" or "),
            "{word}"
        );
        assert_eq!(
            error("hung_task_sys_info", "task"),
            "hung_task_sys_info does not take \"task\": it takes words with commas between them: \
             tasks, mem, timers, locks, ftrace, all_bt, blocked_tasks"
        );
        assert_eq!(error("hung_tasks_now", "0"), "hung_tasks_now cannot be set");
        assert_eq!(
            error("hung_task_detect_count", "1"),
            "hung_task_detect_count does not take \"1\": it takes only 0, which resets it"
        );
    }

    #[test]
    fn the_type_of_a_value_does_not_depend_on_it() {
        let of = |name, text: &str| json_of(find(name).unwrap(), text.to_owned());
        assert_eq!(of("watchdog_cpumask", "0"), "0");
        assert_eq!(of("watchdog_cpumask", "0-3"), "0-3");
        assert_eq!(of("watchdog_thresh", "10"), 10);
        assert_eq!(of("hung_task_warnings", "-1"), -1);
    }

    #[test]
    fn good_values_pass() {
        for knob in KNOBS.iter().filter(|knob| knob.is_writable()) {
            let value = match knob.kind {
                KnobKind::Word(words) => words[0],
                KnobKind::Rules | KnobKind::List => "",
                _ => "0",
            };
            check(knob, value).unwrap();
        }
    }

    #[test]
    fn names_that_there_are_not() {
        let error = set(&["hung_task_timeout=3".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no knob hung_task_timeout: `vigilctl get` lists them"
        );
        let error = set(&["hung_task_timeout_secs".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "hung_task_timeout_secs is no KNOB=VALUE");
    }
}
