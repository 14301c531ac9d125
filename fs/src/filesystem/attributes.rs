//! Changes of attributes: mode, owner, times, size.

use std::time::{Duration, SystemTime};
use weft_common::id::InodeNumber;
use weft_common::limits::FILE_BYTES_MAX;
use weft_common::time::Timestamp;
use weft_common::wire::{At, AttributeChange, Attributes, Change, ErrorKind, FileKind};

use super::{Caller, Failure, Filesystem};
use crate::handle::{File, HandleId};
use crate::inode::NodeId;

/// Set-user-id and set-group-id.
const SET_ID_BITS: u16 = 0o6000;

/// What to set; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttributeRequest {
    /// Mode, owner, times.
    pub(crate) set: AttributeChange,
    /// Size of a file.
    pub(crate) size: Option<u64>,
    /// The handle that it comes through, for `ftruncate` and the like.
    pub(crate) handle: Option<HandleId>,
}

impl Filesystem {
    /// Sets attributes; answers as [`Filesystem::attributes`].
    ///
    /// A size that is set through a handle is part of that handle's update; without one (`truncate(2)`) it is published
    /// at once. A modification time that is set while data is not published yet becomes that of the update.
    pub(crate) async fn set_attributes(
        &self,
        caller: Caller,
        node: NodeId,
        mut request: AttributeRequest,
    ) -> Result<(Attributes, Duration), Failure> {
        let inode = self.changeable(node)?;
        if let Some(size) = request.size {
            self.resize(caller, inode, size, request.handle).await?;
        }
        self.drop_set_id(caller, inode, &mut request).await?;
        if let Some(file) = self.files.get(inode) {
            // What is on its way carries the time of its last write; it must not overtake the one to be set.
            let _turn = file.publishing.lock().await;
            {
                let mut state = file.state();
                if !state.pending.is_empty() && request.set.modified.is_some() {
                    state.pending.modified = request.set.modified.take();
                }
            }
            self.set(caller, inode, request.set, Some(&file)).await?;
        } else {
            self.set(caller, inode, request.set, None).await?;
        }
        self.attributes(node).await
    }

    async fn set(&self, caller: Caller, inode: InodeNumber, set: AttributeChange, file: Option<&File>) -> Result<(), Failure> {
        if set == AttributeChange::default() {
            return Ok(());
        }
        let reply = self.change(caller, Change::SetAttributes { inode, set }).await?;
        self.recent.forget(inode);
        if let (Some(file), Some(attributes)) = (file, reply.attributes) {
            file.state().learn(attributes);
        }
        Ok(())
    }

    /// A change of owner, or of size by anybody but root, takes the set-id bits away (`FUSE_HANDLE_KILLPRIV_V2`).
    async fn drop_set_id(&self, caller: Caller, inode: InodeNumber, request: &mut AttributeRequest) -> Result<(), Failure> {
        let changes_owner = request.set.uid.is_some() || request.set.gid.is_some();
        let changes_size = request.size.is_some() && caller.uid != 0;
        if request.set.mode.is_some() || !(changes_owner || changes_size) {
            return Ok(());
        }
        let attributes = self.attributes_at(At::Head, inode).await?;
        request.set.mode = without_set_id(&attributes);
        Ok(())
    }

    /// What a change of a file's bytes takes away, where the kernel does not say: capabilities, and of others than root set-id bits.
    pub(super) async fn drop_privileges(&self, caller: Caller, file: &File) -> Result<(), Failure> {
        if caller.uid != 0 {
            self.drop_set_id_of(caller, file).await?;
        }
        self.drop_capability(caller, file).await
    }

    /// Takes the set-id bits away before a write, if the kernel asks for it and there are any.
    pub(super) async fn drop_set_id_of(&self, caller: Caller, file: &File) -> Result<(), Failure> {
        let mode = without_set_id(&file.state().newest);
        self.set(caller, file.inode, AttributeChange { mode, ..AttributeChange::default() }, Some(file)).await
    }

    async fn resize(&self, caller: Caller, inode: InodeNumber, size: u64, handle: Option<HandleId>) -> Result<(), Failure> {
        if size > FILE_BYTES_MAX {
            return Err(Failure::Refused(ErrorKind::FileTooLarge, "the file would be longer than a file can be"));
        }
        if let Some(handle) = handle.and_then(|id| self.handles.live(id)) {
            return self.alter(&handle, |pending, below| pending.truncate(below, size)).await;
        }
        let newest = self.attributes_at(At::Head, inode).await?;
        if newest.kind != FileKind::File {
            return Err(Failure::Refused(ErrorKind::InvalidArgument, "only files have a size that can be set"));
        }
        let file = self.files.open(&newest, self.recent.name(inode));
        let turn = file.publishing.lock().await;
        if !file.state().pending.takes(false) {
            self.publisher.publish_in_turn(&file, |_| true).await?;
        }
        {
            let mut state = file.state();
            state.learn(newest);
            let below = state.size_below();
            state.pending.truncate(below, size);
            state.pending.modified = Some(now());
            state.pending.author = self.author(caller);
        }
        let published = self.publisher.publish_in_turn(&file, |_| true).await;
        drop(turn);
        self.recent.forget(inode);
        published
    }
}

/// The mode without set-id bits, if it has some that must go. Set-group-id without group execution means mandatory locking.
fn without_set_id(attributes: &Attributes) -> Option<u16> {
    let kept = if attributes.mode & 0o010 == 0 { attributes.mode & 0o2000 } else { 0 };
    let mode = (attributes.mode & !SET_ID_BITS) | kept;
    (attributes.kind == FileKind::File && mode != attributes.mode).then_some(mode)
}

pub(super) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
