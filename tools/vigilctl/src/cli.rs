// SPDX-License-Identifier: GPL-2.0
//! The command line.

use crate::{incident::Kind, metrics::Format, selftest::Stall};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

const EXIT: &str = "\
Exit status:
  0  done
  1  it failed, or with `test` not everything saw the stall
  2  the command line is wrong
  3  the module vigil is not loaded
  4  it takes more privileges";

/// Shows what the kernel module vigil finds, sets its knobs, and acts on what it finds
#[derive(Debug, Parser)]
#[command(name = "vigilctl", version, after_help = EXIT, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is detected now, by which means, and what was found so far
    ///
    /// The file vigil/status in debugfs, which root can read, and the counts by kind. docs/status.md
    /// explains the keys.
    Status(Json),
    /// Show the recent incidents, then each event as it comes
    ///
    /// Goes on when the module is unloaded and loaded again. Events that did not arrive are counted.
    /// Kernel addresses and symbols are shown to those who may see them.
    Watch(Watch),
    /// List the recent incidents, the newest first
    Incidents(Incidents),
    /// Show which hung tasks wait for which tasks now
    Explain(Explain),
    /// Print metrics for Prometheus
    Metrics(Metrics),
    /// Print knobs: all of them, or the value of each that is named
    Get(Get),
    /// Set knobs, for as long as the module is loaded
    Set(Set),
    /// Make a real stall, and say whether each detector, the log, netlink and the metrics saw it
    ///
    /// Loads the module vigil_provoke. Thresholds are made short and panics of vigil's forbidden
    /// meanwhile.
    Test(Test),
    /// Show the crash record in a dump, in raw memory or saved in a file
    ///
    /// Of a dump it finds what is in one piece. scripts/vmcore-report, of the source, follows page
    /// tables and reads compressed dumps.
    Decode(Decode),
    /// Feed a watchdog device, until an incident lasts for too long
    ///
    /// Then the device, or the management controller behind it, resets the machine. SIGTERM, SIGINT
    /// and SIGHUP stop the device. If guard ends in another way, the device is not stopped.
    Guard(Guard),
    /// Write man pages or shell completions
    #[command(hide = true)]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Print a line of JSON for each event
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave out what happened before
    #[arg(long)]
    pub(crate) only_new: bool,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration: Option<u64>,
    /// End when the module is not loaded
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Incidents {
    /// Show these, with all that is known about each
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave out those that have ended
    #[arg(long, conflicts_with = "ids")]
    pub(crate) on: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Draw it
    #[arg(long, conflicts_with = "dot")]
    pub(crate) svg: bool,
    /// Print it for Graphviz
    #[arg(long)]
    pub(crate) dot: bool,
    /// Read the graph from a file, `-` for standard input, not from the module
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) from: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Metrics {
    /// The format
    #[arg(long, value_enum, default_value = "prometheus")]
    pub(crate) format: Format,
    /// Replace this file by them, for node_exporter's textfile collector
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) textfile: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Knobs, as docs/knobs.md has them
    #[arg(value_name = "KNOB")]
    pub(crate) knobs: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Knobs with their new values
    #[arg(value_name = "KNOB=VALUE", required = true)]
    pub(crate) assignments: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The stall
    #[arg(value_enum)]
    pub(crate) stall: Stall,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Load vigil_provoke from this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) provoke: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Decode {
    /// A dump of memory in ELF or without any format, or a record that was saved
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Guard {
    /// The watchdog device
    #[arg(long, default_value = "/dev/watchdog0", value_hint = ValueHint::FilePath)]
    pub(crate) device: PathBuf,
    /// Seconds after which the device resets the machine when it is not fed any more
    #[arg(long, value_name = "SECONDS", default_value = "60",
          value_parser = clap::value_parser!(u64).range(1..=65535))]
    pub(crate) timeout: u64,
    /// Seconds that an incident may last
    #[arg(long, value_name = "SECONDS", default_value = "120",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Kinds of incidents to look at, with commas between them
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind,
          default_value = "soft-lockup,hard-lockup")]
    pub(crate) kinds: Vec<Kind>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// What to write
    #[arg(value_enum)]
    pub(crate) what: What,
    /// The folder
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// Man pages, section 8
    Man,
    /// Completions for bash, zsh and fish
    Completions,
}

fn kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.iter().find(|kind| kind.to_string() == text);
    found.copied().ok_or_else(|| {
        let names: Vec<String> = Kind::ALL.iter().map(ToString::to_string).collect();
        format!("the kinds are {}", names.join(", "))
    })
}

/// The whole command line, as clap sees it.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_is_content() {
        command().debug_assert();
    }

    #[test]
    fn kinds() {
        let line = ["vigilctl", "guard", "--kinds", "hung-task,root-cause"];
        let Command::Guard(guard) = Cli::try_parse_from(line).unwrap().command else {
            panic!("no guard");
        };
        assert_eq!(guard.kinds, [Kind::HungTask, Kind::RootCause]);
        let error = Cli::try_parse_from(["vigilctl", "guard", "--kinds", "x"]).unwrap_err();
        assert!(error
            .to_string()
            .contains("the kinds are hung-task, soft-lockup"));
    }
}
