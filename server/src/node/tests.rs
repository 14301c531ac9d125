use super::*;
use crate::config::example;
use bytes::Bytes;
use std::path::Path;
use weft_common::checksum::ChunkTable;
use weft_common::id::{Incarnation, PageObjectId, RequestId, SessionId};
use weft_common::rpc::{Call, RpcError};
use weft_common::time::Timestamp;
use weft_common::transport::create_cluster_files;
use weft_common::wire::{
    ClusterMap, DataReply, DataRequest, ErrorKind, PlacementReply, PlacementRequest, ProviderState, Reply, Request, VolumeReply,
    VolumeRequest,
};

fn call(request: Request, body: impl Into<Bytes>) -> Call {
    Call { id: RequestId(1), request, body: body.into(), deadline: Duration::from_secs(20) }
}

async fn map(rpc: &dyn Rpc, manager: &Address) -> ClusterMap {
    let request = Request::Placement(PlacementRequest::Map { known: 0 });
    match rpc.call(manager, call(request, "")).await.unwrap().reply {
        Reply::Placement(PlacementReply::Map(map)) => *map,
        other => panic!("{other:?}"),
    }
}

fn client(identity: &Path) -> QuicRpc {
    QuicRpc::new(&Identity::load(identity, Holder::Client).unwrap()).unwrap()
}

