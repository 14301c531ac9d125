//! Files by path: what was written is read back, at every version.

use crate::harness::{Contents, Numbers, PAGE, SHAPES, TestCluster, live_bytes, pattern, publish};
use bytes::Bytes;
use weft_common::client::{BlobStore, ClientError, Volume};
use weft_common::id::InodeNumber;
use weft_common::weave::{ByteRange, Update};
use weft_common::wire::{At, ErrorKind};

const ALL: ByteRange = ByteRange { start: 0, end: ByteRange::UNBOUNDED };

#[tokio::test]
async fn a_file_has_every_state_that_it_had() {
    for shape in SHAPES {
        let cluster = TestCluster::start(shape).await;
        let volume = cluster.volume().await;
        let inode = volume.create("frame.exr").await.unwrap().inode;
        let (mut content, mut contents, mut numbers) = (Vec::new(), Contents::new(), Numbers(7));
        for step in 0..60 {
            let published = one_step(&volume, inode, step, &mut numbers, &mut content).await;
            contents.insert(published, content.clone());
        }
        let fresh = cluster.volume().await;
        for (version, expected) in &contents {
            let at = At::Version(*version);
            assert_eq!(fresh.size("frame.exr", at).await.unwrap(), expected.len() as u64, "{version}");
            let found = fresh.read_file("/frame.exr", at, ALL).await.unwrap();
            assert!(found == expected, "{shape:?} {version}");
        }
        assert_eq!(live_bytes(&fresh).await, content.len() as u64);
        let history = fresh.versions("frame.exr").await.unwrap();
        assert_eq!(history.len(), contents.len() + 1, "and the empty file before them");
        cluster.stop().await;
    }
}

/// A write, an append, a cut or a hole; `content` is what the file is afterwards.
async fn one_step(
    volume: &Volume,
    inode: InodeNumber,
    step: u64,
    numbers: &mut Numbers,
    content: &mut Vec<u8>,
) -> weft_common::id::VolumeVersion {
    let length = 1 + numbers.below(if step.is_multiple_of(7) { 5 * PAGE } else { 3000 }) as usize;
    let start = numbers.below(content.len() as u64 + 2 * PAGE);
    let bytes = pattern(step, length);
    match numbers.below(6) {
        0 => {
            let published = volume.append("frame.exr", bytes.clone()).await.unwrap();
            assert_eq!(published.offset, content.len() as u64);
            content.extend_from_slice(&bytes);
            published.version
        }
        1 => {
            let size = numbers.below(content.len() as u64 + 1);
            content.truncate(size as usize);
            publish(volume, inode, Update { cut_to: Some(size), ..Update::default() }).await.unwrap().version
        }
        2 => {
            let end = (start + 2 * PAGE).min(content.len() as u64).max(start + 1);
            let hole = start as usize..end as usize;
            let size = content.len();
            content[hole.start.min(size)..hole.end.min(size)].fill(0);
            publish(volume, inode, Update { holes: vec![ByteRange::new(start, end)], ..Update::default() }).await.unwrap().version
        }
        _ => {
            content.resize(content.len().max(start as usize + length), 0);
            content[start as usize..start as usize + length].copy_from_slice(&bytes);
            volume.write("frame.exr", start, bytes).await.unwrap().version
        }
    }
}

#[tokio::test]
async fn ranges_holes_and_extensions() {
    let cluster = TestCluster::start(SHAPES[1]).await;
    let volume = cluster.volume().await;
    volume.create("sparse").await.unwrap();
    let first = volume.write("sparse", 10 * PAGE, pattern(1, PAGE as usize)).await.unwrap();
    let older = first.attributes.unwrap().tree.unwrap();
    assert_eq!(volume.next_data(&older, 0).await.unwrap(), Some(ByteRange::new(10 * PAGE, 11 * PAGE)));
    assert_eq!(volume.next_data(&older, 11 * PAGE).await.unwrap(), None);
    let across = volume.read(&older, ByteRange::new(10 * PAGE - 5, 10 * PAGE + 5)).await.unwrap();
    assert_eq!(across, [&[0; 5][..], &pattern(1, 5)].concat());
    assert_eq!(volume.read(&older, ByteRange::new(0, 10)).await.unwrap(), Bytes::from_static(&[0; 10]));
    assert!(volume.read(&older, ByteRange::new(11 * PAGE, 12 * PAGE)).await.unwrap().is_empty());

    let appended = volume.append("sparse", pattern(2, 100)).await.unwrap().attributes.unwrap().tree.unwrap();
    assert!(volume.extends(&older, &appended).await.unwrap());
    assert!(!volume.extends(&appended, &older).await.unwrap());
    let rewritten = volume.write("sparse", 10 * PAGE, pattern(3, 10)).await.unwrap().attributes.unwrap().tree.unwrap();
    assert!(!volume.extends(&older, &rewritten).await.unwrap());

    let fresh = cluster.volume().await;
    fresh.prefetch(&rewritten, ALL);
    let expected = [pattern(3, 10), pattern(1, PAGE as usize).slice(10..), pattern(2, 100)].concat();
    assert_eq!(fresh.read(&rewritten, ByteRange::new(10 * PAGE, 20 * PAGE)).await.unwrap(), expected);
    fresh.sync().await.unwrap();
    volume.sync().await.unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let cluster = TestCluster::start(SHAPES[0]).await;
    let volume = cluster.volume().await;
    let kind = |error: ClientError| match error {
        ClientError::Service(error) => error.kind,
        other => panic!("{other}"),
    };
    assert_eq!(kind(volume.write("nowhere", 0, pattern(1, 1)).await.unwrap_err()), ErrorKind::NotFound);
    volume.create("here").await.unwrap();
    assert_eq!(kind(volume.create("here").await.unwrap_err()), ErrorKind::AlreadyExists);
    assert_eq!(kind(volume.create("no/such/place").await.unwrap_err()), ErrorKind::NotFound);
    assert_eq!(kind(volume.read_file("/", At::Head, ALL).await.unwrap_err()), ErrorKind::InvalidArgument);
    assert_eq!(kind(volume.cluster().open_volume("other").await.unwrap_err()), ErrorKind::NotFound);
    assert_eq!(volume.cluster().volumes().await.unwrap().len(), 1);
    assert_eq!(volume.cluster().sessions().await.unwrap().len(), 1);
    volume.cluster().close().await.unwrap();
    assert_eq!(volume.cluster().sessions().await.unwrap().len(), 0);
    cluster.stop().await;
}
