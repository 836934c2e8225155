// SPDX-License-Identifier: GPL-2.0

//! What a stuck CPU waits for: the lines of a lockup report that lead from the CPU that was found to
//! the one that the others wait for.
//!
//! What is known is worded as such ("waits for"): a request to run a function that the other CPU has
//! not finished, and whose address the CPU has in a register, or a spinlock whose owner the kernel
//! keeps. What only follows from the fact that no other CPU is stuck is "may wait for".
//!
//! All is collected before any line of it is printed: see [`CpuWaits::collect`].

use super::session::ReportSession;
use crate::{
    incident,
    logic::{
        cpu_wait::{
            CpuContext,
            CpuWait,
            StackScan, //
        },
        culprit::{
            Culprit,
            CulpritKind, //
        },
        fmt::Secs,
        incident::{
            key_of,
            Stack, //
        },
        messages::{
            CpuHasToRun,
            CpuHasToRunMore,
            CpuMayWaitFor,
            CpuMayWaitForCall,
            CpuSpins,
            CpuStopsMachine,
            CpuWaitsForCall,
            CpuWaitsForMore,
            CpuWaitsForOwner,
            CpuWaitsInTheEnd,
            SameLockAndPlace,
            StuckIn, //
        },
        task::{
            TaskId,
            Whereabouts, //
        }, //
    },
    sys::{
        backtrace::Backtracer,
        clock::monotonic_in_nmi,
        cpu,
        kallsyms::{
            Symbol,
            SymbolAt, //
        },
        nmi,
        printk,
        smp::{
            self,
            SmpCalls,
            WaitRegs, //
        }, //
    }, //
};
use core::fmt;

/// How many CPUs are followed that wait for each other.
const MAX_LINKS: usize = 3;

/// How many requests to the stuck CPU have a line of their own.
const MAX_REQUESTS: u32 = 4;

/// How many stuck CPUs are asked for what they run, where it is not known which one is waited for.
const MAX_SUSPECTS: u32 = 16;

/// For how many nanoseconds CPUs are waited for to say what they run, all together.
const SNAPSHOT_TIMEOUT_NS: u64 = 500_000_000;

/// How many keys there are of locks and places ([`CpuActivity::lock_key`]).
pub(crate) const LOCK_KEYS: u64 = 1 << 48;

/// No CPU, in [`CpuActivity::other`].
const NO_CPU: u32 = u32::MAX;

/// What a CPU was seen to run. Kept small: several of them are on the stack of a report.
#[derive(Clone, Copy)]
pub(crate) struct CpuActivity {
    task: TaskId,
    context: CpuContext,
    wait: Option<CpuWait>,
    /// Address in the handler or the function that waits, or that does not get on by itself.
    place: usize,
    /// Address of the spinlock, or of the function that another CPU has to run; 0 if that is not known.
    object: usize,
    /// The CPU that has taken the spinlock, or that has to run the function.
    other: u32,
}

impl CpuActivity {
    /// From what was found on the CPU.
    ///
    /// # Context
    ///
    /// Any, NMI included; searches the symbol table for each address of the stack.
    #[inline(never)]
    pub(crate) fn new(
        calls: &SmpCalls,
        cpu: u32,
        task: TaskId,
        context: CpuContext,
        stack: &Stack,
        regs: &WaitRegs,
    ) -> Self {
        let mut scan = StackScan::default();
        for (&address, index) in stack.addresses.iter().zip(0..stack.depth) {
            let name = if index == 0 {
                Symbol::at(address)
            } else {
                Symbol::of_return(address)
            };
            scan.add(name.bytes());
        }
        let wait = scan.wait();
        let index = match wait {
            None => scan.handler().or(scan.caller()),
            Some(_) => scan.caller(),
        };
        let index = index.unwrap_or(0);
        let address = stack.addresses.get(index).copied().unwrap_or(0);
        let (object, other) = match wait {
            Some(CpuWait::Spinlock) => match smp::spinlock(regs, cpu) {
                Some(lock) => (lock.address, lock.owner_cpu.unwrap_or(NO_CPU)),
                None => (0, NO_CPU),
            },
            Some(CpuWait::Call) => Self::call_in_regs(calls, cpu, regs),
            _ => (0, NO_CPU),
        };
        Self {
            task,
            context,
            wait,
            // Where a return address leads to may be behind the function.
            place: address.wrapping_sub(usize::from(index != 0)),
            object,
            other,
        }
    }

