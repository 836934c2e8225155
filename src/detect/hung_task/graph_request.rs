// SPDX-License-Identifier: GPL-2.0

//! Requests for the graph of who waits for whom, by readers of `vigil/waitgraph.dot`.
//!
//! The tracked tasks belong to the hung-task thread, which takes no lock for them. So a reader puts
//! memory for the answer here, wakes the thread, and sleeps; the thread, whatever
//! `hung_task_report` is, makes the graph as it is at that moment, between two checks or two reports of
//! one. No task is referred to when it has answered.
//!
//! ```text
//!   Idle --> Asked(memory) --> Answering --> Answered(graph) --> Idle
//!               |                  |             reader takes it
//!               |                  +--> Abandoned --> Idle
//!               +--> Idle            its reader has gone
//!   any --> Closed: the thread ends
//! ```
//!
//! One request is answered at a time. A reader waits for ten seconds at most, and can be interrupted. The
//! thread waits for nobody: the spinlock is held for some instructions only.

use crate::{
    logic::dot::{
        DotTask,
        MAX_TASKS, //
    },
    sys::{
        buffer::Buffer,
        clock::monotonic,
        kthread::ThreadControl, //
    }, //
};
use kernel::{
    new_condvar,
    new_spinlock,
    prelude::*,
    sync::{
        CondVar,
        CondVarTimeoutResult,
        SpinLock, //
    },
    time::msecs_to_jiffies, //
};

/// How long a reader waits, in milliseconds, for the thread or for other readers.
const TIMEOUT_MS: u32 = 10_000;

/// The graph of who waits for whom.
pub(crate) struct WaitGraphAnswer {
    tasks: Buffer<DotTask>,
    shown: usize,
    /// How many hung tasks are not shown.
    pub(crate) more: u64,
}

impl WaitGraphAnswer {
    /// The tasks that are shown.
    pub(crate) fn tasks(&self) -> &[DotTask] {
        self.tasks.get(..self.shown).unwrap_or_default()
    }
}

enum State {
    Idle,
    Asked(Buffer<DotTask>),
    Answering,
    Abandoned,
    Answered(Result<WaitGraphAnswer>),
    Closed,
}

/// The requests.
#[pin_data]
pub(super) struct GraphRequests {
    #[pin]
    state: SpinLock<State>,
    #[pin]
    changed: CondVar,
}

/// A request that the thread answers.
pub(super) struct GraphRequest(Buffer<DotTask>);

impl GraphRequest {
    /// Where the tasks go that are shown.
    pub(super) fn tasks(&mut self) -> &mut [DotTask] {
        &mut self.0
    }

    /// The answer: the first `shown` tasks.
    pub(super) fn answer(self, shown: usize, more: u64) -> WaitGraphAnswer {
        WaitGraphAnswer {
            tasks: self.0,
            shown,
            more,
        }
    }
}

impl GraphRequests {
    /// There are none.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State::Idle, "vigil::GraphRequests::state"),
            changed <- new_condvar!("vigil::GraphRequests::changed"),
        })
    }

    /// Changes the state. What it was is dropped without the lock.
    fn replace(&self, change: impl FnOnce(&State) -> Option<State>) {
        let old = {
            let mut state = self.state.lock();
            change(&state).map(|new| core::mem::replace(&mut *state, new))
        };
        if old.is_some() {
            self.changed.notify_all();
        }
    }

    /// Asks the thread that `control` wakes for the graph.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR`; `ETIMEDOUT` if the thread is at something that takes longer, as a report on a
    /// slow console; `ENODEV` if it has ended.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(super) fn ask(&self, control: &ThreadControl) -> Result<WaitGraphAnswer> {
        let tasks = Buffer::new(MAX_TASKS, GFP_KERNEL, |_| Ok(DotTask::default()))?;
        let until = monotonic().saturating_add(u64::from(TIMEOUT_MS).saturating_mul(1_000_000));
        // Other readers first.
        let mut asked = Some(tasks);
        self.wait(until, |state| match state {
            State::Idle => {
                *state = State::Asked(asked.take()?);
                Some(Ok(()))
            }
            State::Closed => Some(Err(ENODEV)),
            _ => None,
        })?;
        control.wake();
        let answer = self.wait(until, |state| match state {
            State::Answered(_) => match core::mem::replace(state, State::Idle) {
                State::Answered(answer) => Some(answer),
                _ => None,
            },
            State::Closed => Some(Err(ENODEV)),
            _ => None,
        });
        match &answer {
            // The next reader.
            Ok(_) => self.changed.notify_all(),
            Err(_) => self.replace(|state| match state {
                State::Asked(_) | State::Answered(_) => Some(State::Idle),
                State::Answering => Some(State::Abandoned),
                _ => None,
            }),
        }
        answer
    }

    /// Waits until `ready` returns something.
    fn wait<T>(
        &self,
        until: u64,
        mut ready: impl FnMut(&mut State) -> Option<Result<T>>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(result) = ready(&mut state) {
                return result;
            }
            let left = until.saturating_sub(monotonic()) / 1_000_000;
            let left = u32::try_from(left).unwrap_or(TIMEOUT_MS);
            if left == 0 {
                return Err(ETIMEDOUT);
            }
            let waited = self
                .changed
                .wait_interruptible_timeout(&mut state, msecs_to_jiffies(left));
            if matches!(waited, CondVarTimeoutResult::Signal { .. }) {
                return Err(EINTR);
            }
        }
    }

    /// Takes the request, if there is one.
    ///
    /// # Context
    ///
    /// The hung-task thread.
    pub(super) fn take(&self) -> Option<GraphRequest> {
        let mut state = self.state.lock();
        match core::mem::replace(&mut *state, State::Answering) {
            State::Asked(tasks) => Some(GraphRequest(tasks)),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Answers the request that was taken.
    ///
    /// # Context
    ///
    /// The hung-task thread.
    pub(super) fn answer(&self, answer: Result<WaitGraphAnswer>) {
        let mut answer = Some(answer);
        self.replace(|state| match state {
            State::Answering => answer.take().map(State::Answered),
            _ => Some(State::Idle),
        });
        // An answer that no reader waits for any more: to free it may mean to sleep.
        drop(answer);
    }

    /// Answers no request any more.
    ///
    /// # Context
    ///
    /// The hung-task thread, at its end.
    pub(super) fn close(&self) {
        self.replace(|_| Some(State::Closed));
    }
}
