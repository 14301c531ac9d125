//! The versions that one policy has let go of, as ranges. A range is a row under its last version; purged neighbours are one row.

use super::intervals::try_scan;
use super::keys::{self, Key, THINNED};
use super::records::{from_row, to_row};
use crate::version::kv::{Kv, KvError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use weft_common::id::{InodeNumber, VolumeId, VolumeVersion};
use weft_common::wire::VersionRange;

/// A range of thinned versions; its last one is in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Thinned {
    pub(super) first: VolumeVersion,
    /// The epoch in which it was thinned; `None` once it is purged.
    pub(super) since: Option<u64>,
}

/// What is asked of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Those that are not thinned.
    Kept,
    /// Those that are not purged: kept, or thinned a moment ago.
    Readable,
}

/// The ranges that the policy of one directory has let go of. The root's are the volume's.
#[derive(Clone, Debug)]
pub(super) struct Ranges(Key);

impl Ranges {
    pub(super) fn new(volume: VolumeId, directory: InodeNumber) -> Self {
        Self(Key::new(THINNED, volume).inode(directory))
    }

    /// The first range that ends at `n` or behind it.
    fn next(&self, kv: &dyn Kv, n: VolumeVersion) -> Result<Option<(VolumeVersion, Thinned)>, KvError> {
        let mut found = None;
        try_scan(kv, &self.0.clone().version(n), &self.0.end(), &mut |key, row| {
            found = keys::last_version(key).zip(Some(from_row::<Thinned>(row)?));
            Ok(false)
        })?;
        Ok(found)
    }

    /// The range that `n` lies in.
    pub(super) fn of(&self, kv: &dyn Kv, n: VolumeVersion) -> Result<Option<(VolumeVersion, Thinned)>, KvError> {
        Ok(self.next(kv, n)?.filter(|(_, range)| range.first <= n))
    }

    /// Whether `n` is there.
    pub(super) fn is_left(&self, kv: &dyn Kv, n: VolumeVersion, left: Left) -> Result<bool, KvError> {
        Ok(self.of(kv, n)?.is_none_or(|(_, range)| left == Left::Readable && range.since.is_some()))
    }

    /// Whether all of `first..=last` is purged.
    pub(super) fn is_purged(&self, kv: &dyn Kv, first: VolumeVersion, last: VolumeVersion) -> Result<bool, KvError> {
        Ok(self.of(kv, last)?.is_some_and(|(_, range)| range.since.is_none() && range.first <= first))
    }

    /// The newest version that is left and not behind `n`; version 0 if there is none.
    pub(super) fn newest(&self, kv: &dyn Kv, mut n: VolumeVersion, left: Left) -> Result<VolumeVersion, KvError> {
        while let Some((_, range)) = self.of(kv, n)? {
            if left == Left::Readable && range.since.is_some() {
                break;
            }
            n = VolumeVersion(range.first.0.saturating_sub(1));
        }
        Ok(n)
    }

    /// Adds what of `first..=last` is in no range yet. Answers how many versions that were.
    pub(super) fn add(
        &self,
        kv: &mut dyn Kv,
        mut first: VolumeVersion,
        last: VolumeVersion,
        since: Option<u64>,
    ) -> Result<u64, KvError> {
        let mut count = 0;
        while first <= last {
            // Up to the next range that is there already.
            let next = self.next(kv, first)?;
            let end = next.map_or(last.0, |(_, range)| last.0.min(range.first.0.saturating_sub(1)));
            if first.0 <= end {
                self.put(kv, VersionRange { first, last: VolumeVersion(end) }, since)?;
                count += end - first.0 + 1;
            }
            first = VolumeVersion(next.map_or(end, |(other, _)| other.0.max(end)).saturating_add(1));
        }
        Ok(count)
    }

    /// Becomes what `other` is. What was thinned here stays thinned since then, so that its readers are still waited for.
    pub(super) fn adopt(&self, kv: &mut dyn Kv, other: &Self) -> Result<(), KvError> {
        let mine = self.all(kv)?;
        self.forget(kv)?;
        for (last, Thinned { first, since }) in mine {
            let mut from = first;
            while let Some((end, range)) = other.next(kv, from)?.filter(|(_, range)| range.first <= last) {
                self.add(kv, first.max(range.first), last.min(end), since)?;
                from = VolumeVersion(end.0.saturating_add(1));
            }
        }
        for (last, Thinned { first, since }) in other.all(kv)? {
            self.add(kv, first, last, since)?;
        }
        Ok(())
    }

    fn all(&self, kv: &dyn Kv) -> Result<Vec<(VolumeVersion, Thinned)>, KvError> {
        let mut all = Vec::new();
        try_scan(kv, &self.0, &self.0.end(), &mut |key, row| {
            all.extend(keys::last_version(key).zip(Some(from_row::<Thinned>(row)?)));
            Ok(true)
        })?;
        Ok(all)
    }

    /// Makes a range that was thinned in epoch `since` a purged one, but for the versions in `read`.
    pub(super) fn purge(
        &self,
        kv: &mut dyn Kv,
        VersionRange { first, last }: VersionRange,
        since: u64,
        read: &BTreeSet<VolumeVersion>,
    ) -> Result<(), KvError> {
        kv.delete(&self.0.clone().version(last))?;
        for version in read.range(first..=last).copied() {
            self.put(kv, VersionRange { first: version, last: version }, Some(since))?;
        }
        self.add(kv, first, last, None).map(drop)
    }

    /// Forgets all of it.
    pub(super) fn forget(&self, kv: &mut dyn Kv) -> Result<(), KvError> {
        let all = self.all(kv)?;
        all.into_iter().try_for_each(|(last, _)| kv.delete(&self.0.clone().version(last)))
    }

    /// Writes a range, of which nothing is in another one, as one with its purged neighbours if it is purged itself.
    fn put(
        &self,
        kv: &mut dyn Kv,
        VersionRange { mut first, mut last }: VersionRange,
        since: Option<u64>,
    ) -> Result<(), KvError> {
        if since.is_none() {
            if let Some((end, before)) = self.of(kv, VolumeVersion(first.0.saturating_sub(1)))?
                && before.since.is_none()
            {
                kv.delete(&self.0.clone().version(end))?;
                first = before.first;
            }
            if let Some((end, behind)) = self.of(kv, VolumeVersion(last.0.saturating_add(1)))?
                && behind.since.is_none()
            {
                kv.delete(&self.0.clone().version(end))?;
                last = end;
            }
        }
        kv.put(&self.0.clone().version(last), &to_row(&Thinned { first, since })?)
    }
}
