//! Which providers took something since it was last made stable, and making it so.
//!
//! Providers sync by themselves every few seconds; the client asks them to in the background as well, so that it learns soon
//! what became of its bytes. A provider that lost power meanwhile answers that it is in another incarnation: what it held
//! for this client may be gone. That is told once to whoever asks for a sync, and it is counted, so that other files that were
//! open at the time can tell their programs too ([`Unsynced::losses`]).

use super::ClientError;
use super::link::{Link, address_of, malformed};
use super::lock;
use super::map::MapKeeper;
use super::retry::{Context, Retry};
use crate::id::{Incarnation, ProviderId};
use crate::limits::CLIENT_SYNC;
use crate::rpc::RpcError;
use crate::wire::{
    DataReply, DataRequest, ErrorKind, MetadataReply, MetadataRequest, ProviderInfo, ProviderRole, Reply, Request, ServiceError,
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A provider and the incarnation in which it took something.
type Holder = (ProviderId, Incarnation);

/// Remembers who holds bytes that may not be on stable storage yet. Bounded by the number of providers.
#[derive(Debug)]
pub(crate) struct Unsynced {
    link: Arc<Link>,
    map: Arc<MapKeeper>,
    holders: Mutex<BTreeSet<Holder>>,
    losses: AtomicU64,
    /// One sync at a time: a second one that finds nothing to do must not return before the first has succeeded.
    syncing: tokio::sync::Mutex<()>,
}

impl Unsynced {
    pub(crate) fn new(link: Arc<Link>, map: Arc<MapKeeper>) -> Self {
        let (holders, syncing) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Self { link, map, holders, losses: AtomicU64::new(0), syncing }
    }

    /// `provider` took something in `incarnation`.
    pub(crate) fn note(&self, provider: ProviderId, incarnation: Incarnation) {
        lock(&self.holders).insert((provider, incarnation));
    }

    /// How often a provider was found to have lost what it had not synced.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Everything noted so far becomes stable.
    ///
    /// # Errors
    /// The first provider's that failed. Those that failed stay noted, so that the next sync asks them again; one that lost
    /// what it held is not asked again.
    pub(crate) async fn sync(&self, context: Context) -> Result<(), ClientError> {
        self.sync_if(context, |_| true).await
    }

    /// As [`Unsynced::sync`], of what `providers` hold alone: nobody else has to answer.
    pub(crate) async fn sync_on(&self, context: Context, providers: &BTreeSet<ProviderId>) -> Result<(), ClientError> {
        self.sync_if(context, |id| providers.contains(&id)).await
    }

    async fn sync_if(&self, context: Context, is_meant: impl Fn(ProviderId) -> bool) -> Result<(), ClientError> {
        let _alone = self.syncing.lock().await;
        let holders: BTreeSet<Holder> = {
            let mut all = lock(&self.holders);
            let (meant, others) = std::mem::take(&mut *all).into_iter().partition(|(id, _)| is_meant(*id));
            *all = others;
            meant
        };
        // Until all have succeeded they count as unsynced, also when the caller goes away in the middle.
        let mut failed = Restore { unsynced: self, holders: holders.clone() };
        let results = join_all(holders.iter().map(|holder| self.sync_one(context, *holder))).await;
        let mut outcome = Ok(());
        for (holder, result) in holders.iter().zip(results) {
            if let Err(error) = &result
                && is_loss(error)
            {
                self.losses.fetch_add(1, Ordering::AcqRel);
                tracing::error!(request = %context.id, provider = %holder.0, %error, "bytes that were not synced may be lost");
                failed.holders.remove(holder);
            }
            match result {
                Ok(()) => _ = failed.holders.remove(holder),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        tracing::debug!(request = %context.id, providers = holders.len(), failed = failed.holders.len(), "synced");
        outcome
    }

    /// Syncs every [`CLIENT_SYNC`], as long as it is polled.
    pub(crate) async fn keep_synced(self: Arc<Self>) {
        loop {
            tokio::time::sleep(CLIENT_SYNC).await;
            if lock(&self.holders).is_empty() {
                continue;
            }
            // Short of patience: a program that waits for its own sync waits behind this one.
            let context = self.link.context_for(CLIENT_SYNC / 5);
            if let Err(error) = self.sync(context).await {
                tracing::debug!(request = %context.id, %error, "not everything is on stable storage yet");
            }
        }
    }

    /// What `id` took in that incarnation becomes stable.
    pub(super) async fn sync_one(&self, context: Context, (id, incarnation): Holder) -> Result<(), ClientError> {
        let mut retry = Retry::new(context);
        loop {
            let map = self.map.current();
            let provider = map.provider(id).ok_or_else(|| removed(id))?;
            let address = address_of(provider);
            let error = match self.link.once(context, &address, request(provider, incarnation), Bytes::new()).await {
                Ok(answer) => match answer.reply {
                    Reply::Data(DataReply::Done) | Reply::Metadata(MetadataReply::Done) => return Ok(()),
                    other => return Err(malformed(&address, "the end of a sync", &other)),
                },
                Err(error) => error,
            };
            retry.after("sync", error).await?;
            self.map.refresh(context).await;
        }
    }
}

/// Whether what was to be synced is gone, as far as one knows.
fn is_loss(error: &ClientError) -> bool {
    matches!(error, ClientError::Service(service) if service.kind == ErrorKind::Stale)
}

/// The incarnation in which a put was answered.
pub(crate) fn stored_in(address: &crate::rpc::Address, reply: &Reply) -> Result<Incarnation, RpcError> {
    match reply {
        Reply::Data(DataReply::Stored { incarnation }) | Reply::Metadata(MetadataReply::Stored { incarnation }) => {
            Ok(*incarnation)
        }
        other => {
            let reason = malformed(address, "the end of a put", other).to_string();
            Err(RpcError::Malformed { address: address.clone(), reason })
        }
    }
}

fn request(provider: &ProviderInfo, incarnation: Incarnation) -> Request {
    match provider.role {
        ProviderRole::Data => Request::Data(DataRequest::Sync { incarnation }),
        ProviderRole::Metadata => Request::Metadata(MetadataRequest::Sync { incarnation }),
    }
}

fn removed(id: ProviderId) -> ClientError {
    let message = format!("{id} was removed from the cluster before it had made its bytes stable; write the file again");
    ClientError::Service(ServiceError::new(ErrorKind::Stale, message))
}

/// Puts back what is not known to be stable.
struct Restore<'a> {
    unsynced: &'a Unsynced,
    holders: BTreeSet<Holder>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        lock(&self.unsynced.holders).append(&mut self.holders);
    }
}
