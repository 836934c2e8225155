// SPDX-License-Identifier: GPL-2.0
//! A virtio-serial port.
//!
//! The port's interrupt may be routed to a CPU that is stuck with interrupts off, so every
//! wait has a timeout, after which the port is read again. The driver takes data out of the
//! queue on a read as well as on an interrupt.

use anyhow::{bail, Context};
use nix::{
    libc,
    poll::{poll, PollFd, PollFlags, PollTimeout},
};
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use vigil_wire::frame;

/// An open port. It can be open only once in the whole guest.
pub(crate) struct Port {
    file: File,
    /// Held while one frame is written.
    sending: Mutex<()>,
}

impl Port {
    /// Opens the port of that name, waiting for the host to announce it.
    pub(crate) fn open(name: &str) -> anyhow::Result<Self> {
        for _ in 0..3000 {
            if let Some(device) = find(name) {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(libc::O_NONBLOCK)
                    .open(&device)
                    .with_context(|| format!("cannot open {}", device.display()))?;
                let sending = Mutex::new(());
                return Ok(Self { file, sending });
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("there is no virtio port called {name}")
    }

    /// Reads what is there; 0 when there is nothing.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match (&self.file).read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    /// Sends one frame.
    pub(crate) fn send<T: Serialize>(&self, message: &T, blob: &[u8]) -> io::Result<()> {
        let bytes = frame::encode(message, blob)?;
        let _sending: MutexGuard<'_, ()> =
            self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match (&self.file).write(rest) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut fds, PollTimeout::from(10_u8));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The device of the port that the host gave this name. There is no udev here
/// that would have made a link.
fn find(name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports.flatten().find_map(|port| {
        let said = fs::read_to_string(port.path().join("name")).ok()?;
        (said.trim_end() == name).then(|| PathBuf::from("/dev").join(port.file_name()))
    })
}
