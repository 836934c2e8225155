// SPDX-License-Identifier: GPL-2.0

//! The sink for programs: the generic netlink family `vigil`, which tells listeners when an incident starts,
//! changes and ends, and answers what the recent ones are (`docs/events.md`).
//!
//! Whoever finds an incident only notes the event, in any context ([`EventRing`]); a thread
//! makes the messages, of what the table of recent incidents says then. It is woken only while somebody
//! listens: by the CPU that notes the event or, if that one is stuck, by the next timer interrupt of another
//! watched CPU ([`poll`]).
//!
//! There are two threads, of which one sends an event at a time: `vigild/event0` runs on CPUs with even
//! numbers and is woken by them, `vigild/event1` on odd ones. A thread that ran last on a CPU that is stuck
//! may be kept there; the next timer interrupt of the other half wakes the other one then.
//!
//! [`EventRing`]: crate::sys::event_ring::EventRing

use super::table;
use crate::{
    logic::{
        culprit::Culprit,
        event::{
            next_number,
            Event,
            EventKind, //
        },
        fmt::Bytes,
        incident::{
            Stack,
            Wait, //
        },
        incident_table::{
            Listed,
            ListedKind,
            Particulars,
            Snapshot, //
        },
        messages::{
            NoNetlinkFamily,
            NETLINK_NAME_TAKEN, //
        },
        netlink::{
            culprit as culprit_attr,
            frame as frame_attr,
            incident as attr,
            kind_state,
            lock as lock_attr,
            operations,
            state as state_attr,
            task as task_attr,
            MODULE_VERSION, //
        },
        task::TaskId, //
    },
    sys::{
        clock::{
            log_clock,
            monotonic, //
        },
        cpu,
        incident_table::{
            Found,
            TABLE, //
        },
        irq_work::IrqWork,
        kallsyms::Symbol,
        kthread::{
            KThread,
            ThreadControl,
            ThreadFn, //
        },
        netlink::{
            self,
            EventMessage,
            Family,
            Group,
            Message,
            Source, //
        },
        printk,
        task, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        SetOnce, //
    }, //
};

/// When the thread tries again what cannot be sent now, in milliseconds.
const RETRY_MS: u32 = 200;

/// How often an incident is read that is being written.
const READS: u32 = 50;

/// For how long an event waits for an incident that is being written, in nanoseconds.
const GIVE_UP_NS: u64 = 1_000_000_000;

/// Events that were sent.
static SENT: Atomic<u64> = Atomic::new(0);

/// Whether the family is registered.
static IS_REGISTERED: Atomic<bool> = Atomic::new(false);

/// Wakes the thread if events wait: the CPU that has noted them may be stuck.
///
/// # Context
///
/// Any, NMI included; called by the timer interrupt of each watched CPU.
pub(crate) fn poll() {
    TABLE.poll_events();
}

/// What `vigil/status` says.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    /// Whether the family is registered.
    pub(crate) is_registered: bool,
    /// Whether somebody listens.
    pub(crate) has_listeners: bool,
    /// Events since load.
    pub(crate) events: u64,
    /// Of these, those that were sent.
    pub(crate) sent: u64,
    /// Those that were lost although somebody listened.
    pub(crate) lost: u64,
}

/// What `vigil/status` says.
pub(crate) fn counts() -> Counts {
    Counts {
        is_registered: IS_REGISTERED.load(Relaxed),
        has_listeners: netlink::has_listeners(),
        events: TABLE.events.count(),
        sent: SENT.load(Relaxed),
        lost: TABLE.events.lost(),
    }
}

/// What the threads and their owner share. Fields are dropped in this order.
struct Shared {
    /// Registered when the threads are there; until then nobody listens.
    family: SetOnce<Family>,
    /// When no event is noted any more.
    work: IrqWork,
    /// Whether a thread sends an event and takes it out of the ring. Only that one uses the rest.
    is_sending: Atomic<bool>,
    /// The number of the event that was taken out last.
    last: Atomic<u64>,
    /// Since when each incident of which an event was to be sent has been found being written, on the
    /// monotonic clock; or 0.
    busy_since: Atomic<u64>,
}

