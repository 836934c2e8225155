// SPDX-License-Identifier: GPL-2.0

//! Lists of CPUs: read, printed, and refused.

mod common;

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt;
use vigil_logic::{
    cpulist::{parse, show},
    knobs::ParseError,
};

/// The ranges of a text, in the order in which they stand there.
fn ranges(text: &[u8], cpus: u32) -> Result<Vec<(u32, u32)>, ParseError> {
    let mut ranges = Vec::new();
    parse(text, cpus, |first, last| ranges.push((first, last)))?;
    Ok(ranges)
}

/// The CPUs of a text.
fn set(text: &[u8], cpus: u32) -> Result<BTreeSet<u32>, ParseError> {
    let ranges = ranges(text, cpus)?;
    Ok(ranges.into_iter().flat_map(|(a, b)| a..=b).collect())
}

fn shown(cpus: u32, set: &BTreeSet<u32>) -> String {
    let mut out = String::new();
    show(cpus, |cpu| set.contains(&cpu), &mut out).expect("a String takes everything");
    out
}

#[test]
fn what_is_a_list() {
    for (text, expected) in [
        ("", vec![]),
        ("\n", vec![]),
        (" \t\r\n ", vec![]),
        ("0", vec![(0, 0)]),
        ("0\n", vec![(0, 0)]),
        (" 7 ", vec![(7, 7)]),
        ("0-3,8", vec![(0, 3), (8, 8)]),
        ("\t0-3,8\n", vec![(0, 3), (8, 8)]),
        // As they stand there: neither sorted nor joined.
        ("8,0-3", vec![(8, 8), (0, 3)]),
        ("5-5", vec![(5, 5)]),
        ("1,1,1-1", vec![(1, 1); 3]),
        ("0-7,3-5,4", vec![(0, 7), (3, 5), (4, 4)]),
        // Decimal, zeros in front or not.
        ("007", vec![(7, 7)]),
        ("010-011", vec![(10, 11)]),
        ("0-63", vec![(0, 63)]),
        ("63", vec![(63, 63)]),
        ("00000000000000000000000000000000063", vec![(63, 63)]),
    ] {
        assert_eq!(ranges(text.as_bytes(), 64), Ok(expected), "{text:?}");
    }
}

#[test]
fn what_is_none() {
    let texts: [&[u8]; 55] = [
        b",",
        b",,",
        b"-",
        b"--",
        b"0,",
        b",0",
        b"0,,1",
        b"0-",
        b"-0",
        b"-1",
        b"0--1",
        b"0-1-2",
        b"0-1-",
        b"-0-1",
        b"1-0",
        b"63-0",
        b"3-2,0",
        b"0,3-2",
        b"0-3,",
        b"0-3,-",
        b"0 1",
        b"0, 1",
        b"0 ,1",
        b"0 - 1",
        b"0- 1",
        b"0 -1",
        b"0\n1",
        b"0;1",
        b"0.1",
        b"0:1",
        b"0-3/2",
        b"0-63:1/2",
        b"+1",
        b"0-+1",
        b"0x1",
        b"1e1",
        b"a",
        b"f",
        b"all",
        b"N",
        b"none",
        b"cpu0",
        b"64",
        b"0-64",
        b"64-65",
        b"0,64",
        b"64,0",
        b"4294967295",
        b"4294967296",
        b"0-4294967296",
        b"18446744073709551616",
        b"0\0",
        b"\x000",
        b"0\xff",
        b"\xff",
    ];
    for text in texts {
        assert_eq!(ranges(text, 64), Err(ParseError), "{text:?}");
        let line = [text, b"\n"].concat();
        assert_eq!(ranges(&line, 64), Err(ParseError), "{line:?}");
    }
    for text in [
        "9".repeat(1000),
        "1".repeat(1000),
        "0,".repeat(1000),
        "٣".into(),
        "１".into(),
        "0－1".into(),
    ] {
        assert_eq!(
            ranges(text.as_bytes(), u32::MAX),
            Err(ParseError),
            "{text:?}"
        );
    }
}

#[test]
fn at_the_limits() {
    // No CPU at all: only nothing can be said.
    assert_eq!(ranges(b"", 0), Ok(vec![]));
    assert_eq!(ranges(b"0", 0), Err(ParseError));
    assert_eq!(ranges(b"0", 1), Ok(vec![(0, 0)]));
    assert_eq!(ranges(b"0-0", 1), Ok(vec![(0, 0)]));
    assert_eq!(ranges(b"1", 1), Err(ParseError));
    assert_eq!(ranges(b"0-1", 1), Err(ParseError));
    let most = u32::MAX;
    assert_eq!(
        ranges(b"4294967294", most),
        Ok(vec![(most - 1, most - 1)]),
        "the last one of as many as there can be"
    );
    assert_eq!(ranges(b"0-4294967294", most), Ok(vec![(0, most - 1)]));
    // 32 bits and one more, and what they wrap around to.
    for text in ["4294967295", "4294967296", "4294967297", "42949672950"] {
        assert_eq!(ranges(text.as_bytes(), most), Err(ParseError), "{text}");
    }
}

