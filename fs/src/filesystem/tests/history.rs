//! `.versions` and `.history`.

use weft_common::client::Namespace;
use weft_common::id::VolumeVersion;
use weft_common::wire::{Author, Change, FileKind, NewInode};

use crate::filesystem::{AttributeRequest, FOREVER};
use crate::inode::NodeId;
use crate::testing::{FakeVolume, NEW, READ, ROOT_USER, TRUNCATE, TestMount, errno};

#[tokio::test]
async fn every_version_is_a_tree() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.make_directory("shots").await; // 1
    mount.put("shots/f.exr", b"one").await; // 2 makes, 3 writes
    mount.put("shots/f.exr", b"two").await; // 4
    assert_eq!(mount.get(".versions/3/shots/f.exr").await, b"one");
    assert_eq!(mount.get("shots/.versions/3/f.exr").await, b"one");
    assert_eq!(mount.get("shots/.versions/2/f.exr").await, b"");
    assert_eq!(mount.get(".versions/4/shots/f.exr").await, b"two");
    assert_eq!(errno(mount.find("shots/.versions/0").await), libc::ENOENT, "the directory was not there");
    assert_eq!(errno(mount.find(".versions/5").await), libc::ENOENT, "not made yet");
    assert_eq!(errno(mount.find(".versions/3/.versions").await), libc::ENOENT);
    assert_eq!(mount.names(mount.find(".versions").await.unwrap().node).await, ["1", "2", "3", "4"]);
    assert_eq!(mount.names(mount.find("shots/.versions").await.unwrap().node).await, ["2", "3", "4"]);
    assert_eq!(mount.names(mount.find(".versions/3/shots").await.unwrap().node).await, ["f.exr"]);
    assert_eq!(mount.names(NodeId::ROOT).await, ["shots"], "listed nowhere");
}

#[tokio::test]
async fn times_and_tags_are_versions_too() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("f", b"one").await; // 1, 2
    mount.put("f", b"two").await; // 3
    let tag = Change::SetTag { name: "final".into(), version: VolumeVersion(2) };
    volume.change(&Author::default(), tag).await.unwrap();
    assert_eq!(mount.get(".versions/final/f").await, b"one");
    // Version N is N seconds after 2023-11-14T22:13:20Z.
    assert_eq!(mount.get(".versions/@2023-11-14T22:13:22Z/f").await, b"one");
    assert_eq!(mount.get(".versions/@2023-11-14T23:13:23.5+01:00/f").await, b"two");
    assert_eq!(errno(mount.find(".versions/@2023-11-14").await), libc::ENOENT);
    assert!(mount.names(mount.find(".versions").await.unwrap().node).await.contains(&"final".to_owned()));
    let fixed = mount.find(".versions/@2023-11-14T22:13:22Z").await.unwrap();
    assert_eq!(fixed.entry_lifetime, std::time::Duration::from_secs(10), "what is not kept any more is noticed");
    let moving = mount.find(".versions/@2200-01-01").await.unwrap();
    assert!(moving.entry_lifetime.is_zero(), "the newest version not after a future time will be another one");
}

#[tokio::test]
async fn a_file_has_a_history_also_when_it_is_gone() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("f.exr", b"one").await; // 1, 2
    mount.put("f.exr", b"three").await; // 3
    mount.filesystem.unlink(ROOT_USER, NodeId::ROOT, b"f.exr").await.unwrap();
    let directory = mount.find(".history/f.exr").await.unwrap();
    assert_eq!(mount.names(directory.node).await, ["1.exr", "2.exr", "3.exr"]);
    assert_eq!(mount.get(".history/f.exr/2.exr").await, b"one");
    assert_eq!(mount.find(".history/f.exr/3.exr").await.unwrap().attributes.size, 5);
    assert_eq!(errno(mount.find(".history/f.exr/2").await), libc::ENOENT, "the extension belongs to it");
    assert_eq!(errno(mount.find(".history/never").await), libc::ENOENT);
    assert!(mount.names(mount.find(".history").await.unwrap().node).await.is_empty(), "lists what is there now");
    let same = mount.find(".versions/2/f.exr").await.unwrap().node;
    assert_eq!(mount.find(".history/f.exr/2.exr").await.unwrap().node, same, "one state, one number");
}

#[tokio::test]
async fn the_past_is_read_only() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("f", b"one").await;
    let old = mount.find(".versions/2").await.unwrap().node;
    let file = mount.find(".versions/2/f").await.unwrap();
    let filesystem = &mount.filesystem;
    assert_eq!(errno(filesystem.open(ROOT_USER, file.node, TRUNCATE).await), libc::EROFS);
    assert_eq!(errno(filesystem.unlink(ROOT_USER, old, b"f").await), libc::EROFS);
    assert_eq!(errno(filesystem.make_node(ROOT_USER, old, b"d", NewInode::Directory, NEW).await), libc::EROFS);
    assert_eq!(errno(filesystem.link(ROOT_USER, file.node, NodeId::ROOT, b"g").await), libc::EROFS);
    assert_eq!(
        errno(filesystem.set_xattr(ROOT_USER, file.node, b"user.a", b"", weft_common::wire::XattrMode::Any).await),
        libc::EROFS
    );
    let request = AttributeRequest { size: Some(0), ..AttributeRequest::default() };
    assert_eq!(errno(filesystem.set_attributes(ROOT_USER, file.node, request).await), libc::EROFS);
    assert_eq!(file.attribute_lifetime, FOREVER);
    assert!(filesystem.open(ROOT_USER, file.node, READ).await.unwrap().keep_cache);
}

#[tokio::test]
async fn the_reserved_names_cannot_be_made() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let filesystem = &mount.filesystem;
    for name in [&b".versions"[..], b".history"] {
        let made = filesystem.make_node(ROOT_USER, NodeId::ROOT, name, NewInode::Directory, NEW).await;
        assert_eq!(errno(made), libc::EPERM);
        assert_eq!(errno(filesystem.remove_directory(ROOT_USER, NodeId::ROOT, name).await), libc::EPERM);
    }
    let long = vec![b'x'; 256];
    assert_eq!(errno(filesystem.look_up(NodeId::ROOT, &long).await), libc::ENAMETOOLONG);
    assert_eq!(mount.find(".versions").await.unwrap().attributes.kind, FileKind::Directory);
}
