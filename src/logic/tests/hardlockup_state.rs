// SPDX-License-Identifier: GPL-2.0

//! The hard-lockup state of a CPU in one word.

mod common;

use proptest::prelude::*;
use vigil_logic::hardlockup::state::State;

const WITHOUT_TIME: [State; 4] = [
    State::Healthy,
    State::PerfHit,
    State::Reported,
    State::Unresponsive,
];

#[test]
fn states_without_a_time_are_packed_apart() {
    let words = WITHOUT_TIME.map(State::pack);
    for (n, word) in words.iter().enumerate() {
        assert_eq!(words.iter().position(|other| other == word), Some(n));
        assert_eq!(State::unpack(*word), WITHOUT_TIME[n]);
    }
    // What memory of the kernel holds at first.
    assert_eq!(State::unpack(0), State::Healthy);
}

#[test]
fn the_first_times_are_rounded_up() {
    for at in 0..10 {
        let sent = State::nmi_sent(at, State::Healthy);
        assert_eq!(sent, State::NmiSent(at.max(4)));
        assert_eq!(State::unpack(sent.pack()), sent);
        assert_eq!(State::NmiSent(at).pack(), sent.pack());
        assert!(!WITHOUT_TIME.contains(&State::unpack(sent.pack())));
    }
}

#[test]
fn one_that_starts_over_has_been_sent_no_nmi() {
    let over = State::Unresponsive.start_over();
    assert_eq!(State::unpack(over.pack()), over);
    assert_eq!(over.start_over(), over);
    for state in [over, State::Healthy, State::PerfHit, State::Reported] {
        assert!(!state.nmi_unacked());
    }
}

proptest! {
    #![proptest_config(common::config())]

    #[test]
    fn each_word_is_a_state_and_comes_back(word in prop_oneof![0..16u64, any::<u64>()]) {
        prop_assert_eq!(State::unpack(word).pack(), word);
    }

    #[test]
    fn each_time_comes_back(at: u64) {
        for before in WITHOUT_TIME {
            let sent = State::nmi_sent(at, before);
            prop_assert_eq!(State::unpack(sent.pack()), sent);
            prop_assert_eq!(State::nmi_sent(at, sent), sent);
            prop_assert!(!WITHOUT_TIME.contains(&State::unpack(sent.pack())));
        }
    }

    #[test]
    fn what_was_reported_is_not_forgotten(at in 4..u64::MAX >> 1) {
        for before in [State::Unresponsive, State::NmiSentAgain(77)] {
            let sent = State::nmi_sent(at, before);
            prop_assert_eq!(sent, State::NmiSentAgain(at));
            prop_assert_eq!(sent.nmi_sent_at(), Some(at));
            prop_assert_eq!(sent.start_over(), State::NmiSentAgain(0));
            prop_assert_eq!(before.start_over(), State::NmiSentAgain(0));
            prop_assert!(before.nmi_unacked() && sent.nmi_unacked());
        }
        for before in [State::Healthy, State::NmiSent(77), State::PerfHit] {
            let sent = State::nmi_sent(at, before);
            prop_assert_eq!(sent, State::NmiSent(at));
            prop_assert_eq!(sent.nmi_sent_at(), Some(at));
            prop_assert_eq!(sent.start_over(), State::Healthy);
            prop_assert!(sent.nmi_unacked());
        }
    }
}
