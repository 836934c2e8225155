// SPDX-License-Identifier: GPL-2.0
//! The files `vigil/incidents` and `vigil/waitgraph.dot` in debugfs: what was found and how it ended,
//! and who waits for whom.

use super::{
    hung_stall::{guest, mainline_guest, wait_for, wait_report, who, Stall, SOON},
    lockup_stall,
};
use crate::prelude::*;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("of_hung_tasks", of_hung_tasks)
            .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
            .core()
            .light(),
        Scenario::new("knobs_written_meanwhile", knobs_written_meanwhile).light(),
        Scenario::new("one_by_one", one_by_one).light().all(),
        Scenario::new("of_cpus", of_cpus).all(),
        Scenario::new("thousand_waiters", thousand_waiters).all(),
    ]
}

const INCIDENTS: &str = "/sys/kernel/debug/vigil/incidents";
const GRAPH: &str = "/sys/kernel/debug/vigil/waitgraph.dot";

const TIMES: &str = "hung_task_timeout_secs=2 hung_task_check_interval_secs=1";

/// A line of the table.
#[derive(Debug)]
struct Row {
    id: u64,
    kind: String,
    began: f64,
    reported: f64,
    ended: Option<f64>,
    state: String,
    cpu: u32,
    behind: Option<u32>,
    task: String,
    cause: String,
}

/// The table, the newest incident first.
fn incidents(vm: &Vm) -> anyhow::Result<Vec<Row>> {
    let form = Regex::new(
        r"(?x)^(\d+)\ +(hung\ task|root\ cause|soft\ lockup|hard\ lockup|unresponsive\ CPU)\ +([\d.]+)\ +([\d.]+)
          \ +(-|[\d.]+)\ ([a-z].{23,}?)\ +(\d+)\ +(-|\d+)\ (\S+)\ +(\S.*)$",
    )?;
    let text = vm.read(INCIDENTS)?;
    let rows = text.lines().skip(2).map(|line| {
        let parts = form
            .captures(line)
            .with_context(|| format!("'{line}': {text}"))?;
        Ok(Row {
            id: parts[1].parse()?,
            kind: parts[2].to_owned(),
            began: parts[3].parse()?,
            reported: parts[4].parse()?,
            ended: parts[5].parse().ok(),
            state: parts[6].trim_end().to_owned(),
            cpu: parts[7].parse()?,
            behind: parts[8].parse().ok(),
            task: parts[9].to_owned(),
            cause: parts[10].to_owned(),
        })
    });
    let rows: Vec<Row> = rows.collect::<anyhow::Result<_>>()?;
    ensure!(rows.is_sorted_by(|a, b| a.id > b.id), "{text}");
    Ok(rows)
}

/// Waits until the newest incident of a kind has a state that begins so.
fn wait_state(vm: &Vm, kind: &str, state: &str) -> anyhow::Result<Row> {
    wait_for(vm, SOON, &format!("{kind} that is {state}"), || {
        let newest = incidents(vm)?.into_iter().find(|row| row.kind == kind);
        Ok(newest.filter(|row| row.state.starts_with(state)))
    })
}

/// The graph: what is said of each box, and the edges with what is said of them.
#[derive(Debug, Default)]
struct Graph {
    boxes: BTreeMap<String, String>,
    edges: BTreeMap<(String, String), String>,
}

