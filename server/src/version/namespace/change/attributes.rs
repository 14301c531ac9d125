//! Mode, owner, times, extended attributes. An inode without a name changes in place, without a version.

use super::MODE_BITS;
use crate::version::namespace::edit::Edit;
use crate::version::namespace::keys;
use crate::version::namespace::view::XATTRS;
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use weft_common::id::InodeNumber;
use weft_common::limits::{XATTR_NAME_BYTES_MAX, XATTRS_BYTES_MAX};
use weft_common::wire::{AttributeChange, ChangeKind, ChangeReply, ErrorKind, XattrMode};

pub(super) fn set_attributes(
    txn: &mut VolumeTxn<'_>,
    inode: InodeNumber,
    set: &AttributeChange,
) -> Result<ChangeReply, NamespaceError> {
    let now = txn.now;
    let mut edit = Edit::new(txn);
    if *set == AttributeChange::default() {
        return edit.reply(inode);
    }
    let record = edit.stage(inode)?;
    record.mode = set.mode.map_or(record.mode, |mode| mode & MODE_BITS);
    record.uid = set.uid.unwrap_or(record.uid);
    record.gid = set.gid.unwrap_or(record.gid);
    record.accessed = set.accessed.unwrap_or(record.accessed);
    record.modified = set.modified.unwrap_or(record.modified);
    record.changed = now;
    edit.commit_inode(ChangeKind::Attributes, inode)
}

pub(super) fn set_xattr(
    txn: &mut VolumeTxn<'_>,
    inode: InodeNumber,
    name: &[u8],
    value: &[u8],
    mode: XattrMode,
) -> Result<ChangeReply, NamespaceError> {
    let now = txn.now;
    let mut edit = Edit::new(txn);
    if name.is_empty() || name.len() > XATTR_NAME_BYTES_MAX || name.contains(&0) {
        let message = format!("the name of an extended attribute has 1 to {XATTR_NAME_BYTES_MAX} bytes and no NUL");
        return refuse(ErrorKind::InvalidArgument, message);
    }
    let old = head_value(&edit, inode, name)?;
    match (mode, &old) {
        (XattrMode::Create, Some(_)) => {
            return refuse(ErrorKind::AlreadyExists, format!("{inode} has an attribute '{}'", name.escape_ascii()));
        }
        (XattrMode::Replace, None) => return no_attribute(inode, name),
        _ => {}
    }
    let freed = old.map_or(0, |old| name.len() + old.len());
    let bytes = edit.stage(inode)?.xattr_bytes as usize - freed + name.len() + value.len();
    if bytes > XATTRS_BYTES_MAX {
        let message = format!("the extended attributes of {inode} would have {bytes} bytes; {XATTRS_BYTES_MAX} is the most");
        return refuse(ErrorKind::AttributeTooLarge, message);
    }
    let record = edit.stage(inode)?;
    record.xattr_bytes = bytes as u32;
    record.changed = now;
    edit.set_xattr(inode, name, Some(value.to_vec()));
    edit.commit_inode(ChangeKind::Attributes, inode)
}

pub(super) fn remove_xattr(txn: &mut VolumeTxn<'_>, inode: InodeNumber, name: &[u8]) -> Result<ChangeReply, NamespaceError> {
    let now = txn.now;
    let mut edit = Edit::new(txn);
    let Some(old) = head_value(&edit, inode, name)? else { return no_attribute(inode, name) };
    let record = edit.stage(inode)?;
    record.xattr_bytes -= (name.len() + old.len()) as u32;
    record.changed = now;
    edit.set_xattr(inode, name, None);
    edit.commit_inode(ChangeKind::Attributes, inode)
}

fn head_value(edit: &Edit<'_, '_>, inode: InodeNumber, name: &[u8]) -> Result<Option<Vec<u8>>, NamespaceError> {
    edit.head().inode(inode)?;
    let head = XATTRS.head(&*edit.txn.kv, edit.txn.volume, &keys::of_name(inode, name))?;
    Ok(head.map(|head| head.value))
}

fn no_attribute<T>(inode: InodeNumber, name: &[u8]) -> Result<T, NamespaceError> {
    refuse(ErrorKind::NoAttribute, format!("{inode} has no attribute '{}'", name.escape_ascii()))
}
