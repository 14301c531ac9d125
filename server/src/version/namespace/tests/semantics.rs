//! What POSIX and the design promise, one promise per test.

use super::*;
use weft_common::id::{BlobVersion, ROOT_INODE as ROOT};
use weft_common::wire::{ChangeKind, FileKind, XattrMode};

fn at(n: VolumeVersion) -> At {
    At::Version(n)
}

fn states(volume: &Volume, parent: InodeNumber, text: &str) -> Vec<(u64, u64, Option<u64>)> {
    let states = volume.history_of(parent, &name(text), 2);
    states.into_iter().map(|state| (state.from.0, state.attributes.size, state.removed.map(|n| n.0))).collect()
}

#[test]
fn every_version_shows_what_was_then() {
    let mut volume = Volume::new();
    let shots = volume.directory(ROOT, "shots"); // N1
    let frame = volume.file(shots, "f.exr"); // N2
    volume.write(frame, 100); // N3
    volume.write(frame, 200); // N4
    volume.unlink(shots, "f.exr").unwrap(); // N5
    assert_eq!(volume.latest(), VolumeVersion(5));
    let size = |n| volume.look_up(at(VolumeVersion(n)), shots, "f.exr").map(|attributes| attributes.size);
    assert_eq!((size(2), size(3), size(4)), (Ok(0), Ok(100), Ok(200)));
    assert_eq!((size(1), size(5)), (Err(ErrorKind::NotFound), Err(ErrorKind::NotFound)));
    assert_eq!(volume.look_up(at(VolumeVersion(0)), ROOT, "shots"), Err(ErrorKind::NotFound));
    assert_eq!(volume.list(at(VolumeVersion(4)), shots, 10).len(), 1);
    assert_eq!(volume.list(at(VolumeVersion(5)), shots, 10).len(), 0);
    assert_eq!(volume.list(At::Head, shots, 10).len(), 0);
}

#[test]
fn a_file_without_a_name_goes_on_without_versions() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "a");
    volume.write(file, 5);
    let removed = volume.unlink(ROOT, "a").unwrap();
    assert_eq!(removed.attributes.unwrap().links, 0);
    let n = volume.latest();
    assert_eq!(volume.write(file, 7), None);
    volume.chmod(file, 0o600).unwrap();
    let set = Change::SetXattr { inode: file, name: b"user.a".to_vec(), value: vec![1], mode: XattrMode::Any };
    volume.change(&set).unwrap();
    assert_eq!(volume.latest(), n);
    assert_eq!((volume.head(file).size, volume.head(file).mode), (7, 0o600));
    assert_eq!(volume.attributes(at(n), &Query::Attributes(file)), Err(ErrorKind::NotFound));
    assert_eq!(volume.attributes(at(VolumeVersion(2)), &Query::Attributes(file)).unwrap().size, 5);
    assert_eq!(volume.statistics().live_bytes, 0);

    assert_eq!(orphans(&volume.kv, VOLUME, InodeNumber(0), 10).unwrap(), vec![(file, 0)]);
    release_orphan(&mut volume.kv, VOLUME, file).unwrap();
    assert_eq!(orphans(&volume.kv, VOLUME, InodeNumber(0), 10).unwrap(), vec![]);
    assert_eq!(volume.attributes(At::Head, &Query::Attributes(file)), Err(ErrorKind::Stale));
    assert_eq!(volume.attributes(at(VolumeVersion(2)), &Query::Attributes(file)).unwrap().size, 5);
    assert_eq!(
        volume.run(|txn| publish_content(
            txn,
            file,
            &Tree::empty(weft_common::id::BlobId { volume: VOLUME, number: 1 }, settings().geometry),
            Timestamp(0),
            1
        )),
        Ok(None)
    );
}

#[test]
fn the_history_of_a_name_has_a_state_per_content() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f"); // N1
    volume.write(file, 10); // N2
    volume.chmod(file, 0o600).unwrap(); // N3: no state
    volume.write(file, 20); // N4
    let other = volume.file(ROOT, "tmp"); // N5
    volume.write(other, 30); // N6
    volume.rename((ROOT, "tmp"), (ROOT, "f")).unwrap(); // N7: replaced, not removed
    volume.unlink(ROOT, "f").unwrap(); // N8
    volume.file(ROOT, "f"); // N9
    let expected = vec![(1, 0, None), (2, 10, None), (4, 20, None), (7, 30, Some(8)), (9, 0, None)];
    assert_eq!(states(&volume, ROOT, "f"), expected);
    assert_eq!(states(&volume, ROOT, "tmp"), vec![(5, 0, None), (6, 30, Some(7))]);
    assert_eq!(states(&volume, ROOT, "none"), vec![]);
}

