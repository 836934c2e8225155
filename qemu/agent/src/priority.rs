// SPDX-License-Identifier: GPL-2.0
//! CPU affinity and nice level of the agent and its scripts. Threads and processes
//! inherit both nice level and CPU affinity from the thread that starts them.

use nix::{
    libc::{self, c_int},
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
    unistd::Pid,
};
use std::{
    fs, io,
    os::unix::process::CommandExt,
    process::{Child, Command},
};
use vigil_wire::CPU_WORD;

/// The calling thread, for sched_setaffinity() and its like.
const SELF: Pid = Pid::from_raw(0);

/// Nice level of the agent's threads.
const AGENT_NICE: c_int = -10;

/// The CPUs that the agent could use before it bound itself to one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpus(CpuSet);

impl Cpus {
    /// Raises the agent's priority over ordinary load, and binds it to one CPU: CPU 0, or
    /// the CPU that the kernel's command line names. To be called while the agent has one
    /// thread only.
    pub(crate) fn bind_agent() -> nix::Result<Self> {
        let all = sched_getaffinity(SELF)?;
        let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let cpu = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(CPU_WORD)?.parse().ok())
            .unwrap_or(0);
        sched_setaffinity(SELF, &only(cpu)?)?;
        set_nice(AGENT_NICE);
        Ok(Self(all))
    }

    /// Starts a program at the ordinary priority, on one CPU or on all.
    pub(crate) fn spawn(&self, command: &mut Command, cpu: Option<usize>) -> io::Result<Child> {
        let set = match cpu {
            Some(cpu) => only(cpu)?,
            None => self.0,
        };
        let set_affinity = move || Ok(sched_setaffinity(SELF, &set)?);
        // SAFETY: Between fork and exec only async-signal-safe functions may be
        // called: this is one system call, and an io::Error from its error
        // number, which does not allocate.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(set_affinity);
        }
        set_nice(0);
        let child = command.spawn();
        set_nice(AGENT_NICE);
        child
    }
}

/// Sets the calling thread's nice level. The agent works at any level: a failure is ignored.
fn set_nice(level: c_int) {
    // SAFETY: setpriority() takes no pointers. 0 stands for the calling thread.
    #[allow(unsafe_code)]
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, level) };
}

fn only(cpu: usize) -> nix::Result<CpuSet> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(set)
}
