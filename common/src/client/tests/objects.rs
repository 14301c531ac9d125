//! Page objects: all copies or none, whole bytes or an error.

use super::fakes::{FakeCluster, Fault};
use super::{IMPATIENT, PATIENT, connect};
use crate::client::{ClientError, Cluster};
use crate::limits::CHUNK_BYTES;
use crate::weave::PageObject;
use crate::wire::{ErrorKind, ProviderState};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn bytes(length: u32) -> Bytes {
    (0..length).map(|place| (place % 251) as u8).collect()
}

async fn put(cluster: &Cluster, copies: u8, bytes: Bytes) -> Result<PageObject, ClientError> {
    let context = cluster.context();
    let session = cluster.sessions.current(context).await?;
    cluster.objects.put(context, &session, copies, bytes).await
}

async fn get(cluster: &Cluster, object: &PageObject, offset: u32, length: u32) -> Result<Bytes, ClientError> {
    cluster.reader.parts().part(cluster.context(), *object, offset, length).await
}

fn is(error: &ClientError, kind: ErrorKind) -> bool {
    matches!(error, ClientError::Service(error) if error.kind == kind)
}

#[tokio::test]
async fn an_object_goes_to_all_members_and_parts_come_back() {
    let fake = FakeCluster::new(3, &[&[1, 3]], 0);
    let cluster = connect(&fake, PATIENT).await;
    let content = bytes(3 * CHUNK_BYTES + 100);
    let object = put(&cluster, 2, content.clone()).await.unwrap();
    for name in ["d1", "d3"] {
        assert_eq!(fake.provider(name).objects.lock().unwrap()[&object.id], content);
    }
    let part = get(&cluster, &object, CHUNK_BYTES + 7, 20).await.unwrap();
    assert_eq!(part, content.slice(CHUNK_BYTES as usize + 7..CHUNK_BYTES as usize + 27));
    let calls = fake.rpc.calls("d1") + fake.rpc.calls("d3");
    get(&cluster, &object, CHUNK_BYTES + 100, 20).await.unwrap();
    assert_eq!(fake.rpc.calls("d1") + fake.rpc.calls("d3"), calls, "the same chunk again comes from the cache");
    assert!(matches!(get(&cluster, &object, content.len() as u32, 1).await, Err(ClientError::Damaged { .. })));
}

#[tokio::test]
async fn a_damaged_copy_is_never_returned() {
    let fake = FakeCluster::new(2, &[&[1, 2]], 0);
    let cluster = connect(&fake, PATIENT).await;
    let content = bytes(1000);
    for round in 0..10 {
        let object = put(&cluster, 2, content.clone()).await.unwrap();
        let damaged = ["d1", "d2"][round % 2];
        fake.rpc.always(damaged, Some(Fault::FlipBit));
        assert_eq!(get(&cluster, &object, 0, 1000).await.unwrap(), content);
        fake.rpc.always(damaged, None);
    }
    let object = put(&cluster, 2, content).await.unwrap();
    fake.rpc.always("d1", Some(Fault::FlipBit));
    fake.provider("d2").objects.lock().unwrap().clear();
    let error = get(&cluster, &object, 0, 1000).await.unwrap_err();
    assert!(matches!(&error, ClientError::Damaged { detail, .. } if detail.contains("d1") && detail.contains("d2")), "{error}");
}

#[tokio::test]
async fn a_failing_member_makes_the_object_go_elsewhere() {
    let fake = FakeCluster::new(4, &[&[1, 2], &[3, 4]], 0);
    let cluster = connect(&fake, PATIENT).await;
    fake.rpc.always("d2", Some(Fault::Lose));
    for _ in 0..10 {
        let object = put(&cluster, 2, bytes(10)).await.unwrap();
        assert_eq!(object.group.0, 1);
    }
    assert!(fake.rpc.calls("d2") <= 1, "a provider that failed is avoided");
}

#[tokio::test]
async fn short_failures_are_waited_out_and_long_ones_reported() {
    let fake = FakeCluster::new(1, &[&[1]], 0);
    let cluster = connect(&fake, PATIENT).await;
    fake.rpc.plan("d1", [Fault::Lose, Fault::LoseAnswer, Fault::Refuse(ErrorKind::Busy)]);
    let object = put(&cluster, 1, bytes(10)).await.unwrap();
    fake.rpc.plan("d1", [Fault::Lose, Fault::Lose]);
    assert_eq!(get(&cluster, &object, 0, 10).await.unwrap(), bytes(10));
    let cluster = connect(&fake, IMPATIENT).await;
    fake.rpc.always("d1", Some(Fault::Lose));
    let error = put(&cluster, 1, bytes(10)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unavailable { attempts, .. } if *attempts > 1), "{error}");
    assert!(error.to_string().contains("d1"), "{error}");
    assert!(matches!(get(&cluster, &object, 0, 10).await, Err(ClientError::Unavailable { .. })));
}

