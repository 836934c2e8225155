// SPDX-License-Identifier: GPL-2.0
//! The reports in a log.
//!
//! A report begins with the line that names the finding, and has the lines after it up
//! to the next report. Two detectors may print at the same time, line by line; a line
//! that names its task or CPU goes to the report on that.

use crate::{
    line::LogLine,
    message::{Blocker, Detector, Evidence, Message, Task, Vigil},
    texts::{vigil, MARKS},
    trace::{Dump, Dumps},
};
use regex::Regex;
use std::sync::LazyLock;

/// For how long, in seconds, a line may come after the first line of the report that it
/// belongs to when other reports have begun since.
const APART: f64 = 2.0;

/// The reports in a log, and what else is said in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// The reports, in the order of their first lines.
    pub reports: Vec<Report>,
    /// The lines of vigil's own, those in reports too.
    pub notes: Vec<Note>,
    /// Lines that have the words of a report, but not a known wording: another kernel's,
    /// or a report that was cut off.
    pub unknown: Vec<LogLine>,
}

/// A line of vigil's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The line's time stamp, in seconds.
    pub time: f64,
    /// What it says.
    pub message: Vigil,
}

/// One report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The time stamp of its first line, in seconds.
    pub time: f64,
    /// What was found.
    pub finding: Finding,
    /// The detector that made it. `None`: the log does not say, which may be because the
    /// report is cut off.
    pub detector: Option<Detector>,
    /// Its lines.
    pub lines: Vec<LogLine>,
    /// The stacks in it.
    pub dumps: Vec<Dump>,
}

/// What a report is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// A task is blocked for too long.
    HungTask(HungTask),
    /// A CPU does not switch to its most urgent task.
    SoftLockup(SoftLockup),
    /// A CPU takes no timer interrupts.
    HardLockup(HardLockup),
    /// A CPU does not answer an NMI: only vigil says this.
    UnresponsiveCpu(UnresponsiveCpu),
    /// An RCU grace period does not end.
    RcuStall(RcuStall),
    /// A panic.
    Panic(Panic),
}

/// A task that is blocked for too long.
#[derive(Clone, Debug, PartialEq)]
pub struct HungTask {
    /// The task.
    pub task: Task,
    /// It waits for I/O.
    pub in_iowait: bool,
    /// For how long it has been blocked, in whole seconds.
    pub seconds: u64,
    /// Taint, release and version of the kernel.
    pub kernel: Option<String>,
    /// The task is writing a core dump.
    pub in_coredump: bool,
    /// When it last ran, as a time stamp of this log. Only vigil says this.
    pub last_ran: Option<f64>,
    /// What it waits for, if that is a lock that the kernel keeps track of.
    pub blocker: Option<Blocker>,
}

/// A CPU that does not switch to its most urgent task.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftLockup {
    /// The CPU.
    pub cpu: u32,
    /// For how long it has been stuck, in whole seconds.
    pub seconds: u64,
    /// The task that runs there.
    pub task: Task,
    /// What the CPU has done since.
    pub usage: Option<Usage>,
    /// vigil has no CPU stopper: a real-time task may be all there is to it.
    pub by_fifo_thread: bool,
    /// Steal time that is left out of `seconds`.
    pub steal_secs: Option<f64>,
    /// The busiest interrupts, if they may be the cause.
    pub interrupts: Option<BusyInterrupts>,
}

/// What a stuck CPU has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Length of a sample, in milliseconds.
    pub sample_ms: u64,
    /// Percent of system, softirq, hardirq and idle time, the oldest sample first.
    pub samples: Vec<[u32; 4]>,
}

/// Interrupts that a stuck CPU took.
#[derive(Clone, Debug, PartialEq)]
pub struct BusyInterrupts {
    /// All of them.
    pub total: u64,
    /// In this time.
    pub secs: f64,
    /// In a second.
    pub rate: u64,
    /// The busiest.
    pub busiest: Vec<BusyInterrupt>,
}

/// One of the busiest interrupts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyInterrupt {
    /// How many came.
    pub count: u64,
    /// Its name.
    pub source: String,
    /// In a second.
    pub rate: u64,
}

