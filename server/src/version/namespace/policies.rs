//! Policies: the volume's, which is its root's, and those of directories.
//!
//! **A directory's policy can only keep more than what is above it keeps.** Version N is kept *in a directory* if the policy of the
//! directory, or of any directory above it, keeps N; what lay above it at N counts, so that a tree that moves takes nothing along and
//! leaves nothing behind. Each policy has its own [`Ranges`] of versions that it has let go of, and what none of those that concern
//! a row keeps is purged. A directory that gets its first policy begins with what the volume has let go of until then.
//!
//! A policy that *ends* (it is taken back, or its directory is removed) lets go of everything at once. Until nobody reads any of
//! that its row stays.
//!
//! Where directories lay is a history of its own, [`PARENTS`]: their inodes' rows tell it too, but change with every name in them.

use super::intervals::{History, try_scan};
use super::keys::{self, Key, POLICY};
use super::ranges::{Left, Ranges};
use super::records::{InodeRecord, from_row, to_row};
use super::view::{INODES, View};
use super::{NamespaceError, refuse};
use crate::version::garbage;
use crate::version::kv::{Kv, KvError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::limits::POLICY_DIRECTORIES_MAX;
use weft_common::retention::Retention;
use weft_common::wire::{At, ErrorKind, VersionRange};

/// The directory that a directory lies in.
pub(super) const PARENTS: History<InodeNumber> = History::new(keys::PARENTS, keys::PARENTS_PAST);

/// The policy of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PolicyRecord {
    pub(super) policy: Retention,
    /// The newest version when it ended: it keeps nothing any more.
    pub(super) ended: Option<VolumeVersion>,
}

fn record(kv: &dyn Kv, volume: VolumeId, directory: InodeNumber) -> Result<Option<PolicyRecord>, KvError> {
    kv.get(&Key::new(POLICY, volume).inode(directory))?.map(|row| from_row(&row)).transpose()
}

fn put(kv: &mut dyn Kv, volume: VolumeId, directory: InodeNumber, record: PolicyRecord) -> Result<(), KvError> {
    kv.put(&Key::new(POLICY, volume).inode(directory), &to_row(&record)?)
}

/// How much history the volume is to keep, and then the directories with a policy of their own and how much these are to keep.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn policies(kv: &dyn Kv, volume: VolumeId) -> Result<Vec<(InodeNumber, Retention)>, KvError> {
    let mut found = vec![(ROOT_INODE, record(kv, volume, ROOT_INODE)?.unwrap_or_default().policy)];
    let all = Key::new(POLICY, volume);
    try_scan(kv, &all.clone().inode(ROOT_INODE).end(), &all.end(), &mut |key, row| {
        let PolicyRecord { policy, ended } = from_row(row)?;
        found.extend(keys::last_number(key).filter(|_| ended.is_none()).map(|directory| (InodeNumber(directory), policy)));
        Ok(true)
    })?;
    Ok(found)
}

/// Whether the directory, or the volume as its root, has a policy.
pub(super) fn has_policy(kv: &dyn Kv, volume: VolumeId, directory: InodeNumber) -> Result<bool, KvError> {
    Ok(directory == ROOT_INODE || record(kv, volume, directory)?.is_some_and(|record| record.ended.is_none()))
}

/// Sets how much history a directory is to keep, the root for the volume; `None` takes the policy of another directory back.
///
/// # Errors
/// `NotDirectory`, `NotFound` or `Stale` if there is no such directory, `QuotaExceeded` if too many have a policy, `InvalidArgument`
/// for a volume without policy.
pub fn set_policy(
    kv: &mut dyn Kv,
    volume: VolumeId,
    directory: InodeNumber,
    policy: Option<Retention>,
) -> Result<(), NamespaceError> {
    let (view, counters) = View::open(kv, volume, At::Head, directory)?;
    view.directory(directory)?;
    let Some(policy) = policy else {
        if directory == ROOT_INODE {
            return refuse(ErrorKind::InvalidArgument, "a volume always has a policy; have it keep everything instead");
        }
        return Ok(end_policy(kv, volume, directory, counters.latest)?);
    };
    if !has_policy(kv, volume, directory)? {
        let all = Policies::load(kv, volume)?;
        if all.0.len() >= POLICY_DIRECTORIES_MAX && !all.0.contains_key(&directory) {
            let message =
                format!("{POLICY_DIRECTORIES_MAX} directories of {volume} have a policy of their own; take some back first");
            return refuse(ErrorKind::QuotaExceeded, message);
        }
        Ranges::new(volume, directory).adopt(kv, &Ranges::new(volume, ROOT_INODE))?;
    }
    Ok(put(kv, volume, directory, PolicyRecord { policy, ended: None })?)
}