    /// The function that the CPU waits for another one to run, and that CPU: the CPU has the address of
    /// the request in a register.
    fn call_in_regs(calls: &SmpCalls, cpu: u32, regs: &WaitRegs) -> (usize, u32) {
        for target in cpu::others_online(cpu) {
            if let Some(request) = calls.waited_for(cpu, target) {
                if regs.contains(&request.address) {
                    return (request.function, target);
                }
            }
        }
        (0, NO_CPU)
    }

    /// What a CPU ran at its last snapshot ([`nmi::snapshot`]).
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn of_snapshot(calls: &SmpCalls, cpu: u32) -> Option<Self> {
        // Not moved out: there would be another copy on the stack, of an NMI perhaps.
        let snapshot = nmi::snapshot(cpu);
        let snapshot = snapshot.as_ref()?;
        Some(Self::new(
            calls,
            cpu,
            snapshot.task,
            snapshot.context,
            &snapshot.stack,
            &snapshot.wait_regs,
        ))
    }

    /// Whether the CPU waits for other CPUs or a lock.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait.is_some()
    }

    /// The CPU that it is known to wait for.
    fn known_other(&self) -> Option<u32> {
        (self.other != NO_CPU).then_some(self.other)
    }

    /// One number for the lock that the CPU spins for and the place where it does, below
    /// [`LOCK_KEYS`]; 0 if that is not known.
    pub(crate) fn lock_key(&self) -> u64 {
        if self.wait != Some(CpuWait::Spinlock) || self.object == 0 {
            return 0;
        }
        (key_of(&[self.object, self.place]) % LOCK_KEYS).max(1)
    }

    /// Address of the spinlock that the CPU spins for; 0: not known, or none.
    fn spins_for(&self) -> usize {
        match self.wait {
            Some(CpuWait::Spinlock) => self.object,
            _ => 0,
        }
    }

    /// The lock that the CPU spins for, in words.
    fn lock(&self) -> LockText {
        LockText {
            is_rwlock: self.wait == Some(CpuWait::Rwlock),
            address: (self.object != 0).then_some(self.object),
        }
    }
}

/// A lock in words: `spinlock ffff8f6f7ffd2bc0`, or `a spinlock`.
struct LockText {
    is_rwlock: bool,
    address: Option<usize>,
}

impl fmt::Display for LockText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.is_rwlock) {
            (Some(address), _) => write!(f, "spinlock {address:x}"),
            (None, true) => f.write_str("a read-write lock"),
            (None, false) => f.write_str("a spinlock"),
        }
    }
}

/// How far a watched CPU has got, as the lockup detectors see it.
#[derive(Clone, Copy)]
pub(crate) struct CpuProgress {
    /// Nanoseconds since its last timer interrupt.
    pub(crate) age: u64,
    /// Whether that is longer than it should be, and not because the CPU gives a report.
    pub(crate) is_late: bool,
    /// Whether it has a soft lockup that was reported.
    pub(crate) has_softlockup: bool,
    /// Whether it gives a report: what it ran before is not seen then.
    pub(crate) is_reporting: bool,
    /// Whether its report has found it waiting for other CPUs or a lock.
    pub(crate) is_waiting: bool,
}

/// A CPU that another one waits for.
#[derive(Clone, Copy)]
struct OtherCpu {
    cpu: u32,
    progress: Option<CpuProgress>,
    /// `None`: it could not be asked, or has not answered.
    activity: Option<CpuActivity>,
}

