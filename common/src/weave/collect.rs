//! Collection: what goes when one version of a blob is dropped.
//!
//! # Which nodes
//! A node (w,σ) is reached from the versions w, w+1, … up to the next one that touches σ, and from no others: *a node's life is
//! an interval*. So is a page object's, which begins with the version that brought it and ends when its last byte is overwritten.
//! Therefore the two kept neighbours a < r < b of the dropped version r tell everything. What tree(r) reaches is still needed
//!
//! - by an older version exactly if it was born in version a or before (then a, which lies in its interval, needs it);
//! - by a newer one, kept, in flight or to come, exactly if tree(b) reaches it.
//!
//! Both trees are walked in lockstep. Where they have the same reference, or r's reference is of a or older, there is nothing to
//! do below; all other nodes of r go.
//!
//! ```text
//! tree(r)    9.3.0 ───┬──────────┐           tree(b)   12.3.0 ───┬──────────┐
//!                   7.2.0      9.2.1                           7.2.0     12.2.1        a = 8
//!               (not entered)  │    │                                    │    │
//!                           9.1.2  5.1.3                              12.1.2  5.1.3
//!                            goes                                                      9.1.2, 9.2.1 and 9.3.0 go, in this order
//! ```
//!
//! # Clones
//! A clone's version 0 is a root of its origin. The *origin* has to keep that version like any other, as long as the clone is
//! there: it is a neighbour, too (the pin). In the *clone* version 0 counts as kept until the clone is gone, so whatever
//! another blob made is older than every version that is dropped here: references and objects that name another blob stay.
//!
//! # Which page objects
//! A leaf that goes takes along the objects that lie on its pages, were born after a, and lie nowhere in tree(b). One object may
//! lie on several leaves: an append learns only from its ticket where the page border falls. Were it judged by one leaf alone,
//! it would be deleted while another leaf, that r shares with b, still needs it. That is why an update may use an object only
//! within one page's length, and why every fragment says in which version its object was born and which two pages it lies on, if
//! it lies on two ([`Birth`](super::Birth)): if the other page is another leaf's, tree(b) is asked there as well. Rewriting
//! (compaction) is no special case: it is an update that brings objects, and those which it covers end their life with it.
//!
//! # Order, and beginning again
//! Deletions come in batches, bottom up: a leaf after its objects, a node after its children. Whoever begins the walk
//! again, because the process died or the state was dropped, finds everything that is left: a node of r that is
//! missing was deleted by the walk before, and so was all below it that had to go.
//!
//! # Damage
//! A missing node of b is damage: a loss of power took it, or all disks that had it. What b reaches below it cannot be told, so what r has
//! there stays, and all else of r goes. Nobody walks over what stayed again; it is an orphan, and a sweep finds it when b is gone as well.
//! Were the walk to end instead, the blob would keep all that was written to it before b for ever.
//!
//! Three conditions are the caller's. r is marked and can no longer be opened, cloned or restored. Walks of one blob go *one after
//! the other*, each to its end: until then r is whole for no other walk, and a and b have to stay. And nobody stores nodes of r
//! any more: a late duplicate of its writer would come back as garbage that nobody finds but `weft fsck`.

use crate::id::{BlobVersion, NodeId, PageObjectId, VolumeId};
use crate::weave::{Content, Geometry, Node, PageDescriptor, PageObject, Place, Slot, Tree, WalkError};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Places that are looked at in one round: bounds the nodes held at once to twice as many, and the size of a batch.
const PLACES_AT_ONCE: usize = 32;
/// Nodes that may wait for the batch of the next leaves.
const NODES_WAITING_MAX: usize = 256;

/// What has to be deleted next: all of `objects` first, then `nodes`; within each in any order and at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Page objects; one may come in more than one batch.
    pub objects: Vec<PageObject>,
    /// Nodes.
    pub nodes: Vec<NodeId>,
}

impl Garbage {
    /// Whether nothing has to be deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.nodes.is_empty()
    }
}

/// What a collection asks of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectStep {
    /// Supply these nodes.
    Read(Vec<NodeId>),
    /// Delete this, and ask for the next step when it is done for good.
    Delete(Garbage),
    /// Everything is deleted; the version can be forgotten.
    Done,
}

