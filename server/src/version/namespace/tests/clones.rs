//! Clones, and contents that are shared: what random histories do not show.

use super::*;
use weft_common::id::{BlobVersion, ROOT_INODE as ROOT};
use weft_common::limits::CLONE_BYTES_MAX;
use weft_common::wire::FileKind;

fn clone(volume: &mut Volume, source: InodeNumber, at: At, to: (InodeNumber, &str)) -> Result<Attributes, ErrorKind> {
    let reply = volume.change(&Change::Clone { source, at, parent: to.0, name: name(to.1) })?;
    assert_eq!(reply.version, volume.latest());
    Ok(reply.attributes.unwrap())
}

#[test]
fn a_copy_has_everything_but_the_name_and_the_time_of_change() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f");
    volume.write(file, 100);
    volume.chmod(file, 0o4711).unwrap();
    let value = b"blue".to_vec();
    let set = Change::SetXattr {
        inode: file,
        name: b"user.colour".to_vec(),
        value: value.clone(),
        mode: weft_common::wire::XattrMode::Any,
    };
    volume.change(&set).unwrap();
    let old = volume.head(file);
    let new = clone(&mut volume, file, At::Head, (ROOT, "g")).unwrap();
    let (tree, shared) = (new.tree.unwrap(), old.tree.unwrap());
    assert_eq!((tree.version, tree.root, tree.size), (BlobVersion(0), shared.root, 100));
    assert_ne!((new.inode, tree.blob), (old.inode, shared.blob));
    let (changed, version) = (volume.now, volume.latest());
    assert_eq!(new, Attributes { inode: new.inode, changed, born: changed, version, tree: new.tree, ..old });
    let get = Query::GetXattr { inode: new.inode, name: b"user.colour".to_vec() };
    assert_eq!(volume.query(At::Head, &get), Ok(NamespaceAnswer::Bytes(value)));
}

#[test]
fn a_tree_is_one_version_and_each_of_its_names_a_file() {
    let mut volume = Volume::new();
    let top = volume.directory(ROOT, "top");
    let inner = volume.directory(top, "inner");
    let file = volume.file(inner, "f");
    volume.write(file, 7);
    volume.change(&Change::Link { inode: file, parent: top, name: name("also") }).unwrap();
    volume.make(top, "to", NewInode::Symlink(b"inner/f".to_vec())).unwrap();
    let before = (volume.latest(), volume.statistics());
    let copy = clone(&mut volume, top, At::Head, (ROOT, "copy")).unwrap();
    assert_eq!(volume.latest().0, before.0.0 + 1);
    let after = volume.statistics();
    assert_eq!((after.live_bytes, after.live_inodes), (before.1.live_bytes + 14, before.1.live_inodes + 5));
    let names: Vec<_> = volume.list(At::Head, copy.inode, 10).into_iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!((names, copy.links), (vec!["also".into(), "inner".into(), "to".into()], 3));
    let also = volume.look_up(At::Head, copy.inode, "also").unwrap();
    let inner = volume.look_up(At::Head, copy.inode, "inner").unwrap();
    let file = volume.look_up(At::Head, inner.inode, "f").unwrap();
    assert_eq!((also.links, file.links, also.size), (1, 1, 7));
    assert_ne!(also.inode, file.inode);
    for directory in [ROOT, copy.inode, inner.inode] {
        let changes = volume.versions_of(directory, 100);
        let last = changes.last().unwrap();
        assert_eq!((last.version, last.inode), (volume.latest(), copy.inode), "{directory}");
        assert_eq!(last.old_place, Some((ROOT, name("top"))));
    }
    // Before it there was nothing of it, and it can be taken back.
    assert_eq!(volume.look_up(At::Version(before.0), ROOT, "copy"), Err(ErrorKind::NotFound));
    assert_eq!(volume.attributes(At::Version(before.0), &Query::Attributes(file.inode)), Err(ErrorKind::NotFound));
}

#[test]
fn the_past_can_be_cloned_to_anywhere_and_the_present_not_into_itself() {
    let mut volume = Volume::new();
    let top = volume.directory(ROOT, "top");
    let inner = volume.directory(top, "inner");
    volume.file(inner, "f");
    let then = volume.latest();
    volume.unlink(inner, "f").unwrap();
    for place in [(top, "x"), (inner, "x")] {
        assert_eq!(clone(&mut volume, top, At::Head, place), Err(ErrorKind::InvalidArgument));
    }
    assert_eq!(clone(&mut volume, ROOT, At::Head, (top, "x")), Err(ErrorKind::InvalidArgument));
    let old = clone(&mut volume, ROOT, At::Version(then), (inner, "old")).unwrap();
    let top_then = volume.look_up(At::Head, old.inode, "top").unwrap();
    let inner_then = volume.look_up(At::Head, top_then.inode, "inner").unwrap();
    assert_eq!(volume.list(At::Head, inner_then.inode, 9).len(), 1, "the file of then, and not the clone itself");
    // Of a clone of a clone, at each of its versions.
    let again = clone(&mut volume, old.inode, At::Head, (ROOT, "again")).unwrap();
    let now = At::Version(volume.latest());
    let third = clone(&mut volume, again.inode, now, (again.inode, "third")).unwrap();
    assert_eq!(volume.list(At::Head, third.inode, 9).len(), 1);
}

