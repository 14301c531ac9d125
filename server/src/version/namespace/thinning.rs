//! Which versions are kept, and what happens to those that are not.
//!
//! A version is *kept* until it is *thinned*: it is not listed and not found any more, but everything that it shows is still there for
//! those who were reading it. Once nobody can be (the service knows: see [`super::super::garbage`]) it is *purged*: past rows that held
//! during purged versions only are deleted, and files whose past states went are marked for collection. A row that held during
//! a kept version too stays as it is, so every kept version still shows the whole tree.
//!
//! Ranges of thinned versions are rows under their last version; purged neighbours are one row. Change records stay for ever: who
//! made what is worth more than the few bytes that it takes.

use super::intervals::try_scan;
use super::keys::{self, CHANGES, DIRECTORY_CHANGES, ENTRIES_PAST, INODES_PAST, Key, POLICY, PURGE, TAGS, THINNED, XATTRS_PAST};
use super::records::{InodeRecord, TagRecord, from_dated_row, from_row, row_from, to_row};
use super::txn::VolumeTxn;
use super::{NamespaceError, refuse};
use crate::version::garbage;
use crate::version::kv::{Kv, KvError, Order};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeId, VolumeVersion};
use weft_common::limits::ROWS_PER_PURGE;
use weft_common::retention::Retention;
use weft_common::time::Timestamp;
use weft_common::wire::{ChangeRecord, ErrorKind, VersionRange};

/// A range of thinned versions; its last one is in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Thinned {
    first: VolumeVersion,
    /// The epoch in which it was thinned; `None` once it is purged.
    since: Option<u64>,
}

/// How far the clean-up of past rows is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PurgeState {
    /// The key to go on behind; `None` when no pass is under way.
    cursor: Option<Vec<u8>>,
    /// Versions were purged since the pass began: another one is needed.
    again: bool,
    /// The newest epoch in which a version was thinned that is purged by now.
    since: u64,
}

impl PurgeState {
    fn is_idle(&self) -> bool {
        self.cursor.is_none() && !self.again
    }
}

/// Who may still be reading what of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readers {
    /// What was let go of in this epoch or before can be in use by nobody, but for what follows.
    pub through: u64,
    /// Somebody reads more than can be listed.
    pub everything: bool,
    /// Versions that are being read.
    pub versions: Vec<VolumeVersion>,
    /// Contents that are being read.
    pub contents: BTreeSet<(BlobId, BlobVersion)>,
    /// Inodes that are open.
    pub inodes: BTreeSet<InodeNumber>,
}

/// How much history the volume is to keep.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn policy(kv: &dyn Kv, volume: VolumeId) -> Result<Retention, KvError> {
    Ok(kv.get(&Key::new(POLICY, volume))?.map(|row| from_row(&row)).transpose()?.unwrap_or_default())
}

/// Sets how much history the volume is to keep.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn set_policy(kv: &mut dyn Kv, volume: VolumeId, policy: &Retention) -> Result<(), KvError> {
    kv.put(&Key::new(POLICY, volume), &to_row(policy)?)
}

/// The range of thinned versions that `n` lies in.
fn range_of(kv: &dyn Kv, volume: VolumeId, n: VolumeVersion) -> Result<Option<(VolumeVersion, Thinned)>, KvError> {
    let all = Key::new(THINNED, volume);
    let mut found = None;
    try_scan(kv, &all.clone().version(n), &all.end(), &mut |key, row| {
        found = keys::last_version(key).zip(Some(from_row::<Thinned>(row)?));
        Ok(false)
    })?;
    Ok(found.filter(|(_, range)| range.first <= n))
}

/// Whether version `n` is kept.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn is_kept(kv: &dyn Kv, volume: VolumeId, n: VolumeVersion) -> Result<bool, KvError> {
    Ok(range_of(kv, volume, n)?.is_none())
}

