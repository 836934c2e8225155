// SPDX-License-Identifier: GPL-2.0
//! What programs hear of incidents: the generic netlink family `vigil` and the trace events.
//!
//! `agent events` is the program that listens. Its lines have the numbers of
//! `docs/netlink/vigil.yaml`.

use super::{
    hung_stall::{guest, wait_for, wait_report, who, Stall, PROVOKE, SOON},
    lockup_stall,
};
use crate::prelude::*;
use std::collections::BTreeMap;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::new("of_hung_tasks", of_hung_tasks)
            .needs("CONFIG_DETECT_HUNG_TASK_BLOCKER")
            .core()
            .light(),
        Scenario::new("of_cpus", of_cpus).not_with_strict_rcu(),
        Scenario::new("joined_before_the_load", joined_before_the_load).light(),
        Scenario::new("listeners_come_and_go", listeners_come_and_go).light(),
        Scenario::new("a_slow_listener_sees_the_gap", slow_listener)
            .light()
            .all(),
        Scenario::new("requests_without_sense", requests_without_sense)
            .light()
            .all(),
        Scenario::new("fuzzed_requests", fuzzed_requests)
            .light()
            .all(),
        Scenario::new("ten_incidents_a_second", ten_incidents_a_second)
            .light()
            .all(),
        Scenario::new("a_dump_shows_what_its_sender_may_see", lent_dump)
            .light()
            .all(),
        Scenario::new("the_name_is_taken", name_taken).light().all(),
        Scenario::new("the_kernels_own_client", own_client)
            .only_on(Arch::X86_64, "guests of another one have no Python")
            .all(),
    ]
}

const GROUPED: &str =
    "hung_task_report=grouped hung_task_timeout_secs=2 hung_task_check_interval_secs=1";
const ONE_BY_ONE: &str =
    "hung_task_report=mainline hung_task_timeout_secs=2 hung_task_check_interval_secs=1";

/// Messages: numbers of operations.
const INCIDENT: u32 = 1;
const STATE: u32 = 2;
const START: u32 = 3;
const CHANGE: u32 = 4;
const END: u32 = 5;

/// Attributes of an incident.
const ID: &str = "1";
const EVENT: &str = "2";
const KIND: &str = "3";
const BEGAN: &str = "4";
const FOUND: &str = "5";
const CPU: &str = "8";
const TASK_PID: &str = "10.1";
const TASK_COMM: &str = "10.2";
const LOCK_KIND: &str = "13.1";
const OWNER_PID: &str = "13.2.1";
const CULPRIT_KIND: &str = "14.1";
const BEHIND: &str = "15";
const HOW: &str = "18";
const ENDED: &str = "19";

/// Attributes with names of functions or variables, and with addresses.
const SYMBOLS: [&str; 4] = ["13.4", "14.7", "14.8", "17.2"];
const ADDRESSES: [&str; 3] = ["13.3", "14.9", "17.1"];

/// Kinds of incidents, locks and ends.
const HUNG_TASK: u64 = 1;
const SOFT_LOCKUP: u64 = 2;
const HARD_LOCKUP: u64 = 3;
const ROOT_CAUSE: u64 = 5;
const MUTEX: u64 = 1;
const DEADLOCK: u64 = 5;
const RECOVERED: u64 = 1;
const EXITED: u64 = 2;
const UNWATCHED: u64 = 5;

/// A message.
#[derive(Clone, Debug)]
struct Message {
    operation: u32,
    /// By its number; of several with the same number the first.
    attributes: BTreeMap<String, String>,
}

impl Message {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let mut words = line.split(' ');
        let operation = words.next().unwrap_or_default();
        let operation = operation.parse().with_context(|| line.to_owned())?;
        let mut attributes = BTreeMap::new();
        for word in words {
            let (name, value) = word.split_once('=').with_context(|| line.to_owned())?;
            attributes
                .entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        }
        Ok(Self {
            operation,
            attributes,
        })
    }

    fn has(&self, attribute: &str) -> bool {
        self.attributes.contains_key(attribute)
    }

    fn number(&self, attribute: &str) -> anyhow::Result<u64> {
        let value = self.attributes.get(attribute);
        let value = value.with_context(|| format!("no {attribute} in {self:?}"))?;
        value.parse().with_context(|| format!("{self:?}"))
    }

    /// The operation, and the kind of the incident.
    fn what(&self) -> anyhow::Result<(u32, u64)> {
        Ok((self.operation, self.number(KIND)?))
    }
}

