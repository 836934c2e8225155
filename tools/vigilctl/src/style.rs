// SPDX-License-Identifier: GPL-2.0
//! Colours. They are written always; `anstream` takes them out where standard output is no terminal,
//! or `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};

/// What is wrong now.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// A heading.
pub(crate) const HEAD: Style = Style::new().bold();
