// SPDX-License-Identifier: GPL-2.0
//! Guests that go on from where another of the same make had come up.
//!
//! An emulated kernel takes ten seconds of processor time and more to boot, and most
//! guests of a test run are made of the same things. So the first one of a make, once
//! its agent is there, is stopped, its whole state is written to a file, and it goes on;
//! the next ones read that file instead of booting, those that come too early once it
//! is there. The clocks of such a guest go on, too: to it the time in between has not
//! passed, but on the wall clock of its RTC.
//!
//! A file has no name and ends with the process, so no state outlives what it was made
//! of. `VIGIL_BOOT=1` has every guest boot for itself.

use crate::{
    accel::{self, Accel},
    cpio,
    qmp::Control,
    Arch, Artifacts, BootError, Config, Error, Log, Result,
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

/// How long QEMU may take to write or to read a guest's state. It takes a second.
const LIMIT: Duration = Duration::from_secs(60);

/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(10);

/// A guest's state, and what those that go on from it cannot be told by the guest again.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) state: File,
    pub(crate) log: Log,
    pub(crate) console: Vec<u8>,
}

/// How a guest begins.
#[derive(Debug)]
pub(crate) enum Begin {
    /// It boots.
    Boot,
    /// It boots, and others will go on from it.
    First(First),
    /// It goes on from that.
    From(Key, Arc<Template>),
}

/// All that a guest is made of, by which those that are the same are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(String);

/// The first one of a make. The others wait for [`First::offer`]. If it is dropped without,
/// it did not come up, and the next one is the first.
#[derive(Debug)]
pub(crate) struct First {
    key: Key,
    /// For its state.
    file: File,
}

/// What is known of the guests of a make.
#[derive(Debug)]
enum Known {
    /// A first one boots.
    Boots,
    /// What they go on from.
    Ready(Arc<Template>),
    /// None can be had.
    Nothing,
}

static TEMPLATES: Mutex<Templates> = Mutex::new(BTreeMap::new());

/// [`Known::Boots`] is over for one of them.
static NEWS: Condvar = Condvar::new();

type Templates = BTreeMap<Key, Known>;

/// How a guest that is made of that is to begin. While the first one boots, this waits
/// for it, as long as booting may take, but not for more than half of the guest's limit.
pub(crate) fn begin(
    config: &Config,
    artifacts: &Artifacts,
    arch: Arch,
) -> Result<Begin, BootError> {
    let Some(key) = key(config, artifacts, arch)? else {
        return Ok(Begin::Boot);
    };
    let boots = |templates: &mut Templates| matches!(templates.get(&key), Some(Known::Boots));
    let most = config
        .boot_limit
        .saturating_mul(artifacts.slowdown())
        .min(config.limit / 2);
    let (mut templates, _) = NEWS
        .wait_timeout_while(templates(), most, boots)
        .unwrap_or_else(PoisonError::into_inner);
    Ok(match templates.get(&key) {
        Some(Known::Ready(template)) => Begin::From(key, Arc::clone(template)),
        Some(Known::Boots | Known::Nothing) => Begin::Boot,
        None => {
            let file = tempfile::tempfile_in(artifacts.folder())
                .map_err(|error| BootError::io("a file for a guest's state", &error))?;
            templates.insert(key.clone(), Known::Boots);
            Begin::First(First { key, file })
        }
    })
}

impl First {
    /// The file for its state.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Makes its state, which is in the file, known to those that come after.
    pub(crate) fn offer(&self, log: Log, console: Vec<u8>) -> io::Result<()> {
        let state = self.file.try_clone()?;
        let template = Template {
            state,
            log,
            console,
        };
        set(self.key.clone(), Known::Ready(Arc::new(template)));
        Ok(())
    }

    /// Has those that come after boot: its state cannot be had.
    pub(crate) fn give_up(&self) {
        give_up(self.key.clone());
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let mut templates = templates();
        if matches!(templates.get(&self.key), Some(Known::Boots)) {
            templates.remove(&self.key);
        }
        drop(templates);
        NEWS.notify_all();
    }
}

/// Has those that come after boot: nobody came up from that state.
pub(crate) fn give_up(key: Key) {
    set(key, Known::Nothing);
}

fn set(key: Key, known: Known) {
    templates().insert(key, known);
    NEWS.notify_all();
}

fn templates() -> MutexGuard<'static, Templates> {
    TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the guest is made of, if others may go on from it: one that is emulated, without
/// devices of its own.
fn key(config: &Config, artifacts: &Artifacts, arch: Arch) -> Result<Option<Key>, BootError> {
    if !config.alike
        || config.kdump
        || config.time_is_instructions
        || !config.qemu_args.is_empty()
        || env::var_os("VIGIL_BOOT").is_some_and(|value| !value.is_empty() && value != "0")
    {
        return Ok(None);
    }
    let kernel = artifacts.need("vmlinuz")?;
    if accel::get(arch, &kernel)? != Accel::Tcg {
        return Ok(None);
    }
    // Kernel and image stay as they are while a run lasts; modules are made anew at times.
    let mut files = DefaultHasher::new();
    cpio::archive(&config.all_files(artifacts)?)
        .map_err(|error| BootError::io("/vm", &error))?
        .hash(&mut files);
    Ok(Some(Key(format!(
        "{} {} {} {} {} {:x}",
        artifacts.folder().display(),
        arch.name(),
        config.cpus,
        config.mem_mib,
        config.command_line(artifacts, arch),
        files.finish()
    ))))
}

/// Writes the state of a guest that is stopped to that file, a name in QEMU.
pub(crate) fn write(control: &Control, file: &str) -> Result<()> {
    // There is no network that could be overwhelmed.
    control.monitor("migrate_set_parameter max-bandwidth 64G")?;
    let said = control.monitor(&format!("migrate -d file:{file}"))?;
    let start = Instant::now();
    loop {
        let info = control.execute(&qmp::query_migrate {})?;
        match info.status {
            Some(qmp::MigrationStatus::completed) => return Ok(()),
            Some(qmp::MigrationStatus::failed | qmp::MigrationStatus::cancelled) => {
                return Err(failed(&info.error_desc.unwrap_or(said)));
            }
            _ if start.elapsed() > LIMIT => return Err(failed("it takes too long")),
            _ => thread::sleep(LOOK),
        }
    }
}

/// Waits until a QEMU has read the state that it was started with, and lets the guest go on.
pub(crate) fn resume(control: &Control) -> Result<()> {
    let start = Instant::now();
    loop {
        match control.execute(&qmp::query_status {})?.status {
            qmp::RunState::inmigrate if start.elapsed() > LIMIT => {
                return Err(failed("it takes too long"));
            }
            qmp::RunState::inmigrate => thread::sleep(LOOK),
            _ => break,
        }
    }
    control.execute(&qmp::cont {}).map(drop)
}

fn failed(why: &str) -> Error {
    Error::Qmp(format!("a guest's state: {}", why.trim()))
}
