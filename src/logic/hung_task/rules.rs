// SPDX-License-Identifier: GPL-2.0

//! Rules that select hung tasks: the lists `hung_task_ignore` and `hung_task_panic_only`.
//!
//! ```text
//!   list     = [ rule { "," rule } ]
//!   rule     = ":io" | ":lock" | pattern | "[" pattern "]" | "[*]"
//!   pattern  = name | name "*"
//!   name     = 1 to 15 of: a printable ASCII character but , * [ ] \    or    \xNN
//! ```
//!
//! A pattern is compared with `task_struct::comm`, whole, or up to the `*`; in brackets it selects
//! kernel threads only. `:io` selects a task that is in I/O wait, `:lock` one that waits for a lock
//! which is known. A list selects a task if one of its rules does.
//!
//! A program may choose any bytes for its name. `\xNN` stands for any of them but NUL, which ends a
//! name: for one that is not printable, as reports print it, and for those that have a meaning here.
//! A `:` has one only at the beginning of a name, and a blank none but at either end of a name, where
//! it may be a slip: there they are written `\x3a` and `\x20` too.

use super::super::{
    knobs::ParseError,
    task::{
        Comm,
        TASK_COMM_LEN, //
    }, //
};

/// How long a list may be, in bytes.
pub const MAX_LEN: usize = 512;

/// The longest name that a task can have, in bytes.
const MAX_NAME: usize = TASK_COMM_LEN - 1;

/// What rules ask about a task.
pub trait RuleSubject {
    /// `task_struct::comm`.
    fn comm(&self) -> Comm;

    /// Whether it is a kernel thread (`PF_KTHREAD`).
    fn is_kthread(&self) -> bool;

    /// Whether it is in I/O wait (`task_struct::in_iowait`).
    fn in_iowait(&self) -> bool;

    /// Whether it is known which lock it waits for.
    fn waits_for_lock(&self) -> bool;
}

/// One rule of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `:io`
    InIoWait,
    /// `:lock`
    WaitsForLock,
    /// Any other.
    Comm(CommPattern),
}

/// A rule on a task's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommPattern {
    /// The name, or its beginning, and zeros up to the end.
    name: [u8; TASK_COMM_LEN],
    /// Whether the name may go on (`*`).
    is_prefix: bool,
    /// Whether the task has to be a kernel thread (`[...]`).
    is_kthread: bool,
}

/// Parses a list: its rules, up to the first mistake and an error for that. Blanks around the list are
/// to be trimmed by the caller. An empty list has no rules.
pub fn parse(list: &[u8]) -> impl Iterator<Item = Result<Rule, ParseError>> + '_ {
    // Splitting nothing gives one empty piece.
    let rules = (!list.is_empty()).then(|| list.split(|&byte| byte == b','));
    rules.into_iter().flatten().map(parse_rule)
}

/// Counts the rules of a list.
///
/// # Errors
///
/// If the list is too long, or one of the rules is none.
pub fn count(list: &[u8]) -> Result<usize, ParseError> {
    if list.len() > MAX_LEN {
        return Err(ParseError);
    }
    let mut count: usize = 0;
    for rule in parse(list) {
        rule?;
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// Whether one of the rules selects a task.
pub fn select(rules: &[Rule], task: &impl RuleSubject) -> bool {
    let comm = task.comm();
    rules.iter().any(|rule| match rule {
        Rule::InIoWait => task.in_iowait(),
        Rule::WaitsForLock => task.waits_for_lock(),
        Rule::Comm(pattern) => pattern.matches(&comm) && (!pattern.is_kthread || task.is_kthread()),
    })
}

impl CommPattern {
    fn matches(&self, comm: &Comm) -> bool {
        let name = comm.padded();
        let mut pairs = self.name.iter().zip(&name);
        // In both the name ends with a zero.
        pairs.all(|(wanted, byte)| wanted == byte || (self.is_prefix && *wanted == 0))
    }
}

fn parse_rule(text: &[u8]) -> Result<Rule, ParseError> {
    match text {
        b":io" => Ok(Rule::InIoWait),
        b":lock" => Ok(Rule::WaitsForLock),
        [b'[', pattern @ .., b']'] => parse_pattern(pattern, true),
        pattern => parse_pattern(pattern, false),
    }
}

/// Parses what is in brackets, if `is_kthread`, or stands by itself.
fn parse_pattern(text: &[u8], is_kthread: bool) -> Result<Rule, ParseError> {
    let (text, is_prefix) = match text {
        [name @ .., b'*'] => (name, true),
        name => (name, false),
    };
    // A bare `*` would select all tasks, which is what other knobs are for.
    if text.is_empty() && !(is_prefix && is_kthread) {
        return Err(ParseError);
    }
    if matches!(text, [b':' | b' ', ..] | [.., b' ']) {
        return Err(ParseError);
    }
    let mut name = [0; TASK_COMM_LEN];
    let mut places = name.get_mut(..MAX_NAME).unwrap_or_default().iter_mut();
    let mut rest = text;
    loop {
        let byte;
        (byte, rest) = match rest {
            [] => break,
            [b'\\', b'x', high, low, rest @ ..] => {
                (hex_digit(*high)? << 4 | hex_digit(*low)?, rest)
            }
            [b'\\' | b'*' | b'[' | b']', ..] => return Err(ParseError),
            [byte @ b' '..=b'~', rest @ ..] => (*byte, rest),
            _ => return Err(ParseError),
        };
        if byte == 0 {
            return Err(ParseError);
        }
        *places.next().ok_or(ParseError)? = byte;
    }
    Ok(Rule::Comm(CommPattern {
        name,
        is_prefix,
        is_kthread,
    }))
}

fn hex_digit(digit: u8) -> Result<u8, ParseError> {
    let value = char::from(digit).to_digit(16).ok_or(ParseError)?;
    u8::try_from(value).map_err(|_| ParseError)
}
