// SPDX-License-Identifier: GPL-2.0

//! The texts that programs look for.

use vigil_logic::{
    fmt::Secs,
    messages::{
        pieces, CpuRecovered, HardLockupEvidence, PanicDelay, Piece, EVIDENCE_NMI_ACK, MESSAGES,
        NO_PANIC,
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

/// The words that do not come back (issue 15).
#[test]
fn no_riddles() {
    let words = [
        "doom", "told", "wishes", "patience", "bell", "glimpse", "eye", "heart", "beat",
    ];
    for (name, text) in MESSAGES {
        let mut found = text.split(|c: char| !c.is_ascii_alphabetic());
        assert!(!found.any(|word| words.contains(&word)), "{name}: {text}");
    }
}
