//! The version manager at work: two threads around the pure state machine.
//!
//! ```text
//! propose ─► queue ─► log thread: one write and fsync for all that wait ─► state thread: apply, answer, wake
//! read ────────────────────────────────────────────────────────────────► state thread, between two batches
//! short read ──► at once, if the state thread has nothing to do; else as above
//! ```
//!
//! A command is applied only after it is durable, so no answer and no read ever shows what a crash could undo. While the log
//! thread syncs one batch, the state thread applies the one before, and the next one gathers. Both queues are bounded; when
//! they are full the caller is told `Busy` at once. The threads are plain ones: they block on the disk and compute.
//!
//! What is not in the log is soft: leases of sessions and tickets, and who waits for what ([`soft`](self)). After a restart every
//! lease starts anew.
//!
//! In simulation both workers are tasks ([`Workers`]).
//!
//! A log that failed stays failed, and so does a table: every later call gets `Unavailable`, [`Manager::failed`] returns, and
//! weftd exits. At the next start the log is the truth.

mod handle;
mod history;
mod leased;
mod leases;
mod lock_waits;
mod locks;
mod log_thread;
mod open;
mod soft;
mod state_thread;
#[cfg(test)]
mod tests;
mod workers;

pub use workers::Workers;

use crate::version::command::{Action, Command};
use crate::version::core::StateMachine;
use crate::version::journal::LogError;
use crate::version::kv::KvError;
use crate::version::store::RedbKv;
use log_thread::{LogJob, Proposal};
use state_thread::{SharedState, State, StateJob};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use weft_common::clock::{Clock, SystemClock};
use weft_common::id::{RequestId, SessionId};
use weft_common::limits::LEASE_PAUSE;
use weft_common::wire::{ErrorKind, Reply, ServiceError, encode};
use workers::Queue;

/// What one permit of the budget for waiting commands stands for.
const PERMIT_BYTES: usize = 1024;

/// How a version manager runs.
#[derive(Clone, Debug)]
pub struct ManagerOptions {
    /// The server's name in errors: role and address.
    pub server: String,
    /// The table is written to disk when a change is older than this …
    pub checkpoint_every: Duration,
    /// … or when so many commands are not in it.
    pub checkpoint_commands: u64,
    /// Whether nobody can hold leases that an earlier process gave.
    pub alone: bool,
    /// How long a directory is not leased, after a lease on it was called in.
    pub lease_pause: Duration,
    /// The time of day that commands get.
    pub clock: Arc<dyn Clock>,
    /// Who does the work.
    pub workers: Workers,
}

impl Default for ManagerOptions {
    /// A restart replays at most about 5 s of commands, or 16,384 of them, whichever is less: well below a second.
    fn default() -> Self {
        Self {
            server: "version manager".into(),
            checkpoint_every: Duration::from_secs(5),
            checkpoint_commands: 16_384,
            alone: false,
            lease_pause: LEASE_PAUSE,
            clock: Arc::new(SystemClock),
            workers: Workers::Threads,
        }
    }
}

/// A version manager that cannot be started, or that stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The table.
    #[error(transparent)]
    Table(#[from] KvError),
    /// The log ends before the table: commands that were acknowledged are missing.
    #[error(
        "the version log in {folder} ends before command {next}, and the table beside it has {applied} commands already; \
         the two belong together: restore both from the same copy"
    )]
    LogBehind {
        /// The folder of both.
        folder: PathBuf,
        /// Where the log goes on.
        next: u64,
        /// What the table has.
        applied: u64,
    },
    /// A folder or thread could not be made.
    #[error("the version manager could not {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// It stopped because of an error that was logged.
    #[error("the version manager stopped: {0}")]
    Failed(Arc<str>),
}

/// Who wants something carried out.
#[derive(Clone, Copy, Debug, Default)]
struct Asker {
    /// A commit waits until its version is published.
    wait: bool,
    /// The session, where the action does not say.
    maker: Option<SessionId>,
}

/// Whether the threads run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Stopped,
    Failed(Arc<str>),
}

#[derive(Debug)]
struct Inner {
    server: String,
    clock: Arc<dyn Clock>,
    log: Queue<LogJob>,
    state: Queue<StateJob>,
    shared: SharedState,
    budget: Arc<Semaphore>,
    status: watch::Receiver<Status>,
}

