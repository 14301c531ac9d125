//! The disk of the version manager's log: what was appended is synced, or the append failed.

use super::super::life::Life;
use super::super::plant::Plant;
use super::super::world::World;
use super::ended;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weft_server::version::journal::{LogError, Replayed, ReplicatedLog};

/// What the disk does wrong at the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// It is full; nothing is appended, and later it has room again.
    Full,
    /// The sync fails, and the commands are not there after a restart.
    Lost,
    /// The sync fails, and the commands are there all the same.
    Kept,
}

/// See the module.
#[derive(Debug, Default)]
pub struct LogDisk(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    /// Commands that were dropped in front.
    dropped: u64,
    commands: VecDeque<Vec<u8>>,
    /// Commands at the end that a loss of power would take; 0 unless that is planted.
    volatile: usize,
    fault: Option<LogFault>,
}

impl LogDisk {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it for a process.
    #[must_use]
    pub fn log(self: &Arc<Self>, world: &Arc<World>, life: Life) -> SimLog {
        SimLog { disk: self.clone(), world: world.clone(), life, poison: None }
    }

    /// Something goes wrong soon.
    pub fn plan(&self, fault: Option<LogFault>) {
        self.content().fault = fault;
    }

    /// The power fails.
    pub fn lose(&self) {
        let mut content = self.content();
        let kept = content.commands.len() - content.volatile;
        content.commands.truncate(kept);
        content.volatile = 0;
    }
}

/// The log, open in a process.
#[derive(Debug)]
pub struct SimLog {
    disk: Arc<LogDisk>,
    world: Arc<World>,
    life: Life,
    poison: Option<String>,
}

impl SimLog {
    fn poisoned(&mut self, source: std::io::Error) -> LogError {
        self.poison = Some(source.to_string());
        LogError::Io { action: "sync", path: PathBuf::from("log"), source }
    }
}

impl ReplicatedLog for SimLog {
    fn next_index(&self) -> u64 {
        let content = self.disk.content();
        content.dropped + content.commands.len() as u64 + 1
    }

    fn append(&mut self, commands: &[Vec<u8>]) -> Result<u64, LogError> {
        if let Some(reason) = &self.poison {
            return Err(LogError::Poisoned(reason.clone()));
        }
        if self.life.is_over() {
            return Err(self.poisoned(ended()));
        }
        let first = self.next_index();
        let disk = self.disk.clone();
        let mut content = disk.content();
        let fault = content.fault.take();
        if let Some(fault) = fault {
            self.world.count("log fault");
            self.world.log(format_args!("the log's disk fails: {fault:?}"));
        }
        if fault == Some(LogFault::Full) {
            return Err(LogError::Full { path: PathBuf::from("log") });
        }
        if fault != Some(LogFault::Lost) {
            content.commands.extend(commands.iter().cloned());
        }
        if self.world.plant == Plant::VolatileLog {
            // A sync that is left out some of the time.
            content.volatile = if self.world.chance(500_000) { content.volatile + commands.len() } else { 0 };
        }
        drop(content);
        if fault.is_some() {
            return Err(self.poisoned(std::io::Error::other("planned failure")));
        }
        if commands.len() > 1 {
            self.world.count("group commit");
        }
        Ok(first)
    }

    fn replay(&mut self, from: u64, visit: &mut Replayed<'_>) -> Result<(), LogError> {
        let content = self.disk.content();
        if from <= content.dropped {
            let path = Path::new("log").to_owned();
            return Err(LogError::Gap { path, expected: from, found: content.dropped + 1 });
        }
        for (index, command) in (content.dropped + 1..).zip(&content.commands) {
            if index >= from {
                visit(index, command).map_err(|reason| LogError::Replay { index, reason })?;
            }
        }
        Ok(())
    }

    fn truncate_before(&mut self, index: u64) -> Result<(), LogError> {
        let mut content = self.disk.content();
        // As the real one does, only some of the time: by whole segments.
        while content.dropped + 64 < index && !self.life.is_over() && content.commands.len() > content.volatile {
            content.commands.pop_front();
            content.dropped += 1;
        }
        Ok(())
    }
}
