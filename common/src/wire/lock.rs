//! Locks on ranges of files, as `fcntl(2)` and `flock(2)` take them, across all mounts.

use super::{Attributes, RequestKey};
use crate::id::{InodeNumber, SessionId, VolumeId};
use serde::{Deserialize, Serialize};

/// Who holds a lock: a number that a client gives to a process, or to an open file, together with the client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LockOwner {
    /// The client's session; its end is the end of the lock.
    pub session: SessionId,
    /// The client's number for the owner.
    pub number: u64,
}

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LockKind {
    /// From exclusive locks (`F_RDLCK`, `LOCK_SH`).
    Shared,
    /// From all locks (`F_WRLCK`, `LOCK_EX`).
    Exclusive,
}

/// Bytes that are locked: `first` and `last` included, so that a lock to the end of the file, however far that will be, has a last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LockRange {
    /// First byte.
    pub first: u64,
    /// Last byte, not before `first`.
    pub last: u64,
}

impl LockRange {
    /// Every byte that a file can have.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// Whether both have a byte in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// A lock that is held, or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileLock {
    /// Whose it is.
    pub owner: LockOwner,
    /// What it keeps others from.
    pub kind: LockKind,
    /// Of which bytes.
    pub range: LockRange,
    /// Process that asked for it, on its client's host; for people and `F_GETLK`.
    pub pid: u32,
}

/// How a client waits for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWait {
    /// The client's number for this waiting, by which it can be ended.
    pub number: u64,
    /// How long this request may be held until the lock is free, in milliseconds.
    pub wait_ms: u32,
}

/// Asked of the version manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockRequest {
    /// Takes a lock; what its owner holds of these bytes already becomes this lock. Answer: `Taken`, `InTheWay`, `Deadlock` or `Cancelled`.
    Take {
        /// The volume.
        volume: VolumeId,
        /// The file.
        inode: InodeNumber,
        /// The change's mark; its session is the owner's.
        key: RequestKey,
        /// The lock.
        lock: FileLock,
        /// Whether to wait for it.
        wait: Option<LockWait>,
    },
    /// Gives bytes back. Answer: `Released`.
    Release {
        /// The volume.
        volume: VolumeId,
        /// The file.
        inode: InodeNumber,
        /// The change's mark; its session is the owner's.
        key: RequestKey,
        /// Whose locks.
        owner: LockOwner,
        /// Which bytes.
        range: LockRange,
    },
    /// Ends a waiting: its `Take` is answered `Cancelled`, if it is there and waits. Answer: `Released`.
    Cancel {
        /// The volume.
        volume: VolumeId,
        /// The file.
        inode: InodeNumber,
        /// Who waits.
        owner: LockOwner,
        /// Which waiting.
        number: u64,
    },
    /// What would keep a lock from being taken. Answer: `InTheWay` or `Free`.
    Test {
        /// The volume.
        volume: VolumeId,
        /// The file.
        inode: InodeNumber,
        /// The lock.
        lock: FileLock,
    },
}

/// The version manager's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockReply {
    /// The lock is held. The file as it is now, so that its holder sees what was published before; `None` if it has no name any more.
    Taken(Option<Box<Attributes>>),
    /// Nothing of the range is held any more, or nobody waits any more.
    Released,
    /// Somebody holds this one.
    InTheWay(FileLock),
    /// Nothing would keep the lock from being taken.
    Free,
    /// Whoever holds what is in the way waits, perhaps through others, for this very owner.
    Deadlock,
    /// The client gave up waiting.
    Cancelled,
}
