// SPDX-License-Identifier: GPL-2.0

//! The panic request in all interleavings of two CPUs and a writer of knobs.
//!
//! Each CPU gives reports, which may request a panic, and polls, in its timer interrupt and in an
//! NMI; the writer changes the panic knob and cancels the request. Whether a deadline has passed is
//! open at each poll. What is decided is decided by the code under test; what is restated here is
//! the order of the atomic accesses in `src/panic.rs`, one [`Pc`] each. Accesses are taken to be
//! sequentially consistent.
//!
//! # What is promised
//!
//! `execute()` looks whether the request stands, and then whether the knob still wants it. A
//! request that was cancelled before the one look, or is not wanted at the other, is not carried
//! out. A CPU that is past both panics, whatever is cancelled then. Two CPUs may be past both at
//! once, even for two requests: `panic()` of the kernel lets the first one through.
//!
//! A request that stands and is wanted is carried out by any one CPU, wherever the other CPU, the
//! initiator or not, has stopped. But one that is not wanted for a moment may be cancelled by a CPU
//! that has read the knob then, though it is wanted again.
//!
//! A CPU takes one request for another if 256 of the same initiator and cause are made between two
//! of its accesses: see [`a_request_differs_from_255_others`].
//!
//! Left out: `panic_needs_kdump`, the console's log level, the thread for hung tasks (which polls
//! as a CPU does), what `*_sys_info` shows, and panics of others.

mod enumerate;

use enumerate::enumerate;
use std::cell::RefCell;
use vigil_logic::{
    panic::{
        policy,
        Cause,
        Initiator,
        NextStep,
        PanicRequest,
        Phase,
        Policy,
        STEP_NS,
        SYS_INFO_NS,
        TAKE_OVER_NS, //
    },
    NSEC_PER_SEC, //
};

/// When everything happens; only deadlines pass.
const NOW: u64 = 1000 * NSEC_PER_SEC;

/// The generation of the first request: the low 8 bits are 0 in the second.
const FIRST_GENERATION: u32 = 255;

/// How many requests are tried: an old one and a new one.
const REQUESTS: u8 = 2;

/// How often the knob is written.
const WRITES: u8 = 2;

/// Who makes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Cpu(usize),
    /// A CPU that finds the other one not to run, or takes the NMI of its counter: that nobody may
    /// rely on.
    Chance,
    Writer,
}

/// What comes next on a CPU, or in the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pc {
    Idle,
    /// `decide()`: `policy()`.
    Decide,
    /// `make_request()`: `current()`.
    MakeLoad,
    /// `make_request()`: `is_wanted()`.
    MakeIsWanted,
    /// `make_request()`: `generation.fetch_add()`.
    MakeGeneration,
    /// `make_request()`: `cmpxchg()`.
    Make,
    /// The report, and `end_report()`.
    Report,
    /// `replace()`: `load()`.
    ReplaceLoad(After),
    /// `replace()`: `cmpxchg()`.
    Replace(After),
    /// `poll_request()`: `current()`.
    Poll,
    /// `poll_request()`: `is_wanted()`.
    PollIsWanted,
    /// `poll_in_nmi()`: `current()`.
    PollInNmi,
    /// `take_over_from()`: `current()`.
    TakeOver,
    /// `execute()` or `execute_in_nmi()`: `stands()`.
    Execute,
    /// `execute()` or `execute_in_nmi()`: `policy()`.
    ExecutePolicy,
    /// `panic()`
    Panic,
    /// `cancel_cpu_request()`: `current()`.
    CancelCpuRequest,
}

/// What follows `replace()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum After {
    /// `cancel()` in `poll_request()`, `execute()`, or `cancel_cpu_request()`.
    Idle,
    /// `cancel()` in `make_request()`.
    MakeGeneration,
    /// `begin_step()`
    Report,
    /// `begin_delay()`, or the end of the report.
    Poll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cpu {
    pc: Pc,
    /// The request that it acts upon.
    request: Option<Known>,
    /// `replace()`: the old word and the new one.
    old: u64,
    new: u64,
}

