//! Locks of files, as the mount takes them for programs. They belong to the client's session and go with it.

use super::retry::Context;
use super::{ClientError, Volume};
use crate::id::{InodeNumber, SessionId};
use crate::limits::LOCK_WAIT;
use crate::wire::{Attributes, FileLock, LockKind, LockOwner, LockRange, LockReply, LockRequest, LockWait, Reply, Request};

/// A lock that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockWish {
    /// The file.
    pub inode: InodeNumber,
    /// The client's number for who wants it.
    pub owner: u64,
    /// What it keeps others from.
    pub kind: LockKind,
    /// Of which bytes.
    pub range: LockRange,
    /// Process that asks.
    pub pid: u32,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockOutcome {
    /// The lock is held.
    Taken {
        /// By this session. When the client has another one, the lock is lost, and somebody else may hold it.
        session: SessionId,
        /// The file as it was when the lock was taken; `None` if it has no name any more.
        file: Option<Box<Attributes>>,
    },
    /// Somebody holds this one, also after [`LOCK_WAIT`] if the client waited.
    InTheWay(FileLock),
    /// To wait would be in vain: whoever holds the lock waits for this owner.
    Deadlock,
    /// The waiting was ended by [`Locks::stop_waiting`].
    Cancelled,
}

/// Locks on ranges of files.
#[async_trait::async_trait]
pub trait Locks: Send + Sync + std::fmt::Debug {
    /// Takes a lock; what its owner holds of these bytes already becomes this lock. With `wait`, a number by which the waiting can
    /// be ended, waits for [`LOCK_WAIT`]; who wants to wait longer asks again.
    ///
    /// # Errors
    /// [`ClientError`]; `TooManyLocks`. If the manager could not be reached it is not known whether the lock is held.
    async fn take_lock(&self, wish: LockWish, wait: Option<u64>) -> Result<LockOutcome, ClientError>;

    /// Ends the waiting `number` of a [`Locks::take_lock`] that is under way, which then answers. It may still answer `Taken`.
    ///
    /// # Errors
    /// [`ClientError`].
    async fn stop_waiting(&self, wish: LockWish, number: u64) -> Result<(), ClientError>;

    /// The owner holds nothing of these bytes any more.
    ///
    /// # Errors
    /// [`ClientError`].
    async fn release_lock(&self, inode: InodeNumber, owner: u64, range: LockRange) -> Result<(), ClientError>;

    /// A lock that would keep the wish from being granted.
    ///
    /// # Errors
    /// [`ClientError`].
    async fn test_lock(&self, wish: LockWish) -> Result<Option<FileLock>, ClientError>;

    /// The session that the client has now.
    fn session(&self) -> Option<SessionId>;
}

impl LockWish {
    fn lock(&self, session: SessionId) -> FileLock {
        FileLock { owner: LockOwner { session, number: self.owner }, kind: self.kind, range: self.range, pid: self.pid }
    }
}

impl Volume {
    async fn ask_about_locks(&self, context: Context, request: LockRequest) -> Result<LockReply, ClientError> {
        match self.cluster.link.manager(context, Request::Lock(request)).await? {
            Reply::Lock(reply) => Ok(reply),
            other => Err(self.cluster.link.unexpected("something about a lock", &other)),
        }
    }
}

#[async_trait::async_trait]
impl Locks for Volume {
    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name, inode = %wish.inode))]
    async fn take_lock(&self, wish: LockWish, wait: Option<u64>) -> Result<LockOutcome, ClientError> {
        let context = self.cluster.context();
        let wait = wait.map(|number| LockWait { number, wait_ms: LOCK_WAIT.as_millis() as u32 });
        loop {
            let session = self.cluster.sessions.current(context).await?;
            let (volume, inode, lock) = (self.info.id, wish.inode, wish.lock(session.id));
            let make = |key| Request::Lock(LockRequest::Take { volume, inode, key, lock, wait });
            return match self.cluster.sessions.change_in(context, &session, make).await? {
                None => continue,
                Some(Reply::Lock(LockReply::Taken(file))) => Ok(LockOutcome::Taken { session: session.id, file }),
                Some(Reply::Lock(LockReply::InTheWay(lock))) => Ok(LockOutcome::InTheWay(lock)),
                Some(Reply::Lock(LockReply::Deadlock)) => Ok(LockOutcome::Deadlock),
                Some(Reply::Lock(LockReply::Cancelled)) => Ok(LockOutcome::Cancelled),
                Some(other) => Err(self.cluster.link.unexpected("a lock", &other)),
            };
        }
    }

    async fn stop_waiting(&self, wish: LockWish, number: u64) -> Result<(), ClientError> {
        let Some(session) = self.session() else { return Ok(()) };
        let (volume, inode, owner) = (self.info.id, wish.inode, wish.lock(session).owner);
        self.ask_about_locks(self.cluster.link.context(), LockRequest::Cancel { volume, inode, owner, number }).await?;
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name, inode = %inode))]
    async fn release_lock(&self, inode: InodeNumber, owner: u64, range: LockRange) -> Result<(), ClientError> {
        let context = self.cluster.context();
        // Without a session nothing is held, and what a session that lapsed held went with it.
        let Some(session) = self.cluster.sessions.known() else { return Ok(()) };
        let (volume, owner) = (self.info.id, LockOwner { session: session.id, number: owner });
        let make = |key| Request::Lock(LockRequest::Release { volume, inode, key, owner, range });
        match self.cluster.sessions.change_in(context, &session, make).await {
            Ok(Some(Reply::Lock(LockReply::Released)) | None) => Ok(()),
            Ok(Some(other)) => Err(self.cluster.link.unexpected("the end of a lock", &other)),
            Err(_) if self.session() != Some(session.id) => Ok(()),
            Err(error) => Err(error),
        }
    }

    #[tracing::instrument(level = "debug", skip_all, fields(request, volume = self.info.name, inode = %wish.inode))]
    async fn test_lock(&self, wish: LockWish) -> Result<Option<FileLock>, ClientError> {
        let context = self.cluster.context();
        let session = self.cluster.sessions.current(context).await?;
        let (volume, inode, lock) = (self.info.id, wish.inode, wish.lock(session.id));
        match self.ask_about_locks(context, LockRequest::Test { volume, inode, lock }).await? {
            LockReply::Free => Ok(None),
            LockReply::InTheWay(lock) => Ok(Some(lock)),
            other => Err(self.cluster.link.unexpected("whether a lock is free", &Reply::Lock(other))),
        }
    }

    fn session(&self) -> Option<SessionId> {
        self.cluster.sessions.known().map(|session| session.id)
    }
}
