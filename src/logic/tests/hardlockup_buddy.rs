// SPDX-License-Identifier: GPL-2.0

//! Hard lockups: each verdict by itself, and a whole machine of CPUs that watch each other.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    hardlockup::buddy::{judge, limit, Look, State, Verdict, AFTERTHOUGHT, AGAIN, ANSWER, LATE},
    softlockup::sample_period,
    NSEC_PER_SEC,
};

const SEC: u64 = NSEC_PER_SEC;
const MS: u64 = SEC / 1000;

const ALL_STATES: [State; 6] = [
    State::Fine,
    State::Asked(0),
    State::Asked(1000 * SEC),
    State::Asked(u64::MAX),
    State::Hard,
    State::Unresponsive,
];

#[test]
fn when_to_ask() {
    assert_eq!((ANSWER, AGAIN, AFTERTHOUGHT), (2 * SEC, 100 * MS, 5 * MS));
    assert_eq!(limit(10), 12 * SEC);
    assert_eq!(limit(1), 1200 * MS);
    assert_eq!(limit(0), 0);
    assert_eq!(limit(u64::MAX), u64::MAX / 5 * 3);
    for thresh in 1..=60 {
        // As many as mainline's buddy misses (`watchdog_hardlockup_miss_thresh`).
        assert_eq!(limit(thresh), 3 * sample_period(thresh));
    }
}

/// With periods of 4 s and a limit of 12 s; the last interrupt was at 1000 s.
fn at(state: State, age: u64, answered: bool, can_ask: bool) -> Verdict {
    at_once(state, age, answered, can_ask, false)
}

/// The same, for the one who has just asked.
fn at_once(state: State, age: u64, answered: bool, can_ask: bool, on_the_spot: bool) -> Verdict {
    let look = Look {
        now: 1000 * SEC + age,
        seen: 1000 * SEC,
        patience: 0,
        answered,
        on_the_spot,
        late: 0,
        can_ask,
    };
    judge(state, &look, 4 * SEC, 12 * SEC)
}

#[test]
fn a_young_stamp_is_fine_in_any_state() {
    for state in ALL_STATES {
        for (answered, can_ask) in [(false, false), (false, true), (true, true)] {
            for age in [0, 1, 4 * SEC, 6 * SEC] {
                assert_eq!(at(state, age, answered, can_ask), Verdict::Fine);
            }
            assert_ne!(at(state, 6 * SEC + 1, answered, can_ask), Verdict::Fine);
        }
    }
}

#[test]
fn asked_at_the_limit_and_not_a_nanosecond_before() {
    for answered in [false, true] {
        for can_ask in [false, true] {
            let fine = |age| at(State::Fine, age, answered, can_ask);
            for age in [6 * SEC + 1, 8 * SEC, 12 * SEC - 1] {
                assert_eq!(fine(age), Verdict::CheckAt(1012 * SEC));
            }
            let expected = if can_ask {
                Verdict::Ask
            } else {
                Verdict::Unconfirmed
            };
            // An answer to something older proves nothing.
            for age in [12 * SEC, 12 * SEC + 1, 1000 * SEC] {
                assert_eq!(fine(age), expected);
            }
        }
    }
}

