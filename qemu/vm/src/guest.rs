// SPDX-License-Identifier: GPL-2.0
//! [`Vm`]: a guest that is up.

use crate::{
    channel::{Answer, Channel, State},
    console::Console,
    log::{Log, LogLine, Mark},
    qemu::{self, Qemu},
    qmp::Control,
    template::{self, Begin, First},
    vcpu, Arch, Artifacts, BootError, Config, Error, FrozenVcpu, Job, Observer, Output, Result,
};
use nix::{errno::Errno, sys::signal::Signal};
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
use vigil_wire::{Sink, ToGuest};

/// How often a wait looks whether the guest still lives. A kernel that panicked
/// and does not reboot says nothing any more.
const LOOK: Duration = Duration::from_millis(500);

/// How long the last of the log may take when a guest is given up.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long a guest of which one CPU stands still may take to show that it lives.
const ALIVE: Duration = Duration::from_secs(3);

/// How long we may take to take in what a guest has sent that sends no more.
const TAKEN_IN: Duration = Duration::from_millis(100);

/// How often a CPU is stopped until the others go on.
const FREEZE_TRIES: u32 = 8;

/// How often one is stopped until it is where it shall be, and how long it goes on meanwhile.
const WRONG_MOMENTS: u32 = 1000;
const WRONG_MOMENT: Duration = Duration::from_millis(3);

/// How long a look for leaks may take.
const LEAK_SCAN: Duration = Duration::from_secs(10);

/// How long an answer from the agent may take by itself; a loaded guest under
/// emulation is slow.
const ANSWER: Duration = Duration::from_secs(60);

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
    _end_of_limit: Sender<()>,
}

/// A guest that is not up yet. Dropping it kills it.
#[derive(Debug)]
pub struct Booting {
    guest: Guest,
    artifacts: Artifacts,
    arch: Arch,
    dump: Option<PathBuf>,
    terminal: Option<UnixStream>,
    begin: Begin,
    state: Option<String>,
    start: Instant,
    boot_limit: Duration,
    end_of_limit: Sender<()>,
}

