// SPDX-License-Identifier: GPL-2.0

//! `docs/knobs.md` is made from the table of knobs. The test fails where the file differs, and
//! writes it with `VIGIL_WRITE_DOCS=1` (`make docs`).

use std::{fs, path::Path};
use vigil_logic::knobs::{Kind, Knob, Max, ALL, SYS_INFO};

const ABOUT: &str = "\
<!-- Made by src/logic/tests/docs.rs from src/logic/knobs.rs: change those, then `make docs`. -->

# Knobs

Each knob is a file, `/proc/sys/vigil/NAME`. Everybody may read it, only root may write it (mode
0644):

    sysctl vigil.hung_task_timeout_secs
    sysctl -w vigil.hung_task_timeout_secs=30
    echo 30 > /proc/sys/vigil/hung_task_timeout_secs

A good write is in effect when write(2) returns. A bad one (not a value, or out of range) fails with
`EINVAL` and changes nothing. Each write is one whole value.

Numbers are decimal, or as C writes them: `0x1e` and `036` are 30. Blanks around a value do not
matter. A list is words with commas between them; an empty line empties it.

To keep a value over reboots, put a line such as

    vigil.hung_task_timeout_secs = 30

into a file in `/etc/sysctl.d`. It is applied at boot to a module that is there by then, as one
named in `/etc/modules-load.d` is. A module that is loaded later takes its values from its
parameters, which have the same names as the knobs (but for the counter, which has none):

    modprobe vigil hung_task_timeout_secs=30
    echo options vigil hung_task_timeout_secs=30 > /etc/modprobe.d/vigil.conf

With a parameter out of range the module is not loaded, and the log says which.
";

const NOTES: &str = "\
`INT_MAX` is 2147483647. `LONG_MAX/HZ` is 36893488147419103 seconds for the 250 Hz of Debian's
kernels.

## Where vigil differs from `kernel.hung_task_*`

Names and meanings are those of the kernel's own detector (`admin-guide/sysctl/kernel.rst`), but for
these:

- `hung_task_check_interval_secs`: 0 means a sixteenth of the timeout, at least 1 s and at most the
  timeout. The kernel's means the timeout itself, so that a task may be hung for almost two timeouts
  before it is reported. Here it is reported within the timeout and one interval. On a busy machine
  the scheduler's count, which saves walks through the tasks, can miss a sleeper; then it may be up
  to an eighth of the timeout more.
- `hung_task_detect_count` counts each stall once. The kernel's counts a stall again at each look at
  the tasks for as long as it lasts.
- Reports of a stall that lasts are repeated once for each further timeout. The kernel's come at
  each look, which is the same only where the interval is the timeout.
- `hung_task_check_count`: where a walk through the tasks had to stop, the next goes on. The
  kernel's begins with the first task again, so that those beyond the count are never looked at.
  Tasks that are being watched already are looked at in any case, unless the count is 0.
- `hung_task_sys_info`: a word that is not known is an error, as is an empty one. The kernel's
  passes over it, and leaves out whatever follows an empty one.
- Two numbers in one write are an error. The kernel takes the first.
";

/// A table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn range(knob: &Knob) -> String {
    match knob.kind {
        Kind::Number {
            min: 0,
            max: Max::One,
            ..
        } => "0 or 1".into(),
        Kind::Number { min, max, .. } => {
            let max = match max {
                Max::One => "1",
                Max::Int => "`INT_MAX`",
                Max::Seconds => "`LONG_MAX/HZ`",
            };
            format!("{min} to {max}")
        }
        Kind::Counter => "write 0 only".into(),
        Kind::List => {
            let words: Vec<String> = SYS_INFO
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect();
            words.join(", ")
        }
    }
}

fn default(knob: &Knob) -> String {
    let text = knob.show(knob.default()).to_string();
    if text.is_empty() {
        "empty".into()
    } else {
        text
    }
}

fn document() -> String {
    let mut out = format!("{ABOUT}\n| name | range | default | meaning |\n|---|---|---|---|\n");
    for knob in ALL {
        let (range, default) = (range(knob), default(knob));
        out += &format!(
            "| `{}` | {} | {} | {} |\n",
            knob.name,
            cell(&range),
            cell(&default),
            cell(knob.help)
        );
    }
    out + "\n" + NOTES
}

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn knobs_are_documented() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/knobs.md");
    let document = document();
    if std::env::var_os("VIGIL_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::create_dir_all(file.parent().expect("a folder")).expect("docs/ cannot be made");
        fs::write(&file, document).expect("docs/knobs.md cannot be written");
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let mut lines = found.lines().zip(document.lines()).enumerate();
    let differs = lines.find(|(_, (found, made))| found != made);
    if let Some((place, (found, made))) = differs {
        let line = place + 1;
        panic!("docs/knobs.md:{line} is\n  {found}\nand should be\n  {made}\nrun `make docs`");
    }
    assert!(
        found == document,
        "docs/knobs.md is not all there: run `make docs`"
    );
}

#[test]
fn the_document_is_whole() {
    let document = document();
    for knob in ALL {
        let rows: Vec<&str> = document
            .lines()
            .filter(|line| line.starts_with(&format!("| `{}` |", knob.name)))
            .collect();
        assert_eq!(rows.len(), 1, "{}", knob.name);
        assert!(rows[0].contains(knob.help), "{}", knob.name);
    }
    for line in document.lines() {
        assert_eq!(line.trim_end(), line);
    }
}
