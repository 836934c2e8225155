// SPDX-License-Identifier: GPL-2.0

//! Every knob: its range, and what may be written to it.

mod common;

use proptest::prelude::*;
use std::collections::HashSet;
use vigil_logic::knobs::{
    HungTaskReportMode, Knob, KnobInfo, KnobKind, Max, ParseError, COUNT, KNOBS, SYS_INFO,
    SYS_INFO_ALL_BT, SYS_INFO_LOCKS,
};

/// `HZ` of the kernels in question, and one that is not.
const HZ: [i64; 3] = [250, 1000, 100];

fn knob(name: &str) -> &'static KnobInfo {
    KNOBS
        .iter()
        .find(|knob| knob.name == name)
        .expect("a knob of this name")
}

/// The numbers, with their ranges and defaults, as the design and mainline's table have them:
/// `LONG_MAX / HZ` for the first two.
fn numbers(hz: i64) -> Vec<(&'static str, i64, i64, i64)> {
    let seconds = i64::MAX / hz;
    let int = 0x7fff_ffff;
    vec![
        ("hung_task_timeout_secs", 0, seconds, 120),
        ("hung_task_check_interval_secs", 0, seconds, 0),
        ("hung_task_check_count", 0, int, 4 * 1024 * 1024),
        ("hung_task_warnings", -1, int, 10),
        ("hung_task_panic", 0, int, 0),
        ("hung_task_all_cpu_backtrace", 0, 1, 0),
        ("watchdog", 0, 1, 1),
        ("soft_watchdog", 0, 1, 1),
        ("nmi_watchdog", 0, 1, 1),
        ("watchdog_thresh", 0, 60, 10),
        ("softlockup_panic", 0, int, 0),
        ("softlockup_all_cpu_backtrace", 0, 1, 0),
        ("hardlockup_panic", 0, 1, 0),
        ("hardlockup_all_cpu_backtrace", 0, 1, 0),
        ("hung_task_panic_secs", 0, seconds, 0),
        ("unresponsive_cpu_panic", 0, 1, 0),
        ("panic_needs_kdump", 0, 1, 0),
        ("panic_delay_ms", 0, 60_000, 0),
    ]
}

const COUNTER: &str = "hung_task_detect_count";
const LIST: &str = "hung_task_sys_info";
const GAUGES: [&str; 5] = [
    "softlockup_count",
    "hardlockup_count",
    "unresponsive_cpu_count",
    "hung_tasks_now",
    "stuck_cpus_now",
];
/// The knobs that are a word, with their words; the first is the default.
const WORD_KNOBS: [(&str, &[&str]); 1] = [(REPORT, &["grouped", "mainline"])];
const REPORT: &str = "hung_task_report";
const RULES: [&str; 2] = ["hung_task_ignore", "hung_task_panic_only"];
const LISTS: [&str; 3] = [LIST, "softlockup_sys_info", "hardlockup_sys_info"];
const CPUS: &str = "watchdog_cpumask";
const WORDS: [(&str, i64); 7] = [
    ("tasks", 1),
    ("mem", 2),
    ("timers", 4),
    ("locks", 8),
    ("ftrace", 16),
    ("all_bt", 64),
    ("blocked_tasks", 128),
];
const ALL_WORDS: &str = "tasks,mem,timers,locks,ftrace,all_bt,blocked_tasks";

