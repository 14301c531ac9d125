use super::*;
use crate::storage::faulty::{FaultPlan, FaultyStore};
use crate::storage::memory::MemoryStore;
use weft_common::id::{BlobId, BlobVersion, Incarnation, RequestId, VolumeId};

fn node(index: u64) -> NodeId {
    NodeId { blob: BlobId { volume: VolumeId(1), number: 2 }, version: BlobVersion(3), level: 1, index }
}

async fn ask(
    provider: &MetadataProvider,
    is_server: bool,
    request: MetadataRequest,
    body: &[u8],
) -> Result<Answer, ServiceError> {
    let body = Bytes::copy_from_slice(body);
    let call = Call { id: RequestId(1), request: Request::Metadata(request), body, deadline: Duration::from_secs(5) };
    provider.handle(&Peer { name: "peer".into(), is_server }, call).await
}

async fn round_trip(provider: &MetadataProvider) {
    let put = MetadataRequest::Put { nodes: vec![(node(1), 3), (node(2), 1), (node(3), 4)] };
    ask(provider, false, put.clone(), b"abcdefgh").await.unwrap();
    ask(provider, false, put, b"abcdefgh").await.unwrap();
    let get = MetadataRequest::Get { nodes: vec![node(3), node(9), node(1), node(3)] };
    let answer = ask(provider, false, get, b"").await.unwrap();
    let lengths = vec![Some(4), None, Some(3), Some(4)];
    assert_eq!((answer.reply, &answer.body[..]), (Reply::Metadata(MetadataReply::Nodes { lengths }), &b"efghabcefgh"[..]));
    let delete = MetadataRequest::Delete { nodes: vec![node(1), node(7)] };
    assert_eq!(ask(provider, false, delete.clone(), b"").await.unwrap_err().kind, ErrorKind::Untrusted);
    ask(provider, true, delete, b"").await.unwrap();
    let answer = ask(provider, false, MetadataRequest::Get { nodes: vec![node(1)] }, b"").await.unwrap();
    assert_eq!(answer.reply, Reply::Metadata(MetadataReply::Nodes { lengths: vec![None] }));
    ask(provider, false, MetadataRequest::Sync { incarnation: Incarnation(1) }, b"").await.unwrap();
    assert_eq!(provider.space().unwrap().objects, 2);
}

#[tokio::test]
async fn nodes_come_back_in_the_order_asked_for() {
    round_trip(&MetadataProvider::new(Arc::new(MemoryStore::default().in_incarnation(Incarnation(1))))).await;
    // This one never answers at once, so every read takes the way through a blocking thread.
    let slow = FaultyStore::new(Arc::new(MemoryStore::default().in_incarnation(Incarnation(1))), FaultPlan::default());
    round_trip(&MetadataProvider::new(Arc::new(slow))).await;
}

#[tokio::test]
async fn malformed_batches_are_refused() {
    let provider = MetadataProvider::new(Arc::new(MemoryStore::default().in_incarnation(Incarnation(1))));
    let put = |nodes| MetadataRequest::Put { nodes };
    for (request, body) in [
        (put(vec![(node(1), 3)]), &b"ab"[..]),
        (put(vec![(node(1), 3)]), &b"abcd"[..]),
        (put(vec![(node(1), 0)]), &b""[..]),
        (put(vec![(node(1), u32::MAX), (node(2), u32::MAX)]), &b"a"[..]),
        (put(vec![(node(1), 1); NODES_PER_BATCH_MAX + 1]), &[0; NODES_PER_BATCH_MAX + 1][..]),
        (MetadataRequest::Get { nodes: vec![node(1); NODES_PER_BATCH_MAX + 1] }, &b""[..]),
    ] {
        assert_eq!(ask(&provider, false, request, body).await.unwrap_err().kind, ErrorKind::InvalidArgument);
    }
    ask(&provider, false, put(vec![(node(1), 1)]), b"a").await.unwrap();
    assert_eq!(ask(&provider, false, put(vec![(node(1), 1)]), b"b").await.unwrap_err().kind, ErrorKind::Damaged);
}
