// SPDX-License-Identifier: GPL-2.0
//! Sockets that speak to the family, which comes and goes with the module.

use super::message::{Message, FAMILY, GROUP, GROUP_FULL};
use crate::{
    failure::Failure,
    incident::{Event, Incident, State},
    sources,
};
use anyhow::{Context, Result};
use netlink_packet_core::{
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NLM_F_DUMP, NLM_F_REQUEST,
};
use netlink_packet_generic::{
    constants::GENL_ID_CTRL,
    ctrl::{
        nlas::{GenlCtrlAttrs, McastGrpAttrs},
        GenlCtrl, GenlCtrlCmd,
    },
    GenlFamily, GenlMessage,
};
use netlink_sys::{protocols::NETLINK_GENERIC, Socket, SocketAddr};
use nix::{
    errno::Errno,
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::socket::{
        setsockopt,
        sockopt::{RcvBuf, RcvBufForce},
    },
};
use std::{
    collections::VecDeque,
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

/// The controller's group `notify`, which hears of families that come and go. Its number is fixed, as
/// is the controller's own (`genl_validate_assign_mc_groups()`).
const NOTIFY_GROUP: u32 = GENL_ID_CTRL as u32;

/// How long an answer may take. The kernel's generic netlink lock may be held by a task that hangs.
const ANSWER: Duration = Duration::from_secs(10);

/// For messages that arrive while nobody reads, in bytes: some thousand events.
const RECEIVE_BUFFER: usize = 4 << 20;

/// What was heard on the socket.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An event.
    Event(Box<Event>),
    /// The family has come: the module was loaded.
    Came,
    /// The family has gone: the module was unloaded.
    Gone,
    /// The socket's buffer was full: messages were dropped.
    Overrun,
}

/// The family's number, and those of its groups.
#[derive(Clone, Debug)]
struct Family {
    id: u16,
    groups: Vec<(String, u32)>,
}

/// A message of one of the two families that are spoken to, by the number of its family.
enum Either {
    Ctrl(GenlCtrl),
    Vigil(Message),
}

/// A socket for requests.
pub(crate) struct Connection {
    socket: Socket,
    family: Option<Family>,
    sequence: u32,
}

/// A socket for events, beside one for requests: the kernel drops an answer, too, to a socket whose
/// buffer was full, until all that is in it was read (`NETLINK_S_CONGESTED`).
pub(crate) struct Listener {
    connection: Connection,
    socket: Socket,
    /// What was read, and not yet returned.
    heard: VecDeque<Heard>,
}

/// Opens a socket on which nothing waits.
fn open() -> Result<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC).context("cannot open a netlink socket")?;
    socket.bind_auto().context("cannot bind a netlink socket")?;
    socket
        .connect(&SocketAddr::new(0, 0))
        .context("cannot connect a netlink socket")?;
    socket
        .set_non_blocking(true)
        .context("cannot make a netlink socket non-blocking")?;
    Ok(socket)
}

impl Connection {
    /// Opens a socket, whether or not the module is loaded.
    ///
    /// # Errors
    ///
    /// If the kernel refuses one.
    pub(crate) fn open() -> Result<Self> {
        let mut this = Self {
            socket: open()?,
            family: None,
            sequence: 0,
        };
        this.resolve()?;
        Ok(this)
    }

    /// Opens a socket while the module is loaded.
    ///
    /// # Errors
    ///
    /// [`Failure::NotLoaded`] if it is not; [`Failure::NoFamily`].
    pub(crate) fn to_module() -> Result<Self> {
        let this = Self::open()?;
        this.ensure_there()?;
        Ok(this)
    }

    /// # Errors
    ///
    /// As [`Connection::to_module`], if the family is not there.
    pub(crate) fn ensure_there(&self) -> Result<(), Failure> {
        self.family()?;
        Ok(())
    }

    fn family(&self) -> Result<&Family, Failure> {
        self.family.as_ref().ok_or_else(|| {
            if sources::is_loaded() {
                Failure::NoFamily
            } else {
                Failure::NotLoaded
            }
        })
    }

