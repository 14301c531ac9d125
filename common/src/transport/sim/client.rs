//! A simulated client: the real calling side, and programs that call with it, wait, lose patience, or vanish.

use super::adapter::Host;
use super::contents::{self, Way};
use super::history::{End, LATENESS_MAX, Order};
use super::plan::Plan;
use super::plant::{self, Plant, Tampered};
use super::server::Server;
use super::world::World;
use crate::buffers::BufferPool;
use crate::id::{PageObjectId, RequestId, SessionId};
use crate::limits::{BODY_BYTES_MAX, KIB, MIB};
use crate::rpc::{Address, Answer, Call, Rpc, RpcError};
use crate::transport::QuicRpc;
use crate::transport::identity::Identity;
use crate::transport::tuning::GOODBYE_WAIT;
use crate::wire::{DataRequest, PlacementRequest, Request};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) index: u8,
    pub(super) host: Host,
    identity: Identity,
    life: Mutex<Option<Life>>,
    pools: Mutex<Vec<Weak<BufferPool>>>,
    /// Servers to which the connection was lost since the last answer.
    lost: Mutex<BTreeSet<u8>>,
}

#[derive(Clone, Debug)]
struct Life {
    quic: Arc<QuicRpc>,
    spare: Arc<QuicRpc>,
    rpc: Arc<dyn Rpc>,
}

impl Client {
    pub(super) fn new(index: u8, host: Host, identity: Identity) -> Arc<Self> {
        let client = Self { index, host, identity, life: Mutex::default(), pools: Mutex::default(), lost: Mutex::default() };
        client.begin();
        Arc::new(client)
    }

    pub(super) fn world(&self) -> &Arc<World> {
        &self.host.network.world
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quic(&self) -> Option<Arc<QuicRpc>> {
        let quic = QuicRpc::on(&self.host, &self.identity);
        let quic = quic.map_err(|error| self.world().violation(format!("client {} does not start: {error}", self.index))).ok()?;
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&quic.bodies));
        Some(Arc::new(quic))
    }

    fn begin(&self) {
        let Some(quic) = self.quic() else { return };
        let spare = if self.world().plant == Plant::RequestsUnbounded { self.quic() } else { None };
        let spare = spare.unwrap_or_else(|| quic.clone());
        let rpc: Arc<dyn Rpc> = if self.world().plant == Plant::Nothing {
            quic.clone()
        } else {
            let (network, inner, state) = (self.host.network.clone(), quic.clone(), Mutex::default());
            Arc::new(Tampered { network, host: self.host.ip, inner, spare: spare.clone(), state })
        };
        *self.life() = Some(Life { quic, spare, rpc });
    }

    /// The process dies without a word, and another one begins on the same machine.
    pub(super) fn vanish(&self) {
        self.host.network.kill(self.host.ip);
        self.begin();
    }

    /// Says good-bye to all servers, which must not take long, whatever they do.
    pub(super) async fn close(&self) {
        let Some(life) = self.life().take() else { return };
        self.say_goodbye(&life.quic).await;
        if !Arc::ptr_eq(&life.quic, &life.spare) {
            self.say_goodbye(&life.spare).await;
        }
    }

    async fn say_goodbye(&self, quic: &QuicRpc) {
        let start = Instant::now();
        plant::close(self.world().plant, quic).await;
        let took = start.elapsed();
        if took > GOODBYE_WAIT + LATENESS_MAX {
            self.world().violation(format!("client {} took {took:?} to say good-bye", self.index));
        }
    }

    /// Servers that it is connected to, as far as it knows.
    pub(super) fn open_connections(&self) -> usize {
        self.life().as_ref().map_or(0, |life| life.quic.open_connections())
    }

    /// Pools of bodies of which something is still in use.
    pub(super) fn pools_in_use(&self) -> usize {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter(|pool| pool.strong_count() > 0).count()
    }

    /// Calls `server`, waits for as long as patience lasts, and has the outcome judged.
    pub(super) async fn call(&self, server: &Server, order: Order, patience: Option<Duration>) -> End {
        let Some(life) = self.life().clone() else { return End::Unknown };
        let world = self.world();
        let id = world.history.begin(order);
        let call = Call { id, request: request(id, &order), body: request_body(id, &order), deadline: order.deadline };
        let address = Address(server.address().to_string());
        let lost_before = self.host.network.lost_between(self.host.ip, server.host.ip);
        let start = Instant::now();
        let calling = life.rpc.call(&address, call);
        let outcome = match patience {
            Some(patience) => tokio::time::timeout(patience, calling).await.ok(),
            None => Some(calling.await),
        };
        let Some(outcome) = outcome else {
            world.count("call dropped");
            world.log(format_args!("client {} drops {id} to server {}", self.index, server.index));
            return End::Unknown;
        };
        let took = start.elapsed();
        let end = world.history.end(world, id, &outcome, took);
        self.note(id, server.index, &order, took, &outcome);
        if end == End::Answered {
            if self.host.network.lost_between(self.host.ip, server.host.ip) > lost_before {
                world.count("answered across losses");
            }
            if self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(&server.index) {
                world.count("answered after the connection was lost");
            }
        }
        end
    }

    fn note(&self, id: RequestId, server: u8, order: &Order, took: Duration, outcome: &Result<Answer, RpcError>) {
        let world = self.world();
        let told = match outcome {
            Ok(_) => "answered".to_owned(),
            Err(error) => error.to_string(),
        };
        let (client, asked, answered, deadline) = (self.index, order.request_bytes, order.answer_bytes, order.deadline);
        let took = took.as_millis();
        world.log(format_args!(
            "client {client} {id} to server {server}, {asked} B for {answered} B by {deadline:?}: after {took} ms: {told}"
        ));
        world.count(match outcome {
            Ok(answer) if answer.body.len() >= MIB as usize => "large body answered",
            Ok(_) => "answered",
            Err(RpcError::Service(_)) => "refused by its server",
            Err(RpcError::TimedOut { .. }) => "deadline passed",
            Err(RpcError::Malformed { .. } | RpcError::Untrusted { .. }) => "refused where it was sent",
            Err(RpcError::Unreachable { reason, .. }) => {
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(server);
                why_unreachable(reason)
            }
        });
    }

    /// One program: calls, alone or several at once, until trouble ends.
    pub(super) async fn program(self: Arc<Self>, servers: Vec<Arc<Server>>, plan: Plan) {
        let world = self.world().clone();
        while world.elapsed() < plan.trouble {
            let at_once = world.pick([1, 1, 1, 2, 4, 8]);
            let mut calls = JoinSet::new();
            for _ in 0..at_once {
                let server = servers[world.between(0, servers.len() as u64 - 1) as usize].clone();
                let order = draw_order(&world, self.index, server.index);
                let patience = world.chance(100_000).then(|| Duration::from_millis(world.between(0, 400)));
                let client = self.clone();
                calls.spawn(async move { client.call(&server, order, patience).await });
            }
            calls.join_all().await;
            world.pause(0, 2000).await;
        }
    }
}

