//! A cluster reduced to what weaving needs: logs, published versions, stored nodes and page objects. Steps are random, every
//! step is checked.

use super::checks::{Violation, check_diff, check_next_data, check_reach, check_read};
use super::collecting::Dropping;
use super::definition::{BlobLog, Definition};
use super::faults::{Builder, Collector};
use super::model::FileModel;
use super::operations::Operations;
use super::random::Random;
use crate::id::{BlobId, BlobVersion, NodeId, PageObjectId, VolumeId};
use crate::weave::{
    Geometry, LogEntry, Node, Operation, Tree, Update, Walk, WalkError, Weaver, assign, crowded_pages, decode_node, encode_node,
    touches_since,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How often things happened that a good set of histories must contain.
pub type Seen = BTreeMap<&'static str, u64>;

pub type Nodes = HashMap<NodeId, Node>;

const VOLUME: VolumeId = VolumeId(9);
const BLOBS_MAX: usize = 4;
const IN_FLIGHT_MAX: usize = 5;

#[derive(Debug)]
pub struct History {
    pub(super) random: Random,
    pub geometry: Geometry,
    operations: Operations,
    builder: Builder,
    pub(super) collector: Collector,
    pub(super) logs: Vec<BlobLog>,
    /// Of each blob, each version from 0 on.
    models: Vec<Vec<FileModel>>,
    pub(super) published: Vec<u64>,
    /// Assigned versions whose nodes are not all stored.
    pub(super) unfinished: BTreeSet<(usize, u64)>,
    /// Of each blob, the versions that are published and not dropped. 0 is one of them until the blob is gone.
    pub(super) kept: Vec<BTreeSet<u64>>,
    /// Of each blob, the version that is being dropped.
    pub(super) dropping: Vec<Option<Dropping>>,
    /// Of each blob, whether its file was deleted.
    pub(super) deleted: Vec<bool>,
    pub nodes: Nodes,
    pub(super) objects: HashSet<PageObjectId>,
    /// Nodes from which everything reachable is known to exist.
    pub(super) reached: HashSet<NodeId>,
    pub seen: Seen,
    /// Pages that should be compacted, in histories of small writes.
    crowded: Option<Vec<(usize, u64)>>,
    /// What was done, if somebody wants to know.
    trace: Option<Vec<String>>,
}

impl History {
    pub fn new(seed: u64, builder: Builder, collector: Collector) -> Self {
        let mut random = Random(seed);
        // Small fan-outs make high trees of few pages; the large ones are expensive for the brute-force definitions.
        let fan_out = match random.below(100) {
            0 => 256,
            1..4 => 32,
            4..14 => 8,
            14..44 => 4,
            _ => 2,
        };
        let page_size = if random.chance(80) { 1 << 16 } else { 1 << 20 };
        let geometry = Geometry::new(page_size, fan_out).unwrap();
        let mut history = Self {
            random,
            geometry,
            operations: Operations::new(geometry),
            builder,
            collector,
            logs: Vec::new(),
            models: Vec::new(),
            published: Vec::new(),
            unfinished: BTreeSet::new(),
            kept: Vec::new(),
            dropping: Vec::new(),
            deleted: Vec::new(),
            nodes: Nodes::new(),
            objects: HashSet::new(),
            reached: HashSet::new(),
            seen: Seen::new(),
            crowded: None,
            trace: None,
        };
        history.add_blob(None, FileModel::default());
        history
    }

    /// Its writers write little into few pages, and rewrite those that have too many fragments.
    #[must_use]
    pub fn of_small_writes(mut self) -> Self {
        self.crowded = Some(Vec::new());
        self
    }

    /// Remembers what is done.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.trace = Some(Vec::new());
        self
    }

    /// What was done so far, if that is remembered.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    pub(super) fn record(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// Takes `steps` random steps, then finishes and checks every version; in some histories deletes everything in the end.
    pub fn run(&mut self, steps: usize) -> Result<(), Violation> {
        for _ in 0..steps {
            match self.random.below(100) {
                0..38 => self.assign_any()?,
                38..74 => self.build_any()?,
                74..78 => self.clone_any(),
                78..81 => self.build_again()?,
                81..95 => self.collect_any()?,
                95..97 => self.delete_any(),
                _ => self.read_any()?,
            }
        }
        while !self.unfinished.is_empty() {
            self.build_any()?;
        }
        self.collect_to_the_end()?;
        for blob in 0..self.logs.len() {
            for version in self.kept[blob].clone() {
                self.check_version(blob, version)?;
            }
        }
        self.check_leaks()?;
        if self.random.chance(25) { self.delete_everything() } else { Ok(()) }
    }

    pub(super) fn note(&mut self, what: &'static str, happened: bool) {
        *self.seen.entry(what).or_default() += u64::from(happened);
    }

    fn add_blob(&mut self, origin: Option<(usize, u64)>, model: FileModel) {
        let id = BlobId { volume: VOLUME, number: 11 + self.logs.len() as u64 };
        self.logs.push(BlobLog { id, origin, entries: Vec::new() });
        self.models.push(vec![model]);
        self.published.push(0);
        self.kept.push(BTreeSet::from([0]));
        self.dropping.push(None);
        self.deleted.push(false);
    }

    pub fn tree(&self, blob: usize, version: u64) -> Tree {
        self.definition().tree(blob, version)
    }

    /// What the logs define, without a planted bug.
    fn definition(&self) -> Definition<'_> {
        Definition { logs: &self.logs, geometry: self.geometry, fault: None }
    }

    fn clone_any(&mut self) {
        if self.logs.len() < BLOBS_MAX {
            let (blob, version) = self.kept_version();
            // A clone of a clone's version 0 is one of what that began with.
            let origin = self.logs[blob].origin.filter(|_| version == 0).unwrap_or((blob, version));
            self.record(|| format!("clone of blob {} v{}", origin.0, origin.1));
            self.add_blob(Some(origin), self.models[blob][version as usize].clone());
            self.note("clone", version > 0);
        }
    }

    /// A version that can be opened. Files that were deleted show their past, too.
    fn kept_version(&mut self) -> (usize, u64) {
        loop {
            let blob = self.random.below(self.logs.len() as u64) as usize;
            let versions = self.readable(blob);
            if !versions.is_empty() {
                return (blob, *self.random.pick(&versions));
            }
        }
    }

    fn assign_any(&mut self) -> Result<(), Violation> {
        let blob = self.random.below(self.logs.len() as u64) as usize;
        if self.unfinished.len() >= IN_FLIGHT_MAX || self.deleted[blob] {
            return Ok(());
        }
        if let Some((blob, page)) = self.crowded.as_mut().and_then(Vec::pop) {
            return if self.deleted[blob] { Ok(()) } else { self.compact_page(blob, page) };
        }
        if self.random.chance(8) {
            return self.compact(blob);
        }
        let size = self.models[blob].last().unwrap().size;
        let operation = if self.crowded.is_some() && self.random.chance(90) {
            self.operations.small(&mut self.random)
        } else {
            self.operations.any(&mut self.random, size)
        };
        self.assign(blob, operation)
    }

    /// A compaction must be refused if it would change a byte; whether it is refused too often shows in what is seen.
    fn compact(&mut self, blob: usize) -> Result<(), Violation> {
        let versions = self.readable(blob);
        let read_at = *self.random.pick(&versions);
        let update = self.operations.compaction(&mut self.random, self.models[blob][read_at as usize].size);
        self.compact_as(blob, read_at, update)
    }

    /// What a client does that sees a page of too many fragments.
    fn compact_page(&mut self, blob: usize, page: u64) -> Result<(), Violation> {
        let read_at = self.published[blob];
        let update = self.operations.rewrite(page, self.models[blob][read_at as usize].size);
        self.note("page of too many fragments rewritten", !update.data.is_empty());
        self.compact_as(blob, read_at, update)
    }

    fn compact_as(&mut self, blob: usize, read_at: u64, update: Update) -> Result<(), Violation> {
        let since = &self.logs[blob].entries[read_at as usize..];
        let refused = touches_since(since, &update, self.geometry) && self.builder != Builder::CompactingAnyway;
        let overtaken = !since.is_empty();
        self.note("compaction refused", refused);
        if refused || update.data.is_empty() {
            return Ok(());
        }
        let page_size = u64::from(self.geometry.page_size());
        let (then, now) = (&self.models[blob][read_at as usize], self.models[blob].last().unwrap());
        for extent in &update.data {
            let page = extent.offset / page_size;
            if then.page(page, page_size) != now.page(page, page_size) {
                return Err(Violation::Content(format!("a compaction of page {page} read at v{read_at} brings old bytes back")));
            }
        }
        self.note("compaction behind other updates", overtaken);
        self.assign(blob, Operation::Compact { blob: self.logs[blob].id, read_at: BlobVersion(read_at), update })
    }

    fn assign(&mut self, blob: usize, operation: Operation) -> Result<(), Violation> {
        let version = self.models[blob].len() as u64 - 1;
        let mut model = self.models[blob][version as usize].clone();
        let entry = assign(self.geometry, BlobVersion(version), model.size, operation.clone())
            .map_err(|error| Violation::SizeChain(format!("{error} for {operation:?}")))?;
        let height_before = self.logs[blob].entries.last().map_or(1, |entry| entry.height);
        self.note("tree grows by two levels", entry.height >= height_before + 2);
        self.note("tree gets lower", entry.height < height_before);
        self.note(
            "append in flight behind unpublished",
            version > self.published[blob] && matches!(operation, Operation::Append(_)),
        );
        self.note("cut", entry.update.cut_to.is_some());
        self.note("punched hole", !entry.update.holes.is_empty());
        self.note("several extents", entry.update.data.len() > 1);
        self.record(|| format!("blob {blob} v{}: {operation:?}", version + 1));
        model.apply(&operation);
        if entry.size != model.size || !covers_least(self.geometry, &entry) {
            return Err(Violation::SizeChain(format!("size {} for {}, height {}", entry.size, model.size, entry.height)));
        }
        self.objects.extend(entry.update.objects.iter().map(|object| object.id));
        self.models[blob].push(model);
        self.logs[blob].entries.push(entry);
        self.unfinished.insert((blob, version + 1));
        Ok(())
    }

    fn build_any(&mut self) -> Result<(), Violation> {
        let unfinished: Vec<_> = self.unfinished.iter().copied().collect();
        if unfinished.is_empty() {
            return Ok(());
        }
        let (blob, version) = *self.random.pick(&unfinished);
        let Some(mut nodes) = self.build(blob, version)? else { return Ok(()) };
        if let Some(crowded) = &mut self.crowded {
            crowded.extend(crowded_pages(&nodes, self.geometry).into_iter().map(|page| (blob, page)));
            crowded.truncate(4);
        }
        let dies = self.random.chance(25);
        self.record(|| format!("blob {blob} v{version} woven{}", if dies { ", in part" } else { "" }));
        if dies {
            // The writer died on the way; or it is late, and somebody else finishes first.
            nodes.truncate(self.random.below(nodes.len() as u64) as usize);
            self.note("half-finished build", true);
            return self.store(nodes);
        }
        self.store(nodes)?;
        self.unfinished.remove(&(blob, version));
        while self.published[blob] + 1 < self.models[blob].len() as u64
            && !self.unfinished.contains(&(blob, self.published[blob] + 1))
        {
            self.published[blob] += 1;
            self.kept[blob].insert(self.published[blob]);
            self.check_version(blob, self.published[blob])?;
        }
        Ok(())
    }

    /// A published version built once more by somebody who does not know. It is not dropped before he is sure to be dead.
    fn build_again(&mut self) -> Result<(), Violation> {
        let blob = self.random.below(self.logs.len() as u64) as usize;
        if self.collector == Collector::IgnoresLateWriters && self.published[blob] > 0 {
            let version = self.random.between(1, self.published[blob]);
            return self.store(self.definition().nodes(blob, version));
        }
        let versions = self.readable(blob);
        if versions.is_empty() {
            return Ok(());
        }
        match *self.random.pick(&versions) {
            0 => Ok(()),
            version => self.build(blob, version)?.map_or(Ok(()), |nodes| self.store(nodes)),
        }
    }

    /// `None` if the only base that is left is none for this version: then it is published already.
    fn build(&mut self, blob: usize, version: u64) -> Result<Option<Vec<(NodeId, Node)>>, Violation> {
        if let Builder::Definition(fault) = self.builder {
            return Ok(Some(Definition { fault, ..self.definition() }.nodes(blob, version)));
        }
        // Any base will do that the writer saw once; it may have been collected meanwhile.
        let base = self.random.between(0, self.published[blob].min(version - 1));
        let woven = match self.build_from(blob, version, base) {
            Err(Violation::Unreachable(_)) if !self.readable(blob).contains(&base) => {
                self.note("late build of a base that is gone", true);
                if self.published[blob] >= version {
                    return Ok(None);
                }
                self.build_from(blob, version, self.published[blob])?
            }
            woven => woven?,
        };
        if self.builder == Builder::Weaver {
            check_definition(&woven, self.definition().nodes(blob, version))?;
        }
        Ok(Some(woven))
    }

    fn build_from(&mut self, blob: usize, version: u64, base: u64) -> Result<Vec<(NodeId, Node)>, Violation> {
        let ticket = &self.logs[blob].entries[base as usize..version as usize];
        let (mut entry, mut in_flight) = (ticket[ticket.len() - 1].clone(), ticket[..ticket.len() - 1].to_vec());
        self.builder.spoil(&mut entry, &mut in_flight, &self.models[blob]);
        let base_tree = self.tree(blob, base);
        let woven = self.weave(&base_tree, &in_flight, &entry)?;
        self.note_nodes(&woven, base, &in_flight);
        Ok(woven)
    }

    fn weave(&mut self, base: &Tree, in_flight: &[LogEntry], entry: &LogEntry) -> Result<Vec<(NodeId, Node)>, Violation> {
        let weaver = Weaver::new(base, in_flight, entry).map_err(|error| Violation::Walk(error.to_string()))?;
        self.note("built without reading", weaver.missing().is_empty() && base.root.is_some());
        let levels = base.root.map_or(0, |root| usize::from(root.level));
        let (woven, rounds) = drive(weaver, &self.nodes)?;
        if rounds > levels {
            return Err(Violation::Walk(format!("{rounds} round trips for a base of {levels} levels")));
        }
        Ok(woven)
    }

    fn note_nodes(&mut self, woven: &[(NodeId, Node)], base: u64, in_flight: &[LogEntry]) {
        for (id, node) in woven {
            match node {
                Node::Inner(children) => {
                    for child in children.iter().flatten() {
                        self.note("shortened reference", child.level + 1 < id.level);
                        self.note(
                            "reference into flight",
                            child.version.0 > base && child.version < id.version && !in_flight.is_empty(),
                        );
                        self.note("reference into another blob", child.blob != id.blob.number);
                    }
                    self.note("hole reference", children.contains(&None));
                }
                Node::Leaf(pages) => {
                    self.note("page of several fragments", pages.iter().any(|page| page.fragments.len() > 1));
                }
            }
        }
    }

    fn store(&mut self, nodes: Vec<(NodeId, Node)>) -> Result<(), Violation> {
        for (id, node) in nodes {
            if self.random.chance(3) {
                let bytes = encode_node(&id, &node).map_err(|error| Violation::Codec(error.to_string()))?;
                let back = decode_node(&id, &bytes).map_err(|error| Violation::Codec(error.to_string()))?;
                if back != node {
                    return Err(Violation::Codec(format!("{id} is {node:?} before and {back:?} after")));
                }
            }
            if let Some(stored) = self.nodes.get(&id)
                && *stored != node
            {
                return Err(Violation::Unstable(format!("{id} is stored as {stored:?}, and built again as {node:?}")));
            }
            self.nodes.insert(id, node);
        }
        Ok(())
    }

    pub(super) fn check_version(&mut self, blob: usize, version: u64) -> Result<(), Violation> {
        let tree = self.tree(blob, version);
        check_reach(&tree, &self.nodes, &mut self.reached)?;
        check_read(&tree, &self.models[blob][version as usize], 0..u64::MAX, &self.nodes)
    }

    /// Reads of a part, searches for data, and differences between any two versions.
    fn read_any(&mut self) -> Result<(), Violation> {
        let (one, other) = (self.kept_version(), self.kept_version());
        let (tree, model) = (self.tree(one.0, one.1), &self.models[one.0][one.1 as usize]);
        let ends = [self.random.below(model.size + 9), self.random.below((model.size + 9).min(5 << 20))];
        check_read(&tree, model, ends[0].min(ends[1])..ends[0].max(ends[1]), &self.nodes)?;
        for offset in ends {
            check_next_data(&tree, model, offset, &self.nodes)?;
        }
        let other_model = &self.models[other.0][other.1 as usize];
        check_diff((&tree, model), (&self.tree(other.0, other.1), other_model), &self.nodes)?;
        self.note("difference between blobs", one.0 != other.0);
        Ok(())
    }
}