    /// Looks the family up; it may have another number than before.
    fn resolve(&mut self) -> Result<()> {
        let request = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY.to_owned())],
        });
        self.family = None;
        let answers = self.ask(request.into(), false);
        let answers = match answers {
            Err(error) if errno_of(&error) == Some(Errno::ENOENT) => return Ok(()),
            answers => {
                answers.context("the kernel does not say which netlink families there are")?
            }
        };
        self.family = answers.into_iter().find_map(|answer| match answer {
            Either::Ctrl(ctrl) => family_of(&ctrl),
            Either::Vigil(_) => None,
        });
        Ok(())
    }

    /// Whether the family that is known is still that of the module. Looks it up.
    pub(crate) fn is_still_there(&mut self) -> bool {
        let known = self.family.take().map(|family| family.id);
        let found = self.resolve().is_ok();
        let id = self.family.as_ref().map(|family| family.id);
        found && id.is_some() && id == known
    }

    /// The state.
    ///
    /// # Errors
    ///
    /// [`Failure::NotLoaded`]; or what the kernel says.
    pub(crate) fn state(&mut self) -> Result<State> {
        let answers = self.ask_family(Message::StateGet, false)?;
        let state = answers.into_iter().find_map(|answer| match answer {
            Message::State(state) => Some(state),
            _ => None,
        });
        state.context("the module does not say its state")
    }

    /// The recent incidents, the newest last.
    ///
    /// # Errors
    ///
    /// As [`Connection::state`].
    pub(crate) fn incidents(&mut self) -> Result<Vec<Incident>> {
        let answers = self.ask_family(Message::IncidentGet(None), true)?;
        Ok(answers.into_iter().filter_map(incident_of).collect())
    }

    /// The incident with this id.
    ///
    /// # Errors
    ///
    /// As [`Connection::state`]; or there is none.
    pub(crate) fn incident(&mut self, id: u64) -> Result<Incident> {
        let answers = self.ask_family(Message::IncidentGet(Some(id)), false);
        let answers = match answers {
            Err(error) if errno_of(&error) == Some(Errno::ENOENT) => Vec::new(),
            answers => answers?,
        };
        answers
            .into_iter()
            .find_map(incident_of)
            .with_context(|| format!("there is no incident {id} among the recent ones"))
    }

    fn ask_family(&mut self, request: Message, dump: bool) -> Result<Vec<Message>> {
        let id = self.family()?.id;
        let mut message = GenlMessage::from_payload(request);
        message.set_resolved_family_id(id);
        let answers = self.ask(message.into(), dump);
        let answers = match answers.as_ref().err().and_then(errno_of) {
            // A dump keeps the module, and one that is going cannot be kept (`netlink_dump_start()`).
            Some(Errno::EPROTONOSUPPORT) => return Err(Failure::NotLoaded.into()),
            // There is no such family any more, or what was asked for is not there.
            Some(Errno::ENOENT) if !self.is_still_there() => return Err(Failure::NotLoaded.into()),
            _ => answers?,
        };
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                Either::Vigil(message) => Some(message),
                Either::Ctrl(_) => None,
            })
            .collect())
    }

    /// Sends a request, and returns the answers.
    fn ask(&mut self, request: Request, dump: bool) -> Result<Vec<Either>> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let bytes = request.bytes(self.sequence, dump);
        self.socket
            .send(&bytes, 0)
            .context("cannot send a netlink message")?;
        let mut answers = Vec::new();
        let end = Instant::now() + ANSWER;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(anyhow::anyhow!(
                    "no answer from the kernel within {} s",
                    ANSWER.as_secs()
                ));
            }
            if wait(&self.socket, left)? && self.receive(dump, &mut answers)? {
                return Ok(answers);
            }
        }
    }

    /// Reads what is there of the answers to the last request. Returns whether that was all.
    fn receive(&self, dump: bool, answers: &mut Vec<Either>) -> Result<bool> {
        let Some(bytes) = read(&self.socket)? else {
            return Ok(false);
        };
        let mut complete = false;
        for message in messages(&bytes)? {
            // The answer to a request that was given up.
            if message.header.sequence_number != self.sequence {
                continue;
            }
            match message.payload {
                NetlinkPayload::Error(error) => {
                    if error.code.is_some() {
                        return Err(Refused(error.to_io()).into());
                    }
                    complete = true;
                }
                NetlinkPayload::Done(done) => {
                    if done.code < 0 {
                        let error = io::Error::from_raw_os_error(-done.code);
                        return Err(Refused(error).into());
                    }
                    complete = true;
                }
                NetlinkPayload::InnerMessage(Any(_, Some(either))) => {
                    answers.push(either);
                    complete |= !dump;
                }
                NetlinkPayload::InnerMessage(Any(_, None)) => {
                    return Err(anyhow::anyhow!("the kernel's answer makes no sense"));
                }
                _ => {}
            }
        }
        Ok(complete)
    }
}

