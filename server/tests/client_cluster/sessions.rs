//! A session that lapses while a writer holds uploaded objects.

use crate::harness::{SHAPES, TestCluster, pattern, publish};
use weft_common::client::BlobStore;
use weft_common::weave::{ByteRange, DataExtent, Update};
use weft_common::wire::{Request, SessionRequest};

#[tokio::test]
async fn objects_of_a_lapsed_session_are_stored_again() {
    let cluster = TestCluster::start(SHAPES[1]).await;
    let volume = cluster.volume().await;
    let file = volume.create("file").await.unwrap();
    let object = volume.put_object(pattern(1, 1000)).await.unwrap();
    assert_eq!(volume.read_object(&object, 10..20).await.unwrap(), pattern(1, 1000).slice(10..20));
    cluster.ask(Request::Session(SessionRequest::Close(object.id.session))).await;

    let data = vec![DataExtent { offset: 0, length: 1000, object: 0, object_offset: 0 }];
    let update = Update { objects: vec![object], data, ..Update::default() };
    let published = publish(&volume, file.inode, update).await.unwrap();
    let tree = published.attributes.unwrap().tree.unwrap();
    assert_eq!(volume.read(&tree, ByteRange::new(0, 1000)).await.unwrap(), pattern(1, 1000));
    let sessions = volume.cluster().sessions().await.unwrap();
    assert!(sessions.len() == 1 && sessions[0].session != object.id.session, "{sessions:?}");
    cluster.stop().await;
}
