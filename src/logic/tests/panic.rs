// SPDX-License-Identifier: GPL-2.0

//! When a requested panic is executed, and by which CPU.

use proptest::prelude::*;
use vigil_logic::panic::{
    is_allowed, is_wanted, Cause, Initiator, NextStep, PanicRequest, Phase, POLL_NS, STEP_NS,
    SYS_INFO_NS, TAKE_OVER_NS,
};

const MS: u64 = 1_000_000;

const ALL_CAUSES: [Cause; 4] = [
    Cause::HungTask,
    Cause::SoftLockup,
    Cause::HardLockup,
    Cause::UnresponsiveCpu,
];

fn request(now: u64) -> PanicRequest {
    PanicRequest::new(Initiator::Cpu(3), Cause::HardLockup, 1, now)
}

#[test]
fn the_kdump_policy() {
    assert!(is_allowed(false, false));
    assert!(is_allowed(false, true));
    assert!(!is_allowed(true, false));
    assert!(is_allowed(true, true));
}

#[test]
fn what_a_knob_asks_for() {
    for magnitude in [0, 1, 5, u64::MAX] {
        assert!(!is_wanted(0, magnitude), "0 is never");
    }
    assert!(is_wanted(1, 1) && is_wanted(1, 2));
    assert!(!is_wanted(3, 2) && is_wanted(3, 3));
    // Whether it is still asked for is polled with the greatest magnitude.
    assert!(is_wanted(u64::MAX, u64::MAX));
}

#[test]
fn on_the_spot_without_a_reason_to_wait() {
    let now = 77 * MS + 300_000;
    let request = request(now).in_phase(Phase::Delay, now, 0);
    assert_eq!(request.next_for_initiator(now, true), NextStep::Panic);
    // What another report has asked to be shown is not waited for.
    assert_eq!(request.next_for_initiator(now, false), NextStep::Panic);
}

#[test]
fn sys_info_is_waited_for_but_not_for_ever() {
    let request = request(0).in_phase(Phase::SysInfo, 0, SYS_INFO_NS);
    assert_eq!(
        request.next_for_initiator(0, false),
        NextStep::PollAt(POLL_NS)
    );
    assert_eq!(request.next_for_initiator(1, true), NextStep::BeginDelay);
    assert_eq!(
        request.next_for_initiator(SYS_INFO_NS - MS, false),
        NextStep::PollAt(SYS_INFO_NS)
    );
    assert_eq!(
        request.next_for_initiator(SYS_INFO_NS, false),
        NextStep::BeginDelay
    );
}

#[test]
fn the_delay_is_kept() {
    let request = request(0).in_phase(Phase::Delay, 5 * MS, 1000 * MS);
    assert_eq!(
        request.next_for_initiator(5 * MS, true),
        NextStep::PollAt(5 * MS + POLL_NS)
    );
    let end = 1005 * MS;
    assert_eq!(
        request.next_for_initiator(end - MS, true),
        NextStep::PollAt(end)
    );
    assert_eq!(request.next_for_initiator(end, true), NextStep::Panic);
}

/// The end is kept in milliseconds, but is not before its time.
#[test]
fn not_a_nanosecond_less_than_the_delay() {
    let now = 5 * MS + 300_000;
    let request = request(0).in_phase(Phase::Delay, now, 1000 * MS);
    assert_ne!(
        request.next_for_initiator(now + 1000 * MS - 1, true),
        NextStep::Panic
    );
    assert_eq!(
        request.next_for_initiator(now + 1001 * MS, true),
        NextStep::Panic
    );
}

#[test]
fn another_cpu_takes_over() {
    let reporting = request(0);
    assert_eq!(
        reporting.next_for_takeover(0),
        NextStep::PollAt(STEP_NS + TAKE_OVER_NS)
    );
    assert_eq!(
        reporting.next_for_takeover(STEP_NS),
        NextStep::PollAt(STEP_NS + TAKE_OVER_NS)
    );
    assert_eq!(
        reporting.next_for_takeover(STEP_NS + TAKE_OVER_NS),
        NextStep::Panic
    );
    let delay = request(0).in_phase(Phase::Delay, 0, 0);
    assert_eq!(
        delay.next_for_takeover(TAKE_OVER_NS - MS),
        NextStep::PollAt(TAKE_OVER_NS)
    );
    assert_eq!(delay.next_for_takeover(TAKE_OVER_NS), NextStep::Panic);
}

/// Seven weeks after boot milliseconds begin anew.
#[test]
fn the_clock_may_turn_over() {
    let turn = (1u64 << 32) * MS;
    let now = turn - 1000 * MS;
    let delay = request(now).in_phase(Phase::Delay, now, 3000 * MS);
    assert_eq!(
        delay.next_for_initiator(now, true),
        NextStep::PollAt(now + POLL_NS)
    );
    assert_eq!(
        delay.next_for_initiator(now + 2980 * MS, true),
        NextStep::PollAt(now + 3000 * MS)
    );
    assert_eq!(
        delay.next_for_initiator(now + 3000 * MS, true),
        NextStep::Panic
    );
    assert_eq!(
        delay.next_for_takeover(now + 3000 * MS),
        NextStep::PollAt(now + 5000 * MS)
    );
    assert_eq!(delay.next_for_takeover(now + 5000 * MS), NextStep::Panic);
}

