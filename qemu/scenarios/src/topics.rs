// SPDX-License-Identifier: GPL-2.0
//! The topics. A new one is a file in `topics/` and a line in [`all`].

use crate::scenario::Scenario;

mod bench;
mod contract;
mod hung_exit;
mod hung_knobs;
mod hung_many;
mod hung_mutex;
mod hung_not;
mod hung_other;
mod hung_pause;
mod hung_rwsem;
mod hung_semaphore;
mod hung_stall;
mod hung_suspend;
mod hung_time;
mod knobs;
mod module;

/// All topics with their scenarios.
pub(crate) fn all() -> Vec<(&'static str, Vec<Scenario>)> {
    vec![
        ("bench", bench::scenarios()),
        ("contract", contract::scenarios()),
        ("hung_exit", hung_exit::scenarios()),
        ("hung_knobs", hung_knobs::scenarios()),
        ("hung_many", hung_many::scenarios()),
        ("hung_mutex", hung_mutex::scenarios()),
        ("hung_not", hung_not::scenarios()),
        ("hung_other", hung_other::scenarios()),
        ("hung_pause", hung_pause::scenarios()),
        ("hung_rwsem", hung_rwsem::scenarios()),
        ("hung_semaphore", hung_semaphore::scenarios()),
        ("hung_suspend", hung_suspend::scenarios()),
        ("hung_time", hung_time::scenarios()),
        ("knobs", knobs::scenarios()),
        ("module", module::scenarios()),
    ]
}
