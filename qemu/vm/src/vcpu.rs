// SPDX-License-Identifier: GPL-2.0
//! Stopping one virtual CPU, as a hypervisor does that does not run it.
//!
//! Each virtual CPU is a thread of QEMU, so a debugger's stop of that thread is
//! all it takes. A thread is traced by one thread, which has to stay for as long
//! as the stop shall last.

use crate::{Error, Result};
use nix::{
    sys::{
        ptrace,
        wait::{waitpid, WaitPidFlag, WaitStatus},
    },
    unistd::Pid,
};
use std::{
    fs, io,
    sync::mpsc::{channel, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often the tracer looks whether its thread was killed.
const LOOK: Duration = Duration::from_millis(50);

/// A virtual CPU that stands still until this is dropped.
#[derive(Debug)]
pub struct FrozenVcpu {
    release: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

/// Stops virtual CPU `cpu` of the QEMU with that process number.
pub(crate) fn freeze(qemu: Pid, cpu: u32) -> Result<FrozenVcpu> {
    let thread = find(qemu, cpu)?;
    let (release, released) = channel::<()>();
    let (report, stopped) = channel();
    let tracer = thread::spawn(move || {
        let result = stop(thread);
        let going_on = result.is_err();
        let _ = report.send(result);
        if going_on {
            return;
        }
        // Until the guard is dropped. A traced thread that is killed has to be
        // reaped by its tracer, or QEMU would stay a zombie that nobody can reap.
        while released.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
            match waitpid(thread, Some(flags)) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => return,
                // It wants to handle a signal; that can wait.
                Ok(_) => {}
            }
        }
        let _ = ptrace::detach(thread, None);
    });
    let frozen = FrozenVcpu {
        release: Some(release),
        tracer: Some(tracer),
    };
    match stopped.recv() {
        Ok(Ok(())) => Ok(frozen),
        Ok(Err(errno)) => Err(Error::Io(errno.into())),
        Err(_) => Err(Error::Io(io::Error::other("the tracing thread died"))),
    }
}

/// What the host gave a virtual CPU so far, in seconds: how long it ran, and how
/// long it wanted to and had to wait for a processor.
pub(crate) fn times(qemu: Pid, cpu: u32) -> Result<(f64, f64)> {
    let thread = find(qemu, cpu)?;
    let path = format!("/proc/{qemu}/task/{thread}/schedstat");
    let text = fs::read_to_string(&path)?;
    let mut fields = text.split_whitespace().map(str::parse::<f64>);
    match (fields.next(), fields.next()) {
        (Some(Ok(ran)), Some(Ok(waited))) => Ok((ran / 1e9, waited / 1e9)),
        _ => Err(Error::Missing(format!("{path}: '{text}'"))),
    }
}

fn stop(thread: Pid) -> nix::Result<()> {
    ptrace::seize(thread, ptrace::Options::empty())?;
    ptrace::interrupt(thread)?;
    waitpid(thread, Some(WaitPidFlag::__WALL))?;
    Ok(())
}

/// The thread that runs a virtual CPU; QEMU names them with `debug-threads=on`.
fn find(qemu: Pid, cpu: u32) -> Result<Pid> {
    let prefix = format!("CPU {cpu}/");
    for task in fs::read_dir(format!("/proc/{qemu}/task"))?.flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let number = task.file_name().to_string_lossy().parse();
        if let (true, Ok(number)) = (name.starts_with(&prefix), number) {
            return Ok(Pid::from_raw(number));
        }
    }
    Err(Error::Missing(format!(
        "QEMU has no thread for virtual CPU {cpu}"
    )))
}

impl Drop for FrozenVcpu {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}
