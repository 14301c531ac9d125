//! A cluster in this process: the real client library, version manager and metadata providers, and a network that counts.
//!
//! Each message is encoded as QUIC would carry it, so that its bytes are those of the wire (without QUIC's own frames). Data providers are
//! stand-ins that take everything and hand out one page object: what they do is the same whatever the size of anything is.

use crate::Outcome;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use weft_common::checksum::ChunkTable;
use weft_common::client::{ClientOptions, Cluster, Volume};
use weft_common::id::{ClusterId, Incarnation, ProviderId};
use weft_common::rpc::{Address, Answer, Call, Peer, Rpc, RpcError};
use weft_common::wire::{
    ClusterMap, DataReply, DataRequest, ErrorKind, MetadataReply, MetadataRequest, PlacementReply, PlacementRequest,
    ProviderInfo, ProviderRole, ProviderState, ReplicaGroup, Reply, Request, ServiceError, encode,
};
use weft_server::metadata::MetadataProvider;
use weft_server::storage::ObjectStore;
use weft_server::version::journal::{LogError, Replayed, ReplicatedLog};
use weft_server::version::store::RedbKv;
use weft_server::version::{Manager, ManagerOptions};

/// Where the managers answer.
pub const MANAGER: &str = "manager";
/// Address of data provider `id` is this and the id.
const DATA: &str = "data-host-";
/// The same for metadata providers.
const METADATA: &str = "metadata-host-";
/// Two lengths stand before each message.
pub const PREFIX_BYTES: u64 = 8;
const PORT: &str = ":9338";

/// Messages of one kind. Bytes are those of both directions' whole messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests, each with its answer.
    pub calls: u64,
    /// Bytes of requests.
    pub asked_bytes: u64,
    /// Bytes of answers.
    pub answered_bytes: u64,
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By kind of request.
    pub kinds: BTreeMap<&'static str, Count>,
    /// Nodes in puts.
    pub nodes_put: u64,
    /// Nodes in gets.
    pub nodes_got: u64,
    /// Commands that the version manager logged, and their bytes.
    pub commands: u64,
    /// See `commands`.
    pub logged_bytes: u64,
    /// How long the log's syncs took.
    pub syncing: Duration,
}

/// What a client does by the clock and not because somebody asks for something.
pub const BACKGROUND: [&str; 3] = ["map", "session", "sync"];

impl Tally {
    /// Messages that somebody's operation waits for.
    pub fn foreground(&self) -> impl Iterator<Item = (&'static str, Count)> {
        self.kinds.iter().filter(|(kind, _)| !BACKGROUND.contains(kind)).map(|(kind, count)| (*kind, *count))
    }

    /// Requests of one kind.
    #[must_use]
    pub fn calls(&self, kind: &str) -> u64 {
        self.kinds.get(kind).map_or(0, |count| count.calls)
    }
}

/// The kind of a request, as tallies call it.
#[must_use]
pub fn kind_of(request: &Request) -> &'static str {
    match request {
        Request::Data(DataRequest::Put { .. }) => "put page",
        Request::Data(DataRequest::Get { .. }) => "get page",
        Request::Metadata(MetadataRequest::Put { .. }) => "put nodes",
        Request::Metadata(MetadataRequest::Get { .. }) => "get nodes",
        Request::Data(DataRequest::Sync { .. }) | Request::Metadata(MetadataRequest::Sync { .. }) => "sync",
        Request::Placement(_) => "map",
        other => other.name(),
    }
}

/// Bytes of a request on the wire.
///
/// # Errors
/// A message that cannot be encoded.
pub fn request_bytes(call: &Call) -> Outcome<u64> {
    // As `common/src/transport/frame.rs` does: postcard writes a struct's fields one after the other, as it does a tuple's.
    let header = encode(&(call.id, call.deadline.as_millis() as u32, &call.request))?;
    Ok(PREFIX_BYTES + header.len() as u64 + call.body.len() as u64)
}

/// Bytes of an answer on the wire.
///
/// # Errors
/// A message that cannot be encoded.
pub fn answer_bytes(answer: &Result<Answer, ServiceError>) -> Outcome<u64> {
    let header = answer.as_ref().map(|answer| &answer.reply);
    let body = answer.as_ref().map_or(0, |answer| answer.body.len() as u64);
    Ok(PREFIX_BYTES + encode(&header)?.len() as u64 + body)
}

