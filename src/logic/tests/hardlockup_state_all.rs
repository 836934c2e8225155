// SPDX-License-Identifier: GPL-2.0

//! The hard-lockup state word of one CPU, and the count of pending perf hits, in all interleavings
//! of that CPU and two others that check it.
//!
//! The stuck CPU takes timer interrupts and perf NMIs, which interrupt those; the other two run
//! `report_pending_hits()` and `check_next_cpus()`, over and over, in any order. What is decided is
//! decided by the code under test ([`buddy::check`], [`State`]); what is restated here is the order
//! of the atomic accesses in `src/detect/hardlockup`: one [`Timer`], [`Nmi`] or [`Pc`] each, but
//! that the loads of `observe()` are one. Accesses are taken to be sequentially consistent.
//!
//! Of each lockup, which is what lies between two recoveries:
//!
//! - It is reported once as a hard lockup, by whomever, and the state is `Reported` just then. What
//!   was found by perf, and reported by nobody, is reported as over.
//! - Where no perf NMI comes, none that an NMI has confirmed is reported if it was shorter than the
//!   threshold; unless a CPU that sends the NMI is stopped for two seconds while it does.
//! - A CPU that stays stuck is reported: by any one CPU that checks it, wherever the other one has
//!   stopped; and by its own perf NMI alone, wherever all others have. That may be as a CPU that
//!   does not run, where NMIs are acknowledged late or not at all, or the other CPU has stopped
//!   after it changed the state and before it sent the NMI.
//! - A CPU that has answered an NMI at once is not left in `NmiSent`: it would seem to have been stopped when
//!   it recovers (`CpuWatchdog::paused_ns()`). One that was reported not to run does seem so, unless it
//!   was found stuck since, or is checked from the start.
//! - That a CPU which was reported not to run has recovered is said. (Not if its perf NMI found it stuck
//!   since, and `scx_hardlockup()` then has it given time, or it is the initiator of a panic by then.)
//! - The count of pending hits is right when nobody is in the middle of a step, is not 0 while a
//!   hit can be seen, and does not wrap.
//!
//! A CPU that ends a lockup while another one is about to report it is reported all the same, if no
//! NMI can be sent to it: it is `Healthy` again as it was before, and nobody can tell.
//!
//! Left out: the count of NMIs taken (whether the CPU acknowledges is given by [`Answer`]),
//! touches, `reset()` when a CPU comes online, the panic, and heartbeats that are renewed without
//! `recover()`, as in a report (`Reporting`).

mod enumerate;

use enumerate::enumerate;
use vigil_logic::{
    hardlockup::{
        buddy::{
            self,
            Action,
            Observation,
            MAX_LATE_ACKS,
            NMI_ACK_TIMEOUT_NS, //
        },
        state::State, //
    },
    sample_period::sample_period,
    NSEC_PER_SEC, //
};

const THRESH: u64 = 10;

/// The first time at which an NMI can have been sent. Only whether times differ matters: the
/// next one is the first that nobody remembers.
const FIRST: u64 = 100 * NSEC_PER_SEC;

/// What the word of an NMI that was sent again has beside the time.
const AGAIN: u64 = State::NmiSentAgain(0).pack();

/// What becomes of an NMI that is sent to the stuck CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Acknowledged while the sender spins.
    AtOnce,
    /// Acknowledged later.
    Late,
    /// Not acknowledged.
    Never { has_hypervisor: bool },
    /// None can be sent.
    CannotSend,
}

/// How long ago, for [`buddy::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Age {
    /// Within the grace.
    Recent,
    /// Within the threshold.
    Late,
    /// Longer.
    Over,
}

impl Age {
    fn ns(self) -> u64 {
        let period = sample_period(THRESH);
        match self {
            Self::Recent => period,
            Self::Late => 2 * period,
            Self::Over => 4 * period,
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Recent => Self::Late,
            Self::Late | Self::Over => Self::Over,
        }
    }
}

/// Who makes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The timer interrupt of the stuck CPU, which then is not stuck.
    Timer,
    /// The perf NMI of the stuck CPU.
    Nmi,
    /// Another CPU.
    Checker(usize),
    Time,
}

/// What comes next in `CpuWatchdog::timer_fn()` of the stuck CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Timer {
    Idle,
    /// `hrtimer_ts.store()`
    Heartbeat,
    /// `recover()`: the exchange.
    Recover,
    /// `recover()`: the hit that it took is counted off.
    CountOff,
}

