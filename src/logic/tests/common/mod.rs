// SPDX-License-Identifier: GPL-2.0

//! What the property tests share.

use proptest::{prelude::ProptestConfig, test_runner::RngSeed};

/// How often to try: as proptest's `PROPTEST_CASES` says, and only a few times under Miri, which
/// is slow and has neither environment nor files. Nothing is written next to the tests: a failure
/// prints its smallest input, which belongs into a test of its own.
///
/// The cases are the same ones each time, unless `PROPTEST_RNG_SEED` says others: a run of the
/// tests judges a change, and nothing else. New cases are looked for by `make soak`.
pub fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: if cfg!(miri) { 6 } else { usual.cases },
        rng_seed: match usual.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            given => given,
        },
        failure_persistence: None,
        ..usual
    }
}
