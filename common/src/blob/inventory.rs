//! Everything that a tree consists of: its nodes and the page objects on its leaves, for those who look after them.

use crate::id::{NodeId, VolumeId};
use crate::weave::{Content, Geometry, Node, PageObject, Place, Slot, Tree, WalkError};
use std::ops::Range;

/// Goes through the nodes of trees, children after their parents, deep before wide: what waits is at most a fan-out of nodes for
/// each level and each node that was taken at once, however large the tree. Who drives it says which nodes are new, so that a
/// subtree that several versions share is entered once.
#[derive(Debug)]
pub struct Inventory {
    volume: VolumeId,
    geometry: Geometry,
    waiting: Vec<NodeId>,
}

/// A page object on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The object.
    pub object: PageObject,
    /// The page's number in the file.
    pub page: u64,
    /// Bytes of the page that come from it.
    pub length: u32,
}

impl Inventory {
    /// Of all that is reached from `tree` and that `is_new`.
    pub fn new(tree: &Tree, is_new: &mut dyn FnMut(&NodeId) -> bool) -> Self {
        let mut inventory = Self { volume: tree.blob.volume, geometry: tree.geometry, waiting: Vec::new() };
        inventory.visit(Place::root(tree), is_new);
        inventory
    }

    fn visit(&mut self, place: Place, is_new: &mut dyn FnMut(&NodeId) -> bool) {
        let id = place.reference.map(|reference| reference.node_id(self.volume, place.slot));
        self.waiting.extend(id.filter(|id| is_new(id)));
    }

    /// Takes out at most `count` nodes, each of which is to be supplied or left out. Empty when all have been taken.
    pub fn take(&mut self, count: usize) -> Vec<NodeId> {
        self.waiting.split_off(self.waiting.len().saturating_sub(count))
    }

    /// Hands in a node that was taken. Its children wait if they are new; the objects of a leaf are returned in order of pages,
    /// one that lies in several fragments several times.
    ///
    /// # Errors
    /// [`WalkError::Malformed`] when the node cannot be the one of that id in such a tree.
    pub fn supply(
        &mut self,
        id: &NodeId,
        node: &Node,
        is_new: &mut dyn FnMut(&NodeId) -> bool,
    ) -> Result<Vec<Placed>, WalkError> {
        let slot = Slot { level: id.level, index: id.index };
        match Content::of(id, node, self.geometry)? {
            Content::Leaf(pages) => {
                let placed = slot.pages(self.geometry).zip(pages).flat_map(|(page, descriptor)| {
                    let fragments = descriptor.fragments.iter();
                    fragments.map(move |fragment| Placed { object: fragment.object, page, length: fragment.length })
                });
                Ok(placed.collect())
            }
            Content::Inner(children) => {
                // From the end, so that the first is taken first.
                for (position, child) in children.iter().enumerate().rev() {
                    self.visit(Place { slot: slot.child(self.geometry, position), reference: *child }, is_new);
                }
                Ok(Vec::new())
            }
            Content::Hole | Content::Shortened(_) => Ok(Vec::new()),
        }
    }

    /// The bytes of the file that lie below a node, not cut at the file's size.
    #[must_use]
    pub fn bytes_below(&self, id: &NodeId) -> Range<u64> {
        let pages = Slot { level: id.level, index: id.index }.pages(self.geometry);
        let page_size = u64::from(self.geometry.page_size());
        pages.start.saturating_mul(page_size)..pages.end.saturating_mul(page_size)
    }
}
