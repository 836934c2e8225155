// SPDX-License-Identifier: GPL-2.0

//! The knobs: one table, from which everything else about them comes.
//!
//! `knob_table!` is the only place where a knob is written down. The enum [`Knob`], the descriptions
//! in [`KNOBS`], the module parameters (crate root), the files under `/proc/sys/vigil`
//! (`detect/knobs.rs`), `docs/knobs.md` and the tests are made from it.
//!
//! Names and meanings are those of mainline's `Documentation/admin-guide/sysctl/kernel.rst`.

use core::fmt;

/// The table. Expands to a call of the macro `$then` with all knobs:
/// numbers as `name, Knob, min, max, default, help`, counters and lists as `name, Knob, help`.
/// Those under `own` are numbers that mainline does not have: with `kernel_names=1` all others stand
/// in `/proc/sys/kernel` too.
macro_rules! knob_table {
    ($then:ident) => {
        $then! {
            numbers {
                (hung_task_timeout_secs, HungTaskTimeoutSecs, 0, Seconds, 120,
                 "Seconds in D state without a context switch after which a task is hung; 0 switches the detector off")
                (hung_task_check_interval_secs, HungTaskCheckIntervalSecs, 0, Seconds, 0,
                 "Seconds between looks at the tasks, at most the timeout; 0 takes timeout/16, at least 1 s")
                (hung_task_check_count, HungTaskCheckCount, 0, Int, 4194304,
                 "Tasks looked at in one walk, 0 for none; the next walk goes on where one had to stop")
                (hung_task_warnings, HungTaskWarnings, -1, Int, 10,
                 "Reports left; each report takes one; -1 for no limit")
                (hung_task_panic, HungTaskPanic, 0, Int, 0,
                 "Panic when a pass finds at least so many hung tasks; 0 for never")
                (hung_task_all_cpu_backtrace, HungTaskAllCpuBacktrace, 0, One, 0,
                 "With a report, show the stacks of all CPUs")
                (watchdog, Watchdog, 0, One, 1,
                 "Detect lockups at all; reads 1 if any kind is being detected")
                (soft_watchdog, SoftWatchdog, 0, One, 1,
                 "Detect soft lockups; reads 1 if they are being detected")
                (nmi_watchdog, NmiWatchdog, 0, One, 1,
                 "Detect hard lockups; reads 1 if they are being detected")
                (watchdog_thresh, WatchdogThresh, 0, Sixty, 10,
                 "Seconds without a timer interrupt that make a hard lockup; a soft lockup takes twice that; 0 switches both off")
                (softlockup_panic, SoftlockupPanic, 0, Int, 0,
                 "Panic when a CPU has been stuck for at least so many soft-lockup thresholds; 0 for never")
                (softlockup_all_cpu_backtrace, SoftlockupAllCpuBacktrace, 0, One, 0,
                 "With a report on a soft lockup, show the stacks of all CPUs")
                (hardlockup_panic, HardlockupPanic, 0, One, 0,
                 "Panic on a hard lockup")
                (hardlockup_all_cpu_backtrace, HardlockupAllCpuBacktrace, 0, One, 0,
                 "With a report on a hard lockup, show the stacks of all CPUs")
            }
            own {
                (unresponsive_cpu_panic, UnresponsiveCpuPanic, 0, One, 0,
                 "Panic also on a CPU that answers no NMI; a virtual CPU that its host does not run looks so. Of no effect where no CPU can be asked by NMI (arm64)")
                (panic_needs_kdump, PanicNeedsKdump, 0, One, 0,
                 "Panic only while a crash kernel is loaded; without one, report, say why there is no panic, and go on")
                (panic_delay_ms, PanicDelayMs, 0, Minute, 0,
                 "Milliseconds between a report and its panic, for consoles to drain; not where a panic cannot wait (NMI)")
            }
            counters {
                (hung_task_detect_count, HungTaskDetectCount,
                 "Stalls found since load, each counted once; writing 0 resets it")
            }
            lists {
                (hung_task_sys_info, HungTaskSysInfo,
                 "What else to show with a report: tasks, mem, timers, locks, ftrace, all_bt, blocked_tasks, comma separated")
                (softlockup_sys_info, SoftlockupSysInfo,
                 "What else to show with a report on a soft lockup; the same words")
                (hardlockup_sys_info, HardlockupSysInfo,
                 "What else to show with a report on a hard lockup; the same words")
            }
            cpus {
                (watchdog_cpumask, WatchdogCpumask,
                 "CPUs to watch for lockups, such as 0-3,8; by default the housekeeping CPUs")
            }
        }
    };
}

