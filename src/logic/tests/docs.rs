// SPDX-License-Identifier: GPL-2.0

//! Makes `docs/knobs.md` from the table of knobs, `docs/status.md` from the keys of `vigil/status`, and
//! `scripts/messages.json` from the messages. A test fails where its file differs, and writes it with
//! `VIGIL_WRITE_DOCS=1` (`make docs`).

use std::{collections::BTreeMap, fs, path::Path};
use vigil_logic::hung_task::rules::MAX_LEN;
use vigil_logic::knobs::{KnobInfo, KnobKind, Max, KNOBS, SYS_INFO};
use vigil_logic::messages::{status::KEYS, MESSAGES};

const ABOUT: &str = "\
<!-- Made by src/logic/tests/docs.rs from src/logic/knobs.rs: change those, then `make docs`. -->

# Knobs

Each knob is a file, `/proc/sys/vigil/NAME`. Everybody may read it, only root may write it (mode
0644, and 0444 of those that are read only):

    sysctl vigil.hung_task_timeout_secs
    sysctl -w vigil.hung_task_timeout_secs=30
    echo 30 > /proc/sys/vigil/hung_task_timeout_secs

A valid write is in effect when write(2) returns. An invalid one (not a value, or out of range)
fails with `EINVAL` and changes nothing. Each write is one whole value. So is what one read(2) gets
into a buffer that is large enough; where text is written meanwhile, a second read at an offset
continues in the new text, as with mainline's.

