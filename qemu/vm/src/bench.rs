// SPDX-License-Identifier: GPL-2.0
//! The folder with everything that a guest is booted from.

use crate::{dump, Arch, BootError};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Name of the environment variable that says where the bench is.
const VARIABLE: &str = "VIGIL_BENCH";

/// A folder that `make` fills, one for each kernel (links are fine):
///
/// ```text
/// vmlinuz           the kernel
/// guest.cpio        the image that scripts/guest-image made
/// vigil.ko          the module                          (may be missing)
/// vigil_provoke.ko  the module that makes things hang   (may be missing)
/// release           what uname -r says there            (may be missing)
/// config            what the kernel was built with      (may be missing)
/// arch              what uname -m says there            (x86_64 if missing)
/// kdump/            what a guest needs to leave a dump  (may be missing)
/// logs/             consoles of the guests
/// dumps/            what they left when they panicked
/// ```
#[derive(Clone, Debug)]
pub struct Bench {
    folder: PathBuf,
}

impl Bench {
    /// The bench that `VIGIL_BENCH` names.
    ///
    /// # Errors
    ///
    /// When that is not set.
    pub fn from_env() -> Result<Self, BootError> {
        env::var_os(VARIABLE).map(Self::at).ok_or_else(|| {
            BootError::new(format!(
                "{VARIABLE} is not set: it names the folder with vmlinuz and guest.cpio"
            ))
        })
    }

    /// The bench in that folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// A file of the bench, if it is there.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        path.is_file().then_some(path)
    }

    /// A file of the bench without which nothing boots.
    pub(crate) fn need(&self, name: &str) -> Result<PathBuf, BootError> {
        self.file(name)
            .ok_or_else(|| BootError::new(format!("{} has no {name}", self.folder.display())))
    }

    /// The modules that are there, to be put into the guest.
    pub fn modules(&self) -> Vec<PathBuf> {
        ["vigil.ko", "vigil_provoke.ko"]
            .into_iter()
            .filter_map(|name| self.file(name))
            .collect()
    }

    /// What `uname -r` says in the guest, if the bench knows.
    pub fn release(&self) -> Option<String> {
        let text = fs::read_to_string(self.folder.join("release")).ok()?;
        Some(text.trim().to_owned())
    }

    /// What kind of machine the kernel is for.
    ///
    /// # Errors
    ///
    /// When it is none that the harness knows.
    pub fn arch(&self) -> Result<Arch, BootError> {
        let Some(path) = self.file("arch") else {
            return Ok(Arch::X86_64);
        };
        let name = fs::read_to_string(&path)
            .map_err(|error| BootError::io(&path.to_string_lossy(), &error))?;
        let name = name.trim();
        Arch::from_name(name).ok_or_else(|| {
            let path = path.display();
            BootError::new(format!("{path} names no known kind of machine: '{name}'"))
        })
    }

    /// Whether the kernel was built with an option, such as `CONFIG_KUNIT`; not
    /// as a module.
    pub fn kernel_has(&self, option: &str) -> bool {
        fs::read_to_string(self.folder.join("config"))
            .is_ok_and(|config| config.lines().any(|line| line == format!("{option}=y")))
    }

    /// How much slower than a stock kernel this one is, roughly: what all limits
    /// are multiplied by. One that checks every memory access and every lock
    /// needs patience.
    pub fn pace(&self) -> u32 {
        if self.kernel_has("CONFIG_KASAN") || self.kernel_has("CONFIG_PROVE_LOCKING") {
            4
        } else {
            1
        }
    }

    /// Where the consoles of guests are kept.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// What a guest needs to leave a crash dump.
    pub(crate) fn kdump_files(&self) -> Result<Vec<PathBuf>, BootError> {
        let folder = self.folder.join(dump::FOLDER);
        let entries = fs::read_dir(&folder)
            .map_err(|error| BootError::io(&folder.to_string_lossy(), &error))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(files.filter(|path| !path.ends_with("stamp")).collect())
    }

    /// Where the dumps of guests are kept.
    pub fn dumps(&self) -> PathBuf {
        self.folder.join("dumps")
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