/// What comes next in `NmiWatchdog::hit()`. The state that it has loaded is beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Nmi {
    Idle,
    /// `state()`
    Load,
    /// `transition()` to `PerfHit`: `fetch_add()`.
    Count,
    /// `transition()` to `PerfHit`: `cmpxchg()`.
    Hit,
    /// `claim_report()` in `report_in_nmi()`.
    Claim,
    /// `give_time()` in `report_in_nmi()`: `cmpxchg()` to `start_over()`.
    StartOver,
    /// `transition()`: `fetch_sub()`.
    CountOff,
}

/// What comes next in the timer interrupt of a CPU that checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pc {
    Idle,
    /// `report_pending_hits()`: `state()`.
    LoadHit,
    /// `check_cpu()`: `state()`.
    LoadState,
    /// `check_cpu()`: `observe()`.
    Observe,
    /// `check_cpu()`: `transition()` to `NmiSent`.
    Sent,
    /// `check_cpu()`: `hrtimer_ts.load()`, for the second time.
    Reload,
    /// `check_cpu()`: `transition()` back to the state that it has loaded.
    Restore,
    /// `check_cpu()`: `late_acks.store()`.
    StoreLateAcks,
    /// `send_nmi()`: `nmi_sent_ts.store()`, and the NMI.
    Send,
    /// `send_nmi()`: `observe()`.
    Spin,
    /// `recovers_within()`.
    Recheck,
    /// `report_hardlockup()`, up to the first change.
    Report,
    /// `claim_report()`: `cmpxchg()`.
    Claim,
    /// `give_time()`, or the target is the initiator of a panic: `cmpxchg()` to `start_over()`.
    StartOver,
    /// `report_unresponsive()`: `cmpxchg()`.
    Unresponsive,
    /// `transition()`: `fetch_sub()`.
    CountOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Checker {
    pc: Pc,
    /// The state that it has loaded.
    state: u64,
    /// When its check began; 0: it is at none.
    now: u64,
    /// What it is going to store in `late_acks`.
    late_acks: u8,
    /// Whether the heartbeat has changed since it was loaded.
    has_moved: bool,
}

impl Checker {
    /// The state that it has loaded, or has made of that by sending an NMI.
    fn word(&self) -> u64 {
        match self.pc {
            Pc::Reload | Pc::Restore => State::nmi_sent(self.now, State::unpack(self.state)).pack(),
            _ => self.state,
        }
    }
}

const IDLE: Checker = Checker {
    pc: Pc::Idle,
    state: 0,
    now: 0,
    late_acks: 0,
    has_moved: false,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    /// `CpuHardlockup::state`
    word: u64,
    /// `PendingHits`
    pending: i8,
    nmi_sent_ts: u64,
    late_acks: u8,
    /// Of the last timer interrupt.
    age: Age,
    /// Which times are before that: bit n for `FIRST + n`.
    is_void: u8,
    /// Which times are before the one that the timer interrupt has read, and not stored yet.
    before_timer: u8,
    /// Whether the last perf NMI has seen the present heartbeat.
    is_seen: bool,
    timer: Timer,
    nmi: Nmi,
    nmi_state: u64,
    checkers: [Checker; 2],
    /// Whether the last timer interrupt was longer ago than the threshold since the last recovery.
    /// Or as good as that: see [`Pc::Observe`].
    was_over: bool,
    /// Hard lockups reported since the last recovery.
    reports: u8,
    /// Whether it was reported not to run since the last recovery.
    did_not_run: bool,
    /// The same, but that it was not found stuck since, nor is checked from the start.
    seems_stopped: bool,
    wrong: Option<&'static str>,
}

impl World {
    fn new() -> Self {
        Self {
            word: State::Healthy.pack(),
            pending: 0,
            nmi_sent_ts: 0,
            late_acks: 0,
            age: Age::Recent,
            is_void: 0,
            before_timer: 0,
            is_seen: false,
            timer: Timer::Idle,
            nmi: Nmi::Idle,
            nmi_state: 0,
            checkers: [IDLE; 2],
            was_over: false,
            reports: 0,
            did_not_run: false,
            seems_stopped: false,
            wrong: None,
        }
    }

    fn state(&self) -> State {
        State::unpack(self.word)
    }

    /// The words that may be times, those first that all CPUs see.
    fn times(&mut self) -> [&mut u64; 7] {
        let [a, b] = &mut self.checkers;
        [
            &mut self.word,
            &mut self.nmi_sent_ts,
            &mut self.nmi_state,
            &mut a.state,
            &mut a.now,
            &mut b.state,
            &mut b.now,
        ]
    }

