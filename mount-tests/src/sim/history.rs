//! What clients did and saw, as they were told. It is judged when all is over ([`super::check`]): then the history of the volume
//! tells in which order everything happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use weft_common::id::BlobId;
use weft_common::wire::ErrorKind;

/// A directory's inode and a name in it.
pub type Place = (u64, String);

/// A change of one file's bytes: cut, holes, data, grow, in this order. Data is (offset, length); its bytes are those of
/// [`payload`], from 0 on over all parts.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Offsets count from the end of the file.
    pub append: bool,
    /// The file is cut to this size first.
    pub cut_to: Option<u64>,
    /// These bytes become zeros.
    pub holes: Vec<(u64, u64)>,
    /// New bytes.
    pub data: Vec<(u64, u32)>,
    /// The file has at least this size afterwards.
    pub grow_to: Option<u64>,
}

/// What a client wants done. Every one that is done becomes a version.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A new file or directory.
    Create(Place, bool),
    /// A name goes.
    Unlink(Place),
    /// An empty directory goes.
    RemoveDirectory(Place),
    /// A name moves, perhaps over another.
    Rename(Place, Place),
    /// A further name for a file.
    Link(u64, Place),
    /// New content of an inode.
    Edit(u64, Edit),
    /// New permission bits of an inode.
    SetMode(u64, u16),
    /// A new value of an inode's extended attribute.
    SetXattr(u64, u64),
    /// A name becomes what it was.
    Restore {
        /// The name.
        place: Place,
        /// The directory that it was in then.
        source: u64,
        /// Then.
        to: u64,
    },
    /// A copy of an inode and all below it.
    Clone {
        /// The inode.
        source: u64,
        /// The version of it; `None` for the newest.
        at: Option<u64>,
        /// Where the copy goes.
        place: Place,
    },
    /// A file gets the content of another.
    Share {
        /// The other.
        source: u64,
        /// The version of it; `None` for the newest.
        at: Option<u64>,
        /// Its content then.
        content: (BlobId, u64),
        /// The file.
        inode: u64,
        /// Its content until then.
        replaces: (BlobId, u64),
    },
}

impl Deed {
    /// What is counted when it is done.
    #[must_use]
    pub fn counted(&self) -> &'static str {
        match self {
            Self::Create(..) => "create done",
            Self::Unlink(_) => "unlink done",
            Self::RemoveDirectory(_) => "directory removed",
            Self::Rename(..) => "rename done",
            Self::Link(..) => "link done",
            Self::Edit(..) => "edit done",
            Self::SetMode(..) => "mode done",
            Self::SetXattr(..) => "xattr done",
            Self::Restore { .. } => "restore done",
            Self::Clone { place, .. } if place.1.starts_with('d') => "directory cloned",
            Self::Clone { .. } => "clone done",
            Self::Share { .. } => "share done",
        }
    }
}

/// What a client was told of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Nothing yet, or never.
    Unknown,
    /// It is done, as this volume version; for content with blob, its version, and the offset of an append.
    Done(u64, Option<(BlobId, u64, u64)>),
    /// It was not done.
    Refused(ErrorKind),
}

/// A change. Its place in [`Records::deeds`] is its number, which is also in its author's name.
#[derive(Clone, Debug)]
pub struct DeedRecord {
    /// What.
    pub deed: Deed,
    /// The newest volume version that anybody knew of when it began.
    pub low: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// A file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its inode.
    pub inode: u64,
    /// Its permission bits.
    pub mode: u16,
    /// Blob and version that were read; `None` for a directory.
    pub content: Option<(BlobId, u64)>,
    /// Its size then.
    pub size: u64,
    /// Where reading began.
    pub start: u64,
    /// Where it was to end, unless the file ended before.
    pub end: u64,
    /// What was read.
    pub bytes: bytes::Bytes,
}

/// What was known when something began. Changes that were under way then may have a number below the newest that is known, and not have
/// happened yet: they wait for mounts that remember what they change, and others do not.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The newest volume version that anybody knew of.
    pub version: u64,
    /// Changes that were under way.
    pub under_way: BTreeSet<usize>,
}

/// A name that was looked up, and the file read behind it.
#[derive(Clone, Debug)]
pub struct ReadRecord {
    /// What was known when it began.
    pub low: Known,
    /// The volume version that was asked for; `None` for the newest.
    pub at: Option<u64>,
    /// The name.
    pub place: Place,
    /// What was there.
    pub found: Option<Found>,
}

/// An extended attribute that was read.
#[derive(Clone, Debug)]
pub struct XattrRecord {
    /// What was known when it began.
    pub low: Known,
    /// The volume version that was asked for; `None` for the newest.
    pub at: Option<u64>,
    /// The inode.
    pub inode: u64,
    /// Its value.
    pub value: Option<u64>,
}