const IDLE: Cpu = Cpu {
    pc: Pc::Idle,
    request: None,
    old: 0,
    new: 0,
};

/// A request, and which one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Known {
    word: u64,
    number: u8,
}

impl Known {
    fn get(self) -> PanicRequest {
        PanicRequest::unpack(self.word).unwrap()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    /// `PanicControl::request`
    word: u64,
    /// Which request that is.
    number: u8,
    /// `PanicControl::generation`, less the first.
    generation: u8,
    /// The panic knob.
    is_wanted: bool,
    /// The two CPUs and the writer.
    cpus: [Cpu; 3],
    /// How often the writer is still going to write.
    writes: u8,
    /// Whether it is still going to cancel.
    may_cancel: bool,
    /// Which requests were cancelled.
    cancelled: u8,
    /// A CPU is in `panic()`.
    has_panicked: bool,
    wrong: Option<&'static str>,
}

const WRITER: usize = 2;

impl World {
    fn new() -> Self {
        Self {
            word: 0,
            number: 0,
            generation: 0,
            is_wanted: true,
            cpus: [IDLE; 3],
            writes: WRITES,
            may_cancel: true,
            cancelled: 0,
            has_panicked: false,
            wrong: None,
        }
    }

    /// `current()`
    fn current(&self) -> Option<Known> {
        PanicRequest::unpack(self.word).map(|_| Known {
            word: self.word,
            number: self.number,
        })
    }

    /// `policy()`, or `is_wanted()`.
    fn is_wanted(&self) -> bool {
        let limit = u64::from(self.is_wanted);
        policy(limit, u64::MAX, true, false, false) != Policy::NotWanted
    }

    fn is_cancelled(&self, request: Known) -> bool {
        self.cancelled >> request.number & 1 != 0
    }

