//! One name's state of the past made the present one. Content comes back as a clone: a new blob whose version 0 is the old
//! tree, in O(1).
//!
//! If the name names the same inode as then, the inode changes in place (all its names show it). If not, the inode of then
//! comes back under its old number if it has no name by now, else as a new one; what the name names now loses the name.

use super::{check_empty, check_new_name, check_room_for_directory};
use crate::version::namespace::edit::{Edit, Summary};
use crate::version::namespace::records::{Body, InodeRecord, Place};
use crate::version::namespace::view::{View, Xattrs};
use crate::version::namespace::{NamespaceError, VolumeTxn};
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::wire::{At, ChangeKind, ChangeReply};

/// What the name named then.
struct Then {
    inode: InodeNumber,
    record: InodeRecord,
    xattrs: Xattrs,
}

pub(super) fn restore(
    txn: &mut VolumeTxn<'_>,
    place: &Place,
    source: InodeNumber,
    to: VolumeVersion,
) -> Result<ChangeReply, NamespaceError> {
    let edit = Edit::new(txn);
    let (past, _) = View::open(&*edit.txn.kv, edit.txn.volume, At::Version(to), source)?;
    past.directory(source)?;
    let then = find(&past, &Place { directory: source, name: place.name.clone() })?;
    check_new_name(&edit, place)?;
    let now = edit.entry(place)?;
    match (then, now) {
        (None, None) => Ok(ChangeReply { version: edit.txn.latest(), attributes: None }),
        (None, Some(now)) => restore_absence(edit, place, now),
        (Some(then), Some(now)) if then.inode == now => restore_in_place(edit, place, &then, now),
        (Some(then), Some(now)) if then.record.is_directory() && edit.head().named(now)?.value.is_directory() => {
            restore_in_place(edit, place, &then, now)
        }
        (Some(then), now) => restore_name(edit, place, then, now),
    }
}

fn find(past: &View<'_>, place: &Place) -> Result<Option<Then>, NamespaceError> {
    let Some(inode) = past.entry(place.directory, &place.name)? else { return Ok(None) };
    Ok(Some(Then { inode, record: past.named(inode)?.value, xattrs: past.xattrs(inode)? }))
}

fn restore_absence(mut edit: Edit<'_, '_>, place: &Place, now: InodeNumber) -> Result<ChangeReply, NamespaceError> {
    check_empty(&edit, place, now)?;
    edit.remove(place, now)?;
    let reply = edit.commit(Summary::new(ChangeKind::Restore, now, Some(place.clone())))?;
    Ok(ChangeReply { attributes: None, ..reply })
}

/// The inode stays and takes on the state of then. Nothing happens if it has it already.
fn restore_in_place(
    mut edit: Edit<'_, '_>,
    place: &Place,
    then: &Then,
    inode: InodeNumber,
) -> Result<ChangeReply, NamespaceError> {
    let current = edit.head().named(inode)?.value;
    let content_differs = current.content() != then.record.content();
    let mut restored = InodeRecord {
        mode: then.record.mode,
        uid: then.record.uid,
        gid: then.record.gid,
        accessed: then.record.accessed,
        modified: then.record.modified,
        xattr_bytes: then.record.xattr_bytes,
        ..current.clone()
    };
    if restored == current && !content_differs && edit.head().xattrs(inode)? == then.xattrs {
        return edit.reply(inode);
    }
    if content_differs {
        restored.body = clone_body(&mut edit, &then.record.body);
    }
    restored.changed = edit.txn.now;
    *edit.stage(inode)? = restored;
    stage_xattrs(&mut edit, inode, &then.xattrs)?;
    edit.touch_directories_of(inode)?;
    commit(edit, place, inode)
}

/// The name gets the inode of then, in place of what it names now.
fn restore_name(
    mut edit: Edit<'_, '_>,
    place: &Place,
    then: Then,
    now: Option<InodeNumber>,
) -> Result<ChangeReply, NamespaceError> {
    if let Some(now) = now {
        check_empty(&edit, place, now)?;
    }
    if then.record.is_directory() {
        check_room_for_directory(&edit, place)?;
    }
    if let Some(now) = now {
        edit.remove(place, now)?;
    }
    let has_name = edit.head().find_inode(then.inode)?.is_some_and(|head| head.value.links > 0);
    let inode = if has_name { edit.fresh_inode() } else { then.inode };
    let time = edit.txn.now;
    let record = InodeRecord {
        links: if then.record.is_directory() { 2 } else { 0 },
        changed: time,
        born: if has_name { time } else { then.record.born },
        place: None,
        body: clone_body(&mut edit, &then.record.body),
        ..then.record
    };
    edit.stage_new(inode, record)?;
    stage_xattrs(&mut edit, inode, &then.xattrs)?;
    edit.attach(place, inode)?;
    commit(edit, place, inode)
}

fn commit(mut edit: Edit<'_, '_>, place: &Place, inode: InodeNumber) -> Result<ChangeReply, NamespaceError> {
    let content = edit.stage(inode)?.tree().map(|tree| (tree.blob, tree.version, tree.size));
    edit.commit(Summary { content, ..Summary::new(ChangeKind::Restore, inode, Some(place.clone())) })
}

fn clone_body(edit: &mut Edit<'_, '_>, body: &Body) -> Body {
    match body {
        Body::File { tree, .. } => Body::File { tree: edit.clone_tree(tree), since: edit.next_version() },
        Body::Directory { .. } => Body::Directory { entries: 0 },
        other => other.clone(),
    }
}

fn stage_xattrs(edit: &mut Edit<'_, '_>, inode: InodeNumber, then: &Xattrs) -> Result<(), NamespaceError> {
    let now = edit.head().xattrs(inode)?;
    for name in now.keys().filter(|name| !then.contains_key(*name)) {
        edit.set_xattr(inode, name, None);
    }
    for (name, value) in then.iter().filter(|(name, value)| now.get(*name) != Some(value)) {
        edit.set_xattr(inode, name, Some(value.clone()));
    }
    Ok(())
}
