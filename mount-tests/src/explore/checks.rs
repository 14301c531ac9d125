//! The invariants, against the oracle.

use super::menu::update_of;
use super::oracle::Oracle;
use super::world::{Seen, Stage, World, note};
use std::collections::HashSet;
use std::sync::Arc;
use weft_common::id::{BlobId, BlobVersion, NodeId, VolumeVersion};
use weft_common::weave::testing::checks::{Reach, Violation, check_reach, check_read, reach_of};
use weft_common::weave::{LogEntry, Node, Operation};

impl World {
    /// A ticket was given: I6, I7, and for a compaction that nobody wrote to its pages meanwhile.
    pub(super) fn check_assigned(
        &mut self,
        blob: BlobId,
        entry: &LogEntry,
        writer: usize,
        seen: &mut Seen,
    ) -> Result<(), Violation> {
        let place = self.oracle.place(blob);
        let Some(operation) = self.writers[writer].operation.clone() else { return Ok(()) };
        let operation = &*operation;
        let oracle = Arc::make_mut(&mut self.oracle);
        if entry.version.0 != oracle.blobs[place].models.len() as u64 {
            return Err(Violation::SizeChain(format!("{blob} {} is not the next version", entry.version)));
        }
        check_compaction(oracle, self.writers[writer].read, place, operation)?;
        oracle.assign(place, entry.clone(), operation);
        let model = oracle.blobs[place].models.last().expect("just assigned");
        if entry.size != model.size {
            return Err(Violation::SizeChain(format!("{blob} {}: size {} for {}", entry.version, entry.size, model.size)));
        }
        let in_flight = entry.version.0 - 1 - oracle.blobs[place].published;
        note(seen, "append behind something in flight", in_flight > 0 && matches!(operation, Operation::Append(_)));
        note(seen, "two in flight before a ticket", in_flight >= 2);
        note(seen, "compaction granted behind something in flight", in_flight > 0 && is_compaction(operation));
        match update_of(operation).objects.iter().find(|object| !self.objects.contains(&object.id)) {
            Some(object) => Err(Violation::Lost(format!("I7: {} is in the log and not stored", object.id))),
            None => Ok(()),
        }
    }

    /// I1: the nodes of a version are the defined ones.
    pub(super) fn check_woven(&self, blob: BlobId, version: BlobVersion, woven: &[(NodeId, Node)]) -> Result<(), Violation> {
        let defined = &self.oracle.blobs[self.oracle.place(blob)].nodes[version.0 as usize];
        if woven.len() == defined.len() && woven.iter().all(|(id, node)| defined.get(id) == Some(node)) {
            return Ok(());
        }
        Err(Violation::Definition(format!("{blob} {version}: woven {woven:?}, defined {defined:?}")))
    }

    /// A version was published: I2, I3, I4, I5.
    pub(super) fn check_published(
        &mut self,
        blob: BlobId,
        version: BlobVersion,
        became: Option<VolumeVersion>,
        latest: &mut u64,
    ) -> Result<(), Violation> {
        let place = self.oracle.place(blob);
        let oracle = Arc::make_mut(&mut self.oracle);
        let state = &mut oracle.blobs[place];
        if version.0 != state.published + 1 || !state.committed[version.0 as usize] {
            return Err(Violation::Order(format!("I3: {blob} {version} is published after {}", state.published)));
        }
        if let Some(missing) = state.nodes[version.0 as usize].keys().find(|id| !self.nodes.contains_key(id)) {
            return Err(Violation::Unreachable(format!("I2: {missing} is not stored, and its version is published")));
        }
        *latest += u64::from(became.is_some());
        if became.is_some_and(|became| became.0 != *latest) {
            return Err(Violation::Order(format!("{blob} {version} became {became:?} and not N{latest}")));
        }
        state.published = version.0;
        state.kept.insert(version.0);
        Arc::make_mut(&mut self.past).publish((place, version.0), became.is_some());
        self.check_version(place, version.0)
    }

    /// What everybody sees as the file is the newest published version of its blob.
    pub(super) fn check_head(&self) -> Result<(), Violation> {
        let place = self.oracle.current;
        if self.past.newest().file.is_none() {
            return Ok(());
        }
        let (shown, expected) = (self.manager.tree(), self.oracle.tree(place, self.oracle.blobs[place].published));
        if shown == expected { Ok(()) } else { Err(Violation::Order(format!("the file is {shown:?} and not {expected:?}"))) }
    }