    /// Numbers the times in the order in which they are found, and forgets what can make no
    /// difference any more, so that what is the same state is found to be.
    fn normalize(mut self) -> Self {
        for checker in &mut self.checkers {
            match checker.pc {
                Pc::Idle | Pc::LoadHit | Pc::CountOff => {
                    *checker = Checker {
                        pc: checker.pc,
                        ..IDLE
                    }
                }
                Pc::LoadState | Pc::Observe | Pc::Sent | Pc::Reload => (),
                Pc::Restore | Pc::StoreLateAcks | Pc::Send => (),
                _ => checker.now = 0,
            }
            match checker.pc {
                Pc::Sent | Pc::Reload | Pc::StoreLateAcks => (),
                _ => checker.late_acks = 0,
            }
            match checker.pc {
                Pc::LoadState | Pc::Report | Pc::Claim => checker.has_moved = false,
                Pc::Restore | Pc::StartOver | Pc::Unresponsive => checker.has_moved = false,
                _ => (),
            }
        }
        if matches!(self.nmi, Nmi::Idle | Nmi::Load | Nmi::CountOff) {
            self.nmi_state = 0;
        }
        // Nobody compares anything with it.
        let sent = self.nmi_sent_ts;
        let is_sent = |time: &&&mut u64| ***time & !AGAIN == sent;
        if self.times().iter().filter(is_sent).count() == 1 {
            self.nmi_sent_ts = 0;
        }
        let (is_void, before_timer) = (self.is_void, self.before_timer);
        let (mut old, mut count) = ([0; 8], 0);
        let (mut since, mut timer) = (0, 0);
        for time in self.times() {
            let (at, again) = (*time & !AGAIN, *time & AGAIN);
            if at < FIRST {
                continue;
            }
            let known = old[..count].iter().position(|old| *old == at);
            let n = known.unwrap_or_else(|| {
                let bit = at - FIRST;
                since |= (is_void >> bit & 1) << count;
                timer |= (before_timer >> bit & 1) << count;
                old[count] = at;
                count += 1;
                count - 1
            });
            *time = (FIRST + n as u64) | again;
        }
        (self.is_void, self.before_timer) = (since, timer);
        self
    }

    /// The stuck CPU has always taken no timer interrupt for long.
    fn forget_time(&mut self) {
        (self.age, self.was_over) = (Age::Over, true);
        (self.is_void, self.before_timer) = (0, 0);
        for checker in &mut self.checkers {
            checker.has_moved = false;
        }
    }

    /// A time that nobody remembers.
    fn now(&mut self) -> u64 {
        let times = self.times().map(|time| *time & !AGAIN);
        let now = (FIRST..).find(|now| !times.contains(now)).unwrap();
        let bit = 1 << (now - FIRST);
        self.is_void &= !bit;
        self.before_timer &= !bit;
        now
    }

    /// The `cmpxchg()` of `transition()`. Returns whether it did.
    fn transition(&mut self, old: u64, new: State) -> bool {
        if self.word != old {
            return false;
        }
        self.word = new.pack();
        match new {
            State::Reported => {
                self.reports += 1;
                self.seems_stopped = false;
            }
            State::Unresponsive => (self.did_not_run, self.seems_stopped) = (true, true),
            State::PerfHit => self.seems_stopped = false,
            State::Healthy if State::unpack(old) == State::PerfHit => self.did_not_run = false,
            _ => (),
        }
        true
    }

    /// `observe()`
    fn observe(&self, answer: Answer, state: u64, spinning: bool, timed_out: bool) -> Observation {
        let state = State::unpack(state);
        // At 0 it is void whenever the last timer interrupt was.
        let sent = state.nmi_sent_at().filter(|at| *at != 0);
        let is_stored = sent.is_none_or(|at| at == self.nmi_sent_ts);
        let answers = match answer {
            Answer::AtOnce => true,
            Answer::Late => !spinning,
            Answer::Never { .. } | Answer::CannotSend => false,
        };
        let now = match sent {
            Some(at) if self.is_void >> (at - FIRST) & 1 != 0 => at + 1 + self.age.ns(),
            Some(at) if timed_out => at + NMI_ACK_TIMEOUT_NS,
            Some(at) => at + NSEC_PER_SEC,
            None => FIRST,
        };
        Observation {
            now,
            hrtimer_ts: now - self.age.ns(),
            counts_from: 0,
            nmi_acked: is_stored && answers,
            spinning,
            late_acks: self.late_acks.into(),
            can_send_nmi: answer != Answer::CannotSend,
            has_hypervisor: answer
                != Answer::Never {
                    has_hypervisor: false,
                },
        }
    }
}

