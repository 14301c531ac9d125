//! What a lock is worth: its holder sees what was written under it before, and loses it loudly.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use weft_common::client::LockWish;
use weft_common::id::InodeNumber;
use weft_common::wire::{LockKind, LockRange};

use crate::filesystem::LockAsk;
use crate::inode::NodeId;
use crate::lock;
use crate::testing::{FakeVolume, READ, ROOT_USER, TestMount, WRITE, errno};

const ALL: LockRange = LockRange::ALL;

fn ask(owner: u64, kind: LockKind) -> LockAsk {
    LockAsk { owner, kind: Some(kind), range: ALL, pid: 1, wait: false }
}

fn give_back(owner: u64) -> LockAsk {
    LockAsk { owner, kind: None, range: ALL, pid: 1, wait: false }
}

async fn inode(mount: &TestMount, path: &str) -> InodeNumber {
    mount.find(path).await.unwrap().attributes.inode
}

#[tokio::test]
async fn what_was_written_under_a_lock_is_seen_by_its_next_holder() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("table", b"old").await;
    let (writer, reader) = (here.open("table", WRITE).await, there.open("table", READ).await);
    here.filesystem.set_lock(ROOT_USER, writer, ask(1, LockKind::Exclusive)).await.unwrap();
    let refused = there.filesystem.set_lock(ROOT_USER, reader, ask(2, LockKind::Shared)).await;
    assert_eq!(errno(refused), libc::EAGAIN);
    here.write(writer, 0, b"new").await.unwrap();
    assert_eq!(there.read(reader).await, b"old");
    here.filesystem.set_lock(ROOT_USER, writer, give_back(1)).await.unwrap();
    there.filesystem.set_lock(ROOT_USER, reader, ask(2, LockKind::Shared)).await.unwrap();
    assert_eq!(there.read(reader).await, b"new", "by the handle that was open before");
}

#[tokio::test]
async fn a_lock_that_becomes_shared_shows_what_was_written() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("table", b"old").await;
    let (writer, reader) = (here.open("table", WRITE).await, there.open("table", READ).await);
    here.filesystem.set_lock(ROOT_USER, writer, ask(1, LockKind::Exclusive)).await.unwrap();
    here.write(writer, 0, b"new").await.unwrap();
    here.filesystem.set_lock(ROOT_USER, writer, ask(1, LockKind::Shared)).await.unwrap();
    there.filesystem.set_lock(ROOT_USER, reader, ask(2, LockKind::Shared)).await.unwrap();
    assert_eq!(there.read(reader).await, b"new");
}

#[tokio::test]
async fn closing_any_descriptor_drops_its_owners_locks() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("table", b"x").await;
    let inode = inode(&mount, "table").await;
    let (first, second) = (mount.open("table", WRITE).await, mount.open("table", READ).await);
    mount.filesystem.set_lock(ROOT_USER, first, ask(7, LockKind::Exclusive)).await.unwrap();
    assert_eq!(volume.locked(inode), [ALL]);
    assert!(mount.filesystem.try_flush(second).is_none(), "it has to be looked at");
    mount.filesystem.flush(ROOT_USER, second, 8).await.unwrap();
    assert_eq!(volume.locked(inode), [ALL], "another process's close");
    mount.filesystem.flush(ROOT_USER, second, 7).await.unwrap();
    assert_eq!(volume.locked(inode), [], "POSIX says so");
    // A lock of an open file has an owner that no flush names.
    mount.filesystem.set_lock(ROOT_USER, first, ask(9, LockKind::Exclusive)).await.unwrap();
    mount.filesystem.flush(ROOT_USER, first, 7).await.unwrap();
    assert_eq!(volume.locked(inode), [ALL]);
    mount.filesystem.release(first).await;
    assert_eq!(volume.locked(inode), []);
}

