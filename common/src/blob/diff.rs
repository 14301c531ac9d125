//! What two blob versions differ in: both trees are walked in lockstep, and equal references are not entered.

use crate::id::{NodeId, VolumeId};
use crate::weave::ranges::Ranges;
use crate::weave::{ByteRange, Content, Geometry, Node, Place, Slot, Tree, Walk, WalkError};
use std::collections::BTreeMap;

/// Finds the ranges in which two trees of one volume may differ: whole pages, cut at the larger size, in order, merged. What it
/// leaves out is the same in both. It compares where bytes are stored, not the bytes: a page that was written again counts.
/// Bytes that only the longer one has count as changed. Trees of different geometry share nothing and differ everywhere.
#[derive(Debug)]
pub struct ChangedRanges {
    volume: VolumeId,
    geometry: Geometry,
    sizes: (u64, u64),
    /// The nodes that are waited for, each with the slot of its pair. Equal nodes are never waited for, so a slot's two differ.
    waiting: BTreeMap<NodeId, Slot>,
    pairs: BTreeMap<Slot, Pair>,
    changed: Vec<std::ops::Range<u64>>,
}

/// Both trees at one slot, and those of their nodes that are there already.
#[derive(Debug)]
struct Pair {
    places: [Place; 2],
    nodes: [Option<Node>; 2],
}

impl ChangedRanges {
    /// A comparison of two versions, of one blob or of two (a clone and its origin).
    #[must_use]
    pub fn new(old: &Tree, new: &Tree) -> Self {
        let mut walk = Self {
            volume: old.blob.volume,
            geometry: old.geometry,
            sizes: (old.size.min(new.size), old.size.max(new.size)),
            waiting: BTreeMap::new(),
            pairs: BTreeMap::new(),
            changed: Vec::new(),
        };
        if old.geometry == new.geometry && old.blob.volume == new.blob.volume {
            let (old, new) = (Place::root(old), Place::root(new));
            walk.visit([old.raised(new.slot.level), new.raised(old.slot.level)]);
        } else {
            walk.changed.push(0..walk.geometry.pages(walk.sizes.1));
        }
        walk
    }

    /// Compares two places at the same slot: waits for their nodes, or goes on without where none is needed.
    fn visit(&mut self, places: [Place; 2]) {
        let mut stack = vec![places];
        while let Some(places) = stack.pop() {
            let slot = places[0].slot;
            if places[0].reference == places[1].reference || slot.pages(self.geometry).start >= self.geometry.pages(self.sizes.1)
            {
                continue;
            }
            let ids: Vec<_> = places.iter().filter_map(|place| place.node_id(self.volume)).collect();
            if ids.is_empty() {
                stack.extend(self.below(places, places.map(|place| place.content())));
            } else {
                self.waiting.extend(ids.into_iter().map(|id| (id, slot)));
                self.pairs.insert(slot, Pair { places, nodes: [None, None] });
            }
        }
    }

    /// The pairs under a slot; of a leaf, its pages are compared at once.
    fn below(&mut self, places: [Place; 2], contents: [Content<'_>; 2]) -> Vec<[Place; 2]> {
        let slot = places[0].slot;
        let positions = 0..self.geometry.fan_out() as usize;
        if slot.level > 1 {
            let place = |content: &Content<'_>, position| Place {
                slot: slot.child(self.geometry, position),
                reference: content.child(position),
            };
            return positions.map(|position| contents.each_ref().map(|content| place(content, position))).collect();
        }
        let first = slot.pages(self.geometry).start;
        let differs = |position: &usize| contents[0].page(*position) != contents[1].page(*position);
        self.changed.extend(positions.filter(differs).map(|position| first + position as u64..first + position as u64 + 1));
        Vec::new()
    }

    fn compare(&mut self, pair: &Pair) -> Result<(), WalkError> {
        let mut contents = pair.places.map(|place| place.content());
        for (content, (place, node)) in contents.iter_mut().zip(pair.places.iter().zip(&pair.nodes)) {
            if let (Some(id), Some(node)) = (place.node_id(self.volume), node) {
                *content = Content::of(&id, node, self.geometry)?;
            }
        }
        for places in self.below(pair.places, contents) {
            self.visit(places);
        }
        Ok(())
    }
}

impl Walk for ChangedRanges {
    type Output = Vec<ByteRange>;

    fn missing(&self) -> Vec<NodeId> {
        self.waiting.keys().copied().collect()
    }

    fn supply(&mut self, id: &NodeId, node: &Node) -> Result<(), WalkError> {
        Content::of(id, node, self.geometry)?;
        let slot = self.waiting.remove(id).ok_or(WalkError::NotAsked(*id))?;
        let Some(mut pair) = self.pairs.remove(&slot) else { return Ok(()) };
        let mut complete = true;
        for (place, held) in pair.places.iter().zip(&mut pair.nodes) {
            match place.node_id(self.volume) {
                Some(wanted) if wanted == *id => *held = Some(node.clone()),
                Some(_) => complete &= held.is_some(),
                None => {}
            }
        }
        if complete {
            return self.compare(&pair);
        }
        self.pairs.insert(slot, pair);
        Ok(())
    }

    fn finish(self) -> Result<Vec<ByteRange>, WalkError> {
        if !self.waiting.is_empty() {
            return Err(WalkError::Incomplete(self.waiting.len()));
        }
        let (shorter, longer) = self.sizes;
        let page_size = u64::from(self.geometry.page_size());
        let bytes = |pages: std::ops::Range<u64>| pages.start.saturating_mul(page_size)..pages.end.saturating_mul(page_size);
        let changed = Ranges::union(self.changed.into_iter().map(bytes).chain(std::iter::once(shorter..longer)));
        let cut = changed.iter().map(|range| ByteRange::new(range.start, range.end.min(longer)));
        Ok(cut.filter(|range| !range.is_empty()).collect())
    }
}
