// SPDX-License-Identifier: GPL-2.0
//! No topic: what was reported in a quiet run, and what speaks for it.
//!
//! A report of vigil's is justified by one of these; otherwise the run fails:
//!
//! - the in-tree detector, with the same thresholds in the same kernel, said the
//!   same of the same CPU or task within [`BESIDE`] seconds;
//! - the observer in the guest (`vigil-observer`, which shares nothing with vigil)
//!   measured it: for a CPU, its own real-time thread of the highest priority did
//!   not get that CPU during the time that the report is about; for a task, it saw
//!   it in D state without a context switch since long enough before the report.

use super::{
    lockup_stall::{observe_cpus, Words},
    reports::{log_of, Report},
};
use crate::prelude::*;
use regex::Regex;
use vigil_klog::{HungTask, Message, SoftLockup};
use vigil_logic::{
    pause_clock::{PERIOD_NS, SLACK_NS},
    NSEC_PER_SEC,
};

/// Seconds; both kinds of detectors are set to it.
pub(super) const THRESH: f64 = 1.0;

/// The same, for hung tasks.
pub(super) const TIMEOUT: f64 = 2.0;

/// How far apart two detectors' reports on one stall may be. They sample at
/// different times, and on a console without `N` in `/proc/consoles` a report by vigil puts
/// the in-tree one off by a threshold.
const BESIDE: f64 = 3.0;

/// Of a soft lockup (2 s without the stopper) at least this much has to be in a
/// gap of the observer: the stopper may have run last up to a sample period
/// (0.4 s) before the CPU got stuck; the observer looks each 0.05 s.
const GAP_SOFT: f64 = 2.0 * THRESH - 0.4 * THRESH - 0.1;

/// Of a hard lockup: the last timer interrupt may have been two sample periods
/// before, less what is said in docs/knobs.md.
const GAP_HARD: f64 = 0.8 * THRESH - 0.1;

/// How far apart the stamps of two CPUs may be.
const CLOCKS: f64 = 0.1;

/// How far the observer's looks at the tasks may be from the begin of a sleep, and
/// from the report: it looks twice a second, if it gets to.
const LATE_LOOK: f64 = 0.8;

/// How long after its end a report on what was provoked may come.
const LATE_REPORT: f64 = 1.0;

/// Starts the observers of CPUs and of tasks.
pub(super) fn observe(vm: &Vm) -> anyhow::Result<[Job; 2]> {
    let tasks = vm.spawn("exec chrt -f 50 /vm/vigil-observer tasks")?;
    Ok([observe_cpus(vm)?, tasks])
}

/// The observer's thread on that CPU did not run from `from` to `to`.
#[derive(Clone, Copy, Debug)]
struct Gap {
    cpu: u32,
    from: f64,
    to: f64,
}

/// At `at` a task had been in D state since `since`, as the observer saw it.
#[derive(Clone, Debug)]
struct Sleep {
    pid: u32,
    since: f64,
    at: f64,
    place: String,
}

/// What the host gave the virtual CPUs up to a moment of the guest's time: how
/// long each ran and waited for a processor.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) at: f64,
    pub(super) cpus: Vec<(f64, f64)>,
}

/// What the run itself had stuck: a CPU, or a task by its PID.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provoked {
    pub(super) kind: Kind,
    pub(super) id: u32,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// The machine did not run, or one CPU of it. What the observer missed then speaks for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) cpu: Option<u32>,
    /// Only programs did not run, and the observer with them: they were frozen.
    pub(super) frozen: bool,
    pub(super) from: f64,
    pub(super) to: f64,
    /// For at least so many seconds between these times.
    pub(super) least: f64,
}

impl Pause {
    /// How much of it is between these times.
    fn within(&self, from: f64, to: f64) -> f64 {
        (self.to.min(to) - self.from.max(from)).max(0.0)
    }

    /// Whether it is no part of a hung task's age: see `src/logic/pause_clock.rs`.
    fn is_seen(&self) -> bool {
        let longest_unseen = (PERIOD_NS + SLACK_NS) as f64 / NSEC_PER_SEC as f64;
        !self.frozen && self.cpu.is_none() && self.least > longest_unseen
    }
}

