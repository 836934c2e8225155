// SPDX-License-Identifier: GPL-2.0
//! Whether KVM works here.
//!
//! The existence of /dev/kvm is not enough: nested in another virtual machine, KVM may
//! refuse to run a guest, hang, or fail at an instruction that only a whole kernel uses.
//! So QEMU runs a program of four instructions as its firmware, and then the kernel, up to
//! its panic for want of a root file system, each within a time limit. The first probe
//! fails quickly where KVM does not work; the second proves that it does. The answer is
//! cached until the host is booted again. Guests of another architecture than x86-64,
//! which is the host's, are always emulated.

use crate::{arch::Arch, child, error::BootError};
use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// How the guest's instructions are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// By the processor.
    Kvm,
    /// Translated by QEMU, each virtual CPU in a thread of its own.
    Tcg,
}

/// A working KVM needs a tenth of a second.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// A working KVM needs two seconds; emulation five, so that a KVM which is no faster is of no use.
const BOOT_LIMIT: Duration = Duration::from_secs(15);

/// What a kernel prints that finds no root file system.
const BOOT_END: &str = "Kernel panic - not syncing: VFS";

/// What the probe's program makes QEMU exit with: (0x10 << 1) | 1.
const PROBE_STATUS: i32 = 33;

impl Accel {
    /// QEMU's options for it.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Kvm, Self::Tcg]
            .into_iter()
            .find(|accel| accel.name() == name)
    }
}

/// How often the TSC of an emulated guest counts in a second: it is the host's own. `None` if
/// that is not known. The same all the time, as guests with the same command line share a boot.
pub(crate) fn emulated_tsc_hz() -> Option<u64> {
    static HZ: OnceLock<Option<u64>> = OnceLock::new();
    *HZ.get_or_init(|| tsc_hz_of(&fs::read_to_string("/proc/cpuinfo").ok()?))
}

fn tsc_hz_of(cpuinfo: &str) -> Option<u64> {
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (mhz, part) = line.split_once(": ")?.1.split_once('.')?;
    let khz: u64 = part.get(..3)?.parse().ok()?;
    let mhz: u64 = mhz.parse().ok()?;
    Some((mhz * 1000 + khz) * 1000)
}

/// The accelerator to use for guests of this architecture. `VIGIL_ACCEL` (`kvm` or `tcg`)
/// in the environment overrides it. KVM is used only if it can run this kernel.
///
/// # Errors
///
/// When `VIGIL_ACCEL` is something else, or cannot be done.
pub fn get(arch: Arch, kernel: &Path) -> Result<Accel, BootError> {
    static FOUND: OnceLock<Accel> = OnceLock::new();
    let wanted = match env::var("VIGIL_ACCEL") {
        Ok(name) if !name.is_empty() => Some(
            Accel::from_name(&name)
                .ok_or_else(|| BootError::new(format!("VIGIL_ACCEL={name}: kvm or tcg")))?,
        ),
        _ => None,
    };
    if arch != Arch::X86_64 {
        let name = arch.name();
        return match wanted {
            Some(Accel::Kvm) => Err(BootError::new(format!(
                "VIGIL_ACCEL=kvm: {name} can only be emulated here"
            ))),
            _ => Ok(Accel::Tcg),
        };
    }
    if let Some(wanted) = wanted {
        return Ok(wanted);
    }
    Ok(*FOUND.get_or_init(|| find(kernel)))
}

fn find(kernel: &Path) -> Accel {
    if !can_open_kvm() {
        return Accel::Tcg;
    }
    let cached = cache_file();
    let known = cached
        .as_deref()
        .and_then(|file| fs::read_to_string(file).ok())
        .and_then(|text| Accel::from_name(text.trim()));
    if let Some(known) = known {
        return known;
    }
    let works = probe().and_then(|works| Ok(works && boots(kernel)?));
    let accel = match works {
        Ok(true) => Accel::Kvm,
        Ok(false) | Err(_) => Accel::Tcg,
    };
    if let Some(file) = cached {
        // Without the file the next run probes again, which costs time only.
        let _ = write_cache(&file, accel);
    }
    accel
}

fn can_open_kvm() -> bool {
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok()
}

/// The file that caches the answer for this boot of the machine.
fn cache_file() -> Option<PathBuf> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // As scripts/lib.sh finds the cache.
    let cache = env::var_os("VIGIL_CACHE").map(PathBuf::from).or_else(|| {
        let base = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
        Some(base.join("vigil"))
    })?;
    Some(cache.join(format!("accel-{}", boot.trim())))
}

fn write_cache(path: &Path, accel: Accel) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", accel.name())?;
    file.persist(path)?;
    Ok(())
}

/// Runs the shortest program under KVM: true when it ran to its end.
fn probe() -> io::Result<bool> {
    let mut firmware = tempfile::NamedTempFile::new()?;
    firmware.write_all(&probe_firmware())?;
    let mut command = Command::new(Arch::X86_64.program());
    command
        .args([
            "-accel", "kvm", "-cpu", "host", "-machine", "pc", "-m", "16",
        ])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-device", "isa-debug-exit", "-bios"])
        .arg(firmware.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = status_within(command, PROBE_LIMIT)?;
    Ok(status.and_then(|status| status.code()) == Some(PROBE_STATUS))
}

/// Boots the kernel under KVM, with nothing else: true when it came to its end.
fn boots(kernel: &Path) -> io::Result<bool> {
    let console = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(Arch::X86_64.program());
    command
        .args([
            "-accel", "kvm", "-cpu", "host", "-machine", "q35", "-smp", "2", "-m", "512",
        ])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .arg("-serial")
        .arg(format!("file:{}", console.path().display()))
        .arg("-kernel")
        .arg(kernel)
        .args(["-append", "console=ttyS0 panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let ended = status_within(command, BOOT_LIMIT)?.is_some();
    let said = fs::read(console.path())?;
    Ok(ended && String::from_utf8_lossy(&said).contains(BOOT_END))
}

/// How a program ended; `None` if it was killed at the limit.
fn status_within(command: Command, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let mut child = child::spawn(command, Vec::new())?;
    let deadline = Instant::now() + limit;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => break None,
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let _ = child.kill();
    child.wait()?;
    Ok(status)
}

/// 64 KiB, with this at the address where the processor starts:
///
/// ```text
///   mov dx, 0x501    the port of isa-debug-exit
///   mov al, 0x10
///   out dx, al
///   hlt
/// ```
fn probe_firmware() -> Vec<u8> {
    const SIZE: usize = 64 << 10;
    const START: usize = SIZE - 16;
    let mut bytes = vec![0; START];
    bytes.extend([0xba, 0x01, 0x05, 0xb0, 0x10, 0xee, 0xf4]);
    bytes.resize(SIZE, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tsc_is_that_of_the_first_processor() {
        let text =
            "processor\t: 0\ncpu MHz\t\t: 2596.132\ncache size\t: 512 KB\n\ncpu MHz\t\t: 800.000\n";
        assert_eq!(tsc_hz_of(text), Some(2_596_132_000));
        assert_eq!(tsc_hz_of("processor\t: 0\n"), None);
        assert_eq!(tsc_hz_of("cpu MHz\t\t: unknown\n"), None);
    }
}
