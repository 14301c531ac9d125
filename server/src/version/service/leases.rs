//! Who may answer from memory, and what has to wait until they do not any more.
//!
//! A change is applied and then *called in*: the sessions that hold leases on directories that it touched, but for its own maker's, are
//! told so by the answer to the question that each has open ([`LeaseRequest::Await`]). Until all of them have let go, nobody
//! hears of the change: its answer is held, and reads of those directories wait. So for everybody the change happens when the last
//! memory of what was before is gone. A client that says nothing for [`LEASE_TERM`] has stopped believing what it
//! remembers, by its own clock, a little earlier than it is given up here ([`LEASE_MARGIN`]).
//!
//! All of this is soft. A manager that starts does not know what leases an earlier process gave. So every session that was open then is a
//! *stranger*, who may hold a lease on anything, until it asks in a way that shows that it has forgotten them, or a term is over.
//!
//! [`LeaseRequest::Await`]: weft_common::wire::LeaseRequest::Await

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_common::id::{InodeNumber, SessionId, VolumeId};
use weft_common::limits::{LEASE_MARGIN, LEASE_TERM, LEASES_MAX, LEASES_PER_SESSION_MAX};
use weft_common::wire::{Grant, LeaseReply, LeasedDirectory, Reply, ServiceError};

/// A call for leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallId(u64);

/// An answer that waits for a call.
type Held = (oneshot::Sender<Result<Reply, ServiceError>>, Result<Reply, ServiceError>);

/// What a session holds.
#[derive(Debug)]
struct Holder {
    line: u64,
    heard: Instant,
    directories: BTreeSet<LeasedDirectory>,
    /// Directories that are called in and not let go of, as far as is known, in order of their numbers.
    called: Vec<(u64, LeasedDirectory)>,
    /// Number of the newest call.
    number: u64,
    /// Its open question.
    question: Option<oneshot::Sender<()>>,
}

/// A call under way.
#[derive(Debug)]
struct Call {
    directories: Vec<LeasedDirectory>,
    /// Who has to let go, up to which number; of strangers, no number will do.
    awaits: BTreeMap<SessionId, u64>,
    /// By then those who have not let go do not believe anything any more.
    until: Instant,
    answers: Vec<Held>,
    readers: Vec<oneshot::Sender<()>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Leases {
    holders: BTreeMap<SessionId, Holder>,
    by_directory: BTreeMap<LeasedDirectory, BTreeSet<SessionId>>,
    /// Directories that several clients work in: no new leases until then …
    contested: BTreeMap<LeasedDirectory, Instant>,
    /// … for so long behind each call.
    pause: Duration,
    calls: BTreeMap<CallId, Call>,
    /// The newest call of each directory that is called in.
    fences: BTreeMap<LeasedDirectory, CallId>,
    /// Sessions that may hold leases of an earlier process, until then at most.
    strangers: BTreeSet<SessionId>,
    strangers_until: Instant,
    last_line: u64,
    last_call: u64,
    count: usize,
}

impl Leases {
    /// No leases are known. `strangers` may hold some that an earlier process gave; `line` is a number that none of them had. `pause` is for
    /// how long a directory is not leased once its leases were called in.
    pub(super) fn new(now: Instant, strangers: BTreeSet<SessionId>, line: u64, pause: Duration) -> Self {
        Self {
            holders: BTreeMap::new(),
            by_directory: BTreeMap::new(),
            contested: BTreeMap::new(),
            pause,
            calls: BTreeMap::new(),
            fences: BTreeMap::new(),
            strangers,
            strangers_until: now + LEASE_TERM + LEASE_MARGIN,
            last_line: line,
            last_call: 0,
            count: 0,
        }
    }

    /// Gives `session` leases on those of `directories` that can be leased now.
    pub(super) fn grant(
        &mut self,
        session: SessionId,
        volume: VolumeId,
        directories: Vec<InodeNumber>,
        now: Instant,
    ) -> Option<Grant> {
        let free: Vec<_> = directories.into_iter().filter(|inode| self.is_free((volume, *inode), now)).collect();
        if free.is_empty() {
            return None;
        }
        if !self.holders.contains_key(&session) {
            self.last_line += 1;
            let line = self.last_line;
            let (directories, called) = (BTreeSet::new(), Vec::new());
            self.holders.insert(session, Holder { line, heard: now, directories, called, number: 0, question: None });
        }
        // Who has not let go of what was called in is not to believe anything for longer than it does already.
        let holder = self.holders.get_mut(&session).filter(|holder| holder.called.is_empty())?;
        holder.heard = now;
        let mut granted = Vec::new();
        for inode in free {
            let directory = (volume, inode);
            let is_held = holder.directories.contains(&directory);
            if !is_held && (self.count >= LEASES_MAX || holder.directories.len() >= LEASES_PER_SESSION_MAX) {
                continue;
            }
            if !is_held {
                holder.directories.insert(directory);
                self.by_directory.entry(directory).or_default().insert(session);
                self.count += 1;
            }
            granted.push(inode);
        }
        (!granted.is_empty()).then_some(Grant { line: holder.line, directories: granted })
    }

