// SPDX-License-Identifier: GPL-2.0
//! Results as KTAP, version 1 (Documentation/dev-tools/ktap.rst in the kernel's source).

use crate::outcome::{Outcome, Record};
use std::fmt::Write;

/// The results of a run, a test for each record. Time and explanations are diagnostic
/// lines before the result that they belong to. `release` is the kernel's.
pub(crate) fn render(records: &[Record], release: Option<&str>) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", records.len());
    if let Some(release) = release {
        diagnose(&mut text, &format!("release: {release}"));
    }
    for (number, record) in (1..).zip(records) {
        for note in &record.notes {
            diagnose(&mut text, &format!("a boot failed before: {note}"));
        }
        let (result, directive) = match &record.outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Flaky(why) => {
                diagnose(&mut text, &format!("flaky: the first try failed: {why}"));
                ("ok", String::new())
            }
            Outcome::Failed(why) => {
                diagnose(&mut text, why);
                ("not ok", String::new())
            }
            Outcome::BootFailed(why) => {
                diagnose(&mut text, why);
                ("not ok", " # ERROR no guest came up".to_owned())
            }
            Outcome::Skipped(why) => ("ok", format!(" # SKIP {}", one_line(why))),
        };
        if !matches!(record.outcome, Outcome::Skipped(_)) {
            diagnose(
                &mut text,
                &format!("time: {:.1} s", record.time.as_secs_f64()),
            );
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{result} {number} {}{directive}", record.name);
    }
    text
}

/// Appends diagnostic lines.
fn diagnose(text: &mut String, lines: &str) {
    for line in lines.lines() {
        text.push_str("# ");
        text.push_str(line);
        text.push('\n');
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn record(name: &str, outcome: Outcome) -> Record {
        Record {
            name: name.to_owned(),
            time: Duration::from_millis(12_345),
            outcome,
            notes: Vec::new(),
        }
    }

    #[test]
    fn each_outcome_has_its_line() {
        let mut noted = record("a::noted", Outcome::Passed);
        noted.notes.push("timeout\nnot ok 1 a console".to_owned());
        let records = [
            record("a::passed", Outcome::Passed),
            record("a::flaky", Outcome::Flaky("late\nby 1 s".to_owned())),
            record(
                "b::failed",
                Outcome::Failed("wrong\nok 1 output".to_owned()),
            ),
            record("b::boot", Outcome::BootFailed("no agent".to_owned())),
            record(
                "c::skipped",
                Outcome::Skipped("CONFIG_KUNIT\nis off".to_owned()),
            ),
            noted,
        ];
        assert_eq!(
            render(&records, Some("7.3.4")),
            "KTAP version 1\n\
             1..6\n\
             # release: 7.3.4\n\
             # time: 12.3 s\n\
             ok 1 a::passed\n\
             # flaky: the first try failed: late\n\
             # by 1 s\n\
             # time: 12.3 s\n\
             ok 2 a::flaky\n\
             # wrong\n\
             # ok 1 output\n\
             # time: 12.3 s\n\
             not ok 3 b::failed\n\
             # no agent\n\
             # time: 12.3 s\n\
             not ok 4 b::boot # ERROR no guest came up\n\
             ok 5 c::skipped # SKIP CONFIG_KUNIT is off\n\
             # a boot failed before: timeout\n\
             # not ok 1 a console\n\
             # time: 12.3 s\n\
             ok 6 a::noted\n"
        );
    }

    #[test]
    fn no_test_is_a_plan_of_none() {
        assert_eq!(render(&[], None), "KTAP version 1\n1..0\n");
    }
}