#[test]
fn what_cannot_be_cloned_is_refused() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f");
    let directory = volume.directory(ROOT, "d");
    let gone = volume.file(ROOT, "gone");
    volume.unlink(ROOT, "gone").unwrap();
    let latest = volume.latest();
    let mut refused = |source, at, place| clone(&mut volume, source, at, place).unwrap_err();
    assert_eq!(refused(file, At::Head, (ROOT, "d")), ErrorKind::AlreadyExists);
    assert_eq!(refused(directory, At::Head, (ROOT, "f")), ErrorKind::AlreadyExists);
    assert_eq!(refused(file, At::Head, (ROOT, ".versions")), ErrorKind::NotPermitted);
    assert_eq!(refused(file, At::Head, (file, "x")), ErrorKind::NotDirectory);
    assert_eq!(refused(file, At::Head, (InodeNumber(99), "x")), ErrorKind::NotFound);
    assert_eq!(refused(gone, At::Head, (ROOT, "x")), ErrorKind::NotFound);
    assert_eq!(refused(InodeNumber(99), At::Head, (ROOT, "x")), ErrorKind::NotFound);
    assert_eq!(refused(gone, At::Version(latest), (ROOT, "x")), ErrorKind::NotFound);
    assert_eq!(refused(file, At::Version(VolumeVersion(99)), (ROOT, "x")), ErrorKind::NotFound);
    assert_eq!(volume.latest(), latest);
}

#[test]
fn a_tree_with_more_bytes_than_a_clone_may_have_is_refused_whole() {
    let mut volume = Volume::new();
    let top = volume.directory(ROOT, "top");
    let target = NewInode::Symlink(vec![b'x'; 4000]);
    for index in 0..CLONE_BYTES_MAX / 4000 {
        volume.make(top, &index.to_string(), target.clone()).unwrap();
    }
    assert_eq!(clone(&mut volume, top, At::Head, (ROOT, "copy")), Err(ErrorKind::Unsupported));
}

fn share(volume: &mut Volume, (source, at): (InodeNumber, At), inode: InodeNumber) -> Result<ChangeReply, ErrorKind> {
    let content = |attributes: Attributes| attributes.tree.map(|tree| (tree.blob, tree.version)).unwrap();
    let from = content(volume.attributes(at, &Query::Attributes(source)).unwrap());
    let replaces = content(volume.head(inode));
    volume.change(&Change::ShareContent { source, at, content: from, inode, replaces, modified: Timestamp(5) })
}

#[test]
fn a_file_gets_the_content_of_another_and_of_its_own_past() {
    let mut volume = Volume::new();
    let (from, to) = (volume.file(ROOT, "from"), volume.file(ROOT, "to"));
    volume.write(from, 100);
    let then = volume.latest();
    volume.write(from, 200);
    volume.chmod(to, 0o600).unwrap();
    let reply = share(&mut volume, (from, At::Version(then)), to).unwrap();
    let shared = reply.attributes.unwrap();
    assert_eq!((shared.size, shared.mode, shared.modified), (100, 0o600, Timestamp(5)));
    assert_eq!(volume.head(from).size, 200);
    assert_eq!(volume.versions_of(ROOT, 99).last().unwrap().kind, weft_common::wire::ChangeKind::Write);
    share(&mut volume, (from, At::Version(then)), from).unwrap();
    assert_eq!(volume.head(from).size, 100);
    assert_eq!(share(&mut volume, (to, At::Head), to), Err(ErrorKind::InvalidArgument));
}

#[test]
fn a_file_without_a_name_takes_and_gives_content_without_a_version() {
    let mut volume = Volume::new();
    let (from, to) = (volume.file(ROOT, "from"), volume.file(ROOT, "to"));
    volume.write(from, 100);
    volume.unlink(ROOT, "from").unwrap();
    share(&mut volume, (from, At::Head), to).unwrap();
    let third = volume.file(ROOT, "third");
    volume.unlink(ROOT, "third").unwrap();
    let latest = volume.latest();
    share(&mut volume, (to, At::Head), third).unwrap();
    assert_eq!((volume.head(third).size, volume.head(third).kind, volume.latest()), (100, FileKind::File, latest));
}

#[test]
fn what_changed_meanwhile_is_not_shared() {
    let mut volume = Volume::new();
    let (from, to, directory) = (volume.file(ROOT, "from"), volume.file(ROOT, "to"), volume.directory(ROOT, "d"));
    let content = |volume: &Volume, inode| volume.head(inode).tree.map(|tree| (tree.blob, tree.version)).unwrap();
    let (old, empty) = (content(&volume, from), content(&volume, to));
    volume.write(from, 100);
    let mut share = |source, content, inode, replaces| {
        let change = Change::ShareContent { source, at: At::Head, content, inode, replaces, modified: Timestamp(0) };
        volume.change(&change).map(|reply| reply.version).unwrap_err()
    };
    assert_eq!(share(from, old, to, empty), ErrorKind::Conflict);
    assert_eq!(share(to, empty, from, old), ErrorKind::Conflict);
    assert_eq!(share(directory, old, to, empty), ErrorKind::InvalidArgument);
    assert_eq!(share(from, old, InodeNumber(99), empty), ErrorKind::Conflict);
}
