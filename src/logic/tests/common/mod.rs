// SPDX-License-Identifier: GPL-2.0

//! What the property tests share.

use proptest::prelude::ProptestConfig;

/// How often to try: as proptest's `PROPTEST_CASES` says, and only a few times under Miri, which
/// is slow and has neither environment nor files. Nothing is written next to the tests: a failure
/// prints its smallest input, which belongs into a test of its own.
pub fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: if cfg!(miri) { 6 } else { usual.cases },
        failure_persistence: None,
        ..usual
    }
}
