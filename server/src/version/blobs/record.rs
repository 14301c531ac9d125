//! What the table holds of a blob and of each of its versions, and reads of it.

use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError, Order};
use crate::version::{garbage, table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeId, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::weave::{LogEntry, Tree, tree_of};
use weft_common::wire::{Author, ErrorKind};

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlobRecord {
    /// The file whose content it is or was.
    pub(crate) inode: InodeNumber,
    /// Version 0.
    pub(crate) origin: Tree,
    /// The newest published version.
    pub(crate) published: Tree,
    /// The newest assigned version.
    pub(crate) assigned: BlobVersion,
    /// The newest version that was assigned and dropped: see [`drop_in_flight`].
    pub(crate) dropped: BlobVersion,
    /// Size of the file after it.
    pub(crate) size: u64,
    /// Encoded bytes of the log entries in flight: what a ticket has to carry.
    pub(crate) in_flight_bytes: u64,
}

impl BlobRecord {
    /// A blob that had no ticket yet.
    pub(crate) fn new(inode: InodeNumber, tree: Tree) -> Self {
        let (assigned, dropped) = (tree.version, BlobVersion(0));
        Self { inode, origin: tree, published: tree, assigned, dropped, size: tree.size, in_flight_bytes: 0 }
    }

    /// Versions that are assigned and not published.
    pub(crate) fn in_flight(&self) -> u64 {
        self.assigned.0 - self.published.version.0
    }
}

/// A version in flight: what its publishing will need, beside its log entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketRecord {
    /// The file.
    pub(crate) inode: InodeNumber,
    /// Who writes.
    pub(crate) author: Author,
    /// The file's modification time after it.
    pub(crate) modified: Timestamp,
    /// When the ticket was given.
    pub(crate) assigned_at: Timestamp,
    /// Whether all its nodes are stored.
    pub(crate) committed: bool,
    /// Whether it changes no byte and so takes no N.
    pub(crate) compaction: bool,
    /// Bytes of the page objects it brought.
    pub(crate) stored_bytes: u64,
    /// Encoded bytes of its log entry.
    pub(crate) entry_bytes: u64,
}

/// A published version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublishedRecord {
    /// The file.
    pub(crate) inode: InodeNumber,
    /// The volume version it became; `None` for a compaction, and for a file that had lost its name or its blob.
    pub(crate) became: Option<VolumeVersion>,
}

/// The record of a blob.
///
/// # Errors
/// `NotFound` if no update of it was ever ordered.
pub(crate) fn blob_record(kv: &dyn Kv, blob: BlobId) -> Result<BlobRecord, Failure> {
    let none = || Failure::refuse(ErrorKind::NotFound, format!("no update of {blob} was ever ordered, or its volume is gone"));
    table::get(kv, &table::blob(blob))?.ok_or_else(none)
}

/// The log entry of a version that is known to be assigned.
pub(crate) fn log_entry(kv: &dyn Kv, blob: BlobId, version: BlobVersion) -> Result<LogEntry, KvError> {
    table::get(kv, &table::entry(blob, version))?.ok_or_else(|| KvError(format!("the log entry of {blob} {version} is missing")))
}

/// The log entries of `after < version < before`, ascending.
pub(crate) fn log_entries(kv: &dyn Kv, blob: BlobId, after: BlobVersion, before: BlobVersion) -> Result<Vec<LogEntry>, KvError> {
    let missing = || KvError(format!("log entries of {blob} between {after} and {before} are missing"));
    log_entries_if_there(kv, blob, after, before)?.ok_or_else(missing)
}

/// As [`log_entries`]; `None` if some are collected.
pub(crate) fn log_entries_if_there(
    kv: &dyn Kv,
    blob: BlobId,
    after: BlobVersion,
    before: BlobVersion,
) -> Result<Option<Vec<LogEntry>>, KvError> {
    let (from, to) = (table::entry(blob, BlobVersion(after.0 + 1)), table::entry(blob, before));
    let entries: Vec<_> = table::collect(kv, &from, &to)?.into_iter().map(|(_, entry)| entry).collect();
    let is_whole = entries.len() as u64 == before.0.saturating_sub(after.0 + 1);
    Ok(is_whole.then_some(entries))
}

