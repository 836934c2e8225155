// SPDX-License-Identifier: GPL-2.0
//! `guard`: feeds a watchdog device for as long as the machine can help itself, so that the hardware,
//! or the management controller, resets one that cannot.
//!
//! A thread asks the module for its state each second, and hands it to the main thread, which feeds the
//! device and never waits for the module: an answer may not come, if a task that hangs has a lock that
//! the request needs. [`Guard`] decides:
//!
//! ```text
//!              an incident has lasted longer than the limit,
//!              or no answer has come for as long
//!            ------------------------------------------------>
//!   Feeding                                                    Withholding ---> reset by the device
//!            <------------------------------------------------               after its timeout
//!              no such incident any more, and answers come
//! ```
//!
//! It decides anew at each answer: an incident that ends just before the reset is none. Another thread
//! prints, because whoever reads it may hang, or be gone.

use crate::{
    failure::Failure,
    incident::{Kind, State},
    netlink::Connection,
    sources,
    watchdog::Watchdog,
};
use anyhow::{bail, Context, Result};
use nix::sys::{
    mman::{mlockall, MlockAllFlags},
    resource::{getrlimit, rlim_t, setrlimit, Resource, RLIM_INFINITY},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fmt, fs,
    io::{self, ErrorKind, Write},
    path::Path,
    sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

/// Time between two questions to the module.
const ASK: Duration = Duration::from_secs(1);

/// What is known of the module at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is not loaded.
    NotLoaded,
    /// It is loaded, and works without netlink.
    NoFamily,
    /// Kinds of which an incident is on, with the age of the oldest.
    Oldest(Vec<(Kind, Duration)>),
}

impl Seen {
    fn of(state: &State) -> Self {
        let on = state.kinds.iter().filter(|kind| kind.on > 0);
        let oldest = on.filter_map(|kind| Some((kind.kind, Duration::from_nanos(kind.oldest?.0))));
        Self::Oldest(oldest.collect())
    }

    /// Why incidents cannot be seen, if they cannot.
    fn blind(&self) -> Option<&'static str> {
        match self {
            Self::NotLoaded => Some("the module vigil is not loaded"),
            Self::NoFamily => Some("there are no netlink events here"),
            Self::Oldest(_) => None,
        }
    }
}

/// Why the device is not fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// An incident of this kind has lasted longer than the limit.
    Incident(Kind),
    /// The module has not answered for longer than the limit.
    NoAnswer,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incident(kind) => {
                write!(f, "an incident of kind {kind} lasts longer than the limit")
            }
            Self::NoAnswer => f.write_str("the module has not answered for longer than the limit"),
        }
    }
}

/// Whether the device is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is.
    Feed,
    /// It is not.
    Withhold(Why),
}

/// Decides whether the device is fed. Times are since any one moment.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    kinds: Vec<Kind>,
    limit: Duration,
    /// The last answer, and when it came; before the first one, when the guard began.
    last: (Duration, Seen),
}

impl Guard {
    /// Looks at these kinds. `now`: when it begins.
    pub(crate) fn new(kinds: Vec<Kind>, limit: Duration, now: Duration) -> Self {
        Self {
            kinds,
            limit,
            last: (now, Seen::Oldest(Vec::new())),
        }
    }

    /// The module has answered.
    pub(crate) fn seen(&mut self, now: Duration, seen: Seen) {
        self.last = (now, seen);
    }

    /// Decides. An incident that was on at the last answer is taken to be on still.
    pub(crate) fn decide(&self, now: Duration) -> Decision {
        let (at, seen) = &self.last;
        let since = now.saturating_sub(*at);
        let oldest = match seen {
            // Nothing can be told, and a machine without the module is not to be reset.
            Seen::NotLoaded | Seen::NoFamily => &[][..],
            Seen::Oldest(oldest) => oldest.as_slice(),
        };
        let too_old = oldest.iter().find(|(kind, age)| {
            self.kinds.contains(kind) && age.saturating_add(since) > self.limit
        });
        match too_old {
            Some((kind, _)) => Decision::Withhold(Why::Incident(*kind)),
            None if since > self.limit => Decision::Withhold(Why::NoAnswer),
            None => Decision::Feed,
        }
    }
}

/// How far the module is, as `/sys/module/vigil/initstate` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There is none.
    Absent,
    /// It is loaded.
    Live,
    /// It is being loaded or unloaded, which may be for ever if it waits for a CPU that is stuck.
    Between,
}

