// SPDX-License-Identifier: GPL-2.0
//! QEMU: its command line and its process.

use crate::{
    accel,
    arch::Arch,
    child,
    config::{Config, ConsoleTo},
    console::Console,
    error::BootError,
    initramfs,
    snapshot::Start,
};
use nix::{
    sys::{
        memfd::{memfd_create, MFdFlags},
        signal::{kill, Signal},
    },
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};
use vigil_wire::{AGENT_PORT, DUMP_PORT, LOG_PORT};

/// A running QEMU. Killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Qemu {
    child: Mutex<Child>,
    pid: Pid,
    messages: Console,
}

/// The sockets into a QEMU.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) qmp: UnixStream,
    pub(crate) agent: UnixStream,
    pub(crate) log: UnixStream,
    pub(crate) terminal: Option<UnixStream>,
    /// QEMU's name of the file for the guest's snapshot.
    pub(crate) state: Option<String>,
}

/// Starts QEMU. Sockets and files are passed to it as open descriptors: there is no socket
/// to wait for, and no file that a killed run leaves behind.
pub(crate) fn start(config: &Config, start: &Start) -> Result<(Qemu, Sockets, Console), BootError> {
    let artifacts = config.resolve_artifacts()?;
    let arch = artifacts.arch()?;
    let kernel = artifacts.need("vmlinuz")?;
    check_kernel(&kernel, arch)?;
    let image = artifacts.need("guest.cpio")?;
    let initramfs = build_initramfs(&image, &config.all_files(&artifacts)?)?;
    let messages = memory_file("messages")?;
    let console = console(config, &artifacts.logs())?;

    let mut args = Arguments::default();
    args.words([
        "-name",
        &format!("guest={},debug-threads=on", commas(&config.name)),
    ]);
    args.words(["-machine", arch.machine()]);
    let accel = match config.instruction_shift {
        Some(shift) => {
            args.words(["-accel", "tcg,thread=single", "-cpu", "max"]);
            args.words(["-icount", &format!("shift={shift},sleep=off")]);
            None
        }
        None => {
            let accel = accel::get(arch, &kernel)?;
            args.words(accel.arguments());
            Some(accel)
        }
    };
    args.words([
        "-smp",
        &config.cpus.to_string(),
        "-m",
        &config.mem_mib.to_string(),
    ]);
    args.words([
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
    ]);
    args.words(["-kernel", &kernel.to_string_lossy()]);
    let initramfs = args.inherit(initramfs);
    args.words(["-initrd", &initramfs]);
    args.words(["-append", &config.command_line(&artifacts, arch, accel)]);

    let console_fd = console.1;
    let terminal = match config.console {
        ConsoleTo::Interactive => {
            let (ours, theirs) = pair()?;
            let file = args.inherit(console_fd);
            args.socket("console", theirs, &format!(",logfile={file},logappend=on"));
            Some(ours)
        }
        ConsoleTo::LogFile | ConsoleTo::Memory => {
            let file = args.inherit(console_fd);
            args.words([
                "-chardev",
                &format!("file,id=console,append=on,path={file}"),
            ]);
            None
        }
    };
    args.words(["-serial", "chardev:console"]);
    let (qmp, theirs) = pair()?;
    args.socket("qmp", theirs, "");
    args.words(["-mon", "chardev=qmp,mode=control"]);
    args.words(["-device", "virtio-serial-pci"]);
    let (agent, theirs) = pair()?;
    args.socket("agent", theirs, "");
    args.words([
        "-device",
        &format!("virtserialport,chardev=agent,name={AGENT_PORT}"),
    ]);
    let (log, theirs) = pair()?;
    args.socket("log", theirs, "");
    args.words([
        "-device",
        &format!("virtserialport,chardev=log,name={LOG_PORT}"),
    ]);
    if let Some(path) = config.dump_path(&artifacts) {
        let file = args.inherit(dump_file(&path)?);
        args.words(["-chardev", &format!("file,id=dump,path={file}")]);
        args.words([
            "-device",
            &format!("virtserialport,chardev=dump,name={}", DUMP_PORT),
        ]);
    }
    args.words(config.qemu_args.iter().map(String::as_str));
    let mut state = None;
    let duplicate = |file: &File| {
        file.try_clone()
            .map_err(|error| BootError::io("a guest's snapshot", &error))
    };
    match start {
        Start::Boot => {}
        Start::BootAndSave(pending) => state = Some(args.inherit(duplicate(pending.file())?)),
        Start::Restore(_, snapshot) => {
            // The console of the boot that was saved is the beginning of this guest's.
            console
                .0
                .write(&snapshot.console)
                .map_err(|error| BootError::io("console", &error))?;
            let file = args.inherit(duplicate(&snapshot.state)?);
            args.words(["-incoming", &format!("file:{file}")]);
        }
    }

    let program = arch.program();
    let mut command = if config.low_priority {
        let mut command = Command::new("nice");
        command.args(["-n", "19", program]);
        command
    } else {
        Command::new(program)
    };
    let to = |file: &File| file.try_clone().map(Stdio::from);
    command
        .args(&args.words)
        .stdin(Stdio::null())
        .stdout(to(&messages).map_err(|error| BootError::io("messages", &error))?)
        .stderr(to(&messages).map_err(|error| BootError::io("messages", &error))?);
    let child = child::spawn(command, args.inherited).map_err(|error| {
        BootError::new(match error.kind() {
            io::ErrorKind::NotFound => {
                format!("there is no {program} here: run this through scripts/in-root")
            }
            _ => format!("cannot start {program}: {error}"),
        })
    })?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(-1));
    let child = Mutex::new(child);
    let messages = Console::new(messages, None);
    let qemu = Qemu {
        child,
        pid,
        messages,
    };
    Ok((
        qemu,
        Sockets {
            qmp,
            agent,
            log,
            terminal,
            state,
        },
        console.0,
    ))
}

