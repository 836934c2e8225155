// SPDX-License-Identifier: GPL-2.0
//! The configuration of a guest.

use crate::{
    accel::{self, Accel},
    arch::Arch,
    artifacts::Artifacts,
    error::BootError,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use vigil_wire::CPU_WORD;

/// Memory that a guest with [`Config::kdump`] reserves for the crash kernel. 96 MiB is just
/// enough for a stock kernel.
const CRASHKERNEL: &str = "crashkernel=128M";

/// From so many CPUs on an emulated guest does not calibrate its delay loop. Each CPU would
/// compare the TSC with ticks, again and again, while it shares the host's processors with the
/// others: a guest of 48 does not boot in two minutes. Where the clocks count instructions, it
/// is tens of millions of them for each CPU, one after the other.
const MANY_CPUS: u32 = 8;

/// How often the TSC counts in a second where the clocks count instructions, however long one takes.
const COUNTING_TSC_HZ: u64 = 1_000_000_000;

/// The configuration of a guest. Every setting has a default.
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
    /// An instruction takes 2 to the power of this nanoseconds, if the clocks count instructions.
    pub(crate) instruction_shift: Option<u32>,
    pub(crate) low_priority: bool,
    pub(crate) kdump: bool,
    pub(crate) share_snapshot: bool,
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
    /// A guest with this name, which `ps` shows and which the console's file is named
    /// after: it should be unique within a run.
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
            instruction_shift: None,
            low_priority: false,
            kdump: false,
            share_snapshot: false,
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

    /// The CPU that the guest's agent is bound to (default 0). The agent does not answer
    /// while that CPU is stuck, so a scenario that stops CPU 0 binds it elsewhere.
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

    /// How long the guest may live, in real time (default 180 s), counted from the request
    /// to start it. Then QEMU is killed, and every call that waits for the guest fails.
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

    /// Makes the guest's clocks count its instructions, one per nanosecond, and skip idle
    /// time (QEMU's `-icount`). Busy guests are slow; the virtual CPUs run one at a time.
    #[must_use]
    pub fn time_is_instructions(self) -> Self {
        self.instructions_take(0)
    }

    /// As [`Config::time_is_instructions`], but an instruction takes 2^`shift` ns: for guests that
    /// are busy for long.
    #[must_use]
    pub fn instructions_take(mut self, shift: u32) -> Self {
        self.instruction_shift = Some(shift);
        self
    }

    /// Runs the guest with the lowest priority (`nice -n 19`): for guests whose results do not
    /// depend on how fast they are.
    #[must_use]
    pub fn low_priority(mut self) -> Self {
        self.low_priority = true;
        self
    }

    /// Prepares the guest to leave a crash dump: memory for a crash kernel, that kernel,
    /// kexec, and a port for the dump. See
    /// [`crate::Vm::arm_kdump`] and [`crate::Vm::wait_dump`].
    #[must_use]
    pub fn kdump(mut self) -> Self {
        self.kdump = true;
        self.append(CRASHKERNEL)
    }

    /// Restores the guest from a snapshot of an earlier guest of this process with the same
    /// configuration, if there is one; otherwise it boots, and its snapshot is taken. A
    /// restored guest has the log and the console's text of the boot that was saved. A guest
    /// with the same configuration that is booting is waited for, as long as booting may
    /// take, but no longer than half of the limit.
    #[must_use]
    pub fn share_snapshot(mut self) -> Self {
        self.share_snapshot = true;
        self
    }

    /// The artifacts to boot from, instead of the folder that `VIGIL_ARTIFACTS` names.
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

    /// Connects the console to [`crate::Booting::take_terminal`].
    #[must_use]
    pub fn console_interactive(mut self) -> Self {
        self.console = ConsoleTo::Interactive;
        self
    }

    /// The guest's name with characters that are safe in the name of a file.
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

    /// The file for the crash dump, if the guest is to leave one.
    pub(crate) fn dump_path(&self, artifacts: &Artifacts) -> Option<PathBuf> {
        let name = format!("{}.flattened", self.file_name());
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
    /// - `panic=-1`: a panic reboots at once, which ends QEMU (`-no-reboot`).
    /// - `printk.devkmsg=on`: the kernel drops what programs write to /dev/kmsg after ten
    ///   lines in five seconds otherwise; the harness and scripts mark places in the log there.
    /// - `log_buf_len`: holds what is logged while CPUs are stuck and the agent cannot read it.
    /// - `kunit.filter_glob=none`: the module's KUnit tests would run at each load. A scenario
    ///   that wants them appends another filter.
    /// - `irqchip.gicv3_pseudo_nmi=1`: an ARM kernel that supports pseudo-NMIs uses them only
    ///   with this.
    /// - `tsc=reliable`: a kernel that is slow, or has a stuck CPU, marks the TSC unstable,
    ///   although it is good in a virtual machine. The HPET, which would replace it, costs an
    ///   exit for each read and wraps after 43 s, so that a longer pause of the guest could
    ///   not be measured.
    /// - `lpj=`: see [`MANY_CPUS`].
    pub(crate) fn command_line(
        &self,
        artifacts: &Artifacts,
        arch: Arch,
        accel: Option<Accel>,
    ) -> String {
        let console = arch.serial();
        let mut words = vec![format!(
            "console={console} panic=-1 loglevel=7 printk.devkmsg=on log_buf_len=4M"
        )];
        if artifacts.kernel_has("CONFIG_KUNIT") {
            words.push("kunit.filter_glob=none".to_owned());
        }
        if arch == Arch::X86_64 {
            words.push("tsc=reliable".to_owned());
            let tsc_hz = match accel {
                Some(Accel::Tcg) => accel::emulated_tsc_hz(),
                Some(Accel::Kvm) => None,
                None => Some(COUNTING_TSC_HZ),
            };
            if self.cpus >= MANY_CPUS {
                words.extend(loops_per_jiffy(artifacts, tsc_hz));
            }
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

/// The word for what the boot CPU would find out: a loop is a count of the TSC. None if the
/// TSC's frequency or the kernel's is not known.
fn loops_per_jiffy(artifacts: &Artifacts, tsc_hz: Option<u64>) -> Option<String> {
    let hz = [100, 250, 300, 1000]
        .into_iter()
        .find(|hz| artifacts.kernel_has(&format!("CONFIG_HZ_{hz}")))?;
    Some(format!("lpj={}", tsc_hz? / hz))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_emulated_guests_with_many_cpus_are_given_their_delay_loop() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("config"),
            "# CONFIG_HZ_100 is not set\nCONFIG_HZ_250=y\nCONFIG_HZ=250\n",
        )
        .unwrap();
        let artifacts = Artifacts::at(folder.path());
        let has = |cpus, arch, accel| {
            let config = Config::new("x").cpus(cpus).append("last");
            let line = config.command_line(&artifacts, arch, accel);
            assert!(line.ends_with(" last"), "{line}");
            line.contains(" lpj=")
        };
        assert!(has(64, Arch::X86_64, Some(Accel::Tcg)));
        assert!(!has(4, Arch::X86_64, Some(Accel::Tcg)));
        assert!(!has(64, Arch::X86_64, Some(Accel::Kvm)));
        // The clocks count instructions.
        assert!(has(64, Arch::X86_64, None));
        assert!(!has(2, Arch::X86_64, None));
        assert!(!has(64, Arch::Aarch64, Some(Accel::Tcg)));
        assert_eq!(
            loops_per_jiffy(&artifacts, Some(2_596_132_000)).as_deref(),
            Some("lpj=10384528")
        );
        assert_eq!(loops_per_jiffy(&artifacts, None), None);
    }
}
