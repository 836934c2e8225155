// SPDX-License-Identifier: GPL-2.0

//! The knobs: their names, ranges, defaults and help, in one table, and what a write may say.
//!
//! `knob_table!` is the only place where a knob is declared. From it come the enum [`Knob`], the
//! descriptions in [`KNOBS`], the module parameters (`src/vigil_main.rs`), the files under
//! `/proc/sys/vigil` (`src/control/sysctl.rs`), `docs/knobs.md`, and the tests of ranges and defaults.
//!
//! A new knob takes:
//!
//! 1. a row in the table;
//! 2. `make docs`;
//! 3. the code that reads it: `Knobs::get()` wherever it decides something;
//! 4. for a word, a list or rules also a line in `src/c/param.c`, since the `module!` macro has numbers
//!    only (a host test compares the two);
//! 5. for a word also an enum of what the words stand for, as [`HungTaskReportMode`];
//! 6. if all CPUs have to be disabled for a change of it, a place in [`KnobInfo::reconfigures`] and
//!    a field of `LockupConfig` (`src/detect/lockup_config.rs`) with its places in `from_knobs()`,
//!    `store_to()`, `set()` and `is_same()`: without the last one a write would be ignored.
//!
//! Names and meanings are those of mainline's `Documentation/admin-guide/sysctl/kernel.rst`, except for
//! the knobs under `own`, `gauges`, `words` and `rules`.

use core::fmt;

/// The table. Expands to a call of the macro `$then` with all knobs: numbers as
/// `name, Knob, min, max, default, help`, words as `name, Knob, words, help`, the others as
/// `name, Knob, help`. Mainline has all of them but those under `own`, `gauges`, `words` and `rules`,
/// which `kernel_names=1` leaves out.
macro_rules! knob_table {
    ($then:ident) => {
        $then! {
            numbers {
                (hung_task_timeout_secs, HungTaskTimeoutSecs, 0, Max::Seconds, 120,
                 "Seconds in uninterruptible sleep (D state) without a context switch after which a task is hung; 0 disables the detector")
                (hung_task_check_interval_secs, HungTaskCheckIntervalSecs, 0, Max::Seconds, 0,
                 "Seconds between two checks, at most the timeout; 0 takes timeout/16, at least 1 s")
                (hung_task_check_count, HungTaskCheckCount, 0, Max::INT, 4194304,
                 "Tasks that one scan looks at, 0 for none; the next scan continues where one had to stop")
                (hung_task_warnings, HungTaskWarnings, -1, Max::INT, 10,
                 "Reports left, each report takes one; -1 for no limit")
                (hung_task_panic, HungTaskPanic, 0, Max::INT, 0,
                 "Panic when a check finds at least this many hung tasks; 0 for never")
                (hung_task_all_cpu_backtrace, HungTaskAllCpuBacktrace, 0, Max::SWITCH, 0,
                 "Print the backtraces of all CPUs with a hung task report")
                (watchdog, Watchdog, 0, Max::SWITCH, 1,
                 "Enable the lockup detectors; reads 1 if at least one of them is in effect")
                (soft_watchdog, SoftWatchdog, 0, Max::SWITCH, 1,
                 "Enable the soft lockup detector; reads 1 if it is in effect")
                (nmi_watchdog, NmiWatchdog, 0, Max::SWITCH, 1,
                 "Enable the hard lockup detector; reads 1 if it is in effect")
                (watchdog_thresh, WatchdogThresh, 0, Max::Number(60), 10,
                 "Seconds without a timer interrupt that make a hard lockup; a soft lockup takes twice that; 0 disables both detectors")
                (softlockup_panic, SoftlockupPanic, 0, Max::INT, 0,
                 "Panic when a CPU has been stuck for at least this many soft lockup thresholds; 0 for never")
                (softlockup_all_cpu_backtrace, SoftlockupAllCpuBacktrace, 0, Max::SWITCH, 0,
                 "Print the backtraces of all CPUs with a soft lockup report")
                (hardlockup_panic, HardlockupPanic, 0, Max::SWITCH, 0,
                 "Panic on a hard lockup")
                (hardlockup_all_cpu_backtrace, HardlockupAllCpuBacktrace, 0, Max::SWITCH, 0,
                 "Print the backtraces of all CPUs with a hard lockup report")
            }
            own {
                (hung_task_panic_secs, HungTaskPanicSecs, 0, Max::Seconds, 0,
                 "Seconds that a hung task has to be blocked for before hung_task_panic counts it; 0 for no more than the timeout")
                (unresponsive_cpu_panic, UnresponsiveCpuPanic, 0, Max::SWITCH, 0,
                 "Panic on a CPU that answers no NMI, as a vCPU that its host does not run; no effect where no NMI can be sent (arm64)")
                (panic_needs_kdump, PanicNeedsKdump, 0, Max::SWITCH, 0,
                 "Panic only while a crash kernel is loaded; without one, report, log why there is no panic, and continue")
                (panic_delay_ms, PanicDelayMs, 0, Max::Number(60000), 0,
                 "Milliseconds between a report and its panic, for consoles to drain; not in NMI context, where a panic cannot wait")
            }
            counters {
                (hung_task_detect_count, HungTaskDetectCount,
                 "Hung tasks found since load, each stall counted once; writing 0 resets it")
            }
            gauges {
                (softlockup_count, SoftlockupCount,
                 "Soft lockups reported since load, each report counted")
                (hardlockup_count, HardlockupCount,
                 "Hard lockups reported since load")
                (unresponsive_cpu_count, UnresponsiveCpuCount,
                 "CPUs reported since load that answered no NMI")
                (hung_tasks_now, HungTasksNow,
                 "Tasks that are hung now, as of the last check")
                (stuck_cpus_now, StuckCpusNow,
                 "CPUs that are stuck now: with a soft lockup, a hard lockup, or not running")
            }
            words {
                (hung_task_report, HungTaskReport, HungTaskReportMode::WORDS,
                 "How hung tasks are reported: grouped (one report for each root cause and the tasks behind it) or mainline (each task, as the kernel's own detector does)")
            }
            rules {
                (hung_task_ignore, HungTaskIgnore,
                 "Hung tasks that are neither reported nor counted: comm, comm*, [kthread], [kthread*], :io (in I/O wait), :lock (waits for a known lock), comma separated")
                (hung_task_panic_only, HungTaskPanicOnly,
                 "Hung tasks that hung_task_panic counts: rules as for hung_task_ignore; empty for all")
            }
            lists {
                (hung_task_sys_info, HungTaskSysInfo,
                 "System information to print with a hung task report: tasks, mem, timers, locks, ftrace, all_bt, blocked_tasks, comma separated")
                (softlockup_sys_info, SoftlockupSysInfo,
                 "System information to print with a soft lockup report; words as for hung_task_sys_info")
                (hardlockup_sys_info, HardlockupSysInfo,
                 "System information to print with a hard lockup report; words as for hung_task_sys_info")
            }
            cpus {
                (watchdog_cpumask, WatchdogCpumask,
                 "CPUs to watch for lockups, as in 0-3,8; default: the housekeeping CPUs")
            }
        }
    };
}

