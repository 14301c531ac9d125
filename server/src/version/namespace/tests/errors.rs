//! Every refusal, and that it leaves the volume as it was ([`Volume::run`] checks that nothing was written).

use super::*;
use weft_common::id::ROOT_INODE as ROOT;
use weft_common::limits::{LINKS_MAX, SYMLINK_BYTES_MAX, TAGS_MAX, XATTRS_BYTES_MAX};
use weft_common::wire::{FileKind, XattrMode};

/// `/d/e/`, `/f`, `/empty/`, and a removed directory.
struct Fixture {
    volume: Volume,
    d: InodeNumber,
    e: InodeNumber,
    f: InodeNumber,
    gone: InodeNumber,
}

const UNKNOWN: InodeNumber = InodeNumber(999);

fn fixture() -> Fixture {
    let mut volume = Volume::new();
    let d = volume.directory(ROOT, "d");
    let e = volume.directory(d, "e");
    let f = volume.file(ROOT, "f");
    volume.directory(ROOT, "empty");
    let gone = volume.directory(ROOT, "gone");
    volume.change(&Change::RemoveDirectory { parent: ROOT, name: name("gone") }).unwrap();
    Fixture { volume, d, e, f, gone }
}

#[test]
fn creating() {
    let Fixture { mut volume, f, gone, .. } = fixture();
    assert_eq!(volume.make(ROOT, "f", NewInode::File), Err(ErrorKind::AlreadyExists));
    assert_eq!(volume.make(ROOT, "d", NewInode::Directory), Err(ErrorKind::AlreadyExists));
    assert_eq!(volume.make(f, "x", NewInode::File), Err(ErrorKind::NotDirectory));
    assert_eq!(volume.make(UNKNOWN, "x", NewInode::File), Err(ErrorKind::NotFound));
    assert_eq!(volume.make(gone, "x", NewInode::File), Err(ErrorKind::NotFound));
    assert_eq!(volume.make(ROOT, ".versions", NewInode::Directory), Err(ErrorKind::NotPermitted));
    assert_eq!(volume.make(ROOT, ".history", NewInode::File), Err(ErrorKind::NotPermitted));
    let long = NewInode::Symlink(vec![b'x'; SYMLINK_BYTES_MAX + 1]);
    assert_eq!(volume.make(ROOT, "x", long), Err(ErrorKind::NameTooLong));
    assert_eq!(volume.make(ROOT, "x", NewInode::Symlink(vec![])), Err(ErrorKind::InvalidArgument));
    assert_eq!(volume.make(ROOT, "x", NewInode::Special(FileKind::File, 0)), Err(ErrorKind::InvalidArgument));
    assert!(volume.make(ROOT, "x", NewInode::Symlink(vec![b'x'; SYMLINK_BYTES_MAX])).is_ok());
}

#[test]
fn linking() {
    let Fixture { mut volume, d, f, .. } = fixture();
    let mut link = |inode, parent, text: &str| {
        let kind = volume.change(&Change::Link { inode, parent, name: name(text) });
        kind.map(|reply| reply.version)
    };
    assert_eq!(link(d, ROOT, "x"), Err(ErrorKind::NotPermitted));
    assert_eq!(link(f, ROOT, "d"), Err(ErrorKind::AlreadyExists));
    assert_eq!(link(f, f, "x"), Err(ErrorKind::NotDirectory));
    assert_eq!(link(UNKNOWN, ROOT, "x"), Err(ErrorKind::NotFound));
    assert_eq!(link(f, d, ".history"), Err(ErrorKind::NotPermitted));
    volume.unlink(ROOT, "f").unwrap();
    let again = Change::Link { inode: f, parent: ROOT, name: name("f") };
    assert_eq!(volume.change(&again), Err(ErrorKind::NotFound));
}

#[test]
fn linking_too_often() {
    let Fixture { mut volume, f, .. } = fixture();
    let key = keys::of_inode(f);
    let mut head = view::INODES.head(&volume.kv, VOLUME, &key).unwrap().unwrap();
    head.value.links = LINKS_MAX;
    view::INODES.replace(&mut volume.kv, VOLUME, &key, head.from, &head.value).unwrap();
    let link = Change::Link { inode: f, parent: ROOT, name: name("x") };
    assert_eq!(volume.change(&link), Err(ErrorKind::TooManyLinks));
}