#[test]
fn a_compaction_is_no_version_and_no_state() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f");
    volume.write(file, 10);
    volume.chmod(file, 0o600).unwrap();
    let mut tree = volume.head(file).tree.unwrap();
    tree.version = BlobVersion(9);
    volume.run(|txn| replace_tree(txn, file, &tree, 5)).unwrap();
    assert_eq!(volume.latest(), VolumeVersion(3));
    assert_eq!(volume.head(file).tree, Some(tree));
    assert_eq!(states(&volume, ROOT, "f").len(), 2);
    assert_eq!(volume.statistics().stored_bytes, 15);
    assert_eq!(volume.restore(ROOT, "f", VolumeVersion(3)).unwrap().version, VolumeVersion(3));
}

#[test]
fn restoring_a_file_clones_its_old_content_in_place() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f"); // N1
    volume.write(file, 10); // N2
    let old = volume.head(file);
    volume.write(file, 20); // N3
    let stale = volume.head(file).tree.unwrap();
    let reply = volume.restore(ROOT, "f", VolumeVersion(2)).unwrap(); // N4
    let new = reply.attributes.unwrap();
    assert_eq!((reply.version, new.inode, new.size, new.modified), (VolumeVersion(4), file, 10, old.modified));
    let (new_tree, old_tree) = (new.tree.unwrap(), old.tree.unwrap());
    assert_eq!((new_tree.version, new_tree.root), (BlobVersion(0), old_tree.root));
    assert_ne!(new_tree.blob, old_tree.blob);
    assert_eq!(volume.publish(file, &stale), Ok(None), "an update of the blob of before is overwritten by the restore");
    assert_eq!(volume.head(file).tree, new.tree);
    assert_eq!(volume.restore(ROOT, "f", VolumeVersion(4)).unwrap().version, VolumeVersion(4), "nothing to do, no version");
}

#[test]
fn restoring_brings_back_what_was_removed() {
    let mut volume = Volume::new();
    let directory = volume.directory(ROOT, "d"); // N1
    let file = volume.file(directory, "f"); // N2
    volume.write(file, 10); // N3
    let set = Change::SetXattr { inode: file, name: b"user.a".to_vec(), value: vec![1], mode: XattrMode::Any };
    volume.change(&set).unwrap(); // N4
    volume.unlink(directory, "f").unwrap(); // N5
    volume.change(&Change::RemoveDirectory { parent: ROOT, name: name("d") }).unwrap(); // N6
    release_orphan(&mut volume.kv, VOLUME, file).unwrap();
    let then = VolumeVersion(4);
    assert_eq!(volume.restore(directory, "f", then), Err(ErrorKind::NotFound), "its directory is gone");
    assert_eq!(volume.restore(ROOT, "d", then).unwrap().attributes.unwrap().inode, directory);
    let back = volume.restore(directory, "f", then).unwrap().attributes.unwrap();
    assert_eq!((back.inode, back.size, back.links), (file, 10, 1));
    let xattr = Query::GetXattr { inode: file, name: b"user.a".to_vec() };
    assert_eq!(volume.query(At::Head, &xattr), Ok(NamespaceAnswer::Bytes(vec![1])));
    assert_eq!(volume.list(at(VolumeVersion(6)), ROOT, 10).len(), 0);
    assert_eq!(states(&volume, directory, "f"), vec![(2, 0, None), (3, 10, Some(5)), (8, 10, None)]);
    assert!(orphans(&volume.kv, VOLUME, InodeNumber(0), 10).unwrap().is_empty());
}

#[test]
fn restoring_a_renamed_file_makes_a_new_one_and_restoring_absence_removes() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "a"); // N1
    volume.write(file, 10); // N2
    volume.rename((ROOT, "a"), (ROOT, "b")).unwrap(); // N3
    let copy = volume.restore(ROOT, "a", VolumeVersion(2)).unwrap().attributes.unwrap();
    assert_ne!(copy.inode, file);
    assert_eq!((copy.size, volume.statistics().live_bytes), (10, 20));
    let gone = volume.restore(ROOT, "b", VolumeVersion(2)).unwrap();
    assert_eq!((gone.version, gone.attributes), (VolumeVersion(5), None));
    assert_eq!(volume.look_up(At::Head, ROOT, "b"), Err(ErrorKind::NotFound));
}

#[test]
fn a_setgid_directory_gives_its_group() {
    let mut volume = Volume::new();
    let set = AttributeChange { mode: Some(0o2775), gid: Some(55), ..Default::default() };
    volume.change(&Change::SetAttributes { inode: ROOT, set }).unwrap();
    let (file, directory) = (volume.file(ROOT, "f"), volume.directory(ROOT, "d"));
    assert_eq!((volume.head(file).gid, volume.head(file).mode), (55, 0o644));
    assert_eq!((volume.head(directory).gid, volume.head(directory).mode), (55, 0o2644));
}