#[test]
fn the_table() {
    assert_eq!(COUNT, KNOBS.len());
    let names: Vec<&str> = numbers(250)
        .iter()
        .map(|n| n.0)
        .chain([COUNTER])
        .chain(GAUGES)
        .chain(WORD_KNOBS.map(|(name, _)| name))
        .chain(RULES)
        .chain(LISTS)
        .chain([CPUS])
        .collect();
    assert_eq!(
        KNOBS.iter().map(|knob| knob.name).collect::<Vec<_>>(),
        names
    );
    for (place, knob) in KNOBS.iter().enumerate() {
        assert_eq!(knob.id as usize, place);
        assert!(!knob.help.is_empty() && !knob.help.contains('\n') && knob.help.is_ascii());
        assert!(!knob.help.ends_with('.'), "{}", knob.name);
    }
    let places: HashSet<usize> = KNOBS.iter().map(|knob| knob.id as usize).collect();
    assert_eq!(places.len(), COUNT);
    assert_eq!(
        KNOBS[Knob::HungTaskWarnings as usize].name,
        "hung_task_warnings"
    );
    assert_eq!(KNOBS[Knob::WatchdogThresh as usize].name, "watchdog_thresh");
    assert_eq!(KNOBS[Knob::WatchdogCpumask as usize].name, CPUS);
}

/// The names in the tables of `kernel/hung_task.c` and `kernel/watchdog.c` of 7.3. A knob that is
/// not one of them must not get into `/proc/sys/kernel`.
#[test]
fn mainline_has_these() {
    let mut mainline = [
        "hung_task_all_cpu_backtrace",
        "hung_task_check_count",
        "hung_task_check_interval_secs",
        "hung_task_detect_count",
        "hung_task_panic",
        "hung_task_sys_info",
        "hung_task_timeout_secs",
        "hung_task_warnings",
        "watchdog",
        "watchdog_thresh",
        "watchdog_cpumask",
        "soft_watchdog",
        "softlockup_panic",
        "softlockup_sys_info",
        "softlockup_all_cpu_backtrace",
        "hardlockup_panic",
        "hardlockup_sys_info",
        "hardlockup_all_cpu_backtrace",
        "nmi_watchdog",
    ];
    mainline.sort_unstable();
    let marked = KNOBS.iter().filter(|knob| knob.mainline);
    let mut marked: Vec<&str> = marked.map(|knob| knob.name).collect();
    marked.sort_unstable();
    assert_eq!(marked, mainline);
}

/// What sets the lockup detectors up anew: what mainline calls `proc_watchdog_update()` for.
#[test]
fn what_reconfigures() {
    let five = [
        "watchdog",
        "soft_watchdog",
        "nmi_watchdog",
        "watchdog_thresh",
        "watchdog_cpumask",
    ];
    for knob in KNOBS {
        assert_eq!(
            knob.reconfigures(),
            five.contains(&knob.name),
            "{}",
            knob.name
        );
    }
}

#[test]
fn defaults_and_ranges() {
    for hz in HZ {
        for (name, min, max, default) in numbers(hz) {
            let knob = knob(name);
            assert_eq!(knob.default(), default, "{name}");
            for (value, expected) in [
                (min, Ok(min)),
                (max, Ok(max)),
                (default, Ok(default)),
                (min - 1, Err(ParseError)),
                (max + 1, Err(ParseError)),
                (i64::MIN, Err(ParseError)),
                (i64::MAX, Err(ParseError)),
            ] {
                assert_eq!(knob.check(value, hz), expected, "{name} {value}");
                let text = value.to_string();
                assert_eq!(knob.parse(text.as_bytes(), hz), expected, "{name} {text}");
                let line = format!("{text}\n");
                assert_eq!(knob.parse(line.as_bytes(), hz), expected, "{name} {text}");
            }
        }
    }
    assert_eq!(Max::Seconds.value(250), 36_893_488_147_419_103);
    for hz in HZ {
        let others = [Max::SWITCH, Max::Number(60), Max::INT].map(|max| max.value(hz));
        assert_eq!(others, [1, 60, 2_147_483_647]);
    }
    // Where 64 bits are the only limit, nothing wraps around into them.
    let widest = knob("hung_task_timeout_secs");
    assert_eq!(widest.parse(b"9223372036854775807", 1), Ok(i64::MAX));
    for text in [
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
    ] {
        assert_eq!(widest.parse(text.as_bytes(), 1), Err(ParseError), "{text}");
    }
    // No kernel has it, and there must be no division by it.
    assert_eq!(Max::Seconds.value(0), 0);
}

