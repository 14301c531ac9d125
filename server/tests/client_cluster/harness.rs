//! A cluster in one process, and a network that dies after so many calls.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weft_common::client::{ClientOptions, Cluster, Namespace, PublishRequest, Volume};
use weft_common::id::{BlobId, ClusterId, GroupId, Incarnation, InodeNumber, ProviderId, RequestId};
use weft_common::rpc::{Address, Answer, Call, Handler, Peer, Rpc, RpcError};
use weft_common::time::Timestamp;
use weft_common::transport::LocalRpc;
use weft_common::weave::{Geometry, Operation, Tree, Update};
use weft_common::wire::{
    At, Author, BlobReply, BlobRequest, ClusterMap, NamespaceAnswer, PlacementReply, PlacementRequest, ProviderInfo,
    ProviderRole, ProviderState, Query, ReplicaGroup, Reply, Request, ServiceError, VolumeSettings,
};
use weft_server::data::DataProvider;
use weft_server::metadata::MetadataProvider;
use weft_server::storage::memory::MemoryStore;
use weft_server::version::{Manager, ManagerOptions};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PROVIDERS: u32 = 3;

/// A volume's page size and fan-out, and its copies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) fan_out: u32,
    pub(crate) copies: u8,
}

pub(crate) const SHAPES: [Shape; 2] = [Shape { fan_out: 2, copies: 1 }, Shape { fan_out: 32, copies: 2 }];
/// Small pages make tall trees of small files.
pub(crate) const PAGE: u64 = 64 * 1024;

#[derive(Debug)]
enum Role {
    Manager(Manager, Box<ClusterMap>),
    Data(DataProvider),
    Metadata(MetadataProvider),
}

#[async_trait::async_trait]
impl Handler for Role {
    async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        match self {
            Self::Manager(_, map) if matches!(call.request, Request::Placement(PlacementRequest::Map { .. })) => {
                let reply = Reply::Placement(PlacementReply::Map(map.clone()));
                Ok(Answer { reply, body: Bytes::new() })
            }
            Self::Manager(manager, _) => manager.handle(peer, call).await,
            Self::Data(provider) => provider.handle(peer, call).await,
            Self::Metadata(provider) => provider.handle(peer, call).await,
        }
    }
}

/// All roles, reached without a network.
#[derive(Debug)]
pub(crate) struct TestCluster {
    pub(crate) rpc: Arc<LocalRpc>,
    manager: Manager,
    folder: tempfile::TempDir,
}