/// The registered family and its threads. To be dropped when no incident is found any more: ends those that
/// are on, has the threads send what waits, and waits for requests that are being answered.
pub(crate) struct NetlinkEvents {
    /// Before what they send with, references to which they have.
    threads: Option<[KThread; 2]>,
    _shared: Arc<Shared>,
}

impl NetlinkEvents {
    /// Starts the threads and registers the family; without the family, which the log says then, there is
    /// nothing to be done.
    ///
    /// To be the last step of the init that can fail: a program that has begun a dump has a reference to the
    /// module, which a failing init does not heed.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of [`KThread::spawn`].
    ///
    /// # Context
    ///
    /// Process context, may sleep.
    pub(crate) fn register() -> Result<Option<Self>> {
        let shared = Arc::new(
            Shared {
                family: SetOnce::new(),
                work: IrqWork::new()?,
                is_sending: Atomic::new(false),
                last: Atomic::new(0),
                busy_since: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let spawn = |name, odd| {
            let shared = shared.clone();
            KThread::spawn(name, ThreadControl::new()?, EventThread { shared, odd })
        };
        let threads = [
            spawn(c"vigild/event0", false)?,
            spawn(c"vigild/event1", true)?,
        ];
        match Family::register::<Table>() {
            Ok(family) => {
                // Cannot fail: it was empty.
                shared.family.populate(family);
            }
            Err(error) if error == ENOMEM => return Err(error),
            Err(error) => {
                log_no_family(error);
                return Ok(None);
            }
        }
        IS_REGISTERED.store(true, Relaxed);
        Ok(Some(Self {
            threads: Some(threads),
            _shared: shared,
        }))
    }
}

impl Drop for NetlinkEvents {
    fn drop(&mut self) {
        table::all_unwatched();
        self.threads = None;
        IS_REGISTERED.store(false, Relaxed);
    }
}

/// Says that nobody will hear of events.
#[cold]
#[inline(never)]
fn log_no_family(error: Error) {
    let errno = error.to_errno();
    if error == EEXIST {
        printk::err(format_args!("{NETLINK_NAME_TAKEN}"));
    } else {
        printk::err(format_args!("{}", NoNetlinkFamily { errno }));
    }
}

/// A thread that sends events.
struct EventThread {
    shared: Arc<Shared>,
    /// Whether it runs on CPUs with odd numbers.
    odd: bool,
}

/// What has become of an event.
enum Sent {
    /// All who listen were sent it.
    Done,
    /// It cannot be sent, or not to all who listen.
    Lost,
    /// Its incident is being written.
    Busy,
    /// It is to be tried again: there is no memory, or the family is just being registered.
    Later,
}

impl ThreadFn for EventThread {
    fn run(&mut self, control: &ThreadControl) {
        loop {
            // What is noted by then is sent below.
            let is_last = control.should_stop();
            let is_done = self.shared.send_all();
            if is_last {
                break;
            }
            // It has just been started, or a change of CPUs or cpusets has moved it.
            if (cpu::this() % 2 != 0) != self.odd {
                task::run_on_half(self.odd);
            }
            let millis = (!is_done).then_some(RETRY_MS);
            self.shared.work.wait(self.odd, millis);
        }
    }
}

impl Shared {
    /// Sends what waits, unless the other thread does. Returns whether that was all.
    fn send_all(&self) -> bool {
        // The other one may have seen an empty ring before this one was woken.
        while !TABLE.events.is_empty() {
            // For one event only: this thread may be stuck on its CPU after it, and the other one goes on
            // then.
            if self.is_sending.xchg(true, Full) {
                return true;
            }
            let is_done = self.send_oldest();
            self.is_sending.xchg(false, Full);
            if !is_done {
                return false;
            }
        }
        true
    }

    /// Sends the event that waits longest, by the one thread that does. Returns whether it is out of the ring.
    fn send_oldest(&self) -> bool {
        let Some(waiting) = TABLE.events.oldest() else {
            // The other thread was faster, or one is about to be put in.
            return TABLE.events.is_empty();
        };
        let last = self.last.load(Relaxed);
        let number = next_number(last, waiting.position, waiting.passed);
        if let Some(event) = waiting.event {
            let sent = self.send(event, number);
            match sent {
                Sent::Busy if self.is_busy_for_long() => (),
                Sent::Busy | Sent::Later => return false,
                Sent::Done | Sent::Lost => self.busy_since.store(0, Relaxed),
            }
            if !matches!(sent, Sent::Done) {
                TABLE.events.count_lost();
            }
        }
        self.last.store(number, Relaxed);
        TABLE.events.take_oldest();
        true
    }

    /// Notes that the incident of the oldest event is being written. Returns whether that has lasted for too
    /// long: one place is not to hold up all events behind it.
    fn is_busy_for_long(&self) -> bool {
        let now = monotonic();
        match self.busy_since.load(Relaxed) {
            0 => {
                self.busy_since.store(now.max(1), Relaxed);
                false
            }
            since => now.saturating_sub(since) > GIVE_UP_NS,
        }
    }

    /// Sends an event to all who listen.
    #[inline(never)]
    fn send(&self, event: Event, number: u64) -> Sent {
        let mut snapshot = Snapshot::EMPTY;
        match read(event.id, &mut snapshot) {
            Found::Incident => (),
            Found::Busy => return Sent::Busy,
            Found::Gone => return Sent::Lost,
        }
        let Some(family) = self.family.as_ref() else {
            // About to be noted here.
            return Sent::Later;
        };
        let event_of = Some((event.kind, number));
        let Some(incident) = IncidentMessage::new(event.id, event_of, &snapshot) else {
            return Sent::Lost;
        };
        let operation = match event.kind {
            EventKind::Start => operations::INCIDENT_START,
            EventKind::Change => operations::INCIDENT_CHANGE,
            EventKind::End => operations::INCIDENT_END,
        };
        let mut messages = [None, None];
        let mut sent = Sent::Done;
        for (message, group) in messages.iter_mut().zip(Group::ALL) {
            if !group.has_listeners() {
                continue;
            }
            // All or none, so that none is sent twice.
            let Ok(mut made) = EventMessage::new(family, operation) else {
                return Sent::Later;
            };
            let detail = match group {
                Group::Incidents => Detail::NONE,
                Group::IncidentsFull => Detail::full(),
            };
            match incident.put(&mut made.message(), detail, true) {
                Ok(()) => *message = Some(made),
                Err(_) => sent = Sent::Lost,
            }
        }
        let mut is_sent = false;
        for (message, group) in messages.into_iter().zip(Group::ALL) {
            if let Some(message) = message {
                // A listener that has no room for it knows by its socket, and by the number.
                let _ = message.send(group);
                is_sent = true;
            }
        }
        SENT.fetch_add(is_sent.into(), Relaxed);
        sent
    }
}

/// Reads an incident.
fn read(id: u64, into: &mut Snapshot) -> Found {
    for _ in 0..READS {
        match TABLE.read(id, into) {
            Found::Busy => core::hint::spin_loop(),
            found => return found,
        }
    }
    Found::Busy
}

/// How much of the kernel's memory a message shows.
#[derive(Clone, Copy)]
struct Detail {
    /// Names of functions and variables.
    symbols: bool,
    /// Addresses.
    addresses: bool,
}

impl Detail {
    /// For everybody.
    const NONE: Self = Self {
        symbols: false,
        addresses: false,
    };

    /// For those who may see addresses, as far as `kptr_restrict` allows.
    fn full() -> Self {
        Self {
            symbols: true,
            addresses: !netlink::hides_addresses(),
        }
    }

    fn of(full: bool) -> Self {
        if full {
            Self::full()
        } else {
            Self::NONE
        }
    }
}

/// Whether the words are those of an incident.
// Not part of the caller's stack frame.
#[inline(never)]
fn is_incident(snapshot: &Snapshot) -> bool {
    Listed::decode(&snapshot.words).is_some()
}

/// What a message says of an incident.
struct IncidentMessage<'a> {
    id: u64,
    /// What has happened, and the number of that; `None` in answers.
    event: Option<(EventKind, u64)>,
    snapshot: &'a Snapshot,
}

impl<'a> IncidentMessage<'a> {
    /// `None` if the words are not those of an incident.
    fn new(id: u64, event: Option<(EventKind, u64)>, snapshot: &'a Snapshot) -> Option<Self> {
        is_incident(snapshot).then_some(Self {
            id,
            event,
            snapshot,
        })
    }

