//! Locks of files: `fcntl(2)` (of a process, or of an open file) and `flock(2)`, for all mounts of the volume.
//!
//! A lock is worth what its holder sees. So who takes one is moved to the newest published content, and what was written is published
//! before a lock is given back: who takes it next, wherever that is, sees it. This is what programs rely on that share a
//! file under locks, SQLite for one.
//!
//! A client whose session lapsed has lost its locks, and somebody else may have taken them. Then whoever locked by a handle is
//! answered EIO by it until it gave the locks back or closed it, and what was written under them is not published.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use weft_common::client::{ClientError, InUse, LockOutcome, LockWish};
use weft_common::wire::{Attributes, ErrorKind, FileLock, LockKind, LockRange};

use super::signals::interrupted;
use super::{Caller, Failure, Filesystem};
use crate::errno::LockFailure;
use crate::handle::{FileRef, Handle, HandleId, Next, Open};
use crate::mount::VolumeClient;

/// How long who was interrupted waits to learn whether it has the lock after all …
const LAST_WORD: Duration = Duration::from_secs(3);
/// … and how often the version manager is told, since the news can overtake the request that it is about.
const REPEAT: Duration = Duration::from_millis(250);
/// Between two attempts to give back what was held by who is gone.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(2);

/// Numbers of waits; of no meaning beyond this process.
static WAITS: AtomicU64 = AtomicU64::new(1);

/// A lock as a program asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockAsk {
    /// The kernel's number for the process or open file.
    pub(crate) owner: u64,
    /// Shared or exclusive; `None` to give back.
    pub(crate) kind: Option<LockKind>,
    /// Of which bytes.
    pub(crate) range: LockRange,
    /// Process that asks.
    pub(crate) pid: u32,
    /// Whether to wait until the lock is free.
    pub(crate) wait: bool,
}

impl Filesystem {
    /// `F_SETLK`, `F_SETLKW`, `F_OFD_SETLK`, `F_OFD_SETLKW` and `flock`.
    pub(crate) async fn set_lock(&self, caller: Caller, id: HandleId, ask: LockAsk) -> Result<(), Failure> {
        let handle = match self.handles.get(id).ok_or(Failure::Unknown)? {
            Open::Live(handle) => handle,
            // An old version never changes: there is nothing that a lock could keep others from.
            Open::Old(_) => return Ok(()),
            Open::Directory(_) => return Err(Failure::Unknown),
        };
        match ask.kind {
            None => self.give_back(&handle.file, ask.owner, ask.range).await,
            Some(kind) => {
                self.check_locks(&handle)?;
                if kind == LockKind::Shared && handle.file.locks.excludes(ask.owner, ask.range) {
                    // An exclusive one becomes shared: then others may read.
                    self.publish(&handle.file, |_| true).await?;
                }
                let LockAsk { owner, range, pid, .. } = ask;
                let wish = LockWish { inode: handle.file.inode, owner, kind, range, pid };
                self.take_lock(caller, &handle, wish, ask.wait).await
            }
        }
    }

    /// `F_GETLK`: what would be in the way.
    pub(crate) async fn test_lock(&self, id: HandleId, ask: LockAsk) -> Result<Option<FileLock>, Failure> {
        let (Some(handle), Some(kind)) = (self.handles.live(id), ask.kind) else { return Ok(None) };
        let LockAsk { owner, range, pid, .. } = ask;
        let wish = LockWish { inode: handle.file.inode, owner, kind, range, pid };
        let found = self.volume.test_lock(wish).await.map_err(unanswered)?;
        let is_here = |lock: &FileLock| Some(lock.owner.session) == self.volume.session();
        // A process of another host has no number here.
        Ok(found.map(|lock| FileLock { pid: if is_here(&lock) { lock.pid } else { 0 }, ..lock }))
    }

