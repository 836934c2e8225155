// SPDX-License-Identifier: GPL-2.0

//! Hung tasks.

pub(crate) mod thread;
