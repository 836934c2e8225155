// SPDX-License-Identifier: GPL-2.0

//! Values as they stand in log lines, in reports and in `vigil/status`.

use super::NSEC_PER_SEC;
use core::fmt::{
    self,
    Display,
    Write, //
};

/// Bytes of unknown origin, printed so that they stay on their line: a byte that is not printable
/// ASCII is printed as `\xNN`.
pub struct Bytes<'a>(pub &'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            if byte == b' ' || byte.is_ascii_graphic() {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// The end of a path, printed by [`Bytes`], with `...` in front if there is more of it.
pub struct PathTail<'a> {
    /// What there is of the path.
    pub path: &'a [u8],
    /// Whether the path is longer.
    pub is_cut: bool,
}

impl fmt::Display for PathTail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cut {
            f.write_str("...")?;
        }
        Bytes(self.path).fmt(f)
    }
}

/// What `%pS` of `printk()` makes of an address, printed behind that: in brackets, without an offset of
/// 0. Of an address that has no symbol, which `%pS` makes a number of, nothing is printed.
pub struct SymbolText<'a>(pub &'a [u8]);

impl fmt::Display for SymbolText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No name begins with a digit: those are of C.
        let is_number = self.0.first().is_none_or(u8::is_ascii_digit);
        if is_number || *self.0 == *b"(null)" {
            return Ok(());
        }
        let mut parts = self.0.splitn(2, |&byte| byte == b'+');
        let name = parts.next().unwrap_or_default();
        let offset = parts.next().unwrap_or_default();
        write!(f, " ({}", Bytes(name))?;
        if offset.starts_with(b"0x0/") {
            // The module is behind offset and size.
            let mut parts = offset.splitn(2, |&byte| byte == b' ');
            if let Some(module) = parts.nth(1) {
                write!(f, " {}", Bytes(module))?;
            }
        } else if !offset.is_empty() {
            write!(f, "+{}", Bytes(offset))?;
        }
        f.write_str(")")
    }
}

/// Nanoseconds printed as seconds the way the log stamps its lines: `12.000345`.
pub struct LogStamp(pub u64);

impl fmt::Display for LogStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:06}",
            self.0 / NSEC_PER_SEC,
            self.0 % NSEC_PER_SEC / 1000
        )
    }
}

/// Nanoseconds printed as seconds with no more digits than it takes, at most three: `7.5`.
pub struct Secs(pub u64);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, millis) = (self.0 / NSEC_PER_SEC, self.0 % NSEC_PER_SEC / 1_000_000);
        match (millis, millis % 10, millis % 100) {
            (0, _, _) => write!(f, "{whole}"),
            (_, _, 0) => write!(f, "{whole}.{}", millis / 100),
            (_, 0, _) => write!(f, "{whole}.{:02}", millis / 10),
            _ => write!(f, "{whole}.{millis:03}"),
        }
    }
}

/// Prints names with a separator between them; `none` if there are none.
pub fn write_names(
    out: &mut dyn Write,
    separator: &str,
    names: impl Iterator<Item = impl Display>,
) -> fmt::Result {
    let mut before = None;
    for name in names {
        write!(out, "{}{name}", before.unwrap_or(""))?;
        before = Some(separator);
    }
    if before.is_none() {
        out.write_str("none")?;
    }
    Ok(())
}
