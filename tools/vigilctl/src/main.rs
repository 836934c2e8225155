// SPDX-License-Identifier: GPL-2.0
//! `vigilctl`: shows what the kernel module vigil finds, sets its knobs, and acts on what it finds.
//!
//! ```text
//! cli.rs          the command line            generate.rs   man pages, completions, docs/vigilctl.md
//! netlink/        events, incidents, state    sources.rs    files in procfs and debugfs
//! incident.rs     an incident, as JSON        status.rs     vigil/status
//! failure.rs      errors with exit statuses
//!
//! table.rs  watch.rs  explain.rs  metrics.rs  knob.rs  selftest.rs  decode.rs  guard.rs
//!                 a command each              watchdog.rs   the device of guard
//! ```

mod cli;
mod decode;
mod explain;
mod failure;
mod generate;
mod guard;
mod incident;
mod knob;
mod metrics;
mod netlink;
mod selftest;
mod signals;
mod sources;
mod status;
mod style;
mod table;
mod watch;
mod watchdog;

use anyhow::{Context, Result};
use clap::Parser;
use cli::{Cli, Command};
use failure::Failure;
use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

/// Exit status of an error.
fn status_of(error: &anyhow::Error) -> u8 {
    let failure = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>());
    match failure {
        Some(Failure::NotLoaded) => return 3,
        Some(Failure::NotPermitted(_)) => return 4,
        Some(Failure::NoFamily) => return 1,
        None => {}
    }
    let is_denied = |cause: &io::Error| cause.kind() == ErrorKind::PermissionDenied;
    let mut io = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    if io.any(is_denied) {
        4
    } else {
        1
    }
}

/// Whether the reader of standard output has gone, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vigilctl: {error:#}");
            ExitCode::from(status_of(&error))
        }
    }
}

/// Runs a command. Returns whether it is content.
fn run(command: Command) -> Result<bool> {
    let mut out = anstream::stdout().lock();
    match command {
        Command::Status(options) => status(options.json, &mut out)?,
        Command::Watch(options) => {
            let options = watch::Options {
                json: options.json,
                only_new: options.only_new,
                limit: options.duration.map(Duration::from_secs),
                once: options.once,
            };
            watch::run(options, &signals::Stop::on_signals()?, &mut out)?;
        }
        Command::Incidents(options) => {
            table::run(&options.ids, options.json, options.on, &mut out)?;
        }
        Command::Explain(options) => {
            let dot = match options.from.as_deref() {
                None => sources::debugfs("waitgraph.dot")?,
                Some(path) if path == Path::new("-") => {
                    explain::read(io::stdin()).context("cannot read standard input")?
                }
                Some(path) => File::open(path)
                    .map_err(Into::into)
                    .and_then(explain::read)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            };
            let text = match (options.svg, options.dot) {
                (true, _) => explain::svg(&dot)?,
                (_, true) => explain::printable(&dot),
                _ => explain::text(&dot)?,
            };
            out.write_all(text.as_bytes())?;
        }
        Command::Metrics(options) => {
            let (snapshot, error) = metrics::Snapshot::take_partly();
            let text = snapshot.render(options.format);
            match options.textfile {
                Some(path) => metrics::write_by_rename(&path, &text)?,
                None => out.write_all(text.as_bytes())?,
            }
            if let Some(error) = error {
                return Err(error.context("some metrics are missing"));
            }
        }
        Command::Get(options) => knob::get(&options.knobs, options.json, &mut out)?,
        Command::Set(options) => knob::set(&options.assignments)?,
        Command::Test(options) => {
            let stall = options.stall;
            let options = selftest::Options {
                yes: options.yes,
                module: options.provoke,
                json: options.json,
            };
            return selftest::run(stall, &options, &mut out);
        }
        Command::Decode(options) => decode::run(&options.file, options.json, &mut out)?,
        Command::Guard(options) => {
            // It prints from here on by itself.
            drop(out);
            guard::run(guard::Options {
                device: &options.device,
                timeout: Duration::from_secs(options.timeout),
                limit: Duration::from_secs(options.limit),
                kinds: options.kinds,
            })?;
        }
        Command::Generate(options) => generate::run(options.what, &options.folder)?,
    }
    Ok(true)
}

/// `status`: what can be read of both sources.
fn status(json: bool, out: &mut dyn Write) -> Result<()> {
    sources::ensure_loaded()?;
    let state = netlink::Connection::to_module().and_then(|mut connection| connection.state());
    let file = sources::status();
    let (state, file) = match (state, file) {
        // The one that says more: there may be no netlink family.
        (Err(_), Err(error)) => return Err(error),
        sources => sources,
    };
    if json {
        let mut all = serde_json::Map::new();
        if let Ok(state) = &state {
            all.insert("state".to_owned(), serde_json::to_value(state)?);
        }
        if let Ok(file) = &file {
            all.insert("status".to_owned(), serde_json::to_value(file)?);
        }
        writeln!(out, "{}", serde_json::to_string(&all)?)?;
        return Ok(());
    }
    let head = style::HEAD;
    match &state {
        Err(error) => writeln!(out, "no events by netlink: {error:#}")?,
        Ok(state) => {
            let on: u32 = state.kinds.iter().map(|kind| kind.on).sum();
            let color = if on > 0 { style::BAD } else { style::GOOD };
            writeln!(
                out,
                "vigil {}: {color}{}{color:#}, {} events, {} lost",
                state.version,
                match on {
                    0 => "nothing is stuck".to_owned(),
                    1 => "1 incident is on".to_owned(),
                    on => format!("{on} incidents are on"),
                },
                state.events,
                state.lost
            )?;
            writeln!(
                out,
                "\n{head}{:<16} {:>6} {:>4} {:>9}{head:#}",
                "kind", "total", "on", "oldest"
            )?;
            for kind in &state.kinds {
                let oldest = kind.oldest.map_or_else(
                    || "-".to_owned(),
                    |oldest| format!("{:.1} s", oldest.secs()),
                );
                writeln!(
                    out,
                    "{:<16} {:>6} {:>4} {oldest:>9}",
                    kind.kind, kind.total, kind.on
                )?;
            }
        }
    }
    match &file {
        Ok(file) => writeln!(out, "\n{file}")?,
        Err(error) => writeln!(out, "\nno more: {error:#}")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_modules() {
        let version = vigil_logic::netlink::MODULE_VERSION;
        assert_eq!(env!("CARGO_PKG_VERSION"), version);
    }

    #[test]
    fn statuses() {
        let of = |error: anyhow::Error| status_of(&error);
        assert_eq!(of(anyhow::anyhow!("x")), 1);
        assert_eq!(of(Failure::NotLoaded.into()), 3);
        assert_eq!(of(anyhow::Error::from(Failure::NotLoaded).context("y")), 3);
        assert_eq!(of(Failure::NotPermitted("no".to_owned()).into()), 4);
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        assert_eq!(of(anyhow::Error::from(denied).context("cannot read x")), 4);
    }
}
