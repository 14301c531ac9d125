//! Who sees which version: pinned readers, followers of appends, the kernel's pages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::inode::NodeId;
use crate::testing::{APPEND, FakeVolume, READ, TestMount, WRITE};

#[tokio::test]
async fn a_reader_keeps_its_version_and_a_new_one_gets_the_newest() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    there.put("frame", b"first version").await;
    let (old, _, old_node) = here.open_with_cache("frame", READ).await;
    there.put("frame", b"second").await;
    let (new, _, new_node) = here.open_with_cache("frame", READ).await;
    assert_ne!(old_node, new_node, "the kernel keeps pages and size per number");
    assert_eq!(here.read(old).await, b"first version");
    assert_eq!(here.read(new).await, b"second");
    let filesystem = &here.filesystem;
    assert_eq!(filesystem.attributes(old_node).await.unwrap().0.size, 13);
    assert_eq!(filesystem.attributes(new_node).await.unwrap().0.size, 6);
    here.close(old).await.unwrap();
    here.close(new).await.unwrap();
    assert_eq!(here.get("frame").await, b"second");
}

#[tokio::test]
async fn a_reader_follows_appends_of_others() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    there.put("log", b"one\n").await;
    let (reader, _, node) = here.open_with_cache("log", READ).await;
    assert_eq!(here.read(reader).await, b"one\n");
    let appender = there.open("log", APPEND).await;
    there.write(appender, 0, b"two\n").await.unwrap();
    there.close(appender).await.unwrap();
    // What `tail -f` does: fstat, then read on.
    assert_eq!(here.filesystem.attributes(node).await.unwrap().0.size, 8);
    assert_eq!(here.read(reader).await, b"one\ntwo\n");
    assert_eq!(here.find("log").await.unwrap().node, node, "no other number is needed");
}

#[tokio::test]
async fn a_writer_sees_what_others_published_below_its_own() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("tiles", b"aaaa").await;
    let (writer, _, node) = here.open_with_cache("tiles", WRITE).await;
    here.write(writer, 0, b"X").await.unwrap();
    let other = there.open("tiles", WRITE).await;
    there.write(other, 3, b"Y").await.unwrap();
    there.close(other).await.unwrap();
    here.close(writer).await.unwrap();
    assert!(here.has_dropped(node).await, "pages of before the other's update are stale");
    assert_eq!(here.get("tiles").await, b"XaaY");
}

#[tokio::test]
async fn pages_are_kept_while_they_are_right() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    there.put("frame", b"one").await;
    let open = async |mount: &TestMount| {
        let (handle, keeps, _) = mount.open_with_cache("frame", READ).await;
        mount.close(handle).await.unwrap();
        keeps
    };
    assert!(!open(&here).await, "nothing is cached yet");
    assert!(open(&here).await);
    there.put("frame", b"two").await;
    assert!(!open(&here).await, "the file has changed");
    assert!(open(&here).await);
    here.put("frame", b"own").await;
    assert!(open(&here).await, "own writes went through the kernel's pages");
}

#[tokio::test]
async fn pages_are_kept_although_nothing_was_heard_of_the_changes_before() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::believing(&volume), TestMount::new(&volume));
    there.put("frame", b"one").await;
    assert_eq!(here.get("frame").await, b"one");
    let (handle, keeps, node) = here.open_with_cache("frame", READ).await;
    assert!(keeps, "these are the pages of the first open");
    here.close(handle).await.unwrap();
    there.put("frame", b"two").await;
    let (handle, keeps, same) = here.open_with_cache("frame", READ).await;
    assert!(!keeps && same == node && here.has_dropped(node).await);
    here.close(handle).await.unwrap();
}

#[tokio::test]
async fn two_opens_at_once_keep_no_pages_of_before() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    there.put("frame", b"one").await;
    assert_eq!(here.get("frame").await, b"one");
    there.put("frame", b"two").await;
    let (first, first_keeps, _) = here.open_with_cache("frame", READ).await;
    let (second, second_keeps, _) = here.open_with_cache("frame", READ).await;
    assert!(!first_keeps && !second_keeps, "the kernel may take in the second answer before it drops pages because of the first");
    assert_eq!(here.read(second).await, b"two");
    let (third, third_keeps, _) = here.open_with_cache("frame", READ).await;
    assert!(third_keeps, "the second is in use, so the pages of before are gone");
    for handle in [first, second, third] {
        here.close(handle).await.unwrap();
    }
}

#[tokio::test]
async fn an_open_shows_what_the_kernel_was_told_last() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    there.put("frame", b"one").await;
    let node = here.find("frame").await.unwrap().node;
    there.put("frame", b"longer").await;
    // Another program's look-up comes between this one's and its open.
    here.find("frame").await.unwrap();
    let opened = here.filesystem.open(crate::testing::ROOT_USER, node, READ).await.unwrap();
    assert!(here.has_dropped(node).await, "the kernel may believe either size");
    assert_eq!(here.read(opened.handle).await, b"longer");
    here.close(opened.handle).await.unwrap();
}

#[tokio::test]
async fn an_open_asks_once() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("frame", b"x").await;
    let before = volume.queries.load(Ordering::Relaxed);
    let handle = mount.open("frame", READ).await;
    assert_eq!(volume.queries.load(Ordering::Relaxed) - before, 1, "the look-up's answer serves the open");
    mount.close(handle).await.unwrap();
}

#[tokio::test]
async fn a_read_during_publication_sees_what_was_written() {
    let volume = FakeVolume::new();
    let mount = Arc::new(TestMount::new(&volume));
    let handle = mount.create(NodeId::ROOT, "slow").await;
    mount.write(handle, 0, b"first").await.unwrap();
    let gate = volume.gate.acquire_many(1_000_000).await.unwrap();
    let flushing = tokio::spawn({
        let mount = Arc::clone(&mount);
        async move { mount.filesystem.flush(crate::testing::ROOT_USER, handle, 0).await }
    });
    while !mount.filesystem.files.all().iter().any(|file| file.state().in_flight.is_some()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(mount.read(handle).await, b"first");
    mount.write(handle, 5, b" second").await.unwrap();
    assert_eq!(mount.read(handle).await, b"first second", "a layer above the one on its way");
    drop(gate);
    flushing.await.unwrap().unwrap();
    mount.close(handle).await.unwrap();
    assert_eq!(mount.get("slow").await, b"first second");
}

#[tokio::test]
async fn an_open_file_without_a_name_can_be_used() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "temporary").await;
    let node = mount.find("temporary").await.unwrap().node;
    mount.write(handle, 0, b"scratch").await.unwrap();
    mount.filesystem.unlink(crate::testing::ROOT_USER, NodeId::ROOT, b"temporary").await.unwrap();
    assert_eq!(mount.filesystem.attributes(node).await.unwrap().0.links, 0);
    assert_eq!(mount.read(handle).await, b"scratch");
    mount.close(handle).await.unwrap();
    assert!(mount.find("temporary").await.is_err());
}
