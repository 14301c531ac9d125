//! The log thread: gathers what waits, makes it durable at once, hands it to the state thread.

use super::Status;
use super::state_thread::{SharedState, StateJob};
use super::workers::{Jobs, Queue, Worker};
use crate::version::command::Command;
use crate::version::journal::{LogError, ReplicatedLog};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use weft_common::id::{RequestId, SessionId};
use weft_common::limits::COMMANDS_PER_COMMIT_MAX;
use weft_common::wire::{ErrorKind, Reply, ServiceError};

/// A command on its way.
#[derive(Debug)]
pub(super) struct Proposal {
    /// Follows the request through the logs.
    pub(super) request: RequestId,
    /// What is to be done.
    pub(super) command: Command,
    /// Its encoding; empty once it is in the log.
    pub(super) bytes: Vec<u8>,
    /// Whether a commit waits until it is published.
    pub(super) wait: bool,
    /// The session that makes the change, where the command does not say: its own leases are not called in.
    pub(super) maker: Option<SessionId>,
    /// Whom to tell; nobody, for the manager's own.
    pub(super) answer: Option<oneshot::Sender<Result<Reply, ServiceError>>>,
    /// Its part of the memory for waiting commands.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

impl Proposal {
    /// Answers its proposer, who may have gone away.
    pub(super) fn answer(self, result: Result<Reply, ServiceError>) {
        if let Some(answer) = self.answer {
            let _ = answer.send(result);
        }
    }
}

/// What the log thread is asked to do.
#[derive(Debug)]
pub(super) enum LogJob {
    /// Make it durable, then have it applied.
    Propose(Box<Proposal>),
    /// Finish what waits and end.
    Stop,
}

/// What the log thread shares with the rest.
pub(super) struct LogThreadParts {
    pub(super) state: Queue<StateJob>,
    pub(super) shared: SharedState,
    /// The last command that the table on disk has; the log may forget those up to it.
    pub(super) checkpointed: Arc<AtomicU64>,
    pub(super) status: Arc<watch::Sender<Status>>,
}

pub(super) struct LogThread {
    log: Box<dyn ReplicatedLog>,
    parts: LogThreadParts,
    dropped_below: u64,
}

impl LogThread {
    pub(super) fn new(log: Box<dyn ReplicatedLog>, parts: LogThreadParts) -> Self {
        Self { log, parts, dropped_below: 0 }
    }

    /// The job, and those that wait behind it. The second value: whether to stop after them.
    fn gather(first: LogJob, jobs: &Jobs<LogJob>) -> (Vec<Proposal>, bool) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                LogJob::Propose(proposal) => batch.push(*proposal),
                LogJob::Stop => return (batch, true),
            }
            next = if batch.len() < COMMANDS_PER_COMMIT_MAX { jobs.next_now() } else { None };
        }
        (batch, false)
    }

    /// Makes a batch durable and has it applied: at once if no further one waits to be made durable meanwhile. Whether the log goes on, and
    /// the job that waits.
    fn commit(&mut self, mut batch: Vec<Proposal>, jobs: &Jobs<LogJob>) -> (bool, Option<LogJob>) {
        let commands: Vec<_> = batch.iter_mut().map(|proposal| std::mem::take(&mut proposal.bytes)).collect();
        match self.log.append(&commands) {
            Ok(first) => {
                let next = jobs.next_now();
                match self.parts.shared.apply(&self.parts.state, first, batch, next.is_none()) {
                    Ok(alive) => (alive, next),
                    Err(error) => {
                        tracing::error!(%error, "the version manager stops");
                        self.parts.status.send_replace(Status::Failed(error.to_string().into()));
                        (false, next)
                    }
                }
            }
            Err(error @ LogError::Full { .. }) => {
                tracing::error!(%error, commands = batch.len(), "commands were refused");
                refuse(batch, &ServiceError::new(ErrorKind::NoSpace, error.to_string()));
                (true, None)
            }
            Err(error) => {
                tracing::error!(%error, "the version manager stops");
                let reason = Status::Failed(error.to_string().into());
                self.parts.status.send_replace(reason);
                let message = format!("{error}; the change may or may not be there after a restart");
                refuse(batch, &ServiceError::new(ErrorKind::Unavailable, message));
                (false, None)
            }
        }
    }

    fn drop_old(&mut self) {
        let below = self.parts.checkpointed.load(Ordering::Acquire) + 1;
        if below <= self.dropped_below {
            return;
        }
        self.dropped_below = below;
        if let Err(error) = self.log.truncate_before(below) {
            tracing::warn!(%error, "old segments of the version log stay until the next checkpoint");
        }
    }
}

impl Worker for LogThread {
    type Job = LogJob;
    const NAME: &'static str = "weft-log";

    fn work(&mut self, job: Option<LogJob>, jobs: &Jobs<LogJob>) -> bool {
        let mut next = job;
        while let Some(job) = next.take() {
            let (batch, stop) = Self::gather(job, jobs);
            let alive = if batch.is_empty() {
                true
            } else {
                let (alive, waiting) = self.commit(batch, jobs);
                next = waiting;
                alive
            };
            if stop && alive {
                // Fails only if the state thread has ended already.
                let _ = self.parts.state.send(StateJob::Stop);
            }
            if stop || !alive {
                return false;
            }
            self.drop_old();
        }
        true
    }
}

fn refuse(batch: Vec<Proposal>, error: &ServiceError) {
    for proposal in batch {
        proposal.answer(Err(error.clone()));
    }
}
