// SPDX-License-Identifier: GPL-2.0
//! The topics. A new one is a file in `topics/` and a line in [`all`].

use crate::scenario::Scenario;

mod bench;
mod contract;
mod hard_kinds;
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
mod lockup_hotplug;
mod lockup_pause;
mod lockup_stall;
mod module;
mod soft_kinds;
mod soft_knobs;

/// All topics with their scenarios.
pub(crate) fn all() -> Vec<(&'static str, Vec<Scenario>)> {
    vec![
        ("bench", bench::scenarios()),
        ("contract", contract::scenarios()),
        ("hard_kinds", hard_kinds::scenarios()),
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
        ("lockup_hotplug", lockup_hotplug::scenarios()),
        ("lockup_pause", lockup_pause::scenarios()),
        ("module", module::scenarios()),
        ("soft_kinds", soft_kinds::scenarios()),
        ("soft_knobs", soft_knobs::scenarios()),
    ]
}
