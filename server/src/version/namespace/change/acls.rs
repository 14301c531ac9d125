//! Access control lists: what setting one does to the mode, and what `chmod` and inheritance do to them.

use super::MODE_BITS;
use super::attributes::{head_value, put_xattr};
use crate::version::namespace::edit::Edit;
use crate::version::namespace::{NamespaceError, refuse};
use weft_common::acl::{self, Acl};
use weft_common::id::InodeNumber;
use weft_common::wire::{ErrorKind, FileKind};

/// What setting an attribute means.
pub(super) enum Effect {
    /// Nothing beyond the attribute.
    None,
    /// It is a list: this is kept of it, and this is the mode then.
    Store { value: Option<Vec<u8>>, mode: Option<u16> },
}

/// What setting the attribute `name` to `value` means.
pub(super) fn effect(edit: &Edit<'_, '_>, inode: InodeNumber, name: &[u8], value: &[u8]) -> Result<Effect, NamespaceError> {
    if name != acl::ACCESS && name != acl::DEFAULT {
        return Ok(Effect::None);
    }
    let record = edit.head().inode(inode)?.value;
    if record.kind() == FileKind::Symlink {
        return refuse(ErrorKind::Unsupported, "a symlink has no access control list; what it leads to may have one");
    }
    if name == acl::DEFAULT && !record.is_directory() {
        return refuse(ErrorKind::PermissionDenied, format!("{inode} is no directory: nothing could inherit from it"));
    }
    // A header alone is how a list is removed.
    if value.len() == 4 && name == acl::DEFAULT {
        return Ok(Effect::Store { value: None, mode: None });
    }
    let Some(list) = Acl::parse(value) else {
        return refuse(ErrorKind::InvalidArgument, "the bytes are no valid access control list; see acl(5)");
    };
    if name == acl::DEFAULT {
        return Ok(Effect::Store { value: Some(list.to_bytes()), mode: None });
    }
    let kept = (!list.is_minimal()).then(|| list.to_bytes());
    Ok(Effect::Store { value: kept, mode: Some(list.mode(record.mode) & MODE_BITS) })
}

/// The list that new entries of a directory inherit.
pub(super) fn default_of(edit: &Edit<'_, '_>, directory: InodeNumber) -> Result<Option<Acl>, NamespaceError> {
    Ok(head_value(edit, directory, acl::DEFAULT)?.and_then(|value| Acl::parse(&value)))
}

/// `chmod`: the access list says what the mode says.
pub(super) fn follow_mode(edit: &mut Edit<'_, '_>, inode: InodeNumber, mode: u16) -> Result<(), NamespaceError> {
    if edit.head().inode(inode)?.value.xattr_bytes == 0 {
        return Ok(());
    }
    let old = head_value(edit, inode, acl::ACCESS)?;
    let Some(list) = old.as_ref().and_then(|value| Acl::parse(value)) else { return Ok(()) };
    put_xattr(edit, inode, acl::ACCESS, old.as_ref(), Some(list.with_mode(mode).to_bytes()))
}
