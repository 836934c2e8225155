// SPDX-License-Identifier: GPL-2.0
//! What a scenario is given: guests that die with it, and are looked at after it.

use crate::{
    splat::{self, Splat},
    turns::{Lent, Share},
};
use std::{
    fmt::Write,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use vigil_vm::{BootError, Config, LogLine, Observer, Vm};

/// Lines of the log shown with a failure.
const TAIL: usize = 25;

/// Given to every scenario.
#[derive(Debug)]
pub(crate) struct Cx {
    /// Names the guests' consoles.
    name: String,
    deadline: Instant,
    /// What it has of the machine.
    share: Option<Share>,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    started: u32,
    observers: Vec<Observer>,
}

impl Cx {
    pub(crate) fn new(name: String, limit: Duration, share: Option<Share>) -> Self {
        Self {
            name,
            deadline: Instant::now() + limit,
            share,
            guests: Mutex::default(),
        }
    }

    /// What a guest of this scenario is made of, to be changed and given to
    /// [`Cx::boot_with`].
    pub(crate) fn config(&self) -> Config {
        let mut guests = self.guests();
        guests.started += 1;
        let name = match guests.started {
            1 => self.name.clone(),
            n => format!("{}-{n}", self.name),
        };
        // The guest's limit is what is left of the scenario's, which has been multiplied by the kernel's slowdown.
        Config::new(name)
            .limit(self.deadline.saturating_duration_since(Instant::now()))
            .share_snapshot()
    }

    /// Waits while its guests stand still (frozen by the harness), and lets another
    /// scenario use the processor time meanwhile.
    pub(crate) fn sleep_yielding_slot(&self, time: Duration) {
        // One that is alone stays so.
        let share = self.share.filter(|share| *share != Share::Alone);
        let _lent = share.map(Lent::new);
        thread::sleep(time);
    }

    /// Boots an ordinary guest: 2 CPUs, 1 GiB.
    pub(crate) fn boot(&self) -> Result<Vm, BootError> {
        self.boot_with(self.config())
    }

    /// Boots a guest.
    pub(crate) fn boot_with(&self, config: Config) -> Result<Vm, BootError> {
        let vm = Vm::boot(config)?;
        self.guests().observers.push(vm.observer());
        Ok(vm)
    }

    /// Kills every guest: whatever the scenario waits for fails then.
    pub(crate) fn kill_all(&self) {
        for observer in &self.guests().observers {
            observer.kill();
        }
    }

    /// Complaints in the guests' logs that are not allowed, a line each.
    pub(crate) fn splats(&self, allowed: &[Splat]) -> Vec<String> {
        let guests = self.guests();
        let mut found = Vec::new();
        for observer in &guests.observers {
            for line in observer.log().lines() {
                // Programs may write anything to the log.
                let splat = splat::classify(&line.text).filter(|_| line.facility == 0);
                if let Some(splat) = splat.filter(|splat| !allowed.contains(splat)) {
                    found.push(format!("{splat:?}: [{:.6}] {}", line.time, line.text));
                }
            }
            let panicked = observer.console().panic().is_some() && !observer.panic_was_awaited();
            if panicked && !allowed.contains(&Splat::Panic) {
                found.push("Panic: the guest panicked, which nobody waited for".to_owned());
            }
        }
        found
    }

    /// Where to look after a failure: each guest's console and last lines.
    pub(crate) fn evidence(&self) -> String {
        let mut text = String::new();
        for observer in &self.guests().observers {
            let console = observer.console();
            let log = observer.log();
            let lines = log.lines();
            if let Some(path) = console.path() {
                let _ = writeln!(text, "console: {}", path.display());
                // What is logged at a low level is not on the console.
                let path = path.with_extension("log");
                if fs::write(&path, whole(lines)).is_ok() {
                    let _ = writeln!(text, "log: {}", path.display());
                }
            }
            let _ = writeln!(text, "the last lines of the guest's log:");
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
                let _ = writeln!(text, "  [{:12.6}] {}", line.time, line.text);
            }
        }
        text
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log as a text.
fn whole(lines: &[LogLine]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "[{:12.6}] {}", line.time, line.text);
        text
    })
}
