// SPDX-License-Identifier: GPL-2.0
//! `scenarios --list`, which `make list` runs: it prints the scenarios of a set.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// What the program prints for this set, as a set of names.
fn list(set: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_scenarios"))
        .arg("--list")
        .env("VIGIL_SET", set)
        .env_remove("VIGIL_ARTIFACTS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(names.len(), text.lines().count(), "a name twice: {text}");
    names
}

/// The scenarios that the topics' sources mark with `.core()`.
fn marked_core() -> BTreeSet<String> {
    let topics = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/topics");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(topics).unwrap() {
        let path = entry.unwrap().path();
        let topic = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let source = fs::read_to_string(&path).unwrap();
        for part in source.split("Scenario::new(\"").skip(1) {
            let (name, rest) = part.split_once('"').unwrap();
            // The list of a topic's scenarios ends with the function that returns it.
            let marks = rest.split("\n}\n").next().unwrap();
            if marks.contains(".core()") {
                names.insert(format!("{topic}::{name}"));
            }
        }
    }
    names
}

#[test]
fn the_core_set_is_what_the_topics_mark() {
    let core = list("core");
    assert!(!core.is_empty());
    assert_eq!(core, marked_core());
}

#[test]
fn sets_contain_each_other() {
    let (core, usual, all) = (list("core"), list(""), list("all"));
    assert!(core.is_subset(&usual));
    assert!(usual.is_subset(&all));
    assert!(usual.len() < all.len());
}

#[test]
fn a_set_that_does_not_exist_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_scenarios"))
        .arg("--list")
        .env("VIGIL_SET", "kore")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        text,
        "scenarios: there is no set 'kore': there are core and all\n"
    );
}