/// The upper end of a number's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Max {
    /// This number.
    Number(i64),
    /// `LONG_MAX / HZ`: seconds that can be counted in jiffies.
    Seconds,
}

impl Max {
    /// Of a switch: 0 or 1.
    pub const SWITCH: Self = Self::Number(1);
    /// `INT_MAX`.
    pub const INT: Self = Self::Number(i32::MAX as i64);

    /// The number itself, for a kernel of the given `HZ`.
    pub fn value(self, hz: i64) -> i64 {
        match self {
            Self::Number(value) => value,
            Self::Seconds => i64::MAX.checked_div(hz).unwrap_or(0),
        }
    }
}

/// What a knob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnobKind {
    /// A number, set by a write and by the module parameter of the same name.
    Number {
        /// Lower end of the range.
        min: i64,
        /// Upper end of the range.
        max: Max,
        /// Value without the module parameter.
        default: i64,
    },
    /// A counter; a write can only reset it to 0. No module parameter.
    Counter,
    /// A number that the module counts; it cannot be written. No module parameter.
    Gauge,
    /// One of these words, stored as its index; the first is the default.
    Word(&'static [&'static str]),
    /// Rules that select hung tasks ([`rules`](super::hung_task::rules)), stored as they were written;
    /// may be empty.
    Rules,
    /// Comma-separated names of [`SYS_INFO`], stored as a mask; may be empty.
    List,
    /// A list of CPUs ([`cpulist`](super::cpulist)), stored as `CpuMask`; may be empty.
    Cpus,
}

