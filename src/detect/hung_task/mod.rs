// SPDX-License-Identifier: GPL-2.0

//! The hung-task detector: tasks that stay in uninterruptible sleep for too long.
//!
//! - [`thread`]: the thread `vigild/hung`, its loop and its wait for a panic;
//! - [`scan`]: the table of tracked tasks, the check of them, and the scan for more;
//! - [`blocker`]: the lock that a hung task waits for, and the lock's owner;
//! - [`graph`]: who waits behind whom;
//! - [`graph_request`]: the same for readers of `vigil/waitgraph.dot`;
//! - [`causes`]: the root causes, and their reports;
//! - [`rules`]: which tasks are ignored, and which may make a panic;
//! - [`io_wait`]: waits for I/O, which the kernel interrupts now and then;
//! - [`unpaused`]: the time that a task's age is measured in;
//! - [`ctx`]: what the thread shares with the knobs, the suspend notifier and `status`.

mod blocker;
mod causes;
pub(crate) mod ctx;
mod graph;
pub(crate) mod graph_request;
pub(crate) mod io_wait;
mod rules;
mod scan;
pub(crate) mod thread;
mod unpaused;
