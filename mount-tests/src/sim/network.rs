//! The network: every call crosses it twice, and on each way it may be lost, late, or met by a partition.
//!
//! A lost message is noticed as the real transport notices it: by the connection that breaks down after a while
//! ([`RpcError::Unreachable`]), or by nothing but the deadline ([`RpcError::TimedOut`]). Both leave open whether the request was
//! carried out. Messages overtake one another, and a request may arrive twice.

use super::boot::MANAGER;
use super::ledger::{FallBack, Ledger};
use super::life::Life;
use super::tamper;
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_common::id::{BlobId, BlobVersion};
use weft_common::limits::CONNECT_TIMEOUT;
use weft_common::rpc::{Address, Answer, Call, Handler, Peer, Rpc, RpcError};
use weft_common::wire::{
    BlobRequest, Change, DataRequest, HistoryRequest, MetadataRequest, NamespaceChange, Request, ServiceError, SessionRequest,
};

/// How bad the network is. Chances in millionths, for each message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// That it is lost.
    pub loss: u64,
    /// That a request is delivered twice.
    pub duplication: u64,
    /// That it is late.
    pub lateness: u64,
    /// How late, at most.
    pub late_ms_max: u64,
}

/// A process that answers requests.
#[derive(Clone, Debug)]
struct Door {
    handler: Arc<dyn Handler>,
    life: Life,
}

/// See the module.
#[derive(Debug)]
pub struct Network {
    world: Arc<World>,
    /// What messages say of what has to be kept.
    pub ledger: Ledger,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    doors: BTreeMap<String, Door>,
    weather: Weather,
    /// Directed: messages from the first host do not reach the second.
    cuts: BTreeSet<(String, String)>,
}

type Reply = Option<Result<Answer, ServiceError>>;
type Waiting = Arc<Mutex<Option<oneshot::Sender<Reply>>>>;

impl Network {
    /// A network in fine weather.
    #[must_use]
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), ledger: Ledger::default(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process `life` answers at `host` from now on.
    pub fn open(&self, host: &str, handler: Arc<dyn Handler>, life: Life) {
        self.state().doors.insert(host.to_owned(), Door { handler, life });
    }

    /// Nobody answers at `host` any more.
    pub fn close(&self, host: &str) {
        self.state().doors.remove(host);
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Messages from `from` do not reach `to` any more.
    pub fn cut(&self, from: &str, to: &str) {
        self.state().cuts.insert((from.to_owned(), to.to_owned()));
    }

    /// All partitions end.
    pub fn heal(&self) {
        self.state().cuts.clear();
    }

    /// The way out of the process `life` at `host`.
    #[must_use]
    pub fn line(self: &Arc<Self>, host: &str, life: Life, is_server: bool) -> Arc<Line> {
        Arc::new(Line { network: self.clone(), host: host.to_owned(), life, is_server })
    }

    /// One way of a message. Whether it arrives.
    async fn cross(&self, from: &str, to: &str, what: &str) -> bool {
        let weather = self.state().weather;
        let late = weather.late_ms_max > 0 && self.world.chance(weather.lateness);
        let delay = if late { self.world.between(1, weather.late_ms_max) } else { self.world.below(3) };
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if self.state().cuts.contains(&(from.to_owned(), to.to_owned())) {
            self.world.count("partition met");
            self.world.log(format_args!("{from} -> {to}: {what} meets the partition"));
            return false;
        }
        let lost = self.world.chance(weather.loss);
        if lost {
            self.world.count("message lost");
            self.world.log(format_args!("{from} -> {to}: {what} is lost"));
        }
        !lost
    }

    /// Carries `call` there, has it answered, and carries the answer back. `None` if something was lost.
    async fn carry(&self, peer: &Peer, to: &str, call: Call) -> Reply {
        let name = describe(&call.request);
        if !self.cross(&peer.name, to, &name).await {
            return None;
        }
        let door = self.state().doors.get(to).filter(|door| !door.life.is_over()).cloned()?;
        if peer.name == MANAGER && matches!(call.request, Request::Blob(BlobRequest::Commit { .. })) {
            self.world.count("helper commits");
        }
        let answer = door.life.run(tamper::handle(&self.world, &door.handler, peer, call)).await?;
        self.cross(to, &peer.name, &format!("answer to {name}")).await.then_some(answer)
    }

    async fn deliver(self: Arc<Self>, peer: Peer, to: String, call: Call, waiting: Waiting) {
        let reply = self.carry(&peer, &to, call).await;
        if reply.is_none() && self.world.chance(500_000) {
            // Only the deadline tells.
            return;
        }
        if reply.is_none() {
            self.world.pause(50, CONNECT_TIMEOUT.as_millis() as u64).await;
        }
        let sender = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // The caller may have died.
            let _ = sender.send(reply);
        }
    }
}

