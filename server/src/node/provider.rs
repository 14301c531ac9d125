//! A provider's life in the cluster: joins, reports, joins again when the manager does not know it any more.

use super::{NodeError, next_pause};
use crate::config::Role;
use crate::storage::file::{FileStore, FileStoreOptions, Identity};
use crate::storage::{ObjectStore, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinError;
use weft_common::id::{ClusterId, ProviderId, RequestId};
use weft_common::limits::{BACKGROUND_SYNC, DIAL_BACKOFF_MIN, HEARTBEAT, PROVIDER_LEASE, RPC_DEADLINE};
use weft_common::rpc::{Address, Call, Rpc, RpcError};
use weft_common::time::Timestamp;
use weft_common::wire::{ErrorKind, PlacementReply, PlacementRequest, ProviderRole, Reply, Request, ServiceError, Space};

/// A store that knows whose it is.
pub trait OwnedStore: ObjectStore {
    /// Cluster and provider that it belongs to; `None` for a new one.
    fn identity(&self) -> Option<Identity>;

    /// It belongs to `identity` from now on. Repeating it is harmless.
    ///
    /// # Errors
    /// [`StoreError::WrongFolder`] if it belongs to another already.
    fn claim(&self, identity: Identity) -> Result<(), StoreError>;
}

impl OwnedStore for FileStore {
    fn identity(&self) -> Option<Identity> {
        FileStore::identity(self)
    }

    fn claim(&self, identity: Identity) -> Result<(), StoreError> {
        FileStore::claim(self, identity)
    }
}

/// A store that is open, to serve as a provider.
#[derive(Debug)]
pub struct Provider {
    role: Role,
    pub(super) stores: ProviderRole,
    folder: PathBuf,
    pub(super) store: Arc<dyn OwnedStore>,
    cluster: ClusterId,
}

impl Provider {
    /// Opens the store in `folder`, which is to belong to `cluster`.
    pub(super) fn open(role: Role, stores: ProviderRole, folder: &Path, cluster: ClusterId) -> Result<Self, NodeError> {
        let store = FileStore::open(folder, stores, FileStoreOptions::default())?;
        Self::on(role, stores, Arc::new(store), folder, cluster)
    }

    /// As a provider of `cluster` on a store that is open; `folder` names it in errors.
    ///
    /// # Errors
    /// [`NodeError::OtherCluster`] if it belongs to another.
    pub fn on(
        role: Role,
        stores: ProviderRole,
        store: Arc<dyn OwnedStore>,
        folder: &Path,
        cluster: ClusterId,
    ) -> Result<Self, NodeError> {
        if let Some(found) = store.identity().filter(|identity| identity.cluster != cluster) {
            let found = found.cluster.to_string();
            return Err(NodeError::OtherCluster { folder: folder.to_owned(), found, expected: cluster });
        }
        Ok(Self { role, stores, folder: folder.to_owned(), store, cluster })
    }

    /// It as a member of the cluster that `managers` manage.
    #[must_use]
    pub fn member(self, rpc: Arc<dyn Rpc>, managers: Vec<Address>, address: Address, zone: String) -> Member {
        // Requests of different processes and lives are to differ in logs; nothing depends on it.
        let next_request = AtomicU64::new(fastrand::u64(..));
        let (heard, synced) = (AtomicI64::new(i64::MIN), AtomicI64::new(i64::MIN));
        Member { provider: self, rpc, managers, address, zone, next_request, heard, synced }
    }

    /// Its disk. The system call may block on a sick disk.
    async fn space(&self) -> Result<Space, StoreError> {
        let store = Arc::clone(&self.store);
        let space = where_it_may_block(store, |store| store.statistics().map(Space::from)).await;
        // Without a runtime nobody asks any more.
        space.unwrap_or_else(|_| Ok(Space::default()))
    }
}

/// Runs `job` on a blocking thread if `store` blocks.
async fn where_it_may_block<R: Send + 'static>(
    store: Arc<dyn OwnedStore>,
    job: impl FnOnce(&dyn OwnedStore) -> R + Send + 'static,
) -> Result<R, JoinError> {
    if store.blocks() { tokio::task::spawn_blocking(move || job(&*store)).await } else { Ok(job(&*store)) }
}

/// A provider and the way to its managers.
#[derive(Debug)]
pub struct Member {
    provider: Provider,
    rpc: Arc<dyn Rpc>,
    managers: Vec<Address>,
    address: Address,
    zone: String,
    next_request: AtomicU64,
    /// The newest time of the log that the manager told.
    heard: AtomicI64,
    /// What was taken before that time of the log is on stable storage.
    synced: AtomicI64,
}

/// Why a member has to join.
enum Ended {
    Forgotten,
    Stopped,
}

impl Member {
    /// Joins and reports until `stopped`; says so in `joined` after the first join.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when the cluster will never take it.
    pub async fn take_part(self, joined: watch::Sender<bool>, mut stopped: watch::Receiver<bool>) -> Result<(), NodeError> {
        loop {
            let id = tokio::select! {
                biased;
                id = self.join() => id?,
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            };
            joined.send_replace(true);
            let ended = tokio::select! {
                biased;
                ended = self.report(id) => ended,
                () = self.keep_synced() => Ended::Stopped,
                _ = stopped.wait_for(|stopped| *stopped) => Ended::Stopped,
            };
            match ended {
                Ended::Forgotten => tracing::warn!(%id, "the provider manager does not know this provider; joining again"),
                Ended::Stopped => return Ok(()),
            }
        }
    }

