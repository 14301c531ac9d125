//! Keys: table, volume, then numbers in big-endian order and names, so that the order of the bytes is the order of the
//! things. A name ends with a NUL, which no name contains: `a` sorts before `a!`, and no key is the beginning of another.
//!
//! | table | key after the volume | row |
//! |---|---|---|
//! | `COUNTERS` | | `Counters` |
//! | `ENTRIES` | directory, name | head: the inode a name names |
//! | `ENTRIES_PAST` | directory, name, to | what it named until `to` |
//! | `INODES` | inode | head: an inode's state |
//! | `INODES_PAST` | inode, to | its state until `to` |
//! | `XATTRS` | inode, attribute | head: an extended attribute's value |
//! | `XATTRS_PAST` | inode, attribute, to | its value until `to` |
//! | `OTHER_NAMES` | inode, directory, name | head only: names of a file besides the one in its record; no value |
//! | `ORPHANS` | inode | head only: inodes without a name that may be open; no value |
//! | `CHANGES` | N | `ChangeRecord` |
//! | `DIRECTORY_CHANGES` | directory, N | index: N changed something in the directory (not kept for the root); no value |
//! | `TAGS` | tag | `TagRecord` |
//! | `PARENTS` | directory | head: the directory that it lies in |
//! | `PARENTS_PAST` | directory, to | where it lay until `to` |
//! | `THINNED` | directory, last N of a range | `Thinned`: versions that the directory's policy (the root's: the volume's) does not keep any more |
//! | `PURGE` | | `PurgeState`: how far the clean-up of past rows is |
//! | `POLICY` | directory | `PolicyRecord`; the root's is the volume's |

use weft_common::id::{InodeNumber, VolumeId, VolumeVersion};

pub(super) const COUNTERS: u8 = 0x01;
pub(super) const ENTRIES: u8 = 0x10;
pub(super) const ENTRIES_PAST: u8 = 0x11;
pub(super) const INODES: u8 = 0x12;
pub(super) const INODES_PAST: u8 = 0x13;
pub(super) const XATTRS: u8 = 0x14;
pub(super) const XATTRS_PAST: u8 = 0x15;
pub(super) const PARENTS: u8 = 0x16;
pub(super) const PARENTS_PAST: u8 = 0x17;
pub(super) const OTHER_NAMES: u8 = 0x20;
pub(super) const ORPHANS: u8 = 0x21;
pub(super) const CHANGES: u8 = 0x30;
pub(super) const DIRECTORY_CHANGES: u8 = 0x31;
pub(super) const TAGS: u8 = 0x32;
pub(super) const THINNED: u8 = 0x33;
pub(super) const PURGE: u8 = 0x34;
pub(super) const POLICY: u8 = 0x35;

/// Every table of the namespace; those of the rest of the version manager begin at 0x80.
pub(super) const TABLES: [u8; 17] = [
    COUNTERS,
    ENTRIES,
    ENTRIES_PAST,
    INODES,
    INODES_PAST,
    XATTRS,
    XATTRS_PAST,
    PARENTS,
    PARENTS_PAST,
    OTHER_NAMES,
    ORPHANS,
    CHANGES,
    DIRECTORY_CHANGES,
    TAGS,
    THINNED,
    PURGE,
    POLICY,
];

/// A key, or the beginning of several, built from left to right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new(table: u8, volume: VolumeId) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(table);
        bytes.extend_from_slice(&volume.0.to_be_bytes());
        Self(bytes)
    }

    /// The beginning of all keys after `bytes`, which a [`Key`] gave out earlier.
    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(super) fn inode(self, inode: InodeNumber) -> Self {
        self.bytes(&inode.0.to_be_bytes())
    }

    pub(super) fn version(self, version: VolumeVersion) -> Self {
        self.bytes(&version.0.to_be_bytes())
    }

    pub(super) fn name(self, name: &[u8]) -> Self {
        self.bytes(name).bytes(&[0])
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The first key behind every key that begins with this one.
    pub(super) fn end(&self) -> Self {
        let mut bytes = self.0.clone();
        while bytes.last() == Some(&u8::MAX) {
            bytes.pop();
        }
        if let Some(last) = bytes.last_mut() {
            *last += 1;
        }
        Self(bytes)
    }
}

impl std::ops::Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The key of an inode within `INODES`, and of all that an inode or directory has in other tables.
pub(super) fn of_inode(inode: InodeNumber) -> Vec<u8> {
    inode.0.to_be_bytes().to_vec()
}

/// The key of a name of a directory within `ENTRIES`, or of an inode's attribute within `XATTRS`.
pub(super) fn of_name(inode: InodeNumber, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 9);
    key.extend_from_slice(&inode.0.to_be_bytes());
    key.extend_from_slice(name);
    key.push(0);
    key
}

/// The number behind table and volume.
pub(super) fn first_number(key: &[u8]) -> Option<u64> {
    key.get(5..)?.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The number at the end of a key.
pub(super) fn last_number(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The volume version at the end of a key.
pub(super) fn last_version(key: &[u8]) -> Option<VolumeVersion> {
    last_number(key).map(VolumeVersion)
}