    fn is_free(&mut self, directory: LeasedDirectory, now: Instant) -> bool {
        match self.contested.get(&directory) {
            _ if self.fences.contains_key(&directory) => false,
            Some(until) if now < *until => false,
            Some(_) => {
                self.contested.remove(&directory);
                true
            }
            None => true,
        }
    }

    /// A session's question has arrived: it has let go of what was called in up to `done`, and does not remember `gives_back`.
    pub(super) fn hear(&mut self, (session, line): (SessionId, u64), done: u64, gives_back: &[LeasedDirectory], now: Instant) {
        // Whoever holds nothing, or something of ours, does not hold anything else.
        if line == 0 || self.holders.get(&session).is_some_and(|holder| holder.line == line) {
            self.know(session);
        }
        let Some(holder) = self.holders.get_mut(&session).filter(|holder| holder.line == line) else { return };
        holder.called.retain(|(number, _)| *number > done);
        // Otherwise it is told once more, and does not believe anything for longer because of that.
        if holder.called.is_empty() {
            holder.heard = now;
        }
        for directory in gives_back {
            if holder.directories.remove(directory) {
                remove_holder(&mut self.by_directory, *directory, session);
                self.count -= 1;
            }
        }
        self.let_go(session, done);
    }

    /// A session is no stranger any more.
    fn know(&mut self, session: SessionId) {
        if self.strangers.remove(&session) {
            self.calls.values_mut().for_each(|call| call.awaits.retain(|who, number| *who != session || *number != u64::MAX));
            self.finish_calls();
        }
    }

    /// What a session that holds `line` is answered, as of `epoch`; and if there is nothing to let go of, who tells when there is.
    pub(super) fn called(
        &mut self,
        (session, line): (SessionId, u64),
        epoch: u64,
    ) -> (LeaseReply, Option<oneshot::Receiver<()>>) {
        let Some(holder) = self.holders.get_mut(&session).filter(|holder| holder.line == line) else {
            return (LeaseReply::CalledIn { line: 0, number: 0, epoch, directories: Vec::new() }, None);
        };
        let directories: Vec<_> = holder.called.iter().map(|(_, directory)| *directory).collect();
        let tells = directories.is_empty().then(|| {
            let (sender, receiver) = oneshot::channel();
            // A question before it is given up: its answer was lost, or it has waited long enough.
            holder.question = Some(sender);
            receiver
        });
        (LeaseReply::CalledIn { line, number: holder.number, epoch, directories }, tells)
    }

    /// A session has let go of what was called in up to `done`.
    fn let_go(&mut self, session: SessionId, done: u64) {
        for call in self.calls.values_mut() {
            if call.awaits.get(&session).is_some_and(|number| *number <= done) {
                call.awaits.remove(&session);
            }
        }
        self.finish_calls();
    }

    /// A change by `maker` touched `directories`: calls in the leases that others have on them. `None` if there is nobody to wait for.
    pub(super) fn call_in(
        &mut self,
        directories: impl IntoIterator<Item = LeasedDirectory>,
        maker: Option<SessionId>,
        now: Instant,
    ) -> Option<CallId> {
        if self.by_directory.is_empty() && self.fences.is_empty() && self.strangers.is_empty() {
            return None;
        }
        let strangers = self.strangers.iter().filter(|session| Some(**session) != maker);
        let awaits: BTreeMap<_, _> = strangers.map(|session| (*session, u64::MAX)).collect();
        let mut call = Call {
            directories: directories.into_iter().collect(),
            until: if awaits.is_empty() { now } else { self.strangers_until },
            awaits,
            answers: Vec::new(),
            readers: Vec::new(),
        };
        for directory in &call.directories {
            // Who has not let go of an earlier state has not let go of this one.
            if let Some(before) = self.fences.get(directory).and_then(|id| self.calls.get(id)) {
                call.awaits.extend(&before.awaits);
                call.until = call.until.max(before.until);
            }
            let holders = self.by_directory.get(directory).cloned().unwrap_or_default();
            for session in holders.into_iter().filter(|session| Some(*session) != maker) {
                let Some(holder) = self.holders.get_mut(&session) else { continue };
                holder.directories.remove(directory);
                remove_holder(&mut self.by_directory, *directory, session);
                self.count -= 1;
                holder.number += 1;
                holder.called.push((holder.number, *directory));
                call.awaits.insert(session, holder.number);
                call.until = call.until.max(holder.heard + LEASE_TERM + LEASE_MARGIN);
                // Helpers and compactions do not come back with the next change.
                if maker.is_some() {
                    self.contested.insert(*directory, now + self.pause);
                }
                if let Some(question) = holder.question.take() {
                    // Its asker may have gone away; then it asks again.
                    let _ = question.send(());
                }
            }
        }
        if call.directories.is_empty() || call.awaits.is_empty() {
            return None;
        }
        self.last_call += 1;
        let id = CallId(self.last_call);
        call.directories.iter().for_each(|directory| {
            self.fences.insert(*directory, id);
        });
        self.calls.insert(id, call);
        Some(id)
    }

