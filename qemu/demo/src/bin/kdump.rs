// SPDX-License-Identifier: GPL-2.0
//! `make kdump-demo`: a guest gets stuck, vigil panics, the crash kernel writes a
//! dump to the host, and scripts/vmcore-report tells the story from it.
//!
//! ```text
//! kdump [hard|soft|hung] [VMLINUX]
//! ```

use anyhow::{bail, ensure, Context, Result};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use vigil_vm::{Config, Vm};

/// Real time until the panic.
const PANIC_LIMIT: Duration = Duration::from_secs(90);

/// A way to get stuck, and the knobs that make a panic of it.
struct Kind {
    name: &'static str,
    what: &'static str,
    knobs: &'static str,
    provoke: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "hard",
        what: "CPU 1 spins with interrupts off",
        knobs: "watchdog_thresh=3 hardlockup_panic=1",
        provoke: "irqs_off cpu=1 ms=100000",
    },
    Kind {
        name: "soft",
        what: "a task keeps CPU 1, with preemption off",
        knobs: "watchdog_thresh=2 softlockup_panic=1",
        provoke: "preempt_off cpu=1 ms=100000",
    },
    Kind {
        name: "hung",
        what: "a task waits for a mutex that a sleeping task holds",
        knobs: "hung_task_timeout_secs=3 hung_task_panic=1",
        provoke: "mutex secs=1000",
    },
];

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "hard".into());
    let vmlinux = arguments.next().filter(|path| !path.is_empty());
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        bail!("KIND={name}: hard, soft or hung");
    };
    let begin = Instant::now();

    let config = Config::new("kdump-demo")
        .kdump()
        .limit(Duration::from_secs(400));
    let vm = Vm::boot(config).context("the guest did not boot")?;
    let release = vm.artifacts().release().unwrap_or_default();
    stage(&format!("boot of {release}"), vm.boot_time());
    let out = vm.artifacts().folder().join("kdump-demo");

    let start = Instant::now();
    vm.arm_kdump("")
        .context("the crash kernel was not loaded")?;
    stage("crash kernel loaded (kexec -p -s)", start.elapsed());

    let start = Instant::now();
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(kind.knobs)?;
    // What the kernel frees after it has loaded a module makes CPUs wait.
    vm.sh_ok("sleep 1")?;
    let run = format!(
        "echo '{}' > /sys/kernel/debug/vigil_provoke/run",
        kind.provoke
    );
    vm.spawn_on(0, &run)?;
    stage(
        &format!("vigil loaded ({}), provoked: {}", kind.knobs, kind.what),
        start.elapsed(),
    );

    let dump = vm.wait_dump_with(PANIC_LIMIT, |passed| stage(passed.what, passed.took))?;
    drop(vm);
    fs::create_dir_all(&out)?;
    let vmcore = out.join("vmcore");
    fs::rename(&dump.vmcore, &vmcore)?;
    fs::remove_file(&dump.flattened)?;

    let start = Instant::now();
    let report = report(&vmcore, vmlinux.as_deref())?;
    stage("analysis (scripts/vmcore-report)", start.elapsed());
    stage("all", begin.elapsed());

    println!("\n{report}");
    let size = fs::metadata(&vmcore)?.len() >> 20;
    println!("The dump: {} ({size} MB)", shown(&vmcore).display());
    Ok(())
}

fn stage(what: &str, took: Duration) {
    println!("{:6.1} s  {what}", took.as_secs_f64());
}

/// What scripts/vmcore-report says of the dump.
fn report(vmcore: &Path, vmlinux: Option<&str>) -> Result<String> {
    let top = env::var_os("VIGIL_TOP").unwrap_or_default();
    let output = Command::new(Path::new(&top).join("scripts/vmcore-report"))
        .arg(vmcore)
        .args(vmlinux)
        .output()
        .context("scripts/vmcore-report did not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "scripts/vmcore-report: {}: {said}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The path as a user at the top of the repository would type it.
fn shown(path: &Path) -> PathBuf {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).to_owned()
}
