// SPDX-License-Identifier: GPL-2.0
//! The user's terminal, connected to the guest's serial console.

use nix::sys::termios::{cfmakeraw, tcgetattr, tcsetattr, SetArg, Termios};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    io::{self, IsTerminal, Read, Write},
    os::unix::net::UnixStream,
    process::{self, Command, Stdio},
    thread,
};

const CTRL_A: u8 = 0x01;
const CTRL_D: u8 = 0x04;

/// The user's terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub(crate) struct Raw(Termios);

impl Raw {
    fn enter() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self(before))
    }

    fn leave(&self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Shows what the guest prints. Returns the socket, to type into.
pub(crate) fn show(socket: Option<UnixStream>) -> io::Result<UnixStream> {
    let socket = socket.ok_or_else(|| io::Error::other("the guest has no interactive console"))?;
    let mut from_guest = socket.try_clone()?;
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from_guest.read(&mut buffer) {
            let mut stdout = io::stdout().lock();
            let piece = buffer.get(..length).unwrap_or_default();
            if stdout
                .write_all(piece)
                .and_then(|()| stdout.flush())
                .is_err()
            {
                return;
            }
        }
    });
    Ok(socket)
}

/// Types into the guest what the user types here. A terminal is in raw mode for
/// as long as the result lives; the end of any other standard input is Ctrl-D.
pub(crate) fn type_into(
    mut guest: UnixStream,
    kill: impl Fn() + Send + 'static,
) -> io::Result<Option<Raw>> {
    let raw = match io::stdin().is_terminal() {
        true => Some(Raw::enter()?),
        false => None,
    };
    let on_terminal = raw.is_some();
    if let Some(raw) = &raw {
        restore_on_signals(Raw(raw.0.clone()))?;
    }
    thread::spawn(move || {
        let mut escape = false;
        let mut buffer = [0; 256];
        while let Ok(length @ 1..) = io::stdin().read(&mut buffer) {
            let piece = buffer.get(..length).unwrap_or_default();
            for byte in piece {
                // As in QEMU's own console: Ctrl-A x ends it, Ctrl-A Ctrl-A is
                // one Ctrl-A.
                if on_terminal && !escape && *byte == CTRL_A {
                    escape = true;
                    continue;
                }
                if std::mem::take(&mut escape) && *byte == b'x' {
                    kill();
                    return;
                }
                if guest.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        }
        let _ = guest.write_all(&[CTRL_D]);
    });
    Ok(raw)
}

/// A signal that ends this process leaves the terminal usable. QEMU dies with
/// the process.
fn restore_on_signals(raw: Raw) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            raw.leave();
            process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Rows and columns of the user's terminal, if it is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let output = Command::new("stty")
        .arg("size")
        .stdin(Stdio::inherit())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (rows, columns) = text.trim().split_once(' ')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}
