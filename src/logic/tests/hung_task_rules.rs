// SPDX-License-Identifier: GPL-2.0

//! What a list of rules may say, and which tasks it selects: against the grammar written down once more,
//! as a regular expression, and against a matcher of strings.

mod common;

use proptest::prelude::*;
use regex::bytes::Regex;
use std::sync::LazyLock;
use vigil_logic::{
    hung_task::rules::{self, Rule, RuleSubject, MAX_LEN},
    knobs::ParseError,
    task::{Comm, TASK_COMM_LEN},
};

/// What the rules see of a task.
#[derive(Clone, Debug, Default)]
struct Task {
    comm: Vec<u8>,
    is_kthread: bool,
    in_iowait: bool,
    waits_for_lock: bool,
}

impl RuleSubject for Task {
    fn comm(&self) -> Comm {
        let mut bytes = [0; TASK_COMM_LEN];
        bytes[..self.comm.len()].copy_from_slice(&self.comm);
        Comm::new(bytes)
    }

    fn is_kthread(&self) -> bool {
        self.is_kthread
    }

    fn in_iowait(&self) -> bool {
        self.in_iowait
    }

    fn waits_for_lock(&self) -> bool {
        self.waits_for_lock
    }
}

fn task(comm: &[u8]) -> Task {
    Task {
        comm: comm.to_vec(),
        ..Task::default()
    }
}

fn kthread(comm: &[u8]) -> Task {
    Task {
        is_kthread: true,
        ..task(comm)
    }
}

/// The rules of a list.
fn list(text: &[u8]) -> Vec<Rule> {
    let parsed: Result<Vec<Rule>, ParseError> = rules::parse(text).collect();
    let parsed = parsed.unwrap_or_else(|_| panic!("{text:?}"));
    assert_eq!(rules::count(text), Ok(parsed.len()));
    parsed
}

fn selects(text: &str, task: &Task) -> bool {
    rules::select(&list(text.as_bytes()), task)
}

fn is_list(text: impl AsRef<[u8]>) -> bool {
    rules::count(text.as_ref()).is_ok()
}

#[test]
fn a_name_is_compared_whole_or_up_to_the_star() {
    for (rule, comm, expected) in [
        ("backup", "backup", true),
        ("backup", "backup2", false),
        ("backup", "backu", false),
        ("backup", "Backup", false),
        ("backup*", "backup", true),
        ("backup*", "backup-daily", true),
        ("backup*", "backu", false),
        ("backup*", "mybackup", false),
        ("Web Content", "Web Content", true),
        ("kworker/0:1", "kworker/0:1", true),
        // As long as a name can be.
        ("fifteen_bytes_x", "fifteen_bytes_x", true),
        ("fifteen_bytes_x*", "fifteen_bytes_x", true),
        ("fifteen_bytes_x", "fifteen_bytes_", false),
        ("(sd-pam)", "(sd-pam)", true),
        ("a\"'#b", "a\"'#b", true),
        ("one,two*", "two2", true),
        ("one,two*", "three", false),
        ("", "", false),
        ("", "x", false),
    ] {
        assert_eq!(selects(rule, &task(comm.as_bytes())), expected, "{rule}");
        assert_eq!(selects(rule, &kthread(comm.as_bytes())), expected, "{rule}");
    }
}

#[test]
fn brackets_are_for_kernel_threads() {
    for (rule, comm) in [
        ("[kworker*]", "kworker/u8:2"),
        ("[kswapd0]", "kswapd0"),
        ("[*]", "kswapd0"),
        ("[*]", ""),
    ] {
        assert!(selects(rule, &kthread(comm.as_bytes())), "{rule}");
        assert!(!selects(rule, &task(comm.as_bytes())), "{rule}");
    }
    assert!(!selects("[kworker*]", &kthread(b"kswapd0")));
    assert!(!selects("[kworker]", &kthread(b"kworker/0:1")));
}

#[test]
fn words_are_for_waits() {
    let io = Task {
        in_iowait: true,
        ..task(b"io")
    };
    let lock = Task {
        waits_for_lock: true,
        ..task(b"lock")
    };
    let other = task(b":io");
    for (rule, expected) in [
        (":io", [true, false, false]),
        (":lock", [false, true, false]),
        (":io,:lock", [true, true, false]),
        (r"\x3aio", [false, false, true]),
        ("io", [true, false, false]),
    ] {
        let selected = [&io, &lock, &other].map(|task| selects(rule, task));
        assert_eq!(selected, expected, "{rule}");
    }
}

