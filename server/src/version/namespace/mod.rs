//! The namespace: directories, names, inodes and their whole history, over the ordered table of [`super::kv`]. Pure: no
//! I/O of its own, no clock, no randomness; the state machine calls it with the time of the command.
//!
//! **Every row that can change has a history** (`intervals`): a head row that holds now, and past rows that held during a
//! span of versions. Names, inodes and extended attributes are kept so, each by itself. A live operation touches head rows
//! and adds one past row per row that it replaces; a look-up at version N costs at most one seek more than one at the head.
//!
//! **A change is computed, then written** (`edit`): operations load the few records they concern, check, change the copies,
//! and the commit writes them as the next version N with its change record. So a refused change has written nothing, and
//! every change that shows has exactly one N.
//!
//! **An inode's record holds one of its names.** Directories and nearly all files have but one, so `..` and paths resolve at
//! any version without an index; only the further names of a hard-linked file have rows of their own.
//!
//! **How much history is kept** is the policy of the volume, and of directories that keep more (`policies`, `ranges`); `thinning` lets go of
//! what no policy keeps.
//!
//! **An inode without a name** stays in the head tables with 0 links until [`release_orphan`]: whoever has it open goes on. It
//! belongs to no version, its changes take none, and they leave no past.

mod change;
mod contents;
mod edit;
mod history;
mod intervals;
mod keys;
mod policies;
mod publish;
mod query;
mod ranges;
mod records;
#[cfg(test)]
mod tests;
mod thinning;
mod txn;
mod view;

pub use change::apply;
pub use contents::contents;
pub use policies::{policies, set_policy};
pub use publish::{orphans, publish_content, release_orphan, replace_tree, versions_shown};
pub use query::query;
pub use thinning::{Readers, is_kept, kept, purge, thin, waiting, wants_purge};
pub use txn::VolumeTxn;

use super::kv::{Kv, KvError, Order};
use keys::Key;
use records::{Body, Counters, InodeRecord};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::wire::{Attributes, ErrorKind, ServiceError, VolumeInfo};

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

fn refusal(kind: ErrorKind, message: impl Into<String>) -> NamespaceError {
    ServiceError::new(kind, message).into()
}

fn refuse<T>(kind: ErrorKind, message: impl Into<String>) -> Result<T, NamespaceError> {
    Err(refusal(kind, message))
}

/// Mode of a new volume's root directory.
const ROOT_MODE: u16 = 0o755;

/// Rows that [`remove_volume`] removes in one go.
const ROWS_PER_REMOVAL: usize = 1024;

/// Makes the rows of a new volume: counters and an empty root directory (mode 0755) of `owner` (uid, gid). The table of
/// volumes itself is the caller's.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn create_volume(kv: &mut dyn Kv, info: &VolumeInfo, owner: (u32, u32), now: Timestamp) -> Result<(), KvError> {
    let counters = Counters {
        latest: VolumeVersion(0),
        created: now,
        changed: now,
        next_inode: ROOT_INODE.0 + 1,
        next_blob: 1,
        live_bytes: 0,
        live_inodes: 1,
        stored_bytes: 0,
        tags: 0,
    };
    let root = InodeRecord {
        mode: ROOT_MODE,
        uid: owner.0,
        gid: owner.1,
        links: 2,
        accessed: now,
        modified: now,
        changed: now,
        born: now,
        place: None,
        xattr_bytes: 0,
        body: Body::Directory { entries: 0 },
    };
    txn::store(kv, info.id, &counters)?;
    view::INODES.replace(kv, info.id, &keys::of_inode(ROOT_INODE), VolumeVersion(0), &root)
}

/// Removes every row of a volume, all history included.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn remove_volume(kv: &mut dyn Kv, volume: VolumeId) -> Result<(), KvError> {
    for table in keys::TABLES {
        let all = Key::new(table, volume);
        loop {
            let mut some = Vec::new();
            kv.scan(&all, &all.end(), Order::Ascending, &mut |key, _| {
                some.push(key.to_vec());
                some.len() < ROWS_PER_REMOVAL
            })?;
            for key in &some {
                kv.delete(key)?;
            }
            if some.len() < ROWS_PER_REMOVAL {
                break;
            }
        }
    }
    Ok(())
}

/// An inode as it is now, also one without a name that may still be open; `None` if there is none.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn head_attributes(kv: &dyn Kv, volume: VolumeId, inode: InodeNumber) -> Result<Option<Attributes>, KvError> {
    let head = view::INODES.head(kv, volume, &keys::of_inode(inode))?;
    Ok(head.map(|head| head.attributes(inode)))
}

/// The directories whose lease covers the attributes of an inode: a directory's own, that of anything else with one name.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn leased_under(kv: &dyn Kv, volume: VolumeId, inode: InodeNumber) -> Result<Option<InodeNumber>, KvError> {
    let Some(head) = view::INODES.head(kv, volume, &keys::of_inode(inode))? else { return Ok(None) };
    if head.value.is_directory() {
        return Ok((head.value.links > 0).then_some(inode));
    }
    let place = head.value.place.filter(|_| head.value.links == 1);
    Ok(place.map(|place| place.directory))
}

/// The newest version of the volume.
///
/// # Errors
/// `NotFound` if there is no such volume.
pub fn latest(kv: &dyn Kv, volume: VolumeId) -> Result<VolumeVersion, NamespaceError> {
    Ok(txn::load(kv, volume)?.latest)
}
