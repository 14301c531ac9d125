//! Copies that share their content: of a file, or of a directory with everything below it.
//!
//! The tree is read whole before anything is written: so a clone that is refused for its size has changed nothing. Every copy is an
//! inode of its own with a blob of its own, whose version 0 is the source's tree and pins it. So the work is proportional to
//! the number of inodes, and the sizes of files do not matter.

use super::{check_new_name, check_room_for_directory};
use crate::version::kv::{Kv, KvError};
use crate::version::namespace::edit::{Edit, Summary};
use crate::version::namespace::keys::{self, DIRECTORY_CHANGES, Key};
use crate::version::namespace::policies::PARENTS;
use crate::version::namespace::records::{Body, InodeRecord, Place};
use crate::version::namespace::view::{ENTRIES, INODES, View, XATTRS, Xattrs};
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use weft_common::id::InodeNumber;
use weft_common::limits::{CLONE_BYTES_MAX, CLONE_INODES_MAX, ENTRIES_PER_ANSWER_MAX};
use weft_common::name::FileName;
use weft_common::wire::{At, ChangeKind, ChangeReply, ErrorKind};

/// An inode to be copied.
struct Source {
    record: InodeRecord,
    xattrs: Xattrs,
}

/// A name below the directory that is copied.
struct Below {
    /// Which of the directories it lies in: 0 is the uppermost, the others are counted as they come.
    directory: usize,
    name: FileName,
    source: Source,
}

pub(super) fn clone(txn: &mut VolumeTxn<'_>, source: InodeNumber, at: At, place: &Place) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    let (view, _) = View::open(&*edit.txn.kv, edit.txn.volume, at, source)?;
    let top = read(&view, source, view.inode(source)?.value)?;
    check(&edit, source, &top.record, at, place)?;
    let below = if top.record.is_directory() { read_below(&view, source)? } else { Vec::new() };

    let old_place = top.record.place.clone();
    let inode = edit.fresh_inode();
    let record = copy_of(&mut edit, top.record, None);
    let content = record.tree().map(|tree| (tree.blob, tree.version, tree.size));
    let links = if record.is_directory() { record.links } else { 0 };
    edit.stage_new(inode, InodeRecord { links, ..record })?;
    for (name, value) in top.xattrs {
        edit.set_xattr(inode, &name, Some(value));
    }
    edit.attach(place, inode)?;
    write_below(&mut edit, inode, below)?;
    let summary = Summary::new(ChangeKind::Clone, inode, Some(place.clone()));
    edit.commit(Summary { old_place, content, ..summary })
}

fn check(edit: &Edit<'_, '_>, source: InodeNumber, record: &InodeRecord, at: At, place: &Place) -> Result<(), NamespaceError> {
    check_new_name(edit, place)?;
    if edit.entry(place)?.is_some() {
        return refuse(ErrorKind::AlreadyExists, format!("{} exists; remove it, or clone to another name", edit.describe(place)));
    }
    if record.links == 0 {
        return refuse(ErrorKind::NotFound, format!("{source} was removed; clone an older version of it"));
    }
    if !record.is_directory() {
        return Ok(());
    }
    // The past does not change: it can be copied to anywhere.
    if at == At::Head && edit.head().is_within(place.directory, source)? {
        let message = format!(
            "{} lies in the directory that is to be copied; clone a version of it, or to elsewhere",
            edit.describe(place)
        );
        return refuse(ErrorKind::InvalidArgument, message);
    }
    check_room_for_directory(edit, place)
}

fn read(view: &View<'_>, inode: InodeNumber, record: InodeRecord) -> Result<Source, KvError> {
    let xattrs = if record.xattr_bytes == 0 { Xattrs::new() } else { view.xattrs(inode)? };
    Ok(Source { record, xattrs })
}