/// An update that was synced: its bytes outlive any loss of power.
#[derive(Clone, Debug)]
pub struct SyncedUpdate {
    /// The file.
    pub inode: u64,
    /// The blob that it is an update of.
    pub blob: BlobId,
    /// The volume version that it became, or that its file was replaced in while it was under way.
    pub version: u64,
    /// What it wrote.
    pub ranges: Vec<(u64, u64)>,
    /// What was wrong with its page objects when its writer was told that it is synced.
    pub complaint: Option<String>,
}

/// A directory that was listed.
#[derive(Clone, Debug)]
pub struct ListRecord {
    /// What was known when it began.
    pub low: Known,
    /// The directory.
    pub directory: u64,
    /// Names and inodes.
    pub entries: Vec<(String, u64)>,
}

/// Everything that was recorded.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Changes.
    pub deeds: Vec<DeedRecord>,
    /// Look-ups and reads.
    pub reads: Vec<ReadRecord>,
    /// Listings.
    pub lists: Vec<ListRecord>,
    /// Extended attributes.
    pub xattrs: Vec<XattrRecord>,
    /// Updates that were synced.
    pub synced: Vec<SyncedUpdate>,
    /// Whether something was lost from all disks, by the loss of power of all machines.
    pub has_lost: bool,
    /// The newest volume version that any client was told of.
    seen: u64,
    /// Changes of which nobody was told yet what came of them.
    under_way: BTreeSet<usize>,
    /// The newest blob versions that any client was told of.
    blobs: BTreeMap<BlobId, u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History(Mutex<Records>);

impl History {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change begins. Its number.
    pub fn begin(&self, deed: Deed) -> usize {
        let mut records = self.records();
        let low = records.seen;
        records.deeds.push(DeedRecord { deed, low, outcome: Outcome::Unknown });
        let number = records.deeds.len() - 1;
        records.under_way.insert(number);
        number
    }

    /// A client is told what came of a change.
    pub fn end(&self, number: usize, outcome: Outcome) {
        let mut records = self.records();
        // What may still happen stays under way.
        if !matches!(outcome, Outcome::Unknown) {
            records.under_way.remove(&number);
        }
        if let Outcome::Done(version, content) = &outcome {
            records.seen = records.seen.max(*version);
            if let Some((blob, version, _)) = content {
                let seen = records.blobs.entry(*blob).or_default();
                *seen = (*seen).max(*version);
            }
        }
        records.deeds[number].outcome = outcome;
    }

    /// The newest volume version that any client was told of.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.records().seen
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self) -> Known {
        let records = self.records();
        Known { version: records.seen, under_way: records.under_way.clone() }
    }

    /// The newest version of `blob` that any client was told of.
    #[must_use]
    pub fn seen_of(&self, blob: BlobId) -> u64 {
        self.records().blobs.get(&blob).copied().unwrap_or(0)
    }

    /// A client was told of a version of a blob.
    pub fn saw(&self, blob: BlobId, version: u64) {
        let mut records = self.records();
        let seen = records.blobs.entry(blob).or_default();
        *seen = (*seen).max(version);
    }

    /// A read ended.
    pub fn note_read(&self, read: ReadRecord) {
        self.records().reads.push(read);
    }

    /// A listing ended.
    pub fn note_list(&self, list: ListRecord) {
        self.records().lists.push(list);
    }

    /// An extended attribute was read.
    pub fn note_xattr(&self, xattr: XattrRecord) {
        self.records().xattrs.push(xattr);
    }

    /// An update was synced.
    pub fn note_synced(&self, update: SyncedUpdate) {
        self.records().synced.push(update);
    }

    /// Something was lost from all disks.
    pub fn note_loss(&self) {
        self.records().has_lost = true;
    }

    /// Everything so far.
    #[must_use]
    pub fn all(&self) -> Records {
        self.records().clone()
    }
}

/// The bytes that change `number` writes.
#[must_use]
pub fn payload(number: usize, length: usize) -> Vec<u8> {
    crate::random::Random::new(number as u64 ^ 0x5eed_0000).bytes(length)
}

/// What `edit`, which is change `number`, makes of a file.
pub fn apply(edit: &Edit, number: usize, bytes: &mut Vec<u8>) {
    let base = if edit.append { bytes.len() as u64 } else { 0 };
    if let Some(size) = edit.cut_to {
        bytes.truncate(size as usize);
    }
    for (start, end) in &edit.holes {
        let end = (*end as usize).min(bytes.len());
        if let Some(hole) = bytes.get_mut(*start as usize..end) {
            hole.fill(0);
        }
    }
    let new = payload(number, edit.data.iter().map(|(_, length)| *length as usize).sum());
    let mut from = 0;
    for (offset, length) in &edit.data {
        let (start, length) = ((base + offset) as usize, *length as usize);
        if bytes.len() < start + length {
            bytes.resize(start + length, 0);
        }
        bytes[start..start + length].copy_from_slice(&new[from..from + length]);
        from += length;
    }
    if let Some(size) = edit.grow_to
        && bytes.len() < size as usize
    {
        bytes.resize(size as usize, 0);
    }
}
