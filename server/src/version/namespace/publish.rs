//! What the blobs tell the namespace: new content, and inodes that nobody has open any more.

use super::edit::Edit;
use super::intervals::try_scan;
use super::keys::{self, Key, ORPHANS};
use super::records::{Body, InodeRecord, from_row};
use super::view::{INODES, XATTRS};
use super::{NamespaceError, VolumeTxn, refuse};
use crate::version::garbage;
use crate::version::kv::{Kv, KvError};
use std::collections::BTreeSet;
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeId, VolumeVersion};
use weft_common::time::Timestamp;
use weft_common::weave::Tree;
use weft_common::wire::{At, ChangeKind, ErrorKind};

/// Records that a file's blob has the new published content `tree`, for which its update brought `stored_bytes`; takes the
/// next volume version and returns it. `None`, and no version, if the file has no name any more (its record changes in place),
/// is gone altogether, or was restored meanwhile and has another blob (the update counts as overwritten by that).
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
    let head = INODES.head(&*txn.kv, txn.volume, &keys::of_inode(inode))?.map(|head| head.value);
    let Some(has_name) = takes(head.as_ref(), inode, tree)? else {
        // Nothing will ever show it.
        garbage::mark(txn.kv, tree.blob, inode)?;
        count_stored(txn, stored_bytes);
        return Ok(None);
    };
    if !has_name {
        // The content before it leaves no past.
        garbage::mark(txn.kv, tree.blob, inode)?;
    }
    let now = txn.now;
    let mut edit = Edit::new(txn);
    let since = edit.next_version();
    let record = edit.stage(inode)?;
    record.body = Body::File { tree: *tree, since };
    record.modified = modified;
    record.changed = now;
    let reply = edit.commit_inode(ChangeKind::Write, inode)?;
    count_stored(txn, stored_bytes);
    Ok(has_name.then_some(reply.version))
}

/// The same bytes in another tree of the same blob (a compaction): the record changes in place and no version is taken.
/// No-op if the file is gone or was restored meanwhile.
///
/// # Errors
/// [`NamespaceError::Service`] if the inode is no file.
pub fn replace_tree(txn: &mut VolumeTxn<'_>, inode: InodeNumber, tree: &Tree, stored_bytes: u64) -> Result<(), NamespaceError> {
    let key = keys::of_inode(inode);
    let head = INODES.head(&*txn.kv, txn.volume, &key)?;
    if let Some(mut head) = head
        && takes(Some(&head.value), inode, tree)?.is_some()
        && let Body::File { tree: current, .. } = &mut head.value.body
    {
        *current = *tree;
        txn.touched.extend(head.value.place.as_ref().map(|place| place.directory));
        INODES.replace(txn.kv, txn.volume, &key, head.from, &head.value)?;
    }
    // Nothing shows the tree before it any more, or this one.
    garbage::mark(txn.kv, tree.blob, inode)?;
    count_stored(txn, stored_bytes);
    Ok(())
}

/// Whether the inode's content is of the tree's blob, and if so whether the inode has a name.
fn takes(head: Option<&InodeRecord>, inode: InodeNumber, tree: &Tree) -> Result<Option<bool>, NamespaceError> {
    let Some(record) = head else { return Ok(None) };
    let Some(current) = record.tree() else {
        return refuse(ErrorKind::InvalidArgument, format!("{inode} is a {:?}: it has no content of its own", record.kind()));
    };
    Ok((current.blob == tree.blob).then_some(record.links > 0))
}

fn count_stored(txn: &mut VolumeTxn<'_>, bytes: u64) {
    txn.counters.stored_bytes = txn.counters.stored_bytes.saturating_add(bytes);
}

/// Inodes behind `after` that have no name and were not released, at most `limit`, with the epoch in which they lost it:
/// candidates for [`release_orphan`].
///
/// # Errors
/// [`KvError`] is fatal.
pub fn orphans(kv: &dyn Kv, volume: VolumeId, after: InodeNumber, limit: usize) -> Result<Vec<(InodeNumber, u64)>, KvError> {
    let base = Key::new(ORPHANS, volume);
    let mut found = Vec::new();
    try_scan(kv, &base.clone().inode(after).end(), &base.end(), &mut |key, row| {
        if found.len() < limit {
            found.extend(keys::last_number(key).map(InodeNumber).zip(Some(from_row(row)?)));
        }
        Ok(found.len() < limit)
    })?;
    Ok(found)
}

/// Forgets the present state of an inode that has no name, once nobody has it open any more, and answers the blob that it
/// had. Its past stays. No-op for other inodes.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn release_orphan(kv: &mut dyn Kv, volume: VolumeId, inode: InodeNumber) -> Result<Option<BlobId>, KvError> {
    let key = keys::of_inode(inode);
    let Some(head) = INODES.head(kv, volume, &key)?.filter(|head| head.value.links == 0) else { return Ok(None) };
    for (name, _) in XATTRS.list(kv, volume, &key, None, At::Head, usize::MAX)? {
        XATTRS.remove(kv, volume, &keys::of_name(inode, &name), head.from)?;
    }
    INODES.forget(kv, volume, &key)?;
    kv.delete(&Key::new(ORPHANS, volume).inode(inode))?;
    Ok(head.value.tree().map(|tree| tree.blob))
}

/// The versions of `blob` that the file's rows show, those of the past included.
///
/// # Errors
/// [`KvError`] is fatal.
pub fn versions_shown(kv: &dyn Kv, inode: InodeNumber, blob: BlobId) -> Result<BTreeSet<BlobVersion>, KvError> {
    let mut shown = BTreeSet::new();
    INODES.intervals(kv, blob.volume, &keys::of_inode(inode), VolumeVersion(0), &mut |interval| {
        shown.extend(interval.value.tree().filter(|tree| tree.blob == blob).map(|tree| tree.version));
        Ok(true)
    })?;
    Ok(shown)
}
