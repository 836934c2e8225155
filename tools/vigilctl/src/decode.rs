// SPDX-License-Identifier: GPL-2.0
//! `decode`: the crash record (`docs/kdump.md`) in a file: saved by itself, or somewhere in raw memory
//! or in an ELF dump, by its magic bytes.
//!
//! The module's data is in `vmalloc()`ed memory, whose pages lie anywhere in physical memory: of a dump
//! of that, this finds the part of the record that is in one piece. `scripts/vmcore-report` follows the
//! page tables, and reads compressed dumps too; that takes drgn, which is why it is no layer on this.

use crate::{
    incident::{
        Address, Culprit, CulpritKind, Flags, Frame, Incident, Kind, Lock, LockKind, Nanos, Task,
        Wall,
    },
    table,
};
use anyhow::{bail, Context, Result};
use memchr::memmem;
use serde::Serialize;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};
use vigil_logic::{
    culprit, incident as logic,
    incident::{
        CULPRIT_WORD, CULPRIT_WORDS, ENTRIES, HEADER_ADDRESS, HEADER_NEXT, HEADER_WORDS, MAGIC,
        VERSION, WORDS,
    },
    task::{TaskId, Whereabouts},
};

/// Bytes of the whole record.
const RECORD: usize = (HEADER_WORDS + WORDS * ENTRIES) * 8;
/// Words of an entry.
const ENTRY: u64 = WORDS as u64;
/// The smallest page there is.
const PAGE: u64 = 4096;
/// No machine has so many records: one for each load of the module that its memory has traces of.
const MOST: usize = 1000;
/// Read at once.
const CHUNK: usize = 4 << 20;

/// An incident of the record.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Recorded {
    /// Its number since load, counted from 1.
    number: u64,
    #[serde(flatten)]
    incident: Incident,
}

/// A record.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// Where it begins in the file.
    offset: u64,
    /// Its own address.
    address: Address,
    /// Incidents since load.
    recorded: u64,
    /// Of those that it had, how many could not be read.
    missing: u64,
    /// The others, the oldest first.
    incidents: Vec<Recorded>,
}

/// A record's header cannot be used.
#[derive(Debug, PartialEq, Eq)]
enum Bad {
    /// Another version of the layout.
    Version(u32),
    /// No record at all.
    Other,
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)))
}

/// Parses a record, of which as much is there as is in one piece.
fn parse(bytes: &[u8], offset: u64) -> Result<Record, Bad> {
    let mut all = words(bytes);
    let mut header = [0; HEADER_WORDS];
    for word in &mut header {
        *word = all.next().ok_or(Bad::Other)?;
    }
    let empty = logic::header();
    // What differs is the version, as long as all else makes sense.
    let magic = header.get(..2) == empty.get(..2);
    if !magic {
        return Err(Bad::Other);
    }
    let is_same = |index: usize| header.get(index) == empty.get(index);
    if !is_same(2) {
        let version = header.get(2).map_or(0, |word| {
            let [a, b, c, d, ..] = word.to_ne_bytes();
            u32::from_ne_bytes([a, b, c, d])
        });
        // Nobody has written a hundred versions: the bytes are something else.
        return Err(match version {
            1..=99 => Bad::Version(version),
            _ => Bad::Other,
        });
    }
    if !is_same(3) || !is_same(6) {
        return Err(Bad::Other);
    }
    let at = |index: usize| header.get(index).copied().unwrap_or(0);
    let recorded = at(HEADER_NEXT);
    let entries: Vec<u64> = all.collect();
    // 0: never used, or being written.
    let fits = |number: u64, place: u64| {
        number != 0 && (number - 1) % ENTRIES as u64 == place && number <= recorded
    };
    // The page behind may be another one than the record's: the next entry shows it.
    let is_torn = |place: u64| {
        let begin = at(HEADER_ADDRESS).wrapping_add((HEADER_WORDS as u64 + place * ENTRY) * 8);
        let crosses = begin / PAGE != begin.wrapping_add(ENTRY * 8 - 1) / PAGE;
        let next = entries.get((place as usize + 1) * WORDS);
        crosses && next.is_some_and(|&number| number != 0 && !fits(number, place + 1))
    };
    let mut incidents: Vec<Recorded> = entries
        .chunks_exact(WORDS)
        .zip(0..ENTRIES as u64)
        .filter_map(|(entry, place)| {
            let number = entry.first().copied()?;
            let is_whole = fits(number, place) && !is_torn(place);
            let incident = is_whole.then(|| incident(entry)).flatten()?;
            Some(Recorded { number, incident })
        })
        .collect();
    incidents.sort_by_key(|recorded| recorded.number);
    let missing = recorded.min(ENTRIES as u64) - incidents.len() as u64;
    Ok(Record {
        offset,
        address: Address(at(HEADER_ADDRESS)),
        recorded,
        missing,
        incidents,
    })
}

