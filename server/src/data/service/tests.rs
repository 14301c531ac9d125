use super::*;
use crate::storage::faulty::{FaultPlan, FaultyStore};
use crate::storage::memory::MemoryStore;
use weft_common::id::{Incarnation, RequestId, SessionId};
use weft_common::limits::CHUNK_BYTES;
use weft_common::wire::MetadataRequest;

const OBJECT: PageObjectId = PageObjectId { session: SessionId(1), sequence: 2 };

fn client() -> Peer {
    Peer { name: "client".into(), is_server: false }
}

async fn ask(provider: &DataProvider, request: DataRequest, body: &[u8]) -> Result<Answer, ServiceError> {
    let body = Bytes::copy_from_slice(body);
    let call = Call { id: RequestId(1), request: Request::Data(request), body, deadline: Duration::from_secs(5) };
    provider.handle(&client(), call).await
}

fn page() -> Vec<u8> {
    (0..3 * CHUNK_BYTES + 17).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn a_part_arrives_with_what_verifies_it() {
    let provider = DataProvider::new(Arc::new(MemoryStore::default().in_incarnation(Incarnation(1))));
    let (page, digest) = (page(), ChunkTable::of(&page()).digest());
    ask(&provider, DataRequest::Put { object: OBJECT, digest }, &page).await.unwrap();
    for (offset, length) in
        [(0, 1), (40_000, 10), (0, u32::MAX), (page.len() as u32 - 1, 1), (98_304, 100), (page.len() as u32, 5)]
    {
        let answer = ask(&provider, DataRequest::Get { object: OBJECT, offset, length }, b"").await.unwrap();
        let Reply::Data(DataReply::Part { object_bytes, start, checksums }) = answer.reply else { panic!("no part") };
        let covering = ChunkTable::covering(object_bytes, offset, length);
        assert_eq!(answer.body, page[covering.start as usize..covering.end as usize]);
        ChunkTable::from_checksums(object_bytes, checksums).verify(digest, start, &answer.body).unwrap();
    }
    let beyond = ask(&provider, DataRequest::Get { object: OBJECT, offset: page.len() as u32 + 1, length: 1 }, b"").await;
    assert_eq!(beyond.unwrap_err().kind, ErrorKind::InvalidArgument);
    assert_eq!(provider.space().unwrap().objects, 1);
    ask(&provider, DataRequest::Sync { incarnation: Incarnation(1) }, b"").await.unwrap();
    let lost = ask(&provider, DataRequest::Sync { incarnation: Incarnation(0) }, b"").await.unwrap_err();
    assert!(lost.kind == ErrorKind::Stale && !lost.retry && lost.message.contains("lost power"), "{lost}");
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let provider = DataProvider::new(Arc::new(MemoryStore::default().in_incarnation(Incarnation(1))));
    let put = |digest| DataRequest::Put { object: OBJECT, digest };
    let wrong = ask(&provider, put(Digest(1)), b"abc").await.unwrap_err();
    assert!(wrong.kind == ErrorKind::Damaged && wrong.retry);
    let empty = ask(&provider, put(Digest(1)), b"").await.unwrap_err();
    assert_eq!(empty.kind, ErrorKind::InvalidArgument);
    let missing = ask(&provider, DataRequest::Get { object: OBJECT, offset: 0, length: 1 }, b"").await.unwrap_err();
    assert!(missing.kind == ErrorKind::NotFound && missing.message.contains("page1.2"));
    ask(&provider, put(ChunkTable::of(b"abc").digest()), b"abc").await.unwrap();
    let other = ask(&provider, put(ChunkTable::of(b"abd").digest()), b"abd").await.unwrap_err();
    assert!(other.kind == ErrorKind::Damaged && !other.retry);
    let request = Request::Metadata(MetadataRequest::Sync { incarnation: Incarnation(1) });
    let call = Call { id: RequestId(1), request, body: Bytes::new(), deadline: Duration::from_secs(5) };
    assert_eq!(provider.handle(&client(), call).await.unwrap_err().kind, ErrorKind::WrongServer);
}

#[tokio::test]
async fn only_servers_delete() {
    let provider = DataProvider::new(Arc::new(MemoryStore::default().in_incarnation(Incarnation(1))));
    ask(&provider, DataRequest::Put { object: OBJECT, digest: ChunkTable::of(b"abc").digest() }, b"abc").await.unwrap();
    let delete = DataRequest::Delete { objects: vec![OBJECT] };
    assert_eq!(ask(&provider, delete.clone(), b"").await.unwrap_err().kind, ErrorKind::Untrusted);
    let server = Peer { name: "collector".into(), is_server: true };
    let call = Call { id: RequestId(1), request: Request::Data(delete), body: Bytes::new(), deadline: Duration::from_secs(5) };
    provider.handle(&server, call).await.unwrap();
    assert_eq!(provider.space().unwrap().objects, 0);
}

#[tokio::test]
async fn failures_of_the_disk_reach_the_caller() {
    let plan = FaultPlan { no_space_put: 1, fail_sync: 1, ..FaultPlan::default() };
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::default().in_incarnation(Incarnation(1))), plan));
    let provider = DataProvider::new(Arc::clone(&store) as Arc<dyn ObjectStore>);
    let put = || DataRequest::Put { object: OBJECT, digest: ChunkTable::of(b"abc").digest() };
    let full = ask(&provider, put(), b"abc").await.unwrap_err();
    assert!(full.kind == ErrorKind::NoSpace && !full.retry);
    ask(&provider, put(), b"abc").await.unwrap();
    store.flip_bit(Key::from(OBJECT), 1);
    let answer = ask(&provider, DataRequest::Get { object: OBJECT, offset: 0, length: 3 }, b"").await.unwrap();
    let Reply::Data(DataReply::Part { object_bytes, start, checksums }) = answer.reply else { panic!("no part") };
    let table = ChunkTable::from_checksums(object_bytes, checksums);
    assert!(table.verify(table.digest(), start, &answer.body).is_err(), "the reader must notice the flipped bit");
    assert_eq!(
        ask(&provider, DataRequest::Sync { incarnation: Incarnation(1) }, b"").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    assert_eq!(ask(&provider, put(), b"abc").await.unwrap_err().kind, ErrorKind::Unavailable);
}
