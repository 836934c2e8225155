// SPDX-License-Identifier: GPL-2.0

//! Lists of CPUs as text: `0-3,8`, as in `/sys/devices/system/cpu/online`.

use super::sysctl::ParseError;
use core::fmt;

/// Reads a list and calls `each` for every range, ends included. Blanks around it and an empty list
/// are allowed; CPUs at or above `cpus` are an error. Nothing is known of the ranges until all have
/// been read: call it once to check and once to use.
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

/// Prints the CPUs below `cpus` for which `has` holds.
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