#[test]
fn removing() {
    let Fixture { mut volume, d, f, gone, .. } = fixture();
    let mut remove = |parent, text: &str| volume.change(&Change::RemoveDirectory { parent, name: name(text) });
    assert_eq!(remove(ROOT, "d"), Err(ErrorKind::NotEmpty));
    assert_eq!(remove(ROOT, "f"), Err(ErrorKind::NotDirectory));
    assert_eq!(remove(ROOT, "x"), Err(ErrorKind::NotFound));
    assert_eq!(remove(f, "x"), Err(ErrorKind::NotDirectory));
    assert_eq!(volume.unlink(ROOT, "d"), Err(ErrorKind::IsDirectory));
    assert_eq!(volume.unlink(ROOT, ".versions"), Err(ErrorKind::NotFound));
    assert_eq!(volume.unlink(d, "x"), Err(ErrorKind::NotFound));
    assert_eq!(volume.unlink(gone, "x"), Err(ErrorKind::NotFound));
}

#[test]
fn renaming() {
    let Fixture { mut volume, d, e, .. } = fixture();
    assert_eq!(volume.rename((ROOT, "d"), (e, "x")), Err(ErrorKind::InvalidArgument));
    assert_eq!(volume.rename((ROOT, "d"), (d, "x")), Err(ErrorKind::InvalidArgument));
    assert_eq!(volume.rename((ROOT, "x"), (d, "x")), Err(ErrorKind::NotFound));
    assert_eq!(volume.rename((ROOT, "f"), (d, ".versions")), Err(ErrorKind::NotPermitted));
    assert_eq!(volume.rename((ROOT, "f"), (ROOT, "d")), Err(ErrorKind::IsDirectory));
    assert_eq!(volume.rename((ROOT, "d"), (ROOT, "f")), Err(ErrorKind::NotDirectory));
    assert_eq!(volume.rename((ROOT, "empty"), (ROOT, "d")), Err(ErrorKind::NotEmpty));
    let mut special = |from, to, no_replace, exchange| volume.change(&rename(from, to, no_replace, exchange));
    assert_eq!(special((ROOT, "f"), (ROOT, "d"), true, false), Err(ErrorKind::AlreadyExists));
    assert_eq!(special((ROOT, "f"), (ROOT, "d"), true, true), Err(ErrorKind::InvalidArgument));
    assert_eq!(special((ROOT, "f"), (ROOT, "x"), false, true), Err(ErrorKind::NotFound));
    assert_eq!(special((ROOT, "d"), (d, "e"), false, true), Err(ErrorKind::InvalidArgument));
    assert_eq!(special((d, "e"), (ROOT, "d"), false, true), Err(ErrorKind::InvalidArgument));
    assert!(volume.rename((ROOT, "d"), (ROOT, "empty")).is_ok());
}

#[test]
fn extended_attributes() {
    let Fixture { mut volume, f, .. } = fixture();
    let mut set = |name: &[u8], bytes: usize, mode| {
        let change = Change::SetXattr { inode: f, name: name.to_vec(), value: vec![0; bytes], mode };
        volume.change(&change).map(|reply| reply.version.0)
    };
    assert_eq!(set(b"user.a", 1, XattrMode::Replace), Err(ErrorKind::NoAttribute));
    assert!(set(b"user.a", 1, XattrMode::Create).is_ok());
    assert_eq!(set(b"user.a", 1, XattrMode::Create), Err(ErrorKind::AlreadyExists));
    assert_eq!(set(b"", 1, XattrMode::Any), Err(ErrorKind::InvalidArgument));
    assert_eq!(set(b"user.\0", 1, XattrMode::Any), Err(ErrorKind::InvalidArgument));
    assert_eq!(set(&[b'x'; 256], 1, XattrMode::Any), Err(ErrorKind::InvalidArgument));
    let room = XATTRS_BYTES_MAX - 6 - 1 - 6;
    assert_eq!(set(b"user.b", room + 1, XattrMode::Any), Err(ErrorKind::AttributeTooLarge));
    assert!(set(b"user.b", room, XattrMode::Any).is_ok());
    assert!(set(b"user.b", room, XattrMode::Replace).is_ok());
    assert_eq!(set(b"user.c", 0, XattrMode::Any), Err(ErrorKind::AttributeTooLarge));
    let remove = |name: &[u8]| Change::RemoveXattr { inode: f, name: name.to_vec() };
    assert_eq!(volume.change(&remove(b"user.c")), Err(ErrorKind::NoAttribute));
    volume.change(&remove(b"user.b")).unwrap();
    let get = Query::GetXattr { inode: f, name: b"user.b".to_vec() };
    assert_eq!(volume.query(At::Head, &get), Err(ErrorKind::NoAttribute));
}

