//! What was closed and not synced is lost with the power: the file falls back to its newest whole content, once, and never on a guess.

use crate::harness::{DyingRpc, PAGE, connect, pattern};
use crate::shaky::ShakyCluster;
use bytes::Bytes;
use std::time::Duration;
use weft_common::client::{BlobStore, Namespace, Volume};
use weft_common::id::{ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::weave::ByteRange;
use weft_common::wire::{At, Author, Change, ChangeKind, NamespaceAnswer, Query};
use weft_server::recovery::{Outcome, Recovery};

const ALL: ByteRange = ByteRange { start: 0, end: ByteRange::UNBOUNDED };
const DATA: [&str; 2] = ["data1", "data2"];

/// One look by a server that comes to it afresh.
async fn look(cluster: &ShakyCluster) -> Outcome {
    Recovery::new(cluster.client().await, "server".to_owned()).look().await.unwrap()
}

async fn read(cluster: &ShakyCluster, file: &str, at: At) -> Result<Bytes, ()> {
    // Little patience: what is lost is asked for again and again.
    let client = connect(cluster.rpc.clone(), Duration::from_secs(2)).await;
    client.open_volume("show").await.unwrap().read_file(file, at, ALL).await.map_err(|_| ())
}

/// The versions that recoveries made.
async fn recovered(volume: &Volume) -> Vec<VolumeVersion> {
    let query = Query::VersionsOf { directory: ROOT_INODE, after: VolumeVersion(0), limit: 1000 };
    let NamespaceAnswer::Changes { changes, .. } = volume.query(At::Head, query).await.unwrap() else { panic!("no changes") };
    let made = changes.iter().filter(|change| change.author.program == "recovery");
    made.inspect(|change| assert_eq!(change.kind, ChangeKind::Restore)).map(|change| change.version).collect()
}

/// Writes a file, has it on stable storage, and writes another content that is not.
async fn synced_then_not(cluster: &ShakyCluster, volume: &Volume, file: &str) -> (Bytes, VolumeVersion) {
    let (old, new) = (pattern(1, 3 * PAGE as usize), pattern(2, 3 * PAGE as usize));
    volume.create(file).await.unwrap();
    volume.write(file, 0, old.clone()).await.unwrap();
    volume.sync().await.unwrap();
    cluster.stall_syncs(true);
    let lost = volume.write(file, 0, new).await.unwrap().version;
    (old, lost)
}

#[tokio::test]
async fn what_is_lost_on_all_copies_falls_back_once_whoever_looks() {
    for names in [&DATA[..], &["metadata1", "metadata2"], &["data1", "data2", "metadata1", "metadata2"]] {
        let mut cluster = ShakyCluster::start().await;
        let volume = cluster.volume().await;
        let (old, lost) = synced_then_not(&cluster, &volume, "frame").await;
        cluster.lose_power(names).await;
        cluster.stall_syncs(false);
        assert_eq!(read(&cluster, "frame", At::Head).await, Err(()), "{names:?}");
        // Two servers at once, and one more.
        let both = tokio::join!(look(&cluster), look(&cluster));
        assert!(both.0 == Outcome::Settled || both.1 == Outcome::Settled, "{both:?}");
        assert_eq!(look(&cluster).await, Outcome::Settled);
        assert!(cluster.client().await.losses().is_empty(), "it is noted that somebody has looked");

        assert!(read(&cluster, "frame", At::Head).await.unwrap() == old, "{names:?}");
        assert_eq!(read(&cluster, "frame", At::Version(lost)).await, Err(()), "what is lost is not made up");
        assert!(read(&cluster, "frame", At::Version(VolumeVersion(lost.0 - 1))).await.unwrap() == old);
        let fresh = cluster.volume().await;
        assert_eq!(recovered(&fresh).await.len(), 1, "{names:?}");
        let fsck = fresh.cluster().fsck(None, &mut |_| {}).await.unwrap();
        let named: Vec<_> = fsck.affected.iter().map(|affected| (affected.from, affected.is_lost)).collect();
        assert_eq!(named, [(lost, true)], "{names:?}");
        let again = pattern(3, 2 * PAGE as usize);
        fresh.write("frame", PAGE, again.clone()).await.unwrap();
        assert!(read(&cluster, "frame", At::Head).await.unwrap()[PAGE as usize..] == again[..]);
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_copy_that_is_whole_or_does_not_answer_keeps_the_content() {
    let mut cluster = ShakyCluster::start().await;
    let volume = cluster.volume().await;
    let (old, lost) = synced_then_not(&cluster, &volume, "frame").await;
    cluster.cut_power(&DATA);
    cluster.power_on("data1").await;
    assert_eq!(look(&cluster).await, Outcome::Open, "the other one may have it");
    assert_eq!(look(&cluster).await, Outcome::Open);
    assert_eq!(recovered(&volume).await, []);
    cluster.power_on("data2").await;
    assert_eq!(look(&cluster).await, Outcome::Settled);
    assert!(read(&cluster, "frame", At::Head).await.unwrap() == old);

    // The same, and only one of the two loses it.
    let new = pattern(4, 2 * PAGE as usize);
    let fresh = cluster.volume().await;
    let version = fresh.write("frame", 0, new.clone()).await.unwrap().version;
    let whole = cluster.objects_on("data2");
    cluster.lose_power(&["data1"]).await;
    assert!(cluster.objects_on("data1") < whole);
    assert_eq!(look(&cluster).await, Outcome::Settled);
    assert_eq!(recovered(&fresh).await.len(), 1, "the one of before");
    assert!(version > lost && read(&cluster, "frame", At::Head).await.unwrap()[..new.len()] == new[..]);
    cluster.stop().await;
}

#[tokio::test]
async fn what_was_written_meanwhile_stays_and_what_was_never_whole_is_left() {
    let mut cluster = ShakyCluster::start().await;
    let volume = cluster.volume().await;
    synced_then_not(&cluster, &volume, "frame").await;
    let new = pattern(5, 1000);
    volume.create("only").await.unwrap();
    volume.write("only", 0, new.clone()).await.unwrap();
    volume.create("deleted").await.unwrap();
    cluster.lose_power(&DATA).await;
    cluster.stall_syncs(false);
    let fresh = cluster.volume().await;
    let over = pattern(6, 3 * PAGE as usize);
    fresh.write("frame", 0, over.clone()).await.unwrap();
    assert_eq!(look(&cluster).await, Outcome::Settled);
    assert_eq!(recovered(&fresh).await, []);
    assert!(read(&cluster, "frame", At::Head).await.unwrap() == over);
    assert_eq!(read(&cluster, "only", At::Head).await, Err(()), "an empty file would look like a frame");
    fresh.write("only", 0, new.clone()).await.unwrap();
    assert!(read(&cluster, "only", At::Head).await.unwrap() == new);
    cluster.stop().await;
}

#[tokio::test]
async fn a_file_that_was_renamed_over_another_falls_back_to_that_one_but_not_to_a_deleted_one() {
    let mut cluster = ShakyCluster::start().await;
    let volume = cluster.volume().await;
    let old = pattern(1, 2 * PAGE as usize);
    for file in ["frame", "deleted"] {
        volume.create(file).await.unwrap();
        volume.write(file, 0, old.clone()).await.unwrap();
    }
    volume.sync().await.unwrap();
    cluster.stall_syncs(true);
    let name = |text: &str| FileName::new(text).unwrap();
    let author = Author::default();
    volume.change(&author, Change::Unlink { parent: ROOT_INODE, name: name("deleted") }).await.unwrap();
    for file in ["draft", "deleted"] {
        volume.create(file).await.unwrap();
        volume.write(file, 0, pattern(2, PAGE as usize)).await.unwrap();
    }
    let (parent, new_parent, no_replace, exchange) = (ROOT_INODE, ROOT_INODE, false, false);
    let rename = Change::Rename { parent, name: name("draft"), new_parent, new_name: name("frame"), no_replace, exchange };
    volume.change(&author, rename).await.unwrap();
    cluster.lose_power(&DATA).await;
    cluster.stall_syncs(false);
    assert_eq!(look(&cluster).await, Outcome::Settled);
    assert!(read(&cluster, "frame", At::Head).await.unwrap() == old);
    assert_eq!(read(&cluster, "deleted", At::Head).await, Err(()), "somebody meant it to be gone");
    cluster.stop().await;
}

#[tokio::test]
async fn an_update_that_was_ordered_before_is_finished_and_looked_at() {
    let (mut published, mut unpublished) = (0, 0);
    // The writer dies with the power, after so many calls. If nodes are lost as well, nobody can finish what it had ordered.
    for calls in 0.. {
        let mut cluster = ShakyCluster::start().await;
        let volume = cluster.volume().await;
        let (old, lost) = synced_then_not(&cluster, &volume, "frame").await;
        let network = DyingRpc::new(cluster.rpc.clone());
        let victim = connect(network.clone(), Duration::from_millis(100)).await.open_volume("show").await.unwrap();
        network.die_after(calls);
        let died = victim.write("frame", PAGE / 2, pattern(7, PAGE as usize)).await.is_err();
        let names = if calls % 2 == 0 { DATA.to_vec() } else { cluster.names() };
        cluster.lose_power(&names).await;
        cluster.stall_syncs(false);
        // What cannot be finished is given up with the content that it was of: the first look may wait for it.
        for _ in 0..3 {
            look(&cluster).await;
        }
        assert!(cluster.client().await.losses().is_empty(), "{calls}");
        assert!(cluster.client().await.in_flight().await.unwrap().0.is_empty(), "nobody is stuck behind it");
        assert!(read(&cluster, "frame", At::Head).await.unwrap() == old, "{calls}");
        let states = cluster.volume().await.versions("frame").await.unwrap();
        let newer = states.iter().filter(|state| state.from > lost && state.author.program != "recovery").count();
        if newer > 0 {
            published += 1
        } else {
            unpublished += 1
        }
        cluster.stop().await;
        if !died {
            break;
        }
    }
    assert!(published > 1 && unpublished > 1, "{published} published, {unpublished} not");
}

#[tokio::test]
async fn what_was_synced_is_never_given_up() {
    let mut cluster = ShakyCluster::start().await;
    let volume = cluster.volume().await;
    volume.create("log").await.unwrap();
    let mut content = Vec::new();
    // So many appends that the page is compacted, whenever that comes about: before this sync, between it and the loss, or after.
    for step in 0..60 {
        let record = pattern(step, 500);
        volume.append("log", record.clone()).await.unwrap();
        content.extend_from_slice(&record);
        if step == 40 {
            volume.sync().await.unwrap();
            let synced = content.clone();
            cluster.lose_power(&cluster.names()).await;
            assert_eq!(look(&cluster).await, Outcome::Settled);
            assert!(read(&cluster, "log", At::Head).await.unwrap() == synced);
        }
    }
    let (versions, _) = cluster.client().await.in_flight().await.unwrap();
    assert!(versions.len() < 2, "at most a compaction: {versions:?}");
    cluster.stop().await;
}
