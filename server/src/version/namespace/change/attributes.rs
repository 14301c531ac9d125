//! Mode, owner, times, extended attributes. An inode without a name changes in place, without a version.

use super::{MODE_BITS, acls};
use crate::version::namespace::edit::Edit;
use crate::version::namespace::keys;
use crate::version::namespace::view::XATTRS;
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use weft_common::id::InodeNumber;
use weft_common::limits::{XATTR_NAME_BYTES_MAX, XATTRS_BYTES_MAX};
use weft_common::wire::{AttributeChange, ChangeKind, ChangeReply, ErrorKind, XattrMode};
use weft_common::xattr::XattrName;

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
    if let Some(mode) = set.mode {
        acls::follow_mode(&mut edit, inode, mode)?;
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
    if XattrName::of(name) != XattrName::Kept {
        let message = format!("'{}' is no name that is kept; names begin with user., trusted. or security.", name.escape_ascii());
        return refuse(ErrorKind::Unsupported, message);
    }
    let old = head_value(&edit, inode, name)?;
    match (mode, &old) {
        (XattrMode::Create, Some(_)) => {
            return refuse(ErrorKind::AlreadyExists, format!("{inode} has an attribute '{}'", name.escape_ascii()));
        }
        (XattrMode::Replace, None) => return no_attribute(inode, name),
        _ => {}
    }
    match acls::effect(&edit, inode, name, value)? {
        acls::Effect::None => put_xattr(&mut edit, inode, name, old.as_ref(), Some(value.to_vec()))?,
        acls::Effect::Store { value, mode } => {
            put_xattr(&mut edit, inode, name, old.as_ref(), value)?;
            if let Some(mode) = mode {
                edit.stage(inode)?.mode = mode;
            }
        }
    }
    edit.stage(inode)?.changed = now;
    edit.commit_inode(ChangeKind::Attributes, inode)
}

/// Gives an inode an attribute, or takes it away, and keeps count. `old` is its value before the change.
pub(super) fn put_xattr(
    edit: &mut Edit<'_, '_>,
    inode: InodeNumber,
    name: &[u8],
    old: Option<&Vec<u8>>,
    value: Option<Vec<u8>>,
) -> Result<(), NamespaceError> {
    let length = |value: &Vec<u8>| name.len() + value.len();
    let freed = old.map_or(0, length);
    let bytes = edit.stage(inode)?.xattr_bytes as usize - freed + value.as_ref().map_or(0, length);
    if bytes > XATTRS_BYTES_MAX {
        let message = format!("the extended attributes of {inode} would have {bytes} bytes; {XATTRS_BYTES_MAX} is the most");
        return refuse(ErrorKind::AttributeTooLarge, message);
    }
    edit.stage(inode)?.xattr_bytes = bytes as u32;
    edit.set_xattr(inode, name, value);
    Ok(())
}

pub(super) fn remove_xattr(txn: &mut VolumeTxn<'_>, inode: InodeNumber, name: &[u8]) -> Result<ChangeReply, NamespaceError> {
    let now = txn.now;
    let mut edit = Edit::new(txn);
    let Some(old) = head_value(&edit, inode, name)? else { return no_attribute(inode, name) };
    put_xattr(&mut edit, inode, name, Some(&old), None)?;
    edit.stage(inode)?.changed = now;
    edit.commit_inode(ChangeKind::Attributes, inode)
}

pub(super) fn head_value(edit: &Edit<'_, '_>, inode: InodeNumber, name: &[u8]) -> Result<Option<Vec<u8>>, NamespaceError> {
    edit.head().inode(inode)?;
    let head = XATTRS.head(&*edit.txn.kv, edit.txn.volume, &keys::of_name(inode, name))?;
    Ok(head.map(|head| head.value))
}

fn no_attribute<T>(inode: InodeNumber, name: &[u8]) -> Result<T, NamespaceError> {
    refuse(ErrorKind::NoAttribute, format!("{inode} has no attribute '{}'", name.escape_ascii()))
}