/// What the CPU does, in words behind "that CPU".
impl fmt::Display for OtherCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(progress) = self.progress.filter(|progress| progress.is_late) {
            let secs = Secs(progress.age);
            write!(f, "took its last timer interrupt {secs} s ago and ")?;
        }
        let Some(activity) = &self.activity else {
            return f.write_str("cannot be asked what it runs");
        };
        let place = SymbolAt(activity.place);
        match (activity.wait, activity.context) {
            (Some(CpuWait::Spinlock | CpuWait::Rwlock), _) => {
                write!(f, "spins for {} in {place}", activity.lock())
            }
            (Some(CpuWait::Call), _) => write!(f, "waits for other CPUs in {place}"),
            (Some(CpuWait::StopMachine), _) => f.write_str("waits in stop_machine()"),
            (None, CpuContext::Task) => write!(f, "runs {} in {place}", activity.task),
            (None, context) => write!(f, "is in {}, in {place}", context.name()),
        }
    }
}

/// Why a CPU is said to wait for another one.
#[derive(Clone, Copy)]
enum Why {
    /// The other one has to run the function at this address.
    Call(usize),
    /// The same, but it is not known whether this CPU waits for that: another task may.
    MaybeCall(usize),
    /// The other one has taken the lock.
    Owner,
    /// No other CPU is stuck but the ones that wait themselves.
    OnlyOne,
}

/// One CPU that waits for another one.
#[derive(Clone, Copy)]
struct Link {
    cpu: u32,
    why: Why,
    target: OtherCpu,
    /// How many more CPUs have to run the function.
    more: u32,
}

/// What a CPU waits for, and what that waits for, and so on.
pub(crate) struct CpuChain {
    cpu: u32,
    /// What the first CPU runs.
    pub(crate) activity: CpuActivity,
    links: [Option<Link>; MAX_LINKS],
    /// The CPU whose report has the same stack, so that it need not be printed again.
    pub(crate) same: Option<u32>,
}

/// How it is found out what CPUs wait for. `progress`: of watched CPUs.
pub(crate) struct CpuWaits<'a, P: Fn(u32) -> Option<CpuProgress>> {
    calls: &'a SmpCalls,
    backtracer: &'a Backtracer,
    progress: P,
    /// Until when CPUs are waited for.
    until: u64,
}

impl<'a, P: Fn(u32) -> Option<CpuProgress>> CpuWaits<'a, P> {
    /// # Context
    ///
    /// Any, NMI included.
    pub(crate) fn new(calls: &'a SmpCalls, backtracer: &'a Backtracer, progress: P) -> Self {
        Self {
            calls,
            backtracer,
            progress,
            until: monotonic_in_nmi().saturating_add(SNAPSHOT_TIMEOUT_NS),
        }
    }

    /// What another CPU runs now, by an NMI; of one in the chain that is known.
    #[inline(never)]
    fn ask(&self, cpu: u32, chain: &CpuChain) -> OtherCpu {
        let mut activity = chain.activity_of(cpu);
        if activity.is_none() {
            let left = self.until.saturating_sub(monotonic_in_nmi());
            if self.backtracer.take_snapshot(cpu, left) {
                activity = CpuActivity::of_snapshot(self.calls, cpu);
            }
        }
        OtherCpu {
            cpu,
            progress: (self.progress)(cpu),
            activity,
        }
    }

