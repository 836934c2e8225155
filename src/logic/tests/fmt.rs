// SPDX-License-Identifier: GPL-2.0

//! Text of unknown origin stays on its line.

mod common;

use proptest::prelude::*;
use vigil_logic::{
    fmt::{Bytes, LogStamp, PathTail, Secs, SymbolText},
    task::{Comm, TASK_COMM_LEN},
};

fn comm(bytes: &[u8]) -> String {
    let mut whole = [0; TASK_COMM_LEN];
    whole[..bytes.len()].copy_from_slice(bytes);
    Comm::new(whole).to_string()
}

#[test]
fn names() {
    assert_eq!(TASK_COMM_LEN, 16);
    assert_eq!(comm(b""), "");
    assert_eq!(comm(b"kworker/u8:3-ev"), "kworker/u8:3-ev");
    assert_eq!(comm(b"Web Content"), "Web Content");
    assert_eq!(comm(b" a "), " a ");
    assert_eq!(comm(b"old\0rest"), "old");
    assert_eq!(comm(b"\0rest"), "");
    // No NUL at all: read while it was being changed.
    assert_eq!(comm(b"0123456789abcdef"), "0123456789abcdef");
    assert_eq!(Comm::default().to_string(), "");
}

#[test]
fn paths() {
    let printed = |path: &str, is_cut| {
        let path = path.as_bytes();
        PathTail { path, is_cut }.to_string()
    };
    assert_eq!(printed("/a/b c", false), "/a/b c");
    assert_eq!(printed("ods/pod1", true), "...ods/pod1");
    assert_eq!(
        printed("/a\nINFO: task x:1", false),
        "/a\\x0aINFO: task x:1"
    );
}

#[test]
fn symbols() {
    for (text, printed) in [
        ("rtnl_mutex+0x0/0x20", " (rtnl_mutex)"),
        ("init_net+0x8c0/0x1180", " (init_net+0x8c0/0x1180)"),
        ("lock+0x0/0x20 [xfs]", " (lock [xfs])"),
        ("table+0x40/0x80 [xfs]", " (table+0x40/0x80 [xfs])"),
        // Cut off.
        ("rtnl_mu", " (rtnl_mu)"),
        ("rtnl_mutex+0x", " (rtnl_mutex+0x)"),
        ("0xff2ef6fcc1046d00", ""),
        ("(null)", ""),
        ("", ""),
    ] {
        assert_eq!(SymbolText(text.as_bytes()).to_string(), printed, "{text}");
    }
}

#[test]
fn names_that_would_like_to_be_more() {
    assert_eq!(comm(b"a\nINFO: x"), "a\\x0aINFO: x");
    assert_eq!(comm(b"\x1b[2J"), "\\x1b[2J");
    assert_eq!(comm(b"\r\t\x7f\x80\xff"), "\\x0d\\x09\\x7f\\x80\\xff");
    assert_eq!(comm("ñ{}%s".as_bytes()), "\\xc3\\xb1{}%s");
}

#[test]
fn bytes() {
    assert_eq!(Bytes(b"").to_string(), "");
    assert_eq!(Bytes(b"a\0b").to_string(), "a\\x00b");
    assert_eq!(Bytes(b" ~!").to_string(), " ~!");
}

#[test]
fn stamps() {
    let stamp = |ns| LogStamp(ns).to_string();
    assert_eq!(stamp(0), "0.000000");
    assert_eq!(stamp(999), "0.000000");
    assert_eq!(stamp(1000), "0.000001");
    assert_eq!(stamp(12_000_345_678), "12.000345");
    assert_eq!(stamp(999_999_999), "0.999999");
    assert_eq!(stamp(1_000_000_000), "1.000000");
    assert_eq!(stamp(u64::MAX), "18446744073.709551");
}

#[test]
fn seconds() {
    let secs = |ns| Secs(ns).to_string();
    assert_eq!(secs(0), "0");
    assert_eq!(secs(999_999), "0");
    assert_eq!(secs(1_000_000), "0.001");
    assert_eq!(secs(10_000_000), "0.01");
    assert_eq!(secs(100_000_000), "0.1");
    assert_eq!(secs(101_000_000), "0.101");
    assert_eq!(secs(999_999_999), "0.999");
    assert_eq!(secs(1_000_000_000), "1");
    assert_eq!(secs(7_500_000_000), "7.5");
    assert_eq!(secs(1_062_500_000), "1.062");
    assert_eq!(secs(120_050_000_000), "120.05");
    assert_eq!(secs(u64::MAX), "18446744073.709");
}

/// What `\xNN` stands for, and other characters for themselves.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if let [b'\\', b'x', a, b, after @ ..] = rest {
            let digits = [*a, *b];
            let digits = std::str::from_utf8(&digits).expect("ASCII");
            out.push(u8::from_str_radix(digits, 16).expect("two digits"));
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

proptest! {
    #![proptest_config(common::config())]

    /// Only printable ASCII comes out, and all of what went in can be read from it (but for a
    /// backslash, which stands for itself).
    #[test]
    fn printable_and_complete(bytes: Vec<u8>) {
        let text = Bytes(&bytes).to_string();
        prop_assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)));
        if !bytes.contains(&b'\\') {
            prop_assert_eq!(unescape(&text), bytes);
        }
    }

    #[test]
    fn a_name_ends_at_its_nul(bytes: [u8; TASK_COMM_LEN]) {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(TASK_COMM_LEN);
        prop_assert_eq!(Comm::new(bytes).to_string(), Bytes(&bytes[..end]).to_string());
    }

    #[test]
    fn a_stamp_reads_as_its_microseconds(ns: u64) {
        let text = LogStamp(ns).to_string();
        let (secs, micros) = text.split_once('.').expect("a point");
        prop_assert_eq!(micros.len(), 6);
        let (secs, micros): (u64, u64) = (secs.parse().unwrap(), micros.parse().unwrap());
        prop_assert_eq!(secs * 1_000_000 + micros, ns / 1000);
    }

    /// The milliseconds can be read from it, and no shorter text would do.
    #[test]
    fn seconds_read_as_their_milliseconds(
        ns in prop_oneof![any::<u64>(), (0..20_000u64).prop_map(|millis| millis * 1_000_000)],
    ) {
        let text = Secs(ns).to_string();
        let (secs, rest) = text.split_once('.').unwrap_or((&text, ""));
        prop_assert!(rest.len() <= 3 && !rest.ends_with('0'));
        let millis: u64 = format!("{rest:0<3}").parse().unwrap();
        prop_assert_eq!(secs.parse::<u64>().unwrap() * 1000 + millis, ns / 1_000_000);
    }
}
