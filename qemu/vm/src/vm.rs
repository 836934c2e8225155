// SPDX-License-Identifier: GPL-2.0
//! [`Vm`]: a guest that is up.

use crate::{
    accel,
    arch::Arch,
    artifacts::Artifacts,
    channel::Channel,
    config::Config,
    console::Console,
    error::{BootError, Error, Result},
    guest::{Guest, ANSWER},
    job::{Job, Output},
    log::{Log, Mark},
    observer::Observer,
    qemu::{self, Qemu},
    qmp::Control,
    snapshot::{self, Snapshot, Start},
    vcpu::{self, FrozenVcpu},
};
use nix::sys::signal::Signal;
use qapi::{qmp, Command};
use regex::Regex;
use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::{channel, RecvTimeoutError, Sender},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};
use vigil_klog::LogLine;
use vigil_wire::{Sink, ToGuest};

/// How long fetching the rest of the log may take when a guest is dropped.
const FINAL_LOG_LIMIT: Duration = Duration::from_secs(3);

/// How long the other CPUs may take to show that they run while one CPU is stopped.
const PROGRESS_LIMIT: Duration = Duration::from_secs(3);

/// How many times a CPU is stopped until the other CPUs run.
const FREEZE_TRIES: u32 = 8;

/// How many times a CPU is stopped until it is in user mode, and how long it runs in
/// between.
const USER_MODE_TRIES: u32 = 1000;
const USER_MODE_RETRY: Duration = Duration::from_millis(3);

/// How long a kmemleak scan may take.
const LEAK_SCAN: Duration = Duration::from_secs(10);

/// A guest that is up. Dropping it kills it.
///
/// All limits are real time. Every call fails early when the guest is gone,
/// panicked, or over its own limit ([`Config::limit`]).
#[derive(Debug)]
pub struct Vm {
    guest: Arc<Guest>,
    artifacts: Artifacts,
    arch: Arch,
    dump: Option<PathBuf>,
    boot_time: Duration,
    restored: bool,
    marks: AtomicU32,
    /// Dropped with the guest: ends the thread that enforces the limit.
    _limit_thread: Sender<()>,
}

/// A guest that is not up yet. Dropping it kills it.
#[derive(Debug)]
pub struct Booting {
    guest: Guest,
    artifacts: Artifacts,
    arch: Arch,
    dump: Option<PathBuf>,
    terminal: Option<UnixStream>,
    start: Start,
    /// QEMU's name of the file for the snapshot.
    state: Option<String>,
    started: Instant,
    boot_limit: Duration,
    limit_thread: Sender<()>,
}

impl Vm {
    /// Boots a guest and waits until it is up.
    ///
    /// # Errors
    ///
    /// When it does not come up. Nothing is left running then.
    pub fn boot(config: Config) -> Result<Self, BootError> {
        Self::power_on(config)?.up()
    }

    /// Starts a guest without waiting for it, so that the caller can follow its boot.
    ///
    /// # Errors
    ///
    /// When QEMU does not start.
    pub fn power_on(config: Config) -> Result<Booting, BootError> {
        let artifacts = config.resolve_artifacts()?;
        let arch = artifacts.arch()?;
        let deadline = Instant::now() + config.limit;
        let start = snapshot::choose_start(&config, &artifacts, arch)?;
        Self::start(&config, artifacts, start, deadline)
    }

    fn start(
        config: &Config,
        artifacts: Artifacts,
        start: Start,
        deadline: Instant,
    ) -> Result<Booting, BootError> {
        let arch = artifacts.arch()?;
        let slowdown = artifacts.slowdown();
        let started = Instant::now();
        let (qemu, sockets, console) = qemu::start(config, &start)?;
        let qemu = Arc::new(qemu);
        let limit_thread = kill_at(&qemu, deadline);
        let control = Control::connect(sockets.qmp).map_err(|error| {
            // If QEMU is about to end, its own message says more.
            thread::sleep(Duration::from_millis(200));
            qemu.ended().map_or(error, BootError::new)
        })?;
        let sent = match &start {
            Start::Restore(_, snapshot) => Some(snapshot.log.clone()),
            Start::Boot | Start::BootAndSave(..) => None,
        };
        let channel = Channel::start(sockets.agent, sockets.log, sent)
            .map_err(|error| BootError::io("cannot talk to the guest", &error))?;
        let guest = Guest {
            channel,
            control,
            qemu,
            console,
            limit: config.limit,
            deadline,
            slowdown,
            frozen: AtomicBool::new(false),
            observed: AtomicBool::new(false),
            panic_awaited: AtomicBool::new(false),
        };
        Ok(Booting {
            guest,
            dump: config.dump_path(&artifacts),
            artifacts,
            arch,
            terminal: sockets.terminal,
            start,
            state: sockets.state,
            started,
            boot_limit: config.boot_limit,
            limit_thread,
        })
    }

