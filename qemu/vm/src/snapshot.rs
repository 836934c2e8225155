// SPDX-License-Identifier: GPL-2.0
//! Snapshots: guests that start from the saved state of another one instead of booting.
//!
//! An emulated kernel takes ten seconds of processor time and more to boot, and most
//! guests of a test run have the same kernel, modules, CPUs and command line. So the
//! first guest of a configuration is stopped once its agent is up, its whole state is
//! written to a file (QEMU's migration stream), and it continues. Later guests of the
//! same configuration restore that file; a guest that is started while the first one
//! is still booting waits for the file. The clocks of a restored guest continue too: the
//! time since the snapshot has not passed for it, except on the wall clock of its RTC.
//!
//! The file is unlinked and vanishes with the process, so no snapshot outlives the
//! artifacts that it was made of. `VIGIL_BOOT=1` makes every guest boot.

use crate::{
    accel::{self, Accel},
    arch::Arch,
    artifacts::Artifacts,
    config::Config,
    error::{BootError, Error, Result},
    initramfs,
    log::Log,
    qmp::Control,
};
use qapi::qmp;
use std::{
    collections::{hash_map::DefaultHasher, BTreeMap},
    env,
    fs::File,
    hash::{Hash, Hasher},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long QEMU may take to save or to restore a guest. It takes a second.
const LIMIT: Duration = Duration::from_secs(60);

/// Interval at which QEMU is asked for its progress.
const POLL: Duration = Duration::from_millis(10);

/// A saved guest: QEMU's state, and what the guest had sent to the host by then, which
/// it does not send again.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: File,
    pub(crate) log: Log,
    pub(crate) console: Vec<u8>,
}

/// How a guest starts.
#[derive(Debug)]
pub(crate) enum Start {
    /// It boots.
    Boot,
    /// It boots, and its snapshot is taken once it is up.
    BootAndSave(Pending),
    /// It is restored from this snapshot. Without a key nobody else is.
    Restore(Option<Key>, Arc<Snapshot>),
}

/// Everything that has an influence on a guest's state after boot. Guests with equal
/// keys can share a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(String);

/// A snapshot that is yet to be taken. Guests with the same key wait for
/// [`Pending::publish`]. Dropping it unpublished means that the guest did not come up:
/// the next guest with the key tries again.
#[derive(Debug)]
pub(crate) struct Pending {
    key: Key,
    /// Where QEMU writes the state.
    file: File,
}

/// State of the snapshot of one key.
///
/// ```text
///             publish()              mark_unavailable()
///   Pending -------------> Ready --------------------> Unavailable
///      |                                                    ^
///      +----------------------------------------------------+
///      (removed when the Pending is dropped: the guest did not come up)
/// ```
#[derive(Debug)]
enum Entry {
    /// The first guest is booting.
    Pending,
    /// Guests can be restored from it.
    Ready(Arc<Snapshot>),
    /// QEMU failed to save or to restore it: guests with this key boot.
    Unavailable,
}

type Snapshots = BTreeMap<Key, Entry>;

static SNAPSHOTS: Mutex<Snapshots> = Mutex::new(BTreeMap::new());

/// Signalled when an entry leaves [`Entry::Pending`].
static CHANGED: Condvar = Condvar::new();

/// Decides how a guest with this configuration starts. While the first guest of the
/// same configuration boots, this waits for its snapshot: as long as booting may take,
/// but no longer than half of the guest's limit.
pub(crate) fn choose_start(
    config: &Config,
    artifacts: &Artifacts,
    arch: Arch,
) -> Result<Start, BootError> {
    let Some(key) = key(config, artifacts, arch)? else {
        return Ok(Start::Boot);
    };
    let pending = |snapshots: &mut Snapshots| matches!(snapshots.get(&key), Some(Entry::Pending));
    let longest_wait = config
        .boot_limit
        .saturating_mul(artifacts.slowdown())
        .min(config.limit / 2);
    let (mut snapshots, _) = CHANGED
        .wait_timeout_while(snapshots(), longest_wait, pending)
        .unwrap_or_else(PoisonError::into_inner);
    Ok(match snapshots.get(&key) {
        Some(Entry::Ready(snapshot)) => Start::Restore(Some(key), Arc::clone(snapshot)),
        Some(Entry::Pending | Entry::Unavailable) => Start::Boot,
        None => {
            let file = tempfile::tempfile_in(artifacts.folder())
                .map_err(|error| BootError::io("a file for a guest's state", &error))?;
            snapshots.insert(key.clone(), Entry::Pending);
            Start::BootAndSave(Pending { key, file })
        }
    })
}

