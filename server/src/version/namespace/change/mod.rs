//! The changes, a file per kind. Permissions are the kernel's business; what is checked here is the structure of the tree,
//! and times, links and setgid directories follow POSIX.

mod acls;
mod attributes;
mod clone;
mod create;
mod fall_back;
mod remove;
mod rename;
mod restore;
mod share;
mod tags;

use super::edit::Edit;
use super::records::Place;
use super::txn::VolumeTxn;
use super::{NamespaceError, refuse};
use weft_common::id::InodeNumber;
use weft_common::name::FileName;
use weft_common::wire::{Change, ChangeReply, ErrorKind, VolumeSettings};

/// The bits of `st_mode` that can be set.
const MODE_BITS: u16 = 0o7777;

/// Carries out one change: all of it, or an error and none of it. A change takes the next volume version, unless it is about
/// a tag, changes nothing, or is about an inode without a name.
///
/// # Errors
/// [`NamespaceError::Service`] says why it is refused.
pub fn apply(txn: &mut VolumeTxn<'_>, change: &Change, settings: &VolumeSettings) -> Result<ChangeReply, NamespaceError> {
    match change {
        Change::Create { parent, name, inode, mode, uid, gid, exclusive, umask } => {
            let request = create::Request { inode, mode: *mode, uid: *uid, gid: *gid, exclusive: *exclusive, umask: *umask };
            create::create(txn, &place(*parent, name), &request, settings.geometry)
        }
        Change::Link { inode, parent, name } => create::link(txn, *inode, &place(*parent, name)),
        Change::Unlink { parent, name } => remove::unlink(txn, &place(*parent, name)),
        Change::RemoveDirectory { parent, name } => remove::remove_directory(txn, &place(*parent, name)),
        Change::Rename { parent, name, new_parent, new_name, no_replace, exchange } => {
            rename::rename(txn, &place(*parent, name), &place(*new_parent, new_name), *no_replace, *exchange)
        }
        Change::SetAttributes { inode, set } => attributes::set_attributes(txn, *inode, set),
        Change::SetXattr { inode, name, value, mode } => attributes::set_xattr(txn, *inode, name, value, *mode),
        Change::RemoveXattr { inode, name } => attributes::remove_xattr(txn, *inode, name),
        Change::Restore { parent, name, source, to } => restore::restore(txn, &place(*parent, name), *source, *to),
        Change::SetTag { name, version } => tags::set(txn, name, *version),
        Change::RemoveTag(name) => tags::remove(txn, name),
        Change::ShareContent { source, at, content, inode, replaces, modified } => {
            let from = share::From { inode: *source, at: *at, content: *content };
            share::share(txn, &from, &share::To { inode: *inode, content: *replaces, modified: *modified })
        }
        Change::FallBack { parent, name, inode, lost, source, content, abandon } => {
            let to = fall_back::To { inode: *source, content: *content };
            let (place, abandon) = (place(*parent, name), *abandon);
            fall_back::fall_back(txn, &fall_back::Lost { place, inode: *inode, content: *lost, abandon }, &to)
        }
        Change::Clone { source, at, parent, name } => clone::clone(txn, *source, *at, &place(*parent, name)),
    }
}

fn place(directory: InodeNumber, name: &FileName) -> Place {
    Place { directory, name: name.clone() }
}

/// A name that is to come into being: not reserved, in a directory that is there.
fn check_new_name(edit: &Edit<'_, '_>, place: &Place) -> Result<(), NamespaceError> {
    if place.name.is_reserved() {
        return refuse(ErrorKind::NotPermitted, format!("'{}' is reserved for the versions of the directory", place.name));
    }
    edit.head().directory(place.directory).map(|_| ())
}

/// The directory `place` is in can have one more sub-directory.
fn check_room_for_directory(edit: &Edit<'_, '_>, place: &Place) -> Result<(), NamespaceError> {
    if edit.head().directory(place.directory)?.value.links == u32::MAX {
        return refuse(ErrorKind::TooManyLinks, format!("directory {} has too many sub-directories", place.directory));
    }
    Ok(())
}

/// `inode`, if it is a directory, has no entries.
fn check_empty(edit: &Edit<'_, '_>, place: &Place, inode: InodeNumber) -> Result<(), NamespaceError> {
    let record = edit.head().named(inode)?.value;
    if record.is_directory() && record.size() > 0 {
        return refuse(
            ErrorKind::NotEmpty,
            format!("directory {} is not empty: it has {} entries", edit.describe(place), record.size()),
        );
    }
    Ok(())
}