/// Whether everything that version `n` shows is still there.
pub(super) fn is_readable(kv: &dyn Kv, volume: VolumeId, n: VolumeVersion) -> Result<bool, KvError> {
    Ok(range_of(kv, volume, n)?.is_none_or(|(_, range)| range.since.is_some()))
}

/// Whether all of `first..=last` is purged.
fn is_purged(kv: &dyn Kv, volume: VolumeId, first: VolumeVersion, last: VolumeVersion) -> Result<bool, KvError> {
    Ok(range_of(kv, volume, last)?.is_some_and(|(_, range)| range.since.is_none() && range.first <= first))
}

/// The newest kept version that is not behind `n`; version 0 if there is none.
pub(super) fn newest_kept(kv: &dyn Kv, volume: VolumeId, mut n: VolumeVersion) -> Result<VolumeVersion, KvError> {
    while let Some((_, range)) = range_of(kv, volume, n)? {
        n = VolumeVersion(range.first.0.saturating_sub(1));
    }
    Ok(n)
}

/// Visits the changes behind `after` that made kept versions, until `visit` says `false`.
pub(super) fn kept_changes(
    kv: &dyn Kv,
    volume: VolumeId,
    after: VolumeVersion,
    visit: &mut dyn FnMut(ChangeRecord) -> bool,
) -> Result<(), KvError> {
    let all = Key::new(CHANGES, volume);
    let mut from = Some(VolumeVersion(after.0.saturating_add(1)));
    while let Some(start) = from.take() {
        try_scan(kv, &all.clone().version(start), &all.end(), &mut |_, row| {
            let change: ChangeRecord = from_row(row)?;
            if let Some((last, _)) = range_of(kv, volume, change.version)? {
                // Jumps over the whole range.
                from = Some(VolumeVersion(last.0.saturating_add(1)));
                return Ok(false);
            }
            Ok(visit(change))
        })?;
    }
    Ok(())
}

/// Kept versions behind `after` and their times, at most `limit`, and whether there are more.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn kept(
    kv: &dyn Kv,
    volume: VolumeId,
    after: VolumeVersion,
    limit: usize,
) -> Result<(Vec<(VolumeVersion, Timestamp)>, bool), KvError> {
    let mut found = Vec::new();
    kept_changes(kv, volume, after, &mut |change| {
        found.push((change.version, change.time));
        found.len() <= limit
    })?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

/// Lets go of the versions in `ranges`, but for the newest and those with a tag. Answers how many were kept until now.
///
/// # Errors
/// `InvalidArgument` if the ranges are not in order.
pub fn thin(txn: &mut VolumeTxn<'_>, ranges: &[VersionRange]) -> Result<u64, NamespaceError> {
    if !ranges.iter().all(|range| range.first <= range.last) || !ranges.windows(2).all(|pair| pair[0].last < pair[1].first) {
        return refuse(ErrorKind::InvalidArgument, "ranges of versions are to be ascending and must not overlap");
    }
    let since = garbage::let_go_now(txn.kv)?;
    let tagged = tagged(&*txn.kv, txn.volume)?;
    let newest = txn.latest();
    let mut count = 0;
    for range in ranges {
        let end = range.last.0.saturating_add(1).min(newest.0);
        let mut first = range.first.0.max(1);
        let tags = tagged.iter().map(|version| version.0).filter(|version| (first..end).contains(version));
        for stays in tags.chain([end]).collect::<Vec<_>>() {
            if first < stays {
                count += thin_range(txn, VolumeVersion(first), VolumeVersion(stays - 1), since)?;
            }
            first = stays + 1;
        }
    }
    Ok(count)
}

/// Thins what is kept of `first..=last`.
fn thin_range(txn: &mut VolumeTxn<'_>, mut first: VolumeVersion, last: VolumeVersion, since: u64) -> Result<u64, KvError> {
    let (kv, volume) = (&mut *txn.kv, txn.volume);
    let mut count = 0;
    while first <= last {
        // Up to the next range that is thinned already.
        let all = Key::new(THINNED, volume);
        let mut next = None;
        try_scan(kv, &all.clone().version(first), &all.end(), &mut |key, row| {
            next = keys::last_version(key).zip(Some(from_row::<Thinned>(row)?));
            Ok(false)
        })?;
        let end = next.map_or(last.0, |(_, range)| last.0.min(range.first.0.saturating_sub(1)));
        if first.0 <= end {
            let row = to_row(&Thinned { first, since: Some(since) })?;
            kv.put(&Key::new(THINNED, volume).version(VolumeVersion(end)), &row)?;
            count += end - first.0 + 1;
        }
        first = VolumeVersion(next.map_or(end, |(other, _)| other.0.max(end)).saturating_add(1));
    }
    Ok(count)
}

fn tagged(kv: &dyn Kv, volume: VolumeId) -> Result<BTreeSet<VolumeVersion>, KvError> {
    let all = Key::new(TAGS, volume);
    let mut found = BTreeSet::new();
    try_scan(kv, &all, &all.end(), &mut |_, row| {
        found.insert(from_row::<TagRecord>(row)?.version);
        Ok(true)
    })?;
    Ok(found)
}

/// Thinned versions that wait to be purged, and whether past rows are being cleaned up.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn waiting(kv: &dyn Kv, volume: VolumeId) -> Result<(u64, bool), KvError> {
    let all = Key::new(THINNED, volume);
    let mut count = 0;
    try_scan(kv, &all, &all.end(), &mut |key, row| {
        let range: Thinned = from_row(row)?;
        if let (Some(last), Some(_)) = (keys::last_version(key), range.since) {
            count += last.0 - range.first.0 + 1;
        }
        Ok(true)
    })?;
    Ok((count, !state(kv, volume)?.is_idle()))
}

