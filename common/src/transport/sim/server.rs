//! A simulated server: the real listener around a handler that does as it is told; it can crash, stop and come back.

use super::adapter::Host;
use super::contents::{self, Way};
use super::history::{Order, refusal};
use super::plant::Plant;
use super::world::World;
use crate::buffers::BufferPool;
use crate::limits::MIB;
use crate::rpc::{Answer, Call, Handler, Peer};
use crate::transport::identity::Identity;
use crate::transport::server::Listener;
use crate::wire::{DataReply, ErrorKind, Reply, ServiceError};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Bytes of bodies that a simulated server holds at once: little more than one large body, so that others have to wait.
const BODIES_BYTES_MAX: usize = 3 * MIB as usize;
pub(super) const PORT: u16 = 9338;

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) index: u8,
    pub(super) host: Host,
    identity: Identity,
    /// `None` while it is down.
    life: Mutex<Option<Life>>,
    pools: Mutex<Vec<Weak<BufferPool>>>,
}

#[derive(Debug)]
struct Life {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    load: Arc<Mutex<Load>>,
}

/// What a server works on.
#[derive(Debug, Default)]
struct Load {
    requests: usize,
    requests_most: usize,
    body_bytes: usize,
    /// What it answered last, for a planted bug.
    answer: Bytes,
}

impl Server {
    pub(super) fn new(index: u8, host: Host, identity: Identity) -> Arc<Self> {
        Arc::new(Self { index, host, identity, life: Mutex::default(), pools: Mutex::default() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host.ip, PORT)
    }

    fn world(&self) -> &Arc<World> {
        &self.host.network.world
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that it works on, and the most that it worked on at once since it came up or this was asked.
    pub(super) fn requests(&self) -> (usize, usize) {
        let life = self.life();
        let Some(life) = life.as_ref() else { return (0, 0) };
        let mut load = life.load.lock().unwrap_or_else(PoisonError::into_inner);
        let now = load.requests;
        (now, std::mem::replace(&mut load.requests_most, now))
    }

    /// Comes up, where it was before.
    pub(super) fn start(&self) {
        let mut listener = match Listener::on(&self.host, &self.identity, self.address()) {
            Ok(listener) => listener,
            Err(error) => return self.world().violation(format!("server {} does not start: {error}", self.index)),
        };
        let is_planted = self.world().plant == Plant::BodiesUnbounded;
        listener.body_budget = Arc::new(Semaphore::new(BODIES_BYTES_MAX * if is_planted { 100 } else { 1 }));
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&listener.bodies));
        let load = Arc::<Mutex<Load>>::default();
        let service = Service { world: self.world().clone(), server: self.index, load: load.clone() };
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(listener.serve(Arc::new(service), format!("server-{}", self.index), stopped));
        *self.life() = Some(Life { stop, task, load });
    }

    /// Ends in the middle of everything, without a word; `false` if it is down already.
    pub(super) async fn crash(&self) -> bool {
        let Some(life) = self.life().take() else { return false };
        self.host.network.kill(self.host.ip);
        life.task.abort();
        // Ends by being aborted.
        let _ = life.task.await;
        true
    }

    /// Stops as on SIGTERM; `false` if it is down already.
    pub(super) async fn stop(&self) -> bool {
        let Some(life) = self.life().take() else { return false };
        let _ = life.stop.send(true);
        if life.task.await.is_err() {
            self.world().violation(format!("server {} panicked", self.index));
        }
        self.host.network.kill(self.host.ip);
        true
    }

    /// Pools of bodies of which something is still in use.
    pub(super) fn pools_in_use(&self) -> usize {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter(|pool| pool.strong_count() > 0).count()
    }
}

/// Does what the history says was ordered, and watches over the server's bounds.
#[derive(Debug)]
struct Service {
    world: Arc<World>,
    server: u8,
    load: Arc<Mutex<Load>>,
}

/// A request at work.
struct Busy<'a> {
    load: &'a Mutex<Load>,
    body_bytes: usize,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        load.requests -= 1;
        load.body_bytes -= self.body_bytes;
    }
}

impl Service {
    fn enter(&self, body_bytes: usize) -> Busy<'_> {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        load.requests += 1;
        load.requests_most = load.requests_most.max(load.requests);
        load.body_bytes += body_bytes;
        if load.body_bytes > BODIES_BYTES_MAX {
            self.world.violation(format!("server {} holds {} bytes of bodies", self.server, load.body_bytes));
        }
        Busy { load: &self.load, body_bytes }
    }

    fn answer(&self, call: &Call, order: Order) -> Answer {
        let body = contents::body(call.id, Way::Answer, order.answer_bytes);
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut load.answer, body.clone());
        let body = if self.world.plant == Plant::AnswersSwapped { before } else { body };
        Answer { reply: Reply::Data(DataReply::Done), body }
    }
}

#[async_trait::async_trait]
impl Handler for Service {
    async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let _busy = self.enter(call.body.len());
        let Some(order) = self.world.history.execute(&self.world, self.server, peer, &call) else {
            return Err(ServiceError::new(ErrorKind::Internal, "nobody asked for this"));
        };
        tokio::time::sleep(order.work).await;
        if order.is_refused {
            return Err(ServiceError::new(ErrorKind::Conflict, refusal(call.id)));
        }
        Ok(self.answer(&call, order))
    }
}
