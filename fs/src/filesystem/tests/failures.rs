//! Lost data is told once and unmistakably, and nothing else suffers.

use weft_common::limits::PAGE_SIZE_MIN;
use weft_common::wire::ErrorKind;

use crate::inode::NodeId;
use crate::testing::{FakeVolume, READ, ROOT_USER, TestMount, errno};

#[tokio::test]
async fn a_handle_that_lost_data_stays_failed() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("frame", b"good").await;
    let handle = mount.open("frame", crate::testing::TRUNCATE).await;
    let node = mount.find("frame").await.unwrap().node;
    mount.write(handle, 0, b"bad").await.unwrap();
    volume.fail_publications(Some(ErrorKind::Unavailable));
    assert_eq!(errno(mount.filesystem.flush(ROOT_USER, handle, 0).await), libc::EIO);
    volume.fail_publications(None);
    assert_eq!(errno(mount.write(handle, 0, b"more").await), libc::EIO);
    assert_eq!(errno(mount.filesystem.fsync(handle).await), libc::EIO);
    assert_eq!(errno(mount.close(handle).await), libc::EIO);
    assert!(mount.has_dropped(node).await, "the kernel's pages show what is lost");
    assert_eq!(mount.get("frame").await, b"good", "the version before it is whole");
    mount.put("frame", b"written again").await;
    assert_eq!(mount.get("frame").await, b"written again");
}

#[tokio::test]
async fn a_full_volume_is_told_at_the_next_write_or_close() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "big").await;
    volume.fail_puts(Some(ErrorKind::NoSpace));
    let page = vec![7; PAGE_SIZE_MIN as usize];
    mount.write(handle, 0, &page).await.unwrap();
    let mut told = None;
    for index in 1..1000 {
        tokio::task::yield_now().await;
        if let Err(error) = mount.write(handle, index * u64::from(PAGE_SIZE_MIN), &page).await {
            told = Some(error.errno());
            break;
        }
    }
    assert_eq!(told, Some(libc::ENOSPC));
    assert_eq!(errno(mount.close(handle).await), libc::ENOSPC);
    volume.fail_puts(None);
    assert_eq!(mount.get("big").await, b"", "nothing half-written is shown");
}

#[tokio::test]
async fn only_those_who_wrote_are_told() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("frame", b"good").await;
    let (writer, bystander) = (mount.open("frame", crate::testing::WRITE).await, mount.open("frame", READ).await);
    mount.write(writer, 0, b"bad").await.unwrap();
    volume.fail_publications(Some(ErrorKind::Internal));
    assert_eq!(errno(mount.close(writer).await), libc::EIO);
    mount.close(bystander).await.unwrap();
}

#[tokio::test]
async fn a_forgotten_handle_is_a_bad_descriptor() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "a").await;
    mount.close(handle).await.unwrap();
    assert_eq!(errno(mount.write(handle, 0, b"x").await), libc::EBADF);
    let reader = mount.open("a", READ).await;
    assert_eq!(errno(mount.write(reader, 0, b"x").await), libc::EBADF, "not opened for writing");
}

#[tokio::test]
async fn a_loss_of_power_elsewhere_reaches_the_fsync_of_every_file_open_then() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let (first, second) = (mount.create(NodeId::ROOT, "first").await, mount.create(NodeId::ROOT, "second").await);
    for handle in [first, second] {
        mount.write(handle, 0, b"frame").await.unwrap();
        mount.filesystem.flush(ROOT_USER, handle, 0).await.unwrap();
    }
    volume.losses.store(1, std::sync::atomic::Ordering::Relaxed);
    let later = mount.create(NodeId::ROOT, "later").await;
    mount.filesystem.fsync(later).await.unwrap();
    for handle in [first, second] {
        assert_eq!(errno(mount.filesystem.fsync(handle).await), libc::EIO);
        assert_eq!(errno(mount.close(handle).await), libc::EIO, "a handle that lost data stays failed");
    }
}

#[tokio::test]
async fn a_volume_that_is_known_to_be_full_accepts_nothing() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("frame", b"good").await;
    let handle = mount.open("frame", crate::testing::WRITE).await;
    volume.full.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(errno(mount.write(handle, 0, b"bad").await), libc::ENOSPC);
    mount.close(handle).await.unwrap();
    assert_eq!(mount.get("frame").await, b"good");
}
