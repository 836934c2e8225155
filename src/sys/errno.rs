// SPDX-License-Identifier: GPL-2.0

//! Error codes that [`kernel::error::code`] has since 7.3 and lacks in 7.2, the oldest kernel that
//! vigil builds for.

use kernel::{
    bindings,
    error::Error, //
};

/// `ENODATA`: no data available.
pub(crate) fn enodata() -> Error {
    Error::from_errno(-(bindings::ENODATA as i32))
}

/// `EOPNOTSUPP`: the operation is not supported.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as i32))
}
