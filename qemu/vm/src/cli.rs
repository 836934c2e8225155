// SPDX-License-Identifier: GPL-2.0
//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "vm",
    about = "Boots a virtual machine with vigil's modules in it",
    version
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Boot a guest for a script, or for a shell on its console.
    #[command(
        after_help = "Exit status: that of the script or shell; 123 when the kernel panicked, \
        124 when the time was over, 125 when the virtual machine itself failed."
    )]
    Run(Run),
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Folder with vmlinuz, guest.cpio and the modules [default: $VIGIL_ARTIFACTS].
    #[arg(long, value_name = "DIR")]
    pub(crate) artifacts: Option<PathBuf>,

    /// Run this script as root in the guest; without it, an interactive shell.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,

    /// Number of virtual CPUs.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) cpus: u32,

    /// Memory in MiB.
    #[arg(long, value_name = "MiB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) mem: u32,

    /// Words to add to the kernel's command line.
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub(crate) append: Vec<String>,

    /// End everything after so many seconds of real time, booting included
    /// (default: 600 with a script, no limit for a shell).
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: Option<u32>,

    /// A file to put into the guest's /vm; may be repeated.
    #[arg(long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,

    /// A word to add to QEMU's command line; may be repeated.
    #[arg(long = "qemu-arg", value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) qemu_args: Vec<String>,
}
