// SPDX-License-Identifier: GPL-2.0
//! Numbers as text.

/// A number with as many digits as tell something.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let decimals = if size >= 1000.0 || value.fract() == 0.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        3
    } else {
        5
    };
    with_commas(&format!("{value:.decimals$}"))
}

/// `1234567.8` as `1,234,567.8`.
pub(super) fn with_commas(number: &str) -> String {
    let digits = number.trim_start_matches('-');
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut text = String::from(if number.starts_with('-') { "-" } else { "" });
    for (index, digit) in whole.char_indices() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, grouped) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.25", "-1,234,567.25"),
            ("+0.5", "+0.5"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(with_commas(number), grouped);
        }
    }
}
