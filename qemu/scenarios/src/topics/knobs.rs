// SPDX-License-Identifier: GPL-2.0
//! The knobs themselves: every one of the table, with every kind of good and
//! bad value, as file and as parameter.

use super::{
    hung_stall::{has_khungtaskd, wait_for, wait_report, Stall, PROVOKE, SOON},
    lockup_stall::{guest, Lockup},
    module::nothing_left,
};
use crate::prelude::*;
use std::collections::BTreeSet;
use vigil_logic::knobs::{KnobInfo, KnobKind, KNOBS, SYS_INFO};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("gauges", gauges).not_with_strict_rcu(),
        Scenario::new("files", files).core(),
        Scenario::new("who_may_write", who_may_write),
        Scenario::new("parameters", parameters),
    ]
}

const FOLDER: &str = "/proc/sys/vigil";

/// The guest's `HZ`, on which the upper end of times depends: found by what the
/// in-tree knob of the same range takes; by the kernel's own word where it has
/// no such knob.
fn hz(vm: &Vm) -> anyhow::Result<i64> {
    if !has_khungtaskd(vm) {
        return [100, 250, 300, 1000]
            .into_iter()
            .find(|hz| vm.artifacts().kernel_has(&format!("CONFIG_HZ_{hz}")))
            .context("the kernel's HZ is not known");
    }
    let path = "/proc/sys/kernel/hung_task_timeout_secs";
    for hz in [100, 250, 300, 1000] {
        if vm
            .write(path, (i64::MAX / hz).to_string().as_bytes())
            .is_ok()
        {
            vm.write(path, b"120")?;
            return Ok(hz);
        }
    }
    bail!("{path} takes no known maximum")
}

/// What can be written to a knob, and how it reads then.
fn good_values(knob: &KnobInfo, hz: i64) -> Vec<(String, String)> {
    let pair = |written: &str, read: &str| (written.to_owned(), read.to_owned());
    match knob.kind {
        KnobKind::Number { min, max, default } => {
            let max = max.value(hz);
            let mut values: Vec<(String, String)> = [min, max, max - 1, 0, 1, default]
                .iter()
                .map(|value| (format!("{value}\n"), value.to_string()))
                .collect();
            values.extend([
                pair("1", "1"),
                pair(" \t1 \n", "1"),
                pair("0x1", "1"),
                pair("01", "1"),
                pair("-0", "0"),
            ]);
            values
        }
        KnobKind::Counter => vec![pair("0", "0"), pair("0\n", "0")],
        KnobKind::Gauge => vec![],
        KnobKind::Word(words) => {
            // `parameters` takes the first two.
            let plain = words.iter().map(|word| pair(word, word));
            let lines = words.iter().map(|word| pair(&format!("{word}\n"), word));
            let blanks = words
                .iter()
                .map(|word| pair(&format!(" \t{word} \n"), word));
            plain.chain(lines).chain(blanks).collect()
        }
        KnobKind::Rules => {
            // As long as a list may be. `parameters` takes the first two, of which no shell makes
            // something else.
            let long = "a,".repeat(255) + "bc";
            let mut values = vec![pair("backup*", "backup*"), pair(&long, &long)];
            values.extend(
                [
                    ":io",
                    ":lock,:io,:io",
                    "[kworker*],[kswapd0],[*]",
                    "Web Content,kworker/0:1",
                    r"a\x2cb,\xE4\x20*,(sd-pam)",
                ]
                .map(|text| pair(&format!(" \t{text} \n"), text)),
            );
            values.push(pair("\n", ""));
            values
        }
        KnobKind::List => {
            let all: Vec<&str> = SYS_INFO.iter().map(|(name, _)| *name).collect();
            let all = all.join(",");
            vec![
                (all.clone(), all),
                pair("mem,tasks\n", "tasks,mem"),
                pair(" tasks , timers ", "tasks,timers"),
                pair("mem,mem", "mem"),
                pair("\n", ""),
                pair("all_bt", "all_bt"),
            ]
        }
        // The guest has two.
        KnobKind::Cpus => vec![
            pair("1\n", "1"),
            pair("0-1\n", "0-1"),
            pair(" 1,0 \n", "0-1"),
            pair("0-0,0-1", "0-1"),
            // CPUs that this machine cannot have, of a kernel that could.
            pair("0,3", "0"),
            pair("00-01", "0-1"),
            pair("\n", ""),
        ],
    }
}

