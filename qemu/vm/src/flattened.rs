// SPDX-License-Identifier: GPL-2.0
//! Checks a dump in makedumpfile's flattened format, which can be written to a pipe.
//!
//! The crash kernel writes its dump to a virtio port, which cannot seek. (A disk could,
//! but stock kernels have virtio_blk as a module only, while virtio_console is built in.)
//! makedumpfile waits for ten minutes at the end of a file that is cut off, so the file is
//! checked first.
//!
//! The format: a header of one page, then pieces of the dump, each after two big-endian
//! numbers: its offset in the dump and its length. Offset and length of -1 mark the end.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

const MAGIC: &[u8; 16] = b"makedumpfile\0\0\0\0";
const HEADER: usize = 4096;
const END: i64 = -1;

/// Checks that a flattened dump is complete.
///
/// # Errors
///
/// Says what is wrong with it.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    File::open(path)
        .map(BufReader::new)
        .map_err(|error| error.to_string())
        .and_then(walk)
        .map_err(|why| format!("{}: {why}", path.display()))
}

fn walk(mut file: impl Read + Seek) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let length = file.seek(SeekFrom::End(0)).map_err(words)?;
    file.rewind().map_err(words)?;
    let mut header = [0; HEADER];
    if length == 0 {
        return Err("it is empty".into());
    }
    let cut = |_| format!("it ends after {length} bytes in the middle");
    file.read_exact(&mut header).map_err(cut)?;
    if !header.starts_with(MAGIC) {
        return Err("it is no flattened dump".into());
    }
    let mut at = HEADER as u64;
    loop {
        let offset = number(&mut file).map_err(cut)?;
        let size = number(&mut file).map_err(cut)?;
        at += 16;
        if (offset, size) == (END, END) {
            return Ok(());
        }
        let (Ok(_), Ok(size)) = (u64::try_from(offset), u64::try_from(size)) else {
            return Err(format!("it has no sense at byte {at}"));
        };
        at = at.saturating_add(size);
        if at > length {
            return Err(cut(io::ErrorKind::UnexpectedEof.into()));
        }
        file.seek_relative(i64::try_from(size).unwrap_or(i64::MAX))
            .map_err(words)?;
    }
}

fn number(file: &mut impl Read) -> io::Result<i64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(i64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn dump(pieces: &[(i64, i64, usize)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.resize(HEADER, 0);
        for (offset, size, length) in pieces {
            bytes.extend(offset.to_be_bytes());
            bytes.extend(size.to_be_bytes());
            bytes.extend(vec![7; *length]);
        }
        bytes
    }

    #[test]
    fn a_complete_dump_is_accepted() {
        let bytes = dump(&[(0, 5, 5), (4096, 9000, 9000), (END, END, 0)]);
        assert_eq!(walk(Cursor::new(bytes)), Ok(()));
    }

    #[test]
    fn a_dump_that_is_cut_off_is_refused() {
        let whole = dump(&[(0, 5, 5), (4096, 9000, 9000), (END, END, 0)]);
        for length in [0, 16, 4096, 4100, 4112, 4115, 6000, whole.len() - 1] {
            let cut = whole.get(..length).unwrap().to_vec();
            assert!(walk(Cursor::new(cut)).is_err(), "{length}");
        }
        let bad = dump(&[(-5, 5, 5), (END, END, 0)]);
        assert!(walk(Cursor::new(bad)).unwrap_err().contains("no sense"));
        let other = vec![0; 5000];
        assert!(walk(Cursor::new(other))
            .unwrap_err()
            .contains("no flattened"));
    }
}