/// What the trace calls a request.
fn describe(request: &Request) -> String {
    match request {
        Request::Data(DataRequest::Put { object, .. }) => format!("put {object}"),
        Request::Data(DataRequest::Get { object, .. }) => format!("get {object}"),
        Request::Data(DataRequest::Sync { .. }) | Request::Metadata(MetadataRequest::Sync { .. }) => "sync".to_owned(),
        Request::Metadata(MetadataRequest::Put { nodes }) => format!("put {} nodes", nodes.len()),
        Request::Metadata(MetadataRequest::Get { nodes }) => format!("get {} nodes", nodes.len()),
        Request::Blob(BlobRequest::Commit { blob, version, .. }) => format!("commit {blob} {version}"),
        other => other.name().to_owned(),
    }
}

/// How one process calls others.
pub struct Line {
    network: Arc<Network>,
    host: String,
    life: Life,
    is_server: bool,
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Line({})", self.host)
    }
}

#[async_trait::async_trait]
impl Rpc for Line {
    async fn call(&self, address: &Address, call: Call) -> Result<Answer, RpcError> {
        if self.life.is_over() {
            std::future::pending::<()>().await;
        }
        let world = &self.network.world;
        let (started, asked) = (Instant::now(), world.elapsed());
        if let Request::History(HistoryRequest::Thin { ranges, .. }) = &call.request {
            self.network.ledger.thinning(asked, ranges, self.host == MANAGER);
        }
        if let Request::Change(NamespaceChange {
            change: Change::FallBack { parent, name, inode, lost, source, content, .. },
            ..
        }) = &call.request
        {
            let plain = |(blob, version): (BlobId, BlobVersion)| (blob, version.0);
            let (lost, content) = (plain(*lost), plain(*content));
            let place = (parent.0, name.to_string());
            self.network.ledger.falling_back(FallBack { place, inode: inode.0, lost, source: source.0, content });
        }
        let (id, name, deadline) = (call.id, describe(&call.request), call.deadline);
        if let Some(answer) = tamper::answer_early(world, &call) {
            return Ok(answer);
        }
        let (sender, answered) = oneshot::channel();
        // Every copy holds it: it stays open until the deadline, for what is lost is not told.
        let waiting: Waiting = Arc::new(Mutex::new(Some(sender)));
        let weather = self.network.state().weather;
        let copies = if world.chance(weather.duplication) { 2 } else { 1 };
        if copies == 2 {
            world.count("message duplicated");
        }
        for _ in 0..copies {
            let peer = Peer { name: self.host.clone(), is_server: self.is_server };
            tokio::spawn(self.network.clone().deliver(peer, address.0.clone(), call.clone(), waiting.clone()));
        }
        let reply = tokio::time::timeout(deadline, answered).await;
        drop(waiting);
        if self.life.is_over() {
            std::future::pending::<()>().await;
        }
        match reply {
            Ok(Ok(Some(Ok(answer)))) => {
                match &call.request {
                    Request::Session(SessionRequest::Open { .. }) => self.network.ledger.session_opened(&self.host, asked),
                    Request::Session(SessionRequest::Renew { .. }) => self.network.ledger.session_renewed(&self.host, asked),
                    _ => {}
                }
                world.log(format_args!("{} > {address} {name}", self.host));
                Ok(answer)
            }
            Ok(Ok(Some(Err(error)))) => {
                world.log(format_args!("{} > {address} {name}: {:?}: {}", self.host, error.kind, error.message));
                Err(RpcError::Service(error.from_server(&address.0)))
            }
            Ok(Ok(None)) => {
                world.log(format_args!("{} > {address} {name}: unreachable", self.host));
                Err(RpcError::Unreachable { address: address.clone(), reason: "the connection broke down".to_owned() })
            }
            Ok(Err(_)) | Err(_) => {
                // Told by the deadline alone, also when every copy was given up before.
                tokio::time::sleep_until(started + deadline).await;
                world.log(format_args!("{} > {address} {name}: timed out", self.host));
                Err(RpcError::TimedOut { address: address.clone(), waited: started.elapsed(), id })
            }
        }
    }
}