#[test]
fn any_byte_can_be_written() {
    for (rule, comm) in [
        (r"a\x2cb", &b"a,b"[..]),
        (r"\x5bx\x5d", b"[x]"),
        (r"\x20a\x20", b" a "),
        (r"a\x20*", b"a b"),
        (r"a\x2a", b"a*"),
        (r"a\x5cx41", b"a\\x41"),
        (r"\x41\x4A\x4a", b"AJJ"),
        (r"\x0a\xff\x1b", b"\n\xff\x1b"),
        (r"\x3a:", b"::"),
        // Four bytes each, and as many as a name can have.
        (
            r"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac",
            "€€€€€".as_bytes(),
        ),
    ] {
        assert!(selects(rule, &task(comm)), "{rule}");
        assert!(!selects(rule, &task(b"other")), "{rule}");
    }
    assert!(!selects(r"a\x2a", &task(b"ab")));
}

#[test]
fn what_is_no_list() {
    for text in [
        ",",
        "a,",
        ",a",
        "a,,b",
        "a, b",
        "a ,b",
        " a",
        "a ",
        "*",
        "**",
        "a**",
        "*a",
        "a*b",
        "a,*",
        "[",
        "]",
        "[]",
        "[a",
        "a]",
        "[[a]]",
        "[a][b]",
        "[a]b",
        "a[b]",
        "[a]*",
        "[**]",
        "[a,b]",
        "[ a]",
        "[a ]",
        "a *",
        ":",
        "::io",
        ":io*",
        ":IO",
        ":lock ",
        ":locks",
        "[:io]",
        ":io:lock",
        ":a",
        "\\",
        "\\\\",
        "\\x",
        "\\x4",
        "\\x4g",
        "\\xg4",
        "\\X41",
        "\\41",
        "\\n",
        "a\\x00",
        "\\x+1",
        "a\nb",
        "a\tb",
        "a\0",
        "\u{7f}",
        "\u{e4}",
        "sixteen_bytes_xx",
        "sixteen_bytes_xx*",
        "[sixteen_bytes_xx]",
        "\\x73ixteen_bytes_xx",
    ] {
        assert_eq!(rules::count(text.as_bytes()), Err(ParseError), "{text:?}");
        // Nor is it beside one that is.
        let text = format!("good,{text}");
        assert_eq!(rules::count(text.as_bytes()), Err(ParseError), "{text:?}");
    }
}

#[test]
fn how_long_a_list_may_be() {
    assert_eq!(rules::count(b""), Ok(0));
    let longest = "a,".repeat(MAX_LEN / 2 - 1) + "bc";
    assert_eq!(longest.len(), 512);
    assert_eq!(rules::count(longest.as_bytes()), Ok(256));
    assert!(selects(&longest, &task(b"bc")) && !selects(&longest, &task(b"b")));
    assert!(!is_list(longest.clone() + "d"));
    assert!(!is_list("a".repeat(70_000)));
}

/// The grammar, for one rule.
static RULE: LazyLock<Regex> = LazyLock::new(|| {
    // Where it stands first, in between, and last in a name.
    let escaped = r"\\x(?:[1-9a-fA-F][0-9a-fA-F]|0[1-9a-fA-F])";
    let first = format!(r"(?:{escaped}|[!-)+\-./0-9;-Z^-~])");
    let inner = format!(r"(?:{escaped}|[ -)+\-./0-9:-Z^-~])");
    let last = format!(r"(?:{escaped}|[!-)+\-./0-9:-Z^-~])");
    let name = format!(r"{first}(?:{inner}{{0,13}}{last})?");
    let rule = format!(r"^(?-u::io|:lock|{name}\*?|\[{name}\*?\]|\[\*\])$");
    Regex::new(&rule).expect("a regular expression")
});

/// Whether bytes are a list by the grammar.
fn by_grammar(text: &[u8]) -> bool {
    let mut rules = text.split(|&byte| byte == b',');
    text.is_empty() || (text.len() <= 512 && rules.all(|rule| RULE.is_match(rule)))
}

/// One rule, as it is meant.
#[derive(Clone, Debug)]
enum Meant {
    Io,
    Lock,
    Comm {
        name: Vec<u8>,
        is_prefix: bool,
        is_kthread: bool,
    },
}

