// SPDX-License-Identifier: GPL-2.0

//! Hard lockups: each action by itself, and a whole machine of CPUs that watch each other.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    hardlockup::{
        buddy::{
            check as check_cpu, may_ask_again, threshold, Action, Observation, ASK_AGAIN_NS,
            MAX_LATE_ACKS, NMI_ACK_TIMEOUT_NS, NMI_POLL_NS, RECHECK_NS,
        },
        state::State,
    },
    sample_period::sample_period,
    NSEC_PER_SEC,
};

const SEC: u64 = NSEC_PER_SEC;
const MS: u64 = SEC / 1000;

const ALL_STATES: [State; 9] = [
    State::Healthy,
    State::NmiSent(0),
    State::NmiSent(1000 * SEC),
    State::NmiSent(u64::MAX),
    State::NmiSentAgain(0),
    State::NmiSentAgain(1000 * SEC),
    State::PerfHit,
    State::Reported,
    State::Unresponsive,
];

#[test]
fn when_to_send_an_nmi() {
    assert_eq!(
        (NMI_ACK_TIMEOUT_NS, NMI_POLL_NS, RECHECK_NS),
        (2 * SEC, 100 * MS, 5 * MS)
    );
    assert_eq!(threshold(10), 12 * SEC);
    assert_eq!(threshold(1), 1200 * MS);
    assert_eq!(threshold(0), 0);
    assert_eq!(threshold(u64::MAX), u64::MAX / 5 * 3);
    for thresh in 1..=60 {
        // As many as mainline's buddy misses (`watchdog_hardlockup_miss_thresh`).
        assert_eq!(threshold(thresh), 3 * sample_period(thresh));
    }
}

/// With periods of 4 s and a threshold of 12 s; the last interrupt was at 1000 s.
fn at(state: State, age: u64, nmi_acked: bool, can_send_nmi: bool) -> Action {
    at_once(state, age, nmi_acked, can_send_nmi, false)
}

/// The same, for the CPU that has just sent the NMI.
fn at_once(state: State, age: u64, nmi_acked: bool, can_send_nmi: bool, spinning: bool) -> Action {
    let observe = Observation {
        now: 1000 * SEC + age,
        hrtimer_ts: 1000 * SEC,
        counts_from: 0,
        nmi_acked,
        spinning,
        late_acks: 0,
        can_send_nmi,
        has_hypervisor: true,
    };
    check_cpu(state, &observe, 4 * SEC, 12 * SEC)
}

#[test]
fn a_recent_interrupt_is_healthy_in_any_state() {
    for state in ALL_STATES {
        for (nmi_acked, can_send_nmi) in [(false, false), (false, true), (true, true)] {
            for age in [0, 1, 4 * SEC, 6 * SEC] {
                assert_eq!(at(state, age, nmi_acked, can_send_nmi), Action::Healthy);
            }
            assert_ne!(
                at(state, 6 * SEC + 1, nmi_acked, can_send_nmi),
                Action::Healthy
            );
        }
    }
}

#[test]
fn nmi_sent_at_the_limit_and_not_a_nanosecond_before() {
    for nmi_acked in [false, true] {
        for can_send_nmi in [false, true] {
            let fine = |age| at(State::Healthy, age, nmi_acked, can_send_nmi);
            for age in [6 * SEC + 1, 8 * SEC, 12 * SEC - 1] {
                assert_eq!(fine(age), Action::CheckAt(1012 * SEC));
            }
            let expected = if can_send_nmi {
                Action::SendNmi
            } else {
                Action::ReportUnconfirmed
            };
            // An acknowledgement of something older proves nothing.
            for age in [12 * SEC, 12 * SEC + 1, 1000 * SEC] {
                assert_eq!(fine(age), expected);
            }
        }
    }
}