/// A configuration in `folder` that listens where the system chooses; tests bind first and then know the address.
fn config(folder: &Path, identity: &Path, roles: &[Role], managers: &[Address]) -> (Config, Identity, Listener) {
    let identity_shown = Identity::load(identity, Holder::Server).unwrap();
    let listener = Listener::bind(&identity_shown, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_address().unwrap();
    let mut config = Config::parse(&example(&address.to_string(), &address.to_string()), &folder.join("weftd.toml")).unwrap();
    config.roles = roles.iter().copied().collect();
    identity.clone_into(&mut config.identity);
    if !managers.is_empty() {
        config.managers = managers.to_vec();
    }
    (config, identity_shown, listener)
}

async fn start(folder: &Path, identity: &Path, roles: &[Role], managers: &[Address]) -> Result<Node, NodeError> {
    let (config, identity, listener) = config(folder, identity, roles, managers);
    Node::start_on(&config, &identity, listener).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_node_answers_directly_and_over_the_network_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let object = PageObjectId { session: SessionId(1), sequence: 1 };
    let bytes = Bytes::from(vec![5u8; 100_000]);
    let node = start_local(folder.path()).await.unwrap();
    let cluster = node.cluster();
    let manager = node.managers()[0].clone();
    let map_before = map(&*node.rpc(), &manager).await;
    assert_eq!(map_before.cluster, cluster);
    assert!(map_before.providers.iter().all(|provider| provider.state == ProviderState::Alive));
    assert_eq!((map_before.providers.len(), map_before.groups.len()), (2, 1));

    let put = Request::Data(DataRequest::Put { object, digest: ChunkTable::of(&bytes).digest() });
    node.rpc().call(&manager, call(put, bytes.clone())).await.unwrap();
    let address = Address(std::fs::read_to_string(folder.path().join("address")).unwrap().trim().to_owned());
    let outside = client(node.identity());
    let get = || call(Request::Data(DataRequest::Get { object, offset: 0, length: 100_000 }), "");
    assert_eq!(outside.call(&address, get()).await.unwrap().body, bytes);
    let volumes = outside.call(&address, call(Request::Volume(VolumeRequest::List), "")).await.unwrap().reply;
    assert_eq!(volumes, Reply::Volume(VolumeReply::Volumes(vec![])));

    let second = start_local(folder.path()).await;
    assert!(second.is_err(), "two processes must not share a folder");
    node.stop().await.unwrap();
    assert!(!folder.path().join("address").exists());

    let node = start_local(folder.path()).await.unwrap();
    assert_eq!(node.cluster(), cluster);
    let manager = node.managers()[0].clone();
    let map_after = map(&*node.rpc(), &manager).await;
    assert_eq!(map_after.groups, map_before.groups, "providers are known again");
    let answer = node.rpc().call(&manager, get()).await.unwrap();
    assert!(matches!(answer.reply, Reply::Data(DataReply::Part { .. })) && answer.body == bytes);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_one_role_each_make_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let (path, identity) = (folder.path(), folder.path().join("identity"));
    create_cluster_files(&identity, ClusterId(3)).unwrap();
    let manager = start(&path.join("m"), &identity, &[Role::VersionManager], &[]).await.unwrap();
    let address = [manager.address().clone()];
    let mut others = Vec::new();
    for (name, role) in [("a", Role::Metadata), ("b", Role::Data), ("c", Role::Data)] {
        let mut node = start(&path.join(name), &identity, &[role], &address).await.unwrap();
        node.joined().await.unwrap();
        others.push(node);
    }
    let rpc = client(&identity);
    let map = map(&rpc, &address[0]).await;
    assert_eq!(map.providers.len(), 3);
    assert!(map.groups.iter().any(|group| group.members.len() == 2));
    // Each knows its own role only, and says who it is.
    let wrong = rpc.call(others[0].address(), call(Request::Data(DataRequest::Sync { incarnation: Incarnation(1) }), "")).await;
    let Err(RpcError::Service(error)) = wrong else { panic!("{wrong:?}") };
    assert_eq!(error.kind, ErrorKind::WrongServer);
    assert_eq!(error.server, format!("data@{}", others[0].address()));
    // Clients cannot pose as providers.
    let request = Request::Placement(PlacementRequest::Heartbeat {
        provider: map.providers[0].id,
        space: Default::default(),
        synced: Timestamp(0),
    });
    let Err(RpcError::Service(error)) = rpc.call(&address[0], call(request, "")).await else { panic!("not refused") };
    assert_eq!(error.kind, ErrorKind::Untrusted);
    for node in others {
        node.stop().await.unwrap();
    }
    manager.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_waits_for_its_manager() {
    let folder = tempfile::tempdir().unwrap();
    let (path, identity) = (folder.path(), folder.path().join("identity"));
    create_cluster_files(&identity, ClusterId(3)).unwrap();
    let (manager_config, shown, listener) = config(&path.join("m"), &identity, &[Role::VersionManager], &[]);
    let mut data = start(&path.join("d"), &identity, &[Role::Data], &manager_config.managers).await.unwrap();
    let manager = Node::start_on(&manager_config, &shown, listener).await.unwrap();
    data.joined().await.unwrap();
    data.stop().await.unwrap();
    manager.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_of_another_cluster_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (ours, theirs) = (path.join("ours"), path.join("theirs"));
    create_cluster_files(&ours, ClusterId(1)).unwrap();
    create_cluster_files(&theirs, ClusterId(2)).unwrap();
    let all = [Role::VersionManager, Role::Metadata, Role::Data];
    let mut node = start(&path.join("node"), &ours, &all, &[]).await.unwrap();
    node.joined().await.unwrap();
    node.stop().await.unwrap();
    for role in all {
        let error = start(&path.join("node"), &theirs, &[role], &[Address("127.0.0.1:9".into())]).await.unwrap_err();
        assert!(matches!(error, NodeError::OtherCluster { .. }), "{role}: {error}");
        assert!(error.to_string().contains(&ClusterId(1).to_string()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_the_manager_does_not_know_cannot_join() {
    let folder = tempfile::tempdir().unwrap();
    let (path, identity) = (folder.path(), folder.path().join("identity"));
    create_cluster_files(&identity, ClusterId(1)).unwrap();
    let both = [Role::VersionManager, Role::Data];
    let mut node = start(&path.join("node"), &identity, &both, &[]).await.unwrap();
    node.joined().await.unwrap();
    node.stop().await.unwrap();
    std::fs::remove_dir_all(path.join("node/store/manager")).unwrap();
    let mut node = start(&path.join("node"), &identity, &both, &[]).await.unwrap();
    let error = node.failed().await;
    assert!(matches!(error, NodeError::Refused { role: Role::Data, .. }), "{error}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    create_cluster_files(&identity, ClusterId(1)).unwrap();
    let (config, _, _listener) = config(&folder.path().join("node"), &identity, &[Role::VersionManager], &[]);
    let error = Node::start(&config).await.unwrap_err();
    assert!(error.to_string().contains(&format!("cannot listen on {}", config.listen)), "{error}");
    assert!(!config.manager_store.exists(), "nothing was made");
}
