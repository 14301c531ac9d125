//! Directories, renames, attributes.

use weft_common::wire::{AttributeChange, NewInode, XattrMode};

use crate::filesystem::{AttributeRequest, Caller, RenameMode};
use crate::inode::NodeId;
use crate::testing::{FakeVolume, NEW, READ, ROOT_USER, TestMount, WRITE, errno};

#[tokio::test]
async fn a_large_directory_is_listed_whole_and_from_anywhere() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let mut expected = Vec::new();
    for index in 0..2500 {
        let name = format!("f{index:05}");
        let made = mount.filesystem.make_node(ROOT_USER, NodeId::ROOT, name.as_bytes(), NewInode::File, NEW).await;
        made.unwrap();
        expected.push(name);
    }
    assert_eq!(mount.names(NodeId::ROOT).await, expected);
    let (handle, _) = mount.filesystem.open_directory(NodeId::ROOT).unwrap();
    for offset in [2400u64, 3, 1500, 1499, 2501] {
        let items = mount.filesystem.items(handle, offset).await.unwrap();
        assert_eq!(items[0].name, expected[offset as usize - 2].as_bytes(), "at {offset}");
    }
    assert!(mount.filesystem.items(handle, 2502).await.unwrap().is_empty());
}

#[tokio::test]
async fn rename_publishes_what_it_renames() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("frame", b"old").await;
    let handle = here.create(NodeId::ROOT, "frame.tmp").await;
    here.write(handle, 0, b"new").await.unwrap();
    let (from, to) = ((NodeId::ROOT, &b"frame.tmp"[..]), (NodeId::ROOT, &b"frame"[..]));
    here.filesystem.rename(ROOT_USER, from, to, RenameMode::default()).await.unwrap();
    assert_eq!(there.get("frame").await, b"new", "although the writer has not closed it");
    here.close(handle).await.unwrap();
    assert_eq!(there.get(".versions/4/frame").await, b"old");
}

#[tokio::test]
async fn an_open_by_a_name_that_another_client_gave_away_looks_the_name_up_again() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    let replace = async || {
        there.put("frame.tmp", b"new").await;
        let (from, to) = ((NodeId::ROOT, &b"frame.tmp"[..]), (NodeId::ROOT, &b"frame"[..]));
        there.filesystem.rename(ROOT_USER, from, to, RenameMode::default()).await.unwrap();
    };
    here.put("frame", b"old").await;
    let known = here.find("frame").await.unwrap();
    replace().await;
    here.filesystem.recent.forget(known.attributes.inode);
    let opened = here.filesystem.open(ROOT_USER, known.node, READ).await;
    assert_eq!(errno(opened), libc::ESTALE, "the kernel asks for the name again then");
    assert_eq!(here.get("frame").await, b"new");

    let known = here.find("frame").await.unwrap();
    let held = here.filesystem.open(ROOT_USER, known.node, READ).await.unwrap();
    replace().await;
    here.filesystem.recent.forget(known.attributes.inode);
    let again = here.filesystem.open(ROOT_USER, known.node, READ).await.unwrap();
    for opened in [again, held] {
        here.close(opened.handle).await.unwrap();
    }
}

#[tokio::test]
async fn changing_the_owner_takes_the_set_id_bits() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "tool").await;
    let node = mount.find("tool").await.unwrap().node;
    let set = async |set| {
        let request = AttributeRequest { set, ..AttributeRequest::default() };
        mount.filesystem.set_attributes(ROOT_USER, node, request).await.unwrap().0.mode
    };
    assert_eq!(set(AttributeChange { mode: Some(0o6755), ..AttributeChange::default() }).await, 0o6755);
    assert_eq!(set(AttributeChange { uid: Some(7), ..AttributeChange::default() }).await, 0o755);
    assert_eq!(set(AttributeChange { mode: Some(0o4755), ..AttributeChange::default() }).await, 0o4755);
    let user = Caller { uid: 7, ..ROOT_USER };
    mount.filesystem.write(user, handle, 0, b"x", true).await.unwrap();
    assert_eq!(mount.find("tool").await.unwrap().attributes.mode, 0o755);
}

#[tokio::test]
async fn the_mount_tells_about_itself_in_attributes() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("f", b"one").await;
    let node = mount.find("f").await.unwrap().node;
    let filesystem = &mount.filesystem;
    assert_eq!(filesystem.xattr(node, b"user.weft.version").await.unwrap(), b"2");
    assert_eq!(filesystem.xattr(node, b"user.weft.blob").await.unwrap(), b"vol1/blob2@v1");
    let writer = String::from_utf8(filesystem.xattr(node, b"user.weft.writer").await.unwrap()).unwrap();
    assert!(writer.starts_with("uid=0 host=desk program="), "{writer}");
    assert_eq!(filesystem.xattr(NodeId::ROOT, b"system.weft.mount").await.unwrap(), b"weft://host/show identity=/etc/weft");
    assert_eq!(errno(filesystem.xattr(node, b"system.weft.mount").await), libc::ENODATA);
    assert_eq!(errno(filesystem.set_xattr(ROOT_USER, node, b"user.weft.version", b"9", XattrMode::Any).await), libc::EPERM);
    filesystem.set_xattr(ROOT_USER, node, b"user.note", b"hello", XattrMode::Any).await.unwrap();
    assert_eq!(filesystem.xattr(node, b"user.note").await.unwrap(), b"hello");
    assert_eq!(filesystem.xattr_names(ROOT_USER, node).await.unwrap(), b"user.note\0");
    filesystem.set_xattr(ROOT_USER, node, b"trusted.note", b"for root", XattrMode::Any).await.unwrap();
    assert_eq!(filesystem.xattr_names(ROOT_USER, node).await.unwrap(), b"trusted.note\0user.note\0");
    let user = Caller { uid: 7, ..ROOT_USER };
    assert_eq!(filesystem.xattr_names(user, node).await.unwrap(), b"user.note\0", "as local filesystems do");
}

#[tokio::test]
async fn the_kernels_question_before_writes_is_answered_from_memory() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("f", b"one").await;
    let (_, _, node) = mount.open_with_cache("f", WRITE).await;
    let name = b"security.capability";
    assert!(
        mount.filesystem.known_xattr(node, b"system.posix_acl_access").is_some(),
        "the look-up said that there is no attribute"
    );
    tokio::time::sleep(std::time::Duration::from_millis(120)).await;
    assert!(mount.filesystem.known_xattr(node, name).is_none(), "that is not believed for long");
    assert_eq!(errno(mount.filesystem.xattr(node, name).await), libc::ENODATA);
    assert!(mount.filesystem.known_xattr(node, name).is_some(), "asked once while the file is open");
    mount.filesystem.set_xattr(ROOT_USER, node, name, b"x", XattrMode::Any).await.unwrap();
    assert_eq!(mount.filesystem.xattr(node, name).await.unwrap(), b"x");
}
