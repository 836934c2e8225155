// SPDX-License-Identifier: GPL-2.0

//! What user space sees and changes: the files of the knobs, and `status`.

#![deny(unsafe_code)]

pub(crate) mod status;
pub(crate) mod sysctl;