/// A program that listens.
struct Listener(Job);

impl Listener {
    /// Starts it, and waits until it hears everything. `prefix`: a command that runs it.
    fn start(vm: &Vm, prefix: &str, arguments: &str) -> anyhow::Result<Self> {
        let job = vm.spawn(&format!("exec {prefix} /sbin/agent events {arguments}"))?;
        job.wait_output("joined", SOON)?;
        Ok(Self(job))
    }

    /// What it has heard.
    fn heard(&self) -> anyhow::Result<Vec<Message>> {
        let text = self.0.output();
        // The last line may not be complete.
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let lines = complete.lines().skip(1).filter(|line| *line != "overrun");
        lines.map(Message::parse).collect()
    }

    /// Waits for a message of this kind after `seen` messages.
    fn wait(&self, vm: &Vm, operation: u32, kind: u64) -> anyhow::Result<Message> {
        let what = format!("message {operation} of kind {kind}");
        wait_for(vm, SOON, &what, || {
            let heard = self.heard()?;
            let mut found = heard.into_iter().rev();
            Ok(found.find(|it| it.what().is_ok_and(|what| what == (operation, kind))))
        })
        .with_context(|| self.0.output())
    }

    /// Waits for the first message after those that were heard `before`.
    fn wait_after(&self, vm: &Vm, before: &[Message]) -> anyhow::Result<Message> {
        wait_for(vm, SOON, "another message", || {
            Ok(self.heard()?.into_iter().nth(before.len()))
        })
    }

    /// Sends a signal to a listener that was started with these arguments.
    fn signal(&self, vm: &Vm, arguments: &str, signal: &str) -> Verdict {
        vm.sh_ok(&format!(
            "kill -{signal} $(ps -e -o pid=,args= | sed -n 's|^ *\\([0-9]*\\) /sbin/agent events {arguments}$|\\1|p')"
        ))?;
        Ok(())
    }

    /// Ensures that it has heard of each event.
    fn no_gap(&self) -> Verdict {
        let heard = self.heard()?;
        let numbers: Vec<u64> = heard
            .iter()
            .map(|it| it.number(EVENT))
            .collect::<anyhow::Result<_>>()?;
        let first = numbers.first().copied().unwrap_or_default();
        ensure!(
            numbers.iter().copied().eq((first..).take(numbers.len())),
            "{numbers:?}"
        );
        Ok(())
    }
}

/// What a request is answered with.
fn ask(vm: &Vm, prefix: &str, request: &str) -> anyhow::Result<Vec<Message>> {
    let text = vm.sh_ok(&format!("{prefix} /sbin/agent events {request}"))?;
    text.lines().map(Message::parse).collect()
}

/// The ids in the file in debugfs, the oldest first.
fn listed(vm: &Vm) -> anyhow::Result<Vec<u64>> {
    let text = vm.read("/sys/kernel/debug/vigil/incidents")?;
    let ids = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split(' ').next());
    let mut ids: Vec<u64> = ids.map(str::parse).collect::<Result<_, _>>()?;
    ids.reverse();
    Ok(ids)
}

const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