#[test]
fn what_the_answer_says() {
    let asked = State::Asked(1012 * SEC);
    // At once it proves that the CPU runs; late, that it has run some time since.
    for age in [12 * SEC, 12 * SEC + 1, 14 * SEC, 100 * SEC] {
        assert_eq!(at_once(asked, age, true, true, true), Verdict::HardLockup);
        assert_eq!(at(asked, age, true, true), Verdict::Ask);
    }
    // Looked for again soon, and in time for the last moment.
    for age in [12 * SEC, 12 * SEC + 1, 13 * SEC] {
        let soon = 1000 * SEC + age + AGAIN;
        assert_eq!(at(asked, age, false, true), Verdict::CheckAt(soon));
    }
    assert_eq!(
        at(asked, 14 * SEC - 1, false, true),
        Verdict::CheckAt(1014 * SEC)
    );
    for age in [14 * SEC, 14 * SEC + 1, 100 * SEC] {
        assert_eq!(at(asked, age, false, true), Verdict::Unresponsive);
    }
    // Another watcher's clock may be a moment behind.
    assert_eq!(
        at(asked, 11 * SEC, false, true),
        Verdict::CheckAt(1011 * SEC + AGAIN)
    );
    for age in [6 * SEC + 1, 12 * SEC, 100 * SEC] {
        // Told once.
        for (answered, can_ask) in [(false, false), (false, true), (true, true)] {
            assert_eq!(at(State::Hard, age, answered, can_ask), Verdict::Known);
        }
        let not_run = |answered, can_ask| at(State::Unresponsive, age, answered, can_ask);
        assert_eq!(not_run(false, true), Verdict::Known);
        assert_eq!(not_run(false, false), Verdict::Known);
        // It has run after all, and took no interrupt.
        assert_eq!(not_run(true, true), Verdict::Ask);
    }
}

#[test]
fn late_answers_add_up() {
    let look = |answered, late| Look {
        now: 1013 * SEC,
        seen: 1000 * SEC,
        patience: 0,
        answered,
        on_the_spot: false,
        late,
        can_ask: true,
    };
    let judge = |state, look: &Look| judge(state, look, 4 * SEC, 12 * SEC);
    let asked = State::Asked(1012 * SEC);
    let mut late = 0;
    for _ in 0..LATE {
        assert_eq!(judge(asked, &look(true, late)), Verdict::Ask);
        late = look(true, late).late_so_far(asked);
    }
    assert_eq!(judge(asked, &look(true, late)), Verdict::HardLockup);
    // No answer is no late one.
    assert_eq!(
        judge(asked, &look(false, late)),
        Verdict::CheckAt(1013 * SEC + AGAIN)
    );
    assert_eq!(look(false, 1).late_so_far(asked), 0);
    // One that was said not to run, too.
    let not_run = State::Unresponsive;
    assert_eq!(judge(not_run, &look(true, LATE - 1)), Verdict::Ask);
    assert_eq!(judge(not_run, &look(true, LATE)), Verdict::HardLockup);
    assert_eq!(look(true, 1).late_so_far(not_run), 2);
    // What was before its last timer interrupt does not count.
    for fine in [State::Fine, State::Asked(999 * SEC)] {
        assert_eq!(look(true, u32::MAX).late_so_far(fine), 0);
    }
    assert_eq!(look(true, u32::MAX).late_so_far(asked), u32::MAX);
}

#[test]
fn patience_voids_the_question() {
    // Asked at 12 s, then patience was asked for, at 13 s.
    let asked = State::Asked(1012 * SEC);
    let later = |state, now, answered| {
        let look = Look {
            now: 1000 * SEC + now,
            seen: 1000 * SEC,
            patience: 1013 * SEC,
            answered,
            on_the_spot: false,
            late: 0,
            can_ask: true,
        };
        judge(state, &look, 4 * SEC, 12 * SEC)
    };
    for answered in [false, true] {
        // It takes no interrupt all the same, and the CPU behind it is looked after.
        let again = Verdict::CheckAt(1025 * SEC);
        assert_eq!(later(asked, 13 * SEC, answered), again);
        assert_eq!(later(asked, 19 * SEC + 1, answered), again);
        assert_eq!(later(asked, 25 * SEC - 1, answered), again);
        assert_eq!(later(asked, 25 * SEC, answered), Verdict::Ask);
        // What was told is not told again; nor forgotten, whatever its stack's lines ask for.
        for now in [13, 19, 25] {
            assert_eq!(later(State::Hard, now * SEC, answered), Verdict::Known);
        }
        let not_run = later(State::Unresponsive, 19 * SEC, answered);
        assert_eq!(not_run, Verdict::Known);
    }
    // Asked at the same moment, or after it.
    let asked = State::Asked(1013 * SEC);
    assert_eq!(later(asked, 20 * SEC, true), Verdict::Ask);
    assert_eq!(later(asked, 20 * SEC, false), Verdict::Unresponsive);
}

