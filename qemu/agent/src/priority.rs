// SPDX-License-Identifier: GPL-2.0
//! Where the agent and its scripts run, and how urgently. Threads and processes
//! inherit both nice level and CPU affinity from the thread that starts them.

use nix::{
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    unistd::Pid,
};
use rustix::{process::setpriority_process, thread::gettid};
use std::{
    fs, io,
    os::unix::process::CommandExt,
    process::{Child, Command},
};
use vigil_wire::CPU_WORD;

/// The calling thread, for the calls of this file.
const SELF: Pid = Pid::from_raw(0);

/// The CPUs of the guest, as they were before the agent settled on one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus(CpuSet);

impl Cpus {
    /// Favours the agent over ordinary load, and keeps it on one CPU: CPU 0, or
    /// what the kernel's command line says. To be called before there is a
    /// second thread.
    pub(crate) fn settle() -> nix::Result<Self> {
        let all = sched_getaffinity(SELF)?;
        let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let cpu = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(CPU_WORD)?.parse().ok())
            .unwrap_or(0);
        sched_setaffinity(SELF, &only(cpu)?)?;
        raise();
        Ok(Self(all))
    }

    /// Starts a program at the ordinary priority, on one CPU or on all.
    pub(crate) fn spawn(&self, command: &mut Command, cpu: Option<usize>) -> io::Result<Child> {
        let set = match cpu {
            Some(cpu) => only(cpu)?,
            None => self.0,
        };
        let settle = move || Ok(sched_setaffinity(SELF, &set)?);
        // SAFETY: Between fork and exec only async-signal-safe functions may be
        // called: this is one system call, and an io::Error from its error
        // number, which does not allocate.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(settle);
        }
        let _ = setpriority_process(Some(gettid()), 0);
        let child = command.spawn();
        raise();
        child
    }
}

fn raise() {
    let _ = setpriority_process(Some(gettid()), -10);
}

fn only(cpu: usize) -> nix::Result<CpuSet> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(set)
}
