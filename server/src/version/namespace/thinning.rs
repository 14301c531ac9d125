//! Which versions are kept, and what happens to those that are not.
//!
//! A version is *kept* until it is *thinned*: it is not listed and not found any more, but everything that it shows is still there for
//! those who were reading it. Once nobody can be (the service knows: see [`super::super::garbage`]) it is *purged*: past rows that held
//! during purged versions only are deleted, and files whose past states went are marked for collection. A row that held during
//! a kept version too stays as it is, so every kept version still shows the whole tree.
//!
//! All that is said of the volume's policy, and likewise of each directory that has one ([`super::policies`]): a row goes when its
//! versions are purged by the volume, and by every directory with a policy that it lay in meanwhile.
//!
//! Change records stay for ever: who made what is worth more than the few bytes that it takes.

use super::intervals::try_scan;
use super::keys::{
    self, CHANGES, DIRECTORY_CHANGES, ENTRIES_PAST, INODES_PAST, Key, PARENTS_PAST, PURGE, TAGS, THINNED, XATTRS_PAST,
};
use super::policies::{self, Policies, Start};
use super::ranges::{Left, Ranges, Thinned};
use super::records::{InodeRecord, TagRecord, from_dated_row, from_row, row_from, to_row};
use super::txn::VolumeTxn;
use super::{NamespaceError, refuse};
use crate::version::garbage;
use crate::version::kv::{Kv, KvError, Order};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::limits::ROWS_PER_PURGE;
use weft_common::time::Timestamp;
use weft_common::wire::{ChangeRecord, ErrorKind, VersionRange};

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

/// Whether the volume's policy keeps version `n`.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn is_kept(kv: &dyn Kv, volume: VolumeId, n: VolumeVersion) -> Result<bool, KvError> {
    Ranges::new(volume, ROOT_INODE).is_left(kv, n, Left::Kept)
}

/// Visits the changes behind `after` that made versions which the policy of `directory` keeps, the root's for the volume's, until
/// `visit` says `false`.
pub(super) fn kept_changes(
    kv: &dyn Kv,
    volume: VolumeId,
    directory: InodeNumber,
    after: VolumeVersion,
    visit: &mut dyn FnMut(ChangeRecord) -> bool,
) -> Result<(), KvError> {
    let (all, ranges) = (Key::new(CHANGES, volume), Ranges::new(volume, directory));
    let mut from = Some(VolumeVersion(after.0.saturating_add(1)));
    while let Some(start) = from.take() {
        try_scan(kv, &all.clone().version(start), &all.end(), &mut |_, row| {
            let change: ChangeRecord = from_row(row)?;
            if let Some((last, _)) = ranges.of(kv, change.version)? {
                // Jumps over the whole range.
                from = Some(VolumeVersion(last.0.saturating_add(1)));
                return Ok(false);
            }
            Ok(visit(change))
        })?;
    }
    Ok(())
}

