// SPDX-License-Identifier: GPL-2.0
//! What every topic needs.

// Not each of these is used by today's topics.
#![allow(unused_imports)]

pub(crate) use crate::{
    context::Cx,
    machine,
    scenario::{secs, Scenario, Verdict},
    status::{pattern, pattern_of, within_line, Status},
};
pub(crate) use anyhow::{anyhow, bail, ensure, Context as _};
pub(crate) use std::time::{Duration, Instant};
pub(crate) use vigil_klog::Splat;
pub(crate) use vigil_logic::messages::{self, status as key};
pub(crate) use vigil_vm::{
    qapi::qmp, Arch, Artifacts, Config, Errno, Error, Job, LogLine, Mark, Output, Vm,
};