#[tokio::test]
async fn without_room_or_providers_nothing_is_accepted() {
    let fake = FakeCluster::new(2, &[&[1], &[2], &[1, 2]], 0);
    let cluster = connect(&fake, IMPATIENT).await;
    fake.provider("d1").full.store(true, Ordering::Relaxed);
    for _ in 0..10 {
        assert_eq!(put(&cluster, 1, bytes(10)).await.unwrap().group.0, 1);
    }
    assert!(is(&put(&cluster, 2, bytes(10)).await.unwrap_err(), ErrorKind::NoSpace));
    fake.set_state("d2", ProviderState::Full);
    fake.set_state("d1", ProviderState::Full);
    let cluster = connect(&fake, PATIENT).await;
    assert!(is(&put(&cluster, 1, bytes(10)).await.unwrap_err(), ErrorKind::NoSpace));
    let error = put(&cluster, 3, bytes(10)).await.unwrap_err();
    assert!(matches!(error, ClientError::TooFewProviders { needed: 3, alive: 0, .. }), "{error}");
    assert!(is(&put(&cluster, 1, Bytes::new()).await.unwrap_err(), ErrorKind::InvalidArgument));
}

#[tokio::test]
async fn a_provider_that_comes_back_is_waited_for() {
    let fake = FakeCluster::new(2, &[&[1, 2]], 0);
    fake.set_state("d2", ProviderState::Dead);
    let cluster = connect(&fake, IMPATIENT).await;
    let error = put(&cluster, 2, bytes(10)).await.unwrap_err();
    assert!(matches!(error, ClientError::TooFewProviders { needed: 2, alive: 1, .. }), "{error}");
    let cluster = connect(&fake, PATIENT).await;
    let writer = tokio::spawn(async move { put(&cluster, 2, bytes(10)).await });
    while fake.rpc.calls("manager1") < 5 {
        tokio::task::yield_now().await;
    }
    fake.set_state("d2", ProviderState::Alive);
    writer.await.unwrap().unwrap();
}

#[tokio::test]
async fn readers_of_one_part_fetch_it_once() {
    let fake = FakeCluster::new(1, &[&[1]], 0);
    let cluster = connect(&fake, PATIENT).await;
    let object = put(&cluster, 1, bytes(1000)).await.unwrap();
    let calls = fake.rpc.calls("d1");
    let reads = (0..20).map(|place| get(&cluster, &object, place, 10));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.unwrap().len(), 10);
    }
    assert_eq!(fake.rpc.calls("d1"), calls + 1);
}

#[tokio::test]
async fn a_sync_reaches_whoever_took_something_until_it_succeeds() {
    let fake = FakeCluster::new(3, &[&[1, 2]], 0);
    let cluster: Arc<Cluster> = connect(&fake, IMPATIENT).await;
    let syncs = |name: &str| fake.provider(name).syncs.load(Ordering::Relaxed);
    put(&cluster, 2, bytes(10)).await.unwrap();
    fake.rpc.always("d2", Some(Fault::Lose));
    assert!(cluster.unsynced.sync(cluster.context()).await.is_err());
    assert!(cluster.unsynced.sync(cluster.context()).await.is_err(), "what failed is not forgotten");
    fake.rpc.always("d2", None);
    cluster.unsynced.sync(cluster.context()).await.unwrap();
    assert_eq!((syncs("d1"), syncs("d2"), syncs("d3")), (1, 1, 0));
    cluster.unsynced.sync(cluster.context()).await.unwrap();
    assert_eq!(syncs("d2"), 1, "nothing new, nothing to do");
}

#[tokio::test]
async fn a_provider_that_lost_power_is_never_taken_for_one_that_synced() {
    let fake = FakeCluster::new(2, &[&[1, 2]], 0);
    let cluster = connect(&fake, IMPATIENT).await;
    put(&cluster, 2, bytes(10)).await.unwrap();
    fake.provider("d2").power_losses.store(1, Ordering::Relaxed);
    put(&cluster, 2, bytes(10)).await.unwrap();
    let error = cluster.unsynced.sync(cluster.context()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Service(error) if error.kind == ErrorKind::Stale), "{error}");
    assert_eq!(cluster.unsynced.losses(), 1);
    cluster.unsynced.sync(cluster.context()).await.unwrap();
    assert_eq!(cluster.unsynced.losses(), 1, "told once");
    assert_eq!(fake.provider("d2").syncs.load(Ordering::Relaxed), 1, "what it took after the loss is synced");
}
