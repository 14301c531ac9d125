//! The namespace: directories, names, inodes and their whole history, over the ordered table of [`super::kv`]. Pure: no
//! I/O of its own, no clock, no randomness; the state machine calls it with the time of the command.

mod txn;

pub use txn::VolumeTxn;

use super::kv::{Kv, KvError};
use weft_common::id::{InodeNumber, VolumeId, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::weave::Tree;
use weft_common::wire::{
    At, Attributes, Change, ChangeReply, ErrorKind, NamespaceAnswer, Query, ServiceError, VolumeInfo, VolumeSettings,
};

/// Why a change or query of the namespace failed.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// Refused; nothing was changed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The table failed: fatal.
    #[error(transparent)]
    Kv(#[from] KvError),
}

fn unfinished(what: &str) -> NamespaceError {
    ServiceError::new(ErrorKind::Unsupported, format!("{what}: not in this build yet")).into()
}

/// Makes the rows of a new volume: counters and an empty root directory (mode 0755) of `owner` (uid, gid). The table of
/// volumes itself is the caller's.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn create_volume(kv: &mut dyn Kv, info: &VolumeInfo, owner: (u32, u32), now: Timestamp) -> Result<(), KvError> {
    let _ = (kv, info, owner, now);
    Err(KvError("volumes cannot be made in this build yet".into()))
}

/// Removes every row of a volume, all history included.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn remove_volume(kv: &mut dyn Kv, volume: VolumeId) -> Result<(), KvError> {
    let _ = (kv, volume);
    Err(KvError("volumes cannot be removed in this build yet".into()))
}

/// Carries out one change: all of it, or an error and none of it. A change takes the next volume version, unless it is about
/// a tag, changes nothing, or is about an inode without a name.
///
/// # Errors
/// [`NamespaceError::Service`] says why it is refused.
pub fn apply(txn: &mut VolumeTxn<'_>, change: &Change, settings: &VolumeSettings) -> Result<ChangeReply, NamespaceError> {
    let _ = (txn, settings);
    Err(unfinished(change.name()))
}

/// Answers a query as of `at`. `Watch` is answered at once with what is there; waiting is the service's part.
///
/// # Errors
/// [`NamespaceError::Service`], mostly `NotFound`.
pub fn query(kv: &dyn Kv, volume: VolumeId, at: At, query: &Query) -> Result<NamespaceAnswer, NamespaceError> {
    let _ = (kv, volume, at);
    Err(unfinished(query.name()))
}

/// An inode as it is now, also one without a name that may still be open; `None` if there is none.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn head_attributes(kv: &dyn Kv, volume: VolumeId, inode: InodeNumber) -> Result<Option<Attributes>, KvError> {
    let _ = (kv, volume, inode);
    Ok(None)
}

/// Records that a file's blob has the new published content `tree`, of which updates brought `stored_bytes`; takes the next
/// volume version. `None`, and no version: the file has no name any more (its record changes in place), is gone, or was
/// restored meanwhile and has another blob (the update counts as overwritten).
///
/// # Errors
/// [`NamespaceError::Service`] if the inode is no file.
pub fn publish_content(
    txn: &mut VolumeTxn<'_>,
    inode: InodeNumber,
    tree: &Tree,
    modified: Timestamp,
    stored_bytes: u64,
) -> Result<Option<VolumeVersion>, NamespaceError> {
    let _ = (txn, inode, tree, modified, stored_bytes);
    Err(unfinished("publish_content"))
}

/// The same bytes in another tree of the same blob (a compaction): the record changes in place, no version is taken.
///
/// # Errors
/// [`NamespaceError::Service`] if the inode is no file.
pub fn replace_tree(txn: &mut VolumeTxn<'_>, inode: InodeNumber, tree: &Tree, stored_bytes: u64) -> Result<(), NamespaceError> {
    let _ = (txn, inode, tree, stored_bytes);
    Err(unfinished("replace_tree"))
}

/// Inodes behind `after` that have no name and were not released, at most `limit`: candidates for [`release_orphan`].
///
/// # Errors
/// [`KvError`] is fatal.
pub fn orphans(kv: &dyn Kv, volume: VolumeId, after: InodeNumber, limit: usize) -> Result<Vec<InodeNumber>, KvError> {
    let _ = (kv, volume, after, limit);
    Ok(Vec::new())
}

/// Forgets the present state of an inode without a name that nobody has open any more. Its past stays. No-op for others.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn release_orphan(txn: &mut VolumeTxn<'_>, inode: InodeNumber) -> Result<(), KvError> {
    let _ = (txn, inode);
    Ok(())
}

/// The newest version of the volume.
///
/// # Errors
/// `NotFound` if there is no such volume.
pub fn latest(kv: &dyn Kv, volume: VolumeId) -> Result<VolumeVersion, NamespaceError> {
    let _ = (kv, volume);
    Err(unfinished("latest"))
}