/// The directory's policy, if it has one, keeps nothing any more from version `n` on.
pub(super) fn end_policy(kv: &mut dyn Kv, volume: VolumeId, directory: InodeNumber, n: VolumeVersion) -> Result<(), KvError> {
    let Some(record) = record(kv, volume, directory)?.filter(|record| record.ended.is_none()) else { return Ok(()) };
    let since = garbage::let_go_now(kv)?;
    Ranges::new(volume, directory).add(kv, VolumeVersion(1), n, Some(since))?;
    put(kv, volume, directory, PolicyRecord { ended: Some(n), ..record })
}

/// Forgets policies that ended and of which nothing is left. Answers whether there were any.
pub(super) fn forget_ended(kv: &mut dyn Kv, volume: VolumeId) -> Result<bool, KvError> {
    let mut any = false;
    for (directory, ended) in Policies::load(kv, volume)?.0 {
        let ranges = Ranges::new(volume, directory);
        if let Some(n) = ended
            && ranges.is_purged(kv, VolumeVersion(1), n)?
        {
            ranges.forget(kv)?;
            kv.delete(&Key::new(POLICY, volume).inode(directory))?;
            any = true;
        }
    }
    Ok(any)
}

/// Whether version `n` is kept in `directory`.
pub(super) fn is_kept(kv: &dyn Kv, volume: VolumeId, directory: InodeNumber, n: VolumeVersion) -> Result<bool, KvError> {
    Ok(Ranges::new(volume, ROOT_INODE).is_left(kv, n, Left::Kept)?
        || Policies::load(kv, volume)?.keep(kv, volume, directory, n)?)
}

/// The newest version that is kept in `directory` and not behind `n`; version 0 if there is none.
pub(super) fn newest_kept(
    kv: &dyn Kv,
    volume: VolumeId,
    directory: InodeNumber,
    n: VolumeVersion,
) -> Result<VolumeVersion, KvError> {
    let of_volume = Ranges::new(volume, ROOT_INODE).newest(kv, n, Left::Kept)?;
    let behind = VersionRange { first: VolumeVersion(of_volume.0 + 1), last: n };
    if of_volume == n {
        return Ok(n);
    }
    let more = Policies::load(kv, volume)?.newest(kv, volume, &Start::Directory(directory), behind, Left::Kept)?;
    Ok(more.unwrap_or(of_volume))
}

fn whole(n: VolumeVersion) -> VersionRange {
    VersionRange { first: n, last: n }
}

/// Where to begin to look for what lies above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With this directory.
    Directory(InodeNumber),
    /// It is a file with several names, and no row says where they all were then: every policy counts as one above it.
    Anywhere,
    /// Nothing: the inode had no name.
    Nowhere,
}

impl Start {
    /// For an inode in one of its states.
    pub(super) fn of(inode: InodeNumber, record: &InodeRecord) -> Self {
        match &record.place {
            _ if record.is_directory() => Self::Directory(inode),
            Some(_) if record.links > 1 => Self::Anywhere,
            Some(place) => Self::Directory(place.directory),
            None => Self::Nowhere,
        }
    }
}

/// The directories with a policy of their own, and which of these policies have ended. The root is not among them.
#[derive(Debug)]
pub(super) struct Policies(BTreeMap<InodeNumber, Option<VolumeVersion>>);

impl Policies {
    pub(super) fn load(kv: &dyn Kv, volume: VolumeId) -> Result<Self, KvError> {
        let mut found = BTreeMap::new();
        let all = Key::new(POLICY, volume);
        try_scan(kv, &all.clone().inode(ROOT_INODE).end(), &all.end(), &mut |key, row| {
            let ended = from_row::<PolicyRecord>(row)?.ended;
            found.extend(keys::last_number(key).map(|directory| (InodeNumber(directory), ended)));
            Ok(true)
        })?;
        Ok(Self(found))
    }

    /// Whether the directory has one, or had one that somebody may still be reading by.
    pub(super) fn has(&self, directory: InodeNumber) -> bool {
        self.0.contains_key(&directory)
    }

