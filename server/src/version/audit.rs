//! What checks and sweeps ask for: every blob with its versions, and every content that a file's history shows, page by page.
//!
//! Nothing is frozen between two pages. Blobs come in order of their numbers, and versions of one in order of theirs, with what is in
//! flight last and in the same answer as the newest published version: whatever is published meanwhile was seen in flight or is seen published.

use crate::version::blobs::{self, BlobRecord};
use crate::version::kv::{Kv, KvError, Order};
use crate::version::{garbage, table};
use weft_common::id::{BlobId, BlobVersion, VolumeId};
use weft_common::limits::TICKET_BYTES_MAX;
use weft_common::weave::Tree;
use weft_common::wire::BlobState;

/// The blobs of a volume behind a number and a version of it: at most `limit` blobs and versions together. Whether there is more.
///
/// # Errors
/// [`KvError`] is fatal.
pub(crate) fn blobs(
    kv: &dyn Kv,
    volume: VolumeId,
    after: (u64, BlobVersion),
    limit: usize,
) -> Result<(Vec<BlobState>, bool), KvError> {
    let (mut records, mut failed) = (Vec::new(), None);
    let (from, to) = (table::blob(BlobId { volume, number: after.0 }), table::blobs_of(volume).1);
    kv.scan(&from, &to, Order::Ascending, &mut |key, value| {
        match (table::parse_blob(key), table::parse::<BlobRecord>(key, value)) {
            (Some(number), Ok(record)) => {
                if number != after.0 || after.1 != BlobVersion(u64::MAX) {
                    records.push((number, record));
                }
            }
            (None, _) => {}
            (_, Err(error)) => failed = Some(error),
        }
        records.len() <= limit && failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let (mut found, mut room, mut bytes_left) = (Vec::new(), limit, TICKET_BYTES_MAX as u64);
    for (number, record) in records {
        let is_next = found.is_empty() || (room > 1 && record.in_flight_bytes <= bytes_left);
        if !is_next {
            return Ok((found, true));
        }
        let first = if number == after.0 { BlobVersion(after.1.0.saturating_add(1)) } else { BlobVersion(0) };
        let state = state(kv, BlobId { volume, number }, &record, first, room.saturating_sub(1).max(1))?;
        room = room.saturating_sub(1 + state.versions.len());
        bytes_left = bytes_left.saturating_sub(record.in_flight_bytes);
        let is_last_part = state.is_last_part;
        found.push(state);
        if !is_last_part {
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

fn state(kv: &dyn Kv, blob: BlobId, record: &BlobRecord, first: BlobVersion, limit: usize) -> Result<BlobState, KvError> {
    let mut there = Vec::new();
    let (from, to) = (table::published(blob, first), table::published_of(blob).1);
    kv.scan(&from, &to, Order::Ascending, &mut |key, _| {
        there.extend(table::parse_published(key));
        there.len() <= limit
    })?;
    let is_last_part = there.len() <= limit;
    there.truncate(limit);
    let versions = there.into_iter().map(|version| blobs::tree_at(kv, blob, record, version)).collect::<Result<_, _>>()?;
    let in_flight = match is_last_part {
        true => blobs::log_entries(kv, blob, record.published.version, BlobVersion(record.assigned.0 + 1))?,
        false => Vec::new(),
    };
    let (settled, offered) = (record.published.version.max(record.dropped), garbage::offered(kv, blob)?);
    Ok(BlobState { number: blob.number, inode: record.inode, settled, offered, versions, in_flight, is_last_part })
}

/// What of the blobs' records contradicts that a file has or had this content.
///
/// # Errors
/// [`KvError`] is fatal.
pub(crate) fn contradiction(kv: &dyn Kv, tree: &Tree) -> Result<Option<String>, KvError> {
    let (blob, version) = (tree.blob, tree.version);
    let Some(record) = table::get::<BlobRecord>(kv, &table::blob(blob))? else {
        // No update of it was ordered yet: it is empty, or as its origin was.
        return match (version.0, tree.root) {
            (0, None) => Ok(None),
            (0, Some(_)) => origin_problem(kv, blob),
            _ => Ok(Some(format!("its content is {blob} {version}, and {blob} has no log"))),
        };
    };
    if version == record.origin.version {
        let is_same = *tree == record.origin;
        let origin = if tree.root.is_some() { origin_problem(kv, blob)? } else { None };
        return Ok(if is_same { origin } else { Some(format!("its content is not what {blob} began with")) });
    }
    if version > record.published.version {
        return Ok(Some(format!(
            "its content is {blob} {version}, and {} is the newest that is published",
            record.published.version
        )));
    }
    if kv.get(&table::published(blob, version))?.is_none() || kv.get(&table::entry(blob, version))?.is_none() {
        return Ok(Some(format!("its content is {blob} {version}, which is not in the log of {blob}")));
    }
    let is_same = blobs::tree_at(kv, blob, &record, version)? == *tree;
    Ok((!is_same).then(|| format!("its content is {blob} {version}, of which the log says otherwise")))
}

/// What is wrong with where a clone began.
fn origin_problem(kv: &dyn Kv, clone: BlobId) -> Result<Option<String>, KvError> {
    let Some((origin, version)) = garbage::origin(kv, clone)? else {
        return Ok(Some(format!("{clone} began as a clone, and nothing keeps its origin")));
    };
    let is_first = match table::get::<BlobRecord>(kv, &table::blob(origin))? {
        Some(record) => version == record.origin.version,
        None => version.0 == 0,
    };
    let is_there = is_first || kv.get(&table::published(origin, version))?.is_some();
    let is_pinned = kv.get(&table::pin(origin, version, clone))?.is_some();
    Ok(match (is_there, is_pinned) {
        (true, true) => None,
        (false, _) => Some(format!("{clone} began with {origin} {version}, which is gone")),
        (true, false) => Some(format!("{clone} began with {origin} {version}, which is not kept for it")),
    })
}