impl Pending {
    /// The file for QEMU's state.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Makes the snapshot, whose state is in the file, available to other guests.
    pub(crate) fn publish(&self, log: Log, console: Vec<u8>) -> io::Result<()> {
        let state = self.file.try_clone()?;
        let snapshot = Snapshot {
            state,
            log,
            console,
        };
        set(self.key.clone(), Entry::Ready(Arc::new(snapshot)));
        Ok(())
    }

    /// Makes other guests with this key boot: QEMU could not save the state.
    pub(crate) fn mark_unavailable(&self) {
        mark_unavailable(self.key.clone());
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut snapshots = snapshots();
        if matches!(snapshots.get(&self.key), Some(Entry::Pending)) {
            snapshots.remove(&self.key);
        }
        drop(snapshots);
        CHANGED.notify_all();
    }
}

/// Makes guests with this key boot: QEMU could not restore the snapshot.
pub(crate) fn mark_unavailable(key: Key) {
    set(key, Entry::Unavailable);
}

fn set(key: Key, entry: Entry) {
    snapshots().insert(key, entry);
    CHANGED.notify_all();
}

fn snapshots() -> MutexGuard<'static, Snapshots> {
    SNAPSHOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of a guest that may share a snapshot: one that is emulated and has no
/// devices of its own.
fn key(config: &Config, artifacts: &Artifacts, arch: Arch) -> Result<Option<Key>, BootError> {
    if !config.share_snapshot
        || config.kdump
        || config.instruction_shift.is_some()
        || !config.qemu_args.is_empty()
        || env::var_os("VIGIL_BOOT").is_some_and(|value| !value.is_empty() && value != "0")
    {
        return Ok(None);
    }
    let kernel = artifacts.need("vmlinuz")?;
    let accel = accel::get(arch, &kernel)?;
    if accel != Accel::Tcg {
        return Ok(None);
    }
    // Kernel and image do not change while a run lasts; modules are rebuilt at times.
    let mut files = DefaultHasher::new();
    initramfs::archive(&config.all_files(artifacts)?)
        .map_err(|error| BootError::io("/vm", &error))?
        .hash(&mut files);
    Ok(Some(Key(format!(
        "{} {} {} {} {} {:x}",
        artifacts.folder().display(),
        arch.name(),
        config.cpus,
        config.mem_mib,
        config.command_line(artifacts, arch, Some(accel)),
        files.finish()
    ))))
}

/// Saves the state of a guest that is stopped. `file` is the file's name in QEMU.
pub(crate) fn save(control: &Control, file: &str) -> Result<()> {
    // The stream goes to a file: no network has to be spared.
    control.monitor("migrate_set_parameter max-bandwidth 64G")?;
    let printed = control.monitor(&format!("migrate -d file:{file}"))?;
    let start = Instant::now();
    loop {
        let info = control.execute(&qmp::query_migrate {})?;
        match info.status {
            Some(qmp::MigrationStatus::completed) => return Ok(()),
            Some(qmp::MigrationStatus::failed | qmp::MigrationStatus::cancelled) => {
                return Err(failed(&info.error_desc.unwrap_or(printed)));
            }
            _ if start.elapsed() > LIMIT => return Err(failed("QEMU takes too long")),
            _ => thread::sleep(POLL),
        }
    }
}