#[test]
fn extremes() {
    let most = u64::MAX;
    let look = |now, seen| Look {
        now,
        seen,
        patience: 0,
        answered: false,
        on_the_spot: false,
        late: u32::MAX,
        can_ask: true,
    };
    for state in ALL_STATES {
        // A stamp from the future is young.
        assert_eq!(judge(state, &look(0, most), 0, 0), Verdict::Fine);
        assert_eq!(judge(state, &look(5, 5), 0, 0), Verdict::Fine);
        assert_eq!(judge(state, &look(most, 0), most, 0), Verdict::Fine);
        assert_eq!(judge(state, &look(most, 0), most - 1, 0), Verdict::Fine);
    }
    let asked = State::Asked(most);
    assert_eq!(judge(asked, &look(most, 0), 1, 3), Verdict::CheckAt(most));
    assert_eq!(judge(State::Fine, &look(most, 0), 0, most), Verdict::Ask);
    let later = judge(State::Fine, &look(most, most - 9), 1, 12);
    assert_eq!(later, Verdict::CheckAt(most));
    assert_eq!(
        judge(State::Asked(0), &look(most, 0), 1, 3),
        Verdict::Unresponsive
    );
}

/// How a CPU does not do its work for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It spins with interrupts off, and takes NMIs.
    Off,
    /// Its host does not run it.
    Frozen,
    /// Its host does not run it until then; it had interrupts off, and goes on so.
    Thaws(u64),
}

/// A while in which a CPU takes no interrupt.
#[derive(Clone, Copy, Debug)]
struct Stall {
    cpu: usize,
    from: u64,
    to: u64,
    kind: Kind,
}

impl Stall {
    fn long(&self) -> u64 {
        self.to - self.from
    }

    /// What it looks like from outside.
    fn kind(&self, now: u64) -> Kind {
        match self.kind {
            Kind::Thaws(at) if now >= at => Kind::Off,
            Kind::Thaws(_) => Kind::Frozen,
            kind => kind,
        }
    }

    fn holds(&self, now: u64) -> bool {
        (self.from..self.to).contains(&now)
    }
}

#[derive(Clone, Copy, Debug)]
struct Report {
    by: usize,
    on: usize,
    at: u64,
    /// The last interrupt of the CPU that is reported.
    seen: u64,
    /// How often it was asked since.
    asked: u32,
    what: Verdict,
}

/// Earliest next interrupt, as the timer's user has it (`SOONEST` of `detect/lockup.rs`).
const SOONEST: u64 = MS;

/// CPUs that watch each other: what `detect/lockup.rs` does with the verdicts, in one thread.
struct Machine {
    period: u64,
    limit: u64,
    can_ask: bool,
    /// Whether answers come, but none at once.
    slow: bool,
    /// How late interrupts may come.
    jitter: u64,
    random: u64,
    stalls: Vec<Stall>,
    seen: Vec<u64>,
    next: Vec<u64>,
    state: Vec<State>,
    /// Patience with a CPU that was reported: what prints its stack asks for it.
    patience: Vec<u64>,
    late: Vec<u32>,
    /// Questions since a CPU's last interrupt.
    asked: Vec<u32>,
    reports: Vec<Report>,
}

impl Machine {
    fn new(thresh: u64, phases: &[u64], stalls: &[Stall], can_ask: bool, jitter: u64) -> Self {
        let period = sample_period(thresh);
        Self {
            period,
            limit: limit(thresh),
            can_ask,
            slow: false,
            jitter,
            random: 1,
            stalls: stalls.to_vec(),
            seen: phases.to_vec(),
            next: phases.iter().map(|phase| phase + period).collect(),
            state: vec![State::Fine; phases.len()],
            patience: vec![0; phases.len()],
            late: vec![0; phases.len()],
            asked: vec![0; phases.len()],
            reports: Vec::new(),
        }
    }