    /// The CPU that has to run a function for `cpu`, which waits in `smp_call_function_*()`. If it is
    /// not known which of several, the one whose last timer interrupt is the oldest.
    fn call_link(&self, cpu: u32, activity: &CpuActivity, chain: &CpuChain) -> Option<Link> {
        let mut found: Option<(u32, usize, u64)> = None;
        let mut count: u32 = 0;
        for target in cpu::others_online(cpu) {
            let Some(request) = self.calls.waited_for(cpu, target) else {
                continue;
            };
            count = count.saturating_add(1);
            // A CPU that is not watched may have been stuck for longer than any other.
            let age = (self.progress)(target).map_or(u64::MAX, |progress| progress.age);
            match found {
                Some((.., oldest)) if oldest >= age => (),
                _ => found = Some((target, request.function, age)),
            }
        }
        let (target, why) = match (activity.known_other(), found) {
            (Some(target), _) => (target, Why::Call(activity.object)),
            // The request of a task that waits elsewhere by now, perhaps.
            (None, Some((target, function, _))) => (target, Why::MaybeCall(function)),
            (None, None) => return None,
        };
        let target = self.ask(target, chain);
        // It may have run the function meanwhile.
        let request = self.calls.waited_for(cpu, target.cpu)?;
        let function = match why {
            Why::Call(function) | Why::MaybeCall(function) => function,
            Why::Owner | Why::OnlyOne => return None,
        };
        (request.function == function).then_some(Link {
            cpu,
            why,
            target,
            more: count.saturating_sub(1),
        })
    }

    /// The CPU that has taken the lock that `cpu` spins for.
    fn owner_link(&self, cpu: u32, activity: &CpuActivity, chain: &CpuChain) -> Option<Link> {
        let owner = activity.known_other()?;
        let target = self.ask(owner, chain);
        // It may have given it back meanwhile.
        (smp::spinlock_owner(activity.object) == Some(owner)).then_some(Link {
            cpu,
            why: Why::Owner,
            target,
            more: 0,
        })
    }

    /// The stuck CPU that does not wait itself, if there is exactly one. The CPUs of the chain are known
    /// to wait.
    #[inline(never)]
    fn only_one(&self, cpu: u32, chain: &CpuChain) -> Option<Link> {
        let mut found: Option<OtherCpu> = None;
        let mut asked: u32 = 0;
        for other in cpu::others_online(cpu) {
            if other == cpu::this() || chain.has(other) {
                continue;
            }
            // One that is not watched may be it.
            let progress = (self.progress)(other)?;
            if !progress.is_late && !progress.has_softlockup {
                continue;
            }
            if progress.is_reporting {
                if progress.is_waiting || !progress.has_softlockup {
                    continue;
                }
                return None;
            }
            asked = asked.saturating_add(1);
            if asked > MAX_SUSPECTS {
                return None;
            }
            let suspect = self.ask(other, chain);
            if suspect
                .activity
                .is_some_and(|activity| activity.is_waiting())
            {
                continue;
            }
            if found.replace(suspect).is_some() {
                return None;
            }
        }
        Some(Link {
            cpu,
            why: Why::OnlyOne,
            target: found?,
            more: 0,
        })
    }

    /// What `cpu` waits for, at the end of a chain.
    fn link(&self, cpu: u32, activity: &CpuActivity, chain: &CpuChain) -> Option<Link> {
        match activity.wait? {
            CpuWait::Call => self.call_link(cpu, activity, chain),
            CpuWait::Spinlock if activity.known_other().is_some() => {
                self.owner_link(cpu, activity, chain)
            }
            CpuWait::Spinlock | CpuWait::Rwlock | CpuWait::StopMachine => self.only_one(cpu, chain),
        }
    }

    /// Finds out what a CPU waits for, and what that waits for.
    ///
    /// # Context
    ///
    /// Any, NMI included. Where an NMI can be sent, waits for other CPUs to answer one, for half a
    /// second at most.
    #[inline(never)]
    pub(crate) fn collect(&self, cpu: u32, activity: CpuActivity) -> CpuChain {
        let mut chain = CpuChain {
            cpu,
            activity,
            links: [None; MAX_LINKS],
            same: None,
        };
        let mut last = Some((cpu, activity));
        for index in 0..MAX_LINKS {
            let link = last.and_then(|(cpu, activity)| self.link(cpu, &activity, &chain));
            let Some(link) = link else {
                break;
            };
            let target = link.target;
            last = match target.activity {
                // Where it comes back to is not followed again.
                Some(activity) if !chain.has(target.cpu) => Some((target.cpu, activity)),
                _ => None,
            };
            if let Some(place) = chain.links.get_mut(index) {
                *place = Some(link);
            }
        }
        chain
    }

