// SPDX-License-Identifier: GPL-2.0

//! Whether a finding requests a panic, and when the initiator or another CPU carries it out.

use proptest::prelude::*;
use vigil_logic::{
    knobs::{Knob, KNOBS},
    panic::{
        policy, Cause, Initiator, NextStep, PanicRequest, Phase, Policy, POLL_NS, STEP_NS,
        SYS_INFO_NS, TAKE_OVER_NS,
    },
};

const MS: u64 = 1_000_000;

const PHASES: [Phase; 3] = [Phase::Reporting, Phase::SysInfo, Phase::Delay];

const CAUSES: [Cause; 4] = [
    Cause::HungTask,
    Cause::SoftLockup,
    Cause::HardLockup,
    Cause::UnresponsiveCpu,
];

fn new_request(now: u64) -> PanicRequest {
    PanicRequest::new(Initiator::Cpu(3), Cause::HardLockup, 1, now)
}

#[test]
fn a_crash_kernel_is_needed_only_if_the_policy_says_so() {
    // Not while touches cannot be seen, if it is wanted.
    for (needs, loaded) in [(false, false), (false, true), (true, false), (true, true)] {
        assert_eq!(
            policy(1, 1, false, needs, loaded),
            Policy::TouchesNotCounted
        );
        assert_eq!(policy(0, 1, false, needs, loaded), Policy::NotWanted);
        assert_eq!(policy(2, 1, false, needs, loaded), Policy::NotWanted);
    }
    assert_eq!(policy(1, 1, true, false, false), Policy::Panic);
    assert_eq!(policy(1, 1, true, false, true), Policy::Panic);
    assert_eq!(policy(1, 1, true, true, false), Policy::NoCrashKernel);
    assert_eq!(policy(1, 1, true, true, true), Policy::Panic);
}

#[test]
fn what_a_panic_knob_asks_for() {
    let is_wanted =
        |limit, magnitude| policy(limit, magnitude, true, false, false) == Policy::Panic;
    for magnitude in [0, 1, 5, u64::MAX] {
        assert!(!is_wanted(0, magnitude), "0 is never");
    }
    assert!(is_wanted(1, 1) && is_wanted(1, 2));
    assert!(!is_wanted(3, 2) && is_wanted(3, 3));
    // Whether it is still asked for is polled with the greatest magnitude.
    assert!(is_wanted(u64::MAX, u64::MAX));
}

/// A knob of 0 never panics, a knob of n from the magnitude n on; `u64::MAX` is any finding.
#[test]
fn a_panic_is_wanted_from_the_magnitude_of_the_knob_on() {
    let knobs = [0, 1, 2, 5, 1_000_000, u64::MAX];
    let magnitudes = [0, 1, 2, 4, 5, 6, 1_000_000, u64::MAX];
    for (knob, magnitude) in knobs.iter().flat_map(|&n| magnitudes.map(|m| (n, m))) {
        for (needs, loaded) in [(false, false), (false, true), (true, false), (true, true)] {
            let wanted = match knob {
                0 => false,
                n => (n..=u64::MAX).contains(&magnitude),
            };
            let expected = match (wanted, needs, loaded) {
                (false, _, _) => Policy::NotWanted,
                (true, true, false) => Policy::NoCrashKernel,
                (true, _, _) => Policy::Panic,
            };
            assert_eq!(policy(knob, magnitude, true, needs, loaded), expected);
        }
    }
}

#[test]
fn each_cause_has_its_knobs() {
    let names = |knob: Knob| KNOBS[knob as usize].name;
    assert_eq!(
        CAUSES.map(|cause| (names(cause.panic_knob()), names(cause.sys_info_knob()))),
        [
            ("hung_task_panic", "hung_task_sys_info"),
            ("softlockup_panic", "softlockup_sys_info"),
            ("hardlockup_panic", "hardlockup_sys_info"),
            ("unresponsive_cpu_panic", "hardlockup_sys_info"),
        ]
    );
}

#[test]
fn the_panic_is_at_once_without_a_reason_to_wait() {
    let now = 77 * MS + 300_000;
    let request = new_request(now).in_phase(Phase::Delay, now, 0);
    assert_eq!(request.next_for_initiator(now, true), NextStep::Panic);
    // System state that a report without a panic has asked for is not waited for.
    assert_eq!(request.next_for_initiator(now, false), NextStep::Panic);
}

