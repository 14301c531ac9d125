//! New inodes, and further names of files.

use super::{MODE_BITS, acls, check_new_name, check_room_for_directory};
use crate::version::namespace::edit::{Edit, Summary};
use crate::version::namespace::records::{Body, InodeRecord, Place};
use crate::version::namespace::{NamespaceError, VolumeTxn, refuse};
use weft_common::acl;
use weft_common::id::InodeNumber;
use weft_common::limits::{LINKS_MAX, SYMLINK_BYTES_MAX};
use weft_common::weave::{Geometry, Tree};
use weft_common::wire::{ChangeKind, ChangeReply, ErrorKind, FileKind, NewInode};

const SETGID: u16 = 0o2000;

/// What is to be created.
pub(super) struct Request<'r> {
    pub(super) inode: &'r NewInode,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) exclusive: bool,
    pub(super) umask: u16,
}

pub(super) fn create(
    txn: &mut VolumeTxn<'_>,
    place: &Place,
    request: &Request<'_>,
    geometry: Geometry,
) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    check_new_name(&edit, place)?;
    if let Some(existing) = edit.entry(place)? {
        return open_existing(&edit, place, existing, request);
    }
    check_kind(request.inode)?;
    let is_directory = matches!(request.inode, NewInode::Directory);
    if is_directory {
        check_room_for_directory(&edit, place)?;
    }
    let parent = edit.head().directory(place.directory)?.value;
    let inherits = parent.mode & SETGID != 0;
    let given = if inherits && is_directory { SETGID } else { 0 };
    let default = if parent.xattr_bytes == 0 { None } else { acls::default_of(&edit, place.directory)? };
    // A directory's default list takes the place of the umask.
    let inherited = default.as_ref().filter(|_| !matches!(request.inode, NewInode::Symlink(_)));
    let access = inherited.map(|default| default.clone().inherited(request.mode));
    let mode = match &access {
        Some(access) => access.mode(request.mode & MODE_BITS) | given,
        None => (request.mode & !request.umask & MODE_BITS) | given,
    };
    let gid = if inherits { parent.gid } else { request.gid };

    let own = access.filter(|access| !access.is_minimal()).map(|access| (acl::ACCESS, access.to_bytes()));
    let passed_on = inherited.filter(|_| is_directory).map(|default| (acl::DEFAULT, default.to_bytes()));
    let lists: Vec<_> = own.into_iter().chain(passed_on).collect();

    let inode = edit.fresh_inode();
    let body = match request.inode {
        NewInode::File => Body::File { tree: Tree::empty(edit.fresh_blob(), geometry), since: edit.next_version() },
        NewInode::Directory => Body::Directory { entries: 0 },
        NewInode::Symlink(target) => Body::Symlink(target.clone()),
        NewInode::Special(kind, rdev) => {
            let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharacterDevice);
            Body::Special { kind: *kind, rdev: if is_device { *rdev } else { 0 } }
        }
    };
    let now = edit.txn.now;
    let record = InodeRecord {
        mode,
        uid: request.uid,
        gid,
        links: if is_directory { 2 } else { 0 },
        accessed: now,
        modified: now,
        changed: now,
        born: now,
        place: None,
        xattr_bytes: lists.iter().map(|(name, list)| (name.len() + list.len()) as u32).sum(),
        body,
    };
    edit.stage_new(inode, record)?;
    for (name, list) in lists {
        edit.set_xattr(inode, name, Some(list));
    }
    edit.attach(place, inode)?;
    edit.commit(Summary::new(ChangeKind::Create, inode, Some(place.clone())))
}

/// `O_CREAT` without `O_EXCL` met a name: a file is answered as it is, the rest is refused.
fn open_existing(
    edit: &Edit<'_, '_>,
    place: &Place,
    existing: InodeNumber,
    request: &Request<'_>,
) -> Result<ChangeReply, NamespaceError> {
    let wants_any_file = !request.exclusive && *request.inode == NewInode::File;
    match edit.head().named(existing)?.value.kind() {
        FileKind::File if wants_any_file => edit.reply(existing),
        FileKind::Directory if wants_any_file => {
            refuse(ErrorKind::IsDirectory, format!("{} is a directory", edit.describe(place)))
        }
        _ => refuse(ErrorKind::AlreadyExists, format!("{} exists", edit.describe(place))),
    }
}

fn check_kind(inode: &NewInode) -> Result<(), NamespaceError> {
    match inode {
        NewInode::Symlink(target) if target.len() > SYMLINK_BYTES_MAX => {
            let message = format!("a symlink's target has at most {SYMLINK_BYTES_MAX} bytes, this one has {}", target.len());
            refuse(ErrorKind::NameTooLong, message)
        }
        NewInode::Symlink(target) if target.is_empty() || target.contains(&0) => {
            refuse(ErrorKind::InvalidArgument, "a symlink's target is not empty and has no NUL byte")
        }
        NewInode::Special(kind @ (FileKind::File | FileKind::Directory | FileKind::Symlink), _) => {
            refuse(ErrorKind::InvalidArgument, format!("{kind:?} is no pipe, socket or device"))
        }
        _ => Ok(()),
    }
}

pub(super) fn link(txn: &mut VolumeTxn<'_>, inode: InodeNumber, place: &Place) -> Result<ChangeReply, NamespaceError> {
    let mut edit = Edit::new(txn);
    check_new_name(&edit, place)?;
    if edit.entry(place)?.is_some() {
        return refuse(ErrorKind::AlreadyExists, format!("{} exists", edit.describe(place)));
    }
    let record = edit.head().inode(inode)?.value;
    if record.is_directory() {
        return refuse(ErrorKind::NotPermitted, format!("{inode} is a directory: it can have one name only"));
    }
    if record.links == 0 {
        return refuse(ErrorKind::NotFound, format!("{inode} was removed and cannot get a name again; restore it instead"));
    }
    if record.links >= LINKS_MAX {
        return refuse(ErrorKind::TooManyLinks, format!("{inode} has {LINKS_MAX} names already"));
    }
    edit.attach(place, inode)?;
    edit.commit(Summary::new(ChangeKind::Link, inode, Some(place.clone())))
}