    /// Answers once the call is over: at once, if it is.
    pub(super) fn answer_after(
        &mut self,
        call: Option<CallId>,
        answer: oneshot::Sender<Result<Reply, ServiceError>>,
        reply: Result<Reply, ServiceError>,
    ) {
        match call.and_then(|id| self.calls.get_mut(&id)) {
            Some(call) => call.answers.push((answer, reply)),
            None => {
                // Its asker may have gone away.
                let _ = answer.send(reply);
            }
        }
    }

    /// The directories of `volume` that somebody has a lease on.
    pub(super) fn leased_in(&self, volume: VolumeId) -> Vec<LeasedDirectory> {
        self.by_directory.keys().filter(|(of, _)| *of == volume).copied().collect()
    }

    /// Whether anything is called in.
    pub(super) fn is_quiet(&self) -> bool {
        self.fences.is_empty()
    }

    /// The newest call for one of `directories`.
    pub(super) fn call_for(&self, directories: impl IntoIterator<Item = LeasedDirectory>) -> Option<CallId> {
        directories.into_iter().filter_map(|directory| self.fences.get(&directory)).max().copied()
    }

    /// Told when the call for one of `directories` is over; `None` if there is none.
    pub(super) fn wait_for(&mut self, directories: impl IntoIterator<Item = LeasedDirectory>) -> Option<oneshot::Receiver<()>> {
        let call = self.call_for(directories).and_then(|id| self.calls.get_mut(&id))?;
        let (sender, receiver) = oneshot::channel();
        call.readers.push(sender);
        Some(receiver)
    }

    /// Told when some call in `volume` is over; `None` if there is none.
    pub(super) fn wait_in(&mut self, volume: VolumeId) -> Option<oneshot::Receiver<()>> {
        let fenced: Vec<_> = self.fences.keys().filter(|(of, _)| *of == volume).copied().collect();
        self.wait_for(fenced)
    }

    /// A session is over: it remembers nothing.
    pub(super) fn close(&mut self, session: SessionId) {
        self.strangers.remove(&session);
        if let Some(holder) = self.holders.remove(&session) {
            self.count -= holder.directories.len();
            holder.directories.iter().for_each(|directory| remove_holder(&mut self.by_directory, *directory, session));
        }
        self.let_go(session, u64::MAX);
    }

    /// Ends what is over by time alone.
    pub(super) fn tick(&mut self, now: Instant) {
        self.contested.retain(|_, until| now < *until);
        let late = self.calls.values().filter(|call| call.until <= now).flat_map(|call| call.awaits.keys().copied());
        let late: BTreeSet<SessionId> = late.collect();
        for session in &late {
            tracing::info!(%session, "did not let go of directories in time; by now it does not believe what it remembers of them");
        }
        let is_silent = |holder: &Holder| now.saturating_duration_since(holder.heard) > FORGET_AFTER;
        let silent = self.holders.iter().filter(|(_, holder)| is_silent(holder)).map(|(session, _)| *session);
        let strangers = self.strangers.iter().copied().filter(|_| self.strangers_until <= now);
        let gone: BTreeSet<SessionId> = silent.chain(late).chain(strangers).collect();
        gone.into_iter().for_each(|session| self.close(session));
    }

    fn finish_calls(&mut self) {
        let over: Vec<_> = self.calls.iter().filter(|(_, call)| call.awaits.is_empty()).map(|(id, _)| *id).collect();
        for id in over {
            let Some(call) = self.calls.remove(&id) else { continue };
            for directory in &call.directories {
                if self.fences.get(directory) == Some(&id) {
                    self.fences.remove(directory);
                }
            }
            // Whoever waited may have gone away.
            for (answer, reply) in call.answers {
                let _ = answer.send(reply);
            }
            for reader in call.readers {
                let _ = reader.send(());
            }
        }
    }
}

/// A session that asks for nothing for so long is forgotten with all its leases: many times as long as it believes in them.
const FORGET_AFTER: Duration = Duration::from_secs(30);

fn remove_holder(
    by_directory: &mut BTreeMap<LeasedDirectory, BTreeSet<SessionId>>,
    directory: LeasedDirectory,
    session: SessionId,
) {
    if let Some(holders) = by_directory.get_mut(&directory) {
        holders.remove(&session);
        if holders.is_empty() {
            by_directory.remove(&directory);
        }
    }
}