#[test]
fn the_worker_is_waited_for_but_not_for_ever() {
    let request = new_request(0).in_phase(Phase::SysInfo, 0, SYS_INFO_NS);
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
    let request = new_request(0).in_phase(Phase::Delay, 5 * MS, 1000 * MS);
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

/// The deadline is kept in milliseconds, rounded up.
#[test]
fn not_a_nanosecond_less_than_the_delay() {
    let now = 5 * MS + 300_000;
    let request = new_request(0).in_phase(Phase::Delay, now, 1000 * MS);
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
fn other_cpus_take_over() {
    let reporting = new_request(0);
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
    let delay = new_request(0).in_phase(Phase::Delay, 0, 0);
    assert_eq!(
        delay.next_for_takeover(TAKE_OVER_NS - MS),
        NextStep::PollAt(TAKE_OVER_NS)
    );
    assert_eq!(delay.next_for_takeover(TAKE_OVER_NS), NextStep::Panic);
}

/// Seven weeks after boot the milliseconds wrap.
#[test]
fn the_clock_in_milliseconds_may_wrap() {
    let wrap = (1u64 << 32) * MS;
    let now = wrap - 1000 * MS;
    let delay = new_request(now).in_phase(Phase::Delay, now, 3000 * MS);
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
fn no_request_is_zero() {
    assert_eq!(PanicRequest::unpack(0), None);
}

/// All requests of these initiators, generations and deadlines come back from their words. No two
/// share one, and none is 0.
fn check_words(
    initiators: impl Iterator<Item = Initiator>,
    generations: impl Iterator<Item = u32> + Clone,
    deadlines: &[u32],
) {
    let mut words = Vec::new();
    for initiator in initiators {
        for (cause, phase) in CAUSES.iter().flat_map(|&c| PHASES.map(|phase| (c, phase))) {
            for generation in generations.clone() {
                for &deadline in deadlines {
                    let request = PanicRequest {
                        initiator,
                        cause,
                        phase,
                        generation,
                        deadline,
                    };
                    let word = request.pack();
                    assert_eq!(PanicRequest::unpack(word), Some(request));
                    words.push(word);
                }
            }
        }
    }
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), count);
    assert_ne!(words.first(), Some(&0));
}

#[test]
fn requests_of_every_initiator_are_packed_apart() {
    let cpus = (0..=8192).chain([0xf_fffe]).map(Initiator::Cpu);
    let initiators = cpus.chain([Initiator::Thread]);
    let generations = [0, 1, 0x7f, 0x80, 0xff].into_iter();
    check_words(initiators, generations, &[0, u32::MAX]);
}

#[test]
fn requests_of_every_generation_are_packed_apart() {
    let cpus = [0, 1, 2, 63, 64, 4095, 8191, 0xf_fffe].map(Initiator::Cpu);
    let initiators = cpus.into_iter().chain([Initiator::Thread]);
    check_words(initiators, 0..=0xff, &[0, 1, u32::MAX / 2, u32::MAX]);
}

/// The two bits of the phase are 0 in no request: each such word is none, and each other word is
/// the request that it packs to.
#[test]
fn every_word_is_a_request_or_none() {
    for deadline in [0, 1, u32::MAX] {
        for low in (0..=u32::MAX).step_by(4099) {
            let word = u64::from(deadline) << 32 | u64::from(low);
            match PanicRequest::unpack(word) {
                None => assert_eq!(low >> 20 & 3, 0),
                Some(request) => assert_eq!(request.pack(), word),
            }
        }
    }
}

fn any_request() -> impl Strategy<Value = PanicRequest> {
    let by = prop_oneof![
        Just(Initiator::Thread),
        (0..8192u32).prop_map(Initiator::Cpu)
    ];
    let why = prop::sample::select(CAUSES.to_vec());
    let phase = prop::sample::select(PHASES.to_vec());
    (by, why, phase, any::<u8>(), any::<u32>()).prop_map(
        |(initiator, cause, phase, generation, deadline)| PanicRequest {
            initiator,
            cause,
            phase,
            generation: generation.into(),
            deadline,
        },
    )
}

proptest! {
    #[test]
    fn a_request_fits_into_a_word(request in any_request(), other in any_request()) {
        let word = request.pack();
        prop_assert_ne!(word, 0);
        prop_assert_eq!(PanicRequest::unpack(word), Some(request));
        prop_assert_eq!(request == other, word == other.pack());
        prop_assert!(request.is_same(&request.in_phase(Phase::Delay, 7, 7)));
        let later = PanicRequest { generation: (request.generation + 1) & 0xff, ..request };
        prop_assert!(!request.is_same(&later));
    }

    /// Polled when it says, a request ends in a panic of its initiator, before any other CPU takes
    /// over: not before the delay is over, and not later than the time for the worker, the delay,
    /// and one poll each.
    #[test]
    fn the_initiator_panics_in_time(
        begin in 0..u64::MAX / 2,
        delay in 0..=60_000u64,
        done_after in 0..2 * SYS_INFO_NS,
    ) {
        let mut request = new_request(begin).in_phase(Phase::SysInfo, begin, SYS_INFO_NS);
        let mut now = begin;
        let mut drains = None;
        for polls in 0.. {
            prop_assert!(polls < 4000);
            prop_assert_ne!(request.next_for_takeover(now), NextStep::Panic);
            match request.next_for_initiator(now, now - begin >= done_after) {
                NextStep::Panic => break,
                NextStep::BeginDelay => {
                    prop_assert!(drains.is_none());
                    drains = Some(now);
                    request = request.in_phase(Phase::Delay, now, delay * MS);
                }
                NextStep::PollAt(at) => {
                    prop_assert!(at > now && at <= now + POLL_NS);
                    now = at;
                }
            }
        }
        let drains = drains.unwrap();
        prop_assert!(drains - begin <= done_after.min(SYS_INFO_NS) + POLL_NS);
        prop_assert!(now - drains >= delay * MS);
        prop_assert!(now - drains <= delay * MS + POLL_NS);
    }

    /// Another CPU that polls when it says takes over `TAKE_OVER_NS` after the deadline, to the
    /// millisecond.
    #[test]
    fn other_cpus_take_over_in_time(begin in 0..u64::MAX / 2, wait in 0..70_000u64) {
        let request = new_request(begin).in_phase(Phase::Delay, begin, wait * MS);
        let mut now = begin;
        while let NextStep::PollAt(at) = request.next_for_takeover(now) {
            prop_assert!(at > now);
            now = at;
        }
        let due = begin + wait * MS + TAKE_OVER_NS;
        prop_assert!(now >= due && now <= due + 2 * MS, "{} and {}", now, due);
    }

    #[test]
    fn no_number_overflows(now: u64, ns: u64, request in any_request()) {
        let _ = request.next_for_takeover(now);
        let _ = request.next_for_initiator(now, true);
        let _ = PanicRequest::new(Initiator::Thread, Cause::HungTask, u32::MAX, now).in_phase(Phase::Delay, now, ns);
    }
}
