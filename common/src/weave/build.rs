//! The weaver: from a ticket to the nodes of its version (the algorithm is drawn in the [module](super)).
//!
//! It goes down from the root through the slots of T_v, and beside it through the base tree, always at the same slot. A child is,
//! in this order: its own node, the newest entry in flight that touches it, what the base says. A base node is asked for only if
//! something of it will be seen: where entries in flight or the update itself have overwritten everything, or where the base has
//! no pages, no round trip is made. A sequential writer of whole leaves reads only inner nodes, which it wrote itself just before.

use crate::id::{BlobId, BlobVersion, NodeId};
use crate::weave::ranges::Ranges;
use crate::weave::walk::{Content, Place};
use crate::weave::{Footprint, Geometry, LogEntry, Node, NodeRef, PageDescriptor, Slot, Tree, Walk, WalkError};
use std::collections::BTreeMap;

/// Computes T_v: every node that one version must store, root included. See [`Walk`] for how it is driven.
///
/// Nodes come out in no particular order; all may be stored in parallel, and nobody can see them before the version is committed.
/// Whoever weaves the version, from whatever base, gets the same nodes.
#[derive(Debug)]
pub struct Weaver<'t> {
    blob: BlobId,
    geometry: Geometry,
    own: Footprint<'t>,
    /// Newest first.
    in_flight: Vec<Footprint<'t>>,
    base_pages: u64,
    /// Pages of which nothing of the base remains.
    settled: Ranges,
    waiting: BTreeMap<NodeId, Task>,
    woven: Vec<(NodeId, Node)>,
}

/// A slot to be woven (or, above the version's root, to be passed on the way down the base).
#[derive(Debug)]
struct Task {
    /// What the base has there.
    base: Place,
    /// Which of the entries in flight touch the slot, newest first. Those that do not, touch nothing below it either.
    touching: Vec<usize>,
}

impl<'t> Weaver<'t> {
    /// A weaver for a ticket: the tree of a published version, the entries assigned after it in ascending order, and the entry
    /// to be woven. A base that lies further back, with more entries in flight, gives the same nodes.
    ///
    /// # Errors
    /// [`WalkError::Gap`] when an entry is missing in between.
    pub fn new(base: &Tree, in_flight: &'t [LogEntry], entry: &'t LogEntry) -> Result<Self, WalkError> {
        let versions = in_flight.iter().chain([entry]).map(|entry| entry.version);
        let expected = (base.version.0 + 1..).map(BlobVersion);
        if versions.zip(expected).any(|(version, expected)| version != expected) {
            return Err(WalkError::Gap { base: base.version, version: entry.version });
        }
        let geometry = base.geometry;
        let own = Footprint::of(entry, geometry);
        let in_flight: Vec<_> = in_flight.iter().rev().map(|entry| Footprint::of(entry, geometry)).collect();
        let settled = Ranges::union(in_flight.iter().chain([&own]).flat_map(Footprint::covered));
        let base_pages = geometry.pages(base.size);
        let mut weaver =
            Self { blob: base.blob, geometry, own, in_flight, base_pages, settled, waiting: BTreeMap::new(), woven: Vec::new() };
        let place = Place::root(base).raised(entry.height);
        let touching = weaver.touching(place.slot, 0..weaver.in_flight.len());
        weaver.run(vec![Task { base: place, touching }]);
        Ok(weaver)
    }

    /// Works off `tasks` and what they lead to, until only such are left as wait for a node.
    fn run(&mut self, mut tasks: Vec<Task>) {
        while let Some(task) = tasks.pop() {
            match task.base.node_id(self.blob.volume) {
                Some(id) if self.sees_base(&task) => {
                    self.waiting.insert(id, task);
                }
                _ => tasks.extend(self.weave(&task, task.base.content())),
            }
        }
    }

    /// Whether the content of the base at the slot matters for the slot's node, or for any below it.
    fn sees_base(&self, task: &Task) -> bool {
        let slot = task.base.slot;
        match slot.level {
            level if level > self.own.entry().height => self.shows(slot.child(self.geometry, 0)),
            1 => self.shows(slot),
            _ => self.children(slot).any(|(_, child)| {
                let passed_over = self.own.touches(child) && !self.own.weaves(child);
                let in_flight = task.touching.iter().any(|entry| self.in_flight[*entry].touches(child));
                match self.own.weaves(child) {
                    true => self.shows(child),
                    false => !passed_over && !in_flight && child.pages(self.geometry).start < self.base_pages,
                }
            }),
        }
    }

