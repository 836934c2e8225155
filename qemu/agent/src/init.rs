// SPDX-License-Identifier: GPL-2.0
//! Process 1: starts the agent and reaps orphans.
//!
//! It is a process of its own because wait() for any child would also reap the agent's
//! own children, whose exit status the agent needs.

use crate::kmsg;
use nix::{
    sys::{
        reboot::{reboot, RebootMode},
        wait::wait,
    },
    unistd::Pid,
};
use std::{process::Command, thread, time::Duration};

/// Runs the agent; ends the machine when the agent ends.
pub(crate) fn supervise() -> ! {
    match Command::new("/proc/self/exe").spawn() {
        Ok(agent) => reap_until(i32::try_from(agent.id()).unwrap_or(-1)),
        Err(error) => kmsg::say(&format!("cannot start the agent: {error}")),
    }
    kmsg::say("the agent ended: so does this machine");
    // With QEMU's -no-reboot this ends QEMU.
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn reap_until(agent: i32) {
    let agent = Pid::from_raw(agent);
    while let Ok(status) = wait() {
        if status.pid() == Some(agent) {
            kmsg::say(&format!("agent: {status:?}"));
            return;
        }
    }
}
