// SPDX-License-Identifier: GPL-2.0

//! The values of all knobs, shared by the detectors and the sysctl files.
//!
//! A new knob is declared in the table of `src/logic/knobs.rs`, which says what else it takes; the
//! files under `/proc/sys/vigil` are those of `src/control/sysctl.rs`.

#![deny(unsafe_code)]

use crate::{
    logic::{
        fmt::Bytes,
        hung_task::rules::{
            self,
            Rule,
            RuleSubject, //
        },
        knobs::{
            Knob,
            KnobInfo,
            KnobKind,
            COUNT,
            KNOBS, //
        }, //
    },
    sys::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        buffer::Buffer,
        clock::HZ, //
    }, //
};
use core::fmt;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// A list of rules that select hung tasks, as it was written. It is never changed: a write makes a new
/// one.
pub(crate) struct RuleList {
    text: Buffer<u8>,
    rules: Buffer<Rule>,
}

impl RuleList {
    /// Parses a list; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the text is no list of rules, `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    fn parse(text: &[u8]) -> Result<Option<Arc<Self>>> {
        let text = text.trim_ascii();
        let count = rules::count(text).map_err(|_| EINVAL)?;
        if count == 0 {
            return Ok(None);
        }
        let mut bytes = text.iter();
        let mut rules = rules::parse(text);
        let list = Self {
            text: Buffer::new(text.len(), GFP_KERNEL, |_| {
                bytes.next().copied().ok_or(EINVAL)
            })?,
            rules: Buffer::new(count, GFP_KERNEL, |_| {
                rules.next().and_then(Result::ok).ok_or(EINVAL)
            })?,
        };
        Ok(Some(Arc::new(list, GFP_KERNEL)?))
    }
}

/// The lists of rules that select hung tasks, as they are at one moment; `None`: the list is empty.
#[derive(Clone, Default)]
pub(crate) struct RuleLists {
    ignore: Option<Arc<RuleList>>,
    panic_only: Option<Arc<RuleList>>,
}

impl RuleLists {
    /// The list of a knob of the kind [`KnobKind::Rules`].
    fn list_mut(&mut self, id: Knob) -> &mut Option<Arc<RuleList>> {
        match id {
            Knob::HungTaskIgnore => &mut self.ignore,
            _ => &mut self.panic_only,
        }
    }

    /// Whether `hung_task_ignore` selects a task.
    pub(crate) fn ignore(&self, task: &impl RuleSubject) -> bool {
        let selects = |list: &Arc<RuleList>| rules::select(&list.rules, task);
        self.ignore.as_ref().is_some_and(selects)
    }

    /// Whether `hung_task_panic_only` leaves a task in, which it does if it selects none.
    pub(crate) fn may_panic(&self, task: &impl RuleSubject) -> bool {
        let selects = |list: &Arc<RuleList>| rules::select(&list.rules, task);
        self.panic_only.as_ref().is_none_or(selects)
    }
}

/// Whether two are the same: nothing was written in between that differs from what was there.
impl PartialEq for RuleLists {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Option<Arc<RuleList>>, b: &Option<Arc<RuleList>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        same(&self.ignore, &other.ignore) && same(&self.panic_only, &other.panic_only)
    }
}

impl Eq for RuleLists {}

/// The values of all knobs. No value says anything about another one: relaxed accesses suffice.
#[pin_data]
pub(crate) struct Knobs {
    values: [Atomic<i64>; COUNT],
    /// How often `hung_task_warnings` was set; wraps.
    warnings_writes: Atomic<u32>,
    /// Held for as long as it takes to copy or to exchange a pointer: the hung-task thread takes it.
    #[pin]
    rules: SpinLock<RuleLists>,
}