/// How a knob reads if nothing was given at load.
fn default(knob: &KnobInfo) -> String {
    match knob.kind {
        // The guest's CPUs, which all do housekeeping.
        KnobKind::Cpus => "0-1".to_owned(),
        _ => knob.display(knob.default()).to_string(),
    }
}

/// What no knob of this kind takes.
fn bad_values(knob: &KnobInfo, hz: i64) -> Vec<Vec<u8>> {
    let mut bad: Vec<Vec<u8>> = [
        "", "abc", "1a", "a1", "1 2", "1,2", "1\n2", "1.5", "1e3", "+1", "--1", "- 1", "0x", "08",
        "-", "1\0", "\0", "\u{e4}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    let mut numbers: Vec<i128> = vec![
        i128::from(i64::MAX) + 1,
        i128::from(i64::MIN) - 1,
        i128::from(i64::MIN),
        i128::from(u64::MAX),
        i128::from(u64::MAX) + 2,
    ];
    match knob.kind {
        KnobKind::Number { min, max, .. } => {
            numbers.extend([i128::from(min) - 1, i128::from(max.value(hz)) + 1]);
            bad.extend([b"\n".to_vec(), b"   ".to_vec()]);
        }
        KnobKind::Counter | KnobKind::Gauge => {
            numbers.extend([1, -1]);
            bad.extend([b"\n".to_vec(), b"   ".to_vec()]);
        }
        KnobKind::Word(words) => {
            numbers.extend([-1, 0, 1, 2]);
            bad.extend([b"\n".to_vec(), b"   ".to_vec(), b"nothing".to_vec()]);
            for word in words {
                for text in [
                    format!("{word}s"),
                    format!("{word},"),
                    format!("{word} {word}"),
                    format!("{word},{word}"),
                    format!("{word}\n{word}\n"),
                    format!("{word}\0"),
                    word.to_uppercase(),
                    word[1..].to_owned(),
                    word[..word.len() - 1].to_owned(),
                    word[..1].to_owned(),
                    word.repeat(2000),
                ] {
                    bad.push(text.into_bytes());
                }
            }
        }
        KnobKind::Rules => {
            // Names of tasks, if of none that there are.
            bad.retain(|text| {
                text.is_empty() || text.iter().any(|byte| !(b' '..=b'~').contains(byte))
            });
            for text in [
                ",",
                "a,",
                ",a",
                "a,,b",
                "a, b",
                "a ,b",
                "*",
                "a**",
                "*a",
                "a*b",
                "[",
                "[a",
                "a]",
                "[]",
                "[[a]]",
                "[a]*",
                ":",
                ":ios",
                ":IO",
                "[:io]",
                r"\",
                r"\x4",
                r"\x00",
                r"\n",
                "sixteen_bytes_xx",
                "[sixteen_bytes_xx*]",
                "a\tb",
                "a\nb",
                "a\x7f",
            ] {
                bad.push(text.as_bytes().to_vec());
            }
            // One byte too long, and far more.
            bad.push(("a,".repeat(256) + "b").into_bytes());
            bad.push([b"mem,".repeat(2000), b"nothing".to_vec()].concat());
        }
        KnobKind::List => {
            for text in [
                "nothing",
                "tasks mem",
                "tasks;mem",
                "tasks,",
                ",tasks",
                "tasks,,mem",
                "TASKS",
                "task",
                "1",
                "0",
                ",",
            ] {
                bad.push(text.as_bytes().to_vec());
            }
            bad.push([b"mem,".repeat(2000), b"nothing".to_vec()].concat());
        }
        KnobKind::Cpus => {
            // Lists of CPUs, if of few that there are.
            bad.retain(|text| !matches!(text.as_slice(), b"1,2" | b"08"));
            numbers.extend([-1, 1_000_000]);
            for text in [
                "0-",
                "-0",
                "1-0",
                "0--1",
                "0-1-2",
                "0,,1",
                "0,",
                ",0",
                ",",
                "0;1",
                "0 1",
                "0-1,x",
                "0-1000000",
                "0,1000000",
                "all",
                "0x1",
                "0:1",
                "0-1/1",
                "0-4294967297",
            ] {
                bad.push(text.as_bytes().to_vec());
            }
            bad.push([b"0-1,".repeat(2000), b"x".to_vec()].concat());
        }
    }
    bad.extend(numbers.iter().map(|number| number.to_string().into_bytes()));
    // Overlong, from a line's length to more than a page.
    bad.extend([20, 300, 5000, 70_000].map(|length| vec![b'1'; length]));
    bad
}