/// What is no number at all, for any knob that holds one.
fn nonsense() -> Vec<Vec<u8>> {
    let words: [&[u8]; 44] = [
        b"",
        b" ",
        b"\n",
        b" \t\r\n ",
        b"a",
        b"abc",
        b"one",
        b"true",
        b"on",
        b"y",
        b"-",
        b"--1",
        b"--",
        b"- 1",
        b"1-",
        b"-1-",
        b"+",
        b"+1",
        b"+0",
        b"++1",
        b"1 2",
        b"1,2",
        b"1\n2",
        b"1\t1",
        b"0 0",
        b"0,0",
        b"1.0",
        b"1e3",
        b"1_0",
        b"0x",
        b"0X",
        b"x10",
        b"0xg",
        b"0x-1",
        b"0x 1",
        b"0b1",
        b"0o7",
        b"08",
        b"09",
        b"1s",
        b"1\0",
        b"\x001",
        b"\xff",
        b"1\xc3\xb1",
    ];
    let mut all: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
    all.extend([
        "9".repeat(1000).into_bytes(),
        [b"-", "9".repeat(1000).as_bytes()].concat(),
        [b"0x", "f".repeat(1000).as_bytes()].concat(),
        [b"0", "7".repeat(1000).as_bytes()].concat(),
        ["1".repeat(500).as_bytes(), b" ", "1".repeat(500).as_bytes()].concat(),
        "a".repeat(1000).into_bytes(),
        vec![b'0'; 1000].into_iter().chain(*b"x1").collect(),
        vec![b' '; 1000],
        vec![0; 1000],
        vec![0xff; 1000],
        "٣".into(),
        "１".into(),
        // One beyond 64 bits, either way, and what that wraps around to.
        b"9223372036854775808".to_vec(),
        b"-9223372036854775809".to_vec(),
        b"18446744073709551615".to_vec(),
        b"18446744073709551616".to_vec(),
        b"18446744073709551617".to_vec(),
        b"0x10000000000000000".to_vec(),
        b"0x8000000000000000".to_vec(),
        b"0xffffffffffffffff".to_vec(),
        b"02000000000000000000000".to_vec(),
        b"4294967296000000000000000001".to_vec(),
    ]);
    all
}

#[test]
fn nonsense_is_refused_by_every_number() {
    for text in nonsense() {
        let numbers = |kind| {
            matches!(
                kind,
                KnobKind::Number { .. } | KnobKind::Counter | KnobKind::Gauge
            )
        };
        for knob in KNOBS.iter().filter(|knob| numbers(knob.kind)) {
            assert_eq!(
                knob.parse(&text, 250),
                Err(ParseError),
                "{} {text:?}",
                knob.name
            );
        }
    }
}

#[test]
fn numbers_as_c_writes_them() {
    let knob = knob("hung_task_timeout_secs");
    for (text, value) in [
        ("0", 0),
        ("-0", 0),
        ("00", 0),
        ("1", 1),
        ("0x10", 16),
        ("0X10", 16),
        ("0xfF", 255),
        ("0x0", 0),
        ("010", 8),
        ("0010", 8),
        ("077", 63),
        (" 5", 5),
        ("5 ", 5),
        ("\t5\r\n", 5),
        ("  5  \n", 5),
    ] {
        assert_eq!(knob.parse(text.as_bytes(), 250), Ok(value), "{text:?}");
    }
    // Long, and yet a number in range.
    assert_eq!(
        knob.parse(format!("{}5", "0".repeat(999)).as_bytes(), 250),
        Ok(5)
    );
    assert_eq!(
        knob.parse(format!("{}5\n", " ".repeat(999)).as_bytes(), 250),
        Ok(5)
    );

    let warnings = self::knob("hung_task_warnings");
    for text in ["-1", "-1\n", " -1", "-0x1", "-01"] {
        assert_eq!(warnings.parse(text.as_bytes(), 250), Ok(-1), "{text:?}");
    }
    for text in ["-2", "-0x10", "-010", "2147483648", "0x80000000"] {
        assert_eq!(
            warnings.parse(text.as_bytes(), 250),
            Err(ParseError),
            "{text:?}"
        );
    }
    for (name, min, _, _) in numbers(250) {
        if min == 0 {
            assert_eq!(
                self::knob(name).parse(b"-1", 250),
                Err(ParseError),
                "{name}"
            );
        }
    }
}

