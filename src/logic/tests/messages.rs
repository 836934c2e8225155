// SPDX-License-Identifier: GPL-2.0

//! The texts that programs look for.

use vigil_logic::{
    fmt::Secs,
    messages::{
        pieces, status::KEYS, CpuRecovered, HardLockupEvidence, PanicDelay, Pattern, Piece,
        EVIDENCE_NMI_ACK, MESSAGES, NO_PANIC,
    },
};

#[test]
fn a_line_is_printed_with_its_values() {
    let line = HardLockupEvidence {
        cpu: 3,
        secs: Secs(12_345_000_000),
        evidence: EVIDENCE_NMI_ACK,
    };
    assert_eq!(
        line.to_string(),
        "vigil: CPU3 took its last timer interrupt 12.345 s ago and answers an NMI: it runs with \
         interrupts off"
    );
    assert_eq!(
        PanicDelay { ms: 3000 }.to_string(),
        "vigil: panic in 3000 ms"
    );
}

#[test]
fn a_text_falls_into_pieces() {
    assert_eq!(
        pieces(CpuRecovered::TEXT).collect::<Vec<_>>(),
        [
            Piece::Fixed("vigil: CPU"),
            Piece::Field("cpu"),
            Piece::Fixed(" recovered: its timer interrupt came again after "),
            Piece::Field("secs"),
            Piece::Fixed(" s"),
        ]
    );
    assert_eq!(
        pieces(NO_PANIC).collect::<Vec<_>>(),
        [Piece::Fixed(NO_PANIC)]
    );
}

#[test]
fn a_pattern_finds_its_line_and_no_other() {
    let evidence = |cpu, secs| HardLockupEvidence {
        cpu,
        secs: Secs(secs),
        evidence: EVIDENCE_NMI_ACK,
    };
    let matches = |values: &[(&str, &str)], line: &str| {
        let text = HardLockupEvidence::TEXT;
        let pattern = Pattern { text, values }.to_string();
        let found = regex::Regex::new(&pattern)
            .expect("a pattern")
            .captures(line)?;
        found.name("secs").map(|secs| secs.as_str().to_owned())
    };
    let line = evidence(1, 3_600_000_000).to_string();
    assert_eq!(matches(&[], &line), Some("3.6".into()));
    assert_eq!(matches(&[("cpu", "1")], &line), Some("3.6".into()));
    assert_eq!(matches(&[("cpu", "2")], &line), None);
    assert_eq!(
        matches(&[("cpu", "1"), ("evidence", EVIDENCE_NMI_ACK)], &line),
        Some("3.6".into())
    );
    assert_eq!(matches(&[("cpu", "1"), ("evidence", "a.*")], &line), None);
    assert_eq!(matches(&[], &format!("{line}.\n")), None);
}

/// Every text makes a pattern, which matches the text itself.
#[test]
fn every_text_makes_a_pattern() {
    for (name, text) in MESSAGES {
        let pattern = Pattern { text, values: &[] }.to_string();
        let pattern = regex::Regex::new(&pattern).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(pattern.is_match(text), "{name}");
    }
}

/// Scripts rely on it: snake_case, once in a section, sections in one piece.
#[test]
fn status_keys() {
    let is_snake = |name: &str| {
        name.chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
    };
    let mut sections: Vec<&str> = Vec::new();
    for (i, key) in KEYS.iter().enumerate() {
        assert!(is_snake(key.section) && is_snake(key.name), "{key:?}");
        assert!(!key.help.is_empty() && !key.help.ends_with('.'), "{key:?}");
        let twin = |other: &_| (key.section, key.name) == *other;
        assert!(!KEYS[..i]
            .iter()
            .map(|key| (key.section, key.name))
            .any(|other| twin(&other)));
        if sections.last() != Some(&key.section) {
            assert!(!sections.contains(&key.section), "{key:?}");
            sections.push(key.section);
        }
    }
}

/// A program finds a line by its fixed pieces: there has to be one, and two fields need something
/// between them. printk() cuts a line at about a thousand bytes.
#[test]
fn every_text_can_be_found() {
    for (name, text) in MESSAGES {
        let pieces: Vec<_> = pieces(text).collect();
        let is_fixed = |piece: &&Piece<'_>| matches!(piece, Piece::Fixed(_));
        assert!(pieces.iter().any(|piece| is_fixed(&piece)), "{name}");
        for pair in pieces.windows(2) {
            assert!(pair.iter().any(|piece| is_fixed(&piece)), "{name}: {text}");
        }
        assert!(text.len() < 200 && text.is_ascii(), "{name}: {text}");
        assert!(!text.contains(['\n', '%']), "{name}: {text}");
        assert_eq!(text.trim(), *text, "{name}");
    }
}