/// What follows a `cmpxchg()` of `transition()`: the hit that was taken is counted off.
fn takes_hit(changed: bool, old: u64) -> bool {
    changed && State::unpack(old) == State::PerfHit
}

/// The timer interrupt of the stuck CPU.
fn timer_step(world: &World) -> World {
    let mut next = *world;
    next.timer = match world.timer {
        Timer::Idle => {
            // `now = monotonic()`
            next.before_timer = u8::MAX;
            Timer::Heartbeat
        }
        Timer::Heartbeat => {
            next.age = Age::Recent;
            next.is_void |= next.before_timer;
            next.before_timer = 0;
            next.is_seen = false;
            for checker in &mut next.checkers {
                checker.has_moved = true;
            }
            Timer::Recover
        }
        Timer::Recover => {
            // From `PerfHit`, `report_over()` gives the one report.
            if world.state() == State::PerfHit && world.reports != 0 {
                next.wrong = Some("a lockup that was reported is reported as over");
            }
            // `print_recovery()`
            if world.did_not_run && matches!(world.state(), State::Healthy | State::NmiSent(_)) {
                next.wrong = Some("that a CPU runs again is not said");
            }
            // `paused_ns()`
            if world.seems_stopped && !world.state().nmi_unacked() {
                next.wrong = Some("a CPU that did not run does not seem to have been stopped");
            }
            (next.did_not_run, next.seems_stopped) = (false, false);
            next.word = State::Healthy.pack();
            next.reports = 0;
            next.was_over = world.age == Age::Over;
            if world.state() == State::PerfHit {
                Timer::CountOff
            } else {
                Timer::Idle
            }
        }
        Timer::CountOff => {
            next.pending -= 1;
            Timer::Idle
        }
    };
    next
}

/// The perf NMI of the stuck CPU.
fn nmi_step(world: &World, mut add: impl FnMut(World)) {
    let mut next = *world;
    let mut go = |next: World, nmi| add(World { nmi, ..next });
    let old = world.nmi_state;
    match world.nmi {
        Nmi::Idle => {
            next.is_seen = true;
            go(next, if world.is_seen { Nmi::Load } else { Nmi::Idle });
        }
        Nmi::Load => {
            next.nmi_state = world.word;
            match world.state() {
                // `ask_policy_again_in_nmi()`
                State::Reported => go(next, Nmi::Idle),
                state => {
                    // A panic is wanted, no other CPU is alive, or this is the second hit.
                    go(next, Nmi::Claim);
                    go(next, Nmi::StartOver);
                    // Not while another CPU gives a report.
                    let is_hit = state == State::PerfHit;
                    go(next, if is_hit { Nmi::Idle } else { Nmi::Count });
                }
            }
        }
        Nmi::Count => {
            next.pending += 1;
            go(next, Nmi::Hit);
        }
        Nmi::Hit => {
            let changed = next.transition(old, State::PerfHit);
            go(next, if changed { Nmi::Idle } else { Nmi::CountOff });
        }
        Nmi::Claim | Nmi::StartOver => {
            let new = match world.nmi {
                Nmi::Claim => State::Reported,
                _ => State::unpack(old).start_over(),
            };
            let changed = next.transition(old, new);
            next.seems_stopped &= !changed;
            let counts = takes_hit(changed, old);
            go(next, if counts { Nmi::CountOff } else { Nmi::Idle });
        }
        Nmi::CountOff => {
            next.pending -= 1;
            go(next, Nmi::Idle);
        }
    }
}