    /// I4, I5 of one version.
    pub(super) fn check_version(&self, place: usize, version: u64) -> Result<(), Violation> {
        let tree = self.oracle.tree(place, version);
        check_reach(&tree, &self.nodes, &mut HashSet::new())?;
        check_read(&tree, &self.oracle.blobs[place].models[version as usize], 0..u64::MAX, &self.nodes)
    }

    /// I4, I8, I9: everything that is kept, and everything that the log names for those in flight, is there.
    pub(super) fn check_kept(&self) -> Result<(), Violation> {
        let mut reached = HashSet::new();
        let mut reach = Reach::default();
        for (place, version) in self.needed() {
            let tree = self.oracle.tree(place, version);
            check_reach(&tree, &self.nodes, &mut reached)?;
            reach_of(&tree, &self.nodes, &mut reach);
        }
        self.add_in_flight(&mut reach);
        match reach.objects.iter().find(|object| !self.objects.contains(object)) {
            Some(object) => Err(Violation::Lost(format!("{object} is needed and was deleted"))),
            None => Ok(()),
        }
    }

    /// When nothing can happen any more: everything is published, and nothing is left that nobody needs.
    pub(super) fn check_end(&self, seen: &mut Seen) -> Result<(), Violation> {
        if let Some((blob, version)) = self.manager.waiting().first() {
            return Err(Violation::Order(format!("{blob} {version} is never published")));
        }
        let mut settled = self.clone();
        if self.is_managed() {
            settled.settle(seen)?;
        }
        settled.check_nothing_left()
    }

    fn check_nothing_left(&self) -> Result<(), Violation> {
        for (place, version) in self.needed() {
            self.check_version(place, version)?;
        }
        let mut reach = Reach::default();
        self.needed().iter().for_each(|(place, version)| reach_of(&self.oracle.tree(*place, *version), &self.nodes, &mut reach));
        if let Some((place, version)) = self.dropping {
            reach_of(&self.oracle.tree(place, version), &self.nodes, &mut reach);
        }
        // What a writer stored whose program was told that it is lost waits for its session to end.
        let open =
            self.writers.iter().filter(|writer| matches!(writer.stage, Stage::Failed) && self.manager.is_open(writer.session));
        let open: HashSet<_> = open.map(|writer| writer.session).collect();
        let mut objects = self.objects.iter().filter(|object| !open.contains(&object.session));
        let node =
            self.nodes.keys().find(|id| !reach.nodes.contains(id) && !self.stored_late.contains(id)).map(ToString::to_string);
        match node.or(objects.find(|object| !reach.objects.contains(object)).map(ToString::to_string)) {
            Some(what) => Err(Violation::Leak(format!("nobody needs {what}: needed are {:?}", self.needed()))),
            None => Ok(()),
        }
    }

    /// Versions that are there for somebody: all published ones that are not dropped, or what the manager has to keep.
    pub(super) fn needed(&self) -> Vec<(usize, u64)> {
        if self.is_managed() {
            return self.needed_managed().into_iter().collect();
        }
        let blobs = self.oracle.blobs.iter().enumerate();
        let all = blobs.flat_map(|(place, blob)| blob.kept.iter().map(move |version| (place, *version)));
        all.filter(|version| self.dropping != Some(*version)).collect()
    }

    fn add_in_flight(&self, reach: &mut Reach) {
        for (log, blob) in self.oracle.logs.iter().zip(&self.oracle.blobs) {
            let entries = &log.entries[blob.published as usize..];
            reach.objects.extend(entries.iter().flat_map(|entry| &entry.update.objects).map(|object| object.id));
        }
    }
}

/// A compaction changes no byte: what it read, perhaps of another blob, is what the newest version has.
fn check_compaction(oracle: &Oracle, read: (usize, u64), place: usize, operation: &Operation) -> Result<(), Violation> {
    let Operation::Compact { update, .. } = operation else { return Ok(()) };
    let page_size = u64::from(oracle.geometry.page_size());
    let models = &oracle.blobs[place].models;
    let (then, now) = (&oracle.blobs[read.0].models[read.1 as usize], &models[models.len() - 1]);
    let changed = |page: &u64| then.page(*page, page_size) != now.page(*page, page_size);
    match update.data.iter().map(|extent| extent.offset / page_size).find(changed) {
        Some(page) => Err(Violation::Content(format!("a compaction of page {page} read at {read:?} brings old bytes back"))),
        None => Ok(()),
    }
}

fn is_compaction(operation: &Operation) -> bool {
    matches!(operation, Operation::Compact { .. })
}
