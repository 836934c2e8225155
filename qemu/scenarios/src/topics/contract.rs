// SPDX-License-Identifier: GPL-2.0
//! The contract of `scripts/vm FOLDER run`, and of `make vm`, with scripts that use them:
//! exit statuses, output, options.

use crate::prelude::*;
use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("status_output_and_options", status_output_and_options),
        Scenario::new("bad_kernel_is_125", bad_kernel_is_125),
        Scenario::new("vanished_guest_is_125", vanished_guest_is_125),
        Scenario::new("timeout_is_124", timeout_is_124).idle(),
        Scenario::new("panic_is_123", panic_is_123),
        Scenario::new("killed_runner_leaves_nothing", killed_runner_leaves_nothing),
        Scenario::new("interactive_shell", interactive_shell),
        Scenario::new("make_vm_says_the_status", make_vm_says_the_status),
    ]
}

/// The top of vigil's sources, which `scripts/vm` passes on.
fn top() -> anyhow::Result<PathBuf> {
    let top = env::var_os("VIGIL_TOP").context("VIGIL_TOP is not set: scripts/vm sets it")?;
    Ok(PathBuf::from(top))
}

/// `scripts/vm FOLDER run`, with the artifacts of this run.
fn vm_command() -> anyhow::Result<Command> {
    // A shell starts background jobs with SIGINT ignored, which children inherit.
    let mut command = Command::new("env");
    command
        .arg("--default-signal")
        .arg(top()?.join("scripts/vm"))
        .arg(Artifacts::from_env()?.folder())
        .arg("run")
        .stdin(Stdio::null());
    Ok(command)
}

/// A script in a folder that lasts as long as the result.
struct Script {
    folder: tempfile::TempDir,
    file: PathBuf,
}

fn script(text: &str) -> anyhow::Result<Script> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("script");
    fs::write(&file, text)?;
    Ok(Script { folder, file })
}

/// Runs a script; returns status, stdout and stderr.
fn run(text: &str, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
    let script = script(text)?;
    let output = vm_command()?
        .arg("--script")
        .arg(&script.file)
        .args(arguments)
        .output()?;
    let status = output.status.code().context("vm was killed by a signal")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((status, text(&output.stdout), text(&output.stderr)))
}

/// A guest is given what was asked for, and gives back what its script says and how it
/// ended.
fn status_output_and_options(_: &Cx) -> Verdict {
    let files = script("#!/bin/sh\necho it runs\n")?;
    let other = files.folder.path().join("data.bin");
    fs::write(&other, [0_u8, 1, 2, 255])?;
    let program = files.file.to_string_lossy().into_owned();
    let other = other.to_string_lossy().into_owned();
    // A script's own status may be one of vm's; interactive_shell has another one.
    let (status, stdout, stderr) = run(
        "sh /vm/script; wc -c < /vm/data.bin; nproc; grep -o 'vigil.word=1' /proc/cmdline
         awk '/MemTotal/ { print ($2 > 1500000) }' /proc/meminfo; id -u; echo to stderr >&2; exit 124",
        &[
            "--file",
            &program,
            "--file",
            &other,
            "--cpus",
            "3",
            "--mem",
            "2048",
            "--append",
            "vigil.word=1",
        ],
    )?;
    ensure!(
        status == 124 && stderr.is_empty(),
        "status {status}: {stderr}"
    );
    // The kernel may have something to say in between.
    let (messages, ours): (Vec<_>, Vec<_>) = stdout.lines().partition(|line| line.starts_with('['));
    let expected = ["it runs", "4", "3", "vigil.word=1", "1", "0", "to stderr"];
    ensure!(
        ours.windows(expected.len()).any(|w| w == expected),
        "{stdout}"
    );
    ensure!(
        messages.iter().any(|line| line.contains("Linux version")),
        "the kernel's messages are missing"
    );
    let (status, _, stderr) = run("true", &["--file", "/nonexistent"])?;
    ensure!(
        status == 125 && stderr.contains("/nonexistent"),
        "status {status}: {stderr}"
    );
    Ok(())
}

fn bad_kernel_is_125(_: &Cx) -> Verdict {
    let artifacts = tempfile::tempdir()?;
    fs::write(artifacts.path().join("vmlinuz"), vec![0x5a; 100_000])?;
    let image = Artifacts::from_env()?
        .file("guest.cpio")
        .context("the artifacts folder has no guest.cpio")?;
    std::os::unix::fs::symlink(image, artifacts.path().join("guest.cpio"))?;
    fs::write(artifacts.path().join("arch"), machine::arch().name())?;
    let folder = artifacts.path().to_string_lossy().into_owned();
    let start = Instant::now();
    let (status, _, stderr) = run("true", &["--artifacts", &folder])?;
    ensure!(
        status == 125 && !stderr.is_empty(),
        "status {status}: {stderr}"
    );
    ensure!(start.elapsed() < secs(20), "took {:?}", start.elapsed());
    let (status, _, stderr) = run("true", &["--artifacts", "/nonexistent"])?;
    ensure!(
        status == 125 && stderr.contains("vmlinuz"),
        "status {status}: {stderr}"
    );
    Ok(())
}

