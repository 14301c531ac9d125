//! Attributes that a look-up fetched a moment ago.
//!
//! `open(2)` looks the name up and then opens the inode; the second step need not ask again. It may not rely on an earlier
//! process's look-up either, but with entry lifetime 0 every `open` comes with its own, which has just renewed what is here.

use quick_cache::sync::Cache;
use std::time::{Duration, Instant};
use weft_common::id::InodeNumber;
use weft_common::name::FileName;
use weft_common::wire::Attributes;

/// Inodes that are remembered.
const INODES_MAX: usize = 8192;
/// Between the look-up and the open of one `open(2)`. Long for a call, short for what `/proc/self/fd` opens without look-up.
const LIFETIME: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
struct Seen {
    when: Instant,
    attributes: Attributes,
    name: Option<FileName>,
}

/// The memory.
#[derive(Debug)]
pub(crate) struct Recent(Cache<InodeNumber, Seen>);

impl Recent {
    /// Nothing seen yet.
    pub(crate) fn new() -> Self {
        Self(Cache::new(INODES_MAX))
    }

    /// Remembers what a look-up of `name` answered.
    pub(crate) fn put(&self, attributes: &Attributes, name: Option<&FileName>) {
        let seen = Seen { when: Instant::now(), attributes: attributes.clone(), name: name.cloned() };
        self.0.insert(attributes.inode, seen);
    }

    /// What was answered for `inode` a moment ago.
    pub(crate) fn get(&self, inode: InodeNumber) -> Option<Attributes> {
        self.0.get(&inode).filter(|seen| seen.when.elapsed() < LIFETIME).map(|seen| seen.attributes)
    }

    /// The name that `inode` was last found by.
    pub(crate) fn name(&self, inode: InodeNumber) -> Option<FileName> {
        self.0.get(&inode).and_then(|seen| seen.name)
    }

    /// `inode` has changed.
    pub(crate) fn forget(&self, inode: InodeNumber) {
        self.0.remove(&inode);
    }
}
