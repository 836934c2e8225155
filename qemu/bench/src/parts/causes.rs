// SPDX-License-Identifier: GPL-2.0
//! What it takes to find and to print the root causes of 10,000 hung tasks, beside khungtaskd's
//! pass over the same tasks in the same boot.

use crate::{
    guest::{self, run_time, PROVOKE},
    results::{Cell, Measured, Outcome, Table},
};
use anyhow::{ensure, Result};
use vigil_logic::messages::status::hung_task as key;
use vigil_vm::{Artifacts, LogLine, Vm};

/// How many tasks are hung, and how many one stall makes.
const TASKS: u32 = 10_000;
const EACH: u32 = 1000;

/// `hung_task_timeout_secs`, and the interval of checks. The check that finds the tasks hung comes
/// between two of those.
const TIMEOUT: u32 = 100;
const INTERVAL: u32 = 30;

/// What the tasks wait for, the stall that does so, and how many causes that is.
const SITUATIONS: [(&str, &str, usize); 4] = [
    ("100 mutexes, in 10 chains of 10", "chain locks=10", 10),
    ("10,000 mutexes, in 10 chains of 1,000", "chain", 10),
    ("10 mutexes", "mutex", 10),
    ("no lock, in the same place", "completion", 1),
];

pub(super) fn run(_: &Artifacts) -> Result<Outcome> {
    let vm = guest::boot(guest::counting_for("causes").mem_mib(2048))?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.sh_ok("sysctl -q kernel.threads-max=100000 kernel.pid_max=100000")?;
    let mut table = Table::new(
        "Instructions. `hung_task_report=grouped`.",
        [
            "10,000 tasks wait for",
            "vigil, the check that reports them",
            "lines",
            "vigil, a later check",
            "longest RCU section",
            "khungtaskd, no report",
            "khungtaskd, ten reports",
        ],
    );
    for (name, stall, causes) in SITUATIONS {
        let hung = Hung {
            stall,
            count: TASKS,
            each: EACH,
        };
        hung.begin(&vm)?;
        let check = hung.vigil(&vm, "hung_task_report=grouped")?;
        let longest = check
            .log
            .iter()
            .filter(|line| line.text.contains(", longest chain "));
        let reports = longest.count();
        ensure!(
            reports == causes,
            "{reports} causes are reported, not {causes}"
        );
        let later = hung.later_check(&vm)?;
        let section = guest::status(&vm, key::LONGEST_RCU_SECTION_NS)?;
        vm.unload()?;
        let (silent, _) = hung.in_tree(&vm, 0)?;
        let (reporting, _) = hung.in_tree(&vm, 10)?;
        hung.end(&vm)?;
        println!(
            "{name}: vigil {}, {later} later; khungtaskd {silent}, {reporting}",
            check.first
        );
        let cells = [
            Cell::text(name),
            Cell::Count(check.first),
            Cell::Count(check.log.len() as u64),
            Cell::Count(later),
            Cell::Count(section),
            Cell::Count(silent),
            Cell::Count(reporting),
        ];
        table.row(cells, Vec::new());
    }
    Ok(Outcome::Measured(Measured {
        tables: vec![table],
        plots: Vec::new(),
    }))
}

/// Tasks that hang.
pub(super) struct Hung {
    /// What the provoking module calls the stall.
    pub(super) stall: &'static str,
    pub(super) count: u32,
    /// How many tasks one stall makes at most.
    pub(super) each: u32,
}

/// The check that finds them hung.
pub(super) struct Check {
    /// Instructions.
    pub(super) first: u64,
    /// What it printed.
    pub(super) log: Vec<LogLine>,
}

impl Hung {
    /// Makes them, with both detectors off.
    pub(super) fn begin(&self, vm: &Vm) -> Result<()> {
        vm.sh_ok("sysctl -q kernel.hung_task_timeout_secs=0")?;
        let mut left = self.count;
        while left > 0 {
            let count = left.min(self.each);
            let run = format!("{} count={count} secs=3600", self.stall);
            vm.write(&format!("{PROVOKE}/run"), run.as_bytes())?;
            left -= count;
        }
        Ok(())
    }