    /// Adds everything to a message. `cut`: if there is no room for the stack, as much of it as there is room
    /// for.
    fn put(&self, message: &mut Message<'_>, detail: Detail, cut: bool) -> Result {
        message.put_u64(attr::ID, self.id)?;
        if let Some((_, number)) = self.event {
            message.put_u64(attr::EVENT, number)?;
        }
        self.put_listed(message, detail)?;
        self.put_particulars(message, detail, cut)
    }

    /// Adds what the list of incidents has too.
    // Not part of the caller's stack frame, as what follows.
    #[inline(never)]
    fn put_listed(&self, message: &mut Message<'_>, detail: Detail) -> Result {
        let listed = Listed::decode(&self.snapshot.words).ok_or(ENOENT)?;
        // The end is another event.
        let end = match self.event {
            Some((EventKind::Start | EventKind::Change, _)) => None,
            _ => listed.end,
        };
        message.put_u32(attr::KIND, listed.kind as u32)?;
        message.put_u64(attr::BEGAN, listed.began())?;
        message.put_u64(attr::FOUND, listed.found)?;
        let age = end.map_or_else(|| listed.age_at(log_clock()), |end| end.age);
        message.put_u64(attr::AGE, age)?;
        message.put_u32(attr::CPU, listed.cpu)?;
        if let Some(task) = listed.task {
            put_task(message, attr::TASK, task)?;
        }
        if let Some(wait) = &listed.wait {
            put_lock(message, wait, detail)?;
        }
        if listed.kind == ListedKind::RootCause {
            message.put_u32(attr::BEHIND, listed.details.behind)?;
        }
        if let Some(end) = end {
            message.put_u32(attr::END, end.how as u32)?;
            message.put_u64(attr::ENDED, end.at)?;
        }
        Ok(())
    }

