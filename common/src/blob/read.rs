//! Read plans: from a tree and a range of bytes to the parts of page objects that hold them.

use crate::id::{NodeId, VolumeId};
use crate::weave::{
    ByteRange, Content, Fragment, Geometry, Node, PageDescriptor, PageObject, Place, Slot, Tree, Walk, WalkError,
};
use std::collections::BTreeMap;

/// Consecutive bytes of a file from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// First byte in the file.
    pub file_offset: u64,
    /// How many bytes, never 0.
    pub length: u64,
    /// Where they are.
    pub source: Source,
}

/// Where bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nowhere: they are zero.
    Zero,
    /// In a page object.
    Object {
        /// The object.
        object: PageObject,
        /// First byte in it.
        object_offset: u32,
    },
}

/// Finds the pieces of a range of one blob version: in order, without gaps, cut at the version's size. A piece of data never
/// crosses a page boundary; zeros come in one piece, however long.
#[derive(Debug)]
pub struct ReadPlan {
    volume: VolumeId,
    geometry: Geometry,
    range: ByteRange,
    waiting: BTreeMap<NodeId, Place>,
    data: Vec<Piece>,
}

impl ReadPlan {
    /// A plan for `range` of `tree`.
    #[must_use]
    pub fn new(tree: &Tree, range: ByteRange) -> Self {
        let mut plan = Self {
            volume: tree.blob.volume,
            geometry: tree.geometry,
            range: range.intersection(&ByteRange::new(0, tree.size)),
            waiting: BTreeMap::new(),
            data: Vec::new(),
        };
        if !plan.range.is_empty() {
            plan.visit(Place::root(tree));
        }
        plan
    }

    /// Waits for the node of a place that the range meets. A shortened reference needs none: the places between have no other content.
    fn visit(&mut self, place: Place) {
        let Some(reference) = place.reference else { return };
        let level = reference.level.min(place.slot.level);
        let place = if level < place.slot.level { Place { slot: Slot::root(level), ..place } } else { place };
        let pages = place.slot.pages(self.geometry);
        let page_size = u64::from(self.geometry.page_size());
        let wanted = self.range.start / page_size..self.geometry.pages(self.range.end);
        if pages.start < wanted.end
            && wanted.start < pages.end
            && let Some(id) = place.node_id(self.volume)
        {
            self.waiting.insert(id, place);
        }
    }

    fn add_page(&mut self, number: u64, page: &PageDescriptor) {
        let page_start = number.saturating_mul(u64::from(self.geometry.page_size()));
        let within = |offset: u64| offset.saturating_sub(page_start).min(u64::from(self.geometry.page_size())) as u32;
        let wanted = within(self.range.start)..within(self.range.end);
        let parts = page.fragments.iter().filter_map(|fragment| fragment.part(&wanted));
        self.data.extend(parts.map(|Fragment { page_offset, length, object, object_offset, .. }| Piece {
            file_offset: page_start + u64::from(page_offset),
            length: u64::from(length),
            source: Source::Object { object, object_offset },
        }));
    }
}

impl Walk for ReadPlan {
    type Output = Vec<Piece>;

    fn missing(&self) -> Vec<NodeId> {
        self.waiting.keys().copied().collect()
    }

    fn supply(&mut self, id: &NodeId, node: &Node) -> Result<(), WalkError> {
        let content = Content::of(id, node, self.geometry)?;
        let place = self.waiting.remove(id).ok_or(WalkError::NotAsked(*id))?;
        let geometry = self.geometry;
        match content {
            Content::Leaf(pages) => {
                for (number, page) in place.slot.pages(geometry).zip(pages) {
                    self.add_page(number, page);
                }
            }
            Content::Inner(children) => {
                for (position, child) in children.iter().enumerate() {
                    self.visit(Place { slot: place.slot.child(geometry, position), reference: *child });
                }
            }
            Content::Hole | Content::Shortened(_) => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Piece>, WalkError> {
        if !self.waiting.is_empty() {
            return Err(WalkError::Incomplete(self.waiting.len()));
        }
        self.data.sort_unstable_by_key(|piece| piece.file_offset);
        let mut pieces = Vec::with_capacity(self.data.len() * 2 + 1);
        let mut end = self.range.start;
        for piece in self.data {
            pieces.extend(zeros(end, piece.file_offset));
            end = piece.file_offset + piece.length;
            pieces.push(piece);
        }
        pieces.extend(zeros(end, self.range.end));
        Ok(pieces)
    }
}

fn zeros(start: u64, end: u64) -> Option<Piece> {
    (start < end).then(|| Piece { file_offset: start, length: end - start, source: Source::Zero })
}