#[test]
fn attributes_of_nothing() {
    let Fixture { mut volume, d, .. } = fixture();
    assert_eq!(volume.chmod(UNKNOWN, 0o600), Err(ErrorKind::NotFound));
    let change = Change::SetAttributes { inode: UNKNOWN, set: AttributeChange::default() };
    assert_eq!(volume.change(&change), Err(ErrorKind::NotFound));
    let tree = Tree::empty(weft_common::id::BlobId { volume: VOLUME, number: 1 }, settings().geometry);
    assert_eq!(volume.publish(d, &tree), Err(ErrorKind::InvalidArgument));
}

#[test]
fn restoring() {
    let Fixture { mut volume, d, f, .. } = fixture();
    let (now, past) = (volume.latest(), VolumeVersion(1));
    assert_eq!(volume.restore(ROOT, "f", VolumeVersion(now.0 + 1)), Err(ErrorKind::NotFound));
    assert_eq!(volume.restore(ROOT, "d", VolumeVersion(0)), Err(ErrorKind::NotEmpty));
    assert_eq!(volume.restore(f, "x", past), Err(ErrorKind::NotFound), "the source was not there yet");
    assert_eq!(volume.restore(f, "x", now), Err(ErrorKind::NotDirectory));
    let elsewhere = Change::Restore { parent: f, name: name("e"), source: d, to: now };
    assert_eq!(volume.change(&elsewhere), Err(ErrorKind::NotDirectory));
    volume.unlink(ROOT, "f").unwrap();
    volume.rename((ROOT, "d"), (ROOT, "f")).unwrap();
    assert_eq!(volume.restore(ROOT, "f", now), Err(ErrorKind::NotEmpty), "a directory with entries is in the way");
}

#[test]
fn tagging() {
    let Fixture { mut volume, .. } = fixture();
    let mut set = |name: &str, n| {
        volume.change(&Change::SetTag { name: name.into(), version: VolumeVersion(n) }).map(|reply| reply.version.0)
    };
    assert_eq!(set("final", 2), Ok(6));
    assert_eq!(set("final", 2), Ok(6), "a repetition is harmless");
    assert_eq!(set("final", 3), Err(ErrorKind::AlreadyExists));
    assert_eq!(set("later", 7), Err(ErrorKind::NotFound));
    for bad in ["", "42", ".x", "-x", "a/b", "a b", "@noon", &"x".repeat(65)] {
        assert_eq!(set(bad, 1), Err(ErrorKind::InvalidArgument), "{bad}");
    }
    assert_eq!(volume.version(&Query::VersionTagged("final".into())), Ok(VolumeVersion(2)));
    assert_eq!(volume.version(&Query::VersionTagged("none".into())), Err(ErrorKind::NotFound));
    assert_eq!(volume.change(&Change::RemoveTag("none".into())), Err(ErrorKind::NotFound));
    volume.change(&Change::RemoveTag("final".into())).unwrap();
    assert_eq!(volume.query(At::Head, &Query::Tags), Ok(NamespaceAnswer::Tags(vec![])));
    for index in 0..TAGS_MAX {
        volume.change(&Change::SetTag { name: format!("t{index}"), version: VolumeVersion(1) }).unwrap();
    }
    let more = Change::SetTag { name: "more".into(), version: VolumeVersion(1) };
    assert_eq!(volume.change(&more), Err(ErrorKind::QuotaExceeded));
}

#[test]
fn asking() {
    let Fixture { volume, f, d, gone, .. } = fixture();
    let look_up = |parent| volume.look_up(At::Head, parent, "x");
    assert_eq!((look_up(f), look_up(d)), (Err(ErrorKind::NotDirectory), Err(ErrorKind::NotFound)));
    let ask = |query: Query| volume.query(At::Head, &query);
    let list = |directory| ask(Query::ReadDirectory { directory, after: None, limit: 1 });
    assert_eq!(list(f), Err(ErrorKind::NotDirectory));
    assert_eq!(list(gone), Err(ErrorKind::NotFound));
    assert_eq!(ask(Query::ReadLink(f)), Err(ErrorKind::InvalidArgument));
    assert_eq!(ask(Query::Parent(f)), Err(ErrorKind::NotDirectory));
    assert_eq!(ask(Query::PathOf(gone)), Err(ErrorKind::NotFound));
    assert_eq!(ask(Query::GetXattr { inode: f, name: b"user.a".to_vec() }), Err(ErrorKind::NoAttribute));
    let future = At::Version(VolumeVersion(99));
    assert_eq!(volume.query(future, &Query::Attributes(ROOT)), Err(ErrorKind::NotFound));
    let error = query(&volume.kv, VolumeId(8), At::Head, &Query::Latest).unwrap_err();
    assert!(error.to_string().contains("there is no vol8"), "{error}");
}
