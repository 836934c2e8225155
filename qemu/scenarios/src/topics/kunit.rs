// SPDX-License-Identifier: GPL-2.0
//! The tests of the abstractions over the kernel, which run inside of it.
//!
//! They stand beside the code (`src/sys`), in suites that a kernel with
//! `CONFIG_KUNIT` runs when the module has been loaded. What they say is in the
//! log, as KTAP.

use super::{hung_stall::SOON, module::nothing_left};
use crate::prelude::*;
use std::collections::BTreeMap;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("all_pass", all_pass)
            .needs("CONFIG_KUNIT")
            .core(),
        Scenario::new("a_failure_is_seen", a_failure_is_seen).needs("CONFIG_KUNIT"),
    ]
}

/// Pairs of a file's name in `src/sys` and its text.
macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../src/sys/", $name, ".rs")))),*]
    };
}

/// The files with suites: each test in them has to run.
const SOURCES: &[(&str, &str)] = &sources![
    "backtrace",
    "blkdev",
    "buffer",
    "cgroup",
    "clock",
    "cpu",
    "cpufreq",
    "cpuhp",
    "crash_record",
    "debugfs",
    "event_ring",
    "incident_table",
    "irqstat",
    "kallsyms",
    "ksyms",
    "kthread",
    "lock_words",
    "nmi",
    "panic",
    "param",
    "pause_clock",
    "perf_event",
    "pm",
    "printk",
    "rtmutex",
    "runqueue",
    "single",
    "stacktrace",
    "sys_info",
    "sysctl",
    "sysfs",
    "taint",
    "task",
    "task_wait",
    "touch",
    "utsname",
    "watchdog_timer",
];

/// What the suite `vigil_param` expects to have been given.
const PARAMETERS: &str = "softlockup_sys_info=tasks,mem";