/// All that is known of a run.
#[derive(Debug)]
pub(super) struct Record {
    provoked: Vec<Provoked>,
    pauses: Vec<Pause>,
    words: Words,
    /// Reports on hung tasks, of both detectors.
    hung: Vec<Report<HungTask>>,
    gaps: Vec<Gap>,
    sleeps: Vec<Sleep>,
    host: Vec<Host>,
}

/// A report and what speaks for it.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) time: f64,
    pub(super) kind: Kind,
    pub(super) text: String,
    /// What it is about and what was measured, a line each.
    pub(super) facts: Vec<String>,
    /// Reasons; without one it should not have been made.
    pub(super) reasons: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Soft,
    Hard,
    NotRun,
    Hung,
}

impl Record {
    pub(super) fn of(lines: &[LogLine], host: Vec<Host>) -> anyhow::Result<Self> {
        let gap = Regex::new(r"^vigil-observer: CPU(\d+) did not run its thread for ([\d.]+) s$")?;
        let sleep =
            Regex::new(r"^vigil-observer: .*:(\d+) has been in D state for ([\d.]+) s, in (\S*)$")?;
        let (mut gaps, mut sleeps) = (Vec::new(), Vec::new());
        for line in lines.iter().filter(|line| line.facility != 0) {
            if let Some(part) = gap.captures(&line.text) {
                gaps.push(Gap {
                    cpu: part[1].parse()?,
                    from: line.time - part[2].parse::<f64>()?,
                    to: line.time,
                });
            } else if let Some(part) = sleep.captures(&line.text) {
                sleeps.push(Sleep {
                    pid: part[1].parse()?,
                    since: line.time - part[2].parse::<f64>()?,
                    at: line.time,
                    place: part[3].to_owned(),
                });
            }
        }
        Ok(Self {
            provoked: Vec::new(),
            pauses: Vec::new(),
            words: Words::of(lines)?,
            hung: log_of(lines)?.hung_tasks().map(Report::new).collect(),
            gaps,
            sleeps,
            host,
        })
    }

    /// The same with what the run did itself.
    pub(super) fn with(mut self, provoked: &[Provoked], pauses: &[Pause]) -> Self {
        self.provoked = provoked.to_vec();
        self.pauses = pauses.to_vec();
        self
    }

    /// For how long the machine, or this CPU of it, did not run between these times; for the
    /// observer also programs.
    fn paused(&self, cpu: Option<u32>, from: f64, to: f64, observer: bool) -> f64 {
        let pauses = self.pauses.iter();
        pauses
            .filter(|pause| pause.cpu.is_none() || pause.cpu == cpu)
            .filter(|pause| observer || !pause.frozen)
            .map(|pause| pause.within(from, to))
            .sum()
    }

    /// How much of the time between these is surely no part of a hung task's age.
    fn not_aged(&self, from: f64, to: f64) -> f64 {
        let pauses = self.pauses.iter().filter(|pause| pause.is_seen());
        pauses
            .map(|pause| pause.within(from, to).min(pause.least))
            .sum()
    }

    /// What the run had stuck that this report is about, for so long that it is due.
    fn provoked(&self, kinds: &[Kind], id: u32, time: f64, least: f64) -> Option<String> {
        let paused = |from: f64| match kinds {
            [Kind::Hung] => self.not_aged(from, time),
            _ => self.paused(Some(id), from, time, false),
        };
        let found = self.provoked.iter().find(|provoked| {
            kinds.contains(&provoked.kind)
                && provoked.id == id
                && time - provoked.from - paused(provoked.from) >= least
                && time <= provoked.to + LATE_REPORT
        })?;
        Some(format!(
            "provoked from [{:.3}] to [{:.3}]",
            found.from, found.to
        ))
    }

