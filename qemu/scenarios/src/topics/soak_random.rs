// SPDX-License-Identifier: GPL-2.0
//! No topic: the random run, `soak::random`. A seed is a list of steps without end; each step is drawn
//! from the seed and its own number alone and begins where it ends, with the module loaded, its
//! knobs as they were, all CPUs online and nothing stuck. So any part of a list can be replayed.
//!
//! Each report has to be justified: by what the run itself made, or by the observer in the guest,
//! as in `soak_judge`. What the run made that is long enough has to be reported.

use super::{
    hung_stall::{reports, wait_report, Stall, PROVOKE, SOON},
    lockup_hotplug::coming_and_going,
    lockup_stall::{load, provoke, unresponsive},
    module::nothing_left,
    soak_judge::{observe, Kind, Pause, Provoked, Record, THRESH},
};
use crate::prelude::*;
use std::{
    collections::BTreeMap,
    env, fmt,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};
use vigil_logic::knobs::KNOBS;

/// The seed, and the steps of it that are to be run ("3..17"); and all others.
const SEED: &str = "VIGIL_SOAK_SEED";
const STEPS: &str = "VIGIL_SOAK_STEPS";

/// With these a panic is wanted, and none comes: there is no crash kernel.
const BASE: &str = "watchdog_thresh=1 hung_task_timeout_secs=2 hung_task_check_interval_secs=1 \
                    hung_task_warnings=-1 hung_task_report=mainline panic_needs_kdump=1";

/// The CPUs that get stuck and go off; the agent is on CPU 0.
const CPUS: [u32; 3] = [1, 2, 3];

/// How many steps before the one that failed are tried with it.
const BEFORE: [u32; 5] = [0, 1, 3, 7, 15];

const SOFT: &[&str] = &["preempt_off", "bh_off", "softirq_hog", "spinlock"];
/// Not on an `-rt` kernel.
const SOFT_NOT_RT: &[&str] = &["bh_off", "softirq_hog"];
const HARD: &[&str] = &["irqs_off", "irqs_off_in_timer"];
const HUNG: &[&str] = &[
    "mutex",
    "mutex count=3",
    "mutex_static",
    "sem",
    "sem_orphan",
    "rwsem_reader",
    "rwsem_writer",
    "rt_mutex",
    "completion",
    "iowait",
    "srcu",
    "work",
    "kthread_stop",
    "chain",
    "abba",
];
const NOT_HUNG: &[&str] = &["killable", "idle", "fresh", "nap ms=700 count=4"];
const PARAMETERS: &[&str] = &[
    "",
    "use_stopper=0",
    "use_unexported=0",
    "use_stopper=0 use_unexported=0",
    "hung_task_report=grouped",
    "watchdog=0",
    "hung_task_timeout_secs=0",
    "inherit=0",
];

/// Numbers that cannot be told in advance, and are the same each time (splitmix64).
struct Random(u64);