impl Progress {
    fn now() -> Self {
        match fs::read_to_string("/sys/module/vigil/initstate") {
            Ok(state) if state.trim_end() == "live" => Self::Live,
            Ok(_) => Self::Between,
            Err(error) if error.kind() != ErrorKind::NotFound => Self::Between,
            // The knobs, if sysfs is not mounted.
            Err(_) if sources::is_loaded() => Self::Live,
            Err(_) => Self::Absent,
        }
    }

    /// What it means that the module has no netlink family; `None`: no answer.
    fn without_family(self) -> Option<Seen> {
        match self {
            Self::Absent => Some(Seen::NotLoaded),
            Self::Live => Some(Seen::NoFamily),
            Self::Between => None,
        }
    }
}

/// What the main thread waits for.
enum Input {
    Seen(Seen),
    Stop,
}

/// Asks the module again and again. Ends when nobody listens.
fn ask(tell: &Sender<Input>) {
    let mut connection = None;
    loop {
        let seen = look(&mut connection);
        if seen.is_some_and(|seen| tell.send(Input::Seen(seen)).is_err()) {
            return;
        }
        thread::sleep(ASK);
    }
}

/// The module's state; `None`: no answer.
fn look(connection: &mut Option<Connection>) -> Option<Seen> {
    // Asked for a family that is not there, the kernel runs modprobe and waits for its end
    // (`ctrl_getfamily()`).
    if Progress::now() == Progress::Absent && (connection.is_none() || has_sysfs()) {
        *connection = None;
        return Some(Seen::NotLoaded);
    }
    // The family is the last thing to go at unload, later than the knobs, and answers as long as that
    // waits for a stuck CPU.
    let answer = match connection {
        Some(connection) => connection.state(),
        None => Connection::to_module().and_then(|new| connection.insert(new).state()),
    };
    match answer {
        Ok(state) => Some(Seen::of(&state)),
        Err(error) => {
            *connection = None;
            error
                .is::<Failure>()
                .then(Progress::now)
                .and_then(Progress::without_family)
        }
    }
}

/// Whether there is a sysfs, which has the module until it is gone.
fn has_sysfs() -> bool {
    Path::new("/sys/module").is_dir()
}

/// Prints lines in a thread of its own, one after the other: nobody waits for whoever reads them, and
/// it does not matter whether they can be written.
#[derive(Debug)]
struct Printer {
    lines: Sender<String>,
    /// Says nothing, but that the thread has ended.
    ended: Receiver<()>,
}

impl Printer {
    fn new(mut out: impl Write + Send + 'static) -> Self {
        let (lines, to_print) = channel::<String>();
        let (alive, ended) = channel();
        thread::spawn(move || {
            for line in to_print {
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
            drop(alive);
        });
        Self { lines, ended }
    }

    fn line(&self, line: String) {
        let _ = self.lines.send(line);
    }

    /// Waits for a moment until all is printed.
    fn finish(self) {
        drop(self.lines);
        let _ = self.ended.recv_timeout(ASK);
    }
}

/// What the guard is to do.
#[derive(Clone, Debug)]
pub(crate) struct Options<'a> {
    /// The device.
    pub(crate) device: &'a Path,
    /// After how long without being fed it resets the machine.
    pub(crate) timeout: Duration,
    /// How long an incident may last.
    pub(crate) limit: Duration,
    /// Of which kinds.
    pub(crate) kinds: Vec<Kind>,
}

