// SPDX-License-Identifier: GPL-2.0
//! The listener: reads requests from the port, and records from the kernel's log.

use crate::{kmsg, kmsg::Kmsg, port::Port};
use anyhow::Context;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::{
    io,
    os::fd::AsFd,
    sync::{mpsc::Sender, Arc},
    thread,
    time::Duration,
};
use vigil_wire::{frame::Decoder, FromGuest, ToGuest};

/// Poll interval in milliseconds: the port's interrupt may be routed to a CPU that is stuck,
/// and so may the irq_work that wakes readers of the log. A lost interrupt delays a message
/// by this much; an idle guest is woken this often.
const POLL_MS: u8 = 100;

struct Listener {
    agent: Arc<Port>,
    log: Port,
    kmsg: Kmsg,
    decoder: Decoder,
    requests: Sender<(ToGuest, Vec<u8>)>,
}

/// Starts the listener, which passes on all requests that it cannot answer itself.
pub(crate) fn start(
    agent: &Arc<Port>,
    log: Port,
    requests: Sender<(ToGuest, Vec<u8>)>,
) -> anyhow::Result<()> {
    let mut listener = Listener {
        agent: Arc::clone(agent),
        log,
        kmsg: Kmsg::open().context("cannot open /dev/kmsg")?,
        decoder: Decoder::default(),
        requests,
    };
    thread::Builder::new()
        .name("listener".to_owned())
        .spawn(move || loop {
            listener.wait();
            if let Err(error) = listener.handle_all() {
                kmsg::say(&format!("listener: {error}"));
                thread::sleep(Duration::from_secs(1));
            }
        })
        .context("cannot start the listener")?;
    Ok(())
}

impl Listener {
    fn wait(&self) {
        let mut fds = [
            PollFd::new(self.agent.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.kmsg.as_fd(), PollFlags::POLLIN),
        ];
        let _ = poll(&mut fds, PollTimeout::from(POLL_MS));
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLHUP) {
            // The host is not there (yet): poll returns at once in this state.
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn handle_all(&mut self) -> io::Result<()> {
        self.kmsg.send_all(&self.log)?;
        let mut buffer = [0; 32 << 10];
        loop {
            let length = self.agent.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            self.decoder.push(buffer.get(..length).unwrap_or_default());
            while let Some((request, blob)) = self.decoder.next_frame()? {
                self.handle(request, blob)?;
            }
        }
    }

    fn handle(&mut self, request: ToGuest, blob: Vec<u8>) -> io::Result<()> {
        if let ToGuest::SendLog { call } = request {
            let last = self.kmsg.send_all(&self.log)?;
            return self.agent.send(&FromGuest::LogSent { call, last }, b"");
        }
        self.requests
            .send((request, blob))
            .map_err(|_| io::Error::other("the dispatcher is gone"))
    }
}
