// SPDX-License-Identifier: GPL-2.0
//! The messages. Bytes marked "blob" travel beside the message, in its frame.

use serde::{Deserialize, Serialize};

/// Changes whenever a message changes: the image in use may be an old one.
pub const VERSION: u32 = 2;

/// Name of the virtio port for requests and answers.
pub const AGENT_PORT: &str = "vigil.agent";

/// Word of the kernel's command line that says which CPU the agent stays on.
pub const CPU_WORD: &str = "vigil_agent_cpu=";

/// Name of the virtio port that carries the kernel's log.
pub const LOG_PORT: &str = "vigil.log";

/// Name of the virtio port that the crash kernel writes its dump to: see
/// scripts/capture-image.
pub const DUMP_PORT: &str = "vigil.dump";

/// From the harness to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGuest {
    /// Run the blob with `/bin/sh` as root. Answered by any number of
    /// [`FromGuest::Output`] and one [`FromGuest::Exit`].
    Run {
        /// The harness' number for this job.
        job: u32,
        /// Where its output goes.
        sink: Sink,
        /// The only CPU that it may use; none for all.
        cpu: Option<usize>,
    },
    /// Send SIGKILL to the process group of a job.
    Kill {
        /// Which job.
        job: u32,
    },
    /// Read a file. Answered by [`FromGuest::Done`].
    Read {
        /// The harness' number for this call.
        call: u32,
        /// The file.
        path: String,
    },
    /// Write the blob to an existing file with a single write(2).
    /// Answered by [`FromGuest::Done`].
    Write {
        /// The harness' number for this call.
        call: u32,
        /// The file.
        path: String,
    },
    /// Send everything that the kernel's log holds by now.
    /// Answered by [`FromGuest::LogSent`].
    SendLog {
        /// The harness' number for this call.
        call: u32,
    },
}

/// Where a job's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sink {
    /// To the harness, standard output and standard error merged.
    Harness,
    /// To the console, with nothing on standard input.
    Console,
    /// To the console, which is standard input as well.
    Terminal,
}

/// From the agent to the harness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromGuest {
    /// The first message: the guest is up.
    Hello {
        /// The agent's [`VERSION`].
        version: u32,
    },
    /// Output of a job: the blob.
    Output {
        /// Which job.
        job: u32,
    },
    /// A job's shell ended; all of its own output was sent before.
    Exit {
        /// Which job.
        job: u32,
        /// Exit status as a shell has it: 128 + signal for a killed one.
        status: i32,
    },
    /// A call ended. The blob is what was read.
    Done {
        /// Which call.
        call: u32,
        /// The error number; 0 when it went well.
        errno: i32,
    },
    /// What the log held was sent through the log port.
    LogSent {
        /// Which call.
        call: u32,
        /// Sequence number of the last record sent, if any ever was.
        last: Option<u64>,
    },
}

/// Records of the kernel's log, as /dev/kmsg gives them, one after the other in
/// the blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecords {
    /// Length of each record in the blob, in bytes.
    pub lengths: Vec<u32>,
    /// Whether the kernel overwrote records before these could be read.
    pub lost: bool,
}
