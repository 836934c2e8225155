// SPDX-License-Identifier: GPL-2.0
//! The part of the initramfs that differs from run to run: the folder `/vm`. The
//! kernel unpacks any number of archives that follow each other in the initramfs, so
//! this archive is appended to the guest image, which stays the same.

use cpio::{newc::ModeFileType, write_cpio, NewcBuilder};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

/// Packs these files into an archive ("newc" format) as the folder `/vm`.
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
            .ok_or_else(|| invalid(format!("{} has no usable name", file.display())))?;
        if let Some(other) = by_name.insert(name, file) {
            if other != file {
                return Err(invalid(format!("two files are called {name}")));
            }
        }
    }
    let folder = NewcBuilder::new("vm")
        .mode(0o755)
        .set_mode_file_type(ModeFileType::Directory);
    let mut entries = vec![(folder, Cursor::new(Vec::new()))];
    for (name, file) in by_name {
        let explain = |error| invalid(format!("cannot read {}: {error}", file.display()));
        let mode = fs::metadata(file).map_err(explain)?.permissions().mode();
        let content = fs::read(file).map_err(explain)?;
        if u32::try_from(content.len()).is_err() {
            return Err(invalid(format!("{} is too long", file.display())));
        }
        let entry = NewcBuilder::new(&format!("vm/{name}"))
            .mode(mode & 0o777)
            .set_mode_file_type(ModeFileType::Regular);
        entries.push((entry, Cursor::new(content)));
    }
    write_cpio(entries.into_iter(), Vec::new())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::NewcReader;
    use std::{fs::Permissions, io::Read};

    #[test]
    fn files_are_under_vm_with_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc");
        fs::write(&file, "12345").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o750)).unwrap();
        let bytes = archive(&[file.clone(), file]).unwrap();
        // Archives that follow each other have to begin at multiples of four.
        assert_eq!(bytes.len() % 4, 0);
        let mut rest = Cursor::new(bytes);
        let mut entries = Vec::new();
        loop {
            let mut reader = NewcReader::new(rest).unwrap();
            let entry = reader.entry().clone();
            let mut content = String::new();
            reader.read_to_string(&mut content).unwrap();
            rest = reader.finish().unwrap();
            if entry.is_trailer() {
                break;
            }
            entries.push((entry.name().to_owned(), entry.mode(), content));
        }
        assert_eq!(
            entries,
            [
                ("vm".to_owned(), 0o040_755, String::new()),
                ("vm/abc".to_owned(), 0o100_750, "12345".to_owned()),
            ]
        );
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
