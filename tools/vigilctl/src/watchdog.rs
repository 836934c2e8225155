// SPDX-License-Identifier: GPL-2.0
//! A watchdog device (`Documentation/watchdog/watchdog-api.rst`).

use anyhow::{Context, Result};
use nix::libc::c_int;
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::fd::AsRawFd,
    path::Path,
    time::Duration,
};

mod ioctl {
    use nix::libc::c_int;

    nix::ioctl_readwrite!(set_timeout, b'W', 6, c_int);
    nix::ioctl_read!(get_timeout, b'W', 7, c_int);
}

/// A device that is open, and so counts down. If it is dropped without [`Watchdog::stop`], it goes on
/// counting and resets the machine.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: File,
    timeout: Duration,
}

impl Watchdog {
    /// Opens a device and sets its timeout, which the device may round.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, as when another program has it, or does not take the timeout.
    pub(crate) fn open(path: &Path, timeout: Duration) -> Result<Self> {
        let name = path.display();
        let device = OpenOptions::new()
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open {name}"))?;
        let mut this = Self {
            device,
            timeout: Duration::ZERO,
        };
        if let Err(error) = this.set_timeout(timeout) {
            // It was not armed for long: the error is what matters.
            let _ = this.stop();
            let secs = timeout.as_secs();
            return Err(error)
                .with_context(|| format!("{name} does not take a timeout of {secs} s"));
        }
        Ok(this)
    }

    fn set_timeout(&mut self, timeout: Duration) -> nix::Result<()> {
        let mut secs = c_int::try_from(timeout.as_secs()).unwrap_or(c_int::MAX);
        let fd = self.device.as_raw_fd();
        // SAFETY: The device is open, and the ioctl reads and writes one `int`.
        #[allow(unsafe_code)]
        unsafe {
            ioctl::set_timeout(fd, &mut secs)?;
        }
        // What it is now, which is not in the number of each driver.
        // SAFETY: The device is open, and the ioctl writes one `int`.
        #[allow(unsafe_code)]
        unsafe {
            ioctl::get_timeout(fd, &mut secs)?;
        }
        self.timeout = Duration::from_secs(u64::try_from(secs).unwrap_or(1).max(1));
        Ok(())
    }

    /// After how long without [`Watchdog::feed`] it resets the machine.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Has it begin anew.
    ///
    /// # Errors
    ///
    /// If the device does not take the write.
    pub(crate) fn feed(&mut self) -> Result<()> {
        self.device
            .write_all(b"\0")
            .context("cannot feed the watchdog device")
    }

    /// Stops it, by the magic close. A driver with `nowayout` goes on.
    ///
    /// # Errors
    ///
    /// If the device does not take the write.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.device
            .write_all(b"V")
            .context("cannot stop the watchdog device")
    }
}
