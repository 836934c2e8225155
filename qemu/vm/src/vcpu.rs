// SPDX-License-Identifier: GPL-2.0
//! Stops one virtual CPU, as a hypervisor does that does not schedule it; and has all of them share
//! one processor.
//!
//! Each virtual CPU is a thread of QEMU, which is stopped by ptrace. ptrace ties a traced
//! thread to the thread that traces it, so the tracer lives for as long as the stop lasts.
//!
//! QEMU's own code takes locks that the threads of the other CPUs need sooner or later: the
//! big QEMU lock and locks of the translator. A thread that is stopped while it holds such a
//! lock stops all CPUs. So a thread stays stopped only in translated code, where it holds
//! no lock, or while the CPU is idle.

use crate::error::{Error, Result};
use nix::{
    errno::Errno,
    sched::{sched_getaffinity, sched_setaffinity, CpuSet},
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

/// Interval at which the tracer checks whether its thread was killed.
const POLL: Duration = Duration::from_millis(50);

/// A virtual CPU that is stopped until this is dropped.
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
        let result = stop_without_locks(qemu, thread);
        let failed = result.is_err();
        let _ = report.send(result);
        if failed {
            return;
        }
        // Until the guard is dropped. A traced thread that is killed has to be
        // reaped by its tracer, or QEMU would stay a zombie.
        while released.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
            match waitpid(thread, Some(flags)) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => return,
                // It is about to handle a signal, which it does once it is detached.
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

/// What the host's scheduler gave a virtual CPU so far, in seconds: the time that it ran,
/// and the time that it was runnable and waited for a processor.
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

/// Puts all threads of QEMU on the last processor that this process may use.
pub(crate) fn share_one_processor(qemu: Pid) -> Result<()> {
    let ours = sched_getaffinity(Pid::from_raw(0)).map_err(io::Error::from)?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&cpu| ours.is_set(cpu) == Ok(true));
    let mut only = CpuSet::new();
    only.set(last.unwrap_or(0)).map_err(io::Error::from)?;
    for task in fs::read_dir(format!("/proc/{qemu}/task"))?.flatten() {
        if let Ok(thread) = task.file_name().to_string_lossy().parse() {
            match sched_setaffinity(Pid::from_raw(thread), &only) {
                // It has ended.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::Io(errno.into())),
            }
        }
    }
    Ok(())
}

/// How many times a thread is stopped until it holds no lock, and how long it runs in
/// between.
const STOP_TRIES: u32 = 2000;
const STOP_RETRY: Duration = Duration::from_millis(1);

fn stop_without_locks(qemu: Pid, thread: Pid) -> nix::Result<()> {
    for _ in 0..STOP_TRIES {
        stop(thread)?;
        match holds_no_lock(qemu, thread) {
            Ok(true) => return Ok(()),
            Ok(false) => ptrace::detach(thread, None)?,
            Err(errno) => {
                let _ = ptrace::detach(thread, None);
                return Err(errno);
            }
        }
        thread::sleep(STOP_RETRY);
    }
    Err(Errno::ETIMEDOUT)
}

/// Whether a stopped thread holds no lock for certain.
#[cfg(target_arch = "x86_64")]
fn holds_no_lock(qemu: Pid, thread: Pid) -> nix::Result<bool> {
    // pthread_cond_wait() waits so, and pthread_mutex_lock() by FUTEX_WAIT.
    const FUTEX: u64 = 202;
    const WAIT_BITSET: u64 = 9;
    const COMMAND: u64 = 0x7f;
    let regs = ptrace::getregs(thread)?;
    if regs.orig_rax == FUTEX && regs.rsi & COMMAND == WAIT_BITSET {
        return Ok(true);
    }
    // Under KVM the CPU runs in this system call.
    const IOCTL: u64 = 16;
    const KVM_RUN: u64 = 0xae80;
    if regs.orig_rax == IOCTL && regs.rsi & 0xffff_ffff == KVM_RUN {
        return Ok(true);
    }
    let maps = fs::read_to_string(format!("/proc/{qemu}/maps")).map_err(|_| Errno::ESRCH)?;
    Ok(maps.lines().any(|line| is_translated(line, regs.rip)))
}

/// Not implemented for this host architecture.
#[cfg(not(target_arch = "x86_64"))]
fn holds_no_lock(_qemu: Pid, _thread: Pid) -> nix::Result<bool> {
    Ok(true)
}

/// Whether a line of `/proc/PID/maps` describes memory for translated code (executable,
/// anonymous or QEMU's memfd) that contains the address.
#[cfg(any(target_arch = "x86_64", test))]
fn is_translated(line: &str, address: u64) -> bool {
    let mut words = line.split_ascii_whitespace();
    let (Some(range), Some(rights)) = (words.next(), words.next()) else {
        return false;
    };
    let name = words.nth(3).unwrap_or("");
    let number = |word| u64::from_str_radix(word, 16);
    let Some((Ok(from), Ok(to))) = range.split_once('-').map(|(a, b)| (number(a), number(b)))
    else {
        return false;
    };
    rights.contains('x')
        && (name.is_empty() || name.starts_with("/memfd:tcg-jit"))
        && (from..to).contains(&address)
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

#[cfg(test)]
mod tests {
    use super::is_translated;

    #[test]
    fn translated_code_is_in_anonymous_memory() {
        let buffer = "7f12c0000000-7f1300000000 rwxp 00000000 00:00 0 ";
        assert!(is_translated(buffer, 0x7f12_c000_0000));
        assert!(is_translated(buffer, 0x7f12_ffff_ffff));
        assert!(!is_translated(buffer, 0x7f13_0000_0000));
        let shared = "1000-2000 r-xs 00000000 00:01 2050 /memfd:tcg-jit (deleted)";
        assert!(is_translated(shared, 0x1234));
        for line in [
            "1000-2000 r-xp 00001000 fe:00 42 /usr/bin/qemu-system-x86_64",
            "1000-2000 r-xp 00000000 00:00 0 [vdso]",
            "1000-2000 rw-p 00000000 00:00 0",
            "",
            "1000 r-xp",
        ] {
            assert!(!is_translated(line, 0x1234), "{line}");
        }
    }
}
