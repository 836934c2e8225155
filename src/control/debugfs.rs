// SPDX-License-Identifier: GPL-2.0

//! The files in `vigil` in debugfs: `status` ([`super::status`]) and `incidents`.

use super::status::StatusFile;
use crate::{
    incident,
    sys::debugfs::{
        Folder,
        Text,
        TextFile, //
    }, //
};
use core::fmt;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The files. Each waits for running reads when it is dropped.
pub(crate) struct DebugfsFiles {
    _status: TextFile<StatusFile>,
    _incidents: TextFile<IncidentsFile>,
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
        let incidents = Arc::new(IncidentsFile, GFP_KERNEL)?;
        Ok(Self {
            _status: TextFile::new(&folder, c"status", status)?,
            _incidents: TextFile::new(&folder, c"incidents", incidents)?,
        })
    }
}

/// `vigil/incidents`: the recent incidents, and how they ended.
struct IncidentsFile;

impl Text for IncidentsFile {
    // Of as many lines as there are places, with names and addresses of the greatest length.
    const MAX_LENGTH: usize = 32768;

    fn collect(&self) -> Result<impl FnOnce(&mut dyn fmt::Write) -> fmt::Result> {
        Ok(incident::table::write)
    }
}
