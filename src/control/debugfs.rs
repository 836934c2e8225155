// SPDX-License-Identifier: GPL-2.0

//! The files in `vigil` in debugfs: `status` ([`super::status`]).

use super::status::StatusFile;
use crate::sys::debugfs::{
    Folder,
    TextFile, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The files. Each waits for running reads when it is dropped.
pub(crate) struct DebugfsFiles {
    _status: TextFile<StatusFile>,
}

impl DebugfsFiles {
    /// Makes the folder and the files.
    ///
    /// # Errors
    ///
    /// As [`Folder::new`] and [`TextFile::new`].
    ///
    /// # Context
    ///
    /// Process context, may sleep; to be dropped there too.
    pub(crate) fn register(status: Arc<StatusFile>) -> Result<Self> {
        let folder = Arc::new(Folder::new(c"vigil")?, GFP_KERNEL)?;
        Ok(Self {
            _status: TextFile::new(&folder, c"status", status)?,
        })
    }
}
