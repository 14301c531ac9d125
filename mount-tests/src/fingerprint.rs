//! A whole directory tree as comparable values: what a tree *was*, to be held against what `.versions/N` says it was.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use weft_common::checksum::crc64;

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file: mode bits, size, checksum of its bytes.
    File {
        /// Permission bits.
        mode: u32,
        /// Size in bytes.
        size: u64,
        /// CRC-64 of the content.
        checksum: u64,
    },
    /// A directory: mode bits.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A symlink: its target.
    Symlink(PathBuf),
}

/// Every entry below a directory by its relative path.
pub type Fingerprint = BTreeMap<PathBuf, Entry>;

/// Reads the whole tree below `root`, every byte of it.
///
/// # Errors
/// The first entry that cannot be read, named.
pub fn fingerprint(root: &Path) -> io::Result<Fingerprint> {
    let mut found = Fingerprint::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        let directory = root.join(&relative);
        for entry in fs::read_dir(&directory).map_err(|error| named(&directory, &error))? {
            let entry = entry.map_err(|error| named(&directory, &error))?;
            let path = relative.join(entry.file_name());
            let value = entry_of(&root.join(&path))?;
            if matches!(value, Entry::Directory { .. }) {
                waiting.push(path.clone());
            }
            found.insert(path, value);
        }
    }
    Ok(found)
}

fn entry_of(path: &Path) -> io::Result<Entry> {
    let metadata = fs::symlink_metadata(path).map_err(|error| named(path, &error))?;
    let mode = metadata.mode() & 0o7777;
    if metadata.is_dir() {
        return Ok(Entry::Directory { mode });
    }
    if metadata.is_symlink() {
        return fs::read_link(path).map(Entry::Symlink).map_err(|error| named(path, &error));
    }
    let bytes = fs::read(path).map_err(|error| named(path, &error))?;
    if bytes.len() as u64 != metadata.len() {
        return Err(named(path, &io::Error::other(format!("stat says {} bytes, read gives {}", metadata.len(), bytes.len()))));
    }
    Ok(Entry::File { mode, size: metadata.len(), checksum: crc64(&bytes) })
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.as_os_str().as_bytes().escape_ascii()))
}

/// The first few differences in words; empty when the two are equal.
#[must_use]
pub fn differences(expected: &Fingerprint, actual: &Fingerprint) -> Vec<String> {
    let mut found = Vec::new();
    for (path, entry) in expected {
        match actual.get(path) {
            None => found.push(format!("{} is missing", path.display())),
            Some(other) if other != entry => found.push(format!("{}: expected {entry:?}, found {other:?}", path.display())),
            Some(_) => {}
        }
    }
    found
        .extend(actual.keys().filter(|path| !expected.contains_key(*path)).map(|path| format!("{} is too many", path.display())));
    found.truncate(8);
    found
}
