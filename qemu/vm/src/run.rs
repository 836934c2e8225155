// SPDX-License-Identifier: GPL-2.0
//! Running one guest and turning its end into an exit status.

use crate::{cli, terminal};
use std::{
    fs,
    io::{self, Write},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread,
    time::Duration,
};
use vigil_vm::{Artifacts, BootError, Config, Console, Error, Vm};

const PANICKED: u8 = 123;
const TIMED_OUT: u8 = 124;
const FAILED: u8 = 125;

const SCRIPT_LIMIT: Duration = Duration::from_secs(600);
/// As good as none; an `Instant` cannot take the longest `Duration`.
const SHELL_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why there is no exit status of the guest's own.
struct Failure {
    status: u8,
    reason: String,
}

/// Does what the command line asks; returns the exit status.
pub(crate) fn run(options: &cli::Run) -> u8 {
    let result = match &options.script {
        Some(file) => fs::read_to_string(file)
            .map_err(|error| Failure {
                status: FAILED,
                reason: format!("cannot read {}: {error}", file.display()),
            })
            .and_then(|script| run_script(options, &script)),
        None => run_shell(options),
    };
    result.unwrap_or_else(|Failure { status, reason }| {
        eprintln!("vm: {reason}");
        status
    })
}

fn config(options: &cli::Run, limit: Duration) -> Config {
    let limit = options
        .timeout
        .map_or(limit, |secs| Duration::from_secs(secs.into()));
    let mut config = Config::new(format!("vm-{}", std::process::id()))
        .cpus(options.cpus)
        .mem_mib(options.mem)
        .files(&options.files)
        .qemu_args(&options.qemu_args)
        .limit(limit);
    for words in &options.append {
        config = config.append(words);
    }
    match &options.artifacts {
        Some(folder) => config.artifacts(Artifacts::at(folder)),
        None => config,
    }
}

fn run_script(options: &cli::Run, script: &str) -> Result<u8, Failure> {
    let booting = Vm::power_on(config(options, SCRIPT_LIMIT).console_in_memory())?;
    let printer = Printer::follow(booting.console());
    let result = booting.up().map_err(Failure::from).and_then(|vm| {
        let job = vm.spawn_on_console(script)?;
        Ok(exit_status(job.wait(vm.time_left())?.status))
    });
    printer.finish();
    result
}

fn run_shell(options: &cli::Run) -> Result<u8, Failure> {
    let mut booting = Vm::power_on(config(options, SHELL_LIMIT).console_interactive())?;
    let unusable = |error: io::Error| Failure {
        status: FAILED,
        reason: format!("cannot use this terminal: {error}"),
    };
    let output = terminal::show(booting.take_terminal()).map_err(unusable)?;
    let vm = booting.up()?;
    let size = terminal::size().map_or(String::new(), |(rows, columns)| {
        format!("stty rows {rows} cols {columns}\n")
    });
    // A session of its own, with the console as its controlling terminal, is
    // what makes Ctrl-C and job control work.
    let job = vm.spawn_on_terminal(&format!("{size}setsid -c /bin/bash -l"))?;
    eprint!("vm: a root shell; 'exit' ends the machine, so does Ctrl-A x\r\n");
    let observer = vm.observer();
    let _raw = terminal::type_into(output, move || observer.kill()).map_err(unusable)?;
    Ok(exit_status(job.wait(vm.time_left())?.status))
}

fn exit_status(status: i32) -> u8 {
    u8::try_from(status & 0xff).unwrap_or(FAILED)
}

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        let status = match &error {
            BootError { panicked: true, .. } => PANICKED,
            BootError {
                timed_out: true, ..
            } => TIMED_OUT,
            _ => FAILED,
        };
        Self {
            status,
            reason: error.to_string(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, reason) = match &error {
            // The text itself is on stdout already.
            Error::Panicked { .. } => (PANICKED, "the guest's kernel panicked".to_owned()),
            Error::Timeout { .. } => (TIMED_OUT, "the time is over".to_owned()),
            _ => (FAILED, error.to_string()),
        };
        Self { status, reason }
    }
}

/// Prints a console on standard output as it comes.
struct Printer {
    ended: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Printer {
    fn follow(console: Console) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut offset = 0;
            loop {
                // Looked at before the console is: the last look comes after
                // everything was printed.
                let last = end.load(Ordering::Acquire);
                let bytes = console.bytes_from(offset).unwrap_or_default();
                offset += bytes.len() as u64;
                // The serial line ends lines with CR LF.
                let plain: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\r').collect();
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(&plain).and_then(|()| stdout.flush());
                if last || written.is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self { ended, thread }
    }

    /// Prints what is left and stops.
    fn finish(self) {
        self.ended.store(true, Ordering::Release);
        let _ = self.thread.join();
    }
}