    async fn join(&self) -> Result<ProviderId, NodeError> {
        let mut pause = DIAL_BACKOFF_MIN;
        loop {
            let has_id = self.provider.store.identity().is_some();
            match self.try_join().await {
                // Now its folder has an id; it is a member once it comes with it.
                Ok(_) if !has_id => continue,
                Ok(id) => return Ok(id),
                Err(NotJoined::Never(error)) => return Err(error),
                Err(NotJoined::NotNow(reason)) => {
                    tracing::warn!(role = %self.provider.role, reason, "cannot join the cluster yet; trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = next_pause(pause);
        }
    }

    async fn try_join(&self) -> Result<ProviderId, NotJoined> {
        let known = self.provider.store.identity();
        let request = PlacementRequest::Join {
            role: self.provider.stores,
            provider: known.map(|known| known.provider),
            cluster: known.map(|known| known.cluster),
            address: self.address.0.clone(),
            zone: self.zone.clone(),
            space: self.provider.space().await.map_err(|error| NotJoined::NotNow(error.to_string()))?,
            incarnation: self.provider.store.incarnation(),
        };
        let (id, cluster) = match self.ask(request, RPC_DEADLINE).await {
            Ok(PlacementReply::Joined { provider, cluster }) => (provider, cluster),
            Ok(other) => return Err(NotJoined::NotNow(format!("a join was answered with {other:?}"))),
            Err(RpcError::Service(error)) if !error.retry && is_final(error.kind) => {
                let (role, folder) = (self.provider.role, self.provider.folder.clone());
                return Err(NotJoined::Never(NodeError::Refused { role, folder, error }));
            }
            Err(error) => return Err(NotJoined::NotNow(error.to_string())),
        };
        if cluster != self.provider.cluster {
            let (folder, found) = (self.provider.folder.clone(), cluster.to_string());
            return Err(NotJoined::Never(NodeError::OtherCluster { folder, found, expected: self.provider.cluster }));
        }
        let store = Arc::clone(&self.provider.store);
        let claimed = where_it_may_block(store, move |store| store.claim(Identity { cluster, provider: id })).await;
        match claimed {
            Ok(Ok(())) if known.is_none() => {}
            Ok(Ok(())) => {
                tracing::info!(%id, role = %self.provider.role, folder = %self.provider.folder.display(), "joined the cluster")
            }
            Ok(Err(error)) => return Err(NotJoined::Never(error.into())),
            Err(error) => return Err(NotJoined::NotNow(error.to_string())),
        }
        Ok(id)
    }

    /// Reports until the manager does not know the provider.
    async fn report(&self, id: ProviderId) -> Ended {
        let mut silent = false;
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            // A disk that does not tell its space has none to give.
            let space = self.provider.space().await.unwrap_or_else(|error| {
                tracing::warn!(%id, %error, "this provider's disk does not tell its space");
                Space::default()
            });
            let synced = Timestamp(self.synced.load(Ordering::Acquire));
            match self.ask(PlacementRequest::Heartbeat { provider: id, space, synced }, PROVIDER_LEASE / 2).await {
                Ok(reply) => {
                    if let PlacementReply::Heard { time } = reply {
                        self.heard.fetch_max(time.0, Ordering::AcqRel);
                    }
                    if std::mem::take(&mut silent) {
                        tracing::info!(%id, "the provider manager answers again");
                    }
                }
                Err(RpcError::Service(ServiceError { kind: ErrorKind::NotFound, .. })) => return Ended::Forgotten,
                Err(error) => {
                    if !std::mem::replace(&mut silent, true) {
                        tracing::warn!(%id, %error, "cannot report to the provider manager; trying again");
                    }
                }
            }
        }
    }

    /// Syncs, so that it can be said what is on stable storage: what was published at a time of the log before one that is known
    /// here was stored before. Beside the reports, for a disk may take long.
    async fn keep_synced(&self) {
        loop {
            tokio::time::sleep(BACKGROUND_SYNC).await;
            let heard = self.heard.load(Ordering::Acquire);
            if heard > self.synced.load(Ordering::Acquire) {
                let store = Arc::clone(&self.provider.store);
                match where_it_may_block(store, |store| store.sync()).await {
                    Ok(Ok(())) => self.synced.store(heard, Ordering::Release),
                    // The store itself says so loudly, and takes nothing any more.
                    Ok(Err(error)) => tracing::debug!(%error, "not on stable storage"),
                    Err(error) => tracing::debug!(%error, "a sync broke off"),
                }
            }
        }
    }

    /// Asks the managers in turn until one answers.
    async fn ask(&self, request: PlacementRequest, deadline: Duration) -> Result<PlacementReply, RpcError> {
        let mut last = None;
        for manager in &self.managers {
            let id = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
            let call = Call { id, request: Request::Placement(request.clone()), body: bytes::Bytes::new(), deadline };
            match self.rpc.call(manager, call).await {
                Ok(answer) => match answer.reply {
                    Reply::Placement(reply) => return Ok(reply),
                    other => {
                        let reason = format!("a placement request was answered with {other:?}");
                        last = Some(RpcError::Malformed { address: manager.clone(), reason });
                    }
                },
                Err(RpcError::Service(error)) if error.kind != ErrorKind::WrongServer => return Err(error.into()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| RpcError::Unreachable { address: self.address.clone(), reason: "no manager is named".into() }))
    }
}

enum NotJoined {
    NotNow(String),
    Never(NodeError),
}

/// Refusals that waiting does not cure.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidArgument | ErrorKind::Untrusted)
}
