//! One `weftd` process: any set of roles behind one door.
//!
//! Starting, in this order, so that nothing is announced before it can answer:
//! 1. the certificate is checked and the port taken (wrong set-ups end here);
//! 2. each role opens its folder, and recovers it if the last process died;
//! 3. requests are answered (`roles` hands each to its role);
//! 4. each provider joins the cluster and reports from then on (`provider`); the helper starts beside a version manager.
//!
//! The parts of it ([`Roles`], [`Provider`], [`LoggedMembership`], [`run_helper`]) know neither folders nor sockets: the simulation of
//! a whole cluster puts the same ones together over disks and a network of its own.
//!
//! Stopping goes the other way round. What must not go on (a poisoned log, a store folder of another cluster) ends
//! [`Node::failed`]; `weftd` then says so and exits with a status that is not zero.

mod files;
mod local;
mod manager;
mod provider;
mod roles;
#[cfg(test)]
mod tests;

pub use local::{LocalNode, start_local};
pub use manager::LoggedMembership;
pub use provider::{Member, OwnedStore, Provider};
pub use roles::Roles;

use crate::config::{Config, Role};
use crate::placement::PlacementService;
use crate::storage::StoreError;
use crate::version::{Manager, ManagerError, ManagerOptions};
use crate::{collector, helper, recovery};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use weft_common::client::{ClientOptions, Cluster};
use weft_common::clock::{Clock, SystemClock};
use weft_common::id::ClusterId;
use weft_common::limits::{DIAL_BACKOFF_MAX, MIB};
use weft_common::rpc::{Address, Rpc};
use weft_common::transport::{Holder, Identity, IdentityError, Listener, LocalRpc, QuicRpc, RoutingRpc, TransportError};
use weft_common::wire::{ProviderRole, ServiceError};

/// Memory of the helper's caches: it reads few nodes and no pages.
const HELPER_MEMORY: u64 = 16 * MIB;

/// A process that cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The socket.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The version manager.
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// A store folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The provider manager.
    #[error("the provider manager cannot start: {0}")]
    Placement(ServiceError),
    /// The cluster does not take a provider of this process.
    #[error("the {role} provider of {folder} cannot join the cluster: {error}")]
    Refused {
        /// The role.
        role: Role,
        /// The store folder.
        folder: PathBuf,
        /// What the provider manager said.
        error: ServiceError,
    },
    /// The folder is of another cluster than the certificate.
    #[error(
        "{folder} belongs to cluster {found}, the certificate to cluster {expected}; use the folder or the certificate of the other"
    )]
    OtherCluster {
        /// The store folder.
        folder: PathBuf,
        /// The cluster in it.
        found: String,
        /// The cluster of the certificate.
        expected: ClusterId,
    },
    /// A file or folder.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system.
    #[error("the process cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// A running process.
#[derive(Debug)]
pub struct Node {
    rpc: Arc<dyn Rpc>,
    quic: Arc<QuicRpc>,
    address: Address,
    managers: Vec<Address>,
    cluster: ClusterId,
    manager: Option<Manager>,
    shutdown: watch::Sender<bool>,
    serving: JoinHandle<()>,
    background: JoinSet<()>,
    failures: mpsc::Receiver<NodeError>,
    joined: Vec<watch::Receiver<bool>>,
}

impl Node {
    /// Starts the roles of `config`. Needs a multi-threaded tokio runtime around it. Returns once requests are answered;
    /// providers join in the background, for as long as the version manager cannot be reached.
    ///
    /// # Errors
    /// [`NodeError`] names what is in the way.
    pub async fn start(config: &Config) -> Result<Self, NodeError> {
        let identity = Identity::load(&config.identity, Holder::Server)?;
        let listener = Listener::bind(&identity, config.listen)?;
        Self::start_on(config, &identity, listener).await
    }

    async fn start_on(config: &Config, identity: &Identity, listener: Listener) -> Result<Self, NodeError> {
        let cluster = identity.cluster();
        let address = config.advertise.clone();
        let quic = Arc::new(QuicRpc::new(identity)?);
        let local = Arc::new(LocalRpc::new());
        let rpc: Arc<dyn Rpc> = Arc::new(RoutingRpc::new(Arc::clone(&local), quic.clone()));

        let manager = open_manager(config, cluster)?;
        let placement = match &manager {
            Some(manager) => Some(start_placement(manager, cluster).await?),
            None => None,
        };
        let providers = open_providers(config, cluster)?;
        let roles = Arc::new(Roles::new(address.clone(), manager.clone(), placement, &providers));
        local.insert(address.clone(), roles.clone());
        let (shutdown, stopped) = watch::channel(false);
        let serving = tokio::spawn(listener.serve(roles, format!("weftd@{address}"), stopped.clone()));
        let names: Vec<String> = config.roles.iter().map(ToString::to_string).collect();
        tracing::info!(%cluster, %address, roles = names.join(","), "weftd serves");

        let (fail, failures) = mpsc::channel(4);
        let mut node = Self {
            rpc,
            quic,
            address,
            managers: config.managers.clone(),
            cluster,
            manager,
            shutdown,
            serving,
            background: JoinSet::new(),
            failures,
            joined: Vec::new(),
        };
        node.spawn_background(config, providers, &fail, &stopped);
        Ok(node)
    }