/// The timer interrupt of a CPU that checks.
fn checker_step(world: &World, n: usize, perf: bool, answer: Answer, mut add: impl FnMut(World)) {
    let me = world.checkers[n];
    let mut next = *world;
    let mut go = |mut next: World, pc| {
        next.checkers[n].pc = pc;
        add(next);
    };
    let check = |state, seen: &Observation| {
        let threshold = buddy::threshold(THRESH);
        buddy::check(State::unpack(state), seen, sample_period(THRESH), threshold)
    };
    // What follows in check_cpu() and check_next_cpus().
    let act = |action| match action {
        Action::ReportHardlockup | Action::ReportUnconfirmed => Pc::Recheck,
        Action::ReportNoAnswer => Pc::Report,
        Action::ReportUnresponsive => Pc::Unresponsive,
        Action::SendNmi => Pc::Sent,
        Action::Healthy | Action::CheckAt(_) | Action::AlreadyReported => Pc::Idle,
    };
    match me.pc {
        Pc::Idle => {
            // `any()`
            if world.pending != 0 {
                go(next, Pc::LoadHit);
            }
            next.checkers[n].now = next.now();
            go(next, Pc::LoadState);
        }
        Pc::LoadHit => {
            next.checkers[n].state = world.word;
            let is_hit = world.state() == State::PerfHit;
            go(next, if is_hit { Pc::Report } else { Pc::Idle });
        }
        Pc::LoadState => {
            next.checkers[n].state = world.word;
            go(next, Pc::Observe);
        }
        Pc::Observe => {
            for timed_out in [false, true] {
                let seen = world.observe(answer, me.state, false, timed_out);
                let state = State::unpack(me.state);
                let late_acks = seen.late_acks_so_far(state).min(MAX_LATE_ACKS + 1);
                next.checkers[n].late_acks = late_acks as u8;
                next.checkers[n].has_moved = false;
                let is_sending = |checker: &Checker| {
                    matches!(
                        checker.pc,
                        Pc::Reload | Pc::Restore | Pc::StoreLateAcks | Pc::Send
                    ) && checker.word() == me.state
                };
                if timed_out && world.checkers.iter().any(is_sending) {
                    // A CPU that has been stopped in the middle for two seconds is an excuse.
                    next.was_over = true;
                }
                go(next, act(check(me.state, &seen)));
            }
        }
        Pc::Sent => {
            // What came out could not be reported now.
            go(next, Pc::Idle);
            let sent = State::nmi_sent(me.now, State::unpack(me.state));
            if next.transition(me.state, sent) {
                if perf {
                    next.checkers[n].state = next.word;
                    (next.late_acks, next.nmi_sent_ts) = (me.late_acks, me.now);
                }
                go(next, if perf { Pc::Spin } else { Pc::Reload });
            }
        }
        Pc::Reload if me.has_moved => go(next, Pc::Restore),
        Pc::Reload => {
            next.checkers[n].state = me.word();
            go(next, Pc::StoreLateAcks);
        }
        Pc::Restore => {
            next.transition(me.word(), State::unpack(me.state));
            go(next, Pc::Idle);
        }
        Pc::StoreLateAcks => {
            next.late_acks = me.late_acks;
            go(next, Pc::Send);
        }
        Pc::Send => {
            next.nmi_sent_ts = me.now;
            go(next, Pc::Spin);
        }
        Pc::Spin => {
            let seen = world.observe(answer, me.state, true, false);
            go(
                next,
                match act(check(me.state, &seen)) {
                    // At the next check.
                    Pc::Sent => Pc::Idle,
                    pc => pc,
                },
            );
        }
        Pc::Recheck => {
            go(next, if me.has_moved { Pc::Idle } else { Pc::Report });
        }
        Pc::Report => {
            // Another CPU gives a report: later, and then from the start.
            let is_sent = State::unpack(me.state).nmi_sent_at().is_some();
            go(next, if is_sent { Pc::StartOver } else { Pc::Idle });
            // The target is the initiator of a panic, or `scx_hardlockup()` has it given time.
            go(next, Pc::StartOver);
            go(next, Pc::Claim);
        }
        Pc::Claim | Pc::StartOver | Pc::Unresponsive => {
            let new = match me.pc {
                Pc::Claim => State::Reported,
                Pc::StartOver => State::unpack(me.state).start_over(),
                _ => State::Unresponsive,
            };
            let changed = next.transition(me.state, new);
            if me.pc == Pc::StartOver {
                next.seems_stopped &= !changed;
            }
            // Not `Healthy`, which may be that of the lockup before.
            let is_sent = State::unpack(me.state).nmi_sent_at().is_some();
            if changed && new == State::Reported && is_sent && !world.was_over {
                next.wrong = Some("reported before the threshold");
            }
            let counts = takes_hit(changed, me.state);
            go(next, if counts { Pc::CountOff } else { Pc::Idle });
        }
        Pc::CountOff => {
            next.pending -= 1;
            go(next, Pc::Idle);
        }
    }
}