    fn stall(&self, cpu: usize, now: u64) -> Option<&Stall> {
        let mut stalls = self.stalls.iter();
        stalls.find(|stall| stall.cpu == cpu && stall.holds(now))
    }

    /// When the next interrupt of a CPU comes: not while it is stalled.
    fn comes(&self, cpu: usize) -> u64 {
        let mut at = self.next[cpu];
        while let Some(stall) = self.stall(cpu, at) {
            at = stall.to;
        }
        at
    }

    fn run(mut self, until: u64) -> Vec<Report> {
        loop {
            let all = (0..self.next.len()).map(|cpu| (self.comes(cpu), cpu));
            let (now, cpu) = all.min().expect("a CPU");
            if now > until {
                return self.reports;
            }
            self.interrupt(cpu, now);
        }
    }

    fn interrupt(&mut self, me: usize, now: u64) {
        self.seen[me] = now;
        self.state[me] = State::Fine;
        self.asked[me] = 0;
        let again = self.watch(me, now);
        self.random = self
            .random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1);
        let late = (self.random >> 33) % (self.jitter + 1);
        let next = again.min(now + self.period).max(now + SOONEST);
        self.next[me] = next + late;
    }

    fn look(&self, on: usize, now: u64, on_the_spot: bool) -> Look {
        Look {
            on_the_spot,
            now,
            seen: self.seen[on],
            patience: self.patience[on],
            late: self.late[on],
            // It was asked in this stall: at its end it takes its interrupt, which forgets.
            answered: self.can_ask
                && !(self.slow && on_the_spot)
                && matches!(self.state[on], State::Asked(_) | State::Unresponsive)
                && self
                    .stall(on, now)
                    .is_none_or(|stall| stall.kind(now) == Kind::Off),
            can_ask: self.can_ask,
        }
    }

    fn watch(&mut self, me: usize, now: u64) -> u64 {
        let mut again = u64::MAX;
        let count = self.seen.len();
        for on in (1..count).map(|n| (me + n) % count) {
            let judge = |machine: &Self, on_the_spot| {
                let look = machine.look(on, now, on_the_spot);
                judge(machine.state[on], &look, machine.period, machine.limit)
            };
            let mut verdict = judge(self, false);
            if verdict == Verdict::Ask {
                self.late[on] = self.look(on, now, false).late_so_far(self.state[on]);
                self.state[on] = State::Asked(now);
                self.asked[on] += 1;
                verdict = judge(self, true);
            }
            // One that has come back takes its interrupt any moment, and looks after the next.
            let moment = match verdict {
                Verdict::HardLockup => AFTERTHOUGHT,
                _ => 0,
            };
            if self.comes(on) <= now + moment {
                break;
            }
            match verdict {
                Verdict::Fine => break,
                Verdict::CheckAt(at) => {
                    assert!(at > now, "later is not now");
                    again = again.min(at);
                }
                Verdict::Known => (),
                Verdict::Ask => panic!("asked twice"),
                what => {
                    self.state[on] = match what {
                        Verdict::Unresponsive => State::Unresponsive,
                        _ => State::Hard,
                    };
                    if what != Verdict::Unresponsive {
                        self.patience[on] = now;
                    }
                    let seen = self.seen[on];
                    let report = Report {
                        by: me,
                        on,
                        at: now,
                        seen,
                        asked: self.asked[on],
                        what,
                    };
                    self.reports.push(report);
                }
            }
        }
        again
    }
}

