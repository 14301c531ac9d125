//! `copy_file_range(2)`: a copy of a whole file shares the content of what it is a copy of; anything else is read and written here.
//!
//! Content can be shared once it is published. What is not, belongs to a program that has not closed its file yet, and a copy of
//! it must not publish it: so it is read through the handle, like any range that is only a part of a file.

use std::sync::Arc;
use weft_common::id::InodeNumber;
use weft_common::weave::{ByteRange, Tree};
use weft_common::wire::{At, Change, ErrorKind};

use super::attributes::now;
use super::{Caller, Failure, Filesystem};
use crate::handle::{Handle, HandleId, Open};

/// Bytes that one call copies by reading and writing; the program calls again for the rest, and can be interrupted in between.
const COPY_BYTES_MAX: u64 = 16 << 20;
/// Bytes that are read and written at a time.
const STEP_BYTES: u32 = 1 << 20;
/// What one answer can say, in whole pages of the kernel.
const ANSWER_BYTES_MAX: u32 = !0xfff;

/// A handle and an offset.
pub(crate) type CopyPlace = (HandleId, u64);

/// What the source handle shows, if all of it is published.
struct Published {
    inode: InodeNumber,
    at: At,
    tree: Tree,
}

impl Filesystem {
    /// Copies at most `length` bytes. Answers how many; 0 only at the end of the source.
    pub(crate) async fn copy_range(&self, caller: Caller, from: CopyPlace, to: CopyPlace, length: u64) -> Result<u32, Failure> {
        let source = self.handles.get(from.0).ok_or(Failure::Unknown)?;
        let target = self.handles.live(to.0).filter(|target| target.mode.write).ok_or(Failure::Unknown)?;
        if let Some(errno) = target.file.state().lost.get(&target.id) {
            return Err(Failure::Lost(*errno));
        }
        let size = size_of(&source)?;
        let length = length.min(size.saturating_sub(from.1));
        if length == 0 {
            return Ok(0);
        }
        check_overlap(&source, &target, from.1, to.1, length)?;
        self.drop_privileges(caller, &target.file).await?;
        if let Some(published) = published(&source) {
            let is_whole = from.1 == 0 && to.1 == 0 && length == size;
            let is_there = from.1 == to.1 && length == size - from.1 && shows_all_of(&target, &published.tree);
            if is_there || (is_whole && self.share(caller, &published, &target).await?) {
                return Ok(u32::try_from(length).unwrap_or(u32::MAX).min(ANSWER_BYTES_MAX));
            }
        }
        self.copy_bytes(caller, from, to, length.min(COPY_BYTES_MAX)).await
    }

    /// Gives the target the content that `source` has, if the target is empty. Whether it did.
    async fn share(&self, caller: Caller, source: &Published, target: &Arc<Handle>) -> Result<bool, Failure> {
        let content = (source.tree.blob, source.tree.version);
        let inode = target.file.inode;
        let share = async |replaces| {
            let change = Change::ShareContent { source: source.inode, at: source.at, content, inode, replaces, modified: now() };
            self.change(caller, change).await
        };
        let shared = self.publisher.replace_empty(&target.file, share).await;
        self.recent.forget(inode);
        shared
    }

    async fn copy_bytes(&self, caller: Caller, from: CopyPlace, to: CopyPlace, length: u64) -> Result<u32, Failure> {
        let mut done = 0;
        while done < length {
            let step = STEP_BYTES.min((length - done) as u32);
            let copied = match self.read(from.0, from.1 + done, step).await {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => self.write(caller, to.0, to.1 + done, &bytes, false).await.map(|()| bytes.len() as u64),
                Err(failure) => Err(failure),
            };
            match copied {
                Ok(copied) => done += copied,
                // What was copied is told first; the next call meets the failure again.
                Err(_) if done > 0 => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(done as u32)
    }
}

fn size_of(source: &Open) -> Result<u64, Failure> {
    match source {
        Open::Live(handle) => Ok(handle.file.state().shown(handle.node).size),
        Open::Old(handle) => Ok(handle.tree.size),
        Open::Directory(_) => Err(Failure::Unknown),
    }
}

/// Ranges of one file must lie apart. The kernel sees to that where it knows a file by one number only.
fn check_overlap(source: &Open, target: &Handle, from: u64, to: u64, length: u64) -> Result<(), Failure> {
    let is_same = matches!(source, Open::Live(source) if source.file.inode == target.file.inode);
    let (from, to) = (ByteRange::new(from, from + length), ByteRange::new(to, to.saturating_add(length)));
    if is_same && !from.intersection(&to).is_empty() {
        return Err(Failure::Refused(ErrorKind::InvalidArgument, "the two ranges of the file overlap"));
    }
    Ok(())
}

fn published(source: &Open) -> Option<Published> {
    match source {
        Open::Live(handle) => {
            let state = handle.file.state();
            let shown = state.view(handle.node).map_or(&state.newest, |view| &view.attributes);
            let at = if shown.tree == state.newest.tree { At::Head } else { At::Version(shown.version) };
            let tree = shown.tree.filter(|_| !state.is_dirty())?;
            Some(Published { inode: handle.file.inode, at, tree })
        }
        Open::Old(handle) => Some(Published { inode: handle.inode, at: At::Version(handle.at), tree: handle.tree }),
        Open::Directory(_) => None,
    }
}

/// Whether the target shares all of `tree` already: a file that is too long for one answer is copied by several calls.
fn shows_all_of(target: &Handle, tree: &Tree) -> bool {
    let state = target.file.state();
    let has_same_root = |shown: Tree| shown.root == tree.root && shown.size == tree.size;
    !state.is_dirty() && tree.root.is_some() && state.newest.tree.is_some_and(has_same_root)
}