fn state(kv: &dyn Kv, volume: VolumeId) -> Result<PurgeState, KvError> {
    Ok(kv.get(&Key::new(PURGE, volume))?.map(|row| from_row(&row)).transpose()?.unwrap_or_default())
}

/// Does a step of the clean-up: purges what no reader can need, and looks at some past rows. Answers whether there is more to do.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn purge(kv: &mut dyn Kv, volume: VolumeId, readers: &Readers) -> Result<bool, KvError> {
    let before = state(kv, volume)?;
    let mut state = before.clone();
    if let Some(since) = purge_versions(kv, volume, readers)? {
        (state.again, state.since) = (true, state.since.max(since));
    }
    if state.cursor.is_none() && state.again {
        (state.cursor, state.again) = (Some(Vec::new()), false);
    }
    if let Some(cursor) = state.cursor.take() {
        state.cursor = purge_rows(kv, volume, &cursor, state.since)?;
    }
    if state != before {
        kv.put(&Key::new(PURGE, volume), &to_row(&state)?)?;
    }
    Ok(!state.is_idle())
}

/// Whether [`purge`] would do anything.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn wants_purge(kv: &dyn Kv, volume: VolumeId, readers: &Readers) -> Result<bool, KvError> {
    Ok(!state(kv, volume)?.is_idle() || !ripe(kv, volume, readers)?.is_empty())
}

/// Thinned ranges that no reader can need, and the epochs in which they were thinned.
fn ripe(kv: &dyn Kv, volume: VolumeId, readers: &Readers) -> Result<Vec<(VersionRange, u64)>, KvError> {
    let all = Key::new(THINNED, volume);
    let mut ripe = Vec::new();
    try_scan(kv, &all, &all.end(), &mut |key, row| {
        let range: Thinned = from_row(row)?;
        let Some(last) = keys::last_version(key) else { return Ok(true) };
        let is_read = readers.versions.iter().any(|n| range.first <= *n && *n <= last);
        let since = range.since.filter(|since| *since <= readers.through && !readers.everything && !is_read);
        ripe.extend(since.map(|since| (VersionRange { first: range.first, last }, since)));
        Ok(ripe.len() < ROWS_PER_PURGE)
    })?;
    Ok(ripe)
}

