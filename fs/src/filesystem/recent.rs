//! Attributes that the kernel was told of a moment ago.
//!
//! `open(2)` looks the name up and then opens the inode; the second step need not ask again. It may not rely on an earlier
//! process's look-up either, but with entry lifetime 0 every `open` comes with its own, which has just renewed what is here.
//!
//! Answers overtake one another: between a look-up and its open, another thread may have been told of a newer version, or a late answer
//! may tell of an older one. The kernel keeps one size for an inode whoever asked, so an open has to know that, too.

use quick_cache::sync::Cache;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::wire::Attributes;

use crate::lock;

/// Inodes that are remembered.
const INODES_MAX: usize = 8192;
/// Between the look-up and the open of one `open(2)`. Long for a call, short for what `/proc/self/fd` opens without look-up.
/// Longer than the kernel believes attributes of a file that others change.
const LIFETIME: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
struct Seen {
    when: Instant,
    attributes: Attributes,
    name: Option<FileName>,
    /// When it was last told of a version other than a moment before.
    mixed: Option<Instant>,
}

/// The memory.
#[derive(Debug)]
pub(crate) struct Recent {
    seen: Cache<InodeNumber, Seen>,
    /// Held while what is remembered of an inode is replaced by what follows from it.
    turn: Mutex<()>,
}

impl Recent {
    /// Nothing seen yet.
    pub(crate) fn new() -> Self {
        Self { seen: Cache::new(INODES_MAX), turn: Mutex::default() }
    }

    /// Remembers what the kernel is about to be told, by a look-up of `name` if there is one. An older version than is known stays
    /// forgotten.
    pub(crate) fn put(&self, attributes: &Attributes, name: Option<&FileName>) {
        let _turn = lock(&self.turn);
        let when = Instant::now();
        let mut seen = Seen { when, attributes: attributes.clone(), name: name.cloned(), mixed: None };
        if let Some(before) = self.seen.get(&attributes.inode) {
            let differs = before.attributes.version != attributes.version && before.when.elapsed() < LIFETIME;
            seen.mixed = if differs { Some(when) } else { before.mixed };
            seen.name = seen.name.or(before.name);
            if before.attributes.version > attributes.version {
                seen.attributes = before.attributes;
            }
        }
        self.seen.insert(attributes.inode, seen);
    }

    /// What was answered for `inode` a moment ago.
    pub(crate) fn get(&self, inode: InodeNumber) -> Option<Attributes> {
        self.seen.get(&inode).filter(|seen| seen.when.elapsed() < LIFETIME).map(|seen| seen.attributes)
    }

    /// Whether the kernel may have been told of another version of `inode` than `version` a moment ago, and believe it still.
    pub(crate) fn differs(&self, inode: InodeNumber, version: VolumeVersion) -> bool {
        self.seen.get(&inode).is_some_and(|seen| {
            let is_mixed = seen.mixed.is_some_and(|mixed| mixed.elapsed() < LIFETIME);
            is_mixed || (seen.attributes.version != version && seen.when.elapsed() < LIFETIME)
        })
    }

    /// The name that `inode` was last found by.
    pub(crate) fn name(&self, inode: InodeNumber) -> Option<FileName> {
        self.seen.get(&inode).and_then(|seen| seen.name)
    }

    /// `inode` has changed.
    pub(crate) fn forget(&self, inode: InodeNumber) {
        let _turn = lock(&self.turn);
        self.seen.remove(&inode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::time::Timestamp;
    use weft_common::wire::FileKind;

    const INODE: InodeNumber = InodeNumber(5);

    fn at(version: u64) -> Attributes {
        let zero = Timestamp(0);
        let (accessed, modified, changed, born) = (zero, zero, zero, zero);
        Attributes {
            inode: INODE,
            kind: FileKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            links: 1,
            size: version,
            rdev: 0,
            accessed,
            modified,
            changed,
            born,
            version: VolumeVersion(version),
            xattr_bytes: 0,
            tree: None,
        }
    }

    #[test]
    fn an_answer_that_comes_late_takes_nothing_back() {
        let recent = Recent::new();
        recent.put(&at(7), None);
        recent.put(&at(6), None);
        assert_eq!(recent.get(INODE).unwrap().version, VolumeVersion(7));
        assert!(recent.differs(INODE, VolumeVersion(7)), "the kernel was told of two versions");
    }

    #[test]
    fn one_version_is_what_the_kernel_believes() {
        let recent = Recent::new();
        recent.put(&at(7), None);
        recent.put(&at(7), None);
        assert!(!recent.differs(INODE, VolumeVersion(7)) && recent.differs(INODE, VolumeVersion(8)));
        recent.forget(INODE);
        assert!(recent.get(INODE).is_none() && !recent.differs(INODE, VolumeVersion(8)));
    }
}
