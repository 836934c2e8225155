// SPDX-License-Identifier: GPL-2.0
//! `watch`: the recent incidents, then each event as it comes, over unloads and loads of the module.

use crate::{
    failure::Failure,
    incident::{Event, Happened, Incident},
    netlink::{Connection, Heard, Listener},
    signals::Stop,
    style,
};
use anyhow::Result;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, Instant},
};

/// The longest wait without a look at whether a signal has come.
const SIGNAL_CHECK: Duration = Duration::from_secs(5);

/// Notices which events did not arrive, by their numbers.
///
/// Events are numbered from 1 at each load of the module, in the order in which they happened. They
/// are sent in that order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// The number of the last event that is accounted for.
    last: u64,
}

/// What the number of an event shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is new, and so many before it are missing.
    New {
        /// How many.
        lost: u64,
    },
    /// It happened before the recent incidents were asked for, which have it.
    Known,
}

impl Gaps {
    /// Events up to this number are accounted for.
    pub(crate) fn after(last: u64) -> Self {
        Self { last }
    }

    /// An event with this number has arrived.
    pub(crate) fn arrived(&mut self, number: u64) -> Arrival {
        if number <= self.last {
            return Arrival::Known;
        }
        let lost = number - self.last - 1;
        self.last = number;
        Arrival::New { lost }
    }
}

/// What the recent incidents have of the events that are heard after them: those that came about between
/// the answer that has the number of the last event and the one that has the incidents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(BTreeMap<u64, Incident>);

impl Shown {
    /// These incidents were shown.
    fn new(recent: Vec<Incident>) -> Self {
        Self(recent.into_iter().map(|it| (it.id, it)).collect())
    }

    /// Whether all that an event says was shown with its incident.
    fn has(&mut self, event: &Event) -> bool {
        let id = event.incident.id;
        let Some(shown) = self.0.get(&id) else {
            return false;
        };
        let has = match event.happened {
            _ if !shown.is_on() => true,
            Happened::Start => true,
            Happened::Change => same_but_age(shown, &event.incident),
            Happened::End => false,
        };
        if !has {
            // What comes after this one is new too.
            self.0.remove(&id);
        }
        has
    }
}

/// Whether two messages say the same of an incident, but for its age as of the message.
fn same_but_age(one: &Incident, other: &Incident) -> bool {
    let without = |incident: &Incident| Incident {
        age: None,
        ..incident.clone()
    };
    without(one) == without(other)
}

/// Where a listener is in the events.
#[derive(Clone, Debug, Default)]
struct Position {
    /// `None`: no event has been heard, nor asked for.
    gaps: Option<Gaps>,
    shown: Shown,
}

