//! The log of one machine: segment files named after the index of their first command.

use super::segment::{HEADER_BYTES, SegmentHeader, encode_frame, holds_a_frame, parse_frame};
use super::{LogError, Replayed, ReplicatedLog};
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use weft_common::limits::{LOG_FRAME_BYTES_MAX, LOG_SEGMENT_BYTES};

/// A log in a folder of its own. Only one process may have it open; the caller sees to that.
#[derive(Debug)]
pub struct LocalLog {
    folder: PathBuf,
    segment_bytes: u64,
    /// First index of each segment and its file, ascending; the last one is written to.
    segments: Vec<(u64, PathBuf)>,
    active: File,
    active_bytes: u64,
    salt: u64,
    next: u64,
    poison: Option<String>,
    #[cfg(test)]
    pub(super) fail_next_sync: bool,
}

impl LocalLog {
    /// Opens the log in `folder`, which is made if it is not there. A torn frame at the end is cut off, with a warning.
    ///
    /// # Errors
    /// [`LogError::Io`], [`LogError::Damaged`], [`LogError::Gap`].
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        Self::open_with(folder, LOG_SEGMENT_BYTES)
    }

    /// As [`LocalLog::open`], with segments of another length.
    ///
    /// # Errors
    /// As [`LocalLog::open`].
    pub fn open_with(folder: &Path, segment_bytes: u64) -> Result<Self, LogError> {
        fs::create_dir_all(folder).map_err(|error| LogError::io("make the folder", folder, error))?;
        let mut segments = list(folder)?;
        if let Some((first, path)) = segments.last().cloned() {
            let bytes = read(&path)?;
            if SegmentHeader::parse(&bytes).is_none() && bytes.len() <= HEADER_BYTES {
                tracing::warn!(path = %path.display(), "a segment of the version log was being made when weftd died; removing it");
                fs::remove_file(&path).map_err(|error| LogError::io("remove", &path, error))?;
                sync_folder(folder)?;
                segments.pop();
                if segments.is_empty() && first != 1 {
                    return Err(LogError::Gap { path, expected: 1, found: first });
                }
            }
        }
        if segments.is_empty() {
            segments.push((1, create(folder, 1)?));
        }
        let Some((_, path)) = segments.last().cloned() else { return Err(LogError::Poisoned("no segment".into())) };
        let (salt, next, bytes) = recover(&path)?;
        let active = OpenOptions::new().append(true).open(&path).map_err(|error| LogError::io("open", &path, error))?;
        Ok(Self {
            folder: folder.to_owned(),
            segment_bytes,
            segments,
            active,
            active_bytes: bytes,
            salt,
            next,
            poison: None,
            #[cfg(test)]
            fail_next_sync: false,
        })
    }

    fn active_path(&self) -> &Path {
        self.segments.last().map_or(&self.folder, |(_, path)| path)
    }

    fn write_frame(&mut self, frame: &[u8]) -> Result<(), LogError> {
        if let Err(error) = self.active.write_all(frame) {
            let path = self.active_path().to_owned();
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                self.take_back(&path)?;
                return Err(LogError::Full { path });
            }
            return Err(LogError::io("write", &path, error));
        }
        self.sync().map_err(|error| LogError::io("sync", self.active_path(), error))?;
        self.active_bytes += frame.len() as u64;
        Ok(())
    }

    /// Removes what a refused write left.
    fn take_back(&mut self, path: &Path) -> Result<(), LogError> {
        self.active.set_len(self.active_bytes).map_err(|error| LogError::io("cut", path, error))?;
        self.sync().map_err(|error| LogError::io("sync", path, error))
    }

    fn sync(&mut self) -> std::io::Result<()> {
        #[cfg(test)]
        if std::mem::take(&mut self.fail_next_sync) {
            return Err(std::io::Error::other("planted failure"));
        }
        self.active.sync_data()
    }

    fn roll(&mut self) -> Result<(), LogError> {
        let path = create(&self.folder, self.next)?;
        let (salt, _, bytes) = recover(&path)?;
        self.active = OpenOptions::new().append(true).open(&path).map_err(|error| LogError::io("open", &path, error))?;
        (self.salt, self.active_bytes) = (salt, bytes);
        self.segments.push((self.next, path));
        Ok(())
    }

    fn append_frames(&mut self, commands: &[Vec<u8>]) -> Result<(), LogError> {
        let mut rest = commands;
        while !rest.is_empty() {
            if self.active_bytes >= self.segment_bytes.max(HEADER_BYTES as u64 + 1) {
                self.roll()?;
            }
            let count = fitting(rest);
            let (now, later) = rest.split_at(count);
            self.write_frame(&encode_frame(self.salt, self.next, now))?;
            self.next += count as u64;
            rest = later;
        }
        Ok(())
    }
}

impl ReplicatedLog for LocalLog {
    fn next_index(&self) -> u64 {
        self.next
    }