    /// Adds what the list does not have.
    #[inline(never)]
    fn put_particulars(&self, message: &mut Message<'_>, detail: Detail, cut: bool) -> Result {
        let particulars = Particulars::decode(&self.snapshot.particulars);
        message.put_u64(attr::WALL, particulars.wall)?;
        message.put_u32(attr::FINDER, particulars.finder)?;
        message.put_u32(attr::FLAGS, particulars.flags)?;
        if particulars.whereabouts.ns_pid != 0 {
            message.put_u32(attr::NS_PID, particulars.whereabouts.ns_pid as u32)?;
        }
        if let Some(path) = particulars.whereabouts.cgroup() {
            message.put_text(attr::CGROUP, &path)?;
        }
        if let Some(culprit) = &particulars.culprit {
            put_culprit(message, culprit, detail)?;
        }
        match put_frames(message, &particulars.stack, detail) {
            Err(_) if cut => Ok(()),
            result => result,
        }
    }
}

#[inline(never)]
fn put_lock(message: &mut Message<'_>, wait: &Wait, detail: Detail) -> Result {
    message.nest(attr::LOCK, |message| {
        message.put_u32(lock_attr::KIND, wait.lock.number())?;
        if let Some(owner) = wait.owner {
            put_task(message, lock_attr::OWNER, owner)?;
        }
        if detail.addresses {
            message.put_u64(lock_attr::ADDRESS, wait.address as u64)?;
        }
        put_symbol(message, lock_attr::SYMBOL, detail, || {
            Symbol::at(wait.address)
        })
    })
}

#[inline(never)]
fn put_frames(message: &mut Message<'_>, stack: &Stack, detail: Detail) -> Result {
    if !detail.symbols {
        return Ok(());
    }
    for &address in stack.addresses.iter().take(stack.depth as usize) {
        message.nest(attr::FRAME, |message| {
            if detail.addresses {
                message.put_u64(frame_attr::ADDRESS, address as u64)?;
            }
            put_symbol(message, frame_attr::SYMBOL, detail, || {
                Symbol::place(address)
            })
        })?;
    }
    Ok(())
}

fn put_task(message: &mut Message<'_>, attribute: u16, task: TaskId) -> Result {
    message.nest(attribute, |message| {
        message.put_u32(task_attr::PID, task.pid as u32)?;
        message.put_text(task_attr::COMM, &task.comm)
    })
}

/// Adds the name of what is at an address; nothing if it has none.
#[inline(never)]
fn put_symbol(
    message: &mut Message<'_>,
    attribute: u16,
    detail: Detail,
    symbol: impl FnOnce() -> Symbol,
) -> Result {
    if !detail.symbols {
        return Ok(());
    }
    let symbol = symbol();
    // Without a name the text is the address.
    if symbol.bytes().starts_with(b"0x") {
        return Ok(());
    }
    message.put_text(attribute, &Bytes(symbol.bytes()))
}

#[inline(never)]
fn put_culprit(message: &mut Message<'_>, culprit: &Culprit, detail: Detail) -> Result {
    use crate::logic::culprit::CulpritKind;

    message.nest(attr::CULPRIT, |message| {
        message.put_u32(culprit_attr::KIND, culprit.kind as u32)?;
        if let Some(cpu) = culprit.cpu {
            message.put_u32(culprit_attr::CPU, cpu)?;
        }
        if let Some(task) = culprit.task {
            put_task(message, culprit_attr::TASK, task)?;
        }
        message.put_u32(culprit_attr::COUNT, culprit.count)?;
        message.put_u32(culprit_attr::DEPTH, culprit.depth)?;
        if culprit.age != 0 {
            message.put_u64(culprit_attr::AGE, culprit.age)?;
        }
        if culprit.place != 0 {
            put_symbol(message, culprit_attr::PLACE, detail, || {
                Symbol::of_return(culprit.place)
            })?;
        }
        if culprit.address == 0 {
            return Ok(());
        }
        if matches!(culprit.kind, CulpritKind::Call | CulpritKind::MaybeCall) {
            put_symbol(message, culprit_attr::FUNCTION, detail, || {
                Symbol::at(culprit.address)
            })?;
        }
        if detail.addresses {
            message.put_u64(culprit_attr::ADDRESS, culprit.address as u64)?;
        }
        Ok(())
    })
}

/// The table of recent incidents, from which requests are answered.
struct Table;

impl Table {
    /// Adds an incident. With another error than `EMSGSIZE` nothing was added.
    fn put(message: &mut Message<'_>, id: u64, full: bool, cut: bool) -> Result {
        let mut snapshot = Snapshot::EMPTY;
        match read(id, &mut snapshot) {
            Found::Incident => {
                let incident = IncidentMessage::new(id, None, &snapshot).ok_or(ENOENT)?;
                incident.put(message, Detail::of(full), cut)
            }
            Found::Busy => Err(EAGAIN),
            Found::Gone => Err(ENOENT),
        }
    }
}

impl Source for Table {
    fn put_incident(message: &mut Message<'_>, id: u64, full: bool) -> Result {
        Self::put(message, id, full, true)
    }