    /// For how long the run had this task hung until `time`.
    fn hung_since(&self, pid: u32, time: f64) -> Option<String> {
        let is_it = |provoked: &&Provoked| provoked.kind == Kind::Hung && provoked.id == pid;
        let from = self.provoked.iter().find(is_it)?.from;
        let paused = self.not_aged(from, time);
        Some(format!(
            "hung since [{from:.3}], for {:.3} s, {paused:.3} s of pauses among them",
            time - from
        ))
    }

    /// Every report of vigil's since `from`, in order of time.
    pub(super) fn judge(&self, from: f64) -> Vec<Judgement> {
        let words = &self.words;
        let mut all = Vec::new();
        for report in &words.soft {
            let text = format!(
                "soft lockup: CPU{} stuck for {}s, in {}",
                report.cpu, report.seconds, report.task
            );
            let mut facts = Vec::new();
            for line in &report.lines {
                let wanted = [machine::registers()[0], "hypervisor took", "% system"];
                if wanted.iter().any(|word| line.contains(word)) {
                    facts.push(line.trim().to_owned());
                }
            }
            facts.truncate(8);
            let mut reasons = self.gap(report.cpu, report.time, GAP_SOFT, true);
            // Interrupts that were off for long may be a soft lockup when they come again.
            let kinds = [Kind::Soft, Kind::Hard];
            reasons.extend(self.provoked(&kinds, report.cpu, report.time, GAP_SOFT));
            if let Some(theirs) = words.in_tree_soft.iter().find(|theirs| {
                theirs.cpu == report.cpu && (theirs.time - report.time).abs() < BESIDE
            }) {
                reasons.push(format!(
                    "in-tree said the same at [{:.3}]: {}s",
                    theirs.time, theirs.seconds
                ));
            }
            facts.extend(self.host(report.cpu, report.time, report.seconds as f64));
            all.push(Judgement {
                time: report.time,
                kind: Kind::Soft,
                text,
                facts,
                reasons,
            });
        }
        for report in &words.hard {
            let second = report.lines.get(1).map_or("", String::as_str);
            let finder = report.finder.map_or("?".to_owned(), |cpu| cpu.to_string());
            let mut facts = vec![second.to_owned()];
            facts.extend(self.host(report.cpu, report.time, 2.0 * THRESH));
            let mut reasons = self.gap(report.cpu, report.time, GAP_HARD, true);
            reasons.extend(self.provoked(&[Kind::Hard], report.cpu, report.time, GAP_HARD));
            all.push(Judgement {
                time: report.time,
                kind: Kind::Hard,
                text: format!("hard lockup: CPU{}, found by CPU{finder}", report.cpu),
                facts,
                reasons,
            });
        }
        for note in &words.not_run {
            all.push(Judgement {
                time: note.time,
                kind: Kind::NotRun,
                text: format!("CPU{} has not run for {} s", note.cpu, note.seconds),
                facts: self
                    .host(note.cpu, note.time, note.seconds)
                    .into_iter()
                    .collect(),
                reasons: self.gap(note.cpu, note.time, note.seconds - 0.5, false),
            });
        }
        for report in self.hung.iter().filter(|report| report.is_vigil()) {
            let mut facts = vec![format!("waits in {}", place(report))];
            let is_blocker =
                |line: &&String| matches!(Message::parse(line), Some(Message::Blocker(_)));
            facts.extend(report.lines.iter().find(is_blocker).cloned());
            let mut reasons = Vec::new();
            let pid = report.task.pid;
            facts.extend(self.hung_since(pid, report.time));
            reasons.extend(self.provoked(&[Kind::Hung], pid, report.time, TIMEOUT - CLOCKS));
            let seen = self.sleeps.iter().rev().find(|sleep| {
                sleep.pid == report.task.pid
                    && (report.time - LATE_LOOK..report.time + LATE_LOOK).contains(&sleep.at)
                    && sleep.since + self.paused(None, sleep.since, report.time, true)
                        <= report.time - TIMEOUT + LATE_LOOK
            });
            if let Some(sleep) = seen {
                reasons.push(format!(
                    "the observer saw it at [{:.3}] in D state since [{:.3}], in {}",
                    sleep.at, sleep.since, sleep.place
                ));
            }
            let theirs = self.hung.iter().find(|theirs| {
                !theirs.is_vigil()
                    && theirs.task.pid == report.task.pid
                    && (theirs.time - report.time).abs() < BESIDE
            });
            if let Some(theirs) = theirs {
                reasons.push(format!("in-tree said the same at [{:.3}]", theirs.time));
            }
            all.push(Judgement {
                time: report.time,
                kind: Kind::Hung,
                text: format!("hung task: {}", what(report)),
                facts,
                reasons,
            });
        }
        all.retain(|judgement| judgement.time >= from);
        all.sort_by(|a, b| a.time.total_cmp(&b.time));
        all
    }

