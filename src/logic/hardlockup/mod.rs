// SPDX-License-Identifier: GPL-2.0

//! Hard lockups: the decisions of both back ends.

pub mod buddy;
pub mod perf;
