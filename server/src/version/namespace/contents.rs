//! Every content that files have and had: the rows of now, then those of the past.

use super::intervals::try_scan;
use super::keys::{self, INODES, INODES_PAST, Key};
use super::policies::{Policies, Start};
use super::ranges::{Left, Ranges};
use super::records::{InodeRecord, from_dated_row};
use super::{NamespaceError, txn};
use crate::version::audit;
use crate::version::kv::Kv;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::wire::{ContentRow, Cursor, PolicySpan, VersionRange};

/// Rows that are looked at for one answer, whatever they are.
const ROWS_PER_ANSWER: usize = 4096;

/// At most `limit` contents of files behind `after`, and where to go on.
///
/// # Errors
/// `NotFound` if there is no such volume.
pub fn contents(
    kv: &dyn Kv,
    volume: VolumeId,
    after: &Cursor,
    limit: usize,
) -> Result<(Vec<ContentRow>, Option<Cursor>), NamespaceError> {
    let (mut found, mut seen, mut last) = (Vec::new(), 0, None);
    let latest = txn::load(kv, volume)?.latest;
    let policies = Policies::load(kv, volume)?;
    for table in [INODES, INODES_PAST] {
        let all = Key::new(table, volume);
        let end = all.end();
        if after[..] >= end[..] {
            continue;
        }
        let from = if after[..] > all[..] { [&after[..], &[0]].concat() } else { all.to_vec() };
        let mut rows = Vec::new();
        try_scan(kv, &from, &end, &mut |key, row| {
            let record = from_dated_row::<InodeRecord>(row)?;
            seen += 1;
            last = Some(key.to_vec());
            let to = if table == INODES_PAST { keys::last_version(key) } else { None };
            if let (Some(tree), Some(inode)) = (record.value.tree(), inode_of(key, all.len())) {
                // A file that is open and has no name is shown by no version.
                let is_named = record.value.links > 0;
                let shown_at = Some(latest).filter(|_| is_named);
                let row = ContentRow { inode, from: record.from, to, tree: *tree, shown_at, policies: Vec::new(), problem: None };
                rows.push((row, Start::of(inode, &record.value)));
            }
            Ok(found.len() + rows.len() < limit && seen < ROWS_PER_ANSWER)
        })?;
        for (mut row, start) in rows {
            if let Some(to) = row.to {
                let versions = VersionRange { first: row.from, last: VolumeVersion(to.0.saturating_sub(1)) };
                row.shown_at = newest_kept(kv, volume, &policies, &start, versions)?;
                policies.above(kv, volume, &start, versions, &mut |directory, versions| {
                    row.policies.push(PolicySpan { directory, versions });
                    Ok(true)
                })?;
            }
            row.problem = if row.shown_at.is_some() { audit::contradiction(kv, &row.tree)? } else { None };
            found.push(row);
        }
        if found.len() >= limit || seen >= ROWS_PER_ANSWER {
            return Ok((found, last));
        }
    }
    Ok((found, None))
}

/// The newest of `versions` that is kept by the volume, or by a directory with a policy that the content lay in.
fn newest_kept(
    kv: &dyn Kv,
    volume: VolumeId,
    policies: &Policies,
    start: &Start,
    versions: VersionRange,
) -> Result<Option<VolumeVersion>, NamespaceError> {
    let of_volume = Ranges::new(volume, ROOT_INODE).newest(kv, versions.last, Left::Kept)?;
    let of_volume = Some(of_volume).filter(|newest| *start != Start::Nowhere && *newest >= versions.first);
    Ok(of_volume.max(policies.newest(kv, volume, start, versions, Left::Kept)?))
}

fn inode_of(key: &[u8], at: usize) -> Option<InodeNumber> {
    key.get(at..)?.first_chunk::<8>().map(|bytes| InodeNumber(u64::from_be_bytes(*bytes)))
}