/// A CPU that takes no timer interrupts.
#[derive(Clone, Debug, PartialEq)]
pub struct HardLockup {
    /// The CPU.
    pub cpu: u32,
    /// The CPU that found it; with perf the same one. `None`: the kernel does not say.
    pub finder: Option<u32>,
    /// For how long it took no timer interrupt, in seconds. Only vigil says this.
    pub secs: Option<f64>,
    /// What shows that it runs with interrupts off. Only vigil says this.
    pub evidence: Option<Evidence>,
    /// It was over by the time of the report.
    pub is_over: bool,
}

/// A CPU that does not answer an NMI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresponsiveCpu {
    /// The CPU.
    pub cpu: u32,
    /// For how long it has not run, in whole seconds.
    pub secs: u64,
}

/// An RCU grace period that does not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcuStall {
    /// The flavor of RCU: `rcu_preempt`.
    pub flavor: String,
    /// The stalled CPU found it.
    pub self_detected: bool,
    /// The stalled CPUs.
    pub cpus: Vec<u32>,
}

/// A panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// The reason.
    pub message: String,
}

impl Log {
    /// Finds the reports in these lines. Lines of programs are passed over: a program
    /// may write into the log what looks like a report.
    pub fn parse(lines: &[LogLine]) -> Self {
        let mut parser = Parser::default();
        for line in lines.iter().filter(|line| line.facility == 0) {
            parser.take(line);
        }
        parser.finish()
    }

    /// The reports on hung tasks.
    pub fn hung_tasks(&self) -> impl Iterator<Item = (&Report, &HungTask)> {
        self.reports
            .iter()
            .filter_map(|report| match &report.finding {
                Finding::HungTask(task) => Some((report, task)),
                _ => None,
            })
    }

    /// The reports on soft lockups.
    pub fn soft_lockups(&self) -> impl Iterator<Item = (&Report, &SoftLockup)> {
        self.reports
            .iter()
            .filter_map(|report| match &report.finding {
                Finding::SoftLockup(lockup) => Some((report, lockup)),
                _ => None,
            })
    }

    /// The reports on hard lockups.
    pub fn hard_lockups(&self) -> impl Iterator<Item = (&Report, &HardLockup)> {
        self.reports
            .iter()
            .filter_map(|report| match &report.finding {
                Finding::HardLockup(lockup) => Some((report, lockup)),
                _ => None,
            })
    }

    /// The reports on unresponsive CPUs.
    pub fn unresponsive_cpus(&self) -> impl Iterator<Item = (&Report, &UnresponsiveCpu)> {
        self.reports
            .iter()
            .filter_map(|report| match &report.finding {
                Finding::UnresponsiveCpu(cpu) => Some((report, cpu)),
                _ => None,
            })
    }

    /// The panics.
    pub fn panics(&self) -> impl Iterator<Item = (&Report, &Panic)> {
        self.reports
            .iter()
            .filter_map(|report| match &report.finding {
                Finding::Panic(panic) => Some((report, panic)),
                _ => None,
            })
    }

    /// When CPUs recovered, which ones, and after how many seconds without a timer
    /// interrupt.
    pub fn recoveries(&self) -> impl Iterator<Item = (f64, u32, f64)> + '_ {
        self.notes.iter().filter_map(|note| match note.message {
            Vigil::CpuRecovered { cpu, secs } => Some((note.time, cpu, secs)),
            _ => None,
        })
    }
}

impl Report {
    /// Whether vigil made it.
    pub fn is_vigil(&self) -> bool {
        self.detector == Some(Detector::Vigil)
    }

    /// Whether one of its lines contains this.
    pub fn mentions(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.text.contains(words))
    }

    /// The first stack of a task with this PID.
    pub fn stack_of(&self, pid: u32) -> Option<&Dump> {
        let is_of = |dump: &&Dump| dump.task.as_ref().is_some_and(|task| task.pid == pid);
        self.dumps.iter().find(is_of)
    }
}

/// How a detector was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Not,
    /// By a line that stands after the report's first.
    ByPlace(Detector),
    /// By a line that names the report's task or CPU.
    ByName(Detector),
}