#[test]
fn gauges_take_nothing() {
    let gauges = || KNOBS.iter().filter(|knob| knob.kind == KnobKind::Gauge);
    assert!(gauges().count() >= 5);
    for knob in gauges() {
        assert!(!knob.is_writable() && !knob.mainline && !knob.reconfigures());
        for text in ["0", "1", "-1", ""] {
            assert_eq!(
                knob.parse(text.as_bytes(), 250),
                Err(ParseError),
                "{}",
                knob.name
            );
        }
        assert_eq!(knob.check(0, 250), Err(ParseError));
    }
    assert!(KNOBS
        .iter()
        .all(|knob| knob.is_writable() != (knob.kind == KnobKind::Gauge)));
}

#[test]
fn the_counter_takes_zero_alone() {
    let knob = knob(COUNTER);
    assert_eq!(knob.kind, KnobKind::Counter);
    assert_eq!(knob.default(), 0);
    for text in ["0", "0\n", " 0 ", "00", "0x0", "-0"] {
        assert_eq!(knob.parse(text.as_bytes(), 250), Ok(0), "{text:?}");
    }
    for text in ["1", "-1", "9223372036854775807", "0x1", "01"] {
        assert_eq!(
            knob.parse(text.as_bytes(), 250),
            Err(ParseError),
            "{text:?}"
        );
    }
    assert_eq!(knob.display(i64::MAX).to_string(), "9223372036854775807");
}

/// Rules are no number, nor a list of words: `rules` reads them, and the test `hung_task_rules` is about
/// that.
#[test]
fn rules_are_read_elsewhere() {
    for name in RULES {
        let knob = knob(name);
        assert_eq!((knob.kind, knob.default()), (KnobKind::Rules, 0));
        assert!(knob.is_writable() && !knob.mainline && !knob.reconfigures());
        assert_eq!(knob.display(0).to_string(), "");
        assert_eq!(knob.check(0, 250), Err(ParseError));
        for text in ["", "\n", "0", "1", "kworker*", ":io"] {
            assert_eq!(
                knob.parse(text.as_bytes(), 250),
                Err(ParseError),
                "{text:?}"
            );
        }
    }
}

/// A list of CPUs is no number, nor a list of words: `cpulist` reads it, and only the kernel knows
/// what it holds if nothing is given.
#[test]
fn a_list_of_cpus_is_read_elsewhere() {
    let knob = knob(CPUS);
    assert_eq!(knob.kind, KnobKind::Cpus);
    assert_eq!(knob.default(), 0);
    for text in ["", "\n", "0", "1", "0-3", "0-3,8", "-1", "all", "mem"] {
        assert_eq!(
            knob.parse(text.as_bytes(), 250),
            Err(ParseError),
            "{text:?}"
        );
    }
    for text in nonsense() {
        assert_eq!(knob.parse(&text, 250), Err(ParseError), "{text:?}");
    }
}

