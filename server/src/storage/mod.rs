//! Write-once object stores: page objects and tree nodes are both immutable bytes under a name of fixed size.
//!
//! [`ObjectStore`] is the trait; [`file::FileStore`] keeps objects in append-only segment files (FORMAT.md has the bytes and the
//! reasons), [`memory::MemoryStore`] keeps them in a map, [`faulty::FaultyStore`] wraps either and fails on purpose. One conformance
//! suite holds all of them to the same behaviour.
//!
//! Methods block; the services call them through [`blocking::BlockingStore`], which bounds how many do so at once.

pub mod blocking;
mod error;
pub mod faulty;
pub mod file;
mod key;
pub mod memory;

#[cfg(test)]
mod conformance;

pub use error::StoreError;
pub use key::{KEY_BYTES, Key};

use bytes::Bytes;
use std::fmt::Debug;
use std::ops::Range;
use weft_common::id::Incarnation;

/// An object to be stored. The parts are borrowed and written where they are, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct NewObject<'a> {
    /// Its name.
    pub key: Key,
    /// A few bytes about it that are always read along (a page object's chunk table); at most [`EXTRA_BYTES_MAX`].
    pub extra: &'a [u8],
    /// Its bytes; at most [`weft_common::limits::BODY_BYTES_MAX`].
    pub body: &'a [u8],
}

/// Longest [`NewObject::extra`]: the chunk table of the largest page, with room to spare.
pub const EXTRA_BYTES_MAX: usize = 64 * 1024;

/// A stored object, or the part of it that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// What was given as [`NewObject::extra`], whole.
    pub extra: Bytes,
    /// Length of the whole body.
    pub body_bytes: u32,
    /// The body, or the part of it that was asked for.
    pub body: Bytes,
}

/// What a store holds and has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Objects in it.
    pub objects: u64,
    /// Bytes of those objects, with what the store adds to each.
    pub live_bytes: u64,
    /// Bytes that the store's files take on the disk, without room that is only reserved for the next objects: that is free.
    pub file_bytes: u64,
    /// Bytes that the disk holds.
    pub disk_total_bytes: u64,
    /// Bytes that can still be put: free space less the reserve that deletes need.
    pub disk_free_bytes: u64,
}

impl From<StoreStatistics> for weft_common::wire::Space {
    fn from(statistics: StoreStatistics) -> Self {
        Self {
            total_bytes: statistics.disk_total_bytes,
            free_bytes: statistics.disk_free_bytes,
            used_bytes: statistics.live_bytes,
            file_bytes: statistics.file_bytes,
            objects: statistics.objects,
        }
    }
}

/// Part of what a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Keys, and the bytes that each object takes: all of them together are [`StoreStatistics::live_bytes`].
    pub entries: Vec<(Key, u32)>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<Vec<u8>>,
}

/// Called for each key; `false` ends the listing.
pub type VisitKey<'a> = dyn FnMut(&Key) -> bool + 'a;

/// A write-once store.
///
/// *Acknowledged* (a call returned `Ok`) means: survives the death of the process. *Synced* means: survives the loss of power.
pub trait ObjectStore: Send + Sync + Debug {
    /// Whether calls wait for a disk. Those of a store that does not are carried out where they are made.
    fn blocks(&self) -> bool {
        true
    }

    /// Stores `objects`, in order. A key that is there already with the same bytes is passed over, so that a repetition is harmless.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a key that holds other bytes; [`StoreError::NoSpace`] when the disk is (nearly) full. Objects
    /// before the one that failed may be stored.
    fn put(&self, objects: &[NewObject<'_>]) -> Result<(), StoreError>;

    /// The whole object, its checksums verified; `None` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] rather than wrong bytes.
    fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError>;

    /// As [`ObjectStore::get`], but only if that needs no disk; otherwise the outer `None`, and the caller asks again where it may block.
    fn get_now(&self, _key: &Key) -> Option<Result<Option<StoredObject>, StoreError>> {
        None
    }

    /// The part `range` of an object, cut at its end, and its whole `extra`. Only the latter is verified: the chunk table in it
    /// lets the reader verify the part.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is not that object's.
    fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError>;

    /// Whether the object is there. Its bytes are not looked at.
    fn contains(&self, key: &Key) -> bool;

    /// Removes objects; keys that are not there are passed over. Returns how many were.
    ///
    /// # Errors
    /// Those of writing; works on a full disk, out of the reserve.
    fn delete(&self, keys: &[Key]) -> Result<usize, StoreError>;

    /// Everything acknowledged before the call is on stable storage when it returns.
    ///
    /// # Errors
    /// After a failure the store takes nothing any more ([`StoreError::Poisoned`]): the kernel may have dropped what it could not write.
    fn sync(&self) -> Result<(), StoreError>;

    /// The present incarnation: while it is the same, nothing acknowledged was lost.
    fn incarnation(&self) -> Incarnation;

    /// Reads an object whole and compares it with its checksums: `false` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names file and offset.
    fn verify(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(self.get(key)?.is_some())
    }

    /// Visits every key, in no order. An object that is there throughout is visited at least once (moving it may show it twice).
    ///
    /// # Errors
    /// Those of reading.
    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError>;

    /// Part of the keys, at most `limit`, in an order of the store's own. An object that is there throughout is in one of the parts at
    /// least.
    ///
    /// # Errors
    /// Those of reading.
    fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError>;

    /// Counts and space.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the disk does not tell.
    fn statistics(&self) -> Result<StoreStatistics, StoreError>;
}
