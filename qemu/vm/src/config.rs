// SPDX-License-Identifier: GPL-2.0
//! What a guest is made of.

use crate::{dump, Arch, Artifacts, BootError};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use vigil_wire::CPU_WORD;

/// What a guest is made of. Every setting has a default.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) name: String,
    pub(crate) artifacts: Option<Artifacts>,
    pub(crate) cpus: u32,
    pub(crate) mem_mib: u32,
    pub(crate) append: Vec<String>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) limit: Duration,
    pub(crate) boot_limit: Duration,
    pub(crate) qemu_args: Vec<String>,
    pub(crate) console: ConsoleTo,
    pub(crate) time_is_instructions: bool,
    pub(crate) kdump: bool,
    pub(crate) alike: bool,
}

/// Where the serial console goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConsoleTo {
    /// Into a file in the `logs` folder of the artifacts.
    LogFile,
    /// Into a file without a name: the caller prints it as it comes.
    Memory,
    /// Like `Memory`, and the caller types on it.
    Interactive,
}

impl Config {
    /// A guest of that name. The name is for people: it shows in `ps` and names
    /// the console's file, so no two guests of a run should share one.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            artifacts: None,
            cpus: 2,
            mem_mib: 1024,
            append: Vec::new(),
            files: Vec::new(),
            limit: Duration::from_secs(180),
            boot_limit: Duration::from_secs(90),
            qemu_args: Vec::new(),
            console: ConsoleTo::LogFile,
            time_is_instructions: false,
            kdump: false,
            alike: false,
        }
    }

    /// Number of virtual CPUs (default 2).
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Memory in MiB (default 1024).
    #[must_use]
    pub fn mem_mib(mut self, mib: u32) -> Self {
        self.mem_mib = mib;
        self
    }

    /// Words to add to the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: impl Into<String>) -> Self {
        self.append.push(words.into());
        self
    }

    /// The CPU that the guest's agent stays on (default 0). Nothing is heard of
    /// the guest while that one is stuck, so a scenario that stops CPU 0 moves
    /// the agent elsewhere.
    #[must_use]
    pub fn agent_cpu(self, cpu: u32) -> Self {
        self.append(format!("{CPU_WORD}{cpu}"))
    }

    /// Files of the host that appear in the guest under `/vm`, by their own
    /// name and with their mode. The modules of the artifacts are always there.
    #[must_use]
    pub fn files<P: AsRef<Path>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        self.files
            .extend(files.into_iter().map(|file| file.as_ref().to_owned()));
        self
    }

    /// How long the guest may live, in real time (default 180 s), from when it is asked
    /// for. QEMU is killed then, and everything that waits for the guest fails.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// How long it may take to come up, in real time (default 90 s).
    #[must_use]
    pub fn boot_limit(mut self, limit: Duration) -> Self {
        self.boot_limit = limit;
        self
    }

    /// Words to add to QEMU's command line, for devices and the like.
    #[must_use]
    pub fn qemu_args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.qemu_args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Makes the guest's clocks count its instructions, one a nanosecond, and skip
    /// the time in which it has nothing to do. Slow while it has; its virtual CPUs
    /// run one at a time.
    #[must_use]
    pub fn time_is_instructions(mut self) -> Self {
        self.time_is_instructions = true;
        self
    }

    /// Makes the guest fit to leave a crash dump: memory for a crash kernel, that
    /// kernel and what loads it, and a port for the dump. See
    /// [`crate::Vm::arm_kdump`] and [`crate::Vm::wait_dump`].
    #[must_use]
    pub fn kdump(mut self) -> Self {
        self.kdump = true;
        self.append(dump::RESERVE)
    }

    /// Lets the guest go on from where another of this process's that is made of the
    /// same had come up, if there is one, and others go on from it. It has the log and
    /// the console's text of the first one's boot then. One that is booting is waited for,
    /// as long as booting may take, but no longer than half of the limit.
    #[must_use]
    pub fn alike(mut self) -> Self {
        self.alike = true;
        self
    }

    /// The artifacts to boot from, instead of the one that `VIGIL_ARTIFACTS` names.
    #[must_use]
    pub fn artifacts(mut self, artifacts: Artifacts) -> Self {
        self.artifacts = Some(artifacts);
        self
    }

    /// Keeps the console in memory, not in the artifacts' `logs` folder; see [`crate::Console`].
    #[must_use]
    pub fn console_in_memory(mut self) -> Self {
        self.console = ConsoleTo::Memory;
        self
    }

    /// Leads the console to [`crate::Booting::take_terminal`].
    #[must_use]
    pub fn console_interactive(mut self) -> Self {
        self.console = ConsoleTo::Interactive;
        self
    }

    /// The name as part of a file's.
    pub(crate) fn file_name(&self) -> String {
        self.name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .collect()
    }

    /// Where the dump goes, if there is to be one.
    pub(crate) fn dump_path(&self, artifacts: &Artifacts) -> Option<PathBuf> {
        let name = format!("{}.flat", self.file_name());
        self.kdump.then(|| artifacts.dumps().join(name))
    }

    /// All files that appear under `/vm`.
    pub(crate) fn all_files(&self, artifacts: &Artifacts) -> Result<Vec<PathBuf>, BootError> {
        let mut files = artifacts.modules();
        files.extend(self.files.iter().cloned());
        if self.kdump {
            files.extend(artifacts.kdump_files()?);
        }
        Ok(files)
    }

    pub(crate) fn resolve_artifacts(&self) -> Result<Artifacts, BootError> {
        match &self.artifacts {
            Some(artifacts) => Ok(artifacts.clone()),
            None => Artifacts::from_env(),
        }
    }

    /// The kernel's command line.
    ///
    /// A panic reboots at once (`panic=-1`), which ends QEMU (`-no-reboot`). What
    /// programs write to /dev/kmsg would be dropped after ten lines in five
    /// seconds; the harness and scripts mark places in the log there. It has room for
    /// what is logged while CPUs are stuck and nobody can read it. The module's KUnit
    /// tests would run at each load: who wants some names them in another
    /// `kunit.filter_glob=`. A kernel for ARM that can have NMIs has them if told so.
    ///
    /// The TSC of a virtual machine is good, but a kernel that is slow, or has a CPU that
    /// does not answer, takes it for unstable. The HPET, which it goes on with, costs an
    /// exit each time that it is read, and is at the same place again after 43 s: what a
    /// longer pause of the guest took is not to be seen then.
    pub(crate) fn command_line(&self, artifacts: &Artifacts, arch: Arch) -> String {
        let console = arch.serial();
        let mut words = vec![format!(
            "console={console} panic=-1 loglevel=7 printk.devkmsg=on log_buf_len=4M"
        )];
        if artifacts.kernel_has("CONFIG_KUNIT") {
            words.push("kunit.filter_glob=none".to_owned());
        }
        if arch == Arch::X86_64 {
            words.push("tsc=reliable".to_owned());
        }
        // identify_cpu() empties the boot CPU's feature bits for a moment, and
        // KASAN asks them how many levels page tables have: at times an early
        // interrupt is reported as a wild access.
        if artifacts.kernel_has("CONFIG_KASAN") && arch == Arch::X86_64 {
            words.push("no5lvl".to_owned());
        }
        if artifacts.kernel_has("CONFIG_ARM64_PSEUDO_NMI") {
            words.push("irqchip.gicv3_pseudo_nmi=1".to_owned());
        }
        words.extend(self.append.iter().cloned());
        words.join(" ")
    }
}
