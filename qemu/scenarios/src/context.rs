// SPDX-License-Identifier: GPL-2.0
//! What a scenario is given: it boots guests, which are killed and checked after it.

use crate::slots::{SlotClass, Yielded};
use std::{
    fmt::Write,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};
use vigil_klog::Splat;
use vigil_vm::{BootError, Config, LogLine, Observer, Vm};

/// Number of the log's last lines that are shown with a failure.
const TAIL: usize = 25;

/// Given to every scenario.
#[derive(Debug)]
pub(crate) struct Cx {
    /// Names the guests' consoles.
    name: String,
    deadline: Instant,
    /// The class of the scenario's slot.
    slot: Option<SlotClass>,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    started: u32,
    observers: Vec<Observer>,
}

impl Cx {
    pub(crate) fn new(name: String, limit: Duration, slot: Option<SlotClass>) -> Self {
        Self {
            name,
            deadline: Instant::now() + limit,
            slot,
            guests: Mutex::default(),
        }
    }

    /// The configuration of a guest of this scenario, to be changed and given to
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

    /// Sleeps while the scenario's guests are stopped by the harness, and lets another
    /// scenario use the slot meanwhile.
    pub(crate) fn sleep_yielding_slot(&self, time: Duration) {
        // A second try stays exclusive.
        let slot = self.slot.filter(|class| *class != SlotClass::Exclusive);
        let _yielded = slot.map(Yielded::new);
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

    /// Has a guest continue in another QEMU: see [`Vm::continue_elsewhere`].
    pub(crate) fn continue_elsewhere(
        &self,
        vm: Vm,
        config: Config,
        later: Duration,
    ) -> anyhow::Result<Vm> {
        let vm = vm.continue_elsewhere(&config, later)?;
        // The first one's log is the beginning of this one's.
        let mut guests = self.guests();
        guests.observers.pop();
        guests.observers.push(vm.observer());
        drop(guests);
        Ok(vm)
    }

    /// Kills every guest, which makes every call of the scenario that waits for one fail.
    pub(crate) fn kill_all(&self) {
        for observer in &self.guests().observers {
            observer.kill();
        }
    }

    /// The splats in the guests' logs that the scenario does not allow, a line each.
    pub(crate) fn splats(&self, allowed: &[Splat]) -> Vec<String> {
        let guests = self.guests();
        let mut found = Vec::new();
        for observer in &guests.observers {
            for line in observer.log().lines() {
                // Programs may write anything to the log.
                let splat = Splat::of(&line.text).filter(|_| line.facility == 0);
                if let Some(splat) = splat.filter(|splat| !allowed.contains(splat)) {
                    found.push(format!("{splat:?}: [{:.6}] {}", line.time, line.text));
                }
            }
            let panicked = observer.console().panic().is_some() && !observer.panic_was_awaited();
            if panicked && !allowed.contains(&Splat::Panic) {
                found.push(
                    "Panic: the guest panicked, which the scenario did not wait for".to_owned(),
                );
            }
        }
        found
    }

    /// Text for a failure: where each guest's console and log are, and the log's last lines.
    pub(crate) fn evidence(&self) -> String {
        let mut text = String::new();
        for observer in &self.guests().observers {
            let console = observer.console();
            let log = observer.log();
            let lines = log.lines();
            if let Some(path) = console.path() {
                let _ = writeln!(text, "console: {}", path.display());
                // The console lacks the lines of lower levels.
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

/// The log as text.
fn whole(lines: &[LogLine]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "[{:12.6}] {}", line.time, line.text);
        text
    })
}