impl Listener {
    /// Begins to hear of events, if the module is loaded, and of its family's coming and going. With kernel
    /// addresses, if the caller may see them.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub(crate) fn open() -> Result<Self> {
        let socket = open()?;
        // A privilege; without it the buffer is as long as net.core.rmem_max allows.
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER))
            .context("cannot set the buffer of a netlink socket")?;
        socket
            .add_membership(NOTIFY_GROUP)
            .context("cannot listen to the netlink controller")?;
        let mut this = Self {
            // It may have come before.
            connection: Connection::open()?,
            socket,
            heard: VecDeque::new(),
        };
        this.join()?;
        Ok(this)
    }

    /// What to ask by.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Whether the family is there.
    pub(crate) fn is_there(&self) -> bool {
        self.connection.family.is_some()
    }

    /// Joins the group of events, if the family is there.
    fn join(&mut self) -> Result<()> {
        match self.try_join() {
            // It has gone meanwhile, which will be heard.
            Err(_) if !self.connection.is_still_there() => Ok(()),
            joined => joined,
        }
    }

    fn try_join(&mut self) -> Result<()> {
        let Some(family) = &self.connection.family else {
            return Ok(());
        };
        let group = |name| {
            let mut groups = family.groups.iter();
            groups.find(|(group, _)| group == name).map(|&(_, id)| id)
        };
        let full = group(GROUP_FULL).is_some_and(|id| self.socket.add_membership(id).is_ok());
        if !full {
            let id = group(GROUP).context("the netlink family vigil has no group for incidents")?;
            self.socket
                .add_membership(id)
                .context("cannot join the group of vigil's events")?;
        }
        Ok(())
    }

    /// Waits for something, for no longer than this. `Ok(None)`: nothing came, or a signal did.
    ///
    /// # Errors
    ///
    /// If the socket does not work.
    pub(crate) fn hear(&mut self, limit: Duration) -> Result<Option<Heard>> {
        if self.heard.is_empty() && wait(&self.socket, limit)? {
            self.receive()?;
        }
        let heard = self.heard.pop_front();
        match heard {
            Some(Heard::Came) => {
                self.connection.resolve()?;
                self.join()?;
            }
            Some(Heard::Gone) => self.connection.family = None,
            Some(Heard::Overrun) => self.catch_up()?,
            Some(Heard::Event(_)) | None => {}
        }
        Ok(heard)
    }

    /// That the family has come or gone may be among the messages that were dropped.
    fn catch_up(&mut self) -> Result<()> {
        // It may also be among those that were in the buffer before.
        while wait(&self.socket, Duration::ZERO)? {
            self.receive()?;
        }
        let known = self.connection.family.clone();
        self.connection.resolve()?;
        let id = |family: &Option<Family>| family.as_ref().map(|family| family.id);
        let missing = missing(id(&known), id(&self.connection.family), &self.heard);
        self.heard.extend(missing);
        Ok(())
    }

    /// Reads what is there.
    fn receive(&mut self) -> Result<()> {
        let bytes = match read(&self.socket) {
            Err(error) if is_overrun(&error) => {
                self.heard.push_back(Heard::Overrun);
                return Ok(());
            }
            bytes => bytes?,
        };
        for message in messages(&bytes.unwrap_or_default())? {
            let NetlinkPayload::InnerMessage(Any(id, Some(either))) = message.payload else {
                continue;
            };
            match either {
                Either::Vigil(Message::Event(event))
                    if (self.connection.family.as_ref()).is_some_and(|family| family.id == id) =>
                {
                    self.heard.push_back(Heard::Event(event));
                }
                Either::Ctrl(ctrl) if is_of_vigil(&ctrl) => match ctrl.cmd {
                    GenlCtrlCmd::NewFamily => self.heard.push_back(Heard::Came),
                    GenlCtrlCmd::DelFamily => self.heard.push_back(Heard::Gone),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether something can be read, within this time.
fn wait(socket: &Socket, limit: Duration) -> Result<bool> {
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, limit) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error).context("cannot wait for a netlink message"),
    }
}

/// What can be read at once, if anything.
fn read(socket: &Socket) -> Result<Option<Vec<u8>>> {
    match socket.recv_from_full() {
        Ok((bytes, _)) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error).context("cannot read a netlink message"),
    }
}

/// Whether the error is that messages were dropped.
fn is_overrun(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.and_then(io::Error::raw_os_error) == Some(Errno::ENOBUFS as i32)
}

/// The messages in what was read.
fn messages(bytes: &[u8]) -> Result<Vec<NetlinkMessage<Any>>> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let message = NetlinkMessage::<Any>::deserialize(rest)
            .map_err(|error| anyhow::anyhow!("a netlink message makes no sense: {error}"))?;
        let length = message.header.length as usize;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        messages.push(message);
    }
    Ok(messages)
}

/// What was not heard of a family that had the first number, and has the second one now.
fn missing(was: Option<u16>, is: Option<u16>, heard: &VecDeque<Heard>) -> Vec<Heard> {
    let is_news = |heard: &&Heard| matches!(heard, Heard::Came | Heard::Gone);
    let last = heard.iter().rev().find(is_news);
    match (was, is, last) {
        _ if was == is => Vec::new(),
        (_, Some(_), Some(Heard::Came)) | (_, None, Some(Heard::Gone)) => Vec::new(),
        (_, None, _) => vec![Heard::Gone],
        (Some(_), Some(_), None) => vec![Heard::Gone, Heard::Came],
        (_, Some(_), _) => vec![Heard::Came],
    }
}

