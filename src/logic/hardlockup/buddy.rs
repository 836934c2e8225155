// SPDX-License-Identifier: GPL-2.0

//! Hard lockups, seen by another CPU: a CPU whose timer interrupt does not come any more.
//!
//! Each watched CPU stamps its last timer interrupt. The CPU before it in the mask, its buddy,
//! looks at the stamp at each of its own interrupts:
//!
//! ```text
//!           stamp is young                     no interrupt for long (see LIMIT)
//!   [ Fine ] <----------- any state   [ Fine ] --------------------> send an NMI: [ Asked ]
//!                                     [ Asked ] -- answered at once -> hard lockup: [ Hard ]
//!                                     [ Asked ] -- no answer ------> not run: [ Unresponsive ]
//!                      [ Asked ], [ Unresponsive ] -- answered late --> ask again, and again
//!                      [ Asked ], [ Unresponsive ] -- third late answer --> hard lockup: [ Hard ]
//!   [ Hard ] and [ Unresponsive ] stay silent until the stamp is young again: "recovered"
//! ```
//!
//! The NMI is the proof. A CPU that spins with interrupts off answers at once; a virtual CPU that
//! its host does not run answers nothing, and has no lockup. An answer that comes late only says
//! that the host has let it run meanwhile: it is asked again. One that has run so three times, and
//! has taken its timer interrupt at none of them, though that is pending, is stuck on a slow host
//! ([`LATE`]). And one that is let go on just when it is asked takes its timer interrupt right after
//! its answer: whoever gets one looks at the stamp for a moment longer ([`AFTERTHOUGHT`]).
//!
//! When to ask: mainline's buddy has to miss three checks of a sample period each, so that it speaks
//! 2 to 4 sample periods after the CPU got stuck, 8 to 16 s with the default threshold of 10 s. Here
//! it is by the clock: [`limit`] after the last interrupt, which came up to one period before the
//! CPU got stuck; so 2 to 3 sample periods, 8 to 12 s. The watcher sets its timer to just then,
//! instead of finding out at its next sample.

use super::super::{softlockup as soft, NSEC_PER_SEC};

/// How long after its last timer interrupt a CPU is asked, in nanoseconds: 3 sample periods, that
/// is 6/5 of the threshold.
pub fn limit(thresh_secs: u64) -> u64 {
    soft::sample_period(thresh_secs).saturating_mul(3)
}

/// How long a CPU has for its answer, in nanoseconds. An NMI is answered in microseconds; what
/// takes longer is the host, which may have taken the virtual CPU away for a moment.
pub const ANSWER: u64 = 2 * NSEC_PER_SEC;

/// How long to wait, in nanoseconds, before an answer that did not come at once is looked for again.
pub const AGAIN: u64 = NSEC_PER_SEC / 10;

/// How long after an answer the stamp is looked at, in nanoseconds, before the answer counts.
pub const AFTERTHOUGHT: u64 = 5_000_000;

/// How many answers may come late; the next one counts like one that comes at once.
pub const LATE: u32 = 2;

/// How a CPU stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its timer interrupt comes.
    Fine,
    /// An NMI was sent to it at this time.
    Asked(u64),
    /// A hard lockup was reported, and it has not recovered.
    Hard,
    /// It was reported not to run, and has not recovered.
    Unresponsive,
}

/// What the watcher sees of the other CPU. Times in nanoseconds on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Now.
    pub now: u64,
    /// Its last timer interrupt, or since when it is watched.
    pub seen: u64,
    /// When it was last granted patience.
    pub patience: u64,
    /// Whether it took an NMI since it was asked.
    pub answered: bool,
    /// Whether this is the look of the one who has just asked.
    pub on_the_spot: bool,
    /// Answers before this one that came late, since its last timer interrupt.
    pub late: u32,
    /// Whether it can be asked at all.
    pub can_ask: bool,
}

impl Look {
    /// Since when it is late.
    fn since(&self) -> u64 {
        self.seen.max(self.patience)
    }

    /// The state, unless patience was asked for after the question: then that is void.
    fn valid(&self, state: State) -> State {
        match state {
            State::Asked(at) if at < self.since() => State::Fine,
            state => state,
        }
    }

    /// How many answers have come late if it is asked now.
    pub fn late_so_far(&self, state: State) -> u32 {
        match self.valid(state) {
            State::Asked(_) | State::Unresponsive if self.answered => self.late.saturating_add(1),
            _ => 0,
        }
    }
}

/// What the watcher is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its timer interrupt comes: it looks after the CPU behind it.
    Fine,
    /// Look again at this time, at the latest; and look after the CPU behind it too.
    CheckAt(u64),
    /// Send it an NMI.
    Ask,
    /// It is stuck with interrupts off.
    HardLockup,
    /// It does not run.
    Unresponsive,
    /// It could not be asked: stuck, or not run.
    Unconfirmed,
    /// Nothing more: look after the CPU behind it.
    Known,
}

/// Judges another CPU. `period` and `limit` in nanoseconds.
pub fn judge(state: State, look: &Look, period: u64, limit: u64) -> Verdict {
    // Half a period of grace for interrupts that come late.
    let grace = period.saturating_add(period / 2);
    if look.now.saturating_sub(look.seen) <= grace {
        return Verdict::Fine;
    }
    // It does not look after others, whatever patience it has: those are not to wait for that.
    let since = look.since();
    let age = look.now.saturating_sub(since);
    match look.valid(state) {
        State::Hard => Verdict::Known,
        State::Unresponsive if look.answered && age > grace && look.late >= LATE => {
            Verdict::HardLockup
        }
        State::Unresponsive if look.answered && age > grace => Verdict::Ask,
        State::Unresponsive => Verdict::Known,
        State::Asked(_) if look.answered && (look.on_the_spot || look.late >= LATE) => {
            Verdict::HardLockup
        }
        State::Asked(_) if look.answered => Verdict::Ask,
        // Whoever has asked may have been stopped itself.
        State::Asked(_) if look.on_the_spot => Verdict::CheckAt(look.now.saturating_add(AGAIN)),
        State::Asked(at) if look.now.saturating_sub(at) >= ANSWER => Verdict::Unresponsive,
        State::Asked(at) => Verdict::CheckAt(
            at.saturating_add(ANSWER)
                .min(look.now.saturating_add(AGAIN)),
        ),
        State::Fine if age < limit => Verdict::CheckAt(since.saturating_add(limit)),
        State::Fine if look.can_ask => Verdict::Ask,
        State::Fine => Verdict::Unconfirmed,
    }
}
