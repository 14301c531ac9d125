//! Many writers at once: nobody waits for anybody, and nothing is lost.

use crate::harness::{PAGE, SHAPES, TestCluster, pattern};
use std::sync::Arc;
use weft_common::client::{Volume, WatchEvent};
use weft_common::id::VolumeVersion;
use weft_common::weave::ByteRange;
use weft_common::wire::At;

const ALL: ByteRange = ByteRange { start: 0, end: ByteRange::UNBOUNDED };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interleaved_ranges_are_all_there() {
    const WRITERS: u64 = 8;
    const LENGTH: u64 = 1000;
    for shape in SHAPES {
        let cluster = TestCluster::start(shape).await;
        cluster.volume().await.create("tiles").await.unwrap();
        let total = 6 * PAGE / LENGTH;
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let volume = cluster.volume().await;
            tasks.push(tokio::spawn(async move {
                for tile in (writer..total).step_by(WRITERS as usize) {
                    volume.write("tiles", tile * LENGTH, pattern(tile, LENGTH as usize)).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let content = cluster.volume().await.read_file("tiles", At::Head, ALL).await.unwrap();
        assert_eq!(content.len() as u64, total * LENGTH);
        for tile in 0..total {
            let range = (tile * LENGTH) as usize..((tile + 1) * LENGTH) as usize;
            assert!(content[range] == pattern(tile, LENGTH as usize), "tile {tile} of {shape:?}");
        }
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appended_records_are_whole_and_where_they_were_said_to_be() {
    const WRITERS: u64 = 8;
    const RECORDS: u64 = 25;
    let cluster = TestCluster::start(SHAPES[1]).await;
    cluster.volume().await.create("log").await.unwrap();
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let volume: Arc<Volume> = cluster.volume().await;
        tasks.push(tokio::spawn(async move {
            let mut places = Vec::new();
            for record in 0..RECORDS {
                let bytes = pattern(writer * 1000 + record, 500 + (writer * 37 + record * 101) as usize % 1500);
                places.push((volume.append("log", bytes.clone()).await.unwrap().offset, bytes));
            }
            places
        }));
    }
    let mut records = Vec::new();
    for task in tasks {
        records.extend(task.await.unwrap());
    }
    records.sort_by_key(|(offset, _)| *offset);
    let expected: Vec<u8> = records.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    assert_eq!(records.len() as u64, WRITERS * RECORDS);
    let content = cluster.volume().await.read_file("log", At::Head, ALL).await.unwrap();
    assert!(content == expected);
    cluster.stop().await;
}

#[tokio::test]
async fn a_watch_tells_every_change_in_order() {
    let cluster = TestCluster::start(SHAPES[0]).await;
    let (watcher, writer) = (cluster.volume().await, cluster.volume().await);
    let mut watch = watcher.watch(VolumeVersion(0));
    writer.create("a").await.unwrap();
    for step in 0..20 {
        writer.write("a", step * 10, pattern(step, 10)).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 21 {
        match watch.next().await {
            Some(WatchEvent::Changes(changes)) => seen.extend(changes.into_iter().map(|change| change.version.0)),
            other => panic!("{other:?}"),
        }
    }
    let first = seen[0];
    assert_eq!(seen, (first..first + 21).collect::<Vec<_>>());
    cluster.stop().await;
}
