// SPDX-License-Identifier: GPL-2.0

//! Unpaused time: the time that a task's age is measured in.
//!
//! It is `CLOCK_MONOTONIC` without the time in which the machine did not run
//! ([`crate::logic::pause_clock`]) and without suspend.

use super::ctx::HungTaskCtx;
use crate::{
    logic::pause_clock,
    sys::{
        clock::monotonic,
        pause_clock::{
            PauseClock,
            PauseClockGuard,
            PauseRule, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// One moment on both clocks, in nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct Time {
    /// [`monotonic`].
    pub(super) monotonic: u64,
    /// Unpaused time.
    pub(super) unpaused: u64,
}

/// The clock of unpaused time. Its timer runs only while tasks are tracked: without tasks whose age
/// matters it costs nothing.
pub(super) struct UnpausedClock {
    ctx: Arc<HungTaskCtx>,
    clock: Arc<PauseClock>,
    guard: Option<PauseClockGuard>,
}

impl UnpausedClock {
    /// A clock whose timer is stopped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(ctx: Arc<HungTaskCtx>) -> Result<Self> {
        Ok(Self {
            ctx,
            clock: PauseClock::new(PauseRule {
                period_ns: pause_clock::PERIOD_NS,
                overdue: pause_clock::overdue,
                paused_ns: pause_clock::paused_ns,
            })?,
            guard: None,
        })
    }

    /// Starts the timer, unless it runs.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn start(&mut self) {
        if self.guard.is_none() {
            self.guard = Some(self.clock.clone().start());
        }
    }

    /// Stops the timer.
    ///
    /// # Context
    ///
    /// Process context; waits for a running interrupt to end.
    pub(super) fn stop(&mut self) {
        self.guard = None;
    }

    /// How much of the time in which the timer ran was taken for pauses, in nanoseconds.
    pub(super) fn paused_ns(&self) -> u64 {
        self.clock.paused_ns()
    }

    /// The time. Restarts the timer on this CPU if its interrupt is overdue.
    ///
    /// # Context
    ///
    /// Process context.
    pub(super) fn now(&mut self) -> Time {
        let (monotonic, paused_ns) = loop {
            let Some(guard) = self.guard.take() else {
                break (monotonic(), self.clock.paused_ns());
            };
            let read = guard.read();
            self.guard = Some(match read {
                Some(_) => guard,
                None => guard.restart(),
            });
            if let Some(read) = read {
                break read;
            }
        };
        let not_running = paused_ns.saturating_add(self.ctx.suspended_ns());
        Time {
            monotonic,
            unpaused: monotonic.saturating_sub(not_running),
        }
    }
}
