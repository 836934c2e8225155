// SPDX-License-Identifier: GPL-2.0
//! What the reports of a number of hung tasks take: instructions, lines, bytes, and the time of those
//! on a serial console. All of the tasks wait for one mutex.

use super::causes::Hung;
use crate::{
    guest,
    results::{Axis, Cell, Measured, Outcome, Plot, Series, Table},
};
use anyhow::Result;
use vigil_vm::{Artifacts, LogLine};

/// How many tasks wait for the mutex.
const TASKS: [u32; 3] = [1, 10, 1_000];

/// Bytes a second at 115,200 baud: a start bit, eight bits and a stop bit each.
pub(super) const CONSOLE: f64 = 11_520.0;

/// Who reports.
const MODES: [(&str, Option<&str>); 3] = [
    ("vigil, `hung_task_report=grouped`", Some("grouped")),
    ("vigil, `hung_task_report=mainline`", Some("mainline")),
    ("khungtaskd", None),
];

pub(super) fn run(_: &Artifacts) -> Result<Outcome> {
    let vm = guest::boot(guest::counting_for("reports").mem_mib(2048))?;
    vm.insmod("vigil_provoke.ko", "")?;
    let mut table = Table::new(
        "",
        [
            "hung tasks",
            "by",
            "instructions of the check",
            "lines",
            "bytes",
            "seconds at 115,200 baud",
        ],
    );
    let mut lines: [Vec<(f64, f64)>; 3] = Default::default();
    for tasks in TASKS {
        let hung = Hung {
            stall: "mutex",
            count: tasks,
            each: 1000,
        };
        for ((name, mode), line) in MODES.iter().zip(&mut lines) {
            hung.begin(&vm)?;
            let (run, log) = match mode {
                Some(mode) => {
                    let check = hung.vigil(
                        &vm,
                        &format!("hung_task_report={mode} hung_task_warnings=-1"),
                    )?;
                    vm.unload()?;
                    (check.first, check.log)
                }
                None => hung.in_tree(&vm, -1)?,
            };
            hung.end(&vm)?;
            let bytes: usize = log.iter().map(on_console).sum();
            let seconds = bytes as f64 / CONSOLE;
            println!(
                "{tasks:5} tasks, {name}: {run} instructions, {} lines, {bytes} bytes",
                log.len()
            );
            let cells = [
                Cell::Count(tasks.into()),
                Cell::text(*name),
                Cell::Count(run),
                Cell::Count(log.len() as u64),
                Cell::Count(bytes as u64),
                Cell::Number(seconds, 2),
            ];
            table.row(cells, Vec::new());
            line.push((f64::from(tasks), seconds.max(0.001)));
        }
    }
    let series = MODES.iter().zip(lines).map(|((name, _), points)| Series {
        name: name.replace('`', ""),
        points,
    });
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: vec![Plot {
            name: "reports".to_owned(),
            title: "Tasks that wait for one mutex: time of the lines at 115,200 baud".to_owned(),
            x: Axis::log("hung tasks"),
            y: Axis::log("seconds"),
            series: series.collect(),
        }],
    }))
}

/// Bytes of a line on a serial console: its stamp in front, and the line's end as two characters.
pub(super) fn on_console(line: &LogLine) -> usize {
    format!("[{:12.6}] {}\r\n", line.time, line.text).len()
}
