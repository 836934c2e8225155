// SPDX-License-Identifier: GPL-2.0

//! The line of a report that says where a task runs.

use crate::{
    logic::messages::{
        TaskCgroup,
        TaskNsPid,
        TaskNsPidAndCgroup, //
    },
    sys::{
        cgroup,
        task, //
    }, //
};
use core::fmt;
use kernel::task::Task;

/// Prints the cgroup of a task, and its PID in its own PID namespace: of one that is in the root cgroup
/// and in the initial namespace nothing. `print_line`: prints it at the level of the report.
///
/// # Context
///
/// Any, NMI included.
// Not part of the caller's stack frame: it has a path in its own.
#[inline(never)]
pub(super) fn print(task: &Task, print_line: fn(fmt::Arguments<'_>)) {
    let id = task::id(task);
    match (task::ns_pid(task), cgroup::path_of(task)) {
        (None, None) => {}
        (None, Some(path)) => print_line(format_args!("{}", TaskCgroup { task: id, path })),
        (Some(pid), None) => print_line(format_args!("{}", TaskNsPid { task: id, pid })),
        (Some(pid), Some(path)) => print_line(format_args!(
            "{}",
            TaskNsPidAndCgroup {
                task: id,
                pid,
                path
            }
        )),
    }
}