/// The description of one knob.
#[derive(Clone, Copy, Debug)]
pub struct KnobInfo {
    /// The knob.
    pub id: Knob,
    /// Name of the file under `/proc/sys/vigil`, and of the module parameter.
    pub name: &'static str,
    /// Type and range of its value.
    pub kind: KnobKind,
    /// Whether mainline has a knob of this name, in `/proc/sys/kernel`.
    pub mainline: bool,
    /// One line of help.
    #[cfg_attr(MODULE, expect(dead_code, reason = "for docs/knobs.md"))]
    pub help: &'static str,
}

macro_rules! declare_knobs {
    (
        numbers { $(($n:ident, $nid:ident, $min:expr, $max:expr, $default:expr, $nhelp:expr))* }
        own { $(($o:ident, $oid:ident, $omin:expr, $omax:expr, $odefault:expr, $ohelp:expr))* }
        counters { $(($c:ident, $cid:ident, $chelp:expr))* }
        gauges { $(($g:ident, $gid:ident, $ghelp:expr))* }
        words { $(($w:ident, $wid:ident, $words:expr, $whelp:expr))* }
        rules { $(($r:ident, $rid:ident, $rhelp:expr))* }
        lists { $(($l:ident, $lid:ident, $lhelp:expr))* }
        cpus { $(($m:ident, $mid:ident, $mhelp:expr))* }
    ) => {
        /// A knob; as a number, its index in [`KNOBS`].
        #[allow(clippy::enum_variant_names, reason = "mainline's names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Knob {
            $(#[doc = $nhelp] $nid,)*
            $(#[doc = $ohelp] $oid,)*
            $(#[doc = $chelp] $cid,)*
            $(#[doc = $ghelp] $gid,)*
            $(#[doc = $whelp] $wid,)*
            $(#[doc = $rhelp] $rid,)*
            $(#[doc = $lhelp] $lid,)*
            $(#[doc = $mhelp] $mid,)*
        }

        /// All knobs, in the order of [`Knob`].
        pub const KNOBS: &[KnobInfo] = &[
            $(KnobInfo {
                id: Knob::$nid,
                name: stringify!($n),
                kind: KnobKind::Number { min: $min, max: $max, default: $default },
                mainline: true,
                help: $nhelp,
            },)*
            $(KnobInfo {
                id: Knob::$oid,
                name: stringify!($o),
                kind: KnobKind::Number { min: $omin, max: $omax, default: $odefault },
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
                id: Knob::$gid,
                name: stringify!($g),
                kind: KnobKind::Gauge,
                mainline: false,
                help: $ghelp,
            },)*
            $(KnobInfo {
                id: Knob::$wid,
                name: stringify!($w),
                kind: KnobKind::Word($words),
                mainline: false,
                help: $whelp,
            },)*
            $(KnobInfo {
                id: Knob::$rid,
                name: stringify!($r),
                kind: KnobKind::Rules,
                mainline: false,
                help: $rhelp,
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

/// What the module parameter of a number holds if it was not given: no knob takes it.
pub const NOT_GIVEN: i64 = i64::MAX;

/// How many knobs there are.
pub const COUNT: usize = KNOBS.len();

/// How hung tasks are reported: `hung_task_report`, a variant for each word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HungTaskReportMode {
    /// One report for each root cause and the tasks behind it.
    Grouped,
    /// Each task, as the kernel's own detector does.
    Mainline,
}

impl HungTaskReportMode {
    /// The words of the knob, in the order of the variants.
    pub const WORDS: &'static [&'static str] = &["grouped", "mainline"];

    /// From the knob's value, the index of the word. An unknown index is [`Self::Grouped`].
    pub const fn from_index(index: i64) -> Self {
        match index {
            1 => Self::Mainline,
            _ => Self::Grouped,
        }
    }
}

/// The words of a list knob and their bits: `si_names` of `lib/sys_info.c`. The bit that has no name
/// there (replay of the console, 0x20) is for panics only.
pub const SYS_INFO: &[(&str, i64)] = &[
    ("tasks", 0x01),
    ("mem", 0x02),
    ("timers", 0x04),
    ("locks", 0x08),
    ("ftrace", 0x10),
    ("all_bt", 0x40),
    ("blocked_tasks", 0x80),
];

/// `SYS_INFO_MEM`
#[cfg_attr(MODULE, allow(dead_code, reason = "for the tests"))]
pub const SYS_INFO_MEM: i64 = 0x02;
/// `SYS_INFO_LOCKS`
pub const SYS_INFO_LOCKS: i64 = 0x08;
/// `SYS_INFO_ALL_BT`
pub const SYS_INFO_ALL_BT: i64 = 0x40;

/// The parts that take no lock which a stuck CPU may hold: `locks`, `ftrace` and `blocked_tasks`. For
/// the others the kernel takes locks of run queues (`tasks`), zones of memory (`mem`) or timers.
pub const SYS_INFO_LOCKLESS: i64 = 0x08 | 0x10 | 0x80;

/// The text is no value of the knob, or is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError;

impl KnobInfo {
    /// Whether a change reconfigures the lockup detectors, with all CPUs disabled meanwhile.
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

    /// Whether it says which hung tasks are ignored, or may make a panic.
    pub fn selects_hung_tasks(&self) -> bool {
        matches!(
            self.id,
            Knob::HungTaskIgnore | Knob::HungTaskPanicOnly | Knob::HungTaskPanicSecs
        )
    }

    /// Whether the module parameter is a text of words or rules, which `src/c/param.c` has.
    pub fn has_words(&self) -> bool {
        matches!(
            self.kind,
            KnobKind::Word(_) | KnobKind::Rules | KnobKind::List
        )
    }

    /// Whether the knob's file can be written.
    pub fn is_writable(&self) -> bool {
        self.kind != KnobKind::Gauge
    }

    /// Parses what was written to the knob's file. Blanks around the value are allowed; numbers are
    /// decimal, hexadecimal (`0x10`) or octal (`010`), as for mainline's knobs.
    ///
    /// # Errors
    ///
    /// If the text is no value of this knob. A list of CPUs is always an error, and so are rules: see
    /// [`cpulist::parse`](super::cpulist::parse) and [`rules::count`](super::hung_task::rules::count).
    pub fn parse(&self, text: &[u8], hz: i64) -> Result<i64, ParseError> {
        let text = text.trim_ascii();
        match self.kind {
            KnobKind::Number { .. } | KnobKind::Counter => self.check(number(text)?, hz),
            KnobKind::Word(words) => word(words, text),
            KnobKind::List => list(text),
            KnobKind::Gauge | KnobKind::Rules | KnobKind::Cpus => Err(ParseError),
        }
    }

    /// Checks a value, as it is stored, against the knob's range.
    ///
    /// # Errors
    ///
    /// If it is out of range.
    pub fn check(&self, value: i64, hz: i64) -> Result<i64, ParseError> {
        let (min, max) = match self.kind {
            KnobKind::Number { min, max, .. } => (min, max.value(hz)),
            KnobKind::Counter => (0, 0),
            KnobKind::Gauge | KnobKind::Rules => return Err(ParseError),
            KnobKind::Word(words) => {
                let count = i64::try_from(words.len()).unwrap_or(0);
                (0, count.saturating_sub(1))
            }
            KnobKind::List | KnobKind::Cpus => (0, i64::MAX),
        };
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(ParseError)
        }
    }

    /// The value without the module parameter.
    pub const fn default(&self) -> i64 {
        match self.kind {
            KnobKind::Number { default, .. } => default,
            KnobKind::Counter
            | KnobKind::Gauge
            | KnobKind::Word(_)
            | KnobKind::Rules
            | KnobKind::List
            | KnobKind::Cpus => 0,
        }
    }

    /// The value as the knob's file shows it, without the newline.
    pub fn display(&self, value: i64) -> KnobValue {
        KnobValue {
            kind: self.kind,
            value,
        }
    }
}

/// The value of a knob, for printing. Nothing for rules, whose text this is not.
pub struct KnobValue {
    kind: KnobKind,
    value: i64,
}

impl fmt::Display for KnobValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let KnobKind::Word(words) = self.kind {
            let index = usize::try_from(self.value).unwrap_or(0);
            let word = words.get(index).or(words.first());
            return f.write_str(word.copied().unwrap_or(""));
        }
        if self.kind == KnobKind::Rules {
            return Ok(());
        }
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

/// Parses one whole number.
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

/// Parses one of the words into its index.
fn word(words: &[&str], text: &[u8]) -> Result<i64, ParseError> {
    words
        .iter()
        .position(|word| word.as_bytes() == text)
        .and_then(|index| i64::try_from(index).ok())
        .ok_or(ParseError)
}

/// Parses words of [`SYS_INFO`], comma separated, into a mask. Mainline ignores an unknown word; here
/// it is an error, since a mistyped word would only be noticed when a report comes without its part.
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
