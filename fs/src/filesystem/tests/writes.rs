//! What becomes of written bytes: seen here at once, elsewhere when published, as one version.

use proptest::prelude::*;
use std::sync::atomic::Ordering;
use weft_common::limits::PAGE_SIZE_MIN;
use weft_common::time::Timestamp;
use weft_common::weave::{ByteRange, Operation};
use weft_common::wire::AttributeChange;

use crate::filesystem::{AttributeRequest, Seek, SpaceChange};
use crate::inode::NodeId;
use crate::lock;
use crate::testing::{APPEND, FakeVolume, READ, ROOT_USER, TRUNCATE, TestMount, WRITE};

const PAGE: usize = PAGE_SIZE_MIN as usize;

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 7) as u8 ^ (at as u8) ^ seed).collect()
}

#[tokio::test]
async fn others_see_a_write_when_it_is_closed() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    let handle = here.create(NodeId::ROOT, "frame").await;
    here.write(handle, 0, b"half").await.unwrap();
    assert_eq!(there.get("frame").await, b"");
    assert_eq!(here.get("frame").await, b"half", "the same mount sees it at once");
    assert_eq!(here.find("frame").await.unwrap().attributes.size, 4);
    here.write(handle, 4, b" whole").await.unwrap();
    here.close(handle).await.unwrap();
    assert_eq!(there.get("frame").await, b"half whole");
    assert_eq!(lock(&volume.published).len(), 1, "one close, one version");
}

#[tokio::test]
async fn closing_a_reader_publishes_nothing() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let writer = mount.create(NodeId::ROOT, "frame").await;
    mount.write(writer, 0, b"unfinished").await.unwrap();
    let reader = mount.open("frame", READ).await;
    mount.close(reader).await.unwrap();
    assert!(lock(&volume.published).is_empty());
}

#[tokio::test]
async fn truncation_at_open_is_part_of_the_update() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("frame", b"the old frame").await;
    let handle = here.open("frame", TRUNCATE).await;
    assert_eq!(here.read(handle).await, b"");
    here.write(handle, 0, b"new").await.unwrap();
    assert_eq!(there.get("frame").await, b"the old frame", "nobody sees the empty file in between");
    here.close(handle).await.unwrap();
    assert_eq!(there.get("frame").await, b"new");
    let published = lock(&volume.published);
    let Operation::Write(update) = &published.last().unwrap().1 else { panic!("a write") };
    assert_eq!(update.cut_to, Some(0));
}

#[tokio::test]
async fn truncation_by_path_is_published_at_once() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("frame", b"0123456789").await;
    here.truncate("frame", 4).await;
    assert_eq!(there.get("frame").await, b"0123");
    here.truncate("frame", 6).await;
    assert_eq!(there.get("frame").await, b"0123\0\0");
}

#[tokio::test]
async fn whole_pages_leave_while_the_program_writes() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "big").await;
    let data = pattern(3 * PAGE + 100, 1);
    for (index, part) in data.chunks(10_000).enumerate() {
        mount.write(handle, index as u64 * 10_000, part).await.unwrap();
    }
    for _ in 0..1000 {
        if volume.object_count() == 3 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(volume.object_count(), 3, "three pages are whole");
    assert_eq!(mount.read(handle).await, data, "uploaded bytes can be read back");
    mount.close(handle).await.unwrap();
    assert_eq!(volume.object_count(), 4);
    assert_eq!(mount.get("big").await, data);
}

#[tokio::test]
async fn scattered_bytes_of_a_page_become_one_object() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "tiles").await;
    for index in (0..50u64).rev() {
        mount.write(handle, index * 1000, &[index as u8; 10]).await.unwrap();
    }
    mount.close(handle).await.unwrap();
    assert_eq!(volume.object_count(), 1);
    let bytes = mount.get("tiles").await;
    assert_eq!(bytes.len(), 49_010);
    assert_eq!((bytes[7_005], bytes[7_010]), (7, 0));
}