impl Random {
    /// Those of one step of a seed.
    fn of(seed: u64, step: u32) -> Self {
        let mut random = Self(seed ^ (u64::from(step) << 32));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `from` to `to`.
    fn within(&mut self, from: u32, to: u32) -> u32 {
        from + (self.next() % u64::from(to - from + 1)) as u32
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[(self.next() % all.len() as u64) as usize]
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A CPU that is stuck, for long enough for a report or for much less.
    Soft {
        kind: &'static str,
        cpu: u32,
        ms: u32,
    },
    Hard {
        kind: &'static str,
        cpu: u32,
        ms: u32,
    },
    /// Tasks that are hung, while another step is taken.
    Hung {
        kind: &'static str,
        during: Option<Box<Step>>,
    },
    NotHung {
        kind: &'static str,
    },
    Reload {
        parameters: &'static str,
    },
    Hotplug {
        cpu: u32,
        times: u32,
    },
    /// All tasks are frozen, as on the way to suspend.
    Freeze,
    PauseVm {
        ms: u32,
    },
    PauseCpu {
        cpu: u32,
        ms: u32,
    },
    Knob {
        name: &'static str,
        bytes: Vec<u8>,
    },
    /// Programs that listen while another step is taken; so many of them are killed before it.
    Listeners {
        count: u32,
        killed: u32,
        during: Box<Step>,
    },
}

impl Step {
    /// The step of this number.
    fn draw(seed: u64, number: u32) -> Self {
        let mut random = Random::of(seed, number);
        match random.within(0, 11) {
            0 => Self::soft(&mut random),
            1 => Self::hard(&mut random),
            2..=3 => Self::Hung {
                kind: random.pick(HUNG),
                during: None,
            },
            4..=5 => {
                let during = match random.within(0, 6) {
                    0 => Self::reload(&mut random),
                    1 => Self::hotplug(&mut random),
                    2 => Self::pause(&mut random),
                    3 => Self::soft(&mut random),
                    4 => Self::hard(&mut random),
                    5 => Self::Freeze,
                    _ => Self::knob(&mut random),
                };
                Self::Hung {
                    kind: random.pick(HUNG),
                    during: Some(Box::new(during)),
                }
            }
            6 => match random.within(0, 2) {
                0 => Self::Freeze,
                _ => Self::NotHung {
                    kind: random.pick(NOT_HUNG),
                },
            },
            7 => Self::reload(&mut random),
            8 => Self::hotplug(&mut random),
            9 => Self::pause(&mut random),
            10 => Self::knob(&mut random),
            _ => {
                let count = random.within(1, 4);
                let during = match random.within(0, 2) {
                    0 => Self::soft(&mut random),
                    1 => Self::reload(&mut random),
                    _ => Self::Hung {
                        kind: random.pick(HUNG),
                        during: None,
                    },
                };
                Self::Listeners {
                    count,
                    killed: random.within(0, count),
                    during: Box::new(during),
                }
            }
        }
    }

    fn soft(random: &mut Random) -> Self {
        Self::Soft {
            kind: random.pick(SOFT),
            cpu: random.pick(&CPUS),
            ms: match random.within(0, 2) {
                0 => random.within(100, 900),
                _ => random.within(3500, 6000),
            },
        }
    }

    fn hard(random: &mut Random) -> Self {
        Self::Hard {
            kind: random.pick(HARD),
            cpu: random.pick(&CPUS),
            ms: match random.within(0, 2) {
                0 => random.within(50, 400),
                _ => random.within(3000, 5000),
            },
        }
    }

    fn reload(random: &mut Random) -> Self {
        Self::Reload {
            parameters: random.pick(PARAMETERS),
        }
    }

    fn hotplug(random: &mut Random) -> Self {
        Self::Hotplug {
            cpu: random.pick(&CPUS),
            times: random.within(1, 4),
        }
    }

    fn pause(random: &mut Random) -> Self {
        match random.within(0, 1) {
            0 => Self::PauseVm {
                ms: random.within(100, 6000),
            },
            _ => Self::PauseCpu {
                cpu: random.pick(&CPUS),
                ms: random.within(100, 7000),
            },
        }
    }

    /// What is right, what is nearly right, or anything, into any knob that can be written.
    fn knob(random: &mut Random) -> Self {
        let names: Vec<&str> = KNOBS
            .iter()
            .filter(|knob| knob.is_writable() && knob.name != "hung_task_detect_count")
            .map(|knob| knob.name)
            .collect();
        let name = random.pick(&names);
        let good: &[&str] = match name {
            // Without it a panic would come.
            "panic_needs_kdump" => &["1", " 1\n", "0x1"],
            "hung_task_report" => &["grouped", "mainline"],
            "hung_task_ignore" | "hung_task_panic_only" => {
                &["", "not_there*", "[not_there]", ":lock,not\\x20there"]
            }
            // A shorter one would have tasks reported that the run takes for none.
            "hung_task_timeout_secs" => &["0", "2", "7", "0x3", "05", "60"],
            "watchdog_cpumask" => &["0-3", "0,2", "1-2", "", "3"],
            _ if name.ends_with("_sys_info") => &["", "tasks", "mem,locks", "all_bt"],
            _ => &["0", "1", "2", "7", "0x3", "05", " 4\n", "60"],
        };
        let bad = [
            "-5",
            "1 2",
            "abc",
            "99999999999999999999",
            "tasks,,mem",
            "0-",
            "1\0",
            "*x*",
            "[x",
            "grouped,mainline",
            "\n\n",
            "3-1",
        ];
        let bytes = match random.within(0, 2) {
            0 => random.pick(good).as_bytes().to_vec(),
            1 => random.pick(&bad).as_bytes().to_vec(),
            _ => {
                let length = random.within(1, 600);
                // No number, which may be a right one.
                let mut bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                bytes[0] |= 0x80;
                bytes
            }
        };
        Self::Knob { name, bytes }
    }

    /// What it is a kind of.
    fn name(&self) -> &'static str {
        match self {
            Self::Soft { .. } => "soft lockups",
            Self::Hard { .. } => "hard lockups",
            Self::Hung { .. } => "hung tasks",
            Self::NotHung { .. } => "sleeps that are none",
            Self::Reload { .. } => "unloads and loads",
            Self::Hotplug { .. } => "CPUs off and on",
            Self::Freeze => "freezes",
            Self::PauseVm { .. } => "pauses of the VM",
            Self::PauseCpu { .. } => "pauses of a virtual CPU",
            Self::Knob { .. } => "writes to knobs",
            Self::Listeners { .. } => "listeners",
        }
    }

    /// Itself, and the one that is taken meanwhile.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Hung {
                during: Some(during),
                ..
            }
            | Self::Listeners { during, .. } => [vec![self], during.parts()].concat(),
            _ => vec![self],
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Soft { kind, cpu, ms } | Self::Hard { kind, cpu, ms } => {
                write!(f, "{kind} cpu={cpu} ms={ms}")
            }
            Self::Hung { kind, during } => {
                write!(f, "hung {kind}")?;
                match during {
                    Some(during) => write!(f, ", meanwhile {during}"),
                    None => Ok(()),
                }
            }
            Self::NotHung { kind } => write!(f, "not hung {kind}"),
            Self::Reload { parameters } => write!(f, "unload, load '{parameters}', unload, load"),
            Self::Hotplug { cpu, times } => write!(f, "CPU{cpu} off and on, {times} times"),
            Self::Freeze => write!(f, "freeze"),
            Self::PauseVm { ms } => write!(f, "pause of the VM, {ms} ms"),
            Self::PauseCpu { cpu, ms } => write!(f, "pause of CPU{cpu}, {ms} ms"),
            Self::Knob { name, bytes } => {
                let shown = bytes.get(..24).unwrap_or(bytes).escape_ascii();
                write!(f, "write {} bytes to {name}: '{shown}'", bytes.len())
            }
            Self::Listeners {
                count,
                killed,
                during,
            } => write!(f, "{count} listeners, {killed} killed, meanwhile {during}"),
        }
    }
}

