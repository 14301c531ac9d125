//! Numbers of inodes that are no live inodes of the volume, for as long as the kernel remembers them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeVersion};
use weft_common::name::FileName;

use super::{Node, NodeId, Old, VIRTUAL};
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

/// Versions through which one state is remembered to have been found.
const PLACES_MAX: usize = 8;

#[derive(Debug)]
struct Slot {
    key: Key,
    node: Node,
    /// Where else the same state was found, at other versions.
    others: Vec<Arc<Old>>,
    look_ups: u64,
}

impl Slot {
    /// Where it was found in the past, and at which versions.
    fn places(&self) -> impl Iterator<Item = &Arc<Old>> {
        let main = if let Node::Old(old) = &self.node { Some(old) } else { None };
        main.into_iter().chain(&self.others)
    }

    /// The state was found once more. The newest version that it was found through stands for it.
    fn see_at(&mut self, found: Node) {
        let (Node::Old(known), Node::Old(new)) = (&self.node, &found) else { return };
        self.others.retain(|other| other.at != new.at);
        if new.at >= known.at {
            self.others.extend(Some(Arc::clone(known)).filter(|known| known.at != new.at));
            self.node = found;
        } else {
            self.others.push(Arc::clone(new));
        }
        // The others will do as well: it is one state, and kept as long as any of them is.
        if self.others.len() >= PLACES_MAX {
            self.others.remove(0);
        }
    }

    /// Versions are not kept any more. If another one shows the state, that stands for it.
    fn let_go(&mut self, is_meant: &impl Fn(VolumeVersion) -> bool) {
        if self.places().all(|old| is_meant(old.at)) {
            return;
        }
        self.others.retain(|old| !is_meant(old.at));
        if let Node::Old(old) = &self.node
            && is_meant(old.at)
            && let Some((newest, _)) = self.others.iter().enumerate().max_by_key(|(_, other)| other.at)
        {
            self.node = Node::Old(self.others.swap_remove(newest));
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    by_key: HashMap<Key, NodeId>,
    by_id: HashMap<NodeId, Slot>,
    aliases: HashMap<InodeNumber, NodeId>,
    /// How many numbers stand for something at which version.
    versions: BTreeMap<VolumeVersion, usize>,
    last: u64,
}

impl Inner {
    /// Changes a slot, and counts its versions anew.
    fn change(&mut self, id: NodeId, change: impl FnOnce(&mut Slot)) {
        let Some(slot) = self.by_id.get_mut(&id) else { return };
        uncount(&mut self.versions, slot);
        change(slot);
        count(&mut self.versions, slot);
    }
}

fn count(versions: &mut BTreeMap<VolumeVersion, usize>, slot: &Slot) {
    slot.places().for_each(|old| *versions.entry(old.at).or_default() += 1);
}

fn uncount(versions: &mut BTreeMap<VolumeVersion, usize>, slot: &Slot) {
    for old in slot.places() {
        if let Some(count) = versions.get_mut(&old.at) {
            *count -= 1;
            if *count == 0 {
                versions.remove(&old.at);
            }
        }
    }
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
            if matches!(key, Key::OldFile(..)) {
                inner.change(id, |slot| slot.see_at(node()));
            }
            return id;
        }
        inner.last += 1;
        let id = NodeId(VIRTUAL | inner.last);
        if let Key::Alias(inode, ..) = key {
            inner.aliases.insert(inode, id);
        }
        inner.by_key.insert(key.clone(), id);
        let slot = Slot { key, node: node(), others: Vec::new(), look_ups: 1 };
        count(&mut inner.versions, &slot);
        inner.by_id.insert(id, slot);
        id
    }

    /// The versions that the kernel remembers something of: it can open that without asking by which name.
    pub(crate) fn versions(&self) -> Vec<VolumeVersion> {
        lock(&self.0).versions.keys().copied().collect()
    }