/// A request that names its call, so that a header which belongs to another one is noticed by whoever reads both.
fn request(id: RequestId, order: &Order) -> Request {
    if order.request_bytes + order.answer_bytes < KIB as usize {
        return Request::Placement(PlacementRequest::Map { known: id.0 });
    }
    let object = PageObjectId { session: SessionId(u64::from(order.client)), sequence: id.0 };
    Request::Data(DataRequest::Get { object, offset: 0, length: order.answer_bytes as u32 })
}

fn request_body(id: RequestId, order: &Order) -> Bytes {
    if order.request_bytes > BODY_BYTES_MAX as usize {
        // Never read, so never more than untouched memory.
        return vec![0; order.request_bytes].into();
    }
    contents::body(id, Way::Request, order.request_bytes)
}

/// Why a server could not be reached, as something to count.
fn why_unreachable(reason: &str) -> &'static str {
    [
        ("it was restarted", "told of a restart (stateless reset)"),
        ("it went silent", "connection timed out idle"),
        ("no answer within", "dialled in vain"),
        ("it closed the connection", "connection closed by its server"),
        ("closed here", "connection given up"),
        ("it gave the request up", "request given up by its server"),
    ]
    .iter()
    .find(|(beginning, _)| reason.contains(beginning))
    .map_or("unreachable otherwise", |(_, what)| what)
}

fn draw_bytes(world: &World) -> usize {
    let most = world.pick([0, 100, 100, 100, 10_000, 10_000, 100_000, 500_000]);
    world.between(0, if world.chance(30_000) { 2 * MIB } else { most }) as usize
}

fn draw_order(world: &World, client: u8, server: u8) -> Order {
    let is_oversized = world.chance(10_000);
    let deadlines = [50, 300, 1_000, 3_000, 10_000, 10_000, 30_000];
    Order {
        client,
        server,
        request_bytes: if is_oversized { BODY_BYTES_MAX as usize + 1 } else { draw_bytes(world) },
        answer_bytes: draw_bytes(world),
        deadline: Duration::from_millis(world.pick(deadlines)),
        work: Duration::from_millis(if world.chance(100_000) { world.between(1, 3_000) } else { world.between(0, 5) }),
        is_refused: world.chance(50_000),
    }
}
