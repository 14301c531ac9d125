//! Reading and writing.
//!
//! A write is copied once, joins its file's update in the making, and is answered: most often at once, on the thread that the
//! kernel's request came in by ([`Filesystem::try_write`]). It has to wait when the memory for dirty data is used up, or
//! when the update in the making must be published first.

use bytes::Bytes;
use std::sync::{Arc, Mutex};
use weft_common::limits::{EXTENTS_PER_UPDATE_MAX, FILE_BYTES_MAX};
use weft_common::weave::{ByteRange, Tree};
use weft_common::wire::ErrorKind;

use super::attributes::now;
use super::{Caller, Failure, Filesystem};
use crate::handle::{Handle, HandleId, Open, State};
use crate::lock;
use crate::read::{Sequence, plan};
use crate::write::buffer::Reservation;
use crate::write::pending::Pending;

/// An update of more pieces is published before it is complete; a page may become two extents.
const PIECES_BEFORE_PUBLISHING: usize = EXTENTS_PER_UPDATE_MAX / 2;

impl Filesystem {
    /// At most `length` bytes from `offset` on; fewer only at the end of the file.
    pub(crate) async fn read(&self, id: HandleId, offset: u64, length: u32) -> Result<Bytes, Failure> {
        let range = ByteRange::new(offset, offset.saturating_add(u64::from(length)));
        match self.handles.get(id).ok_or(Failure::Unknown)? {
            Open::Live(handle) => {
                self.check_locks(&handle)?;
                handle.note_use(&self.kernel);
                let (tree, segments) = {
                    let state = handle.file.state();
                    let tree = state.base(handle.node);
                    (tree, plan::plan(tree.map_or(0, |tree| tree.size), &state.layers(), range))
                };
                if let Some(tree) = tree {
                    self.read_ahead(&handle.sequence, &tree, range);
                }
                Ok(self.reader.fetch(tree, segments).await?)
            }
            Open::Old(handle) => {
                self.read_ahead(&handle.sequence, &handle.tree, range);
                let segments = plan::plan(handle.tree.size, &[], range);
                Ok(self.reader.fetch(Some(handle.tree), segments).await?)
            }
            Open::Directory(_) => Err(Failure::Unknown),
        }
    }

    fn read_ahead(&self, sequence: &Mutex<Sequence>, tree: &Tree, range: ByteRange) {
        let ahead = lock(sequence).read(range, tree.size, self.settings.read_ahead_max);
        if let Some(ahead) = ahead {
            self.volume.prefetch(tree, ahead);
        }
    }

    /// Writes, if that needs no waiting; `None` if it does. `kills_set_id` is the kernel's wish that set-id bits go.
    pub(crate) fn try_write(&self, id: HandleId, offset: u64, data: &[u8], kills_set_id: bool) -> Option<Result<(), Failure>> {
        let Some(handle) = self.handles.live(id) else { return Some(Err(Failure::Unknown)) };
        if let Err(refusal) = check(&handle, offset, data.len()).and_then(|()| self.check_locks(&handle)) {
            return Some(Err(refusal));
        }
        {
            let state = handle.file.state();
            let is_full = state.pending.piece_count() >= PIECES_BEFORE_PUBLISHING;
            let is_simple = !handle.mode.sync && !kills_set_id && !state.may_have_capability();
            if !is_simple || is_full || !state.pending.takes(handle.mode.append) {
                return None;
            }
        }
        let reservation = self.budget.try_reserve(data.len())?;
        let bytes = self.budget.fill(reservation, data);
        let mut state = handle.file.state();
        // Another thread may have started an update of the other kind in between.
        if !state.pending.takes(handle.mode.append) {
            return None;
        }
        Some(self.accept(&handle, &mut state, offset, bytes))
    }