#[test]
fn one_word() {
    let in_table = KNOBS
        .iter()
        .filter(|knob| matches!(knob.kind, KnobKind::Word(_)));
    assert_eq!(in_table.count(), WORD_KNOBS.len());
    for (name, words) in WORD_KNOBS {
        let knob = knob(name);
        assert_eq!((knob.kind, knob.default()), (KnobKind::Word(words), 0));
        assert!(knob.is_writable() && !knob.mainline && !knob.reconfigures());
        let parse = |text: &str| knob.parse(text.as_bytes(), 250);
        for (index, word) in (0..).zip(words) {
            assert_eq!(knob.display(index).to_string(), *word);
            assert_eq!(knob.check(index, 250), Ok(index));
            for text in [
                word.to_string(),
                format!("{word}\n"),
                format!(" \t{word} \r\n"),
            ] {
                assert_eq!(parse(&text), Ok(index), "{text:?}");
            }
            assert!(knob.help.contains(word), "{word} is not in the help");
            for wrong in [
                format!("{word}s"),
                format!("{word},"),
                format!(",{word}"),
                format!("{word} {word}"),
                format!("{word},{word}"),
                format!("{word}\n{word}"),
                format!("{word}\0"),
                format!("+{word}"),
                format!("\"{word}\""),
                word.to_uppercase(),
                word[1..].to_string(),
                word[..word.len() - 1].to_string(),
                word[..1].to_string(),
                word.repeat(200),
                // The number that is stored is no word.
                index.to_string(),
                format!("0x{index}\n"),
            ] {
                assert_eq!(parse(&wrong), Err(ParseError), "{wrong:?}");
            }
        }
        for text in nonsense() {
            assert_eq!(knob.parse(&text, 250), Err(ParseError), "{text:?}");
        }
        let end = i64::try_from(words.len()).expect("few");
        for index in [-1, end, i64::MIN, i64::MAX] {
            assert_eq!(knob.check(index, 250), Err(ParseError), "{index}");
            assert_eq!(knob.display(index).to_string(), words[0], "{index}");
        }
    }
}

#[test]
fn the_words_of_the_hung_task_report() {
    use HungTaskReportMode::{Grouped, Mainline};
    let knob = knob(REPORT);
    assert_eq!(knob.id, Knob::HungTaskReport);
    let modes = [("grouped", Grouped), ("mainline", Mainline)];
    assert_eq!(HungTaskReportMode::WORDS, modes.map(|(word, _)| word));
    for (word, mode) in modes {
        let index = knob.parse(word.as_bytes(), 250).expect("a word");
        assert_eq!(index, mode as i64, "{word}");
        assert_eq!(HungTaskReportMode::from_index(index), mode, "{word}");
    }
    assert_eq!(HungTaskReportMode::from_index(knob.default()), Grouped);
    for index in [-1, 2, i64::MIN, i64::MAX] {
        assert_eq!(HungTaskReportMode::from_index(index), Grouped, "{index}");
    }
}

#[test]
fn all_lists_are_alike() {
    let first = knob(LIST);
    for name in LISTS {
        let knob = knob(name);
        assert_eq!((knob.kind, knob.default()), (KnobKind::List, 0));
        let texts = [
            "",
            ALL_WORDS,
            "mem, tasks\n",
            "all_bt",
            "mem,,",
            "nothing",
            "1",
        ];
        for text in texts {
            let text = text.as_bytes();
            assert_eq!(knob.parse(text, 250), first.parse(text, 250), "{name}");
        }
        assert_eq!(knob.display(0xdf).to_string(), ALL_WORDS);
    }
}