/// What holds for every machine: who is reported is stalled, for at least two periods, and as what
/// it is; once a stall.
fn check(reports: &[Report], stalls: &[Stall], period: u64, can_ask: bool, jitter: u64) {
    for report in reports {
        let of = |stall: &&Stall| stall.cpu == report.on && stall.holds(report.at);
        let stall = stalls.iter().find(of);
        let stall = stall.unwrap_or_else(|| panic!("{report:?} of a CPU that runs"));
        assert!(report.at - report.seen >= 3 * period, "{report:?}");
        assert!(report.at + jitter >= stall.from + 2 * period, "{report:?}");
        assert!(report.by != report.on);
        let what = match stall.kind(report.at) {
            _ if !can_ask => Verdict::Unconfirmed,
            Kind::Off => Verdict::HardLockup,
            _ => Verdict::Unresponsive,
        };
        assert_eq!(report.what, what, "{stall:?}");
        if what == Verdict::Unresponsive {
            assert!(report.at - report.seen >= 3 * period + ANSWER);
        }
    }
    for stall in stalls {
        let found: Vec<Verdict> = on(reports, stall).map(|report| report.what).collect();
        // One that thaws may be reported as both, in this order.
        let both = matches!(stall.kind, Kind::Thaws(_))
            && found == [Verdict::Unresponsive, Verdict::HardLockup];
        assert!(found.len() <= 1 || both, "{stall:?} reported: {found:?}");

        assert!(found.is_empty() || stall.long() + jitter >= 2 * period);
    }
}

fn on<'a>(reports: &'a [Report], stall: &'a Stall) -> impl Iterator<Item = &'a Report> {
    let of = |report: &&Report| report.on == stall.cpu && stall.holds(report.at);
    reports.iter().filter(of)
}

/// The last moment at which a stall must have been reported as what it is in the end, if it lasts.
///
/// Three periods after the last interrupt, thus after the beginning, if its watcher works. One that
/// stalls meanwhile, or has just begun to, is passed over by the one before it within two and a
/// half periods.
fn deadline(stall: &Stall, stalls: &[Stall], period: u64, can_ask: bool, jitter: u64) -> u64 {
    let slack = SOONEST + 4 * jitter;
    let settle = |mut at: u64| loop {
        let others = stalls.iter().filter(|other| {
            other.cpu != stall.cpu && other.from <= at && other.to + 2 * period >= stall.from
        });
        let passed = others
            .map(|other| other.from + period / 2 * 5 + slack)
            .max();
        let later = at.max(passed.unwrap_or(0));
        if later == at {
            return at;
        }
        at = later;
    };
    let asked = settle(stall.from + 3 * period + slack);
    match stall.kind {
        _ if !can_ask => asked,
        Kind::Off => asked,
        Kind::Frozen => settle(asked + ANSWER + slack),
        // Told or not by then, it is looked at each period.
        Kind::Thaws(at) => settle((asked + ANSWER).max(at + period) + slack),
    }
}

/// Three kinds, the last one with more or less of each, from a number below 12.
fn kind_of(number: u64, from: u64, to: u64) -> Kind {
    match number {
        0..4 => Kind::Off,
        4..8 => Kind::Frozen,
        part => Kind::Thaws(from + (to - from) / 5 * (part - 7)),
    }
}

fn stalls_of(cpu: usize, start: u64, period: u64, pattern: &[(u64, u64, u64)]) -> Vec<Stall> {
    let mut now = start;
    let stalls = pattern.iter().map(|(gap, long, kind)| {
        let from = now + period / 1000 * gap + 1;
        let to = from + period / 1000 * long + 1;
        now = to;
        let kind = kind_of(*kind, from, to);
        Stall {
            cpu,
            from,
            to,
            kind,
        }
    });
    stalls.collect()
}

/// Gaps and lengths in thousandths of a period, and kinds.
fn pattern() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let long = prop_oneof![
        3 => 0..2000u64,
        1 => 1990..2010u64,
        2 => 2000..4000u64,
        3 => 4000..12000u64,
    ];
    prop::collection::vec(
        (prop_oneof![1 => 0..500u64, 3 => 0..6000u64], long, 0..12u64),
        0..6,
    )
}

