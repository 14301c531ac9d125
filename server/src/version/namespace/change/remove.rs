//! Names that go.

use super::check_empty;
use crate::version::namespace::edit::{Edit, Summary};
use crate::version::namespace::records::Place;
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use weft_common::wire::{ChangeKind, ChangeReply, ErrorKind};

pub(super) fn unlink(txn: &mut VolumeTxn<'_>, place: &Place) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    edit.head().directory(place.directory)?;
    let inode = edit.existing(place)?;
    if edit.head().named(inode)?.value.is_directory() {
        return refuse(ErrorKind::IsDirectory, format!("{} is a directory", edit.describe(place)));
    }
    edit.remove(place, inode)?;
    edit.commit(Summary::new(ChangeKind::Remove, inode, Some(place.clone())))
}

pub(super) fn remove_directory(txn: &mut VolumeTxn<'_>, place: &Place) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    edit.head().directory(place.directory)?;
    let inode = edit.existing(place)?;
    if !edit.head().named(inode)?.value.is_directory() {
        return refuse(ErrorKind::NotDirectory, format!("{} is not a directory", edit.describe(place)));
    }
    check_empty(&edit, place, inode)?;
    edit.remove(place, inode)?;
    edit.commit(Summary::new(ChangeKind::Remove, inode, Some(place.clone())))
}