#[test]
fn zero_is_no_request() {
    assert_eq!(PanicRequest::unpack(0), None);
}

fn any_request() -> impl Strategy<Value = PanicRequest> {
    let initiator = prop_oneof![
        Just(Initiator::Thread),
        (0..8192u32).prop_map(Initiator::Cpu)
    ];
    let cause = prop::sample::select(ALL_CAUSES.to_vec());
    let phase = prop::sample::select(vec![Phase::Reporting, Phase::SysInfo, Phase::Delay]);
    (initiator, cause, phase, any::<u8>(), any::<u32>()).prop_map(
        |(initiator, cause, phase, generation, deadline)| PanicRequest {
            initiator,
            cause,
            phase,
            generation: generation.into(),
            deadline,
        },
    )
}

/// All fields but the deadline, and a few deadlines, exhaustively: each request comes back, and no
/// two have the same word.
#[test]
fn requests_are_packed_apart() {
    let cpus = [0, 1, 2, 63, 64, 4095, 8191, 0xf_fffe].map(Initiator::Cpu);
    let mut words = std::collections::HashSet::new();
    let mut count = 0;
    for initiator in cpus.into_iter().chain([Initiator::Thread]) {
        for cause in ALL_CAUSES {
            for phase in [Phase::Reporting, Phase::SysInfo, Phase::Delay] {
                for generation in 0..=0xff {
                    for deadline in [0, 1, u32::MAX] {
                        let request = PanicRequest {
                            initiator,
                            cause,
                            phase,
                            generation,
                            deadline,
                        };
                        assert_eq!(PanicRequest::unpack(request.pack()), Some(request));
                        words.insert(request.pack());
                        count += 1;
                    }
                }
            }
        }
    }
    assert_eq!(words.len(), count);
    assert!(!words.contains(&0));
}

proptest! {
    #[test]
    fn it_fits_into_a_word(request in any_request(), other in any_request()) {
        let word = request.pack();
        prop_assert_ne!(word, 0);
        prop_assert_eq!(PanicRequest::unpack(word), Some(request));
        prop_assert_eq!(request == other, word == other.pack());
        prop_assert!(request.is_same(&request.in_phase(Phase::Delay, 7, 7)));
        let later = PanicRequest { generation: (request.generation + 1) & 0xff, ..request };
        prop_assert!(!request.is_same(&later));
    }

    /// Polled when it says, it comes to an end, for the initiator before all other CPUs; never
    /// before the delay is over, and never later than the delay, the time to show, and a poll each.
    #[test]
    fn it_comes_to_an_end(
        begin in 0..u64::MAX / 2,
        delay in 0..=60_000u64,
        shown_after in 0..2 * SYS_INFO_NS,
    ) {
        let mut request = request(begin).in_phase(Phase::SysInfo, begin, SYS_INFO_NS);
        let mut now = begin;
        let mut delay_began = None;
        for polls in 0.. {
            prop_assert!(polls < 4000);
            prop_assert_ne!(request.next_for_takeover(now), NextStep::Panic);
            match request.next_for_initiator(now, now - begin >= shown_after) {
                NextStep::Panic => break,
                NextStep::BeginDelay => {
                    prop_assert!(delay_began.is_none());
                    delay_began = Some(now);
                    request = request.in_phase(Phase::Delay, now, delay * MS);
                }
                NextStep::PollAt(at) => {
                    prop_assert!(at > now && at <= now + POLL_NS);
                    now = at;
                }
            }
        }
        let delay_began = delay_began.unwrap();
        prop_assert!(delay_began - begin <= shown_after.min(SYS_INFO_NS) + POLL_NS);
        prop_assert!(now - delay_began >= delay * MS);
        prop_assert!(now - delay_began <= delay * MS + POLL_NS);
    }

    /// Others, looking when they are told to, panic `TAKE_OVER_NS` after the end, to the millisecond.
    #[test]
    fn others_come_in_time(begin in 0..u64::MAX / 2, wait in 0..70_000u64) {
        let request = request(begin).in_phase(Phase::Delay, begin, wait * MS);
        let mut now = begin;
        while let NextStep::PollAt(at) = request.next_for_takeover(now) {
            prop_assert!(at > now);
            now = at;
        }
        let due = begin + wait * MS + TAKE_OVER_NS;
        prop_assert!(now >= due && now <= due + 2 * MS, "{} and {}", now, due);
    }

    #[test]
    fn no_numbers_are_too_large(now: u64, ns: u64, request in any_request()) {
        let _ = request.next_for_takeover(now);
        let _ = request.next_for_initiator(now, true);
        let _ = PanicRequest::new(Initiator::Thread, Cause::HungTask, u32::MAX, now).in_phase(Phase::Delay, now, ns);
    }
}
