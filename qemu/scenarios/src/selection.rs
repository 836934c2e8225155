// SPDX-License-Identifier: GPL-2.0
//! Which scenarios are to be run.

use crate::scenario::Scenario;
use anyhow::bail;
use libtest_mimic::{Arguments, Trial};

/// A set of scenarios, named by `VIGIL_SET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// All scenarios but those of [`Scenario::all`].
    Usual,
    /// The core set: see [`Scenario::core`].
    Core,
    /// All scenarios.
    All,
}

impl Set {
    /// The set of this name; [`Set::Usual`] has none.
    pub(crate) fn from_name(name: &str) -> anyhow::Result<Self> {
        match name {
            "" => Ok(Self::Usual),
            "core" => Ok(Self::Core),
            "all" => Ok(Self::All),
            _ => bail!("there is no set '{name}': there are core and all"),
        }
    }
}

/// The scenarios of the set that the command line's filters select, with their topics.
pub(crate) fn select(
    topics: Vec<(&'static str, Vec<Scenario>)>,
    set: Set,
    arguments: &Arguments,
) -> Vec<(&'static str, Scenario)> {
    let named = arguments.filter.is_some();
    topics
        .into_iter()
        .flat_map(|(topic, scenarios)| scenarios.into_iter().map(move |scenario| (topic, scenario)))
        .filter(|(_, scenario)| match set {
            Set::Core => scenario.core,
            Set::Usual => !scenario.all || named,
            Set::All => true,
        })
        .filter(|(topic, scenario)| {
            let name = format!("{topic}::{}", scenario.name);
            !arguments.is_filtered_out(&Trial::test(name, || Ok(())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(set: Set, words: &[&str]) -> Vec<String> {
        let scenario = |name| Scenario::new(name, |_| Ok(()));
        let topics = vec![
            ("a", vec![scenario("one").core(), scenario("two")]),
            ("b", vec![scenario("one"), scenario("rare").all()]),
        ];
        let words = [&["scenarios"], words].concat();
        select(topics, set, &Arguments::from_iter(words))
            .into_iter()
            .map(|(topic, scenario)| format!("{topic}::{}", scenario.name))
            .collect()
    }

    #[test]
    fn sets_and_filters_select() {
        assert_eq!(names(Set::Usual, &[]), ["a::one", "a::two", "b::one"]);
        assert_eq!(names(Set::Core, &[]), ["a::one"]);
        assert_eq!(
            names(Set::All, &[]),
            ["a::one", "a::two", "b::one", "b::rare"]
        );
        assert_eq!(names(Set::Usual, &["::one"]), ["a::one", "b::one"]);
        assert_eq!(names(Set::Usual, &["rare"]), ["b::rare"]);
        assert_eq!(names(Set::Usual, &["--skip", "a::"]), ["b::one"]);
        assert_eq!(names(Set::Core, &["b::"]), [""; 0]);
    }

    #[test]
    fn other_sets_are_refused() {
        assert_eq!(Set::from_name("").unwrap(), Set::Usual);
        assert!(Set::from_name("kore").is_err());
    }
}
