// SPDX-License-Identifier: GPL-2.0
//! The artifacts: the folder with everything that a guest is booted from.

use crate::{arch::Arch, error::BootError};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Name of the environment variable that says where the artifacts folder is.
const VARIABLE: &str = "VIGIL_ARTIFACTS";

/// A folder that `make` fills, one for each kernel (links are fine):
///
/// ```text
/// vmlinuz           the kernel
/// guest.cpio        the image that scripts/guest-image made
/// vigil.ko          the module                          (may be missing)
/// vigil_provoke.ko  the module that provokes stalls     (may be missing)
/// release           what uname -r prints in the guest   (may be missing)
/// config            what the kernel was built with      (may be missing)
/// arch              what uname -m prints in the guest   (x86_64 if missing)
/// stock/            modules of the kernel's own         (each may be missing)
/// kdump/            the crash kernel and its tools      (may be missing)
/// logs/             consoles of the guests
/// dumps/            crash dumps of the guests
/// ```
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// The folder that `VIGIL_ARTIFACTS` names.
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

    /// The artifacts in `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The path of a file in the folder, if it exists.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        path.is_file().then_some(path)
    }

    /// The path of a module of the kernel's own, such as `null_blk.ko`, if it is there: the kernel may
    /// lack it, or have it built in.
    pub fn stock_module(&self, name: &str) -> Option<PathBuf> {
        self.file(&format!("stock/{name}"))
    }

    /// The path of a file that every guest needs to boot.
    pub(crate) fn need(&self, name: &str) -> Result<PathBuf, BootError> {
        self.file(name)
            .ok_or_else(|| BootError::new(format!("{} has no {name}", self.folder.display())))
    }

    /// The modules that exist in the folder, to be put into the guest.
    pub fn modules(&self) -> Vec<PathBuf> {
        ["vigil.ko", "vigil_provoke.ko"]
            .into_iter()
            .filter_map(|name| self.file(name))
            .collect()
    }

    /// What `uname -r` says in the guest, if the folder says so.
    pub fn release(&self) -> Option<String> {
        let text = fs::read_to_string(self.folder.join("release")).ok()?;
        Some(text.trim().to_owned())
    }

    /// The architecture that the kernel is for.
    ///
    /// # Errors
    ///
    /// When the harness does not support it.
    pub fn arch(&self) -> Result<Arch, BootError> {
        let Some(path) = self.file("arch") else {
            return Ok(Arch::X86_64);
        };
        let name = fs::read_to_string(&path)
            .map_err(|error| BootError::io(&path.to_string_lossy(), &error))?;
        let name = name.trim();
        Arch::from_name(name).ok_or_else(|| {
            let path = path.display();
            BootError::new(format!("{path} names no known architecture: '{name}'"))
        })
    }

    /// Whether the kernel was built with an option: `CONFIG_KUNIT`, not as a
    /// module, or with a value, `CONFIG_KUNIT=m`.
    pub fn kernel_has(&self, option: &str) -> bool {
        let wanted = if option.contains('=') {
            option.to_owned()
        } else {
            format!("{option}=y")
        };
        fs::read_to_string(self.folder.join("config"))
            .is_ok_and(|config| config.lines().any(|line| line == wanted))
    }

    /// How many times slower than a stock kernel this kernel is, roughly: all time limits
    /// are multiplied by it. A kernel with KASAN or lockdep is about four times slower.
    pub fn slowdown(&self) -> u32 {
        if self.kernel_has("CONFIG_KASAN") || self.kernel_has("CONFIG_PROVE_LOCKING") {
            4
        } else {
            1
        }
    }

    /// The folder for the consoles of guests.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The files that a guest needs to leave a crash dump: scripts/kdump-dir makes them.
    pub(crate) fn kdump_files(&self) -> Result<Vec<PathBuf>, BootError> {
        let folder = self.folder.join("kdump");
        let entries = fs::read_dir(&folder)
            .map_err(|error| BootError::io(&folder.to_string_lossy(), &error))?;
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(files.filter(|path| !path.ends_with("stamp")).collect())
    }

    /// The folder for the crash dumps of guests.
    pub fn dumps(&self) -> PathBuf {
        self.folder.join("dumps")
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
