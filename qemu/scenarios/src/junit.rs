// SPDX-License-Identifier: GPL-2.0
//! Results as JUnit XML.

use crate::outcome::{Outcome, Record};
use anyhow::Context;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

/// The results of a run, a test case for each record: the topic is its class.
pub(crate) fn render(records: &[Record]) -> anyhow::Result<String> {
    let mut suite = TestSuite::new("scenarios");
    for record in records {
        let (topic, name) = record.name.split_once("::").unwrap_or(("", &record.name));
        let mut case = TestCase::new(name, status(&record.outcome));
        case.set_classname(topic).set_time(record.time);
        if !record.notes.is_empty() {
            case.set_system_err(record.notes.join("\n"));
        }
        suite.add_test_case(case);
    }
    let mut report = Report::new("vigil");
    report.add_test_suite(suite);
    report.to_string().context("cannot write JUnit XML")
}

fn status(outcome: &Outcome) -> TestCaseStatus {
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let (mut status, text) = match outcome {
        Outcome::Passed => return TestCaseStatus::success(),
        Outcome::Flaky(text) => {
            let mut rerun = TestRerun::new(NonSuccessKind::Failure);
            rerun.set_message(first_line(text));
            rerun.set_description(text.as_str());
            let mut status = TestCaseStatus::success();
            status.add_rerun(rerun);
            return status;
        }
        Outcome::Skipped(why) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            return status;
        }
        Outcome::Failed(text) => (TestCaseStatus::non_success(NonSuccessKind::Failure), text),
        Outcome::BootFailed(text) => (TestCaseStatus::non_success(NonSuccessKind::Error), text),
    };
    status.set_message(first_line(text));
    status.set_description(text.as_str());
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn skipped_ones_have_their_reason() {
        let record = |name: &str, outcome| Record {
            name: name.to_owned(),
            time: Duration::from_secs(2),
            outcome,
            notes: Vec::new(),
        };
        let xml = render(&[
            record("a::one", Outcome::Passed),
            record("a::two", Outcome::Failed("wrong".to_owned())),
            record("b::three", Outcome::Skipped("no CONFIG_KUNIT".to_owned())),
        ])
        .unwrap();
        assert!(
            xml.contains(r#"<testsuites name="vigil" tests="3" failures="1" errors="0">"#),
            "{xml}"
        );
        assert!(
            xml.contains(r#"skipped="1""#) || xml.contains(r#"disabled="1""#),
            "{xml}"
        );
        assert!(
            xml.contains(r#"<skipped message="no CONFIG_KUNIT"/>"#),
            "{xml}"
        );
        assert!(xml.contains(r#"<failure message="wrong">"#), "{xml}");
    }
}