/// Waits until a QEMU that was started with `-incoming` has read the state, and
/// lets the guest continue.
pub(crate) fn resume(control: &Control) -> Result<()> {
    let start = Instant::now();
    loop {
        match control.execute(&qmp::query_status {})?.status {
            qmp::RunState::inmigrate if start.elapsed() > LIMIT => {
                return Err(failed("QEMU takes too long"));
            }
            qmp::RunState::inmigrate => thread::sleep(POLL),
            _ => break,
        }
    }
    control.execute(&qmp::cont {}).map(drop)
}

/// QEMU's name for the clocks of the machine in a saved state, as the head of their section
/// has it: the length of the name, the name, instance 0, version 2.
const CLOCKS: &[u8] = b"\x05timer\0\0\0\0\0\0\0\x02";

/// What stands before that: the type of the section (`QEMU_VM_SECTION_FULL`), and its number.
const FULL_SECTION: u8 = 4;
const SECTION_NUMBER: usize = 4;

/// Puts the clocks in an emulated guest's saved state on by `later`: the counter of the processor, which
/// counts `hz` times a second, and QEMU's clock for devices. A guest that is restored from it finds
/// what one finds that was stopped for so long while its clocks went on.
///
/// # Errors
///
/// When the state has no such clocks.
pub(crate) fn advance_clocks(state: &mut [u8], later: Duration, hz: u64) -> Result<()> {
    // The head of `vmstate_timers`: cpu_ticks_offset, 8 bytes that are not used, cpu_clock_offset.
    let mut heads = (0..state.len()).filter(|&at| {
        let kind = at.checked_sub(SECTION_NUMBER + 1);
        state.get(at..).is_some_and(|rest| rest.starts_with(CLOCKS))
            && kind.and_then(|kind| state.get(kind)) == Some(&FULL_SECTION)
    });
    let (Some(head), None) = (heads.next(), heads.next()) else {
        return Err(failed("its clocks are not where QEMU 10 puts them"));
    };
    let ticks = u128::from(hz) * later.as_nanos() / 1_000_000_000;
    let first = head + CLOCKS.len();
    for (at, by) in [(first, ticks), (first + 16, later.as_nanos())] {
        let field = state.get_mut(at..at + 8).and_then(|field| {
            let old = i64::from_be_bytes(<[u8; 8]>::try_from(&*field).ok()?);
            Some((old.checked_add(i64::try_from(by).ok()?)?, field))
        });
        let (new, field) = field.ok_or_else(|| failed("its clocks end too early"))?;
        field.copy_from_slice(&new.to_be_bytes());
    }
    Ok(())
}

fn failed(why: &str) -> Error {
    Error::Qmp(format!("a guest's snapshot: {}", why.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_go_on() {
        let mut state = b"....\x05timer, which is no head \x04\0\0\0\x02".to_vec();
        state.extend(CLOCKS);
        let first = state.len();
        for value in [1000_i64, -1, 7_000_000_000] {
            state.extend(value.to_be_bytes());
        }
        state.extend(b"the rest");
        let before = state.clone();
        advance_clocks(&mut state, Duration::from_millis(1500), 2_000_000_000).unwrap();
        let field = |at: usize| i64::from_be_bytes(state[at..at + 8].try_into().unwrap());
        assert_eq!(field(first), 3_000_001_000);
        assert_eq!(field(first + 8), -1);
        assert_eq!(field(first + 16), 8_500_000_000);
        assert_eq!(state[..first], before[..first]);
        assert_eq!(state[first + 24..], before[first + 24..]);

        let mut twice = [before.clone(), before].concat();
        assert!(advance_clocks(&mut twice, Duration::ZERO, 1).is_err());
        assert!(advance_clocks(&mut state[..first + 4].to_vec(), Duration::ZERO, 1).is_err());
        assert!(advance_clocks(&mut [], Duration::ZERO, 1).is_err());
    }
}