    /// Prints which functions a CPU has to run for others, as far as a task waits for that.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn print_requests(&self, cpu: u32) {
        let mut printed: u32 = 0;
        let mut count: u32 = 0;
        for sender in cpu::others_online(cpu) {
            let Some(request) = self.calls.waited_for(sender, cpu) else {
                continue;
            };
            if printed == MAX_REQUESTS {
                count = count.saturating_add(1);
                continue;
            }
            printed = printed.saturating_add(1);
            let function = SymbolAt(request.function);
            printk::emerg(format_args!(
                "{}",
                CpuHasToRun {
                    cpu,
                    function,
                    sender
                }
            ));
        }
        if count != 0 {
            printk::emerg(format_args!("{}", CpuHasToRunMore { cpu, count }));
        }
    }
}

impl CpuChain {
    /// Whether a CPU is one of those that wait.
    fn has(&self, cpu: u32) -> bool {
        let mut waiting = self.links.iter().flatten().map(|link| link.cpu);
        self.cpu == cpu || waiting.any(|waiting| waiting == cpu)
    }

    /// What a CPU of the chain runs, as it was seen for it.
    fn activity_of(&self, cpu: u32) -> Option<CpuActivity> {
        if cpu == self.cpu {
            return Some(self.activity);
        }
        let mut links = self.links.iter().flatten();
        links.find_map(|link| {
            let is_it = link.target.cpu == cpu;
            is_it.then_some(link.target.activity).flatten()
        })
    }

    /// The CPU that it comes down to: the last one, if each link is known and that CPU does not wait
    /// itself.
    fn end(&self) -> Option<u32> {
        let mut end = None;
        for link in self.links.iter().flatten() {
            if !matches!(link.why, Why::Call(_) | Why::Owner) {
                return None;
            }
            end = Some(link.target);
        }
        let end = end?;
        let is_waiting = end.activity?.is_waiting();
        (!is_waiting && !self.has(end.cpu)).then_some(end.cpu)
    }

    /// The last link of the chain up to the first one that is not certain, and the length up to there.
    fn last_link(&self) -> Option<(&Link, u32)> {
        let mut last = None;
        let mut length: u32 = 0;
        for link in self.links.iter().flatten() {
            length = length.saturating_add(1);
            last = Some((link, length));
            if matches!(link.why, Why::MaybeCall(_) | Why::OnlyOne) {
                break;
            }
        }
        last
    }

