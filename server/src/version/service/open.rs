//! Starting: table, then log, then what the log has and the table has not.

use super::log_thread::{LogThread, LogThreadParts};
use super::state_thread::{SharedState, State, StateThread};
use super::workers::{Worker, queue};
use super::{Inner, Manager, ManagerError, ManagerOptions, PERMIT_BYTES, Status};
use crate::version::command::Command;
use crate::version::core::StateMachine;
use crate::version::journal::{LocalLog, ReplicatedLog};
use crate::version::store::RedbKv;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use weft_common::limits::{CHECKPOINT_BYTES_MAX, COMMANDS_WAITING_BYTES_MAX, COMMANDS_WAITING_MAX, READS_WAITING_MAX};
use weft_common::wire::decode;

impl Manager {
    /// Opens the version manager's state in `folder` (made if it is not there), replays its log and starts.
    ///
    /// # Errors
    /// [`ManagerError`]: table or log cannot be read, another process has them open, or acknowledged commands are missing.
    pub fn open(folder: &Path, options: ManagerOptions) -> Result<Self, ManagerError> {
        std::fs::create_dir_all(folder).map_err(|source| ManagerError::System { action: "make its folder", source })?;
        // The table's lock keeps a second process away from both.
        let table = RedbKv::open(&folder.join("state.redb"))?;
        let log = LocalLog::open(&folder.join("log"))?;
        tracing::info!(folder = %folder.display(), "opening the version manager");
        Self::open_on(table, Box::new(log), folder, options)
    }

    /// As [`Manager::open`], on a table (with the index of the last command in it) and a log that are open; `place` names both in errors.
    ///
    /// # Errors
    /// As [`Manager::open`].
    pub fn open_on(
        (table, applied): (RedbKv, u64),
        mut log: Box<dyn ReplicatedLog>,
        place: &Path,
        options: ManagerOptions,
    ) -> Result<Self, ManagerError> {
        let next = log.next_index();
        if next <= applied {
            return Err(ManagerError::LogBehind { folder: place.to_owned(), next, applied });
        }
        let machine = replay(StateMachine::open(table)?, &mut *log, applied)?;
        tracing::info!(commands = next - 1, replayed = next - 1 - applied, "version manager opened");
        Self::start(machine, log, next - 1, options)
    }

    pub(super) fn start(
        machine: StateMachine<RedbKv>,
        log: Box<dyn ReplicatedLog>,
        applied: u64,
        options: ManagerOptions,
    ) -> Result<Self, ManagerError> {
        let (log_sender, log_jobs) = queue(COMMANDS_WAITING_MAX, options.workers, |append| append);
        let (state_sender, state_jobs) = queue(READS_WAITING_MAX, options.workers, |_| Duration::ZERO);
        let (status_sender, status) = watch::channel(Status::Running);
        let status_sender = Arc::new(status_sender);
        let checkpointed = Arc::new(AtomicU64::new(0));
        let state = State::new(machine, applied, &options, Arc::clone(&checkpointed), log_sender.clone())?;
        let shared = SharedState::new(state);
        let spawn_failed = |source| ManagerError::System { action: "start a thread", source };
        let parts = LogThreadParts {
            state: state_sender.clone(),
            shared: shared.clone(),
            checkpointed,
            status: Arc::clone(&status_sender),
        };
        StateThread::new(shared.clone(), status_sender).spawn(state_jobs).map_err(spawn_failed)?;
        LogThread::new(log, parts).spawn(log_jobs).map_err(spawn_failed)?;
        let budget = Arc::new(Semaphore::new(COMMANDS_WAITING_BYTES_MAX / PERMIT_BYTES));
        let inner =
            Inner { server: options.server, clock: options.clock, log: log_sender, state: state_sender, shared, budget, status };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// Applies what the log has behind `applied`.
fn replay(
    mut machine: StateMachine<RedbKv>,
    log: &mut dyn ReplicatedLog,
    applied: u64,
) -> Result<StateMachine<RedbKv>, ManagerError> {
    log.replay(applied + 1, &mut |index, bytes| {
        let command: Command = decode(bytes).map_err(|error| format!("{error}; it is of another version of weftd"))?;
        // Its proposer, if it still waits, will repeat the request and be answered from what is remembered.
        machine.apply(&command).map_err(|error| error.to_string())?;
        if machine.kv().pending_bytes() >= CHECKPOINT_BYTES_MAX {
            machine.kv_mut().checkpoint(index).map_err(|error| error.to_string())?;
        }
        Ok(())
    })?;
    Ok(machine)
}