    fn put_incident_after(
        message: &mut Message<'_>,
        after: u64,
        full: bool,
        first: bool,
    ) -> Result<u64> {
        let mut after = after;
        while let Some(id) = TABLE.next_id(after) {
            match Self::put(message, id, full, first) {
                Ok(()) => return Ok(id),
                Err(error) if error == EMSGSIZE => return Err(error),
                // It has given up its place meanwhile, or is being written by what is interrupted.
                Err(_) => after = id,
            }
        }
        Err(ENOENT)
    }

    fn put_state(message: &mut Message<'_>) -> Result {
        let now = log_clock();
        message.put_text(state_attr::VERSION, &MODULE_VERSION)?;
        message.put_u64(state_attr::EVENTS, TABLE.events.count())?;
        message.put_u64(state_attr::LOST, TABLE.events.lost())?;
        message.put_u64(state_attr::NOW, now)?;
        for kind in ListedKind::ALL {
            message.nest(state_attr::KIND, |message| {
                let on = table::on_of(kind, now);
                message.put_u32(kind_state::KIND, kind as u32)?;
                message.put_u64(kind_state::TOTAL, TABLE.total_of(kind))?;
                message.put_u32(kind_state::ON, on.count)?;
                if let Some(oldest) = on.oldest {
                    message.put_u64(kind_state::OLDEST, oldest)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn generation() -> u64 {
        TABLE.generation()
    }
}
