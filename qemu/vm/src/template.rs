// SPDX-License-Identifier: GPL-2.0
//! Guests that go on from where another of the same make had come up.
//!
//! An emulated kernel takes ten seconds of processor time and more to boot, and most
//! guests of a test run are made of the same things. So the first one of a make, once
//! its agent is there, is stopped, its whole state is written to a file, and it goes on;
//! the next ones read that file instead of booting. The clocks of such a guest go on,
//! too: to it the time in between has not passed, but on the wall clock of its RTC.
//!
//! A file has no name and ends with the process, so no state outlives what it was made
//! of. `VIGIL_BOOT=1` has every guest boot for itself.

use crate::{
    accel::{self, Accel},
    cpio,
    qmp::Control,
    Arch, Bench, BootError, Config, Error, Log, Result,
};
use qapi::qmp;
use std::{
    collections::{hash_map::DefaultHasher, BTreeMap},
    env,
    fs::File,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// It boots, and others will go on from it: the file is for its state.
    First(Key, File),
    /// It goes on from that.
    From(Key, Arc<Template>),
}

/// All that a guest is made of, by which those that are the same are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(String);

/// The state of a guest of that make; none while it is being made, and where none can be had.
static TEMPLATES: Mutex<Templates> = Mutex::new(BTreeMap::new());

type Templates = BTreeMap<Key, Option<Arc<Template>>>;

/// How a guest that is made of that is to begin.
pub(crate) fn begin(config: &Config, bench: &Bench, arch: Arch) -> Result<Begin, BootError> {
    let Some(key) = key(config, bench, arch)? else {
        return Ok(Begin::Boot);
    };
    let mut templates = templates();
    Ok(match templates.get(&key) {
        Some(Some(template)) => Begin::From(key, Arc::clone(template)),
        Some(None) => Begin::Boot,
        None => {
            let file = tempfile::tempfile_in(bench.folder())
                .map_err(|error| BootError::io("a file for a guest's state", &error))?;
            templates.insert(key.clone(), None);
            Begin::First(key, file)
        }
    })
}

/// Makes that state known to those that come after.
pub(crate) fn offer(key: Key, template: Template) {
    templates().insert(key, Some(Arc::new(template)));
}

/// Has those that come after boot: nobody came up from that state.
pub(crate) fn give_up(key: Key) {
    templates().insert(key, None);
}

fn templates() -> MutexGuard<'static, Templates> {
    TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the guest is made of, if others may go on from it: one that is emulated, without
/// devices of its own.
fn key(config: &Config, bench: &Bench, arch: Arch) -> Result<Option<Key>, BootError> {
    if !config.alike
        || config.kdump
        || config.time_is_instructions
        || !config.qemu_args.is_empty()
        || env::var_os("VIGIL_BOOT").is_some_and(|value| !value.is_empty() && value != "0")
    {
        return Ok(None);
    }
    let kernel = bench.need("vmlinuz")?;
    if accel::get(arch, &kernel)? != Accel::Tcg {
        return Ok(None);
    }
    // Kernel and image stay as they are while a run lasts; modules are made anew at times.
    let mut files = DefaultHasher::new();
    cpio::archive(&config.all_files(bench)?)
        .map_err(|error| BootError::io("/vm", &error))?
        .hash(&mut files);
    Ok(Some(Key(format!(
        "{} {} {} {} {} {:x}",
        bench.folder().display(),
        arch.name(),
        config.cpus,
        config.mem_mib,
        config.command_line(bench, arch),
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