#[tokio::test]
async fn a_small_memory_is_enough_for_a_large_file() {
    let volume = FakeVolume::new();
    let mount = TestMount::with_memory(&volume, 1 << 20);
    let handles = [mount.create(NodeId::ROOT, "a").await, mount.create(NodeId::ROOT, "b").await];
    // Odd pieces of two files, never a whole page at once: nothing leaves before memory is used up.
    let data = pattern(5 << 20, 3);
    for (index, part) in data.chunks(30_011).enumerate().filter(|(index, _)| index % 2 == 0) {
        for handle in handles {
            mount.write(handle, index as u64 * 30_011, part).await.unwrap();
        }
    }
    for handle in handles {
        mount.close(handle).await.unwrap();
    }
    let mut expected = data.clone();
    expected.chunks_mut(30_011).skip(1).step_by(2).for_each(|part| part.fill(0));
    let written = data.chunks(30_011).count().div_ceil(2) * 2 - 1;
    expected.truncate(written * 30_011);
    assert_eq!(mount.get("a").await, expected);
    assert_eq!(mount.get("b").await, expected);
}

#[tokio::test]
async fn appends_of_two_machines_are_ordered_and_whole() {
    let volume = FakeVolume::new();
    let (here, there) = (TestMount::new(&volume), TestMount::new(&volume));
    here.put("log", b"begin\n").await;
    let (first, second) = (here.open("log", APPEND).await, there.open("log", APPEND).await);
    for _ in 0..3 {
        // The offset is the kernel's belief; the file may have grown elsewhere.
        here.write(first, 6, b"here\n").await.unwrap();
        there.write(second, 6, b"there\n").await.unwrap();
    }
    assert_eq!(here.read(first).await, b"begin\nhere\nhere\nhere\n");
    there.close(second).await.unwrap();
    here.close(first).await.unwrap();
    assert_eq!(here.get("log").await, b"begin\nthere\nthere\nthere\nhere\nhere\nhere\n");
}

#[tokio::test]
async fn appending_and_writing_take_turns() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("mixed", b"0123456789").await;
    let (appender, writer) = (mount.open("mixed", APPEND).await, mount.open("mixed", WRITE).await);
    mount.write(appender, 0, b"ab").await.unwrap();
    mount.write(writer, 2, b"XY").await.unwrap();
    mount.write(appender, 0, b"cd").await.unwrap();
    assert_eq!(mount.read(writer).await, b"01XY456789abcd");
    mount.close(writer).await.unwrap();
    mount.close(appender).await.unwrap();
    assert_eq!(mount.get("mixed").await, b"01XY456789abcd");
}

#[tokio::test]
async fn writers_of_disjoint_bytes_keep_each_others() {
    let volume = FakeVolume::new();
    let mounts = [TestMount::new(&volume), TestMount::new(&volume)];
    mounts[0].put("tiles", &[b'.'; 4000]).await;
    let handles = [mounts[0].open("tiles", WRITE).await, mounts[1].open("tiles", WRITE).await];
    for part in 0..4usize {
        let side = part % 2;
        mounts[side].write(handles[side], part as u64 * 1000, &[b'0' + part as u8; 1000]).await.unwrap();
    }
    for (mount, handle) in mounts.iter().zip(handles) {
        mount.close(handle).await.unwrap();
    }
    let expected: Vec<u8> = (0..4).flat_map(|part| [b'0' + part; 1000]).collect();
    assert_eq!(mounts[0].get("tiles").await, expected);
}

#[tokio::test]
async fn a_time_that_was_set_survives_the_close() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "copy").await;
    let node = mount.find("copy").await.unwrap().node;
    mount.write(handle, 0, b"as cp -p does").await.unwrap();
    let set = AttributeChange { modified: Some(Timestamp::from_parts(1000, 0)), ..AttributeChange::default() };
    let request = AttributeRequest { set, size: None, handle: Some(handle) };
    let (shown, _) = mount.filesystem.set_attributes(ROOT_USER, node, request).await.unwrap();
    assert_eq!(shown.modified.seconds(), 1000);
    mount.close(handle).await.unwrap();
    assert_eq!(mount.find("copy").await.unwrap().attributes.modified.seconds(), 1000);
}

