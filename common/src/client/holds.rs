//! What a client uses of the past, so that its session can say so with every renewal and nothing of it is collected meanwhile.

use super::lock;
use crate::id::{BlobId, BlobVersion, InodeNumber, VolumeId, VolumeVersion};
use crate::limits::HOLDS_MAX;
use crate::wire::Holds;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Something that must not be collected while it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// A volume version that is read.
    Version(VolumeId, VolumeVersion),
    /// A content that is read.
    Content(BlobId, BlobVersion),
    /// An inode that is open.
    Inode(VolumeId, InodeNumber),
}

/// Tells what is in use at the moment it is asked.
pub type HoldSource = Arc<dyn Fn() -> Vec<Held> + Send + Sync>;

/// Everything that is held, and how often.
#[derive(Default)]
pub(crate) struct HoldBook {
    held: Mutex<BTreeMap<Held, usize>>,
    sources: Mutex<Vec<HoldSource>>,
}

impl std::fmt::Debug for HoldBook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HoldBook").field("held", &self.held).finish_non_exhaustive()
    }
}

/// Holds something until it is dropped. What was let go of before the hold began may be gone all the same.
#[derive(Debug)]
pub struct Hold {
    book: Arc<HoldBook>,
    what: Held,
}

impl HoldBook {
    pub(crate) fn hold(self: &Arc<Self>, what: Held) -> Hold {
        *lock(&self.held).entry(what).or_default() += 1;
        Hold { book: Arc::clone(self), what }
    }

    /// Asks `source` too from now on, at every renewal.
    pub(crate) fn ask(&self, source: HoldSource) {
        lock(&self.sources).push(source);
    }

    /// What to tell the version manager.
    pub(crate) fn list(&self) -> Holds {
        let sources = lock(&self.sources).clone();
        let mut held: BTreeSet<Held> = sources.iter().flat_map(|source| source()).collect();
        held.extend(lock(&self.held).keys());
        let mut holds = Holds { everything: held.len() > HOLDS_MAX, ..Holds::default() };
        if holds.everything {
            return holds;
        }
        for what in held {
            match what {
                Held::Version(volume, version) => holds.versions.push((volume, version)),
                Held::Content(blob, version) => holds.contents.push((blob, version)),
                Held::Inode(volume, inode) => holds.inodes.push((volume, inode)),
            }
        }
        holds
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = lock(&self.book.held);
        if let Some(count) = held.get_mut(&self.what) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_listed_until_its_last_user_goes() {
        let book = Arc::new(HoldBook::default());
        let held = Held::Version(VolumeId(1), VolumeVersion(7));
        let (first, second) = (book.hold(held), book.hold(held));
        let other = book.hold(Held::Inode(VolumeId(1), InodeNumber(9)));
        drop(first);
        assert_eq!(book.list().versions, [(VolumeId(1), VolumeVersion(7))]);
        drop((second, other));
        assert_eq!(book.list(), Holds::default());
        let many: Vec<_> = (0..=HOLDS_MAX as u64).map(|n| book.hold(Held::Inode(VolumeId(1), InodeNumber(n)))).collect();
        assert!(book.list().everything && book.list().inodes.is_empty());
        drop(many);
        assert!(!book.list().everything);
    }
}