impl Inner {
    /// Lets the threads finish what waits, then checkpoint and end. Blocks while their queues are full.
    fn stop(&self) {
        if self.log.send(LogJob::Stop).is_err() {
            // The log thread is gone; the state thread may still run, or be gone as well.
            let _ = self.state.send(StateJob::Stop);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A running version manager. Clones are handles to the same one; it stops with the last of them.
#[derive(Clone, Debug)]
pub struct Manager {
    inner: Arc<Inner>,
}

impl Manager {
    /// Puts an action into the log and returns what came of it, once it is durable and applied.
    ///
    /// # Errors
    /// [`ServiceError`] of the action itself; `Busy` when too much waits; `NoSpace` when the log's disk is full; `Unavailable` when
    /// the manager stopped (the action may or may not have been carried out).
    pub async fn propose(&self, action: Action) -> Result<Reply, ServiceError> {
        self.submit(RequestId(0), action, Asker::default()).await
    }

    /// Runs `read` on the state as of the last durable command.
    ///
    /// # Errors
    /// `Busy` when too many reads wait; `Unavailable` when the manager stopped.
    pub async fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&StateMachine<RedbKv>) -> R + Send + 'static,
    ) -> Result<R, ServiceError> {
        self.with_state(move |state| read(&state.machine)).await
    }

    /// Returns when the manager has failed, with the reason; the process is to exit then. Never returns after [`Manager::shutdown`].
    pub async fn failed(&self) -> ManagerError {
        let mut status = self.inner.status.clone();
        let reason = match status.wait_for(|status| matches!(status, Status::Failed(_))).await.as_deref() {
            Ok(Status::Failed(reason)) => Some(Arc::clone(reason)),
            _ => None,
        };
        match reason {
            Some(reason) => ManagerError::Failed(reason),
            None => std::future::pending().await,
        }
    }

    /// Carries out what waits, writes a checkpoint and stops. Later calls get `Unavailable`.
    ///
    /// # Errors
    /// [`ManagerError::Failed`] if it failed before or while stopping; the log has everything that was acknowledged.
    pub async fn shutdown(&self) -> Result<(), ManagerError> {
        let (inner, mut status) = (Arc::clone(&self.inner), self.inner.status.clone());
        if inner.log.is_of_a_task() {
            inner.stop();
        } else {
            // The blocking pool takes it unless the runtime is going away, and then nobody waits for the answer.
            let _ = tokio::task::spawn_blocking(move || inner.stop()).await;
        }
        match status.wait_for(|status| *status != Status::Running).await.as_deref() {
            Ok(Status::Failed(reason)) => Err(ManagerError::Failed(Arc::clone(reason))),
            _ => Ok(()),
        }
    }

    /// As [`Manager::propose`], for somebody.
    async fn submit(&self, request: RequestId, action: Action, asker: Asker) -> Result<Reply, ServiceError> {
        self.check_running()?;
        let command = Command { time: self.inner.clock.now(), action };
        let bytes = encode(&command).map_err(|error| ServiceError::new(ErrorKind::Internal, error.to_string()))?;
        let permits = (bytes.len() / PERMIT_BYTES + 1) as u32;
        let permit = Arc::clone(&self.inner.budget).try_acquire_many_owned(permits).map_err(|_| busy("commands"))?;
        let (answer, answered) = oneshot::channel();
        let Asker { wait, maker } = asker;
        let proposal = Proposal { request, command, bytes, wait, maker, answer: Some(answer), _permit: Some(permit) };
        match self.inner.log.try_send(LogJob::Propose(Box::new(proposal))) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(self.stopped())),
            Err(TrySendError::Full(_)) => Err(busy("commands")),
            Err(TrySendError::Disconnected(_)) => Err(self.stopped()),
        }
    }

    /// As [`Manager::with_state`], for what is done in less time than it takes to have another thread do it: where the caller stands, if
    /// nobody is at the state just now.
    async fn glance<R: Send + 'static>(&self, look: impl FnOnce(&mut State) -> R + Send + 'static) -> Result<R, ServiceError> {
        self.check_running()?;
        match self.inner.shared.try_look(look) {
            Ok(seen) => Ok(seen),
            Err(look) => self.with_state(look).await,
        }
    }

    /// Runs `act` on the state thread.
    async fn with_state<R: Send + 'static>(&self, act: impl FnOnce(&mut State) -> R + Send + 'static) -> Result<R, ServiceError> {
        self.check_running()?;
        let (answer, answered) = oneshot::channel();
        let job = StateJob::Act(Box::new(move |state: &mut State| {
            // The asker may have gone away.
            let _ = answer.send(act(state));
        }));
        match self.inner.state.try_send(job) {
            Ok(()) => answered.await.map_err(|_| self.stopped()),
            Err(TrySendError::Full(_)) => Err(busy("reads")),
            Err(TrySendError::Disconnected(_)) => Err(self.stopped()),
        }
    }

    fn check_running(&self) -> Result<(), ServiceError> {
        if *self.inner.status.borrow() == Status::Running { Ok(()) } else { Err(self.stopped()) }
    }

    fn stopped(&self) -> ServiceError {
        let message = match &*self.inner.status.borrow() {
            Status::Failed(reason) => format!("the version manager failed and has to be started again: {reason}"),
            Status::Running | Status::Stopped => "the version manager is stopping".to_owned(),
        };
        ServiceError::new(ErrorKind::Unavailable, message)
    }
}

fn busy(what: &str) -> ServiceError {
    ServiceError::new(ErrorKind::Busy, format!("too many {what} wait for the version manager; come again"))
}
