//! Walks: computations over stored trees that do no I/O themselves.
//!
//! A walk says which nodes it needs next; its driver gets them from wherever they are and hands them in. All that one level of
//! the tree needs is asked for at once, so a walk costs one round trip a level, and none for what the driver has cached.
//!
//! ```ignore
//! while let missing = walk.missing() && !missing.is_empty() {
//!     for (id, node) in store.get(missing).await? {
//!         walk.supply(&id, &node)?;
//!     }
//! }
//! let output = walk.finish()?;
//! ```

use crate::id::{NodeId, VolumeId};
use crate::weave::{Geometry, Node, NodeRef, PageDescriptor, Slot, Tree};

/// A resumable computation over nodes.
pub trait Walk {
    /// What it computes.
    type Output;

    /// The nodes that it needs now, each once, ascending; empty when it is done. Asking again without supplying gives the same.
    fn missing(&self) -> Vec<NodeId>;

    /// Hands in one of the missing nodes. The order does not matter.
    ///
    /// # Errors
    /// [`WalkError::NotAsked`], or [`WalkError::Malformed`] when the node cannot be the one of that id in this tree.
    fn supply(&mut self, id: &NodeId, node: &Node) -> Result<(), WalkError>;

    /// The result, once nothing is missing.
    ///
    /// # Errors
    /// [`WalkError::Incomplete`] while something is.
    fn finish(self) -> Result<Self::Output, WalkError>;
}

/// A walk that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A node whose shape does not fit its place in the tree.
    #[error("node {node} does not fit its tree: {detail}")]
    Malformed {
        /// The node.
        node: NodeId,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// A node that the walk did not ask for.
    #[error("node {0} was not asked for")]
    NotAsked(NodeId),
    /// The result was asked for too early.
    #[error("{0} nodes are still missing")]
    Incomplete(usize),
    /// The log entries do not join base and version without a gap.
    #[error("the entries in flight do not lead from {base} to {version} one by one; ask for the ticket again")]
    Gap {
        /// The base of the ticket.
        base: crate::id::BlobVersion,
        /// The version to be woven.
        version: crate::id::BlobVersion,
    },
}

/// What a tree has at a slot, as far as the reference to it tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) slot: Slot,
    pub(crate) reference: Option<NodeRef>,
}

impl Place {
    /// The slot of the tree's root. A tree without root is a hole of height 1.
    pub(crate) fn root(tree: &Tree) -> Self {
        Self { slot: Slot::root(tree.root.map_or(1, |root| root.level)), reference: tree.root }
    }

    /// The slot of index 0 at `level`, if that is not below the root.
    pub(crate) fn raised(self, level: u8) -> Self {
        Self { slot: Slot::root(level.max(self.slot.level)), ..self }
    }

    /// The node that tells what is below; `None` if the reference tells it already.
    pub(crate) fn node_id(&self, volume: VolumeId) -> Option<NodeId> {
        let reference = self.reference.filter(|reference| reference.level >= self.slot.level)?;
        Some(reference.node_id(volume, self.slot))
    }

    /// What is below, when [`Place::node_id`] needs no node or none is wanted.
    pub(crate) fn content(&self) -> Content<'static> {
        match self.reference {
            Some(reference) if reference.level < self.slot.level => Content::Shortened(reference),
            _ => Content::Hole,
        }
    }
}

/// What is below a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'n> {
    /// Nothing but zeros.
    Hole,
    /// A shallower tree under child 0, and nothing else.
    Shortened(NodeRef),
    /// References.
    Inner(&'n [Option<NodeRef>]),
    /// Pages.
    Leaf(&'n [PageDescriptor]),
}

impl<'n> Content<'n> {
    /// The content of the node at `slot`, checked against the place where it stands.
    pub(crate) fn of(id: &NodeId, node: &'n Node, geometry: Geometry) -> Result<Self, WalkError> {
        let malformed = |detail| Err(WalkError::Malformed { node: *id, detail });
        let fan_out = geometry.fan_out() as usize;
        match node {
            Node::Leaf(pages) if id.level == 1 && pages.len() == fan_out => Ok(Self::Leaf(pages)),
            Node::Inner(children) if id.level > 1 && children.len() == fan_out => {
                let first = Slot { level: id.level, index: id.index };
                let fits = |(place, child): (usize, &Option<NodeRef>)| {
                    let slot = first.child(geometry, place);
                    child.is_none_or(|child| {
                        child.level == slot.level || (slot.index == 0 && (1..slot.level).contains(&child.level))
                    })
                };
                if children.iter().enumerate().all(fits) {
                    Ok(Self::Inner(children))
                } else {
                    malformed("a child is of an impossible level")
                }
            }
            Node::Leaf(_) | Node::Inner(_) => malformed("it has not the level or the fan-out of its place"),
        }
    }

    /// The reference at `place`.
    pub(crate) fn child(&self, place: usize) -> Option<NodeRef> {
        match self {
            Self::Shortened(reference) => Some(*reference).filter(|_| place == 0),
            Self::Inner(children) => children.get(place).copied().flatten(),
            Self::Hole | Self::Leaf(_) => None,
        }
    }

    /// The page at `place`; `None` for a hole.
    pub(crate) fn page(&self, place: usize) -> Option<&'n PageDescriptor> {
        match self {
            Self::Leaf(pages) => pages.get(place).filter(|page| !page.fragments.is_empty()),
            Self::Hole | Self::Shortened(_) | Self::Inner(_) => None,
        }
    }
}
