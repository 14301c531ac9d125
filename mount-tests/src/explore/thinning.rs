//! From a version that is not kept any more to what is deleted with it, the manager's way: thinned, purged, marked, offered to a
//! collector, deleted, reported. And clones, which hold what they began with.

use super::collecting::first_garbage;
use super::faults::Fault;
use super::past::Content;
use super::readers::Reader;
use super::steps::Step;
use super::world::{Seen, Stage, World, note};
use std::collections::BTreeSet;
use std::sync::Arc;
use weft_common::id::{BlobId, BlobVersion};
use weft_common::weave::Tree;
use weft_common::weave::testing::checks::Violation;
use weft_common::wire::CollectionJob;
use weft_server::version::table;

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    /// The one that is written to.
    First,
    /// Its copy.
    Copy,
}

/// The servers that collect. All they know is what they were told to do.
#[derive(Clone, Debug, Default)]
pub struct Collectors {
    /// What the last one to ask was told.
    pub jobs: Vec<Arc<CollectionJob>>,
    /// A job of one that asked before and was stopped for a while.
    pub late: Option<Arc<CollectionJob>>,
    /// What was reported last: the report may arrive again.
    pub reported: Option<(BlobId, BlobVersion)>,
}

/// Rounds after which everything that can go must be gone.
const ROUNDS_MAX: usize = 64;

impl World {
    /// Whether versions go the manager's way.
    pub(super) fn is_managed(&self) -> bool {
        self.setup.thins > 0
    }

    pub(super) fn add_thinning_steps(&self, steps: &mut Vec<Step>) {
        if self.thins > 0 {
            steps.extend(self.past.thinnable().map(Step::Thin));
        }
        let wants = self.manager.wants_step(&self.who_reads());
        steps.extend(wants.then_some(Step::Work));
        for (place, job) in self.collectors.jobs.iter().enumerate() {
            let is_done = matches!(first_garbage(job, &self.nodes), Ok(None));
            let is_early = self.setup.fault == Fault::ForgetsEarly;
            steps.extend((!is_done).then_some(Step::Delete(place)));
            steps.extend((is_done || is_early).then_some(Step::Collected(place)));
            steps.extend((self.repeats > 0 && self.collectors.late.is_none()).then_some(Step::Stall(place)));
        }
        let has_late = self.collectors.late.as_ref().is_some_and(|job| !matches!(first_garbage(job, &self.nodes), Ok(None)));
        steps.extend(has_late.then_some(Step::DeleteLate));
        steps.extend((self.repeats > 0 && self.collectors.reported.is_some()).then_some(Step::CollectedAgain));
        if self.clones > 0 && self.past.newest().copy.is_none() {
            let there = (1..=self.past.latest()).filter(|n| self.past.at(*n).file.is_some_and(|(_, version)| version > 0));
            steps.extend(there.filter(|n| self.manager.look_up(Some(*n)).is_ok()).map(Step::Clone));
        }
        let is_written = self.writers.iter().any(|writer| !matches!(writer.stage, Stage::Done | Stage::Failed));
        if self.unlinks > 0 {
            steps.extend(self.past.newest().copy.is_some().then_some(Step::Unlink(File::Copy)));
            steps.extend((self.past.newest().file.is_some() && !is_written).then_some(Step::Unlink(File::First)));
        }
    }

    pub(super) fn thin(&mut self, n: u64, seen: &mut Seen) -> Result<(), Violation> {
        self.thins -= 1;
        Arc::make_mut(&mut self.past).thinned.insert(n);
        let extra = u64::from(self.setup.fault == Fault::ThinsItsNeighbour && n > 1);
        self.manager.thin(n - extra, n);
        let is_in = |reader: &Reader| reader.uses().0 == Some(n);
        note(seen, "thinned under a reader", self.readers.iter().any(is_in));
        self.check_history()
    }

    /// A collector asks what there is to do.
    pub(super) fn work(&mut self, seen: &mut Seen) -> Result<(), Violation> {
        let marked = self.manager.marked();
        let mut jobs = self.manager.work(self.who_reads());
        if self.setup.fault == Fault::LosesMarks {
            self.manager.unmark_but(&marked);
            jobs.retain(|job| marked.contains(&table::marked(job.dropped.blob)));
        }
        let needed = self.needed();
        for job in &jobs {
            let content = self.content_of(&job.dropped);
            note(seen, "offered", true);
            note(seen, "offered beside an open content", self.readers.iter().any(|reader| reader.uses().1.is_some()));
            note(seen, "offered with others in flight", !self.manager.waiting().is_empty());
            note(seen, "offered beside a clone", self.oracle.blobs.len() > 1);
            if needed.contains(&content) {
                return Err(Violation::Lost(format!("I8: {content:?} is offered and needed")));
            }
        }
        self.collectors.jobs = jobs.into_iter().map(Arc::new).collect();
        self.check_history()
    }