#[test]
fn links_and_times_follow_posix() {
    let mut volume = Volume::new();
    let (a, b) = (volume.directory(ROOT, "a"), volume.directory(ROOT, "b"));
    let file = volume.file(a, "f");
    assert_eq!((volume.head(ROOT).links, volume.head(a).links, volume.head(ROOT).size), (4, 2, 2));
    let made = volume.head(file);
    volume.change(&Change::Link { inode: file, parent: b, name: name("g") }).unwrap();
    let linked = volume.head(file);
    assert_eq!((linked.links, linked.changed, linked.modified), (2, volume.now, made.modified));
    assert_eq!((volume.head(b).modified, volume.head(b).changed), (volume.now, volume.now));
    let quiet = volume.latest();
    assert_eq!(volume.rename((a, "f"), (b, "g")).unwrap().version, quiet, "two names of one file: nothing happens");
    volume.rename((ROOT, "b"), (a, "b")).unwrap();
    assert_eq!((volume.head(ROOT).links, volume.head(a).links), (3, 3));
    assert_eq!(volume.attributes(At::Head, &Query::Parent(b)).unwrap().inode, a);
    assert_eq!(volume.attributes(at(quiet), &Query::Parent(b)).unwrap().inode, ROOT);
    volume.unlink(a, "f").unwrap();
    let path = vec![name("a"), name("b"), name("g")];
    assert_eq!(volume.query(At::Head, &Query::PathOf(file)), Ok(NamespaceAnswer::Path(path)));
    volume.write(file, 3);
    assert_eq!(volume.versions_of(b, 1).last().unwrap().kind, ChangeKind::Write);
}

#[test]
fn creating_without_exclusion_answers_the_file_that_is_there() {
    let mut volume = Volume::new();
    let file = volume.file(ROOT, "f");
    let open = |text: &str| Change::Create {
        parent: ROOT,
        name: name(text),
        inode: NewInode::File,
        mode: 0o600,
        uid: 9,
        gid: 9,
        exclusive: false,
        umask: 0,
    };
    let reply = volume.change(&open("f")).unwrap();
    assert_eq!((reply.version, reply.attributes), (VolumeVersion(1), Some(volume.head(file))));
    volume.directory(ROOT, "d");
    volume.make(ROOT, "s", NewInode::Symlink(b"f".to_vec())).unwrap();
    assert_eq!(volume.change(&open("d")), Err(ErrorKind::IsDirectory));
    assert_eq!(volume.change(&open("s")), Err(ErrorKind::AlreadyExists));
}

#[test]
fn devices_keep_their_number_and_pipes_have_none() {
    let mut volume = Volume::new();
    let device = volume.make(ROOT, "null", NewInode::Special(FileKind::CharacterDevice, 259)).unwrap();
    let pipe = volume.make(ROOT, "pipe", NewInode::Special(FileKind::Fifo, 259)).unwrap();
    assert_eq!((volume.head(device).rdev, volume.head(device).kind), (259, FileKind::CharacterDevice));
    assert_eq!((volume.head(pipe).rdev, volume.head(pipe).kind), (0, FileKind::Fifo));
}

#[test]
fn times_find_versions() {
    let mut volume = Volume::new();
    let before = volume.now;
    let times: Vec<_> = (0..9)
        .map(|i| {
            volume.file(ROOT, &format!("f{i}"));
            volume.now
        })
        .collect();
    let at = |time: Timestamp| volume.version(&Query::VersionAt { directory: ROOT, time });
    assert_eq!(at(Timestamp(before.0 - 1)), Err(ErrorKind::NotFound));
    assert_eq!(at(before), Ok(VolumeVersion(0)));
    for (index, time) in times.iter().enumerate() {
        let n = index as u64 + 1;
        assert_eq!((at(*time), at(Timestamp(time.0 - 1))), (Ok(VolumeVersion(n)), Ok(VolumeVersion(n - 1))));
    }
}

#[test]
fn a_clock_that_goes_back_does_not_reorder_versions() {
    let mut volume = Volume::new();
    volume.file(ROOT, "a");
    let time = volume.now;
    volume.now = Timestamp(0);
    let b = volume.file(ROOT, "b");
    assert_eq!(volume.head(b).born, time);
    assert_eq!(volume.version(&Query::VersionAt { directory: ROOT, time }), Ok(VolumeVersion(2)));
}

#[test]
fn a_removed_volume_leaves_no_row_and_touches_no_other() {
    let mut volume = Volume::new();
    let info =
        VolumeInfo { id: VolumeId(8), name: "other".into(), settings: settings(), latest: VolumeVersion(0), created: volume.now };
    create_volume(&mut volume.kv, &info, (0, 0), volume.now).unwrap();
    let file = volume.file(ROOT, "f");
    volume.write(file, 1);
    volume.unlink(ROOT, "f").unwrap();
    remove_volume(&mut volume.kv, VOLUME).unwrap();
    let mut rows = 0;
    volume
        .kv
        .scan(&[], &[0x80], Order::Ascending, &mut |key, _| {
            assert_eq!(key[1..5], 8u32.to_be_bytes());
            rows += 1;
            true
        })
        .unwrap();
    assert_eq!(rows, 2);
}