/// The upper end of a number's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Max {
    /// 1: a switch.
    One,
    /// 60: as many seconds as mainline allows for `watchdog_thresh`.
    Sixty,
    /// 60,000: a minute in milliseconds.
    Minute,
    /// `INT_MAX`.
    Int,
    /// `LONG_MAX / HZ`: seconds that can be counted in jiffies.
    Seconds,
}

impl Max {
    /// The number itself, for a kernel of the given `HZ`.
    pub fn value(self, hz: i64) -> i64 {
        match self {
            Self::One => 1,
            Self::Sixty => 60,
            Self::Minute => 60_000,
            Self::Int => i64::from(i32::MAX),
            Self::Seconds => i64::MAX.checked_div(hz).unwrap_or(0),
        }
    }
}

/// What a knob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnobKind {
    /// A number, set by writing and by the module parameter of the same name.
    Number {
        /// Lower end of the range.
        min: i64,
        /// Upper end of the range.
        max: Max,
        /// Value if none is given at load.
        default: i64,
    },
    /// Counts by itself; only 0 may be written. No module parameter.
    Counter,
    /// Comma-separated names of [`SYS_INFO`], kept as a mask; may be empty.
    List,
    /// A list of CPUs ([`cpulist`](super::cpulist)), kept elsewhere; may be empty.
    Cpus,
}

/// The description of one knob.
#[derive(Clone, Copy, Debug)]
pub struct KnobInfo {
    /// Its number.
    pub id: Knob,
    /// Name of the file under `/proc/sys/vigil`, and of the module parameter.
    pub name: &'static str,
    /// What it holds.
    pub kind: KnobKind,
    /// Whether mainline has a knob of this name, in `/proc/sys/kernel`.
    pub mainline: bool,
    /// One line of help.
    #[cfg_attr(MODULE, expect(dead_code, reason = "for docs/knobs.md"))]
    pub help: &'static str,
}

