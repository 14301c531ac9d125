//! A connection to one cluster: what all its volumes share, and the background tasks that keep it fresh.

use super::ClientError;
use super::health::Health;
use super::leases::Leases;
use super::link::Link;
use super::map::MapKeeper;
use super::node_writer::NodeWriter;
use super::nodes::NodeReader;
use super::objects::ObjectWriter;
use super::options::ClientOptions;
use super::pace::Pace;
use super::publish::Publisher;
use super::read::TreeReader;
use super::replicas::ObjectReader;
use super::retry::Context;
use super::session::Sessions;
use super::sync::Unsynced;
use crate::id::{BlobId, BlobVersion};
use crate::rpc::{Address, Rpc};
use crate::wire::{BlobReply, BlobRequest, ClusterMap, ErrorKind, Reply, Request, ServiceError};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A client of one cluster. Cheap to share; its background tasks end when the last handle goes.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) link: Arc<Link>,
    pub(crate) map: Arc<MapKeeper>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) objects: ObjectWriter,
    pub(crate) unsynced: Arc<Unsynced>,
    pub(crate) reader: Arc<TreeReader>,
    pub(crate) publisher: Publisher,
    pub(crate) options: ClientOptions,
    /// How fast things are deleted.
    pub(crate) deletes: Pace,
    _background: [Background; 4],
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct Background(JoinHandle<()>);

impl Background {
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cluster {
    /// Finds the cluster through one of its `managers`. Must be called within a tokio runtime, which then also runs the
    /// background tasks. No session is opened before one is needed ([`Cluster::open_volume`] needs one).
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when no manager answered within the options' time-out.
    pub async fn connect(rpc: Arc<dyn Rpc>, managers: Vec<Address>, options: ClientOptions) -> Result<Arc<Self>, ClientError> {
        if managers.is_empty() {
            let message = "no server is named; give at least one, as in weft://HOST/VOLUME";
            return Err(ServiceError::new(ErrorKind::InvalidArgument, message).into());
        }
        let link = Arc::new(Link::new(rpc, managers, options.timeout));
        let map = Arc::new(MapKeeper::fetch(link.clone(), link.context()).await?);
        let sessions = Arc::new(Sessions::new(link.clone(), options.host.clone(), options.purpose.clone()));
        let leases = Arc::new(Leases::new(link.clone(), sessions.clone(), options.leases, options.clock.clone()));
        let unsynced = Arc::new(Unsynced::new(link.clone(), map.clone()));
        let background = [
            Background::spawn(map.clone().keep_fresh()),
            Background::spawn(sessions.clone().keep_alive()),
            Background::spawn(unsynced.clone().keep_synced()),
            Background::spawn(leases.clone().keep()),
        ];
        Ok(Arc::new(Self::assemble(link, map, (sessions, leases), unsynced, options, background)))
    }

    fn assemble(
        link: Arc<Link>,
        map: Arc<MapKeeper>,
        (sessions, leases): (Arc<Sessions>, Arc<Leases>),
        unsynced: Arc<Unsynced>,
        options: ClientOptions,
        background: [Background; 4],
    ) -> Self {
        let health = Arc::new(Health::default());
        let node_writer = NodeWriter { link: link.clone(), map: map.clone(), health: health.clone(), unsynced: unsynced.clone() };
        let objects = ObjectWriter { link: link.clone(), map: map.clone(), health: health.clone(), unsynced: unsynced.clone() };
        let nodes = Arc::new(NodeReader::new(link.clone(), map.clone(), health.clone(), &options));
        let parts = Arc::new(ObjectReader::new(link.clone(), map.clone(), health, &options));
        let publisher = Publisher { link: link.clone(), nodes: nodes.clone(), node_writer };
        let reader = Arc::new(TreeReader::new(link.clone(), nodes, parts));
        let deletes = Pace::new(options.deletes_per_second);
        Self { link, map, sessions, leases, objects, unsynced, reader, publisher, options, deletes, _background: background }
    }

    /// The cluster map as this client knows it.
    #[must_use]
    pub fn map(&self) -> Arc<ClusterMap> {
        self.map.current()
    }

    /// Finishes an assigned version whose writer may be dead: computes its nodes from the log, stores them, commits.
    /// Any number of helpers may do so at once, and the writer too: all store the same bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    #[tracing::instrument(level = "debug", skip(self), fields(request))]
    pub async fn finish_version(&self, blob: BlobId, version: BlobVersion) -> Result<(), ClientError> {
        let context = self.context();
        self.publisher.finish(context, blob, version).await.map(drop)
    }

    /// Versions whose writers let their lease lapse, or that hold up others: work for [`Cluster::finish_version`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lapsed_versions(&self) -> Result<Vec<(BlobId, BlobVersion)>, ClientError> {
        match self.link.manager(self.context(), Request::Blob(BlobRequest::Lapsed)).await? {
            Reply::Blob(BlobReply::Lapsed(versions)) => Ok(versions),
            other => Err(self.link.unexpected("the lapsed versions", &other)),
        }
    }

    /// Gives the session back. A client that just ends keeps its open files for the lease.
    ///
    /// # Errors
    /// [`ClientError`] when the version manager was not told; the session then lapses by itself.
    pub async fn close(&self) -> Result<(), ClientError> {
        self.sessions.close(self.link.context()).await
    }

    /// Starts a public call and names it in the current span.
    pub(crate) fn context(&self) -> Context {
        let context = self.link.context();
        tracing::Span::current().record("request", tracing::field::display(context.id));
        context
    }
}
