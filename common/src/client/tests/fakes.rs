//! Providers in memory, a manager with a fixed map, and a network that fails on command.

use crate::checksum::ChunkTable;
use crate::id::{ClusterId, GroupId, Incarnation, NodeId, PageObjectId, ProviderId, SessionId, VolumeVersion};
use crate::rpc::{Address, Answer, Call, Handler, Peer, Rpc, RpcError};
use crate::transport::LocalRpc;
use crate::wire::{
    ChangeReply, ClusterMap, DataReply, DataRequest, ErrorKind, MetadataReply, MetadataRequest, PlacementReply, PlacementRequest,
    ProviderInfo, ProviderRole, ProviderState, ReplicaGroup, Reply, Request, RequestKey, ServiceError, SessionReply,
    SessionRequest, Space,
};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the network does to one call.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The request does not arrive.
    Lose,
    /// The request is carried out, its answer does not arrive.
    LoseAnswer,
    /// One bit of the answer's body is flipped.
    FlipBit,
    /// The server refuses.
    Refuse(ErrorKind),
}

/// A network over [`LocalRpc`] that applies planned faults, and counts calls.
#[derive(Debug, Default)]
pub(super) struct FaultyRpc {
    inner: LocalRpc,
    planned: Mutex<HashMap<Address, VecDeque<Fault>>>,
    always: Mutex<HashMap<Address, Fault>>,
    calls: Mutex<BTreeMap<Address, usize>>,
}

impl FaultyRpc {
    /// The next calls of `address` get these faults, one each.
    pub(super) fn plan(&self, address: &str, faults: impl IntoIterator<Item = Fault>) {
        self.planned.lock().unwrap().entry(Address(address.to_owned())).or_default().extend(faults);
    }

    /// Every call of `address` gets this fault from now on; `None` for none.
    pub(super) fn always(&self, address: &str, fault: Option<Fault>) {
        let mut always = self.always.lock().unwrap();
        match fault {
            Some(fault) => always.insert(Address(address.to_owned()), fault),
            None => always.remove(&Address(address.to_owned())),
        };
    }

    pub(super) fn calls(&self, address: &str) -> usize {
        self.calls.lock().unwrap().get(&Address(address.to_owned())).copied().unwrap_or_default()
    }

    fn next_fault(&self, address: &Address) -> Option<Fault> {
        let planned = self.planned.lock().unwrap().get_mut(address).and_then(VecDeque::pop_front);
        planned.or_else(|| self.always.lock().unwrap().get(address).cloned())
    }
}

#[async_trait::async_trait]
impl Rpc for FaultyRpc {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        *self.calls.lock().unwrap().entry(address.clone()).or_default() += 1;
        let (address, id) = (address.clone(), call.id);
        match self.next_fault(&address) {
            None => self.inner.call(&address, call).await,
            Some(Fault::Lose) => Err(RpcError::Unreachable { address, reason: "planned".to_owned() }),
            Some(Fault::Refuse(kind)) => Err(ServiceError::new(kind, "planned").from_server(&address.0).into()),
            Some(Fault::LoseAnswer) => {
                let _ = self.inner.call(&address, call).await;
                Err(RpcError::TimedOut { address, waited: Duration::ZERO, id })
            }
            Some(Fault::FlipBit) => {
                let answer = self.inner.call(&address, call).await?;
                let mut body = BytesMut::from(&answer.body[..]);
                if let Some(last) = body.last_mut() {
                    *last ^= 0x10;
                }
                Ok(Answer { body: body.freeze(), ..answer })
            }
        }
    }
}

/// A data or metadata provider.
#[derive(Debug, Default)]
pub(super) struct FakeProvider {
    pub(super) objects: Mutex<BTreeMap<PageObjectId, Bytes>>,
    pub(super) nodes: Mutex<BTreeMap<NodeId, Bytes>>,
    pub(super) full: AtomicBool,
    pub(super) syncs: AtomicUsize,
    pub(super) power_losses: AtomicU64,
}

#[async_trait::async_trait]
impl Handler for FakeProvider {
    async fn handle(&self, _: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let (reply, body) = match call.request {
            Request::Data(request) => self.data(request, call.body)?,
            Request::Metadata(request) => self.metadata(request, call.body),
            other => return Err(ServiceError::new(ErrorKind::WrongServer, other.name())),
        };
        Ok(Answer { reply, body })
    }
}

impl FakeProvider {
    fn incarnation(&self) -> Incarnation {
        Incarnation(self.power_losses.load(Ordering::Relaxed))
    }