impl TestCluster {
    /// Starts the roles and makes the volume `show`.
    pub(crate) async fn start(shape: Shape) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manager = Manager::open(folder.path(), ManagerOptions::default()).unwrap();
        let rpc = Arc::new(LocalRpc::new());
        let insert = |address: &str, role: Role| rpc.insert(Address(address.to_owned()), Arc::new(role));
        insert("manager", Role::Manager(manager.clone(), Box::new(map())));
        for place in 1..=PROVIDERS {
            insert(&format!("data{place}"), Role::Data(DataProvider::new(Arc::new(MemoryStore::default()))));
            insert(&format!("metadata{place}"), Role::Metadata(MetadataProvider::new(Arc::new(MemoryStore::default()))));
        }
        let cluster = Self { rpc, manager, folder };
        let settings = VolumeSettings { geometry: Geometry::new(PAGE as u32, shape.fan_out).unwrap(), copies: shape.copies };
        cluster.client().await.create_volume("show", settings, (0, 0)).await.unwrap();
        cluster
    }

    /// A further client.
    pub(crate) async fn client(&self) -> Arc<Cluster> {
        connect(self.rpc.clone(), PATIENCE).await
    }

    /// The volume as a further client opens it.
    pub(crate) async fn volume(&self) -> Arc<Volume> {
        self.client().await.open_volume("show").await.unwrap()
    }

    /// Asks the manager as nobody in particular.
    pub(crate) async fn ask(&self, request: Request) -> Reply {
        let call = Call { id: RequestId(0), request, body: Bytes::new(), deadline: PATIENCE };
        self.rpc.call(&Address("manager".to_owned()), call).await.unwrap().reply
    }

    /// The newest published version of a blob.
    pub(crate) async fn newest(&self, blob: BlobId) -> Tree {
        match self.ask(Request::Blob(BlobRequest::Tree { blob, version: None })).await {
            Reply::Blob(BlobReply::Tree(tree)) => tree,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn stop(self) {
        self.manager.shutdown().await.unwrap();
        drop(self.folder);
    }
}

pub(crate) async fn connect(rpc: Arc<dyn Rpc>, timeout: Duration) -> Arc<Cluster> {
    let options = ClientOptions { timeout, purpose: "test".to_owned(), ..ClientOptions::default() };
    Cluster::connect(rpc, vec![Address("manager".to_owned())], options).await.unwrap()
}

fn map() -> ClusterMap {
    let provider = |id: u32, role, name: &str| ProviderInfo {
        id: ProviderId(id),
        role,
        address: format!("{name}{}", id % 10),
        zone: String::new(),
        state: ProviderState::Alive,
        total_bytes: 1 << 40,
        free_bytes: 1 << 39,
        incarnation: Incarnation(1),
        lost_since: None,
    };
    let data = (1..=PROVIDERS).map(|id| provider(id, ProviderRole::Data, "data"));
    let metadata = (11..=10 + PROVIDERS).map(|id| provider(id, ProviderRole::Metadata, "metadata"));
    let groups: [&[u32]; 6] = [&[1], &[2], &[3], &[1, 2], &[2, 3], &[3, 1]];
    let group = |(place, members): (usize, &&[u32])| ReplicaGroup {
        id: GroupId(place as u32),
        members: members.iter().map(|id| ProviderId(*id)).collect(),
    };
    let rotated = |by: u32| (0..PROVIDERS).map(|place| ProviderId(11 + (place + by) % PROVIDERS)).collect();
    ClusterMap {
        cluster: ClusterId(1),
        epoch: 1,
        providers: data.chain(metadata).collect(),
        groups: groups.iter().enumerate().map(group).collect(),
        partitions: (0..PROVIDERS).map(rotated).collect(),
    }
}

/// A network that carries so many calls, and then nothing any more: the process behind it died.
#[derive(Debug)]
pub(crate) struct DyingRpc {
    inner: Arc<LocalRpc>,
    calls_left: AtomicUsize,
}

impl DyingRpc {
    pub(crate) fn new(inner: Arc<LocalRpc>) -> Arc<Self> {
        Arc::new(Self { inner, calls_left: AtomicUsize::new(usize::MAX) })
    }

    /// So many more calls go through.
    pub(crate) fn die_after(&self, calls: usize) {
        self.calls_left.store(calls, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Rpc for DyingRpc {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        let took = self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match took {
            Ok(_) => self.inner.call(address, call).await,
            Err(_) => Err(RpcError::Unreachable { address: address.clone(), reason: "this process died".to_owned() }),
        }
    }
}

/// Publishes `update` of a file.
pub(crate) async fn publish(
    volume: &Volume,
    inode: InodeNumber,
    update: Update,
) -> Result<weft_common::client::Published, weft_common::client::ClientError> {
    use weft_common::client::BlobStore;
    let (operation, modified, author) = (Operation::Write(update), Timestamp(1), Author::default());
    volume.publish(PublishRequest { inode, operation, modified, author, only_in: None }).await
}

/// Space and counts of the volume; here to see that queries of all kinds pass.
pub(crate) async fn live_bytes(volume: &Volume) -> u64 {
    match volume.query(At::Head, Query::Statistics).await.unwrap() {
        NamespaceAnswer::Statistics(statistics) => statistics.live_bytes,
        other => panic!("{other:?}"),
    }
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn pattern(seed: u64, length: usize) -> Bytes {
    let byte = |place: usize| (((place as u64).wrapping_mul(31) ^ seed.wrapping_mul(0x9e37_79b9)) >> 3) as u8;
    (0..length).map(byte).collect()
}

/// A small deterministic source of numbers.
#[derive(Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // Constants of Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Contents by volume version, to be compared with what is read later.
pub(crate) type Contents = BTreeMap<weft_common::id::VolumeVersion, Vec<u8>>;