/// A line of `--json`. The keys are stable.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    /// An incident of the recent past, with what has become of it.
    Recent { incident: &'a Incident },
    /// An incident was found.
    Start(Numbered<'a>),
    /// More is known about one.
    Change(Numbered<'a>),
    /// One has ended.
    End(Numbered<'a>),
    /// Events that did not arrive.
    Lost { count: u64 },
    /// The module is loaded; events follow.
    Loaded { version: &'a str },
    /// The module was unloaded.
    Unloaded,
}

#[derive(Debug, Serialize)]
struct Numbered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    incident: &'a Incident,
}

impl<'a> Line<'a> {
    fn of(event: &'a Event) -> Self {
        let numbered = Numbered {
            number: event.number,
            incident: &event.incident,
        };
        match event.happened {
            Happened::Start => Self::Start(numbered),
            Happened::Change => Self::Change(numbered),
            Happened::End => Self::End(numbered),
        }
    }

    fn write(&self, json: bool, out: &mut dyn Write) -> Result<()> {
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        } else {
            match self {
                Self::Recent { incident } => for_people("recent", incident, out)?,
                Self::Start(event) => for_people("start", event.incident, out)?,
                Self::Change(event) => for_people("change", event.incident, out)?,
                Self::End(event) => for_people("end", event.incident, out)?,
                Self::Lost { count: 1 } => writeln!(out, "1 event lost")?,
                Self::Lost { count } => writeln!(out, "{count} events lost")?,
                Self::Loaded { version } => writeln!(out, "vigil {version} is loaded")?,
                Self::Unloaded => writeln!(out, "vigil was unloaded")?,
            }
        }
        // Whoever reads it is to have it now.
        out.flush()?;
        Ok(())
    }
}

fn for_people(what: &str, incident: &Incident, out: &mut dyn Write) -> Result<()> {
    let color = if incident.is_on() {
        style::BAD
    } else {
        style::GOOD
    };
    let time = incident
        .as_of()
        .map_or_else(String::new, |wall| wall.to_string());
    write!(
        out,
        "{time} {color}{what:<7} {:<16} {}{color:#}: {}",
        incident.kind,
        incident.subject(),
        incident.state()
    )?;
    if incident.culprit.is_some() || incident.lock.is_some() {
        write!(out, "; waits for {}", incident.cause())?;
    }
    if let Some(behind) = incident.behind.filter(|&behind| behind > 0) {
        write!(out, "; {behind} behind it")?;
    }
    if let Some(cgroup) = &incident.cgroup {
        write!(out, "; in {cgroup}")?;
    }
    writeln!(out, " (#{})", incident.id)?;
    Ok(())
}

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// As lines of JSON.
    pub(crate) json: bool,
    /// Without the recent past.
    pub(crate) only_new: bool,
    /// End after so long.
    pub(crate) limit: Option<Duration>,
    /// Fail if the module is not loaded, or goes.
    pub(crate) once: bool,
}

/// Shows the recent incidents and events until a signal comes.
///
/// # Errors
///
/// If the socket does not work, or what is printed cannot be written.
pub(crate) fn run(options: Options, stop: &Stop, out: &mut dyn Write) -> Result<()> {
    // Without an end, if it is later than the clock can tell.
    let end = options
        .limit
        .and_then(|limit| Instant::now().checked_add(limit));
    let mut listener = Listener::open()?;
    let mut position = Position::default();
    if listener.is_there() {
        position = begin(listener.connection(), options, out)?;
    } else if options.once {
        listener.connection().ensure_there()?;
    } else if crate::sources::is_loaded() {
        // It may be about to come, or never.
        let _ = writeln!(
            std::io::stderr(),
            "vigilctl: {}: waiting",
            Failure::NoFamily
        );
    }
    while !stop.is_set() {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        // A signal may come just before the wait, which it does not end then.
        let limit = left.map_or(SIGNAL_CHECK, |left| left.min(SIGNAL_CHECK));
        match listener.hear(limit)? {
            None => {}
            // The numbers of the events that still come show how many there were.
            Some(Heard::Overrun) => {}
            Some(Heard::Came) => position = begin(listener.connection(), options, out)?,
            Some(Heard::Gone) => {
                position = Position::default();
                Line::Unloaded.write(options.json, out)?;
                if options.once {
                    return Err(Failure::NotLoaded.into());
                }
            }
            Some(Heard::Event(event)) => show(&mut position, &event, options.json, out)?,
        }
    }
    Ok(())
}

/// Shows the recent past. Returns from which event on all are heard.
fn begin(connection: &mut Connection, options: Options, out: &mut dyn Write) -> Result<Position> {
    // Events are heard already: those up to this number are in the answer to the next request, and
    // some of those behind it may be.
    let answers = connection.state().and_then(|state| {
        let recent = connection.incidents()?;
        Ok((state, recent))
    });
    let (state, recent) = match answers {
        Ok(answers) => answers,
        // It is going, or has gone again: that will be heard.
        Err(error)
            if matches!(error.downcast_ref(), Some(Failure::NotLoaded))
                || !connection.is_still_there() =>
        {
            return Ok(Position::default());
        }
        Err(error) => return Err(error),
    };
    let version = &state.version;
    Line::Loaded { version }.write(options.json, out)?;
    let mut shown = Shown::default();
    if !options.only_new {
        for incident in &recent {
            Line::Recent { incident }.write(options.json, out)?;
        }
        shown = Shown::new(recent);
    }
    Ok(Position {
        gaps: Some(Gaps::after(state.events)),
        shown,
    })
}

fn show(position: &mut Position, event: &Event, json: bool, out: &mut dyn Write) -> Result<()> {
    if let Some(number) = event.number {
        let gaps = &mut position.gaps;
        let gaps = gaps.get_or_insert_with(|| Gaps::after(number.saturating_sub(1)));
        match gaps.arrived(number) {
            Arrival::Known => return Ok(()),
            Arrival::New { lost: 0 } => {}
            Arrival::New { lost } => Line::Lost { count: lost }.write(json, out)?,
        }
    }
    if position.shown.has(event) {
        return Ok(());
    }
    Line::of(event).write(json, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::{tests::full, How, Kind, Nanos};
    use proptest::prelude::*;

    fn event(happened: Happened, number: Option<u64>) -> Event {
        Event {
            happened,
            number,
            incident: Incident::new(5, Kind::HungTask),
        }
    }

    fn shown(last: u64, numbers: &[u64]) -> String {
        let mut out = Vec::new();
        let mut position = Position {
            gaps: Some(Gaps::after(last)),
            shown: Shown::default(),
        };
        for &number in numbers {
            show(
                &mut position,
                &event(Happened::Start, Some(number)),
                true,
                &mut out,
            )
            .unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lost_events_are_counted_before_the_next() {
        assert_eq!(
            shown(3, &[3, 4, 7]),
            "{\"event\":\"start\",\"number\":4,\"incident\":{\"id\":5,\"kind\":\"hung-task\"}}\n\
             {\"event\":\"lost\",\"count\":2}\n\
             {\"event\":\"start\",\"number\":7,\"incident\":{\"id\":5,\"kind\":\"hung-task\"}}\n"
        );
    }

    /// The state was of event 3. Events 4 to 7 came before the recent incidents were read, and 8 and 9
    /// after that.
    #[test]
    fn what_the_recent_ones_have_is_not_shown_twice() {
        let of = |id, kind| Incident::new(id, kind);
        let over = Incident {
            end: Some(How::Recovered),
            age: Some(Nanos(9)),
            ..of(5, Kind::SoftLockup)
        };
        let behind = |behind, age| Incident {
            behind: Some(behind),
            age: Some(Nanos(age)),
            ..of(6, Kind::RootCause)
        };
        let mut position = Position {
            gaps: Some(Gaps::after(3)),
            shown: Shown::new(vec![over.clone(), behind(10, 4)]),
        };
        let mut out = Vec::new();
        for (number, happened, incident) in [
            (4, Happened::Start, of(5, Kind::SoftLockup)),
            (5, Happened::Start, behind(1, 2)),
            (6, Happened::Change, behind(10, 3)),
            (7, Happened::End, over),
            (8, Happened::Change, behind(100, 5)),
            (9, Happened::End, behind(100, 6)),
        ] {
            let event = Event {
                happened,
                number: Some(number),
                incident,
            };
            show(&mut position, &event, true, &mut out).unwrap();
        }
        let lines = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with(r#"{"event":"change","number":8,"#));
        assert!(lines[1].starts_with(r#"{"event":"end","number":9,"#));
    }

    #[test]
    fn other_lines() {
        let json = |line: Line| serde_json::to_string(&line).unwrap();
        assert_eq!(
            json(Line::Loaded { version: "1.2" }),
            r#"{"event":"loaded","version":"1.2"}"#
        );
        assert_eq!(json(Line::Unloaded), r#"{"event":"unloaded"}"#);
        let incident = Incident::new(5, Kind::SoftLockup);
        assert_eq!(
            json(Line::Recent {
                incident: &incident
            }),
            r#"{"event":"recent","incident":{"id":5,"kind":"soft-lockup"}}"#
        );
        assert_eq!(
            json(Line::of(&event(Happened::End, None))),
            r#"{"event":"end","incident":{"id":5,"kind":"hung-task"}}"#
        );
    }

    #[test]
    fn a_line_for_people() {
        let mut out = Vec::new();
        Line::Recent { incident: &full() }
            .write(false, &mut out)
            .unwrap();
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "2026-09-21T14:13:22.137Z recent  root-cause       prov_sem_o/1:133: \
             exited after 2.0 s; waits for CPU3 has to run ipi_nothing in prov_spinlock; \
             2 behind it; in /kubepods/pod1/a b (#3222260)\n"
        );
    }

    proptest! {
        /// What arrived and what was lost are all events there were after the beginning.
        #[test]
        fn nothing_is_counted_twice(
            last in 0_u64..50,
            arrives in prop::collection::vec(any::<bool>(), 0..100),
        ) {
            let mut gaps = Gaps::after(last);
            let (mut new, mut lost_sum) = (0, 0);
            for (number, arrives) in (1_u64..).zip(&arrives) {
                if *arrives {
                    match gaps.arrived(number) {
                        Arrival::New { lost } => {
                            new += 1;
                            lost_sum += lost;
                        }
                        Arrival::Known => prop_assert!(number <= last),
                    }
                }
            }
            let newest = (1_u64..).zip(&arrives).filter(|(_, arrives)| **arrives).map(|(n, _)| n).max();
            let expected = newest.unwrap_or(0).saturating_sub(last);
            prop_assert_eq!(new + lost_sum, expected);
        }
    }
}
