//! Planted bugs: each is one that an implementation could well have, and the checker must find every one of them.

use super::model::FileModel;
use crate::weave::{ByteRange, LogEntry, Node, PageDescriptor, Update};

/// A bug in the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A reference above a version's root names a node that is not there.
    NoSpineCompression,
    /// A cut in the middle of a page leaves the rest of the page.
    CutKeepsPartPage,
}

/// Who builds the nodes of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// The weaver, compared with the definitions.
    Weaver,
    /// The definitions, with or without a bug.
    Definition(Option<Fault>),
    /// The weaver on entries whose cut ends where the file ended.
    FiniteCut,
    /// The weaver, for which the oldest entry in flight touches nothing.
    MissingInFlight,
    /// The weaver, for which an entry in flight that changes nothing but the size does not touch its root. The content is right
    /// all the same; but who weaves from another base gets other nodes, and what is collected is not what is out of reach.
    RootIsNoTouch,
    /// The weaver, and a version manager that grants every compaction.
    CompactingAnyway,
}

impl Builder {
    /// Puts the builder's bug into what it is given.
    pub fn spoil(self, entry: &mut LogEntry, in_flight: &mut [LogEntry], models: &[FileModel]) {
        match self {
            Self::FiniteCut => {
                for entry in in_flight.iter_mut().chain([entry]) {
                    if let Some(cut) = entry.update.cut_to.take() {
                        let size_before = models[entry.version.0 as usize - 1].size;
                        entry.update.holes.push(ByteRange::new(cut, size_before));
                    }
                }
            }
            Self::MissingInFlight => {
                if let Some(oldest) = in_flight.first_mut() {
                    oldest.update = Default::default();
                    oldest.height = u8::MAX;
                }
            }
            Self::RootIsNoTouch => {
                let changes_nothing =
                    |update: &Update| update.data.is_empty() && update.holes.is_empty() && update.cut_to.is_none();
                for entry in in_flight.iter_mut().filter(|entry| changes_nothing(&entry.update)) {
                    entry.height = u8::MAX;
                }
            }
            Self::Weaver | Self::Definition(_) | Self::CompactingAnyway => {}
        }
    }
}

/// Who collects what was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collector {
    /// The collection, as its documentation wants to be driven.
    Right,
    /// Thinks that the next kept version needs nothing.
    IgnoresNewer,
    /// Thinks that the kept version before needs nothing.
    IgnoresOlder,
    /// Drops a version that a clone began with.
    IgnoresPins,
    /// Drops, with a clone, the version that it began with, which its origin keeps.
    TakesTheOrigin,
    /// Drops the newest published version while others are in flight.
    DropsTheHead,
    /// Drops two neighbours at once, neither of which counts as there for the other.
    WalksAtOnce,
    /// Does not wait for late duplicates of a writer.
    IgnoresLateWriters,
    /// Deletes the root first.
    ParentsFirst,
    /// Deletes a leaf before its page objects.
    NodesBeforeObjects,
    /// Takes the version of the leaf for that of its page objects.
    BornWithTheLeaf,
    /// Looks for a page object on one leaf only.
    ForgetsBorders,
}

impl Collector {
    /// What the walk is given for a node.
    pub fn spoil(self, version: u64, node: &Node) -> Node {
        let mut node = node.clone();
        let Node::Leaf(pages) = &mut node else { return node };
        for fragment in pages.iter_mut().flat_map(|page: &mut PageDescriptor| &mut page.fragments) {
            match self {
                Self::BornWithTheLeaf => fragment.born.version.0 = version,
                Self::ForgetsBorders => fragment.born.border = None,
                _ => {}
            }
        }
        node
    }
}