    /// Locks that were taken by this handle must not have been lost.
    pub(super) fn check_locks(&self, handle: &Handle) -> Result<(), Failure> {
        if handle.file.locks.has_lost(handle.id, self.volume.session()) {
            return Err(Failure::Lock(LockFailure::Lost));
        }
        Ok(())
    }

    async fn take_lock(&self, caller: Caller, handle: &Arc<Handle>, wish: LockWish, wait: bool) -> Result<(), Failure> {
        let locks = &handle.file.locks;
        {
            // Whoever has it may be waiting for servers that are away.
            let _gate = tokio::select! {
                gate = locks.gate.lock() => gate,
                () = interrupted(caller) => return Err(Failure::Lock(LockFailure::Interrupted)),
            };
            locks.note(wish.owner, handle.id);
            locks.owed.begin_ask(wish.owner, wish.range);
        }
        let outcome = self.ask_for_lock(caller, handle, wish, wait).await;
        locks.owed.end_ask(wish.owner, wish.range, outcome.is_ok());
        outcome
    }

    async fn ask_for_lock(&self, caller: Caller, handle: &Arc<Handle>, wish: LockWish, wait: bool) -> Result<(), Failure> {
        let locks = &handle.file.locks;
        // What the answer tells of is held from here on, and not for as long as somebody waits: collection waits for uses to end.
        let (outcome, _in_use) = if wait {
            self.wait_for_lock(caller, wish).await?
        } else {
            let in_use = self.begin_use();
            (self.volume.take_lock(wish, None).await.map_err(unanswered)?, in_use)
        };
        match outcome {
            LockOutcome::Taken { session, file } => {
                locks.took(&wish, session, handle.id);
                self.check_locks(handle)?;
                if let Some(newest) = file {
                    self.show_newest(handle, *newest).await;
                }
                Ok(())
            }
            LockOutcome::InTheWay(_) => Err(Failure::Lock(LockFailure::Held)),
            LockOutcome::Deadlock => Err(Failure::Lock(LockFailure::Deadlock)),
            LockOutcome::Cancelled => Err(Failure::Lock(LockFailure::Interrupted)),
        }
    }

    /// Asks until the lock is there, or a signal ends it.
    async fn wait_for_lock(&self, caller: Caller, wish: LockWish) -> Result<(LockOutcome, Option<InUse>), Failure> {
        let number = WAITS.fetch_add(1, Ordering::Relaxed);
        let mut signal = pin!(interrupted(caller));
        loop {
            let in_use = self.begin_use();
            let mut asked = pin!(self.volume.take_lock(wish, Some(number)));
            tokio::select! {
                outcome = &mut asked => match outcome.map_err(unanswered)? {
                    LockOutcome::InTheWay(_) => continue,
                    outcome => return Ok((outcome, in_use)),
                },
                () = &mut signal => {}
            }
            let last_word = async {
                loop {
                    // Whether it was heard shows by the answer that is waited for.
                    let _ = tokio::time::timeout(REPEAT, self.volume.stop_waiting(wish, number)).await;
                    tokio::time::sleep(REPEAT).await;
                }
            };
            let outcome = tokio::select! {
                outcome = asked => match outcome.map_err(unanswered)? {
                    LockOutcome::InTheWay(_) => LockOutcome::Cancelled,
                    outcome => outcome,
                },
                () = last_word => LockOutcome::Cancelled,
                () = tokio::time::sleep(LAST_WORD) => LockOutcome::Cancelled,
            };
            return Ok((outcome, in_use));
        }
    }

    /// Who holds a lock sees what was published before it was taken.
    async fn show_newest(&self, handle: &Handle, newest: Attributes) {
        let has_moved = {
            let mut state = handle.file.state();
            state.learn(newest);
            state.move_to_newest(handle.node)
        };
        self.recent.forget(handle.file.inode);
        if has_moved {
            self.kernel.drop_pages_now(handle.node).await;
        }
    }