#[test]
fn what_the_acknowledgement_says() {
    let sent = State::NmiSent(1012 * SEC);
    // At once it proves that the CPU runs; late_acks, that it has run some time since.
    for age in [12 * SEC, 12 * SEC + 1, 14 * SEC, 100 * SEC] {
        assert_eq!(
            at_once(sent, age, true, true, true),
            Action::ReportHardlockup
        );
        assert_eq!(at(sent, age, true, true), Action::SendNmi);
    }
    // Looked for again soon, and in time for the last moment.
    for age in [12 * SEC, 12 * SEC + 1, 13 * SEC] {
        let soon = 1000 * SEC + age + NMI_POLL_NS;
        assert_eq!(at(sent, age, false, true), Action::CheckAt(soon));
    }
    assert_eq!(
        at(sent, 14 * SEC - 1, false, true),
        Action::CheckAt(1014 * SEC)
    );
    for age in [14 * SEC, 14 * SEC + 1, 100 * SEC] {
        assert_eq!(at(sent, age, false, true), Action::ReportUnresponsive);
    }
    // Another watcher's clock may be a moment behind.
    assert_eq!(
        at(sent, 11 * SEC, false, true),
        Action::CheckAt(1011 * SEC + NMI_POLL_NS)
    );
    for age in [6 * SEC + 1, 12 * SEC, 100 * SEC] {
        // Reported once.
        for (nmi_acked, can_send_nmi) in [(false, false), (false, true), (true, true)] {
            assert_eq!(
                at(State::Reported, age, nmi_acked, can_send_nmi),
                Action::AlreadyReported
            );
        }
        let not_run =
            |nmi_acked, can_send_nmi| at(State::Unresponsive, age, nmi_acked, can_send_nmi);
        assert_eq!(not_run(false, true), Action::AlreadyReported);
        assert_eq!(not_run(false, false), Action::AlreadyReported);
        // It has run after all, and took no interrupt.
        assert_eq!(not_run(true, true), Action::SendNmi);
    }
}

/// On bare metal nothing but an NMI handler or the firmware keeps a CPU from answering.
#[test]
fn without_a_hypervisor_no_answer_is_a_hard_lockup() {
    let observe = |age, has_hypervisor| Observation {
        now: 1000 * SEC + age,
        hrtimer_ts: 1000 * SEC,
        counts_from: 0,
        nmi_acked: false,
        spinning: false,
        late_acks: 0,
        can_send_nmi: true,
        has_hypervisor,
    };
    let sent = State::NmiSent(1012 * SEC);
    for age in [14 * SEC, 15 * SEC, 100 * SEC] {
        let check = |has| check_cpu(sent, &observe(age, has), 4 * SEC, 12 * SEC);
        assert_eq!(check(false), Action::ReportNoAnswer);
        assert_eq!(check(true), Action::ReportUnresponsive);
    }
    // Not before it has had its time.
    for has in [false, true] {
        assert_eq!(
            check_cpu(sent, &observe(13 * SEC, has), 4 * SEC, 12 * SEC),
            Action::CheckAt(1013 * SEC + NMI_POLL_NS)
        );
    }
}

#[test]
fn late_acks_add_up() {
    let observe = |nmi_acked, late_acks| Observation {
        now: 1013 * SEC,
        hrtimer_ts: 1000 * SEC,
        counts_from: 0,
        nmi_acked,
        spinning: false,
        late_acks,
        can_send_nmi: true,
        has_hypervisor: true,
    };
    let check_cpu = |state, observe: &Observation| check_cpu(state, observe, 4 * SEC, 12 * SEC);
    let sent = State::NmiSent(1012 * SEC);
    let mut late_acks = 0;
    for _ in 0..MAX_LATE_ACKS {
        assert_eq!(check_cpu(sent, &observe(true, late_acks)), Action::SendNmi);
        late_acks = observe(true, late_acks).late_acks_so_far(sent);
    }
    assert_eq!(
        check_cpu(sent, &observe(true, late_acks)),
        Action::ReportHardlockup
    );
    // No acknowledgement is no late one.
    assert_eq!(
        check_cpu(sent, &observe(false, late_acks)),
        Action::CheckAt(1013 * SEC + NMI_POLL_NS)
    );
    assert_eq!(observe(false, 1).late_acks_so_far(sent), 0);
    // One that was said not to run, too.
    let not_run = State::Unresponsive;
    assert_eq!(
        check_cpu(not_run, &observe(true, MAX_LATE_ACKS - 1)),
        Action::SendNmi
    );
    assert_eq!(
        check_cpu(not_run, &observe(true, MAX_LATE_ACKS)),
        Action::ReportHardlockup
    );
    assert_eq!(observe(true, 1).late_acks_so_far(not_run), 2);
    // What was before its last timer interrupt does not count.
    for fine in [State::Healthy, State::NmiSent(999 * SEC)] {
        assert_eq!(observe(true, u32::MAX).late_acks_so_far(fine), 0);
    }
    assert_eq!(observe(true, u32::MAX).late_acks_so_far(sent), u32::MAX);
}