/// The walk that finds what to delete. See the module.
///
/// ```ignore
/// loop {
///     match walk.step() {
///         CollectStep::Read(ids) => for id in ids { walk.supply(&id, store.get(&id).await?.as_ref())? },
///         CollectStep::Delete(garbage) => { store.delete(garbage.objects).await?; store.delete(garbage.nodes).await? }
///         CollectStep::Done => break,
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Collection {
    volume: VolumeId,
    blob: u64,
    geometry: Geometry,
    /// The kept neighbour below.
    older: BlobVersion,
    /// The root of the kept neighbour above; a hole if there is none.
    newer: Place,
    /// The way down to where the walk is: places of r that are left to be looked at, and the nodes that go after them.
    stack: Vec<Frame>,
    /// The round under way.
    visits: Vec<Pair>,
    probes: Vec<Probe>,
    wanted: BTreeMap<NodeId, Wanted>,
    held: HashMap<NodeId, Node>,
    /// What goes once everything of the round is known.
    pending: Garbage,
    ready: VecDeque<Garbage>,
    lost: Vec<NodeId>,
}

/// Both trees at one slot.
#[derive(Clone, Copy, Debug)]
struct Pair {
    dropped: Place,
    newer: Place,
}

/// A node that goes when `rest` is done; none where a reference was shortened.
#[derive(Clone, Debug)]
struct Frame {
    level: u8,
    node: Option<NodeId>,
    rest: Vec<Pair>,
}

/// The question whether any of `objects` lies on leaf `leaf` of the newer tree; `place` is on the way there.
#[derive(Clone, Debug)]
struct Probe {
    place: Place,
    leaf: u64,
    objects: Vec<PageObject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// A node of the dropped version: may be gone already.
    Dropped,
    /// A node of the kept one.
    Kept,
}

impl Collection {
    /// What goes with `dropped`. `older` is the newest version below it of the same blob that is kept: for the oldest one
    /// version 0, which a clone keeps and others do not have. `newer` is the oldest kept version above it; `None` only if the
    /// file is deleted and no newer version is kept: the newest published version is needed by those that are in flight.
    #[must_use]
    pub fn new(dropped: &Tree, older: BlobVersion, newer: Option<&Tree>) -> Self {
        let hole = Place { slot: Slot::root(1), reference: None };
        let mut walk = Self {
            volume: dropped.blob.volume,
            blob: dropped.blob.number,
            geometry: dropped.geometry,
            older,
            newer: newer.map_or(hole, Place::root),
            stack: Vec::new(),
            visits: Vec::new(),
            probes: Vec::new(),
            wanted: BTreeMap::new(),
            held: HashMap::new(),
            pending: Garbage::default(),
            ready: VecDeque::new(),
            lost: Vec::new(),
        };
        let root = Place::root(dropped).raised(walk.newer.slot.level);
        walk.newer = walk.newer.raised(root.slot.level);
        let pair = Pair { dropped: root, newer: walk.newer };
        walk.stack.push(Frame { level: root.slot.level.saturating_add(1), node: None, rest: walk.doomed([pair]) });
        walk
    }

    /// What to do next. Asking again without supplying gives the same nodes; a batch is given once.
    pub fn step(&mut self) -> CollectStep {
        loop {
            if let Some(garbage) = self.ready.pop_front() {
                return CollectStep::Delete(garbage);
            }
            if !self.wanted.is_empty() {
                return CollectStep::Read(self.wanted.keys().copied().collect());
            }
            if !self.visits.is_empty() {
                self.look();
            } else if !self.probes.is_empty() {
                self.ask();
            } else if self.stack.is_empty() {
                if self.pending.is_empty() {
                    return CollectStep::Done;
                }
                self.flush();
            } else {
                self.next_round();
            }
        }
    }

