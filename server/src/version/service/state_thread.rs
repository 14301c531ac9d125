//! The state thread: applies durable commands, runs reads between them, keeps leases and checkpoints.

use super::leases::CallId;
use super::log_thread::{LogJob, Proposal};
use super::soft::Soft;
use super::workers::{Jobs, Queue, TICK, Worker};
use super::{ManagerOptions, Status};
use crate::version::command::{Action, Command};
use crate::version::core::{Effect, StateMachine};
use crate::version::failure::Failure;
use crate::version::kv::KvError;
use crate::version::store::RedbKv;
use crate::version::{blobs, namespace};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use weft_common::clock::Clock;
use weft_common::id::{BlobId, BlobVersion, RequestId, SessionId};
use weft_common::limits::{CHECKPOINT_BYTES_MAX, SESSION_LEASE};
use weft_common::wire::{ErrorKind, LockRequest, Reply, SessionRequest, encode};

/// What the state thread is asked to do.
pub(super) enum StateJob {
    /// Durable commands, the first of which has index `first`.
    Batch { first: u64, proposals: Vec<Proposal> },
    /// Something that needs the state.
    Act(Box<dyn FnOnce(&mut State) + Send>),
    /// Checkpoint and end.
    Stop,
}

impl std::fmt::Debug for StateJob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Batch { first, proposals } => write!(formatter, "Batch({first}, {} commands)", proposals.len()),
            Self::Act(_) => formatter.write_str("Act"),
            Self::Stop => formatter.write_str("Stop"),
        }
    }
}

/// The state: for the thread that changes it, and for short looks of those who find it free.
#[derive(Clone)]
pub(super) struct SharedState {
    state: Arc<Mutex<Option<State>>>,
    /// Batches that were handed to the state thread and are not applied.
    waiting: Arc<AtomicUsize>,
}

impl std::fmt::Debug for SharedState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SharedState")
    }
}

impl SharedState {
    pub(super) fn new(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(Some(state))), waiting: Arc::default() }
    }

    /// What `look` finds, or `look` back if somebody else is at the state, or it is gone.
    pub(super) fn try_look<R, L: FnOnce(&mut State) -> R>(&self, look: L) -> Result<R, L> {
        match self.state.try_lock().as_deref_mut() {
            Ok(Some(state)) => Ok(look(state)),
            _ => Err(look),
        }
    }

    /// Applies a batch where the caller, the log thread, stands, or hands it to the state thread if that has anything to do. Whether the
    /// state thread is still there.
    pub(super) fn apply(
        &self,
        queue: &Queue<StateJob>,
        first: u64,
        proposals: Vec<Proposal>,
        here: bool,
    ) -> Result<bool, KvError> {
        let mut proposals = Some(proposals);
        // Only the log thread hands batches over, so none can come before this one now.
        if here && self.waiting.load(Ordering::Acquire) == 0 {
            let applied = self.try_look(|state| state.apply_all(first, proposals.take().unwrap_or_default()));
            if let Ok(applied) = applied {
                return applied.map(|()| true);
            }
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Ok(queue.send(StateJob::Batch { first, proposals: proposals.unwrap_or_default() }).is_ok())
    }

    /// The state, when nobody else is at it. If somebody panicked there, nobody knows any more what it is worth.
    fn lock(&self) -> Result<MutexGuard<'_, Option<State>>, KvError> {
        self.state.lock().map_err(|_| KvError("somebody panicked while reading it; see the log above".into()))
    }
}

/// Everything that commands change.
pub(super) struct State {
    pub(super) machine: StateMachine<RedbKv>,
    pub(super) soft: Soft,
    applied: u64,
    checkpoint_every: Duration,
    checkpoint_commands: u64,
    checkpoint_begun: Instant,
    checkpointed: Arc<AtomicU64>,
    log: Queue<LogJob>,
    ticked: Instant,
    clock: Arc<dyn Clock>,
}

impl State {
    pub(super) fn new(
        machine: StateMachine<RedbKv>,
        applied: u64,
        options: &ManagerOptions,
        checkpointed: Arc<AtomicU64>,
        log: Queue<LogJob>,
    ) -> Result<Self, KvError> {
        let now = Instant::now();
        let soft = Soft::new(machine.kv(), now, options)?;
        let (checkpoint_every, checkpoint_commands) = (options.checkpoint_every, options.checkpoint_commands);
        let (checkpoint_begun, ticked) = (now, now);
        let clock = Arc::clone(&options.clock);
        Ok(Self {
            machine,
            soft,
            applied,
            checkpoint_every,
            checkpoint_commands,
            checkpoint_begun,
            checkpointed,
            log,
            ticked,
            clock,
        })
    }