    /// What the in-tree detector reported between these times, soft lockups and
    /// hung tasks: how often, and what vigil did not say beside it.
    pub(super) fn in_tree(&self, from: f64, to: f64) -> (usize, usize, Vec<String>) {
        let within = |time: f64| (from..to).contains(&time);
        let mut alone = Vec::new();
        let mut soft = 0;
        for theirs in &self.words.in_tree_soft {
            let beside = |ours: &&Report<SoftLockup>| {
                ours.cpu == theirs.cpu && (ours.time - theirs.time).abs() < BESIDE
            };
            if within(theirs.time) {
                soft += 1;
                if !self.words.soft.iter().any(|ours| beside(&ours)) {
                    alone.push(format!(
                        "[{:.3}] soft lockup, CPU{}",
                        theirs.time, theirs.cpu
                    ));
                }
            }
        }
        let mut hung = 0;
        for theirs in self.hung.iter().filter(|theirs| !theirs.is_vigil()) {
            let beside = |ours: &&Report<HungTask>| {
                ours.is_vigil()
                    && ours.task.pid == theirs.task.pid
                    && (ours.time - theirs.time).abs() < BESIDE
            };
            if within(theirs.time) {
                hung += 1;
                if !self.hung.iter().any(|ours| beside(&ours)) {
                    alone.push(format!(
                        "[{:.3}] {}, in {}",
                        theirs.time,
                        what(theirs),
                        place(theirs)
                    ));
                }
            }
        }
        (soft, hung, alone)
    }

    /// Gaps of the observer between these times: how many, and the longest.
    pub(super) fn gaps(&self, from: f64, to: f64) -> (usize, f64) {
        let gaps = self.gaps.iter().filter(|gap| (from..to).contains(&gap.to));
        gaps.fold((0, 0.0), |(n, most), gap| {
            (n + 1, f64::max(most, gap.to - gap.from))
        })
    }

    /// Tasks that the observer saw in D state for the timeout and longer between
    /// these times: how many sleeps, and the longest.
    pub(super) fn sleeps(&self, from: f64, to: f64) -> (usize, f64) {
        let mut long: Vec<(u32, i64)> = Vec::new();
        let mut most = 0.0;
        for sleep in &self.sleeps {
            let age = sleep.at - sleep.since;
            if (from..to).contains(&sleep.at) && age >= TIMEOUT {
                // The printed age has one decimal.
                long.push((sleep.pid, sleep.since.round() as i64));
                most = f64::max(most, age);
            }
        }
        long.sort_unstable();
        long.dedup();
        (long.len(), most)
    }

    /// A gap of the observer that had begun `least` seconds before `time` and was
    /// not over yet. With `ran`, without the time in which the CPU did not run.
    fn gap(&self, cpu: u32, time: f64, least: f64, ran: bool) -> Vec<String> {
        let paused = |from: f64| match ran {
            true => self.paused(Some(cpu), from, time, true),
            false => 0.0,
        };
        let covers = |gap: &&Gap| {
            gap.cpu == cpu && gap.from + paused(gap.from) <= time - least && gap.to >= time - CLOCKS
        };
        self.gaps
            .iter()
            .filter(covers)
            .map(|gap| {
                format!(
                    "the observer did not get CPU{cpu} from [{:.3}] to [{:.3}]",
                    gap.from, gap.to
                )
            })
            .collect()
    }

