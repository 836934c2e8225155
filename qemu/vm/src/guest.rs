// SPDX-License-Identifier: GPL-2.0
//! [`Guest`]: the running guest as [`crate::Vm`], its jobs and its observers share it.

use crate::{
    channel::{Answer, Channel, State},
    console::Console,
    error::{BootError, Error, Result},
    log::Log,
    qemu::Qemu,
    qmp::Control,
    snapshot::{self, Pending},
};
use nix::errno::Errno;
use qapi::qmp;
use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};
use vigil_wire::ToGuest;

/// Interval at which a wait checks that the guest still runs: a kernel that panicked
/// and does not reboot sends nothing that would end the wait.
const ALIVE_CHECK: Duration = Duration::from_millis(500);

/// How long the host may take to receive what a stopped guest has sent before.
const RECEIVE_LIMIT: Duration = Duration::from_millis(100);

/// How long an answer from the agent may take by itself; a loaded guest under
/// emulation is slow.
pub(crate) const ANSWER: Duration = Duration::from_secs(60);

/// What x86 kernels say that do not use the APIC's timer: `setup_boot_APIC_clock()`.
const NO_TIMER: [&str; 3] = [
    "APIC timer disabled",
    "Disabling APIC timer",
    "disabling apic timer",
];

/// The running guest.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) channel: Channel,
    pub(crate) control: Control,
    pub(crate) qemu: Arc<Qemu>,
    pub(crate) console: Console,
    pub(crate) limit: Duration,
    pub(crate) deadline: Instant,
    /// What limits are multiplied by: [`crate::Artifacts::slowdown`].
    pub(crate) slowdown: u32,
    /// QEMU is stopped by a signal.
    pub(crate) frozen: AtomicBool,
    /// An observer exists: the log has to be complete when the guest is dropped.
    pub(crate) observed: AtomicBool,
    /// A caller waited for a panic, and it came.
    pub(crate) panic_awaited: AtomicBool,
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

    /// Waits until `find` returns something for what the guest has sent, or the guest
    /// cannot send any more.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let limit = limit.saturating_mul(self.slowdown);
        let deadline = self.deadline.min(Instant::now() + limit);
        let mut next_check = Instant::now() + ALIVE_CHECK;
        let mut state = self.channel.lock();
        loop {
            if let Some(found) = find(&mut state) {
                return Ok(found);
            }
            let now = Instant::now();
            if state.closed || now >= next_check || now >= deadline {
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
                    // QEMU is about to end, and its exit status to be known.
                    thread::sleep(Duration::from_millis(10));
                }
                next_check = now + ALIVE_CHECK;
                state = self.channel.lock();
                continue;
            }
            let pause = next_check.min(deadline).saturating_duration_since(now);
            state = self.channel.wait(state, pause);
        }
    }

    /// The reason why the guest cannot send any more, if there is one.
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
    pub(crate) fn settle(&self) -> String {
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

    pub(crate) fn call(
        &self,
        what: &str,
        blob: &[u8],
        message: impl FnOnce(u32) -> ToGuest,
    ) -> Result<Vec<u8>> {
        let number = self.channel.lock().number();
        self.send(&message(number), blob)?;
        // No limit but the guest's own: a write to a knob may block for long.
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
    pub(crate) fn sync_log(&self, limit: Duration) -> Result<()> {
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

    /// Waits for the agent. A guest whose kernel has found no use for the APIC's timer is not up: its
    /// timers have the resolution of jiffies, and all of them need CPU 0, so that nothing says anything
    /// of that one. It happens where a busy host disturbs the kernel's measuring.
    pub(crate) fn wait_hello(&self, limit: Duration) -> Result<(), BootError> {
        match self.wait("the agent", limit, |state| state.hello.take()) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(BootError::new(reason)),
            Err(error) => return Err(self.not_up(error)),
        }
        self.sync_log(ANSWER).map_err(|error| self.not_up(error))?;
        let log = &self.channel.lock().log;
        let is_it = |text: &str| NO_TIMER.iter().any(|words| text.contains(words));
        match log.lines.iter().find(|line| is_it(&line.text)) {
            Some(line) => Err(BootError::new(format!("the guest says: {}", line.text))),
            None => Ok(()),
        }
    }

    /// Why the guest did not come up.
    pub(crate) fn not_up(&self, error: Error) -> BootError {
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

    /// Saves the guest's state to the file of `pending`, which QEMU knows under this
    /// name, and publishes it. The guest is stopped meanwhile.
    pub(crate) fn save(&self, pending: &Pending, name: &str) -> Result<()> {
        let saved = self.save_to(name);
        self.control.execute(&qmp::cont {})?;
        let (log, console) = saved?;
        Ok(pending.publish(log, console)?)
    }

    /// Stops the guest and saves its state to this file of QEMU's. Returns what the guest has
    /// sent by then: its log, and the console's text.
    pub(crate) fn save_to(&self, name: &str) -> Result<(Log, Vec<u8>)> {
        self.sync_log(ANSWER)?;
        self.control.execute(&qmp::stop {})?;
        // Frames are passed on whole: what this guest has sent by now arrives here, and what
        // it has not sent is part of its state.
        thread::sleep(RECEIVE_LIMIT);
        let log = self.channel.lock().log.clone();
        let console = self.console.bytes_from(0)?;
        snapshot::save(&self.control, name)?;
        Ok((log, console))
    }
}