/// Supplies a walk from `nodes`; also tells how many rounds it took.
pub fn drive<W: Walk>(mut walk: W, nodes: &Nodes) -> Result<(W::Output, usize), Violation> {
    let mut rounds = 0;
    loop {
        let missing = walk.missing();
        if missing.is_empty() {
            let output = walk.finish().map_err(|error: WalkError| Violation::Walk(error.to_string()))?;
            return Ok((output, rounds));
        }
        rounds += 1;
        // Against the order, since none is promised.
        for id in missing.iter().rev() {
            let node = nodes.get(id).ok_or_else(|| Violation::Unreachable(format!("{id} is missing")))?;
            walk.supply(id, node).map_err(|error| Violation::Walk(error.to_string()))?;
        }
    }
}

fn check_definition(woven: &[(NodeId, Node)], defined: Vec<(NodeId, Node)>) -> Result<(), Violation> {
    let (mut woven, mut defined): (Vec<_>, Vec<_>) = (woven.iter().collect(), defined.iter().collect());
    woven.sort_unstable_by_key(|(id, _)| *id);
    defined.sort_unstable_by_key(|(id, _)| *id);
    if woven == defined {
        return Ok(());
    }
    Err(Violation::Definition(format!("woven {woven:#?}\ndefined {defined:#?}")))
}

fn covers_least(geometry: Geometry, entry: &LogEntry) -> bool {
    let pages = geometry.pages(entry.size).max(1);
    let covers = |height: u8| geometry.slot_pages(height) >= pages;
    entry.height >= 1 && covers(entry.height) && (entry.height == 1 || !covers(entry.height - 1))
}