/// Every knob has its default, takes every good value and reads back as it, and
/// answers every bad one with `EINVAL` and no change.
fn files(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let hz = hz(&vm)?;
    vm.load("")?;
    let files: BTreeSet<String> = vm
        .sh_ok(&format!("ls -A {FOLDER}"))?
        .lines()
        .map(str::to_owned)
        .collect();
    let knobs: BTreeSet<String> = KNOBS.iter().map(|knob| knob.name.to_owned()).collect();
    ensure!(files == knobs, "files {files:?}, not {knobs:?}");
    // All of them, now and then in the middle of a look.
    for knob in KNOBS {
        let name = knob.name;
        let read = || vm.read(&format!("{FOLDER}/{name}"));
        let default = format!("{}\n", default(knob));
        ensure!(
            read()? == default,
            "{name} is {:?} at first, not {default:?}",
            read()?
        );
        if !knob.is_writable() {
            let errno = vm.set_knob(name, 0).err().and_then(|error| error.errno());
            ensure!(errno == Some(Errno::EACCES), "0 to {name}: {errno:?}");
            continue;
        }
        for (written, expected) in good_values(knob, hz) {
            vm.set_knob(name, &written)
                .with_context(|| format!("{written:?} to {name}"))?;
            ensure!(
                read()? == format!("{expected}\n"),
                "{name}: {written:?} reads {:?}",
                read()?
            );
        }
        // Something that no bad value would leave there.
        let kept = match knob.kind {
            // The first is the default.
            KnobKind::Word(words) => format!("{}\n", words[1]),
            KnobKind::Rules => "[kworker*],:io\n".to_owned(),
            KnobKind::List => "timers\n".to_owned(),
            _ => "0\n".to_owned(),
        };
        vm.set_knob(name, &kept)?;
        for value in bad_values(knob, hz) {
            let shown = String::from_utf8_lossy(value.get(..40).unwrap_or(&value)).into_owned();
            let errno = vm
                .write(&format!("{FOLDER}/{name}"), &value)
                .err()
                .and_then(|error| error.errno());
            ensure!(
                errno == Some(Errno::EINVAL),
                "{shown:?} ({} bytes) to {name}: {errno:?}",
                value.len()
            );
            ensure!(read()? == kept, "{name} is {:?} after {shown:?}", read()?);
        }
        vm.set_knob(name, default)?;
    }
    vm.unload()?;
    nothing_left(&vm)
}

/// Mode 0644: root writes, everybody reads; 0444 of what nobody writes. A write not at the beginning of a
/// file is refused. sysctl works, with lines of a file as well.
fn who_may_write(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    vm.load("")?;
    let modes = vm.sh_ok(&format!("stat -c '%a %u %g' {FOLDER}/* | sort -u"))?;
    ensure!(modes == "444 0 0\n644 0 0\n", "{modes}");
    let before = vm.sh_ok(&format!("cd {FOLDER}; grep . *"))?;
    for knob in KNOBS {
        let name = knob.name;
        let output = vm.sh(&format!(
            "cd {FOLDER}; umask 0; setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'cat {name} && echo 0 > {name}'"
        ))?;
        let default = format!("{}\n", default(knob));
        ensure!(
            output.status != 0
                && output.stdout.starts_with(&default)
                && output.stdout.contains("Permission denied"),
            "{name} unprivileged: {output:?}"
        );
        if !knob.is_writable() {
            continue;
        }
        // Without a write(2) at another place there would be no seek.
        let value = match knob.kind {
            KnobKind::Word(words) => words[1],
            KnobKind::Rules | KnobKind::List => "mem",
            _ => "0",
        };
        let output = vm.sh(&format!(
            "printf {value} | dd of={FOLDER}/{name} bs=8 seek=1 conv=notrunc"
        ))?;
        ensure!(
            output.status != 0 && output.stdout.contains("Invalid argument"),
            "{name} at 8: {output:?}"
        );
    }
    let after = vm.sh_ok(&format!("cd {FOLDER}; grep . *"))?;
    ensure!(before == after, "was {before}, is {after}");

    let output = vm.sh_ok(
        "sysctl -w vigil.hung_task_timeout_secs=33 vigil.hung_task_sys_info=tasks,mem
         sysctl -w vigil.hung_task_report=mainline
         printf 'vigil.hung_task_warnings = -1\n# comment\nvigil/hung_task_panic=7\n' > /tmp/vigil.conf
         sysctl -p /tmp/vigil.conf; sysctl -a 2> /dev/null | grep ^vigil",
    )?;
    for line in [
        "vigil.hung_task_timeout_secs = 33\n",
        "vigil.hung_task_sys_info = tasks,mem\n",
        "vigil.hung_task_report = mainline\n",
        "vigil.hung_task_warnings = -1\n",
        "vigil.hung_task_panic = 7\n",
        "vigil.hung_task_detect_count = 0\n",
    ] {
        ensure!(output.contains(line), "no {line} in {output}");
    }
    let refused = vm.sh("sysctl -w vigil.hung_task_timeout_secs=-1")?;
    ensure!(
        refused.status != 0 && vm.knob("hung_task_timeout_secs")? == "33",
        "{refused:?}"
    );
    Ok(())
}