fn task(task: TaskId) -> Task {
    Task {
        pid: task.pid,
        comm: task.comm.to_string(),
    }
}

/// An address of which 0 means that there is none.
fn address(address: usize) -> Option<Address> {
    (address != 0).then_some(Address(address as u64))
}

fn ns_pid(whereabouts: &Whereabouts) -> Option<i32> {
    (whereabouts.ns_pid != 0).then_some(whereabouts.ns_pid)
}

fn cgroup(whereabouts: &Whereabouts) -> Option<String> {
    whereabouts.cgroup().map(|path| path.to_string())
}

fn incident(entry: &[u64]) -> Option<Incident> {
    let words: &[u64; WORDS] = entry.try_into().ok()?;
    let found = logic::Incident::decode(words).ok()?;
    let culprit: &[u64; CULPRIT_WORDS] = entry.get(CULPRIT_WORD..)?.first_chunk()?;
    // In one version all kinds are known: what is not understood is another page of memory.
    let culprit = culprit::Culprit::decode(culprit).ok()?;
    let frames = found
        .stack
        .addresses
        .iter()
        .take(found.stack.depth as usize);
    Some(Incident {
        began: Some(Nanos(found.found.saturating_sub(found.age))),
        found: Some(Nanos(found.found)),
        age: Some(Nanos(found.age)),
        wall: Some(Wall(found.wall)),
        cpu: Some(found.cpu),
        finder: Some(found.finder),
        task: found.task.map(task),
        ns_pid: ns_pid(&found.whereabouts),
        cgroup: cgroup(&found.whereabouts),
        lock: found.wait.map(|wait| Lock {
            kind: LockKind::from_number(wait.lock.number()),
            owner: wait.owner.map(task),
            address: address(wait.address),
            symbol: None,
        }),
        culprit: culprit.map(|culprit| Culprit {
            kind: CulpritKind::from_number(culprit.kind as u32),
            cpu: culprit.cpu,
            task: culprit.task.map(task),
            count: Some(culprit.count),
            depth: Some(culprit.depth),
            age: (culprit.age != 0).then_some(Nanos(culprit.age)),
            place: address(culprit.place).map(|place| place.to_string()),
            function: None,
            address: address(culprit.address),
            ns_pid: ns_pid(&culprit.whereabouts),
            cgroup: cgroup(&culprit.whereabouts),
        }),
        flags: Flags(found.flags),
        stack: frames
            .map(|&frame| Frame {
                address: Some(Address(frame as u64)),
                symbol: None,
            })
            .collect(),
        ..Incident::new(0, Kind::from_number(found.kind as u32))
    })
}

/// Whether the header of a record of any version begins with these bytes.
fn may_be_record(bytes: &[u8]) -> bool {
    !matches!(parse(bytes, 0), Err(Bad::Other))
}

/// Where the headers of records are in a file, of [`MOST`] and one at most.
fn offsets(file: &mut impl Read) -> io::Result<Vec<u64>> {
    const HEADER: usize = HEADER_WORDS * 8;
    let finder = memmem::Finder::new(&MAGIC);
    let (mut found, mut before) = (Vec::new(), 0);
    let mut buffer = Vec::with_capacity(CHUNK + HEADER);
    loop {
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut buffer)?;
        // Bytes that something else has by chance, or by intent, are not kept.
        let headers = finder.find_iter(&buffer).filter(|&at| {
            let bytes = buffer.get(at..).unwrap_or_default();
            may_be_record(bytes.get(..HEADER).unwrap_or_default())
        });
        found.extend(headers.map(|at| before + at as u64));
        if read == 0 || found.len() > MOST {
            found.truncate(MOST + 1);
            return Ok(found);
        }
        // A header may be cut in two.
        let kept = buffer.len().min(HEADER - 1);
        let done = buffer.len() - kept;
        before += done as u64;
        buffer.drain(..done);
    }
}

