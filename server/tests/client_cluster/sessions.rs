//! What a writer has uploaded may have to be stored again: its session lapsed, or the volume asks for more copies.

use crate::harness::{SHAPES, TestCluster, pattern, publish};
use weft_common::client::{BlobStore, Namespace};
use weft_common::rpc::Address;
use weft_common::weave::{ByteRange, DataExtent, Update};
use weft_common::wire::{At, NamespaceAnswer, Query, Request, SessionRequest, VolumeRequest};

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

#[tokio::test]
async fn a_volume_that_is_set_to_more_copies_gets_them_from_clients_that_have_it_open() {
    let cluster = TestCluster::start(SHAPES[0]).await;
    let volume = cluster.volume().await;
    let file = volume.create("file").await.unwrap();
    let early = volume.put_object(pattern(1, 1000)).await.unwrap();
    let mut settings = volume.info().settings;
    assert_eq!(settings.copies, 1);
    settings.copies = 2;
    cluster.ask(Request::Volume(VolumeRequest::Set { name: volume.info().name, settings })).await;

    let data = vec![DataExtent { offset: 0, length: 1000, object: 0, object_offset: 0 }];
    let update = Update { objects: vec![early], data, ..Update::default() };
    publish(&volume, file.inode, update).await.unwrap();
    let late = volume.put_object(pattern(2, 1000)).await.unwrap();
    let members = |object: weft_common::weave::PageObject| volume.cluster().map().group(object.group).unwrap().members.len();
    assert_eq!((members(early), members(late)), (1, 2));
    // Whichever provider goes, the early bytes are there.
    for gone in 1..=3 {
        let address = Address(format!("data{gone}"));
        let provider = cluster.rpc.remove(&address).unwrap();
        let reader = cluster.volume().await;
        let NamespaceAnswer::Attributes(attributes) = reader.query(At::Head, Query::Attributes(file.inode)).await.unwrap() else {
            panic!("no attributes")
        };
        let bytes = reader.read(&attributes.tree.unwrap(), ByteRange::new(0, 1000)).await.unwrap();
        assert_eq!(bytes, pattern(1, 1000), "without {address}");
        cluster.rpc.insert(address, provider);
    }
    cluster.stop().await;
}
