//! What a look-up answers: number, attributes, and how long the kernel may believe them.

use std::sync::Arc;
use std::time::Duration;
use weft_common::id::VolumeVersion;
use weft_common::name::FileName;
use weft_common::wire::{Attributes, FileKind, NamespaceAnswer, Query};

use super::{FOREVER, Filesystem};
use crate::handle::{File, Freshness};
use crate::inode::{Key, Node, NodeId, Old};

/// The kernel counts lifetimes from when it takes an answer in, and that may be so much later than when the answer is made.
const KERNEL_LAG: Duration = Duration::from_millis(500);

/// The answer to a look-up.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The number.
    pub(crate) node: NodeId,
    /// The attributes.
    pub(crate) attributes: Attributes,
    /// How long the name may be believed.
    pub(crate) entry_lifetime: Duration,
    /// How long the attributes may be believed.
    pub(crate) attribute_lifetime: Duration,
}

impl Filesystem {
    /// The entry of a live inode whose attributes were just fetched, by the name that it was found by, counted as one look-up.
    ///
    /// If the file is being read here in an older version, the entry goes by another number (see [`crate::inode`]).
    pub(super) async fn live_entry(&self, newest: Attributes, name: Option<&FileName>) -> Entry {
        let inode = newest.inode;
        self.recent.put(&newest, name);
        let entry_lifetime = self.settings.entry_lifetime;
        let node = self.nodes.current(inode);
        let Some(file) = self.files.get(inode) else {
            let attribute_lifetime = self.attribute_lifetime(node, &newest);
            return Entry { node, attributes: newest, entry_lifetime, attribute_lifetime };
        };
        let node = if self.follow(&file, node, newest).await { node } else { self.alias(&file, node) };
        let attributes = file.state().shown(node);
        Entry { node, attributes, entry_lifetime, attribute_lifetime: Duration::ZERO }
    }

    /// For how long the kernel may believe the attributes of `node`, a file that is not open here: as long as the lease that they came with,
    /// if they are what is known under one and by the number that is told when it is called in.
    pub(super) fn attribute_lifetime(&self, node: NodeId, newest: &Attributes) -> Duration {
        let is_told = node == self.nodes.peek(newest.inode) || node == newest.inode.into();
        let leased = match self.volume.known(&Query::Attributes(newest.inode)).filter(|_| is_told) {
            Some((Ok(NamespaceAnswer::Attributes(known)), lifetime)) if known.version == newest.version => {
                lifetime.saturating_sub(KERNEL_LAG)
            }
            _ => Duration::ZERO,
        };
        self.settings.attribute_lifetime.max(leased)
    }

    /// Another number for the newest content of a file, in place of one look-up of `pinned`.
    fn alias(&self, file: &File, pinned: NodeId) -> NodeId {
        let Some(tree) = file.state().newest.tree else { return pinned };
        self.nodes.forget(pinned, 1);
        self.nodes.intern(Key::Alias(file.inode, tree.blob, tree.version), || Node::Live(file.inode))
    }

    /// Brings what `node` shows to the newest state, which may be `newest`, if that moves no reader in mid-file. Answers
    /// whether it shows the newest now.
    pub(super) async fn follow(&self, file: &File, node: NodeId, newest: Attributes) -> bool {
        let (freshness, newest) = {
            let mut state = file.state();
            state.learn(newest);
            (state.refresh(node), state.newest.tree)
        };
        match (freshness, newest) {
            (Freshness::Current, _) => true,
            // Waited for, so that what the kernel reads behind this answer shows it where the file ends: an answer that is under way while
            // pages are dropped it does not believe.
            (Freshness::Moved, _) => {
                self.kernel.drop_pages_now(node).await;
                true
            }
            // `tail -f`: what was appended elsewhere is seen, what was rewritten elsewhere is not. If it cannot be told, the
            // reader stays where it is.
            (Freshness::Pinned(older), Some(newer)) if newer.size > older.size => {
                let extends = self.volume.extends(&older, &newer).await.unwrap_or(false);
                if extends {
                    file.state().follow(node, older);
                    self.kernel.drop_pages_now(node).await;
                }
                extends
            }
            (Freshness::Pinned(_), _) => false,
        }
    }

    /// The entry of an inode of an old version, found at `place` and counted as one look-up. `entry` is the `.versions` entry it lies under.
    pub(super) fn old_entry(&self, place: (NodeId, FileName), entry: NodeId, at: VolumeVersion, attributes: Attributes) -> Entry {
        let key = match attributes.kind {
            FileKind::Directory => Key::OldDirectory(entry, attributes.inode),
            _ => Key::OldFile(attributes.inode, attributes.version),
        };
        self.interned(key, Old { at, attributes, entry: Some(entry), place }, FOREVER)
    }

    /// The entry of an old inode under `key`, whose name may be believed for `entry_lifetime`.
    pub(super) fn interned(&self, key: Key, old: Old, entry_lifetime: Duration) -> Entry {
        let attributes = old.attributes.clone();
        let node = self.nodes.intern(key, || Node::Old(Arc::new(old)));
        Entry { node, attributes, entry_lifetime, attribute_lifetime: FOREVER }
    }

    /// The entry of a directory that exists only in this mount: read-only, otherwise like the directory that it is about.
    pub(super) fn virtual_entry(&self, key: Key, node: Node, about: Attributes) -> Entry {
        let node = self.nodes.intern(key, || node);
        Entry {
            node,
            attributes: virtual_directory(about),
            entry_lifetime: self.settings.entry_lifetime,
            attribute_lifetime: self.settings.attribute_lifetime,
        }
    }
}

/// Attributes of `.versions` and its like, made from those of the directory `about` which they tell.
pub(super) fn virtual_directory(about: Attributes) -> Attributes {
    Attributes { mode: about.mode & 0o555, links: 2, size: 0, tree: None, ..about }
}