#[test]
fn the_words_of_a_list() {
    let knob = knob(LIST);
    assert_eq!(knob.kind, KnobKind::List);
    assert_eq!(knob.default(), 0);
    assert_eq!(SYS_INFO, WORDS);
    assert_eq!((SYS_INFO_LOCKS, SYS_INFO_ALL_BT), (8, 64));
    let parse = |text: &str| knob.parse(text.as_bytes(), 250);
    for (word, bit) in WORDS {
        assert_eq!(parse(word), Ok(bit));
        assert_eq!(parse(&format!(" {word} \n")), Ok(bit));
        assert_eq!(parse(&format!("{word},{word}")), Ok(bit));
        assert_eq!(knob.display(bit).to_string(), word);
        assert!(knob.help.contains(word), "{word} is not in the help");
        for wrong in [
            format!("{word}s"),
            format!("{word},"),
            format!(",{word}"),
            format!("{word},,{word}"),
            format!("{word}, ,{word}"),
            format!("{word} {word}"),
            format!("{word};{word}"),
            format!("{word},nothing"),
            format!("nothing,{word}"),
            format!("{word}\0"),
            format!("+{word}"),
            word.to_uppercase(),
            word[1..].to_string(),
            word[..word.len() - 1].to_string(),
        ] {
            assert_eq!(parse(&wrong), Err(ParseError), "{wrong:?}");
        }
    }
    assert_eq!(parse(ALL_WORDS), Ok(0xdf));
    assert_eq!(parse(&ALL_WORDS.replace(',', " , ")), Ok(0xdf));
    assert_eq!(knob.display(0xdf).to_string(), ALL_WORDS);
    // The bit that has no name is not shown, nor any that this build does not know.
    assert_eq!(knob.display(0x20).to_string(), "");
    assert_eq!(knob.display(0x7fff_ff00).to_string(), "");
    // Nothing at all clears it.
    for text in ["", "\n", " ", " \n"] {
        assert_eq!(parse(text), Ok(0), "{text:?}");
    }
    assert_eq!(knob.display(0).to_string(), "");
    for text in [",", ",,", "0", "1", "-1", "0xdf", "all", "none", "\0"] {
        assert_eq!(parse(text), Err(ParseError), "{text:?}");
    }
    assert_eq!(knob.parse(b"\xff", 250), Err(ParseError));
    assert_eq!(knob.parse(b"mem,\xff\xfe", 250), Err(ParseError));
    assert_eq!(parse(&"a".repeat(1000)), Err(ParseError));
    assert_eq!(parse(&"mem,".repeat(250)), Err(ParseError));
    assert_eq!(parse(&format!("{}mem", "mem,".repeat(250))), Ok(2));
}

/// A whole number as `strtoll()` with base 0 reads it, or `None` if that is not all there is.
fn strtoll(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
    let text = text.trim_matches(blank);
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (base, digits) = if digits.starts_with("0x") || digits.starts_with("0X") {
        (16, &digits[2..])
    } else if digits.starts_with('0') {
        (8, digits)
    } else {
        (10, digits)
    };
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(base)) {
        return None;
    }
    // Too long for 128 bits is too long for any knob.
    Some(i128::from_str_radix(digits, base).map_or(i128::MAX, |value| sign * value))
}

/// What looks like a number, or nearly.
fn numberish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => "[0-9]{1,3}",
        2 => "0[xX][0-9a-fA-F]{1,4}",
        1 => "-",
        1 => "\\+",
        1 => "[ \t\n,.]",
        1 => "[0-9]{15,24}",
        1 => "[a-fxX]",
    ];
    prop_oneof![
        4 => prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat().into_bytes()),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| format!("{n:#x}\n").into_bytes()),
        1 => any::<Vec<u8>>(),
    ]
}

