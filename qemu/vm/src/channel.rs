// SPDX-License-Identifier: GPL-2.0
//! Messages to and from the agent in the guest, and the log that it sends.
//!
//! A thread for each of the two ports receives the guest's messages and keeps them in
//! [`State`], where callers wait for what they need.

use crate::log::Log;
use std::{
    collections::HashMap,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use vigil_klog::LogLine;
use vigil_wire::{
    frame::{self, Decoder},
    FromGuest, LogRecords, ToGuest, VERSION,
};

/// What the guest has sent so far.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The agent's first message has come; the error is for an agent of another version.
    pub(crate) hello: Option<Result<(), String>>,
    /// The connection is closed.
    pub(crate) closed: bool,
    pub(crate) jobs: HashMap<u32, JobState>,
    /// Answers that their callers have not taken yet, by the number of the call.
    pub(crate) answers: HashMap<u32, Answer>,
    pub(crate) log: Log,
    next_number: u32,
}

#[derive(Debug, Default)]
pub(crate) struct JobState {
    pub(crate) output: Vec<u8>,
    pub(crate) status: Option<i32>,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Done { errno: i32, content: Vec<u8> },
    LogSent { last: Option<u64> },
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The connection to one agent.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Mutex<UnixStream>,
    shared: Arc<Shared>,
}

impl Channel {
    /// Starts the threads that receive messages, which end when QEMU closes its side.
    /// `sent` is the log that a guest sent before its snapshot was taken: its agent has sent
    /// its first message then, too.
    pub(crate) fn start(agent: UnixStream, log: UnixStream, sent: Option<Log>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        if let Some(sent) = sent {
            shared.change(|state| {
                state.hello = Some(Ok(()));
                state.log = sent;
            });
        }
        let reading = agent.try_clone()?;
        // A guest that reads nothing (it is frozen, say) must not block us for ever.
        agent.set_write_timeout(Some(Duration::from_secs(30)))?;
        let for_agent = Arc::clone(&shared);
        thread::spawn(move || {
            receive(reading, |message, blob| {
                for_agent.change(|state| state.heard(message, blob))
            });
            for_agent.change(|state| state.closed = true);
        });
        let for_log = Arc::clone(&shared);
        thread::spawn(move || {
            receive(log, |records, blob| {
                for_log.change(|state| state.logged(&records, &blob))
            });
        });
        let socket = Mutex::new(agent);
        Ok(Self { socket, shared })
    }

    pub(crate) fn send(&self, message: &ToGuest, blob: &[u8]) -> io::Result<()> {
        let bytes = frame::encode(message, blob)?;
        self.socket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&bytes)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the lock until a message comes, at most for `limit`.
    pub(crate) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        self.shared
            .changed
            .wait_timeout(state, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl State {
    /// A new number for a job or a call.
    pub(crate) fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    fn heard(&mut self, message: FromGuest, blob: Vec<u8>) {
        match message {
            FromGuest::Hello { version: VERSION } => self.hello = Some(Ok(())),
            FromGuest::Hello { version } => {
                self.hello = Some(Err(format!(
                    "the image's agent speaks version {version}, the harness {VERSION}: make the image anew"
                )));
            }
            FromGuest::Output { job } => self.jobs.entry(job).or_default().output.extend(blob),
            FromGuest::Exit { job, status } => {
                self.jobs.entry(job).or_default().status = Some(status);
            }
            FromGuest::Done { call, errno } => {
                self.answers.insert(
                    call,
                    Answer::Done {
                        errno,
                        content: blob,
                    },
                );
            }
            FromGuest::LogSent { call, last } => {
                self.answers.insert(call, Answer::LogSent { last });
            }
        }
    }

    fn logged(&mut self, records: &LogRecords, blob: &[u8]) {
        self.log.lost |= records.lost;
        let mut rest = blob;
        for length in &records.lengths {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            let (record, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            self.log.lines.extend(LogLine::parse_kmsg(record));
        }
    }
}

/// Reads frames until the other side closes, or sends bytes that are no frame.
fn receive<T>(mut socket: UnixStream, mut take: impl FnMut(T, Vec<u8>))
where
    T: serde::de::DeserializeOwned,
{
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => decoder.push(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        loop {
            match decoder.next_frame() {
                Ok(Some((message, blob))) => take(message, blob),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
