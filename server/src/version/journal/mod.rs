//! The replicated log: commands in order, durable before anybody acts on them.
//!
//! [`ReplicatedLog`] is what the service needs of it; [`LocalLog`] keeps it in segment files of one machine.
//!
//! What a crash may leave behind is decided by one rule: **a frame is synced before the next one is written**. So at most the
//! last frame of the last segment can be torn, and none of its commands was ever acknowledged: it is cut off. A bad frame with
//! a good one behind it cannot come from a crash. It is damage of acknowledged commands, and an error that names file and offset.

mod local;
mod segment;
#[cfg(test)]
mod tests;

pub use local::LocalLog;

use std::io;
use std::path::{Path, PathBuf};

/// The log cannot be read, or takes no more.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filesystem refused.
    #[error("the version log could not {action} {path}: {source}; check disk and permissions, then start weftd again")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk is full. Nothing was appended; the log is whole.
    #[error("no space is left for the version log in {path}; make room on that disk")]
    Full {
        /// The segment.
        path: PathBuf,
    },
    /// Acknowledged commands cannot be read any more.
    #[error(
        "the version log is damaged in {path} at offset {offset}: {reason}; commands behind it were acknowledged, so weftd does \
         not start without them: restore the file from a copy, or ask for help with the file at hand"
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A segment is missing.
    #[error("the version log jumps from command {expected} to {found} at {path}; a segment file is missing")]
    Gap {
        /// The segment behind the gap.
        path: PathBuf,
        /// The command that should come.
        expected: u64,
        /// The one that comes.
        found: u64,
    },
    /// A write or sync failed before: what the disk holds is unknown until the log is opened again.
    #[error("the version log failed before and takes no more commands: {0}")]
    Poisoned(String),
    /// A replayed command was refused by whoever replays.
    #[error("command {index} of the version log cannot be replayed: {reason}")]
    Replay {
        /// The command.
        index: u64,
        /// Why not.
        reason: String,
    },
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// Called for each command of a replay with its index; an error ends it.
pub type Replayed<'a> = dyn FnMut(u64, &[u8]) -> Result<(), String> + 'a;

/// Commands in order, as bytes; the first has index 1.
pub trait ReplicatedLog: Send + std::fmt::Debug {
    /// The index that the next command gets.
    fn next_index(&self) -> u64;

    /// Appends commands. When it returns they are durable. Returns the index of the first.
    ///
    /// # Errors
    /// After [`LogError::Full`] nothing was appended and the log goes on. After any other error it is unknown what was
    /// appended, and every later call fails.
    fn append(&mut self, commands: &[Vec<u8>]) -> Result<u64, LogError>;

    /// Visits the commands from index `from` on, in order.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::Gap`] (also if `from` was dropped already), [`LogError::Replay`].
    fn replay(&mut self, from: u64, visit: &mut Replayed<'_>) -> Result<(), LogError>;

    /// Drops commands below `index`, as far as that is cheap.
    ///
    /// # Errors
    /// [`LogError::Io`]; then some of them are still there, which is harmless.
    fn truncate_before(&mut self, index: u64) -> Result<(), LogError>;
}