/// Finds records in a file. Those that are the same but for their place are one.
fn find(file: &mut (impl Read + Seek)) -> Result<Vec<Record>> {
    let (mut records, mut version) = (Vec::<Record>::new(), None);
    let offsets = offsets(file)?;
    if offsets.len() > MOST {
        bail!("it has more than {MOST} records of vigil's: it is no dump of one machine");
    }
    for offset in offsets {
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(RECORD);
        file.by_ref().take(RECORD as u64).read_to_end(&mut bytes)?;
        match parse(&bytes, offset) {
            Ok(record) => {
                let is_same = |other: &Record| other.incidents == record.incidents;
                if !records.iter().any(is_same) {
                    records.push(record);
                }
            }
            Err(Bad::Version(found)) => version = Some(found),
            Err(Bad::Other) => {}
        }
    }
    if records.iter().any(|record| record.recorded > 0) {
        // The module's file has an empty one, which may be in the page cache.
        records.retain(|record| record.recorded > 0);
    }
    match (records.is_empty(), version) {
        (true, Some(version)) => {
            bail!(
                "its record has version {version} of the layout, and this program knows {VERSION}"
            )
        }
        (true, None) => bail!("it has no record of vigil's in one piece"),
        (false, _) => Ok(records),
    }
}

/// Shows the records in a file.
///
/// # Errors
///
/// If it cannot be read, or has none.
pub(crate) fn run(path: &Path, json: bool, out: &mut dyn Write) -> Result<()> {
    let name = path.display();
    let mut file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    let mut begin = [0; 12];
    let length = file
        .read(&mut begin)
        .with_context(|| format!("cannot read {name}"))?;
    let begin = begin.get(..length).unwrap_or_default();
    if begin.starts_with(b"KDUMP   ") || begin.starts_with(b"makedumpfile") {
        bail!("{name} is a dump in makedumpfile's format: scripts/vmcore-report reads it");
    }
    file.seek(SeekFrom::Start(0))?;
    let records = find(&mut file).with_context(|| format!("cannot decode {name}"))?;
    if json {
        writeln!(out, "{}", serde_json::to_string(&records)?)?;
        return Ok(());
    }
    for record in &records {
        writeln!(
            out,
            "record at offset {:#x}, {} incidents since load, {} of them here",
            record.offset,
            record.recorded,
            record.incidents.len()
        )?;
        if record.missing > 0 {
            writeln!(
                out,
                "{} are missing: they were being written, or are elsewhere in memory \
                 (scripts/vmcore-report follows the page tables)",
                record.missing
            )?;
        }
        for recorded in &record.incidents {
            write!(out, "\n#{} ", recorded.number)?;
            table::one(&recorded.incident, out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use vigil_logic::{
        blocker,
        culprit::CulpritKind as LogicCulprit,
        incident::{Incident as Found, IncidentKind, Stack, Wait},
        task::Comm,
    };

    fn named(pid: i32, name: &str) -> TaskId {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name.as_bytes());
        TaskId {
            comm: Comm::new(comm),
            pid,
        }
    }

    fn found(pid: i32) -> Found {
        let mut stack = Stack::default();
        stack.addresses[0] = 0xffff_ffff_8123_4567_u64 as usize;
        stack.depth = 1;
        Found {
            kind: IncidentKind::HungTask,
            cpu: 1,
            task: Some(named(pid, "victim")),
            finder: 0,
            found: 20_000_000_000,
            age: 5_000_000_000,
            wall: 1_790_000_000_000_000_000,
            wait: Some(Wait {
                lock: blocker::LockKind::Mutex,
                address: 0x1000,
                owner: Some(named(7, "holder")),
            }),
            flags: 4,
            stack,
            whereabouts: Whereabouts::new(3, b"/pod", false),
        }
    }

    /// A record in which so many incidents were written.
    fn record(count: u64) -> Vec<u8> {
        let mut all = vec![0_u64; RECORD / 8];
        all[..HEADER_WORDS].copy_from_slice(&logic::header());
        all[HEADER_ADDRESS] = 0xffff_ffff_c000_0000;
        all[HEADER_NEXT] = count;
        for number in 1..=count {
            let at = HEADER_WORDS + WORDS * ((number - 1) as usize % ENTRIES);
            let culprit = culprit::Culprit {
                kind: LogicCulprit::Task,
                cpu: None,
                task: Some(named(7, "holder")),
                count: 3,
                depth: 1,
                address: 0x1000,
                spins_for: 0,
                place: 0,
                age: 0,
                whereabouts: Whereabouts::NONE,
            };
            let mut entry = found(number as i32).encode();
            entry[CULPRIT_WORD..][..CULPRIT_WORDS].copy_from_slice(&culprit.encode());
            entry[0] = number;
            all[at..at + WORDS].copy_from_slice(&entry);
        }
        all.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn a_saved_record() {
        let [record] = <[Record; 1]>::try_from(find(&mut Cursor::new(record(2))).unwrap()).unwrap();
        assert_eq!((record.offset, record.recorded, record.missing), (0, 2, 0));
        let first = &record.incidents[0];
        assert_eq!(first.number, 1);
        let json = serde_json::to_value(first).unwrap();
        let expected = serde_json::json!({
            "number": 1, "kind": "hung-task", "began_s": 15.0, "found_s": 20.0, "age_s": 5.0,
            "time": "2026-09-21T14:13:20.000Z", "cpu": 1, "finder": 0,
            "task": {"pid": 1, "comm": "victim"}, "ns_pid": 3, "cgroup": "/pod",
            "lock": {
                "kind": "mutex", "owner": {"pid": 7, "comm": "holder"}, "address": "0000000000001000",
            },
            "culprit": {
                "kind": "task", "task": {"pid": 7, "comm": "holder"}, "count": 3, "depth": 1,
                "address": "0000000000001000",
            },
            "flags": ["panic"], "stack": [{"address": "ffffffff81234567"}],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_last_ones_of_many() {
        let records = find(&mut Cursor::new(record(ENTRIES as u64 + 3))).unwrap();
        let numbers: Vec<u64> = records[0].incidents.iter().map(|one| one.number).collect();
        assert_eq!(numbers, (4..=ENTRIES as u64 + 3).collect::<Vec<_>>());
    }

    #[test]
    fn somewhere_in_memory() {
        // Cut in two by a chunk's end, behind an empty one and magic bytes in something else.
        let mut memory = record(0);
        memory.extend(MAGIC);
        memory.resize(CHUNK - 8, 0xa5);
        let at = memory.len() as u64;
        memory.extend(record(2));
        let records = find(&mut Cursor::new(memory)).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].offset, records[0].incidents.len()), (at, 2));
    }

    #[test]
    fn only_its_first_page() {
        let mut memory = record(20);
        memory.truncate(4096);
        memory.extend([0xff; 4096 * 8]);
        let records = find(&mut Cursor::new(memory)).unwrap();
        let whole = (4096 / 8 - HEADER_WORDS) / WORDS;
        assert_eq!(records[0].incidents.len(), whole);
        assert_eq!(records[0].missing, 20 - whole as u64);
    }

    /// It takes no memory or time that grows with what a file makes up.
    #[test]
    fn made_up_files() {
        let magic: Vec<u8> = MAGIC.iter().copied().cycle().take(3 * CHUNK).collect();
        assert!(offsets(&mut magic.as_slice()).unwrap().is_empty());
        let header: Vec<u8> = record(0)[..HEADER_WORDS * 8].to_vec();
        let many = header.repeat(MOST * 4);
        assert_eq!(offsets(&mut many.as_slice()).unwrap().len(), MOST + 1);
        let error = find(&mut Cursor::new(many)).unwrap_err().to_string();
        assert!(
            error.starts_with("it has more than 1000 records"),
            "{error}"
        );
    }

    #[test]
    fn what_is_none() {
        let error = |bytes: Vec<u8>| find(&mut Cursor::new(bytes)).unwrap_err().to_string();
        assert_eq!(
            error(vec![0; 100]),
            "it has no record of vigil's in one piece"
        );
        let mut other = record(1);
        other[16] = VERSION as u8 + 40;
        assert_eq!(
            error(other),
            format!(
                "its record has version {} of the layout, and this program knows {VERSION}",
                VERSION + 40
            )
        );
    }
}
