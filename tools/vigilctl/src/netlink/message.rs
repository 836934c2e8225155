// SPDX-License-Identifier: GPL-2.0
//! What a message of the family says. Attributes that are not known are passed over.

use crate::incident::{
    text, Address, Culprit, CulpritKind, Event, Flags, Frame, Happened, How, Incident, Kind,
    KindState, Lock, LockKind, Nanos, State, Task, Wall,
};
use netlink_packet_core::{
    emit_u64, parse_i32, parse_u32, parse_u64, DecodeError, DefaultNla, Emitable, NlaBuffer,
    NlasIterator, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader};
use vigil_logic::netlink::{
    culprit as of_culprit, frame as of_frame, incident as of_incident, kind_state as of_kind,
    lock as of_lock, operations as op, state as of_state, task as of_task,
};

/// Name of the family.
pub(super) const FAMILY: &str = "vigil";
/// The group of everybody's events, and that of those with kernel addresses.
pub(super) const GROUP: &str = "incidents";
pub(super) const GROUP_FULL: &str = "incidents-full";

const VERSION: u8 = 1;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A request for all recent incidents (a dump), or for the one with an id.
    IncidentGet(Option<u64>),
    /// A request for the state.
    StateGet,
    /// An answer to [`Message::IncidentGet`].
    Incident(Box<Incident>),
    /// An answer to [`Message::StateGet`].
    State(State),
    /// An event.
    Event(Box<Event>),
    /// Something that this version of vigilctl does not know.
    Unknown(u8),
}

impl GenlFamily for Message {
    fn family_name() -> &'static str {
        FAMILY
    }

    fn command(&self) -> u8 {
        match self {
            Self::IncidentGet(_) | Self::Incident(_) => op::INCIDENT_GET,
            Self::StateGet | Self::State(_) => op::STATE_GET,
            Self::Event(event) => match event.happened {
                Happened::Start => op::INCIDENT_START,
                Happened::Change => op::INCIDENT_CHANGE,
                Happened::End => op::INCIDENT_END,
            },
            Self::Unknown(command) => *command,
        }
    }

    fn version(&self) -> u8 {
        VERSION
    }
}

impl Message {
    /// The attributes: only requests are sent.
    fn attributes(&self) -> Vec<DefaultNla> {
        match self {
            Self::IncidentGet(Some(id)) => {
                let mut value = vec![0; 8];
                // The buffer is as long as the number.
                let _ = emit_u64(&mut value, *id);
                vec![DefaultNla::new(of_incident::ID, value)]
            }
            _ => Vec::new(),
        }
    }
}

