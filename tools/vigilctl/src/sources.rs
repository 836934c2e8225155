// SPDX-License-Identifier: GPL-2.0
//! The module's files in procfs and debugfs.

use crate::{failure::Failure, status::Status};
use anyhow::{anyhow, Context, Result};
use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

/// The folder of the knobs.
pub(crate) const KNOBS: &str = "/proc/sys/vigil";
/// The folder in debugfs.
const DEBUGFS: &str = "/sys/kernel/debug/vigil";

/// Whether the module is loaded.
pub(crate) fn is_loaded() -> bool {
    Path::new(KNOBS).is_dir()
}

/// # Errors
///
/// [`Failure::NotLoaded`] if the module is not loaded.
pub(crate) fn ensure_loaded() -> Result<(), Failure> {
    if is_loaded() {
        Ok(())
    } else {
        Err(Failure::NotLoaded)
    }
}

/// The text of a file in `vigil` of debugfs.
///
/// # Errors
///
/// [`Failure::NotLoaded`], or [`Failure::NotPermitted`] to others than root.
pub(crate) fn debugfs(name: &str) -> Result<String> {
    ensure_loaded()?;
    let path = format!("{DEBUGFS}/{name}");
    match fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(Failure::NotPermitted(format!("only root can read {path}")).into())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(anyhow!(
            "there is no {path}: is debugfs mounted on /sys/kernel/debug?"
        )),
        Err(error) => Err(error).with_context(|| format!("cannot read {path}")),
    }
}

/// The file `vigil/status`.
///
/// # Errors
///
/// As [`debugfs`]; or it cannot be understood.
pub(crate) fn status() -> Result<Status> {
    Status::parse(&debugfs("status")?)
}

fn knob_path(name: &str) -> PathBuf {
    Path::new(KNOBS).join(name)
}

/// A knob's value as text.
///
/// # Errors
///
/// [`Failure::NotLoaded`]; or the file cannot be read.
pub(crate) fn knob(name: &str) -> Result<String> {
    ensure_loaded()?;
    let path = knob_path(name);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Writes a knob, with one write(2).
///
/// # Errors
///
/// As the kernel says.
pub(crate) fn set_knob(name: &str, value: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(knob_path(name))?;
    // A write of nothing would not reach the knob.
    file.write_all(format!("{value}\n").as_bytes())
}
