// SPDX-License-Identifier: GPL-2.0
//! Jobs: scripts that run under /bin/sh, any number at once.

use crate::{port::Port, priority::Cpus};
use anyhow::Context;
use nix::{
    fcntl::{fcntl, FcntlArg, OFlag},
    libc,
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::{
        signal::{killpg, Signal},
        termios::tcdrain,
    },
    unistd::{pipe2, Pid},
};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read},
    os::{
        fd::AsFd,
        unix::{
            fs::OpenOptionsExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{mpsc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use vigil_wire::{FromGuest, Sink};

/// Interval in milliseconds at which the end of a job is checked, while a process that it
/// left in the background keeps its output open.
const EXIT_POLL_MS: u8 = 50;

/// How long the console gets to take the last of a job's output.
const CONSOLE_DRAIN: Duration = Duration::from_secs(5);

const SCRIPTS: &str = "/run/vigil-jobs";

/// A job that has not ended.
enum Job {
    /// Its shell does not run yet: on a CPU that is stuck that may take a while.
    Starting,
    /// It was killed before.
    Killed,
    /// The leader of its process group.
    Running(Pid),
}

/// The jobs that have not ended.
pub(crate) struct Jobs {
    cpus: Cpus,
    /// By their numbers.
    jobs: Mutex<HashMap<u32, Job>>,
}

impl Jobs {
    pub(crate) fn new(cpus: Cpus) -> Self {
        Self {
            cpus,
            jobs: Mutex::default(),
        }
    }

    /// Notes a job that is to be run: from now on it can be killed.
    pub(crate) fn add(&self, job: u32) {
        self.jobs().insert(job, Job::Starting);
    }

    /// Runs a script to its end. The job was [added](Self::add).
    pub(crate) fn run(
        &self,
        agent: &Port,
        job: u32,
        sink: Sink,
        cpu: Option<usize>,
        script: &[u8],
    ) -> anyhow::Result<()> {
        let status = match sink {
            Sink::Harness => self.run_for_harness(agent, job, cpu, script),
            Sink::Console | Sink::Terminal => self.run_on_console(job, sink, cpu, script),
        };
        let status = match status {
            Ok(status) => status,
            Err(error) => {
                // The harness waits for the end of the job.
                let text = format!("vigil-agent: {error:#}\n");
                agent.send(&FromGuest::Output { job }, text.as_bytes())?;
                126
            }
        };
        self.forget(job);
        agent.send(&FromGuest::Exit { job, status }, b"")?;
        Ok(())
    }

    /// Kills a job's process group, or has it killed as soon as there is one.
    pub(crate) fn kill(&self, job: u32) -> anyhow::Result<()> {
        let mut jobs = self.jobs();
        match jobs.get_mut(&job) {
            Some(Job::Running(leader)) => kill_group(*leader),
            Some(job) => {
                *job = Job::Killed;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn run_for_harness(
        &self,
        agent: &Port,
        job: u32,
        cpu: Option<usize>,
        script: &[u8],
    ) -> anyhow::Result<i32> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut command = shell(job, script)?;
        command
            .stdin(Stdio::null())
            .stdout(theirs.try_clone()?)
            .stderr(theirs);
        let mut child = self.start(job, cpu, &mut command)?;
        // The command holds the writing ends: without this there is no end of file.
        drop(command);

        let mut output = File::from(ours);
        let mut open = true;
        let status = loop {
            if open {
                let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut fds, PollTimeout::from(EXIT_POLL_MS));
                // What is in the pipe when the shell has ended was written
                // before; so look for the end first, then empty the pipe.
                let ended = child.try_wait()?;
                open = forward(agent, job, &mut output)?;
                if let Some(status) = ended {
                    break status;
                }
            } else {
                break child.wait()?;
            }
        };
        if open {
            // A background process still holds the pipe. Its output is discarded, so that
            // it does not die of SIGPIPE.
            thread::spawn(move || {
                let _ = fcntl(&output, FcntlArg::F_SETFL(OFlag::empty()));
                let _ = std::io::copy(&mut output, &mut std::io::sink());
            });
        }
        Ok(as_shell(status))
    }

    fn run_on_console(
        &self,
        job: u32,
        sink: Sink,
        cpu: Option<usize>,
        script: &[u8],
    ) -> anyhow::Result<i32> {
        let terminal = open_console()?;
        let mut command = shell(job, script)?;
        command
            .stdin(match sink {
                Sink::Terminal => Stdio::from(open_console()?),
                _ => Stdio::null(),
            })
            .stdout(open_console()?)
            .stderr(open_console()?);
        let mut child = self.start(job, cpu, &mut command)?;
        let status = child.wait()?;
        drain(terminal);
        Ok(as_shell(status))
    }

    fn start(&self, job: u32, cpu: Option<usize>, command: &mut Command) -> anyhow::Result<Child> {
        let child = self
            .cpus
            .spawn(command, cpu)
            .context("cannot start /bin/sh")?;
        // Unlike the agent, it may be killed when memory runs out.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), "0");
        let leader = Pid::from_raw(i32::try_from(child.id())?);
        if let Some(Job::Killed) = self.jobs().insert(job, Job::Running(leader)) {
            kill_group(leader)?;
        }
        Ok(child)
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<u32, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, job: u32) {
        self.jobs().remove(&job);
    }
}

fn kill_group(leader: Pid) -> anyhow::Result<()> {
    killpg(leader, Signal::SIGKILL).context("cannot kill the job")
}

/// `/bin/sh SCRIPT` in a process group of its own.
fn shell(job: u32, script: &[u8]) -> anyhow::Result<Command> {
    fs::create_dir_all(SCRIPTS)?;
    let file = Path::new(SCRIPTS).join(job.to_string());
    fs::write(&file, script).context("cannot store the script")?;
    let mut command = Command::new("/bin/sh");
    command
        .arg(file)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("TERM", "vt100")
        .process_group(0);
    Ok(command)
}

/// Sends on what the pipe holds; false at its end.
fn forward(agent: &Port, job: u32, output: &mut File) -> anyhow::Result<bool> {
    let mut buffer = [0; 32 << 10];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => {
                let piece = buffer.get(..length).unwrap_or_default();
                agent.send(&FromGuest::Output { job }, piece)?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The terminal behind the console: /dev/console itself cannot become a
/// controlling terminal.
pub(crate) fn open_console() -> anyhow::Result<File> {
    let active = fs::read_to_string("/sys/class/tty/console/active")?;
    let name = active
        .split_whitespace()
        .last()
        .context("there is no console")?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(format!("/dev/{name}"))
        .with_context(|| format!("cannot open {name}"))
}

/// Waits until the console took everything, but not for a console that is stuck.
fn drain(terminal: File) {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let _ = tcdrain(&terminal);
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(CONSOLE_DRAIN);
}

/// The exit status as a shell shows it.
fn as_shell(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(127)
}