    /// Hands in a node that was asked for; `None` if every server that should have it says that it has not. A server
    /// that does not answer is no such thing.
    ///
    /// # Errors
    /// [`WalkError::NotAsked`]; [`WalkError::Malformed`] means damage.
    pub fn supply(&mut self, id: &NodeId, node: Option<&Node>) -> Result<(), WalkError> {
        let wanted = *self.wanted.get(id).ok_or(WalkError::NotAsked(*id))?;
        match node {
            Some(node) => {
                Content::of(id, node, self.geometry)?;
                self.held.insert(*id, node.clone());
            }
            None if wanted == Wanted::Kept => self.lost.push(*id),
            None => {}
        }
        self.wanted.remove(id);
        Ok(())
    }

    /// Nodes of the kept version that are lost: what lies below them in the dropped one stays. See the module.
    #[must_use]
    pub fn lost(&self) -> &[NodeId] {
        &self.lost
    }

    /// Whether the nodes asked for are of the kept version and tell where a page object lies that lies on two leaves.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        !self.probes.is_empty()
    }

    /// The pairs below which something may have to go.
    fn doomed(&self, pairs: impl IntoIterator<Item = Pair>) -> Vec<Pair> {
        let is_ours = |pair: &Pair| {
            let own = |reference: &crate::weave::NodeRef| reference.blob == self.blob && reference.version > self.older;
            pair.dropped.reference.as_ref().is_some_and(own) && pair.dropped.reference != pair.newer.reference
        };
        pairs.into_iter().filter(is_ours).collect()
    }

    /// Goes on where the way down ends, or one step back up.
    fn next_round(&mut self) {
        let Some(top) = self.stack.last() else { return };
        if top.rest.is_empty() {
            let node = self.stack.pop().and_then(|frame| frame.node);
            if let Some(node) = node {
                self.give_up(node);
            }
            return;
        }
        // Neighbours of one level make a round together: with a small fan-out one node has few children.
        let level = top.level;
        for frame in self.stack.iter_mut().rev().take_while(|frame| frame.level == level) {
            let room = PLACES_AT_ONCE - self.visits.len();
            self.visits.extend(frame.rest.split_off(frame.rest.len().saturating_sub(room)));
        }
        for pair in &self.visits {
            self.wanted.extend(pair.newer.node_id(self.volume).map(|id| (id, Wanted::Kept)));
            self.wanted.extend(pair.dropped.node_id(self.volume).map(|id| (id, Wanted::Dropped)));
        }
    }

    /// Works off a round whose nodes are all there: inner nodes become frames, leaves go, with what lies only on them.
    fn look(&mut self) {
        let visits = std::mem::take(&mut self.visits);
        let held = std::mem::take(&mut self.held);
        let mut leaves = Vec::new();
        for pair in visits {
            let node = pair.dropped.node_id(self.volume);
            let Some(dropped) = self.content(pair.dropped, &held) else { continue };
            let Some(newer) = self.content(pair.newer, &held) else { continue };
            let slot = pair.dropped.slot;
            if let (Content::Leaf(pages), Some(id)) = (dropped, node) {
                leaves.push(DoomedLeaf { id, slot, pages, kept: objects_of(newer) });
            } else if slot.level > 1 {
                let below = (0..self.geometry.fan_out() as usize).map(|place| {
                    let child =
                        |content: &Content<'_>| Place { slot: slot.child(self.geometry, place), reference: content.child(place) };
                    Pair { dropped: child(&dropped), newer: child(&newer) }
                });
                self.stack.push(Frame { level: slot.level, node, rest: self.doomed(below) });
            }
        }
        self.judge(&leaves);
    }

    /// The content at a place; `None` if its node is gone or lost.
    fn content<'n>(&self, place: Place, held: &'n HashMap<NodeId, Node>) -> Option<Content<'n>> {
        match place.node_id(self.volume) {
            None => Some(place.content()),
            // Its shape was checked when it was supplied.
            Some(id) => held.get(&id).and_then(|node| Content::of(&id, node, self.geometry).ok()),
        }
    }

    /// Leaves go, and of their objects those which the newer tree has not; where that is not known yet, it will be asked.
    fn judge(&mut self, leaves: &[DoomedLeaf<'_>]) {
        let mut seen = HashSet::new();
        let mut elsewhere: BTreeMap<u64, Vec<PageObject>> = BTreeMap::new();
        let kept_on: HashMap<u64, &HashSet<PageObjectId>> = leaves.iter().map(|leaf| (leaf.slot.index, &leaf.kept)).collect();
        for leaf in leaves {
            self.pending.nodes.push(leaf.id);
            for (number, page) in leaf.slot.pages(self.geometry).zip(leaf.pages) {
                for fragment in &page.fragments {
                    let (object, born) = (fragment.object, fragment.born);
                    let is_ours = born.blob == self.blob && born.version > self.older;
                    if !is_ours || leaf.kept.contains(&object.id) || !seen.insert((leaf.slot.index, object.id)) {
                        continue;
                    }
                    let other_page = born.border.map(|border| if border == number { border.saturating_sub(1) } else { border });
                    let other_leaf = other_page.map(|page| page / u64::from(self.geometry.fan_out()));
                    match other_leaf.filter(|other| *other != leaf.slot.index) {
                        None => self.pending.objects.push(object),
                        Some(other) => match kept_on.get(&other) {
                            Some(kept) if kept.contains(&object.id) => {}
                            Some(_) => self.pending.objects.push(object),
                            None => elsewhere.entry(other).or_default().push(object),
                        },
                    }
                }
            }
        }
        self.probes = elsewhere.into_iter().map(|(leaf, objects)| Probe { place: self.newer, leaf, objects }).collect();
        self.want_probes();
        if self.probes.is_empty() && !leaves.is_empty() {
            self.flush();
        }
    }

    /// Takes every probe a level further down.
    fn ask(&mut self) {
        let held = std::mem::take(&mut self.held);
        let mut left = Vec::new();
        for mut probe in std::mem::take(&mut self.probes) {
            // Where it is lost the objects may be needed, and stay.
            let Some(content) = self.content(probe.place, &held) else { continue };
            let slot = probe.place.slot;
            if slot.level == 1 {
                let kept = objects_of(content);
                self.pending.objects.extend(probe.objects.into_iter().filter(|object| !kept.contains(&object.id)));
                continue;
            }
            // Of the leaves under the slot's children: which child has this one?
            let width = self.geometry.slot_pages(slot.level - 1) / u64::from(self.geometry.fan_out());
            let index = probe.leaf / width.max(1);
            let place = (index % u64::from(self.geometry.fan_out())) as usize;
            let is_below = index / u64::from(self.geometry.fan_out()) == slot.index;
            let reference = content.child(place).filter(|_| is_below);
            probe.place = Place { slot: Slot { level: slot.level - 1, index }, reference };
            if reference.is_some() {
                left.push(probe);
            } else {
                self.pending.objects.append(&mut probe.objects);
            }
        }
        self.probes = left;
        self.want_probes();
        if self.probes.is_empty() {
            self.flush();
        }
    }

    fn want_probes(&mut self) {
        let ids = self.probes.iter().filter_map(|probe| probe.place.node_id(self.volume));
        self.wanted.extend(ids.map(|id| (id, Wanted::Kept)));
    }

    /// A node all of whose children are dealt with. It may go in one batch with others, but not with its own children.
    fn give_up(&mut self, node: NodeId) {
        let is_above = |other: &NodeId| other.level < node.level;
        if self.pending.nodes.iter().any(is_above) || self.pending.nodes.len() >= NODES_WAITING_MAX {
            self.flush();
        }
        self.pending.nodes.push(node);
    }

    fn flush(&mut self) {
        let garbage = std::mem::take(&mut self.pending);
        if !garbage.is_empty() {
            self.ready.push_back(garbage);
        }
    }
}

/// A leaf of the dropped version that goes.
struct DoomedLeaf<'n> {
    id: NodeId,
    slot: Slot,
    pages: &'n [PageDescriptor],
    /// What the newer tree has in its place.
    kept: HashSet<PageObjectId>,
}

fn objects_of(content: Content<'_>) -> HashSet<PageObjectId> {
    let Content::Leaf(pages) = content else { return HashSet::new() };
    pages.iter().flat_map(|page| &page.fragments).map(|fragment| fragment.object.id).collect()
}