    /// Writes, waiting for memory, earlier updates, and for a synchronous handle until it is on stable storage.
    pub(crate) async fn write(
        &self,
        caller: Caller,
        id: HandleId,
        offset: u64,
        data: &[u8],
        kills_set_id: bool,
    ) -> Result<(), Failure> {
        let handle = self.handles.live(id).ok_or(Failure::Unknown)?;
        check(&handle, offset, data.len())?;
        self.check_locks(&handle)?;
        if kills_set_id {
            self.drop_set_id_of(caller, &handle.file).await?;
        }
        self.drop_capability(caller, &handle.file).await?;
        let reservation = self.reserve(data.len()).await?;
        let mut bytes = Some(self.budget.fill(reservation, data));
        while let Some(written) = bytes.take() {
            let fits = {
                let mut state = handle.file.state();
                let is_full = state.pending.piece_count() >= PIECES_BEFORE_PUBLISHING;
                if state.pending.takes(handle.mode.append) && !is_full {
                    self.accept(&handle, &mut state, offset, written)?;
                    true
                } else {
                    bytes = Some(written);
                    false
                }
            };
            if !fits {
                self.publish(&handle.file, |_| true).await?;
            }
        }
        if handle.mode.sync { self.synchronise(&handle).await } else { Ok(()) }
    }

    /// The write joins the update in the making, which must take it.
    fn accept(&self, handle: &Handle, state: &mut State, offset: u64, bytes: Bytes) -> Result<(), Failure> {
        if let Some(errno) = state.lost.get(&handle.id) {
            return Err(Failure::Lost(*errno));
        }
        if self.volume.is_full() {
            return Err(Failure::Refused(ErrorKind::NoSpace, "no provider has room for another byte"));
        }
        if self.uploader.failures() > state.pending.failures_seen
            && let Some(error) = state.pending.upload_failure()
        {
            // The publication will fail by it; the program need not write on until then.
            return Err(error.into());
        }
        state.pending.failures_seen = self.uploader.failures();
        let below = state.size_below();
        let range = match handle.mode.append {
            true => state.pending.append(below, bytes),
            false => state.pending.write(offset, bytes),
        };
        if let Some(tree) = state.newest.tree {
            let unit = self.publisher.unit(tree.geometry.page_size());
            state.pending.upload_complete(&self.uploader, unit, range);
        }
        self.sign(&mut state.pending, handle);
        Ok(())
    }

    /// Who contributes to the update, and by which session's locks.
    fn sign(&self, pending: &mut Pending, handle: &Handle) {
        pending.contributors.insert(handle.id);
        pending.modified = Some(now());
        pending.fence = pending.fence.or_else(|| handle.file.locks.fence(self.volume.session()));
        if pending.author != handle.author {
            pending.author = handle.author.clone();
        }
    }

    /// Changes the update in the making otherwise than by an append; publishes an append before it.
    pub(super) async fn alter(&self, handle: &Handle, change: impl Fn(&mut Pending, u64) + Send) -> Result<(), Failure> {
        self.check_locks(handle)?;
        loop {
            {
                let mut state = handle.file.state();
                if let Some(errno) = state.lost.get(&handle.id) {
                    return Err(Failure::Lost(*errno));
                }
                if state.pending.takes(false) {
                    let below = state.size_below();
                    change(&mut state.pending, below);
                    self.sign(&mut state.pending, handle);
                    return Ok(());
                }
            }
            self.publish(&handle.file, |pending| !pending.takes(false)).await?;
        }
    }

    /// Memory for a write. When there is none, everything dirty is uploaded, whatever file it belongs to.
    async fn reserve(&self, length: usize) -> Result<Reservation, Failure> {
        if let Some(reservation) = self.budget.try_reserve(length) {
            return Ok(reservation);
        }
        for file in self.files.all() {
            let mut state = file.state();
            if let Some(tree) = state.newest.tree {
                let unit = self.publisher.unit(tree.geometry.page_size());
                state.pending.upload_all(&self.uploader, unit);
            }
        }
        let refusal = || Failure::Refused(ErrorKind::Internal, "the mount's memory for writes is gone");
        self.budget.reserve(length).await.ok_or_else(refusal)
    }
}

fn check(handle: &Arc<Handle>, offset: u64, length: usize) -> Result<(), Failure> {
    if !handle.mode.write {
        return Err(Failure::Unknown);
    }
    if offset.checked_add(length as u64).is_none_or(|end| end > FILE_BYTES_MAX) {
        return Err(Failure::Refused(ErrorKind::FileTooLarge, "the file would be longer than a file can be"));
    }
    Ok(())
}