    fn data(&self, request: DataRequest, body: Bytes) -> Result<(Reply, Bytes), ServiceError> {
        let mut objects = self.objects.lock().unwrap();
        match request {
            DataRequest::Put { .. } if self.full.load(Ordering::Relaxed) => {
                return Err(ServiceError::new(ErrorKind::NoSpace, "full"));
            }
            DataRequest::Put { object, digest } => {
                assert_eq!(ChunkTable::of(&body).digest(), digest);
                objects.insert(object, body);
                return Ok((Reply::Data(DataReply::Stored { incarnation: self.incarnation() }), Bytes::new()));
            }
            DataRequest::Get { object, offset, length } => {
                let missing = || ServiceError::new(ErrorKind::NotFound, "not here");
                let bytes = objects.get(&object).ok_or_else(missing)?;
                let range = ChunkTable::covering(bytes.len() as u32, offset, length);
                let checksums = ChunkTable::of(bytes).checksums().to_vec();
                let part = DataReply::Part { object_bytes: bytes.len() as u32, start: range.start, checksums };
                return Ok((Reply::Data(part), bytes.slice(range.start as usize..range.end as usize)));
            }
            DataRequest::Delete { objects: names } => objects.retain(|name, _| !names.contains(name)),
            DataRequest::Sync { incarnation } if incarnation != self.incarnation() => {
                return Err(ServiceError::new(ErrorKind::Stale, "power was lost"));
            }
            DataRequest::Sync { .. } => _ = self.syncs.fetch_add(1, Ordering::Relaxed),
            DataRequest::List { .. } => {
                let objects = objects.iter().map(|(id, bytes)| (*id, bytes.len() as u32)).collect();
                return Ok((Reply::Data(DataReply::List { objects, next: None }), Bytes::new()));
            }
            DataRequest::Space => return Ok((Reply::Data(DataReply::Space(Space::default())), Bytes::new())),
        }
        Ok((Reply::Data(DataReply::Done), Bytes::new()))
    }

    fn metadata(&self, request: MetadataRequest, mut body: Bytes) -> (Reply, Bytes) {
        let mut stored = self.nodes.lock().unwrap();
        match request {
            MetadataRequest::Put { nodes } => {
                for (id, length) in nodes {
                    stored.insert(id, body.split_to(length as usize));
                }
                assert!(body.is_empty());
                return (Reply::Metadata(MetadataReply::Stored { incarnation: self.incarnation() }), body);
            }
            MetadataRequest::Get { nodes } => {
                let lengths = nodes.iter().map(|id| stored.get(id).map(|bytes| bytes.len() as u32)).collect();
                let body: Vec<u8> = nodes.iter().filter_map(|id| stored.get(id)).flatten().copied().collect();
                return (Reply::Metadata(MetadataReply::Nodes { lengths }), body.into());
            }
            MetadataRequest::Delete { nodes } => stored.retain(|id, _| !nodes.contains(id)),
            MetadataRequest::Sync { .. } => _ = self.syncs.fetch_add(1, Ordering::Relaxed),
            MetadataRequest::List { .. } => {
                let nodes = stored.iter().map(|(id, bytes)| (*id, bytes.len() as u32)).collect();
                return (Reply::Metadata(MetadataReply::List { nodes, next: None }), Bytes::new());
            }
            MetadataRequest::Space => return (Reply::Metadata(MetadataReply::Space(Space::default())), Bytes::new()),
        }
        (Reply::Metadata(MetadataReply::Done), Bytes::new())
    }
}

/// A manager that gives out the map and sessions, and remembers changes by their keys.
#[derive(Debug)]
pub(super) struct FakeManager {
    pub(super) map: Mutex<ClusterMap>,
    session: AtomicU64,
    /// Keys that were carried out, in order; a repetition adds nothing.
    pub(super) changes: Mutex<Vec<RequestKey>>,
}

impl FakeManager {
    /// Every session so far is closed.
    pub(super) fn expire_sessions(&self) {
        self.session.fetch_add(1, Ordering::Relaxed);
    }

    fn change(&self, key: RequestKey) -> Result<ChangeReply, ServiceError> {
        if key.session.0 != self.session.load(Ordering::Relaxed) {
            return Err(ServiceError::new(ErrorKind::SessionExpired, "lapsed"));
        }
        let mut changes = self.changes.lock().unwrap();
        let same = |known: &RequestKey| (known.session, known.sequence) == (key.session, key.sequence);
        let place = changes.iter().position(same).unwrap_or_else(|| {
            changes.push(key);
            changes.len() - 1
        });
        Ok(ChangeReply { version: VolumeVersion(place as u64 + 1), attributes: None })
    }
}

