//! What can happen next, and what comes of it.

use super::faults::Fault;
use super::menu::update_of;
use super::readers::Act;
use super::thinning::File;
use super::world::{Job, Seen, Stage, World, Writer, note};
use std::collections::HashSet;
use std::sync::Arc;
use weft_common::id::{BlobId, BlobVersion, NodeId, PageObjectId};
use weft_common::time::Timestamp;
use weft_common::weave::testing::checks::Violation;
use weft_common::weave::testing::history::drive;
use weft_common::weave::{DataExtent, Node, Operation, Update, Weaver};
use weft_common::wire::{Author, ErrorKind, RequestKey, Ticket, TicketRequest};
use weft_server::version::core::Effect;

/// One message that arrives, or one thing that a process does by itself. Writers are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A writer stores its page objects.
    Upload(usize),
    /// It asks for its ticket and gets it.
    Ticket(usize),
    /// It asks, and the answer is lost.
    TicketUnheard(usize),
    /// Its request arrives once more, long after.
    TicketAgain(usize),
    /// It computes its nodes, or finds that its base is gone and asks for a newer one.
    Weave(usize),
    /// It stores a part of them.
    Put(usize, u8),
    /// It commits.
    Commit(usize),
    /// Its commit arrives once more.
    CommitAgain(usize),
    /// Its session lapses.
    Lapse(usize),
    /// What it stored for nothing is freed.
    FreeOrphans(usize),
    /// A helper takes up a version that waits; one that was at another version dies.
    Help(BlobId, BlobVersion),
    /// It stores a part of its nodes.
    HelperPut(u8),
    /// It commits.
    HelperCommit,
    /// A kept version begins to be dropped.
    Drop(usize, u64),
    /// A collector that knows nothing of what was done before deletes the first thing that it finds.
    Collect,
    /// The file gets back the content of its first version.
    Restore,
    /// A volume version is not kept any more.
    Thin(u64),
    /// A collector asks the manager what there is to do.
    Work,
    /// It deletes the first thing that a job of it finds.
    Delete(usize),
    /// It reports that a job is done.
    Collected(usize),
    /// Its report arrives once more.
    CollectedAgain,
    /// It is stopped for a while, and others do its work.
    Stall(usize),
    /// It goes on.
    DeleteLate,
    /// The file as it was at a version gets a second name, as a file of its own.
    Clone(u64),
    /// A file loses its name.
    Unlink(File),
    /// Somebody who reads the past does something.
    Read(usize, Act),
    /// The manager is restarted: what it keeps in memory only is gone.
    Restart,
}