#[test]
fn a_touch_voids_the_nmi() {
    // The NMI was sent at 12 s, and the watchdog was touched at 13 s.
    let sent = State::NmiSent(1012 * SEC);
    let later = |state, now, nmi_acked| {
        let observe = Observation {
            now: 1000 * SEC + now,
            hrtimer_ts: 1000 * SEC,
            counts_from: 1013 * SEC,
            nmi_acked,
            spinning: false,
            late_acks: 0,
            can_send_nmi: true,
            has_hypervisor: true,
        };
        check_cpu(state, &observe, 4 * SEC, 12 * SEC)
    };
    for nmi_acked in [false, true] {
        // It takes no interrupt all the same, and the CPU behind it is checked.
        let again = Action::CheckAt(1025 * SEC);
        assert_eq!(later(sent, 13 * SEC, nmi_acked), again);
        assert_eq!(later(sent, 19 * SEC + 1, nmi_acked), again);
        assert_eq!(later(sent, 25 * SEC - 1, nmi_acked), again);
        assert_eq!(later(sent, 25 * SEC, nmi_acked), Action::SendNmi);
        // What was reported is not reported again, nor forgotten, however often printing its stack
        // touches the watchdog.
        for now in [13, 19, 25] {
            assert_eq!(
                later(State::Reported, now * SEC, nmi_acked),
                Action::AlreadyReported
            );
        }
        let not_run = later(State::Unresponsive, 19 * SEC, nmi_acked);
        assert_eq!(not_run, Action::AlreadyReported);
    }
    // Asked at the same moment, or after it.
    let sent = State::NmiSent(1013 * SEC);
    assert_eq!(later(sent, 20 * SEC, true), Action::SendNmi);
    assert_eq!(later(sent, 20 * SEC, false), Action::ReportUnresponsive);
}