    /// The names by which the kernel found what it remembers of the versions that `is_meant` says; entries of `.versions` come first,
    /// since most of the others go with them. A state may have been found in `.history` as well: so all of `.history/FILE` goes.
    pub(crate) fn names_at(&self, is_meant: impl Fn(VolumeVersion) -> bool) -> Vec<(NodeId, FileName)> {
        let inner = lock(&self.0);
        if !inner.versions.keys().any(|version| is_meant(*version)) {
            return Vec::new();
        }
        let meant = |is_entry: bool| {
            inner.by_id.values().filter(move |slot| matches!(slot.key, Key::Entry(..)) == is_entry).flat_map(Slot::places)
        };
        let meant = meant(true).chain(meant(false)).filter(|old| is_meant(old.at));
        let histories = inner.by_key.keys().filter_map(|key| match key {
            Key::FileHistory(directory, file) => Some((*inner.by_key.get(&Key::History(*directory))?, file.clone())),
            _ => None,
        });
        meant.map(|old| old.place.clone()).chain(histories).collect()
    }

    /// The versions that `is_meant` says are not kept any more. Answers as [`NodeTable::names_at`]; states that were found through
    /// others as well go by those from now on.
    pub(crate) fn let_go(&self, is_meant: impl Fn(VolumeVersion) -> bool) -> Vec<(NodeId, FileName)> {
        let names = self.names_at(&is_meant);
        let mut inner = lock(&self.0);
        let met = inner.by_id.iter().filter(|(_, slot)| slot.places().any(|old| is_meant(old.at)));
        let met: Vec<NodeId> = met.map(|(id, _)| *id).collect();
        met.into_iter().for_each(|id| inner.change(id, |slot| slot.let_go(&is_meant)));
        names
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
            uncount(&mut inner.versions, &slot);
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

    fn old(at: u64, entry: Option<NodeId>) -> Node {
        let (file, time) = (weft_common::wire::FileKind::File, weft_common::time::Timestamp(0));
        let attributes = crate::testing::attributes(InodeNumber(7), file, VolumeVersion(3), time);
        let place = (entry.unwrap_or(NodeId::ROOT), FileName::new(format!("at{at}").as_str()).unwrap());
        Node::Old(std::sync::Arc::new(crate::inode::Old { at: VolumeVersion(at), attributes, entry, place }))
    }

    #[test]
    fn a_version_is_remembered_until_nothing_of_it_is_and_a_shared_state_by_its_newest() {
        let table = NodeTable::default();
        let root = InodeNumber(1);
        let [five, nine] = [5, 9].map(|at| {
            let label = at.to_string().into_bytes();
            table.intern(Key::Entry(root, label, VolumeVersion(at)), || old(at, None))
        });
        let state = Key::OldFile(InodeNumber(7), VolumeVersion(3));
        let [file, again, other] =
            [(5, five), (9, nine), (5, five)].map(|(at, entry)| table.intern(state.clone(), || old(at, Some(entry))));
        assert!(file == again && again == other);
        assert!(matches!(table.get(file), Some(Node::Old(old)) if old.at.0 == 9), "the version that is kept the longest");
        let name = |parent: NodeId, name: &str| (parent, FileName::new(name).unwrap());
        assert_eq!(table.names_at(|version| version.0 < 9), [name(NodeId::ROOT, "at5"), name(five, "at5")]);
        assert_eq!(table.names_at(|_| true)[2..], [name(nine, "at9"), name(five, "at5")], "below the entries, behind them");
        let history = table.intern(Key::History(root), || Node::History(root));
        let frame = FileName::new("frame").unwrap();
        let states = table.intern(Key::FileHistory(root, frame.clone()), || Node::FileHistory(root, frame.clone()));
        assert_eq!(
            table.names_at(|version| version.0 == 9).last(),
            Some(&(history, frame)),
            "the state may have been found there, too"
        );
        table.forget(states, 1);
        table.forget(history, 1);
        table.forget(nine, 1);
        assert_eq!(table.versions(), [VolumeVersion(5), VolumeVersion(9)], "of the file");
        assert_eq!(table.let_go(|version| version.0 == 9), [name(nine, "at9")]);
        assert_eq!(table.versions(), [VolumeVersion(5)], "the other one shows the same");
        assert!(matches!(table.get(file), Some(Node::Old(old)) if old.at.0 == 5));
        assert_eq!(table.let_go(|version| version.0 == 5), [name(NodeId::ROOT, "at5"), name(five, "at5")]);
        table.forget(five, 1);
        assert_eq!(table.versions(), [VolumeVersion(5)], "no other one shows it, and the kernel has it");
        table.forget(file, 3);
        assert_eq!((table.versions(), table.names_at(|_| true)), (vec![], vec![]));
    }
}