/// A published version of a blob that has the given record.
pub(crate) fn tree_at(kv: &dyn Kv, blob: BlobId, record: &BlobRecord, version: BlobVersion) -> Result<Tree, KvError> {
    if version == record.published.version {
        return Ok(record.published);
    }
    if version == record.origin.version {
        return Ok(record.origin);
    }
    Ok(tree_of(blob, record.origin.geometry, &log_entry(kv, blob, version)?))
}

/// The published versions whose nodes are there.
pub(crate) fn published_versions(kv: &dyn Kv, blob: BlobId) -> Result<BTreeSet<BlobVersion>, KvError> {
    let (from, to) = table::published_of(blob);
    let mut found = BTreeSet::new();
    kv.scan(&from, &to, Order::Ascending, &mut |key, _| {
        found.extend(table::parse_published(key));
        true
    })?;
    Ok(found)
}

/// A published version of a blob; `None` for the newest.
///
/// # Errors
/// `NotFound`.
pub fn tree(kv: &dyn Kv, blob: BlobId, version: Option<BlobVersion>) -> Result<Tree, Failure> {
    let record = blob_record(kv, blob)?;
    let version = version.unwrap_or(record.published.version);
    if version > record.published.version {
        let newest = record.published.version;
        return Err(Failure::refuse(ErrorKind::NotFound, format!("{blob} {version} is not published; {newest} is the newest")));
    }
    Ok(tree_at(kv, blob, &record, version)?)
}

/// A version that waits for its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The blob.
    pub blob: BlobId,
    /// The version.
    pub version: BlobVersion,
    /// Whether it keeps committed versions from being published.
    pub blocks_others: bool,
}

/// Calls `visit` for each version that is assigned and not committed, in order of blobs and versions, until it says `false`.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn waiting(kv: &dyn Kv, visit: &mut dyn FnMut(Waiting) -> bool) -> Result<(), KvError> {
    let (from, to) = table::tickets();
    let (mut blocked, mut failed) = (None, None);
    // Descending: the committed ones of a blob are met before those they wait for.
    let mut found: Vec<Waiting> = Vec::new();
    kv.scan(&from, &to, Order::Descending, &mut |key, value| {
        match table::parse_ticket(key).zip(table::parse::<TicketRecord>(key, value).map_err(|error| failed = Some(error)).ok()) {
            Some(((blob, _), ticket)) if ticket.committed => blocked = Some(blob),
            Some(((blob, version), _)) => found.push(Waiting { blob, version, blocks_others: blocked == Some(blob) }),
            None => return false,
        }
        true
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let _ = found.into_iter().rev().all(visit);
    Ok(())
}

/// The volume goes: what is in flight is dropped, and every blob is left to be collected.
pub(crate) fn abandon(kv: &mut dyn Kv, volume: VolumeId) -> Result<(), KvError> {
    let (from, to) = table::blobs_of(volume);
    for (key, record) in table::collect::<BlobRecord>(kv, &from, &to)? {
        let Some(number) = table::parse_blob(&key) else { continue };
        let (blob, inode) = (BlobId { volume, number }, record.inode);
        drop_in_flight(kv, blob, record)?;
        garbage::mark(kv, blob, inode)?;
    }
    Ok(())
}

/// Drops what is in flight. The blob must be nobody's content any more: its next version would be another one of the same number.
pub(crate) fn drop_in_flight(kv: &mut dyn Kv, blob: BlobId, mut record: BlobRecord) -> Result<(), KvError> {
    for version in record.published.version.0 + 1..=record.assigned.0 {
        kv.delete(&table::ticket(blob, BlobVersion(version)))?;
        kv.delete(&table::entry(blob, BlobVersion(version)))?;
    }
    record.dropped = record.assigned;
    record.assigned = record.published.version;
    record.in_flight_bytes = 0;
    table::put(kv, &table::blob(blob), &record)
}