/// A cluster whose messages are counted.
#[derive(Debug)]
pub struct Stage {
    manager: Manager,
    map: ClusterMap,
    metadata: MetadataProvider,
    pages: Pages,
    log: Arc<LogMeter>,
    tally: Mutex<Tally>,
}

impl Stage {
    /// A version manager upon `table`, and the providers of `map`. The log is a file in `folder`; metadata providers share one store.
    ///
    /// # Errors
    /// What keeps one of them from starting.
    pub fn open(
        folder: &Path,
        table: (RedbKv, u64),
        map: ClusterMap,
        nodes: Arc<dyn ObjectStore>,
        page: Bytes,
    ) -> Outcome<Arc<Self>> {
        let log = Arc::new(LogMeter::default());
        let file = File::options().create(true).append(true).open(folder.join("log"))?;
        let journal = MeteredLog { file, next: table.1 + 1, meter: Arc::clone(&log) };
        let manager = Manager::open_on(table, Box::new(journal), folder, ManagerOptions::default())?;
        let (metadata, pages) = (MetadataProvider::new(nodes), Pages::new(page));
        Ok(Arc::new(Self { manager, map, metadata, pages, log, tally: Mutex::default() }))
    }

    /// A new client; with `memory` 1 it caches nothing.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn client(self: &Arc<Self>, volume: &str, memory: u64) -> Outcome<Arc<Volume>> {
        let options =
            ClientOptions { memory, host: "desk".into(), purpose: "mount /mnt/show".into(), ..ClientOptions::default() };
        let rpc: Arc<dyn Rpc> = Arc::new(StageRpc(Arc::clone(self)));
        let cluster = Cluster::connect(rpc, vec![Address(MANAGER.into())], options).await?;
        Ok(cluster.open_volume(volume).await?)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was sent since this was last asked.
    #[must_use]
    pub fn take(&self) -> Tally {
        let (commands, bytes) = (self.log.commands.swap(0, Ordering::SeqCst), self.log.bytes.swap(0, Ordering::SeqCst));
        let syncing = Duration::from_nanos(self.log.sync_nanos.swap(0, Ordering::SeqCst));
        Tally { commands, logged_bytes: bytes, syncing, ..std::mem::take(&mut *self.tally()) }
    }

    /// Stops the version manager, with everything in its table.
    ///
    /// # Errors
    /// When its last checkpoint failed.
    pub async fn stop(&self) -> Outcome<()> {
        Ok(self.manager.shutdown().await?)
    }

    async fn answer(&self, address: &Address, call: Call) -> Result<Answer, ServiceError> {
        let peer = Peer { name: "desk".into(), is_server: false };
        if address.0.starts_with(DATA) {
            return self.pages.answer(&call);
        }
        if address.0.starts_with(METADATA) {
            return self.metadata.handle(&peer, call).await;
        }
        match call.request {
            Request::Placement(PlacementRequest::Map { known }) => {
                let is_known = known == self.map.epoch;
                let reply = if is_known { PlacementReply::Epoch(known) } else { PlacementReply::Map(Box::new(self.map.clone())) };
                Ok(Answer { reply: Reply::Placement(reply), body: Bytes::new() })
            }
            _ => self.manager.handle(&peer, call).await,
        }
    }