impl World {
    /// Everything that can happen now.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (place, writer) in self.writers.iter().enumerate() {
            let may_repeat = self.repeats > 0;
            match &writer.stage {
                Stage::Idle => steps.push(Step::Upload(place)),
                Stage::Uploaded(_) => {
                    steps.push(Step::Ticket(place));
                    steps.extend(may_repeat.then_some(Step::TicketUnheard(place)));
                }
                Stage::Granted(_) => steps.push(Step::Weave(place)),
                Stage::Woven(job) => {
                    steps.extend(self.open_parts(job).map(|part| Step::Put(place, part)));
                    steps.extend(self.may_commit(job).then_some(Step::Commit(place)));
                }
                Stage::Done => steps.extend((may_repeat && writer.version.is_some()).then_some(Step::CommitAgain(place))),
                Stage::Failed => {}
            }
            let has_asked = !matches!(writer.stage, Stage::Idle | Stage::Uploaded(_));
            steps.extend((may_repeat && has_asked && writer.operation.is_some()).then_some(Step::TicketAgain(place)));
            let is_open = self.manager.is_open(writer.session);
            steps.extend((self.lapses > 0 && is_open && !matches!(writer.stage, Stage::Done)).then_some(Step::Lapse(place)));
            steps.extend((!self.orphans(place).is_empty()).then_some(Step::FreeOrphans(place)));
        }
        if self.setup.has_helper {
            self.add_helpers_steps(&mut steps);
        }
        if self.is_managed() {
            self.add_thinning_steps(&mut steps);
            self.add_readers_steps(&mut steps);
            steps.extend((self.restarts > 0).then_some(Step::Restart));
        } else {
            self.add_collectors_steps(&mut steps);
        }
        let is_there =
            if self.is_managed() { self.manager.look_up(Some(self.first.0)).is_ok() } else { self.needed().contains(&(0, 1)) };
        let can_restore = self.setup.is_restored && !self.is_restored && is_there && self.past.newest().file.is_some();
        steps.extend(can_restore.then_some(Step::Restore));
        steps
    }

    fn add_helpers_steps(&self, steps: &mut Vec<Step>) {
        let current = self.helper.as_ref().map(|job| (job.blob, job.version));
        let waiting = self.manager.waiting();
        steps.extend(waiting.into_iter().filter(|job| Some(*job) != current).map(|(blob, version)| Step::Help(blob, version)));
        if let Some(job) = &self.helper {
            steps.extend(self.open_parts(job).map(Step::HelperPut));
            steps.extend(self.may_commit(job).then_some(Step::HelperCommit));
        }
    }

    fn open_parts(&self, job: &Job) -> impl Iterator<Item = u8> + use<> {
        let left = self.all_parts(job) & !job.stored;
        (0..8).filter(move |part| left & (1 << part) != 0)
    }

    fn may_commit(&self, job: &Job) -> bool {
        self.setup.fault == Fault::CommitsEarly && job.stored != 0 || job.stored == self.all_parts(job)
    }

    /// Carries a step out and checks what comes of it.
    ///
    /// # Errors
    /// The invariant that does not hold any more.
    pub fn take(&mut self, step: Step, seen: &mut Seen) -> Result<(), Violation> {
        match step {
            Step::Upload(writer) => self.upload(writer),
            Step::Ticket(writer) => return self.ticket(writer, true, seen),
            Step::TicketUnheard(writer) => {
                self.repeats -= 1;
                note(seen, "answer lost", true);
                return self.ticket(writer, false, seen);
            }
            Step::TicketAgain(writer) => {
                self.repeats -= 1;
                note(seen, "late request for a ticket", true);
                return self.ticket(writer, false, seen);
            }
            Step::Weave(writer) => return self.weave_writers(writer, seen),
            Step::Put(writer, part) => {
                if let Stage::Woven(mut job) = self.writers[writer].stage.clone() {
                    self.put(&mut job, part)?;
                    self.writers[writer].stage = Stage::Woven(job);
                }
            }
            Step::Commit(writer) => {
                if let Stage::Woven(job) = self.writers[writer].stage.clone() {
                    self.writers[writer].stage = Stage::Done;
                    self.commit(job.blob, job.version, seen)?;
                }
            }
            Step::CommitAgain(writer) => {
                self.repeats -= 1;
                note(seen, "late commit", true);
                if let Some((blob, version)) = self.writers[writer].version {
                    self.commit(blob, version, seen)?;
                }
            }
            Step::Lapse(writer) => {
                self.lapses -= 1;
                self.manager.close_session(self.writers[writer].session);
            }
            Step::FreeOrphans(writer) => {
                let orphans = self.orphans(writer);
                Arc::make_mut(&mut self.objects).retain(|object| !orphans.contains(object));
                note(seen, "orphans freed", true);
                return self.check_kept();
            }
            Step::Help(blob, version) => self.help(blob, version, seen)?,
            Step::HelperPut(part) => {
                if let Some(mut job) = self.helper.take() {
                    self.put(&mut job, part)?;
                    self.helper = Some(job);
                }
            }
            Step::HelperCommit => {
                if let Some(job) = self.helper.take() {
                    let late = self
                        .writers
                        .iter()
                        .any(|writer| matches!(&writer.stage, Stage::Woven(other) if other.version == job.version));
                    note(seen, "helper before a late writer", late);
                    self.commit(job.blob, job.version, seen)?;
                }
            }
            Step::Drop(..) | Step::Collect => return self.collect(step, seen),
            Step::Restore => return self.restore(seen),
            Step::Thin(n) => return self.thin(n, seen),
            Step::Work => return self.work(seen),
            Step::Delete(place) => return self.delete(&self.collectors.jobs[place].clone(), seen),
            Step::Collected(place) => return self.collected(place, seen),
            Step::CollectedAgain => self.collected_again(seen),
            Step::Stall(place) => {
                self.repeats -= 1;
                self.collectors.late = Some(self.collectors.jobs.remove(place));
            }
            Step::DeleteLate => return self.delete_late(seen),
            Step::Clone(n) => return self.clone_file(n, seen),
            Step::Unlink(file) => return self.unlink(file, seen),
            Step::Read(reader, act) => return self.read(reader, act, seen),
            Step::Restart => {
                self.restarts -= 1;
                let epoch = self.manager.epoch();
                self.readers.iter_mut().for_each(|reader| reader.forget(epoch));
                note(seen, "manager restarted", true);
            }
        }
        Ok(())
    }

    /// A writer from its first step to its last, alone.
    pub(super) fn run_alone(&mut self, writer: usize, seen: &mut Seen) -> Result<(), Violation> {
        self.take(Step::Upload(writer), seen)?;
        self.take(Step::Ticket(writer), seen)?;
        self.take(Step::Weave(writer), seen)?;
        self.take(Step::Put(writer, 0), seen)?;
        self.take(Step::Commit(writer), seen)
    }

    fn upload(&mut self, writer: usize) {
        let place = self.oracle.current;
        let blob = &self.oracle.blobs[place];
        let (published, size) = (blob.published, blob.models[blob.published as usize].size);
        let Writer { choice, session, stage, operation, read, .. } = &mut self.writers[writer];
        *read = (place, published);
        let Some(made) = choice.operation(*session, self.oracle.logs[place].id, BlobVersion(published), size) else {
            *stage = Stage::Failed;
            return;
        };
        Arc::make_mut(&mut self.objects).extend(update_of(&made).objects.iter().map(|object| object.id));
        let made = Arc::new(made);
        *stage = Stage::Uploaded(made.clone());
        *operation = Some(made);
    }

    /// A request for a ticket reaches the manager. `is_heard`: its answer reaches the writer.
    fn ticket(&mut self, writer: usize, is_heard: bool, seen: &mut Seen) -> Result<(), Violation> {
        let Some(request) = self.request(writer) else { return Ok(()) };
        let (reply, effects) = self.manager.ticket(request);
        let is_late = !matches!(self.writers[writer].stage, Stage::Uploaded(_));
        match reply {
            Ok(ticket) => {
                let (blob, version) = (ticket.blob, ticket.entry.version);
                if effects.contains(&Effect::Assigned { blob, version }) {
                    self.check_assigned(blob, &ticket.entry, writer, seen)?;
                }
                let known = self.writers[writer].version.replace((blob, version));
                note(seen, "ticket repeated", known.is_some());
                if known.is_some_and(|known| known != (blob, version)) {
                    return Err(Violation::Order(format!("one request became {known:?} and {blob} {version}")));
                }
                if is_heard {
                    self.writers[writer].stage = Stage::Granted(Arc::new(ticket));
                }
                Ok(())
            }
            Err(_) if is_late => Ok(()),
            Err(error) if matches!(error.kind, ErrorKind::SessionExpired | ErrorKind::Conflict) => {
                note(seen, "compaction refused", error.kind == ErrorKind::Conflict);
                note(seen, "ticket of a lapsed session refused", error.kind == ErrorKind::SessionExpired);
                self.writers[writer].stage = if is_heard { Stage::Failed } else { self.writers[writer].stage.clone() };
                Ok(())
            }
            Err(error) => Err(Violation::Order(format!("a ticket was refused: {error}"))),
        }
    }

    /// What the writer sends; here the planted bugs of the manager and of clients spoil it.
    fn request(&mut self, writer: usize) -> Option<TicketRequest> {
        let fault = self.setup.fault;
        let Writer { session, version, sequence, .. } = &mut self.writers[writer];
        if fault == Fault::ForgetsRequests && version.is_some() {
            *sequence += 1;
        }
        let mut key = RequestKey { session: *session, sequence: *sequence, answered_below: 1 };
        if fault == Fault::KeepsObjectsOfALapsedSession && !self.manager.is_open(key.session) {
            key.session = self.manager.open_session();
        }
        let mut operation = (**self.writers[writer].operation.as_ref()?).clone();
        let place = self.oracle.current;
        let blob = &self.oracle.blobs[place];
        match &mut operation {
            Operation::Append(update) if fault == Fault::AppendsToThePublished => {
                let size = blob.models[blob.published as usize].size;
                let data = update.data.iter().map(|extent| DataExtent { offset: extent.offset + size, ..*extent });
                operation = Operation::Write(Update { data: data.collect(), ..update.clone() });
            }
            Operation::Compact { blob: read, read_at, .. } if fault == Fault::CompactsAnyway => {
                *read = self.oracle.logs[place].id;
                *read_at = BlobVersion(blob.models.len() as u64 - 1);
            }
            Operation::Compact { blob: read, .. } if fault == Fault::CompactsAnotherBlob => *read = self.oracle.logs[place].id,
            _ => {}
        }
        let (volume, inode, modified) = (self.manager.volume, self.manager.inode, Timestamp(1));
        Some(TicketRequest { volume, inode, key, author: Author::default(), operation, modified, copies: 1 })
    }

    fn weave_writers(&mut self, writer: usize, seen: &mut Seen) -> Result<(), Violation> {
        let Stage::Granted(ticket) = self.writers[writer].stage.clone() else { return Ok(()) };
        let (blob, version) = (ticket.blob, ticket.entry.version);
        self.writers[writer].stage = match self.weave(&ticket) {
            Ok(job) => Stage::Woven(job),
            Err(Violation::Unreachable(_)) if !self.needed().contains(&(self.oracle.place(blob), ticket.base.version.0)) => {
                note(seen, "base collected under a writer", true);
                match self.manager.rebuild(blob, version) {
                    Ok(ticket) => Stage::Granted(Arc::new(ticket)),
                    Err(error) if self.is_over(error.kind, blob, version) => Stage::Done,
                    Err(error) => return Err(Violation::Order(format!("no ticket once more: {error}"))),
                }
            }
            Err(violation) => return Err(violation),
        };
        Ok(())
    }

    fn weave(&self, ticket: &Ticket) -> Result<Job, Violation> {
        let weaver = Weaver::new(&ticket.base, &ticket.in_flight, &ticket.entry);
        let (woven, _) = drive(weaver.map_err(|error| Violation::Walk(error.to_string()))?, &self.nodes)?;
        let (blob, version) = (ticket.blob, ticket.entry.version);
        self.check_woven(blob, version, &woven)?;
        Ok(Job { blob, version, nodes: Arc::new(woven), stored: 0 })
    }

    fn put(&mut self, job: &mut Job, part: u8) -> Result<(), Violation> {
        let nodes: Vec<(NodeId, Node)> = job.nodes.iter().filter(|(id, _)| self.part_of(id) == part).cloned().collect();
        for (id, node) in nodes {
            if self.nodes.get(&id).is_some_and(|stored| *stored != node) {
                return Err(Violation::Unstable(format!("I1: {id} is stored already and different")));
            }
            if self.is_managed() && !self.nodes.contains_key(&id) && self.is_unneeded(job) {
                Arc::make_mut(&mut self.stored_late).insert(id);
            }
            Arc::make_mut(&mut self.nodes).insert(id, node);
        }
        job.stored |= 1 << part;
        Ok(())
    }

    /// Whether a writer is told so because its version was published, and all that it did is collected.
    fn is_over(&self, kind: ErrorKind, blob: BlobId, version: BlobVersion) -> bool {
        let state = &self.oracle.blobs[self.oracle.place(blob)];
        let is_collected = version.0 <= state.published && !state.kept.contains(&version.0);
        kind == ErrorKind::Conflict || (kind == ErrorKind::NotFound && is_collected)
    }

    /// Whether a writer that is late stores what is being collected or was: the sweep for orphans finds that.
    fn is_unneeded(&self, job: &Job) -> bool {
        let content = (self.oracle.place(job.blob), job.version.0);
        content.1 <= self.oracle.blobs[content.0].published && !self.needed().contains(&content)
    }

    fn commit(&mut self, blob: BlobId, version: BlobVersion, seen: &mut Seen) -> Result<(), Violation> {
        let place = self.oracle.place(blob);
        Arc::make_mut(&mut self.oracle).blobs[place].committed[version.0 as usize] = true;
        let mut latest = self.manager.latest().0;
        let before =
            if self.setup.fault == Fault::PublishesOutOfOrder { self.oracle.blobs[place].published + 1 } else { version.0 };
        for version in before..=version.0 {
            let (reply, effects) = self.manager.commit(blob, BlobVersion(version));
            let published: Vec<_> = effects
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Published { blob, version, became } => Some((*blob, *version, *became)),
                    _ => None,
                })
                .collect();
            note(seen, "several published at once", published.len() > 1);
            note(seen, "published without a number", published.iter().any(|(_, _, became)| became.is_none()));
            for (blob, version, became) in published {
                self.check_published(blob, version, became, &mut latest)?;
            }
            match reply {
                Ok(_) => {}
                Err(error) if self.is_over(error.kind, blob, BlobVersion(version)) => {
                    note(seen, "late commit of a collected version", true)
                }
                Err(error) if error.kind == ErrorKind::Busy => note(seen, "commit waits for another", true),
                Err(error) => return Err(Violation::Order(format!("a commit was refused: {error}"))),
            }
        }
        self.check_head()
    }

    /// Liveness: whatever waits can be finished from the log, at any time.
    fn help(&mut self, blob: BlobId, version: BlobVersion, seen: &mut Seen) -> Result<(), Violation> {
        let ticket = self.manager.rebuild(blob, version);
        let mut ticket = ticket.map_err(|error| Violation::Order(format!("{blob} {version} cannot be finished: {error}")))?;
        note(seen, "helper with others in flight", !ticket.in_flight.is_empty());
        if self.setup.fault == Fault::HelperForgetsWhatIsInFlight {
            ticket.in_flight.iter_mut().for_each(|entry| entry.update = Update::default());
        }
        self.helper = Some(self.weave(&ticket)?);
        Ok(())
    }

    /// Page objects of a writer that nobody may use any more: its session is closed and no log entry names them.
    fn orphans(&self, writer: usize) -> HashSet<PageObjectId> {
        let fault = self.setup.fault;
        let Writer { session, operation, version, .. } = &self.writers[writer];
        let is_over = !self.manager.is_open(*session) || fault == Fault::FreesOrphansEarly;
        let is_named = version.is_some() && fault != Fault::FreesWhatTheLogNames;
        let Some(operation) = operation.as_ref().filter(|_| is_over && !is_named) else { return HashSet::new() };
        update_of(operation).objects.iter().map(|object| object.id).filter(|id| self.objects.contains(id)).collect()
    }

    fn restore(&mut self, seen: &mut Seen) -> Result<(), Violation> {
        self.is_restored = true;
        let before = self.manager.tree().blob;
        let restored = self.manager.restore(self.first).map_err(|error| Violation::Order(format!("no restore: {error}")))?;
        let blob = restored.attributes.and_then(|attributes| attributes.tree).map(|tree| tree.blob);
        if let Some(blob) = blob.filter(|blob| *blob != before) {
            let oracle = Arc::make_mut(&mut self.oracle);
            oracle.add(blob, self.past.at(self.first.0).file);
            oracle.current = oracle.blobs.len() - 1;
            let content = (oracle.current, 0);
            Arc::make_mut(&mut self.past).change(|shown| shown.file = Some(content));
            note(seen, "restored under writers", self.writers.iter().any(|writer| matches!(writer.stage, Stage::Woven(_))));
        }
        self.check_head()
    }
}