#[async_trait::async_trait]
impl Handler for FakeManager {
    async fn handle(&self, _: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let reply = match call.request {
            Request::Placement(PlacementRequest::Map { .. }) => {
                Reply::Placement(PlacementReply::Map(Box::new(self.map.lock().unwrap().clone())))
            }
            Request::Session(SessionRequest::Open { .. }) => {
                let session = SessionId(self.session.load(Ordering::Relaxed));
                Reply::Session(SessionReply::Opened { session, lease: Duration::from_secs(60) })
            }
            Request::Session(SessionRequest::Renew { .. }) => {
                Reply::Session(SessionReply::Renewed { epoch: 1, again_in: Duration::from_secs(15), let_go: Vec::new() })
            }
            Request::Session(_) => Reply::Session(SessionReply::Done),
            Request::Change(change) => Reply::Change(self.change(change.key)?),
            other => return Err(ServiceError::new(ErrorKind::Unsupported, other.name())),
        };
        Ok(Answer { reply, body: Bytes::new() })
    }
}

/// Two managers that are one, and providers `p1`… of both roles.
#[derive(Debug)]
pub(super) struct FakeCluster {
    pub(super) rpc: Arc<FaultyRpc>,
    pub(super) managers: Vec<Address>,
    pub(super) manager: Arc<FakeManager>,
    providers: BTreeMap<String, Arc<FakeProvider>>,
}

impl FakeCluster {
    /// `data` data providers `d1`… in `groups` (by their numbers), `metadata` metadata providers `m1`…
    pub(super) fn new(data: u32, groups: &[&[u32]], metadata: u32) -> Self {
        let rpc = Arc::new(FaultyRpc::default());
        let names = (1..=data).map(|place| (place, ProviderRole::Data, format!("d{place}")));
        let names = names.chain((1..=metadata).map(|place| (100 + place, ProviderRole::Metadata, format!("m{place}"))));
        let infos: Vec<ProviderInfo> = names.map(|(id, role, address)| provider(id, role, address)).collect();
        let groups = groups.iter().enumerate().map(|(place, members)| ReplicaGroup {
            id: GroupId(place as u32),
            members: members.iter().map(|id| ProviderId(*id)).collect(),
        });
        let ranking = (1..=metadata).map(|place| ProviderId(100 + place)).collect();
        let mut providers = BTreeMap::new();
        for info in &infos {
            let provider = Arc::new(FakeProvider::default());
            rpc.inner.insert(Address(info.address.clone()), provider.clone());
            providers.insert(info.address.clone(), provider);
        }
        let map =
            ClusterMap { cluster: ClusterId(1), epoch: 1, providers: infos, groups: groups.collect(), partitions: vec![ranking] };
        let manager = Arc::new(FakeManager { map: Mutex::new(map), session: AtomicU64::new(1), changes: Mutex::default() });
        let managers: Vec<Address> = ["manager1", "manager2"].map(|name| Address(name.to_owned())).into();
        managers.iter().for_each(|address| rpc.inner.insert(address.clone(), manager.clone()));
        Self { rpc, managers, manager, providers }
    }

    pub(super) fn provider(&self, name: &str) -> &FakeProvider {
        &self.providers[name]
    }

    /// What the manager says of a provider from now on.
    pub(super) fn set_state(&self, name: &str, state: ProviderState) {
        let mut map = self.manager.map.lock().unwrap();
        map.epoch += 1;
        map.providers.iter_mut().filter(|provider| provider.address == name).for_each(|provider| provider.state = state);
    }

    /// On which metadata providers nodes lie from now on, the first choice first.
    pub(super) fn rank(&self, places: &[u32]) {
        let mut map = self.manager.map.lock().unwrap();
        map.epoch += 1;
        map.partitions = vec![places.iter().map(|place| ProviderId(100 + place)).collect()];
    }
}

fn provider(id: u32, role: ProviderRole, address: String) -> ProviderInfo {
    let (total_bytes, free_bytes) = (1 << 40, 1 << 39);
    let (zone, state, incarnation) = (String::new(), ProviderState::Alive, Incarnation(1));
    ProviderInfo { id: ProviderId(id), role, address, zone, state, total_bytes, free_bytes, incarnation, lost_since: None }
}