/// Versions behind `after` that the policy of `directory` keeps, and their times, at most `limit`, and whether there are more.
///
/// # Errors
/// `NotFound` if the directory has no policy.
pub fn kept(
    kv: &dyn Kv,
    volume: VolumeId,
    directory: InodeNumber,
    after: VolumeVersion,
    limit: usize,
) -> Result<(Vec<(VolumeVersion, Timestamp)>, bool), NamespaceError> {
    check_policy(kv, volume, directory)?;
    let mut found = Vec::new();
    kept_changes(kv, volume, directory, after, &mut |change| {
        found.push((change.version, change.time));
        found.len() <= limit
    })?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

fn check_policy(kv: &dyn Kv, volume: VolumeId, directory: InodeNumber) -> Result<(), NamespaceError> {
    if policies::has_policy(kv, volume, directory)? {
        return Ok(());
    }
    refuse(ErrorKind::NotFound, format!("directory {directory} of {volume} has no policy of its own, or is gone"))
}

/// The policy of `directory`, the root's for the volume's, lets go of the versions in `ranges`, but for the newest and those with a
/// tag. Answers how many it kept until now.
///
/// # Errors
/// `InvalidArgument` if the ranges are not in order, `NotFound` if the directory has no policy.
pub fn thin(txn: &mut VolumeTxn<'_>, directory: InodeNumber, ranges: &[VersionRange]) -> Result<u64, NamespaceError> {
    if !ranges.iter().all(|range| range.first <= range.last) || !ranges.windows(2).all(|pair| pair[0].last < pair[1].first) {
        return refuse(ErrorKind::InvalidArgument, "ranges of versions are to be ascending and must not overlap");
    }
    check_policy(&*txn.kv, txn.volume, directory)?;
    let since = Some(garbage::let_go_now(txn.kv)?);
    let thinned = Ranges::new(txn.volume, directory);
    let tagged = tagged(&*txn.kv, txn.volume)?;
    let newest = txn.latest();
    let mut count = 0;
    for range in ranges {
        let end = range.last.0.saturating_add(1).min(newest.0);
        let mut first = range.first.0.max(1);
        let tags = tagged.iter().map(|version| version.0).filter(|version| (first..end).contains(version));
        for stays in tags.chain([end]).collect::<Vec<_>>() {
            if first < stays {
                count += thinned.add(txn.kv, VolumeVersion(first), VolumeVersion(stays - 1), since)?;
            }
            first = stays + 1;
        }
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
        policies::forget_ended(kv, volume)?;
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

/// A range of which a policy let go, with something in it that no reader can need.
#[derive(Clone, Copy, Debug)]
struct Ripe {
    directory: InodeNumber,
    range: VersionRange,
    /// The epoch in which it was thinned.
    since: u64,
}

fn ripe(kv: &dyn Kv, volume: VolumeId, readers: &Readers) -> Result<Vec<Ripe>, KvError> {
    let (all, read) = (Key::new(THINNED, volume), read_versions(readers));
    let mut ripe = Vec::new();
    try_scan(kv, &all, &all.end(), &mut |key, row| {
        let Thinned { first, since } = from_row(row)?;
        let (Some(directory), Some(last)) = (inode_of(key), keys::last_version(key)) else { return Ok(true) };
        let range = VersionRange { first, last };
        let is_all_read = read.range(first..=last).count() as u64 == range.count();
        let since = since.filter(|since| *since <= readers.through && !readers.everything && !is_all_read);
        ripe.extend(since.map(|since| Ripe { directory, range, since }));
        Ok(ripe.len() < ROWS_PER_PURGE)
    })?;
    Ok(ripe)
}

fn read_versions(readers: &Readers) -> BTreeSet<VolumeVersion> {
    readers.versions.iter().copied().collect()
}

/// Makes ripe ranges purged ones, but for the versions in them that are read. Answers the newest epoch in which one of them was thinned.
fn purge_versions(kv: &mut dyn Kv, volume: VolumeId, readers: &Readers) -> Result<Option<u64>, KvError> {
    let (ripe, read) = (ripe(&*kv, volume, readers)?, read_versions(readers));
    for Ripe { directory, range, since } in ripe.iter().copied() {
        Ranges::new(volume, directory).purge(kv, range, since, &read)?;
    }
    Ok(ripe.into_iter().map(|ripe| ripe.since).max())
}

/// Tables with rows of the past, in the order of a pass.
const PAST: [u8; 5] = [ENTRIES_PAST, INODES_PAST, XATTRS_PAST, DIRECTORY_CHANGES, PARENTS_PAST];

/// Looks at the past rows behind `cursor` and deletes those of purged versions, all of which were thinned in epoch `since` or
/// before. The new cursor; `None` at the end of the pass.
fn purge_rows(kv: &mut dyn Kv, volume: VolumeId, cursor: &[u8], since: u64) -> Result<Option<Vec<u8>>, KvError> {
    let (mut seen, mut dead) = (0, Vec::new());
    let mut last = None;
    let policies = Policies::load(&*kv, volume)?;
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
            if is_dead(&*kv, volume, &policies, &key, &row)? {
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
fn is_dead(kv: &dyn Kv, volume: VolumeId, policies: &Policies, key: &[u8], row: &[u8]) -> Result<bool, KvError> {
    let (Some(table), Some(inode), Some(to)) = (key.first(), inode_of(key), keys::last_version(key)) else { return Ok(false) };
    let (first, last) = match *table {
        DIRECTORY_CHANGES => (to, to),
        _ => (row_from(row)?, VolumeVersion(to.0.saturating_sub(1))),
    };
    if !Ranges::new(volume, ROOT_INODE).is_purged(kv, first, last)? {
        return Ok(false);
    }
    let versions = VersionRange { first, last };
    let start = match *table {
        XATTRS_PAST => return Ok(!policies.leave_inode(kv, volume, inode, versions, Left::Readable)?),
        INODES_PAST => Start::of(inode, &from_dated_row(row)?.value),
        _ => Start::Directory(inode),
    };
    Ok(policies.newest(kv, volume, &start, versions, Left::Readable)?.is_none())
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

/// The inode that a key begins with, behind table and volume.
fn inode_of(key: &[u8]) -> Option<InodeNumber> {
    keys::first_number(key).map(InodeNumber)
}