/// A report that more lines may belong to.
#[derive(Debug)]
struct Open {
    time: f64,
    finding: Finding,
    known: Known,
    lines: Vec<LogLine>,
    dumps: Dumps,
    /// A line was seen that stands behind those by which vigil's reports are recognised.
    is_past_head: bool,
}

/// Builds the reports, line by line.
#[derive(Debug, Default)]
struct Parser {
    open: Vec<Open>,
    /// The report that lines without a name belong to.
    current: Option<usize>,
    notes: Vec<Note>,
    unknown: Vec<LogLine>,
}

static USAGE_SAMPLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^\t#\d+: +(\d+)% system,\t *(\d+)% softirq,\t *(\d+)% hardirq,\t *(\d+)% idle$")
        .ok()
});

static RCU_CPU: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^rcu: \t(\d+)-\S+ \(").ok());

impl Parser {
    fn take(&mut self, line: &LogLine) {
        match Message::parse(&line.text) {
            Some(message) => self.take_message(line, message),
            None => {
                if is_marked(&line.text) {
                    self.unknown.push(line.clone());
                }
                self.take_other(line);
            }
        }
    }

    fn take_message(&mut self, line: &LogLine, message: Message) {
        match message {
            Message::HungTask {
                task,
                in_iowait,
                seconds,
            } => self.begin(
                line,
                Finding::HungTask(HungTask {
                    task,
                    in_iowait,
                    seconds,
                    kernel: None,
                    in_coredump: false,
                    last_ran: None,
                    blocker: None,
                }),
            ),
            Message::SoftLockup { cpu, seconds, task } => self.begin(
                line,
                Finding::SoftLockup(SoftLockup {
                    cpu,
                    seconds,
                    task,
                    usage: None,
                    by_fifo_thread: false,
                    steal_secs: None,
                    interrupts: None,
                }),
            ),
            Message::HardLockup { cpu, finder } => self.begin(
                line,
                Finding::HardLockup(HardLockup {
                    cpu,
                    finder,
                    secs: None,
                    evidence: None,
                    is_over: false,
                }),
            ),
            Message::RcuStall {
                flavor,
                self_detected,
            } => self.begin(
                line,
                Finding::RcuStall(RcuStall {
                    flavor,
                    self_detected,
                    cpus: Vec::new(),
                }),
            ),
            Message::Panic { message } => self.begin(line, Finding::Panic(Panic { message })),
            Message::Unrelated => {}
            Message::PanicEnd { .. } => self.add(self.current, line),
            Message::Kernel(kernel) => {
                let to = self.last_hung(line, |task| task.kernel.is_none());
                if let Some(task) = self.hung_task(to) {
                    task.kernel = Some(kernel);
                }
                self.add(to.or(self.current), line);
            }
            Message::Coredump => {
                let to = self.last_hung(line, |task| !task.in_coredump);
                if let Some(task) = self.hung_task(to) {
                    task.in_coredump = true;
                }
                self.add(to.or(self.current), line);
            }
            Message::Disable(detector) => {
                let to = self.find(line, |open| {
                    matches!(open.finding, Finding::HungTask(_)) && open.known == Known::Not
                });
                if let Some(open) = self.get(to) {
                    open.known = Known::ByPlace(detector);
                }
                self.add(to.or(self.current), line);
            }
            Message::Blocker(blocker) => {
                let pid = blocker.waiter.pid;
                let to =
                    self.last_hung(line, |task| task.task.pid == pid && task.blocker.is_none());
                if let Some(task) = self.hung_task(to) {
                    task.blocker = Some(blocker);
                }
                self.add(to.or(self.current), line);
            }
            Message::Usage { cpu, ms, detector } => {
                let to = self.last_soft(line, cpu);
                if let Some(open) = self.get(to) {
                    open.known = Known::ByName(detector);
                    if let Finding::SoftLockup(lockup) = &mut open.finding {
                        lockup.usage = Some(Usage {
                            sample_ms: ms,
                            samples: Vec::new(),
                        });
                    }
                }
                self.add(to.or(self.current), line);
            }
            Message::Vigil(vigil) => {
                self.take_vigil(line, &vigil);
                self.notes.push(Note {
                    time: line.time,
                    message: vigil,
                });
            }
        }
    }

    fn take_vigil(&mut self, line: &LogLine, message: &Vigil) {
        let mut to = self.current;
        match message {
            Vigil::UnresponsiveCpu { cpu, secs } => {
                // A report of one line, which may come in the middle of another one.
                let current = self.current;
                let finding = Finding::UnresponsiveCpu(UnresponsiveCpu {
                    cpu: *cpu,
                    secs: *secs,
                });
                self.begin(line, finding);
                self.current = current;
            }
            Vigil::TaskLastRan { task, time } => {
                to = self.vigils_hung(line, task.pid).or(to);
                if let Some(hung) = self.hung_task(to).filter(|hung| hung.task.pid == task.pid) {
                    hung.last_ran = Some(*time);
                }
            }
            Vigil::HardLockupEvidence { cpu, secs, .. } | Vigil::HardLockupOver { cpu, secs } => {
                let found = self.find(line, |open| {
                    matches!(&open.finding, Finding::HardLockup(lockup) if lockup.cpu == *cpu)
                        && open.known == Known::Not
                });
                to = found.or(to);
                if let Some(open) = self.get(found) {
                    open.known = Known::ByName(Detector::Vigil);
                    if let Finding::HardLockup(lockup) = &mut open.finding {
                        lockup.secs = Some(*secs);
                        match message {
                            Vigil::HardLockupEvidence { evidence, .. } => {
                                lockup.evidence = Some(*evidence);
                            }
                            _ => lockup.is_over = true,
                        }
                    }
                }
            }
            Vigil::HardLockupStack { cpu, task } => {
                if let Some(open) = self.get(to) {
                    open.dumps.begin_stack(Dump {
                        cpu: Some(*cpu),
                        task: Some(task.clone()),
                        ..Dump::default()
                    });
                }
            }
            Vigil::BusyInterrupts {
                cpu,
                total,
                secs,
                rate,
            } => {
                let found = self.last_soft(line, *cpu);
                to = found.or(to);
                if let Some(lockup) = self.soft_lockup(found) {
                    lockup.interrupts = Some(BusyInterrupts {
                        total: *total,
                        secs: *secs,
                        rate: *rate,
                        busiest: Vec::new(),
                    });
                }
            }
            Vigil::BusyInterrupt {
                count,
                source,
                rate,
            } => {
                let interrupts = self
                    .soft_lockup(to)
                    .and_then(|lockup| lockup.interrupts.as_mut());
                if let Some(interrupts) = interrupts {
                    interrupts.busiest.push(BusyInterrupt {
                        count: *count,
                        source: source.clone(),
                        rate: *rate,
                    });
                }
            }
            Vigil::SampledByFifoThread => {
                if let Some(lockup) = self.soft_lockup(to) {
                    lockup.by_fifo_thread = true;
                }
            }
            Vigil::StealTime { secs } => {
                if let Some(lockup) = self.soft_lockup(to) {
                    lockup.steal_secs = Some(*secs);
                }
            }
            Vigil::Other(text) if is_marked(text) => self.unknown.push(line.clone()),
            _ => {}
        }
        self.add(to, line);
    }

    /// A line that names nothing.
    fn take_other(&mut self, line: &LogLine) {
        let current = self.current;
        let Some(open) = self.get(current) else {
            return;
        };
        let is_dump = open.dumps.take(&line.text);
        open.is_past_head |= is_dump || line.text.starts_with("Modules linked in:");
        match &mut open.finding {
            Finding::SoftLockup(SoftLockup {
                usage: Some(usage), ..
            }) => usage.samples.extend(usage_sample(&line.text)),
            Finding::RcuStall(stall) => stall.cpus.extend(rcu_cpu(&line.text)),
            _ => {}
        }
        self.add(current, line);
    }

    /// Begins a report with this line.
    fn begin(&mut self, line: &LogLine, finding: Finding) {
        self.current = Some(self.open.len());
        let known = match &finding {
            Finding::UnresponsiveCpu(_) => Known::ByName(Detector::Vigil),
            Finding::RcuStall(_) => Known::ByName(Detector::InTree),
            Finding::Panic(panic) if panic.message == vigil::UNRESPONSIVE_CPU_PANIC => {
                Known::ByName(Detector::Vigil)
            }
            _ => Known::Not,
        };
        self.open.push(Open {
            time: line.time,
            finding,
            known,
            lines: vec![line.clone()],
            dumps: Dumps::default(),
            is_past_head: false,
        });
    }

    fn add(&mut self, to: Option<usize>, line: &LogLine) {
        if let Some(open) = self.get(to) {
            open.lines.push(line.clone());
        }
    }

    fn get(&mut self, at: Option<usize>) -> Option<&mut Open> {
        self.open.get_mut(at?)
    }

    fn hung_task(&mut self, at: Option<usize>) -> Option<&mut HungTask> {
        match &mut self.get(at)?.finding {
            Finding::HungTask(task) => Some(task),
            _ => None,
        }
    }

    fn soft_lockup(&mut self, at: Option<usize>) -> Option<&mut SoftLockup> {
        match &mut self.get(at)?.finding {
            Finding::SoftLockup(lockup) => Some(lockup),
            _ => None,
        }
    }

    /// The last report, begun not long before this line, for which this is true.
    fn find(&self, line: &LogLine, is_it: impl Fn(&Open) -> bool) -> Option<usize> {
        self.open.iter().enumerate().rev().find_map(|(at, open)| {
            let is_near = self.current == Some(at) || line.time - open.time < APART;
            (is_near && is_it(open)).then_some(at)
        })
    }

    fn last_hung(&self, line: &LogLine, is_it: impl Fn(&HungTask) -> bool) -> Option<usize> {
        self.find(line, |open| match &open.finding {
            Finding::HungTask(task) => is_it(task),
            _ => false,
        })
    }

    fn last_soft(&self, line: &LogLine, cpu: u32) -> Option<usize> {
        self.find(
            line,
            |open| matches!(&open.finding, Finding::SoftLockup(lockup) if lockup.cpu == cpu),
        )
    }

    /// Finds the report on this task for which vigil prints its second line.
    ///
    /// Where vigil and the kernel print at the same time, [`Message::Disable`] may have been
    /// taken for the wrong report; the names in vigil's line are right. The two reports then
    /// change their detectors.
    fn vigils_hung(&mut self, line: &LogLine, pid: u32) -> Option<usize> {
        let of_pid =
            |open: &Open| matches!(&open.finding, Finding::HungTask(task) if task.task.pid == pid);
        let with = |known: Known| self.find(line, |open| of_pid(open) && open.known == known);
        let at = with(Known::ByPlace(Detector::Vigil))
            .or_else(|| with(Known::Not))
            .or_else(|| with(Known::ByPlace(Detector::InTree)))?;
        if self.open.get(at)?.known == Known::ByPlace(Detector::InTree) {
            let other = self.find(line, |open| open.known == Known::ByPlace(Detector::Vigil));
            if let Some(other) = self.get(other) {
                other.known = Known::ByPlace(Detector::InTree);
            }
        }
        self.open.get_mut(at)?.known = Known::ByName(Detector::Vigil);
        Some(at)
    }

    fn finish(self) -> Log {
        Log {
            reports: self.open.into_iter().map(Open::finish).collect(),
            notes: self.notes,
            unknown: self.unknown,
        }
    }
}

impl Open {
    fn finish(self) -> Report {
        let detector = match (self.known, &self.finding) {
            (Known::ByPlace(detector) | Known::ByName(detector), _) => Some(detector),
            // By now vigil would have said what only it says.
            (Known::Not, Finding::SoftLockup(_) | Finding::HardLockup(_)) if self.is_past_head => {
                Some(Detector::InTree)
            }
            (Known::Not, _) => None,
        };
        Report {
            time: self.time,
            finding: self.finding,
            detector,
            lines: self.lines,
            dumps: self.dumps.dumps,
        }
    }
}

/// Whether a line has words that only reports have.
fn is_marked(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}

fn usage_sample(text: &str) -> Option<[u32; 4]> {
    let part = USAGE_SAMPLE.as_ref()?.captures(text)?;
    let number = |group: usize| part[group].parse().ok();
    Some([number(1)?, number(2)?, number(3)?, number(4)?])
}

/// The CPU that a line of an RCU stall is about.
fn rcu_cpu(text: &str) -> Option<u32> {
    RCU_CPU.as_ref()?.captures(text)?[1].parse().ok()
}
