// SPDX-License-Identifier: GPL-2.0
//! Man pages, shell completions, and `docs/vigilctl.md`: all made from the command line's definition.

use crate::cli::{self, What};
use anyhow::{Context, Result};
use clap_complete::Shell;
use std::{fs, path::Path};

/// Writes man pages or completions into a folder, which is made.
///
/// # Errors
///
/// If that cannot be written to.
pub(crate) fn run(what: What, folder: &Path) -> Result<()> {
    let failed = || format!("cannot write to {}", folder.display());
    fs::create_dir_all(folder).with_context(failed)?;
    match what {
        What::Man => man(folder).with_context(failed),
        What::Completions => {
            let mut command = cli::command();
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                clap_complete::generate_to(shell, &mut command, "vigilctl", folder)
                    .with_context(failed)?;
            }
            Ok(())
        }
    }
}

/// `vigilctl.8`, and a page for each subcommand.
fn man(folder: &Path) -> Result<()> {
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    let page = |command: clap::Command, name: &str| -> Result<()> {
        let mut text = Vec::new();
        clap_mangen::Man::new(command)
            .title(name)
            .section("8")
            .manual("vigil")
            .render(&mut text)?;
        Ok(fs::write(folder.join(format!("{name}.8")), text)?)
    };
    page(command.clone(), "vigilctl")?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("vigilctl-{}", sub.get_name());
        page(sub.clone(), &name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fmt::Write};

    const ABOUT: &str = "\
<!-- Made by tools/vigilctl/src/generate.rs from the command line's definition: `make docs`. -->

# vigilctl

`vigilctl` shows what the module finds, sets its knobs, and acts on what it finds. It speaks to the
module over generic netlink (`docs/netlink/vigil.yaml`), and reads `/proc/sys/vigil` and the files in
debugfs. `make vigilctl` builds it, statically linked, as `out/KERNEL/vigilctl`. `vigilctl generate man
FOLDER` and `vigilctl generate completions FOLDER` write man pages and shell completions.

`status` and `explain` read debugfs, which only root can; `set`, `test` and `guard` take root as well.
All others are for everybody; to others than root they show no kernel addresses and no symbols.

Errors are one sentence on standard error. Colours are for terminals only, and not with `NO_COLOR`.

## JSON

The keys are stable: those that are here stay, new ones may come. What is not known is left out. The
unit of a number is the end of its key; `began_s`, `found_s` and `ended_s` are on the clock of the
kernel's log, `time` is the time of day at `found_s`.

An incident, as in `incidents --json`:

| key | |
|---|---|
| `id` | unique in this boot |
| `kind` | `hung-task`, `soft-lockup`, `hard-lockup`, `unresponsive-cpu`, `root-cause` |
| `began_s`, `found_s`, `age_s`, `time` | when it began and was found, how long it has lasted |
| `ended_s`, `end` | when it ended, and how: `recovered`, `exited`, `regrouped`, `frozen`, `unwatched`; not while it is on |
| `cpu`, `finder` | the CPU that is stuck, or on which the task ran last; the CPU that found it |
| `task` | `pid`, `comm`: the task that hangs, or that the CPU runs |
| `ns_pid`, `cgroup` | where the task runs: PID in its own namespace, cgroup |
| `lock` | `kind`, `owner`, `address`, `symbol`: the lock that the task waits for |
| `culprit` | `kind`, `cpu`, `task`, `count`, `depth`, `age_s`, `place`, `function`, `address`: what it comes down to, as in the crash record; of a record also `ns_pid`, `cgroup` |
| `behind` | how many hung tasks wait behind it |
| `flags` | of `confirmed`, `iowait`, `panic` |
| `stack` | `address`, `symbol` of each function, the innermost first |

A line of `watch --json` has `event`: `recent` (with `incident`: found before), `start`, `change`, `end`
(with `number` and `incident`), `lost` (with `count`: so many events did not arrive), `loaded` (with
`version`) and `unloaded`. The number of an event is counted from 1 at each load.

## What it looks like

Of a test run, with `watchdog_thresh=1`, `hung_task_timeout_secs=2` and `hung_task_report=grouped`: a soft
lockup, and three tasks in a deadlock for 8 seconds.

```console
# vigilctl test soft --yes
soft-lockup:
  the detector counted it    yes
  the log has its report     yes
  netlink sent its start     yes
  netlink sent its end       yes
  the metrics moved          yes
# vigilctl watch
vigil 0.1.0 is loaded
2026-11-26T21:06:49.372Z recent  soft-lockup      CPU1 running prov_preempt/1:124: recovered after 4.3 s (#2982550)
2026-11-26T21:06:53.244Z start   root-cause       prov_abba_m/2:132: on, 2.0 s; waits for deadlock of 3 (#2982551)
2026-11-26T21:06:53.252Z change  root-cause       prov_abba_m/2:132: on, 2.0 s; waits for deadlock of 3 (#2982551)
2026-11-26T21:06:59.247Z end     root-cause       prov_abba_m/2:132: exited after 8.0 s; waits for deadlock of 3 (#2982551)
# vigilctl explain
deadlock of 3:
  prov_abba_m/2:132 (hung for 3.376 s) waits for mutex ff47bcfe83a17180, held by prov_abba_m/0:130 (hung for 3.376 s)
  prov_abba_m/0:130 (hung for 3.376 s) waits for mutex ff47bcfe83a17198, held by prov_abba_m/1:131 (hung for 3.376 s)
  prov_abba_m/1:131 (hung for 3.376 s) waits for mutex ff47bcfe83a171b0, held by prov_abba_m/2:132 (hung for 3.376 s)
```

## Metrics

With `--format prometheus`, the default, as node_exporter's textfile collector reads them. Counters
begin at 0 when the module is loaded; `vigil_loaded` is always there, the others while it is loaded,
those that come from `vigil/status` if it can be read. If the module does not answer by netlink, the
others are written all the same, and the exit status is 1.

    vigilctl metrics --textfile /var/lib/prometheus/node-exporter/vigil.prom

## guard

    vigilctl guard --device /dev/watchdog0 --timeout 60 --limit 120 --kinds soft-lockup,hard-lockup

The device is fed four times in its timeout, for as long as no incident of the chosen kinds has lasted
longer than the limit. If one has, the device resets the machine one timeout after it was fed last. An
incident that ends before that does not: the device is fed again as soon as the module says so. It is the
age that counts, which an incident has from its beginning: a hung task has lasted for
`hung_task_timeout_secs` when it is found. If the module does not answer for as long as the limit, the
device is not fed either, also if that is because an unload waits for a CPU that is stuck. Without the
module the device is fed, which `guard` says. It does not begin if the module is loaded and has no netlink
events.
";

    /// `docs/vigilctl.md` as it has to be.
    fn page() -> String {
        let mut text = ABOUT.to_owned();
        let mut command = cli::command().disable_help_subcommand(true).term_width(100);
        command.build();
        text.push_str("\n## Commands\n");
        let help = command.render_help();
        write!(text, "\n```console\n$ vigilctl --help\n{help}```\n").unwrap();
        for sub in command.get_subcommands_mut() {
            if !sub.is_hide_set() {
                let name = sub.get_name().to_owned();
                let help = sub.render_long_help().to_string();
                let help: Vec<&str> = help.lines().map(str::trim_end).collect();
                let help = help.join("\n");
                write!(
                    text,
                    "\n```console\n$ vigilctl {name} --help\n{help}\n```\n"
                )
                .unwrap();
            }
        }
        text
    }

    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vigilctl.md");
        let page = page();
        if env::var_os("VIGIL_WRITE_DOCS").is_some() {
            fs::write(path, &page).unwrap();
        }
        let there = fs::read_to_string(path).unwrap_or_default();
        assert!(there == page, "docs/vigilctl.md differs: make docs");
    }

    #[test]
    fn every_key_of_json_is_in_the_page() {
        let full = serde_json::to_value(crate::incident::tests::full()).unwrap();
        for key in full.as_object().unwrap().keys() {
            assert!(ABOUT.contains(&format!("`{key}`")), "{key}");
        }
    }

    #[test]
    fn man_pages_and_completions() {
        let folder = tempfile::tempdir().unwrap();
        run(What::Man, folder.path()).unwrap();
        let main = fs::read_to_string(folder.path().join("vigilctl.8")).unwrap();
        assert!(main.contains("Exit status"), "{main}");
        assert!(folder.path().join("vigilctl-guard.8").exists());
        assert!(!folder.path().join("vigilctl-generate.8").exists());
        run(What::Completions, folder.path()).unwrap();
        for name in ["vigilctl.bash", "_vigilctl", "vigilctl.fish"] {
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }
}
