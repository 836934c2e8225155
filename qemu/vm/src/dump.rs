// SPDX-License-Identifier: GPL-2.0
//! Crash dumps: a guest that leaves one when it panics.
//!
//! The kernel that panics starts a crash kernel, which kexec loaded into reserved memory
//! before. The crash kernel's init (scripts/capture-image) writes the dump of the first
//! kernel's memory to a virtio port, whose other end is a file on the host, and reports the
//! result on the console.

use crate::{
    console::Console,
    error::{Error, Result},
    flattened,
    vm::Vm,
};
use qapi::qmp;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// The crash kernel's command line, besides its console. One CPU, since each costs
/// memory; `reset_devices`, since the panic leaves devices in any state.
const CRASH_WORDS: &str = "panic=-1 nokaslr nr_cpus=1 reset_devices";

/// How long the crash kernel may take to start its init; usually it takes 6 s.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How long its init may take to write the dump; usually it takes 3 s.
const CAPTURE_LIMIT: Duration = Duration::from_secs(90);

/// Prefix of the lines that the crash kernel's init prints.
const PREFIX: &str = "vigil-capture: ";

/// Lines of the console that an error shows.
const TAIL: usize = 12;

/// The dump of a guest that panicked.
#[derive(Clone, Debug)]
pub struct Dump {
    /// The console's text from the panic to the start of the crash kernel.
    pub panic: String,
    /// The dump in makedumpfile's flattened format, as it came through the port.
    pub flattened: PathBuf,
    /// The dump for `drgn`, `crash` and the like.
    pub vmcore: PathBuf,
    /// The steps to the dump in their order, and how long each took in real time.
    pub stages: Vec<Stage>,
}

/// A step to a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What was reached at its end.
    pub what: &'static str,
    /// Real time since the end of the step before.
    pub took: Duration,
}

/// Why there is no dump: one variant for each step that can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The first kernel did not panic.
    #[error("the guest's kernel never panicked: {how}")]
    NeverPanicked {
        /// What it did instead.
        how: String,
    },
    /// It did, but no crash kernel started.
    #[error("the guest's kernel panicked, but no crash kernel started: {how}; the console ends with:\n{tail}")]
    NoCrashKernel {
        /// What happened instead.
        how: String,
        /// The console's last lines.
        tail: String,
    },
    /// The crash kernel started, but wrote no dump.
    #[error("the crash kernel started, but its capture failed: {said}")]
    CaptureFailed {
        /// The message of the crash kernel's init, if there was one.
        said: String,
    },
    /// The crash kernel wrote its dump, but the file on the host is not complete.
    #[error("the crash kernel wrote its dump, but what arrived is not complete: {why}")]
    Incomplete {
        /// What is wrong with it.
        why: String,
    },
    /// Something else went wrong.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        Self::Other(error.into())
    }
}

impl Dump {
    /// Removes both files: the dump of a guest of 1 GiB has some 40 MB.
    ///
    /// # Errors
    ///
    /// When they cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.flattened)?;
        fs::remove_file(&self.vmcore)
    }
}

impl Vm {
    /// Loads the crash kernel, with a userspace that writes the dump. Needs a guest with
    /// [`crate::Config::kdump`]. `words` are added to the crash kernel's command line.
    ///
    /// # Errors
    ///
    /// [`Error::Script`] when the kernel refuses it.
    pub fn arm_kdump(&self, words: &str) -> Result<()> {
        self.dump_path()?;
        let console = self.arch().serial();
        // kexec_file_load() is a configuration option of the kernel.
        let call = match self.artifacts().kernel_has("CONFIG_KEXEC_FILE") {
            true => "-s",
            false => "-c",
        };
        let load = format!(
            "LD_LIBRARY_PATH=/vm /vm/kexec -p {call} /vm/vmlinuz --initrd=/vm/capture.cpio \
             --command-line='console={console} {CRASH_WORDS} {words}'"
        );
        self.sh_ok(&load)?;
        // kexec's exit status alone is not enough.
        let loaded = self.read("/sys/kernel/kexec_crash_loaded")?;
        if loaded.trim() == "1" {
            Ok(())
        } else {
            Err(Error::Missing(
                "kexec succeeded, but the guest's kernel says that no crash kernel is loaded"
                    .into(),
            ))
        }
    }

