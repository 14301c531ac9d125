//! Commits: the versions whose nodes are stored are published in order.

use super::record::{BlobRecord, PublishedRecord, TicketRecord, blob_record, log_entry};
use crate::version::core::Effect;
use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError};
use crate::version::namespace::{self, NamespaceError, VolumeTxn};
use crate::version::{table, volumes};
use weft_common::id::{BlobId, BlobVersion, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::weave::{LogEntry, Tree, tree_of};
use weft_common::wire::{BlobReply, ErrorKind};

/// Marks a version as stored and publishes what can be.
///
/// # Errors
/// `NotFound` if it was never assigned; `Busy` if it is committed, and waits for one before it.
pub(crate) fn commit(
    kv: &mut dyn Kv,
    now: Timestamp,
    (blob, version): (BlobId, BlobVersion),
    effects: &mut Vec<Effect>,
) -> Result<BlobReply, Failure> {
    volumes::settings(kv, blob.volume)?;
    let mut record = blob_record(kv, blob)?;
    if version.0 == 0 || version > record.assigned {
        return Err(Failure::refuse(ErrorKind::NotFound, format!("{blob} has no {version}; {} is the newest", record.assigned)));
    }
    if version > record.published.version {
        mark(kv, blob, version)?;
        publish_prefix(kv, now, blob, &mut record, effects)?;
    }
    if version <= record.published.version {
        return published_reply(kv, blob, version);
    }
    let message = format!("{blob} {version} is committed and waits for {}", BlobVersion(record.published.version.0 + 1));
    Err(Failure::refuse(ErrorKind::Busy, message))
}

/// The answer to the commit of a published version.
///
/// # Errors
/// `NotFound` if it is not published.
pub(crate) fn published_reply(kv: &dyn Kv, blob: BlobId, version: BlobVersion) -> Result<BlobReply, Failure> {
    let Some(published) = table::get::<PublishedRecord>(kv, &table::published(blob, version))? else {
        return Err(Failure::refuse(ErrorKind::NotFound, format!("{blob} {version} is not published")));
    };
    let attributes = namespace::head_attributes(kv, blob.volume, published.inode)?;
    let version = match published.became {
        Some(version) => version,
        None => namespace::latest(kv, blob.volume)?,
    };
    Ok(BlobReply::Published { version, attributes })
}

fn mark(kv: &mut dyn Kv, blob: BlobId, version: BlobVersion) -> Result<(), KvError> {
    let mut ticket = in_flight(kv, blob, version)?;
    if ticket.committed {
        return Ok(());
    }
    ticket.committed = true;
    table::put(kv, &table::ticket(blob, version), &ticket)
}

fn in_flight(kv: &dyn Kv, blob: BlobId, version: BlobVersion) -> Result<TicketRecord, KvError> {
    table::get(kv, &table::ticket(blob, version))?.ok_or_else(|| KvError(format!("the ticket of {blob} {version} is missing")))
}

/// Publishes the committed versions behind the newest published one, up to the first that is not committed (I3).
fn publish_prefix(
    kv: &mut dyn Kv,
    now: Timestamp,
    blob: BlobId,
    record: &mut BlobRecord,
    effects: &mut Vec<Effect>,
) -> Result<(), KvError> {
    while record.published.version < record.assigned {
        let version = BlobVersion(record.published.version.0 + 1);
        let ticket = in_flight(kv, blob, version)?;
        if !ticket.committed {
            break;
        }
        let entry = log_entry(kv, blob, version)?;
        let tree = tree_of(blob, record.origin.geometry, &entry);
        let became = show(kv, now, &ticket, &entry, &tree, effects)?;
        table::put(kv, &table::published(blob, version), &PublishedRecord { inode: ticket.inode, became })?;
        kv.delete(&table::ticket(blob, version))?;
        record.published = tree;
        record.in_flight_bytes = record.in_flight_bytes.saturating_sub(ticket.entry_bytes);
        effects.push(Effect::Published { blob, version, became });
    }
    table::put(kv, &table::blob(blob), record)
}

/// Makes a version the file's content. `None` when it takes no N.
fn show(
    kv: &mut dyn Kv,
    now: Timestamp,
    ticket: &TicketRecord,
    entry: &LogEntry,
    tree: &Tree,
    effects: &mut Vec<Effect>,
) -> Result<Option<VolumeVersion>, KvError> {
    let volume = tree.blob.volume;
    let shown = VolumeTxn::open(kv, volume, now, &ticket.author).and_then(|mut txn| {
        let became = if ticket.compaction {
            namespace::replace_tree(&mut txn, ticket.inode, tree, ticket.stored_bytes).map(|()| None)
        } else {
            namespace::publish_content(&mut txn, ticket.inode, tree, ticket.modified, ticket.stored_bytes)
        }?;
        let (_, touched) = txn.finish()?;
        effects.extend(touched.into_iter().map(|directory| Effect::Touched { volume, directory }));
        Ok(became)
    });
    match shown {
        Ok(became) => Ok(became),
        Err(NamespaceError::Kv(error)) => Err(error),
        // The ticket was given for a file, and an inode stays what it is: a refusal means that it is gone. The blob's log goes on.
        Err(NamespaceError::Service(_)) => {
            debug_assert!(entry.version == tree.version);
            Ok(None)
        }
    }
}