#[test]
fn shown_as_the_kernel_shows_them() {
    for (cpus, set, expected) in [
        (0, vec![], ""),
        (8, vec![], ""),
        (8, vec![0], "0"),
        (8, vec![7], "7"),
        (8, vec![0, 1], "0-1"),
        (8, vec![6, 7], "6-7"),
        (8, vec![0, 2, 4, 6], "0,2,4,6"),
        (8, vec![0, 1, 2, 3, 4, 5, 6, 7], "0-7"),
        (16, vec![0, 1, 2, 3, 8], "0-3,8"),
        (16, vec![0, 3, 4, 5, 9, 10, 15], "0,3-5,9-10,15"),
        // What lies beyond is not asked for.
        (4, vec![2, 3, 4, 5], "2-3"),
        (2, vec![2], ""),
    ] {
        assert_eq!(shown(cpus, &set.into_iter().collect()), expected);
    }
}

#[test]
fn each_cpu_is_asked_for_within_bounds() {
    let mut out = String::new();
    show(
        64,
        |cpu| {
            assert!(cpu < 64);
            true
        },
        &mut out,
    )
    .expect("a String takes everything");
    assert_eq!(out, "0-63");
}

#[test]
fn no_room_is_an_error() {
    /// Takes so many bytes and no more.
    struct Room(usize);
    impl fmt::Write for Room {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let has = |cpu: u32| cpu & 1 == 0;
    assert_eq!(show(8, has, &mut Room("0,2,4,6".len())), Ok(()));
    for room in 0.."0,2,4,6".len() {
        assert_eq!(show(8, has, &mut Room(room)), Err(fmt::Error));
    }
}

/// A list by splitting strings: `None` if it is none.
fn model(text: &[u8], cpus: u32) -> Option<Vec<(u32, u32)>> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_matches(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c'));
    if text.is_empty() {
        return Some(Vec::new());
    }
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // Too long for 128 bits is too much for any machine.
        digits.then(|| text.parse::<u128>().unwrap_or(u128::MAX))
    };
    text.split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            let fits = first <= last && last < u128::from(cpus);
            fits.then_some((first as u32, last as u32))
        })
        .collect()
}

proptest! {
    #![proptest_config(common::config())]

    /// Every set reads back from what is shown, as few ranges in order.
    #[test]
    fn sets_read_back(set in prop::collection::btree_set(0..200u32, 0..150), cpus in 200..300u32) {
        let text = shown(cpus, &set);
        prop_assert_eq!(self::set(text.as_bytes(), cpus), Ok(set.clone()));
        prop_assert_eq!(self::set(format!("{text}\n").as_bytes(), cpus), Ok(set));
        let ranges = ranges(text.as_bytes(), cpus).expect("just read");
        for pair in ranges.windows(2) {
            prop_assert!(pair[0].1 + 1 < pair[1].0, "{}: not the shortest way", text);
        }
    }

    /// Ranges in any order, overlapping or not, make the set of what is in any of them.
    #[test]
    fn ranges_add_up(pairs in prop::collection::vec((0..128u32, 0..128u32), 1..20)) {
        let pairs: Vec<(u32, u32)> =
            pairs.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        let text: Vec<String> = pairs
            .iter()
            .map(|(a, b)| if a == b { format!("{a}") } else { format!("{a}-{b}") })
            .collect();
        let text = text.join(",");
        prop_assert_eq!(ranges(text.as_bytes(), 128), Ok(pairs.clone()));
        let expected: BTreeSet<u32> = (0..128)
            .filter(|cpu| pairs.iter().any(|(a, b)| a <= cpu && cpu <= b))
            .collect();
        prop_assert_eq!(set(text.as_bytes(), 128), Ok(expected));
    }

    /// What looks like a list, or nearly: taken exactly if it is one.
    #[test]
    fn only_lists_are_read(
        pieces in prop::collection::vec(
            prop_oneof![
                6 => "[0-9]{1,3}",
                4 => "-",
                4 => ",",
                1 => "[ \t\n]",
                1 => "[0-9]{9,25}",
                1 => "[a-z+:/]",
            ],
            0..8,
        ),
        cpus in prop_oneof![0..1000u32, Just(u32::MAX)],
    ) {
        let text = pieces.concat();
        let expected = model(text.as_bytes(), cpus).ok_or(ParseError);
        prop_assert_eq!(ranges(text.as_bytes(), cpus), expected, "{:?}", text);
    }

    #[test]
    fn bytes_make_no_list(text: Vec<u8>, cpus: u32) {
        prop_assert_eq!(ranges(&text, cpus), model(&text, cpus).ok_or(ParseError));
    }

    /// Parsing twice gives the same twice: once to check, once to use.
    #[test]
    fn what_is_parsed_before_an_error(good in prop::collection::vec(0..64u32, 0..8), bad in "[a-z-]") {
        let mut words: Vec<String> = good.iter().map(u32::to_string).collect();
        words.push(bad);
        let mut seen = Vec::new();
        let result = parse(words.join(",").as_bytes(), 64, |a, b| seen.push((a, b)));
        prop_assert_eq!(result, Err(ParseError));
        prop_assert!(seen.len() <= good.len());
    }
}
