// SPDX-License-Identifier: GPL-2.0
//! The program that runs inside a guest and does what the harness asks.
//!
//! It is process 1's only child and talks to the harness through two virtio
//! ports (see `vigil_wire`). Lockups are what is tested here, so it must go on
//! working while a CPU is stuck:
//!
//! - All of its threads are bound to one CPU from the start (CPU 0, or
//!   `vigil_agent_cpu=N` on the kernel's command line). When a process unmaps memory, the
//!   kernel waits for a TLB flush on each CPU that the process has run on: for ever if
//!   that CPU is stuck.
//! - It does not rely on interrupts: the port and the log are polled ten times a second.
//! - Each request that may block has a thread of its own.
//!
//! ```text
//!   listener     polls the port and the kernel's log    -> listen.rs
//!   dispatcher   starts a worker for each request
//!   workers      run a script, read or write a file     -> jobs.rs, files.rs
//! ```
//!
//! Nothing here is real-time: that would change what the tests measure. The
//! threads are at nice -10, the scripts at 0.

mod events;
mod fail_nth;
mod files;
mod init;
mod jobs;
mod kmsg;
mod listen;
mod port;
mod priority;
mod threads;
mod work;

use anyhow::Context;
use port::Port;
use priority::Cpus;
use std::{
    sync::{mpsc, Arc},
    thread,
};
use vigil_wire::{FromGuest, ToGuest, AGENT_PORT, LOG_PORT, VERSION};

fn main() -> anyhow::Result<()> {
    if std::process::id() == 1 {
        init::supervise();
    }
    // Tools that scenarios run as programs of their own.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first().map(|(a, b)| (a.as_str(), b)) {
        Some(("events", rest)) => return events::main(rest),
        Some(("fail-nth", rest)) => return fail_nth::main(rest),
        Some(("threads", rest)) => return threads::main(rest),
        Some(("work", rest)) => return work::main(rest),
        _ => {}
    }
    let cpus = Cpus::bind_agent().context("cannot bind the agent to a CPU")?;
    let agent = Arc::new(Port::open(AGENT_PORT)?);
    let log = Port::open(LOG_PORT)?;
    // The OOM killer must not end the agent: the harness would lose the guest.
    std::fs::write("/proc/self/oom_score_adj", "-1000").context("oom_score_adj")?;

    // While the console is open, the tty keeps what is typed for a later reader.
    let _console = jobs::open_console();
    let (requests, incoming) = mpsc::channel();
    listen::start(&agent, log, requests)?;
    agent.send(&FromGuest::Hello { version: VERSION }, b"")?;
    dispatch(&agent, cpus, &incoming);
    Ok(())
}

/// Starts a thread for each request, so that a request that blocks for ever (as hung tasks
/// do) delays no other.
fn dispatch(agent: &Arc<Port>, cpus: Cpus, incoming: &mpsc::Receiver<(ToGuest, Vec<u8>)>) {
    let jobs = Arc::new(jobs::Jobs::new(cpus));
    for (request, blob) in incoming {
        let agent = Arc::clone(agent);
        let jobs = Arc::clone(&jobs);
        // Before whatever is asked of the job later.
        if let ToGuest::Run { job, .. } = request {
            jobs.add(job);
        }
        thread::spawn(move || {
            let done = match request {
                ToGuest::Run { job, sink, cpu } => jobs.run(&agent, job, sink, cpu, &blob),
                ToGuest::Kill { job } => jobs.kill(job),
                ToGuest::Read { call, path } => files::read(&agent, call, &path),
                ToGuest::Write { call, path } => files::write(&agent, call, &path, &blob),
                ToGuest::SendLog { .. } => unreachable!("the listener answers this one"),
            };
            if let Err(error) = done {
                kmsg::say(&format!("{error:#}"));
            }
        });
    }
}
