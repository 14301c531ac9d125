//! Space: statfs, fallocate, holes.

use weft_common::limits::FILE_BYTES_MAX;
use weft_common::weave::ByteRange;
use weft_common::wire::{At, ErrorKind, NamespaceAnswer, Query};

use super::{Caller, Failure, Filesystem, unexpected};
use crate::handle::{HandleId, Open};
use crate::write::pending::Pending;

/// Inodes are limited by nothing but space; `df -i` wants a figure.
const INODES_FREE: u64 = 1 << 32;

/// What `statfs` answers. Bytes, and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Bytes of content that the providers hold or can hold. 0 if that is not known.
    pub(crate) total_bytes: u64,
    /// Bytes of content for which there is room.
    pub(crate) free_bytes: u64,
    /// Inodes in use and free.
    pub(crate) inodes: u64,
    /// Inodes free.
    pub(crate) free_inodes: u64,
}

/// What `fallocate` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpaceChange {
    /// The file has at least this size afterwards.
    Extend,
    /// Room is wanted, the size stays: pages are stored when they are written, so there is nothing to do.
    Reserve,
    /// The range becomes zeros, the size stays.
    Punch,
    /// The range becomes zeros, and the file is long enough for it.
    Zero,
}

/// What `lseek` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seek {
    /// `SEEK_DATA`.
    Data,
    /// `SEEK_HOLE`.
    Hole,
}

impl Filesystem {
    /// Space and inodes.
    pub(crate) async fn statistics(&self) -> Result<Statistics, Failure> {
        match self.volume.query(At::Head, Query::Statistics).await? {
            NamespaceAnswer::Statistics(statistics) => {
                let space = self.volume.space();
                let (total_bytes, free_bytes) = (space.total_bytes, space.free_bytes);
                let inodes = statistics.live_inodes + INODES_FREE;
                Ok(Statistics { total_bytes, free_bytes, inodes, free_inodes: INODES_FREE })
            }
            _ => Err(unexpected()),
        }
    }

    /// `fallocate(2)`.
    pub(crate) async fn allocate(
        &self,
        caller: Caller,
        id: HandleId,
        range: ByteRange,
        change: SpaceChange,
    ) -> Result<(), Failure> {
        let handle = self.handles.live(id).filter(|handle| handle.mode.write).ok_or(Failure::Unknown)?;
        if range.end > FILE_BYTES_MAX {
            return Err(Failure::Refused(ErrorKind::FileTooLarge, "the file would be longer than a file can be"));
        }
        // As a write does.
        self.drop_privileges(caller, &handle.file).await?;
        match change {
            SpaceChange::Reserve => Ok(()),
            SpaceChange::Extend => {
                let size = handle.file.state().shown(handle.node).size;
                if range.end <= size {
                    return Ok(());
                }
                self.alter(&handle, |pending, _| pending.grow(range.end)).await
            }
            SpaceChange::Punch => self.alter(&handle, |pending, below| pending.punch(below, range)).await,
            SpaceChange::Zero => {
                let zero = |pending: &mut Pending, below: u64| {
                    pending.punch(below, range);
                    pending.grow(range.end);
                };
                self.alter(&handle, zero).await
            }
        }
    }

    /// `lseek(2)` for data or holes, precise to the page. A file with unpublished changes is all data.
    pub(crate) async fn seek(&self, id: HandleId, offset: u64, seek: Seek) -> Result<u64, Failure> {
        let (tree, size) = match self.handles.get(id).ok_or(Failure::Unknown)? {
            Open::Live(handle) => {
                let state = handle.file.state();
                (state.base(handle.node).filter(|_| !state.is_dirty()), state.shown(handle.node).size)
            }
            Open::Old(handle) => (Some(handle.tree), handle.tree.size),
            Open::Directory(_) => return Err(Failure::Unknown),
        };
        if offset >= size {
            return Err(Failure::NothingFollows);
        }
        let Some(tree) = tree else { return Ok(if seek == Seek::Data { offset } else { size }) };
        let mut end = offset;
        while let Some(data) = self.volume.next_data(&tree, end).await? {
            match seek {
                Seek::Data => return Ok(data.start.max(offset)),
                Seek::Hole if data.start > end => break,
                // Ranges of data may follow each other.
                Seek::Hole => end = data.end,
            }
        }
        match seek {
            Seek::Data => Err(Failure::NothingFollows),
            Seek::Hole => Ok(end.min(size)),
        }
    }
}
