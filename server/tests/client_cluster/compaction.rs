//! Many small updates of one page: the page gets few fragments again, and not a byte changes.

use crate::harness::{PAGE, SHAPES, TestCluster, pattern};
use weft_common::weave::ByteRange;
use weft_common::wire::At;

const ALL: ByteRange = ByteRange { start: 0, end: ByteRange::UNBOUNDED };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_appends_are_compacted_behind_the_writer() {
    const RECORDS: u64 = 120;
    const LENGTH: usize = 300;
    let cluster = TestCluster::start(SHAPES[1]).await;
    let volume = cluster.volume().await;
    let blob = volume.create("log").await.unwrap().tree.unwrap().blob;
    let mut expected = Vec::new();
    let mut last = None;
    for record in 0..RECORDS {
        let bytes = pattern(record, LENGTH);
        expected.extend_from_slice(&bytes);
        last = Some(volume.append("log", bytes).await.unwrap());
    }
    // Compactions are blob versions of their own; the volume's versions are the appends'.
    let newest = cluster.newest(blob).await;
    assert!(newest.version.0 > RECORDS, "no compaction in {RECORDS} appends");
    assert!(newest.version.0 < 2 * RECORDS, "{} for {RECORDS} appends", newest.version);
    let fresh = cluster.volume().await;
    assert!(fresh.read_file("log", At::Head, ALL).await.unwrap() == expected);
    let last = last.unwrap().version;
    assert_eq!(fresh.look_up("log", At::Head).await.unwrap().version, last);
    let earlier = At::Version(weft_common::id::VolumeVersion(last.0 - 50));
    let length = expected.len() - 50 * LENGTH;
    assert!(fresh.read_file("log", earlier, ALL).await.unwrap() == expected[..length]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_never_brings_back_what_another_writer_replaced() {
    let cluster = TestCluster::start(SHAPES[1]).await;
    let (mine, theirs) = (cluster.volume().await, cluster.volume().await);
    mine.create("page").await.unwrap();
    let writes = |volume: std::sync::Arc<weft_common::client::Volume>, half: u64| async move {
        for step in 0..150u64 {
            let offset = half * PAGE / 2 + (step * 97) % 200 * 100;
            volume.write("page", offset, pattern(half * 1000 + step, 100)).await.unwrap();
        }
    };
    let (first, second) = (tokio::spawn(writes(mine, 0)), tokio::spawn(writes(theirs, 1)));
    first.await.unwrap();
    second.await.unwrap();
    let mut expected = vec![0u8; PAGE as usize];
    for half in 0..2u64 {
        for step in 0..150u64 {
            let offset = (half * PAGE / 2 + (step * 97) % 200 * 100) as usize;
            expected[offset..offset + 100].copy_from_slice(&pattern(half * 1000 + step, 100));
        }
    }
    let content = cluster.volume().await.read_file("page", At::Head, ALL).await.unwrap();
    assert!(content[..] == expected[..content.len()]);
    cluster.stop().await;
}