    // ---- scripts -------------------------------------------------------

    /// Runs a script with `/bin/sh` as root, to its end.
    ///
    /// # Errors
    ///
    /// What became of the guest; a failing script is no error.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.spawn(script)?.wait(self.time_left())
    }

    /// Runs a script that has to succeed; returns what it printed.
    ///
    /// # Errors
    ///
    /// [`Error::Script`] when its status is not 0; or what became of the guest.
    pub fn sh_ok(&self, script: &str) -> Result<String> {
        self.sh(script)?.ok()
    }

    /// Runs a script to its end on one CPU, from its start.
    ///
    /// For use while another CPU is stuck: a process that has ever run on that
    /// one waits for it as soon as it unmaps memory, and a new process may be
    /// put there.
    ///
    /// # Errors
    ///
    /// What became of the guest; a failing script is no error.
    pub fn sh_on(&self, cpu: usize, script: &str) -> Result<Output> {
        self.spawn_on(cpu, script)?.wait(self.time_left())
    }

    /// Starts a script; any number of them run at once.
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn spawn(&self, script: &str) -> Result<Job> {
        self.spawn_to(script, Sink::Harness, None)
    }

    /// Starts a script on one CPU, see [`Vm::sh_on`].
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn spawn_on(&self, cpu: usize, script: &str) -> Result<Job> {
        self.spawn_to(script, Sink::Harness, Some(cpu))
    }

    /// Starts a script whose output goes to the console.
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn spawn_on_console(&self, script: &str) -> Result<Job> {
        self.spawn_to(script, Sink::Console, None)
    }

    /// Starts a script whose input and output are the console.
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn spawn_on_terminal(&self, script: &str) -> Result<Job> {
        self.spawn_to(script, Sink::Terminal, None)
    }

    fn spawn_to(&self, script: &str, sink: Sink, cpu: Option<usize>) -> Result<Job> {
        let job = self.guest.channel.lock().number();
        self.guest
            .send(&ToGuest::Run { job, sink, cpu }, script.as_bytes())?;
        Ok(Job {
            guest: Arc::clone(&self.guest),
            number: job,
        })
    }

    // ---- files ---------------------------------------------------------

    /// Reads a file of the guest.
    ///
    /// # Errors
    ///
    /// [`Error::Errno`] when it cannot be read; or what became of the guest.
    pub fn read(&self, path: &str) -> Result<String> {
        let content = self
            .guest
            .call(&format!("reading {path}"), b"", |call| ToGuest::Read {
                call,
                path: path.to_owned(),
            })?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    /// Writes to an existing file of the guest with one write(2).
    ///
    /// # Errors
    ///
    /// [`Error::Errno`] when that fails; or what became of the guest.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.guest
            .call(&format!("writing {path}"), bytes, |call| ToGuest::Write {
                call,
                path: path.to_owned(),
            })
            .map(drop)
    }

    // ---- the kernel's log ----------------------------------------------

    /// The kernel's log up to now, since the boot.
    ///
    /// # Errors
    ///
    /// What became of the guest.
    pub fn dmesg(&self) -> Result<Vec<LogLine>> {
        self.dmesg_after(Mark(0))
    }

    /// The kernel's log from a place up to now.
    ///
    /// # Errors
    ///
    /// What became of the guest.
    pub fn dmesg_after(&self, mark: Mark) -> Result<Vec<LogLine>> {
        self.guest.sync_log(ANSWER)?;
        Ok(self.guest.channel.lock().log.after(mark).to_vec())
    }

    /// The current end of the log, for [`Vm::wait_log_after`] and
    /// [`Vm::dmesg_after`].
    ///
    /// # Errors
    ///
    /// What became of the guest.
    pub fn mark(&self) -> Result<Mark> {
        self.guest.sync_log(ANSWER)?;
        Ok(Mark(self.guest.channel.lock().log.lines.len()))
    }

    /// Waits for a line that matches; takes the first one since the boot. The
    /// log is sent as it grows, so waiting costs the guest nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`]; or what became of the guest.
    pub fn wait_log(&self, pattern: &str, limit: Duration) -> Result<LogLine> {
        self.wait_log_after(Mark(0), pattern, limit)
    }

    /// Waits for a line after `mark` that matches.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`]; or what became of the guest.
    pub fn wait_log_after(&self, mark: Mark, pattern: &str, limit: Duration) -> Result<LogLine> {
        let regex = Regex::new(pattern)?;
        let found = self
            .guest
            .wait(&format!("a log line /{pattern}/"), limit, |state| {
                state.log.find(mark, &regex)
            });
        if let Err(Error::Timeout { .. }) = found {
            self.save_registers();
        }
        found
    }

    /// Writes the registers of all CPUs to a file beside the console, twice: a guest
    /// that is stuck cannot report where. Errors are written in their place.
    fn save_registers(&self) {
        let Some(path) = self.guest.console.path() else {
            return;
        };
        let mut all = String::new();
        for _ in 0..2 {
            match self.guest.control.monitor("info registers -a") {
                Ok(text) => all.push_str(&text),
                Err(error) => all.push_str(&format!("no registers: {error}\n")),
            }
            thread::sleep(Duration::from_millis(500));
        }
        // The file only helps to explain the error that is returned.
        let _ = fs::write(path.with_extension("registers"), all);
    }

    /// The time now on the clock of the log's stamps, in seconds (guest time).
    /// It writes a line at debug level to the log and takes that one's stamp.
    ///
    /// # Errors
    ///
    /// What became of the guest.
    pub fn uptime(&self) -> Result<f64> {
        let number = self.marks.fetch_add(1, Ordering::Relaxed);
        let text = format!("vigil-harness: time mark {number}");
        self.write("/dev/kmsg", format!("<7>{text}\n").as_bytes())?;
        let line = self.guest.wait("a mark in the log", ANSWER, |state| {
            state
                .log
                .lines
                .iter()
                .rev()
                .find(|line| line.text == text)
                .cloned()
        })?;
        Ok(line.time)
    }

    /// The part of the log that has arrived so far. Asks nothing of the guest, so it
    /// also works with a guest that is stuck, frozen or gone.
    pub fn log_so_far(&self) -> Log {
        self.guest.channel.lock().log.clone()
    }

    // ---- console and panic ----------------------------------------------

    /// What the guest printed on its serial console.
    pub fn console(&self) -> Console {
        self.guest.console.clone()
    }

    /// Waits for the guest to panic and to print all of it; returns the
    /// console's text from the panic on. The guest is gone after this.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], or [`Error::Gone`] when it ended without a panic.
    pub fn wait_panic(&self, limit: Duration) -> Result<String> {
        let limit = limit.saturating_mul(self.guest.slowdown);
        let deadline = self.guest.deadline.min(Instant::now() + limit);
        loop {
            let ended = self.guest.qemu.ended();
            if self.guest.console.panic().is_some() {
                self.guest.panic_awaited.store(true, Ordering::Relaxed);
                return Ok(self.guest.settle());
            }
            if let Some(how) = ended {
                return Err(Error::Gone {
                    what: "a panic".into(),
                    how,
                });
            }
            if Instant::now() > deadline {
                return Err(Error::Timeout {
                    what: "a panic".into(),
                    limit,
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Records that the caller expected the guest's panic.
    pub(crate) fn panic_is_awaited(&self) {
        self.guest.panic_awaited.store(true, Ordering::Relaxed);
    }

    /// Whether QEMU has ended.
    pub(crate) fn ended(&self) -> bool {
        self.guest.qemu.ended().is_some()
    }

    /// Where the guest's dump goes.
    pub(crate) fn dump_path(&self) -> Result<&Path> {
        self.dump.as_deref().ok_or_else(|| {
            Error::Missing("the guest was not made to leave a dump (Config::kdump)".into())
        })
    }

    // ---- the machine ----------------------------------------------------

    /// Stops the whole of QEMU by SIGSTOP, like a machine that its host suspends or swaps
    /// out. The guest's clocks do not stop: they jump when QEMU continues.
    ///
    /// # Errors
    ///
    /// When QEMU is gone.
    pub fn freeze(&self) -> Result<()> {
        self.guest.frozen.store(true, Ordering::Relaxed);
        Ok(self.guest.qemu.signal(Signal::SIGSTOP)?)
    }

    /// Lets QEMU continue.
    ///
    /// # Errors
    ///
    /// When QEMU is gone.
    pub fn thaw(&self) -> Result<()> {
        self.guest.qemu.signal(Signal::SIGCONT)?;
        self.guest.frozen.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Stops one virtual CPU until the result is dropped. The other CPUs run on: if the
    /// CPU's thread was stopped while it held a lock of QEMU's, for which the other CPUs
    /// wait, it is released and stopped again.
    ///
    /// On ARM the other CPUs run on only if the stopped one was idle: a CPU invalidates
    /// the TLBs of all CPUs by one instruction (broadcast TLBI), and QEMU waits for each
    /// CPU to leave translated code before it executes that.
    ///
    /// # Errors
    ///
    /// When there is no such CPU, it cannot be traced, or the other CPUs stop with it
    /// each time.
    pub fn freeze_vcpu(&self, cpu: u32) -> Result<FrozenVcpu> {
        self.freeze_vcpu_if(cpu, || Ok(true))
    }

    /// Stops one virtual CPU while it runs in user mode, where it holds no lock of the
    /// kernel's. Under KVM, where QEMU does not know the mode of a running CPU, and on
    /// ARM, where the CPU has to be idle, it is stopped wherever it is.
    ///
    /// # Errors
    ///
    /// As [`Self::freeze_vcpu`]; and when the CPU is never found in user mode.
    pub fn freeze_vcpu_in_user_mode(&self, cpu: u32) -> Result<FrozenVcpu> {
        let known = self.arch == Arch::X86_64 && !self.qmp(&qmp::query_kvm {})?.enabled;
        self.freeze_vcpu_if(cpu, || {
            Ok(!known || is_in_user_mode(&self.monitor("info registers -a")?, cpu))
        })
    }

    fn freeze_vcpu_if(&self, cpu: u32, suitable: impl Fn() -> Result<bool>) -> Result<FrozenVcpu> {
        let other = usize::from(cpu == 0);
        let (mut tries, mut unsuitable) = (0, 0);
        loop {
            let frozen = vcpu::freeze(self.guest.qemu.pid(), cpu)?;
            if !suitable()? {
                unsuitable += 1;
                if unsuitable > USER_MODE_TRIES {
                    let limit = USER_MODE_RETRY * USER_MODE_TRIES;
                    let what = format!("CPU {cpu} to be in user mode");
                    return Err(Error::Timeout { what, limit });
                }
                drop(frozen);
                thread::sleep(USER_MODE_RETRY);
                continue;
            }
            tries += 1;
            let progress = self
                .spawn_on(other, ":")
                .and_then(|job| job.wait(PROGRESS_LIMIT));
            match progress {
                Ok(_) => return Ok(frozen),
                Err(Error::Timeout { .. }) if tries < FREEZE_TRIES => {
                    drop(frozen);
                    // The CPU gives up the lock that it holds.
                    self.sh_on(other, ":")?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the guest's whole state to a file, ends its QEMU, and has another one continue from
    /// there. `config` is the guest's own, but for the name. Without `later` its clocks continue where they were,
    /// but for the RTC; with it they are set forward by so much, as if the guest had been stopped for
    /// so long and its clocks had gone on. Jobs that run are not known any more.
    ///
    /// # Errors
    ///
    /// When QEMU does not save it, or the other one does not come up; with `later`, when the guest
    /// is not emulated.
    pub fn continue_elsewhere(self, config: &Config, later: Duration) -> Result<Self, BootError> {
        let failed =
            |error: &dyn std::fmt::Display| BootError::new(format!("a saved guest: {error}"));
        let hz = match later {
            Duration::ZERO => 0,
            _ if self.is_emulated().map_err(|error| failed(&error))? => accel::emulated_tsc_hz()
                .ok_or_else(|| failed(&"the frequency of its TSC is not known"))?,
            _ => {
                return Err(failed(
                    &"only the clocks of an emulated one can be set forward",
                ))
            }
        };
        let file = tempfile::NamedTempFile::new_in(self.artifacts.folder())
            .map_err(|error| failed(&error))?;
        let (log, console) = self
            .guest
            .save_to(&file.path().to_string_lossy())
            .map_err(|error| failed(&error))?;
        let artifacts = self.artifacts.clone();
        let marks = self.marks.load(Ordering::Relaxed);
        let deadline = self.guest.deadline;
        // It is stopped: there is nothing to fetch from it.
        self.guest.frozen.store(true, Ordering::Relaxed);
        drop(self);
        if later > Duration::ZERO {
            let mut bytes = fs::read(file.path()).map_err(|error| failed(&error))?;
            snapshot::advance_clocks(&mut bytes, later, hz).map_err(|error| failed(&error))?;
            fs::write(file.path(), bytes).map_err(|error| failed(&error))?;
        }
        let state = file.reopen().map_err(|error| failed(&error))?;
        let saved = Arc::new(Snapshot {
            state,
            log,
            console,
        });
        let vm = Self::start(config, artifacts, Start::Restore(None, saved), deadline)?.up()?;
        vm.marks.store(marks, Ordering::Relaxed);
        Ok(vm)
    }

    /// Puts all threads of QEMU on one processor of the host: the last that this process may use.
    ///
    /// # Errors
    ///
    /// When the host refuses, or QEMU is gone.
    pub fn share_one_processor(&self) -> Result<()> {
        vcpu::share_one_processor(self.guest.qemu.pid())
    }

    /// What the host's scheduler gave one virtual CPU so far, in seconds: the time that
    /// it ran, and the time that it was runnable and waited for a processor.
    ///
    /// # Errors
    ///
    /// When there is no such CPU, or QEMU is gone.
    pub fn vcpu_times(&self, cpu: u32) -> Result<(f64, f64)> {
        vcpu::times(self.guest.qemu.pid(), cpu)
    }

    /// Has QEMU execute a command, for example `qapi::qmp::query_status {}`.
    ///
    /// # Errors
    ///
    /// [`Error::Qmp`] when it refuses.
    pub fn qmp<C: Command>(&self, command: &C) -> Result<C::Ok> {
        self.guest.control.execute(command)
    }

    /// Has QEMU's monitor execute a command of its human interface, such as `info registers`.
    ///
    /// # Errors
    ///
    /// [`Error::Qmp`] when it refuses.
    pub fn monitor(&self, command: &str) -> Result<String> {
        self.guest.control.monitor(command)
    }

    /// Sends an NMI to the boot CPU; to all CPUs of a guest that was booted
    /// with `apic_extnmi=all`. ARM has no such thing.
    ///
    /// # Errors
    ///
    /// [`Error::Qmp`] when QEMU refuses.
    pub fn inject_nmi(&self) -> Result<()> {
        self.qmp(&qmp::inject_nmi {}).map(drop)
    }

    /// Kills the guest now.
    pub fn kill(&self) {
        self.guest.qemu.kill();
    }

    /// The artifacts that it was booted from.
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// Its architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Whether it was restored from a snapshot: see [`Config::share_snapshot`].
    pub fn restored(&self) -> bool {
        self.restored
    }

    /// Whether its instructions are emulated, not run by the processor.
    ///
    /// # Errors
    ///
    /// What became of the guest.
    pub fn is_emulated(&self) -> Result<bool> {
        let kvm = self.guest.control.execute(&qmp::query_kvm {})?;
        Ok(!kvm.enabled)
    }

    /// Real time from the start of QEMU until the agent was up.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// What is left of the guest's own limit, in real time.
    pub fn time_left(&self) -> Duration {
        self.guest
            .deadline
            .saturating_duration_since(Instant::now())
    }

    /// A handle that outlives this guest: its log and console stay readable.
    pub fn observer(&self) -> Observer {
        self.guest.observed.store(true, Ordering::Relaxed);
        Observer {
            guest: Arc::clone(&self.guest),
        }
    }
}

impl Booting {
    /// What the guest prints on its serial console.
    pub fn console(&self) -> Console {
        self.guest.console.clone()
    }

    /// Our end of an interactive console ([`Config::console_interactive`]), once.
    pub fn take_terminal(&mut self) -> Option<UnixStream> {
        self.terminal.take()
    }

    /// Waits until the guest is up.
    ///
    /// # Errors
    ///
    /// When it does not come up. Nothing is left running then.
    pub fn up(self) -> Result<Vm, BootError> {
        let restored = matches!(self.start, Start::Restore(..));
        match self.start {
            Start::Boot => self.guest.wait_hello(self.boot_limit)?,
            Start::BootAndSave(pending) => {
                self.guest.wait_hello(self.boot_limit)?;
                if let Some(name) = self.state {
                    if let Err(error) = self.guest.save(&pending, &name) {
                        // Other guests boot then; this one has come up all the same.
                        eprintln!("{error}");
                        pending.mark_unavailable();
                    }
                }
            }
            Start::Restore(key, _) => {
                let resumed = snapshot::resume(&self.guest.control)
                    .and_then(|()| self.guest.sync_log(ANSWER));
                if let Err(error) = resumed {
                    // A guest that was killed at its deadline says nothing about the snapshot.
                    if let Some(key) = key.filter(|_| Instant::now() < self.guest.deadline) {
                        snapshot::mark_unavailable(key);
                    }
                    return Err(self.guest.not_up(error));
                }
            }
        }
        Ok(Vm {
            guest: Arc::new(self.guest),
            artifacts: self.artifacts,
            arch: self.arch,
            dump: self.dump,
            boot_time: self.started.elapsed(),
            restored,
            marks: AtomicU32::new(0),
            _limit_thread: self.limit_thread,
        })
    }
}

impl Vm {
    /// Has a kernel with kmemleak scan for leaks. The kernel logs that it found some; which
    /// ones is written to the log by the script, for the check after the scenario.
    fn scan_for_leaks(&self) {
        if self.artifacts.kernel_has("CONFIG_DEBUG_KMEMLEAK") {
            let found = self.spawn(
                // One write each: a record of the log holds a kilobyte at most.
                "cd /sys/kernel/debug && echo scan > kmemleak &&
                 head -n 60 kmemleak | while read -r line; do echo \"$line\" > /dev/kmsg; done",
            );
            // A guest that is stuck or gone cannot scan, which is no failure.
            let _ = found.and_then(|job| job.wait(LEAK_SCAN));
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if self.guest.observed.load(Ordering::Relaxed) && !self.guest.frozen.load(Ordering::Relaxed)
        {
            // Fails at once when the guest is gone or panicked.
            self.scan_for_leaks();
            let _ = self.guest.sync_log(FINAL_LOG_LIMIT);
        }
        self.guest.kill();
    }
}

/// Whether the registers of all CPUs (`info registers -a`) show this CPU in user mode.
fn is_in_user_mode(registers: &str, cpu: u32) -> bool {
    let number = cpu.to_string();
    registers
        .split("CPU#")
        .find(|part| part.lines().next() == Some(&number))
        .is_some_and(|part| part.contains(" CPL=3 "))
}

/// Starts a thread that kills QEMU at the deadline. Dropping the result ends the thread.
fn kill_at(qemu: &Arc<Qemu>, deadline: Instant) -> Sender<()> {
    let (keep, ended) = channel();
    let qemu = Arc::clone(qemu);
    thread::spawn(move || {
        let left = deadline.saturating_duration_since(Instant::now());
        if ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            qemu.kill();
        }
    });
    keep
}

#[cfg(test)]
mod tests {
    use super::is_in_user_mode;

    #[test]
    fn user_mode_is_cpl_3() {
        // The format of QEMU 10.
        let one = |cpu, cpl| {
            format!(
                "\r\nCPU#{cpu}\r\nRAX=0000000000000000 RBX=0000000000000000\r\n\
                 RIP=0000000000401000 RFL=00000202 [-------] CPL={cpl} II=0 A20=1 SMM=0 HLT=0\r\n"
            )
        };
        let all = one(0, 0) + &one(1, 3) + &one(10, 3);
        assert!(!is_in_user_mode(&all, 0));
        assert!(is_in_user_mode(&all, 1));
        assert!(!is_in_user_mode(&all, 2));
        assert!(!is_in_user_mode(&one(10, 3), 1));
    }
}