/// A deadlock, which is a root cause, and then a task by itself: both are announced from start to end with
/// what is known of them, to everybody without addresses and names of functions, and to the privileged with
/// them. Trace events say the same. Requests are answered with what the list has.
fn of_hung_tasks(cx: &Cx) -> Verdict {
    let vm = guest(cx, GROUPED)?;
    vm.sh_ok("echo 1 > /sys/kernel/tracing/events/vigil/enable")?;
    let full = Listener::start(&vm, "", "listen incidents-full")?;
    let all = Listener::start(&vm, NOBODY, "listen incidents")?;
    let mark = vm.mark()?;
    let ring = Stall::start(&vm, "abba_mutex count=3")?;
    for &pid in &ring.victims {
        wait_report(&vm, mark, pid)?;
    }
    let start = full.wait(&vm, START, ROOT_CAUSE)?;
    let change = full.wait(&vm, CHANGE, ROOT_CAUSE)?;
    ensure!(!start.has(HOW) && start.number(BEHIND)? == 0, "{start:?}");
    ensure!(
        start.number(BEGAN)? + 1_900_000_000 < start.number(FOUND)?,
        "{start:?}"
    );
    let pid = u32::try_from(start.number(TASK_PID)?)?;
    ensure!(ring.victims.contains(&pid), "{start:?}, {ring:?}");
    let name = format!("{}:{pid}", start.attributes[TASK_COMM]);
    ensure!(name == who(&vm, pid)?, "{start:?}");
    ensure!(start.number(LOCK_KIND)? == MUTEX, "{start:?}");
    let owner = u32::try_from(start.number(OWNER_PID)?)?;
    ensure!(ring.victims.contains(&owner) && owner != pid, "{start:?}");
    ensure!(change.number(CULPRIT_KIND)? == DEADLOCK, "{change:?}");
    ensure!(start.has("17.1") && start.has("17.2") && start.has("13.3"));

    vm.set_knob("hung_task_report", "mainline")?;
    let mark = vm.mark()?;
    let (stall, _shell) = Stall::block_shell(&vm, "trap 'sleep 1000' EXIT", "mutex")?;
    wait_report(&vm, mark, stall.victim())?;
    full.wait(&vm, START, HUNG_TASK)?;
    stall.end(&vm)?;
    let end = full.wait(&vm, END, HUNG_TASK)?;
    ensure!(end.number(HOW)? == RECOVERED && end.has(ENDED), "{end:?}");
    ring.end(&vm)?;
    let starts = wait_for(&vm, SOON, "the end of all", || {
        let ends = full.heard()?.into_iter().filter(|it| it.operation == END);
        let starts = full.heard()?.into_iter().filter(|it| it.operation == START);
        let (ends, starts) = (ends.count(), starts.collect::<Vec<_>>());
        Ok((ends == starts.len()).then_some(starts))
    })?;
    let ids: Vec<u64> = starts
        .iter()
        .map(|it| it.number(ID))
        .collect::<anyhow::Result<_>>()?;
    ensure!(ids == listed(&vm)?, "{ids:?}, {:?}", listed(&vm)?);

    // Both have heard the same.
    full.no_gap()?;
    all.no_gap()?;
    let (full, all) = (full.heard()?, all.heard()?);
    ensure!(full.len() == all.len(), "{full:#?}, {all:#?}");
    for (full, all) in full.iter().zip(&all) {
        ensure!(full.what()? == all.what()? && full.number(EVENT)? == all.number(EVENT)?);
        let hidden = SYMBOLS.iter().chain(&ADDRESSES);
        for attribute in hidden {
            ensure!(!all.has(attribute), "{attribute}: {all:?}");
        }
    }

    // The list, by request.
    let dump = ask(&vm, "", "dump")?;
    ensure!(dump
        .iter()
        .all(|it| it.operation == INCIDENT && it.has(HOW)));
    let dumped: Vec<u64> = dump
        .iter()
        .map(|it| it.number(ID))
        .collect::<anyhow::Result<_>>()?;
    ensure!(dumped == ids, "{dumped:?}, not {ids:?}");
    ensure!(
        dump.iter().all(|it| it.has("17.1") && !it.has(EVENT)),
        "{dump:#?}"
    );
    let dump = ask(&vm, NOBODY, "dump")?;
    ensure!(dump.len() == ids.len() && dump.iter().all(|it| !it.has("17.1") && !it.has("17.2")));
    let one = ask(&vm, "", &format!("get {}", ids[0]))?;
    ensure!(one.len() == 1 && one[0].number(ID)? == ids[0], "{one:?}");
    ensure!(vm.sh("/sbin/agent events get 1")?.status != 0);
    // Whoever may listen to addresses.
    ensure!(
        vm.sh(&format!("{NOBODY} /sbin/agent events join incidents-full"))?
            .status
            != 0
    );
    vm.sh_ok("sysctl -qw kernel.kptr_restrict=2")?;
    let dump = ask(&vm, "", "dump")?;
    ensure!(
        dump.iter().all(|it| !it.has("17.1") && it.has("17.2")),
        "{dump:#?}"
    );
    let state = ask(&vm, NOBODY, "state")?;
    ensure!(state.len() == 1 && state[0].operation == STATE, "{state:?}");
    let last = full.last().context("nothing was heard")?.number(EVENT)?;
    ensure!(
        state[0].number("2")? == last && state[0].number("3")? == 0,
        "{state:?}"
    );
    traced(&vm, &full)
}