impl Qemu {
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        let status = self.child().try_wait();
        match status {
            Ok(None) => None,
            Ok(Some(status)) => {
                let said = self.said();
                let said = said.trim();
                Some(match said {
                    "" => format!("QEMU ended, {status}"),
                    said => format!("QEMU ended, {status}: {said}"),
                })
            }
            Err(error) => Some(format!("QEMU cannot be waited for: {error}")),
        }
    }

    /// What QEMU printed itself: warnings, or why it ended.
    pub(crate) fn said(&self) -> String {
        self.messages.text()
    }

    /// Sends a signal, unless QEMU has ended: its number may belong to another process then.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let mut child = self.child();
        if child.try_wait()?.is_none() {
            kill(self.pid, signal)?;
        }
        Ok(())
    }

    /// Kills and reaps it.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

/// QEMU's command line, and the descriptors that it refers to.
#[derive(Default)]
struct Arguments {
    words: Vec<String>,
    inherited: Vec<OwnedFd>,
}

impl Arguments {
    fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.words.extend(words.into_iter().map(str::to_owned));
    }

    /// Passes a file to QEMU; returns its name there.
    fn inherit(&mut self, file: impl Into<OwnedFd>) -> String {
        let fd = file.into();
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        self.inherited.push(fd);
        name
    }

    /// Passes a connected socket to QEMU as a character device.
    fn socket(&mut self, id: &str, socket: UnixStream, options: &str) {
        let fd = OwnedFd::from(socket);
        let text = format!("socket,id={id},fd={}{options}", fd.as_raw_fd());
        self.words(["-chardev", &text]);
        self.inherited.push(fd);
    }
}

/// Refuses a file that is no kernel for this architecture, which QEMU might execute.
fn check_kernel(path: &Path, arch: Arch) -> Result<(), BootError> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(64).read_to_end(&mut head))
        .map_err(|error| BootError::io(&path.to_string_lossy(), &error))?;
    if arch.may_be_kernel(&head) {
        return Ok(());
    }
    let (path, arch) = (path.display(), arch.name());
    Err(BootError::new(format!("{path} is no kernel for {arch}")))
}

fn pair() -> Result<(UnixStream, UnixStream), BootError> {
    UnixStream::pair().map_err(|error| BootError::io("cannot make a socket pair", &error))
}

fn memory_file(name: &str) -> Result<File, BootError> {
    memfd_create(name, MFdFlags::MFD_CLOEXEC)
        .map(File::from)
        .map_err(|error| BootError::io("cannot make a file in memory", &error.into()))
}

/// The guest image followed by the archive with `/vm`.
fn build_initramfs(image: &Path, files: &[PathBuf]) -> Result<File, BootError> {
    let archive = initramfs::archive(files).map_err(|error| BootError::io("/vm", &error))?;
    let mut whole = memory_file("initramfs")?;
    File::open(image)
        .and_then(|mut image| io::copy(&mut image, &mut whole))
        .and_then(|_| whole.write_all(&archive))
        .map_err(|error| BootError::io(&image.to_string_lossy(), &error))?;
    Ok(whole)
}

/// The file behind the console, which the harness reads and QEMU writes.
fn console(config: &Config, logs: &Path) -> Result<(Console, File), BootError> {
    let (file, path) = match config.console {
        ConsoleTo::Memory | ConsoleTo::Interactive => (memory_file("console")?, None),
        ConsoleTo::LogFile => {
            let name = config.file_name();
            let path = logs.join(format!("{name}.console"));
            let file = fs::create_dir_all(logs)
                .and_then(|()| {
                    File::options()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .open(&path)
                })
                .map_err(|error| BootError::io(&path.to_string_lossy(), &error))?;
            (file, Some(path))
        }
    };
    let theirs = file
        .try_clone()
        .map_err(|error| BootError::io("console", &error))?;
    Ok((Console::new(file, path), theirs))
}

/// An empty file for the dump. The dump of an earlier guest is removed.
fn dump_file(path: &Path) -> Result<File, BootError> {
    let make = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::remove_file(path.with_extension("vmcore")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::create(path)
    };
    make().map_err(|error| BootError::io(&path.to_string_lossy(), &error))
}

/// A comma inside a value is doubled in QEMU's options.
fn commas(text: &str) -> String {
    text.replace(',', ",,")
}