/// What jobs share with the guest that they run in.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) channel: Channel,
    control: Control,
    qemu: Arc<Qemu>,
    console: Console,
    limit: Duration,
    deadline: Instant,
    /// What limits are multiplied by: [`Artifacts::slowdown`].
    slowdown: u32,
    frozen: AtomicBool,
    /// Somebody will want to read the log to its end.
    observed: AtomicBool,
    panic_awaited: AtomicBool,
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

    /// Starts a guest, for those who want to see it booting.
    ///
    /// # Errors
    ///
    /// When QEMU does not start.
    pub fn power_on(config: Config) -> Result<Booting, BootError> {
        let artifacts = config.resolve_artifacts()?;
        let arch = artifacts.arch()?;
        let slowdown = artifacts.slowdown();
        let deadline = Instant::now() + config.limit;
        let begin = template::begin(&config, &artifacts, arch)?;
        let start = Instant::now();
        let (qemu, sockets, console) = qemu::start(&config, &begin)?;
        let qemu = Arc::new(qemu);
        let end_of_limit = enforce(&qemu, deadline);
        let control = Control::connect(sockets.qmp).map_err(|error| {
            // Its own words are better, if it is about to end.
            thread::sleep(Duration::from_millis(200));
            qemu.ended().map_or(error, BootError::new)
        })?;
        let sent = match &begin {
            Begin::From(_, template) => Some(template.log.clone()),
            Begin::Boot | Begin::First(..) => None,
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
            begin,
            state: sockets.state,
            start,
            boot_limit: config.boot_limit,
            end_of_limit,
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
        self.start(script, Sink::Harness, None)
    }

    /// Starts a script on one CPU, see [`Vm::sh_on`].
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn spawn_on(&self, cpu: usize, script: &str) -> Result<Job> {
        self.start(script, Sink::Harness, Some(cpu))
    }

    /// Starts a script whose output goes to the console.
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn spawn_on_console(&self, script: &str) -> Result<Job> {
        self.start(script, Sink::Console, None)
    }

    /// Starts a script whose input and output are the console.
    ///
    /// # Errors
    ///
    /// When the guest is gone.
    pub fn spawn_on_terminal(&self, script: &str) -> Result<Job> {
        self.start(script, Sink::Terminal, None)
    }

    fn start(&self, script: &str, sink: Sink, cpu: Option<usize>) -> Result<Job> {
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

    /// The end of the log as it is now, for [`Vm::wait_log_after`] and
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
            self.keep_registers();
        }
        found
    }

    /// Notes beside the console what each CPU is at, twice: a guest that stands
    /// still says nothing itself. What cannot be had is left out.
    fn keep_registers(&self) {
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
        // For whoever looks; the error is what matters.
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

    /// What came through of the log so far. Asks nothing of the guest, so it
    /// also works with one that is stuck, frozen or gone.
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

    /// Notes that a panic is no surprise.
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

    /// Stops the whole of QEMU, as a machine that is suspended or swapped out.
    /// Time goes on without the guest: it sees a jump afterwards.
    ///
    /// # Errors
    ///
    /// When QEMU is gone.
    pub fn freeze(&self) -> Result<()> {
        self.guest.frozen.store(true, Ordering::Relaxed);
        Ok(self.guest.qemu.signal(Signal::SIGSTOP)?)
    }

    /// Lets QEMU go on.
    ///
    /// # Errors
    ///
    /// When QEMU is gone.
    pub fn thaw(&self) -> Result<()> {
        self.guest.qemu.signal(Signal::SIGCONT)?;
        self.guest.frozen.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Stops one virtual CPU, until the result is dropped. The others go on: if its
    /// thread was stopped while it held a lock of QEMU's, for which they wait, it is
    /// let go and stopped again.
    ///
    /// On ARM they go on only if it was idle: there a CPU drops addresses from the
    /// others' caches of page tables by one instruction, and for that QEMU waits until
    /// none of them is in the middle of something.
    ///
    /// # Errors
    ///
    /// When there is no such CPU, it cannot be traced, or the others stand still
    /// each time.
    pub fn freeze_vcpu(&self, cpu: u32) -> Result<FrozenVcpu> {
        self.freeze_vcpu_if(cpu, || Ok(true))
    }

    /// The same for one that is busy with a program: it is not stopped while an interrupt
    /// is handled, in the middle of which it might hold a lock of the kernel's. Under KVM,
    /// which cannot be asked, and on ARM, where such a CPU has to be idle, it is stopped
    /// wherever it is.
    ///
    /// # Errors
    ///
    /// As [`Self::freeze_vcpu`]; and when it is never found at a program.
    pub fn freeze_vcpu_in_program(&self, cpu: u32) -> Result<FrozenVcpu> {
        let asks = self.arch == Arch::X86_64 && !self.qmp(&qmp::query_kvm {})?.enabled;
        self.freeze_vcpu_if(cpu, || {
            Ok(!asks || is_in_program(&self.monitor("info registers -a")?, cpu))
        })
    }

    fn freeze_vcpu_if(&self, cpu: u32, right: impl Fn() -> Result<bool>) -> Result<FrozenVcpu> {
        let other = usize::from(cpu == 0);
        let (mut tries, mut wrong) = (0, 0);
        loop {
            let frozen = vcpu::freeze(self.guest.qemu.pid(), cpu)?;
            if !right()? {
                wrong += 1;
                if wrong > WRONG_MOMENTS {
                    let limit = WRONG_MOMENT * WRONG_MOMENTS;
                    let what = format!("CPU {cpu} to be at a program");
                    return Err(Error::Timeout { what, limit });
                }
                drop(frozen);
                thread::sleep(WRONG_MOMENT);
                continue;
            }
            tries += 1;
            let alive = self.spawn_on(other, ":").and_then(|job| job.wait(ALIVE));
            match alive {
                Ok(_) => return Ok(frozen),
                Err(Error::Timeout { .. }) if tries < FREEZE_TRIES => {
                    drop(frozen);
                    // Let go of whatever it was.
                    self.sh_on(other, ":")?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What the host gave one virtual CPU so far, in seconds: how long it ran, and
    /// how long it wanted to and had to wait for a processor.
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

    /// Has QEMU's monitor execute a command for people, such as `info registers`.
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

    /// What kind of machine it is.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Whether it went on from where another had come up: see [`Config::alike`].
    pub fn restored(&self) -> bool {
        self.restored
    }

    /// Whether its instructions are translated, and not run by the processor.
    ///
    /// # Errors
    ///
    /// What became of the guest.
    pub fn is_emulated(&self) -> Result<bool> {
        let kvm = self.guest.control.execute(&qmp::query_kvm {})?;
        Ok(!kvm.enabled)
    }

    /// From starting QEMU until the agent said that it is there, in real time.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// What is left of the guest's own limit, in real time.
    pub fn time_left(&self) -> Duration {
        self.guest
            .deadline
            .saturating_duration_since(Instant::now())
    }

    /// What stays of this guest when it is dropped.
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
        let restored = matches!(self.begin, Begin::From(..));
        match self.begin {
            Begin::Boot => self.guest.wait_hello(self.boot_limit)?,
            Begin::First(first) => {
                self.guest.wait_hello(self.boot_limit)?;
                if let Some(name) = self.state {
                    if let Err(error) = self.guest.keep(&first, &name) {
                        // The others boot then, and this one is up all the same, or not.
                        eprintln!("{error}");
                        first.give_up();
                    }
                }
            }
            Begin::From(key, _) => {
                let resumed = template::resume(&self.guest.control)
                    .and_then(|()| self.guest.sync_log(ANSWER));
                if let Err(error) = resumed {
                    // Unless it was killed meanwhile, because it had no more time.
                    if Instant::now() < self.guest.deadline {
                        template::give_up(key);
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
            boot_time: self.start.elapsed(),
            restored,
            marks: AtomicU32::new(0),
            _end_of_limit: self.end_of_limit,
        })
    }
}

impl Vm {
    /// Has a kernel with kmemleak look for leaks: it says in its log if it finds
    /// some, and which is written there for whoever reads the log afterwards.
    fn look_for_leaks(&self) {
        if self.artifacts.kernel_has("CONFIG_DEBUG_KMEMLEAK") {
            let found = self.spawn(
                // A record of the log has a kilobyte at most: a line each.
                "cd /sys/kernel/debug && echo scan > kmemleak &&
                 head -n 60 kmemleak | while read -r line; do echo \"$line\" > /dev/kmsg; done",
            );
            // A guest that is stuck or gone cannot look; that is no failure.
            let _ = found.and_then(|job| job.wait(LEAK_SCAN));
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if self.guest.observed.load(Ordering::Relaxed) && !self.guest.frozen.load(Ordering::Relaxed)
        {
            // Fails at once when the guest is gone or panicked.
            self.look_for_leaks();
            let _ = self.guest.sync_log(LAST_WORDS);
        }
        self.guest.kill();
    }
}

impl Guest {
    pub(crate) fn console(&self) -> Console {
        self.console.clone()
    }

    pub(crate) fn panic_was_awaited(&self) -> bool {
        self.panic_awaited.load(Ordering::Relaxed)
    }

    pub(crate) fn kill(&self) {
        self.qemu.kill();
    }

    pub(crate) fn send(&self, message: &ToGuest, blob: &[u8]) -> Result<()> {
        self.channel.send(message, blob).map_err(|error| {
            let what = "the agent to listen";
            self.condition(what).unwrap_or(Error::Io(error))
        })
    }

    /// Waits until `find` finds something in what the guest said, or the guest
    /// cannot say anything any more.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let limit = limit.saturating_mul(self.slowdown);
        let deadline = self.deadline.min(Instant::now() + limit);
        let mut next_look = Instant::now() + LOOK;
        let mut state = self.channel.lock();
        loop {
            if let Some(found) = find(&mut state) {
                return Ok(found);
            }
            let now = Instant::now();
            if state.closed || now >= next_look || now >= deadline {
                let closed = state.closed;
                drop(state);
                if let Some(error) = self.condition(what) {
                    return Err(error);
                }
                if now >= deadline {
                    let limit = limit.min(self.limit);
                    return Err(Error::Timeout {
                        what: what.to_owned(),
                        limit,
                    });
                }
                if closed {
                    // QEMU is about to end, or to say how.
                    thread::sleep(Duration::from_millis(10));
                }
                next_look = now + LOOK;
                state = self.channel.lock();
                continue;
            }
            let pause = next_look.min(deadline).saturating_duration_since(now);
            state = self.channel.wait(state, pause);
        }
    }

    /// Why the guest cannot say anything any more, if so.
    fn condition(&self, what: &str) -> Option<Error> {
        let what = what.to_owned();
        let ended = self.qemu.ended();
        if self.console.panic().is_some() {
            let text = self.settle();
            return Some(Error::Panicked { what, text });
        }
        let over = Instant::now() >= self.deadline;
        ended.map(|how| match over {
            true => Error::Timeout {
                what,
                limit: self.limit,
            },
            false => Error::Gone { what, how },
        })
    }

    /// Waits until a guest that panicked has printed all of it: until QEMU ends
    /// or the console has been quiet for a while (`panic_timeout` may have been
    /// changed). Returns the text.
    fn settle(&self) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        let mut length = 0;
        let mut quiet = 0;
        while quiet < 20 && Instant::now() < end && self.qemu.ended().is_none() {
            thread::sleep(Duration::from_millis(100));
            let now = self.console.text().len();
            quiet = if now == length { quiet + 1 } else { 0 };
            length = now;
        }
        self.console.panic().unwrap_or_default()
    }

    fn call(
        &self,
        what: &str,
        blob: &[u8],
        message: impl FnOnce(u32) -> ToGuest,
    ) -> Result<Vec<u8>> {
        let number = self.channel.lock().number();
        self.send(&message(number), blob)?;
        // No limit but the guest's own: a knob may block for as long as it likes.
        let limit = self.deadline.saturating_duration_since(Instant::now());
        match self.wait(what, limit, |state| state.answers.remove(&number))? {
            Answer::Done { errno: 0, content } => Ok(content),
            Answer::Done { errno, .. } => Err(Error::Errno {
                what: what.to_owned(),
                errno: Errno::from_raw(errno),
            }),
            Answer::LogSent { .. } => Ok(Vec::new()),
        }
    }

    /// Waits until everything that the log holds by now has arrived.
    fn sync_log(&self, limit: Duration) -> Result<()> {
        let number = self.channel.lock().number();
        self.send(&ToGuest::SendLog { call: number }, b"")?;
        let last = self.wait("the kernel's log", limit, |state| {
            match state.answers.remove(&number)? {
                Answer::LogSent { last } => Some(last),
                Answer::Done { .. } => Some(None),
            }
        })?;
        let Some(last) = last else { return Ok(()) };
        self.wait("the end of the kernel's log", limit, |state| {
            (state.log.lines.last()?.seq >= last).then_some(())
        })
    }

    fn wait_hello(&self, limit: Duration) -> Result<(), BootError> {
        match self.wait("the agent", limit, |state| state.hello.take()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(BootError::new(reason)),
            Err(error) => Err(self.not_up(error)),
        }
    }

    /// Why the guest did not come up.
    fn not_up(&self, error: Error) -> BootError {
        let ending = || format!("; the console ends with:\n{}", self.console.tail(15));
        let reason = match &error {
            Error::Timeout { .. } => format!("{error}{}", ending()),
            Error::Panicked { text, .. } => format!("the guest panicked:\n{text}"),
            Error::Gone { how, .. } => format!("{how}{}", ending()),
            _ => error.to_string(),
        };
        BootError {
            reason,
            panicked: error.is_panic(),
            timed_out: Instant::now() >= self.deadline,
        }
    }

    /// Writes the guest's state to that file, which has this name in QEMU, for others to
    /// go on from. It stands still meanwhile.
    fn keep(&self, first: &First, name: &str) -> Result<()> {
        self.sync_log(ANSWER)?;
        self.control.execute(&qmp::stop {})?;
        // Frames are passed on whole: what this guest has sent by now we take in, what it
        // has not is part of its state.
        thread::sleep(TAKEN_IN);
        let log = self.channel.lock().log.clone();
        let console = self.console.bytes_from(0)?;
        let written = template::write(&self.control, name);
        self.control.execute(&qmp::cont {})?;
        written?;
        Ok(first.offer(log, console)?)
    }
}

/// Whether the registers of all CPUs (`info registers -a`) show that one at a program.
fn is_in_program(registers: &str, cpu: u32) -> bool {
    let number = cpu.to_string();
    registers
        .split("CPU#")
        .find(|part| part.lines().next() == Some(&number))
        .is_some_and(|part| part.contains(" CPL=3 "))
}

/// Kills QEMU at the deadline, whatever everybody else is doing then.
fn enforce(qemu: &Arc<Qemu>, deadline: Instant) -> Sender<()> {
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
    use super::is_in_program;

    #[test]
    fn at_a_program() {
        // As QEMU 10 says it.
        let one = |cpu, cpl| {
            format!(
                "\r\nCPU#{cpu}\r\nRAX=0000000000000000 RBX=0000000000000000\r\n\
                 RIP=0000000000401000 RFL=00000202 [-------] CPL={cpl} II=0 A20=1 SMM=0 HLT=0\r\n"
            )
        };
        let all = one(0, 0) + &one(1, 3) + &one(10, 3);
        assert!(!is_in_program(&all, 0));
        assert!(is_in_program(&all, 1));
        assert!(!is_in_program(&all, 2));
        assert!(!is_in_program(&one(10, 3), 1));
    }
}
