// SPDX-License-Identifier: GPL-2.0

//! What user space sees and changes: the sysctl files, `vigil/status`, and the lines at load.

#![deny(unsafe_code)]

pub(crate) mod in_tree;
pub(crate) mod inherit;
pub(crate) mod kernel_names;
pub(crate) mod load_message;
pub(crate) mod status;
pub(crate) mod sysctl;
