//! What the parts cost on this machine: real code, timed in the same run as the model that uses it.

use super::cluster::{self, Size};
use super::messages::{FAN_OUT, PAGE};
use crate::machine::cpu_seconds;
use bytes::Bytes;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weft_benches::Outcome;
use weft_benches::clerk::{Clerk, VOLUME, author};
use weft_benches::stage::{Stage, provider};
use weft_common::checksum::{ChunkTable, Digest};
use weft_common::client::{BlobStore, PublishRequest};
use weft_common::clock::SystemClock;
use weft_common::id::{ClusterId, Incarnation, PageObjectId, RequestId, SessionId};
use weft_common::limits::{KIB, RPC_DEADLINE};
use weft_common::rpc::{Address, Answer, Call, Handler, Peer, Rpc};
use weft_common::time::Timestamp;
use weft_common::transport::{Holder, Identity, Listener, QuicRpc, create_cluster_files};
use weft_common::weave::{DataExtent, Geometry, Operation, Update};
use weft_common::wire::{
    At, ClusterMap, DataReply, DataRequest, PlacementReply, PlacementRequest, ProviderRole, Reply, Request, ServiceError, Space,
    VolumeSettings, decode, encode,
};
use weft_server::placement::core::{self, Roster};
use weft_server::placement::{Membership, PlacementService};
use weft_server::storage::file::{FileStore, FileStoreOptions};
use weft_server::storage::memory::MemoryStore;
use weft_server::storage::{Key, NewObject, ObjectStore};
use weft_server::version::kv::MemoryKv;
use weft_server::version::store::RedbKv;

/// How something grows with the number of providers: (providers, seconds).
pub(crate) type Curve = Vec<(u32, f64)>;

/// Seconds of one processor, unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs {
    /// One end of a small call over QUIC.
    pub(crate) call: f64,
    /// One end of a gigabyte of page calls over QUIC.
    pub(crate) page_gb: f64,
    /// A gigabyte into the page engine.
    pub(crate) store_gb: f64,
    /// A command of each kind, in the version manager's core.
    pub(crate) create: f64,
    /// A ticket for a frame, and its commit.
    pub(crate) ticket_and_commit: f64,
    /// A look-up there.
    pub(crate) look_up: f64,
    /// A write of 4 KiB behind the end of a file, and its sync: time that passes.
    pub(crate) sync: f64,
    /// The provider manager's answer to a question for the map, or to a heartbeat.
    pub(crate) map_question: Curve,
    /// The roster as a logged heartbeat has it read again.
    pub(crate) roster: Curve,
    /// What a client computes for one page object: its group.
    pub(crate) choice: Curve,
    /// Ticket, nodes and commit of one page by the real client, with syncs of the log: time that passes, without a network.
    pub(crate) publish: Curve,
    /// One more data provider joins.
    pub(crate) join: Curve,
}

/// Every cost, some at several numbers of providers up to `size`.
pub(crate) fn measure(size: Size) -> Outcome<Costs> {
    let (call, page_gb) = quic()?;
    let (create, ticket_and_commit, look_up) = version_core()?;
    let mut costs =
        Costs { call, page_gb, store_gb: store()?, create, ticket_and_commit, look_up, sync: sync()?, ..Costs::default() };
    for data in sizes(size.data) {
        let map = cluster::map(Size { data, metadata: (data * size.metadata / size.data).max(3), ..size });
        costs.map_question.push((data, map_question(&map)?));
        costs.roster.push((data, roster(&map)?));
        let (choice, publish) = client(&map, size.copies)?;
        costs.choice.push((data, choice));
        costs.publish.push((data, publish));
    }
    costs.join = joins()?;
    Ok(costs)
}

/// Numbers of data providers at which it is measured.
fn sizes(most: u32) -> Vec<u32> {
    [100, 1000, 3000].into_iter().filter(|data| *data < most).chain([most]).collect()
}

/// Repeats `act` for [`SLICES`] spans of `least` and at least once in each; seconds of one in the best, as others use the machine as well.
fn each(least: Duration, mut act: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..SLICES {
        let started = Instant::now();
        let mut times = 0u32;
        while times == 0 || started.elapsed() < least {
            act()?;
            times += 1;
        }
        best = best.min(started.elapsed().as_secs_f64() / f64::from(times));
    }
    Ok(best)
}

const SLICES: u32 = 5;
const MOMENT: Duration = Duration::from_millis(100);

/// Answers at once.
#[derive(Debug)]
struct Echo;