/// Who has joined the groups' numbers before the module was there hears what it may hear: without
/// privileges no address and no name of a function, with them both.
fn joined_before_the_load(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    vm.insmod("vigil_provoke.ko", "")?;
    let theirs = Listener::start(&vm, NOBODY, "listen-early")?;
    let own = Listener::start(&vm, "", "listen-early")?;
    vm.load(ONE_BY_ONE)?;
    let stall = Stall::start(&vm, "mutex")?;
    own.wait(&vm, START, HUNG_TASK)?;
    theirs.wait(&vm, START, HUNG_TASK)?;
    stall.end(&vm)?;
    own.wait(&vm, END, HUNG_TASK)?;
    theirs.wait(&vm, END, HUNG_TASK)?;
    let own = own.heard()?;
    ensure!(
        own.iter().any(|it| it.has("17.1")) && own.iter().any(|it| !it.has("17.1")),
        "not both groups: {own:#?}"
    );
    for it in theirs.heard()? {
        for attribute in SYMBOLS.iter().chain(&ADDRESSES) {
            ensure!(!it.has(attribute), "{attribute}: {it:?}");
        }
    }
    Ok(())
}

/// The trace has the events that were announced, in their order.
fn traced(vm: &Vm, heard: &[Message]) -> Verdict {
    let trace = vm.read("/sys/kernel/tracing/trace")?;
    let traced = trace.lines().filter_map(|line| {
        let (_, event) = line.split_once(": incident_")?;
        let (name, fields) = event.split_once(": id=")?;
        Some((name.to_owned(), fields.split(' ').next()?.to_owned()))
    });
    let expected = heard.iter().map(|it| {
        let name = match it.operation {
            START => "start",
            CHANGE => "change",
            _ => "end",
        };
        (name.to_owned(), it.attributes[ID].clone())
    });
    ensure!(traced.eq(expected), "{trace}, {heard:#?}");
    ensure!(trace.contains(": hung_task_scan: duration="), "{trace}");
    Ok(())
}

/// A hard lockup and a soft one are announced while the CPU is stuck, and their ends.
fn of_cpus(cx: &Cx) -> Verdict {
    let vm = lockup_stall::guest(cx, 2, "watchdog_thresh=1")?;
    let listener = Listener::start(&vm, "taskset 1", "listen incidents")?;
    let hard = lockup_stall::Lockup::start(&vm, "irqs_off cpu=1 ms=5000")?;
    let start = listener.wait(&vm, START, HARD_LOCKUP)?;
    ensure!(start.number(CPU)? == 1, "{start:?}");
    ensure!(
        hard.lasts(&vm)?,
        "the message came when it was over: {start:?}"
    );
    hard.wait(&vm)?;
    let end = listener.wait(&vm, END, HARD_LOCKUP)?;
    ensure!(end.number(ID)? == start.number(ID)?, "{end:?}");
    ensure!(end.number(HOW)? == RECOVERED, "{end:?}");
    lockup_stall::provoke(&vm, "preempt_off cpu=1 ms=3500")?;
    let soft = listener.wait(&vm, END, SOFT_LOCKUP)?;
    ensure!(soft.attributes[TASK_COMM] == "prov_preempt/1", "{soft:?}");
    listener.no_gap()?;
    let heard = listener.heard()?.len().to_string();
    let status = Status::read(&vm)?;
    for (key, value) in [
        (key::netlink::REGISTERED, "1"),
        (key::netlink::LISTENERS, "1"),
        (key::netlink::EVENTS, &heard),
        (key::netlink::SENT, &heard),
        (key::netlink::LOST, "0"),
    ] {
        status.is(key, value)?;
    }
    Ok(())
}