Numbers are decimal, or as C writes them: `0x1e` and `036` are 30. Blanks around a value do not
matter. A word is one of those under \"range\", not abbreviated. A list is words with commas between
them; an empty line empties it. A list of CPUs is decimal numbers and ranges such as `0-3,8`, in any
order, with commas and nothing else between them; an empty line stands for no CPU at all. Rules are
described [below](#rules-for-hung-tasks).

To keep a value over reboots, put a line such as

    vigil.hung_task_timeout_secs = 30

into a file in `/etc/sysctl.d`. It is applied at boot to a module that is there by then, as one
named in `/etc/modules-load.d` is. A module that is loaded later takes its values from its
parameters, which have the same names as the knobs (counts have none):

    modprobe vigil hung_task_timeout_secs=30 watchdog_cpumask=0-3,8
    echo options vigil hung_task_timeout_secs=30 > /etc/modprobe.d/vigil.conf

With `kernel_names=1` at load the knobs are registered in `/proc/sys/kernel` too, under the names
that mainline's detectors have there, so that scripts and settings for those work (`sysctl
kernel.watchdog_thresh=5`). That is for kernels built without these detectors: a name that the
running kernel has itself is left to it. The log and [`status`](status.md) say which names vigil has
registered.

With a parameter out of range the module is not loaded, and the log says which. The parameter of a
word, of rules, or of a list of words or of CPUs, is text as in its file; an empty one has no
effect.
";

const NOTES: &str = "\
`INT_MAX` is 2147483647. `LONG_MAX/HZ` is 36893488147419103 seconds for the 250 Hz of Debian's
kernels.

What is not given at load begins with the kernel's own value, of the knobs for thresholds, panics
and what a report shows (parameter `inherit`, 1 by default): see `beside-the-tree.md`. The defaults
above are those with `inherit=0`.

## Counts and gauges for exporters

Read only, for everybody, and free to read as often as wanted. `hung_task_detect_count`,
`softlockup_count`, `hardlockup_count` and `unresponsive_cpu_count` only grow, from 0 at load (but
the first can be reset): counters. A soft lockup is counted with each report, so again after each
further threshold; a hard lockup once. `hung_tasks_now` and `stuck_cpus_now` are gauges: the tasks
that were hung at the last check, which is at most a check interval ago, and the CPUs that are stuck
at this moment, as far as another CPU or their own timer interrupt has noticed.

On kernels that are built without an in-tree detector, whose count `/sys/kernel/softlockup_count` or
`/sys/kernel/hardlockup_count` would be, vigil's count is there as well while it is loaded.

## Rules for hung tasks

`hung_task_ignore` and `hung_task_panic_only` are lists of rules with commas between them. A list
selects a task if one of its rules does:

| rule | selects |
|---|---|
| `backup` | tasks with this name |
| `backup*` | tasks with a name that begins so |
| `[kswapd0]`, `[kworker*]` | the same, but kernel threads only; `[*]` is any kernel thread |
| `:io` | tasks in I/O wait: those whose report says `blocked in I/O wait` |
| `:lock` | tasks that wait for a lock which is known: those whose report says which |

- The name is `task_struct::comm`, as a report has it: at most 15 bytes, and for a worker
  `kworker/0:1`, where `ps` shows `kworker/0:1-events`. Threads have names of their own. Workers of
  io_uring and vhost belong to their process and are no kernel threads.
- A name is printable ASCII, blanks included. `\\xNN` stands for any other byte, as reports print
  it, for a `,` `*` `[` `]` or `\\` in a name, for a `:` at its beginning, and for a blank at its
  beginning or its end: `Web Content`, `a\\x2cb`. A shell may want quotes around all that, and a
  module parameter `\\x20` for each blank.
- What is no such list is an error, and nothing changes: an empty rule, a `*` that is not at the end
  or stands alone, a bracket without the other, a longer name, another word with a `:`, a NUL, more
  than 512 bytes. A list reads as it was written. A write of the same list changes nothing.

A task that `hung_task_ignore` selects when it has been blocked for the timeout is not hung: it has
no report, takes no warning, makes no panic, and is part of neither `hung_task_detect_count` nor
`hung_tasks_now`; `ignored_tasks` in [`status`](status.md) counts it. If others wait behind it,
their reports name it. Without the rule it is reported at once if it is still blocked.

`hung_task_panic` counts the hung tasks of a check that `hung_task_panic_only` selects (all, if that
is empty) and that have been blocked for `hung_task_panic_secs`, by the age that reports print. The
others are reported as ever. A task that reaches that age is counted then, and a panic does not come
without its report: if none is due, it is given once more. So

    vigil.hung_task_ignore = [nfsd*],backup
    vigil.hung_task_panic_only = :lock
    vigil.hung_task_panic_secs = 600
    vigil.hung_task_panic = 1

panics for a task that waits for a lock for ten minutes, and not for a slow disk. A change of one of
these three cancels a panic for hung tasks that is about to come; the next check, which is at once,
decides by the new rules.

The kernel's own detector knows nothing of these rules. Where it runs beside vigil it reports all
tasks, and panics by `kernel.hung_task_panic`: see `beside-the-tree.md`.

## Where vigil differs from `kernel.hung_task_*`

Names and meanings are those of the kernel's own detector (`admin-guide/sysctl/kernel.rst`), but for
these:

- `hung_task_check_interval_secs`: 0 means a sixteenth of the timeout, at least 1 s and at most the
  timeout. The kernel's means the timeout itself, so that a task may be hung for almost two timeouts
  before it is reported. Here it is reported within the timeout and one interval. On a busy machine
  the run queues' counts, which save scans, can miss a sleeper; then it may be up to an eighth of
  the timeout more.
- `hung_task_detect_count` counts each stall once. The kernel's counts a stall again at each check
  for as long as it lasts.
- One report is given for each root cause. Ten of the tasks behind it have a line each, and the
  others are counted. It is given again when the cause has lasted for one timeout more, two, four
  and so on, and when ten times as many tasks are hung ([reports](reports.md)). With
  `hung_task_report=mainline` each task has a report, again after each further timeout. The
  kernel's detector reports each task at each check, which is the same only where the interval is
  the timeout.
- `hung_task_check_count`: where a scan had to stop, the next one continues. The kernel's begins
  with the first task again, so that tasks beyond the count are never checked. Tasks that are
  tracked already are checked in any case, unless the count is 0.
- `hung_task_warnings`: each report takes one, as the kernel's does. But reports that repeat, and
  with `hung_task_report=mainline` those on tasks that wait for a lock that a report was about, only
  borrow: when there are none left, the first report of a new cause gets one back. So as many causes
  are reported as the knob said. A root cause that was not, for want of warnings, is reported
  when the knob is written, if it is still there. Hung tasks are counted in any case.
- `hung_task_sys_info`: an unknown word is an error, as is an empty one. The kernel's ignores an
  unknown one, and whatever follows an empty one. Without `hung_task_warnings` it is shown once in a
  timeout for as long as a report is due; the kernel's is shown at each check.
- Two numbers in one write are an error. The kernel takes the first.

## Where vigil differs from `kernel.watchdog*` and `kernel.*lockup*`

Both kinds of lockup are detected by a timer interrupt that each watched CPU takes every sample
period, 2/5 of `watchdog_thresh`: 4 s by default. The names and meanings are the kernel's, but for
these:

- `watchdog_thresh` is in seconds. For soft lockups the kernel counts in units of 2^30 ns (1.07 s),
  and wants one unit more than twice the threshold.
- A report comes when it is due. The kernel's waits for the next sample period. By default a soft
  lockup is reported 20 s after the CPU's stopper last ran, and by the kernel after 24 s.
- Time that the hypervisor took from a CPU (steal time), and time in which the whole machine was
  paused, count towards no soft lockup and are not part of its length.
- A report names the busiest interrupts of the stuck CPU where it took at least 1000 a second (and
  at least twice as many as the tick makes), or where the kernel counts their time and that was more
  than half of the last sample period. They are counted from when the CPU had missed a sample
  period, or from the report before. The kernel's knows only the second reason.
- When kvmclock's flag says that the hypervisor stopped the CPU, the threshold begins anew, as for
  the kernel's; but the flag is not cleared.
- `softlockup_panic` counts thresholds of that length; a stall is reported again after each further
  threshold, as by the kernel.
- `nmi_watchdog` needs no perf cycle counters, though it takes one for each CPU where that
  interrupts by NMI (parameter `hardlockup_backend`: `auto`, `perf`, `buddy`, or `perf,buddy` for
  both). `auto` takes none with the kernel's `nmi_watchdog=0`, and, where buddy can confirm by NMI
  (x86), none in a guest or beside an in-tree detector that has them. A write that would enable it
  without a counter fails with `hardlockup_backend=perf` only.
- With the back end perf a CPU is found stuck as by the kernel's own detector: by the second perf
  NMI after its last timer interrupt, so one to two counter periods after it got stuck (a period is
  as many cycles as the CPU does in `watchdog_thresh` at its nominal frequency). Another CPU gives
  the report at its next timer interrupt, up to a sample period later; the perf NMI gives it at once
  if there is no other CPU, or if `hardlockup_panic` is set. Unresponsive CPUs are not detected, as
  their counters do not run either: unless `unresponsive_cpu_panic` is set (where an NMI can be sent
  to a CPU), or with `perf,buddy`.
- With the back end buddy each CPU is checked by the one before it in `watchdog_cpumask`, and where
  that one is stuck itself, by the next one before that. A CPU is suspected when its last timer
  interrupt is 6/5 of `watchdog_thresh` ago, which is 4/5 to 6/5 of it after the CPU got stuck: 8 to
  12 s by default.
- What buddy suspects is confirmed by an NMI: a CPU that runs with interrupts off answers it. A CPU
  that does not answer within 2 s is reported as unresponsive, and is no hard lockup: a vCPU that
  its host does not run looks so. `hardlockup_panic` does not count it; `unresponsive_cpu_panic`,
  which the kernel does not have, does. If it answers later, and its timer interrupt still does not
  come, that is a hard lockup. Where no NMI can be sent, the report of the hard lockup says that it
  is not confirmed.
- On x86 without a hypervisor a CPU that does not answer is a hard lockup: nothing but an NMI
  handler or the firmware can keep it from that. `hardlockup_panic` counts it. Where that is 0,
  `unresponsive_cpu_panic` does, since the CPU does not run, as far as can be seen; the message of
  that panic is `vigil: unresponsive CPU`.
- A hard lockup is reported once, and its end as well. The kernel's buddy reports it every three
  sample periods for as long as it lasts.
- The output of `softlockup_sys_info` and `hardlockup_sys_info` is printed by a thread, also before
  a panic, which waits for it for at most 10 s ([kdump.md](kdump.md)). The kernel's detector prints
  it in the interrupt, and waits for any lock that the stuck CPU may hold.
- `softlockup_sys_info`, `hardlockup_sys_info`: as for `hung_task_sys_info`, an unknown word is an
  error.
- `watchdog_cpumask` may name CPUs that are not online: they are watched when they are. CPUs that
  the machine cannot have are left out. Numbers that no kernel built like this one could have are an
  error, as is a range whose end comes before its beginning. A CPU that is not in the mask is not
  watched, and checks no other.
- `watchdog`, `soft_watchdog` and `nmi_watchdog` read as what is in effect. With `watchdog_thresh` 0
  all three read 0; the kernel's do not consider the threshold. A change of any of these five knobs
  restarts the detection on all CPUs.
";

const STATUS: &str = "\
<!-- Made by src/logic/tests/docs.rs from src/logic/messages.rs: change those, then `make docs`. -->

# `vigil/status`

The file `/sys/kernel/debug/vigil/status` says what vigil detects now, by which means, and what it
has done since it was loaded. Everybody who may look into debugfs may read it: root, on most
machines. It is made anew for each read.

One fact a line, `key: value`, under a heading for each section. Every key is always there, in this
order, and stands once in its section. A switch is `0` or `1`; a list has blanks between its words;
the unit of a number is the end of its key. What is not there is `none`. Keys that are here stay;
new ones may come.

    [hung_task]
    enabled: 1
    timeout_s: 120
    check_interval_ms: 7500

One value in a script:

    awk -v section=hung_task -v key=enabled '
        /^\\[/ { inside = $0 == \"[\" section \"]\" }
        inside && sub(\"^\" key \": \", \"\")' /sys/kernel/debug/vigil/status

or all of them in Python, whose `configparser` reads the file as it is:

    status = configparser.ConfigParser(interpolation=None)
    status.read(\"/sys/kernel/debug/vigil/status\")
    status.getint(\"hung_task\", \"hung_tasks\")

What is running is also said in a few lines of the log when the module is loaded.
";

/// `docs/status.md`.
fn status() -> String {
    let mut out = STATUS.to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            out += &format!("\n## `[{section}]`\n\n| key | meaning |\n|---|---|\n");
        }
        out += &format!("| `{}` | {} |\n", key.name, cell(key.help));
    }
    out
}

/// A table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn range(knob: &KnobInfo) -> String {
    match knob.kind {
        KnobKind::Number {
            min: 0,
            max: Max::SWITCH,
            ..
        } => "0 or 1".into(),
        KnobKind::Number { min, max, .. } => {
            let max = match max {
                Max::INT => "`INT_MAX`".to_owned(),
                Max::Number(max) => max.to_string(),
                Max::Seconds => "`LONG_MAX/HZ`".to_owned(),
            };
            format!("{min} to {max}")
        }
        KnobKind::Counter => "write 0 only".into(),
        KnobKind::Gauge => "read only".into(),
        KnobKind::Word(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(" or ")
        }
        KnobKind::List => {
            let words: Vec<String> = SYS_INFO
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect();
            words.join(", ")
        }
        KnobKind::Rules => "rules".into(),
        KnobKind::Cpus => "CPUs".into(),
    }
}

fn default(knob: &KnobInfo) -> String {
    if knob.kind == KnobKind::Cpus {
        return "housekeeping CPUs".into();
    }
    let text = knob.display(knob.default()).to_string();
    if text.is_empty() {
        "empty".into()
    } else {
        text
    }
}

fn document() -> String {
    let mut out = format!("{ABOUT}\n| name | range | default | meaning |\n|---|---|---|---|\n");
    for knob in KNOBS {
        let (range, default) = (range(knob), default(knob));
        out += &format!(
            "| `{}` | {} | {} | {} |\n",
            knob.name,
            cell(&range),
            cell(&default),
            cell(knob.help)
        );
    }
    let own: Vec<String> = KNOBS
        .iter()
        .filter(|knob| !knob.mainline)
        .map(|knob| format!("`{}`", knob.name))
        .collect();
    let own = own.join(",\n");
    out + &format!("\nMainline does not have, and `kernel_names=1` leaves out:\n{own}.\n\n") + NOTES
}

/// Ensures that the file is this text, or writes it.
fn check(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name);
    if std::env::var_os("VIGIL_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().expect("a folder")).expect("its folder cannot be made");
        fs::write(&file, text).unwrap_or_else(|error| panic!("{name}: {error}"));
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let mut lines = found.lines().zip(text.lines()).enumerate();
    let differs = lines.find(|(_, (found, made))| found != made);
    if let Some((place, (found, made))) = differs {
        let line = place + 1;
        panic!("{name}:{line} is\n  {found}\nand should be\n  {made}\nrun `make docs`");
    }
    assert!(found == text, "{name} is not all there: run `make docs`");
}

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn knobs_are_documented() {
    check("docs/knobs.md", &document());
}

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn status_is_documented() {
    check("docs/status.md", &status());
}

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn messages_are_listed() {
    let list: BTreeMap<&str, &str> = MESSAGES.iter().copied().collect();
    assert_eq!(list.len(), MESSAGES.len(), "a name stands twice");
    let json = serde_json::to_string_pretty(&list).expect("texts");
    check("scripts/messages.json", &(json + "\n"));
}

#[test]
fn the_document_is_whole() {
    let document = document();
    for knob in KNOBS {
        let rows: Vec<&str> = document
            .lines()
            .filter(|line| line.starts_with(&format!("| `{}` |", knob.name)))
            .collect();
        assert_eq!(rows.len(), 1, "{}", knob.name);
        assert!(rows[0].contains(knob.help), "{}", knob.name);
    }
    for line in document.lines() {
        assert_eq!(line.trim_end(), line);
        assert!(line.starts_with('|') || line.len() <= 100, "{line}");
    }
}

/// The parameters that are text are declared in C, with the help of their knobs.
#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn text_parameters_have_the_knobs_help() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../c/param.c");
    let source = fs::read_to_string(file).expect("src/c/param.c");
    let is_text = |knob: &&KnobInfo| {
        matches!(
            knob.kind,
            KnobKind::Word(_) | KnobKind::Rules | KnobKind::List | KnobKind::Cpus
        )
    };
    for knob in KNOBS.iter().filter(is_text) {
        let wanted = format!("MODULE_PARM_DESC({},\n\t\t {:?});", knob.name, knob.help);
        assert!(source.contains(&wanted), "src/c/param.c has no\n{wanted}");
    }
    // With the NUL at its end.
    let room = format!("#define VIGIL_RULES\t{}\n", MAX_LEN + 1);
    assert!(source.contains(&room), "src/c/param.c has no\n{room}");
}