fn vanished_guest_is_125(_: &Cx) -> Verdict {
    let (status, _, stderr) = run("reboot -f; sleep 60", &[])?;
    ensure!(
        status == 125 && stderr.contains("went away"),
        "status {status}: {stderr}"
    );
    Ok(())
}

fn timeout_is_124(_: &Cx) -> Verdict {
    for seconds in ["1", "20"] {
        let start = Instant::now();
        let (status, _, stderr) = run("sleep 1000", &["--timeout", seconds])?;
        ensure!(
            status == 124,
            "--timeout {seconds}: status {status}: {stderr}"
        );
        ensure!(start.elapsed() < secs(25), "took {:?}", start.elapsed());
    }
    Ok(())
}

fn panic_is_123(_: &Cx) -> Verdict {
    let (status, stdout, stderr) = run("echo c > /proc/sysrq-trigger; sleep 60", &[])?;
    ensure!(status == 123, "status {status}: {stderr}");
    ensure!(
        stdout.contains("Kernel panic - not syncing"),
        "the panic is not in the output"
    );
    // Also when the kernel stays where it is.
    let (status, _, stderr) = run(
        "sysctl -w kernel.panic=0; echo c > /proc/sysrq-trigger; sleep 60",
        &[],
    )?;
    ensure!(status == 123, "status {status}: {stderr}");
    Ok(())
}

fn killed_runner_leaves_nothing(_: &Cx) -> Verdict {
    let script = script("echo up and running; sleep 1000")?;
    // While a script runs, and while the kernel boots.
    for (signal, when) in [
        (Signal::SIGKILL, "Linux version"),
        (Signal::SIGTERM, "Linux version"),
        (Signal::SIGINT, "up and running"),
    ] {
        let mut runner = vm_command()?
            .arg("--script")
            .arg(&script.file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        wait_for_line(&mut runner, when)?;
        let children = children_of(runner.id())?;
        ensure!(!children.is_empty(), "the runner has no QEMU");
        kill(Pid::from_raw(i32::try_from(runner.id())?), signal)?;
        runner.wait()?;
        let gone = |pid: &u32| !is_running(*pid);
        let start = Instant::now();
        while !children.iter().all(gone) {
            ensure!(
                start.elapsed() < secs(5),
                "QEMU is still there after {signal}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn wait_for_line(runner: &mut Child, wanted: &str) -> Verdict {
    let stdout = runner.stdout.take().context("no stdout")?;
    let mut lines = BufReader::new(stdout);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if line.contains(wanted) {
            // The pipe has to be read on, or the runner would block.
            thread::spawn(move || lines.read_to_end(&mut Vec::new()));
            return Ok(());
        }
        line.clear();
    }
    bail!("the runner ended without '{wanted}'")
}

fn children_of(parent: u32) -> anyhow::Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{parent}/task"))? {
        let list = fs::read_to_string(task?.path().join("children"))?;
        children.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    Ok(children)
}

/// Whether that process is there and no zombie (whose only trace is its number).
fn is_running(pid: u32) -> bool {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    fs::read_to_string(stat).is_ok_and(|text| {
        let state = text
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .chars()
            .next();
        state.is_some_and(|state| !"ZX".contains(state))
    })
}

fn interactive_shell(_: &Cx) -> Verdict {
    let typed = tempfile::NamedTempFile::new()?;
    fs::write(typed.path(), "echo $((6 * 7)); tty; exit 5\n")?;
    let output = vm_command()?
        .stdin(fs::File::open(typed.path())?)
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    ensure!(
        output.status.code() == Some(5),
        "status {:?}: {stdout}",
        output.status
    );
    let expected = format!("\n42\n/dev/{}\n", machine::arch().serial());
    ensure!(stdout.contains(&expected), "{stdout}");
    Ok(())
}

/// `make vm` fails when the script does, and the last line of its standard output has the
/// status of `scripts/vm`, for success as well.
fn make_vm_says_the_status(_: &Cx) -> Verdict {
    for (text, status) in [("exit 0", 0), ("echo from the script; exit 3", 3)] {
        let script = script(text)?;
        // The artifacts are those of this run: make must not build them.
        let output = Command::new("make")
            .arg("-C")
            .arg(top()?)
            .args(["-s", "-o", "artifacts", "vm", "CPUS=1", "MEM=512"])
            .arg(format!("out={}", Artifacts::from_env()?.folder().display()))
            .arg(format!("SCRIPT={}", script.file.display()))
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .stdin(Stdio::null())
            .output()?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let expected = format!("vm: exit status {status}");
        ensure!(
            stdout.lines().last() == Some(expected.as_str()),
            "'{text}': {stdout}\n{stderr}"
        );
        ensure!(
            output.status.success() == (status == 0),
            "'{text}': make: {:?}",
            output.status
        );
    }
    Ok(())
}