    /// The newest of `versions` that a directory's own policy leaves.
    fn newest_of(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        directory: InodeNumber,
        versions: VersionRange,
        left: Left,
    ) -> Result<Option<VolumeVersion>, KvError> {
        let last = match self.0.get(&directory) {
            None => return Ok(None),
            Some(Some(_)) if left == Left::Kept => return Ok(None),
            Some(ended) => ended.map_or(versions.last, |ended| versions.last.min(ended)),
        };
        let newest = Ranges::new(volume, directory).newest(kv, last, left)?;
        Ok(Some(newest).filter(|newest| *newest >= versions.first))
    }

    /// Whether version `n` is kept in `directory` by its policy or one above it, the volume's left aside.
    pub(super) fn keep(&self, kv: &dyn Kv, volume: VolumeId, directory: InodeNumber, n: VolumeVersion) -> Result<bool, KvError> {
        Ok(self.newest(kv, volume, &Start::Directory(directory), whole(n), Left::Kept)?.is_some())
    }

    /// The newest of `versions` that a policy at or above `start` leaves.
    pub(super) fn newest(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        start: &Start,
        versions: VersionRange,
        left: Left,
    ) -> Result<Option<VolumeVersion>, KvError> {
        let mut best = None;
        self.above(kv, volume, start, versions, &mut |directory, versions| {
            best = best.max(self.newest_of(kv, volume, directory, versions, left)?);
            Ok(best != Some(versions.last))
        })?;
        Ok(best)
    }

    /// Whether a directory's policy, at or above where the inode was, leaves one of `versions`.
    pub(super) fn leave_inode(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        inode: InodeNumber,
        versions: VersionRange,
        left: Left,
    ) -> Result<bool, KvError> {
        let mut is_left = false;
        if self.0.is_empty() {
            return Ok(false);
        }
        INODES.intervals(kv, volume, &keys::of_inode(inode), versions.first, &mut |state| {
            if state.from > versions.last {
                return Ok(false);
            }
            let start = Start::of(inode, &state.value);
            // Where a directory lay is known for all the time.
            let is_directory = state.value.is_directory();
            let then = if is_directory { versions } else { clip(versions, state.from, state.to) };
            is_left = self.newest(kv, volume, &start, then, left)?.is_some();
            Ok(!is_left && !is_directory)
        })?;
        Ok(is_left)
    }

    /// Whether any policy of a directory leaves version `n`.
    pub(super) fn leave(&self, kv: &dyn Kv, volume: VolumeId, n: VolumeVersion, left: Left) -> Result<bool, KvError> {
        Ok(self.newest(kv, volume, &Start::Anywhere, whole(n), left)?.is_some())
    }

    /// Visits the directories with a policy at and above `start`, and during which of `versions` they were there, until `visit`
    /// says `false` of one: nothing above it is visited for the same versions then.
    pub(super) fn above(
        &self,
        kv: &dyn Kv,
        volume: VolumeId,
        start: &Start,
        versions: VersionRange,
        visit: &mut dyn FnMut(InodeNumber, VersionRange) -> Result<bool, KvError>,
    ) -> Result<(), KvError> {
        let mut pieces = match start {
            Start::Directory(directory) if !self.0.is_empty() => vec![(*directory, versions)],
            Start::Anywhere => return self.0.keys().try_for_each(|directory| visit(*directory, versions).map(drop)),
            _ => Vec::new(),
        };
        while let Some((directory, versions)) = pieces.pop() {
            let has_policy = self.has(directory);
            PARENTS.intervals(kv, volume, &keys::of_inode(directory), versions.first, &mut |place| {
                if place.from > versions.last {
                    return Ok(false);
                }
                let then = clip(versions, place.from, place.to);
                if (!has_policy || visit(directory, then)?) && place.value != ROOT_INODE {
                    pieces.push((place.value, then));
                }
                Ok(true)
            })?;
        }
        Ok(())
    }
}

/// What of `versions` lies in `[from, to)`.
fn clip(versions: VersionRange, from: VolumeVersion, to: Option<VolumeVersion>) -> VersionRange {
    let last = to.map_or(versions.last, |to| versions.last.min(VolumeVersion(to.0.saturating_sub(1))));
    VersionRange { first: versions.first.max(from), last }
}