/// A machine of 2 to 6 CPUs: threshold, phases and stall patterns of all CPUs, and one of them.
#[allow(clippy::type_complexity, reason = "said above")]
fn machine() -> impl Strategy<Value = (u64, Vec<(u64, Vec<(u64, u64, u64)>)>, usize)> {
    (2..7usize).prop_flat_map(|cpus| {
        let cpu = (0..1000u64, pattern());
        (1..=60u64, prop::collection::vec(cpu, cpus), 0..cpus)
    })
}

proptest! {
    #![proptest_config(common::config())]

    /// Each verdict from the drawing at the head of the source, for any numbers.
    #[test]
    fn as_the_drawing_says(
        now in prop_oneof![0..100 * SEC, any::<u64>()],
        age in prop_oneof![0..40 * SEC, any::<u64>()],
        asked_ago in prop_oneof![0..4 * SEC, Just(ANSWER), any::<u64>()],
        patience_ago in prop_oneof![0..40 * SEC, any::<u64>()],
        late in 0..2 * LATE,
        state in 0..4,
        answered: bool,
        on_the_spot: bool,
        can_ask: bool,
        thresh in 1..=60u64,
    ) {
        let (seen, asked) = (now.saturating_sub(age), now.saturating_sub(asked_ago));
        let state = match state {
            0 => State::Fine,
            1 => State::Asked(asked),
            2 => State::Hard,
            _ => State::Unresponsive,
        };
        let patience = now.saturating_sub(patience_ago);
        let since = seen.max(patience);
        let void = matches!(state, State::Asked(_)) && asked < since;
        let (period, limit) = (sample_period(thresh), limit(thresh));
        let wide = |n: u64| i128::from(n);
        let age = wide(now) - wide(since);
        let waited = wide(now) - wide(asked);
        let patient = 2 * age <= 3 * wide(period);
        let expected = if 2 * (wide(now) - wide(seen)) <= 3 * wide(period) {
            Verdict::Fine
        } else {
            match (if void { State::Fine } else { state }, can_ask) {
                (State::Hard, _) => Verdict::Known,
                (State::Unresponsive, _) if !answered || patient => Verdict::Known,
                (State::Unresponsive, _) if late >= LATE => Verdict::HardLockup,
                (State::Unresponsive, _) => Verdict::Ask,
                (State::Fine, _) if age < wide(limit) => Verdict::CheckAt(since + limit),
                (State::Fine, true) => Verdict::Ask,
                (State::Fine, false) => Verdict::Unconfirmed,
                (State::Asked(_), _) if answered && (on_the_spot || late >= LATE) => {
                    Verdict::HardLockup
                }
                (State::Asked(_), _) if answered => Verdict::Ask,
                (State::Asked(_), _) if on_the_spot => Verdict::CheckAt(now.saturating_add(AGAIN)),
                (State::Asked(_), _) if waited < 2_000_000_000 => {
                    Verdict::CheckAt((asked + ANSWER).min(now.saturating_add(AGAIN)))
                }
                (State::Asked(_), _) => Verdict::Unresponsive,
            }
        };
        let look = Look { now, seen, patience, answered, on_the_spot, late, can_ask };
        prop_assert_eq!(judge(state, &look, period, limit), expected);
    }

    /// Where nothing stalls, nobody is ever suspected, even if interrupts come late by almost half
    /// a period.
    #[test]
    fn a_machine_at_work_is_left_alone((thresh, cpus, _) in machine(), jitter in 0..=500u64) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = cpus.iter().map(|(phase, _)| period / 1000 * phase).collect();
        let jitter = period / 1000 * jitter;
        let reports = Machine::new(thresh, &phases, &[], true, jitter).run(40 * period);
        prop_assert!(reports.is_empty());
    }

    /// Any stalls of any CPUs, all at once too: no false report, none twice.
    #[test]
    fn nobody_is_wronged((thresh, cpus, _) in machine(), can_ask: bool, jitter in 0..=200u64) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = cpus.iter().map(|(phase, _)| period / 1000 * phase).collect();
        let patterns = cpus.iter().enumerate();
        let stalls: Vec<Stall> =
            patterns.flat_map(|(cpu, (_, p))| stalls_of(cpu, period, period, p)).collect();
        let jitter = period / 1000 * jitter;
        let reports = Machine::new(thresh, &phases, &stalls, can_ask, jitter).run(150 * period);
        check(&reports, &stalls, period, can_ask, jitter);
    }

    /// As long as one CPU works, every stall that lasts is reported, and in time.
    #[test]
    fn nobody_is_forgotten((thresh, cpus, well) in machine(), can_ask: bool, jitter in 0..=20u64) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = cpus.iter().map(|(phase, _)| period / 1000 * phase).collect();
        let patterns = cpus.iter().enumerate().filter(|(cpu, _)| *cpu != well);
        let stalls: Vec<Stall> =
            patterns.flat_map(|(cpu, (_, p))| stalls_of(cpu, period, period, p)).collect();
        let jitter = period / 1000 * jitter;
        let reports = Machine::new(thresh, &phases, &stalls, can_ask, jitter).run(150 * period);
        check(&reports, &stalls, period, can_ask, jitter);
        for stall in &stalls {
            let deadline = deadline(stall, &stalls, period, can_ask, jitter);
            let report = on(&reports, stall).last();
            if deadline < stall.to {
                let report = report.unwrap_or_else(|| panic!("{stall:?} not reported"));
                prop_assert!(report.at <= deadline, "{:?} of {:?}", report, stall);
                let expected = match stall.kind {
                    _ if !can_ask => Verdict::Unconfirmed,
                    Kind::Frozen => Verdict::Unresponsive,
                    Kind::Off | Kind::Thaws(_) => Verdict::HardLockup,
                };
                prop_assert_eq!(report.what, expected);
            }
        }
    }

    /// The same where no answer comes at once: the third late one counts, and no earlier one.
    #[test]
    fn nobody_is_forgotten_on_a_slow_host((thresh, cpus, well) in machine()) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = cpus.iter().map(|(phase, _)| period / 1000 * phase).collect();
        let patterns = cpus.iter().enumerate().filter(|(cpu, _)| *cpu != well);
        let mut stalls: Vec<Stall> =
            patterns.flat_map(|(cpu, (_, p))| stalls_of(cpu, period, period, p)).collect();
        stalls.retain(|stall| stall.kind == Kind::Off);
        let mut machine = Machine::new(thresh, &phases, &stalls, true, 0);
        machine.slow = true;
        let reports = machine.run(150 * period);
        check(&reports, &stalls, period, true, 0);
        let more = u64::from(LATE + 1) * AGAIN;
        for stall in &stalls {
            let found: Vec<&Report> = on(&reports, stall).collect();
            // Asked by whom ever: two watchers may follow each other at once.
            prop_assert!(found.iter().all(|report| report.asked > LATE), "{:?}", found);
            let deadline = deadline(stall, &stalls, period, true, 0) + more + period;
            prop_assert!(!found.is_empty() || deadline >= stall.to, "{:?}", stall);
        }
    }

    /// One CPU, or any number of them at the same moment, but for one: within the threshold and a
    /// sample period of the beginning. An answer that does not come is waited for.
    #[test]
    fn within_a_period_of_the_threshold(
        thresh in 1..=60u64,
        phases in prop::collection::vec(0..1000u64, 2..7),
        stalled in prop::collection::vec(any::<(bool, bool)>(), 7),
        well in 0..7usize,
        from in 0..4000u64,
        long in prop_oneof![1..4000u64, 3500..20000u64],
        can_ask: bool,
    ) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = phases.iter().map(|phase| period / 1000 * phase).collect();
        let well = well % phases.len();
        let from = period + period / 1000 * from;
        let stalls: Vec<Stall> = (0..phases.len())
            .filter(|cpu| stalled[*cpu].0 && *cpu != well)
            .map(|cpu| {
                let kind = if stalled[cpu].1 { Kind::Frozen } else { Kind::Off };
                Stall { cpu, from, to: from + period / 1000 * long, kind }
            })
            .collect();
        let reports = Machine::new(thresh, &phases, &stalls, can_ask, 0).run(40 * period);
        check(&reports, &stalls, period, can_ask, 0);
        for stall in &stalls {
            let wait = if can_ask && stall.kind == Kind::Frozen { ANSWER } else { 0 };
            let deadline = from + thresh * SEC + period + wait;
            match on(&reports, stall).next() {
                Some(report) => prop_assert!(report.at <= deadline),
                None => prop_assert!(stall.to <= deadline),
            }
        }
    }

    /// Beside mainline's buddy, which counts checks at which no interrupt had come since the one
    /// before: never earlier than it could be, whatever the phases are, and never later than it is.
    #[test]
    fn beside_mainlines_buddy(
        thresh in 1..=60u64,
        phases in (0..1000u64, 0..1000u64),
        from in 0..4000u64,
    ) {
        let period = sample_period(thresh);
        let phases = [period / 1000 * phases.0, period / 1000 * phases.1];
        let from = 4 * period + period / 1000 * from;
        let stalls = [Stall { cpu: 1, from, to: from + 20 * period, kind: Kind::Off }];
        let reports = Machine::new(thresh, &phases, &stalls, true, 0).run(15 * period);
        prop_assert_eq!(reports.len(), 1);

        // `is_hardlockup()`, with CPU 0's interrupts each period and CPU 1's until it stalls.
        let interrupts = |now: u64| {
            let times = (0..).map(|n| phases[1] + n * period);
            times.take_while(|at| *at <= now && *at < from).count()
        };
        let (mut saved, mut missed) = (0, 0);
        let theirs = (0..).map(|n| phases[0] + n * period).find(|now| {
            let count = interrupts(*now);
            if count != saved {
                (saved, missed) = (count, 0);
                return false;
            }
            missed += 1;
            missed == 3
        });
        let theirs = theirs.expect("it is found some time");
        let ours = reports[0].at;
        prop_assert!(ours <= theirs && theirs <= ours + period);
    }
}