    fn append(&mut self, commands: &[Vec<u8>]) -> Result<u64, LogError> {
        if let Some(reason) = &self.poison {
            return Err(LogError::Poisoned(reason.clone()));
        }
        let first = self.next;
        match self.append_frames(commands) {
            Ok(()) => Ok(first),
            Err(LogError::Full { path }) if self.next == first => Err(LogError::Full { path }),
            // After a failed sync the kernel may have dropped the dirty pages: syncing again would succeed and mean nothing.
            Err(error) => {
                self.poison = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn replay(&mut self, from: u64, visit: &mut Replayed<'_>) -> Result<(), LogError> {
        let mut expected = self.segments.first().map_or(1, |(first, _)| *first);
        if from < expected {
            return Err(LogError::Gap { path: self.folder.clone(), expected: from, found: expected });
        }
        for (place, (first, path)) in self.segments.iter().enumerate() {
            if *first != expected {
                return Err(LogError::Gap { path: path.clone(), expected, found: *first });
            }
            let behind = self.segments.get(place + 1).map_or(self.next, |(first, _)| *first);
            expected = if behind <= from { behind } else { replay_segment(path, *first, from, visit)? };
        }
        Ok(())
    }

    fn truncate_before(&mut self, index: u64) -> Result<(), LogError> {
        while self.segments.len() > 1 && self.segments[1].0 <= index {
            let (_, path) = &self.segments[0];
            fs::remove_file(path).map_err(|error| LogError::io("remove", path, error))?;
            self.segments.remove(0);
        }
        Ok(())
    }
}

/// How many commands go into one frame: at least one.
fn fitting(commands: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let over = commands.iter().position(|command| {
        bytes += command.len() + 4;
        bytes > LOG_FRAME_BYTES_MAX
    });
    over.map_or(commands.len(), |place| place.max(1))
}

fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| LogError::io("list", folder, error))? {
        let path = entry.map_err(|error| LogError::io("list", folder, error))?.path();
        let stem = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"));
        if let Some(first) = stem.and_then(|stem| stem.parse().ok()) {
            segments.push((first, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

fn read(path: &Path) -> Result<Vec<u8>, LogError> {
    fs::read(path).map_err(|error| LogError::io("read", path, error))
}

fn create(folder: &Path, first: u64) -> Result<PathBuf, LogError> {
    let path = folder.join(format!("{first:020}.log"));
    // The standard library's hasher is seeded by the system: the only randomness at hand without another dependency.
    let salt = std::hash::RandomState::new().hash_one(first);
    let mut file = File::create_new(&path).map_err(|error| LogError::io("make", &path, error))?;
    file.write_all(&SegmentHeader { first, salt }.encode()).map_err(|error| LogError::io("write", &path, error))?;
    file.sync_all().map_err(|error| LogError::io("sync", &path, error))?;
    sync_folder(folder)?;
    Ok(path)
}

fn sync_folder(folder: &Path) -> Result<(), LogError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|error| LogError::io("sync", folder, error))
}

fn header(path: &Path, bytes: &[u8]) -> Result<SegmentHeader, LogError> {
    let damaged = || LogError::Damaged { path: path.to_owned(), offset: 0, reason: "the segment's header is not whole".into() };
    SegmentHeader::parse(bytes).ok_or_else(damaged)
}

/// Checks the last segment and cuts a torn frame off its end. Returns its salt, the next index and its length.
fn recover(path: &Path) -> Result<(u64, u64, u64), LogError> {
    let bytes = read(path)?;
    let SegmentHeader { first, salt } = header(path, &bytes)?;
    let (mut at, mut next) = (HEADER_BYTES, first);
    while at < bytes.len() {
        match parse_frame(&bytes[at..], salt) {
            Ok(frame) if frame.first == next => (at, next) = (at + frame.bytes, next + frame.commands.len() as u64),
            Ok(frame) => return Err(LogError::Gap { path: path.to_owned(), expected: next, found: frame.first }),
            Err(reason) if holds_a_frame(&bytes[at + 1..], salt) => {
                return Err(LogError::Damaged { path: path.to_owned(), offset: at as u64, reason: reason.into() });
            }
            Err(reason) => {
                cut(path, at as u64)?;
                let lost = bytes.len() - at;
                tracing::warn!(path = %path.display(), offset = at, bytes = lost, reason, "cut the torn end of the version log; nothing in it was acknowledged");
                break;
            }
        }
    }
    Ok((salt, next, at as u64))
}

fn cut(path: &Path, length: u64) -> Result<(), LogError> {
    let file = OpenOptions::new().write(true).open(path).map_err(|error| LogError::io("open", path, error))?;
    file.set_len(length).and_then(|()| file.sync_all()).map_err(|error| LogError::io("cut", path, error))
}

/// Visits the commands of a segment from index `from` on; returns the index behind its last.
fn replay_segment(path: &Path, first: u64, from: u64, visit: &mut Replayed<'_>) -> Result<u64, LogError> {
    let bytes = read(path)?;
    let header = header(path, &bytes)?;
    if header.first != first {
        return Err(LogError::Gap { path: path.to_owned(), expected: first, found: header.first });
    }
    let (mut at, mut next) = (HEADER_BYTES, first);
    while at < bytes.len() {
        let damaged = |reason: &str| LogError::Damaged { path: path.to_owned(), offset: at as u64, reason: reason.into() };
        let frame = parse_frame(&bytes[at..], header.salt).map_err(damaged)?;
        if frame.first != next {
            return Err(LogError::Gap { path: path.to_owned(), expected: next, found: frame.first });
        }
        for command in frame.commands {
            if next >= from {
                visit(next, command).map_err(|reason| LogError::Replay { index: next, reason })?;
            }
            next += 1;
        }
        at += frame.bytes;
    }
    Ok(next)
}