/// Every knob that can be given has a parameter of its name, which takes effect
/// at load; a bad one makes the load fail, is named in the log, and leaves
/// nothing behind.
fn parameters(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    let hz = hz(&vm)?;
    let given: Vec<&KnobInfo> = KNOBS
        .iter()
        .filter(|knob| !matches!(knob.kind, KnobKind::Counter | KnobKind::Gauge))
        .collect();
    let listed = vm.sh_ok("modinfo -p /vm/vigil.ko")?;
    let listed: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split(':').next())
        .collect();
    // And these, which are no knobs: they cannot be changed later.
    let switches = [
        "hardlockup_backend",
        "inherit",
        "kernel_names",
        "use_run_queues",
        "use_stopper",
        "use_unexported",
    ];
    let expected: BTreeSet<&str> = given.iter().map(|knob| knob.name).chain(switches).collect();
    ensure!(
        listed == expected,
        "parameters {listed:?}, not {expected:?}"
    );

    // All at once: the lowest, the highest, another one.
    for pick in [0, 1, 6] {
        let values: Vec<(&str, String)> = given
            .iter()
            .filter_map(|knob| {
                Some((
                    knob.name,
                    good_values(knob, hz).into_iter().nth(pick % 6)?.1,
                ))
            })
            .collect();
        let words: Vec<String> = values
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        vm.load(&words.join(" "))
            .with_context(|| format!("{words:?}"))?;
        for (name, value) in values {
            let knob = vm.knob(name)?;
            // A timeout may have been read and acted upon, never changed.
            ensure!(knob == value, "{name} is {knob:?}, {value:?} was given");
        }
        vm.unload()?;
    }

    // The longest list of CPUs that anybody may want is far longer.
    let long = "0,".repeat(300) + "1";
    vm.load(&format!("watchdog_cpumask={long}"))?;
    ensure!(vm.knob("watchdog_cpumask")? == "0-1");
    vm.unload()?;

    // Given twice: a number is refused, of a text the last one counts.
    let mark = vm.mark()?;
    let twice = vm.sh("insmod /vm/vigil.ko hung_task_warnings=1 hung_task_warnings=2")?;
    ensure!(
        twice.status != 0 && twice.stdout.contains("File exists"),
        "{twice:?}"
    );
    vm.wait_log_after(mark, "invalid for parameter `hung_task_warnings'", SOON)?;
    vm.load("hung_task_ignore=one hung_task_ignore=two")?;
    ensure!(vm.knob("hung_task_ignore")? == "two");
    vm.unload()?;

    for knob in given {
        let overlong = match knob.kind {
            KnobKind::Cpus => "0,".repeat(2100) + "1",
            _ => "mem,".repeat(300) + "mem",
        };
        let bad: Vec<String> = match knob.kind {
            KnobKind::Number { min, max, .. } => vec![
                (min - 1).to_string(),
                (i128::from(max.value(hz)) + 1).to_string(),
                "abc".to_owned(),
                String::new(),
            ],
            KnobKind::Rules => vec!["*".to_owned(), "tasks,".to_owned(), overlong.clone()],
            _ => vec!["nothing".to_owned(), "tasks,".to_owned(), overlong.clone()],
        };
        for value in bad {
            let given = format!("{}={value}", knob.name);
            let mark = vm.mark()?;
            let output = vm.sh(&format!("insmod /vm/vigil.ko {given}"))?;
            // The kernel itself has another number for a text that is too long.
            let expected = if value == overlong {
                "No space left"
            } else {
                "Invalid parameters"
            };
            ensure!(
                output.status != 0 && output.stdout.contains(expected),
                "{given}: {output:?}"
            );
            let log = vm.dmesg_after(mark)?;
            let named = log
                .iter()
                .any(|line| line.facility == 0 && line.level <= 4 && line.text.contains(knob.name));
            ensure!(named, "{given}: the log does not say so: {log:#?}");
        }
        nothing_left(&vm).with_context(|| knob.name)?;
    }
    vm.load("")?;
    vm.unload()?;
    Ok(())
}

