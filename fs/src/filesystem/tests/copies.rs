//! `copy_file_range`: what is shared, what is copied, and that both read the same.

use std::sync::atomic::Ordering;
use weft_common::limits::PAGE_SIZE_MIN;
use weft_common::wire::ErrorKind;

use crate::errno::Failure;
use crate::handle::HandleId;
use crate::inode::NodeId;
use crate::lock;
use crate::testing::{APPEND, FakeVolume, READ, ROOT_USER, TRUNCATE, TestMount, WRITE, errno};

const PAGE: usize = PAGE_SIZE_MIN as usize;

fn frame() -> Vec<u8> {
    (0..3 * PAGE + 17).map(|at| (at / 5) as u8 ^ at as u8).collect()
}

impl TestMount {
    async fn copy(&self, from: (HandleId, u64), to: (HandleId, u64), length: u64) -> Result<u32, Failure> {
        self.filesystem.copy_range(ROOT_USER, from, to, length).await
    }
}

#[tokio::test]
async fn a_whole_file_is_shared_and_then_is_a_file_of_its_own() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("frame", &frame()).await;
    let (objects, updates) = (volume.object_count(), lock(&volume.published).len());
    let (from, to) = (here.open("frame", READ).await, here.create(NodeId::ROOT, "copy").await);
    assert_eq!(here.copy((from, 0), (to, 0), u64::MAX).await.unwrap(), frame().len() as u32);
    assert_eq!(here.copy((from, frame().len() as u64), (to, frame().len() as u64), u64::MAX).await.unwrap(), 0, "the end");
    assert_eq!(here.read(to).await, frame());
    here.write(to, 1, b"mine").await.unwrap();
    assert_eq!(&here.read(to).await[..6], &[&frame()[..1], &b"mine"[..], &frame()[5..6]].concat()[..]);
    here.close(to).await.unwrap();
    assert_eq!(there.get("frame").await, frame());
    assert_eq!(&there.get("copy").await[..5], &[&frame()[..1], &b"mine"[..]].concat()[..]);
    assert_eq!((volume.object_count() - objects, lock(&volume.published).len() - updates), (1, 1), "the write alone");
}

#[tokio::test]
async fn what_replaces_a_file_is_seen_whole_and_never_empty() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("frame", &frame()).await;
    here.put("copy", b"what was there").await;
    let (from, to) = (here.open("frame", READ).await, here.open("copy", TRUNCATE).await);
    assert_eq!(there.get("copy").await, b"what was there");
    let updates = lock(&volume.published).len();
    assert_eq!(here.copy((from, 0), (to, 0), 1 << 40).await.unwrap(), frame().len() as u32);
    assert_eq!(there.get("copy").await, frame());
    here.close(to).await.unwrap();
    assert_eq!(there.get("copy").await, frame(), "the close truncates nothing any more");
    assert_eq!(lock(&volume.published).len(), updates, "no update, no empty version");
}

#[tokio::test]
async fn an_old_version_is_shared_as_well() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("frame", b"first").await;
    let version = mount.find("frame").await.unwrap().attributes.version.0;
    mount.put("frame", b"second").await;
    let objects = volume.object_count();
    let from = mount.open(&format!(".versions/{version}/frame"), READ).await;
    let to = mount.create(NodeId::ROOT, "copy").await;
    assert_eq!(mount.copy((from, 0), (to, 0), 100).await.unwrap(), 5);
    mount.close(to).await.unwrap();
    assert_eq!((mount.get("copy").await, volume.object_count()), (b"first".to_vec(), objects));
    // A reader that stays behind copies what it reads.
    let reader = mount.open("frame", READ).await;
    let other = TestMount::new(&volume);
    other.put("frame", b"third, by somebody else").await;
    let to = mount.create(NodeId::ROOT, "behind").await;
    assert_eq!(mount.copy((reader, 0), (to, 0), 100).await.unwrap(), 6);
    mount.close(to).await.unwrap();
    assert_eq!(mount.get("behind").await, b"second");
}

#[tokio::test]
async fn parts_and_what_is_not_published_are_copied() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("frame", &frame()).await;
    let (from, to) = (here.open("frame", WRITE).await, here.create(NodeId::ROOT, "part").await);
    assert_eq!(here.copy((from, 10), (to, 3), 20).await.unwrap(), 20);
    assert_eq!(here.copy((from, 0), (to, 0), u64::MAX).await.unwrap(), frame().len() as u32, "over what is there");
    assert_eq!(here.copy((from, frame().len() as u64 - 5), (to, 1 << 20), 100).await.unwrap(), 5, "to the end only");
    here.write(from, 0, b"dirty").await.unwrap();
    let second = here.create(NodeId::ROOT, "second").await;
    assert_eq!(here.copy((from, 0), (second, 0), u64::MAX).await.unwrap(), frame().len() as u32);
    for handle in [to, second] {
        here.close(handle).await.unwrap();
    }
    assert_eq!(&there.get("second").await[..9], &[&b"dirty"[..], &frame()[5..9]].concat()[..]);
    assert_eq!(there.get("frame").await, frame(), "a copy publishes nothing of the source");
    let part = there.get("part").await;
    assert_eq!((part.len(), &part[..frame().len()]), ((1 << 20) + 5, &frame()[..]));
}

#[tokio::test]
async fn ranges_of_one_file_must_lie_apart() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("frame", b"0123456789").await;
    let handle = mount.open("frame", WRITE).await;
    assert_eq!(errno(mount.copy((handle, 0), (handle, 3), 5).await), libc::EINVAL);
    assert_eq!(errno(mount.copy((handle, 3), (handle, 0), 5).await), libc::EINVAL);
    assert_eq!(mount.copy((handle, 0), (handle, 5), 5).await.unwrap(), 5);
    assert_eq!(mount.read(handle).await, b"0123401234");
    let reader = mount.open("frame", READ).await;
    assert_eq!(errno(mount.copy((handle, 0), (reader, 20), 5).await), libc::EBADF);
    assert_eq!(errno(mount.copy((HandleId(999), 0), (handle, 20), 5).await), libc::EBADF);
}

#[tokio::test]
async fn a_refused_share_is_copied_and_nothing_of_the_target_is_lost() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("frame", b"frame").await;
    here.put("copy", b"what was there").await;
    let (from, to) = (here.open("frame", READ).await, here.open("copy", TRUNCATE).await);
    // Somebody appends meanwhile, so the target is not what this mount takes it for.
    let appender = there.open("copy", APPEND).await;
    there.write(appender, 0, b", and more").await.unwrap();
    there.close(appender).await.unwrap();
    assert_eq!(here.copy((from, 0), (to, 0), 100).await.unwrap(), 5);
    here.close(to).await.unwrap();
    assert_eq!(there.get("copy").await, b"frame");
    // A manager that does not answer is no refusal.
    let to = here.create(NodeId::ROOT, "third").await;
    volume.fail_publications(Some(ErrorKind::Unavailable));
    assert_eq!(errno(here.copy((from, 0), (to, 0), 100).await), libc::EIO);
    volume.fail_publications(None);
    assert_eq!(here.copy((from, 0), (to, 0), 100).await.unwrap(), 5);
    here.close(to).await.unwrap();
    assert_eq!(there.get("third").await, b"frame");
    assert_eq!(volume.syncs.load(Ordering::Relaxed), 0);
}