proptest! {
    #![proptest_config(common::config())]

    /// Every number knob reads what C reads, if that is in its range, and else nothing.
    #[test]
    fn numbers_are_read_as_c_reads_them(text in numberish(), hz in 0..3usize) {
        let hz = HZ[hz];
        let read = strtoll(&text);
        let all = numbers(hz).into_iter().map(|(name, min, max, _)| (name, min, max));
        for (name, min, max) in all.chain([(COUNTER, 0, 0)]) {
            let expected = read
                .and_then(|value| i64::try_from(value).ok())
                .filter(|value| (min..=max).contains(value))
                .ok_or(ParseError);
            prop_assert_eq!(knob(name).parse(&text, hz), expected, "{} {:?}", name, text);
        }
    }

    /// Every value that a number can have reads back as itself.
    #[test]
    fn numbers_read_back(value: i64, small in -2..300i64, hz in 0..3usize) {
        let hz = HZ[hz];
        for (name, min, max, default) in numbers(hz) {
            let inside = min + value.rem_euclid(max - min + 1);
            for value in [inside, small.clamp(min, max), min, max, default] {
                let text = knob(name).display(value).to_string();
                prop_assert_eq!(&text, &value.to_string());
                prop_assert_eq!(knob(name).parse(text.as_bytes(), hz), Ok(value));
                let line = format!("{text}\n");
                prop_assert_eq!(knob(name).parse(line.as_bytes(), hz), Ok(value));
                prop_assert_eq!(knob(name).check(value, hz), Ok(value));
            }
        }
    }

    /// Every set of words, in any order, with blanks around them, reads back.
    #[test]
    fn lists_read_back(
        words in prop::collection::vec((0..7usize, "[ \t]{0,2}", "[ \t]{0,2}"), 0..12),
    ) {
        let knob = knob(LIST);
        let text: Vec<String> =
            words.iter().map(|(n, a, b)| format!("{a}{}{b}", WORDS[*n].0)).collect();
        let mask = words.iter().fold(0, |mask, (n, _, _)| mask | WORDS[*n].1);
        prop_assert_eq!(knob.parse(text.join(",").as_bytes(), 250), Ok(mask));
        let shown = knob.display(mask).to_string();
        prop_assert_eq!(knob.parse(shown.as_bytes(), 250), Ok(mask));
        prop_assert_eq!(knob.check(mask, 250), Ok(mask));
    }

    /// Arbitrary bytes make no list, unless they are one.
    #[test]
    fn only_words_make_a_list(
        pieces in prop::collection::vec(
            prop_oneof![
                4 => (0..7usize).prop_map(|n| WORDS[n].0.to_string()),
                4 => Just(",".to_string()),
                1 => "[a-z_]{1,6}",
                1 => Just(" ".to_string()),
            ],
            0..8,
        ),
    ) {
        let text = pieces.concat();
        let whole = text.trim_matches(' ');
        let expected = if whole.is_empty() {
            Some(0)
        } else {
            whole.split(',').try_fold(0, |mask, word| {
                let found = WORDS.iter().find(|(name, _)| *name == word.trim_matches(' '));
                found.map(|(_, bit)| mask | bit)
            })
        };
        prop_assert_eq!(knob(LIST).parse(text.as_bytes(), 250), expected.ok_or(ParseError));
    }

    /// Arbitrary bytes make no word, unless they are one with blanks around it.
    #[test]
    fn only_a_word_makes_a_word(
        pieces in prop::collection::vec(
            prop_oneof![
                4 => (0..2usize).prop_map(|n| WORD_KNOBS[0].1[n].to_string()),
                4 => "[ \t\n]{1,2}",
                1 => "[a-z]{1,8}",
                1 => "[0-9,]",
            ],
            0..4,
        ),
        bytes: Vec<u8>,
    ) {
        let (name, words) = WORD_KNOBS[0];
        for text in [pieces.concat().into_bytes(), bytes] {
            let blanks = [' ', '\t', '\n', '\r', '\x0c'];
            let trimmed = std::str::from_utf8(&text).ok().map(|text| text.trim_matches(blanks));
            let index = words.iter().position(|word| Some(*word) == trimmed);
            let expected = index.map(|index| index as i64).ok_or(ParseError);
            prop_assert_eq!(knob(name).parse(&text, 250), expected, "{:?}", text);
        }
    }

    /// Whatever it holds, a knob reads as one line that fits (`LINE` of `sys/sysctl.rs`).
    #[test]
    fn what_is_shown_is_a_line(value: i64) {
        for knob in KNOBS {
            let text = knob.display(value).to_string();
            prop_assert!(text.len() < 255 && !text.contains('\n'));
        }
    }
}