/// Twenty listeners, of which some die; the module is unloaded while they wait, which they learn by
/// the end of what is on, and loaded again. A dump that is half read keeps the module.
fn listeners_come_and_go(cx: &Cx) -> Verdict {
    let vm = guest(cx, ONE_BY_ONE)?;
    let listeners: Vec<Listener> = (0..20)
        .map(|_| Listener::start(&vm, "", "listen incidents"))
        .collect::<anyhow::Result<_>>()?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, stall.victim())?;
    for listener in &listeners {
        listener.wait(&vm, START, HUNG_TASK)?;
    }
    for listener in &listeners[..10] {
        listener.0.kill()?;
    }
    for listener in &listeners[..10] {
        listener.0.wait(SOON)?;
    }
    let slow = vm.spawn("exec /sbin/agent events dump slow")?;
    slow.wait_output("asked", SOON)?;
    let rmmod = vm.sh("rmmod vigil")?;
    if rmmod.status != 0 {
        // A dump of one incident ends in its first message, unless that is not complete.
        ensure!(rmmod.stdout.contains("in use"), "{rmmod:?}");
    }
    slow.kill()?;
    slow.wait(SOON)?;
    if rmmod.status != 0 {
        vm.unload()?;
    }
    for listener in &listeners[10..] {
        let end = listener.wait(&vm, END, HUNG_TASK)?;
        ensure!(end.number(HOW)? == UNWATCHED, "{end:?}");
        listener.no_gap()?;
        ensure!(!listener.0.ended(), "{}", listener.0.output());
    }
    ensure!(vm.sh("/sbin/agent events state")?.status != 0);
    // The first check is not to find the task before the listener has joined.
    vm.load("hung_task_report=mainline hung_task_timeout_secs=0 hung_task_check_interval_secs=1")?;
    let again = Listener::start(&vm, "", "listen incidents")?;
    vm.set_knob("hung_task_timeout_secs", 2)?;
    let start = again.wait(&vm, START, HUNG_TASK)?;
    let before = listeners[19].wait(&vm, END, HUNG_TASK)?;
    ensure!(
        start.number(ID)? > before.number(ID)?,
        "{start:?}, {before:?}"
    );
    stall.end(&vm)?;
    let end = again.wait(&vm, END, HUNG_TASK)?;
    ensure!(end.number(HOW)? == EXITED, "{end:?}");
    Ok(())
}

/// A listener whose buffer is full learns so, sees by the numbers what it has missed, and delays nobody.
fn slow_listener(cx: &Cx) -> Verdict {
    let vm = guest(cx, ONE_BY_ONE)?;
    let slow = Listener::start(&vm, "", "listen incidents 4096")?;
    let other = Listener::start(&vm, "", "listen incidents")?;
    slow.signal(&vm, "listen incidents 4096", "STOP")?;
    let stall = Stall::start(&vm, "mutex count=10")?;
    wait_for(&vm, SOON, "ten starts", || {
        let starts = other
            .heard()?
            .into_iter()
            .filter(|it| it.operation == START);
        Ok((starts.count() >= 10).then_some(()))
    })?;
    slow.signal(&vm, "listen incidents 4096", "CONT")?;
    slow.0.wait_output("overrun", SOON)?;
    stall.end(&vm)?;
    wait_for(&vm, SOON, "an end", || {
        Ok(slow
            .heard()?
            .iter()
            .any(|it| it.operation == END)
            .then_some(()))
    })?;
    ensure!(slow.no_gap().is_err(), "{}", slow.0.output());
    other.no_gap()
}

/// Whatever is sent to the family: it is refused, and the family goes on.
fn requests_without_sense(cx: &Cx) -> Verdict {
    let vm = guest(cx, ONE_BY_ONE)?;
    let stall = Stall::start(&vm, "mutex count=3")?;
    wait_for(&vm, SOON, "three incidents", || {
        Ok((listed(&vm)?.len() == 3).then_some(()))
    })?;
    for seed in 1..=5 {
        vm.sh_ok(&format!("/sbin/agent events garbage {}", seed * 7919))?;
    }
    ensure!(ask(&vm, "", "dump")?.len() == 3);
    stall.end(&vm)
}

/// Requests with a right header and random attributes, with each command, of root and of somebody else, while
/// incidents start and end: the kernel's own checks find nothing, and the family goes on.
fn fuzzed_requests(cx: &Cx) -> Verdict {
    let vm = guest(cx, &format!("{ONE_BY_ONE} hung_task_warnings=0"))?;
    let stall = Stall::start(&vm, "mutex count=12")?;
    let churn = vm.spawn(&format!(
        "n=20000; while [ ! -e /tmp/done ]; do
             n=$((n + 1)); echo \"mutex count=2 secs=4 id=$n\" > {PROVOKE}/run; sleep 1
         done"
    ))?;
    wait_for(&vm, SOON, "the incidents", || {
        Ok((listed(&vm)?.len() >= 12).then_some(()))
    })?;
    for seed in 1..=10 {
        for prefix in ["", NOBODY] {
            vm.sh_ok(&format!(
                "{prefix} /sbin/agent events garbage {}",
                seed * 104_729
            ))?;
        }
    }
    vm.sh_ok("touch /tmp/done")?;
    churn.wait(SOON)?;
    ensure!(ask(&vm, "", "dump")?.len() >= 12);
    stall.end(&vm)?;
    vm.unload()?;
    vm.load(ONE_BY_ONE)?;
    ask(&vm, NOBODY, "state")?;
    Ok(())
}

