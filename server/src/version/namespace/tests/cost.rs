//! History is free at run time: what a live operation reads and writes does not grow with the versions that are kept, and
//! neither does a look-up at any of them.

use super::*;
use weft_common::id::ROOT_INODE as ROOT;
use weft_common::wire::XattrMode;

/// A volume in which everything that the measured operations touch has changed `versions` times.
fn aged(versions: u64) -> Volume {
    let mut volume = Volume::new();
    let d = volume.directory(ROOT, "d");
    let f = volume.file(d, "f");
    volume.file(d, "g");
    volume.change(&Change::Link { inode: f, parent: ROOT, name: name("link") }).unwrap();
    while volume.latest().0 < versions {
        volume.write(f, 10);
        volume.chmod(d, 0o700).unwrap();
        volume.rename((d, "f"), (d, "h")).unwrap();
        volume.rename((d, "h"), (d, "f")).unwrap();
        volume.file(d, "tmp");
        volume.unlink(d, "tmp").unwrap();
        let set = Change::SetXattr { inode: f, name: b"user.a".to_vec(), value: vec![1], mode: XattrMode::Any };
        volume.change(&set).unwrap();
    }
    volume
}

/// (what, reads, writes) of one operation of each kind.
fn costs(volume: &mut Volume) -> Vec<(&'static str, u64, u64)> {
    let d = volume.look_up(At::Head, ROOT, "d").unwrap().inode;
    let f = volume.look_up(At::Head, d, "f").unwrap().inode;
    let mut found = Vec::new();
    let mut measure = |what, volume: &mut Volume, operation: &mut dyn FnMut(&mut Volume)| {
        let before = (volume.kv.reads.get(), volume.kv.writes.get());
        operation(volume);
        found.push((what, volume.kv.reads.get() - before.0, volume.kv.writes.get() - before.1));
    };
    measure("create", volume, &mut |volume| _ = volume.file(d, "new"));
    measure("write", volume, &mut |volume| _ = volume.write(f, 3));
    measure("chmod", volume, &mut |volume| _ = volume.chmod(f, 0o600).unwrap());
    measure("rename over", volume, &mut |volume| _ = volume.rename((d, "new"), (d, "g")).unwrap());
    measure("link", volume, &mut |volume| {
        volume.change(&Change::Link { inode: f, parent: d, name: name("i") }).unwrap();
    });
    measure("unlink", volume, &mut |volume| _ = volume.unlink(d, "g").unwrap());
    measure("mkdir", volume, &mut |volume| _ = volume.directory(d, "k"));
    measure("xattr", volume, &mut |volume| {
        let set = Change::SetXattr { inode: f, name: b"user.a".to_vec(), value: vec![2], mode: XattrMode::Any };
        volume.change(&set).unwrap();
    });
    measure("restore", volume, &mut |volume| _ = volume.restore(d, "f", VolumeVersion(5)).unwrap());
    measure("look-up", volume, &mut |volume| _ = volume.look_up(At::Head, d, "f").unwrap());
    measure("list", volume, &mut |volume| _ = volume.list(At::Head, d, 100));
    measure("look-up then", volume, &mut |volume| {
        volume.look_up(At::Version(VolumeVersion(5)), d, "f").unwrap();
    });
    measure("list then", volume, &mut |volume| _ = volume.list(At::Version(VolumeVersion(5)), d, 100));
    let newest_but_one = VolumeVersion(volume.latest().0 - 1);
    measure("list lately", volume, &mut |volume| _ = volume.list(At::Version(newest_but_one), d, 100));
    found
}

#[test]
fn history_is_free() {
    let (young, old) = (costs(&mut aged(10)), costs(&mut aged(10_000)));
    for ((what, young_reads, young_writes), (_, old_reads, old_writes)) in young.iter().zip(&old) {
        assert_eq!(young_writes, old_writes, "{what} writes more rows among many versions");
        // Listing the past (a restore lists attributes) steps over a few rows before it seeks; all else costs the same.
        let slack = if what.starts_with("list ") || *what == "restore" { 40 } else { 0 };
        assert!(*old_reads <= young_reads + slack, "{what} reads {old_reads} rows among many versions, {young_reads} among few");
    }
    let create = young.iter().find(|(what, ..)| *what == "create").unwrap();
    assert!(create.1 <= 16 && create.2 <= 8, "a create reads {} and writes {} rows", create.1, create.2);
}