    /// Has the host dump the guest's memory, as it is now, into a file: the guest's kernel
    /// has no part in it, and lives on afterwards. `kdump-zlib`, which QEMU writes in
    /// makedumpfile's flattened format, is made an ordinary dump.
    ///
    /// # Errors
    ///
    /// [`Error::Qmp`] when QEMU refuses; see also [`DumpError`].
    pub fn host_dump(
        &self,
        file: &Path,
        format: qmp::DumpGuestMemoryFormat,
    ) -> Result<(), DumpError> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let written = file.with_extension("host");
        self.qmp(&qmp::dump_guest_memory {
            begin: None,
            detach: None,
            format: Some(format),
            length: None,
            paging: false,
            protocol: format!("file:{}", written.display()),
        })?;
        if format == qmp::DumpGuestMemoryFormat::kdump_zlib {
            rearrange(&written, file)?;
            return Ok(fs::remove_file(&written)?);
        }
        Ok(fs::rename(&written, file)?)
    }

    /// Waits for the guest to panic, `limit` at most, and for its dump. Each of the crash kernel's steps
    /// may take as long, if that is longer than usual: for slow guests. The guest is gone afterwards.
    ///
    /// # Errors
    ///
    /// See [`DumpError`].
    pub fn wait_dump(&self, limit: Duration) -> Result<Dump, DumpError> {
        self.wait_dump_with(limit, |_| ())
    }

    /// The same, and calls `passed` at the end of each stage.
    ///
    /// # Errors
    ///
    /// See [`DumpError`].
    pub fn wait_dump_with(
        &self,
        limit: Duration,
        mut passed: impl FnMut(&Stage),
    ) -> Result<Dump, DumpError> {
        let flattened = self.dump_path()?.to_owned();
        let mut stages = Vec::new();
        let mut before = Instant::now();
        let mut pass = |what| {
            let stage = Stage {
                what,
                took: before.elapsed(),
            };
            before = Instant::now();
            passed(&stage);
            stages.push(stage);
        };
        let console = self.console();

        self.until(limit, || console.panic().is_some())
            .map_err(|how| DumpError::NeverPanicked { how })?;
        self.panic_is_awaited();
        pass("panic");

        let start_limit = limit.max(START_LIMIT);
        self.until(start_limit, || said(&console, "started").is_some())
            .map_err(|how| {
                let tail = console.tail(TAIL);
                if crash_kernel(&console).is_none() {
                    DumpError::NoCrashKernel { how, tail }
                } else {
                    let said = format!("it did not get to its first program: {how}; the console ends with:\n{tail}");
                    DumpError::CaptureFailed { said }
                }
            })?;
        pass("capture kernel up");

        let end = || said(&console, "done").or_else(|| said(&console, "failed"));
        let capture_limit = limit.max(CAPTURE_LIMIT);
        self.until(capture_limit, || end().is_some())
            .map_err(|how| {
                let tail = console.tail(TAIL);
                let said = format!("it came to no end: {how}; the console ends with:\n{tail}");
                DumpError::CaptureFailed { said }
            })?;
        if let Some(said) = said(&console, "failed") {
            let said = said.trim_start_matches(':').trim().to_owned();
            return Err(DumpError::CaptureFailed { said });
        }
        // QEMU writes the file, and has written all of it once it has ended.
        let ended = self.until(capture_limit, || false);
        if !self.ended() {
            let how = ended.err().unwrap_or_default();
            return Err(DumpError::Incomplete {
                why: format!("the crash kernel does not reboot: {how}"),
            });
        }
        pass("dump written");

        let vmcore = flattened.with_extension("vmcore");
        rearrange(&flattened, &vmcore)?;
        pass("dump rearranged");
        let panic = console.panic().unwrap_or_default();
        let panic = match find_crash_kernel(&panic) {
            Some(at) => panic.get(..at).unwrap_or(&panic).to_owned(),
            None => panic,
        };
        Ok(Dump {
            panic,
            flattened,
            vmcore,
            stages,
        })
    }

    /// Waits until `reached` returns true; the error says why it will not.
    fn until(&self, limit: Duration, mut reached: impl FnMut() -> bool) -> Result<(), String> {
        let limit = limit.saturating_mul(self.artifacts().slowdown());
        let start = Instant::now();
        loop {
            // Checked first: what QEMU wrote before its end counts.
            let ended = self.ended();
            if reached() {
                return Ok(());
            }
            if ended {
                return Err("the machine was reset or ended".to_owned());
            }
            if start.elapsed() >= limit {
                return Err(format!("waited {:.0} s in vain", limit.as_secs_f64()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The rest of the line in which the crash kernel's init prints `what`.
fn said(console: &Console, what: &str) -> Option<String> {
    said_in(&crash_kernel(console)?, what)
}

fn said_in(text: &str, what: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("{PREFIX}{what}"))?;
    // Only a complete line counts.
    let (line, _) = rest.split_once('\n')?;
    Some(line.to_owned())
}

/// The console's text from the start of the crash kernel on, if it started.
fn crash_kernel(console: &Console) -> Option<String> {
    let text = console.panic()?;
    let at = find_crash_kernel(&text)?;
    text.get(at..).map(str::to_owned)
}

/// Offset of the crash kernel's first line in the console's text from the panic on.
fn find_crash_kernel(text: &str) -> Option<usize> {
    let at = text.find("] Linux version ")?;
    Some(text.get(..at)?.rfind('\n').map_or(0, |end| end + 1))
}

/// Converts a flattened dump into one that analysis tools read.
fn rearrange(file: &Path, vmcore: &Path) -> Result<(), DumpError> {
    flattened::check(file).map_err(|why| DumpError::Incomplete { why })?;
    let output = Command::new("makedumpfile")
        .arg("-R")
        .arg(vmcore)
        .stdin(File::open(file)?)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(DumpError::Incomplete {
        why: format!("makedumpfile -R: {}: {}", output.status, said.trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[    9.1] Kernel panic - not syncing: x\n[    9.2] Call Trace:\n\
        [    0.000000] Linux version 7.3.4\n[    2.0] vigil-capture: started, 2.9 s\n\
        [    3.0] vigil-capture: failed: status 1: no\n[    3.1] vigil-capture: done";

    #[test]
    fn the_panic_ends_where_the_crash_kernel_begins() {
        let at = find_crash_kernel(TEXT).unwrap();
        assert!(TEXT[..at].ends_with("Call Trace:\n"));
        assert!(TEXT[at..].starts_with("[    0.000000] Linux"));
        assert_eq!(
            find_crash_kernel("[ 1.0] Kernel panic - not syncing\n"),
            None
        );
    }

    #[test]
    fn whole_lines_count() {
        assert_eq!(said_in(TEXT, "started").as_deref(), Some(", 2.9 s"));
        assert_eq!(said_in(TEXT, "failed: ").as_deref(), Some("status 1: no"));
        assert_eq!(said_in(TEXT, "done"), None);
    }
}