/// A guest in which steps are taken.
struct Run {
    vm: Vm,
    observers: Vec<Job>,
    provoked: Vec<Provoked>,
    pauses: Vec<Pause>,
    /// Programs listen.
    listened: bool,
    rt: bool,
}

impl Run {
    fn start(cx: &Cx) -> anyhow::Result<Self> {
        let artifacts = Artifacts::from_env()?;
        let file = |name: &str| artifacts.file(name).with_context(|| format!("no {name}"));
        let files = [file("vigil-observer")?, file("vigilctl")?];
        let config = coming_and_going(cx).append("log_buf_len=8M").files(files);
        let vm = cx.boot_with(config)?;
        load(&vm, BASE)?;
        vm.insmod("vigil_provoke.ko", "")?;
        vm.write("/proc/sys/kernel/printk", b"1")?;
        // See `lockup_stall::loud_guest_of()`.
        vm.sh_ok("taskset -pc 0 2 && sleep 1")?;
        let rt = vm.artifacts().kernel_has("CONFIG_PREEMPT_RT");
        let mut run = Self {
            vm,
            observers: Vec::new(),
            provoked: Vec::new(),
            pauses: Vec::new(),
            listened: false,
            rt,
        };
        run.observe()?;
        Ok(run)
    }

    /// Starts the observers anew: a thread whose CPU goes off is not on that one afterwards.
    fn observe(&mut self) -> Verdict {
        for job in self.observers.drain(..) {
            job.kill()?;
            job.wait(SOON)?;
        }
        self.observers.extend(observe(&self.vm)?);
        Ok(())
    }