    /// Ends them.
    pub(super) fn end(&self, vm: &Vm) -> Result<()> {
        vm.sh_ok("sysctl -q kernel.hung_task_timeout_secs=0")?;
        vm.write(&format!("{PROVOKE}/end"), b"all")
            .map_err(Into::into)
    }

    /// Loads vigil with these parameters; returns the check that finds the tasks hung.
    pub(super) fn vigil(&self, vm: &Vm, parameters: &str) -> Result<Check> {
        vm.load(&format!(
            "hung_task_timeout_secs=0 hung_task_check_interval_secs={INTERVAL} {parameters}"
        ))?;
        let mark = vm.mark()?;
        vm.set_knob("hung_task_timeout_secs", TIMEOUT)?;
        vm.sh_ok(&format!("sleep {}", TIMEOUT - 5))?;
        let before = Pass::so_far(vm)?;
        ensure!(before.hung == 0, "{} are hung too soon", before.hung);
        vm.sh_ok("sleep 10")?;
        let found = Pass::so_far(vm)?;
        ensure!(
            found.hung == u64::from(self.count) && found.checks == before.checks + 1,
            "{} are hung, after {} checks",
            found.hung,
            found.checks - before.checks
        );
        Ok(Check {
            first: found.run - before.run,
            log: vm.dmesg_after(mark)?,
        })
    }

    /// Instructions of the check after that, with a scan, before a cause is due again.
    fn later_check(&self, vm: &Vm) -> Result<u64> {
        let found = Pass::so_far(vm)?;
        vm.sh_ok(&format!("sleep {}", INTERVAL - 10))?;
        let again = Pass::so_far(vm)?;
        let checks = again.checks - found.checks;
        ensure!(checks == 1, "{checks} checks");
        Ok(again.run - found.run)
    }

    /// What khungtaskd takes for a pass over the tasks, with so many warnings left, and what it printed.
    pub(super) fn in_tree(&self, vm: &Vm, warnings: i32) -> Result<(u64, Vec<LogLine>)> {
        vm.sh_ok(&format!(
            "sysctl -q kernel.hung_task_warnings=0 kernel.hung_task_check_interval_secs={INTERVAL}
             sysctl -q kernel.hung_task_timeout_secs={TIMEOUT}; sleep {}
             sysctl -q kernel.hung_task_warnings={warnings}",
            2 * TIMEOUT + INTERVAL / 2
        ))?;
        let mark = vm.mark()?;
        let before = run_time(vm, guest::IN_TREE)?;
        // Until the next pass, and until that is over.
        let mut run = 0;
        for _ in 0..INTERVAL {
            vm.sh_ok("sleep 2")?;
            let so_far = run_time(vm, guest::IN_TREE)? - before;
            if so_far > 0 && so_far == run {
                break;
            }
            run = so_far;
        }
        ensure!(run > 0, "khungtaskd made no pass");
        let mut log = vm.dmesg_after(mark)?;
        // Programs may write there, too.
        log.retain(|line| line.facility == 0);
        vm.sh_ok("sysctl -q kernel.hung_task_timeout_secs=0")?;
        Ok((run, log))
    }
}

/// What vigil's thread has done since load.
struct Pass {
    run: u64,
    checks: u64,
    hung: u64,
}

impl Pass {
    fn so_far(vm: &Vm) -> Result<Self> {
        Ok(Self {
            run: run_time(vm, guest::VIGIL)?,
            checks: guest::status(vm, key::CHECKS)? + guest::status(vm, key::TRACKED_ONLY_CHECKS)?,
            hung: guest::status(vm, key::HUNG_TASKS)?,
        })
    }
}