/// Ten incidents a second, for a minute: all are counted, a listener that keeps up hears of each from start to
/// end, and one that does not read sees by the numbers how many it has missed.
fn ten_incidents_a_second(cx: &Cx) -> Verdict {
    const BATCHES: usize = 60;
    const BATCH: usize = 10;
    let vm = guest(
        cx,
        "hung_task_report=mainline hung_task_timeout_secs=1 hung_task_check_interval_secs=1 hung_task_warnings=0",
    )?;
    let listener = Listener::start(&vm, "", "listen incidents")?;
    let slow = Listener::start(&vm, "", "listen incidents 4096")?;
    slow.signal(&vm, "listen incidents 4096", "STOP")?;
    // The next ones come when these are found. Those of one check are fewer than it records, and those of five
    // seconds fewer than there are places.
    let count = "/proc/sys/vigil/hung_task_detect_count";
    let stalls = vm.spawn(&format!(
        "for n in $(seq {BATCHES}); do
             echo \"mutex count={BATCH} secs=5 id=$((20000 + n))\" > {PROVOKE}/run
             while [ $(cat {count}) -lt $((n * {BATCH})) ]; do sleep 0.05; done
         done"
    ))?;
    let output = stalls.wait(secs(200))?;
    ensure!(output.status == 0, "{output:?}");
    let all = BATCHES * BATCH;
    wait_for(&vm, SOON, "the ends", || {
        let heard = listener.heard()?;
        let of = |operation| heard.iter().filter(|it| it.operation == operation).count();
        Ok((of(END) == all && of(START) == all).then_some(()))
    })?;
    listener.no_gap()?;
    ensure!(vm.read(count)?.trim() == all.to_string());
    let table = vm.read("/sys/kernel/debug/vigil/incidents")?;
    ensure!(
        table.starts_with(&format!("{all} incidents since load")),
        "{table}"
    );
    slow.signal(&vm, "listen incidents 4096", "CONT")?;
    slow.0.wait_output("overrun", SOON)?;
    // By the number of an event that it hears, it knows of all before that.
    let stall = Stall::start(&vm, "mutex secs=5")?;
    let last = listener.wait_after(&vm, &listener.heard()?)?;
    let seen = wait_for(&vm, SOON, "the last start", || {
        let heard = slow.heard()?;
        let number = last.number(EVENT)?;
        let is_last = |it: &&Message| it.number(EVENT).ok() == Some(number);
        Ok(heard.iter().find(is_last).is_some().then_some(heard))
    })?;
    let numbers: Vec<u64> = seen
        .iter()
        .map(|it| it.number(EVENT))
        .collect::<anyhow::Result<_>>()?;
    ensure!(
        numbers.is_sorted_by(|a, b| a < b) && (numbers.len() as u64) < last.number(EVENT)?,
        "{numbers:?}"
    );
    let status = Status::read(&vm)?;
    status.is(key::netlink::LOST, "0")?;
    let events = status.get(key::netlink::EVENTS)?.to_owned();
    status.is(key::netlink::SENT, &events)?;
    stall.end(&vm)
}

/// A dump of several messages, of which all but the first are made when they are read: by a process that
/// may see addresses, for a request of one that may not. None has addresses or names of functions.
fn lent_dump(cx: &Cx) -> Verdict {
    const BATCH: usize = 12;
    const TASKS: usize = 5 * BATCH;
    // A check records 16 tasks: a scan finds one batch each, so that each is due by itself, and no report
    // delays a check.
    let vm = guest(cx, &format!("{ONE_BY_ONE} hung_task_warnings=0"))?;
    let mut stalls = Vec::new();
    for tasks in (BATCH..=TASKS).step_by(BATCH) {
        stalls.push(Stall::start(&vm, &format!("mutex count={BATCH}"))?);
        wait_for(&vm, SOON, "them to be tracked", || {
            let tracked = Status::read(&vm)?.number(key::hung_task::TRACKED_TASKS)?;
            Ok((tracked >= tasks as u64).then_some(()))
        })?;
    }
    wait_for(&vm, SOON, "the incidents", || {
        Ok((listed(&vm)?.len() >= TASKS).then_some(()))
    })?;
    let own = ask(&vm, "", "dump")?;
    ensure!(own.len() >= TASKS && own.iter().all(|it| it.has("17.1")));
    let lent = ask(&vm, "", "dump lent")?;
    ensure!(lent.len() >= TASKS, "{lent:#?}");
    for attribute in SYMBOLS.iter().chain(&ADDRESSES) {
        let shown = lent.iter().position(|it| it.has(attribute));
        ensure!(shown.is_none(), "{attribute} in {shown:?} of {lent:#?}");
    }
    stalls.iter().try_for_each(|stall| stall.end(&vm))
}

