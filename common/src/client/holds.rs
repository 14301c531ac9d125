//! What a client uses of the past, so that its session can say so with every renewal and nothing of it is collected meanwhile.
//!
//! Between the version manager's answer and the moment at which what it named is held, nobody but the operation under way knows
//! of it. So operations that find something and then hold it mark themselves as an [`InUse`]; each remembers the epoch that the
//! client had heard of when it began, and the client *knows* through the oldest of these: what was let go of until then and
//! is not listed is used no more.

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

/// Somebody who uses things of the past.
pub trait Holder: Send + Sync {
    /// All that is in use at the moment.
    fn held(&self) -> Vec<Held>;

    /// These versions, which it holds, are not kept any more: what it holds for later only is to be let go of.
    fn let_go(&self, _versions: &[(VolumeId, VolumeVersion)]) {}
}

impl<F: Fn() -> Vec<Held> + Send + Sync> Holder for F {
    fn held(&self) -> Vec<Held> {
        self()
    }
}

/// Everything that is held, and how often.
#[derive(Default)]
pub(crate) struct HoldBook {
    held: Mutex<BTreeMap<Held, usize>>,
    holders: Mutex<Vec<Arc<dyn Holder>>>,
    uses: Mutex<Uses>,
}

/// Operations under way.
#[derive(Debug, Default)]
struct Uses {
    /// The newest epoch that the version manager told of.
    heard: u64,
    /// How many began when which epoch was the newest.
    under_way: BTreeMap<u64, usize>,
}

/// An operation that may come to use something of the past; it lasts until this is dropped.
#[derive(Debug)]
pub struct InUse {
    book: Arc<HoldBook>,
    since: u64,
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

    /// Asks `holder` too from now on, at every renewal.
    pub(crate) fn ask(&self, holder: Arc<dyn Holder>) {
        lock(&self.holders).push(holder);
    }

    /// An operation begins.
    pub(crate) fn begin(self: &Arc<Self>) -> InUse {
        let mut uses = lock(&self.uses);
        let since = uses.heard;
        *uses.under_way.entry(since).or_default() += 1;
        InUse { book: Arc::clone(self), since }
    }

    /// The version manager answered a renewal in `epoch`.
    pub(crate) fn hear(&self, epoch: u64) {
        lock(&self.uses).heard = epoch;
    }

    /// These held versions are not kept any more.
    pub(crate) fn let_go(&self, versions: &[(VolumeId, VolumeVersion)]) {
        let holders = lock(&self.holders).clone();
        holders.iter().for_each(|holder| holder.let_go(versions));
    }

    /// What to tell the version manager: the epoch through which this client knows, and what it holds.
    pub(crate) fn report(&self) -> (u64, Holds) {
        // In this order: an operation that ends meanwhile has taken hold of what it found.
        let uses = lock(&self.uses);
        let knows = uses.under_way.keys().next().copied().unwrap_or(u64::MAX).min(uses.heard);
        drop(uses);
        (knows, self.list())
    }

    fn list(&self) -> Holds {
        let holders = lock(&self.holders).clone();
        let mut held: BTreeSet<Held> = holders.iter().flat_map(|holder| holder.held()).collect();
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

impl Drop for InUse {
    fn drop(&mut self) {
        release(&mut lock(&self.book.uses).under_way, &self.since);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        release(&mut lock(&self.book.held), &self.what);
    }
}

/// One less of `key`.
fn release<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_knows_through_what_it_had_heard_before_its_oldest_operation() {
        let book = Arc::new(HoldBook::default());
        let knows = |book: &HoldBook| book.report().0;
        assert_eq!(knows(&book), 0);
        book.hear(5);
        assert_eq!(knows(&book), 5);
        let first = book.begin();
        book.hear(9);
        let (second, third) = (book.begin(), book.begin());
        book.hear(12);
        assert_eq!(knows(&book), 5, "what the first found when 5 was the newest may not be held yet");
        drop(first);
        assert_eq!(knows(&book), 9);
        drop(second);
        assert_eq!(knows(&book), 9);
        drop(third);
        assert_eq!(knows(&book), 12);
    }

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