#[test]
fn each_is_told_by_the_next_that_works() {
    let stall = |cpu, from, to| Stall {
        cpu,
        from: from * SEC,
        to: to * SEC,
        kind: Kind::Off,
    };
    let phases = [0, SEC, 2 * SEC, 3 * SEC];
    let told = |stalls: &[Stall]| -> Vec<(usize, usize, u64)> {
        let reports = Machine::new(10, &phases, stalls, true, 0).run(200 * SEC);
        check(&reports, stalls, 4 * SEC, true, 0);
        let told = reports.iter().map(|r| (r.by, r.on, r.at / SEC));
        told.collect()
    };
    // One: by its buddy, 12 s after its last interrupt at 22 s.
    assert_eq!(told(&[stall(2, 23, 100)]), [(1, 2, 34)]);
    // Two neighbours: both by the one before.
    let pair = [stall(2, 23, 100), stall(1, 23, 100)];
    assert_eq!(told(&pair), [(0, 1, 33), (0, 2, 34)]);
    // All but one.
    let all = [stall(0, 23, 100), stall(1, 23, 100), stall(2, 23, 100)];
    assert_eq!(told(&all), [(3, 0, 32), (3, 1, 33), (3, 2, 34)]);
    // The buddy follows later: its watcher takes over.
    let later = [stall(2, 23, 100), stall(1, 30, 100)];
    assert_eq!(told(&later), [(0, 2, 36), (0, 1, 41)]);
    // It recovers, and gets stuck again: a second report.
    let twice = [stall(2, 23, 50), stall(2, 60, 100)];
    assert_eq!(told(&twice), [(1, 2, 34), (1, 2, 70)]);
    // A buddy that comes back in the meantime finds it by itself.
    let back = [stall(1, 23, 35), stall(2, 24, 100)];
    assert_eq!(told(&back), [(0, 1, 33), (0, 2, 34)]);
}