/// What is counted and what is stuck now, for everybody to read, under load.
fn gauges(cx: &Cx) -> Verdict {
    let vm = guest(cx, 2, "watchdog_thresh=1 hung_task_timeout_secs=2")?;
    let read = || -> anyhow::Result<[u64; 5]> {
        let text = vm.sh_ok(
            "cd /proc/sys/vigil; setpriv --reuid=65534 --regid=65534 --clear-groups \
             cat softlockup_count hardlockup_count unresponsive_cpu_count hung_tasks_now stuck_cpus_now",
        )?;
        let numbers: Result<Vec<u64>, _> = text.lines().map(str::parse).collect();
        numbers?
            .try_into()
            .map_err(|numbers| anyhow!("not five: {numbers:?}"))
    };
    ensure!(read()? == [0; 5], "{:?}", read()?);
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex count=3")?;
    wait_report(&vm, mark, stall.victims[2])?;
    wait_for(&vm, SOON, "three hung tasks", || {
        Ok((read()? == [0, 0, 0, 3, 0]).then_some(()))
    })?;
    stall.end(&vm)?;
    wait_for(&vm, SOON, "no hung task", || {
        Ok((read()? == [0; 5]).then_some(()))
    })?;
    for (what, found, during, after) in [
        // Reported once: ended when it was looked at, however long that took.
        (
            "irqs_off cpu=1 ms=60000",
            "hard LOCKUP on cpu 1",
            [0, 1, 0, 0, 1],
            [0, 1, 0, 0, 0],
        ),
        // Reported again after each threshold, so that there is only this one for so long.
        (
            "preempt_off cpu=1 ms=3900",
            "soft lockup - CPU#1",
            [1, 1, 0, 0, 1],
            [1, 1, 0, 0, 0],
        ),
    ] {
        let mark = vm.mark()?;
        let lockup = Lockup::start(&vm, what)?;
        vm.wait_log_after(mark, found, SOON)?;
        let now = read()?;
        ensure!(now == during, "{what}: {now:?}");
        vm.write(&format!("{PROVOKE}/end"), b"all")?;
        lockup.wait(&vm)?;
        wait_for(
            &vm,
            SOON,
            "its end",
            || Ok((read()? == after).then_some(())),
        )?;
    }
    // In the kernel's own place too, where the kernel has none: until the unload.
    let has = |option| vm.artifacts().kernel_has(option);
    let files = [
        (
            "/sys/kernel/softlockup_count",
            has("CONFIG_SOFTLOCKUP_DETECTOR"),
        ),
        (
            "/sys/kernel/hardlockup_count",
            has("CONFIG_HARDLOCKUP_DETECTOR"),
        ),
    ];
    let are_vigils = |expected: &str| -> Verdict {
        for (path, _) in files.iter().filter(|(_, is_the_kernels)| !is_the_kernels) {
            let count = vm.read(path)?;
            ensure!(count.trim() == expected, "{path}: {count}");
        }
        Ok(())
    };
    are_vigils("1")?;
    vm.unload()?;
    for (path, is_the_kernels) in files {
        let there = vm.sh_ok(&format!("test -e {path} && echo yes || echo no"))?;
        ensure!((there.trim() == "yes") == is_the_kernels, "{path}: {there}");
    }
    vm.load("watchdog_thresh=1")?;
    are_vigils("0")?;
    Ok(())
}
