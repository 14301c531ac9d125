//! Names that move, over others or in exchange for them.

use super::{check_empty, check_new_name, check_room_for_directory};
use crate::version::namespace::edit::{Edit, Summary};
use crate::version::namespace::records::Place;
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use weft_common::id::InodeNumber;
use weft_common::wire::{ChangeKind, ChangeReply, ErrorKind};

pub(super) fn rename(
    txn: &mut VolumeTxn<'_>,
    from: &Place,
    to: &Place,
    no_replace: bool,
    exchange: bool,
) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    if no_replace && exchange {
        return refuse(ErrorKind::InvalidArgument, "a rename cannot both refuse and exchange an existing name");
    }
    edit.head().directory(from.directory)?;
    check_new_name(&edit, to)?;
    let moved = edit.existing(from)?;
    let other = if exchange { Some(edit.existing(to)?) } else { edit.entry(to)? };
    if no_replace && other.is_some() {
        return refuse(ErrorKind::AlreadyExists, format!("{} exists", edit.describe(to)));
    }
    if other == Some(moved) {
        return edit.reply(moved); // POSIX: two names of one file, nothing happens
    }
    check_loop(&edit, moved, from, to)?;
    match other {
        Some(other) if exchange => check_loop(&edit, other, to, from)?,
        Some(other) => check_replaceable(&edit, moved, to, other)?,
        None => {}
    }

    edit.detach(from, moved)?;
    match other {
        Some(other) if exchange => {
            edit.detach(to, other)?;
            edit.attach(from, other)?;
        }
        Some(other) => edit.remove(to, other)?,
        None => {}
    }
    edit.attach(to, moved)?;
    let summary = Summary::new(ChangeKind::Rename, moved, Some(to.clone()));
    edit.commit(Summary { old_place: Some(from.clone()), ..summary })
}

/// A directory cannot come to lie within itself.
fn check_loop(edit: &Edit<'_, '_>, moved: InodeNumber, from: &Place, to: &Place) -> Result<(), NamespaceError> {
    if from.directory == to.directory || !edit.head().named(moved)?.value.is_directory() {
        return Ok(());
    }
    if edit.head().is_within(to.directory, moved)? {
        let message = format!("{} cannot move into itself or below, to {}", edit.describe(from), edit.describe(to));
        return refuse(ErrorKind::InvalidArgument, message);
    }
    check_room_for_directory(edit, to)
}

/// A file goes over a file, a directory over an empty directory.
fn check_replaceable(edit: &Edit<'_, '_>, moved: InodeNumber, to: &Place, other: InodeNumber) -> Result<(), NamespaceError> {
    let moves_directory = edit.head().named(moved)?.value.is_directory();
    let replaces_directory = edit.head().named(other)?.value.is_directory();
    match (moves_directory, replaces_directory) {
        (true, false) => refuse(ErrorKind::NotDirectory, format!("{} is not a directory", edit.describe(to))),
        (false, true) => refuse(ErrorKind::IsDirectory, format!("{} is a directory", edit.describe(to))),
        _ => check_empty(edit, to, other),
    }
}
