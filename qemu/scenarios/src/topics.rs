// SPDX-License-Identifier: GPL-2.0
//! The topics. A new one is a file in `topics/` and a line in [`all`].

use crate::scenario::Scenario;

mod beside;
mod bounds;
mod contract;
mod cpu_waits;
mod events;
mod hard_kinds;
mod hard_perf;
mod harness;
mod hung_causes;
mod hung_exit;
mod hung_knobs;
mod hung_many;
mod hung_mutex;
mod hung_not;
mod hung_other;
mod hung_pause;
mod hung_rtmutex;
mod hung_rules;
mod hung_rwsem;
mod hung_semaphore;
mod hung_stall;
mod hung_suspend;
mod hung_time;
mod hung_wait;
mod hung_where;
mod incidents;
mod injection;
mod kdump;
mod kernel_names;
mod knobs;
mod kunit;
mod lockup_hotplug;
mod lockup_pause;
mod lockup_stall;
mod lockup_suspend;
mod log_readers;
mod module;
mod panics;
mod pauses;
mod reports;
mod smoke;
mod soak;
mod soak_judge;
mod soak_random;
mod soft_kinds;
mod soft_knobs;
mod vigilctl;

/// All topics with their scenarios.
pub(crate) fn all() -> Vec<(&'static str, Vec<Scenario>)> {
    vec![
        ("harness", harness::scenarios()),
        ("beside", beside::scenarios()),
        ("bounds", bounds::scenarios()),
        ("contract", contract::scenarios()),
        ("cpu_waits", cpu_waits::scenarios()),
        ("events", events::scenarios()),
        ("hard_kinds", hard_kinds::scenarios()),
        ("hard_perf", hard_perf::scenarios()),
        ("hung_causes", hung_causes::scenarios()),
        ("hung_exit", hung_exit::scenarios()),
        ("hung_knobs", hung_knobs::scenarios()),
        ("hung_many", hung_many::scenarios()),
        ("hung_mutex", hung_mutex::scenarios()),
        ("hung_not", hung_not::scenarios()),
        ("hung_other", hung_other::scenarios()),
        ("hung_pause", hung_pause::scenarios()),
        ("hung_rtmutex", hung_rtmutex::scenarios()),
        ("hung_rules", hung_rules::scenarios()),
        ("hung_rwsem", hung_rwsem::scenarios()),
        ("hung_semaphore", hung_semaphore::scenarios()),
        ("hung_suspend", hung_suspend::scenarios()),
        ("hung_time", hung_time::scenarios()),
        ("hung_wait", hung_wait::scenarios()),
        ("hung_where", hung_where::scenarios()),
        ("incidents", incidents::scenarios()),
        ("injection", injection::scenarios()),
        ("kdump", kdump::scenarios()),
        ("kernel_names", kernel_names::scenarios()),
        ("knobs", knobs::scenarios()),
        ("kunit", kunit::scenarios()),
        ("lockup_hotplug", lockup_hotplug::scenarios()),
        ("lockup_pause", lockup_pause::scenarios()),
        ("lockup_suspend", lockup_suspend::scenarios()),
        ("log_readers", log_readers::scenarios()),
        ("module", module::scenarios()),
        ("panics", panics::scenarios()),
        ("pauses", pauses::scenarios()),
        ("smoke", smoke::scenarios()),
        ("soak", soak::scenarios()),
        ("soft_kinds", soft_kinds::scenarios()),
        ("soft_knobs", soft_knobs::scenarios()),
        ("vigilctl", vigilctl::scenarios()),
    ]
}
