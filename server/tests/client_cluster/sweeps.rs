//! Sweeps for orphans beside everything else: writers, some of whom die, sessions that end, thinning and collection. Nothing that is
//! needed goes, and in the end nothing else is left.

use crate::harness::{Contents, DyingRpc, Numbers, PAGE, SHAPES, TestCluster, connect, pattern};
use std::sync::Arc;
use std::time::Duration;
use weft_common::client::{BlobStore, Cluster, Namespace, Volume};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::limits::{SWEEP_UNSUSPICIOUS_MAX, TICKET_LEASE};
use weft_common::weave::{ByteRange, Tree};
use weft_common::wire::{At, NamespaceAnswer, Query, Request, SessionRequest, SweepExtent, VersionRange};

const WRITES: u64 = 40;
const DEATHS: u64 = 12;

async fn tree_at(volume: &Volume, at: At, inode: InodeNumber) -> Tree {
    match volume.query(at, Query::Attributes(inode)).await.unwrap() {
        NamespaceAnswer::Attributes(attributes) => attributes.tree.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Writes at random places of a file that nobody else writes; what it holds at which version.
async fn write(volume: Arc<Volume>, name: &'static str, seed: u64) -> (InodeNumber, Contents) {
    let inode = volume.create(name).await.unwrap().inode;
    let (mut numbers, mut content, mut contents) = (Numbers(seed), Vec::new(), Contents::new());
    for number in 0..WRITES {
        let (start, length) = (numbers.below(6 * PAGE) as usize, numbers.below(PAGE * 3 / 2) as usize + 1);
        let bytes = pattern(seed ^ number, length);
        content.resize(content.len().max(start + length), 0);
        content[start..start + length].copy_from_slice(&bytes);
        let published = volume.write(name, start as u64, bytes).await.unwrap();
        contents.insert(published.version, content.clone());
        tokio::time::sleep(Duration::from_millis(numbers.below(5))).await;
    }
    (inode, contents)
}

/// Writers that die after a few calls, and whose sessions then end.
async fn die(cluster: &TestCluster, seed: u64) {
    let mut numbers = Numbers(seed);
    for number in 0..DEATHS {
        let rpc = DyingRpc::new(cluster.rpc.clone());
        let client = connect(rpc.clone(), Duration::from_millis(200)).await;
        let volume = client.open_volume("show").await.unwrap();
        let name = format!("dead{}", number % 3);
        if volume.create(&name).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let session = volume.put_object(pattern(number, 1000)).await.unwrap().id.session;
        rpc.die_after(numbers.below(9) as usize);
        let _ = volume.write(&name, 0, pattern(number, 3 * PAGE as usize)).await;
        rpc.die_after(0);
        cluster.ask(Request::Session(SessionRequest::Close(session))).await;
    }
}

async fn collect(cluster: &Cluster, volume: &Volume) {
    let id = volume.info().id;
    loop {
        let work = cluster.collection_work(id, 0).await.unwrap();
        for job in &work.jobs {
            cluster.collect(job).await.unwrap();
        }
        if work.jobs.is_empty() && !work.more {
            return;
        }
    }
}

/// Thins, collects and sweeps until the writers are done.
async fn clean(cluster: &TestCluster, done: &std::cell::Cell<bool>) -> u64 {
    let (client, volume) = (cluster.client().await, cluster.volume().await);
    let mut sweeps = 0;
    while !done.get() {
        let NamespaceAnswer::Version(latest) = volume.query(At::Head, Query::Latest).await.unwrap() else { panic!("no version") };
        if latest.0 > 10 {
            let range = VersionRange { first: VolumeVersion(1), last: VolumeVersion(latest.0 - 10) };
            client.thin(volume.info().id, ROOT_INODE, vec![range]).await.unwrap();
        }
        collect(&client, &volume).await;
        let swept = client.sweep(SweepExtent::Cautious).await.unwrap();
        assert_eq!(swept.problem, None);
        sweeps += 1;
    }
    volume.cluster().close().await.unwrap();
    sweeps
}

#[tokio::test]
async fn a_sweep_beside_writers_collectors_and_the_dying_takes_orphans_only() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let cluster = TestCluster::start(shape).await;
        let writers = [("a", 3), ("b", 5)].map(|(name, number)| (name, number + 100 * seed as u64));
        let volumes = [cluster.volume().await, cluster.volume().await];
        let done = std::cell::Cell::new(false);
        let work = async {
            let [first, second] = volumes.clone();
            let writes =
                async { tokio::join!(write(first, writers[0].0, writers[0].1), write(second, writers[1].0, writers[1].1)) };
            let (written, ()) = tokio::join!(writes, die(&cluster, seed as u64 + 7));
            done.set(true);
            written
        };
        let (((first, firsts), (second, seconds)), sweeps) = tokio::join!(work, clean(&cluster, &done));
        assert!(sweeps > 3, "{sweeps} sweeps");
        for volume in volumes {
            volume.cluster().close().await.unwrap();
        }

        // A helper finishes what was ordered before its writer died.
        let client = cluster.client().await;
        tokio::time::sleep(TICKET_LEASE + Duration::from_secs(1)).await;
        for (blob, version) in client.lapsed_versions().await.unwrap() {
            client.finish_version(blob, version).await.unwrap();
        }
        let volume = client.open_volume("show").await.unwrap();
        collect(&client, &volume).await;
        let before = client.fsck(None, &mut |_| {}).await.unwrap();
        assert!(before.faults.is_empty() && before.contradictions.is_empty(), "{before:?}");
        let swept = client.sweep(SweepExtent::Cautious).await.unwrap();
        assert_eq!((swept.objects, swept.nodes), (before.orphans.objects, before.orphans.nodes), "fsck and sweep agree");
        let after = client.fsck(None, &mut |_| {}).await.unwrap();
        assert!(after.is_clean() && after.unknown.is_empty() && after.of_sessions.is_empty(), "{after:?}");
        assert_eq!((after.nodes, after.objects), (before.nodes, before.objects));

        let kept = client.kept_versions(volume.info().id, ROOT_INODE).await.unwrap();
        let mut read = 0;
        for (inode, contents) in [(first, firsts), (second, seconds)] {
            for at in kept.iter().map(|kept| kept.version) {
                let Some((_, content)) = contents.range(..=at).next_back() else { continue };
                let tree = tree_at(&volume, At::Version(at), inode).await;
                let bytes = volume.read(&tree, ByteRange::new(0, tree.size)).await.unwrap();
                assert!(bytes == content[..], "{inode} at {at}");
                read += 1;
            }
        }
        assert!(read > 10, "{read} states were read");
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_sweep_that_would_empty_a_provider_asks_first() {
    let cluster = TestCluster::start(SHAPES[0]).await;
    let writer = cluster.volume().await;
    let stored = 3 * (SWEEP_UNSUSPICIOUS_MAX as u64 + 200);
    for number in 0..stored {
        writer.put_object(pattern(number, 10)).await.unwrap();
    }
    writer.cluster().close().await.unwrap();
    let client = cluster.client().await;
    let refused = client.sweep(SweepExtent::Cautious).await.unwrap();
    let problem = refused.problem.expect("a provider with too many orphans");
    assert!(problem.contains("weft gc --force"), "{problem}");
    let forced = client.sweep(SweepExtent::Everything).await.unwrap();
    assert_eq!(forced.problem, None);
    assert!(
        refused.objects < stored / 2 && refused.objects + forced.objects >= stored,
        "{} and {}",
        refused.objects,
        forced.objects
    );
    cluster.stop().await;
}
