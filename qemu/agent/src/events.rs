// SPDX-License-Identifier: GPL-2.0
//! A program that listens to vigil's generic netlink family, and asks it: `docs/netlink/vigil.yaml`.
//!
//! ```text
//! agent events listen GROUP [BYTES]   a line for each message; BYTES: size of the socket's buffer
//! agent events listen-early           the same of all groups that there are or may be: each number is joined
//! agent events join GROUP             joins, says so, and never reads
//! agent events dump [slow]            the recent incidents; slow: reads once, says so, and sleeps
//! agent events dump lent              the same; the request is sent without privileges, and read with them
//! agent events get ID                 one of them
//! agent events state                  the counts
//! agent events garbage SEED           requests that make no sense
//! ```
//!
//! A line is the number of the message and then `attribute=value`, nested attributes as
//! `attribute.attribute=value`, each by its number; values of four and eight bytes are numbers.

use anyhow::{bail, Context, Result};
use neli::{
    consts::{
        nl::{NlmF, Nlmsg},
        socket::NlFamily,
    },
    err::SocketError,
    genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, Nlattr, NlattrBuilder},
    nl::{NlPayload, Nlmsghdr, NlmsghdrBuilder},
    router::synchronous::NlRouter,
    socket::synchronous::NlSocketHandle,
    types::{Buffer, GenlBuffer},
    utils::Groups,
};
use nix::{
    poll::{poll, PollFd, PollFlags, PollTimeout},
    sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType},
    unistd::{pause, seteuid, Uid},
};
use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
};

const FAMILY: &str = "vigil";
/// `incident-get` and `state-get`.
const INCIDENT_GET: u8 = 1;
const STATE_GET: u8 = 2;
/// `incident.id`.
const ID: u16 = 1;
/// Attributes that are text, with those around them, and whether they are of the state.
const TEXT: &[(bool, &[u16])] = &[
    (false, &[10, 2]),
    (false, &[12]),
    (false, &[13, 2, 2]),
    (false, &[13, 4]),
    (false, &[14, 3, 2]),
    (false, &[14, 7]),
    (false, &[14, 8]),
    (false, &[17, 2]),
    (true, &[1]),
];

type Answer = Nlmsghdr<u16, Genlmsghdr<u8, u16>>;

/// Does what the command line says.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["listen", group] => listen(group, None),
        ["listen", group, bytes] => listen(group, Some(bytes.parse()?)),
        ["listen-early"] => listen_early(),
        ["join", group] => {
            let _socket = join(group, None)?;
            println!("joined");
            loop {
                pause();
            }
        }
        ["dump"] => dump(false),
        ["dump", "slow"] => dump(true),
        ["dump", "lent"] => dump_lent(),
        ["get", id] => get(id.parse()?),
        ["state"] => state(),
        ["garbage", seed] => garbage(seed.parse()?),
        _ => bail!("usage: agent events listen|join|dump|get|state|garbage ..."),
    }
}

/// The family's number.
pub(crate) fn family() -> Result<u16> {
    let (router, _) = NlRouter::connect(NlFamily::Generic, None, Groups::empty())?;
    router
        .resolve_genl_family(FAMILY)
        .with_context(|| format!("there is no family {FAMILY}"))
}

fn socket() -> Result<NlSocketHandle> {
    Ok(NlSocketHandle::connect(
        NlFamily::Generic,
        None,
        Groups::empty(),
    )?)
}

/// A socket that listens on a group.
fn join(group: &str, bytes: Option<usize>) -> Result<NlSocketHandle> {
    let (router, _) = NlRouter::connect(NlFamily::Generic, None, Groups::empty())?;
    let id = router
        .resolve_nl_mcast_group(FAMILY, group)
        .with_context(|| format!("there is no group {group}"))?;
    let socket = socket()?;
    if let Some(bytes) = bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket
        .add_mcast_membership(Groups::new_groups(&[id]))
        .with_context(|| format!("cannot join {group}"))?;
    Ok(socket)
}