#[tokio::test]
async fn a_lost_lock_fails_its_handle_and_what_was_written_under_it_is_not_published() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("table", b"old").await;
    let (holder, other) = (mount.open("table", WRITE).await, mount.open("table", READ).await);
    mount.filesystem.set_lock(ROOT_USER, holder, ask(1, LockKind::Exclusive)).await.unwrap();
    mount.write(holder, 0, b"new").await.unwrap();
    let published = lock(&volume.published).len();
    volume.session.store(2, Ordering::Relaxed);
    assert_eq!(errno(mount.filesystem.read(holder, 0, 10).await), libc::EIO);
    assert_eq!(errno(mount.write(holder, 0, b"more").await), libc::EIO);
    assert_eq!(errno(mount.filesystem.fsync(holder).await), libc::EIO);
    assert!(mount.filesystem.read(other, 0, 10).await.is_ok(), "who had no lock lost none");
    assert_eq!(errno(mount.filesystem.set_lock(ROOT_USER, holder, ask(1, LockKind::Shared)).await), libc::EIO);
    mount.filesystem.set_lock(ROOT_USER, holder, give_back(1)).await.unwrap();
    assert_eq!(errno(mount.close(holder).await), libc::EIO, "the bytes are lost, and close says so");
    assert_eq!(lock(&volume.published).len(), published);
    assert_eq!(mount.get("table").await, b"old");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_could_not_be_given_back_goes_when_the_manager_hears_of_it() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("table", b"x").await;
    let inode = inode(&mount, "table").await;
    let handle = mount.open("table", WRITE).await;
    mount.filesystem.set_lock(ROOT_USER, handle, ask(1, LockKind::Exclusive)).await.unwrap();
    volume.deaf.store(3, Ordering::Relaxed);
    assert_eq!(errno(mount.filesystem.set_lock(ROOT_USER, handle, give_back(1)).await), libc::ENOLCK);
    assert_eq!(volume.locked(inode), [ALL], "nobody looks at that answer");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(volume.locked(inode), []);
    // Who asks for a lock of these bytes meanwhile keeps it, and no more than it asked for.
    mount.filesystem.set_lock(ROOT_USER, handle, ask(1, LockKind::Exclusive)).await.unwrap();
    volume.deaf.store(1, Ordering::Relaxed);
    assert_eq!(errno(mount.filesystem.set_lock(ROOT_USER, handle, give_back(1)).await), libc::ENOLCK);
    let some = LockRange { first: 5, last: 9 };
    mount.filesystem.set_lock(ROOT_USER, handle, LockAsk { range: some, ..ask(1, LockKind::Exclusive) }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(volume.locked(inode), [some]);
    // An owner that is gone owes nothing: the number may be somebody else's by now.
    volume.deaf.store(1, Ordering::Relaxed);
    assert_eq!(errno(mount.filesystem.set_lock(ROOT_USER, handle, give_back(1)).await), libc::ENOLCK);
    mount.filesystem.flush(ROOT_USER, handle, 1).await.unwrap();
    assert_eq!(volume.locked(inode), []);
    mount.filesystem.set_lock(ROOT_USER, handle, ask(1, LockKind::Exclusive)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(volume.locked(inode), [ALL]);
}

#[tokio::test]
async fn who_waits_gets_the_lock_when_it_is_free() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("table", b"x").await;
    let inode = inode(&mount, "table").await;
    let wish = LockWish { inode, owner: 5, kind: LockKind::Exclusive, range: ALL, pid: 9 };
    volume.lock_elsewhere(wish);
    let handle = mount.open("table", WRITE).await;
    let found = mount.filesystem.test_lock(handle, ask(1, LockKind::Shared)).await.unwrap().unwrap();
    assert_eq!((found.kind, found.pid), (LockKind::Exclusive, 0), "a process of another host has no number here");
    let filesystem = Arc::clone(&mount.filesystem);
    let asked = LockAsk { wait: true, ..ask(1, LockKind::Shared) };
    let caller = crate::filesystem::Caller { pid: std::process::id(), ..ROOT_USER };
    let waiting = tokio::spawn(async move { filesystem.set_lock(caller, handle, asked).await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!waiting.is_finished());
    volume.unlock_elsewhere(inode);
    waiting.await.unwrap().unwrap();
    assert_eq!(volume.locked(inode), [ALL]);
}

#[tokio::test]
async fn who_is_gone_waits_no_longer_and_leaves_no_lock_behind() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("table", b"x").await;
    let inode = inode(&mount, "table").await;
    let elsewhere = LockWish { inode, owner: 5, kind: LockKind::Exclusive, range: ALL, pid: 9 };
    volume.lock_elsewhere(elsewhere);
    let handle = mount.create(NodeId::ROOT, "table").await;
    let asked = LockAsk { wait: true, ..ask(1, LockKind::Exclusive) };
    let killed = crate::filesystem::Caller { pid: i32::MAX as u32, ..ROOT_USER };
    assert_eq!(errno(mount.filesystem.set_lock(killed, handle, asked).await), libc::EINTR);
    volume.unlock_elsewhere(inode);
    assert_eq!(volume.locked(inode), []);
}

#[tokio::test]
async fn what_was_written_under_a_lost_lock_is_not_published_by_the_close_either() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("table", b"old").await;
    let (holder, other) = (mount.open("table", WRITE).await, mount.open("table", WRITE).await);
    mount.filesystem.set_lock(ROOT_USER, holder, ask(1, LockKind::Exclusive)).await.unwrap();
    mount.write(holder, 0, b"new").await.unwrap();
    let published = lock(&volume.published).len();
    volume.session.store(2, Ordering::Relaxed);
    assert_eq!(errno(mount.filesystem.flush(ROOT_USER, holder, 1).await), libc::EIO);
    mount.filesystem.release(holder).await;
    assert_eq!(lock(&volume.published).len(), published);
    mount.write(other, 0, b"others").await.unwrap();
    mount.close(other).await.unwrap();
    assert_eq!(mount.get("table").await, b"others", "who held no lock goes on");
}

#[tokio::test]
async fn closing_another_descriptor_publishes_before_it_drops_the_lock() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("table", b"old").await;
    let (writer, second) = (here.open("table", WRITE).await, here.open("table", READ).await);
    here.filesystem.set_lock(ROOT_USER, writer, ask(1, LockKind::Exclusive)).await.unwrap();
    here.write(writer, 0, b"new").await.unwrap();
    here.filesystem.flush(ROOT_USER, second, 1).await.unwrap();
    assert_eq!(there.get("table").await, b"new");
}

#[tokio::test]
async fn giving_back_a_shared_lock_publishes_nobody_elses_half_written_file() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("table", b"whole").await;
    let (copier, reader) = (here.open("table", WRITE).await, here.open("table", READ).await);
    here.write(copier, 0, b"half").await.unwrap();
    here.filesystem.set_lock(ROOT_USER, reader, ask(2, LockKind::Shared)).await.unwrap();
    here.filesystem.set_lock(ROOT_USER, reader, give_back(2)).await.unwrap();
    assert_eq!(there.get("table").await, b"whole");
}