    fn note(&self, asked: &Asked, answer: &Result<Answer, ServiceError>) {
        let answered_bytes = answer_bytes(answer).unwrap_or_else(|error| panic!("an answer cannot be encoded: {error}"));
        let mut tally = self.tally();
        let count = tally.kinds.entry(asked.kind).or_default();
        count.calls += 1;
        count.asked_bytes += asked.bytes;
        count.answered_bytes += answered_bytes;
        tally.nodes_put += asked.nodes;
        if let Ok(Answer { reply: Reply::Metadata(MetadataReply::Nodes { lengths }), .. }) = answer {
            tally.nodes_got += lengths.iter().flatten().count() as u64;
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
struct Asked {
    kind: &'static str,
    bytes: u64,
    nodes: u64,
}

/// How clients reach a stage.
#[derive(Debug)]
struct StageRpc(Arc<Stage>);

#[async_trait::async_trait]
impl Rpc for StageRpc {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        let nodes = match &call.request {
            Request::Metadata(MetadataRequest::Put { nodes }) => nodes.len() as u64,
            _ => 0,
        };
        let bytes = request_bytes(&call).unwrap_or_else(|error| panic!("a request cannot be encoded: {error}"));
        let asked = Asked { kind: kind_of(&call.request), bytes, nodes };
        let answer = self.0.answer(address, call).await.map_err(|error| error.from_server(&address.0));
        self.0.note(&asked, &answer);
        Ok(answer?)
    }
}

/// A data provider that takes everything and hands out one object.
#[derive(Debug)]
struct Pages {
    page: Bytes,
    checksums: Vec<u64>,
}

impl Pages {
    fn new(page: Bytes) -> Self {
        let checksums = ChunkTable::of(&page).checksums().to_vec();
        Self { page, checksums }
    }

    fn answer(&self, call: &Call) -> Result<Answer, ServiceError> {
        let (reply, body) = match &call.request {
            Request::Data(DataRequest::Put { .. }) => (DataReply::Stored { incarnation: Incarnation(1) }, Bytes::new()),
            Request::Data(DataRequest::Get { offset, length, .. }) => {
                let end = (offset + length).min(self.page.len() as u32);
                let body = self.page.slice(*offset as usize..end as usize);
                let (object_bytes, checksums) = (self.page.len() as u32, self.checksums.clone());
                (DataReply::Part { object_bytes, start: *offset, checksums }, body)
            }
            Request::Data(_) => (DataReply::Done, Bytes::new()),
            other => {
                let message = format!("a data provider does not answer '{}'", other.name());
                return Err(ServiceError::new(ErrorKind::WrongServer, message));
            }
        };
        Ok(Answer { reply: Reply::Data(reply), body })
    }
}

/// What was appended to a log.
#[derive(Debug, Default)]
struct LogMeter {
    commands: AtomicU64,
    bytes: AtomicU64,
    sync_nanos: AtomicU64,
}

/// A log that is written and synced as the real one is, counted, and never read again.
#[derive(Debug)]
struct MeteredLog {
    file: File,
    next: u64,
    meter: Arc<LogMeter>,
}

impl ReplicatedLog for MeteredLog {
    fn next_index(&self) -> u64 {
        self.next
    }

    fn append(&mut self, commands: &[Vec<u8>]) -> Result<u64, LogError> {
        let (bytes, started) = (commands.concat(), Instant::now());
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(|source| LogError::Io { action: "append to", path: "log".into(), source })?;
        self.meter.sync_nanos.fetch_add(started.elapsed().as_nanos() as u64, Ordering::SeqCst);
        let first = self.next;
        self.next += commands.len() as u64;
        self.meter.commands.fetch_add(commands.len() as u64, Ordering::SeqCst);
        self.meter.bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(first)
    }

    fn replay(&mut self, _: u64, _: &mut Replayed<'_>) -> Result<(), LogError> {
        // A stage begins where its table ends.
        Ok(())
    }

    fn truncate_before(&mut self, _: u64) -> Result<(), LogError> {
        Ok(())
    }
}

/// A provider as the map has it, alive and half full. Ids are unique in the cluster.
#[must_use]
pub fn provider(id: u32, role: ProviderRole) -> ProviderInfo {
    let host = if role == ProviderRole::Data { DATA } else { METADATA };
    ProviderInfo {
        id: ProviderId(id),
        role,
        address: format!("{host}{id}{PORT}"),
        zone: format!("rack{}", id % 40),
        state: ProviderState::Alive,
        total_bytes: 1 << 44,
        free_bytes: 1 << 43,
        incarnation: Incarnation(0x9e37_79b9_7f4a_7c15),
        lost_since: None,
    }
}

/// A map of these providers; metadata partitions are ranked as the provider manager ranks them.
#[must_use]
pub fn map_of(data: &[ProviderInfo], metadata: &[ProviderInfo], groups: Vec<ReplicaGroup>) -> ClusterMap {
    let ids: Vec<ProviderId> = metadata.iter().map(|provider| provider.id).collect();
    ClusterMap {
        cluster: ClusterId(1),
        epoch: 1,
        providers: data.iter().chain(metadata).cloned().collect(),
        groups,
        partitions: weft_server::placement::ranking::rank(&ids),
    }
}