macro_rules! declare_knobs {
    (
        numbers { $(($n:ident, $nid:ident, $min:expr, $max:ident, $default:expr, $nhelp:expr))* }
        own { $(($o:ident, $oid:ident, $omin:expr, $omax:ident, $odefault:expr, $ohelp:expr))* }
        counters { $(($c:ident, $cid:ident, $chelp:expr))* }
        lists { $(($l:ident, $lid:ident, $lhelp:expr))* }
        cpus { $(($m:ident, $mid:ident, $mhelp:expr))* }
    ) => {
        /// Names a knob; as a number, its place in [`KNOBS`].
        #[allow(clippy::enum_variant_names, reason = "mainline's names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Knob {
            $(#[doc = $nhelp] $nid,)*
            $(#[doc = $ohelp] $oid,)*
            $(#[doc = $chelp] $cid,)*
            $(#[doc = $lhelp] $lid,)*
            $(#[doc = $mhelp] $mid,)*
        }

        /// All knobs, in the order of [`Knob`].
        pub const KNOBS: &[KnobInfo] = &[
            $(KnobInfo {
                id: Knob::$nid,
                name: stringify!($n),
                kind: KnobKind::Number { min: $min, max: Max::$max, default: $default },
                mainline: true,
                help: $nhelp,
            },)*
            $(KnobInfo {
                id: Knob::$oid,
                name: stringify!($o),
                kind: KnobKind::Number { min: $omin, max: Max::$omax, default: $odefault },
                mainline: false,
                help: $ohelp,
            },)*
            $(KnobInfo {
                id: Knob::$cid,
                name: stringify!($c),
                kind: KnobKind::Counter,
                mainline: true,
                help: $chelp,
            },)*
            $(KnobInfo {
                id: Knob::$lid,
                name: stringify!($l),
                kind: KnobKind::List,
                mainline: true,
                help: $lhelp,
            },)*
            $(KnobInfo {
                id: Knob::$mid,
                name: stringify!($m),
                kind: KnobKind::Cpus,
                mainline: true,
                help: $mhelp,
            },)*
        ];
    };
}
knob_table!(declare_knobs);

/// How many knobs there are.
pub const COUNT: usize = KNOBS.len();

/// The words of a list knob and their bits: `si_names` of `lib/sys_info.c`. The bit without a name
/// there (replay of the console) belongs to panics alone.
pub const SYS_INFO: &[(&str, i64)] = &[
    ("tasks", 0x01),
    ("mem", 0x02),
    ("timers", 0x04),
    ("locks", 0x08),
    ("ftrace", 0x10),
    ("all_bt", 0x40),
    ("blocked_tasks", 0x80),
];

/// `SYS_INFO_LOCKS`
pub const SYS_INFO_LOCKS: i64 = 0x08;
/// `SYS_INFO_ALL_BT`
pub const SYS_INFO_ALL_BT: i64 = 0x40;

/// The text cannot be the knob's value: it is none, or out of range. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError;

impl KnobInfo {
    /// Whether a change means that the lockup detectors have to be set up anew.
    pub fn reconfigures(&self) -> bool {
        matches!(
            self.id,
            Knob::Watchdog
                | Knob::SoftWatchdog
                | Knob::NmiWatchdog
                | Knob::WatchdogThresh
                | Knob::WatchdogCpumask
        )
    }

    /// Reads a value for this knob from what was written to its file, blanks around it allowed.
    /// Numbers are decimal, or as C writes them (`0x10`, `010`), as for mainline's knobs.
    pub fn parse(&self, text: &[u8], hz: i64) -> Result<i64, ParseError> {
        let text = text.trim_ascii();
        match self.kind {
            KnobKind::Number { .. } | KnobKind::Counter => self.check(number(text)?, hz),
            KnobKind::List => list(text),
            KnobKind::Cpus => Err(ParseError),
        }
    }

    /// Checks a number against the knob's range.
    pub fn check(&self, value: i64, hz: i64) -> Result<i64, ParseError> {
        let (min, max) = match self.kind {
            KnobKind::Number { min, max, .. } => (min, max.value(hz)),
            KnobKind::Counter => (0, 0),
            KnobKind::List | KnobKind::Cpus => (0, i64::MAX),
        };
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(ParseError)
        }
    }

    /// The value at load if none is given.
    pub const fn default(&self) -> i64 {
        match self.kind {
            KnobKind::Number { default, .. } => default,
            KnobKind::Counter | KnobKind::List | KnobKind::Cpus => 0,
        }
    }

    /// The value as it reads from the knob's file, without the line's end.
    pub fn show(&self, value: i64) -> Shown {
        Shown {
            kind: self.kind,
            value,
        }
    }
}

/// A knob's value, to be printed.
pub struct Shown {
    kind: KnobKind,
    value: i64,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != KnobKind::List {
            return write!(f, "{}", self.value);
        }
        let mut sep = "";
        for (name, bit) in SYS_INFO {
            if self.value & bit != 0 {
                write!(f, "{sep}{name}")?;
                sep = ",";
            }
        }
        Ok(())
    }
}

/// One whole number and nothing else.
fn number(text: &[u8]) -> Result<i64, ParseError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (radix, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, digits),
    };
    if digits.is_empty() {
        return Err(ParseError);
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix).ok_or(ParseError)?;
        let digit = if negative {
            i64::from(digit).wrapping_neg()
        } else {
            i64::from(digit)
        };
        value = value
            .checked_mul(i64::from(radix))
            .and_then(|v| v.checked_add(digit))
            .ok_or(ParseError)?;
    }
    Ok(value)
}

/// Words of [`SYS_INFO`], comma separated. Mainline passes over a word that it does not know; here
/// it is an error, since a mistyped word would only be noticed when the report comes without it.
fn list(text: &[u8]) -> Result<i64, ParseError> {
    let mut mask = 0;
    if text.is_empty() {
        return Ok(mask);
    }
    for word in text.split(|&b| b == b',') {
        let word = word.trim_ascii();
        let (_, bit) = SYS_INFO
            .iter()
            .find(|(name, _)| name.as_bytes() == word)
            .ok_or(ParseError)?;
        mask |= bit;
    }
    Ok(mask)
}
