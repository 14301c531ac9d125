//! A writer that dies between any two calls: its update is whole or absent, and nobody behind it is stuck.

use crate::harness::{DyingRpc, PAGE, SHAPES, TestCluster, connect, pattern};
use std::time::Duration;
use weft_common::client::ClientError;
use weft_common::id::BlobVersion;
use weft_common::weave::ByteRange;
use weft_common::wire::{At, ErrorKind};

const ALL: ByteRange = ByteRange { start: 0, end: ByteRange::UNBOUNDED };

#[tokio::test]
async fn a_writer_may_die_after_any_call() {
    let (mut whole, mut absent) = (0, 0);
    for calls in 0.. {
        let cluster = TestCluster::start(SHAPES[calls % 2]).await;
        let survivor = cluster.volume().await;
        let blob = survivor.create("file").await.unwrap().tree.unwrap().blob;
        let before = pattern(1, 3 * PAGE as usize);
        survivor.write("file", 0, before.clone()).await.unwrap();

        let network = DyingRpc::new(cluster.rpc.clone());
        let victim = connect(network.clone(), Duration::from_millis(100)).await.open_volume("show").await.unwrap();
        network.die_after(calls);
        let update = pattern(2, 2 * PAGE as usize);
        let failure = victim.write("file", PAGE / 2, update.clone()).await.err();
        let died = failure.is_some();

        // Whoever comes next has its version behind the dead one's; a helper finishes that.
        let helper = cluster.client().await;
        let append = survivor.append("file", pattern(3, 10));
        let help = async {
            match helper.finish_version(blob, BlobVersion(2)).await {
                Ok(()) => {}
                Err(ClientError::Service(error)) => assert_eq!(error.kind, ErrorKind::NotFound),
                Err(other) => panic!("{other}"),
            }
        };
        let ((), appended) = tokio::join!(help, append);
        appended.unwrap();

        let content = survivor.read_file("file", At::Head, ALL).await.unwrap();
        let mut with = before.to_vec();
        with[PAGE as usize / 2..PAGE as usize / 2 + update.len()].copy_from_slice(&update);
        let (with, without) = ([&with[..], &pattern(3, 10)].concat(), [&before[..], &pattern(3, 10)].concat());
        if content == with {
            // Nobody was told that it had not happened.
            assert!(matches!(failure, None | Some(ClientError::Unconfirmed { .. })), "{failure:?}");
            whole += 1;
        } else {
            assert!(content == without && died, "neither whole nor absent after {calls} calls");
            absent += 1;
        }
        cluster.stop().await;
        if !died {
            break;
        }
    }
    assert!(whole > 1 && absent > 1, "{whole} whole, {absent} absent");
}

#[tokio::test]
async fn helpers_and_writers_may_finish_the_same_version() {
    let cluster = TestCluster::start(SHAPES[1]).await;
    let volume = cluster.volume().await;
    let blob = volume.create("file").await.unwrap().tree.unwrap().blob;
    let helper = cluster.client().await;
    // So few updates of one page cause no compaction, which would take a version of its own.
    for step in 1..16 {
        let writes = async { volume.write("file", step * 100, pattern(step, 200)).await.unwrap() };
        let (published, _) = tokio::join!(writes, helper.finish_version(blob, BlobVersion(step)));
        assert_eq!(published.blob_version, BlobVersion(step));
        helper.finish_version(blob, BlobVersion(step)).await.unwrap();
    }
    cluster.stop().await;
}
