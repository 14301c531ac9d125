//! Which providers took something since it was last made stable, and making it so.

use super::ClientError;
use super::link::{Link, address_of, malformed};
use super::lock;
use super::map::MapKeeper;
use super::retry::{Context, Retry};
use crate::id::ProviderId;
use crate::wire::{
    DataReply, DataRequest, ErrorKind, MetadataReply, MetadataRequest, ProviderInfo, ProviderRole, Reply, Request, ServiceError,
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Remembers who holds bytes that may not be on stable storage yet. Bounded by the number of providers.
#[derive(Debug)]
pub(crate) struct Unsynced {
    link: Arc<Link>,
    map: Arc<MapKeeper>,
    providers: Mutex<BTreeSet<ProviderId>>,
    /// One sync at a time: a second one that finds nothing to do must not return before the first has succeeded.
    syncing: tokio::sync::Mutex<()>,
}

impl Unsynced {
    pub(crate) fn new(link: Arc<Link>, map: Arc<MapKeeper>) -> Self {
        Self { link, map, providers: Mutex::default(), syncing: tokio::sync::Mutex::new(()) }
    }

    /// `provider` took something.
    pub(crate) fn note(&self, provider: ProviderId) {
        lock(&self.providers).insert(provider);
    }

    /// Everything noted so far becomes stable.
    ///
    /// # Errors
    /// The first provider's that failed; those that failed stay noted, so that the next sync asks them again.
    pub(crate) async fn sync(&self, context: Context) -> Result<(), ClientError> {
        let _alone = self.syncing.lock().await;
        let providers = std::mem::take(&mut *lock(&self.providers));
        // Until all have succeeded they count as unsynced, also when the caller goes away in the middle.
        let mut failed = Restore { unsynced: self, providers: providers.clone() };
        let results = join_all(providers.iter().map(|provider| self.sync_one(context, *provider))).await;
        let mut outcome = Ok(());
        for (provider, result) in providers.iter().zip(results) {
            match result {
                Ok(()) => _ = failed.providers.remove(provider),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        tracing::debug!(request = %context.id, providers = providers.len(), failed = failed.providers.len(), "synced");
        outcome
    }

    async fn sync_one(&self, context: Context, id: ProviderId) -> Result<(), ClientError> {
        let mut retry = Retry::new(context);
        loop {
            let map = self.map.current();
            let provider = map.provider(id).ok_or_else(|| removed(id))?;
            let address = address_of(provider);
            let error = match self.link.once(context, &address, request(provider), Bytes::new()).await {
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

fn request(provider: &ProviderInfo) -> Request {
    match provider.role {
        ProviderRole::Data => Request::Data(DataRequest::Sync),
        ProviderRole::Metadata => Request::Metadata(MetadataRequest::Sync),
    }
}

fn removed(id: ProviderId) -> ClientError {
    let message = format!("{id} was removed from the cluster before it had made its bytes stable; write the file again");
    ClientError::Service(ServiceError::new(ErrorKind::Stale, message))
}

/// Puts back what is not known to be stable.
struct Restore<'a> {
    unsynced: &'a Unsynced,
    providers: BTreeSet<ProviderId>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        lock(&self.unsynced.providers).append(&mut self.providers);
    }
}