/// Everything below a directory, each directory's names in order, directories in the order in which they are met.
fn read_below(view: &View<'_>, top: InodeNumber) -> Result<Vec<Below>, NamespaceError> {
    let (mut found, mut directories, mut bytes) = (Vec::new(), vec![top], 0);
    let mut next = 0;
    while let Some(directory) = directories.get(next).copied() {
        let (key, mut after) = (keys::of_inode(directory), None);
        loop {
            let after_name = after.as_ref().map(FileName::as_bytes);
            let names = ENTRIES.list(view.kv, view.volume, &key, after_name, view.at, ENTRIES_PER_ANSWER_MAX)?;
            let is_last = names.len() < ENTRIES_PER_ANSWER_MAX;
            for (name, entry) in names {
                let name =
                    FileName::new(name).map_err(|error| KvError(format!("a row of {directory} has a damaged name: {error}")))?;
                let source = read(view, entry.value, view.named(entry.value)?.value)?;
                if source.record.is_directory() {
                    directories.push(entry.value);
                }
                bytes += name.as_bytes().len() + weight(&source.record);
                found.push(Below { directory: next, name: name.clone(), source });
                after = Some(name);
            }
            check_size(view, top, found.len(), bytes)?;
            if is_last {
                break;
            }
        }
        next += 1;
    }
    Ok(found)
}

/// Bytes of an inode's rows that have no fixed size.
fn weight(record: &InodeRecord) -> usize {
    let target = if let Body::Symlink(target) = &record.body { target.len() } else { 0 };
    target + record.xattr_bytes as usize
}

fn check_size(view: &View<'_>, top: InodeNumber, inodes: usize, bytes: usize) -> Result<(), NamespaceError> {
    if inodes <= CLONE_INODES_MAX && bytes <= CLONE_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "{top} of {} has more below it than one clone makes ({CLONE_INODES_MAX} files and directories, {CLONE_BYTES_MAX} bytes of names, \
         links and extended attributes); clone its sub-directories one by one",
        view.volume
    );
    refuse(ErrorKind::Unsupported, message)
}

/// The record of a copy.
fn copy_of(edit: &mut Edit<'_, '_>, source: InodeRecord, place: Option<Place>) -> InodeRecord {
    let now = edit.txn.now;
    let since = edit.next_version();
    let links = if source.is_directory() { source.links } else { 1 };
    let body = match source.body {
        Body::File { tree, .. } => Body::File { tree: edit.clone_tree(&tree), since },
        other => other,
    };
    InodeRecord { links, changed: now, born: now, place, body, ..source }
}

/// Writes the copies below `top`. None of their rows was there before, so nothing becomes past.
fn write_below(edit: &mut Edit<'_, '_>, top: InodeNumber, below: Vec<Below>) -> Result<(), KvError> {
    let (n, volume) = (edit.next_version(), edit.txn.volume);
    let mut directories = vec![top];
    let mut marked = None;
    for Below { directory, name, source } in below {
        let directory = directories.get(directory).copied().unwrap_or(top);
        let inode = edit.fresh_inode();
        if source.record.is_directory() {
            directories.push(inode);
        }
        let key = keys::of_name(directory, name.as_bytes());
        let record = copy_of(edit, source.record, Some(Place { directory, name }));
        let (bytes, inodes) = record.footprint();
        edit.txn.counters.live_bytes += u128::from(bytes);
        edit.txn.counters.live_inodes += inodes;
        let kv: &mut dyn Kv = &mut *edit.txn.kv;
        ENTRIES.replace(kv, volume, &key, n, &inode)?;
        INODES.replace(kv, volume, &keys::of_inode(inode), n, &record)?;
        if record.is_directory() {
            PARENTS.replace(kv, volume, &keys::of_inode(inode), n, &directory)?;
        }
        for (name, value) in &source.xattrs {
            XATTRS.replace(kv, volume, &keys::of_name(inode, name), n, value)?;
        }
        if marked != Some(directory) {
            kv.put(&Key::new(DIRECTORY_CHANGES, volume).inode(directory).version(n), &[])?;
            marked = Some(directory);
        }
    }
    Ok(())
}
