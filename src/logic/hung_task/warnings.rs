// SPDX-License-Identifier: GPL-2.0

//! What `hung_task_warnings` lets be printed.
//!
//! As in mainline each report takes one warning, and none is printed when there are none left. But
//! reports that repeat, and tasks that pile up behind a cause that was reported, take warnings only
//! as a loan: the first report of a new cause gets one back. So a deadlock is reported however long
//! an older one has lasted, and `hung_task_warnings` causes are reported in all.

/// How many causes are remembered, for tasks that pile up behind them.
pub const CAUSES: usize = 16;

/// What has become of the warnings since the knob was last written.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    /// The knob's count of writes when that was.
    writes: u32,
    /// Warnings that repeats and pile-ups have taken.
    lent: u64,
    /// Keys of the causes that were reported last; 0: none.
    causes: [u64; CAUSES],
    /// Where the next key goes.
    next: usize,
    /// When the check began that last showed what `hung_task_sys_info` asks for.
    shown: Option<u64>,
}

impl Warnings {
    /// Whether a cause is new: no task that is hung behind it was reported yet. It is remembered.
    /// `key`: what tasks have in common that wait for the same, not 0.
    pub fn is_new(&mut self, key: u64) -> bool {
        if self.causes.contains(&key) {
            return false;
        }
        if let Some(cause) = self.causes.get_mut(self.next) {
            *cause = key;
        }
        self.next = self.next.saturating_add(1) % CAUSES;
        true
    }

    /// No task is hung any more: what hangs next is a new cause.
    pub fn forget_causes(&mut self) {
        self.causes = [0; CAUSES];
    }

    /// What `hung_task_sys_info` asks for is shown by a check that began at the time `began`, in
    /// nanoseconds.
    pub fn show_sys_info(&mut self, began: u64) {
        self.shown = Some(began);
    }

    /// Whether that may be shown without a report that is printed: once in a `timeout`, in nanoseconds, or
    /// a sixteenth earlier, so that a report which is due once in a timeout misses none for being due a bit
    /// later than the check began the time before. Mainline shows it at each check, of which there is one in a
    /// timeout unless `hung_task_check_interval_secs` says more. Here there are more, and what is not
    /// printed stays due.
    pub fn may_show_sys_info(&self, began: u64, timeout: u64) -> bool {
        let least = timeout.saturating_sub(timeout / 16);
        self.shown
            .is_none_or(|shown| began.saturating_sub(shown) >= least)
    }

    /// Whether a report may be printed. `left`: the knob before this report took its warning; -1:
    /// no limit. `writes`: how often the knob has been written. `is_new`: it is the first one on a
    /// new cause.
    pub fn may_print(&mut self, left: i64, writes: u32, is_new: bool) -> bool {
        if self.writes != writes {
            self.writes = writes;
            self.lent = 0;
        }
        if left != 0 {
            self.lent = self.lent.saturating_add(u64::from(left > 0 && !is_new));
            return true;
        }
        let gets_back = is_new && self.lent != 0;
        self.lent = self.lent.saturating_sub(u64::from(gets_back));
        gets_back
    }
}