    /// Whether any byte of the base may be left in the slot.
    fn shows(&self, slot: Slot) -> bool {
        let pages = slot.pages(self.geometry);
        !self.settled.contains(&(pages.start..pages.end.min(self.base_pages)))
    }

    /// Makes the slot's node from the base's `content` there; returns the slots below it that are woven too.
    fn weave(&mut self, task: &Task, content: Content<'_>) -> Vec<Task> {
        let slot = task.base.slot;
        if slot.level > self.own.entry().height {
            return vec![self.task_below(task, slot.child(self.geometry, 0), content.child(0))];
        }
        let mut below = Vec::new();
        let node = if slot.level == 1 {
            let pages = slot.pages(self.geometry).enumerate();
            Node::Leaf(pages.map(|(place, page)| self.page(task, page, content.page(place))).collect())
        } else {
            let mut children = Vec::with_capacity(self.geometry.fan_out() as usize);
            for (place, child) in self.children(slot) {
                let base = content.child(place);
                children.push(self.reference(task, child, base));
                if self.own.weaves(child) {
                    below.push(self.task_below(task, child, base));
                }
            }
            Node::Inner(children)
        };
        let id = NodeId { blob: self.blob, version: self.own.entry().version, level: slot.level, index: slot.index };
        self.woven.push((id, node));
        below
    }

    /// `Ref(v, child)`: the newest version that touches the child decides; if it is none of ours, the base does.
    fn reference(&self, task: &Task, child: Slot, base: Option<NodeRef>) -> Option<NodeRef> {
        let in_flight = task.touching.iter().map(|entry| &self.in_flight[*entry]);
        let newest = [&self.own].into_iter().chain(in_flight).find(|entry| entry.touches(child));
        newest.map_or(base, |newest| newest.reference(self.blob, child))
    }

    /// A page: the updates that touch it, from the newest that leaves nothing older, laid over each other.
    fn page(&self, task: &Task, page: u64, base: Option<&PageDescriptor>) -> PageDescriptor {
        let in_flight = task.touching.iter().map(|entry| &self.in_flight[*entry]);
        let mut layers = Vec::new();
        let mut bottom = base;
        for entry in [&self.own].into_iter().chain(in_flight).filter(|entry| entry.touches_page(page)) {
            layers.push(entry);
            if entry.covers_page(page) {
                bottom = None;
                break;
            }
        }
        let mut descriptor = bottom.cloned().unwrap_or_default();
        for entry in layers.into_iter().rev() {
            entry.apply(self.blob, page, &mut descriptor);
        }
        descriptor
    }

    fn task_below(&self, task: &Task, slot: Slot, base: Option<NodeRef>) -> Task {
        let touching = self.touching(slot, task.touching.iter().copied());
        Task { base: Place { slot, reference: base }, touching }
    }

    fn touching(&self, slot: Slot, candidates: impl Iterator<Item = usize>) -> Vec<usize> {
        candidates.filter(|entry| self.in_flight[*entry].touches(slot)).collect()
    }

    fn children(&self, slot: Slot) -> impl Iterator<Item = (usize, Slot)> + use<> {
        let geometry = self.geometry;
        (0..geometry.fan_out() as usize).map(move |place| (place, slot.child(geometry, place)))
    }
}

impl Walk for Weaver<'_> {
    type Output = Vec<(NodeId, Node)>;

    fn missing(&self) -> Vec<NodeId> {
        self.waiting.keys().copied().collect()
    }

    fn supply(&mut self, id: &NodeId, node: &Node) -> Result<(), WalkError> {
        let content = Content::of(id, node, self.geometry)?;
        let task = self.waiting.remove(id).ok_or(WalkError::NotAsked(*id))?;
        let below = self.weave(&task, content);
        self.run(below);
        Ok(())
    }

    fn finish(self) -> Result<Self::Output, WalkError> {
        if self.waiting.is_empty() { Ok(self.woven) } else { Err(WalkError::Incomplete(self.waiting.len())) }
    }
}

