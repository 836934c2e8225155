// SPDX-License-Identifier: GPL-2.0

//! Hung tasks: when a task is hung, whether to scan for more, and the table of tracked tasks.

pub mod check;
pub mod scan_policy;
pub mod table;
pub mod warnings;
