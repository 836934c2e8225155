// SPDX-License-Identifier: GPL-2.0
//! Errors that have an exit status of their own.

/// Why something cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The module is not loaded.
    #[error("the module vigil is not loaded")]
    NotLoaded,
    /// The module is loaded, and has no netlink family that can be seen from here.
    #[error(
        "there are no netlink events here: the log says why, or this is not the initial network \
         namespace"
    )]
    NoFamily,
    /// The caller may not do it.
    #[error("{0}")]
    NotPermitted(String),
}