    /// A collector that knows nothing of what was done before deletes the first thing that it finds.
    pub(super) fn delete(&mut self, job: &CollectionJob, seen: &mut Seen) -> Result<(), Violation> {
        let garbage = match first_garbage(job, &self.nodes) {
            Ok(Some(garbage)) => garbage,
            Ok(None) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.delete_garbage(&garbage, seen);
        self.check_kept()
    }

    /// One that was stopped goes on. Where it meets what others deleted meanwhile it gives up.
    pub(super) fn delete_late(&mut self, seen: &mut Seen) -> Result<(), Violation> {
        let Some(job) = self.collectors.late.clone() else { return Ok(()) };
        note(seen, "a collector that was stopped goes on", true);
        match first_garbage(&job, &self.nodes) {
            Err(_) => {
                self.collectors.late = None;
                note(seen, "a collector that was stopped gives up", true);
                Ok(())
            }
            Ok(_) => self.delete(&job, seen),
        }
    }

    pub(super) fn collected(&mut self, place: usize, seen: &mut Seen) -> Result<(), Violation> {
        let job = self.collectors.jobs.remove(place);
        let (blob, version) = (job.dropped.blob, job.dropped.version);
        self.manager.collected(blob, version);
        self.collectors.reported = (self.repeats > 0).then_some((blob, version));
        let place = self.oracle.place(blob);
        Arc::make_mut(&mut self.oracle).blobs[place].kept.remove(&version.0);
        note(seen, "collected the manager's way", true);
        self.needed().into_iter().try_for_each(|(place, version)| self.check_version(place, version))
    }

    pub(super) fn collected_again(&mut self, seen: &mut Seen) {
        self.repeats -= 1;
        if let Some((blob, version)) = self.collectors.reported {
            self.manager.collected(blob, version);
            note(seen, "collected reported twice", true);
        }
    }

    pub(super) fn clone_file(&mut self, n: u64, seen: &mut Seen) -> Result<(), Violation> {
        self.clones -= 1;
        let tree = self.manager.clone_file(n).map_err(|error| Violation::Order(format!("no clone of {n}: {error}")))?;
        if self.setup.fault == Fault::ForgetsPins {
            self.manager.unpin(tree.blob);
        }
        let origin = self.past.at(n).file;
        note(seen, "cloned from a thinned version", !self.past.is_kept(n));
        note(seen, "cloned under writers", !self.manager.waiting().is_empty());
        let place = self.oracle.blobs.len();
        Arc::make_mut(&mut self.oracle).add(tree.blob, origin);
        Arc::make_mut(&mut self.past).change(|shown| shown.copy = Some((place, 0)));
        self.check_version(place, 0)
    }

    pub(super) fn unlink(&mut self, file: File, seen: &mut Seen) -> Result<(), Violation> {
        self.unlinks -= 1;
        self.manager.unlink(file).map_err(|error| Violation::Order(format!("no removal of {file:?}: {error}")))?;
        note(seen, "clone removed", file == File::Copy);
        note(seen, "origin of a clone removed", file == File::First && self.past.newest().copy.is_some());
        Arc::make_mut(&mut self.past).change(|shown| match file {
            File::First => shown.file = None,
            File::Copy => shown.copy = None,
        });
        Ok(())
    }

    pub(super) fn content_of(&self, tree: &Tree) -> Content {
        (self.oracle.place(tree.blob), tree.version.0)
    }

    /// What somebody has a right to: what kept versions show, what is woven on, what is read; and where clones began.
    pub(super) fn needed_managed(&self) -> BTreeSet<Content> {
        let mut needed = self.past.kept();
        for reader in &self.readers {
            let (version, content) = reader.uses();
            needed.extend(version.into_iter().flat_map(|n| self.past.contents_at(n)));
            needed.extend(content);
        }
        for (place, blob) in self.oracle.blobs.iter().enumerate() {
            if blob.models.len() as u64 - 1 > blob.published {
                needed.insert((place, blob.published));
            }
        }
        // As long as a clone is there it needs what it began with, which may be a clone's, too.
        let mut clones: Vec<usize> = needed.iter().map(|(place, _)| *place).collect();
        while let Some(place) = clones.pop() {
            let Some(origin) = self.oracle.logs[place].origin else { continue };
            needed.insert((place, 0));
            needed.insert(origin);
            clones.push(origin.0);
        }
        needed
    }

    /// Every version that is kept or read shows what it always showed.
    fn check_history(&self) -> Result<(), Violation> {
        let read = self.readers.iter().filter_map(|reader| reader.uses().0);
        for n in (1..=self.past.latest()).filter(|n| self.past.is_kept(*n)).chain(read) {
            let Some(expected) = self.past.at(n).file else { continue };
            let found = self.look_up(Some(n))?;
            if found != expected {
                return Err(Violation::Lost(format!("version {n} shows {found:?} and not {expected:?}")));
            }
        }
        Ok(())
    }

    pub(super) fn look_up(&self, n: Option<u64>) -> Result<Content, Violation> {
        let found =
            self.manager.look_up(n).map_err(|error| Violation::Lost(format!("I4: version {n:?} cannot be read: {error}")))?;
        Ok(self.content_of(&found))
    }

    pub(super) fn ask_whether_kept(&self, n: u64) -> Result<bool, Violation> {
        let is_kept = self.manager.is_kept(n);
        if is_kept == self.past.is_kept(n) {
            Ok(is_kept)
        } else {
            Err(Violation::Lost(format!("version {n} is kept: {is_kept}")))
        }
    }

    /// Liveness: readers close what they have, and whoever collects goes on until there is nothing to do.
    pub(super) fn settle(&mut self, seen: &mut Seen) -> Result<(), Violation> {
        self.readers.iter_mut().for_each(Reader::finish);
        self.collectors.late = None;
        for _ in 0..ROUNDS_MAX {
            self.renew_all();
            let is_idle = self.collectors.jobs.is_empty() && !self.manager.wants_step(&self.who_reads());
            if is_idle && !self.manager.has_garbage() {
                return Ok(());
            }
            if self.collectors.jobs.is_empty() {
                self.work(seen)?;
            }
            while let Some(job) = self.collectors.jobs.first().cloned() {
                while first_garbage(&job, &self.nodes)?.is_some() {
                    self.delete(&job, seen)?;
                }
                self.collected(0, seen)?;
            }
        }
        Err(Violation::Leak(format!("after {ROUNDS_MAX} rounds there is still something to collect")))
    }
}