fn graph(vm: &Vm) -> anyhow::Result<Graph> {
    let node = Regex::new(r#"^\t(\w+) \[label="(.*?)(?:\\n(.*?))?"(.*)\];$"#)?;
    let edge = Regex::new(r"^\t(\w+) -> (\w+)(.*);$")?;
    let text = vm.read(GRAPH)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure!(
        lines.first() == Some(&"digraph vigil {") && lines.last() == Some(&"}"),
        "{text}"
    );
    let mut names = BTreeMap::new();
    let mut graph = Graph::default();
    for line in lines {
        if let Some(parts) = node.captures(line) {
            let more = parts.get(3).map_or("", |more| more.as_str());
            names.insert(parts[1].to_owned(), parts[2].to_owned());
            graph
                .boxes
                .insert(parts[2].to_owned(), format!("{more}{}", &parts[4]));
        }
        if let Some(parts) = edge.captures(line) {
            let name = |id| names.get(id).cloned().with_context(|| text.clone());
            graph
                .edges
                .insert((name(&parts[1])?, name(&parts[2])?), parts[3].to_owned());
        }
    }
    Ok(graph)
}

/// While a task hangs, knobs are written by which it is not hung any more, or is reported in another way:
/// nobody says that it has recovered, and it has one incident that is on for as long as it is hung by
/// the knobs. After an oops nothing is judged any more, which the log and the status say.
fn knobs_written_meanwhile(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    let mark = vm.mark()?;
    let task = who(&vm, Stall::start(&vm, "completion")?.victim())?;
    let on = |kind| -> anyhow::Result<u64> {
        let row = wait_state(&vm, kind, "still on, ")?;
        ensure!(row.task == task, "{task}: {row:?}");
        let rows = incidents(&vm)?;
        let count = rows.iter().filter(|row| row.ended.is_none()).count();
        ensure!(count == 1, "{rows:?}");
        Ok(row.id)
    };
    let not_watched = |kind| wait_state(&vm, kind, "not watched ");
    let first = on("root cause")?;
    vm.set_knob("hung_task_timeout_secs", 600)?;
    not_watched("root cause")?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let second = on("root cause")?;
    vm.set_knob("hung_task_report", "mainline")?;
    let third = on("hung task")?;
    not_watched("root cause")?;
    vm.set_knob("hung_task_ignore", "prov_compl*")?;
    not_watched("hung task")?;
    vm.set_knob("hung_task_ignore", "\n")?;
    let fourth = on("hung task")?;
    vm.set_knob("hung_task_timeout_secs", 600)?;
    not_watched("hung task")?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let fifth = on("hung task")?;
    // And back: the cause has it again, alone.
    vm.set_knob("hung_task_report", "grouped")?;
    wait_state(&vm, "hung task", "other cause")?;
    let ids = [first, second, third, fourth, fifth, on("root cause")?];
    ensure!(ids.is_sorted_by(|a, b| a < b), "{:?}", incidents(&vm)?);
    ensure!(vm.knob("hung_task_detect_count")? == "1");
    let log = vm.dmesg_after(mark)?;
    let recovered = log.iter().any(|line| line.text.contains("recovered"));
    ensure!(!recovered, "{log:#?}");

    // TAINT_DIE, as an oops leaves it.
    vm.write("/proc/sys/kernel/tainted", b"128")?;
    vm.wait_log_after(mark, &pattern(messages::HUNG_TASKS_NOT_JUDGED), SOON)?;
    not_watched("root cause")?;
    ensure!(vm.knob("hung_tasks_now")? == "0");
    ensure!(Status::read(&vm)?.number(key::hung_task::ENABLED)? == 0);
    Ok(())
}

/// A deadlock, and who waits behind it: one incident with an id, which is on until they go on, and then
/// says how it ended. The graph shows who waits for whom meanwhile, the deadlock in red, and is empty
/// afterwards. A task that is reported by itself has its incident and its line too. After the module was
/// loaded again ids go on.
fn of_hung_tasks(cx: &Cx) -> Verdict {
    let vm = guest(cx, TIMES)?;
    ensure!(incidents(&vm)?.is_empty() && graph(&vm)?.boxes.is_empty());
    let mark = vm.mark()?;
    let ring = Stall::start(&vm, "abba_mutex count=3")?;
    for &pid in &ring.victims {
        wait_report(&vm, mark, pid)?;
    }
    let row = wait_state(&vm, "root cause", "still on, ")?;
    let first = row.id;
    ensure!(
        row.cause == "deadlock of 3" && row.behind == Some(0) && row.ended.is_none(),
        "{row:?}"
    );
    ensure!(
        row.began < row.reported - 1.9 && row.began > ring.after - 1.0,
        "{row:?}, {ring:?}"
    );
    let names: Vec<String> = ring
        .victims
        .iter()
        .map(|&pid| who(&vm, pid))
        .collect::<anyhow::Result<_>>()?;
    ensure!(names.contains(&row.task), "{row:?}, not of {names:?}");
    let drawn = graph(&vm)?;
    let next = names.iter().cycle().skip(1);
    let expected: BTreeSet<_> = names.iter().cloned().zip(next.cloned()).collect();
    let found: BTreeSet<_> = drawn.edges.keys().cloned().collect();
    ensure!(found == expected, "{drawn:#?}, not {expected:?}");
    ensure!(
        drawn
            .edges
            .values()
            .chain(drawn.boxes.values())
            .all(|said| said.contains("color=red")),
        "{drawn:#?}"
    );
    ensure!(
        drawn
            .boxes
            .values()
            .all(|said| said.starts_with("hung for ")),
        "{drawn:#?}"
    );

    // The threads return when they go on.
    ring.end(&vm)?;
    let row = wait_state(&vm, "root cause", "task exited after ")?;
    ensure!(row.id == first, "{row:?}");
    ensure!(row.ended > Some(row.reported), "{row:?}");
    ensure!(graph(&vm)?.boxes.is_empty());

    vm.set_knob("hung_task_report", "mainline")?;
    let mark = vm.mark()?;
    let (stall, _shell) = Stall::block_shell(&vm, "trap 'sleep 1000' EXIT", "mutex")?;
    wait_report(&vm, mark, stall.victim())?;
    let row = wait_state(&vm, "hung task", "still on, ")?;
    let task = who(&vm, stall.victim())?;
    let holder = who(&vm, stall.holder)?;
    ensure!(row.id > first && row.task == task, "{row:?}");
    ensure!(
        row.cause.contains("mutex ") && row.cause.ends_with(&format!(" held by {holder}")),
        "{row:?}"
    );
    let drawn = graph(&vm)?;
    ensure!(
        drawn.edges.keys().eq([&(task.clone(), holder.clone())]),
        "{drawn:#?}"
    );
    ensure!(drawn.boxes[&holder].starts_with("not hung"), "{drawn:#?}");
    let mark = vm.mark()?;
    stall.end(&vm)?;
    let line = format!("^vigil: hung task {task} recovered after [0-9.]+ s$");
    vm.wait_log_after(mark, &line, SOON)?;
    let last = wait_state(&vm, "hung task", "recovered after ")?;
    ensure!(last.id == row.id, "{last:?}, not {row:?}");

    vm.unload()?;
    vm.load(TIMES)?;
    ensure!(incidents(&vm)?.is_empty());
    Stall::start(&vm, "completion")?;
    let row = wait_state(&vm, "root cause", "still on, ")?;
    ensure!(
        row.id > last.id && row.cause == "same place in the code",
        "{row:?}, {last:?}"
    );
    // Nobody says how it goes on.
    vm.set_knob("hung_task_timeout_secs", 0)?;
    wait_state(&vm, "root cause", "not watched after ")?;
    Ok(())
}

/// Of tasks that are reported one by one those have a line when they go on that were printed.
fn one_by_one(cx: &Cx) -> Verdict {
    let vm = mainline_guest(cx, &format!("{TIMES} hung_task_warnings=2"))?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex count=5")?;
    wait_for(&vm, SOON, "five incidents", || {
        Ok((incidents(&vm)?.len() == 5).then_some(()))
    })?;
    stall.end(&vm)?;
    wait_for(&vm, SOON, "five ends", || {
        let rows = incidents(&vm)?;
        Ok(rows.iter().all(|row| row.ended.is_some()).then_some(()))
    })?;
    let log = vm.dmesg_after(mark)?;
    let recovered = log
        .iter()
        .filter(|line| line.text.contains(" recovered after "))
        .count();
    ensure!(recovered == 2, "{log:#?}");
    Ok(())
}

/// A hard lockup and a soft one are on until the CPU goes on.
fn of_cpus(cx: &Cx) -> Verdict {
    let vm = lockup_stall::guest(cx, 2, "watchdog_thresh=1")?;
    lockup_stall::provoke(&vm, "irqs_off cpu=1 ms=4000")?;
    let hard = wait_state(&vm, "hard lockup", "recovered after ")?;
    ensure!(hard.cpu == 1, "{hard:?}");
    let seconds = |row: &Row| row.ended.unwrap_or_default() - row.began;
    ensure!((3.0..6.0).contains(&seconds(&hard)), "{hard:?}");
    lockup_stall::provoke(&vm, "preempt_off cpu=1 ms=3500")?;
    let soft = wait_state(&vm, "soft lockup", "recovered after ")?;
    ensure!(soft.cpu == 1 && soft.id > hard.id, "{soft:?}");
    ensure!(soft.task.starts_with("prov_preempt/1:"), "{soft:?}");
    ensure!((3.0..6.0).contains(&seconds(&soft)), "{soft:?}");
    ensure!(incidents(&vm)?.len() == 2);
    Ok(())
}

/// One task more than are shown at most; read by several readers in small pieces at once.
fn thousand_waiters(cx: &Cx) -> Verdict {
    let vm = cx.boot_with(cx.config().mem_mib(2048))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.load(TIMES)?;
    let stall = Stall::start(&vm, "mutex count=1000")?;
    let holder = who(&vm, stall.holder)?;
    let row = wait_state(&vm, "root cause", "still on, ")?;
    ensure!(
        row.cause.starts_with(&format!("{holder} (mutex ")),
        "{row:?}"
    );
    let drawn = wait_for(&vm, SOON, "all to be hung", || {
        let drawn = graph(&vm)?;
        Ok(drawn
            .boxes
            .contains_key("and 1 more hung task")
            .then_some(drawn))
    })?;
    // The one they wait behind is one of a thousand.
    ensure!(drawn.boxes.len() == 1001 && drawn.edges.len() == 999);
    ensure!(drawn.boxes[&holder].contains("fillcolor=gold"));
    wait_for(&vm, SOON, "all to be counted", || {
        let row = wait_state(&vm, "root cause", "still on, ")?;
        Ok((row.behind == Some(1000)).then_some(()))
    })?;
    vm.sh_ok(&format!(
        "for n in 1 2 3; do dd bs=100 if={GRAPH} of=/tmp/graph$n 2> /dev/null & done; wait
         for n in 1 2 3; do
             grep -c '^[[:space:]]t[0-9]* .label=' /tmp/graph$n | grep -x 1000 || exit 1
             tail -n 1 /tmp/graph$n | grep -x '}}' || exit 1
         done"
    ))?;
    Ok(())
}