    /// Takes a step, and judges what was said meanwhile.
    fn step(&mut self, step: &Step) -> Verdict {
        let mark = self.vm.mark()?;
        self.take(step)?;
        // What the observers say of it.
        self.vm.sh_ok("sleep 1")?;
        for observer in &self.observers {
            ensure!(
                !observer.ended(),
                "an observer ended: {}",
                observer.output()
            );
        }
        let lines = self.vm.dmesg_after(mark)?;
        let splat = lines.iter().find(|line| {
            let splat = Splat::of(&line.text).filter(|_| line.facility == 0);
            splat.is_some_and(|splat| splat != Splat::RcuStall)
        });
        ensure!(splat.is_none(), "the kernel complained: {splat:?}");
        let record = Record::of(&lines, Vec::new())?.with(&self.provoked, &self.pauses);
        for judgement in record.judge(0.0) {
            ensure!(
                !judgement.reasons.is_empty(),
                "not justified: {judgement:#?}"
            );
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Verdict {
        match step {
            Step::Soft { kind, .. } if self.rt && SOFT_NOT_RT.contains(kind) => Ok(()),
            Step::Soft { kind, cpu, ms } => self.lockup(Kind::Soft, kind, *cpu, *ms),
            Step::Hard { kind, cpu, ms } => self.lockup(Kind::Hard, kind, *cpu, *ms),
            Step::Hung { kind, during } => self.hung(kind, during.as_deref()),
            Step::NotHung { kind } => {
                let mark = self.vm.mark()?;
                let stall = Stall::start(&self.vm, kind)?;
                self.vm.sh_ok("sleep 3.5")?;
                let found = reports(&self.vm.dmesg_after(mark)?)?;
                let wrong = found
                    .iter()
                    .find(|report| stall.victims.contains(&report.task.pid));
                ensure!(wrong.is_none(), "{kind} is not hung: {wrong:#?}");
                if !kind.starts_with("nap") {
                    stall.end(&self.vm)?;
                }
                self.vm.write(&format!("{PROVOKE}/end"), b"all")?;
                Ok(())
            }
            Step::Reload { parameters } => {
                self.unload()?;
                nothing_left(&self.vm)?;
                load(&self.vm, parameters)?;
                self.unload()?;
                nothing_left(&self.vm)?;
                load(&self.vm, BASE)
            }
            Step::Hotplug { cpu, times } => {
                let file = format!("/sys/devices/system/cpu/cpu{cpu}/online");
                self.vm.sh_ok(&format!(
                    "for i in $(seq {times}); do echo 0 > {file} && echo 1 > {file} || exit; done"
                ))?;
                self.observe()
            }
            Step::Freeze => {
                let from = self.vm.uptime()?;
                // Each file only where the kernel can be told to come back.
                self.vm.sh_ok(
                    "cd /sys/power; [ -e pm_test ] || exit 0
                     echo freezer > pm_test && echo freeze > state && echo none > pm_test",
                )?;
                self.paused(None, true, from, 0)
            }
            Step::PauseVm { ms } => {
                let from = self.vm.uptime()?;
                self.vm.freeze()?;
                thread::sleep(Duration::from_millis(u64::from(*ms)));
                self.vm.thaw()?;
                self.paused(None, false, from, *ms)
            }
            Step::PauseCpu { cpu, ms } => self.pause_cpu(*cpu, *ms),
            Step::Knob { name, bytes } => self.knob(name, bytes),
            Step::Listeners {
                count,
                killed,
                during,
            } => self.listeners(*count, *killed, during),
        }
    }

    /// Unloads the module. A listener that has just come, or has just heard of a load, asks for the
    /// recent incidents, and a family whose answer is half read keeps its module (`netlink_dump_start()`).
    /// The first is what rmmod says if it was so before it began, the other one if only since.
    fn unload(&self) -> Verdict {
        let end = Instant::now() + SOON * machine::slowdown();
        loop {
            let rmmod = self.vm.sh("rmmod vigil")?;
            let is_asked = ["is in use", "temporarily unavailable"]
                .iter()
                .any(|words| self.listened && rmmod.stdout.contains(words));
            if rmmod.status == 0 || !is_asked || Instant::now() >= end {
                return Ok(rmmod.ok().map(drop)?);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Notes that the machine, one CPU of it, or programs have not run since `from`, for at least `ms`.
    fn paused(&mut self, cpu: Option<u32>, frozen: bool, from: f64, ms: u32) -> Verdict {
        let to = self.vm.uptime()?;
        self.pauses.push(Pause {
            cpu,
            frozen,
            from,
            to,
            least: f64::from(ms) / 1000.0,
        });
        Ok(())
    }

    fn lockup(&mut self, kind: Kind, what: &str, cpu: u32, ms: u32) -> Verdict {
        let outcome = provoke(&self.vm, &format!("{what} cpu={cpu} ms={ms}"))?;
        let span = outcome.span()?;
        self.provoked.push(Provoked {
            kind,
            id: cpu,
            from: span.began,
            to: span.ended,
        });
        let found = match kind {
            Kind::Soft => outcome.words.soft.iter().any(|report| report.cpu == cpu),
            _ => outcome.words.hard.iter().any(|report| report.cpu == cpu),
        };
        let long = if kind == Kind::Soft {
            3.0 * THRESH
        } else {
            2.5 * THRESH
        };
        ensure!(
            found || f64::from(ms) < 1000.0 * long,
            "missed: {what} of CPU {cpu} for {ms} ms: {:#?}",
            outcome.words
        );
        Ok(())
    }

    fn hung(&mut self, kind: &str, during: Option<&Step>) -> Verdict {
        let stall = Stall::start(&self.vm, kind)?;
        let first = self.provoked.len();
        for &pid in &stall.victims {
            self.provoked.push(Provoked {
                kind: Kind::Hung,
                id: pid,
                from: stall.after,
                to: f64::INFINITY,
            });
        }
        if let Some(step) = during {
            self.take(step)?;
        }
        // Each task is reported again after each timeout.
        let mark = self.vm.mark()?;
        for &pid in &stall.victims {
            wait_report(&self.vm, mark, pid)
                .with_context(|| format!("missed: {kind}, PID {pid}"))?;
        }
        stall.end(&self.vm)?;
        let end = self.vm.uptime()?;
        for provoked in self.provoked.iter_mut().skip(first) {
            provoked.to = provoked.to.min(end);
        }
        Ok(())
    }

    fn pause_cpu(&mut self, cpu: u32, ms: u32) -> Verdict {
        if machine::arch() != Arch::X86_64 {
            return Ok(());
        }
        let busy = self.vm.spawn_on(cpu as usize, machine::busy())?;
        let mark = self.vm.mark()?;
        let from = self.vm.uptime()?;
        let frozen = self.vm.freeze_vcpu_in_user_mode(cpu)?;
        let begun = Instant::now();
        thread::sleep(Duration::from_millis(u64::from(ms)));
        if ms > 5500 {
            // After 3.2 s, but this kernel may be slow.
            let rest = secs(20) * machine::slowdown();
            self.vm
                .wait_log_after(mark, &unresponsive(cpu), rest)
                .with_context(|| format!("missed after {:?}", begun.elapsed()))?;
        }
        drop(frozen);
        self.paused(Some(cpu), false, from, ms)?;
        busy.kill()?;
        busy.wait(SOON)?;
        Ok(())
    }

    /// A write that fails changes nothing; what a knob reads as can be written, and reads the same.
    fn knob(&mut self, name: &str, bytes: &[u8]) -> Verdict {
        let path = format!("/proc/sys/vigil/{name}");
        let old = self.vm.knob(name)?;
        let written = self.vm.write(&path, bytes);
        let new = self.vm.knob(name)?;
        match &written {
            Ok(()) => {
                self.vm
                    .set_knob(name, format!("{new}\n"))
                    .with_context(|| format!("{name}: reads '{new}'"))?;
                let again = self.vm.knob(name)?;
                ensure!(again == new, "{name}: '{new}' reads '{again}' once written");
            }
            Err(error) => {
                ensure!(error.errno() == Some(Errno::EINVAL), "{name}: {error}");
                ensure!(
                    new == old,
                    "{name}: '{old}' became '{new}' by a write that failed"
                );
            }
        }
        // An empty list is an empty line.
        self.vm.set_knob(name, format!("{old}\n"))?;
        let restored = self.vm.knob(name)?;
        ensure!(restored == old, "{name}: '{restored}', not '{old}'");
        Ok(())
    }

    fn listeners(&mut self, count: u32, killed: u32, during: &Step) -> Verdict {
        let mut jobs = Vec::new();
        for _ in 0..count {
            jobs.push(self.vm.spawn_on(0, "exec /vm/vigilctl watch --json")?);
        }
        self.vm.sh_on(0, "sleep 0.5")?.ok()?;
        for job in jobs.drain(..(killed as usize).min(jobs.len())) {
            job.kill()?;
        }
        self.listened = true;
        self.take(during)?;
        for job in &jobs {
            if matches!(during, Step::Hung { .. }) {
                job.wait_output("start", SOON)?;
            }
            // After a load it listens to the new family.
            ensure!(!job.ended(), "a listener ended: {}", job.output());
            job.kill()?;
            job.wait(SOON)?;
        }
        self.listened = false;
        Ok(())
    }
}

/// Steps that were taken, by what they are.
#[derive(Default)]
struct Done {
    steps: u32,
    kinds: BTreeMap<&'static str, u32>,
}

/// Takes these steps of a seed in a guest of their own, for as long as `until` allows.
fn steps(
    cx: &Cx,
    seed: u64,
    numbers: RangeInclusive<u32>,
    until: Option<Instant>,
    done: &mut Done,
) -> Result<(), (u32, anyhow::Error)> {
    let first = *numbers.start();
    let mut run = Run::start(cx).map_err(|error| (first, error))?;
    for number in numbers {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let step = Step::draw(seed, number);
        println!("random: step {number}: {step}");
        run.step(&step).map_err(|error| (number, error))?;
        done.steps += 1;
        for part in step.parts() {
            *done.kinds.entry(part.name()).or_default() += 1;
        }
    }
    let end = || -> Verdict {
        run.vm.unload()?;
        nothing_left(&run.vm)
    };
    end().map_err(|error| (first, error.context("at the end")))
}

/// The number in the environment.
fn number(name: &str) -> Option<u64> {
    env::var(name)
        .ok()
        .and_then(|text| text.trim().parse().ok())
}

/// The steps that the environment asks for ("3..17", both ends included).
fn wanted() -> anyhow::Result<Option<RangeInclusive<u32>>> {
    let text = env::var(STEPS).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.split_once("..").and_then(|(first, last)| {
        Some(first.trim().parse().ok()?..=last.trim_start_matches('=').trim().parse().ok()?)
    });
    Ok(Some(parsed.with_context(|| {
        format!("STEPS={text}: two numbers are wanted, as in 3..17")
    })?))
}

/// The steps that are always the same, of short runs.
const SHORT_SEED: u64 = 1;

/// Random steps for so many minutes, unless the environment says which. A run that fails says how it
/// is replayed, with as few steps as still fail. `is_short`: its steps are the same each time.
pub(super) fn random(cx: &Cx, minutes: f64, is_short: bool) -> Verdict {
    static FAILED: Mutex<Option<String>> = Mutex::new(None);
    let failed = || FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    // No second try: the steps have been tried again already.
    if let Some(text) = failed().clone() {
        bail!(text);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = number(SEED).unwrap_or(match is_short {
        true => SHORT_SEED,
        false => now.as_secs() % 1_000_000,
    });
    let range = wanted()?;
    let until = match range {
        Some(_) => None,
        None => Some(Instant::now() + Duration::from_secs_f64(minutes * 60.0)),
    };
    let range = range.unwrap_or(0..=u32::MAX - 1);
    println!("random: seed {seed}");
    let begun = Instant::now();
    let mut done = Done::default();
    let Err((step, error)) = steps(cx, seed, range.clone(), until, &mut done) else {
        let kinds: Vec<String> = done
            .kinds
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        println!(
            "random: {} steps of seed {seed} in {:.0} s: {}",
            done.steps,
            begun.elapsed().as_secs_f64(),
            kinds.join(", ")
        );
        return Ok(());
    };
    println!("random: step {step} failed: {error:#}");
    let mut shortest = *range.start();
    for before in BEFORE {
        let first = step.saturating_sub(before).max(*range.start());
        println!("random: again with the steps {first} to {step}");
        if steps(cx, seed, first..=step, None, &mut Done::default()).is_err() {
            shortest = first;
            break;
        }
        if first == *range.start() {
            break;
        }
    }
    let text = format!(
        "step {step} of seed {seed} ({}): {error:#}\nreplay: make soak SEED={seed} STEPS={shortest}..{step}",
        Step::draw(seed, step)
    );
    *failed() = Some(text.clone());
    bail!(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_the_same_each_time_and_all_kinds_come() {
        let draw = |seed, number| Step::draw(seed, number);
        assert_eq!(draw(7, 3), draw(7, 3));
        assert_ne!(
            (0..20).map(|number| draw(1, number)).collect::<Vec<_>>(),
            (0..20).map(|number| draw(2, number)).collect::<Vec<_>>()
        );
        let mut kinds = BTreeMap::<_, u32>::new();
        for number in 0..500 {
            let step = draw(1, number);
            assert!(!step.to_string().contains('\n'));
            for part in step.parts() {
                *kinds.entry(part.name()).or_default() += 1;
            }
        }
        assert_eq!(kinds.len(), 11, "{kinds:?}");
    }
}
