//! The definitions, by brute force: no search, no sets, no base; the whole log every time.
//!
//! `Touch(w,σ)`: σ meets the update of w, or σ has index 0 and lies at or above w's root. `Last(v,σ)`: the greatest w ≤ v that
//! touches σ. `Ref(v,σ)` with w = Last: a hole if σ lies wholly in w's holes (unless at or above its root), else
//! (w, min(level, h_w)). `Node(v,σ)`: the references to the children; a leaf's page is all updates laid over one another.

use super::faults::Fault;
use crate::id::{BlobId, BlobVersion, NodeId};
use crate::weave::{Birth, Fragment, Geometry, LogEntry, Node, NodeRef, PageDescriptor, Slot, Tree, tree_of};

/// A blob's whole log.
#[derive(Clone, Debug)]
pub struct BlobLog {
    pub id: BlobId,
    /// Place among the logs and version of what this is a clone of.
    pub origin: Option<(usize, u64)>,
    /// Versions 1, 2, ….
    pub entries: Vec<LogEntry>,
}

/// All blobs' logs, and the bug that is planted in the definitions, if any.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'l> {
    pub logs: &'l [BlobLog],
    pub geometry: Geometry,
    pub fault: Option<Fault>,
}

impl Definition<'_> {
    /// The tree of a version; that of a clone's version 0 is its origin's.
    pub fn tree(&self, blob: usize, version: u64) -> Tree {
        let log = &self.logs[blob];
        match (version.checked_sub(1), log.origin) {
            (Some(place), _) => tree_of(log.id, self.geometry, &log.entries[place as usize]),
            (None, None) => Tree::empty(log.id, self.geometry),
            (None, Some((origin, version))) => Tree { blob: log.id, version: BlobVersion(0), ..self.tree(origin, version) },
        }
    }

    /// T_v: the version's root, and below it every slot that meets the update and is not wiped out.
    pub fn nodes(&self, blob: usize, version: u64) -> Vec<(NodeId, Node)> {
        let entry = &self.logs[blob].entries[version as usize - 1];
        let mut stack = vec![Slot::root(entry.height)];
        let mut nodes = Vec::new();
        while let Some(slot) = stack.pop() {
            let id = NodeId { blob: self.logs[blob].id, version: BlobVersion(version), level: slot.level, index: slot.index };
            nodes.push((id, self.node(blob, version, slot)));
            if slot.level > 1 {
                let children = (0..self.geometry.fan_out() as usize).map(|place| slot.child(self.geometry, place));
                stack.extend(children.filter(|child| self.meets(entry, *child) && !self.within_holes(entry, *child)));
            }
        }
        nodes
    }

    fn node(&self, blob: usize, version: u64, slot: Slot) -> Node {
        if slot.level == 1 {
            return Node::Leaf(slot.pages(self.geometry).map(|page| self.page(blob, version, page)).collect());
        }
        let places = 0..self.geometry.fan_out() as usize;
        Node::Inner(places.map(|place| self.reference(blob, version, slot.child(self.geometry, place))).collect())
    }

    /// `Ref(v,σ)`.
    pub fn reference(&self, blob: usize, version: u64, slot: Slot) -> Option<NodeRef> {
        let log = &self.logs[blob];
        let touches = |entry: &&LogEntry| self.meets(entry, slot) || (slot.index == 0 && slot.level >= entry.height);
        let Some(last) = log.entries[..version as usize].iter().rev().find(touches) else {
            return log.origin.and_then(|(origin, version)| self.reference(origin, version, slot));
        };
        let above_root = slot.index == 0 && slot.level >= last.height;
        if self.within_holes(last, slot) && !above_root {
            return None;
        }
        let shortened = slot.level.min(last.height);
        let level = if self.fault == Some(Fault::NoSpineCompression) { slot.level } else { shortened };
        Some(NodeRef { blob: log.id.number, version: last.version, level })
    }

    /// A page: between any two borders of extents the newest update that says anything decides.
    fn page(&self, blob: usize, version: u64, page: u64) -> PageDescriptor {
        let page_size = u64::from(self.geometry.page_size());
        let (page_start, page_end) = (page * page_size, (page + 1) * page_size);
        let meets = |(_, entry): &(u64, &LogEntry)| self.meets(entry, Slot { level: 0, index: page });
        let layers: Vec<_> = self.lineage(blob, version).into_iter().filter(meets).collect();
        if layers.is_empty() {
            return PageDescriptor::default();
        }
        let mut borders: Vec<u64> = layers.iter().flat_map(|(_, entry)| self.borders(entry)).collect();
        borders.extend([page_start, page_end]);
        borders.retain(|border| (page_start..=page_end).contains(border));
        borders.sort_unstable();
        borders.dedup();
        let mut fragments: Vec<Fragment> = Vec::new();
        for pair in borders.windows(2) {
            let Some(fragment) = layers.iter().find_map(|(blob, entry)| self.source(*blob, entry, pair[0])).flatten() else {
                continue;
            };
            let length = (pair[1] - pair[0]) as u32;
            let fragment = Fragment { page_offset: (pair[0] - page_start) as u32, length, ..fragment };
            match fragments.last_mut() {
                Some(last)
                    if last.object == fragment.object
                        && last.page_offset + last.length == fragment.page_offset
                        && last.object_offset + last.length == fragment.object_offset =>
                {
                    last.length += length;
                }
                _ => fragments.push(fragment),
            }
        }
        PageDescriptor { fragments }
    }

    /// All updates that made a version, newest first, each with its blob's number; those of the origin too.
    fn lineage(&self, blob: usize, version: u64) -> Vec<(u64, &LogEntry)> {
        let log = &self.logs[blob];
        let mut entries: Vec<_> = log.entries[..version as usize].iter().rev().map(|entry| (log.id.number, entry)).collect();
        if let Some((origin, version)) = log.origin {
            entries.extend(self.lineage(origin, version));
        }
        entries
    }

    /// What the update says of one byte: nothing, zero, or where it is.
    fn source(&self, blob: u64, entry: &LogEntry, byte: u64) -> Option<Option<Fragment>> {
        let hit = |(start, end): &(u64, u64)| *start <= byte && byte < *end;
        for extent in &entry.update.data {
            if hit(&(extent.offset, extent.offset + u64::from(extent.length))) {
                let object = entry.update.objects[extent.object as usize];
                let object_offset = extent.object_offset + (byte - extent.offset) as u32;
                let born = Birth { blob, version: entry.version, border: self.border(entry, extent.object) };
                return Some(Some(Fragment { page_offset: 0, length: 0, object, object_offset, born }));
            }
        }
        self.holes(entry).iter().any(hit).then_some(None)
    }

    /// The second page that has bytes of an object, if two have.
    fn border(&self, entry: &LogEntry, object: u32) -> Option<u64> {
        let page_size = u64::from(self.geometry.page_size());
        let extents = entry.update.data.iter().filter(|extent| extent.object == object);
        let pages =
            extents.map(|extent| [extent.offset, extent.offset + u64::from(extent.length) - 1].map(|byte| byte / page_size));
        let (lowest, highest) = pages.fold((u64::MAX, 0), |(low, high), [first, last]| (low.min(first), high.max(last)));
        (lowest < highest).then_some(highest)
    }

    fn borders(&self, entry: &LogEntry) -> Vec<u64> {
        let data = entry.update.data.iter().map(|extent| (extent.offset, extent.offset + u64::from(extent.length)));
        data.chain(self.holes(entry)).flat_map(|(start, end)| [start, end]).collect()
    }

    /// The zeroed bytes, in order.
    fn holes(&self, entry: &LogEntry) -> Vec<(u64, u64)> {
        let mut holes: Vec<_> = entry.update.holes.iter().map(|hole| (hole.start, hole.end)).collect();
        let page_size = u64::from(self.geometry.page_size());
        holes.extend(entry.update.cut_to.map(|cut| match self.fault {
            Some(Fault::CutKeepsPartPage) => (cut.div_ceil(page_size) * page_size, u64::MAX),
            _ => (cut, u64::MAX),
        }));
        holes.sort_unstable();
        holes
    }

    /// The bytes of a slot; level 0 is a page.
    fn bytes(&self, slot: Slot) -> (u64, u64) {
        let pages = slot.pages(self.geometry);
        let page_size = u64::from(self.geometry.page_size());
        (pages.start.saturating_mul(page_size), pages.end.saturating_mul(page_size))
    }

    fn meets(&self, entry: &LogEntry, slot: Slot) -> bool {
        self.has_data(entry, slot) || self.holes(entry).iter().any(|hole| overlap(*hole, self.bytes(slot)))
    }

    fn has_data(&self, entry: &LogEntry, slot: Slot) -> bool {
        let extents = entry.update.data.iter().map(|extent| (extent.offset, extent.offset + u64::from(extent.length)));
        extents.into_iter().any(|extent| overlap(extent, self.bytes(slot)))
    }

    fn within_holes(&self, entry: &LogEntry, slot: Slot) -> bool {
        let (mut reached, end) = self.bytes(slot);
        for (hole_start, hole_end) in self.holes(entry) {
            if hole_start <= reached {
                reached = reached.max(hole_end);
            }
        }
        reached >= end && !self.has_data(entry, slot)
    }
}

fn overlap(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 < b.1 && b.0 < a.1
}
