//! What policies keep, as anybody would write it: a set of versions that each has let go of, and trees that are walked.

use super::model::{Model, State};
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use weft_common::id::ROOT_INODE as ROOT;

/// What each policy has let go of; the root's is the volume's.
#[derive(Debug, Default)]
pub(super) struct Keeping(pub(super) BTreeMap<InodeNumber, BTreeSet<u64>>);

impl State {
    /// Whether one of the inode's names lies in `directory`, or it is the directory.
    pub(super) fn lies_in(&self, inode: InodeNumber, directory: InodeNumber) -> bool {
        let is_there = self.0.contains_key(&inode) && self.0.contains_key(&directory);
        is_there && (inode == directory || self.places(inode).into_iter().any(|(parent, _)| self.lies_in(parent, directory)))
    }
}

impl Keeping {
    fn has(&self, policy: InodeNumber, n: VolumeVersion) -> bool {
        self.0.get(&policy).is_none_or(|gone| !gone.contains(&n.0))
    }

    /// Whether version `n` is kept whole.
    pub(super) fn keeps_all(&self, n: VolumeVersion) -> bool {
        self.has(ROOT, n)
    }

    /// Whether version `n` is kept of `inode` and all below it.
    pub(super) fn keeps(&self, model: &Model, inode: InodeNumber, n: VolumeVersion) -> bool {
        let state = &model.versions[n.0 as usize];
        let in_one = |directory: &&InodeNumber| self.has(**directory, n) && state.lies_in(inode, **directory);
        self.keeps_all(n) || self.0.keys().filter(|directory| **directory != ROOT).any(|directory| in_one(&directory))
    }

    /// Whether any directory keeps one of `versions`.
    pub(super) fn any_keeps(&self, mut versions: std::ops::RangeInclusive<u64>) -> bool {
        versions.any(|n| self.0.keys().any(|directory| *directory != ROOT && self.has(*directory, VolumeVersion(n))))
    }

    /// A directory gets a policy, or loses it.
    pub(super) fn set(&mut self, directory: InodeNumber, has_one: bool) {
        let gone = self.0.get(&ROOT).cloned().unwrap_or_default();
        match has_one {
            true => drop(self.0.entry(directory).or_insert(gone)),
            false => drop(self.0.remove(&directory)),
        }
    }

    /// A policy lets go of versions.
    pub(super) fn thin(&mut self, model: &Model, directory: InodeNumber, range: VersionRange) {
        let tagged: BTreeSet<_> = model.tags.values().map(|version| version.0).collect();
        let goes = |n: &u64| *n > 0 && *n < model.latest().0 && !tagged.contains(n);
        self.0.entry(directory).or_default().extend((range.first.0..=range.last.0).filter(goes));
    }

    /// Directories that were removed have no policy any more.
    pub(super) fn forget_removed(&mut self, model: &Model) {
        let latest = model.versions.last().unwrap();
        self.0.retain(|directory, _| latest.0.contains_key(directory));
    }

    /// The change with a version that is kept of its source.
    pub(super) fn of_what_is_kept(&self, model: &Model, mut change: Change) -> Change {
        match &mut change {
            Change::Restore { source: inode, to: n, .. }
            | Change::Clone { source: inode, at: At::Version(n), .. }
            | Change::ShareContent { source: inode, at: At::Version(n), .. }
                if !self.keeps(model, *inode, *n) =>
            {
                *n = model.latest();
            }
            Change::SetTag { version, .. } if !self.keeps_all(*version) => *version = model.latest(),
            _ => {}
        }
        change
    }
}
