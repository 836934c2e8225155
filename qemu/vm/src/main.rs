// SPDX-License-Identifier: GPL-2.0
//! `vm run`: boots a guest for a script or for an interactive shell.
//!
//! ```text
//! vm run                    an interactive root shell on the serial console
//! vm run --script FILE      runs FILE as root; the console goes to stdout
//! ```
//!
//! Exit status, a contract that `scripts/vm` documents: the script's or the shell's own, or
//!
//! | | |
//! |---|---|
//! | 123 | the guest's kernel panicked |
//! | 124 | the time was over |
//! | 125 | the virtual machine itself failed |

mod cli;
mod run;
mod terminal;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli::Command::Run(options) = cli::Cli::parse().command;
    ExitCode::from(run::run(&options))
}
