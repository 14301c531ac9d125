//! Open files and directories: what the kernel's handle numbers stand for.
//!
//! A [`File`] is a live file that is open, shared by its handles; a [`Handle`] is one `open(2)`.

mod file;
mod locks;
mod owed;

pub(crate) use file::{File, FileRef, FileTable, Freshness, State};
pub(crate) use locks::LockBook;
pub(crate) use owed::Next;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::weave::Tree;
use weft_common::wire::Author;

use crate::filesystem::DirectoryStream;
use crate::inode::NodeId;
use crate::lock;
use crate::read::Sequence;

/// A handle's number, never used twice within a mount. 0 is nobody's: changes that come without a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct HandleId(pub(crate) u64);

/// How a file was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenMode {
    /// `O_RDONLY` or `O_RDWR`.
    pub(crate) read: bool,
    /// `O_WRONLY` or `O_RDWR`.
    pub(crate) write: bool,
    /// `O_APPEND`.
    pub(crate) append: bool,
    /// `O_TRUNC`.
    pub(crate) truncate: bool,
    /// `O_SYNC` or `O_DSYNC`: each write is published and on stable storage before it returns.
    pub(crate) sync: bool,
}

/// A live file, opened once.
#[derive(Debug)]
pub(crate) struct Handle {
    /// Its number.
    pub(crate) id: HandleId,
    /// The file.
    pub(crate) file: FileRef,
    /// The inode number that it was opened by: which view it reads.
    pub(crate) node: NodeId,
    /// How it was opened.
    pub(crate) mode: OpenMode,
    /// Who opened it.
    pub(crate) author: Author,
    /// How it has been read so far.
    pub(crate) sequence: Mutex<Sequence>,
    /// Losses of unsynced bytes ([`weft_common::client::BlobStore::losses`]) that happened before it was opened, or that it reported.
    pub(crate) losses_seen: AtomicU64,
    /// Whether the kernel is known to have taken in that it is open.
    pub(crate) used: AtomicBool,
}

/// A file of an old version, opened once.
#[derive(Debug)]
pub(crate) struct OldHandle {
    /// The file.
    pub(crate) inode: InodeNumber,
    /// A version at which it was so.
    pub(crate) at: VolumeVersion,
    /// Its content.
    pub(crate) tree: Tree,
    /// How it has been read so far.
    pub(crate) sequence: Mutex<Sequence>,
}

/// What a handle number stands for.
#[derive(Clone, Debug)]
pub(crate) enum Open {
    /// A live file.
    Live(Arc<Handle>),
    /// A file of an old version.
    Old(Arc<OldHandle>),
    /// A directory.
    Directory(Arc<tokio::sync::Mutex<DirectoryStream>>),
}

/// All open handles.
#[derive(Debug, Default)]
pub(crate) struct HandleTable {
    last: AtomicU64,
    open: Mutex<HashMap<HandleId, Open>>,
}

impl HandleTable {
    /// A number for a handle to come.
    pub(crate) fn next(&self) -> HandleId {
        HandleId(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Enters a handle.
    pub(crate) fn insert(&self, id: HandleId, open: Open) {
        lock(&self.open).insert(id, open);
    }

    /// The handle `id`.
    pub(crate) fn get(&self, id: HandleId) -> Option<Open> {
        lock(&self.open).get(&id).cloned()
    }

    /// All handles.
    pub(crate) fn all(&self) -> Vec<Open> {
        lock(&self.open).values().cloned().collect()
    }

    /// The handle `id` if it is a live file's.
    pub(crate) fn live(&self, id: HandleId) -> Option<Arc<Handle>> {
        match lock(&self.open).get(&id) {
            Some(Open::Live(handle)) => Some(Arc::clone(handle)),
            _ => None,
        }
    }

    /// Takes the handle `id` out.
    pub(crate) fn remove(&self, id: HandleId) -> Option<Open> {
        lock(&self.open).remove(&id)
    }
}
