//! Access control lists: they and the mode never disagree, and a directory passes its own on.

use super::{Volume, name};
use weft_common::acl::{self, Acl, NOBODY, encode};
use weft_common::id::{InodeNumber, ROOT_INODE as ROOT};
use weft_common::wire::{At, Change, ErrorKind, NamespaceAnswer, NewInode, Query, XattrMode};

/// `u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---`
fn shared() -> Vec<u8> {
    encode(&[(1, 7, NOBODY), (2, 7, 1000), (4, 5, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY)])
}

fn set(volume: &mut Volume, inode: InodeNumber, attribute: &[u8], value: Vec<u8>) -> Result<(), ErrorKind> {
    volume.change(&Change::SetXattr { inode, name: attribute.to_vec(), value, mode: XattrMode::Any }).map(drop)
}

fn get(volume: &Volume, inode: InodeNumber, attribute: &[u8]) -> Option<Vec<u8>> {
    match volume.query(At::Head, &Query::GetXattr { inode, name: attribute.to_vec() }) {
        Ok(NamespaceAnswer::Bytes(value)) => Some(value),
        Err(ErrorKind::NoAttribute) => None,
        other => panic!("{other:?}"),
    }
}

fn make(volume: &mut Volume, parent: InodeNumber, text: &str, inode: NewInode, mode: u16) -> InodeNumber {
    let change = Change::Create { parent, name: name(text), inode, mode, uid: 1, gid: 2, exclusive: true, umask: 0o22 };
    volume.change(&change).unwrap().attributes.unwrap().inode
}

#[test]
fn a_list_sets_the_mode_and_chmod_sets_the_lists_mask() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f");
    volume.chmod(file, 0o2600).unwrap();
    set(&mut volume, file, acl::ACCESS, shared()).unwrap();
    assert_eq!(volume.head(file).mode, 0o2770);
    volume.chmod(file, 0o640).unwrap();
    let after = encode(&[(1, 6, NOBODY), (2, 7, 1000), (4, 5, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)]);
    assert_eq!(get(&volume, file, acl::ACCESS), Some(after));
    assert_eq!(volume.head(file).mode, 0o640);
    // A list that says what a mode says is one.
    set(&mut volume, file, acl::ACCESS, encode(&[(1, 7, 0), (4, 5, 0), (0x20, 1, 0)])).unwrap();
    assert_eq!((volume.head(file).mode, get(&volume, file, acl::ACCESS)), (0o751, None));
    assert_eq!(volume.head(file).xattr_bytes, 0);
}

#[test]
fn what_is_made_inherits_the_default_list_in_place_of_the_umask() {
    let mut volume = Volume::new();
    let directory = volume.directory(ROOT, "d");
    let plain = make(&mut volume, directory, "plain", NewInode::File, 0o666);
    assert_eq!(volume.head(plain).mode, 0o644, "the umask");
    set(&mut volume, directory, acl::DEFAULT, shared()).unwrap();
    assert_eq!(volume.head(directory).mode, 0o644, "of the directory itself nothing changes");
    let file = make(&mut volume, directory, "file", NewInode::File, 0o666);
    assert_eq!(volume.head(file).mode, 0o660);
    let own = Acl::parse(&get(&volume, file, acl::ACCESS).unwrap()).unwrap();
    assert_eq!(own, Acl::parse(&shared()).unwrap().inherited(0o666));
    assert_eq!(get(&volume, file, acl::DEFAULT), None);
    let below = make(&mut volume, directory, "below", NewInode::Directory, 0o777);
    assert_eq!(get(&volume, below, acl::DEFAULT), Some(shared()), "directories pass it on");
    assert_eq!(volume.head(below).mode, 0o770);
    let link = make(&mut volume, directory, "link", NewInode::Symlink(b"x".to_vec()), 0o777);
    assert_eq!(volume.head(link).xattr_bytes, 0);
    let bytes = |inode| volume.head(inode).xattr_bytes as usize;
    assert_eq!(bytes(below), acl::ACCESS.len() + acl::DEFAULT.len() + 2 * shared().len());
}

#[test]
fn a_default_list_of_three_entries_is_a_umask_of_the_directory() {
    let mut volume = Volume::new();
    let directory = volume.directory(ROOT, "d");
    set(&mut volume, directory, acl::DEFAULT, encode(&[(1, 7, 0), (4, 7, 0), (0x20, 0, 0)])).unwrap();
    let file = make(&mut volume, directory, "file", NewInode::File, 0o666);
    assert_eq!((volume.head(file).mode, volume.head(file).xattr_bytes), (0o660, 0));
    set(&mut volume, directory, acl::DEFAULT, encode(&[])).unwrap();
    assert_eq!(get(&volume, directory, acl::DEFAULT), None, "an empty list is none");
}

#[test]
fn lists_that_cannot_be_are_refused() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f");
    assert_eq!(set(&mut volume, file, acl::DEFAULT, shared()), Err(ErrorKind::PermissionDenied));
    assert_eq!(set(&mut volume, file, acl::ACCESS, b"nonsense".to_vec()), Err(ErrorKind::InvalidArgument));
    assert_eq!(set(&mut volume, file, acl::ACCESS, encode(&[])), Err(ErrorKind::InvalidArgument));
    let link = volume.make(ROOT, "l", NewInode::Symlink(b"f".to_vec())).unwrap();
    assert_eq!(set(&mut volume, link, acl::ACCESS, shared()), Err(ErrorKind::Unsupported));
}

#[test]
fn every_version_has_its_own_list() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f");
    set(&mut volume, file, acl::ACCESS, shared()).unwrap();
    let then = volume.latest();
    volume.change(&Change::RemoveXattr { inode: file, name: acl::ACCESS.to_vec() }).unwrap();
    assert_eq!((get(&volume, file, acl::ACCESS), volume.head(file).mode), (None, 0o770));
    let query = Query::GetXattr { inode: file, name: acl::ACCESS.to_vec() };
    assert_eq!(volume.query(At::Version(then), &query), Ok(NamespaceAnswer::Bytes(shared())));
    volume.restore(ROOT, "f", then).unwrap();
    let restored = volume.look_up(At::Head, ROOT, "f").unwrap();
    assert_eq!(get(&volume, restored.inode, acl::ACCESS), Some(shared()));
}