    /// What the host did with a virtual CPU in the seconds before `time`.
    fn host(&self, cpu: u32, time: f64, length: f64) -> Option<String> {
        let before = self
            .host
            .iter()
            .rev()
            .find(|host| host.at <= time - length)?;
        let after = self.host.iter().find(|host| host.at >= time)?;
        let (old, new) = (
            before.cpus.get(cpu as usize)?,
            after.cpus.get(cpu as usize)?,
        );
        Some(format!(
            "host: from [{:.1}] to [{:.1}] the virtual CPU ran for {:.2} s and waited {:.2} s for a processor",
            before.at,
            after.at,
            new.0 - old.0,
            new.1 - old.1
        ))
    }
}

/// The task of a report and for how long it is blocked, as in its first line.
fn what(report: &Report<HungTask>) -> &str {
    let head = report.lines.first().map_or("", String::as_str);
    head.strip_prefix("INFO: task ").unwrap_or(head)
}

/// What the task of a report waits for: the innermost functions that are not the scheduler's.
fn place(report: &Report<HungTask>) -> String {
    // What puts tasks to sleep does not say why.
    let sleeping = [
        "__schedule",
        "schedule",
        "schedule_timeout",
        "io_schedule",
        "io_schedule_timeout",
        "schedule_preempt_disabled",
        "schedule_hrtimeout_range",
        "bit_wait_io",
        "bit_wait",
        "__wait_on_bit",
        "out_of_line_wait_on_bit",
        "wait_for_completion",
        "wait_for_completion_io",
        "__wait_for_common",
    ];
    let frames = report.dumps.first().map(|dump| &dump.frames);
    let names: Vec<&str> = frames
        .into_iter()
        .flatten()
        .filter(|frame| frame.reliable)
        .map(|frame| frame.function.as_str())
        .filter(|name| !sleeping.contains(name))
        .take(5)
        .collect();
    names.join(" < ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(f64, u32, &str)]) -> Vec<LogLine> {
        lines
            .iter()
            .map(|&(time, facility, text)| LogLine {
                time,
                facility,
                text: text.to_owned(),
                ..LogLine::default()
            })
            .collect()
    }

    fn reasons(lines: &[(f64, u32, &str)]) -> Vec<usize> {
        let record = Record::of(&log(lines), Vec::new()).unwrap();
        record.judge(0.0).iter().map(|j| j.reasons.len()).collect()
    }

    const SOFT: &str = "watchdog: BUG: soft lockup - CPU#1 stuck for 2s! [a:1]";
    const OURS: &str = "CPU#1 Utilization every 400ms during lockup (as counted by the tick):";

    #[test]
    fn what_was_provoked_justifies_and_what_was_missed_in_a_pause_does_not() {
        let judged = |lines: &[(f64, u32, &str)], provoked: &[Provoked], pauses: &[Pause]| {
            let record = Record::of(&log(lines), Vec::new()).unwrap();
            let all = record.with(provoked, pauses).judge(0.0);
            all.iter().map(|j| j.reasons.len()).collect::<Vec<_>>()
        };
        let of = |kind, from| Provoked {
            kind,
            id: 1,
            from,
            to: 10.5,
        };
        let pause = |cpu| Pause {
            cpu,
            frozen: false,
            from: 8.5,
            to: 9.5,
            least: 0.9,
        };
        let soft = [(10.0, 0, SOFT), (10.0, 0, OURS)];
        assert_eq!(judged(&soft, &[of(Kind::Soft, 8.0)], &[]), [1]);
        assert_eq!(judged(&soft, &[of(Kind::Hard, 8.0)], &[]), [1]);
        assert_eq!(judged(&soft, &[of(Kind::Hung, 8.0)], &[]), [0]);
        assert_eq!(judged(&soft, &[of(Kind::Soft, 9.0)], &[]), [0]);
        assert_eq!(judged(&soft, &[of(Kind::Soft, 8.0)], &[pause(None)]), [0]);
        assert_eq!(
            judged(&soft, &[of(Kind::Soft, 8.0)], &[pause(Some(2))]),
            [1]
        );
        let gap = "vigil-observer: CPU1 did not run its thread for 3.000 s";
        let seen = [soft[0], soft[1], (10.9, 1, gap)];
        assert_eq!(judged(&seen, &[], &[]), [1]);
        assert_eq!(judged(&seen, &[], &[pause(Some(1))]), [0]);
        let frozen = Pause {
            frozen: true,
            ..pause(None)
        };
        assert_eq!(judged(&seen, &[], &[frozen]), [0]);
        assert_eq!(judged(&soft, &[of(Kind::Soft, 8.0)], &[frozen]), [1]);

        let hung = [
            (10.0, 0, "INFO: task dd:1 blocked for more than 2 seconds."),
            (10.0, 0, "vigil: task dd:1 last ran at [4.9]"),
        ];
        let long = Pause {
            from: 5.5,
            to: 8.5,
            least: 2.9,
            ..pause(None)
        };
        let of_one_cpu = Pause {
            cpu: Some(1),
            ..long
        };
        assert_eq!(judged(&hung, &[of(Kind::Hung, 5.0)], &[long]), [1]);
        assert_eq!(judged(&hung, &[of(Kind::Hung, 5.3)], &[long]), [0]);
        assert_eq!(judged(&hung, &[of(Kind::Hung, 5.3)], &[of_one_cpu]), [1]);
        let seen = "vigil-observer: dd:1 has been in D state for 2.0 s, in folio_wait_bit_common";
        let seen = [hung[0], hung[1], (10.1, 1, seen)];
        assert_eq!(judged(&seen, &[], &[]), [1]);
        assert_eq!(judged(&seen, &[], &[frozen]), [0]);
        // One that is too short to be seen counts.
        assert_eq!(judged(&hung, &[of(Kind::Hung, 8.0)], &[pause(None)]), [1]);
    }

    #[test]
    fn a_soft_lockup_needs_a_gap_or_the_other_detector() {
        assert_eq!(reasons(&[(10.0, 0, SOFT), (10.0, 0, OURS)]), [0]);
        let gap = "vigil-observer: CPU1 did not run its thread for 3.000 s";
        assert_eq!(
            reasons(&[(10.0, 0, SOFT), (10.0, 0, OURS), (11.0, 1, gap)]),
            [1]
        );
        // Too early, too late, of another CPU.
        assert_eq!(
            reasons(&[(8.5, 1, gap), (10.0, 0, SOFT), (10.0, 0, OURS)]),
            [0]
        );
        assert_eq!(
            reasons(&[(10.0, 0, SOFT), (10.0, 0, OURS), (12.0, 1, gap)]),
            [0]
        );
        let other = "vigil-observer: CPU0 did not run its thread for 3.000 s";
        assert_eq!(
            reasons(&[(10.0, 0, SOFT), (10.0, 0, OURS), (11.0, 1, other)]),
            [0]
        );
        assert_eq!(
            reasons(&[(10.0, 0, SOFT), (10.0, 0, OURS), (12.5, 0, SOFT)]),
            [1]
        );
    }

    #[test]
    fn a_hung_task_needs_the_witness_or_the_other_detector() {
        let head = "INFO: task dd:77 blocked for more than 2 seconds.";
        let ours = "vigil: task dd:77 last ran at [7.9]";
        assert_eq!(reasons(&[(10.0, 0, head), (10.0, 0, ours)]), [0]);
        let seen = "vigil-observer: dd:77 has been in D state for 1.6 s, in folio_wait_bit_common";
        assert_eq!(
            reasons(&[(9.8, 1, seen), (10.0, 0, head), (10.0, 0, ours)]),
            [1]
        );
        let young = "vigil-observer: dd:77 has been in D state for 1.0 s, in folio_wait_bit_common";
        assert_eq!(
            reasons(&[(10.0, 0, head), (10.0, 0, ours), (10.5, 1, young)]),
            [0]
        );
        // Two at the same time: one of them is vigil's.
        assert_eq!(
            reasons(&[(10.0, 0, head), (10.0, 0, head), (10.0, 0, ours)]),
            [1]
        );
    }
}