    /// What the first CPU waits for in the end: the last CPU of the chain, or a lock whose owner is not
    /// known. `None`: the CPU waits for nothing that is known.
    fn culprit(&self) -> Option<Culprit> {
        let Some((last, length)) = self.last_link() else {
            let lock = self.activity.spins_for();
            return (lock != 0).then_some(Culprit {
                kind: CulpritKind::Lock,
                cpu: Some(self.cpu),
                task: Some(self.activity.task),
                count: 0,
                depth: 0,
                address: lock,
                spins_for: lock,
                place: self.activity.place,
                age: 0,
                whereabouts: incident::whereabouts_of_running(self.cpu, self.activity.task.pid),
            });
        };
        let lock = || {
            let waiter = self.activity_of(last.cpu);
            waiter.map_or(0, |waiter| waiter.spins_for())
        };
        let (kind, address) = match last.why {
            Why::Call(function) => (CulpritKind::Call, function),
            Why::MaybeCall(function) => (CulpritKind::MaybeCall, function),
            Why::Owner => (CulpritKind::LockOwner, lock()),
            Why::OnlyOne => (CulpritKind::OnlyOne, 0),
        };
        let target = &last.target;
        let before_target = self
            .links
            .iter()
            .flatten()
            .take_while(|link| link.cpu != target.cpu)
            .fold(0u32, |sum, _| sum.saturating_add(1));
        // Links that lead from the last CPU back to it.
        let cycle = length.saturating_sub(before_target);
        let (kind, count, depth, address) = match last.why {
            Why::Call(_) if cycle != 0 => (CulpritKind::Deadlock, cycle, before_target, 0),
            Why::Owner if cycle != 0 => (CulpritKind::Deadlock, cycle, before_target, address),
            _ => (kind, last.more, length, address),
        };
        let activity = target.activity.as_ref();
        let late = target.progress.filter(|progress| progress.is_late);
        Some(Culprit {
            kind,
            cpu: Some(target.cpu),
            task: activity.map(|activity| activity.task),
            count,
            depth,
            address,
            spins_for: activity.map_or(0, CpuActivity::spins_for),
            place: activity.map_or(0, |activity| activity.place),
            age: late.map_or(0, |progress| progress.age),
            whereabouts: activity.map_or(Whereabouts::NONE, |activity| {
                incident::whereabouts_of_running(target.cpu, activity.task.pid)
            }),
        })
    }

    /// Adds to the record what the first CPU waits for in the end: to the incident of the session's last
    /// finding.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn record(&self, session: &ReportSession<'_>) {
        if let Some(culprit) = self.culprit() {
            session.set_culprit(&culprit);
        }
    }

    /// Prints in which context the first CPU is stuck.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn print_context(&self) {
        printk::emerg(format_args!(
            "{}",
            StuckIn {
                cpu: self.cpu,
                context: self.activity.context.name(),
                place: SymbolAt(self.activity.place),
            }
        ));
    }

    /// Prints what the first CPU waits for; nothing if it waits for nothing that is known.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[inline(never)]
    pub(crate) fn print(&self) {
        let cpu = self.cpu;
        match self.activity.wait {
            Some(CpuWait::Spinlock | CpuWait::Rwlock) => printk::emerg(format_args!(
                "{}",
                CpuSpins {
                    cpu,
                    lock: self.activity.lock(),
                    place: SymbolAt(self.activity.place),
                }
            )),
            Some(CpuWait::StopMachine) => {
                printk::emerg(format_args!("{}", CpuStopsMachine { cpu }))
            }
            Some(CpuWait::Call) | None => (),
        }
        let mut is_long = false;
        for link in self.links.iter().flatten() {
            is_long = link.cpu != cpu;
            link.print();
        }
        if let Some(target) = self.end().filter(|_| is_long) {
            printk::emerg(format_args!("{}", CpuWaitsInTheEnd { cpu, target }));
        }
        if let Some(other) = self.same {
            printk::emerg(format_args!("{}", SameLockAndPlace { cpu, other }));
        }
    }
}

impl Link {
    #[inline(never)]
    fn print(&self) {
        let Self {
            cpu, target, more, ..
        } = *self;
        let does = target;
        let target = target.cpu;
        match self.why {
            Why::Call(function) => printk::emerg(format_args!(
                "{}",
                CpuWaitsForCall {
                    cpu,
                    target,
                    function: SymbolAt(function),
                    does,
                }
            )),
            Why::MaybeCall(function) => printk::emerg(format_args!(
                "{}",
                CpuMayWaitForCall {
                    cpu,
                    target,
                    function: SymbolAt(function),
                    does,
                }
            )),
            Why::Owner => printk::emerg(format_args!("{}", CpuWaitsForOwner { cpu, target, does })),
            Why::OnlyOne => printk::emerg(format_args!("{}", CpuMayWaitFor { cpu, target, does })),
        }
        if more != 0 {
            printk::emerg(format_args!("{}", CpuWaitsForMore { cpu, count: more }));
        }
    }
}
