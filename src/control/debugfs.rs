// SPDX-License-Identifier: GPL-2.0

//! The files in `vigil` in debugfs: `status` ([`super::status`]), `incidents` and `waitgraph.dot`.

use super::status::StatusFile;
use crate::{
    detect::hung_task::ctx::HungTaskCtx,
    incident,
    logic::dot,
    sys::{
        clock::log_clock,
        debugfs::{
            Folder,
            Text,
            TextFile, //
        }, //
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
    _wait_graph: TextFile<WaitGraphFile>,
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
    pub(crate) fn register(status: Arc<StatusFile>, hung: Arc<HungTaskCtx>) -> Result<Self> {
        let folder = Arc::new(Folder::new(c"vigil")?, GFP_KERNEL)?;
        let incidents = Arc::new(IncidentsFile, GFP_KERNEL)?;
        let wait_graph = Arc::new(WaitGraphFile(hung), GFP_KERNEL)?;
        Ok(Self {
            _status: TextFile::new(&folder, c"status", status)?,
            _incidents: TextFile::new(&folder, c"incidents", incidents)?,
            _wait_graph: TextFile::new(&folder, c"waitgraph.dot", wait_graph)?,
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

/// `vigil/waitgraph.dot`: who waits for whom now, for Graphviz.
struct WaitGraphFile(Arc<HungTaskCtx>);

impl Text for WaitGraphFile {
    const MAX_LENGTH: usize = dot::MAX_TEXT;

    fn collect(&self) -> Result<impl FnOnce(&mut dyn fmt::Write) -> fmt::Result> {
        let graph = self.0.wait_graph()?;
        let now = log_clock();
        Ok(move |out: &mut dyn fmt::Write| dot::write_dot(out, graph.tasks(), graph.more, now))
    }
}