    /// Gives back, after what was written under an exclusive lock is published. (Under a shared one somebody else may be writing, who has not
    /// come to an end.)
    async fn give_back(&self, file: &FileRef, owner: u64, range: LockRange) -> Result<(), Failure> {
        if !file.locks.knows(owner) {
            return Ok(());
        }
        let published = if file.locks.excludes(owner, range) { self.publish(file, |_| true).await } else { Ok(()) };
        if let Err(error) = self.volume.release_lock(file.inode, owner, range).await {
            if let Some(session) = self.volume.session().filter(|_| !is_refused(&error))
                && file.locks.owed.add(owner, range, session)
            {
                self.kernel.runtime().spawn(give_back_later(Arc::clone(&self.volume), file.clone()));
            }
            return Err(unanswered(error));
        }
        file.locks.gave_back(owner, range);
        file.locks.owed.settle(owner, range);
        published
    }

    /// `owner` has closed a descriptor of the file: by POSIX, all its locks of the file go, whichever descriptor they were taken by.
    pub(super) async fn drop_locks(&self, file: &FileRef, owner: u64) {
        if !file.locks.knows(owner) {
            return;
        }
        if file.locks.excludes(owner, LockRange::ALL) {
            // A failure was logged, and its writers will be told.
            let _ = self.publish(file, |_| true).await;
        }
        let _gate = file.locks.gate.lock().await;
        file.locks.forget(owner);
        self.release_all(file, owner).await;
    }

    /// A handle is closed for good: locks of the open file itself go.
    pub(super) async fn drop_locks_of(&self, handle: &Handle) {
        let file = &handle.file;
        if !file.locks.is_used() {
            return;
        }
        let _gate = file.locks.gate.lock().await;
        for owner in file.locks.owners_only_through(handle.id) {
            if file.locks.excludes(owner, LockRange::ALL) {
                let _ = self.publish(file, |_| true).await;
            }
            file.locks.forget(owner);
            self.release_all(file, owner).await;
        }
    }

    /// Tells the version manager that `owner` is gone; until it has heard, as long as the number stands for nobody else.
    async fn release_all(&self, file: &FileRef, owner: u64) {
        let Err(error) = self.volume.release_lock(file.inode, owner, LockRange::ALL).await else { return };
        tracing::warn!(file = file.label(), %error, "a lock could not be given back; it is tried again until the session ends");
        let (volume, file, session) = (Arc::clone(&self.volume), file.clone(), self.volume.session());
        self.kernel.runtime().spawn(async move {
            while volume.session() == session {
                tokio::time::sleep(GIVE_BACK_PAUSE).await;
                let _gate = file.locks.gate.lock().await;
                if file.locks.knows(owner) || volume.release_lock(file.inode, owner, LockRange::ALL).await.is_ok() {
                    return;
                }
            }
        });
    }
}

/// Sees to what a file owes until there is nothing.
async fn give_back_later(volume: Arc<dyn VolumeClient>, file: FileRef) {
    loop {
        tokio::time::sleep(GIVE_BACK_PAUSE).await;
        let _gate = file.locks.gate.lock().await;
        match file.locks.owed.next(volume.session()) {
            Next::Nothing => return,
            Next::Wait => {}
            Next::GiveBack(owner, range) => match volume.release_lock(file.inode, owner, range).await {
                Ok(()) => {
                    file.locks.gave_back(owner, range);
                    file.locks.owed.settle(owner, range);
                }
                Err(error) if is_refused(&error) => file.locks.owed.settle(owner, range),
                Err(_) => {}
            },
        }
    }
}

/// Whether the version manager heard it and said no.
fn is_refused(error: &ClientError) -> bool {
    matches!(error, ClientError::Service(service) if !service.retry)
}

fn unanswered(error: ClientError) -> Failure {
    match &error {
        ClientError::Service(service) if service.kind == ErrorKind::TooManyLocks => error.into(),
        _ => Failure::Lock(LockFailure::Unanswered(Box::new(error))),
    }
}
