// SPDX-License-Identifier: GPL-2.0
//! The archive with the run's own files. The kernel unpacks any number of
//! archives that follow each other in the initramfs, so this one is appended to
//! the image, which stays the same from run to run.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;

/// The archive ("newc" format) of a folder `/vm` with these files in it.
///
/// # Errors
///
/// When a file cannot be read, or two have the same name.
pub(crate) fn archive(files: &[PathBuf]) -> io::Result<Vec<u8>> {
    let mut by_name = BTreeMap::new();
    for file in files {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| bad(format!("{} has no usable name", file.display())))?;
        if let Some(other) = by_name.insert(name, file) {
            if other != file {
                return Err(bad(format!("two files are called {name}")));
            }
        }
    }
    let mut out = Vec::new();
    entry(&mut out, "vm", DIRECTORY, &[])?;
    for (name, file) in by_name {
        let explain = |error| bad(format!("cannot read {}: {error}", file.display()));
        let content = fs::read(file).map_err(explain)?;
        let mode = File::open(file)
            .and_then(|file| file.metadata())
            .map_err(explain)?;
        let mode = REGULAR | (mode.permissions().mode() & 0o777);
        entry(&mut out, &format!("vm/{name}"), mode, &content)?;
    }
    entry(&mut out, "TRAILER!!!", 0, &[])?;
    Ok(out)
}

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn entry(out: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let size = u32::try_from(content.len()).map_err(|_| bad(format!("{name} is too long")))?;
    let name_size = u32::try_from(name.len() + 1).map_err(|_| bad("a long name".into()))?;
    let links = if mode == DIRECTORY { 2 } else { 1 };
    // magic, inode, mode, uid, gid, links, mtime, size, four device numbers,
    // name size, checksum
    let fields = [0, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
    out.write_all(b"070701")?;
    for field in fields {
        write!(out, "{field:08x}")?;
    }
    out.write_all(name.as_bytes())?;
    out.push(0);
    pad(out);
    out.write_all(content)?;
    pad(out);
    Ok(())
}

/// Headers and contents start at multiples of four.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_aligned_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        fs::write(&file, "12345").unwrap();
        let bytes = archive(&[file.clone(), file]).unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("070701").count(), 3);
        assert!(text.contains("vm/abc\0"));
        assert!(text.contains("12345"));
        assert!(text.contains("TRAILER!!!\0"));
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        fs::create_dir(&other).unwrap();
        let files = [folder.path().join("f"), other.join("f")];
        for file in &files {
            fs::write(file, "").unwrap();
        }
        assert!(archive(&files).is_err());
    }
}