/// Makes ripe ranges purged ones. Answers the newest epoch in which one of them was thinned.
fn purge_versions(kv: &mut dyn Kv, volume: VolumeId, readers: &Readers) -> Result<Option<u64>, KvError> {
    let ripe = ripe(&*kv, volume, readers)?;
    for (VersionRange { mut first, mut last }, _) in ripe.iter().copied() {
        kv.delete(&Key::new(THINNED, volume).version(last))?;
        if let Some((end, left)) = range_of(kv, volume, VolumeVersion(first.0.saturating_sub(1)))?
            && left.since.is_none()
        {
            kv.delete(&Key::new(THINNED, volume).version(end))?;
            first = left.first;
        }
        if let Some((end, right)) = range_of(kv, volume, VolumeVersion(last.0 + 1))?
            && right.since.is_none()
        {
            kv.delete(&Key::new(THINNED, volume).version(end))?;
            last = end;
        }
        kv.put(&Key::new(THINNED, volume).version(last), &to_row(&Thinned { first, since: None })?)?;
    }
    Ok(ripe.into_iter().map(|(_, since)| since).max())
}

/// Tables with rows of the past, in the order of a pass.
const PAST: [u8; 4] = [ENTRIES_PAST, INODES_PAST, XATTRS_PAST, DIRECTORY_CHANGES];

/// Looks at the past rows behind `cursor` and deletes those of purged versions, all of which were thinned in epoch `since` or
/// before. The new cursor; `None` at the end of the pass.
fn purge_rows(kv: &mut dyn Kv, volume: VolumeId, cursor: &[u8], since: u64) -> Result<Option<Vec<u8>>, KvError> {
    let (mut seen, mut dead) = (0, Vec::new());
    let mut last = None;
    for table in PAST {
        let all = Key::new(table, volume);
        let end = all.end();
        if cursor >= &end[..] {
            continue;
        }
        let from = if cursor > &all[..] { [cursor, &[0]].concat() } else { all.to_vec() };
        let mut rows = Vec::new();
        kv.scan(&from, &end, Order::Ascending, &mut |key, row| {
            rows.push((key.to_vec(), row.to_vec()));
            seen += 1;
            seen < ROWS_PER_PURGE
        })?;
        for (key, row) in rows {
            if is_dead(&*kv, volume, table, &key, &row)? {
                dead.push((key.clone(), row));
            }
            last = Some(key);
        }
        if seen >= ROWS_PER_PURGE {
            break;
        }
    }
    for (key, row) in dead {
        if key.first() == Some(&INODES_PAST) {
            mark(kv, &key, &row, since)?;
        }
        kv.delete(&key)?;
    }
    Ok(last.filter(|_| seen >= ROWS_PER_PURGE))
}

/// Whether a row held during purged versions only.
fn is_dead(kv: &dyn Kv, volume: VolumeId, table: u8, key: &[u8], row: &[u8]) -> Result<bool, KvError> {
    let Some(to) = keys::last_version(key) else { return Ok(false) };
    if table == DIRECTORY_CHANGES {
        return is_purged(kv, volume, to, to);
    }
    is_purged(kv, volume, row_from(row)?, VolumeVersion(to.0.saturating_sub(1)))
}

/// A past state of a file goes: its blob may have a version that nobody needs any more.
fn mark(kv: &mut dyn Kv, key: &[u8], row: &[u8], since: u64) -> Result<(), KvError> {
    let record = from_dated_row::<InodeRecord>(row)?.value;
    let inode = key.len().checked_sub(16).and_then(|at| key[at..].first_chunk::<8>()).map(|bytes| u64::from_be_bytes(*bytes));
    if let (Some(tree), Some(inode)) = (record.tree(), inode) {
        garbage::mark_since(kv, tree.blob, InodeNumber(inode), since)?;
    }
    Ok(())
}