    /// What runs beside the answering of requests. (Stores sync and give space back on threads of their own.)
    fn spawn_background(
        &mut self,
        config: &Config,
        providers: Vec<Provider>,
        fail: &mpsc::Sender<NodeError>,
        stopped: &watch::Receiver<bool>,
    ) {
        for provider in providers {
            let (joined, is_joined) = watch::channel(false);
            self.joined.push(is_joined);
            let member = provider.member(self.rpc.clone(), self.managers.clone(), self.address.clone(), config.zone.clone());
            let (fail, stopped) = (fail.clone(), stopped.clone());
            self.background.spawn(async move {
                if let Err(error) = member.take_part(joined, stopped).await {
                    // Nobody listens when the node is stopping already.
                    let _ = fail.send(error).await;
                }
            });
        }
        if config.has(Role::VersionManager) {
            let (rpc, managers, stopped) = (self.rpc.clone(), self.managers.clone(), stopped.clone());
            self.background.spawn(run_helper(rpc, managers, Arc::new(SystemClock), config.deletes_per_second, stopped));
        }
    }

    /// How this process calls servers: its own roles directly, others over the network.
    #[must_use]
    pub fn rpc(&self) -> Arc<dyn Rpc> {
        self.rpc.clone()
    }

    /// Where this process is reached.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The version managers of its cluster.
    #[must_use]
    pub fn managers(&self) -> &[Address] {
        &self.managers
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Returns when the process cannot go on, with the reason.
    pub async fn failed(&mut self) -> NodeError {
        let manager = self.manager.clone();
        let manager_failed = async {
            match &manager {
                Some(manager) => manager.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = manager_failed => error.into(),
            error = self.failures.recv() => match error {
                Some(error) => error,
                None => std::future::pending().await,
            },
        }
    }

    /// Waits until all providers of this process have joined the cluster.
    ///
    /// # Errors
    /// The reason why one cannot.
    pub async fn joined(&mut self) -> Result<(), NodeError> {
        let mut waiting = self.joined.clone();
        let all = async {
            for joined in &mut waiting {
                if joined.wait_for(|joined| *joined).await.is_err() {
                    // Its task ended without joining: the reason is among the failures.
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = all => Ok(()),
            error = self.failed() => Err(error),
        }
    }

    /// Lets requests under way finish, brings everything to disk and ends.
    ///
    /// # Errors
    /// When the version manager could not write its last checkpoint (its log has everything all the same).
    pub async fn stop(mut self) -> Result<(), NodeError> {
        // Fails only when nobody listens any more, which is what is wanted.
        let _ = self.shutdown.send(true);
        while self.background.join_next().await.is_some() {}
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the listener broke off; this is a bug");
        }
        self.quic.close().await;
        if let Some(manager) = &self.manager {
            manager.shutdown().await?;
        }
        tracing::info!(address = %self.address, "weftd has stopped");
        Ok(())
    }
}

fn open_manager(config: &Config, cluster: ClusterId) -> Result<Option<Manager>, NodeError> {
    if !config.has(Role::VersionManager) {
        return Ok(None);
    }
    files::claim(&config.manager_store, cluster)?;
    let server = format!("version-manager@{}", config.advertise);
    let options = ManagerOptions { server, alone: config.alone, ..ManagerOptions::default() };
    Ok(Some(Manager::open(&config.manager_store, options)?))
}

async fn start_placement(manager: &Manager, cluster: ClusterId) -> Result<PlacementService, NodeError> {
    let membership = Arc::new(LoggedMembership::new(manager.clone()));
    PlacementService::start(membership, cluster, &SystemClock).await.map_err(NodeError::Placement)
}

fn open_providers(config: &Config, cluster: ClusterId) -> Result<Vec<Provider>, NodeError> {
    let stores =
        [(Role::Metadata, ProviderRole::Metadata, &config.metadata_store), (Role::Data, ProviderRole::Data, &config.data_store)];
    let wanted = stores.into_iter().filter(|(role, ..)| config.has(*role));
    wanted.map(|(role, provider, folder)| Provider::open(role, provider, folder, cluster)).collect()
}

/// Helps the writers of the cluster, collects what nobody needs any more at the given pace, and looks after what was lost with the power,
/// until `stopped`, as a client of it. Policies go by `clock`.
pub async fn run_helper(
    rpc: Arc<dyn Rpc>,
    managers: Vec<Address>,
    clock: Arc<dyn Clock>,
    deletes_per_second: NonZeroU32,
    mut stopped: watch::Receiver<bool>,
) {
    let options = ClientOptions {
        purpose: "helper".into(),
        memory: HELPER_MEMORY,
        deletes_per_second: Some(deletes_per_second),
        ..ClientOptions::default()
    };
    let work = async {
        loop {
            match Cluster::connect(rpc.clone(), managers.clone(), options.clone()).await {
                Ok(cluster) => {
                    let collector = collector::collect(Arc::clone(&cluster), clock);
                    let recovery = recovery::recover(Arc::clone(&cluster), options.host.clone());
                    tokio::join!(helper::help(cluster), collector, recovery);
                    return;
                }
                Err(error) => tracing::warn!(%error, "the helper does not reach the version manager; trying again"),
            }
            tokio::time::sleep(DIAL_BACKOFF_MAX).await;
        }
    };
    tokio::select! {
        biased;
        () = work => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// Doubles, up to the longest pause between two attempts.
fn next_pause(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(DIAL_BACKOFF_MAX)
}