fn listen(group: &str, bytes: Option<usize>) -> Result<()> {
    hear(&join(group, bytes)?)
}

/// Joins numbers that belong to no group yet.
fn listen_early() -> Result<()> {
    let socket = socket()?;
    for id in 1..=64 {
        // Some have an owner that refuses.
        let _ = socket.add_mcast_membership(Groups::new_groups(&[id]));
    }
    hear(&socket)
}

/// Prints what a socket hears.
fn hear(socket: &NlSocketHandle) -> Result<()> {
    println!("joined");
    loop {
        let (messages, _) = match socket.recv::<u16, Genlmsghdr<u8, u16>>() {
            Ok(received) => received,
            Err(SocketError::Io(error)) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                println!("overrun");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for message in messages {
            print(&message?);
        }
    }
}

fn request(
    socket: &NlSocketHandle,
    cmd: u8,
    flags: NlmF,
    attrs: GenlBuffer<u16, Buffer>,
) -> Result<()> {
    request_of(family()?, socket, cmd, flags, attrs)
}

fn request_of(
    family: u16,
    socket: &NlSocketHandle,
    cmd: u8,
    flags: NlmF,
    attrs: GenlBuffer<u16, Buffer>,
) -> Result<()> {
    let message = GenlmsghdrBuilder::<u8, u16>::default()
        .cmd(cmd)
        .version(1)
        .attrs(attrs)
        .build()?;
    socket.send(
        &NlmsghdrBuilder::default()
            .nl_type(family)
            .nl_flags(NlmF::REQUEST | flags)
            .nl_payload(NlPayload::Payload(message))
            .build()?,
    )?;
    Ok(())
}

/// Does something with each message that is received until the answer is complete.
fn answers(socket: &NlSocketHandle, dump: bool, mut each: impl FnMut(&Answer)) -> Result<()> {
    loop {
        let (messages, _) = socket.recv::<u16, Genlmsghdr<u8, u16>>()?;
        for message in messages {
            let message = message?;
            match message.nl_payload() {
                NlPayload::Payload(_) if *message.nl_type() != u16::from(Nlmsg::Done) => {
                    each(&message);
                    if !dump {
                        return Ok(());
                    }
                }
                NlPayload::Err(error) => bail!("refused: {error}"),
                _ => return Ok(()),
            }
        }
    }
}

fn dump(slow: bool) -> Result<()> {
    let socket = socket()?;
    request(&socket, INCIDENT_GET, NlmF::DUMP, GenlBuffer::new())?;
    if slow {
        println!("asked");
        loop {
            pause();
        }
    }
    answers(&socket, true, print)
}

/// How many recent incidents there are. (To find the family the library starts a thread.)
pub(crate) fn count_recent(family: u16) -> Result<u32> {
    let socket = socket()?;
    request_of(family, &socket, INCIDENT_GET, NlmF::DUMP, GenlBuffer::new())?;
    let mut count = 0;
    answers(&socket, true, |_| count += 1)?;
    Ok(count)
}

/// The privileges are those of the effective user, which the process can change for a while. The socket is
/// opened with them.
fn dump_lent() -> Result<()> {
    let socket = socket()?;
    seteuid(Uid::from_raw(65534))?;
    request(&socket, INCIDENT_GET, NlmF::DUMP, GenlBuffer::new())?;
    seteuid(Uid::from_raw(0))?;
    answers(&socket, true, print)
}

fn get(id: u64) -> Result<()> {
    let socket = socket()?;
    let attribute = NlattrBuilder::default()
        .nla_type(AttrTypeBuilder::default().nla_type(ID).build()?)
        .nla_payload(id)
        .build()?;
    let attrs: GenlBuffer<u16, Buffer> = std::iter::once(attribute).collect();
    request(&socket, INCIDENT_GET, NlmF::empty(), attrs)?;
    answers(&socket, false, print)
}

fn state() -> Result<()> {
    let socket = socket()?;
    request(&socket, STATE_GET, NlmF::empty(), GenlBuffer::new())?;
    answers(&socket, false, print)
}

/// A source of numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    /// The next number.
    fn next(&mut self) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// One below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// An attribute: any type, nested or not, with a length that is mostly that of its value.
    fn attribute(&mut self, depth: u32) -> Vec<u8> {
        let value = match self.below(8) {
            // That of an id, which may be in the table.
            0 | 1 => self.below(1 << 33).to_ne_bytes().to_vec(),
            2 if depth < 8 => {
                let count = self.below(4);
                (0..count).flat_map(|_| self.attribute(depth + 1)).collect()
            }
            _ => {
                let len = self.below(40);
                self.bytes(len)
            }
        };
        let len = match self.below(16) {
            0 => self.next() as u16,
            _ => value.len() as u16 + 4,
        };
        let kind = match self.below(8) {
            0 => self.next() as u16,
            nested => self.below(0x1c) as u16 | u16::from(nested == 1) << 15,
        };
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// A request to a family with each command and flag, whose header is right.
    fn request(&mut self, family: u16) -> Vec<u8> {
        let command = match self.below(16) {
            0 => self.next() as u8,
            _ => self.below(8) as u8,
        };
        let flags = 1 | if self.below(2) == 0 { 4 } else { 0x300 } | (self.next() as u16 & 0x800);
        let count = self.below(5);
        let attributes: Vec<u8> = (0..count).flat_map(|_| self.attribute(0)).collect();
        let mut bytes = (20 + attributes.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(family.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // Its number, and the port of the sender, which the kernel fills in.
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([command, 1, 0, 0]);
        bytes.extend(attributes);
        bytes
    }
}

/// Sends requests with commands, flags and attributes that are made of a number, and reads a part of the
/// answers; whatever the kernel answers is fine.
fn garbage(seed: u64) -> Result<()> {
    let mut random = Random(seed | 1);
    let family = family()?;
    for _ in 0..300 {
        let mut socket = File::from(socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkGeneric,
        )?);
        socket.write_all(&random.request(family))?;
        // A dump is made while it is read, and given up half read.
        for _ in 0..random.below(4) {
            let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::ZERO)? == 0 {
                break;
            }
            let mut answer = vec![0; 1 << random.below(16)];
            let _ = socket.read(&mut answer)?;
        }
    }
    println!("sent");
    Ok(())
}

/// Prints a message as a line.
fn print(message: &Answer) {
    let NlPayload::Payload(payload) = message.nl_payload() else {
        return;
    };
    let mut line = payload.cmd().to_string();
    let is_state = *payload.cmd() == STATE_GET;
    for attribute in payload.attrs().iter() {
        add(&mut line, is_state, &[], attribute);
    }
    println!("{line}");
}

/// Adds ` attribute=value` to a line. `around`: the attributes that it is nested in.
fn add(line: &mut String, is_state: bool, around: &[u16], attribute: &Nlattr<u16, Buffer>) {
    let path = [around, &[*attribute.nla_type().nla_type()]].concat();
    if *attribute.nla_type().nla_nested() {
        match attribute.get_attr_handle::<u16>() {
            Ok(nested) => nested
                .iter()
                .for_each(|inner| add(line, is_state, &path, inner)),
            Err(error) => line.push_str(&format!(" {path:?}=NO-ATTRIBUTES:{error}")),
        }
        return;
    }
    let name: Vec<String> = path.iter().map(u16::to_string).collect();
    let value = match attribute.nla_payload().as_ref() {
        text if TEXT.contains(&(is_state, &path)) => {
            let text = text.strip_suffix(&[0]).unwrap_or(b"NOT-TERMINATED");
            String::from_utf8_lossy(text).replace(' ', "_")
        }
        &[a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).to_string(),
        &[a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]).to_string(),
        other => format!("{other:02x?}").replace(' ', ""),
    };
    line.push_str(&format!(" {}={value}", name.join(".")));
}