#[async_trait::async_trait]
impl Handler for Echo {
    async fn handle(&self, _: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let reply = match call.request {
            Request::Data(_) => Reply::Data(DataReply::Stored { incarnation: Incarnation(1) }),
            _ => Reply::Placement(PlacementReply::Epoch(1)),
        };
        Ok(Answer { reply, body: Bytes::new() })
    }
}

/// Both ends run in this process, and each counts for half.
fn quic() -> Outcome<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("identity");
    create_cluster_files(&path, ClusterId(7))?;
    let runtime = weft_common::rpc::runtime("weft-scale")?;
    runtime.block_on(async {
        let server = Identity::load(&path, Holder::Server)?;
        let listener = Listener::bind(&server, "127.0.0.1:0".parse()?)?;
        let address = Address(listener.local_address()?.to_string());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let serving = tokio::spawn(listener.serve(Arc::new(Echo), "echo".into(), stopped));
        let rpc: Arc<QuicRpc> = Arc::new(QuicRpc::new(&Identity::load(&path, Holder::Client)?)?);
        let small = Request::Placement(PlacementRequest::Map { known: 1 });
        calls(&rpc, &address, &small, Bytes::new(), 500, 32).await?;
        let call = calls(&rpc, &address, &small, Bytes::new(), 20_000, 32).await? / 2.0;
        let object = PageObjectId { session: SessionId(1), sequence: 1 };
        let put = Request::Data(DataRequest::Put { object, digest: Digest(1) });
        let page: Bytes = vec![7; PAGE as usize].into();
        calls(&rpc, &address, &put, page.clone(), 64, 4).await?;
        let page_call = calls(&rpc, &address, &put, page, 1000, 4).await? / 2.0;
        // Nobody listens any more if it broke off, and then the join says so.
        let _ = stop.send(true);
        rpc.close().await;
        serving.await?;
        Ok((call, page_call / (PAGE as f64 / 1e9)))
    })
}

/// Processor seconds of this process for one call.
async fn calls(rpc: &Arc<QuicRpc>, to: &Address, request: &Request, body: Bytes, count: u32, in_flight: u32) -> Outcome<f64> {
    let before = cpu_seconds(std::process::id());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..in_flight {
        let (rpc, to, request, body) = (rpc.clone(), to.clone(), request.clone(), body.clone());
        tasks.spawn(async move {
            for number in 0..count / in_flight {
                let call =
                    Call { id: RequestId(number.into()), request: request.clone(), body: body.clone(), deadline: RPC_DEADLINE };
                rpc.call(&to, call).await?;
            }
            Ok::<_, weft_common::rpc::RpcError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok((cpu_seconds(std::process::id()) - before) / f64::from(count / in_flight * in_flight))
}

fn version_core() -> Outcome<(f64, f64, f64)> {
    let geometry = Geometry::new(PAGE as u32, FAN_OUT)?;
    let mut clerk = Clerk::new(MemoryKv::default(), VolumeSettings { geometry, copies: 1 })?;
    let frame = clerk.create("frame.exr")?;
    let mut number = 0;
    let create = each(MOMENT, || {
        number += 1;
        clerk.create(&format!("f{number}")).map(drop)
    })?;
    let ticket = each(MOMENT, || {
        let update = clerk.update(0, &[PAGE as u32; 8]);
        let ticket = clerk.ticket(frame, update)?;
        clerk.commit(ticket.blob, ticket.entry.version)
    })?;
    let look_up = each(MOMENT, || clerk.look_up(At::Head, "frame.exr").map(|found| _ = black_box(found)))?;
    Ok((create, ticket, look_up))
}

fn store() -> Outcome<f64> {
    let folder = tempfile::tempdir()?;
    let store = FileStore::open(folder.path(), ProviderRole::Data, FileStoreOptions::default())?;
    let body = vec![7; PAGE as usize];
    let extra: Vec<u8> = ChunkTable::of(&body).checksums().iter().flat_map(|sum| sum.to_le_bytes()).collect();
    let before = cpu_seconds(std::process::id());
    let pages = 256;
    for sequence in 0..pages {
        let key = Key::from(PageObjectId { session: SessionId(1), sequence });
        store.put(&[NewObject { key, extra: &extra, body: &body }])?;
    }
    store.sync()?;
    Ok((cpu_seconds(std::process::id()) - before) / (pages as f64 * PAGE as f64 / 1e9))
}

fn sync() -> Outcome<f64> {
    let mut file = tempfile::tempfile()?;
    let block = vec![7; 4 * KIB as usize];
    each(MOMENT, || {
        file.write_all(&block)?;
        Ok(file.sync_data()?)
    })
}

/// The log of a cluster in which nobody joins.
#[derive(Debug)]
struct Fixed(Roster);

#[async_trait::async_trait]
impl Membership for Fixed {
    async fn log(&self, _: PlacementRequest) -> Result<PlacementReply, ServiceError> {
        Ok(PlacementReply::Heard { time: Timestamp(0) })
    }

    async fn roster(&self) -> Result<Roster, ServiceError> {
        Ok(self.0.clone())
    }

    async fn time(&self) -> Result<Timestamp, ServiceError> {
        Ok(Timestamp(0))
    }
}

fn map_question(map: &ClusterMap) -> Outcome<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let service = PlacementService::start(Arc::new(Fixed(cluster::roster(map))), map.cluster, &SystemClock).await?;
        each(MOMENT, || {
            black_box(service.map());
            Ok(())
        })
    })
}

