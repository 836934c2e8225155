// SPDX-License-Identifier: GPL-2.0
//! `kernel_names=1`: mainline's knobs under their own names in `/proc/sys/kernel`, where the
//! kernel has none of the name. What a guest's kernel has decides what is to be seen.

use super::module::nothing_left;
use crate::prelude::*;
use std::collections::BTreeSet;
use vigil_logic::knobs::{KnobInfo, KnobKind, KNOBS};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("only_where_free", only_where_free).core(),
        Scenario::new("wherever_proc_is", wherever_proc_is),
    ]
}

const FOLDER: &str = "/proc/sys/kernel";

/// What is in the folder.
fn folder(vm: &Vm) -> anyhow::Result<BTreeSet<String>> {
    let names = vm.sh_ok(&format!("ls -A {FOLDER}"))?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// The knobs that both have.
fn mainline() -> impl Iterator<Item = &'static KnobInfo> {
    KNOBS.iter().filter(|knob| knob.mainline)
}

/// Two values of a knob, as they read.
fn two_values(knob: &KnobInfo) -> [&'static str; 2] {
    match knob.kind {
        KnobKind::Number { .. } => ["1", "0"],
        KnobKind::Counter | KnobKind::Gauge => ["0", "0"],
        KnobKind::Word(words) => [words[1], words[0]],
        KnobKind::Rules => ["backup", ":io"],
        KnobKind::List => ["timers", "tasks,mem"],
        KnobKind::Cpus => ["1", "0-1"],
    }
}

/// The names that the kernel has not are there, and are the knobs themselves; those that it has stay
/// what they are. The log and the status say which. All this ends with the module.
fn only_where_free(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let before = folder(&vm)?;
    let (theirs, ours): (Vec<&KnobInfo>, Vec<&KnobInfo>) =
        mainline().partition(|knob| before.contains(knob.name));

    // Not asked for: nothing is there.
    vm.load("")?;
    ensure!(folder(&vm)? == before, "{:?}", folder(&vm)?);
    let status = Status::read(&vm)?;
    status.is(key::kernel_names::REQUESTED, "0")?;
    status.is(key::kernel_names::REGISTERED, "none")?;
    vm.unload()?;

    // The values that a kernel's own detectors have, which vigil's differ from.
    let values = |knobs: &[&KnobInfo]| -> anyhow::Result<Vec<String>> {
        let read = |knob: &&KnobInfo| Ok(vm.read(&format!("{FOLDER}/{}", knob.name))?);
        knobs.iter().map(read).collect()
    };
    let mark = vm.mark()?;
    let own = values(&theirs)?;
    vm.load("kernel_names=1 hung_task_timeout_secs=33")?;
    let names = |knobs: &[&KnobInfo], separator: &str| -> String {
        let names: Vec<&str> = knobs.iter().map(|knob| knob.name).collect();
        names.join(separator)
    };
    let said = if ours.is_empty() {
        "none: the running kernel has them".to_owned()
    } else if theirs.is_empty() {
        format!("all {}", ours.len())
    } else {
        format!("{}; the running kernel has the others", names(&ours, ", "))
    };
    let line = pattern_of(messages::LoadKernelNames::<()>::TEXT, &[("names", &said)]);
    vm.wait_log_after(mark, &line, secs(30))?;
    let status = Status::read(&vm)?;
    status.is(key::kernel_names::REQUESTED, "1")?;
    for (key, knobs) in [
        (key::kernel_names::REGISTERED, &ours),
        (key::kernel_names::LEFT_TO_KERNEL, &theirs),
    ] {
        let names = match knobs.is_empty() {
            true => "none".to_owned(),
            false => names(knobs, " "),
        };
        status.is(key, &names)?;
    }
    let mut expected = before.clone();
    expected.extend(ours.iter().map(|knob| knob.name.to_owned()));
    ensure!(
        folder(&vm)? == expected,
        "{:?} instead of {expected:?}",
        folder(&vm)?
    );

    // Its own knobs stay the kernel's: they do not follow vigil's.
    for (knob, own) in theirs.iter().zip(&own) {
        for value in two_values(knob) {
            vm.set_knob(knob.name, value)?;
            let now = vm.read(&format!("{FOLDER}/{}", knob.name))?;
            ensure!(&now == own, "{}: was {own:?}, is {now:?}", knob.name);
        }
    }
    // The switch comes first, and is on while the others are tried: they read as what is in effect.
    vm.set_knob("watchdog", 1)?;
    for knob in &ours {
        let name = knob.name;
        let path = format!("{FOLDER}/{name}");
        let mode = vm.sh_ok(&format!("stat -c '%a %u %g' {path}"))?;
        ensure!(mode == "644 0 0\n", "{name}: {mode}");
        ensure!(vm.read(&path)?.trim_end() == vm.knob(name)?, "{name}");
        for value in two_values(knob) {
            // Both ways.
            vm.write(&path, format!("{value}\n").as_bytes())
                .with_context(|| name)?;
            ensure!(vm.knob(name)? == value, "{name}: {:?}", vm.knob(name)?);
            let errno = vm
                .write(&path, b"not a value")
                .err()
                .and_then(|error| error.errno());
            ensure!(errno == Some(Errno::EINVAL), "{name}: {errno:?}");
            ensure!(vm.read(&path)? == format!("{value}\n"), "{name}");
        }
        if !matches!(knob.kind, KnobKind::Counter) {
            let [value, _] = two_values(knob);
            vm.set_knob(name, value)?;
            ensure!(vm.read(&path)? == format!("{value}\n"), "{name}");
        }
    }
    // In effect, not only kept.
    if ours.iter().any(|knob| knob.name == "watchdog_thresh") {
        vm.sh_ok("sysctl -w kernel.watchdog_thresh=0")?;
        ensure!(vm.knob("watchdog")? == "0", "{}", vm.knob("watchdog")?);
    }
    vm.unload()?;
    nothing_left(&vm)?;
    ensure!(folder(&vm)? == before, "{:?}", folder(&vm)?);
    ensure!(values(&theirs)? == own, "{:?}", values(&theirs)?);
    // And once more: nothing of the first time is in the way.
    vm.load("kernel_names=1")?;
    ensure!(folder(&vm)? == expected, "{:?}", folder(&vm)?);
    vm.unload()?;
    Ok(())
}

/// Which names the kernel has is found out where whoever loads the module sees no `/proc` at all,
/// and nothing of that look stays behind.
fn wherever_proc_is(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let before = folder(&vm)?;
    let expected: BTreeSet<String> = before
        .iter()
        .cloned()
        .chain(mainline().map(|knob| knob.name.to_owned()))
        .collect();
    let mounts = vm.sh_ok("cat /proc/mounts")?;
    vm.sh_ok("unshare -m sh -c 'umount -l /proc && ! test -e /proc/self && insmod /vm/vigil.ko kernel_names=1'")?;
    ensure!(folder(&vm)? == expected, "{:?}", folder(&vm)?);
    vm.unload()?;
    ensure!(folder(&vm)? == before, "{:?}", folder(&vm)?);
    let after = vm.sh_ok("cat /proc/mounts")?;
    ensure!(after == mounts, "mounts were {mounts}, are {after}");
    Ok(())
}
