// SPDX-License-Identifier: GPL-2.0

//! Lists of CPUs as text: `0-3,8`, as in `/sys/devices/system/cpu/online` (`bitmap_parselist()`,
//! without its strides).

use super::knobs::ParseError;
use core::fmt;

/// Parses a list of CPU numbers below `cpus` and calls `each` for every range, ends included. An empty
/// list is valid, as are blanks around it. `each` is called for the ranges before a mistake too: to
/// use none of them then, parse twice, the first time only for the result.
///
/// # Errors
///
/// If the text is no such list.
pub fn parse(text: &[u8], cpus: u32, mut each: impl FnMut(u32, u32)) -> Result<(), ParseError> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok(());
    }
    for range in text.split(|&b| b == b',') {
        let mut ends = range.splitn(2, |&b| b == b'-');
        let first = number(ends.next().ok_or(ParseError)?)?;
        let last = match ends.next() {
            Some(last) => number(last)?,
            None => first,
        };
        if first > last || last >= cpus {
            return Err(ParseError);
        }
        each(first, last);
    }
    Ok(())
}

/// Parses a decimal number.
fn number(digits: &[u8]) -> Result<u32, ParseError> {
    if digits.is_empty() {
        return Err(ParseError);
    }
    let mut value: u32 = 0;
    for &byte in digits {
        let digit = char::from(byte).to_digit(10).ok_or(ParseError)?;
        value = value
            .checked_mul(10)
            .and_then(|v| v.checked_add(digit))
            .ok_or(ParseError)?;
    }
    Ok(value)
}

/// Prints the CPUs below `cpus` for which `has` holds, as ranges.
pub fn show(cpus: u32, has: impl Fn(u32) -> bool, out: &mut dyn fmt::Write) -> fmt::Result {
    let mut sep = "";
    let mut cpu = 0;
    while cpu < cpus {
        if !has(cpu) {
            cpu = cpu.saturating_add(1);
            continue;
        }
        let first = cpu;
        while cpu < cpus && has(cpu) {
            cpu = cpu.saturating_add(1);
        }
        let last = cpu.saturating_sub(1);
        if first == last {
            write!(out, "{sep}{first}")?;
        } else {
            write!(out, "{sep}{first}-{last}")?;
        }
        sep = ",";
    }
    Ok(())
}
