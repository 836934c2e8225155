// SPDX-License-Identifier: GPL-2.0
//! Stacks in a log: of a task (`sched_show_task()`) or of a CPU (`show_regs()`,
//! `dump_stack()`).

use crate::message::Task;
use regex::Regex;
use std::sync::LazyLock;

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function, without a compiler's suffix taken off.
    pub function: String,
    /// Where in the function, in bytes.
    pub offset: u64,
    /// Length of the function, in bytes.
    pub size: u64,
    /// The module that it is in.
    pub module: Option<String>,
    /// `false`: found on the stack, but not by the unwinder (`? ` in front).
    pub reliable: bool,
}

/// A stack, and what it is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// The task that runs, or that sleeps.
    pub task: Option<Task>,
    /// The state of a task that is shown as such: `D`. `None` for one that a CPU runs.
    pub state: Option<char>,
    /// The CPU whose registers and stack these are. `None` for a task's.
    pub cpu: Option<u32>,
    /// Where the CPU was.
    pub at: Option<Frame>,
    /// The frames, the innermost first. The stacks of interrupts come before that of
    /// the task.
    pub frames: Vec<Frame>,
}

impl Dump {
    /// Whether this function is on the stack, or where the CPU was.
    pub fn is_in(&self, function: &str) -> bool {
        self.at
            .iter()
            .chain(&self.frames)
            .any(|frame| frame.function == function)
    }
}

static FRAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^\s+(\? )?([A-Za-z_.$][\w.$]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)(?: \[([^\] ]+)[^\]]*\])?(?: |$)",
    )
    .ok()
});

/// Where a CPU is: `RIP: 0010:` on x86, `pc : ` on arm64.
static AT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:RIP: [0-9a-f]+:|pc : )(.*)$").ok());

static TASK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^task:(.*?) +state:(\S).* pid:(\d+) ").ok());

static CPU: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?s)^CPU: (\d+) (?:UID: \d+ )?PID: (\d+) Comm: (.*?) (?:Kdump: loaded )?(?:Tainted: |Not tainted|Taint unknown)",
    )
    .ok()
});

impl Frame {
    /// The frame in a line of a stack.
    fn parse(line: &str) -> Option<Self> {
        let part = FRAME.as_ref()?.captures(line)?;
        Some(Self {
            function: part[2].to_owned(),
            offset: u64::from_str_radix(&part[3], 16).ok()?,
            size: u64::from_str_radix(&part[4], 16).ok()?,
            module: part.get(5).map(|module| module.as_str().to_owned()),
            reliable: part.get(1).is_none(),
        })
    }
}

/// Head of a task's dump.
fn task_head(line: &str) -> Option<Dump> {
    let part = TASK.as_ref()?.captures(line)?;
    Some(Dump {
        task: Some(Task {
            comm: part[1].to_owned(),
            pid: part[3].parse().ok()?,
        }),
        state: part[2].chars().next(),
        ..Dump::default()
    })
}

/// Head of a CPU's dump.
fn cpu_head(line: &str) -> Option<Dump> {
    let part = CPU.as_ref()?.captures(line)?;
    Some(Dump {
        task: Some(Task {
            comm: part[3].to_owned(),
            pid: part[2].parse().ok()?,
        }),
        cpu: Some(part[1].parse().ok()?),
        ..Dump::default()
    })
}

/// Collects the dumps in the lines of a report.
#[derive(Debug, Default)]
pub(crate) struct Dumps {
    pub(crate) dumps: Vec<Dump>,
    /// Frames belong to the last dump.
    in_stack: bool,
}

impl Dumps {
    /// Begins a dump whose frames follow at once.
    pub(crate) fn begin_stack(&mut self, dump: Dump) {
        self.dumps.push(dump);
        self.in_stack = true;
    }

    /// Takes a line. Returns whether it belongs to a dump.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        if let Some(dump) = task_head(line).or_else(|| cpu_head(line)) {
            self.dumps.push(dump);
            self.in_stack = false;
            return true;
        }
        let Some(dump) = self.dumps.last_mut() else {
            return false;
        };
        if matches!(line, "Call Trace:" | "Call trace:") {
            self.in_stack = true;
            return true;
        }
        if line == " </TASK>" {
            self.in_stack = false;
            return true;
        }
        if let Some(at) = AT.as_ref().and_then(|at| at.captures(line)) {
            // Registers in the middle of a stack are of what an interrupt interrupted.
            if dump.at.is_none() && !self.in_stack {
                dump.at = Frame::parse(&format!(" {}", &at[1]));
            }
            return true;
        }
        let frame = Frame::parse(line).filter(|_| self.in_stack);
        let is_frame = frame.is_some();
        dump.frames.extend(frame);
        is_frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_apart() {
        let frame = |line| Frame::parse(line).unwrap();
        assert_eq!(
            frame(" ? __pfx_prov_victim_fn+0x10/0x1a [vigil_provoke 0123abcd]"),
            Frame {
                function: "__pfx_prov_victim_fn".to_owned(),
                offset: 0x10,
                size: 0x1a,
                module: Some("vigil_provoke".to_owned()),
                reliable: false,
            }
        );
        assert_eq!(
            frame("  __mutex_lock.constprop.0+0x56e/0xa30").function,
            "__mutex_lock.constprop.0"
        );
        assert_eq!(
            frame(" prov_irqs_off+0xb4/0x108 [vigil_provoke] (P)").module,
            Some("vigil_provoke".to_owned())
        );
        for line in [
            "kthread+0xe5/0x120",
            " kthread",
            " ? ",
            " a+0x/0x1",
            " a+0xfffffffffffffffff/0x1",
        ] {
            assert_eq!(Frame::parse(line), None, "{line}");
        }
    }

    #[test]
    fn names_of_tasks_may_have_blanks() {
        let dump = task_head(
            "task:a b  state:R  state:D stack:0     pid:12    tgid:12    ppid:2      task_flags:0x1",
        )
        .unwrap();
        // The kernel does not quote names.
        assert_eq!(dump.task.unwrap().pid, 12);
        let dump = cpu_head("CPU: 1 UID: 0 PID: 7 Comm: a b Not tainted 7.3 #1").unwrap();
        assert_eq!(dump.task.unwrap().comm, "a b");
        assert_eq!(dump.cpu, Some(1));
        let old = cpu_head("CPU: 3 PID: 479 Comm: w1_bus_master4 Tainted: G  4.19").unwrap();
        assert_eq!(old.task.unwrap().pid, 479);
    }
}