impl Knobs {
    /// All knobs at their defaults.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                values: core::array::from_fn(|i| {
                    Atomic::new(KNOBS.get(i).map_or(0, KnobInfo::default))
                }),
                warnings_writes: Atomic::new(0),
                rules <- new_spinlock!(RuleLists::default(), "vigil::Knobs::rules"),
            }),
            GFP_KERNEL,
        )
    }

    /// Sets a number if it is in the knob's range.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not.
    pub(crate) fn set_checked(&self, id: Knob, value: i64) -> Result {
        let value = info(id as usize)?.check(value, HZ).map_err(|_| EINVAL)?;
        self.set(id, value);
        Ok(())
    }

    /// Sets a value from its text. Returns whether it was another one before.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the text is no value of the knob; `ENOMEM`.
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn set_from_text(&self, id: Knob, text: &[u8]) -> Result<bool> {
        let knob = info(id as usize)?;
        if knob.kind == KnobKind::Rules {
            return self.set_rules(id, text);
        }
        let value = knob.parse(text, HZ).map_err(|_| EINVAL)?;
        Ok(self.set(id, value) != value)
    }

    /// Sets a list of rules. One that is there already stays as it is.
    fn set_rules(&self, id: Knob, text: &[u8]) -> Result<bool> {
        let new = RuleList::parse(text)?;
        let old = {
            let mut lists = self.rules.lock();
            let list = lists.list_mut(id);
            let text = list.as_ref().map(|list| &*list.text);
            if text == new.as_ref().map(|list| &*list.text) {
                return Ok(false);
            }
            core::mem::replace(list, new)
        };
        // Freed without the lock.
        drop(old);
        Ok(true)
    }

    /// The lists of rules.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn rules(&self) -> RuleLists {
        self.rules.lock().clone()
    }

    /// Writes a list of rules, as it was written.
    ///
    /// # Context
    ///
    /// Process context.
    pub(crate) fn show_rules(&self, id: Knob, out: &mut dyn fmt::Write) -> fmt::Result {
        let mut lists = self.rules();
        match lists.list_mut(id) {
            Some(list) => write!(out, "{}", Bytes(&list.text)),
            None => Ok(()),
        }
    }

    /// The value.
    pub(crate) fn get(&self, id: Knob) -> i64 {
        self.values.get(id as usize).map_or(0, |v| v.load(Relaxed))
    }

    /// The value of a knob that cannot be negative.
    pub(crate) fn get_u64(&self, id: Knob) -> u64 {
        u64::try_from(self.get(id)).unwrap_or(0)
    }

    /// Sets the value, which the caller has checked. Returns the one before. Fully ordered: what the
    /// caller reads afterwards is no older.
    pub(crate) fn set(&self, id: Knob, value: i64) -> i64 {
        let old = self.values.get(id as usize);
        let old = old.map_or(value, |v| v.xchg(value, Full));
        if id == Knob::HungTaskWarnings {
            self.warnings_writes.fetch_add(1, Relaxed);
        }
        old
    }

    /// How often `hung_task_warnings` was set; wraps.
    pub(crate) fn warnings_writes(&self) -> u32 {
        self.warnings_writes.load(Relaxed)
    }

    /// Adds one to a counter.
    pub(crate) fn count(&self, id: Knob) {
        if let Some(v) = self.values.get(id as usize) {
            v.fetch_add(1, Relaxed);
        }
    }

    /// Subtracts one from a positive number, such as `hung_task_warnings`; leaves 0 and -1 (no limit)
    /// as they are. Returns the number before. A write by user space at the same time is not lost:
    /// it comes before or after the subtraction.
    pub(crate) fn take_one(&self, id: Knob) -> i64 {
        let Some(v) = self.values.get(id as usize) else {
            return 0;
        };
        let mut was = v.load(Relaxed);
        while was > 0 {
            match v.cmpxchg(was, was.wrapping_sub(1), Relaxed) {
                Ok(_) => break,
                Err(now) => was = now,
            }
        }
        was
    }
}

/// The description of the knob at this index of [`KNOBS`].
///
/// # Errors
///
/// `EINVAL` if there is none.
pub(crate) fn info(index: usize) -> Result<&'static KnobInfo> {
    KNOBS.get(index).ok_or(EINVAL)
}
