//! Close, fsync, release: the moments at which an update is published.
//!
//! `flush` runs at every close of every duplicate of a descriptor, and what it answers is what `close(2)` answers; what
//! `release` answers nobody sees. A handle publishes only an update that it has contributed to: closing a file that was
//! read must not publish what another program has half written.
//!
//! A shell that runs `echo x > file` opens it with `O_TRUNC`, duplicates the descriptor, and closes the first before anything is
//! written. That close must not publish the empty file: a cut alone waits while the closing process can still write.

use super::descriptors::can_still_write;
use super::{Caller, Failure, Filesystem};
use crate::handle::{Handle, HandleId, Open};
use std::sync::atomic::Ordering;

impl Filesystem {
    /// `close(2)` of one descriptor, if nothing has to be waited for; `None` if something does.
    pub(crate) fn try_flush(&self, id: HandleId) -> Option<Result<(), Failure>> {
        match self.handles.get(id) {
            Some(Open::Live(handle)) => {
                let state = handle.file.state();
                let is_idle = !state.is_dirty() && state.lost.is_empty() && !handle.file.locks.is_used();
                is_idle.then_some(Ok(()))
            }
            Some(Open::Old(_) | Open::Directory(_)) => Some(Ok(())),
            None => Some(Err(Failure::Unknown)),
        }
    }

    /// `close(2)` of one descriptor, by `owner` of locks.
    pub(crate) async fn flush(&self, caller: Caller, id: HandleId, owner: u64) -> Result<(), Failure> {
        let flushed = self.flush_content(caller, id).await;
        if let Some(handle) = self.handles.live(id) {
            self.drop_locks(&handle.file, owner).await;
        }
        flushed
    }

    async fn flush_content(&self, caller: Caller, id: HandleId) -> Result<(), Failure> {
        match self.handles.get(id).ok_or(Failure::Unknown)? {
            Open::Live(handle) => {
                let is_bare_cut = handle.file.state().pending.is_bare_cut();
                if is_bare_cut && can_still_write(caller, handle.node) {
                    return Ok(());
                }
                self.publish_for(&handle).await
            }
            Open::Old(_) | Open::Directory(_) => Ok(()),
        }
    }

    /// `fsync(2)`: published, and on stable storage.
    pub(crate) async fn fsync(&self, id: HandleId) -> Result<(), Failure> {
        match self.handles.get(id).ok_or(Failure::Unknown)? {
            Open::Live(handle) => self.synchronise(&handle).await,
            Open::Old(_) | Open::Directory(_) => Ok(()),
        }
    }

    /// As `fsync`, and it may wait for nothing: the version manager answers a change of the namespace only after it is on
    /// stable storage.
    pub(crate) fn fsync_directory(&self, id: HandleId) -> Result<(), Failure> {
        self.handles.get(id).map(|_| ()).ok_or(Failure::Unknown)
    }

    /// The last descriptor of the handle is closed, and no mapping uses it.
    pub(crate) async fn release(&self, id: HandleId) {
        let Some(Open::Live(handle)) = self.handles.remove(id) else { return };
        handle.note_use(&self.kernel);
        // What was written through a mapping after the last close. A failure was logged; nobody is left to be told.
        let _ = self.publish_for(&handle).await;
        self.drop_locks_of(&handle).await;
        handle.file.state().detach(handle.node, id, handle.mode.write);
    }

    pub(super) async fn synchronise(&self, handle: &Handle) -> Result<(), Failure> {
        self.publish_for(handle).await?;
        if let Err(error) = self.volume.sync().await {
            // What is on disk now is unknown, and a later success would not say that it is there.
            let failure = match Failure::from(error) {
                // What "stale" says of a provider's bytes is "I/O error" to a program.
                failure if failure.errno() == libc::ESTALE => Failure::Lost(libc::EIO),
                failure => failure,
            };
            tracing::error!(file = handle.file.label(), error = %failure, "fsync failed; the file's newest version may not survive a power loss");
            handle.file.state().lost.insert(handle.id, failure.errno());
            return Err(failure);
        }
        // Somebody else's sync, or the one in the background, may have been told of a loss that is this file's too.
        let losses = self.volume.losses();
        if handle.losses_seen.swap(losses, Ordering::AcqRel) != losses {
            tracing::error!(
                file = handle.file.label(),
                "fsync failed: a provider lost power since the file was opened; write it again"
            );
            let errno = libc::EIO;
            handle.file.state().lost.insert(handle.id, errno);
            return Err(Failure::Lost(errno));
        }
        Ok(())
    }

    /// Publishes what the handle contributed to; answers what became of it, also if somebody else published it.
    async fn publish_for(&self, handle: &Handle) -> Result<(), Failure> {
        let lost = || handle.file.state().lost.get(&handle.id).copied();
        if let Some(errno) = lost() {
            return Err(Failure::Lost(errno));
        }
        // What was written under a lost lock is refused, and so gone, before the loss is told.
        self.publish(&handle.file, |pending| pending.contributors.contains(&handle.id)).await?;
        self.check_locks(handle)?;
        lost().map_or(Ok(()), |errno| Err(Failure::Lost(errno)))
    }
}