#[test]
fn extremes() {
    let most = u64::MAX;
    let observe = |now, hrtimer_ts| Observation {
        now,
        hrtimer_ts,
        counts_from: 0,
        nmi_acked: false,
        spinning: false,
        late_acks: u32::MAX,
        can_send_nmi: true,
        has_hypervisor: true,
    };
    for state in ALL_STATES {
        // A stamp from the future is young.
        assert_eq!(check_cpu(state, &observe(0, most), 0, 0), Action::Healthy);
        assert_eq!(check_cpu(state, &observe(5, 5), 0, 0), Action::Healthy);
        assert_eq!(
            check_cpu(state, &observe(most, 0), most, 0),
            Action::Healthy
        );
        assert_eq!(
            check_cpu(state, &observe(most, 0), most - 1, 0),
            Action::Healthy
        );
    }
    let sent = State::NmiSent(most);
    assert_eq!(
        check_cpu(sent, &observe(most, 0), 1, 3),
        Action::CheckAt(most)
    );
    assert_eq!(
        check_cpu(State::Healthy, &observe(most, 0), 0, most),
        Action::SendNmi
    );
    let later = check_cpu(State::Healthy, &observe(most, most - 9), 1, 12);
    assert_eq!(later, Action::CheckAt(most));
    assert_eq!(
        check_cpu(State::NmiSent(0), &observe(most, 0), 1, 3),
        Action::ReportUnresponsive
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
    hrtimer_ts: u64,
    /// How many NMIs were sent to it since.
    nmis_sent: u32,
    what: Action,
}

/// Earliest next interrupt, as the timer's user has it (`MIN_REARM_NS` of `detect/watchdog.rs`).
const MIN_REARM_NS: u64 = MS;

/// CPUs that watch each other: what `detect/watchdog.rs` does with the verdicts, in one thread.
struct Machine {
    period: u64,
    threshold: u64,
    can_send_nmi: bool,
    /// Whether acknowledgements come, but none at once.
    slow: bool,
    /// How late interrupts may come.
    jitter: u64,
    random: u64,
    stalls: Vec<Stall>,
    hrtimer_ts: Vec<u64>,
    next: Vec<u64>,
    state: Vec<State>,
    /// When the watchdog of a CPU was touched: printing its stack does so.
    counts_from: Vec<u64>,
    late_acks: Vec<u32>,
    /// NMIs sent to a CPU since its last interrupt.
    nmis_sent: Vec<u32>,
    reports: Vec<Report>,
}

impl Machine {
    fn new(thresh: u64, phases: &[u64], stalls: &[Stall], can_send_nmi: bool, jitter: u64) -> Self {
        let period = sample_period(thresh);
        Self {
            period,
            threshold: threshold(thresh),
            can_send_nmi,
            slow: false,
            jitter,
            random: 1,
            stalls: stalls.to_vec(),
            hrtimer_ts: phases.to_vec(),
            next: phases.iter().map(|phase| phase + period).collect(),
            state: vec![State::Healthy; phases.len()],
            counts_from: vec![0; phases.len()],
            late_acks: vec![0; phases.len()],
            nmis_sent: vec![0; phases.len()],
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
        self.hrtimer_ts[me] = now;
        self.state[me] = State::Healthy;
        self.nmis_sent[me] = 0;
        let again = self.watch(me, now);
        self.random = self
            .random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1);
        let late = (self.random >> 33) % (self.jitter + 1);
        let next = again.min(now + self.period).max(now + MIN_REARM_NS);
        self.next[me] = next + late;
    }

    fn observe(&self, on: usize, now: u64, spinning: bool) -> Observation {
        Observation {
            spinning,
            now,
            hrtimer_ts: self.hrtimer_ts[on],
            counts_from: self.counts_from[on],
            late_acks: self.late_acks[on],
            // The NMI was sent during this stall: at its end the CPU takes its interrupt, which resets the
            // state.
            nmi_acked: self.can_send_nmi
                && !(self.slow && spinning)
                && (self.state[on] == State::Unresponsive
                    || self.state[on].nmi_sent_at().is_some())
                && self
                    .stall(on, now)
                    .is_none_or(|stall| stall.kind(now) == Kind::Off),
            can_send_nmi: self.can_send_nmi,
            has_hypervisor: true,
        }
    }

    fn watch(&mut self, me: usize, now: u64) -> u64 {
        let mut again = u64::MAX;
        let count = self.hrtimer_ts.len();
        for on in (1..count).map(|n| (me + n) % count) {
            let check_cpu = |machine: &Self, spinning| {
                let observe = machine.observe(on, now, spinning);
                check_cpu(
                    machine.state[on],
                    &observe,
                    machine.period,
                    machine.threshold,
                )
            };
            let mut action = check_cpu(self, false);
            if action == Action::SendNmi {
                self.late_acks[on] = self
                    .observe(on, now, false)
                    .late_acks_so_far(self.state[on]);
                self.state[on] = State::nmi_sent(now, self.state[on]);
                self.nmis_sent[on] += 1;
                action = check_cpu(self, true);
            }
            // A CPU that has come back takes its interrupt any moment, and checks the next one.
            let moment = match action {
                Action::ReportHardlockup => RECHECK_NS,
                _ => 0,
            };
            if self.comes(on) <= now + moment {
                break;
            }
            match action {
                Action::Healthy => break,
                Action::CheckAt(at) => {
                    assert!(at > now, "later is not now");
                    again = again.min(at);
                }
                Action::AlreadyReported => (),
                Action::SendNmi => panic!("an NMI was sent twice"),
                what => {
                    self.state[on] = match what {
                        Action::ReportUnresponsive => State::Unresponsive,
                        _ => State::Reported,
                    };
                    if what != Action::ReportUnresponsive {
                        self.counts_from[on] = now;
                    }
                    let hrtimer_ts = self.hrtimer_ts[on];
                    let report = Report {
                        by: me,
                        on,
                        at: now,
                        hrtimer_ts,
                        nmis_sent: self.nmis_sent[on],
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
fn check(reports: &[Report], stalls: &[Stall], period: u64, can_send_nmi: bool, jitter: u64) {
    for report in reports {
        let of = |stall: &&Stall| stall.cpu == report.on && stall.holds(report.at);
        let stall = stalls.iter().find(of);
        let stall = stall.unwrap_or_else(|| panic!("{report:?} of a CPU that runs"));
        assert!(report.at - report.hrtimer_ts >= 3 * period, "{report:?}");
        assert!(report.at + jitter >= stall.from + 2 * period, "{report:?}");
        assert!(report.by != report.on);
        let what = match stall.kind(report.at) {
            _ if !can_send_nmi => Action::ReportUnconfirmed,
            Kind::Off => Action::ReportHardlockup,
            _ => Action::ReportUnresponsive,
        };
        assert_eq!(report.what, what, "{stall:?}");
        if what == Action::ReportUnresponsive {
            assert!(report.at - report.hrtimer_ts >= 3 * period + NMI_ACK_TIMEOUT_NS);
        }
    }
    for stall in stalls {
        let found: Vec<Action> = on(reports, stall).map(|report| report.what).collect();
        // One that thaws may be reported as both, in this order.
        let both = matches!(stall.kind, Kind::Thaws(_))
            && found == [Action::ReportUnresponsive, Action::ReportHardlockup];
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
fn deadline(stall: &Stall, stalls: &[Stall], period: u64, can_send_nmi: bool, jitter: u64) -> u64 {
    let slack = MIN_REARM_NS + 4 * jitter;
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
    let sent = settle(stall.from + 3 * period + slack);
    match stall.kind {
        _ if !can_send_nmi => sent,
        Kind::Off => sent,
        Kind::Frozen => settle(sent + NMI_ACK_TIMEOUT_NS + slack),
        // Reported or not by then, it is checked each period.
        Kind::Thaws(at) => settle((sent + NMI_ACK_TIMEOUT_NS).max(at + period) + slack),
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

    /// Each action from the drawing at the head of the source, for any numbers.
    #[test]
    fn as_the_diagram_says(
        now in prop_oneof![0..100 * SEC, any::<u64>()],
        age in prop_oneof![0..40 * SEC, any::<u64>()],
        sent_ago in prop_oneof![0..4 * SEC, Just(NMI_ACK_TIMEOUT_NS), any::<u64>()],
        touch_ago in prop_oneof![0..40 * SEC, any::<u64>()],
        late_acks in 0..2 * MAX_LATE_ACKS,
        state in 0..6,
        nmi_acked: bool,
        spinning: bool,
        can_send_nmi: bool,
        has_hypervisor: bool,
        thresh in 1..=60u64,
    ) {
        let (hrtimer_ts, sent) = (now.saturating_sub(age), now.saturating_sub(sent_ago));
        let state = match state {
            0 => State::Healthy,
            1 => State::NmiSent(sent),
            2 => State::Reported,
            3 => State::PerfHit,
            4 => State::NmiSentAgain(sent),
            _ => State::Unresponsive,
        };
        let counts_from = now.saturating_sub(touch_ago);
        let since = hrtimer_ts.max(counts_from);
        let void = state.nmi_sent_at().is_some() && sent < since;
        let (period, threshold) = (sample_period(thresh), threshold(thresh));
        let wide = |n: u64| i128::from(n);
        let age = wide(now) - wide(since);
        let waited = wide(now) - wide(sent);
        let in_grace = 2 * age <= 3 * wide(period);
        let expected = if 2 * (wide(now) - wide(hrtimer_ts)) <= 3 * wide(period) {
            Action::Healthy
        } else {
            let like = match state {
                _ if void => State::Healthy,
                State::NmiSentAgain(at) => State::NmiSent(at),
                state => state,
            };
            match (like, can_send_nmi) {
                (State::Reported | State::PerfHit, _) => Action::AlreadyReported,
                (State::Unresponsive, _) if !nmi_acked || in_grace => Action::AlreadyReported,
                (State::Unresponsive, _) if late_acks >= MAX_LATE_ACKS => Action::ReportHardlockup,
                (State::Unresponsive, _) => Action::SendNmi,
                (State::Healthy, _) if age < wide(threshold) => Action::CheckAt(since + threshold),
                (State::Healthy, true) => Action::SendNmi,
                (State::Healthy, false) => Action::ReportUnconfirmed,
                (State::NmiSent(_), _) if nmi_acked && (spinning || late_acks >= MAX_LATE_ACKS) => {
                    Action::ReportHardlockup
                }
                (State::NmiSent(_), _) if nmi_acked => Action::SendNmi,
                (State::NmiSent(_), _) if spinning => Action::CheckAt(now.saturating_add(NMI_POLL_NS)),
                (State::NmiSent(_), _) if waited < 2_000_000_000 => {
                    Action::CheckAt((sent + NMI_ACK_TIMEOUT_NS).min(now.saturating_add(NMI_POLL_NS)))
                }
                (State::NmiSent(_), _) if has_hypervisor => Action::ReportUnresponsive,
                (State::NmiSent(_) | State::NmiSentAgain(_), _) => Action::ReportNoAnswer,
            }
        };
        let observe = Observation { now, hrtimer_ts, counts_from, nmi_acked, spinning, late_acks, can_send_nmi, has_hypervisor };
        prop_assert_eq!(check_cpu(state, &observe, period, threshold), expected);
    }

    /// Where nothing stalls, nobody is ever suspected, even if interrupts come late by almost half
    /// a period.
    #[test]
    fn a_machine_that_runs_has_no_reports((thresh, cpus, _) in machine(), jitter in 0..=500u64) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = cpus.iter().map(|(phase, _)| period / 1000 * phase).collect();
        let jitter = period / 1000 * jitter;
        let reports = Machine::new(thresh, &phases, &[], true, jitter).run(40 * period);
        prop_assert!(reports.is_empty());
    }

    /// Any stalls of any CPUs, all at once too: no false report, none twice.
    #[test]
    fn no_cpu_is_reported_falsely((thresh, cpus, _) in machine(), can_send_nmi: bool, jitter in 0..=200u64) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = cpus.iter().map(|(phase, _)| period / 1000 * phase).collect();
        let patterns = cpus.iter().enumerate();
        let stalls: Vec<Stall> =
            patterns.flat_map(|(cpu, (_, p))| stalls_of(cpu, period, period, p)).collect();
        let jitter = period / 1000 * jitter;
        let reports = Machine::new(thresh, &phases, &stalls, can_send_nmi, jitter).run(150 * period);
        check(&reports, &stalls, period, can_send_nmi, jitter);
    }

    /// As long as one CPU works, every stall that lasts is reported, and in time.
    #[test]
    fn no_cpu_is_missed((thresh, cpus, well) in machine(), can_send_nmi: bool, jitter in 0..=20u64) {
        let period = sample_period(thresh);
        let phases: Vec<u64> = cpus.iter().map(|(phase, _)| period / 1000 * phase).collect();
        let patterns = cpus.iter().enumerate().filter(|(cpu, _)| *cpu != well);
        let stalls: Vec<Stall> =
            patterns.flat_map(|(cpu, (_, p))| stalls_of(cpu, period, period, p)).collect();
        let jitter = period / 1000 * jitter;
        let reports = Machine::new(thresh, &phases, &stalls, can_send_nmi, jitter).run(150 * period);
        check(&reports, &stalls, period, can_send_nmi, jitter);
        for stall in &stalls {
            let deadline = deadline(stall, &stalls, period, can_send_nmi, jitter);
            let report = on(&reports, stall).last();
            if deadline < stall.to {
                let report = report.unwrap_or_else(|| panic!("{stall:?} not reported"));
                prop_assert!(report.at <= deadline, "{:?} of {:?}", report, stall);
                let expected = match stall.kind {
                    _ if !can_send_nmi => Action::ReportUnconfirmed,
                    Kind::Frozen => Action::ReportUnresponsive,
                    Kind::Off | Kind::Thaws(_) => Action::ReportHardlockup,
                };
                prop_assert_eq!(report.what, expected);
            }
        }
    }

    /// The same where no acknowledgement comes at once: the third late one counts, and no earlier one.
    #[test]
    fn no_cpu_is_missed_on_a_slow_host((thresh, cpus, well) in machine()) {
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
        let more = u64::from(MAX_LATE_ACKS + 1) * NMI_POLL_NS;
        for stall in &stalls {
            let found: Vec<&Report> = on(&reports, stall).collect();
            // Whichever CPUs sent them: two watchers may follow each other at once.
            prop_assert!(found.iter().all(|report| report.nmis_sent > MAX_LATE_ACKS), "{:?}", found);
            let deadline = deadline(stall, &stalls, period, true, 0) + more + period;
            prop_assert!(!found.is_empty() || deadline >= stall.to, "{:?}", stall);
        }
    }

    /// One CPU, or any number of them at the same moment, but for one: within the threshold and a
    /// sample period of the beginning. An acknowledgement that does not come is waited for.
    #[test]
    fn within_a_period_of_the_threshold(
        thresh in 1..=60u64,
        phases in prop::collection::vec(0..1000u64, 2..7),
        stalled in prop::collection::vec(any::<(bool, bool)>(), 7),
        well in 0..7usize,
        from in 0..4000u64,
        long in prop_oneof![1..4000u64, 3500..20000u64],
        can_send_nmi: bool,
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
        let reports = Machine::new(thresh, &phases, &stalls, can_send_nmi, 0).run(40 * period);
        check(&reports, &stalls, period, can_send_nmi, 0);
        for stall in &stalls {
            let wait = if can_send_nmi && stall.kind == Kind::Frozen { NMI_ACK_TIMEOUT_NS } else { 0 };
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
fn whoever_claims_a_report_asks_the_panic_policy_first() {
    let claimed = 100 * SEC;
    assert!(!may_ask_again(claimed, claimed));
    // By a CPU whose check began before.
    assert!(!may_ask_again(claimed - SEC, claimed));
    assert!(!may_ask_again(claimed + ASK_AGAIN_NS - 1, claimed));
    // Whatever became of that one.
    assert!(may_ask_again(claimed + ASK_AGAIN_NS, claimed));
    assert!(may_ask_again(u64::MAX, claimed));
}

#[test]
fn each_is_reported_by_the_next_that_works() {
    let stall = |cpu, from, to| Stall {
        cpu,
        from: from * SEC,
        to: to * SEC,
        kind: Kind::Off,
    };
    let phases = [0, SEC, 2 * SEC, 3 * SEC];
    let reported = |stalls: &[Stall]| -> Vec<(usize, usize, u64)> {
        let reports = Machine::new(10, &phases, stalls, true, 0).run(200 * SEC);
        check(&reports, stalls, 4 * SEC, true, 0);
        let reported = reports.iter().map(|r| (r.by, r.on, r.at / SEC));
        reported.collect()
    };
    // One: by its buddy, 12 s after its last interrupt at 22 s.
    assert_eq!(reported(&[stall(2, 23, 100)]), [(1, 2, 34)]);
    // Two neighbours: both by the one before.
    let pair = [stall(2, 23, 100), stall(1, 23, 100)];
    assert_eq!(reported(&pair), [(0, 1, 33), (0, 2, 34)]);
    // All but one.
    let all = [stall(0, 23, 100), stall(1, 23, 100), stall(2, 23, 100)];
    assert_eq!(reported(&all), [(3, 0, 32), (3, 1, 33), (3, 2, 34)]);
    // The buddy follows later: its watcher takes over.
    let later = [stall(2, 23, 100), stall(1, 30, 100)];
    assert_eq!(reported(&later), [(0, 2, 36), (0, 1, 41)]);
    // It recovers, and gets stuck again: a second report.
    let twice = [stall(2, 23, 50), stall(2, 60, 100)];
    assert_eq!(reported(&twice), [(1, 2, 34), (1, 2, 70)]);
    // A buddy that comes back in the meantime finds it by itself.
    let back = [stall(1, 23, 35), stall(2, 24, 100)];
    assert_eq!(reported(&back), [(0, 1, 33), (0, 2, 34)]);
}