/// What `Roster::load` decodes, without the table that it lies in.
fn roster(map: &ClusterMap) -> Outcome<f64> {
    let groups: Vec<Vec<u8>> = map.groups.iter().map(encode).collect::<Result<_, _>>()?;
    each(MOMENT, || {
        for group in &groups {
            black_box(decode::<weft_common::wire::ReplicaGroup>(group)?);
        }
        Ok(())
    })
}

/// A put of one small object by the real client, and then what publishes it; without a network.
fn client(map: &ClusterMap, copies: u8) -> Outcome<(f64, f64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("state.redb");
        let geometry = Geometry::new(PAGE as u32, FAN_OUT)?;
        let (table, _) = RedbKv::open(&path)?;
        let mut clerk = Clerk::new(table, VolumeSettings { geometry, copies })?;
        let inode = clerk.create("frame.exr")?;
        let applied = clerk.commands();
        clerk.table_mut().checkpoint(applied)?;
        drop(clerk);
        let (nodes, bytes) = (Arc::new(MemoryStore::default()), Bytes::from_static(b"a page"));
        let stage = Stage::open(folder.path(), RedbKv::open(&path)?, map.clone(), nodes, bytes.clone())?;
        let client = stage.client(VOLUME, 1).await?;
        let started = Instant::now();
        let mut objects = Vec::new();
        while objects.is_empty() || started.elapsed() < MOMENT {
            objects.push(client.put_object(bytes.clone()).await?);
        }
        let choice = started.elapsed().as_secs_f64() / objects.len() as f64;
        objects.truncate(100);
        let (started, published) = (Instant::now(), objects.len());
        for object in objects {
            let extent = DataExtent { offset: 0, length: object.length, object: 0, object_offset: 0 };
            let operation = Operation::Write(Update { objects: vec![object], data: vec![extent], ..Update::default() });
            let (modified, author) = (Timestamp(1), author());
            client.publish(PublishRequest { inode, operation, modified, author, only_in: None }).await?;
        }
        let publish = started.elapsed().as_secs_f64() / published as f64;
        drop(client);
        stage.stop().await?;
        Ok((choice, publish))
    })
}

/// Joins of which the fastest counts.
const NEIGHBOURS: u32 = 4;

/// The real core with a table in memory; as far as one can wait for.
fn joins() -> Outcome<Curve> {
    let mut kv = MemoryKv::default();
    let mut curve = Curve::new();
    for number in 1..128 + NEIGHBOURS {
        let info = provider(number, ProviderRole::Data);
        let started = Instant::now();
        let mut id = None;
        for _ in 0..2 {
            let (role, cluster, address, zone) = (info.role, Some(ClusterId(1)), info.address.clone(), info.zone.clone());
            let (space, incarnation) = (Space::default(), info.incarnation);
            let join = PlacementRequest::Join { role, provider: id, cluster, address, zone, space, incarnation };
            match core::apply(&mut kv, Timestamp(0), &join).map_err(|error| format!("a join failed: {error:?}"))? {
                PlacementReply::Joined { provider, .. } => id = Some(provider),
                other => return Err(format!("a join was answered with {other:?}").into()),
            }
        }
        let took = started.elapsed().as_secs_f64();
        // The best of some neighbours, as others use the machine as well.
        match curve.last_mut() {
            Some((reached, best)) if *reached + NEIGHBOURS > number => *best = best.min(took),
            _ if [32, 64, 128].contains(&number) => curve.push((number, took)),
            _ => {}
        }
    }
    Ok(curve)
}
