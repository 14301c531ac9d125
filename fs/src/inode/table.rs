//! Numbers of inodes that are no live inodes of the volume, for as long as the kernel remembers them.

use std::collections::HashMap;
use std::sync::Mutex;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeVersion};
use weft_common::name::FileName;

use super::{Node, NodeId, VIRTUAL};
use crate::lock;

/// What makes two look-ups find the same number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A newer content of a live file whose older content is being read.
    Alias(InodeNumber, BlobId, BlobVersion),
    /// `D/.versions`.
    Versions(InodeNumber),
    /// `D/.history`.
    History(InodeNumber),
    /// `D/.history/FILE`.
    FileHistory(InodeNumber, FileName),
    /// `D/.versions/LABEL`, and the version that the label meant.
    Entry(InodeNumber, Vec<u8>, VolumeVersion),
    /// A directory below an entry.
    OldDirectory(NodeId, InodeNumber),
    /// Anything else of an old version, and the version that its state is from.
    OldFile(InodeNumber, VolumeVersion),
}

#[derive(Debug)]
struct Slot {
    key: Key,
    node: Node,
    look_ups: u64,
}

#[derive(Debug, Default)]
struct Inner {
    by_key: HashMap<Key, NodeId>,
    by_id: HashMap<NodeId, Slot>,
    aliases: HashMap<InodeNumber, NodeId>,
    last: u64,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct NodeTable(Mutex<Inner>);

impl NodeTable {
    /// The number for `key`, counted as one look-up by the kernel.
    pub(crate) fn intern(&self, key: Key, node: impl FnOnce() -> Node) -> NodeId {
        let mut inner = lock(&self.0);
        if let Some(id) = inner.by_key.get(&key).copied() {
            if let Key::Alias(inode, ..) = key {
                inner.aliases.insert(inode, id);
            }
            if let Some(slot) = inner.by_id.get_mut(&id) {
                slot.look_ups += 1;
            }
            return id;
        }
        inner.last += 1;
        let id = NodeId(VIRTUAL | inner.last);
        if let Key::Alias(inode, ..) = key {
            inner.aliases.insert(inode, id);
        }
        inner.by_key.insert(key.clone(), id);
        inner.by_id.insert(id, Slot { key, node: node(), look_ups: 1 });
        id
    }

    /// What `id` stands for; `None` if the kernel was never told of it, or has forgotten it.
    pub(crate) fn get(&self, id: NodeId) -> Option<Node> {
        if !id.is_virtual() {
            return Some(Node::Live(InodeNumber(id.0)));
        }
        lock(&self.0).by_id.get(&id).map(|slot| slot.node.clone())
    }

    /// The number that the newest content of `inode` goes by. Counts a look-up if the number is from the table.
    pub(crate) fn current(&self, inode: InodeNumber) -> NodeId {
        let mut inner = lock(&self.0);
        let Some(id) = inner.aliases.get(&inode).copied() else { return inode.into() };
        if let Some(slot) = inner.by_id.get_mut(&id) {
            slot.look_ups += 1;
        }
        id
    }

    /// As [`NodeTable::current`], without counting.
    pub(crate) fn peek(&self, inode: InodeNumber) -> NodeId {
        lock(&self.0).aliases.get(&inode).copied().unwrap_or_else(|| inode.into())
    }

    /// The kernel drops `count` look-ups of `id`.
    pub(crate) fn forget(&self, id: NodeId, count: u64) {
        let mut inner = lock(&self.0);
        let Some(slot) = inner.by_id.get_mut(&id) else { return };
        slot.look_ups = slot.look_ups.saturating_sub(count);
        if slot.look_ups > 0 {
            return;
        }
        if let Some(slot) = inner.by_id.remove(&id) {
            inner.by_key.remove(&slot.key);
            if let Key::Alias(inode, ..) = slot.key
                && inner.aliases.get(&inode) == Some(&id)
            {
                inner.aliases.remove(&inode);
            }
        }
    }

    /// How many numbers there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(inode: u64) -> (Key, Node) {
        (Key::Versions(InodeNumber(inode)), Node::Versions(InodeNumber(inode)))
    }

    #[test]
    fn a_number_lives_until_every_look_up_is_forgotten() {
        let table = NodeTable::default();
        let (key, node) = versions(5);
        let id = table.intern(key.clone(), || node.clone());
        assert!(id.is_virtual());
        assert_eq!(table.intern(key.clone(), || node.clone()), id);
        table.forget(id, 1);
        assert!(matches!(table.get(id), Some(Node::Versions(InodeNumber(5)))));
        table.forget(id, 1);
        assert!(table.get(id).is_none());
        assert_ne!(table.intern(key, || node), id, "a number is never used twice");
    }

    #[test]
    fn the_newest_alias_is_current_until_it_is_forgotten() {
        let table = NodeTable::default();
        let inode = InodeNumber(9);
        assert_eq!(table.current(inode), NodeId(9));
        let blob = BlobId { volume: weft_common::id::VolumeId(1), number: 1 };
        let alias = table.intern(Key::Alias(inode, blob, BlobVersion(2)), || Node::Live(inode));
        assert_eq!(table.current(inode), alias);
        assert_eq!(table.peek(inode), alias);
        table.forget(alias, 2);
        assert_eq!(table.peek(inode), NodeId(9));
        assert_eq!(table.count(), 0);
    }
}