    /// Applies durable commands, the first of which has index `first`.
    fn apply_all(&mut self, first: u64, proposals: Vec<Proposal>) -> Result<(), KvError> {
        for (index, proposal) in (first..).zip(proposals) {
            self.applied = index;
            self.apply(proposal)?;
            // A clone of a large tree changes more than all the rest of a batch.
            if self.machine.kv().pending_bytes() >= CHECKPOINT_BYTES_MAX / 4 {
                self.checkpoint_if_due()?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, proposal: Proposal) -> Result<(), KvError> {
        let Proposal { request, command: Command { time, action }, wait, .. } = &proposal;
        let (request, wait) = (*request, *wait);
        let maker = session_of(action);
        if let Some(session) = maker {
            self.soft.renew(session, Instant::now());
        }
        let outcome = self.machine.apply(&proposal.command)?;
        tracing::trace!(%request, index = self.applied, time = time.0, refused = outcome.reply.is_err(), "applied");
        let call = self.call_in(&outcome.effects, maker.or(proposal.maker));
        self.follow(request, &outcome.effects, call)?;
        match (&proposal.command.action, &outcome.reply) {
            (Action::Commit { blob, version }, Err(error)) if wait && error.kind == ErrorKind::Busy => {
                let place = (*blob, *version);
                if let Some(answer) = proposal.answer {
                    self.soft.wait_for_publish(place, answer, error.clone());
                }
            }
            (action, _) => {
                let behind = call.map_or_else(|| self.reveals(action), |call| Ok(Some(call)))?;
                if let Some(answer) = proposal.answer {
                    self.soft.leases.answer_after(behind, answer, outcome.reply);
                }
            }
        }
        Ok(())
    }

    /// Calls in the leases of others on what a command changed.
    fn call_in(&mut self, effects: &[Effect], maker: Option<SessionId>) -> Option<CallId> {
        let mut touched = Vec::new();
        for effect in effects {
            match effect {
                Effect::Touched { volume, directory } => touched.push((*volume, *directory)),
                Effect::Removed(volume) => touched.extend(self.soft.leases.leased_in(*volume)),
                _ => {}
            }
        }
        self.soft.leases.call_in(touched, maker, Instant::now())
    }

    /// The call under way that the answer to a command must not overtake, though the command changed nothing that is called in: it was
    /// carried out before, and is repeated; or it was refused, or tells of something.
    fn reveals(&self, action: &Action) -> Result<Option<CallId>, KvError> {
        if self.soft.leases.is_quiet() {
            return Ok(None);
        }
        let kv = self.machine.kv();
        let (volume, directories, subject) = match action {
            Action::Change(change) => (change.volume, change.change.directories(), change.change.subject()),
            Action::Lock(LockRequest::Take { volume, inode, .. }) => (*volume, [None, None], Some(*inode)),
            Action::Commit { blob, .. } => (blob.volume, [None, None], blobs::inode_of(kv, *blob)?),
            _ => return Ok(None),
        };
        let home = subject.map_or(Ok(None), |inode| namespace::leased_under(kv, volume, inode))?;
        let about = directories.into_iter().flatten().chain(home);
        let call = self.soft.leases.call_for(about.map(|directory| (volume, directory)));
        Ok(call)
    }

    /// Wakes whom the effects concern. What is answered waits for `call`.
    fn follow(&mut self, request: RequestId, effects: &[Effect], call: Option<CallId>) -> Result<(), KvError> {
        for effect in effects {
            match effect {
                Effect::Published { blob, version, became } => {
                    tracing::debug!(%request, %blob, %version, became = became.map(|version| version.0), "published");
                    self.answer_waiters((*blob, *version), call)?;
                }
                Effect::Removed(volume) => {
                    for place in self.soft.waited_for_in(*volume) {
                        self.answer_waiters(place, call)?;
                    }
                }
                Effect::Assigned { blob, version } => tracing::debug!(%request, %blob, %version, "ticket"),
                Effect::Opened(session) => tracing::info!(%request, %session, "session opened"),
                Effect::Closed(session) => tracing::info!(%request, %session, "session closed"),
                Effect::Changed { .. } | Effect::Unlocked(..) | Effect::Touched { .. } => {}
            }
            self.soft.note(effect, Instant::now());
            if let Effect::Opened(session) = effect {
                self.soft.opened(*session, self.machine.epoch());
            }
        }
        Ok(())
    }

    fn answer_waiters(&mut self, (blob, version): (BlobId, BlobVersion), call: Option<CallId>) -> Result<(), KvError> {
        let waiters = self.soft.take_waiters((blob, version));
        if waiters.is_empty() {
            return Ok(());
        }
        let reply = Failure::split(blobs::published_reply(self.machine.kv(), blob, version))?.map(Reply::Blob);
        for waiter in waiters {
            self.soft.leases.answer_after(call, waiter, reply.clone());
        }
        Ok(())
    }

    /// Leases, checkpoints; does nothing between two ticks.
    fn tick(&mut self) -> Result<(), KvError> {
        if self.ticked.elapsed() < TICK {
            return Ok(());
        }
        let idle = self.ticked.elapsed();
        self.ticked = Instant::now();
        if idle > SESSION_LEASE / 4 {
            tracing::warn!(seconds = idle.as_secs(), "this process stood still; sessions get that time back");
            self.soft.forgive(idle);
        }
        for session in self.soft.lapsed_sessions(self.ticked) {
            self.close(session);
        }
        self.soft.forget_gone_waiters();
        self.soft.leases.tick(self.ticked);
        self.checkpoint_if_due()
    }

    /// Writes everything to the table on disk.
    pub(super) fn checkpoint(&mut self) -> Result<(), KvError> {
        self.machine.kv_mut().checkpoint(self.applied)?;
        self.checkpointed.store(self.applied, Ordering::Release);
        Ok(())
    }

    fn checkpoint_if_due(&mut self) -> Result<(), KvError> {
        let table = self.machine.kv_mut();
        table.poll()?;
        self.checkpointed.store(table.checkpointed(), Ordering::Release);
        let behind = self.applied - table.checkpointed();
        let due = behind >= self.checkpoint_commands
            || (behind > 0 && self.checkpoint_begun.elapsed() >= self.checkpoint_every)
            || table.pending_bytes() >= CHECKPOINT_BYTES_MAX / 4;
        if due && table.begin_checkpoint(self.applied)? {
            self.checkpoint_begun = Instant::now();
        }
        Ok(())
    }

    /// Proposes the end of a session whose client fell silent.
    fn close(&mut self, session: SessionId) {
        tracing::warn!(%session, "its client said nothing for a whole lease; closing it");
        let action = Action::Session(SessionRequest::Close(session));
        let command = Command { time: self.clock.now(), action };
        let Ok(bytes) = encode(&command) else { return };
        let proposal = Proposal { request: RequestId(0), command, bytes, wait: false, maker: None, answer: None, _permit: None };
        if self.log.try_send(LogJob::Propose(Box::new(proposal))).is_err() {
            self.soft.still_open(session);
        }
    }
}

/// The session whose sign of life a command is.
fn session_of(action: &Action) -> Option<SessionId> {
    match action {
        Action::Change(change) => Some(change.key.session),
        Action::Ticket(request) => Some(request.key.session),
        Action::Lock(LockRequest::Take { key, .. } | LockRequest::Release { key, .. }) => Some(key.session),
        Action::Lock(_)
        | Action::Volume(_)
        | Action::Session(_)
        | Action::Commit { .. }
        | Action::Placement(_)
        | Action::SetPolicy { .. }
        | Action::Thin { .. }
        | Action::Collect(..)
        | Action::Collected(..) => None,
    }
}

/// The state and how it ends.
pub(super) struct StateThread {
    state: SharedState,
    end: End,
}

impl Drop for StateThread {
    /// The table's file is closed before anybody hears that the manager stopped, and may open it again.
    fn drop(&mut self) {
        drop(self.state.state.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl StateThread {
    pub(super) fn new(state: SharedState, status: Arc<watch::Sender<Status>>) -> Self {
        Self { state, end: End { status, end: Status::Failed("its state thread died; see the log above".into()) } }
    }

    /// What is done with a job. Whether to go on.
    fn serve(&mut self, job: Option<StateJob>) -> Result<bool, KvError> {
        let mut state = self.state.lock()?;
        let Some(state) = state.as_mut() else { return Ok(false) };
        match job {
            Some(StateJob::Batch { first, proposals }) => {
                let applied = state.apply_all(first, proposals);
                self.state.waiting.fetch_sub(1, Ordering::AcqRel);
                applied?;
            }
            Some(StateJob::Act(act)) => act(state),
            Some(StateJob::Stop) => {
                state.checkpoint()?;
                return Ok(false);
            }
            None => {}
        }
        state.tick()?;
        Ok(true)
    }
}

impl Worker for StateThread {
    type Job = StateJob;
    const NAME: &'static str = "weft-state";

    fn work(&mut self, job: Option<StateJob>, _: &Jobs<StateJob>) -> bool {
        match self.serve(job) {
            Ok(true) => return true,
            Ok(false) => self.end.end = Status::Stopped,
            Err(error) => {
                tracing::error!(%error, "the version manager stops");
                self.end.end = Status::Failed(error.to_string().into());
            }
        }
        false
    }

    fn abandoned(&mut self) {
        // What was acknowledged is in the log whatever becomes of this checkpoint.
        let checkpoint = self.state.lock().and_then(|mut state| state.as_mut().map_or(Ok(()), State::checkpoint));
        if checkpoint.is_ok() {
            self.end.end = Status::Stopped;
        }
    }
}

/// Says how the state thread ended, also when it panicked.
struct End {
    status: Arc<watch::Sender<Status>>,
    end: Status,
}

impl Drop for End {
    fn drop(&mut self) {
        self.status.send_if_modified(|status| {
            let running = *status == Status::Running;
            if running {
                *status = self.end.clone();
            }
            running
        });
    }
}