    /// What `replace()` finds in the word: whether the request stands.
    fn stands(&self, request: Known) -> bool {
        PanicRequest::unpack(self.word).is_some_and(|now| now.is_same(&request.get()))
    }
}

/// A step of a CPU or of the writer.
fn step(world: &World, n: usize, add: impl Fn(World)) {
    let me = world.cpus[n];
    let go = |mut next: World, pc, request| {
        next.cpus[n] = Cpu {
            pc,
            request,
            ..IDLE
        };
        add(next);
    };
    let request = me.request;
    let initiator = Initiator::Cpu(n as u32);
    match me.pc {
        Pc::Idle if n == WRITER => {
            if world.writes != 0 {
                let mut next = *world;
                next.writes -= 1;
                next.is_wanted = !world.is_wanted;
                go(next, Pc::Idle, None);
            }
            if world.may_cancel {
                let mut next = *world;
                next.may_cancel = false;
                go(next, Pc::CancelCpuRequest, None);
            }
        }
        Pc::Idle => {
            go(*world, Pc::Decide, None);
            go(*world, Pc::Poll, None);
            go(*world, Pc::PollInNmi, None);
            go(*world, Pc::TakeOver, None);
        }
        Pc::Decide => {
            let pc = if world.is_wanted() {
                Pc::MakeLoad
            } else {
                Pc::Idle
            };
            go(*world, pc, None);
        }
        Pc::MakeLoad => match world.current() {
            None => go(*world, Pc::MakeGeneration, None),
            request => go(*world, Pc::MakeIsWanted, request),
        },
        Pc::MakeIsWanted if world.is_wanted() => go(*world, Pc::MakeGeneration, None),
        Pc::MakeIsWanted => go(*world, Pc::ReplaceLoad(After::MakeGeneration), request),
        Pc::MakeGeneration => {
            if world.generation < REQUESTS {
                let mut next = *world;
                next.generation += 1;
                let generation = FIRST_GENERATION + u32::from(world.generation);
                let new = PanicRequest::new(initiator, Cause::HardLockup, generation, NOW);
                let known = Known {
                    word: new.pack(),
                    number: world.generation,
                };
                go(next, Pc::Make, Some(known));
            } else {
                go(*world, Pc::Idle, None);
            }
        }
        Pc::Make if world.word == 0 => {
            let mut next = *world;
            let Known { word, number } = request.unwrap();
            (next.word, next.number) = (word, number);
            go(next, Pc::Report, request);
        }
        Pc::Make => go(*world, Pc::Idle, None),
        Pc::Report => {
            let old = request.unwrap().get();
            let later = NOW + NSEC_PER_SEC;
            let next = [
                // `begin_step()`
                (Phase::Reporting, later, STEP_NS, After::Report),
                // `end_reporting()`
                (Phase::SysInfo, NOW, SYS_INFO_NS, After::Poll),
                (Phase::Delay, NOW, NSEC_PER_SEC, After::Poll),
            ];
            for (phase, now, ns, after) in next {
                let mut world = *world;
                world.cpus[n] = Cpu {
                    pc: Pc::ReplaceLoad(after),
                    new: old.in_phase(phase, now, ns).pack(),
                    ..me
                };
                add(world);
            }
            // `end_report_in_nmi()`
            let mut world = *world;
            world.cpus[n].pc = Pc::Execute;
            add(world);
        }
        Pc::ReplaceLoad(after) | Pc::Replace(after) => {
            let known = request.unwrap();
            let mut next = *world;
            let is_done = matches!(me.pc, Pc::Replace(_)) && world.word == me.old;
            if !is_done && world.stands(known) {
                next.cpus[n].pc = Pc::Replace(after);
                next.cpus[n].old = world.word;
                add(next);
                return;
            }
            if is_done {
                if world.number != known.number {
                    next.wrong = Some("an old request acts upon a new one");
                }
                next.word = me.new;
                if me.new == 0 {
                    next.number = 0;
                    next.cancelled |= 1 << known.number;
                    if world.is_cancelled(known) {
                        next.wrong = Some("a request is cancelled twice");
                    }
                }
            }
            match after {
                After::Idle => go(next, Pc::Idle, None),
                After::MakeGeneration => go(next, Pc::MakeGeneration, None),
                After::Report => go(next, Pc::Report, request),
                After::Poll => go(next, Pc::Poll, None),
            }
        }
        Pc::Poll => match world.current() {
            None => go(*world, Pc::Idle, None),
            request => go(*world, Pc::PollIsWanted, request),
        },
        Pc::PollIsWanted if !world.is_wanted() => {
            go(*world, Pc::ReplaceLoad(After::Idle), request);
        }
        Pc::PollIsWanted => {
            let old = request.unwrap().get();
            for next in next_steps(&old, initiator) {
                match next {
                    NextStep::PollAt(_) => go(*world, Pc::Idle, None),
                    NextStep::Panic => go(*world, Pc::Execute, request),
                    NextStep::BeginDelay => {
                        let mut world = *world;
                        world.cpus[n] = Cpu {
                            pc: Pc::ReplaceLoad(After::Poll),
                            new: old.in_phase(Phase::Delay, NOW, NSEC_PER_SEC).pack(),
                            ..me
                        };
                        add(world);
                    }
                }
            }
        }
        Pc::PollInNmi => match world.current() {
            None => go(*world, Pc::Idle, None),
            request => {
                let old = request.unwrap().get();
                for now in times(&old) {
                    match old.next_for_takeover(now) {
                        NextStep::Panic => go(*world, Pc::Execute, request),
                        _ => go(*world, Pc::Idle, None),
                    }
                }
            }
        },
        Pc::TakeOver => {
            let at_report = |request: &Known| {
                let request = request.get();
                request.initiator != initiator && request.phase == Phase::Reporting
            };
            match world.current().filter(at_report) {
                None => go(*world, Pc::Idle, None),
                request => go(*world, Pc::Execute, request),
            }
        }
        Pc::Execute => {
            let known = request.unwrap();
            let mut next = *world;
            if !world.stands(known) {
                go(next, Pc::Idle, None);
                return;
            }
            if world.is_cancelled(known) {
                next.wrong = Some("a request that was cancelled is carried out");
            }
            go(next, Pc::ExecutePolicy, request);
        }
        Pc::ExecutePolicy if world.is_wanted() => go(*world, Pc::Panic, request),
        Pc::ExecutePolicy => go(*world, Pc::ReplaceLoad(After::Idle), request),
        Pc::Panic => {
            let mut next = *world;
            next.has_panicked = true;
            add(next);
        }
        Pc::CancelCpuRequest => match world.current() {
            None => go(*world, Pc::Idle, None),
            request => go(*world, Pc::ReplaceLoad(After::Idle), request),
        },
    }
}

/// The times that make a difference to a request.
fn times(request: &PanicRequest) -> [u64; 3] {
    let deadline = u64::from(request.deadline) * 1_000_000;
    [NOW, deadline, deadline + TAKE_OVER_NS]
}

/// What `poll_request()` may do, whatever the time.
fn next_steps(request: &PanicRequest, me: Initiator) -> Vec<NextStep> {
    let mut steps = Vec::new();
    for now in times(request) {
        for sys_info_done in [false, true] {
            let next = if request.initiator == me {
                request.next_for_initiator(now, sys_info_done)
            } else {
                request.next_for_takeover(now)
            };
            let kind = std::mem::discriminant(&next);
            if steps
                .iter()
                .all(|step| std::mem::discriminant(step) != kind)
            {
                steps.push(next);
            }
        }
    }
    steps
}

fn steps(world: &World, all: &mut Vec<(By, World)>) {
    if world.wrong.is_some() || world.has_panicked {
        return;
    }
    let all = RefCell::new(all);
    for n in 0..world.cpus.len() {
        step(world, n, |next| {
            let begins = world.cpus[n].pc == Pc::Idle;
            let by = match next.cpus[n].pc {
                _ if n == WRITER => By::Writer,
                Pc::TakeOver | Pc::PollInNmi if begins => By::Chance,
                _ => By::Cpu(n),
            };
            all.borrow_mut().push((by, next));
        });
    }
}

fn check(world: &World) -> Result<(), &'static str> {
    match (world.wrong, world.current()) {
        (Some(wrong), _) => Err(wrong),
        (_, Some(request)) if world.is_cancelled(request) => Err("what was cancelled stands"),
        _ => Ok(()),
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_request_is_carried_out_or_cancelled() {
    let graph = enumerate(World::new(), steps, check);
    let is_due = |world: &World| world.word != 0 && world.is_wanted;
    // Cancelled: by a CPU that has read the knob when that was 0.
    let goal = |world: &World| world.has_panicked || world.word == 0;
    for n in [0, 1] {
        // The other CPU, which may be the initiator, has stopped at whatever step.
        graph.check_leads_to("one CPU does not carry it out", is_due, goal, |by| {
            by == By::Cpu(n)
        });
    }
    // There are 971 639.
    assert!(graph.states.len() > 970_000, "{}", graph.states.len());
    let is_at_panic = |cpu: &&Cpu| cpu.pc == Pc::Panic;
    // What is said above of a CPU that is past its checks.
    assert!(graph.states.iter().any(|world| {
        let mut cpus = world.cpus.iter().filter(is_at_panic);
        cpus.any(|cpu| world.is_cancelled(cpu.request.unwrap()))
    }));
    assert!(graph.states.iter().any(|world| {
        let [a, b, _] = &world.cpus;
        [a, b].iter().all(is_at_panic) && a.request.map(|r| r.number) != b.request.map(|r| r.number)
    }));
}

/// The generation counts modulo 256.
#[test]
fn a_request_differs_from_255_others() {
    let request =
        |generation| PanicRequest::new(Initiator::Cpu(0), Cause::HardLockup, generation, NOW);
    for first in [0, 1, 255, u32::MAX] {
        for later in 1..=256 {
            let later_request = request(u32::wrapping_add(first, later));
            assert_eq!(request(first).is_same(&later_request), later == 256);
        }
    }
}