impl Emitable for Message {
    fn buffer_len(&self) -> usize {
        self.attributes().as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes().as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Message {
    fn parse_with_param(attributes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let happened = match header.cmd {
            op::INCIDENT_GET => {
                return Ok(Self::Incident(Box::new(incident(attributes)?.0)));
            }
            op::STATE_GET => return Ok(Self::State(state(attributes)?)),
            op::INCIDENT_START => Happened::Start,
            op::INCIDENT_CHANGE => Happened::Change,
            op::INCIDENT_END => Happened::End,
            command => return Ok(Self::Unknown(command)),
        };
        let (incident, number) = incident(attributes)?;
        Ok(Self::Event(Box::new(Event {
            happened,
            number,
            incident,
        })))
    }
}

type Attribute<'a> = NlaBuffer<&'a [u8]>;

/// Has `take` look at each attribute, by its number.
fn each<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(u16, &Attribute<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    for attribute in NlasIterator::new(bytes) {
        let attribute = attribute?;
        take(attribute.kind(), &attribute)?;
    }
    Ok(())
}

fn u32_of(attribute: &Attribute<'_>) -> Result<u32, DecodeError> {
    parse_u32(attribute.value())
}

fn u64_of(attribute: &Attribute<'_>) -> Result<u64, DecodeError> {
    parse_u64(attribute.value())
}

fn task(bytes: &[u8]) -> Result<Task, DecodeError> {
    let mut task = Task::default();
    each(bytes, |number, attribute| {
        match number {
            of_task::PID => task.pid = parse_i32(attribute.value())?,
            of_task::COMM => task.comm = text(attribute.value()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(task)
}

fn lock(bytes: &[u8]) -> Result<Lock, DecodeError> {
    let mut lock = Lock {
        kind: LockKind::Unknown(0),
        owner: None,
        address: None,
        symbol: None,
    };
    each(bytes, |number, attribute| {
        match number {
            of_lock::KIND => lock.kind = LockKind::from_number(u32_of(attribute)?),
            of_lock::OWNER => lock.owner = Some(task(attribute.value())?),
            of_lock::ADDRESS => lock.address = Some(Address(u64_of(attribute)?)),
            of_lock::SYMBOL => lock.symbol = Some(text(attribute.value())),
            _ => {}
        }
        Ok(())
    })?;
    Ok(lock)
}

fn culprit(bytes: &[u8]) -> Result<Culprit, DecodeError> {
    let mut culprit = Culprit {
        kind: CulpritKind::Unknown(0),
        cpu: None,
        task: None,
        count: None,
        depth: None,
        age: None,
        place: None,
        function: None,
        address: None,
        ns_pid: None,
        cgroup: None,
    };
    each(bytes, |number, attribute| {
        match number {
            of_culprit::KIND => culprit.kind = CulpritKind::from_number(u32_of(attribute)?),
            of_culprit::CPU => culprit.cpu = Some(u32_of(attribute)?),
            of_culprit::TASK => culprit.task = Some(task(attribute.value())?),
            of_culprit::COUNT => culprit.count = Some(u32_of(attribute)?),
            of_culprit::DEPTH => culprit.depth = Some(u32_of(attribute)?),
            of_culprit::AGE => culprit.age = Some(Nanos(u64_of(attribute)?)),
            of_culprit::PLACE => culprit.place = Some(text(attribute.value())),
            of_culprit::FUNCTION => culprit.function = Some(text(attribute.value())),
            of_culprit::ADDRESS => culprit.address = Some(Address(u64_of(attribute)?)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(culprit)
}

fn frame(bytes: &[u8]) -> Result<Frame, DecodeError> {
    let mut frame = Frame {
        address: None,
        symbol: None,
    };
    each(bytes, |number, attribute| {
        match number {
            of_frame::ADDRESS => frame.address = Some(Address(u64_of(attribute)?)),
            of_frame::SYMBOL => frame.symbol = Some(text(attribute.value())),
            _ => {}
        }
        Ok(())
    })?;
    Ok(frame)
}

/// An incident, and the number of the event.
fn incident(bytes: &[u8]) -> Result<(Incident, Option<u64>), DecodeError> {
    let mut incident = Incident::new(0, Kind::Unknown(0));
    let mut event = None;
    each(bytes, |number, attribute| {
        match number {
            of_incident::ID => incident.id = u64_of(attribute)?,
            of_incident::EVENT => event = Some(u64_of(attribute)?),
            of_incident::KIND => incident.kind = Kind::from_number(u32_of(attribute)?),
            of_incident::BEGAN => incident.began = Some(Nanos(u64_of(attribute)?)),
            of_incident::FOUND => incident.found = Some(Nanos(u64_of(attribute)?)),
            of_incident::AGE => incident.age = Some(Nanos(u64_of(attribute)?)),
            of_incident::WALL => incident.wall = Some(Wall(u64_of(attribute)?)),
            of_incident::CPU => incident.cpu = Some(u32_of(attribute)?),
            of_incident::FINDER => incident.finder = Some(u32_of(attribute)?),
            of_incident::TASK => incident.task = Some(task(attribute.value())?),
            of_incident::NS_PID => incident.ns_pid = Some(parse_i32(attribute.value())?),
            of_incident::CGROUP => incident.cgroup = Some(text(attribute.value())),
            of_incident::LOCK => incident.lock = Some(lock(attribute.value())?),
            of_incident::CULPRIT => incident.culprit = Some(culprit(attribute.value())?),
            of_incident::BEHIND => incident.behind = Some(u32_of(attribute)?),
            of_incident::FLAGS => incident.flags = Flags(u32_of(attribute)?),
            of_incident::FRAME => incident.stack.push(frame(attribute.value())?),
            of_incident::END => incident.end = Some(How::from_number(u32_of(attribute)?)),
            of_incident::ENDED => incident.ended = Some(Nanos(u64_of(attribute)?)),
            _ => {}
        }
        Ok(())
    })?;
    Ok((incident, event))
}

fn kind_state(bytes: &[u8]) -> Result<KindState, DecodeError> {
    let mut state = KindState {
        kind: Kind::Unknown(0),
        total: 0,
        on: 0,
        oldest: None,
    };
    each(bytes, |number, attribute| {
        match number {
            of_kind::KIND => state.kind = Kind::from_number(u32_of(attribute)?),
            of_kind::TOTAL => state.total = u64_of(attribute)?,
            of_kind::ON => state.on = u32_of(attribute)?,
            of_kind::OLDEST => state.oldest = Some(Nanos(u64_of(attribute)?)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(state)
}

fn state(bytes: &[u8]) -> Result<State, DecodeError> {
    let mut state = State::default();
    each(bytes, |number, attribute| {
        match number {
            of_state::VERSION => state.version = text(attribute.value()),
            of_state::EVENTS => state.events = u64_of(attribute)?,
            of_state::LOST => state.lost = u64_of(attribute)?,
            of_state::NOW => state.now = Nanos(u64_of(attribute)?),
            of_state::KIND => state.kinds.push(kind_state(attribute.value())?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::tests::full;
    use netlink_packet_core::NLA_F_NESTED;
    use proptest::prelude::*;

    /// The attributes, one after the other.
    fn attributes(list: Vec<(u16, Vec<u8>)>) -> Vec<u8> {
        let list: Vec<DefaultNla> = list
            .into_iter()
            .map(|(kind, value)| DefaultNla::new(kind, value))
            .collect();
        let mut bytes = vec![0; list.as_slice().buffer_len()];
        list.as_slice().emit(&mut bytes);
        bytes
    }

    fn of_u32(value: u32) -> Vec<u8> {
        value.to_ne_bytes().to_vec()
    }

    fn of_u64(value: u64) -> Vec<u8> {
        value.to_ne_bytes().to_vec()
    }

    fn of_text(text: &str) -> Vec<u8> {
        [text.as_bytes(), b"\0"].concat()
    }

    fn nested(number: u16) -> u16 {
        number | NLA_F_NESTED
    }

    fn of_task(pid: i32, comm: &str) -> Vec<u8> {
        attributes(vec![(1, pid.to_ne_bytes().to_vec()), (2, of_text(comm))])
    }

    /// As the kernel makes it of [`full`].
    fn message() -> Vec<u8> {
        let lock = attributes(vec![
            (1, of_u32(1)),
            (nested(2), of_task(12, "kworker/0:1")),
            (3, of_u64(0xff39_a074_41e5_0408)),
            (4, of_text("prov_lock [vigil_provoke]")),
        ]);
        let culprit = attributes(vec![
            (1, of_u32(1)),
            (2, of_u32(3)),
            (nested(3), of_task(149, "prov_held/3")),
            (4, of_u32(2)),
            (5, of_u32(1)),
            (6, of_u64(2_187_000_000)),
            (7, of_text("prov_spinlock")),
            (8, of_text("ipi_nothing")),
            (9, of_u64(0xffff_ffff_8100_0000)),
        ]);
        let frame = attributes(vec![
            (1, of_u64(0xffff_ffff_8123_4567)),
            (2, of_text("__schedule+0x52a/0x1080")),
        ]);
        attributes(vec![
            (1, of_u64(3_222_260)),
            (2, of_u64(17)),
            (3, of_u32(5)),
            (4, of_u64(8_490_054_123)),
            (5, of_u64(10_506_273_000)),
            (6, of_u64(2_016_000_000)),
            (7, of_u64(1_790_000_000_123_456_789)),
            (8, of_u32(1)),
            (9, of_u32(0)),
            (nested(10), of_task(133, "prov_sem_o/1")),
            (11, 3_i32.to_ne_bytes().to_vec()),
            (12, of_text("/kubepods/pod1/a b")),
            (nested(13), lock),
            (nested(14), culprit),
            (15, of_u32(2)),
            (16, of_u32(5)),
            (nested(17), frame),
            (18, of_u32(2)),
            (19, of_u64(12_520_439_000)),
            // What a later version may add.
            (nested(77), vec![1, 2, 3]),
        ])
    }

    fn header(cmd: u8) -> GenlHeader {
        GenlHeader { cmd, version: 1 }
    }

    #[test]
    fn an_event_with_everything() {
        let parsed = Message::parse_with_param(&message(), header(op::INCIDENT_END)).unwrap();
        let event = Event {
            happened: Happened::End,
            number: Some(17),
            incident: full(),
        };
        assert_eq!(parsed, Message::Event(Box::new(event)));
    }

    #[test]
    fn the_state() {
        let kind = attributes(vec![
            (1, of_u32(3)),
            (2, of_u64(4)),
            (3, of_u32(1)),
            (4, of_u64(9)),
        ]);
        let quiet = attributes(vec![(1, of_u32(2)), (2, of_u64(0)), (3, of_u32(0))]);
        let bytes = attributes(vec![
            (1, of_text("0.1.0")),
            (2, of_u64(12)),
            (3, of_u64(2)),
            (4, of_u64(5_000_000_000)),
            (nested(5), kind),
            (nested(5), quiet),
        ]);
        let parsed = Message::parse_with_param(&bytes, header(op::STATE_GET)).unwrap();
        let of = |kind, total, on, oldest| KindState {
            kind,
            total,
            on,
            oldest,
        };
        let expected = State {
            version: "0.1.0".to_owned(),
            events: 12,
            lost: 2,
            now: Nanos(5_000_000_000),
            kinds: vec![
                of(Kind::HardLockup, 4, 1, Some(Nanos(9))),
                of(Kind::SoftLockup, 0, 0, None),
            ],
        };
        assert_eq!(parsed, Message::State(expected));
    }

    #[test]
    fn a_request_for_one_has_its_id() {
        let request = Message::IncidentGet(Some(0x0102));
        let mut bytes = vec![0; request.buffer_len()];
        request.emit(&mut bytes);
        assert_eq!(bytes, attributes(vec![(1, of_u64(0x0102))]));
        assert_eq!(Message::IncidentGet(None).buffer_len(), 0);
    }

    proptest! {
        /// Whatever arrives is an error at worst.
        #[test]
        fn any_bytes(command in 0_u8..7, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse_with_param(&bytes, header(command));
        }

        /// A good message that was damaged, too.
        #[test]
        fn damaged(at in 0_usize..600, byte: u8, length in 0_usize..700) {
            let mut bytes = message();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(length);
            let _ = Message::parse_with_param(&bytes, header(op::INCIDENT_START));
        }
    }
}