/// Feeds the device until SIGTERM, SIGINT or SIGHUP, and stops it then.
///
/// # Errors
///
/// If the module is loaded and has no netlink family here, or the device cannot be opened or stopped. A
/// device that cannot be fed is no error, but tried again.
pub(crate) fn run(options: Options<'_>) -> Result<()> {
    if options.kinds.is_empty() {
        bail!("no kind of incident is chosen");
    }
    // Before the device is opened: a signal that ended the program would leave it counting.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("cannot handle signals")?;
    // A guard that never sees an incident would only seem to be one. Without the module nothing is asked:
    // see `look`.
    if Progress::now() != Progress::Absent {
        if let Err(error) = Connection::to_module() {
            if matches!(error.downcast_ref(), Some(Failure::NoFamily)) {
                return Err(error);
            }
        }
    }
    let print = Printer::new(io::stdout());
    let (tell, inputs) = channel();
    let tell_stop = tell.clone();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            // Without a receiver the program is about to end.
            let _ = tell_stop.send(Input::Stop);
        }
    });
    thread::spawn(move || ask(&tell));
    if let Err(error) = lock_memory() {
        print.line(format!("cannot lock memory ({error}): going on without"));
    }
    let mut watchdog = Watchdog::open(options.device, options.timeout)?;
    let name = options.device.display();
    let timeout = watchdog.timeout();
    print.line(format!(
        "{name}: reset after {} s without feeding; incidents may last {} s",
        timeout.as_secs(),
        options.limit.as_secs()
    ));
    let feed_every = timeout / 4;
    let begin = Instant::now();
    let mut guard = Guard::new(options.kinds, options.limit, Duration::ZERO);
    let (mut before, mut is_fed) = (Decision::Feed, true);
    let mut said = None;
    let mut next = begin;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        match inputs.recv_timeout(left) {
            Ok(Input::Seen(seen)) => {
                if let Some(why) = seen.blind().filter(|&why| said != Some(why)) {
                    print.line(format!("{name}: {why}: fed whatever happens"));
                }
                said = seen.blind();
                guard.seen(begin.elapsed(), seen);
            }
            Ok(Input::Stop) => return stop(watchdog, options.device, print),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // Nobody tells of a signal any more, nor of answers: the limit will pass.
                thread::sleep(left.min(ASK));
            }
        }
        let decision = guard.decide(begin.elapsed());
        let is_due = Instant::now() >= next;
        if decision != before {
            print.line(match decision {
                Decision::Feed => format!("{name}: fed again"),
                Decision::Withhold(why) => format!(
                    "{name}: not fed any more, reset in about {} s: {why}",
                    timeout.as_secs()
                ),
            });
        }
        if decision == Decision::Feed && (is_due || decision != before) {
            let fed = watchdog.feed();
            match &fed {
                Ok(()) if !is_fed => print.line(format!("{name}: takes it again")),
                Err(error) if is_fed => print.line(format!("{name}: {error:#}: trying again")),
                _ => {}
            }
            is_fed = fed.is_ok();
        }
        before = decision;
        if is_due {
            let wait = if is_fed {
                feed_every
            } else {
                feed_every.min(ASK)
            };
            next = Instant::now() + wait;
        }
    }
}

/// Keeps the program's memory where it is, for when that of the machine is short: also what it
/// allocates later, unless a limit could make that fail. A privilege that root has.
fn lock_memory() -> nix::Result<()> {
    // Refused without `CAP_SYS_RESOURCE`, unless the limit is that already.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(0, |(soft, _)| soft);
    mlockall(what_to_lock(limit))
}

/// What is locked under a limit (`RLIMIT_MEMLOCK`). What does not fit into it later, the stack of a
/// thread say, would not be allocated at all, and end the program.
fn what_to_lock(limit: rlim_t) -> MlockAllFlags {
    if limit == RLIM_INFINITY {
        MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE
    } else {
        MlockAllFlags::MCL_CURRENT
    }
}

/// Stops the device, and says so.
fn stop(watchdog: Watchdog, device: &Path, print: Printer) -> Result<()> {
    watchdog.stop()?;
    let name = device.display();
    print.line(if has_nowayout(device) {
        format!("{name}: its driver has nowayout: it goes on, and resets the machine")
    } else {
        format!("{name}: stopped")
    });
    print.finish();
    Ok(())
}