impl Meant {
    /// As a list has it. `escape`: whether to escape each byte that need not be.
    fn text(&self, escape: bool) -> String {
        let Self::Comm {
            name,
            is_prefix,
            is_kthread,
        } = self
        else {
            return match self {
                Self::Io => ":io",
                _ => ":lock",
            }
            .to_owned();
        };
        let mut text = String::new();
        for (i, &byte) in name.iter().enumerate() {
            let is_end = i == 0 || i + 1 == name.len();
            let plain = byte.is_ascii_graphic() && !b",*[]\\:".contains(&byte)
                || byte == b':' && i != 0
                || byte == b' ' && !is_end;
            if plain && !escape {
                text.push(char::from(byte));
            } else {
                text += &format!("\\x{byte:02x}");
            }
        }
        if *is_prefix {
            text.push('*');
        }
        match is_kthread {
            true => format!("[{text}]"),
            false => text,
        }
    }

    fn selects(&self, task: &Task) -> bool {
        match self {
            Self::Io => task.in_iowait,
            Self::Lock => task.waits_for_lock,
            Self::Comm {
                name,
                is_prefix,
                is_kthread,
            } => {
                let is_name = match is_prefix {
                    true => task.comm.starts_with(name),
                    false => task.comm == *name,
                };
                is_name && (task.is_kthread || !is_kthread)
            }
        }
    }
}

/// Bytes that a name can have, of few kinds, so that names are alike.
fn name(shortest: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => prop::sample::select(b"ab".to_vec()),
        1 => prop::sample::select(b" ,*[]\\:x/-".to_vec()),
        1 => 1..=255u8,
    ];
    prop::collection::vec(byte, shortest..=TASK_COMM_LEN - 1)
}

fn meant() -> impl Strategy<Value = Meant> {
    let comm = |shortest| (name(shortest), any::<bool>(), any::<bool>());
    prop_oneof![
        1 => Just(Meant::Io),
        1 => Just(Meant::Lock),
        8 => comm(1).prop_map(|(name, is_prefix, is_kthread)| Meant::Comm {
            name,
            is_prefix,
            is_kthread,
        }),
        1 => Just(Meant::Comm { name: Vec::new(), is_prefix: true, is_kthread: true }),
    ]
}

fn any_task() -> impl Strategy<Value = Task> {
    (name(0), any::<[bool; 3]>()).prop_map(|(comm, [is_kthread, in_iowait, waits_for_lock])| Task {
        comm,
        is_kthread,
        in_iowait,
        waits_for_lock,
    })
}

/// What is a list, or nearly.
fn listish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => "[a-c]{1,3}".prop_map(String::into_bytes),
        3 => Just(b",".to_vec()),
        1 => prop::sample::select(vec!["*", "[", "]", ":", ":io", ":lock", " ", "\\", "\\x", "[*]"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => "\\\\x[0-9a-fA-F]{2}".prop_map(String::into_bytes),
        1 => "[a-c ]{12,16}".prop_map(String::into_bytes),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop_oneof![
        4 => prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        1 => any::<Vec<u8>>(),
    ]
}

proptest! {
    #![proptest_config(common::config())]

    /// What the grammar allows is a list, and nothing else is.
    #[test]
    fn the_grammar(text in listish()) {
        prop_assert_eq!(is_list(&text), by_grammar(&text), "{:?}", text);
        // One that is not ends with the error.
        let last = rules::parse(&text).find(Result::is_err);
        prop_assert_eq!(last.is_some(), !by_grammar(&text) && text.len() <= MAX_LEN);
    }

    /// Each rule selects what it means, however it is written, and a list what one of its rules does.
    #[test]
    fn a_list_selects_what_it_means(
        meant in prop::collection::vec((meant(), any::<bool>()), 0..8),
        others in prop::collection::vec(any_task(), 1..8),
        pick: prop::sample::Index,
        more in name(0),
    ) {
        let texts: Vec<String> = meant.iter().map(|(rule, escape)| rule.text(*escape)).collect();
        let text = texts.join(",");
        prop_assume!(text.len() <= MAX_LEN);
        prop_assert!(by_grammar(text.as_bytes()), "{}", text);
        let parsed = list(text.as_bytes());
        prop_assert_eq!(parsed.len(), meant.len());
        let mut tasks = others;
        // One with a name of a rule, and one with a name that begins so.
        if let Some((Meant::Comm { name, .. }, _)) = meant.get(pick.index(meant.len().max(1))) {
            let mut longer = [name.as_slice(), &more].concat();
            longer.truncate(TASK_COMM_LEN - 1);
            tasks.extend([task(name), kthread(name), task(&longer), kthread(&longer)]);
        }
        for task in tasks {
            let expected = meant.iter().any(|(rule, _)| rule.selects(&task));
            prop_assert_eq!(rules::select(&parsed, &task), expected, "{} {:?}", text, task);
        }
    }
}
