// SPDX-License-Identifier: GPL-2.0

//! Hard lockups.

pub(crate) mod perf;