/// The pages among newly woven nodes that have become so fragmented that their writer should offer to compact them.
#[must_use]
pub fn crowded_pages(woven: &[(NodeId, Node)], geometry: Geometry) -> Vec<u64> {
    let mut crowded = Vec::new();
    for (id, node) in woven {
        let Node::Leaf(pages) = node else { continue };
        let slot = Slot { level: id.level, index: id.index };
        let numbered = slot.pages(geometry).zip(pages);
        crowded.extend(numbered.filter(|(_, page)| page.needs_compaction()).map(|(number, _)| number));
    }
    crowded.sort_unstable();
    crowded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Digest;
    use crate::id::{GroupId, PageObjectId, SessionId, VolumeId};
    use crate::weave::{Birth, DataExtent, Fragment, Operation, PageObject, Update, assign, tree_of};

    const PAGE: u32 = 1 << 16;

    fn pages(range: std::ops::Range<u64>) -> Operation {
        let mut update = Update::default();
        for (place, page) in range.enumerate() {
            let id = PageObjectId { session: SessionId(1), sequence: page };
            update.objects.push(PageObject { id, length: PAGE, digest: Digest(0), group: GroupId(0) });
            let offset = page * u64::from(PAGE);
            update.data.push(DataExtent { offset, length: PAGE, object: place as u32, object_offset: 0 });
        }
        Operation::Write(update)
    }

    fn empty() -> Tree {
        Tree::empty(BlobId { volume: VolumeId(1), number: 2 }, Geometry::new(PAGE, 4).unwrap())
    }

    fn log(operations: Vec<Operation>) -> Vec<LogEntry> {
        let mut entries: Vec<LogEntry> = Vec::new();
        for operation in operations {
            let (version, size) = entries.last().map_or((BlobVersion(0), 0), |entry| (entry.version, entry.size));
            entries.push(assign(empty().geometry, version, size, operation).unwrap());
        }
        entries
    }

    #[test]
    fn a_writer_of_whole_leaves_reads_only_the_way_to_its_place() {
        let log = log((0..16).map(|leaf| pages(leaf * 4..leaf * 4 + 4)).collect());
        for (place, entry) in log.iter().enumerate() {
            let base = place.checked_sub(1).map_or(empty(), |before| tree_of(empty().blob, empty().geometry, &log[before]));
            let weaver = Weaver::new(&base, &[], entry).unwrap();
            let levels: Vec<_> = weaver.missing().iter().map(|id| id.level).collect();
            // Never a leaf, and where a subtree begins not even its root.
            assert!(levels.iter().all(|level| *level > 1), "version {}: {levels:?}", entry.version);
            assert_eq!(levels.is_empty(), [1, 2, 5].contains(&entry.version.0), "version {}: {levels:?}", entry.version);
        }
    }

    #[test]
    fn a_gap_before_the_version_is_refused() {
        let log = log(vec![pages(0..1), pages(1..2), pages(2..3)]);
        assert!(matches!(Weaver::new(&empty(), &log[..1], &log[2]), Err(WalkError::Gap { .. })));
        assert!(matches!(Weaver::new(&empty(), &log[1..2], &log[2]), Err(WalkError::Gap { .. })));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_walk_goes_on() {
        let log = log(vec![pages(0..2), pages(1..2)]);
        let base = tree_of(empty().blob, empty().geometry, &log[0]);
        let root = base.root_id().unwrap();
        let mut weaver = Weaver::new(&base, &[], &log[1]).unwrap();
        assert_eq!(weaver.missing(), [root]);
        let leaf = |fan_out| Node::Leaf(vec![PageDescriptor::default(); fan_out]);
        assert!(matches!(weaver.supply(&root, &leaf(8)), Err(WalkError::Malformed { .. })));
        assert!(matches!(weaver.supply(&root, &Node::Inner(vec![None; 4])), Err(WalkError::Malformed { .. })));
        let other = NodeId { index: 1, ..root };
        assert_eq!(weaver.supply(&other, &leaf(4)), Err(WalkError::NotAsked(other)));
        assert_eq!(weaver.missing(), [root]);
        weaver.supply(&root, &leaf(4)).unwrap();
        assert_eq!(weaver.finish().unwrap().len(), 1);
        assert_eq!(Weaver::new(&base, &[], &log[1]).unwrap().finish(), Err(WalkError::Incomplete(1)));
    }

    #[test]
    fn crowded_pages_are_named() {
        let id = |index| NodeId { blob: empty().blob, version: BlobVersion(1), level: 1, index };
        let mut crowded = PageDescriptor::default();
        for i in 0..17 {
            let object = PageObject {
                id: PageObjectId { session: SessionId(1), sequence: i },
                length: 1,
                digest: Digest(0),
                group: GroupId(0),
            };
            let born = Birth { blob: 2, version: BlobVersion(1), border: None };
            crowded.overlay(Fragment { page_offset: i as u32, length: 1, object, object_offset: 0, born });
        }
        let leaf = |last| Node::Leaf(vec![PageDescriptor::default(), PageDescriptor::default(), PageDescriptor::default(), last]);
        let woven = [(id(5), leaf(crowded.clone())), (id(2), leaf(crowded)), (id(3), leaf(PageDescriptor::default()))];
        assert_eq!(crowded_pages(&woven, empty().geometry), [11, 23]);
    }
}
