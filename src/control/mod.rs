// SPDX-License-Identifier: GPL-2.0

//! What user space sees and changes: the sysctl files, the files in debugfs, and the lines at load.

#![deny(unsafe_code)]

pub(crate) mod debugfs;
pub(crate) mod in_tree;
pub(crate) mod inherit;
pub(crate) mod kernel_names;
pub(crate) mod load_message;
pub(crate) mod status;
pub(crate) mod sysctl;