/// All that can happen next.
fn steps(world: &World, perf: bool, answer: Answer, all: &mut Vec<(By, World)>) {
    if world.wrong.is_some() {
        return;
    }
    let mut add = |by, mut next: World| {
        if perf {
            next.forget_time();
        }
        all.push((by, next.normalize()));
    };
    if world.nmi == Nmi::Idle {
        add(By::Timer, timer_step(world));
    }
    if perf {
        nmi_step(world, |next| add(By::Nmi, next));
    }
    for n in 0..world.checkers.len() {
        checker_step(world, n, perf, answer, |next| add(By::Checker(n), next));
    }
    if world.age != Age::Over {
        let age = world.age.next();
        let older = World {
            age,
            was_over: world.was_over || age == Age::Over,
            ..*world
        };
        add(By::Time, older);
    }
}

/// What holds in each state.
fn check(world: &World, answer: Answer) -> Result<(), &'static str> {
    // Of its NMI, and unless the sender was stopped over a whole timer interrupt: the next check sees to
    // these.
    let is_sent = world.state().nmi_sent_at().is_some_and(|at| {
        at != 0 && at == world.nmi_sent_ts && world.is_void >> (at - FIRST) & 1 == 0
    });
    let is_at_it = |checker: &Checker| checker.pc != Pc::Idle && checker.word() == world.word;
    let is_left_sent = answer == Answer::AtOnce
        && is_sent
        && world.timer == Timer::Idle
        && !world.checkers.iter().any(is_at_it);
    let is_hit = world.state() == State::PerfHit;
    let is_reported = world.state() == State::Reported;
    let is_idle = (world.timer, world.nmi) == (Timer::Idle, Nmi::Idle)
        && world.checkers.iter().all(|checker| checker.pc == Pc::Idle);
    match world {
        World {
            wrong: Some(wrong), ..
        } => Err(wrong),
        _ if State::unpack(world.word).pack() != world.word => Err("the word is another state"),
        _ if world.reports > 1 => Err("a lockup is reported twice"),
        _ if is_reported != (world.reports == 1) => Err("the state is not what was reported"),
        _ if world.pending < 0 => Err("the count of hits has wrapped"),
        _ if is_hit && world.pending == 0 => Err("a hit can be seen that is not counted"),
        _ if is_idle && world.pending != i8::from(is_hit) => Err("the count of hits is wrong"),
        _ if is_left_sent => Err("a CPU that has answered seems to have been stopped"),
        _ => Ok(()),
    }
}

/// `floor`: there are a few more states than that, of all tests together 1 961 896.
fn enumerate_all(perf: bool, answer: Answer, floor: usize) {
    let all = |world: &World, all: &mut Vec<_>| steps(world, perf, answer, all);
    let graph = enumerate(World::new(), all, |world| check(world, answer));
    let is_due = |_: &World| true;
    let is_reported = |world: &World| world.state() == State::Reported;
    let is_any_reported =
        |world: &World| matches!(world.state(), State::Reported | State::Unresponsive);
    // The stuck CPU stays stuck, wherever it is, and the other CPU stops, wherever it is.
    graph.check_leads_to(
        "a CPU that checks does not report it",
        is_due,
        is_any_reported,
        |by| matches!(by, By::Checker(0) | By::Time),
    );
    if perf {
        let by_nmi = |by| by == By::Nmi;
        graph.check_leads_to("its NMI does not report it", is_due, is_reported, by_nmi);
    }
    assert!(graph.states.len() > floor, "{}", graph.states.len());
}

#[test]
#[cfg_attr(miri, ignore)]
fn one_report_if_the_nmi_is_acknowledged_at_once() {
    enumerate_all(false, Answer::AtOnce, 809_000);
}

#[test]
#[cfg_attr(miri, ignore)]
fn one_report_if_the_nmi_is_acknowledged_late() {
    enumerate_all(false, Answer::Late, 878_000);
}

#[test]
#[cfg_attr(miri, ignore)]
fn one_report_if_no_nmi_is_acknowledged() {
    let has_hypervisor = true;
    enumerate_all(false, Answer::Never { has_hypervisor }, 43_000);
    let has_hypervisor = false;
    enumerate_all(false, Answer::Never { has_hypervisor }, 58_000);
    enumerate_all(false, Answer::CannotSend, 3_700);
}

/// With perf, time does not count: the CPU always seems to be stuck. And how an NMI is sent is one
/// step.
#[test]
#[cfg_attr(miri, ignore)]
fn one_report_of_perf_and_buddy() {
    enumerate_all(true, Answer::AtOnce, 167_000);
}
