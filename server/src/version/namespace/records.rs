//! What the rows hold. Every row begins with the format's version; then come the bytes of postcard. Golden tests hold them.

use crate::version::kv::KvError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::Tree;
use weft_common::wire::{Attributes, FileKind, decode, encode};

/// The format that this build writes and reads.
pub(super) const FORMAT: u8 = 1;

/// What a volume counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// The newest version.
    pub(super) latest: VolumeVersion,
    /// When the volume was made: the time of version 0.
    pub(super) created: Timestamp,
    /// The newest version's time.
    pub(super) changed: Timestamp,
    /// The number that the next inode gets.
    pub(super) next_inode: u64,
    /// The number that the next blob gets.
    pub(super) next_blob: u64,
    /// Bytes of all files that have a name. Wide, since a few sparse files can have 2^64 bytes together.
    pub(super) live_bytes: u128,
    /// Inodes that have a name, and the root.
    pub(super) live_inodes: u64,
    /// Bytes that updates brought.
    pub(super) stored_bytes: u64,
    /// Tags that are set.
    pub(super) tags: u32,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) directory: InodeNumber,
    pub(super) name: FileName,
}

/// One state of an inode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InodeRecord {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// 0 once the last name is gone.
    pub(super) links: u32,
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
    pub(super) born: Timestamp,
    /// One of its names, valid as long as this state is; `None` for the root and without a name.
    pub(super) place: Option<Place>,
    /// Names and values of its extended attributes together.
    pub(super) xattr_bytes: u32,
    pub(super) body: Body,
}

/// What an inode is, with what only that kind has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body {
    File {
        tree: Tree,
        /// The version that brought these bytes; a compaction changes the tree and leaves it.
        since: VolumeVersion,
    },
    Directory {
        entries: u64,
    },
    Symlink(Vec<u8>),
    Special {
        kind: FileKind,
        rdev: u32,
    },
}

impl InodeRecord {
    pub(super) fn kind(&self) -> FileKind {
        match &self.body {
            Body::File { .. } => FileKind::File,
            Body::Directory { .. } => FileKind::Directory,
            Body::Symlink(_) => FileKind::Symlink,
            Body::Special { kind, .. } => *kind,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }

    /// `st_size`.
    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::File { tree, .. } => tree.size,
            Body::Directory { entries } => *entries,
            Body::Symlink(target) => target.len() as u64,
            Body::Special { .. } => 0,
        }
    }

    /// What it adds to the volume's live bytes and inodes.
    pub(super) fn footprint(&self) -> (u64, u64) {
        match &self.body {
            _ if self.links == 0 => (0, 0),
            Body::File { tree, .. } => (tree.size, 1),
            _ => (0, 1),
        }
    }

    /// The directory that a directory lies in; the root lies in itself.
    pub(super) fn parent(&self) -> InodeNumber {
        self.place.as_ref().map_or(ROOT_INODE, |place| place.directory)
    }

    /// Names a file's bytes: equal if and only if it is the same content of the same blob.
    pub(super) fn content(&self) -> Option<(u64, VolumeVersion)> {
        match &self.body {
            Body::File { tree, since } => Some((tree.blob.number, *since)),
            _ => None,
        }
    }

    pub(super) fn tree(&self) -> Option<&Tree> {
        match &self.body {
            Body::File { tree, .. } => Some(tree),
            _ => None,
        }
    }
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TagRecord {
    pub(super) version: VolumeVersion,
    pub(super) created: Timestamp,
}

/// A value and the volume version from which on it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dated<R> {
    pub(super) from: VolumeVersion,
    pub(super) value: R,
}

impl Dated<InodeRecord> {
    pub(super) fn attributes(&self, inode: InodeNumber) -> Attributes {
        let record = &self.value;
        Attributes {
            inode,
            kind: record.kind(),
            mode: record.mode,
            uid: record.uid,
            gid: record.gid,
            links: record.links,
            size: record.size(),
            rdev: if let Body::Special { rdev, .. } = record.body { rdev } else { 0 },
            accessed: record.accessed,
            modified: record.modified,
            changed: record.changed,
            born: record.born,
            version: self.from,
            xattr_bytes: record.xattr_bytes,
            tree: record.tree().copied(),
        }
    }
}

/// A row: format, postcard.
pub(super) fn to_row<R: Serialize>(record: &R) -> Result<Vec<u8>, KvError> {
    let mut row = vec![FORMAT];
    row.extend(encode(record).map_err(|error| KvError(error.to_string()))?);
    Ok(row)
}

pub(super) fn from_row<R: DeserializeOwned>(row: &[u8]) -> Result<R, KvError> {
    decode(body(row)?).map_err(|error| KvError(error.to_string()))
}

/// A row that says from when on it holds: format, version in eight big-endian bytes, postcard.
pub(super) fn to_dated_row<R: Serialize>(from: VolumeVersion, record: &R) -> Result<Vec<u8>, KvError> {
    let mut row = vec![FORMAT];
    row.extend_from_slice(&from.0.to_be_bytes());
    row.extend(encode(record).map_err(|error| KvError(error.to_string()))?);
    Ok(row)
}

pub(super) fn from_dated_row<R: DeserializeOwned>(row: &[u8]) -> Result<Dated<R>, KvError> {
    let from = row_from(row)?;
    let value = decode(&row[9..]).map_err(|error| KvError(error.to_string()))?;
    Ok(Dated { from, value })
}

/// From when on a dated row holds, without reading the rest.
pub(super) fn row_from(row: &[u8]) -> Result<VolumeVersion, KvError> {
    let bytes = body(row)?.first_chunk::<8>().ok_or_else(|| KvError("a dated row is too short".into()))?;
    Ok(VolumeVersion(u64::from_be_bytes(*bytes)))
}

fn body(row: &[u8]) -> Result<&[u8], KvError> {
    match row.split_first() {
        Some((&FORMAT, rest)) => Ok(rest),
        Some((other, _)) => Err(KvError(format!("a row has format {other}, this build reads format {FORMAT}"))),
        None => Err(KvError("a row is empty".into())),
    }
}
