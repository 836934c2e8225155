// SPDX-License-Identifier: GPL-2.0

//! What is taken over from the kernel's own detectors.

use vigil_logic::{
    inherit::{has_word, inherited, nmi_watchdog_is_0, SOURCES},
    knobs::{KnobKind, KNOBS},
};

#[test]
fn off_is_not_taken_over() {
    assert_eq!(inherited(0), None);
    assert_eq!(inherited(-1), None);
    assert_eq!((inherited(1), inherited(300)), (Some(1), Some(300)));
}

/// Nothing that switches a detector on or off, and nothing that mainline does not have.
#[test]
fn only_policy_is_taken_over() {
    for source in SOURCES {
        let knob = KNOBS[source.knob as usize];
        assert!(
            knob.mainline && !knob.kind.eq(&KnobKind::Counter),
            "{}",
            knob.name
        );
        assert!(!knob.name.ends_with("watchdog"), "{}", knob.name);
    }
    let names: Vec<_> = SOURCES
        .iter()
        .map(|source| KNOBS[source.knob as usize].name)
        .collect();
    for knob in KNOBS.iter().filter(|knob| knob.mainline) {
        let policy = [
            "_panic",
            "_all_cpu_backtrace",
            "_sys_info",
            "_thresh",
            "_timeout_secs",
        ];
        let is_policy = policy.iter().any(|end| knob.name.ends_with(end));
        assert_eq!(names.contains(&knob.name), is_policy, "{}", knob.name);
    }
}

#[test]
fn boot_words() {
    let line = b"root=/dev/vda nowatchdog quiet -- nosoftlockup\0";
    assert!(has_word(line, b"nowatchdog") && !has_word(line, b"nosoftlockup"));
    assert!(!has_word(line, b"watchdog") && !has_word(b"", b"nowatchdog"));
    assert!(has_word(b"nosoftlockup", b"nosoftlockup"));
    for (line, is_0) in [
        (&b"nmi_watchdog=0"[..], true),
        (b"nmi_watchdog=panic,0 x", true),
        (b"a nmi_watchdog=1", false),
        (b"nmi_watchdog=0 nmi_watchdog=1", false),
        (b"nmi_watchdog=nopanic", false),
        (b"nmi_watchdog=10", false),
        (b"-- nmi_watchdog=0", false),
        (b"", false),
    ] {
        assert_eq!(
            nmi_watchdog_is_0(line),
            is_0,
            "{}",
            String::from_utf8_lossy(line)
        );
    }
}
