//! Dropping versions and collecting what goes with them: at once, by whoever says that nobody needs them. That this is so is
//! what [`thinning`](super::thinning) is about; here it is given, so that more of the collection itself is explored.

use super::faults::Fault;
use super::steps::Step;
use super::world::{Seen, Stage, World, note};
use std::sync::Arc;
use weft_common::id::{BlobId, BlobVersion};
use weft_common::weave::testing::checks::Violation;
use weft_common::weave::testing::history::Nodes;
use weft_common::weave::{CollectStep, Collection, Garbage};
use weft_common::wire::CollectionJob;

impl World {
    pub(super) fn add_collectors_steps(&self, steps: &mut Vec<Step>) {
        if self.dropping.is_some() {
            steps.push(Step::Collect);
        } else if self.drops > 0 {
            let droppable = self.needed().into_iter().filter(|(place, version)| self.is_droppable(*place, *version));
            steps.extend(droppable.map(|(place, version)| Step::Drop(place, version)));
        }
    }

    /// Not the newest of its blob, not pinned by a clone, and nobody is on the way to store nodes of it.
    fn is_droppable(&self, place: usize, version: u64) -> bool {
        let fault = self.setup.fault;
        let is_head = version == self.oracle.blobs[place].published && fault != Fault::DropsTheHead;
        let is_pinned = self.oracle.is_pinned(place, version) && fault != Fault::IgnoresPins;
        let is_written = self.is_written(self.oracle.logs[place].id, BlobVersion(version));
        version > 0 && !is_head && !is_pinned && (!is_written || fault == Fault::IgnoresLateWriters)
    }

    fn is_written(&self, blob: BlobId, version: BlobVersion) -> bool {
        let by_writer = self.writers.iter().any(|writer| {
            let is_busy = !matches!(writer.stage, Stage::Done | Stage::Failed);
            is_busy && writer.version == Some((blob, version))
        });
        by_writer || self.helper.as_ref().is_some_and(|job| (job.blob, job.version) == (blob, version))
    }

    pub(super) fn collect(&mut self, step: Step, seen: &mut Seen) -> Result<(), Violation> {
        if let Step::Drop(place, version) = step {
            self.dropping = Some((place, version));
            self.drops -= 1;
            let in_flight = self.oracle.blobs[place].models.len() as u64 - 1 > self.oracle.blobs[place].published;
            note(seen, "dropped with others in flight", in_flight);
            return Ok(());
        }
        let Some((place, version)) = self.dropping else { return Ok(()) };
        let Some(garbage) = first_garbage(&self.job(place, version), &self.nodes)? else {
            Arc::make_mut(&mut self.oracle).blobs[place].kept.remove(&version);
            self.dropping = None;
            note(seen, "collected", true);
            note(seen, "collected beside a clone", self.oracle.blobs.len() > 1);
            return self.needed().into_iter().try_for_each(|(place, version)| self.check_version(place, version));
        };
        self.delete_garbage(&garbage, seen);
        self.check_kept()
    }

    /// Page objects before nodes; whatever is left is found again by the next one who begins.
    pub(super) fn delete_garbage(&mut self, garbage: &Garbage, seen: &mut Seen) {
        if garbage.objects.iter().any(|object| self.objects.contains(&object.id)) {
            Arc::make_mut(&mut self.objects).retain(|id| garbage.objects.iter().all(|object| object.id != *id));
            note(seen, "collection interrupted before its nodes", true);
        } else {
            Arc::make_mut(&mut self.nodes).retain(|id, _| !garbage.nodes.contains(id));
        }
    }

    /// What the manager would offer.
    fn job(&self, place: usize, version: u64) -> CollectionJob {
        let kept = &self.oracle.blobs[place].kept;
        let older = kept.range(..version).next_back().copied().filter(|_| self.setup.fault != Fault::IgnoresOlder);
        let newer = kept.range(version + 1..).next().filter(|_| self.setup.fault != Fault::IgnoresNewer);
        let newer = newer.map(|newer| self.oracle.tree(place, *newer));
        CollectionJob { dropped: self.oracle.tree(place, version), older: BlobVersion(older.unwrap_or(0)), newer }
    }
}

/// The first batch of a walk that begins now; `None` if nothing is left to delete.
pub(super) fn first_garbage(job: &CollectionJob, nodes: &Nodes) -> Result<Option<Garbage>, Violation> {
    let mut walk = Collection::new(&job.dropped, job.older, job.newer.as_ref());
    loop {
        match walk.step() {
            CollectStep::Read(ids) => {
                for id in ids {
                    walk.supply(&id, nodes.get(&id)).map_err(|error| Violation::Walk(error.to_string()))?;
                }
            }
            CollectStep::Delete(garbage) => return Ok(Some(garbage)),
            CollectStep::Done => return Ok(None),
        }
    }
}
