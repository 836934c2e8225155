// SPDX-License-Identifier: GPL-2.0
//! A process that cannot outlive this one, however this one dies.

use nix::{
    errno::Errno,
    fcntl::{fcntl, FcntlArg, FdFlag},
    sys::{prctl, signal::Signal},
    unistd::getppid,
};
use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Child, Command},
    sync::{
        mpsc::{channel, Sender},
        Mutex, OnceLock, PoisonError,
    },
    thread,
};

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` with `inherited` open in it, under the same numbers. The
/// kernel kills it with SIGKILL when this process ends.
///
/// # Errors
///
/// When the program cannot be started.
pub(crate) fn spawn(mut command: Command, inherited: Vec<OwnedFd>) -> io::Result<Child> {
    let parent = std::process::id();
    let prepare = move || {
        for fd in &inherited {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above.
        if i64::from(getppid().as_raw()) != i64::from(parent) {
            return Err(Errno::ESRCH.into());
        }
        Ok(())
    };
    // SAFETY: Between fork and exec only async-signal-safe functions may be
    // called. The closure calls fcntl, prctl and getppid, and on its error paths
    // makes io::Errors from error numbers, which does not allocate.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
    let (reply, answer) = channel();
    spawner()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, reply))
        .map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

/// The thread that starts all children. "Parent death" means the death of the
/// thread that started the child, so it has to be one that never ends.
fn spawner() -> &'static Mutex<Sender<Order>> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    })
}