/// Without the family the module does the rest.
fn name_taken(cx: &Cx) -> Verdict {
    let vm = cx.boot()?;
    vm.insmod("vigil_provoke.ko", "")?;
    vm.write(&format!("{PROVOKE}/netlink_family"), b"1")?;
    vm.load(ONE_BY_ONE)?;
    vm.wait_log(&pattern(messages::NETLINK_NAME_TAKEN), SOON)?;
    Status::read(&vm)?.is(key::netlink::REGISTERED, "0")?;
    let mark = vm.mark()?;
    let stall = Stall::start(&vm, "mutex")?;
    wait_report(&vm, mark, stall.victim())?;
    stall.end(&vm)?;
    vm.unload()?;
    vm.write(&format!("{PROVOKE}/netlink_family"), b"0")?;
    vm.load(ONE_BY_ONE)?;
    ask(&vm, "", "state")?;
    Ok(())
}

/// `tools/net/ynl` of the kernel's source speaks to the family by its specification.
fn own_client(cx: &Cx) -> Verdict {
    let artifacts = Artifacts::from_env()?;
    let client = artifacts.file("ynl/ynl.tar").context("no ynl.tar")?;
    let specification = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/netlink/vigil.yaml");
    let files = [client, specification.into()];
    let vm = cx.boot_with(cx.config().mem_mib(2048).files(files))?;
    vm.sh_ok("tar -C / -xf /vm/ynl.tar")?;
    vm.load(ONE_BY_ONE)?;
    vm.insmod("vigil_provoke.ko", "")?;
    let cli = "PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 python3 /ynl/cli.py --spec /vm/vigil.yaml --no-schema";
    let listener = vm.spawn(&format!(
        "{cli} --subscribe incidents --duration 1000 --output-json"
    ))?;
    wait_for(&vm, SOON, "a listener", || {
        Ok(Status::read(&vm)?.is(key::netlink::LISTENERS, "1").ok())
    })?;
    let stall = Stall::start(&vm, "mutex")?;
    let name = who(&vm, stall.victim())?;
    wait_for(&vm, SOON, "an incident", || {
        Ok((!listed(&vm)?.is_empty()).then_some(()))
    })?;
    let id = listed(&vm)?[0];
    let dump = vm.sh_ok(&format!("{cli} --dump incident-get --output-json"))?;
    for said in [
        format!("\"id\": {id},"),
        "\"kind\": \"hung-task\"".to_owned(),
        format!(
            "\"task\": {{\"pid\": {}, \"comm\": \"{}\"}}",
            stall.victim(),
            name.split(':').next().unwrap_or_default()
        ),
        "\"lock\": {\"kind\": \"mutex\", \"owner\": {\"pid\": ".to_owned(),
        "\"frame\": [{\"address\": ".to_owned(),
    ] {
        ensure!(dump.contains(&said), "{said}: {dump}");
    }
    let one = vm.sh_ok(&format!(
        "{cli} --do incident-get --json '{{\"id\": {id}}}' --output-json"
    ))?;
    ensure!(one.contains(&format!("\"id\": {id},")), "{one}");
    let refused = vm.sh(&format!("{cli} --do incident-get --json '{{\"id\": 1}}'"))?;
    ensure!(refused.stdout.contains("no such incident"), "{refused:?}");
    let state = vm.sh_ok(&format!("{cli} --do state-get --output-json"))?;
    ensure!(
        state.contains("\"kind\": \"hung-task\", \"total\": 1, \"on\": 1, \"oldest\": "),
        "{state}"
    );
    stall.end(&vm)?;
    listener.wait_output("incident-start-ntf", SOON)?;
    listener.wait_output("incident-end-ntf", SOON)?;
    listener.wait_output("\"end\": \"exited\"", SOON)?;
    Ok(())
}