/// The kernel refuses a request.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refuses the request: {0}")]
struct Refused(io::Error);

/// The kernel's errno, if an error is its refusal.
fn errno_of(error: &anyhow::Error) -> Option<Errno> {
    let refused = error.downcast_ref::<Refused>()?;
    refused.0.raw_os_error().map(Errno::from_raw)
}

fn incident_of(message: Message) -> Option<Incident> {
    match message {
        Message::Incident(incident) => Some(*incident),
        _ => None,
    }
}

/// Whether a message of the controller is about the family.
fn is_of_vigil(ctrl: &GenlCtrl) -> bool {
    let is_name =
        |nla: &GenlCtrlAttrs| matches!(nla, GenlCtrlAttrs::FamilyName(name) if name == FAMILY);
    ctrl.nlas.iter().any(is_name)
}

fn family_of(ctrl: &GenlCtrl) -> Option<Family> {
    let id = ctrl.nlas.iter().find_map(|nla| match nla {
        GenlCtrlAttrs::FamilyId(id) => Some(*id),
        _ => None,
    })?;
    let lists = ctrl.nlas.iter().filter_map(|nla| match nla {
        GenlCtrlAttrs::McastGroups(groups) => Some(groups),
        _ => None,
    });
    let groups = lists.flatten().filter_map(|group| {
        let name = group.iter().find_map(|attribute| match attribute {
            McastGrpAttrs::Name(name) => Some(name.clone()),
            McastGrpAttrs::Id(_) => None,
        })?;
        let id = group.iter().find_map(|attribute| match attribute {
            McastGrpAttrs::Id(id) => Some(*id),
            McastGrpAttrs::Name(_) => None,
        })?;
        Some((name, id))
    });
    Some(Family {
        id,
        groups: groups.collect(),
    })
}

/// A request to either family.
enum Request {
    Ctrl(GenlMessage<GenlCtrl>),
    Vigil(GenlMessage<Message>),
}

impl From<GenlMessage<GenlCtrl>> for Request {
    fn from(message: GenlMessage<GenlCtrl>) -> Self {
        Self::Ctrl(message)
    }
}

impl From<GenlMessage<Message>> for Request {
    fn from(message: GenlMessage<Message>) -> Self {
        Self::Vigil(message)
    }
}

impl Request {
    fn bytes(self, sequence: u32, dump: bool) -> Vec<u8> {
        match self {
            Self::Ctrl(message) => bytes_of(message, sequence, dump),
            Self::Vigil(message) => bytes_of(message, sequence, dump),
        }
    }
}

fn bytes_of<F>(message: GenlMessage<F>, sequence: u32, dump: bool) -> Vec<u8>
where
    F: GenlFamily + netlink_packet_core::Emitable + std::fmt::Debug,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | if dump { NLM_F_DUMP } else { 0 };
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, message.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// A message of any family: `None` of one that was not understood, which may be about something else.
struct Any(u16, Option<Either>);

impl NetlinkDeserializable for Any {
    type Error = std::convert::Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let id = header.message_type;
        let either = if id == GENL_ID_CTRL {
            GenlMessage::<GenlCtrl>::deserialize(header, payload)
                .ok()
                .map(|message| Either::Ctrl(message.payload))
        } else {
            GenlMessage::<Message>::deserialize(header, payload)
                .ok()
                .map(|message| Either::Vigil(message.payload))
        };
        Ok(Self(id, either))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_overrun_hid() {
        let missing = |was, is, heard: Vec<Heard>| -> Vec<&str> {
            let names = missing(was, is, &heard.into())
                .into_iter()
                .map(|heard| match heard {
                    Heard::Came => "came",
                    Heard::Gone => "gone",
                    Heard::Event(_) | Heard::Overrun => "?",
                });
            names.collect()
        };
        assert!(missing(Some(1), Some(1), vec![]).is_empty());
        assert!(missing(None, None, vec![]).is_empty());
        assert_eq!(missing(Some(1), Some(2), vec![]), ["gone", "came"]);
        assert_eq!(missing(Some(1), None, vec![Heard::Overrun]), ["gone"]);
        assert_eq!(missing(None, Some(1), vec![]), ["came"]);
        // It was heard to go, and not that it came again.
        assert_eq!(missing(Some(1), Some(2), vec![Heard::Gone]), ["came"]);
        assert!(missing(Some(1), Some(2), vec![Heard::Gone, Heard::Came]).is_empty());
        assert!(missing(Some(1), None, vec![Heard::Came, Heard::Gone]).is_empty());
    }
}
