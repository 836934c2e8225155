// SPDX-License-Identifier: GPL-2.0

//! Hung tasks: when a task is hung, whether to scan for more, the table of tracked tasks, and which
//! root causes were reported, and the rules that select tasks.

pub mod causes;
pub mod check;
pub mod io_wait;
pub mod rules;
pub mod scan_policy;
pub mod table;
pub mod warnings;