#[tokio::test]
async fn fsync_and_synchronous_writes_reach_stable_storage() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    let handle = mount.create(NodeId::ROOT, "journal").await;
    mount.write(handle, 0, b"one").await.unwrap();
    mount.filesystem.fsync(handle).await.unwrap();
    assert_eq!((lock(&volume.published).len(), volume.syncs.load(Ordering::Relaxed)), (1, 1));
    let mode = crate::handle::OpenMode { sync: true, ..WRITE };
    let synchronous = mount.open("journal", mode).await;
    mount.write(synchronous, 3, b"two").await.unwrap();
    assert_eq!((lock(&volume.published).len(), volume.syncs.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test]
async fn holes_are_punched_and_found() {
    let volume = FakeVolume::new();
    let mount = TestMount::new(&volume);
    mount.put("sparse", &vec![1; 3 * PAGE]).await;
    let handle = mount.open("sparse", WRITE).await;
    let page = PAGE as u64;
    let filesystem = &mount.filesystem;
    filesystem.allocate(ROOT_USER, handle, ByteRange::new(page, 2 * page), SpaceChange::Punch).await.unwrap();
    filesystem.allocate(ROOT_USER, handle, ByteRange::new(4 * page, 5 * page), SpaceChange::Extend).await.unwrap();
    filesystem.fsync(handle).await.unwrap();
    assert_eq!(filesystem.seek(handle, 5, Seek::Hole).await.unwrap(), page);
    assert_eq!(filesystem.seek(handle, page, Seek::Data).await.unwrap(), 2 * page);
    assert_eq!(filesystem.seek(handle, 2 * page, Seek::Hole).await.unwrap(), 3 * page);
    assert_eq!(filesystem.seek(handle, 3 * page, Seek::Data).await.unwrap_err().errno(), libc::ENXIO);
    let bytes = mount.read(handle).await;
    assert_eq!(bytes.len(), 5 * PAGE);
    assert!(bytes[PAGE..2 * PAGE].iter().all(|byte| *byte == 0) && bytes[2 * PAGE] == 1);
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, usize),
    Append(usize),
    Truncate(u64),
    Punch(u64, u64),
    Sync,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let span = 3 * PAGE as u64;
    prop_oneof![
        4 => (0..span, 1..100_000usize).prop_map(|(offset, length)| Step::Write(offset, length)),
        2 => (1..50_000usize).prop_map(Step::Append),
        1 => (0..span).prop_map(Step::Truncate),
        1 => (0..span, 1..span).prop_map(|(offset, length)| Step::Punch(offset, length)),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_history_of_one_file_equals_the_byte_array(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let volume = FakeVolume::new();
            let (mount, other) = (TestMount::with_memory(&volume, 1 << 20), TestMount::new(&volume));
            let mut handle = mount.create(NodeId::ROOT, "file").await;
            let mut appender = mount.open("file", APPEND).await;
            let mut model = Vec::new();
            for (seed, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Write(offset, length) => {
                        let data = pattern(length, seed as u8);
                        model.resize(model.len().max(offset as usize + length), 0);
                        model[offset as usize..offset as usize + length].copy_from_slice(&data);
                        mount.write(handle, offset, &data).await.unwrap();
                    }
                    Step::Append(length) => {
                        let data = pattern(length, seed as u8);
                        model.extend_from_slice(&data);
                        mount.write(appender, 0, &data).await.unwrap();
                    }
                    Step::Truncate(to) => {
                        model.resize(to as usize, 0);
                        let node = mount.find("file").await.unwrap().node;
                        let request = AttributeRequest { size: Some(to), handle: Some(handle), ..AttributeRequest::default() };
                        mount.filesystem.set_attributes(ROOT_USER, node, request).await.unwrap();
                    }
                    Step::Punch(offset, length) => {
                        let end = ((offset + length) as usize).min(model.len());
                        if (offset as usize) < end {
                            model[offset as usize..end].fill(0);
                        }
                        let range = ByteRange::new(offset, offset + length);
                        mount.filesystem.allocate(ROOT_USER, handle, range, SpaceChange::Punch).await.unwrap();
                    }
                    Step::Sync => mount.filesystem.fsync(handle).await.unwrap(),
                    Step::Reopen => {
                        mount.close(handle).await.unwrap();
                        mount.close(appender).await.unwrap();
                        assert_eq!(other.get("file").await, model);
                        (handle, appender) = (mount.open("file", WRITE).await, mount.open("file", APPEND).await);
                    }
                }
                assert_eq!(mount.read(handle).await.len(), model.len());
                assert!(mount.read(handle).await == model, "bytes differ after step {seed}");
            }
            mount.close(appender).await.unwrap();
            mount.close(handle).await.unwrap();
            assert!(other.get("file").await == model);
        });
    }
}
