//! Tree nodes: enough copies, found wherever they are.

use super::fakes::{FakeCluster, Fault};
use super::{IMPATIENT, PATIENT, connect};
use crate::client::nodes::NodeFailure;
use crate::client::{ClientError, Cluster};
use crate::id::{BlobId, BlobVersion, NodeId, VolumeId};
use crate::limits::NODES_PER_BATCH_MAX;
use crate::weave::{Node, NodeRef, encode_node};
use crate::wire::ProviderState;
use bytes::Bytes;

fn node(index: u64) -> (NodeId, Node) {
    let id = NodeId { blob: BlobId { volume: VolumeId(1), number: 1 }, version: BlobVersion(1), level: 2, index };
    (id, Node::Inner(vec![Some(NodeRef { blob: 1, version: BlobVersion(1), level: 1 }), None]))
}

async fn put(cluster: &Cluster, copies: u8, indices: std::ops::Range<u64>) -> Result<(), ClientError> {
    let encode = |(id, node): (NodeId, Node)| (id, Bytes::from(encode_node(&id, &node).unwrap()));
    cluster.publisher.node_writer.put(cluster.context(), copies, indices.map(node).map(encode).collect()).await.map(drop)
}

async fn get(cluster: &Cluster, indices: std::ops::Range<u64>) -> Result<usize, NodeFailure> {
    let (ids, expected): (Vec<_>, Vec<_>) = indices.map(node).unzip();
    let nodes = cluster.publisher.nodes.get(cluster.context(), &ids).await?;
    assert!(nodes.iter().zip(&expected).all(|(found, expected)| **found == *expected));
    Ok(nodes.len())
}

#[tokio::test]
async fn nodes_survive_the_loss_of_a_provider() {
    let fake = FakeCluster::new(0, &[], 3);
    let count = NODES_PER_BATCH_MAX as u64 * 2 + 5;
    put(&*connect(&fake, PATIENT).await, 2, 0..count).await.unwrap();
    assert_eq!(fake.rpc.calls("m1"), 3, "batches are as large as they may be");
    assert_eq!(fake.provider("m3").nodes.lock().unwrap().len(), 0);
    fake.rpc.always("m1", Some(Fault::Lose));
    let reader = connect(&fake, PATIENT).await;
    assert_eq!(get(&reader, 0..count).await.unwrap(), count as usize);
    let calls = fake.rpc.calls("m2");
    assert_eq!(get(&reader, 0..count).await.unwrap(), count as usize);
    assert_eq!(fake.rpc.calls("m2"), calls, "the second time they come from the cache");
}

#[tokio::test]
async fn the_next_in_the_ranking_takes_the_place_of_one_that_fails() {
    let fake = FakeCluster::new(0, &[], 3);
    fake.rpc.always("m1", Some(Fault::Lose));
    put(&*connect(&fake, PATIENT).await, 2, 0..3).await.unwrap();
    fake.rpc.always("m1", None);
    fake.set_state("m2", ProviderState::Dead);
    fake.rpc.always("m2", Some(Fault::Lose));
    assert_eq!(get(&*connect(&fake, PATIENT).await, 0..3).await.unwrap(), 3, "found behind one that does not have them");
    fake.set_state("m3", ProviderState::Dead);
    let error = put(&*connect(&fake, IMPATIENT).await, 2, 3..4).await.unwrap_err();
    assert!(matches!(error, ClientError::TooFewProviders { role: "metadata", needed: 2, alive: 1 }), "{error}");
}

#[tokio::test]
async fn nothing_is_called_lost_by_an_old_map() {
    let fake = FakeCluster::new(0, &[], 2);
    fake.rank(&[1]);
    let (reader, checker) = (connect(&fake, PATIENT).await, connect(&fake, PATIENT).await);
    fake.rank(&[2, 1]);
    put(&*connect(&fake, PATIENT).await, 1, 0..3).await.unwrap();
    assert_eq!(fake.provider("m1").nodes.lock().unwrap().len(), 0);
    assert_eq!(get(&reader, 0..3).await.unwrap(), 3);
    let checked = checker.check_nodes(checker.context(), &[node(0).0], 1).await;
    assert!(checked.iter().all(|checked| checked.fault.is_none()), "{:?}", checked[0].fault);
}

#[tokio::test]
async fn a_damaged_node_is_read_elsewhere_and_a_missing_one_told_from_a_silent_provider() {
    let fake = FakeCluster::new(0, &[], 2);
    put(&*connect(&fake, PATIENT).await, 2, 0..2).await.unwrap();
    let (first, _) = node(0);
    fake.provider("m1").nodes.lock().unwrap().insert(first, Bytes::from_static(b"not a node"));
    assert_eq!(get(&*connect(&fake, PATIENT).await, 0..2).await.unwrap(), 2);
    let cluster = connect(&fake, IMPATIENT).await;
    assert!(matches!(get(&cluster, 0..3).await, Err(NodeFailure::Missing(ClientError::Damaged { .. }))));
    fake.provider("m2").nodes.lock().unwrap().remove(&first);
    assert!(matches!(get(&*connect(&fake, IMPATIENT).await, 0..1).await, Err(NodeFailure::Missing(_))));
    fake.rpc.always("m2", Some(Fault::Lose));
    let silent = get(&*connect(&fake, IMPATIENT).await, 0..1).await;
    assert!(matches!(silent, Err(NodeFailure::Other(ClientError::Unavailable { .. }))), "m2 may have it: {silent:?}");
}