/// Whether the driver of a device does not let it be stopped, as far as sysfs tells.
fn has_nowayout(device: &Path) -> bool {
    let name = device.file_name().unwrap_or_default();
    let file = Path::new("/sys/class/watchdog").join(name).join("nowayout");
    fs::read_to_string(file).is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{KindState, Nanos};
    use proptest::prelude::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn an_incident_that_recovers_in_time() {
        let mut guard = Guard::new(vec![Kind::HardLockup], secs(60), secs(0));
        assert_eq!(guard.decide(secs(0)), Decision::Feed);
        guard.seen(secs(1), Seen::Oldest(vec![(Kind::HardLockup, secs(59))]));
        assert_eq!(guard.decide(secs(2)), Decision::Feed);
        let withhold = Decision::Withhold(Why::Incident(Kind::HardLockup));
        assert_eq!(guard.decide(secs(3)), withhold);
        guard.seen(secs(4), Seen::Oldest(vec![(Kind::HardLockup, secs(62))]));
        assert_eq!(guard.decide(secs(4)), withhold);
        guard.seen(secs(5), Seen::Oldest(Vec::new()));
        assert_eq!(guard.decide(secs(5)), Decision::Feed);
    }

    #[test]
    fn under_a_limit_only_what_is_there_is_locked() {
        let future = MlockAllFlags::MCL_FUTURE;
        assert!(what_to_lock(RLIM_INFINITY).contains(future));
        assert!(!what_to_lock(8 << 20).contains(future));
    }

    #[test]
    fn other_kinds_do_not_matter() {
        let mut guard = Guard::new(vec![Kind::HardLockup], secs(60), secs(0));
        guard.seen(secs(1), Seen::Oldest(vec![(Kind::HungTask, secs(500))]));
        assert_eq!(guard.decide(secs(2)), Decision::Feed);
    }

    #[test]
    fn no_answer() {
        let mut guard = Guard::new(vec![Kind::HardLockup], secs(60), secs(10));
        assert_eq!(guard.decide(secs(70)), Decision::Feed);
        assert_eq!(guard.decide(secs(71)), Decision::Withhold(Why::NoAnswer));
        guard.seen(secs(72), Seen::NotLoaded);
        assert_eq!(guard.decide(secs(73)), Decision::Feed);
    }

    #[test]
    fn an_unload_that_does_not_end_is_no_answer() {
        assert_eq!(Progress::Absent.without_family(), Some(Seen::NotLoaded));
        assert_eq!(Progress::Live.without_family(), Some(Seen::NoFamily));
        assert_eq!(Progress::Between.without_family(), None);
    }

    /// First it is slow, then gone.
    #[test]
    fn whoever_reads_does_not_matter() {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let print = Printer::new(writer);
        for _ in 0..1000 {
            print.line("x".repeat(1000));
        }
        drop(reader);
        print.line("y".to_owned());
        print.finish();
    }

    #[test]
    fn only_what_is_on_is_seen() {
        let kind = |on, oldest| KindState {
            kind: Kind::SoftLockup,
            total: 3,
            on,
            oldest,
        };
        let state = |kind| State {
            kinds: vec![kind],
            ..State::default()
        };
        assert_eq!(Seen::of(&state(kind(0, None))), Seen::Oldest(Vec::new()));
        assert_eq!(
            Seen::of(&state(kind(1, Some(Nanos(2_000_000_000))))),
            Seen::Oldest(vec![(Kind::SoftLockup, secs(2))])
        );
    }

    /// What happens in one second.
    #[derive(Clone, Copy, Debug)]
    struct Second {
        /// An incident of the watched kind is on.
        watched: bool,
        /// One of another kind is.
        other: bool,
        /// The module answers.
        answers: bool,
    }

    proptest! {
        /// Against a restatement that goes through the seconds: fed, unless the incident that the last
        /// answer told of began longer ago than the limit, or there was no answer for so long.
        #[test]
        fn as_restated(
            limit in 1_u64..8,
            seconds in prop::collection::vec(
                (any::<bool>(), any::<bool>(), any::<bool>())
                    .prop_map(|(watched, other, answers)| Second { watched, other, answers }),
                1..60,
            ),
        ) {
            let mut guard = Guard::new(vec![Kind::HardLockup], secs(limit), secs(0));
            let mut began = None;
            let (mut answer_at, mut answer_began) = (0, None);
            for (now, second) in (1_u64..).zip(&seconds) {
                began = match (second.watched, began) {
                    (false, _) => None,
                    (true, None) => Some(now),
                    (true, began) => began,
                };
                if second.answers {
                    let mut oldest = Vec::new();
                    if second.other {
                        oldest.push((Kind::HungTask, secs(1000)));
                    }
                    oldest.extend(began.map(|began| (Kind::HardLockup, secs(now - began))));
                    guard.seen(secs(now), Seen::Oldest(oldest));
                    (answer_at, answer_began) = (now, began);
                }
                let expected = if answer_began.is_some_and(|began| now - began > limit) {
                    Decision::Withhold(Why::Incident(Kind::HardLockup))
                } else if now - answer_at > limit {
                    Decision::Withhold(Why::NoAnswer)
                } else {
                    Decision::Feed
                };
                prop_assert_eq!(guard.decide(secs(now)), expected);
            }
        }
    }
}