/// The tests that are in a source file, in order.
fn tests_of(source: &str) -> Vec<String> {
    let mut lines = source.lines();
    let mut names = Vec::new();
    while lines.any(|line| line.trim() == "#[test]") {
        let name = lines
            .by_ref()
            .find_map(|line| line.trim().strip_prefix("fn ")?.split('(').next());
        names.extend(name.map(str::to_owned));
    }
    names
}

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// A line such as `ok 1 name` or `not ok 2 name # SKIP why`.
fn result(line: &str) -> Option<(Outcome, &str)> {
    let (failed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(' ')?;
    number.parse::<u32>().ok()?;
    let (name, skipped) = match rest.split_once(" # SKIP") {
        Some((name, _)) => (name, true),
        None => (rest, false),
    };
    let outcome = match (failed, skipped) {
        (true, _) => Outcome::Failed,
        (false, true) => Outcome::Skipped,
        (false, false) => Outcome::Passed,
    };
    Some((outcome, name))
}

/// What the suites said: each one's tests in order.
#[derive(Debug, Default)]
struct Ktap {
    suites: BTreeMap<String, Vec<(String, Outcome)>>,
}

impl Ktap {
    /// Reads the log. Suites are indented once, their tests twice; other lines of
    /// the kernel may stand in between.
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> anyhow::Result<Self> {
        let mut this = Self::default();
        let mut planned = None;
        // Tests of the suite that runs, and how many there are to be.
        let mut tests = Vec::new();
        let mut planned_tests = None;
        for line in lines {
            if let Some(inner) = line.strip_prefix("    ") {
                if let Some((outcome, name)) = result(inner) {
                    tests.push((name.to_owned(), outcome));
                } else if let Some(number) = inner.strip_prefix("1..") {
                    planned_tests = Some(number.trim().parse::<usize>()?);
                }
            } else if let Some((outcome, name)) = result(line) {
                let tests = std::mem::take(&mut tests);
                ensure!(
                    planned_tests.take() == Some(tests.len()),
                    "suite {name}: not as many tests as planned: {tests:?}"
                );
                let passed = tests.iter().all(|(_, outcome)| *outcome == Outcome::Passed);
                ensure!(
                    passed == (outcome == Outcome::Passed),
                    "suite {name}: {outcome:?}, but {tests:?}"
                );
                this.suites.insert(name.to_owned(), tests);
            } else if let Some(number) = line.strip_prefix("1..") {
                planned = Some(number.trim().parse::<usize>()?);
            }
        }
        ensure!(
            planned == Some(this.suites.len()) && tests.is_empty(),
            "not as many suites as planned ({planned:?}): {this:#?}"
        );
        Ok(this)
    }

    /// Those that did not pass, with their suite.
    fn not_passed(&self) -> Vec<(&str, &str, Outcome)> {
        let all = self.suites.iter().flat_map(|(suite, tests)| {
            tests
                .iter()
                .map(move |(name, outcome)| (suite.as_str(), name.as_str(), *outcome))
        });
        all.filter(|(_, _, outcome)| *outcome != Outcome::Passed)
            .collect()
    }
}

/// Loads the module in a guest whose kernel runs the suites that match, and
/// returns what they and the log say.
fn run(cx: &Cx, suites: &str, parameters: &str) -> anyhow::Result<(Vm, Ktap, Vec<LogLine>)> {
    let words = format!("kunit.filter_glob={suites}");
    let vm = cx.boot_with(cx.config().append(words))?;
    let mark = vm.mark()?;
    // Returns when all have run.
    let job = vm.spawn(&format!("insmod /vm/vigil.ko {parameters}"))?;
    job.wait(SOON * 4)?.ok()?;
    let log = vm.dmesg_after(mark)?;
    let of_kernel = log.iter().filter(|line| line.facility == 0);
    let ktap = Ktap::read(of_kernel.map(|line| line.text.as_str()))?;
    Ok((vm, ktap, log))
}

/// Every test there is runs, and passes; what the tests of the log print is in
/// the log as it should be. The module can be unloaded afterwards.
fn all_pass(cx: &Cx) -> Verdict {
    let (vm, ktap, log) = run(cx, "vigil_*", PARAMETERS)?;
    let bad = ktap.not_passed();
    ensure!(bad.is_empty(), "{bad:#?}");
    let mut count = 0;
    for (file, source) in SOURCES {
        let wanted = tests_of(source);
        let ran = ktap.suites.get(&format!("vigil_{file}"));
        let ran: Vec<&str> = ran.into_iter().flatten().map(|(n, _)| n.as_str()).collect();
        ensure!(!wanted.is_empty() && ran == wanted, "vigil_{file}: {ran:?}");
        count += ran.len();
    }
    ensure!(count >= 50, "{count} tests");

    let kernel_line = |text: &str| {
        let begins = |line: &&LogLine| line.facility == 0 && line.text.starts_with(text);
        log.iter()
            .find(begins)
            .with_context(|| format!("no '{text}'"))
    };
    let line = kernel_line("kunit line")?;
    ensure!(
        line.text == "kunit line: one, 2%s" && line.level == 6,
        "{line:?}"
    );
    ensure!(kernel_line("kunit error")?.level == 3);
    let long = &kernel_line("kunit long: aaaaaaaa")?.text;
    let mut filling = long.chars().skip("kunit long: ".len());
    ensure!(long.len() < 2000 && filling.all(|c| c == 'a'), "{long}");
    kernel_line("kunit next")?;
    vm.unload()?;
    nothing_left(&vm)
}

/// A test that fails does not go unnoticed: one does if the module is not loaded
/// as it expects.
fn a_failure_is_seen(cx: &Cx) -> Verdict {
    let (vm, ktap, _) = run(cx, "vigil_param", "")?;
    let bad = ktap.not_passed();
    ensure!(
        bad == [("vigil_param", "reads_as_given_at_load", Outcome::Failed)],
        "{ktap:#?}"
    );
    vm.unload()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_file_with_a_suite_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/sys");
        let mut with_suites: Vec<String> = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let source = fs::read_to_string(&path).unwrap();
            if source.contains("kunit_tests(") {
                assert!(
                    source.contains(&format!("kunit_tests(vigil_{name})")),
                    "{name}"
                );
                with_suites.push(name);
            }
        }
        with_suites.sort();
        let names: Vec<String> = SOURCES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(with_suites, names);
    }

    const LOG: [&str; 14] = [
        "KTAP version 1",
        "1..2",
        "    KTAP version 1",
        "    # Subtest: one",
        "    # module: vigil",
        "    1..2",
        "    ok 1 first",
        "vigil: something else",
        "    not ok 2 second",
        "# one: pass:1 fail:1 skip:0 total:2",
        "not ok 1 one",
        "    1..1",
        "    ok 1 third # SKIP not here",
        "ok 2 two # SKIP",
    ];

    #[test]
    fn failures_and_skips_are_seen() {
        let ktap = Ktap::read(LOG.into_iter()).unwrap();
        assert_eq!(
            ktap.not_passed(),
            [
                ("one", "second", Outcome::Failed),
                ("two", "third", Outcome::Skipped)
            ]
        );
        assert_eq!(ktap.suites["one"].len(), 2);
    }

    #[test]
    fn what_is_missing_is_noticed() {
        // A test, the end of a suite, a whole suite, all.
        for leave_out in [6..7, 10..11, 11..14, 0..14] {
            let rest = LOG.into_iter().enumerate();
            let rest = rest
                .filter(|(i, _)| !leave_out.contains(i))
                .map(|(_, line)| line);
            assert!(Ktap::read(rest).is_err(), "{leave_out:?}");
        }
    }

    #[test]
    fn tests_are_found_in_sources() {
        let source =
            "#[test]\n#[cfg(X)]\nfn one() -> Result {\n}\nfn no() {}\n  #[test]\n  fn two() {";
        assert_eq!(tests_of(source), ["one", "two"]);
    }
}
