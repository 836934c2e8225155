// SPDX-License-Identifier: GPL-2.0
//! QEMU's control socket.

use crate::error::{BootError, Error, Result};
use qapi::{qmp, Command, Qmp, Stream};
use std::{
    fmt,
    io::{BufRead, BufReader},
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
    time::Duration,
};

type Connection = Qmp<Stream<BufReader<UnixStream>, UnixStream>>;

/// How long QEMU may take for a command. Dumping the memory is the longest.
const ANSWER: Duration = Duration::from_secs(60);

/// The connection to one QEMU.
pub(crate) struct Control {
    connection: Mutex<Connection>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control")
    }
}

impl Control {
    /// Connects to QEMU, which has opened its side when this returns.
    pub(crate) fn connect(socket: UnixStream) -> Result<Self, BootError> {
        let failed =
            |error: &dyn fmt::Display| BootError::new(format!("no QMP with QEMU: {error}"));
        socket
            .set_read_timeout(Some(ANSWER))
            .map_err(|error| failed(&error))?;
        let reading = socket.try_clone().map_err(|error| failed(&error))?;
        let mut connection = Qmp::new(Stream::new(BufReader::new(reading), socket));
        // handshake() panics at the end of the stream, which is what it finds when QEMU has
        // ended: check before.
        let greeting = connection
            .inner_mut()
            .fill_buf()
            .map_err(|error| failed(&error))?;
        if greeting.is_empty() {
            return Err(failed(&"QEMU ended"));
        }
        connection.handshake().map_err(|error| failed(&error))?;
        let connection = Mutex::new(connection);
        Ok(Self { connection })
    }

    /// Has QEMU execute a command.
    pub(crate) fn execute<C: Command>(&self, command: &C) -> Result<C::Ok> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .execute(command)
            .map_err(|error| Error::Qmp(error.to_string()))
    }

    /// Has QEMU's monitor execute a command of its human interface.
    pub(crate) fn monitor(&self, command: &str) -> Result<String> {
        self.execute(&qmp::human_monitor_command {
            command_line: command.to_owned(),
            cpu_index: None,
        })
    }
}
